"""Rows of Parquet and Arrow files are the table's, however they are cut, and their sums are those of HDF5 files."""

import os
import pickle
import re
import shutil

import fsspec
import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parquet_tables import FRAME, NAMES, N, X, arrow, hdf5, parquet, y

from daskelm import ELMClassifier, ELMRegressor, NormalEquations, from_hdf5, from_parquet, make_hdf5
from daskelm.exceptions import FileFormatError, FileMissingError, InputTypeError
from daskelm.hdf5 import remote
from daskelm.hdf5.columns import Column, columns_of
from daskelm.hdf5.remote import RemoteFile
from daskelm.parquet import files
from daskelm.parquet.files import _Parquet
from daskelm.parquet.rows import open_rows

pytestmark = pytest.mark.usefixtures("empty_folder")
every_format = pytest.mark.parametrize("make", [parquet, arrow])


def model():
    return ELMRegressor(12, random_state=0)


@every_format
@pytest.mark.parametrize("group", [1, 7, 70, 1000])
def test_sums_are_those_of_hdf5_to_the_last_bit(no_client, make, group):
    path = make(group=group)
    columns, target = from_parquet(path, NAMES), from_parquet(path, "y")
    ours, theirs = model().fit(columns, target), model().fit(*hdf5())
    assert ours.hidden_layer_.fingerprint == theirs.hidden_layer_.fingerprint
    np.testing.assert_array_equal(ours.normal_equations_.packed, theirs.normal_equations_.packed)
    np.testing.assert_array_equal(ours.coef_, theirs.coef_)
    np.testing.assert_array_equal(ours.predict(columns).compute(), theirs.predict("X.h5").compute())


@settings(max_examples=40)
@given(
    groups=st.lists(st.integers(1, 90), min_size=1, max_size=8),
    files=st.integers(1, 3),
    target=st.integers(1, 200),
    data=st.data(),
)
def test_any_cut_has_every_row_once(tmp_path_factory, groups, files, target, data):
    folder = tmp_path_factory.mktemp("cut")
    table = pyarrow.table({"n": np.arange(files * sum(groups))})
    for i in range(files):
        with pyarrow.parquet.ParquetWriter(folder / f"part{i}.parquet", table.schema) as writer:
            start = i * sum(groups)
            for size in groups:
                writer.write_table(table.slice(start, size), size)
                start += size
    rows = open_rows(folder)
    first = data.draw(st.integers(0, rows.n_rows - 1))
    rows = rows.between(first, data.draw(st.integers(first + 1, rows.n_rows)))
    numbers = np.arange(first, first + rows.n_rows)
    blocks, runs = rows.block_bounds(target), rows.runs_of_blocks(10, target)
    for bounds in (blocks, runs):
        assert [a for a, _ in bounds] == [0, *(b for _, b in bounds[:-1])]
        assert bounds[-1][1] == rows.n_rows
    assert max(b - a for a, b in blocks) <= target
    assert all(len({rows.where(a)[0], rows.where(b - 1)[0]}) == 1 for a, b in blocks)
    with rows.open(reuse=True) as reader:
        np.testing.assert_array_equal(np.concatenate([reader.read(a, b).flatten() for a, b in blocks]), numbers)
    order = data.draw(st.permutations(runs))
    with pickle.loads(pickle.dumps(rows)).open() as reader:
        for a, b in order:
            np.testing.assert_array_equal(reader.read(a, b).ravel(), numbers[a:b])


@pytest.mark.parametrize("chunks", [1, 33, 70, 140, -1, "auto"])
def test_chunks_of_a_lazy_array_are_row_groups_where_these_fit(no_client, chunks):
    lazy = from_parquet(parquet(), NAMES, rows=slice(5, 590), chunks=chunks)
    np.testing.assert_array_equal(lazy.compute(), X[5:590])
    if chunks == 140:
        assert lazy.chunks[0] == (135, 140, 140, 140, 30)
    assert chunks in (-1, "auto") or max(lazy.chunks[0]) <= chunks


def test_only_columns_asked_for_are_read(no_client, monkeypatch):
    asked, batches = [], _Parquet.batches
    monkeypatch.setattr(
        _Parquet, "batches", lambda self, a, b, names, *rest: asked.append(names) or batches(self, a, b, names, *rest)
    )
    path = parquet()
    model().fit(from_parquet(path, ["c", "a"]), from_parquet(path, "y"))
    assert {tuple(names) for names in asked} == {("c", "a"), ("y",)}


@pytest.mark.parametrize(
    ("group", "expected"), [(500, [0, 33, 66]), (20_000, [0, 1]), (30_000, [0, 1]), (40_000, [0, 0, 0])]
)
def test_a_row_group_is_unpacked_once_unless_it_is_shared(no_client, monkeypatch, group, expected):
    """Where tasks begin to unpack: a task has 16,384 rows or more, and shares groups of more than twice that."""
    frame = pd.DataFrame(np.random.default_rng(0).standard_normal((40_000, 3)), columns=NAMES)
    X = from_parquet(parquet(frame=frame, group=group))
    drawn = ELMRegressor(12, alpha=1.0, random_state=0).initialize(X)
    begun, batches = [], _Parquet.batches

    def counting(self, first, last, names, n_rows, use_threads):
        # What the ledger reads here is read with Arrow's threads.
        begun.extend([first] * (not use_threads))
        return batches(self, first, last, names, n_rows, use_threads)

    monkeypatch.setattr(_Parquet, "batches", counting)
    drawn.accumulate(X, make_hdf5(frame["a"], "y.h5"))
    assert sorted(begun) == expected
    begun.clear()
    drawn.predict(X).compute()
    assert begun == [0]


@pytest.mark.parametrize("n_files", [1, 3])
def test_urls_are_read_in_byte_ranges(no_client, monkeypatch, n_files):
    store = fsspec.filesystem("memory")
    try:
        # More than is fetched of each file to find its metadata.
        frame = pd.concat([FRAME] * 20, ignore_index=True)
        for i, rows in enumerate(np.array_split(np.arange(len(frame)), n_files)):
            parquet(f"part{i}.parquet", frame.iloc[rows], group=700)
            store.put(f"part{i}.parquet", f"/part{i}.parquet")
            frame[NAMES].iloc[rows].to_parquet(f"X{i}.parquet")
        fetched, fetch = [], RemoteFile.fetch
        monkeypatch.setattr(remote, "PAGE_BYTES", 256)
        monkeypatch.setattr(files, "PAGE_BYTES", 256)
        monkeypatch.setattr(RemoteFile, "fetch", lambda self, pages: fetched.append(pages) or fetch(self, pages))
        url = "memory://part*.parquet"
        X_there, y_there = from_parquet(url, NAMES), from_parquet(url, "y")
        np.testing.assert_array_equal(X_there.compute(), frame[NAMES])
        fetched.clear()
        assert y_there.compute().tolist() == frame["y"].tolist()
        size = sum(os.path.getsize(f"part{i}.parquet") for i in range(n_files))
        assert sum(len(set(pages)) for pages in fetched) * 256 < 0.5 * size
        here = model().fit("X*.parquet", frame["y"].to_numpy())
        np.testing.assert_array_equal(model().fit(X_there, y_there).coef_, here.coef_)
        store.put(arrow(), "/table.arrow")
        with pytest.raises(InputTypeError, match="only Parquet files are read at URLs; got Arrow"):
            from_parquet("memory://table.arrow")
        with pytest.raises(FileMissingError, match="memory://nothing.parquet: no such file"):
            from_parquet("memory://nothing.parquet")
        store.put(parquet("part0.parquet", frame, group=701), "/part0.parquet")
        with pytest.raises(FileFormatError, match="memory://part0.parquet changed while it was in use"):
            X_there.compute()
    finally:
        store.store.clear()


@every_format
def test_rows_are_recognised_by_their_content(no_client, make):
    path = make()
    columns, target = from_parquet(path, NAMES), from_parquet(path, "y")
    x, t = hdf5()
    drawn = model().initialize(columns)
    drawn.accumulate(columns, target, rows=slice(0, 250), into="sums.h5")
    # Other row groups, another format, another file: the same rows.
    other = parquet("other.parquet", group=11)
    drawn.accumulate(from_parquet(other, NAMES), from_parquet(other, "y"), rows=slice(100, 400), into="sums.h5")
    drawn.accumulate(x, t, rows=slice(300, 500), into="sums.h5")
    drawn.accumulate(columns, target, into="sums.h5")
    held = NormalEquations.load("sums.h5")
    assert held.n_samples == N
    assert {path.rpartition("/")[2] for path in held.ledger.files()} == {path, other, "X.h5"}
    whole = model().fit(x, t).normal_equations_
    np.testing.assert_allclose(held.packed, whole.packed, rtol=1e-12, atol=1e-12 * np.abs(whole.packed).max())
    drawn.remove(columns, target, rows=slice(10, 300), sums="sums.h5")
    left = NormalEquations.load("sums.h5")
    kept = np.r_[0:10, 300:N]
    H = drawn.transform(FRAME[NAMES].iloc[kept])
    HH = H.T @ H
    np.testing.assert_allclose(left.moments(centred=False).HH, HH, rtol=1e-10, atol=1e-10)


def test_a_checkpoint_is_resumed(no_client):
    path = parquet()
    columns, target = from_parquet(path, NAMES), from_parquet(path, "y")
    first = model().fit(columns, target, checkpoint="work.h5")
    again = model().fit(columns, target, checkpoint="work.h5")
    np.testing.assert_array_equal(first.coef_, again.coef_)
    assert NormalEquations.load("work.h5").n_samples == N


@every_format
def test_other_columns_of_the_same_rows(make):
    path = make()
    rows = open_rows(path, NAMES).rows(slice(100, 300))
    other = rows.with_columns(["y", "b"])
    assert (other.names, other.shape) == (("y", "b"), (200, 2))
    np.testing.assert_array_equal(other.read(0, 200), FRAME[["y", "b"]].to_numpy()[100:300])
    vector = open_rows(rows, "y", slice(5, 7))
    np.testing.assert_array_equal(vector.read(0, 2), y[105:107])
    assert vector.shape == (2,)
    shutil.copy(parquet("other.parquet"), path)
    with pytest.raises(FileFormatError, match="changed while it was in use"):
        rows.with_columns(["y"])


def test_names_are_checked_as_those_of_frames(no_client):
    path = parquet()
    fitted = model().fit(from_parquet(path, NAMES), y)
    assert fitted.feature_names_in_.tolist() == NAMES
    np.testing.assert_array_equal(fitted.predict(FRAME[NAMES]), fitted.predict(from_parquet(path, NAMES)).compute())
    of_frame = model().fit(FRAME[NAMES], y)
    for wrong in (["b", "a", "c"], ["a", "b", "y"]):
        messages = []
        for one in (fitted, of_frame):
            for data in (FRAME[wrong], from_parquet(path, wrong)):
                rule = "feature names should match|must have the columns of fit, a, b, c, in this order"
                with pytest.raises(ValueError, match=rule) as error:
                    one.predict(data)
                messages.append(str(error.value))
        assert len(set(messages)) == 2


def test_labels_keep_their_type(no_client):
    path = parquet()
    fitted = ELMClassifier(12, random_state=0).fit(from_parquet(path, NAMES), from_parquet(path, "label"))
    assert fitted.classes_.dtype == np.int64
    assert fitted.classes_.tolist() == [7, 8]
    assert fitted.score(from_parquet(path, NAMES), from_parquet(path, ["label"])) > 0.8


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        (pyarrow.array([1, 2, 3], pyarrow.int16()), np.int16),
        (pyarrow.array([1, None, 3], pyarrow.int16()), np.float64),
        (pyarrow.array([2**63 - 1, 2**62, 0]), np.int64),
        (pyarrow.array([2**64 - 1, 0, 1], pyarrow.uint64()), np.uint64),
        (pyarrow.array([True, False, True]), np.bool_),
        (pyarrow.array([True, None, True]), np.float64),
        (pyarrow.array([1.5, None, -0.0], pyarrow.float32()), np.float32),
        (pyarrow.array([np.nan, None, np.inf]), np.float64),
        (pyarrow.array([1.5, 2.5, None]).cast(pyarrow.decimal128(10, 3)), np.float64),
        (pyarrow.nulls(3), np.float64),
        (pyarrow.array([1.5, 2.0, 3.0], pyarrow.float16()), np.float16),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_types_of_columns(column, dtype, ending):
    table = pyarrow.table({"x": column, "z": pyarrow.array([0.5, 1.5, 2.5])})
    path = f"types.{ending}"
    if ending == "parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        pyarrow.feather.write_feather(table, path)
    rows = open_rows(path, "x")
    found = rows.read(0, 3)
    assert rows.dtype == found.dtype == dtype
    expected = [np.nan if value is None else value for value in column.to_pylist()]
    np.testing.assert_array_equal(found, np.array([float(v) if dtype == np.float64 else v for v in expected], dtype))
    both = open_rows(path, ["z", "x"])
    assert both.dtype == np.result_type(dtype, np.float64)
    np.testing.assert_array_equal(both.read(0, 3), np.column_stack([[0.5, 1.5, 2.5], found.astype(np.float64)]))


def test_signs_of_zeros_and_every_float_are_kept():
    odd = np.array([-0.0, 5e-324, np.finfo(float).max, np.pi, np.inf, -np.inf])
    pd.DataFrame({"x": odd}).to_parquet("odd.parquet")
    np.testing.assert_array_equal(open_rows("odd.parquet", "x").read(0, 6).view(np.uint64), odd.view(np.uint64))


def test_the_index_of_pandas_is_no_column():
    FRAME[NAMES][FRAME["a"] > 0].to_parquet("some.parquet")
    FRAME[NAMES].set_index("b").to_parquet("named.parquet")
    assert open_rows("some.parquet").names == ("a", "b", "c")
    assert open_rows("named.parquet").names == ("a", "c")
    assert open_rows("named.parquet", ["b"]).names == ("b",)


def test_an_error_names_the_file_the_row_and_the_column(no_client):
    frame = FRAME[NAMES].copy()
    frame.loc[123, "b"] = np.nan
    frame.iloc[:100].to_parquet("part1.parquet", row_group_size=30)
    frame.iloc[100:].to_parquet("part2.parquet", row_group_size=30)
    message = re.escape("X must be finite; got NaN first in row 23 of ") + r".*part2.parquet, column 1 \('b'\)"
    with pytest.raises(ValueError, match=message):
        model().fit("part*.parquet", y)


def test_files_become_hdf5_with_their_names():
    FRAME[NAMES].iloc[:400].to_parquet("part1.parquet", row_group_size=77)
    FRAME[NAMES[::-1]].iloc[400:].to_parquet("part10.parquet")
    path = make_hdf5("part*.parquet", "made.h5")
    np.testing.assert_array_equal(from_hdf5(path).compute(), X)
    import h5py

    with h5py.File(path) as file:
        assert columns_of(file["data"], path) == tuple(map(Column, NAMES))
    assert make_hdf5("part*.parquet", "made.h5", dtype="float32") == path
    assert from_hdf5(path).dtype == np.float32
    os.link("part1.parquet", "link.h5")
    with pytest.raises(ValueError, match="inputs are never overwritten"):
        make_hdf5(["part1.parquet"], "link.h5", overwrite=True)


def test_a_table_without_rows(no_client):
    FRAME.iloc[:0].to_parquet("empty.parquet")
    assert from_parquet("empty.parquet", NAMES).compute().shape == (0, 3)
    with pytest.raises(ValueError, match="at least one row|no rows|0 sample"):
        model().fit(from_parquet("empty.parquet", NAMES), from_parquet("empty.parquet", "y"))
