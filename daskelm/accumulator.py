"""Blocks of H and T into the sums, in place: what a gram task does with each block."""

from __future__ import annotations

import numpy as np

from .blas import is_joined
from .gram import gram_matrix
from .ledger import Ledger
from .normal_equations import NormalEquations

__all__ = ["Accumulator"]


class Accumulator:
    """Adds blocks of rows into one Gram matrix of [H, 1, T] in place; `result` ends it.

    Parameters
    ----------
    fingerprint : str
        Of the layer.
    unbounded : ndarray of shape (n_neurons,), bool
        Columns of H that are summed about a reference.
    n_targets : int
        Number of targets c.
    targets : str
        What they mean; sums of different meanings never add.
    dtype : dtype
        Of the Gram matrix: float64, or float32, where all columns are summed about a reference so that rounding is in
        proportion to their variance, and the squares of T are in double still.
    """

    def __init__(
        self, fingerprint: str, unbounded: np.ndarray, n_targets: int, targets: str = "numbers", dtype=np.float64
    ):
        L, c = len(unbounded), n_targets
        self.fingerprint, self.targets = fingerprint, targets
        self.n_neurons, self.n_targets, self.joined = L, c, is_joined(L, c)
        width = L + 1 + (c if self.joined else 0)
        self.gram = gram_matrix(width, np.dtype(dtype))
        self.single = self.gram.dtype == np.float32
        self.cross, self.sum_T, self.sum_TT = np.zeros((L, c)), np.zeros(c), np.zeros(c)
        self.reference_H, self.reference_T = np.zeros(L), np.zeros(c)
        self.n_samples, self.sum_weights, self.sum_counts = 0, 0.0, 0.0
        self._runs = [slice(0, L)] if self.single else _runs(unbounded)
        self._block = np.empty((0, width), self.gram.dtype)

    def room(self, n_rows: int) -> np.ndarray:
        """Where to write the next block of H (n_rows, n_neurons), so that it need not be copied."""
        if len(self._block) < n_rows:
            self._block = np.empty((n_rows, self._block.shape[1]), self.gram.dtype)
        return self._block[:n_rows, : self.n_neurons]

    def add(self, H: np.ndarray, T: np.ndarray, weights: np.ndarray | None = None, counts: float | None = None) -> None:
        """Add rows: H (rows, n_neurons) as written to `room`, or any; T (rows, n_targets); weights (rows,).

        `counts` is how many rows they count for, if that is not the sum of the weights.
        """
        self.n_samples += len(H)
        if weights is not None and not weights.all():
            # Rows of weight zero may hold anything: fill values squared would swamp the sums of all others.
            counted = weights > 0
            H, T, weights = H[counted], T[counted], weights[counted]
        if not len(H):
            return
        room = self.room(len(H))
        if H.ctypes.data != room.ctypes.data:
            room[:] = H
        if not self.sum_weights:
            # The mean of the first rows: near enough to the mean of all for what it is for, and known at once.
            share = np.full(len(H), 1 / len(H)) if weights is None else weights / weights.sum()
            for run in self._runs:
                self.reference_H[run] = share @ room[:, run]
            self.reference_T[:] = share @ T
        for run in self._runs:
            room[:, run] -= self.reference_H[run]
        T = T - self.reference_T
        block = self._block[: len(H)]
        block[:, self.n_neurons] = 1
        if self.joined:
            block[:, self.n_neurons + 1 :] = T
        if weights is None:
            added = float(len(H))
        else:
            added = float(weights.sum())
            root = np.sqrt(weights)[:, None]
            block *= root
            T = T * root
        self.sum_weights += added
        self.sum_counts += added if counts is None else counts
        self.gram.add(block)
        if not self.joined:
            self.cross += room.T @ T.astype(room.dtype, copy=False)
        if not self.joined or self.single:
            self.sum_T += block[:, self.n_neurons] @ T
            self.sum_TT += np.einsum("ij,ij->j", T, T)

    def result(self, target_dtype: str, ledger: Ledger) -> NormalEquations:
        """The sums; the accumulator is used up."""
        L, gram = self.n_neurons, self.gram
        last = gram.columns(L, L + 1 + (self.n_targets if self.joined else 0))
        sum_H = last[:L, 0].copy()
        if self.joined:
            self.cross = last[:L, 1:].copy()
        if self.joined and not self.single:
            self.sum_T, self.sum_TT = last[L, 1:].copy(), np.diag(last[L + 1 :, 1:]).copy()
        del self.gram, self._block
        return NormalEquations(
            gram.packed(L),
            self.cross,
            sum_H,
            self.sum_T,
            self.sum_TT,
            self.reference_H,
            self.reference_T,
            self.n_samples,
            self.sum_weights,
            self.sum_counts,
            self.fingerprint,
            self.targets,
            target_dtype,
            ledger,
            gram.dtype.name,
        )


def _runs(mask):
    """Slices of consecutive True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [slice(start, stop) for start, stop in edges.reshape(-1, 2).tolist()]
