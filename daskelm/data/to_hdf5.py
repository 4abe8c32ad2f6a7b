"""Arrays, dask collections and text tables to one HDF5 dataset, in bounded memory, atomically."""

from __future__ import annotations

import os
from collections.abc import Iterable
from numbers import Integral

import dask
import h5py
import numpy as np

from ..exceptions import DataError, FileFormatError, FileMissingError, InputTypeError, ParameterError
from ..hdf5.atomic import check_replaceable
from ..hdf5.columns import write_columns
from ..hdf5.outputs import check_not_an_input
from ..hdf5.paths import check_regular, refuse_url
from ..hdf5.target import new_hdf5
from ..parquet.rows import is_table_path, open_rows
from ..progress import RowProgress
from .blocks import BLOCK_BYTES, computed_blocks, row_blocks
from .frames import check_columns, frame_to_numpy, frames_to_dask, is_frame
from .interop import to_supported
from .refusals import checked
from .source import is_dask_array
from .text import is_text_path, read_text

__all__ = ["check_ending", "make_hdf5", "stream_hdf5", "to_hdf5"]

# Bytes of a chunk of the file: 1 MiB is little to read for a few rows, and enough to read all rows at full speed.
_CHUNK_BYTES = 2**20
# Endings of the names of files of other formats, and of compressed files.
_OTHER_ENDINGS = (
    *(".arrow", ".feather", ".parquet", ".npy", ".npz", ".zarr", ".onnx", ".xls", ".xlsx"),
    *(".csv", ".tsv", ".txt", ".json", ".jsonl", ".joblib", ".pickle", ".pkl", ".skops"),
    *(".bz2", ".gz", ".xz", ".zip", ".zst"),
)


def make_hdf5(
    data,
    path,
    dataset: str = "data",
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    skiprows: int = 0,
    dtype=None,
    compression=None,
    overwrite: bool = False,
    verbose: int | bool = 0,
) -> str:
    """Write data to an HDF5 file as one 2-D dataset; in bounded memory, and all of it or nothing.

    Parameters
    ----------
    data : array-like, dask array, dask dataframe, array of zarr or xarray, path, or tuple of int
        Numbers of shape (n_samples, n_features), or (n_samples,) for one column; the path of a ``.npy``, ``.csv``,
        ``.txt``, ``.tsv`` or ``.dat`` file, the text ones also as ``.gz`` or ``.bz2``; Parquet or Arrow files, as
        `from_parquet` takes them, whose columns keep their names; or a shape (n_samples,
        n_features), to be filled with h5py later; chunks that were not filled are an error when they are read.
    path : str or path-like
        File to write. An existing file is replaced once the new one is complete: without `overwrite` only an empty
        file, or one that daskelm wrote and that holds this dataset alone.
    dataset : str, default="data"
        Name of the dataset.
    delimiter : str, optional
        Separator of the fields of text files; found from the first line if not given.
    header : bool, optional
        Whether the first line of a text file names its columns; found from the file if not given.
    skiprows : int, default=0
        Lines to leave out at the beginning of text files, comments for example.
    dtype : dtype, optional
        Type of the numbers in the dataset; that of the data if not given, float64 for text.
    compression : str or mapping, optional
        ``"gzip"``, ``"lzf"``, or a filter of the package hdf5plugin, such as ``hdf5plugin.Zstd()``.
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
        More than two dimensions, lines of different length, or empty fields.
    InputTypeError
        Text columns, records, or sparse matrices.
    ParameterError
        A path with the ending of another format, or one that the data is read from.
    FileMissingError
        No such file, or no such folder to write to.
    FileWriteError
        A file that daskelm did not write as such a table exists, and `overwrite` is not set; or the disk is full.

    Examples
    --------
    >>> import numpy as np
    >>> from daskelm import from_hdf5, make_hdf5
    >>> make_hdf5(np.eye(3), "eye.h5")
    'eye.h5'
    >>> from_hdf5("eye.h5").shape
    (3, 3)
    """
    dtype = _number_dtype(dtype)
    check_ending(path, "path")
    if not isinstance(skiprows, Integral) or isinstance(skiprows, bool) or skiprows < 0:
        raise ParameterError(f"skiprows must be an int >= 0; got {skiprows!r}.")
    if isinstance(data, tuple) and all(isinstance(n, Integral) for n in data):
        return _make_empty(data, path, dataset, dtype or np.dtype(np.float64), compression, overwrite)
    if is_table_path(data):
        return _from_table(data, path, dataset, dtype, compression, overwrite, verbose)
    data = to_supported(data, "data")
    if dask.is_dask_collection(data):
        return to_hdf5(data, path, dataset, dtype=dtype, compression=compression, overwrite=overwrite, verbose=verbose)
    if isinstance(data, str | os.PathLike | np.ndarray | h5py.Dataset):
        check_not_an_input(path, "path", data=data)
    check_replaceable(path, "data", overwrite, _name(dataset))
    blocks, total = _blocks_of(data, delimiter, header, int(skiprows))
    _write(blocks, path, dataset, dtype, compression, overwrite, RowProgress(total, verbose, "make_hdf5"))
    return os.fspath(path)


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
        Numbers; lengths of chunks may be unknown.
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
        More than two dimensions.
    InputTypeError
        Not a dask array or dataframe, or one of text.
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
    dtype=None,
    compression=None,
    overwrite: bool = False,
    verbose: int | bool = 0,
    label="to_hdf5",
    trusted: bool = False,
) -> str:
    """`to_hdf5`, with a `label` for its progress; chunks of a `trusted` array, made by daskelm, are not checked.

    A trusted array may hold text, which is written with variable length.
    """
    check_ending(path, "path")
    array = to_supported(array, "array")
    if is_frame(array) and dask.is_dask_collection(array):
        check_columns(array, "data")
        (array,) = frames_to_dask([array])
    if not is_dask_array(array):
        raise InputTypeError(
            f"array must be a dask array or dataframe; got {type(array).__name__}. Other data is written by make_hdf5."
        )
    words = trusted and array.dtype.kind in "UO"
    if not words:
        _check_kind(array.dtype, array.ndim, array.shape)
    check_not_an_input(path, "path", array=array)
    check_replaceable(path, "data", overwrite, _name(dataset))
    array = array if trusted else checked(array, "array")
    if array.ndim == 2 and array.numblocks[1] > 1:
        array = array.rechunk({1: -1})
    total = None if np.isnan(array.shape[0]) else array.shape[0]
    progress = RowProgress(total, verbose, label)
    dtype = h5py.string_dtype() if words else _number_dtype(dtype) or array.dtype
    _write(computed_blocks(array), path, dataset, dtype, compression, overwrite, progress)
    return os.fspath(path)


def check_ending(path, name: str) -> None:
    """Refuse a file to write whose name has the ending of another format than HDF5; `name` is the argument's."""
    ending = os.path.splitext(os.fspath(path))[1].lower()
    if ending in _OTHER_ENDINGS:
        raise ParameterError(
            f"{name}: what is written is HDF5, and its name must not say otherwise; got {os.fspath(path)!r}. Use an "
            "ending such as .h5. Other formats are written by other libraries: text by numpy.savetxt, zarr by "
            "dask.array.to_zarr."
        )


def _from_table(data, path, dataset, dtype, compression, overwrite, verbose):
    """Columns of Parquet or Arrow files as a dataset that keeps their names."""
    rows = open_rows(data)
    check_not_an_input(path, "path", data=[data, rows])
    check_replaceable(path, "data", overwrite, _name(dataset))
    progress = RowProgress(rows.n_rows, verbose, "make_hdf5")
    with rows.open(reuse=True) as reader:
        bounds = rows.block_bounds(max(BLOCK_BYTES // (rows.n_columns * rows.dtype.itemsize), 1)) or [(0, 0)]
        blocks = (reader.read(start, stop) for start, stop in bounds)
        _write(blocks, path, dataset, dtype or rows.dtype, compression, overwrite, progress, rows.columns)
    return os.fspath(path)


def _make_empty(shape, path, dataset, dtype, compression, overwrite):
    """A file with an empty table of this shape, for users to fill."""
    if len(shape) != 2 or min(shape) < 0:
        raise DataError(f"data: a tuple of int is a shape, (n_samples, n_features), both >= 0; got {shape}.")
    # Without the mark of daskelm's own tables, it is not replaced silently once users have filled it.
    with new_hdf5(path, _name(dataset), overwrite=overwrite, mark=False) as (file, _):
        _create(file, dataset, shape, dtype, compression, shape[0])
    return os.fspath(path)


def _blocks_of(data, delimiter, header, skiprows) -> tuple[Iterable[np.ndarray], int | None]:
    """Blocks of rows of a file or of data in memory, and the number of rows, which is unknown for text: None."""
    if not isinstance(data, str | os.PathLike):
        array = _as_numbers(data)
    else:
        refuse_url(data, "data to convert", "Copy it first, for example with fsspec.filesystem(...).get(url, path).")
        if is_text_path(data):
            return read_text(data, delimiter, header, skiprows), None
        array = _load_npy(data)
    return row_blocks(array), len(array)


def _write(blocks, path, dataset, dtype, compression, overwrite, progress, columns=None):
    with new_hdf5(path, _name(dataset), overwrite=overwrite) as (file, check):
        target, n_rows = None, 0
        for block in blocks:
            block = block[:, None] if block.ndim == 1 else block
            if target is None:
                dtype = np.dtype(dtype or block.dtype)
                target = _create(file, dataset, (0, block.shape[1]), dtype, compression, progress.total)
                if columns is not None:
                    write_columns(target, columns)
            target.resize(n_rows + len(block), axis=0)
            target[n_rows:] = _cast(block, target.dtype, n_rows)
            check()
            n_rows += len(block)
            progress.advance(len(block))


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


def _create(file, dataset, shape, dtype, compression, n_rows):
    """An empty dataset that can grow; `n_rows` is the number of rows to come, None where it is unknown."""
    rows = max(_CHUNK_BYTES // max(shape[1] * dtype.itemsize, 1), 1)
    # HDF5 writes whole chunks: ten rows in a chunk of 1 MiB would make a file of 1 MiB.
    rows = min(rows, n_rows or rows)
    options = {"compression": compression} if isinstance(compression, str) else dict(compression or {})
    chunks = (rows, max(shape[1], 1))
    try:
        return file.create_dataset(dataset, shape, dtype, chunks=chunks, maxshape=(None, shape[1] or None), **options)
    except ValueError as error:
        raise ParameterError(
            f"compression must be None, 'gzip', 'lzf' or a filter of hdf5plugin; got {compression!r} ({error})."
        ) from None


def _name(dataset):
    """The checked name of a dataset."""
    if not isinstance(dataset, str) or not dataset.strip("/"):
        raise ParameterError(f"dataset must be a name, such as 'data'; got {dataset!r}.")
    return dataset


def _number_dtype(dtype):
    if dtype is None:
        return None
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = np.dtype(object)
    if found.kind not in "fiub":
        raise ParameterError(f"dtype must be one of numbers, such as 'float32' or 'int16'; got {dtype!r}.")
    return found


def _load_npy(path):
    check_regular(path)
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise FileMissingError(f"{path}: no such file.") from None
    except (ValueError, IsADirectoryError):
        raise FileFormatError(
            f"{path} must be a .npy file of numbers, or text named .csv, .txt, .tsv or .dat; got another kind of file, "
            "or a damaged one. Load it yourself and give the array."
        ) from None
    _check_kind(array.dtype, array.ndim, array.shape)
    return array


def _as_numbers(data):
    try:
        check_columns(data, "data")
        array = frame_to_numpy(data) if is_frame(data) else np.asarray(data)
    except ValueError as error:
        raise DataError(f"data must be a table, with rows of equal length ({error}).") from None
    _check_kind(array.dtype, array.ndim, array.shape)
    return array


def _check_kind(dtype, ndim, shape):
    if dtype.kind not in "fiub":
        raise InputTypeError(
            f"data must hold numbers; got {dtype} (text, dates or records). Drop such columns or code them as numbers."
        )
    if ndim not in (1, 2):
        raise DataError(f"data must be 2-D (rows, columns) or 1-D; got shape {shape}. Reshape it first.")
