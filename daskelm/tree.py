"""A tree reduction on Dask, wherever Dask says: the current client, or the local scheduler. Knows nothing of ELM."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from uuid import uuid4

import dask
import dask.threaded
from dask.base import get_scheduler, tokenize
from dask.highlevelgraph import HighLevelGraph
from threadpoolctl import threadpool_limits

__all__ = ["current_client", "n_local_threads", "tree_reduce"]


def in_task() -> bool:
    """Whether this code runs inside a task of a distributed worker."""
    if "distributed" not in sys.modules:
        return False
    from distributed import get_worker

    try:
        get_worker()
    except ValueError:
        return False
    return True


def current_client():
    """The distributed client that Dask would use here; None for a local scheduler, or inside a worker's task."""
    if in_task():
        return None
    owner = getattr(get_scheduler(), "__self__", None)
    return owner if hasattr(owner, "scheduler_info") else None


def _local_get():
    if in_task():
        return dask.get
    get = get_scheduler()
    return dask.threaded.get if get is None else get


def n_local_threads() -> int:
    """How many tasks the local scheduler runs at once."""
    if _local_get() is not dask.threaded.get:
        return 1
    from dask.system import CPU_COUNT

    return dask.config.get("num_workers", None) or CPU_COUNT


def tree_reduce(
    graph: HighLevelGraph,
    leaves: Mapping,
    merge: Callable[[list], object],
    *,
    split_every: int = 8,
    name: str = "merge",
    done: Callable[[int], None] = lambda size: None,
):
    """Reduce the values of the leaf tasks of a graph to one.

    Parameters
    ----------
    graph : HighLevelGraph
        Holds the leaf tasks and all that they depend on.
    leaves : mapping of key to int
        Keys of the leaf tasks in order, with the size of each (rows, say), which is handed to `done`.
    merge : callable
        Takes a list of values in any order, gives their sum. Associative and commutative.
    split_every : int
        Most values that one merge takes.
    name : str
        First word of the names of the merge tasks.
    done : callable
        Called with the size of each leaf that is finished, in this process.

    Returns
    -------
    object
        The value of the reduction, in this process.
    """
    client = current_client()
    if client is not None:
        return _on_cluster(client, graph, leaves, merge, split_every, name, done)
    return _locally(graph, leaves, merge, split_every, name, done)


def _locally(graph, leaves, merge, split_every, name, done):
    from dask.callbacks import Callback

    tasks = dict(graph)
    level, keys, token = 0, list(leaves), tokenize(*leaves)
    while len(keys) > 1 or not level:
        groups = [keys[i : i + split_every] for i in range(0, len(keys), split_every)]
        keys = [(f"{name}-{token}", level, i) for i in range(len(groups))]
        tasks.update({key: (merge, group) for key, group in zip(keys, groups, strict=True)})
        level += 1
    get = _local_get()

    def posttask(key, result, dsk, state, worker_id):
        if key in leaves:
            done(leaves[key])

    # Threads of tasks times threads of BLAS would be too many; one BLAS thread per task is the faster split.
    limit = 1 if get is dask.threaded.get and len(leaves) > 1 else None
    with threadpool_limits(limit, user_api="blas"), Callback(posttask=posttask):
        return get(tasks, keys[0])


def _on_cluster(client, graph, leaves, merge, split_every, name, done):
    """Merge what lies on one worker as it appears, then across workers: each partial crosses the network once at most.

    Every merge is an ordinary task on ordinary tasks, so a lost worker's share is computed again by Dask itself.
    """
    from distributed import as_completed

    # Of this run alone: which partials meet in which merge depends on the order in which they appear.
    run = uuid4().hex
    sizes = dict(leaves)
    # All that this run still needs; what is not in here may be forgotten by the scheduler.
    alive = {future.key: future for future in client.get(graph, list(leaves), sync=False)}
    queue = as_completed(list(alive.values()), loop=client.loop, with_results=False)
    here = defaultdict(list)
    n_merges = 0

    def submit(keys: Sequence, where=None):
        nonlocal n_merges
        n_merges += 1
        future = client.submit(
            merge,
            [alive[key] for key in keys],
            key=f"{name}-{run}-{n_merges}",
            workers=where,
            allow_other_workers=where is not None,
            priority=10,
        )
        for key in keys:
            del alive[key]
        alive[future.key] = future
        return future

    try:
        for batch in queue.batches():
            places = client.who_has(batch)
            for future in batch:
                if future.status != "finished":
                    future.result()
                done(sizes.pop(future.key, 0))
                place = next(iter(places.get(future.key) or ()), None)
                here[place].append(future.key)
                if len(here[place]) >= split_every:
                    queue.add(submit(here.pop(place), place))
        del batch, future
        parts = [keys[0] if len(keys) == 1 else submit(keys, place).key for place, keys in here.items()]
        while len(parts) > 1:
            groups = [parts[i : i + split_every] for i in range(0, len(parts), split_every)]
            parts = [keys[0] if len(keys) == 1 else submit(keys).key for keys in groups]
        return alive[parts[0]].result()
    finally:
        # After an error or an interrupt nothing of this goes on, and nothing of it is there to meet the next try.
        queue.clear()
        client.cancel(list(alive.values()))
