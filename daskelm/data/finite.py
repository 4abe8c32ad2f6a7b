"""Checks of blocks of numbers: finite values, no missing labels, weights that can be summed; errors name the row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..exceptions import DataError
from ..sparse import SparseRows
from .frames import is_missing
from .source import Source, source_of

__all__ = ["LARGEST_WEIGHT", "check_finite", "check_weights", "first_bad"]

# The squares of targets below 1e100, times such weights, stay finite when they are summed over 10^10 rows.
LARGEST_WEIGHT = 1e50

# Numbers that are checked at once. Their mask is smaller than 128 KiB: Dask's workers return larger memory to the
# system as soon as it is freed, and touching new memory takes longer than the check.
_CHECKED_AT_ONCE = 2**16


def check_finite(
    block: np.ndarray,
    name: str,
    first_row: int = 0,
    source: Source | None = None,
    columns: Sequence | None = None,
    *,
    gaps: bool = False,
) -> None:
    """Refuse NaN, infinity and missing labels, naming the file and the first row, and the column where it has a name.

    `first_row` is the number of the first row of the block in `source`. With `gaps`, NaN is a gap that may be there.
    """
    if isinstance(block, SparseRows):
        _check_sparse(block, name, first_row, source, columns)
        return
    step = max(_CHECKED_AT_ONCE // max(block[:1].size, 1), 1)
    for start in range(0, len(block), step):
        present = _present(block[start : start + step])
        if present is None:
            return
        if gaps and not present.all():
            present |= np.isnan(block[start : start + step])
        if not present.all():
            _refuse_missing(block[start : start + step], present, name, first_row + start, source, columns)


def _check_sparse(block, name, first_row, source, columns):
    """The check of sparse rows, in which no number may be a gap."""
    for start in range(0, block.n_kept, _CHECKED_AT_ONCE):
        part = block.kept[0][start : start + _CHECKED_AT_ONCE]
        if not np.isfinite(part).all():
            row = int(block.row_numbers()[start + int(np.argmin(np.isfinite(part)))])
            dense = block[row : row + 1].toarray()
            where = block if source is None else source
            value, place = first_bad(~np.isfinite(dense), dense, first_row + row, where, columns)
            raise DataError(f"{name} must be finite; got {value} first in {place}. Fill or drop such rows.")


def _refuse_missing(block, present, name, first_row, source, columns):
    value, place = first_bad(~present, block, first_row, source, columns)
    rule = "be finite" if block.dtype.kind in "fc" else "not be missing"
    remedy = "Fill or drop such rows"
    if name == "X" and value == "NaN":
        remedy += ", or give missing='indicator', which takes gaps as the mean, and marks them"
    raise DataError(f"{name} must {rule}; got {value} first in {place}. {remedy}.")


def first_bad(
    bad: np.ndarray, block: np.ndarray, first_row: int, source: Source | None, columns: Sequence | None = None
) -> tuple[str, str]:
    """The first value of a block that is marked as bad, and its place, as error messages show them."""
    bad = bad.reshape(len(block), -1)
    row = int(np.argmax(bad.any(axis=1)))
    column = int(np.argmax(bad[row]))
    value = str(block.reshape(len(block), -1)[row, column]).replace("nan", "NaN") or "an empty text"
    opened = source_of(block if source is None else source)
    place, columns = opened.place(first_row + row), columns if opened.names is None else opened.names
    if block.ndim > 1:
        place += f", column {column}" + (f" ({columns[column]!r})" if columns is not None else "")
    return value, place


def _present(block):
    """Mask (of the block's shape) of values that are finite and not missing; None for types that have no others."""
    kind = block.dtype.kind
    if kind in "fc":
        return np.isfinite(block)
    if kind in "mM":
        return ~np.isnat(block)
    if kind == "U":
        return block != ""
    return ~np.frompyfunc(_is_missing_label, 1, 1)(block).astype(bool) if kind == "O" else None


def _is_missing_label(value):
    return is_missing(value) or (isinstance(value, str) and not value)


def check_weights(weights: np.ndarray, first_row: int = 0) -> None:
    """Refuse row weights (rows,) that are negative or not finite, naming the first row."""
    check_finite(weights, "sample_weight", first_row)
    if (weights < 0).any():
        row = first_row + int(np.argmax(weights < 0))
        raise DataError(
            f"sample_weight must not be negative; got {weights.min():g}, the first in row {row}. Rows are taken away "
            "again with NormalEquations: a - b."
        )
    if ((weights > LARGEST_WEIGHT) | ((weights < 1 / LARGEST_WEIGHT) & (weights > 0))).any():
        raise DataError(
            f"sample_weight must be 0, or between {1 / LARGEST_WEIGHT:g} and {LARGEST_WEIGHT:g}, since products with "
            f"squares are summed; got {weights[weights > 0].min():g} to {weights.max():g} in the rows from {first_row} "
            "on. Divide the weights by their mean."
        )
