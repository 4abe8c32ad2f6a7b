"""The state of estimators as plain values and back: for pickle, joblib, copies, skops, and files that run no code."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from functools import partial
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from ..data.probabilities import ProbabilityLink
from ..data.targets import ClassTargets, IndicatorTargets, RegressionTargets
from ..exceptions import FileFormatError, ParameterError
from ..hdf5.sealed import content_of, read_sealed, write_sealed
from ..hdf5.values import check, dtype_of_numbers, text_of
from ..layer.layer import Layer
from ..layer.neurons import Neurons, kind_from_name, kind_name
from ..passes.curve_pass import LearningCurve
from ..ridge.solve import Solution
from ..selection.select import named
from ..sums.normal_equations import NormalEquations
from ..sums.stored import check_state
from .fitted import Choice, Columns, Draws, Fitted, made_with
from .stored import check_fitted, strings_of

__all__ = ["SavedModel", "from_plain", "read_model", "to_plain", "write_model"]

_WORD = "daskelm"


class SavedModel(NamedTuple):
    """Contents of a model file: the name of the estimator's class, its parameters, and the result of fitting."""

    class_name: str
    params: dict
    fitted: Fitted | None


def _fields_of(value) -> dict:
    return {item.name: to_plain(getattr(value, item.name)) for item in fields(value)}


def _from_fields(cls: Callable, state: Mapping):
    return cls(**{name: from_plain(value) for name, value in state.items()})


def _sums(state: Mapping) -> NormalEquations:
    check_state(state)
    return NormalEquations.from_state(dict(state))


# For each class of values that estimators keep: its name in a state, the function that makes a dict of plain values of
# one, and the function that makes one of such a dict.
_CLASSES: dict[type, tuple[str, Callable, Callable]] = {
    Layer: ("layer", Layer.state, Layer.from_state),
    Neurons: ("neurons", _fields_of, partial(_from_fields, Neurons)),
    NormalEquations: ("sums", NormalEquations.state, _sums),
    **{
        cls: (cls.__name__, _fields_of, partial(_from_fields, cls))
        for cls in (
            Choice,
            ClassTargets,
            Columns,
            Draws,
            Fitted,
            IndicatorTargets,
            LearningCurve,
            ProbabilityLink,
            RegressionTargets,
            Solution,
        )
    },
}
_BACK: dict[str, Callable] = {
    **{word: back for word, _, back in _CLASSES.values()},
    "tuple": lambda state: tuple(map(from_plain, state)),
    "mapping": lambda state: {from_plain(key): from_plain(item) for key, item in state},
    "dtype": partial(dtype_of_numbers, name="dtype"),
    "kind": lambda state: kind_from_name(str(state)),
    # Files have these two names, since JSON has neither infinity nor arrays of strings.
    "float": float,
    "strings": strings_of,
}


def to_plain(value):
    """The value, with arrays, numbers, strings and lists in place of daskelm's own objects, tuples, dicts and ufuncs.

    A dict in the result stands for a value that was something else: formats that are made of JSON turn keys of dicts
    into strings, and have no tuples. Values of other libraries stay as they are. `from_plain` takes it back.
    """
    if type(value) is list:
        return [to_plain(item) for item in value]
    if type(value) is tuple:
        return {_WORD: "tuple", "state": [to_plain(item) for item in value]}
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
    """The value that `to_plain` made this of, or FileFormatError for a value that this version does not know.

    It runs no code but the constructors of daskelm's own values.
    """
    if type(value) in (list, tuple):
        return type(value)(map(from_plain, value))
    if type(value) is not dict:
        return value
    word = value.get(_WORD)
    if word not in _BACK:
        raise FileFormatError(
            f"the state of an estimator must hold values that this daskelm knows; got one called {word!r}, which a "
            "newer version may know. Upgrade daskelm (pip install -U daskelm)."
        )
    return _BACK[word](value.get("state", ()))


def write_model(
    path, class_name: str, params: Mapping, fitted: Fitted | None, *, sums: bool = True, overwrite: bool = False
) -> None:
    """Write an estimator, by class name, parameters and what was fitted, to a file of numbers, strings and arrays only.

    `sums` says whether sums that are solved are kept; those that are not solved always are.
    """
    arrays: dict = {}
    state: dict = {"class": class_name, "fitted": None}
    plain = {name: to_plain(value) for name, value in _params_in_file(params, fitted).items()}
    state["params"] = {name: _to_file(value, f"params.{name}", arrays) for name, value in plain.items()}
    if fitted is not None:
        # A file has the parameters once: they are the same, or `save` would have refused.
        kept = replace(fitted, made_with={}, sums=fitted.sums if sums or fitted.solution is None else None)
        state["fitted"] = _to_file(to_plain(kept), "fitted", arrays)
    write_sealed(path, "model", state | arrays, overwrite=overwrite)


def read_model(path) -> SavedModel:
    """Read a file that `write_model` wrote; runs no code from it."""
    state = read_sealed(path, "model", _places)
    with content_of(path):
        params = {name: from_plain(_from_file(value, state)) for name, value in state["params"].items()}
        fitted = from_plain(_from_file(state["fitted"], state))
        if fitted is not None:
            check(isinstance(fitted, Fitted), "what was fitted must be that of an estimator")
            check_fitted(fitted)
            fitted = replace(fitted, made_with=made_with(params))
        return SavedModel(text_of(state["class"], "class"), params, fitted)


def _params_in_file(params: Mapping, fitted: Fitted | None) -> dict:
    """Parameters as a file holds them, without splitters, which are code, and the random stream of a fitted model."""
    params = dict(params)
    if fitted is not None and isinstance(params["random_state"], np.random.RandomState | np.random.Generator):
        params["random_state"] = None
    for name in ("alphas", "n_neurons"):
        if params.get(name) is not None:
            params[name] = np.atleast_1d(params[name]).tolist()
    if "cv" in params:
        cv = named(params["cv"])
        params["cv"] = cv if isinstance(cv, Integral | str) else None
    return params


def _to_file(value, place: str, arrays: dict) -> Any:
    """A plain value as JSON holds it; arrays go to `arrays`, by their place in the state."""
    # `to_plain` leaves subclasses of dicts, lists and tuples as they are; files keep them as dicts and lists.
    if isinstance(value, Mapping) and type(value) is not dict:
        value = to_plain(dict(value))
    elif isinstance(value, list | tuple) and type(value) is not list:
        value = to_plain(list(value))
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        return number if math.isfinite(number) else {_WORD: "float", "state": str(number)}
    if isinstance(value, list):
        return [_to_file(item, f"{place}.{i}", arrays) for i, item in enumerate(value)]
    if isinstance(value, dict):
        words = (_WORD, "state")
        return {key: _to_file(item, place if key in words else f"{place}.{key}", arrays) for key, item in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        arrays[place] = value
        return {_WORD: "array", "state": place}
    if isinstance(value, np.ndarray) and all(isinstance(item, str | int | float) for item in value.tolist()):
        return {_WORD: "strings", "state": {"values": value.tolist(), "dtype": value.dtype.str}}
    if isinstance(value, type) and issubclass(value, np.generic):
        return to_plain(np.dtype(value))
    raise _cannot_be_saved(value, place)


def _cannot_be_saved(value, place) -> ParameterError:
    section, *names = [name for name in place.split(".") if not name.isdigit()]
    if section == "params":
        return ParameterError(
            f"{names[0]}: a model with this parameter cannot be saved, since files hold numbers and strings only; got "
            f"{type(value).__name__}. Use a plain value (an int for random_state), or pickle the model."
        )
    first = value.tolist()[0] if isinstance(value, np.ndarray) else value
    return ParameterError(
        f"{names[-1]} of type {type(first).__name__} cannot be saved: files hold numbers and strings only. Use such "
        "labels, or pickle the model."
    )


def _places(value) -> Iterator[str]:
    """Names of the arrays that belong to the plain values of a file."""
    if isinstance(value, dict) and value.get(_WORD) == "array":
        yield text_of(value.get("state"), "name of an array")
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _places(item)


def _from_file(value, state: Mapping) -> Any:
    """A plain value with the arrays of the file in their places."""
    if isinstance(value, list):
        return [_from_file(item, state) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get(_WORD) == "array":
        return state[value["state"]]
    return {key: _from_file(item, state) for key, item in value.items()}
