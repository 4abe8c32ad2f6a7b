"""Rows of datasets in compressed chunks: each chunk is decompressed once per task, however few rows a block takes."""

from __future__ import annotations

import numpy as np

from .views import View

__all__ = ["CompressedChunks"]


class CompressedChunks:
    """Reads rows of a dataset of compressed chunks, and keeps the last row of chunks that was read in part.

    HDF5 has a cache of chunks too, but only one for all tasks of a process that have the dataset open: two tasks side
    by side would evict each other's chunks, and each chunk would be decompressed again for each block.
    """

    def __init__(self, view: View):
        self._view, self._height = view, view.chunk_rows
        self._first = -1
        self._memory: np.ndarray | None = None

    def read(self, first: int, last: int, out: np.ndarray) -> None:
        """Read rows first to last - 1 into `out`."""
        a = first
        while a < last:
            low = a // self._height * self._height
            # All whole rows of chunks are read at once.
            b = last if last == self._view.n_rows else last // self._height * self._height
            if a == low and b > a:
                self._view.read(out[a - first : b - first], a, b)
            else:
                b = min(low + self._height, last)
                out[a - first : b - first] = self._kept(low)[a - low : b - low]
            a = b

    def _kept(self, low):
        if self._memory is None:
            self._memory = np.empty((min(self._height, self._view.n_rows), *self._view.row_shape), self._view.dtype)
        if self._first != low:
            high = min(low + self._height, self._view.n_rows)
            # If reading fails, no rows count as kept.
            self._first = -1
            self._view.read(self._memory[: high - low], low, high)
            self._first = low
        return self._memory
