"""The sample of rows and targets that neurons are drawn by, with the relevance of the inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..exceptions import DataError
from ..layer.weights import Sample
from .relevance import relevance_of

__all__ = ["sample_of", "standardised"]

# Rows of a sample, and bytes of their inputs with some hundred hidden outputs.
_ROWS, _BYTES, _N_HIDDEN = 10_000, 64 * 2**20, 500
# A target whose standard deviation is below this fraction of its magnitude is constant.
_CONSTANT = 1e-12


def sample_of(Z: np.ndarray, T: np.ndarray | None, weights: np.ndarray | None, seed: int, *, relevance: bool) -> Sample:
    """A sample of at most 10,000 evenly spaced rows of positive weight.

    Parameters
    ----------
    Z : ndarray of shape (rows, n_features)
        Inputs as the neurons see them.
    T : ndarray of shape (rows, n_targets), optional
        Targets.
    weights : ndarray of shape (rows,), optional
        Weights of the rows.
    seed : int
        Non-negative seed of the neurons that the relevance is measured with.
    relevance : bool
        Whether the metric of the inputs is needed.

    Returns
    -------
    Sample
        Without a metric, where the rows say nothing of it.

    Raises
    ------
    DataError
        No row of positive weight.
    """
    counted = np.arange(len(Z)) if weights is None else np.flatnonzero(weights > 0)
    if not len(counted):
        raise DataError("sample_weight: at least one row must have a positive weight; got only zeros.")
    most = min(_ROWS, max(_BYTES // (8 * (Z.shape[1] + _N_HIDDEN)), 1))
    if len(counted) > most:
        counted = counted[np.linspace(0, len(counted) - 1, most).astype(int)]
    v = np.ones(len(counted)) if weights is None else weights[counted].astype(np.float64)
    v /= v.sum()
    sample = Sample(Z[counted], None if T is None else standardised(T[counted].astype(np.float64), v), v)
    return replace(sample, metric=relevance_of(sample, seed)) if relevance else sample


def standardised(T: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The targets that vary, of T (rows, n_targets), with mean 0 and variance 1 for the weights v (rows,)."""
    largest = np.abs(T).max(axis=0, initial=0)
    T = T / np.where(largest > 0, largest, 1)
    T -= v @ T
    spread = np.sqrt(v @ np.square(T))
    varies = spread > _CONSTANT
    return T[:, varies] / spread[varies]
