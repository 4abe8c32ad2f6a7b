"""What an HDF5 file holds, in words; whether daskelm could have written it; which other files it is read from."""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Iterable, Iterator

import h5py

from .external import raw_place, virtual_places
from .links import linked_from

__all__ = ["files_behind", "files_read", "foreign_contents", "mark_as_data"]

# The attribute of the file that says who wrote it, and what may be beside it: `normalize_hdf5` of the HP-ELM interface
# notes on the dataset what it applied.
_MARK, _VALUE = "daskelm", "data"
_NORMALIZED = {"mean", "std", "daskelm_normalized"}
# Names that are looked at before one says "and more": a file may hold millions.
_MOST_NAMES = 1000


def mark_as_data(file: h5py.File) -> None:
    """Note in a new file that daskelm writes it, as one table of numbers: it may be replaced by another one."""
    file.attrs[_MARK] = _VALUE


def foreign_contents(path, dataset: str) -> str | None:
    """What an HDF5 file holds that daskelm did not write as the table `dataset`, in words; None if there is nothing.

    A table that daskelm wrote carries its mark, and is the one dataset of that name with no attributes of others. An
    HDF5 file that holds nothing at all has nothing to lose.
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
            if _is_ours(file, names, names[0] if names else "") and not attributes:
                whose = f"not {dataset.strip('/')!r}"
            return f"holds {held or 'attributes'}, {whose}"
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        return f"is an HDF5 file that cannot be read, or is open for writing ({error})"


def _names(file):
    """Names of all that is no group, with "more than " if there are too many to count."""
    found: list[str] = []
    empty: list[str] = []

    def see(name, link):
        item = file.get(name) if isinstance(link, h5py.HardLink) else None
        (empty if isinstance(item, h5py.Group) else found).append(name)
        return True if len(found) + len(empty) >= _MOST_NAMES else None

    stopped = file.visititems_links(see)
    # A group that holds nothing is named itself.
    held = [name for name in empty if not any(other.startswith(f"{name}/") for other in (*found, *empty))]
    return found + held, "more than " if stopped else ""


def _is_ours(file, names, dataset):
    if file.attrs.get(_MARK) != _VALUE or names != [dataset]:
        return False
    item, attributes = file[dataset], set(file[dataset].attrs)
    folders = [dataset[: match.start()] for match in re.finditer("/", dataset)]
    return (
        isinstance(item, h5py.Dataset)
        and item.dtype.kind in "fiub"
        and (not attributes or attributes == _NORMALIZED)
        and not any(len(file[folder].attrs) for folder in folders)
    )


def files_read(path, dataset: str) -> list[str]:
    """Local files that reading a dataset of a file reads: itself, targets of links, sources and external storage.

    Files that are not there are among them. Of a file that cannot be read, it alone.
    """
    found: dict[str, None] = {}
    _follow(os.path.abspath(path), dataset, found, set())
    return list(found)


def files_behind(dataset: h5py.Dataset) -> list[str]:
    """The same of an open dataset: its file, and those that hold its numbers."""
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
            others = list(_led_to(file, path, name))
        _follow_all(others, found, seen)


def _follow_all(others, found, seen):
    for path, name in others:
        if name is None:
            found[path] = None
        else:
            _follow(path, name, found, seen)


def _led_to(file: h5py.File, path: str, name: str) -> Iterator[tuple[str, str | None]]:
    """(file, dataset) of what a name in a file leads to; no dataset where the file is plain bytes."""
    if linked := list(linked_from(file, path, name)):
        yield from linked
    else:
        yield from _stored(file[name], path)


def _stored(item: h5py.Dataset, path: str) -> Iterator[tuple[str, str | None]]:
    """(file, dataset) of where the numbers of a dataset are, if they are not in its own file."""
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
    """All of several places; where they hold the number of a block, %b, the files that there are."""
    for place in dict.fromkeys(map(os.path.abspath, places)):
        if "%b" in place:
            yield from glob.glob(glob.escape(place).replace("%b", "*").replace("%%", "%"))
        else:
            yield place
