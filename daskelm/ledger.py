"""Which rows of which sources a sum holds: disjoint row ranges per source, with union and difference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .exceptions import IncompatibleSumsError

__all__ = ["Ledger"]

Ranges = tuple[tuple[int, int], ...]


class Ledger:
    """An immutable set of rows, as sorted, disjoint, non-adjacent ranges [start, stop) for each source's digest."""

    __slots__ = ("rows",)

    def __init__(self, rows: Mapping[str, Iterable[tuple[int, int]]] | None = None):
        merged = {source: _normalise(ranges) for source, ranges in sorted((rows or {}).items())}
        self.rows: dict[str, Ranges] = {source: ranges for source, ranges in merged.items() if ranges}

    @property
    def n_rows(self) -> int:
        """Number of rows held."""
        return sum(stop - start for ranges in self.rows.values() for start, stop in ranges)

    def __eq__(self, other):
        return isinstance(other, Ledger) and self.rows == other.rows

    def __hash__(self):
        return hash(tuple(self.rows.items()))

    def __repr__(self):
        return f"Ledger({self.rows!r})"

    def __or__(self, other: Ledger) -> Ledger:
        """Rows of both; rows that are in both already are an error."""
        for source, (start, stop) in _common(self, other):
            raise IncompatibleSumsError(
                f"cannot add: rows {start} to {stop - 1} of source {source[:12]} are counted in both sums. Each row "
                "must count once: leave one of the two out, or subtract these rows first."
            )
        sources = self.rows.keys() | other.rows.keys()
        return Ledger({s: self.rows.get(s, ()) + other.rows.get(s, ()) for s in sources})

    def __sub__(self, other: Ledger) -> Ledger:
        """Rows of the first without those of the second, which must all be there."""
        left = {}
        for source, ranges in other.rows.items():
            mine = self.rows.get(source, ())
            for start, stop in ranges:
                if not any(a <= start and stop <= b for a, b in mine):
                    raise IncompatibleSumsError(
                        f"cannot subtract: rows {start} to {stop - 1} of source {source[:12]} are not (all) counted "
                        "in the sums to subtract from."
                    )
            left[source] = _without(mine, ranges)
        return Ledger({**self.rows, **left})


def _normalise(ranges: Iterable[tuple[int, int]]) -> Ranges:
    out: list[tuple[int, int]] = []
    for start, stop in sorted((int(a), int(b)) for a, b in ranges if a < b):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(stop, out[-1][1]))
        else:
            out.append((start, stop))
    return tuple(out)


def _common(a: Ledger, b: Ledger):
    for source in a.rows.keys() & b.rows.keys():
        for start, stop in a.rows[source]:
            for other_start, other_stop in b.rows[source]:
                low, high = max(start, other_start), min(stop, other_stop)
                if low < high:
                    yield source, (low, high)


def _without(ranges: Ranges, gone: Ranges) -> Ranges:
    out = []
    for start, stop in ranges:
        for a, b in gone:
            if start <= a and b <= stop:
                out.append((start, a))
                start = b
        out.append((start, stop))
    return _normalise(out)
