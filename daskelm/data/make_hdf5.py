"""Arrays, frames, text tables and `.npy` files to one HDF5 dataset, in bounded memory, atomically."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterable
from numbers import Integral
from typing import Any

import dask
import h5py
import numpy as np

from ..exceptions import DataError, FileFormatError, FileMissingError, ParameterError, TableWarning
from ..hdf5.atomic import check_replaceable
from ..hdf5.formats import refuse_format
from ..hdf5.outputs import check_not_an_input
from ..hdf5.paths import check_regular, refuse_url
from ..hdf5.target import new_hdf5
from ..parquet.rows import column_names, is_table_path, open_rows
from ..progress import RowProgress
from .blocks import BLOCK_BYTES, row_blocks
from .coded_columns import CodedBlock, CodedColumns
from .coded_frames import coded_frame, has_texts, levels_declared, names_of
from .dates import date_places, seconds_in_frame
from .frames import check_columns, frame_to_numpy, is_frame
from .gaps import Gaps, say_gaps, words_of
from .interop import header_of, to_supported
from .npy import load_npy
from .selected_columns import select_columns
from .sparse_tables import is_sparse_table, write_sparse_table
from .table_file import check_ending, check_kind, check_name, create_table, number_dtype, write_table
from .text import TextTable, is_text_path
from .text_form import TextOptions
from .to_hdf5 import stream_hdf5

__all__ = ["convert", "make_hdf5"]


def make_hdf5(
    data,
    path,
    dataset: str = "data",
    *,
    columns=None,
    exclude=None,
    dates=None,
    missing_values=None,
    delimiter: str | None = None,
    header: bool | None = None,
    skiprows: int = 0,
    decimal: str = ".",
    thousands: str | None = None,
    comment: str | None = None,
    encoding: str = "utf-8",
    dtype=None,
    compression=None,
    overwrite: bool = False,
    verbose: int | bool = 0,
) -> str:
    r"""Write data to an HDF5 file as one 2-D dataset; in bounded memory, and all of it or nothing.

    Names of columns are kept in the file where they are known. Columns of text and of categories become codes, and
    their levels are kept beside them. Gaps become NaN.

    Parameters
    ----------
    data : array-like, frame, dask array or dataframe, array of zarr or xarray, path, or tuple of int
        Numbers of shape (n_samples, n_features), or (n_samples,) for one column; a table with names; the path of a
        ``.npy`` file or of a text table (``.csv``, ``.tsv``, ``.txt``, ``.dat``, ``.data``, ...), which may be
        compressed (``.gz``, ``.bz2``, ``.xz``, ``.zip``, ``.zst``); or a shape (n_samples, n_features), to be filled
        with h5py later; chunks that were not filled are an error when they are read.
    path : str or path-like
        File to write. An existing file is replaced once the new one is complete: without `overwrite` only an empty
        file, or one that daskelm wrote and that holds this dataset alone.
    dataset : str, default="data"
        Name of the dataset.
    columns : sequence of str and int, optional
        Names, or places counted from 0, of the columns to write, in this order; all if not given.
    exclude : sequence of str and int, optional
        Names or places of the columns to leave out, instead of `columns`.
    dates : sequence of str and int, or mapping of these to formats, optional
        Names or places of columns of dates and times, which are written as seconds since 1970-01-01 00:00 UTC. Times
        with a zone are converted, those without are taken as UTC. Texts have the year first, as in ``2013-06-19`` or
        ``2013-06-19T05:00:00Z``, or the format of strptime that is given: ``dates={"day": "%d.%m.%Y"}``.
    missing_values : str, number, or sequence of these, optional
        Words and numbers that mean a gap, such as -999, beside NaN. In text, empty fields and NA, N/A, null, None, nan,
        ``?``, ``-``, ``.``, ``*``, #N/A, <NA> and NaT always do, in any case.
    delimiter : str, optional
        Separator of the fields of a text table; found from the first lines if not given. A blank stands for any white
        space.
    header : bool, optional
        Whether the first line of a text table names its columns; found from the first lines if not given.
    skiprows : int, default=0
        Lines to leave out at the beginning of a text table.
    decimal : str, default="."
        Mark of the decimals in a text table.
    thousands : str, optional
        Separator of thousands in a text table.
    comment : str, optional
        Character in a text table behind which the rest of a line is left out.
    encoding : str, default="utf-8"
        Encoding of a text table.
    dtype : dtype, optional
        Type of the numbers in the dataset; that of the data if not given, float64 for text.
    compression : str or mapping, optional
        ``"gzip"``, ``"lzf"``, or a filter of the package hdf5plugin, such as ``hdf5plugin.Zstd()``.
    overwrite : bool, default=False
        Whether to replace any regular file, whatever it holds; an input is never replaced.
    verbose : int or bool, default=0
        Whether to show progress, what was found of the form of a text table, and how many gaps each column has.

    Returns
    -------
    str
        The path.

    Raises
    ------
    DataError
        More than two dimensions, lines of different length, or a column of text with too many texts.
    InputTypeError
        Columns of dates, records, or sparse matrices; numbers written in a form that was not named.
    ParameterError
        A path with the ending of another format, or one that the data is read from; an option that makes no sense for
        the data; a first line that may be a header or not.
    FileFormatError
        A file of another format; the message names the call that reads it.
    FileMissingError
        No such file, or no such folder to write to.
    FileWriteError
        A file that daskelm did not write as such a table exists, and `overwrite` is not set; or the disk is full.

    Warns
    -----
    TableWarning
        What was decided about a text table may be meant otherwise: a first line of numbers that increase, a column
        without a name that was left out, texts among numbers, another text in each row.

    Examples
    --------
    >>> import numpy as np
    >>> from daskelm import from_hdf5, make_hdf5
    >>> make_hdf5(np.eye(3), "eye.h5")
    'eye.h5'
    >>> from_hdf5("eye.h5").shape
    (3, 3)

    A table with text and a gap:

    >>> with open("towns.csv", "w") as file:
    ...     _ = file.write("town,height,load\nOslo,23,1.5\nRome,NA,2.5\n")
    >>> make_hdf5("towns.csv", "towns.h5", exclude=["load"])
    'towns.h5'
    >>> from_hdf5("towns.h5").compute().tolist()
    [[0.0, 23.0], [1.0, nan]]
    """
    missing = words_of(missing_values)
    options = TextOptions(delimiter, header, skiprows, decimal, thousands, comment, encoding, missing)
    return convert(
        data,
        path,
        dataset,
        options,
        columns=columns,
        exclude=exclude,
        dates=dates,
        dtype=dtype,
        compression=compression,
        overwrite=overwrite,
        verbose=verbose,
    )


def convert(
    data,
    path,
    dataset,
    options: TextOptions,
    *,
    columns=None,
    exclude=None,
    dates=None,
    dtype=None,
    compression=None,
    overwrite=False,
    verbose: int | bool = 0,
) -> str:
    """`make_hdf5`, with all options of text tables as one value."""
    dtype = number_dtype(dtype)
    check_ending(path, "path")
    if isinstance(data, tuple) and all(isinstance(n, Integral) for n in data):
        _refuse_options(options, "a shape", columns, exclude, options.missing_values, dates)
        return _make_empty(data, path, dataset, dtype or np.dtype(np.float64), compression, overwrite)
    if is_table_path(data):
        _refuse_options(options, "a table of Parquet or Arrow")
        written = {"dtype": dtype, "compression": compression, "overwrite": overwrite}
        return _from_table(data, path, dataset, columns, exclude, dates, options.missing_values, verbose, **written)
    names = _names(header_of(data))
    data = to_supported(data, "data")
    if isinstance(data, str | os.PathLike | np.ndarray | h5py.Dataset):
        check_not_an_input(path, "path", data=data)
    if isinstance(data, str | os.PathLike):
        refuse_url(data, "data to convert", "Copy it first, for example with fsspec.filesystem(...).get(url, path).")
    if not dask.is_dask_collection(data):
        check_replaceable(path, "data", overwrite, check_name(dataset))
    if is_sparse_table(data):
        _refuse_options(options, "a sparse table", columns, exclude, options.missing_values, dates)
        return write_sparse_table(
            data, path, dataset, verbose, dtype=dtype, compression=compression, overwrite=overwrite
        )
    if isinstance(data, str | os.PathLike) and not _is_npy(data, path):
        written = {"dtype": dtype, "compression": compression, "overwrite": overwrite}
        with contextlib.closing(TextTable(data, options, columns, exclude, dates)) as table:
            for text in table.warnings:
                warnings.warn(text, TableWarning, stacklevel=3)
            coded, progress = CodedColumns(table.names), RowProgress(None, verbose, "make_hdf5")
            if verbose:
                sys.stderr.write(f"make_hdf5: {os.fspath(data)}: {', '.join(table.notes)}\n")
            write_table(table.blocks(), path, dataset, coded, progress, judge=table.judge, **written)
        if verbose:
            say_gaps(coded)
        return os.fspath(path)
    _refuse_options(options, "an array or a frame")
    if isinstance(data, str | os.PathLike):
        data = load_npy(data)
    data, names = _selected(data, names, columns, exclude, dates)
    gaps = Gaps(options.missing_values)
    coded = CodedColumns(names, levels_declared(data) if is_frame(data) and has_texts(data) else None)
    if dask.is_dask_collection(data):
        written = {"dtype": dtype, "compression": compression, "overwrite": overwrite, "verbose": verbose}
        # Names of the columns of files are those that the files have.
        named = coded if names is not None or is_frame(data) else None
        stream_hdf5(data, path, dataset, columns=named, blocks_of=gaps.marked, label="to_hdf5", **written)
        if verbose:
            say_gaps(coded)
        return os.fspath(path)
    blocks, total = _blocks_of(data)
    progress = RowProgress(total, verbose, "make_hdf5")
    write_table(
        gaps.marked(blocks), path, dataset, coded, progress, dtype=dtype, compression=compression, overwrite=overwrite
    )
    if verbose:
        say_gaps(coded)
    return os.fspath(path)


def _from_table(data, path, dataset, columns, exclude, dates, missing, verbose, **written) -> str:
    """Columns of Parquet or Arrow files as a dataset, with their names and levels."""
    names = column_names(data)
    # Files that have other columns too are an error, unless columns are chosen.
    every = columns is None and exclude is None
    chosen = None if every else [names[place] for place in select_columns(names, columns, exclude)]
    rows = open_rows(data, chosen, seconds=[names[place] for place in date_places(names, dates)])
    check_not_an_input(path, "path", data=[data, rows])
    check_replaceable(path, "data", written["overwrite"], check_name(dataset))
    described, levels = rows.all_levels(), {}
    if described is not None:
        rows = rows.with_levels(described)
        levels = {i: column.levels for i, column in enumerate(described) if column.levels is not None}
    coded, progress = CodedColumns(rows.names), RowProgress(rows.n_rows, verbose, "make_hdf5")
    with rows.open(reuse=True) as reader:
        bounds = rows.block_bounds(max(BLOCK_BYTES // (rows.n_columns * rows.dtype.itemsize), 1)) or [(0, 0)]
        blocks = (CodedBlock(reader.read(start, stop), levels) for start, stop in bounds)
        marked = Gaps(missing).marked(blocks)
        write_table(marked, path, dataset, coded, progress, **{**written, "dtype": written["dtype"] or rows.dtype})
    if verbose:
        say_gaps(coded)
    return os.fspath(path)


def _refuse_options(options, what, columns=None, exclude=None, missing=(), dates=None):
    """Refuse options that make no sense for the data."""
    plain = TextOptions()
    given = [name for name in vars(plain) if name != "missing_values" and _differ(options, plain, name)]
    more = {"columns": columns, "exclude": exclude, "missing_values": missing or None, "dates": dates}
    given += [name for name, value in more.items() if value is not None]
    if given:
        raise ParameterError(
            f"{given[0]} is an option for {'data' if given[0] in more else 'text tables'}; data is {what}. Leave it "
            "out."
        )


def _differ(options, plain, name):
    return getattr(options, name) != getattr(plain, name)


def _is_npy(data, path):
    """Whether a file is one of NumPy's; others are text, if they do not begin as files of another format do."""
    if is_text_path(data):
        return False
    check_regular(data)
    if not os.path.exists(data):
        raise FileMissingError(f"{data}: no such file.")
    if os.fspath(data).lower().endswith(".npy"):
        return True
    if h5py.is_hdf5(data):
        raise FileFormatError(
            f"{data} is HDF5 already. Use it as it is, or write a new one: to_hdf5(from_hdf5(path), new_path)."
        )
    with open(data, "rb") as file:
        head = file.read(8)
    if head.startswith(b"\x93NUMPY"):
        return True
    refuse_format(os.fspath(data), os.fspath(path))
    return False


def _names(header):
    return None if header is None else names_of(header)


def _selected(data, names, columns, exclude, dates):
    """The chosen columns of an array or a frame, with seconds for dates, and their names."""
    if is_frame(data):
        names = names_of(data)
        data = seconds_in_frame(data, date_places(list(data.columns) if data.ndim == 2 else [data.name], dates))
    elif dates is not None:
        raise ParameterError(
            f"dates is an option for text tables, frames and Parquet; data is {type(data).__name__}. Give a frame, or "
            "an array of seconds: (times - numpy.datetime64(0, 's')) / numpy.timedelta64(1, 's')."
        )
    elif not hasattr(data, "ndim") or isinstance(data, h5py.Dataset):
        data = _as_numbers(data)
    if columns is None and exclude is None:
        return data, names
    if data.ndim != 2:
        raise ParameterError(
            f"{'exclude' if columns is None else 'columns'} is an option for tables of two dimensions; data has "
            f"{data.ndim}. Leave it out."
        )
    known = list(data.columns) if is_frame(data) else names or list(range(data.shape[1]))
    places = select_columns(known, columns, exclude)
    data = data.iloc[:, places] if is_frame(data) else data[:, places]
    return data, None if names is None else [names[place] for place in places]


def _make_empty(shape, path, dataset, dtype, compression, overwrite):
    """A file with an empty table of this shape, for users to fill."""
    if len(shape) != 2 or min(shape) < 0:
        raise DataError(f"data: a tuple of int is a shape, (n_samples, n_features), both >= 0; got {shape}.")
    # Without the mark of daskelm's own tables, it is not replaced silently once users have filled it.
    with new_hdf5(path, check_name(dataset), overwrite=overwrite, mark=False) as (file, _):
        create_table(file, dataset, shape, dtype, compression, shape[0])
    return os.fspath(path)


def _blocks_of(data) -> tuple[Iterable[Any], int]:
    """Blocks of rows of data in memory, and the number of rows."""
    if not is_frame(data) or not has_texts(data):
        array = _as_numbers(data)
        return row_blocks(array), len(array)
    step = max(BLOCK_BYTES // (8 * max(data.size // max(len(data), 1), 1)), 1)
    return (coded_frame(data.iloc[start : start + step]) for start in range(0, max(len(data), 1), step)), len(data)


def _as_numbers(data):
    try:
        check_columns(data, "data")
        array = frame_to_numpy(data) if is_frame(data) else np.asarray(data)
    except ValueError as error:
        raise DataError(f"data must be a table, with rows of equal length ({error}).") from None
    check_kind(array.dtype, array.ndim, array.shape)
    return array
