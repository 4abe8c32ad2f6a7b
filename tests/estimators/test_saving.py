"""Saved, pickled and loaded models: the same to the last bit, with their sums or without."""

import pickle

import joblib
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from small_table import LABELS, X, Y

from daskelm import ELMClassifier, ELMRegressor, HiddenLayer, Neurons, load
from daskelm.exceptions import NotSolvedError, ParameterError


def regressor(**options):
    return ELMRegressor(20, random_state=0, **options)


@pytest.mark.parametrize(
    "model",
    [
        ELMRegressor(10, random_state=0).fit(X, Y),
        ELMRegressor(10, dtype="float32", alpha=3).fit(X, np.c_[Y, Y]),
        ELMRegressor([(2, "lin"), (3, np.sin), Neurons("rbf_l1", X[:3].T, np.ones(3))], random_state=0).fit(X, Y),
        ELMClassifier(10, class_weight={"a": 2.0}, random_state=0).fit(X, LABELS),
        ELMClassifier(10, random_state=np.random.RandomState(3)).fit(X, LABELS == "a"),
        ELMRegressor(10, random_state=np.int64(0), standardize=False).fit(X, Y),
    ],
    ids=lambda model: type(model).__name__,
)
def test_every_way_of_keeping_a_model(model, tmp_path):
    model.save(tmp_path / "m.h5")
    joblib.dump(model, tmp_path / "m.joblib")
    for again in (load(tmp_path / "m.h5"), pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "m.joblib")):
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        np.testing.assert_array_equal(again.transform(X), model.transform(X))
        np.testing.assert_array_equal(again.coef_, model.coef_)
        assert again.predict(X).dtype == model.predict(X).dtype
        assert (again.alpha_, again.rank_, again.condition_number_) == (
            model.alpha_,
            model.rank_,
            model.condition_number_,
        )
        assert repr(again.get_params()["neurons"])[:20] == repr(model.get_params()["neurons"])[:20]
        # More rows for a loaded model give what they give the original.
        if again.__class__ is ELMRegressor and hasattr(again, "normal_equations_"):
            assert again.normal_equations_.n_samples == 400
    assert not hasattr(load(tmp_path / "m.h5"), "normal_equations_")
    for again in (load(tmp_path / "m.h5"), load(tmp_path / "m.h5").set_params(alpha=1.0)):
        with pytest.raises(
            NotSolvedError,
            match=r"was saved without its sums, and solve needs them\. .*sums=True\), or .*solve\('sums\.h5'\)",
        ):
            again.solve()
    model.save(tmp_path / "m.h5", sums=True)
    again = load(tmp_path / "m.h5").set_params(alpha=5.0).solve()
    np.testing.assert_array_equal(again.coef_, clone_and_solve(model, 5.0).coef_)


def clone_and_solve(model, alpha):
    again = pickle.loads(pickle.dumps(model)).set_params(alpha=alpha)
    return again.solve()


def test_unsolved_models_are_kept_too(tmp_path):
    path = tmp_path / "m.h5"
    ELMRegressor([(3, "lin")], alpha=2.0).save(path)
    assert load(path).get_params()["neurons"] == [(3, "lin")]
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        load(path).predict(X)
    ELMRegressor(10, random_state=0).initialize(X).save(path)
    model = load(path).partial_fit(X, Y)
    np.testing.assert_allclose(model.predict(X), ELMRegressor(10, random_state=0).fit(X, Y).predict(X), atol=1e-9)
    model = ELMRegressor(10, random_state=0).initialize(X).partial_fit(X[:200], Y[:200])
    model.save(path, sums=True)
    assert load(path).partial_fit(X[200:], Y[200:]).normal_equations_.n_samples == 400
    ELMClassifier(10, random_state=0).initialize(X, LABELS).save(path)
    assert load(path).partial_fit(X[:5], LABELS[:5]).classes_.tolist() == ["a", "b", "c"]
    layer = HiddenLayer(10, random_state=0).fit(X)
    layer.save(path)
    np.testing.assert_array_equal(load(path).transform(X), layer.transform(X))
    names = pytest.importorskip("pandas").DataFrame(X, columns=list("abcd"))
    ELMRegressor(10).fit(names, Y).save(path)
    assert load(path).feature_names_in_.tolist() == list("abcd")


def test_what_cannot_be_kept_is_named(tmp_path):
    with pytest.raises(ParameterError, match="random_state: a model with this parameter cannot be saved"):
        ELMRegressor(random_state=np.random.RandomState(0)).save(tmp_path / "m.h5")
    days = np.array(["2020-01-01", "2020-01-02"], "M8[D]")[(LABELS == "a").astype(int)]
    with pytest.raises(ParameterError, match="classes of type date cannot be saved"):
        ELMClassifier(5).fit(X, days).save(tmp_path / "m.h5")
    assert list(tmp_path.iterdir()) == []


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
