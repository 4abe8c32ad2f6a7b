"""Values of tasks, wherever Dask says, with progress while they are computed; and values as they are, in graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import dask

from ..progress import RowProgress
from .client import current_client
from .errors import cluster_errors, compute

__all__ = ["Value", "gather_with_progress", "map_with_progress"]


@dataclass(frozen=True, eq=False)
class Value:
    """A value in a graph which Dask does not look into; called, as a task without arguments, it gives the value."""

    value: Any

    def __call__(self):
        """Give it."""
        return self.value


def map_with_progress(
    function: Callable, arguments: Sequence[Sequence], sizes: Sequence[int], progress: RowProgress
) -> list:
    """What the function gives for each of several arguments, in order; each is a task.

    Parameters
    ----------
    function : callable
        Picklable. Tasks have the label of `progress` as first word of their names.
    arguments : sequence of sequences
        Of each task; delayed ones among them are computed.
    sizes : sequence of int
        What each task counts.
    progress : RowProgress
        Counts them.

    Returns
    -------
    list
    """
    run, task = uuid4().hex, dask.delayed(function)
    tasks = [task(*of_one, dask_key_name=(f"{progress.label}-{run}", i)) for i, of_one in enumerate(arguments)]
    client = current_client()
    if client is not None:
        with cluster_errors(client):
            return gather_with_progress(client, client.compute(tasks), sizes, progress)
    from dask.callbacks import Callback

    left = {task.key: size for task, size in zip(tasks, sizes, strict=True)}
    with Callback(posttask=lambda key, *state: progress.advance(left.pop(key, 0))):
        return list(compute(*tasks))


def gather_with_progress(client, futures: Sequence, sizes: Sequence[int], progress: RowProgress) -> list[Any]:
    """Values of futures, in order; if one fails, none of the others goes on.

    Parameters
    ----------
    client : distributed.Client
        Theirs.
    futures : sequence of distributed.Future
        Of the tasks.
    sizes, progress
        As for `map_with_progress`.

    Returns
    -------
    list
    """
    from distributed import as_completed

    progress.started(list(futures))
    left = {future.key: size for future, size in zip(futures, sizes, strict=True)}
    queue = as_completed(list(futures), loop=client.loop, with_results=False)
    try:
        for batch in queue.batches():
            for future in batch:
                if future.status != "finished":
                    future.result()
                progress.advance(left.pop(future.key, 0))
        return client.gather(list(futures))
    except BaseException:
        queue.clear()
        client.cancel(list(futures))
        raise
