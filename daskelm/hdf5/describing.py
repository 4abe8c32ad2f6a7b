"""Descriptions of the datasets that paths, names and choices of columns stand for, without reading their rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import repeat
from typing import NamedTuple

import h5py
import numpy as np

from ..exceptions import DataError, DatasetNotFoundError, FileFormatError
from .choice import Asked
from .columns import COLUMNS, Column
from .dataset import Part, side_by_side
from .external import status_of, surveyed
from .kinds import is_numeric
from .links import datasets_in, links_in, listing, place_of_dataset
from .naming import choice_in, dataset_or_names, is_table_of_records
from .netcdf import conventions_of, is_scale
from .opening import opened, reading
from .paths import is_url
from .remote import RemoteFile
from .remote_rows import check_kept_inside, fetched_bytes
from .views import temporary_bytes
from .words import is_text_column, words_of

__all__ = ["Described", "describe_all"]

# Number of files at URLs that are described at the same time.
_N_THREADS = 16


class Described(NamedTuple):
    """Description of a file's rows, their shape, and what is known of their columns."""

    part: Part
    shape: tuple[int, ...]
    columns: tuple[Column, ...] | None


def describe_all(paths: Sequence[str], asked: Asked) -> list[Described]:
    """The descriptions of the rows of several files, those at URLs at the same time."""
    # File systems are made here: each thread would have its own.
    remotes = [RemoteFile(path) if is_url(path) else None for path in paths]
    if len(paths) - remotes.count(None) < 2:
        return list(map(_describe, paths, remotes, repeat(asked)))
    # The threads mostly wait for answers of servers.
    with ThreadPoolExecutor(_N_THREADS) as pool:
        return list(pool.map(_describe, paths, remotes, repeat(asked)))


def _describe(path, remote, asked: Asked) -> Described:
    what = "its list of datasets" if asked.dataset is None else f"the description of {asked.dataset!r}"
    if remote is not None:
        with opened(path, remote) as (file, _), reading(path, what):
            found = remote.call(_describe_in, file, path, asked, remote.seen)
            remote.forget()
        return found if isinstance(found, Described) else _beside(path, remote, found, asked)
    # The time is taken first, so that all later changes have a later time.
    now = time.time_ns()
    with opened(path) as (file, _), reading(path, what):
        status = status_of(path)
        dataset = _found(file, path, asked)
        if isinstance(dataset, list):
            return _beside(path, None, dataset, asked)
        # A link may lead to a dataset in another file.
        home = None if dataset.file == file else place_of_dataset(dataset)
        if home is None:
            found = _description(dataset, path, (status.st_size, status.st_mtime_ns), now, asked)
    if home is not None:
        return _describe(home[0], None, asked._replace(dataset=home[1]))
    after = status_of(path)
    if (after.st_ino, after.st_size, after.st_mtime_ns) != (status.st_ino, status.st_size, status.st_mtime_ns):
        raise FileFormatError(f"{path} changed while it was opened. Start again when it is complete.")
    return found


def _describe_in(file, path, asked, version):
    """The description of a dataset in a file at a URL, or names of datasets that stand side by side."""
    dataset = _found(file, path, asked)
    if isinstance(dataset, list):
        return dataset
    check_kept_inside(file, dataset, path)
    return _description(dataset, path, version, 0, asked)


def _beside(path, remote, names: list[str], asked: Asked) -> Described:
    """The description of datasets of one dimension that stand side by side."""
    found = [_describe(path, remote, Asked(name)) for name in names]
    for name, (part, shape, _) in zip(names, found, strict=True):
        if len(shape) != 1 or shape != found[0].shape:
            got = (
                f"{shape} for {name!r}"
                if name == names[0]
                else f"{found[0].shape} for {names[0]!r} and {shape} for {name!r}"
            )
            raise DataError(
                f"{path}: datasets that stand side by side must have one dimension and the same length; got {got}. "
                "Leave one out, or give them apart."
            )
        if any((one.size, one.modified) != (part.size, part.modified) for one, _, _ in found if one.path == part.path):
            raise FileFormatError(f"{part.path} changed while it was opened. Start again when it is complete.")
    last = [name.rpartition("/")[2] for name in names]
    short = last if len(set(last)) == len(last) else names
    columns = tuple(one.columns[0] if one.columns else Column(name) for name, one in zip(short, found, strict=True))
    if asked.single:
        return found[0]._replace(columns=columns)
    return Described(side_by_side([one.part for one in found]), (found[0].shape[0], len(found)), columns)


def _found(file, path, asked) -> h5py.Dataset | list[str]:
    dataset = dataset_or_names(file, path, asked)
    return _choose(file, path) if dataset is None else dataset


def _description(dataset, path, version, now, asked) -> Described:
    choice, columns = choice_in(dataset, path, asked)
    packing, missing = conventions_of(dataset, path) if is_numeric(dataset) else (None, ())
    axis = choice.sample_axis
    dtype = np.result_type(*(np.dtype(one) for _, one in choice.fields)) if choice.fields else dataset.dtype
    if is_text_column(dataset):
        dtype = np.dtype(object)
    if packing is not None:
        packing = replace(packing, row_size=choice.n_columns)
        dtype = np.dtype(packing.dtype)
    part = Part(
        path,
        dataset.name,
        dataset.shape[axis],
        dataset.chunks[axis] if dataset.chunks else 1,
        size=version[0],
        modified=version[1],
        fetched_bytes=fetched_bytes(dataset, choice) if is_url(path) else 0,
        missing=missing,
        packing=packing,
        words=None if choice.fields else words_of(dataset, path),
        described_at=now,
        choice=choice,
        dtype=dtype.newbyteorder("=").str,
        picking_bytes=temporary_bytes(dataset, choice),
        chunk_columns=dataset.chunks[1 - axis]
        if dataset.chunks and dataset.ndim == 2 and not dataset.is_virtual
        else 0,
        item_bytes=dataset.dtype.itemsize,
        **surveyed(dataset, path, missing, choice),
    )
    one_dimension = choice.vector or choice.single
    return Described(part, (part.n_rows,) if one_dimension else (part.n_rows, choice.n_columns), columns)


def _choose(file, path):
    own = list(datasets_in(file).values())
    chosen = _only_table(own)
    if chosen is None and not any(map(_is_table, own)):
        # A file of links alone stands for their targets. Links are followed last, since this takes the longest.
        links = links_in(file).values()
        if all(link.there for link in links):
            chosen = _only_table([link.item for link in links if isinstance(link.item, h5py.Dataset)])
    if chosen is None and not any(map(_is_table, own)):
        # Labels alone.
        words = [item for item in own if is_text_column(item) and not item.name.endswith(COLUMNS)]
        chosen = words[0] if len(words) == 1 else None
    if chosen is not None:
        return chosen
    raise DatasetNotFoundError(
        f"{path} must hold exactly one 2-D numeric dataset, or a 1-D one alone, when none is named; got "
        f"{listing(file)}. Name one: from_hdf5(path, dataset=...); or several of one dimension "
        "that stand side by side: from_hdf5(path, columns=[...])."
    )


def _is_table(dataset):
    """Whether a dataset has rows of numbers; a single number is not a candidate."""
    return is_numeric(dataset) and bool(dataset.shape)


def _only_table(datasets):
    numeric = [dataset for dataset in datasets if _is_table(dataset)]
    fitting = [dataset for dataset in numeric if dataset.ndim == 2]
    if len(fitting) == 1:
        return fitting[0]
    records = [dataset for dataset in datasets if is_table_of_records(dataset)]
    if len(records) == 1 and not fitting and all(map(is_scale, numeric)):
        return records[0]
    # The axis of a vector is not a candidate, unless there is nothing else.
    vectors = [dataset for dataset in numeric if not is_scale(dataset)] or numeric
    return vectors[0] if len(vectors) == 1 and vectors[0].ndim == 1 else None
