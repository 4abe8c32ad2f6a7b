"""`BaseELM`: the base class of all estimators, with a hidden layer that transforms inputs."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from ..cluster.client import sharing
from ..data.make_hdf5 import make_hdf5
from ..data.source import Source, is_dask_array, is_path
from ..data.table_file import check_ending
from ..data.targets import Targets
from ..data.to_hdf5 import stream_hdf5
from ..data.to_parquet import stream_parquet
from ..exceptions import InputTypeError, NotSolvedError, ParameterError
from ..hdf5.atomic import check_replaceable
from ..hdf5.outputs import check_not_an_input
from ..hdf5.paths import refuse_written
from ..layer.layer import Layer
from ..layer.specification import draws_by_rows
from ..lazy import da
from ..parquet.target import check_parquet_replaceable, is_parquet_name
from ..passes.predict import RowFunction, apply
from ._sklearn_compat import FittedTable, check_feature_names_in, output_config
from .checking import Rows, open_X
from .drawing import draw_layer
from .fitted import Columns, Fitted, made_with
from .state import from_plain, to_plain

__all__ = ["BaseELM"]


class BaseELM(FittedTable, TransformerMixin, BaseEstimator):
    """Base class of all estimators: a hidden layer that is drawn, transforms inputs, and is pickled as plain values."""

    neurons: Any
    standardize: bool
    missing: str
    dtype: Any
    random_state: Any

    # The result of fitting, assigned last of all; attributes that end with an underscore are read from it.
    _fitted: Fitted | None = None

    @property
    def hidden_layer_(self) -> Layer:
        """The hidden layer: a function of blocks of X."""
        return self._check_is_drawn("hidden_layer_").layer

    @property
    def neurons_(self) -> list:
        """Groups of neurons as they were drawn, in the form of the parameter `neurons`."""
        return list(self._check_is_drawn("neurons_").draws.neurons)

    @property
    def draw_errors_(self) -> dict[str, float]:
        """Errors of the draws that ``neurons="auto"`` chose from, by name: see `neurons_`.

        Each is the squared error on held-out rows of the sample, over the variance of the targets.
        """
        errors = self._check_is_drawn("draw_errors_").draws.errors
        if errors is None:
            raise AttributeError(
                f"draw_errors_: the draw of this {type(self).__name__}'s neurons was not chosen. Give neurons='auto', "
                "or (500, 'auto'); few rows are not enough for a choice."
            )
        return dict(errors)

    @property
    def n_features_in_(self) -> int:
        """Number of inputs."""
        return self._check_is_drawn("n_features_in_").columns.n_features

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the inputs, of shape (n_features,), if they had any."""
        names = self._check_is_drawn("feature_names_in_").columns.names
        if names is None:
            raise AttributeError(
                f"feature_names_in_: this {type(self).__name__} was fitted to inputs whose columns have no names. Fit "
                "it to a data frame."
            )
        return np.array(names, dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return self._fitted is not None

    def _check_is_drawn(self, what: str) -> Fitted:
        """The result of fitting, which has a layer; raise an error if there is none, since `what` needs the layer."""
        if self._fitted is None:
            first = "initialize or fit" if what in ("accumulate", "transform", "get_feature_names_out") else "fit"
            raise NotSolvedError(
                f"This {type(self).__name__} instance is not fitted yet: {what} needs the hidden layer. Call {first} "
                "first, or load a saved model."
            )
        return self._fitted

    def _check_same_parameters(self, what: str) -> Fitted:
        """The result of fitting; raise an error if parameters that layer and sums depend on were changed since."""
        fitted = self._check_is_drawn(what)
        fitted.check_parameters(self.get_params(deep=False), what)
        return fitted

    def _takes_gaps(self) -> bool:
        """Whether NaN in X is a gap."""
        if not isinstance(self.missing, str) or self.missing not in ("error", "indicator"):
            raise ParameterError(f"missing must be 'error' or 'indicator'; got {self.missing!r}.")
        return self.missing == "indicator"

    def _known_columns(self) -> Columns | None:
        return None if self._fitted is None else self._fitted.columns

    def _draw(self, rows: Rows, targets: Targets | None = None, *, whole: bool = True) -> Fitted:
        """A new layer with the scale of X, and nothing else yet; `whole` when no other rows will follow."""
        params = self.get_params(deep=False)
        layer, draws = draw_layer(params, rows, targets, whole=whole)
        return Fitted(layer, rows.columns, made_with(params), draws=draws)

    def _opened(self, X) -> tuple[Source, Columns]:
        """X of a fitted estimator, checked, and its columns."""
        return open_X(X, type(self).__name__, self._known_columns(), gaps=self._takes_gaps())

    def _apply(self, function, X, name, out=None, overwrite=False):
        verbose = getattr(self, "verbose", 0)
        if out is None:
            if overwrite:
                raise ParameterError(f"overwrite: it goes with out=, a file to write; got {overwrite!r} without one.")
            return apply(function, self._opened(X)[0], name, verbose)
        refuse_written(out)
        to_parquet = is_parquet_name(out)
        if not to_parquet:
            check_ending(out, "out")
        source, _ = self._opened(X)
        # These checks come before the work, which may take hours.
        check_not_an_input(out, X=[X, source] if is_path(X) else source)
        if to_parquet:
            check_parquet_replaceable(out, overwrite)
        else:
            check_replaceable(out, "data", overwrite)
        words = function.dtype.kind not in "fiub"
        if words and not to_parquet and not all(isinstance(label, str) for label in self.classes_):
            raise InputTypeError(
                f"out: HDF5 files must hold numbers or text; got labels of type {function.dtype}. Write them to a file "
                "named .parquet, or probabilities with predict_proba(X, out=...), or code the labels as numbers before "
                "fit."
            )
        result = apply(function, source, name, verbose)
        if to_parquet:
            names = self._output_names(name, function.tail)
            with sharing(function.layer.nbytes):
                return stream_parquet(result, out, names, overwrite=overwrite, verbose=verbose, label=name)
        if words and not is_dask_array(result):
            result = da.from_array(result)
        if is_dask_array(result):
            with sharing(function.layer.nbytes):
                return stream_hdf5(result, out, overwrite=overwrite, verbose=verbose, label=name, trusted=True)
        return make_hdf5(result, out, overwrite=overwrite, verbose=verbose)

    def _output_names(self, name: str, tail: tuple[int, ...]) -> list[str]:
        """Names of the columns of a result in a file: those of classes, or "prediction", with numbers if several."""
        classes = getattr(self, "classes_", None)
        if tail and classes is not None:
            return [str(label) for label in classes]
        word = "decision" if name == "decision_function" else "prediction"
        return [f"{word}_{i}" for i in range(tail[0])] if tail else [word]

    def transform(self, X):
        """Outputs of the hidden layer.

        Parameters
        ----------
        X : array-like, dask array, or path(s) of files, of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray or dask array of shape (n_samples, n_neurons)
            H, of the layer's dtype; lazy for dask arrays and files. In memory, what `set_output` asks for.

        Raises
        ------
        NotSolvedError
            The layer is not drawn yet.
        ParameterError
            Lazy X, where `set_output` asks for a data frame, which is in memory.
        """
        layer = self._check_is_drawn("transform").layer
        H = self._apply(RowFunction(layer, (layer.n_neurons,), layer.dtype), X, "transform")
        frames = output_config("transform", self)["dense"]
        if is_dask_array(H) and frames != "default":
            raise ParameterError(
                f"set_output: a data frame of {frames} is in memory, and H of lazy X is not loaded silently; "
                f"got H of shape {H.shape}. Use set_output(transform='default'), and for a lazy frame "
                "dask.dataframe.from_dask_array(H, columns=model.get_feature_names_out())."
            )
        return H

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Names of the neurons: their function, and a number within those of the same function.

        Parameters
        ----------
        input_features : array-like of str of shape (n_features,), optional
            Checked against the names seen in fit, if any.

        Returns
        -------
        ndarray of shape (n_neurons,), object
            Such as "lin0", "tanh0", "tanh1".
        """
        layer = self._check_is_drawn("get_feature_names_out").layer
        check_feature_names_in(self, input_features)
        return np.array(layer.feature_names_out, dtype=object)

    def __getstate__(self) -> dict:
        # Pickle, joblib, copy and skops all call this: the state needs no class of ours but the estimator's own.
        return {name: to_plain(value) for name, value in super().__getstate__().items()}

    def __setstate__(self, state: dict) -> None:
        super().__setstate__({name: from_plain(value) for name, value in state.items()})

    @classmethod
    def _of(cls, params: dict, fitted: Fitted | None) -> Self:
        """An estimator with parameters and a result of fitting that come from a file."""
        model = cls(**params)
        model._fitted = fitted
        return model

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.sparse = self.missing != "indicator" and not draws_by_rows(self.neurons)
        return tags
