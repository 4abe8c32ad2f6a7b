"""A separate validation set as a criterion: one pass over the training rows, one over the validation rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..data.source import source_of
from ..exceptions import DataError, ParameterError
from ..passes.accumulate import accumulate
from ..sums.normal_equations import NormalEquations
from .criterion import Problem, Scored, default_score, score_of
from .fold_models import check_grid, solve_grid, squared_scores
from .folds import Folds
from .scoring_pass import score_rows
from .validation_set import naming_validation

__all__ = ["by_validation", "check_validation_sums"]


def by_validation(problem: Problem, scoring: str | None, cv) -> Scored:
    """Score the grid, fitted to all of X, on the rows of X_val; `scoring` None is r2, or squared errors for classes."""
    validation: Any = problem.validation
    layer, targets = problem.layer, problem.targets
    if cv is not None:
        raise ParameterError(
            f"cv must be None where X_val is given, whose rows score the grid instead of folds; got {cv!r}. Leave one "
            "of the two out."
        )
    score = score_of(scoring or default_score(targets), problem)
    with naming_validation():
        validation.check(targets, problem.X)
    client, keep = source_of(problem.X).client(), not isinstance(score, str)
    check_grid(layer.n_neurons, targets.n_targets, problem.grid, 1, keep=keep, client=client)
    total = accumulate(*problem.job, verbose=problem.verbose)
    grid = problem.grid.with_alphas(total.moments(centred=problem.fit_intercept).HH)
    rows = replace(problem, X=validation.X, y=validation.y, weights=validation.weights)
    test: Any = None
    with naming_validation():
        provenance = validation.provenance(targets, total.ledger)
        if isinstance(score, str):
            test = accumulate(*rows.job, provenance=provenance, verbose=problem.verbose)
            check_validation_sums(test, score)
    order = problem.order(total)
    models = solve_grid(
        total,
        {0: test},
        order,
        grid,
        test_inside=False,
        fit_intercept=problem.fit_intercept,
        keep=keep,
        client=client,
        verbose=problem.verbose,
    )
    if isinstance(score, str):
        scores = squared_scores(models, {0: test}, grid, score)
    else:
        one_fold = Folds(1, np.array([0, rows.X.shape[0]]), np.zeros(1, int))
        with naming_validation():
            scores = score_rows(rows, one_fold, models, grid, score)
    return Scored(total, order, grid, scores, folds=False)


def check_validation_sums(test: NormalEquations, name: str) -> None:
    """Refuse sums of too few rows for a score, one of FROM_SUMS."""
    if not test.sum_weights > 0:
        raise DataError(f"there must be rows of positive weight; got {test.n_samples} rows of weight 0.")
    if name == "r2" and test.n_samples < 2:
        raise DataError(f"r2 needs at least two rows; got {test.n_samples}. Use scoring='neg_mean_squared_error'.")
