"""Sources of rows: one small class each for NumPy arrays, dask arrays and files, all with the same methods."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import h5py
import numpy as np

from ..cluster.client import current_client
from ..cluster.errors import compute
from ..hdf5.dataset import Part
from ..hdf5.file_rows import FileRows, row_range, some
from ..lazy import da
from ..sparse import as_block, is_sparse, joined, row_width
from .from_hdf5 import lazy_rows
from .refusals import check_chunk, checked

__all__ = [
    "ArraySource",
    "Chunks",
    "DaskSource",
    "FileSource",
    "Source",
    "files_of",
    "in_memory",
    "is_dask_array",
    "is_path",
    "n_columns",
    "source_of",
    "take_runs",
]

# Rows of data as functions take them and hand them on; `source_of` gives their methods.
Source: TypeAlias = "np.ndarray | da.Array | FileRows"
# Numbers of 8 bytes of a row of sparse chunks: a hundred words of a text, with their places.
_SPARSE_WIDTH = 150


class _RowSource:
    """The methods that all sources have, as they are for data in no file; `data` is the array, or the rows of files."""

    # Whether the rows are worked on in this process, without Dask.
    in_process = False
    # Whether a task can read rows by their numbers; for a dask array it is given whole chunks.
    random_access = True
    # Whether the rows are sparse.
    is_sparse = False
    # Names of the columns; None where there are none, or they are in a frame's header.
    names: tuple[str, ...] | None = None
    # The rows of files; None for other data.
    files: FileRows | None = None

    def __init__(self, data: Any):
        self.data = data

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.data.shape[0]

    @property
    def n_columns(self) -> int:
        """Number of columns; 1 if there is one dimension."""
        return n_columns(self.data)

    @property
    def row_width(self) -> int:
        """The memory of a row, in numbers of 8 bytes: the number of columns, but for sparse rows."""
        return self.n_columns

    def client(self):
        """The distributed client that works on the rows; None where they are worked on in this process."""
        return None if self.in_process else current_client()

    def parts(self) -> list[tuple[Part, int, int]]:
        """(part, first, last + 1) of each part of files that has rows here; empty for data in no file."""
        return []

    def place(self, row: int) -> str:
        """A row as error messages name it."""
        return f"row {row}"

    def row_range(self, rows: slice | None) -> tuple[int, int]:
        """First row and last + 1 of a slice; past the end is an error, an empty range is not."""
        where = "" if self.files is None else f" of {some(self.files.paths)}"
        return (0, self.n_rows) if rows is None else row_range(rows, self.n_rows, where)

    def rows(self, rows: slice | None, name: str) -> Any:
        """Consecutive rows, as data of the same type; `name` is the argument's, for errors."""
        return self.data if rows is None else self.between(*self.row_range(rows), name)

    def between(self, start: int, stop: int, name: str = "") -> Any:
        """Rows start to stop - 1, as data of the same type."""
        return self.as_array(name)[start:stop]

    def as_array(self, name: str) -> np.ndarray | da.Array:
        """The rows as an array: a NumPy array if they are in memory, else a dask array."""
        return self.data if self.in_process else self.as_dask(name)

    def as_table(self) -> Any:
        """The data with a column for their single dimension; files as they are, whose shape is that of the datasets."""
        return self.data[:, None] if self.data.ndim == 1 and self.files is None else self.data

    def beside(self, **others: Source | None) -> list[Any]:
        """Other data of the same rows as they are worked on with these: loaded where these are in memory."""
        return in_memory(**others) if self.in_process else list(others.values())

    def whole(self, name: str) -> Any:
        """All rows as an array, or as a dask array that is to be computed."""
        return self.as_array(name)

    def runs(self, runs: Sequence[tuple[int, int]]) -> list:
        """Rows of several ranges (start, stop), as arrays, or as dask arrays that are to be computed."""
        return [self.data[start:stop] for start, stop in runs]

    def checked_runs(self, blocks: list[np.ndarray], runs: Sequence[tuple[int, int]], name: str) -> list[np.ndarray]:
        """The computed `blocks` of `runs`, refused by name where they are not what the source declares."""
        return blocks

    def as_dask(self, name: str, row_chunks: tuple[int, ...] | None = None) -> da.Array:
        """The rows as a dask array in the row chunks given; with an empty `name`, chunks are not checked."""
        raise NotImplementedError


class ArraySource(_RowSource):
    """A NumPy array, or sparse rows, worked on in this process."""

    in_process = True

    @property
    def is_sparse(self) -> bool:  # type: ignore[override]
        """Whether the rows are sparse."""
        return is_sparse(self.data)

    @property
    def row_width(self) -> int:
        """The memory of a row, in numbers of 8 bytes."""
        return row_width(self.data)

    @property
    def row_chunks(self) -> tuple[int, ...]:
        """Rows of each chunk: one chunk with all rows."""
        return (self.n_rows,)

    def as_dask(self, name: str, row_chunks: tuple[int, ...] | None = None) -> da.Array:
        """A dask array, in the row chunks given or in one chunk."""
        if is_sparse(self.data):
            return da.from_array(self.data.matrix, chunks=(row_chunks or -1, -1), asarray=False)
        return da.from_array(self.data, chunks=(row_chunks or -1,) + (-1,) * (self.data.ndim - 1))

    def open(self, *, reuse: bool = False) -> AbstractContextManager:
        """A context with a reader, whose ``read(start, stop)`` gives rows; arrays are not copied, whatever `reuse`."""
        return nullcontext(Chunks([self.data]))

    def block_bounds(self, target_rows: int) -> list[tuple[int, int]]:
        """Row ranges of `target_rows`; the last may have less."""
        return [(a, min(a + target_rows, self.n_rows)) for a in range(0, self.n_rows, target_rows)]

    def runs_of_blocks(self, target_rows: int, n_rows: int) -> list[tuple[int, int]]:
        """Row ranges of whole blocks of `block_bounds`, as few as make `n_rows` or more; the last may have less."""
        return self.block_bounds(-(-n_rows // target_rows) * target_rows)


class Chunks:
    """Consecutive arrays read as one, by row numbers: the chunks of a dask array that one task is given."""

    def __init__(self, arrays: Sequence[Any]):
        self.arrays = [as_block(array) for array in arrays]
        self.edges = np.cumsum([0] + [len(array) for array in self.arrays])

    def read(self, start: int, stop: int) -> Any:
        """Rows start to stop - 1; copied only where they lie in several chunks."""
        first = int(np.searchsorted(self.edges, start, "right")) - 1
        last = int(np.searchsorted(self.edges, stop, "left"))
        parts = [
            array[max(start - edge, 0) : stop - edge]
            for array, edge in zip(self.arrays[first:last], self.edges[first:last], strict=False)
        ]
        return joined(parts or [self.arrays[0][:0]])


class DaskSource(_RowSource):
    """A dask array, whose chunks are checked as soon as they are computed."""

    random_access = False

    @property
    def row_width(self) -> int:
        """The memory of a row, in numbers of 8 bytes; a guess for sparse chunks, which say nothing of it."""
        return min(self.n_columns, _SPARSE_WIDTH) if self.is_sparse else self.n_columns

    @property
    def is_sparse(self) -> bool:  # type: ignore[override]
        """Whether the chunks are declared to be sparse."""
        return is_sparse(self.data._meta)

    @property
    def row_chunks(self) -> tuple[int, ...]:
        """Rows of each chunk."""
        return self.data.chunks[0]

    def checked_runs(self, blocks: list[np.ndarray], runs: Sequence[tuple[int, int]], name: str) -> list[np.ndarray]:
        """The computed `blocks` of `runs`, refused by name where they are not what the array declares."""
        # They are checked after slicing and computing, so that a slice of a chunk of zarr reads only its own rows.
        row, dtype, sparse = self.data.shape[1:], self.data.dtype, self.is_sparse
        return [
            as_block(check_chunk(block, stop - start, start, row, name=name, dtype=dtype, sparse=sparse))
            for block, (start, stop) in zip(blocks, runs, strict=True)
        ]

    def as_dask(self, name: str, row_chunks: tuple[int, ...] | None = None) -> da.Array:
        """The array in the row chunks given; its chunks are not checked where `name` is empty."""
        return _in_row_chunks(checked(self.data, name) if name else self.data, row_chunks)


class FileSource(_RowSource):
    """Rows of HDF5, Parquet or Arrow files, which each task reads by path."""

    def __init__(self, files: FileRows):
        super().__init__(files)
        self.files, self.names, self.is_sparse = files, files.names, files.is_sparse
        # Readers and bounds of blocks are those of the files.
        self.open, self.block_bounds, self.runs_of_blocks = files.open, files.block_bounds, files.runs_of_blocks

    @property
    def row_width(self) -> int:
        """The memory of a row, in numbers of 8 bytes."""
        return self.data.row_width

    @property
    def row_chunks(self) -> tuple[int, ...]:
        """Rows of each chunk that `from_hdf5` makes."""
        return lazy_rows(self.data, "rows").chunks[0]

    def parts(self) -> list[tuple[Part, int, int]]:
        """(part, first, last + 1) of each part of the files that has rows here, in rows of that part."""
        return self.data.ranges()

    def place(self, row: int) -> str:
        """A row as error messages name it: by its number in its file."""
        path, row_in_file = self.data.where(row)
        return f"row {row_in_file} of {path}"

    def between(self, start: int, stop: int, name: str = "") -> FileRows:
        """Rows start to stop - 1, described and not read."""
        return self.data.between(start, stop)

    def whole(self, name: str) -> np.ndarray:
        """All rows, read."""
        return self.data.read(0, self.n_rows)

    def runs(self, runs: Sequence[tuple[int, int]]) -> list[np.ndarray]:
        """Rows of several ranges (start, stop), read."""
        return self.data.read_runs(runs)

    def as_dask(self, name: str, row_chunks: tuple[int, ...] | None = None) -> da.Array:
        """A dask array in the row chunks given, whose tasks read the files."""
        return _in_row_chunks(lazy_rows(self.data, "rows"), row_chunks)


def source_of(data: Any) -> Any:
    """The methods of rows of data: the one place that distinguishes arrays, dask arrays and files.

    Parameters
    ----------
    data : ndarray, dask array or FileRows
        What `open_input` gives.

    Returns
    -------
    ArraySource, DaskSource or FileSource
    """
    if isinstance(data, FileRows):
        return FileSource(data)
    if is_dask_array(data):
        return DaskSource(data)
    return ArraySource(data)


def files_of(*sources: Source | None) -> list[FileRows]:
    """Those of several sources that are rows of files."""
    return [files for data in sources if (files := source_of(data).files) is not None]


def in_memory(**sources: Source | None) -> list[Any]:
    """All of several sources as arrays here, by the names of the arguments; what is lazy is computed together.

    None stays None.
    """
    whole = (None if data is None else source_of(data).whole(name) for name, data in sources.items())
    return list(compute(*whole))


def take_runs(runs: Sequence[tuple[int, int]], **sources: Source | None) -> list[list[np.ndarray]]:
    """Several ranges of rows of each source that is given, here; what is lazy is computed together."""
    given = {name: source_of(source) for name, source in sources.items() if source is not None}
    blocks = compute(*(source.runs(runs) for source in given.values()))
    return [source.checked_runs(part, runs, name) for (name, source), part in zip(given.items(), blocks, strict=True)]


def n_columns(source: Source) -> int:
    """Number of columns; 1 for one dimension."""
    return 1 if source.ndim < 2 else source.shape[1]


def is_path(value) -> bool:
    """Whether a value names data in files: a path, a non-empty list of paths, a dataset, or opened rows."""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, str | os.PathLike) for item in value)
    return isinstance(value, str | os.PathLike | h5py.Dataset | FileRows)


def is_dask_array(value: Any) -> bool:
    """Whether a value, of any type, is a dask array."""
    # No object of the class exists before its module is imported, and workers that sum rows of files never need it.
    core = sys.modules.get("dask.array.core")
    return core is not None and isinstance(value, core.Array)


def _in_row_chunks(array, row_chunks):
    return array if row_chunks is None or array.chunks[0] == row_chunks else array.rechunk({0: row_chunks})
