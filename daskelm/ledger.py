"""Which rows a sum holds: row ranges of sources that are known by their content, with union and difference."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from .exceptions import IncompatibleSumsError, RowsCountedError

__all__ = ["Ledger", "Source", "SourceIndex", "cell_of", "cells_between", "cells_of", "common_rows"]

Ranges = tuple[tuple[int, int], ...]
_MASK = 2**64 - 1


def cell_of(row: int, cell_rows: int) -> tuple[int, int]:
    """The cell [start, stop) of a row: 0, 1, 2 to 3, 4 to 7, and so on to `cell_rows`, and multiples of that beyond.

    The same for a table and for any part of it from row 0 on, of which at least half are whole cells.
    """
    if row >= cell_rows:
        return row // cell_rows * cell_rows, (row // cell_rows + 1) * cell_rows
    low = 1 << (row.bit_length() - 1) if row else 0
    return low, max(2 * low, 1)


def cells_of(rows: np.ndarray, cell_rows: int) -> np.ndarray:
    """First rows (rows,) of the cells of many rows."""
    # The exponent is the number of bits, exactly, since the mantissa holds all of those that matter.
    first = np.left_shift(1, np.maximum(np.frexp(rows)[1] - 1, 0), dtype=np.int64) * (rows > 0)
    return np.where(rows >= cell_rows, rows // cell_rows * cell_rows, first)


def cells_between(start: int, stop: int, cell_rows: int) -> Iterator[tuple[int, int, int]]:
    """(start of the cell, first row, last row + 1) of all cells with rows in [start, stop)."""
    while start < stop:
        low, high = cell_of(start, cell_rows)
        yield low, start, min(stop, high)
        start = high


@dataclass(frozen=True)
class Source:
    """One table of rows: by what it is known again, which of its rows are counted, and what they read.

    Parameters
    ----------
    ranges : ranges of rows
        The rows counted, as sorted, disjoint, non-adjacent [start, stop).
    n_columns : int
        Of X.
    cell_rows : int
        Rows of a cell, a power of two.
    anchors : dict of int to int
        Digests of a few rows of X, counted or not, by row number: what the source is found by.
    cells : dict of int to (int, int)
        By the first row of each cell, the sums modulo 2^64 of digests of its counted rows: of X, and of their targets
        and weights. They are added and subtracted with the rows, and so are the same however the rows came.
    paths : frozenset of str
        Where the rows were read. No more than a hint: it tells a changed table from another one that looks alike.
    others : frozenset of str
        Names of sources that look alike and were found to be other ones.
    """

    ranges: Ranges
    n_columns: int = 0
    cell_rows: int = 1
    anchors: Mapping[int, int] = field(default_factory=dict)
    cells: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    paths: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()

    @property
    def n_rows(self) -> int:
        """Number of rows counted."""
        return sum(stop - start for start, stop in self.ranges)

    def likeness(self, other: Mapping[int, int]) -> float:
        """Part of the anchors at common rows that are equal in `other`, from 0 to 1.

        Rows that occur more than once here (all zeros, say) tell nothing and are left out; where there are no others,
        all must be equal.
        """
        common = self.anchors.keys() & other.keys()
        if not common:
            return 0.0
        values = list(self.anchors.values())
        telling = [row for row in common if values.count(self.anchors[row]) == 1]
        same = [self.anchors[row] == other[row] for row in telling or common]
        return sum(same) / len(same) if telling else float(all(same))

    def rows_in(self, cell: int) -> Ranges:
        """The counted rows of the cell that begins at this row."""
        low, high = cell_of(cell, self.cell_rows)
        # Of scattered rows there are many ranges, and many cells are asked for.
        first = max(bisect_left(self.ranges, (low,)) - 1, 0)
        return common_rows(self.ranges[first : bisect_left(self.ranges, (high,))], ((low, high),))

    def same_as(self, other: Source) -> bool | None:
        """Whether both are one source, by the cells of which they count the same rows; None where there are none."""
        if self.n_columns != other.n_columns or self.cell_rows != other.cell_rows:
            return False
        shared = [cell for cell in self.cells.keys() & other.cells.keys() if self.rows_in(cell) == other.rows_in(cell)]
        return all(self.cells[cell] == other.cells[cell] for cell in shared) if shared else None

    def may_be(self, other: Source) -> bool:
        """Whether nothing that is known of the rows which both count tells them apart."""
        same = self.same_as(other)
        if same is not None:
            return same
        both = common_rows(self.ranges, other.ranges)
        rows = [row for row in self.anchors.keys() & other.anchors.keys() if any(a <= row < b for a, b in both)]
        return all(self.anchors[row] == other.anchors[row] for row in rows)

    def missing(self, start: int, stop: int) -> Ranges:
        """The rows of [start, stop) that are not counted."""
        return _without(((start, stop),), self.ranges)


class Ledger:
    """An immutable set of rows: those of sources that are known again, and a number of rows that nobody can know.

    Parameters
    ----------
    sources : mapping of str to Source, or to iterables of (start, stop)
        Rows by the source's name.
    n_unknown : int
        Number of rows that came from memory.
    """

    __slots__ = ("n_unknown", "sources")

    def __init__(self, sources: Mapping[str, Source | Iterable[tuple[int, int]]] | None = None, n_unknown: int = 0):
        found = {}
        for name, source in sorted((sources or {}).items()):
            source = source if isinstance(source, Source) else Source(tuple(source))
            if ranges := _normalise(source.ranges):
                found[name] = source if ranges == source.ranges else replace(source, ranges=ranges)
        self.sources: dict[str, Source] = found
        self.n_unknown = n_unknown

    @property
    def n_rows(self) -> int:
        """Number of rows held, the unknown ones too."""
        return sum(source.n_rows for source in self.sources.values()) + self.n_unknown

    @property
    def ranges(self) -> dict[str, Ranges]:
        """The rows of each source."""
        return {name: source.ranges for name, source in self.sources.items()}

    def __eq__(self, other):
        return isinstance(other, Ledger) and (self.ranges, self.n_unknown) == (other.ranges, other.n_unknown)

    def __hash__(self):
        return hash((tuple(self.ranges.items()), self.n_unknown))

    def __repr__(self):
        return f"Ledger({self.ranges!r}, n_unknown={self.n_unknown})"

    def described(self, sources: Mapping[str, Source]) -> Ledger:
        """The same rows, with what these sources of the same names are found by."""
        return Ledger(
            {
                name: replace(source, anchors=known.anchors, paths=known.paths, others=known.others)
                for name, source in self.sources.items()
                for known in [sources.get(name, source)]
            },
            self.n_unknown,
        )

    def __or__(self, other: Ledger) -> Ledger:
        """Rows of both; rows that are in both already are an error."""
        merged = dict(self.sources)
        strange = [name for name, source in other.sources.items() if source.anchors and self.sources]
        index = SourceIndex(self) if strange else None
        for name, source in other.sources.items():
            if name in merged and merged[name].same_as(source) is False:
                # One path on two machines: another table, under another name.
                name = hashlib.sha256(f"{name} {sorted(source.cells.items())}".encode()).hexdigest()[:32]
            suspects = {name} & self.sources.keys()
            if index is not None:
                suspects |= set(index.maybe(source)) - source.others
            for mine in suspects:
                if twice := common_rows(self.sources[mine].ranges, source.ranges):
                    raise RowsCountedError(
                        f"cannot add: rows {twice[0][0]} to {twice[0][1] - 1} of {_called(source, name)} are counted "
                        "in both sums. Each row must count once: leave one of the two out, or subtract these rows "
                        "first."
                    )
            merged[name] = _union(merged[name], source) if name in merged else source
        return Ledger(merged, self.n_unknown + other.n_unknown)

    def __sub__(self, other: Ledger) -> Ledger:
        """Rows of the first without those of the second, which must all be there."""
        left = dict(self.sources)
        index = SourceIndex(self) if other.sources else None
        for name, source in other.sources.items():
            gone = source.ranges
            for mine in dict.fromkeys([name, *(index.maybe(source) if index else ())]):
                if mine not in self.sources or self.sources[mine].same_as(source) is False:
                    continue
                here = left[mine]
                rows = common_rows(here.ranges, gone)
                left[mine] = replace(here, ranges=_without(here.ranges, rows), cells=_cells_without(here, source, rows))
                gone = _without(gone, rows)
            if gone:
                raise IncompatibleSumsError(
                    f"cannot subtract: rows {gone[0][0]} to {gone[0][1] - 1} of {_called(source, name)} are not (all) "
                    "counted in the sums to subtract from, or not as they read now."
                )
        if other.n_unknown > self.n_unknown:
            raise IncompatibleSumsError(
                f"cannot subtract: {other.n_unknown} rows came from memory, of which nobody can know whether they are "
                f"among the rows to subtract from ({self.n_unknown} of those came from memory). Give the rows as the "
                "HDF5 file that they were added from."
            )
        return Ledger(left, self.n_unknown - other.n_unknown)

    def state(self) -> dict:
        """The ledger as plain lists and arrays; `from_state` takes it back."""
        sources = self.sources.values()
        ranges = [(i, *rows) for i, source in enumerate(sources) for rows in source.ranges]
        anchors = [(i, *anchor) for i, source in enumerate(sources) for anchor in source.anchors.items()]
        cells = [(i, key, *value) for i, source in enumerate(sources) for key, value in source.cells.items()]
        return {
            "ledger": {
                "names": list(self.sources),
                "n_columns": [source.n_columns for source in sources],
                "cell_rows": [source.cell_rows for source in sources],
                "paths": [sorted(source.paths) for source in sources],
                "n_unknown": self.n_unknown,
            },
            "ledger_ranges": np.array(ranges, np.uint64).reshape(-1, 3),
            "ledger_anchors": np.array(anchors, np.uint64).reshape(-1, 3),
            "ledger_cells": np.array(cells, np.uint64).reshape(-1, 4),
        }

    @classmethod
    def from_state(cls, state: Mapping) -> Ledger:
        """The ledger whose `state` this is."""
        plain = state["ledger"]
        ranges: list[list] = [[] for _ in plain["names"]]
        anchors: list[dict] = [{} for _ in plain["names"]]
        cells: list[dict] = [{} for _ in plain["names"]]
        for i, start, stop in state["ledger_ranges"].tolist():
            ranges[i].append((start, stop))
        for i, row, digest in state["ledger_anchors"].tolist():
            anchors[i][row] = digest
        for i, start, *digests in state["ledger_cells"].tolist():
            cells[i][start] = tuple(digests)
        columns = (plain["n_columns"], plain["cell_rows"], anchors, cells, map(frozenset, plain["paths"]))
        sources = (Source(tuple(rows), *rest) for rows, *rest in zip(ranges, *columns, strict=True))
        return cls(dict(zip(plain["names"], sources, strict=True)), plain["n_unknown"])


class SourceIndex:
    """Finds a source among many by its anchors.

    Parameters
    ----------
    ledger : Ledger
        Whose sources are known.
    """

    def __init__(self, ledger: Ledger):
        self._sources = ledger.sources
        self._names: dict[tuple[int, int, int], list[str]] = {}
        for name, source in ledger.sources.items():
            for row, digest in source.anchors.items():
                self._names.setdefault((source.n_columns, row, digest), []).append(name)

    def similar(self, source: Source) -> list[str]:
        """Names of the sources that at least half of the anchors agree with, the most similar first."""
        keys = ((source.n_columns, row, digest) for row, digest in source.anchors.items())
        candidates = {name for key in keys for name in self._names.get(key, ())}
        ranked = sorted((-self._sources[name].likeness(source.anchors), name) for name in candidates)
        return [name for minus_likeness, name in ranked if minus_likeness <= -0.5]

    def maybe(self, source: Source) -> list[str]:
        """Names of the sources that this one may be, by what is known of the rows that both count."""
        keys = ((source.n_columns, row, digest) for row, digest in source.anchors.items())
        candidates = sorted({name for key in keys for name in self._names.get(key, ())})
        # By one look at the first cell most tables that look alike are told apart.
        candidates = [name for name in candidates if _may_begin_alike(self._sources[name], source)]
        return [name for name in candidates if self._sources[name].may_be(source)]


def _may_begin_alike(a: Source, b: Source) -> bool:
    return not (0 in a.cells and 0 in b.cells and a.cells[0] != b.cells[0])


def _cells_without(here: Source, gone: Source, rows: Ranges) -> dict[int, tuple[int, int]]:
    """Cells of a source without rows, whose digests are those of another source with these rows."""
    cells = dict(here.cells)
    for start, stop in rows:
        for cell, _, _ in cells_between(start, stop, here.cell_rows):
            if cell in cells:
                x, t = gone.cells.get(cell, (0, 0))
                cells[cell] = (cells[cell][0] - x) & _MASK, (cells[cell][1] - t) & _MASK
    left = _without(here.ranges, rows)
    kept = {cell for start, stop in left for cell, _, _ in cells_between(start, stop, here.cell_rows)}
    return {cell: value for cell, value in cells.items() if cell in kept}


def _called(source, name):
    return ", ".join(sorted(source.paths)) or f"source {name[:12]}"


def _union(a: Source, b: Source) -> Source:
    cells = dict(a.cells)
    for cell, (x, t) in b.cells.items():
        mine = cells.get(cell, (0, 0))
        cells[cell] = (mine[0] + x) & _MASK, (mine[1] + t) & _MASK
    return replace(
        a,
        ranges=_normalise(a.ranges + b.ranges),
        anchors={**a.anchors, **b.anchors},
        cells=cells,
        paths=a.paths | b.paths,
        others=a.others | b.others,
    )


def _normalise(ranges: Iterable[tuple[int, int]]) -> Ranges:
    out: list[tuple[int, int]] = []
    for start, stop in sorted((int(a), int(b)) for a, b in ranges if a < b):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(stop, out[-1][1]))
        else:
            out.append((start, stop))
    return tuple(out)


def common_rows(a: Ranges, b: Ranges) -> Ranges:
    """Rows in both of two sorted sets of ranges."""
    out, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        low, high = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if low < high:
            out.append((low, high))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return tuple(out)


def _without(ranges: Ranges, gone: Ranges) -> Ranges:
    """Rows of the first sorted set of ranges that are not in the second."""
    out, j = [], 0
    for start, stop in ranges:
        while j < len(gone) and gone[j][1] <= start:
            j += 1
        k = j
        while k < len(gone) and gone[k][0] < stop:
            out.append((start, gone[k][0]))
            start = max(start, gone[k][1])
            k += 1
        out.append((start, stop))
    return _normalise(out)
