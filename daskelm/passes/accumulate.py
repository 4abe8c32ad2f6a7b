"""One pass over the rows: tasks that take many blocks in turn, each into one HH in place, and the tree that adds up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial, reduce
from operator import add
from typing import Any, Protocol

import numpy as np

from ..cluster.client import current_client, n_local_threads, runs_here
from ..cluster.tree import reduce_here, tree_reduce
from ..data.from_hdf5 import check_visible
from ..data.inputs import Chunks, Source, check_finite, check_lengths, check_weights, in_memory, n_columns
from ..data.row_chunks import aligned, chunk_keys, one_graph
from ..data.targets import Targets
from ..exceptions import DataError
from ..hdf5.rows import Hdf5Rows
from ..layer.layer import Layer
from ..progress import RowProgress
from ..sums.normal_equations import NormalEquations
from ..sums.provenance import Origin, Provenance, Table, provenance_of
from ..sums.row_notes import Notes
from .accumulator import Accumulator
from .memory import Need, block_rows, check_memory, rows_per_task, split_every
from .plan import check_need, check_resolved, chunk_groups, held_bytes, read_by_tasks, task_graph

__all__ = ["Collector", "GramTask", "Pass", "accumulate", "add_block", "check_sums", "merge", "run_pass"]


class Collector(Protocol):
    """What a task adds its blocks to."""

    def add(self, first_row: int, X: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Take rows `first_row`, `first_row` + 1, ... of the whole input, checked: X, y as given, weights (rows,)."""

    def result(self) -> Any:
        """The value of all rows taken, which is added to that of others; the collector is used up."""


class Pass:
    """What is made of rows in one pass: one sum over all. Others derive from it; they travel once per worker.

    `name` is the first word of the names of the tasks; `nbytes` is what the pass itself holds, beside the layer.
    """

    name = "gram"
    nbytes = 0

    def part(self, start: int, stop: int) -> Any:
        """What only the task of the rows start to stop - 1 needs to know."""

    def begin(self, layer: Layer, targets: Targets, origins: Sequence[Origin], part: Any) -> Collector:
        """An empty collector for the rows of one task."""
        return _Gram(layer, targets, origins)

    def check_memory(self, need: Need, available: int, where: str) -> None:
        """Refuse what does not fit: `need` is that of plain gram tasks in one process."""
        check_memory(need, available, where)


class _Gram:
    def __init__(self, layer, targets, origins):
        self.layer, self.targets, self.notes = layer, targets, Notes(origins)
        self.sums = Accumulator(
            layer.fingerprint, layer.n_neurons, targets.n_targets, targets.meaning, layer.gram_dtype
        )

    def add(self, first_row, X, y, weights):
        self.notes.add(first_row, X, self.targets.content(y), weights)
        add_block(self.sums, self.layer, self.targets, X, y, weights)

    def result(self):
        return self.sums.result(self.targets.dtype, self.notes.ledger(self.layer.n_features))


def add_block(
    sums: Accumulator, layer: Layer, targets: Targets, X: np.ndarray, y: np.ndarray, weights: np.ndarray | None
) -> None:
    """Add rows to sums: X (rows, n_features), y as given, weights (rows,) of the rows without those of their class."""
    # Class weights say how much a row matters, not how many rows it stands for.
    counts = float(len(X)) if weights is None else float(weights.sum())
    sums.add_outputs(layer, X, targets.encode(y), targets.row_weights(y, weights), counts)


def accumulate(
    layer: Layer,
    targets: Targets,
    X: Source,
    y: Source,
    weights: Source | None = None,
    *,
    provenance: Provenance | None = None,
    ranges: Sequence[tuple[int, int]] | None = None,
    due: Callable[[], bool] = lambda: False,
    take: Callable[[NormalEquations], None] | None = None,
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
    provenance : Provenance, optional
        Where the rows of X in files come from, if that is known already.
    ranges : sequence of (start, stop), optional
        Which rows of X; all if not given.
    due : callable
        Asked now and then whether the sums so far should be handed to `take`.
    take : callable, optional
        Is given sums of some of the rows, which are not in the result then.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    NormalEquations
        Of all rows but those taken.
    """
    n_samples = check_lengths(X=X, y=y, sample_weight=weights)
    ranges = [(0, n_samples)] if ranges is None else ranges
    if provenance is None:
        provenance = Provenance()
        if isinstance(X, Hdf5Rows) and any(a < b for a, b in ranges):
            provenance = provenance_of(Table(X, y, weights, targets))

    def finished(sums):
        return _nothing(layer, targets) if sums is None else check_sums(sums, layer, provenance)

    hooks: dict = {} if take is None else {"due": due, "take": lambda part: take(finished(part))}
    return finished(run_pass(Pass(), layer, targets, X, y, weights, provenance.origins, ranges, verbose, **hooks))


def run_pass(
    work: Pass,
    layer: Layer,
    targets: Targets,
    X: Source,
    y: Source,
    weights: Source | None,
    origins: Sequence[Origin],
    ranges: Sequence[tuple[int, int]],
    verbose: int | bool = 0,
    **hooks,
) -> Any:
    """What a pass makes of the rows of X in `ranges`, in tasks that do not cross them; None of no rows.

    The other parameters are those of `accumulate`; `hooks` are `due` and `take` of `tree_reduce`.
    """
    ranges = [(a, b) for a, b in ranges if a < b]
    in_memory_X = isinstance(X, np.ndarray)
    client = None if in_memory_X else current_client()
    if not ranges:
        check_need(work, layer, targets, 0, 1, None)
        return None
    progress = RowProgress(sum(b - a for a, b in ranges), verbose, work.name)
    if in_memory_X:
        y, weights = in_memory(y=y, sample_weight=weights)
    given = [source for source in (X, y, weights) if source is not None]
    check_visible([source for source in given if isinstance(source, Hdf5Rows)], client, ranges)
    hooks["done"] = progress.advance
    tasks_hooks = hooks | {"started": progress.started}
    if read_by_tasks(X, y, weights):
        tasks = _range_tasks(work, layer, targets, X, y, weights, origins, ranges, client)
        check_need(work, layer, targets, held_bytes(X, y, weights), len(tasks), client, in_memory_X)
        if in_memory_X and len(tasks) == 1:
            return tasks[0][1](layer, progress.advance, work)
        if client is None and runs_here(in_memory_X):
            calls = [partial(task, layer, work=work) for _, task in tasks]
            return reduce_here(calls, [n for n, _ in tasks], merge, in_process=in_memory_X, **hooks)
        return _on_dask([(n, (_run, task)) for n, task in tasks], {}, layer, work, client, tasks_hooks)
    calls, chunks, chunk_bytes = _chunk_tasks(work, targets, X, y, weights, origins, ranges)
    check_need(work, layer, targets, chunk_bytes, len(calls), client)
    return _on_dask(calls, chunks, layer, work, client, tasks_hooks)


def _on_dask(calls, chunks, layer, work, client, hooks):
    """The sum of what the (rows, call) give, as tasks on Dask; `chunks` is the graph of what they are given."""
    graph, leaves = task_graph(calls, chunks, layer, work)
    return tree_reduce(
        graph,
        leaves,
        merge,
        client=client,
        shared_bytes=layer.nbytes + work.nbytes,
        split_every=split_every(layer.n_neurons),
        **hooks,
    )


def merge(sums: Sequence[NormalEquations]) -> NormalEquations:
    """Sum of several sums."""
    return reduce(add, sums)


def _nothing(layer, targets):
    sums = NormalEquations.zero(layer.fingerprint, layer.n_neurons, targets.n_targets, targets.meaning)
    return replace(sums, target_dtype=targets.dtype)


def check_sums(sums: NormalEquations, layer: Layer, provenance: Provenance) -> NormalEquations:
    """The sums, which must be finite, with what the sources of their rows are found by."""
    if not np.isfinite(sums.sum_H).all() or not np.isfinite(sums.packed).all():
        bad = layer.feature_names_out[int(np.argmin(np.isfinite(sums.sum_H)))]
        raise DataError(
            f"neurons: the hidden layer gives NaN or infinity for finite inputs (first in neuron {bad!r}). Use "
            "standardize=True, smaller weights, or a ufunc that is defined for all numbers."
        )
    check_resolved(sums)
    return replace(sums, ledger=provenance.describe(sums.ledger))


@dataclass(frozen=True, eq=False)
class GramTask:
    """Sums of X, y and weights, in blocks of about `step` rows; of files, just the description travels.

    Calling it is a pure function of its fields, the layer and the pass: it may run again, anywhere, any number of
    times. `first_row` is the number of the first row here in the whole input, for errors and for `origins`, which say
    where rows of the whole input come from. `part` is what the pass knows of these rows alone.
    """

    targets: Targets
    X: Source | Chunks
    y: Source | Chunks
    weights: Source | Chunks | None
    step: int
    first_row: int = 0
    origins: Sequence[Origin] = ()
    part: Any = None

    def __call__(
        self, layer: Layer, on_block: Callable[[int], None] = lambda n_rows: None, work: Pass | None = None
    ) -> Any:
        """The sums, or what another pass makes; `on_block` is called with the number of rows after each block."""
        collector = (work or Pass()).begin(layer, self.targets, self.origins, self.part)
        with ExitStack() as stack:
            X = self._reader(self.X, stack, reuse=True)
            y, weights = self._reader(self.y, stack), self._reader(self.weights, stack)
            for start, stop in self._bounds(X):
                block, labels = X.read(start, stop), y.read(start, stop)
                self._check(block, "X", start)
                self._check(labels, "y", start)
                given = None if weights is None else weights.read(start, stop).reshape(-1).astype(np.float64)
                if given is not None:
                    check_weights(given, self.first_row + start)
                self.targets.check(labels, given, *self._place("y", start))
                collector.add(self.first_row + start, block, labels, given)
                on_block(stop - start)
        return collector.result()

    def _bounds(self, X):
        if isinstance(self.X, Hdf5Rows):
            return self.X.block_bounds(self.step)
        n_rows = X.n_rows
        return [(start, min(start + self.step, n_rows)) for start in range(0, n_rows, self.step)]

    @staticmethod
    def _reader(source, stack, reuse=False):
        if isinstance(source, Hdf5Rows):
            return stack.enter_context(source.open(reuse=reuse))
        return Chunks([source]) if isinstance(source, np.ndarray) else source

    def _check(self, block, name, start):
        check_finite(block, name, *self._place(name, start))

    def _place(self, name, start):
        """What errors name a row by: its number, and the files that this is in; of other sources, that in the input."""
        source = getattr(self, name)
        return (start, source) if isinstance(source, Hdf5Rows) else (self.first_row + start, None)


def _run(shared, task):
    return task(shared.layer, work=shared.work)


def _run_on_chunks(shared, targets, X, y, weights, first_row, origins, part):
    """Gram task on consecutive chunks of dask arrays, in blocks whatever the chunks."""
    X, y, weights = Chunks(X), Chunks(y), Chunks(weights) if weights else None
    step = block_rows(shared.layer.n_neurons, shared.layer.n_features)
    return _run(shared, GramTask(targets, X, y, weights, step, first_row, origins, part))


def _range_tasks(work, layer, targets, X, y, weights, origins, ranges, client):
    """(rows, task) for X in files or in memory: each task has whole blocks, and reads them itself."""
    n_threads = sum(client.nthreads().values()) if client is not None else n_local_threads(isinstance(X, np.ndarray))
    n_rows = sum(b - a for a, b in ranges)
    size = rows_per_task(n_rows, layer.n_neurons, layer.n_features, n_threads)
    step = block_rows(layer.n_neurons, layer.n_features)
    tasks = []
    for begin, end in ranges:
        if isinstance(X, np.ndarray):
            whole = -(-size // step) * step
            runs = [(a, min(a + whole, end - begin)) for a in range(0, end - begin, whole)]
        else:
            runs = X.between(begin, end).runs_of_blocks(step, size)
        for a, b in runs:
            first, stop = begin + a, begin + b
            X_part, y_part = _cut(X, first, stop), _cut(y, first, stop)
            w_part = None if weights is None else _cut(weights, first, stop)
            mine, part = _cut_origins(origins, first, stop), work.part(first, stop)
            tasks.append((stop - first, GramTask(targets, X_part, y_part, w_part, step, first, mine, part)))
    return tasks


def _cut(source, start, stop):
    return source.between(start, stop) if isinstance(source, Hdf5Rows) else source[start:stop]


def _cut_origins(origins, start, stop):
    return tuple(origin.cut(start, stop) for origin in origins if origin.start < stop and start < origin.stop)


def _chunk_tasks(work, targets, X, y, weights, origins, ranges):
    """(rows, task) for dask arrays: as many whole chunks per task as fit, X, y and weights aligned by rows."""
    wholes = aligned(X=X, y=y, sample_weight=weights)
    whole_range = [(0, X.shape[0])]
    parts = [wholes] if ranges == whole_range else [[array[a:b] for array in wholes] for a, b in ranges]
    graph = one_graph([array for arrays in parts for array in arrays])
    row_bytes = X.dtype.itemsize * n_columns(X) + 8 * (n_columns(y) + 1)
    calls, largest = [], 0
    for (first, _), arrays in zip(ranges, parts, strict=True):
        sizes = arrays[0].chunks[0]
        for chunks in chunk_groups(sizes, row_bytes):
            n_rows = sum(sizes[i] for i in chunks)
            keys: list = [chunk_keys(array, chunks) for array in arrays]
            keys += [None] * (3 - len(keys))
            mine, rest = _cut_origins(origins, first, first + n_rows), work.part(first, first + n_rows)
            calls.append((n_rows, (_run_on_chunks, targets, *keys, first, mine, rest)))
            largest, first = max(largest, n_rows * row_bytes), first + n_rows
    return calls, graph, largest
