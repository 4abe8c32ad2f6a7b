"""Solver of ridge regression from the sums: the first method that is safe; alpha is given, or chosen by GCV."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from numbers import Real

import numpy as np

from ..exceptions import DataError, IllConditionedWarning, ParameterError
from .cholesky import solve_by_cholesky
from .eigen import EigenFactor, solve_by_eigenvectors
from .moments import EPS, Moments, Solver, Weights

__all__ = ["SOLVERS", "Solution", "check_alpha", "solve"]

# Solvers for a given penalty, tried in this order; the last one never declines. A new one is a file and a row here.
SOLVERS: dict[str, Solver] = {"cholesky": solve_by_cholesky, "eigen": solve_by_eigenvectors}


@dataclass(frozen=True)
class Solution:
    """A solved ridge regression and how it was obtained.

    coef : ndarray of shape (n_targets, n_neurons), output weights
    intercept : ndarray of shape (n_targets,), intercepts; 0 for a model without
    alpha : float, penalty used
    rank : int, number of directions of HH + alpha I that were kept
    condition_number : float, that of HH + alpha I: estimated in the 1-norm by "cholesky", in the 2-norm by "eigen"
    method : str, key of `SOLVERS`
    centred : bool, whether the sums were about the means, as with an intercept
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
    """Solve B = (HH + alpha I)^-1 HT; about the means, so that the intercept is not penalised.

    Parameters
    ----------
    moments : Moments
        Sums of at least one row; centred for a model with an intercept.
    alpha : float or "gcv"
        Penalty, in the units of HH: the more rows, the less a given number weighs. Prefer "gcv" unless a penalty is
        known from another fit with about as many rows.
    warn : bool
        Whether to warn. Use False where other threads run, since warning filters are shared by all threads.

    Warns
    -----
    IllConditionedWarning
        HH + alpha I was not safely positive definite, and the solution of least norm was computed by eigenvectors; or
        the sums are in single precision, and alpha was raised to cover their rounding.
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
    raise LookupError("SOLVERS must end with a solver that never declines.")


def _solution(weights: Weights, moments: Moments, alpha: float, method: str) -> Solution:
    B = weights.B
    intercept = moments.mean_T - moments.mean_H @ B
    condition = float(weights.condition_number)
    return Solution(np.ascontiguousarray(B.T), intercept, alpha, weights.rank, condition, method, moments.centred)
