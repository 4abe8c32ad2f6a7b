"""Where the numbers of a dataset lie, by the description in its file: in this file, in others, or nowhere.

HDF5 reads its fill value, without an error, where a source of a virtual dataset is missing, where a virtual dataset has
no source, where a chunk was never written, and beyond the end of an external raw file. Such values are no data.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import h5py
import numpy as np

from ..exceptions import FileFormatError
from .choice import Choice

__all__ = [
    "Outside",
    "bytes_of_chunks",
    "intersection",
    "outsides_of",
    "reading_bytes",
    "union",
    "unmapped_rows",
    "unwritten",
    "unwritten_rows",
]

_UNLIMITED = 2**64 - 1
# Selections in more pieces, or on a grid of more cells, are refused, since comparing them would take too long.
_MOST_PIECES, _MOST_CELLS = 10**6, 10**8
# Uncompressed chunks side by side with more bytes than these are read in place, without a cache.
_CACHE_BYTES = 256 * 2**20

Runs = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Outside:
    """Rows of a dataset that lie in another place: a dataset of another file, or a raw file.

    Parameters
    ----------
    file : str
        Its name as the description has it.
    dataset : str or None
        Name of the dataset in that file; None for a raw file.
    rows, columns : sequences of (first, last + 1)
        Runs of rows and columns of this dataset; each of the rows has each of the columns there.
    source : (int, int)
        First row that is read of the other dataset, and last + 1.
    need : tuple of int
        The least shape of the other dataset, or number of bytes of the raw file; empty where all of a dataset is read.
    """

    file: str
    dataset: str | None
    rows: Runs
    columns: Runs
    source: tuple[int, int]
    need: tuple[int, ...]

    @property
    def first(self) -> int:
        """The first row."""
        return int(self.rows[0][0])

    @property
    def last(self) -> int:
        """The last row + 1."""
        return int(self.rows[-1][1])

    @property
    def straight(self) -> bool:
        """Whether these rows are consecutive rows of the source, in the same order."""
        return len(self.rows) == 1 and self.last - self.first == self.source[1] - self.source[0]

    def of_all(self, shape: tuple[int, ...]) -> Outside | None:
        """A copy that reads all of a source of this shape; None if that has more or fewer numbers than needed."""
        n_rows, n_columns = (
            sum(last - first for first, last in runs) for runs in (self.rows, self.columns or [(0, 1)])
        )
        return replace(self, source=(0, shape[0]), need=shape) if math.prod(shape) == n_rows * n_columns else None

    def rows_there(self, first: int, last: int) -> tuple[int, int]:
        """(first, last + 1) of the rows of the source in which rows first to last - 1 may lie."""
        if not self.straight:
            return self.source
        shift = self.source[0] - self.first
        return max(first, self.first) + shift, min(last, self.last) + shift

    def rows_here(self, first: int, last: int) -> tuple[int, int]:
        """(first, last + 1) of the rows that may lie in rows first to last - 1 of the source."""
        if not self.straight:
            return self.first, self.last
        shift = self.first - self.source[0]
        return max(first + shift, self.first), min(last + shift, self.last)


def outsides_of(dataset: h5py.Dataset) -> list[Outside]:
    """Parts of a dataset that lie in other places, in the order of its description; none for most datasets."""
    made = dataset.id.get_create_plist()
    layout = made.get_layout()
    if layout == h5py.h5d.VIRTUAL:
        return [outside for i in range(made.get_virtual_count()) for outside in _mapped(made, i, dataset)]
    if layout == h5py.h5d.CONTIGUOUS and made.get_external_count():
        return list(_raw(made, dataset))
    return []


def _raw(made, dataset) -> Iterator[Outside]:
    row_bytes = max(dataset.id.get_type().get_size() * math.prod(dataset.shape[1:]), 1)
    here, end = 0, len(dataset) * row_bytes
    for i in range(made.get_external_count()):
        name, offset, size = made.get_external(i)
        size = min(size, end - here)
        if size > 0:
            rows = (here // row_bytes, -(-(here + size) // row_bytes))
            yield Outside(os.fsdecode(name), None, (rows,), (), (0, 0), (offset + size,))
            here += size


def _mapped(made, i, dataset) -> Iterator[Outside]:
    """Outsides of one entry in the description of a virtual dataset."""
    file, name = made.get_virtual_filename(i), made.get_virtual_dsetname(i)
    here, there = made.get_virtual_vspace(i), made.get_virtual_srcspace(i)
    bounds = _bounds(there)
    if not _is_endless(here):
        need = tuple(high for _, high in bounds)
        for rows, columns in _areas(here, dataset):
            yield Outside(file, name, rows, columns, (bounds or [(0, 0)])[0], need)
        return
    n_rows = len(dataset)
    start, stride, count, block = here.get_regular_hyperslab()
    if _UNLIMITED in (*count[1:], *block[1:]):
        raise _intricate(dataset, "sources that go on along the columns")
    columns = _runs(start[1:], stride[1:], count[1:], block[1:])
    if block[0] == _UNLIMITED:
        rows = [(start[0], n_rows)] if start[0] < n_rows else []
    else:
        rows = [(first, min(first + block[0], n_rows)) for first in range(start[0], n_rows, stride[0])]
    if not _is_endless(there):
        # Each block has its own source, whose name has the block's number in the place of %b.
        for k, (first, last) in enumerate(rows):
            begin = bounds[0][0] if bounds else 0
            source = (begin, begin + last - first)
            need = (source[1], *(high for _, high in bounds[1:])) if bounds else ()
            yield Outside(_numbered(file, k), _numbered(name, k), ((first, last),), columns, source, need)
    elif rows:
        begin, step, _, size = (part[0] for part in there.get_regular_hyperslab())
        if size not in (step, _UNLIMITED):
            raise _intricate(dataset, "a source without an end of which rows are left out")
        source = (begin, begin + sum(last - first for first, last in rows))
        rows = [(start[0], n_rows)] if block[0] == stride[0] else rows
        yield Outside(file, name, rows, columns, source, (source[1], *(high for _, high in bounds[1:])))


def _is_endless(space):
    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS or not space.is_regular_hyperslab():
        return False
    _, _, count, block = space.get_regular_hyperslab()
    return _UNLIMITED in (*count, *block)


def _bounds(space) -> list[tuple[int, int]]:
    """(first, last + 1) of a selection along each axis, without unlimited parts; empty if all of an unknown shape."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return [(0, n) for n in space.shape]
    if _is_endless(space):
        return [(a, a + (n - 1) * s + b) for a, s, n, b in zip(*space.get_regular_hyperslab(), strict=True)]
    low, high = space.get_select_bounds()
    return [(int(a), int(b) + 1) for a, b in zip(low, high, strict=True)]


def _areas(space, dataset) -> list[tuple[Runs, Runs]]:
    """The areas of a selection as runs of rows and runs of columns."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return [(((0, len(dataset)),), tuple((0, n) for n in dataset.shape[1:]))]
    if space.is_regular_hyperslab():
        parts = space.get_regular_hyperslab()
        if max(parts[2]) <= _MOST_PIECES:
            return [(_runs(*(part[:1] for part in parts)), _runs(*(part[1:] for part in parts)))]
    elif space.get_select_hyper_nblocks() <= _MOST_PIECES:
        blocks = space.get_select_hyper_blocklist().tolist()
        ends = [[(a, b + 1) for a, b in zip(low, high, strict=True)] for low, high in blocks]
        return [((rows,), tuple(columns)) for rows, *columns in ends]
    raise _intricate(dataset, f"a source in more than {_MOST_PIECES:,} pieces")


def _runs(start, stride, count, block) -> Runs:
    """Runs along the first axis of a regular selection; none where a selection has no axes."""
    if not start:
        return ()
    if count[0] == 1 or stride[0] == block[0]:
        return ((start[0], start[0] + count[0] * block[0]),)
    return [(start[0] + k * stride[0], start[0] + k * stride[0] + block[0]) for k in range(count[0])]


def _numbered(name, k):
    return "%".join(part.replace("%b", str(k)) for part in name.split("%%"))


def _intricate(dataset, what):
    return FileFormatError(
        f"{dataset.file.filename}: virtual dataset {dataset.name!r} has {what}, and whether all of that exists "
        "cannot be checked. Write it to a file of its own, or give its sources as a list or a glob."
    )


def unmapped_rows(dataset: h5py.Dataset, outsides: Sequence[Outside]) -> list[tuple[int, int]]:
    """Runs of rows of a virtual dataset in which at least one column has no source."""
    n_rows, width = len(dataset), math.prod(dataset.shape[1:])
    if not width:
        return []
    columns = [outside.columns or ((0, 1),) for outside in outsides]
    if all(tuple(runs) == ((0, width),) for runs in columns):
        bounds = [0, *(edge for run in union(run for one in outsides for run in one.rows) for edge in run), n_rows]
        return [(a, b) for a, b in zip(bounds[::2], bounds[1::2], strict=True) if a < b]
    row_edges = _edges((run for outside in outsides for run in outside.rows), n_rows)
    column_edges = _edges((run for runs in columns for run in runs), width)
    if len(row_edges) * len(column_edges) > _MOST_CELLS:
        raise _intricate(dataset, "sources in too many pieces of rows and columns")
    # Each corner has the number of areas that begin there, less those that end. Their sums along both axes are the
    # numbers of areas that each cell lies in.
    grid = np.zeros((len(row_edges), len(column_edges)), np.int32)
    for outside, runs in zip(outsides, columns, strict=True):
        corners = [np.searchsorted(row_edges, ends) for ends in np.transpose(outside.rows)]
        sides = [np.searchsorted(column_edges, ends) for ends in np.transpose(runs)]
        for i, rows in enumerate(corners):
            for j, side in enumerate(sides):
                grid[np.ix_(rows, side)] += 1 if i == j else -1
    covered = (grid.cumsum(0).cumsum(1)[:-1, :-1] > 0).all(axis=1)
    return union((row_edges[i], row_edges[i + 1]) for i in np.flatnonzero(~covered))


def _edges(runs, end):
    return np.unique([0, end, *(edge for run in runs for edge in run)])


def unwritten_rows(dataset: h5py.Dataset, choice: Choice | None = None) -> list[tuple[int, int]]:
    """Runs of rows in chunks that were never written; with a choice, in those that hold its columns."""
    axis = 0 if choice is None else choice.sample_axis
    n_rows, layout = dataset.shape[axis], dataset.id.get_create_plist().get_layout()
    if not n_rows or not math.prod(dataset.shape[1:]) or layout in (h5py.h5d.COMPACT, h5py.h5d.VIRTUAL):
        return []
    if layout == h5py.h5d.CONTIGUOUS:
        # The offset does not show it: HDF5 adds the size of a user block to it, even where no bytes are stored.
        return [(0, n_rows)] if not dataset.external and not dataset.id.get_storage_size() else []
    if dataset.file.driver == "fileobj":
        # At a URL, a missing chunk is noticed when it is fetched, which does not take all of the index.
        return []
    height, n_high = dataset.chunks[axis], -(-n_rows // dataset.chunks[axis])
    n_chunks = math.prod(-(-n // side) for n, side in zip(dataset.shape, dataset.chunks, strict=True))
    # Counting 100,000 chunks takes a few milliseconds; finding the missing ones takes ten times as long.
    if dataset.id.get_num_chunks() == n_chunks:
        return []
    found, across, needed, side = np.zeros(n_high, np.int64), n_chunks // n_high, None, 1
    if choice is not None and dataset.ndim == 2:
        side = dataset.chunks[1 - axis]
        needed = set(choice.chunk_columns(side))
        across = len(needed)

    def count(chunk):
        if needed is None or chunk.chunk_offset[1 - axis] // side in needed:
            found[chunk.chunk_offset[axis] // height] += 1

    dataset.id.chunk_iter(count)
    return union((i * height, min((i + 1) * height, n_rows)) for i in np.flatnonzero(found < across).tolist())


def unwritten(path: str, dataset: str, hole: tuple[int, int], asked: tuple[int, int]) -> FileFormatError:
    """The error for a read of rows `asked`, some of them in `hole`, a run of rows that were never written."""
    return FileFormatError(
        f"{path}: rows {hole[0]} to {hole[1] - 1} of {dataset!r} were never written, and HDF5 would fill them with one "
        f"value; got rows {asked[0]} to {asked[1] - 1} to read. Write them and open the file again, or take rows "
        "that are written: from_hdf5(path, rows=slice(first, last)). Where the fill value is meant, write it."
    )


def reading_bytes(dataset: h5py.Dataset, choice: Choice | None = None) -> tuple[int, int]:
    """Bytes that reading consecutive rows takes for a cache of chunks, and for unpacking a chunk into it.

    With a choice of columns, these are the bytes for its columns alone.

    The cache has room for one row of chunks, so that each chunk is unpacked once, even for blocks of a few rows.
    Both are 0 where chunks are read in place.
    """
    chunks, shape = dataset.chunks, dataset.shape
    if not chunks:
        return 0, 0
    item, packed = dataset.id.get_type().get_size(), dataset.id.get_create_plist().get_nfilters() > 0
    axis = 0 if choice is None else choice.sample_axis
    sides = chunks[:axis] + chunks[axis + 1 :]
    if sides == shape[:axis] + shape[axis + 1 :] and not packed:
        # Without a cache HDF5 reads such chunks straight into the result: this saves a copy, and memory that Dask's
        # workers would free and take again for each chunk.
        return 0, 0
    if choice is not None and not choice.fields and not choice.vector:
        return bytes_of_chunks(choice, chunks[axis], sides[0], item, packed)
    # The last of several chunks of columns is as wide as the others.
    across = math.prod(-(-n // side) * side for n, side in zip(shape[1:], chunks[1:], strict=True))
    return _bytes(chunks[0] * across * item, math.prod(chunks) * item, packed)


def bytes_of_chunks(choice: Choice, height: int, side: int, item: int, packed: bool) -> tuple[int, int]:
    """The result of `reading_bytes` for columns of a table in chunks of `height` rows and `side` columns."""
    return _bytes(height * len(choice.chunk_columns(side)) * side * item, height * side * item, packed)


def _bytes(row_of_chunks, chunk, packed):
    cache = max(row_of_chunks, 2**20)
    if not packed:
        return (cache, 0) if cache <= _CACHE_BYTES else (0, 0)
    # A chunk is held twice, before and after its last filter, while the cache holds the previous one.
    return cache, 2 * chunk


def union(runs) -> list[tuple[int, int]]:
    """Runs of rows without the empty ones, merged where they overlap or touch, in order."""
    out: list[tuple[int, int]] = []
    for first, last in sorted((int(a), int(b)) for a, b in runs if a < b):
        if out and first <= out[-1][1]:
            out[-1] = out[-1][0], max(last, out[-1][1])
        else:
            out.append((first, last))
    return out


def intersection(runs: Sequence[tuple[int, int]], first: int, last: int) -> list[tuple[int, int]]:
    """Runs of rows cut to rows first to last - 1."""
    return [(max(a, first), min(b, last)) for a, b in runs if a < last and b > first]
