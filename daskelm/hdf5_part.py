"""A dataset of an HDF5 file, at a path or a URL: what opening and reading it takes, and what can go wrong."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import h5py
import numpy as np

from .exceptions import DaskelmError, FileFormatError, FileMissingError
from .netcdf import mark_missing
from .remote_files import RemoteFile, Version, versions_of
from .remote_rows import RemoteRows
from .urls import is_url

__all__ = ["OpenPart", "Part", "cache_bytes", "datasets_in", "file_sizes", "is_hdf5", "missing_file", "opened"]

# What pathlib and the like make of one.
_SQUEEZED_URL = re.compile(r"(^|/)[a-z][a-z0-9]+:/[^/]")
# Most bytes of the cache of file chunks, which spares unpacking a chunk once per block where chunks are tall.
_CACHE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Part:
    """One dataset of one file: where it is, its rows, the rows of its chunks, the file's size and date.

    `cache_bytes` is what reading it block by block needs of memory for chunks, `fetched_bytes` for what is fetched
    from a URL; `missing` are numbers that stand for missing values.
    """

    path: str
    dataset: str
    n_rows: int
    chunk_rows: int
    size: int
    modified: int
    cache_bytes: int
    fetched_bytes: int = 0
    missing: tuple[float | int, ...] = ()


def cache_bytes(dataset: h5py.Dataset) -> int:
    """Bytes of the cache of chunks that reading consecutive rows of a dataset takes; 0 where it is read in place."""
    chunks, shape = dataset.chunks, dataset.shape
    if not chunks or (chunks[1:] == shape[1:] and not dataset.id.get_create_plist().get_nfilters()):
        # Without a cache HDF5 reads such chunks right to where they belong: one copy less, and no memory of its own,
        # which Dask's workers give back and take again for each chunk.
        return 0
    row_bytes = dataset.dtype.itemsize * (shape[1] if len(shape) == 2 else 1)
    return min(max(chunks[0] * row_bytes, 2**20), _CACHE_BYTES)


class OpenPart:
    """The open file of a part, with what it takes to read rows of its dataset; for one thread."""

    def __init__(self, part: Part, ndim: int):
        self.part = part
        self._stack = contextlib.ExitStack()
        self._file, self._remote = self._stack.enter_context(opened(part.path, rdcc_nbytes=part.cache_bytes))
        try:
            self._dataset = dataset = self._call(self._file.get, part.dataset)
            if dataset is None or dataset.ndim != ndim or len(dataset) < part.n_rows:
                raise _changed(part, "no dataset" if dataset is None else dataset.shape)
            _need_filters(dataset, part.path)
            self._check_version(at_opening=True)
        except BaseException:
            self._stack.close()
            raise
        self._rows = None if self._remote is None else RemoteRows(self._remote, dataset)

    def _call(self, function, *args):
        return function(*args) if self._remote is None else self._remote.call(function, *args)

    def _check_version(self, at_opening=False):
        """Refuse a file at a URL that was written anew since it was described."""
        if self._remote is None:
            return
        seen = self._remote.seen if at_opening else self._remote.look()
        if seen != (self.part.size, self.part.modified):
            raise _changed(self.part, "another version of the file")

    def close(self, check: bool) -> None:
        """Close the file; with `check`, see to it that all was read from one version of it."""
        self._stack.close()
        if check:
            self._check_version()

    def read(self, first: int, last: int, out: np.ndarray, coming: Callable) -> None:
        """Rows first to last - 1 of the dataset to `out`; `coming` is for RemoteRows."""

        def read(a, b):
            if self._dataset.dtype == out.dtype:
                self._dataset.read_direct(out[a - first : b - first], np.s_[a:b])
            else:
                out[a - first : b - first] = self._dataset[a:b]

        try:
            if self._rows is None:
                read(first, last)
            else:
                self._rows.read(first, last, read, coming)
        except DaskelmError:
            raise
        except OSError as error:
            raise FileFormatError(
                f"{self.part.path}: rows {first} to {last - 1} of {self.part.dataset!r} cannot be read; the file is "
                f"truncated or damaged ({error}). Copy or convert it again."
            ) from None
        if self.part.missing:
            mark_missing(out, self.part.missing, self.part.path, first)


def _changed(part, got):
    return FileFormatError(
        f"{part.path} changed while it was in use: {part.dataset!r} had {part.n_rows} rows, got {got}. Start again "
        "with the files as they are now."
    )


@contextlib.contextmanager
def opened(path: str, remote: RemoteFile | None = None, **options) -> Iterator[tuple[h5py.File, RemoteFile | None]]:
    """The HDF5 file at a path or URL, to read from; `options` are those of h5py.

    All that reads from a file at a URL goes through `RemoteFile.call` of the second value, which is `remote` if given.
    """
    if remote is None and is_url(path):
        remote = RemoteFile(path)
    if remote is None:
        file = _open_file(path, **options)
    else:
        remote.look()
        try:
            file = remote.call(h5py.File, remote, "r", **options)
        except DaskelmError:
            raise
        except OSError as error:
            raise _not_hdf5(path, error) from None
    with file:
        yield file, remote


def datasets_in(file: h5py.File) -> dict[str, h5py.Dataset]:
    """The datasets of a file by name; one with several names by the first of these."""
    names: list[str] = []
    # By links: with each object, HDF5 would tell how large its index is, and go through all of that.
    file.visititems_links(lambda name, link: names.append(name) if isinstance(link, h5py.HardLink) else None)
    found: dict[h5py.Dataset, str] = {}
    for name in names:
        if isinstance(item := file.get(name), h5py.Dataset):
            found.setdefault(item, name)
    return {name: dataset for dataset, name in found.items()}


def file_sizes(paths: Sequence[str]) -> dict[str, int | str]:
    """Size of each file as this process sees it, or what keeps it from seeing it."""
    found: dict[str, int | str] = {
        path: os.path.getsize(path) if os.path.exists(path) else "no file" for path in paths if not is_url(path)
    }
    urls = [path for path in paths if is_url(path)]
    for url, seen in zip(urls, versions_of(urls), strict=True):
        found[url] = seen.size if isinstance(seen, Version) else str(seen)
    return found


def is_hdf5(path: str) -> bool:
    """Whether a file that is there is HDF5, as far as its beginning tells; at a URL, whether it can be opened."""
    if not is_url(path):
        return h5py.is_hdf5(path)
    try:
        with opened(path):
            return True
    except FileFormatError:
        return False


def _open_file(path, **options):
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
        raise _not_hdf5(path, error) from None


def _not_hdf5(path, error):
    return FileFormatError(
        f"{path} cannot be read as HDF5: it is truncated, open for writing elsewhere, or another kind of file "
        f"({error}). Other formats are converted with make_hdf5."
    )


def missing_file(path: str, what: str) -> FileMissingError:
    """The error for a path that leads to no file; some write the name of a dataset behind that of its file."""
    message = f"{path}: {what} on {socket.gethostname()}."
    if _SQUEEZED_URL.search(path):
        return FileMissingError(f"{message} A URL is a str; as a path it loses a slash.")
    splits = [(file, name) for file, mark, name in [path.partition("::")] if mark]
    splits += [(str(file), os.path.relpath(path, file)) for file in PurePath(path).parents]
    for file, name in splits:
        if any(map(os.path.isfile, [file, *glob.iglob(file)])):
            name = name.strip("/")
            message += f" If {name!r} is a dataset in {file}, name it so: from_hdf5({file!r}, dataset={name!r})."
            break
    return FileMissingError(message)


def _need_filters(dataset, path):
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
            f"{path} is compressed with HDF5 filter {missing[0]}, which is not installed on "
            f"{socket.gethostname()}. Install it there: pip install 'daskelm[hdf5plugin]'."
        )
