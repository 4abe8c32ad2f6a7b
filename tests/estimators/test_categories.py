"""Columns of categories and gaps: the same model from every container, chunk and order of levels."""

import pickle
from dataclasses import replace

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from daskelm import (
    ELMClassifier,
    ELMClassifierCV,
    ELMRegressor,
    ELMRegressorCV,
    HiddenLayer,
    Neurons,
    NormalEquations,
    from_hdf5,
    from_parquet,
    load,
    make_hdf5,
)
from daskelm.exceptions import DataError, InputTypeError, ParameterError
from daskelm.hdf5.columns import Column, write_columns
from daskelm.hdf5.target import new_hdf5

pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

N = 6000


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def table(n=N, seed=0, gaps=True):
    r = np.random.default_rng(seed)
    zone = r.integers(0, 12, n)
    colour = r.choice(["red", "green", "blue"], n)
    size = r.normal(3, 2, n)
    y = np.sin(zone) * size + (colour == "red") + 0.1 * r.normal(size=n)
    frame = pd.DataFrame(
        {"size": size, "zone": [f"z{i}" for i in zone], "colour": colour, "flag": r.random(n) < 0.5, "count": zone % 5}
    )
    if gaps:
        frame.loc[r.random(n) < 0.1, "size"] = np.nan
        frame.loc[r.random(n) < 0.05, "zone"] = None
    return frame, y


def regressor(neurons=(60, "auto"), **more):
    return ELMRegressor(neurons, random_state=0, **({"missing": "indicator", "alpha": 1e-3} | more))


def as_category(frame):
    return frame.astype({"zone": "category", "colour": "category"})


def other_order(frame):
    frame = as_category(frame)
    order = [f"z{i}" for i in (5, 3, 11, 0, 1, 2, 4, 6, 7, 8, 9, 10)]
    return frame.assign(zone=frame["zone"].cat.reorder_categories(order))


CONTAINERS = {
    "objects": lambda frame: frame.astype({"zone": object, "colour": object}),
    "strings": lambda frame: frame.astype({"zone": "string", "colour": "string"}),
    "categories": as_category,
    "categories in another order": other_order,
    "unused categories": lambda frame: frame.assign(
        colour=pd.Categorical(frame["colour"], ["none", "blue", "green", "red"])
    ),
    "nullable": lambda frame: frame.astype({"size": "Float64", "flag": "boolean", "count": "Int64"}),
    "polars": lambda frame: pl.from_pandas(frame),
    "polars categories": lambda frame: pl.from_pandas(frame).with_columns(pl.col("zone").cast(pl.Categorical)),
    "arrow": lambda frame: pa.Table.from_pandas(frame),
    "arrow dictionary": lambda frame: pa.Table.from_pandas(as_category(frame)),
    "dask": lambda frame: dd.from_pandas(frame, npartitions=3),
    "dask, 7 partitions": lambda frame: dd.from_pandas(frame, npartitions=7),
    "dask categories": lambda frame: dd.from_pandas(as_category(frame), npartitions=3),
    "dask, unknown categories": lambda frame: dd.from_pandas(frame, npartitions=3).astype(
        {"zone": "category", "colour": "category"}
    ),
}


def hdf5_file(frame, path="X.h5", orders=None):
    """A file of codes with levels, in the order of `orders` or of their first appearance."""
    columns, table = [], np.empty(frame.shape)
    for i, name in enumerate(frame.columns):
        levels = None
        if name in ("zone", "colour", "kind"):
            levels = (orders or {}).get(name) or tuple(frame[name].dropna().unique().tolist())
            table[:, i] = frame[name].map({level: code for code, level in enumerate(levels)})
        else:
            table[:, i] = frame[name]
        columns.append(Column(name, levels))
    with new_hdf5(path, overwrite=True) as (file, _):
        write_columns(file.create_dataset("data", data=table, chunks=(100, frame.shape[1])), columns)
    return path


def hdf5_files(frame):
    """Three files with levels in other orders, and not all of them in each."""
    parts = [frame[:900], frame[900:1000], frame[1000:]]
    for i, part in enumerate(parts):
        hdf5_file(part, f"part{i}.h5")
    return "part*.h5"


def parquet(frame, path="X.parquet", group=333):
    frame.to_parquet(path, row_group_size=group)
    return path


def parquet_files(frame):
    for i, part in enumerate((frame[:900], frame[900:1000], frame[1000:])):
        parquet(part, f"part{i}.parquet")
    return "part*.parquet"


def feather(frame):
    frame.to_feather("X.feather")
    return "X.feather"


FILES = {
    "HDF5": hdf5_file,
    "HDF5, levels in another order": lambda frame: hdf5_file(
        frame, orders={"colour": ("none", "red", "blue", "green")}
    ),
    "HDF5 files": hdf5_files,
    "from_hdf5": lambda frame: from_hdf5(hdf5_file(frame), chunks=777),
    "HDF5 columns": lambda frame: from_hdf5(hdf5_file(frame[sorted(frame.columns)]), columns=list(frame.columns)),
    "Parquet": parquet,
    "Parquet categories": lambda frame: parquet(as_category(frame)),
    "Parquet files": parquet_files,
    "from_parquet": lambda frame: from_parquet(parquet(frame), chunks=500),
    "Feather": lambda frame: feather(as_category(frame)),
}


@pytest.fixture(scope="module")
def reference():
    frame, y = table()
    return regressor().fit(frame, y), frame, y


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_gives_the_same_model_and_predictions(reference, container):
    model, frame, y = reference
    X = CONTAINERS[container](frame)
    other = regressor().fit(X, y)
    assert other.hidden_layer_.fingerprint == model.hidden_layer_.fingerprint
    np.testing.assert_allclose(other.coef_, model.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(np.asarray(model.predict(X)), model.predict(frame), rtol=0, atol=1e-12)
    assert list(other.feature_names_in_) == list(frame.columns)


@pytest.mark.parametrize("container", FILES)
def test_every_file_gives_the_same_model_and_predictions(reference, no_client, container):
    model, frame, y = reference
    X, T = FILES[container](frame), make_hdf5(y, "y.h5")
    other = regressor().fit(X, T)
    assert other.hidden_layer_.fingerprint == model.hidden_layer_.fingerprint
    np.testing.assert_allclose(other.coef_, model.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(np.asarray(model.predict(X)), model.predict(frame), rtol=0, atol=1e-12)
    # Rows are recognised by their content, whatever the levels in files. Several files are tables of their own.
    model.accumulate(X, T, rows=slice(0, 1200), into="sums.h5")
    model.accumulate(X if "files" in container else hdf5_file(frame, "other.h5"), T, into="sums.h5")
    sums = NormalEquations.load("sums.h5")
    assert sums.n_samples == N
    np.testing.assert_allclose(sums.HH, model.normal_equations_.HH, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("container", [*FILES, *CONTAINERS])
def test_words_of_one_table_are_the_target_by_name(no_client, container):
    frame, y = table(gaps=False)
    frame["kind"] = np.where(y > 1, "high", "low")
    X = {**FILES, **CONTAINERS}[container](frame)
    model = ELMClassifier((60, "auto"), random_state=0).fit(X, target="kind")
    assert list(model.classes_) == ["high", "low"]
    assert list(model.feature_names_in_) == ["size", "zone", "colour", "flag", "count"]
    assert (np.asarray(model.predict(X)) == frame["kind"].to_numpy()).mean() > 0.9


@pytest.mark.parametrize("container", ["HDF5 files", "Parquet", "dask"])
def test_workers_give_the_same_model(reference, client, container):
    model, frame, y = reference
    other = regressor().fit({**FILES, **CONTAINERS}[container](frame), y)
    assert other.hidden_layer_.fingerprint == model.hidden_layer_.fingerprint
    np.testing.assert_allclose(other.coef_, model.coef_, rtol=1e-6, atol=1e-9)


def test_files_of_other_columns_are_refused(no_client):
    frame, y = table(gaps=False)
    model = regressor(missing="error").fit(frame, y)
    with pytest.raises(
        InputTypeError, match=r"column 'zone' must hold categories, as in fit; got numbers in .*t\.parquet"
    ):
        model.predict(parquet(frame.assign(zone=1), "t.parquet"))
    with pytest.raises(InputTypeError, match=r"must have the columns of fit, some of them categories, by name"):
        model.predict(make_hdf5(np.zeros((5, 5)), "plain.h5"))
    numbers = ELMRegressor(20).fit(frame[["size", "count"]], y)
    with pytest.raises(InputTypeError, match=r"column 'count' must hold numbers, as in fit; got categories"):
        numbers.predict(parquet(frame.assign(count=frame["zone"])[["size", "count"]], "t.parquet"))
    with pytest.raises(InputTypeError, match=r"column 'zone' must hold numbers; got categories"):
        from_parquet(parquet(frame), columns=["size", "zone"]).compute()


def test_files_written_from_files_keep_names_and_levels(no_client):
    frame, y = table()
    model = regressor().fit(frame, y)
    for source in (from_hdf5(hdf5_file(frame), chunks=500), parquet(frame), parquet(as_category(frame))):
        make_hdf5(source, "copy.h5", overwrite=True)
        np.testing.assert_allclose(np.asarray(model.predict("copy.h5")), model.predict(frame), rtol=0, atol=1e-12)
    make_hdf5(frame, "frame.h5")
    np.testing.assert_allclose(np.asarray(model.predict("frame.h5")), model.predict(frame), rtol=0, atol=1e-12)
    frame.to_csv("table.csv", index=False)
    make_hdf5("table.csv", "text.h5")
    np.testing.assert_allclose(np.asarray(model.predict("text.h5")), model.predict(frame), rtol=0, atol=1e-9)
    with pytest.raises(InputTypeError, match=r"array: rows of a file with columns of categories"):
        make_hdf5(from_hdf5("copy.h5")[:100], "part.h5")


def test_codes_in_a_changed_array_are_refused(no_client):
    frame, y = table(gaps=False)
    X = from_hdf5(hdf5_file(frame))
    for changed, labels in ((X[:1000], y[:1000]), (X.persist(), y), (X.persist()[:1000], y[:1000])):
        with pytest.raises(InputTypeError, match=r"X: rows of a file with columns of categories.*rows="):
            ELMRegressor(20).fit(changed, labels)


@pytest.mark.parametrize("neurons", [None, 50, [(30, "rbf_l2")], (50, "auto"), [(20, "tanh", "sparse pairs")]])
@pytest.mark.parametrize("missing", ["error", "indicator"])
def test_parts_make_the_same_sums_as_the_whole(neurons, missing):
    frame, y = table(gaps=missing == "indicator")
    whole = regressor(neurons, missing=missing).initialize(frame, y)
    parts = pickle.loads(pickle.dumps(whole))
    whole.accumulate(frame, y)
    for start in range(0, N, 700):
        parts.accumulate(frame[start : start + 700], y[start : start + 700])
    np.testing.assert_allclose(parts.normal_equations_.HH, whole.normal_equations_.HH, rtol=1e-9, atol=1e-8)
    parts.remove(frame[:700], y[:700])
    rest = regressor(neurons, missing=missing).initialize(frame, y).accumulate(frame[700:], y[700:])
    np.testing.assert_allclose(parts.normal_equations_.HT, rest.normal_equations_.HT, rtol=1e-8, atol=1e-6)


@pytest.mark.parametrize("cls", [ELMRegressor, ELMRegressorCV, ELMClassifier, ELMClassifierCV])
@pytest.mark.parametrize("neurons", [None, (40, "auto")])
def test_every_estimator_takes_them_and_is_kept_in_files(tmp_path, cls, neurons):
    frame, y = table()
    target = y if "Regressor" in cls.__name__ else np.where(y > 1, "high", "low")
    model = cls(neurons, missing="indicator", random_state=0).fit(frame, target)
    assert model.score(frame, target) > (0.2 if neurons is None else 0.8)
    model.save(tmp_path / "model.h5")
    for copy in (load(tmp_path / "model.h5"), pickle.loads(pickle.dumps(model))):
        assert (np.asarray(copy.predict(frame)) == np.asarray(model.predict(frame))).all()
        assert copy.hidden_layer_.fingerprint == model.hidden_layer_.fingerprint


def test_categories_are_worth_their_neurons():
    frame, y = table(gaps=False)
    test, y_test = table(seed=1, gaps=False)
    numbers = frame.drop(columns=["zone", "colour"])
    without = ELMRegressor((200, "auto"), random_state=0).fit(numbers, y).score(test[numbers.columns], y_test)
    with_them = ELMRegressor((200, "auto"), random_state=0).fit(frame, y).score(test, y_test)
    assert with_them > max(0.99, without + 0.3)


def test_new_and_rare_levels_are_one_level():
    frame, y = table(gaps=False)
    frame.loc[17, "zone"] = "seen once"
    model = regressor(missing="error").fit(frame, y)
    new = frame[:5].assign(zone=["seen once", "never", "other", "z99", "Z1"])
    np.testing.assert_allclose(
        np.ptp(model.predict(new.assign(size=1.0, colour="red", flag=True, count=1))), 0, atol=1e-9
    )
    assert "seen once" not in model.hidden_layer_.coding.categories[0].levels


def test_declared_levels_without_rows_are_the_level_of_all_others():
    frame, y = table(gaps=False)
    named = frame.astype({"zone": pd.CategoricalDtype([*(f"z{i}" for i in range(12)), "z98", "z99"])})
    words, declared = (regressor().fit(one, y) for one in (frame, named))
    assert declared.hidden_layer_.fingerprint == words.hidden_layer_.fingerprint
    later = pd.DataFrame(named[:3].assign(zone=pd.Categorical(["z98", "z99", "z99"], named["zone"].cat.categories)))
    same = later.assign(zone="another")
    np.testing.assert_array_equal(declared.predict(later), words.predict(same))


def test_a_gap_counts_as_the_mean_and_is_marked():
    frame, _ = table()
    layer = HiddenLayer([(3, "lin")], missing="indicator", random_state=0).fit(frame[["size", "count"]])
    H = layer.transform(frame[["size", "count"]])
    gaps = frame["size"].isna().to_numpy()
    assert (H[gaps, 0] == 0).all()
    assert (H[:, 2] == gaps).all()
    model = ELMRegressor(missing="indicator", random_state=0).fit(frame[["size"]], gaps.astype(float))
    assert model.score(frame[["size"]], gaps.astype(float)) > 0.999


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_with_gaps_in_any_chunks(standardize, dtype):
    import dask.array as da

    frame, y = table()
    X = frame[["size", "count"]].to_numpy(dtype)
    models = [
        ELMRegressor(30, missing="indicator", standardize=standardize, alpha=1.0, random_state=0).fit(rows, y)
        for rows in (X, da.from_array(X, chunks=(700, 2)), da.from_array(X, chunks=(6000, 1)), X * np.float64(1))
    ]
    tolerance = 2e-3 if dtype == np.float32 else 1e-8
    for model in models[1:]:
        np.testing.assert_allclose(model.coef_, models[0].coef_, rtol=tolerance, atol=tolerance)


def test_nan_of_any_bits_is_the_same_gap():
    frame, y = table()
    X = frame[["size", "count"]].to_numpy(float)
    odd = X.copy()
    odd[np.isnan(odd)] = np.array([0xFFF80000000007A2], np.uint64).view(float)[0]
    a, b = (ELMRegressor(30, missing="indicator", random_state=0).fit(rows, y) for rows in (X, odd))
    assert (a.coef_ == b.coef_).all()


def test_gaps_are_an_error_unless_asked_for():
    frame, y = table()
    with pytest.raises(DataError, match=r"X must be finite; got NaN first in row \d+.*missing='indicator'"):
        ELMRegressor(30).fit(frame[["size"]].to_numpy(), y)
    with pytest.raises(DataError, match=r"X must be finite; got NaN .*missing='indicator'"):
        ELMRegressor(30).fit(frame, y)
    full = frame[["size"]].fillna(0)
    model = ELMRegressor(30).fit(full, y)
    with pytest.raises(DataError, match=r"X must be finite; got NaN"):
        model.predict(frame[["size"]])
    X = full.to_numpy().copy()
    X[3] = np.inf
    with pytest.raises(DataError, match=r"X must be finite; got inf"):
        ELMRegressor(30, missing="indicator").fit(X, y)


@pytest.mark.parametrize("wrong", ["mean", None, True, 0])
def test_missing_is_one_of_two_words(wrong):
    with pytest.raises(ParameterError, match=r"missing must be 'error' or 'indicator'"):
        ELMRegressor(30, missing=wrong).fit(np.eye(40), np.arange(40))


def test_other_containers_are_refused_by_a_model_of_categories():
    frame, y = table(gaps=False)
    model = regressor(missing="error").fit(frame, y)
    with pytest.raises(
        InputTypeError, match=r"X must have the columns of fit, some of them categories, by name; got ndarray"
    ):
        model.predict(np.zeros((3, 5)))
    with pytest.raises(InputTypeError, match=r"column 'zone' must hold texts, as in fit.*got int64"):
        model.predict(frame.assign(zone=1))
    with pytest.raises(InputTypeError, match=r"X must hold numbers; got column\(s\) 'size'"):
        model.predict(frame.assign(size="big"))
    with pytest.raises(ValueError, match=r"feature names"):
        model.predict(frame.rename(columns={"zone": "area"}))
    with pytest.raises(ParameterError, match=r"given Neurons see the inputs as they are"):
        ELMRegressor([Neurons("tanh", np.ones((5, 2)), np.zeros(2))]).fit(frame, y)


def test_identifiers_and_lists_are_refused(monkeypatch):
    from daskelm.data import categories

    frame, y = table(gaps=False)
    monkeypatch.setattr(categories, "_MOST_LEVELS", 100)
    with pytest.raises(DataError, match=r"at most 100 levels; got 6,000 in 'id'. If it names the rows, drop it"):
        ELMRegressor(30).fit(frame.assign(id=[f"row {i}" for i in range(N)]), y)
    with pytest.raises(InputTypeError, match=r"got a list in a column of objects"):
        ELMRegressor(30).fit(frame.assign(size=[[1]] * N), y)
    with pytest.raises(InputTypeError, match=r"'time' \(datetime64"):
        ELMRegressor(30).fit(frame.assign(time=pd.Timestamp("2026-01-01")), y)


def test_rows_without_weight_decide_nothing():
    frame, y = table()
    weights = np.ones(N)
    weights[:500] = 0
    odd = frame.copy()
    odd.loc[:499, "zone"] = "nowhere"
    a = regressor().fit(odd, y, weights)
    b = regressor().fit(frame, y, weights)
    assert a.hidden_layer_.fingerprint == b.hidden_layer_.fingerprint


def test_levels_of_numbers_and_words_are_different():
    frame = pd.DataFrame({"a": pd.Categorical([1, 2, 3] * 40), "b": [1, "1", 2.5] * 40})
    y = np.tile([1.0, 2.0, 3.0], 40)
    model = ELMRegressor(alpha=1e-6, random_state=0).fit(frame, y)
    assert [one.levels for one in model.hidden_layer_.coding.categories] == [(1, 2, 3), (1, 2.5, "1")]
    np.testing.assert_allclose(model.predict(frame), y, atol=1e-3)


def test_selection_and_meta_estimators():
    from sklearn.ensemble import BaggingRegressor
    from sklearn.model_selection import cross_val_score

    frame, y = table()
    model = ELMRegressorCV((60, "auto"), n_neurons=[20, 60], missing="indicator", random_state=0).fit(frame, y)
    assert model.score(frame, y) > 0.8
    assert cross_val_score(regressor(alpha="auto"), frame, y, cv=3).min() > 0.8
    with pytest.raises(ValueError, match=r"could not convert|must hold numbers|data frame"):
        # Bagging gives arrays to its parts.
        BaggingRegressor(regressor(), n_estimators=2).fit(frame, y)


def test_a_changed_level_is_another_layer():
    frame, y = table(gaps=False)
    layer = regressor(missing="error").fit(frame, y).hidden_layer_
    first = layer.coding.categories[0]
    renamed = replace(first, levels=("other name", *first.levels[1:]))
    changed = replace(layer, coding=replace(layer.coding, categories=(renamed, *layer.coding.categories[1:])))
    assert changed.fingerprint != layer.fingerprint
