"""The solution of sums: their moments and those of their folds, handed to the solver."""

from __future__ import annotations

from ..ridge.solve import Solution, solve
from .normal_equations import NormalEquations

__all__ = ["solve_sums"]


def solve_sums(
    sums: NormalEquations, alpha: float | str, *, fit_intercept: bool, per_target: bool = False, warn: bool = True
) -> Solution:
    """Solve the sums for output weights; the parameters are those of `solve`."""
    total = sums.moments(centred=fit_intercept)
    folds = sums.held_out(centred=fit_intercept) if alpha == "auto" else []
    return solve(total, alpha, folds=folds, per_target=per_target, warn=warn)
