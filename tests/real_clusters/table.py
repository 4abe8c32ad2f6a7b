"""The table that is fitted in this folder, and the disk that workers read it from."""

import numpy as np

from daskelm import make_hdf5

N = 20_000
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 8))
Y = np.stack([np.sin(X[:, 0]) * X[:, 1], X[:, 2] ** 2], axis=1)

# Loaded by the workers as they start: their disk, which can be made slow, and counts what is read.
SLOW_DISK = """
import contextlib
import socket
import time

from daskelm.hdf5.reader import Hdf5Reader


def slowly(plain):
    def read(self, start, stop):
        # Unless the folder has vanished.
        with contextlib.suppress(OSError):
            with open(f"/srv/data/reads-{socket.gethostname()}", "a") as file:
                file.write(".")
            time.sleep(float(open("/srv/data/seconds").read()))
        return plain(self, start, stop)

    return read


# Dask loads it twice.
if Hdf5Reader.read.__module__ == "daskelm.hdf5.reader":
    Hdf5Reader.read = slowly(Hdf5Reader.read)
"""


def write(folder):
    """The table as two files, and the disk; slow it down by writing a number into the file `seconds`."""
    make_hdf5(X, folder / "X.h5")
    make_hdf5(Y, folder / "Y.h5")
    (folder / "slow_disk.py").write_text(SLOW_DISK)
    (folder / "seconds").write_text("0")
