"""HP-ELM's classes, each a column of zeros and ones: their weights, errors and confusion matrices, block by block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from ..data.finite import check_finite
from ..data.row_chunks import apply_to_rows
from ..data.source import Source, source_of
from ..data.targets import RegressionTargets
from ..exceptions import DataError, ParameterError

__all__ = ["OneHotTargets", "balancing_weights", "scores"]


@dataclass(frozen=True)
class OneHotTargets(RegressionTargets):
    """Targets with a single 1 in each row, in the column of its class; each class has a weight for its rows."""

    weights: tuple[float, ...] = ()

    @property
    def meaning(self) -> str:  # type: ignore[override]
        """Text with the class weights, so that sums with different weights are never added."""
        return f"numbers weighted {list(self.weights)}"

    def row_weights(self, y: np.ndarray, given: np.ndarray | None) -> np.ndarray:
        """Weights (rows,) of the rows."""
        T = self.encode(y)
        if ((T == 1).sum(axis=1) != 1).any():
            row = T[np.argmax((T == 1).sum(axis=1) != 1)]
            raise DataError(f"T: for 'wc' each row must hold exactly one 1, in the column of its class; got {row}.")
        return np.array(self.weights)[T.argmax(axis=1)]


def balancing_weights(T: Source) -> np.ndarray:
    """HP-ELM's default weights (outputs,): the number of rows divided by that of each class, for T (rows, outputs)."""
    counts = np.asarray(source_of(T).as_array("T").sum(axis=0), np.float64)
    if not (np.isfinite(counts).all() and (counts > 0).all()):
        raise DataError(
            f"T: the default weights of 'wc' need rows of every class; got these numbers of rows: {counts.tolist()}. "
            "Give weights: train(X, T, 'wc', w=[...])."
        )
    return counts.sum() / counts


def scores(
    classification: str | None, w: np.ndarray | None, T: Source, Y: Source, n: int = 1, verbose: int | bool = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Errors (n,) and confusion matrices (n, outputs, outputs) of n predictions.

    Parameters
    ----------
    classification : {None, "c", "wc", "ml"}
        None: the error is the mean squared one, and the matrices are empty, (n, 0, 0). "c": the part of the rows whose
        largest output is in the wrong column; "wc": the mean over classes of that part, weighted with `w`; "ml": the
        part of wrong entries, outputs being cut at one half.
    w : ndarray of shape (outputs,) or None
        Weights of the classes.
    T : source of shape (rows, outputs)
        True targets.
    Y : source of shape (rows, n * outputs)
        Outputs of the predictions, side by side.
    n : int
        Their number.
    verbose : int, default=0
        Whether to show progress.
    """
    if classification == "wc" and w is None:
        raise ParameterError("the error of 'wc' is weighted, and this model has no weights yet; give them: w=[...].")
    n_rows, n_outputs = T.shape
    if not n_rows:
        raise DataError("an error needs at least one row; got none. Check istart and icount.")
    tally = partial(_tally, classification=classification, n=n)
    parts = apply_to_rows(tally, {"T": T, "Y": Y}, verbose, "score")
    wrong, tables = (sum(part) for part in zip(*parts, strict=True))
    if classification == "wc":
        return _weighted(tables, w), tables
    return wrong / (n_rows if classification == "c" else n_rows * n_outputs), tables


def _tally(T, Y, first_row, classification, n):
    """Squared or wrong predictions (n,), and counts by true and predicted column (n, outputs, outputs), of a block."""
    T, Y = np.asarray(T, np.float64), np.asarray(Y, np.float64)
    check_finite(T, "T", first_row)
    check_finite(Y, "Y", first_row)
    outputs = T.shape[1]
    Y = Y.reshape(len(Y), n, outputs)
    if classification is None:
        return np.square(Y - T[:, None]).sum(axis=(0, 2)), np.zeros((n, 0, 0))
    if classification == "ml":
        true, found = T > 0.5, Y > 0.5
        wrong = (true[:, None] != found).sum(axis=(0, 2))
        return wrong, np.einsum("ri,rnj->nij", true.astype(np.float64), found.astype(np.float64))
    true, found = T.argmax(axis=1), Y.argmax(axis=2)
    cells = true[:, None] * outputs + found + np.arange(n) * outputs**2
    tables = np.bincount(cells.ravel(), minlength=n * outputs**2).reshape(n, outputs, outputs).astype(np.float64)
    return len(T) - np.trace(tables, axis1=1, axis2=2), tables


def _weighted(tables, w):
    per_class = tables.sum(axis=2)
    if not per_class.all():
        raise DataError(
            f"T: the error of 'wc' needs rows of every class; got none of class {int(np.argmin(per_class[0]))}. Use "
            "other rows, or classification='c'."
        )
    wrong = 1 - np.diagonal(tables, axis1=1, axis2=2) / per_class
    return wrong @ w / w.sum()
