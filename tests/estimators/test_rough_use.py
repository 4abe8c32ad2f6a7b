"""Rough use: several fits at once, failures and retries, odd kinds of numbers, careless arguments."""

import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import click
import dask.array as da
import h5py
import numpy as np
import pytest
from distributed import Client, wait

from daskelm import ELMClassifier, ELMRegressor, HiddenLayer, NormalEquations, from_hdf5, load, make_hdf5, to_hdf5
from daskelm.cli.scheduler import Scheduler, connection
from daskelm.data.inputs import open_input
from daskelm.data.targets import RegressionTargets
from daskelm.exceptions import (
    AlikeTablesWarning,
    DataError,
    FileFormatError,
    IncompatibleSumsError,
    InputTypeError,
    NotSolvedError,
    ParameterError,
)
from daskelm.layer.layer import Layer
from daskelm.passes.accumulate import accumulate

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 4))
Y = np.sin(X[:, 0]) + X[:, 1]


def regressor(**options):
    return ELMRegressor(20, random_state=0, **options)


def classifier(**options):
    return ELMClassifier(20, random_state=0, **options)


# On a cluster


@pytest.fixture
def many_tasks(monkeypatch, tmp_path):
    """Files, cut into many gram tasks."""
    monkeypatch.setattr("daskelm.passes.accumulate.rows_per_task", lambda *sizes: 10)
    monkeypatch.setattr("daskelm.passes.accumulate.block_rows", lambda *sizes: 10)
    monkeypatch.setattr("daskelm.passes.accumulate.split_every", lambda n_neurons: 3)
    return make_hdf5(X, tmp_path / "x.h5"), make_hdf5(Y, tmp_path / "y.h5")


def keys_on(client):
    """Keys that the scheduler still has, once it had the time to forget."""
    names = ("gram-", "merge-", "layer-", "predict-", "weights-")

    def keys(dask_scheduler):
        return [key for key in map(str, dask_scheduler.tasks) if any(name in key for name in names)]

    for _ in range(50):
        if not (left := client.run_on_scheduler(keys)):
            return []
        wait([client.submit(int, 0, pure=False)])
    return left


def test_the_same_fit_several_times_at_once_on_one_scheduler(cluster, many_tasks, monkeypatch):
    # Which partials meet in a merge depends on timing, so a merge of one fit must not serve the other.
    own = threading.local()
    for module in ("passes.accumulate", "cluster.client"):
        monkeypatch.setattr(f"daskelm.{module}.current_client", lambda: own.client)

    def fit(_):
        with Client(cluster, set_as_default=False) as own.client:
            return regressor().fit(*many_tasks).normal_equations_

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(fit, range(4)))
    assert [sums.n_samples for sums in found] == [300] * 4
    expected = regressor().fit(X, Y).normal_equations_
    for sums in found:
        np.testing.assert_allclose(sums.HH, expected.HH, rtol=1e-12, atol=1e-9)


def test_nothing_is_left_on_the_scheduler(client, many_tasks, tmp_path):
    model = regressor().fit(*many_tasks)
    model.predict(many_tasks[0], out=tmp_path / "p.h5")
    assert keys_on(client) == []


def test_after_a_failure_nothing_is_left_and_the_next_try_is_a_new_one(client, many_tasks, tmp_path):
    flag = tmp_path / "mended"

    def fail_unless_mended(block):
        if not flag.exists():
            raise OSError("the disk is on fire")
        return block

    layer = HiddenLayer(20, random_state=0).fit(X).hidden_layer_
    data = da.from_array(X, chunks=(30, 4)).map_blocks(fail_unless_mended, dtype=float, meta=np.empty((0, 0)))
    arguments = layer, RegressionTargets(1, "float64"), open_input(data, "X"), open_input(da.from_array(Y), "y")
    with pytest.raises(OSError, match="on fire") as kept:
        accumulate(*arguments)
    assert keys_on(client) == []
    flag.touch()
    assert accumulate(*arguments).n_samples == 300
    assert kept.value is not None


def test_an_interrupt_stops_the_cluster_too(client, many_tasks, monkeypatch):
    def interrupt(self, n_rows):
        raise KeyboardInterrupt

    monkeypatch.setattr("daskelm.passes.accumulate.RowProgress.advance", interrupt)
    with pytest.raises(KeyboardInterrupt):
        regressor().fit(*many_tasks)
    assert keys_on(client) == []


# Numbers


@pytest.mark.parametrize("fill", [9.97e36, 1e20, -9999.0])
def test_rows_of_weight_zero_may_hold_fill_values(fill):
    x, y, weights = X.copy(), Y.copy(), np.ones(300)
    weights[::7] = 0
    weights[:50] = 0
    y[weights == 0] = fill
    x[weights == 0] = fill
    model = regressor().fit(x, y, weights)
    expected = regressor().fit(X[weights > 0], Y[weights > 0])
    np.testing.assert_allclose(model.predict(X), expected.predict(X), atol=1e-8)
    assert model.normal_equations_.n_samples == 300


def test_a_first_block_of_weight_zero(monkeypatch):
    monkeypatch.setattr("daskelm.passes.accumulate.block_rows", lambda *sizes: 30)
    y, weights = Y.copy(), np.ones(300)
    y[:60], weights[:60] = 1e12, 0
    expected = regressor().fit(X[60:], Y[60:]).predict(X)
    np.testing.assert_allclose(regressor().fit(X, y, weights).predict(X), expected, atol=1e-8)


def test_half_precision_is_the_same_in_every_kind():
    half = X.astype("f2")
    in_memory, lazy = regressor().fit(half, Y), regressor().fit(da.from_array(half, chunks=70), Y)
    assert in_memory.hidden_layer_.dtype == lazy.hidden_layer_.dtype == np.float64
    np.testing.assert_allclose(lazy.predict(half), in_memory.predict(half), atol=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [
        {"y": np.where(np.arange(300) == 3, np.nan, Y), "message": "y must be finite; got NaN first in row 3"},
        {"weights": np.full(300, np.nan), "message": "sample_weight must be finite"},
        {"weights": -np.ones(300), "message": "sample_weight must not be negative"},
        {"weights": np.zeros(300), "message": "at least one row must have a positive weight"},
        {"y": np.stack([Y, Y], axis=1), "message": "as many columns as there are predictions; got 2 and 1"},
        {"rows": 0, "message": "0 sample"},
    ],
)
def test_a_score_that_cannot_be_computed_is_an_error(wrong):
    model = regressor().fit(X, Y)
    n = wrong.get("rows", 300)
    y, weights = wrong.get("y", Y), wrong.get("weights")
    with pytest.raises(ValueError, match=wrong["message"]):
        model.score(da.from_array(X)[:n], y[:n], weights)


def test_classifier_scores_that_cannot_be_computed():
    model = classifier().fit(X, Y > 0)
    with pytest.raises(DataError, match="positive weight"):
        model.score(da.from_array(X), Y > 0, np.zeros(300))
    with pytest.raises(DataError, match="as many columns as there are predictions"):
        model.score(da.from_array(X), np.stack([Y > 0, Y < 0], axis=1))


# Kinds of input


def test_weights_of_every_kind(tmp_path):
    weights = RNG.uniform(0, 1, 300)
    x, y, w = (make_hdf5(a, tmp_path / f"{i}.h5") for i, a in enumerate((X, Y, weights)))
    expected = regressor().fit(X, Y, weights).predict(X)
    for given in (w, weights, weights[:, None], da.from_array(weights[:, None], chunks=77), list(weights)):
        np.testing.assert_allclose(regressor().fit(x, y, given).predict(X), expected, atol=1e-9)
    np.testing.assert_allclose(regressor().fit(X, Y, w).predict(X), expected, atol=1e-9)
    np.testing.assert_allclose(regressor().fit(x, y, 2.0).predict(X), regressor().fit(X, Y, 2.0).predict(X), atol=1e-9)


def test_a_file_of_one_column_is_a_vector_beside_any_kind_of_x(tmp_path):
    y = make_hdf5(Y, tmp_path / "y.h5")
    for x in (X, da.from_array(X, chunks=50), make_hdf5(X, tmp_path / "x.h5")):
        assert regressor().fit(x, y).predict(X).shape == (300,)


def test_frames_of_mixed_numbers(tmp_path):
    pandas = pytest.importorskip("pandas")
    frames = pytest.importorskip("dask.dataframe")
    frame = pandas.DataFrame(X, columns=list("abcd")).assign(flag=X[:, 0] > 0, count=np.arange(300))
    expected = frame.to_numpy(dtype=float)
    for given in (frame, frame.convert_dtypes(), frames.from_pandas(frame, npartitions=3)):
        np.testing.assert_array_equal(from_hdf5(make_hdf5(given, tmp_path / "f.h5")).compute(), expected)
    lazy = regressor().fit(frames.from_pandas(frame, npartitions=3), frames.from_pandas(frame["a"], npartitions=3))
    np.testing.assert_allclose(lazy.predict(frame), regressor().fit(frame, frame["a"]).predict(frame), atol=1e-8)
    assert lazy.score(frames.from_pandas(frame, npartitions=3), frame["a"].to_numpy()) > 0.9
    with pytest.raises(InputTypeError, match="data must hold numbers"):
        make_hdf5(frame.assign(word="x"), tmp_path / "f.h5")


def test_labels_in_dask_frames():
    pandas = pytest.importorskip("pandas")
    frames = pytest.importorskip("dask.dataframe")
    words = pandas.Series(np.where(Y > 0, "yes", "no"))
    for series in (words, words.astype("category"), words.astype("string")):
        model = classifier().fit(da.from_array(X, chunks=100), frames.from_pandas(series, npartitions=3))
        assert model.classes_.tolist() == ["no", "yes"]
        assert model.score(X, words) > 0.8


def test_labels_in_a_file_may_be_a_vector(tmp_path):
    x, labels = make_hdf5(X, tmp_path / "x.h5"), (Y > 0).astype(int)
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["labels"] = labels
    for model in (classifier(), regressor()):
        expected = model.fit(X, labels).predict(X)
        np.testing.assert_allclose(model.fit(x, tmp_path / "y.h5").predict(X), expected, atol=1e-9)
        assert expected.shape == (300,)
    with pytest.raises(DataError, match=r"X must be 2-D.*got shape \(300,\)"):
        regressor().fit(tmp_path / "y.h5", x)


@pytest.fixture
def both(tmp_path):
    """Glob of two files, each with inputs and targets side by side."""
    for i, rows in enumerate(np.split(np.arange(300), 2)):
        with h5py.File(tmp_path / f"part{i}.h5", "w") as file:
            file["X"], file["y"], file["w"] = X[rows], (Y[rows] > 0) * 1, np.full(150, 0.5)
    return tmp_path / "part*.h5"


@pytest.mark.parametrize("build", [regressor, classifier])
def test_inputs_are_not_fitted_on_themselves(both, build):
    folder = both.parent
    first, second = (str(folder / f"part{i}.h5") for i in range(2))
    (folder / "link.h5").symlink_to(first)
    x, y, w = (from_hdf5(both, dataset=name) for name in "Xyw")
    model, drawn, fitted = build(), build().initialize(x, y), build().fit(x, y)
    same = r"must be different data, but both are dataset '/X' of .*part0\.h5.*from_hdf5\(path, dataset=\.\.\.\) for "
    for call in (
        lambda: model.fit(both, both),
        lambda: model.fit([first, second], both),
        lambda: model.fit(x, both),
        lambda: model.fit(first, folder / "link.h5"),
        lambda: model.fit(first, from_hdf5(first)),
        lambda: model.initialize(both, both),
        lambda: model.partial_fit(first, first),
        lambda: drawn.accumulate(both, both),
        lambda: drawn.accumulate(both, both, into=folder / "s.h5"),
        lambda: fitted.remove(both, both),
        lambda: fitted.score(both, both),
    ):
        with pytest.raises(DataError, match=f"X and y {same}"):
            call()
    for call in (
        lambda: model.fit(both, y, both),
        lambda: model.initialize(both, y, sample_weight=both),
        lambda: fitted.score(both, y, both),
    ):
        with pytest.raises(DataError, match=r"sample_weight must be one number .*from_hdf5\(path, dataset="):
            call()
    assert model.fit(both, y, w).score(both, y) > 0.5


def test_weights_are_not_the_inputs_or_targets(tmp_path):
    x, y = make_hdf5(X[:, :1], tmp_path / "x.h5"), make_hdf5(Y**2, tmp_path / "y.h5")
    with pytest.raises(DataError, match="y and sample_weight must be different data"):
        regressor().fit(X, y, y)
    for method in (regressor().initialize, classifier().initialize, HiddenLayer(5).fit):
        with pytest.raises(DataError, match="X and sample_weight must be different data"):
            method(x, sample_weight=x)


def test_an_autoencoder_names_its_data(both):
    x = from_hdf5(both, dataset="X")
    expected = regressor().fit(X, X).predict(X)
    np.testing.assert_allclose(regressor().fit(x, x).predict(X), expected, atol=1e-9)
    with h5py.File(both.parent / "part0.h5") as file:
        assert regressor().fit(file["X"], file["X"]).predict(X).shape == (300, 4)


def test_columns_that_are_no_numbers_are_named(tmp_path):
    pandas = pytest.importorskip("pandas")
    frames = pytest.importorskip("dask.dataframe")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    odd = frame.assign(
        city=["x", "y"] * 150,
        grade=pandas.Categorical([1, 2] * 150),
        when=pandas.Timestamp("2020"),
        span=pandas.Timedelta(1),
    )
    message = (
        r" must hold numbers; got column\(s\) 'city' \((str|string)\), 'grade' \(category\), "
        r"'when' \(datetime64\[\w+\]\), 'span' \(timedelta64\[\w+\]\)\. Drop them, or .*pandas.get_dummies"
    )
    model, drawn = regressor().fit(frame, Y), classifier().initialize(frame, classes=[False, True])
    for given in (odd, frames.from_pandas(odd, npartitions=2)):
        for method in (regressor().fit, classifier().fit, drawn.accumulate, model.score):
            with pytest.raises(InputTypeError, match="X" + message):
                method(given, Y > 0)
        for method in (HiddenLayer(5).fit, regressor().initialize, model.predict, model.transform):
            with pytest.raises(InputTypeError, match="X" + message):
                method(given)
        with pytest.raises(InputTypeError, match="data" + message):
            make_hdf5(given, tmp_path / "f.h5")
    with pytest.raises(InputTypeError, match=r"got column\(s\) 'mixed' \(str\)\."):
        regressor().fit(frame.assign(mixed=np.array([1, "x"] * 150, object)), Y)
    with pytest.raises(InputTypeError, match=r"got column\(s\) 0 \(str\), .* 5 \(str\) and 2 more\. Drop"):
        regressor().fit(pandas.DataFrame([["x"] * 8]), [1.0])


def test_columns_of_objects_may_hold_numbers():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    expected = regressor().fit(frame, Y).predict(frame)
    for given in (frame.astype(object), frame.astype({"b": object})):
        np.testing.assert_array_equal(regressor().fit(given, Y).predict(given), expected)


def test_a_missing_number_is_named_by_column():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "height", "d"])
    model = regressor().fit(frame, Y)
    frame.loc[7, "height"] = np.nan
    for given in (frame, frame.astype(object), frame.convert_dtypes()):
        for method, arguments in ((regressor().fit, (given, Y)), (model.predict, (given,))):
            with pytest.raises(DataError, match=r"X must be finite; got NaN first in row 7, column 2 \('height'\)\."):
                method(*arguments)


def test_text_is_for_the_classifier():
    pandas = pytest.importorskip("pandas")
    words = ["x", "y"] * 150
    for y in (
        np.array(words),
        np.array(words, object),
        pandas.Series(words),
        pandas.Series(words, dtype="category"),
        pandas.DataFrame({"y": words}),
        [*Y[:299], "x"],
        np.array(["2020-01-01", "2020-01-02"] * 150, "M8[D]"),
    ):
        with pytest.raises(InputTypeError, match=r"y must hold numbers; got .*\. Use ELMClassifier for labels"):
            regressor().fit(X, y)
    assert regressor().fit(X, Y.astype(object)).predict(X).shape == (300,)


@pytest.mark.parametrize("missing", [None, np.nan, "pandas.NA"])
def test_a_missing_label_is_named_by_row(missing):
    pandas = pytest.importorskip("pandas")
    missing = pandas.NA if missing == "pandas.NA" else missing
    words = ["x", "y"] * 150
    words[123] = missing
    kinds = [words, np.array(words, object), pandas.Series(words), pandas.Series(words).astype("category")]
    kinds += [da.from_array(np.array(words, object), chunks=100)]
    known = classifier().initialize(X, classes=["x", "y"])
    for y in kinds:
        for call in (classifier().fit, known.partial_fit, known.accumulate):
            with pytest.raises(
                DataError, match=r"y must not be missing; got (None|NaN|<NA>) first in row 123\. Fill or"
            ):
                call(X if not isinstance(y, da.Array) else da.from_array(X, chunks=100), y)
    days = np.array(["2020-01-01", "NaT"] * 150, "M8[D]")
    with pytest.raises(DataError, match="y must not be missing; got NaT first in row 1"):
        classifier().fit(X, days)


def test_labels_in_a_list_are_no_files():
    words = np.where(Y > 0, "yes", "no").tolist()
    model = classifier().fit(X, words)
    assert model.score(X, words) == model.score(da.from_array(X, chunks=100), words)


def test_what_would_be_misread_is_refused(tmp_path):
    masked = np.ma.masked_array(X, mask=X > 1)
    for call in (
        lambda: regressor().fit(masked, Y),
        lambda: regressor().fit(da.from_array(masked, chunks=50), Y),
        lambda: make_hdf5(masked, tmp_path / "m.h5"),
    ):
        with pytest.raises(InputTypeError, match=r"masked arrays are not supported.*filled"):
            call()
    path = make_hdf5(X, tmp_path / "x.h5")
    with (
        h5py.File(path) as file,
        pytest.raises(InputTypeError, match=r"holds datasets by name.*Give one: file\[name\]"),
    ):
        regressor().fit(file, Y)


def test_integers_hold_what_they_are_given(tmp_path):
    path = tmp_path / "i.h5"
    with pytest.raises(DataError, match=r"dtype: uint8 must hold all values unchanged; got \[300.0\] first in row 1"):
        make_hdf5([[1.0], [300.0]], path, dtype="uint8")
    for value in (np.nan, -1.0, 0.5):
        with pytest.raises(DataError, match="must hold all values unchanged"):
            make_hdf5([[value]], path, dtype="uint8")
    with pytest.raises(DataError, match="must hold all values unchanged"):
        to_hdf5(da.from_array(np.array([2**40])), path, dtype="int32")
    assert from_hdf5(make_hdf5([[1.0], [255.0]], path, dtype="uint8")).compute().tolist() == [[1], [255]]


def test_zero_rows_in_and_out(tmp_path):
    model = regressor().fit(X, Y)
    empty = make_hdf5(X[:0], tmp_path / "e.h5")
    assert from_hdf5(model.predict(empty, out=tmp_path / "o.h5")).shape == (0, 1)
    assert model.predict(da.from_array(X)[:0]).compute().shape == (0,)
    assert from_hdf5(make_hdf5(np.zeros(0), tmp_path / "n.h5")).shape == (0, 1)


# Text


@pytest.mark.parametrize("first", ["1,NA,3", "1,,3", "1,?,3", "0x10,2,3", "1d5,2,3", "NA,NA,NA"])
def test_a_first_row_with_a_missing_value_is_no_header(tmp_path, first):
    (tmp_path / "a.csv").write_text(f"{first}\n4,5,6\n7,8,9\n")
    with pytest.raises((DataError, InputTypeError), match="line 1: column '.' (is empty|must hold numbers)"):
        make_hdf5(tmp_path / "a.csv", tmp_path / "a.h5")


def test_text_as_other_programs_write_it(tmp_path):
    def read(content):
        (tmp_path / "a.csv").write_bytes(content)
        return from_hdf5(make_hdf5(tmp_path / "a.csv", tmp_path / "a.h5")).compute().tolist()

    assert read(b"\xef\xbb\xbfa,b\r\n1,2\r\n3,4\r\n") == [[1, 2], [3, 4]]
    assert read(b'"first, second",b\n"1",2\n') == [[1, 2]]
    assert read(b"1e3,-2.5E-3\n") == [[1000, -0.0025]]
    assert read(b"x\n1\n2\n") == [[1], [2]]
    assert read(b"  1   2\n  3   4\n") == [[1, 2], [3, 4]]
    assert np.isnan(read(b"1,nan\n")[0][1])


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("a.csv", "höhe\n1\n".encode("latin-1"), FileFormatError, "must be text in UTF-8.*iconv"),
        ("a.csv.gz", b"1,2\n", FileFormatError, "not compressed as its name says"),
        ("a.npz", b"PK\x03\x04", FileFormatError, r"must be a \.npy file"),
        ("a.npy", b"", FileFormatError, r"must be a \.npy file"),
        ("a.csv", b"1_000,2\n", DataError, "cannot be read as numbers.*without thousands separators"),
    ],
)
def test_files_that_are_not_what_they_say(tmp_path, name, content, error, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        make_hdf5(tmp_path / name, tmp_path / "a.h5")
    assert [item.name for item in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((5,), {}, DataError, r"a tuple of int is a shape, \(n_samples, n_features\)"),
        ((-1, 3), {}, DataError, "both >= 0"),
        ([[1, 2], [3]], {}, DataError, "rows of equal length"),
        (X, {"dtype": "str"}, ParameterError, "dtype must be one of numbers"),
        (X, {"dtype": "no"}, ParameterError, "dtype must be one of numbers"),
        (X, {"compression": "zip"}, ParameterError, "compression must be None, 'gzip', 'lzf'"),
        (X, {"dataset": ""}, ParameterError, "dataset must be a name"),
        (X, {"dataset": None}, ParameterError, "dataset must be a name"),
        (".", {}, FileFormatError, r"is a folder; give the name of a file in it"),
    ],
)
def test_careless_arguments_of_make_hdf5(tmp_path, arguments, options, error, message):
    with pytest.raises(error, match=message):
        make_hdf5(arguments, tmp_path / "a.h5", **options)
    assert list(tmp_path.iterdir()) == []


# Models


def test_sums_of_different_targets_never_add(tmp_path):
    sums = tmp_path / "s.h5"
    three = RNG.integers(0, 3, 300)
    model = classifier().initialize(X, classes=[0, 1, 2]).accumulate(X, three, into=sums)
    assert model.solve(sums).classes_.tolist() == [0, 1, 2]
    with pytest.raises(IncompatibleSumsError, match=r"targets classes \[0, 1, 2\] and classes \[1, 2, 3\]"):
        classifier().initialize(X, classes=[1, 2, 3]).accumulate(X, three + 1, into=sums)
    with pytest.raises(IncompatibleSumsError, match=r"targets classes \[0, 1, 2\] and numbers"):
        regressor().initialize(X).accumulate(X, np.eye(3)[three], into=sums)
    with pytest.raises(IncompatibleSumsError, match="their targets must be numbers; got classes"):
        regressor().initialize(X).solve(sums)
    with pytest.raises(IncompatibleSumsError, match="must be of this model's targets"):
        classifier().initialize(X, classes=[1, 2, 3]).solve(sums)
    model = classifier().partial_fit(X, three, classes=[0, 1, 2])
    with pytest.raises(IncompatibleSumsError, match="targets classes"):
        model.partial_fit(X, np.eye(3, dtype=int)[three])
    assert model.predict(X).shape == (300,)


def test_a_file_named_twice_counts_once_or_not_at_all(tmp_path):
    x, y = make_hdf5(X, tmp_path / "x.h5"), make_hdf5(Y, tmp_path / "y.h5")
    with pytest.raises(DataError, match="every row must count once; got 300 rows twice.*Name each file once"):
        regressor().fit([x, x], [y, y])
    other = X.copy()
    other[77, 2] += 1e-9
    z = make_hdf5(other, tmp_path / "z.h5")
    with pytest.warns(AlikeTablesWarning, match=r"z\.h5:/data looks like .*x\.h5:/data, but reads otherwise"):
        assert regressor().fit([x, z], [y, y]).normal_equations_.n_samples == 600


def test_an_empty_range_of_memory_keeps_the_ledger(tmp_path):
    x, y = make_hdf5(X, tmp_path / "x.h5"), make_hdf5(Y, tmp_path / "y.h5")
    model = regressor().initialize(X)
    model.accumulate(x, y, rows=slice(0, 100), into=tmp_path / "s.h5")
    model.accumulate(X, Y, rows=slice(0, 0), into=tmp_path / "s.h5")
    model.accumulate(x, y, rows=slice(0, 100), into=tmp_path / "s.h5")
    assert NormalEquations.load(tmp_path / "s.h5").n_samples == 100


def test_saving_loses_no_rows(tmp_path):
    path = tmp_path / "m.h5"
    model = regressor().initialize(X).partial_fit(X, Y)
    model.save(path)
    np.testing.assert_array_equal(load(path).predict(X), model.predict(X))
    model.save(path)
    again = load(path)
    for call in (again.partial_fit, again.accumulate):
        with pytest.raises(NotSolvedError, match=r"saved without its sums.*sums=True"):
            call(X[:5], Y[:5])
    again.accumulate(X[:5], Y[:5], into=tmp_path / "s.h5")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_a_failed_fit_leaves_the_model_as_it_was():
    model = regressor().fit(X, Y)
    expected = model.predict(X)
    for call in (model.fit, model.initialize):
        with pytest.raises(ValueError, match="must be finite"):
            call(np.full((300, 3), np.nan), Y)
        assert model.n_features_in_ == 4
        np.testing.assert_array_equal(model.predict(X), expected)


def test_predictions_never_overwrite_their_input(tmp_path):
    x = make_hdf5(X, tmp_path / "x.h5")
    with pytest.raises(ParameterError, match="out: .* is one of the files that X is read from"):
        regressor().fit(X, Y).predict(x, out=x)
    np.testing.assert_array_equal(from_hdf5(x).compute(), X)
    with pytest.raises(InputTypeError, match=r"out: .* got labels of type <U3.*predict_proba\(X, out=\.\.\.\)"):
        classifier().fit(X, np.where(Y > 0, "yes", "no")).predict(x, out=tmp_path / "p.h5")


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf, "a"])
def test_class_weights_are_numbers(weight):
    with pytest.raises(
        ParameterError, match="class_weight must hold numbers that are 0, or between 1e-50 and .*; got .* for"
    ):
        classifier(class_weight={False: weight}).fit(X, Y > 0)


def test_types_of_the_layer():
    for dtype in ("f4", "foo", float, np.int8):
        with pytest.raises(ParameterError, match="dtype must be None"):
            regressor(dtype=dtype).fit(X, Y)
    for dtype in (np.float32, np.dtype("f4"), "float32"):
        assert regressor(dtype=dtype).fit(X, Y).hidden_layer_.dtype == np.float32


def test_leftovers_of_killed_writers_are_cleared(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = socket.gethostname()
    for name in (
        f".a.h5~{host}~{gone.pid}~x.tmp",
        f".a.h5~{host}~{os.getpid()}~x.tmp",
        f".a.h5~other~{gone.pid}~x.tmp",
    ):
        (tmp_path / name).touch()
    make_hdf5(X, tmp_path / "a.h5")
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted(
        ["a.h5", f".a.h5~{host}~{os.getpid()}~x.tmp", f".a.h5~other~{gone.pid}~x.tmp"]
    )


def test_layers_of_one_input_work():
    assert Layer.draw(5, 1, 0, "f8", None)(X[:, :1]).shape == (300, 5)


@pytest.mark.parametrize("kind", [list, np.array])
def test_text_in_a_table_without_names(kind):
    X = kind([["1", "a"], ["2", "b"], ["3", "c"]])
    with pytest.raises(DataError, match=r"X must hold numbers; got text, (np.str_\()?'a'\)? first\..*get_dummies"):
        ELMRegressor().fit(X, [1.0, 2.0, 3.0])


@pytest.mark.parametrize("address", ["localhost", "tcp://localhost", "tcp://localhost:http"])
def test_an_address_without_a_port_is_refused_and_leaves_no_thread(address):
    before, rule = threading.active_count(), f"must be an address such as tcp://localhost:8786; got '{address}'"
    with pytest.raises(click.BadParameter, match=rule), connection(Scheduler(address)):
        pass
    assert threading.active_count() == before
