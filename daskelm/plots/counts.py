"""Mergeable 2-D histograms whose bins depend only on the data: all rows of a prediction in one plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from uuid import uuid4

import dask
import numpy as np

from ..cluster.errors import compute
from ..data.finite import check_finite
from ..data.row_chunks import all_in_memory, delayed_chunks, row_chunks_of
from ..data.source import Source, in_memory, source_of
from ..exceptions import DataError
from ..passes.score import merge_squares, r2_of, squares_of

__all__ = ["JointCounts", "PredictionCounts", "count_predictions"]

# Largest number of bins along one axis. Their width is the smallest power of two that needs no more; so the bins of a
# part of the rows lie within the bins of the whole, and any division of the rows gives the same counts.
_BINS = 1024
# Powers of two below the largest value that bins can resolve, and the exponent of an axis whose values are all zero.
_DIGITS, _ZERO = 40, -2000
# Rows counted at once, which bounds temporary arrays to a few MiB each.
_ROWS = 2**18
_PARTS_PER_MERGE = 8


@dataclass(frozen=True, eq=False)
class JointCounts:
    """Histogram of pairs (x, y): bin i of an axis with exponent e holds i 2^e <= value < (i + 1) 2^e.

    Parameters
    ----------
    exponents : tuple of two ints
        log2 of the bins' width along x and along y.
    cells : ndarray of shape (n_cells, 2), int64
        Bins of x and of y of the cells that hold rows, in ascending order.
    counts : ndarray of shape (n_cells,), int64
        Their numbers of rows.
    """

    exponents: tuple[int, int]
    cells: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> JointCounts:
        """Histogram of x and y (rows,), float64 and finite, at least one row."""
        (e_x, i_x), (e_y, i_y) = _finest_bins(x), _finest_bins(y)
        return cls._counted((e_x, e_y), np.stack([i_x, i_y], axis=1), None)

    def __add__(self, other: JointCounts) -> JointCounts:
        exponents = np.maximum(self.exponents, other.exponents)
        # A shift by 64 or more is undefined; 63 already leaves only the sign.
        cells = [part.cells >> np.minimum(exponents - part.exponents, 63) for part in (self, other)]
        return self._counted(exponents, np.concatenate(cells), np.concatenate([self.counts, other.counts]))

    @classmethod
    def _counted(cls, exponents, cells, counts):
        """Histogram of cells (n, 2) with counts (n,), or one row each; bins are widened until 1,024 span an axis."""
        doublings = [_doublings(column) for column in cells.T]
        cells = cells >> doublings
        start = cells.min(axis=0)
        # Counts below 2^53 are exact in the floats that `bincount` adds.
        total = np.bincount((cells - start) @ [_BINS, 1], counts)
        found = np.flatnonzero(total)
        e_x, e_y = np.add(exponents, doublings).tolist()
        return cls((e_x, e_y), np.stack(np.divmod(found, _BINS), axis=1) + start, total[found].astype(np.int64))

    @property
    def centres(self) -> np.ndarray:
        """Middle of each cell (n_cells, 2)."""
        return np.ldexp(self.cells + 0.5, self._scales)

    @property
    def _scales(self):
        """Exponents to draw with: where all values are zero, bins are as wide as where all are one."""
        return [1 - _DIGITS if exponent == _ZERO else exponent for exponent in self.exponents]

    def between(self, least: float, most: float) -> np.ndarray:
        """First and last + 1 bin (2, 2) of each axis that remain after cutting the fractions `least` and 1 - `most`."""
        bounds = []
        for column in self.cells.T:
            start = column.min()
            cumulative = np.cumsum(np.bincount(column - start, self.counts)) / self.counts.sum()
            first, last = np.searchsorted(cumulative, least, "right"), np.searchsorted(cumulative, most)
            bounds.append((start + first, start + min(last, len(cumulative) - 1) + 1))
        return np.array(bounds)

    def table(self, n_cells: int, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bin edges of x and of y, and counts (n_x, n_y), of about `n_cells` wider bins along each axis in `bounds`."""
        step = np.maximum((bounds[:, 1] - bounds[:, 0]) // n_cells, 1)
        shape = -((bounds[:, 0] - bounds[:, 1]) // step)
        place = (self.cells - bounds[:, 0]) // step
        inside = ((place >= 0) & (place < shape)).all(axis=1)
        table = np.zeros(shape, np.int64)
        np.add.at(table, tuple(place[inside].T), self.counts[inside])
        edges = [
            np.ldexp((bounds[i, 0] + step[i] * np.arange(shape[i] + 1)).astype(float), self._scales[i])
            for i in range(2)
        ]
        return edges[0], edges[1], table


def _finest_bins(values):
    """Exponent and bins (rows,) of the narrowest bins that 40 binary digits of the largest value allow."""
    peak = np.abs(values).max()
    if not peak:
        return _ZERO, np.zeros(len(values), np.int64)
    exponent = int(np.frexp(peak)[1]) - _DIGITS
    return exponent, np.floor(np.ldexp(values, -exponent)).astype(np.int64)


def _doublings(bins) -> int:
    """Number of doublings of the width needed so that all values fit into 1,024 bins."""
    low, high, n = int(bins.min()), int(bins.max()), 0
    while (high >> n) - (low >> n) >= _BINS:
        n += 1
    return n


@dataclass(frozen=True, eq=False)
class PredictionCounts:
    """Histograms of predictions, and the sums of squares that R2 follows from.

    Parameters
    ----------
    actual : JointCounts
        Predicted against actual values.
    residual : JointCounts
        Predicted values against residuals, actual - predicted.
    squares : tuple
        Sums of squares, as `squares_of` gives them.
    """

    actual: JointCounts
    residual: JointCounts
    squares: tuple

    @classmethod
    def of(cls, y: np.ndarray, predicted: np.ndarray, first_row: int = 0) -> PredictionCounts:
        """Counts of actual and predicted values (rows,), at least one row."""
        check_finite(y, "y", first_row)
        check_finite(predicted, "y_pred", first_row)
        parts = []
        for start in range(0, len(y), _ROWS):
            t, p = (values[start : start + _ROWS].astype(np.float64) for values in (y, predicted))
            parts.append(cls(JointCounts.of(p, t), JointCounts.of(p, t - p), squares_of(p[:, None], t[:, None])))
        return reduce(cls.__add__, parts)

    def __add__(self, other: PredictionCounts) -> PredictionCounts:
        return PredictionCounts(
            self.actual + other.actual, self.residual + other.residual, merge_squares(self.squares, other.squares)
        )

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return int(self.actual.counts.sum())

    @property
    def r2(self) -> float:
        """Coefficient of determination."""
        return r2_of(self.squares)


def count_predictions(y: Source, predicted: Source) -> PredictionCounts:
    """Counts of all rows, chunk by chunk and merged as a tree, so that memory does not grow with the rows.

    Parameters
    ----------
    y, predicted : source of shape (n_samples,)
        Actual and predicted values.

    Returns
    -------
    PredictionCounts
    """
    if not predicted.shape[0]:
        raise DataError("y and y_pred must have at least one row; got 0.")
    if all_in_memory(y, predicted):
        return PredictionCounts.of(*in_memory(y=y, y_pred=predicted))
    chunks = row_chunks_of(predicted, y)
    blocks = delayed_chunks([source_of(y).as_dask("y", chunks), source_of(predicted).as_dask("y_pred", chunks)])
    count, merge = dask.delayed(_count), dask.delayed(_merge)
    starts = np.cumsum((0, *chunks[:-1])).tolist()
    rows = [row for row, size in zip(zip(*blocks, starts, strict=True), chunks, strict=True) if size]
    # The dashboard shows the prefixes; the random part keeps the keys of several runs apart.
    run, n_merges = uuid4().hex, 0
    parts = [count(*row, dask_key_name=(f"count-{run}", i)) for i, row in enumerate(rows)]
    while len(parts) > 1:
        groups = [parts[i : i + _PARTS_PER_MERGE] for i in range(0, len(parts), _PARTS_PER_MERGE)]
        parts = [merge(group, dask_key_name=(f"merge-{run}", n_merges + i)) for i, group in enumerate(groups)]
        n_merges += len(groups)
    return compute(parts[0])[0]


def _count(y, predicted, first_row):
    return PredictionCounts.of(np.asarray(y), np.asarray(predicted), first_row)


def _merge(parts: Sequence[PredictionCounts]) -> PredictionCounts:
    return reduce(PredictionCounts.__add__, parts)
