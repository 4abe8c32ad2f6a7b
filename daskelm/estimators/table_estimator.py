"""What estimators share that learn from rows of X and y: taking them in together, scoring."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import _num_samples

from ..data.frames import check_dask_columns
from ..data.inputs import Source, check_distinct, check_lengths, in_memory, lazily_together, n_columns
from ..data.row_chunks import as_dask
from ..data.targets import Targets
from ..exceptions import ParameterError
from ..hdf5.rows import Hdf5Rows
from ..passes.predict import WeightedOutput, apply
from .solved_estimator import SolvedEstimator

__all__ = ["TableEstimator"]


class TableEstimator(SolvedEstimator):
    """An estimator that learns from X, y and weights of the rows."""

    def _read_y(self, y, X) -> Source:
        """y, given beside X, in a form that the work is done on."""
        raise NotImplementedError

    def _make_targets(self, y: Source, weights: Source | None, *, whole: bool, classes=None) -> Targets:
        """Columns of T for these labels; `whole` when they are all there will be."""
        raise NotImplementedError

    def _open(self, X, y, sample_weight, reset):
        if y is None:
            raise ParameterError(
                f"y: This {type(self).__name__} estimator requires y to be passed, but the target y is None."
            )
        X, y, weights = self._open_rows(X, y, sample_weight, reset)
        if isinstance(X, np.ndarray):
            # Files are 2-D for the most part: one column there is a vector.
            vector = _is_file_of_one_column(y)
            y, weights = in_memory(y=y, sample_weight=weights)
            y = y.reshape(-1) if vector else y
            weights = None if weights is None else weights.reshape(-1)
        return X, y, weights

    def _open_rows(self, X, y, sample_weight, reset) -> tuple[Source, Source | None, Source | None]:
        """X, y and weights of the same rows, checked and in a form that the work is done on; y and weights may be None.

        Opened together, so that columns of one dask frame are made together.
        """
        check_dask_columns(X, "X")
        array, labels, weights = lazily_together(X=X, y=y, sample_weight=sample_weight)
        source = self._open_X(X, reset, array)
        targets = None if y is None else self._read_y(labels, X)
        check_lengths(X=source, y=targets)
        weights = self._open_weights(weights, source)
        check_distinct(X=(X, source), y=(y, targets), sample_weight=(sample_weight, weights))
        return source, targets, weights

    def _note_shape(self, y: Source):
        self._vector_target = y.ndim == 1 or _is_file_of_one_column(y)

    def _start(self, layer, targets, y):
        for name in ("normal_equations_", "_solution", "_vector_target", "_curve"):
            self.__dict__.pop(name, None)
        self._keep_layer(layer)
        self._targets = targets
        if y is not None:
            self._note_shape(y)

    def _score_inputs(self, X, y, sample_weight):
        """(y, lazy predictions, weights) where some of the inputs are lazy."""
        function = self._prediction("score")
        source, targets, weights = self._open_rows(X, y, sample_weight, reset=False)
        return targets, as_dask(apply(function, source, "predict"), ""), weights

    def _weights_of_score(self, sample_weight, X) -> Source | None:
        """Weights of rows in memory, as `fit` takes them."""
        return None if sample_weight is None else self._open_weights(sample_weight, np.empty((_num_samples(X), 0)))

    def _prediction(self, what: str) -> WeightedOutput:
        """What `predict` does with a block of rows; `what` was called."""
        raise NotImplementedError


def _is_file_of_one_column(y):
    return isinstance(y, Hdf5Rows) and n_columns(y) == 1
