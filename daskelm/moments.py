"""What a solver needs of the sums, and how exact it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["UNRESOLVED", "Moments", "rounding"]

# A squared error below this part of the total sum of squares is rounding, not error; by the precision of the sums.
UNRESOLVED = {"float64": 1e-12, "float32": 1e-6}
# Rounding of HH in single precision, as a part of trace(HH) / sqrt(L) (docs/design.md, "Single precision").
_SINGLE = 2 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Moments:
    """Sums of squares and products about the means, or about zero without an intercept.

    HH (n_neurons, n_neurons), HT (n_neurons, n_targets), TT (n_targets,), mean_H (n_neurons,), mean_T (n_targets,),
    and the number `n` of rows that they count for; the part `unresolved` of TT that is rounding, and the penalty
    `least_alpha` below which a solution would be one of rounding.
    """

    HH: np.ndarray
    HT: np.ndarray
    TT: np.ndarray
    mean_H: np.ndarray
    mean_T: np.ndarray
    n: float
    centred: bool
    unresolved: float = UNRESOLVED["float64"]
    least_alpha: float = 0.0


def rounding(variances: np.ndarray, precision: str) -> float:
    """What a penalty must be at least to cover the rounding of HH that was summed in this precision.

    `variances` (n_neurons,) is the diagonal of HH about the means. In double precision the solver sees to itself.
    """
    if precision == "float64":
        return 0.0
    return float(_SINGLE * np.maximum(variances, 0).sum() / np.sqrt(len(variances)))
