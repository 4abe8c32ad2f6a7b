"""Sample weights: of every type, zero beside fill values."""

import dask.array as da
import numpy as np
import pytest

from daskelm import ELMRegressor, make_hdf5

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 4))
Y = np.sin(X[:, 0]) + X[:, 1]


def regressor(**options):
    return ELMRegressor(20, random_state=0, **options)


@pytest.mark.parametrize("fill", [9.97e36, 1e20, -9999.0])
def test_rows_of_weight_zero_may_hold_fill_values(fill):
    x, y, weights = X.copy(), Y.copy(), np.ones(300)
    weights[::7] = 0
    weights[:50] = 0
    y[weights == 0] = fill
    x[weights == 0] = fill
    model = regressor().fit(x, y, weights)
    expected = regressor().fit(X[weights > 0], Y[weights > 0])
    np.testing.assert_allclose(model.predict(X), expected.predict(X), atol=1e-8)
    assert model.normal_equations_.n_samples == 300


def test_a_first_block_of_weight_zero(monkeypatch):
    monkeypatch.setattr("daskelm.passes.accumulate.block_rows", lambda *sizes: 30)
    y, weights = Y.copy(), np.ones(300)
    y[:60], weights[:60] = 1e12, 0
    expected = regressor().fit(X[60:], Y[60:]).predict(X)
    np.testing.assert_allclose(regressor().fit(X, y, weights).predict(X), expected, atol=1e-8)


def test_weights_of_every_kind(tmp_path):
    weights = RNG.uniform(0, 1, 300)
    x, y, w = (make_hdf5(a, tmp_path / f"{i}.h5") for i, a in enumerate((X, Y, weights)))
    expected = regressor().fit(X, Y, weights).predict(X)
    for given in (w, weights, weights[:, None], da.from_array(weights[:, None], chunks=77), list(weights)):
        np.testing.assert_allclose(regressor().fit(x, y, given).predict(X), expected, atol=1e-9)
    np.testing.assert_allclose(regressor().fit(X, Y, w).predict(X), expected, atol=1e-9)
    np.testing.assert_allclose(regressor().fit(x, y, 2.0).predict(X), regressor().fit(X, Y, 2.0).predict(X), atol=1e-9)
