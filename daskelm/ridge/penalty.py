"""The penalty: chosen by rows that were held out, or by the sums of all rows where none were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .cholesky import CholeskyFactor
from .eigen import GCV_GRID, EigenFactor
from .moments import EPS, Moments

__all__ = ["HeldOut", "Penalty", "penalty_by_folds", "penalty_by_sums", "squared_errors"]

# Numbers of neurons up to which all candidates are scored by one eigen-decomposition per fold. Larger layers are scored
# so with this many of their neurons, which shows where to begin the search with all.
_ALL_CANDIDATES = 256
# Squared error on rows held out, as a fraction of the variance, above which a model says nothing.
_USELESS = 0.999
# Steps of the search, in candidates a quarter of a decade apart: a decade, then half of it.
_STEPS = (4, 2)


class HeldOut(NamedTuple):
    """Sums over the rows of one fold, `test`, and over all other rows, `train`."""

    train: Moments
    test: Moments


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
    of all other rows; constant targets have no vote.

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
    Stone (1974).
    """
    L, trace = len(total.HH), float(np.trace(total.HH))
    per_target = per_target and len(total.TT) > 1
    if not trace > 0 or not total.informative.any():
        return Penalty(1.0, "folds")
    grid = GCV_GRID * trace / L
    few = np.unique(np.linspace(0, L - 1, min(L, _ALL_CANDIDATES)).round().astype(int))
    small = [HeldOut(fold.train.of_neurons(few), fold.test.of_neurons(few)) for fold in folds]
    # The same prior of the function means a penalty in proportion to the number of neurons.
    scale = len(few) / L
    errors = _total_errors(small, grid * scale, _errors_by_eigen)
    scores = errors[:, total.informative] / total.TT[total.informative]
    scores = scores if per_target else scores.sum(axis=1, keepdims=True)
    scores[grid < total.least_alpha] = np.inf
    if len(few) < L:
        scores = _searched(total, folds, grid, _best(scores), per_target)
    best = _best(scores)
    safe = _safe_candidate(total, grid, int(best.min()))
    best = np.maximum(best, safe)
    n_targets = 1 if per_target else int(total.informative.sum())
    useless = bool((scores[best, range(len(best))] > _USELESS * n_targets).all())
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


def _total_errors(folds, alphas, errors_of: Callable) -> np.ndarray:
    """Squared errors (n_alphas, n_targets) over all folds; infinite for penalties that one of them refuses."""
    return np.sum([errors_of(fold, alphas) for fold in folds], axis=0)


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
        factor = CholeskyFactor(fold.train.HH, alpha)
        errors[i] = _scored(fold, factor.solve(fold.train.HT)[:, None, :])[0] if factor.safe else np.inf
    return errors


def _searched(total, folds, grid, start, per_target):
    """Scores of the candidates that a search from `start` came across; infinite for all others."""
    n_columns = len(start)
    scores = np.full((len(grid), n_columns), np.inf)
    # Below this, rounding decides.
    noise = len(total.HH) * EPS * float(np.abs(total.HH).sum(axis=0).max())
    first = int(np.searchsorted(grid, max(noise, total.least_alpha)))
    seen = set(range(first))
    lift = round(4 * np.log10(len(total.HH) / _ALL_CANDIDATES) / 4)

    def visit(indices):
        for i in sorted(set(indices) - seen, reverse=True):
            seen.add(i)
            errors = _total_errors(folds, grid[i : i + 1], _errors_by_cholesky)[0]
            relative = errors[total.informative] / total.TT[total.informative]
            scores[i] = relative if per_target else relative.sum()

    last = len(grid) - 1
    at = np.clip(start + lift, min(first, last), last)
    visit(at.tolist())
    for step in _STEPS:
        while True:
            at = _best(scores)
            around = {int(j) for i in at for j in (i - step, i + step) if first <= j <= last}
            if around <= seen:
                break
            visit(around)
    return scores


def _safe_candidate(total: Moments, grid: np.ndarray, first: int) -> int:
    """The first candidate from `first` on whose Cholesky factor of all rows is safe, so that it may be given back."""
    for i in range(first, len(grid)):
        if CholeskyFactor(total.HH, grid[i]).safe:
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
