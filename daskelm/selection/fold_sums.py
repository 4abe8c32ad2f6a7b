"""One pass that makes the sums of each fold: `FoldSums`, whose training parts are all rows without a fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import add

import numpy as np

from ..data.inputs import check_lengths
from ..data.source import Source
from ..data.targets import Targets
from ..exceptions import InsufficientMemoryError
from ..layer.layer import Layer
from ..passes.accumulate import Pass, add_block, check_sums, run_pass
from ..passes.accumulator import Accumulator
from ..passes.memory import Need, block_rows, check_memory
from ..sums.ledger import Ledger
from ..sums.normal_equations import NormalEquations
from ..sums.provenance import Provenance, Table, provenance_of
from ..sums.row_notes import Notes
from .folds import Folds

__all__ = ["FoldNeed", "FoldSums", "accumulate_folds"]

# A product of fewer rows than these is slower per row.
_LEAST_ROWS = 512


@dataclass(frozen=True, eq=False)
class FoldSums:
    """The sums of parts of the rows, by the number of the part; a value that is added part by part.

    Which rows they hold is known of all together, `ledger`, and not of the parts.
    """

    parts: Mapping[int, NormalEquations]
    ledger: Ledger

    def __add__(self, other: FoldSums) -> FoldSums:
        parts = dict(self.parts)
        for part, sums in other.parts.items():
            parts[part] = parts[part] + sums if part in parts else sums
        return FoldSums(parts, self.ledger | other.ledger)

    @cached_property
    def all(self) -> NormalEquations:
        """The sums of all rows, without the ledger: what a part is taken from."""
        return reduce(add, [self.parts[part] for part in sorted(self.parts)])

    @property
    def total(self) -> NormalEquations:
        """The sums of all rows."""
        return replace(self.all, ledger=self.ledger)


def accumulate_folds(
    layer: Layer,
    targets: Targets,
    X: Source,
    y: Source,
    weights: Source | None,
    folds: Folds,
    *,
    verbose: int | bool = 0,
) -> FoldSums:
    """The sums of each fold, by one pass wherever Dask says.

    Where the folds are long runs of rows, tasks end where a fold does and hold one sum; where they are scattered, a
    task holds a sum per fold.

    Parameters
    ----------
    layer, targets, X, y, weights, verbose
        As for `accumulate`.
    folds : Folds
        Test part of each row of X.

    Returns
    -------
    FoldSums

    Raises
    ------
    InsufficientMemoryError
        The sums of so many folds do not fit; the message says how many would.
    """
    n_samples = check_lengths(X=X, y=y, sample_weight=weights)
    provenance = provenance_of(Table(X, y, weights, targets))
    in_runs = folds.in_long_runs(4 * layer.n_neurons)
    ranges = [(a, b) for a, b, _ in folds.runs()] if in_runs else [(0, n_samples)]
    work = _FoldPass(folds, in_runs)
    found = run_pass(work, layer, targets, X, y, weights, provenance.origins, ranges, verbose)
    parts = {part: check_sums(sums, layer, Provenance()) for part, sums in found.parts.items()}
    return FoldSums(parts, provenance.describe(found.ledger))


class _FoldPass(Pass):
    def __init__(self, folds, in_runs):
        self.folds, self.in_runs, self.n_parts = folds, in_runs, folds.n_parts

    def __getstate__(self):
        # Each task gets the folds of its own rows through `part`.
        return {"folds": None, "in_runs": self.in_runs, "n_parts": self.n_parts}

    def part(self, start, stop):
        return start, self.folds.between(start, stop)

    def begin(self, layer, targets, origins, part):
        start, parts = part
        return _Collector(layer, targets, origins, start, parts, self.n_parts)

    def check_memory(self, need, available, where):
        check_memory(need, available, where)
        mine = FoldNeed(need, self.n_parts, self.in_runs).total
        if available and mine > available:
            fits = max(n for n in range(1, self.n_parts) if FoldNeed(need, n, self.in_runs).total <= available)
            raise InsufficientMemoryError(
                f"{where} needs about {mine / 2**30:.2f} GiB for {need.n_neurons} neurons, {self.n_parts} folds and "
                f"{need.n_tasks} gram task(s) at once, and has {available / 2**30:.2f} GiB. Use "
                + (f"at most {fits} folds, " if fits > 1 else "")
                + "cv=None (generalised cross-validation), folds of consecutive rows (KFold without shuffle), fewer "
                "neurons, or workers with more memory."
            )


@dataclass(frozen=True)
class FoldNeed:
    """Projected bytes of one process: the `need` of plain gram tasks with sums of `n_parts` parts."""

    need: Need
    n_parts: int
    in_runs: bool

    @property
    def total(self) -> int:
        """All of it."""
        need, more = self.need, max(self.n_parts - 1, 0)
        if self.in_runs:
            # Two values that are merged may hold all parts, and so may the value that they become.
            return need.total + 3 * more * need.partial
        one_sum = replace(need, block=0, input_bytes=0).per_task
        width = one_sum // (8 * need.n_neurons)
        rooms = max(self.n_parts * _step(need.n_neurons, need.n_features, self.n_parts) - need.block, 0) * 8 * width
        return need.total + more * (need.n_tasks * one_sum + need.waiting * need.partial) + need.n_tasks * rooms


def _step(n_neurons, n_features, n_parts):
    """Rows of one part that are added at once, so that what the parts keep for them is about one block."""
    block = block_rows(n_neurons, n_features)
    return max(block // n_parts, min(block, _LEAST_ROWS))


class _Collector:
    """Adds rows to the sums of their part; which rows there were is noted once for all parts."""

    def __init__(self, layer, targets, origins, start, parts, n_parts):
        self.layer, self.targets, self.notes = layer, targets, Notes(origins)
        self.start, self.parts, self.sums = start, parts, {}
        self.step = _step(layer.n_neurons, layer.n_features, n_parts)

    def add(self, first_row, X, y, weights):
        self.notes.add(first_row, X, self.targets.content(y), weights)
        if isinstance(self.parts, int):
            add_block(self._of(self.parts), self.layer, self.targets, X, y, weights)
            return
        first = first_row - self.start
        parts = self.parts[first : first + len(X)]
        for part in np.unique(parts).tolist():
            of_part = np.flatnonzero(parts == part)
            for i in range(0, len(of_part), self.step):
                rows = of_part[i : i + self.step]
                given = None if weights is None else weights[rows]
                add_block(self._of(part), self.layer, self.targets, X[rows], y[rows], given)

    def _of(self, part):
        if part not in self.sums:
            layer, targets = self.layer, self.targets
            self.sums[part] = Accumulator(
                layer.fingerprint, layer.n_neurons, targets.n_targets, targets.meaning, layer.gram_dtype
            )
        return self.sums[part]

    def result(self):
        parts = {}
        # One after the other, so that no more than one sum is held twice.
        for part in sorted(self.sums):
            parts[part] = self.sums.pop(part).result(self.targets.dtype, Ledger())
        return FoldSums(parts, self.notes.ledger(self.layer.n_features))
