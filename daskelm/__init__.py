"""Extreme Learning Machines for tables with too many rows, on Dask."""

from .neurons import Neurons
from .normal_equations import NormalEquations

__all__ = ["Neurons", "NormalEquations"]
