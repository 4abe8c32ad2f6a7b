"""Relevance of the inputs: a metric in which directions that the targets vary along are long."""

from __future__ import annotations

import numpy as np

from ..layer.specification import Group
from ..layer.weights import Sample, draw_neurons, on_grid
from ..ridge.eigen import EigenFactor
from ..ridge.moments import Moments

__all__ = ["LEAST_ROWS", "relevance_of"]

# Fewer rows say too little of gradients.
LEAST_ROWS = 50
# The model whose gradients are taken: tanh neurons, beside all inputs; twice, with so many rows, the second time in the
# first metric.
_N_NEURONS, _TURNS = 250, (2000, 5000)
# With more inputs, one turn and fewer rows: each costs the square of the inputs and more.
_MANY_INPUTS, _ONE_TURN = 256, (2000,)
# A direction of the inputs whose variance is well below this fraction of one input's has no gradient.
_LEAST_VARIANCE = 0.05
# An input whose standard deviation is below this fraction of its largest magnitude is constant.
_CONSTANT = 1e-12
# Bytes of hidden outputs that are held at once.
_BYTES = 2**24


def relevance_of(sample: Sample, seed: int) -> np.ndarray | None:
    """The metric of the inputs (n_features, n_features), symmetric; None where the rows say nothing of it.

    It is the square root of the average outer product of gradients of a small model, in units in which the inputs keep
    their total variance. There are too few rows for it below 50, and no gradients where no target or no input varies.

    Radhakrishnan, Beaglehole, Pandit, Belkin (2024).
    """
    Z, T, v = sample.Z, sample.T, sample.weights
    n, d = Z.shape
    if n < LEAST_ROWS or T is None or not T.shape[1]:
        return None
    centred = Z - v @ Z
    R = (centred * v[:, None]).T @ centred
    varying = np.diag(R) > _CONSTANT**2 * np.square(Z).max(axis=0)
    if not varying.any():
        return None
    # Gradients along directions in which the inputs do not vary are arbitrary, and would count as relevant.
    seen = np.linalg.solve(R + _LEAST_VARIANCE * np.trace(R) / np.count_nonzero(varying) * np.eye(d), R)
    turns = _TURNS if d <= _MANY_INPUTS else _ONE_TURN
    per_turn = min(_N_NEURONS, max(min(n, turns[0]) // 4, 10))
    metric: np.ndarray | None = None
    neurons = draw_neurons([Group(per_turn * len(turns), "tanh")], d, seed)[0]
    for turn, most in enumerate(turns):
        own = slice(turn * per_turn, (turn + 1) * per_turn)
        W = neurons.W[:, own] if metric is None else metric @ neurons.W[:, own]
        rows = slice(None) if n <= most else np.linspace(0, n - 1, most).astype(int)
        gradients = seen.T @ _outer_gradients(Z[rows], T[rows], v[rows] / v[rows].sum(), W, neurons.b[own]) @ seen
        values, vectors = np.linalg.eigh((gradients + gradients.T) / 2)
        values = np.maximum(values, 0)
        if not values[-1] > 0:
            return None
        metric = (vectors * np.sqrt(values / values[-1])) @ vectors.T
        metric *= np.sqrt(np.trace(R) / np.trace(metric @ R @ metric))
    return on_grid(metric)  # type: ignore[arg-type]


def _outer_gradients(Z, T, v, W, b):
    """Weighted mean over rows of the products J J' (d, d) of the gradients J (d, targets) of a ridge regression.

    The regression is that of T on Z and tanh(ZW + b), with a penalty by generalised cross-validation.
    """
    d = len(W)
    moments, slopes, products = _sums(Z, T, v, W, b)
    factor = EigenFactor(moments.HH)
    B = factor.solve(moments.HT, factor.gcv(moments))
    linear, hidden = B[:d], B[d:]
    # J = linear + W diag(1 - h^2) hidden; the mean of its outer products follows from those of 1 - h^2 (L, L).
    mixed = linear @ (hidden * slopes[:, None]).T @ W.T
    return linear @ linear.T + mixed + mixed.T + W @ (products * (hidden @ hidden.T)) @ W.T


def _sums(Z, T, v, W, b):
    """Moments of [Z, tanh(ZW + b)] and T about their means, and means of 1 - h^2 (L,) and of their products (L, L)."""
    n, d = Z.shape
    L, c = W.shape[1], T.shape[1]
    p = d + L
    HH, HT, sum_H = np.zeros((p, p)), np.zeros((p, c)), np.zeros(p)
    slopes, products = np.zeros(L), np.zeros((L, L))
    step = max(_BYTES // (8 * (p + L)), 1)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        weights = v[rows, None]
        H = np.empty((len(weights), p))
        H[:, :d] = Z[rows]
        np.tanh(np.add(Z[rows] @ W, b), out=H[:, d:])
        slope = 1 - np.square(H[:, d:])
        sum_H += (H * weights).sum(axis=0)
        slopes += (slope * weights).sum(axis=0)
        root = np.sqrt(weights)
        H *= root
        slope *= root
        HH += H.T @ H
        HT += H.T @ (T[rows] * root)
        products += slope.T @ slope
    mean_T = v @ T
    HH -= np.outer(sum_H, sum_H)
    HT -= np.outer(sum_H, mean_T)
    TT = np.square(T - mean_T).T @ v
    # Kish's number of rows of equal weight.
    effective = 1 / np.square(v).sum()
    moments = Moments(HH, HT, TT, sum_H, mean_T, effective, n, n, 1.0, informative=np.ones(c, bool), centred=True)
    return moments, slopes, products
