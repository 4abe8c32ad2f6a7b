"""Reductions without a cluster, in threads of this process or by Dask's local scheduler; nothing of ELM."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import dask
import dask.threaded
from dask.system import CPU_COUNT
from threadpoolctl import threadpool_limits

from .client import local_get, n_local_threads
from .errors import cluster_errors
from .receiver import Receiver

__all__ = ["reduce_here", "reduce_locally"]

# While a call runs, this many seconds pass between two checks for an interrupt.
_SECONDS_BETWEEN = 0.1


def reduce_here(
    segments: Sequence[Sequence[tuple[int, Callable[[], Any]]]],
    merge: Callable[[list], Any],
    receiver: Receiver,
    *,
    in_process: bool = False,
) -> None:
    """Reduce calls in threads of this process, in order, so that the same work gives the same bits.

    Dask's local scheduler would take the tasks in any order; only its number of threads is used.

    Parameters
    ----------
    segments : sequence of sequence of (int, callable)
        Size and call of the leaves of each segment; no leaf needs another.
    merge : callable
        Takes a list of values and gives their sum; it is associative.
    receiver : Receiver
        Receives the sum of each segment.
    in_process : bool
        Whether the local scheduler must be one of this process, whatever Dask is set to.
    """
    calls = [call for segment in segments for _, call in segment]
    leaves = [(i, size) for i, segment in enumerate(segments) for size, _ in segment]
    totals = _Totals(list(map(len, segments)), merge, receiver)
    values = _values_in_order(calls, min(n_local_threads(in_process), len(calls)), receiver.interrupted)
    with receiver, contextlib.closing(values):
        # After an interrupt, the last values are missing.
        for (i, size), value in zip(leaves, values, strict=False):
            if totals.add(i, size, value):
                return
        totals.hand_over_rest()
        receiver.drain()


class _Totals:
    """Sums of segments from the values of their leaves, handed over in order; `left` counts leaves still to come."""

    def __init__(self, left: list[int], merge, receiver: Receiver):
        self.left, self.merge, self.receiver = left, merge, receiver
        # The sum of each segment so far, as a list of at most one.
        self.sums: list[list] = [[] for _ in left]
        self.n_handed_over = 0

    def add(self, i: int, size: int, value) -> bool:
        """Add the value of a leaf of segment i, of this size; True if the work is to end."""
        # A value is added at once and forgotten, so that no more than one per thread waits.
        self.sums[i] = [self.merge([*self.sums[i], value])] if self.sums[i] else [value]
        self.left[i] -= 1
        self.receiver.on_leaf_done(size)
        if self.receiver.wants_flush():
            self._hand_over(self.n_handed_over)
            # No second sum may pile up behind this one.
            self.receiver.drain()
        while self.n_handed_over < len(self.left) and not self.left[self.n_handed_over]:
            self._hand_over(self.n_handed_over)
            self.n_handed_over += 1
        return self.receiver.poll()

    def hand_over_rest(self) -> None:
        """Hand over the sum so far of the segment that an interrupt has cut short."""
        if self.n_handed_over < len(self.left):
            self._hand_over(self.n_handed_over)

    def _hand_over(self, i):
        found, self.sums[i] = self.sums[i], []
        if found:
            self.receiver.submit(found.pop)


def _values_in_order(
    calls: Sequence[Callable[[], Any]], n_threads: int, interrupted: Callable[[], bool]
) -> Generator[Any, None, None]:
    """Results of the calls, in order, from threads that are a few calls ahead; closing it leaves out the rest.

    Calls that have not begun when it is interrupted are left out.
    """
    if n_threads <= 1:
        for call in calls:
            if interrupted():
                return
            yield call()
        return
    pool, running = ThreadPoolExecutor(n_threads, thread_name_prefix="gram"), deque[Future]()
    wait = True
    # Threads of tasks times threads of BLAS would be too many; one BLAS thread per task is the faster split.
    with threadpool_limits(1, user_api="blas"):
        try:
            for call in calls:
                # One call more than there are threads is running, so that no thread waits while a value is added.
                if len(running) > n_threads:
                    yield _result(running, interrupted)
                if interrupted():
                    break
                running.append(pool.submit(call))
            while running:
                yield _result(running, interrupted)
        except (KeyboardInterrupt, SystemExit):
            # The caller does not wait for the calls that run.
            wait = False
            raise
        finally:
            pool.shutdown(wait=wait, cancel_futures=True)


def _result(running: deque[Future], interrupted: Callable[[], bool]):
    """The result of the first of these calls; after an interrupt, the last ones that have not begun are left out."""
    first = running.popleft()
    while not first.done():
        if interrupted():
            while running and running[-1].cancel():
                running.pop()
        concurrent.futures.wait([first], timeout=_SECONDS_BETWEEN)
    return first.result()


class _Stop(Exception):
    """Raised to leave Dask's local scheduler when no more values are needed."""


def reduce_locally(
    graph: Mapping, segments: Sequence[Mapping], merge: Callable[[list], Any], receiver: Receiver
) -> None:
    """Reduce the leaves of a graph by Dask's local scheduler; the parameters are those of `reduce_graph`."""
    from dask.callbacks import Callback

    number = {key: i for i, leaves in enumerate(segments) for key in leaves}
    totals = _Totals(list(map(len, segments)), merge, receiver)

    def posttask(key, result, dsk, state, worker_id):
        if key in number:
            state["cache"][key] = None
            if totals.add(number[key], segments[number[key]][key], result) or receiver.interrupted():
                raise _Stop

    get = local_get()
    limit = 1 if get is dask.threaded.get and len(number) > 1 else None
    n_at_once = 1 if get is dask.get else 2 * (dask.config.get("num_workers", None) or CPU_COUNT)
    tasks = dict(graph) if len(segments) == 1 else _in_order(dict(graph), list(number), n_at_once)
    blas = threadpool_limits(limit, user_api="blas")
    with receiver:
        with cluster_errors(), blas, Callback(posttask=posttask), contextlib.suppress(_Stop):
            get(tasks, list(number))
        if receiver.interrupted():
            totals.hand_over_rest()
        receiver.drain()


def _in_order(graph, leaves, n_at_once):
    """The graph with leaves that wait for all but few earlier ones: local schedulers take them in any order."""
    run, before = uuid4().hex, None
    for i, leaf in enumerate(leaves):
        if i >= n_at_once:
            # This task is done when all leaves up to this one are; their values, None by then, say nothing.
            graph["done", run, i] = (_second, before, leaves[i - n_at_once])
            before = "done", run, i
            graph[leaf] = (_second, before, graph[leaf])
    return graph


def _second(before, value):
    return value
