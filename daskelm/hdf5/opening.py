"""Opening HDF5 files at paths and URLs, and the errors for those that cannot be opened."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import PurePath

import h5py

from ..exceptions import DaskelmError, FileFormatError, FileMissingError
from .formats import describe_format
from .paths import check_regular, is_url
from .remote import RemoteFile, Version, versions_of

__all__ = ["file_sizes", "is_hdf5", "missing_file", "need_filters", "opened", "reading"]

# Words of HDF5 about a file that has the mark of a writer.
_STILL_WRITTEN = "already open for write"
# A URL that was made a path by pathlib, which leaves out one of its two slashes.
_SQUEEZED_URL = re.compile(r"(^|/)[a-z][a-z0-9]+:/[^/]")


@contextlib.contextmanager
def opened(path: str, remote: RemoteFile | None = None, **options) -> Iterator[tuple[h5py.File, RemoteFile | None]]:
    """The HDF5 file at a path or URL, open to read; `options` are those of h5py.

    Every read of a file at a URL goes through `RemoteFile.call` of the second value, which is `remote` if given.
    """
    if remote is None and is_url(path):
        remote = RemoteFile(path)
    if remote is None:
        file = _open_file(path, **options)
    else:
        remote.look()
        try:
            file = remote.call(h5py.File, remote, "r", **options)
        except DaskelmError:
            raise
        except OSError as error:
            raise _not_hdf5(path, error) from None
    with file:
        yield file, remote


def _open_file(path, **options):
    if os.path.isdir(path):
        raise FileFormatError(f"{path} is a folder; give a file, a list of files, or a glob.")
    # Opening a named pipe, HDF5 would wait until another process writes to it.
    check_regular(path)
    try:
        # Files are only read here; where a file system has no locks, reading needs none.
        return h5py.File(path, "r", locking="best-effort", **options)
    except (FileNotFoundError, NotADirectoryError):
        raise missing_file(path, "no such file, looked for") from None
    except PermissionError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise _not_hdf5(path, error) from None


@contextlib.contextmanager
def reading(path: str, what: str) -> Iterator[None]:
    """Makes one error of all those that h5py raises in a damaged file, with the file, and what was read of it."""
    try:
        yield
    except (DaskelmError, MemoryError):
        raise
    except Exception as error:
        if not _is_from_h5py(error):
            raise
        raise FileFormatError(
            f"{path}: {what} cannot be read; the file is truncated or damaged ({type(error).__name__}: {error}). Copy "
            "or convert it again."
        ) from None


def _is_from_h5py(error) -> bool:
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_globals.get("__name__", "").partition(".")[0] == "h5py"


def _not_hdf5(path, error):
    if not is_url(path) and (found := describe_format(path)) is not None:
        return FileFormatError(f"{path} cannot be read as HDF5: it {found}")
    if _STILL_WRITTEN in str(error):
        return FileFormatError(
            f"{path} is open for writing, or its writer ended without closing it. Close it there. If no program has "
            "it open any more, copy it and clear its mark, which is what h5clear of the HDF5 tools is for: "
            f"h5clear -s {os.path.basename(path)}."
        )
    return FileFormatError(
        f"{path} cannot be read as HDF5: it is truncated, open for writing elsewhere, or another kind of file "
        f"({error}). Text tables and .npy files are converted with make_hdf5."
    )


def missing_file(path: str, what: str) -> FileMissingError:
    """The error for a path without a file, with a hint where the name of a dataset follows that of its file."""
    message = f"{path}: {what} on {socket.gethostname()}."
    if _SQUEEZED_URL.search(path):
        return FileMissingError(f"{message} A URL is a str; as a path it loses a slash.")
    splits = [(file, name) for file, mark, name in [path.partition("::")] if mark]
    splits += [(str(file), os.path.relpath(path, file)) for file in PurePath(path).parents]
    for file, name in splits:
        if any(map(os.path.isfile, [file, *glob.iglob(file)])):
            name = name.strip("/")
            message += f" If {name!r} is a dataset in {file}, name it so: from_hdf5({file!r}, dataset={name!r})."
            break
    return FileMissingError(message)


def need_filters(dataset: h5py.Dataset, path: str) -> None:
    """Refuse data in a compression that cannot be read: HDF5 has gzip and lzf, the package hdf5plugin the others."""
    properties = dataset.id.get_create_plist()
    codes = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    if all(map(h5py.h5z.filter_avail, codes)):
        return
    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401
    missing = [code for code in codes if not h5py.h5z.filter_avail(code)]
    if missing:
        raise FileFormatError(
            f"{path} is compressed with HDF5 filter {missing[0]}, which is not installed on "
            f"{socket.gethostname()}. Install it there: pip install 'daskelm[hdf5plugin]'."
        )


def is_hdf5(path: str) -> bool:
    """Whether an existing file begins as HDF5 files do; at a URL, whether it can be opened as one."""
    if not is_url(path):
        check_regular(path)
        return h5py.is_hdf5(path)
    try:
        with opened(path):
            return True
    except FileFormatError:
        return False


def file_sizes(paths: Sequence[str]) -> dict[str, int | str]:
    """Size of each file as this process sees it, or the reason, in words, why it cannot."""
    found: dict[str, int | str] = {
        path: os.path.getsize(path) if os.path.exists(path) else "no file" for path in paths if not is_url(path)
    }
    urls = [path for path in paths if is_url(path)]
    for url, seen in zip(urls, versions_of(urls), strict=True):
        found[url] = seen.size if isinstance(seen, Version) else str(seen)
    return found
