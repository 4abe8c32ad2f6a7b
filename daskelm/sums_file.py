"""Sums on disk: rows are added to one file that is whole at every instant, by any number of processes."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from functools import reduce
from operator import add

from dask.utils import natural_sort_key
from filelock import FileLock

from .exceptions import FileMissingError, ParameterError
from .normal_equations import NormalEquations

__all__ = ["add_to_file", "read_sums"]


def add_to_file(path, sums: NormalEquations) -> NormalEquations:
    """Add sums to a file, under the lock `path`.lock; the file is made when missing, and replaced whole.

    Parameters
    ----------
    path : str or path-like
        The sums file.
    sums : NormalEquations
        To add.

    Returns
    -------
    NormalEquations
        What the file holds now.
    """
    path = os.path.abspath(os.fspath(path))
    if not os.path.isdir(os.path.dirname(path)):
        raise FileMissingError(f"into: the folder of {path} does not exist. Create it first.")
    with FileLock(f"{path}.lock"):
        if os.path.exists(path):
            sums = NormalEquations.load(path) + sums
        sums.save(path)
    return sums


def read_sums(source) -> NormalEquations:
    """Sums from wherever they are.

    Parameters
    ----------
    source : NormalEquations, str, path-like, or list of these
        Sums, a sums file, a glob of such files, or several of these, which are added up.

    Returns
    -------
    NormalEquations
    """
    if isinstance(source, NormalEquations):
        return source
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        if not glob.has_magic(path) or os.path.exists(path):
            return NormalEquations.load(path)
        found = sorted(glob.glob(path), key=natural_sort_key)
        if not found:
            raise FileMissingError(f"{path}: no sums file matches this pattern.")
        source = found
    if not isinstance(source, Iterable) or not (parts := list(source)):
        raise ParameterError(f"sums must be NormalEquations, a file, a list of files, or a glob; got {source!r}.")
    return reduce(add, map(read_sums, parts))
