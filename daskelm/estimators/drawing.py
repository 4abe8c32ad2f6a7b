"""Drawing of the hidden layer of an estimator, with the scale of its inputs, and the warnings about that scale."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from sklearn.utils import check_random_state

from ..data.probe import column_ranges, probe
from ..data.source import Source, n_columns
from ..exceptions import DataError, ParameterError, ScaleWarning
from ..layer.layer import Layer, Scale
from ..layer.neurons import Neurons, parse_neurons
from .checking import check_bool

__all__ = ["draw_layer"]

# Fewer first rows cost accuracy: with 10, R2 fell by up to 0.02, with 30 by less than 0.01 (docs/design.md, "Layer").
_ENOUGH_ROWS = 30
# Largest number of columns that a message names.
_MOST_NAMES = 6


def draw_layer(
    params: Mapping, X: Source, weights: Source | None, names: Sequence[str] | None, *, whole: bool = True
) -> Layer:
    """A new layer with the scale of X, for the parameters of an estimator; parameters it does not have are not checked.

    `names` are those of the columns, for messages; `whole` says that the estimator will see no other rows.
    """
    if params.get("gram_dtype", "float64") not in ("float64", "float32", np.float64, np.float32):
        raise ParameterError(f"gram_dtype must be float64 or float32; got {params['gram_dtype']!r}.")
    check_bool(params.get("fit_intercept", True), "fit_intercept")
    standardize = check_bool(params["standardize"], "standardize")
    if not X.shape[0]:
        raise DataError(f"X must have at least one row; got shape {X.shape}.")
    dtype, neurons = params["dtype"], params["neurons"]
    if dtype not in (None, "float32", "float64", np.float32, np.float64):
        raise ParameterError(f"dtype must be None (that of X), float32 or float64; got {dtype!r}.")
    follows = np.float32 if X.dtype == np.float32 else np.float64
    scale = None
    # Given neurons act on the inputs as they are.
    if standardize and not all(isinstance(group, Neurons) for group in parse_neurons(neurons, n_columns(X))):
        scale = _scale_of(X, weights, names, whole, params.get("verbose", 0))
    layer = Layer.draw(neurons, n_columns(X), _seed(params["random_state"]), np.dtype(dtype or follows), scale)
    gram_dtype = np.dtype(params.get("gram_dtype", "float64"))
    if gram_dtype == np.float32 and layer.dtype != np.float32:
        raise ParameterError(
            f"gram_dtype: sums in float32 need a hidden layer in float32; got one in {layer.dtype}. Give "
            "dtype='float32' too, or X in float32."
        )
    return replace(layer, gram_dtype=gram_dtype)


def _scale_of(X, weights, names, whole, verbose) -> Scale:
    rows, probed_weights = probe(X, weights)
    scale = Scale.of(rows, probed_weights, names)
    n_rows = len(rows) if probed_weights is None else np.count_nonzero(probed_weights)
    if whole and scale.constant.any() and len(rows) < X.shape[0]:
        # A rare flag may be in no row of the sample: ranges of columns that are constant there are taken from all rows.
        columns = np.flatnonzero(scale.constant)
        counted = 0 if probed_weights is None else int(np.argmax(probed_weights > 0))
        at = rows[counted, columns].astype(np.float64)
        scale = scale.with_ranges(columns, at, *column_ranges(X, weights, columns, verbose))
        n_rows = X.shape[0]
    _warn_of(scale, n_rows, names, whole)
    return scale


def _seed(random_state) -> int:
    try:
        generator = check_random_state(random_state)
    except ValueError:
        raise ParameterError(
            "random_state must be None, an int from 0 to 2**32 - 1, or a numpy.random.RandomState; got "
            f"{random_state!r}. Of a numpy Generator take an int: int(rng.integers(2**32))."
        ) from None
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool):
        return int(random_state)
    return int(generator.randint(2**31))


def _warn_of(scale, n_rows, names, whole):
    """Warn of a scale that few rows or constant columns make unsafe; refuse first rows that are all the same."""
    constant = np.flatnonzero(scale.constant)
    if not whole and len(constant) == len(scale.scale):
        raise DataError(
            "X: the first rows must differ, since the scale of the inputs is taken from them, and a column that does "
            f"not vary there enters no neuron; got {n_rows} row(s) that are all the same. Give more rows, or a sample "
            "of the rows to come to initialize(X) first."
        )
    reasons = []
    if len(constant):
        columns = [str(i) if names is None else repr(str(names[i])) for i in constant[:_MOST_NAMES]]
        more = f" and {len(constant) - _MOST_NAMES} more" if len(constant) > _MOST_NAMES else ""
        reasons.append(
            f"column(s) {', '.join(columns)}{more} of X never varied in the {n_rows} row(s) that the scale of the "
            "inputs was taken from: they enter no neuron, and nothing depends on them, whatever they hold later"
        )
    if not whole and n_rows < _ENOUGH_ROWS:
        reasons.append(f"the scale of the inputs rests on these first {n_rows} rows, for all that come later")
    if reasons:
        remedy = "Drop such columns" if whole else "Call initialize with a larger sample of the rows first, or fit"
        text = "; ".join(reasons)
        warnings.warn(f"{text[0].upper()}{text[1:]}. {remedy}.", ScaleWarning, stacklevel=_callers())


def _callers():
    """Stack level, for the caller of this, of the first frame outside of daskelm and scikit-learn."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(("daskelm.", "sklearn.")):
        frame, level = frame.f_back, level + 1
    return level
