"""Classes and their counts, from labels of any source in one pass over y."""

from __future__ import annotations

import numpy as np

from ..exceptions import DataError
from ..progress import listening
from .finite import check_finite
from .row_chunks import apply_to_rows
from .source import Source, source_of

__all__ = ["count_classes", "labels_in"]


def labels_in(y: Source) -> Source:
    """Labels as users mean them: those behind the codes of files, where these have levels; other data as it is."""
    files = source_of(y).files
    return y if files is None else files.as_labels()


def count_classes(y: Source, weights: Source | None = None, verbose: int | bool = 0) -> tuple[np.ndarray, np.ndarray]:
    """The classes, sorted, and the sum of the row weights of each.

    Parameters
    ----------
    y : source of shape (n_samples,) or (n_samples, 1)
        Labels.
    weights : source of shape (n_samples,), optional
        Row weights; 1 for each row if not given.
    verbose : int, default=0
        Whether to show progress, if it takes long.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
    counts : ndarray of shape (n_classes,)
    """
    (weights,) = source_of(y).beside(sample_weight=weights)
    # Counting labels is not reported to progress listeners; only passes over X are.
    with listening(None):
        counts = apply_to_rows(_count, {"y": y, "sample_weight": weights}, verbose, "classes", patience=1.0)
    parts = [part for part in counts if len(part[0])]
    if not parts:
        return np.empty(0), np.empty(0)
    try:
        classes, inverse = np.unique(np.concatenate([part[0] for part in parts]), return_inverse=True)
    except TypeError:
        raise _several_types() from None
    if source_of(y).files is not None and classes.dtype == object:
        # Labels of files have one type: as in memory, classes are an array of it.
        classes = np.array(classes.tolist())
    return classes, np.bincount(inverse, np.concatenate([part[1] for part in parts]), len(classes))


def _count(y, weights, first_row):
    y = np.asarray(y).reshape(-1)
    check_finite(y, "y", first_row)
    if y.dtype.kind == "f" and (fractions := y != np.floor(y)).any():
        raise DataError(
            f"y: labels must be classes; got continuous numbers such as {y[np.argmax(fractions)]}. Use ELMRegressor "
            "for numbers."
        )
    try:
        classes, inverse = np.unique(y, return_inverse=True)
    except TypeError:
        raise _several_types() from None
    return classes, np.bincount(inverse, None if weights is None else np.asarray(weights).reshape(-1), len(classes))


def _several_types():
    return DataError("y: labels must be of one type that can be sorted; got several types.")
