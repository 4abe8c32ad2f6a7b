"""Exact leave-one-out as a criterion: one pass for the sums, a second one for the leverage and residual of each row."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..cluster.client import this_process, workers_of
from ..data.source import source_of
from ..exceptions import DataError
from ..passes.accumulate import accumulate, run_pass
from ..passes.memory import BASE_BYTES, Need
from ..passes.tasks import Pass
from ..progress import RowProgress
from ..ridge.leverage import LEAST_LEFT, CholeskyLeverage, EigenLeverage, factor_bytes, loo_factors
from ..ridge.moments import Moments
from ..ridge.path import RidgePath, by_eigen, nested
from .criterion import Problem, Scored, default_score, score_from_squares, score_of
from .scores import RowScore

__all__ = ["LeftOut", "by_loo"]

# Candidates that determine more than this fraction of the rows so are refused. The mean would be most of their score,
# which on noise is the best score there is.
_MOST_ALONE = 0.5
# The remedy in the error where the factors of all candidates do not fit.
_FEWER_FACTORS = "fewer alphas, fewer neurons, or cv=None or 5."
# Bytes of outputs, or of rows of H, that are in memory at once.
_OUTPUT_BYTES = 8 * 2**20


def by_loo(problem: Problem, scoring: str | None, cv: str) -> Scored:
    """Score the grid by leaving out one row at a time; `scoring` None is r2, or squared errors for classes.

    Squared errors are pooled over rows before they become a score. A row is left out with its whole weight; the layer,
    the scale, class weights and the order of neurons stay those of all rows. A candidate that follows a row by more
    than 99.9 % knows nothing without it, and is scored on it by the mean of the other rows; one that follows more than
    half of the rows is refused.

    Allen (1974).
    """
    layer, targets, X, grid = problem.layer, problem.targets, problem.X, problem.grid
    score = score_of(scoring or default_score(targets), problem)
    n_alphas, n_sizes = grid.shape
    eigen = by_eigen(grid.sizes, n_alphas, n_rows=X.shape[0])
    need = factor_bytes(grid.sizes, n_alphas, targets.n_targets, eigen=eigen)
    # The sums, packed and as a square matrix in two orders; ranking takes two more squares.
    squares = (20 if problem.ranking is None else 36) * layer.n_neurons**2
    client = source_of(X).client()
    _check_memory(need, squares, layer.n_neurons, n_alphas, n_sizes, client)
    total = accumulate(*problem.job, verbose=problem.verbose)
    if total.n_counted < 2:
        got = "one sample" if total.n_counted else f"{total.n_samples} samples of weight 0"
        raise DataError(f"cv='loo' needs at least two rows of positive weight; got {got}. Give more rows.")
    order = problem.order(total)
    moments = nested(total.moments(centred=problem.fit_intercept), order)
    grid = grid.with_alphas(moments.HH)
    progress = RowProgress(math.prod(grid.shape), problem.verbose, "select", unit="models", patience=1.0)
    factors = loo_factors(RidgePath(moments, grid.sizes, eigen=eigen), grid.alphas, progress.advance)
    row_score = None if isinstance(score, str) else score
    work, whole = LeftOut(factors, moments, order, row_score), [(0, X.shape[0])]
    sums = run_pass(work, problem.job, (), whole, problem.verbose)
    # The last column counts, for each candidate, the rows with less than `LEAST_LEFT` left.
    counts, refused = sums[:, :-1], sums[:, -1].reshape(grid.shape) > _MOST_ALONE * total.n_counted
    if refused.all():
        raise DataError(
            f"cv='loo': leaving out a row says nothing where a model follows it by more than {1 - LEAST_LEFT:.1%}, "
            f"and all of this grid follow more than half of {total.n_counted} rows: alphas up to "
            f"{max(grid.alphas):g}, {min(grid.sizes)} neurons or more. Use larger alphas, fewer n_neurons, or cv=5."
        )
    counts = counts.reshape(*grid.shape, -1)
    scores = score_from_squares(counts, total, score) if isinstance(score, str) else score.value(counts)
    return Scored(total, order, grid, np.where(refused, np.nan, scores)[None], folds=False)


def _check_memory(factors, squares, n_neurons, n_alphas, n_sizes, client):
    """Refuse, before any pass, grids whose factors do not fit in memory."""
    work = f"to leave out each row for {n_alphas} penalties and {n_sizes} numbers of {n_neurons} neurons"
    here = this_process(in_process=True)
    Need(work, {"factors": factors, "sums": squares}, _FEWER_FACTORS).check(here.memory, here.name)
    for worker in workers_of(client) if client is not None else ():
        Need(work, {"factors": factors}, _FEWER_FACTORS).check(worker.memory, worker.name)


class LeftOut(Pass):
    """The pass that sums over rows the errors or counts of the models fitted without that row, for a whole grid.

    The leverage of a row is w (1 / W + h' (HH + alpha I)^-1 h), h about the weighted mean, W the sum of weights; its
    residual without it is the ordinary one divided by 1 - leverage. Where that is within rounding of zero, it is the
    residual of the mean of the other rows, which is that of an infinite penalty.

    Parameters
    ----------
    factors : sequence of CholeskyLeverage and EigenLeverage
        Leverages of all candidates.
    moments : Moments
        Sums over all rows, with the neurons in `order`.
    order : ndarray of shape (n_neurons,), int
        Order of the neurons.
    score : RowScore or None
        Counts to sum; None is weighted squared errors of each target.
    """

    name = "score"

    def __init__(
        self,
        factors: Sequence[CholeskyLeverage | EigenLeverage],
        moments: Moments,
        order: np.ndarray,
        score: RowScore | None,
    ):
        self.factors, self.score = tuple(factors), score
        self.n_candidates = sum(len(factor.candidates) for factor in self.factors)
        largest = max(len(f.vectors) if isinstance(f, EigenLeverage) else len(f.U) for f in self.factors)
        self.order, self.mean_H, self.mean_T = order[:largest], moments.mean_H[:largest], moments.mean_T
        self.of_intercept = 1 / moments.weight if moments.centred else 0.0
        self.nbytes = sum(factor.nbytes for factor in self.factors)
        widest = max(largest, max(len(factor.candidates) for factor in self.factors) * len(self.mean_T))
        self.step = max(_OUTPUT_BYTES // (8 * widest), 16)

    def begin(self, layer, targets, origins, part):
        """An empty collector for the rows of one task."""
        return _LeftOutCollector(self, layer, targets)

    def needs(self, sizes):
        """Memory of one process."""
        L, d, c = sizes.n_neurons, sizes.n_features, sizes.n_targets
        widest = max(8 * self.step * max(L, max(len(factor.candidates) for factor in self.factors) * c), _OUTPUT_BYTES)
        # A block as read and scaled; for `step` rows, H as computed, centred and solved, and the outputs scored.
        per_task = 8 * sizes.block * (3 * d + 3 * c) + 8 * widest + sizes.input_bytes
        work = (
            f"to leave out each row for {self.n_candidates} pairs of a penalty and a number of neurons, whose factors "
            f"take {self.nbytes / 2**30:.2f} GiB"
        )
        parts = {"process": BASE_BYTES, "tasks": sizes.n_tasks * per_task, "factors": self.nbytes}
        return [Need(work, parts, _FEWER_FACTORS)]


class _LeftOutCollector:
    def __init__(self, work, layer, targets):
        self.work, self.layer, self.targets, self.sums = work, layer, targets, None

    def add(self, runs, X, y, weights):
        for start in range(0, len(X), self.work.step):
            rows = slice(start, start + self.work.step)
            given = np.ones(len(X[rows])) if weights is None else weights[rows]
            # Rows of weight zero are left out, since they may hold NaN.
            counted = given > 0
            if counted.any():
                self._add(X[rows][counted], y[rows][counted], given[counted])

    def _add(self, X, y, given):
        work, targets = self.work, self.targets
        weights = targets.row_weights(y, given)
        encoded = targets.encode(y)
        truth = None if work.score is None else work.score.truth(y)
        H = self.layer(X).astype(np.float64, copy=False)[:, work.order]
        H -= work.mean_H
        T = encoded - work.mean_T
        of_mean = T / np.maximum(1 - weights * work.of_intercept, LEAST_LEFT)[:, None]
        for factor in work.factors:
            leverages, outputs = factor(H)
            left = 1 - weights[:, None] * (leverages + work.of_intercept)
            alone = left < LEAST_LEFT
            residuals = np.subtract(T[:, None], outputs, out=outputs)
            residuals /= np.where(alone, 1.0, left)[:, :, None]
            np.copyto(residuals, of_mean[:, None], where=alone[:, :, None])
            if work.score is None:
                counts = np.einsum("i,imj->mj", weights, np.square(residuals, out=residuals))
            else:
                counts = work.score.counts(encoded[:, None] - residuals, truth, given)
            if self.sums is None:
                self.sums = np.zeros((work.n_candidates, counts.shape[1] + 1))
            self.sums[factor.candidates, :-1] += counts
            self.sums[factor.candidates, -1] += np.count_nonzero(alone, axis=0)

    def result(self):
        return 0.0 if self.sums is None else self.sums
