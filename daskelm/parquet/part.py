"""One Parquet or Arrow file: its description, and the open file that rows are read from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

import numpy as np

from ..exceptions import DataError, FileFormatError
from ..hdf5.dataset import is_version
from ..hdf5.external import status_of
from ..hdf5.opening import missing_file
from ..hdf5.paths import is_url
from ..urls import without_secrets
from .files import opened

__all__ = ["OpenTable", "TablePart", "batch_rows", "changed", "run_lengths", "table_of"]

# Bytes of a batch that is unpacked at once: it stays in the cache of a core. Rows are fewer in a table of many columns,
# but not so few that the calls for each column take longer than unpacking.
_BATCH_BYTES, _LEAST_ROWS, _MOST_ROWS = 2**20, 256, 16384
# Parts of a file's status that must not change while it is open.
_IDENTITY = ("st_dev", "st_ino", "st_size", "st_mtime_ns")


@dataclass(frozen=True)
class TablePart:
    """Description of some columns of one file: path, columns, rows, rows of its groups, the file's size and date.

    `dataset` names the columns. `groups` are (rows, number) of consecutive row groups, or record batches, of one size.
    Reading it block by block takes `cache_bytes` for pages and batches, and `fetched_bytes` for what is fetched from a
    URL. `described_at` is the time of this description, in nanoseconds.
    """

    path: str
    dataset: str
    n_rows: int
    groups: tuple[tuple[int, int], ...]
    size: int
    modified: int
    cache_bytes: int
    fetched_bytes: int = 0
    described_at: int = field(default=0, compare=False)

    # Parts of HDF5 files may have these, and no file of this kind: see `dataset.Part`.
    chunk_rows: ClassVar[int] = 1
    unpacking_bytes: ClassVar[int] = 0
    missing: ClassVar[tuple] = ()
    holes: ClassVar[tuple] = ()
    sources: ClassVar[tuple] = ()
    packed_row_bytes: ClassVar[int] = 0
    recode: ClassVar[None] = None

    def __repr__(self):
        # Workers write the arguments of a task that fails to their log.
        return f"{type(self).__name__}({without_secrets(self.path)!r}, {self.label!r}, n_rows={self.n_rows})"

    def __dask_tokenize__(self):
        # Dask's names of tasks depend on the table, and not on the time of its description.
        return [getattr(self, one.name) for one in fields(self) if one.compare]

    @property
    def held_bytes(self) -> int:
        """Largest number of bytes that reading it block by block holds besides the blocks."""
        return self.cache_bytes + self.fetched_bytes

    @property
    def label(self) -> str:
        """Name of the table in messages."""
        return self.dataset

    def each(self) -> tuple[TablePart, ...]:
        """Parts of one table each: this one."""
        return (self,)

    def described(self, at: int) -> TablePart:
        """The same, as if it had been described at this time."""
        return replace(self, described_at=at)

    def check_written(self, first: int, last: int) -> None:
        """All rows were written: a file of this kind is complete or cannot be opened."""

    def group_edges(self) -> list[int]:
        """First row of each group, and the number of rows."""
        return np.cumsum([0] + [rows for rows, number in self.groups for _ in range(number)]).tolist()


def run_lengths(sizes: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """(size, number) of consecutive equal sizes: mostly two pairs, since only the last group of a file is smaller."""
    found: list[list[int]] = []
    for size in sizes:
        if found and found[-1][0] == size:
            found[-1][1] += 1
        else:
            found.append([size, 1])
    return tuple((size, number) for size, number in found)


def batch_rows(row_bytes: int) -> int:
    """Rows of a batch that is unpacked at once."""
    return min(max(_BATCH_BYTES // max(row_bytes, 1), _LEAST_ROWS), _MOST_ROWS)


def table_of(batch: Any) -> Any:
    """A record batch as a table."""
    import pyarrow

    return pyarrow.Table.from_batches([batch])


class OpenTable:
    """The open file of a part, from which one thread reads rows in any order.

    Rows that follow those read before go on in the same row group. Others begin at the start of their group, since
    the pages of a column are unpacked one after the other. Arrow's own threads unpack columns side by side if
    `use_threads`; a task has one core.
    """

    def __init__(
        self,
        part: TablePart,
        names: Sequence[str],
        row_bytes: int,
        encode: Callable[[Any], np.ndarray],
        use_threads: bool = False,
    ):
        self.part, self._names, self._encode, self._use_threads = part, list(names), encode, use_threads
        self._batch_rows = batch_rows(row_bytes)
        self._edges = part.group_edges()
        self._stack = contextlib.ExitStack()
        self._seen = self._version(at_opening=True)
        self._file = self._stack.enter_context(opened(part.path))
        try:
            if is_url(part.path) and self._file.version != (part.size, part.modified):
                raise changed(part.path, "another version of the file")
            if self._file.group_rows != np.diff(self._edges).tolist() or not set(names) <= set(self._file.schema.names):
                raise changed(part.path, "other rows or columns")
        except BaseException:
            self._stack.close()
            raise
        self._batches: Iterator[Any] = iter(())
        # The rows that were unpacked and not read yet, and the number of the first.
        self._rest: Any = None
        self._next = -1

    def _version(self, at_opening):
        """The status of the file; an error where it is not the one that was described. None at a URL."""
        path = self.part.path
        if is_url(path):
            if not at_opening and self._file.look() != (self.part.size, self.part.modified):
                raise changed(path, "another version of the file")
            return None
        try:
            status = status_of(path)
        except FileNotFoundError:
            raise missing_file(path, "there is no file any more") from None
        except OSError as error:
            raise changed(path, str(error.strerror)) from None
        known = is_version(self.part.size, self.part.modified, self.part.described_at, [status])
        same = at_opening or all(getattr(status, name) == getattr(self._seen, name) for name in _IDENTITY)
        if not known or not same:
            raise changed(path, "another version of the file")
        return status

    def is_past(self, first: int, last: int) -> bool:
        """No other file is open."""
        return False

    def close(self, check: bool) -> None:
        """Close the file; with `check`, refuse what was read if the file changed meanwhile."""
        try:
            if check:
                self._version(at_opening=False)
        finally:
            self._stack.close()

    def read(self, first: int, last: int, out: np.ndarray, coming: Callable) -> None:
        """Read rows first to last - 1 of the file into `out`."""
        try:
            self._seek(first)
            done = 0
            while done < last - first:
                rows = self._take(last - first - done)
                out[done : done + len(rows)] = self._numbers(rows, first + done)
                done += len(rows)
        except FileFormatError:
            if not is_url(self.part.path):
                # A file that was changed while it was read looks damaged.
                self._version(at_opening=False)
            raise

    def _numbers(self, rows, first):
        table = table_of(rows).select(self._names)
        try:
            return self._encode(table)
        except DataError as error:
            raise DataError(f"{self.part.path}, rows {first} to {first + len(rows) - 1}: {error}") from None

    def _seek(self, row):
        """Have the next batch begin with this row."""
        group = int(np.searchsorted(self._edges, row, "right")) - 1
        if self._rest is None or row < self._next or self._edges[group] > self._next:
            groups = group, len(self._edges) - 1
            self._batches = self._file.batches(*groups, self._names, self._batch_rows, self._use_threads)
            self._next, self._rest = self._edges[group], None
        while self._next < row:
            self._take(row - self._next)

    def _take(self, most):
        """At most so many rows from the next one on."""
        while self._rest is None or not len(self._rest):
            self._rest = next(self._batches, None)
            if self._rest is None:
                raise FileFormatError(
                    f"{self.part.path} must have {self.part.n_rows} rows; it ends before row {self._next}. Write it "
                    "again."
                )
        rows, self._rest = self._rest.slice(0, most), self._rest.slice(most)
        self._next += len(rows)
        return rows


def changed(path: str, got: str) -> FileFormatError:
    """The error for a file that is not the one that was described."""
    return FileFormatError(
        f"{path} changed while it was in use; got {got}. Start again with the files as they are now."
    )
