"""Modules of other libraries that are imported when something of them is first used."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["da"]


class _LazyModule(ModuleType):
    """Stands for a module, and imports it when an attribute of it is read."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


if TYPE_CHECKING:
    import dask.array as da
else:
    # It imports pandas, 0.6 s together. A worker that sums rows of HDF5 files needs neither, nor does `daskelm info`.
    da = _LazyModule("dask.array")
