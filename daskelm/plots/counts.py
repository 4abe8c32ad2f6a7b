"""Numbers of rows in the cells of a plane, of which the size and place follow from the rows alone: sums that merge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from uuid import uuid4

import dask
import numpy as np

from ..cluster.errors import compute
from ..data.finite import check_finite
from ..data.row_chunks import all_in_memory, as_dask, delayed_chunks, row_chunks_of
from ..data.source import Source, in_memory
from ..exceptions import DataError
from ..passes.score import merge_squares, r2_of, squares_of

__all__ = ["JointCounts", "PredictionCounts", "count_predictions"]

# Cells along one axis, at most. Their width is the smallest power of two that does with so many, so that cells of one
# part of the rows lie within cells of the whole, and any cut of the rows gives the same counts.
_CELLS = 1024
# Powers of two below the largest value that are told apart, and the exponent of cells where all values are zero.
_DIGITS, _ZERO = 40, -2000
# Rows worked on at a time.
_ROWS = 2**18
_PARTS_PER_MERGE = 8


@dataclass(frozen=True, eq=False)
class JointCounts:
    """Cell (i, j) holds the rows with i 2^e <= x < (i + 1) 2^e for the first of two `exponents`, and y by the second.

    `cells` (n_cells, 2) and `counts` (n_cells,), int64, of those cells that hold any, in ascending order.
    """

    exponents: tuple[int, int]
    cells: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> JointCounts:
        """Of the rows of x and y (rows,), float64 and finite, at least one."""
        (e_x, i_x), (e_y, i_y) = _cells_of(x), _cells_of(y)
        return _counted((e_x, e_y), np.stack([i_x, i_y], axis=1), None)

    def __add__(self, other: JointCounts) -> JointCounts:
        exponents = tuple(max(pair) for pair in zip(self.exponents, other.exponents, strict=True))
        cells = np.concatenate([part._widened(exponents) for part in (self, other)])
        wider = [_excess(column) for column in cells.T]
        return _counted(
            (exponents[0] + wider[0], exponents[1] + wider[1]),
            cells >> wider,
            np.concatenate([self.counts, other.counts]),
        )

    def _widened(self, exponents):
        return self.cells >> np.minimum(np.subtract(exponents, self.exponents), 63)

    @property
    def centres(self) -> np.ndarray:
        """Middle of each cell (n_cells, 2)."""
        return np.ldexp(self.cells + 0.5, self._scales)

    @property
    def _scales(self):
        """Exponents to draw with: cells of nothing but zeros are as wide as those of nothing but ones."""
        return [1 - _DIGITS if exponent == _ZERO else exponent for exponent in self.exponents]

    def between(self, least: float, most: float) -> np.ndarray:
        """First and last + 1 cell (2, 2) along each axis, without the parts `least` and 1 - `most` at both ends."""
        bounds = []
        for column in self.cells.T:
            start = column.min()
            cumulative = np.cumsum(np.bincount(column - start, self.counts)) / self.counts.sum()
            first, last = np.searchsorted(cumulative, least, "right"), np.searchsorted(cumulative, most)
            bounds.append((start + first, start + min(last, len(cumulative) - 1) + 1))
        return np.array(bounds)

    def table(self, n_cells: int, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Edges of x and of y, and counts (n_x, n_y) of about `n_cells` wide cells along each axis within bounds."""
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


def _cells_of(values):
    """Exponent and cells (rows,): the least exponent that does with so many cells."""
    peak = np.abs(values).max()
    if not peak:
        return _ZERO, np.zeros(len(values), np.int64)
    exponent = int(np.frexp(peak)[1]) - _DIGITS
    cells = np.floor(np.ldexp(values, -exponent)).astype(np.int64)
    wider = _excess(cells)
    return exponent + wider, cells >> wider


def _excess(cells) -> int:
    """By how many powers of two cells must be wider."""
    low, high, wider = int(cells.min()), int(cells.max()), 0
    while (high >> wider) - (low >> wider) >= _CELLS:
        wider += 1
    return wider


def _counted(exponents, cells, counts):
    start = cells.min(axis=0)
    codes = (cells - start) @ [_CELLS, 1]
    # Whole numbers below 2^53 are exact in floats.
    total = np.bincount(codes, counts)
    found = np.flatnonzero(total)
    cells = np.stack(np.divmod(found, _CELLS), axis=1) + start
    return JointCounts(exponents, cells, total[found].astype(np.int64))


@dataclass(frozen=True, eq=False)
class PredictionCounts:
    """Predicted values counted against actual ones and against residuals, and the sums of squares that R2 is of."""

    actual: JointCounts
    residual: JointCounts
    squares: tuple

    @classmethod
    def of(cls, y: np.ndarray, predicted: np.ndarray, first_row: int = 0) -> PredictionCounts:
        """Of rows of actual and predicted values (rows,), at least one."""
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
    """Counts of all rows, chunk by chunk and merged as a tree: memory does not grow with the rows.

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
    blocks = delayed_chunks([as_dask(y, "y", chunks), as_dask(predicted, "y_pred", chunks)])
    count, merge = dask.delayed(_count), dask.delayed(_merge)
    starts = np.cumsum((0, *chunks[:-1])).tolist()
    rows = [row for row, size in zip(zip(*blocks, starts, strict=True), chunks, strict=True) if size]
    # Named for the dashboard, of this run alone.
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
