"""Data frames as blocks of numbers and codes: columns of text and categories become codes of their levels."""

from __future__ import annotations

from collections.abc import Collection
from numbers import Number
from typing import Any

import numpy as np

from ..exceptions import InputTypeError
from ..hdf5.columns import Column
from .categories import codes_of, levels_of
from .coded_columns import CodedBlock
from .frames import frame_to_numpy, is_missing

__all__ = ["coded_frame", "coded_parts", "has_texts", "levels_declared", "names_of"]


def names_of(frame) -> list[str] | None:
    """Names of the columns of a frame or series, if all are texts."""
    names = list(frame.columns) if frame.ndim == 2 else [frame.name]
    return names if all(isinstance(name, str) for name in names) else None


def has_texts(frame) -> bool:
    """Whether a frame or series, of pandas or dask, has columns of text, of categories, or of objects.

    A series of categories that are numbers, such as labels, is a vector of these numbers.
    """
    dtypes = _dtypes(frame)
    if frame.ndim == 1 and str(dtypes[0]) == "category" and not _unknown(dtypes[0]):
        return dtypes[0].categories.dtype.kind not in "fiub"
    return any(map(_may_be_text, dtypes))


def levels_declared(frame) -> dict[int, list]:
    """The categories that a frame declares, by the places of the columns; those of dask only if they are known."""
    sample = getattr(frame, "_meta", frame)
    found = {}
    for place, dtype in enumerate(_dtypes(sample)):
        if str(dtype) == "category" and not _unknown(dtype):
            found[place] = list(levels_of(sample if sample.ndim == 1 else sample.iloc[:, place]))
    return found


def coded_frame(frame, declared: Collection[int] | None = None) -> CodedBlock:
    """The rows of a frame or series of pandas.

    Parameters
    ----------
    frame : frame or series of pandas
        All rows, or those of one partition.
    declared : collection of int, optional
        Places of the columns whose categories are levels as they are declared; all if not given. Levels of others are
        those that appear.

    Raises
    ------
    InputTypeError
        Columns of times or of other objects, which are named.
    """
    dtypes = _dtypes(frame)
    columns = [frame] if frame.ndim == 1 else [frame.iloc[:, place] for place in range(len(dtypes))]
    numbers, levels = np.empty((len(frame), len(dtypes))), {}
    odd = []
    for place, (column, dtype) in enumerate(zip(columns, dtypes, strict=True)):
        if not _may_be_text(dtype):
            if getattr(dtype, "kind", "f") not in "fiub":
                odd.append(f"{_name(frame, place)!r} ({dtype})")
            else:
                numbers[:, place] = frame_to_numpy(column)
            continue
        coded = _coded(column, dtype, declared is None or place in declared)
        if isinstance(coded, str):
            odd.append(f"{_name(frame, place)!r} ({coded})")
            continue
        numbers[:, place], found = coded
        if found is not None:
            levels[place] = found
    if odd:
        more = f" and {len(odd) - 6} more" if len(odd) > 6 else ""
        raise InputTypeError(
            f"data must hold numbers, texts or categories; got column(s) {', '.join(odd[:6])}{more}. Drop them, or "
            "code them as numbers first: dates as seconds, which make_hdf5(frame, 'table.h5', dates=[name]) writes."
        )
    return CodedBlock(numbers, levels)


def coded_parts(frame) -> Any:
    """A dask series whose partitions are the `CodedBlock`s of those of a dask frame or series."""
    import pandas

    meta = pandas.Series([], dtype=object)
    return frame.map_partitions(coded_frame, list(levels_declared(frame)), meta=meta, enforce_metadata=False)


def _coded(column, dtype, declared) -> tuple[np.ndarray, list | None] | str:
    """Numbers of a column, or codes and levels; or the name of a type that is neither."""
    category = str(dtype) == "category"
    if not category:
        values = column.to_numpy(dtype=object)
        gaps = np.fromiter(map(is_missing, values), bool, len(values))
        kinds = set(map(type, values[~gaps]))
        if all(issubclass(kind, Number | np.bool_) for kind in kinds):
            numbers = np.full(len(values), np.nan)
            numbers[~gaps] = values[~gaps].astype(float)
            return numbers, None
        if odd := next((kind.__name__ for kind in kinds if not issubclass(kind, str | bytes)), None):
            # A column of numbers and texts is named by its texts.
            return "str" if str in kinds else odd
        if any(issubclass(kind, bytes) for kind in kinds):
            column = column.map(_decoded, na_action="ignore")
    elif not declared:
        # Objects have the levels that appear, and not all categories.
        column = column.astype(object)
    levels = tuple(levels_of(column))
    return codes_of(column, Column(str(column.name), levels)), list(levels)


def _decoded(text):
    return text.decode(errors="replace") if isinstance(text, bytes) else text


def _unknown(dtype):
    """Whether the categories of a column of dask are not known."""
    return "__UNKNOWN_CATEGORIES__" in dtype.categories


def _may_be_text(dtype):
    return str(dtype) == "category" or (getattr(dtype, "kind", "f") == "O" and not _is_nested(dtype))


def _is_nested(dtype):
    """Whether a dtype of Arrow holds lists or structures, or dates as objects."""
    return any(word in str(dtype) for word in ("list<", "struct<", "date", "time", "decimal", "duration", "interval"))


def _dtypes(frame):
    dtypes = frame.dtypes
    return list(dtypes) if frame.ndim == 2 else [dtypes]


def _name(frame, place):
    return frame.columns[place] if frame.ndim == 2 else frame.name
