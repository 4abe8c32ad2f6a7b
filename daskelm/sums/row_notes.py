"""Record of the rows that a task counts, with their digests, for the ledger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .counted_table import CountedTable
from .ledger import Ledger
from .provenance import Origin, digests_of_T, digests_of_X
from .row_cells import add_digests, cells_of, digests_with, lanes_of, pieces_between

__all__ = ["Notes"]


class Notes:
    """Notes what the rows read while they are counted.

    Parameters
    ----------
    origins : sequence of Origin
        Where rows of X come from; rows that come from nowhere among them are unknown.
    """

    def __init__(self, origins: Sequence[Origin]):
        self.origins = origins
        self.n_unknown = 0
        self._ranges: dict[str, list[tuple[int, int]]] = {}
        self._cells: dict[str, dict[int, tuple[int, int]]] = {}

    def add(self, start: int, X: np.ndarray, content: np.ndarray, weights: np.ndarray | None) -> None:
        """Note rows start, start + 1, ... of X (rows, n_features), their targets (rows, ...) and weights (rows,)."""
        self.n_unknown += len(X)
        for origin in self.origins:
            here = origin.cut(start, start + len(X))
            if here.start == here.stop:
                continue
            rows = slice(here.start - start, here.stop - start)
            x = digests_of_X(here.first, X[rows])
            t = digests_of_T(here.first, content[rows], None if weights is None else weights[rows])
            cells, lanes, firsts = [], [], []
            for cell, lane, a, _ in pieces_between(*here.rows, origin.cell_rows):
                cells.append(cell)
                lanes.append(lane)
                firsts.append(a - here.first)
            self._add_pieces(origin.name, cells, lanes, firsts, x, t)
            self._ranges.setdefault(origin.name, []).append(here.rows)
            self.n_unknown -= here.stop - here.start

    def _add_pieces(self, name, cells, lanes, firsts, x, t):
        """Add the digests of rows, which begin at `firsts` for each of these pieces of cells."""
        noted = self._cells.setdefault(name, {})
        of_x, of_t = (np.add.reduceat(digests, firsts).tolist() for digests in (x, t))
        for cell, lane, a, b in zip(cells, lanes, of_x, of_t, strict=True):
            both = noted.get(cell, (0, 0))
            noted[cell] = add_digests(both[0], digests_with(lane, a)), add_digests(both[1], digests_with(lane, b))

    def add_scattered(
        self, runs: Sequence[tuple[int, int]], X: np.ndarray, content: np.ndarray, weights: np.ndarray | None
    ) -> None:
        """Note the rows of sorted runs [start, stop) of X, which are here together; the rest as for `add`."""
        numbers = np.concatenate([np.arange(*run) for run in runs])
        self.n_unknown += len(numbers)
        for origin in self.origins:
            low, high = np.searchsorted(numbers, (origin.start, origin.stop))
            if low == high:
                continue
            rows, mine = slice(low, high), numbers[low:high] + origin.shift
            x = digests_of_X(mine, X[rows])
            t = digests_of_T(mine, content[rows], None if weights is None else weights[rows])
            cells = cells_of(mine, origin.cell_rows)
            lanes = lanes_of(mine, cells, origin.cell_rows)
            firsts = np.flatnonzero((np.diff(cells, prepend=-1) != 0) | (np.diff(lanes, prepend=-1) != 0))
            self._add_pieces(origin.name, cells[firsts].tolist(), lanes[firsts].tolist(), firsts, x, t)
            here = [origin.cut(start, stop) for start, stop in runs if start < origin.stop and origin.start < stop]
            self._ranges.setdefault(origin.name, []).extend(part.rows for part in here)
            self.n_unknown -= len(mine)

    def ledger(self, n_columns: int) -> Ledger:
        """All that was noted; the sources are known by name only."""
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
