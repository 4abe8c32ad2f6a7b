"""Rows of a block and of a task, and the memory that a process will need, which is checked before the work starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ..cluster.client import this_process, workers_of
from ..data.source import Source, files_of
from ..exceptions import InsufficientMemoryError

__all__ = [
    "BASE_BYTES",
    "Need",
    "PassSizes",
    "block_rows",
    "check_memory",
    "check_weights_fit",
    "held_bytes",
    "is_joined",
    "rows_per_task",
    "split_every",
]

# A block of H and X has twice the bytes of HH, between these bounds: enough for the full speed of the matrix product
# (500 rows and more up to 8,000 neurons), small beside a large HH, and small in short tasks: the first touch of memory
# costs 0.7 us per page, which is 8 % of the time of 200 neurons with 32 MiB, and 1 % with 8 MiB.
_LEAST_BLOCK_BYTES, _MOST_BLOCK_BYTES = 8 * 2**20, 32 * 2**20
# Bytes of one task's input that the error names.
_LARGE_INPUT_BYTES = 64 * 2**20
# Weights of fewer bytes are small beside a process.
_LARGE_WEIGHTS = 16 * 2**20
# Partial sums of this size and more are merged two at a time.
_LARGE_BYTES = 8 * 2**20
# Memory of a process before any work, with all modules loaded: the interpreter, NumPy, SciPy, scikit-learn, pandas,
# Dask and its buffers. Workers that a script starts import the script, with all that it imports; others need 100 MiB
# less.
BASE_BYTES = 250 * 2**20


def block_rows(n_neurons: int, n_features: int) -> int:
    """Rows of one block of H and X."""
    size = min(max(16 * n_neurons**2, _LEAST_BLOCK_BYTES), _MOST_BLOCK_BYTES)
    return int(min(max(size // (8 * (n_neurons + n_features)), 128), 16384))


def rows_per_task(n_samples: int, n_neurons: int, n_features: int, n_threads: int) -> int:
    """Rows of one gram task: several tasks per thread, for balance and cheap retry.

    A task has at least 4 L rows, so that computing (L^2 per row) outweighs moving and merging L^2 / 2 numbers, and at
    most 10^12 flops or 2 GiB of input, some tens of seconds.
    """
    fair = n_samples // (4 * max(n_threads, 1)) + 1
    most = min(10**12 // n_neurons**2, 2**31 // (8 * n_features)) + 1
    return max(min(fair, most), 4 * n_neurons, block_rows(n_neurons, n_features))


def split_every(n_neurons: int) -> int:
    """Number of partial sums that one merge takes: few where they are large, so that few of them wait."""
    return 8 if 4 * n_neurons**2 < _LARGE_BYTES else 2


@dataclass(frozen=True)
class Need:
    """Projected memory of one process.

    Parameters
    ----------
    work : str
        Purpose, for the message.
    parts : mapping of str to int
        Bytes of each part, by name.
    remedy : str or callable
        What to do where it does not fit; a callable is called with the bytes available.
    """

    work: str
    parts: Mapping[str, int]
    remedy: str | Callable[[int], str]

    @property
    def total(self) -> int:
        """Bytes of all parts."""
        return sum(self.parts.values())

    def check(self, available: int, where: str) -> None:
        """Refuse work that cannot fit.

        Parameters
        ----------
        available : int
            Bytes that the process may use; 0 when there is no limit.
        where : str
            Name of the process, for the message.

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
    """Sizes of everything that one process holds while it runs `n_tasks` gram tasks at once.

    Parameters
    ----------
    n_neurons, n_features, n_targets : int
        Sizes L, d, c; d are the numbers of 8 bytes that a row of X takes, where it is sparse.
    block : int
        Rows of one block.
    n_tasks : int
        Gram tasks at once in the process.
    waiting : int
        Packed partial sums that may wait in the process to be merged.
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
        """Sizes for a process of this many threads, when a pass has `n_tasks` tasks in all."""
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
        # HT beside the matrix is held three times: the total, the sum of a run, and the product of a block.
        return int(8 * width * (width + 1) + 8 * L * c * (1 if joined else 3) + self.block * row + self.input_bytes)

    @property
    def partial(self) -> int:
        """Bytes of one packed partial sum."""
        return 4 * self.n_neurons * (self.n_neurons + 1) + 8 * self.n_neurons * (self.n_targets + 2)

    @property
    def need(self) -> Need:
        """Memory of plain gram tasks, which pack their sums in place."""
        return self.need_of(1)

    def need_of(self, n_folds: int) -> Need:
        """Memory of gram tasks with so many folds, each with a Gram matrix of its own."""
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
        if n_folds > 1:
            one = replace(self, block=0, input_bytes=0).per_task
            # The rows of a block are put in the order of their folds, X and T.
            sorted_rows = 8 * self.block * (self.n_features + self.n_targets + 2)
            of_tasks = self.n_tasks * ((n_folds - 1) * one + sorted_rows)
            parts["folds"] = of_tasks + (n_folds - 1) * self.waiting * self.partial
        return Need(f"for {self.n_neurons} neurons and {self.n_tasks} gram task(s) at once", parts, remedy)


def is_joined(n_neurons: int, n_targets: int) -> bool:
    """Whether T stands beside H in one matrix, whose Gram matrix holds HH, HT and TT at once.

    A product with few columns of T takes as long as reading H once more; with many, computing T'T would waste too much.
    """
    return n_targets <= max(8, n_neurons // 8)


def check_weights_fit(n_neurons: int, n_inputs: int) -> None:
    """Refuse to draw weights that this process cannot hold: they are drawn, and then kept in an array of their own."""
    remedy = "fewer neurons, or fewer columns of X, such as HashingVectorizer(n_features=2**16) makes of texts."
    work = f"for the weights of {n_neurons} neurons of {n_inputs} inputs"
    if 16 * n_neurons * n_inputs < _LARGE_WEIGHTS:
        return
    process = this_process(True)
    Need(work, {"process": BASE_BYTES, "weights": 16 * n_neurons * n_inputs}, remedy).check(
        process.memory, process.name
    )


def held_bytes(*sources: Source | None) -> int:
    """Most bytes that a task holds of files besides its blocks: unpacked chunks, and bytes fetched from URLs."""
    return sum(max((part.held_bytes for part in files.parts), default=0) for files in files_of(*sources))


def check_memory(
    work, sizes: tuple[int, int, int, int], input_bytes: int, client, in_process: bool = False, layer_bytes: int = 0
):
    """The pass, without folds where these do not fit into this process, or into some worker of a client.

    One that does not fit without folds either is refused, before it starts. `sizes` are the numbers of neurons, of
    numbers in a row of X, of targets and of tasks; `input_bytes` are the bytes of the input that a task holds besides
    its blocks, and `layer_bytes` those of the weights, which a process holds once.
    """
    processes = [this_process(in_process)] if client is None else workers_of(client)
    while True:
        try:
            for process in processes:
                for need in work.needs(PassSizes.of_pass(*sizes, process.n_threads, input_bytes=input_bytes)):
                    if layer_bytes >= _LARGE_WEIGHTS:
                        need = replace(need, parts={**need.parts, "layer": layer_bytes})
                    need.check(process.memory, process.name)
            return work
        except InsufficientMemoryError:
            if work.n_folds == 1:
                raise
        work = work.without_folds()
