"""Models as ONNX graphs, which run without daskelm and without Python: converters for skl2onnx, and `to_onnx`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

from .classifier import ELMClassifier
from .classifier_cv import ELMClassifierCV
from .exceptions import InputTypeError, ParameterError
from .hidden_layer import HiddenLayer
from .layer_estimator import LayerEstimator
from .onnx_graph import Graph, library
from .onnx_neurons import add_layer
from .regressor import ELMRegressor
from .regressor_cv import ELMRegressorCV
from .targets import IndicatorTargets

__all__ = ["register_converters", "to_onnx"]

# Axes of reductions, and limits of clipping, are inputs of nodes from here on.
_FIRST_OPSET = 13
_CLASSIFIER_OPTIONS = {"zipmap": [True, False, "columns"], "nocl": [True, False]}


def to_onnx(model, X=None, *, options: dict | None = None, **more) -> Any:
    """Write an estimator, or a Pipeline with one in it, as an ONNX graph.

    The graph does what `predict` does, in the same precision: inputs are scaled and clipped in double, neurons are
    computed in the layer's dtype, and the product with the output weights is in double. Results have the type of the
    inputs. It looks for no NaN, where `predict` refuses them.

    Parameters
    ----------
    model : estimator
        `ELMRegressor`, `ELMClassifier`, `ELMRegressorCV`, `ELMClassifierCV` or `HiddenLayer`, or a Pipeline or other
        estimator of scikit-learn that skl2onnx knows, which holds some of these; fitted.
    X : ndarray or data frame of shape (n_samples, n_features), optional
        Its first row tells the type of the inputs; of a data frame, each column is an input with its name. Not needed
        for an estimator of daskelm, whose input is called "X" then and has the dtype of the layer.
    options : dict, optional
        Of skl2onnx. If not given, classifiers give probabilities as an array: ``{"zipmap": False}``.
    **more
        Other arguments of ``skl2onnx.to_onnx``, such as ``target_opset``.

    Returns
    -------
    onnx.ModelProto
        Of a regressor, "variable" of shape (n_samples, n_targets); of a classifier, "label" of shape (n_samples,) or
        (n_samples, n_labels), and "probabilities" of shape (n_samples, n_classes); of a `HiddenLayer`, "variable" of
        shape (n_samples, n_neurons).

    Raises
    ------
    NotSolvedError
        The model is not fitted.
    ParameterError
        Neurons of a kind that ONNX has no operators for; a model that stands for a transformer in a Pipeline, where its
        hidden layer would be taken; ``zipmap`` with inputs in double, which ONNX has for float only; an opset below 13.
    InputTypeError
        Labels that are neither whole numbers nor strings.
    MissingExtraError
        skl2onnx is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from daskelm import ELMRegressor
    >>> from daskelm.onnx import to_onnx
    >>> X = np.random.default_rng(0).uniform(-3, 3, (1000, 1))
    >>> model = ELMRegressor(50, random_state=0).fit(X, np.sin(X[:, 0]))
    >>> with open("model.onnx", "wb") as file:
    ...     _ = file.write(to_onnx(model).SerializeToString())

    In any language that onnxruntime is there for:

    >>> import onnxruntime
    >>> session = onnxruntime.InferenceSession("model.onnx")
    >>> Y = session.run(None, {"X": X})[0]
    >>> bool(np.abs(Y[:, 0] - model.predict(X)).max() < 1e-9)
    True
    """
    register_converters()
    _refuse_transforming(model)
    if X is None and "initial_types" not in more and isinstance(model, LayerEstimator):
        types = library("skl2onnx.common.data_types")
        layer = model._need_layer("to_onnx")
        tensor = types.FloatTensorType if layer.dtype == np.float32 else types.DoubleTensorType
        more["initial_types"] = [("X", tensor([None, layer.n_features]))]
    if options is None and is_classifier(model):
        options = {"zipmap": False}
    return library("skl2onnx").to_onnx(model, X, options=options, **more)


def register_converters() -> None:
    """Make skl2onnx know the estimators of daskelm; any number of times.

    After it, ``skl2onnx.to_onnx`` and other tools that build on skl2onnx take them, alone and in Pipelines.

    Raises
    ------
    MissingExtraError
        skl2onnx is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> import skl2onnx
    >>> from daskelm import ELMClassifier
    >>> from daskelm.onnx import register_converters
    >>> register_converters()
    >>> X = np.random.default_rng(0).random((100, 2), dtype=np.float32)
    >>> model = ELMClassifier(20, random_state=0).fit(X, X[:, 0] > X[:, 1])
    >>> [out.name for out in skl2onnx.to_onnx(model, X[:1]).graph.output]
    ['output_label', 'output_probability']
    """
    register = library("skl2onnx").update_registered_converter
    register(HiddenLayer, "DaskelmHiddenLayer", _layer_shapes, _convert_layer)
    for cls in (ELMRegressor, ELMRegressorCV):
        register(cls, f"Daskelm{cls.__name__}", _regressor_shapes, _convert_regressor)
    for cls in (ELMClassifier, ELMClassifierCV):
        register(
            cls,
            f"Daskelm{cls.__name__}",
            _classifier_shapes,
            _convert_classifier,
            parser=_parse_classifier,
            options=_CLASSIFIER_OPTIONS,
        )


def _refuse_transforming(model, name="model", transforms=False):
    """Refuse a model in the place of a transformer: scikit-learn takes its hidden layer there, skl2onnx predictions."""
    if isinstance(model, Pipeline):
        for i, (step_name, step) in enumerate(model.steps):
            _refuse_transforming(step, step_name, transforms or i < len(model.steps) - 1)
    elif isinstance(model, FeatureUnion):
        for part_name, part in model.transformer_list:
            _refuse_transforming(part, part_name, True)
    elif isinstance(model, ColumnTransformer):
        for part_name, part, _ in getattr(model, "transformers_", []):
            _refuse_transforming(part, part_name, True)
    elif transforms and isinstance(model, LayerEstimator) and not isinstance(model, HiddenLayer):
        raise ParameterError(
            "model: what stands in the place of a transformer must be a HiddenLayer to be written as ONNX; got "
            f"{name!r} of class {type(model).__name__}. Use a HiddenLayer there, which gives the same outputs."
        )


def _parse_classifier(scope, model, inputs, custom_parsers=None):
    kind = model.classes_.dtype.kind
    whole = kind in "iub" or (kind == "f" and bool((model.classes_ == np.floor(model.classes_)).all()))
    if not whole and not all(isinstance(label, str) for label in model.classes_):
        raise InputTypeError(
            "classes: labels must be whole numbers or strings to be written as ONNX; got labels of type "
            f"{model.classes_.dtype}, such as {model.classes_[0]!r}. Code them so before fit."
        )
    types = library("skl2onnx.common.data_types")
    if scope.get_options(model, {"zipmap": True})["zipmap"] is True and isinstance(
        inputs[0].type, types.DoubleTensorType
    ):
        raise ParameterError(
            "options: a ZipMap, which gives probabilities as dicts, takes them in float; got inputs in double. Give "
            "options={'zipmap': False}, or inputs in float32."
        )
    return library("skl2onnx._parse")._parse_sklearn_classifier(scope, model, inputs, custom_parsers)


def _set_type(operator, which: int, width: int):
    """The type of a result: that of the inputs, but float of those that are whole numbers."""
    types = library("skl2onnx.common.data_types")
    double = any(isinstance(item.type, types.DoubleTensorType) for item in operator.inputs)
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[which].set_type((types.DoubleTensorType if double else types.FloatTensorType)([rows, width]))


def _layer_shapes(operator):
    _set_type(operator, 0, operator.raw_operator._need_layer("to_onnx").n_neurons)


def _regressor_shapes(operator):
    _set_type(operator, 0, len(operator.raw_operator._solved("to_onnx").coef))


def _classifier_shapes(operator):
    types, model = library("skl2onnx.common.data_types"), operator.raw_operator
    _set_type(operator, 1, len(model.classes_))
    shape = [operator.inputs[0].get_first_dimension()]
    if isinstance(model._targets, IndicatorTargets):
        shape.append(len(model.classes_))
    labels = _labels(operator.scope_inst, model)
    operator.outputs[0].set_type(
        (types.StringTensorType if labels.dtype.kind in "UO" else types.Int64TensorType)(shape)
    )


def _labels(scope, model) -> np.ndarray:
    """Labels (n_classes,) of int64 or strings."""
    classes = library("skl2onnx.common.utils_classifier").get_label_classes(scope, model)
    return classes if classes.dtype.kind in "UO" else classes.astype(np.int64)


def _add_inputs(graph: Graph, operator) -> str:
    """X (rows, n_features) in double, of one input or of a column each."""
    layer = operator.raw_operator.hidden_layer_
    if graph.opset < _FIRST_OPSET:
        raise ParameterError(f"target_opset must be at least {_FIRST_OPSET}; got {graph.opset}.")
    columns = [graph.cast(item.full_name, np.float64) for item in operator.inputs]
    X = columns[0] if len(columns) == 1 else graph.add("Concat", *columns, axis=1)
    return add_layer(graph, X, layer)


def _add_outputs(graph: Graph, H: str, function) -> str:
    """Outputs (rows, n_targets) in double."""
    product = graph.add("MatMul", graph.cast(H, np.float64), function.coef.T)
    return graph.add("Add", product, function.intercept)


def _give(graph: Graph, name: str, operator, which: int):
    types = library("skl2onnx.common.data_types")
    double = isinstance(operator.outputs[which].type, types.DoubleTensorType)
    graph.cast(name, np.float64 if double else np.float32, out=operator.outputs[which].full_name)


def _convert_layer(scope, operator, container):
    graph = Graph(scope, container)
    _give(graph, _add_inputs(graph, operator), operator, 0)


def _convert_regressor(scope, operator, container):
    graph = Graph(scope, container)
    function = operator.raw_operator._prediction("to_onnx")
    outputs = _add_outputs(graph, _add_inputs(graph, operator), function)
    _give(graph, graph.cast(outputs, function.dtype), operator, 0)


def _convert_classifier(scope, operator, container):
    graph, model = Graph(scope, container), operator.raw_operator
    function = model._function("predict_proba", "to_onnx")
    multi = isinstance(model._targets, IndicatorTargets)
    outputs = _add_outputs(graph, _add_inputs(graph, operator), function)
    # Labels follow from the very numbers that are given as probabilities.
    p = graph.cast(_add_probabilities(graph, outputs, len(function.coef), multi), function.dtype)
    _give(graph, p, operator, 1)
    if multi:
        above = graph.add("Greater", p, np.array(0.5, function.dtype))
        graph.cast(above, np.int64, out=operator.outputs[0].full_name)
        return
    largest = graph.add("ArgMax", p, axis=1, keepdims=0)
    graph.add("Gather", _labels(scope, model), largest, axis=0, out=operator.outputs[0].full_name)


def _add_probabilities(graph, outputs, n_targets, multi):
    """As `probabilities` has them: (rows, n_classes) in double."""
    if multi:
        return graph.add("Clip", outputs, np.array(1e-6), np.array(1 - 1e-6))
    if n_targets == 1:
        second = graph.add("Clip", outputs, np.array(0.0), np.array(1.0))
        return graph.add("Concat", graph.add("Sub", np.array(1.0), second), second, axis=1)
    # The nearest point of the simplex: of all thresholds (sum of the k largest - 1) / k, the right one is the largest.
    ordered = graph.largest_first(outputs, n_targets)
    sums = graph.add("Sub", graph.add("CumSum", ordered, np.array(1)), np.array(1.0))
    thresholds = graph.add("Div", sums, np.arange(1.0, n_targets + 1))
    above = graph.add("Sub", outputs, graph.reduce("ReduceMax", thresholds, 1, keep=True))
    return graph.add("Relu", above)
