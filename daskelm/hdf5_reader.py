"""Reading blocks of rows from HDF5 files by path: what opening and reading takes, and what can go wrong."""

from __future__ import annotations

import contextlib
import glob
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Protocol

import h5py
import numpy as np

from .exceptions import FileFormatError, FileMissingError

__all__ = ["Hdf5Reader", "Part", "RowsOfParts", "cache_bytes", "missing_file", "open_file"]

# Most bytes of the cache of file chunks, which spares unpacking a chunk once per block where chunks are tall.
_CACHE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Part:
    """One dataset of one file: where it is, its rows, the rows of its chunks, the file's size and date.

    `cache_bytes` is what reading it block by block needs of memory for chunks.
    """

    path: str
    dataset: str
    n_rows: int
    chunk_rows: int
    size: int
    modified: int
    cache_bytes: int


def cache_bytes(dataset: h5py.Dataset) -> int:
    """Bytes of the cache of chunks that reading consecutive rows of a dataset takes; 0 where it is read in place."""
    chunks, shape = dataset.chunks, dataset.shape
    if not chunks or (chunks[1:] == shape[1:] and not dataset.id.get_create_plist().get_nfilters()):
        # Without a cache HDF5 reads such chunks right to where they belong: one copy less, and no memory of its own,
        # which Dask's workers give back and take again for each chunk.
        return 0
    row_bytes = dataset.dtype.itemsize * (shape[1] if len(shape) == 2 else 1)
    return min(max(chunks[0] * row_bytes, 2**20), _CACHE_BYTES)


class RowsOfParts(Protocol):
    """Rows of datasets in the order given: what is to be read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_rows, n_columns), or (n_rows,) of 1-D datasets."""

    @property
    def dtype(self) -> np.dtype:
        """Of what is read."""

    def ranges(self) -> Sequence[tuple[Part, int, int]]:
        """(part, first, last + 1), in rows of that part."""


class Hdf5Reader:
    """Reads blocks of rows; keeps the file of the last block open, and with it the cache of its chunks.

    With `reuse`, what was read is gone at the next read.
    """

    def __init__(self, source: RowsOfParts, reuse: bool = False):
        self.source, self._ranges = source, source.ranges()
        self._row_shape, self._dtype = source.shape[1:], source.dtype
        # Memory touched for the first time is zeroed page by page, and Dask's workers give it back as soon as it is
        # freed: reading into the same again takes 17 % off a gram task of 200 neurons there.
        self._memory = np.empty((0, *self._row_shape), self._dtype) if reuse else None
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
            room = np.empty((n_rows, *self._row_shape), self._dtype)
            if self._memory is None:
                return room
            self._memory = room
        return self._memory[:n_rows]

    def _read(self, part, first, last, out):
        if part is not self._part:
            self._close()
            self._file, self._part = open_file(part.path, rdcc_nbytes=part.cache_bytes), part
            self._dataset = dataset = self._file.get(part.dataset)
            if dataset is None or dataset.ndim != 1 + len(self._row_shape) or len(dataset) < part.n_rows:
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


def open_file(path, **options) -> h5py.File:
    """The HDF5 file at a path, to read from; `options` are those of h5py."""
    try:
        # Files are only read here; where a file system has no locks, reading needs none.
        return h5py.File(path, "r", locking="best-effort", **options)
    except (FileNotFoundError, NotADirectoryError):
        raise missing_file(path, "no such file, looked for") from None
    except PermissionError:
        raise
    except OSError as error:
        if os.path.isdir(path):
            raise FileFormatError(f"{path} is a folder; give a file, a list of files, or a glob.") from None
        raise FileFormatError(
            f"{path} cannot be read as HDF5: it is truncated, open for writing elsewhere, or another kind of file "
            f"({error}). Other formats are converted with make_hdf5."
        ) from None


def missing_file(path: str, what: str) -> FileMissingError:
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
