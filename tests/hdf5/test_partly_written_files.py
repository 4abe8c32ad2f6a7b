"""Files that are being filled: rows count once, and are recognised when the file is full or others were mended."""

import contextlib
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from layouts import RNG, D, N, X, unwritten, write, y

from daskelm import ELMClassifier, ELMRegressor, NormalEquations, from_hdf5, make_hdf5
from daskelm.exceptions import AlikeTablesWarning, DataError, FileFormatError, RowsCountedError

pytestmark = pytest.mark.usefixtures("empty_folder")


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
    told = pytest.warns(AlikeTablesWarning, match="x.h5:/data has changed since its rows were added")
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
    with pytest.warns(AlikeTablesWarning, match=r"x\.h5:/data has changed since its rows were added"):
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


WRITER = """
import os, sys, h5py, numpy as np
file = h5py.File("v.h5", "w", libver="latest")
data = file.create_dataset("data", (0, 3), "f8", maxshape=(None, 3), chunks=(10, 3))
if sys.argv[1] == "swmr":
    file.swmr_mode = True
data.resize(50, 0)
data[:] = 1
file.flush()
os._exit(0)
"""


@pytest.mark.parametrize("mode", ["swmr", "alone"])
def test_a_file_that_its_writer_did_not_close_says_what_clears_its_mark(mode):
    subprocess.run([sys.executable, "-c", WRITER, mode], check=True)
    message = (
        r"v\.h5 is open for writing, or its writer ended without closing it\. Close it there\..* h5clear -s v\.h5\."
    )
    with pytest.raises(FileFormatError, match=message) as caught:
        from_hdf5("v.h5")
    assert "make_hdf5" not in str(caught.value)
    with pytest.raises(FileFormatError, match=message):
        ELMRegressor(5).fit("v.h5", np.ones(50))
