"""Reference rows: sums of squares and products are taken about one, and can be moved to another."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..blas import add_outer_packed

__all__ = ["combined", "move_packed", "other_sums"]


def move_packed(sums: Any, packed: np.ndarray, shift: np.ndarray, sign: float = 1.0) -> None:
    """Add to a triangle, in place, by how much that of the sums changes when `shift` is added to all rows of H.

    Parameters
    ----------
    sums : NormalEquations
        Sums about their own reference row.
    packed : ndarray of shape (n_neurons * (n_neurons + 1) / 2,)
        Triangle to change: a copy of that of the sums, or a total that contains it.
    shift : ndarray of shape (n_neurons,)
        Reference row of the sums minus the new one.
    sign : float, default=1
        Factor of what is added.
    """
    if shift.any():
        add_outer_packed(shift, sums.sum_H + sums.sum_weights / 2 * shift, packed, sign)


def other_sums(sums: Any, shift_H: np.ndarray, shift_T: np.ndarray) -> dict[str, Any]:
    """All other sums, by field name, when `shift_H` is added to all rows of H and `shift_T` to all rows of T."""
    n = sums.sum_weights
    return {
        "cross": sums.cross + np.outer(shift_H, sums.sum_T + n * shift_T) + np.outer(sums.sum_H, shift_T),
        "sum_H": sums.sum_H + n * shift_H,
        "sum_T": sums.sum_T + n * shift_T,
        "sum_TT": sums.sum_TT + shift_T * (2 * sums.sum_T + n * shift_T),
    }


def _common_reference(a: Any, b: Any) -> tuple[np.ndarray, np.ndarray]:
    """Means of H and T over the rows of both sums: the reference about which a merge loses no digits to cancellation.

    Sums about the reference of either would be larger than the centred ones where the other's rows lie elsewhere, the
    more so the more sums are merged. Chan, Golub, LeVeque (1983).
    """
    n = a.sum_weights + b.sum_weights
    if not n:
        return a.reference_H, a.reference_T
    return (
        a.reference_H + (a.sum_H + b.sum_H + b.sum_weights * (b.reference_H - a.reference_H)) / n,
        a.reference_T + (a.sum_T + b.sum_T + b.sum_weights * (b.reference_T - a.reference_T)) / n,
    )


def combined(a: Any, b: Any, sign: int) -> dict[str, Any]:
    """Sums over the rows of both (`sign` 1), or over those of `a` without those of `b` (-1), by field name.

    The former are about the common means, the latter about the reference of `a`.
    """
    H, T = _common_reference(a, b) if sign > 0 else (a.reference_H, a.reference_T)
    packed = a.packed + b.packed if sign > 0 else a.packed - b.packed
    move_packed(a, packed, a.reference_H - H)
    move_packed(b, packed, b.reference_H - H, sign)
    first, second = (other_sums(sums, sums.reference_H - H, sums.reference_T - T) for sums in (a, b))
    added = {name: first[name] + sign * second[name] for name in first}
    return {"packed": packed, "reference_H": H, "reference_T": T, **added}
