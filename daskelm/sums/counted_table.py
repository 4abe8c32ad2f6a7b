"""A table in a ledger, with its counted rows, and the evidence on whether two tables are the same."""

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
    """A table in a ledger: how it is recognised, which of its rows are counted, and their digests.

    Parameters
    ----------
    ranges : ranges of rows
        Counted rows, as sorted, disjoint, non-adjacent [start, stop).
    n_columns : int
        Number of columns of X.
    cell_rows : int
        Rows per cell, a power of two.
    anchors : dict of int to int
        Digests of a few rows of X, counted or not, by row number, which identify the table.
    cells : dict of int to (int, int)
        Digests of counted rows, of X and of targets with weights, by first row of the cell and piece by piece. They
        are added and subtracted with the rows, and so do not depend on the order in which rows were counted.
    pieces : dict of int to (int, int)
        Digests of whole pieces that are counted in part, by first row, at the time when rows there were counted. Only
        they allow comparing two ranges that overlap within a piece.
    paths : frozenset of str
        Paths that the rows were read from. A hint only, which separates a changed table from a look-alike.
    targets : frozenset of str
        Paths and datasets that the targets were read from; empty for targets that were in no file.
    same, others : frozenset of str
        Names of similar tables that were found to be this one, or different ones, when their rows were read again.
    """

    ranges: Ranges
    n_columns: int = 0
    cell_rows: int = 1
    anchors: Mapping[int, int] = field(default_factory=dict)
    cells: Mapping[int, Digests] = field(default_factory=dict)
    pieces: Mapping[int, Digests] = field(default_factory=dict)
    paths: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()
    same: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()

    @property
    def n_rows(self) -> int:
        """Number of rows counted."""
        return sum(stop - start for start, stop in self.ranges)

    def likeness(self, other: Mapping[int, int], same_place: bool = False) -> float:
        """Fraction of the anchors at common rows that are equal in `other`, from 0 to 1.

        Rows that occur more than once (all zeros, say) are left out, since they identify nothing. If no others are
        left, all must be equal, unless both tables were read from the same path.
        """
        common = self.anchors.keys() & other.keys()
        if not common:
            return 0.0
        distinctive = self.distinctive(common)
        same = [self.anchors[row] == other[row] for row in distinctive or common]
        return sum(same) / len(same) if distinctive or same_place else float(all(same))

    def distinctive(self, rows) -> list[int]:
        """The anchors among `rows` whose content occurs only once."""
        n_times = Counter(self.anchors.values())
        return [row for row in rows if n_times[self.anchors[row]] == 1]

    def rows_in(self, cell: int) -> Ranges:
        """Counted rows of the cell that begins at this row."""
        return rows_within(self.ranges, *cell_of(cell, self.cell_rows))

    def whole_piece(self, row: int) -> Digests | None:
        """Digests of the whole piece that contains a row; None if they are unknown."""
        cell, lane, low, high = piece_of(row, self.cell_rows)
        if cell in self.cells and rows_within(self.ranges, low, high) == ((low, high),):
            x, t = self.cells[cell]
            return digest_of_piece(x, lane), digest_of_piece(t, lane)
        return self.pieces.get(low)

    def missing(self, start: int, stop: int) -> Ranges:
        """The rows of [start, stop) that are not counted."""
        return without_rows(((start, stop),), self.ranges)

    def union(self, other: CountedTable) -> CountedTable:
        """The table with the counted rows of both."""
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
            targets=self.targets | other.targets,
            same=self.same | other.same,
            others=self.others | other.others,
        )
        pieces = {**self.pieces, **other.pieces}
        return replace(merged, pieces={low: both for low, both in pieces.items() if merged._counts_part(low)})

    def _counts_part(self, low: int) -> bool:
        """Whether some rows of the piece that begins here are not counted."""
        _, _, _, high = piece_of(low, self.cell_rows)
        return rows_within(self.ranges, low, high) != ((low, high),)

    def without(self, gone: CountedTable, rows: Ranges) -> CountedTable:
        """The table without `rows`, which are all rows of `gone` that are counted here."""
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
        """Evidence on whether this table and another one, with counted rows in common, are the same table."""
        if (self.n_columns, self.cell_rows) != (other.n_columns, other.cell_rows):
            return Evidence(same_place, counted_differ=True)
        common = self.anchors.keys() & other.anchors.keys()
        found = Evidence(
            same_place,
            likeness=max(self.likeness(other.anchors, same_place), other.likeness(self.anchors, same_place)),
            distinctive=bool(self.distinctive(common) and other.distinctive(common)),
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
        """(whether counted rows are compared, whether they agree) for each piece with some of the rows.

        Counted rows are compared where both count the same rows of a piece; otherwise the whole piece, if both know it.
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
    """Evidence on whether two tables, with counted rows in common, are the same table.

    same_place : bool, whether the tables share a name or a path
    likeness : float, fraction of the anchors of one of them that agree
    distinctive : bool, whether some of these anchors occur only once
    anchored : bool, whether both tables have anchors
    equal : bool, whether some pieces with common rows agree
    counted_differ : bool, whether some rows that both count differ
    whole_differ : bool, whether some whole pieces with common rows differ, perhaps in rows that are not counted
    around_equal, around_differ : bool, whether all whole pieces there and nearby agree, and whether some differ
    """

    same_place: bool
    likeness: float = 0.0
    distinctive: bool = False
    anchored: bool = False
    equal: bool = False
    counted_differ: bool = False
    whole_differ: bool = False
    around_equal: bool = False
    around_differ: bool = False

    @property
    def proves(self) -> bool:
        """Whether the common rows are certainly the same rows, so that they can be subtracted."""
        if self.counted_differ or self.whole_differ:
            return False
        if self.same_place:
            return not self.anchored or self.likeness == 1 or (self.equal and self.likeness >= 0.5)
        return self.likeness == 1 and (self.equal or (self.around_equal and self.distinctive))

    @property
    def suggests(self) -> bool:
        """Whether the common rows are probably the same rows, so that adding them would count them twice."""
        if self.same_place:
            # If only some rows of the table were changed, the others would count twice.
            if self.likeness >= 0.5 or not self.anchored:
                return self.equal or not self.counted_differ
            # Anchors of a file that is being filled may change later; counted rows stay.
            return self.equal and not (self.counted_differ or self.whole_differ)
        if self.likeness < 1 or self.counted_differ:
            return False
        return self.equal or (not (self.whole_differ or self.around_differ) and self.distinctive)
