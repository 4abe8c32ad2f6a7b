"""Outputs of rows by models that were not fitted to them, for a sample of the rows of a table."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..data.finite import check_finite, check_weights
from ..data.probe import sample_runs
from ..data.source import Source, source_of, take_runs
from ..data.targets import Targets
from ..layer.layer import Layer
from ..passes.memory import block_rows
from ..ridge.leverage import LEAST_LEFT, loo_factors
from ..ridge.path import RidgePath
from ..ridge.solve import Solution, solve
from ..sparse import joined, row_width
from ..sums.content import folds_of, row_hashes, used_columns
from ..sums.folds import is_enough
from ..sums.normal_equations import NormalEquations

__all__ = ["SampledRows", "Unseen", "fitted_outputs", "fold_outputs", "has_folds", "sample_rows", "unseen_outputs"]

# Rows of a sample: two numbers need few of them. Large layers and many classes have fewer, so that the work for a
# sample stays small beside a fit.
_MOST_ROWS, _LEAST_ROWS = 20_000, 2000
_MOST_HIDDEN, _MOST_OUTPUTS = 2**25, 2**19


class SampledRows(NamedTuple):
    """X (rows, n_features), T (rows, n_targets) and weights (rows,) of rows of positive weight, in memory."""

    X: np.ndarray
    T: np.ndarray
    weights: np.ndarray | None


class Unseen(NamedTuple):
    """Outputs (rows, n_targets), with T (rows, n_targets) and weights (rows,) of these rows."""

    outputs: np.ndarray
    T: np.ndarray
    weights: np.ndarray | None


def sample_rows(layer: Layer, targets: Targets, X: Source, y: Source, weights: Source | None) -> SampledRows:
    """All rows up to some 20,000, else 64 evenly spaced runs: the same for any chunks and any container.

    Lazy chunks that hold some of the rows are computed, X, y and weights together. The parameters are those of
    `accumulate`; weights have those of the classes in the result.
    """
    wide = max(2, targets.n_targets)
    most = min(_MOST_ROWS, max(_LEAST_ROWS, min(_MOST_HIDDEN // layer.n_neurons, _MOST_OUTPUTS // wide)))
    runs = list(sample_runs(X.shape[0], 8 * source_of(X).row_width, most, most))
    blocks, labels, *others = take_runs(runs, X=X, y=y, sample_weight=weights)
    given = None if weights is None else [part.reshape(-1).astype(np.float64) for part in others[0]]
    for i, (start, _) in enumerate(runs):
        check_finite(blocks[i], "X", start, X, gaps=layer.takes_gaps)
        check_finite(labels[i], "y", start, y)
        if given is not None:
            check_weights(given[i], start)
    rows, y_rows = joined(blocks), np.concatenate(labels)
    of_rows = targets.row_weights(y_rows, None if given is None else np.concatenate(given))
    T = targets.encode(y_rows)
    if of_rows is None:
        return SampledRows(rows, T, None)
    counted = of_rows > 0
    return SampledRows(rows[counted], T[counted], of_rows[counted])


def unseen_outputs(layer: Layer, sums: NormalEquations, solution: Solution, rows: SampledRows) -> Unseen:
    """Outputs of rows that are in the sums, by models without them and with the same penalty.

    Where the sums have folds, a row has the model of all other folds. Otherwise it is left out alone, exactly; rows
    that determine their own output almost wholly are left out of the result then.
    """
    return (fold_outputs if has_folds(sums) else _left_out)(layer, sums, solution, rows)


def has_folds(sums: NormalEquations) -> bool:
    """Whether the rows are divided into folds, two of them with rows at least, and not mostly copies of a few."""
    return sum(fold.n_counted > 0 for fold in sums.folds) >= 2 and is_enough(sums)


def fold_outputs(layer: Layer, sums: NormalEquations, solution: Solution, rows: SampledRows) -> Unseen:
    """Outputs of rows, in the sums or not, by the models without the fold that each belongs to by its content."""
    used = used_columns(layer)
    folds = folds_of(row_hashes(rows.X if used is None else rows.X[:, used]), len(sums.folds))
    total, outputs = replace(sums, folds=()), np.empty_like(rows.T)
    models = []
    for fold in sums.folds:
        moments = (total.without(fold) if fold.n_counted else total).moments(centred=solution.centred)
        models.append(solve(moments, solution.alpha, warn=False))
    for start, H in _hidden(layer, rows.X):
        here = slice(start, start + len(H))
        for i, model in enumerate(models):
            of = np.flatnonzero(folds[here] == i)
            outputs[start + of] = H[of] @ model.coef.T + model.intercept
    return Unseen(outputs, rows.T, rows.weights)


def fitted_outputs(layer: Layer, solution: Solution, rows: SampledRows) -> Unseen:
    """Outputs of rows by the model itself, which was not fitted to them."""
    parts = [H @ solution.coef.T + solution.intercept for _, H in _hidden(layer, rows.X)]
    return Unseen(np.concatenate(parts), rows.T, rows.weights)


def _left_out(layer, sums, solution, rows) -> Unseen:
    """Outputs of the models without the row and its equals, by its leverage: see `LeftOut`."""
    # Equal rows are one row with the sum of their weights: a copy would give the others away.
    _, first, inverse = np.unique(row_hashes(rows.X, rows.T), return_index=True, return_inverse=True)
    order = np.argsort(first)
    first, weights = first[order], np.bincount(inverse, rows.weights)[order]
    moments, X, T = sums.moments(centred=solution.centred), rows.X[first], rows.T[first]
    alphas = np.broadcast_to(solution.alpha, T.shape[1])
    of_intercept = 1 / moments.weight if moments.centred else 0.0
    outputs, resolved = np.empty_like(T), np.ones(len(T), bool)
    for alpha in np.unique(alphas):
        of = np.flatnonzero(alphas == alpha)
        part = moments.of_targets(of)
        [factor] = loo_factors(RidgePath(part, [len(part.HH)], eigen=False), [float(alpha)])
        for start, H in _hidden(layer, X):
            here = slice(start, start + len(H))
            leverages, fitted = factor(H - part.mean_H)
            left = 1 - weights[here] * (leverages[:, 0] + of_intercept)
            resolved[here] &= left >= LEAST_LEFT
            residuals = T[here, of] - part.mean_T - fitted[:, 0]
            outputs[here, of] = T[here, of] - residuals / np.maximum(left, LEAST_LEFT)[:, None]
    return Unseen(outputs[resolved], T[resolved], weights[resolved].astype(np.float64))


def _hidden(layer, X):
    """First row and H (rows, n_neurons), float64, of blocks of X."""
    step = block_rows(layer.n_neurons, row_width(X))
    for start in range(0, len(X), step):
        yield start, layer(X[start : start + step]).astype(np.float64, copy=False)
