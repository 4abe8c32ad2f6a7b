"""Classes and their counts, from labels of any source in one look at y."""

from __future__ import annotations

import dask
import numpy as np

from .cluster_loss import compute
from .exceptions import DataError
from .inputs import Source, as_dask, check_finite

__all__ = ["count_classes"]


def count_classes(y: Source, weights: Source | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Sorted classes and the sum of the weights of each.

    Parameters
    ----------
    y : source of shape (n_samples,) or (n_samples, 1)
        Labels.
    weights : source of shape (n_samples,), optional
        Row weights; one each if not given.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
    counts : ndarray of shape (n_classes,)
    """
    if isinstance(y, np.ndarray) and (weights is None or isinstance(weights, np.ndarray)):
        parts = [_count(y, weights)]
    else:
        y = as_dask(y)
        blocks = y.to_delayed().ravel()
        given = [None] * len(blocks)
        if weights is not None:
            given = as_dask(weights, y.chunks[0]).to_delayed().ravel()
        count = dask.delayed(_count, pure=True)
        starts = np.cumsum((0, *y.chunks[0])).tolist()
        tasks = [count(*block) for block in zip(blocks, given, starts[:-1], strict=True)]
        parts = [part for part in compute(*tasks) if len(part[0])]
    if not parts:
        return np.empty(0), np.empty(0)
    classes, inverse = np.unique(np.concatenate([part[0] for part in parts]), return_inverse=True)
    return classes, np.bincount(inverse, np.concatenate([part[1] for part in parts]), len(classes))


def _count(y, weights, first_row=0):
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
        raise DataError("y: labels must be of one type that can be sorted; got several types.") from None
    return classes, np.bincount(inverse, None if weights is None else np.asarray(weights).reshape(-1), len(classes))
