"""Datasets and columns by name: what a choice of columns means in one open file."""

from __future__ import annotations

from collections.abc import Sequence

import h5py
import numpy as np

from ..exceptions import DataError, DatasetNotFoundError, InputTypeError
from .choice import Asked, Choice, runs_of
from .columns import Column, columns_of
from .kinds import dtype_of, is_numeric, kind_in_words, table_of, to_numbers
from .links import dataset_named, datasets_in, item_named
from .paths import is_url
from .words import is_text_column

__all__ = ["choice_in", "dataset_or_names", "is_table_of_records", "names_in", "positions_of"]

# At most so many names are listed in a message.
_MOST_NAMES = 8


def dataset_or_names(file: h5py.File, path: str, asked: Asked) -> h5py.Dataset | list[str] | None:
    """The dataset with the named columns, or the names of datasets that stand side by side; None if none is named.

    Raises
    ------
    DatasetNotFoundError
        No dataset has such columns, or several have.
    """
    names = asked.names
    if asked.dataset is not None:
        group = item_named(file, asked.dataset) if names else None
        if not isinstance(group, h5py.Group):
            return dataset_named(file, path, asked.dataset)
        return [f"{asked.dataset.rstrip('/')}/{name}" for name in names]
    if not names:
        return None
    tables = [one for one in datasets_in(file).values() if set(names) <= set(names_in(one, path))]
    apart = all(isinstance(item_named(file, name), h5py.Dataset) for name in names)
    if len(tables) == 1 and not apart:
        return tables[0]
    if apart and not tables:
        return list(names)
    if tables:
        where = [str(one.name) for one in tables] + ["datasets of these names"] * apart
        raise DatasetNotFoundError(
            f"{path}: columns {_listed(names)} must be in one dataset, when none is named; got {_listed(where)}. Name "
            "one: dataset=..., which may be the group of several datasets that stand side by side."
        )
    described = {str(one.name): found for one in datasets_in(file).values() if (found := names_in(one, path))}
    held = "; ".join(f"{name} has {_listed(found)}" for name, found in list(described.items())[:4])
    raise DatasetNotFoundError(
        f"{path}: columns must be names of columns of one dataset, of fields of records, or of datasets that stand "
        f"side by side; got {_listed(names)}. {held or 'No dataset of the file has names of columns'}. Columns without "
        "names are chosen by position, columns=[0, 3], and datasets in a group by dataset=GROUP."
    )


def names_in(dataset: h5py.Dataset, path: str) -> tuple[str, ...]:
    """Names of the columns of a dataset, or of the fields of its records; empty where there are none."""
    dtype = dtype_of(dataset)
    if dtype is not None and dtype.names:
        return tuple(dtype.names)
    if dtype is None or dtype.kind not in "fiub" or dataset.ndim not in (1, 2):
        return ()
    return tuple(column.name for column in columns_of(dataset, path) or ())


def is_table_of_records(dataset: h5py.Dataset) -> bool:
    """Whether a dataset holds records, one after the other, whose fields are all numbers."""
    dtype = dtype_of(dataset)
    return dtype is not None and bool(dtype.names) and dataset.ndim == 1 and not _unfit(dtype, dtype.names)


def choice_in(dataset: h5py.Dataset, path: str, asked: Asked) -> tuple[Choice, tuple[Column, ...] | None]:
    """The columns that are read of a dataset, and what is known of their names.

    Raises
    ------
    DatasetNotFoundError
        There is no such column.
    DataError
        The dataset has the wrong number of dimensions.
    InputTypeError
        Columns that hold no numbers.
    """
    dtype, name = dtype_of(dataset), dataset.name
    if dtype is not None and dtype.names:
        return _fields(dataset, path, asked)
    if is_text_column(dataset) and asked.columns is None and not asked.transpose:
        return Choice(vector=True) if dataset.ndim == 1 else Choice(1), None
    if not is_numeric(dataset):
        raise InputTypeError(
            f"{path}: dataset {name!r} must hold numbers; got {kind_in_words(dataset)}. {to_numbers(dataset)}"
        )
    if not dataset.shape or dataset.ndim not in (1, 2):
        raise DataError(
            f"{path}: dataset {name!r} must be 2-D (rows, columns) or 1-D; got shape {dataset.shape}. "
            f"{table_of(dataset, path, is_url(path))}"
        )
    if asked.transpose:
        _check_transposable(dataset, path)
    columns = None if asked.transpose else columns_of(dataset, path)
    if dataset.ndim == 1:
        own = tuple(column.name for column in columns or ())
        if asked.columns is not None and asked.columns != (0,) and (not own or asked.columns != own):
            raise DataError(
                f"{path}: dataset {name!r} must be 2-D for a choice of its columns; got shape {dataset.shape}, and "
                f"columns {_listed(asked.columns)}. Leave out columns; several datasets stand side by side by "
                "columns=[...] with their names, and no dataset."
            )
        return Choice(vector=True), columns
    width = dataset.shape[1 - int(asked.transpose)]
    choice = Choice(width, transposed=asked.transpose)
    if asked.columns is None:
        return choice, columns
    positions = positions_of(asked.columns, columns, width, f"{path}: dataset {name!r}")
    chosen = None if columns is None else tuple(columns[i] for i in positions)
    runs = runs_of(positions)
    return Choice(
        width, None if runs == ((0, width),) else runs, transposed=asked.transpose, single=asked.single
    ), chosen


def positions_of(asked: Sequence, columns: Sequence[Column] | None, width: int, what: str) -> list[int]:
    """Positions of columns that are asked for by name or by position, among `width` ones; `what` is for messages."""
    if isinstance(asked[0], str):
        places = {column.name: i for i, column in enumerate(columns or ())}
        # The command has no other form for a position.
        numbers = columns is None and all(one.isdecimal() for one in asked)
        if columns is None and not numbers:
            raise DatasetNotFoundError(
                f"{what}: columns are given by name only where they have names; got {_listed(asked)} for {width} "
                "columns without names. Give positions: columns=[0, 3]."
            )
        if not numbers:
            if missing := [one for one in asked if one not in places]:
                raise DatasetNotFoundError(
                    f"{what}: columns must be among {_listed(list(places))}; got {_listed(missing)}. Give these names."
                )
            if len(places) < width:
                names = [column.name for column in columns or ()]
                if twice := [one for one in asked if names.count(one) > 1]:
                    raise DatasetNotFoundError(
                        f"{what}: columns are given by name only where no other has that name; got {_listed(twice)}, "
                        "which several have. Give positions: columns=[0, 3]."
                    )
            return [places[one] for one in asked]
        asked = [int(one) for one in asked]
    if beyond := [one for one in asked if not 0 <= one < width]:
        raise DatasetNotFoundError(
            f"{what}: positions of columns must lie within 0 to {width - 1}; got {_listed(beyond)}. Give others."
        )
    return list(asked)


def _check_transposable(dataset, path):
    if dataset.ndim != 2:
        raise DataError(
            f"{path}: transpose is for a 2-D dataset (columns, rows); got {dataset.name!r} of shape {dataset.shape}. "
            "Leave it out."
        )
    if dataset.is_virtual or dataset.external or dataset.file.driver == "fileobj":
        what = "at a URL" if dataset.file.driver == "fileobj" else "whose numbers lie in other files"
        raise DataError(
            f"{path}: transpose is for a dataset that lies in a file of this machine's file system; got "
            f"{dataset.name!r} {what}. Copy it to a file first: make_hdf5(h5py.File(path)[name][:].T, 'X.h5'), where "
            "it fits into memory."
        )


def _fields(dataset, path, asked):
    dtype, name = dataset.dtype, dataset.name
    if dataset.ndim != 1:
        raise DataError(
            f"{path}: records in {name!r} must be in one dimension, a row each; got shape {dataset.shape}. Flatten "
            "them first."
        )
    if asked.transpose:
        _check_transposable(dataset, path)
    columns = [Column(field) for field in dtype.names]
    wanted = list(range(len(columns)))
    if asked.columns is not None:
        wanted = positions_of(asked.columns, columns, len(columns), f"{path}: {name!r}")
    names = [dtype.names[i] for i in wanted]
    if unfit := _unfit(dtype, names):
        good = [field for field in dtype.names if field not in _unfit(dtype, dtype.names)]
        remedy = f"Choose others: columns={good[:_MOST_NAMES]}" if good and asked.columns is None else "Choose others"
        vectors = [field for field in unfit if dtype[field].subdtype is not None]
        if vectors:
            whole = f"h5py.File({path!r})[{name!r}][{vectors[0]!r}]"
            remedy += f"; a field of several numbers is a table of its own, make_hdf5({whole}, 'X.h5')"
        kinds = _listed([f"{field} ({dtype[field]})" for field in unfit])
        raise InputTypeError(f"{path}: fields of {name!r} must hold one number each; got {kinds}. {remedy}.")
    fields = tuple((field, dtype[field].newbyteorder("=").str) for field in names)
    return Choice(len(columns), fields=fields, single=asked.single), tuple(columns[i] for i in wanted)


def _unfit(dtype: np.dtype, names) -> list[str]:
    """Those of the fields that hold anything but one number."""
    return [name for name in names if dtype[name].kind not in "fiub" or dtype[name].subdtype is not None]


def _listed(names: Sequence) -> str:
    texts = [str(name) for name in names[:_MOST_NAMES]]
    return ", ".join(texts) + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")
