"""Sums of blocks of H and T, in place: the Gram matrices of a gram task, and the sums that stand beside them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.targets import Targets
from ..layer.layer import Layer
from ..sums.content import MOST_HASHES, folds_of, row_hashes, smallest, used_columns
from ..sums.fold_sums import FoldSums
from ..sums.ledger import Ledger
from ..sums.normal_equations import NormalEquations
from .gram import DoubleGram, LongSum, SingleGram
from .memory import is_joined

__all__ = ["Accumulator"]

# The first reference is the mean of this many rows, and a later one is moved with as many: a small part of a task,
# whose outputs are still in the processor's cache when they are centred a second time.
_FIRST_ROWS = 1024
# The reference is moved to the mean of all rows when their weight has grown by this factor: rounding is in proportion
# to the squares about the reference, which are at most this many times those about the mean.
_GROWTH = 32


class _Part:
    """Sums of one fold of the rows: the Gram matrix of [H, 1, T], and what stands beside it."""

    def __init__(self, width: int, n_neurons: int, n_targets: int, joined: bool, single: bool):
        L, c = n_neurons, n_targets
        self.n_neurons, self.n_targets, self.joined = L, c, joined
        self.gram = SingleGram(width) if single else DoubleGram(width)
        # Sums that are not read from the Gram matrix: HT where T is beside it, and squares of T that must be in double.
        self.cross = None if joined else LongSum(L, c)
        self.of_T = None if joined and not single else LongSum(2, c)
        self.n_samples, self.n_counted, self.weights = 0, 0, LongSum(2)
        self.least_T, self.most_T = np.full(c, np.inf), np.full(c, -np.inf)
        self.distinct = np.zeros(0, np.uint64)
        # Weight of the rows so far.
        self.weight = 0.0

    def add(self, block: np.ndarray, T: np.ndarray, weight: float) -> None:
        """Add rows of [H, 1, T] and of T about the reference, times the roots of their weights, which sum to weight."""
        L = self.n_neurons
        self.weight += weight
        self.gram.add(block)
        if self.cross is not None:
            self.cross.add(block[:, :L].T @ T.astype(block.dtype, copy=False))
        if self.of_T is not None:
            self.of_T.add([block[:, L] @ T, np.einsum("ij,ij->j", T, T)])

    def count(self, T: np.ndarray, weight: float, counts: float) -> None:
        """Count rows of T as given, whose weights sum to `weight`, and to `counts` without class weights."""
        self.n_samples += len(T)
        self.n_counted += len(T)
        self.weights.add([weight, counts])
        self.least_T = np.minimum(self.least_T, T.min(axis=0))
        self.most_T = np.maximum(self.most_T, T.max(axis=0))

    def ones(self) -> np.ndarray:
        """The column of the Gram matrix for the column of ones: sums of H, of 1 and, if it is there, of T."""
        return self.gram.column(self.n_neurons)

    def sum_T(self, ones: np.ndarray) -> np.ndarray:
        """Sums of T about the reference."""
        return ones[self.n_neurons + 1 :] if self.of_T is None else self.of_T.value[0]

    def shift(self, ones: np.ndarray, shift_H: np.ndarray, shift_T: np.ndarray) -> None:
        """Add a shift to all rows so far; `ones` as of the method."""
        L = self.n_neurons
        shift = np.zeros(len(ones))
        shift[:L] = shift_H
        if self.joined:
            shift[L + 1 :] = shift_T
        self.gram.add_outer(shift, ones + ones[L] / 2 * shift)
        if self.of_T is not None:
            sum_T, sum_TT = self.of_T.value
            n = self.weight
            self.of_T.value = [sum_T + n * shift_T, sum_TT + shift_T * (2 * sum_T + n * shift_T)]
            if self.cross is not None:
                self.cross.value = (
                    self.cross.value + np.outer(shift_H, sum_T + n * shift_T) + np.outer(ones[:L], shift_T)
                )

    def fields(self) -> dict[str, Any]:
        """The sums by field name; the part is used up."""
        L, gram = self.n_neurons, self.gram
        last = gram.columns(L, L + 1 + (self.n_targets if self.joined else 0))
        cross = last[:L, 1:].copy() if self.cross is None else self.cross.value
        if self.of_T is None:
            sum_T, sum_TT = last[L, 1:].copy(), np.diag(last[L + 1 :, 1:]).copy()
        else:
            sum_T, sum_TT = self.of_T.value
        sum_weights, sum_counts = self.weights.value.tolist()
        del self.gram, self.cross
        return {
            "packed": gram.packed(L),
            "cross": cross,
            "sum_H": last[:L, 0].copy(),
            "sum_T": sum_T,
            "sum_TT": sum_TT,
            "n_samples": self.n_samples,
            "sum_weights": sum_weights,
            "sum_counts": sum_counts,
            "precision": gram.dtype.name,
            "n_counted": self.n_counted,
            "least_T": self.least_T,
            "most_T": self.most_T,
            "distinct": self.distinct,
        }


class Accumulator:
    """Adds blocks of rows into one Gram matrix of [H, 1, T] per fold, in place; `result` ends it.

    All columns are summed about a reference row, which is near their means: a column that varies by a part of 1e-4
    about a mean of one would lose eight digits about zero. All folds have the same one.

    Parameters
    ----------
    layer : Layer
        The hidden layer, which also has the type of the Gram matrices: float64, or float32, in which case the squares
        of T are still in double.
    targets : Targets
        Turns y into columns of T, and has the weights of classes.
    n_folds : int, default=1
        Number of folds that the rows are divided into, by their content.
    """

    def __init__(self, layer: Layer, targets: Targets, n_folds: int = 1):
        self.layer, self.targets = layer, targets
        L, c = layer.n_neurons, targets.n_targets
        self.n_neurons, self.n_targets, self.joined = L, c, is_joined(L, c)
        width = L + 1 + (c if self.joined else 0)
        single = layer.gram_dtype == np.float32
        self.parts = [_Part(width, L, c, self.joined, single) for _ in range(n_folds)]
        self.reference_H, self.reference_T = np.zeros(L), np.zeros(c)
        # Weight of the rows so far, and of those whose mean the reference is.
        self._weight = self._weight_of_reference = 0.0
        self._block = np.empty((0, width), layer.gram_dtype)
        self._used = used_columns(layer) if n_folds > 1 else None

    def add(self, X: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Add rows: X (rows, n_features), y as given, weights (rows,) without those of their classes."""
        # Class weights say how much a row matters, not how many rows it stands for.
        n_rows, of_rows, counts = len(X), weights, _total(weights, X)
        T, weights = self.targets.encode(y), self.targets.row_weights(y, weights)
        if weights is not None and not weights.all():
            # Rows of weight zero may hold anything: fill values squared would swamp the sums of all others.
            counted = weights > 0
            X, T, weights = X[counted], T[counted], weights[counted]
            of_rows = None if of_rows is None else of_rows[counted]
        self.parts[0].n_samples += n_rows - len(X)
        if not len(X):
            return
        order, edges = None, [0, len(X)]
        if len(self.parts) > 1:
            order, edges = self._divide(X)
            T = T.take(order, axis=0)
            weights, of_rows = (None if given is None else given[order] for given in (weights, of_rows))
        start, left = 0, _total(weights, X)
        while start < len(X):
            moves = self._weight + left > _GROWTH * self._weight_of_reference
            stop = min(start + _FIRST_ROWS, len(X)) if moves else len(X)
            rows = slice(start, stop)
            inner = [min(max(edge - start, 0), stop - start) for edge in edges]
            own = None if weights is None else weights[rows]
            if order is None:
                left -= self._add(X[rows], None, T[rows], own, moves, inner)
            else:
                left -= self._add(X, order[rows], T[rows], own, moves, inner)
            start = stop
        for part, a, b in zip(self.parts, edges[:-1], edges[1:], strict=True):
            if a < b:
                weight = _total(None if weights is None else weights[a:b], X[a:b])
                of_part = counts if len(self.parts) == 1 else _total(None if of_rows is None else of_rows[a:b], X[a:b])
                part.count(T[a:b], weight, of_part)

    def _divide(self, X):
        """An order of the rows in which those of a fold come together, and the edges of the folds in it."""
        # A column that enters no neuron decides nothing.
        hashes = row_hashes(X if self._used is None else X[:, self._used])
        folds = folds_of(hashes, len(self.parts))
        # Small integers are sorted in one go.
        order = np.argsort(folds.astype(np.uint8), kind="stable")
        edges = [0, *np.cumsum(np.bincount(folds.astype(np.intp), minlength=len(self.parts))).tolist()]
        # After a while, hardly a row has a hash that may be kept.
        few = np.arange(len(X))
        if all(len(part.distinct) == MOST_HASHES for part in self.parts):
            few = np.flatnonzero(hashes < max(part.distinct[-1] for part in self.parts))
        for k, part in enumerate(self.parts):
            part.distinct = smallest(part.distinct, hashes[few[folds[few] == k]])
        return order, edges

    def _add(self, X, order, T, weights, moves, edges):
        """Add the rows of X, in this order, about the reference, moved first if `moves`; returns their weight.

        T and weights are in that order. The rows of each fold are between two of the edges.
        """
        L, first = self.n_neurons, not self._weight
        if len(self._block) < len(T):
            self._block = np.empty((len(T), self._block.shape[1]), self._block.dtype)
        block = self._block[: len(T)]
        H = block[:, :L]
        # Infinite outputs become NaN, which is found in the sums.
        with np.errstate(invalid="ignore", over="ignore"):
            minus = None if first else self.reference_H.astype(H.dtype, copy=False)
            self.layer(X, out=H, minus=minus, order=order)
            if first:
                # About a row, and not about zero, a constant column is exactly zero. A row of a tiny weight may hold
                # anything.
                row = 0 if weights is None else int(np.argmax(weights))
                self.reference_H[:], self.reference_T[:] = H[row], T[row]
                H -= H[row].copy()
            T = T - self.reference_T
            added = _total(weights, T)
            if moves:
                T -= self._move_reference(H, T, np.ones(len(T)) if weights is None else weights, added)
        block[:, L] = 1
        if self.joined:
            block[:, L + 1 :] = T
        if weights is not None:
            root = np.sqrt(weights)[:, None]
            block *= root
            T = T * root
        self._weight += added
        for part, a, b in zip(self.parts, edges[:-1], edges[1:], strict=True):
            if a < b:
                part.add(block[a:b], T[a:b], _total(None if weights is None else weights[a:b], T[a:b]))
        return added

    def _move_reference(self, H, T, weights, added):
        """Move the reference to the mean of the rows so far and these, which are about it; returns the step of T."""
        L, total = self.n_neurons, self._weight + added
        of_parts = [(part, part.ones()) for part in self.parts]
        sum_H = sum(ones[:L] for _, ones in of_parts)
        sum_T = sum(part.sum_T(ones) for part, ones in of_parts)
        new_H = self.reference_H + (sum_H + weights.astype(H.dtype, copy=False) @ H) / total
        # In single precision H is exact about a reference that is a row of single numbers.
        new_H = new_H.astype(H.dtype).astype(np.float64)
        new_T = self.reference_T + (sum_T + weights @ T) / total
        step_H, step_T = new_H - self.reference_H, new_T - self.reference_T
        for part, ones in of_parts:
            if part.weight:
                part.shift(ones, -step_H, -step_T)
        self.reference_H, self.reference_T = new_H, new_T
        self._weight_of_reference = total
        H -= step_H.astype(H.dtype, copy=False)
        return step_T

    def result(self, ledger: Ledger) -> NormalEquations | FoldSums:
        """The sums, or those of each fold; the accumulator is used up."""
        shared: dict[str, Any] = {
            "reference_H": self.reference_H,
            "reference_T": self.reference_T,
            "fingerprint": self.layer.fingerprint,
            "targets": self.targets.meaning,
            "target_dtype": self.targets.dtype,
        }
        del self._block
        if len(self.parts) == 1:
            return NormalEquations(**shared, **self.parts.pop().fields(), ledger=ledger)
        folds = {}
        # One after the other, so that no more than one triangle is held twice.
        for k in reversed(range(len(self.parts))):
            folds[k] = NormalEquations(**shared, **self.parts.pop().fields(), ledger=Ledger())
        return FoldSums(folds, ledger)


def _total(weights, rows) -> float:
    """Sum of the weights, which are 1 if not given."""
    return float(len(rows)) if weights is None else float(weights.sum())
