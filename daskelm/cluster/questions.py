"""Questions to the workers of a cluster, each with an end: a worker that does not answer is named."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..exceptions import ClusterError, ClusterWarning
from .errors import cluster_errors

__all__ = ["Answers", "answering", "ask_scheduler", "ask_workers"]

# Seconds in which a worker and the scheduler must answer a question that is no work. A worker is busy for seconds while
# a task holds the interpreter's lock; Dask itself gives up a connection after 30.
_ANSWER_SECONDS = 20.0
# Seconds for the same question to each worker alone, when some worker has not answered.
_AGAIN_SECONDS = 5.0
# Seconds in which a worker that has answered must do some work, such as reading sizes of many files.
_WORK_SECONDS = 300.0


@dataclass(frozen=True)
class Answers:
    """Result of a function on each worker, or the error that it raised there, and the workers that do not answer."""

    values: dict[str, Any]
    silent: list[str]

    def check(self) -> None:
        """Warn of workers that do not answer, and refuse work where no other is left.

        Raises
        ------
        ClusterError
            No worker answers.

        Warns
        -----
        ClusterWarning
            Some workers do not answer.
        """
        if not self.silent:
            return
        if not self.values:
            raise ClusterError(f"The cluster must have a worker that answers; {_no_answer(self.silent)}")
        warnings.warn(
            f"Workers must answer; {_no_answer(self.silent)} The work goes on, but what Dask gives to them waits until "
            "they answer or Dask removes them, after distributed.scheduler.worker-ttl (5 minutes if it is not set).",
            ClusterWarning,
            stacklevel=2,
        )


def _no_answer(silent):
    names = ", ".join(silent[:3]) + (f" and {len(silent) - 3} more" if silent[3:] else "")
    return (
        f"got no answer within {_ANSWER_SECONDS:.0f} s from {names}. A process may be stopped, or the network to it "
        "cut; end such workers, or start them again."
    )


def answering(client) -> None:
    """Warn of workers that do not answer; see `Answers.check`."""
    ask_workers(client, int).check()


def ask_workers(client, function: Callable, *arguments) -> Answers:
    """The results of a function, which is run on each worker of a client, beside its tasks.

    Parameters
    ----------
    client : distributed.Client
        Client of the cluster.
    function : callable
        Picklable; its argument `dask_worker`, if it has one, is the worker.
    *arguments
        Its arguments.

    Raises
    ------
    ClusterError
        The scheduler is gone, or does not answer.
    """
    with cluster_errors(client):
        workers = list(client.scheduler_info(n_workers=-1)["workers"])
        # A question that is no work finds those that do not answer.
        present = _collect(client, workers, int, (), _ANSWER_SECONDS)
        here = [worker for worker, value in present.items() if not isinstance(value, Exception)]
        if not here and workers:
            ask_scheduler(client, int)
        values = present if function is int else _collect(client, here, function, arguments, _WORK_SECONDS)
    values = {worker: values[worker] for worker in here if worker in values}
    return Answers(values, [worker for worker in workers if worker not in values])


def _collect(client, workers: Sequence[str], function, arguments, seconds: float) -> dict[str, Any]:
    """Results or errors of the workers that answer in time."""

    async def ask(some: Iterable[str]):
        return await client.run(function, *arguments, workers=list(some), on_error="return")

    async def ask_all():
        try:
            # The scheduler answers when all workers have, so that one message is enough if none is silent.
            return await asyncio.wait_for(ask(workers), seconds)
        except TimeoutError:
            tasks = [asyncio.ensure_future(ask([worker])) for worker in workers]
            done, pending = await asyncio.wait(tasks, timeout=min(_AGAIN_SECONDS, seconds))
            for task in pending:
                task.cancel()
            return {worker: value for task in done if not task.exception() for worker, value in task.result().items()}

    return client.sync(ask_all) if workers else {}


def ask_scheduler(client, function: Callable, *arguments) -> Any:
    """The result of a function on the scheduler.

    Raises
    ------
    ClusterError
        The scheduler is gone, or does not answer.
    """

    async def ask():
        return await asyncio.wait_for(client.run_on_scheduler(function, *arguments), _ANSWER_SECONDS)

    with cluster_errors(client):
        try:
            return client.sync(ask)
        except TimeoutError as error:
            raise ClusterError(
                f"The scheduler must answer; got no answer within {_ANSWER_SECONDS:.0f} s from "
                f"{client.scheduler.address}. Its process may be stopped, or the network to it cut."
            ) from error
