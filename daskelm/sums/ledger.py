"""The ledger of sums: the counted rows of each table, with union and difference."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import reduce

import numpy as np

from ..exceptions import IncompatibleSumsError, RowsCountedError
from ..hdf5.paths import is_url
from .counted_table import CountedTable, Evidence
from .row_cells import Ranges, common_rows, joined_pieces, merge_ranges, split_pieces, without_rows
from .target_places import other_target, refused_target

__all__ = ["Ledger", "SourceIndex"]


class Ledger:
    """An immutable set of counted rows: ranges of tables recognised by content, and a number of unidentified rows.

    Parameters
    ----------
    sources : mapping of str to CountedTable, or to iterables of (start, stop)
        Counted rows by name of the table.
    n_unknown : int
        Number of rows from memory, which cannot be recognised later.
    """

    __slots__ = ("n_unknown", "sources")

    def __init__(
        self, sources: Mapping[str, CountedTable | Iterable[tuple[int, int]]] | None = None, n_unknown: int = 0
    ):
        found = {}
        for name, source in sorted((sources or {}).items()):
            source = source if isinstance(source, CountedTable) else CountedTable(tuple(source))
            if ranges := merge_ranges(source.ranges):
                found[name] = source if ranges == source.ranges else replace(source, ranges=ranges)
        self.sources: dict[str, CountedTable] = found
        self.n_unknown = n_unknown

    @property
    def n_rows(self) -> int:
        """Number of rows counted, including unidentified ones."""
        return sum(source.n_rows for source in self.sources.values()) + self.n_unknown

    @property
    def ranges(self) -> dict[str, Ranges]:
        """Counted rows of each table, by name."""
        return {name: source.ranges for name, source in self.sources.items()}

    def files(self) -> list[str]:
        """Paths that the rows may have been read from, at the time; URLs are left out.

        Tables store path:/dataset. Both parts may contain colons, so that some of these paths may not be files.
        """
        found = {path for source in self.sources.values() for path in source.paths if not is_url(path)}
        return sorted({path[:i] for path in found for i in range(len(path)) if path.startswith(":/", i)})

    def __eq__(self, other):
        return isinstance(other, Ledger) and (self.ranges, self.n_unknown) == (other.ranges, other.n_unknown)

    def __hash__(self):
        return hash((tuple(self.ranges.items()), self.n_unknown))

    def __repr__(self):
        return f"Ledger({self.ranges!r}, n_unknown={self.n_unknown})"

    def described(self, sources: Mapping[str, CountedTable]) -> Ledger:
        """The ledger with the same rows, and the anchors, pieces and paths of the same names in `sources`."""
        return Ledger(
            {
                name: replace(known, ranges=source.ranges, cells=source.cells)
                for name, source in self.sources.items()
                for known in [sources.get(name, source)]
            },
            self.n_unknown,
        )

    def __or__(self, other: Ledger) -> Ledger:
        """Rows of both; raises for rows that both count."""
        merged = dict(self.sources)
        index = self._index_for(other)
        for name, source in other.sources.items():
            for own, rows, evidence in self._overlaps(name, source, index):
                if own not in source.others and (own in source.same or evidence.suggests):
                    raise RowsCountedError(_counted_twice(rows, source, self.sources[own], name, evidence))
                if own == name:
                    # The same path on two machines holds two tables: give this one another name.
                    text = f"{name} {sorted(source.cells.items())} {source.ranges}"
                    name = hashlib.sha256(text.encode()).hexdigest()[:32]
            if name in merged and other_target(merged[name].targets, source.targets):
                known, new = merged[name].targets, source.targets
                raise IncompatibleSumsError(refused_target("cannot add", _called(source, name), known, new))
            merged[name] = merged[name].union(source) if name in merged else source
        return Ledger(merged, self.n_unknown + other.n_unknown)

    def __sub__(self, other: Ledger) -> Ledger:
        """Rows of the first without those of the second, which must all provably be counted in the first."""
        left, home = dict(self.sources), {name: name for name in self.sources}
        index = self._index_for(other)
        for name, source in other.sources.items():
            found = {
                home[own]: None
                for own, _, evidence in self._overlaps(name, source, index)
                if evidence.proves or (own in source.same and not evidence.counted_differ)
            }
            gone = source.ranges
            if found:
                # A table that was counted through two mounts may have two names.
                here, first = reduce(CountedTable.union, (left.pop(own) for own in found)), next(iter(found))
                home = {own: first if now in found else now for own, now in home.items()}
                rows = common_rows(here.ranges, gone)
                left[first] = here.without(source, rows)
                gone = without_rows(gone, rows)
            if gone:
                raise IncompatibleSumsError(
                    f"cannot subtract: rows {gone[0][0]} to {gone[0][1] - 1} of {_called(source, name)} are not (all) "
                    "counted in the sums to subtract from, or not as they read now, or nothing proves it. Subtract "
                    "sums of rows that were added; with the data at hand, remove(X, y, rows=...) compares each row."
                )
        if other.n_unknown > self.n_unknown:
            raise IncompatibleSumsError(
                f"cannot subtract: {other.n_unknown} rows came from memory and cannot be recognised among "
                f"the rows to subtract from ({self.n_unknown} of those came from memory). Give the rows as the "
                "HDF5 file that they were added from."
            )
        return Ledger(left, self.n_unknown - other.n_unknown)

    def _index_for(self, other: Ledger) -> SourceIndex | None:
        """An index of the tables of this ledger, if those of the other one have anchors to look up."""
        return SourceIndex(self) if self.sources and any(s.anchors for s in other.sources.values()) else None

    def _overlaps(
        self, name: str, source: CountedTable, index: SourceIndex | None
    ) -> Iterator[tuple[str, Ranges, Evidence]]:
        """(own name, common rows, evidence) for each table of this ledger that may be the same as `source`."""
        for own in dict.fromkeys([name, *(index.candidates(source) if index else ())]):
            if own in self.sources and (rows := common_rows(self.sources[own].ranges, source.ranges)):
                here = self.sources[own]
                yield own, rows, here.evidence(source, own == name or bool(here.paths & source.paths))

    def state(self) -> dict:
        """The ledger as plain lists and arrays; `from_state` restores it."""
        sources = self.sources.values()
        ranges = [(i, *rows) for i, source in enumerate(sources) for rows in source.ranges]
        anchors = [(i, *anchor) for i, source in enumerate(sources) for anchor in source.anchors.items()]
        pieces = [(i, row, *both) for i, source in enumerate(sources) for row, both in source.pieces.items()]
        cells = [(i, row) for i, source in enumerate(sources) for row in source.cells]
        digests = [both for source in sources for both in source.cells.values()]
        return {
            "ledger": {
                "names": list(self.sources),
                "n_columns": [source.n_columns for source in sources],
                "cell_rows": [source.cell_rows for source in sources],
                "paths": [sorted(source.paths) for source in sources],
                "targets": [sorted(source.targets) for source in sources],
                "n_unknown": self.n_unknown,
            },
            "ledger_ranges": np.array(ranges, np.uint64).reshape(-1, 3),
            "ledger_anchors": np.array(anchors, np.uint64).reshape(-1, 3),
            "ledger_pieces": np.array(pieces, np.uint64).reshape(-1, 4),
            "ledger_cells": np.array(cells, np.uint64).reshape(-1, 2),
            "ledger_digests": np.stack([split_pieces([both[i] for both in digests]) for i in (0, 1)], axis=1),
        }

    @classmethod
    def from_state(cls, state: Mapping) -> Ledger:
        """The ledger with this `state`."""
        plain = state["ledger"]
        ranges: list[list] = [[] for _ in plain["names"]]
        anchors: list[dict] = [{} for _ in plain["names"]]
        pieces: list[dict] = [{} for _ in plain["names"]]
        cells: list[dict] = [{} for _ in plain["names"]]
        for i, start, stop in state["ledger_ranges"].tolist():
            ranges[i].append((start, stop))
        for i, row, digest in state["ledger_anchors"].tolist():
            anchors[i][row] = digest
        for i, row, *digests in state["ledger_pieces"].tolist():
            pieces[i][row] = tuple(digests)
        both = zip(*(joined_pieces(state["ledger_digests"][:, i]) for i in (0, 1)), strict=True)
        for (i, row), digests in zip(state["ledger_cells"].tolist(), both, strict=True):
            cells[i][row] = digests
        # Files that were written before targets had names have none.
        called = plain.get("targets", [[]] * len(anchors))
        places = map(frozenset, plain["paths"]), map(frozenset, called)
        columns = (plain["n_columns"], plain["cell_rows"], anchors, cells, pieces, *places)
        sources = (CountedTable(tuple(rows), *rest) for rows, *rest in zip(ranges, *columns, strict=True))
        return cls(dict(zip(plain["names"], sources, strict=True)), plain["n_unknown"])


def _counted_twice(rows, source, known, name, evidence):
    called = _called(source, name)
    if evidence.equal and evidence.counted_differ:
        return (
            f"cannot add: {called} has changed since rows of it were added: rows {rows[0][0]} to {rows[0][1] - 1} are "
            "counted in both sums, and some of them read otherwise. Take these rows out of one of the two, with the "
            "data that they were added from (remove, or a - b), or sum over that file anew."
        )
    if known.paths != source.paths:
        called += f" (in the other one as {_called(known, name)})"
    return (
        f"cannot add: rows {rows[0][0]} to {rows[0][1] - 1} of {called} are counted in both sums. Each row must count "
        "once: leave one of the two out, or subtract these rows first."
    )


class SourceIndex:
    """Index to find a table among many, by its anchors and by its path.

    Parameters
    ----------
    ledger : Ledger
        Ledger to search.
    """

    def __init__(self, ledger: Ledger):
        self._sources = ledger.sources
        self._names: dict[tuple[int, int, int], list[str]] = {}
        self._at: dict[str, list[str]] = {}
        for name, source in ledger.sources.items():
            for path in source.paths:
                self._at.setdefault(path, []).append(name)
            for row, digest in source.anchors.items():
                self._names.setdefault((source.n_columns, row, digest), []).append(name)

    def similar(self, source: CountedTable) -> list[str]:
        """Names of the tables that agree with at least half of the anchors, the most similar first."""
        keys = ((source.n_columns, row, digest) for row, digest in source.anchors.items())
        candidates = {name for key in keys for name in self._names.get(key, ())}
        found = [(self._sources[name], name) for name in candidates]
        ranked = sorted(
            (-known.likeness(source.anchors, bool(known.paths & source.paths)), name) for known, name in found
        )
        return [name for minus_likeness, name in ranked if minus_likeness <= -0.5]

    def at_place(self, source: CountedTable) -> list[str]:
        """Names of the tables that were read from the same path, in the same cells; anchors may differ.

        Anchors of a file that is still being filled may be zero at first, and change when the rows are written.
        """
        found = sorted({name for path in source.paths for name in self._at.get(path, ())})
        cells = (source.n_columns, source.cell_rows)
        return [name for name in found if (self._sources[name].n_columns, self._sources[name].cell_rows) == cells]

    def candidates(self, source: CountedTable) -> list[str]:
        """Names of tables that may be this one: an anchor or the path agrees, and the first cell does not differ."""
        keys = ((source.n_columns, row, digest) for row, digest in source.anchors.items())
        found = sorted({name for key in keys for name in self._names.get(key, ())}.union(self.at_place(source)))
        # Comparing the first cell rules out most look-alikes cheaply.
        first = source.cells.get(0)
        known = ((name, self._sources[name]) for name in found)
        return [name for name, it in known if it.paths & source.paths or first in (None, it.cells.get(0, first))]


def _called(source, name):
    return ", ".join(sorted(source.paths)) or f"source {name[:12]}"
