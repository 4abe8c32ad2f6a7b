"""About which row sums of squares and products are taken, and how they are moved to another one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..blas import add_outer_packed

__all__ = ["common_reference", "move_packed", "other_sums"]


def move_packed(sums: Any, packed: np.ndarray, shift: np.ndarray, sign: float = 1.0) -> None:
    """Add to a triangle in place what that of the sums becomes more when a row is added to all rows of H.

    Parameters
    ----------
    sums : NormalEquations
        About their own reference.
    packed : ndarray of shape (n_neurons * (n_neurons + 1) / 2,)
        What is added to: a copy of their triangle, or a sum that it takes part in.
    shift : ndarray of shape (n_neurons,)
        The row: their reference less the new one.
    sign : float, default=1
        A factor of what is added.
    """
    if shift.any():
        add_outer_packed(shift, sums.sum_H + sums.sum_weights / 2 * shift, packed, sign)


def other_sums(sums: Any, shift_H: np.ndarray, shift_T: np.ndarray) -> dict[str, Any]:
    """All sums but the triangle when rows are added to all rows of H and T, by the names of their fields."""
    n = sums.sum_weights
    return {
        "cross": sums.cross + np.outer(shift_H, sums.sum_T + n * shift_T) + np.outer(sums.sum_H, shift_T),
        "sum_H": sums.sum_H + n * shift_H,
        "sum_T": sums.sum_T + n * shift_T,
        "sum_TT": sums.sum_TT + shift_T * (2 * sums.sum_T + n * shift_T),
    }


def common_reference(a: Any, b: Any) -> tuple[np.ndarray, np.ndarray]:
    """The means of the rows of both, about which no sum is the difference of larger ones: for H, and for T.

    About the reference of either, sums of rows that lie elsewhere would be larger than what is left of them about the
    means, and the more so the more sums are added one after the other. Chan, Golub, LeVeque (1983).
    """
    n = a.sum_weights + b.sum_weights
    if not n:
        return a.reference_H, a.reference_T
    return (
        a.reference_H + (a.sum_H + b.sum_H + b.sum_weights * (b.reference_H - a.reference_H)) / n,
        a.reference_T + (a.sum_T + b.sum_T + b.sum_weights * (b.reference_T - a.reference_T)) / n,
    )
