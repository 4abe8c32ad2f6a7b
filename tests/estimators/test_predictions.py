"""Predictions and scores: forms of y and of X, into memory and files; what cannot be scored is an error."""

import dask.array as da
import numpy as np
import pytest
from small_table import RNG, X, Y

from daskelm import ELMClassifier, ELMRegressor, from_hdf5, make_hdf5
from daskelm.exceptions import DataError, InputTypeError, ParameterError


def regressor(**options):
    return ELMRegressor(20, random_state=0, **options)


def classifier(**options):
    return ELMClassifier(20, random_state=0, **options)


def test_predictions_from_a_file_are_cut_by_their_work(tmp_path):
    few = make_hdf5((200_000, 2), tmp_path / "few.h5")
    many = ELMRegressor(1000, alpha=1.0, random_state=0).fit(np.eye(3, 2), np.arange(3.0)).predict(few)
    little = ELMRegressor(10, alpha=1.0, random_state=0).fit(np.eye(3, 2), np.arange(3.0)).predict(few)
    # At most 10^10 operations, 2 d + 2 c + 64 = 70 for each neuron and row, in whole chunks of the file.
    assert 142_857 // 2 < max(many.chunks[0]) <= 142_857
    assert little.chunks[0] == (200_000,)


def test_seven_shapes_of_y():
    for y, shape in [(Y, (400,)), (Y[:, None], (400, 1)), (np.c_[Y, -Y], (400, 2)), (Y.tolist(), (400,))]:
        model = ELMRegressor(10, random_state=0).fit(X, y)
        assert model.predict(X).shape == shape
        assert model.coef_.shape == (shape[1] if len(shape) > 1 else 1, 10)
        assert model.intercept_.shape == (shape[1] if len(shape) > 1 else 1,)
        lazy = ELMRegressor(10, random_state=0).fit(da.from_array(X, chunks=99), da.from_array(np.array(y), chunks=50))
        assert lazy.predict(da.from_array(X, chunks=99)).shape == shape


def test_outputs_of_several_targets_are_those_of_each():
    model = ELMRegressor(20, alpha=1.0, random_state=0).fit(X, np.c_[Y, Y**2])
    np.testing.assert_allclose(
        model.predict(X)[:, 1], ELMRegressor(20, alpha=1.0, random_state=0).fit(X, Y**2).predict(X), atol=1e-10
    )


def test_results_in_kind(tmp_path):
    pandas = pytest.importorskip("pandas")
    frames = pytest.importorskip("dask.dataframe")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = ELMRegressor(10, random_state=0).fit(frame, Y)
    assert model.feature_names_in_.tolist() == list("abcd")
    expected = model.predict(frame)
    assert isinstance(expected, np.ndarray)
    lazy_frame = frames.from_pandas(frame, npartitions=3)
    lazy = model.predict(lazy_frame)
    assert isinstance(lazy, da.Array)
    np.testing.assert_allclose(lazy.compute(), expected)
    from_frame = ELMRegressor(10, random_state=0).fit(lazy_frame, frames.from_pandas(pandas.Series(Y), npartitions=3))
    assert from_frame.feature_names_in_.tolist() == list("abcd")
    np.testing.assert_allclose(from_frame.predict(frame), expected, atol=1e-9)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(lazy_frame.rename(columns={"a": "z"}))
    # What cannot have names is not warned of; what could have some is.
    lazy = model.predict(da.from_array(X)), model.predict(make_hdf5(X, tmp_path / "x.h5"))
    for found in lazy:
        np.testing.assert_allclose(found.compute(), expected, atol=1e-12)
    assert model.score(tmp_path / "x.h5", Y) == pytest.approx(model.score(frame, Y))
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.predict(X)
    with pytest.raises(ValueError, match="X has 3 features, but ELMRegressor is expecting 4"):
        model.predict(da.from_array(X[:, :3]))


def test_dask_arrays_of_unknown_lengths():
    x, y = da.from_array(X, chunks=60), da.from_array(Y, chunks=60)
    keep = x[:, 0] > 0
    model = ELMRegressor(10, random_state=0).fit(x[keep], y[keep])
    expected = ELMRegressor(10, random_state=0).fit(X[X[:, 0] > 0], Y[X[:, 0] > 0])
    np.testing.assert_allclose(model.predict(X), expected.predict(X), atol=1e-9)
    assert model.score(x[keep], y[keep]) == pytest.approx(expected.score(X[X[:, 0] > 0], Y[X[:, 0] > 0]))


def test_scores_of_lazy_inputs_are_scikit_learns():
    two = np.c_[Y, Y**2]
    weights = RNG.uniform(0, 1, 400)
    model = ELMRegressor(10, random_state=0).fit(X, two)
    for x, y, w in [
        (da.from_array(X, chunks=33), two, None),
        (da.from_array(X, chunks=33), da.from_array(two, chunks=(150, 1)), da.from_array(weights, chunks=400)),
        (X, da.from_array(two, chunks=50), weights),
    ]:
        assert model.score(x, y, w) == pytest.approx(model.score(X, two, None if w is None else weights), rel=1e-12)
    constant = ELMRegressor(5, random_state=0).fit(X, np.ones(400))
    assert constant.score(da.from_array(X, chunks=33), np.ones(400)) == constant.score(X, np.ones(400)) == 1


@pytest.mark.parametrize("n_classes", [2, 3])
def test_all_that_is_predicted_goes_to_files(tmp_path, capsys, n_classes):
    x, labels = make_hdf5(X, tmp_path / "x.h5"), np.arange(400) % n_classes
    model = ELMClassifier(20, random_state=0, verbose=1).fit(X, labels)
    for name in ("predict", "predict_proba", "decision_function"):
        method = getattr(model, name)
        expected = method(X).reshape(400, -1)
        for given in (x, da.from_array(X, chunks=150), X):
            capsys.readouterr()
            assert method(given, out=tmp_path / "o.h5") == str(tmp_path / "o.h5")
            np.testing.assert_allclose(from_hdf5(tmp_path / "o.h5").compute(), expected, atol=1e-12)
            assert given is X or f"{name}: 400 of 400 rows" in capsys.readouterr().err
        with pytest.raises(ParameterError, match="out: .* is one of the files that X is read from"):
            method(x, out=x)


@pytest.mark.parametrize(
    "wrong",
    [
        {"y": np.where(np.arange(400) == 3, np.nan, Y), "message": "y must be finite; got NaN first in row 3"},
        {"weights": np.full(400, np.nan), "message": "sample_weight must be finite"},
        {"weights": -np.ones(400), "message": "sample_weight must not be negative"},
        {"weights": np.zeros(400), "message": "at least one row must have a positive weight"},
        {"y": np.stack([Y, Y], axis=1), "message": "as many columns as there are predictions; got 2 and 1"},
        {"rows": 0, "message": "0 sample"},
    ],
)
def test_a_score_that_cannot_be_computed_is_an_error(wrong):
    model = regressor().fit(X, Y)
    n = wrong.get("rows", 400)
    y, weights = wrong.get("y", Y), wrong.get("weights")
    with pytest.raises(ValueError, match=wrong["message"]):
        model.score(da.from_array(X)[:n], y[:n], weights)


def test_classifier_scores_that_cannot_be_computed():
    model = classifier().fit(X, Y > 0)
    with pytest.raises(DataError, match="positive weight"):
        model.score(da.from_array(X), Y > 0, np.zeros(400))
    with pytest.raises(DataError, match="as many columns as there are predictions"):
        model.score(da.from_array(X), np.stack([Y > 0, Y < 0], axis=1))


def test_predictions_never_overwrite_their_input(tmp_path):
    x = make_hdf5(X, tmp_path / "x.h5")
    with pytest.raises(ParameterError, match="out: .* is one of the files that X is read from"):
        regressor().fit(X, Y).predict(x, out=x)
    np.testing.assert_array_equal(from_hdf5(x).compute(), X)
    with pytest.raises(InputTypeError, match=r"out: .* got labels of type datetime64.*predict_proba\(X, out=\.\.\.\)"):
        classifier().fit(x, da.from_array((Y > 0).astype("M8[D]"))).predict(x, out=tmp_path / "p.h5")
