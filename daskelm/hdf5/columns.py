"""Names of the columns of a table, and the levels behind those that are codes: how a file of daskelm's keeps them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from ..exceptions import FileFormatError

__all__ = ["COLUMNS", "Column", "columns_of", "write_columns"]

# The table `data` has its columns described in `data.columns`: a dataset has no limit of size, an attribute 64 KiB.
COLUMNS = ".columns"


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, and its levels if its numbers are codes of categories.

    The code i stands for the level i, and NaN for no level. A level is a text, an int, a float or a bool.
    """

    name: str
    levels: tuple[str | int | float | bool, ...] | None = None


def write_columns(dataset: h5py.Dataset, columns: Sequence[Column]) -> None:
    """Write what is known about the columns of a dataset beside it, in the same file: one line of JSON for each."""
    lines = [
        json.dumps({"name": one.name} | ({} if one.levels is None else {"levels": list(one.levels)})) for one in columns
    ]
    dataset.file.create_dataset(dataset.name + COLUMNS, data=lines, dtype=h5py.string_dtype())


def columns_of(dataset: h5py.Dataset, path: str) -> tuple[Column, ...] | None:
    """The columns of a dataset that `write_columns` described; None where nothing is known about them.

    Raises
    ------
    FileFormatError
        What is written there is not what daskelm writes, or has another number of columns than the dataset.
    """
    described = dataset.file.get(dataset.name + COLUMNS)
    if described is None:
        return None
    n_columns = 1 if dataset.ndim == 1 else dataset.shape[1]
    try:
        if described.shape != (n_columns,):
            raise ValueError(f"shape {described.shape}")
        found = [json.loads(line) for line in np.ravel(described.asstr()[:])]
        return tuple(
            Column(str(one["name"]), None if one.get("levels") is None else tuple(one["levels"])) for one in found
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"{path}: {described.name} must describe the {n_columns} columns of {dataset.name}, as make_hdf5 writes "
            f"it; got something else ({error}). Write the table again, or remove this dataset."
        ) from None
