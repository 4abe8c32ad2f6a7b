"""Values of tasks, computed wherever Dask runs them and with progress; and a wrapper of plain values in graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import dask

from ..progress import RowProgress
from .client import current_client
from .errors import cluster_errors, compute
from .questions import check_answering

__all__ = ["Value", "gather_with_progress", "map_with_progress"]


@dataclass(frozen=True, eq=False)
class Value:
    """A value in a graph that Dask does not inspect; called, as a task without arguments, it returns the value."""

    value: Any

    def __call__(self):
        """Return the value."""
        return self.value


def map_with_progress(
    function: Callable, arguments: Sequence[Sequence], sizes: Sequence[int], progress: RowProgress
) -> list:
    """Results of a function for each of several argument lists, in order; each is a task.

    Parameters
    ----------
    function : callable
        Function to call, picklable. The names of the tasks begin with the label of `progress`.
    arguments : sequence of sequences
        Arguments of each task; delayed ones among them are computed.
    sizes : sequence of int
        Amount that each task adds to the progress: rows, say.
    progress : RowProgress
        Counts the sizes of finished tasks.
    """
    run, task = uuid4().hex, dask.delayed(function)
    tasks = [task(*of_one, dask_key_name=(f"{progress.label}-{run}", i)) for i, of_one in enumerate(arguments)]
    client = current_client()
    if client is not None:
        check_answering(client)
        with cluster_errors(client):
            return gather_with_progress(client, client.compute(tasks), sizes, progress)
    from dask.callbacks import Callback

    left = {task.key: size for task, size in zip(tasks, sizes, strict=True)}
    with Callback(posttask=lambda key, *state: progress.advance(left.pop(key, 0))):
        return list(compute(*tasks))


def gather_with_progress(client, futures: Sequence, sizes: Sequence[int], progress: RowProgress) -> list[Any]:
    """Values of futures, in order; if one fails, the others are cancelled.

    Parameters
    ----------
    client : distributed.Client
        Client of the futures.
    futures : sequence of distributed.Future
        Futures of the tasks.
    sizes, progress
        As for `map_with_progress`.
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
