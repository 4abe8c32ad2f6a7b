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
    targets : str
        What they mean; sums of different meanings never add.
    """

    def __init__(self, fingerprint: str, unbounded: np.ndarray, n_targets: int, targets: str = "numbers"):
        L, c = len(unbounded), n_targets
        self.fingerprint, self.unbounded, self.targets = fingerprint, unbounded, targets
        self.HH, self.HT = np.zeros((L, L)), np.zeros((L, c))
        self.sum_H, self.sum_T, self.sum_TT = np.zeros(L), np.zeros(c), np.zeros(c)
        self.reference_H, self.reference_T = np.zeros(L), np.zeros(c)
        self.n_samples, self.sum_weights, self.sum_counts = 0, 0.0, 0.0

    def add(self, H: np.ndarray, T: np.ndarray, weights: np.ndarray | None = None, counts: float | None = None) -> None:
        """Add rows: H (rows, n_neurons) float64 C-ordered, overwritten; T (rows, n_targets); weights (rows,).

        `counts` is how many rows they count for, if that is not the sum of the weights.
        """
        self.n_samples += len(H)
        if weights is not None and not weights.all():
            # Rows of weight zero may hold anything: fill values squared would swamp the sums of all others.
            counted = weights > 0
            H, T, weights = np.ascontiguousarray(H[counted]), T[counted], weights[counted]
        if not len(H):
            return
        if not self.sum_weights:
            # The mean of the first rows: near enough to the mean of all for what it is for, and known at once.
            share = np.full(len(H), 1 / len(H)) if weights is None else weights / weights.sum()
            self.reference_H[self.unbounded] = share @ H[:, self.unbounded]
            self.reference_T[:] = share @ T
        if self.reference_H.any():
            H -= self.reference_H
        T = T - self.reference_T
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

    def result(self, target_dtype: str, ledger: Ledger) -> NormalEquations:
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
            self.targets,
            target_dtype,
            ledger,
        )
