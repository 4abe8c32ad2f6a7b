"""Rows of datasets in compressed chunks: each chunk is decompressed once per task, however few rows a block takes."""

from __future__ import annotations

import h5py
import numpy as np

__all__ = ["CompressedChunks", "read_to"]


def read_to(out: np.ndarray, dataset: h5py.Dataset, first: int, last: int) -> None:
    """Read rows first to last - 1 of a dataset into `out`, which may have another dtype."""
    if dataset.dtype == out.dtype:
        dataset.read_direct(out, np.s_[first:last])
    else:
        out[:] = dataset[first:last]


class CompressedChunks:
    """Reads rows of a dataset of compressed chunks, and keeps the last row of chunks that was read in part.

    HDF5 has a cache of chunks too, but only one for all tasks of a process that have the dataset open: two tasks side
    by side would evict each other's chunks, and each chunk would be decompressed again for each block.
    """

    def __init__(self, dataset: h5py.Dataset):
        self._dataset, self._height = dataset, dataset.chunks[0]
        self._first = -1
        self._memory: np.ndarray | None = None

    def read(self, first: int, last: int, out: np.ndarray) -> None:
        """Read rows first to last - 1 into `out`."""
        a = first
        while a < last:
            low = a // self._height * self._height
            # All whole rows of chunks are read at once.
            b = last if last == len(self._dataset) else last // self._height * self._height
            if a == low and b > a:
                read_to(out[a - first : b - first], self._dataset, a, b)
            else:
                b = min(low + self._height, last)
                out[a - first : b - first] = self._kept(low)[a - low : b - low]
            a = b

    def _kept(self, low):
        if self._memory is None:
            self._memory = np.empty(
                (min(self._height, len(self._dataset)), *self._dataset.shape[1:]), self._dataset.dtype
            )
        if self._first != low:
            high = min(low + self._height, len(self._dataset))
            # If reading fails, no rows count as kept.
            self._first = -1
            read_to(self._memory[: high - low], self._dataset, low, high)
            self._first = low
        return self._memory
