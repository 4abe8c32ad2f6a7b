"""The penalty: chosen by rows that were held out, or by the sums of all rows where none were."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from .cholesky import CholeskyFactor, is_far_from_singular, one_norm
from .eigen import GCV_GRID, EigenFactor
from .moments import EPS, Moments

__all__ = ["ALL_CANDIDATES", "HeldOut", "Penalty", "penalty_by_folds", "penalty_by_sums", "squared_errors"]

# Numbers of neurons up to which all candidates are scored by one eigen-decomposition per fold. Larger layers are scored
# so with this many of their neurons, which shows where to begin the search with all.
ALL_CANDIDATES = 400
# Squared error on rows held out, as a fraction of the variance, above which a model says nothing.
_USELESS = 0.999
# Numbers of neurons up to which BLAS has one thread: two were slower. NumPy and SciPy have a BLAS each, and the threads
# of one go on looking for work while the other computes: with 1,000 neurons a factor took 40 ms instead of 17.
_ONE_THREAD = 1500
# Step of the search, in candidates a quarter of a decade apart.
_STEP = 4


class HeldOut(NamedTuple):
    """Sums over the rows of `n_folds` folds, `test`, and over all other rows, `train`."""

    train: Moments
    test: Moments
    n_folds: int = 1


@dataclass(frozen=True)
class Penalty:
    """A chosen penalty.

    alpha : float, or ndarray of shape (n_targets,) for a penalty per target
    method : "folds", "gcv" or "evidence", how it was chosen
    useless : bool, whether the best candidate predicts rows held out hardly better than their mean, for each target
    """

    alpha: float | np.ndarray
    method: str
    useless: bool = False


def squared_errors(test: Moments, B: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """Weighted sums of squared errors on the rows of `test`, from the sums alone.

    Parameters
    ----------
    test : Moments
        Sums about the means of these rows, or about zero for models without intercept.
    B : ndarray of shape (n_neurons, n_alphas, n_targets)
        Output weights.
    intercept : ndarray of shape (n_alphas, n_targets)
        Intercepts.

    Returns
    -------
    ndarray of shape (n_alphas, n_targets)
    """
    flat = B.reshape(len(B), -1)
    of_HT = np.einsum("iaj,ij->aj", B, test.HT)
    of_HH = np.einsum("ij,ij->j", flat, test.HH @ flat).reshape(B.shape[1:])
    shift = test.mean_T - (test.mean_H @ flat).reshape(B.shape[1:]) - intercept
    return test.TT - 2 * of_HT + of_HH + test.weight * np.square(shift)


def penalty_by_folds(total: Moments, folds: Sequence[HeldOut], *, per_target: bool) -> Penalty:
    """The candidate whose models predict the rows that they were not fitted to best.

    The candidates are those of generalised cross-validation, relative to trace(HH) / L, as far as the rounding of HH
    allows. Each is scored by the squared error of every fold, divided by the variance of the target, under the model
    of all other rows; constant targets have no vote. Where combinations of folds are held out, too, each counts once:
    models of fewer rows suffer more from small penalties, so that luck of the folds has less part in the choice.

    Parameters
    ----------
    total : Moments
        Sums over all rows.
    folds : sequence of HeldOut
        Two or more.
    per_target : bool
        Whether each target gets a penalty of its own.

    Returns
    -------
    Penalty

    References
    ----------
    Stone (1974); several folds held out: Shao (1993).
    """
    with threadpool_limits(1 if len(total.HH) <= _ONE_THREAD else None, user_api="blas"):
        return _penalty_by_folds(total, folds, per_target and len(total.TT) > 1)


def _penalty_by_folds(total, folds, per_target):
    L, trace = len(total.HH), float(np.trace(total.HH))
    if not trace > 0 or not total.informative.any():
        return Penalty(1.0, "folds")
    grid = GCV_GRID * trace / L
    few = np.unique(np.linspace(0, L - 1, min(L, ALL_CANDIDATES)).round().astype(int))
    small = list(map(lambda fold: HeldOut(fold.train.of_neurons(few), fold.test.of_neurons(few), fold.n_folds), folds))
    # The same prior of the function means a penalty in proportion to the number of neurons.
    scale = len(few) / L
    scores = _scores(total, small, grid * scale, per_target, _errors_by_eigen)
    scores[grid < total.least_alpha] = np.inf
    best = _best(scores)
    if len(few) < L:
        scores, best = _searched(total, folds, grid, best, per_target)
    useless = bool((scores.min(axis=0) > _USELESS).all())
    best = np.maximum(best, _safe_candidate(total, grid, int(best.min())))
    if not per_target:
        return Penalty(float(grid[best[0]]), "folds", useless)
    return Penalty(_of_all_targets(total, grid[best]), "folds", useless)


def _of_all_targets(total: Moments, alphas: np.ndarray) -> np.ndarray:
    """Penalties (n_targets,) from those of the targets that vary; constant ones take the largest."""
    out = np.full(len(total.TT), alphas.max())
    out[total.informative] = alphas
    return out


def _best(scores: np.ndarray) -> np.ndarray:
    """Index of the best candidate of each column; of equal ones the largest penalty."""
    return len(scores) - 1 - np.argmin(scores[::-1], axis=0)


def _scores(total, folds, alphas, per_target, errors_of: Callable) -> np.ndarray:
    """Mean squared errors (n_alphas, n_targets) on rows held out, relative to the variance of the target.

    They are infinite for penalties that one of the folds refuses. There is one column without a penalty per target.
    """
    errors: dict[int, Any] = defaultdict(float)
    weights: Counter = Counter()
    n_sets: Counter = Counter()
    for fold in folds:
        errors[fold.n_folds] = errors[fold.n_folds] + errors_of(fold, alphas)
        weights[fold.n_folds] += fold.test.weight
        n_sets[fold.n_folds] += 1
        # The squares of the next one are made now.
        del fold
    # Rows count alike among the sets of as many folds, and sets count alike.
    means = [of_size / weights[n] * n_sets[n] for n, of_size in errors.items()]
    mean = np.sum(means, axis=0) / n_sets.total()
    relative = mean[:, total.informative] / (total.TT[total.informative] / total.weight)
    return relative if per_target else relative.mean(axis=1, keepdims=True)


def _scored(fold: HeldOut, B: np.ndarray) -> np.ndarray:
    intercept = fold.train.mean_T - (fold.train.mean_H @ B.reshape(len(B), -1)).reshape(B.shape[1:])
    errors = squared_errors(fold.test, B, intercept)
    return np.maximum(errors, fold.test.unresolved * fold.test.TT)


def _errors_by_eigen(fold: HeldOut, alphas: np.ndarray) -> np.ndarray:
    factor = EigenFactor(fold.train.HH)
    V, projected = factor.vectors, factor.vectors.T @ fold.train.HT
    # (n_neurons, n_alphas, n_targets)
    shrunk = projected[:, None, :] / (factor.values[:, None, None] + alphas[:, None])
    B = (V @ shrunk.reshape(len(V), -1)).reshape(shrunk.shape)
    errors = _scored(fold, B)
    errors[alphas <= factor.noise] = np.inf
    return errors


def _errors_by_cholesky(fold: HeldOut, alphas: np.ndarray) -> np.ndarray:
    errors = np.empty((len(alphas), fold.train.HT.shape[1]))
    for i, alpha in enumerate(alphas):
        factor = CholeskyFactor(fold.train.HH, alpha, overwrite=True)
        B = factor.solve(fold.train.HT)[:, None, :] if factor.safe else None
        factor.restore()
        errors[i] = np.inf if B is None else _scored(fold, B)[0]
    return errors


def _searched(total, folds, grid, start, per_target):
    """Scores of the candidates that a search from `start` tried, infinite for all others, and the indices chosen."""
    scores = np.full((len(grid), len(start)), np.inf)
    # Below this, rounding decides.
    noise = len(total.HH) * EPS * one_norm(total.HH)
    last = len(grid) - 1
    first = min(int(np.searchsorted(grid, max(noise, total.least_alpha))), last)
    seen: set[int] = set()
    around = {int(i) for i in np.clip(start + round(np.log10(len(total.HH) / ALL_CANDIDATES)), first, last)}
    while not around <= seen:
        for i in sorted(around - seen, reverse=True):
            scores[i] = _scores(total, folds, grid[i : i + 1], per_target, _errors_by_cholesky)[0]
        seen |= around
        best = _best(scores)
        around = {int(j) for i in best for j in (i - _STEP, i + _STEP) if first <= j <= last}
    return scores, best + _to_vertex(scores, best)


def _to_vertex(scores, best):
    """Candidates from the best ones that were tried to the minimum of a parabola with those around, of each column."""
    out = np.zeros(len(best), int)
    for column, i in enumerate(best):
        if _STEP <= i < len(scores) - _STEP:
            below, here, above = scores[i - _STEP : i + _STEP + 1 : _STEP, column]
            curvature = below - 2 * here + above
            if 0 < curvature < np.inf:
                out[column] = round(_STEP / 2 * (below - above) / curvature)
    return out


def _safe_candidate(total: Moments, grid: np.ndarray, first: int) -> int:
    """The first candidate from `first` on whose Cholesky factor of all rows is safe, so that it may be given back."""
    for i in range(first, len(grid)):
        if is_far_from_singular(total.HH, grid[i]):
            return i
        factor = CholeskyFactor(total.HH, grid[i], overwrite=True)
        safe = factor.safe
        factor.restore()
        if safe:
            return i
    return len(grid) - 1


def penalty_by_sums(total: Moments, factor: EigenFactor, *, gcv: bool, per_target: bool) -> Penalty:
    """The penalty by generalised cross-validation, or the larger of it and that by the marginal likelihood.

    Parameters
    ----------
    total : Moments
        Sums over all rows.
    factor : EigenFactor
        Eigen-decomposition of their HH.
    gcv : bool
        Whether generalised cross-validation decides alone, with the sum of weights as the number of rows where that is
        smaller; otherwise the scale of the weights does not matter.
    per_target : bool
        Whether each target gets a penalty of its own.

    Returns
    -------
    Penalty
    """
    informative = np.flatnonzero(total.informative)
    if per_target and len(total.TT) > 1 and len(informative):
        of = [total.of_targets(np.array([i])) for i in informative]
        each = [penalty_by_sums(one, factor, gcv=gcv, per_target=False) for one in of]
        method = "evidence" if any(penalty.method == "evidence" for penalty in each) else "gcv"
        return Penalty(_of_all_targets(total, np.array([penalty.alpha for penalty in each])), method)
    if gcv:
        return Penalty(factor.gcv(total), "gcv")
    by_evidence = evidence(total, factor)
    by_gcv = factor.gcv(replace(total, n=float(total.n_counted))) if total.n_counted > 1 else by_evidence
    return Penalty(by_gcv, "gcv") if by_gcv >= by_evidence else Penalty(by_evidence, "evidence")


def evidence(total: Moments, factor: EigenFactor) -> float:
    """The candidate of the largest marginal likelihood, the variance of the noise maximised over.

    MacKay (1992).
    """
    trace = factor.values.sum()
    informative = total.informative
    if trace == 0 or not informative.any():
        return 1.0
    grid = GCV_GRID * trace / len(factor.values)
    squares = np.square(factor.vectors.T @ total.HT[:, informative])
    left = total.TT[informative] - (1 / (factor.values + grid[:, None])) @ squares
    left = np.maximum(left, total.unresolved * total.TT[informative])
    n = max(total.n_counted - total.centred, 1)
    volume = np.log1p(factor.values / grid[:, None]).sum(axis=1)
    loss = n * np.log(left).sum(axis=1) + informative.sum() * volume
    loss[(grid <= factor.noise) | (grid < total.least_alpha)] = np.inf
    return float(grid[np.argmin(loss)])
