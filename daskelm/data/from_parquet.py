"""Rows of Parquet and Arrow files as lazy dask arrays, and data at any path as rows of files, whatever the format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..hdf5.file_rows import FileRows
from ..hdf5.rows import open_rows as open_hdf5
from ..lazy import da
from ..parquet.rows import is_table_path, open_rows
from .from_hdf5 import lazy_rows

__all__ = ["from_parquet", "open_files"]


def open_files(value: Any) -> FileRows:
    """Data at a path, a list of paths, a glob or URLs, or of an open dataset, as rows of files, which are not read."""
    if isinstance(value, FileRows):
        return value
    return open_rows(value) if is_table_path(value) else open_hdf5(value)


def from_parquet(
    path, columns: Sequence[str] | str | None = None, rows: slice | None = None, chunks: int | str = "auto"
) -> da.Array:
    """Open Parquet or Arrow files as a lazy dask array of row chunks, which are read by path inside the tasks.

    Only the columns asked for are read. So X and y may be columns of one table: name those of each.

    Parameters
    ----------
    path : str, path-like, or list of these
        One file, several in the order of their rows, a folder of files, or a glob (in the natural order of names:
        part2 before part10); Parquet, or Arrow (IPC, which is Feather version 2). Workers must see the files at the
        same path. Parquet at URLs of fsspec, such as ``"s3://bucket/part*.parquet"``, is read in byte ranges.
    columns : list of str, or str, optional
        Names of the columns to read, in this order; one name alone for an array of one dimension. All columns if not
        given, except those that pandas keeps an index in.
    rows : slice, optional
        Consecutive rows of the concatenation of the files.
    chunks : int or "auto", default="auto"
        Rows per chunk at most: whole row groups, if these are not larger; -1 for all rows of a file; "auto" for about
        the bytes of Dask's setting ``array.chunk-size``.

    Returns
    -------
    dask array of shape (n_samples, n_features) or (n_samples,)
        The rows, in the narrowest dtype that holds all columns. Nulls are NaN, and integers and booleans with nulls
        float64, as decimal numbers are. No chunk crosses two files.

    Raises
    ------
    FileMissingError
        No such file here.
    FileAccessError
        The server of a URL cannot be reached, or gives no permission.
    MissingExtraError
        pyarrow is not installed, or what a URL needs, such as s3fs.
    FileFormatError
        It is neither Parquet nor Arrow, or is damaged; or, when rows are read, changed since.
    InputTypeError
        Columns of text, categories, times, or other types that are no numbers.
    DataError
        No column of that name, files with different columns, rows past the end.

    Examples
    --------
    >>> import pandas
    >>> from daskelm import from_parquet
    >>> table = pandas.DataFrame({"a": [1.0, 2.0, 3.0], "b": [4, 5, 6], "y": [0.5, 1.5, 2.5]})
    >>> table.to_parquet("table.parquet")
    >>> from_parquet("table.parquet", columns=["a", "b"]).shape
    (3, 2)
    >>> from_parquet("table.parquet", columns="y", rows=slice(1, 3)).compute().tolist()
    [1.5, 2.5]
    """
    return lazy_rows(open_rows(path, columns, rows), "from-parquet", chunks)
