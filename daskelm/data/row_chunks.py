"""Chunks of rows of X, y and weights from one graph, so that what they share is computed once and rows stay paired."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.core import flatten
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.utils import ensure_dict

from ..cluster.gather import map_with_progress
from ..progress import RowProgress
from .source import Source, source_of

__all__ = [
    "aligned",
    "apply_to_chunks",
    "as_dask",
    "chunk_keys",
    "delayed_chunks",
    "one_graph",
    "row_chunks_of",
]


def as_dask(source: Source, name: str, row_chunks=None) -> da.Array:
    """The source as a dask array, in the row chunks given; each chunk of a user's array is checked when it is there.

    Parameters
    ----------
    source : source
        What `open_input` gives.
    name : str
        The argument's, for errors; empty for what the library made itself, which is not checked.
    row_chunks : tuple of int, optional
        Rows of each chunk; those of the source if not given.

    Returns
    -------
    dask array
    """
    return source_of(source).as_dask(name, row_chunks)


def row_chunks_of(source: Source) -> tuple[int, ...]:
    """Rows of each chunk of a source."""
    return source_of(source).row_chunks


def aligned(**sources: Source | None) -> list[da.Array]:
    """Dask arrays of those sources that are given, by the names of the arguments, in the row chunks of the first."""
    (name, first), *others = ((name, source) for name, source in sources.items() if source is not None)
    lead = as_dask(first, name)
    return [lead, *(as_dask(source, name, lead.chunks[0]) for name, source in others)]


def one_graph(arrays: Sequence[da.Array]) -> dict:
    """One optimised graph with the chunks of all arrays.

    Dask would optimise each array alone, and fuse what they share into the tasks of each: X and y of one table would
    be computed from it apart, twice the work, and other rows where the source is not deterministic.
    """
    names = list(flatten([array.__dask_keys__() for array in arrays]))
    whole = HighLevelGraph.merge(*(array.__dask_graph__() for array in arrays))
    graph = _without_aliases(ensure_dict(da.optimization.optimize(whole, names)), names)
    # Dask's optimisation drops the futures of persisted arrays, which are known to the scheduler by their keys. In a
    # graph made by hand a key that is not there would be taken for a value.
    needed = {key for node in graph.values() for key in getattr(node, "dependencies", ())}.union(names)
    if missing := needed.difference(graph):
        # Those of frames that were made of futures are in no graph at all; the scheduler knows them too.
        every = ensure_dict(whole)
        graph.update((key, every[key]) for key in missing if key in every)
    return graph


def _without_aliases(graph, names):
    """The graph where chunks are tasks of their own names.

    A fused task has a new name, and the one that was asked for is a task that stands for it: one more for the
    scheduler, and the dashboard would show the new name.
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
    """Keys of these chunks of rows of an array that has one chunk of columns."""
    return [(array.name, i) + (0,) * (array.ndim - 1) for i in numbers]


def delayed_chunks(arrays: Sequence[da.Array]) -> list[list[Delayed]]:
    """Chunks of rows of each array as delayed values that share one graph."""
    graph = one_graph(arrays)
    layer = f"chunks-{tokenize(*(array.name for array in arrays))}"
    shared = HighLevelGraph({layer: graph}, {layer: set()})
    return [
        [Delayed(key, shared, layer=layer) for key in chunk_keys(array, range(array.numblocks[0]))] for array in arrays
    ]


def apply_to_chunks(
    function: Callable, sources: Mapping[str, Source | None], row_chunks: Sequence[int], progress: RowProgress
) -> list[Any]:
    """What a function gives for each chunk of rows of several sources, in order; each is a task.

    Parameters
    ----------
    function : callable
        ``function(*blocks, first_row)``, a block of each source, None for a source that is None; picklable.
    sources : mapping of str to source
        By the names of the arguments, for errors, as for `as_dask`.
    row_chunks : tuple of int
        Rows of each chunk.
    progress : RowProgress
        Counts the rows; its label is the first word of the names of the tasks.

    Returns
    -------
    list
    """
    there = {name: source for name, source in sources.items() if source is not None}
    columns = dict(zip(there, delayed_chunks([as_dask(there[name], name, row_chunks) for name in there]), strict=True))
    starts = np.cumsum((0, *row_chunks)).tolist()
    nothing: list = [None] * len(row_chunks)
    arguments = zip(*(columns.get(name, nothing) for name in sources), starts[:-1], strict=True)
    return map_with_progress(function, list(arguments), row_chunks, progress)
