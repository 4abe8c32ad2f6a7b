"""Sealed files: arrays and JSON in one HDF5 file, whose digest is verified before HDF5 reads it.

The digest finds damage. It is no signature: anyone can make a file whose digest fits. So what HDF5 is asked to read is
checked as well: only plain arrays that lie in the file itself, and that are expected there.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping

import h5py
import numpy as np

from ..exceptions import FileFormatError
from .atomic import replacing, writing_to
from .header import BLOCK, MAGIC, digest_of, first_bytes, parse_header, version_of
from .paths import is_url

__all__ = ["content_of", "read_sealed", "write_sealed"]

# The dataset that holds the JSON, as bytes.
_PLAIN = "state"


def write_sealed(
    path, format: str, state: Mapping, generation: int = 0, *, alone: bool = False, overwrite: bool = False
) -> str:
    """Write `state`, a dict of arrays and of what JSON holds, to one file; the result is its digest.

    A file of the same format is replaced at once, any other only with `overwrite`. `generation` distinguishes
    versions of one file; it is in the header, where `read_generation` finds it.

    The header in the HDF5 user block holds the format's name, the version, the length of the file and the SHA-256 of
    these and of all that follows: it is verified before HDF5 parses a byte, since HDF5 can hang on corrupt files.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=BLOCK, track_order=True) as file:
        plain = {}
        for name, value in state.items():
            if isinstance(value, np.ndarray):
                # HDF5 keeps arrays without options in one piece, which `_check_inline` demands.
                file.create_dataset(name, data=value)
            else:
                plain[name] = value
        file.attrs["format"], file.attrs["version"] = format, version_of(format)
        text = np.frombuffer(json.dumps(plain, allow_nan=False).encode(), np.uint8)
        file.create_dataset(_PLAIN, data=text)
    body = buffer.getbuffer()[BLOCK:]
    header: dict = {
        "format": format,
        "version": version_of(format),
        "generation": generation,
        "length": BLOCK + len(body),
    }
    header["sha256"] = digest_of(header, body)
    line = MAGIC + json.dumps(header).encode()
    with (
        replacing(path, format, overwrite=overwrite, alone=alone) as beside,
        writing_to(beside),
        beside.open("wb") as new,
    ):
        new.write(line.ljust(BLOCK - 1) + b"\n")
        new.write(body)
    return header["sha256"]


def read_sealed(path, format: str, names: Callable[[dict], Iterable[str]]) -> dict:
    """The state that `write_sealed` was given, with "generation" and "digest". Runs no code from the file.

    Parameters
    ----------
    path : str or path-like
        File to read, or its URL.
    format : str
        Name of the format.
    names : callable
        The names that arrays of the state may have, for its other values; a file with any other is refused.

    Raises
    ------
    FileMissingError
        There is no such file.
    FileFormatError
        It is not such a file, or it was truncated or altered, or was written in another version of the format; or its
        digest fits, and its content is not what `write_sealed` writes.
    """
    if not is_url(path):
        # A large file of another kind is not read.
        parse_header(path, format, first_bytes(path, BLOCK))
    data = first_bytes(path)
    header = parse_header(path, format, data)
    if header["length"] != len(data):
        raise FileFormatError(
            f"{path} is truncated or was added to: it must be {header['length']} bytes long, got {len(data)}. Take "
            "it from a backup or write it again."
        )
    if digest_of(header, memoryview(data)[BLOCK:]) != header["sha256"]:
        raise FileFormatError(
            f"{path} was altered since it was written: its content does not match its digest. Take it from a backup "
            "or write it again."
        )
    with content_of(path), h5py.File(io.BytesIO(data), "r") as file:
        datasets = {name: _dataset(file, name) for name in file}
        if sum(dataset.nbytes for dataset in datasets.values()) > len(data):
            raise ValueError("the arrays have more bytes than the file")
        plain = _values(datasets.pop(_PLAIN)[()])
        if unknown := datasets.keys() - set(names(plain)):
            raise ValueError(f"array {min(unknown)!r} belongs to nothing")
        state = plain | {name: dataset[()] for name, dataset in datasets.items()}
    return state | {"generation": header["generation"], "digest": header["sha256"]}


@contextlib.contextmanager
def content_of(path) -> Iterator[None]:
    """Makes one error of all that goes wrong where the content of a sealed file is not what daskelm writes."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        what = str(error) if isinstance(error, FileFormatError) else f"{type(error).__name__}: {error}"
        raise FileFormatError(
            f"{path} has a digest that fits, but its content is not what daskelm writes ({what.rstrip('.')}). A digest "
            "finds damage, and does not say who wrote a file. Take it from where it was written, or write it again."
        ) from error


def _dataset(file, name) -> h5py.Dataset:
    """A dataset of the root group, checked without reading it: its numbers lie in the file, in one piece."""
    # Links to other files are not followed.
    if type(file.get(name, getlink=True)) is not h5py.HardLink or not isinstance(item := file[name], h5py.Dataset):
        raise ValueError(f"{name!r} is no array")
    made = item.id.get_create_plist()
    if item.dtype.kind not in "fiub" or item.dtype.subdtype or item.shape is None:
        raise ValueError(f"array {name!r} holds no plain numbers")
    if (
        made.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)
        or made.get_nfilters()
        or made.get_external_count()
        or item.id.get_storage_size() != item.nbytes
    ):
        raise ValueError(f"array {name!r} does not lie in the file in one piece")
    return item


def _values(text: np.ndarray) -> dict:
    """The values in JSON, given as bytes."""
    values = json.loads(text.tobytes(), parse_constant=_refuse_constant)
    if text.dtype != np.uint8 or text.ndim != 1 or type(values) is not dict:
        raise ValueError(f"{_PLAIN!r} holds no values")
    return values


def _refuse_constant(name):
    # Writers have no such numbers either: `allow_nan` is False.
    raise ValueError(f"{name} is no number of JSON")
