"""What cannot be used as X, y or weights, though it may look like data: errors that name it and say the way out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import h5py
import numpy as np
import scipy.sparse
from dask.delayed import Delayed

from .exceptions import DataError, InputTypeError

__all__ = ["check_chunk", "refuse_promises", "refuse_unusable"]


def refuse_unusable(value, name: str) -> None:
    """Refuse what would be read as something else, or not at all: sparse, masked, an HDF5 file without a dataset."""
    refuse_promises(value, name)
    if scipy.sparse.issparse(value) or hasattr(value, "toarray"):
        raise InputTypeError(
            f"{name}: sparse matrices are not supported, since a hidden layer of random weights makes them dense at "
            f"once; got {type(value).__name__}. Use {name}.toarray(), or reduce the columns first, for example with "
            "sklearn.decomposition.TruncatedSVD."
        )
    if isinstance(value, np.ma.MaskedArray):
        raise InputTypeError(
            f"{name}: masked arrays are not supported, since what is behind the mask would be used; got "
            f"{type(value).__name__}. Fill them, {name}.filled(value), or drop these rows."
        )
    if isinstance(value, h5py.Group):
        raise InputTypeError(
            f"{name}: an HDF5 file or group holds datasets by name; got {value!r}. Give one: file[name], or its path."
        )


def refuse_promises(value, name: str) -> None:
    """Refuse what stands for data without being it: delayed values, futures, iterators, paths in an odd container."""
    several = isinstance(value, list | tuple) and bool(value)
    first = value[0] if several else value
    kinds = (Delayed, sys.modules["distributed"].Future) if "distributed" in sys.modules else (Delayed,)
    if isinstance(first, kinds):
        got = f"{type(value).__name__} of {type(first).__name__}" if several else type(first).__name__
        raise InputTypeError(
            f"{name} must be an array or a table; got {got}, whose shape and type are not known before it is "
            "computed. Declare them: dask.array.from_delayed(dask.delayed(value), shape=, dtype=), several of these "
            "joined by dask.array.concatenate, or dask.dataframe.from_delayed(values)."
        )
    paths = isinstance(value, set | frozenset | Iterator | bytes)
    if not paths and getattr(value, "ndim", 0) == 1 and getattr(getattr(value, "dtype", None), "kind", "") in "OUST":
        words = np.asarray(value[:1]).tolist()
        paths = bool(words) and isinstance(words[0], str | bytes) and os.path.exists(words[0])
    if paths:
        raise InputTypeError(
            f"{name}: several files are given as a list of paths, in the order of their rows; got "
            f"{type(value).__name__}. Use list(...), and os.fsdecode(path) for paths in bytes."
        )


def check_chunk(chunk, n_rows: float, first_row: int, *, name: str, dtype: np.dtype, tail: tuple) -> np.ndarray:
    """A chunk of a dask array, refused where it is not what the array declares.

    Parameters
    ----------
    chunk : object
        What the task of the chunk gave.
    n_rows : int or nan
        Its declared number of rows; nan where that is not known.
    first_row : int
        The declared number of its first row, for errors.
    name : str
        The argument's, for errors.
    dtype : dtype
        Declared type of its numbers.
    tail : tuple
        Declared shape of a row.

    Returns
    -------
    ndarray
        The chunk.
    """
    chunk = np.asarray(chunk) if isinstance(chunk, np.generic) else chunk
    refuse_unusable(chunk, f"{name} (its chunk from row {first_row} on)")
    numbers = dtype.kind not in "fiub" or getattr(chunk, "dtype", dtype).kind in "fiub"
    if not isinstance(chunk, np.ndarray) or not numbers:
        got = f"an array of {chunk.dtype}" if isinstance(chunk, np.ndarray) else type(chunk).__name__
        raise InputTypeError(
            f"{name}: chunks must be NumPy arrays of {dtype}, as the dask array declares; got {got} from row "
            f"{first_row} on. Make them so with map_blocks or map_partitions, for example by numpy.asarray, and "
            "declare their dtype."
        )
    rows = chunk.shape[:1] if np.isnan(n_rows) else (n_rows,)
    if chunk.shape != (*rows, *tail):
        raise DataError(
            f"{name}: chunks must have the shape that the dask array declares, {(*rows, *tail)} from row {first_row} "
            f"on; got {chunk.shape}. The source gave other rows than it was said to, or than when they were counted: "
            "declare its chunks as they are, and let it give the same rows each time."
        )
    return chunk
