"""HDF5 in object storage: the same numbers as from a local copy, in few bytes; and the page about it."""

import gc
import os
import pickle
from contextlib import contextmanager
from pathlib import Path

import dask
import fsspec
import h5py
import numpy as np
import pytest
import s3fs
from fsspec.implementations.memory import MemoryFileSystem
from object_store import RNG, D, N, T, X, put, write
from test_docs import blocks

from daskelm import ELMRegressor, NormalEquations, from_hdf5
from daskelm.exceptions import DataError, FileFormatError, InsufficientMemoryError
from daskelm.hdf5 import remote as remote_files
from daskelm.hdf5 import remote_rows
from daskelm.hdf5.columns import Column, write_columns
from daskelm.hdf5.rows import open_rows

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guide" / "object_storage.md"
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


@pytest.mark.parametrize("how", [{}, {"chunks": (60, 2), "compression": "gzip"}, {"chunks": (60, D)}])
def test_chosen_columns_are_those_of_a_local_copy(s3, how, monkeypatch):
    """Of tables, records and datasets side by side; chunks of other columns are not fetched."""
    monkeypatch.setattr(remote_rows, "_WINDOW_BYTES", 20_000)
    few = X[:300]
    records = np.rec.fromarrays([few[:, 0], few[:, 1]], names=["a", "b"])
    with h5py.File("t.h5", "w") as file:
        write_columns(file.create_dataset("table", data=few, **how), [Column(f"x{i}") for i in range(D)])
        file.create_dataset("records", data=records, chunks=(60,))
        file["g/a"], file["g/b"] = few[:, 0], few[:, 1]
    url = put(s3, "t.h5")
    for given in (
        {"columns": [f"x{D - 1}", "x0"]},
        {"dataset": "table", "columns": 1},
        {"dataset": "records", "columns": ["b", "a"]},
        {"columns": ["g/b", "g/a"]},
        {"dataset": "g", "columns": "b"},
    ):
        here = from_hdf5("t.h5", chunks=150, **given)
        there = from_hdf5(url, chunks=150, **given)
        np.testing.assert_array_equal(there.compute(), here.compute())
        assert open_rows(url, **given).columns == open_rows("t.h5", **given).columns
    with pytest.raises(
        DataError, match=r"transpose is for a dataset .* got '/table' at a URL\. Copy it to a file first"
    ):
        from_hdf5(url, dataset="table", transpose=True)
