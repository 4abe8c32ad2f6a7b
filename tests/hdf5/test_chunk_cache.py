"""Large packed chunks are unpacked once, and those that do not fit into memory are refused."""

import os
import re
import zlib
from pathlib import Path

import dask
import h5py
import numpy as np
import pytest
from layouts import RNG, D, N, X, write, y

from daskelm import ELMRegressor
from daskelm.hdf5 import dataset as hdf5_part
from daskelm.hdf5 import file_rows as hdf5
from daskelm.hdf5.rows import open_rows

pytestmark = pytest.mark.usefixtures("empty_folder")


def bytes_read():
    """Bytes that this process has read of files so far, each packed chunk anew when it is unpacked (Linux)."""
    return int(re.search(r"rchar: (\d+)", Path("/proc/self/io").read_text()).group(1))


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="asks Linux what was read")
@pytest.mark.parametrize("chunks", [(10_000, 8), (10_000, 1), (10_000, 3)])
@pytest.mark.parametrize("layout", ["plain", "virtual"])
def test_large_packed_chunks_are_unpacked_once(no_client, monkeypatch, layout, chunks):
    table = np.resize(RNG.standard_normal(79_999), (30_000, 8))
    write("x.h5", table, chunks=chunks, compression="gzip")
    size = os.path.getsize("x.h5")
    if layout == "virtual":
        mapped = h5py.VirtualLayout(table.shape, "f8")
        mapped[:] = h5py.VirtualSource("x.h5", "data", table.shape)
        with h5py.File("v.h5", "w") as file:
            file.create_virtual_dataset("data", mapped)
    rows = open_rows("x.h5" if layout == "plain" else "v.h5")
    assert rows.parts[0].cache_bytes >= 10_000 * 8 * 8
    before = bytes_read()
    with rows.open() as reader:
        for start, stop in rows.block_bounds(700):
            np.testing.assert_array_equal(reader.read(start, stop), table[start:stop])
    assert size * 0.9 < bytes_read() - before < 1.2 * size
    if layout == "virtual":
        return
    # One task has all of a chunk.
    assert len(rows.runs_of_blocks(700, 2000)) > 10
    monkeypatch.setattr(hdf5, "_SHARED_BYTES", 2**17)
    runs = rows.runs_of_blocks(700, 2000)
    assert runs == [(0, 10_000), (10_000, 20_000), (20_000, 30_000)]
    before = bytes_read()
    for run in runs:
        with rows.between(*run).open() as reader:
            for start, stop in rows.between(*run).block_bounds(700):
                reader.read(start, stop)
    assert size * 0.9 < bytes_read() - before < 1.2 * size


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="asks Linux what was read")
@pytest.mark.parametrize("chunks", [(100_000, 3), (100_000, 2)])
@pytest.mark.parametrize("way", ["side by side", "accumulate", "fit"])
def test_large_packed_chunks_are_unpacked_once_by_two_tasks_at_once(no_client, monkeypatch, way, chunks):
    """In one process HDF5 has one cache for a dataset that is open twice."""
    table = np.resize(RNG.standard_normal(79_999), (400_000, D))
    write("x.h5", table, chunks=chunks, compression="lzf", dtype=">f8")
    size, labels = os.path.getsize("x.h5"), table[:, 0]
    monkeypatch.setattr(hdf5, "_SHARED_BYTES", 2**17)
    rows = open_rows("x.h5")
    model = ELMRegressor(20, random_state=0).initialize(table)
    before = bytes_read()
    if way == "side by side":
        runs = [rows.between(start, start + 200_000) for start in (0, 200_000)]
        with runs[0].open() as one, runs[1].open() as two:
            for start in range(0, 200_000, 7_000):
                stop = min(start + 7_000, 200_000)
                np.testing.assert_array_equal(one.read(start, stop), table[start:stop])
                np.testing.assert_array_equal(two.read(start, stop), table[start + 200_000 : stop + 200_000])
    else:
        with dask.config.set(scheduler="threads", num_workers=2):
            model.accumulate("x.h5", labels) if way == "accumulate" else model.fit("x.h5", labels)
    # A pass, and a few rows in each of some chunks, which are looked at before.
    looks = {"side by side": 0, "accumulate": 1, "fit": 2}[way]
    assert size * 0.9 < bytes_read() - before < (1.2 + looks) * size


@pytest.mark.parametrize("compression", ["gzip", None])
def test_what_is_read_at_once_needs_no_cache(monkeypatch, compression):
    write("x.h5", X, chunks=(100, 1), compression=compression)
    caches = []
    real = hdf5_part.opened
    monkeypatch.setattr(hdf5_part, "opened", lambda *args, **options: caches.append(options) or real(*args, **options))
    kept = []
    keep = hdf5_part.CompressedChunks
    monkeypatch.setattr(hdf5_part, "CompressedChunks", lambda dataset: kept.append(dataset) or keep(dataset))
    rows = open_rows("x.h5")
    np.testing.assert_array_equal(rows.read(50, 550), X[50:550])
    rows.read_runs([(0, 50), (50, 100)])
    # Of packed chunks, HDF5 keeps nothing in any case.
    assert [options["rdcc_nbytes"] for options in caches] == [0, 0 if compression else 2**20]
    assert len(kept) == bool(compression)


def test_chunks_that_do_not_fit_are_refused_with_the_way_out(no_client, monkeypatch):
    with h5py.File("x.h5", "w") as file:
        data = file.create_dataset("data", (N, D), "f8", maxshape=(None, D), chunks=(5_000_000, D), compression="gzip")
        data.id.write_direct_chunk((0, 0), zlib.compress(bytes(5_000_000 * D * 8), 1))
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 512 * 2**20)
    model = ELMRegressor(5, random_state=0).initialize(X)
    with pytest.raises(MemoryError, match=r"has 0\.50 GiB\..* holds 0\.34 GiB of input: rechunk .*to_hdf5\(from_hdf5"):
        model.accumulate("x.h5", y)
