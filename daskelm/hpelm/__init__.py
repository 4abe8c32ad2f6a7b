"""The interface of HP-ELM, daskelm's predecessor, over daskelm: its scripts run with another import line."""

from . import modules
from .elm import HPELM
from .model import convert_model
from .modules import make_hdf5, normalize_hdf5

__all__ = ["HPELM", "convert_model", "make_hdf5", "modules", "normalize_hdf5"]
