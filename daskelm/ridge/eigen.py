"""Ridge solution of least norm by eigen-decomposition, which serves every penalty, and the penalty chosen by GCV."""

from __future__ import annotations

import math

import numpy as np

from ..blas import eigenvectors
from ..cluster.client import this_process
from ..exceptions import DataError
from .moments import EPS, Moments, Weights

__all__ = ["DOF_CHARGE", "GCV_GRID", "MAX_DOF", "EigenFactor", "check_counts", "solve_by_eigenvectors"]

# GCV's candidate penalties, relative to trace(HH) / L. A quarter of a decade is fine enough: the criterion is flat near
# its minimum.
GCV_GRID = 10.0 ** np.arange(-12, 6.01, 0.25)
# With more degrees of freedom than this fraction of the rows the criterion degenerates: leverages reach 1 and it
# prefers no penalty at all.
MAX_DOF = 0.98
# Each degree of freedom counts this many times. Counted once, the criterion of small tables has a second, false minimum
# where there are nearly as many degrees of freedom as rows: on iris, the error was 1.17 times that of linear ridge over
# forty splits; with 1.2 it is 0.29, and other tables change by less than 4 % (docs/measurements.md, "Penalty").
DOF_CHARGE = 1.2
# Bytes of work of an eigen-decomposition from which on free memory decides how it is done.
_LARGE_BYTES = 256 * 2**20


def check_counts(n: float) -> None:
    """Refuse rows whose weights sum to less than 2, for which generalised cross-validation is meaningless."""
    if n < 2:
        raise DataError(
            f"alpha='gcv' needs rows whose weights sum to at least 2; got {n:g}, from one sample or from weights "
            "scaled to a small sum. Weights count rows here: multiply them so that they sum to the number of rows, "
            "or give alpha as a number."
        )


class EigenFactor:
    """Eigen-decomposition HH = V diag(values) V', for every alpha; eigenvalues within rounding of zero are set to 0.

    With `overwrite`, V takes the place of HH.
    """

    def __init__(self, HH: np.ndarray, *, overwrite: bool = False):
        A = HH if overwrite and HH.flags.c_contiguous and HH.flags.writeable else np.array(HH, order="C")
        self.values, self.vectors = eigenvectors(A, room=_room(len(A)))
        self.noise = len(HH) * EPS * max(self.values[-1], 0.0)
        self.values = np.where(self.values > self.noise, self.values, 0.0)

    def shifted(self, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues of HH + alpha I, and a mask of those above rounding."""
        shifted = self.values + alpha
        return shifted, shifted > self.noise

    def solve(self, HT: np.ndarray, alpha: float) -> np.ndarray:
        """Solution of least norm (n_neurons, n_targets)."""
        shifted, kept = self.shifted(alpha)
        # Values ascend, so that those kept are the last ones, and their vectors need no copy.
        V = self.vectors[:, len(kept) - np.count_nonzero(kept) :]
        return V @ ((V.T @ HT) / shifted[kept, None])

    def weights(self, HT: np.ndarray, alpha: float) -> Weights:
        """The solution of least norm with its rank and the condition number of the directions kept, in the 2-norm."""
        shifted, kept = self.shifted(alpha)
        condition = float(shifted[-1] / shifted[kept].min()) if kept.any() else math.inf
        return Weights(self.solve(HT, alpha), int(kept.sum()), condition)

    def gcv(self, moments: Moments) -> float:
        """Penalty with the least generalised cross-validation error, on a fixed grid relative to trace(HH) / L.

        GCV(alpha) = sum over targets of [RSS / TT] / n / (1 - 1.2 dof / n)^2, with dof = sum values / (values + alpha),
        one more for the intercept, and n the sum of sample weights, or the number of rows if that is less. Candidates
        with 1.2 dof above 98 % of n, or too small to lift HH + alpha I above rounding, are refused.

        Craven, Wahba (1979); Golub, Heath, Wahba (1979). The factor: Cummins, Filloon, Nychka (2001); Kim, Gu (2004).
        """
        n = moments.n_rows
        check_counts(n)
        trace = self.values.sum()
        if trace == 0:
            return 1.0
        grid = GCV_GRID * trace / len(self.values)
        squares = np.square(self.vectors.T @ moments.HT)
        informative = moments.informative
        squares = (squares[:, informative] / moments.TT[informative]).sum(axis=1)
        total = max(int(np.count_nonzero(informative)), 1)
        shifted = self.values + grid[:, None]
        dof = DOF_CHARGE * ((self.values / shifted).sum(axis=1) + moments.centred)
        explained = (squares * (self.values + 2 * grid[:, None]) / np.square(shifted)).sum(axis=1)
        error = np.maximum(total - explained, moments.unresolved * total)
        allowed = (dof <= MAX_DOF * n) & (grid > self.noise) & (grid >= moments.least_alpha)
        if not allowed.any():
            return float(grid[-1])
        criterion = np.full(len(grid), np.inf)
        criterion[allowed] = (error / n / np.square(1 - dof / n, where=dof < n, out=np.ones_like(dof)))[allowed]
        return float(grid[np.argmin(criterion)])


def _room(n: int) -> int | None:
    """Bytes that are free in this process, for the work of a large matrix; None for a small one, or without a limit."""
    if 16 * n**2 < _LARGE_BYTES or not (limit := this_process().memory):
        return None
    import psutil

    return max(limit - psutil.Process().memory_info().rss, 0)


def solve_by_eigenvectors(moments: Moments, alpha: float) -> Weights:
    """The solution of least norm, without the directions of HH + alpha I that are within rounding of zero."""
    return EigenFactor(moments.HH).weights(moments.HT, alpha)
