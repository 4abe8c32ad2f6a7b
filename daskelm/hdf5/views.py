"""Views of an open dataset: rows of the columns that are read, whichever way they lie in the file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from .choice import Choice

__all__ = ["View", "read_to", "temporary_bytes", "view_of"]

# Columns are picked out of blocks of the file of about so many bytes.
_PIECE_BYTES = 4 * 2**20
# Columns that lie so many bytes apart in a row without chunks are read together: a seek would take longer.
_NEAR_BYTES = 4096


def read_to(out: np.ndarray, dataset: h5py.Dataset, first: int, last: int) -> None:
    """Read rows first to last - 1 of a dataset into `out`, which may have another dtype."""
    if dataset.dtype == out.dtype:
        dataset.read_direct(out, np.s_[first:last])
    else:
        out[:] = dataset[first:last]


def view_of(dataset: h5py.Dataset, choice: Choice) -> View:
    """The view of a dataset by which rows of the chosen columns are read."""
    return (View if choice.is_whole else _Fields if choice.fields else _Columns)(dataset, choice)


def temporary_bytes(dataset: h5py.Dataset, choice: Choice) -> int:
    """Bytes that picking columns out of blocks of the file takes, besides the result."""
    return view_of(dataset, choice).temporary_bytes


class View:
    """Rows of all columns of a dataset, as they lie in the file.

    Attributes
    ----------
    chunk_rows : int
        Rows of a chunk; 1 without chunks.
    row_shape : tuple of int
        Shape of a row of the result.
    dtype : dtype
        Type of the result, in native byte order.
    temporary_bytes : int
        Bytes that a read takes besides the result.
    """

    temporary_bytes = 0

    def __init__(self, dataset: h5py.Dataset, choice: Choice):
        self.dataset, self.choice = dataset, choice
        axis = choice.sample_axis
        self.n_rows = dataset.shape[axis]
        self.chunk_rows = dataset.chunks[axis] if dataset.chunks else 1
        self.dtype: np.dtype[Any] = dataset.dtype.newbyteorder("=")
        self.row_shape: tuple[int, ...] = dataset.shape[1:]

    def read(self, out: np.ndarray, first: int, last: int) -> None:
        """Read rows first to last - 1 into `out`, which may have another dtype."""
        read_to(out, self.dataset, first, last)

    def _pieces(self, first: int, last: int, row_bytes: int) -> Iterator[tuple[int, int]]:
        """Ranges of rows, of whole chunks where possible, that are read at once."""
        step = self._step(row_bytes)
        while first < last:
            stop = min((first // step + 1) * step, last)
            yield first, stop
            first = stop

    def _step(self, row_bytes: int) -> int:
        return max(_PIECE_BYTES // max(row_bytes, 1) // self.chunk_rows, 1) * self.chunk_rows


class _Columns(View):
    """Some columns of a table, or columns of a table that lies on its side."""

    def __init__(self, dataset: h5py.Dataset, choice: Choice):
        super().__init__(dataset, choice)
        self.row_shape = () if choice.single else (choice.n_columns,)
        self._strips = list(self._strips_of(np.fromiter(choice.positions(), np.int64)))
        widths = [high - low for low, high, _, _ in self._strips]
        item, n_rows = dataset.dtype.itemsize, max(self.n_rows, 1)
        self.temporary_bytes = max((min(self._step(w * item), n_rows) * w * item for w in widths), default=0)

    def _strips_of(self, columns) -> Iterator[tuple[int, int, np.ndarray | slice, np.ndarray | slice]]:
        """(first, last + 1, columns within these, their places in the result) of columns that are read together."""
        dataset, order = self.dataset, np.argsort(columns, kind="stable")
        ordered = columns[order]
        if not len(ordered):
            return
        gaps = np.diff(ordered)
        if dataset.chunks:
            # A chunk of columns is read once, and one that holds no column of the choice is not read.
            side = ordered // dataset.chunks[1 - self.choice.sample_axis]
            cuts = (np.diff(side) > 0) & (gaps > 1)
        else:
            cuts = gaps * dataset.dtype.itemsize > _NEAR_BYTES
        edges = [0, *(np.flatnonzero(cuts) + 1).tolist(), len(ordered)]
        for a, b in itertools.pairwise(edges):
            low, high = (0, self.choice.width) if self._reads_all() else (int(ordered[a]), int(ordered[b - 1]) + 1)
            yield low, high, _plain(ordered[a:b] - low), _plain(order[a:b])

    def _reads_all(self):
        """Whether all columns are read: those of short rows in chunks of whole rows, which HDF5 reads row by row else.

        With 20 columns, picking one by HDF5 took four times as long as reading all.
        """
        row_bytes, axis = self.choice.width * self.dataset.dtype.itemsize, self.choice.sample_axis
        return self.dataset.chunks and self.dataset.chunks[1 - axis] >= self.choice.width and row_bytes <= _NEAR_BYTES

    def read(self, out: np.ndarray, first: int, last: int) -> None:
        """Read rows first to last - 1 into `out`, which may have another dtype."""
        table, item = out.reshape(len(out), self.choice.n_columns), self.dataset.dtype.itemsize
        for low, high, inside, place in self._strips:
            for a, b in self._pieces(first, last, (high - low) * item):
                block = self.dataset[low:high, a:b].T if self.choice.transposed else self.dataset[a:b, low:high]
                table[a - first : b - first, place] = block[:, inside]


class _Fields(View):
    """Fields of records, as the columns of a table."""

    def __init__(self, dataset: h5py.Dataset, choice: Choice):
        super().__init__(dataset, choice)
        self.names = [name for name, _ in choice.fields]
        self.dtype = np.result_type(*(np.dtype(dtype) for _, dtype in choice.fields))
        self.row_shape = () if choice.single else (choice.n_columns,)
        self._row_bytes = sum(np.dtype(dtype).itemsize for _, dtype in choice.fields)
        self.temporary_bytes = min(self._step(self._row_bytes), max(self.n_rows, 1)) * self._row_bytes

    def read(self, out: np.ndarray, first: int, last: int) -> None:
        """Read rows first to last - 1 into `out`, which may have another dtype."""
        table = out.reshape(len(out), len(self.names))
        for a, b in self._pieces(first, last, self._row_bytes):
            block = self.dataset.fields(self.names)[a:b]
            for j, name in enumerate(self.names):
                table[a - first : b - first, j] = block[name]


def _plain(numbers: np.ndarray) -> np.ndarray | slice:
    """Consecutive numbers as a slice, which is copied faster."""
    first, n = int(numbers[0]), len(numbers)
    return slice(first, first + n) if (np.diff(numbers) == 1).all() else numbers
