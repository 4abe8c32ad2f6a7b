"""Rows of any number of Parquet and Arrow files as one table: a description, which tasks read by path."""

from __future__ import annotations

import glob
import hashlib
import itertools
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from dask.utils import natural_sort_key

from ..cluster.client import in_task
from ..exceptions import DataError, FileFormatError, ParameterError
from ..hdf5.choice import asked_for
from ..hdf5.columns import Column, sorted_levels
from ..hdf5.external import status_of
from ..hdf5.file_rows import FileRows, some
from ..hdf5.naming import positions_of
from ..hdf5.paths import is_url, plain_path
from ..hdf5.rows import files_named
from .columns import ToLabels, ToNumbers, add_levels, is_coded, is_nested, is_whole, need_nulls, need_number_types
from .files import ENDINGS, format_of, opened
from .part import OpenTable, TablePart, batch_rows, changed, run_lengths, table_of

__all__ = ["ParquetRows", "column_names", "is_table_path", "open_rows", "table_facts", "table_files"]

# Number of files at URLs that are described at the same time.
_N_THREADS = 16
# Columns that are named in full where a table is named.
_NAMED = 4
# A row group with more than this many times the rows of a task is shared by several tasks.
_SHARED = 2


class _Named(NamedTuple):
    """Names of the columns that are read."""

    names: frozenset[str]
    is_whole: bool = False

    def shares(self, other: _Named) -> bool:
        """Whether some columns are in both."""
        return bool(self.names & other.names)


@dataclass(frozen=True)
class ParquetRows(FileRows):
    """Rows start to stop - 1 of some columns of Parquet or Arrow files: a description, which can be pickled.

    columns : tuple of Column, names of the columns that are read
    encode : callable of a `pyarrow.Table` with these columns to an array of numbers of the shape and dtype declared
    use_threads : bool, whether Arrow's threads unpack columns side by side
    """

    columns: tuple[Column, ...] = ()
    encode: Callable[[Any], np.ndarray] = field(default_factory=lambda: ToNumbers(np.dtype(np.float64), 2, exact=True))
    use_threads: bool = False

    opened_by: ClassVar[str] = "from_parquet"

    def without_names(self) -> Self:
        """The same rows: tasks find the columns by their names."""
        return self

    @property
    def words(self) -> str | None:
        """The labels that the rows are, in words: text, or None for numbers."""
        return "text" if self.n_columns == 1 and self.columns[0].levels is not None else None

    def as_labels(self) -> Self:
        """The same rows, as labels where they are text; rows of numbers alone stay as they are."""
        return self if self.words is None else replace(self, encode=ToLabels(self.ndim), dtype=np.dtype(object))

    def all_levels(self) -> tuple[Column, ...] | None:
        """The columns with all levels that occur, for which columns of categories are read; None without these."""
        coded = [column.name for column in self.columns if column.levels is not None]
        if not coded:
            return None
        found: dict = {name: {} for name in coded}
        for part, _, _ in self.ranges():
            with opened(part.path) as file:
                for batch in file.batches(0, len(file.group_rows), coded, batch_rows(8 * len(coded)), True):
                    add_levels(found, table_of(batch), part.path)
        return tuple(
            Column(column.name, None if column.levels is None else sorted_levels(found[column.name]))
            for column in self.columns
        )

    def with_levels(self, wanted: Sequence[Column]) -> Self:
        """The same rows with the codes of columns `wanted`."""
        levels = tuple((column.name, column.levels) for column in wanted if column.levels is not None)
        return replace(self, encode=replace(self.encode, levels=levels))  # type: ignore[type-var]

    def choices(self) -> Iterator[tuple[str, str, _Named]]:
        """(path, "", columns that are read) of each file."""
        named = _Named(frozenset(column.name for column in self.columns))
        for part, _, _ in self.ranges():
            yield part.path, "", named

    def choose(self, columns) -> Self:
        """The same rows of some columns, given by name or position, in that order; one alone becomes a vector."""
        asked = asked_for(columns=columns)
        if asked.columns is None or self.ndim == 1:
            return self
        places = positions_of(asked.columns, self.columns, self.n_columns, some(self.paths))
        names = [self.columns[i].name for i in places]
        return self.with_columns(names[0] if asked.single else names)

    def with_columns(self, names: Sequence[str] | str) -> Self:
        """The same rows of other columns of the same files; one name alone for a vector."""
        if not self.parts:
            raise DataError("columns can be chosen of rows that are there only; got no rows.")
        rows = open_rows([part.path for part in self.parts], names)
        for ours, theirs in zip(self.parts, rows.parts, strict=True):
            if (ours.size, ours.modified) != (theirs.size, theirs.modified):
                raise changed(ours.path, "another version of the file")
        return rows.between(self.start, self.stop)  # type: ignore[return-value]

    def open_part(self, part: TablePart, cached: bool) -> OpenTable:
        """The open file of a part."""
        names = [column.name for column in self.columns]
        return OpenTable(part, names, 8 * self.n_columns, self.encode, self.use_threads)

    def read_runs(self, runs: Sequence[tuple[int, int]]) -> list[np.ndarray]:
        """Rows of several ranges (start, stop), in the order of their rows."""
        # Single rows far apart, by which the ledger recognises a table, are read here, and unpacking the pages before
        # them takes long. Tasks read one range, or open the rows.
        here = len(runs) > 1 and not in_task()
        return super(ParquetRows, replace(self, use_threads=here)).read_runs(runs)

    def _groups(self) -> Iterable[int]:
        """Rows of each row group that has rows here, counted from the first row here on."""
        for part, first, last in self.ranges():
            edges = np.clip(part.group_edges(), first, last)
            yield from (size for size in np.diff(edges).tolist() if size)
            # No block crosses two files.
            yield 0

    def block_bounds(self, target_rows: int) -> list[tuple[int, int]]:
        """Row ranges of at most `target_rows`, each within one file: whole row groups where they are small enough."""
        bounds, start, here = [], 0, 0
        for size in self._groups():
            if start < here and (not size or here - start + size > target_rows):
                bounds.append((start, here))
                start = here
            n = -(-size // target_rows)
            for i in range(n - 1 if n > 1 else 0):
                bounds.append((start, here + size * (i + 1) // n))
                start = bounds[-1][1]
            here += size
        return bounds

    def runs_of_blocks(self, target_rows: int, n_rows: int) -> list[tuple[int, int]]:
        """Row ranges of whole row groups, each of the fewest that have `n_rows`; the last may have less.

        A row group with more than twice the rows is cut into equal ranges, and unpacked for each up to its end.
        """
        runs, start, here = [], 0, 0
        for size in self._groups():
            if size > _SHARED * n_rows:
                if start < here:
                    runs.append((start, here))
                n = -(-size // n_rows)
                edges = [here + size * i // n for i in range(n + 1)]
                runs += itertools.pairwise(edges)
                start = edges[-1]
            here += size
            if here - start >= n_rows:
                runs.append((start, here))
                start = here
        return runs + [(start, here)] * (start < here)


def is_table_path(path: Any) -> bool:
    """Whether a path, glob, URL or list of these names Parquet or Arrow files, or a folder of them; by the first."""
    if isinstance(path, list | tuple):
        return bool(path) and is_table_path(path[0])
    if not isinstance(path, str | os.PathLike):
        return False
    path = os.fspath(path)
    if is_url(path):
        return path.partition("?")[0].lower().endswith(ENDINGS)
    path = plain_path(path)
    if os.path.isdir(path):
        return bool(_inside(path))
    if glob.has_magic(path) and not os.path.exists(path):
        found = sorted(glob.glob(path), key=natural_sort_key)
        return is_table_path(found[0]) if found else False
    return format_of(path) is not None


def _inside(folder):
    """Files in a folder of Parquet or Arrow files, in the natural order of their paths; none in any other folder."""
    found = [
        os.path.join(place, name)
        for place, folders, names in os.walk(folder)
        if not folders.__setitem__(slice(None), [name for name in folders if name[0] not in "._"])
        for name in names
        # Spark and others leave files such as _SUCCESS there, which are no part of the table.
        if name[0] not in "._"
    ]
    return sorted(found, key=natural_sort_key) if any(path.lower().endswith(ENDINGS) for path in found) else []


def table_files(path: Any) -> list[str]:
    """Files that a path, a folder, a glob, URLs, or a list of these stand for, in the natural order of names."""
    if isinstance(path, list | tuple):
        return [file for one in path for file in table_files(one)]
    files = files_named(path)
    return [found for file in files for found in (_of_folder(file) if os.path.isdir(file) else [file])]


def _of_folder(folder):
    found = _inside(folder)
    if not found:
        raise FileFormatError(
            f"{folder} is a folder without Parquet or Arrow files; their names end in {', '.join(ENDINGS)}. Give a "
            "file, a list of files, or a glob."
        )
    hive = next((part for path in found for part in os.path.relpath(path, folder).split(os.sep)[:-1] if "=" in part), 0)
    if hive:
        raise FileFormatError(
            f"{folder}: the folder {hive!r} holds the value of a column in its name, which would be lost. Give the "
            "table with it as a frame, dask.dataframe.read_parquet(path), or the files without it as a list or a glob."
        )
    return found


def column_names(path: Any) -> list[str]:
    """Names of the columns of the first file, without pandas' index."""
    with opened(table_files(path)[0]) as file:
        return _columns_of(file.schema)


def open_rows(
    path: Any, columns: Sequence[str] | str | None = None, rows: slice | None = None, seconds: Sequence[str] = ()
) -> ParquetRows:
    """Describe rows of Parquet or Arrow files without reading them.

    Parameters
    ----------
    path : str, path-like, list of these, or ParquetRows
        One file, several in the order of their rows, a folder, a glob (in the natural order of names), or URLs.
    columns : list of str, or str, optional
        Names of the columns to read, in this order; one name alone for a vector. All but pandas' index if not given.
    rows : slice, optional
        Consecutive rows of the concatenation.
    seconds : list of str, optional
        Columns of dates and times to read as seconds since 1970, UTC.

    Returns
    -------
    ParquetRows
    """
    if isinstance(path, ParquetRows):
        return (path if columns is None else path.with_columns(columns)).rows(rows)
    files = table_files(path)
    # The first file says which columns there are.
    first = _describe(files[0], None if columns is None else _named(columns), seconds=seconds)
    names = [name for name, _, _ in first[1]]
    more = partial(_describe, names=names, whole=columns is None, like=files[0], seconds=seconds)
    if sum(map(is_url, files)) > 1:
        # The threads mostly wait for answers of servers.
        with ThreadPoolExecutor(_N_THREADS) as pool:
            described = [first, *pool.map(more, files[1:])]
    else:
        described = [first, *map(more, files[1:])]
    parts = tuple(part for part, _ in described)
    types = [(dtype, bool(whole)) for _, found in described for _, dtype, whole in found]
    dtype = np.result_type(*({dtype for dtype, _ in types} or {np.dtype(np.float64)}))
    ndim = 1 if isinstance(columns, str) else 2
    encode = ToNumbers(dtype, ndim, exact=all(whole for _, whole in types), seconds=tuple(seconds))
    n_rows = sum(part.n_rows for part in parts)
    # Levels are known when they are read.
    coded = {name for _, found in described for name, _, whole in found if whole is None}
    held = tuple(Column(name, () if name in coded else None) for name in names)
    return ParquetRows(parts, 0, n_rows, ndim, len(names), dtype, held, encode).rows(rows)


def table_facts(path: str) -> dict:
    """Facts about one file as values for JSON: rows, groups, and the name, type and nulls of each column."""
    with opened(path) as file:
        sizes, schema = file.group_rows, file.schema
        nulls = file.n_missing([field.name for field in schema if not is_nested(field)])
    columns = [{"name": one.name, "type": str(one.type), "nulls": nulls.get(one.name)} for one in schema]
    groups = {"number": len(sizes), "most_rows": max(sizes, default=0)}
    return {"rows": sum(sizes), "groups": groups, "columns": columns}


def _named(columns):
    """The names in an argument `columns`, checked."""
    names = [columns] if isinstance(columns, str) else columns
    if not isinstance(names, Sequence | np.ndarray) or not len(names) or not all(isinstance(n, str) for n in names):
        raise ParameterError(
            f"columns must be a list of names, or one name for a vector; got {columns!r}. Leave it out for all columns."
        )
    names = list(map(str, names))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ParameterError(f"columns must be different; got {twice!r} twice. Name each once.")
    return names


def _describe(
    path, names, whole=False, like=None, seconds=()
) -> tuple[TablePart, list[tuple[str, np.dtype, bool | None]]]:
    """The description of a file, and (name, dtype, whether it holds integers) of each column; None for categories.

    With `whole`, the file must have no other columns than these, which are those of the file `like`.
    """
    # The time is taken first, so that all later changes have a later time.
    now = time.time_ns()
    status = _status(path)
    with opened(path) as file:
        schema = file.schema
        held = _columns_of(schema)
        names = held if names is None else names
        _check_names(path, names, held, schema, whole, like)
        fields = [schema.field(name) for name in names]
        counted = [field.name for field in fields if need_nulls(field)]
        missing: dict[str, int | None] = dict.fromkeys(names, 0)
        dtypes = need_number_types(fields, missing | file.n_missing(counted), path, seconds)
        row_bytes = 8 * len(names)
        pages, fetched = file.held_bytes(names)
        size, modified = file.version or (status.st_size, status.st_mtime_ns)
        part = TablePart(
            path,
            _called(names),
            sum(file.group_rows),
            run_lengths(file.group_rows),
            size=size,
            modified=modified,
            # A batch is held by Arrow and as an array.
            cache_bytes=pages + 3 * row_bytes * batch_rows(row_bytes),
            fetched_bytes=fetched,
            described_at=0 if status is None else now,
        )
    if status is not None:
        after = _status(path)
        if (after.st_ino, after.st_size, after.st_mtime_ns) != (status.st_ino, status.st_size, status.st_mtime_ns):
            raise FileFormatError(f"{path} changed while it was opened. Start again when it is complete.")
    whole_numbers = [None if is_coded(field) else is_whole(field) for field in fields]
    return part, list(zip(names, dtypes, whole_numbers, strict=True))


def _status(path):
    # A URL has none, and what is no file is reported where it is opened.
    return status_of(path) if not is_url(path) and os.path.isfile(path) else None


def _columns_of(schema):
    """Names of the columns of a table; those that pandas keeps its index in are no columns of the frame."""
    metadata = (schema.metadata or {}).get(b"pandas")
    try:
        index = json.loads(metadata).get("index_columns", []) if metadata else []
    except ValueError:
        index = []
    return [name for name in schema.names if name not in index]


def _check_names(path, names, held, schema, whole, like):
    repeats = len(set(schema.names)) < len(schema.names)
    twice = [name for name in dict.fromkeys(schema.names) if schema.names.count(name) > 1] if repeats else []
    if twice:
        raise DataError(f"{path}: columns must have different names; got {some(map(repr, twice))} more than once.")
    missing = [name for name in names if name not in set(schema.names)]
    others = sorted(set(held).difference(names)) if whole else []
    if (missing or others) and like is not None:
        what = f"no {some(map(repr, missing))}" if missing else f"{some(map(repr, others))} too"
        raise DataError(
            f"all files must have the same columns; got {what} in {path}, unlike {like}. Name the columns that all "
            "files have: from_parquet(path, columns=[...])."
        )
    if missing:
        raise DataError(
            f"{path}: columns must name columns of the file; got {some(map(repr, missing))}, and it has "
            f"{some(map(repr, schema.names))}."
        )
    if not names:
        raise DataError(f"{path} must have at least one column; got none.")


def _called(names):
    """Columns as a table of them is called in messages and in the ledger."""
    listed = ", ".join(names[:_NAMED])
    if len(names) > _NAMED:
        digest = hashlib.sha256("\0".join(names).encode()).hexdigest()[:8]
        listed += f" and {len(names) - _NAMED} more, {digest}"
    # The name of a dataset begins so too, and the ledger finds by it where a path ends.
    return f"/[{listed}]"
