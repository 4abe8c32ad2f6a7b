"""Output weights from the sums: factorise once, solve many; Cholesky, eigen, and the penalty by GCV."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from numbers import Real

import numpy as np
from scipy.linalg import cho_solve, lapack

from .exceptions import DataError, IllConditionedWarning, ParameterError
from .lapack import factorise
from .moments import Moments
from .normal_equations import NormalEquations

__all__ = [
    "DOF_CHARGE",
    "GCV_GRID",
    "MAX_DOF",
    "CholeskyFactor",
    "EigenFactor",
    "Solution",
    "check_alpha",
    "check_counts",
    "solve",
]

EPS = np.finfo(np.float64).eps
# GCV's candidates relative to trace(HH) / L; a quarter of a decade apart, since the criterion is flat near its minimum.
GCV_GRID = 10.0 ** np.arange(-12, 6.01, 0.25)
# Above this part of the rows as degrees of freedom the criterion degenerates: leverages reach 1 and it asks for no
# penalty at all.
MAX_DOF = 0.98
# A degree of freedom is charged this often. Charged once, the criterion of small tables has a second, false minimum
# near as many degrees of freedom as rows: on iris, the error was 1.17 times that of linear ridge over forty splits;
# with 1.2 it is 0.29, and other tables change by less than 4 % (docs/design.md, "Penalty").
DOF_CHARGE = 1.2


@dataclass(frozen=True)
class Solution:
    """Output weights and what happened on the way.

    coef (n_targets, n_neurons), intercept (n_targets,), the penalty used, the rank kept and the condition number of
    HH + alpha I (an estimate in the 1-norm after Cholesky, in the 2-norm after eigen), `method`, and whether it is
    `centred`, about the means, which is to say with an intercept.
    """

    coef: np.ndarray
    intercept: np.ndarray
    alpha: float
    rank: int
    condition_number: float
    method: str
    centred: bool


def check_alpha(alpha) -> float | str:
    """The penalty, checked: a finite number >= 0 or "gcv"."""
    if isinstance(alpha, str) and alpha == "gcv":
        return alpha
    if isinstance(alpha, Real) and not isinstance(alpha, bool) and 0 <= float(alpha) < math.inf:
        return float(alpha)
    raise ParameterError(f"alpha must be a finite number >= 0, or 'gcv' to have it chosen; got {alpha!r}.")


def check_counts(n: float) -> None:
    """Refuse sums of so few rows that generalised cross-validation says nothing."""
    if n < 2:
        raise DataError(
            f"alpha='gcv' needs rows whose weights sum to at least 2; got {n:g}, from one sample or from weights "
            "scaled to a small sum. Weights count rows here: multiply them so that they sum to the number of rows, "
            "or give alpha as a number."
        )


class CholeskyFactor:
    """HH + alpha I = U'U if `exists`, with an estimate of its condition number; `safe` tells whether to rely on it."""

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
        """Whether the last pivots are more than rounding of HH itself, whatever the factorisation says."""
        return bool(self.rcond > len(self._HH) * EPS)

    def solve(self, HT: np.ndarray) -> np.ndarray:
        """(HH + alpha I)^-1 HT, shape of HT (n_neurons, n_targets)."""
        return cho_solve((self.U, False), HT, check_finite=False)


class EigenFactor:
    """HH = V diag(values) V': serves every alpha. Eigenvalues within rounding of zero count as zero."""

    def __init__(self, HH: np.ndarray):
        # By divide and conquer, as SciPy's with driver="evd", which keeps the interpreter's lock.
        self.values, self.vectors = np.linalg.eigh(HH)
        self.noise = len(HH) * EPS * max(self.values[-1], 0.0)
        self.values = np.where(self.values > self.noise, self.values, 0.0)

    def shifted(self, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        """values + alpha, and which of them are above rounding."""
        shifted = self.values + alpha
        return shifted, shifted > self.noise

    def solve(self, HT: np.ndarray, alpha: float) -> np.ndarray:
        """Solution of least norm, shape of HT (n_neurons, n_targets)."""
        shifted, kept = self.shifted(alpha)
        V = self.vectors[:, kept]
        return V @ ((V.T @ HT) / shifted[kept, None])

    def gcv(self, moments: Moments) -> float:
        """Penalty of least generalised cross-validation error on a fixed grid relative to trace(HH) / L.

        GCV(alpha) = sum over targets of [RSS / TT] / n / (1 - 1.2 dof / n)^2, with dof = sum values / (values + alpha),
        one more for the intercept, and n the sum of sample weights. Candidates with 1.2 dof above 98 % of n, or too
        small to lift HH + alpha I above rounding, are refused.

        Craven, Wahba (1979); Golub, Heath, Wahba (1979). The factor: Cummins, Filloon, Nychka (2001); Kim, Gu (2004).
        """
        n = moments.n
        check_counts(n)
        trace = self.values.sum()
        if trace == 0:
            return 1.0
        grid = GCV_GRID * trace / len(self.values)
        squares = np.square(self.vectors.T @ moments.HT)
        informative = moments.TT > 0
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


def solve(
    sums: NormalEquations, alpha: float | str = "gcv", *, fit_intercept: bool = True, warn: bool = True
) -> Solution:
    """Ridge regression from the sums: B = (HH + alpha I)^-1 HT about the means, so the intercept is not penalised.

    Parameters
    ----------
    sums : NormalEquations
        Of at least one row.
    alpha : float or "gcv"
        Penalty, in the units of HH: it weighs less the more rows there are.
    fit_intercept : bool
        Whether H and T are centred first.
    warn : bool
        Whether to warn; not where this runs beside other threads, whose warnings it would disturb.

    Returns
    -------
    Solution

    Warns
    -----
    IllConditionedWarning
        HH + alpha I was not safely positive definite and a solution of least norm was taken by eigenvectors; or the
        sums are in single precision, and alpha was raised to what covers their rounding.
    """
    alpha = check_alpha(alpha)
    if not sums.n_samples or not sums.sum_weights:
        raise DataError(
            f"nothing to solve: the sums hold {sums.n_samples} rows of weight {sums.sum_weights:g}. Add data with "
            "fit, partial_fit or accumulate first."
        )
    moments = sums.moments(centred=fit_intercept)
    if isinstance(alpha, str):
        factor = EigenFactor(moments.HH)
        return _by_eigen(factor, factor.gcv(moments), moments)
    if alpha < moments.least_alpha:
        if warn:
            warnings.warn(
                f"alpha = {alpha:g} is less than the rounding of sums in float32 needs, {moments.least_alpha:.3g}, "
                "which was used instead (alpha_ says so). Give a larger alpha, or sum in float64.",
                IllConditionedWarning,
                stacklevel=3,
            )
        alpha = moments.least_alpha
    cholesky = CholeskyFactor(moments.HH, alpha)
    if cholesky.safe:
        B = cholesky.solve(moments.HT)
        return _solution(B, moments, alpha, len(B), 1 / cholesky.rcond, "cholesky")
    solution = _by_eigen(EigenFactor(moments.HH), alpha, moments)
    if warn:
        warnings.warn(
            f"HH + alpha I is not safely positive definite (alpha = {alpha:g}, reciprocal condition number "
            f"{cholesky.rcond:.1e}); the solution of least norm, of rank {solution.rank} out of "
            f"{len(solution.coef[0])}, was taken by eigenvectors. Usual causes: duplicated neurons or inputs, fewer "
            "rows than neurons, alpha too small. Use alpha='gcv' or a larger alpha.",
            IllConditionedWarning,
            stacklevel=3,
        )
    return solution


def _by_eigen(factor, alpha, moments):
    shifted, kept = factor.shifted(alpha)
    condition = float(shifted[-1] / shifted[kept].min()) if kept.any() else math.inf
    return _solution(factor.solve(moments.HT, alpha), moments, alpha, int(kept.sum()), condition, "eigen")


def _solution(B, moments, alpha, rank, condition, method):
    intercept = moments.mean_T - moments.mean_H @ B
    return Solution(np.ascontiguousarray(B.T), intercept, alpha, rank, float(condition), method, moments.centred)
