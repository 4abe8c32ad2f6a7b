"""A new HDF5 file of one table that takes its place when it is complete, on a disk that may become full."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Callable, Iterator

import h5py

from .contents import mark_as_data
from .sealed import replacing

__all__ = ["changing_hdf5", "new_hdf5"]


class _Disk(io.RawIOBase):
    """The file under HDF5, which never lets HDF5 see that a write failed.

    HDF5 cannot close a file whose last writes fail: h5py raises a RuntimeError then, keeps the file open, and the
    process dies of a segmentation fault when the object is collected. So from the first failure on, what is written is
    held in memory, HDF5 closes in peace, and `check`, which is called after every block, raises the error.
    """

    def __init__(self, path):
        self._path = path
        self._file = io.FileIO(path, "r+")
        self._held: list[tuple[int, bytes]] = []
        self._error: OSError | None = None
        self._position = 0

    def check(self) -> None:
        """Raise what went wrong so far."""
        if self._error is not None:
            raise OSError(self._error.errno, os.strerror(self._error.errno or 0), os.fspath(self._path))

    def close(self) -> None:
        """Close the file; what went wrong is kept for `check`."""
        if not self.closed:
            try:
                self._file.close()
            except OSError as error:
                self._error = self._error or error
        super().close()

    def readable(self) -> bool:
        """Yes."""
        return True

    def writable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place."""
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            ends = [os.fstat(self._file.fileno()).st_size, *(start + len(data) for start, data in self._held)]
            offset += max(ends)
        self._position = offset
        return offset

    def readinto(self, buffer) -> int:
        """Read from here; what is in no file and not held are zeros."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and (data := os.pread(self._file.fileno(), len(view) - done, self._position + done)):
            view[done : done + len(data)] = data
            done += len(data)
        view[done:] = bytes(len(view) - done)
        for start, data in self._held:
            first, last = max(start, self._position), min(start + len(data), self._position + len(view))
            if first < last:
                view[first - self._position : last - self._position] = data[first - start : last - start]
        self._position += len(view)
        return len(view)

    def write(self, data) -> int:
        """Write here, or hold what cannot be written."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            while self._error is None and done < len(view):
                done += os.pwrite(self._file.fileno(), view[done:], self._position + done)
        except OSError as error:
            self._error = error
        if done < len(view):
            self._held.append((self._position + done, bytes(view[done:])))
        self._position += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Cut or extend the file."""
        size = self._position if size is None else size
        try:
            if self._error is None:
                self._file.truncate(size)
        except OSError as error:
            self._error = error
        return size


@contextlib.contextmanager
def new_hdf5(
    path, dataset: str = "data", *, overwrite: bool = False, alone: bool = False, mark: bool = True
) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """A new HDF5 file for a table of daskelm's, and a function that raises if the disk took no more; call it per block.

    It takes the place of `path` when the block ends without error; what may be there, `replacing` says. Without a
    `mark` it is not known as daskelm's own, and never replaced without being asked.
    """
    with (
        replacing(path, "data", dataset=dataset, overwrite=overwrite, alone=alone) as beside,
        _opened(beside, "w") as (file, check),
    ):
        if mark:
            mark_as_data(file)
        yield file, check


@contextlib.contextmanager
def changing_hdf5(path) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """A copy of an HDF5 file, with all that is in it, to be changed; it takes its place as `new_hdf5` does."""
    with replacing(path, None) as beside:
        shutil.copyfile(path, beside)
        with _opened(beside, "r+") as (file, check):
            yield file, check


@contextlib.contextmanager
def _opened(beside, mode):
    disk = _Disk(beside)
    try:
        with h5py.File(disk, mode) as file:
            yield file, disk.check
    finally:
        disk.close()
    disk.check()
