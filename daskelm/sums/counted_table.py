"""One table of rows that a ledger counts, and the evidence of whether two of them are the same table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from .row_cells import (
    Ranges,
    add_digests,
    cell_of,
    cells_between,
    common_rows,
    digest_of_piece,
    merge_ranges,
    piece_of,
    pieces_between,
    rows_within,
    subtract_digests,
    without_rows,
)

__all__ = ["CountedTable", "Evidence"]

Digests = tuple[int, int]


@dataclass(frozen=True)
class CountedTable:
    """A table whose rows are counted: which rows, and the digests by which it is recognised and compared.

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
        By the first row of each cell, the digests of its counted rows, piece by piece: of X, and of their targets and
        weights. They are added and subtracted with the rows, and so are the same however the rows came.
    pieces : dict of int to (int, int)
        By the first row, digests of whole pieces that are not all counted: as the table read when rows there were
        counted. Two ranges that overlap within a piece can be compared by them alone.
    paths : frozenset of str
        Where the rows were read. No more than a hint: it tells a changed table from another one that looks alike.
    same, others : frozenset of str
        Names of sources that look alike, and were found to be this one, or other ones, when their rows were read anew.
    """

    ranges: Ranges
    n_columns: int = 0
    cell_rows: int = 1
    anchors: Mapping[int, int] = field(default_factory=dict)
    cells: Mapping[int, Digests] = field(default_factory=dict)
    pieces: Mapping[int, Digests] = field(default_factory=dict)
    paths: frozenset[str] = frozenset()
    same: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()

    @property
    def n_rows(self) -> int:
        """Number of rows counted."""
        return sum(stop - start for start, stop in self.ranges)

    def likeness(self, other: Mapping[int, int], same_place: bool = False) -> float:
        """Part of the anchors at common rows that are equal in `other`, from 0 to 1.

        Rows that occur more than once here (all zeros, say) tell nothing and are left out. Where there are no others,
        all must be equal, unless both tables were read at the same place.
        """
        common = self.anchors.keys() & other.keys()
        if not common:
            return 0.0
        telling = self.telling(common)
        same = [self.anchors[row] == other[row] for row in telling or common]
        return sum(same) / len(same) if telling or same_place else float(all(same))

    def telling(self, rows) -> list[int]:
        """Those of these anchors that occur once."""
        n_times = Counter(self.anchors.values())
        return [row for row in rows if n_times[self.anchors[row]] == 1]

    def rows_in(self, cell: int) -> Ranges:
        """The counted rows of the cell that begins at this row."""
        return rows_within(self.ranges, *cell_of(cell, self.cell_rows))

    def whole_piece(self, row: int) -> Digests | None:
        """Digests of the whole piece that a row is in; None if they are not known."""
        cell, lane, low, high = piece_of(row, self.cell_rows)
        if cell in self.cells and rows_within(self.ranges, low, high) == ((low, high),):
            x, t = self.cells[cell]
            return digest_of_piece(x, lane), digest_of_piece(t, lane)
        return self.pieces.get(low)

    def missing(self, start: int, stop: int) -> Ranges:
        """The rows of [start, stop) that are not counted."""
        return without_rows(((start, stop),), self.ranges)

    def union(self, other: CountedTable) -> CountedTable:
        """The rows of both, of one table."""
        cells = dict(self.cells)
        for cell, (x, t) in other.cells.items():
            mine = cells.get(cell, (0, 0))
            cells[cell] = add_digests(mine[0], x), add_digests(mine[1], t)
        merged = replace(
            self,
            ranges=merge_ranges(self.ranges + other.ranges),
            anchors={**self.anchors, **other.anchors},
            cells=cells,
            paths=self.paths | other.paths,
            same=self.same | other.same,
            others=self.others | other.others,
        )
        pieces = {**self.pieces, **other.pieces}
        return replace(merged, pieces={low: both for low, both in pieces.items() if merged._counts_part(low)})

    def _counts_part(self, low: int) -> bool:
        """Whether rows of the piece that begins here are not counted."""
        _, _, _, high = piece_of(low, self.cell_rows)
        return rows_within(self.ranges, low, high) != ((low, high),)

    def without(self, gone: CountedTable, rows: Ranges) -> CountedTable:
        """The source without `rows`, which are all rows of `gone` that are counted here."""
        cells, pieces = dict(self.cells), dict(self.pieces)
        for start, stop in rows:
            for _, _, first, _ in pieces_between(start, stop, self.cell_rows):
                if (whole := self.whole_piece(first)) is not None:
                    pieces[piece_of(first, self.cell_rows)[2]] = whole
        for cell in {cell for start, stop in rows for cell, _, _ in cells_between(start, stop, self.cell_rows)}:
            if cell in cells:
                x, t = gone.cells.get(cell, (0, 0))
                cells[cell] = subtract_digests(cells[cell][0], x), subtract_digests(cells[cell][1], t)
        left = replace(self, ranges=without_rows(self.ranges, rows))
        kept = {cell: both for cell, both in cells.items() if left.rows_in(cell)}
        pieces = {low: both for low, both in pieces.items() if piece_of(low, self.cell_rows)[0] in kept}
        return replace(left, cells=kept, pieces=pieces)

    def evidence(self, other: CountedTable, same_place: bool) -> Evidence:
        """What tells whether this source and another one, of which both count some of the same rows, are one table."""
        if (self.n_columns, self.cell_rows) != (other.n_columns, other.cell_rows):
            return Evidence(same_place, counted_differ=True)
        common = self.anchors.keys() & other.anchors.keys()
        found = Evidence(
            same_place,
            likeness=max(self.likeness(other.anchors, same_place), other.likeness(self.anchors, same_place)),
            telling=bool(self.telling(common) and other.telling(common)),
            anchored=bool(self.anchors and other.anchors),
        )
        if not same_place and found.likeness < 1:
            return found
        pairs = list(self._compared(other, common_rows(self.ranges, other.ranges)))
        around = [
            mine == theirs
            for low in self.pieces.keys() | other.pieces.keys()
            if (mine := self.whole_piece(low)) is not None and (theirs := other.whole_piece(low)) is not None
        ]
        return replace(
            found,
            equal=any(equal for _, equal in pairs),
            counted_differ=any(counted and not equal for counted, equal in pairs),
            whole_differ=any(not counted and not equal for counted, equal in pairs),
            around_equal=bool(around) and all(around),
            around_differ=not all(around),
        )

    def _compared(self, other: CountedTable, rows: Ranges) -> Iterator[tuple[bool, bool]]:
        """(whether the counted rows are compared, whether they read the same), for each piece with some of the rows.

        Where the two count the same rows of a piece, these are compared; else the whole piece, if it is known of both.
        """
        for cell in {cell for start, stop in rows for cell, _, _ in cells_between(start, stop, self.cell_rows)}:
            both_known = cell in self.cells and cell in other.cells
            if both_known and self.cells[cell] == other.cells[cell] and self.rows_in(cell) == other.rows_in(cell):
                yield True, True
                continue
            for _, lane, first, last in pieces_between(*cell_of(cell, self.cell_rows), self.cell_rows):
                mine, theirs = rows_within(self.ranges, first, last), rows_within(other.ranges, first, last)
                if not common_rows(mine, theirs):
                    continue
                if both_known and mine == theirs:
                    digests = zip(self.cells[cell], other.cells[cell], strict=True)
                    yield True, all(digest_of_piece(a, lane) == digest_of_piece(b, lane) for a, b in digests)
                elif (a := self.whole_piece(first)) is not None and (b := other.whole_piece(first)) is not None:
                    yield False, a == b


@dataclass(frozen=True)
class Evidence:
    """What tells whether two sources, of which both count some of the same rows, are one table.

    `same_place`: they have a name or a path in common. `likeness`: part of the anchors that agree, of one of the two;
    `telling`: some of these occur once; `anchored`: both have anchors. Of the pieces that rows in common lie in,
    `equal`: some read the same; `counted_differ`: rows that both count read otherwise; `whole_differ`: the tables read
    otherwise there, in rows that may not be counted. `around_equal`, `around_differ`: whole pieces, there and nearby.
    """

    same_place: bool
    likeness: float = 0.0
    telling: bool = False
    anchored: bool = False
    equal: bool = False
    counted_differ: bool = False
    whole_differ: bool = False
    around_equal: bool = False
    around_differ: bool = False

    @property
    def proves(self) -> bool:
        """Whether the rows in common are the same rows for certain, so that they can be taken away."""
        if self.counted_differ or self.whole_differ:
            return False
        if self.same_place:
            return not self.anchored or self.likeness == 1 or (self.equal and self.likeness >= 0.5)
        return self.likeness == 1 and (self.equal or (self.around_equal and self.telling))

    @property
    def suggests(self) -> bool:
        """Whether the rows in common are likely to be the same rows, so that to add them would count them twice."""
        if self.same_place:
            # Of one table of which some rows were changed, the others would count twice.
            if self.likeness >= 0.5 or not self.anchored:
                return self.equal or not self.counted_differ
            # Of a file that is being filled, the anchors may read otherwise later; what is counted stays.
            return self.equal and not (self.counted_differ or self.whole_differ)
        if self.likeness < 1 or self.counted_differ:
            return False
        return self.equal or (not (self.whole_differ or self.around_differ) and self.telling)
