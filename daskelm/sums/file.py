"""Sums on disk: one file that is whole at every instant, changed under a lock by any number of processes."""

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
from typing import IO

from dask.utils import natural_sort_key

from ..exceptions import FileFormatError, FileMissingError, FileWriteError, ParameterError, RowsCountedError
from ..hdf5.header import read_generation
from ..hdf5.paths import is_url, place_of, refuse_added
from ..hdf5.remote import urls_matching
from ..hdf5.sealed import read_sealed, write_sealed
from .normal_equations import NormalEquations

__all__ = [
    "LockedSums",
    "add_to_file",
    "each_sums",
    "files_of",
    "locked",
    "merge",
    "read_current",
    "read_sums",
    "subtract_from_file",
]

# How long to wait for the file that the lock file tells of, where a network file system shows an older one.
_STALE_SECONDS = 5.0
# Most bytes of a lock file: twenty digits and the end of a line.
_LOCK_BYTES = 32


class LockedSums:
    """A sums file while its lock is held.

    The lock file holds the generation of the sums file: the number of times it was written. A file that carries less
    is an old one out of some cache, and adding to it would lose what was added since.
    """

    def __init__(self, path: str, lock: IO[bytes] | None):
        self.path, self._lock = path, lock
        self._generation = -1

    def read(self) -> NormalEquations | None:
        """The sums; None if there is no file yet."""
        state = _read_newest(self.path, self._expected())
        self._generation = 0 if state is None else state["generation"]
        return None if state is None else NormalEquations.from_state(state)

    def _expected(self):
        if self._lock is None:
            return _told_by_lock(self.path)
        text = os.pread(self._lock.fileno(), _LOCK_BYTES + 1, 0)
        if text and not (len(text) <= _LOCK_BYTES and text.strip().isdigit()):
            # Whoever may write to the folder could have made a link to another file here.
            raise FileWriteError(
                f"{self.path}.lock must be empty or hold the number of times that {self.path} was written; got "
                "something else, which is left as it is. Find out whose file that is, move it away, then start again."
            )
        return int(text) if text else 0

    def write(self, sums: NormalEquations) -> None:
        """Replace the file, which must have been read under this lock."""
        if self._generation < 0:
            self.read()
        on_disk = read_generation(self.path, "sums") or 0
        if on_disk != self._generation:
            raise FileWriteError(
                f"{self.path} was changed by somebody without its lock (it is number {on_disk}, not "
                f"{self._generation}); nothing was written. Find out who replaces it; programs go by {self.path}.lock."
            )
        self._generation += 1
        # All that is beside the file under its lock was left by writers that were killed.
        write_sealed(self.path, "sums", sums.state(), self._generation, alone=True)
        if self._lock is None:
            return
        try:
            # Shorter than a sector, and in place: never half written. Without a buffer, which would be written again
            # when the file is closed.
            os.pwrite(self._lock.fileno(), b"%020d\n" % self._generation, 0)
            os.fsync(self._lock.fileno())
        except OSError as error:
            # A file that is newer than its lock says is taken as it is.
            raise FileWriteError(
                error.errno,
                f"{self.path} was written whole, but not its number to {self.path}.lock: {error.strerror}. The rows "
                "are counted; make room there, then start again with those that are missing.",
            ) from None


def _told_by_lock(path) -> int:
    """The generation that the lock file of a sums file tells of; 0 where there is none."""
    try:
        # A pipe in its place must not be waited for, and a link not be followed.
        lock = os.open(f"{path}.lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        text = os.pread(lock, _LOCK_BYTES, 0)
    except OSError:
        return 0
    finally:
        os.close(lock)
    return int(text) if text.strip().isdigit() else 0


def _read_newest(path, expected: int) -> dict | None:
    """The state of a sums file, of this generation at least; None if there is neither a file nor a generation."""
    wait = 0.05
    begin = time.monotonic()
    while True:
        try:
            state = read_sealed(path, "sums")
        except FileMissingError:
            state = None
        found = 0 if state is None else state["generation"]
        if found >= expected:
            return state
        if time.monotonic() - begin > _STALE_SECONDS:
            break
        # Opened for a change and closed, the folder is looked up anew by most network file systems.
        # It may be somebody else's, or the file system may take no changes.
        with contextlib.suppress(OSError):
            os.utime(os.path.dirname(path))
        time.sleep(wait)
        wait *= 2
    if state is None:
        raise FileMissingError(
            f"{path} is gone, though {path}.lock says that it was written {expected} times. Put it back, or remove the "
            ".lock file too to begin anew."
        )
    raise FileFormatError(
        f"{path} is an older version than {path}.lock tells of (number {found}, not {expected}): a file system shows "
        "old content, or a backup was put back. Wait and try again; after putting back a backup, remove the .lock file."
    )


def read_current(path) -> NormalEquations:
    """The sums of one file, which must not be older than its lock file tells.

    Parameters
    ----------
    path : str or path-like
        The sums file, or its URL.

    Returns
    -------
    NormalEquations
    """
    real = path if is_url(path) else os.path.realpath(os.fspath(path))
    # The lock file before the sums: whoever writes changes it after them.
    expected = 0 if is_url(path) else _told_by_lock(real)
    if expected and os.path.exists(real) and (state := _read_newest(real, expected)) is not None:
        return NormalEquations.from_state(state)
    return NormalEquations.load(path)


@contextlib.contextmanager
def locked(path, lock: bool = True) -> Iterator[LockedSums]:
    """Hold the lock of a sums file, `path`.lock, which is made when missing and stays; or none, with `lock` False.

    Raises
    ------
    FileMissingError
        Its folder does not exist.
    FileWriteError
        The folder cannot be written to, or its file system has no locks.
    ParameterError
        `path` is a URL.
    """
    import portalocker

    refuse_added(path)
    # All links to one file have one lock.
    path = os.path.realpath(os.fspath(path))
    if not os.path.isdir(os.path.dirname(path)):
        raise FileMissingError(f"the folder of {path} does not exist. Create it first.")
    if not lock:
        yield LockedSums(path, None)
        return
    name = f"{path}.lock"
    while True:
        try:
            held = portalocker.Lock(name, "r+b", flags=portalocker.LockFlags.EXCLUSIVE, opener=_open_lock)
            handle = held.acquire()
            # Somebody may have removed the file while this waited, and others lock a new one now.
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(handle.fileno()).st_ino == os.lstat(name).st_ino:
                    break
            held.release()
        except portalocker.exceptions.LockException as error:
            raise FileWriteError(
                errno.ENOLCK,
                f"{name} cannot be locked, so that sums of several processes cannot meet in {path} ({error}). Where a "
                "file system has no locks, give each process a sums file of its own and lock=False (--no-lock), and "
                "solve or merge them all: solve('sums-*.h5').",
            ) from None
    try:
        yield LockedSums(path, handle)
    finally:
        held.release()


def _open_lock(name: str, flags: int) -> int:
    """Open a lock file, made when missing; never what a link leads to, which may be a file of somebody else."""
    try:
        # Without blocking, a named pipe opens at once and can be refused.
        lock = os.open(name, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileWriteError(
                error.errno,
                f"{name} must be a regular file of its own, or none yet; got a symbolic link, and what it leads to may "
                "be a file of somebody else. Remove the link, then start again.",
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


def add_to_file(path, sums: NormalEquations, lock: bool = True) -> NormalEquations:
    """Add sums to a file under its lock; the file is made when missing, and replaced whole.

    Parameters
    ----------
    path : str or path-like
        The sums file.
    sums : NormalEquations
        To add.
    lock : bool, default=True
        Whether to hold the lock, which not all file systems have; without, nobody else may write to the file.

    Returns
    -------
    NormalEquations
        What the file holds now.
    """
    with locked(path, lock) as file:
        held = file.read()
        sums = sums if held is None else held + sums
        file.write(sums)
    return sums


def subtract_from_file(path, sums: NormalEquations, lock: bool = True) -> NormalEquations:
    """Take sums out of a file under its lock; the file is replaced whole.

    Parameters
    ----------
    path : str or path-like
        The sums file.
    sums : NormalEquations
        To take away.
    lock : bool, default=True
        Whether to hold the lock.

    Returns
    -------
    NormalEquations
        What the file holds now.
    """
    with locked(path, lock) as file:
        held = file.read()
        if held is None:
            raise FileMissingError(f"{file.path}: no such file; there is nothing to take rows away from.")
        left = held - sums
        file.write(left)
    return left


def merge(sums, into=None, lock: bool = True) -> NormalEquations:
    """Add up the sums of several files, from scripts or sites that need not share rows or a disk.

    Parameters
    ----------
    sums : NormalEquations, str, path-like, or list of these
        Sums, sums files, globs.
    into : str or path-like, optional
        File to write the total to. A file that exists is only replaced if it is one of those added up.
    lock : bool, default=True
        Whether to hold the lock of `into`; False where the file system has none and nobody else writes to it.

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
    """Sums from wherever they are.

    Parameters
    ----------
    source : NormalEquations, str, path-like, or list of these
        Sums, a sums file, a glob of such files, or several of these, which are added up.

    Returns
    -------
    NormalEquations
    """
    return reduce(add, (sums for _, sums in each_sums(source)))


def each_sums(source) -> Iterator[tuple[str, NormalEquations]]:
    """The same one by one, not added up, each with a name: that of its file, or its number."""
    parts = [source] if isinstance(source, NormalEquations) else list(_parts(source))
    files = files_of(parts) if parts else []
    if twice := {path for path in files if files.count(path) > 1}:
        raise RowsCountedError(f"sums: every file must be named once; got {min(twice)} several times.")
    for i, part in enumerate(parts):
        yield (f"number {i}", part) if isinstance(part, NormalEquations) else (part, read_current(part))


def _parts(source) -> Iterator[NormalEquations | str]:
    """Sums and paths, globs resolved."""
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
    """Paths of the files among sums, globs resolved, links followed."""
    return [place_of(part) for part in _parts(source) if isinstance(part, str)]
