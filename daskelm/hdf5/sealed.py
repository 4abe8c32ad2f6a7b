"""Files that are whole at every instant: replaced atomically, and sealed with a format, a version and a digest."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import socket
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from ..exceptions import DaskelmError, FileFormatError, FileMissingError, FileWriteError, ParameterError
from .contents import foreign_contents
from .paths import check_regular, open_regular
from .remote import read_bytes
from .urls import is_url, refuse_written

__all__ = [
    "check_replaceable",
    "next_generation",
    "read_generation",
    "read_sealed",
    "replacing",
    "sealed_format",
    "write_sealed",
    "writing_to",
]

# Versions of the formats: a file of another version is refused.
VERSIONS = {"model": 2}
_FIRST_VERSION = 1
_MAGIC = b"daskelm file\n"
# A write failed since there was no room: in a file system, a quota, a limit, or none that may be written.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
# Size of the HDF5 user block: the header is one line of JSON in it, padded with spaces.
_BLOCK = 512
_HDF5 = b"\x89HDF\r\n\x1a\n"
# How the table of scores begins that `daskelm select` writes.
_TABLE = b"alpha,n_neurons,"


def write_sealed(
    path, format: str, state: Mapping, generation: int = 0, *, alone: bool = False, overwrite: bool = False
) -> None:
    """Write `state`, a dict of arrays and of what JSON holds, to one file.

    A file of the same format is replaced at once, any other only with `overwrite`. `generation` tells versions of one
    file apart; it is in the header, where `read_generation` finds it.

    The header in the HDF5 user block holds the format's name, the version, the length of the file and the SHA-256 of
    these and of all that follows: it is verified before HDF5 parses a byte, since HDF5 can hang on corrupt files.
    """
    buffer, version = io.BytesIO(), VERSIONS.get(format, _FIRST_VERSION)
    with h5py.File(buffer, "w", userblock_size=_BLOCK, track_order=True) as file:
        plain = {}
        for name, value in state.items():
            if isinstance(value, np.ndarray):
                file.create_dataset(name, data=value)
            else:
                plain[name] = value
        file.attrs["format"], file.attrs["version"] = format, version
        text = np.frombuffer(json.dumps(plain, allow_nan=False).encode(), np.uint8)
        file.create_dataset("state", data=text)
    body = buffer.getbuffer()[_BLOCK:]
    header = {"format": format, "version": version, "generation": generation, "length": _BLOCK + len(body)}
    header["sha256"] = _digest(header, body)
    line = _MAGIC + json.dumps(header).encode()
    with (
        replacing(path, format, overwrite=overwrite, alone=alone) as beside,
        writing_to(beside),
        beside.open("wb") as new,
    ):
        new.write(line.ljust(_BLOCK - 1) + b"\n")
        new.write(body)


def read_sealed(path, format: str) -> dict:
    """The state that `write_sealed` was given, with "generation". Runs no code from the file.

    Raises
    ------
    FileMissingError
        There is no such file.
    FileFormatError
        It is not such a file, or it was truncated or altered, or was written in another version of the format.
    """
    data = read_bytes(path) if is_url(path) else _bytes_of(Path(path))
    header = _header(path, format, data)
    if header["length"] != len(data):
        raise FileFormatError(
            f"{path} is truncated or was added to: it must be {header['length']} bytes long, got {len(data)}. Take "
            "it from a backup or write it again."
        )
    if _digest(header, memoryview(data)[_BLOCK:]) != header["sha256"]:
        raise FileFormatError(
            f"{path} was altered since it was written: its content does not match its digest. Take it from a backup "
            "or write it again."
        )
    with h5py.File(io.BytesIO(data), "r") as file:
        state = {name: dataset[()] for name, dataset in file.items() if name != "state"}
        state |= json.loads(file["state"][()].tobytes())
    return state | {"generation": header["generation"]}


def _bytes_of(path):
    try:
        with open_regular(path) as file:
            return file.read()
    except FileNotFoundError:
        raise FileMissingError(f"{path}: no such file (looked in {path.resolve().parent}).") from None


def _digest(header, body):
    facts = {name: header[name] for name in ("format", "version", "generation", "length")}
    digest = hashlib.sha256(json.dumps(facts).encode())
    digest.update(body)
    return digest.hexdigest()


def read_generation(path, format: str) -> int | None:
    """The generation that `write_sealed` was given, from the header alone; None if there is no such file."""
    try:
        with open_regular(path) as file:
            return _header(path, format, file.read(_BLOCK))["generation"]
    except FileNotFoundError:
        return None


def next_generation(path, format: str) -> int:
    """A generation above that of the file at `path` and of its lock file, if there are any."""
    with contextlib.suppress(FileFormatError):
        found = [read_generation(path, format) or 0]
        with contextlib.suppress(OSError, ValueError), open_regular(f"{path}.lock") as file:
            found.append(int(file.read(_BLOCK)))
        return max(found) + 1
    return 1


def sealed_format(path) -> str | None:
    """The format that `write_sealed` was given, from the header alone; None of any other file.

    Raises
    ------
    FileMissingError
        There is no such file.
    FileFormatError
        The header is damaged, or of another version; or it is a folder.
    """
    data = read_bytes(path, _BLOCK) if is_url(path) else _first_bytes(path)
    return _header(path, None, data)["format"] if data.startswith(_MAGIC) else None


def _first_bytes(path):
    try:
        with open_regular(path) as file:
            return file.read(_BLOCK)
    except FileNotFoundError:
        raise FileMissingError(f"{path}: no such file (looked in {Path(path).resolve().parent}).") from None


def _header(path, format, data):
    if not data.startswith(_MAGIC):
        kind = "an HDF5 file of another kind" if data[:8] == _HDF5 else "something else"
        raise FileFormatError(f"{path} is not a daskelm {format} file, but {kind}.")
    try:
        header = json.loads(data[len(_MAGIC) : _BLOCK])
        found, version, digest = (header[k] for k in ("format", "version", "sha256"))
        numbers = (version, header["length"], header["generation"])
        if not (all(isinstance(number, int) for number in numbers) and isinstance(digest, str)):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise FileFormatError(f"{path}: the header of this daskelm file is damaged. Take it from a backup.") from None
    newest = VERSIONS.get(found, _FIRST_VERSION)
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


def check_replaceable(path, kind: str | None, overwrite: bool = False, dataset: str = "data") -> None:
    """Refuse to write where something is that daskelm would not have written there.

    Parameters
    ----------
    path : str or path-like
        Where; nothing, an empty file, or a file of the kind may be there.
    kind : str or None
        The format of a sealed file, such as "model" or "sums"; "data", one dataset as daskelm writes it; "table", text
        as `daskelm select` writes it; or None where the file there is changed and not replaced by another one.
    overwrite : bool, default=False
        Whether any regular file may be replaced.
    dataset : str, default="data"
        Of a data file, its dataset.

    Raises
    ------
    FileFormatError
        `path` is no regular file, which is never replaced.
    FileWriteError
        There is something else than the kind, and no `overwrite`.
    """
    refuse_written(path)
    if not isinstance(overwrite, bool | np.bool_):
        raise ParameterError(f"overwrite must be True or False; got {overwrite!r}.")
    check_regular(path)
    if kind is None or overwrite or not os.path.exists(path):
        return
    held = _held(path, kind, dataset)
    if held is not None:
        what = {"data": "a file of data", "table": "a table of scores"}.get(kind, f"a {kind} file")
        raise FileWriteError(
            f"{os.fspath(path)} exists and is not replaced: it {held}, and {what} is to be written. Give another name, "
            "remove it first, or have it replaced with overwrite=True (--force)."
        )


def _held(path, kind, dataset):
    """What is in a file that is of another kind, in words; None if it may be replaced."""
    try:
        with open_regular(path) as file:
            begin = file.read(_BLOCK)
    except PermissionError:
        return "may not be read"
    if not begin or (kind == "table" and begin.startswith(_TABLE) and b"_test_score" in begin):
        return None
    if begin.startswith(_MAGIC):
        try:
            found = _header(path, None, begin)["format"]
        except FileFormatError as error:
            return f"cannot be read ({error})"
        return None if found == kind else f"is a daskelm {found} file"
    if h5py.is_hdf5(path):
        # Of a file that is no table for sure, only what to say about it is wanted.
        foreign = foreign_contents(path, dataset)
        return foreign if kind == "data" or foreign else "is an HDF5 file of data"
    return "is no HDF5 file, and not written by daskelm"


@contextlib.contextmanager
def replacing(path, kind: str | None, *, dataset: str = "data", overwrite: bool = False, alone: bool = False):
    """Path of a hidden file beside `path` that takes its place, synced to disk, when the block ends without error.

    Whatever kills the process, `path` holds what it held before or all of the new. `kind`, `dataset` and `overwrite`
    say what may be replaced, as for `check_replaceable`; `alone` says that nobody else writes to `path` now.

    Raises
    ------
    FileMissingError
        There is no such folder.
    FileFormatError
        `path` is no regular file.
    ParameterError
        `path` is a URL.
    FileWriteError
        Something else is there; or the folder or the disk takes no more.
    """
    check_replaceable(path, kind, overwrite, dataset)
    # What a link points to is replaced, not the link.
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
        # Hours may have passed.
        check_replaceable(path, kind, overwrite, dataset)
        beside.replace(path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        # Errors of the new file are told from those of what it is made from by its name.
        if isinstance(error, OSError) and (error.errno in _NO_ROOM or (error.errno and error.filename == name)):
            raise _not_written(path, error) from None
        raise
    try:
        _sync(path.parent)
    except OSError as error:
        raise FileWriteError(
            error.errno,
            f"{path} was written whole, but its folder cannot be synced: {error.strerror}. It is lost if "
            "this machine fails now. Look after the disk, then write it again.",
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
    """Permissions of the file that is there, so that a group goes on sharing it; else what the umask leaves."""
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
        # Some file systems cannot sync a folder; the file itself was.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(handle)
