"""Sets of row numbers as ranges, and the cells and pieces of a table whose digests are summed."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..hdf5.layout import union

__all__ = [
    "PIECES",
    "Ranges",
    "add_digests",
    "cell_of",
    "cells_between",
    "cells_of",
    "common_rows",
    "digest_of_piece",
    "digests_with",
    "joined_pieces",
    "lanes_of",
    "merge_ranges",
    "piece_of",
    "pieces_between",
    "rows_within",
    "split_pieces",
    "subtract_digests",
    "without_rows",
]

Ranges = tuple[tuple[int, int], ...]

# Pieces per cell, or as many as it has rows. The 32-bit digests of the pieces are stored in one integer, 64 bits apart,
# so that one addition adds all of them; a mask removes the carries.
PIECES = 8
_LANE = 64
_PIECE_MASK = 2**32 - 1
_MASK = sum(_PIECE_MASK << _LANE * lane for lane in range(PIECES))
_OVER = sum(2**32 << _LANE * lane for lane in range(PIECES))


def cell_of(row: int, cell_rows: int) -> tuple[int, int]:
    """The cell [start, stop) of a row: 0, 1, 2 to 3, 4 to 7, and so on to `cell_rows`, and multiples of that beyond.

    Cells do not depend on the length of the table, and at least half of its first n rows are in whole cells.
    """
    if row >= cell_rows:
        return row // cell_rows * cell_rows, (row // cell_rows + 1) * cell_rows
    low = 1 << (row.bit_length() - 1) if row else 0
    return low, max(2 * low, 1)


def cells_of(rows: np.ndarray, cell_rows: int) -> np.ndarray:
    """First rows (rows,) of the cells of many rows."""
    # The exponent is exactly the number of bits, since the mantissa holds all relevant ones.
    first = np.left_shift(1, np.maximum(np.frexp(rows)[1] - 1, 0), dtype=np.int64) * (rows > 0)
    return np.where(rows >= cell_rows, rows // cell_rows * cell_rows, first)


def lanes_of(rows: np.ndarray, cells: np.ndarray, cell_rows: int) -> np.ndarray:
    """Number (rows,) of each row's piece within its cell, which begins at `cells` (rows,)."""
    sizes = np.where(cells >= cell_rows, cell_rows, np.maximum(cells, 1))
    return (rows - cells) // np.maximum(sizes // PIECES, 1)


def cells_between(start: int, stop: int, cell_rows: int) -> Iterator[tuple[int, int, int]]:
    """(start of the cell, first row, last row + 1) of all cells with rows in [start, stop)."""
    while start < stop:
        low, high = cell_of(start, cell_rows)
        yield low, start, min(stop, high)
        start = high


def piece_of(row: int, cell_rows: int) -> tuple[int, int, int, int]:
    """(start of the cell, number of the piece in it, start, stop) of the piece that contains a row."""
    low, high = cell_of(row, cell_rows)
    size = max((high - low) // PIECES, 1)
    lane = (row - low) // size
    return low, lane, low + lane * size, low + (lane + 1) * size


def pieces_between(start: int, stop: int, cell_rows: int) -> Iterator[tuple[int, int, int, int]]:
    """(start of the cell, number of the piece, first row, last row + 1) of all pieces with rows in [start, stop)."""
    while start < stop:
        cell, lane, _, high = piece_of(start, cell_rows)
        yield cell, lane, start, min(stop, high)
        start = high


def add_digests(a: int, b: int) -> int:
    """Digests of the pieces of a cell, for the union of two sets of rows."""
    return (a + b) & _MASK


def subtract_digests(a: int, b: int) -> int:
    """Digests of the pieces of a cell, for the difference of two sets of rows."""
    return (a + _OVER - b) & _MASK


def digest_of_piece(digests: int, lane: int) -> int:
    """Digest of one piece, from those of its cell."""
    return (digests >> _LANE * lane) & _PIECE_MASK


def digests_with(lane: int, digest: int) -> int:
    """Digests of the pieces of a cell with rows in one piece only; keeps the lower 32 bits of `digest`."""
    return (digest & _PIECE_MASK) << _LANE * lane


def split_pieces(digests: Sequence[int]) -> np.ndarray:
    """Digests of single pieces (cells, PIECES), uint32, from those of many cells."""
    data = b"".join(value.to_bytes(PIECES * _LANE // 8, "little") for value in digests)
    return np.frombuffer(data, "<u8").reshape(-1, PIECES).astype(np.uint32)


def joined_pieces(pieces: np.ndarray) -> Iterator[int]:
    """Digests of many cells from those of their pieces (cells, PIECES); the inverse of `split_pieces`."""
    data, size = np.ascontiguousarray(pieces, "<u8").tobytes(), PIECES * _LANE // 8
    return (int.from_bytes(data[start : start + size], "little") for start in range(0, len(data), size))


def merge_ranges(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sorted, disjoint ranges that do not touch, with the same rows."""
    return tuple(union(ranges))


def common_rows(a: Ranges, b: Ranges) -> Ranges:
    """Rows in both of two sorted sets of ranges."""
    out, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        low, high = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if low < high:
            out.append((low, high))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return tuple(out)


def rows_within(ranges: Ranges, low: int, high: int) -> Ranges:
    """Rows of a sorted set of ranges in [low, high)."""
    # Bisection, since scattered rows have many ranges, and many pieces are looked up.
    first = max(bisect_left(ranges, (low,)) - 1, 0)
    return common_rows(ranges[first : bisect_left(ranges, (high,))], ((low, high),))


def without_rows(ranges: Ranges, gone: Ranges) -> Ranges:
    """Rows of the first sorted set of ranges that are not in the second."""
    out, j = [], 0
    for start, stop in ranges:
        while j < len(gone) and gone[j][1] <= start:
            j += 1
        k = j
        while k < len(gone) and gone[k][0] < stop:
            out.append((start, gone[k][0]))
            start = max(start, gone[k][1])
            k += 1
        out.append((start, stop))
    return merge_ranges(out)
