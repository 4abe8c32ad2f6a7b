"""A function of row blocks applied to any source: at once in memory, lazily on dask arrays and files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
from ..sparse import as_block
from .memory import block_rows

__all__ = ["RowFunction", "UncertainOutput", "WeightedOutput", "apply", "decisions_of", "labels_of", "numbers_of"]

# A chunk of a lazy prediction from files has at most these bytes of results, rows, and operations, a fifth of a second
# of one core, so that there are many chunks to share among workers, and the millisecond that each costs is small.
_RESULT_BYTES = 32 * 2**20
_ROWS_PER_CHUNK = 2**20
_WORK_PER_CHUNK = 10**10


@dataclass(frozen=True, eq=False)
class RowFunction:
    """A picklable function of blocks of X (rows, n_features) to results (rows, *tail), which `apply` applies: H itself.

    layer : Layer, the hidden layer
    tail : tuple of int, shape of the result of one row
    dtype : dtype, type of the results
    """

    layer: Layer
    tail: tuple[int, ...]
    dtype: np.dtype

    @property
    def width(self) -> int:
        """Columns of all that H is multiplied by, or copied to, for the work of a row."""
        return max(int(np.prod(self.tail)), 1)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Results of a few thousand rows."""
        return self.layer(X)


@dataclass(frozen=True, eq=False)
class WeightedOutput(RowFunction):
    """finish(H coef' + intercept): the product in float64, cast last.

    `finish` turns (rows, n_targets) float64 into the result, (rows, *tail), and is followed by a cast to `dtype`.
    """

    coef: np.ndarray
    intercept: np.ndarray
    finish: Callable[[np.ndarray], np.ndarray]

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Results (rows, *tail)."""
        H = self.layer(X).astype(np.float64, copy=False)
        return self.finish(H @ self.coef.T + self.intercept)


@dataclass(frozen=True, eq=False)
class UncertainOutput(RowFunction):
    """Outputs, and then their standard deviations: (rows, 2 n_targets), from one H."""

    coef: np.ndarray
    intercept: np.ndarray
    uncertainty: Uncertainty
    finish: Callable[[np.ndarray], np.ndarray]

    @property
    def width(self) -> int:
        """n_targets and the rank of HH + alpha I."""
        return len(self.coef) + self.uncertainty.root.shape[1]

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Results (rows, 2 n_targets)."""
        H = self.layer(X).astype(np.float64, copy=False)
        outputs = self.finish(H @ self.coef.T + self.intercept)
        return np.concatenate([outputs.reshape(len(H), -1), self.uncertainty(H)], axis=1)


def numbers_of(outputs: np.ndarray, vector: bool = False, bounds: np.ndarray | None = None) -> np.ndarray:
    """Predicted numbers of outputs (rows, n_targets), within bounds (2, n_targets) if given; one column as a vector."""
    if bounds is not None:
        outputs = np.clip(outputs, bounds[0], bounds[1])
    return outputs[:, 0] if vector else outputs


def labels_of(outputs: np.ndarray, classes: np.ndarray, multi: bool) -> np.ndarray:
    """Predicted labels of outputs (rows, n_targets), as of the largest probability; with `multi`, 0 or 1 for each."""
    if multi:
        return (outputs > 0.5).astype(np.int64)
    return classes[np.argmax(outputs, axis=1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0.5).astype(np.intp)]


def decisions_of(outputs: np.ndarray, multi: bool) -> np.ndarray:
    """Decision values of outputs (rows, n_targets): positive for the second of two classes, or for a label."""
    if multi:
        return 2 * outputs - 1
    return 2 * outputs[:, 0] - 1 if outputs.shape[1] == 1 else outputs


def apply(function: RowFunction, X: Source, name: str, verbose: int | bool = 0) -> np.ndarray | da.Array:
    """Results for the rows of X: in memory if X is, else lazy.

    Parameters
    ----------
    function : RowFunction
        Function of blocks of rows.
    X : source of shape (n_samples, n_features)
        Inputs.
    name : str
        First word of the tasks' names.
    verbose : int, default=0
        Whether to show progress of work in this process, if it takes long.

    Returns
    -------
    ndarray or dask array of shape (n_samples, *function.tail)
        An ndarray for an ndarray, else lazy; of dtype `function.dtype`.
    """
    source = source_of(X)
    if source.in_process:
        return _in_blocks(function, X, done=RowProgress(source.n_rows, verbose, name, patience=1.0).advance)
    token = tokenize(function.layer.fingerprint, function, X)
    # One task holds the weights, so that they are sent once per worker and not once per chunk.
    shared = dask.delayed(function, name=f"weights-{token}", pure=True, traverse=False)
    meta = np.empty((0,) * (1 + len(function.tail)), function.dtype)
    if source.files is not None:
        bounds = source.block_bounds(_chunk_rows(function, source)) or [(0, 0)]
        key, tail = f"{name}-{token}", (0,) * len(function.tail)
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
    work = function.layer.n_neurons * (2 * source.row_width + 2 * function.width + 64)
    most = min(_RESULT_BYTES // (n_results * function.dtype.itemsize), _ROWS_PER_CHUNK, _WORK_PER_CHUNK // work)
    return max(most, 1)


def _of_block(block, function=None, block_info=None):
    # Errors name the row in the whole array, where Dask says that the block is.
    first_row = block_info[0]["array-location"][0][0] if block_info else 0
    return _in_blocks(function, as_block(block), first_row)


def _in_blocks(function, X, first_row=0, done=lambda n_rows: None):
    """Results for rows of an array or of files, block by block; `first_row` numbers those of an array for errors."""
    source = source_of(X)
    out = np.empty((source.n_rows, *function.tail), function.dtype)
    with source.open(reuse=True) as reader:
        for start, stop in source.block_bounds(block_rows(function.layer.n_neurons, source.row_width)):
            block = reader.read(start, stop)
            check_finite(block, "X", first_row + start, source.files, gaps=function.layer.takes_gaps)
            out[start:stop] = function(block)
            done(stop - start)
    return out
