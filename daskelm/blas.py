"""BLAS in place and without the interpreter's lock: HH += H'H on one triangle, and H U^-1 for a triangular U."""

from __future__ import annotations

import ctypes

import numpy as np
from scipy.linalg import cython_blas

from .unlocked import unlocked

__all__ = ["add_gram", "divide_rows", "is_joined"]


_INT, _CHAR, _ARRAY = ctypes.POINTER(ctypes.c_int), ctypes.c_char_p, ctypes.c_void_p


_ONE = ctypes.POINTER(ctypes.c_double)
_dtrsm = unlocked(cython_blas, "dtrsm", _CHAR, _CHAR, _CHAR, _CHAR, _INT, _INT, _ONE, _ARRAY, _INT, _ARRAY, _INT)


def _syrk(name, number):
    factor = ctypes.POINTER(number)
    call = unlocked(cython_blas, name, _CHAR, _CHAR, _INT, _INT, factor, _ARRAY, _INT, factor, _ARRAY, _INT)
    return call, number(1.0)


_SYRK = {np.dtype(np.float64): _syrk("dsyrk", ctypes.c_double), np.dtype(np.float32): _syrk("ssyrk", ctypes.c_float)}


def add_gram(H: np.ndarray, HH: np.ndarray) -> None:
    """Add H'H to the upper triangle of HH, in place.

    Parameters
    ----------
    H : ndarray of shape (rows, n_neurons), float64 or float32, C-contiguous
        Hidden-layer outputs.
    HH : ndarray of shape (n_neurons, n_neurons), of the same type, C-contiguous
        Accumulator; its lower triangle is neither read nor written.
    """
    rows, n = H.shape
    for array in (H, HH):
        if array.dtype not in _SYRK or array.dtype != HH.dtype or not array.flags.c_contiguous:
            raise TypeError(
                f"add_gram takes C-contiguous arrays, both float64 or both float32; got {array.dtype}, {array.strides}."
            )
    if HH.shape != (n, n) or not HH.flags.writeable:
        raise TypeError(f"add_gram: HH must be a writable array of shape {(n, n)}; got {HH.shape}.")
    if not rows or not n:
        return
    size, (syrk, one) = ctypes.c_int(n), _SYRK[H.dtype]
    # Read by columns, as BLAS does, H is H' and the upper triangle of HH is the lower one.
    syrk(b"L", b"N", size, ctypes.c_int(rows), one, H.ctypes.data, size, one, HH.ctypes.data, size)


def divide_rows(H: np.ndarray, U: np.ndarray) -> None:
    """H U^-1 in the place of H: each row h becomes the solution v of U'v = h.

    Parameters
    ----------
    H : ndarray of shape (rows, n), float64, C-contiguous
        Is overwritten.
    U : ndarray of shape (n, n), float64, in the order of columns
        Its upper triangle; what is below is not read.
    """
    rows, n = H.shape
    if H.dtype != np.float64 or not H.flags.c_contiguous or not H.flags.writeable:
        raise TypeError(f"divide_rows: H must be a writable C-contiguous float64 array; got {H.dtype}, {H.strides}.")
    if U.dtype != np.float64 or U.shape != (n, n) or not U.flags.f_contiguous:
        raise TypeError(f"divide_rows: U must be a Fortran-contiguous float64 array of shape {(n, n)}; got {U.shape}.")
    if rows and n:
        # Read by columns, as BLAS does, H is H'.
        size, one = ctypes.c_int(n), ctypes.c_double(1.0)
        _dtrsm(b"L", b"U", b"T", b"N", size, ctypes.c_int(rows), one, U.ctypes.data, size, H.ctypes.data, size)


def is_joined(n_neurons: int, n_targets: int) -> bool:
    """Whether T stands beside H in one matrix, whose Gram matrix holds HH, HT and TT at once.

    A product with few columns of T alone is bound by reading H once more; with many, T'T would be too much waste.
    """
    return n_targets <= max(8, n_neurons // 8)
