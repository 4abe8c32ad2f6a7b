"""Centred sums that ridge regression is solved from, with their precision, and the interface of a solver."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

__all__ = ["EPS", "UNRESOLVED", "Moments", "Solver", "Weights", "rounding", "varies"]

EPS = np.finfo(np.float64).eps
# A squared error below this fraction of the total sum of squares is rounding; by the precision of the sums.
UNRESOLVED = {"float64": 1e-12, "float32": 1e-6}
# Rounding of HH in single precision, as a fraction of trace(HH) / sqrt(L) (docs/measurements.md, "Single precision").
_SINGLE = 2 * float(np.finfo(np.float32).eps)
# A column whose standard deviation is below this fraction of its mean is constant, to rounding.
_CONSTANT = 1e-14


@dataclass(frozen=True)
class Moments:
    """Weighted sums of squares and products about the means, or about zero without an intercept.

    HH : ndarray of shape (n_neurons, n_neurons), products of hidden-layer outputs
    HT : ndarray of shape (n_neurons, n_targets), products of outputs and targets
    TT : ndarray of shape (n_targets,), squares of the targets
    mean_H : ndarray of shape (n_neurons,), means of the outputs; 0 without an intercept
    mean_T : ndarray of shape (n_targets,), means of the targets; 0 without an intercept
    n : float, effective number of rows: the sum of sample weights, without class weights
    n_samples : int, number of rows
    n_counted : int, number of rows of positive weight
    weight : float, sum of all weights
    informative : ndarray of shape (n_targets,), bool, mask of the targets that vary
    centred : bool, whether the sums are about the means
    unresolved : float, default=1e-12, fraction of TT below which a squared error is rounding
    least_alpha : float, default=0, penalty below which a solution would be determined by rounding
    """

    HH: np.ndarray
    HT: np.ndarray
    TT: np.ndarray
    mean_H: np.ndarray
    mean_T: np.ndarray
    n: float
    n_samples: int
    n_counted: int
    weight: float
    informative: np.ndarray
    centred: bool
    unresolved: float = UNRESOLVED["float64"]
    least_alpha: float = 0.0

    @property
    def n_rows(self) -> float:
        """Number of rows that a choice may rely on: weights above 1 do not make more rows of them."""
        return min(self.n, float(self.n_counted))

    def of_targets(self, targets: np.ndarray) -> Moments:
        """Moments of some of the targets."""
        parts = {name: getattr(self, name)[targets] for name in ("TT", "mean_T", "informative")}
        return replace(self, HT=self.HT[:, targets], **parts)

    def of_neurons(self, neurons: np.ndarray) -> Moments:
        """Moments of some of the neurons."""
        HH = self.HH if len(neurons) == len(self.HH) else self.HH[np.ix_(neurons, neurons)]
        return replace(self, HH=HH, HT=self.HT[neurons], mean_H=self.mean_H[neurons])


def varies(squares, weight: float, mean) -> np.ndarray:
    """Whether columns vary: their sums of squares exceed what rounding leaves of a constant.

    Parameters
    ----------
    squares : array-like of shape (n,)
        Weighted sums of squares about the means, or of errors.
    weight : float
        Sum of the weights.
    mean : array-like of shape (n,)
        Means of the columns.

    Returns
    -------
    ndarray of shape (n,), bool
        True for NaN.
    """
    return ~(np.asarray(squares) <= weight * np.square(_CONSTANT * np.asarray(mean)))


def rounding(variances: np.ndarray, precision: str) -> float:
    """Smallest penalty that covers the rounding of HH summed in this precision; 0 for float64, which solvers check.

    `variances` (n_neurons,) is the diagonal of HH about the means.
    """
    if precision == "float64":
        return 0.0
    return float(_SINGLE * np.maximum(variances, 0).sum() / np.sqrt(len(variances)))


class Weights(NamedTuple):
    """Output weights B (n_neurons, n_targets), the rank kept, and the condition number of HH + alpha I."""

    B: np.ndarray
    rank: int
    condition_number: float


class Solver(Protocol):
    """A method to solve (HH + alpha I) B = HT."""

    def __call__(self, moments: Moments, alpha: float) -> Weights | None:
        """B for these HH (n_neurons, n_neurons) and HT (n_neurons, n_targets); None passes on to the next solver."""
