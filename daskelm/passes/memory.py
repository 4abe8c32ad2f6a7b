"""How many rows a block and a task take, and how much memory a worker will need, before the work starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..exceptions import InsufficientMemoryError

__all__ = ["BASE_BYTES", "Need", "PassSizes", "block_rows", "is_joined", "rows_per_task", "split_every"]

# A block of H and X has twice the bytes of HH, between these: enough to keep the matrix product at full speed (500 rows
# and more up to 8,000 neurons), small beside HH where that is large, and small where a task is soon done: memory that
# is touched first costs 0.7 us per page, at 200 neurons 8 % of the time with 32 MiB and 1 % with 8 MiB.
_LEAST_BLOCK_BYTES, _MOST_BLOCK_BYTES = 8 * 2**20, 32 * 2**20
# Input of one task from which on the refusal names it.
_LARGE_INPUT_BYTES = 64 * 2**20
# Partial sums from this size on are merged by two.
_LARGE_BYTES = 8 * 2**20
# A process holds this before any work where it has loaded everything: the interpreter, NumPy, SciPy, scikit-learn,
# pandas, Dask and its buffers. Workers that a script starts import the script, with all that it imports; others need
# 100 MiB less.
BASE_BYTES = 250 * 2**20


def block_rows(n_neurons: int, n_features: int) -> int:
    """Rows of one block of H and X."""
    size = min(max(16 * n_neurons**2, _LEAST_BLOCK_BYTES), _MOST_BLOCK_BYTES)
    return int(min(max(size // (8 * (n_neurons + n_features)), 128), 16384))


def rows_per_task(n_samples: int, n_neurons: int, n_features: int, n_threads: int) -> int:
    """Rows of one gram task: several tasks per thread, for balance and cheap retry.

    At least 4 L rows, so that computing (L^2 per row) outweighs moving and merging L^2 / 2 numbers; at most 10^12
    flops or 2 GiB of input, some tens of seconds.
    """
    fair = n_samples // (4 * max(n_threads, 1)) + 1
    most = min(10**12 // n_neurons**2, 2**31 // (8 * n_features)) + 1
    return max(min(fair, most), 4 * n_neurons, block_rows(n_neurons, n_features))


def split_every(n_neurons: int) -> int:
    """Partial sums that one merge takes: few where they are large, so that few of them wait."""
    return 8 if 4 * n_neurons**2 < _LARGE_BYTES else 2


@dataclass(frozen=True)
class Need:
    """Projected memory of one process.

    Parameters
    ----------
    work : str
        What it is for, in the message.
    parts : mapping of str to int
        Bytes of each part, by what it is.
    remedy : str or callable
        What to do where it does not fit; a callable is given the bytes that there are.
    """

    work: str
    parts: Mapping[str, int]
    remedy: str | Callable[[int], str]

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self.parts.values())

    def check(self, available: int, where: str) -> None:
        """Refuse work that cannot fit.

        Parameters
        ----------
        available : int
            Bytes that the process may use; 0 when there is no limit.
        where : str
            Which process, for the message.

        Raises
        ------
        InsufficientMemoryError
            The projection is larger than what is available; the message holds both numbers and the remedy.
        """
        if available and self.total > available:
            remedy = self.remedy if isinstance(self.remedy, str) else self.remedy(available)
            raise InsufficientMemoryError(
                f"{where} needs about {self.total / 2**30:.2f} GiB {self.work}, and has {available / 2**30:.2f} GiB. "
                f"Use {remedy}"
            )


@dataclass(frozen=True)
class PassSizes:
    """Sizes of what one process holds while it runs `n_tasks` gram tasks at once.

    Parameters
    ----------
    n_neurons, n_features, n_targets : int
        Sizes L, d, c.
    block : int
        Rows of one block.
    n_tasks : int
        Gram tasks at once in the process.
    waiting : int
        Packed partial sums that may wait there to be merged.
    input_bytes : int
        Bytes that a task holds besides its blocks: chunks of dask arrays, unpacked chunks of files.
    """

    n_neurons: int
    n_features: int
    n_targets: int
    block: int
    n_tasks: int
    waiting: int
    input_bytes: int = 0

    @classmethod
    def of_pass(
        cls, n_neurons: int, n_features: int, n_targets: int, n_tasks: int, n_threads: int, input_bytes: int = 0
    ) -> PassSizes:
        """Of a process of so many threads, when a pass has `n_tasks` tasks in all."""
        at_once, every = min(n_threads, n_tasks), split_every(n_neurons)
        waiting = min(every + at_once - 1, n_tasks)
        return cls(n_neurons, n_features, n_targets, block_rows(n_neurons, n_features), at_once, waiting, input_bytes)

    @property
    def per_task(self) -> int:
        """Bytes of one Gram matrix of [H, 1, T], a block of these, one of X as read and scaled, and chunks of input."""
        L, d, c = self.n_neurons, self.n_features, self.n_targets
        joined = is_joined(L, c)
        width = L + 1 + (c if joined else 0)
        row = 8 * (width + 3 * d + 3 * c)
        # HT beside the matrix: the total, the sum of a run, and what a block adds to it.
        return int(8 * width * (width + 1) + 8 * L * c * (1 if joined else 3) + self.block * row + self.input_bytes)

    @property
    def partial(self) -> int:
        """Bytes of one packed partial sum."""
        return 4 * self.n_neurons * (self.n_neurons + 1) + 8 * self.n_neurons * (self.n_targets + 2)

    @property
    def need(self) -> Need:
        """Of plain gram tasks, which pack their sums where they lie."""
        remedy = (
            "fewer neurons, fewer threads per worker (each runs a task with a sum of its own; without a cluster "
            "DASK_NUM_WORKERS says how many), smaller chunks of dask arrays, or workers with more memory."
        )
        if self.input_bytes >= _LARGE_INPUT_BYTES:
            remedy += (
                f" Each task holds {self.input_bytes / 2**30:.2f} GiB of input: rechunk files whose packed chunks are "
                "that large, to_hdf5(from_hdf5(path), new_path) where there is more memory."
            )
        parts = {"process": BASE_BYTES, "tasks": self.n_tasks * self.per_task, "waiting": self.waiting * self.partial}
        return Need(f"for {self.n_neurons} neurons and {self.n_tasks} gram task(s) at once", parts, remedy)


def is_joined(n_neurons: int, n_targets: int) -> bool:
    """Whether T stands beside H in one matrix, whose Gram matrix holds HH, HT and TT at once.

    A product with few columns of T alone is bound by reading H once more; with many, T'T would be too much waste.
    """
    return n_targets <= max(8, n_neurons // 8)
