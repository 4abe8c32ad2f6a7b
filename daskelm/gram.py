"""The Gram matrix of blocks that come one after the other: in double precision, or in single over short runs."""

from __future__ import annotations

import numpy as np

from .blas import add_gram
from .triangles import add_triangle, crop_packed, pack_in_place

__all__ = ["DoubleGram", "SingleGram", "gram_matrix"]

# Rows that are summed in single precision before they are added to what is kept in double: the more, the larger the
# rounding; the fewer, the more of the time goes into adding (4,000 neurons: 3 % of it).
_RUN = 8192


class DoubleGram:
    """Gram matrix (width, width) in one square that is filled in place."""

    dtype = np.dtype(np.float64)

    def __init__(self, width: int):
        self.square = np.zeros((width, width))

    def add(self, block: np.ndarray) -> None:
        """Add block'block for a block (rows, width) of `dtype`, C-contiguous."""
        add_gram(block, self.square)

    def columns(self, start: int, stop: int) -> np.ndarray:
        """The part above the diagonal of columns start to stop - 1: (stop, stop - start), float64."""
        return self.square[:stop, start:stop].copy()

    def packed(self, n: int) -> np.ndarray:
        """Upper triangle of the leading n, row by row; the matrix is used up."""
        square = self.square
        del self.square
        return pack_in_place(square, n)


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
        for start in range(0, len(block), _RUN):
            part = block[start : start + _RUN]
            if self._n_rows + len(part) > _RUN:
                self._empty()
            add_gram(part, self.square)
            self._n_rows += len(part)

    def _empty(self):
        if self._n_rows:
            add_triangle(self.square, self.triangle)
            self.square[:] = 0
            self._n_rows = 0

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
