"""Sparse tables of HDF5 files as rows: a description, which tasks read by path, and blocks of their non-zeros."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar, Self

import h5py
import numpy as np

from ..exceptions import DataError, DatasetNotFoundError, FileFormatError, ParameterError
from ..sparse import SparseRows, joined
from .choice import Asked, Choice
from .dataset import is_version
from .external import status_of
from .file_rows import FileRows
from .links import listing
from .opening import need_filters, opened, reading
from .paths import is_url
from .sparse_layout import inside, layout_of, sparse_groups

__all__ = ["SparseFileRows", "SparsePart", "open_sparse"]

# Most bytes of packed chunks of a vector that are kept.
_MOST_CACHE = 256 * 2**20
# Parts of a file's status that must not change while it is open.
_IDENTITY = ("st_dev", "st_ino", "st_size", "st_mtime_ns")


@dataclass(frozen=True)
class SparsePart:
    """Description of one sparse table of one file: path, group, rows, numbers that are kept, the file's size and date.

    `names` are those of its three vectors; reading it takes `cache_bytes` for packed chunks.
    """

    path: str
    dataset: str
    n_rows: int
    n_columns: int
    n_kept: int
    names: tuple[str, str, str]
    dtype: str
    size: int
    modified: int
    cache_bytes: int
    described_at: int = field(default=0, compare=False)

    # Parts of other tables may have these: see `dataset.Part`.
    chunk_rows: ClassVar[int] = 1
    fetched_bytes: ClassVar[int] = 0
    unpacking_bytes: ClassVar[int] = 0
    missing: ClassVar[tuple] = ()
    holes: ClassVar[tuple] = ()
    sources: ClassVar[tuple] = ()
    packed_row_bytes: ClassVar[int] = 0
    recode: ClassVar[None] = None
    words: ClassVar[None] = None

    def __dask_tokenize__(self):
        # Dask's names of tasks depend on the table, and not on the time of its description.
        return [getattr(self, one.name) for one in fields(self) if one.compare]

    @property
    def held_bytes(self) -> int:
        """Largest number of bytes that reading it block by block holds besides the blocks."""
        return self.cache_bytes

    @property
    def label(self) -> str:
        """Name of the table in messages."""
        return self.dataset

    def each(self) -> tuple[SparsePart, ...]:
        """Parts of one table each: this one."""
        return (self,)

    def described(self, at: int) -> SparsePart:
        """The same, as if it had been described at this time."""
        return replace(self, described_at=at)

    def check_written(self, first: int, last: int) -> None:
        """All rows were written, as far as the edges of rows say; what was not is found when it is read."""


@dataclass(frozen=True)
class SparseFileRows(FileRows):
    """Rows start to stop - 1 of sparse tables in HDF5 files: a description, which can be pickled."""

    is_sparse: ClassVar[bool] = True

    @property
    def row_width(self) -> int:
        """The memory of a row with its places, in numbers of 8 bytes, on average."""
        kept, n_rows = (sum(getattr(part, name) for part in self.parts) for name in ("n_kept", "n_rows"))
        return -(-kept * (self.dtype.itemsize + 4) // (8 * max(n_rows, 1))) + 2

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in memory, on average."""
        return 8 * self.row_width

    def choices(self) -> Iterator[tuple[str, str, Choice]]:
        """(path, group, all columns) of each table."""
        for part, _, _ in self.ranges():
            yield part.path, part.dataset, Choice()

    def choose(self, columns) -> Self:
        """All columns; a choice of some is refused."""
        if columns is not None:
            raise ParameterError(
                f"columns: all columns of a sparse table are read; got {columns!r} for {self.parts[0].path}. Write a "
                "table of these: make_hdf5(matrix[:, columns], new_path)."
            )
        return self

    def open(self, *, reuse: bool = False) -> _Reader:  # type: ignore[override]
        """Reader of these rows, for a `with` statement; each block has memory of its own, whatever `reuse`."""
        return _Reader(self)

    def read(self, start: int, stop: int) -> SparseRows:  # type: ignore[override]
        """Rows start to stop - 1, counted from the first one here."""
        return self.read_runs([(start, stop)])[0]

    def read_runs(self, runs: Sequence[tuple[int, int]]) -> list[SparseRows]:  # type: ignore[override]
        """Rows as of `read` for several ranges (start, stop)."""
        with _Reader(self) as reader:
            return [reader.read(start, stop) for start, stop in runs]


class _Reader:
    """Reads blocks of rows, and keeps the file of the last block open."""

    def __init__(self, source: SparseFileRows):
        self.source = source
        self._open: _OpenSparse | None = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self._close(check=error is None)

    def _close(self, check=True):
        was, self._open = self._open, None
        if was is not None:
            was.close(check)

    def read(self, start: int, stop: int) -> SparseRows:
        """Rows start to stop - 1, counted from the first row of the source."""
        source = self.source
        blocks = []
        for part, first, last in source.between(start, min(stop, source.n_rows)).ranges():
            if self._open is None or self._open.part is not part:
                self._close()
                self._open = _OpenSparse(part)
            blocks.append(self._open.read(first, last).astype(source.dtype))
        return joined(blocks) if blocks else _nothing(source)


def _nothing(source):
    return SparseRows(np.zeros(0, source.dtype), np.zeros(0, np.int32), np.zeros(1, np.int64), source.n_columns)


class _OpenSparse:
    """The open file of a part, from which one thread reads rows."""

    def __init__(self, part: SparsePart):
        self.part, self._seen = part, status_of(part.path)
        if not is_version(part.size, part.modified, part.described_at, [self._seen]):
            raise self._changed("another version of the file")
        self._context = opened(part.path, rdcc_nbytes=part.cache_bytes // 2)
        file, _ = self._context.__enter__()
        try:
            with reading(part.path, f"the description of {part.dataset!r}"):
                group = file.get(part.dataset)
                layout = layout_of(group, part.path) if isinstance(group, h5py.Group) else None
            if layout is None or layout[:3] != part.names or layout.shape != (part.n_rows, part.n_columns):
                raise self._changed("another table")
            self._values, self._columns, self._edges = (file[name] for name in part.names)
            need_filters(self._values, part.path)
            need_filters(self._columns, part.path)
        except BaseException:
            self._context.__exit__(None, None, None)
            raise

    def close(self, check: bool) -> None:
        """Close the file; with `check`, refuse what was read if the file changed meanwhile."""
        self._context.__exit__(None, None, None)
        if check:
            after = status_of(self.part.path)
            if any(getattr(after, name) != getattr(self._seen, name) for name in _IDENTITY):
                raise self._changed("another version of the file")

    def _changed(self, got):
        return FileFormatError(
            f"{self.part.path} changed while it was in use; got {got}. Start again with the files as they are now."
        )

    def read(self, first: int, last: int) -> SparseRows:
        """Rows first to last - 1 of the table."""
        with reading(self.part.path, f"rows {first} to {last - 1} of {self.part.dataset!r}"):
            edges = self._edges[first : last + 1].astype(np.int64)
            a, b = int(edges[0]), int(edges[-1])
            if a < 0 or b > len(self._values) or (np.diff(edges) < 0).any():
                raise self._damaged(first, last, "edges of rows that fall, or lie outside of its numbers")
            values, columns = self._values[a:b], self._columns[a:b]
        if len(columns) and (columns.min() < 0 or columns.max() >= self.part.n_columns):
            raise self._damaged(first, last, f"columns beyond {self.part.n_columns - 1}")
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        places = np.int32 if self.part.n_columns < 2**31 else np.int64
        return _in_order(values, columns.astype(places, copy=False), edges - a, self.part.n_columns)

    def _damaged(self, first, last, got):
        return FileFormatError(
            f"{self.part.path}:{self.part.dataset}, rows {first} to {last - 1}: a sparse table must have whole rows; "
            f"got {got}. Write it again."
        )


def _in_order(values, columns, edges, n_columns):
    """Rows whose columns increase; numbers at one place are added."""
    from scipy.sparse import csr_array

    return SparseRows.of(csr_array((values, columns, edges), shape=(len(edges) - 1, n_columns)))


def open_sparse(paths: Sequence[str], asked: Asked) -> SparseFileRows | None:
    """The rows of sparse tables in files; None where what is asked for is none, in the first file.

    Raises
    ------
    FileFormatError
        A sparse table that cannot be read by rows, or a file without the table of the first one.
    DataError
        Files with different numbers of columns.
    ParameterError
        Columns, or `transpose`.
    """
    if not paths or is_url(paths[0]):
        return None
    first = _described(paths[0], asked.dataset)
    if first is None:
        return None
    if asked.columns is not None or asked.transpose:
        option = "columns" if asked.columns is not None else "transpose"
        raise ParameterError(
            f"{option}: rows of a sparse table are read as they are stored; got {option} for {paths[0]}:"
            f"{first.dataset}. Leave it out, or write another table: make_hdf5(matrix, new_path)."
        )
    parts = [first]
    for path in paths[1:]:
        part = None if is_url(path) else _described(path, asked.dataset)
        if part is None:
            raise FileFormatError(f"{path} must hold a sparse table, as {paths[0]} does. Write all files alike.")
        if part.n_columns != first.n_columns:
            raise DataError(
                f"all files must have the same number of columns; got {first.n_columns} in {paths[0]} and "
                f"{part.n_columns} in {path}."
            )
        parts.append(part)
    dtype = np.result_type(*(np.dtype(part.dtype) for part in parts))
    n_rows = sum(part.n_rows for part in parts)
    return SparseFileRows(tuple(parts), 0, n_rows, 2, first.n_columns, dtype)


def _described(path, name, followed: bool = False) -> SparsePart | None:
    """The description of a sparse table of a file: of that name, or the only table there is; else None.

    One link to another file is followed, to a regular file: HDF5 would wait for a pipe.
    """
    now = time.time_ns()
    with opened(path) as (file, _), reading(path, "the description of its sparse tables"):
        status = status_of(path)
        group = _group(file, path, name)
        target = None if group is not None or name is None or followed else _elsewhere(file, path, name)
        if target is not None:
            return _described(*target, followed=True)
        layout = None if group is None else layout_of(group, path)
        if group is None or layout is None:
            return None
        values = file[layout.values]
        cached = [_chunk_bytes(file[one]) for one in layout[:2]]
        return SparsePart(
            path,
            group.name,
            *layout.shape,
            len(values),
            layout[:3],
            values.dtype.newbyteorder("=").str,
            status.st_size,
            status.st_mtime_ns,
            # The cache of each vector holds one chunk; packed chunks are unpacked beside it.
            2 * min(max(cached), _MOST_CACHE),
            now,
        )


def _chunk_bytes(dataset):
    return 2**20 if dataset.chunks is None else max(dataset.chunks[0] * dataset.dtype.itemsize, 2**20)


def _group(file, path, name) -> h5py.Group | None:
    if name is None:
        groups = sparse_groups(file)
        if len(groups) > 1 or (groups and _has_tables(file, groups[0])):
            raise DatasetNotFoundError(
                f"{path} must hold one table when none is named; got {listing(file)}. Name one: from_hdf5(path, "
                "dataset=...)."
            )
        return file[groups[0]] if groups else None
    item = inside(file, name)
    if item is None and (target := _soft_target(file, name)) is not None:
        item = inside(file, target)
    return item if isinstance(item, h5py.Group) else None


def _elsewhere(file, path, name) -> tuple[str, str] | None:
    """The regular file, and the name in it, that an external link of this file stands for; None for anything else."""
    above, _, last = name.strip("/").rpartition("/")
    group = inside(file, above)
    try:
        link = group.get(last, getlink=True) if isinstance(group, h5py.Group) else None
    except TypeError:
        return None
    if not isinstance(link, h5py.ExternalLink):
        return None
    place = os.path.join(os.path.dirname(path), link.filename)
    return (place, link.path) if os.path.isfile(place) else None


def _soft_target(file, name):
    """The name that a soft link at the end of a name stands for; None where it is no such link."""
    above, _, last = name.strip("/").rpartition("/")
    group = inside(file, above)
    try:
        link = group.get(last, getlink=True) if isinstance(group, h5py.Group) else None
    except TypeError:
        return None
    return link.path if isinstance(link, h5py.SoftLink) and link.path.startswith("/") else None


def _has_tables(file, group):
    """Whether a file has a dataset of two dimensions besides a group."""
    found = []

    def see(name, item):
        if isinstance(item, h5py.Dataset) and item.ndim == 2 and item.dtype.kind in "fiub":
            found.append(name)
            return True
        return None

    file.visititems(see)
    return any(not name.startswith(f"{group}/") for name in found)
