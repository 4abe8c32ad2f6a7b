"""Other files that a dataset is read from: found where HDF5 finds them, opened, and searched for gaps."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import lt

import h5py

from ..exceptions import FileFormatError, FileMissingError
from .choice import Choice
from .layout import Outside, intersection, outsides_of, reading_bytes, union, unmapped_rows, unwritten_rows
from .links import broken_link, pipe_behind
from .netcdf import fill_is_missing

__all__ = [
    "Seen",
    "SourceFiles",
    "check_prefixes",
    "own_holes",
    "raw_place",
    "status_of",
    "surveyed",
    "virtual_places",
]

# Virtual datasets may be sources of virtual datasets, to this depth; one that is its own source has no end.
_DEEPEST = 16


@dataclass
class Seen:
    """Where rows of a dataset lie: the files that they are read from, and the rows that HDF5 would fill.

    `files` has the status of each file by its path; `names` are (name in the description, path), in order.
    """

    files: dict[str, os.stat_result] = field(default_factory=dict)
    names: list[tuple[str, str]] = field(default_factory=list)
    holes: list[tuple[int, int]] = field(default_factory=list)
    cache_bytes: int = 0
    unpacking_bytes: int = 0

    @property
    def version(self) -> tuple[int, int]:
        """Sums of the sizes and of the times of change, which differ as soon as one file is another one."""
        files = self.files.values()
        return sum(status.st_size for status in files), sum(status.st_mtime_ns for status in files)


def status_of(path: str) -> os.stat_result:
    """The status of a file as it is now."""
    # A network file system may answer `stat` from its cache, but asks its server when a file is opened.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        return os.fstat(handle)
    finally:
        os.close(handle)


def check_prefixes(dataset: h5py.Dataset, path: str) -> None:
    """Refuse an open dataset whose other files a task would not find, since a task opens it by its path."""
    access = dataset.id.get_access_plist()
    given = [name for name in ("virtual", "efile") if getattr(access, f"get_{name}_prefix")()]
    if given and outsides_of(dataset):
        variable = {"virtual": "HDF5_VDS_PREFIX", "efile": "HDF5_EXTFILE_PREFIX"}[given[0]]
        raise FileFormatError(
            f"{path}: dataset {dataset.name!r} must find its sources by its path alone; got one that was opened with "
            f"{given[0]}_prefix=..., which tasks do not have. Set the environment variable {variable} here and on all "
            "workers, before h5py is imported."
        )


class SourceFiles(contextlib.ExitStack):
    """Context manager that opens sources of datasets, and keeps them open.

    While they are open, HDF5 reads from the same files, even if other files get their names.
    """

    def __init__(self, **options):
        super().__init__()
        self._options = options
        self._files: dict[str, h5py.File] = {}

    def close(self) -> None:
        """Close all files."""
        self._files.clear()
        super().close()

    def survey(self, dataset: h5py.Dataset, path: str, first: int, last: int, depth: int = 0) -> Seen:
        """Where rows first to last - 1 of a dataset lie, in all files that it is read from besides its own."""
        outsides = outsides_of(dataset)
        seen = Seen(holes=own_holes(dataset, outsides))
        for outside in outsides:
            if outside.first < last and outside.last > first:
                more = self.look(outside, dataset, path, first, last, depth)
                seen.files |= more.files
                seen.names += more.names
                seen.holes += more.holes
                seen.cache_bytes += more.cache_bytes
                seen.unpacking_bytes = max(seen.unpacking_bytes, more.unpacking_bytes)
        if not dataset.is_virtual:
            seen.cache_bytes, seen.unpacking_bytes = reading_bytes(dataset)
        seen.holes = intersection(union(seen.holes), first, last)
        return seen

    def look(self, outside: Outside, dataset: h5py.Dataset, path: str, first: int, last: int, depth: int = 0) -> Seen:
        """Where those of rows first to last - 1 lie that are in one of the outsides of a dataset in the file at a path.

        Raises
        ------
        FileMissingError
            A file does not exist.
        FileFormatError
            A file does not have the dataset, or has fewer rows or columns than are needed.
        """
        if outside.dataset is None:
            return _raw_file(outside, dataset, path)
        if depth == _DEEPEST:
            raise FileFormatError(
                f"{path}: virtual dataset {dataset.name!r} must come to an end; got sources of sources, {depth} deep. "
                "A virtual dataset must not be its own source."
            )
        where = f"rows {outside.first} to {outside.last - 1} of virtual dataset {dataset.name!r} in {path}"
        place, file = (path, dataset.file) if outside.file == "." else self._opened(outside, path, where)
        if (pipe := pipe_behind(file, outside.dataset)) is not None:
            raise FileFormatError(
                f"{place} must hold a dataset {outside.dataset!r}, from which {where} are read; got a link to {pipe}, "
                "which is a pipe or a device. Put the file in its place, or write the virtual dataset anew."
            )
        source = file.get(outside.dataset)
        if not isinstance(source, h5py.Dataset):
            broken = broken_link(file, outside.dataset) if source is None else None
            got = "none" if broken is None else f"a link to {broken[1]}, which is not there"
            raise FileFormatError(
                f"{place} must hold a dataset {outside.dataset!r}, from which {where} are read; got {got}, and "
                "HDF5 would fill these rows. Put it there, or write the virtual dataset anew."
            )
        whole = outside if outside.need else outside.of_all(source.shape)
        if whole is None or source.ndim != len(whole.need) or any(map(lt, source.shape, whole.need)):
            need = f"the shape {outside.need} or more" if outside.need else "as many numbers"
            raise FileFormatError(
                f"{place}: dataset {outside.dataset!r} must have {need}, since {where} are read from it; got "
                f"{source.shape}, and HDF5 would fill the rest. Complete it, or write the virtual dataset anew."
            )
        outside = whole
        seen = self.survey(source, place, *outside.rows_there(first, last), depth + 1)
        if source.file != dataset.file:
            # Where its name is a link, the dataset lies in a third file.
            home = os.path.join(os.getcwd(), source.file.filename)
            for found in dict.fromkeys((place, home)):
                try:
                    seen.files[found] = status_of(found)
                except OSError as error:
                    raise FileFormatError(
                        f"{found}, from which {where} are read, cannot be opened ({error})."
                    ) from None
            seen.names.insert(0, (f"{outside.file} (of {path})", place))
        seen.holes = [outside.rows_here(*run) for run in seen.holes]
        return seen

    def _opened(self, outside, path, where) -> tuple[str, h5py.File]:
        places, errors = list(dict.fromkeys(virtual_places(outside.file, path))), []
        for place in places:
            if place not in self._files:
                if not os.path.isfile(place):
                    continue
                try:
                    file = h5py.File(place, "r", locking="best-effort", **self._options)
                except OSError as error:
                    # HDF5 would go on to the next place, and fill the rows if none can be opened.
                    errors.append(f"{place}: {error}")
                    continue
                self._files[place] = self.enter_context(file)
            return place, self._files[place]
        if errors:
            raise FileFormatError(
                f"{outside.file}, from which {where} are read, cannot be opened on {socket.gethostname()} "
                f"({'; '.join(errors)}), and HDF5 would fill these rows. Close it where it is written, or copy it anew."
            )
        raise FileMissingError(
            f"{outside.file}, from which {where} are read, is not there on {socket.gethostname()}, and HDF5 would fill "
            f"these rows; looked for {', '.join(places)}. Put it there, or set HDF5_VDS_PREFIX to its folder."
        )


def own_holes(
    dataset: h5py.Dataset,
    outsides: Sequence[Outside],
    missing: tuple[float | int, ...] = (),
    choice: Choice | None = None,
) -> list[tuple[int, int]]:
    """Rows that HDF5 would fill since the dataset itself lacks them; for gaps in its sources see `SourceFiles`."""
    holes = unmapped_rows(dataset, outsides) if dataset.is_virtual else unwritten_rows(dataset, choice)
    return [] if holes and fill_is_missing(dataset, missing) else holes


def surveyed(
    dataset: h5py.Dataset, path: str, missing: tuple[float | int, ...] = (), choice: Choice | None = None
) -> dict:
    """The fields of `Part` that say where all rows of a dataset lie, in its own file and in others.

    With a choice of columns, rows are missing only if they lack one of these, unless the dataset is virtual.

    Raises
    ------
    FileMissingError, FileFormatError
        A source of a virtual dataset, or a raw file, is missing or incomplete.
    """
    outsides = outsides_of(dataset)
    holes = own_holes(dataset, outsides, missing, choice)
    if not outsides:
        cache, unpacking = reading_bytes(dataset, choice)
        return {"holes": tuple(holes), "cache_bytes": cache, "unpacking_bytes": unpacking}
    versions, caches, unpacking = [], [], 0
    with SourceFiles() as sources:
        for i, outside in enumerate(outsides):
            if i and outside.file != outsides[i - 1].file:
                # A dataset may have more sources than a process can have open files.
                sources.close()
            seen = sources.look(outside, dataset, path, outside.first, outside.last)
            versions.append(seen.version)
            holes += seen.holes
            caches.append(seen.cache_bytes)
            unpacking = max(unpacking, seen.unpacking_bytes)
    # Each source has its own cache. Two are open at once where sources follow each other, and all where they are side
    # by side.
    spans = [(outside.first, outside.last) for outside in outsides]
    one_by_one = sum(last - first for first, last in spans) == sum(last - first for first, last in union(spans))
    others = max(caches) if one_by_one else sum(caches) - max(caches)
    memory = {"cache_bytes": max(caches), "unpacking_bytes": unpacking + others}
    return {"sources": tuple(versions), "holes": tuple(union(holes)), **memory}


def _raw_file(outside, dataset, path) -> Seen:
    place = raw_place(outside.file, path)
    where = f"rows {outside.first} to {outside.last - 1} of {dataset.name!r} in {path}"
    remedy = "Put it there; HDF5_EXTFILE_PREFIX='${ORIGIN}' has HDF5 look beside the HDF5 file."
    try:
        # Only a regular file is opened, since opening a pipe may block.
        status = status_of(place) if os.path.isfile(place) else os.stat(place)
    except OSError as error:
        raise FileMissingError(
            f"{place}, the raw file of {where}, cannot be read on {socket.gethostname()} ({error.strerror}); a "
            f"relative name is looked for in the folder that the process runs in. {remedy}"
        ) from None
    if not stat.S_ISREG(status.st_mode):
        raise FileFormatError(f"{place}, the raw file of {where}, must be a file; got a folder, a pipe or a device.")
    if status.st_size < outside.need[0]:
        raise FileFormatError(
            f"{place}, the raw file of {where}, must have {outside.need[0]:,} bytes; got {status.st_size:,}, and HDF5 "
            "would read zeros for the rest. It is cut short: copy it again."
        )
    return Seen({place: status}, [(f"{outside.file} (of {path})", place)])


def virtual_places(name: str, path: str) -> Iterator[str]:
    """Where HDF5 looks for a source of a virtual dataset in the file at a path, in order (H5F_prefix_open_file)."""
    if os.path.isabs(name):
        yield name
        name = os.path.basename(name)
    folder, prefix = os.path.dirname(path), os.environ.get("HDF5_VDS_PREFIX", "")
    for one in prefix.split(":"):
        if one:
            yield os.path.join(os.getcwd(), one, name)
    if (expanded := _expanded(prefix, folder)) is not None:
        yield os.path.join(os.getcwd(), expanded, name)
    yield os.path.join(folder, name)
    yield os.path.join(os.getcwd(), name)
    yield os.path.join(os.path.dirname(os.path.realpath(path)), name)


def raw_place(name: str, path: str) -> str:
    """Where HDF5 looks for an external raw file of the file at a path."""
    prefix = _expanded(os.environ.get("HDF5_EXTFILE_PREFIX", ""), os.path.dirname(path)) or ""
    return os.path.join(os.getcwd(), prefix, name)


def _expanded(prefix, folder):
    """A prefix in which ${ORIGIN} is replaced by the folder of the file; None for an empty prefix."""
    if prefix in ("", "."):
        return None
    origin = "${ORIGIN}"
    return folder + "/" + prefix.removeprefix(origin).lstrip("/") if prefix.startswith(origin) else prefix
