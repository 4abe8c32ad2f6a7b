"""Extreme Learning Machines for tables with too many rows, on Dask."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .classifier import ELMClassifier
    from .classifier_cv import ELMClassifierCV
    from .hdf5_arrays import from_hdf5
    from .hdf5_writing import make_hdf5, to_hdf5
    from .hidden_layer import HiddenLayer
    from .learning_curve import LearningCurvePoint
    from .learning_curve_plot import LearningCurvePlot
    from .learning_display import LearningCurveDisplay
    from .neurons import Neurons
    from .normal_equations import NormalEquations
    from .persistence import load
    from .prediction_display import PredictionDisplay
    from .regressor import ELMRegressor
    from .regressor_cv import ELMRegressorCV
    from .selection_display import NeuronsDisplay, PenaltyDisplay
    from .sums_file import merge

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
    "from_hdf5",
    "load",
    "make_hdf5",
    "merge",
    "to_hdf5",
]

__version__ = "0.1.0"

# Names are imported when they are first used: `daskelm --help` does not wait for scikit-learn and Dask.
_HOMES = {
    "ELMClassifier": "classifier",
    "ELMClassifierCV": "classifier_cv",
    "ELMRegressor": "regressor",
    "ELMRegressorCV": "regressor_cv",
    "HiddenLayer": "hidden_layer",
    "LearningCurveDisplay": "learning_display",
    "LearningCurvePlot": "learning_curve_plot",
    "LearningCurvePoint": "learning_curve",
    "Neurons": "neurons",
    "NeuronsDisplay": "selection_display",
    "NormalEquations": "normal_equations",
    "PenaltyDisplay": "selection_display",
    "PredictionDisplay": "prediction_display",
    "from_hdf5": "hdf5_arrays",
    "load": "persistence",
    "make_hdf5": "hdf5_writing",
    "merge": "sums_file",
    "to_hdf5": "hdf5_writing",
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
