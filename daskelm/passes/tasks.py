"""A gram task: it reads rows of X, y and weights in blocks, from memory or files, and adds them to one collector."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass, replace
from itertools import accumulate as running_sums
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..data.finite import check_finite, check_weights
from ..data.source import Chunks, Source, source_of
from ..data.targets import Targets
from ..exceptions import DataError
from ..hdf5.file_rows import FileRows
from ..layer.layer import Layer
from ..sparse import joined
from ..sums.provenance import Origin
from ..sums.row_cells import merge_ranges
from ..sums.row_notes import RowLog
from .accumulator import Accumulator
from .memory import Need, PassSizes

__all__ = [
    "Chunk",
    "Collector",
    "FileRuns",
    "GramTask",
    "Job",
    "Pass",
    "Runs",
    "chunk_groups",
    "cut_runs",
    "grouped",
    "n_rows_of",
    "run_on_chunks",
    "run_task",
]

# Sorted ranges [start, stop) of rows.
Runs = Sequence[tuple[int, int]]

# Bytes and number of the chunks of dask arrays that one task holds at once.
_CHUNK_BYTES, _MOST_CHUNKS = 128 * 2**20, 1024
# Reading these bytes takes as long as a call that reads little.
_GAP_BYTES = 256 * 2**10


def n_rows_of(runs: Runs) -> int:
    """Number of rows in runs."""
    return sum(stop - start for start, stop in runs)


class Chunk(NamedTuple):
    """Rows [start, stop) of the whole input, with the keys of their chunks of X, y and weights."""

    start: int
    stop: int
    keys: tuple[tuple | None, ...]


def chunk_groups(chunks: Iterable[Chunk], row_bytes: int) -> list[list[Chunk]]:
    """Chunks in groups that one task holds at once, in order."""
    return grouped(chunks, _CHUNK_BYTES // row_bytes, _MOST_CHUNKS)


def grouped(items: Iterable, most_rows: int, most_items: float = math.inf) -> list[list]:
    """Items that begin with (start, stop) of their rows, in groups of at most this many rows and items, in order."""
    groups: list[list] = []
    n_rows = 0
    for item in items:
        size = item[1] - item[0]
        if not groups or n_rows + size > most_rows or len(groups[-1]) >= most_items:
            groups.append([])
            n_rows = 0
        groups[-1].append(item)
        n_rows += size
    return groups


class Job(NamedTuple):
    """The arguments of every pass: the layer, the targets, which turn y into columns of T, and the rows.

    `n_folds` is the number of folds that the rows are divided into, by their content; 1 for sums without folds.
    """

    layer: Layer
    targets: Targets
    X: Any
    y: Any
    weights: Any = None
    n_folds: int = 1


class Collector(Protocol):
    """The accumulator that a task adds its blocks to."""

    def add(self, runs: Runs, X: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Add rows of these sorted runs of the whole input, checked: X, y as given, weights (rows,).

        Blocks come in the order of the rows of the task.
        """

    def result(self) -> Any:
        """The value of all rows added, to be added to those of other tasks; the collector is used up."""


class Pass:
    """A pass over the rows, which makes their sums; other passes derive from it, and are sent to each worker.

    `name` is the first word of the names of the tasks; `nbytes` are the bytes that the pass holds, beside the layer.
    """

    name = "gram"
    nbytes = 0
    # Folds that the rows are divided into, by their content; 1 for sums without folds.
    n_folds = 1

    def __init__(self, n_folds: int = 1):
        self.n_folds = n_folds

    def without_folds(self) -> Pass:
        """The same pass with one sum."""
        work = copy(self)
        work.n_folds = 1
        return work

    def part(self, runs: Runs) -> Any:
        """Data that only the task of these rows needs."""

    def begin(self, layer: Layer, targets: Targets, origins: Sequence[Origin], part: Any) -> Collector:
        """An empty collector for the rows of one task."""
        return _Gram(layer, targets, origins, self.n_folds)

    def needs(self, sizes: PassSizes) -> Iterable[Need]:
        """Projected memory of one process, which is checked before the pass."""
        return [sizes.need_of(self.n_folds)]

    def cut_rows(self, X: Source, ranges: Runs, step: int, most: int) -> list[list[Runs]]:
        """Runs of rows of each task of each segment, for rows that tasks read themselves.

        Blocks have about `step` rows, and a task has whole blocks, until these have `most` rows.
        """
        parts = [(begin, source_of(source_of(X).between(begin, end))) for begin, end in ranges]
        return [[[(begin + a, begin + b)] for begin, part in parts for a, b in part.runs_of_blocks(step, most)]]

    def cut_chunks(self, chunks: Sequence[Sequence[Chunk]], row_bytes: int) -> list[list[list[Chunk]]]:
        """Chunks of each task of each segment, for dask arrays; they are given range by range, and none is empty."""
        return [[group for of_range in chunks for group in chunk_groups(of_range, row_bytes)]]


class _Gram:
    def __init__(self, layer, targets, origins, n_folds):
        self.sums, self.log = Accumulator(layer, targets, n_folds), RowLog(origins)

    def add(self, runs, X, y, weights):
        self.log.add(runs, X, self.sums.targets.content(y), weights)
        self.sums.add(X, y, weights)

    def result(self):
        return self.sums.result(self.log.ledger(self.sums.layer.n_features))


@dataclass(frozen=True, eq=False)
class FileRuns:
    """Sorted runs of rows of files, read as one sequence; a description, no open file. One run is all of the files."""

    files: FileRows
    runs: Runs


def cut_runs(source: Source, runs: Runs) -> FileRuns | Chunks:
    """Sorted runs of rows of an input in memory or in files; only the arrays or files that hold these rows are kept."""
    files = source_of(source).files
    if files is None:
        return Chunks(source_of(source).runs(runs))
    if len(runs) == 1:
        return FileRuns(files.between(*runs[0]), [(0, runs[0][1] - runs[0][0])])
    edges = np.cumsum([0] + [part.n_rows for part in files.parts])
    rows = files.start + np.array(runs)
    first, last = (np.searchsorted(edges, numbers, "right") - 1 for numbers in (rows[:, 0], rows[:, 1] - 1))
    kept = sorted({i for a, b in zip(first.tolist(), last.tolist(), strict=True) for i in range(a, b + 1)})
    parts = tuple(files.parts[i] for i in kept)
    places = np.zeros(len(edges), int)
    places[kept] = np.cumsum([0] + [part.n_rows for part in parts])[:-1]
    held = replace(files, parts=parts, start=0, stop=sum(part.n_rows for part in parts))
    return FileRuns(held, (rows - (edges[first] - places[first])[:, None]).tolist())


class _Spans:
    """Runs of rows, found by positions in their sequence."""

    def __init__(self, runs):
        self.runs = runs
        self.edges = [0, *running_sums(stop - start for start, stop in runs)]

    def between(self, start, stop):
        """The runs of the rows at positions start to stop - 1."""
        i = bisect_right(self.edges, start) - 1
        out = []
        while start < stop:
            first = self.runs[i][0] + start - self.edges[i]
            n_rows = min(stop, self.edges[i + 1]) - start
            out.append((first, first + n_rows))
            start, i = start + n_rows, i + 1
        return out


class _Input:
    """One input of a running task, whose rows are read by their positions in the task."""

    def __init__(self, source, rows, stack, reuse=False):
        self.files = source.files if isinstance(source, FileRuns) else None
        # Errors name the row of a file, or of the whole input where that is not in files.
        self.spans = rows if self.files is None else _Spans(source.runs)
        self.reader = source if self.files is None else stack.enter_context(self.files.open(reuse=reuse))

    def read(self, start, stop):
        """Rows at positions start to stop - 1, copied only where they are not adjacent."""
        if self.files is None:
            return self.reader.read(start, stop)
        return _read_runs(self.reader, self.spans.between(start, stop))

    def check(self, check, start, stop):
        """Call `check` with the rows, the number of the first, and the files that number refers to."""
        _check_runs(lambda rows, first: check(rows, first, self.files), self.spans.between(start, stop))


def _read_runs(reader, runs):
    """Rows of sorted runs of files; a small gap between two runs is read with them."""
    if len(runs) == 1:
        return reader.read(*runs[0])
    source = reader.source
    gap = max(_GAP_BYTES // max(source.row_bytes, 1), 1)
    # The reader of dense rows may overwrite a block with the next one.
    out: Any = [] if source.is_sparse else np.empty((n_rows_of(runs), *source.shape[1:]), source.dtype)
    here, i = 0, 0
    while i < len(runs):
        j = i + 1
        while j < len(runs) and runs[j][0] - runs[j - 1][1] <= gap and runs[j][1] - runs[i][0] <= 16 * gap:
            j += 1
        first = runs[i][0]
        rows = reader.read(first, runs[j - 1][1])
        for a, b in runs[i:j]:
            if source.is_sparse:
                out.append(rows[a - first : b - first])
            else:
                out[here : here + b - a] = rows[a - first : b - first]
            here += b - a
        i = j
    return joined(out) if source.is_sparse else out


def _check_runs(check, runs):
    """Check all rows at once, and after an error run by run, to find the number of the row."""
    if len(runs) == 1:
        check(slice(None), runs[0][0])
        return
    try:
        check(slice(None), 0)
        return
    except DataError as error:
        found = error
    here = 0
    for a, b in runs:
        check(slice(here, here + b - a), a)
        here += b - a
    raise found


@dataclass(frozen=True, eq=False)
class GramTask:
    """Task that sums rows of X, y and weights in blocks of about `step` rows; it carries descriptions of files only.

    The result depends only on its fields, the layer and the pass: it may run again, anywhere, any number of times.
    `runs` are its rows [start, stop) of the whole input, sorted; `origins` say where rows of the whole input come from;
    `part` is the pass's data for these rows alone.
    """

    targets: Targets
    X: FileRuns | Chunks
    y: FileRuns | Chunks
    weights: FileRuns | Chunks | None
    runs: Runs
    step: int
    origins: Sequence[Origin] = ()
    part: Any = None

    @classmethod
    def of_rows(
        cls,
        targets: Targets,
        inputs: tuple[Source, Source, Source | None],
        runs: Runs,
        step: int,
        origins: Sequence[Origin] = (),
        part: Any = None,
    ) -> GramTask:
        """The task for these runs of rows of X, y and weights, in memory or in files."""
        X, y, weights = inputs
        of_weights = None if weights is None else cut_runs(weights, runs)
        return cls(targets, cut_runs(X, runs), cut_runs(y, runs), of_weights, runs, step, origins, part)

    def __call__(
        self, layer: Layer, work: Pass | None = None, on_block: Callable[[int], None] = lambda n_rows: None
    ) -> Any:
        """The sums, or the result of another pass; `on_block` is called with the number of rows after each block."""
        collector = (work or Pass()).begin(layer, self.targets, self.origins, self.part)
        rows = _Spans(self.runs)
        with ExitStack() as stack:
            X, y = _Input(self.X, rows, stack, reuse=True), _Input(self.y, rows, stack)
            weights = None if self.weights is None else _Input(self.weights, rows, stack)
            for start, stop in self._blocks():
                runs = rows.between(start, stop)
                block = self._read(X, y, weights, runs, start, stop, layer.takes_gaps)
                collector.add(merge_ranges(runs), *block)
                on_block(stop - start)
        return collector.result()

    def _blocks(self):
        """Positions [start, stop) of the rows of each block."""
        if isinstance(self.X, FileRuns) and len(self.runs) == 1:
            return self.X.files.block_bounds(self.step)
        n_rows = n_rows_of(self.runs)
        return [(start, min(start + self.step, n_rows)) for start in range(0, n_rows, self.step)]

    def _read(self, X, y, weights, runs, start, stop, gaps):
        """Rows of X, y and weights at these positions, checked."""
        block, labels, given = X.read(start, stop), y.read(start, stop), None
        X.check(lambda rows, first, files: check_finite(block[rows], "X", first, files, gaps=gaps), start, stop)
        y.check(lambda rows, first, files: check_finite(labels[rows], "y", first, files), start, stop)
        if weights is not None:
            given = weights.read(start, stop).reshape(-1).astype(np.float64)
            _check_runs(lambda rows, first: check_weights(given[rows], first), runs)

        def check_targets(rows, first, files):
            self.targets.check(labels[rows], None if given is None else given[rows], first, files)

        y.check(check_targets, start, stop)
        return block, labels, given


def run_task(shared, task: GramTask) -> Any:
    """The result of a task with the layer and the pass that all tasks share."""
    layer, work = shared
    return task(layer, work)


def run_on_chunks(shared, targets, X, y, weights, *rest) -> Any:
    """A gram task on chunks of dask arrays; `rest` are the other fields of the task."""
    of_weights = None if weights is None else Chunks(weights)
    return run_task(shared, GramTask(targets, Chunks(X), Chunks(y), of_weights, *rest))
