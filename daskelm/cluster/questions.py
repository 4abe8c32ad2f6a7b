"""Questions to the workers of a cluster, each with an end: a worker that does not answer is named."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from ..exceptions import ClusterError, ClusterWarning, MissingOnWorkerError
from .client import worker_facts
from .errors import cluster_errors

__all__ = ["Answers", "ask_scheduler", "ask_workers", "check_answering", "missing_on"]

# Seconds in which a worker and the scheduler must answer a question that is no work. A worker is busy for seconds while
# a task holds the interpreter's lock; Dask itself gives up a connection after 30.
_ANSWER_SECONDS = 20.0
# Seconds for the same question to each worker alone, when some worker has not answered.
_AGAIN_SECONDS = 5.0
# Seconds in which a worker that has answered must do some work, such as reading sizes of many files.
_WORK_SECONDS = 300.0


@dataclass(frozen=True)
class Answers:
    """Answers of the workers to a question.

    Parameters
    ----------
    values : dict of str to object
        Result of the function on each worker, or the error that it raised there.
    broken : dict of str to Exception
        Errors of workers that cannot import daskelm.
    silent : list of str
        Workers that do not answer.
    """

    values: dict[str, Any]
    broken: dict[str, Exception]
    silent: list[str]

    def check(self) -> None:
        """Warn of workers that do not answer; refuse work where no other is left, or where some lack daskelm.

        Raises
        ------
        ClusterError
            No worker answers.
        MissingOnWorkerError
            A worker cannot import daskelm.

        Warns
        -----
        ClusterWarning
            Some workers do not answer.
        """
        for worker, error in self.broken.items():
            raise missing_on(f"Worker {worker}", error)
        for value in self.values.values():
            if isinstance(value, Exception):
                raise value
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


def missing_on(name: str, error: Exception) -> MissingOnWorkerError:
    """The error for a process that cannot import daskelm, with its own as the cause."""
    # Dask gives the error of a function that cannot be unpickled as the text of another one.
    cause = str(error) if type(error) is Exception else f"{type(error).__name__}: {error}"
    found = MissingOnWorkerError(
        f"{name} must be able to run daskelm {version('daskelm')}; got {cause}. Install it there, in the environment "
        "that the process runs in, and restart the process."
    )
    found.__cause__ = error
    return found


def check_answering(client) -> None:
    """Check that the scheduler and all workers answer and have daskelm, before work is sent; see `Answers.check`."""
    try:
        ask_scheduler(client, _present)
    except (ImportError, AttributeError) as error:
        raise missing_on("The scheduler", error) from error
    ask_workers(client, _present).check()


def _present() -> bool:
    """Whether daskelm is installed where this runs."""
    return True


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
    # Dask's own questions to a scheduler that does not answer have no end.
    ask_scheduler(client, int)
    with cluster_errors(client):
        workers = list(worker_facts(client))
        # A question that is no work finds those that do not answer.
        values = _collect(client, workers, _present, (), _ANSWER_SECONDS)
        broken = {worker: value for worker, value in values.items() if isinstance(value, Exception)}
        here = [worker for worker in values if worker not in broken]
        if function is not _present:
            values = _collect(client, here, function, arguments, _WORK_SECONDS)
        values = {worker: values[worker] for worker in here if worker in values}
        silent = [worker for worker in workers if worker not in values and worker not in broken]
        if silent:
            # A worker that has ended meanwhile is not there any more.
            left = worker_facts(client)
            silent = [worker for worker in silent if worker in left]
    return Answers(values, broken, silent)


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

    answers = client.sync(ask_all) if workers else {}
    # An error of the system is one of the connection.
    return {worker: value for worker, value in answers.items() if not isinstance(value, OSError)}


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
                f"{client.scheduler.address}. It may have ended, its process may be stopped, or the network be cut."
            ) from error
