"""Blocks of H and T into the sums, in place: what a gram task does with each block."""

from __future__ import annotations

import numpy as np

from .blas import add_gram
from .ledger import Ledger
from .normal_equations import NormalEquations, pack

__all__ = ["Accumulator"]


class Accumulator:
    """Adds blocks of rows into one HH in place; `result` packs it.

    Parameters
    ----------
    fingerprint : str
        Of the layer.
    unbounded : ndarray of shape (n_neurons,), bool
        Columns of H that are summed about a reference.
    n_targets : int
        Number of targets c.
    """

    def __init__(self, fingerprint: str, unbounded: np.ndarray, n_targets: int):
        L, c = len(unbounded), n_targets
        self.fingerprint, self.unbounded = fingerprint, unbounded
        self.HH, self.HT = np.zeros((L, L)), np.zeros((L, c))
        self.sum_H, self.sum_T, self.sum_TT = np.zeros(L), np.zeros(c), np.zeros(c)
        self.reference_H, self.reference_T = np.zeros(L), np.zeros(c)
        self.n_samples, self.sum_weights, self.sum_counts = 0, 0.0, 0.0

    def add(self, H: np.ndarray, T: np.ndarray, weights: np.ndarray | None = None, counts: float | None = None) -> None:
        """Add rows: H (rows, n_neurons) float64 C-ordered, overwritten; T (rows, n_targets); weights (rows,).

        `counts` is how many rows they count for, if that is not the sum of the weights.
        """
        if not len(H):
            return
        if not self.n_samples:
            # The mean of the first rows: near enough to the mean of all for what it is for, and known at once.
            self.reference_H[self.unbounded] = H[:, self.unbounded].mean(axis=0)
            self.reference_T[:] = T.mean(axis=0)
        if self.reference_H.any():
            H -= self.reference_H
        T = T - self.reference_T
        self.n_samples += len(H)
        if weights is None:
            added = float(len(H))
        else:
            added = float(weights.sum())
            root = np.sqrt(weights)[:, None]
            H *= root
            T *= root
        self.sum_weights += added
        self.sum_counts += added if counts is None else counts
        scale = np.ones(len(H)) if weights is None else root[:, 0]
        add_gram(H, self.HH)
        self.HT += H.T @ T
        self.sum_H += scale @ H
        self.sum_T += scale @ T
        self.sum_TT += np.einsum("ij,ij->j", T, T)

    def result(self, target_dtype: str, ledger: Ledger | None) -> NormalEquations:
        """The sums so far."""
        return NormalEquations(
            pack(self.HH),
            self.HT,
            self.sum_H,
            self.sum_T,
            self.sum_TT,
            self.reference_H,
            self.reference_T,
            self.n_samples,
            self.sum_weights,
            self.sum_counts,
            self.fingerprint,
            target_dtype,
            ledger,
        )
