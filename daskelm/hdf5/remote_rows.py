"""Rows of a dataset in a file at a URL: the bytes that a range of rows takes are found and fetched together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial

import h5py

from ..exceptions import FileFormatError
from .choice import Choice
from .layout import unwritten
from .netcdf import fill_is_missing
from .remote import PAGE_BYTES, RemoteFile

__all__ = ["RemoteRows", "check_kept_inside", "fetched_bytes"]

# Bytes of the chunks that are fetched together: enough parallel requests to use all of a connection.
_WINDOW_BYTES = 32 * 2**20


def fetched_bytes(dataset: h5py.Dataset, choice: Choice) -> int:
    """Largest number of fetched bytes that reading consecutive rows holds: in pages, and while they arrive."""
    row_bytes, chunk_rows = _sizes(dataset, choice)
    rows = min(max(_WINDOW_BYTES // row_bytes, 1) + 2 * chunk_rows, -(-len(dataset) // chunk_rows) * chunk_rows)
    return 2 * (rows * row_bytes + 16 * PAGE_BYTES)


def check_kept_inside(file: h5py.File, dataset: h5py.Dataset, url: str) -> None:
    """Refuse a dataset whose numbers lie in another file, which HDF5 would look for on this machine."""
    if dataset.file.id != file.id or dataset.is_virtual or dataset.external:
        raise FileFormatError(
            f"{url}: dataset {dataset.name!r} must lie in this file itself; got a virtual dataset, an external link, "
            "or external storage. Give the files that hold the numbers, as a list or a glob."
        )


class RemoteRows:
    """Reads rows of a dataset of an open file at a URL, for one thread."""

    def __init__(self, remote: RemoteFile, dataset: h5py.Dataset, missing: tuple[float | int, ...], choice: Choice):
        self._remote, self._dataset, self._missing, self._choice = remote, dataset, missing, choice
        self._row_bytes, self._chunk_rows = _sizes(dataset, choice)
        self._held: list[tuple[int, int]] = []

    def read(
        self,
        first: int,
        last: int,
        read: Callable[[int, int], None],
        coming: Callable[[], Sequence[tuple[int, int]]],
    ) -> None:
        """Call `read(a, b)` until rows first to last - 1 are read, each time after their bytes were fetched.

        `coming` returns all ranges of rows that will be read, in order, with these rows: they may be fetched together.
        """
        while first < last:
            stop = next((min(b, last) for a, b in self._held if a <= first < b), first)
            if first < stop:
                self._remote.call(read, first, stop)
                first = stop
            else:
                self._fetch([(max(a, first), b) for a, b in coming() if b > first])

    def _fetch(self, ranges):
        """Fetch rows in ranges, in order, until the window is full; at least those of one chunk."""
        self._remote.forget()
        self._held, room, c, end = [], _WINDOW_BYTES, self._chunk_rows, 0
        for first, last in ranges:
            # A range ends at the end of a chunk, so that no chunk is fetched twice.
            stop = min(max((first + room // self._row_bytes) // c, first // c + 1) * c, last)
            self._held.append((first, stop))
            # The window holds whole chunks, less those of earlier ranges, and parts of pages around them.
            begin, end = max(first // c * c, end), max(-(-stop // c) * c, end)
            if begin < end:
                room -= (end - begin) * self._row_bytes + PAGE_BYTES
            if room <= 0 or stop < last:
                break
        if self._dataset.chunks:
            written: set[tuple[int, ...]] = set()
            starts = list(self._chunks())
            self._remote.gather([partial(self._get, start, written) for start in starts])
            self._check_written([start for start in starts if start not in written])
        elif (start := self._dataset.id.get_offset()) is not None:
            ends = [(start + a * self._row_bytes, start + b * self._row_bytes) for a, b in self._held]
            self._remote.fetch(page for a, b in ends for page in range(a // PAGE_BYTES, -(-b // PAGE_BYTES)))

    def _get(self, start, written):
        """Read a chunk as it is in the file, and add it to those that exist."""
        self._dataset.id.read_direct_chunk(start)
        written.add(start)

    def _check_written(self, starts):
        """Refuse chunks that were never written, among those that could not be read; the others are damaged."""
        info = self._dataset.id.get_chunk_info_by_coord
        for start in starts:
            if self._remote.call(info, start).byte_offset is None and not fill_is_missing(self._dataset, self._missing):
                last = min(start[0] + self._chunk_rows, len(self._dataset))
                asked = self._held[0][0], self._held[-1][1]
                raise unwritten(self._remote.url, self._dataset.name, (start[0], last), asked)

    def _chunks(self):
        """Offsets of the chunks of the rows that are held."""
        shape, chunks = self._dataset.shape, self._dataset.chunks
        rows = {a: None for first, last in self._held for a in range(first // chunks[0] * chunks[0], last, chunks[0])}
        if len(shape) == 2:
            return itertools.product(rows, [i * chunks[1] for i in self._choice.chunk_columns(chunks[1])])
        return ((row,) for row in rows)


def _sizes(dataset, choice):
    """Bytes of the chunks in the file that a row takes, divided by their rows, at least 1; and rows of a chunk."""
    chunks = dataset.chunks or (1,) * dataset.ndim
    # Chunks at the right edge are stored as wide as the others; without chunks whole rows are fetched.
    width = math.prod(dataset.shape[1:])
    if dataset.ndim == 2 and dataset.chunks:
        width = len(choice.chunk_columns(chunks[1])) * chunks[1]
    return max(dataset.dtype.itemsize * width, 1), chunks[0]
