"""Samples of rows, all or evenly spaced runs: for the input scale, with ranges of constant columns, and others."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from ..progress import listening
from ..sparse import SparseRows, as_block, joined
from .finite import check_finite, check_weights
from .row_chunks import apply_to_rows
from .source import Source, source_of, take_runs

__all__ = ["Probe", "column_ranges", "probe", "probe_runs", "sample_runs"]

# The input scale is taken from all rows up to the first number, beyond it from evenly spaced runs of rows: 32,768 rows
# give a mean to 0.6 % of the standard deviation, and are read and used in a twentieth of a second.
PROBE_ROWS, PROBE_RUNS, PROBE_RUN_ROWS, PROBE_BYTES = 100_000, 64, 512, 256 * 2**20


def sample_runs(n_rows: int, row_bytes: int, all_up_to: int, n_sampled: int) -> Iterator[tuple[int, int]]:
    """Row ranges of a sample, which depend on the number of rows alone and not on chunks.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    row_bytes : int
        Bytes of a row; a sample has 256 MiB at most.
    all_up_to : int
        Number of rows up to which the sample is all of them.
    n_sampled : int
        Number of rows beyond that, in 64 runs of the same length.
    """
    most = max(PROBE_BYTES // max(row_bytes, 1), PROBE_RUNS)
    if n_rows <= min(most, all_up_to):
        yield 0, n_rows
        return
    length = min(n_sampled, most) // PROBE_RUNS
    for i in range(PROBE_RUNS):
        start = i * (n_rows - length) // (PROBE_RUNS - 1)
        yield start, start + length


def probe_runs(X: Source) -> list[tuple[int, int]]:
    """Row ranges of the sample that the input scale is taken from."""
    return list(sample_runs(X.shape[0], 8 * source_of(X).row_width, PROBE_ROWS, PROBE_RUNS * PROBE_RUN_ROWS))


class Probe(NamedTuple):
    """Rows (n_probe, n_features) of X, their weights (n_probe,) and their y; None for what is not there."""

    X: np.ndarray
    weights: np.ndarray | None = None
    y: np.ndarray | None = None


def probe(X: Source, weights: Source | None = None, y: Source | None = None, *, gaps: bool = False) -> Probe:
    """The rows that the input scale is taken from, with their weights and targets.

    Parameters
    ----------
    X : source of shape (n_samples, n_features)
        The inputs.
    weights : source of shape (n_samples,), optional
        Row weights.
    y : source of shape (n_samples,) or (n_samples, n_targets), optional
        Targets or labels.
    gaps : bool, default=False
        Whether X may have gaps, which are NaN.

    Returns
    -------
    Probe
        All rows up to 100,000, else 64 evenly spaced runs of 512; never more than 256 MiB.
    """
    runs = probe_runs(X)
    given = {"X": X, "sample_weight": weights, "y": y}
    there = [name for name, source in given.items() if source is not None]
    blocks = dict(zip(there, take_runs(runs, **given), strict=True))
    for name in ("X", "y"):
        for (start, _), block in zip(runs, blocks.get(name, ()), strict=False):
            check_finite(block, name, start, given[name], gaps=gaps and name == "X")
    if weights is not None:
        blocks["sample_weight"] = [block.reshape(-1).astype(np.float64) for block in blocks["sample_weight"]]
        for (start, _), block in zip(runs, blocks["sample_weight"], strict=True):
            check_weights(block, start)
    rows, of_rows, labels = (joined(blocks[name]) if name in blocks else None for name in given)
    return Probe(rows, of_rows, labels)  # type: ignore[arg-type]


def column_ranges(
    X: Source, weights: Source | None, columns: np.ndarray, verbose: int | bool = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Minimum and maximum (n_columns,) of some columns over the rows of positive weight, in one pass over X.

    Gaps, which are NaN, do not count. They are the same for any chunks and any order of the rows, to the last bit.

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
    X = as_block(X)
    counted = slice(None) if weights is None else np.asarray(weights).reshape(-1) > 0
    if isinstance(X, SparseRows):
        return _sparse_ranges(X[counted], columns)
    X = X[:, columns].astype(np.float64)[counted]
    return np.fmin.reduce(X, axis=0, initial=np.inf), np.fmax.reduce(X, axis=0, initial=-np.inf)


def _sparse_ranges(X, columns):
    values, places = X.kept
    low, high, there = np.zeros(X.shape[1]), np.zeros(X.shape[1]), np.bincount(places, minlength=X.shape[1])
    # A column that is kept in each row has no zeros but those that are kept.
    low[there == len(X)], high[there == len(X)] = np.inf, -np.inf
    np.minimum.at(low, places, values)
    np.maximum.at(high, places, values)
    return low[columns], high[columns]
