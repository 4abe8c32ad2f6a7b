"""The contents of an HDF5 file: whether daskelm wrote them, and which other files they are read from."""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Iterable, Iterator

import h5py

from .columns import COLUMNS
from .external import raw_place, virtual_places
from .links import linked_from
from .sparse_layout import SPARSE_ATTRIBUTES, TARGET

__all__ = ["files_behind", "files_read", "foreign_contents", "mark_as_data"]

# The file attribute by which daskelm marks its files, and the attributes that its dataset may have: `normalize_hdf5` of
# the HP-ELM interface stores there what it applied.
_MARK, _VALUE = "daskelm", "data"
_NORMALIZED = {"mean", "std", "daskelm_normalized"}
# At most so many names are listed before a message ends in "and more": a file may hold millions.
_MOST_NAMES = 1000


def mark_as_data(file: h5py.File) -> None:
    """Mark a new file as a table of numbers that daskelm wrote, so that it may be replaced by another table."""
    file.attrs[_MARK] = _VALUE


def foreign_contents(path, dataset: str) -> str | None:
    """The contents of an HDF5 file that daskelm did not write as the table `dataset`, in words; None if there are none.

    A table that daskelm wrote has its mark, and is the only dataset, of that name, without attributes of other
    programs; names of its columns may lie beside it. An HDF5 file that holds nothing at all may be replaced as well.
    """
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            names, more = _names(file)
            attributes = set(file.attrs) - {_MARK}
            if not names and not attributes:
                return None
            if _is_ours(file, names, dataset.strip("/")) and not attributes:
                return None
            held = ", ".join(names[:2]) + (f" and {more or ''}{len(names) - 2} more" if len(names) > 2 else "")
            whose = "not as daskelm wrote it" if _MARK in file.attrs else "not written by daskelm"
            if _is_ours(file, names, _first_table(names)) and not attributes:
                whose = f"not {dataset.strip('/')!r}"
            return f"holds {held or 'attributes'}, {whose}"
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        return f"is an HDF5 file that cannot be read, or is open for writing ({error})"


def _first_table(names):
    """The name of the table that a file of these names would hold if daskelm wrote it."""
    first = min(names, default="")
    return first.removesuffix("/data") if f"{first.removesuffix('/data')}/indptr" in names else first


def _names(file):
    """Names of everything that is not a group, and the words "more than " if there are too many to count."""
    found: list[str] = []
    empty: list[str] = []

    def see(name, link):
        item = file.get(name) if isinstance(link, h5py.HardLink) else None
        (empty if isinstance(item, h5py.Group) else found).append(name)
        return True if len(found) + len(empty) >= _MOST_NAMES else None

    stopped = file.visititems_links(see)
    # An empty group is listed by its own name.
    held = [name for name in empty if not any(other.startswith(f"{name}/") for other in (*found, *empty))]
    return found + held, "more than " if stopped else ""


def _is_ours(file, names, dataset):
    if file.attrs.get(_MARK) != _VALUE:
        return False
    if _is_sparse_table(file, names, dataset):
        return True
    if sorted(names) not in ([dataset], [dataset, dataset + COLUMNS]):
        return False
    item, attributes = file[dataset], set(file[dataset].attrs)
    folders = [dataset[: match.start()] for match in re.finditer("/", dataset)]
    return (
        isinstance(item, h5py.Dataset)
        and (item.dtype.kind in "fiub" or h5py.check_string_dtype(item.dtype) is not None)
        and (not attributes or attributes == _NORMALIZED)
        and not any(len(file[folder].attrs) for folder in folders)
    )


def _is_sparse_table(file, names, dataset):
    """Whether a file holds a sparse table as daskelm writes it, perhaps with targets, and nothing else."""
    vectors = sorted(f"{dataset}/{name}" for name in ("data", "indices", "indptr"))
    if sorted(names) not in (vectors, sorted([*vectors, dataset + TARGET])):
        return False
    attributes = {name: file[dataset].attrs[name] for name in file[dataset].attrs}
    attributes.pop("shape", None)
    return attributes == SPARSE_ATTRIBUTES and not any(len(file[name].attrs) for name in names)


def files_read(path, dataset: str) -> list[str]:
    """Local files from which a dataset is read: its own file, targets of links, sources and external storage.

    Files that do not exist are listed too. For a file that cannot be read, the list has this file alone.
    """
    found: dict[str, None] = {}
    _follow(os.path.abspath(path), dataset, found, set())
    return list(found)


def files_behind(dataset: h5py.Dataset) -> list[str]:
    """Local files from which an open dataset is read: its own file, and those that hold its numbers."""
    path = os.path.abspath(dataset.file.filename)
    found: dict[str, None] = {path: None}
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        _follow_all(_stored(dataset, path), found, {(path, dataset.name)})
    return list(found)


def _follow(path, name, found, seen):
    found[path] = None
    if (path, name) in seen or not os.path.isfile(path):
        return
    seen.add((path, name))
    with contextlib.suppress(OSError, RuntimeError, ValueError, KeyError):
        with h5py.File(path, "r", locking="best-effort") as file:
            others: list = [*linked_from(file, path, name)] or [*_stored(file[name], path)]
        _follow_all(others, found, seen)


def _follow_all(others, found, seen):
    for path, name in others:
        if name is None:
            found[path] = None
        else:
            _follow(path, name, found, seen)


def _stored(item: h5py.Dataset, path: str) -> Iterator[tuple[str, str | None]]:
    """(file, dataset) in which the numbers of a dataset lie, if that is not its own file; None for plain bytes."""
    if item.is_virtual:
        for source in item.virtual_sources():
            if source.file_name == ".":
                yield path, source.dset_name
                continue
            for other in _matching(virtual_places(source.file_name, path)):
                yield other, source.dset_name
    for stored, _, _ in item.external or ():
        yield os.path.abspath(raw_place(os.fsdecode(stored), path)), None


def _matching(places: Iterable[str]) -> Iterator[str]:
    """The given places; where a name has %b, the number of a block, the files that match it."""
    for place in dict.fromkeys(map(os.path.abspath, places)):
        if "%b" in place:
            yield from glob.glob(glob.escape(place).replace("%b", "*").replace("%%", "%"))
        else:
            yield place
