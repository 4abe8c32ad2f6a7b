"""What HDF5 fills in is no data: rows that were lost or never written are an error, by any way in, for any use."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from layouts import D, N, X, every_layout, interleaved, nested, raw, side_by_side, unwritten, virtual, write, y

from daskelm import ELMRegressor, from_hdf5, make_hdf5, to_hdf5
from daskelm.cli import cli
from daskelm.exceptions import DaskelmError, DataError, FileFormatError
from daskelm.hdf5.rows import open_rows
from daskelm.hpelm import modules

pytestmark = pytest.mark.usefixtures("empty_folder")


def run(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="daskelm")


@every_layout
@pytest.mark.parametrize("chunks", [50, -1])
def test_what_is_whole_is_read(make, chunks):
    np.testing.assert_array_equal(from_hdf5(make(), chunks=chunks).compute(), X)
    with open_rows("v.h5").open() as reader:
        for start in (0, 150, 300, 450):
            np.testing.assert_array_equal(reader.read(start, start + 150), X[start : start + 150])


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
