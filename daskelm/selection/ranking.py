"""Ranking of neurons, the most informative about the targets first, from HH and HT alone."""

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

    Columns of H and T are standardised, about the means if there is an intercept. Neurons at the end, in the order of
    `order`: constant ones, those that depend linearly on earlier ones to within rounding, and all that remain once the
    targets are explained to within rounding.

    Parameters
    ----------
    sums : NormalEquations
        Sums over the rows to rank by.
    order : ndarray of shape (n_neurons,), int
        Nested order, which breaks ties.
    ranking : str or None
        A key of `RANKINGS`; None is `order`.
    fit_intercept : bool
        Whether there is an intercept.

    Returns
    -------
    ndarray of shape (n_neurons,), int
        Most informative first.
    """
    if ranking is None:
        return order
    model = _SparseModel(sums, order, fit_intercept)
    RANKINGS[ranking](model)
    last = np.delete(np.arange(len(order)), model.taken)
    return order[np.concatenate([np.array(model.taken, int), last])]


class _SparseModel:
    """Least squares of the targets on the neurons taken so far.

    Columns are orthogonalised one by one, as in a pivoted Cholesky factorisation, which needs only their products.
    `correlations` (n_neurons, n_targets) are the products of all columns with the targets, `fitted` those with the
    model's outputs.
    """

    def __init__(self, sums: NormalEquations, order: np.ndarray, centred: bool):
        moments, n = nested(sums.moments(centred=centred), order), len(order)
        variances = np.diag(moments.HH)
        # A constant column has a variance of rounding, relative to its squares as they were summed (about a reference).
        squares = sums.packed[np.cumsum([0, *range(n, 1, -1)])][order]
        resolved = varies(variances, sums.sum_weights, moments.mean_H) & (variances > moments.unresolved * squares)
        varying = moments.informative
        scale = np.where(resolved, 1 / np.sqrt(np.where(resolved, variances, 1.0)), 0.0)
        self.products = moments.HH * scale * scale[:, None]
        self.correlations = moments.HT[:, varying] * scale[:, None] / np.sqrt(moments.TT[varying])
        self.fitted = np.zeros_like(self.correlations)
        self.unresolved = moments.unresolved
        self.taken: list[int] = []
        # Fraction of each column's variance that the neurons taken leave unexplained; the same, summed over targets.
        self.left = resolved.astype(float)
        self.unexplained = float(np.count_nonzero(varying))
        self.least = self.unexplained * self.unresolved
        # Products of all columns with the orthogonalised ones.
        self._basis = np.empty((n, n), order="F")

    @property
    def free(self) -> np.ndarray:
        """Neurons that may be taken; empty once the targets are explained to within rounding."""
        return np.flatnonzero(self.left > self.unresolved) if self.unexplained > self.least else np.zeros(0, int)

    def take(self, j: int) -> None:
        """Add neuron `j`, one of `free`, to the model."""
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
    """Orthogonal matching pursuit: takes the largest sum, over targets, of squared correlations with the residuals.

    Pati, Rezaiifar, Krishnaprasad (1993); several targets: Cotter, Rao, Engan, Kreutz-Delgado (2005).
    """
    while len(free := model.free):
        residual = model.correlations[free] - model.fitted[free]
        model.take(int(free[np.square(residual).sum(axis=1).argmax()]))


def _by_mrsr(model):
    """Multiresponse sparse regression: outputs move towards least squares on the neurons taken until another one ties.

    Neurons tie in the sum, over targets, of absolute correlations with the residuals; it falls equally for all taken.
    For one target this is least angle regression: Efron, Hastie, Johnstone, Tibshirani (2004). Similä, Tikka (2005).

    scikit-learn's `lars_path_gram` (1.9) takes the same neurons until a coefficient passes zero. There it flips the
    sign of that neuron's correlation, and correlations rise again.
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
    """Smallest step at which the sum of |a - step b| over targets is (1 - step) level for some row, and that row.

    The largest difference over the rows is convex and piecewise linear in the step, not positive at 0 and not negative
    at 1, so that Newton's method from 1 downwards finds its zero in finitely many steps.
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


# Methods by the parameter `ranking`; a new one is a function and a row here.
RANKINGS = {"omp": _by_omp, "lars": _by_mrsr, "mrsr": _by_mrsr}
