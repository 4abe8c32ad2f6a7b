"""Ranges of a URL are fetched without HDF5's lock: other threads use HDF5 meanwhile, and garbage is collected."""

import asyncio
import gc
import threading

import h5py
import numpy as np
import s3fs
from object_store import D, N, X, put, write

from daskelm.hdf5.rows import open_rows


def in_a_thread(function):
    """What a function gives in another thread; a failure if it is not done in a minute."""
    done = []
    thread = threading.Thread(target=lambda: done.append(function()), daemon=True)
    thread.start()
    thread.join(60)
    assert done, "it waits for HDF5's lock"
    return done[0]


def test_other_threads_use_hdf5_while_a_range_is_fetched(on_fetch):
    url, set_happens = on_fetch
    read = []

    def use_hdf5():
        with h5py.File("X.h5") as file:
            read.append(file["data"][5, 0])

    set_happens(staticmethod(lambda: in_a_thread(use_hdf5)))
    np.testing.assert_array_equal(open_rows(url).read(0, N), X)
    assert set(read) == {X[5, 0]}
    assert len(read) > 3


def make_cycle():
    """Garbage that only the collector frees, with an open file in it."""
    cycle = {"file": h5py.File("X.h5")}
    cycle["self"] = cycle


def test_garbage_with_hdf5_objects_is_collected_while_a_range_is_fetched(on_fetch):
    url, set_happens = on_fetch

    def collect():
        make_cycle()
        return gc.collect()

    set_happens(staticmethod(lambda: in_a_thread(collect)))
    np.testing.assert_array_equal(open_rows(url).read(0, N), X)


def test_garbage_is_collected_in_the_thread_that_fetches_from_s3(s3, monkeypatch):
    url = put(s3, write("X.h5", chunks=(1000, D)))
    original, threads = s3fs.S3FileSystem._cat_file, set()

    async def collect(self, path, **options):
        make_cycle()
        await asyncio.sleep(0)
        gc.collect()
        threads.add(threading.current_thread())
        return await original(self, path, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_cat_file", collect)
    np.testing.assert_array_equal(in_a_thread(lambda: open_rows(url).read(0, N)), X)
    assert threads
    assert threading.main_thread() not in threads
