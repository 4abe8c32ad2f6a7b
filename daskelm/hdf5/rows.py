"""Rows of any number of HDF5 files as one table: a description, which tasks read by path."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat

import h5py
import numpy as np
from dask.utils import natural_sort_key

from ..exceptions import DataError, DatasetNotFoundError, FileFormatError, InputTypeError, ParameterError
from .dataset import Part
from .external import check_prefixes, status_of, surveyed
from .links import dataset_named, datasets_in, dtype_of, links_in, listing, place_of_dataset
from .netcdf import check_unpacked, is_scale, missing_values
from .opening import missing_file, opened
from .paths import is_url, plain_path
from .reader import Hdf5Reader
from .remote import RemoteFile, urls_matching
from .remote_rows import check_kept_inside, fetched_bytes

__all__ = ["Hdf5Rows", "files_named", "open_rows", "row_range", "some"]

# Number of files at URLs that are described at the same time.
_N_THREADS = 16
# A row of compressed chunks with more bytes is read by one task only, since each of several would unpack all of it.
_SHARED_BYTES = 256 * 2**20


def row_range(rows: slice, n_rows: int, where: str = "") -> tuple[int, int]:
    """First row and last + 1 of a slice; rows past the end are an error, an empty range is not."""
    if not isinstance(rows, slice) or rows.step not in (None, 1):
        raise ParameterError(f"rows must be a slice of consecutive rows, such as slice(0, 1000); got {rows!r}.")
    first, last = (
        default if bound is None else bound + n_rows * (bound < 0)
        for bound, default in ((rows.start, 0), (rows.stop, n_rows))
    )
    if not 0 <= first <= n_rows or not last <= n_rows:
        raise DataError(f"rows must lie within the {n_rows} rows{where}; got slice({rows.start}, {rows.stop}).")
    return first, max(first, last)


@dataclass(frozen=True)
class Hdf5Rows:
    """Rows start to stop - 1 of the concatenated parts: a description without an open file, which can be pickled."""

    parts: tuple[Part, ...]
    start: int
    stop: int
    ndim: int
    n_columns: int
    dtype: np.dtype

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.stop - self.start

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_rows, n_columns), or (n_rows,) of 1-D datasets."""
        return (self.n_rows, self.n_columns) if self.ndim == 2 else (self.n_rows,)

    @property
    def paths(self) -> list[str]:
        """Paths of the files that hold these rows."""
        return list(dict.fromkeys(part.path for part, _, _ in self.ranges()))

    def ranges(self) -> list[tuple[Part, int, int]]:
        """(part, first, last + 1) for each part with rows here, in rows of that part."""
        out, offset = [], 0
        for part in self.parts:
            first, last = max(self.start - offset, 0), min(self.stop - offset, part.n_rows)
            if first < last:
                out.append((part, first, last))
            offset += part.n_rows
        return out

    def rows(self, rows: slice | None) -> Hdf5Rows:
        """A range of these rows; past the end is an error, an empty range is not."""
        if rows is None:
            return self
        return self.between(*row_range(rows, self.n_rows, f" of {some(self.paths)}"))

    def between(self, first: int, last: int) -> Hdf5Rows:
        """Rows first to last - 1, counted from the first one here."""
        # Parts outside of the range are left behind: a task carries the names of its own files only.
        first, last = self.start + first, self.start + last
        parts, offset, dropped = [], 0, 0
        for part in self.parts:
            if offset < max(last, first + 1) and offset + part.n_rows > first:
                parts.append(part)
            elif offset + part.n_rows <= first:
                dropped += part.n_rows
            offset += part.n_rows
        return replace(self, parts=tuple(parts), start=first - dropped, stop=last - dropped)

    def of_part(self, part: Part) -> Hdf5Rows:
        """All rows of one of the parts."""
        return replace(self, parts=(part,), start=0, stop=part.n_rows)

    def block_bounds(self, target_rows: int) -> list[tuple[int, int]]:
        """Row ranges of about `target_rows`, of whole file chunks where possible, each within one file."""
        bounds, here = [], 0
        for part, first, last in self.ranges():
            step = _step(part, target_rows)
            a = first
            while a < last:
                b = min(a // step * step + step, last)
                bounds.append((here, here + b - a))
                here += b - a
                a = b
        return bounds

    def runs_of_blocks(self, target_rows: int, n_rows: int) -> list[tuple[int, int]]:
        """Row ranges of whole blocks of `block_bounds`, each of the fewest that have `n_rows`; the last may have less.

        Where a row of compressed chunks is large, no range ends within it.
        """
        # Blocks are not listed, since there are millions of them in 10^10 rows.
        runs, start, here = [], 0, 0
        for part, first, last in self.ranges():
            large = part.unpacking_bytes and part.cache_bytes > _SHARED_BYTES
            step = part.chunk_rows if large else _step(part, target_rows)
            a = first
            while a < last:
                rest = start + n_rows - here
                b = min(-(-(a + rest) // step) * step, last)
                here += b - a
                a = b
                if here - start >= n_rows:
                    runs.append((start, here))
                    start = here
        return runs + [(start, here)] * (start < here)

    def check_written(self, ranges: Sequence[tuple[int, int]] | None = None) -> None:
        """Refuse ranges (start, stop) of these rows if some were never written; all of them if none are given."""
        if not any(part.holes for part in self.parts):
            return
        for start, stop in [(0, self.n_rows)] if ranges is None else ranges:
            for part, first, last in self.between(start, stop).ranges():
                part.check_written(first, last)

    def where(self, row: int) -> tuple[str, int]:
        """File of a row that is counted from the first one here, and its number in that file."""
        for part, first, last in self.ranges():
            if row < last - first:
                return part.path, first + row
            row -= last - first
        raise IndexError(row)

    def open(self, *, reuse: bool = False) -> Hdf5Reader:
        """Reader of these rows, for a `with` statement; with `reuse`, each read overwrites the last block."""
        return Hdf5Reader(self, reuse)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows start to stop - 1, counted from the first one here, of shape (stop - start, n_columns)."""
        return self.read_runs([(start, stop)])[0]

    def read_runs(self, runs: Sequence[tuple[int, int]]) -> list[np.ndarray]:
        """Rows as of `read` for several ranges (start, stop), in the order of their rows."""
        with Hdf5Reader(self, runs=runs) as reader:
            return [reader.read(start, stop) for start, stop in runs]


def _step(part, target_rows):
    """Rows of a block: whole chunks, unless a chunk has more rows than the block."""
    return target_rows if part.chunk_rows > target_rows else target_rows // part.chunk_rows * part.chunk_rows


def open_rows(path, dataset: str | None = None, rows: slice | None = None) -> Hdf5Rows:
    """Describe the rows of HDF5 data without reading them.

    Parameters
    ----------
    path : str, path-like, list of these, h5py.Dataset or Hdf5Rows
        One file, several in the order of their rows, a glob (in the natural order of names), URLs of these, or an open
        dataset, which is opened again by its file and name.
    dataset : str, optional
        Its name; not needed where every file holds exactly one 2-D numeric dataset, or a 1-D one that is its only
        numeric dataset.
    rows : slice, optional
        Consecutive rows of the concatenation.

    Returns
    -------
    Hdf5Rows
    """
    if isinstance(path, Hdf5Rows):
        return path.rows(rows)
    if isinstance(path, h5py.Dataset):
        path, dataset = _place_of(path)
    described = _describe_all(files_named(path), dataset)
    parts = tuple(part for part, _, _ in described)
    first_shape = described[0][1]
    for part, shape, _ in described:
        if shape[1:] != first_shape[1:]:
            raise DataError(
                f"all files must have the same number of columns; got {first_shape} in {parts[0].path} and {shape} in "
                f"{part.path}."
            )
    dtype = np.result_type(*(dtype for _, _, dtype in described))
    n_rows = sum(part.n_rows for part in parts)
    n_columns = first_shape[1] if len(first_shape) == 2 else 1
    return Hdf5Rows(parts, 0, n_rows, len(first_shape), n_columns, dtype).rows(rows)


def _place_of(dataset):
    if not dataset:
        raise FileFormatError("the h5py dataset's file is closed; give its path, or open the file again.")
    if dataset.file.mode != "r":
        raise ParameterError(
            f"{dataset.file.filename} is open for writing (mode {dataset.file.mode!r}), and no other process can read "
            "it now. Close it and give its path, or open it with mode 'r'."
        )
    check_prefixes(dataset, dataset.file.filename)
    return place_of_dataset(dataset)


def files_named(path) -> list[str]:
    """Files that a path, a list of paths, a glob, or URLs of these stand for; globs in the natural order of names."""
    if not isinstance(path, str | os.PathLike):
        if not isinstance(path, Iterable) or not (paths := list(path)):
            raise ParameterError(f"path must be a file, a non-empty list of files, or a glob; got {path!r}.")
        return [file for one in paths for file in files_named(one)]
    path = os.fspath(path)
    if is_url(path):
        return urls_matching(path)
    path = os.path.abspath(plain_path(path))
    if not glob.has_magic(path) or os.path.exists(path):
        return [path]
    found = sorted(glob.glob(path), key=natural_sort_key)
    if not found:
        raise missing_file(path, "no file matches this pattern")
    return found


def _describe_all(paths, name):
    # File systems are made here: each thread would have its own.
    remotes = [RemoteFile(path) if is_url(path) else None for path in paths]
    if len(paths) - remotes.count(None) < 2:
        return list(map(_describe, paths, remotes, repeat(name)))
    # The threads mostly wait for answers of servers.
    with ThreadPoolExecutor(_N_THREADS) as pool:
        return list(pool.map(_describe, paths, remotes, repeat(name)))


def _describe(path, remote, name) -> tuple[Part, tuple[int, ...], np.dtype]:
    if remote is not None:
        with opened(path, remote) as (file, _):
            found = remote.call(_describe_in, file, path, name, remote.seen)
            remote.forget()
            return found
    # The time is taken first, so that all later changes have a later time.
    now = time.time_ns()
    with opened(path) as (file, _):
        status = status_of(path)
        dataset = _found(file, path, name)
        # A link may lead to a dataset in another file.
        home = None if dataset.file == file else place_of_dataset(dataset)
        if home is None:
            found = _description(dataset, path, (status.st_size, status.st_mtime_ns), now)
    if home is not None:
        return _describe(home[0], None, home[1])
    after = status_of(path)
    if (after.st_ino, after.st_size, after.st_mtime_ns) != (status.st_ino, status.st_size, status.st_mtime_ns):
        raise FileFormatError(f"{path} changed while it was opened. Start again when it is complete.")
    return found


def _describe_in(file, path, name, version):
    """The description of a dataset in a file at a URL."""
    dataset = _found(file, path, name)
    check_kept_inside(file, dataset, path)
    return _description(dataset, path, version, 0)


def _found(file, path, name):
    dataset = _choose(file, path) if name is None else dataset_named(file, path, name)
    if (dtype := dtype_of(dataset)) is None or dtype.kind not in "fiub":
        what = "a type that NumPy does not have" if dtype is None else f"{dtype} (text or records)"
        raise InputTypeError(
            f"{path}: dataset {dataset.name!r} must hold numbers; got {what}. Code text columns as numbers first."
        )
    if dataset.ndim not in (1, 2):
        raise DataError(
            f"{path}: dataset {dataset.name!r} must be 2-D (rows, columns) or 1-D; got shape {dataset.shape}. "
            "Reshape it to one row per sample first."
        )
    check_unpacked(dataset, path)
    return dataset


def _description(dataset, path, version, now):
    missing = missing_values(dataset)
    part = Part(
        path,
        dataset.name,
        len(dataset),
        dataset.chunks[0] if dataset.chunks else 1,
        size=version[0],
        modified=version[1],
        fetched_bytes=fetched_bytes(dataset) if is_url(path) else 0,
        missing=missing,
        described_at=now,
        **surveyed(dataset, path, missing),
    )
    return part, dataset.shape, dataset.dtype.newbyteorder("=")


def _choose(file, path):
    own = list(datasets_in(file).values())
    chosen = _only_table(own)
    if chosen is None and not any(map(_is_table, own)):
        # A file of links alone stands for their targets. Links are followed last, since this takes the longest.
        links = links_in(file).values()
        if all(link.there for link in links):
            chosen = _only_table([link.item for link in links if isinstance(link.item, h5py.Dataset)])
    if chosen is not None:
        return chosen
    raise DatasetNotFoundError(
        f"{path} must hold exactly one 2-D numeric dataset, or a 1-D one alone, when none is named; got "
        f"{', '.join(listing(file)) or 'nothing'}. Name one: from_hdf5(path, dataset=...)."
    )


def _is_table(dataset):
    """Whether a dataset has rows of numbers; a single number is not a candidate."""
    dtype = dtype_of(dataset)
    return dtype is not None and dtype.kind in "fiub" and bool(dataset.ndim)


def _only_table(datasets):
    numeric = [dataset for dataset in datasets if _is_table(dataset)]
    fitting = [dataset for dataset in numeric if dataset.ndim == 2]
    if len(fitting) == 1:
        return fitting[0]
    # The axis of a vector is not a candidate, unless there is nothing else.
    vectors = [dataset for dataset in numeric if not is_scale(dataset)] or numeric
    return vectors[0] if len(vectors) == 1 and vectors[0].ndim == 1 else None


def some(names: Iterable) -> str:
    """The first names of many, for messages."""
    names = list(names)
    return ", ".join(map(str, names[:4])) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
