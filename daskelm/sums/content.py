"""Hashes of rows: which fold a row belongs to, by its X alone, and how many distinct rows of X there are."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..sparse import SparseRows
from .digests import bits_kept, with_one_nan

__all__ = ["LEAST_DISTINCT", "MOST_HASHES", "folds_of", "n_folds", "row_hashes", "smallest", "used_columns"]

# Fewer distinct rows of X than these are no base for folds: in a table of a few categories, a fold without all rows of
# a combination asks for what was never seen. The number of rows has no part in it, so that weights are repeated rows.
LEAST_DISTINCT = 9
# Hashes that are kept of all rows: the number of distinct rows is known to 1 / sqrt(512), 4 %.
MOST_HASHES = 512
# Folds up to a number of neurons: each is one more triangle in each task and file, and two more factors of it for each
# penalty that is tried.
_N_FOLDS = ((400, 5), (2500, 3), (10_000, 2))
_SEED = 2471


def n_folds(n_neurons: int) -> int:
    """Number of folds that layers of so many neurons have; 1 is none."""
    return next((n for most, n in _N_FOLDS if n_neurons <= most), 1)


def row_hashes(*parts: np.ndarray | SparseRows) -> np.ndarray:
    """Hash (rows,) of each row of arrays (rows, n) side by side, uint64, by their values in float64.

    It is the same in every container, order, chunk and process. Multilinear: Dietzfelbinger (1996); the mixing of bits:
    Stafford (2011).
    """
    factors = _factors(sum(part.shape[1] for part in parts))
    edges = np.cumsum([part.shape[1] for part in parts])[:-1]
    h = sum(_weighted_bits(part, own) for part, own in zip(parts, np.split(factors, edges), strict=True))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        h ^= h >> np.uint64(shift)
        h *= np.uint64(factor)
    return h ^ (h >> np.uint64(31))


def _weighted_bits(part, factors):
    if isinstance(part, SparseRows):
        return part.row_sums(bits_kept(part) * factors[part.kept[1]])
    bits = np.ascontiguousarray(with_one_nan(np.asarray(part, np.float64))).view(np.uint64)
    return np.einsum("ij,j->i", bits, factors)


@lru_cache(maxsize=8)
def _factors(n_columns: int) -> np.ndarray:
    """Odd random numbers (n_columns,), uint64."""
    return np.random.default_rng(_SEED).integers(0, 2**64, n_columns, np.uint64) | 1


def used_columns(layer: Any) -> np.ndarray | None:
    """Mask (n_features,) of the columns of X that a layer's outputs depend on; None for all of them."""
    scale, coding = getattr(layer, "scale", None), getattr(layer, "coding", None)
    if scale is None or np.isfinite(scale.scale).all():
        return None
    used = np.isfinite(scale.scale)
    if coding is not None:
        used[[one.column for one in coding.categories]] = True
        used[coding.gaps] = True
    return used


def folds_of(hashes: np.ndarray, n: int) -> np.ndarray:
    """Fold (rows,) of rows with these hashes, out of n."""
    # The low bits, since the smallest hashes are kept apart.
    return (hashes & np.uint64(2**32 - 1)) * np.uint64(n) >> np.uint64(32)


def smallest(kept: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """The smallest 512 of the hashes kept so far, sorted, and of more, each once."""
    if len(kept) == MOST_HASHES:
        hashes = hashes[hashes < kept[-1]]
        if not len(hashes):
            return kept
    elif len(hashes) > 2 * MOST_HASHES:
        # Most of many hashes are too large, and sorting all of them took a sixth of a fit with few neurons.
        first = smallest(kept, hashes[:MOST_HASHES])
        return smallest(smallest(first, hashes[MOST_HASHES : 2 * MOST_HASHES]), hashes[2 * MOST_HASHES :])
    both = np.sort(np.concatenate([kept, hashes]))
    first = np.ones(len(both), bool)
    first[1:] = both[1:] != both[:-1]
    return both[first][:MOST_HASHES]
