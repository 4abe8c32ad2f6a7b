"""Converters of the estimators for skl2onnx: names and shapes of results, and the nodes that compute them."""

from __future__ import annotations

import numpy as np

from ..data.probabilities import LARGEST_DISTANCE, SHARED, STEP
from ..data.targets import IndicatorTargets
from ..exceptions import InputTypeError, ParameterError
from .graph import Graph, library
from .neurons import add_layer

__all__ = [
    "classifier_shapes",
    "column_types",
    "convert_classifier",
    "convert_layer",
    "convert_regressor",
    "layer_shapes",
    "parse_classifier",
    "regressor_shapes",
]

# From this version on, axes of reductions and limits of clipping are inputs of nodes.
_FIRST_OPSET = 13


def parse_classifier(scope, model, inputs, custom_parsers=None):
    """Names of the results; labels and options that ONNX does not support are refused here, at the beginning."""
    kind = model.classes_.dtype.kind
    whole = kind in "iub" or (kind == "f" and bool((model.classes_ == np.floor(model.classes_)).all()))
    if not whole and not all(isinstance(label, str) for label in model.classes_):
        raise InputTypeError(
            "classes: labels must be whole numbers or strings to be written as ONNX; got labels of type "
            f"{model.classes_.dtype}, such as {model.classes_[0]!r}. Code them as whole numbers or strings before fit."
        )
    types = library("skl2onnx.common.data_types")
    if scope.get_options(model, {"zipmap": True})["zipmap"] is True and isinstance(
        inputs[0].type, types.DoubleTensorType
    ):
        raise ParameterError(
            "options: a ZipMap, which gives probabilities as dicts, takes them in float; got inputs in double. Give "
            "options={'zipmap': False}, or inputs in float32."
        )
    # This function is private in skl2onnx, as of version 1.20.
    return library("skl2onnx._parse")._parse_sklearn_classifier(scope, model, inputs, custom_parsers)


def _set_type(operator, which: int, width: int):
    """Set the type of a result: that of the inputs, or float where these are whole numbers."""
    types = library("skl2onnx.common.data_types")
    double = any(isinstance(item.type, types.DoubleTensorType) for item in operator.inputs)
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[which].set_type((types.DoubleTensorType if double else types.FloatTensorType)([rows, width]))


def layer_shapes(operator):
    """Set the shape of H: (rows, n_neurons)."""
    _set_type(operator, 0, operator.raw_operator._check_is_drawn("to_onnx").layer.n_neurons)


def regressor_shapes(operator):
    """Set the shape of predictions: (rows, n_targets), also for a single target."""
    _set_type(operator, 0, len(operator.raw_operator._solved("to_onnx").coef))


def classifier_shapes(operator):
    """Set the shapes of labels, (rows,) or (rows, n_labels) of 0 and 1, and of probabilities, (rows, n_classes)."""
    types, model = library("skl2onnx.common.data_types"), operator.raw_operator
    _set_type(operator, 1, len(model.classes_))
    shape = [operator.inputs[0].get_first_dimension()]
    if isinstance(model._known_targets(), IndicatorTargets):
        shape.append(len(model.classes_))
    labels = _labels(operator.scope_inst, model)
    operator.outputs[0].set_type(
        (types.StringTensorType if labels.dtype.kind in "UO" else types.Int64TensorType)(shape)
    )


def _labels(scope, model) -> np.ndarray:
    """The classes (n_classes,) as int64 or strings."""
    classes = library("skl2onnx.common.utils_classifier").get_label_classes(scope, model)
    return classes if classes.dtype.kind in "UO" else classes.astype(np.int64)


def _add_inputs(graph: Graph, operator) -> str:
    """Add nodes for X (rows, n_features) in double, from one input or from an input for each column."""
    layer = operator.raw_operator.hidden_layer_
    if graph.opset < _FIRST_OPSET:
        raise ParameterError(f"target_opset must be at least {_FIRST_OPSET}; got {graph.opset}.")
    of_columns = [None] * layer.n_features
    for one in () if layer.coding is None else layer.coding.categories:
        of_columns[one.column] = one.levels
    if any(of_columns) and len(operator.inputs) != layer.n_features:
        raise ParameterError(
            f"initial_types: a model with columns of categories has an input for each of its {layer.n_features} "
            f"columns; got {len(operator.inputs)}. Leave initial_types out, or give one for each column."
        )
    if any(of_columns):
        columns = [_add_column(graph, *one) for one in zip(operator.inputs, of_columns, strict=True)]
    else:
        columns = [graph.cast(item.full_name, np.float64) for item in operator.inputs]
    X = columns[0] if len(columns) == 1 else graph.add("Concat", *columns, axis=1)
    return add_layer(graph, X, layer)


def _add_column(graph, item, levels) -> str:
    """Add nodes for one column in double: codes of categories, where an empty text is a gap."""
    if levels is None:
        return graph.cast(item.full_name, np.float64)
    codes = np.arange(float(len(levels)))
    if isinstance(levels[0], str) and "" not in levels:
        levels, codes = (*levels, ""), np.append(codes, np.nan)
    return graph.cast(graph.encode(item.full_name, levels, codes, len(levels) - np.isnan(codes).sum()), np.float64)


def column_types(model) -> list[tuple] | None:
    """Name and type of an input for each column of X; None where X has no categories and is one input."""
    fitted = model._check_is_drawn("to_onnx")
    if fitted.columns.levels is None:
        return None
    types = library("skl2onnx.common.data_types")
    number = types.FloatTensorType if fitted.layer.dtype == np.float32 else types.DoubleTensorType
    found = []
    for name, levels in zip(fitted.columns.names, fitted.columns.levels, strict=True):
        kind = number if levels is None else types.StringTensorType if _texts(name, levels) else types.Int64TensorType
        found.append((name, kind([None, 1])))
    return found


def _texts(name, levels) -> bool:
    """Whether all levels are texts; if not, they must be whole numbers."""
    if all(isinstance(level, str) for level in levels):
        return True
    if all(isinstance(level, int) for level in levels):
        return False
    raise InputTypeError(
        f"X: levels of a column must all be texts, or all whole numbers, to be written as ONNX; got {levels[:4]} in "
        f"column {name!r}. Make them texts before fit."
    )


def _add_outputs(graph: Graph, H: str, function) -> str:
    """Add nodes for the outputs (rows, n_targets) in double."""
    product = graph.add("MatMul", graph.cast(H, np.float64), function.coef.T)
    return graph.add("Add", product, function.intercept)


def _give(graph: Graph, name: str, operator, which: int):
    types = library("skl2onnx.common.data_types")
    double = isinstance(operator.outputs[which].type, types.DoubleTensorType)
    graph.cast(name, np.float64 if double else np.float32, out=operator.outputs[which].full_name)


def convert_layer(scope, operator, container):
    """Add the nodes of a `HiddenLayer`."""
    graph = Graph(scope, container)
    _give(graph, _add_inputs(graph, operator), operator, 0)


def convert_regressor(scope, operator, container):
    """Add the nodes of a regressor: H times the output weights in double, cast to the type of its predictions."""
    graph = Graph(scope, container)
    function = operator.raw_operator._prediction("to_onnx")
    outputs = _add_outputs(graph, _add_inputs(graph, operator), function)
    if (bounds := operator.raw_operator._bounds()) is not None:
        outputs = graph.add("Min", graph.add("Max", outputs, bounds[0]), bounds[1])
    _give(graph, graph.cast(outputs, function.dtype), operator, 0)


def convert_classifier(scope, operator, container):
    """Add the nodes of a classifier: outputs, probabilities, and the most probable label."""
    graph, model = Graph(scope, container), operator.raw_operator
    function = model._function("predict_proba", "to_onnx")
    multi = isinstance(model._known_targets(), IndicatorTargets)
    outputs = _add_outputs(graph, _add_inputs(graph, operator), function)
    p = _add_probabilities(graph, outputs, len(function.coef), multi, model.probability_link_)
    _give(graph, graph.cast(p, function.dtype), operator, 1)
    # Labels are computed from the outputs, whose order the probabilities have.
    name = operator.outputs[0].full_name
    if multi:
        graph.cast(graph.add("Greater", outputs, np.array(0.5)), np.int64, out=name)
        return
    if len(function.coef) == 1:
        second = graph.add("Squeeze", graph.add("Greater", outputs, np.array(0.5)), np.array([1]))
        largest = graph.cast(second, np.int64)
    else:
        largest = graph.add("ArgMax", outputs, axis=1, keepdims=0)
    graph.add("Gather", _labels(scope, model), largest, axis=0, out=name)


def _add_probabilities(graph, outputs, n_targets, multi, link):
    """Add nodes for probabilities (rows, n_classes) in double, as `probabilities` computes them."""
    axis, n_classes, each = 1, n_targets, outputs
    if multi or n_targets == 1:
        # Each label, or the second class, and its opposite.
        axis, n_classes = (2, 2) if multi else (1, 2)
        each = graph.add("Unsqueeze", outputs, np.array([2])) if multi else outputs
        each = graph.add("Concat", graph.add("Sub", np.array(1.0), each), each, axis=axis)
    below = graph.add("Sub", graph.reduce("ReduceMax", each, axis, keep=True), each)
    if link is not None:
        far = graph.add("Min", below, np.array(LARGEST_DISTANCE))
        scaled = graph.add("Mul", graph.add("Pow", far, link.power[:, None]), -link.temperature[:, None])
        p = graph.add("Exp", scaled)
    elif n_classes == 2:
        p = graph.add("Clip", each, np.array(0.0), np.array(1.0))
    else:
        p = _add_simplex(graph, each, n_targets)
    lower = graph.cast(graph.add("Greater", below, np.array(0.0)), np.float64)
    p = graph.add("Sub", p, graph.add("Mul", graph.add("Mul", lower, np.array(STEP)), p))
    p = graph.add("Div", p, graph.reduce("ReduceSum", p, axis, keep=True))
    p = graph.add("Add", graph.add("Mul", p, np.array(1 - SHARED)), np.array(SHARED / n_classes))
    # A constant of one number is a vector, whose axis stays.
    return graph.add("Squeeze", graph.add("Gather", p, np.array(1), axis=2), np.array([2])) if multi else p


def _add_simplex(graph, outputs, n_targets):
    """Add nodes for the nearest point of the simplex, as `project_to_simplex` computes it."""
    # The threshold is the largest of (sum of the k largest outputs - 1) / k over all k.
    ordered = graph.largest_first(outputs, n_targets)
    sums = graph.add("Sub", graph.add("CumSum", ordered, np.array(1)), np.array(1.0))
    thresholds = graph.add("Div", sums, np.arange(1.0, n_targets + 1))
    above = graph.add("Sub", outputs, graph.reduce("ReduceMax", thresholds, 1, keep=True))
    return graph.add("Relu", above)
