"""Generalised cross-validation: that of the hat matrix, in any units."""

import itertools

import numpy as np
import pytest
from grid_table import FULL, LABELS, RNG, SIZES, N, X, Y, chosen

from daskelm import ELMClassifier, ELMClassifierCV, ELMRegressor, ELMRegressorCV
from daskelm.exceptions import DataError
from daskelm.layer.sublayer import nested_order
from daskelm.ridge.path import by_eigen, default_alphas


@pytest.mark.parametrize("spec", [None, 30, [(2, "lin"), (10, "relu")]])
def test_without_a_grid_gcv_is_that_of_the_plain_estimator(spec):
    for kind, plain, targets in ((ELMRegressorCV, ELMRegressor, Y), (ELMClassifierCV, ELMClassifier, LABELS)):
        a = kind(spec, cv="gcv", scoring="r2", random_state=0).fit(X, targets)
        b = plain(spec, alpha="gcv", random_state=0)
        if kind is ELMRegressorCV:
            b.set_params(alpha_per_target=False)
        b.fit(X, targets)
        assert a.alpha_ == pytest.approx(b.alpha_, rel=1e-12)
        assert a.n_neurons_ == b.hidden_layer_.n_neurons
        assert a.hidden_layer_.fingerprint == b.hidden_layer_.fingerprint
        np.testing.assert_allclose(a.coef_, b.coef_, atol=1e-6 * np.abs(b.coef_).max())


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_alphas", [3, 90], ids=["cholesky", "eigen"])
def test_gcv_is_that_of_the_hat_matrix(fit_intercept, n_alphas):
    alphas = np.logspace(-2, 2, n_alphas)
    assert by_eigen(SIZES, n_alphas, inverse=True) == (n_alphas == 90)
    model = chosen(Y, cv="gcv", alphas=alphas, fit_intercept=fit_intercept).fit(X, Y)
    expected = []
    for alpha, size in itertools.product(alphas, SIZES):
        h = FULL(X)[:, np.sort(nested_order(FULL)[:size])]
        h, t = (h - h.mean(axis=0), Y - Y.mean(axis=0)) if fit_intercept else (h, Y)
        hat = h @ np.linalg.solve(h.T @ h + alpha * np.eye(size), h.T)
        dof = 1.2 * (np.trace(hat) + fit_intercept)
        expected.append(np.mean(1 - np.square(t - hat @ t).sum(axis=0) / np.square(t).sum(axis=0) / (1 - dof / N) ** 2))
    np.testing.assert_allclose(model.cv_results_["mean_test_score"], expected, atol=1e-8)
    assert model.best_score_ == pytest.approx(max(expected))
    assert not any(key.startswith("split") for key in model.cv_results_)


def test_gcv_in_the_units_of_the_target():
    r2 = chosen(Y[:, 0], cv="gcv").fit(X, Y[:, 0])
    mse = chosen(Y[:, 0], cv="gcv", scoring="neg_mean_squared_error").fit(X, Y[:, 0])
    root = chosen(Y[:, 0], cv="gcv", scoring="neg_root_mean_squared_error").fit(X, Y[:, 0])
    np.testing.assert_allclose(
        -mse.cv_results_["mean_test_score"], (1 - r2.cv_results_["mean_test_score"]) * np.var(Y[:, 0]), rtol=1e-10
    )
    assert root.best_score_ == pytest.approx(-np.sqrt(-mse.best_score_))


def test_gcv_refuses_as_many_degrees_of_freedom_as_rows():
    few = chosen(Y, cv="gcv", alphas=[1e-10, 1.0], n_neurons=[5, 24]).fit(X[:20], Y[:20])
    refused = np.isnan(few.cv_results_["mean_test_score"])
    assert refused.tolist() == [False, True, False, False]
    assert few.cv_results_["rank_test_score"][1] == 4
    with pytest.raises(DataError, match=r"98 % of the 20 rows as degrees of freedom.*Use larger alphas"):
        chosen(Y, cv="gcv", alphas=[1e-10], n_neurons=[24]).fit(X[:20], Y[:20])
    with pytest.raises(DataError, match="weights sum to at least 2"):
        chosen(Y, cv="gcv").fit(X, Y, np.full(N, 1e-3))


def test_default_alphas_follow_the_units_of_the_neurons():
    H = FULL(X) - FULL(X).mean(axis=0)
    alphas = default_alphas(H.T @ H)
    np.testing.assert_allclose(default_alphas(100 * H.T @ H), 100 * alphas)
    assert alphas[-1] == pytest.approx(1e6 * np.trace(H.T @ H) / FULL.n_neurons)
    assert default_alphas(np.zeros((3, 3))).tolist() == [1.0]
    many = np.repeat(H, 5, axis=1) + 1e-3 * RNG.standard_normal((N, 5 * FULL.n_neurons))
    noise = len(many.T) * np.finfo(float).eps * np.linalg.eigvalsh(many.T @ many)[-1]
    assert noise < default_alphas(many.T @ many)[0] < 2 * noise
