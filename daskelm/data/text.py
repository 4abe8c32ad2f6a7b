"""Tables of numbers in text files (CSV, whitespace; plain, gzip, bzip2) as blocks of rows, in bounded memory."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import itertools
import os
from collections.abc import Callable, Iterator

import numpy as np

from ..exceptions import DataError, FileFormatError, FileMissingError, InputTypeError, ParameterError

__all__ = ["is_text_path", "read_text"]

_OPENERS: dict[str, Callable] = {".gz": gzip.open, ".bz2": bz2.open}
_SUFFIXES = (".csv", ".txt", ".tsv", ".dat")
_LINES = 50_000
_MISSING = {"", "na", "n/a", "null", "none", "?", "-"}


def is_text_path(path) -> bool:
    """Whether the name is that of a text table: .csv, .txt, .tsv or .dat, possibly with .gz or .bz2 after it."""
    stem, suffix = os.path.splitext(os.fspath(path).lower())
    return (stem if suffix in _OPENERS else stem + suffix).endswith(_SUFFIXES)


def read_text(
    path, delimiter: str | None = None, header: bool | None = None, skiprows: int = 0
) -> Iterator[np.ndarray]:
    """Blocks of float64 rows (n, n_columns) of a text table, in bounded memory.

    Parameters
    ----------
    path : str or path-like
        The file.
    delimiter : str, optional
        Separator of the fields; found from the first line if not given: comma, semicolon, tab, else white space.
    header : bool, optional
        Whether the first line names the columns; found from the first two lines if not given.
    skiprows : int, default=0
        Lines to leave out at the beginning of the file.
    """
    opener = _OPENERS.get(os.path.splitext(os.fspath(path).lower())[1], open)
    try:
        file = opener(path, "rt", encoding="utf-8-sig", newline=None)
    except FileNotFoundError:
        raise FileMissingError(f"{path}: no such file.") from None
    except IsADirectoryError:
        raise FileFormatError(f"{path} is a folder; give the name of a file in it.") from None
    with file, _readable(path):
        # Errors name the lines of the file, so blank lines are counted before they are dropped.
        lines = ((number, line) for number, line in enumerate(file, 1) if number > skiprows and line.strip())
        first = list(itertools.islice(lines, 2))
        if not first:
            raise DataError(f"{path} must hold at least one row of numbers; got an empty file.")
        if delimiter is None:
            delimiter = next((mark for mark in ",;\t" if mark in first[0][1]), None)
        elif not isinstance(delimiter, str) or len(delimiter) != 1:
            raise ParameterError(f"delimiter must be one character, or None to find it; got {delimiter!r}.")
        fields = [_split(line, delimiter) for _, line in first]
        if header is None:
            # A line with a single number or missing value is data, so that no row is ever taken for a header.
            header = not any(_is_number(field) or field.lower() in _MISSING for field in fields[0])
        if header:
            first = first[1:]
        if not first:
            raise DataError(f"{path} must hold at least one row of numbers; got a header only.")
        n_columns = len(fields[-1] if header else fields[0])
        names = fields[0] if header else [str(i) for i in range(n_columns)]
        rows = itertools.chain(first, lines)
        while block := list(itertools.islice(rows, _LINES)):
            yield _parse(path, block, delimiter, names, n_columns)


@contextlib.contextmanager
def _readable(path):
    try:
        yield
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} must be text in UTF-8 ({error}). Convert it, for example with iconv.") from None
    except (EOFError, gzip.BadGzipFile) as error:
        raise FileFormatError(f"{path} is truncated or not compressed as its name says ({error}).") from None


def _parse(path, block, delimiter, names, n_columns):
    try:
        rows = np.loadtxt([line for _, line in block], delimiter=delimiter, comments=None, quotechar='"', ndmin=2)
        if rows.shape[1] == n_columns:
            return rows
    except ValueError:
        pass
    # NumPy could not read the block: go through it line by line, to name the line in the error.
    for number, line in block:
        fields = _split(line, delimiter)
        if len(fields) != n_columns:
            raise DataError(
                f"{path}, line {number}: every line must have {n_columns} fields; got {len(fields)}. Mend the file, or "
                "name its delimiter."
            )
        for name, field in zip(names, fields, strict=False):
            if not field:
                raise DataError(
                    f"{path}, line {number}: column {name!r} is empty. Fill missing values first (nan is read as NaN)."
                )
            if not _is_number(field):
                raise InputTypeError(
                    f"{path}, line {number}: column {name!r} must hold numbers; got text {field!r}. Drop text columns "
                    "or code them as numbers first."
                )
    raise DataError(
        f"{path}: lines {block[0][0]} to {block[-1][0]} cannot be read as numbers, though each field looks like one. "
        "Write numbers as 1234.5 or 1.2e3, without thousands separators and comments."
    )


def _split(line, delimiter):
    return [field.strip().strip('"') for field in line.strip("\r\n" if delimiter else None).split(delimiter)]


def _is_number(field):
    try:
        float(field)
    except ValueError:
        return False
    return True
