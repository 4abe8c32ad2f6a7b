"""HP-ELM's interface on top of daskelm, its successor: scripts run after a change of the import line."""

from . import modules
from .elm import HPELM
from .model import convert_model
from .modules import make_hdf5, normalize_hdf5

__all__ = ["HPELM", "convert_model", "make_hdf5", "modules", "normalize_hdf5"]
