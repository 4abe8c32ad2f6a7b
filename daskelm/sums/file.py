"""Sums files: always complete on disk, and changed under a lock by any number of processes."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import stat
import time
from collections.abc import Iterable, Iterator
from functools import reduce
from operator import add
from typing import IO, NamedTuple

from dask.utils import natural_sort_key

from ..exceptions import FileFormatError, FileMissingError, FileWriteError, ParameterError, RowsCountedError
from ..hdf5.header import LOCK_BYTES, generation_in_lock, number_in_lock, read_digest, read_generation
from ..hdf5.paths import is_url, place_of, refuse_added
from ..hdf5.remote import urls_matching
from ..hdf5.sealed import write_sealed
from .lock import acquire, seconds_of
from .normal_equations import NormalEquations
from .stored import read_state

__all__ = [
    "LockedSums",
    "Seen",
    "add_to_file",
    "each_sums",
    "files_of",
    "locked",
    "merge",
    "read_current",
    "read_sums",
]

# Seconds to wait for the version that the lock file names, where a network file system shows an older one.
_STALE_SECONDS = 5.0


# Sums that take more memory are read from their file again, and not kept from one commit to the next.
_KEPT_BYTES = 32 * 2**20


class Seen(NamedTuple):
    """Sums of a file as it was read or written, and the digest in its header, by which it is known to be the same."""

    digest: str
    sums: NormalEquations


class LockedSums:
    """A sums file while its lock is held.

    The lock file holds the generation of the sums file: the number of times it was written. A sums file with a smaller
    number is a stale copy from a cache, and adding to it would lose rows that were added since.
    """

    def __init__(self, path: str, lock: IO[bytes] | None):
        self.path, self._lock = path, lock
        self._generation = -1
        # The sums that were read or written last, unless they take much memory.
        self.seen: Seen | None = None

    def read(self, seen: Seen | None = None) -> NormalEquations | None:
        """The sums; None if there is no file yet. If the file is the one that was `seen`, it is not read again."""
        expected = self._expected()
        found = None if seen is None else read_digest(self.path, "sums")
        if seen is not None and found is not None and found[1] == seen.digest and found[0] >= expected:
            self._generation, self.seen = found[0], seen
            return seen.sums
        state = _read_newest(self.path, expected)
        self._generation = 0 if state is None else state["generation"]
        if state is None:
            return None
        sums = NormalEquations.from_state(state)
        self.seen = _seen(state["digest"], sums)
        return sums

    def _expected(self):
        if self._lock is None:
            return generation_in_lock(self.path)
        number = number_in_lock(os.pread(self._lock.fileno(), LOCK_BYTES, 0))
        if number is None:
            # Another user of the folder could have put a link to an unrelated file here.
            raise FileWriteError(
                f"{self.path}.lock must be empty or hold the number of times that {self.path} was written; got "
                "something else, which is left as it is. Check what uses that file, move it away, then start again."
            )
        return number

    def write(self, sums: NormalEquations) -> None:
        """Replace the file, which must have been read under this lock."""
        if self._generation < 0:
            self.read()
        on_disk = read_generation(self.path, "sums") or 0
        if on_disk != self._generation:
            raise FileWriteError(
                f"{self.path} was changed by another program without its lock (it is number {on_disk}, not "
                f"{self._generation}); nothing was written. Find that program, and have it use {self.path}.lock."
            )
        self._generation += 1
        # Temporary files beside a locked file were left by writers that were killed.
        digest = write_sealed(self.path, "sums", sums.state(), self._generation, alone=True)
        self.seen = _seen(digest, sums)
        if self._lock is None:
            return
        try:
            # A write in place, shorter than a sector, is never half done. Unbuffered, since a failed buffered write is
            # repeated when the file is closed.
            os.pwrite(self._lock.fileno(), b"%020d\n" % self._generation, 0)
            os.fsync(self._lock.fileno())
        except OSError as error:
            # Readers accept a file that is newer than its lock file.
            raise FileWriteError(
                error.errno,
                f"{self.path} was written whole, but not its number to {self.path}.lock: {error.strerror}. The rows "
                "are counted; make room there, then start again with those that are missing.",
            ) from None


def _seen(digest, sums) -> Seen | None:
    n_bytes = (1 + len(sums.folds)) * (sums.packed.nbytes + sums.cross.nbytes)
    return Seen(digest, sums) if n_bytes <= _KEPT_BYTES else None


def _read_newest(path, expected: int) -> dict | None:
    """The state of a sums file of at least this generation; None if there is no file and none is expected."""
    wait, begin, refreshed = 0.05, time.monotonic(), False
    while True:
        try:
            state = read_state(path)
        except FileMissingError:
            state = None
        found = 0 if state is None else state["generation"]
        if found >= expected:
            return state
        if refreshed and time.monotonic() - begin > _STALE_SECONDS:
            break
        # A change to the folder makes most network file systems refresh it. It may belong to another user, or be on a
        # read-only file system.
        with contextlib.suppress(OSError):
            os.utime(os.path.dirname(path))
        refreshed = True
        time.sleep(wait)
        wait *= 2
    if state is None:
        raise FileMissingError(
            f"{path} is gone, though {path}.lock says that it was written {expected} times. Put it back, or remove the "
            ".lock file too to begin anew."
        )
    raise FileFormatError(
        f"{path} is an older version than {path}.lock records (number {found}, not {expected}): a file system shows "
        "old content, or a backup was put back. Wait and try again; after putting back a backup, remove the .lock file."
    )


def read_current(path) -> NormalEquations:
    """The sums of one file, which must not be older than the generation in its lock file.

    Parameters
    ----------
    path : str or path-like
        The sums file, or its URL.
    """
    real = path if is_url(path) else os.path.realpath(os.fspath(path))
    # Read the lock file before the sums, since writers change it after them.
    expected = 0 if is_url(path) else generation_in_lock(real)
    if expected and os.path.exists(real) and (state := _read_newest(real, expected)) is not None:
        return NormalEquations.from_state(state)
    return NormalEquations.load(path)


@contextlib.contextmanager
def locked(path, lock: bool | float = True) -> Iterator[LockedSums]:
    """Hold the lock of a sums file, `path`.lock, which is created if missing and stays; no lock with `lock` False.

    A number is the longest wait for the lock, in seconds.

    Raises
    ------
    FileMissingError
        The folder of `path` does not exist.
    FileWriteError
        The folder cannot be written to, its file system has no locks, or the lock is held for too long.
    ParameterError
        `path` is a URL.
    """
    import portalocker

    refuse_added(path)
    # All links to a file share its lock.
    path = os.path.realpath(os.fspath(path))
    if not os.path.isdir(os.path.dirname(path)):
        raise FileMissingError(f"the folder of {path} does not exist. Create it first.")
    seconds = seconds_of(lock)
    if lock is False:
        yield LockedSums(path, None)
        return
    name = f"{path}.lock"
    while True:
        handle = open(name, "r+b", opener=_open_lock)  # noqa: SIM115  it is closed when the lock is released
        try:
            acquire(handle, seconds)
            # Another process may have removed the lock file during the wait, and others may now lock a new one.
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(handle.fileno()).st_ino == os.lstat(name).st_ino:
                    break
            handle.close()
        except portalocker.exceptions.LockException as error:
            handle.close()
            raise FileWriteError(
                errno.ENOLCK,
                f"{name} cannot be locked, so that sums of several processes cannot meet in {path} ({error}). Where a "
                "file system has no locks, give each process a sums file of its own and lock=False (--no-lock), and "
                "solve or merge them all: solve('sums-*.h5').",
            ) from None
        except BaseException:
            handle.close()
            raise
    try:
        yield LockedSums(path, handle)
    finally:
        portalocker.unlock(handle)
        handle.close()


def _open_lock(name: str, flags: int) -> int:
    """Open a lock file, created if missing; never the target of a link, which may be an unrelated file."""
    try:
        # With O_NONBLOCK, a named pipe opens at once and can be refused.
        lock = os.open(name, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileWriteError(
                error.errno,
                f"{name} must be a regular file of its own, or none yet; got a symbolic link, and what it leads to may "
                "be an unrelated file. Remove the link, then start again.",
            ) from None
        raise FileWriteError(
            error.errno, f"{name} cannot be written: {error.strerror}. The folder must be writable for the lock."
        ) from None
    if not stat.S_ISREG(os.fstat(lock).st_mode):
        os.close(lock)
        raise FileWriteError(
            f"{name} must be a regular file of its own, or none yet; got a pipe or a device. Remove it, then start "
            "again."
        )
    return lock


def add_to_file(path, sums: NormalEquations, lock: bool | float = True, seen: Seen | None = None) -> Seen | None:
    """Add sums to a file under its lock; the file is created if missing, and replaced whole.

    Parameters
    ----------
    path : str or path-like
        The sums file.
    sums : NormalEquations
        Sums to add.
    lock : bool or float, default=True
        Whether to hold the lock. Use False only where the file system has no locks, with no other writer. A number is
        the longest wait for it, in seconds.
    seen : Seen, optional
        What was read of the file before, which is not read again as long as the file is the same.

    Returns
    -------
    Seen or None
        New content of the file, for the next time; None where it takes much memory.
    """
    with locked(path, lock) as file:
        stored = file.read(seen)
        file.write(sums if stored is None else stored + sums)
    return file.seen


def merge(sums, into=None, lock: bool | float = True) -> NormalEquations:
    """Add up the sums of several files, from jobs or sites that share neither rows nor a disk.

    Parameters
    ----------
    sums : NormalEquations, str, path-like, or list of these
        Sums, sums files, globs.
    into : str or path-like, optional
        File to write the total to. A file that exists is only replaced if it is one of those added up.
    lock : bool or float, default=True
        Whether to hold the lock of `into`. Use False only where the file system has no locks, with no other writer. A
        number is the longest wait for the lock, in seconds.

    Returns
    -------
    NormalEquations
        The total.

    Raises
    ------
    IncompatibleSumsError
        Sums of different layers or targets, or rows that are counted in several.
    FileWriteError
        `into` exists, and is none of the files added up.

    Examples
    --------
    >>> import numpy as np
    >>> from daskelm import ELMRegressor, merge
    >>> X, y = np.random.default_rng(0).random((100, 3)), np.arange(100.0)
    >>> model = ELMRegressor(20, random_state=0).initialize(X)
    >>> model = model.accumulate(X[:50], y[:50], into="north.h5").accumulate(X[50:], y[50:], into="south.h5")
    >>> merge(["north.h5", "south.h5"], into="both.h5").n_samples
    100
    >>> model.solve("both.h5").coef_.shape
    (1, 20)
    """
    if into is None:
        return read_sums(sums)
    with locked(into, lock) as file:
        paths = [path for path in files_of(sums) if not is_url(path)]
        if os.path.exists(file.path) and not any(os.path.samefile(file.path, path) for path in paths):
            raise FileWriteError(
                f"into: {into} exists and is none of the files added up; nothing was written. Name a new file, or add "
                "it to the list to have its rows in the total."
            )
        file.read()
        total = read_sums(sums)
        file.write(total)
    return total


def read_sums(source) -> NormalEquations:
    """Total of sums in memory and in files.

    Parameters
    ----------
    source : NormalEquations, str, path-like, or list of these
        Sums, a sums file, a glob of such files, or several of these, which are added up.
    """
    return reduce(add, (sums for _, sums in each_sums(source)))


def each_sums(source) -> Iterator[tuple[str, NormalEquations]]:
    """The sums of `source` one by one, each with a name: that of its file, or its number."""
    parts = [source] if isinstance(source, NormalEquations) else list(_parts(source))
    files = files_of(parts) if parts else []
    if twice := {path for path in files if files.count(path) > 1}:
        raise RowsCountedError(f"sums: every file must be named once; got {min(twice)} several times.")
    for i, part in enumerate(parts):
        yield (f"number {i}", part) if isinstance(part, NormalEquations) else (part, read_current(part))


def _parts(source) -> Iterator[NormalEquations | str]:
    """Sums and paths, with globs resolved."""
    if isinstance(source, NormalEquations):
        yield source
    elif isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        if is_url(path):
            yield from urls_matching(path)
            return
        if not glob.has_magic(path) or os.path.exists(path):
            yield path
            return
        found = sorted(glob.glob(path), key=natural_sort_key)
        if not found:
            raise FileMissingError(f"{path}: no sums file matches this pattern.")
        yield from found
    else:
        if not isinstance(source, Iterable) or not (parts := list(source)):
            raise ParameterError(f"sums must be NormalEquations, a file, a list of files, or a glob; got {source!r}.")
        for part in parts:
            yield from _parts(part)


def files_of(source) -> list[str]:
    """Paths of the files among sums, with globs resolved and links followed."""
    return [place_of(part) for part in _parts(source) if isinstance(part, str)]
