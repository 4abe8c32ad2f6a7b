"""Files at URLs for h5py, which reads byte ranges that were fetched before, so that HDF5 never waits for a network.

h5py holds its global lock while HDF5 calls a Python file. Fetching there would keep all other threads from HDF5, and
could lock up: fsspec works in a thread of its own, and when garbage collection in that thread meets an h5py object, it
waits for the lock. So a file here never fetches while it is read: it raises an error, h5py gives up the call and its
lock, the missing bytes are fetched, and the call is made again.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from dask.utils import natural_sort_key

from ..exceptions import (
    DaskelmError,
    FileAccessError,
    FileFormatError,
    FileMissingError,
    MissingExtraError,
    ParameterError,
)
from ..urls import without_secrets
from .paths import check_url

__all__ = ["PAGE_BYTES", "RemoteFile", "Version", "read_bytes", "urls_matching", "versions_of"]

# Bytes are fetched and kept in pages of this size. HDF5 keeps its metadata in a few pages close to each other.
PAGE_BYTES = 64 * 2**10
# Where HDF5 looks up metadata step by step, each step with missing bytes fetches twice as many pages, up to these.
_MOST_PAGES = 16
# A look-up that needs more bytes is refused: it would go through a whole file with metadata in all places.
_MOST_LOOKED_UP = 256 * 2**20
# Longer ranges are fetched in pieces, side by side: one connection is slower than the network.
_REQUEST_BYTES = 4 * 2**20
# Number of files whose size is asked for at the same time.
_N_THREADS = 16
# Facts that change when a file is written anew, under the names of several file systems.
_STAMPS = (
    *("ETag", "etag", "md5Hash", "generation"),
    *("LastModified", "last_modified", "Last-Modified", "mtime", "modified", "created"),
)


class Version(NamedTuple):
    """Size of a file, and a number that changes when the file is written anew, if its server reports any such fact."""

    size: int
    stamp: int


class _NotFetched(OSError):
    """A read needs bytes that were not fetched."""


class RemoteFile:
    """A file at a URL of fsspec, for one thread; the constructor does not check that it exists.

    `seek`, `tell`, `read` and `readinto` are for h5py.
    """

    def __init__(self, url: str):
        self.url = url
        self._fs, self._path = _file_system(url)
        self.seen = Version(0, 0)
        self._pages: dict[int, memoryview] = {}
        self._missing: set[int] = set()
        self._position = 0

    def __repr__(self):
        return without_secrets(self.url)

    def look(self) -> Version:
        """Size and stamp of the file as it is now, kept as `seen`; to be called before anything is read."""
        with _translated_errors(self.url):
            # fsspec keeps listings, which may be out of date.
            self._fs.invalidate_cache(self._path)
            facts = self._fs.info(self._path)
        if facts.get("type") == "directory":
            raise FileFormatError(f"{self.url} is a folder; give a file, a list of files, or a glob.")
        if facts.get("size") is None:
            raise FileFormatError(
                f"{self.url}: its server must report the size of the file; got none. Copy the file to a file system, "
                "or to an object store."
            )
        facts_known = repr([(name, str(facts[name])) for name in _STAMPS if facts.get(name)])
        stamp = int.from_bytes(hashlib.sha256(facts_known.encode()).digest()[:7], "big")
        self.seen = Version(int(facts["size"]), stamp)
        return self.seen

    def call(self, function: Callable, *args, **kwargs) -> Any:
        """The result of a function that reads from this file, called again after missing bytes were fetched."""
        width, before = 1, len(self._pages)
        while True:
            self._missing.clear()
            try:
                result = function(*args, **kwargs)
            except Exception:
                # h5py turns the error of missing bytes into others, and takes some of them for an answer.
                if not self._missing:
                    raise
            if not self._missing:
                return result
            self.fetch(page for first in self._missing for page in range(first, first + width))
            width = min(2 * width, _MOST_PAGES)
            if (len(self._pages) - before) * PAGE_BYTES > _MOST_LOOKED_UP:
                raise FileFormatError(
                    f"{self.url}: what HDF5 looks up lies in too many places of the file to fetch them one by one. "
                    "Name the dataset, or copy the file with h5repack -S PAGE -G 4194304, which puts it together."
                )

    def gather(self, calls: Sequence[Callable]) -> None:
        """Fetch together the bytes that all functions read; errors of the functions are ignored here."""
        while calls:
            missing: set[int] = set()
            again = []
            for call in calls:
                self._missing.clear()
                with contextlib.suppress(OSError, RuntimeError, ValueError, MemoryError):
                    call()
                if self._missing:
                    missing |= self._missing
                    again.append(call)
            self.fetch(missing)
            calls = again

    def fetch(self, pages: Iterable[int]) -> None:
        """Fetch pages, all at once, except those that were fetched before or are past the end."""
        end = -(-self.seen.size // PAGE_BYTES)
        runs: list[list[int]] = []
        for page in sorted(set(pages).difference(self._pages)):
            if page >= end:
                break
            if runs and runs[-1][1] == page and (page - runs[-1][0]) * PAGE_BYTES < _REQUEST_BYTES:
                runs[-1][1] += 1
            else:
                runs.append([page, page + 1])
        starts = [first * PAGE_BYTES for first, _ in runs]
        stops = [min(last * PAGE_BYTES, self.seen.size) for _, last in runs]
        for start, data in zip(starts, self._ranges(starts, stops), strict=True):
            view = memoryview(data)
            for offset in range(0, len(view), PAGE_BYTES):
                self._pages[(start + offset) // PAGE_BYTES] = view[offset : offset + PAGE_BYTES]

    def _ranges(self, starts, stops):
        if not starts:
            return []
        with _translated_errors(self.url):
            found = self._fs.cat_ranges([self._path] * len(starts), starts, stops, on_error="raise")
        for start, stop, data in zip(starts, stops, found, strict=True):
            if len(data) < stop - start:
                raise FileFormatError(
                    f"{self.url} changed while it was in use: it had {self.seen.size} bytes, and ends before {stop} "
                    "now. Start again with the files as they are now."
                )
            if len(data) > stop - start:
                raise FileFormatError(
                    f"{self.url}: its server must give parts of a file (byte ranges); got {len(data)} bytes for "
                    f"{stop - start}. Copy the file to a file system, or to an object store."
                )
        return found

    def forget(self) -> None:
        """Free all fetched pages."""
        self._pages.clear()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position."""
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.seen.size}[whence]
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def read(self, size: int) -> bytes:
        """Bytes from the position on."""
        data = bytearray(size)
        return bytes(data[: self.readinto(memoryview(data))])

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer from the position on, to the end of the file at most; or note missing pages, and raise."""
        start, stop = self._position, min(self._position + len(buffer), self.seen.size)
        needed = range(start // PAGE_BYTES, -(-stop // PAGE_BYTES))
        if missing := [page for page in needed if page not in self._pages]:
            self._missing.update(missing)
            raise _NotFetched(f"{self.url}: bytes {start} to {stop - 1} are not here yet.")
        for page in needed:
            first, last = max(start, page * PAGE_BYTES), min(stop, (page + 1) * PAGE_BYTES)
            buffer[first - start : last - start] = self._pages[page][first % PAGE_BYTES :][: last - first]
        self._position = max(start, stop)
        return max(stop - start, 0)


def versions_of(urls: Sequence[str]) -> Iterator[Version | DaskelmError]:
    """Versions of many files, asked for at the same time; for a file that cannot be reached, its error."""
    files = [RemoteFile(url) for url in urls]

    def look(file):
        try:
            return file.look()
        except DaskelmError as error:
            return error

    with ThreadPoolExecutor(_N_THREADS) as pool:
        yield from pool.map(look, files)


def urls_matching(url: str) -> list[str]:
    """The URLs that a glob stands for, in the natural order of names; of any other URL, itself."""
    check_url(url)
    # In a URL of a web server, a question mark begins the query, and is no wildcard.
    if not glob.has_magic(url.partition("?")[0] if url.startswith("http") else url):
        return [url]
    fs, pattern = _file_system(url)
    if not url.endswith(pattern):
        raise ParameterError(f"globs cannot be resolved in URLs of this kind; got {url}. Give the files as a list.")
    with _translated_errors(url):
        fs.invalidate_cache()
        found = fs.glob(pattern)
    if not found:
        raise FileMissingError(f"{url}: no file matches this pattern.")
    return sorted((url.removesuffix(pattern) + name for name in found), key=natural_sort_key)


def read_bytes(url: str, stop: int | None = None) -> bytes:
    """All bytes of a small file, or those up to `stop`."""
    check_url(url)
    fs, path = _file_system(url)
    with _translated_errors(url):
        return fs.cat_file(path, start=None if stop is None else 0, end=stop)


def _file_system(url):
    from fsspec.core import url_to_fs

    check_url(url)
    with _translated_errors(url):
        return url_to_fs(url)


@contextlib.contextmanager
def _translated_errors(url):
    """Turns errors of any file system into those of daskelm."""
    try:
        yield
    except DaskelmError:
        raise
    except FileNotFoundError as error:
        # fsspec raises this also where a web server denies permission, or does not answer.
        cause = f" ({type(error.__cause__).__name__}: {error.__cause__})" if error.__cause__ else ""
        raise FileMissingError(f"{url}: no such file or bucket{cause}.") from None
    except IsADirectoryError:
        raise FileFormatError(f"{url} is a folder; give a file, a list of files, or a glob.") from None
    except ImportError as error:
        remedy = "pip install 'daskelm[s3]'" if url.startswith("s3") else "here, and on all workers"
        raise MissingExtraError(
            f"{url}: reading it needs a package that is not installed ({error}). Install it: {remedy}."
        ) from None
    except Exception as error:  # noqa: BLE001  (Each file system has errors of its own.)
        what = f"{type(error).__name__}: {error}".rstrip(".")
        if isinstance(error, ValueError) and "rotocol" in str(error):
            raise ParameterError(
                f"{url}: fsspec must know the protocol of a URL; got {what}. Use one that it knows, such as "
                "s3://, gs:// or https://."
            ) from None
        raise FileAccessError(
            f"{url} cannot be read ({what}). See to it that its server can be reached, and that this process has the "
            "permission, the credentials and the settings of fsspec (FSSPEC_...) that it takes."
        ) from None
