"""HDF5 in object storage: the same numbers as from a local copy, in few bytes, without HDF5's lock while they come."""

import asyncio
import gc
import http.server
import json
import os
import pickle
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import dask
import fsspec
import h5py
import numpy as np
import pytest
import s3fs
from click.testing import CliRunner
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry, known_implementations
from moto.server import ThreadedMotoServer
from test_docs import blocks

from daskelm import ELMClassifier, ELMRegressor, NormalEquations, from_hdf5, load, make_hdf5, merge, to_hdf5
from daskelm.cli import cli
from daskelm.exceptions import (
    DataError,
    FileAccessError,
    FileFormatError,
    FileMissingError,
    InsufficientMemoryError,
    MissingExtraError,
    ParameterError,
    RowsCountedError,
)
from daskelm.hdf5 import remote as remote_files
from daskelm.hdf5 import remote_rows
from daskelm.hdf5.rows import open_rows
from daskelm.hpelm import HPELM

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guide" / "object_storage.md"
N, D = 4000, 6
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D))
T = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], axis=1)
# Of h5py.
LAYOUTS = {
    "chunks": {"chunks": (100, D)},
    "blocks": {"chunks": (130, 4)},
    "tall": {"chunks": (3000, D)},
    "gzip": {"chunks": (100, D), "compression": "gzip", "shuffle": True},
    "contiguous": {},
    "big-endian": {"chunks": (70, D), "dtype": ">f8"},
    "single": {"chunks": (256, D), "dtype": "f4"},
}


@pytest.fixture(scope="module")
def server():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3(server, monkeypatch, tmp_path):
    """The file system of an empty bucket "bucket", in an empty folder; settings as from the environment."""
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


def _configure(settings, environment):
    before = dict(fsspec.config.conf), {name: os.environ.get(name) for name in environment}
    fsspec.config.conf.clear()
    fsspec.config.conf.update(settings)
    for name, value in environment.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    return before


@pytest.fixture
def workers(client, s3):
    """A client whose workers have the settings of this process; as their environment would give them."""
    here = {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
    before = client.run(_configure, dict(fsspec.config.conf), here)
    yield client
    for worker, was in before.items():
        client.run(_configure, *was, workers=[worker])


def write(path, data=X, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=data, **options)
    return path


def put(fs, path, key=None):
    url = f"s3://bucket/{key or path}"
    fs.put(str(path), url.removeprefix("s3://"))
    return url


@contextmanager
def counted(monkeypatch):
    """The ranges that S3 was asked for meanwhile, and the bytes that it sent."""
    sent, original = [], s3fs.S3FileSystem._cat_file

    async def count(self, path, **options):
        data = await original(self, path, **options)
        sent.append(len(data))
        return data

    with monkeypatch.context() as patch:
        patch.setattr(s3fs.S3FileSystem, "_cat_file", count)
        yield sent


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_are_those_of_a_local_copy(s3, layout, monkeypatch):
    url = put(s3, write("X.h5", **LAYOUTS[layout]))
    local, lazy = from_hdf5("X.h5", chunks=300), from_hdf5(url, chunks=300)
    assert lazy.chunks == local.chunks
    assert lazy.dtype == local.dtype
    np.testing.assert_array_equal(lazy.compute(), local.compute())
    np.testing.assert_array_equal(from_hdf5(url, rows=slice(1234, 2345)).compute(), local[1234:2345].compute())
    # Windows that are smaller than a chunk, and such that hold a part of what is read.
    fsspec.filesystem("memory").put("X.h5", "/X.h5")
    for window in (1, 3 * 2**10, 2**16):
        monkeypatch.setattr(remote_rows, "_WINDOW_BYTES", window)
        np.testing.assert_array_equal(open_rows("memory://X.h5").read(50, N - 3), local[50 : N - 3].compute())
    MemoryFileSystem.store.clear()


@pytest.mark.parametrize("page", [512, 3000, 2**16])
def test_any_order_of_reads_gives_the_same(s3, page, monkeypatch):
    monkeypatch.setattr(remote_files, "PAGE_BYTES", page)
    monkeypatch.setattr(remote_rows, "_WINDOW_BYTES", 20_000)
    urls = [put(s3, write(f"X-{i}.h5", X[part], chunks=(37, D))) for i, part in enumerate(np.split(np.arange(N), 4))]
    rows = open_rows(urls)
    with rows.open(reuse=True) as reader:
        for start in [0, 500, 100, 1001, 999, 3990, 0]:
            np.testing.assert_array_equal(reader.read(start, start + 10), X[start : start + 10])
        for start in range(0, N, 321):
            np.testing.assert_array_equal(reader.read(start, min(start + 321, N)), X[start : start + 321])
    runs = [(0, 5), (7, 8), (990, 1010), (2000, 3999)]
    for (start, stop), block in zip(runs, rows.read_runs(runs), strict=True):
        np.testing.assert_array_equal(block, X[start:stop])


def test_files_with_a_user_block_or_without_any_rows_are_read(s3):
    write("empty.h5", np.empty((0, 3)), chunks=(10, 3), maxshape=(None, 3))
    assert from_hdf5(put(s3, "empty.h5")).compute().shape == (0, 3)
    with h5py.File("user.h5", "w", userblock_size=1024) as file:
        file["data"] = X
        file.create_dataset("never-written", (50, 2), "f8", chunks=(10, 2))
        file.create_dataset("nothing", (50, 2), "f8")
    with h5py.File("paged.h5", "w", fs_strategy="page", fs_page_size=2**17) as file:
        file.create_dataset("data", data=X, chunks=(100, D))
    np.testing.assert_array_equal(from_hdf5(put(s3, "paged.h5")).compute(), X)
    url = put(s3, "user.h5")
    np.testing.assert_array_equal(from_hdf5(url, dataset="data").compute(), X)
    for name in ("never-written", "nothing"):
        with pytest.raises(FileFormatError, match=f"user.h5: rows 0 to .* of '/{name}' were never written"):
            from_hdf5(url, dataset=name).compute()


def test_globs_and_lists_are_one_table_in_the_natural_order(s3):
    for i, part in enumerate(np.split(X, 20)):
        put(s3, write(f"X-{i}.h5", part, chunks=(50, D)), f"year/X-{i}.h5")
    from_glob = from_hdf5("s3://bucket/year/X-*.h5")
    np.testing.assert_array_equal(from_glob.compute(), X)
    assert open_rows("s3://bucket/year/X-*.h5").paths == [f"s3://bucket/year/X-{i}.h5" for i in range(20)]
    np.testing.assert_array_equal(from_hdf5(["s3://bucket/year/X-1[01].h5", "X-0.h5"]).compute()[400:], X[:200])


@pytest.mark.parametrize("on", ["threads", "workers"])
def test_a_model_of_urls_is_that_of_files(s3, on, request):
    if on == "workers":
        request.getfixturevalue("workers")
    write("X.h5", chunks=(200, D), compression="gzip")
    write("T.h5", T)
    url, of_T = put(s3, "X.h5"), put(s3, "T.h5")
    with dask.config.set(scheduler=None):
        local = ELMRegressor(20, random_state=0).fit("X.h5", "T.h5")
        remote = ELMRegressor(20, random_state=0).fit(url, of_T)
        np.testing.assert_array_equal(remote.hidden_layer_.groups[0].W, local.hidden_layer_.groups[0].W)
        if on == "threads":
            np.testing.assert_array_equal(remote.coef_, local.coef_)
        np.testing.assert_allclose(remote.coef_, local.coef_, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(remote.predict(url).compute(), remote.predict("X.h5").compute())
        assert remote.score(url, of_T) == remote.score("X.h5", "T.h5")
        remote.predict(url, out="Y.h5")
        np.testing.assert_array_equal(from_hdf5("Y.h5").compute(), remote.predict(X))
        curve = ELMRegressor(20, random_state=0).fit(url, of_T, callback=lambda point: None)
        np.testing.assert_allclose(curve.coef_, local.coef_, rtol=1e-9, atol=1e-9)


def test_rows_count_once_wherever_they_were_read(s3):
    write("X.h5", chunks=(200, D))
    url = put(s3, "X.h5")
    model = ELMRegressor(20, random_state=0).initialize("X.h5")
    model.accumulate(url, T, rows=slice(0, 3000), into="sums.h5")
    model.accumulate("X.h5", T, into="sums.h5")
    sums = NormalEquations.load("sums.h5")
    assert sums.n_samples == N
    [source] = sums.ledger.sources.values()
    assert source.paths == {f"{url}:/data", f"{Path('X.h5').resolve()}:/data"}
    with pytest.raises(DataError, match="every row must count once"):
        model.accumulate([url, "X.h5"], np.concatenate([T, T]), into="twice.h5")
    # What changed at its place is an error there too.
    put(s3, write("other.h5", np.concatenate([X[:100], X[100:] + 1]), chunks=(200, D)), "X.h5")
    with pytest.raises(DataError, match="read otherwise now"):
        model.accumulate(url, T, into="sums.h5")


def test_few_rows_of_a_large_file_take_few_bytes(s3, monkeypatch):
    large = RNG.standard_normal((400_000, 10))
    path = write("large.h5", large, chunks=(13_107, 10))
    url = put(s3, path)
    with counted(monkeypatch) as sent:
        rows = from_hdf5(url, rows=slice(200_000, 200_100)).compute()
    np.testing.assert_array_equal(rows, large[200_000:200_100])
    assert sum(sent) < 2 * 2**20 < os.path.getsize(path) / 10
    with counted(monkeypatch) as sent:
        np.testing.assert_array_equal(from_hdf5(url, chunks=-1).compute(), large)
    # Headers, the index and the page at the end of the window; the data once, in few requests side by side.
    assert sum(sent) < os.path.getsize(path) + 2**20
    assert len(sent) < 20
    # Rows at many places, together.
    with counted(monkeypatch) as sent:
        blocks = open_rows(url).read_runs([(i * 10_000, i * 10_000 + 2) for i in range(40)])
    np.testing.assert_array_equal(np.concatenate(blocks), large.reshape(40, 10_000, 10)[:, :2].reshape(-1, 10))


@contextmanager
def fetches(monkeypatch):
    """Bytes of each round of requests meanwhile."""
    rounds, fetch = [], remote_files.RemoteFile._ranges

    def note(self, starts, stops):
        if starts:
            rounds.append(sum(stops) - sum(starts))
        return fetch(self, starts, stops)

    with monkeypatch.context() as patch:
        patch.setattr(remote_files.RemoteFile, "_ranges", note)
        yield rounds


@pytest.mark.parametrize("layout", [{}, {"chunks": (9_999, 5)}, {"chunks": (9_999, 10), "compression": "gzip"}])
def test_who_reads_on_has_the_next_rows_already(monkeypatch, tmp_path, layout):
    monkeypatch.setattr(remote_rows, "_WINDOW_BYTES", 2**20)
    path = write(tmp_path / "X.h5", RNG.standard_normal((100_000, 10)), **layout)
    fsspec.filesystem("memory").put(str(path), "/X.h5")
    size, rows = os.path.getsize(path), open_rows("memory://X.h5")
    with fetches(monkeypatch) as rounds, rows.open() as reader:
        for start in range(0, 100_000, 500):
            reader.read(start, start + 500)
    # A window has a part of a page at each end that the next one has too.
    assert sum(rounds) < size + 25 * 2**16
    assert len(rounds) <= 20
    # Who jumps about has what was asked for, and no more than its chunks.
    with fetches(monkeypatch) as rounds, rows.open() as reader:
        for start in (50_000, 20_000, 80_000):
            reader.read(start, start + 10)
    chunk = 9_999 * 80 if layout else 0
    assert sum(rounds) < 3 * chunk + 12 * 2**16
    # Many places at once are as many rounds as the window has room for.
    with fetches(monkeypatch) as rounds:
        rows.read_runs([(start, start + 10) for start in range(0, 100_000, 1000)])
    assert max(rounds) < 2 * 2**20 + chunk
    assert len(rounds) <= 20
    MemoryFileSystem.store.clear()


def test_what_was_listed_is_looked_at_anew(s3):
    url = put(s3, write("X.h5", chunks=(100, D)))
    assert open_rows("s3://bucket/*.h5").n_rows == N
    s3.ls("bucket")
    # From elsewhere, so that this process's list stays as it was.
    other = s3fs.S3FileSystem(skip_instance_cache=True, endpoint_url=s3.endpoint_url)
    other.put(write("X.h5", X[:1000], chunks=(100, D)), "bucket/X.h5")
    other.put("X.h5", "bucket/X-2.h5")
    assert open_rows(url).n_rows == 1000
    assert open_rows("s3://bucket/*.h5").n_rows == 2000


def test_an_index_of_many_chunks_is_not_read_whole(s3, monkeypatch):
    monkeypatch.setattr(remote_files, "PAGE_BYTES", 4096)
    path = write("many.h5", np.arange(60_000.0).reshape(-1, 2), chunks=(4, 2))
    url = put(s3, path)
    with fetches(monkeypatch) as rounds:
        block = open_rows(url).read(20_000, 20_050)
    np.testing.assert_array_equal(block[:, 0], np.arange(40_000, 40_100, 2))
    # Describing, opening, a level of the index each, the chunks.
    assert len(rounds) <= 10
    with counted(monkeypatch) as sent:
        open_rows(url).read(20_000, 20_050)
    assert sum(sent) < os.path.getsize(path) / 5


def test_what_travels_holds_no_settings(s3, server):
    rows = open_rows(put(s3, write("X.h5")))
    for thing in (rows, from_hdf5(rows), ELMRegressor(5, random_state=0).fit(X, T).predict(rows)):
        pickled = pickle.dumps(thing)
        assert not any(secret.encode() in pickled for secret in (server, "testing"))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(rows)).read(0, N), X)


def test_what_is_held_is_projected(s3, monkeypatch):
    [part] = open_rows(put(s3, write("X.h5", RNG.standard_normal((400_000, 20)), chunks=(5000, 20)))).parts
    assert 2 * 32 * 2**20 < part.fetched_bytes < 3 * 32 * 2**20
    assert open_rows("X.h5").parts[0].fetched_bytes == 0
    held = []
    fetch = remote_files.RemoteFile.fetch
    monkeypatch.setattr(
        remote_files.RemoteFile,
        "fetch",
        lambda self, pages: (fetch(self, pages), held.append(sum(map(len, self._pages.values()))))[0],
    )
    open_rows(part.path).read(0, 400_000)
    assert max(held) < part.fetched_bytes / 2
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 300 * 2**20)
    y = np.zeros(400_000)
    with pytest.raises(InsufficientMemoryError, match="This process needs"), dask.config.set(num_workers=1):
        ELMRegressor(20, random_state=0).initialize("X.h5").accumulate(part.path, y)
    with dask.config.set(num_workers=1):
        ELMRegressor(20, random_state=0).initialize("X.h5").accumulate("X.h5", y)


# The lock.


class _OnFetch(MemoryFileSystem):
    """Files in memory; before each range is given, something happens."""

    protocol = "onfetch"
    happens = staticmethod(lambda: None)

    @classmethod
    def _strip_protocol(cls, path):
        return "/" + path.removeprefix("onfetch://").lstrip("/")

    def cat_file(self, path, start=None, end=None, **options):
        type(self).happens()
        return super().cat_file(path, start, end, **options)


@pytest.fixture
def on_fetch(tmp_path, monkeypatch):
    """URL of X where ranges are given when a function was called, and how to set that."""
    monkeypatch.chdir(tmp_path)
    fsspec.register_implementation("onfetch", _OnFetch, clobber=True)
    write("X.h5", chunks=(100, D))
    fsspec.filesystem("onfetch").put("X.h5", "/X.h5")
    yield "onfetch://X.h5", partial(monkeypatch.setattr, _OnFetch, "happens")
    MemoryFileSystem.store.clear()


def in_a_thread(function):
    """What a function gives in another thread; a failure if it is not done in half a minute."""
    done = []
    thread = threading.Thread(target=lambda: done.append(function()), daemon=True)
    thread.start()
    thread.join(30)
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
    url = put(s3, write("X.h5", chunks=(100, D)))
    original, threads = s3fs.S3FileSystem._cat_file, set()

    async def collect(self, path, **options):
        make_cycle()
        await asyncio.sleep(0.01)
        gc.collect()
        threads.add(threading.current_thread())
        return await original(self, path, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_cat_file", collect)
    np.testing.assert_array_equal(in_a_thread(lambda: open_rows(url).read(0, N)), X)
    assert threads
    assert threading.main_thread() not in threads


# What can go wrong.


def test_a_look_up_all_over_the_file_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(remote_files, "PAGE_BYTES", 512)
    monkeypatch.setattr(remote_files, "_MOST_LOOKED_UP", 20_000)
    with h5py.File(tmp_path / "X.h5", "w") as file:
        for i in range(50):
            file[f"data{i}"] = np.arange(1000.0)
    fsspec.filesystem("memory").put(str(tmp_path / "X.h5"), "/X.h5")
    with pytest.raises(FileFormatError, match="lies in too many places of the file.*Name the dataset.*h5repack"):
        from_hdf5("memory://X.h5")
    np.testing.assert_array_equal(from_hdf5("memory://X.h5", dataset="data7").compute(), np.arange(1000.0))
    MemoryFileSystem.store.clear()


def test_missing_files_and_buckets_are_told(s3):
    for url in ("s3://bucket/none.h5", "s3://no-bucket/X.h5"):
        with pytest.raises(FileMissingError, match=f"{url}: no such file or bucket"):
            from_hdf5(url)
    with pytest.raises(FileMissingError, match="no file matches this pattern"):
        from_hdf5("s3://bucket/X-*.h5")
    put(s3, write("X.h5"), "folder/X.h5")
    with pytest.raises(FileFormatError, match="s3://bucket/folder is a folder"):
        from_hdf5("s3://bucket/folder")


def test_files_that_are_not_hdf5_are_told(s3):
    Path("text.h5").write_text("1 2 3\n" * 1000)
    Path("empty.h5").write_bytes(b"")
    data = Path(write("X.h5")).read_bytes()
    Path("short.h5").write_bytes(data[: len(data) // 2])
    for name in ("text.h5", "empty.h5", "short.h5"):
        with pytest.raises(FileFormatError, match=f"s3://bucket/{name} cannot be read as HDF5: it is truncated"):
            from_hdf5(put(s3, name))


def test_damaged_rows_are_told(s3):
    write("X.h5", chunks=(1000, D), compression="gzip", fletcher32=True)
    data = bytearray(Path("X.h5").read_bytes())
    data[-3000:-2000] = bytes(1000)
    Path("X.h5").write_bytes(data)
    with pytest.raises(FileFormatError, match="rows .* of '/data' cannot be read; the file is truncated or damaged"):
        from_hdf5(put(s3, "X.h5")).compute()


def test_numbers_that_lie_in_other_files_are_refused(s3):
    write("X.h5")
    with h5py.File("links.h5", "w") as file:
        file["external"] = h5py.ExternalLink("X.h5", "/data")
        layout = h5py.VirtualLayout((N, D), "f8")
        layout[:] = h5py.VirtualSource("X.h5", "data", (N, D))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("raw", (10, 2), "f8", external=[("raw.bin", 0, 160)])
        file["data"] = X
        file["soft"] = h5py.SoftLink("/data")
    url = put(s3, "links.h5")
    for name in ("external", "virtual", "raw"):
        with pytest.raises(FileFormatError, match="must lie in this file itself"):
            from_hdf5(url, dataset=name)
    np.testing.assert_array_equal(from_hdf5(url, dataset="soft").compute(), X)


def test_an_object_that_changes_while_it_is_in_use_is_told(s3):
    url = put(s3, write("X.h5", chunks=(100, D)))
    lazy, rows = from_hdf5(url, chunks=1000), open_rows(url)
    put(s3, write("X.h5", X + 1, chunks=(100, D)))
    with pytest.raises(FileFormatError, match="X.h5 changed while it was in use: .* got another version of the file"):
        lazy.compute()
    assert from_hdf5(url).name != lazy.name
    assert rows.parts[0].modified != open_rows(url).parts[0].modified


def read_around(url, change, start):
    """Read rows, change the object, and read others."""
    with open_rows(url).open() as reader:
        reader.read(0, 10)
        change()
        reader.read(start, start + 10)


def test_an_object_that_changes_after_it_was_opened_is_told(s3, monkeypatch):
    url = put(s3, write("X.h5", chunks=(100, D)))
    # With the same layout, so that nothing fails by itself.
    with pytest.raises(FileFormatError, match="changed while it was in use"):
        read_around(url, lambda: put(s3, write("X.h5", X + 2, chunks=(100, D))), 2000)
    # An error of the caller's own is not hidden by another one.
    with pytest.raises(RuntimeError, match="own"):
        read_around(url, lambda: (put(s3, write("X.h5", X + 3, chunks=(100, D))), fail()), 0)
    monkeypatch.setattr(remote_rows, "_WINDOW_BYTES", 2**16)
    with pytest.raises((FileFormatError, FileAccessError), match="X.h5"):
        read_around(url, lambda: put(s3, write("X.h5", X[:300], chunks=(100, D))), 3000)


def fail():
    raise RuntimeError("own")


def test_servers_that_cannot_be_reached_are_told(s3, monkeypatch):
    nowhere = {"endpoint_url": "http://127.0.0.1:1", "config_kwargs": {"retries": {"max_attempts": 0}}}
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    monkeypatch.setitem(fsspec.config.conf, "s3", nowhere)
    with pytest.raises(FileAccessError, match="X.h5 cannot be read .*Could not connect.*settings of fsspec"):
        from_hdf5("s3://bucket/X.h5")


def test_permissions_that_lack_are_told(on_fetch):
    url, set_happens = on_fetch

    def forbid():
        raise PermissionError("Forbidden")

    set_happens(staticmethod(forbid))
    with pytest.raises(FileAccessError, match="PermissionError: Forbidden.* this process has the permission"):
        from_hdf5(url)


def test_packages_that_lack_are_told(monkeypatch):
    monkeypatch.setitem(known_implementations, "s3", {"class": "no_such_package.S3", "err": "Install s3fs"})
    monkeypatch.delitem(_registry, "s3", raising=False)
    with pytest.raises(MissingExtraError, match=r"Install s3fs.*pip install 'daskelm\[s3\]'"):
        from_hdf5("s3://bucket/X.h5")
    with pytest.raises(ParameterError, match="fsspec must know the protocol of a URL; got .*nosuch"):
        from_hdf5("nosuch://bucket/X.h5")


def test_urls_with_passwords_or_datasets_are_refused():
    with pytest.raises(ParameterError, match="must not hold a password") as error:
        from_hdf5("ftp://me:secret@host/X.h5")
    assert "secret" not in str(error.value)
    with pytest.raises(ParameterError, match=r"from_hdf5\('s3://bucket/X.h5', dataset='data'\)"):
        from_hdf5("s3://bucket/X.h5::data")
    with pytest.raises(FileMissingError, match="A URL is a str"):
        from_hdf5(Path("s3://bucket/X.h5"))


def test_signatures_of_urls_are_not_kept():
    from daskelm.hdf5.paths import place_of

    signed = place_of("https://host/X.h5?X-Amz-Signature=secret")
    assert signed.startswith("https://host/X.h5?")
    assert "secret" not in signed
    assert signed != place_of("https://host/X.h5?X-Amz-Signature=other")
    assert place_of("https://host/X.h5") == "https://host/X.h5"


def test_workers_that_do_not_see_an_object_are_told_before_any_work(client, s3):
    # They have no settings.
    url = put(s3, write("X.h5", chunks=(100, D)))
    fsspec.filesystem("memory").put("X.h5", "/X.h5")
    with pytest.raises(FileMissingError, match="memory://X.h5 must be visible on every worker at this URL.*no such"):
        ELMRegressor(5, random_state=0).fit("memory://X.h5", from_hdf5("X.h5")[:, 0])
    MemoryFileSystem.store.clear()
    environment = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    settings = {"s3": {"endpoint_url": "http://127.0.0.1:1", "config_kwargs": {"retries": {"max_attempts": 0}}}}
    before = client.run(_configure, settings, environment)
    client.run(_retry_once)
    with pytest.raises(FileMissingError, match="X.h5 must be visible on every worker at this URL.*Could not connect"):
        ELMRegressor(5, random_state=0).initialize("X.h5").accumulate(url, "X.h5")
    for worker, was in before.items():
        client.run(_configure, *was, workers=[worker])


def _retry_once():
    import s3fs

    s3fs.S3FileSystem.retries = 1


class _Web(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *message):
        pass


def test_web_servers_without_byte_ranges_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("X.h5")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Web) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{web.server_port}"
        with pytest.raises(FileFormatError, match="its server must give parts of a file"):
            from_hdf5(f"{url}/X.h5")
        with pytest.raises(FileMissingError, match="none.h5: no such file"):
            from_hdf5(f"{url}/none.h5")
        # A file that is copied whole is read as any other.
        np.testing.assert_array_equal(from_hdf5(f"simplecache::{url}/X.h5").compute(), X)
        web.shutdown()


# What takes paths.


def test_writing_to_urls_is_refused_with_what_to_do(s3):
    model = ELMRegressor(5, random_state=0).fit(X, T)
    copy = r"fsspec.filesystem\('s3'\).put\('out.h5', 's3://bucket/out.h5'\)"
    url = "s3://bucket/out.h5"
    for write_to in (
        partial(make_hdf5, X),
        partial(to_hdf5, from_hdf5(write("X.h5"))),
        lambda url: model.predict(X, out=url),
        lambda url: model.predict("X.h5", out=url),
        model.save,
        model.normal_equations_.save,
    ):
        with pytest.raises(ParameterError, match=f"must be at a path of a file system, not at a URL.*{copy}"):
            write_to(url)
    write("T.h5", T)
    for add in (
        lambda: model.accumulate("X.h5", "T.h5", into=url),
        lambda: model.fit("X.h5", "T.h5", checkpoint=url),
        lambda: merge(model.normal_equations_, into=url),
        lambda: model.remove("X.h5", "T.h5", sums=url),
    ):
        with pytest.raises(ParameterError, match="a sums file that is changed must be at a path.*takes locks"):
            add()
    with pytest.raises(ParameterError, match="data to convert must be at a path"):
        make_hdf5("s3://bucket/X.csv", "new.h5")
    elm = HPELM(D, 2)
    elm.add_neurons(5, "tanh")
    with pytest.raises(ParameterError, match="not at a URL"):
        elm.add_data("X.h5", "T.h5", fHH="s3://bucket/HH.h5", fHT="s3://bucket/HT.h5")
    with pytest.raises(ParameterError, match="not at a URL"):
        make_hdf5(X, "file:///out.h5")
    assert sorted(os.listdir()) == ["T.h5", "X.h5"]
    assert s3.ls("bucket") == []


def test_models_and_sums_are_loaded_from_urls(s3):
    model = ELMClassifier(10, random_state=0).fit(X, X[:, 0] > 0)
    model.save("model.h5")
    again = load(put(s3, "model.h5"))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.hidden_layer_.fingerprint == model.hidden_layer_.fingerprint
    plain = ELMRegressor(10, random_state=0).initialize(X)
    for i, part in enumerate(np.split(np.arange(N), 2)):
        plain.accumulate(X[part], T[part], into=f"sums-{i}.h5")
        put(s3, f"sums-{i}.h5")
    local = plain.solve("sums-*.h5").coef_
    np.testing.assert_array_equal(plain.solve("s3://bucket/sums-*.h5").coef_, local)
    with pytest.raises(RowsCountedError, match="named once"):
        plain.solve(["s3://bucket/sums-0.h5", "s3://bucket/sums-*.h5"])
    assert merge(["s3://bucket/sums-0.h5", "sums-1.h5"], into="sums-1.h5").n_samples == N
    with pytest.raises(FileMissingError, match="no such file or bucket"):
        load("s3://bucket/none.h5")
    with pytest.raises(FileFormatError, match="not a daskelm model file"):
        load(put(s3, write("X.h5")))


def test_local_files_may_be_named_as_urls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("X.h5")
    assert open_rows(f"file://{tmp_path}/X.h5").parts == open_rows("X.h5").parts


def run(*arguments):
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def test_the_command_takes_urls(s3):
    with h5py.File("X.h5", "w") as file:
        file["X"], file["T"] = X, T
    url = put(s3, "X.h5")
    assert run("init", f"{url}::X", "model.h5", "--neurons", "10").exit_code == 0
    assert run("accumulate", "model.h5", f"{url}::X", f"{url}::T", "--into", "sums.h5").exit_code == 0
    assert run("solve", "model.h5", "sums.h5").exit_code == 0
    assert run("predict", "model.h5", f"{url}::X", "--out", "Y.h5").exit_code == 0
    np.testing.assert_array_equal(from_hdf5("Y.h5").compute(), load("model.h5").predict(X))
    facts = json.loads(run("info", "--json", url, f"{url}::T", put(s3, "model.h5")).output)
    assert [item["kind"] for item in facts] == ["data", "data", "model"]
    assert facts[0]["bytes"] == os.path.getsize("X.h5")
    assert [item["name"] for item in facts[0]["datasets"]] == ["T", "X"]
    assert [item["shape"] for item in facts[1]["datasets"]] == [[N, 2]]
    Path("text").write_text("text")
    assert "neither a daskelm file nor HDF5" in run("info", put(s3, "text")).output
    checked = run("check", f"{url}::X", f"{url}::T", "--neurons", "10", "--into", "new.h5")
    assert "ok       data      1 file(s)" in checked.output
    assert "the URL s3://bucket/sums.h5. Give a path." in run("check", "--into", "s3://bucket/sums.h5").output
    refused = run("predict", "model.h5", f"{url}::X", "--out", "s3://bucket/Y.h5")
    assert refused.exit_code == 2
    assert "not at a URL" in refused.output


def test_a_check_tells_which_workers_do_not_see_an_object(client, s3):
    fsspec.filesystem("memory").put(write("X.h5"), "/X.h5")
    output = run("check", "memory://X.h5", "--scheduler", client.scheduler.address).output
    MemoryFileSystem.store.clear()
    assert "FAILED   data      memory://X.h5 must be visible on every worker" in output
    assert "Give all workers the same packages, credentials and settings of fsspec." in output


def test_local_paths_need_no_fsspec(tmp_path):
    import subprocess
    import sys

    write(tmp_path / "X.h5")
    code = (
        "import sys, dask.array, h5py, distributed\n"
        "before = set(sys.modules)\n"
        "import daskelm, numpy as np\n"
        "X = daskelm.from_hdf5('X.h5')\n"
        "daskelm.ELMRegressor(5).fit('X.h5', X[:, 0].compute())\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert {"fsspec", "s3fs", "aiohttp"}.isdisjoint(done.stdout.split())


# Of zarr, which leaves it to the collector.
@pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")
def test_the_page_is_true(s3):
    s3.mkdir("sensors")
    page = {"__name__": "page"}
    code = [block.code for block in blocks(PAGE.read_text(encoding="utf-8")) if block.language == "python"]
    try:
        for block in code:
            exec(block, page)
        assert len(code) == 4
        assert page["model"].n_features_in_ == 10
    finally:
        s3.rm("sensors", recursive=True)
        page.clear()
        s3fs.S3FileSystem.clear_instance_cache()
        gc.collect()
