"""Digests of rows whose sum identifies a set of rows, in any order and however it is cut into blocks."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..sparse import SparseRows

__all__ = ["bits_kept", "row_digests", "sum_digests", "with_one_nan"]

# Numbers per step, so that they stay in the processor's cache. Below 128 KiB, since Dask's workers return larger
# allocations to the system as soon as they are freed, and touching new memory takes longer than the digests.
_BLOCK = 15 * 2**10
_STEP = 0x9E3779B97F4A7C15


@lru_cache(16)
def _constants(n):
    """Odd 64-bit numbers, the same on every machine (splitmix64)."""
    with np.errstate(over="ignore"):
        return _mixed(np.arange(1, n + 1, dtype=np.uint64) * np.uint64(_STEP)) | np.uint64(1)


def _mixed(z):
    """splitmix64's finaliser (Steele, Lea, Flood 2014): each bit of the result depends on each bit of z."""
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def with_one_nan(table: np.ndarray) -> np.ndarray:
    """The table, or a copy in which every NaN has the same bits: R, and 0 / 0, have others than NumPy."""
    if table.dtype.kind != "f":
        return table
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.add.reduce(table, axis=None)
    # Infinities of both signs have the sum NaN too, and stay.
    return table if not np.isnan(total) else np.where(np.isnan(table), np.nan, table)


def bits_kept(rows: SparseRows) -> np.ndarray:
    """The bits (n_kept,), uint64, of the numbers of sparse rows in float64: those of an array of them, zeros too."""
    # An array made of them has no zeros with a sign.
    return with_one_nan(rows.kept[0].astype(np.float64) + 0.0).view(np.uint64)


def row_digests(first_row: int | np.ndarray, table: np.ndarray | SparseRows) -> np.ndarray:
    """Digests (rows,), uint64, of the rows of a table (rows, columns) of 8-byte numbers and of their row numbers.

    Row numbers start at `first_row`, unless it is an array (rows,) of all of them. Sparse rows have the digests of the
    array with the same numbers.
    """
    n_rows, n_columns = table.shape
    if isinstance(table, SparseRows):
        bits = bits_kept(table)
        terms = ((bits >> np.uint64(32)) ^ bits) * _constants(n_columns)[table.kept[1]]
        return _mixed(_of_numbers(first_row, n_rows) + table.row_sums(terms))
    bits = np.ascontiguousarray(with_one_nan(table)).view(np.uint64)
    constants = _constants(n_columns)
    out = _of_numbers(first_row, n_rows)
    step = max(_BLOCK // max(n_columns, 1), 1)
    for start in range(0, n_rows, step):
        part = bits[start : start + step]
        # Floats differ mostly in their high bits, which a product would shift out: fold them onto the low ones first.
        folded = part >> np.uint64(32)
        folded ^= part
        out[start : start + step] += np.einsum("ij,j->i", folded, constants)
    return _mixed(out)


def _of_numbers(first_row, n_rows):
    numbers = np.asarray(first_row) if np.ndim(first_row) else first_row + np.arange(n_rows)
    return (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(_STEP)


def sum_digests(digests: np.ndarray) -> int:
    """Sum modulo 2^64."""
    return int(np.add.reduce(digests, dtype=np.uint64)) if len(digests) else 0
