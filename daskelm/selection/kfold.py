"""K-fold cross-validation as a criterion: one pass sums each fold, a second one evaluates scores that need the rows."""

from __future__ import annotations

from ..data.source import source_of
from ..data.targets import ClassTargets
from ..exceptions import DataError
from ..ridge.eigen import GCV_GRID
from .criterion import Problem, Scored, default_score, score_of
from .fold_models import check_grid, solve_folds, squared_scores
from .fold_sums import accumulate_folds
from .folds import make_folds
from .scoring_pass import score_rows

__all__ = ["by_folds"]


def by_folds(problem: Problem, scoring: str | None, cv) -> Scored:
    """Score the grid on each fold of `cv`; `scoring` None is r2, or accuracy for classes."""
    layer, targets, X, y, weights = problem.layer, problem.targets, problem.X, problem.y, problem.weights
    score = score_of(scoring or default_score(targets), problem)
    source = source_of(X)
    # A splitter is given X only where it is in memory.
    shown = X if source.in_process else None
    labels = problem.labels_for_splitter
    folds = make_folds(cv, source.n_rows, shown, labels, stratified=isinstance(targets, ClassTargets))
    client, keep = source.client(), not isinstance(score, str)
    n_alphas = len(GCV_GRID if problem.grid.alphas is None else problem.grid.alphas)
    sizes_of = layer.n_neurons, targets.n_targets, n_alphas, len(problem.grid.sizes), folds.n_folds
    check_grid(*sizes_of, keep=keep, client=client)
    sums = accumulate_folds(layer, targets, X, y, weights, folds, verbose=problem.verbose)
    total = sums.total
    grid = problem.grid.with_alphas(total.moments(centred=problem.fit_intercept).HH)
    models = solve_folds(
        sums,
        folds.n_folds,
        problem.nested,
        grid.alphas,
        grid.sizes,
        ranking=problem.ranking,
        fit_intercept=problem.fit_intercept,
        keep=keep,
        client=client,
        verbose=problem.verbose,
    )
    if isinstance(score, str):
        _check_rows(sums.parts, folds.n_folds, score)
        scores = squared_scores(models, sums.parts, len(grid.alphas), len(grid.sizes), score)
    else:
        scores = score_rows(problem, folds, models, grid, score)
    return Scored(total, problem.order(total), grid, scores, folds=True)


def _check_rows(parts, n_folds, name):
    for fold in range(n_folds):
        if name == "r2" and parts[fold].n_samples < 2:
            raise DataError(
                f"cv: r2 needs at least two rows in each test part; got {parts[fold].n_samples} in split {fold}. "
                "Use fewer folds, or scoring='neg_mean_squared_error'."
            )
