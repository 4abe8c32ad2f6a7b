"""Gram tasks on blocks of rows that are not next to each other: of files, of arrays, and of chunks of dask arrays."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..data.inputs import check_finite, check_weights
from ..data.targets import Targets
from ..exceptions import DataError
from ..hdf5.rows import Hdf5Rows
from ..layer.layer import Layer
from ..sums.normal_equations import NormalEquations
from ..sums.provenance import Origin
from ..sums.row_notes import Notes
from .accumulate import add_block
from .accumulator import Accumulator
from .memory import block_rows

__all__ = ["BlockTask", "Blocks", "cut_blocks", "origins_of", "run_block_task", "run_on_chunks"]

Bounds = Sequence[tuple[int, int]]
Pieces = Sequence[tuple[int, int, int]]

# Reading as much takes as long as a call that reads little.
_GAP_BYTES = 256 * 2**10


@dataclass(frozen=True, eq=False)
class Blocks:
    """Blocks of rows of one input, in order.

    `held` is the part of the files that they are in, or the blocks themselves; `starts` are their first rows there, or
    in the whole input. Of files, just the description travels.
    """

    held: Hdf5Rows | Sequence[np.ndarray]
    starts: Sequence[int]

    def open(self, stack: ExitStack, name: str) -> Callable[[Pieces], np.ndarray]:
        """A function that gives the rows of pieces (block, a, b), together, checked."""
        held: Any = self.held
        files = held if isinstance(held, Hdf5Rows) else None
        reader = None if files is None else stack.enter_context(files.open(reuse=True))

        def read(pieces):
            places = [(self.starts[i] + a, self.starts[i] + b) for i, a, b in pieces]
            if reader is None:
                rows = np.concatenate([held[i][a:b] for i, a, b in pieces])
            else:
                rows = _read_places(reader, places)
            _in_order(lambda part, first: check_finite(part, name, first, files), rows, places)
            return rows

        return read


def _read_places(reader, places):
    """Rows of a file in places that are sorted; what lies between two is read with them where it is little."""
    source = reader.source
    gap = max(_GAP_BYTES // max(source.n_columns * source.dtype.itemsize, 1), 1)
    out = np.empty((sum(b - a for a, b in places), *source.shape[1:]), source.dtype)
    here, i = 0, 0
    while i < len(places):
        j = i + 1
        while j < len(places) and places[j][0] - places[j - 1][1] <= gap and places[j][1] - places[i][0] <= 16 * gap:
            j += 1
        first = places[i][0]
        rows = reader.read(first, places[j - 1][1])
        for a, b in places[i:j]:
            out[here : here + b - a] = rows[a - first : b - first]
            here += b - a
        i = j
    return out


def _in_order(check, rows, places):
    """Check rows all at once; where that finds something, place by place, for the number of the row."""
    try:
        check(rows, 0)
        return
    except DataError as error:
        found = error
    here = 0
    for a, b in places:
        check(rows[here : here + b - a], a)
        here += b - a
    raise found


def cut_blocks(source: Hdf5Rows | np.ndarray, bounds: Bounds) -> Blocks:
    """Blocks [start, stop) of rows of an input, sorted; of many files those only that hold them."""
    if isinstance(source, np.ndarray):
        return Blocks([source[a:b] for a, b in bounds], [a for a, _ in bounds])
    edges = np.cumsum([0] + [part.n_rows for part in source.parts])
    rows = source.start + np.array(bounds)
    first, last = (np.searchsorted(edges, numbers, "right") - 1 for numbers in (rows[:, 0], rows[:, 1] - 1))
    kept = sorted({i for a, b in zip(first.tolist(), last.tolist(), strict=True) for i in range(a, b + 1)})
    parts = tuple(source.parts[i] for i in kept)
    places = np.zeros(len(edges), int)
    places[kept] = np.cumsum([0] + [part.n_rows for part in parts])[:-1]
    held = replace(source, parts=parts, start=0, stop=sum(part.n_rows for part in parts))
    return Blocks(held, (rows[:, 0] - edges[first] + places[first]).tolist())


def origins_of(origins: Sequence[Origin], bounds: Bounds) -> tuple[Origin, ...]:
    """Those of the sorted origins, of all rows, that hold some of these blocks."""
    starts = [origin.start for origin in origins]
    found = set()
    for a, b in bounds:
        i = max(bisect_right(starts, a) - 1, 0)
        while i < len(origins) and origins[i].start < b:
            found.add(i)
            i += 1
    return tuple(origins[i] for i in sorted(found))


@dataclass(frozen=True, eq=False)
class BlockTask:
    """Sums of blocks [start, stop) of rows of the whole input; about `step` rows, of any blocks, are added at once.

    A pure function of its fields and the layer, as every gram task.
    """

    targets: Targets
    X: Blocks
    y: Blocks
    weights: Blocks | None
    bounds: Bounds
    step: int
    origins: Sequence[Origin] = ()

    def __call__(self, layer: Layer) -> NormalEquations:
        """The sums."""
        targets, notes = self.targets, Notes(self.origins)
        sums = Accumulator(layer.fingerprint, layer.n_neurons, targets.n_targets, targets.meaning, layer.gram_dtype)
        with ExitStack() as stack:
            X, y = self.X.open(stack, "X"), self.y.open(stack, "y")
            weights = None if self.weights is None else self.weights.open(stack, "sample_weight")
            for pieces in _groups(self.bounds, self.step):
                rows = [(self.bounds[i][0] + a, self.bounds[i][0] + b) for i, a, b in pieces]
                x, t, w = X(pieces), y(pieces), None
                if weights is not None:
                    w = weights(pieces).reshape(-1).astype(np.float64)
                    _in_order(check_weights, w, rows)

                def check(places, first, t=t, w=w):
                    targets.check(t[places], None if w is None else w[places], first)

                _in_order(check, np.arange(len(t)), rows)
                notes.add_scattered(rows, x, targets.content(t), w)
                add_block(sums, layer, targets, x, t, w)
        return sums.result(targets.dtype, notes.ledger(layer.n_features))


def _groups(bounds, step) -> Iterator[list[tuple[int, int, int]]]:
    """Pieces (block, a, b) of the blocks in turn, `step` rows at a time."""
    pieces, n_rows = [], 0
    for i, (start, stop) in enumerate(bounds):
        a = 0
        while a < stop - start:
            b = min(stop - start, a + step - n_rows)
            pieces.append((i, a, b))
            n_rows += b - a
            a = b
            if n_rows == step:
                yield pieces
                pieces, n_rows = [], 0
    if pieces:
        yield pieces


def run_block_task(shared, task: BlockTask) -> NormalEquations:
    """A block task with the layer that all share."""
    return task(shared.layer)


def run_on_chunks(shared, targets, X, y, weights, bounds, origins) -> NormalEquations:
    """Block task on chunks of dask arrays, which these blocks are."""
    starts = [start for start, _ in bounds]
    X, y, weights = (None if chunks is None else Blocks(chunks, starts) for chunks in (X, y, weights))
    step = block_rows(shared.layer.n_neurons, shared.layer.n_features)
    return BlockTask(targets, X, y, weights, bounds, step, origins)(shared.layer)
