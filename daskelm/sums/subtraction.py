"""Checks of a difference of sums: rows subtracted that were never added, and losses of precision."""

from __future__ import annotations

import warnings

import numpy as np

from ..exceptions import CancellationWarning, IncompatibleSumsError
from ..ridge.packed import diagonal

__all__ = ["check_contained", "largest_squares", "warn_if_little"]

# A sum of squares that is negative by more than this fraction of the original cannot be rounding; by precision.
_IMPOSSIBLE = {"float64": 1e-9, "float32": 1e-4}
# Relative error of reference rows: squares of a constant column about them are up to its square.
_REFERENCE_PRECISION = 1e-12
# Below this fraction of the weight, rounding of 1e-12 of the whole exceeds 1e-9 of the rest.
_WEIGHT_LEFT_TO_WARN = 1e-3


def check_contained(whole, gone, left) -> None:
    """Refuse an impossible difference of sums, which shows that not all rows subtracted were contained.

    Parameters
    ----------
    whole, gone, left : NormalEquations
        Minuend, subtrahend and difference, all about one reference row.

    Raises
    ------
    IncompatibleSumsError
        A sum of weights or a sum of squares of H or T about the mean is negative, or sums of no rows are not zero.
    """
    tolerance = _IMPOSSIBLE[left.precision]
    *squares, weights, counts = left.largest
    for what, most in (("sum_weights", weights), ("sum_counts", counts)):
        rest = getattr(left, what)
        if rest < -tolerance * most or (left.n_samples == 0 and rest > tolerance * most):
            raise _not_contained(
                f"{what} would be {rest:.6g} for {left.n_samples} rows, {getattr(whole, what):.6g} less "
                f"{getattr(gone, what):.6g}"
            )
    had, taken, rest = (_squares(part) for part in (whole, gone, left))
    sums = np.concatenate([left.sum_H, left.sum_T])
    reference = np.concatenate([whole.reference_H, whole.reference_T])
    scale = np.maximum(squares, np.square(_REFERENCE_PRECISION * reference) * weights / tolerance)
    # A sum of squares is at least that of the mean. Where almost no weight is left, the mean is pure rounding.
    mean = np.maximum(np.abs(sums) - tolerance * np.sqrt(scale * weights), 0)
    least = np.square(mean) / (max(left.sum_weights, 0) + tolerance * weights) if weights else np.zeros(len(mean))
    wrong = rest + tolerance * scale < least
    if left.n_samples == 0:
        wrong |= rest > tolerance * scale
    if wrong.any():
        i = int(np.argmax(wrong))
        name = f"HH of neuron {i}" if i < whole.n_neurons else f"TT of target {i - whole.n_neurons}"
        about_mean = rest[i] - (np.square(sums[i]) / left.sum_weights if left.sum_weights > 0 else 0)
        raise _not_contained(
            f"{name} about the mean would be {about_mean:.6g} for {left.n_samples} rows, {had[i]:.6g} less "
            f"{taken[i]:.6g} about the reference row"
        )


def largest_squares(whole, other, sign: int) -> np.ndarray:
    """`NormalEquations.largest` of a sum or a difference.

    Parameters
    ----------
    whole, other : NormalEquations
        Operands, about one reference row.
    sign : int
        1 for the sum, -1 for the difference.
    """
    largest = [part.largest for part in (whole, other) if len(part.largest)]
    if sign < 0:
        squares = np.abs(_squares(whole)) + np.abs(_squares(other))
        largest.append(np.append(squares, [whole.sum_weights, whole.sum_counts]))
    return np.maximum.reduce(largest) if largest else np.zeros(0)


def _squares(sums) -> np.ndarray:
    return np.concatenate([diagonal(sums.packed, sums.n_neurons), sums.sum_TT])


def _not_contained(what):
    return IncompatibleSumsError(
        f"cannot subtract: {what}, which no rows can have. The rows to subtract were not all added to these sums with "
        "these targets and weights: subtract only what was added."
    )


def warn_if_little(whole, left) -> None:
    """Warn where so much was subtracted that the rest may be dominated by rounding.

    Parameters
    ----------
    whole, left : NormalEquations
        Sums before and after.
    """
    if left.n_samples and left.sum_weights < _WEIGHT_LEFT_TO_WARN * whole.sum_weights:
        warnings.warn(
            f"after the subtraction {left.n_samples} of {whole.n_samples} rows are left, with "
            f"{left.sum_weights / whole.sum_weights:.1g} of the weight. Their sums have the rounding of the whole and "
            "may be far off: sum over these rows anew if you can.",
            CancellationWarning,
            stacklevel=3,
        )
