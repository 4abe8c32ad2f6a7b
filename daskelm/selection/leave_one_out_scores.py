"""The further pass of leave-one-out: what each row would have got from the models without it, for the whole grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..passes.accumulate import run_pass
from ..passes.memory import BASE_BYTES, Need
from ..passes.tasks import Pass
from ..ridge.leverage import OnePenalty, OneSize
from ..ridge.moments import Moments
from .criterion import Problem
from .scores import RowScore

__all__ = ["FEWER_FACTORS", "LEAST_LEFT", "LeftOut", "leave_rows_out"]

# Least 1 - leverage. A row that decides on its own output to more than 99.9 % is fitted by neurons of its own: without
# it there is nothing that they were told, and dividing by what rounding leaves of zero gives any number.
LEAST_LEFT = 1e-3
# What to do where the factors of all candidates do not fit.
FEWER_FACTORS = "fewer alphas, fewer neurons, or cv=None or 5."
# Outputs, or rows of H, that are held at once.
_OUTPUT_BYTES = 8 * 2**20


def leave_rows_out(
    problem: Problem,
    factors: Sequence[OnePenalty | OneSize],
    moments: Moments,
    order: np.ndarray,
    n_candidates: int,
    sum_weights: float,
    score: RowScore | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Sums over rows of what the models without that row make of it, by one pass.

    The leverage of a row is w (1 / W + h' (HH + alpha I)^-1 h), h about the weighted mean, W the sum of weights; its
    residual without it is that with it divided by 1 - leverage.

    Parameters
    ----------
    problem : Problem
        Rows.
    factors : sequence of OnePenalty and OneSize
        Of all candidates.
    moments : Moments
        Of all rows, the neurons in `order`.
    order : ndarray of shape (n_neurons,), int
        Of the neurons.
    n_candidates : int
        Number of pairs of a penalty and a size.
    sum_weights : float
        W, with the weights of classes.
    score : RowScore or None
        Says what is counted; None is weighted squared errors of each target.

    Returns
    -------
    counts : ndarray of shape (n_candidates, n_counts)
        Sums.
    refused : ndarray of shape (n_candidates,), int
        Rows with less than `LEAST_LEFT` left of them.

    Raises
    ------
    InsufficientMemoryError
        The factors of all candidates do not fit beside the rest.
    """
    work = LeftOut(factors, moments, order, n_candidates, sum_weights, score)
    whole = [(0, problem.X.shape[0])]
    sums = run_pass(
        work, problem.layer, problem.targets, problem.X, problem.y, problem.weights, (), whole, problem.verbose
    )
    return sums[:, :-1], sums[:, -1].astype(int)


class LeftOut(Pass):
    """The pass of `leave_rows_out`, and its parameters."""

    name = "score"

    def __init__(self, factors, moments, order, n_candidates, sum_weights, score):
        self.factors, self.n_candidates, self.score = tuple(factors), n_candidates, score
        largest = max(len(f.vectors) if isinstance(f, OneSize) else len(f.U) for f in self.factors)
        self.order, self.mean_H, self.mean_T = order[:largest], moments.mean_H[:largest], moments.mean_T
        self.of_intercept = 1 / sum_weights if moments.centred else 0.0
        self.nbytes = sum(factor.nbytes for factor in self.factors)
        widest = max(largest, max(len(factor.places) for factor in self.factors) * len(self.mean_T))
        self.step = max(_OUTPUT_BYTES // (8 * widest), 16)

    def begin(self, layer, targets, origins, part):
        """An empty collector for the rows of one task."""
        return _Collector(self, layer, targets)

    def needs(self, sizes):
        """Memory of one process."""
        L, d, c = sizes.n_neurons, sizes.n_features, sizes.n_targets
        widest = max(8 * self.step * max(L, max(len(factor.places) for factor in self.factors) * c), _OUTPUT_BYTES)
        # A block as read and scaled; of the rows at once H as computed, centred and solved, and outputs in the score.
        per_task = 8 * sizes.block * (3 * d + 3 * c) + 8 * widest + sizes.input_bytes
        work = (
            f"to leave out each row for {self.n_candidates} pairs of a penalty and a number of neurons, whose factors "
            f"take {self.nbytes / 2**30:.2f} GiB"
        )
        parts = {"process": BASE_BYTES, "tasks": sizes.n_tasks * per_task, "factors": self.nbytes}
        return [Need(work, parts, FEWER_FACTORS)]


class _Collector:
    def __init__(self, work, layer, targets):
        self.work, self.layer, self.targets, self.sums = work, layer, targets, None

    def add(self, runs, X, y, weights):
        for start in range(0, len(X), self.work.step):
            rows = slice(start, start + self.work.step)
            given = np.ones(len(X[rows])) if weights is None else weights[rows]
            # Rows of weight zero may hold anything.
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
        for factor in work.factors:
            leverages, outputs = factor(H)
            left = 1 - weights[:, None] * (leverages + work.of_intercept)
            refused = np.count_nonzero(left < LEAST_LEFT, axis=0)
            residuals = np.subtract(T[:, None], outputs, out=outputs)
            residuals /= np.maximum(left, LEAST_LEFT)[:, :, None]
            if work.score is None:
                counts = np.einsum("i,imj->mj", weights, np.square(residuals, out=residuals))
            else:
                counts = work.score.counts(encoded[:, None] - residuals, truth, given)
            if self.sums is None:
                self.sums = np.zeros((work.n_candidates, counts.shape[1] + 1))
            self.sums[factor.places, :-1] += counts
            self.sums[factor.places, -1] += refused

    def result(self):
        return 0.0 if self.sums is None else self.sums
