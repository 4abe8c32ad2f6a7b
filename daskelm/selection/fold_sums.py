"""One pass that makes the sums of each fold: `FoldSums`, whose training parts are all rows without a fold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..data.inputs import check_lengths
from ..passes.accumulate import check_sums, run_pass
from ..passes.accumulator import Accumulator
from ..passes.memory import Need, PassSizes, block_rows
from ..passes.tasks import Job, Pass
from ..sparse import row_width
from ..sums.fold_sums import FoldSums
from ..sums.ledger import Ledger
from ..sums.provenance import Provenance, Table, provenance_of
from ..sums.row_notes import RowLog
from .folds import Folds

__all__ = ["FoldSums", "PassOfFolds", "accumulate_folds", "fold_need"]

# A product of fewer rows than these is slower per row.
_LEAST_ROWS = 512


def accumulate_folds(job: Job, folds: Folds, *, verbose: int | bool = 0) -> FoldSums:
    """The sums of each fold, by one pass wherever Dask says.

    Where the folds are long runs of rows, tasks end where a fold does and hold one sum; where they are scattered, a
    task holds a sum per fold.

    Parameters
    ----------
    job : Job
        Layer, targets and rows.
    folds : Folds
        Test part of each row of X.
    verbose : int, default=0
        Whether to show progress.

    Raises
    ------
    InsufficientMemoryError
        The sums of so many folds do not fit; the message says how many would.
    """
    layer, targets, X, y, weights, _ = job
    n_samples = check_lengths(X=X, y=y, sample_weight=weights)
    provenance = provenance_of(Table(X, y, weights, targets))
    in_runs = folds.in_long_runs(4 * layer.n_neurons)
    ranges = [(a, b) for a, b, _ in folds.runs()] if in_runs else [(0, n_samples)]
    work = _FoldPass(folds, in_runs)
    found = run_pass(work, job, provenance.origins, ranges, verbose)
    parts = {part: check_sums(sums, layer, Provenance()) for part, sums in found.parts.items()}
    return FoldSums(parts, provenance.describe(found.ledger))


class PassOfFolds(Pass):
    """A pass whose tasks need the test part of each of their rows."""

    folds: Folds

    def __getstate__(self):
        # Each task gets the folds of its own rows through `part`.
        return self.__dict__ | {"folds": None}

    def part(self, runs):
        """The test part of the rows, or of each of them."""
        [(start, stop)] = runs
        return self.folds.between(start, stop)


class _FoldPass(PassOfFolds):
    def __init__(self, folds, in_runs):
        self.folds, self.in_runs, self.n_parts = folds, in_runs, folds.n_parts

    def begin(self, layer, targets, origins, part):
        return _Collector(layer, targets, origins, part, self.n_parts)

    def needs(self, sizes):
        return [*super().needs(sizes), fold_need(sizes, self.n_parts, self.in_runs)]


def fold_need(sizes: PassSizes, n_parts: int, in_runs: bool) -> Need:
    """Projected memory of one process: that of plain gram tasks, with sums of `n_parts` parts."""
    more = max(n_parts - 1, 0)
    if in_runs:
        # Two values that are merged may hold all parts, and so may the value that they become.
        parts = {"folds": 3 * more * sizes.partial}
    else:
        one_sum = replace(sizes, block=0, input_bytes=0).per_task
        width = one_sum // (8 * sizes.n_neurons)
        rooms = max(n_parts * _step(sizes.n_neurons, sizes.n_features, n_parts) - sizes.block, 0) * 8 * width
        parts = {
            "folds": more * (sizes.n_tasks * one_sum + sizes.waiting * sizes.partial),
            "blocks of folds": sizes.n_tasks * rooms,
        }

    def remedy(available):
        fits = max((n for n in range(1, n_parts) if fold_need(sizes, n, in_runs).total <= available), default=0)
        return (f"at most {fits} folds, " if fits > 1 else "") + (
            "cv='gcv' (generalised cross-validation), folds of consecutive rows (KFold without shuffle), fewer "
            "neurons, or workers with more memory."
        )

    work = f"for {sizes.n_neurons} neurons, {n_parts} folds and {sizes.n_tasks} gram task(s) at once"
    return Need(work, {**sizes.need.parts, **parts}, remedy)


def _step(n_neurons, n_features, n_parts):
    """Rows of one part that are added at once, so that what the parts keep for them is about one block."""
    block = block_rows(n_neurons, n_features)
    return max(block // n_parts, min(block, _LEAST_ROWS))


class _Collector:
    """Adds rows to the sums of their part; which rows there were is logged once for all parts."""

    def __init__(self, layer, targets, origins, parts, n_parts):
        self.layer, self.targets, self.log = layer, targets, RowLog(origins)
        self.parts, self.n_parts, self.n_added, self.sums = parts, n_parts, 0, {}

    def add(self, runs, X, y, weights):
        self.log.add(runs, X, self.targets.content(y), weights)
        if isinstance(self.parts, int):
            self._of(self.parts).add(X, y, weights)
            return
        parts = self.parts[self.n_added : self.n_added + len(X)]
        self.n_added += len(X)
        step = _step(self.layer.n_neurons, row_width(X), self.n_parts)
        for part in np.unique(parts).tolist():
            of_part = np.flatnonzero(parts == part)
            for i in range(0, len(of_part), step):
                rows = of_part[i : i + step]
                self._of(part).add(X[rows], y[rows], None if weights is None else weights[rows])

    def _of(self, part):
        if part not in self.sums:
            self.sums[part] = Accumulator(self.layer, self.targets)
        return self.sums[part]

    def result(self):
        parts = {}
        # One after the other, so that no more than one sum is held twice.
        for part in sorted(self.sums):
            parts[part] = self.sums.pop(part).result(Ledger())
        return FoldSums(parts, self.log.ledger(self.layer.n_features))
