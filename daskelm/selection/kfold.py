"""K-fold cross-validation as a criterion: one pass sums each fold, a second one evaluates scores that need the rows."""

from __future__ import annotations

from ..data.source import source_of
from ..data.targets import ClassTargets
from ..exceptions import DataError
from .criterion import Problem, Scored, default_score, score_of
from .fold_models import check_grid, solve_grid, squared_scores
from .fold_sums import accumulate_folds
from .folds import make_folds
from .scoring_pass import score_rows

__all__ = ["by_folds"]


def by_folds(problem: Problem, scoring: str | None, cv) -> Scored:
    """Score the grid on each fold of `cv`; `scoring` None is r2, or squared errors for classes."""
    layer, targets, X = problem.layer, problem.targets, problem.X
    score = score_of(scoring or default_score(targets), problem)
    source = source_of(X)
    # A splitter is given X only where it is in memory.
    shown = X if source.in_process else None
    labels = problem.labels_for_splitter
    folds = make_folds(cv, source.n_rows, shown, labels, stratified=isinstance(targets, ClassTargets))
    client, keep = source.client(), not isinstance(score, str)
    check_grid(layer.n_neurons, targets.n_targets, problem.grid, folds.n_folds, keep=keep, client=client)
    sums = accumulate_folds(problem.job, folds, verbose=problem.verbose)
    total = sums.total
    grid = problem.grid.with_alphas(total.moments(centred=problem.fit_intercept).HH)
    tests = {fold: sums.parts[fold] for fold in range(folds.n_folds)}
    models = solve_grid(
        sums.all,
        tests,
        problem.nested,
        grid,
        test_inside=True,
        ranking=problem.ranking,
        fit_intercept=problem.fit_intercept,
        keep=keep,
        client=client,
        verbose=problem.verbose,
    )
    if isinstance(score, str):
        _check_rows(tests, score)
        scores = squared_scores(models, tests, grid, score)
    else:
        scores = score_rows(problem, folds, models, grid, score)
    return Scored(total, problem.order(total), grid, scores, folds=True)


def _check_rows(tests, name):
    for fold, test in tests.items():
        if name == "r2" and test.n_samples < 2:
            raise DataError(
                f"cv: r2 needs at least two rows in each test part; got {test.n_samples} in split {fold}. "
                "Use fewer folds, or scoring='neg_mean_squared_error'."
            )
