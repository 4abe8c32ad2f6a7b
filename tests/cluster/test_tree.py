"""The merge tree knows nothing of ELM: any number of leaves, any scheduler, each leaf counted once."""

import contextlib
import functools
import itertools
import threading
import time

import dask
import numpy as np
import pytest
from dask.highlevelgraph import HighLevelGraph
from distributed import Client, secede
from threadpoolctl import threadpool_info

from daskelm.cluster.client import current_client, in_task, n_local_threads
from daskelm.cluster.local import reduce_here
from daskelm.cluster.merge_tree import MergeTree, reduce_graph
from daskelm.cluster.receiver import Receiver


def leaves(n, function=lambda i: [i]):
    graph = {("leaf", i): (function, i) for i in range(n)}
    return HighLevelGraph.from_collections("leaf", graph), {("leaf", i): 10 for i in range(n)}


def wait_for(path):
    """Wait until a file is there, for a minute at most."""
    end = time.monotonic() + 60
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.01)


def concatenate(parts):
    assert len(parts) <= 4
    return list(itertools.chain.from_iterable(parts))


def reduced(graph, sizes, merge=concatenate, on_leaf_done=lambda size: None):
    """The value of leaves in one segment."""
    found = []
    receiver = Receiver(found.append, on_leaf_done=on_leaf_done)
    reduce_graph(graph, [sizes], merge, receiver, client=current_client(), split_every=4)
    [value] = found
    return value


def reduced_here(calls, sizes, merge=concatenate, **hooks):
    """The values of calls in one segment."""
    found = []
    reduce_here([list(zip(sizes, calls, strict=True))], merge, Receiver(found.append, **hooks))
    return found


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 16, 17, 61])
@pytest.mark.parametrize("where", ["threads", "sync", "client", "one_worker"])
def test_every_leaf_counts_once(request, n, where):
    progress = []
    with contextlib.ExitStack() as stack:
        if where in ("client", "one_worker"):
            request.getfixturevalue(where)
        else:
            stack.enter_context(dask.config.set(scheduler=where))
        found = reduced(*leaves(n), on_leaf_done=progress.append)
    assert sorted(found) == list(range(n))
    assert sum(progress) == 10 * n


@pytest.mark.parametrize("where", ["threads", "client"])
def test_an_error_in_a_leaf_is_raised_as_it_is(request, where):
    def fail(i):
        if i == 5:
            raise LookupError("row 5")
        return [i]

    if where == "client":
        request.getfixturevalue(where)
    with pytest.raises(LookupError, match="row 5"):
        reduced(*leaves(9, fail))


def test_a_cluster_holds_nothing_afterwards(client):
    reduced(*leaves(20))
    client.sync(_settle, client)
    assert not client.futures


async def _settle(client):
    import asyncio

    end = time.monotonic() + 60
    while client.futures and time.monotonic() < end:
        await asyncio.sleep(0.02)


def test_local_threads_work_at_once_and_share_the_cores():
    barrier = threading.Barrier(2, timeout=60)

    def meet(i):
        barrier.wait()
        return [max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)]

    with dask.config.set(scheduler="threads", num_workers=2):
        assert n_local_threads() == 2
        assert reduced(*leaves(2, meet)) == [1, 1]


def test_dask_says_where(client):
    assert current_client() is client
    with dask.config.set(scheduler="threads"):
        assert current_client() is None
    assert not in_task()
    assert client.submit(in_task, pure=False).result()
    assert client.submit(lambda: current_client() is None, pure=False).result()


def test_no_client_no_cluster(no_client):
    assert current_client() is None
    assert n_local_threads() >= 1


def test_merges_stay_on_the_worker_that_has_the_parts(client):
    # 24 partials of 1 MB, 12 or so on each of 2 workers: one merged partial has to cross, and few do by accident.
    def partial(i):
        return np.full(125_000, float(i))

    def moved(dask_worker):
        return sum(transfer["total"] for transfer in dask_worker.transfer_incoming_log)

    before = sum(client.run(moved).values())
    total = reduced(*leaves(24, partial), lambda parts: sum(parts[1:], parts[0]))
    assert (total == sum(range(24))).all()
    assert sum(client.run(moved).values()) - before < 8e6


def test_many_merges_are_one_graph(client, monkeypatch):
    graphs = []
    send = Client._graph_to_futures
    monkeypatch.setattr(Client, "_graph_to_futures", lambda *args, **kw: graphs.append(1) or send(*args, **kw))
    tree = MergeTree(client, concatenate, 4, "merge")
    futures = client.map(lambda i: [i], range(13), pure=False)
    tree.alive = {future.key: future for future in futures}
    keys = list(tree.alive)
    places = list(client.scheduler_info()["workers"])
    groups = [(keys[0:4], places[0]), (keys[4:6], places[1]), (keys[6:9], None), (keys[9:12], None), (keys[12:], None)]
    graphs.clear()
    made = tree.submit(groups)
    assert len(graphs) == 2
    assert sorted(future.key for future in made) == sorted(tree.alive)
    assert sorted(itertools.chain(*client.gather(made))) == list(range(13))
    where = client.who_has(made)
    assert {where[future.key] for future in made if future.result() in ([0, 1, 2, 3], [4, 5])} == {
        (places[0],),
        (places[1],),
    }


def test_many_small_leaves_trigger_no_warning_and_large_ones_do(client):
    # Warnings are errors here.
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": 1000}):
        reduced(*carrying(50, 500))
        with pytest.warns(UserWarning, match="large graph"):
            reduced(*carrying(50, 5000))


def carrying(n, n_bytes):
    sizes = leaves(n)[1]
    load = {key: (lambda i, _: [i], key[1], bytes([key[1]]) * n_bytes) for key in sizes}
    return HighLevelGraph.from_collections("leaf", load), sizes


def test_a_client_that_is_not_the_current_one_is_left_alone(cluster):
    with Client(cluster, set_as_default=False):
        assert current_client() is None


@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_leaves_are_added_in_order_whatever_finishes_first(no_client, n_workers):
    def leaf(i):
        time.sleep(0.02 if i % 3 == 0 else 0)
        return [i]

    with dask.config.set(num_workers=n_workers):
        calls = [functools.partial(leaf, i) for i in range(20)]
        sizes = []
        assert reduced_here(calls, range(20), on_leaf_done=sizes.append) == [list(range(20))]
        assert sizes == list(range(20))
        due = iter([False] * 7 + [True] * 2 + [False] * 99)
        parts = reduced_here(calls, range(20), should_flush=lambda: next(due))
        assert parts == [list(range(8)), [8], list(range(9, 20))]
        # Nothing is left where all was asked for; what is prepared comes in the same order.
        prepared = reduced_here(calls[:2], [1, 1], should_flush=lambda: True, prepare=lambda value: ("ready", value))
        assert prepared == [("ready", [0]), ("ready", [1])]
    with pytest.raises(ZeroDivisionError, match="division"):
        reduced_here([functools.partial(leaf, 1), lambda: 1 // 0, *calls], range(22))


def test_few_values_wait_here(no_client):
    alive, most = 0, 0

    class Value:
        def __init__(self):
            nonlocal alive, most
            alive += 1
            most = max(most, alive)

        def __del__(self):
            nonlocal alive
            alive -= 1

    with dask.config.set(num_workers=3):
        reduced_here([Value] * 200, [1] * 200, lambda parts: parts[0])
    assert most <= 3 + 1 + 3


@pytest.mark.parametrize("where", ["threads", "sync", "client"])
def test_parts_that_are_asked_for_are_in_no_other(request, where, tmp_path):
    parts, prepared = [], []

    def prepare(value):
        prepared.append(threading.current_thread())
        return value

    def deliver(value):
        parts.append(value)
        (tmp_path / str(len(parts))).touch()

    def after_parts(i):
        # Leaves 13 and 26 wait for the first part and the second. They wait in threads of their own, since merges need
        # those of the workers.
        if i in (13, 26):
            secede()
            wait_for(tmp_path / str(i // 13))
        return [i]

    with contextlib.ExitStack() as stack:
        if where == "client":
            request.getfixturevalue(where)
        else:
            stack.enter_context(dask.config.set(scheduler=where))
        # Local schedulers deliver the part of a leaf before they take the next one.
        graph, sizes = leaves(40, after_parts if where == "client" else lambda i: [i])
        receiver = Receiver(deliver, prepare=prepare, should_flush=lambda: True)
        reduce_graph(graph, [sizes], concatenate, receiver, client=current_client(), split_every=4)
    assert len(parts) > 2
    assert sorted(itertools.chain.from_iterable(parts)) == list(range(40))
    assert threading.current_thread() not in prepared


def test_a_part_may_be_there_only_after_all_else(client, tmp_path):
    """The last leaf ends while the sum of the others is made, and what is left needs no long merge."""
    parts, done, asked = [], [], tmp_path / "asked"

    def last_when_asked(i):
        if i == 4:
            wait_for(asked)
        return [i]

    def slowly(values):
        time.sleep(len(values) > 2)
        return concatenate(values)

    def should_flush():
        # One leaf more may wait on the worker that is busy with the last one.
        if flush := len(done) >= 3:
            asked.touch()
        return flush

    graph, sizes = leaves(5, last_when_asked)
    receiver = Receiver(parts.append, on_leaf_done=done.append, should_flush=should_flush)
    reduce_graph(graph, [sizes], slowly, receiver, client=client)
    assert len(parts) > 1
    assert sorted(itertools.chain.from_iterable(parts)) == list(range(5))


def test_what_is_done_when_a_leaf_fails_is_a_part_where_parts_are_asked_for(client, tmp_path):
    for should_flush in (None, lambda: False):
        parts, done = [], []
        many_done = tmp_path / f"many done {should_flush}"

        def fail(i, many_done=many_done):
            if i == 30:
                wait_for(many_done)
                raise LookupError("row 30")
            return [i]

        def on_leaf_done(size, done=done, many_done=many_done):
            done.append(size)
            if len(done) == 20:
                many_done.touch()

        receiver = Receiver(parts.append, on_leaf_done=on_leaf_done, should_flush=should_flush)
        # Names of their own: a failed task of an earlier try must not answer for this one.
        graph = {(f"leaf-{should_flush}", i): (fail, i) for i in range(31)}
        sizes = dict.fromkeys(graph, 1)
        graph = HighLevelGraph.from_collections("leaf", graph)
        with pytest.raises(LookupError, match="row 30"):
            reduce_graph(graph, [sizes], concatenate, receiver, client=client, split_every=4)
        assert len(parts) == (should_flush is not None)
        found = list(itertools.chain.from_iterable(parts))
        assert len(set(found)) == len(found)
        assert 30 not in found
