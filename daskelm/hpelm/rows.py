"""Arguments of `HPELM`: tables of rows, ranges of them, and files or arrays for results."""

from __future__ import annotations

import math
from numbers import Real

import dask.array as da
import numpy as np

from ..data.inputs import open_input
from ..data.make_hdf5 import make_hdf5
from ..data.source import Source, n_columns, source_of
from ..data.table_file import check_ending
from ..exceptions import DataError, InputTypeError, ParameterError
from ..hdf5.atomic import check_replaceable
from ..hdf5.outputs import check_not_an_input
from ..hdf5.paths import refuse_written

__all__ = ["check_file", "counted_range", "table", "write_rows"]


def table(value, name: str, columns: int) -> Source:
    """Data of any type as rows of numbers, checked to have that many columns."""
    source = source_of(open_input(value, name)).as_table()
    if source.dtype.kind not in "fiub":
        raise InputTypeError(f"{name} must hold numbers; got {source.dtype}. Code text as numbers first.")
    if source.ndim != 2 or n_columns(source) != columns or not source.shape[0]:
        raise DataError(
            f"{name} must have {columns} column(s), as this model has, and at least one row; got shape {source.shape}."
        )
    return source


def counted_range(n_rows: int, istart, icount) -> tuple[int, int]:
    """First row and last + 1 of HP-ELM's istart and icount; rows past the end are left out."""
    for name, value in (("istart", istart), ("icount", icount)):
        number = float(value) if isinstance(value, Real) else math.nan
        if not (number.is_integer() or (name == "icount" and number == math.inf)) or number < 0:
            raise ParameterError(f"{name} must be an int >= 0; got {value!r}.")
    if istart >= n_rows:
        raise DataError(f"istart must be one of the {n_rows} rows of the data; got {istart}.")
    return int(istart), int(min(istart + icount, n_rows))


def check_file(out, X: Source, name: str, overwrite: bool) -> None:
    """Refuse a file that results for rows of X cannot be written to; an array, or None, is no file."""
    if out is None or isinstance(out, np.ndarray):
        if overwrite:
            raise ParameterError(f"overwrite: it goes with a file to write; got {overwrite!r} without one.")
        return
    refuse_written(out)
    check_ending(out, name)
    check_not_an_input(out, name, fX=X)
    check_replaceable(out, "data", overwrite)


def write_rows(result: np.ndarray | da.Array, out, overwrite: bool, verbose: int) -> None:
    """Write results (rows, n) to an array, from its first row on, or to an HDF5 file."""
    if isinstance(out, np.ndarray):
        rows = out[:, None] if out.ndim == 1 else out
        if rows.shape[1:] != result.shape[1:] or len(rows) < len(result):
            raise DataError(f"the array to fill must have shape {result.shape}, or more rows; got {out.shape}.")
        rows[: len(result)] = result
        return
    make_hdf5(result, out, overwrite=overwrite, verbose=verbose)
