"""Minimum and maximum of some columns over all rows, for columns that are constant in the rows of the probe."""

from __future__ import annotations

from functools import partial

import numpy as np

from ..progress import listening
from .row_chunks import apply_to_rows
from .source import Source, source_of

__all__ = ["column_ranges"]


def column_ranges(
    X: Source, weights: Source | None, columns: np.ndarray, verbose: int | bool = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Minimum and maximum (n_columns,) of some columns over the rows of positive weight, in one pass over X.

    They are the same for any chunks and any order of the rows, to the last bit.

    Parameters
    ----------
    X : source of shape (n_samples, n_features)
        Inputs.
    weights : source of shape (n_samples,), optional
        Row weights.
    columns : ndarray of shape (n_columns,), int
        Numbers of the columns.
    verbose : int, default=0
        Whether to show progress, if it takes long.
    """
    ranges = partial(_ranges, columns=columns)
    (weights,) = source_of(X).beside(sample_weight=weights)
    # The ranges are not reported to progress listeners; only passes that sum are.
    with listening(None):
        parts = apply_to_rows(ranges, {"X": X, "sample_weight": weights}, verbose, "columns", patience=1.0)
    low, high = zip(*parts, strict=True)
    return np.min(low, axis=0), np.max(high, axis=0)


def _ranges(X, weights, first_row, columns):
    X = np.asarray(X)[:, columns].astype(np.float64)
    if weights is not None:
        X = X[np.asarray(weights).reshape(-1) > 0]
    return X.min(axis=0, initial=np.inf), X.max(axis=0, initial=-np.inf)
