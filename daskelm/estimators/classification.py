"""`ClassificationMethods`: labels and label sets, predicted as probabilities, and scored by accuracy."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import metadata_routing
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, column_or_1d

from ..data.finite import check_finite
from ..data.inputs import is_lazy, open_input, plain_values
from ..data.labels import count_classes, labels_in
from ..data.probabilities import ProbabilityLink, probabilities
from ..data.source import is_path, n_columns
from ..data.targets import ClassTargets, IndicatorTargets
from ..exceptions import DataError, IncompatibleSumsError, NotSolvedError, ParameterError
from ..passes.predict import decisions_of, labels_of
from ..passes.score import accuracy
from ..selection.calibration import link_of
from ..selection.unseen import fitted_outputs, fold_outputs, has_folds, sample_rows, unseen_outputs
from .fitted import Fitted

__all__ = ["ClassificationMethods"]


class ClassificationMethods(ClassifierMixin):
    """Methods of an estimator that predicts labels."""

    class_weight: Any

    # These come from the other classes of an estimator.
    _fitted: Fitted | None
    verbose: Any
    _apart: Any
    _apply: Any
    _open: Any
    _output_dtype: Any
    _outputs: Any
    _score_inputs: Any
    _solved: Any
    _weights_of_score: Any

    # Names of output files are not metadata of the rows.
    __metadata_request__predict_proba = {"out": metadata_routing.UNUSED, "overwrite": metadata_routing.UNUSED}
    __metadata_request__decision_function = {"out": metadata_routing.UNUSED, "overwrite": metadata_routing.UNUSED}

    @property
    def classes_(self) -> np.ndarray:
        """Sorted labels of shape (n_classes,)."""
        targets = self._known_targets()
        if targets is None:
            raise NotSolvedError(
                f"This {type(self).__name__} instance is not fitted yet: its classes are not known. Call fit, or "
                "initialize(X, y) or initialize(X, classes=...)."
            )
        return targets.classes if isinstance(targets, ClassTargets) else np.arange(targets.n_targets)

    def _known_targets(self) -> Any:
        return None if self._fitted is None else self._fitted.targets

    def _read_y(self, y, X):
        """y, given with X, as a source of labels."""
        y = _not_files(y, X)
        if is_lazy(y):
            source = labels_in(open_input(y, "y"))
            if source.ndim not in (1, 2):
                raise DataError(f"y must be 1-D or 2-D; got shape {source.shape}.")
            return source
        y = check_array(plain_values(y, "y"), ensure_2d=False, dtype=None, ensure_all_finite=False, input_name="y")
        check_finite(y, "y")
        check_classification_targets(y)
        return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _make_targets(self, y, weights, *, whole, classes=None):
        """Columns of T for these labels; `whole` says that no others will follow."""
        known = None if whole else self._known_targets()
        if y is not None and y.ndim == 2 and n_columns(y) > 1:
            if self.class_weight is not None:
                raise ParameterError(
                    "class_weight does not apply to multi-label targets, where a row is of several classes; got "
                    f"{self.class_weight!r}. Use sample_weight."
                )
            return IndicatorTargets(n_columns(y))
        counts = None
        if classes is not None:
            classes = np.unique(np.asarray(classes))
            if isinstance(known, ClassTargets) and not np.array_equal(classes, known.classes):
                raise ParameterError(f"classes must stay the same; got {classes} now, and {known.classes} before.")
        elif whole:
            classes, counts = count_classes(y, weights, self.verbose)
        elif isinstance(known, ClassTargets):
            classes = known.classes
        else:
            raise ParameterError(
                "classes must be passed on the first call to partial_fit, or be known from initialize(X, y) or "
                "initialize(X, classes=...): a part of the rows may miss a class."
            )
        if len(classes) < 2:
            raise DataError(f"y must hold at least two classes; got {len(classes)} class: {classes.tolist()}.")
        return ClassTargets(classes).with_weights(self.class_weight, counts)

    def _check_sums(self, sums, name="sums"):
        targets = self._known_targets()
        if targets is None:
            raise NotSolvedError(
                "the classes are not known: call initialize(X, y) or initialize(X, classes=...) first."
            )
        # Class weights are in the sums, whatever the parameter is now.
        own = targets.classes_meaning if isinstance(targets, ClassTargets) else targets.meaning
        if sums.targets != own and not sums.targets.startswith(f"{own} weighted "):
            raise IncompatibleSumsError(f"{name}: they must be of this model's targets, {own}; got {sums.targets}.")

    @property
    def probability_link_(self) -> ProbabilityLink | None:
        """How outputs become probabilities, two numbers of `fit` or `calibrate`; None without."""
        self._solved("probability_link_")
        return self._fitted.link  # type: ignore[union-attr]

    def _with_link(self, fitted: Fitted, rows) -> Fitted:
        """The fitted values of these rows, with the link by outputs of models without the row."""
        layer, sums, solution, targets = fitted.layer, fitted.sums, fitted.solution, fitted.targets
        sample = sample_rows(layer, targets, rows.X, rows.y, rows.weights)  # type: ignore[arg-type]
        unseen = unseen_outputs(layer, sums, solution, sample)  # type: ignore[arg-type]
        return replace(fitted, link=link_of(unseen, multi=isinstance(targets, IndicatorTargets)))

    def calibrate(self, X, y=None, sample_weight=None, target=None) -> Self:
        """Fit the link from outputs to probabilities to rows; predicted labels stay as they are.

        `fit` has done it already. Models that were solved from sums alone, after `partial_fit`, `accumulate`, `solve`
        or `select`, have no link until this is called. Some 20,000 of the rows are read. Rows that the model was
        fitted to will do where its sums have folds, as with ``alpha="auto"``, and are kept: each row gets the output
        of the model without its fold. Otherwise the rows must be others.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or path(s) of files, of shape (n_samples, n_features)
            Inputs.
        y : the same, of shape (n_samples,) or (n_samples, n_labels)
            Labels.
        sample_weight : the same, of shape (n_samples,), optional
            Weights of the rows.
        target : str or list of str, optional
            Name of the column of X that is y, or names of several, instead of y; X is the other columns. For tables
            whose columns have names.

        Returns
        -------
        self
            The estimator, with `probability_link_`.

        Raises
        ------
        NotSolvedError
            Before anything was fitted.
        DataError
            Labels that are not among the classes; a row of one label for a model of several, or the other way round;
            no rows of positive weight.
        """
        solution, fitted = self._solved("calibrate"), self._check_is_drawn("calibrate")
        rows, targets = self._open(X, y, sample_weight, target=target), self._known_targets()
        multi = isinstance(targets, IndicatorTargets)
        expected = f"{targets.n_targets} columns of labels" if multi else "one label per row"
        if n_columns(rows.y) != (targets.n_targets if multi else 1):
            raise DataError(f"y must have {expected}, as in fit; got shape {rows.y.shape}.")
        sample = sample_rows(fitted.layer, targets, rows.X, rows.y, rows.weights)
        if not len(sample.X):
            raise DataError(f"X must hold rows of positive weight; got {rows.X.shape[0]} rows without.")
        if fitted.sums is not None and has_folds(fitted.sums):
            unseen = fold_outputs(fitted.layer, fitted.sums, solution, sample)
        else:
            unseen = fitted_outputs(fitted.layer, solution, sample)
        self._fitted = replace(fitted, link=link_of(unseen, multi=multi))
        return self

    def _prediction(self, what):
        return self._function("predict", what)

    def _function(self, result, what=None):
        what = what or result
        self._solved(what)
        classes, multi = self.classes_, isinstance(self._known_targets(), IndicatorTargets)
        dtype = self._output_dtype()
        n = len(classes)
        tail: tuple[int, ...] = (n,)
        if result == "predict":
            finish = partial(labels_of, classes=classes, multi=multi)
            tail, dtype = (tail, np.dtype(np.int64)) if multi else ((), classes.dtype)
        elif result == "predict_proba":
            finish = partial(probabilities, multi=multi, link=self._fitted.link)  # type: ignore[union-attr]
        else:
            finish = partial(decisions_of, multi=multi)
            tail = tail if multi or n > 2 else ()
        return self._outputs(what, finish, tail, dtype)

    def predict(self, X, out=None, overwrite=False):
        """Predicted labels: the most probable one; of multi-label targets, those with a probability above one half.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or path(s) of files, of shape (n_samples, n_features)
            Inputs.
        out : str or path-like, optional
            File to stream the labels to: HDF5, where words are text of variable length in UTF-8, or Parquet, if its
            name ends in .parquet.
        overwrite : bool, default=False
            Whether `out` may replace any regular file that is no input; without, only an earlier result, or an
            empty file.

        Returns
        -------
        ndarray or dask array of shape (n_samples,) or (n_samples, n_labels), or str
            Lazy for dask arrays and files, else in memory. With `out`, its path.

        Raises
        ------
        NotSolvedError
            Nothing is fitted yet.
        ParameterError
            `out` is a file that X is read from.
        FileWriteError
            `out` holds something else, without `overwrite`; or the disk is full.
        """
        return self._apply(self._function("predict"), X, "predict", out, overwrite)

    def predict_proba(self, X, out=None, overwrite=False):
        """Probabilities of the classes, calibrated by `fit` on outputs of models that had not seen the row.

        They are in the order of the outputs, and none is exactly 0 or 1. Models that were solved from sums alone have
        the nearest point of the probability simplex, which is not calibrated; `calibrate` mends that.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or path(s) of files, of shape (n_samples, n_features)
            Inputs.
        out : str or path-like, optional
            File to stream the probabilities to, in bounded memory: HDF5, as one 2-D dataset, or Parquet, if its name
            ends in .parquet.
        overwrite : bool, default=False
            Whether `out` may replace any regular file that is no input; without, only an earlier result, or an
            empty file.

        Returns
        -------
        ndarray or dask array of shape (n_samples, n_classes), or str
            Rows sum to 1; of multi-label targets, each column is a probability of its own. With `out`, its path.
        """
        return self._apply(self._function("predict_proba"), X, "predict_proba", out, overwrite)

    def decision_function(self, X, out=None, overwrite=False):
        """Outputs before they become probabilities.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or path(s) of files, of shape (n_samples, n_features)
            Inputs.
        out : str or path-like, optional
            File to stream the outputs to, in bounded memory: HDF5, as one 2-D dataset, or Parquet, if its name
            ends in .parquet.
        overwrite : bool, default=False
            Whether `out` may replace any regular file that is no input; without, only an earlier result, or an
            empty file.

        Returns
        -------
        ndarray or dask array of shape (n_samples,) or (n_samples, n_classes), or str
            For two classes and for labels of multi-label targets positive where predicted, from -1 to 1 or so; else
            one output per class. With `out`, its path.
        """
        return self._apply(self._function("decision_function"), X, "decision_function", out, overwrite)

    def score(self, X, y=None, sample_weight=None, target=None) -> float:
        """Accuracy: the fraction of rows with the correct label; of multi-label targets, with the exact set of labels.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or path(s) of files, of shape (n_samples, n_features)
            Inputs.
        y : the same, of shape (n_samples,) or (n_samples, n_labels)
            True labels.
        sample_weight : the same, of shape (n_samples,), optional
            Weights of the rows.
        target : str or list of str, optional
            Name of the column of X that is y, or names of several, instead of y; X is the other columns. For tables
            whose columns have names.

        Returns
        -------
        float
            Between 0 and 1. Lazy inputs are worked off chunk by chunk.
        """
        X, y = self._apart(X, y, target)
        y = _not_files(y, X)
        if not any(map(is_lazy, (X, y, sample_weight))):
            self._solved("score")
            return super().score(X, plain_values(y, "y"), self._weights_of_score(sample_weight, X))
        true, predicted, weights = self._score_inputs(X, y, sample_weight)
        return accuracy(true, predicted, weights, self.verbose)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _not_files(y, X):
    """y, where a list of words is taken as labels, unless X is a path: then it is a list of files."""
    if not isinstance(y, list | tuple) or is_path(X):
        return y
    # This check comes first, since NumPy would turn a missing value among words into the string 'nan'.
    check_finite(np.asarray(y, object), "y")
    return np.asarray(y)
