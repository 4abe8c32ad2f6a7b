"""The model that was chosen: its results, saved and loaded, and what is there before it is fitted."""

import pickle

import numpy as np
import pytest
from grid_table import FULL, LABELS, MANY, X, Y, assert_same_results, chosen
from sklearn.model_selection import KFold

from daskelm import load
from daskelm.exceptions import NotSolvedError


@pytest.mark.parametrize("targets", [Y, LABELS, MANY], ids=["numbers", "labels", "label sets"])
@pytest.mark.parametrize("sums", [True, False])
def test_saved_and_loaded(tmp_path, targets, sums):
    model = chosen(targets, cv=KFold(3), n_neurons=np.array([4, 10])).fit(X, targets)
    model.save(tmp_path / "model.h5", sums=sums)
    again = load(tmp_path / "model.h5")
    assert type(again) is type(model)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert (again.alpha_, again.n_neurons_, again.best_score_) == (model.alpha_, model.n_neurons_, model.best_score_)
    assert again.hidden_layer_.n_neurons == model.n_neurons_ < FULL.n_neurons
    assert_same_results(again.cv_results_, model.cv_results_, atol=0)
    assert hasattr(again, "normal_equations_") == sums
    # A splitter is code.
    assert again.cv is None
    assert np.array_equal(again.n_neurons, [4, 10])
    again.save(tmp_path / "again.h5")
    assert load(tmp_path / "again.h5").best_score_ == model.best_score_


def test_saved_with_what_gcv_refused(tmp_path):
    few = chosen(Y, cv="gcv", alphas=[1e-10, 1.0], n_neurons=[5, 24], store_cv_results=True).fit(X[:20], Y[:20])
    few.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(
        load(tmp_path / "model.h5").cv_results_["mean_test_score"], few.cv_results_["mean_test_score"]
    )


def test_without_results(tmp_path):
    model = chosen(Y).fit(X, Y)
    assert hasattr(model, "cv_results_")
    model.set_params(store_cv_results=False).fit(X, Y)
    assert not hasattr(model, "cv_results_")
    model.save(tmp_path / "model.h5")
    again = load(tmp_path / "model.h5")
    assert again.best_score_ == model.best_score_
    assert not hasattr(again, "cv_results_")


def test_not_fitted_yet():
    for ask in (lambda m: m.predict(X), lambda m: m.coef_, lambda m: m.n_neurons_, lambda m: m.score(X, Y)):
        with pytest.raises(NotSolvedError, match="ELMRegressorCV instance is not fitted yet"):
            ask(chosen(Y))


def test_a_table_of_results():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = chosen(Y).fit(frame, Y)
    assert model.feature_names_in_.tolist() == list("abcd")
    table = pandas.DataFrame(model.cv_results_)
    best = table.sort_values("rank_test_score").iloc[0]
    assert (best["param_alpha"], best["param_n_neurons"]) == (model.alpha_, model.n_neurons_)
    assert best["mean_test_score"] == model.best_score_
    pickle.loads(pickle.dumps(model)).predict(frame)
