"""Names of files: which are URLs, by which name a place is recognised, and whether two lead to one regular file."""

from __future__ import annotations

import errno
import os
import re
import stat
from typing import BinaryIO
from urllib.parse import urlsplit

from ..exceptions import FileFormatError, ParameterError
from ..urls import has_user, hidden_query

__all__ = [
    "check_regular",
    "check_url",
    "identities",
    "is_url",
    "open_regular",
    "place_of",
    "plain_path",
    "refuse_added",
    "refuse_url",
    "refuse_written",
    "split_dataset",
]

# URLs as fsspec takes them: s3://bucket/key, and chains such as simplecache::s3://bucket/key.
_URL = re.compile(r"[a-zA-Z][\w+.-]*(::[a-zA-Z][\w+.-]*)*://")
_LOCAL = re.compile(r"(file|local)://")
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def is_url(path) -> bool:
    """Whether a path is a URL that does not name a file of this machine's file system."""
    return isinstance(path, str) and _URL.match(path) is not None and _LOCAL.match(path) is None


def plain_path(path: str) -> str:
    """The path in a URL of a local file; any other path as it is."""
    return _LOCAL.sub("", path, count=1)


def check_url(url: str) -> None:
    """Refuse URLs that hold a user name or a password, or the name of a dataset."""
    _, _, rest = url.rpartition("://")
    if has_user(url):
        protocol = url.rpartition("://")[0].rpartition("::")[2]
        raise ParameterError(
            "a URL must not hold a user name, a password or a token, since URLs are shown in messages and kept in "
            f"files; got one that does, {url}. Leave it out, and give it to fsspec: as an environment variable "
            f"(FSSPEC_{protocol.upper()}_USERNAME and _PASSWORD), or in a file of settings (fsspec.config.conf)."
        )
    file, mark, name = rest.partition("::")
    if mark:
        file = url.removesuffix(mark + name)
        raise ParameterError(
            f"a URL must not name a dataset; got {url}. Name it so: from_hdf5({file!r}, dataset={name!r})."
        )


def place_of(path) -> str:
    """The name by which a place is recognised: a path with its links followed, a URL with its query as a digest.

    A query may hold a signature, which must not be kept in files.
    """
    path = os.fspath(path)
    if not is_url(path):
        return os.path.realpath(plain_path(path))
    if not urlsplit(path).query:
        return path
    url, _, query = path.partition("?")
    return f"{url}?{hidden_query(query)}"


def split_dataset(text: str) -> tuple[str, str | None]:
    """File and dataset of FILE::DATASET, as the command takes it; None where no dataset is named."""
    path, mark, dataset = text.rpartition("::")
    # In a chain of URLs, the two colons are fsspec's.
    return (path, dataset) if mark and "://" not in dataset else (text, None)


def refuse_url(path, what: str, remedy: str) -> None:
    """Refuse a URL where a path is needed, since a folder of that name would be made otherwise."""
    path = os.fspath(path)
    if is_url(path) or _LOCAL.match(path):
        raise ParameterError(f"{what} must be at a path of a file system, not at a URL; got {path}. {remedy}")


def refuse_added(path) -> None:
    """Refuse a URL for a sums file that is changed."""
    refuse_url(
        path,
        "a sums file that is changed",
        "It takes locks: give a path, copy the file when it is complete, and solve or merge the copies, which may be "
        "at URLs.",
    )


def refuse_written(path) -> None:
    """Refuse to write to a URL."""
    path = os.fspath(path)
    protocol, name = path.partition("://")[0], path.partition("?")[0].rpartition("/")[2]
    refuse_url(
        path,
        "a file that is written",
        f"Write it to a path and copy it when it is complete: fsspec.filesystem({protocol!r}).put({name!r}, {path!r}).",
    )


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
    # Without O_NONBLOCK, a named pipe that took the place of the file just now would block. Regular files ignore it.
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    try:
        _refuse_others(path, os.fstat(file).st_mode)
        return os.fdopen(file, "rb")
    except BaseException:
        os.close(file)
        raise


def identities(path) -> set[tuple]:
    """Keys of the file that a local path leads to: two paths lead to one file if they have a key in common.

    An existing file has its device and inode as a key, and as another its inode, size and times, since a network file
    system that is mounted twice is two devices. A file that does not exist yet has its real path.
    """
    path = plain_path(os.fspath(path))
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return {("path", os.path.realpath(path))}
    seen = found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    return {("inode", found.st_dev, found.st_ino), ("content", *seen)}
