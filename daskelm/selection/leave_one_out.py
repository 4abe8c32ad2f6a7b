"""Exact leave-one-out as a criterion: sums of one pass, and what each row does to them in a second."""

from __future__ import annotations

import numpy as np

from ..cluster.client import current_client, this_process, workers_of
from ..exceptions import DataError
from ..passes.accumulate import accumulate
from ..passes.memory import Need
from ..progress import RowProgress
from ..ridge.eigen import GCV_GRID
from ..ridge.leverage import factor_bytes, loo_factors
from ..ridge.path import RidgePath, by_eigen, nested
from .criterion import Problem, Scored, default_score, score_from_squares, score_of
from .leave_one_out_scores import FEWER_FACTORS, LEAST_LEFT, leave_rows_out

__all__ = ["by_loo"]


def by_loo(problem: Problem, scoring: str | None, cv: str) -> Scored:
    """Score the grid by leaving out one row at a time; `scoring` None is r2, or accuracy for classes.

    Squared errors are pooled over rows before they become a score. A row is left out with its whole weight; the layer,
    the scale, the weights of classes and the order of neurons are those of all rows.

    Allen (1974).
    """
    layer, targets, X, grid = problem.layer, problem.targets, problem.X, problem.grid
    score = score_of(scoring or default_score(targets), problem)
    n_alphas = len(GCV_GRID if grid.alphas is None else grid.alphas)
    eigen = by_eigen(grid.sizes, n_alphas, n_rows=X.shape[0])
    need = factor_bytes(grid.sizes, n_alphas, targets.n_targets, eigen=eigen)
    # The sums, as they are and as a square in the two orders; to rank takes two squares more.
    squares = (20 if problem.ranking is None else 36) * layer.n_neurons**2
    client = None if isinstance(X, np.ndarray) else current_client()
    _check_memory(need, squares, layer.n_neurons, n_alphas, len(grid.sizes), client)
    total = accumulate(layer, targets, X, problem.y, problem.weights, verbose=problem.verbose)
    if total.n_samples < 2 or not total.sum_weights > 0:
        some = "one sample" if total.n_samples == 1 else f"{total.n_samples} samples of weight {total.sum_weights:g}"
        raise DataError(f"cv='loo' needs at least two rows of positive weight; got {some}. Give more rows.")
    order = problem.order(total)
    moments = nested(total.moments(centred=problem.fit_intercept), order)
    grid = grid.with_alphas(moments.HH)
    n_models = len(grid.alphas) * len(grid.sizes)
    progress = RowProgress(n_models, problem.verbose, "select", unit="models", patience=1.0)
    factors = loo_factors(RidgePath(moments, grid.sizes, eigen=eigen), grid.alphas, progress.advance)
    shape = len(grid.alphas), len(grid.sizes)
    counts, refused = leave_rows_out(
        problem,
        factors,
        moments,
        order,
        shape[0] * shape[1],
        total.sum_weights,
        None if isinstance(score, str) else score,
    )
    if refused.all():
        raise DataError(
            f"cv='loo': leaving out a row says nothing where a model follows it by more than {1 - LEAST_LEFT:.1%}, and "
            f"all of this grid follow one of {total.n_samples} rows at least: alphas up to {max(grid.alphas):g}, "
            f"{min(grid.sizes)} neurons or more. Use larger alphas, fewer n_neurons, or cv=5."
        )
    counts = counts.reshape(*shape, -1)
    scores = score_from_squares(counts, total, score) if isinstance(score, str) else score.value(counts)
    return Scored(total, order, grid, np.where(refused.reshape(shape) > 0, np.nan, scores)[None], folds=False)


def _check_memory(factors, squares, n_neurons, n_alphas, n_sizes, client):
    """Refuse grids whose factors do not fit, before there are sums."""
    work = f"to leave out each row for {n_alphas} penalties and {n_sizes} numbers of {n_neurons} neurons"
    here = this_process(in_process=True)
    Need(work, {"factors": factors, "sums": squares}, FEWER_FACTORS).check(here.memory, here.name)
    for worker in workers_of(client) if client is not None else ():
        Need(work, {"factors": factors}, FEWER_FACTORS).check(worker.memory, worker.name)
