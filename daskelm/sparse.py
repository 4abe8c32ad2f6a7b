"""Rows with few non-zeros: a block in compressed rows, with the few methods of arrays that passes need."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["SparseRows", "as_block", "is_sparse", "joined", "row_width"]


class SparseRows:
    """A block of rows (n_rows, n_columns) that keeps only non-zeros, in the order of their columns.

    It is never changed; slices share its memory.

    Parameters
    ----------
    values : ndarray of shape (n_kept,)
        The numbers that are kept, row by row; some may be zero.
    columns : ndarray of shape (n_kept,), int
        Their columns, increasing in each row.
    edges : ndarray of shape (n_rows + 1,), int
        Where each row begins in these, and where the last one ends.
    n_columns : int
        Number of columns.
    """

    __slots__ = ("columns", "edges", "shape", "values")

    ndim = 2

    def __init__(self, values: np.ndarray, columns: np.ndarray, edges: np.ndarray, n_columns: int):
        self.values, self.columns, self.edges = values, columns, edges
        self.shape = (len(edges) - 1, int(n_columns))

    @classmethod
    def of(cls, matrix: Any) -> SparseRows:
        """The rows of a sparse matrix or array of SciPy; numbers at one place are added, and the matrix stays."""
        matrix = matrix.tocsr()
        if not matrix.has_canonical_format:
            matrix = matrix.copy()
            matrix.sum_duplicates()
        return cls(matrix.data, matrix.indices, matrix.indptr, matrix.shape[1])

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the numbers."""
        return self.values.dtype

    @property
    def n_kept(self) -> int:
        """How many numbers are kept."""
        return int(self.edges[-1] - self.edges[0])

    @property
    def nbytes(self) -> int:
        """Bytes of the numbers that are kept, and of their places."""
        return self.n_kept * (self.values.itemsize + self.columns.itemsize) + self.edges.nbytes

    def __len__(self):
        return self.shape[0]

    def __repr__(self):
        return f"SparseRows({self.shape}, {self.n_kept} numbers of {self.dtype})"

    @property
    def kept(self) -> tuple[np.ndarray, np.ndarray]:
        """The numbers that are kept, and their columns, both (n_kept,)."""
        here = slice(self.edges[0], self.edges[-1])
        return self.values[here], self.columns[here]

    @property
    def matrix(self) -> Any:
        """The rows as a `scipy.sparse.csr_array`, which shares the memory."""
        # No worker needs it for dense rows.
        from scipy.sparse import csr_array

        values, columns = self.kept
        found = csr_array((values, columns, self.edges - self.edges[0]), shape=self.shape)
        found.has_canonical_format = True
        return found

    def with_values(self, values: np.ndarray) -> SparseRows:
        """The same rows with other numbers (n_kept,) at the same places."""
        return SparseRows(values, self.kept[1], self.edges - self.edges[0], self.shape[1])

    def __getitem__(self, rows: Any) -> SparseRows:
        """Some rows, by a slice, a mask or their numbers; or all of some columns, by ``[:, columns]``."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                edges = self.edges[start : max(start, stop) + 1]
                return SparseRows(self.values, self.columns, edges, self.shape[1])
        return SparseRows.of(self.matrix[rows])

    def take(self, rows: np.ndarray, axis: int = 0) -> SparseRows:
        """Rows by their numbers, in that order."""
        return self[rows]

    def astype(self, dtype: Any, copy: bool = False) -> SparseRows:
        """The same rows in another dtype."""
        dtype = np.dtype(dtype)
        return self if dtype == self.dtype else self.with_values(self.kept[0].astype(dtype))

    def toarray(self) -> np.ndarray:
        """All numbers, zeros too: (n_rows, n_columns)."""
        return self.matrix.toarray()

    def row_numbers(self) -> np.ndarray:
        """The row (n_kept,) of each number that is kept."""
        return np.repeat(np.arange(len(self)), np.diff(self.edges))

    def row_sums(self, terms: np.ndarray) -> np.ndarray:
        """Sums (n_rows,) over each row of terms (n_kept,); uint64 wraps around."""
        edges = self.edges - self.edges[0]
        out = np.zeros(len(self), terms.dtype)
        rows = np.flatnonzero(np.diff(edges))
        if len(rows):
            out[rows] = np.add.reduceat(terms, edges[rows])
        return out

    def product(self, W: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` (n_rows, n) with the product with W (n_columns, n), both of the dtype of the rows."""
        out[...] = self.matrix @ W


def is_sparse(value: Any) -> bool:
    """Whether a value is a block of sparse rows, or a sparse matrix or array of SciPy."""
    if isinstance(value, SparseRows):
        return True
    # No object of its classes exists before the module is imported.
    module = sys.modules.get("scipy.sparse")
    return module is not None and bool(module.issparse(value))


def as_block(value: Any) -> Any:
    """Rows as a block: sparse ones as `SparseRows`, all others as a NumPy array."""
    if isinstance(value, SparseRows):
        return value
    return SparseRows.of(value) if is_sparse(value) else np.asarray(value)


def joined(blocks: Sequence[Any]) -> Any:
    """Blocks as one, in their order; all of them are sparse, or none."""
    if len(blocks) == 1:
        return blocks[0]
    if not isinstance(blocks[0], SparseRows):
        return np.concatenate(blocks)
    kept = [block.kept for block in blocks]
    edges = np.concatenate([[0], *(np.diff(block.edges) for block in blocks)]).astype(np.int64).cumsum()
    values, columns = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    return SparseRows(values, columns, edges, blocks[0].shape[1])


def row_width(block: Any) -> int:
    """The memory of a row of a block, in numbers of 8 bytes, rounded up; at least 1."""
    if isinstance(block, SparseRows):
        return -(-block.nbytes // (8 * max(len(block), 1))) + 1
    return 1 if block.ndim < 2 else max(block.shape[1], 1)
