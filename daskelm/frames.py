"""Data frames to arrays: columns of numbers, booleans and nullable numbers become one table of numbers."""

from __future__ import annotations

from numbers import Number

import numpy as np

from .exceptions import InputTypeError

__all__ = ["check_columns", "columns_of", "frame_to_dask", "frame_to_numpy", "is_frame", "is_missing"]


def is_frame(value) -> bool:
    """Whether a value is a data frame or a series, of pandas or of dask."""
    return hasattr(value, "dtypes") and (hasattr(value, "to_numpy") or hasattr(value, "to_dask_array"))


def is_missing(value) -> bool:
    """Whether an object is None, NaN, or what pandas has for them."""
    if isinstance(value, float):
        return value != value
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def columns_of(value):
    """Columns of a data frame; None of anything else."""
    # A series of dask has columns too, and one dtype.
    return getattr(value, "columns", None) if is_frame(value) and value.ndim == 2 else None


def check_columns(frame, name: str) -> None:
    """Refuse columns of text, categories and times, by name; columns of objects that are all numbers are taken."""
    if columns_of(frame) is None:
        return
    pairs = zip(frame.columns, frame.dtypes, strict=True)
    odd = [f"{column!r} ({what})" for i, (column, dtype) in enumerate(pairs) if (what := _odd(frame, i, dtype))]
    if odd:
        more = f" and {len(odd) - 6} more" if len(odd) > 6 else ""
        raise InputTypeError(
            f"{name} must hold numbers; got column(s) {', '.join(odd[:6])}{more}. Drop them, or code them as numbers "
            "first: text and categories with pandas.get_dummies, times as seconds."
        )


def _odd(frame, i, dtype):
    """What a column holds instead of numbers, or None. Dtypes of other libraries than pandas are not judged here."""
    kind = getattr(dtype, "kind", "f")
    if kind != "O" or str(dtype) == "category" or not hasattr(frame, "to_numpy"):
        return str(dtype) if kind in "mMO" else None
    strange = (value for value in frame.iloc[:, i] if not isinstance(value, Number) and not is_missing(value))
    return next((type(value).__name__ if str(dtype) == "object" else str(dtype) for value in strange), None)


def frame_to_numpy(frame) -> np.ndarray:
    """Values (n_samples, n_columns) or (n_samples,) of a pandas frame or series; missing numbers are NaN."""
    array = np.asarray(frame)
    if array.dtype == object and _all_numbers(frame):
        return frame.to_numpy(dtype=np.float64, na_value=np.nan)
    return array


def frame_to_dask(frame, lengths=None):
    """The same, lazily, of a dask frame or series; `lengths` as `to_dask_array` takes it."""
    if _all_numbers(frame):
        if np.asarray(frame._meta).dtype == object:
            frame = frame.astype(np.float64)
    else:
        # Of text and categories Dask would say that it supports them little, each time.
        frame = frame.astype(object)
    return frame.to_dask_array(lengths=lengths)


def _all_numbers(frame):
    dtypes = frame.dtypes
    return all(getattr(dtype, "kind", "O") in "fiub" for dtype in (list(dtypes) if np.iterable(dtypes) else [dtypes]))
