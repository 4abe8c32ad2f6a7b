"""Gram tasks: many row blocks in turn into one HH in place, and the tree that adds their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import add

import dask
import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from .exceptions import DataError
from .hdf5 import Hdf5Rows, check_visible
from .inputs import Chunks, Source, as_dask, check_finite, check_lengths, ledger_of, n_columns
from .layer import Layer
from .memory import BASE_BYTES, Need, block_rows, check_memory, rows_per_task
from .normal_equations import Accumulator, NormalEquations
from .progress import RowProgress
from .tree import current_client, n_local_threads, tree_reduce

__all__ = ["accumulate", "gram"]

SPLIT_EVERY = 8
# Chunks of dask arrays that one task holds at once.
_CHUNK_BYTES = 128 * 2**20


def accumulate(layer: Layer, targets, X: Source, y: Source, weights: Source | None = None, *, verbose=0):
    """The sums of all rows, wherever Dask says; arrays in memory are worked on here.

    Parameters
    ----------
    layer : Layer
        The hidden layer.
    targets : RegressionTargets, ClassTargets or IndicatorTargets
        Turns y into columns of T.
    X : source of shape (n_samples, n_features)
        Inputs.
    y : source of shape (n_samples,) or (n_samples, n_outputs)
        Targets or labels.
    weights : source of shape (n_samples,), optional
        Row weights.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    NormalEquations
    """
    n_samples = check_lengths(X=X, y=y, sample_weight=weights)
    sources = [s for s in (X, y, weights) if s is not None]
    progress = RowProgress(n_samples, verbose)
    if all(isinstance(s, np.ndarray) for s in sources):
        bounds = _bounds(0, n_samples, block_rows(layer.n_neurons, layer.n_features))
        arrays = [None if s is None else Chunks([s]) for s in (X, y, weights)]
        sums = gram(layer, targets, *arrays, bounds, on_block=progress.advance)
        return _finished(sums, layer, None)
    client = current_client()
    files = [s for s in sources if isinstance(s, Hdf5Rows)]
    check_visible(files, client)
    if isinstance(X, Hdf5Rows) and all(isinstance(s, Hdf5Rows | np.ndarray) for s in sources):
        tasks, dependencies, chunk_bytes = _range_tasks(layer, targets, X, y, weights, n_samples, client), [], 0
    else:
        tasks, dependencies, chunk_bytes = _chunk_tasks(layer, targets, X, y, weights)
    _check_memory(layer, targets, chunk_bytes, len(tasks), client)
    token = tokenize(layer.fingerprint, targets, *sources)
    layer_key = f"layer-{token}"
    graph = {(f"gram-{token}", i): (task[0], layer_key, *task[1:]) for i, (_, task) in enumerate(tasks)}
    sizes = {(f"gram-{token}", i): rows for i, (rows, _) in enumerate(tasks)}
    graph[layer_key] = (_same, layer)
    whole = HighLevelGraph.from_collections(f"gram-{token}", graph, dependencies=dependencies)
    sums = tree_reduce(whole, sizes, merge, split_every=SPLIT_EVERY, done=progress.advance)
    return _finished(sums, layer, ledger_of(X, [(0, n_samples)]))


def merge(sums: Sequence[NormalEquations]) -> NormalEquations:
    """Sum of several sums."""
    return reduce(add, sums)


def _same(value):
    return value


def _finished(sums, layer, ledger):
    if not np.isfinite(sums.sum_H).all() or not np.isfinite(sums.packed).all():
        bad = layer.feature_names_out[int(np.argmin(np.isfinite(sums.sum_H)))]
        raise DataError(
            f"neurons: the hidden layer gives NaN or infinity for finite inputs (first in neuron {bad!r}). Use "
            "standardize=True, smaller weights, or a ufunc that is defined for all numbers."
        )
    return replace(sums, ledger=ledger)


def gram(layer: Layer, targets, X, y, weights, bounds, *, first_row=0, names=(None, None, None), on_block=None):
    """Sums of the row blocks [start, stop) in `bounds`; X, y and weights are read by row numbers, block by block.

    A pure function of its arguments: it may be run again, anywhere, any number of times.
    """
    sums = Accumulator(layer.fingerprint, layer.unbounded, targets.n_targets)
    for start, stop in bounds:
        block, labels = X.read(start, stop), y.read(start, stop)
        check_finite(block, "X", first_row + start, names[0])
        check_finite(labels, "y", first_row + start, names[1])
        w = targets.class_weights(labels)
        if weights is not None:
            given = weights.read(start, stop).reshape(-1).astype(np.float64)
            check_finite(given, "sample_weight", first_row + start, names[2])
            if (given < 0).any():
                row = first_row + start + int(np.argmax(given < 0))
                raise DataError(f"sample_weight must not be negative; got {given.min():g} first in row {row}.")
            w = given if w is None else w * given
        H = layer(block)
        sums.add(H.astype(np.float64, copy=False), targets.encode(labels), w)
        if on_block is not None:
            on_block(stop - start)
    return sums.result(targets.dtype, None)


def gram_of_rows(layer, targets, X, y, weights, bounds, first_row):
    """Gram task on rows of files, read block by block; arrays beside them hold just the task's rows."""
    sources = [s if isinstance(s, Hdf5Rows) else None for s in (X, y, weights)]
    readers = [Chunks([s]) if isinstance(s, np.ndarray) else s for s in (X, y, weights)]
    return gram(layer, targets, *readers, bounds, names=[s and _Shifted(s) for s in sources]) if bounds else None


def gram_of_chunks(layer, targets, X, y, weights, first_row):
    """Gram task on consecutive chunks of dask arrays, in blocks whatever the chunks."""
    X, y = Chunks(X), Chunks(y)
    bounds = _bounds(0, int(X.edges[-1]), block_rows(layer.n_neurons, layer.n_features))
    return gram(layer, targets, X, y, weights and Chunks(weights), bounds, first_row=first_row)


def _bounds(start, stop, step):
    return [(a, min(a + step, stop)) for a in range(start, stop, step)]


def _range_tasks(layer, targets, X, y, weights, n_samples, client):
    """(rows, task) for X in files: each task has whole blocks, and reads them itself."""
    n_threads = sum(client.nthreads().values()) if client is not None else n_local_threads()
    size = rows_per_task(n_samples, layer.n_neurons, layer.n_features, n_threads)
    tasks, blocks = [], []
    bounds = X.block_bounds(block_rows(layer.n_neurons, layer.n_features))
    for i, (start, stop) in enumerate(bounds):
        blocks.append((start, stop))
        if stop - blocks[0][0] >= size or i + 1 == len(bounds):
            first, last = blocks[0][0], stop
            parts = [None if s is None else _cut(s, first, last) for s in (X, y, weights)]
            local = [(a - first, b - first) for a, b in blocks]
            tasks.append((last - first, (gram_of_rows, targets, *parts, local, first)))
            blocks = []
    return tasks


def _cut(source, start, stop):
    return source.rows(slice(start, stop)) if isinstance(source, Hdf5Rows) else source[start:stop]


def _chunk_tasks(layer, targets, X, y, weights):
    """(rows, task) for dask arrays: as many whole chunks per task as fit, X, y and weights aligned by rows."""
    X = as_dask(X)
    y = as_dask(y, X.chunks[0])
    arrays = [X, y] if weights is None else [X, y, as_dask(weights, X.chunks[0])]
    # Fuses what made each chunk into one task, and drops what is not needed.
    arrays = list(dask.optimize(*arrays))
    row_bytes = X.dtype.itemsize * n_columns(X) + 8 * (n_columns(y) + 1)
    tasks, chunks, first, rows, largest = [], [], 0, 0, 0
    for i, n_rows in enumerate(X.chunks[0]):
        chunks.append(i)
        rows += n_rows
        last = i + 1 == len(X.chunks[0])
        if last or (rows + X.chunks[0][i + 1]) * row_bytes > _CHUNK_BYTES or len(chunks) >= 1024:
            keys = [[(a.name, j) + (0,) * (a.ndim - 1) for j in chunks] for a in arrays]
            tasks.append((rows, (gram_of_chunks, targets, *keys, *([None] if weights is None else []), first)))
            largest, first, chunks, rows = max(largest, rows * row_bytes), first + rows, [], 0
    return tasks, arrays, largest


def _check_memory(layer, targets, chunk_bytes, n_tasks, client):
    def need(n_threads):
        at_once = min(n_threads, n_tasks)
        return Need(
            layer.n_neurons,
            layer.n_features,
            targets.n_targets,
            block_rows(layer.n_neurons, layer.n_features),
            at_once,
            min(SPLIT_EVERY + at_once, n_tasks),
            chunk_bytes,
            layer.dtype == np.float32,
        )

    if client is None:
        from distributed.system import MEMORY_LIMIT

        check_memory(need(n_local_threads()), MEMORY_LIMIT + BASE_BYTES, "This process")
        return
    for address, worker in client.scheduler_info(n_workers=-1)["workers"].items():
        check_memory(need(worker["nthreads"]), worker.get("memory_limit") or 0, f"Worker {address}")
