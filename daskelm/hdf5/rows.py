"""Rows of any number of HDF5 files as one table: a description, which tasks read by path."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import h5py
import numpy as np
from dask.utils import natural_sort_key

from ..exceptions import DataError, FileFormatError, ParameterError
from .choice import Choice, asked_for
from .columns import Column, Recode, have_levels, union_of_levels
from .contents import files_read
from .dataset import OpenPart, Part
from .describing import describe_all
from .external import check_prefixes
from .file_rows import FileRows, some
from .links import place_of_dataset
from .naming import positions_of
from .opening import missing_file
from .paths import is_url, place_of, plain_path
from .remote import urls_matching
from .side_by_side import OpenColumns, open_part
from .sparse_rows import SparseFileRows, open_sparse
from .words import TEXT_BYTES, Words

__all__ = ["Hdf5Rows", "files_named", "open_rows"]


@dataclass(frozen=True)
class Hdf5Rows(FileRows):
    """Rows start to stop - 1 of the concatenated datasets of HDF5 files; the parts are those of `dataset`."""

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
        if part.words is None and part.columns is not None and len(part.columns) == 1 and part.columns[0].levels:
            return Words(tuple(enumerate(part.columns[0].levels)))
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

    def called(self, part: Part) -> str:
        """Path and dataset of a part, with the names of its columns if they are a choice of several."""
        label = part.label
        if self.names and not part.beside and not part.choice.is_whole and len(self.names) <= 8:
            label = f"{part.dataset}{'.T' * part.choice.transposed}[{','.join(self.names)}]"
        return f"{place_of(part.path)}:{label}"

    def choices(self) -> Iterator[tuple[str, str, Choice]]:
        """(path, dataset, columns that are read) of each dataset."""
        for part, _, _ in self.ranges():
            yield from ((one.path, one.dataset, one.choice) for one in part.each())

    def choose(self, columns) -> Hdf5Rows:
        """The same rows of some columns, given by name or position, in that order; one alone becomes a vector."""
        asked = asked_for(columns=columns)
        if asked.columns is None or self.ndim == 1:
            return self
        places = positions_of(asked.columns, self.columns, self.n_columns, some(self.paths))
        parts = [
            replace(taken, columns=None if part.columns is None else tuple(part.columns[i] for i in places))
            for part in self.parts
            for taken in [part.take(places, asked.single)]
        ]
        chosen = None if self.columns is None else tuple(self.columns[i] for i in places)
        ndim = 1 if asked.single else 2
        return replace(self, parts=tuple(parts), ndim=ndim, n_columns=len(places), columns=chosen)._in_codes(chosen)

    def with_levels(self, wanted: Sequence[Column]) -> Hdf5Rows:
        """The same rows with the codes of columns `wanted`, whatever the levels in each file."""
        return self._in_codes(wanted)

    def _in_codes(self, wanted) -> Hdf5Rows:
        """The same rows with the codes of some columns, and the dtype that all numbers have then."""
        parts = tuple(
            replace(part, recode=None if part.columns is None else Recode.between(part.columns, wanted))
            for part in self.parts
        )
        dtype = np.result_type(*(np.float64 if part.recode else part.result_dtype for part in parts))
        return replace(self, parts=parts, dtype=dtype)

    def open_part(self, part: Part, cached: bool) -> OpenPart | OpenColumns:
        """The open file of a part."""
        return open_part(part, cached)

    def files_of(self, part: Part) -> list[str]:
        """Local files that a part is read from: its own, and those that links and virtual datasets lead to."""
        return [
            path
            for one in part.each()
            for path in ([one.path] if is_url(one.path) else files_read(one.path, one.dataset))
        ]


def open_rows(
    path, dataset: str | None = None, rows: slice | None = None, columns=None, transpose: bool = False
) -> FileRows:
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
    Hdf5Rows or SparseFileRows
    """
    if isinstance(path, Hdf5Rows | SparseFileRows):
        return path.rows(rows).choose(columns)
    if isinstance(path, h5py.Dataset):
        path, dataset = _place_of(path)
    paths, asked = files_named(path), asked_for(dataset, columns, transpose)
    if (sparse := open_sparse(paths, asked)) is not None:
        return sparse.rows(rows)
    described = describe_all(paths, asked)
    parts = tuple(replace(one.part, columns=one.columns if have_levels(one.columns) else None) for one in described)
    first_shape = described[0].shape
    for part, shape, _ in described:
        if shape[1:] != first_shape[1:]:
            vectors = {1, *first_shape[1:], *shape[1:]} == {1}
            remedy = " columns=0 takes the one column of each, as a vector." if vectors else ""
            raise DataError(
                f"all files must have the same number of columns and dimensions; got {first_shape} in {parts[0].path} "
                f"and {shape} in {part.path}.{remedy}"
            )
    n_rows = sum(part.n_rows for part in parts)
    n_columns = first_shape[1] if len(first_shape) == 2 else 1
    names = _columns_of_all(described)
    found = Hdf5Rows(parts, 0, n_rows, len(first_shape), n_columns, np.dtype(np.float64), names)._in_codes(names)
    return (found.as_labels() if found.dtype.kind == "O" else found).rows(rows)


def _columns_of_all(described) -> tuple[Column, ...] | None:
    """The columns of several files, which must agree; files without names are taken by position."""
    named = [one for one in described if one.columns is not None]
    for one in named:
        pairs = zip(named[0].columns, one.columns, strict=True)
        for first, other in [pair for pair in pairs if not _alike(*pair)][:1]:
            what = "kinds" if first.name == other.name else "names"
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
    return union_of_levels([one.columns for one in named]) if named else None


def _alike(a, b):
    """Whether two columns have the same name, and both are numbers or both codes."""
    return a.name == b.name and (a.levels is None) == (b.levels is None)


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
