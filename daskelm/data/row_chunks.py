"""Chunks of rows of X, y and weights from one Dask graph: shared tasks run once, and rows stay paired."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from dask.base import tokenize
from dask.core import flatten
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.utils import ensure_dict

from ..cluster.futures import map_with_progress
from ..lazy import da
from ..progress import RowProgress
from .source import Source, source_of

__all__ = [
    "aligned",
    "all_in_memory",
    "apply_to_rows",
    "chunk_keys",
    "delayed_chunks",
    "one_graph",
    "row_chunks_of",
]


def all_in_memory(*sources: Source | None) -> bool:
    """Whether all of the sources that are given are worked on in this process."""
    return all(source_of(data).in_process for data in sources if data is not None)


def row_chunks_of(*sources: Source | None) -> tuple[int, ...]:
    """Rows of each chunk of several sources together: those of the first one that is not in memory."""
    given = [source_of(data) for data in sources if data is not None]
    return next((source for source in given if not source.in_process), given[0]).row_chunks


def aligned(**sources: Source | None) -> list[da.Array]:
    """The sources that are not None as dask arrays, all in the row chunks of the first; names are the arguments'."""
    (name, first), *others = ((name, source) for name, source in sources.items() if source is not None)
    lead = source_of(first).as_dask(name)
    return [lead, *(source_of(source).as_dask(name, lead.chunks[0]) for name, source in others)]


def one_graph(arrays: Sequence[da.Array]) -> dict:
    """One optimised graph with the chunks of all arrays.

    Dask would optimise each array alone, and fuse shared tasks into the tasks of each: X and y of one table would be
    computed from it separately, with twice the work, and with different rows where the source is not deterministic.
    """
    names = list(flatten([array.__dask_keys__() for array in arrays]))
    whole = HighLevelGraph.merge(*(array.__dask_graph__() for array in arrays))
    graph = _without_aliases(ensure_dict(da.optimization.optimize(whole, names)), names)
    # Dask's optimisation drops the futures of persisted arrays, since the scheduler knows their keys. In a graph made
    # by hand, a missing key would be taken for a value.
    needed = {key for node in graph.values() for key in getattr(node, "dependencies", ())}.union(names)
    if missing := needed.difference(graph):
        # Futures of frames are in no graph at all; the scheduler knows their keys too.
        every = ensure_dict(whole)
        graph.update((key, every[key]) for key in missing if key in every)
    return graph


def _without_aliases(graph, names):
    """The graph in which each chunk is the task of its own name, not an alias.

    A fused task has a new name, and the requested name becomes an alias of it: one more task for the scheduler, and
    the dashboard would show the new name.
    """
    graph = dict(graph)
    targets = {name: getattr(graph.get(name), "target", None) for name in names}
    aliases = {name: target for name, target in targets.items() if target is not None and target in graph}
    others = (node for key, node in graph.items() if key not in aliases)
    used = {key for node in others for key in getattr(node, "dependencies", ())}
    for name, target in aliases.items():
        if target not in used and target not in targets:
            graph[name] = graph.pop(target).substitute({}, key=name)
    return graph


def chunk_keys(array: da.Array, numbers: Sequence[int]) -> list[tuple]:
    """Keys of some chunks of rows of an array that has one chunk of columns."""
    return [(array.name, i) + (0,) * (array.ndim - 1) for i in numbers]


def delayed_chunks(arrays: Sequence[da.Array]) -> list[list[Delayed]]:
    """The chunks of rows of each array as delayed values, which share one graph."""
    graph = one_graph(arrays)
    layer = f"chunks-{tokenize(*(array.name for array in arrays))}"
    shared = HighLevelGraph({layer: graph}, {layer: set()})
    return [
        [Delayed(key, shared, layer=layer) for key in chunk_keys(array, range(array.numblocks[0]))] for array in arrays
    ]


def apply_to_rows(
    function: Callable,
    sources: Mapping[str, Source | None],
    verbose: int | bool,
    label: str,
    patience: float = 0.0,
) -> list[Any]:
    """The results of a function of blocks of rows: of all rows at once where they are in memory, else of each chunk.

    Parameters
    ----------
    function : callable
        ``function(*blocks, first_row)``, with a block of each source, or None for a source that is None; picklable.
    sources : mapping of str to source
        The sources, by the names of the arguments, which errors use.
    verbose : int
        Whether to show progress of what is not in memory.
    label : str
        The first word of the progress and of the names of tasks.
    patience : float, default=0.0
        Seconds before progress is shown.

    Returns
    -------
    list
        In the order of the rows.
    """
    if all_in_memory(*sources.values()):
        return [function(*sources.values(), 0)]
    row_chunks = row_chunks_of(*sources.values())
    progress = RowProgress(sum(row_chunks), verbose, label, patience=patience)
    given = {name: source_of(data).as_dask(name, row_chunks) for name, data in sources.items() if data is not None}
    columns = dict(zip(given, delayed_chunks(list(given.values())), strict=True))
    starts = np.cumsum((0, *row_chunks)).tolist()
    nothing: list = [None] * len(row_chunks)
    arguments = zip(*(columns.get(name, nothing) for name in sources), starts[:-1], strict=True)
    return map_with_progress(function, list(arguments), row_chunks, progress)
