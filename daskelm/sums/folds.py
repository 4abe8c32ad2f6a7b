"""Folds inside sums: added and subtracted one by one, held out one after the other, and stacked for files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import combinations
from operator import add
from typing import Any

import numpy as np

from ..ridge.penalty import HeldOut
from .content import LEAST_DISTINCT, MOST_HASHES, smallest
from .ledger import Ledger

__all__ = [
    "ALL_AT_ONCE",
    "added",
    "content_of_both",
    "held_out",
    "is_enough",
    "less",
    "n_distinct",
    "sets_of_folds",
    "stacked",
    "unstacked",
]

# Fields that each fold has of its own in a file; the others are those of the total.
_OWN = ("packed", "cross", "sum_H", "sum_T", "sum_TT", "reference_H", "reference_T", "n_samples", "sum_weights",
        "sum_counts", "n_counted", "least_T", "most_T")  # fmt: skip
# With fewer distinct rows per neuron, five folds held out one by one let too small a penalty pass now and then: of 576
# tables of 300 rows, 200 neurons were worse than linear ridge by 0.02 of R2 in 14, and in 2 with all combinations of
# folds. With 5 or more rows per neuron they were in none of 768, where the error is 1.04 times as large with all
# combinations. Folds of a third are large enough (500 neurons: in none of 384).
_FEW_ROWS, _FEW_FOLDS = 3, 3
# Numbers of neurons up to which the squares of all folds are kept in memory: 48 MB with three folds.
ALL_AT_ONCE = 1000
# After a subtraction, a weight below this fraction of the original is rounding.
_ZERO_WEIGHT = 1e-14


def content_of_both(a: Any, b: Any, sign: int) -> dict:
    """Range of the targets, hashes and folds of a sum (`sign` 1), by field name.

    A difference (-1) keeps the first two as they were, and has no folds yet.
    """
    if sign < 0:
        return {"folds": ()}
    folds: tuple = ()
    if a.folds and len(a.folds) == len(b.folds):
        folds = tuple(x + y for x, y in zip(a.folds, b.folds, strict=True))
    return {
        "least_T": np.minimum(a.least_T, b.least_T),
        "most_T": np.maximum(a.most_T, b.most_T),
        # The rows of sums without hashes are not known.
        "distinct": smallest(a.distinct, b.distinct) if len(a.distinct) and len(b.distinct) else a.distinct[:0],
        "folds": folds,
    }


def less(fold: Any, gone: Any) -> Any:
    """A fold without rows of it that are taken away."""
    left = fold.without(gone)
    if left.n_counted > 0 and left.sum_weights > _ZERO_WEIGHT * fold.sum_weights:
        return left
    nothing = fold.zero(fold.fingerprint, fold.n_neurons, fold.n_targets, fold.targets)
    return replace(nothing, target_dtype=fold.target_dtype, n_samples=left.n_samples)


class _MadeInTurn(Sequence):
    """Each of some folds held out, made anew whenever it is asked for: few squares of a large layer are in memory."""

    def __init__(self, plain: Any, parts: list, centred: bool):
        self.plain, self.parts, self.centred = plain, parts, centred

    def __getitem__(self, i):
        others = self.plain.without(self.parts[i]).moments(centred=self.centred)
        return HeldOut(others, self.parts[i].moments(centred=self.centred))

    def __iter__(self):
        # The iterator of `Sequence` keeps one fold in memory while the next is made.
        return map(self.__getitem__, range(len(self.parts)))

    def __len__(self):
        return len(self.parts)


def sets_of_folds(sums: Any, parts: Sequence) -> list[tuple[int, ...]]:
    """The sets of parts that are held out, by their numbers: each one, and all sets where rows per neuron are few."""
    few = len(parts) > _FEW_FOLDS and n_distinct(sums) < _FEW_ROWS * sums.n_neurons
    sizes = range(1, len(parts) if few else 2)
    return [chosen for n_out in sizes for chosen in combinations(range(len(parts)), n_out)]


def held_out(sums: Any, *, centred: bool = True) -> Sequence[HeldOut]:
    """Sums over the rows of each fold and over all other rows, for folds that hold rows; `centred` as of `moments`.

    Where the rows are few for the neurons, two folds and more are held out, too, in all combinations.
    """
    plain = replace(sums, folds=())
    parts = [fold for fold in sums.folds if fold.n_counted > 0]
    if sums.n_neurons > ALL_AT_ONCE:
        return _MadeInTurn(plain, parts, centred)
    numbers, sets = range(len(parts)), sets_of_folds(sums, parts)
    moments: dict = {}
    for chosen in sets:
        if chosen not in moments:
            some, others = added(parts, chosen), tuple(i for i in numbers if i not in chosen)
            # The other rows of two folds are those of three others, which are held out as well.
            moments[chosen] = some.moments(centred=centred)
            moments[others] = plain.without(some).moments(centred=centred)
    return [
        HeldOut(moments[tuple(i for i in numbers if i not in chosen)], moments[chosen], len(chosen)) for chosen in sets
    ]


def added(parts: Sequence, chosen: Sequence[int]) -> Any:
    """The sum of the parts with these numbers."""
    return reduce(add, [parts[i] for i in chosen])


def is_enough(sums: Any) -> bool:
    """Whether folds can rank penalties: not if a table has a few combinations of categories."""
    return n_distinct(sums) >= LEAST_DISTINCT


def n_distinct(sums: Any) -> float:
    """Number of distinct rows of X: exact below 512, an estimate beyond, and the number of rows without folds.

    Bar-Yossef, Jayram, Kumar, Sivakumar, Trevisan (2002).
    """
    if not len(sums.distinct):
        return float(sums.n_counted)
    if len(sums.distinct) < MOST_HASHES:
        return float(len(sums.distinct))
    return (MOST_HASHES - 1) / (float(sums.distinct[-1]) / 2.0**64)


def stacked(folds: Sequence) -> dict[str, np.ndarray]:
    """The folds as arrays with one more axis, for a file; nothing without folds."""
    return {f"folds_{name}": np.stack([getattr(fold, name) for fold in folds]) for name in _OWN if folds}


def unstacked(total: Any, state: Mapping) -> Any:
    """The total with the folds that `stacked` has put into a state."""
    arrays = {name: state[f"folds_{name}"] for name in _OWN if f"folds_{name}" in state}
    if not arrays:
        return total
    shared = replace(total, ledger=Ledger(), largest=total.largest[:0], distinct=total.distinct[:0])
    columns = zip(*arrays.values(), strict=True)
    folds = (dict(zip(arrays, map(_plain, values), strict=True)) for values in columns)
    return replace(total, folds=tuple(replace(shared, **fold) for fold in folds))


def _plain(value):
    """A number of an array as a number of Python, an array as it is."""
    return value.item() if np.ndim(value) == 0 else np.ascontiguousarray(value)
