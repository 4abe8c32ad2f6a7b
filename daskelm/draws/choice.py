"""The choice of a draw: candidates are fitted to some rows of a sample, and the least error on the others decides."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_limits

from ..layer.specification import Group
from ..layer.weights import Sample, draw_neurons

__all__ = ["CANDIDATES", "DrawChoice", "choose_draw", "groups_of"]

# A kind and its draw.
Part = tuple[str | np.ufunc, str]
_RANDOM: Part = ("tanh", "random")
_RELEVANCE: Part = ("tanh", "relevance")
_SPARSE: Part = ("relu", "sparse")
_SPARSE_PAIRS: Part = ("tanh", "sparse pairs")
# Candidates by name, and what shares the neurons (docs/measurements.md, "Draws").
CANDIDATES: dict[str, list[Part]] = {
    "random": [_RANDOM],
    "relevance": [_RELEVANCE],
    "relevance, sparse": [_RELEVANCE, _SPARSE],
    "relevance, sparse pairs": [_RELEVANCE, _SPARSE_PAIRS],
    "relevance, sparse, sparse pairs": [_RELEVANCE, _SPARSE, _SPARSE_PAIRS],
}
# Others must beat the usual one by this fraction of its error, and any must beat the one that knows nothing of rows:
# errors of candidates that are equally good differ by some percent, and by more with fewer rows, as standard errors do.
_BLIND, _USUAL, _MARGIN = "random", "relevance, sparse pairs", 0.03
# With fewer rows, errors on held-out ones say too little.
_LEAST_ROWS = 300
# Rows that are fitted and scored, in four parts; as many parts are held out as these rows allow.
_ROWS, _PARTS = 2800, 4
# Most neurons of a candidate, and bytes of their hidden outputs.
_N_NEURONS, _BYTES = 300, 2**25
# Penalties that are tried, relative to the mean of the diagonal of HH.
_ALPHAS = 10.0 ** np.arange(-8, 0.01, 2)


class DrawChoice(NamedTuple):
    """Groups of neurons that were chosen, and the error of each candidate: None where there were too few rows."""

    groups: list[Group]
    errors: dict[str, float] | None


def groups_of(name: str, number: int) -> list[Group]:
    """The groups of a candidate with that number of neurons, in equal parts; the first parts take what is left over."""
    parts = CANDIDATES[name]
    share, rest = divmod(number, len(parts))
    return [Group(share + (i < rest), *part) for i, part in enumerate(parts) if share + (i < rest)]


def choose_draw(number: int, sample: Sample, seed: int) -> DrawChoice:
    """The candidate with the least squared error on rows that it was not fitted to, relative to the variance.

    Candidates are fitted with as many neurons as are wanted, or 300, and the penalty that is best for each.

    Parameters
    ----------
    number : int
        Number of neurons that are wanted, beside all inputs.
    sample : Sample
        Rows with targets, and the metric of their inputs.
    seed : int
        Non-negative seed of the neurons, and of the parts of the rows.
    """
    if len(sample.Z) < _LEAST_ROWS or sample.metric is None:
        return DrawChoice(groups_of(_BLIND, number), None)
    d = sample.Z.shape[1]
    blocks = list(dict.fromkeys(part for parts in CANDIDATES.values() for part in parts))
    n_rows = min(len(sample.Z), _ROWS, max(_BYTES // (8 * (d + len(blocks) * min(number, _N_NEURONS))), _LEAST_ROWS))
    stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(b"held out")))
    rows = stream.permutation(len(sample.Z))[:n_rows]
    m = min(number, _N_NEURONS, n_rows // _PARTS)
    groups = [Group(m, *part) for part in blocks]
    H = np.empty((n_rows, d + len(blocks) * m))
    H[:, :d] = sample.Z[rows]
    for i, neurons in enumerate(draw_neurons(groups, d, seed, sample)):
        H[:, d + i * m : d + (i + 1) * m] = neurons(sample.Z[rows])
    columns = {
        name: np.concatenate(
            [np.arange(d), *(d + blocks.index((g.kind, g.draw)) * m + np.arange(g.number) for g in groups_of(name, m))]
        )
        for name in CANDIDATES
    }
    T, v = sample.T[rows], sample.weights[rows]  # type: ignore[index]
    parts = np.array_split(np.arange(n_rows), _PARTS)
    held_out = parts[: max(min(_ROWS // n_rows, _PARTS), 1)]
    found = [_errors(H, T, v, test, columns) for test in held_out]
    errors = {name: float(np.mean([part[name] for part in found])) for name in CANDIDATES}
    return DrawChoice(groups_of(_best(errors, n_rows), number), errors)


def _best(errors, n_rows) -> str:
    """The name of the candidate to take, by its error on so many rows."""
    limit = 1 - _MARGIN * np.sqrt(_ROWS / n_rows)
    best = min((name for name in errors if name != _BLIND), key=lambda name: errors[name])
    if errors[best] > limit * errors[_USUAL]:
        best = _USUAL
    return best if errors[best] < limit * errors[_BLIND] else _BLIND


def _errors(H, T, v, test, columns) -> dict[str, float]:
    """Squared error of each candidate, some `columns` of H, on the rows `test`, fitted to all others."""
    train = np.delete(np.arange(len(H)), test)
    weights, T_train, centred = v[train] / v[train].sum(), T[train], H[train]
    mean_H, mean_T, root = weights @ centred, weights @ T_train, np.sqrt(weights)[:, None]
    centred -= mean_H
    centred *= root
    HH, HT = centred.T @ centred, centred.T @ ((T_train - mean_T) * root)
    H_test, low, high = H[test] - mean_H, T_train.min(axis=0), T_train.max(axis=0)
    weights = v[test] / (v[test].sum() * T.shape[1])

    def error(of, alpha):
        system = HH[np.ix_(of, of)]
        system[np.diag_indices(len(of))] += alpha * np.trace(system) / len(of)
        factor = scipy.linalg.cho_factor(system, overwrite_a=True, check_finite=False)
        outputs = H_test[:, of] @ scipy.linalg.cho_solve(factor, HT[of], check_finite=False) + mean_T
        # A row far out may be predicted far out; models clip their predictions too.
        return float(weights @ np.square(np.clip(outputs, low, high) - T[test]).sum(axis=1))

    # Idle threads of NumPy's BLAS would be in the way of SciPy's.
    with threadpool_limits(1, user_api="blas"):
        return {name: min(error(of, alpha) for alpha in _ALPHAS) for name, of in columns.items()}
