"""A pass in segments of scattered rows, which makes a learning curve on the way and may end early."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..data.inputs import check_lengths
from ..data.source import source_of
from ..progress import RowProgress
from ..ridge.solve import check_alpha
from ..sums.normal_equations import NormalEquations
from ..sums.provenance import Provenance, Table, provenance_of
from ..sums.row_cells import merge_ranges
from .accumulate import check_sums, run_in_segments
from .learning_curve import CurveMaker, EarlyStop, LearningCurvePoint, Step
from .memory import rows_per_task
from .segments import curve_fractions, segments_of, unit_rows
from .tasks import Job, Pass, chunk_groups, grouped

__all__ = ["LearningCurve", "accumulate_with_curve"]

# Matrices of L x L numbers that a point takes while it is made: sums of two segments, HH, and its eigenvectors.
_MATRICES_OF_A_POINT = 6


@dataclass(frozen=True)
class LearningCurve:
    """The points of a pass in order, as three lists, and whether it ended before all rows were counted."""

    n_samples: list[int]
    score: list[float]
    alpha: list[float]
    stopped_early: bool


def accumulate_with_curve(
    job: Job,
    *,
    alpha: float | str,
    fit_intercept: bool,
    per_target: bool = False,
    callbacks: Sequence[Callable[[LearningCurvePoint], object]] = (),
    tol: float | None = None,
    verbose: int | bool = 0,
) -> tuple[NormalEquations, LearningCurve]:
    """The sums of rows, as `accumulate` makes them, with a learning curve; of part of the rows, if that is enough.

    The result depends on the rows, the chunks of a dask array or the file, and these parameters, but not on workers,
    threads and the order in which tasks end.

    Parameters
    ----------
    job : Job
        Layer, targets and rows.
    alpha, fit_intercept, per_target
        As for `solve`, for the model of each point.
    callbacks : sequence of callables
        Each is called with every point, in this thread; if one returns True, the pass ends.
    tol : float, optional
        The pass ends when twice the rows gain less than this in R2 (`EarlyStop`).
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    sums : NormalEquations
        Sums of all rows, or of whole segments: those that the last point was trained on, and the one that it was
        tested on.
    curve : LearningCurve
    """
    layer, targets, X, y, weights, _ = job
    n_samples = check_lengths(X=X, y=y, sample_weight=weights)
    check_alpha(alpha)
    provenance = Provenance()
    if (files := source_of(X).files) is not None:
        provenance = provenance_of(Table(files, y, weights, targets))
    maker = CurveMaker(alpha, fit_intercept, per_target, partial(check_sums, layer=layer, provenance=Provenance()))
    watch = _Watch(RowProgress(n_samples, verbose), callbacks, EarlyStop(tol))
    L, d = layer.n_neurons, source_of(X).row_width
    fractions = curve_fractions(n_samples, L, gcv=isinstance(alpha, str))
    unit = unit_rows(n_samples, fractions, rows_per_task(n_samples, L, d, 1))
    here = source_of(X).client() is None
    run_in_segments(
        _CurvePass(fractions, unit, here, job.n_folds),
        job,
        provenance.origins,
        [(0, n_samples)],
        watch.progress,
        watch,
        prepare=maker,
    )
    return check_sums(watch.sums, layer, provenance), watch.curve()


class _Watch:
    """Receives each step in the caller's thread: calls the callbacks, shows progress, and decides when to stop."""

    def __init__(self, progress: RowProgress, callbacks, stop: EarlyStop):
        self.progress, self.callbacks, self.stop = progress, callbacks, stop
        self.points: list[LearningCurvePoint] = []
        self.sums: NormalEquations

    def __call__(self, step: Step) -> bool:
        self.sums = step.total
        if step.score is None:
            return False
        progress = self.progress
        left = progress.seconds_left()
        point = LearningCurvePoint(step.n_samples, progress.total or 0, step.score, step.alpha, left)
        self.points.append(point)
        progress.note = f"R2 {point.score:.4f}"
        enough = self.stop(step)
        # Call all callbacks, even when one has already asked to stop.
        answers = [callback(point) for callback in self.callbacks]
        enough = enough or any(isinstance(answer, bool | np.bool_) and answer for answer in answers)
        if enough and self.sums.n_samples < point.n_samples_total:
            progress.stop(self.sums.n_samples)
        return enough

    def curve(self) -> LearningCurve:
        points = self.points
        return LearningCurve(
            [point.n_samples for point in points],
            [point.score for point in points],
            [point.alpha for point in points],
            self.sums.n_samples < (self.progress.total or 0),
        )


class _CurvePass(Pass):
    """Gram tasks in segments that end at `fractions` of the rows; points are made meanwhile, in this process if `here`.

    Segments consist of units of `unit` rows, or of chunks, and are the same for any number of threads.
    """

    def __init__(self, fractions: np.ndarray, unit: int, here: bool, n_folds: int):
        super().__init__(n_folds)
        self.fractions, self.unit, self.here = fractions, unit, here

    def needs(self, sizes):
        """Memory of plain gram tasks, of sums of segments that wait for their point, and of a point made here."""
        plain = sizes.need_of(self.n_folds)
        # A point by folds takes two squares of each fold, and a factor.
        matrices = _MATRICES_OF_A_POINT if self.n_folds == 1 else 2 * self.n_folds + _MATRICES_OF_A_POINT
        sums = self.n_folds + (self.n_folds > 1)
        point = 8 * matrices * sizes.n_neurons**2
        more = {"segments": len(self.fractions) * sums * sizes.partial, "point": self.here * point}
        return [replace(plain, parts={**plain.parts, **more})]

    def cut_rows(self, X, ranges, step, most):
        """Runs of rows of each task of each segment."""
        units = source_of(X).block_bounds(self.unit)
        segments = self._in_segments(units)
        # Adjacent units are one run.
        return [[list(merge_ranges(group)) for group in grouped(segment, most)] for segment in segments]

    def cut_chunks(self, chunks, row_bytes):
        """Chunks of each task of each segment."""
        [of_all] = chunks
        return [chunk_groups(segment, row_bytes) for segment in self._in_segments(of_all)]

    def _in_segments(self, units):
        """The units, which begin with their bounds, of each segment."""
        sizes = np.array([unit[1] - unit[0] for unit in units])
        # The seed depends on the rows alone, so that layers of other neurons get the same sample.
        segments = segments_of(sizes, self.fractions, seed=int(sizes.sum()))
        return [[units[i] for i in numbers.tolist()] for numbers in segments]
