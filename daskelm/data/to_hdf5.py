"""Dask arrays and dataframes to one HDF5 dataset, in bounded memory, atomically."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

import dask
import h5py
import numpy as np

from ..exceptions import InputTypeError
from ..hdf5.atomic import check_replaceable
from ..hdf5.file_rows import FileRows
from ..hdf5.outputs import check_not_an_input
from ..progress import RowProgress
from ..sparse import as_block, is_sparse
from .blocks import computed_blocks
from .coded_columns import CodedBlock, CodedColumns
from .coded_frames import coded_parts, has_texts, levels_declared, names_of
from .frames import check_columns, frames_to_dask, is_frame
from .from_hdf5 import check_uncoded, rows_behind
from .interop import to_supported
from .refusals import checked
from .source import is_dask_array
from .sparse_file import write_sparse
from .table_file import check_ending, check_kind, check_name, number_dtype, write_table

__all__ = ["stream_hdf5", "to_hdf5"]


def to_hdf5(
    array,
    path,
    dataset: str = "data",
    *,
    dtype=None,
    compression=None,
    overwrite: bool = False,
    verbose: int | bool = 0,
) -> str:
    """Stream a dask array to one HDF5 file as a 2-D dataset, in bounded memory, from any scheduler, all or nothing.

    A few chunks more than there are threads are computed at a time, and written here in the order of their rows.

    Parameters
    ----------
    array : dask array or dataframe, or array of zarr or xarray, of shape (n_samples, n_features) or (n_samples,)
        Numbers; lengths of chunks may be unknown. Columns of text and of categories become codes, and their levels
        are kept in the file, with the names of the columns.
    path : str or path-like
        File to write. An existing file is replaced once the new one is complete: without `overwrite` only an empty
        file, or one that daskelm wrote and that holds this dataset alone.
    dataset : str, default="data"
        Name of the dataset.
    dtype : dtype, optional
        Type of the numbers in the dataset; that of the array if not given.
    compression : str or mapping, optional
        ``"gzip"``, ``"lzf"``, or a filter of the package hdf5plugin.
    overwrite : bool, default=False
        Whether to replace any regular file, whatever it holds; an input is never replaced.
    verbose : int or bool, default=0
        Whether to show progress.

    Returns
    -------
    str
        The path.

    Raises
    ------
    DataError
        More than two dimensions; a column of text with too many texts.
    InputTypeError
        Not a dask array or dataframe; columns of times.
    ParameterError
        A path with the ending of another format, or one that the array is read from.
    FileWriteError
        A file that daskelm did not write as such a table exists, and `overwrite` is not set; or the disk is full.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskelm import from_hdf5, to_hdf5
    >>> to_hdf5(da.ones((1000, 3), chunks=(100, 3)), "ones.h5")
    'ones.h5'
    >>> from_hdf5("ones.h5").shape
    (1000, 3)
    """
    return stream_hdf5(array, path, dataset, dtype=dtype, compression=compression, overwrite=overwrite, verbose=verbose)


def stream_hdf5(
    array,
    path,
    dataset="data",
    *,
    columns: CodedColumns | None = None,
    blocks_of: Callable[[Iterator], Iterator] = iter,
    dtype=None,
    compression=None,
    overwrite: bool = False,
    verbose: int | bool = 0,
    label="to_hdf5",
    trusted: bool = False,
) -> str:
    """`to_hdf5`, with a `label` for its progress; chunks of a `trusted` array, made by daskelm, are not checked.

    A trusted array may hold text, which is written with variable length. `columns` has names and known levels, if they
    are not those of the frame; `blocks_of` goes over the computed blocks.
    """
    check_ending(path, "path")
    array = to_supported(array, "array")
    dtype, total = number_dtype(dtype), None
    if is_frame(array) and dask.is_dask_collection(array):
        columns = columns or CodedColumns(names_of(array), levels_declared(array) if has_texts(array) else None)
        if has_texts(array):
            array = coded_parts(array)
        else:
            check_columns(array, "data")
            (array,) = frames_to_dask([array])
    elif not is_dask_array(array):
        raise InputTypeError(
            f"array must be a dask array or dataframe; got {type(array).__name__}. Other data is written by make_hdf5."
        )
    words = trusted and is_dask_array(array) and array.dtype.kind in "UO"
    check_not_an_input(path, "path", array=array)
    check_replaceable(path, "data", overwrite, check_name(dataset))
    if is_dask_array(array):
        if columns is None and (rows := _files_behind(array)) is not None:
            columns, with_levels = _columns_of(rows)
            blocks_of = partial(_one_after_another, with_levels, blocks_of)
        if not words:
            check_kind(array.dtype, array.ndim, array.shape)
        array = array if trusted else checked(array, "array")
        if array.ndim == 2 and array.numblocks[1] > 1:
            array = array.rechunk({1: -1})
        total = None if np.isnan(array.shape[0]) else array.shape[0]
        if is_sparse(array._meta):
            sparse = map(as_block, computed_blocks(array))
            written = {"dtype": dtype, "compression": compression, "overwrite": overwrite}
            write_sparse(sparse, path, dataset, RowProgress(total, verbose, label), **written)
            return os.fspath(path)
    columns = columns or CodedColumns(None)
    progress = RowProgress(total, verbose, label)
    if words:
        dtype = h5py.string_dtype()
    blocks = blocks_of(computed_blocks(array))
    write_table(blocks, path, dataset, columns, progress, dtype=dtype, compression=compression, overwrite=overwrite)
    return os.fspath(path)


def _files_behind(array) -> FileRows | None:
    """The rows of files with names of columns that an array is; None for any other array."""
    rows = rows_behind(array)
    if rows is None:
        check_uncoded(array, "array")
    return None if rows is None or rows.columns is None else rows


def _one_after_another(first, then, blocks):
    return then(first(blocks))


def _columns_of(rows) -> tuple[CodedColumns, Callable]:
    """Names and levels of the columns of files, and a function that gives blocks of their rows their levels."""
    levels = {i: column.levels for i, column in enumerate(rows.columns) if column.levels is not None}
    # The codes of a block are changed where they are.
    return CodedColumns(rows.names, levels), lambda blocks: (CodedBlock(np.array(one), levels) for one in blocks)
