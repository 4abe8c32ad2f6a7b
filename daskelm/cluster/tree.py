"""A tree reduction on Dask, wherever Dask says: the current client, or the local scheduler. Knows nothing of ELM."""

from __future__ import annotations

import contextlib
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import dask
import dask.threaded
from dask.highlevelgraph import HighLevelGraph
from threadpoolctl import threadpool_limits

from .client import local_get, n_local_threads, sharing_leaves
from .errors import telling_loss

# How long what is done may take to be handed over when a task has failed.
_HAND_OVER_SECONDS = 30

__all__ = ["Reduction", "reduce_here", "tree_reduce", "values_in_order"]


def tree_reduce(
    graph: HighLevelGraph,
    leaves: Mapping,
    merge: Callable[[list], Any],
    *,
    client=None,
    shared_bytes: int = 0,
    split_every: int = 8,
    name: str = "merge",
    done: Callable[[int], None] = lambda size: None,
    due: Callable[[], bool] = lambda: False,
    take: Callable[[Any], None] | None = None,
    started: Callable[[list], None] = lambda futures: None,
) -> Any:
    """Reduce the values of the leaf tasks of a graph to one.

    Parameters
    ----------
    graph : HighLevelGraph
        Holds the leaf tasks and all that they depend on.
    leaves : mapping of key to int
        Keys of the leaf tasks in order, with the size of each (rows, say), which is handed to `done`.
    merge : callable
        Takes a list of values in any order, gives their sum. Associative and commutative.
    client : distributed.Client, optional
        Where to work, as `current_client` gives it; the local scheduler if not given.
    shared_bytes : int
        Bytes that the graph holds once for all leaves, of which Dask need not warn. They travel with the graph since
        the scheduler can give them out again when workers are lost; scattered data it could not.
    split_every : int
        Most values that one merge takes, on a cluster.
    name : str
        First word of the names of the merge tasks.
    done : callable
        Called with the size of each leaf that is finished, in this process.
    due : callable
        Asked after leaves finished whether what there is so far should be handed to `take`.
    take : callable, optional
        Is given the sum of some leaves, in this process; they are not in the value of the reduction then. On a cluster
        it is given what is done when a leaf has failed, too.
    started : callable
        Is given the futures of the leaves, on a cluster, before it goes on.

    Returns
    -------
    object
        The value of the reduction, in this process; None if all of it was taken.

    Raises
    ------
    ClusterError
        The cluster lost what it cannot do without.
    """
    if client is not None:
        with telling_loss(client), sharing_leaves(shared_bytes, len(leaves)):
            return Reduction(client, merge, split_every, name).run(graph, leaves, done, due, take, started)
    return _locally(graph, leaves, merge, done, due, take)


def reduce_here(
    calls: Sequence[Callable[[], Any]],
    sizes: Sequence[int],
    merge: Callable[[list], Any],
    *,
    in_process: bool = False,
    done: Callable[[int], None] = lambda size: None,
    due: Callable[[], bool] = lambda: False,
    take: Callable[[Any], None] = lambda value: None,
) -> Any:
    """The same in the threads of this process, in order, so that the same work gives the same number to the last bit.

    Dask's local scheduler, which would take the tasks in any order, says how many threads there are.

    Parameters
    ----------
    calls : sequence of callables
        The leaves, none of which needs another.
    sizes : sequence of int
        The size of each.
    merge, done, due, take
        As for `tree_reduce`.
    in_process : bool
        Whether the local scheduler must be one of this process, whatever Dask is set to.

    Returns
    -------
    object
        The value of the reduction; None if all of it was taken.
    """
    total = None
    values = values_in_order(calls, min(n_local_threads(in_process), len(calls)))
    with contextlib.closing(values):
        for size, value in zip(sizes, values, strict=True):
            total = value if total is None else merge([total, value])
            done(size)
            if due():
                part, total = total, None
                take(part)
    return total


def values_in_order(calls: Sequence[Callable[[], Any]], n_threads: int) -> Generator[Any, None, None]:
    """What the calls give, in order, from threads that are a few calls ahead; close it to leave out the rest."""
    if n_threads <= 1:
        for call in calls:
            yield call()
        return
    # Threads of tasks times threads of BLAS would be too many; one BLAS thread per task is the faster split.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_threads, thread_name_prefix="gram") as pool:
        running: deque = deque()
        try:
            for call in calls:
                # One more than there are threads, so that none waits while a value is added.
                if len(running) > n_threads:
                    yield running.popleft().result()
                running.append(pool.submit(call))
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


def _locally(graph, leaves, merge, done, due, take):
    from dask.callbacks import Callback

    total = None

    def posttask(key, result, dsk, state, worker_id):
        nonlocal total
        if key not in leaves:
            return
        # Added at once and forgotten, so that no more than one value per thread waits.
        total = result if total is None else merge([total, result])
        state["cache"][key] = None
        done(leaves[key])
        if due():
            part, total = total, None
            take(part)

    get = local_get()
    limit = 1 if get is dask.threaded.get and len(leaves) > 1 else None
    with telling_loss(), threadpool_limits(limit, user_api="blas"), Callback(posttask=posttask):
        get(dict(graph), list(leaves))
    return total


class Reduction:
    """On a cluster: merge what lies on one worker as it appears, then across workers.

    Each partial crosses the network once at most. Every merge is an ordinary task on ordinary tasks, so a lost
    worker's share is computed again by Dask itself.
    """

    def __init__(self, client, merge: Callable[[list], Any], split_every: int, name: str):
        self.client, self.merge, self.split_every, self.name = client, merge, split_every, name
        # Of this run alone: which partials meet in which merge depends on the order in which they appear.
        self.run_id, self.n_merges = uuid4().hex, 0
        # All that this run still needs; what is not in here may be forgotten by the scheduler.
        self.alive: dict = {}
        # Keys of partials by the worker where they lie.
        self.here: defaultdict = defaultdict(list)

    def run(self, graph, leaves, done, due, take, started=lambda futures: None):
        """The value of the reduction of these leaves; the parameters are those of `tree_reduce`."""
        from distributed import as_completed

        client = self.client
        sizes = dict(leaves)
        self.alive = {future.key: future for future in client.get(graph, list(leaves), sync=False)}
        queue = as_completed(list(self.alive.values()), loop=client.loop, with_results=False)
        taking = taken = None
        taker = ThreadPoolExecutor(1, thread_name_prefix="take")
        try:
            started(list(self.alive.values()))
            for batch in queue.batches():
                places, merges = client.who_has(batch), []
                failed = [future for future in batch if future.status in ("error", "cancelled")]
                for future in batch:
                    if future in failed:
                        continue
                    if future.status != "finished":
                        # Its worker was lost since, and Dask computes it again.
                        queue.add(future)
                        continue
                    done(sizes.pop(future.key, 0))
                    if future.key == taking:
                        # In a thread, since the merging must go on meanwhile: partials would pile up on the workers.
                        taken = taker.submit(lambda key: take(self.alive.pop(key).result()), taking)
                        taking = None
                        continue
                    merges += self.keep(future.key, places)
                for future in self.submit(merges):
                    queue.add(future)
                if failed:
                    self._fail(failed[0], sizes, taken, take)
                # Not before the last was taken, and not when the end is near: the rest is the value.
                if taken is not None and taken.done():
                    taken = taken.result()
                idle = taking is None and taken is None
                if idle and sizes and any(self.here.values()) and due():
                    future = self.gather()
                    taking = future.key
                    queue.add(future)
            del batch, future, failed
            if taken is not None:
                taken.result()
            return self.gather().result() if any(self.here.values()) else None
        finally:
            # After an error or an interrupt nothing of this goes on, and nothing of it is there to meet the next try.
            queue.clear()
            taker.shutdown()
            if client.status != "closed":
                client.cancel(list(self.alive.values()))

    def _fail(self, failed, waiting, taken, take):
        """Raise the error of a future, when what is done has been handed over; `waiting` are leaves that are not."""
        try:
            failed.result()
        except Exception as error:
            # Of a scheduler that is gone, all futures are cancelled.
            if take is not None and failed.status == "error" and failed.key in waiting:
                try:
                    self._hand_over(waiting, taken, take)
                except Exception as other:  # noqa: BLE001  the first error says what went wrong
                    error.add_note(f"What was done could not be kept: {other}")
            raise

    def _hand_over(self, waiting, taken, take):
        if taken is not None:
            taken.result()
        # The workers shall not begin with more.
        self.client.cancel([self.alive.pop(key) for key in waiting])
        self.here.clear()
        if self.alive:
            self.here[None] = list(self.alive)
            take(self.gather().result(_HAND_OVER_SECONDS))

    def keep(self, key, places: Mapping) -> list[tuple[list, str | None]]:
        """Note a partial that is there, on the worker of `places`; gives the merge that is due with it, if one is."""
        place = next(iter(places.get(key) or ()), None)
        keys = self.here[place]
        keys.append(key)
        return [(self.here.pop(place), place)] if len(keys) >= self.split_every else []

    def gather(self):
        """Future of the sum of all partials that are there."""
        parts = self.submit([(keys, place) for place, keys in self.here.items() if keys])
        self.here.clear()
        while len(parts) > 1:
            groups = [parts[i : i + self.split_every] for i in range(0, len(parts), self.split_every)]
            parts = self.submit([([part.key for part in group], None) for group in groups])
        return parts[0]

    def submit(self, merges: Sequence[tuple[list, str | None]]) -> list:
        """Futures of sums of partials, each made on the worker that is named with their keys, if there is one."""
        made = [self.alive[keys[0]] for keys, _ in merges if len(keys) == 1]
        for somewhere in (True, False):
            several = [(keys, where) for keys, where in merges if len(keys) > 1 and (where is not None) == somewhere]
            if several:
                made += self._submit_graph(several, somewhere)
        return made

    def _submit_graph(self, merges, somewhere):
        # In one graph, since to the scheduler a graph is as much work as a task: with one per merge, 100 workers that
        # did nothing took 8.8 s for 5,000 leaves, not 5.1.
        names = [f"{self.name}-{self.run_id}-{self.n_merges + i}" for i in range(len(merges))]
        self.n_merges += len(merges)
        places = {name: where for name, (_, where) in zip(names, merges, strict=True)}
        with dask.annotate(**({"workers": places.__getitem__, "allow_other_workers": True} if somewhere else {})):
            parts = [[self.alive[key] for key in keys] for keys, _ in merges]
            futures = self.client.map(self.merge, parts, key=names, pure=False, priority=10)
        for keys, _ in merges:
            for key in keys:
                del self.alive[key]
        self.alive.update((future.key, future) for future in futures)
        return futures
