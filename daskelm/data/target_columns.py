"""Tables that hold their targets: X and y as columns of one table, by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..exceptions import InputTypeError, ParameterError
from ..hdf5.file_rows import FileRows, some
from .frames import columns_of
from .from_hdf5 import rows_behind
from .from_parquet import open_files
from .interop import header_of, to_supported
from .source import is_dask_array, is_path

__all__ = ["names_of_target", "split_target", "without_columns"]


def names_of_target(target) -> tuple:
    """The names in `target`: one name, or several in a list."""
    names = (target,) if _is_one(target) else tuple(target)
    if not names or len(set(names)) < len(names) or any(isinstance(name, bool) for name in names):
        raise ParameterError(
            f"target must be the name of a column of X, or a list of such names without repetition; got {target!r}."
        )
    return names


def _is_one(target):
    return isinstance(target, str) or not isinstance(target, Iterable)


def split_target(X, target) -> tuple[Any, Any]:
    """X without the columns that `target` names, and these columns: a vector for one name that is not in a list.

    Parameters
    ----------
    X : HDF5 path(s), data frame of pandas, polars, Arrow or dask, or DataArray
        A table whose columns have names.
    target : str or list of str
        Name, or names, of the columns that are the targets.

    Returns
    -------
    tuple
        X and y. They are opened together, so that rows stay paired.

    Raises
    ------
    InputTypeError
        The columns of X have no names.
    ParameterError
        X has no such column, or no other one.
    """
    names = names_of_target(target)
    table, known = _named(X)
    if known is None:
        raise InputTypeError(
            f"target: X must be a table whose columns have names, to take {some(names)} from it; got "
            f"{type(X).__name__} without names. Give X and y apart, or a data frame, or an HDF5 file that make_hdf5 "
            "wrote from a table with names."
        )
    if wrong := [name for name in names if known.count(name) != 1]:
        raise ParameterError(
            f"target must name one column of X each; got {some(map(repr, wrong))}, which X has "
            f"{known.count(wrong[0])} times among {some(map(repr, known))}. Give a name of these."
        )
    if len(names) == len(known):
        raise ParameterError(f"target: X must have columns besides {some(names)}; got no others.")
    return _picked(table, known, names, _is_one(target))


def without_columns(X, names: Iterable) -> Any:
    """X without columns of these names, where it has names and some of them; else X as it is."""
    table, known = _named(X)
    gone = [name for name in names if known is not None and name in known]
    if not gone or known is None or len(gone) == len(known):
        return X
    return _picked(table, known, gone, single=False)[0]


def _named(X) -> tuple[Any, list | None]:
    """X as an object that columns are taken from, and the names of these; None where they have none."""
    rows = open_files(X) if is_path(X) else rows_behind(X) if is_dask_array(X) else None
    if rows is not None:
        return rows, None if rows.ndim != 2 or rows.names is None else list(rows.names)
    if (header := header_of(X)) is not None:
        return X, header.columns.tolist()
    table = to_supported(X, "X")
    columns = columns_of(table)
    return table, None if columns is None else columns.tolist()


def _picked(table, known, names, single):
    names = list(names)
    if isinstance(table, FileRows):
        return table.leave_out(names), table.choose(names[0] if single else names)
    if header_of(table) is not None:
        places = [known.index(name) for name in names]
        rest = [i for i in range(len(known)) if i not in set(places)]
        return table[:, rest], table[:, places[0] if single else places].data
    return table.drop(columns=names), table[names[0] if single else names]
