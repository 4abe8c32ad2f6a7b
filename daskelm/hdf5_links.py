"""What an HDF5 file holds: its datasets by name, its links to other files, and where a name leads."""

from __future__ import annotations

import os
from typing import NamedTuple

import h5py

from .exceptions import DatasetNotFoundError, FileFormatError

__all__ = [
    "Link",
    "broken_link",
    "dataset_named",
    "datasets_in",
    "described",
    "dtype_of",
    "home_of",
    "links_in",
    "listing",
    "place_of_dataset",
]


class Link(NamedTuple):
    """A link out of a file: where to, what is there, and whether anything is (None where that is not looked at)."""

    target: str
    item: h5py.HLObject | None
    there: bool | None

    def __str__(self):
        return f"link to {self.target}{', which is not there' if self.there is False else ''}"


def datasets_in(file: h5py.File) -> dict[str, h5py.Dataset]:
    """The datasets that lie in a file by name; one with several names by the first of these."""
    found: dict[h5py.Dataset, str] = {}
    for name, kind in _links(file):
        if kind == h5py.h5l.TYPE_HARD and isinstance(item := file.get(name), h5py.Dataset):
            found.setdefault(item, name)
    return {name: dataset for dataset, name in found.items()}


def links_in(file: h5py.File) -> dict[str, Link]:
    """The links of a file that lead out of it or nowhere, by name."""
    # Out of a file at a URL, HDF5 would look on this machine.
    closed = file.driver == "fileobj"
    found = {}
    for name, kind in _links(file):
        if kind == h5py.h5l.TYPE_HARD:
            continue
        followed = kind == h5py.h5l.TYPE_SOFT or (kind == h5py.h5l.TYPE_EXTERNAL and not closed)
        item = file.get(name) if followed else None
        # Another name of what lies in this file is nothing new.
        if item is None or item.file != file:
            found[name] = Link(_target(file, name, kind), item, item is not None if followed else None)
    return found


def _links(file):
    """Name and kind of each link."""
    # By links: with each object, HDF5 would tell how large its index is, and go through all of that. And without the
    # links themselves: h5py has no objects for those of kinds that other programs define.
    names: list[tuple[bytes, int]] = []
    file.id.links.visit(lambda name, info: names.append((name, info.type)), info=True)
    return [(name.decode("utf-8", "surrogateescape"), kind) for name, kind in names]


def _target(file, name, kind) -> str:
    """Where a link leads to, as it is written in the file."""
    if kind not in (h5py.h5l.TYPE_SOFT, h5py.h5l.TYPE_EXTERNAL):
        return f"what only the program that wrote it knows (user-defined, kind {kind})"
    value = file.id.links.get_val(name.encode("utf-8", "surrogateescape"))
    if kind == h5py.h5l.TYPE_SOFT:
        return os.fsdecode(value)
    return ":".join(map(os.fsdecode, value))


def dtype_of(dataset: h5py.Dataset):
    """NumPy's dtype of a dataset; None of numbers that NumPy does not have, such as times or quad precision."""
    try:
        return dataset.dtype
    except (TypeError, ValueError):
        return None


def described(dataset: h5py.Dataset) -> str:
    """Shape and dtype of a dataset, for messages and lists."""
    dtype = dtype_of(dataset)
    return f"{dataset.shape} {'of a type that NumPy does not have' if dtype is None else dtype}"


def listing(file: h5py.File) -> list[str]:
    """All that a file holds, with shapes and dtypes, and its links with their targets."""
    found = [f"{name} {described(dataset)}" for name, dataset in datasets_in(file).items()]
    return found + [f"{name} ({link})" for name, link in links_in(file).items()]


def dataset_named(file: h5py.File, path: str, name: str) -> h5py.Dataset:
    """The dataset of a name, all links followed, also into other files.

    Raises
    ------
    DatasetNotFoundError
        Nothing of that name, a link to what is not there, or no dataset.
    """
    item = file.get(name)
    if isinstance(item, h5py.Dataset):
        return item
    if item is None and (broken := broken_link(file, name)) is not None:
        raise DatasetNotFoundError(
            f"{path}: {broken[0]!r} is a link to {broken[1]}, which is not there. Put the file where the link looks "
            "for it (relative names: beside this file), or give the path of the file that holds the numbers."
        )
    names = [*datasets_in(file), *(f"{name} ({link})" for name, link in links_in(file).items())]
    held = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    raise DatasetNotFoundError(f"{path} has no dataset {name!r}; it holds {held}.")


def broken_link(file: h5py.File, name: str) -> tuple[str, str] | None:
    """The first part of a name that is a link to what is not there, with its target; None if there is none."""
    group, so_far = file, ""
    for word in name.strip("/").split("/"):
        so_far = f"{so_far}/{word}".lstrip("/")
        if not isinstance(group, h5py.Group) or not group.id.links.exists(word.encode()):
            return None
        kind = group.id.links.get_info(word.encode()).type
        item = group.get(word)
        if item is None and kind != h5py.h5l.TYPE_HARD:
            return so_far, _target(group, word, kind)
        group = item
    return None


def home_of(dataset: h5py.Dataset, file: h5py.File) -> tuple[str, str] | None:
    """Path and name of a dataset that a link of this file leads to in another one; None if it lies in this file."""
    return None if dataset.file == file else place_of_dataset(dataset)


def place_of_dataset(dataset: h5py.Dataset) -> tuple[str, str]:
    """Path of the file that a dataset lies in, and its name there."""
    home, name = dataset.file, dataset.name
    # By way of a soft link the name is the one in the file that was asked, which may be another dataset's here.
    if name is None or home.get(name) != dataset:
        name = next((name for name, found in datasets_in(home).items() if found == dataset), None)
    if name is None:
        raise FileFormatError(
            f"{home.filename}: a dataset must have a name in its file; got one without, such as what only an object "
            "reference leads to. Give it a name: file[name] = dataset."
        )
    return _absolute(home.filename), name


def _absolute(path):
    path = os.path.join(os.getcwd(), path)
    # Without "..", where no link of the file system makes that another place.
    plain = os.path.normpath(path)
    return plain if os.path.exists(plain) and os.path.samefile(plain, path) else path
