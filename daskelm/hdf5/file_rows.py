"""Rows of any number of files as one table, whatever the format: numbers of rows, blocks and runs of tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from ..exceptions import DataError, ParameterError
from .columns import Column, have_levels
from .paths import place_of
from .reader import Hdf5Reader

__all__ = ["FileRows", "row_range", "some"]

# A row of compressed chunks with more bytes is read by one task only, since each of several would unpack all of it.
_SHARED_BYTES = 256 * 2**20


def row_range(rows: slice, n_rows: int, where: str = "") -> tuple[int, int]:
    """First row and last + 1 of a slice; rows past the end are an error, an empty range is not."""
    if not isinstance(rows, slice) or rows.step not in (None, 1):
        raise ParameterError(f"rows must be a slice of consecutive rows, such as slice(0, 1000); got {rows!r}.")
    first, last = (
        default if bound is None else bound + n_rows * (bound < 0)
        for bound, default in ((rows.start, 0), (rows.stop, n_rows))
    )
    if not 0 <= first <= n_rows or not last <= n_rows:
        raise DataError(f"rows must lie within the {n_rows} rows{where}; got slice({rows.start}, {rows.stop}).")
    return first, max(first, last)


@dataclass(frozen=True)
class FileRows:
    """Rows start to stop - 1 of the concatenated parts: a description without an open file, which can be pickled.

    Each format of files has a class of its own, which says how a part is opened. A part is one table of one file. It
    has the attributes and methods of `dataset.Part`, and what `open_part` gives those of `dataset.OpenPart`.
    """

    parts: tuple[Any, ...]
    start: int
    stop: int
    ndim: int
    n_columns: int
    dtype: np.dtype
    # Names and levels of the columns, where the files have names.
    columns: tuple[Column, ...] | None = None

    # The function that opens such files.
    opened_by: ClassVar[str] = "from_hdf5"
    # Whether only non-zeros are read, as `SparseRows`.
    is_sparse: ClassVar[bool] = False

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.stop - self.start

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_rows, n_columns), or (n_rows,) of 1-D datasets."""
        return (self.n_rows, self.n_columns) if self.ndim == 2 else (self.n_rows,)

    @property
    def paths(self) -> list[str]:
        """Paths of the files that hold these rows."""
        return list(dict.fromkeys(part.path for part, _, _ in self.ranges()))

    def ranges(self) -> list[tuple[Any, int, int]]:
        """(part, first, last + 1) for each part with rows here, in rows of that part."""
        out, offset = [], 0
        for part in self.parts:
            first, last = max(self.start - offset, 0), min(self.stop - offset, part.n_rows)
            if first < last:
                out.append((part, first, last))
            offset += part.n_rows
        return out

    def rows(self, rows: slice | None) -> Self:
        """A range of these rows; past the end is an error, an empty range is not."""
        if rows is None:
            return self
        return self.between(*row_range(rows, self.n_rows, f" of {some(self.paths)}"))

    def between(self, first: int, last: int) -> Self:
        """Rows first to last - 1, counted from the first one here."""
        # Parts outside of the range are left behind: a task carries the names of its own files only.
        first, last = self.start + first, self.start + last
        parts, offset, dropped = [], 0, 0
        for part in self.parts:
            if offset < max(last, first + 1) and offset + part.n_rows > first:
                parts.append(part)
            elif offset + part.n_rows <= first:
                dropped += part.n_rows
            offset += part.n_rows
        return replace(self, parts=tuple(parts), start=first - dropped, stop=last - dropped)

    def of_part(self, part) -> Self:
        """All rows of one of the parts."""
        return replace(self, parts=(part,), start=0, stop=part.n_rows)

    def block_bounds(self, target_rows: int) -> list[tuple[int, int]]:
        """Row ranges of about `target_rows`, of whole file chunks where possible, each within one file."""
        bounds, here = [], 0
        for part, first, last in self.ranges():
            step = _step(part, target_rows)
            a = first
            while a < last:
                b = min(a // step * step + step, last)
                bounds.append((here, here + b - a))
                here += b - a
                a = b
        return bounds

    def runs_of_blocks(self, target_rows: int, n_rows: int) -> list[tuple[int, int]]:
        """Row ranges of whole blocks of `block_bounds`, each of the fewest that have `n_rows`; the last may have less.

        Where a row of compressed chunks is large, no range ends within it.
        """
        # Blocks are not listed, since there are millions of them in 10^10 rows.
        runs, start, here = [], 0, 0
        for part, first, last in self.ranges():
            large = part.packed_row_bytes > _SHARED_BYTES
            step = part.chunk_rows if large else _step(part, target_rows)
            a = first
            while a < last:
                rest = start + n_rows - here
                b = min(-(-(a + rest) // step) * step, last)
                here += b - a
                a = b
                if here - start >= n_rows:
                    runs.append((start, here))
                    start = here
        return runs + [(start, here)] * (start < here)

    def check_written(self, ranges: Sequence[tuple[int, int]] | None = None) -> None:
        """Refuse ranges (start, stop) of these rows if some were never written; all of them if none are given."""
        if not any(part.holes for part in self.parts):
            return
        for start, stop in [(0, self.n_rows)] if ranges is None else ranges:
            for part, first, last in self.between(start, stop).ranges():
                part.check_written(first, last)

    def where(self, row: int) -> tuple[str, int]:
        """File of a row that is counted from the first one here, and its number in that file."""
        for part, first, last in self.ranges():
            if row < last - first:
                return part.path, first + row
            row -= last - first
        raise IndexError(row)

    def open_part(self, part, cached: bool) -> Any:
        """The open file of a part, from which one thread reads; with `cached`, it will read more than once."""
        raise NotImplementedError

    def files_of(self, part) -> list[str]:
        """Local files that a part is read from."""
        return [part.path]

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the columns; None where the files do not name them."""
        return None if self.columns is None else tuple(column.name for column in self.columns)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in memory."""
        return self.n_columns * self.dtype.itemsize

    @property
    def row_width(self) -> int:
        """The memory of a row, in numbers of 8 bytes."""
        return self.n_columns

    @property
    def words(self) -> str | None:
        """The labels that the rows are, in words; None for numbers."""
        return None

    def as_labels(self) -> Self:
        """The same rows, as labels where they are codes of labels; rows of numbers alone stay as they are."""
        return self

    def called(self, part) -> str:
        """Path and name of a part, as messages and the ledger have it."""
        return f"{place_of(part.path)}:{part.dataset}"

    def choices(self) -> Iterator[tuple[str, str, Any]]:
        """(path, dataset, columns that are read) of each part; the columns have `shares`, and `is_whole`."""
        raise NotImplementedError

    def choose(self, columns) -> Self:
        """The same rows of some columns, given by name or position, in that order; one alone becomes a vector."""
        raise NotImplementedError

    def all_levels(self) -> tuple[Column, ...] | None:
        """The columns with all levels that occur; None where no column is one of categories."""
        return self.columns if have_levels(self.columns) else None

    def with_levels(self, wanted: Sequence[Column]) -> Self:
        """The same rows with the codes of columns `wanted`."""
        raise NotImplementedError

    def without_names(self) -> Self:
        """The same rows without what only the caller needs to know of their columns; tasks carry no more."""
        return replace(self, columns=None)

    def leave_out(self, names: Iterable[str]) -> Self:
        """The same rows without the columns of these names; names that no column has are left aside."""
        gone = set(names)
        kept = [i for i, name in enumerate(self.names or ()) if name not in gone]
        return self if self.names is None or len(kept) == len(self.names) else self.choose(kept)

    def open(self, *, reuse: bool = False) -> Hdf5Reader:
        """Reader of these rows, for a `with` statement; with `reuse`, each read overwrites the last block."""
        return Hdf5Reader(self, reuse)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows start to stop - 1, counted from the first one here, of shape (stop - start, n_columns)."""
        return self.read_runs([(start, stop)])[0]

    def read_runs(self, runs: Sequence[tuple[int, int]]) -> list[np.ndarray]:
        """Rows as of `read` for several ranges (start, stop), in the order of their rows."""
        with Hdf5Reader(self, runs=runs) as reader:
            return [reader.read(start, stop) for start, stop in runs]


def _step(part, target_rows):
    """Rows of a block: whole chunks, unless a chunk has more rows than the block."""
    return target_rows if part.chunk_rows > target_rows else target_rows // part.chunk_rows * part.chunk_rows


def some(names: Iterable) -> str:
    """The first names of many, for messages."""
    names = list(names)
    return ", ".join(map(str, names[:4])) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
