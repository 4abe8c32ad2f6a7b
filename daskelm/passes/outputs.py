"""What predictions are made of outputs H B: numbers, labels, decision values; apart, since workers run it."""

from __future__ import annotations

import numpy as np

from ..data.targets import probabilities

__all__ = ["decisions_of", "labels_of", "numbers_of"]


def numbers_of(outputs: np.ndarray, vector: bool = False) -> np.ndarray:
    """Predicted numbers of outputs (rows, n_targets): the same, or one vector of its only column."""
    return outputs[:, 0] if vector else outputs


def labels_of(outputs: np.ndarray, classes: np.ndarray, multi: bool, dtype: np.dtype) -> np.ndarray:
    """Predicted labels of outputs (rows, n_targets); with `multi`, 0 or 1 for each label."""
    # Computed from the values that predict_proba returns, so that predict always agrees with it.
    p = probabilities(outputs, multi).astype(dtype)
    return (p > 0.5).astype(np.int64) if multi else classes[np.argmax(p, axis=1)]


def decisions_of(outputs: np.ndarray, multi: bool) -> np.ndarray:
    """Decision values of outputs (rows, n_targets): positive for the second of two classes, or for a label."""
    if multi:
        return 2 * outputs - 1
    return 2 * outputs[:, 0] - 1 if outputs.shape[1] == 1 else outputs
