"""One BLAS routine in place and without the interpreter's lock: HH += H'H on one triangle."""

from __future__ import annotations

import ctypes

import numpy as np
from scipy.linalg import cython_blas

from .unlocked import unlocked

__all__ = ["add_gram", "is_joined"]


_INT, _DOUBLE, _CHAR = ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_double), ctypes.c_char_p
_dsyrk = unlocked(
    cython_blas, "dsyrk", _CHAR, _CHAR, _INT, _INT, _DOUBLE, ctypes.c_void_p, _INT, _DOUBLE, ctypes.c_void_p, _INT
)


def add_gram(H: np.ndarray, HH: np.ndarray) -> None:
    """Add H'H to the upper triangle of HH, in place.

    Parameters
    ----------
    H : ndarray of shape (rows, n_neurons), float64, C-contiguous
        Hidden-layer outputs.
    HH : ndarray of shape (n_neurons, n_neurons), float64, C-contiguous
        Accumulator; its lower triangle is neither read nor written.
    """
    rows, n = H.shape
    for array in (H, HH):
        if array.dtype != np.float64 or not array.flags.c_contiguous:
            raise TypeError(f"add_gram takes C-contiguous float64 arrays; got {array.dtype}, {array.strides}.")
    if HH.shape != (n, n) or not HH.flags.writeable:
        raise TypeError(f"add_gram: HH must be a writable array of shape {(n, n)}; got {HH.shape}.")
    if not rows or not n:
        return
    size, one = ctypes.c_int(n), ctypes.c_double(1.0)
    # Read by columns, as BLAS does, H is H' and the upper triangle of HH is the lower one.
    _dsyrk(b"L", b"N", size, ctypes.c_int(rows), one, H.ctypes.data, size, one, HH.ctypes.data, size)


def is_joined(n_neurons: int, n_targets: int) -> bool:
    """Whether T stands beside H in one matrix, whose Gram matrix holds HH, HT and TT at once.

    A product with few columns of T alone is bound by reading H once more; with many, T'T would be too much waste.
    """
    return n_targets <= max(8, n_neurons // 8)
