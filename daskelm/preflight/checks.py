"""Checks before a long job: each is a function of plain facts, and says what to do where it fails."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dask.utils import format_bytes

from ..cluster.client import n_local_threads, worker_facts
from ..cluster.questions import ask_scheduler, ask_workers, missing_on
from ..exceptions import FileFormatError, InsufficientMemoryError
from ..hdf5.file_rows import FileRows, some
from ..hdf5.header import sealed_format
from ..hdf5.paths import is_url
from ..passes.memory import PassSizes, block_rows, held_bytes, rows_per_task
from ..sums.content import n_folds
from .facts import facts_here, samples_of

__all__ = ["Finding", "Job", "check_job"]

_SHARE = "Put the data into a folder that all machines share, mounted at the same path."
_SETTINGS = "Give all workers the same packages, credentials and settings of fsspec."
# Bytes of a sums file besides the sums: its header, names and anchors; and of the ledger 32 bytes for each cell, which
# is 2 MiB of rows or more.
_BASE_BYTES, _CELL_BYTES, _BYTES_OF_CELL = 2**16, 2**21, 32


@dataclass(frozen=True)
class Finding:
    """Result of a check: `ok` is None if it was not made; `text` names the remedy if `ok` is False."""

    name: str
    ok: bool | None
    text: str


@dataclass(frozen=True)
class Job:
    """A job to check before it begins.

    Parameters
    ----------
    sources : sequence of FileRows
        Data that tasks will read, X first; empty if they are not known.
    n_neurons, n_targets : int
        Numbers of neurons and of targets; n_neurons is None if it is not known.
    into : str, optional
        Sums file that the job will write.
    lock : bool
        Whether the job locks this file.
    """

    sources: Sequence[FileRows]
    n_neurons: int | None
    n_targets: int = 1
    into: str | None = None
    lock: bool = True


@dataclass(frozen=True)
class _Worker:
    """A worker process, or this process where there is no cluster."""

    name: str
    n_threads: int
    memory: int
    facts: Mapping[str, Any]


def check_job(job: Job, client=None) -> list[Finding]:
    """Check everything that a job needs, before it begins.

    Parameters
    ----------
    job : Job
        The job.
    client : distributed.Client, optional
        Client of the cluster that will run the job; if not given, the threads of this process will.

    Returns
    -------
    list of Finding
        In the order of the checks; at least one for each.
    """
    parts = list(dict.fromkeys(part for source in job.sources for part, _, _ in source.ranges()))
    samples = samples_of(job.sources)
    here = facts_here(parts, samples)
    if client is None:
        from distributed.system import MEMORY_LIMIT

        # In this process, each gram task has one BLAS thread.
        workers = [_Worker("This process", n_local_threads(), MEMORY_LIMIT, here | {"blas_threads": 1})]
        others, broken, silent = {}, {}, []
    else:
        workers, broken, silent = _ask_workers(client, parts, samples)
        others = {worker.name: worker.facts for worker in workers}
    return [
        *_check_workers(workers, broken, silent),
        *_check_versions(here, *([others, broken] if client is None else _with_scheduler(client, others, broken))),
        *_check_data(job, here, others),
        *_check_memory(job, workers),
        *_check_threads(workers),
        *_check_disk(job),
    ]


def _ask_workers(client, parts, samples):
    """The workers with their facts; by name the errors of those that could not report any; those that are silent."""
    answers = ask_workers(client, facts_here, parts, samples)
    known = worker_facts(client)
    workers, broken = [], {f"Worker {address}": error for address, error in answers.broken.items()}
    for address, facts in answers.values.items():
        name, info = f"Worker {address}", known.get(address)
        if isinstance(facts, Exception):
            broken[name] = facts
        elif info is not None:
            workers.append(_Worker(name, info["nthreads"], info.get("memory_limit") or 0, facts))
    return workers, broken, answers.silent


def _with_scheduler(client, others, broken):
    """Facts and errors with those of the scheduler, which unpickles graphs and so needs the same packages."""
    try:
        return others | {"The scheduler": ask_scheduler(client, facts_here, [], [])}, broken
    except (ImportError, AttributeError, ValueError) as error:
        # Unpickling a function that is missing there, or is another one, raises one of these.
        return others, broken | {"The scheduler": error}


def _findings(name: str, failures: Iterable[str], passed: str) -> list[Finding]:
    return [Finding(name, False, text) for text in failures] or [Finding(name, True, passed)]


def _check_workers(workers, broken, silent):
    failures = [
        f"Worker {address} must answer; got no answer. Its process may be stopped, or the network to it cut; end it, "
        "or start it again."
        for address in silent
    ]
    if not workers and not broken and not silent:
        text = "a cluster must have workers; got none. Start some with dask worker ADDRESS, or wait until they connect."
        return [Finding("workers", False, text)]
    n_threads, hosts = sum(worker.n_threads for worker in workers), {worker.facts["host"] for worker in workers}
    passed = f"{len(workers)} with {n_threads} thread(s), on {len(hosts)} machine(s)."
    if broken:
        passed = f"{len(workers) + len(broken)}, of which {len(broken)} cannot run daskelm; the others: {passed}"
    return _findings("workers", failures, passed)


def _check_versions(here, others, broken):
    mine = here["versions"]
    failures = [str(missing_on(name, error)) for name, error in broken.items()]
    for package, version in mine.items():
        strange = defaultdict(list)
        for name, facts in others.items():
            if (got := facts["versions"].get(package)) != version:
                strange[got].append(name)
        failures += [
            f"{package} must be the same everywhere; got {version} here, and {got} on {some(names)}. Install the same "
            "versions there (pip install --constraint constraints.txt), and restart these processes."
            for got, names in strange.items()
        ]
    listed = ", ".join(f"{package} {version}" for package, version in mine.items() if " " not in package)
    return _findings("versions", failures, f"{listed}{', everywhere' if others else ''}.")


def _check_data(job, here, others):
    if not job.sources:
        return [Finding("data", None, "not checked: no X was given.")]
    samples = samples_of(job.sources)
    wrong = defaultdict(list)
    failures = []
    for source in job.sources:
        try:
            source.check_written()
        except FileFormatError as error:
            failures.append(str(error))
    for name, facts in {"this process": here, **others}.items():
        for problem in _data_problems(samples, here, facts):
            wrong[problem].append(name)
    failures += [f"{what} (on {some(names)}). {remedy}" for (what, remedy), names in wrong.items()]
    sizes = [size for size in here["sizes"].values() if not isinstance(size, str)]
    n, n_bytes = len(sizes), sum(sizes)
    read = f"read the same on {len(others)} worker(s)" if others else "can be read"
    passed = f"{n} file(s), {format_bytes(n_bytes)}; the rows sampled in {len(samples)} of them {read}."
    return _findings("data", failures, passed)


def _data_problems(samples, here, facts) -> Iterator[tuple[str, str]]:
    """(problem, remedy) for each difference between the data that a process sees and those seen here."""
    different = {path for path, size in here["sizes"].items() if size != facts["sizes"].get(path)}
    for path in sorted(different):
        right, got = _size(here["sizes"][path]), _size(facts["sizes"].get(path, "no file"))
        remedy = _SETTINGS if is_url(path) else _SHARE
        yield f"{path} must be visible on every worker with {right}; got {got}", remedy
    for rows, mine, found in zip(samples, here["samples"], facts["samples"], strict=True):
        (part,) = rows.parts
        if part.path in different:
            continue
        if "error" in found:
            yield f"{part.path} must be readable everywhere; got this error", found["error"]
        elif "digest" in mine and found != mine:
            yield f"{part.path} must hold the same numbers everywhere; got others in {part.dataset!r}", _SHARE


def _size(found):
    return found if isinstance(found, str) else f"{found:,} bytes"


def _check_memory(job, workers):
    if not workers or not job.sources or job.n_neurons is None:
        reason = "no X was given" if workers else "there is no worker to ask"
        return [Finding("memory", None, f"not checked: {reason}.")]
    X, L, failures = job.sources[0], job.n_neurons, []
    # The rows are divided into tasks, and the memory of these is projected, as `fit` does it.
    size = rows_per_task(X.n_rows, L, X.n_columns, sum(worker.n_threads for worker in workers))
    n_tasks = len(X.runs_of_blocks(block_rows(L, X.row_width), size))
    alike = defaultdict(list)
    for worker in workers:
        sizes = PassSizes.of_pass(L, X.n_columns, job.n_targets, n_tasks, worker.n_threads, held_bytes(*job.sources))
        alike[sizes, worker.memory].append(worker.name)
    for (sizes, memory), names in alike.items():
        try:
            sizes.need.check(memory, names[0] + (f" (and {len(names) - 1} more like it)" if names[1:] else ""))
        except InsufficientMemoryError as error:
            failures.append(str(error))
    most = max(sizes.need.total for sizes, _ in alike)
    least = min((worker.memory for worker in workers if worker.memory), default=0)
    limit = f"the smallest memory limit is {format_bytes(least)}" if least else "no memory limit is set"
    passed = f"each process needs about {format_bytes(most)} for {L} neurons; {limit}."
    return _findings("memory", failures, passed)


def _check_threads(workers):
    if not workers:
        return [Finding("threads", None, "not checked: there is no worker to ask.")]
    hosts = defaultdict(list)
    for worker in workers:
        hosts[worker.facts["host"]].append(worker)
    failures = []
    for host, mine in hosts.items():
        cores = max(worker.facts["cores"] for worker in mine)
        n_tasks = sum(worker.n_threads for worker in mine)
        n_threads = sum(worker.n_threads * worker.facts["blas_threads"] for worker in mine)
        if n_tasks > cores:
            failures.append(
                f"{host} must have a core for each thread of its workers; got {n_tasks} threads for {cores} core(s). "
                "Start fewer workers there, or give each fewer ones (--nthreads; DASK_NUM_WORKERS without a cluster)."
            )
        elif n_threads > cores:
            failures.append(
                f"{host} must have a core for each thread of BLAS, and each gram task starts its own threads; got "
                f"{n_threads} for {cores} core(s), {n_tasks} task(s) at once. Set OMP_NUM_THREADS=1, "
                "OPENBLAS_NUM_THREADS=1 and MKL_NUM_THREADS=1 where workers start; a nanny does that by itself."
            )
    return _findings("threads", failures, "no machine has more threads, of tasks and of BLAS, than cores.")


def _check_disk(job):
    if job.into is None:
        return [Finding("disk", None, "not checked: no sums file was given.")]
    if is_url(job.into):
        text = f"a sums file must be at a path, since it is locked; got the URL {job.into}. Give a path."
        return [Finding("disk", False, text)]
    path = os.path.realpath(job.into)
    folder, free, need = os.path.dirname(path), 0, 0
    if job.sources and job.n_neurons is not None:
        X = job.sources[0]
        row_bytes = 8 * sum(source.n_columns for source in job.sources)
        sums = PassSizes(job.n_neurons, X.n_columns, job.n_targets, 0, 0, 0).partial
        if (folds := n_folds(job.n_neurons)) > 1:
            # With the default penalty, a file has the sums of each fold beside the total.
            sums *= folds + 1
        need = _sums_file_bytes(sums, X.n_rows * row_bytes)
    failures = list(_check_writable(path, job.lock))
    if not failures:
        # The new file is written beside the old one, which is removed only afterwards.
        free = shutil.disk_usage(folder).free
        if free < need:
            failures.append(
                f"{folder} must have room for a sums file of {format_bytes(need)}; got {format_bytes(free)}. Make room "
                "there, choose another folder, or use fewer neurons."
            )
    size = f"the sums need {format_bytes(need)}" if need else "the size of the sums is not known without X"
    return _findings("disk", failures, f"{folder} has {format_bytes(free)} free; {size}.")


def _sums_file_bytes(sums_bytes: int, data_bytes: int) -> int:
    """Largest size in bytes of a file with sums of `sums_bytes`, over the rows of one source of `data_bytes`."""
    return sums_bytes + _BASE_BYTES + data_bytes // _CELL_BYTES * _BYTES_OF_CELL


def _check_writable(path: str, lock: bool) -> Iterator[str]:
    """Reasons why a sums file cannot be written at this path, with remedies; the check leaves no file behind."""
    import portalocker

    folder = os.path.dirname(path)
    if os.path.exists(path) and not _holds_sums(path):
        yield f"{path} must be a sums file, or not exist yet; got something else. Give another name."
        return
    try:
        with tempfile.NamedTemporaryFile(prefix=f".{os.path.basename(path)}~check~", dir=folder) as file:
            if lock:
                portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE)
    except portalocker.exceptions.LockException as error:
        yield (
            f"{folder} must have file locks, so that several processes can add to one sums file; got none ({error}). "
            "Give each process a sums file of its own, with --no-lock, and name all of these in solve or merge."
        )
    except OSError as error:
        yield (
            f"{folder} must be a folder that can be written to; got: {error.strerror}. Create it, get permission "
            "there, or choose another one."
        )


def _holds_sums(path):
    try:
        return sealed_format(path) == "sums"
    except FileFormatError:
        return False
