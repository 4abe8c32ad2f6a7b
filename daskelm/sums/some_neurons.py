"""Sums of a sublayer, from those of the full layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..ridge.packed import pack_in_place, unpack
from .normal_equations import NormalEquations

__all__ = ["take_neurons"]


def take_neurons(sums: NormalEquations, columns: np.ndarray, fingerprint: str) -> NormalEquations:
    """Select neurons from the sums: the result equals the sums of a sublayer over the same rows.

    Parameters
    ----------
    sums : NormalEquations
        Sums of the full layer.
    columns : ndarray of shape (n,), int
        Columns of H to keep.
    fingerprint : str
        Fingerprint of the sublayer.
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
        folds=tuple(take_neurons(fold, columns, fingerprint) for fold in sums.folds),
    )
