"""The state of a hidden layer as files have it: a check of all that it says, before a layer is made of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..hdf5.values import array_of, check, list_of, number_of, text_of, whole_of
from .neurons import kind_from_name

__all__ = ["check_layer"]

_FLOATS = ("float32", "float64")


def check_layer(state: Mapping) -> None:
    """Refuse a state that is not one of `Layer.state`.

    Raises
    ------
    FileFormatError
        Names the value, and the rule that it breaks.
    """
    kinds = list_of(state.get("kinds"), "kinds of neurons", str)
    raw = list_of(state.get("raw"), "raw", bool, len(kinds))
    check(kinds, "a layer must have neurons")
    n_features = whole_of(state.get("n_features"), "n_features", 1)
    text_of(state.get("dtype"), "dtype", _FLOATS)
    text_of(state.get("gram_dtype", "float64"), "gram_dtype", _FLOATS)
    widths = [len(_weights(state, i, kind)) for i, kind in enumerate(kinds)]
    n_drawn = n_inputs = n_features
    if "takes_gaps" in state:
        n_drawn, n_inputs = _check_coding(state, n_features, max(widths))
    for width, is_raw, kind in zip(widths, raw, kinds, strict=True):
        # Marks of levels, which come last, are for `lin` neurons alone.
        right = (n_features,) if is_raw else (n_drawn, n_inputs) if kind == "lin" else (n_drawn,)
        check(width in right, f"{kind} neurons must have {n_inputs} inputs")
    if "mean" in state:
        array_of(state["mean"], "mean", (n_features,))
        scale = array_of(state.get("scale"), "scale", (n_features,), finite=False)
        check((scale > 0).all(), "scale must be positive")
        check(number_of(state.get("clip"), "clip", most=np.inf) > 0, "clip must be positive")


def _weights(state, i, kind) -> np.ndarray:
    """Weights of a group of neurons, which are checked with their biases."""
    W = array_of(state.get(f"W{i}"), f"W{i}", (None, None))
    b = array_of(state.get(f"b{i}"), f"b{i}", (W.shape[1],))
    check(len(W), f"W{i} must have inputs")
    check(not kind.startswith("rbf") or (b > 0).all(), f"b{i} must be positive, as the widths that it stands for")
    kind_from_name(kind)
    return W


def _check_coding(state, n_features, widest) -> tuple[int, int]:
    """Numbers of inputs of drawn neurons, and of all inputs, where some columns are categories or have gaps."""
    columns = list_of(state.get("category_columns"), "category_columns", int)
    levels = list_of(state.get("category_levels"), "category_levels", (list, tuple), len(columns))
    marked = list_of(state.get("category_marked"), "category_marked", bool, len(columns))
    list_of(state.get("category_passed"), "category_passed", bool, len(columns))
    check(isinstance(state["takes_gaps"], bool), "takes_gaps must be True or False")
    check(n_features <= widest + len(columns), "n_features must be the number of columns of X")
    check(all(0 <= i < n_features for i in columns), "category_columns must be columns of X")
    check(len(set(columns)) == len(columns), "category_columns must be different")
    gaps = array_of(state.get("gaps"), "gaps", (None,), "iu", least=0)
    check((gaps < n_features).all() and len(np.unique(gaps)) == len(gaps), "gaps must be different columns of X")
    if "fill" in state:
        array_of(state["fill"], "fill", (n_features,))
    n_drawn = n_features - len(columns) + len(gaps)
    n_marks = 0
    for i, (names, is_marked) in enumerate(zip(levels, marked, strict=True)):
        list_of(names, "category_levels", (str, int, float, bool))
        table = array_of(state.get(f"table{i}"), f"table{i}", (len(names) + 2, None))
        n_drawn += table.shape[1]
        n_marks += len(table) * is_marked
    return n_drawn, n_drawn + n_marks
