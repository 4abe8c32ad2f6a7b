"""Solver of ridge regression from the sums: the first method that is safe; alpha is given, or chosen by GCV."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np

from ..exceptions import DataError, IllConditionedWarning, ParameterError, PenaltyWarning
from .cholesky import solve_by_cholesky
from .eigen import EigenFactor, solve_by_eigenvectors
from .moments import EPS, Moments, Solver, Weights
from .penalty import HeldOut, penalty_by_folds, penalty_by_sums

__all__ = ["SOLVERS", "Solution", "check_alpha", "is_auto", "solve"]

# Fewer rows than these may show no relation by chance.
_MANY_ROWS = 10_000
# Solvers for a given penalty, tried in this order; the last one never declines. A new one is a file and a row here.
SOLVERS: dict[str, Solver] = {"cholesky": solve_by_cholesky, "eigen": solve_by_eigenvectors}


@dataclass(frozen=True)
class Solution:
    """A solved ridge regression and how it was obtained.

    coef : ndarray of shape (n_targets, n_neurons), output weights
    intercept : ndarray of shape (n_targets,), intercepts; 0 for a model without
    alpha : float, penalty used, or ndarray of shape (n_targets,) where each target has its own
    rank : int, number of directions of HH + alpha I that were kept
    condition_number : float, that of HH + alpha I: estimated in the 1-norm by "cholesky", in the 2-norm by "eigen"
    method : str, key of `SOLVERS`
    centred : bool, whether the sums were about the means, as with an intercept
    chosen_by : str, "given", "folds", "gcv" or "evidence": what the penalty comes from
    least_T, most_T : ndarray of shape (n_targets,), range of the targets that it was trained on; None if not known
    """

    coef: np.ndarray
    intercept: np.ndarray
    alpha: float | np.ndarray
    rank: int
    condition_number: float
    method: str
    centred: bool
    chosen_by: str = "given"
    least_T: np.ndarray | None = None
    most_T: np.ndarray | None = None


def is_auto(alpha) -> bool:
    """Whether the penalty is chosen by folds, which a pass must make."""
    return isinstance(alpha, str) and alpha == "auto"


def check_alpha(alpha) -> float | np.ndarray | str:
    """The penalty, checked: "auto", "gcv", a finite number >= 0, or such numbers (n_targets,), one per target."""
    if isinstance(alpha, str) and alpha in ("auto", "gcv"):
        return alpha
    if isinstance(alpha, Real) and not isinstance(alpha, bool) and 0 <= float(alpha) < math.inf:
        return float(alpha)
    if not isinstance(alpha, str) and np.ndim(alpha) == 1 and np.size(alpha):
        return np.array([check_alpha(number) for number in alpha], np.float64)
    raise ParameterError(
        "alpha must be a finite number >= 0, one such number per target, or 'auto' or 'gcv' to have it chosen; got "
        f"{alpha!r}."
    )


def solve(
    moments: Moments,
    alpha: float | np.ndarray | str = "auto",
    *,
    folds: Sequence[HeldOut] = (),
    per_target: bool = False,
    overwrite: bool = False,
    warn: bool = True,
) -> Solution:
    """Solve B = (HH + alpha I)^-1 HT; about the means, so that the intercept is not penalised.

    Parameters
    ----------
    moments : Moments
        Sums of at least one row; centred for a model with an intercept.
    alpha : float, ndarray of shape (n_targets,), "auto" or "gcv"
        Penalty, in the units of HH: the more rows, the less a given number weighs. "auto" chooses it by folds, and
        where there are fewer than two, by generalised cross-validation or marginal likelihood, whichever is larger.
    folds : sequence of HeldOut
        Folds of the same rows.
    per_target : bool, default=False
        Whether a penalty that is chosen is chosen for each target.
    overwrite : bool, default=False
        Whether HH of the moments is not needed afterwards, so that its memory can be used.
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
        if alpha == "auto" and len(folds) >= 2:
            penalty, factor = penalty_by_folds(moments, folds, per_target=per_target), None
            if warn and penalty.useless and moments.n_counted >= _MANY_ROWS:
                warnings.warn(
                    "alpha: no penalty makes a model that predicts rows held out better than their mean; large ones "
                    "are best, so that predictions are near it. Check that the rows of y belong to those of X.",
                    PenaltyWarning,
                    stacklevel=4,
                )
        else:
            factor = EigenFactor(moments.HH, overwrite=overwrite)
            penalty = penalty_by_sums(moments, factor, gcv=alpha == "gcv", per_target=per_target)
        return _solved(moments, penalty.alpha, penalty.method, factor, warn=False)
    return _solved(moments, alpha, "given", None, warn)


def _solved(moments, alpha, chosen_by, factor, warn) -> Solution:
    """The solution for a penalty, or for one of each target; by `factor`, if there is one."""
    if isinstance(alpha, float):
        return _solved_once(moments, alpha, chosen_by, factor, warn)
    n_targets = moments.HT.shape[1]
    if len(alpha) != n_targets:
        raise ParameterError(
            f"alpha must be one number, or one per target; got {len(alpha)} numbers for {n_targets} target(s)."
        )
    coef, intercept = np.empty((n_targets, len(moments.HH))), np.empty(n_targets)
    used, parts = alpha.copy(), []
    for each in np.unique(alpha):
        of = np.flatnonzero(alpha == each)
        part = _solved_once(moments.of_targets(of), float(each), chosen_by, factor, warn)
        coef[of], intercept[of], used[of] = part.coef, part.intercept, part.alpha
        parts.append(part)
    worst = max(parts, key=lambda part: part.condition_number)
    rank = min(part.rank for part in parts)
    return replace(worst, coef=coef, intercept=intercept, alpha=used, rank=rank)


def _solved_once(moments, alpha, chosen_by, factor, warn) -> Solution:
    if factor is not None:
        return _solution(factor.weights(moments.HT, alpha), moments, alpha, "eigen", chosen_by)
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
            "category), fewer rows than neurons, alpha too small. Use alpha='auto' or a larger alpha.",
            IllConditionedWarning,
            stacklevel=3,
        )
    return _solution(weights, moments, alpha, method, chosen_by)


def _first_safe(moments: Moments, alpha: float) -> tuple[str, Weights]:
    for method, solver in SOLVERS.items():
        if (weights := solver(moments, alpha)) is not None:
            return method, weights
    raise LookupError("SOLVERS must end with a solver that never declines.")


def _solution(weights: Weights, moments: Moments, alpha: float, method: str, chosen_by: str) -> Solution:
    B = weights.B
    intercept = moments.mean_T - moments.mean_H @ B
    condition = float(weights.condition_number)
    coef = np.ascontiguousarray(B.T)
    return Solution(coef, intercept, alpha, weights.rank, condition, method, moments.centred, chosen_by)
