"""Models to plain states in a sealed file and back: numbers, strings and arrays only; no estimators, no code."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np

from ..exceptions import ParameterError
from ..hdf5.sealed import read_sealed, write_sealed
from ..layer.layer import Layer
from ..layer.neurons import Neurons, kind_from_name, kind_name
from ..ridge.solve import Solution
from ..sums.normal_equations import NormalEquations

__all__ = ["read_model", "write_model"]


def write_model(path, state: Mapping, *, overwrite: bool = False) -> None:
    """Write a model's state.

    Parameters
    ----------
    path : str or path-like
        File to write; a model that is there is replaced at once.
    state : mapping
        "class" (str), "params" (dict of an estimator's parameters), and what else there is of "layer" (Layer),
        "solution" (Solution), "sums" (NormalEquations), "classes" (ndarray), and "facts" (dict of what JSON holds).
    overwrite : bool, default=False
        Whether any regular file may be replaced.
    """
    arrays: dict = {}
    flat: dict = {"class": state["class"], "facts": state.get("facts", {})}
    flat["params"] = {name: _encode(name, value, arrays) for name, value in state["params"].items()}
    for part in ("layer", "sums"):
        if state.get(part) is not None:
            flat[part] = True
            arrays |= {f"{part}.{name}": value for name, value in state[part].state().items()}
    if state.get("solution") is not None:
        solution = state["solution"]
        flat["solution"] = {
            "rank": int(solution.rank),
            "method": solution.method,
            "centred": bool(solution.centred),
        }
        arrays["solution.coef"], arrays["solution.intercept"] = solution.coef, solution.intercept
        # As an array, since JSON has no infinity.
        arrays["solution.numbers"] = np.array([solution.alpha, solution.condition_number])
    if state.get("classes") is not None:
        _encode_classes(state["classes"], flat, arrays)
    write_sealed(path, "model", flat | arrays, overwrite=overwrite)


def read_model(path) -> dict:
    """The state that `write_model` was given.

    Parameters
    ----------
    path : str or path-like
        File to read.

    Returns
    -------
    dict
    """
    flat = read_sealed(path, "model")

    def part(name):
        return {key.removeprefix(f"{name}."): value for key, value in flat.items() if key.startswith(f"{name}.")}

    state: dict = {"class": flat["class"], "facts": flat["facts"]}
    state["params"] = {name: _decode(value, flat) for name, value in flat["params"].items()}
    state["layer"] = Layer.from_state(part("layer")) if "layer" in flat else None
    state["sums"] = NormalEquations.from_state(part("sums")) if "sums" in flat else None
    state["solution"] = None
    if "solution" in flat:
        alpha, condition = flat["solution.numbers"].tolist()
        state["solution"] = Solution(
            flat["solution.coef"],
            flat["solution.intercept"],
            alpha,
            flat["solution"]["rank"],
            condition,
            flat["solution"]["method"],
            flat["solution"]["centred"],
        )
    state["classes"] = flat.get("classes.values")
    if "labels" in flat:
        state["classes"] = np.array(flat["labels"]["values"], dtype=flat["labels"]["dtype"])
    return state


def _encode(name, value, arrays):
    """A parameter as JSON holds it; a dict stands for what JSON has no word for."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, np.dtype | type):
        return {"dtype": np.dtype(value).name}
    if isinstance(value, np.ufunc):
        return {"kind": kind_name(value)}
    if isinstance(value, Neurons):
        stem = f"params.{len(arrays)}"
        arrays[f"{stem}.W"], arrays[f"{stem}.b"] = value.W, value.b
        return {"neurons": stem, "kind": kind_name(value.kind)}
    if isinstance(value, list | tuple):
        return [_encode(name, item, arrays) for item in value]
    if isinstance(value, Mapping):
        return {"mapping": [[_encode(name, key, arrays), _encode(name, item, arrays)] for key, item in value.items()]}
    raise ParameterError(
        f"{name}: a model with this parameter cannot be saved, since files hold numbers and strings only; got "
        f"{type(value).__name__}. Use a plain value (an int for random_state), or pickle the model."
    )


def _decode(value, arrays):
    if isinstance(value, list):
        return [tuple(_decode(item, arrays)) if isinstance(item, list) else _decode(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "dtype" in value:
        return np.dtype(value["dtype"])
    if "neurons" in value:
        stem = value["neurons"]
        return Neurons(kind_from_name(value["kind"]), arrays[f"{stem}.W"], arrays[f"{stem}.b"])
    if "kind" in value:
        return kind_from_name(value["kind"])
    return {_decode(key, arrays): _decode(item, arrays) for key, item in value["mapping"]}


def _encode_classes(classes, flat, arrays):
    if classes.dtype.kind in "fiub":
        arrays["classes.values"] = classes
        return
    values = classes.tolist()
    if not all(isinstance(value, str | int | float | bool) for value in values):
        raise ParameterError(
            f"classes of type {type(values[0]).__name__} cannot be saved: files hold numbers and strings only. Use "
            "such labels, or pickle the model."
        )
    flat["labels"] = {"values": values, "dtype": classes.dtype.str}
