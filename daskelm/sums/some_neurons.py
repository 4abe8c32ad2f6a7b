"""The sums of some of a layer's neurons, which are those of a smaller layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..ridge.packed import pack_in_place, unpack
from .normal_equations import NormalEquations

__all__ = ["take_neurons"]


def take_neurons(sums: NormalEquations, columns: np.ndarray, fingerprint: str) -> NormalEquations:
    """The sums of some of the neurons, which are all that a smaller layer would have summed.

    Parameters
    ----------
    sums : NormalEquations
        Of the full layer.
    columns : ndarray of shape (n,), int
        Which neurons.
    fingerprint : str
        Of the smaller layer.

    Returns
    -------
    NormalEquations
    """
    if len(columns) == sums.n_neurons:
        return sums
    square = np.ascontiguousarray(unpack(sums.packed, sums.n_neurons)[np.ix_(columns, columns)])
    return replace(
        sums,
        packed=pack_in_place(square, len(columns)),
        cross=sums.cross[columns],
        sum_H=sums.sum_H[columns],
        reference_H=sums.reference_H[columns],
        largest=sums.largest[np.r_[columns, sums.n_neurons : len(sums.largest)]] if len(sums.largest) else sums.largest,
        fingerprint=fingerprint,
    )
