"""What every pass needs around its tasks: their graph, groups of chunks, and the memory that they will take."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import uuid4

import numpy as np
from dask.highlevelgraph import HighLevelGraph

from ..cluster.client import this_process, workers_of
from ..cluster.gather import Value
from ..data.source import Source, files_of, source_of
from ..data.targets import Targets
from ..exceptions import DataError
from ..layer.layer import Layer
from ..sums.normal_equations import NormalEquations
from ..sums.provenance import Origin
from .memory import PassSizes

__all__ = [
    "Chunk",
    "Runs",
    "check_memory",
    "check_resolved",
    "chunk_groups",
    "held_bytes",
    "n_rows_of",
    "origins_of",
    "read_by_tasks",
    "task_graph",
]

# Sorted ranges [start, stop) of rows.
Runs = Sequence[tuple[int, int]]

# Chunks of dask arrays that one task holds at once.
_CHUNK_BYTES, _MOST_CHUNKS = 128 * 2**20, 1024
# Squares below lose digits, and those below 1e-308 all of them.
_LEAST_SQUARES = 1e-290


def read_by_tasks(X: Source, y: Source, weights: Source | None) -> bool:
    """Whether tasks read their rows themselves, by row numbers; of dask arrays they are given chunks."""
    given = [source_of(source) for source in (X, y, weights) if source is not None]
    return given[0].in_process or all(source.random_access for source in given)


def held_bytes(*sources: Source | None) -> int:
    """Most bytes that a task holds of files besides its blocks: unpacked chunks, and what was fetched from URLs."""
    return sum(max((part.held_bytes for part in files.parts), default=0) for files in files_of(*sources))


def task_graph(calls: Sequence[tuple[int, tuple]], chunks: Mapping, layer: Layer, work) -> tuple[HighLevelGraph, dict]:
    """Tasks of the (rows, call), and their keys in order with the rows; layer and pass travel once per worker.

    A call is a function, which is given both, and its other arguments; `chunks` is a graph that holds the keys among
    these.
    """
    # Names of this run alone: a failed task of an earlier try must not answer for this one.
    run = uuid4().hex
    name, layer_key = f"{work.name}-{run}", f"layer-{run}"
    graph: dict = {layer_key: (Value((layer, work)),)}
    leaves = {}
    for i, (n_rows, (function, *arguments)) in enumerate(calls):
        graph[name, i] = (function, layer_key, *arguments)
        leaves[name, i] = n_rows
    inputs = f"chunks-{run}"
    return HighLevelGraph({inputs: chunks, name: graph}, {inputs: set(), name: {inputs}}), leaves


class Chunk(NamedTuple):
    """Rows [start, stop) of the whole input, with the keys of their chunks of X, y and weights."""

    start: int
    stop: int
    keys: tuple[tuple | None, ...]


def chunk_groups(chunks: Iterable[Chunk], row_bytes: int) -> list[list[Chunk]]:
    """Chunks in groups that one task holds at once, in order."""
    groups: list[list[Chunk]] = []
    n_rows = 0
    for chunk in chunks:
        size = chunk.stop - chunk.start
        if not groups or (n_rows + size) * row_bytes > _CHUNK_BYTES or len(groups[-1]) >= _MOST_CHUNKS:
            groups.append([])
            n_rows = 0
        groups[-1].append(chunk)
        n_rows += size
    return groups


def n_rows_of(runs: Runs) -> int:
    """Number of rows in runs."""
    return sum(stop - start for start, stop in runs)


def origins_of(origins: Sequence[Origin], runs: Runs) -> tuple[Origin, ...]:
    """Those of the sorted origins, of all rows, that hold some of these runs."""
    starts = [origin.start for origin in origins]
    found = set()
    for a, b in runs:
        i = max(bisect_right(starts, a) - 1, 0)
        while i < len(origins) and origins[i].start < b:
            found.add(i)
            i += 1
    return tuple(origins[i] for i in sorted(found))


def check_memory(
    work, layer: Layer, targets: Targets, input_bytes: int, n_tasks: int, client, in_process: bool = False
) -> None:
    """Refuse what does not fit into this process, or into some worker of a client; before the work starts.

    `input_bytes` are what a task holds of the input besides its blocks.
    """
    sizes = layer.n_neurons, layer.n_features, targets.n_targets, n_tasks
    for process in [this_process(in_process)] if client is None else workers_of(client):
        for need in work.needs(PassSizes.of_pass(*sizes, process.n_threads, input_bytes=input_bytes)):
            need.check(process.memory, process.name)


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
