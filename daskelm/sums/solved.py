"""The solution of sums: their moments and those of their folds, handed to the solver."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from ..exceptions import PenaltyWarning
from ..ridge.solve import Solution, is_auto, solve
from .folds import held_out, is_enough, n_distinct
from .normal_equations import NormalEquations

__all__ = ["solve_sums"]

# Tables of fewer rows than these are seen through without a warning.
_MANY_ROWS = 1000


def solve_sums(
    sums: NormalEquations,
    alpha: float | np.ndarray | str,
    *,
    fit_intercept: bool,
    per_target: bool = False,
    warn: bool = True,
) -> Solution:
    """Solve the sums for output weights; the parameters are those of `solve`."""
    total = sums.moments(centred=fit_intercept)
    folds = held_out(sums, centred=fit_intercept) if is_auto(alpha) and is_enough(sums) else []
    few = n_distinct(sums) < min(sums.n_neurons, sums.n_counted / 2)
    if warn and is_auto(alpha) and sums.folds and few and sums.n_counted >= _MANY_ROWS:
        warnings.warn(
            f"X: about {n_distinct(sums):.0f} of {sums.n_counted} rows are distinct, fewer than the {sums.n_neurons} "
            "neurons, and copies of a row say nothing new of X. Use fewer neurons, or alpha as a number.",
            PenaltyWarning,
            stacklevel=4,
        )
    solution = solve(total, alpha, folds=folds, per_target=per_target, overwrite=True, warn=warn)
    return replace(solution, least_T=sums.least_T, most_T=sums.most_T)
