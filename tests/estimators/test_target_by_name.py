"""Targets that are columns of the table: taken out of X by name, wherever X has names of columns."""

import pickle

import dask.dataframe as dd
import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr
from sklearn.exceptions import NotFittedError

from daskelm import (
    ELMClassifier,
    ELMClassifierCV,
    ELMRegressor,
    ELMRegressorCV,
    HiddenLayer,
    from_hdf5,
    load,
)
from daskelm.exceptions import DataError, InputTypeError, ParameterError, TargetWarning
from daskelm.hdf5.columns import Column, write_columns

N = 300
INPUTS = ["a", "b", "c"]
NAMES = ["a", "y", "b", "k", "c"]
RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((N, 5))
TABLE[:, 1] = TABLE[:, 0] + TABLE[:, 2] ** 2
TABLE[:, 3] = np.digitize(TABLE[:, 1], [0, 1])
FRAME = pd.DataFrame(TABLE, columns=NAMES)
X, Y, K = FRAME[INPUTS], FRAME["y"], FRAME["k"]
ARRAY = xr.DataArray(TABLE, dims=("row", "column"), coords={"column": NAMES})


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def named(path="table.h5", frame=FRAME, levels=None):
    columns = [Column(name, (levels or {}).get(name)) for name in frame.columns]
    with h5py.File(path, "w") as file:
        write_columns(file.create_dataset("data", data=frame.to_numpy(), chunks=(90, 2)), columns)
    return path


def records(frame):
    with h5py.File("records.h5", "w") as file:
        file["events"] = frame.to_records(index=False)
    return "records.h5"


TABLES = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "Arrow": pa.Table.from_pandas,
    "dask frame": lambda frame: dd.from_pandas(frame, npartitions=3),
    "path": lambda frame: named(frame=frame),
    "from_hdf5": lambda frame: from_hdf5(named(frame=frame), chunks=90),
    "h5py": lambda frame: h5py.File(named(frame=frame))["data"],
    "glob": lambda frame: [named("t1.h5", frame[:100]), named("t2.h5", frame[100:])] and "t?.h5",
    "records": records,
    "xarray": lambda frame: ARRAY.sel(column=list(frame.columns)),
    "xarray, lazy": lambda frame: ARRAY.sel(column=list(frame.columns)).chunk({"row": 90}),
}


@pytest.fixture(params=TABLES)
def table(request):
    """The table without the labels."""
    return TABLES[request.param](FRAME.drop(columns="k"))


def model(**how):
    return ELMRegressor(20, random_state=0, alpha=1.0, **how)


def close(found, expected):
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-7, atol=1e-9)


def test_a_target_by_name_is_the_column_apart(table):
    expected = model().fit(X, Y)
    fitted = model().fit(table, target="y")
    close(fitted.coef_, expected.coef_)
    assert fitted.feature_names_in_.tolist() == INPUTS
    assert fitted.target_names_in_.tolist() == ["y"]
    # The table still holds the target.
    close(fitted.predict(table), expected.predict(X))
    close(fitted.transform(table), expected.transform(X))
    assert np.ndim(fitted.predict(table)) == 1
    close(fitted.score(table, target="y"), expected.score(X, Y))
    close(fitted.score(table, Y.to_numpy()), expected.score(X, Y))


def test_each_step_takes_the_target_by_name(table):
    expected = model().fit(X, Y)
    parts = [slice(0, 110), slice(110, N)]
    steps = model().initialize(table, target="y")
    for rows in parts:
        steps.accumulate(table, rows=rows, target="y").accumulate(table, rows=rows, target="y", into="sums.h5")
    close(steps.coef_, expected.coef_)
    close(load_of(steps).solve("sums.h5").coef_, expected.coef_)
    steps.remove(table, target="y", rows=slice(0, 5)).remove(table, target="y", rows=slice(0, 5), sums="sums.h5")
    rest = model().initialize(X).accumulate(X[5:], Y[5:])
    close(steps.coef_, rest.coef_)
    close(load_of(steps).solve("sums.h5").coef_, rest.coef_)
    close(model().partial_fit(table, target="y").coef_, expected.coef_)


def load_of(model):
    model.save("model.h5")
    copy = load("model.h5")
    assert copy.target_names_in_.tolist() == pickle.loads(pickle.dumps(model)).target_names_in_.tolist() == ["y"]
    return copy


def test_several_targets_have_the_order_given(table):
    fitted = model().fit(table, target=["y", "a"])
    close(fitted.predict(table), model().fit(X[["b", "c"]], FRAME[["y", "a"]]).predict(X[["b", "c"]]))
    assert fitted.target_names_in_.tolist() == ["y", "a"]


@pytest.mark.parametrize("kind", TABLES)
def test_labels_by_name(kind):
    table = TABLES[kind](FRAME.drop(columns="y"))
    expected = ELMClassifier(20, random_state=0).fit(X, K)
    fitted = ELMClassifier(20, random_state=0).fit(table, target="k")
    assert fitted.classes_.tolist() == expected.classes_.tolist()
    np.testing.assert_array_equal(np.asarray(fitted.predict(table)), expected.predict(X))
    assert fitted.score(table, target="k") == pytest.approx(expected.score(X, K))
    fitted.calibrate(table, target="k")
    steps = ELMClassifier(20, random_state=0).initialize(table, target="k").accumulate(table, target="k")
    np.testing.assert_allclose(steps.coef_, fitted.coef_, rtol=1e-6, atol=1e-9)
    parts = ELMClassifier(20, random_state=0).partial_fit(table, target="k", classes=[0, 1, 2])
    np.testing.assert_allclose(parts.coef_, fitted.coef_, rtol=1e-6, atol=1e-9)


def test_choices_by_cross_validation_take_the_target_by_name(table):
    expected = ELMRegressorCV(20, random_state=0).fit(X, Y)
    close(ELMRegressorCV(20, random_state=0).fit(table, target="y").coef_, expected.coef_)
    others = FRAME.drop(columns="k") + 0.01
    held = ELMRegressorCV(20, random_state=0).fit(X, Y, X_val=others[INPUTS], y_val=others["y"])
    for more in ({"X_val": others}, {"X_val": others[INPUTS], "y_val": others["y"]}):
        found = ELMRegressorCV(20, random_state=0).fit(table, target="y", **more)
        assert found.best_score_ == pytest.approx(held.best_score_, rel=1e-6)
    with pytest.raises(ParameterError, match="X_val and y_val must be given together"):
        ELMRegressorCV(20).fit(X, Y, X_val=others)


def test_labels_of_the_classifier_that_chooses():
    table = FRAME.drop(columns="y")
    found = ELMClassifierCV(20, random_state=0).fit(table, target="k")
    assert found.score(table, target="k") == ELMClassifierCV(20, random_state=0).fit(X, K).score(X, K)


def test_a_layer_alone_leaves_the_target_out(table):
    layer = HiddenLayer(10, random_state=0).fit(table, target="y")
    close(layer.transform(table), HiddenLayer(10, random_state=0).fit(X).transform(X))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"target": "z"}, r"target must name one column of X each; got 'z', which X has 0 times"),
        ({"target": "y", "y": Y}, r"target: .* y gives them too; got both, with target='y'\. Leave one of the two out"),
        ({}, r"requires y to be passed, but the target y is None\. Give y, or target"),
        ({"target": ["y", "y"]}, "a list of such names without repetition"),
        ({"target": []}, r"must be the name of a column of X, .* got \[\]"),
        ({"target": ["a", "b", "c", "y"]}, "X must have columns besides"),
    ],
)
def test_a_target_that_cannot_be_is_refused(table, given, text):
    with pytest.raises(ParameterError, match=text):
        model().fit(table, **given)


@pytest.mark.parametrize("kind", ["numpy", "dask", "path"])
def test_a_table_without_names_has_no_target_by_name(kind):
    with h5py.File("plain.h5", "w") as file:
        file["data"] = TABLE
    nameless = {"numpy": TABLE, "dask": dd.from_pandas(FRAME, npartitions=2).to_dask_array(), "path": "plain.h5"}[kind]
    with pytest.raises(InputTypeError, match=r"target: X must be a table whose columns have names, to take y from it"):
        model().fit(nameless, target="y")


def test_another_target_than_that_of_the_model_is_refused():
    fitted = model().fit(FRAME.drop(columns="k"), target="y")
    for call in (fitted.accumulate, fitted.partial_fit, fitted.remove, fitted.score):
        with pytest.raises(ParameterError, match=r"target must be that of the model, y; got a\. Make another model"):
            call(FRAME.drop(columns="k"), target="a")
    with pytest.raises(ParameterError, match="y must be given, or target"):
        fitted.score(X)
    with pytest.raises(AttributeError, match="had no names"):
        model().fit(X, Y).target_names_in_  # noqa: B018
    with pytest.raises(NotFittedError):
        model().target_names_in_  # noqa: B018


def test_a_target_that_is_an_input_too_stays_an_input():
    path = named(frame=FRAME.drop(columns="k"))
    auto = model().fit(from_hdf5(path), from_hdf5(path, columns=["a"]))
    assert auto.predict(from_hdf5(path)).shape == (N,)


def test_names_in_files_are_checked_as_those_of_frames():
    path = named(frame=X)
    for fitted in (model().fit(X, Y), model().fit(path, Y.to_numpy())):
        close(fitted.predict(path), model().fit(X, Y).predict(X))
        close(fitted.predict(X), model().fit(X, Y).predict(X))
        with pytest.raises(DataError, match=r"of fit, a, b, c, in this order; got a file with another order, c, b, a"):
            fitted.predict(named("other.h5", X[["c", "b", "a"]]))
        close(fitted.predict(from_hdf5("other.h5", columns=fitted.feature_names_in_.tolist())), fitted.predict(X))
        with pytest.raises(DataError, match=r"got a file without c and with z\. Choose them by name: from_hdf5"):
            fitted.predict(named("more.h5", X.rename(columns={"c": "z"})))
        with pytest.raises(ValueError, match="feature names should match"):
            fitted.predict(X[["c", "b", "a"]])
        with h5py.File("plain.h5", "w") as file:
            file["data"] = X.to_numpy()
        close(fitted.predict("plain.h5"), fitted.predict(X))
    plain = model().fit(X.to_numpy(), Y)
    with pytest.warns(UserWarning, match="X has feature names, but ELMRegressor was fitted without feature names"):
        plain.predict(path)


def test_columns_with_levels_are_no_targets_of_a_regression():
    path = named(levels={"k": ("low", "middle", "high")})
    with pytest.raises(InputTypeError, match="y must hold numbers; got codes of 'low', 'middle', 'high'"):
        model().fit(from_hdf5(path, columns=INPUTS), from_hdf5(path, columns="k"))
    close(model().fit(from_hdf5(path, columns=[*INPUTS, "y"]), target="y").coef_, model().fit(X, Y).coef_)


def test_columns_that_are_both_inputs_and_target_by_path_are_refused():
    path = named(frame=FRAME.drop(columns="k"))
    with pytest.raises(
        DataError, match=r"X and y must be different columns of dataset '/data' .* target=NAME takes y out"
    ):
        model().fit(path, from_hdf5(path, columns="y"))


def test_another_target_does_not_join_the_sums():
    with h5py.File("events.h5", "w") as file:
        file["X"], file["energy"], file["label"] = X.to_numpy(), TABLE[:, 1], TABLE[:, 3]
        file["more/X"], file["more/label"] = X.to_numpy() + 1, TABLE[:, 3]
        file["more/energy"] = TABLE[:, 1]
    part = {name: from_hdf5("events.h5", dataset=name) for name in ("X", "energy", "label")}
    parts = model().initialize(part["X"])
    parts.accumulate(part["X"], part["energy"], rows=slice(0, 100), into="sums.h5")
    text = r"must have the same target; got .*events\.h5:/label, and .*events\.h5:/energy for rows .* Begin another"
    with pytest.raises(DataError, match=text):
        parts.accumulate(part["X"], part["label"], rows=slice(100, 200), into="sums.h5")
    # Alone it is not refused; where both meet it is.
    other = model().initialize(part["X"]).accumulate(part["X"], part["label"], rows=slice(100, 200))
    energy = model().initialize(part["X"]).accumulate(part["X"], part["energy"], rows=slice(0, 100))
    with pytest.raises(ValueError, match=rf"cannot add: .*{text}"):
        energy.normal_equations_ + other.normal_equations_
    # Another table may call its target otherwise.
    more = {name: from_hdf5("events.h5", dataset=f"more/{name}") for name in ("X", "energy", "label")}
    with pytest.warns(TargetWarning, match=r"the target of .*/more/X is .*/more/label, and that of rows .* /?.*energy"):
        parts.accumulate(more["X"], more["label"], rows=slice(0, 50), into="sums.h5")
    parts.accumulate(more["X"], more["energy"], rows=slice(50, 60), into="other.h5")
    parts.accumulate(part["X"], part["energy"], into="other.h5")


def test_sums_without_names_of_targets_still_load():
    """Files that were written before targets had names."""
    from daskelm import NormalEquations

    path = named(frame=FRAME.drop(columns="k"))
    sums = model().initialize(path, target="y").accumulate(path, target="y").normal_equations_
    (source,) = sums.ledger.sources.values()
    assert [place.rpartition("/")[2] for place in source.targets] == ["data[y]"]
    state = sums.state()
    del state["ledger"]["targets"]
    old = NormalEquations.from_state(state)
    assert old.ledger == sums.ledger
    assert [one.targets for one in old.ledger.sources.values()] == [frozenset()]
    close(model().initialize(path, target="y").solve(old).coef_, model().fit(X, Y).coef_)
