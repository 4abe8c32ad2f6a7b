"""Numbers for the levels of categories: at random, or by what rows say of their effects and interactions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..layer.drawing import standard_normal

__all__ = ["learnt_tables", "random_tables"]

# Numbers of a level that are drawn at random. Their variances sum to that of one scaled input.
_N_RANDOM = 8
# Directions in which the targets are followed, where there are more of them, and those of interactions.
_N_TARGETS, _N_INTERACTIONS = 3, 3
# An effect is shrunk at least as if so many rows more had none, and residuals in a cell too; with 3 or 30 in the place
# of 10, R2 differed by 0.01 at most.
_LEAST_ROWS, _CELL_ROWS = 10.0, 10.0
# Directions of interactions are this much stronger than those of noise, or left out. The largest singular value of
# noise is about the norm of its largest row plus that of its largest column (Bandeira, van Handel, 2016).
_ABOVE_NOISE = 1.15
# Effects that shrink to less than this part are left out.
_LEAST_SIGNAL = 0.5
_NOTHING = 1e-9
# Other columns of numbers are cut at their quantiles into so many parts; at most so many columns are taken.
_N_PARTS, _MOST_COLUMNS = 12, 30
# A category with more levels is cut by its effects, as numbers are.
_MOST_LEVELS = 64
# Penalty of the additive model, as a fraction of the mean diagonal of its equations.
_PENALTY = 1e-3
# Tables are rounded to this fraction of their largest number, so that what rounding of BLAS changes is cut off.
_BITS = 10


def random_tables(sizes: Sequence[int], seed: int) -> list[np.ndarray]:
    """A table (n_rows, 8) of random numbers for each category, which has `sizes` rows."""
    tables = []
    for i, n_rows in enumerate(sizes):
        stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*b"levels", i)))
        tables.append(standard_normal(stream, (n_rows, _N_RANDOM)) / np.sqrt(_N_RANDOM))
    return tables


def learnt_tables(
    codes: Sequence[np.ndarray], Z: np.ndarray, T: np.ndarray, v: np.ndarray, sizes: Sequence[int]
) -> list[np.ndarray]:
    """A table (n_rows, n) of numbers for each category, in which levels with like effects on the targets are close.

    The first columns are mean targets of the rows of a level, less the mean of all; the others are the strongest
    directions of its interactions: of the mean residuals of an additive model in the cells that a level has with the
    parts of each other column, where these are stronger than noise. A level with no rows has zeros.

    Parameters
    ----------
    codes : list of ndarray of shape (rows,), int
        Row of the table for each row of the sample, one array per category.
    Z : ndarray of shape (rows, n)
        The columns of numbers, scaled, and marks of their gaps.
    T : ndarray of shape (rows, n_targets)
        Standardised targets.
    v : ndarray of shape (rows,)
        Weights, with sum 1.
    sizes : list of int
        Number of rows of each table.

    Returns
    -------
    list of ndarray of shape (n_rows, n)
    """
    T, weights = _main_directions(T, v), v * len(v)
    effects = [_effects(own, n, T, weights) for own, n in zip(codes, sizes, strict=True)]
    additive = np.hstack([Z, *(effect[own] for effect, own in zip(effects, codes, strict=True))])
    B, residuals = _additive(additive, T, v)
    strengths = np.square(B[: Z.shape[1]]).sum(axis=1)
    chosen = np.sort(np.argsort(-strengths, kind="stable")[:_MOST_COLUMNS])
    parts = [_parts(Z[:, j]) for j in chosen]
    levels = [
        (own, n) if n <= _MOST_LEVELS else _parts(effect[own, 0])
        for own, n, effect in zip(codes, sizes, effects, strict=True)
    ]
    tables = []
    for i, (own, n, effect) in enumerate(zip(codes, sizes, effects, strict=True)):
        others = parts + levels[:i] + levels[i + 1 :]
        tables.append(np.hstack([effect, _interactions(own, n, others, residuals, weights)]))
    return [_rounded(table) for table in tables]


def _main_directions(T, v):
    """At most three combinations of the targets, uncorrelated, of the largest variance."""
    if T.shape[1] <= _N_TARGETS:
        return T
    values, vectors = np.linalg.eigh((T * v[:, None]).T @ T)
    return T @ vectors[:, ::-1][:, :_N_TARGETS] / np.sqrt(max(values[-1], np.finfo(float).tiny))


def _effects(codes, n, T, weights):
    """Means (n, n_targets) of the targets of each level, shrunk towards 0 by what is noise in them.

    With v the variance between levels and s that of rows about the mean of their level, a mean of m rows is shrunk by
    m / (m + s / v). Means of many small levels that do not differ become 0. Units are such that means that need not be
    shrunk have variance 1 over the rows.
    """
    counts = np.bincount(codes, weights, n)
    total, there = counts.sum(), counts > 0
    means = np.column_stack([np.bincount(codes, weights * t, n) for t in T.T]) / np.where(there, counts, 1)[:, None]
    means[~there] = 0
    between = counts @ np.square(means)
    within = (weights @ np.square(T) - between) / max(total - there.sum(), 1)
    # The mean square between levels holds that of the noise once for each of them.
    spread = total - np.square(counts).sum() / total
    variance = (between - (there.sum() - 1) * within) / max(spread, 1)
    rows = np.where(variance > 0, within / np.where(variance > 0, variance, 1), np.inf)
    shrunk = means * (counts[:, None] / (counts[:, None] + np.maximum(rows, _LEAST_ROWS)))
    unit = np.sqrt(between / total)
    shrunk /= np.where(unit > _NOTHING, unit, 1.0)
    # The rows that means are taken from are in the sums too: means that are mostly noise would seem to explain them.
    return np.where(np.sqrt(counts @ np.square(shrunk) / total) < _LEAST_SIGNAL, 0.0, shrunk)


def _additive(Z, T, v):
    """Coefficients (n, n_targets) of a ridge regression of T on Z, and its residuals (rows, n_targets)."""
    centred = Z - v @ Z
    HH = (centred * v[:, None]).T @ centred
    HH[np.diag_indices(len(HH))] += _PENALTY * max(np.trace(HH), np.finfo(float).tiny) / len(HH)
    B = np.linalg.solve(HH, (centred * v[:, None]).T @ (T - v @ T))
    return B, T - v @ T - centred @ B


def _parts(z):
    """Part (rows,) of each number, between quantiles, and the number of parts."""
    edges = np.unique(np.quantile(z, np.linspace(0, 1, _N_PARTS + 1)[1:-1]))
    return np.searchsorted(edges, z, side="right"), len(edges) + 1


def _interactions(codes, n, others, residuals, weights):
    """The strongest directions (n, 3) of the residuals of each level in the parts of other columns."""
    blocks, variances = [], []
    for part, n_parts in others:
        cells = codes * n_parts + part
        counts = np.bincount(cells, weights, n * n_parts)
        root = np.sqrt(counts + _CELL_ROWS)
        variances += [(counts / (counts + _CELL_ROWS)).reshape(n, n_parts) * t.var() for t in residuals.T]
        # Sums over the root of the rows have the same noise in each cell.
        blocks += [(np.bincount(cells, weights * t, n * n_parts) / root).reshape(n, n_parts) for t in residuals.T]
    if not blocks:
        return np.zeros((n, 0))
    cells = np.hstack(blocks)
    if n <= cells.shape[1]:
        squares, vectors = np.linalg.eigh(cells @ cells.T)
    else:
        # It has the same eigenvalues other than 0.
        squares, vectors = np.linalg.eigh(cells.T @ cells)
        vectors = cells @ vectors / np.sqrt(np.maximum(squares, _NOTHING))
    strongest = np.arange(len(squares))[::-1][:_N_INTERACTIONS]
    variance = np.hstack(variances)
    noise = np.sqrt(variance.sum(axis=1).max()) + np.sqrt(variance.sum(axis=0).max())
    strongest = strongest[np.sqrt(np.maximum(squares[strongest], 0)) > _ABOVE_NOISE * noise]
    counts = np.bincount(codes, weights, n)[:, None]
    table = vectors[:, strongest] / np.sqrt(np.maximum(counts, 1.0)) * counts / (counts + _CELL_ROWS)
    spread = np.sqrt((counts * np.square(table)).sum(axis=0) / counts.sum())
    # The sign of a direction is arbitrary.
    largest = np.take_along_axis(table, np.abs(table).argmax(axis=0)[None], axis=0) if table.size else table
    return table * (np.where(largest < 0, -1.0, 1.0) / np.where(spread > _NOTHING, spread, 1.0))


def _rounded(table):
    exponent = int(np.frexp(max(np.abs(table).max(initial=0.0), 1.0))[1]) - _BITS
    return np.ldexp(np.rint(np.ldexp(table, -exponent)), exponent)
