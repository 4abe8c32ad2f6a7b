"""Blocks of H and T into the sums, in place: what a gram task does with each block."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..sums.ledger import Ledger
from ..sums.normal_equations import NormalEquations
from .gram import LongSum, gram_matrix
from .memory import is_joined

__all__ = ["Accumulator"]

# Rows that the first reference is the mean of, and those by which it is moved: a small part of a task, whose outputs
# are still in the processor's cache when they are centred a second time.
_FIRST_ROWS = 1024
# The reference is moved to the mean of all rows when their weight has grown by this: rounding is in proportion to the
# squares about the reference, at most this many times those about the mean.
_GROWTH = 32


class Accumulator:
    """Adds blocks of rows into one Gram matrix of [H, 1, T] in place; `result` ends it.

    All columns are summed about a reference row, which is near their means: a column that varies by a part of 1e-4
    about a mean of one would lose eight digits about zero.

    Parameters
    ----------
    fingerprint : str
        Of the layer.
    n_neurons : int
        Number of neurons L.
    n_targets : int
        Number of targets c.
    targets : str
        What they mean; sums of different meanings never add.
    dtype : dtype
        Of the Gram matrix: float64, or float32, where the squares of T are in double still.
    """

    def __init__(self, fingerprint: str, n_neurons: int, n_targets: int, targets: str = "numbers", dtype=np.float64):
        L, c = n_neurons, n_targets
        self.fingerprint, self.targets = fingerprint, targets
        self.n_neurons, self.n_targets, self.joined = L, c, is_joined(L, c)
        width = L + 1 + (c if self.joined else 0)
        self.gram = gram_matrix(width, np.dtype(dtype))
        self.single = self.gram.dtype == np.float32
        # What is not read from the Gram matrix: T beside it, or squares of T that must be in double.
        self.cross = None if self.joined else LongSum(L, c)
        self.of_T = None if self.joined and not self.single else LongSum(2, c)
        self.reference_H, self.reference_T = np.zeros(L), np.zeros(c)
        self.n_samples, self.weights = 0, LongSum(2)
        # Weight of the rows so far, and of those whose mean the reference is.
        self._weight = self._weight_of_reference = 0.0
        self._block = np.empty((0, width), self.gram.dtype)

    def add(self, H: np.ndarray, T: np.ndarray, weights: np.ndarray | None = None, counts: float | None = None) -> None:
        """Add rows: H (rows, n_neurons), T (rows, n_targets), weights (rows,).

        `counts` is how many rows they count for, if that is not the sum of the weights.
        """
        self.add_outputs(_as_they_are, H, T, weights, counts)

    def add_outputs(
        self,
        layer: Callable,
        X: np.ndarray,
        T: np.ndarray,
        weights: np.ndarray | None = None,
        counts: float | None = None,
    ) -> None:
        """The same for H = layer(X), which is written where it is summed: `layer` takes `out` and `minus`, as `Layer`.

        `minus` is what is taken off each row of H.
        """
        self.n_samples += len(X)
        if weights is not None and not weights.all():
            # Rows of weight zero may hold anything: fill values squared would swamp the sums of all others.
            counted = weights > 0
            X, T, weights = X[counted], T[counted], weights[counted]
        if not len(X):
            return
        added = float(len(X)) if weights is None else float(weights.sum())
        start, left = 0, added
        while start < len(X):
            moves = self._weight + left > _GROWTH * self._weight_of_reference
            stop = min(start + _FIRST_ROWS, len(X)) if moves else len(X)
            rows = slice(start, stop)
            left -= self._add(layer, X[rows], T[rows], None if weights is None else weights[rows], moves)
            start = stop
        self.weights.add([added, added if counts is None else counts])

    def _add(self, layer, X, T, weights, moves):
        """Add rows about the reference, which they move before if `moves`; gives their weight."""
        L, first = self.n_neurons, not self._weight
        if len(self._block) < len(X):
            self._block = np.empty((len(X), self._block.shape[1]), self.gram.dtype)
        block = self._block[: len(X)]
        H = block[:, :L]
        # Neurons that give infinity make NaN of it, which is found in the sums.
        with np.errstate(invalid="ignore", over="ignore"):
            layer(X, out=H, minus=None if first else self.reference_H.astype(H.dtype, copy=False))
            if first:
                # A row and not zero, so that what is constant is exactly zero about the reference. One of a tiny weight
                # may hold anything.
                row = 0 if weights is None else int(np.argmax(weights))
                self.reference_H[:], self.reference_T[:] = H[row], T[row]
                H -= H[row].copy()
            T = T - self.reference_T
            added = float(len(X)) if weights is None else float(weights.sum())
            if moves:
                T -= self._move_reference(H, T, np.ones(len(X)) if weights is None else weights, added)
        block[:, L] = 1
        if self.joined:
            block[:, L + 1 :] = T
        if weights is not None:
            root = np.sqrt(weights)[:, None]
            block *= root
            T = T * root
        self._weight += added
        self.gram.add(block)
        if self.cross is not None:
            self.cross.add(H.T @ T.astype(H.dtype, copy=False))
        if self.of_T is not None:
            self.of_T.add([block[:, L] @ T, np.einsum("ij,ij->j", T, T)])
        return added

    def _move_reference(self, H, T, weights, added):
        """Move the reference to the mean of the rows so far and these, which are about it; gives the step of T."""
        L, total = self.n_neurons, self._weight + added
        ones = self.gram.column(L)
        of_T = ones[L + 1 :] if self.of_T is None else self.of_T.value[0]
        new_H = self.reference_H + (ones[:L] + weights.astype(H.dtype, copy=False) @ H) / total
        # In single precision H is exact about a reference that is a row of single numbers.
        new_H = new_H.astype(H.dtype).astype(np.float64)
        new_T = self.reference_T + (of_T + weights @ T) / total
        step_H, step_T = new_H - self.reference_H, new_T - self.reference_T
        if self._weight:
            self._shift(ones, -step_H, -step_T)
        self.reference_H, self.reference_T = new_H, new_T
        self._weight_of_reference = total
        H -= step_H.astype(H.dtype, copy=False)
        return step_T

    def _shift(self, ones, shift_H, shift_T):
        """Add a shift to all rows so far; `ones` is the column of the Gram matrix that belongs to the ones."""
        L = self.n_neurons
        shift = np.zeros(len(ones))
        shift[:L] = shift_H
        if self.joined:
            shift[L + 1 :] = shift_T
        self.gram.add_outer(shift, ones + ones[L] / 2 * shift)
        if self.of_T is not None:
            sum_T, sum_TT = self.of_T.value
            n = self._weight
            self.of_T.value = [sum_T + n * shift_T, sum_TT + shift_T * (2 * sum_T + n * shift_T)]
            if self.cross is not None:
                self.cross.value = (
                    self.cross.value + np.outer(shift_H, sum_T + n * shift_T) + np.outer(ones[:L], shift_T)
                )

    def result(self, target_dtype: str, ledger: Ledger) -> NormalEquations:
        """The sums; the accumulator is used up."""
        L, gram = self.n_neurons, self.gram
        last = gram.columns(L, L + 1 + (self.n_targets if self.joined else 0))
        cross = last[:L, 1:].copy() if self.cross is None else self.cross.value
        if self.of_T is None:
            sum_T, sum_TT = last[L, 1:].copy(), np.diag(last[L + 1 :, 1:]).copy()
        else:
            sum_T, sum_TT = self.of_T.value
        sum_weights, sum_counts = self.weights.value.tolist()
        del self.gram, self.cross, self._block
        return NormalEquations(
            gram.packed(L),
            cross,
            last[:L, 0].copy(),
            sum_T,
            sum_TT,
            self.reference_H,
            self.reference_T,
            self.n_samples,
            sum_weights,
            sum_counts,
            self.fingerprint,
            self.targets,
            target_dtype,
            ledger,
            gram.dtype.name,
        )


def _as_they_are(H, out, minus=None):
    """A layer of outputs that are there already."""
    if minus is None:
        out[:] = H
    else:
        np.subtract(H, minus, out=out, casting="same_kind")
