"""The wait for a lock file that another process holds: reported after seconds, and ended after those that are given."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import time
import warnings
from pathlib import Path
from typing import IO

from ..exceptions import FileWriteError, LockWaitWarning, ParameterError

__all__ = ["acquire", "seconds_of"]

# Seconds of a wait that is reported, and the least and the most between two attempts.
_REPORTED_SECONDS = 10.0
_LEAST_PAUSE, _MOST_PAUSE = 0.01, 0.25


def seconds_of(lock: bool | float) -> float | None:
    """Longest wait for a lock in seconds, by the parameter `lock`: None where it has no end."""
    if isinstance(lock, bool):
        return None
    if not isinstance(lock, int | float) or not lock >= 0:
        raise ParameterError(f"lock must be True, False, or seconds to wait for the lock, 0 or more; got {lock!r}.")
    return float(lock)


def acquire(file: IO[bytes], seconds: float | None) -> None:
    """Lock an open lock file.

    Parameters
    ----------
    file : file
        The lock file.
    seconds : float, optional
        Longest wait; without end if not given.

    Raises
    ------
    FileWriteError
        The file was locked for too long.

    Warns
    -----
    LockWaitWarning
        The file has been locked for ten seconds.
    """
    import portalocker

    begin, pause, reported = time.monotonic(), _LEAST_PAUSE, False
    while True:
        try:
            portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
            return
        except portalocker.exceptions.AlreadyLocked:
            waited = time.monotonic() - begin
        if seconds is not None and waited >= seconds:
            raise FileWriteError(
                f"{file.name} must be free within {seconds:g} s; process {os.getpid()} on {socket.gethostname()} has "
                f"waited for it, and {_holder(file)} holds it. End that process if it hangs, or wait longer."
            )
        if not reported and waited >= _REPORTED_SECONDS:
            reported = True
            warnings.warn(
                f"process {os.getpid()} on {socket.gethostname()} has waited {_REPORTED_SECONDS:g} s for {file.name}, "
                f"which {_holder(file)} holds, and goes on waiting. End that process if it hangs; a number of seconds "
                "as lock (--lock-timeout) limits the wait.",
                LockWaitWarning,
                stacklevel=2,
            )
        # Pauses differ, so that processes that began together do not try together.
        time.sleep(pause * random.uniform(0.5, 1))
        pause = min(2 * pause, _MOST_PAUSE)


def _holder(file):
    """The process that holds a lock, where Linux knows it: one on this machine."""
    with contextlib.suppress(OSError):
        inode = os.fstat(file.fileno()).st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if len(fields) > 5 and fields[1] != "->" and fields[5].endswith(f":{inode}"):
                return f"process {fields[4]} on this machine"
    return "another process"
