"""X, y and weights as users give them, of whatever library, as arrays, dask arrays or rows of files."""

from __future__ import annotations

import itertools

import dask
import h5py
import numpy as np

from ..cluster.errors import compute
from ..exceptions import DataError, InputTypeError
from ..hdf5.column_first import column_first_by
from ..hdf5.paths import place_of
from ..lazy import da
from ..sparse import as_block
from .frames import frame_to_numpy, frames_to_dask, is_frame
from .from_hdf5 import check_uncoded, rows_behind
from .from_parquet import open_files
from .interop import is_lazy_array, to_supported
from .refusals import checked, refuse_promises, refuse_unusable
from .source import Source, is_dask_array, is_path, source_of

__all__ = [
    "check_distinct",
    "check_lengths",
    "is_lazy",
    "lazily_together",
    "one_column",
    "open_input",
    "plain_values",
]


def is_lazy(value) -> bool:
    """Whether data are not in memory: files, dask collections, arrays of zarr and xarray."""
    return is_path(value) or dask.is_dask_collection(value) or is_lazy_array(value)


def open_input(value, name: str) -> Source:
    """Data as a NumPy array, a dask array or rows of files.

    Parameters
    ----------
    value : array-like, dask collection, array of zarr or xarray, h5py.Dataset, path, list of paths or glob
        Data of shape (n_samples, n_features), (n_samples, n_targets) or (n_samples,).
    name : str
        Name of the argument, for errors.

    Returns
    -------
    ndarray, dask array with known chunks and one chunk of columns, or FileRows
    """
    if is_path(value):
        return _only_X_sparse(open_files(value), name)
    value = to_supported(value, name)
    if not dask.is_dask_collection(value):
        return as_block(value)
    (array,) = lazily_together(**{name: value})
    if not is_dask_array(array):
        raise InputTypeError(f"{name}: a dask collection must be an array or a dataframe; got {type(value).__name__}.")
    if (rows := rows_behind(array)) is not None:
        return _only_X_sparse(rows, name)
    check_uncoded(array, name)
    if array.ndim > 1 and array.numblocks[1] > 1:
        array = checked(array, name).rechunk({1: -1})
    return array


def _only_X_sparse(rows, name):
    if rows.is_sparse and name != "X":
        raise InputTypeError(
            f"{name} must be dense, since only X may be sparse; got a sparse table in {place_of(rows.parts[0].path)}. "
            "Name a dataset: from_hdf5(path, dataset=...)."
        )
    return rows


def lazily_together(**values) -> list:
    """Dask frames and arrays as dask arrays whose numbers of rows are known; other values as they are.

    X, y and weights are mostly columns of one table: their partitions are converted together, so that rows stay
    paired, and their rows are counted in one computation.
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
    # Partitions of a frame are read whole in any case, so they are checked before they are cut.
    return list((known | {name: checked(known[name], name) for name in frames}).values())


def _with_known_lengths(arrays):
    """Dask arrays with the numbers of rows that their chunks have, counted in one computation."""
    # The number of columns is rarely unknown; Dask computes it then, on a copy, since it changes the array given.
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
    """Rows of each chunk (n_chunks,), lazily, counted in the first chunk of columns."""
    first = array.blocks[(slice(None),) + (0,) * (array.ndim - 1)]
    ones = ((1,) * array.numblocks[0],)
    return first.map_blocks(
        _n_rows, chunks=ones, drop_axis=list(range(1, array.ndim)), dtype=np.int64, meta=np.empty(0, np.int64)
    )


def _n_rows(chunk):
    return np.array([chunk.shape[0] if hasattr(chunk, "shape") else len(chunk)])


def plain_values(value, name: str):
    """Data in memory, with frames and series as arrays of numbers; nullable integers stay exact."""
    value = to_supported(value, name)
    return frame_to_numpy(value) if is_frame(value) else value


def one_column(value):
    """Weights (n_samples,) from a table of one column; any other value as it is."""
    return np.asarray(value).reshape(-1) if getattr(value, "ndim", 1) == 2 and value.shape[1] == 1 else value


def check_lengths(**sources: Source | None) -> int:
    """The number of rows, which all the sources must share."""
    lengths = {name: source.shape[0] for name, source in sources.items() if source is not None}
    if len(set(lengths.values())) > 1:
        names, last = list(lengths)[:-1], list(lengths)[-1]
        got = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        given = {name: source for name, source in sources.items() if source is not None}
        raise DataError(
            f"{', '.join(names)} and {last} must have the same number of rows; {got}.{_on_their_side(given)}"
        )
    return next(iter(lengths.values()))


def _on_their_side(sources) -> str:
    """Remedy for tables that hold a column in each row, as shapes or attributes of their files show; or ""."""
    shapes = {name: source.shape for name, source in sources.items()}
    written = {name: by for name, source in sources.items() if (by := column_first_by(source_of(source).files))}
    for n in {n for shape in shapes.values() for n in shape if n > 1}:
        turned = [name for name, shape in shapes.items() if shape[0] != n and len(shape) == 2]
        if turned and all(n == shape[0] or (name in turned and shape[1] == n) for name, shape in shapes.items()):
            break
    else:
        turned = list(written)
    if not turned:
        return ""
    by = next((f" as {written[name]} writes it" for name in turned if name in written), "")
    name = turned[0]
    if source_of(sources[name]).files is None:
        return f" {' and '.join(turned)} may be on its side: give {name}.T, (n_samples, n_columns)."
    return (
        f" {' and '.join(turned)} may be on its side,{by or ' as programs that store columns first write it'} "
        f"(MATLAB, R, Octave, Julia, Fortran): give from_hdf5(path, transpose=True) for {name}, or FILE::DATASET.T in "
        "the command."
    )


def check_distinct(**inputs: tuple[object, Source | None]) -> None:
    """Refuse two inputs that are the same dataset, chosen by a path alone; each is given as (value, source)."""
    tables = {name: (given, _choices(source)) for name, (given, source) in inputs.items()}
    for (a, (given_a, held_a)), (b, (given_b, held_b)) in itertools.combinations(tables.items(), 2):
        # Where both are named, by from_hdf5 or as a dataset, the same data are meant: an autoencoder.
        if all(dask.is_dask_collection(x) or isinstance(x, h5py.Dataset) for x in (given_a, given_b)):
            continue
        for place in sorted(held_a.keys() & held_b.keys()):
            if not any(one.shares(other) for one in held_a[place] for other in held_b[place]):
                continue
            path, dataset = place
            if all(one.is_whole for one in (*held_a[place], *held_b[place])):
                raise DataError(
                    f"{a} and {b} must be different data, but both are dataset {dataset!r} of {path}, since a path "
                    f"stands for the one 2-D dataset of its file. Name what is meant: from_hdf5(path, dataset=...) for "
                    f"{a} and for {b}."
                )
            raise DataError(
                f"{a} and {b} must be different columns of {f'dataset {dataset!r} of ' if dataset else ''}{path}; got "
                "some that are in both. Choose them: target=NAME takes y out of X (--target in the command), and "
                f"columns=[...] of {'from_hdf5' if dataset else 'from_parquet'} names those of {a}."
            )


def _choices(source) -> dict:
    """The choices of columns that rows of files are, by path and dataset, which Parquet files have none of."""
    found: dict = {}
    files = source_of(source).files
    for path, dataset, choice in () if files is None else files.choices():
        found.setdefault((place_of(path), dataset), set()).add(choice)
    return found
