"""The tables of a ledger by name: as the arrays that a file has of them, until one is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from .counted_table import CountedTable
from .row_cells import joined_pieces, split_pieces

__all__ = ["ARRAYS", "Tables", "arrays_of"]

# Arrays of a ledger, whose first column is the number of a table; digests are those of the cells, row by row.
ARRAYS = ("ranges", "anchors", "pieces", "cells")
_LISTS = ("n_columns", "cell_rows", "paths", "targets")


def arrays_of(tables: Sequence[CountedTable]) -> dict[str, Any]:
    """Lists and arrays with all that is known of some tables, by name; `Tables` reads them."""
    ranges = [(i, *rows) for i, table in enumerate(tables) for rows in table.ranges]
    anchors = [(i, *anchor) for i, table in enumerate(tables) for anchor in table.anchors.items()]
    pieces = [(i, row, *both) for i, table in enumerate(tables) for row, both in table.pieces.items()]
    cells = [(i, row) for i, table in enumerate(tables) for row in table.cells]
    digests = [both for table in tables for both in table.cells.values()]
    return {
        "n_columns": [table.n_columns for table in tables],
        "cell_rows": [table.cell_rows for table in tables],
        "paths": [sorted(table.paths) for table in tables],
        "targets": [sorted(table.targets) for table in tables],
        "ranges": np.array(ranges, np.uint64).reshape(-1, 3),
        "anchors": np.array(anchors, np.uint64).reshape(-1, 3),
        "pieces": np.array(pieces, np.uint64).reshape(-1, 4),
        "cells": np.array(cells, np.uint64).reshape(-1, 2),
        "digests": np.stack([split_pieces([both[i] for both in digests]) for i in (0, 1)], axis=1),
    }


class Tables(Mapping):
    """Immutable tables by name, in the order of the names.

    A ledger of a long project has tens of thousands of tables, and a call needs a few. So those that come from a file
    stay arrays, and become a `CountedTable` when they are asked for by name; what was changed since is kept beside.

    Parameters
    ----------
    names : sequence of str
        Names of the tables in the arrays, in order.
    arrays : dict
        Lists and arrays as of `arrays_of`, each array in the order of the tables.
    changed : dict of str to CountedTable
        Tables in addition, or in the place of one in the arrays.
    removed : set of str
        Names of tables in the arrays that are gone.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        arrays: Mapping[str, Any] | None = None,
        changed: Mapping[str, CountedTable] | None = None,
        removed: frozenset[str] = frozenset(),
    ):
        self._names, self._arrays = names, arrays_of(()) if arrays is None else arrays
        self._changed, self._removed = changed or {}, removed
        self._found: dict[str, CountedTable] = {}

    def changed_by(self, changes: Mapping[str, CountedTable], removed: frozenset[str] = frozenset()) -> Tables:
        """These tables without those that are `removed`, and with `changes`; a table without rows is dropped."""
        changed = {name: table for name, table in self._changed.items() if name not in removed}
        changed.update(changes)
        empty = {name for name, table in changed.items() if not table.ranges}
        kept = {name: table for name, table in changed.items() if table.ranges}
        return Tables(self._names, self._arrays, kept, (self._removed | removed | empty).difference(kept))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Number in the arrays of each table there."""
        return {name: i for i, name in enumerate(self._names)}

    @cached_property
    def _edges(self) -> dict[str, np.ndarray]:
        """First row of each table in each array, and the number of rows."""
        numbers = np.arange(len(self._names) + 1, dtype=np.uint64)
        return {name: np.searchsorted(self._arrays[name][:, 0], numbers) for name in ARRAYS}

    @cached_property
    def names(self) -> list[str]:
        """Names of all tables, in order."""
        if not self._changed and not self._removed:
            return list(self._names)
        others = [name for name in self._names if name not in self._removed and name not in self._changed]
        # Names that are in order already take no time.
        return sorted(others + sorted(self._changed))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name) -> bool:
        return name in self._changed or (name in self._numbers and name not in self._removed)

    def __getitem__(self, name: str) -> CountedTable:
        if name in self._changed:
            return self._changed[name]
        if name not in self:
            raise KeyError(name)
        if name not in self._found:
            self._found[name] = self._table(self._numbers[name])
        return self._found[name]

    def each(self) -> Iterator[tuple[str, CountedTable]]:
        """All names and tables, which are not kept for another time."""
        for name in self.names:
            known = self._changed.get(name) or self._found.get(name)
            yield name, self._table(self._numbers[name]) if known is None else known

    def _table(self, i) -> CountedTable:
        ranges, anchors, pieces, cells = (
            self._arrays[name][self._edges[name][i] : self._edges[name][i + 1], 1:].tolist() for name in ARRAYS
        )
        digests = self._arrays["digests"][self._edges["cells"][i] : self._edges["cells"][i + 1]]
        both = zip(*(joined_pieces(digests[:, j]) for j in (0, 1)), strict=True)
        return CountedTable(
            tuple(map(tuple, ranges)),
            self._arrays["n_columns"][i],
            self._arrays["cell_rows"][i],
            {row: digest for row, digest in anchors},
            {row: pair for (row,), pair in zip(cells, both, strict=True)},
            {row: (x, t) for row, x, t in pieces},
            frozenset(self._arrays["paths"][i]),
            frozenset(self._arrays["targets"][i]),
        )

    @cached_property
    def arrays(self) -> Mapping[str, Any]:
        """Lists and arrays of all tables, as of `arrays_of`, in the order of `names`."""
        if not self._changed and not self._removed:
            return self._arrays
        names = sorted(self._changed)
        new = arrays_of([self._changed[name] for name in names])
        number = {name: i for i, name in enumerate(self.names)}
        # The new number of each table, where it is still there.
        moved = np.array(
            [-1 if name in self._changed else number.get(name, -1) for name in self._names], np.int64
        ).reshape(-1)
        added = np.array([number[name] for name in names], np.int64)
        lists: dict[str, Any] = {}
        for what in _LISTS:
            found: list = [None] * len(number)
            for places, values in ((moved.tolist(), self._arrays[what]), (added.tolist(), new[what])):
                for place, value in zip(places, values, strict=True):
                    if place >= 0:
                        found[place] = value
            lists[what] = found
        return lists | _joined(self._arrays, moved, new, added)

    @property
    def n_rows(self) -> int:
        """Number of rows of all tables."""
        rows = self.arrays["ranges"]
        return sum((rows[:, 2] - rows[:, 1]).tolist())

    @property
    def has_anchors(self) -> bool:
        """Whether any table can be recognised by its rows."""
        return len(self._arrays["anchors"]) > 0 or any(table.anchors for table in self._changed.values())

    def places(self, what: str) -> set[str]:
        """All "paths", or all "targets", of the tables."""
        return {place for places in self.arrays[what] for place in places}

    def __getstate__(self) -> dict:
        # Values that follow from the arrays are made anew.
        names = ("_names", "_arrays", "_changed", "_removed")
        return {name: self.__dict__[name] for name in names} | {"_found": {}}


def _joined(old, moved, new, added) -> dict[str, np.ndarray]:
    """Arrays of old and new tables in the order of their new numbers; those that moved to -1 are left out."""
    out: dict[str, np.ndarray] = {}
    for what in ARRAYS:
        rows, numbers = old[what], moved[old[what][:, 0].astype(np.intp)]
        kept = slice(None) if (numbers >= 0).all() else numbers >= 0
        own = added[new[what][:, 0].astype(np.intp)]
        places = np.searchsorted(numbers[kept], own)
        out[what] = np.insert(rows[kept], places, new[what], axis=0)
        out[what][:, 0] = np.insert(numbers[kept], places, own)
        if what == "cells":
            out["digests"] = np.insert(old["digests"][kept], places, new["digests"], axis=0)
    return out
