"""Gram matrices and other sums over any number of rows, in place.

Terms are summed over runs, and the runs into the total, so that rounding does not grow with the number of rows.
"""

from __future__ import annotations

import numpy as np

from ..blas import add_gram, add_outer, add_outer_packed
from ..ridge.packed import add_triangle, crop_packed, move_transposed, pack_in_place

__all__ = ["DoubleGram", "LongSum", "SingleGram"]

# Rows that are summed in single precision before they are added to the total in double precision: more rows have a
# larger rounding, and with fewer more of the time goes into adding (4,000 neurons: 3 % of it).
_SINGLE_RUN = 8192
# Rows of a run in double precision. Without runs, 1e8 rows of a column that is constant miss 4e-12 of their squares.
_DOUBLE_RUN = 2**17
# Terms of a run of all other sums.
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

    dtype: np.dtype = np.dtype(np.float64)
    run_rows = _DOUBLE_RUN

    def __init__(self, width: int):
        self.width, self._n_rows = width, 0
        self.both = np.zeros((width + 1, width))

    def add(self, block: np.ndarray) -> None:
        """Add block'block for a block (rows, width) of `dtype`, C-contiguous."""
        for start in range(0, len(block), self.run_rows):
            part = block[start : start + self.run_rows]
            if self._n_rows + len(part) > self.run_rows:
                self._end_run()
            self._add_to_run(part)
            self._n_rows += len(part)

    def _end_run(self):
        if self._n_rows:
            self._add_run_to_total()
            self._n_rows = 0

    def _add_to_run(self, part):
        add_gram(part, self.both[1:], lower=True)

    def _add_run_to_total(self):
        move_transposed(self.both[1:], self.both[:-1])

    def add_outer(self, x: np.ndarray, y: np.ndarray) -> None:
        """Add xy' + yx' for vectors (width,), float64."""
        self._end_run()
        add_outer(x, y, self.both[:-1])

    def column(self, k: int) -> np.ndarray:
        """One column (width,), float64."""
        self._end_run()
        return np.concatenate([self.both[:k, k], self.both[k, k:]])

    def columns(self, start: int, stop: int) -> np.ndarray:
        """The part above the diagonal of columns start to stop - 1: (stop, stop - start), float64."""
        self._end_run()
        return self.both[:stop, start:stop].copy()

    def packed(self, n: int) -> np.ndarray:
        """Upper triangle of the leading n, row by row; the matrix is used up."""
        self._end_run()
        both = self.both
        del self.both
        return pack_in_place(both, n)


class SingleGram(DoubleGram):
    """The same from blocks in single precision: the run is a square, and the total a packed triangle in double.

    Both together take the memory of one square in double.
    """

    dtype = np.dtype(np.float32)
    run_rows = _SINGLE_RUN

    def __init__(self, width: int):
        self.width, self._n_rows = width, 0
        self.square = np.zeros((width, width), np.float32)
        self.triangle = np.zeros(width * (width + 1) // 2)

    def _add_to_run(self, part):
        add_gram(part, self.square)

    def _add_run_to_total(self):
        add_triangle(self.square, self.triangle)
        self.square[:] = 0

    def add_outer(self, x: np.ndarray, y: np.ndarray) -> None:
        """Add xy' + yx' for vectors (width,), float64."""
        self._end_run()
        add_outer_packed(x, y, self.triangle)

    def column(self, k: int) -> np.ndarray:
        """One column (width,), float64."""
        above = self.columns(k, k + 1)[:k, 0]
        first = k * self.width - k * (k - 1) // 2
        return np.concatenate([above, self.triangle[first : first + self.width - k]])

    def columns(self, start: int, stop: int) -> np.ndarray:
        """The part above the diagonal of columns start to stop - 1: (stop, stop - start), float64."""
        self._end_run()
        out = np.zeros((stop, stop - start))
        first = 0
        for i in range(stop):
            a = max(start, i)
            out[i, a - start :] = self.triangle[first + a - i : first + stop - i]
            first += self.width - i
        return out

    def packed(self, n: int) -> np.ndarray:
        """Upper triangle of the leading n, row by row; the matrix is used up."""
        self._end_run()
        triangle = self.triangle
        del self.square, self.triangle
        return crop_packed(triangle, self.width, n)
