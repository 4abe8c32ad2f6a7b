"""Whether a sums file can be where it is wanted, before there is one: folder, locks, size."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

from ..exceptions import FileFormatError
from ..hdf5.header import sealed_format

__all__ = ["complaints_about", "file_bytes"]

# Header, names and anchors; and of the ledger 32 bytes for each cell, which is 2 MiB of rows or more.
_BASE_BYTES, _CELL_BYTES, _BYTES_OF_CELL = 2**16, 2**21, 32


def file_bytes(sums_bytes: int, data_bytes: int) -> int:
    """Most bytes of a file that holds sums of this size, of rows of data of that size, in one source."""
    return sums_bytes + _BASE_BYTES + data_bytes // _CELL_BYTES * _BYTES_OF_CELL


def complaints_about(path: str, lock: bool) -> Iterator[str]:
    """What is wrong with the place of a sums file, and what to do; leaves nothing there."""
    import portalocker

    folder = os.path.dirname(path)
    if os.path.exists(path) and not _holds_sums(path):
        yield f"{path} must be a new file, or one of sums; got something else. Give another name."
        return
    try:
        with tempfile.NamedTemporaryFile(prefix=f".{os.path.basename(path)}~check~", dir=folder) as file:
            if lock:
                portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE)
    except portalocker.exceptions.LockException as error:
        yield (
            f"{folder} must have locks, so that sums of several processes can meet in a file; got none ({error}). Give "
            "each process a sums file of its own, with --no-lock, and solve or merge them all."
        )
    except OSError as error:
        yield (
            f"{folder} must be a folder that can be written to; got: {error.strerror}. Create it, get permission "
            "there, or choose another one."
        )


def _holds_sums(path):
    try:
        return sealed_format(path) == "sums"
    except FileFormatError:
        return False
