"""The pass over test rows for scores that add over rows: outputs of all models of the grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..exceptions import DataError
from ..passes.accumulate import run_pass
from ..passes.memory import BASE_BYTES, Need
from .criterion import Grid, Problem
from .fold_models import SMALLER_GRID, FoldModels
from .fold_sums import PassOfFolds
from .folds import Folds
from .scores import RowScore

__all__ = ["score_rows"]

# Bytes of outputs, of all penalties, that are in memory at once.
_OUTPUT_BYTES = 8 * 2**20


def score_rows(rows: Problem, folds: Folds, models: Sequence[FoldModels], grid: Grid, score: RowScore) -> np.ndarray:
    """Score all models of the grid by one pass over the rows.

    H is computed once for each row, and then multiplied at once by the weights of all models of the row's fold. Rows
    outside all test parts are skipped.

    Parameters
    ----------
    rows : Problem
        X, y and weights to score on, with layer and targets.
    folds : Folds
        Test part of each row.
    models : sequence of FoldModels
        Models of all folds, penalties and sizes, with their weights.
    grid : Grid
        Penalties and sizes of the models.
    score : RowScore
        Score to compute.

    Returns
    -------
    ndarray of shape (n_folds, n_alphas, n_sizes)
        Scores.

    Raises
    ------
    DataError
        No row has a positive weight.
    InsufficientMemoryError
        The weights of all models do not fit beside the rest.
    """
    work = _ScorePass(folds, models, grid, score)
    runs = [(a, b) for a, b, part in folds.runs() if part < folds.n_folds]
    if not folds.in_long_runs(4 * rows.layer.n_neurons):
        runs = [(0, folds.n_samples)]
    counts = run_pass(work, rows.job, (), runs, rows.verbose)
    if not np.ndim(counts):
        raise DataError("sample_weight: at least one row must have a positive weight; got only zeros.")
    return score.value(counts)


class _ScorePass(PassOfFolds):
    name = "score"

    def __init__(self, folds, models, grid, score):
        sizes, n_alphas, c = grid.sizes, grid.shape[0], models[0].intercept.shape[2]
        self.folds, self.n_folds, self.score = folds, folds.n_folds, score
        self.sizes, self.n_alphas = tuple(sizes), n_alphas
        # Arrays (size, n_alphas, n_targets) for each fold and size leave out the zeros beyond the smaller sizes.
        self.coefs = [[np.zeros((size, n_alphas, c)) for size in sizes] for _ in range(self.n_folds)]
        self.intercepts = np.zeros((self.n_folds, n_alphas, len(sizes), c))
        self.orders = [None] * self.n_folds
        for part in models:
            # Columns of H need no copy where they are in this order already.
            in_order = np.array_equal(part.order, np.arange(len(part.order)))
            self.orders[part.fold] = None if in_order else part.order
            alphas, columns = (axis.ravel() for axis in part.grid_index)
            self.intercepts[part.fold][part.grid_index] = part.intercept
            for i, s in enumerate(columns.tolist()):
                self.coefs[part.fold][s][:, alphas] = part.coef[: sizes[s], :, i]
        self.nbytes = sum(coef.nbytes for of_fold in self.coefs for coef in of_fold)

    def begin(self, layer, targets, origins, part):
        return _ScoreCollector(self, layer, part)

    def needs(self, sizes):
        L, d, c = sizes.n_neurons, sizes.n_features, sizes.n_targets
        per_task = 8 * sizes.block * (2 * L + 3 * d + 3 * c) + 6 * _OUTPUT_BYTES + sizes.input_bytes
        on = f" on {self.n_folds} folds" if self.n_folds > 1 else ""
        work = (
            f"to score {self.n_alphas} penalties and {len(self.sizes)} numbers of neurons{on}, whose weights take "
            f"{self.nbytes / 2**30:.2f} GiB"
        )
        parts = {"process": BASE_BYTES, "tasks": sizes.n_tasks * per_task, "weights": self.nbytes}
        return [Need(work, parts, SMALLER_GRID)]


class _ScoreCollector:
    def __init__(self, work, layer, parts):
        self.work, self.layer, self.parts, self.n_added, self.sums = work, layer, parts, 0, None

    def add(self, runs, X, y, weights):
        work, first = self.work, self.n_added
        self.n_added += len(X)
        parts = np.full(len(X), self.parts) if isinstance(self.parts, int) else self.parts[first : first + len(X)]
        weights = np.ones(len(X)) if weights is None else weights
        truth = work.score.truth(y)
        for fold in np.unique(parts).tolist():
            # Rows of weight zero are left out, since they may hold NaN.
            rows = np.flatnonzero((parts == fold) & (weights > 0))
            if fold < work.n_folds and len(rows):
                self._add(fold, X[rows], truth[rows], weights[rows])

    def _add(self, fold, X, truth, weights):
        work = self.work
        H = self.layer(X).astype(np.float64, copy=False)
        if (order := work.orders[fold]) is not None:
            H = H[:, order]
        c = work.intercepts.shape[-1]
        step = max(_OUTPUT_BYTES // (8 * work.n_alphas * c), 16)
        for i, size in enumerate(work.sizes):
            coef, intercept = work.coefs[fold][i].reshape(size, -1), work.intercepts[fold][:, i]
            for start in range(0, len(H), step):
                rows = slice(start, start + step)
                outputs = (H[rows, :size] @ coef).reshape(-1, work.n_alphas, c)
                outputs += intercept
                counts = work.score.counts(outputs, truth[rows], weights[rows])
                if self.sums is None:
                    self.sums = np.zeros((work.n_folds, work.n_alphas, len(work.sizes), counts.shape[1]))
                self.sums[fold, :, i] += counts

    def result(self):
        return 0.0 if self.sums is None else self.sums
