"""Extreme Learning Machines for tables with too many rows, on Dask."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .data.from_hdf5 import from_hdf5
    from .data.from_parquet import from_parquet
    from .data.make_hdf5 import make_hdf5
    from .data.to_hdf5 import to_hdf5
    from .estimators.classifier import ELMClassifier
    from .estimators.classifier_cv import ELMClassifierCV
    from .estimators.hidden_layer import HiddenLayer
    from .estimators.load import load
    from .estimators.regressor import ELMRegressor
    from .estimators.regressor_cv import ELMRegressorCV
    from .layer.neurons import Neurons
    from .passes.learning_curve import LearningCurvePoint
    from .plots.learning_curve import LearningCurveDisplay, LearningCurvePlot
    from .plots.prediction import PredictionDisplay
    from .plots.reliability import ReliabilityDisplay
    from .plots.selection import NeuronsDisplay, PenaltyDisplay
    from .sums.file import merge
    from .sums.normal_equations import NormalEquations

__all__ = [
    "ELMClassifier",
    "ELMClassifierCV",
    "ELMRegressor",
    "ELMRegressorCV",
    "HiddenLayer",
    "LearningCurveDisplay",
    "LearningCurvePlot",
    "LearningCurvePoint",
    "Neurons",
    "NeuronsDisplay",
    "NormalEquations",
    "PenaltyDisplay",
    "PredictionDisplay",
    "ReliabilityDisplay",
    "from_hdf5",
    "from_parquet",
    "load",
    "make_hdf5",
    "merge",
    "to_hdf5",
]

__version__ = "0.1.0"

# Each name is imported when it is first used, so that `daskelm --help` does not wait for scikit-learn and Dask.
_HOMES = {
    "ELMClassifier": "estimators.classifier",
    "ELMClassifierCV": "estimators.classifier_cv",
    "ELMRegressor": "estimators.regressor",
    "ELMRegressorCV": "estimators.regressor_cv",
    "HiddenLayer": "estimators.hidden_layer",
    "LearningCurveDisplay": "plots.learning_curve",
    "LearningCurvePlot": "plots.learning_curve",
    "LearningCurvePoint": "passes.learning_curve",
    "Neurons": "layer.neurons",
    "NeuronsDisplay": "plots.selection",
    "NormalEquations": "sums.normal_equations",
    "PenaltyDisplay": "plots.selection",
    "PredictionDisplay": "plots.prediction",
    "ReliabilityDisplay": "plots.reliability",
    "from_hdf5": "data.from_hdf5",
    "from_parquet": "data.from_parquet",
    "load": "estimators.load",
    "make_hdf5": "data.make_hdf5",
    "merge": "sums.file",
    "to_hdf5": "data.to_hdf5",
}


def __getattr__(name):
    if name == "exceptions":
        return import_module(".exceptions", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return value


def __dir__():
    return sorted({*globals(), *__all__, "exceptions"})
