"""Numbers that lie elsewhere or nowhere, and files that change: what HDF5 fills in is no data, by whichever way in."""

import contextlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path

import dask
import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from daskelm import ELMClassifier, ELMRegressor, NormalEquations, from_hdf5, make_hdf5, to_hdf5
from daskelm.cli import cli
from daskelm.data.from_hdf5 import check_visible
from daskelm.exceptions import (
    AlikeTablesWarning,
    DaskelmError,
    DataError,
    DatasetNotFoundError,
    FileFormatError,
    FileMissingError,
    InputTypeError,
    RowsCountedError,
)
from daskelm.hdf5 import dataset as hdf5_part
from daskelm.hdf5 import rows as hdf5
from daskelm.hdf5.dataset import OpenPart, sizes_of_parts
from daskelm.hdf5.external import SourceFiles
from daskelm.hdf5.rows import open_rows
from daskelm.hpelm import modules

N, D = 600, 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D))
y = np.sin(X[:, 0])


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(path, data=X, name="data", **options):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "a") as file:
        file.create_dataset(name, data=data, **options)
    return str(path)


def files_of(dataset):
    """All files that a dataset is read from, in order."""
    path = os.path.abspath(dataset.file.filename)
    with SourceFiles() as sources:
        return list(dict.fromkeys([path, *sources.survey(dataset, path, 0, len(dataset)).files]))


def run(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="daskelm")


# Layouts of one table in other files: each makes a file in which `data` reads as X.


def virtual(path="v.h5", folder=".", names=("a.h5", "b.h5", "c.h5"), data=X, fillvalue=0.0):
    """A virtual dataset of the rows in several files."""
    step = len(data) // len(names)
    layout = h5py.VirtualLayout(data.shape, data.dtype)
    for i, name in enumerate(names):
        rows = slice(i * step, (i + 1) * step)
        write(Path(folder) / name, data[rows])
        layout[rows] = h5py.VirtualSource(name, "data", data[rows].shape)
    with h5py.File(Path(folder) / path, "a") as file:
        file.create_virtual_dataset("data", layout, fillvalue=fillvalue)
    return str(Path(folder) / path)


def nested(path="v.h5"):
    """A virtual dataset of a virtual one."""
    virtual("inner.h5")
    layout = h5py.VirtualLayout(X.shape, "f8")
    layout[:] = h5py.VirtualSource("inner.h5", "data", X.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("data", layout)
    return path


def side_by_side(path="v.h5"):
    """A virtual dataset of columns in several files."""
    layout = h5py.VirtualLayout(X.shape, "f8")
    for i, name in enumerate(("a.h5", "b.h5", "c.h5")):
        write(name, X[:, i])
        layout[:, i] = h5py.VirtualSource(name, "data", (N,))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("data", layout)
    return path


def interleaved(path="v.h5"):
    """A virtual dataset of every third row in one of three files."""
    layout = h5py.VirtualLayout(X.shape, "f8")
    for i, name in enumerate(("a.h5", "b.h5", "c.h5")):
        write(name, X[i::3])
        layout[i::3] = h5py.VirtualSource(name, "data", (N // 3, D))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("data", layout)
    return path


def numbered(path="v.h5"):
    """A virtual dataset that grows with files that have a number in their name."""
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    endless = h5py.h5s.create_simple((200, D), (h5py.h5s.UNLIMITED, D))
    endless.select_hyperslab((0, 0), (h5py.h5s.UNLIMITED, 1), (200, 1), (200, D))
    made.set_virtual(endless, b"part-%b.h5", b"data", h5py.h5s.create_simple((200, D)))
    for i in range(N // 200):
        write(f"part-{i}.h5", X[200 * i : 200 * (i + 1)])
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple((0, D), (h5py.h5s.UNLIMITED, D))
        h5py.h5d.create(file.id, b"data", h5py.h5t.NATIVE_DOUBLE, space, made)
    return path


def growing(path="v.h5"):
    """A virtual dataset of a dataset of any length."""
    write("b.h5", X, maxshape=(None, D))
    layout = h5py.VirtualLayout((N, D), "f8", maxshape=(None, D))
    source = h5py.VirtualSource("b.h5", "data", (N, D), maxshape=(None, D))
    layout[0 : h5py.h5s.UNLIMITED] = source[0 : h5py.h5s.UNLIMITED]
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("data", layout)
    return path


def raw(path="v.h5", names=("a.bin", "b.h5")):
    """External raw files, one after the other; named as the others are."""
    half = X.nbytes // 2
    with h5py.File(path, "w") as file:
        file.create_dataset("data", X.shape, "f8", external=[(names[0], 8, half), (names[1], 0, h5py.h5f.UNLIMITED)])
        file["data"][:] = X
    return path


LAYOUTS = [virtual, nested, side_by_side, interleaved, numbered, growing, raw]
every_layout = pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)


@every_layout
@pytest.mark.parametrize("chunks", [50, -1])
def test_what_is_whole_is_read(make, chunks):
    np.testing.assert_array_equal(from_hdf5(make(), chunks=chunks).compute(), X)
    with open_rows("v.h5").open() as reader:
        for start in (0, 150, 300, 450):
            np.testing.assert_array_equal(reader.read(start, start + 150), X[start : start + 150])


# Every way in, for data that cannot be used.


def as_path(name):
    return name


def as_list(name):
    return [name]


def as_glob(name):
    return name.replace(".h5", "*.h5")


def as_array(name):
    return from_hdf5(name, chunks=100)


def as_dataset(name):
    return h5py.File(name)["data"]


def fit(data):
    ELMRegressor(5, random_state=0).fit(data, y)


def fit_target(data):
    ELMRegressor(5, random_state=0).fit(X, data)


def fit_weights(data):
    # Of one column, which is no file's any more.
    ELMRegressor(5, random_state=0).fit(X, y, sample_weight=from_hdf5(data)[:, 0])


def predict(data):
    np.asarray(ELMRegressor(5, random_state=0).fit(X, y).predict(data))


def accumulate(data):
    model = ELMRegressor(5, random_state=0).initialize(X)
    model.accumulate(data, y, into="sums.h5")


def read(data):
    (data if hasattr(data, "compute") else from_hdf5(data)).compute()


def write_out(data):
    to_hdf5(data if hasattr(data, "compute") else from_hdf5(data), "out.h5")


WAYS_IN = [as_path, as_list, as_glob, as_array, as_dataset]
USES = [fit, fit_target, fit_weights, predict, accumulate, read, write_out]


def lost(make):
    """A layout that lost a file."""
    make()
    os.remove("b.h5")


def lost_dataset():
    virtual()
    with h5py.File("b.h5", "a") as file:
        file.move("data", "other")


def shorter():
    virtual()
    os.remove("b.h5")
    write("b.h5", X[:100])


def locked():
    """A source that cannot be opened."""
    virtual()
    Path("b.h5").write_bytes(b"not HDF5")


def cut_short():
    raw()
    os.truncate("b.h5", 1000)


def raw_folder():
    raw()
    os.remove("b.h5")
    os.mkdir("b.h5")


def raw_pipe():
    raw()
    os.remove("b.h5")
    os.mkfifo("b.h5")


def unmapped_rows():
    layout = h5py.VirtualLayout(X.shape, "f8")
    layout[:400] = h5py.VirtualSource(write("a.h5"), "data", X.shape)[:400]
    with h5py.File("v.h5", "w") as file:
        file.create_virtual_dataset("data", layout)


def unmapped_column():
    layout = h5py.VirtualLayout(X.shape, "f8")
    layout[:400] = h5py.VirtualSource(write("a.h5"), "data", X.shape)[:400]
    layout[400:, :2] = h5py.VirtualSource("a.h5", "data", X.shape)[400:, :2]
    with h5py.File("v.h5", "w") as file:
        file.create_virtual_dataset("data", layout)


def unwritten():
    """Chunks that nobody wrote."""
    with h5py.File("v.h5", "w") as file:
        file.create_dataset("data", X.shape, "f8", chunks=(100, D))[:400] = X[:400]


def unwritten_column():
    with h5py.File("v.h5", "w") as file:
        data = file.create_dataset("data", X.shape, "f8", chunks=(100, 2))
        data[:400], data[400:, :2] = X[:400], X[400:, :2]


def unwritten_source():
    unwritten()
    os.rename("v.h5", "a.h5")
    layout = h5py.VirtualLayout(X.shape, "f8")
    layout[:] = h5py.VirtualSource("a.h5", "data", X.shape)
    with h5py.File("v.h5", "w") as file:
        file.create_virtual_dataset("data", layout)


def never_filled():
    make_hdf5((N, D), "v.h5")


def never_allocated():
    with h5py.File("v.h5", "w") as file:
        file.create_dataset("data", X.shape, "f8")


def never_allocated_behind_a_user_block():
    with h5py.File("v.h5", "w", userblock_size=512) as file:
        file.create_dataset("data", X.shape, "f8")


MISSING = (
    r"b\.h5, from which rows 200 to 399 of virtual dataset '/data' in .*v\.h5 are read, is not there on .*HDF5_VDS"
)
# How to spoil a file, and the error.
FAULTS = {
    "lost source": (lambda: lost(virtual), MISSING),
    "lost source of a source": (
        lambda: lost(nested),
        r"b\.h5, from which rows 200 to 399 .* in .*inner\.h5 .* not there",
    ),
    "lost column": (lambda: lost(side_by_side), r"b\.h5, from which rows 0 to 599 .* not there"),
    "lost every third": (lambda: lost(interleaved), r"b\.h5, from which rows 1 to 59. .* not there"),
    "no dataset in a source": (lost_dataset, r"b\.h5 must hold a dataset 'data', from which rows 200 to 399 "),
    "shorter source": (
        shorter,
        r"b\.h5: dataset 'data' must have as many numbers, since rows 200 to 399 .* got \(100, 3\)",
    ),
    "no HDF5 in a source": (locked, r"b\.h5, from which rows 200 to 399 .* cannot be opened on .*would fill"),
    "lost raw file": (lambda: lost(raw), r"b\.h5, the raw file of rows 300 to 599 of '/data' in .*HDF5_EXTFILE_PREFIX"),
    "raw file cut short": (cut_short, r"b\.h5, the raw file of rows 300 .* must have 7,200 bytes; got 1,000, .*zeros"),
    "raw folder": (raw_folder, r"b\.h5, the raw file of rows .* must be a file; got a folder"),
    "raw pipe": (raw_pipe, r"b\.h5, the raw file of rows .* must be a file; got a folder, a pipe or a device"),
    "unmapped rows": (
        unmapped_rows,
        r"v\.h5: rows 400 to 599 of '/data' were never written, .* got rows .*rows=slice",
    ),
    "unmapped column": (unmapped_column, r"v\.h5: rows 400 to 599 of '/data' were never written"),
    "unwritten chunks": (unwritten, r"v\.h5: rows 400 to 599 of '/data' were never written, .*Write them and open"),
    "unwritten columns": (unwritten_column, r"v\.h5: rows 400 to 599 of '/data' were never written"),
    "unwritten source": (unwritten_source, r"v\.h5: rows 400 to 599 of '/data' were never written"),
    "never filled": (never_filled, r"v\.h5: rows 0 to 599 of '/data' were never written"),
    "never allocated, user block": (
        never_allocated_behind_a_user_block,
        r"v\.h5: rows 0 to 599 of '/data' were never written",
    ),
    "never allocated": (never_allocated, r"v\.h5: rows 0 to 599 of '/data' were never written"),
}


@pytest.mark.parametrize("way", WAYS_IN, ids=lambda way: way.__name__)
@pytest.mark.parametrize("name", FAULTS)
def test_what_hdf5_fills_is_no_data_by_any_way_in(no_client, name, way):
    spoil, text = FAULTS[name]
    spoil()
    before = sorted(os.listdir())
    for use in (fit, read):
        with pytest.raises(OSError, match=text) as kept:
            use(way("v.h5"))
        assert isinstance(kept.value, DaskelmError)
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
@pytest.mark.parametrize(
    "name", ["lost source", "raw file cut short", "unmapped rows", "unwritten chunks", "never filled"]
)
def test_what_hdf5_fills_is_no_data_for_any_use(no_client, name, use):
    spoil, text = FAULTS[name]
    spoil()
    before = sorted(os.listdir())
    with pytest.raises(OSError, match=text):
        use("v.h5")
    # The lock of a sums file stays.
    assert sorted({*os.listdir()} - {"sums.h5.lock"}) == before


# Only the rows that are read matter.


@pytest.mark.parametrize(
    "name", ["unmapped rows", "unmapped column", "unwritten chunks", "unwritten columns", "unwritten source"]
)
def test_what_is_there_is_read_from_a_file_that_is_being_filled(no_client, name):
    FAULTS[name][0]()
    rows = slice(0, 400)
    np.testing.assert_array_equal(from_hdf5("v.h5", rows=rows, chunks=100).compute(), X[rows])
    np.testing.assert_array_equal(from_hdf5("v.h5", chunks=100)[rows].compute(), X[rows])
    model = ELMRegressor(5, random_state=0).initialize(X)
    model.accumulate("v.h5", y, rows=rows, into="sums.h5")
    model.accumulate("v.h5", y, rows=rows, into="sums.h5")
    assert model.solve("sums.h5").normal_equations_.n_samples == 400
    whole = ELMRegressor(5, random_state=0).initialize(X).accumulate(X[rows], y[rows])
    np.testing.assert_allclose(model.normal_equations_.HH, whole.normal_equations_.HH, rtol=1e-12, atol=1e-12)


def test_rows_are_known_again_when_the_file_is_full(no_client):
    unwritten()
    model = ELMRegressor(5, random_state=0).initialize(X)
    model.accumulate("v.h5", y, rows=slice(0, 400), into="sums.h5")
    with h5py.File("v.h5", "r+") as file:
        file["data"][400:] = X[400:]
    model.accumulate("v.h5", y, into="sums.h5")
    assert model.solve("sums.h5").normal_equations_.n_samples == N


def counted(rows, into="s.h5", y="y.h5"):
    """Add rows of the file x.h5 to a sums file; the number of rows that it counts then."""
    model = ELMRegressor(5, random_state=0).initialize(X)
    model.accumulate("x.h5", y, rows=rows, into=into)
    return NormalEquations.load(into)


def being_filled(n_rows=20_000):
    """Two empty tables, and what is going to be written to them."""
    rng = np.random.default_rng(1)
    full = {"x.h5": rng.standard_normal((n_rows, D)), "y.h5": rng.standard_normal((n_rows, 1))}
    for path, data in full.items():
        make_hdf5(data.shape, path)
    return full


def fill(full, rows):
    for path, data in full.items():
        with h5py.File(path, "r+") as file:
            file["data"][rows] = data[rows]


def test_rows_are_known_again_where_all_around_them_read_zeros(no_client):
    """All rows that a table is found by lay in a chunk that had been begun, and read otherwise when it is full."""
    full = being_filled()
    rows = slice(15_000, 15_100)
    fill(full, rows)
    counted(rows)
    counted(rows, "early.h5")
    fill(full, slice(None))
    assert counted(rows).n_samples == 100
    late = counted(rows, "late.h5")
    # Sums that were made apart, before and after.
    early = NormalEquations.load("early.h5")
    for one, two in ((early, late), (late, early)):
        with pytest.raises(RowsCountedError, match="rows 15000 to 15099 .* are counted in both sums"):
            one + two
    total = counted(None)
    assert (total.n_samples, len(total.ledger.sources)) == (20_000, 1)
    whole = ELMRegressor(5, random_state=0).initialize(X).accumulate(full["x.h5"], full["y.h5"]).normal_equations_
    np.testing.assert_allclose(total.HH, whole.HH, rtol=1e-10, atol=1e-10 * whole.HH.max())
    ELMRegressor(5, random_state=0).initialize(X).remove("x.h5", "y.h5", rows=rows, sums="s.h5")
    assert NormalEquations.load("s.h5").n_samples == 19_900


@pytest.mark.parametrize("now", ["full", "being filled", "labels unwritten", "shorter"])
def test_another_table_at_the_same_path_counts_anew(no_client, now):
    full = being_filled()
    fill(full, slice(15_000, 15_100))
    counted(slice(15_000, 15_100))
    for path in full:
        os.remove(path)
    another = being_filled(10_000 if now == "shorter" else 20_000)
    another = {path: data + 1 for path, data in another.items()}
    rows = slice(0, 50) if now in ("being filled", "shorter") else slice(14_990, 15_050)
    if now == "labels unwritten":
        make_hdf5(another["x.h5"], "x.h5", overwrite=True)
        with h5py.File("y.h5", "w") as file:
            file.create_dataset("data", (20_000, 1), "f8", chunks=(100, 1))[:50] = another["y.h5"][:50]
        rows = slice(0, 50)
    elif now == "being filled":
        for path, data in another.items():
            with h5py.File(path, "w") as file:
                file.create_dataset("data", data.shape, "f8", chunks=(100, data.shape[1]))[:50] = data[:50]
    else:
        fill(another, slice(None))
    told = pytest.warns(AlikeTablesWarning, match="x.h5:/data reads otherwise than when its rows were added")
    with told if now == "full" else contextlib.nullcontext():
        total = counted(rows)
    assert (total.n_samples, len(total.ledger.sources)) == (100 + rows.stop - rows.start, 2)


def test_rows_that_were_mended_in_part_at_their_path_are_told(no_client):
    """None of the rows that the table is found by is as it was, and some that are counted are."""
    full = being_filled()
    fill(full, slice(12_300, 16_000))
    counted(slice(12_300, 16_000))
    full["x.h5"][15_999] += 1
    fill(full, slice(None))
    with pytest.warns(AlikeTablesWarning, match=r"x\.h5:/data reads otherwise than when its rows were added"):
        assert counted(None).n_samples == 23_700


def test_labels_that_are_none_in_another_table_at_the_path(no_client):
    """Rows that were counted of the table before are looked at, and hold no labels now."""
    labels, rows = np.arange(20_000) % 2, slice(15_000, 15_100)
    early = np.zeros((20_000, D))
    early[rows] = 1
    model = ELMClassifier(5, random_state=0).initialize(X, classes=[0, 1])
    make_hdf5(early, "x.h5")
    make_hdf5(labels, "y.h5")
    model.accumulate("x.h5", "y.h5", rows=rows, into="s.h5")
    labels[15_000:] += 7
    make_hdf5(RNG.standard_normal(early.shape), "x.h5", overwrite=True)
    make_hdf5(labels, "y.h5", overwrite=True)
    model.accumulate("x.h5", "y.h5", rows=slice(0, 50), into="s.h5")
    assert NormalEquations.load("s.h5").n_samples == 150


@pytest.mark.parametrize("kind", ["mapped", "chunks"])
def test_rows_that_lie_between_those_that_tables_are_found_by(no_client, kind):
    """A file that is being filled, of which no row is written that a full one would be found by."""
    n_rows, rows = (1000, slice(519, 560)) if kind == "mapped" else (500_000, slice(270_000, 380_000))
    rng = np.random.default_rng(1)
    table, labels = rng.standard_normal((n_rows, D)), rng.standard_normal(n_rows)
    write("y.h5", labels)
    if kind == "mapped":
        write("part.h5", table[rows])
        layout = h5py.VirtualLayout(table.shape, "f8")
        layout[rows] = h5py.VirtualSource("part.h5", "data", table[rows].shape)
        with h5py.File("x.h5", "w") as file:
            file.create_virtual_dataset("data", layout)
    else:
        with h5py.File("x.h5", "w") as file:
            file.create_dataset("data", table.shape, "f8", chunks=(10_000, D))[rows] = table[rows]
    n = rows.stop - rows.start
    assert counted(rows).n_samples == n
    assert counted(rows).n_samples == n
    os.remove("x.h5")
    write("x.h5", table)
    assert counted(rows).n_samples == n
    total = counted(None)
    assert (total.n_samples, len(total.ledger.sources)) == (n_rows, 1)
    # Given twice in one call.
    with pytest.raises(DataError, match="every row must count once"):
        ELMRegressor(5, random_state=0).initialize(X).accumulate(["x.h5", "x.h5"], np.r_[labels, labels])


def test_a_file_is_made_empty_and_filled_chunk_by_chunk(no_client):
    make_hdf5((N, D), "x.h5")
    early = from_hdf5("x.h5")
    for start in range(0, N, 150):
        with h5py.File("x.h5", "r+") as file:
            file["data"][start : start + 150] = X[start : start + 150]
    np.testing.assert_array_equal(from_hdf5("x.h5").compute(), X)
    with pytest.raises(FileFormatError, match=r"x\.h5 changed .* another version .*Start again"):
        early.compute()


@pytest.mark.parametrize("fillvalue", [np.nan, 9.969209968386869e36])
def test_a_fill_value_that_means_missing_is_missing(no_client, fillvalue):
    with h5py.File("v.h5", "w") as file:
        file.create_dataset("data", X.shape, "f8", chunks=(100, D), fillvalue=fillvalue)[:400] = X[:400]
    found = from_hdf5("v.h5").compute()
    np.testing.assert_array_equal(found[:400], X[:400])
    assert np.isnan(found[400:]).all()
    with pytest.raises(ValueError, match=r"X must be finite; got NaN first in row 400 of .*v\.h5"):
        fit("v.h5")


def test_empty_and_small_datasets_are_written():
    with h5py.File("v.h5", "w") as file:
        file.create_dataset("rows", (0, D), "f8", maxshape=(None, D))
        file.create_dataset("columns", (5, 0), "f8", maxshape=(5, None))
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        h5py.h5d.create(file.id, b"compact", h5py.h5t.NATIVE_DOUBLE, h5py.h5s.create_simple((4, 2)), compact)
    shapes = {name: from_hdf5("v.h5", dataset=name).compute().shape for name in ("rows", "columns", "compact")}
    assert shapes == {"rows": (0, D), "columns": (5, 0), "compact": (4, 2)}


@pytest.mark.parametrize("make", [virtual, raw, unwritten], ids=lambda make: make.__name__)
def test_what_is_not_in_the_file_is_not_normalised_in_place(make):
    make()
    before = {name: Path(name).read_bytes() for name in os.listdir()}
    with pytest.raises((DataError, FileFormatError), match="must hold its rows itself|were never written"):
        modules.normalize_hdf5("v.h5", mean=np.zeros(D), std=np.ones(D))
    assert {name: Path(name).read_bytes() for name in os.listdir()} == before


# Where HDF5 looks for files.


def kept_apart(monkeypatch, virtual_prefix=None, cwd=None):
    """A virtual dataset in a/, its sources in b/."""
    virtual(folder="a")
    os.mkdir("b")
    for name in ("a.h5", "b.h5", "c.h5"):
        os.rename(f"a/{name}", f"b/{name}")


@pytest.mark.parametrize("where", ["prefix", "list of prefixes", "origin", "folder of the process", "behind a link"])
def test_sources_are_looked_for_as_hdf5_does(monkeypatch, where):
    kept_apart(monkeypatch)
    path = os.path.abspath("a/v.h5")
    with pytest.raises(FileMissingError, match=r"a\.h5, from which rows 0 to 199 .* looked for .*/a/a\.h5, "):
        from_hdf5(path)
    if where == "prefix":
        monkeypatch.setenv("HDF5_VDS_PREFIX", os.path.abspath("b"))
    elif where == "list of prefixes":
        monkeypatch.setenv("HDF5_VDS_PREFIX", f"none:{os.path.abspath('b')}")
    elif where == "origin":
        # Read by HDF5 when it starts.
        code = "from daskelm import from_hdf5; print(from_hdf5('a/v.h5').compute().sum())"
        environment = os.environ | {"HDF5_VDS_PREFIX": "${ORIGIN}/../b"}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert float(done.stdout) == pytest.approx(X.sum())
        return
    elif where == "folder of the process":
        monkeypatch.chdir("b")
    else:
        os.rename("a/v.h5", "b/v.h5")
        os.symlink("../b/v.h5", "a/v.h5")
    np.testing.assert_array_equal(from_hdf5(path).compute(), X)


def test_an_absolute_name_that_is_gone_is_looked_for_beside_the_file():
    folder = os.path.abspath("first")
    names = [f"{folder}/{name}" for name in ("a.h5", "b.h5", "c.h5")]
    virtual("v.h5", folder, names)
    os.rename("first", "second")
    np.testing.assert_array_equal(from_hdf5("second/v.h5").compute(), X)
    assert files_of(h5py.File("second/v.h5")["data"])[1] == os.path.abspath("second/a.h5")


def test_the_first_place_is_taken(monkeypatch):
    virtual(folder="a")
    write("b/a.h5", X[:200] + 1)
    monkeypatch.setenv("HDF5_VDS_PREFIX", os.path.abspath("b"))
    source = from_hdf5("a/v.h5")
    np.testing.assert_array_equal(source[:200].compute(), X[:200] + 1)
    with h5py.File("a/v.h5") as file:
        found = files_of(file["data"])
    assert found == [os.path.abspath(name) for name in ("a/v.h5", "b/a.h5", "a/b.h5", "a/c.h5")]


def test_raw_files_are_looked_for_as_hdf5_does(monkeypatch):
    os.mkdir("a")
    monkeypatch.chdir("a")
    raw()
    np.testing.assert_array_equal(from_hdf5("v.h5").compute(), X)
    assert files_of(h5py.File("v.h5")["data"]) == [os.path.abspath(name) for name in ("v.h5", "a.bin", "b.h5")]
    monkeypatch.chdir("..")
    with pytest.raises(
        FileMissingError, match=r"/a\.bin, the raw file of rows 0 to 299 of '/data' in .*a/v\.h5, .*ORIGIN"
    ):
        from_hdf5("a/v.h5")
    code = "from daskelm import from_hdf5; print(from_hdf5('a/v.h5').compute().sum())"
    for prefix in ("${ORIGIN}", "a", os.path.abspath("a"), "${ORIGIN}/../a"):
        environment = os.environ | {"HDF5_EXTFILE_PREFIX": prefix}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert float(done.stdout) == pytest.approx(X.sum())


def test_a_dataset_that_was_opened_with_a_prefix_is_refused(monkeypatch):
    kept_apart(monkeypatch)
    with h5py.File("a/v.h5") as file:
        access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
        access.set_virtual_prefix(os.path.abspath("b").encode())
        dataset = h5py.Dataset(h5py.h5d.open(file.id, b"data", access))
        np.testing.assert_array_equal(dataset[:], X)
        with pytest.raises(FileFormatError, match=r"opened with virtual_prefix=.*Set .*HDF5_VDS_PREFIX"):
            from_hdf5(dataset)


def test_a_virtual_dataset_that_is_its_own_source_is_an_error():
    layout = h5py.VirtualLayout(X.shape, "f8")
    layout[:] = h5py.VirtualSource(".", "data", X.shape)
    with h5py.File("v.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    with pytest.raises(FileFormatError, match="must come to an end; got sources of sources"):
        from_hdf5("v.h5")


def test_sources_in_the_same_file_and_behind_links():
    with h5py.File("v.h5", "w") as file:
        file["here"] = X[:300]
    write("far.h5", X[300:])
    with h5py.File("between.h5", "w") as file:
        file["there"] = h5py.ExternalLink("far.h5", "data")
    layout = h5py.VirtualLayout(X.shape, "f8")
    layout[:300] = h5py.VirtualSource("v.h5", "here", (300, D))
    layout[300:] = h5py.VirtualSource("between.h5", "there", (300, D))
    with h5py.File("v.h5", "a") as file:
        file.create_virtual_dataset("data", layout)
    source = from_hdf5("v.h5", dataset="data")
    np.testing.assert_array_equal(source.compute(), X)
    names = ("v.h5", "between.h5", "far.h5")
    assert files_of(h5py.File("v.h5")["data"]) == [os.path.abspath(name) for name in names]
    os.remove("far.h5")
    with pytest.raises(FileFormatError, match=r"far\.h5"):
        source.compute()


@pytest.mark.parametrize("what", ["columns", "gaps"])
def test_virtual_datasets_that_cannot_be_looked_through_are_refused(what):
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    endless, space = h5py.h5s.UNLIMITED, h5py.h5s.create_simple((4, 4), (h5py.h5s.UNLIMITED,) * 2)
    here = space.copy()
    there = h5py.h5s.create_simple((8, 4), (endless, endless))
    if what == "columns":
        here.select_hyperslab((0, 0), (1, endless), (4, 4), (4, 4))
        there = h5py.h5s.create_simple((4, 4))
    else:
        here.select_hyperslab((0, 0), (endless, 1), (2, 4), (2, 4))
        there.select_hyperslab((0, 0), (endless, 1), (4, 4), (2, 4))
    made.set_virtual(here, b"a%b.h5" if what == "columns" else b"a0.h5", b"data", there)
    write("a0.h5", np.ones((8, 4)), maxshape=(None, None))
    with h5py.File("v.h5", "w") as file:
        h5py.h5d.create(file.id, b"data", h5py.h5t.NATIVE_DOUBLE, space, made)
    with pytest.raises(FileFormatError, match=r"v\.h5: virtual dataset '/data' has .*cannot be checked"):
        from_hdf5("v.h5")


# Links to other files.


def linked():
    """A master file of links, each to X, beside a dataset of another kind with the same name."""
    write("far/raw.h5", X, name="g/data")
    write("far/raw.h5", X, name="data")
    write("far/raw.h5", X + 5, name="decoy")
    write("other.h5", X + 1, name="x/data")
    with h5py.File("far/raw.h5", "a") as file:
        file["soft"] = h5py.SoftLink("/g/data")
        file["on"] = h5py.ExternalLink("../far/third.h5", "/deep/data")
    write("far/third.h5", X, name="deep/data")
    with h5py.File("master.h5", "w") as file:
        for name in ("data", "g/data", "soft", "on", "deep/data", "group/data"):
            file[f"own/{name}"] = file[name] = np.ones((N, D))
        del file["group"], file["soft"], file["on"]
        file["link"] = h5py.ExternalLink("far/raw.h5", "data")
        file["to_soft"] = h5py.ExternalLink("far/raw.h5", "soft")
        file["to_link"] = h5py.ExternalLink("far/raw.h5", "on")
        file["group"] = h5py.ExternalLink("far/raw.h5", "/g")
        file["soft"] = file["decoy"] = h5py.SoftLink("/group/data")
        file["entry/link"] = h5py.ExternalLink("far/raw.h5", "g/data")
        file["self"] = h5py.ExternalLink("master.h5", "/own/data")
        file["away"] = h5py.ExternalLink("nothere.h5", "/d")
        file["no_name"] = h5py.ExternalLink("far/raw.h5", "/nothing")
        file["dangling"] = h5py.SoftLink("/nothing")
        file["dangling_on"] = h5py.SoftLink("/away")


LINKS = {
    "link": "far/raw.h5:/data",
    "to_soft": "far/raw.h5:/soft",
    "to_link": "far/third.h5:/deep/data",
    "group/data": "far/raw.h5:/g/data",
    "soft": "far/raw.h5:",
    # Of a name that another dataset has there.
    "decoy": "far/raw.h5:/g/data",
    "entry/link": "far/raw.h5:/g/data",
}


@pytest.mark.parametrize("name", LINKS)
def test_links_are_followed_to_their_own_file(no_client, name):
    linked()
    opened = h5py.File("master.h5")
    for source in (open_rows("master.h5", name), open_rows(opened[name])):
        [part] = source.parts
        assert os.path.abspath(LINKS[name]).startswith(part.path)
        assert f"{part.path}:{part.dataset}".startswith(os.path.abspath(LINKS[name]))
        assert h5py.File(part.path)[part.dataset].shape == (N, D)
        np.testing.assert_array_equal(source.read(0, N), X)
    want = ELMRegressor(5, random_state=0).fit(X, y).coef_
    for data in (from_hdf5("master.h5", dataset=name), opened[name]):
        np.testing.assert_allclose(ELMRegressor(5, random_state=0).fit(data, y).coef_, want, rtol=1e-9)


def test_a_link_to_the_file_itself_stays_in_it():
    linked()
    [part] = open_rows("master.h5", "self").parts
    assert (part.path, part.dataset) == (os.path.abspath("master.h5"), "/own/data")


@pytest.mark.parametrize(
    ("name", "text"),
    {
        "away": r"'away' is a link to nothere\.h5:/d, which is not there\. Put the file",
        "away/more": r"'away' is a link to nothere\.h5:/d, which is not there",
        "no_name": r"'no_name' is a link to far/raw\.h5:/nothing, which is not there",
        "dangling": r"'dangling' is a link to /nothing, which is not there",
        "dangling_on": r"'dangling_on' is a link to /away, which is not there",
        "group/none": r"has no dataset 'group/none'; it holds .* and \d+ more",
        "group": r"has no dataset 'group'; it holds ",
    }.items(),
)
def test_links_to_what_is_not_there_are_told(name, text):
    linked()
    with pytest.raises(DatasetNotFoundError, match=rf"master\.h5.*{text}"):
        from_hdf5("master.h5", dataset=name)
    done = run("init", f"master.h5::{name}", "model.h5", "--neurons", "5")
    assert done.exit_code == 2, done.output
    assert not os.path.exists("model.h5")


def test_a_file_of_links_alone_is_what_they_lead_to():
    write("far/raw.h5", X)
    with h5py.File("master.h5", "w") as file:
        file["entry/data"] = h5py.ExternalLink("../far/raw.h5", "data")
        file["entry/folder"] = h5py.ExternalLink("../far/raw.h5", "/")
    with pytest.raises(
        DatasetNotFoundError, match=r"got entry/data \(link to \.\./far/raw\.h5:data, which is not there\)"
    ):
        from_hdf5("master.h5")
    os.mkdir("near")
    os.rename("master.h5", "near/master.h5")
    np.testing.assert_array_equal(from_hdf5("near/master.h5").compute(), X)
    with h5py.File("near/master.h5", "a") as file:
        file["more"] = h5py.ExternalLink("../far/raw.h5", "data")
    with pytest.raises(DatasetNotFoundError, match=r"got entry/data \(link .*, entry/folder .*, more \(link to"):
        from_hdf5("near/master.h5")
    # What it holds itself goes before.
    write("near/master.h5", X + 1, name="own")
    np.testing.assert_array_equal(from_hdf5("near/master.h5").compute(), X + 1)


@pytest.fixture
def pipe():
    """A pipe in the place of a file that links lead to. Whoever opens it to read waits, until somebody writes."""
    os.mkfifo("pipe.h5")
    with h5py.File("far.h5", "w") as file:
        file["data"] = h5py.ExternalLink("pipe.h5", "data")
    with h5py.File("links.h5", "w") as file:
        file["link"] = h5py.ExternalLink("pipe.h5", "data")
        file["soft"] = h5py.SoftLink("/link")
        file["by"] = h5py.ExternalLink("far.h5", "data")
        file["circle"] = h5py.SoftLink("/circle/on")
    shutil.copy("links.h5", "own.h5")
    write("own.h5", X)
    layout = h5py.VirtualLayout(X.shape, "f8")
    layout[:] = h5py.VirtualSource("far.h5", "data", X.shape)
    with h5py.File("v.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    return os.path.abspath("pipe.h5")


def within(seconds, code):
    """What a program prints and returns, that must end in this time."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=seconds, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("call", "says"),
    {
        "from_hdf5('own.h5')": "done",
        "from_hdf5('own.h5', dataset='data')": "done",
        "from_hdf5('links.h5')": r"DatasetNotFoundError: .*links\.h5 must hold exactly one .*link to pipe\.h5:data",
        "from_hdf5('links.h5', dataset='circle')": r"DatasetNotFoundError: .*'circle' is a link to /circle/on",
        "from_hdf5('links.h5', dataset='link')": r"FileFormatError: .*'link' must lead to .*pipe\.h5, which is a pipe",
        "from_hdf5('links.h5', dataset='soft')": r"FileFormatError: .*'soft' must lead to .*pipe\.h5, which is a pipe",
        "from_hdf5('links.h5', dataset='by')": r"FileFormatError: .*'by' must lead to .*pipe\.h5, which is a pipe",
        "from_hdf5('links.h5', dataset='no')": r"DatasetNotFoundError: .*has no dataset 'no'; it holds .*pipe\.h5",
        "from_hdf5('v.h5')": r"FileFormatError: .*far\.h5 must hold .*; got a link to .*pipe\.h5, which is a pipe",
        "cli(['info', 'own.h5', 'links.h5'])": r"soft  link to /link, which is not there",
        "cli(['info', 'links.h5::link'])": r"'link' must lead to a dataset in a file",
    }.items(),
)
def test_links_to_pipes_are_not_waited_for(pipe, call, says):
    code = f"from daskelm import from_hdf5\nfrom daskelm.cli import cli\n{call}\nprint('done')"
    assert re.search(says, within(30, code)[1], re.S)


def test_links_beside_a_table_of_its_own_are_not_followed(monkeypatch):
    write("x.h5", X)
    with h5py.File("x.h5", "a") as file:
        file["link"] = h5py.ExternalLink("nothere.h5", "data")
    followed = []
    monkeypatch.setattr(hdf5, "links_in", lambda file: followed.append(file) or {})
    assert open_rows("x.h5").n_rows == N
    assert not followed
    with h5py.File("x.h5", "a") as file:
        del file["data"]
    with pytest.raises(DatasetNotFoundError, match="must hold exactly one"):
        open_rows("x.h5")
    assert followed


def test_info_lists_links_and_where_numbers_lie():
    linked()
    virtual()
    unwritten_info = write("part.h5", X[:200], maxshape=(None, D), chunks=(100, D))
    with h5py.File(unwritten_info, "a") as file:
        file["data"].resize(N, axis=0)
    text = run("info", "master.h5").output
    for line in (
        "link  link to far/raw.h5:data",
        "away  link to nothere.h5:/d, which is not there",
        "group  link to far/raw",
    ):
        assert f"  {line}" in text
    [facts] = json.loads(run("info", "--json", "master.h5").output)
    assert {"name": "away", "to": "nothere.h5:/d", "there": False} in facts["links"]
    assert f"in {os.path.abspath('far/raw.h5')}::data" in run("info", "master.h5::link").output
    assert "read from a.h5, b.h5, c.h5" in run("info", "v.h5").output
    assert "rows never written: 200:600" in run("info", "part.h5").output
    os.remove("b.h5")
    assert "read from a.h5, b.h5, c.h5" in run("info", "v.h5").output


# What NumPy does not have, and other rarities.


def odd():
    """A file with a table beside numbers that NumPy does not have, and a link of another program's own kind."""
    with h5py.File("odd.h5", "w") as file:
        file["X"] = X
        space = h5py.h5s.create_simple((4,))
        h5py.h5d.create(file.id, b"time", h5py.h5t.UNIX_D32LE, space)
        quad = h5py.h5t.IEEE_F64LE.copy()
        quad.set_size(16)
        quad.set_precision(128)
        quad.set_fields(127, 112, 15, 0, 112)
        quad.set_ebias(16383)
        h5py.h5d.create(file.id, b"quad", quad, space)
        file["ours"] = h5py.ExternalLink("nothere.h5", "/d")
    content = bytearray(Path("odd.h5").read_bytes())
    # The kind of the link stands before its name.
    at = content.rfind(b"\x40", 0, content.find(b"nothere.h5"))
    content[at] = 70
    Path("odd.h5").write_bytes(content)


def test_what_cannot_be_described_does_not_end_the_file(no_client):
    odd()
    np.testing.assert_array_equal(from_hdf5("odd.h5").compute(), X)
    fit("odd.h5")
    done = run("info", "odd.h5")
    assert done.exit_code == 0, done.output
    assert "time  (4,) unknown to NumPy" in done.output
    assert "quad  (4,) unknown to NumPy" in done.output
    assert "ours  link to what only the program that wrote it knows (user-defined, kind 70)" in done.output
    assert run("init", "odd.h5", "model.h5", "--neurons", "5").exit_code == 0
    for name in ("time", "quad"):
        with pytest.raises(InputTypeError, match=rf"'/{name}' must hold numbers; got a type that NumPy does not have"):
            from_hdf5("odd.h5", dataset=name)
    with pytest.raises(DatasetNotFoundError, match="'ours' is a link to what only the program"):
        from_hdf5("odd.h5", dataset="ours")
    with h5py.File("odd.h5", "a") as file:
        del file["X"]
    with pytest.raises(
        DatasetNotFoundError, match=r"got quad \(4,\) of a type that NumPy does not have, time \(4,\) of"
    ):
        from_hdf5("odd.h5")


def test_a_dataset_without_a_fill_value_is_read(no_client):
    write("v.h5")
    content = bytearray(Path("v.h5").read_bytes())
    # Version, time of allocation and of filling, whether there is a value, its size.
    at = content.find(b"\x02\x02\x02\x01\x00\x00\x00\x00")
    content[at + 3] = 0
    Path("v.h5").write_bytes(content)
    with h5py.File("v.h5") as file, pytest.raises(RuntimeError, match="fill value is undefined"):
        file["data"].fillvalue  # noqa: B018
    np.testing.assert_array_equal(from_hdf5("v.h5").compute(), X)
    fit("v.h5")
    for command in (["info", "v.h5"], ["init", "v.h5", "model.h5", "--neurons", "5"], ["check", "v.h5"]):
        assert run(*command).exit_code == 0


# Files that change.


def rewritten(path, data=X + 1, **options):
    """Write a file anew, of the same layout and size, in the place of the old one."""
    before = os.path.getsize(path)
    write("new.h5", data, **options)
    assert os.path.getsize("new.h5") == before
    os.replace("new.h5", path)


def in_place(path):
    with open(path, "r+b") as file:
        file.seek(-8, os.SEEK_END)
        file.write(bytes(8))


def same_date(path):
    status = os.stat(path)
    rewritten(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGED = r"changed while it was in use: '/data' had 600 rows, got another version .*Start again"


@pytest.mark.parametrize("change", [rewritten, in_place, os.remove])
@pytest.mark.parametrize("make", [write, virtual, raw], ids=lambda make: make.__name__)
def test_a_file_that_changes_before_it_is_read_is_told(no_client, make, change):
    path = make("v.h5")
    lazy, rows = from_hdf5(path, chunks=100), open_rows(path)
    changed = {"write": "v.h5", "virtual": "b.h5", "raw": "b.h5"}[make.__name__]
    if change is os.remove:
        os.remove(changed)
    elif make is raw:
        Path("b.h5").write_bytes(bytes(X.nbytes // 2))
    elif make is virtual and change is in_place:
        with h5py.File("b.h5", "r+") as file:
            file["data"][:] = 0
    else:
        change(changed, *([X[:200] + 1] if make is virtual else []))
    text = CHANGED if change is not os.remove else r"v\.h5: no such file|b\.h5, (from which|the raw file)"
    with pytest.raises(OSError, match=text):
        lazy.compute()
    with pytest.raises(OSError, match=text):
        rows.read(0, N)
    if change is not os.remove:
        assert from_hdf5(path, chunks=100).name != lazy.name
        assert not np.array_equal(from_hdf5(path).compute(), X)


@pytest.mark.parametrize("change", [rewritten, in_place, same_date, os.remove])
def test_a_file_that_changes_while_it_is_read_is_told(no_client, change):
    rows = open_rows(write("v.h5"))
    gone = FileMissingError, r"v\.h5: there is no file any more"
    error, message = gone if change is os.remove else (FileFormatError, r"v\.h5 changed while it was in use")
    with pytest.raises(error, match=message):
        read_around(rows, (0, 10), lambda: change("v.h5"), (500, 510))
    # An error of the caller's own is not hidden by another one.
    rows = open_rows(write("w.h5"))
    with pytest.raises(RuntimeError, match="own"):
        read_around(rows, (0, 10), lambda: (os.remove("w.h5"), fail()), (500, 510))


def read_around(rows, before, change, after):
    with rows.open() as reader:
        reader.read(*before)
        change()
        reader.read(*after)


def fail():
    raise RuntimeError("own")


@pytest.mark.parametrize("make", [virtual, raw], ids=lambda make: make.__name__)
def test_a_source_that_changes_while_it_is_read_is_told(no_client, make):
    rows = open_rows(make("v.h5"))
    with pytest.raises(FileMissingError, match=r"b\.h5: there is no file any more"):
        read_around(rows, (200, 400), lambda: os.remove("b.h5"), (350, 400))


def test_a_file_that_changes_between_two_tasks_of_a_fit_is_told(no_client, monkeypatch):
    write("v.h5", np.resize(X, (20_000, D)))
    target, calls = np.resize(y, 20_000), []
    real = OpenPart.__init__

    def replace_once(self, part, *args, **kwargs):
        calls.append(part)
        if len(calls) == 3:
            rewritten("v.h5", np.resize(X + 1, (20_000, D)))
        real(self, part, *args, **kwargs)

    monkeypatch.setattr(OpenPart, "__init__", replace_once)
    with (
        dask.config.set(scheduler="synchronous"),
        pytest.raises(FileFormatError, match="got another version of the file"),
    ):
        ELMRegressor(5, random_state=0).fit("v.h5", target)


def test_the_same_table_has_the_same_name():
    path = write("v.h5")
    assert from_hdf5(path).name == from_hdf5(path).name
    assert open_rows(path) == open_rows(path)
    assert hash(open_rows(path)) == hash(open_rows(path))


def test_a_copy_that_was_there_before_is_no_change(no_client):
    rows = open_rows(write("v.h5"))
    shutil.copy("v.h5", "copy.h5")
    os.replace("copy.h5", "v.h5")
    with pytest.raises(FileFormatError, match="changed while it was in use"):
        rows.read(0, N)
    # As on another machine's disk: of another date, but written before the table was described here.
    [part] = rows.parts
    later = replace(part, described_at=time.time_ns() + 10**9)
    np.testing.assert_array_equal(rows.of_part(later).read(0, N), X)


# Workers.


def test_workers_that_lack_a_source_are_told_before_any_work(client, tmp_path):
    """Each worker has a folder of its own at one path, of which one lacks a file."""
    here = "/proc/self/cwd"
    folders = [tmp_path / name for name in ("ours", "first", "second")]
    for folder in folders:
        folder.mkdir()
        os.chdir(folder)
        virtual()
        raw("r.h5", ("x.bin", "y.bin"))
    os.chdir(folders[0])
    # Copies lay there before: by more than the clocks of files are coarse.
    time.sleep(0.1)
    workers = list(client.scheduler_info()["workers"])
    before = client.run(os.getcwd)
    try:
        for worker, folder in zip(workers, folders[1:], strict=True):
            client.run(os.chdir, str(folder), workers=[worker])
        for name in ("v.h5", "r.h5"):
            rows = open_rows(f"{here}/{name}")
            check_visible([rows], client)
            # Copies of other dates are no change, where they lay there before.
            model = ELMRegressor(5, alpha=1.0, random_state=0).fit(rows, y)
            np.testing.assert_allclose(
                model.coef_, ELMRegressor(5, alpha=1.0, random_state=0).fit(X, y).coef_, rtol=1e-8
            )
            assert "ok" in run("check", f"{here}/{name}", "--scheduler", client.scheduler.address).output
            gone = {"v.h5": "b.h5", "r.h5": "y.bin"}[name]
            os.remove(folders[2] / gone)
            with pytest.raises(FileMissingError, match=rf"{gone} .* must be visible on every worker .*{workers[1]}"):
                fit(rows)
            found = run("check", f"{here}/{name}", "--scheduler", client.scheduler.address)
            assert found.exit_code == 4, found.output
            assert f"{gone} (of {here}/{name}) must be visible on every worker" in found.output
            with pytest.raises(FileMissingError, match=gone):
                client.submit(rows.read, 0, N, workers=[workers[1]]).result()
            with pytest.raises(FileMissingError, match=gone):
                client.submit(from_hdf5, f"{here}/{name}", workers=[workers[1]]).result()
    finally:
        for worker, folder in before.items():
            client.run(os.chdir, folder, workers=[worker])


def test_unwritten_rows_are_told_before_any_work(client):
    unwritten()
    rows = open_rows("v.h5")
    with pytest.raises(FileFormatError, match="rows 400 to 599 of '/data' were never written"):
        check_visible([rows], client)
    check_visible([rows.rows(slice(0, 400))], client)
    check_visible([rows], client, [(0, 100), (200, 400)])
    found = run("check", "v.h5", "--scheduler", client.scheduler.address)
    assert found.exit_code == 4, found.output
    assert "v.h5: rows 400 to 599 of '/data' were never written" in found.output


@every_layout
def test_what_goes_to_workers_travels(make):
    rows = open_rows(make())
    again, function = pickle.loads(pickle.dumps((rows, sizes_of_parts)))
    np.testing.assert_array_equal(again.read(0, N), X)
    sizes = function(again.parts)
    assert pickle.loads(pickle.dumps(sizes)) == sizes
    assert sizes.pop(os.path.abspath("v.h5")) == os.path.getsize("v.h5")
    assert sizes
    assert all(isinstance(size, int) for size in sizes.values())
    assert len(pickle.dumps(rows)) < 2000


def test_many_sources_take_few_handles(no_client):
    """More of them than a process may have open."""
    many = np.arange(1500.0).reshape(500, 3)
    virtual("v.h5", names=[f"s{i}.h5" for i in range(250)], data=many)
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))\n"
        "import numpy as np; from daskelm import from_hdf5; from daskelm.hdf5.rows import open_rows\n"
        "assert from_hdf5('v.h5', chunks=20).compute(scheduler='synchronous').sum() == np.arange(1500.0).sum()\n"
        "with open_rows('v.h5').open() as reader:\n"
        "    assert sum(reader.read(i, i + 10).sum() for i in range(0, 500, 10)) == np.arange(1500.0).sum()\n"
        "try:\n    open_rows('v.h5').read(0, 500)\nexcept OSError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.search(r"s\d+\.h5, from which rows .* cannot be opened .*Too many open files", done.stdout)


@pytest.mark.parametrize("chunks", [(100, D), None])
def test_what_hdf5_fills_is_no_data_at_urls(chunks):
    import fsspec

    with h5py.File("v.h5", "w") as file:
        data = file.create_dataset("data", X.shape, "f8", chunks=chunks)
        if chunks:
            data[:400] = X[:400]
        missing = file.create_dataset("missing", X.shape, "f8", chunks=chunks, fillvalue=np.nan)
        if chunks:
            missing[:400] = X[:400]
    fs = fsspec.filesystem("memory")
    fs.put("v.h5", "/v.h5")
    try:
        with pytest.raises(
            FileFormatError, match=f"memory://v.h5: rows {400 if chunks else 0} to .* were never written"
        ):
            from_hdf5("memory://v.h5", dataset="data").compute()
        if chunks:
            np.testing.assert_array_equal(from_hdf5("memory://v.h5", "data", rows=slice(0, 400)).compute(), X[:400])
        found = from_hdf5("memory://v.h5", "missing").compute()
        assert np.isnan(found[400:]).all()
    finally:
        fs.rm("/v.h5")


# Chunks of files that are larger than what is kept of them elsewhere.


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
    keep = hdf5_part._RowOfChunks
    monkeypatch.setattr(hdf5_part, "_RowOfChunks", lambda dataset: kept.append(dataset) or keep(dataset))
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
