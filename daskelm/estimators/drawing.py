"""Drawing of the hidden layer of an estimator by the first rows: scale, draws, and the warnings about them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from ..data.probe import Probe, column_ranges, probe
from ..data.source import n_columns, source_of
from ..data.targets import Targets
from ..draws.choice import choose_draw
from ..draws.coding import coding_of
from ..draws.sample import sample_of
from ..exceptions import DataError, DrawWarning, ParameterError, ScaleWarning
from ..layer.coding import Coding
from ..layer.layer import Layer
from ..layer.neurons import Neurons
from ..layer.scale import Scale
from ..layer.specification import AUTO, UNCOUNTED, Group, needs_rows, needs_targets, parse_neurons
from ..layer.weights import Sample
from ..passes.memory import check_weights_fit
from ..sparse import SparseRows
from .checking import Rows, check_bool
from .fitted import Draws

__all__ = ["draw_layer"]

# Fewer first rows cost accuracy: with 10, R2 fell by up to 0.02, with 30 by less than 0.01 (docs/measurements.md,
# "First rows").
_ENOUGH_ROWS = 30
# Sparse rows of more columns are not passed through by default, and have so many neurons instead.
_FEW_SPARSE, _SPARSE_NUMBER = 1000, 1000
# Largest number of columns that a message names.
_MOST_NAMES = 6


class _Seen(NamedTuple):
    """The rows that a layer is drawn by, the scale of their inputs, and their coding; None for what is not needed."""

    rows: Probe | None
    scale: Scale | None
    coding: Coding | None = None


def draw_layer(params: Mapping, rows: Rows, targets: Targets | None, *, whole: bool = True) -> tuple[Layer, Draws]:
    """A new layer with the scale of X, for the parameters of an estimator; parameters it does not have are not checked.

    `targets` are those of the rows, where there are any; `whole` says that the estimator will see no other rows.
    """
    X = rows.X
    if params.get("gram_dtype", "float64") not in ("float64", "float32", np.float64, np.float32):
        raise ParameterError(f"gram_dtype must be float64 or float32; got {params['gram_dtype']!r}.")
    check_bool(params.get("fit_intercept", True), "fit_intercept")
    standardize = check_bool(params["standardize"], "standardize")
    if not X.shape[0]:
        raise DataError(f"X must have at least one row; got shape {X.shape}.")
    dtype = params["dtype"]
    if dtype not in (None, "float32", "float64", np.float32, np.float64):
        raise ParameterError(f"dtype must be None (that of X), float32 or float64; got {dtype!r}.")
    follows = np.float32 if X.dtype == np.float32 else np.float64
    neurons = _default_of(params["neurons"], X)
    groups = parse_neurons(neurons, n_columns(X), UNCOUNTED)
    if source_of(X).is_sparse and needs_rows(groups):
        raise ParameterError(
            f"neurons: draws by rows need dense X; got sparse rows, with neurons={neurons!r}. Draw at random, such as "
            "(500, 'tanh'), or make the columns few, for example with sklearn.decomposition.TruncatedSVD."
        )
    if needs_targets(groups) and (rows.y is None or targets is None):
        raise ParameterError(
            f"y: neurons={params['neurons']!r} are drawn by rows and their targets; got no y. Give y beside X, to "
            "initialize too."
        )
    seed = _seed(params["random_state"])
    gaps = params["missing"] == "indicator"
    seen = _see(groups, rows, standardize, gaps, whole, params.get("verbose", 0))
    if gaps or rows.columns.levels is not None:
        levels, probed = rows.columns.levels, seen.rows
        coding = coding_of(probed, seen.scale, levels, targets, gaps=gaps, seed=seed)  # type: ignore[arg-type]
        seen = seen._replace(coding=coding)
    groups = parse_neurons(neurons, n_columns(X), None if seen.coding is None else len(seen.coding.passed))
    groups, errors, sample = _chosen(groups, seen, targets, seed, whole)
    n_drawn = n_columns(X) if seen.coding is None else seen.coding.n_inputs
    check_weights_fit(sum(group.number for group in groups if isinstance(group, Group)), n_drawn)
    layer = Layer.draw(groups, n_columns(X), seed, np.dtype(dtype or follows), seen.scale, sample, seen.coding)
    gram_dtype = np.dtype(params.get("gram_dtype", "float64"))
    if gram_dtype == np.float32 and layer.dtype != np.float32:
        raise ParameterError(
            f"gram_dtype: sums in float32 need a hidden layer in float32; got one in {layer.dtype}. Give "
            "dtype='float32' too, or X in float32."
        )
    return replace(layer, gram_dtype=gram_dtype), Draws(_written(groups), errors)


def _default_of(neurons, X):
    """The parameter `neurons`, or what is drawn where it is not given and X is sparse, with many columns."""
    if neurons is None and source_of(X).is_sparse and n_columns(X) > _FEW_SPARSE:
        return [(_SPARSE_NUMBER, "tanh")]
    return neurons


def _see(groups, rows: Rows, standardize, gaps, whole, verbose) -> _Seen:
    # Given neurons act on the inputs as they are.
    given = any(isinstance(group, Neurons) for group in groups)
    if given and (gaps or rows.columns.levels is not None):
        raise ParameterError(
            "neurons: given Neurons see the inputs as they are, and there are no numbers for gaps and categories; got "
            f"{'missing=' + repr('indicator') if gaps else 'columns of categories'} beside Neurons. Leave them out, or "
            "fill and code such columns first."
        )
    standardize = standardize and not all(isinstance(group, Neurons) for group in groups)
    if not standardize and not needs_rows(groups) and not gaps and rows.columns.levels is None:
        return _Seen(None, None)
    probed = probe(rows.X, rows.weights, rows.y if needs_targets(groups) else None, gaps=gaps)
    return _Seen(probed, _scale_of(probed, rows, whole, verbose) if standardize else None)


def _chosen(groups, seen: _Seen, targets, seed, whole) -> tuple[list, dict | None, Sample | None]:
    """Groups with draws that are chosen where they were not given, their errors, and the sample they are drawn by."""
    if not needs_rows(groups):
        return groups, None, None
    X, weights, y = seen.rows  # type: ignore[misc]
    T = None
    if y is not None:
        weights, T = targets.row_weights(y, weights), targets.encode(y)
    Z = X.astype(np.float64, copy=False) if seen.scale is None else seen.scale(X)
    if seen.coding is not None:
        Z = seen.coding(X, Z)[:, : seen.coding.n_drawn]
    sample = sample_of(Z, T, weights, seed, relevance=y is not None)
    automatic = [group for group in groups if isinstance(group, Group) and group.kind == AUTO]
    if automatic:
        choice = choose_draw(automatic[0].number, sample, seed)
        if choice.errors is None and not whole:
            # The layer of few first rows would stay random for all rows to come.
            warnings.warn(
                f"neurons='auto': the first {len(Z)} row(s) say too little to choose a draw, and neurons are random "
                "for all rows to come. Call initialize(X, y) with a sample of some thousand rows first.",
                DrawWarning,
                stacklevel=_callers(),
            )
        return [*groups[:-1], *choice.groups], choice.errors, sample
    if needs_targets(groups) and sample.metric is None:
        warnings.warn(
            f"The relevance of the inputs is not known from {len(Z)} row(s): they are few, or X or y does not vary. "
            "Neurons are drawn as if all inputs were relevant. Give more rows.",
            DrawWarning,
            stacklevel=_callers(),
        )
    return groups, None, sample


def _written(groups) -> tuple:
    """Groups as the parameter `neurons` has them: plain tuples, without the draw where it is random."""
    return tuple(
        group if isinstance(group, Neurons) else tuple(group) if group.draw != "random" else tuple(group[:2])
        for group in groups
    )


def _scale_of(probed: Probe, rows: Rows, whole, verbose) -> Scale:
    X, probed_weights, names, levels = probed.X, probed.weights, rows.columns.names, rows.columns.levels
    if isinstance(X, SparseRows):
        return _scale_of_sparse(probed, rows, whole, verbose)
    coded = np.zeros(X.shape[1], bool) if levels is None else np.array([own is not None for own in levels])
    if coded.any():
        # Codes are not scaled.
        X = np.where(coded, 0.0, X)
    scale = Scale.of(X, probed_weights, names)
    n_rows = len(X) if probed_weights is None else np.count_nonzero(probed_weights)
    columns = np.flatnonzero(scale.constant & ~coded)
    if whole and len(columns) and len(X) < rows.X.shape[0]:
        # A rare flag may be in no row of the sample: ranges of columns that are constant there are taken from all rows.
        low, high = column_ranges(rows.X, rows.weights, columns, verbose)
        counted = X[:, columns] if probed_weights is None else X[probed_weights > 0][:, columns]
        scale = scale.with_ranges(columns, *_usual(counted, low, high))
        n_rows = rows.X.shape[0]
    _warn_of(scale, np.flatnonzero(scale.constant & ~coded), n_rows, names, whole)
    return scale


def _scale_of_sparse(probed: Probe, rows: Rows, whole, verbose) -> Scale:
    """The scale of sparse rows; a column of zeros is nothing to warn of, since most are almost that."""
    scale = Scale.of(probed.X, probed.weights, rows.columns.names)
    columns = np.flatnonzero(scale.constant)
    n_rows = len(probed.X) if probed.weights is None else np.count_nonzero(probed.weights)
    if whole and len(columns) and len(probed.X) < rows.X.shape[0]:
        scale = scale.with_ranges(
            columns, np.zeros(len(columns)), *column_ranges(rows.X, rows.weights, columns, verbose)
        )
    elif not whole:
        if len(columns) == len(scale.scale):
            _warn_of(scale, columns, n_rows, rows.columns.names, whole)
        # Later rows may have numbers in such columns.
        scale = scale.with_typical()
    _warn_of(scale, columns[:0], n_rows, rows.columns.names, whole)
    return scale


def _usual(X, low, high):
    """The value of each column that is constant in X, whose gaps do not count, and its range in all rows."""
    # A column of gaps alone in X is at its least value; one of gaps alone in all rows is at 0, and does not vary.
    low, high = np.where(np.isfinite(low), low, 0.0), np.where(np.isfinite(high), high, 0.0)
    at = np.fmin.reduce(X.astype(np.float64), axis=0)
    return np.where(np.isnan(at), low, at), low, high


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


def _warn_of(scale, constant, n_rows, names, whole):
    """Warn of a scale that few rows or constant columns make unsafe; refuse first rows that are all the same."""
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
