"""Which rows a sum holds: row ranges of sources that are known by their content, with union and difference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from .exceptions import IncompatibleSumsError, RowsCountedError

__all__ = ["Ledger", "Source", "SourceIndex", "common_rows"]

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Source:
    """One table of rows: by what it is known again, which of its rows are counted, and what they read.

    Parameters
    ----------
    ranges : ranges of rows
        The rows counted, as sorted, disjoint, non-adjacent [start, stop).
    n_columns : int
        Of X.
    anchors : dict of int to int
        Digests of a few rows of X, counted or not, by row number: what the source is known by.
    pieces : dict of (int, int) to (int, int)
        Digests of the rows [start, stop) of X, and of their targets and weights: what the counted rows read.
    paths : frozenset of str
        Where the rows were read. No more than a hint: it tells a changed table from another one that looks alike.
    """

    ranges: Ranges
    n_columns: int = 0
    anchors: Mapping[int, int] = field(default_factory=dict)
    pieces: Mapping[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    paths: frozenset[str] = frozenset()

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

    def counted_anchors(self) -> Source:
        """The same with the anchors of counted rows alone."""
        anchors = {row: digest for row, digest in self.anchors.items() if not self.missing(row, row + 1)}
        return replace(self, anchors=anchors)

    def alike(self, other: Source) -> bool:
        """Whether nothing that is known of both tells them apart."""
        differ = any(self.pieces[key] != other.pieces[key] for key in self.pieces.keys() & other.pieces.keys())
        return self.n_columns == other.n_columns and self.likeness(other.anchors) == 1 and not differ

    def missing(self, start: int, stop: int) -> Ranges:
        """The rows of [start, stop) that are not counted."""
        return _without(((start, stop),), self.ranges)


class Ledger:
    """An immutable set of rows: those of sources that are known again, and a number of rows that nobody can know.

    Parameters
    ----------
    sources : mapping of str to Source, or to iterables of (start, stop)
        Rows by the source's name, which is a digest of its anchors.
    n_unknown : int
        Number of rows that came from memory.
    """

    __slots__ = ("n_unknown", "sources")

    def __init__(self, sources: Mapping[str, Source | Iterable[tuple[int, int]]] | None = None, n_unknown: int = 0):
        found = {}
        for name, source in sorted((sources or {}).items()):
            source = source if isinstance(source, Source) else Source(tuple(source))
            if ranges := _normalise(source.ranges):
                found[name] = replace(source, ranges=ranges)
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

    def __or__(self, other: Ledger) -> Ledger:
        """Rows of both; rows that are in both already are an error."""
        merged = dict(self.sources)
        index = SourceIndex(self)
        for name, source in other.sources.items():
            for mine in (name,) if name in self.sources else index.alike(source):
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
        index = SourceIndex(self)
        for name, source in other.sources.items():
            gone = source.ranges
            for mine in dict.fromkeys([name, *index.alike(source)]):
                if mine in left:
                    here = left[mine]
                    rows = common_rows(here.ranges, gone)
                    # A piece with rows that are gone is forgotten: they may be mended, and come back.
                    pieces = {key: value for key, value in here.pieces.items() if not common_rows((key,), rows)}
                    left[mine] = replace(here, ranges=_without(here.ranges, rows), pieces=pieces)
                    gone = _without(gone, rows)
            if gone:
                raise IncompatibleSumsError(
                    f"cannot subtract: rows {gone[0][0]} to {gone[0][1] - 1} of {_called(source, name)} are not (all) "
                    "counted in the sums to subtract from."
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
        pieces = [(i, *key, *value) for i, source in enumerate(sources) for key, value in source.pieces.items()]
        return {
            "ledger": {
                "names": list(self.sources),
                "n_columns": [source.n_columns for source in sources],
                "paths": [sorted(source.paths) for source in sources],
                "n_unknown": self.n_unknown,
            },
            "ledger_ranges": np.array(ranges, np.uint64).reshape(-1, 3),
            "ledger_anchors": np.array(anchors, np.uint64).reshape(-1, 3),
            "ledger_pieces": np.array(pieces, np.uint64).reshape(-1, 5),
        }

    @classmethod
    def from_state(cls, state: Mapping) -> Ledger:
        """The ledger whose `state` this is."""
        plain = state["ledger"]
        ranges: list[list] = [[] for _ in plain["names"]]
        anchors: list[dict] = [{} for _ in plain["names"]]
        pieces: list[dict] = [{} for _ in plain["names"]]
        for i, start, stop in state["ledger_ranges"].tolist():
            ranges[i].append((start, stop))
        for i, row, digest in state["ledger_anchors"].tolist():
            anchors[i][row] = digest
        for i, start, stop, *digests in state["ledger_pieces"].tolist():
            pieces[i][start, stop] = tuple(digests)
        parts = zip(ranges, plain["n_columns"], anchors, pieces, map(frozenset, plain["paths"]), strict=True)
        sources = (Source(tuple(rows), *rest) for rows, *rest in parts)
        return cls(dict(zip(plain["names"], sources, strict=True)), plain["n_unknown"])


class SourceIndex:
    """Finds a source among many by its anchors.

    Parameters
    ----------
    ledger : Ledger
        Whose sources are known from the beginning.
    """

    def __init__(self, ledger: Ledger):
        self._sources: dict[str, Source] = {}
        self._names: dict[tuple[int, int, int], list[str]] = {}
        for name, source in ledger.sources.items():
            self.add(name, source)

    def add(self, name: str, source: Source) -> None:
        """Know one more source."""
        self._sources[name] = source
        for row, digest in source.anchors.items():
            self._names.setdefault((source.n_columns, row, digest), []).append(name)

    def similar(self, source: Source) -> list[str]:
        """Names of the sources that most of the anchors agree with, the most similar first."""
        keys = ((source.n_columns, row, digest) for row, digest in source.anchors.items())
        candidates = {name for key in keys for name in self._names.get(key, ())}
        ranked = sorted((-self._sources[name].likeness(source.anchors), name) for name in candidates)
        return [name for minus_likeness, name in ranked if minus_likeness <= -0.5]

    def alike(self, source: Source) -> list[str]:
        """Names of the sources that nothing known tells from this one."""
        return [name for name in self.similar(source) if self._sources[name].alike(source)]


def _called(source, name):
    return ", ".join(sorted(source.paths)) or f"source {name[:12]}"


def _union(a: Source, b: Source) -> Source:
    return replace(
        a,
        ranges=_normalise(a.ranges + b.ranges),
        anchors={**a.anchors, **b.anchors},
        pieces={**a.pieces, **b.pieces},
        paths=a.paths | b.paths,
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
    out = []
    for start, stop in ranges:
        for a, b in common_rows(((start, stop),), gone):
            out.append((start, a))
            start = b
        out.append((start, stop))
    return _normalise(out)
