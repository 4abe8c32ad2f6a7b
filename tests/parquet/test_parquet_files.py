"""Files, folders and lists of Parquet and Arrow: which are a table, and what is wrong with those that are none."""

import os
import shutil
import subprocess
import sys
import time
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest
from parquet_tables import FRAME, NAMES, N, X, arrow, parquet, y

from daskelm import ELMRegressor, from_hdf5, from_parquet, make_hdf5
from daskelm.exceptions import (
    DataError,
    FileFormatError,
    FileMissingError,
    InputTypeError,
    MissingExtraError,
    ParameterError,
)
from daskelm.hdf5.dataset import _CLOCK_NS
from daskelm.parquet.part import OpenTable
from daskelm.parquet.rows import is_table_path, open_rows

pytestmark = pytest.mark.usefixtures("empty_folder")


def parts(folder="."):
    """Ten files, whose natural order is not that of letters."""
    for i, rows in enumerate(np.array_split(np.arange(N), 11)):
        FRAME[NAMES].iloc[rows].to_parquet(f"{folder}/part{i}.parquet")


def test_lists_globs_and_folders_are_one_table_in_natural_order():
    os.makedirs("folder/deep/_temporary")
    parts("folder/deep")
    # Spark leaves such files.
    for name in ("_SUCCESS", ".part0.parquet.crc", "deep/_temporary/part5.parquet"):
        open(f"folder/{name}", "w").close()
    names = [f"folder/deep/part{i}.parquet" for i in range(11)]
    for path in ("folder", "folder/deep/*.parquet", names, ["folder"], f"file://{os.getcwd()}/folder"):
        assert is_table_path(path)
        np.testing.assert_array_equal(open_rows(path).read(0, N), X)


def test_what_is_no_table_is_left_to_hdf5():
    make_hdf5(X, "X.h5")
    os.mkdir("empty")
    os.mkfifo("pipe")
    for path in ("X.h5", "*.h5", "empty", "pipe", "nothing.parquet", ["X.h5"], [], 5, None):
        assert not is_table_path(path)
    with pytest.raises(FileMissingError, match="nothing.parquet: no such file"):
        ELMRegressor().fit("nothing.parquet", y)
    with pytest.raises(FileMissingError, match="nothing.parquet: no such file"):
        from_parquet("nothing.parquet")
    with pytest.raises(FileFormatError, match="pipe is a named pipe; give the name of a file"):
        from_parquet("pipe")
    with pytest.raises(FileFormatError, match="X.h5 must be a Parquet or an Arrow file .* got another kind of file"):
        from_parquet("X.h5")
    with pytest.raises(FileFormatError, match="empty is a folder without Parquet or Arrow files"):
        from_parquet("empty")
    # A name says nothing.
    os.rename(parquet(), "table.h5")
    assert is_table_path("table.h5")


def test_a_list_of_two_formats_is_refused():
    FRAME[NAMES].to_parquet("a.parquet")
    make_hdf5(X, "b.h5")
    with pytest.raises(FileFormatError, match="b.h5 must be a Parquet or an Arrow file"):
        ELMRegressor().fit(["a.parquet", "b.h5"], y)


def test_partitions_in_names_of_folders_are_refused():
    FRAME.to_parquet("hive", partition_cols=["label"])
    with pytest.raises(FileFormatError, match="folder 'label=7' holds the value of a column .* would be lost"):
        open_rows("hive")


@pytest.mark.parametrize("make", [parquet, arrow])
@pytest.mark.parametrize("n_bytes", [0, 3, 100, -20])
def test_a_file_that_is_cut_short_is_an_error(make, n_bytes):
    path = make()
    with open(path, "rb") as file:
        content = file.read()
    with open(path, "wb") as file:
        file.write(content[:n_bytes])
    with pytest.raises(FileFormatError, match=r"cannot be read as a table: it is truncated|must be a Parquet"):
        open_rows(path)


def test_pages_that_are_damaged_are_an_error(no_client):
    rows = open_rows(parquet(), NAMES)
    kept = os.stat("table.parquet")
    with open("table.parquet", "r+b") as file:
        file.seek(30)
        file.write(bytes(3000))
    os.utime("table.parquet", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    with pytest.raises(FileFormatError, match="cannot be read as a table"):
        rows.read(0, N)


def test_other_formats_say_what_they_are():
    with warnings.catch_warnings():
        # pyarrow will not know this version in future.
        warnings.simplefilter("ignore")
        pyarrow.feather.write_feather(FRAME[NAMES], "old.feather", version=1)
        pd.read_feather("old.feather").to_feather("new.feather")
    with pytest.raises(FileFormatError, match="got version 1 of Feather. Write it again"):
        from_parquet("old.feather")
    assert from_parquet("new.feather").shape == X.shape


COLUMNS = {
    "time": (pd.to_datetime(["2026-01-01", "2026-01-02"]), r"'time' \(timestamp.* frame\['time'\].dt.hour"),
    "date": ([pd.Timestamp("2026-01-01").date()] * 2, r"'date' \(date32.*dt.hour"),
    "list": ([[1], [2, 3]], r"'list' \(list.*Make columns of numbers of it"),
    "record": ([{"a": 1}, {"a": 2}], r"'record' \(struct"),
    "bytes": ([b"a", b"b"], r"'bytes' \(.*binary"),
    "long": ([Decimal("12345678901234567890"), Decimal(1)], r"'long' \(decimal.*more digits than float64"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_that_are_no_numbers_are_refused_by_name(no_client, name):
    values, message = COLUMNS[name]
    pd.DataFrame({"x": [0.5, 1.5], name: values}).to_parquet("odd.parquet")
    for use in (from_parquet, lambda path: ELMRegressor().fit(path, [1.0, 2.0]), lambda path: make_hdf5(path, "o.h5")):
        with pytest.raises(InputTypeError, match=f"odd.parquet: columns must hold numbers; got {message}"):
            use("odd.parquet")
    # The remedy works.
    np.testing.assert_array_equal(from_parquet("odd.parquet", columns=["x"]).compute(), [[0.5], [1.5]])


def test_remedies_for_text_and_times_work(no_client):
    import dask.dataframe as dd

    frame = pd.DataFrame({"t": pd.date_range("2026-01-01", periods=50, freq="h"), "s": ["a", "b"] * 25})
    frame.assign(d=[Decimal(2**60)] * 50).to_parquet("odd.parquet")
    lazy = dd.read_parquet("odd.parquet")
    lazy["hour"], lazy["n"] = lazy["t"].dt.hour, lazy["d"].astype("int64")
    coded = dd.get_dummies(lazy[["hour", "n", "s"]].categorize(["s"]))
    make_hdf5(coded, "made.h5")
    assert from_hdf5("made.h5").shape == (50, 4)


def test_wide_integers_are_not_rounded_silently(no_client):
    wide = pd.DataFrame({"id": pd.array([2**60 + 1, None], "Int64"), "x": [0.5, 1.5]})
    wide.to_parquet("wide.parquet")
    with pytest.raises(DataError, match=r"wide.parquet, rows 0 to 1: column 'id' holds integers beyond 2\*\*53"):
        from_parquet("wide.parquet", ["id"]).compute()
    # Beside floats they are rounded, as in a frame.
    np.testing.assert_array_equal(from_parquet("wide.parquet").compute()[0], [float(2**60), 0.5])
    # Without statistics it is unknown whether there are nulls.
    whole = pyarrow.table({"id": [2**60 + 1, 5]})
    pyarrow.parquet.write_table(whole, "bare.parquet", write_statistics=False)
    with pytest.raises(DataError, match="or a file without statistics, make it float64"):
        from_parquet("bare.parquet", "id").compute()
    pyarrow.parquet.write_table(whole, "full.parquet")
    assert from_parquet("full.parquet", "id").compute().tolist() == [2**60 + 1, 5]


def test_columns_are_checked():
    parquet()
    for columns, message in (
        (["a", "z"], r"columns must name columns of the file; got 'z', and it has 'a', 'b', 'c', 'y' and 2 more"),
        ([], r"columns must be a list of names, or one name for a vector; got \[\]"),
        ([0, 1], r"columns must be a list of names"),
        ({"a", "b"}, "columns must be a list of names"),
        (["a", "b", "a"], "columns must be different; got 'a' twice"),
    ):
        with pytest.raises((DataError, ParameterError), match=message):
            from_parquet("table.parquet", columns)
    twice = pyarrow.table([X[:, 0], X[:, 1]], names=["a", "a"])
    pyarrow.parquet.write_table(twice, "twice.parquet")
    with pytest.raises(DataError, match="columns must have different names; got 'a' more than once"):
        from_parquet("twice.parquet")
    with pytest.raises(DataError, match="rows must lie within the 600 rows"):
        from_parquet("table.parquet", NAMES, rows=slice(0, 601))
    with pytest.raises(ParameterError, match="chunks must be 'auto', a number of rows, or -1"):
        from_parquet("table.parquet", NAMES, chunks=0)


def test_files_must_have_the_same_columns():
    FRAME[NAMES].to_parquet("part1.parquet")
    FRAME[["c", "a", "b"]].to_parquet("part2.parquet")
    # Names decide, not places.
    np.testing.assert_array_equal(open_rows("part*.parquet").read(0, 2 * N), np.concatenate([X, X]))
    FRAME[["a", "b"]].to_parquet("part3.parquet")
    with pytest.raises(DataError, match="all files must have the same columns; got no 'c' in .*part3.parquet"):
        open_rows("part*.parquet")
    FRAME[[*NAMES, "y"]].to_parquet("part3.parquet")
    with pytest.raises(DataError, match="got 'y' too in .*part3.parquet, unlike .*part1.parquet"):
        open_rows("part*.parquet")
    assert open_rows("part*.parquet", NAMES).shape == (3 * N, 3)
    # One file has gaps in a column of integers, and the table is float64.
    pd.DataFrame({"i": [1, 2]}).to_parquet("int1.parquet")
    pd.DataFrame({"i": pd.array([3, None], "Int8")}).to_parquet("int2.parquet")
    np.testing.assert_array_equal(open_rows("int*.parquet", "i").read(0, 4), [1, 2, 3, np.nan])


def test_x_must_not_hold_the_target(no_client):
    FRAME[[*NAMES, "y"]].to_parquet("table.parquet")
    with pytest.raises(DataError, match=r"X and y must be different columns of .*table.parquet; .* target=NAME"):
        ELMRegressor().fit("table.parquet", from_parquet("table.parquet", "y"))
    with pytest.raises(DataError, match=r"X and y must be different columns of .*table.parquet; .* from_parquet"):
        ELMRegressor().fit("table.parquet", "table.parquet")
    with pytest.raises(DataError, match=r"X must be 2-D.*Use from_parquet\(path, columns=\['a'\]\)"):
        ELMRegressor().fit(from_parquet("table.parquet", "a"), y)
    with pytest.raises(DataError, match=r"sample_weight must be one number per row.*Name a column: from_parquet"):
        ELMRegressor().fit(from_parquet("table.parquet", NAMES), y, sample_weight="table.parquet")


def rewritten(path):
    parquet("new.parquet", FRAME.assign(a=FRAME["b"]))
    os.replace("new.parquet", path)


def appended(path):
    parquet(path, pd.concat([FRAME, FRAME]))


@pytest.mark.parametrize("change", [rewritten, appended, os.remove])
def test_a_file_that_changes_before_it_is_read_is_an_error(no_client, change):
    lazy = from_parquet(parquet(), NAMES)
    change("table.parquet")
    with pytest.raises((FileFormatError, FileMissingError), match="changed while it was in use|no file any more"):
        lazy.compute()
    with pytest.raises((FileFormatError, FileMissingError), match="changed while it was in use|no file any more"):
        ELMRegressor(5, random_state=0).fit(lazy, y)


def test_a_file_that_changes_while_it_is_read_is_an_error(no_client):
    rows = open_rows(parquet(), NAMES)
    reader = rows.open()
    reader.read(0, 10)
    rewritten("table.parquet")
    with pytest.raises(FileFormatError, match="changed while it was in use"):
        reader.__exit__(None, None, None)


def test_a_copy_that_was_there_before_is_no_change():
    path = parquet()
    shutil.copy(path, "copy.parquet")
    time.sleep(2 * _CLOCK_NS / 1e9)
    rows = open_rows(path, NAMES)
    os.replace("copy.parquet", path)
    # It was renamed, and so is another file since.
    with pytest.raises(FileFormatError, match="changed while it was in use"):
        rows.read(0, 5)


def test_without_pyarrow_the_error_says_how_to_install_it():
    parquet()
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from daskelm import ELMRegressor\n"
        "from daskelm.exceptions import MissingExtraError\n"
        "try: ELMRegressor().fit('table.parquet', [1.0])\n"
        "except MissingExtraError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "need pyarrow, which is not installed" in run.stdout, run.stderr
    assert "pip install 'daskelm[parquet]'" in run.stdout
    assert issubclass(MissingExtraError, ImportError)


def test_reading_takes_one_thread(monkeypatch):
    """Each task has one core: Arrow's own threads would take others."""
    path = parquet(frame=pd.concat([FRAME] * 50), group=3000)
    rows = open_rows(path, NAMES)
    code = (
        "import pickle, sys, threading, os\n"
        "rows = pickle.loads(sys.stdin.buffer.read())\n"
        "rows.read(0, rows.n_rows)\n"
        "print(sorted({open(f'/proc/self/task/{t}/comm').read().strip() for t in os.listdir('/proc/self/task')}))\n"
        "print('pandas' in sys.modules, 'sklearn' in sys.modules, 'dask.array' in sys.modules)"
    )
    import pickle

    run = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(rows), capture_output=True)
    assert run.returncode == 0, run.stderr
    threads, imported = run.stdout.decode().splitlines()
    assert "arrow" not in threads.lower()
    assert imported == "False False False"
    assert OpenTable.read.__module__ == "daskelm.parquet.part"
