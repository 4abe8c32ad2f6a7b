"""Names of the columns of a table, and the levels behind those that are codes: how a file of daskelm's keeps them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from ..exceptions import FileFormatError

__all__ = [
    "COLUMNS",
    "Column",
    "Recode",
    "columns_of",
    "have_levels",
    "sorted_levels",
    "union_of_levels",
    "write_columns",
]

# The table `data` has its columns described in `data.columns`: a dataset has no limit of size, an attribute 64 KiB.
COLUMNS = ".columns"


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, and its levels if its numbers are codes of categories.

    The code i stands for the level i, and NaN for no level. A level is a text, an int, a float or a bool.
    """

    name: str
    levels: tuple[str | int | float | bool, ...] | None = None


def have_levels(columns: Sequence[Column] | None) -> bool:
    """Whether some of the columns are codes."""
    return any(column.levels is not None for column in columns or ())


def union_of_levels(tables: Sequence[Sequence[Column]]) -> tuple[Column, ...]:
    """Columns of tables that have the same names, each with the levels of all tables, in the order of their texts."""
    if all(columns == tables[0] for columns in tables):
        return tuple(tables[0])
    out = []
    for same in zip(*tables, strict=True):
        levels = {level: None for column in same for level in column.levels or ()}
        coded = any(column.levels is not None for column in same)
        out.append(Column(same[0].name, sorted_levels(levels) if coded else None))
    return tuple(out)


def sorted_levels(levels: Iterable) -> tuple:
    """Different levels in an order that depends on nothing else: numbers first, then texts."""
    return tuple(sorted(levels, key=lambda level: (isinstance(level, str), level)))


@dataclass(frozen=True)
class Recode:
    """Function of blocks of rows that changes codes of one list of levels to those of another.

    maps : tuple of (int, tuple of float), for each column that changes the new code of each old one, and last that of
        all other levels. NaN stays.
    """

    maps: tuple[tuple[int, tuple[float, ...]], ...]

    @classmethod
    def between(cls, given: Sequence[Column], wanted: Sequence[Column]) -> Recode | None:
        """The change from the codes of some columns to those of others; None where these are the same."""
        maps = []
        for i, (own, other) in enumerate(zip(given, wanted, strict=True)):
            if other.levels is not None and own.levels != other.levels:
                of_level = {level: float(code) for code, level in enumerate(other.levels)}
                last = float(len(other.levels))
                maps.append((i, (*(of_level.get(level, last) for level in own.levels or ()), last)))
        return cls(tuple(maps)) if maps else None

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """The block (rows, n_columns) or (rows,), with changed codes, as a copy in float64."""
        block = np.array(block, np.float64)
        table = block.reshape(len(block), -1)
        for i, codes in self.maps:
            column, new = table[:, i], np.array(codes)
            gaps = np.isnan(column)
            with np.errstate(invalid="ignore"):
                known = (column >= 0) & (column < len(new) - 1)
                changed = new[np.where(known, column, len(new) - 1).astype(np.intp)]
            column[:] = np.where(gaps, np.nan, changed)
        return block


def write_columns(dataset: h5py.Dataset, columns: Sequence[Column]) -> None:
    """Write what is known about the columns of a dataset beside it, in the same file: one line of JSON for each."""
    lines = [
        json.dumps({"name": one.name} | ({} if one.levels is None else {"levels": list(one.levels)})) for one in columns
    ]
    dataset.file.create_dataset(dataset.name + COLUMNS, data=lines, dtype=h5py.string_dtype())


def columns_of(dataset: h5py.Dataset, path: str) -> tuple[Column, ...] | None:
    """The columns of a dataset that `write_columns` described; None where nothing is known about them.

    Raises
    ------
    FileFormatError
        What is written there is not what daskelm writes, or has another number of columns than the dataset.
    """
    described = dataset.file.get(dataset.name + COLUMNS)
    if described is None:
        return None
    n_columns = 1 if dataset.ndim == 1 else dataset.shape[1]
    try:
        if described.shape != (n_columns,):
            raise ValueError(f"shape {described.shape}")
        found = [json.loads(line) for line in np.ravel(described.asstr()[:])]
        return tuple(
            Column(str(one["name"]), None if one.get("levels") is None else tuple(one["levels"])) for one in found
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"{path}: {described.name} must describe the {n_columns} columns of {dataset.name}, as make_hdf5 writes "
            f"it; got something else ({error}). Write the table again, or remove this dataset."
        ) from None
