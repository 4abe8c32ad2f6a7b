"""Generalised cross-validation as a criterion: it needs only the sums of one pass."""

from __future__ import annotations

import numpy as np

from ..exceptions import DataError
from ..passes.accumulate import accumulate
from ..progress import RowProgress
from ..ridge.moments import Moments
from ..ridge.path import GcvErrors, RidgePath, by_eigen, nested
from ..sums.normal_equations import NormalEquations
from .criterion import Problem, Scored, score_known_from_sums

__all__ = ["by_gcv", "gcv_scores", "scored_by_gcv"]


def by_gcv(problem: Problem, scoring: str | None, cv: str) -> Scored:
    """Score the grid by generalised cross-validation; `scoring` is one of FROM_SUMS, or None."""
    name = score_known_from_sums(scoring, problem)
    return scored_by_gcv(problem, accumulate(*problem.job, verbose=problem.verbose), name)


def scored_by_gcv(problem: Problem, total: NormalEquations, name: str) -> Scored:
    """The grid, scored from the sums over all rows; `name` is one of FROM_SUMS."""
    order = problem.order(total)
    moments = nested(total.moments(centred=problem.fit_intercept), order)
    grid = problem.grid.with_alphas(moments.HH)
    return Scored(total, order, grid, gcv_scores(moments, grid.alphas, grid.sizes, name, problem.verbose), folds=False)


def gcv_scores(moments: Moments, alphas, sizes, name: str, verbose: int | bool = 0) -> np.ndarray:
    """Scores (1, n_alphas, n_sizes) by generalised cross-validation; NaN where refused.

    Parameters
    ----------
    moments : Moments
        Sums over all rows, with the neurons in nested order.
    alphas, sizes : sequence
        Penalties and sizes.
    name : str
        One of FROM_SUMS.
    verbose : int, default=0
        Whether to show progress after one second.

    Raises
    ------
    DataError
        All candidates have nearly as many degrees of freedom as there are rows.
    """
    path = RidgePath(moments, sizes, eigen=by_eigen(sizes, len(alphas), inverse=True))
    progress = RowProgress(len(alphas) * len(sizes), verbose, "select", unit="models", patience=1.0)
    errors = GcvErrors.of(path, alphas, progress.advance)
    if not errors.allowed.any():
        raise DataError(
            "cv='gcv': generalised cross-validation says nothing of models with more than 98 % of the "
            f"{moments.n_rows:g} rows as degrees of freedom, and all of this grid have: alphas up to {max(alphas):g}, "
            f"{min(sizes)} neurons or more. Use larger alphas, fewer n_neurons, or folds (cv)."
        )
    if name == "r2":
        # Constant targets are left out, as in alpha="gcv".
        varying = moments.informative
        relative = errors.inflated[:, :, varying] / moments.TT[varying]
        return 1 - (relative.mean(axis=2) if varying.any() else errors.inflation)[None]
    per_row = errors.inflated / moments.n
    return -(np.sqrt(per_row) if "root" in name else per_row).mean(axis=2)[None]
