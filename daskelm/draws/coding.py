"""The coding of gaps and categories, by the rows that a layer is drawn by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..data.probe import Probe
from ..data.targets import Targets
from ..layer.coding import Category, Coding, codes_of
from ..layer.scale import Scale
from .levels import learnt_tables, random_tables
from .sample import standardised

__all__ = ["coding_of"]

# With fewer rows, the effects of levels on targets say too little: with 3,000, 1,000 neurons had R2 0.27 in the place
# of 0.31 (docs/measurements.md, "Categories").
_LEAST_ROWS = 5000
# Effects are taken from a part of the rows, where there are not many: a sum over rows should mostly be of others.
_PART, _MOST_ROWS = 3, 32_768
# Most `lin` neurons for one level each: with 200 others, 256 take twice the time of a tenth as many.
_MOST_MARKS = 256


def coding_of(
    rows: Probe,
    scale: Scale | None,
    levels: Sequence[tuple | None] | None,
    targets: Targets | None,
    *,
    gaps: bool,
    seed: int,
) -> Coding:
    """The coding for columns with gaps and levels, by the rows of a sample.

    Parameters
    ----------
    rows : Probe
        The rows; with their targets where the numbers of levels shall follow these, else they are random.
    scale : Scale or None
        Scale of the columns of numbers.
    levels : sequence of tuple or None
        Levels of each column; None for columns of numbers, and where all are.
    targets : Targets or None
        Columns that the targets become.
    gaps : bool
        Whether NaN is a gap.
    seed : int
        Non-negative seed.
    """
    X, weights, y = rows
    if weights is not None and (weights == 0).any():
        X, y, weights = X[weights > 0], None if y is None else y[weights > 0], weights[weights > 0]
    columns = [i for i, own in enumerate(levels or ()) if own is not None]
    with_gaps = np.flatnonzero(np.isnan(X).any(axis=0)) if gaps else np.empty(0, np.int64)
    fill = Scale.of(X, weights).mean if gaps and scale is None else None
    plain = Coding(X.shape[1], (), gaps, np.setdiff1d(with_gaps, columns), fill)
    if not columns:
        return plain
    kept: list[tuple] = [levels[i] for i in columns]  # type: ignore[index, misc]
    sizes = [len(own) + 2 for own in kept]
    learnt = False
    if y is None or targets is None or len(X) < _LEAST_ROWS:
        tables = random_tables(sizes, seed)
    else:
        learnt = True
        n_rows = min(len(X) // _PART, _MOST_ROWS) if len(X) < _PART * _MOST_ROWS else _MOST_ROWS
        some = np.linspace(0, len(X) - 1, n_rows).astype(int)
        of_rows = None if weights is None else weights[some]
        tables = _learnt(X[some], y[some], of_rows, scale, targets, plain, columns, kept)
    marked = _marked(sizes)
    return Coding(
        X.shape[1],
        # A linear function of random numbers says nothing of a level.
        tuple(Category(*one, learnt) for one in zip(columns, kept, tables, marked, strict=True)),
        gaps,
        plain.gaps,
        fill,
    )


def _learnt(X, y, weights, scale, targets, plain: Coding, columns, kept) -> list[np.ndarray]:
    """Tables by the effects of levels on the targets, in rows X with targets y and weights."""
    codes = [codes_of(X[:, i], len(own)) for i, own in zip(columns, kept, strict=True)]
    Z = X.astype(np.float64) if scale is None else scale(X)
    v = targets.row_weights(y, weights)
    v = np.full(len(X), 1 / len(X)) if v is None else v / v.sum()
    T = standardised(targets.encode(y), v)
    return learnt_tables(codes, np.delete(plain(X, Z), columns, axis=1), T, v, [len(own) + 2 for own in kept])


def _marked(sizes) -> list[bool]:
    """Mask of the categories, of these sizes, that have a `lin` neuron for each level: those with few levels first."""
    marked, total = [False] * len(sizes), 0
    for i in np.argsort(sizes, kind="stable").tolist():
        if total + sizes[i] <= _MOST_MARKS:
            marked[i] = True
            total += sizes[i]
    return marked
