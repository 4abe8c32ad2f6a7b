"""Symmetric matrices kept as one packed triangle."""

from __future__ import annotations

import numpy as np

__all__ = ["pack_in_place", "unpack"]


def pack_in_place(S: np.ndarray, n: int) -> np.ndarray:
    """Upper triangle of the leading n rows and columns of S as a vector (n (n + 1) / 2,), row by row.

    S must own its memory and be C-contiguous; it is used up, and what is not needed of its memory is given back, so
    that two triangles and not three are held at once.
    """
    width, flat, start = len(S), S.reshape(-1), 0
    for i in range(n):
        flat[start : start + n - i] = flat[i * width + i : i * width + n]
        start += n - i
    del flat
    S.resize(start, refcheck=False)
    return S


def unpack(packed: np.ndarray, n: int) -> np.ndarray:
    """Symmetric matrix (n, n) whose upper triangle `packed` is."""
    S, start = np.empty((n, n)), 0
    for i in range(n):
        S[i, i:] = S[i:, i] = packed[start : start + n - i]
        start += n - i
    return S
