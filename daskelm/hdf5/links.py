"""Names in an HDF5 file: its datasets, its links to other files, and where a name leads."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import h5py

from ..exceptions import DatasetNotFoundError, FileFormatError
from .kinds import described, is_numeric
from .sparse_layout import readable_layouts

__all__ = [
    "Link",
    "broken_link",
    "dataset_named",
    "datasets_in",
    "item_named",
    "linked_from",
    "links_in",
    "listing",
    "pipe_behind",
    "place_of_dataset",
]


# HDF5 follows at most so many links, one after the other, for one name.
_MOST_LINKS = 16
# Messages list so many datasets.
_MOST_LISTED = 8


class Link(NamedTuple):
    """A link out of a file: its target, the object there, and whether there is one (None if that was not checked)."""

    target: str
    item: h5py.HLObject | None
    there: bool | None

    def __str__(self):
        return f"link to {self.target}{', which is not there' if self.there is False else ''}"


def datasets_in(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Datasets that lie in a file, by name; a dataset with several names is listed by the first."""
    found: dict[h5py.Dataset, str] = {}
    for name, kind in _links(file):
        if kind == h5py.h5l.TYPE_HARD and isinstance(item := file.get(name), h5py.Dataset):
            found.setdefault(item, name)
    return {name: dataset for dataset, name in found.items()}


def links_in(file: h5py.File) -> dict[str, Link]:
    """Links of a file that lead to other files or to nothing, by name."""
    # HDF5 would look for the target of a link in a file at a URL on this machine.
    closed = file.driver == "fileobj"
    found = {}
    for name, kind in _links(file):
        if kind == h5py.h5l.TYPE_HARD:
            continue
        followed = kind == h5py.h5l.TYPE_SOFT or (kind == h5py.h5l.TYPE_EXTERNAL and not closed)
        item = _reached(file, name) if followed and pipe_behind(file, name) is None else None
        # A link within the file is only another name of a dataset that is listed already.
        if item is None or item.file != file:
            found[name] = Link(_target(file, name, kind), item, item is not None if followed else None)
    return found


def _reached(group, name) -> h5py.HLObject | None:
    """The object that a name leads to; None where there is none, or where links lead in a circle."""
    try:
        return group.get(name)
    except RuntimeError:
        return None


def item_named(file: h5py.File, name: str) -> h5py.HLObject | None:
    """The object of a name; None where there is none, or where it cannot be reached without waiting for a pipe."""
    return _reached(file, name) if pipe_behind(file, name) is None else None


def _links(file):
    """(name, type) of each link."""
    # Links are visited and not objects, since HDF5 would read the whole index of each object to report its size. Only
    # names and types are taken, since h5py has no objects for links of types that other programs define.
    names: list[tuple[bytes, int]] = []
    file.id.links.visit(lambda name, info: names.append((name, info.type)), info=True)
    return [(name.decode("utf-8", "surrogateescape"), kind) for name, kind in names]


def _target(file, name, kind) -> str:
    """Target of a link, as it is written in the file."""
    if kind not in (h5py.h5l.TYPE_SOFT, h5py.h5l.TYPE_EXTERNAL):
        return f"what only the program that wrote it knows (user-defined, kind {kind})"
    value = file.id.links.get_val(name.encode("utf-8", "surrogateescape"))
    if kind == h5py.h5l.TYPE_SOFT:
        return os.fsdecode(value)
    return ":".join(map(os.fsdecode, value))


def linked_from(file: h5py.File, path: str, name: str) -> Iterator[tuple[str, str]]:
    """(file, name) of the possible targets of the first link in a name, in the file at a path; empty without a link."""
    where, parts = "", [part for part in name.split("/") if part]
    for i, part in enumerate(parts):
        where = f"{where}/{part}"
        link = file.get(where, getlink=True)
        rest = "/".join(parts[i + 1 :])
        if isinstance(link, h5py.ExternalLink):
            for other in _link_places(link.filename, path):
                yield other, f"{link.path}/{rest}"
            return
        if isinstance(link, h5py.SoftLink):
            target = link.path if link.path.startswith("/") else f"{where.rpartition('/')[0]}/{link.path}"
            yield path, f"{target}/{rest}"
            return


def _link_places(name: str, path: str) -> Iterable[str]:
    """All places where HDF5 looks for the file of an external link, since a file may appear at any of them."""
    folder = os.path.dirname(os.path.realpath(path))
    prefixes = [prefix for prefix in os.environ.get("HDF5_EXT_PREFIX", "").split(":") if prefix]
    folders = [prefix.replace("${ORIGIN}", folder) for prefix in prefixes] + [
        os.path.dirname(path),
        folder,
        os.getcwd(),
    ]
    # Where the file of an absolute name does not exist, HDF5 looks for its last part.
    names = dict.fromkeys((name, os.path.basename(name)))
    return dict.fromkeys(os.path.abspath(os.path.join(each, one)) for one in names for each in folders)


def pipe_behind(file: h5py.File, name: str) -> str | None:
    """The first pipe or device among all that links from a name lead to; None if there is none.

    HDF5 would open it, and wait until another process writes to it.
    """
    here = os.path.abspath(file.filename)
    ahead, seen = set(_linked(file, here, name)), {(here, name)}
    for _ in range(_MOST_LINKS):
        new, ahead = ahead - seen, set()
        seen |= new
        for path, name in sorted(new):
            try:
                mode = os.stat(path).st_mode
            except (OSError, ValueError):
                continue
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                return path
            if path == here:
                ahead.update(_linked(file, here, name))
            elif stat.S_ISREG(mode):
                with contextlib.suppress(OSError), h5py.File(path, "r", locking="best-effort") as other:
                    ahead.update(_linked(other, path, name))
    return None


def _linked(file, path, name) -> list[tuple[str, str]]:
    """Targets as of `linked_from`; none for links that only the program that wrote them can follow."""
    try:
        return list(linked_from(file, path, name))
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return []


def listing(file: h5py.File) -> str:
    """The first datasets of a file with shapes and kinds: tables of numbers first, the largest before others."""
    sparse = readable_layouts(file, file.filename)
    found = {name: item for name, item in datasets_in(file).items() if name.rpartition("/")[0] not in sparse}
    tables = {name: item for name, item in found.items() if is_numeric(item) and item.ndim in (1, 2)}
    by_size = sorted(tables, key=lambda name: -tables[name].size)
    lines = [f"{name} {layout.shape} sparse" for name, layout in sparse.items()][:_MOST_LISTED]
    names = list(dict.fromkeys((*by_size, *found)))[: _MOST_LISTED - len(lines)]
    lines += [f"{name} {described(found[name])}" for name in names]
    links = links_in(file)
    lines += [f"{name} ({link})" for name, link in links.items()][: _MOST_LISTED - len(lines)]
    more = len(sparse) + len(found) + len(links) - len(lines)
    rest = f" and {more} more, which daskelm info {file.filename} lists" if more else ""
    return (", ".join(lines) or "nothing") + rest


def dataset_named(file: h5py.File, path: str, name: str) -> h5py.Dataset:
    """The dataset of a name, all links followed, also into other files.

    Raises
    ------
    DatasetNotFoundError
        The name does not exist, is a link without a target, or is no dataset.
    FileFormatError
        A link to a pipe or a device.
    """
    if (pipe := pipe_behind(file, name)) is not None:
        raise FileFormatError(
            f"{path}: {name!r} must lead to a dataset in a file; got a link to {pipe}, which is a pipe or a device. "
            "Put the file in its place, or give the path of the file that holds the numbers."
        )
    item = _reached(file, name)
    if isinstance(item, h5py.Dataset):
        return item
    if item is None and (broken := broken_link(file, name)) is not None:
        raise DatasetNotFoundError(
            f"{path}: {broken[0]!r} is a link to {broken[1]}, which is not there. Put the file where the link looks "
            "for it (relative names: beside this file), or give the path of the file that holds the numbers."
        )
    if isinstance(item, h5py.Group):
        inside = [one for one in item if isinstance(_reached(item, one), h5py.Dataset)]
        raise DatasetNotFoundError(
            f"{path}: {name!r} must be a dataset; got a group, of {', '.join(inside[:4]) or 'no datasets'}"
            f"{f' and {len(inside) - 4} more' if len(inside) > 4 else ''}. Name one of them, or several of the same "
            f"length that stand side by side: dataset={name!r}, columns={inside[:2]}."
        )
    names = [*datasets_in(file), *(f"{name} ({link})" for name, link in links_in(file).items())]
    held = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    raise DatasetNotFoundError(f"{path} has no dataset {name!r}; it holds {held}.")


def broken_link(file: h5py.File, name: str) -> tuple[str, str] | None:
    """The first part of a name that is a link without a target, and where it points; None if there is no such link."""
    group, so_far = file, ""
    for word in name.strip("/").split("/"):
        so_far = f"{so_far}/{word}".lstrip("/")
        if not isinstance(group, h5py.Group) or not group.id.links.exists(word.encode()):
            return None
        kind = group.id.links.get_info(word.encode()).type
        item = _reached(group, word)
        if item is None and kind != h5py.h5l.TYPE_HARD:
            return so_far, _target(group, word, kind)
        group = item
    return None


def place_of_dataset(dataset: h5py.Dataset) -> tuple[str, str]:
    """Path of the file that a dataset lies in, and its name there."""
    home, name = dataset.file, dataset.name
    # After a soft link, h5py gives the name in the first file, which may be another dataset's name in this one.
    if name is None or home.get(name) != dataset:
        name = next((name for name, found in datasets_in(home).items() if found == dataset), None)
    if name is None:
        raise FileFormatError(
            f"{home.filename}: a dataset must have a name in its file; got one without, such as what only an object "
            "reference leads to. Give it a name: file[name] = dataset."
        )
    path = os.path.join(os.getcwd(), home.filename)
    # Parts ".." are removed, unless symbolic links make the result another place.
    plain = os.path.normpath(path)
    return plain if os.path.exists(plain) and os.path.samefile(plain, path) else path, name
