"""Columns of categories as codes: their levels in frames, those that a model keeps, and codes in another list."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np
from dask.base import is_dask_collection

from ..cluster.errors import compute
from ..exceptions import DataError, InputTypeError
from ..hdf5.columns import Column, Recode, sorted_levels
from .frames import check_columns, columns_of, frame_to_numpy, is_missing
from .interop import to_supported
from .probe import probe_runs
from .source import Source, is_dask_array, source_of, take_runs

__all__ = [
    "as_coded",
    "coded_columns",
    "codes_of",
    "columns_of_frame",
    "encoded",
    "levels_kept",
    "levels_of",
    "recoded",
]

# Most levels that a model keeps of one column, and that a column may have at all: more are names of rows.
_MOST_KEPT, _MOST_LEVELS = 4096, 1_000_000
# A level that a model keeps is in two rows of the sample, or in one of 10,000.
_LEAST_ROWS, _LEAST_PART = 2, 1e-4


def coded_columns(frame) -> list[int]:
    """Numbers of the columns of a pandas or dask frame that become codes: categories, and texts."""
    return [i for i, dtype in enumerate(frame.dtypes) if _is_coded(frame, i, dtype)]


def _is_coded(frame, i, dtype):
    name = str(dtype)
    if name == "category" or name.startswith("str"):
        return True
    if name != "object":
        return False
    values = frame._meta_nonempty.iloc[:, i] if is_dask_collection(frame) else frame.iloc[:, i]
    # A dask frame does not know what its objects are; pandas takes them for texts as well.
    return is_dask_collection(frame) or any(not isinstance(v, Number) and not is_missing(v) for v in values)


def as_coded(X, known: Any = None) -> tuple[Any, tuple[Column, ...] | None]:
    """X with codes in the place of categories, as a frame of numbers, and its columns; X and None without categories.

    Parameters
    ----------
    X : object
        Data of any kind, which are returned as they are unless they are a frame with categories.
    known : Columns, optional
        Names of the columns that X has, and their levels; all levels in X if not given.
    """
    table = to_supported(X, "X")
    levels = None if known is None else known.levels
    if columns_of(table) is None:
        return X, None
    if levels is None:
        if known is not None or not coded_columns(table):
            return X, None
        columns = columns_of_frame(table)
    else:
        columns = tuple(Column(name, own) for name, own in zip(known.names, levels, strict=True))
    return encoded(table, columns), columns


def columns_of_frame(frame) -> tuple[Column, ...]:
    """Names of the columns of a pandas or dask frame, and all levels of those that become codes, sorted.

    The levels of a dask frame are collected in one pass over these columns, unless its categories are known.

    Raises
    ------
    InputTypeError
        A column holds what is neither a number nor a text, such as a list.
    DataError
        A column has more than a million levels.
    """
    coded = coded_columns(frame)
    if is_dask_collection(frame):
        names = [frame.columns[i] for i in coded]
        parts = compute(*frame[names].map_partitions(_levels_of_parts, meta=("levels", object)).to_delayed())
        found: list[dict] = [{} for _ in coded]
        for part in parts:
            for all_of_column, own in zip(found, part.iloc[0], strict=True):
                all_of_column.update(own)
    else:
        found = [levels_of(frame.iloc[:, i]) for i in coded]
    levels: list[tuple | None] = [None] * len(frame.columns)
    for i, own in zip(coded, found, strict=True):
        levels[i] = _sorted_levels(own, frame.columns[i])
    return tuple(Column(str(name), own) for name, own in zip(frame.columns, levels, strict=True))


def _levels_of_parts(part):
    import pandas

    # One row with the levels of each column: a partition without rows has none.
    row = [levels_of(part.iloc[:, i]) for i in range(part.shape[1])]
    cell = np.empty(1, object)
    cell[0] = row
    return pandas.Series(cell)


def levels_of(column) -> dict:
    """The declared categories of a pandas series, or its different values that are no gaps, in their order, as keys."""
    if str(column.dtype) == "category":
        return dict.fromkeys(map(_plain, column.cat.categories))
    try:
        values = column.dropna().unique()
    except TypeError:
        # Lists have no hash.
        values = column.dropna()
    return dict.fromkeys(map(_plain, values))


def _plain(value):
    """A level as JSON has it: a text, an int, a float or a bool; times and intervals are texts."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str | bool | int | float):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise InputTypeError(f"X: bytes in a column must be text in UTF-8; got {value!r}. Decode them.") from None
    if isinstance(value, list | dict | set | np.ndarray):
        raise InputTypeError(
            f"X must hold numbers or categories; got a {type(value).__name__} in a column of objects. Drop the column, "
            "or make it a text."
        )
    return str(value)


def _sorted_levels(levels, name) -> tuple:
    if len(levels) > _MOST_LEVELS:
        raise DataError(
            f"X: a column of categories must have at most {_MOST_LEVELS:,} levels; got {len(levels):,} in {name!r}. If "
            "it names the rows, drop it."
        )
    return sorted_levels(levels)


def encoded(frame, columns: Sequence[Column]) -> Any:
    """A pandas or dask frame as one of float64, with codes for those of `columns` that have levels.

    A level that a column does not have gets the code after the last.
    """
    import pandas

    coded = [i for i, column in enumerate(columns) if column.levels is not None]
    numbers = [i for i, column in enumerate(columns) if column.levels is None]
    check_columns(frame.iloc[:, numbers], "X")
    if is_dask_collection(frame):
        meta = pandas.DataFrame(np.empty((0, len(columns))), columns=list(frame.columns))
        return frame.map_partitions(encoded, columns=tuple(columns), meta=meta, enforce_metadata=False)
    out = np.empty((len(frame), len(columns)))
    for i in coded:
        out[:, i] = codes_of(frame.iloc[:, i], columns[i])
    if numbers:
        out[:, numbers] = frame_to_numpy(frame.iloc[:, numbers])
    return pandas.DataFrame(out, columns=frame.columns, index=frame.index)


def codes_of(column, wanted: Column) -> np.ndarray:
    """Codes (rows,) of the values of a pandas series: places in the levels, NaN for gaps, the next code for others."""
    import pandas

    levels = wanted.levels or ()
    if getattr(column.dtype, "kind", "O") in "fiu" and levels and all(isinstance(level, str) for level in levels):
        raise InputTypeError(
            f"X: column {wanted.name!r} must hold texts, as in fit, such as {levels[0]!r}; got {column.dtype}. Make "
            "them texts again, as they were."
        )
    of_level = {level: i for i, level in enumerate(levels)}
    if str(column.dtype) == "category":
        of_category = np.array([of_level.get(_plain(one), len(levels)) for one in column.cat.categories] + [np.nan])
        return of_category[column.cat.codes.to_numpy()]
    codes, values = pandas.factorize(column, use_na_sentinel=True)
    return np.array([of_level.get(_plain(one), len(levels)) for one in values] + [np.nan])[codes]


def levels_kept(X: Source, weights: Source | None, columns: Sequence[Column]) -> tuple[Column, ...]:
    """Columns with the levels that a model keeps: those in enough rows of a sample, and of these the most frequent.

    The sample is that of the input scale, so that chunks do not change the levels; rows of weight zero do not count.
    """
    blocks, *others = take_runs(probe_runs(X), X=X, sample_weight=weights)
    rows = np.concatenate(blocks)
    if others:
        rows = rows[np.concatenate([part.reshape(-1) for part in others[0]]) > 0]
    out = []
    for i, column in enumerate(columns):
        if column.levels is not None:
            codes = rows[:, i]
            codes = codes[(codes >= 0) & (codes < len(column.levels))].astype(np.intp)
            counts = np.bincount(codes, minlength=len(column.levels))
            least = max(_LEAST_ROWS, int(len(rows) * _LEAST_PART))
            kept = np.argsort(-counts, kind="stable")[:_MOST_KEPT]
            kept = np.sort(kept[counts[kept] >= least])
            column = Column(column.name, sorted_levels(column.levels[j] for j in kept))
        out.append(column)
    return tuple(out)


def recoded(X: Source, given: Sequence[Column], wanted: Sequence[Column]) -> Source:
    """Rows whose codes are those of the columns `given`, with the codes of the columns `wanted`."""
    if (files := source_of(X).files) is not None:
        return files.with_levels(wanted)
    change = Recode.between(given, wanted)
    if change is None:
        return X
    if is_dask_array(X):
        return X.map_blocks(change, dtype=np.float64, meta=np.empty((0, 0)))  # type: ignore
    return change(np.asarray(X))
