"""Where Dask works here: the current client or a local scheduler, its threads, and the memory of its processes."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import dask
import dask.threaded
from dask.base import get_scheduler, named_schedulers
from dask.utils import parse_bytes

from ..exceptions import ClusterError
from .errors import cluster_errors

__all__ = [
    "Process",
    "current_client",
    "in_task",
    "local_get",
    "n_local_threads",
    "n_threads_of",
    "runs_here",
    "sharing",
    "this_process",
    "worker_facts",
    "workers_of",
]

_LARGE_GRAPH = "distributed.admin.large-graph-warning-threshold"


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
    owner = getattr(_scheduler(), "__self__", None)
    if not hasattr(owner, "scheduler_info"):
        return None
    _check_own(owner)
    return owner


def _check_own(client):
    """Refuse a client that a fork copied without its thread: it would wait for ever."""
    thread = getattr(client.loop.asyncio_loop, "_thread_id", None)
    if thread is not None and thread not in {alive.ident for alive in threading.enumerate()}:
        raise ClusterError(
            f"A client must be used in the process that made it; got {client}, of a process that this one (number "
            f"{os.getpid()}) was forked from. Make a Client of its own here, or start the process by another method: "
            "multiprocessing.get_context('spawn')."
        )


def local_get(in_process: bool = False):
    """The `get` of Dask's local scheduler here; `in_process` as for `reduce_here`."""
    if in_task():
        return dask.get
    if in_process:
        # A client plays no part, so an asynchronous one, which cannot be used here, does not matter.
        chosen = dask.config.get("scheduler", None)
        chosen = named_schedulers.get(chosen.lower()) if isinstance(chosen, str) else chosen
        return dask.get if chosen is dask.get else dask.threaded.get
    return _scheduler() or dask.threaded.get


def _scheduler():
    with cluster_errors():
        return get_scheduler()


def n_local_threads(in_process: bool = False) -> int:
    """Number of tasks that the local scheduler runs at once; `in_process` as for `reduce_here`."""
    if local_get(in_process) is not dask.threaded.get:
        return 1
    from dask.system import CPU_COUNT

    return dask.config.get("num_workers", None) or CPU_COUNT


class Process(NamedTuple):
    """A process in which tasks run: its name in messages, tasks at once, and bytes that it may use (0 is no limit)."""

    name: str
    n_threads: int
    memory: int


def this_process(in_process: bool = False) -> Process:
    """The process that this code runs in; `in_process` as for `reduce_here`."""
    from distributed.system import MEMORY_LIMIT

    return Process("This process", n_local_threads(in_process), MEMORY_LIMIT)


def workers_of(client) -> list[Process]:
    """The workers of a distributed client."""
    workers = worker_facts(client).items()
    return [
        Process(f"Worker {address}", worker["nthreads"], worker.get("memory_limit") or 0) for address, worker in workers
    ]


def worker_facts(client) -> dict[str, dict]:
    """Facts that the scheduler has of each worker, by address.

    Raises
    ------
    ClusterError
        The scheduler is gone.
    """
    with cluster_errors(client):
        facts = client.scheduler_info(n_workers=-1)
        if "workers" not in facts:
            # A client that connects again knows nothing.
            raise ConnectionError(f"no connection to {client}")
        return facts["workers"]


def n_threads_of(client) -> int:
    """Number of tasks that the workers of a distributed client run at once."""
    with cluster_errors(client):
        return sum(client.nthreads().values())


# Bytes that each context of `sharing` in progress allows, in any thread, and the user's own threshold meanwhile.
_allowed: dict[object, int] = {}
_own_threshold: Any = None
_allowing = threading.Lock()


@contextlib.contextmanager
def sharing(n_bytes: int) -> Iterator[None]:
    """Context in which Dask does not warn of these bytes, which a graph holds once for all its tasks.

    The configuration is restored afterwards, also when several threads were in such contexts at once.
    """
    if "distributed" not in sys.modules:
        # Without a client there is no warning. Setting a key of distributed's before distributed has set its defaults
        # would remove all of these when the key is restored, and no client could be made any more.
        yield
        return
    context = object()
    _allow(context, n_bytes)
    try:
        yield
    finally:
        _allow(context, None)


def _allow(context, n_bytes):
    global _own_threshold
    with _allowing:
        if not _allowed:
            _own_threshold = dask.config.get(_LARGE_GRAPH)
        _allowed[context] = n_bytes
        if n_bytes is None:
            del _allowed[context]
        more = max(_allowed.values(), default=None)
        threshold = _own_threshold if more is None else parse_bytes(_own_threshold) + 2 * more
        dask.config.set({_LARGE_GRAPH: threshold})


def runs_here(in_process: bool = False) -> bool:
    """Whether Dask's local scheduler is one of this process: threads, or none."""
    return local_get(in_process) in (dask.threaded.get, dask.get)
