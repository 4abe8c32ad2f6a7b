"""Rows in blocks, blocks in an order that is random and even over the rows, and this in segments for a curve."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["curve_fractions", "segments_of", "spread_order", "unit_rows"]

# The first point has seen this part of the rows at least, and a row per neuron, but no more than an eighth.
_FIRST, _LATEST_FIRST = 1 / 64, 1 / 8
# Points of a full curve per doubling of the rows, and points that any curve has.
_PER_DOUBLING, _LEAST_POINTS = 2, 4
# Blocks of a segment: it is a sample of the whole even if the rows are sorted.
_LEAST_BLOCKS = 200
# What a point costs, in rows of H'H per neuron: an eigen-decomposition, or a Cholesky factor, and the error.
_EIGEN_ROWS, _CHOLESKY_ROWS = 8, 1
# All points together take this part of the operations of the fit, or what is done in some tenths of a second.
_SHARE, _CHEAP = 0.1, 2e9


def curve_fractions(n_samples: int, n_neurons: int, *, gcv: bool) -> np.ndarray:
    """Parts of the rows at which segments end, growing by one ratio, the last 1: one more than there are points.

    There are at most twelve points. Where solving for them would be more than a tenth of the operations of the fit,
    they are fewer, but not less than four.

    Parameters
    ----------
    n_samples, n_neurons : int
        Sizes N, L.
    gcv : bool
        Whether a point needs eigenvalues.

    Returns
    -------
    ndarray of shape (n_points + 1,)
    """
    first = min(max(n_neurons / n_samples, _FIRST), _LATEST_FIRST)
    n_points = round(-_PER_DOUBLING * math.log2(first))
    cost = (_EIGEN_ROWS if gcv else _CHOLESKY_ROWS) * n_neurons**3
    affordable = int(max(_SHARE * n_samples * n_neurons**2, _CHEAP) / cost)
    n_points = min(n_points, max(affordable, _LEAST_POINTS))
    return first ** (1 - np.arange(n_points + 1) / n_points)


def unit_rows(n_samples: int, fractions: np.ndarray, most: int) -> int:
    """Rows of a unit, of which blocks are runs: so few that the smallest segment has its blocks; not above `most`."""
    smallest = np.diff(fractions, prepend=0.0).min()
    return min(max(int(n_samples * smallest / _LEAST_BLOCKS), 1), max(most, 1))


def spread_order(n: int, random: np.random.RandomState) -> np.ndarray:
    """The numbers 0 to n - 1 in a random order, (n,), of which each beginning is spread evenly.

    Of the first 2^k one is in each of 2^k equal stretches; where in it is random, so that no period of the data can
    meet one of the order. Owen (1995): the van der Corput sequence, scrambled.
    """
    size = 1 << max(n - 1, 0).bit_length()
    order = random.randint(size, size=1)
    while len(order) < size:
        half = size // (2 * len(order))
        # In the half of each stretch that has none yet.
        order = np.concatenate([order, (order // half ^ 1) * half + random.randint(half, size=len(order))])
    return order[order < n]


def segments_of(sizes: np.ndarray, fractions: np.ndarray, seed: int) -> list[np.ndarray]:
    """Numbers of the units of each segment, sorted, none empty; each segment is blocks from everywhere.

    From the last segment on, which is the largest, each takes blocks that are spread evenly over what is left; then
    these are halved, until there are enough for the next. So all segments have 200 to 400 blocks or so, where the units
    allow it, and the rows of the large ones are read in long runs.

    Parameters
    ----------
    sizes : ndarray of shape (n_units,)
        Rows of each unit.
    fractions : ndarray of shape (n_segments,)
        Of all rows, where segments end.
    seed : int
        Of the order.

    Returns
    -------
    list of ndarray of shape (n_units_of_segment,)
    """
    random = np.random.RandomState(seed % 2**32)
    edges = np.concatenate([[0], np.cumsum(sizes)])
    blocks = [(0, len(sizes))]
    left, segments = edges[-1], []
    for i in range(len(fractions) - 1, 0, -1):
        share, end = 1 - fractions[i - 1] / fractions[i], fractions[i - 1] * edges[-1]
        blocks = _halved(blocks, _LEAST_BLOCKS / share)
        taken = set()
        for k in spread_order(len(blocks), random).tolist():
            n_rows = edges[blocks[k][1]] - edges[blocks[k][0]]
            # To the nearest block.
            if left - n_rows / 2 < end:
                break
            taken.add(k)
            left -= n_rows
        segments.append([blocks[k] for k in sorted(taken)])
        blocks = [block for k, block in enumerate(blocks) if k not in taken]
    segments.append(_halved(blocks, _LEAST_BLOCKS))
    return [np.concatenate([np.arange(*block) for block in segment]) for segment in segments[::-1] if segment]


def _halved(blocks, least):
    """Blocks of units cut in halves until there are so many, or all are single units."""
    while len(blocks) < least and any(b - a > 1 for a, b in blocks):
        halves = [[(a, (a + b) // 2), ((a + b) // 2, b)] if b - a > 1 else [(a, b)] for a, b in blocks]
        blocks = [half for pair in halves for half in pair]
    return blocks
