"""What a path leads to: whether that is a regular file, and whether two paths lead to the same file."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

from ..exceptions import FileFormatError
from .urls import plain_path

__all__ = ["check_regular", "identities", "open_regular"]

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_regular(path) -> None:
    """Refuse a path that leads to anything but a regular file or nothing; links are followed.

    Raises
    ------
    FileFormatError
        It leads to a folder, a named pipe, a socket or a device, or its links lead in a circle.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileFormatError(
                f"{path} must be a regular file, or none yet; got symbolic links that lead in a circle. Give another "
                "name."
            ) from None
        return
    _refuse_others(path, mode)


def _refuse_others(path, mode):
    if stat.S_ISREG(mode):
        return
    kind = _KINDS.get(stat.S_IFMT(mode), "something else")
    remedy = "give the name of a file in it" if stat.S_ISDIR(mode) else "give the name of a file"
    raise FileFormatError(f"{path} is {kind}; {remedy}.")


def open_regular(path) -> BinaryIO:
    """Open a regular file to read bytes; a named pipe is refused, where opening it would wait for a writer.

    Raises
    ------
    FileFormatError
        It is no regular file.
    OSError
        As `open` raises it.
    """
    check_regular(path)
    # Should a named pipe come just now, it opens at once without blocking; that makes no difference to regular files.
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    try:
        _refuse_others(path, os.fstat(file).st_mode)
        return os.fdopen(file, "rb")
    except BaseException:
        os.close(file)
        raise


def identities(path) -> set[tuple]:
    """What a local path shares with all others that lead to the same file: two paths are one file if these meet.

    A file that is there is known by device and inode, and on another device by all that file systems keep of it, since
    a network file system that is mounted twice is two devices. What is not there yet is known by its real path.
    """
    path = plain_path(os.fspath(path))
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return {("path", os.path.realpath(path))}
    seen = found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    return {("inode", found.st_dev, found.st_ino), ("content", *seen)}
