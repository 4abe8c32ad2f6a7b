"""HDF5 files to row blocks: any number of files as one table, described here and read by path where it is needed."""

from __future__ import annotations

import contextlib
import glob
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

import h5py
import numpy as np
from dask.utils import natural_sort_key

from .exceptions import (
    DataError,
    DatasetNotFoundError,
    FileFormatError,
    FileMissingError,
    InputTypeError,
    ParameterError,
)

__all__ = ["Hdf5Reader", "Hdf5Rows", "Part", "open_rows", "row_range", "some"]

# Most bytes of the cache of file chunks, which spares reading a chunk once per block where chunks are tall.
_CACHE_BYTES = 256 * 2**20


def row_range(rows: slice, n_rows: int, where: str = "") -> tuple[int, int]:
    """First row and last + 1 of a slice; past the end is an error, an empty range is not."""
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
class Part:
    """One dataset of one file: where it is, its rows, the rows of its chunks, the file's size and date."""

    path: str
    dataset: str
    n_rows: int
    chunk_rows: int
    size: int
    modified: int


@dataclass(frozen=True)
class Hdf5Rows:
    """Rows start to stop - 1 of the concatenation of the parts; a description, no open file, so it travels anywhere."""

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
        """The files that hold these rows."""
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
        """Row ranges of about `target_rows`, whole file chunks where possible, none across two files."""
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
        """Row ranges of whole blocks of `block_bounds`, as few as make `n_rows` or more; the last may have less."""
        # Found without going through the blocks, of which there are millions in 10^10 rows.
        runs, start, here = [], 0, 0
        for part, first, last in self.ranges():
            step = _step(part, target_rows)
            a = first
            while a < last:
                lacking = start + n_rows - here
                b = min(-(-(a + lacking) // step) * step, last)
                here += b - a
                a = b
                if here - start >= n_rows:
                    runs.append((start, here))
                    start = here
        return runs + [(start, here)] * (start < here)

    def where(self, row: int) -> tuple[str, int]:
        """File and row in it, of a row counted from the first one here."""
        for part, first, last in self.ranges():
            if row < last - first:
                return part.path, first + row
            row -= last - first
        raise IndexError(row)

    def open(self, *, reuse: bool = False) -> Hdf5Reader:
        """Reader of these rows, for use in a `with` statement; with `reuse`, what it read is gone at its next read."""
        return Hdf5Reader(self, reuse)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows start to stop - 1, counted from the first one here, of shape (stop - start, n_columns)."""
        with self.open() as reader:
            return reader.read(start, stop)


class Hdf5Reader:
    """Reads blocks of rows; keeps the file of the last block open, and with it the cache of its chunks."""

    def __init__(self, source: Hdf5Rows, reuse: bool = False):
        self.source = source
        # Memory touched for the first time is zeroed page by page, and Dask's workers give it back as soon as it is
        # freed: reading into the same again takes 17 % off a gram task of 200 neurons there.
        self._memory = np.empty((0, *source.shape[1:]), source.dtype) if reuse else None
        self._ranges = source.ranges()
        self._part: Part | None = None
        self._file: h5py.File | None = None
        self._dataset: Any = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._close()

    def _close(self):
        if self._file is not None:
            self._file.close()
        self._file = self._part = self._dataset = None

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows start to stop - 1, counted from the first row of the source; native byte order."""
        pieces, here = [], 0
        for part, first, last in self._ranges:
            a, b = max(start - here, 0), min(stop - here, last - first)
            if a < b:
                pieces.append((part, first + a, first + b))
            here += last - first
        out, here = self._room(sum(last - first for _, first, last in pieces)), 0
        for part, first, last in pieces:
            self._read(part, first, last, out[here : here + last - first])
            here += last - first
        return out

    def _room(self, n_rows):
        if self._memory is None or len(self._memory) < n_rows:
            room = np.empty((n_rows, *self.source.shape[1:]), self.source.dtype)
            if self._memory is None:
                return room
            self._memory = room
        return self._memory[:n_rows]

    def _read(self, part, first, last, out):
        if part is not self._part:
            self._close()
            row_bytes = self.source.n_columns * self.source.dtype.itemsize
            cache = min(max(part.chunk_rows * row_bytes, 2**20), _CACHE_BYTES)
            self._file, self._part = _open(part.path, rdcc_nbytes=cache), part
            self._dataset = dataset = self._file.get(part.dataset)
            if dataset is None or dataset.ndim != self.source.ndim or len(dataset) < part.n_rows:
                raise FileFormatError(
                    f"{part.path} changed while it was in use: {part.dataset!r} had {part.n_rows} rows, got "
                    f"{'no dataset' if dataset is None else dataset.shape}. Start again with the files as they are now."
                )
            _need_filters(dataset)
        try:
            if self._dataset.dtype == out.dtype:
                self._dataset.read_direct(out, np.s_[first:last])
            else:
                out[:] = self._dataset[first:last]
        except OSError as error:
            raise FileFormatError(
                f"{part.path}: rows {first} to {last - 1} of {part.dataset!r} cannot be read; the file is truncated or "
                f"damaged ({error}). Copy or convert it again."
            ) from None


def _step(part, target_rows):
    """Rows of a block: of whole chunks if they are not taller."""
    return target_rows if part.chunk_rows > target_rows else target_rows // part.chunk_rows * part.chunk_rows


def _open(path, **options):
    try:
        # Files are only read here; where a file system has no locks, reading needs none.
        return h5py.File(path, "r", locking="best-effort", **options)
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(path, "no such file, looked for") from None
    except PermissionError:
        raise
    except OSError as error:
        if os.path.isdir(path):
            raise FileFormatError(f"{path} is a folder; give a file, a list of files, or a glob.") from None
        raise FileFormatError(
            f"{path} cannot be read as HDF5: it is truncated, open for writing elsewhere, or another kind of file "
            f"({error}). Other formats are converted with make_hdf5."
        ) from None


def _missing(path, what):
    """The error for a path that leads to no file; some write the name of a dataset behind that of its file."""
    message = f"{path}: {what} on {socket.gethostname()}."
    splits = [(file, name) for file, mark, name in [path.partition("::")] if mark]
    splits += [(str(file), os.path.relpath(path, file)) for file in PurePath(path).parents]
    for file, name in splits:
        if any(map(os.path.isfile, [file, *glob.iglob(file)])):
            name = name.strip("/")
            message += f" If {name!r} is a dataset in {file}, name it so: from_hdf5({file!r}, dataset={name!r})."
            break
    return FileMissingError(message)


def _need_filters(dataset):
    """Make sure that compressed data can be read: HDF5 has gzip and lzf, hdf5plugin the others."""
    properties = dataset.id.get_create_plist()
    codes = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    if all(map(h5py.h5z.filter_avail, codes)):
        return
    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401
    missing = [code for code in codes if not h5py.h5z.filter_avail(code)]
    if missing:
        raise FileFormatError(
            f"{dataset.file.filename} is compressed with HDF5 filter {missing[0]}, which is not installed on "
            f"{socket.gethostname()}. Install it there: pip install 'daskelm[hdf5plugin]'."
        )


def open_rows(path, dataset: str | None = None, rows: slice | None = None) -> Hdf5Rows:
    """Describe the rows of HDF5 data without reading them.

    Parameters
    ----------
    path : str, path-like, list of these, h5py.Dataset or Hdf5Rows
        One file, several in the order of their rows, a glob (in the natural order of names), or an open dataset, of
        which only file and name are taken.
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
        path, dataset = _path_of(path), path.name
    described = [_describe(file, dataset) for file in _files(path)]
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


def _path_of(dataset):
    if not dataset:
        raise FileFormatError("the h5py dataset's file is closed; give its path, or open the file again.")
    if dataset.file.mode != "r":
        raise ParameterError(
            f"{dataset.file.filename} is open for writing (mode {dataset.file.mode!r}), and nobody else can read it "
            "then. Close it and give its path, or open it with mode 'r'."
        )
    return dataset.file.filename


def _files(path) -> list[str]:
    if not isinstance(path, str | os.PathLike):
        if not isinstance(path, Iterable) or not (paths := list(path)):
            raise ParameterError(f"path must be a file, a non-empty list of files, or a glob; got {path!r}.")
        return [file for one in paths for file in _files(one)]
    path = os.path.abspath(os.fspath(path))
    if not glob.has_magic(path) or os.path.exists(path):
        return [path]
    found = sorted(glob.glob(path), key=natural_sort_key)
    if not found:
        raise _missing(path, "no file matches this pattern")
    return found


def _describe(path, name) -> tuple[Part, tuple[int, ...], np.dtype]:
    with _open(path) as file:
        dataset = _choose(file, path) if name is None else file.get(name)
        if not isinstance(dataset, h5py.Dataset):
            raise DatasetNotFoundError(f"{path} has no dataset {name!r}; it holds {some(_datasets(file))}.")
        if dataset.dtype.kind not in "fiub":
            raise InputTypeError(
                f"{path}: dataset {dataset.name!r} must hold numbers; got {dataset.dtype} (text or records). Code text "
                "columns as numbers first."
            )
        if dataset.ndim not in (1, 2):
            raise DataError(
                f"{path}: dataset {dataset.name!r} must be 2-D (rows, columns) or 1-D; got shape {dataset.shape}. "
                "Reshape it to one row per sample first."
            )
        chunk_rows = dataset.chunks[0] if dataset.chunks else 1
        status = os.stat(path)
        part = Part(path, dataset.name, len(dataset), chunk_rows, status.st_size, status.st_mtime_ns)
        return part, dataset.shape, dataset.dtype.newbyteorder("=")


def _datasets(file) -> dict[str, h5py.Dataset]:
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(visit)
    return found


def _choose(file, path):
    found = _datasets(file)
    # Single numbers are no rows, and leave nothing to choose.
    numeric = [dataset for dataset in found.values() if dataset.dtype.kind in "fiub" and dataset.ndim]
    fitting = [dataset for dataset in numeric if dataset.ndim == 2]
    if len(fitting) == 1:
        return fitting[0]
    if len(numeric) == 1 and numeric[0].ndim == 1:
        return numeric[0]
    listed = ", ".join(f"{name} {data.shape} {data.dtype}" for name, data in found.items()) or "nothing"
    raise DatasetNotFoundError(
        f"{path} must hold exactly one 2-D numeric dataset, or a 1-D one alone, when none is named; got {listed}. "
        "Name one: from_hdf5(path, dataset=...)."
    )


def some(names: Iterable) -> str:
    """The first names of many, for messages."""
    names = list(names)
    return ", ".join(map(str, names[:4])) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
