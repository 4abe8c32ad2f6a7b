"""`RegressionMethods`: targets that are numbers, predicted and scored by R2."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from glob import has_magic
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_array

from ..cluster.client import this_process
from ..data.finite import check_weights
from ..data.inputs import is_lazy, open_input, plain_values
from ..data.source import in_memory, is_dask_array, is_path, n_columns, source_of
from ..data.targets import RegressionTargets, check_targets
from ..exceptions import DataError, IncompatibleSumsError, InputTypeError, NotSolvedError, ParameterError
from ..hdf5.file_rows import some
from ..passes.predict import UncertainOutput, numbers_of
from ..passes.score import r2
from ..passes.solution_memory import uncertainty_need
from ..ridge.uncertainty import Uncertainty
from .checking import check_bool
from .fitted import Fitted

__all__ = ["RegressionMethods"]

# Predictions may leave the range of the training targets by this fraction of it.
_MARGIN = 0.1


class RegressionMethods(RegressorMixin):
    """Methods of an estimator that predicts numbers."""

    # These come from the other classes of an estimator.
    _fitted: Fitted | None
    verbose: Any
    clip: Any
    _apart: Any
    _apply: Any
    _output_dtype: Any
    _outputs: Any
    _score_inputs: Any
    _solved: Any
    _weights_of_score: Any

    def _read_y(self, y, X):
        _refuse_words(y, X)
        if not is_lazy(y):
            y = plain_values(y, "y")
            _refuse_labels(y)
            return check_array(y, ensure_2d=False, dtype="numeric", ensure_all_finite=False, input_name="y")
        source = open_input(y, "y")
        if source.ndim not in (1, 2):
            raise DataError(f"y must be 1-D or 2-D; got shape {source.shape}.")
        files = source_of(source).files
        if files is not None and files.words is not None:
            raise _no_numbers(f"{files.words} in {some(files.paths)}")
        if source.dtype.kind not in "fiub":
            raise _no_numbers(source.dtype)
        return source

    def _make_targets(self, y, weights, *, whole, classes=None):
        return RegressionTargets(n_columns(y), y.dtype.name)

    def _check_sums(self, sums, name="sums"):
        if sums.targets != RegressionTargets.meaning:
            raise IncompatibleSumsError(
                f"{name}: their targets must be numbers; got {sums.targets}. Use ELMClassifier."
            )

    def predict(self, X, out=None, return_std=False, overwrite=False):
        """Predicted targets, and on request how far new observations may lie from them.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or path(s) of files, of shape (n_samples, n_features)
            Inputs.
        out : str or path-like, optional
            File to stream the predictions to, in bounded memory: HDF5, as one 2-D dataset, or Parquet, if its name
            ends in .parquet.
        return_std : bool, default=False
            Whether to return standard deviations too. They are those of a new observation, its noise included, in the
            Bayesian linear model on H, conditional on the layer and the penalty, with the same noise everywhere:
            s sqrt(1 + 1 / n + h~' (HH + alpha I)^-1 h~). Inputs are clipped, so that they do not grow without bound
            beyond the training range.
        overwrite : bool, default=False
            Whether `out` may replace any regular file that is no input; without, only an earlier result, or an
            empty file.

        Returns
        -------
        ndarray or dask array of shape (n_samples,) or (n_samples, n_targets), or str
            Lazy for dask arrays and files, else in memory. With `out`, its path. With `return_std`, a pair of such
            arrays, of the same shape and dtype: predictions and standard deviations; lazy ones share the hidden layer's
            outputs.

        Raises
        ------
        NotSolvedError
            Nothing is fitted yet; `return_std` of a model that was saved without its sums.
        ParameterError
            `out` with `return_std`, which has two results; `out` is a file that X is read from.
        FileWriteError
            `out` holds something else, without `overwrite`; or the disk is full.
        DataError
            `return_std` of a model with as many degrees of freedom as rows.
        """
        function = self._prediction("predict")
        if not return_std:
            return self._apply(function, X, "predict", out, overwrite)
        if out is not None:
            raise ParameterError(
                f"out: it takes one result, and return_std=True gives two; got {out}. Leave it out and write each: "
                "mean, std = predict(X, return_std=True); to_hdf5(std, path) (make_hdf5 for arrays in memory)."
            )
        n = len(function.coef)
        more = function.coef, function.intercept, self._uncertainty(), function.finish
        function_of_both = UncertainOutput(function.layer, (2 * n,), function.dtype, *more)
        both = self._apply(function_of_both, X, "predict", overwrite=overwrite)
        mean, std = both[:, :n], both[:, n:]
        if not is_dask_array(both):
            mean, std = np.ascontiguousarray(mean), np.ascontiguousarray(std)
        return (mean, std) if function.tail else (mean[:, 0], std[:, 0])

    def _uncertainty(self) -> Uncertainty:
        """The values for standard deviations, computed at the first use; as large as the sums, so not kept in files."""
        solution, fitted = self._solved("predict"), self._fitted
        if fitted is None or (sums := fitted.sums) is None:
            raise NotSolvedError(
                f"This {type(self).__name__} instance was saved without its sums, and return_std needs them. Save it "
                "with save(path, sums=True)."
            )
        if getattr(self, "_uncertain", (None,))[0] is not solution:
            here = this_process(in_process=True)
            uncertainty_need(sums.n_neurons).check(here.memory, here.name)
            error = sums.squared_error(solution.coef, solution.intercept)
            self._uncertain = solution, Uncertainty.of(sums.moments(centred=solution.centred), solution, error)
        return self._uncertain[1]

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_uncertain"}

    def _prediction(self, what):
        coef = self._solved(what).coef
        known = None if self._fitted is None else self._fitted.vector_target
        vector = len(coef) == 1 if known is None else known
        tail = () if vector else (len(coef),)
        return self._outputs(
            what, partial(numbers_of, vector=vector, bounds=self._bounds()), tail, self._output_dtype()
        )

    def _bounds(self) -> np.ndarray | None:
        """Bounds (2, n_targets) of predictions: the range of the training targets, a tenth wider at each end."""
        solution = self._solved("predict")
        if not check_bool(self.clip, "clip") or solution.least_T is None:
            return None
        margin = _MARGIN * (solution.most_T - solution.least_T)
        return np.stack([solution.least_T - margin, solution.most_T + margin])

    def _with_link(self, fitted: Fitted, rows) -> Fitted:
        """The fitted values as they are: numbers have no probabilities."""
        return fitted

    def score(self, X, y=None, sample_weight=None, target=None) -> float:
        """Coefficient of determination R2 of the predictions.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or path(s) of files, of shape (n_samples, n_features)
            Inputs.
        y : the same, of shape (n_samples,) or (n_samples, n_targets)
            True targets.
        sample_weight : the same, of shape (n_samples,), optional
            Weights of the rows.
        target : str or list of str, optional
            Name of the column of X that is y, or names of several, instead of y; X is the other columns. For tables
            whose columns have names.

        Returns
        -------
        float
            The mean over targets; 1 is best. Lazy inputs are worked off chunk by chunk.
        """
        X, y = self._apart(X, y, target)
        _refuse_words(y, X)
        if not any(map(is_lazy, (X, y, sample_weight))):
            self._solved("score")
            y, sample_weight = self._read_y(y, X), self._weights_of_score(sample_weight, X)
            if sample_weight is not None:
                check_weights(sample_weight)
            check_targets(y, sample_weight)
            if sample_weight is not None and not sample_weight.all():
                # Rows of weight zero may hold anything.
                y = np.where(sample_weight.reshape(-1, *[1] * (y.ndim - 1)) > 0, y, 0)
            return super().score(X, y, sample_weight)
        true, predicted, weights = self._score_inputs(X, y, sample_weight)
        if predicted.shape[0] < 2:
            # R2 of fewer than two rows is undefined, and scikit-learn warns of it.
            true, predicted, weights = in_memory(y=true, y_pred=predicted, sample_weight=weights)
            return r2_score(true.reshape(predicted.shape), predicted, sample_weight=weights)
        return r2(true, predicted, weights, self.verbose)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _refuse_words(y, X):
    """Refuse y as a list of words that are not names of files, beside data in memory."""
    if isinstance(y, list | tuple) and is_path(y) and not is_path(X):
        words = [word for word in map(os.fspath, y) if not (os.path.exists(word) or has_magic(word) or "://" in word)]
        if words:
            raise _no_numbers(f"text such as {words[0]!r}, which is no file either")


def _refuse_labels(y):
    # scikit-learn reports rows of different lengths.
    with contextlib.suppress(ValueError):
        values = np.asarray(y)
        if values.dtype.kind in "USmM":
            raise _no_numbers(values.dtype)
        if values.dtype.kind == "O" and (words := [value for value in values.flat if isinstance(value, str | bytes)]):
            raise _no_numbers(f"text such as {words[0]!r}")


def _no_numbers(got):
    return InputTypeError(f"y must hold numbers; got {got}. Use ELMClassifier for labels.")
