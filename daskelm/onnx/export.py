"""Models as ONNX graphs, which run without daskelm and without Python: converters for skl2onnx, and `to_onnx`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

from ..estimators.base import BaseELM
from ..estimators.classifier import ELMClassifier
from ..estimators.classifier_cv import ELMClassifierCV
from ..estimators.hidden_layer import HiddenLayer
from ..estimators.regressor import ELMRegressor
from ..estimators.regressor_cv import ELMRegressorCV
from ..exceptions import ParameterError
from .converters import (
    classifier_shapes,
    column_types,
    convert_classifier,
    convert_layer,
    convert_regressor,
    layer_shapes,
    parse_classifier,
    regressor_shapes,
)
from .graph import library

__all__ = ["register_converters", "to_onnx"]

_CLASSIFIER_OPTIONS = {"zipmap": [True, False, "columns"], "nocl": [True, False]}


def to_onnx(model, X=None, *, options: dict | None = None, **more) -> Any:
    """Write an estimator, or a Pipeline with one in it, as an ONNX graph.

    The graph does what `predict` does, in the same precision: inputs are scaled and clipped in double, neurons are
    computed in the layer's dtype, and the product with the output weights is in double. Results have the type of the
    inputs. The graph does not check for NaN, which `predict` refuses.

    Parameters
    ----------
    model : estimator
        `ELMRegressor`, `ELMClassifier`, `ELMRegressorCV`, `ELMClassifierCV` or `HiddenLayer`, or a Pipeline or other
        estimator of scikit-learn that skl2onnx knows, which holds some of these; fitted.
    X : ndarray or data frame of shape (n_samples, n_features), optional
        The type of the inputs is taken from its first row; each column of a data frame is an input of its own, with the
        column's name. Not needed for an estimator of daskelm: its input is then called "X" and has the dtype of the
        layer.
    options : dict, optional
        Options of skl2onnx. If not given, classifiers give probabilities as an array: ``{"zipmap": False}``.
    **more
        Other arguments of ``skl2onnx.to_onnx``, such as ``target_opset``.

    Returns
    -------
    onnx.ModelProto
        Its outputs are, for a regressor, "variable" of shape (n_samples, n_targets); for a classifier, "label" of shape
        (n_samples,) or (n_samples, n_labels), and "probabilities" of shape (n_samples, n_classes); for a `HiddenLayer`,
        "variable" of shape (n_samples, n_neurons).

    Raises
    ------
    NotSolvedError
        The model is not fitted.
    ParameterError
        Neurons of a kind that ONNX has no operators for; a model in the place of a transformer in a Pipeline, where
        scikit-learn uses its hidden layer; ``zipmap`` with inputs in double, which ONNX has for float only; an opset
        below 13.
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
    if X is None and "initial_types" not in more and isinstance(model, BaseELM):
        types = library("skl2onnx.common.data_types")
        layer = model._check_is_drawn("to_onnx").layer
        tensor = types.FloatTensorType if layer.dtype == np.float32 else types.DoubleTensorType
        more["initial_types"] = column_types(model) or [("X", tensor([None, layer.n_features]))]
    if options is None and is_classifier(model):
        options = {"zipmap": False}
    return library("skl2onnx").to_onnx(model, X, options=options, **more)


def register_converters() -> None:
    """Register the estimators of daskelm with skl2onnx; repeated calls change nothing.

    Afterwards, ``skl2onnx.to_onnx`` and other tools that use skl2onnx accept them, alone and in Pipelines.

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
    register(HiddenLayer, "DaskelmHiddenLayer", layer_shapes, convert_layer)
    for cls in (ELMRegressor, ELMRegressorCV):
        register(cls, f"Daskelm{cls.__name__}", regressor_shapes, convert_regressor)
    for classifier in (ELMClassifier, ELMClassifierCV):
        register(
            classifier,
            f"Daskelm{classifier.__name__}",
            classifier_shapes,
            convert_classifier,
            parser=parse_classifier,
            options=_CLASSIFIER_OPTIONS,
        )


def _refuse_transforming(model, name="model", transforms=False):
    """Refuse a model used as a transformer: scikit-learn takes its hidden layer then, but skl2onnx its predictions."""
    if isinstance(model, Pipeline):
        for i, (step_name, step) in enumerate(model.steps):
            _refuse_transforming(step, step_name, transforms or i < len(model.steps) - 1)
    elif isinstance(model, FeatureUnion):
        for part_name, part in model.transformer_list:
            _refuse_transforming(part, part_name, True)
    elif isinstance(model, ColumnTransformer):
        for part_name, part, _ in getattr(model, "transformers_", []):
            _refuse_transforming(part, part_name, True)
    elif transforms and isinstance(model, BaseELM) and not isinstance(model, HiddenLayer):
        raise ParameterError(
            "model: what stands in the place of a transformer must be a HiddenLayer to be written as ONNX; got "
            f"{name!r} of class {type(model).__name__}. Use a HiddenLayer there, which gives the same outputs."
        )
