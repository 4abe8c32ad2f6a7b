"""Ridge solution by Cholesky factorisation: the fast solver, where HH + alpha I is safely positive definite."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.linalg import cho_solve, lapack

from ..blas import factorise
from .moments import EPS, Moments, Weights
from .packed import mirror_upper

__all__ = ["CholeskyFactor", "is_far_from_singular", "one_norm", "solve_by_cholesky"]

# Rows whose absolute values are summed at once.
_NORM_ROWS = 64


class CholeskyFactor:
    """Cholesky factor U of HH + alpha I, if it `exists`, and an estimate of the condition number.

    Solutions are to be used only where the factor is `safe`.

    With `overwrite`, the factor takes the place of HH until `restore` is called: it needs one triangle, and the other
    keeps HH.
    """

    def __init__(self, HH: np.ndarray, alpha: float, *, overwrite: bool = False):
        self._far, self._norm = is_far_from_singular(HH, alpha), one_norm(HH) + alpha
        self._diagonal = np.diagonal(HH).copy()
        self._overwritten = overwrite and HH.flags.c_contiguous and HH.flags.writeable
        A = HH if self._overwritten else HH.copy()
        A.flat[:: len(A) + 1] += alpha
        U = factorise(A)
        self.exists = U is not None
        self.U = A if U is None else U

    def restore(self) -> None:
        """Put HH back in its place; the factor is gone."""
        if self._overwritten:
            # LAPACK has left the upper triangle, in the order of C.
            A = self.U if self.U.flags.c_contiguous else self.U.T
            A.flat[:: len(A) + 1] = self._diagonal
            mirror_upper(A)
            self.exists = False

    @cached_property
    def rcond(self) -> float:
        """Reciprocal condition number of HH + alpha I in the 1-norm, estimated; 0 if there is no factor."""
        return float(lapack.dpocon(self.U, self._norm)[0]) if self.exists and self._norm > 0 else 0.0

    @property
    def safe(self) -> bool:
        """Whether even the last pivots exceed the rounding of HH; a factorisation may succeed without that."""
        return self.exists and (self._far or bool(self.rcond > len(self.U) * EPS))

    def solve(self, HT: np.ndarray) -> np.ndarray:
        """(HH + alpha I)^-1 HT, shape of HT (n_neurons, n_targets)."""
        return cho_solve((self.U, False), HT, check_finite=False)


def one_norm(HH: np.ndarray) -> float:
    """The 1-norm of HH, by some rows at a time: their absolute values are no second square."""
    sums = np.zeros(len(HH))
    for i in range(0, len(HH), _NORM_ROWS):
        sums += np.abs(HH[i : i + _NORM_ROWS]).sum(axis=0)
    return float(sums.max(initial=0))


def is_far_from_singular(HH: np.ndarray, alpha: float) -> bool:
    """Whether the penalty alone makes a factor safe: a bound of the condition number, which takes no factor.

    In the 1-norm it is at most sqrt(L) (sqrt(L) trace(HH) + alpha) / alpha.
    """
    L = len(HH)
    most = np.sqrt(L) * (np.sqrt(L) * np.trace(HH) + alpha)
    return bool(alpha > L * EPS * most)


def solve_by_cholesky(moments: Moments, alpha: float) -> Weights | None:
    """The solution, with the condition number estimated in the 1-norm; None where the factor is not safe."""
    factor = CholeskyFactor(moments.HH, alpha, overwrite=True)
    try:
        return Weights(factor.solve(moments.HT), len(moments.HH), 1 / factor.rcond) if factor.safe else None
    finally:
        factor.restore()
