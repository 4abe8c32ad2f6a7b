"""Symmetric matrices stored as one packed triangle."""

from __future__ import annotations

import numpy as np

__all__ = ["add_triangle", "crop_packed", "diagonal", "mirror_upper", "move_transposed", "pack_in_place", "unpack"]

# Side of the square tiles that are transposed in cache.
_TILE = 128


def pack_in_place(S: np.ndarray, n: int) -> np.ndarray:
    """Upper triangle of the leading n rows and columns of S as a vector (n (n + 1) / 2,), row by row.

    S must own its memory and be C-contiguous; it may have more rows than columns. It is overwritten and shrunk, so that
    memory holds two triangles at once and not three.
    """
    width, flat, start = S.shape[1], S.reshape(-1), 0
    for i in range(n):
        flat[start : start + n - i] = flat[i * width + i : i * width + n]
        start += n - i
    del flat
    S.resize(start, refcheck=False)
    return S


def crop_packed(packed: np.ndarray, width: int, n: int) -> np.ndarray:
    """Leading n rows of a packed triangle of `width` rows; `packed` must own its memory and is overwritten."""
    read, start = 0, 0
    for i in range(n):
        packed[start : start + n - i] = packed[read : read + n - i]
        start, read = start + n - i, read + width - i
    packed.resize(start, refcheck=False)
    return packed


def add_triangle(S: np.ndarray, packed: np.ndarray) -> None:
    """Add the upper triangle of S (n, n) to a packed one, in place."""
    n, start = len(S), 0
    for i in range(n):
        packed[start : start + n - i] += S[i, i:]
        start += n - i


def move_transposed(lower: np.ndarray, upper: np.ndarray) -> None:
    """Add the lower triangle of one square (n, n), transposed, to the upper triangle of another, and clear it.

    The other triangles stay as they are, so that both squares may share one array.
    """
    n = len(lower)
    for i in range(0, n, _TILE):
        rows = slice(i, i + _TILE)
        tile = lower[rows, rows]
        own = np.tri(len(tile), dtype=bool)
        upper[rows, rows] += np.where(own, tile, 0).T
        tile[own] = 0
        for j in range(i + _TILE, n, _TILE):
            columns = slice(j, j + _TILE)
            tile = lower[columns, rows]
            upper[rows, columns] += tile.T
            tile[:] = 0


def unpack(packed: np.ndarray, n: int) -> np.ndarray:
    """Symmetric matrix (n, n) whose upper triangle `packed` is."""
    S, start = np.empty((n, n)), 0
    for i in range(n):
        S[i, i:] = packed[start : start + n - i]
        start += n - i
    mirror_upper(S)
    return S


def mirror_upper(S: np.ndarray) -> None:
    """Copy the upper triangle of a square to its lower one, in place."""
    n = len(S)
    for i in range(0, n, _TILE):
        rows = slice(i, i + _TILE)
        # The diagonal tile has its lower triangle from its upper one.
        tile = S[rows, rows]
        below = np.tri(len(tile), k=-1, dtype=bool)
        tile[below] = tile.T[below]
        for j in range(i + _TILE, n, _TILE):
            columns = slice(j, j + _TILE)
            S[columns, rows] = S[rows, columns].T


def diagonal(packed: np.ndarray, n: int) -> np.ndarray:
    """Diagonal (n,) of the matrix (n, n) whose upper triangle `packed` is."""
    return packed[np.cumsum([0, *range(n, 1, -1)])] if n else packed[:0]
