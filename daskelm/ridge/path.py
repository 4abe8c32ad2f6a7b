"""Ridge regressions for many penalties and many numbers of leading neurons, from factorisations that they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import blas, lapack

from .cholesky import CholeskyFactor
from .eigen import DOF_CHARGE, GCV_GRID, MAX_DOF, EigenFactor, check_counts
from .moments import Moments

__all__ = ["GcvErrors", "RidgePath", "by_eigen", "default_alphas", "nested"]

# Cost of an eigen-decomposition in Cholesky factorisations of the same size: 16 to 20 were measured for 300 to 2,000
# neurons.
_EIGEN_COST = 20.0


def nested(moments: Moments, order: np.ndarray) -> Moments:
    """Moments with the neurons in another order (n_neurons,)."""
    return replace(moments, HH=moments.HH[np.ix_(order, order)], HT=moments.HT[order], mean_H=moments.mean_H[order])


def default_alphas(HH: np.ndarray) -> np.ndarray:
    """Default grid of penalties: that of `alpha="gcv"`, relative to trace(HH) / L, above rounding.

    Parameters
    ----------
    HH : ndarray of shape (n_neurons, n_neurons)
        Centred sums over all rows.

    Returns
    -------
    ndarray of shape (n_alphas,)
    """
    n, trace = len(HH), float(np.trace(HH))
    if trace <= 0:
        return np.ones(1)
    if n <= 100:
        largest = float(np.linalg.eigvalsh(HH)[-1])
    else:
        from scipy.sparse.linalg import eigsh

        largest = float(eigsh(HH, k=1, v0=np.ones(n), tol=1e-3, return_eigenvectors=False)[0])
    grid = GCV_GRID * trace / n
    return grid[grid > n * np.finfo(np.float64).eps * largest]


def by_eigen(sizes: Sequence[int], n_alphas: int, *, inverse: bool = False, n_rows: int = 0) -> bool:
    """Whether an eigen-decomposition for each size is less work than a Cholesky factor for each penalty.

    `inverse`: the inverse of the Cholesky factor is needed too. `n_rows`: the factor is solved for this many rows, or
    they are multiplied by the eigenvectors; for size k, that costs 3 / k of a factorisation per row, or twice that.
    """
    largest = float(max(sizes))
    of_cholesky = n_alphas * (largest**3 * (2 if inverse else 1) + 3.0 * n_rows * largest**2)
    return sum(_EIGEN_COST * float(size) ** 3 + 6.0 * n_rows * float(size) ** 2 for size in set(sizes)) < of_cholesky


class RidgePath:
    """Output weights B for any penalty and several numbers of leading neurons.

    The leading block of a Cholesky factor is the factor of the leading block, so one factor of HH + alpha I serves all
    sizes: one forward substitution, and one back-substitution with a right side per size. Right side and solution are
    zero beyond the last neuron of that size. Where this is not safe, or is more work, one eigen-decomposition per size
    serves all penalties.

    Parameters
    ----------
    moments : Moments
        Sums with the neurons in nested order.
    sizes : sequence of int
        Numbers of leading neurons.
    eigen : bool
        Whether to use only eigen-decompositions.
    """

    def __init__(self, moments: Moments, sizes: Sequence[int], *, eigen: bool):
        self.moments, self.sizes, self.eigen = moments, tuple(sizes), eigen
        self._factors: dict[int, EigenFactor] = {}
        # Per size: the smallest penalty known to be safe for Cholesky, and the largest known to be unsafe.
        self._safe = dict.fromkeys(self.sizes, np.inf)
        self._unsafe = dict.fromkeys(self.sizes, -np.inf)

    def factor(self, size: int) -> EigenFactor:
        """The eigen-decomposition of the first `size` neurons, computed once."""
        if size not in self._factors:
            self._factors[size] = EigenFactor(np.ascontiguousarray(self.moments.HH[:size, :size]))
        return self._factors[size]

    def cholesky(self, alpha: float) -> CholeskyFactor | None:
        """The Cholesky factor of the largest size, if it is safe for all sizes."""
        largest = max(self.sizes)
        if self.eigen or alpha <= self._unsafe[largest]:
            return None
        factor = CholeskyFactor(self.moments.HH[:largest, :largest], alpha)
        # A larger alpha conditions HH + alpha I better, and leading blocks are better conditioned than the whole:
        # eigenvalues interlace (Cauchy).
        if factor.exists and (alpha >= self._safe[largest] or factor.safe):
            self._note(largest, alpha, True)
            return factor
        self._note(largest, alpha, False)
        return None

    def _note(self, size, alpha, safe):
        if safe:
            self._safe[size] = min(self._safe[size], alpha)
        else:
            self._unsafe[size] = max(self._unsafe[size], alpha)

    def is_safe(self, size: int, alpha: float) -> bool:
        """Whether HH + alpha I of the first `size` neurons is safely positive definite."""
        if not self._unsafe[size] < alpha < self._safe[size]:
            return alpha >= self._safe[size]
        safe = CholeskyFactor(np.ascontiguousarray(self.moments.HH[:size, :size]), alpha).safe
        self._note(size, alpha, safe)
        return safe

    def coefficients(self, alpha: float) -> np.ndarray:
        """B (n_neurons, n_sizes, n_targets), zero beyond the last neuron of each size."""
        L, c = self.moments.HT.shape
        B = np.zeros((L, len(self.sizes), c))
        factor = self.cholesky(alpha)
        if factor is not None:
            B[: len(factor.U)] = self.back_substituted(factor, self.forward_substituted(factor))
            return B
        for i, size in enumerate(self.sizes):
            # The same choice as in an estimator that has only these neurons.
            if not self.eigen and self.is_safe(size, alpha):
                B[:size, i] = CholeskyFactor(self.moments.HH[:size, :size], alpha).solve(self.moments.HT[:size])
            else:
                B[:size, i] = self.factor(size).solve(self.moments.HT[:size], alpha)
        return B

    def forward_substituted(self, factor: CholeskyFactor) -> np.ndarray:
        """U'^-1 HT (largest size, n_targets), whose leading rows serve every size."""
        return blas.dtrsm(1.0, factor.U, self.moments.HT[: len(factor.U)], trans_a=1)

    def back_substituted(self, factor: CholeskyFactor, z: np.ndarray) -> np.ndarray:
        """B (largest size, n_sizes, n_targets) from `forward_substituted`."""
        inside = np.arange(len(z))[:, None] < np.array(self.sizes)
        sides = (z[:, None, :] * inside[:, :, None]).reshape(len(z), -1)
        return blas.dtrsm(1.0, factor.U, sides).reshape(len(z), len(self.sizes), -1)


@dataclass(frozen=True, eq=False)
class GcvErrors:
    """Generalised cross-validation of a path, for all penalties and sizes; the criterion is that of `EigenFactor.gcv`.

    Parameters
    ----------
    squares : ndarray of shape (n_alphas, n_sizes, n_targets)
        Sums of squared residuals on the training rows.
    dof : ndarray of shape (n_alphas, n_sizes)
        1.2 times the degrees of freedom, including one for the intercept.
    allowed : ndarray of shape (n_alphas, n_sizes), bool
        Whether `dof` is at most 98 % of the rows, and no direction is within rounding of zero.
    moments : Moments
        Sums over the training rows.
    """

    squares: np.ndarray
    dof: np.ndarray
    allowed: np.ndarray
    moments: Moments

    @classmethod
    def of(cls, path: RidgePath, alphas: Sequence[float], done: Callable[[int], None] = lambda n: None) -> GcvErrors:
        """Evaluate a grid by one Cholesky factor and its inverse per penalty, or one eigen-decomposition per size.

        `done` is called with the number of models of each penalty.
        """
        moments, sizes = path.moments, np.array(path.sizes)
        check_counts(moments.n_rows)
        squares = np.empty((len(alphas), len(sizes), len(moments.TT)))
        dof = np.empty(squares.shape[:2])
        resolved = np.ones(dof.shape, bool)
        for a, alpha in enumerate(alphas):
            factor = path.cholesky(alpha)
            if factor is None:
                for i, size in enumerate(path.sizes):
                    squares[a, i], dof[a, i], resolved[a, i] = cls._by_eigen(path.factor(size), moments, size, alpha)
                done(len(sizes))
                continue
            z = path.forward_substituted(factor)
            B = path.back_substituted(factor, z)
            explained = np.cumsum(np.square(z), axis=0)[sizes - 1] + alpha * np.square(B).sum(axis=0)
            squares[a] = moments.TT - explained
            # trace HH (HH + alpha I)^-1 = k - alpha trace (HH + alpha I)^-1, the latter from the inverse factor.
            inverse, _ = lapack.dtrtri(factor.U)
            columns = np.square(np.triu(inverse)).sum(axis=0)
            dof[a] = sizes - alpha * np.cumsum(columns)[sizes - 1]
            done(len(sizes))
        squares = np.maximum(squares, moments.unresolved * moments.TT)
        dof = DOF_CHARGE * (dof + moments.centred)
        return cls(squares, dof, resolved & (dof <= MAX_DOF * moments.n_rows), moments)

    @staticmethod
    def _by_eigen(factor, moments, size, alpha):
        shifted, kept = factor.shifted(alpha)
        values, shifted = factor.values[kept], shifted[kept]
        projected = np.square(factor.vectors[:, kept].T @ moments.HT[:size])
        explained = ((values + 2 * alpha) / np.square(shifted)) @ projected
        return moments.TT - explained, (values / shifted).sum(), kept.all()

    @cached_property
    def inflation(self) -> np.ndarray:
        """Factor (n_alphas, n_sizes) by which errors on new rows exceed those on training rows; NaN where refused."""
        n = self.moments.n_rows
        return np.where(self.allowed, 1 / np.square(1 - np.minimum(self.dof, MAX_DOF * n) / n), np.nan)

    @property
    def inflated(self) -> np.ndarray:
        """Estimated sums of squared errors (n_alphas, n_sizes, n_targets) on new rows; NaN where refused."""
        return self.squares * self.inflation[:, :, None]
