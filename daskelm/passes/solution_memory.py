"""The memory that this process needs to hold the sums of a pass and to solve them, checked before the pass."""

from __future__ import annotations

import psutil

from ..cluster.client import this_process
from ..data.source import source_of
from ..ridge.eigen import GCV_GRID
from ..ridge.penalty import ALL_CANDIDATES
from ..ridge.solve import is_auto
from ..sums.folds import ALL_AT_ONCE
from .memory import BASE_BYTES, Need, PassSizes, block_rows, rows_per_task
from .tasks import Job

__all__ = ["check_can_solve", "solution_bytes", "solution_need", "uncertainty_need", "with_solution_that_fits"]

# The allocator of Linux gives back what tasks have freed, but for the heap of the last block of each thread: 32 MiB of
# H and X, and small arrays.
_HEAP_BYTES = 40 * 2**20
_REMEDY = "fewer neurons, a number as alpha, or a machine with more memory for the process that calls fit or solve."


def solution_bytes(n_neurons: int, n_targets: int, alpha, n_folds: int) -> int:
    """Most bytes that the solution takes beside the sums.

    HH is unpacked from a moved copy of its triangle, and then factorised in its place. Where Cholesky is not safe, the
    eigenvectors take a copy. They need two more squares of work where they serve every penalty. For the penalty by
    folds, HH of the rows in one fold and of the others are made beside the total.
    """
    L, c = n_neurons, n_targets
    square, columns = 8 * L**2, 6 * 8 * L * c
    if not isinstance(alpha, str):
        return 2 * square + columns
    if not is_auto(alpha) or n_folds < 2:
        return 3 * square + columns
    few = min(L, ALL_CANDIDATES)
    # Weights of all candidates, three times, and moments of these neurons, train and test of each fold.
    candidates = 3 * 8 * few * len(GCV_GRID) * c + (2 * n_folds + 3) * 8 * few**2
    # With few rows, every combination of folds is held out, with squares of each.
    at_once = (2**n_folds if L <= ALL_CANDIDATES else 2 * n_folds) * square if L <= ALL_AT_ONCE else 0
    return max(7 * square // 2, at_once + 2 * square) + columns + candidates


def solution_need(sizes: PassSizes, alpha, n_folds: int, process: int = BASE_BYTES) -> Need:
    """Projected memory of the process that receives the sums of a pass and solves them.

    Parameters
    ----------
    sizes : PassSizes
        Sizes of the pass; `n_tasks` are those that run in this process, 0 with a cluster.
    alpha : float, ndarray or str
        The penalty, or how it is chosen.
    n_folds : int
        Folds of the sums; 1 for none.
    process : int
        Bytes of the process before.
    """
    sums = (n_folds + (n_folds > 1)) * sizes.partial
    parts = {
        "process": process,
        "sums": sums,
        # With a cluster, the message that the sums arrive in; else what threads keep.
        "received": sizes.n_tasks * min(sizes.per_task, _HEAP_BYTES) if sizes.n_tasks else sums,
        "solution": solution_bytes(sizes.n_neurons, sizes.n_targets, alpha, n_folds),
    }
    how = f"alpha={alpha!r}" if isinstance(alpha, str) else "a given penalty"
    return Need(f"to solve {sizes.n_neurons} neurons with {how}", parts, _REMEDY)


def with_solution_that_fits(job: Job, alpha) -> Job:
    """The job of a fit, without folds where the solution by these does not fit into this process.

    Raises
    ------
    InsufficientMemoryError
        The sums and their solution do not fit; nothing was read yet.
    """
    source = source_of(job.X)
    L, d = job.layer.n_neurons, source.row_width
    here, n_tasks = this_process(source.in_process), 0
    if source.client() is None:
        size = rows_per_task(source.n_rows, L, d, here.n_threads)
        n_tasks = min(here.n_threads, -(-source.n_rows // size))
    sizes = PassSizes(L, d, job.targets.n_targets, block_rows(L, d), n_tasks, 0)
    process = max(BASE_BYTES, psutil.Process().memory_info().rss)
    if job.n_folds > 1 and solution_need(sizes, alpha, job.n_folds, process).total > (here.memory or float("inf")):
        job = job._replace(n_folds=1)
    solution_need(sizes, alpha, job.n_folds, process).check(here.memory, here.name)
    return job


def check_can_solve(n_neurons: int, n_targets: int, alpha, n_folds: int) -> None:
    """Refuse to solve sums, which are in memory already, where that does not fit into this process."""
    here = this_process(in_process=True)
    parts = {
        "process": psutil.Process().memory_info().rss,
        "solution": solution_bytes(n_neurons, n_targets, alpha, n_folds),
    }
    Need(f"to solve {n_neurons} neurons", parts, _REMEDY).check(here.memory, here.name)


def uncertainty_need(n_neurons: int) -> Need:
    """Memory of this process for the matrix of standard deviations: HH from a moved copy of its triangle."""
    parts = {"process": psutil.Process().memory_info().rss, "deviations": 12 * n_neurons**2}
    return Need(f"for standard deviations with {n_neurons} neurons", parts, "fewer neurons, or more memory.")
