"""Parquet and Arrow files at paths and URLs: which they are, how they are opened, and their rows in batches."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from ..exceptions import FileFormatError, InputTypeError, MissingExtraError
from ..hdf5.opening import missing_file
from ..hdf5.paths import check_regular, is_url, open_regular
from ..hdf5.remote import PAGE_BYTES, RemoteFile, read_bytes

__all__ = ["ENDINGS", "format_of", "need_pyarrow", "opened"]

# Endings of the names of such files, by which files in folders and at URLs are recognised.
ENDINGS = (".parquet", ".parq", ".pq", ".arrow", ".feather", ".ipc")
_MAGIC = {b"PAR1": "Parquet", b"ARROW1": "Arrow", b"FEA1": "Feather"}
# Bytes that are read from a column at once. A row group is never in memory as a whole.
_BUFFER_BYTES = 64 * 2**10
# Bytes of a page of a column, by the default of all writers, after unpacking; a file does not say.
_PAGE_BYTES = 2**20


def format_of(path: str) -> str | None:
    """Format of a file by its first bytes: "Parquet", "Arrow" or "Feather" (its version 1); None for any other path.

    A URL counts by the ending of its name, so that nothing is fetched for other files.
    """
    try:
        if is_url(path):
            name = path.partition("?")[0].lower()
            begin = read_bytes(path, 6) if name.endswith(ENDINGS) else b""
        else:
            with open_regular(path) as file:
                begin = file.read(6)
    except (OSError, ValueError):
        # The error is that of opening it, which follows.
        return None
    return next((name for magic, name in _MAGIC.items() if begin.startswith(magic)), None)


def need_pyarrow(path: str) -> Any:
    """The module pyarrow, which reads the file at a path."""
    try:
        import pyarrow
    except ImportError:
        raise MissingExtraError(
            f"{path}: Parquet and Arrow files need pyarrow, which is not installed. Install it here, and on all "
            "workers: pip install 'daskelm[parquet]'."
        ) from None
    return pyarrow


@contextlib.contextmanager
def opened(path: str) -> Iterator[_Parquet | _Arrow]:
    """The Parquet or Arrow file at a path, or the Parquet file at a URL, open to read."""
    pyarrow = need_pyarrow(path)
    if is_url(path):
        remote = RemoteFile(path)
        remote.look()
        if (kind := format_of(path)) != "Parquet":
            raise InputTypeError(
                f"{path}: only Parquet files are read at URLs; got {kind or 'another file'}. Copy it to a path first, "
                "for example with fsspec.filesystem(...).get(url, path)."
            )
        yield _Parquet(path, pyarrow.PythonFile(_Fetched(remote), "r"), remote)
        return
    if os.path.isdir(path):
        raise FileFormatError(f"{path} is a folder; give a file, a list of files, or a glob.")
    # Opening a named pipe would wait until another process writes to it.
    check_regular(path)
    try:
        handle = pyarrow.OSFile(path, "rb")
    except (FileNotFoundError, NotADirectoryError):
        raise missing_file(path, "no such file, looked for") from None
    with handle:
        kind = format_of(path)
        if kind == "Parquet":
            yield _Parquet(path, handle, None)
        elif kind == "Arrow":
            yield _Arrow(path, handle)
        else:
            got = _described(kind, path)
            raise FileFormatError(f"{path} must be a Parquet or an Arrow file (Feather version 2); got {got}.")


def _described(kind, path):
    if kind == "Feather":
        return f"version 1 of Feather. Write it again: pandas.read_feather({path!r}).to_feather(...)"
    return "an empty file" if os.path.exists(path) and not os.path.getsize(path) else "another kind of file"


@contextlib.contextmanager
def _readable(path):
    import pyarrow

    try:
        yield
    except FileNotFoundError:
        raise
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, FileFormatError | PermissionError):
            raise
        what = " ".join(str(error).split())
        raise FileFormatError(
            f"{path} cannot be read as a table: it is truncated, damaged, or made with a codec or an encryption that "
            f"pyarrow does not have here ({what}). Copy or write it again."
        ) from None


class _Fetched:
    """A file at a URL as `pyarrow.PythonFile` takes it: its bytes are fetched before they are read."""

    closed = False

    def __init__(self, remote: RemoteFile):
        self.seek, self.tell, self.read = remote.seek, remote.tell, remote.read

    def close(self) -> None:
        """Nothing is open."""


class _Parquet:
    """An open Parquet file. Its rows lie in row groups, and these in column chunks, in pages."""

    def __init__(self, path: str, handle: Any, remote: RemoteFile | None):
        from pyarrow import parquet

        self.path, self._remote = path, remote

        def open_it():
            handle.seek(0)
            return parquet.ParquetFile(handle, buffer_size=_BUFFER_BYTES, pre_buffer=False)

        with _readable(path):
            self._file = open_it() if remote is None else remote.call(open_it)
            self.schema = self._file.schema_arrow
        self.metadata = self._file.metadata

    @property
    def version(self) -> tuple[int, int] | None:
        """Size and stamp of a file at a URL, as it was seen when it was opened."""
        return None if self._remote is None else self._remote.seen

    def look(self) -> tuple[int, int] | None:
        """Size and stamp of a file at a URL, as they are now."""
        return None if self._remote is None else self._remote.look()

    @cached_property
    def _places(self):
        """Numbers of the columns in the file, by name; children of nested columns have longer names."""
        columns = self.metadata.schema
        return {columns.column(j).path: j for j in range(len(columns))}

    @cached_property
    def group_rows(self) -> list[int]:
        """Rows of each row group."""
        return [self.metadata.row_group(i).num_rows for i in range(self.metadata.num_row_groups)]

    def n_missing(self, names: Sequence[str]) -> dict[str, int | None]:
        """Number of nulls of columns, by their statistics; None where these do not say."""
        groups = [self.metadata.row_group(i) for i in range(self.metadata.num_row_groups)]
        return {name: self._n_missing(groups, name) for name in names}

    def _n_missing(self, groups, name):
        total = 0
        for group in groups:
            statistics = group.column(self._places[name]).statistics
            if group.num_rows and (statistics is None or not statistics.has_null_count):
                return None
            total += statistics.null_count if group.num_rows else 0
        return total

    def held_bytes(self, names: Sequence[str]) -> tuple[int, int]:
        """Most bytes that reading in batches holds, besides these: of pages and buffers, and fetched from a URL."""
        if not self.group_rows:
            return 0, 0
        group = self.metadata.row_group(max(range(len(self.group_rows)), key=self.group_rows.__getitem__))
        chunks = [group.column(self._places[name]) for name in names]
        # A page is held packed and unpacked, and so is a dictionary.
        pages = [
            min(chunk.total_uncompressed_size, 2 * _PAGE_BYTES)
            + min(chunk.total_compressed_size, _PAGE_BYTES)
            + min(chunk.total_compressed_size, _BUFFER_BYTES)
            for chunk in chunks
        ]
        fetched = 0 if self._remote is None else sum(chunk.total_compressed_size + 2 * PAGE_BYTES for chunk in chunks)
        return sum(pages), fetched

    def batches(
        self, first: int, last: int, names: Sequence[str], batch_rows: int, use_threads: bool = False
    ) -> Iterator[Any]:
        """Record batches of row groups first to last - 1, with these columns in the order of the file."""
        runs = [range(first, last)] if self._remote is None else [range(i, i + 1) for i in range(first, last)]
        for groups in runs:
            self._fetch(groups[0], names)
            with _readable(self.path):
                yield from self._file.iter_batches(batch_rows, groups, list(names), use_threads=use_threads)

    def _fetch(self, i, names):
        """Fetch the columns of a row group, if the file is at a URL, and forget others."""
        if self._remote is None:
            return
        group = self.metadata.row_group(i)
        pages: set[int] = set()
        for name in names:
            chunk = group.column(self._places[name])
            begin = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
            begin = min(begin, chunk.data_page_offset)
            pages.update(range(begin // PAGE_BYTES, (begin + chunk.total_compressed_size) // PAGE_BYTES + 1))
        self._remote.forget()
        self._remote.fetch(pages)


class _Arrow:
    """An open Arrow file (IPC), whose rows lie in record batches."""

    version: tuple[int, int] | None = None

    def __init__(self, path: str, handle: Any):
        from pyarrow import ipc

        self.path, self._handle = path, handle
        with _readable(path):
            self.schema = ipc.open_file(handle).schema

    def look(self) -> tuple[int, int] | None:
        """No such file is at a URL."""
        return None

    def _open(self, names):
        from pyarrow import ipc

        places = [self.schema.get_field_index(name) for name in names]
        return ipc.open_file(self._handle, options=ipc.IpcReadOptions(included_fields=places, use_threads=False))

    @cached_property
    def group_rows(self) -> list[int]:
        """Rows of each record batch."""
        with _readable(self.path):
            # One column is enough; all would be unpacked.
            file = self._open(self.schema.names[:1])
            return [file.get_batch(i).num_rows for i in range(file.num_record_batches)]

    def n_missing(self, names: Sequence[str]) -> dict[str, int | None]:
        """Number of nulls of columns, which are read."""
        total: dict[str, int | None] = dict.fromkeys(names, 0)
        if names:
            with _readable(self.path):
                file = self._open(names)
                for i in range(file.num_record_batches):
                    batch = file.get_batch(i)
                    total = {name: (total[name] or 0) + batch.column(name).null_count for name in names}
        return total

    def held_bytes(self, names: Sequence[str]) -> tuple[int, int]:
        """Most bytes that reading holds: a record batch, packed and unpacked."""
        # A value has eight bytes at most, and with a dictionary its number besides.
        return 2 * max(self.group_rows, default=0) * 8 * len(names), 0

    def batches(
        self, first: int, last: int, names: Sequence[str], batch_rows: int, use_threads: bool = False
    ) -> Iterator[Any]:
        """Record batches first to last - 1, cut into slices, with these columns in the order of the file."""
        with _readable(self.path):
            file = self._open(names)
            for i in range(first, last):
                batch = file.get_batch(i)
                for start in range(0, batch.num_rows, batch_rows):
                    yield batch.slice(start, batch_rows)
