"""Tables written to one HDF5 dataset, block by block, with the names and the levels of their columns."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..exceptions import DataError, InputTypeError, ParameterError
from ..hdf5.columns import Column, write_columns
from ..hdf5.target import new_hdf5
from ..progress import RowProgress
from .coded_columns import CodedBlock, CodedColumns

__all__ = [
    "check_ending",
    "check_kind",
    "check_name",
    "create_table",
    "create_vector",
    "number_dtype",
    "write_table",
]

# Bytes of a chunk of the file: 1 MiB is little to read for a few rows, and enough to read all rows at full speed.
_CHUNK_BYTES = 2**20
_VECTOR_CHUNK_BYTES = 2**17
# Endings of the names of files of other formats, and of compressed files.
_OTHER_ENDINGS = (
    *(".arrow", ".feather", ".parquet", ".npy", ".npz", ".zarr", ".onnx", ".xls", ".xlsx"),
    *(".csv", ".tsv", ".txt", ".json", ".jsonl", ".joblib", ".pickle", ".pkl", ".skops"),
    *(".bz2", ".gz", ".xz", ".zip", ".zst"),
)


def check_ending(path, name: str) -> None:
    """Refuse a file to write whose name has the ending of another format than HDF5; `name` is the argument's."""
    ending = os.path.splitext(os.fspath(path))[1].lower()
    if ending in _OTHER_ENDINGS:
        raise ParameterError(
            f"{name}: what is written is HDF5, and its name must not say otherwise; got {os.fspath(path)!r}. Use an "
            "ending such as .h5. Other formats are written by other libraries: text by numpy.savetxt, zarr by "
            "dask.array.to_zarr."
        )


def write_table(
    blocks: Iterable[CodedBlock | np.ndarray | None],
    path,
    dataset: str,
    columns: CodedColumns,
    progress: RowProgress,
    *,
    dtype=None,
    compression=None,
    overwrite: bool = False,
    judge: Callable[[list[Column] | None], None] = lambda described: None,
) -> None:
    """Write blocks of rows as one dataset, all of them or nothing, and describe the columns beside it.

    Parameters
    ----------
    blocks : iterable of CodedBlock, ndarray or None
        Rows in their order; after None they begin anew with the first.
    path : str or path-like
        File to write.
    dataset : str
        Name of the dataset.
    columns : CodedColumns
        Names and known levels of the columns; those of the blocks are added.
    progress : RowProgress
        Counts the rows.
    dtype, compression, overwrite : optional
        As of `make_hdf5`.
    judge : callable, optional
        Called with the columns before the file takes its place, which an error prevents.
    """
    with new_hdf5(path, check_name(dataset), overwrite=overwrite) as (file, check):
        target: Any = None
        n_rows = 0
        for block in blocks:
            if block is None:
                columns.forget()
                target.resize(0, axis=0)
                n_rows = progress.n = 0
                continue
            numbers = columns.coded(block)
            if target is None:
                dtype = np.dtype(dtype or numbers.dtype)
                target = create_table(file, dataset, (0, numbers.shape[1]), dtype, compression, progress.total)
            target.resize(n_rows + len(numbers), axis=0)
            target[n_rows:] = _cast(numbers, target.dtype, n_rows)
            check()
            n_rows += len(numbers)
            progress.advance(len(numbers))
        described = columns.columns()
        judge(described)
        if target is not None and described is not None:
            _check_codes(described, target.dtype)
            write_columns(target, described)
            check()


def _check_codes(columns, dtype):
    for column in columns:
        if column.levels and int(dtype.type(len(column.levels) - 1)) != len(column.levels) - 1:
            raise DataError(
                f"dtype: {dtype} must hold the codes of the {len(column.levels):,} levels of column {column.name!r}. "
                "Use a wider dtype."
            )


def _cast(block, dtype, first_row):
    """The block in the dtype asked for; floats may lose digits, integers must hold all values exactly."""
    if dtype.kind == "f" or block.dtype == dtype:
        return block
    with np.errstate(invalid="ignore"):
        cast = block.astype(dtype)
    if (changed := (cast != block).any(axis=1)).any():
        row = int(np.argmax(changed))
        raise DataError(
            f"dtype: {dtype} must hold all values unchanged; got {block[row].tolist()[:6]} first in row "
            f"{first_row + row}. Use a wider dtype, or round and clip first."
        )
    return cast


def create_table(file, dataset: str, shape: tuple[int, int], dtype: np.dtype, compression, n_rows: int | None):
    """An empty dataset that can grow; `n_rows` is the number of rows to come, None where it is unknown."""
    rows = max(_CHUNK_BYTES // max(shape[1] * dtype.itemsize, 1), 1)
    # HDF5 writes whole chunks: ten rows in a chunk of 1 MiB would make a file of 1 MiB.
    rows = min(rows, n_rows or rows)
    return _created(file, dataset, shape, dtype, (rows, max(shape[1], 1)), (None, shape[1] or None), compression)


def create_vector(group, name: str, dtype, compression):
    """An empty vector that can grow."""
    dtype = np.dtype(dtype)
    # A file of few rows has three vectors of a chunk each.
    return _created(group, name, (0,), dtype, (_VECTOR_CHUNK_BYTES // dtype.itemsize,), (None,), compression)


def _created(group, name, shape, dtype, chunks, maxshape, compression):
    options = {"compression": compression} if isinstance(compression, str) else dict(compression or {})
    try:
        return group.create_dataset(name, shape, dtype, chunks=chunks, maxshape=maxshape, **options)
    except ValueError as error:
        raise ParameterError(
            f"compression must be None, 'gzip', 'lzf' or a filter of hdf5plugin; got {compression!r} ({error})."
        ) from None


def check_name(dataset) -> str:
    """The checked name of a dataset."""
    if not isinstance(dataset, str) or not dataset.strip("/"):
        raise ParameterError(f"dataset must be a name, such as 'data'; got {dataset!r}.")
    return dataset


def number_dtype(dtype) -> np.dtype | None:
    """The checked dtype of numbers that was asked for; None if none was."""
    if dtype is None:
        return None
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = np.dtype(object)
    if found.kind not in "fiub":
        raise ParameterError(f"dtype must be one of numbers, such as 'float32' or 'int16'; got {dtype!r}.")
    return found


def check_kind(dtype: np.dtype, ndim: int, shape: tuple) -> None:
    """Refuse arrays that hold no numbers, or have more than two dimensions."""
    if dtype.kind not in "fiub":
        raise InputTypeError(
            f"data must hold numbers; got {dtype} (text, dates or records). Drop such columns or code them as numbers."
        )
    if ndim not in (1, 2):
        raise DataError(f"data must be 2-D (rows, columns) or 1-D; got shape {shape}. Reshape it first.")
