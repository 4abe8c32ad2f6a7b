"""How far a new observation may lie from its prediction: the Bayesian linear model on H, from the sums alone."""

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
    dof = trace(HH A^-1) + 1. Without an intercept nothing is about means and 1 / n and + 1 are missing.

    `mean_H` (n_neurons,), `root` (n_neurons, rank) with root root' = A^-1, the `noise` s of each target (n_targets,),
    and `least`, which is 1 + 1 / n or 1. Directions that the solver left out because they are within rounding of zero
    are left out of `root` too.

    Lindley, Smith (1972) for the model; MacKay (1992) for s2.
    """

    mean_H: np.ndarray
    root: np.ndarray
    noise: np.ndarray
    least: float

    @classmethod
    def of(cls, moments: Moments, solution: Solution, squared_error: np.ndarray) -> Uncertainty:
        """Uncertainty of the model that was solved from these sums, with its squared error (n_targets,) on their rows.

        Raises
        ------
        DataError
            There are no more rows than degrees of freedom, so that nothing tells the noise.
        """
        alpha = solution.alpha
        root = _inverse_root(moments.HH, alpha)
        # trace(HH A^-1) = rank - alpha trace(A^-1).
        dof = max(root.shape[1] - alpha * np.square(root).sum(), 0.0) + moments.centred
        left = moments.n - dof
        if left <= 1e-9 * moments.n:
            raise DataError(
                "return_std: the noise is told by rows beyond the degrees of freedom of the model; got rows whose "
                f"weights sum to {moments.n:g} and {dof:.6g} degrees of freedom. Use a larger alpha, fewer neurons, or "
                "more rows; weights count rows here, so multiply them to sum to the number of rows."
            )
        noise = np.sqrt(squared_error / left)
        return cls(moments.mean_H, root, noise, 1 + moments.centred / moments.n)

    def __call__(self, H: np.ndarray) -> np.ndarray:
        """Standard deviations (rows, n_targets), float64, for H (rows, n_neurons), float64, which is used up."""
        H -= self.mean_H
        Z = H @ self.root
        return np.sqrt(self.least + np.einsum("ij,ij->i", Z, Z))[:, None] * self.noise


def _inverse_root(HH, alpha):
    """R with RR' = (HH + alpha I)^-1, or its pseudo-inverse where the solver takes the solution of least norm."""
    cholesky = CholeskyFactor(HH, alpha)
    if cholesky.safe:
        # Below the diagonal there is what there was before.
        return np.triu(lapack.dtrtri(cholesky.U)[0])
    eigen = EigenFactor(HH)
    shifted, kept = eigen.shifted(alpha)
    return eigen.vectors[:, kept] / np.sqrt(shifted[kept])
