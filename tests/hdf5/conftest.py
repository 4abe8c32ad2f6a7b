"""Folders to work in, and object storage.

What only tests of object storage use is imported in their fixtures: it takes seconds.
"""

import os
from functools import partial

import pytest


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def unsynced_folder(empty_folder, monkeypatch):
    """An empty folder, on a disk that is not waited for: a thousand tests would wait for it three times each."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(scope="session")
def server():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3(server, monkeypatch, tmp_path):
    """The file system of an empty bucket "bucket", in an empty folder; settings as from the environment."""
    import fsspec
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": server})
    monkeypatch.chdir(tmp_path)
    fs = fsspec.filesystem("s3")
    if fs.exists("bucket"):
        fs.rm("bucket", recursive=True)
    fs.mkdir("bucket")
    yield fs
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def workers(client, s3):
    """A client whose workers have the settings of this process; as their environment would give them."""
    import fsspec
    from object_store import configure

    here = {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
    before = client.run(configure, dict(fsspec.config.conf), here)
    yield client
    for worker, was in before.items():
        client.run(configure, *was, workers=[worker])


@pytest.fixture
def on_fetch(tmp_path, monkeypatch):
    """URL of X where ranges are given when a function was called, and how to set that."""
    import fsspec
    from fsspec.implementations.memory import MemoryFileSystem
    from object_store import D, OnFetch, write

    monkeypatch.chdir(tmp_path)
    fsspec.register_implementation("onfetch", OnFetch, clobber=True)
    write("X.h5", chunks=(100, D))
    fsspec.filesystem("onfetch").put("X.h5", "/X.h5")
    yield "onfetch://X.h5", partial(monkeypatch.setattr, OnFetch, "happens")
    MemoryFileSystem.store.clear()
