"""The command daskelm make-hdf5: options of text tables, what is said, and errors in the command's own words."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from command import finished, invoke, process, refused, run

from daskelm.hdf5.columns import columns_of

TABLE = "made by hand\nid;town;x;y\na;Oslo;1,5;NA\nb;Rome;2,5;-999\nb;Oslo;1.003,5;4\n% end\n"
OPTIONS = "--skiprows 1 --decimal , --thousands . --comment %"


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text(TABLE)


def names(path):
    with h5py.File(path) as file:
        return {column.name: column.levels for column in columns_of(file["data"], path)}


def test_all_options():
    result = invoke(f"make-hdf5 t.csv t.h5 {OPTIONS} --except id --missing -999,none")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "t.h5: data (3, 3) float64\n"
    assert "make_hdf5: t.csv: delimiter: ';', header: line 2\n" in result.stderr
    assert "make_hdf5: gaps, which are NaN in the file: y 2\n" in result.stderr
    with h5py.File("t.h5") as file:
        np.testing.assert_array_equal(file["data"][:], [[0, 1.5, np.nan], [1, 2.5, np.nan], [0, 1003.5, 4]])
    assert names("t.h5") == {"town": ("Oslo", "Rome"), "x": None, "y": None}
    run(f"make-hdf5 t.csv t.h5 {OPTIONS} --columns y,1 --delimiter ; --header --quiet".replace(";", "';'"))
    assert list(names("t.h5")) == ["y", "town"]
    Path("l.csv").write_bytes('höhe,"a,b"\n1,2\n'.encode("latin-1"))
    run("make-hdf5 l.csv l.h5 --encoding latin-1 --columns '\"a,b\",höhe'")
    assert list(names("l.h5")) == ["a,b", "höhe"]


def test_what_may_be_meant_otherwise_is_said_in_one_line():
    Path("w.csv").write_text("400,402,404\n0.5,1,2\n")
    status, _, stderr = finished(process("make-hdf5", "w.csv", "w.h5", "--quiet"))
    assert status == 0
    assert stderr.startswith("daskelm: warning: w.csv, line 1: its numbers (400, 402, 404, ...) are taken as a row")
    assert stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--skiprows 1 --comment %", "give decimal=','. On the command line: --decimal."),
        (f"{OPTIONS} --except z", "The table has 'id', 'town', 'x', 'y'. On the command line: --except."),
        (f"{OPTIONS} --columns id,id", "columns must name each column once"),
        ("--comment %", "Give skiprows="),
        (f"{OPTIONS} --columns id,", "must be names of columns with commas between, such as a,b; got 'id,'"),
        (f"{OPTIONS} --missing -,", "must be words with commas between, such as NA,-999; got '-,'"),
        (f"{OPTIONS} --columns id --except x", "columns and exclude both say which columns to take"),
        (f"{OPTIONS} --encoding runes", "On the command line: --encoding."),
    ],
)
def test_errors_name_the_options_of_the_command(options, message):
    result = invoke(f"make-hdf5 t.csv t.h5 --quiet {options}")
    assert result.exit_code == 2
    assert message in result.stderr
    assert not Path("t.h5").exists()


def test_options_of_text_make_no_sense_for_arrays():
    np.save("a.npy", np.arange(6.0).reshape(3, 2))
    for option in ("--skiprows 2", "--decimal ,", "--no-header", "--encoding latin-1"):
        assert "is an option for text tables; data is an array" in refused(f"make-hdf5 a.npy a.h5 --quiet {option}")
    run("make-hdf5 a.npy a.h5 --quiet --columns 1 --missing 3")
    with h5py.File("a.h5") as file:
        np.testing.assert_array_equal(file["data"][:], [[1], [np.nan], [5]])
