"""Every kind of X and y to row blocks: arrays in memory, dask arrays, rows of HDF5 files."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any

import dask
import dask.array as da
import h5py
import numpy as np

from ..cluster.errors import compute
from ..exceptions import DataError, InputTypeError
from ..hdf5.rows import open_rows
from ..hdf5.urls import place_of
from .frames import frame_to_numpy, frames_to_dask, is_frame, is_missing
from .from_hdf5 import rows_behind
from .interop import as_known, is_lazy_array
from .refusals import checked, refuse_promises, refuse_unusable
from .source import Chunks, Source, files_of, is_dask_array, source_of

__all__ = [
    "LARGEST_WEIGHT",
    "Chunks",
    "Source",
    "check_distinct",
    "check_finite",
    "check_lengths",
    "check_weights",
    "familiar",
    "first_bad",
    "in_memory",
    "is_lazy",
    "is_path",
    "lazily_together",
    "n_columns",
    "one_column",
    "open_input",
    "plain_values",
    "probe",
    "rows_between",
    "take_rows",
    "take_runs",
]

# The input scale is taken from all rows up to this number, beyond it from evenly spaced runs of rows: 32,768 in all
# know a mean to 0.6 % of the standard deviation, and are read and worked off in a twentieth of a second.
PROBE_ROWS, PROBE_RUNS, PROBE_RUN_ROWS, PROBE_BYTES = 100_000, 64, 512, 256 * 2**20


def is_path(value) -> bool:
    """Whether a value names HDF5 data: a path, a non-empty list of paths, a dataset, or opened rows."""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, str | os.PathLike) for item in value)
    return isinstance(value, str | os.PathLike | h5py.Dataset) or bool(files_of(value))


def is_lazy(value) -> bool:
    """Whether a value is data that is not in memory: HDF5 files, dask collections, arrays of zarr and xarray."""
    return is_path(value) or dask.is_dask_collection(value) or is_lazy_array(value)


def familiar(value, name: str):
    """A value as NumPy, pandas or Dask have it, paths as they are; what cannot be used is refused by its name."""
    if is_path(value):
        return value
    refuse_unusable(value, name)
    return as_known(value, name)


def open_input(value, name: str) -> Source:
    """One of the three forms that the work is done on.

    Parameters
    ----------
    value : array-like, dask collection, array of zarr or xarray, h5py.Dataset, path, list of paths or glob
        Data of shape (n_samples, n_features), (n_samples, n_targets) or (n_samples,).
    name : str
        The argument's, for errors.

    Returns
    -------
    ndarray, dask array with known chunks and one chunk of columns, or Hdf5Rows
    """
    if is_path(value):
        return open_rows(value)
    value = familiar(value, name)
    if not dask.is_dask_collection(value):
        return np.asarray(value)
    (array,) = lazily_together(**{name: value})
    if not is_dask_array(array):
        raise InputTypeError(
            f"{name}: of dask's collections, arrays and dataframes are taken; got {type(value).__name__}."
        )
    if (rows := rows_behind(array)) is not None:
        return rows
    if array.ndim > 1 and array.numblocks[1] > 1:
        array = checked(array, name).rechunk({1: -1})
    return array


def lazily_together(**values) -> list:
    """Dask frames as dask arrays, and all dask arrays with known numbers of rows; other values as they are.

    Columns of one table, as X, y and weights mostly are, stay columns of one table: their partitions are made
    together, and their rows are counted in one computation.
    """
    for name, value in values.items():
        refuse_promises(value, name)
    frames = {name: value for name, value in values.items() if dask.is_dask_collection(value) and is_frame(value)}
    arrays = values | dict(zip(frames, frames_to_dask(list(frames.values())), strict=True))
    for name, array in arrays.items():
        if is_dask_array(array):
            refuse_unusable(array._meta, f"{name} (its chunks)")
    unknown = [name for name, array in arrays.items() if is_dask_array(array) and np.isnan(array.size)]
    counted = _with_known_lengths([arrays[name] for name in unknown])
    known = arrays | dict(zip(unknown, counted, strict=True))
    # Partitions of a frame are read whole anyway, so that they can be checked before anything is made of them.
    return list((known | {name: checked(known[name], name) for name in frames}).values())


def _with_known_lengths(arrays):
    """Dask arrays of unknown numbers of rows with those that their chunks have, counted in one computation."""
    # Numbers of columns are hardly ever unknown. Dask finds them, and would change the array that it is given.
    arrays = [
        da.Array(array.dask, array.name, array.chunks, meta=array._meta).compute_chunk_sizes()
        if any(np.isnan(size) for sizes in array.chunks[1:] for size in sizes)
        else array
        for array in arrays
    ]
    lengths = compute(*(_lengths(array) for array in arrays))
    return [
        da.Array(array.dask, array.name, (tuple(sizes.tolist()), *array.chunks[1:]), meta=array._meta)
        for array, sizes in zip(arrays, lengths, strict=True)
    ]


def _lengths(array):
    """Rows of each chunk (n_chunks,), lazily; of several chunks of columns the first says it."""
    first = array.blocks[(slice(None),) + (0,) * (array.ndim - 1)]
    ones = ((1,) * array.numblocks[0],)
    return first.map_blocks(
        _n_rows, chunks=ones, drop_axis=list(range(1, array.ndim)), dtype=np.int64, meta=np.empty(0, np.int64)
    )


def _n_rows(chunk):
    return np.array([chunk.shape[0] if hasattr(chunk, "shape") else len(chunk)])


def plain_values(value, name: str):
    """A value in memory, of which frames and series are arrays with their numbers, nullable integers exact."""
    value = familiar(value, name)
    return frame_to_numpy(value) if is_frame(value) else value


def one_column(value):
    """Weights as one number per row, where they are a table of one column; anything else as it is."""
    return np.asarray(value).reshape(-1) if getattr(value, "ndim", 1) == 2 and value.shape[1] == 1 else value


def n_columns(source: Source) -> int:
    """Number of columns; 1 for one dimension."""
    return 1 if source.ndim < 2 else source.shape[1]


def check_lengths(**sources: Source | None) -> int:
    """Number of rows that all the sources have in common."""
    lengths = {name: source.shape[0] for name, source in sources.items() if source is not None}
    if len(set(lengths.values())) > 1:
        names, last = list(lengths)[:-1], list(lengths)[-1]
        got = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise DataError(f"{', '.join(names)} and {last} must have the same number of rows; {got}.")
    return next(iter(lengths.values()))


def check_distinct(**inputs: tuple[object, Source | None]) -> None:
    """Refuse two inputs that are one dataset where a path alone chose it; of each, what was given and its source."""
    tables = {
        name: (given, [(place_of(part.path), part.dataset) for part, _, _ in source_of(source).parts()])
        for name, (given, source) in inputs.items()
    }
    for (a, (given_a, held_a)), (b, (given_b, held_b)) in itertools.combinations(tables.items(), 2):
        same = set(held_a).intersection(held_b)
        # Named by from_hdf5 or as a dataset, both are meant: an autoencoder.
        if same and not all(dask.is_dask_collection(x) or isinstance(x, h5py.Dataset) for x in (given_a, given_b)):
            path, dataset = min(same)
            raise DataError(
                f"{a} and {b} must be different data, but both are dataset {dataset!r} of {path}, since a path stands "
                f"for the one 2-D dataset of its file. Name what is meant: from_hdf5(path, dataset=...) for {a} and "
                f"for {b}."
            )


# Squares of targets below 1e100, times such weights, added up over 10^10 rows are numbers still.
LARGEST_WEIGHT = 1e50

# Numbers looked at together: their mask stays small, since Dask's workers give memory from 128 KiB on back as soon as
# it is freed, and touching it anew takes longer than looking.
_CHECKED_AT_ONCE = 2**16


def check_finite(
    block: np.ndarray, name: str, first_row: int = 0, source: Source | None = None, columns: Sequence | None = None
) -> None:
    """Refuse NaN, infinity and missing labels, naming the file and the first row, and the column where it has a name.

    `first_row` is that of the block in `source`.
    """
    step = max(_CHECKED_AT_ONCE // max(block[:1].size, 1), 1)
    for start in range(0, len(block), step):
        present = _present(block[start : start + step])
        if present is None:
            return
        if not present.all():
            _refuse_missing(block[start : start + step], present, name, first_row + start, source, columns)


def _refuse_missing(block, present, name, first_row, source, columns):
    value, place = first_bad(~present, block, first_row, source, columns)
    rule = "be finite" if block.dtype.kind in "fc" else "not be missing"
    raise DataError(f"{name} must {rule}; got {value} first in {place}. Fill or drop such rows.")


def first_bad(
    bad: np.ndarray, block: np.ndarray, first_row: int, source: Source | None, columns: Sequence | None = None
) -> tuple[str, str]:
    """The first value of a block that is marked, and its place, as errors show them."""
    bad = bad.reshape(len(block), -1)
    row = int(np.argmax(bad.any(axis=1)))
    column = int(np.argmax(bad[row]))
    value = str(block.reshape(len(block), -1)[row, column]).replace("nan", "NaN")
    place = source_of(block if source is None else source).place(first_row + row)
    if block.ndim > 1:
        place += f", column {column}" + (f" ({columns[column]!r})" if columns is not None else "")
    return value, place


def _present(block):
    """Mask like the block of what is there: finite numbers, objects but None and NaN; None where all must be."""
    kind = block.dtype.kind
    if kind in "fc":
        return np.isfinite(block)
    if kind in "mM":
        return ~np.isnat(block)
    return ~np.frompyfunc(is_missing, 1, 1)(block).astype(bool) if kind == "O" else None


def check_weights(weights: np.ndarray, first_row: int = 0) -> None:
    """Refuse row weights (rows,) that are negative or not finite, naming the first row."""
    check_finite(weights, "sample_weight", first_row)
    if (weights < 0).any():
        row = first_row + int(np.argmax(weights < 0))
        raise DataError(
            f"sample_weight must not be negative; got {weights.min():g}, the first in row {row}. Rows are taken away "
            "again with NormalEquations: a - b."
        )
    if ((weights > LARGEST_WEIGHT) | ((weights < 1 / LARGEST_WEIGHT) & (weights > 0))).any():
        raise DataError(
            f"sample_weight must be 0, or between {1 / LARGEST_WEIGHT:g} and {LARGEST_WEIGHT:g}, since products with "
            f"squares are summed; got {weights[weights > 0].min():g} to {weights.max():g} in the rows from {first_row} "
            "on. Divide the weights by their mean."
        )


def in_memory(**sources: Source | None) -> list[Any]:
    """All of several sources as arrays here, by the names of the arguments; what is lazy is computed together.

    None stays None.
    """
    return list(
        compute(*(None if source is None else source_of(source).whole(name) for name, source in sources.items()))
    )


def rows_between(source: Source, rows: slice | None) -> tuple[int, int]:
    """First row and last + 1 of a slice of a source; past the end is an error, an empty range is not."""
    return source_of(source).row_range(rows)


def take_rows(source: Source, name: str, rows: slice | None) -> Source:
    """Consecutive rows of a source; past the end is an error, an empty range is not."""
    return source_of(source).rows(rows, name)


def probe_runs(n_rows: int, row_bytes: int) -> Iterator[tuple[int, int]]:
    """Row ranges of the probe: by row number only, so that chunks do not matter."""
    most = max(PROBE_BYTES // max(row_bytes, 1), PROBE_RUNS)
    if n_rows <= min(most, PROBE_ROWS):
        yield 0, n_rows
        return
    length = min(PROBE_RUN_ROWS, most // PROBE_RUNS)
    for i in range(PROBE_RUNS):
        start = i * (n_rows - length) // (PROBE_RUNS - 1)
        yield start, start + length


def probe(X: Source, weights: Source | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows that the input scale is taken from, and their weights.

    Parameters
    ----------
    X : source of shape (n_samples, n_features)
        The inputs.
    weights : source of shape (n_samples,), optional
        Row weights.

    Returns
    -------
    rows : ndarray of shape (n_probe, n_features)
        All rows up to 100,000, else 64 evenly spaced runs of 512; never more than 256 MiB.
    weights : ndarray of shape (n_probe,) or None
        Theirs.
    """
    runs = list(probe_runs(X.shape[0], 8 * n_columns(X)))
    rows, *others = take_runs(runs, X=X, sample_weight=weights)
    for (start, _), block in zip(runs, rows, strict=True):
        check_finite(block, "X", start, X)
    if weights is None:
        return np.concatenate(rows), None
    taken = [block.reshape(-1).astype(np.float64) for block in others[0]]
    for (start, _), block in zip(runs, taken, strict=True):
        check_weights(block, start)
    return np.concatenate(rows), np.concatenate(taken)


def take_runs(runs: Sequence[tuple[int, int]], **sources: Source | None) -> list[list[np.ndarray]]:
    """Several ranges of rows of each source that is given, here; what is lazy is computed together."""
    given = {name: source_of(source) for name, source in sources.items() if source is not None}
    blocks = compute(*(source.runs(runs) for source in given.values()))
    return [source.checked_runs(part, runs, name) for (name, source), part in zip(given.items(), blocks, strict=True)]
