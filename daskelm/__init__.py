"""Extreme Learning Machines for tables with too many rows, on Dask."""

from .hdf5 import from_hdf5
from .hdf5_writing import make_hdf5, to_hdf5
from .neurons import Neurons
from .normal_equations import NormalEquations

__all__ = ["Neurons", "NormalEquations", "from_hdf5", "make_hdf5", "to_hdf5"]
