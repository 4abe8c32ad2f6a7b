"""Output weights from the sums, by the first solver that is safe; the penalty is given, or chosen by GCV."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from numbers import Real

import numpy as np

from ..exceptions import DataError, IllConditionedWarning, ParameterError
from .cholesky import solve_by_cholesky
from .eigen import EigenFactor, solve_by_eigenvectors
from .moments import Moments
from .solver import EPS, Solver, Weights

__all__ = ["SOLVERS", "Solution", "check_alpha", "solve"]

# For a given penalty, tried in this order; the last one takes all. A new one is a file and a row here.
SOLVERS: dict[str, Solver] = {"cholesky": solve_by_cholesky, "eigen": solve_by_eigenvectors}


@dataclass(frozen=True)
class Solution:
    """Output weights and what happened on the way.

    coef (n_targets, n_neurons), intercept (n_targets,), the penalty used, the rank kept and the condition number of
    HH + alpha I (an estimate in the 1-norm after Cholesky, in the 2-norm after eigen), `method`, and whether it is
    `centred`, about the means, which is to say with an intercept.
    """

    coef: np.ndarray
    intercept: np.ndarray
    alpha: float
    rank: int
    condition_number: float
    method: str
    centred: bool


def check_alpha(alpha) -> float | str:
    """The penalty, checked: a finite number >= 0 or "gcv"."""
    if isinstance(alpha, str) and alpha == "gcv":
        return alpha
    if isinstance(alpha, Real) and not isinstance(alpha, bool) and 0 <= float(alpha) < math.inf:
        return float(alpha)
    raise ParameterError(f"alpha must be a finite number >= 0, or 'gcv' to have it chosen; got {alpha!r}.")


def solve(moments: Moments, alpha: float | str = "gcv", *, warn: bool = True) -> Solution:
    """Ridge regression from the sums: B = (HH + alpha I)^-1 HT; about the means, so the intercept is not penalised.

    Parameters
    ----------
    moments : Moments
        Of at least one row; centred for a model with an intercept.
    alpha : float or "gcv"
        Penalty, in the units of HH: it weighs less the more rows there are.
    warn : bool
        Whether to warn; not where this runs beside other threads, whose warnings it would disturb.

    Returns
    -------
    Solution

    Warns
    -----
    IllConditionedWarning
        HH + alpha I was not safely positive definite and a solution of least norm was taken by eigenvectors; or the
        sums are in single precision, and alpha was raised to what covers their rounding.
    """
    alpha = check_alpha(alpha)
    if not moments.n_samples or not moments.weight:
        raise DataError(
            f"nothing to solve: the sums hold {moments.n_samples} rows of weight {moments.weight:g}. Add data with "
            "fit, partial_fit or accumulate first."
        )
    if isinstance(alpha, str):
        factor = EigenFactor(moments.HH)
        alpha = factor.gcv(moments)
        return _solution(factor.weights(moments.HT, alpha), moments, alpha, "eigen")
    if alpha < moments.least_alpha:
        if warn:
            warnings.warn(
                f"alpha = {alpha:g} is less than the rounding of sums in float32 needs, {moments.least_alpha:.3g}, "
                "which was used instead (alpha_ says so). Give a larger alpha, or sum in float64.",
                IllConditionedWarning,
                stacklevel=3,
            )
        alpha = moments.least_alpha
    method, weights = _first_safe(moments, alpha)
    if warn and method == "eigen":
        n_neurons = len(weights.B)
        warnings.warn(
            f"HH + alpha I is not safely positive definite (alpha = {alpha:g}, condition number above "
            f"{1 / (n_neurons * EPS):.1e}); the solution of least norm, of rank {weights.rank} out of {n_neurons}, was "
            "taken by eigenvectors. Usual causes: inputs or neurons that depend on each other (all dummy columns of a "
            "category), fewer rows than neurons, alpha too small. Use alpha='gcv' or a larger alpha.",
            IllConditionedWarning,
            stacklevel=3,
        )
    return _solution(weights, moments, alpha, method)


def _first_safe(moments: Moments, alpha: float) -> tuple[str, Weights]:
    for method, solver in SOLVERS.items():
        if (weights := solver(moments, alpha)) is not None:
            return method, weights
    raise LookupError("SOLVERS must end with a solver that takes all.")


def _solution(weights: Weights, moments: Moments, alpha: float, method: str) -> Solution:
    B = weights.B
    intercept = moments.mean_T - moments.mean_H @ B
    condition = float(weights.condition_number)
    return Solution(np.ascontiguousarray(B.T), intercept, alpha, weights.rank, condition, method, moments.centred)
