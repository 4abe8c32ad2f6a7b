"""Dates and times as seconds since 1970-01-01 00:00 UTC: in texts, in columns of frames, and how they are asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from dask.base import is_dask_collection

from ..exceptions import DataError, InputTypeError, ParameterError
from .selected_columns import places_of

__all__ = ["REMEDY", "date_places", "must_hold", "seconds_in_frame", "seconds_of"]

# The form of ISO 8601, with a blank or T before the time of the day; pandas would take "2013" and "2013-06" too.
_ISO = re.compile(
    r"\d{4}([-/]?)\d{2}\1\d{2}(?:[T ]\d{2}(?::?\d{2}(?::?\d{2}(?:\.\d+)?)?)?\s?(?:Z|[+-]\d{2}(?::?\d{2})?)?)?",
    re.ASCII,
)
REMEDY = "Mend it, or say how dates are written: dates={name: '%d.%m.%Y'}."


def date_places(names: Sequence, dates) -> dict[int, str | None]:
    """Places of the columns of dates, and the format of each, None for that of ISO 8601.

    Parameters
    ----------
    names : sequence
        Names of all columns.
    dates : str, int, sequence of these, mapping of these to formats, or None
        Columns of dates, by name or place.

    Raises
    ------
    ParameterError
        A column that does not exist, or a format that is no text.
    """
    if dates is None:
        return {}
    formats = list(dates.values()) if isinstance(dates, Mapping) else None
    places = places_of(names, dates, "dates")
    if formats is None:
        return dict.fromkeys(places)
    for one in formats:
        if one is not None and (not isinstance(one, str) or "%" not in one):
            raise ParameterError(f"dates: a format must be one of strptime, such as '%d.%m.%Y %H:%M'; got {one!r}.")
    return dict(zip(places, formats, strict=True))


def must_hold(form: str | None) -> str:
    """The rule for a column of dates, for errors."""
    how = "with the year first, such as 2013-06-19 or 2013-06-19T05:00:00Z" if form is None else f"written as {form!r}"
    return f"must hold dates {how}"


def seconds_of(texts: Sequence[str], form: str | None) -> np.ndarray:
    """Seconds since 1970, UTC, of dates in ISO 8601 or in a format; NaN for what is no such date.

    Dates with a time zone, such as Z or +02:00, are converted; those without are taken as UTC.
    """
    import pandas

    if form is None:
        texts = [one if _ISO.fullmatch(one) else "" for one in texts]
    texts = pandas.Series(texts, dtype=object)
    found = pandas.to_datetime(texts, format=form or "ISO8601", utc=True, errors="coerce")
    return _since_1970(found)


def seconds_in_frame(frame, places: Mapping[int, str | None]):
    """A frame or series of pandas or dask whose columns at these places are seconds since 1970.

    Raises
    ------
    DataError
        A value that is no date.
    InputTypeError
        A column that holds neither dates nor texts.
    """
    if not places:
        return frame
    if is_dask_collection(frame):
        meta = seconds_in_frame(frame._meta, places)
        return frame.map_partitions(seconds_in_frame, dict(places), meta=meta, enforce_metadata=False)
    if frame.ndim == 1:
        return _column_in_seconds(frame, places[0])
    columns = [frame.iloc[:, place] for place in range(frame.shape[1])]
    for place, form in places.items():
        columns[place] = _column_in_seconds(columns[place], form)
    import pandas

    return pandas.concat(columns, axis=1)


def _column_in_seconds(column, form) -> Any:
    import pandas

    if getattr(column.dtype, "kind", "O") == "M" or str(column.dtype).startswith("date"):
        seconds = _since_1970(pandas.to_datetime(column, utc=True))
    elif column.dtype == "category" or getattr(column.dtype, "kind", "O") == "O":
        seconds = np.full(len(column), np.nan)
        there = column.notna().to_numpy()
        codes, values = pandas.factorize(column[there].astype(object))
        seconds[there] = _seconds_of_objects(values, form, column.name)[codes]
    elif column.isna().all():
        seconds = np.full(len(column), np.nan)
    else:
        raise InputTypeError(
            f"dates: column {column.name!r} must hold dates, times or texts; got {column.dtype}. Numbers stay as they "
            "are without dates=; a difference of times is a number by column.dt.total_seconds()."
        )
    return pandas.Series(seconds, index=column.index, name=column.name)


def _seconds_of_objects(values, form, name) -> np.ndarray:
    import pandas

    seconds = np.full(len(values), np.nan)
    texts = np.fromiter((isinstance(one, str) for one in values), bool, len(values))
    for one in values[~texts]:
        if not isinstance(one, date):
            raise InputTypeError(f"dates: column {name!r} must hold dates, times or texts; got {type(one).__name__}.")
    if texts.any():
        seconds[texts] = seconds_of(values[texts].tolist(), form)
    if not texts.all():
        seconds[~texts] = _since_1970(pandas.Series(pandas.to_datetime(pandas.Series(values[~texts]), utc=True)))
    if (wrong := np.isnan(seconds)).any():
        raise DataError(f"dates: column {name!r} {must_hold(form)}; got {values[wrong][0]!r}. {REMEDY}")
    return seconds


def _since_1970(stamps) -> np.ndarray:
    """Seconds, NaN for gaps, of a pandas series of times in UTC."""
    times = stamps.dt.tz_localize(None).to_numpy()
    seconds = (times - np.datetime64(0, "s")) / np.timedelta64(1, "s")
    return np.asarray(seconds, float)
