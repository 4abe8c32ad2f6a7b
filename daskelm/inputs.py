"""Every kind of X and y to row blocks: arrays in memory, dask arrays, rows of HDF5 files."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence

import dask
import dask.array as da
import h5py
import numpy as np
import scipy.sparse

from .cluster_loss import compute
from .exceptions import DataError, InputTypeError
from .frames import frame_to_dask, is_frame, is_missing
from .hdf5 import Hdf5Rows, open_rows, row_range, some
from .hdf5_arrays import from_hdf5, source_of
from .other_arrays import as_known, is_lazy_array
from .urls import place_of

__all__ = [
    "Chunks",
    "Source",
    "as_dask",
    "check_distinct",
    "check_finite",
    "check_lengths",
    "check_weights",
    "familiar",
    "in_memory",
    "is_lazy",
    "is_path",
    "n_columns",
    "open_input",
    "probe",
    "rows_between",
    "take_rows",
    "take_runs",
]

Source = np.ndarray | da.Array | Hdf5Rows

# The input scale is taken from all rows up to this number, beyond it from evenly spaced runs of rows: 32,768 in all
# know a mean to 0.6 % of the standard deviation, and are read and worked off in a twentieth of a second.
PROBE_ROWS, PROBE_RUNS, PROBE_RUN_ROWS, PROBE_BYTES = 100_000, 64, 512, 256 * 2**20


def is_path(value) -> bool:
    """Whether a value names HDF5 data: a path, a non-empty list of paths, a dataset, or opened rows."""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, str | os.PathLike) for item in value)
    return isinstance(value, str | os.PathLike | h5py.Dataset | Hdf5Rows)


def is_lazy(value) -> bool:
    """Whether a value is data that is not in memory: HDF5 files, dask collections, arrays of zarr and xarray."""
    return is_path(value) or dask.is_dask_collection(value) or is_lazy_array(value)


def familiar(value, name: str):
    """A value as NumPy, pandas or Dask have it, paths as they are; what cannot be used is refused by its name."""
    if is_path(value):
        return value
    _refuse_unusable(value, name)
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
        return value if isinstance(value, Hdf5Rows) else open_rows(value)
    value = familiar(value, name)
    if not dask.is_dask_collection(value):
        return np.asarray(value)
    array = frame_to_dask(value, lengths=True) if is_frame(value) else value
    if not isinstance(array, da.Array):
        raise InputTypeError(
            f"{name}: of dask's collections, arrays and dataframes are taken; got {type(value).__name__}."
        )
    if (rows := source_of(array)) is not None:
        return rows
    _refuse_unusable(array._meta, f"{name} (its chunks)")
    if any(np.isnan(size) for sizes in array.chunks for size in sizes):
        array = array.compute_chunk_sizes()
    if array.ndim > 1 and array.numblocks[1] > 1:
        array = array.rechunk({1: -1})
    return array


def _refuse_unusable(value, name):
    """Refuse what would be read as something else, or not at all: sparse, masked, an HDF5 file without a dataset."""
    if scipy.sparse.issparse(value) or hasattr(value, "toarray"):
        raise InputTypeError(
            f"{name}: sparse matrices are not supported, since a hidden layer of random weights makes them dense at "
            f"once; got {type(value).__name__}. Use {name}.toarray(), or reduce the columns first, for example with "
            "sklearn.decomposition.TruncatedSVD."
        )
    if isinstance(value, np.ma.MaskedArray):
        raise InputTypeError(
            f"{name}: masked arrays are not supported, since what is behind the mask would be used; got "
            f"{type(value).__name__}. Fill them, {name}.filled(value), or drop these rows."
        )
    if isinstance(value, h5py.Group):
        raise InputTypeError(
            f"{name}: an HDF5 file or group holds datasets by name; got {value!r}. Give one: file[name], or its path."
        )


def n_columns(source: Source) -> int:
    """Number of columns; 1 for one dimension."""
    return 1 if source.ndim == 1 else source.shape[1]


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
        name: (given, [(place_of(part.path), part.dataset) for part, _, _ in source.ranges()])
        for name, (given, source) in inputs.items()
        if isinstance(source, Hdf5Rows)
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
    bad = ~present.reshape(len(block), -1)
    row = int(np.argmax(bad.any(axis=1)))
    column = int(np.argmax(bad[row]))
    value = str(block.reshape(len(block), -1)[row, column]).replace("nan", "NaN")
    place = f"row {first_row + row}"
    if isinstance(source, Hdf5Rows):
        path, row_in_file = source.where(first_row + row)
        place = f"row {row_in_file} of {path}"
    if block.ndim > 1:
        place += f", column {column}" + (f" ({columns[column]!r})" if columns is not None else "")
    rule = "be finite" if block.dtype.kind in "fc" else "not be missing"
    raise DataError(f"{name} must {rule}; got {value} first in {place}. Fill or drop such rows.")


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


class Chunks:
    """Consecutive arrays read as one, by row numbers."""

    def __init__(self, arrays: Sequence[np.ndarray]):
        self.arrays = arrays
        self.edges = np.cumsum([0] + [len(array) for array in arrays])

    @property
    def n_rows(self) -> int:
        """Number of rows of all."""
        return int(self.edges[-1])

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows start to stop - 1."""
        first = int(np.searchsorted(self.edges, start, "right")) - 1
        last = int(np.searchsorted(self.edges, stop, "left"))
        parts = [
            array[max(start - edge, 0) : stop - edge]
            for array, edge in zip(self.arrays[first:last], self.edges[first:last], strict=False)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts or [self.arrays[0][:0]])


def in_memory(source: Source) -> np.ndarray:
    """All of a source as an array here."""
    if isinstance(source, Hdf5Rows):
        return source.read(0, source.n_rows)
    return compute(source)[0] if isinstance(source, da.Array) else source


def rows_between(source: Source, rows: slice | None) -> tuple[int, int]:
    """First row and last + 1 of a slice of a source; past the end is an error, an empty range is not."""
    where = f" of {some(source.paths)}" if isinstance(source, Hdf5Rows) else ""
    return (0, source.shape[0]) if rows is None else row_range(rows, source.shape[0], where)


def take_rows(source: Source, rows: slice | None) -> Source:
    """Consecutive rows of a source; past the end is an error, an empty range is not."""
    if isinstance(source, Hdf5Rows) or rows is None:
        return source.rows(rows) if isinstance(source, Hdf5Rows) else source
    start, stop = row_range(rows, source.shape[0])
    return source[start:stop]


def as_dask(source: Source, row_chunks=None) -> da.Array:
    """The source as a dask array, in the row chunks given."""
    if isinstance(source, Hdf5Rows):
        array = from_hdf5(source)
    elif isinstance(source, np.ndarray):
        array = da.from_array(source, chunks=(row_chunks or -1,) + (-1,) * (source.ndim - 1))
    else:
        array = source
    return array if row_chunks is None or array.chunks[0] == row_chunks else array.rechunk({0: row_chunks})


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
    rows = take_runs(X, runs)
    for (start, _), block in zip(runs, rows, strict=True):
        check_finite(block, "X", start, X)
    if weights is None:
        return np.concatenate(rows), None
    taken = [block.reshape(-1).astype(np.float64) for block in take_runs(weights, runs)]
    for (start, _), block in zip(runs, taken, strict=True):
        check_weights(block, start)
    return np.concatenate(rows), np.concatenate(taken)


def take_runs(source: Source, runs: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Several ranges of rows, here."""
    if isinstance(source, Hdf5Rows):
        return source.read_runs(runs)
    blocks = [source[start:stop] for start, stop in runs]
    return list(compute(*blocks)) if isinstance(source, da.Array) else blocks
