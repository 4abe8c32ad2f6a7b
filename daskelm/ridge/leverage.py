"""Leverages and outputs of rows for a grid of penalties and sizes, from factorisations that candidates share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..blas import solve_triangular_rows
from .path import RidgePath

__all__ = ["LEAST_LEFT", "CholeskyLeverage", "EigenLeverage", "factor_bytes", "loo_factors"]

# Smallest 1 - leverage. A row that determines more than 99.9 % of its own output is fitted by neurons of its own; they
# have no data without it, and dividing by what rounding leaves of zero would give an arbitrary number.
LEAST_LEFT = 1e-3


@dataclass(frozen=True, eq=False)
class CholeskyLeverage:
    """Leverages for one penalty and all sizes, by one Cholesky factor.

    With HH + alpha I = U'U and v = U'^-1 h, the leverage of the first k neurons is the sum of the first k squares of v,
    and the outputs are the sum of the first k terms of v'z, z = U'^-1 HT: one triangular solve serves all sizes.

    Parameters
    ----------
    candidates : ndarray of shape (n_sizes,), int
        Positions of these candidates in the flat grid, penalties first.
    sizes : ndarray of shape (n_sizes,), int
        Numbers of leading neurons.
    U : ndarray of shape (largest size, largest size)
        Cholesky factor, Fortran-contiguous.
    z : ndarray of shape (largest size, n_targets)
        U'^-1 HT.
    """

    candidates: np.ndarray
    sizes: np.ndarray
    U: np.ndarray
    z: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes of the factor."""
        return self.U.nbytes + self.z.nbytes

    def __call__(self, H: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Leverages (rows, n_sizes) and outputs (rows, n_sizes, n_targets) for H (rows, largest size), centred."""
        V = H.copy()
        solve_triangular_rows(V, self.U)
        ends, inverse = np.unique(self.sizes, return_inverse=True)
        leverages, outputs = np.empty((len(V), len(ends))), np.empty((len(V), len(ends), self.z.shape[1]))
        for i, (start, end) in enumerate(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)):
            part = V[:, start:end]
            leverages[:, i] = np.einsum("ij,ij->i", part, part)
            outputs[:, i] = part @ self.z[start:end]
        np.cumsum(leverages, axis=1, out=leverages)
        np.cumsum(outputs, axis=1, out=outputs)
        return leverages[:, inverse], outputs[:, inverse]


@dataclass(frozen=True, eq=False)
class EigenLeverage:
    """Leverages for several penalties and one size, by one eigen-decomposition.

    With HH = V diag(values) V' and p = V'h, the leverage is the sum of p^2 / (values + alpha).

    Parameters
    ----------
    candidates : ndarray of shape (n_alphas,), int
        Positions of these candidates in the flat grid, penalties first.
    vectors : ndarray of shape (size, size)
        V.
    weights : ndarray of shape (size, n_alphas)
        1 / (values + alpha), 0 where values + alpha is rounding.
    coef : ndarray of shape (size, n_alphas, n_targets)
        Output weights in the basis V: `weights` times V'HT.
    """

    candidates: np.ndarray
    vectors: np.ndarray
    weights: np.ndarray
    coef: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes of the factor."""
        return self.vectors.nbytes + self.weights.nbytes + self.coef.nbytes

    def __call__(self, H: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Leverages (rows, n_alphas) and outputs (rows, n_alphas, n_targets) for H (rows, largest size), centred."""
        P = H[:, : len(self.vectors)] @ self.vectors
        outputs = (P @ self.coef.reshape(len(self.coef), -1)).reshape(len(P), *self.coef.shape[1:])
        return np.square(P, out=P) @ self.weights, outputs


def loo_factors(
    path: RidgePath, alphas: Sequence[float], done: Callable[[int], None] = lambda n: None
) -> list[CholeskyLeverage | EigenLeverage]:
    """Leverages of a whole grid: one factor per penalty where Cholesky is safe, else one per size.

    Parameters
    ----------
    path : RidgePath
        Sums, sizes, and whether eigen-decompositions alone are less work.
    alphas : sequence of float
        Penalties. Those for which Cholesky is not safe use eigen-decompositions, as in `solve`.
    done : callable
        Called with the number of models that each factor serves.
    """
    sizes, HT = np.array(path.sizes), path.moments.HT
    factors: list[CholeskyLeverage | EigenLeverage] = []
    rest = []
    for a, alpha in enumerate(alphas):
        if (factor := path.cholesky(alpha)) is None:
            rest.append(a)
        else:
            candidates = a * len(sizes) + np.arange(len(sizes))
            factors.append(CholeskyLeverage(candidates, sizes, factor.U, path.forward_substituted(factor)))
            done(len(sizes))
    for s, size in enumerate(path.sizes if rest else ()):
        eigen = path.factor(size)
        weights = np.zeros((size, len(rest)))
        for i, a in enumerate(rest):
            shifted, kept = eigen.shifted(alphas[a])
            weights[kept, i] = 1 / shifted[kept]
        coef = weights[:, :, None] * (eigen.vectors.T @ HT[:size])[:, None]
        factors.append(EigenLeverage(np.array(rest) * len(sizes) + s, eigen.vectors, weights, coef))
        done(len(rest))
    return factors


def factor_bytes(sizes: Sequence[int], n_alphas: int, n_targets: int, *, eigen: bool) -> int:
    """Largest number of bytes that the result of `loo_factors` can take."""
    largest = max(sizes)
    of_eigen = sum(size**2 + size * n_alphas * (1 + n_targets) for size in sizes)
    return 8 * (of_eigen + (0 if eigen else n_alphas * largest * (largest + n_targets)))
