"""Record of the rows that a task counts, with their digests, for the ledger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .counted_table import CountedTable
from .ledger import Ledger
from .provenance import Origin, digests_of_T, digests_of_X
from .row_cells import add_digests, cells_of, digests_with, lanes_of, pieces_between

__all__ = ["RowLog"]


class RowLog:
    """Log of the rows that a task counts: which they are, and digests of what they read.

    Parameters
    ----------
    origins : sequence of Origin
        Where rows of X come from; all other rows are unknown.
    """

    def __init__(self, origins: Sequence[Origin]):
        self.origins = origins
        self.n_unknown = 0
        self._ranges: dict[str, list[tuple[int, int]]] = {}
        self._cells: dict[str, dict[int, tuple[int, int]]] = {}

    def add(
        self, runs: Sequence[tuple[int, int]], X: np.ndarray, content: np.ndarray, weights: np.ndarray | None
    ) -> None:
        """Log the rows of sorted runs [start, stop) of the whole input.

        They are here together: X (rows, n_features), the content of the targets (rows, ...) and weights (rows,).
        """
        self.n_unknown += len(X)
        starts, stops = np.array(runs).T
        for origin in self.origins:
            low, high = (np.clip(edge - starts, 0, stops - starts).sum() for edge in (origin.start, origin.stop))
            if low == high:
                continue
            inside = (starts < origin.stop) & (stops > origin.start)
            edges = np.clip((starts[inside], stops[inside]), origin.start, origin.stop) + origin.shift
            ranges = list(zip(*edges.tolist(), strict=True))
            numbers, cells, lanes, firsts = _pieces(ranges, origin.cell_rows)
            rows = slice(low, high)
            x = digests_of_X(numbers, X[rows])
            t = digests_of_T(numbers, content[rows], None if weights is None else weights[rows])
            self._add_pieces(origin.name, cells, lanes, firsts, x, t)
            self._ranges.setdefault(origin.name, []).extend(ranges)
            self.n_unknown -= int(high - low)

    def _add_pieces(self, name, cells, lanes, firsts, x, t):
        """Add the digests of rows, which begin at `firsts` for each of these pieces of cells."""
        logged = self._cells.setdefault(name, {})
        of_x, of_t = (np.add.reduceat(digests, firsts).tolist() for digests in (x, t))
        for cell, lane, a, b in zip(cells, lanes, of_x, of_t, strict=True):
            both = logged.get(cell, (0, 0))
            logged[cell] = add_digests(both[0], digests_with(lane, a)), add_digests(both[1], digests_with(lane, b))

    def ledger(self, n_columns: int) -> Ledger:
        """Ledger of all logged rows; the sources are known by name only."""
        cell_rows = {origin.name: origin.cell_rows for origin in self.origins}
        return Ledger(
            {
                name: CountedTable(
                    tuple(sorted(ranges)),
                    n_columns,
                    cell_rows[name],
                    cells=self._cells[name],
                )
                for name, ranges in self._ranges.items()
            },
            self.n_unknown,
        )


def _pieces(ranges, cell_rows):
    """Numbers of the rows in sorted ranges, or the first of one range, and each piece of a cell that these hold.

    Pieces are given by the start of the cell, the number of the piece in it, and where its rows begin among these.
    """
    if len(ranges) == 1:
        # There are few pieces in many rows.
        [(first, stop)] = ranges
        cells, lanes, starts, _ = zip(*pieces_between(first, stop, cell_rows), strict=True)
        return first, cells, lanes, [start - first for start in starts]
    numbers = np.concatenate([np.arange(*run) for run in ranges])
    of_cell = cells_of(numbers, cell_rows)
    of_lane = lanes_of(numbers, of_cell, cell_rows)
    firsts = np.flatnonzero((np.diff(of_cell, prepend=-1) != 0) | (np.diff(of_lane, prepend=-1) != 0))
    return numbers, of_cell[firsts].tolist(), of_lane[firsts].tolist(), firsts
