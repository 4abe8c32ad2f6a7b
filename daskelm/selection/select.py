"""Selection of the penalty and the number of neurons: scores a grid by a criterion, takes the best, and solves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..exceptions import ParameterError
from ..layer.layer import Layer
from ..layer.sublayer import sublayer
from ..ridge.solve import Solution
from ..sums.normal_equations import NormalEquations
from ..sums.solved import solve_sums
from ..sums.some_neurons import take_neurons
from .content_folds import by_content
from .criterion import Criterion, Problem, Scored
from .gcv import by_gcv
from .holdout import by_validation
from .kfold import by_folds
from .leave_one_out import by_loo

__all__ = ["CRITERIA", "Selected", "choose", "named", "results_of", "select"]

# Criteria by the parameter `cv`; any value that is not a key here means folds.
CRITERIA: dict[str | None, Criterion] = {None: by_content, "gcv": by_gcv, "loo": by_loo}


@dataclass(frozen=True, eq=False)
class Selected:
    """The best candidate of a grid: the layer of that size, its sums, its solution, and the scores of all."""

    layer: Layer
    sums: NormalEquations
    solution: Solution
    scored: Scored


def select(problem: Problem, *, cv, scoring: str | None) -> Selected:
    """Score the grid, take the best candidate, and solve it.

    Parameters
    ----------
    problem : Problem
        Training rows and grid.
    cv : None, "gcv", "loo", int, splitter, or iterable of splits
        None is folds that rows belong to by their content; "gcv", generalised cross-validation, is the cheapest. Other
        folds suit rows that depend on each other, such as groups or time series; "loo" suits few rows.
    scoring : str or None
        None is r2, or the squared error of the outputs for classes.
    """
    cv = named(cv)
    if isinstance(cv, str) and cv not in CRITERIA:
        words = ", ".join(repr(word) for word in CRITERIA)
        raise ParameterError(
            f"cv must be {words}, an int, a splitter of scikit-learn, or an iterable of (train, test) row numbers; got "
            f"{cv!r}."
        )
    criterion = CRITERIA[cv] if cv is None or isinstance(cv, str) else by_folds
    if problem.validation is not None:
        criterion = by_validation
    scored = criterion(problem, scoring, cv)
    return choose(scored, problem.layer, fit_intercept=problem.fit_intercept)


def choose(scored: Scored, layer: Layer, *, fit_intercept: bool) -> Selected:
    """Take the best candidate of a scored grid, and solve it."""
    a, s = _best(scored)
    smaller, columns = sublayer(layer, scored.grid.sizes[s], scored.order)
    sums = take_neurons(scored.total, columns, smaller.fingerprint)
    solution = solve_sums(sums, float(scored.grid.alphas[a]), fit_intercept=fit_intercept)
    return Selected(smaller, sums, solution, scored)


def _best(scored):
    """Indices of the penalty and of the size that are taken: the first of the best, or that of the largest penalty."""
    best = np.argwhere((_ranks(scored.scores.mean(axis=0).ravel()) == 1).reshape(scored.scores.shape[1:]))
    return best[np.argmax(scored.grid.alphas[best[:, 0]])] if scored.prefer_large_alphas else best[0]


def named(cv):
    """The parameter `cv`, with "loo" for LeaveOneOut()."""
    from sklearn.model_selection import LeaveOneOut

    return "loo" if isinstance(cv, LeaveOneOut) else cv


def _ranks(means):
    from scipy.stats import rankdata

    worst = np.nanmin(means) - 1 if np.isfinite(means).any() else 0.0
    return rankdata(-np.where(np.isnan(means), worst, means), method="min").astype(np.int32)


def results_of(alphas: np.ndarray, sizes: list[int], scores: np.ndarray, *, folds: bool) -> dict:
    """All scores as scikit-learn's `cv_results_`, for a DataFrame.

    Parameters
    ----------
    alphas : ndarray of shape (n_alphas,)
        Penalties.
    sizes : list of int
        Numbers of neurons.
    scores : ndarray of shape (n_splits, n_alphas, n_sizes)
        Scores; NaN where a candidate was refused.
    folds : bool
        Whether the splits are folds, each with its own column.

    Returns
    -------
    dict
        Columns with one entry per candidate, alphas first.
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
