"""Dask arrays and frames as they are: how often each chunk is loaded, and what is refused where it is met."""

import asyncio
import collections
import logging
import pickle
import threading

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from distributed import Client, LocalCluster
from sklearn.exceptions import UndefinedMetricWarning

from daskelm import (
    ELMClassifier,
    ELMClassifierCV,
    ELMRegressor,
    ELMRegressorCV,
    HiddenLayer,
    PredictionDisplay,
    make_hdf5,
    to_hdf5,
)
from daskelm.cluster.client import sharing
from daskelm.data.refusals import checked
from daskelm.data.row_chunks import chunk_keys, one_graph
from daskelm.exceptions import ClusterError, DataError, InputTypeError, ScaleWarning

N, D, CHUNK = 400, 3, 100
RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((N, D + 3))
TABLE[:, D] = np.sin(TABLE[:, 0]) + TABLE[:, 1]
TABLE[:, D + 1] = RNG.uniform(0.5, 2, N)
TABLE[:, D + 2] = TABLE[:, D] > 0
X, Y, W, LABELS = TABLE[:, :D], TABLE[:, D], TABLE[:, D + 1], TABLE[:, D + 2].astype(int)
FRAME = pd.DataFrame(TABLE, columns=["a", "b", "c", "y", "w", "label"]).astype({"label": int})


def regressor(**parameters):
    return ELMRegressor(10, random_state=0, alpha=1.0, **parameters)


# How often each chunk is loaded


class Source:
    """A table in chunks that counts how often each is loaded, as an array and as a frame."""

    def __init__(self):
        self.loads = collections.Counter()

    def _load(self, i):
        self.loads[i] += 1
        return FRAME.iloc[i * CHUNK : (i + 1) * CHUNK]

    def array(self):
        chunks = [
            da.from_delayed(dask.delayed(lambda i: self._load(i).to_numpy(), pure=True)(i), (CHUNK, D + 3), float)
            for i in range(N // CHUNK)
        ]
        table = da.concatenate(chunks)
        return table[:, :D], table[:, D], table[:, D + 1], table[:, D + 2].astype(int)

    def frame(self):
        table = dd.from_map(lambda i: self._load(i), range(N // CHUNK), meta=FRAME.iloc[:0])
        return table[["a", "b", "c"]], table["y"], table["w"], table["label"]

    def per_chunk(self):
        (times,) = set(self.loads.values())
        assert len(self.loads) == N // CHUNK
        return times


GRID = {"alphas": [0.1, 1.0], "random_state": 0}
# One pass over the rows, and where it says so: one for the input scale, which looks at all rows of so small a table;
# one for the classes; one for the labels that stratified folds are cut by; a second pass; a last one for rows that a
# classifier's probabilities are fitted to. See docs/guide/data.md.
LOADS = {
    "fit": (lambda x, y, w, c: regressor().fit(x, y), 1 + 1),
    "fit without a scale": (lambda x, y, w, c: regressor(standardize=False).fit(x, y), 1),
    "fit with weights": (lambda x, y, w, c: regressor().fit(x, y, w), 1 + 1),
    "partial_fit": (lambda x, y, w, c: regressor().partial_fit(x, y, w), 1 + 1),
    "learning curve": (lambda x, y, w, c: regressor(tol=1e-9).fit(x, y, w), 1 + 1),
    "classifier": (lambda x, y, w, c: ELMClassifier(10, random_state=0).fit(x, c, w), 1 + 1 + 1 + 1),
    "scale alone": (lambda x, y, w, c: HiddenLayer(10).fit(x, sample_weight=w), 1),
    "folds": (lambda x, y, w, c: ELMRegressorCV(10, cv=2, **GRID).fit(x, y, w), 1 + 1),
    "folds in two passes": (
        lambda x, y, w, c: ELMRegressorCV(10, cv=2, scoring="neg_mean_absolute_error", **GRID).fit(x, y, w),
        1 + 2,
    ),
    "leave one out": (lambda x, y, w, c: ELMRegressorCV(10, cv="loo", **GRID).fit(x, y, w), 1 + 2),
    "folds of labels": (
        lambda x, y, w, c: ELMClassifierCV(10, cv=2, scoring="accuracy", **GRID).fit(x, c, w),
        1 + 1 + 1 + 2 + 1,
    ),
    "validation rows": (
        lambda x, y, w, c: ELMRegressorCV(10, **GRID).fit(X, Y, X_val=x, y_val=y, sample_weight_val=w),
        1,
    ),
    "numpy beside lazy y and weights": (lambda x, y, w, c: regressor().fit(X, y, w), 1),
}
FITTED = regressor().fit(X, Y)
LOADS_OF_FITTED = {
    "score": (lambda x, y, w, c: FITTED.score(x, y, w), 1),
    "predict": (lambda x, y, w, c: FITTED.predict(x).compute(), 1),
    "classifier's score": (lambda x, y, w, c: ELMClassifier(10).fit(X, LABELS).score(x, c, w), 1),
    "picture of predictions": (
        lambda x, y, w, c: PredictionDisplay.from_predictions(y, FITTED.predict(x)),
        1,
    ),
}


@pytest.mark.parametrize("call", LOADS | LOADS_OF_FITTED)
def test_each_chunk_of_an_array_is_loaded_once_per_pass(call, no_client):
    work, times = (LOADS | LOADS_OF_FITTED)[call]
    source = Source()
    work(*source.array())
    assert source.per_chunk() == times


@pytest.mark.parametrize("call", LOADS)
def test_each_partition_of_a_frame_is_loaded_once_more_to_count_its_rows(call, no_client):
    work, times = LOADS[call]
    source = Source()
    x, y, w, c = source.frame()
    if call in ("validation rows", "numpy beside lazy y and weights"):
        x = x.to_dask_array()
        y, w = y.to_dask_array(), w.to_dask_array()
        # Arrays made of a frame one by one are three graphs, of which each is counted and computed by itself.
        times = None
    work(x, y, w, c)
    if times is None:
        assert source.per_chunk() > 2
    else:
        assert source.per_chunk() == 1 + times


def test_columns_of_a_shuffled_frame_stay_rows_of_one_table(no_client):
    table = dd.from_pandas(FRAME, npartitions=4).map_partitions(_shuffled, meta=FRAME.iloc[:0])
    model = regressor().fit(table[["a", "b", "c"]], table["y"], table["w"])
    np.testing.assert_allclose(model.coef_, regressor().fit(X, Y, W).coef_, rtol=1e-8)


def _shuffled(part):
    return part.sample(frac=1)


def test_one_graph_holds_the_futures_of_persisted_chunks(client):
    array = da.from_array(X, chunks=(CHUNK, D)).persist()
    column = array[:, 0] + 1
    graph = one_graph([array, column])
    needed = {key for node in graph.values() for key in getattr(node, "dependencies", ())}
    assert needed
    assert needed.union(chunk_keys(array, range(4)), chunk_keys(column, range(4))) <= set(graph)


def test_chunks_of_one_table_are_few_tasks():
    """The chunk itself, X of it and y of it; names that stand for fused tasks are none."""
    table = da.ones((N, D + 1), chunks=(CHUNK, -1)) + 1
    graph = one_graph([checked(table[:, :D], "X"), checked(table[:, D], "y")])
    assert len(graph) == 3 * N // CHUNK


# Chunks that are not what the array declares


def _misdeclared(chunk_of, dtype=float):
    """An array of plain chunks by its face, of which the third is made by a function of the true one."""

    def change(block, block_info=None):
        return chunk_of(block) if block_info[0]["chunk-location"][0] == 2 else block

    plain = da.from_array(X, chunks=(CHUNK, D))
    return plain.map_blocks(change, dtype=dtype, meta=np.empty((0, 0), dtype))


CHUNKS = {
    "masked": (
        lambda block: np.ma.masked_array(block, mask=block > 1),
        r"row 200 on\).*masked arrays are not supported",
    ),
    "sparse": (scipy.sparse.csr_array, r"row 200 on.*dense|chunks must be NumPy arrays.*got csr_array from row 200 on"),
    "objects": (
        lambda block: block.astype(object),
        "chunks must be NumPy arrays of float64.*an array of object.*200",
    ),
    "text": (lambda block: block.astype(str), "chunks must be NumPy arrays of float64.*got an array of <U"),
    "lists": (lambda block: block.tolist(), "chunks must be NumPy arrays of float64.*got list from row 200 on"),
    "frame": (pd.DataFrame, "chunks must be NumPy arrays of float64.*got DataFrame from row 200 on"),
    "short": (lambda block: block[:90], r"have the shape that .*declares, \(100, 3\) from row 200 on; got \(90, 3\)"),
    "long": (lambda block: np.tile(block, (2, 1)), r"declares, \(100, 3\) from row 200 on; got \(200, 3\)"),
    "narrow": (lambda block: block[:, :2], r"declares, \(100, 3\) from row 200 on; got \(100, 2\)"),
}
CALLS = {
    "fit": lambda array: regressor(standardize=False).fit(array, Y),
    "fit, rechunked": lambda array: regressor(standardize=False).fit(array, da.from_array(Y, chunks=70)),
    "fit, y rechunked": lambda array: regressor(standardize=False).fit(da.from_array(X, chunks=(70, D)), array),
    "y in memory": lambda array: regressor(standardize=False).fit(X, array),
    "part of the rows": lambda array: (
        regressor(standardize=False).initialize(array).accumulate(array, Y, rows=slice(150, 290))
    ),
    "learning curve": lambda array: regressor(standardize=False, tol=1e-9).fit(array, Y),
    "validation": lambda array: ELMRegressorCV(10, standardize=False, **GRID).fit(X, Y, X_val=array, y_val=Y),
    "scattered folds": lambda array: ELMRegressorCV(10, standardize=False, cv=2, **GRID).fit(array, Y),
    "predict": lambda array: FITTED.predict(array).compute(),
    "score": lambda array: FITTED.score(array, Y),
}


@pytest.mark.parametrize("kind", CHUNKS)
@pytest.mark.parametrize("call", CALLS)
def test_chunks_that_are_not_what_the_array_declares_are_refused(kind, call, no_client):
    chunk_of, message = CHUNKS[kind]
    with pytest.raises((DataError, InputTypeError), match=message):
        CALLS[call](_misdeclared(chunk_of))


def test_fractions_in_an_array_of_integers_are_refused(no_client):
    """Dask would cut them off where it joins chunks, and keep them where it does not."""
    y = da.from_array(np.arange(N), chunks=CHUNK).map_blocks(lambda block: block + 0.5, dtype=int)
    for x in (X, da.from_array(X, chunks=(CHUNK, D))):
        with pytest.raises(InputTypeError, match="y: chunks must be NumPy arrays of int64.*got an array of float64"):
            regressor().fit(x, y)


def test_chunks_of_columns_are_checked_before_they_are_joined(no_client):
    array = da.from_array(X, chunks=(CHUNK, 1)).map_blocks(_longer_in_the_second_column, dtype=float)
    with pytest.raises(DataError, match=r"X: chunks must have the shape .* \(100, 1\) from row \d+ on; got \(101, 1\)"):
        regressor(standardize=False).fit(array, Y)


def _longer_in_the_second_column(block, block_info=None):
    return np.concatenate([block, block[:1]]) if block_info[0]["chunk-location"][1] == 1 else block


def test_rows_that_are_fewer_than_when_they_were_counted_are_refused(no_client):
    times: collections.Counter = collections.Counter()

    def shrinking(block, block_info=None):
        i = block_info[0]["chunk-location"][0]
        times[i] += 1
        return block if times[i] == 1 else block[:90]

    unknown = ((np.nan,) * 4, (D,))
    array = da.from_array(X, chunks=(CHUNK, D)).map_blocks(shrinking, chunks=unknown, meta=np.empty((0, 0)))
    with pytest.raises(DataError, match=r"\(100, 3\) from row \d+ on; got \(90, 3\).*give the same rows each time"):
        regressor(standardize=False).fit(array, Y)


def test_chunks_that_are_written_are_checked_too(tmp_path, no_client):
    path = tmp_path / "out.h5"
    for kind, (chunk_of, message) in CHUNKS.items():
        with pytest.raises((DataError, InputTypeError), match=message):
            (make_hdf5 if kind == "short" else to_hdf5)(_misdeclared(chunk_of), path)
        assert not path.exists()


def test_checks_of_chunks_travel():
    array = checked(da.from_array(X, chunks=(CHUNK, D)), "X")
    again = pickle.loads(pickle.dumps(array))
    np.testing.assert_array_equal(again.compute(), X)


def test_a_dask_array_of_unknown_chunks_is_left_as_it_was(no_client):
    array = da.from_array(X, chunks=(CHUNK, D))
    array = array[array[:, 0] < np.inf]
    regressor().fit(array, Y)
    assert np.isnan(array.shape[0])


# What stands for data without being it


def _promises():
    delayed = dask.delayed(X)
    yield "a delayed value", delayed, "must be an array or a table; got DelayedLeaf.*dask.array.from_delayed"
    yield "delayed values", [delayed, delayed], "got list of DelayedLeaf.*dask.array.concatenate"
    yield "a generator", (path for path in ["a.h5"]), r"as a list of paths.*got generator. Use list\(...\)"
    yield "a set", {"a.h5", "b.h5"}, "as a list of paths, in the order of their rows; got set"
    yield "bytes", b"a.h5", r"as a list of paths.*got bytes. .*os.fsdecode"


@pytest.mark.parametrize(("value", "message"), [pytest.param(v, m, id=name) for name, v, m in _promises()])
@pytest.mark.parametrize("name", ["X", "y", "sample_weight"])
def test_what_stands_for_data_is_refused_by_what_it_is(value, message, name):
    given = {"X": X, "y": Y, "sample_weight": W} | {name: value}
    for model in (regressor(), ELMClassifier(10)):
        with pytest.raises(InputTypeError, match=f"^{name}.*{message}"):
            model.fit(**given)


@pytest.mark.parametrize("several", [False, True])
def test_futures_are_refused_by_what_they_are(several, client):
    future = client.scatter(X)
    with pytest.raises(InputTypeError, match="X must be an array or a table; got .*Future.*dask.array.from_delayed"):
        regressor().fit([future, future] if several else future, Y)


def test_paths_in_an_array_are_refused_by_what_they_are(tmp_path):
    paths = [make_hdf5(X, tmp_path / "a.h5"), make_hdf5(X, tmp_path / "b.h5")]
    for value in (np.array(paths), pd.Series(paths), np.array([path.encode() for path in paths])):
        with pytest.raises(InputTypeError, match="X: several files are given as a list of paths.*Use list"):
            regressor().fit(value, Y)


# y as X


NUMBERS = {
    "Float64": FRAME["y"].astype("Float64"),
    "Int64": (FRAME["y"] * 10).round().astype("Int64"),
    "boolean": (FRAME["y"] > 0).astype("boolean"),
    "double[pyarrow]": FRAME["y"].astype("double[pyarrow]"),
    "int64[pyarrow]": (FRAME["y"] * 10).round().astype("int64[pyarrow]"),
    "bool[pyarrow]": (FRAME["y"] > 0).astype("bool[pyarrow]"),
    "category": (FRAME["y"] * 10).round().astype("category"),
}


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("known", [True, False])
def test_a_lazy_y_of_any_type_of_numbers_gives_the_model_of_the_same_numbers(dtype, known, no_client):
    series = NUMBERS[dtype]
    lazy = dd.from_pandas(series, npartitions=3)
    if not known:
        lazy = lazy.cat.as_unknown() if dtype == "category" else lazy.repartition(npartitions=2)
    plain = np.asarray(series, float)
    want = regressor().fit(X, plain)
    for y in (series, lazy):
        np.testing.assert_allclose(regressor().fit(X, y).coef_, want.coef_, rtol=1e-9, atol=1e-12)
        assert want.score(X, y) == pytest.approx(want.score(X, plain), rel=1e-12)


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "int64[pyarrow]", "category"])
def test_labels_of_any_type_give_the_same_classes_in_memory_and_lazily(dtype, no_client):
    series = ((FRAME["y"] > 0) * 1).astype("category") if dtype == "category" else (FRAME["y"] > 0).astype(dtype)
    in_memory = ELMClassifier(10, random_state=0).fit(X, series)
    lazy = ELMClassifier(10, random_state=0).fit(X, dd.from_pandas(series, npartitions=3))
    assert in_memory.classes_.dtype == lazy.classes_.dtype
    assert in_memory.classes_.tolist() == lazy.classes_.tolist() == [0, 1]
    np.testing.assert_array_equal(in_memory.coef_, lazy.coef_)


def test_nullable_labels_beyond_two_to_the_53_stay_apart(no_client):
    ids = pd.Series(2**62 + np.arange(N) % 3, dtype="Int64")
    for y in (ids, dd.from_pandas(ids, npartitions=3)):
        assert ELMClassifier(10, random_state=0).fit(X, y).classes_.tolist() == [2**62, 2**62 + 1, 2**62 + 2]


def test_missing_values_of_nullable_types_are_named_by_their_row(no_client):
    ids = pd.Series(np.arange(N) % 3, dtype="Int64")
    ids[250] = pd.NA
    for y in (ids, dd.from_pandas(ids, npartitions=3)):
        for model in (regressor(), ELMClassifier(10, random_state=0)):
            with pytest.raises(DataError, match="y must be finite; got NaN first in row 250"):
                model.fit(X, y)


def test_weights_of_one_column_and_one_number_are_taken_everywhere(no_client):
    want = regressor().fit(X, Y, W)
    for x in (X, da.from_array(X, chunks=(CHUNK, D))):
        for weights in (W[:, None], FRAME[["w"]], FRAME["w"], da.from_array(W[:, None], chunks=70)):
            model = regressor().fit(x, Y, weights)
            np.testing.assert_allclose(model.coef_, want.coef_, rtol=1e-9)
            assert model.score(x, Y, weights) == pytest.approx(want.score(X, Y, W), rel=1e-12)
        assert regressor().fit(x, Y, 2.0).score(x, Y, 2.0) == pytest.approx(
            regressor().fit(X, Y, W * 0 + 2).score(X, Y)
        )


def test_text_labels_are_not_compared_with_numbers(no_client):
    model = ELMClassifier(10, random_state=0).fit(X, LABELS)
    words = da.from_array(LABELS.astype(str), chunks=CHUNK)
    with pytest.raises(DataError, match="y: labels must be of the type of the classes, numbers .*; got text such"):
        model.score(da.from_array(X, chunks=(CHUNK, D)), words)


def test_errors_of_scores_name_the_row_of_the_whole(no_client):
    y = Y.copy()
    y[333] = np.nan
    with pytest.raises(DataError, match="y must be finite; got NaN first in row 333"):
        FITTED.score(da.from_array(X, chunks=(CHUNK, D)), y)


# Asynchronous clients, and Dask's configuration


def test_an_asynchronous_client_is_no_hindrance_in_memory_and_named_for_lazy_rows():
    lazy = da.from_array(X, chunks=(CHUNK, D))
    want = regressor().fit(X, Y)

    async def work():
        async with (
            LocalCluster(
                n_workers=1, processes=False, asynchronous=True, dashboard_address=":0", silence_logs=logging.ERROR
            ) as cluster,
            Client(cluster, asynchronous=True),
        ):
            np.testing.assert_array_equal(regressor().fit(X, Y).coef_, want.coef_)
            assert want.score(X, Y) > 0
            ELMRegressorCV(10, cv=2, **GRID).fit(X, Y)
            regressor(tol=1e-9).fit(X, Y)
            for call in (lambda: regressor().fit(lazy, Y), lambda: want.score(lazy, Y)):
                with pytest.raises(ClusterError, match=r"client must be synchronous.*asyncio\.to_thread"):
                    call()
            model = await asyncio.to_thread(regressor().fit, lazy, Y)
            np.testing.assert_allclose(model.coef_, want.coef_, rtol=1e-9)

    asyncio.run(work())


def test_the_threshold_of_large_graphs_is_the_users_own_after_contexts_that_overlap():
    key = "distributed.admin.large-graph-warning-threshold"
    with dask.config.set({key: "7MB"}):
        first_is_in, second_is_in, first_is_out = threading.Event(), threading.Event(), threading.Event()

        def first():
            with sharing(10**8):
                first_is_in.set()
                second_is_in.wait(60)
            first_is_out.set()

        def second():
            first_is_in.wait(60)
            with sharing(10**9):
                second_is_in.set()
                first_is_out.wait(60)
                assert dask.config.get(key) >= 10**9

        threads = [threading.Thread(target=work) for work in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert dask.config.get(key) == "7MB"


# What an adversary found in between


def _declared(chunks, dtype):
    """An array of these chunks that declares a dtype."""
    return da.concatenate(
        [da.from_delayed(dask.delayed(chunk), (len(chunk),), dtype) for chunk in chunks], allow_unknown_chunksizes=False
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "bool"])
def test_integers_that_the_declared_type_cannot_hold_are_refused(dtype, no_client):
    """Dask wraps them around where it joins chunks, and keeps them where it does not."""
    y = np.arange(N)
    array = _declared([y[:100].astype(dtype), *y[100:].reshape(3, 100)], dtype)
    frame = dd.from_pandas(FRAME.assign(y=y), npartitions=4)
    series = frame["y"].map_partitions(lambda part: part, meta=pd.Series([], dtype=dtype, name="y"))
    for x in (X, da.from_array(X, chunks=(CHUNK, D)), da.from_array(X, chunks=(70, D))):
        for given in (array, series):
            with pytest.raises(
                InputTypeError, match=f"y: chunks must be NumPy arrays of {dtype}.*got an array of int64"
            ):
                ELMClassifier(5).fit(x, given)


def test_wider_integers_within_the_declared_type_are_right(no_client):
    y = np.arange(N) % 100
    array = _declared([y[:100].astype("int8"), *y[100:].reshape(3, 100)], "int8")
    for x in (X, da.from_array(X, chunks=(CHUNK, D)), da.from_array(X, chunks=(70, D))):
        np.testing.assert_allclose(regressor().fit(x, array).coef_, regressor().fit(X, y).coef_, rtol=1e-9)


BAD_WEIGHTS = {
    "dates": (da.from_array(np.arange(N).astype("M8[s]"), chunks=CHUNK), "must hold numbers; got datetime64"),
    "complex": (da.from_array(W + 1j, chunks=CHUNK), "must hold numbers; got complex128"),
    "text": (dd.from_pandas(pd.Series(["mid"] * N), npartitions=4), "must hold numbers; got object"),
    "three dimensions": (
        da.from_array(W[:, None, None], chunks=CHUNK),
        r"must be one number per row; got shape \(400, 1",
    ),
    "no dimension": (da.from_array(np.float64(3), chunks=()), r"must be one number per row; got shape \(\)"),
}


@pytest.mark.parametrize("kind", BAD_WEIGHTS)
def test_lazy_weights_are_numbers_one_for_each_row(kind, no_client):
    weights, message = BAD_WEIGHTS[kind]
    for x in (X, da.from_array(X, chunks=(CHUNK, D))):
        with pytest.raises((InputTypeError, DataError), match=f"sample_weight {message}"):
            regressor().fit(x, Y, weights)


def test_a_lazy_number_is_no_target(no_client):
    for model in (regressor(), ELMClassifier(5)):
        with pytest.raises(DataError, match=r"y must be 1-D or 2-D; got shape \(\)"):
            model.fit(X, da.from_array(np.float64(3), chunks=()))


def _rows_of_frame(frame, start):
    return frame.iloc[start : start + CHUNK]


def test_frames_made_of_futures_are_fitted(client):
    frame = dd.from_delayed([client.submit(_rows_of_frame, FRAME, i) for i in range(0, N, CHUNK)])
    model = regressor().fit(frame[["a", "b", "c"]], frame["y"], frame["w"])
    want = regressor().fit(FRAME[["a", "b", "c"]], Y, W)
    np.testing.assert_allclose(model.coef_, want.coef_, rtol=1e-8)
    assert model.score(frame[["a", "b", "c"]], frame["y"]) == pytest.approx(want.score(FRAME[["a", "b", "c"]], Y))


def test_two_parquet_folders_and_all_columns_of_one(tmp_path, no_client):
    """Dask reads several files of a source at once, and of another source other portions."""
    for name, columns in {"features": ["a", "b", "c"], "labels": ["y", "w", "label"]}.items():
        (tmp_path / name).mkdir()
        for i, rows in enumerate(np.array_split(np.arange(N), 5)):
            FRAME.iloc[rows][columns].to_parquet(tmp_path / name / f"part{i}.parquet")
    features, labels = (dd.read_parquet(tmp_path / name) for name in ("features", "labels"))
    want = regressor().fit(FRAME[["a", "b", "c"]], Y)
    for x in (features, features[["a", "b", "c"]], features * 1):
        model = regressor().fit(x, labels["y"])
        np.testing.assert_allclose(model.coef_, want.coef_, rtol=1e-8)
        assert model.score(x, labels["y"]) == pytest.approx(want.score(FRAME[["a", "b", "c"]], Y))
    part = regressor().fit(features.partitions[1:3], labels.partitions[1:3]["y"])
    np.testing.assert_allclose(
        part.coef_, regressor().fit(FRAME.iloc[80:240][["a", "b", "c"]], Y[80:240]).coef_, rtol=1e-8
    )


@pytest.mark.parametrize("known", [True, False])
def test_categories_of_numbers_in_a_frame_are_numbers(known, no_client):
    y = pd.DataFrame({"label": LABELS * 3}).astype("category")
    lazy = dd.from_pandas(y, npartitions=3)
    lazy = lazy if known else lazy.assign(label=lazy["label"].cat.as_unknown())
    want = regressor().fit(X, LABELS * 3.0)
    for given in (y, lazy):
        np.testing.assert_allclose(regressor().fit(X, given).coef_.ravel(), want.coef_.ravel(), rtol=1e-9)


def test_a_column_that_varies_beside_the_probe_only_enters_the_neurons(tmp_path, monkeypatch, no_client):
    """A rare flag lies between the runs of rows that the input scale is taken from."""
    monkeypatch.setattr("daskelm.data.probe.PROBE_ROWS", 1000)
    monkeypatch.setattr("daskelm.data.probe.PROBE_RUN_ROWS", 2)
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.standard_normal((5000, 2)), np.full(5000, 7.0), np.full(5000, 3.0)])
    x[1990:2055, 2] = 8.0
    y = x[:, 0] + 5 * (x[:, 2] == 8)
    weights = np.where(x[:, 2] == 8, 2.0, 1.0)
    files = make_hdf5(x, tmp_path / "x.h5"), make_hdf5(y, tmp_path / "y.h5"), make_hdf5(weights, tmp_path / "w.h5")
    given = [(x, y, weights), files] + [
        tuple(da.from_array(array, chunks=(size, *array.shape[1:])) for array in (x, y, weights))
        for size in (1000, 777)
    ]
    layers = set()
    for x_, y_, w_ in given:
        with pytest.warns(ScaleWarning, match=r"^Column\(s\) 3 of X never varied in the 5000 row\(s\)"):
            model = ELMRegressor([(3, "lin"), (10, "tanh")], random_state=0).fit(x_, y_, w_)
        assert model.score(x, y) > 0.999
        layers.add(model.hidden_layer_.fingerprint)
    assert len(layers) == 1
    # Of rows to come nothing is known.
    with pytest.warns(ScaleWarning, match=r"^Column\(s\) 2, 3 of X never varied in the 128 row\(s\)"):
        ELMRegressor(5, random_state=0).initialize(x)


@pytest.mark.parametrize("dtypes", [{"a": "Float32"}, {"a": "float[pyarrow]"}, {"a": "Float32", "b": "float32"}])
def test_nullable_columns_give_the_same_layer_in_memory_and_lazily(dtypes, no_client):
    frame = FRAME[["a", "b", "c"]].astype("float32").astype(dtypes)
    in_memory, lazy = (HiddenLayer(10, random_state=0).fit(x) for x in (frame, dd.from_pandas(frame, npartitions=3)))
    assert in_memory.hidden_layer_.fingerprint == lazy.hidden_layer_.fingerprint


def test_the_score_of_one_row_is_undefined_everywhere(no_client):
    for x, y in ((X[:1], Y[:1]), (da.from_array(X[:1]), Y[:1]), (da.from_array(X[:1]), da.from_array(Y[:1]))):
        with pytest.warns(UndefinedMetricWarning):
            assert np.isnan(FITTED.score(x, y))


def test_persisted_chunks_of_a_client_that_is_gone_are_told(cluster):
    with Client(cluster):
        array = da.from_array(X, chunks=(CHUNK, D)).persist()
    with dask.config.set(scheduler=None):
        calls = [lambda: regressor().fit(array, Y), lambda: FITTED.score(array, Y)]
        calls += [lambda: regressor(standardize=False).fit(array, da.from_array(Y, chunks=CHUNK))]
        calls += [lambda: regressor(standardize=False, tol=0.1).fit(array, da.from_array(Y, chunks=CHUNK))]
        for call in calls:
            with pytest.raises(ClusterError, match="Persisted data must be on the cluster that is used"):
                call()
