"""The header of a sealed file, before its HDF5: format, version, generation, length, and a digest of all of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from pathlib import Path

from ..exceptions import FileFormatError, FileMissingError
from .paths import is_url, open_regular
from .remote import read_bytes

__all__ = [
    "BLOCK",
    "LOCK_BYTES",
    "MAGIC",
    "VERSIONS",
    "digest_of",
    "first_bytes",
    "generation_in_lock",
    "next_generation",
    "number_in_lock",
    "parse_header",
    "read_digest",
    "read_generation",
    "sealed_format",
    "version_of",
]

# Versions of the formats: a file of another version is refused.
VERSIONS = {"model": 2}
# The first bytes of a sealed file.
MAGIC = b"daskelm file\n"
# Size in bytes of the HDF5 user block. The header is one line of JSON in it, padded with spaces.
BLOCK = 512
# A lock file is read up to here: more than its twenty digits and a newline.
LOCK_BYTES = 33
# Generations are below this, so that their digits fit into a lock file and a header.
_GENERATIONS = 10**20 - 1
_HDF5 = b"\x89HDF\r\n\x1a\n"


def read_generation(path, format: str) -> int | None:
    """The generation that `write_sealed` was given, from the header alone; None if there is no such file."""
    found = read_digest(path, format)
    return None if found is None else found[0]


def read_digest(path, format: str) -> tuple[int, str] | None:
    """Generation and digest in the header of a file; None if there is no such file."""
    try:
        with open_regular(path) as file:
            header = parse_header(path, format, file.read(BLOCK))
    except FileNotFoundError:
        return None
    return header["generation"], header["sha256"]


def next_generation(path, format: str) -> int:
    """A generation above those of the file at `path` and of its lock file, where these exist."""
    with contextlib.suppress(FileFormatError):
        return max(read_generation(path, format) or 0, generation_in_lock(path)) + 1
    return 1


def generation_in_lock(path) -> int:
    """The generation in the lock file of a sums file; 0 where there is none, or it holds anything but its number."""
    try:
        # O_NONBLOCK: a pipe in its place must not block; O_NOFOLLOW: a link must not be followed.
        lock = os.open(f"{path}.lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        text = os.read(lock, LOCK_BYTES) if stat.S_ISREG(os.fstat(lock).st_mode) else b""
    except OSError:
        return 0
    finally:
        os.close(lock)
    return number_in_lock(text) or 0


def number_in_lock(text: bytes) -> int | None:
    """The generation in the first bytes of a lock file, 0 in an empty one; None for anything else."""
    if not text:
        return 0
    number = int(text) if len(text) < LOCK_BYTES and text.strip().isdigit() else _GENERATIONS
    return number if number < _GENERATIONS else None


def sealed_format(path) -> str | None:
    """The format that `write_sealed` was given, from the header alone; None for any other file.

    Raises
    ------
    FileMissingError
        There is no such file.
    FileFormatError
        The header is damaged, or of a newer version; or it is a folder.
    """
    data = first_bytes(path, BLOCK)
    return parse_header(path, None, data)["format"] if data.startswith(MAGIC) else None


def first_bytes(path, size: int | None = None) -> bytes:
    """The first bytes of a file at a path or a URL, or all of them where no size is given."""
    if is_url(path):
        return read_bytes(path, size)
    try:
        with open_regular(path) as file:
            return file.read(-1 if size is None else size)
    except FileNotFoundError:
        raise FileMissingError(f"{path}: no such file (looked in {Path(path).resolve().parent}).") from None


def parse_header(path, format: str | None, data: bytes) -> dict:
    """The header in the first bytes of a file, checked; of any format where `format` is None."""
    if not data.startswith(MAGIC):
        kind = "an HDF5 file of another kind" if data[:8] == _HDF5 else "something else"
        raise FileFormatError(f"{path} is not a daskelm {format} file, but {kind}.")
    try:
        header = json.loads(data[len(MAGIC) : BLOCK])
        found, version, digest = (header[k] for k in ("format", "version", "sha256"))
        numbers = (version, header["length"], header["generation"])
        if not (all(type(number) is int for number in numbers) and isinstance(found, str) and isinstance(digest, str)):
            raise ValueError
        if not 0 <= header["generation"] < _GENERATIONS:
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise FileFormatError(f"{path}: the header of this daskelm file is damaged. Take it from a backup.") from None
    newest = version_of(found)
    if version > newest:
        raise FileFormatError(
            f"{path} was written in version {version} of the format; this daskelm reads up to {newest}. Upgrade "
            "daskelm (pip install -U daskelm)."
        )
    if version < newest:
        raise FileFormatError(
            f"{path} was written in version {version} of the format of a {found}, which this daskelm no longer reads; "
            f"it reads version {newest}. Fit the model again and save it, or load it with the older daskelm that wrote "
            "it."
        )
    if format not in (None, found):
        raise FileFormatError(f"{path} is a daskelm {found} file; expected a {format} file.")
    return header


def version_of(format: str) -> int:
    """The version of a format that is written here."""
    return VERSIONS.get(format, 1)


def digest_of(header: dict, body) -> str:
    """SHA-256 of the header's other facts and of all bytes after the user block."""
    facts = {name: header[name] for name in ("format", "version", "generation", "length")}
    digest = hashlib.sha256(json.dumps(facts).encode())
    digest.update(body)
    return digest.hexdigest()
