"""Models from parts of the rows: partial fits, another penalty, sums that are added, taken away and scored."""

import numpy as np
import pytest
from sklearn.base import clone
from small_table import X, Y

from daskelm import ELMRegressor, Neurons, NormalEquations, from_hdf5, load, make_hdf5
from daskelm.exceptions import IncompatibleSumsError


def test_another_penalty_without_data():
    model = ELMRegressor(30, alpha=1.0, random_state=0).fit(X, Y)
    for alpha in (10.0, "gcv", 0.1):
        again = model.set_params(alpha=alpha).solve()
        assert again is model
        fresh = ELMRegressor(30, alpha=alpha, random_state=0).fit(X, Y)
        np.testing.assert_array_equal(model.coef_, fresh.coef_)
        assert model.alpha_ == fresh.alpha_


def test_parts_are_the_whole_and_are_solved_when_used():
    whole = ELMRegressor(30, random_state=0).fit(X, Y)
    model = ELMRegressor(30, random_state=0).initialize(X)
    for rows in np.array_split(np.arange(400), 9):
        assert model.partial_fit(X[rows], Y[rows]) is model
        assert model._fitted.solution is None
    np.testing.assert_allclose(model.predict(X), whole.predict(X), atol=1e-8)
    assert model.normal_equations_.n_samples == 400


def test_fit_draws_anew_and_partial_fit_keeps_the_layer():
    model = ELMRegressor(10).fit(X, Y)
    first = model.hidden_layer_
    assert model.partial_fit(X, Y).hidden_layer_ is first
    assert model.normal_equations_.n_samples == 800
    assert model.fit(X, Y).hidden_layer_.fingerprint != first.fingerprint
    assert model.normal_equations_.n_samples == 400
    given = ELMRegressor(Neurons("tanh", X[:5].T, np.zeros(5)))
    assert given.fit(X, Y).hidden_layer_.fingerprint == given.fit(X[:50], Y[:50]).hidden_layer_.fingerprint


def test_sums_of_two_sites_and_of_one_less():
    model = ELMRegressor(30, alpha=1.0, random_state=0).initialize(X)
    north = clone(model).initialize(X).partial_fit(X[:150], Y[:150]).normal_equations_
    south = clone(model).initialize(X).partial_fit(X[150:], Y[150:]).normal_equations_
    both = model.solve(north + south).predict(X)
    np.testing.assert_allclose(both, ELMRegressor(30, alpha=1.0, random_state=0).fit(X, Y).predict(X), atol=1e-9)
    alone = model.solve((north + south) - south).predict(X)
    np.testing.assert_allclose(alone, model.solve(north).predict(X), atol=1e-8)


def test_training_error_comes_from_the_sums_alone():
    model = ELMRegressor(30, random_state=0).fit(X, Y)
    error = model.normal_equations_.squared_error(model.coef_, model.intercept_)
    np.testing.assert_allclose(error, np.sum((Y - model.predict(X)) ** 2), rtol=1e-9)


def test_five_steps_of_many_scripts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_hdf5(X, "dataX.hdf5")
    make_hdf5(Y, "dataT.hdf5")
    spec = [(4, "lin"), (5, "tanh"), (15, "sigm")]
    ELMRegressor(spec, random_state=0).initialize("dataX.hdf5").save("model.h5")
    for start in range(0, 400, 100):
        model = load("model.h5")
        assert model.accumulate("dataX.hdf5", "dataT.hdf5", rows=slice(start, start + 100), into="sums.h5") is model
        assert not hasattr(model, "normal_equations_")
    model = load("model.h5").solve("sums.h5")
    model.save("model.h5")
    assert model.predict("dataX.hdf5", out="predictedY.hdf5") == "predictedY.hdf5"
    whole = ELMRegressor(spec, random_state=0).fit("dataX.hdf5", "dataT.hdf5")
    np.testing.assert_allclose(from_hdf5("predictedY.hdf5").compute()[:, 0], whole.predict(X), atol=1e-9)
    assert load("model.h5").score("dataX.hdf5", "dataT.hdf5") == pytest.approx(whole.score(X, Y))
    assert NormalEquations.load("sums.h5").ledger == whole.normal_equations_.ledger
    load("model.h5").accumulate("dataX.hdf5", "dataT.hdf5", rows=slice(100, 200), into="sums.h5")
    assert NormalEquations.load("sums.h5").n_samples == 400
    load("model.h5").accumulate("dataX.hdf5", "dataT.hdf5", rows=slice(400, 400), into="sums.h5")
    # One file per script where there are no locks.
    for start in (0, 200):
        load("model.h5").accumulate(X, Y, rows=slice(start, start + 200), into=f"part-{start}.h5")
    for given in ("part-*.h5", ["part-0.h5", "part-200.h5"]):
        np.testing.assert_allclose(load("model.h5").solve(given).predict(X), whole.predict(X), atol=1e-9)
    with pytest.raises(IncompatibleSumsError, match="cannot add: layer fingerprint"):
        ELMRegressor(spec, random_state=1).initialize(X).accumulate(X, Y, into="sums.h5")
