"""Tree reductions of segments of the work, each looked at while the work goes on; it can end with any of them."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import dask
import dask.threaded
from dask.highlevelgraph import HighLevelGraph
from dask.system import CPU_COUNT
from threadpoolctl import threadpool_limits

from .client import local_get, n_local_threads, sharing_leaves
from .errors import telling_loss
from .tree import Reduction, values_in_order

__all__ = ["reduce_segments", "reduce_segments_here"]


def reduce_segments(
    graph: HighLevelGraph,
    segments: Sequence[Mapping],
    merge: Callable[[list], Any],
    take: Callable[[Any], Any],
    seen: Callable[[Any], bool],
    *,
    client=None,
    shared_bytes: int = 0,
    split_every: int = 8,
    name: str = "merge",
    done: Callable[[int], None] = lambda size: None,
    started: Callable[[list], None] = lambda futures: None,
) -> None:
    """Reduce each segment of the leaf tasks of a graph to one value, and hand these on in order.

    Parameters
    ----------
    graph : HighLevelGraph
        Holds the leaf tasks and all that they depend on.
    segments : sequence of mapping of key to int
        Keys of the leaf tasks of each segment, with their sizes; the work is done in this order.
    merge : callable
        Takes a list of values in any order, gives their sum. Associative and commutative.
    take : callable
        Is given the value of each segment, in the order of the segments, in a thread of its own, while the work on
        later ones goes on.
    seen : callable
        Is given what `take` returned, in this thread; if it returns True, that was the last, and what is still under
        way is cancelled.
    client, shared_bytes, split_every, name, done, started
        As for `tree_reduce`.
    """
    with _Taker(take, seen) as taker:
        if client is None:
            _locally(graph, segments, merge, taker, done)
        else:
            n_leaves = sum(map(len, segments))
            with telling_loss(client), sharing_leaves(shared_bytes, n_leaves):
                _OnCluster(client, segments, merge, split_every, name, taker, done).run(graph, started)


def reduce_segments_here(
    segments: Sequence[Sequence[tuple[int, Callable[[], Any]]]],
    merge: Callable[[list], Any],
    take: Callable[[Any], Any],
    seen: Callable[[Any], bool],
    *,
    in_process: bool = False,
    done: Callable[[int], None] = lambda size: None,
) -> None:
    """The same in the threads of this process, in order: the same work gives the same numbers to the last bit.

    Parameters
    ----------
    segments : sequence of sequence of (int, callable)
        Size and call of the leaves of each segment, none of which needs another.
    merge, take, seen, done
        As for `reduce_segments`.
    in_process : bool
        As for `reduce_here`.
    """
    calls = [call for segment in segments for _, call in segment]
    values = values_in_order(calls, min(n_local_threads(in_process), len(calls)))
    with _Taker(take, seen) as taker, contextlib.closing(values):
        for segment in segments:
            total = None
            for size, _ in segment:
                value = next(values)
                total = value if total is None else merge([total, value])
                done(size)
                if taker.look():
                    return
            taker.put(lambda total=total: total)
        # What is left of the threads' limits ends with the last of the values.
        next(values, None)
        taker.finish()


class _Taker:
    """A thread that takes values one after the other; what it makes of them is seen in the thread that asks."""

    def __init__(self, take, seen):
        self.take, self.seen = take, seen
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="take")
        self.running: deque = deque()
        self.n_seen, self.stopped = 0, False
        self.wake: Callable[[Any], None] = lambda future: None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.pool.shutdown(cancel_futures=True)

    def put(self, fetch: Callable[[], Any]) -> None:
        """Have one more value taken, which is fetched in that thread."""
        self.running.append(self.pool.submit(lambda: self.take(fetch())))
        self.running[-1].add_done_callback(lambda future: self.wake(future))

    def ready(self) -> bool:
        """Whether there is something to be seen."""
        return bool(self.running) and self.running[0].done()

    def look(self) -> bool:
        """See what is there; whether that was the end."""
        while not self.stopped and self.ready():
            self.stopped = self.seen(self.running.popleft().result())
            self.n_seen += 1
        return self.stopped

    def finish(self) -> None:
        """See all that is to come."""
        while self.running and not self.look():
            concurrent.futures.wait([*self.running][:1])


class _Stop(Exception):
    """Leaves Dask's local scheduler when no more is needed."""


def _locally(graph, segments, merge, taker, done):
    from dask.callbacks import Callback

    number = {key: i for i, leaves in enumerate(segments) for key in leaves}
    totals: list = [None] * len(segments)
    left = [len(leaves) for leaves in segments]
    waiting = deque(range(len(segments)))

    def posttask(key, result, dsk, state, worker_id):
        if key not in number:
            return
        i = number[key]
        totals[i] = result if totals[i] is None else merge([totals[i], result])
        left[i] -= 1
        state["cache"][key] = None
        done(segments[i][key])
        while waiting and not left[waiting[0]]:
            total, totals[waiting[0]] = totals[waiting[0]], None
            waiting.popleft()
            taker.put(lambda total=total: total)
        if taker.look():
            raise _Stop

    get = local_get()
    limit = 1 if get is dask.threaded.get and len(number) > 1 else None
    n_at_once = 1 if get is dask.get else 2 * (dask.config.get("num_workers", None) or CPU_COUNT)
    blas = threadpool_limits(limit, user_api="blas")
    with telling_loss(), blas, Callback(posttask=posttask), contextlib.suppress(_Stop):
        get(_in_turn(dict(graph), list(number), n_at_once), list(number))
    taker.finish()


def _in_turn(graph, leaves, n_at_once):
    """The graph with leaves that wait for all but few earlier ones: local schedulers take them in any order."""
    run, before = uuid4().hex, None
    for i, leaf in enumerate(leaves):
        if i >= n_at_once:
            # Done with all leaves up to this one.
            graph["done", run, i] = (_nothing, before, leaves[i - n_at_once])
            before = "done", run, i
            graph[leaf] = (_second, before, graph[leaf])
    return graph


def _nothing(*values):
    return None


def _second(before, value):
    return value


class _OnCluster:
    """On a cluster: a reduction for each segment, all at once, with the leaves of earlier ones first."""

    def __init__(self, client, segments, merge, split_every, name, taker, done):
        self.client, self.taker, self.done = client, taker, done
        self.sizes = {key: size for leaves in segments for key, size in leaves.items()}
        self.reductions = [Reduction(client, merge, split_every, name) for _ in segments]
        # The segment of each leaf and merge that is not finished, and how many these are.
        self.number = {key: i for i, leaves in enumerate(segments) for key in leaves}
        self.left = [len(leaves) for leaves in segments]
        self.gathered: dict[int, Any] = {}
        self.n_put = 0

    def run(self, graph, started):
        from distributed import as_completed

        priorities = _priorities(graph, self.number)
        with dask.annotate(priority=priorities.__getitem__):
            futures = self.client.get(graph, list(self.sizes), sync=False)
        for future in futures:
            self.reductions[self.number[future.key]].alive[future.key] = future
        queue = as_completed(futures, loop=self.client.loop, with_results=False)

        def wake(_):
            with queue.thread_condition:
                queue.thread_condition.notify()

        self.taker.wake = wake
        try:
            started(futures)
            del futures
            while self.taker.n_seen < len(self.reductions):
                while not (queue.has_ready() or self.taker.ready()):
                    with queue.thread_condition:
                        # As `as_completed` itself waits: a notice may come just before.
                        queue.thread_condition.wait(timeout=0.1)
                for future in self._finished(queue.next_batch(block=False)):
                    queue.add(future)
                if self.taker.look():
                    break
        finally:
            # Whether all is done, or enough, or an error or an interrupt came: nothing of this goes on.
            queue.clear()
            self.client.cancel([future for part in self.reductions for future in list(part.alive.values())])

    def _finished(self, batch) -> Iterator[Any]:
        """Note what is finished; gives the futures of merges that follow."""
        places = self.client.who_has(batch) if batch else {}
        merges: defaultdict = defaultdict(list)
        touched = set()
        for future in batch:
            if future.status != "finished":
                future.result()
            i = self.number.pop(future.key)
            self.left[i] -= 1
            touched.add(i)
            self.done(self.sizes.pop(future.key, 0))
            merges[i] += self.reductions[i].keep(future.key, places)
        for i, due in merges.items():
            for future in self.reductions[i].submit(due):
                self.number[future.key] = i
                self.left[i] += 1
                yield future
        for i in touched:
            if not self.left[i]:
                self.gathered[i] = self.reductions[i].gather()
        while self.n_put in self.gathered:
            self.taker.put(_Fetch(self.reductions[self.n_put], self.gathered.pop(self.n_put).key))
            self.n_put += 1


class _Fetch:
    """Brings the value of a reduction here; the cluster may forget it then."""

    def __init__(self, reduction, key):
        self.reduction, self.key = reduction, key

    def __call__(self):
        value = self.reduction.alive[self.key].result()
        del self.reduction.alive[self.key]
        return value


def _priorities(graph, number) -> dict:
    """By key: leaves of earlier segments first, and what they need with them; 0, before all, for what else there is."""
    dependencies = graph.get_all_dependencies()
    priorities: dict = defaultdict(int)
    for leaf, i in number.items():
        stack = [leaf]
        while stack:
            key = stack.pop()
            # In the order of the segments, so that what is shared is due with the first that needs it.
            if key not in priorities:
                priorities[key] = -i
                stack += dependencies[key]
    return priorities
