"""Data frames to arrays: columns of numbers, booleans and nullable numbers become one table of numbers."""

from __future__ import annotations

import numpy as np

__all__ = ["frame_to_dask", "frame_to_numpy", "is_frame"]


def is_frame(value) -> bool:
    """Whether a value is a data frame or a series, of pandas or of dask."""
    return hasattr(value, "dtypes") and (hasattr(value, "to_numpy") or hasattr(value, "to_dask_array"))


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
