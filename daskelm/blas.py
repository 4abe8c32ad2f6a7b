"""BLAS and LAPACK in place and without the GIL: sums of H'H, xy' + yx', H - 1r', H U^-1, Cholesky, eigenvectors."""

from __future__ import annotations

import ctypes
from types import ModuleType

import numpy as np
from scipy.linalg import cython_blas, cython_lapack

__all__ = [
    "add_gram",
    "add_outer",
    "add_outer_packed",
    "eigenvectors",
    "factorise",
    "solve_triangular_rows",
    "subtract_row",
]


def _without_gil(module: ModuleType, name: str, *argtypes):
    """A function of scipy.linalg.cython_blas or cython_lapack; ctypes releases the GIL, SciPy's wrappers hold it.

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


_INT, _CHAR, _ARRAY = ctypes.POINTER(ctypes.c_int), ctypes.c_char_p, ctypes.c_void_p


_ONE = ctypes.POINTER(ctypes.c_double)
_dtrsm = _without_gil(cython_blas, "dtrsm", _CHAR, _CHAR, _CHAR, _CHAR, _INT, _INT, _ONE, _ARRAY, _INT, _ARRAY, _INT)
_dsyr2 = _without_gil(cython_blas, "dsyr2", _CHAR, _INT, _ONE, _ARRAY, _INT, _ARRAY, _INT, _ARRAY, _INT)
_dspr2 = _without_gil(cython_blas, "dspr2", _CHAR, _INT, _ONE, _ARRAY, _INT, _ARRAY, _INT, _ARRAY)
_dpotrf = _without_gil(cython_lapack, "dpotrf", _CHAR, _INT, _ARRAY, _INT, _INT)
_dsyev = _without_gil(cython_lapack, "dsyev", _CHAR, _CHAR, _INT, _ARRAY, _INT, _ARRAY, _ARRAY, _INT, _INT)
_dsyevd = _without_gil(
    cython_lapack, "dsyevd", _CHAR, _CHAR, _INT, _ARRAY, _INT, _ARRAY, _ARRAY, _INT, _ARRAY, _INT, _INT
)
# The most rows whose two squares of work LAPACK can count in 32 bits.
_MOST_ROWS = 32_000
# Numbers of work per row with which the QR method is as fast as it can be.
_QR_WORK = 66


def _syrk(name, number):
    factor = ctypes.POINTER(number)
    call = _without_gil(cython_blas, name, _CHAR, _CHAR, _INT, _INT, factor, _ARRAY, _INT, factor, _ARRAY, _INT)
    return call, number(1.0)


def _ger(name, number):
    factor = ctypes.POINTER(number)
    return _without_gil(cython_blas, name, _INT, _INT, factor, _ARRAY, _INT, _ARRAY, _INT, _ARRAY, _INT), number(-1.0)


_GER = {np.dtype(np.float64): _ger("dger", ctypes.c_double), np.dtype(np.float32): _ger("sger", ctypes.c_float)}
_SYRK = {np.dtype(np.float64): _syrk("dsyrk", ctypes.c_double), np.dtype(np.float32): _syrk("ssyrk", ctypes.c_float)}


def add_gram(H: np.ndarray, HH: np.ndarray, *, lower: bool = False) -> None:
    """Add H'H to the upper triangle of HH, or to the lower one, in place.

    Parameters
    ----------
    H : ndarray of shape (rows, n_neurons), float64 or float32, C-contiguous
        Hidden-layer outputs.
    HH : ndarray of shape (n_neurons, n_neurons), of the same type, C-contiguous
        Accumulator; its other triangle is neither read nor written.
    lower : bool, default=False
        Whether to add to the lower triangle.
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
    syrk(b"U" if lower else b"L", b"N", size, ctypes.c_int(rows), one, H.ctypes.data, size, one, HH.ctypes.data, size)


def add_outer(x: np.ndarray, y: np.ndarray, S: np.ndarray) -> None:
    """Add xy' + yx' to the upper triangle of S, in place.

    Parameters
    ----------
    x, y : ndarray of shape (n,), float64, contiguous
        Vectors.
    S : ndarray of shape (n, n), float64, C-contiguous
        Accumulator; its lower triangle is neither read nor written.
    """
    _check_outer("add_outer", x, y, S, (len(x), len(x)))
    size, one, step = ctypes.c_int(len(x)), ctypes.c_double(1.0), ctypes.c_int(1)
    _dsyr2(b"L", size, one, x.ctypes.data, step, y.ctypes.data, step, S.ctypes.data, size)


def add_outer_packed(x: np.ndarray, y: np.ndarray, packed: np.ndarray, sign: float = 1.0) -> None:
    """Add sign (xy' + yx') to an upper triangle that is packed row by row, in place.

    Parameters
    ----------
    x, y : ndarray of shape (n,), float64, contiguous
        Vectors.
    packed : ndarray of shape (n * (n + 1) / 2,), float64, contiguous
        Packed triangle, the accumulator.
    sign : float, default=1
        Factor of what is added.
    """
    _check_outer("add_outer_packed", x, y, packed, (len(x) * (len(x) + 1) // 2,))
    size, factor, step = ctypes.c_int(len(x)), ctypes.c_double(sign), ctypes.c_int(1)
    _dspr2(b"L", size, factor, x.ctypes.data, step, y.ctypes.data, step, packed.ctypes.data)


def _check_outer(name, x, y, S, shape):
    if any(a.dtype != np.float64 or not a.flags.c_contiguous for a in (x, y, S)) or x.ndim != 1 or x.shape != y.shape:
        raise TypeError(f"{name} takes contiguous float64 arrays, x and y of one length; got {x.shape} and {y.shape}.")
    if S.shape != shape or not S.flags.writeable:
        raise TypeError(f"{name} adds to a writable array of shape {shape}; got {S.shape}.")


def subtract_row(row: np.ndarray, H: np.ndarray) -> None:
    """Subtract a row from each row of H, in place: three times as fast as NumPy where H is a slice of wider rows.

    Parameters
    ----------
    row : ndarray of shape (n,), of the type of H, contiguous
        Row to subtract.
    H : ndarray of shape (rows, n), float64 or float32
        Array to change; each row is contiguous, and rows may be apart in memory.
    """
    rows, n = H.shape
    apart, step = H.strides
    if H.dtype not in _GER or row.dtype != H.dtype or row.shape != (n,) or not row.flags.c_contiguous:
        raise TypeError(f"subtract_row takes a row of {n} as {H.dtype}; got {row.shape} as {row.dtype}.")
    if not rows or not n:
        return
    if step != H.itemsize or apart % H.itemsize or apart < n * H.itemsize or not H.flags.writeable:
        raise TypeError(f"subtract_row: H must be writable with contiguous rows; got strides {H.strides}.")
    ger, factor = _GER[H.dtype]
    ones, one, size = np.ones(rows, H.dtype), ctypes.c_int(1), ctypes.c_int(apart // H.itemsize)
    # Read by columns, as BLAS does, H is H'.
    ger(ctypes.c_int(n), ctypes.c_int(rows), factor, row.ctypes.data, one, ones.ctypes.data, one, H.ctypes.data, size)


def solve_triangular_rows(H: np.ndarray, U: np.ndarray) -> None:
    """Solve U'v = h for each row h of H, in place: H becomes H U^-1.

    Parameters
    ----------
    H : ndarray of shape (rows, n), float64, C-contiguous
        Right sides; overwritten with the solutions.
    U : ndarray of shape (n, n), float64, Fortran-contiguous
        Upper triangular factor; entries below its diagonal are not read.
    """
    rows, n = H.shape
    if H.dtype != np.float64 or not H.flags.c_contiguous or not H.flags.writeable:
        raise TypeError(
            f"solve_triangular_rows: H must be a writable C-contiguous float64 array; got {H.dtype}, {H.strides}."
        )
    if U.dtype != np.float64 or U.shape != (n, n) or not U.flags.f_contiguous:
        raise TypeError(
            f"solve_triangular_rows: U must be a Fortran-contiguous float64 array of shape {(n, n)}; got {U.shape}."
        )
    if rows and n:
        # Read by columns, as BLAS does, H is H'.
        size, one = ctypes.c_int(n), ctypes.c_double(1.0)
        _dtrsm(b"L", b"U", b"T", b"N", size, ctypes.c_int(rows), one, U.ctypes.data, size, H.ctypes.data, size)


def factorise(A: np.ndarray) -> np.ndarray | None:
    """Cholesky factor of a symmetric matrix, in place.

    NumPy's releases the GIL too, but copies twice against the order of memory: for 1,000 rows it takes twice as long.

    Parameters
    ----------
    A : ndarray of shape (n, n), float64, C-contiguous
        Matrix to factorise; overwritten.

    Returns
    -------
    ndarray of shape (n, n), Fortran-contiguous, or None
        U, with the entries of A left below its diagonal; None if A is not positive definite.
    """
    if A.dtype != np.float64 or not A.flags.c_contiguous or not A.flags.writeable or A.shape != (len(A), len(A)):
        raise TypeError(f"factorise takes a writable square C-contiguous float64 array; got {A.dtype}, {A.shape}.")
    size, info = ctypes.c_int(len(A)), ctypes.c_int(0)
    # Read by columns, as LAPACK does, A is A', which is the same matrix.
    _dpotrf(b"U", size, A.ctypes.data, size, info)
    return None if info.value else A.T


def eigenvectors(A: np.ndarray, *, room: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and eigenvectors of a symmetric matrix, in place.

    They are those of NumPy, which holds five squares at once where this holds three: the matrix, and the work of divide
    and conquer. With less room the QR method takes its place, which needs no square beside the matrix, and takes twice
    the time.

    Parameters
    ----------
    A : ndarray of shape (n, n), float64, C-contiguous
        Matrix; overwritten with the eigenvectors.
    room : int, optional
        Bytes that the work may take; without limit if not given.

    Returns
    -------
    values : ndarray of shape (n,)
        Eigenvalues, ascending.
    vectors : ndarray of shape (n, n), Fortran-contiguous
        Eigenvectors, one per column; a view of A.
    """
    if A.dtype != np.float64 or not A.flags.c_contiguous or not A.flags.writeable or A.shape != (len(A), len(A)):
        raise TypeError(f"eigenvectors takes a writable square C-contiguous float64 array; got {A.dtype}, {A.shape}.")
    n, info = len(A), ctypes.c_int(0)
    size, values = ctypes.c_int(n), np.empty(n)
    square = 1 + 6 * n + 2 * n * n
    if n <= _MOST_ROWS and (room is None or 8 * square <= room):
        work, integers = np.empty(square), np.empty(3 + 5 * n, np.int32)
        n_work, n_integers = ctypes.c_int(len(work)), ctypes.c_int(len(integers))
        places = A.ctypes.data, size, values.ctypes.data, work.ctypes.data
        _dsyevd(b"V", b"L", size, *places, n_work, integers.ctypes.data, n_integers, info)
    else:
        work = np.empty(_QR_WORK * max(n, 1))
        places = A.ctypes.data, size, values.ctypes.data, work.ctypes.data
        _dsyev(b"V", b"L", size, *places, ctypes.c_int(len(work)), info)
    if info.value:
        raise np.linalg.LinAlgError("Eigenvalues did not converge")
    return values, A.T
