"""Data files whose bytes were changed: errors of h5py are one error that names the file, and what was read of it."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from daskelm import from_hdf5
from daskelm.exceptions import FileFormatError

FULL = os.environ.get("DASKELM_CAMPAIGN") == "full"
N_FILES = 4000 if FULL else 40
# In a process of its own, since HDF5 itself dies of some files. It says which file it reads.
MUTATIONS = """
import sys, warnings
import numpy as np
from daskelm.cli.info import describe
from daskelm.exceptions import DaskelmError
from daskelm.hdf5.rows import open_rows

warnings.simplefilter("ignore")
whole = open("X.h5", "rb").read()
for seed in range(int(sys.argv[1]), int(sys.argv[2])):
    print(seed, flush=True)
    rng = np.random.default_rng(seed)
    data = bytearray(whole)
    for _ in range(rng.integers(1, 5)):
        # Most of what HDF5 looks up is in the first bytes.
        data[rng.integers(0, min(len(data), 4000) if rng.random() < 0.8 else len(data))] = rng.integers(0, 256)
    open("m.h5", "wb").write(data)
    for call in (
        lambda: open_rows("m.h5").read(0, 10),
        lambda: open_rows("m.h5", "g/data").read(0, 200),
        lambda: open_rows("m.h5", "words").read(0, 5),
        lambda: open_rows("m.h5", "link").read(0, 5),
        lambda: describe("m.h5"),
    ):
        try:
            call()
        except DaskelmError as error:
            assert "m.h5" in str(error), error
"""


def write(layout):
    latest = layout == "latest"
    options = {"chunks": (50, 4), "compression": "gzip", "shuffle": True} if layout == "gzip" else {}
    with h5py.File("X.h5", "w", libver="latest" if latest else None, track_order=latest) as file:
        file.create_dataset("g/data", data=np.random.default_rng(0).standard_normal((200, 4)), **options)
        file["words"] = ["a", "b"] * 50
        file["v"] = np.arange(200.0)
        file["g/data"].attrs["units"] = "m"
        file["link"] = h5py.SoftLink("/g/data")


@pytest.mark.parametrize("layout", ["plain", "gzip", "latest"])
def test_errors_of_changed_bytes_name_the_file(empty_folder, layout):
    write(layout)
    seed, n_deaths = 0, 0
    while seed < N_FILES:
        command = [sys.executable, "-c", MUTATIONS, str(seed), str(N_FILES)]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        last = int(done.stdout.split()[-1])
        # A process that a signal ended died in HDF5.
        assert done.returncode <= 0, f"file {last}: {done.stderr[-3000:]}"
        n_deaths += done.returncode < 0
        seed = last + 1
    assert n_deaths <= N_FILES // 100


def test_a_damaged_list_of_datasets_names_the_file(empty_folder):
    write("latest")
    data = bytearray(open_bytes("X.h5"))
    place = data.index(b"OHDR", 100)
    data[place : place + 4] = b"XXXX"
    with open("X.h5", "wb") as file:
        file.write(data)
    with pytest.raises(FileFormatError, match=r"X\.h5: its list of datasets cannot be read; the file is .* damaged \("):
        from_hdf5("X.h5")
    with pytest.raises(FileFormatError, match=r"X\.h5: the description of 'g/data' cannot be read"):
        from_hdf5("X.h5", dataset="g/data")


def open_bytes(path):
    with open(path, "rb") as file:
        return file.read()
