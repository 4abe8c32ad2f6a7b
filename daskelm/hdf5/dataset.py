"""A dataset of an HDF5 file, at a path or a URL: what opening and reading it takes, and what can go wrong."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import PurePath

import h5py
import numpy as np

from ..exceptions import DaskelmError, FileFormatError, FileMissingError
from .external import SourceFiles, own_holes, status_of
from .layout import Outside, intersection, outsides_of, unwritten
from .netcdf import mark_missing
from .paths import check_regular
from .remote import RemoteFile, Version, versions_of
from .remote_rows import RemoteRows
from .urls import is_url

__all__ = [
    "OpenPart",
    "Part",
    "file_sizes",
    "is_hdf5",
    "missing_file",
    "opened",
    "sizes_of_parts",
]

# What pathlib and the like make of one.
_SQUEEZED_URL = re.compile(r"(^|/)[a-z][a-z0-9]+:/[^/]")
# By how much the time of a file may lag behind the clock: the kernel's own is coarse.
_CLOCK_NS = 20 * 10**6
# What stays the same of a file while it is open.
_IDENTITY = ("st_dev", "st_ino", "st_size", "st_mtime_ns")


@dataclass(frozen=True)
class Part:
    """One dataset of one file: where it is, its rows, the rows of its chunks, the file's size and date.

    `cache_bytes` is what reading it block by block needs of memory for chunks, `fetched_bytes` for what is fetched
    from a URL, `unpacking_bytes` while a chunk is unpacked; `missing` are numbers that stand for missing values.
    `holes` are runs of rows that were never written; `sources` are size and date of what is read from other files, in
    the order of `outsides_of`. `looked_at` is when all that was found, in nanoseconds.
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
    unpacking_bytes: int = 0
    holes: tuple[tuple[int, int], ...] = ()
    sources: tuple[tuple[int, int], ...] = ()
    looked_at: int = field(default=0, compare=False)

    def __dask_tokenize__(self):
        # The same table has the same name, whenever it is looked at.
        return [getattr(self, one.name) for one in fields(self) if one.compare]

    @property
    def held_bytes(self) -> int:
        """Most bytes that reading it block by block holds besides the blocks."""
        return self.cache_bytes + self.unpacking_bytes + self.fetched_bytes

    def check_written(self, first: int, last: int) -> None:
        """Refuse rows first to last - 1 if some were never written."""
        check_holes(self, self.holes, first, last)


def check_holes(part: Part, holes: Sequence[tuple[int, int]], first: int, last: int) -> None:
    """Refuse rows first to last - 1 of a part if some lie in holes, runs of rows that HDF5 would fill."""
    hole = next((hole for hole in holes if intersection([hole], first, last)), None)
    if hole is not None:
        raise unwritten(part.path, part.dataset, hole, (first, last))


def is_version(size: int, modified: int, looked_at: int, files: Iterable[os.stat_result]) -> bool:
    """Whether files have the sizes and dates, in sum, of those that were looked at then.

    A copy on another machine's disk has another date. It passes where it lay there, untouched, before that time; what
    was written or renamed later is another file.
    """
    files = list(files)
    if sum(status.st_size for status in files) != size:
        return False
    if sum(status.st_mtime_ns for status in files) == modified:
        return True
    return all(max(status.st_mtime_ns, status.st_ctime_ns) < looked_at - _CLOCK_NS for status in files)


class OpenPart:
    """The open file of a part, with what it takes to read rows of its dataset; for one thread.

    With `cached`, what is left of a chunk is kept for the next read.
    """

    def __init__(self, part: Part, ndim: int, cached: bool = True):
        self.part = part
        self._stack = contextlib.ExitStack()
        cache_bytes = part.cache_bytes if cached else 0
        # Rows of packed chunks are kept here, where they are in the file itself.
        packed = part.unpacking_bytes and not (part.sources or is_url(part.path))
        own_bytes = 0 if packed else cache_bytes
        self._file, self._remote = self._stack.enter_context(opened(part.path, rdcc_nbytes=own_bytes))
        try:
            self._dataset = dataset = self._call(self._file.get, part.dataset)
            if not isinstance(dataset, h5py.Dataset) or dataset.ndim != ndim or len(dataset) < part.n_rows:
                raise _changed(part, getattr(dataset, "shape", "no dataset"))
            _need_filters(dataset, part.path)
            self._files: dict[str, os.stat_result] = {}
            self._check_version(at_opening=True)
            self._holes = list(part.holes)
            self._looked: dict[int, Outside] = {}
            self._outsides = outsides_of(dataset) if self._remote is None else []
            if len(self._outsides) != len(part.sources):
                raise _changed(part, "other sources")
            self._sources = self._stack.enter_context(SourceFiles(rdcc_nbytes=cache_bytes))
            if self._remote is None and self._files[part.path].st_mtime_ns != part.modified:
                self._holes += own_holes(dataset, self._outsides, part.missing)
        except BaseException:
            self._stack.close()
            raise
        self._rows = None if self._remote is None else RemoteRows(self._remote, dataset, part.missing)
        self._chunks = _RowOfChunks(dataset) if packed and cached else None

    def _call(self, function, *args):
        return function(*args) if self._remote is None else self._remote.call(function, *args)

    def _check_version(self, at_opening=False):
        """Refuse a file that was written anew since it was described, or since it was opened."""
        part = self.part
        if self._remote is not None:
            seen = self._remote.seen if at_opening else self._remote.look()
            if seen != (part.size, part.modified):
                raise _changed(part, "another version of the file")
            return
        if at_opening:
            try:
                self._files[part.path] = status = status_of(part.path)
            except FileNotFoundError:
                raise missing_file(part.path, "there is no file any more") from None
            except OSError as error:
                raise _changed(part, error.strerror) from None
            if not is_version(part.size, part.modified, part.looked_at, [status]):
                raise _changed(part, "another version of the file")
            return
        for path, before in self._files.items():
            try:
                now = status_of(path)
            except FileNotFoundError:
                raise missing_file(path, "there is no file any more") from None
            except OSError as error:
                raise _changed(part, f"{path}: {error.strerror}") from None
            if any(getattr(now, name) != getattr(before, name) for name in _IDENTITY):
                raise _changed(part, f"another version of {path}")

    def is_past(self, first: int, last: int) -> bool:
        """Whether rows first to last - 1 lie in other sources than those that are open, which would stay open."""
        return any(outside.last <= first or outside.first >= last for outside in self._looked.values()) and any(
            i not in self._looked and outside.first < last and outside.last > first
            for i, outside in enumerate(self._outsides)
        )

    def _check_sources(self, first, last):
        """Open the sources of rows first to last - 1, and see that they are what they were."""
        part = self.part
        for i, outside in enumerate(self._outsides):
            if i in self._looked or outside.last <= first or outside.first >= last:
                continue
            seen = self._sources.look(outside, self._dataset, part.path, outside.first, outside.last)
            if not is_version(*part.sources[i], part.looked_at, seen.files.values()):
                raise _changed(part, f"another version of {', '.join(seen.files) or outside.file}")
            self._files |= seen.files
            if seen.version != part.sources[i]:
                self._holes += seen.holes
            self._looked[i] = outside

    def close(self, check: bool) -> None:
        """Close the file; with `check`, see to it that all was read from one version of it."""
        try:
            if check:
                self._check_version()
        finally:
            self._stack.close()

    def read(self, first: int, last: int, out: np.ndarray, coming: Callable) -> None:
        """Rows first to last - 1 of the dataset to `out`; `coming` is for RemoteRows."""
        self._check_sources(first, last)
        check_holes(self.part, self._holes, first, last)

        def read(a, b):
            if self._chunks is not None:
                self._chunks.read(a, b, out[a - first : b - first])
            else:
                _read_to(out[a - first : b - first], self._dataset, a, b)

        try:
            if self._rows is None:
                read(first, last)
            else:
                self._rows.read(first, last, read, coming)
        except DaskelmError:
            raise
        except OSError as error:
            if self._remote is None:
                self._check_version()
            raise FileFormatError(
                f"{self.part.path}: rows {first} to {last - 1} of {self.part.dataset!r} cannot be read; the file is "
                f"truncated or damaged ({error}). Copy or convert it again."
            ) from None
        if self.part.missing:
            mark_missing(out, self.part.missing, self.part.path, first)


def _read_to(out, dataset, first, last):
    if dataset.dtype == out.dtype:
        dataset.read_direct(out, np.s_[first:last])
    else:
        out[:] = dataset[first:last]


class _RowOfChunks:
    """Reads rows of a dataset of packed chunks, and keeps the last row of chunks of which a part was read.

    HDF5 would keep it too, but has one cache for all that have the dataset open in a process: of two tasks side by side
    each would drive out what the other one is reading, and all would be unpacked anew for each block.
    """

    def __init__(self, dataset: h5py.Dataset):
        self._dataset, self._height = dataset, dataset.chunks[0]
        self._first = -1
        self._memory: np.ndarray | None = None

    def read(self, first: int, last: int, out: np.ndarray) -> None:
        """Rows first to last - 1 to `out`."""
        a = first
        while a < last:
            low = a // self._height * self._height
            # As many whole rows of chunks as there are, at once.
            b = last if last == len(self._dataset) else last // self._height * self._height
            if a == low and b > a:
                _read_to(out[a - first : b - first], self._dataset, a, b)
            else:
                b = min(low + self._height, last)
                out[a - first : b - first] = self._kept(low)[a - low : b - low]
            a = b

    def _kept(self, low):
        if self._memory is None:
            self._memory = np.empty(
                (min(self._height, len(self._dataset)), *self._dataset.shape[1:]), self._dataset.dtype
            )
        if self._first != low:
            high = min(low + self._height, len(self._dataset))
            # Should that fail, nothing is kept.
            self._first = -1
            _read_to(self._memory[: high - low], self._dataset, low, high)
            self._first = low
        return self._memory


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


def file_sizes(paths: Sequence[str]) -> dict[str, int | str]:
    """Size of each file as this process sees it, or what keeps it from seeing it."""
    found: dict[str, int | str] = {
        path: os.path.getsize(path) if os.path.exists(path) else "no file" for path in paths if not is_url(path)
    }
    urls = [path for path in paths if is_url(path)]
    for url, seen in zip(urls, versions_of(urls), strict=True):
        found[url] = seen.size if isinstance(seen, Version) else str(seen)
    return found


def sizes_of_parts(parts: Sequence[Part]) -> dict[str, int | str]:
    """The same of all files that parts are read from, sources and raw files by the names that the parts have for them.

    In each process HDF5 looks for these by rules of its own, so that each is asked where they are.
    """
    found = file_sizes(list(dict.fromkeys(part.path for part in parts)))
    for part in parts:
        if part.sources and not isinstance(found[part.path], str):
            found |= _sizes_outside(part)
    return found


def _sizes_outside(part):
    try:
        with opened(part.path) as (file, _), SourceFiles() as sources:
            if not isinstance(dataset := file.get(part.dataset), h5py.Dataset):
                return {}
            seen = sources.survey(dataset, part.path, 0, len(dataset))
            return {name: os.path.getsize(place) for name, place in seen.names}
    except (OSError, DaskelmError) as error:
        return {f"what {part.path} is put together of": str(error)}


def is_hdf5(path: str) -> bool:
    """Whether a file that is there is HDF5, as far as its beginning tells; at a URL, whether it can be opened."""
    if not is_url(path):
        check_regular(path)
        return h5py.is_hdf5(path)
    try:
        with opened(path):
            return True
    except FileFormatError:
        return False


def _open_file(path, **options):
    if os.path.isdir(path):
        raise FileFormatError(f"{path} is a folder; give a file, a list of files, or a glob.")
    # HDF5 would wait for whoever writes to a named pipe.
    check_regular(path)
    try:
        # Files are only read here; where a file system has no locks, reading needs none.
        return h5py.File(path, "r", locking="best-effort", **options)
    except (FileNotFoundError, NotADirectoryError):
        raise missing_file(path, "no such file, looked for") from None
    except PermissionError:
        raise
    except OSError as error:
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
