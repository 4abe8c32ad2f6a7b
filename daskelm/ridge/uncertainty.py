"""Standard deviations of predictions: the Bayesian linear model on H, from the sums alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from ..exceptions import DataError
from .cholesky import CholeskyFactor
from .eigen import EigenFactor
from .moments import Moments
from .solve import Solution

__all__ = ["Uncertainty"]


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Standard deviations of new observations, given the layer and the penalty.

    With A = HH + alpha I about the means and h~ = h - mean_H, a new observation has the variance
    s2 (1 + 1 / n + h~' A^-1 h~): its own noise, that of the mean, and that of the weights. s2 = RSS / (n - dof) with
    dof = trace(HH A^-1) + 1. Without an intercept the sums are about zero, and the terms 1 / n and + 1 are absent.

    Lindley, Smith (1972) for the model; MacKay (1992) for s2.

    mean_H : ndarray of shape (n_neurons,), means of the hidden-layer outputs
    root : ndarray of shape (n_neurons, rank), R with RR' = A^-1, without the directions that the solver left out as
        rounding; where targets have penalties of their own, eigenvectors of HH
    shares : ndarray of shape (rank, n_targets), what each eigenvector adds for the penalty of each target; None where
        all have the same
    noise : ndarray of shape (n_targets,), noise s of each target
    least : float, 1 + 1 / n, or 1 without an intercept
    """

    mean_H: np.ndarray
    root: np.ndarray
    shares: np.ndarray | None
    noise: np.ndarray
    least: float

    @classmethod
    def of(cls, moments: Moments, solution: Solution, squared_error: np.ndarray) -> Uncertainty:
        """Uncertainty of the model that was solved from these sums, with its squared error (n_targets,) on their rows.

        HH of the moments is overwritten.

        Raises
        ------
        DataError
            There are no more rows than degrees of freedom, so that the noise cannot be estimated.
        """
        alpha = np.asarray(solution.alpha)
        if alpha.ndim:
            eigen = EigenFactor(moments.HH, overwrite=True)
            shifted = eigen.values[:, None] + alpha
            root, shares = (
                eigen.vectors,
                np.divide(1.0, shifted, where=shifted > eigen.noise, out=np.zeros_like(shifted)),
            )
            dof = eigen.values @ shares
        else:
            root, shares = _inverse_root(moments.HH, float(alpha)), None
            # trace(HH A^-1) = rank - alpha trace(A^-1).
            dof = np.array([max(root.shape[1] - float(alpha) * np.square(root).sum(), 0.0)])
        dof = dof + moments.centred
        left = moments.n - dof
        if (left <= 1e-9 * moments.n).any():
            raise DataError(
                "return_std needs more rows than degrees of freedom to estimate the noise; got rows whose "
                f"weights sum to {moments.n:g} and {dof.max():.6g} degrees of freedom. Use a larger alpha, fewer "
                "neurons, or more rows; weights count rows here, so multiply them to sum to the number of rows."
            )
        noise = np.sqrt(squared_error / left)
        return cls(moments.mean_H, root, shares, noise, 1 + moments.centred / moments.n)

    def __call__(self, H: np.ndarray) -> np.ndarray:
        """Standard deviations (rows, n_targets), float64, for H (rows, n_neurons), float64, which is overwritten."""
        H -= self.mean_H
        Z = H @ self.root
        if self.shares is None:
            spread = np.sqrt(self.least + np.einsum("ij,ij->i", Z, Z))[:, None]
        else:
            spread = np.sqrt(self.least + np.square(Z, out=Z) @ self.shares)
        return spread * self.noise


def _inverse_root(HH, alpha):
    """R with RR' = (HH + alpha I)^-1, or the pseudo-inverse where the solver computes the solution of least norm.

    It takes the place of HH.
    """
    cholesky = CholeskyFactor(HH, alpha, overwrite=True)
    if cholesky.safe:
        root = lapack.dtrtri(cholesky.U, overwrite_c=True)[0]
        for column in range(len(root)):
            # LAPACK leaves entries of HH below the diagonal of the factor.
            root[column + 1 :, column] = 0
        return root
    cholesky.restore()
    eigen = EigenFactor(HH, overwrite=True)
    shifted, kept = eigen.shifted(alpha)
    root = eigen.vectors[:, len(kept) - np.count_nonzero(kept) :]
    root /= np.sqrt(shifted[kept])
    return root
