"""One pass in segments that makes a learning curve on the way, and may end early: scattered blocks, sums in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np

from ..cluster.client import current_client, n_local_threads, runs_here
from ..cluster.segmented_tree import reduce_segments, reduce_segments_here
from ..data.from_hdf5 import check_visible
from ..data.inputs import Source, check_lengths, in_memory, n_columns
from ..data.row_chunks import aligned, chunk_keys, one_graph
from ..data.targets import Targets
from ..hdf5.rows import Hdf5Rows
from ..layer.layer import Layer
from ..progress import RowProgress
from ..ridge.solve import check_alpha
from ..sums.normal_equations import NormalEquations
from ..sums.provenance import Provenance, Table, provenance_of
from .accumulate import Pass, check_sums, merge
from .learning_curve import CurveMaker, EarlyStop, LearningCurvePoint, Step
from .memory import Need, block_rows, check_memory, rows_per_task, split_every
from .plan import check_need, chunk_groups, held_bytes, read_by_tasks, task_graph
from .scattered import BlockTask, cut_blocks, origins_of, run_block_task, run_on_chunks
from .segments import curve_fractions, segments_of, unit_rows

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
    layer: Layer,
    targets: Targets,
    X: Source,
    y: Source,
    weights: Source | None = None,
    *,
    alpha: float | str,
    fit_intercept: bool,
    callbacks: Sequence[Callable[[LearningCurvePoint], object]] = (),
    tol: float | None = None,
    verbose: int | bool = 0,
) -> tuple[NormalEquations, LearningCurve]:
    """The sums of rows, as `accumulate` makes them, with a learning curve; of part of the rows, if that is enough.

    What it gives depends on the rows, the chunks of a dask array or the file, and these parameters: not on workers,
    threads and what was done first.

    Parameters
    ----------
    layer, targets, X, y, weights
        As for `accumulate`.
    alpha, fit_intercept
        As for `solve`: of the model of each point.
    callbacks : sequence of callables
        Each is given every point, in this thread; if one returns True, the pass ends.
    tol : float, optional
        The pass ends when twice the rows gain less than this in R2 (`EarlyStop`).
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    sums : NormalEquations
        Of all rows, or of whole segments: those that the last point was trained on and that it was tested on.
    curve : LearningCurve
    """
    n_samples = check_lengths(X=X, y=y, sample_weight=weights)
    check_alpha(alpha)
    provenance = Provenance()
    if isinstance(X, Hdf5Rows):
        provenance = provenance_of(Table(X, y, weights, targets))
    maker = CurveMaker(alpha, fit_intercept, partial(check_sums, layer=layer, provenance=Provenance()))
    watch = _Watch(RowProgress(n_samples, verbose), callbacks, EarlyStop(tol))
    fractions = curve_fractions(n_samples, layer.n_neurons, gcv=isinstance(alpha, str))
    _Work(layer, targets, X, y, weights, provenance, fractions).run(maker, watch)
    return check_sums(watch.sums, layer, provenance), watch.curve()


class _Watch:
    """Sees each step in the thread of the caller: tells callbacks, shows progress, says when to stop."""

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
        # Each is told of each point, whatever the others say.
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
    """Gram tasks of segments: the sum of each waits to be looked at, and in this process points are made meanwhile."""

    def __init__(self, n_segments: int, here: bool):
        self.n_segments, self.here = n_segments, here

    def check_memory(self, need, available, where):
        plain = {item.name: getattr(need, item.name) for item in fields(need)}
        check_memory(_CurveNeed(**plain, n_segments=self.n_segments, here=self.here), available, where)


@dataclass(frozen=True)
class _CurveNeed(Need):
    n_segments: int = 0
    here: bool = False

    @property
    def total(self) -> int:
        point = 8 * _MATRICES_OF_A_POINT * self.n_neurons**2
        return super().total + self.n_segments * self.partial + self.here * point


@dataclass(frozen=True, eq=False)
class _Work:
    """Rows of X, y and weights, to be summed in segments that end at these parts of them."""

    layer: Layer
    targets: Targets
    X: Source
    y: Source
    weights: Source | None
    provenance: Provenance
    fractions: np.ndarray

    def run(self, maker: CurveMaker, watch: _Watch) -> None:
        layer, in_process = self.layer, isinstance(self.X, np.ndarray)
        client = None if in_process else current_client()
        work = _CurvePass(len(self.fractions), client is None)
        given = [source for source in (self.X, self.y, self.weights) if isinstance(source, Hdf5Rows)]
        done = watch.progress.advance
        by_tasks = read_by_tasks(self.X, self.y, self.weights)
        # Files beside an array in memory are read here.
        check_visible([] if in_process else given, client)
        segments, chunks, input_bytes = self.block_tasks(client) if by_tasks else self.chunk_tasks()
        n_tasks = sum(map(len, segments))
        check_need(work, layer, self.targets, input_bytes, n_tasks, client, in_process)
        if by_tasks and client is None and runs_here(in_process):
            here = [[(n, partial(task, layer)) for n, (_, task) in segment] for segment in segments]
            reduce_segments_here(here, merge, maker, watch, in_process=in_process, done=done)
            return
        graph, leaves = task_graph([call for segment in segments for call in segment], chunks, layer, work)
        items = iter(leaves.items())
        reduce_segments(
            graph,
            [dict(next(items) for _ in segment) for segment in segments],
            merge,
            maker,
            watch,
            client=client,
            shared_bytes=layer.nbytes,
            split_every=split_every(layer.n_neurons),
            done=done,
            started=watch.progress.started,
        )

    def in_segments(self, bounds: Sequence[tuple[int, int]]) -> list[np.ndarray]:
        """Numbers of the units of each segment."""
        sizes = np.array([stop - start for start, stop in bounds])
        # The same rows are the same sample, whatever the neurons are.
        return segments_of(sizes, self.fractions, seed=int(sizes.sum()))

    def block_tasks(self, client) -> tuple[list[list], Mapping, int]:
        """(rows, call) of each segment, for X in files or in memory; no graph of chunks; bytes held of files."""
        X: Any = self.X
        n_samples = X.shape[0]
        L, d = self.layer.n_neurons, self.layer.n_features
        in_process = isinstance(X, np.ndarray)
        n_threads = sum(client.nthreads().values()) if client is not None else n_local_threads(in_process)
        y: Any = self.y
        weights: Any = self.weights
        if in_process:
            y, weights = in_memory(y=y, sample_weight=weights)
        # Whatever the threads are, blocks are the same.
        longest = rows_per_task(n_samples, L, d, 1)
        rows = unit_rows(n_samples, self.fractions, longest)
        if isinstance(X, Hdf5Rows):
            bounds = X.block_bounds(rows)
        else:
            bounds = [(start, min(start + rows, n_samples)) for start in range(0, n_samples, rows)]
        most, step = rows_per_task(n_samples, L, d, n_threads), block_rows(L, d)

        def task(mine):
            origins = origins_of(self.provenance.origins, mine)
            of_weights = None if weights is None else cut_blocks(weights, mine)
            return BlockTask(self.targets, cut_blocks(X, mine), cut_blocks(y, mine), of_weights, mine, step, origins)

        segments = []
        for numbers in self.in_segments(bounds):
            groups = _groups([bounds[i] for i in numbers.tolist()], most)
            segments.append([(n, (run_block_task, task(mine))) for n, mine in groups])
        return segments, {}, held_bytes(X, y, weights)

    def chunk_tasks(self) -> tuple[list[list], Mapping, int]:
        """(rows, call) of each segment, for dask arrays, of which whole chunks are the blocks; the graph of these."""
        arrays = aligned(X=self.X, y=self.y, sample_weight=self.weights)
        X, graph = arrays[0], one_graph(arrays)
        row_bytes = X.dtype.itemsize * n_columns(X) + 8 * (n_columns(self.y) + 1)
        edges = np.cumsum([0, *X.chunks[0]]).tolist()
        chunks = [i for i, size in enumerate(X.chunks[0]) if size]
        bounds = [(edges[i], edges[i + 1]) for i in chunks]
        segments, largest = [], 0
        for numbers in self.in_segments(bounds):
            segment = []
            for group in chunk_groups([bounds[i][1] - bounds[i][0] for i in numbers], row_bytes):
                mine = [bounds[numbers[k]] for k in group]
                keys: list = [chunk_keys(array, [chunks[numbers[k]] for k in group]) for array in arrays]
                keys += [None] * (3 - len(keys))
                n_rows = sum(b - a for a, b in mine)
                largest = max(largest, n_rows * row_bytes)
                origins = origins_of(self.provenance.origins, mine)
                segment.append((n_rows, (run_on_chunks, self.targets, *keys, mine, origins)))
            segments.append(segment)
        return segments, graph, largest


def _groups(units, most):
    """(rows, blocks) of each task: units in turn, as many as make `most` rows; adjacent ones are one block."""
    groups: list[list[tuple[int, int]]] = []
    n_rows = most
    for start, stop in units:
        if n_rows and n_rows + stop - start > most:
            groups.append([])
            n_rows = 0
        blocks = groups[-1]
        if blocks and blocks[-1][1] == start:
            blocks[-1] = (blocks[-1][0], stop)
        else:
            blocks.append((start, stop))
        n_rows += stop - start
    return [(sum(b - a for a, b in blocks), blocks) for blocks in groups]
