"""Comparison of a table with a ledger: counted rows are read again and their digests compared."""

from __future__ import annotations

from dataclasses import dataclass

from .counted_table import CountedTable
from .row_cells import PIECES, Ranges, digest_of_piece, merge_ranges, piece_of, pieces_between

__all__ = ["Reading", "read_around", "read_counted"]


@dataclass(frozen=True)
class Reading:
    """Result of reading pieces of counted rows again.

    x_differs, t_differs : ranges of rows, where X differs, and where targets or weights differ
    equal : ranges of rows, where all agree
    compared : bool, whether targets and weights could be read
    """

    x_differs: Ranges
    t_differs: Ranges
    equal: Ranges
    compared: bool

    @property
    def differs(self) -> Ranges:
        """Where X, targets or weights differ."""
        return merge_ranges(self.x_differs + self.t_differs)

    @property
    def in_part(self) -> bool:
        """Whether some rows agree and some differ, as in a changed copy rather than another table."""
        return bool(self.equal and self.differs)


def read_counted(table, part, origin, known: CountedTable, chosen) -> Reading:
    """Compare counted rows of a known table, those of `chosen` (cell, rows), with a part of `table`."""
    if known.cell_rows != table.cell_rows:
        return Reading((), (), (), compared=False)
    pieces = [piece for _, rows in chosen for a, b in rows for piece in pieces_between(a, b, known.cell_rows)]
    found: dict[tuple[int, int], tuple[int, int | None]] = {}
    for (cell, lane, _, _), (x, t) in zip(pieces, table.digests(part, origin, [p[2:] for p in pieces]), strict=True):
        before_x, before_t = found.get((cell, lane), (0, 0))
        both = None if t is None or before_t is None else (before_t + t) % 2**32
        found[cell, lane] = (before_x + x) % 2**32, both
    x_differs: list[tuple[int, int]] = []
    t_differs: list[tuple[int, int]] = []
    equal: list[tuple[int, int]] = []
    for cell, lane, a, b in pieces:
        then = [digest_of_piece(digests, lane) for digests in known.cells[cell]]
        x, t = found[cell, lane]
        if x != then[0]:
            x_differs.append((a, b))
        if t not in (None, then[1]):
            t_differs.append((a, b))
        if [x, t] == then:
            equal.append((a, b))
    compared = any(t is not None for _, t in found.values())
    return Reading(merge_ranges(x_differs), merge_ranges(t_differs), merge_ranges(equal), compared)


def read_around(table, part, origin, known: CountedTable) -> bool | None:
    """Whether whole pieces of a known table agree with those of `table`; None if there are none to compare."""
    pieces = [piece_of(low, known.cell_rows)[2:] for low in sorted(known.pieces)]
    pieces = [(a, b) for a, b in pieces if b <= part.n_rows][:PIECES]
    read = zip(pieces, table.digests(part, origin, pieces), strict=True)
    same = [(x % 2**32, t % 2**32) == known.pieces[a] for (a, _), (x, t) in read if t is not None]
    return all(same) if same else None
