"""One dataset of one HDF5 file, at a path or a URL: its description, and the open file that rows are read from."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace

import h5py
import numpy as np

from ..exceptions import DaskelmError, FileFormatError
from ..urls import without_secrets
from .choice import Choice
from .columns import Column, Recode
from .compressed_chunks import CompressedChunks
from .external import SourceFiles, own_holes, status_of
from .layout import Outside, bytes_of_chunks, intersection, outsides_of, union, unwritten
from .netcdf import mark_missing
from .opening import file_sizes, missing_file, need_filters, opened, reading
from .packing import Packing
from .paths import is_url
from .remote_rows import RemoteRows
from .views import view_of
from .words import Words

__all__ = ["OpenPart", "Part", "is_version", "side_by_side", "sizes_of_parts"]

# The time of change of a file may lag so far behind the clock, since the kernel's own clock is coarse.
_CLOCK_NS = 20 * 10**6
# Parts of a file's status that must not change while it is open.
_IDENTITY = ("st_dev", "st_ino", "st_size", "st_mtime_ns")


@dataclass(frozen=True)
class Part:
    """Description of one dataset of one file: path, name, rows, rows per chunk, the file's size and date.

    Reading it block by block takes memory: `cache_bytes` for chunks, `fetched_bytes` for what is fetched from a URL,
    `unpacking_bytes` while a chunk is unpacked. `missing` are numbers that stand for missing values, `packing` is how
    codes become values, `words` how labels are read. `holes` are runs of rows that were never written. `sources` are
    size and date of the other files that it is read from, in the order of `outsides_of`. `described_at` is the time of
    this description, in nanoseconds.

    `choice` says which columns of the dataset are read, of numbers of `dtype`; picking them out of the blocks of the
    file takes `picking_bytes`. Chunks have `chunk_columns` columns (0 without chunks, and where that is not known), of
    `item_bytes` each. `beside` are parts with the columns that follow: `each` gives all, one by one. `columns` are
    those that are read, where some are codes, and `recode` changes codes to those that all files share.
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
    packing: Packing | None = None
    words: Words | None = None
    described_at: int = field(default=0, compare=False)
    choice: Choice = field(default_factory=Choice)
    dtype: str = "<f8"
    picking_bytes: int = 0
    chunk_columns: int = 0
    item_bytes: int = 8
    beside: tuple[Part, ...] = ()
    columns: tuple[Column, ...] | None = None
    recode: Recode | None = None

    def __repr__(self):
        # Workers write the arguments of a task that fails to their log.
        return f"{type(self).__name__}({without_secrets(self.path)!r}, {self.label!r}, n_rows={self.n_rows})"

    def __dask_tokenize__(self):
        # Dask's names of tasks depend on the table, and not on the time of its description.
        return [getattr(self, one.name) for one in fields(self) if one.compare]

    @property
    def held_bytes(self) -> int:
        """Largest number of bytes that reading it block by block holds besides the blocks."""
        widening = 0 if self.packing is None else self.packing.held_bytes(self.whole_rows)
        own = self.cache_bytes + self.unpacking_bytes + self.fetched_bytes + self.picking_bytes + widening
        return own + sum(part.held_bytes for part in self.beside)

    @property
    def whole_rows(self) -> int:
        """Rows that are best read together: those of a chunk that must be decompressed, else 1."""
        return self.chunk_rows if self.unpacking_bytes else 1

    @property
    def packed_row_bytes(self) -> int:
        """Bytes of a row of chunks that are packed; 0 where they are not."""
        own = self.cache_bytes if self.unpacking_bytes else 0
        return own + sum(part.packed_row_bytes for part in self.beside)

    @property
    def label(self) -> str:
        """Name of the dataset, with the columns that are read if these are not all."""
        names = [f"{part.dataset}{part.choice.label}" for part in self.each()]
        return ",".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")

    @property
    def n_columns(self) -> int:
        """Number of columns that are read."""
        return sum(part.choice.n_columns for part in self.each())

    @property
    def result_dtype(self) -> np.dtype:
        """The dtype of all columns that are read."""
        return np.result_type(*(np.dtype(part.dtype) for part in self.each()))

    def each(self) -> tuple[Part, ...]:
        """Parts of one dataset each: this one, and those beside it."""
        return (replace(self, beside=()), *self.beside) if self.beside else (self,)

    def described(self, at: int) -> Part:
        """The same, as if it had been described at this time."""
        return replace(self, described_at=at, beside=tuple(part.described(at) for part in self.beside))

    def take(self, positions: Sequence[int], single: bool) -> Part:
        """Some of the columns, by their positions among those here; `single` for one that becomes a vector."""
        if self.beside:
            owner = [part for part in self.each() for _ in range(part.choice.n_columns)]
            chosen = [owner[i] for i in positions]
            return chosen[0] if single else side_by_side(chosen)
        choice = self.choice.take(positions, single)
        if choice == self.choice:
            return self
        dtype = np.result_type(*(np.dtype(one) for _, one in choice.fields)).str if choice.fields else self.dtype
        packing = None if self.packing is None else replace(self.packing, row_size=choice.n_columns)
        taken = replace(self, choice=choice, dtype=dtype, packing=packing)
        if self.chunk_columns and (self.cache_bytes or self.unpacking_bytes):
            chunks = self.chunk_rows, self.chunk_columns, self.item_bytes
            cache, unpacking = bytes_of_chunks(choice, *chunks, bool(self.unpacking_bytes))
            taken = replace(taken, cache_bytes=cache, unpacking_bytes=unpacking)
        return replace(taken, picking_bytes=_most_picked(taken))

    def check_written(self, first: int, last: int, holes: Sequence[tuple[int, int]] | None = None) -> None:
        """Refuse rows first to last - 1 if some are in `holes`, runs of rows that HDF5 would fill."""
        holes = self.holes if holes is None else holes
        hole = next((hole for hole in holes if intersection([hole], first, last)), None)
        if hole is not None:
            raise unwritten(self.path, self.label, hole, (first, last))


def _most_picked(part):
    """Bytes as of `temporary_bytes`, from the description: a row of all columns, in pieces of 4 MiB or one chunk."""
    if part.choice.is_whole:
        return 0
    width = len(part.choice.fields) or part.choice.width
    return min(max(4 * 2**20, part.chunk_rows * width * part.item_bytes), part.n_rows * width * part.item_bytes)


def side_by_side(parts: Sequence[Part]) -> Part:
    """A part whose columns are those of several, which have the same rows."""
    holes = union(hole for part in parts for hole in part.holes)
    tallest = max(part.chunk_rows for part in parts)
    return replace(parts[0], chunk_rows=tallest, holes=tuple(holes), beside=tuple(parts[1:]))


def is_version(size: int, modified: int, described_at: int, files: Iterable[os.stat_result]) -> bool:
    """Whether files are those that were described: their sizes and dates have the same sums.

    A copy on another machine's disk has another date. It passes if it was there, untouched, before the time of the
    description; a file that was written or renamed later is another one.
    """
    files = list(files)
    if sum(status.st_size for status in files) != size:
        return False
    if sum(status.st_mtime_ns for status in files) == modified:
        return True
    return all(max(status.st_mtime_ns, status.st_ctime_ns) < described_at - _CLOCK_NS for status in files)


class OpenPart:
    """The open file of a part, from which one thread reads rows of its dataset.

    With `cached`, rows of a chunk that were not asked for are kept for the next read.
    """

    def __init__(self, part: Part, cached: bool = True):
        self.part = part
        self._stack = contextlib.ExitStack()
        cache_bytes = part.cache_bytes if cached else 0
        # Rows of compressed chunks that lie in the file itself are kept by `CompressedChunks` and not by HDF5.
        packed = part.unpacking_bytes and not (part.sources or is_url(part.path))
        own_bytes = 0 if packed else cache_bytes
        self._file, self._remote = self._stack.enter_context(opened(part.path, rdcc_nbytes=own_bytes))
        try:
            with reading(part.path, f"the description of {part.dataset!r}"):
                self._take(part, cache_bytes)
                self._rows = None
                if self._remote is not None:
                    self._rows = RemoteRows(self._remote, self._dataset, part.missing, part.choice)
                self._view = view_of(self._dataset, part.choice)
        except BaseException:
            self._stack.close()
            raise
        self._chunks = CompressedChunks(self._view) if packed and cached else None

    def _take(self, part, cache_bytes):
        """Find the dataset in the open file, and refuse it if it is not the one that was described."""
        self._dataset = dataset = self._call(self._file.get, part.dataset)
        if not isinstance(dataset, h5py.Dataset) or not _fits(dataset, part):
            raise _changed(part, getattr(dataset, "shape", "no dataset"))
        need_filters(dataset, part.path)
        self._files: dict[str, os.stat_result] = {}
        self._check_version(at_opening=True)
        self._holes = list(part.holes)
        self._opened_sources: dict[int, Outside] = {}
        self._outsides = outsides_of(dataset) if self._remote is None else []
        if len(self._outsides) != len(part.sources):
            raise _changed(part, "other sources")
        self._sources = self._stack.enter_context(SourceFiles(rdcc_nbytes=cache_bytes))
        if self._remote is None and self._files[part.path].st_mtime_ns != part.modified:
            self._holes += own_holes(dataset, self._outsides, part.missing, part.choice)

    def room(self, n_rows: int) -> np.ndarray:
        """An empty array for so many rows as they are in the file."""
        return np.empty((n_rows, *self._view.row_shape), self._view.dtype)

    def _call(self, function, *args):
        return function(*args) if self._remote is None else self._remote.call(function, *args)

    def _check_version(self, at_opening=False):
        """Refuse a file that was replaced or changed since it was described, or since it was opened."""
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
            if not is_version(part.size, part.modified, part.described_at, [status]):
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
        """Whether rows first to last - 1 lie in other sources than the open ones, which need not stay open then."""
        return any(outside.last <= first or outside.first >= last for outside in self._opened_sources.values()) and any(
            i not in self._opened_sources and outside.first < last and outside.last > first
            for i, outside in enumerate(self._outsides)
        )

    def _check_sources(self, first, last):
        """Open the sources of rows first to last - 1, and refuse those that were changed since the description."""
        part = self.part
        for i, outside in enumerate(self._outsides):
            if i in self._opened_sources or outside.last <= first or outside.first >= last:
                continue
            seen = self._sources.look(outside, self._dataset, part.path, outside.first, outside.last)
            if not is_version(*part.sources[i], part.described_at, seen.files.values()):
                raise _changed(part, f"another version of {', '.join(seen.files) or outside.file}")
            self._files |= seen.files
            if seen.version != part.sources[i]:
                self._holes += seen.holes
            self._opened_sources[i] = outside

    def close(self, check: bool) -> None:
        """Close the file; with `check`, refuse what was read if the file changed meanwhile."""
        try:
            if check:
                self._check_version()
        finally:
            self._stack.close()

    def _read_stored(self, first, last, out):
        """Read rows as they are in the file."""
        if self._chunks is not None:
            self._chunks.read(first, last, out)
        else:
            self._view.read(out, first, last)

    def read(self, first: int, last: int, out: np.ndarray, coming: Callable) -> None:
        """Read rows first to last - 1 of the dataset into `out`; `coming` is passed on to `RemoteRows.read`."""
        self._check_sources(first, last)
        self.part.check_written(first, last, self._holes)
        words = self.part.words if out.dtype.kind == "O" else None

        def read(a, b):
            target, packing = out[a - first : b - first], self.part.packing
            if words is not None:
                stored = np.empty(target.shape, self._dataset.dtype)
                self._read_stored(a, b, stored)
                target[:] = words.decode(stored, self.part.path, a)
            elif packing is None:
                self._read_stored(a, b, target)
            else:
                packing.read(self._read_stored, a, b, target, self.part.path, self.part.whole_rows)

        with reading(self.part.path, f"rows {first} to {last - 1} of {self.part.dataset!r}"):
            try:
                if self._rows is None:
                    read(first, last)
                else:
                    self._rows.read(first, last, read, coming)
            except OSError as error:
                if self._remote is None and not isinstance(error, DaskelmError):
                    self._check_version()
                raise
        if self.part.missing and self.part.packing is None and words is None:
            mark_missing(out, self.part.missing, self.part.path, first)


def _fits(dataset, part):
    """Whether a dataset still has the columns and rows that were described."""
    choice, shape = part.choice, dataset.shape
    if len(shape) != (1 if choice.fields or choice.vector else 2) or shape[choice.sample_axis] < part.n_rows:
        return False
    return len(shape) == 1 or shape[1 - choice.sample_axis] == choice.width


def _changed(part, got):
    return FileFormatError(
        f"{part.path} changed while it was in use: {part.dataset!r} had {part.n_rows} rows, got {got}. Start again "
        "with the files as they are now."
    )


def sizes_of_parts(parts: Sequence[Part]) -> dict[str, int | str]:
    """Sizes, as of `file_sizes`, of all files that parts are read from; sources have their names in the parts.

    HDF5 looks for sources by rules that depend on the process, so that each process is asked for what it finds.
    """
    parts = [one for part in parts for one in part.each()]
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
