"""Segments of a learning curve: blocks of rows, in an order that is random and spread evenly over the rows."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["curve_fractions", "segments_of", "spread_order", "unit_rows"]

# The first point is trained on at least this fraction of the rows, and a row per neuron, but at most an eighth.
_FIRST, _LATEST_FIRST = 1 / 64, 1 / 8
# Points of a full curve per doubling of the rows, and the least number of points.
_PER_DOUBLING, _LEAST_POINTS = 2, 4
# Least number of blocks of a segment, so that it is a sample of the whole even if the rows are sorted.
_LEAST_BLOCKS = 200
# Cost of a point with its error, in rows of H'H per neuron: by an eigen-decomposition, or by a Cholesky factor.
_EIGEN_ROWS, _CHOLESKY_ROWS = 8, 1
# All points together take this fraction of the operations of the fit, or as many as some tenths of a second allow.
_SHARE, _CHEAP = 0.1, 2e9


def curve_fractions(n_samples: int, n_neurons: int, *, gcv: bool) -> np.ndarray:
    """Fractions of the rows at which segments end, growing by one ratio to 1: one more than there are points.

    There are at most twelve points. Where solving for them would take more than a tenth of the operations of the fit,
    there are fewer, but at least four.

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
    """Rows of a unit, so few that the smallest segment has enough blocks, which are runs of units; at most `most`."""
    smallest = np.diff(fractions, prepend=0.0).min()
    return min(max(int(n_samples * smallest / _LEAST_BLOCKS), 1), max(most, 1))


def spread_order(n: int, random: np.random.RandomState) -> np.ndarray:
    """The numbers 0 to n - 1 in a random order, (n,), in which each leading part is spread evenly.

    Each of 2^k equal stretches holds one of the first 2^k numbers, at a random place, so that the order has no period
    that could coincide with one of the data. This is the scrambled van der Corput sequence of Owen (1995).
    """
    size = 1 << max(n - 1, 0).bit_length()
    order = random.randint(size, size=1)
    while len(order) < size:
        half = size // (2 * len(order))
        # The next number is in the half of each stretch that has none yet.
        order = np.concatenate([order, (order // half ^ 1) * half + random.randint(half, size=len(order))])
    return order[order < n]


def segments_of(sizes: np.ndarray, fractions: np.ndarray, seed: int) -> list[np.ndarray]:
    """Numbers of the units of each segment, sorted, none empty; each segment has blocks from all parts of the rows.

    Segments are filled from the last one, the largest, backwards: each takes blocks that are spread evenly over the
    rows that are left, and the other blocks are halved until there are enough for the next segment. So all segments
    have about 200 to 400 blocks, where the units allow it, and the rows of large segments are read in long runs.

    Parameters
    ----------
    sizes : ndarray of shape (n_units,)
        Rows of each unit.
    fractions : ndarray of shape (n_segments,)
        Fractions of all rows at which segments end.
    seed : int
        Seed of the order.

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
            # The segment ends with the block that is nearest to its end.
            if left - n_rows / 2 < end:
                break
            taken.add(k)
            left -= n_rows
        segments.append([blocks[k] for k in sorted(taken)])
        blocks = [block for k, block in enumerate(blocks) if k not in taken]
    segments.append(_halved(blocks, _LEAST_BLOCKS))
    return [np.concatenate([np.arange(*block) for block in segment]) for segment in segments[::-1] if segment]


def _halved(blocks, least):
    """Blocks of units cut in halves until there are `least` blocks, or all are single units."""
    while len(blocks) < least and any(b - a > 1 for a, b in blocks):
        halves = [[(a, (a + b) // 2), ((a + b) // 2, b)] if b - a > 1 else [(a, b)] for a, b in blocks]
        blocks = [half for pair in halves for half in pair]
    return blocks
