"""Probabilities of classes and labels from the outputs of a ridge regression on zeros and ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["LARGEST_DISTANCE", "SHARED", "STEP", "ProbabilityLink", "as_classes", "probabilities", "project_to_simplex"]

# Fraction of the probability that all classes share equally: no probability is exactly 0 or 1, in single precision too,
# and log loss is finite.
SHARED = 1e-6
# Classes below the largest output have their probability reduced by this fraction. So they stay below the largest one
# in single precision, however near their outputs are, and `predict` always agrees with the largest probability.
STEP = 1e-6
# Outputs estimate zeros and ones, whose distance is 1. Beyond this distance a row is not surer: it lies far from the
# training rows.
LARGEST_DISTANCE = 2.0


@dataclass(frozen=True, eq=False)
class ProbabilityLink:
    """Calibrated link from outputs to probabilities: p in proportion to exp(-temperature * distance^power).

    The distance is how far the output of a class is below the largest output of the row. The order of the classes stays
    that of the outputs, for any two numbers.

    Parameters
    ----------
    temperature, power : ndarray of shape (1,), or (n_labels,) for multi-label targets
        Positive numbers: for all classes together, or for each label by itself.
    """

    temperature: np.ndarray
    power: np.ndarray

    def __call__(self, below: np.ndarray) -> np.ndarray:
        """Probabilities up to a factor, of the shape of the distances (rows, 1 or n_labels, n_classes)."""
        scaled = np.minimum(below, LARGEST_DISTANCE) ** self.power[:, None]
        return np.exp(-self.temperature[:, None] * scaled)


def as_classes(outputs: np.ndarray, multi: bool) -> np.ndarray:
    """Outputs (rows, 1, n_classes) of all classes, or (rows, n_labels, 2) of each label and its opposite, if `multi`.

    Parameters
    ----------
    outputs : ndarray of shape (rows, n_targets)
        Outputs; of two classes, one for the second class.
    multi : bool
        Whether the targets are multi-label.
    """
    if multi:
        return np.stack([1 - outputs, outputs], axis=2)
    if outputs.shape[1] == 1:
        outputs = np.concatenate([1 - outputs, outputs], axis=1)
    return outputs[:, None, :]


def project_to_simplex(scores: np.ndarray) -> np.ndarray:
    """The nearest probabilities (rows, n_classes), >= 0 and with sum 1, for each row of scores (rows, n_classes).

    The projection never increases the squared distance to the true class, and so the Brier score. Held, Wolfe, Crowder
    (1974).
    """
    n = scores.shape[1]
    ordered = -np.sort(-scores, axis=1)
    thresholds = (np.cumsum(ordered, axis=1) - 1) / np.arange(1, n + 1)
    last = n - 1 - np.argmax((ordered > thresholds)[:, ::-1], axis=1)
    return np.maximum(scores - np.take_along_axis(thresholds, last[:, None], axis=1), 0)


def probabilities(outputs: np.ndarray, multi: bool, link: ProbabilityLink | None = None) -> np.ndarray:
    """Probabilities of the classes, strictly between 0 and 1, in the order of the outputs.

    Parameters
    ----------
    outputs : ndarray of shape (rows, n_targets)
        Outputs of the regression.
    multi : bool
        Whether each label has a probability of its own.
    link : ProbabilityLink, optional
        How outputs become probabilities; the nearest point of the probability simplex if not given.

    Returns
    -------
    ndarray of shape (rows, n_classes)
    """
    each = as_classes(outputs, multi)
    below = each.max(axis=2, keepdims=True) - each
    if link is not None:
        p = link(below)
    elif each.shape[2] == 2:
        # A pair has the sum 1, so that its nearest point is a cut at 0 and 1.
        p = np.clip(each, 0, 1)
    else:
        p = project_to_simplex(each[:, 0])[:, None]
    p = np.where(below > 0, (1 - STEP) * p, p)
    p /= p.sum(axis=2, keepdims=True)
    p = (1 - SHARED) * p + SHARED / p.shape[2]
    return p[:, :, 1] if multi else p[:, 0]
