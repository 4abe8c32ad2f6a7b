"""C functions behind SciPy's public Cython BLAS and LAPACK, called without the interpreter's lock."""

from __future__ import annotations

import ctypes
from types import ModuleType

__all__ = ["unlocked"]


def unlocked(module: ModuleType, name: str, *argtypes):
    """Function of scipy.linalg.cython_blas or cython_lapack; ctypes lets go of the GIL, SciPy's wrappers hold it.

    `argtypes` are the ctypes of its arguments.
    """
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    capsule = module.__pyx_capi__[name]
    pointer = api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
    return ctypes.CFUNCTYPE(None, *argtypes)(pointer)
