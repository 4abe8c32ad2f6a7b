"""New HDF5 files, which take their place when they are complete, on a disk that may become full."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Callable, Iterator

import h5py

from .atomic import replacing
from .contents import mark_as_data

__all__ = ["changing_hdf5", "new_hdf5"]


class _Disk(io.RawIOBase):
    """The file that HDF5 writes to, which hides failed writes from HDF5.

    HDF5 cannot close a file whose last writes fail: h5py raises a RuntimeError then, keeps the file open, and the
    process dies of a segmentation fault when the object is collected. So from the first failure on, written bytes are
    held in memory, HDF5 closes without an error, and `check`, which is called after every block, raises it.
    """

    def __init__(self, path):
        self._path = path
        self._file = io.FileIO(path, "r+")
        self._held: list[tuple[int, bytes]] = []
        self._error: OSError | None = None
        self._position = 0

    def check(self) -> None:
        """Raise the first error of a write, if there was one."""
        if self._error is not None:
            raise OSError(self._error.errno, os.strerror(self._error.errno or 0), os.fspath(self._path))

    def close(self) -> None:
        """Close the file; an error is kept for `check`."""
        if not self.closed:
            try:
                self._file.close()
            except OSError as error:
                self._error = self._error or error
        super().close()

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
        """Read from the position on; bytes that are neither in the file nor held are zeros."""
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
        """Write at the position, or hold bytes that cannot be written."""
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
    """A new HDF5 file for a table, and a function to call after each block, which raises if the disk is full.

    The file takes the place of `path` when the `with` block ends without error; `replacing` says which file may be
    there. Without `mark`, daskelm does not know the file as its own, and replaces it only with `overwrite`.
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
    """A full copy of an HDF5 file, open for changes; it takes the place of the original as in `new_hdf5`."""
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
