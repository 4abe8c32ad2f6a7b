"""Errors of a cluster that loses workers, its scheduler, or the connection to it, in the middle of the work."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import dask

from ..exceptions import ClusterError, DaskelmError

__all__ = ["cluster_errors", "compute"]

_AGAIN = (
    "What was committed to a sums file (checkpoint=, into=) is kept, and the same call goes on from there; without one "
    "it begins anew."
)


@contextlib.contextmanager
def cluster_errors(client=None, reads: Callable[[Any], str | None] | None = None) -> Iterator[None]:
    """Context in which Dask's errors about what it lost become one of this library, with Dask's own as its cause.

    Parameters
    ----------
    client : distributed.Client, optional
        Where the work is done. If it has lost its scheduler, errors of the operating system are reported as that, too.
    reads : callable, optional
        Gives the files that the task with a key reads, in words, or None for a task that reads none: workers may die
        of a damaged file.

    Raises
    ------
    ClusterError
        Workers died, there are none, or the scheduler is gone.
    """
    try:
        yield
    except DaskelmError:
        raise
    except Exception as error:
        text = _lost(error, client, reads)
        if text is None:
            raise
        raise ClusterError(text if text is _ASYNCHRONOUS else f"{text} {_AGAIN}") from error


_ASYNCHRONOUS = (
    "The client must be synchronous where the work is waited for; got an asynchronous Client. Call from a thread, such "
    "as await asyncio.to_thread(model.fit, X, y), or make a Client without asynchronous=True."
)


def _lost(error, client, reads) -> str | None:
    if "distributed" not in sys.modules:
        return None
    if isinstance(error, ValueError) and str(error).startswith("Missing dependency"):
        return (
            "Persisted data must be on the cluster that is used; got chunks that no client or another one holds. "
            "Persist them again with the client that is current now, or give data that is not persisted."
        )
    if isinstance(error, RuntimeError) and "asynchronous Client in a synchronous context" in str(error):
        return _ASYNCHRONOUS
    from concurrent.futures import CancelledError

    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker, NoValidWorkerError, NoWorkerError

    if isinstance(error, KilledWorker):
        files = None if reads is None else reads(error.task)
        damaged = f" It read {files}: HDF5 may die of a damaged file, so check it, or copy it again." if files else ""
        return (
            f"Task {error.task!r} must not end the workers that it runs on; {error.allowed_failures + 1} died, the "
            f"last at {error.last_worker.address}. Their logs tell why: mostly they took more memory than they may. "
            "Use workers with more memory, fewer threads per worker, smaller chunks of dask arrays, or fewer neurons."
            f"{damaged}"
        )
    if isinstance(error, NoWorkerError | NoValidWorkerError):
        return (
            f"The cluster must have workers; for {error.timeout:.0f} s it had none that could run {error.task!r}. Look "
            "into the logs of those that ended, and start some."
        )
    gone = client is not None and client.status != "running"
    if isinstance(error, CancelledError | CommClosedError) or (gone and isinstance(error, OSError)):
        # Dask's own text lists the keys of all tasks.
        return (
            f"The scheduler must run, and keep its tasks, until the work is done; got {type(error).__name__}: it ended "
            "or was restarted, the network between failed, or somebody cancelled the tasks. Connect a new Client if "
            "this one does not connect again by itself."
        )
    return None


def compute(*collections) -> tuple:
    """Results of `dask.compute`, where a cluster's losses are errors of this library."""
    with cluster_errors():
        return dask.compute(*collections)
