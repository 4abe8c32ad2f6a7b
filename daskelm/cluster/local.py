"""Reductions without a cluster: in threads of this process, or by Dask's local scheduler. Knows nothing of ELM."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import dask
import dask.threaded
from dask.system import CPU_COUNT
from threadpoolctl import threadpool_limits

from .client import local_get, n_local_threads
from .errors import cluster_errors
from .receiver import Receiver

__all__ = ["reduce_here", "reduce_locally", "values_in_order"]


def reduce_here(
    segments: Sequence[Sequence[tuple[int, Callable[[], Any]]]],
    merge: Callable[[list], Any],
    receiver: Receiver,
    *,
    in_process: bool = False,
) -> None:
    """Reduce calls in threads of this process, in order, so that the same work gives the same bits.

    Dask's local scheduler, which would take the tasks in any order, says how many threads there are.

    Parameters
    ----------
    segments : sequence of sequence of (int, callable)
        Size and call of the leaves of each segment, none of which needs another.
    merge : callable
        Takes a list of values, gives their sum. Associative.
    receiver : Receiver
        Receives the sum of each segment.
    in_process : bool
        Whether the local scheduler must be one of this process, whatever Dask is set to.
    """
    calls = [call for segment in segments for _, call in segment]
    values = values_in_order(calls, min(n_local_threads(in_process), len(calls)))
    with receiver, contextlib.closing(values):
        for segment in segments:
            total = _Total(merge)
            for size, _ in segment:
                total.add(next(values))
                receiver.on_leaf_done(size)
                if receiver.wants_flush():
                    _flush(total, receiver)
                if receiver.poll():
                    return
            total.submit(receiver)
        # The limits of the threads end with the last of the values.
        next(values, None)
        receiver.drain()


class _Total:
    """A running sum, which may be handed over at any time and is empty then."""

    def __init__(self, merge):
        self.merge, self.parts = merge, []

    def add(self, value):
        self.parts = [self.merge([*self.parts, value])] if self.parts else [value]

    def submit(self, receiver):
        """Hand over the sum, if there is one."""
        parts, self.parts = self.parts, []
        for value in parts:
            receiver.submit(lambda value=value: value)


def _flush(total, receiver):
    """Hand over the sum so far, and wait until it is taken, so that no second one can pile up behind it."""
    total.submit(receiver)
    receiver.drain()


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


class _Stop(Exception):
    """Leaves Dask's local scheduler when no more is needed."""


def reduce_locally(
    graph: Mapping, segments: Sequence[Mapping], merge: Callable[[list], Any], receiver: Receiver
) -> None:
    """Reduce the leaves of a graph by Dask's local scheduler; the parameters are those of `reduce_graph`."""
    from dask.callbacks import Callback

    number = {key: i for i, leaves in enumerate(segments) for key in leaves}
    totals = [_Total(merge) for _ in segments]
    left = [len(leaves) for leaves in segments]
    waiting = deque(range(len(segments)))

    def posttask(key, result, dsk, state, worker_id):
        if key not in number:
            return
        i = number[key]
        # Added at once and forgotten, so that no more than one value per thread waits.
        totals[i].add(result)
        left[i] -= 1
        state["cache"][key] = None
        receiver.on_leaf_done(segments[i][key])
        if receiver.wants_flush():
            _flush(totals[waiting[0]], receiver)
        while waiting and not left[waiting[0]]:
            totals[waiting.popleft()].submit(receiver)
        if receiver.poll():
            raise _Stop

    get = local_get()
    limit = 1 if get is dask.threaded.get and len(number) > 1 else None
    n_at_once = 1 if get is dask.get else 2 * (dask.config.get("num_workers", None) or CPU_COUNT)
    tasks = dict(graph) if len(segments) == 1 else _in_order(dict(graph), list(number), n_at_once)
    blas = threadpool_limits(limit, user_api="blas")
    with receiver:
        with cluster_errors(), blas, Callback(posttask=posttask), contextlib.suppress(_Stop):
            get(tasks, list(number))
        receiver.drain()


def _in_order(graph, leaves, n_at_once):
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
