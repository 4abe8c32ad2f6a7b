"""The state of sums as files have it, read with all that it says checked before sums are made of it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from ..hdf5.sealed import content_of, read_sealed
from ..hdf5.values import array_of, check, dtype_of_numbers, list_of, number_of, text_of, whole_of
from .content import MOST_HASHES
from .row_cells import PIECES

__all__ = ["check_state", "read_state"]

# Most folds that sums have: sets of folds are held out in all combinations.
_MOST_FOLDS = 8
# Cells of a table are gone through one by one. A table whose cells are not known has at most so many.
_MOST_CELLS = 2**22
_LEDGER = ("ledger_ranges", "ledger_anchors", "ledger_pieces", "ledger_cells", "ledger_digests")
# Arrays by name, each with its shape, of the letters L and c, and of rows of a triangle.
_SHAPES = {
    "packed": ("packed",),
    "cross": ("L", "c"),
    "sum_H": ("L",),
    "sum_T": ("c",),
    "sum_TT": ("c",),
    "reference_H": ("L",),
    "reference_T": ("c",),
    "least_T": ("c",),
    "most_T": ("c",),
}
_NUMBERS = ("n_samples", "n_counted", "sum_weights", "sum_counts")
_NAMES = frozenset((*_SHAPES, *(f"folds_{name}" for name in (*_SHAPES, *_NUMBERS)), "largest", "distinct", *_LEDGER))


def read_state(path) -> dict:
    """The checked state in a sums file, with its "generation"."""
    state = read_sealed(path, "sums", lambda plain: _NAMES)
    with content_of(path):
        check_state(state)
    return state


def check_state(state: Mapping) -> None:
    """Refuse a state that is not one of `NormalEquations.state`.

    Raises
    ------
    FileFormatError
        Names the value, and the rule that it breaks.
    """
    L, c = (array_of(state.get(name), name, (None,)).size for name in ("sum_H", "sum_T"))
    check(L and c, "sums must have neurons and targets")
    _check_arrays(state, "", {"L": L, "c": c, "packed": L * (L + 1) // 2})
    n = whole_of(state.get("n_samples"), "n_samples")
    whole_of(state.get("n_counted", 0), "n_counted", most=n)
    number_of(state.get("sum_weights"), "sum_weights")
    number_of(state.get("sum_counts"), "sum_counts", least=-np.finfo(np.float64).max)
    for name in ("fingerprint", "targets"):
        text_of(state.get(name), name)
    dtype_of_numbers(state.get("target_dtype"), "target_dtype")
    text_of(state.get("precision", "float64"), "precision", ("float64", "float32"))
    distinct = array_of(state.get("distinct", np.zeros(0, np.uint64)), "distinct", (None,), "u")
    check(len(distinct) <= MOST_HASHES and (distinct[1:] > distinct[:-1]).all(), "distinct must be few ordered hashes")
    largest = array_of(state.get("largest", np.zeros(0)), "largest", (None,), least=0)
    check(distinct.dtype == np.uint64 and largest.dtype == np.float64, "distinct and largest must have their own types")
    check(len(largest) in (0, L + c + 2), f"largest must have {L + c + 2} numbers, or none")
    _check_folds(state, L, c)
    check(_check_ledger(state) == n, "the ledger must have as many rows as n_samples")


def _check_arrays(state, before, lengths, n_folds=()):
    for name, shape in _SHAPES.items():
        extremes = name in ("least_T", "most_T")
        if extremes and before + name not in state:
            # Files that were written before sums had these have none.
            continue
        sizes = tuple(lengths[one] for one in shape)
        found = array_of(state.get(before + name), before + name, (*n_folds, *sizes), finite=not extremes)
        check(found.dtype == np.float64, f"{before + name} must be float64")


def _check_folds(state, L, c):
    if not any(name.startswith("folds_") for name in state):
        return
    n_folds = len(array_of(state.get("folds_n_samples"), "folds_n_samples", (None,), "iu", least=0))
    check(1 <= n_folds <= _MOST_FOLDS, f"sums must have at most {_MOST_FOLDS} folds")
    lengths = {"L": L, "c": c, "packed": L * (L + 1) // 2}
    _check_arrays(state, "folds_", lengths, (n_folds,))
    for name in ("n_counted", "sum_weights", "sum_counts"):
        kinds, least = ("iu", 0) if name == "n_counted" else ("f", None if name == "sum_counts" else 0)
        array_of(state.get(f"folds_{name}"), f"folds_{name}", (n_folds,), kinds, least=least)
    check((state["folds_n_counted"] <= state["folds_n_samples"]).all(), "folds cannot count more rows than they have")


def _check_ledger(state) -> int:
    """Number of rows in the ledger of a state, whose tables and arrays are checked."""
    plain = state.get("ledger")
    check(type(plain) is dict, "ledger must be a list of tables")
    names = list_of(plain.get("names"), "names of tables", str)
    n = len(names)
    check(all(a < b for a, b in itertools.pairwise(names)), "names of tables must be different, and in order")
    widths = list_of(plain.get("n_columns"), "numbers of columns", int, n)
    check(not widths or 0 <= min(widths) <= max(widths) < 2**62, "numbers of columns must not be negative")
    sizes = list_of(plain.get("cell_rows"), "sizes of cells", int, n)
    check(all(0 < size < 2**62 and size & (size - 1) == 0 for size in sizes), "sizes of cells must be powers of two")
    # Files that were written before targets had names have none.
    for what, places in (("paths", plain.get("paths")), ("targets", plain.get("targets", [[]] * n))):
        places = list_of(places, what, (list, tuple), n)
        check({type(one) for some in places for one in some} <= {str}, f"{what} must be texts")
    for name, width in zip(_LEDGER, (3, 3, 4, 2, None), strict=True):
        shape = (None, width) if width else (None, 2, PIECES)
        found = array_of(state.get(name), name, shape, "u")
        check(found.dtype == (np.uint64 if width else np.uint32), f"{name} must have its own type")
        if width:
            check((found[:, 0] < n).all() and (found[:, 1] < 2**62).all(), f"{name} must name tables and rows of them")
            check((found[1:, 0] >= found[:-1, 0]).all(), f"{name} must be in the order of the tables")
    check(len(state["ledger_cells"]) == len(state["ledger_digests"]), "each cell must have digests")
    _check_rows(state, np.array(sizes, np.uint64))
    rows = state["ledger_ranges"]
    return whole_of(plain.get("n_unknown"), "n_unknown") + sum((rows[:, 2] - rows[:, 1]).tolist())


def _check_rows(state, sizes: np.ndarray) -> None:
    """Refuse ranges of rows that are not in order, and cells that have no counted rows."""
    table, start, stop = state["ledger_ranges"].T
    check((start < stop).all() and (stop < 2**62).all(), "ranges of rows must not be empty")
    after = table[1:] > table[:-1]
    check((after | ((table[1:] == table[:-1]) & (start[1:] > stop[:-1]))).all(), "ranges of rows must be in order")
    check(len(np.unique(table)) == len(sizes), "each table must have rows")
    # Cells begin at powers of two, and beyond the size of a cell at its multiples: `row_cells.cell_of`.
    cell_table, cell = state["ledger_cells"].T
    size = sizes[cell_table]
    small = cell < size
    check(not np.where(small, cell & (cell - (cell > 0)), cell % size).any(), "cells must begin where cells do")
    if not ((cell_table[1:] > cell_table[:-1]) | (cell[1:] > cell[:-1])).all():
        order = np.lexsort((cell, cell_table))
        same = (np.diff(cell_table[order]) == 0) & (np.diff(cell[order]) == 0)
        check(not same.any(), "each cell must be there once")
    # The first range that ends behind the beginning of a cell must begin before its end.
    end = cell + np.where(small, np.maximum(cell, 1), size)
    first = _n_before(table, stop, cell_table, cell)
    found = np.minimum(first, len(table) - 1)
    has_rows = (first < len(table)) & (table[found] == cell_table) & (start[found] < end)
    check(has_rows.all(), "each cell must have counted rows")
    n_cells = np.bincount(table.astype(np.intp), (stop - start) / sizes[table], len(sizes))
    n_known = np.bincount(cell_table.astype(np.intp), minlength=len(sizes))
    check((n_cells <= np.maximum(_MOST_CELLS, 2 * n_known)).all(), "tables must not have more rows than cells")


def _n_before(table, stop, cell_table, cell) -> np.ndarray:
    """For each cell, the number of ranges before the first one of its table that ends behind its first row."""
    if len(table) and table[-1] == len(table) - 1:
        # Each table has one range.
        return cell_table.astype(np.intp) + (stop[cell_table] <= cell)
    is_cell = np.repeat([False, True], [len(table), len(cell)])
    order = np.lexsort((is_cell, np.concatenate([stop, cell]), np.concatenate([table, cell_table])))
    n_ranges = np.empty(len(order), np.intp)
    n_ranges[order] = np.cumsum(~is_cell[order])
    return n_ranges[len(table) :]
