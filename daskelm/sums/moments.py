"""Moments of sums: about the means of their rows, or about zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..exceptions import IncompatibleSumsError
from ..ridge.moments import UNRESOLVED, Moments, varies
from ..ridge.packed import unpack
from ..ridge.reference_rows import move_packed, other_sums

__all__ = ["moments_of"]


def moments_of(sums: Any, centred: bool) -> Moments:
    """Moments of `NormalEquations`, as their method `moments` gives them."""
    if centred and not sums.sum_weights > 0 and sums.sum_TT.any() | sums.packed.any():
        raise IncompatibleSumsError(
            f"moments: sums about the mean need a positive sum of weights; got {sums.sum_weights:g} of "
            f"{sums.n_samples} rows whose sums are not zero. Sum over the rows anew."
        )
    shift_H, shift_T = sums.reference_H, sums.reference_T
    mean_H, mean_T = np.zeros(sums.n_neurons), np.zeros(sums.n_targets)
    if centred and sums.sum_weights > 0:
        # Shift by sum / weight, not by the rounded means: around 1e9, these would lose the fraction.
        shift_H, shift_T = -sums.sum_H / sums.sum_weights, -sums.sum_T / sums.sum_weights
        mean_H, mean_T = sums.reference_H - shift_H, sums.reference_T - shift_T
    packed, rest = sums.packed.copy(), other_sums(sums, shift_H, shift_T)
    move_packed(sums, packed, shift_H)
    HH, HT = unpack(packed, sums.n_neurons), rest["cross"]
    constant = ~varies(np.diag(HH), sums.sum_weights, mean_H)
    if constant.any():
        # Otherwise a solution without penalty would be determined by rounding in constant columns.
        HH[constant], HH[:, constant] = 0, 0
        HT = np.where(constant[:, None], 0, HT)
    rows = sums.sum_counts, sums.n_samples, sums.n_counted, sums.sum_weights
    TT = rest["sum_TT"]
    informative, unresolved = varies(TT, sums.sum_weights, mean_T), UNRESOLVED[sums.precision]
    return Moments(HH, HT, TT, mean_H, mean_T, *rows, informative, centred, unresolved, sums.least_alpha)
