"""One LAPACK routine in place and without the interpreter's lock: A = U'U."""

from __future__ import annotations

import ctypes

import numpy as np
from scipy.linalg import cython_lapack

__all__ = ["factorise"]


def _function(name, *argtypes):
    """C function behind SciPy's public Cython LAPACK; ctypes releases the GIL around it, SciPy's wrappers do not."""
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    capsule = cython_lapack.__pyx_capi__[name]
    pointer = api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
    return ctypes.CFUNCTYPE(None, *argtypes)(pointer)


_INT = ctypes.POINTER(ctypes.c_int)
_dpotrf = _function("dpotrf", ctypes.c_char_p, _INT, ctypes.c_void_p, _INT, _INT)


def factorise(A: np.ndarray) -> np.ndarray | None:
    """Cholesky factor of a symmetric matrix, in its place.

    NumPy's releases the interpreter's lock too, but copies twice against the order of memory: for 1,000 rows it takes
    twice as long.

    Parameters
    ----------
    A : ndarray of shape (n, n), float64, C-contiguous
        Is used up.

    Returns
    -------
    ndarray of shape (n, n), in the order of columns, or None
        U, with what there was below its diagonal; None if A is not positive definite.
    """
    if A.dtype != np.float64 or not A.flags.c_contiguous or not A.flags.writeable or A.shape != (len(A), len(A)):
        raise TypeError(f"factorise takes a writable square C-contiguous float64 array; got {A.dtype}, {A.shape}.")
    size, info = ctypes.c_int(len(A)), ctypes.c_int(0)
    # Read by columns, as LAPACK does, A is A', which is the same matrix.
    _dpotrf(b"U", size, A.ctypes.data, size, info)
    return None if info.value else A.T
