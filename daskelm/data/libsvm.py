"""Files of libsvm (svmlight) as blocks of sparse rows with their labels."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..exceptions import DaskelmError, DataError, FileFormatError
from ..sparse import SparseRows
from .text_lines import TextFile

__all__ = ["is_libsvm", "libsvm_blocks"]

# Bytes of text that are parsed at once.
_BLOCK_BYTES = 16 * 2**20
_HEAD_BYTES = 4096
# A label, or several with commas, perhaps a query, and at least one column with its number.
_LINE = re.compile(rb"[+-]?[\d.eE+,-]+( +qid:\d+)?( +\d+:[+-]?[\d.eE+-]+)+ *(#[^\n]*)?\r?\n?")
_COLUMN = re.compile(rb" (\d+):")
# Lines that are read to find out.
_N_LINES = 9
_ENDINGS = (".svm", ".libsvm", ".svmlight", ".light")


def is_libsvm(path) -> bool:
    """Whether a file, compressed or not, begins as files of libsvm do, or has the ending of one."""
    name = str(path).lower()
    if name.endswith(_ENDINGS):
        return True
    try:
        with TextFile(path).opened() as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, DaskelmError, ValueError):
        # The reader of text tables says what is wrong with it.
        return False
    lines = re.sub(rb"\A(\s*#[^\n]*\n)+", b"", head).splitlines(keepends=True)[:_N_LINES]
    return bool(lines) and all(map(_is_line, lines[:-1] or lines))


def _is_line(line):
    """Whether a line, perhaps an incomplete one, has a label, and numbers of increasing columns."""
    if _LINE.fullmatch(line) is None:
        return False
    columns = [int(column) for column in _COLUMN.findall(line)]
    return all(a < b for a, b in itertools.pairwise(columns))


def libsvm_blocks(path, targets: list) -> Iterator[SparseRows]:
    """Blocks of the rows of a file, with columns as they are in it; their labels are added to `targets` before.

    Raises
    ------
    FileFormatError
        A line that is not one of libsvm.
    DataError
        No rows, or several labels in a row.
    """
    n_rows, rest = 0, b""
    with TextFile(path).opened() as file:
        while block := file.read(_BLOCK_BYTES):
            end = block.rfind(b"\n") + 1
            if not end:
                rest += block
                continue
            lines, rest = rest + block[:end], block[end:]
            for X, y in _parsed(lines, path, n_rows):
                n_rows += len(y)
                targets.append(y)
                yield X
    for X, y in _parsed(rest, path, n_rows) if rest.strip() else ():
        n_rows += len(y)
        targets.append(y)
        yield X
    if not n_rows:
        raise DataError(f"{path} must have rows; got none.")


def _parsed(lines: bytes, path, first_row) -> Iterator[tuple[SparseRows, Any]]:
    # It is imported by those who convert such files alone.
    from sklearn.datasets import load_svmlight_file

    try:
        X, y = load_svmlight_file(io.BytesIO(lines), zero_based=True)
    except (ValueError, TypeError, OverflowError) as error:
        raise FileFormatError(
            f"{path} must have lines of libsvm, label column:number ..., with increasing columns; got another line "
            f"after row {first_row} ({error}). Mend it there."
        ) from None
    if len(y):
        # All blocks have as many columns as can be written.
        yield SparseRows(X.data, X.indices, X.indptr, 2**31 - 1), _as_integers(y)


def _as_integers(y):
    return y.astype(np.int64) if (np.rint(y) == y).all() and (np.abs(y) < 2**53).all() else y
