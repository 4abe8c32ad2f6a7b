"""Rows of any number of HDF5 files as one table: a description, which tasks read by path."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import h5py
import numpy as np
from dask.utils import natural_sort_key

from ..exceptions import DataError, FileFormatError, ParameterError
from .choice import asked_for
from .columns import Column
from .dataset import Part
from .describing import describe_all
from .external import check_prefixes
from .links import place_of_dataset
from .naming import positions_of
from .opening import missing_file
from .paths import is_url, place_of, plain_path
from .reader import Hdf5Reader
from .remote import urls_matching
from .words import TEXT_BYTES, Words

__all__ = ["Hdf5Rows", "files_named", "open_rows", "row_range", "some"]

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
class Hdf5Rows:
    """Rows start to stop - 1 of the concatenated parts: a description without an open file, which can be pickled.

    `columns` are names and levels of the columns, where the files have names.
    """

    parts: tuple[Part, ...]
    start: int
    stop: int
    ndim: int
    n_columns: int
    dtype: np.dtype
    columns: tuple[Column, ...] | None = None

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.stop - self.start

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_rows, n_columns), or (n_rows,) of 1-D datasets."""
        return (self.n_rows, self.n_columns) if self.ndim == 2 else (self.n_rows,)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in memory."""
        return self.n_columns * (self.dtype.itemsize + (TEXT_BYTES if self.dtype == object else 0))

    @property
    def words(self) -> str | None:
        """The labels that the rows are, in words: text, or codes of levels; None for numbers."""
        return next((str(words) for words in map(self._words_of, self.parts) if words is not None), None)

    def _words_of(self, part: Part) -> Words | None:
        """How labels are read from a part: as its dataset says, or by the levels of the one column that was chosen."""
        if part.words is None and self.columns is not None and len(self.columns) == 1 and self.columns[0].levels:
            return Words(tuple(enumerate(self.columns[0].levels)))
        return part.words

    def as_labels(self) -> Hdf5Rows:
        """The same rows, as labels where they are codes of labels; rows of numbers alone stay as they are."""
        if self.words is None:
            return self
        parts = tuple(replace(part, words=self._words_of(part)) for part in self.parts)
        if (plain := next((part.path for part in parts if part.words is None), None)) is not None:
            raise DataError(
                f"all files must hold labels as words, or all as numbers; got {self.words}, and numbers in {plain}. "
                "Write them in one way."
            )
        return replace(self, parts=parts, dtype=np.dtype(object))

    @property
    def paths(self) -> list[str]:
        """Paths of the files that hold these rows."""
        return list(dict.fromkeys(one.path for part, _, _ in self.ranges() for one in part.each()))

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the columns; None where the files have none."""
        return None if self.columns is None else tuple(column.name for column in self.columns)

    def called(self, part: Part) -> str:
        """Path and dataset of a part, with the names of its columns if they are a choice of several."""
        label = part.label
        if self.names and not part.beside and not part.choice.is_whole and len(self.names) <= 8:
            label = f"{part.dataset}{'.T' * part.choice.transposed}[{','.join(self.names)}]"
        return f"{place_of(part.path)}:{label}"

    def choose(self, columns) -> Hdf5Rows:
        """The same rows of some columns, given by name or position, in that order; one alone becomes a vector."""
        asked = asked_for(columns=columns)
        if asked.columns is None or self.ndim == 1:
            return self
        places = positions_of(asked.columns, self.columns, self.n_columns, some(self.paths))
        parts = tuple(part.take(places, asked.single) for part in self.parts)
        chosen = None if self.columns is None else tuple(self.columns[i] for i in places)
        dtype = np.result_type(*(part.result_dtype for part in parts))
        ndim = 1 if asked.single else 2
        return replace(self, parts=parts, ndim=ndim, n_columns=len(places), dtype=dtype, columns=chosen)

    def leave_out(self, names: Iterable[str]) -> Hdf5Rows:
        """The same rows without the columns of these names; names that no column has are left aside."""
        gone = set(names)
        kept = [i for i, name in enumerate(self.names or ()) if name not in gone]
        return self if self.names is None or len(kept) == len(self.names) else self.choose(kept)

    def ranges(self) -> list[tuple[Part, int, int]]:
        """(part, first, last + 1) for each part with rows here, in rows of that part."""
        out, offset = [], 0
        for part in self.parts:
            first, last = max(self.start - offset, 0), min(self.stop - offset, part.n_rows)
            if first < last:
                out.append((part, first, last))
            offset += part.n_rows
        return out

    def rows(self, rows: slice | None) -> Hdf5Rows:
        """A range of these rows; past the end is an error, an empty range is not."""
        if rows is None:
            return self
        return self.between(*row_range(rows, self.n_rows, f" of {some(self.paths)}"))

    def between(self, first: int, last: int) -> Hdf5Rows:
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

    def of_part(self, part: Part) -> Hdf5Rows:
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


def open_rows(
    path, dataset: str | None = None, rows: slice | None = None, columns=None, transpose: bool = False
) -> Hdf5Rows:
    """Describe the rows of HDF5 data without reading them.

    Parameters
    ----------
    path : str, path-like, list of these, h5py.Dataset or Hdf5Rows
        One file, several in the order of their rows, a glob (in the natural order of names), URLs of these, or an open
        dataset, which is opened again by its file and name.
    dataset : str, optional
        Its name; not needed where every file holds exactly one 2-D numeric dataset, or a 1-D one that is its only
        numeric dataset.
    rows : slice, optional
        Consecutive rows of the concatenation.
    columns : list of str or int, or one of these, optional
        Which columns, in this order: names of columns, of fields of records, or of 1-D datasets that stand side by
        side; or positions. One alone, not in a list, gives rows of one dimension.
    transpose : bool, default=False
        Whether the dataset is (n_columns, n_rows).

    Returns
    -------
    Hdf5Rows
    """
    if isinstance(path, Hdf5Rows):
        return path.rows(rows).choose(columns)
    if isinstance(path, h5py.Dataset):
        path, dataset = _place_of(path)
    described = describe_all(files_named(path), asked_for(dataset, columns, transpose))
    parts = tuple(one.part for one in described)
    first_shape = described[0].shape
    for part, shape, _ in described:
        if shape[1:] != first_shape[1:]:
            raise DataError(
                f"all files must have the same number of columns and dimensions; got {first_shape} in {parts[0].path} "
                f"and {shape} in {part.path}."
            )
    dtype = np.result_type(*(part.result_dtype for part in parts))
    n_rows = sum(part.n_rows for part in parts)
    n_columns = first_shape[1] if len(first_shape) == 2 else 1
    found = Hdf5Rows(parts, 0, n_rows, len(first_shape), n_columns, dtype, _columns_of_all(described))
    return (found.as_labels() if dtype.kind == "O" else found).rows(rows)


def _columns_of_all(described) -> tuple[Column, ...] | None:
    """The columns of several files, which must agree; files without names are taken by position."""
    named = [one for one in described if one.columns is not None]
    for one in named:
        if one.columns != named[0].columns:
            pairs = zip(named[0].columns, one.columns, strict=True)
            first, other = next((a, b) for a, b in pairs if a != b)
            what = "levels" if first.name == other.name else "names"
            raise DataError(
                f"all files must have the same {what} of columns, in the same order; got {first} in "
                f"{named[0].part.path} and {other} in {one.part.path}. Choose and order them by name, columns=[...], "
                "or write the files alike."
            )
    if named and len(named) < len(described) and any(column.levels is not None for column in named[0].columns):
        other = next(one for one in described if one.columns is None)
        raise DataError(
            f"all files must have levels for columns that are codes; got none in {other.part.path}. Write it again "
            "from the same table, with its names."
        )
    return named[0].columns if named else None


def _place_of(dataset):
    if not dataset:
        raise FileFormatError("the h5py dataset's file is closed; give its path, or open the file again.")
    if dataset.file.mode != "r":
        raise ParameterError(
            f"{dataset.file.filename} is open for writing (mode {dataset.file.mode!r}), and no other process can read "
            "it now. Close it and give its path, or open it with mode 'r'."
        )
    check_prefixes(dataset, dataset.file.filename)
    return place_of_dataset(dataset)


def files_named(path) -> list[str]:
    """Files that a path, a list of paths, a glob, or URLs of these stand for; globs in the natural order of names."""
    if not isinstance(path, str | os.PathLike):
        if not isinstance(path, Iterable) or not (paths := list(path)):
            raise ParameterError(f"path must be a file, a non-empty list of files, or a glob; got {path!r}.")
        return [file for one in paths for file in files_named(one)]
    path = os.fspath(path)
    if is_url(path):
        return urls_matching(path)
    path = os.path.abspath(plain_path(path))
    if not glob.has_magic(path) or os.path.exists(path):
        return [path]
    found = sorted(glob.glob(path), key=natural_sort_key)
    if not found:
        raise missing_file(path, "no file matches this pattern")
    return found


def some(names: Iterable) -> str:
    """The first names of many, for messages."""
    names = list(names)
    return ", ".join(map(str, names[:4])) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
