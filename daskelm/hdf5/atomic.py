"""Files are replaced as a whole, and only where they hold nothing that daskelm would not have written there."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from ..exceptions import DaskelmError, FileFormatError, FileMissingError, FileWriteError, ParameterError
from .contents import foreign_contents
from .header import BLOCK, MAGIC, parse_header
from .paths import check_regular, open_regular, refuse_written

__all__ = ["check_replaceable", "replacing", "writing_to"]

# Errors of a write for which there was no room: in a file system, a quota, a limit, or on a read-only file system.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
# The first bytes of the table of scores that `daskelm select` writes.
_TABLE = b"alpha,n_neurons,"


def check_replaceable(
    path,
    kind: str | None,
    overwrite: bool = False,
    dataset: str = "data",
    *,
    foreign: Callable[[str], str | None] | None = None,
) -> None:
    """Refuse to replace a file that daskelm would not have written there.

    Parameters
    ----------
    path : str or path-like
        The file to write; there may be none yet, an empty one, or one of the same kind.
    kind : str or None
        What is written: the format of a sealed file, such as "model" or "sums"; "data", one dataset as daskelm writes
        it; "table", text as `daskelm select` writes it; None where the existing file is changed, not replaced.
    overwrite : bool, default=False
        Whether any regular file may be replaced.
    dataset : str, default="data"
        Name of the dataset in a data file.
    foreign : callable, optional
        For a kind that is no HDF5: it gives the contents of a file at a path in words, or None if it may be replaced.

    Raises
    ------
    FileFormatError
        `path` is no regular file, which is never replaced.
    FileWriteError
        The existing file is of another kind, and `overwrite` is False.
    """
    refuse_written(path)
    if not isinstance(overwrite, bool | np.bool_):
        raise ParameterError(f"overwrite must be True or False; got {overwrite!r}.")
    check_regular(path)
    if kind is None or overwrite or not os.path.exists(path):
        return
    held = _foreign(path, kind, dataset, foreign)
    if held is not None:
        what = {"data": "a file of data", "table": "a table of scores"}.get(kind, f"a {kind} file")
        raise FileWriteError(
            f"{os.fspath(path)} exists and is not replaced: it {held}, and {what} is to be written. Give another name, "
            "remove it first, or have it replaced with overwrite=True (--force)."
        )


def _foreign(path, kind, dataset, foreign):
    """The contents of a file of another kind, in words; None if it may be replaced."""
    try:
        with open_regular(path) as file:
            begin = file.read(BLOCK)
    except PermissionError:
        return "may not be read"
    if not begin or (kind == "table" and begin.startswith(_TABLE) and b"_test_score" in begin):
        return None
    if begin.startswith(MAGIC):
        try:
            found = parse_header(path, None, begin)["format"]
        except FileFormatError as error:
            return f"cannot be read ({error})"
        return None if found == kind else f"is a daskelm {found} file"
    if h5py.is_hdf5(path):
        # Where a sealed file is to be written, any HDF5 file is refused; the function finds the words for it.
        foreign = foreign_contents(path, dataset)
        return foreign if kind == "data" or foreign else "is an HDF5 file of data"
    return "is no HDF5 file, and not written by daskelm" if foreign is None else foreign(path)


@contextlib.contextmanager
def replacing(
    path,
    kind: str | None,
    *,
    dataset: str = "data",
    overwrite: bool = False,
    alone: bool = False,
    foreign: Callable[[str], str | None] | None = None,
):
    """Path of a hidden file beside `path` that takes its place, synced to disk, when the block ends without error.

    Whatever kills the process, `path` holds what it held before or all of the new. `kind`, `dataset`, `overwrite`
    and `foreign` say what may be replaced, as for `check_replaceable`; `alone` says that no other process writes to
    `path` now.

    Raises
    ------
    FileMissingError
        There is no such folder.
    FileFormatError
        `path` is no regular file.
    ParameterError
        `path` is a URL.
    FileWriteError
        A file of another kind is there; or the folder or the disk cannot be written.
    """
    check_replaceable(path, kind, overwrite, dataset, foreign=foreign)
    # The target of a symbolic link is replaced, and the link stays.
    path = Path(os.path.realpath(path))
    if not path.parent.is_dir():
        raise FileMissingError(f"{path}: its folder {path.parent.resolve()} does not exist. Create it first.")
    prefix = f".{path.name}~{socket.gethostname()}~{os.getpid()}~"
    try:
        _remove_leftovers(path, alone)
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise _not_written(path, error) from None
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        with writing_to(beside):
            beside.chmod(_mode(path))
            _sync(beside)
        # The block may have taken hours, and another file may have come meanwhile.
        check_replaceable(path, kind, overwrite, dataset, foreign=foreign)
        beside.replace(path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        # The name in an error shows whether the new file failed, or one that it is made from.
        if isinstance(error, OSError) and (error.errno in _NO_ROOM or (error.errno and error.filename == name)):
            raise _not_written(path, error) from None
        raise
    try:
        _sync(path.parent)
    except OSError as error:
        raise FileWriteError(
            error.errno,
            f"{path} was written whole, but its folder cannot be synced: {error.strerror}. It is lost if "
            "this machine fails now. Check the disk, then write it again.",
        ) from None


@contextlib.contextmanager
def writing_to(beside):
    """Give errors of the system the name of the file that is written, which `write` and `fsync` do not."""
    try:
        yield
    except OSError as error:
        if error.errno and not isinstance(error, DaskelmError):
            error.filename = os.fspath(beside)
        raise


def _mode(path):
    """Permissions of the existing file, so that a group goes on sharing it; else what the umask leaves."""
    with contextlib.suppress(FileNotFoundError):
        return stat.S_IMODE(path.stat().st_mode)
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _not_written(path, error):
    before = "The file that is there is as it was" if path.exists() else "There is no file"
    return FileWriteError(
        error.errno,
        f"{path} cannot be written: {os.strerror(error.errno)}. {before}. Make room or get permission there, then "
        "start again, or choose another folder.",
    )


def _remove_leftovers(path, alone):
    """Remove hidden files that writers of `path` left when they were killed; unless `alone`, on this machine only."""
    for item in path.parent.iterdir():
        name, *rest = item.name.split("~")
        if name == f".{path.name}" and len(rest) == 3 and rest[2].endswith(".tmp"):
            host, pid, _ = rest
            if alone or (host == socket.gethostname() and pid.isdigit() and not _lives(int(pid))):
                item.unlink(missing_ok=True)


def _lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _sync(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some file systems cannot sync a folder; the file itself was synced before.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(handle)
