"""Folds by the content of the rows as a criterion, from one pass: those that choose the default penalty."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace

import numpy as np

from ..data.source import source_of
from ..passes.accumulate import accumulate
from ..ridge.cholesky import CholeskyFactor
from ..sums.content import n_folds
from ..sums.folds import added, is_enough, sets_of_folds
from ..sums.normal_equations import NormalEquations
from .criterion import Grid, Problem, Scored, score_from_squares, score_known_from_sums
from .fold_models import check_grid, grid_squares, solve_grid
from .gcv import by_gcv, scored_by_gcv

__all__ = ["by_content", "content_scores", "folds_with_rows", "with_safe_alphas"]


def by_content(problem: Problem, scoring: str | None, cv: None) -> Scored:
    """Score the grid on folds that rows belong to by their content, as `alpha="auto"` does its penalties.

    Layers that are too large for folds, and rows that are all in one fold, are scored by generalised cross-validation.
    """
    layer, targets, n = problem.layer, problem.targets, n_folds(problem.layer.n_neurons)
    if n == 1:
        return by_gcv(problem, scoring, "gcv")
    name = score_known_from_sums(scoring, problem)
    client = source_of(problem.X).client()
    # All sets of five folds may be held out.
    check_grid(layer.n_neurons, targets.n_targets, problem.grid, n if n < 5 else 2**n - 2, client=client)
    total = accumulate(*problem.job._replace(n_folds=n), verbose=problem.verbose)
    if len(folds_with_rows(total)) < 2:
        return scored_by_gcv(problem, total, name)
    grid = with_safe_alphas(problem.grid, total, fit_intercept=problem.fit_intercept)
    scores = content_scores(
        total,
        problem.nested,
        grid,
        name,
        ranking=problem.ranking,
        fit_intercept=problem.fit_intercept,
        client=client,
        verbose=problem.verbose,
    )
    return Scored(total, problem.order(total), grid, scores, folds=True, prefer_large_alphas=True)


def folds_with_rows(sums: NormalEquations) -> list[NormalEquations]:
    """The folds of the sums that hold rows of positive weight; none if the rows are mostly copies of a few."""
    return [fold for fold in sums.folds if fold.n_counted > 0] if is_enough(sums) else []


def with_safe_alphas(grid: Grid, total: NormalEquations, *, fit_intercept: bool) -> Grid:
    """The grid with default penalties, if none were given, from the first one that Cholesky is safe for.

    `alpha="auto"` takes no smaller one, so that the penalty that it chose may be given back as a number.
    """
    if grid.alphas is not None:
        return grid
    HH = total.moments(centred=fit_intercept).HH
    alphas = grid.with_alphas(HH).alphas
    first = bisect_left(range(len(alphas)), True, key=lambda i: bool(CholeskyFactor(HH, alphas[i]).safe))
    return replace(grid, alphas=alphas[min(first, len(alphas) - 1) :])


def content_scores(total: NormalEquations, order: np.ndarray, grid: Grid, name: str, **how) -> np.ndarray:
    """Scores (n_splits, n_alphas, n_sizes) on the folds that the sums hold, and on sets of them where rows are few.

    Parameters
    ----------
    total : NormalEquations
        Sums over all rows, at least two of whose folds hold rows.
    order : ndarray of shape (n_neurons,)
        Order of the neurons, nested if there is a ranking.
    grid : Grid
        Penalties, which are given, and numbers of neurons.
    name : str
        One of FROM_SUMS. R2 is relative to the variance of all rows, and not of the fold, which may be one row; targets
        that are constant have no vote.
    how
        Other parameters of `solve_grid`.
    """
    folds = folds_with_rows(total)
    tests = dict(enumerate(added(folds, chosen) for chosen in sets_of_folds(total, folds)))
    models = solve_grid(replace(total, folds=()), tests, order, grid, test_inside=True, **how)
    squares = grid_squares(models, total.n_targets, grid)
    if name != "r2":
        return np.stack([score_from_squares(squares[i], fold, name) for i, fold in tests.items()])
    moments = total.moments()
    varying = moments.informative
    if not varying.any():
        return np.ones(squares.shape[:3])
    weights = np.array([fold.sum_weights for fold in tests.values()])[:, None, None, None]
    errors = squares[..., varying] / weights * (moments.weight / moments.TT[varying])
    return 1 - errors.mean(axis=-1)
