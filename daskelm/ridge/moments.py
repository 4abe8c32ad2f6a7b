"""What a solver needs of the sums, and how exact it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["UNRESOLVED", "Moments", "rounding", "varies"]

# A squared error below this part of the total sum of squares is rounding, not error; by the precision of the sums.
UNRESOLVED = {"float64": 1e-12, "float32": 1e-6}
# Rounding of HH in single precision, as a part of trace(HH) / sqrt(L) (docs/measurements.md, "Single precision").
_SINGLE = 2 * float(np.finfo(np.float32).eps)
# What varies by less than this part of its mean is constant, to rounding.
_CONSTANT = 1e-14


@dataclass(frozen=True)
class Moments:
    """Sums of squares and products about the means, or about zero without an intercept.

    HH (n_neurons, n_neurons), HT (n_neurons, n_targets), TT (n_targets,), mean_H (n_neurons,), mean_T (n_targets,),
    and the number `n` of rows that they count for, of which there are `n_samples` with the sum of weights `weight`;
    which targets vary, `informative` (n_targets,), bool; the part `unresolved` of TT that is rounding, and the penalty
    `least_alpha` below which a solution would be one of rounding.
    """

    HH: np.ndarray
    HT: np.ndarray
    TT: np.ndarray
    mean_H: np.ndarray
    mean_T: np.ndarray
    n: float
    n_samples: int
    weight: float
    informative: np.ndarray
    centred: bool
    unresolved: float = UNRESOLVED["float64"]
    least_alpha: float = 0.0


def varies(squares, weight: float, mean) -> np.ndarray:
    """Whether a sum of squares is more than what rounding leaves of a column that is constant.

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
        NaN varies.
    """
    return ~(np.asarray(squares) <= weight * np.square(_CONSTANT * np.asarray(mean)))


def rounding(variances: np.ndarray, precision: str) -> float:
    """What a penalty must be at least to cover the rounding of HH that was summed in this precision.

    `variances` (n_neurons,) is the diagonal of HH about the means. In double precision the solver sees to itself.
    """
    if precision == "float64":
        return 0.0
    return float(_SINGLE * np.maximum(variances, 0).sum() / np.sqrt(len(variances)))
