"""Names of files: which are URLs, what they are called in files of ours, and where only a path will do."""

from __future__ import annotations

import hashlib
import os
import re
from urllib.parse import urlsplit

from ..exceptions import ParameterError

__all__ = [
    "check_url",
    "is_url",
    "place_of",
    "plain_path",
    "refuse_added",
    "refuse_url",
    "refuse_written",
    "split_dataset",
]

# Of fsspec: s3://bucket/key, and chains such as simplecache::s3://bucket/key.
_URL = re.compile(r"[a-zA-Z][\w+.-]*(::[a-zA-Z][\w+.-]*)*://")
_LOCAL = re.compile(r"(file|local)://")


def is_url(path) -> bool:
    """Whether a path is a URL of something else than a file of this machine's file system."""
    return isinstance(path, str) and _URL.match(path) is not None and _LOCAL.match(path) is None


def plain_path(path: str) -> str:
    """The path in a URL of a local file; any other path as it is."""
    return _LOCAL.sub("", path, count=1)


def check_url(url: str) -> None:
    """Refuse URLs that hold a password, or the name of a dataset."""
    _, _, rest = url.rpartition("://")
    if "@" in (host := rest.partition("/")[0]) and ":" in host.rpartition("@")[0]:
        # Not even in this message.
        raise ParameterError(
            f"a URL must not hold a password, since URLs are told in messages and kept in files; got one for "
            f"{host.rpartition('@')[2]}. Give it to fsspec: an environment variable or a file of settings."
        )
    file, mark, name = rest.partition("::")
    if mark:
        file = url.removesuffix(mark + name)
        raise ParameterError(
            f"a URL must not name a dataset; got {url}. Name it so: from_hdf5({file!r}, dataset={name!r})."
        )


def place_of(path) -> str:
    """The name by which a place is known again: links followed; of URLs without what may be a signature."""
    path = os.fspath(path)
    if not is_url(path):
        return os.path.realpath(plain_path(path))
    if not urlsplit(path).query:
        return path
    url, _, query = path.partition("?")
    return f"{url}?{hashlib.sha256(query.encode()).hexdigest()[:12]}"


def split_dataset(text: str) -> tuple[str, str | None]:
    """File and dataset of FILE::DATASET, as the command takes it; None where no dataset is named."""
    path, mark, dataset = text.rpartition("::")
    # In a chain of URLs the marks are fsspec's.
    return (path, dataset) if mark and "://" not in dataset else (text, None)


def refuse_url(path, what: str, remedy: str) -> None:
    """Refuse a URL where only a path will do, instead of making a folder of that name."""
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
    protocol, name = path.partition("://")[0], path.rpartition("/")[2]
    refuse_url(
        path,
        "a file that is written",
        f"Write it to a path and copy it when it is complete: fsspec.filesystem({protocol!r}).put({name!r}, {path!r}).",
    )
