"""One pass over the rows: it is cut into tasks, which run wherever Dask says, and a reduction adds up their sums."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce
from operator import add, attrgetter
from typing import Any
from uuid import uuid4

import numpy as np
from dask.highlevelgraph import HighLevelGraph

from ..cluster.client import current_client, n_local_threads, n_threads_of, runs_here
from ..cluster.futures import Value
from ..cluster.local import reduce_here
from ..cluster.merge_tree import reduce_graph
from ..cluster.receiver import Receiver
from ..data.from_hdf5 import check_visible
from ..data.inputs import check_lengths
from ..data.row_chunks import aligned, chunk_keys, one_graph
from ..data.source import Source, files_of, in_memory, n_columns, source_of
from ..data.targets import Targets
from ..exceptions import DataError
from ..hdf5.file_rows import some
from ..layer.layer import Layer
from ..progress import RowProgress
from ..sums.content import n_folds as n_folds_of
from ..sums.fold_sums import FoldSums
from ..sums.normal_equations import NormalEquations
from ..sums.provenance import Origin, Provenance, Table, provenance_of
from ..sums.row_cells import merge_ranges
from .memory import block_rows, check_memory, held_bytes, rows_per_task, split_every
from .tasks import Chunk, FileRuns, GramTask, Job, Pass, Runs, n_rows_of, run_on_chunks, run_task

__all__ = ["accumulate", "check_sums", "origins_of", "run_in_segments", "run_pass"]

# Smaller sums of squares lose digits, and those below 1e-308 all of them.
_LEAST_SQUARES = 1e-290


def accumulate(
    layer: Layer,
    targets: Targets,
    X: Source,
    y: Source,
    weights: Source | None = None,
    n_folds: int = 1,
    *,
    provenance: Provenance | None = None,
    ranges: Runs | None = None,
    verbose: int | bool = 0,
) -> NormalEquations:
    """The sums of rows, wherever Dask says; arrays in memory are worked on here.

    Parameters
    ----------
    layer : Layer
        The hidden layer.
    targets : Targets
        Turns y into columns of T.
    X : source of shape (n_samples, n_features)
        Inputs.
    y : source of shape (n_samples,) or (n_samples, n_outputs)
        Targets or labels.
    weights : source of shape (n_samples,), optional
        Row weights.
    n_folds : int, default=1
        Folds that the rows are divided into, by their content; 1 for sums without folds.
    provenance : Provenance, optional
        Where the rows of X in files come from, if that is known already.
    ranges : sequence of (start, stop), optional
        Which rows of X; all if not given.
    verbose : int, default=0
        Whether to show progress.
    """
    ranges = [(0, check_lengths(X=X, y=y, sample_weight=weights))] if ranges is None else ranges
    if provenance is None:
        has_rows = any(a < b for a, b in ranges)
        provenance = provenance_of(Table(X, y, weights, targets)) if has_rows else Provenance()
    sums = run_pass(Pass(n_folds), Job(layer, targets, X, y, weights), provenance.origins, ranges, verbose)
    if sums is None:
        nothing = NormalEquations.zero(layer.fingerprint, layer.n_neurons, targets.n_targets, targets.meaning)
        nothing = replace(nothing, target_dtype=targets.dtype)
        return replace(nothing, folds=(nothing,) * n_folds if n_folds > 1 else ())
    return check_sums(sums, layer, provenance)


def run_pass(work: Pass, job: Job, origins: Sequence[Origin], ranges: Runs, verbose: int | bool = 0) -> Any:
    """The result of a pass of one segment over the rows of X in `ranges`, in tasks that do not cross them.

    It is None if there are no rows. `origins` say where rows of X come from; the other parameters are those of
    `accumulate`.
    """
    ranges = [(a, b) for a, b in ranges if a < b]
    if not ranges:
        sizes = job.layer.n_neurons, source_of(job.X).row_width, job.targets.n_targets, 1
        check_memory(work, sizes, 0, None)
        return None
    progress = RowProgress(n_rows_of(ranges), verbose, work.name)
    found: list = []
    run_in_segments(work, job, origins, ranges, progress, found.append)
    return found[0]


def run_in_segments(
    work: Pass,
    job: Job,
    origins: Sequence[Origin],
    ranges: Runs,
    progress: RowProgress,
    deliver: Callable[[Any], Any],
    *,
    prepare: Callable[[Any], Any] | None = None,
    should_flush: Callable[[], bool] | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> None:
    """Run a pass over rows, and deliver the result of each of its segments, in order.

    Parameters
    ----------
    work : Pass
        Cuts the rows into segments and these into tasks, and has the collector of a task's rows.
    job : Job
        Layer, targets and rows.
    origins : sequence of Origin
        Where rows of X come from.
    ranges : sequence of (start, stop)
        Which rows of X, none empty; no task crosses the end of one.
    progress : RowProgress
        Counts the rows.
    deliver, prepare, should_flush, interrupted
        As for `Receiver`.
    """
    layer, targets, inputs = job.layer, job.targets, [job.X, job.y, job.weights]
    in_process = source_of(job.X).in_process
    client = None if in_process else current_client()
    if in_process:
        inputs[1:] = in_memory(y=job.y, sample_weight=job.weights)
    check_visible(files_of(*inputs), client, ranges)
    # Tasks read their rows themselves, by row numbers, but are given the chunks of dask arrays.
    by_tasks = in_process or all(source_of(data).random_access for data in inputs if data is not None)
    if by_tasks:
        segments = _row_tasks(work, layer, targets, inputs, origins, ranges, client)
        chunks, input_bytes = {}, held_bytes(*inputs)
    else:
        segments, chunks, input_bytes = _chunk_calls(work, layer, targets, inputs, origins, ranges)
    n_tasks = sum(map(len, segments))
    sizes = layer.n_neurons, source_of(job.X).row_width, targets.n_targets, n_tasks
    work = check_memory(work, sizes, input_bytes, client, in_process, layer.held_bytes)
    on_leaf_done, more = progress.advance, {}
    if in_process and n_tasks == 1:
        # The one task is in this thread, and can report each block.
        on_leaf_done, more = (lambda n_rows: None), {"on_block": progress.advance}
    receiver = Receiver(deliver, prepare=prepare, on_leaf_done=on_leaf_done, should_flush=should_flush)
    receiver.interrupted = interrupted
    if by_tasks and client is None and runs_here(in_process):
        calls = [[(n, partial(task, layer, work, **more)) for n, (_, task) in segment] for segment in segments]
        reduce_here(calls, _merge, receiver, in_process=in_process)
        return
    graph, leaves = _task_graph([call for segment in segments for call in segment], chunks, layer, work)
    items = iter(leaves.items())
    reduce_graph(
        graph,
        [dict(next(items) for _ in segment) for segment in segments],
        _merge,
        receiver,
        client=client,
        shared_bytes=layer.nbytes + work.nbytes,
        split_every=split_every(layer.n_neurons),
        on_submitted=progress.started,
        reads=partial(_files_read, [call for segment in segments for _, call in segment]),
    )


def _files_read(calls, key) -> str | None:
    """The files that the task with a key reads, in words; None for a task that reads none."""
    if not isinstance(key, tuple) or not isinstance(key[-1], int) or key[-1] >= len(calls):
        return None
    task = calls[key[-1]][-1]
    inputs = (task.X, task.y, task.weights) if isinstance(task, GramTask) else ()
    names = [part.path for one in inputs if isinstance(one, FileRuns) for part, _, _ in one.files.ranges()]
    return some(dict.fromkeys(names)) if names else None


def _row_tasks(work, layer, targets, inputs, origins, ranges, client):
    """(rows, call) of each segment, for X in files or in memory: each task reads its rows itself."""
    X, L, d = inputs[0], layer.n_neurons, source_of(inputs[0]).row_width
    n_threads = n_threads_of(client) if client is not None else n_local_threads(source_of(X).in_process)
    step, most = block_rows(L, d), rows_per_task(n_rows_of(ranges), L, d, n_threads)

    def call(runs):
        task = GramTask.of_rows(targets, inputs, runs, step, origins_of(origins, runs), work.part(runs))
        return n_rows_of(runs), (run_task, task)

    return [list(map(call, segment)) for segment in work.cut_rows(X, ranges, step, most)]


def _chunk_calls(work, layer, targets, inputs, origins, ranges):
    """(rows, call) of each segment, for dask arrays; the graph of their chunks; most bytes that a call is given.

    A task takes whole chunks, as many as fit, of X, y and weights aligned by rows.
    """
    X, y, weights = inputs
    wholes = aligned(X=X, y=y, sample_weight=weights)
    parts = [wholes] if ranges == [(0, X.shape[0])] else [[array[a:b] for array in wholes] for a, b in ranges]
    graph = one_graph([array for arrays in parts for array in arrays])
    width = source_of(X).row_width
    row_bytes = X.dtype.itemsize * width + 8 * (n_columns(y) + 1)
    step = block_rows(layer.n_neurons, width)

    def call(chunks):
        runs = list(merge_ranges((chunk.start, chunk.stop) for chunk in chunks))
        columns = zip(*(chunk.keys for chunk in chunks), strict=True)
        keys = [None if of_input[0] is None else list(of_input) for of_input in columns]
        rest = runs, step, origins_of(origins, runs), work.part(runs)
        return n_rows_of(runs), (run_on_chunks, targets, *keys, *rest)

    chunks = [_chunks_of(first, arrays) for (first, _), arrays in zip(ranges, parts, strict=True)]
    segments = [list(map(call, segment)) for segment in work.cut_chunks(chunks, row_bytes)]
    return segments, graph, max(n_rows for segment in segments for n_rows, _ in segment) * row_bytes


def _chunks_of(first, arrays):
    """The chunks that hold rows; they begin with row `first` of the whole input."""
    sizes = arrays[0].chunks[0]
    keys: list = [chunk_keys(array, range(len(sizes))) for array in arrays]
    keys += [[None] * len(sizes)] * (3 - len(keys))
    edges = (first + np.cumsum([0, *sizes])).tolist()
    return [Chunk(edges[i], edges[i + 1], of_chunk) for i, of_chunk in enumerate(zip(*keys, strict=True)) if sizes[i]]


def _task_graph(calls: Sequence[tuple[int, tuple]], chunks: Mapping, layer, work) -> tuple[HighLevelGraph, dict]:
    """Tasks of the (rows, call), and their keys in order with the rows; layer and pass travel once per worker.

    A call is a function, which is given layer and pass, and its other arguments; `chunks` is a graph that holds the
    keys among these.
    """
    # The names are of this run alone: a failed task of an earlier try must not answer for this one.
    run = uuid4().hex
    name, layer_key, inputs = f"{work.name}-{run}", f"layer-{run}", f"chunks-{run}"
    graph: dict = {layer_key: (Value((layer, work)),)}
    graph |= {(name, i): (function, layer_key, *rest) for i, (_, (function, *rest)) in enumerate(calls)}
    leaves = {(name, i): n_rows for i, (n_rows, _) in enumerate(calls)}
    return HighLevelGraph({inputs: chunks, name: graph}, {inputs: set(), name: {inputs}}), leaves


def origins_of(origins: Sequence[Origin], runs: Runs) -> tuple[Origin, ...]:
    """Those of the sorted origins, of all rows, that hold some of these runs."""
    start, stop = attrgetter("start"), attrgetter("stop")
    ranges = ((bisect_right(origins, a, key=stop), bisect_left(origins, b, key=start)) for a, b in runs)
    return tuple(origins[i] for i in sorted({i for first, last in ranges for i in range(first, last)}))


def _merge(values: Sequence) -> Any:
    return reduce(add, values)


def check_sums(sums: NormalEquations | FoldSums, layer: Layer, provenance: Provenance) -> NormalEquations:
    """The sums, which must be finite and resolved, with what the sources of their rows are found by."""
    if isinstance(sums, FoldSums):
        sums = sums.with_folds(n_folds_of(layer.n_neurons))
    if not np.isfinite(sums.sum_H).all() or not np.isfinite(sums.packed).all():
        bad = layer.feature_names_out[int(np.argmin(np.isfinite(sums.sum_H)))]
        raise DataError(
            f"neurons: the hidden layer gives NaN or infinity for finite inputs (first in neuron {bad!r}). Use "
            "standardize=True, smaller weights, or a ufunc that is defined for all numbers."
        )
    largest = np.abs(sums.cross).max(axis=0, initial=0)
    # A target that is constant leaves rounding; the squares of one that varies must not vanish.
    varies = largest > sums.sum_weights * np.maximum(1e-13 * np.abs(sums.reference_T), 1e-320)
    vanished = varies & (sums.sum_TT < _LEAST_SQUARES)
    if vanished.any():
        column = int(np.argmax(vanished))
        raise DataError(
            f"y must vary by more than about 1e-140, or not at all, since squares are summed; got a sum of squares of "
            f"{sums.sum_TT[column]:g} in column {column}. Divide y by a number near its scale, and multiply "
            "predictions by it; if there are weights, divide them by their mean."
        )
    return replace(sums, ledger=provenance.describe(sums.ledger))
