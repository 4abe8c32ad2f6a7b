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
from .row_cells import Ranges, common_rows, merge_ranges, without_rows
from .tables import ARRAYS, Tables
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

    __slots__ = ("_index", "n_unknown", "sources")

    def __init__(
        self, sources: Mapping[str, CountedTable | Iterable[tuple[int, int]]] | None = None, n_unknown: int = 0
    ):
        self._index: SourceIndex | None = None
        self.n_unknown = n_unknown
        if isinstance(sources, Tables):
            self.sources = sources
            return
        found = {}
        for name, source in sorted((sources or {}).items()):
            source = source if isinstance(source, CountedTable) else CountedTable(tuple(source))
            if ranges := merge_ranges(source.ranges):
                found[name] = source if ranges == source.ranges else replace(source, ranges=ranges)
        self.sources = Tables(changed=found)

    @property
    def index(self) -> SourceIndex:
        """Index of the tables, made when it is first asked for."""
        if self._index is None:
            self._index = SourceIndex(self)
        return self._index

    @property
    def n_rows(self) -> int:
        """Number of rows counted, including unidentified ones."""
        return self.sources.n_rows + self.n_unknown

    @property
    def ranges(self) -> dict[str, Ranges]:
        """Counted rows of each table, by name."""
        return {name: source.ranges for name, source in self.sources.each()}

    def files(self) -> list[str]:
        """Paths that the rows may have been read from, at the time; URLs are left out.

        Tables store path:/dataset. Both parts may contain colons, so that some of these paths may not be files.
        """
        found = {path for path in self.sources.places("paths") if not is_url(path)}
        return sorted({path[:i] for path in found for i in range(len(path)) if path.startswith(":/", i)})

    def __eq__(self, other):
        return isinstance(other, Ledger) and (self.ranges, self.n_unknown) == (other.ranges, other.n_unknown)

    def __hash__(self):
        return hash((tuple(self.ranges.items()), self.n_unknown))

    def __repr__(self):
        return f"Ledger({self.ranges!r}, n_unknown={self.n_unknown})"

    def described(self, sources: Mapping[str, CountedTable]) -> Ledger:
        """The ledger with the same rows, and the anchors, pieces and paths of the same names in `sources`."""
        known = {
            name: replace(source, ranges=self.sources[name].ranges, cells=self.sources[name].cells)
            for name, source in sources.items()
            if name in self.sources
        }
        return Ledger(self.sources.changed_by(known), self.n_unknown)

    def __or__(self, other: Ledger) -> Ledger:
        """Rows of both; raises for rows that both count."""
        if not other.sources and not other.n_unknown:
            return self
        merged: dict[str, CountedTable] = {}
        index = self._index_for(other)
        for name, source in other.sources.each():
            for own, rows, evidence in self._overlaps(name, source, index):
                if own not in source.others and (own in source.same or evidence.suggests):
                    raise RowsCountedError(_counted_twice(rows, source, self.sources[own], name, evidence))
                if own == name:
                    # The same path on two machines holds two tables: give this one another name.
                    text = f"{name} {sorted(source.cells.items())} {source.ranges}"
                    name = hashlib.sha256(text.encode()).hexdigest()[:32]
            here = merged.get(name) or self.sources.get(name)
            if here is not None and other_target(here.targets, source.targets):
                called = _called(source, name)
                raise IncompatibleSumsError(refused_target("cannot add", called, here.targets, source.targets))
            merged[name] = source if here is None else here.union(source)
        return Ledger(self.sources.changed_by(merged), self.n_unknown + other.n_unknown)

    def __sub__(self, other: Ledger) -> Ledger:
        """Rows of the first without those of the second, which must all provably be counted in the first."""
        left: dict[str, CountedTable] = {}
        # Names of tables that were joined with another one, and the name that they have now.
        home: dict[str, str] = {}
        index = self._index_for(other)
        for name, source in other.sources.each():
            found = {
                home.get(own, own): None
                for own, _, evidence in self._overlaps(name, source, index)
                if evidence.proves or (own in source.same and not evidence.counted_differ)
            }
            gone = source.ranges
            if found:
                # A table that was counted through two mounts may have two names.
                first = next(iter(found))
                here = reduce(
                    CountedTable.union, (left.pop(own) if own in left else self.sources[own] for own in found)
                )
                home = {own: first if now in found else now for own, now in home.items()} | dict.fromkeys(found, first)
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
        joined = frozenset(own for own, now in home.items() if own != now)
        return Ledger(self.sources.changed_by(left, joined), self.n_unknown - other.n_unknown)

    def _index_for(self, other: Ledger) -> SourceIndex | None:
        """An index of the tables of this ledger, if those of the other one have anchors to look up."""
        return self.index if self.sources and other.sources.has_anchors else None

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
        found = self.sources.arrays
        lists = {name: found[name] for name in ("n_columns", "cell_rows", "paths", "targets")}
        plain = {"names": self.sources.names, **lists, "n_unknown": self.n_unknown}
        return {"ledger": plain} | {f"ledger_{name}": found[name] for name in (*ARRAYS, "digests")}

    @classmethod
    def from_state(cls, state: Mapping) -> Ledger:
        """The ledger with this `state`, or the one that stands in its place."""
        plain = state["ledger"]
        if isinstance(plain, Ledger):
            return plain
        # Files that were written before targets had names have none.
        lists = {"targets": [[]] * len(plain["names"])} | plain
        arrays = {name: state[f"ledger_{name}"] for name in (*ARRAYS, "digests")}
        return cls(Tables(plain["names"], lists | arrays), plain["n_unknown"])

    def __reduce__(self):
        return Ledger, (self.sources, self.n_unknown)


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
        arrays = self._sources.arrays
        self._tables, self._rows, digests = arrays["anchors"].T
        self._order = np.argsort(digests)
        self._digests = digests[self._order]
        self._at: dict[str, list[str]] = {}
        for name, paths in zip(self._sources.names, arrays["paths"], strict=True):
            for path in paths:
                if path in self._at:
                    self._at[path].append(name)
                else:
                    self._at[path] = [name]

    def _with_anchor(self, source: CountedTable) -> set[str]:
        """Names of the tables that have an anchor of this one, in as many columns."""
        rows, digests = (np.array([*part], np.uint64) for part in (source.anchors, source.anchors.values()))
        first, last = (np.searchsorted(self._digests, digests, side) for side in ("left", "right"))
        names, widths = self._sources.names, self._sources.arrays["n_columns"]
        found = {
            int(self._tables[place])
            for row, a, b in zip(rows, first, last, strict=True)
            for place in self._order[a:b]
            if self._rows[place] == row
        }
        return {names[i] for i in found if widths[i] == source.n_columns}

    def similar(self, source: CountedTable) -> list[str]:
        """Names of the tables that agree with at least half of the anchors, the most similar first."""
        found = [(self._sources[name], name) for name in self._with_anchor(source)]
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
        found = sorted(self._with_anchor(source).union(self.at_place(source)))
        # Comparing the first cell rules out most look-alikes cheaply.
        first = source.cells.get(0)
        known = ((name, self._sources[name]) for name in found)
        return [name for name, it in known if it.paths & source.paths or first in (None, it.cells.get(0, first))]


def _called(source, name):
    return ", ".join(sorted(source.paths)) or f"source {name[:12]}"
