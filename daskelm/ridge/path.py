"""Ridge regressions for many penalties and many leading numbers of neurons at once, by factorisations they share."""

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

# What an eigen-decomposition costs in Cholesky factorisations of the same size: 16 to 20 were measured for 300 to 2,000
# neurons.
_EIGEN_COST = 20.0


def nested(moments: Moments, order: np.ndarray) -> Moments:
    """The same with the neurons in another order (n_neurons,)."""
    return replace(moments, HH=moments.HH[np.ix_(order, order)], HT=moments.HT[order], mean_H=moments.mean_H[order])


def default_alphas(HH: np.ndarray) -> np.ndarray:
    """The penalties that are tried if none are given: `alpha="gcv"`'s, relative to trace(HH) / L, above rounding.

    Parameters
    ----------
    HH : ndarray of shape (n_neurons, n_neurons)
        About the means, of all rows.

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

    `inverse`: with that, the inverse of the factor is needed too; `n_rows`: and the factor is solved for so many rows,
    or their products with the eigenvectors taken, which is 3 / k of a factorisation of size k for each, or twice that.
    """
    largest = float(max(sizes))
    of_cholesky = n_alphas * (largest**3 * (2 if inverse else 1) + 3.0 * n_rows * largest**2)
    return sum(_EIGEN_COST * float(size) ** 3 + 6.0 * n_rows * float(size) ** 2 for size in set(sizes)) < of_cholesky


class RidgePath:
    """B for any penalty and several leading numbers of neurons.

    The leading block of a Cholesky factor is the factor of the leading block, so one factor of HH + alpha I serves all
    sizes: one forward substitution, and one back-substitution with a right side for each size, which is zero from its
    last neuron on, and so is the solution. Where that is not safe, and where it is more work, there is one
    eigen-decomposition for each size, which serves all penalties.

    Parameters
    ----------
    moments : Moments
        Sums, the neurons in nested order.
    sizes : sequence of int
        Numbers of leading neurons.
    eigen : bool
        Whether to use eigen-decompositions alone.
    """

    def __init__(self, moments: Moments, sizes: Sequence[int], *, eigen: bool):
        self.moments, self.sizes, self.eigen = moments, tuple(sizes), eigen
        self._factors: dict[int, EigenFactor] = {}
        # Of each size the penalty from which on Cholesky is known to be safe, and up to which it is known not to be.
        self._safe = dict.fromkeys(self.sizes, np.inf)
        self._unsafe = dict.fromkeys(self.sizes, -np.inf)

    def factor(self, size: int) -> EigenFactor:
        """The eigen-decomposition of the first `size` neurons, made once."""
        if size not in self._factors:
            self._factors[size] = EigenFactor(np.ascontiguousarray(self.moments.HH[:size, :size]))
        return self._factors[size]

    def cholesky(self, alpha: float) -> CholeskyFactor | None:
        """The factor of all neurons up to the largest size, if it is safe for all sizes."""
        largest = max(self.sizes)
        if self.eigen or alpha <= self._unsafe[largest]:
            return None
        factor = CholeskyFactor(self.moments.HH[:largest, :largest], alpha)
        # HH + alpha I is the better conditioned the larger alpha is, and its leading blocks are so too: eigenvalues
        # interlace (Cauchy).
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
        """B (n_neurons, n_sizes, n_targets), zero from the last neuron of each size on."""
        L, c = self.moments.HT.shape
        B = np.zeros((L, len(self.sizes), c))
        factor = self.cholesky(alpha)
        if factor is not None:
            B[: len(factor.U)] = self.back_substituted(factor, self.forward_substituted(factor))
            return B
        for i, size in enumerate(self.sizes):
            # What the plain estimator does with these neurons alone.
            if not self.eigen and self.is_safe(size, alpha):
                B[:size, i] = CholeskyFactor(self.moments.HH[:size, :size], alpha).solve(self.moments.HT[:size])
            else:
                B[:size, i] = self.factor(size).solve(self.moments.HT[:size], alpha)
        return B

    def forward_substituted(self, factor: CholeskyFactor) -> np.ndarray:
        """U'^-1 HT (largest size, n_targets): its leading rows serve every size."""
        return blas.dtrsm(1.0, factor.U, self.moments.HT[: len(factor.U)], trans_a=1)

    def back_substituted(self, factor: CholeskyFactor, z: np.ndarray) -> np.ndarray:
        """B (largest size, n_sizes, n_targets) from `forward_substituted`."""
        inside = np.arange(len(z))[:, None] < np.array(self.sizes)
        sides = (z[:, None, :] * inside[:, :, None]).reshape(len(z), -1)
        return blas.dtrsm(1.0, factor.U, sides).reshape(len(z), len(self.sizes), -1)


@dataclass(frozen=True, eq=False)
class GcvErrors:
    """Generalised cross-validation of a path, extended to sizes: sums of squares, degrees of freedom, what is allowed.

    The criterion is that of `alpha="gcv"`: see `EigenFactor.gcv`.

    Parameters
    ----------
    squares : ndarray of shape (n_alphas, n_sizes, n_targets)
        Sum of squared residuals on the rows themselves.
    dof : ndarray of shape (n_alphas, n_sizes)
        Degrees of freedom, charged 1.2 times, one for the intercept.
    allowed : ndarray of shape (n_alphas, n_sizes), bool
        Whether they are at most 98 % of the rows, and nothing was lost in rounding.
    moments : Moments
        What they are of.
    """

    squares: np.ndarray
    dof: np.ndarray
    allowed: np.ndarray
    moments: Moments

    @classmethod
    def of(cls, path: RidgePath, alphas: Sequence[float], done: Callable[[int], None] = lambda n: None) -> GcvErrors:
        """By one Cholesky factor and its inverse for each penalty, or one eigen-decomposition for each size.

        `done` is called with the number of models of each penalty.
        """
        moments, sizes = path.moments, np.array(path.sizes)
        check_counts(moments.n)
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
        return cls(squares, dof, resolved & (dof <= MAX_DOF * moments.n), moments)

    @staticmethod
    def _by_eigen(factor, moments, size, alpha):
        shifted, kept = factor.shifted(alpha)
        values, shifted = factor.values[kept], shifted[kept]
        projected = np.square(factor.vectors[:, kept].T @ moments.HT[:size])
        explained = ((values + 2 * alpha) / np.square(shifted)) @ projected
        return moments.TT - explained, (values / shifted).sum(), kept.all()

    @cached_property
    def inflation(self) -> np.ndarray:
        """By what (n_alphas, n_sizes) errors on new rows are estimated to be larger; NaN where refused."""
        n = self.moments.n
        return np.where(self.allowed, 1 / np.square(1 - np.minimum(self.dof, MAX_DOF * n) / n), np.nan)

    @property
    def inflated(self) -> np.ndarray:
        """Estimated sums of squared errors (n_alphas, n_sizes, n_targets) on new rows; NaN where refused."""
        return self.squares * self.inflation[:, :, None]
