"""A function of row blocks applied to any source: at once in memory, lazily on dask arrays and files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import dask
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from ..data.finite import check_finite
from ..data.source import Source, source_of
from ..layer.layer import Layer
from ..lazy import da
from ..progress import RowProgress
from ..ridge.uncertainty import Uncertainty
from .memory import block_rows

__all__ = ["LayerOutput", "RowFunction", "UncertainOutput", "WeightedOutput", "apply"]

# A chunk of a lazy prediction from files has no more than these bytes of results, rows, and operations: a fifth of a
# second of one core, so that there are many to share among workers, and few beside the millisecond that each costs.
_RESULT_BYTES = 32 * 2**20
_ROWS_PER_CHUNK = 2**20
_WORK_PER_CHUNK = 10**10


class RowFunction(Protocol):
    """What `apply` applies: blocks (rows, n_features) to (rows, *tail) of a dtype."""

    @property
    def layer(self) -> Layer:
        """The hidden layer."""

    @property
    def tail(self) -> tuple[int, ...]:
        """Shape of the result of one row."""

    @property
    def dtype(self) -> np.dtype:
        """Type of the results."""

    @property
    def width(self) -> int:
        """Columns of all that H is multiplied by, for the work of a row."""

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Results of a few thousand rows."""


@dataclass(frozen=True, eq=False)
class LayerOutput:
    """H itself."""

    layer: Layer

    @property
    def tail(self) -> tuple[int, ...]:
        """(n_neurons,)."""
        return (self.layer.n_neurons,)

    @property
    def dtype(self) -> np.dtype:
        """The layer's."""
        return self.layer.dtype

    @property
    def width(self) -> int:
        """n_neurons, as if H were copied by a product."""
        return self.layer.n_neurons

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """H (rows, n_neurons)."""
        return self.layer(X)


@dataclass(frozen=True, eq=False)
class WeightedOutput:
    """finish(H coef' + intercept): the product in float64, cast last.

    `finish` turns (rows, n_targets) float64 into the result, (rows, *tail), and is followed by a cast to `dtype`.
    """

    layer: Layer
    coef: np.ndarray
    intercept: np.ndarray
    finish: Callable[[np.ndarray], np.ndarray]
    tail: tuple[int, ...]
    dtype: np.dtype

    @property
    def width(self) -> int:
        """Number of results of a row."""
        return max(int(np.prod(self.tail)), 1)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Results (rows, *tail)."""
        return self.finish(self.of(self.layer(X).astype(np.float64, copy=False)))

    def of(self, H: np.ndarray) -> np.ndarray:
        """Outputs (rows, n_targets) of H (rows, n_neurons), float64."""
        return H @ self.coef.T + self.intercept


@dataclass(frozen=True, eq=False)
class UncertainOutput:
    """Outputs, and then their standard deviations: (rows, 2 n_targets), from one H."""

    output: WeightedOutput
    uncertainty: Uncertainty

    @property
    def layer(self) -> Layer:
        """The hidden layer."""
        return self.output.layer

    @property
    def tail(self) -> tuple[int, ...]:
        """(2 n_targets,)."""
        return (2 * len(self.output.coef),)

    @property
    def dtype(self) -> np.dtype:
        """That of the outputs."""
        return self.output.dtype

    @property
    def width(self) -> int:
        """n_targets and the rank of HH + alpha I."""
        return len(self.output.coef) + self.uncertainty.root.shape[1]

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Results (rows, 2 n_targets)."""
        H = self.layer(X).astype(np.float64, copy=False)
        return np.concatenate([self.output.of(H), self.uncertainty(H)], axis=1)


def apply(function: RowFunction, X: Source, name: str, verbose: int | bool = 0) -> np.ndarray | da.Array:
    """Results for the rows of X, in kind.

    Parameters
    ----------
    function : RowFunction
        Of blocks of rows; picklable.
    X : source of shape (n_samples, n_features)
        Inputs.
    name : str
        First word of the names of tasks.
    verbose : int, default=0
        Whether to show progress of what is worked on here, if it takes long.

    Returns
    -------
    ndarray or dask array of shape (n_samples, *function.tail)
        An ndarray for an ndarray, else lazy; of dtype `function.dtype`.
    """
    source = source_of(X)
    if source.in_process:
        return _in_blocks(function, X, done=RowProgress(source.n_rows, verbose, name, patience=1.0).advance)
    token = tokenize(type(function).__name__, function.layer.fingerprint, function, X)
    # One task holds the weights, so that they travel once per worker and not once per chunk.
    shared = dask.delayed(function, name=f"weights-{token}", pure=True, traverse=False)
    meta = np.empty((0,) * (1 + len(function.tail)), function.dtype)
    if source.files is not None:
        bounds = source.block_bounds(_chunk_rows(function, source)) or [(0, 0)]
        tail = (0,) * len(function.tail)
        key = f"{name}-{token}"
        graph: dict = {
            (key, i, *tail): (_in_blocks, shared.key, source.between(start, stop))
            for i, (start, stop) in enumerate(bounds)
        }
        chunks = (tuple(stop - start for start, stop in bounds), *((n,) for n in function.tail))
        return da.Array(HighLevelGraph.from_collections(key, graph, [shared]), key, chunks, meta=meta)
    return da.map_blocks(
        _of_block,
        source.as_dask("X"),
        function=shared,
        name=f"{name}-{token}",
        chunks=(source.row_chunks, *((n,) for n in function.tail)),
        drop_axis=() if function.tail else 1,
        meta=meta,
    )


def _chunk_rows(function, source):
    n_results = max(int(np.prod(function.tail)), 1)
    # An activation takes as long as some 64 operations of a matrix product.
    work = function.layer.n_neurons * (2 * source.n_columns + 2 * function.width + 64)
    most = min(_RESULT_BYTES // (n_results * function.dtype.itemsize), _ROWS_PER_CHUNK, _WORK_PER_CHUNK // work)
    return max(most, 1)


def _of_block(block, function=None, block_info=None):
    # Dask gives the place of the block in the array, which errors name.
    first_row = block_info[0]["array-location"][0][0] if block_info else 0
    return _in_blocks(function, np.asarray(block), first_row)


def _in_blocks(function, X, first_row=0, done=lambda n_rows: None):
    """Results for rows of an array or of files, block by block; `first_row` numbers those of an array for errors."""
    source = source_of(X)
    out = np.empty((source.n_rows, *function.tail), function.dtype)
    with source.open(reuse=True) as reader:
        for start, stop in source.block_bounds(block_rows(function.layer.n_neurons, function.layer.n_features)):
            block = reader.read(start, stop)
            check_finite(block, "X", first_row + start, source.files)
            out[start:stop] = function(block)
            done(stop - start)
    return out
