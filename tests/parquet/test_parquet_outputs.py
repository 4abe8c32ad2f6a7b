"""Predictions as Parquet: what is in the file, which file it may replace, and that it is whole or not there."""

import errno
import os
from pathlib import Path

import dask.array as da
import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from click.testing import CliRunner
from parquet_tables import FRAME, NAMES, N, X, hdf5, parquet, y

from daskelm import ELMClassifier, ELMRegressor, from_hdf5, from_parquet, make_hdf5
from daskelm.cli import cli
from daskelm.exceptions import FileWriteError, ParameterError
from daskelm.parquet import target
from daskelm.parquet.target import new_parquet

pytestmark = pytest.mark.usefixtures("empty_folder")


def run(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="daskelm")


def fitted():
    return ELMRegressor(8, random_state=0).fit(FRAME[NAMES], y)


def inputs():
    yield FRAME[NAMES]
    yield from_parquet(parquet(group=90), NAMES)
    FRAME[NAMES].to_parquet("X.parquet", row_group_size=100)
    yield "X.parquet"
    yield da.from_array(X, chunks=(77, 3))


def test_predictions_of_any_input_are_the_same_file(no_client):
    model = fitted()
    for data in inputs():
        assert model.predict(data, out="p.parquet") == "p.parquet"
        frame = pd.read_parquet("p.parquet")
        assert list(frame.columns) == ["prediction"]
        np.testing.assert_array_equal(frame["prediction"], np.asarray(model.predict(data)))
    # They are data again.
    assert from_parquet("p.parquet", "prediction").shape == (N,)
    assert model.score(FRAME[NAMES], "p.parquet") == 1.0


def test_columns_have_the_names_of_classes(no_client):
    words = np.where(y > 0, "spot", np.where(y > -1, "rust", "none"))
    model = ELMClassifier(8, random_state=0).fit(FRAME[NAMES], words)
    for data in inputs():
        model.predict_proba(data, out="p.parquet")
        frame = pd.read_parquet("p.parquet")
        assert list(frame.columns) == ["none", "rust", "spot"]
        np.testing.assert_array_equal(frame.to_numpy(), np.asarray(model.predict_proba(data)))
        model.predict(data, out="labels.parquet")
        frame = pd.read_parquet("labels.parquet")
        assert frame["prediction"].tolist() == np.asarray(model.predict(data)).tolist()
        assert pyarrow.parquet.read_schema("labels.parquet").field("prediction").type == pyarrow.string()
    model.predict(FRAME[NAMES], out="labels.h5")
    assert from_hdf5("labels.h5").compute().ravel().tolist() == model.predict(FRAME[NAMES]).tolist()
    two = ELMClassifier(8, random_state=0).fit(FRAME[NAMES], y > 0)
    two.decision_function(FRAME[NAMES], out="d.parquet")
    assert list(pd.read_parquet("d.parquet").columns) == ["decision"]
    two.predict(FRAME[NAMES], out="b.parquet")
    assert pd.read_parquet("b.parquet")["prediction"].dtype == bool


def test_several_targets_are_numbered(no_client):
    model = ELMRegressor(8, random_state=0).fit(FRAME[NAMES], np.column_stack([y, -y]))
    model.predict(from_parquet(parquet(), NAMES), out="p.parquet")
    assert list(pd.read_parquet("p.parquet").columns) == ["prediction_0", "prediction_1"]


def test_only_a_file_of_daskelm_is_replaced(no_client):
    model, data = fitted(), FRAME[NAMES]
    parquet("mine.parquet")
    make_hdf5(X, "data.parquet.h5")
    os.rename("data.parquet.h5", "hdf5.parquet")
    Path("text.parquet").write_text("something")
    Path("empty.parquet").touch()
    model.save("model.h5")
    os.rename("model.h5", "model.parquet")
    for path, held in (
        ("mine.parquet", r"holds the columns a, b, c, y, label, text, not written by daskelm"),
        ("hdf5.parquet", "is an HDF5 file of data"),
        ("text.parquet", "is no Parquet file, and not written by daskelm"),
        ("model.parquet", "is a daskelm model file"),
    ):
        before = Path(path).read_bytes()
        with pytest.raises(FileWriteError, match=f"{path} exists and is not replaced: it {held}, and a Parquet file"):
            model.predict(data, out=path)
        assert Path(path).read_bytes() == before
        model.predict(data, out=path, overwrite=True)
        assert len(pd.read_parquet(path)) == N
    for path in ("empty.parquet", "mine.parquet"):
        model.predict(data.iloc[:5], out=path)
        assert len(pd.read_parquet(path)) == 5
    # A column that was added is the user's; pyarrow keeps the metadata.
    table = pyarrow.parquet.read_table("mine.parquet").append_column("mine", pyarrow.array(range(5)))
    pyarrow.parquet.write_table(table, "mine.parquet")
    with pytest.raises(FileWriteError, match="holds the columns prediction, mine, not written by daskelm"):
        model.predict(data, out="mine.parquet")
    # And HDF5 does not replace Parquet.
    os.link("empty.parquet", "link.h5")
    with pytest.raises(FileWriteError, match="is not replaced"):
        model.predict(data, out="link.h5")


def test_inputs_are_never_overwritten(no_client):
    model = fitted()
    FRAME[NAMES].to_parquet("X.parquet")
    os.symlink("X.parquet", "link.parquet")
    for out in ("X.parquet", "link.parquet"):
        for given in ("X.parquet", "X*.parquet", from_parquet("X.parquet"), from_parquet("X.parquet") * 1.0):
            with pytest.raises(ParameterError, match="is one of the files that X is read from"):
                model.predict(given, out=out, overwrite=True)
    np.testing.assert_array_equal(pd.read_parquet("X.parquet").to_numpy(), X)


def test_a_model_does_not_replace_the_files_that_its_rows_came_from(no_client):
    FRAME[NAMES].to_parquet("X.h5")
    model = ELMRegressor(8, random_state=0).fit("X.h5", y)
    with pytest.raises(ParameterError, match="normal_equations_"):
        model.save("X.h5", overwrite=True)


def test_an_error_leaves_no_file(no_client):
    model = fitted()
    model.predict(FRAME[NAMES], out="p.parquet")
    before = Path("p.parquet").read_bytes()
    bad = X.copy()
    bad[500, 1] = np.nan
    with pytest.raises(ValueError, match="X must be finite"):
        model.predict(da.from_array(bad, chunks=(100, 3)), out="p.parquet")
    assert Path("p.parquet").read_bytes() == before
    assert os.listdir() == ["p.parquet"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is always full")
def test_a_full_disk_is_an_error_that_says_so(monkeypatch):
    full = lambda path, mode: open("/dev/full", mode)  # noqa: E731, SIM115
    monkeypatch.setattr(target, "open", full, raising=False)
    message = "p.parquet cannot be written: No space left on device"
    with (
        pytest.raises(FileWriteError, match=message) as error,
        new_parquet("p.parquet", ["x"], np.dtype(float)) as write,
    ):
        write(np.zeros((3, 1)))
    assert error.value.errno == errno.ENOSPC
    assert os.listdir() == []


def test_row_groups_are_bounded(monkeypatch):
    monkeypatch.setattr(target, "_GROUP_ROWS", 100)
    sizes = (30, 30, 30, 30, 250, 1, 0)
    numbers = np.arange(sum(sizes), dtype=float)
    with new_parquet("p.parquet", ["x"], np.dtype(float)) as write:
        for stop, size in zip(np.cumsum(sizes), sizes, strict=True):
            write(numbers[stop - size : stop, None])
    found = pyarrow.parquet.ParquetFile("p.parquet").metadata
    assert [found.row_group(i).num_rows for i in range(found.num_row_groups)] == [90, 30, 250, 1]
    np.testing.assert_array_equal(pd.read_parquet("p.parquet")["x"], numbers)


def test_the_command(no_client):
    path = parquet()
    x, t = f"{path}::[a, b,c]", f"{path}::[y]"
    assert run("init", x, "model.h5", "--neurons", 8).exit_code == 0
    assert "600 rows added" in run("accumulate", "model.h5", x, t, "--into", "sums.h5", "--quiet").output
    assert (
        "0 rows added, 600 were counted already"
        in run("accumulate", "model.h5", x, t, "--into", "sums.h5", "--quiet").output
    )
    assert (
        "100 rows removed, 500 left"
        in run("remove", "model.h5", x, t, "--from", "sums.h5", "--rows", "0:100", "--quiet").output
    )
    described = run("info", "sums.h5").output
    assert f"500 rows of {os.path.abspath(path)}:/[a, b, c]" in described
    assert run("solve", "model.h5", "sums.h5").exit_code == 0
    assert float(run("score", "model.h5", x, t, "--quiet").output) > 0.3
    checked = run("check", x, t)
    assert checked.exit_code == 0, checked.output
    done = run("predict", "model.h5", x, "--out", "p.parquet", "--quiet")
    assert "p.parquet: Parquet" in done.output
    assert "600 rows in 1 groups of at most 600, 1 columns\n  prediction  double" in done.output
    assert run("predict", "model.h5", x, "--out", "p.parquet", "--quiet").exit_code == 0
    refused = run("predict", "model.h5", x, "--out", path, "--quiet")
    assert refused.exit_code == 2
    assert "holds the columns a, b, c, y, label, text, not written by daskelm" in refused.output
    refused = run("predict", "model.h5", x, "--out", path, "--quiet", "--force")
    assert "--out: table.parquet is one of the files that X is read from" in refused.output
    FRAME[NAMES].to_parquet("X.parquet")
    assert run("make-hdf5", "X.parquet", "made.h5", "--quiet").output == "made.h5: data (600, 3) float64\n"
    np.testing.assert_array_equal(from_hdf5("made.h5").compute(), X)
    assert run("predict", "model.h5", "X.parquet", "--out", "q.h5", "--quiet").exit_code == 0
    for text, message in (
        (f"{path}::a", "must be FILE, or FILE::[a,b] to name columns of a table"),
        (f"{path}::[]", "must hold names of columns with commas between"),
        (f"{path}::[z]", "columns must name columns of the file; got 'z'"),
    ):
        assert message in " ".join(run("init", text, "other.h5").output.split())


def test_info_of_files_and_folders(no_client):
    os.mkdir("folder")
    with_gaps = FRAME.assign(n=pd.array([None, *range(N - 1)], "Int32"))
    with_gaps.to_parquet("folder/part1.parquet", row_group_size=100)
    with_gaps.to_feather("folder/part2.arrow")
    listed = run("info", "folder").output
    assert "folder/part1.parquet: Parquet, " in listed
    assert "600 rows in 6 groups of at most 100, 7 columns" in listed
    assert "folder/part2.arrow: Arrow, " in listed
    assert listed.count("  n  int32, 1 nulls\n") == 2
    assert '"nulls": 1' in run("info", "--json", "folder").output


def test_hdf5_and_parquet_hold_the_same_predictions(no_client):
    x, t = hdf5()
    model = ELMRegressor(8, random_state=0).fit(x, t)
    model.predict(x, out="p.h5")
    model.predict(x, out="p.parquet")
    np.testing.assert_array_equal(from_hdf5("p.h5").compute(), from_parquet("p.parquet").compute())
