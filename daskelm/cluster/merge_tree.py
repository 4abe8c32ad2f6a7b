"""Reductions of the leaves of a graph wherever Dask runs them, and the merge tree on a cluster; nothing of ELM."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import dask
from dask.highlevelgraph import HighLevelGraph

from .client import sharing
from .errors import cluster_errors
from .local import reduce_locally
from .questions import ask_workers
from .receiver import Receiver

# When a task has failed, the finished work has these seconds to be handed over.
_HAND_OVER_SECONDS = 30
# Graph bytes allowed per leaf before Dask's warning of large graphs: 100,000 leaves, with 600 bytes to describe the
# rows of each, are no mistake.
_LEAF_BYTES = 1024

__all__ = ["MergeTree", "reduce_graph"]


def reduce_graph(
    graph: HighLevelGraph,
    segments: Sequence[Mapping],
    merge: Callable[[list], Any],
    receiver: Receiver,
    *,
    client=None,
    shared_bytes: int = 0,
    split_every: int = 8,
    name: str = "merge",
    on_submitted: Callable[[list], None] = lambda futures: None,
    reads: Callable[[Any], str | None] | None = None,
) -> None:
    """Reduce each segment of the leaf tasks of a graph to one value, and hand these over in order.

    Parameters
    ----------
    graph : HighLevelGraph
        Holds the leaf tasks and all that they depend on.
    segments : sequence of mapping of key to int
        Keys of the leaf tasks of each segment, with the size of each (rows, say); the work is done in this order.
    merge : callable
        Takes a list of values in any order, gives their sum. Associative and commutative.
    receiver : Receiver
        Receives the value of each segment, and more where a part is asked for.
    client : distributed.Client, optional
        Where to work, as `current_client` gives it; the local scheduler if not given.
    shared_bytes : int
        Bytes that the graph holds once for all leaves, without a warning of Dask's. They travel with the graph, since
        the scheduler can send them again when workers are lost, which it cannot do with scattered data.
    split_every : int
        Most values that one merge takes, on a cluster.
    name : str
        First word of the names of the merge tasks.
    on_submitted : callable
        Called with the futures of the leaves, on a cluster, before the reduction waits for them.
    reads : callable, optional
        As for `cluster_errors`.

    Raises
    ------
    ClusterError
        The cluster lost what it cannot do without.
    """
    if client is None:
        reduce_locally(graph, segments, merge, receiver)
        return
    n_bytes = shared_bytes + _LEAF_BYTES * sum(map(len, segments))
    with receiver, cluster_errors(client, reads), sharing(n_bytes):
        trees = [MergeTree(client, merge, split_every, name) for _ in segments]
        _OnCluster(client, segments, trees, receiver).run(graph, on_submitted)


class _OnCluster:
    """The trees of all segments at once, with the leaves of earlier ones first."""

    def __init__(self, client, segments, trees, receiver):
        self.client, self.trees, self.receiver = client, trees, receiver
        # Sizes of the leaves that are not finished.
        self.sizes = {key: size for leaves in segments for key, size in leaves.items()}
        # The segment of each leaf and merge that is not finished, and how many these are.
        self.number = {key: i for i, leaves in enumerate(segments) for key in leaves}
        self.left = [len(leaves) for leaves in segments]
        # Segments by the key of their last sum, and these keys by segment when they are finished.
        self.last: dict[Any, int] = {}
        self.finished: dict[int, Any] = {}
        self.n_handed_over = 0
        # The segment and the key of a sum that was asked for before its segment ends, until it is finished.
        self.flushing: tuple[int, Any] | None = None
        # Keys of leaves that are cancelled after an interrupt; None before one.
        self.dropped: set | None = None

    def run(self, graph, on_submitted):
        from distributed import as_completed

        futures = self._submit(graph)
        queue = as_completed(futures, loop=self.client.loop, with_results=False)

        def wake():
            with queue.thread_condition:
                queue.thread_condition.notify()

        self.receiver.wake = wake
        try:
            on_submitted(futures)
            del futures
            while not self._ended():
                if self.dropped is None and self.receiver.interrupted():
                    for future in self._drop_waiting():
                        queue.add(future)
                while not (queue.has_ready() or self.receiver.ready()):
                    with queue.thread_condition:
                        # This is how `as_completed` itself waits: a notice may come just before.
                        queue.thread_condition.wait(timeout=0.1)
                    if self.dropped is None and self.receiver.interrupted():
                        break
                for future in self._on_batch(queue.next_batch(block=False)):
                    queue.add(future)
        finally:
            # After the end, an early stop, an error or an interrupt no task goes on, and none is left to meet the
            # tasks of the next try.
            queue.clear()
            if self.client.status != "closed":
                self.client.cancel([future for tree in self.trees for future in list(tree.alive.values())])

    def _submit(self, graph):
        """Futures of all leaves; the tree of its segment keeps each one."""
        # One segment needs no order, and finding what each leaf depends on takes time.
        ordered = len(self.trees) > 1
        priorities = {"priority": _priorities(graph, self.number).__getitem__} if ordered else {}
        with dask.annotate(**priorities):
            futures = self.client.get(graph, list(self.sizes), sync=False)
        for future in futures:
            self.trees[self.number[future.key]].alive[future.key] = future
        return futures

    def _ended(self):
        stopped = self.receiver.poll()
        all_there = self.n_handed_over == len(self.trees) and self.flushing is None
        return stopped or (all_there and self.receiver.idle)

    def _on_batch(self, batch) -> list:
        """More futures to wait for, after these have changed: merges, and leaves that are computed once more."""
        if self.dropped:
            batch = [future for future in batch if future.key not in self.dropped]
        places = self.client.who_has(batch) if batch else {}
        failed = [future for future in batch if future.status in ("error", "cancelled")]
        merges: defaultdict = defaultdict(list)
        again = []
        for future in batch:
            if future in failed:
                continue
            if future.status != "finished":
                # Its worker was lost since, and Dask computes it again.
                again.append(future)
            elif future.key in self.number:
                i = self.number.pop(future.key)
                self.left[i] -= 1
                if future.key in self.sizes:
                    self.receiver.on_leaf_done(self.sizes.pop(future.key))
                merges[i] += self.trees[i].on_partial(future.key, places)
            else:
                self._on_sum(future.key)
        again += self._merged(merges)
        if failed:
            self._fail(failed[0])
        return again + self._flushed()

    def _merged(self, merges) -> list:
        """Futures of the merges that are due, and of the last sums of the segments in which nothing else is left."""
        made = []
        for i, due in merges.items():
            for future in self.trees[i].submit(due):
                self.number[future.key] = i
                self.left[i] += 1
                made.append(future)
        for i in merges:
            if not self.left[i]:
                if self.trees[i].partials():
                    made.append(self.trees[i].gather())
                    self.last[made[-1].key] = i
                else:
                    # All partial sums of the segment were flushed.
                    self.finished[i] = None
        self._hand_over()
        return made

    def _on_sum(self, key):
        """Note that the sum with this key is there, and hand over what is due."""
        if self.flushing is not None and key == self.flushing[1]:
            # The rest of its segment may have been handed over meanwhile.
            (i, _), self.flushing = self.flushing, None
            self._receive(i, key)
        else:
            self.finished[self.last.pop(key)] = key
            self._hand_over()

    def _hand_over(self):
        while self.n_handed_over in self.finished:
            key = self.finished.pop(self.n_handed_over)
            if key is not None:
                self._receive(self.n_handed_over, key)
            self.n_handed_over += 1

    def _receive(self, i, key):
        # The sum is fetched in a thread, since merging must go on meanwhile: partials would pile up on the workers. A
        # sum that the thread has not begun to fetch is cancelled with all others.
        self.receiver.submit(lambda: self.trees[i].fetch(key))

    def _flushed(self) -> list:
        """The future of the sum so far of the next segment, as a list; empty where none is asked for."""
        # There is no flush before the last one was taken, nor at the end, when what is left becomes a value anyway.
        if self.receiver.should_flush is None or self.flushing is not None or not self.receiver.idle or not self.sizes:
            return []
        tree = self.trees[self.n_handed_over]
        if not tree.partials() or not self.receiver.wants_flush():
            return []
        future = tree.gather()
        self.flushing = self.n_handed_over, future.key
        return [future]

    def _drop_waiting(self) -> list:
        """Cancel the leaves that no worker is at, so that the work ends with the others; more futures to wait for."""
        answers = ask_workers(self.client, _begun).values.values()
        begun = {key for keys in answers if not isinstance(keys, Exception) for key in keys}
        self.dropped = {key for key in self.sizes if key not in begun}
        self.client.cancel([self.trees[self.number[key]].alive.pop(key) for key in self.dropped])
        shorter = set()
        for key in self.dropped:
            del self.sizes[key]
            i = self.number.pop(key)
            self.left[i] -= 1
            shorter.add(i)
        return self._merged({i: [] for i in sorted(shorter)})

    def _fail(self, failed):
        """Raise the error of a future, after the finished work has been handed over."""
        try:
            failed.result()
        except Exception as error:
            # Where the scheduler is gone, all futures are cancelled.
            if self.receiver.should_flush is not None and failed.status == "error" and failed.key in self.sizes:
                try:
                    self._hand_over_rest()
                except Exception as other:  # noqa: BLE001  the first error says what went wrong
                    error.add_note(f"What was done could not be kept: {other}")
            raise

    def _hand_over_rest(self):
        self.receiver.drain()
        # The workers must not begin with more leaves.
        self.client.cancel([self.trees[self.number[key]].alive.pop(key) for key in self.sizes])
        tree = self.trees[self.n_handed_over]
        if tree.alive:
            future = tree.sum_of(list(tree.alive.values()))
            self.receiver.submit(lambda: future.result(_HAND_OVER_SECONDS))
            self.receiver.drain()


def _begun(dask_worker) -> list:
    """Keys of the tasks that run on a worker, or whose values lie there."""
    return [task.key for task in dask_worker.state.executing] + list(dask_worker.data)


class MergeTree:
    """Merges the partial sums that lie on one worker as they appear, then across workers.

    Each partial crosses the network once at most. Every merge is an ordinary task on ordinary tasks, so a lost
    worker's share is computed again by Dask itself.
    """

    def __init__(self, client, merge: Callable[[list], Any], split_every: int, name: str):
        self.client, self.merge, self.split_every, self.name = client, merge, split_every, name
        # The names are of this run alone: which partials meet in which merge depends on the order in which they appear.
        self.run_id, self.n_merges = uuid4().hex, 0
        # All futures that are still needed; the scheduler may forget any other.
        self.alive: dict = {}
        # Keys of partials by the worker where they lie.
        self.here: defaultdict = defaultdict(list)

    def partials(self) -> bool:
        """Whether there are partials that wait for others."""
        return any(self.here.values())

    def on_partial(self, key, places: Mapping) -> list[tuple[list, str | None]]:
        """Note a finished partial, on the worker of `places`; gives the merge that is due with it, if there is one."""
        place = next(iter(places.get(key) or ()), None)
        keys = self.here[place]
        keys.append(key)
        return [(self.here.pop(place), place)] if len(keys) >= self.split_every else []

    def fetch(self, key):
        """The value of a future, which the scheduler may forget afterwards."""
        future = self.alive.pop(key)
        try:
            return future.result()
        finally:
            # Frames of an error that was raised meanwhile may hold the future still.
            future.release()

    def gather(self):
        """Future of the sum of all finished partials."""
        parts = self.submit([(keys, place) for place, keys in self.here.items() if keys])
        self.here.clear()
        return self.sum_of(parts)

    def sum_of(self, parts: list):
        """Future of the sum of these futures, wherever they lie."""
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
        # All merges go in one graph, since to the scheduler a graph is as much work as a task: with a graph per merge,
        # 100 workers that did nothing took 8.8 s for 5,000 leaves, not 5.1.
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


def _priorities(graph, number) -> dict:
    """Dask's priority of each key: earlier segments first, with what they depend on; 0, before all, for other keys."""
    dependencies = graph.get_all_dependencies()
    priorities: dict = defaultdict(int)
    for leaf, i in number.items():
        stack = [leaf]
        while stack:
            key = stack.pop()
            # Segments come in order, so that a shared task is due with the first segment that needs it.
            if key not in priorities:
                priorities[key] = -i
                stack += dependencies[key]
    return priorities
