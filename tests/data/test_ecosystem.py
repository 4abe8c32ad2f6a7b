"""Data of other libraries and the tools of scikit-learn: all give the numbers that arrays and plain loops give."""

import pickle
import sys
import threading

import dask
import dask.array as da
import joblib
import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import StackingRegressor
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.inspection import permutation_importance
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from daskelm import (
    ELMClassifier,
    ELMRegressor,
    ELMRegressorCV,
    HiddenLayer,
    from_hdf5,
    load,
    make_hdf5,
    to_hdf5,
)
from daskelm.data.interop import to_supported
from daskelm.exceptions import DataError, FileMissingError, InputTypeError, MissingExtraError, ParameterError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 3))
Y = np.sin(2 * X[:, 0]) + X[:, 1] + 0.1 * RNG.standard_normal(300)
W = RNG.uniform(0.5, 2, 300)
LABELS = np.where(Y > 0, "up", "down")
NAMES = ["height", "width", "mass"]


def regressor(**parameters):
    return ELMRegressor(20, **{"alpha": 1e-2, "random_state": 0} | parameters)


EXPECTED = regressor().fit(X, Y, W)
SCORE = EXPECTED.score(X, Y, W)


def zarr_of(array, store, chunks=None):
    zarr = pytest.importorskip("zarr")
    made = zarr.create_array(store, shape=array.shape, dtype=array.dtype, chunks=chunks or array.shape)
    made[...] = array
    return made


def data_array(array, **coords):
    xarray = pytest.importorskip("xarray")
    return xarray.DataArray(array, dims=("time", "feature")[: array.ndim], coords=coords)


def arrow_of(array):
    arrow = pytest.importorskip("pyarrow")
    return arrow.array(array) if array.ndim == 1 else arrow.table(dict(zip(NAMES, array.T, strict=True)))


def polars_of(array):
    polars = pytest.importorskip("polars")
    return polars.Series(array) if array.ndim == 1 else polars.DataFrame(array, schema=NAMES)


def lazy_frame(array):
    frames = pytest.importorskip("dask.dataframe")
    pandas = pytest.importorskip("pandas")
    if array.ndim == 1:
        return frames.from_pandas(pandas.Series(array), npartitions=4)
    return frames.from_pandas(pandas.DataFrame(array, columns=NAMES), npartitions=4)


def parquet(array, folder):
    frames = pytest.importorskip("dask.dataframe")
    pandas = pytest.importorskip("pandas")
    path, names = folder / f"{array.size}-{array[0].sum()}.parquet", NAMES if array.ndim == 2 else ["one"]
    pandas.DataFrame(array, columns=names).to_parquet(path, row_group_size=70)
    frame = frames.read_parquet(path, split_row_groups=True)
    return frame if array.ndim == 2 else frame["one"]


# Data


KINDS = {
    "dask frame": (lambda array, folder: lazy_frame(array), True),
    "Parquet": (parquet, True),
    "xarray": (lambda array, folder: data_array(array), False),
    "xarray of dask": (lambda array, folder: data_array(array).chunk(time=70), True),
    "xarray of columns": (
        lambda array, folder: data_array(array).chunk({dim: 2 for dim in ["feature"][: array.ndim - 1]}),
        None,
    ),
    "zarr": (
        lambda array, folder: zarr_of(array, folder / f"{array.ndim}-{array[:1].sum()}.zarr", (70, 2)[: array.ndim]),
        True,
    ),
    "zarr in memory": (lambda array, folder: zarr_of(array, {}), True),
    "Arrow": (lambda array, folder: arrow_of(array), False),
    "polars": (lambda array, folder: polars_of(array), False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_is_the_same_table(kind, tmp_path):
    make, lazy = KINDS[kind]
    x, y, w = (make(array, tmp_path) for array in (X, Y, W))
    for given in ((x, y, w), (x, Y, W), (X, y, w)):
        model = regressor().fit(given[0], given[1], sample_weight=given[2])
        assert_allclose(model.coef_, EXPECTED.coef_, rtol=1e-7)
        assert_allclose(model.score(*given), SCORE, rtol=1e-10)
    model = regressor().fit(x, y, w)
    predicted = model.predict(x)
    if lazy is not None:
        assert isinstance(predicted, da.Array if lazy else np.ndarray)
    assert_allclose(predicted, EXPECTED.predict(X), atol=1e-9)
    assert_allclose(model.partial_fit(x, y, w).normal_equations_.HH, 2 * EXPECTED.normal_equations_.HH, rtol=1e-12)
    assert from_hdf5(make_hdf5(x, tmp_path / "x.h5")).shape == X.shape
    assert_array_equal(from_hdf5(tmp_path / "x.h5").compute(), X)


@pytest.mark.parametrize("kind", ["dask frame", "xarray", "xarray of dask", "zarr", "Arrow", "polars"])
def test_labels_of_every_kind(kind, tmp_path):
    labels = LABELS if "zarr" not in kind else (Y > 0).astype(int)
    x, y = (KINDS[kind][0](array, tmp_path) for array in (X, labels))
    model = ELMClassifier(20, random_state=0).fit(x, y)
    expected = ELMClassifier(20, random_state=0).fit(X, labels)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-6, atol=1e-9)
    assert_array_equal(model.predict(x), expected.predict(X))
    assert model.score(x, y) == expected.score(X, labels)


NAMED = {
    "pandas": lambda array, names: pytest.importorskip("pandas").DataFrame(array, columns=names),
    "dask frame": lambda array, names: pytest.importorskip("dask.dataframe").from_pandas(
        pytest.importorskip("pandas").DataFrame(array, columns=names), npartitions=3
    ),
    "xarray": lambda array, names: data_array(array, feature=names),
    "xarray of dask": lambda array, names: data_array(array, feature=names).chunk(time=70),
    "Arrow": lambda array, names: pytest.importorskip("pyarrow").table(dict(zip(names, array.T, strict=True))),
    "polars": lambda array, names: pytest.importorskip("polars").DataFrame(array, schema=names),
}


@pytest.mark.parametrize("kind", NAMED)
def test_names_of_columns_are_kept_and_their_order_is_checked(kind, tmp_path):
    make = NAMED[kind]
    table = make(X, NAMES)
    model = regressor().fit(table, Y, W)
    assert model.feature_names_in_.tolist() == NAMES
    model.save(tmp_path / "m.h5")
    for again in (model, load(tmp_path / "m.h5"), pickle.loads(pickle.dumps(model))):
        for same in NAMED.values():
            assert_allclose(again.predict(same(X, NAMES)), EXPECTED.predict(X), atol=1e-9)
    for call in (model.predict, model.transform, lambda x: model.score(x, Y)):
        with pytest.raises(ValueError, match=r"(?s)feature names should match.*same order as they were in fit"):
            call(make(X[:, ::-1], NAMES[::-1]))
        with pytest.raises(ValueError, match=r"(?s)feature names should match.*unseen at fit time:\n- depth"):
            call(make(X, ["height", "width", "depth"]))
    bad = X.copy()
    bad[7, 1] = np.nan
    with pytest.raises(DataError, match="X must be finite; got NaN first in row 7, column 1"):
        regressor().fit(make(bad, NAMES), Y)


def test_names_are_texts_along_the_second_dimension():
    pandas, xarray = pytest.importorskip("pandas"), pytest.importorskip("xarray")
    pairs = pandas.DataFrame(X, columns=pandas.MultiIndex.from_product([["a"], ["b", "c", "d"]]))
    for given in (
        data_array(X),
        data_array(X, feature=[1, 2, 3]),
        data_array(X, feature=np.array(["a", 1, "b"], object)),
        data_array(X, time=[f"t{i}" for i in range(300)]),
        xarray.DataArray(pairs.rename_axis(["u", "v"], axis=1)),
    ):
        for x in (given, given.chunk({given.dims[0]: 70})):
            assert not hasattr(regressor().fit(x, Y), "feature_names_in_")


def test_partitions_of_unknown_length():
    frame = lazy_frame(X)
    kept = frame[frame["mass"] > 0]
    y = lazy_frame(Y)[frame["mass"] > 0]
    model = regressor().fit(kept, y)
    rows = X[:, 2] > 0
    expected = regressor().fit(X[rows], Y[rows])
    assert_allclose(model.coef_, expected.coef_, rtol=1e-7)
    assert_allclose(model.predict(kept).compute(), expected.predict(X[rows]), atol=1e-9)


def test_a_zarr_array_is_read_chunk_by_chunk(tmp_path, monkeypatch):
    zarr = pytest.importorskip("zarr")
    x = zarr_of(X, tmp_path / "x.zarr", (20, 2))
    read = []
    take = zarr.Array.__getitem__

    def counted(self, index):
        part = take(self, index)
        if part.size:
            read.append(part.shape)
        return part

    monkeypatch.setattr(zarr.Array, "__getitem__", counted)
    monkeypatch.setattr(zarr.Array, "__array__", lambda *_, **__: pytest.fail("loaded as a whole"))
    with dask.config.set({"array.chunk-size": "1000 B"}):
        regressor().fit(x, Y)
        # Whole chunks, all columns at once.
        assert sorted(read[-8:]) == [(20, 3)] + 7 * [(40, 3)]
        read.clear()
        EXPECTED.predict(x, out=tmp_path / "p.h5")
        assert sorted(read) == [(20, 3)] + 7 * [(40, 3)]
        read.clear()
        EXPECTED.predict(x)
        assert read == []


def test_what_was_read_before_is_not_taken_for_what_is_there_now(tmp_path):
    x = zarr_of(X, tmp_path / "x.zarr")
    before = EXPECTED.predict(x)
    assert_allclose(before.compute(), EXPECTED.predict(X), atol=1e-12)
    x[:10] = 0
    after = EXPECTED.predict(x)
    assert after.name != before.name
    assert_allclose(after[:10].compute(), np.repeat(EXPECTED.predict(np.zeros((1, 3))), 10), atol=1e-12)


def test_an_unchunked_netcdf_array_stays_on_disk(tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("netCDF4")
    data_array(X, feature=NAMES).to_netcdf(tmp_path / "x.nc", engine="netcdf4")
    with xarray.open_dataarray(tmp_path / "x.nc", engine="netcdf4") as x:
        model = regressor().fit(x, Y, W)
        predicted = model.predict(x)
        assert isinstance(predicted, da.Array)
        assert_allclose(predicted, EXPECTED.predict(X), atol=1e-9)
        assert model.feature_names_in_.tolist() == NAMES
        assert not x._in_memory


def test_zarr_on_a_cluster(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = zarr_of(X, "x.zarr", (50, 3)), zarr_of(Y, "y.zarr", (50,))
    model = regressor().fit(x, y, W)
    assert_allclose(model.coef_, EXPECTED.coef_, rtol=1e-7)
    assert_allclose(model.predict(x).compute(), EXPECTED.predict(X), atol=1e-9)
    travelled = to_supported(x, "X")
    (tmp_path / "x.zarr").rename(tmp_path / "moved.zarr")
    # Zarr itself would read zeros.
    with pytest.raises(
        FileMissingError, match=r"x\.zarr must be visible on every worker.*all machines share, or in object storage"
    ):
        regressor().fit(travelled, Y)


class Numbers:
    """The face of a variable of netCDF4 or PyTables."""

    shape, dtype, ndim = X.shape, X.dtype, 2

    def __getitem__(self, index):
        return X[index]

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("loaded silently")


def test_what_may_be_lazy_is_not_loaded():
    rule = (
        r"an array of this kind may not be in memory.*got test_ecosystem\.Numbers\. Give value\[:\] to load it, or dask"
    )
    lazy = Numbers()
    for call in (
        lambda: regressor().fit(lazy, Y),
        lambda: EXPECTED.predict(lazy),
        lambda: EXPECTED.score(lazy, Y),
    ):
        with pytest.raises(InputTypeError, match=f"X: {rule}"):
            call()
    for call in (
        lambda: regressor().fit(X, lazy),
        lambda: EXPECTED.score(X, lazy),
        lambda: ELMClassifier().fit(X, lazy),
        lambda: ELMClassifier(5).fit(X, LABELS).score(X, lazy),
    ):
        with pytest.raises(InputTypeError, match=f"y: {rule}"):
            call()
    for call in (lambda: regressor().fit(X, Y, lazy), lambda: EXPECTED.score(X, Y, lazy)):
        with pytest.raises(InputTypeError, match=f"sample_weight: {rule}"):
            call()
    with pytest.raises(InputTypeError, match=f"data: {rule}"):
        make_hdf5(lazy, "x.h5")
    assert_allclose(regressor().fit(da.from_array(lazy, chunks=(100, 3), asarray=False), Y, W).coef_, EXPECTED.coef_)


def test_several_tables_in_one_are_refused_with_the_remedy():
    table = data_array(X, feature=NAMES)
    dataset = table.to_dataset("feature")
    with pytest.raises(InputTypeError, match=r"X: .* Dataset holds variables.*dataset\.to_dataarray\('feature'\)"):
        regressor().fit(dataset, Y)
    with pytest.raises(InputTypeError, match=r"X: .* Dataset holds variables"):
        regressor().fit(dataset.chunk(time=70), Y)
    again = regressor().fit(dataset.to_dataarray("feature").transpose(..., "feature"), Y, W)
    assert_allclose(again.coef_, EXPECTED.coef_)
    assert again.feature_names_in_.tolist() == NAMES
    grid = data_array(X).to_numpy().reshape(30, 10, 3)
    xarray = pytest.importorskip("xarray")
    cube = xarray.DataArray(grid, dims=("lat", "lon", "feature"), coords={"feature": NAMES}).to_dataset("feature")
    stacked = cube.chunk(lat=7).stack(sample=["lat", "lon"]).to_dataarray("feature").transpose(..., "feature")
    assert_allclose(regressor().fit(stacked, Y, W).coef_, EXPECTED.coef_)
    group = pytest.importorskip("zarr").open_group({}, mode="w")
    with pytest.raises(InputTypeError, match=r"X: .* group holds arrays by name; got zarr\.Group\. Give one: group"):
        regressor().fit(group, Y)


def test_a_polars_frame_to_come_is_no_table():
    lazy = polars_of(X).lazy()
    with pytest.raises(
        InputTypeError, match=r"X: a LazyFrame is no table yet; .* Give value\.collect\(\), or.*parquet"
    ):
        regressor().fit(lazy, Y)


@pytest.mark.parametrize("kind", ["Arrow", "polars"])
def test_columns_of_text_are_named_by_a_model_of_numbers(kind):
    table = NAMED[kind](X.astype(object), NAMES) if kind == "polars" else arrow_of(X)
    table = table.append_column("city", [LABELS]) if kind == "Arrow" else table.with_columns(city=LABELS)
    frame = pytest.importorskip("pandas").DataFrame(np.column_stack([X, Y]), columns=[*NAMES, "city"])
    model = regressor().fit(frame, Y)
    with pytest.raises(InputTypeError, match=r"X must hold numbers; got column\(s\) 'city' \(str\)"):
        model.predict(table)


def test_tables_that_need_pandas_say_so(monkeypatch):
    table = arrow_of(X)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        MissingExtraError, match=r"X: a Table is taken by way of pandas, which is not installed\. Use pip"
    ):
        to_supported(table, "X")


# Results


ENDINGS = [
    ".arrow",
    ".csv",
    ".GZ",
    ".json",
    ".npy",
    ".npz",
    ".onnx",
    ".pkl",
    ".tsv",
    ".txt",
    ".zarr",
    ".zip",
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_of_predictions_is_named_as_what_it_is(ending, tmp_path):
    path = tmp_path / f"p.h5{ending}"
    rule = rf"what is written is HDF5, and its name must not say otherwise; got '.*p\.h5{ending}'\. Use an ending such"
    labels = ELMClassifier(5, random_state=0).fit(X, Y > 0)
    for x in (X, da.from_array(X, chunks=100)):
        for call in (EXPECTED.predict, labels.predict, labels.predict_proba, labels.decision_function):
            with pytest.raises(ParameterError, match=f"out: {rule}"):
                call(x, out=path)
    for call in (make_hdf5, lambda array, path: to_hdf5(da.from_array(array), path)):
        with pytest.raises(ParameterError, match=f"path: {rule}"):
            call(X, path)
    assert list(tmp_path.iterdir()) == []


def test_a_table_in_hdf5_is_not_named_as_parquet(tmp_path):
    # Predictions may be written as Parquet.
    for call in (make_hdf5, lambda array, path: to_hdf5(da.from_array(array), path)):
        with pytest.raises(ParameterError, match=r"path: what is written is HDF5.*p\.parquet"):
            call(X, tmp_path / "p.parquet")


@pytest.mark.parametrize("name", ["p.h5", "p.hdf5", "p", "p.nc", "2020.01"])
def test_other_names_are_free(name, tmp_path):
    EXPECTED.predict(X, out=tmp_path / name)
    assert_array_equal(from_hdf5(tmp_path / name)[:, 0].compute(), EXPECTED.predict(X))


def test_a_list_of_words_is_no_list_of_files(tmp_path):
    rule = r"y must hold numbers; got text such as 'up', which is no file either\. Use ELMClassifier for labels"
    words = ["up", "down"] * 150
    for x in (X, da.from_array(X, chunks=100)):
        for call in (regressor().fit, regressor().partial_fit, EXPECTED.score, ELMRegressorCV(5).fit):
            for y in (words, tuple(words)):
                with pytest.raises(InputTypeError, match=rule):
                    call(x, y)
    files = [make_hdf5(Y[:100], tmp_path / "1.h5"), make_hdf5(Y[100:], tmp_path / "2.h5")]
    for y in (files, [str(tmp_path / "*.h5")]):
        assert_allclose(regressor().fit(X, y, W).coef_, EXPECTED.coef_)
    with pytest.raises(FileMissingError, match="up: no such file"):
        regressor().fit(make_hdf5(X, tmp_path / "x.h5"), words)


# scikit-learn


def mixed():
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(X, columns=NAMES).assign(city=np.tile(["Oslo", "Rome", "Bern"], 100))


def coded():
    return make_column_transformer((OneHotEncoder(sparse_output=False), ["city"]), remainder="passthrough")


def test_columns_of_text_are_coded_and_numbers_pass():
    frame = mixed()
    pipe = make_pipeline(coded(), regressor()).fit(frame, Y)
    by_hand = np.column_stack([np.eye(3)[np.tile([1, 2, 0], 100)], X])
    assert_allclose(pipe.predict(frame), regressor().fit(by_hand, Y).predict(by_hand), rtol=1e-12)
    assert_array_equal(clone(pipe).fit(frame, Y).predict(frame), pipe.predict(frame))
    named = clone(pipe).set_output(transform="pandas").fit(frame, Y)
    assert named[-1].feature_names_in_.tolist()[-3:] == [f"remainder__{name}" for name in NAMES]
    assert_allclose(named.predict(frame), pipe.predict(frame), atol=1e-9)


def test_a_sparse_code_stays_sparse():
    encoder = make_column_transformer((OneHotEncoder(), ["city"]), remainder="drop")
    many = mixed().assign(city=(np.arange(300) // 3).astype(str))
    pipe = make_pipeline(encoder, regressor()).fit(many, Y)
    codes = encoder.fit_transform(many)
    assert issparse(codes)
    assert_array_equal(pipe.predict(many), regressor().fit(codes, Y).predict(codes))


def test_a_search_through_a_pipeline():
    grid = {"elmregressor__neurons": [5, 20], "elmregressor__alpha": [1e-2, 10.0]}
    search = GridSearchCV(make_pipeline(coded(), regressor()), grid, cv=3).fit(mixed(), Y)
    best = clone(search.estimator).set_params(**search.best_params_).fit(mixed(), Y)
    assert_array_equal(best.predict(mixed()), search.predict(mixed()))


def test_a_hidden_layer_gives_frames():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=NAMES, index=np.arange(300)[::-1])
    layer = HiddenLayer([(3, "lin"), (4, "tanh")], random_state=0).set_output(transform="pandas")
    H = layer.fit(frame).transform(frame)
    assert H.columns.tolist() == layer.get_feature_names_out().tolist()
    assert H.index.equals(frame.index)
    assert_allclose(H, clone(layer).set_output(transform="default").fit(X).transform(X), atol=1e-12)


def test_a_lazy_layer_is_not_loaded_into_a_frame(tmp_path):
    x = make_hdf5(X, tmp_path / "x.h5")
    layer = HiddenLayer(4, random_state=0).set_output(transform="pandas").fit(x)
    for lazy in (x, da.from_array(X, chunks=100)):
        with pytest.raises(
            ParameterError, match=r"set_output: .* not loaded silently; got H of shape \(300, 4\)\. Use"
        ):
            layer.transform(lazy)
    assert isinstance(layer.set_output(transform="default").transform(x), da.Array)


def test_a_transformed_target():
    both = TransformedTargetRegressor(regressor(), func=np.log1p, inverse_func=np.expm1).fit(X, Y + 5)
    expected = np.expm1(regressor().fit(X, np.log1p(Y + 5)).predict(X))
    assert_allclose(both.predict(X), expected, rtol=1e-12)


def test_models_of_models():
    stack = StackingRegressor([("elm", regressor()), ("ridge", Ridge())], cv=3).fit(X, Y)
    assert_array_equal(stack.transform(X)[:, 0], regressor().fit(X, Y).predict(X))
    calibrated = CalibratedClassifierCV(ELMClassifier(20, random_state=0), cv=3).fit(X, LABELS)
    assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1)
    assert calibrated.score(X, LABELS) > 0.8
    frame = mixed()[NAMES]
    told = permutation_importance(regressor().fit(frame, Y), frame, Y, n_repeats=3, random_state=0)
    assert told.importances_mean.argmin() == 2


def test_routed_weights_are_given_weights():
    with sklearn.config_context(enable_metadata_routing=True):
        weighted = regressor().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), weighted)
        pipe.fit(X, Y, sample_weight=W)
        scaled = StandardScaler().fit_transform(X)
        expected = regressor().fit(scaled, Y, sample_weight=W)
        assert_array_equal(pipe.predict(X), expected.predict(scaled))
        assert pipe.score(X, Y, sample_weight=W) == expected.score(scaled, Y, W)
        chosen = GridSearchCV(weighted, {"neurons": [20]}, cv=3).fit(X, Y, sample_weight=W)
        assert_array_equal(chosen.best_estimator_.coef_, EXPECTED.coef_)
        layer = HiddenLayer(20, random_state=0).set_fit_request(sample_weight=True)
        both = make_pipeline(layer, Ridge(1e-2).set_fit_request(sample_weight=True)).fit(X, Y, sample_weight=W)
        assert_allclose(both.predict(X), EXPECTED.predict(X), atol=1e-8)


@pytest.mark.parametrize("kind", [ELMRegressor, ELMRegressorCV])
def test_routed_weights_of_folds(kind):
    folds = list(sklearn.model_selection.KFold(3).split(X))
    model = kind(20, random_state=0)
    expected = [model.fit(X[a], Y[a], W[a]).score(X[b], Y[b], W[b]) for a, b in folds]
    with sklearn.config_context(enable_metadata_routing=True):
        weighted = clone(model).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        scores = cross_validate(weighted, X, Y, cv=folds, params={"sample_weight": W})["test_score"]
        assert scores.tolist() == expected
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            cross_validate(model, X, Y, cv=folds, params={"sample_weight": W})


def test_scores_of_joblib_on_dask_are_those_of_a_loop(client, tmp_path):
    expected = cross_validate(regressor(), X, Y, cv=4, return_estimator=True)
    lazy = from_hdf5(make_hdf5(X, tmp_path / "x.h5"))
    for x in (X, lazy):
        with joblib.parallel_backend("dask"):
            scores = cross_validate(regressor(), x, Y, cv=4, return_estimator=True)
        assert_allclose(scores["test_score"], expected["test_score"], rtol=1e-10)
        assert_allclose(scores["estimator"][2].coef_, expected["estimator"][2].coef_, rtol=1e-6, atol=1e-9)
    with joblib.parallel_backend("dask"):
        search = GridSearchCV(regressor(), {"neurons": [5, 20], "alpha": [1e-2, 1.0]}, cv=3).fit(X, Y)
    assert search.best_params_ == {"neurons": 20, "alpha": 1e-2}


def test_inside_a_task_all_work_is_on_its_thread(client):
    class Threads(ELMRegressor):
        """Notes which threads its neurons are computed in, in tasks as small as they get."""

        def fit(self, X, y):
            from daskelm.layer.layer import Layer
            from daskelm.passes import accumulate as accumulation

            def noted(layer, *arguments, **options):
                seen.add(threading.get_ident())
                return call(layer, *arguments, **options)

            seen, call = set(), Layer.__call__
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Layer, "__call__", noted)
                for name in ("rows_per_task", "block_rows"):
                    patch.setattr(accumulation, name, lambda *_: 50)
                super().fit(X, y)
            self.threads_, self.own_ = seen, threading.get_ident()
            return self

    for x in (X, mixed()[NAMES]):
        with joblib.parallel_backend("dask"):
            fitted = cross_validate(Threads(20, random_state=0), x, Y, cv=2, return_estimator=True)["estimator"]
        for model in fitted:
            assert model.threads_ == {model.own_}


def test_a_series_of_dask_is_written_as_a_column(tmp_path):
    frames, pandas = pytest.importorskip("dask.dataframe"), pytest.importorskip("pandas")
    series = pandas.Series(np.arange(7.0), name="load")
    path = make_hdf5(frames.from_pandas(series, npartitions=3), tmp_path / "y.h5")
    np.testing.assert_array_equal(from_hdf5(path).compute(), series.to_numpy()[:, None])
