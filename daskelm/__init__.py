"""Extreme Learning Machines for tables with too many rows, on Dask."""

from .classifier import ELMClassifier
from .hdf5_arrays import from_hdf5
from .hdf5_writing import make_hdf5, to_hdf5
from .hidden_layer import HiddenLayer
from .neurons import Neurons
from .normal_equations import NormalEquations
from .persistence import load
from .regressor import ELMRegressor
from .sums_file import merge

__all__ = [
    "ELMClassifier",
    "ELMRegressor",
    "HiddenLayer",
    "Neurons",
    "NormalEquations",
    "from_hdf5",
    "load",
    "make_hdf5",
    "merge",
    "to_hdf5",
]

__version__ = "0.1.0"
