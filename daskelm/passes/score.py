"""R2 and accuracy of lazy predictions, chunk by chunk, in one pass and bounded memory."""

from __future__ import annotations

from functools import reduce

import numpy as np

from ..data.finite import check_finite, check_weights
from ..data.row_chunks import apply_to_rows
from ..data.source import Source, n_columns
from ..data.targets import check_targets
from ..exceptions import DataError
from ..lazy import da
from ..ridge.moments import varies

__all__ = ["accuracy", "merge_squares", "r2", "r2_of", "squares_of"]


def r2(y: Source, predicted: da.Array, weights: Source | None = None, verbose: int | bool = 0) -> float:
    """Coefficient of determination, the mean over targets of 1 - SSE / SST; as scikit-learn's ``r2_score``.

    Parameters
    ----------
    y : source of shape (n_samples,) or (n_samples, n_targets)
        True targets.
    predicted : dask array of shape (n_samples,) or (n_samples, n_targets)
        Predictions.
    weights : source of shape (n_samples,), optional
        Row weights.
    verbose : int, default=0
        Whether to show progress.
    """
    return r2_of(reduce(merge_squares, _over_chunks(squares_of, y, predicted, weights, verbose)))


def r2_of(squares: tuple) -> float:
    """The coefficient of determination from the result of `squares_of`."""
    total, mean, about_mean, errors = squares
    _check_total(total)
    ratio = varies(errors, total, mean).astype(float)
    np.divide(errors, about_mean, where=varies(about_mean, total, mean), out=ratio)
    return float(np.mean(1 - ratio))


def accuracy(y: Source, predicted: da.Array, weights: Source | None = None, verbose: int | bool = 0) -> float:
    """Accuracy: the weighted fraction of rows whose label, or whole set of labels, is correct.

    Parameters
    ----------
    y : source of shape (n_samples,) or (n_samples, n_labels)
        True labels.
    predicted : dask array of shape (n_samples,) or (n_samples, n_labels)
        Predictions.
    weights : source of shape (n_samples,), optional
        Row weights.
    verbose : int, default=0
        Whether to show progress.
    """
    right, total = np.sum(_over_chunks(_hits, y, predicted, weights, verbose), axis=0)
    _check_total(total)
    return float(right / total)


def _over_chunks(function, y, predicted, weights, verbose):
    """Results of the function for each chunk of rows of y, predictions and weights; shapes are checked first."""
    if n_columns(y) != n_columns(predicted):
        raise DataError(
            f"y must have as many columns as there are predictions; got {n_columns(y)} and {n_columns(predicted)}."
        )
    if not predicted.shape[0]:
        raise DataError("X must have at least one row to score; got 0.")
    return apply_to_rows(function, {"": predicted, "y": y, "sample_weight": weights}, verbose, "score")


def _check_total(weight):
    if not weight:
        raise DataError("sample_weight: at least one row must have a positive weight; got only zeros.")


def _weights(weights, n, first_row):
    if weights is None:
        return np.ones(n)
    weights = np.asarray(weights, np.float64).reshape(-1)
    check_weights(weights, first_row)
    return weights


def squares_of(predicted: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None, first_row: int = 0) -> tuple:
    """Sum of weights, and for each target its mean, sum of squares about it, and sum of squared errors.

    `first_row` is the number of the first row, for errors.
    """
    w = _weights(weights, len(y), first_row)
    check_finite(np.asarray(y), "y", first_row)
    check_targets(np.asarray(y), w, first_row)
    if not w.all():
        # Rows of weight zero may hold anything.
        y, predicted, w = np.asarray(y)[w > 0], np.asarray(predicted)[w > 0], w[w > 0]
    y, predicted = (np.asarray(a, np.float64).reshape(len(a), n_columns(predicted)) for a in (y, predicted))
    total = w.sum()
    mean = w @ y / total if total else np.zeros(y.shape[1])
    return total, mean, w @ np.square(y - mean), w @ np.square(y - predicted)


def merge_squares(a: tuple, b: tuple) -> tuple:
    """The same for the rows of both: sums of squares about the common mean. Chan, Golub, LeVeque (1983)."""
    total = a[0] + b[0]
    if not total:
        return a
    step = b[1] - a[1]
    return total, a[1] + step * b[0] / total, a[2] + b[2] + np.square(step) * a[0] * b[0] / total, a[3] + b[3]


def _hits(predicted, y, weights, first_row):
    check_finite(np.asarray(y), "y", first_row)
    _check_comparable(np.asarray(y), predicted)
    right = np.asarray(y).reshape(predicted.shape) == predicted
    right = right.all(axis=1) if right.ndim == 2 else right
    w = _weights(weights, len(right), first_row)
    return w @ right, w.sum()


def _check_comparable(y, predicted):
    """Refuse labels of text where classes are numbers, or the reverse: all rows would silently count as wrong."""
    of_y, of_predicted = (any(isinstance(label, str) for label in labels.flat[:1]) for labels in (y, predicted))
    if of_y != of_predicted and len(y):
        kinds = ("numbers", "text")
        raise DataError(
            f"y: labels must be of the type of the classes, {kinds[of_predicted]} such as {predicted.flat[0]!r}; got "
            f"{kinds[of_y]} such as {y.flat[0]!r}. Give the labels as they were in fit."
        )
