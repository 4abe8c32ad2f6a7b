"""The order of neurons by what they tell of the targets, the most useful first: from HH and HT, never the rows."""

from __future__ import annotations

import numpy as np

from ..exceptions import ParameterError
from ..ridge.moments import varies
from ..ridge.path import nested
from ..sums.normal_equations import NormalEquations

__all__ = ["RANKINGS", "check_ranking", "ranked"]


def check_ranking(ranking, n_targets: int) -> str | None:
    """The parameter `ranking`, checked: None or a key of `RANKINGS`, "lars" for one target only."""
    if ranking is None:
        return None
    if not isinstance(ranking, str) or ranking not in RANKINGS:
        raise ParameterError(
            f"ranking must be None, for the nested order, or one of {', '.join(map(repr, RANKINGS))}; got {ranking!r}."
        )
    if ranking == "lars" and n_targets > 1:
        raise ParameterError(
            f"ranking: 'lars' is for one target; got {n_targets}, where each class of three or more is a target. Use "
            "ranking='mrsr', which is the same for several, or ranking='omp'."
        )
    return ranking


def ranked(sums: NormalEquations, order: np.ndarray, ranking: str | None, *, fit_intercept: bool = True) -> np.ndarray:
    """The neurons in the order in which they enter a sparse model of all targets.

    Columns of H and T count in units of their standard deviations, about the means where there is an intercept. A
    neuron that depends on those before it to rounding, and all that are left when nothing of the targets is, stand at
    the end, as in `order`; so do those that are constant.

    Parameters
    ----------
    sums : NormalEquations
        Of the rows that decide.
    order : ndarray of shape (n_neurons,), int
        The nested order, which decides between equals.
    ranking : str or None
        A key of `RANKINGS`; None is `order`.
    fit_intercept : bool
        Whether there is an intercept.

    Returns
    -------
    ndarray of shape (n_neurons,), int
        Best first.
    """
    if ranking is None:
        return order
    model = _SparseModel(sums, order, fit_intercept)
    RANKINGS[ranking](model)
    last = np.delete(np.arange(len(order)), model.taken)
    return order[np.concatenate([np.array(model.taken, int), last])]


class _SparseModel:
    """Least squares of the targets on the neurons taken so far.

    Their columns are orthogonalised one after the other, as by a Cholesky factor with pivots, which needs products of
    columns only: `fitted` (n_neurons, n_targets) are those of all columns with the model's outputs, `correlations`
    those with the targets.
    """

    def __init__(self, sums: NormalEquations, order: np.ndarray, centred: bool):
        moments, n = nested(sums.moments(centred=centred), order), len(order)
        variances = np.diag(moments.HH)
        # Of a constant column there is rounding of its squares as they were summed: about zero, or a reference.
        squares = sums.packed[np.cumsum([0, *range(n, 1, -1)])][order]
        resolved = varies(variances, sums.sum_weights, moments.mean_H) & (variances > moments.unresolved * squares)
        told = moments.informative
        scale = np.where(resolved, 1 / np.sqrt(np.where(resolved, variances, 1.0)), 0.0)
        self.products = moments.HH * scale * scale[:, None]
        self.correlations = moments.HT[:, told] * scale[:, None] / np.sqrt(moments.TT[told])
        self.fitted = np.zeros_like(self.correlations)
        self.unresolved = moments.unresolved
        self.taken: list[int] = []
        # Of each column what those taken leave of it, as a part of its variance; and the same of all targets.
        self.left = resolved.astype(float)
        self.unexplained = float(np.count_nonzero(told))
        self.least = self.unexplained * self.unresolved
        # Products of all columns with the orthogonal ones.
        self._basis = np.empty((n, n), order="F")

    @property
    def free(self) -> np.ndarray:
        """Which neurons may be taken; none where what is left of the targets is rounding."""
        return np.flatnonzero(self.left > self.unresolved) if self.unexplained > self.least else np.zeros(0, int)

    def take(self, j: int) -> None:
        """Add a neuron that may be taken."""
        k = len(self.taken)
        basis = self._basis[:, :k]
        column = (self.products[j] - basis @ basis[j]) / np.sqrt(self.left[j])
        weights = (self.correlations[j] - self.fitted[j]) / np.sqrt(self.left[j])
        self._basis[:, k] = column
        self.fitted += column[:, None] * weights
        self.unexplained -= float(weights @ weights)
        self.left -= np.square(column)
        self.left[j] = 0
        self.taken.append(j)


def _by_omp(model):
    """Orthogonal matching pursuit: the largest sum over targets of squared correlations with their residuals.

    Pati, Rezaiifar, Krishnaprasad (1993); several targets: Cotter, Rao, Engan, Kreutz-Delgado (2005).
    """
    while len(free := model.free):
        residual = model.correlations[free] - model.fitted[free]
        model.take(int(free[np.square(residual).sum(axis=1).argmax()]))


def _by_mrsr(model):
    """Multiresponse sparse regression: outputs go towards least squares on the neurons taken until another is as good.

    As good is the sum over targets of absolute correlations with their residuals, which falls alike for all taken. For
    one target it is least angle regression: Efron, Hastie, Johnstone, Tibshirani (2004). Similä, Tikka (2005).

    scikit-learn's `lars_path_gram` takes the same neurons until a coefficient passes zero. It turns the sign of that
    neuron's correlation then, from where on correlations rise again (1.9).
    """
    outputs = np.zeros_like(model.correlations)
    best = np.abs(model.correlations).sum(axis=1)
    if not len(free := model.free):
        return
    first = int(free[best[free].argmax()])
    level = float(best[first])
    model.take(first)
    while len(free := model.free):
        step, i = _crossing(model.correlations[free] - outputs[free], model.fitted[free] - outputs[free], level)
        outputs += step * (model.fitted - outputs)
        level *= 1 - step
        model.take(int(free[i]))


def _crossing(a, b, level):
    """Least step, and index, at which the sum of |a - step b| over targets is (1 - step) level for one of the rows.

    The largest difference of any row is convex in the step, not positive at 0 and not negative at 1: Newton's method
    from 1 downwards comes to its zero in a finite number of steps, since there are finitely many straight pieces.
    """
    step, found = 1.0, None
    while True:
        rest = a - step * b
        above = np.abs(rest).sum(axis=1) - (1 - step) * level
        i = int(above.argmax())
        slope = level - float(np.sign(rest[i]) @ b[i])
        lower = max(step - float(above[i]) / slope, 0.0) if slope > 0 else step
        if found is not None and lower >= step:
            return step, found
        step, found = lower, i


# By the parameter `ranking`. A row here is all that another one needs.
RANKINGS = {"omp": _by_omp, "lars": _by_mrsr, "mrsr": _by_mrsr}
