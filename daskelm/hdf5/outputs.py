"""The check that a file to write is none of the files that the data comes from."""

from __future__ import annotations

import functools
import os
import types
from collections.abc import Iterator, Mapping
from typing import Any

import dask
import h5py
import numpy as np

from ..exceptions import ParameterError
from .contents import files_behind
from .file_rows import FileRows
from .paths import identities, is_url

__all__ = ["check_not_an_input"]

# Objects of other libraries (arrays of xarray, readers of users) are searched for names of files to this depth.
_DEPTH = 8
_LONGEST_PATH = 4096
# Types whose objects hold no name of a file, or refer to the whole program.
_SKIPPED = (
    int,
    float,
    complex,
    bytes,
    type,
    types.ModuleType,
    types.BuiltinFunctionType,
    np.generic,
    np.dtype,
    np.ufunc,
)
_SKIPPED_LIBRARIES = {"asyncio", "concurrent", "distributed", "logging", "threading", "tornado", "weakref"}
# Attributes of a graph's tasks that hold only names of tasks, which differ from task to task.
_NAMES_OF_TASKS = {"key", "_dependencies", "_repr", "_token", "_data_producer", "_is_coro", "dependencies"}


def check_not_an_input(out, name: str = "out", **inputs) -> None:
    """Refuse to write to a file that an input is read from, even if the two have different paths, links or mounts.

    Parameters
    ----------
    out : str or path-like
        The file to write.
    name : str, default="out"
        The argument's, for the error.
    **inputs : path, list of paths, rows of HDF5 files, h5py.Dataset, array, dask collection, or None
        What is read, by the names of the arguments. Files are looked for in the graphs of dask collections, behind
        arrays that are mapped into memory, and behind virtual datasets, external links and external storage.

    Raises
    ------
    ParameterError
        Names the file and the input.
    """
    target = identities(out)
    for what, value in inputs.items():
        for path in _Files(value):
            if not target.isdisjoint(identities(path)):
                also = "" if os.path.abspath(path) == os.path.abspath(out) else f" ({path})"
                raise ParameterError(
                    f"{name}: {os.fspath(out)} is one of the files that {what} is read from{also}, and inputs are "
                    "never overwritten. Give another name."
                )


class _Files:
    """Iterable of the local files that a value may be read from, each once; searches everything that it holds."""

    def __init__(self, value):
        self._value = value
        # Objects are kept alive, so that no new object gets the address of one that was seen.
        self._seen: dict[int, object] = {}
        self._paths: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        stack = [(self._value, 0)]
        while stack:
            value, depth = stack.pop()
            if isinstance(value, str):
                yield from self._new(value)
            elif value is not None and not _is_skipped(_class(value)) and id(value) not in self._seen:
                self._seen[id(value)] = value
                if type(value) not in (tuple, list, dict):
                    for found in _named_by(value):
                        yield from self._new(found)
                stack += _held_by(value, depth)

    def _new(self, path):
        """The text if it may be a path and is new; for a URL, the path of the local file at its end, if it has one."""
        if path in self._paths:
            return
        self._paths.add(path)
        if is_url(path):
            path = path.rpartition("::")[2]
        if not is_url(path) and 0 < len(path) < _LONGEST_PATH and "\0" not in path:
            yield path


def _class(value) -> Any:
    return type(value)


@functools.cache
def _is_skipped(cls) -> bool:
    """Whether objects of a class hold no name of a file, or refer to the whole program."""
    return issubclass(cls, _SKIPPED) or cls.__module__.partition(".")[0] in _SKIPPED_LIBRARIES


def _named_by(value) -> Iterator[str]:
    """Paths of the files that a value itself names."""
    if isinstance(value, os.PathLike):
        named = os.fspath(value)
        yield os.fsdecode(named)
    elif isinstance(value, FileRows):
        for part in value.parts:
            yield from [part.path] if is_url(part.path) else value.files_of(part)
    elif isinstance(value, h5py.Dataset):
        # A dataset whose file is closed cannot be read any more.
        yield from files_behind(value) if value else ()
    elif isinstance(value, h5py.Group) and value:
        yield value.file.filename
    elif isinstance(value, np.memmap) and value.filename is not None:
        yield os.fspath(value.filename)


def _held_by(value, depth) -> list[tuple[object, int]]:
    """Objects that a value holds, each with its depth within objects of other libraries."""
    if isinstance(value, list | tuple | set | frozenset):
        return [(item, depth) for item in value]
    if isinstance(value, dict):
        # Keys that are tuples are names of tasks.
        named = [(key, depth) for key in value if isinstance(key, str | os.PathLike)]
        return named + [(item, depth) for item in value.values()]
    if isinstance(value, FileRows | h5py.HLObject | os.PathLike):
        return []
    if isinstance(value, np.ndarray):
        return [(value.base, depth)]
    if dask.is_dask_collection(value):
        return [(value.__dask_graph__(), depth)]
    if isinstance(value, functools.partial):
        return [(item, depth) for item in (value.func, value.args, value.keywords)]
    if isinstance(value, types.MethodType):
        return [(value.__self__, depth)]
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
        return [(item, depth + 1) for item in (*cells, value.__defaults__, value.__kwdefaults__)]
    # Tasks and layers of graphs do not count as a level of depth.
    deeper = depth if type(value).__module__.startswith("dask.") else depth + 1
    return [(item, deeper) for item in _attributes(value)] if deeper <= _DEPTH else []


def _is_filled(cell):
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _attributes(value) -> Iterator[object]:
    """Values of the attributes that an object holds, without running any code of its class."""
    held = getattr(value, "__dict__", None)
    if isinstance(held, Mapping):
        yield from list(held.values())
    for slot in _slots(_class(value)):
        try:
            yield slot.__get__(value)
        except AttributeError:
            continue


@functools.cache
def _slots(cls) -> tuple[types.MemberDescriptorType, ...]:
    """Slots of a class, except those of dask that hold names of tasks."""
    left_out = _NAMES_OF_TASKS if cls.__module__.startswith("dask.") else set()
    return tuple(
        place
        for base in cls.__mro__
        for name, place in base.__dict__.items()
        if isinstance(place, types.MemberDescriptorType) and name not in left_out
    )
