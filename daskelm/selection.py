"""The penalty and the number of neurons of least error, by cross-validation or GCV, from one pass or two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from scipy.stats import rankdata

from .accumulation import accumulate
from .exceptions import DataError, ParameterError
from .fold_errors import FoldModels, check_grid, solve_folds
from .fold_scores import score_rows
from .fold_sums import FoldSums, accumulate_folds
from .folds import make_folds
from .inputs import Source
from .layer import Layer
from .moments import Moments
from .nesting import leading, nested_order, take_neurons
from .normal_equations import NormalEquations
from .ridge_path import GcvErrors, RidgePath, by_eigen, default_alphas, nested
from .row_scores import row_score
from .solvers import GCV_GRID, Solution, check_alpha, solve
from .targets import ClassTargets, Targets
from .tree import current_client

__all__ = ["Grid", "Selected", "results_of", "select"]

_FROM_SUMS = ("r2", "neg_mean_squared_error", "neg_root_mean_squared_error")


@dataclass(frozen=True)
class Grid:
    """What is tried: penalties `alphas` (None for the default ones) and numbers of leading neurons `sizes`."""

    alphas: np.ndarray | None
    sizes: list[int]

    @classmethod
    def of(cls, alphas, n_neurons, layer: Layer) -> Grid:
        """From the parameters of an estimator, checked."""
        if alphas is not None:
            given = np.atleast_1d(np.asarray(alphas, object)).ravel().tolist()
            if not given or any(isinstance(check_alpha(alpha), str) for alpha in given):
                raise ParameterError(
                    f"alphas must be finite numbers >= 0, at least one, or None for a grid of its own; got {alphas!r}."
                )
            alphas = np.array(given, np.float64)
        if n_neurons is None:
            return cls(alphas, [layer.n_neurons])
        sizes = np.atleast_1d(np.asarray(n_neurons, object)).ravel().tolist()
        whole = all(isinstance(size, Integral) and not isinstance(size, bool) for size in sizes)
        if not sizes or not whole or not all(1 <= size <= layer.n_neurons for size in sizes):
            raise ParameterError(
                f"n_neurons must be ints from 1 to the {layer.n_neurons} neurons of the full layer, or None for all "
                f"of them; got {n_neurons!r}. The full layer is the parameter neurons."
            )
        return cls(alphas, [int(size) for size in sizes])


@dataclass(frozen=True, eq=False)
class Selected:
    """The layer of the chosen size, its sums and solution, and all scores.

    `scores` has shape (n_splits, n_alphas, n_sizes).
    """

    layer: Layer
    sums: NormalEquations
    solution: Solution
    alphas: np.ndarray
    sizes: list[int]
    scores: np.ndarray


def select(
    layer: Layer,
    targets: Targets,
    X: Source,
    y: Source,
    weights: Source | None,
    grid: Grid,
    *,
    cv,
    scoring: str | None,
    labels: Callable[[], np.ndarray],
    dtype,
    fit_intercept: bool = True,
    verbose: int | bool = 0,
) -> Selected:
    """Sum over the rows once, choose, and solve; a score that is not known from sums takes a second pass.

    Parameters
    ----------
    layer : Layer
        The full one.
    targets, X, y, weights, verbose
        As for `accumulate`.
    grid : Grid
        What is tried.
    cv : None, int, splitter, or iterable of splits
        None for generalised cross-validation.
    scoring : str or None
        None is r2, or accuracy for classes where there are folds.
    labels : callable
        Gives y in memory, for splitters.
    dtype : dtype
        Of predictions.
    fit_intercept : bool
        Whether there is an intercept.

    Returns
    -------
    Selected
    """
    order = nested_order(layer)
    score = _score(scoring, cv, targets, dtype)
    if cv is None:
        total = accumulate(layer, targets, X, y, weights, verbose=verbose)
        moments = nested(total.moments(centred=fit_intercept), order)
        alphas = default_alphas(moments.HH) if grid.alphas is None else grid.alphas
        scores = _gcv_scores(moments, alphas, grid.sizes, score)
    else:
        in_memory_X = isinstance(X, np.ndarray)
        stratified = isinstance(targets, ClassTargets)
        folds = make_folds(cv, X.shape[0], X if in_memory_X else None, labels, stratified=stratified)
        client, keep = None if in_memory_X else current_client(), not isinstance(score, str)
        n_alphas = len(GCV_GRID if grid.alphas is None else grid.alphas)
        sizes_of = layer.n_neurons, targets.n_targets, n_alphas, len(grid.sizes), folds.n_folds
        check_grid(*sizes_of, keep=keep, client=client)
        sums = accumulate_folds(layer, targets, X, y, weights, folds, verbose=verbose)
        total = sums.total
        alphas = default_alphas(total.moments(centred=fit_intercept).HH) if grid.alphas is None else grid.alphas
        models = solve_folds(
            sums,
            folds.n_folds,
            order,
            alphas,
            grid.sizes,
            fit_intercept=fit_intercept,
            keep=keep,
            client=client,
        )
        if isinstance(score, str):
            scores = _scores_from_sums(sums, folds.n_folds, models, (len(alphas), len(grid.sizes)), score)
        else:
            args = layer, targets, X, y, weights, folds, models, order, grid.sizes, len(alphas), score
            scores = score_rows(*args, verbose=verbose)
    best = _best(scores)
    a, s = np.unravel_index(best, scores.shape[1:])
    smaller, columns = leading(layer, grid.sizes[s])
    sums_of_it = take_neurons(total, columns, smaller.fingerprint)
    solution = solve(sums_of_it, float(alphas[a]), fit_intercept=fit_intercept)
    return Selected(smaller, sums_of_it, solution, np.asarray(alphas), grid.sizes, scores)


def _score(scoring, cv, targets, dtype):
    """Name of a score from sums, or a score of rows."""
    if scoring is None:
        scoring = "accuracy" if cv is not None and targets.meaning != "numbers" else "r2"
    if isinstance(scoring, str) and scoring in _FROM_SUMS:
        return scoring
    score = row_score(scoring, targets, dtype, _FROM_SUMS)
    if cv is None:
        raise ParameterError(
            f"scoring: {scoring!r} needs folds; with cv=None, generalised cross-validation, it must be None or one of "
            f"{', '.join(map(repr, _FROM_SUMS))}. Set cv=5."
        )
    return score


def _gcv_scores(moments: Moments, alphas, sizes, name):
    path = RidgePath(moments, sizes, eigen=by_eigen(sizes, len(alphas), inverse=True))
    errors = GcvErrors.of(path, alphas)
    if not errors.allowed.any():
        raise DataError(
            f"cv=None: generalised cross-validation says nothing of models with more than 98 % of the {moments.n:g} "
            f"rows as degrees of freedom, and all of this grid have: alphas up to {max(alphas):g}, {min(sizes)} "
            "neurons or more. Use larger alphas, fewer n_neurons, or cv=5."
        )
    if name == "r2":
        # Targets that are constant tell nothing, as in alpha="gcv".
        told = moments.TT > 0
        relative = errors.inflated[:, :, told] / moments.TT[told]
        return 1 - (relative.mean(axis=2) if told.any() else errors.inflation)[None]
    per_row = errors.inflated / moments.n
    return -(np.sqrt(per_row) if "root" in name else per_row).mean(axis=2)[None]


def _scores_from_sums(sums: FoldSums, n_folds, models: list[FoldModels], shape, name):
    squares = np.empty((n_folds, *shape, sums.all.n_targets))
    for part in models:
        squares[part.fold][part.places] = part.squares
    scores = np.empty((n_folds, *shape))
    for fold in range(n_folds):
        test = sums.parts[fold]
        if name != "r2":
            errors = squares[fold] / test.sum_weights
            scores[fold] = -(np.sqrt(errors) if "root" in name else errors).mean(axis=2)
            continue
        if test.n_samples < 2:
            raise DataError(
                f"cv: r2 needs at least two rows in each test part; got {test.n_samples} in split {fold}. Use fewer "
                "folds, or scoring='neg_mean_squared_error'."
            )
        moments = test.moments()
        # As scikit-learn: a target that is constant on the rows scores 1 if it is met, else 0; here, to rounding.
        rounding = 1e-28 * test.sum_weights * np.square(moments.mean_T)
        ratio = (squares[fold] > rounding).astype(float)
        np.divide(squares[fold], moments.TT, out=ratio, where=rounding < moments.TT)
        scores[fold] = (1 - ratio).mean(axis=2)
    return scores


def _ranks(means):
    worst = np.nanmin(means) - 1 if np.isfinite(means).any() else 0.0
    return rankdata(-np.where(np.isnan(means), worst, means), method="min").astype(np.int32)


def _best(scores):
    return int(_ranks(scores.mean(axis=0).ravel()).argmin())


def results_of(alphas: np.ndarray, sizes: list[int], scores: np.ndarray, *, folds: bool) -> dict:
    """A table of all scores as scikit-learn's `cv_results_`, which a DataFrame takes.

    Parameters
    ----------
    alphas : ndarray of shape (n_alphas,)
        Penalties.
    sizes : list of int
        Numbers of neurons.
    scores : ndarray of shape (n_splits, n_alphas, n_sizes)
        Scores; NaN where there is none.
    folds : bool
        Whether splits are folds, which have columns of their own.

    Returns
    -------
    dict
        Of columns with one entry per candidate, alphas first.
    """
    each_alpha = np.repeat(np.asarray(alphas, np.float64), len(sizes))
    each_size = np.tile(np.asarray(sizes), len(alphas))
    table: dict = {
        "param_alpha": np.ma.MaskedArray(each_alpha, mask=False),
        "param_n_neurons": np.ma.MaskedArray(each_size, mask=False),
        "params": [
            {"alpha": alpha, "n_neurons": size}
            for alpha, size in zip(each_alpha.tolist(), each_size.tolist(), strict=True)
        ],
    }
    flat = scores.reshape(len(scores), -1)
    if folds:
        table |= {f"split{i}_test_score": row for i, row in enumerate(flat)}
    table["mean_test_score"] = flat.mean(axis=0)
    if folds:
        table["std_test_score"] = flat.std(axis=0)
    table["rank_test_score"] = _ranks(table["mean_test_score"])
    return table
