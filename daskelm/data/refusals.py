"""Refusals of values that look like data but cannot be X, y or weights: errors that name them and the remedy."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import h5py
import numpy as np
from dask.base import tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from ..exceptions import DataError, InputTypeError
from ..hdf5.rows import Hdf5Rows
from ..lazy import da
from ..sparse import is_sparse

__all__ = ["check_chunk", "checked", "refuse_promises", "refuse_unusable"]


# Arguments that may be sparse.
_MAY_BE_SPARSE = ("X", "data", "array")


def refuse_unusable(value, name: str) -> None:
    """Refuse values that would be misread or cannot be read: promises, masked arrays, HDF5 groups; sparse ones but X.

    `name` begins with the name of the argument.
    """
    refuse_promises(value, name)
    # All sparse matrices and arrays of SciPy have this method, and those of other libraries.
    if hasattr(value, "toarray") and not (name.split()[0] in _MAY_BE_SPARSE and is_sparse(value)):
        got, argument = type(value).__name__, name.split()[0]
        dense = f"{argument}.toarray()"
        if name != argument:
            dense = f"{argument}.map_blocks(lambda block: block.toarray(), meta=numpy.empty((0, 0)))"
        if argument in _MAY_BE_SPARSE:
            raise InputTypeError(
                f"{name}: sparse rows must be a matrix or an array of SciPy; got {got} of {type(value).__module__}. "
                f"Use scipy.sparse.csr_array, or {dense}."
            )
        raise InputTypeError(f"{name} must be dense, since only X may be sparse; got {got}. Use {dense}.")
    if is_sparse(value) and value.ndim != 2:
        raise DataError(f"{name} must have rows and columns; got a sparse array of shape {value.shape}.")
    if isinstance(value, np.ma.MaskedArray):
        raise InputTypeError(
            f"{name}: masked arrays are not supported, since the numbers behind the mask would be used; got "
            f"{type(value).__name__}. Fill them with filled(value), or drop these rows."
        )
    if isinstance(value, h5py.Group):
        raise InputTypeError(
            f"{name}: an HDF5 file or group holds datasets by name; got {value!r}. Give one: file[name], or its path."
        )


def _holds(dtype, chunk):
    """Whether a dtype holds the numbers of a chunk; floats may lose digits."""
    if np.can_cast(chunk.dtype, dtype):
        return True
    # Integers of a wider type than declared are right as long as the declared one holds their values.
    integers = chunk.dtype.kind in "iub" and dtype.kind in "iub"
    return bool((chunk.astype(dtype) == chunk).all()) if integers else np.can_cast(chunk.dtype, dtype, "same_kind")


def _refuse_missing(chunk, name, first_row):
    """Refuse NaN in floats that should be integers: nullable integers become floats where some are missing."""
    missing = np.isnan(chunk).reshape(len(chunk), -1).any(axis=1)
    if missing.any():
        row = first_row + int(np.argmax(missing))
        raise DataError(f"{name} must be finite; got NaN first in row {row}. Fill or drop such rows.")


def refuse_promises(value, name: str) -> None:
    """Refuse promises of data: delayed values, futures, iterators, and paths in other containers than lists."""
    if isinstance(value, h5py.Dataset | Hdf5Rows):
        # Their text is labels, and NumPy may not have a dtype for a dataset.
        return
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


def checked(array: da.Array, name: str) -> da.Array:
    """An equal array whose chunks are checked: a chunk that is not what the array declares is refused by name.

    Dask trusts what an array declares: the numbers behind a mask would be used, and rechunking and slices would drop
    rows of a chunk that is too long. So the check comes before them.

    Parameters
    ----------
    array : dask array of shape (n_samples,) or (n_samples, n_columns)
        An array that a user gave.
    name : str
        Name of the argument, for errors.

    Returns
    -------
    dask array
    """
    layer = f"checked-{tokenize(array.name, name)}"
    starts = np.cumsum((0, *array.chunks[0])).tolist()
    check = partial(check_chunk, name=name, dtype=array.dtype, sparse=is_sparse(array._meta))
    tasks: dict = {}
    for place in product(*map(range, array.numblocks)):
        size, *tail = (sizes[i] for sizes, i in zip(array.chunks, place, strict=True))
        tasks[(layer, *place)] = (check, (array.name, *place), size, starts[place[0]], tuple(tail))
    below: Any = array
    graph = HighLevelGraph.from_collections(layer, tasks, dependencies=[below])
    return da.Array(graph, layer, array.chunks, meta=array._meta)


def check_chunk(
    chunk, n_rows: float, first_row: int, tail: tuple, *, name: str, dtype: np.dtype, sparse: bool = False
) -> Any:
    """A chunk of a dask array, refused where it is not what the array declares.

    Parameters
    ----------
    chunk : object
        Result of the task of the chunk.
    n_rows : int or nan
        Declared number of rows; nan where it is not known.
    first_row : int
        Declared number of the first row, for errors.
    tail : tuple
        Declared shape of a row.
    name : str
        Name of the argument, for errors.
    dtype : dtype
        Declared dtype.
    sparse : bool, default=False
        Whether the chunks are declared to be sparse.

    Returns
    -------
    ndarray, or sparse matrix or array
        The chunk.
    """
    chunk = np.asarray(chunk) if isinstance(chunk, np.generic) else chunk
    refuse_unusable(chunk, f"{name} (its chunk from row {first_row} on)")
    if isinstance(chunk, np.ndarray) and chunk.dtype.kind == "f" and dtype.kind in "iub":
        _refuse_missing(chunk, name, first_row)
    is_array = is_sparse(chunk) if sparse else isinstance(chunk, np.ndarray)
    # Dask casts chunks to the declared dtype when it joins them: fractions would silently become integers.
    if not is_array or not _holds(dtype, chunk.tocsr().data if sparse else chunk):
        got = f"{'sparse rows' if sparse else 'an array'} of {chunk.dtype}" if is_array else type(chunk).__name__
        kind = "sparse, of SciPy," if sparse else "NumPy arrays"
        remedy = "by numpy.asarray, and declare their dtype"
        if sparse or is_sparse(chunk):
            remedy = "by scipy.sparse.csr_array, and declare meta=scipy.sparse.csr_array((0, 0), dtype=dtype)"
        raise InputTypeError(
            f"{name}: chunks must be {kind} of {dtype}, as the dask array declares; got {got} from row {first_row} on. "
            f"Make them so with map_blocks or map_partitions, for example {remedy}."
        )
    chunk = chunk.astype(dtype, copy=False) if dtype.kind in "iub" and chunk.dtype.kind in "iub" else chunk
    rows = chunk.shape[:1] if np.isnan(n_rows) else (n_rows,)
    if chunk.shape != (*rows, *tail):
        raise DataError(
            f"{name}: chunks must have the shape that the dask array declares, {(*rows, *tail)} from row {first_row} "
            f"on; got {chunk.shape}. The source gave other rows than declared, or than when they were counted: declare "
            "its chunks as they are, and make it give the same rows each time."
        )
    return chunk
