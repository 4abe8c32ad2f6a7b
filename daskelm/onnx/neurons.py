"""Neurons as ONNX operators: a table of kinds, and a hidden layer with the same steps as in daskelm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..exceptions import ParameterError
from ..layer.layer import Layer
from ..layer.neurons import KINDS, Neurons, kind_name
from .graph import Graph

__all__ = ["add_layer", "kinds"]

# erf is integrated by a Gauss-Legendre rule with this number of points, with an error of 2e-15 from -6 to 6; beyond
# these, erf is -1 or 1 in double precision.
_ERF_POINTS = 24
_ERF_RANGE = 6.0


def _operator(name: str) -> Callable:
    return lambda graph, Z, dtype: graph.add(name, Z)


def _identity(graph, Z, dtype):
    return Z


def _number(value, dtype):
    return np.array(value, dtype)


def _affine(inner: Callable, scale: float, shift: float) -> Callable:
    """Scale times the function of another kind, plus shift."""

    def add(graph, Z, dtype):
        scaled = graph.add("Mul", inner(graph, Z, dtype), _number(scale, dtype))
        return graph.add("Add", scaled, _number(shift, dtype))

    return add


def _power(base: float) -> Callable:
    return lambda graph, Z, dtype: graph.add("Exp", graph.add("Mul", Z, _number(np.log(base), dtype)))


def _hyperbolic(combine: str) -> Callable:
    def add(graph, Z, dtype):
        both = graph.add(combine, graph.add("Exp", Z), graph.add("Exp", graph.add("Neg", Z)))
        return graph.add("Mul", both, _number(0.5, dtype))

    return add


def _tan(graph, Z, dtype):
    return graph.add("Div", graph.add("Sin", Z), graph.add("Cos", Z))


def _arctan(graph, Z, dtype):
    if dtype == np.float32:
        return graph.add("Atan", Z)
    # onnxruntime has Atan in single precision only, so one Newton step follows. With y = atan(z) to 1e-7, the remaining
    # angle is that of the vector (cos y + z sin y, z cos y - sin y), and equals its tangent to 1e-21.
    y = graph.cast(graph.add("Atan", graph.cast(Z, np.float32)), dtype)
    sin, cos = graph.add("Sin", y), graph.add("Cos", y)
    rise = graph.add("Sub", graph.add("Mul", Z, cos), sin)
    run = graph.add("Add", cos, graph.add("Mul", Z, sin))
    return graph.add("Add", y, graph.add("Div", rise, run))


def _arcsinh(graph, Z, dtype):
    size = graph.add("Abs", Z)
    root = graph.add("Sqrt", graph.add("Add", graph.add("Mul", Z, Z), _number(1, dtype)))
    return graph.add("Mul", graph.add("Sign", Z), graph.add("Log", graph.add("Add", size, root)))


def _erf(graph, Z, dtype):
    if dtype == np.float32:
        return graph.add("Erf", Z)
    # onnxruntime has Erf in single precision only. erf(z) is 2 z / sqrt(pi) times the integral of exp(-z^2 t^2) over t
    # from 0 to 1.
    t, w = np.polynomial.legendre.leggauss(_ERF_POINTS)
    Z = graph.add("Clip", Z, _number(-_ERF_RANGE, dtype), _number(_ERF_RANGE, dtype))
    squares = graph.add("Unsqueeze", graph.add("Mul", Z, Z), np.array([2]))
    bells = graph.add("Exp", graph.add("Mul", squares, -np.square((t + 1) / 2)))
    integral = graph.add("Squeeze", graph.add("MatMul", bells, (w / np.sqrt(np.pi))[:, None]), np.array([2]))
    return graph.add("Mul", Z, integral)


def _square(graph, Z, dtype):
    return graph.add("Mul", Z, Z)


def _cbrt(graph, Z, dtype):
    root = graph.add("Pow", graph.add("Abs", Z), _number(1 / 3, dtype))
    return graph.add("Mul", graph.add("Sign", Z), root)


def _trunc(graph, Z, dtype):
    return graph.add("Mul", graph.add("Sign", Z), graph.add("Floor", graph.add("Abs", Z)))


def _ndtr(graph, Z, dtype):
    scaled = graph.add("Mul", Z, _number(np.sqrt(0.5), dtype))
    return _affine(_erf, 0.5, 0.5)(graph, scaled, dtype)


def _project(graph, X, W, b):
    return graph.add("Add", graph.add("MatMul", X, W), b)


def _squared_l2(graph, X, W, b):
    # As in daskelm, one matrix product gives all distances; a common offset is subtracted first, against cancellation.
    offset = W.mean(axis=1)
    X = graph.add("Sub", X, offset)
    W = W - offset[:, None]
    squares = graph.add(
        "Add", graph.add("MatMul", X, -2 * W), graph.reduce("ReduceSum", _square(graph, X, W.dtype), 1, keep=True)
    )
    squares = graph.add("Add", squares, np.einsum("ij,ij->j", W, W))
    return graph.add("Mul", graph.add("Relu", squares), -b)


def _squared_metric(reduce: str) -> Callable:
    def combine(graph, X, W, b):
        # Differences of all rows, neurons and inputs are computed at once, in double precision as in SciPy.
        rows = graph.add("Unsqueeze", graph.cast(X, np.float64), np.array([1]))
        apart = graph.add("Abs", graph.add("Sub", rows, W.T[None].astype(np.float64)))
        distance = graph.reduce(reduce, apart, 2, keep=False)
        squares = graph.cast(graph.add("Mul", distance, distance), W.dtype)
        return graph.add("Mul", squares, -b)

    return combine


# For each kind, by name: the function that combines X, W and b, and the one that is applied to the result. A kind that
# is not in this table is written by its activation function, if that is a ufunc of XW + b, or else refused.
_KINDS: dict[str, tuple[Callable, Callable]] = {
    "lin": (_project, _identity),
    "sigm": (_project, _operator("Sigmoid")),
    "tanh": (_project, _operator("Tanh")),
    "relu": (_project, _operator("Relu")),
    "rbf_l1": (_squared_metric("ReduceSum"), _operator("Exp")),
    "rbf_l2": (_squared_l2, _operator("Exp")),
    "rbf_linf": (_squared_metric("ReduceMax"), _operator("Exp")),
}
_UFUNCS: dict[str, Callable] = {
    "numpy.absolute": _operator("Abs"),
    "numpy.arcsinh": _arcsinh,
    "numpy.arctan": _arctan,
    "numpy.cbrt": _cbrt,
    "numpy.ceil": _operator("Ceil"),
    "numpy.cos": _operator("Cos"),
    "numpy.cosh": _hyperbolic("Add"),
    "numpy.exp": _operator("Exp"),
    "numpy.exp2": _power(2),
    "numpy.expm1": _affine(_operator("Exp"), 1, -1),
    "numpy.fabs": _operator("Abs"),
    "numpy.floor": _operator("Floor"),
    "numpy.negative": _operator("Neg"),
    "numpy.positive": _identity,
    "numpy.reciprocal": _operator("Reciprocal"),
    "numpy.rint": _operator("Round"),
    "numpy.sign": _operator("Sign"),
    "numpy.sin": _operator("Sin"),
    "numpy.sinh": _hyperbolic("Sub"),
    "numpy.square": _square,
    "numpy.tan": _tan,
    "numpy.tanh": _operator("Tanh"),
    "numpy.trunc": _trunc,
    "scipy.special.cbrt": _cbrt,
    "scipy.special.erf": _erf,
    "scipy.special.erfc": _affine(_erf, -1, 1),
    "scipy.special.exp2": _power(2),
    "scipy.special.exp10": _power(10),
    "scipy.special.expit": _operator("Sigmoid"),
    "scipy.special.expm1": _affine(_operator("Exp"), 1, -1),
    "scipy.special.ndtr": _ndtr,
}
_KINDS |= {name: (_project, activate) for name, activate in _UFUNCS.items()}


def kinds() -> tuple[str, ...]:
    """Names, as of `kind_name`, of the kinds of neurons that can be written as ONNX."""
    return tuple(_KINDS)


def add_layer(graph: Graph, X: str, layer: Layer) -> str:
    """Add nodes for H (rows, n_neurons) in the layer's dtype, from X (rows, n_features) in double; return its name.

    Scaling and clipping are in double precision, and the following steps in the layer's dtype, as in daskelm.
    """
    as_is = scaled = graph.cast(X, layer.dtype)
    if layer.scale is not None:
        scale = layer.scale
        Z = graph.add("Div", graph.add("Sub", X, scale.mean), scale.scale)
        Z = graph.add("Clip", Z, _number(-scale.clip, np.float64), _number(scale.clip, np.float64))
        scaled = graph.cast(Z, layer.dtype)
    seen = {layer.n_inputs: scaled}
    if layer.coding is not None:
        seen = _add_coding(graph, X, scaled, layer)
    groups = [
        _add_neurons(graph, as_is if raw else seen[len(neurons.W)], neurons, layer.dtype)
        for neurons, raw in zip(layer.groups, layer.raw, strict=True)
    ]
    return graph.add("Concat", *groups, axis=1)


def _add_coding(graph, X, scaled, layer) -> dict[int, str]:
    """Add nodes for the inputs in the place of gaps and categories; names of what neurons see, by its number."""
    coding = layer.coding
    numbers = graph.add("Gather", scaled, coding.numbers, axis=1)
    if coding.takes_gaps:
        fill = np.zeros(len(coding.numbers)) if coding.fill is None else coding.fill[coding.numbers]
        numbers = graph.add("Where", graph.add("IsNaN", numbers), fill.astype(layer.dtype), numbers)
    parts, marks = [numbers], []
    if len(coding.gaps):
        parts.append(graph.cast(graph.add("IsNaN", graph.add("Gather", X, coding.gaps, axis=1)), layer.dtype))
    for one in coding.categories:
        n = len(one.levels)
        # A constant of one number is a vector, whose axis stays.
        codes = graph.add("Squeeze", graph.add("Gather", X, np.array([one.column]), axis=1), np.array([1]))
        inside = graph.add(
            "And", graph.add("GreaterOrEqual", codes, np.array(0.0)), graph.add("Less", codes, np.array(float(n)))
        )
        rows = graph.add("Where", inside, codes, np.array(float(n)))
        rows = graph.cast(graph.add("Where", graph.add("IsNaN", codes), np.array(n + 1.0), rows), np.int64)
        parts.append(graph.add("Gather", one.table.astype(layer.dtype), rows, axis=0))
        if one.marked:
            marks.append(graph.add("Gather", np.eye(n + 2, dtype=layer.dtype), rows, axis=0))
    drawn = graph.add("Concat", *parts, axis=1)
    return {coding.n_drawn: drawn, coding.n_inputs: graph.add("Concat", drawn, *marks, axis=1) if marks else drawn}


def _of_activation(name) -> tuple[Callable, Callable] | None:
    """Functions for a kind that is not in the table, if it is a ufunc of XW + b that has operators; else None."""
    kind = KINDS.get(name)
    if kind is None or kind.combine is not KINDS["tanh"].combine or not isinstance(kind.activate, np.ufunc):
        return None
    try:
        return _KINDS.get(kind_name(kind.activate))
    except ParameterError:
        return None


def _add_neurons(graph, X, neurons: Neurons, dtype) -> str:
    name = kind_name(neurons.kind)
    operators = _KINDS.get(name) or _of_activation(name)
    if operators is None:
        raise ParameterError(
            f"neurons: a kind must have operators in ONNX to be written as ONNX; got {name!r}. Use kinds among "
            f"{', '.join(_KINDS)}, or save the model as a file of daskelm: model.save(path)."
        )
    combine, activate = operators
    W, b = neurons.W.astype(dtype, copy=False), neurons.b.astype(dtype, copy=False)
    return activate(graph, combine(graph, X, W, b), dtype)
