"""Sums over any number of rows: the Gram matrix of blocks that come one after the other, and what stands beside it.

Terms are summed over runs, and the runs into the total, so that rounding does not grow with the number of rows.
"""

from __future__ import annotations

import numpy as np

from ..blas import add_gram, add_outer, add_outer_packed
from ..ridge.packed import add_triangle, crop_packed, move_transposed, pack_in_place

__all__ = ["DoubleGram", "LongSum", "SingleGram", "gram_matrix"]

# Rows that are summed in single precision before they are added to what is kept in double: the more, the larger the
# rounding; the fewer, the more of the time goes into adding (4,000 neurons: 3 % of it).
_SINGLE_RUN = 8192
# Rows of a run in double precision. Without runs, 1e8 rows of a column that is constant miss 4e-12 of their squares.
_DOUBLE_RUN = 2**17
# Terms of a run of whatever else is summed.
_TERMS = 64


class LongSum:
    """Sum of arrays of one shape, in double precision, over runs of terms."""

    def __init__(self, *shape: int):
        self._total, self._run, self._n_terms = np.zeros(shape), np.zeros(shape), 0

    def add(self, term) -> None:
        """Add one term."""
        if self._n_terms == _TERMS:
            self.value = self.value
        self._run += term
        self._n_terms += 1

    @property
    def value(self) -> np.ndarray:
        """The sum so far."""
        return self._total + self._run

    @value.setter
    def value(self, value):
        self._total[...] = value
        self._run[...] = 0
        self._n_terms = 0


class DoubleGram:
    """Gram matrix (width, width), filled in place.

    The run is in the lower triangle of a square and the total in the upper one, one row higher, so that each has a
    diagonal: both together take the memory of one square.
    """

    dtype = np.dtype(np.float64)

    def __init__(self, width: int):
        self.both = np.zeros((width + 1, width))
        self._n_rows = 0

    def add(self, block: np.ndarray) -> None:
        """Add block'block for a block (rows, width) of `dtype`, C-contiguous."""
        for start in range(0, len(block), _DOUBLE_RUN):
            part = block[start : start + _DOUBLE_RUN]
            if self._n_rows + len(part) > _DOUBLE_RUN:
                self._empty()
            add_gram(part, self.both[1:], lower=True)
            self._n_rows += len(part)

    def _empty(self):
        if self._n_rows:
            move_transposed(self.both[1:], self.both[:-1])
            self._n_rows = 0

    def add_outer(self, x: np.ndarray, y: np.ndarray) -> None:
        """Add xy' + yx' for vectors (width,), float64."""
        self._empty()
        add_outer(x, y, self.both[:-1])

    def column(self, k: int) -> np.ndarray:
        """One column (width,), float64."""
        self._empty()
        return np.concatenate([self.both[:k, k], self.both[k, k:]])

    def columns(self, start: int, stop: int) -> np.ndarray:
        """The part above the diagonal of columns start to stop - 1: (stop, stop - start), float64."""
        self._empty()
        return self.both[:stop, start:stop].copy()

    def packed(self, n: int) -> np.ndarray:
        """Upper triangle of the leading n, row by row; the matrix is used up."""
        self._empty()
        both = self.both
        del self.both
        return pack_in_place(both, n)


class SingleGram:
    """The same from blocks in single precision: the square is emptied into a packed triangle in double now and then.

    Both together take the memory of one square in double.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, width: int):
        self.width = width
        self.square = np.zeros((width, width), np.float32)
        self.triangle = np.zeros(width * (width + 1) // 2)
        self._n_rows = 0

    def add(self, block: np.ndarray) -> None:
        """Add block'block for a block (rows, width) of `dtype`, C-contiguous."""
        for start in range(0, len(block), _SINGLE_RUN):
            part = block[start : start + _SINGLE_RUN]
            if self._n_rows + len(part) > _SINGLE_RUN:
                self._empty()
            add_gram(part, self.square)
            self._n_rows += len(part)

    def _empty(self):
        if self._n_rows:
            add_triangle(self.square, self.triangle)
            self.square[:] = 0
            self._n_rows = 0

    def add_outer(self, x: np.ndarray, y: np.ndarray) -> None:
        """Add xy' + yx' for vectors (width,), float64."""
        self._empty()
        add_outer_packed(x, y, self.triangle)

    def column(self, k: int) -> np.ndarray:
        """One column (width,), float64."""
        above = self.columns(k, k + 1)[:k, 0]
        first = k * self.width - k * (k - 1) // 2
        return np.concatenate([above, self.triangle[first : first + self.width - k]])

    def columns(self, start: int, stop: int) -> np.ndarray:
        """The part above the diagonal of columns start to stop - 1: (stop, stop - start), float64."""
        self._empty()
        out = np.zeros((stop, stop - start))
        first = 0
        for i in range(stop):
            a = max(start, i)
            out[i, a - start :] = self.triangle[first + a - i : first + stop - i]
            first += self.width - i
        return out

    def packed(self, n: int) -> np.ndarray:
        """Upper triangle of the leading n, row by row; the matrix is used up."""
        self._empty()
        triangle = self.triangle
        del self.square, self.triangle
        return crop_packed(triangle, self.width, n)


def gram_matrix(width: int, dtype: np.dtype) -> DoubleGram | SingleGram:
    """An empty one; `dtype` is float64 or float32."""
    return SingleGram(width) if dtype == np.float32 else DoubleGram(width)
