"""What an estimator holds as plain values and back: for pickles, copies, and formats that trust few classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial

import numpy as np

from ..data.targets import ClassTargets, IndicatorTargets, RegressionTargets
from ..exceptions import FileFormatError, ParameterError
from ..layer.layer import Layer
from ..layer.neurons import Neurons, kind_from_name, kind_name
from ..passes.curve_pass import LearningCurve
from ..ridge.solve import Solution
from ..sums.normal_equations import NormalEquations

__all__ = ["from_plain", "to_plain"]

_WORD = "daskelm"


def _fields_of(value) -> dict:
    return {item.name: getattr(value, item.name) for item in fields(value)}


def _neurons_state(neurons: Neurons) -> dict:
    return {"kind": to_plain(neurons.kind), "W": neurons.W, "b": neurons.b}


def _neurons_of(state: Mapping) -> Neurons:
    return Neurons(from_plain(state["kind"]), state["W"], state["b"])


def _of_fields(cls: Callable, state: Mapping):
    return cls(**state)


# A class of values: its word in a state, to a dict of plain values, and back. What estimators keep has a row here.
_CLASSES: dict[type, tuple[str, Callable, Callable]] = {
    Layer: ("layer", Layer.state, Layer.from_state),
    Neurons: ("neurons", _neurons_state, _neurons_of),
    NormalEquations: ("sums", NormalEquations.state, NormalEquations.from_state),
    **{
        cls: (cls.__name__, _fields_of, partial(_of_fields, cls))
        for cls in (ClassTargets, IndicatorTargets, LearningCurve, RegressionTargets, Solution)
    },
}
_BACK: dict[str, Callable] = {word: back for word, _, back in _CLASSES.values()}


def to_plain(value):
    """The value with arrays, numbers, strings, lists and tuples for all that is daskelm's own or a ufunc.

    Dicts become lists of pairs, since formats made of JSON turn their keys into strings; a dict in the result stands
    for a value that was something else. Values of other libraries stay as they are.

    Parameters
    ----------
    value : object
        What an attribute of an estimator holds.

    Returns
    -------
    object
        `from_plain` takes it back.
    """
    if type(value) in (list, tuple):
        return type(value)(map(to_plain, value))
    if type(value) is dict:
        return {_WORD: "mapping", "state": [[to_plain(key), to_plain(item)] for key, item in value.items()]}
    if type(value) in _CLASSES:
        word, state, _ = _CLASSES[type(value)]
        return {_WORD: word, "state": state(value)}
    if isinstance(value, np.dtype):
        return {_WORD: "dtype", "state": value.str}
    if isinstance(value, np.ufunc):
        try:
            return {_WORD: "kind", "state": kind_name(value)}
        except ParameterError:
            # A parameter that `fit` will refuse is kept like any other.
            return value
    return value


def from_plain(value):
    """The value of which `to_plain` made this; runs nothing but the constructors of daskelm's own values.

    Parameters
    ----------
    value : object
        As `to_plain` gave it, possibly by way of a file.

    Returns
    -------
    object

    Raises
    ------
    FileFormatError
        It stands for a value that this version does not know.
    """
    if type(value) in (list, tuple):
        return type(value)(map(from_plain, value))
    if type(value) is not dict:
        return value
    word, state = value.get(_WORD), value.get("state", ())
    if word == "mapping":
        return {from_plain(key): from_plain(item) for key, item in state}
    if word == "dtype":
        return np.dtype(state)
    if word == "kind":
        return kind_from_name(str(state))
    if word not in _BACK:
        raise FileFormatError(
            f"the state of an estimator must hold values that this daskelm knows; got one called {word!r}, of a newer "
            "version or of none. Upgrade daskelm (pip install -U daskelm)."
        )
    return _BACK[word](state)
