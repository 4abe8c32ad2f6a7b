"""What all estimators share: taking data in, drawing the layer, transforming with it."""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from typing import Any, Self

import dask.array as da
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import (
    _check_feature_names_in,
    _check_n_features,
    _check_sample_weight,
    validate_data,
)

from ..cluster.client import sharing
from ..data.column_ranges import column_ranges
from ..data.frames import check_columns, columns_of
from ..data.inputs import (
    Source,
    check_finite,
    check_lengths,
    familiar,
    is_lazy,
    is_path,
    n_columns,
    one_column,
    open_input,
    probe,
)
from ..data.interop import header_of
from ..data.to_hdf5 import check_ending, make_hdf5, stream_hdf5
from ..exceptions import DataError, InputTypeError, NotSolvedError, ParameterError, ScaleWarning
from ..hdf5.atomic import check_replaceable
from ..hdf5.outputs import check_not_an_input
from ..hdf5.paths import refuse_written
from ..hdf5.rows import Hdf5Rows
from ..layer.layer import Layer, Scale
from ..layer.neurons import Neurons, parse_neurons
from ..passes.predict import LayerOutput, apply
from .diagram import LayerPicture
from .parameters import changed, check_bool, snapshot
from .plain_state import from_plain, to_plain

__all__ = ["LayerEstimator"]

# Fewer first rows cost accuracy: with 10, R2 fell by up to 0.02, with 30 by less than 0.01
# (docs/measurements.md, "First rows").
_ENOUGH_ROWS = 30
# So many names of columns are read in a message.
_NAMED = 6


class LayerEstimator(LayerPicture, TransformerMixin, BaseEstimator):
    """An estimator with a hidden layer: draws it, transforms with it, is saved with it."""

    neurons: Any
    standardize: bool
    dtype: Any
    random_state: Any

    # What layer and sums are made with: another value means nothing until they are made anew.
    _made_of: tuple[str, ...] = ("neurons", "standardize", "dtype", "random_state")

    def _open_X(self, X, reset: bool, array=None) -> Source:
        """X checked and in a form that the work is done on; `reset` takes its number and names of columns.

        `array` is X as `lazily_together` gives it, where it was opened with others.
        """
        # Of a DataArray, whose dask array has no names.
        header = header_of(X)
        X = familiar(X, "X")
        check_columns(X, "X")
        columns = columns_of(X)
        if not is_lazy(X):
            # Finite or not is seen block by block, with the number of the row; names of columns are known here only.
            try:
                array = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite=False)
            except ValueError as error:
                if (text := re.search("could not convert string to float: (.*)", str(error))) is None:
                    raise
                raise DataError(
                    f"X must hold numbers; got text, {text[1]} first. Drop columns of text, or code them as numbers "
                    "first, for example with pandas.get_dummies."
                ) from None
            if columns is not None:
                check_finite(array, "X", columns=columns)
            return array
        source = open_input(X if array is None else array, "X")
        if source.ndim != 2:
            single = "from_hdf5(path)[:, None]" if isinstance(source, Hdf5Rows) else "X.reshape(-1, 1)"
            raise DataError(
                f"X must be 2-D, (n_samples, n_features); got shape {source.shape}. Use {single} for a single feature."
            )
        if source.dtype.kind not in "fiub":
            raise InputTypeError(f"X must hold numbers; got {source.dtype}. Drop or code text columns first.")
        if columns is not None:
            header = X._meta
        if reset or header is not None:
            names = np.empty((1, n_columns(source))) if header is None else header
            validate_data(self, names, reset=reset, skip_check_array=True)
        else:
            # Files and dask arrays cannot have names, so that there is nothing to warn of.
            _check_n_features(self, source, reset=False)
        if not n_columns(source):
            raise DataError(f"X must have at least one column; got shape {source.shape}.")
        return source

    def _open_weights(self, sample_weight, X: Source) -> Source | None:
        if sample_weight is None:
            return None
        if not is_lazy(sample_weight):
            sample_weight = one_column(familiar(sample_weight, "sample_weight"))
            if isinstance(X, np.ndarray):
                return _check_sample_weight(sample_weight, X, dtype=np.float64)
            sample_weight = np.asarray(sample_weight, np.float64)
            if sample_weight.ndim == 0:
                sample_weight = np.full(X.shape[0], sample_weight)
        weights = open_input(sample_weight, "sample_weight")
        if weights.dtype.kind not in "fiub":
            raise InputTypeError(f"sample_weight must hold numbers; got {weights.dtype}. Code them as numbers first.")
        if weights.ndim not in (1, 2) or n_columns(weights) != 1:
            remedy = " Name a dataset: from_hdf5(path, dataset=...)." if isinstance(weights, Hdf5Rows) else ""
            raise DataError(f"sample_weight must be one number per row; got shape {weights.shape}.{remedy}")
        check_lengths(X=X, sample_weight=weights)
        return weights

    def _draw(self, X: Source, weights: Source | None, whole: bool = True) -> Layer:
        """A new layer, with the scale of X; `whole` when these are all rows that the estimator will see."""
        standardize = check_bool(self.standardize, "standardize")
        if not X.shape[0]:
            raise DataError(f"X must have at least one row; got shape {X.shape}.")
        if self.dtype not in (None, "float32", "float64", np.float32, np.float64):
            raise ParameterError(f"dtype must be None (that of X), float32 or float64; got {self.dtype!r}.")
        follows = np.float32 if X.dtype == np.float32 else np.float64
        scale = None
        if standardize:
            rows, probed_weights = probe(X, weights)
            # Given neurons see the inputs as they are.
            if not all(isinstance(group, Neurons) for group in parse_neurons(self.neurons, n_columns(X))):
                names = getattr(self, "feature_names_in_", None)
                scale = Scale.of(rows, probed_weights, names)
                n_rows = len(rows) if probed_weights is None else np.count_nonzero(probed_weights)
                if whole and scale.constant.any() and len(rows) < X.shape[0]:
                    # A rare flag may be in none of the rows looked at.
                    scale, n_rows = self._scale_of_all(scale, rows, probed_weights, X, weights), X.shape[0]
                _warn_of(scale, n_rows, names, whole)
        return Layer.draw(self.neurons, n_columns(X), self._seed(), np.dtype(self.dtype or follows), scale)

    def _scale_of_all(self, scale, rows, probed_weights, X, weights) -> Scale:
        """The scale where columns that are constant in the rows looked at are looked at in all rows."""
        columns = np.flatnonzero(scale.constant)
        counted = 0 if probed_weights is None else int(np.argmax(probed_weights > 0))
        at = rows[counted, columns].astype(np.float64)
        return scale.with_ranges(columns, at, *column_ranges(X, weights, columns, getattr(self, "verbose", 0)))

    def _seed(self) -> int:
        try:
            generator = check_random_state(self.random_state)
        except ValueError:
            raise ParameterError(
                "random_state must be None, an int from 0 to 2**32 - 1, or a numpy.random.RandomState; got "
                f"{self.random_state!r}. Of a numpy Generator take an int: int(rng.integers(2**32))."
            ) from None
        if isinstance(self.random_state, int | np.integer) and not isinstance(self.random_state, bool):
            return int(self.random_state)
        return int(generator.randint(2**31))

    def _keep_layer(self, layer: Layer):
        self.hidden_layer_ = layer
        params = self.get_params(deep=False)
        self._made_with = snapshot({name: params[name] for name in self._made_of})

    def _need_same_parameters(self, what: str):
        before, now = getattr(self, "_made_with", {}), self.get_params(deep=False)
        if (name := changed(before, now)) is not None:
            raise ParameterError(
                f"{name}: {what} needs the value that the hidden layer and its sums were made with, {before[name]!r}; "
                f"got {now[name]!r}. Set it back, or begin anew with fit or initialize."
            )

    def _need_layer(self, what: str) -> Layer:
        layer = getattr(self, "hidden_layer_", None)
        if layer is None:
            first = "initialize or fit" if what in ("accumulate", "transform", "get_feature_names_out") else "fit"
            raise NotSolvedError(
                f"This {type(self).__name__} instance is not fitted yet: {what} needs the hidden layer. Call {first} "
                "first, or load a saved model."
            )
        return layer

    def _apply(self, function, X, name, out=None, overwrite=False):
        verbose = getattr(self, "verbose", 0)
        if out is None:
            if overwrite:
                raise ParameterError(f"overwrite: it goes with out=, a file to write; got {overwrite!r} without one.")
            return apply(function, self._open_X(X, reset=False), name, verbose)
        refuse_written(out)
        check_ending(out, "out")
        source = self._open_X(X, reset=False)
        # Before the work, which may take hours.
        check_not_an_input(out, X=[X, source] if is_path(X) else source)
        check_replaceable(out, "data", overwrite)
        if function.dtype.kind not in "fiub":
            raise InputTypeError(
                f"out: HDF5 files hold numbers here, and labels of type {function.dtype} are none. Write "
                "probabilities with predict_proba(X, out=...), or code the labels as numbers before fit."
            )
        result = apply(function, source, name, verbose)
        if isinstance(result, da.Array):
            with sharing(function.layer.nbytes):
                return stream_hdf5(result, out, overwrite=overwrite, verbose=verbose, label=name, trusted=True)
        return make_hdf5(result, out, overwrite=overwrite, verbose=verbose)

    @contextlib.contextmanager
    def _unchanged_on_error(self):
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def transform(self, X):
        """Outputs of the hidden layer.

        Parameters
        ----------
        X : array-like, dask array, or HDF5 path, of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray or dask array of shape (n_samples, n_neurons)
            H, of the layer's dtype; lazy for dask arrays and files. In memory, what `set_output` asks for.

        Raises
        ------
        NotSolvedError
            Before the layer was drawn.
        ParameterError
            Lazy X, where `set_output` asks for a data frame, which is in memory.
        """
        H = self._apply(LayerOutput(self._need_layer("transform")), X, "transform")
        frames = _get_output_config("transform", self)["dense"]
        if isinstance(H, da.Array) and frames != "default":
            raise ParameterError(
                f"set_output: a data frame of {frames} is in memory, and H of lazy X is not loaded silently; "
                f"got H of shape {H.shape}. Use set_output(transform='default'), and for a lazy frame "
                "dask.dataframe.from_dask_array(H, columns=model.get_feature_names_out())."
            )
        return H

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Names of the neurons: kind and number within the kind.

        Parameters
        ----------
        input_features : array-like of str of shape (n_features,), optional
            Checked against the names seen in fit, if any.

        Returns
        -------
        ndarray of shape (n_neurons,), object
            Such as "lin0", "tanh0", "tanh1".
        """
        layer = self._need_layer("get_feature_names_out")
        _check_feature_names_in(self, input_features)
        return np.array(layer.feature_names_out, dtype=object)

    def _state(self) -> dict:
        self._need_same_parameters("save")
        params = self.get_params(deep=False)
        facts: dict = {}
        if hasattr(self, "hidden_layer_"):
            if isinstance(params["random_state"], np.random.RandomState | np.random.Generator):
                params["random_state"] = None
            facts["n_features_in"] = int(self.n_features_in_)
            if hasattr(self, "feature_names_in_"):
                facts["feature_names_in"] = list(self.feature_names_in_)
        layer = getattr(self, "hidden_layer_", None)
        return {"class": type(self).__name__, "params": params, "facts": facts, "layer": layer}

    @classmethod
    def _from_state(cls, state: dict) -> Self:
        model = cls(**state["params"])
        facts = state["facts"]
        if state["layer"] is not None:
            # Saved models are what their parameters say.
            model._keep_layer(state["layer"])
            model.n_features_in_ = facts["n_features_in"]
            if "feature_names_in" in facts:
                model.feature_names_in_ = np.array(facts["feature_names_in"], dtype=object)
        return model

    def __getstate__(self) -> dict:
        # Pickle, joblib, copy and skops all ask for it: nothing in it needs a class of ours but the estimator's own.
        return {name: to_plain(value) for name, value in super().__getstate__().items()}

    def __setstate__(self, state: dict) -> None:
        super().__setstate__({name: from_plain(value) for name, value in state.items()})

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _warn_of(scale, n_rows, names, whole):
    """Warn of a scale that rests on little; refuse one that leaves nothing of rows to come."""
    constant = np.flatnonzero(scale.constant)
    if not whole and len(constant) == len(scale.scale):
        raise DataError(
            "X: the first rows must differ, since the scale of the inputs is taken from them, and what never varied "
            f"there enters no neuron; got {n_rows} row(s) that are all the same. Give more rows, or a sample of the "
            "rows to come to initialize(X) first."
        )
    said = []
    if len(constant):
        columns = [str(i) if names is None else repr(str(names[i])) for i in constant[:_NAMED]]
        more = f" and {len(constant) - _NAMED} more" if len(constant) > _NAMED else ""
        said.append(
            f"column(s) {', '.join(columns)}{more} of X never varied in the {n_rows} row(s) that the scale of the "
            "inputs was taken from: they enter no neuron, and nothing depends on them, whatever they hold later"
        )
    if not whole and n_rows < _ENOUGH_ROWS:
        said.append(f"the scale of the inputs rests on these first {n_rows} rows, for all that come later")
    if said:
        remedy = "Drop such columns" if whole else "Call initialize with a larger sample of the rows first, or fit"
        text = "; ".join(said)
        warnings.warn(f"{text[0].upper()}{text[1:]}. {remedy}.", ScaleWarning, stacklevel=_callers())


def _callers():
    """Stack level of whoever called the library, which scikit-learn may have wrapped, seen from the caller of this."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(("daskelm.", "sklearn.")):
        frame, level = frame.f_back, level + 1
    return level
