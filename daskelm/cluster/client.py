"""Where Dask works here: with the current client, or with a local scheduler, in as many threads as it says."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

import dask
import dask.threaded
from dask.base import get_scheduler, named_schedulers
from dask.utils import parse_bytes

from .errors import telling_loss

__all__ = ["current_client", "in_task", "local_get", "n_local_threads", "runs_here", "sharing", "sharing_leaves"]

_LARGE_GRAPH = "distributed.admin.large-graph-warning-threshold"
# Of each leaf, Dask need not warn of this much: 100,000 of them, with 600 bytes to describe the rows, are no mistake.
_LEAF_BYTES = 1024


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
    return owner if hasattr(owner, "scheduler_info") else None


def local_get(in_process: bool = False):
    """The `get` of Dask's local scheduler here; `in_process` as for `reduce_here`."""
    if in_task():
        return dask.get
    if in_process:
        # A client plays no part, so that one which cannot be used here, an asynchronous one, is not asked for.
        chosen = dask.config.get("scheduler", None)
        chosen = named_schedulers.get(chosen.lower()) if isinstance(chosen, str) else chosen
        return dask.get if chosen is dask.get else dask.threaded.get
    return _scheduler() or dask.threaded.get


def _scheduler():
    with telling_loss():
        return get_scheduler()


def n_local_threads(in_process: bool = False) -> int:
    """How many tasks the local scheduler runs at once; `in_process` as for `tree_reduce`."""
    if local_get(in_process) is not dask.threaded.get:
        return 1
    from dask.system import CPU_COUNT

    return dask.config.get("num_workers", None) or CPU_COUNT


# Bytes that each context of `sharing` in progress allows, in any thread, and the user's own threshold meanwhile.
_allowed: dict[object, int] = {}
_own_threshold: Any = None
_allowing = threading.Lock()


@contextlib.contextmanager
def sharing(n_bytes: int) -> Iterator[None]:
    """Context in which Dask does not warn of these bytes, which a graph holds once for all its tasks.

    The configuration is as it was afterwards, also when several threads were in such contexts at once.
    """
    if "distributed" not in sys.modules:
        # Nobody warns without a client. A key of distributed's that is set before it brings its defaults would, when
        # it is taken back, take all of them with it, and no client could be made any more.
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


def sharing_leaves(shared_bytes: int, n_leaves: int):
    """The same for a graph of many leaves that share these bytes."""
    return sharing(shared_bytes + _LEAF_BYTES * n_leaves)


def runs_here(in_process: bool = False) -> bool:
    """Whether Dask's local scheduler is one of this process: threads, or none."""
    return local_get(in_process) in (dask.threaded.get, dask.get)
