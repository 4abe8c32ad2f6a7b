"""Sealed files: arrays and JSON in one HDF5 file, whose digest is verified before HDF5 reads it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import h5py
import numpy as np

from ..exceptions import FileFormatError
from .atomic import replacing, writing_to
from .header import BLOCK, MAGIC, digest_of, first_bytes, parse_header, version_of

__all__ = ["read_sealed", "write_sealed"]


def write_sealed(
    path, format: str, state: Mapping, generation: int = 0, *, alone: bool = False, overwrite: bool = False
) -> None:
    """Write `state`, a dict of arrays and of what JSON holds, to one file.

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
                file.create_dataset(name, data=value)
            else:
                plain[name] = value
        file.attrs["format"], file.attrs["version"] = format, version_of(format)
        text = np.frombuffer(json.dumps(plain, allow_nan=False).encode(), np.uint8)
        file.create_dataset("state", data=text)
    body = buffer.getbuffer()[BLOCK:]
    header = {"format": format, "version": version_of(format), "generation": generation, "length": BLOCK + len(body)}
    header["sha256"] = digest_of(header, body)
    line = MAGIC + json.dumps(header).encode()
    with (
        replacing(path, format, overwrite=overwrite, alone=alone) as beside,
        writing_to(beside),
        beside.open("wb") as new,
    ):
        new.write(line.ljust(BLOCK - 1) + b"\n")
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
    with h5py.File(io.BytesIO(data), "r") as file:
        state = {name: dataset[()] for name, dataset in file.items() if name != "state"}
        state |= json.loads(file["state"][()].tobytes())
    return state | {"generation": header["generation"]}
