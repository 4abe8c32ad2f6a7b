"""Types of X and y that are taken: vectors in files, frames of mixed numbers, half precision, no rows."""

import dask.array as da
import h5py
import numpy as np
import pytest

from daskelm import ELMClassifier, ELMRegressor, from_hdf5, make_hdf5
from daskelm.exceptions import DataError, InputTypeError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 4))
Y = np.sin(X[:, 0]) + X[:, 1]


def regressor(**options):
    return ELMRegressor(20, random_state=0, **options)


def classifier(**options):
    return ELMClassifier(20, random_state=0, **options)


def test_half_precision_is_the_same_in_every_kind():
    half = X.astype("f2")
    in_memory, lazy = regressor().fit(half, Y), regressor().fit(da.from_array(half, chunks=70), Y)
    assert in_memory.hidden_layer_.dtype == lazy.hidden_layer_.dtype == np.float64
    np.testing.assert_allclose(lazy.predict(half), in_memory.predict(half), atol=1e-9)


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
    with pytest.raises(InputTypeError, match=r"data must hold numbers, texts or categories; got .*'when' \(datetime64"):
        make_hdf5(frame.assign(when=pandas.Timestamp("2020"), word="x"), tmp_path / "f.h5")


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


def test_columns_of_objects_may_hold_numbers():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    expected = regressor().fit(frame, Y).predict(frame)
    for given in (frame.astype(object), frame.astype({"b": object})):
        np.testing.assert_array_equal(regressor().fit(given, Y).predict(given), expected)


def test_labels_in_a_list_are_no_files():
    words = np.where(Y > 0, "yes", "no").tolist()
    model = classifier().fit(X, words)
    assert model.score(X, words) == model.score(da.from_array(X, chunks=100), words)


def test_zero_rows_in_and_out(tmp_path):
    model = regressor().fit(X, Y)
    empty = make_hdf5(X[:0], tmp_path / "e.h5")
    assert from_hdf5(model.predict(empty, out=tmp_path / "o.h5")).shape == (0, 1)
    assert model.predict(da.from_array(X)[:0]).compute().shape == (0,)
    assert from_hdf5(make_hdf5(np.zeros(0), tmp_path / "n.h5")).shape == (0, 1)
