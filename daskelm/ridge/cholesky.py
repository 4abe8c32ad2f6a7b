"""Ridge solution by Cholesky factorisation: the fast solver, where HH + alpha I is safely positive definite."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.linalg import cho_solve, lapack

from ..blas import factorise
from .moments import EPS, Moments, Weights

__all__ = ["CholeskyFactor", "is_far_from_singular", "solve_by_cholesky"]


class CholeskyFactor:
    """Cholesky factor U of HH + alpha I, if it `exists`, and an estimate of the condition number.

    Solutions are to be used only where the factor is `safe`.
    """

    def __init__(self, HH: np.ndarray, alpha: float):
        A = HH.copy()
        A.flat[:: len(A) + 1] += alpha
        self._HH, self._alpha = HH, alpha
        U = factorise(A)
        self.exists = U is not None
        self.U = A if U is None else U

    @cached_property
    def rcond(self) -> float:
        """Reciprocal condition number of HH + alpha I in the 1-norm, estimated; 0 if there is no factor."""
        norm = np.abs(self._HH).sum(axis=0).max() + self._alpha
        return float(lapack.dpocon(self.U, norm)[0]) if self.exists and norm > 0 else 0.0

    @property
    def safe(self) -> bool:
        """Whether even the last pivots exceed the rounding of HH; a factorisation may succeed without that."""
        return self.exists and (is_far_from_singular(self._HH, self._alpha) or bool(self.rcond > len(self._HH) * EPS))

    def solve(self, HT: np.ndarray) -> np.ndarray:
        """(HH + alpha I)^-1 HT, shape of HT (n_neurons, n_targets)."""
        return cho_solve((self.U, False), HT, check_finite=False)


def is_far_from_singular(HH: np.ndarray, alpha: float) -> bool:
    """Whether the penalty alone makes a factor safe: a bound of the condition number, which takes no factor.

    In the 1-norm it is at most sqrt(L) (sqrt(L) trace(HH) + alpha) / alpha.
    """
    L = len(HH)
    most = np.sqrt(L) * (np.sqrt(L) * np.trace(HH) + alpha)
    return bool(alpha > L * EPS * most)


def solve_by_cholesky(moments: Moments, alpha: float) -> Weights | None:
    """The solution, with the condition number estimated in the 1-norm; None where the factor is not safe."""
    factor = CholeskyFactor(moments.HH, alpha)
    return Weights(factor.solve(moments.HT), len(moments.HH), 1 / factor.rcond) if factor.safe else None
