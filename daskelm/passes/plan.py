"""What every pass over the rows needs around its tasks: their graph, their chunks, the memory that they will take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import numpy as np
from dask.highlevelgraph import HighLevelGraph

from ..cluster.client import n_local_threads
from ..data.inputs import Source
from ..data.targets import Targets
from ..exceptions import DataError
from ..hdf5.rows import Hdf5Rows
from ..layer.layer import Layer
from ..sums.normal_equations import NormalEquations
from .memory import Need

__all__ = ["check_need", "check_resolved", "chunk_groups", "held_bytes", "read_by_tasks", "task_graph"]

# Chunks of dask arrays that one task holds at once.
_CHUNK_BYTES = 128 * 2**20
# Squares below lose digits, and those below 1e-308 all of them.
_LEAST_SQUARES = 1e-290


def read_by_tasks(X: Source, y: Source, weights: Source | None) -> bool:
    """Whether tasks read their rows themselves, by row numbers; of dask arrays they are given chunks."""
    given = [source for source in (X, y, weights) if source is not None]
    return isinstance(X, np.ndarray) or all(isinstance(source, Hdf5Rows | np.ndarray) for source in given)


def held_bytes(*sources: Source | None) -> int:
    """Most bytes that a task holds of files besides its blocks: unpacked chunks, and what was fetched from URLs."""
    files = [source for source in sources if isinstance(source, Hdf5Rows)]
    return sum(max((part.held_bytes for part in source.parts), default=0) for source in files)


def task_graph(calls: Sequence[tuple[int, tuple]], chunks: Mapping, layer: Layer, work) -> tuple[HighLevelGraph, dict]:
    """Tasks of the (rows, call), and their keys in order with the rows; layer and pass travel once per worker.

    A call is a function, which is given both, and its other arguments; `chunks` is a graph that holds the keys among
    these.
    """
    # Names of this run alone: a failed task of an earlier try must not answer for this one.
    run = uuid4().hex
    name, layer_key = f"{work.name}-{run}", f"layer-{run}"
    graph: dict = {layer_key: (_Shared(layer, work),)}
    leaves = {}
    for i, (n_rows, (function, *arguments)) in enumerate(calls):
        graph[name, i] = (function, layer_key, *arguments)
        leaves[name, i] = n_rows
    inputs = f"chunks-{run}"
    return HighLevelGraph({inputs: chunks, name: graph}, {inputs: set(), name: {inputs}}), leaves


@dataclass(frozen=True, eq=False)
class _Shared:
    """What all tasks need; a task that gives itself."""

    layer: Layer
    work: Any

    def __call__(self):
        return self


def chunk_groups(sizes: Sequence[int], row_bytes: int) -> list[list[int]]:
    """Numbers of chunks, of which these are the rows, in groups that one task holds at once."""
    groups: list[list[int]] = []
    n_rows = 0
    for i, size in enumerate(sizes):
        if not groups or (n_rows + size) * row_bytes > _CHUNK_BYTES or len(groups[-1]) >= 1024:
            groups.append([])
            n_rows = 0
        groups[-1].append(i)
        n_rows += size
    return groups


def check_need(
    work, layer: Layer, targets: Targets, input_bytes: int, n_tasks: int, client, in_process: bool = False
) -> None:
    """Refuse what does not fit into this process, or into some worker of a client; before the work starts.

    `input_bytes` are what a task holds of the input besides its blocks.
    """

    def need(n_threads):
        return Need.of_pass(
            layer.n_neurons, layer.n_features, targets.n_targets, n_tasks, n_threads, input_bytes=input_bytes
        )

    if client is None:
        from distributed.system import MEMORY_LIMIT

        work.check_memory(need(n_local_threads(in_process)), MEMORY_LIMIT, "This process")
        return
    for address, worker in client.scheduler_info(n_workers=-1)["workers"].items():
        work.check_memory(need(worker["nthreads"]), worker.get("memory_limit") or 0, f"Worker {address}")


def check_resolved(sums: NormalEquations) -> None:
    """Refuse targets that vary, but by so little that their squares vanish."""
    largest = np.abs(sums.cross).max(axis=0, initial=0)
    # Of a constant, rounding is left.
    varies = largest > sums.sum_weights * np.maximum(1e-13 * np.abs(sums.reference_T), 1e-320)
    vanished = varies & (sums.sum_TT < _LEAST_SQUARES)
    if vanished.any():
        column = int(np.argmax(vanished))
        raise DataError(
            f"y must vary by more than about 1e-140, or not at all, since squares are summed; got a sum of squares of "
            f"{sums.sum_TT[column]:g} in column {column}. Divide y by a number near its scale, and multiply "
            "predictions by it; if there are weights, divide them by their mean."
        )
