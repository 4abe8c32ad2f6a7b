"""A model that was chosen from sums is a smaller layer with its own sums: more rows, saved, ranked."""

import copy

import numpy as np
import pytest
from sklearn.base import clone
from validation_table import (
    ALL,
    FULL,
    GRID,
    NEURONS,
    OUTPUTS,
    X_VAL,
    Y_VAL,
    M,
    N,
    X,
    Y,
    assert_same_choice,
    chosen,
    plain,
)

from daskelm import ELMRegressor, load
from daskelm.exceptions import IncompatibleSumsError, NotSolvedError, ParameterError
from daskelm.layer.sublayer import sublayer


@pytest.fixture
def smaller():
    """A model of 10 neurons of 24, and the sums of the full layer."""
    model = plain(Y, alpha=7.0).fit(X, Y)
    full = model.normal_equations_
    model.select(n_neurons=[3, 10], alphas=[0.01])
    assert model.n_neurons_ == 10
    return model, full


def test_it_is_the_smaller_layer_with_its_sums(smaller):
    model, full = smaller
    expected = plain(Y, alpha=0.01).set_params(neurons=list(sublayer(FULL, 10)[0].groups)).fit(X, Y)
    assert model.hidden_layer_.fingerprint == expected.hidden_layer_.fingerprint
    np.testing.assert_allclose(model.normal_equations_.HH, expected.normal_equations_.HH, rtol=1e-12)
    np.testing.assert_allclose(model.predict(X_VAL), expected.predict(X_VAL), atol=1e-10)
    assert model.transform(X_VAL).shape == (M, 10)
    assert model.get_params()["neurons"] is NEURONS
    assert full.n_neurons == 24


def test_alpha_is_the_chosen_one_until_it_is_solved_again(smaller):
    model, _ = smaller
    assert (model.alpha, model.alpha_) == (7.0, 0.01)
    assert model.set_params(alpha=3.0).alpha_ == 0.01
    assert model.solve().alpha_ == 3.0
    expected = plain(Y, alpha=3.0).set_params(neurons=list(sublayer(FULL, 10)[0].groups)).fit(X, Y)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-9)
    assert model.set_params(alpha="gcv").solve().n_neurons_ == 10


def test_rows_are_added_to_the_smaller_layer(smaller, tmp_path):
    model, _ = smaller
    expected = plain(Y, alpha=7.0).set_params(neurons=list(sublayer(FULL, 10)[0].groups)).fit(ALL, OUTPUTS)
    other = copy.deepcopy(model)
    # Solved with the parameters as they are, at the first use.
    for added in (model.partial_fit(X_VAL, Y_VAL), other.accumulate(X_VAL, Y_VAL)):
        np.testing.assert_allclose(added.coef_, expected.coef_, atol=1e-9)
        assert added.alpha_ == 7.0
    model.remove(X_VAL, Y_VAL)
    assert model.normal_equations_.n_samples == N
    model.accumulate(X_VAL, Y_VAL, into=tmp_path / "new.h5").solve(tmp_path / "new.h5")
    assert model.normal_equations_.n_samples == M


def test_rows_are_added_to_a_model_that_was_chosen_by_folds():
    model = plain(Y, alpha="auto").fit(X, Y).select(n_neurons=[10])
    like = plain(Y, alpha="auto").set_params(neurons=list(sublayer(FULL, 10)[0].groups)).fit(ALL, OUTPUTS)
    model.partial_fit(X_VAL, Y_VAL)
    np.testing.assert_allclose(model.alpha_, like.alpha_, rtol=1e-9)
    np.testing.assert_allclose(model.coef_, like.coef_, atol=1e-8)


@pytest.mark.parametrize("again", [False, True])
def test_sums_of_the_full_layer_are_refused_with_what_to_do(smaller, tmp_path, again):
    model, full = smaller
    if again:
        model.save(tmp_path / "model.h5", sums=True)
        model = load(tmp_path / "model.h5")
    full.save(tmp_path / "sums.h5")
    message = "of the full layer of 24 neurons .* and this model has the 10 neurons that select chose .* saved before"
    for ask in (
        lambda: model.solve(tmp_path / "sums.h5"),
        lambda: model.select(full),
        lambda: model.select(validation=full),
        lambda: model.select([full], cv="files"),
    ):
        with pytest.raises(IncompatibleSumsError, match=message):
            ask()
    with pytest.raises(IncompatibleSumsError, match="layer fingerprint .* use the layer of one saved model everywhere"):
        model.accumulate(X_VAL, Y_VAL, into=tmp_path / "sums.h5")
    # From 10 neurons to 3: both earlier layers are known.
    middle = model.normal_equations_
    model.select(n_neurons=3)
    with pytest.raises(IncompatibleSumsError, match="full layer of 10 neurons .* has the 3 neurons that select"):
        model.solve(middle)
    with pytest.raises(IncompatibleSumsError, match=message.replace("the 10 neurons", "the 3 neurons")):
        model.solve(full)
    with pytest.raises(IncompatibleSumsError, match="validation: they are of another hidden layer"):
        model.select(validation=ELMRegressor(5, alpha=1.0).fit(X, Y).normal_equations_)


def test_the_choice_is_saved_and_loaded(smaller, tmp_path):
    model, _ = smaller
    for sums in (True, False):
        model.save(tmp_path / "model.h5", sums=sums)
        again = load(tmp_path / "model.h5")
        assert_same_choice(again, model, atol=0)
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        assert again.alpha == 7.0
        assert hasattr(again, "normal_equations_") == sums
    with pytest.raises(NotSolvedError, match="saved without its sums, and select needs them"):
        again.select()


def test_a_fit_begins_anew(smaller):
    model, _ = smaller
    model.fit(X, Y)
    assert model.hidden_layer_.n_neurons == 24
    assert not any(hasattr(model, name) for name in ("n_neurons_", "best_score_", "cv_results_"))
    assert model._fitted.choice is None
    clone(model).fit(X, Y)


def test_what_gcv_refused_is_saved(tmp_path):
    model = plain(Y).fit(X[:20], Y[:20]).select(n_neurons=[5, 24], alphas=[1e-10, 1.0], cv="gcv")
    assert np.isnan(model.cv_results_["mean_test_score"]).tolist() == [False, True, False, False]
    model.save(tmp_path / "model.h5")
    again = load(tmp_path / "model.h5")
    np.testing.assert_array_equal(again.cv_results_["mean_test_score"], model.cv_results_["mean_test_score"])


def test_a_failed_select_leaves_the_model_as_it_was(smaller):
    model, full = smaller
    before = dict(model.__dict__)
    with pytest.raises(IncompatibleSumsError):
        model.select(full)
    with pytest.raises(ParameterError):
        model.select(n_neurons=[11])
    assert model.__dict__ == before


def test_sums_in_single_precision():
    params = {"dtype": "float32", "gram_dtype": "float32", "random_state": 0}
    model = ELMRegressor(60, **params).fit(X, Y)
    least = model.normal_equations_.least_alpha
    alphas = [least / 100, least * 1.01, 1.0]
    model.select(n_neurons=[20, 60], alphas=alphas)
    refused = np.isnan(model.cv_results_["mean_test_score"])
    assert refused.tolist() == [True, True, False, False, False, False]
    model.select(n_neurons=20, alphas=1.0)
    assert model.hidden_layer_.gram_dtype == np.float32
    assert model.partial_fit(X_VAL, Y_VAL).normal_equations_.precision == "float32"
    with pytest.raises(ParameterError, match="alphas: for sums in float32 one must be at least .* Give larger ones"):
        model.select(alphas=[1e-12])


@pytest.mark.parametrize("ranking", ["omp", "mrsr"])
def test_a_ranking_takes_the_best_neurons(files, ranking):
    asked = GRID | {"ranking": ranking}
    by_rows = chosen(Y, **asked).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    sums, held = (plain(Y).fit(*rows).normal_equations_ for rows in ((X, Y), (X_VAL, Y_VAL)))
    model = plain(Y).initialize(X).select(sums, validation=held, **asked)
    np.testing.assert_array_equal(model.ranking_, by_rows.ranking_)
    np.testing.assert_allclose(
        model.cv_results_["mean_test_score"], by_rows.cv_results_["mean_test_score"], rtol=0, atol=1e-10
    )
    assert model.hidden_layer_.fingerprint == by_rows.hidden_layer_.fingerprint
    # Each training part has its own, as where rows are split.
    parts = [plain(Y).fit(X[part], Y[part]).normal_equations_ for part in np.array_split(np.arange(N), 3)]
    by_folds = chosen(Y, **asked, cv=3).fit(X, Y)
    from_parts = plain(Y).initialize(X).select(parts, cv="files", **asked)
    for name in ("split0_test_score", "split2_test_score"):
        np.testing.assert_allclose(from_parts.cv_results_[name], by_folds.cv_results_[name], rtol=0, atol=1e-10)
    np.testing.assert_array_equal(from_parts.ranking_, by_folds.ranking_)


def test_the_ranking_is_kept_with_the_choice(tmp_path):
    model = plain(Y).fit(X, Y).select(n_neurons=10, ranking="omp")
    assert model.n_neurons_ == 10
    assert sorted(model.ranking_) == list(range(24))
    kept, _ = sublayer(FULL, 10, model.ranking_)
    assert model.hidden_layer_.fingerprint == kept.fingerprint
    model.save(tmp_path / "m.h5", sums=True)
    again = load(tmp_path / "m.h5")
    np.testing.assert_array_equal(again.ranking_, model.ranking_)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    # Another choice without one forgets it.
    assert not hasattr(again.select(n_neurons=5), "ranking_")


def test_a_ranking_that_does_not_fit_the_targets():
    with pytest.raises(ParameterError, match="'lars' is for one target; got 2"):
        plain(Y).fit(X, Y).select(ranking="lars")
