"""HDF5 writes through a file of our own: what a disk refuses is one error, and all layouts read back the same."""

import os
import subprocess
import sys

import dask.array as da
import h5py
import numpy as np
import pytest
from written_files import NEW, REGRESSOR, TABLE, D, contents, data, sums

from daskelm import from_hdf5, to_hdf5
from daskelm.exceptions import FileWriteError

pytestmark = pytest.mark.usefixtures("unsynced_folder")
FULL_DISK = """
import gc, os, resource, signal
import dask.array as da, numpy as np
from daskelm import make_hdf5, to_hdf5
from daskelm.exceptions import FileWriteError
from daskelm.hpelm import modules

os.fsync = lambda handle: None
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
table = np.random.default_rng(0).random((2000, 20))
old = make_hdf5(table[:10], "old.h5")
make_hdf5(table, "own.h5")
before, own = (open(name, "rb").read() for name in ("old.h5", "own.h5"))
whole = len(own)
calls = {
    "make_hdf5": lambda: make_hdf5(table, "old.h5"),
    "chunks": lambda: to_hdf5(da.from_array(table, chunks=(100, 20)), "old.h5"),
    "zeros": lambda: make_hdf5((2000, 20), "old.h5", compression="gzip"),
    "normalize_hdf5": lambda: modules.normalize_hdf5("own.h5"),
}
for name in calls:
    failed = 0
    for limit in [1, 600, 2100, 4000, *range(9000, whole, whole // 6), whole - 1]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            calls[name]()
        except FileWriteError as error:
            failed += 1
            assert "cannot be written: File too large. The file that is there is as it was" in str(error), error
            assert open("old.h5", "rb").read() == before
            assert open("own.h5", "rb").read() == own
        else:
            assert name == "zeros", limit
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        gc.collect()
        assert not [name for name in os.listdir() if name.endswith(".tmp")]
        make_hdf5(table[:10], "old.h5", overwrite=True)
    print(name, failed)
"""


def test_a_disk_that_takes_no_more_is_one_error_and_keeps_the_file():
    """At every size: HDF5 fails in its writes or at closing, and must not end the process either."""
    done = subprocess.run([sys.executable, "-c", FULL_DISK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    failed = dict(line.split() for line in done.stdout.splitlines())
    assert list(failed) == ["make_hdf5", "chunks", "zeros", "normalize_hdf5"]
    # Chunks that were never written take no space.
    assert all(int(n) >= (1 if name == "zeros" else 3) for name, n in failed.items()), failed


def test_a_disk_that_fails_at_the_sync_is_told_by_the_name_of_the_file(monkeypatch):
    data("out.h5")
    before = contents()

    def broken(handle):
        raise OSError(5, "Input/output error")

    for write in (lambda: data("out.h5"), lambda: REGRESSOR.save("m.h5"), lambda: sums("s.h5")):
        with monkeypatch.context() as patch:
            patch.setattr("daskelm.hdf5.atomic.os.fsync", broken)
            with pytest.raises(FileWriteError, match=r"\.h5 cannot be written: Input/output error"):
                write()
    assert contents() == before


def test_a_folder_that_cannot_be_synced_is_told_after_the_rename(monkeypatch):
    calls = []

    def broken_the_second_time(handle):
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("daskelm.hdf5.atomic.os.fsync", broken_the_second_time)
    with pytest.raises(FileWriteError, match=r"out\.h5 was written whole, but its folder cannot be synced: No space"):
        data("out.h5")
    assert np.asarray(from_hdf5("out.h5")).tolist() == NEW.tolist()


def test_an_error_of_the_source_is_not_told_as_one_of_the_target():
    def broken(block):
        if block.size:
            raise OSError(5, "Input/output error", "somewhere-else.h5")
        return block

    X = da.from_array(TABLE, chunks=(20, D)).map_blocks(broken, meta=np.empty((0, 0)))
    with pytest.raises(OSError, match=r"somewhere-else\.h5") as caught:
        to_hdf5(X, "out.h5")
    assert not isinstance(caught.value, FileWriteError)
    assert os.listdir() == []


def test_what_is_written_reads_the_same_with_every_layout():
    """The file under HDF5 is our own: read back, resized, compressed, in groups."""
    table = np.random.default_rng(1).random((5000, 40))
    for compression in (None, "gzip", "lzf"):
        to_hdf5(da.from_array(table, chunks=(777, 13)), "out.h5", "in/side", compression=compression, overwrite=True)
        assert np.asarray(from_hdf5("out.h5")).tobytes() == table.tobytes()
        with h5py.File("out.h5") as file:
            assert file.attrs["daskelm"] == "data"
