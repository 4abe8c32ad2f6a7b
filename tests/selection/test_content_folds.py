"""Choosing by folds of the content of the rows, which is what cv=None does."""

import itertools
import warnings

import numpy as np
import pytest
from grid_table import ALPHAS, LABELS, SIZES, WEIGHTS, D, N, X, Y, assert_same_results, chosen, groups

from daskelm import ELMClassifier, ELMClassifierCV, ELMRegressor, ELMRegressorCV
from daskelm.exceptions import IllConditionedWarning
from daskelm.plots.selection import GridScores
from daskelm.sums.content import folds_of, row_hashes


def content_folds(T, n):
    hashes = row_hashes(X)
    return folds_of(hashes, n)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_cv_none_scores_folds_by_content(fit_intercept, weights):
    model = chosen(Y, cv=None, fit_intercept=fit_intercept).fit(X, Y, weights)
    w = np.ones(N) if weights is None else weights
    folds, kept = content_folds(Y, 5), w > 0
    variance = np.average((Y - np.average(Y, axis=0, weights=w)) ** 2, axis=0, weights=w)
    for fold in range(5):
        train, test = kept & (folds != fold), kept & (folds == fold)
        expected = []
        for alpha, size in itertools.product(ALPHAS, SIZES):
            plain = ELMRegressor(
                groups(size), alpha=alpha, standardize=False, clip=False, fit_intercept=fit_intercept
            ).fit(X[train], Y[train], w[train])
            squares = np.average((plain.predict(X[test]) - Y[test]) ** 2, axis=0, weights=w[test])
            expected.append(np.mean(1 - squares / variance))
        np.testing.assert_allclose(model.cv_results_[f"split{fold}_test_score"], expected, atol=1e-8)
    assert "split5_test_score" not in model.cv_results_
    assert model.best_score_ == model.cv_results_["mean_test_score"].max()


def test_cv_none_in_the_units_of_the_target():
    r2 = chosen(Y[:, 0], cv=None).fit(X, Y[:, 0])
    mse = chosen(Y[:, 0], cv=None, scoring="neg_mean_squared_error").fit(X, Y[:, 0])
    root = chosen(Y[:, 0], cv=None, scoring="neg_root_mean_squared_error").fit(X, Y[:, 0])
    for split in range(5):
        name = f"split{split}_test_score"
        np.testing.assert_allclose(-mse.cv_results_[name], (1 - r2.cv_results_[name]) * np.var(Y[:, 0]), rtol=1e-9)
        np.testing.assert_allclose(root.cv_results_[name], -np.sqrt(-mse.cv_results_[name]), rtol=1e-9)


@pytest.mark.parametrize("spec", [None, 30, [(2, "lin"), (10, "relu")]])
def test_without_a_grid_it_is_the_plain_estimator(spec):
    for kind, plain, targets in ((ELMRegressorCV, ELMRegressor, Y[:, 0]), (ELMClassifierCV, ELMClassifier, LABELS)):
        a, b = kind(spec, random_state=0).fit(X, targets), plain(spec, random_state=0).fit(X, targets)
        # Folds count alike here, and by their rows there; errors of classes are not divided by the variance.
        assert abs(np.log10(a.alpha_ / b.alpha_)) < (0.26 if kind is ELMRegressorCV else 1.1)
        assert a.hidden_layer_.fingerprint == b.hidden_layer_.fingerprint
        assert a.score(X, targets) == pytest.approx(b.score(X, targets), abs=0.02)


def test_without_a_grid_large_layers_agree_to_the_steps_of_the_search():
    rng = np.random.default_rng(3)
    inputs = rng.standard_normal((3000, 3))
    y = np.sin(inputs[:, 0] * inputs[:, 1]) + inputs[:, 2] + 0.3 * rng.standard_normal(3000)
    a, b = (kind(300, random_state=0).fit(inputs, y) for kind in (ELMRegressorCV, ELMRegressor))
    # The plain estimator searches in half decades beyond 400 neurons.
    assert abs(np.log10(a.alpha_ / b.alpha_)) < 0.51


def test_heavy_tails_do_not_mislead_it():
    rng = np.random.default_rng(0)
    inputs, new = rng.normal(size=(1000, 2)), rng.normal(size=(5000, 2))
    y, y_new = (np.sin(np.pi * Z[:, 0] * Z[:, 1]) + Z[:, 0] for Z in (inputs, new))
    y = y + 0.3 * rng.normal(size=1000)
    model = ELMRegressorCV(clip=False, random_state=0)
    assert model.fit(inputs, y).score(new, y_new) > 0.7
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IllConditionedWarning)
        assert model.set_params(cv="gcv").fit(inputs, y).score(new, y_new) < 0


def test_of_equal_scores_the_largest_penalty_is_taken():
    # All errors are rounding, or nothing: nothing but the penalty tells the candidates apart.
    for targets in (X[:, 0], np.ones(N)):
        with warnings.catch_warnings():
            warnings.simplefilter("error", IllConditionedWarning)
            model = ELMRegressorCV([(D, "lin"), (20, "tanh")], random_state=0).fit(X, targets)
        best = model.cv_results_["mean_test_score"] == model.best_score_
        assert model.alpha_ == model.cv_results_["param_alpha"][best].max() > model.cv_results_["param_alpha"].min()
        assert GridScores.of(model).chosen[0] == np.searchsorted(model.cv_results_["param_alpha"].data, model.alpha_)


@pytest.mark.parametrize("n", [2, 3, 5, 8, 9, 12])
def test_few_rows_are_scored_by_gcv(n):
    folds = np.unique(content_folds(Y, 5)[:n])
    assert len(folds) > 1
    model = chosen(Y, cv=None).fit(X[:n], Y[:n])
    assert sum(key.startswith("split") for key in model.cv_results_) == (2 ** len(folds) - 2 if n >= 9 else 0)
    assert np.isfinite(model.best_score_)


def test_rows_of_one_fold_and_large_layers_are_scored_by_gcv(monkeypatch):
    same = np.repeat(X[:1], 20, axis=0) + np.zeros((20, 1)), np.repeat(Y[:1], 20, axis=0)
    for params, rows in (({"alphas": [100.0]}, same), ({}, (X, Y))):
        by_gcv = chosen(Y, cv="gcv", **params).fit(*rows)
        if not params:
            monkeypatch.setattr("daskelm.sums.content._N_FOLDS", ((23, 5),))
        model = chosen(Y, cv=None, **params).fit(*rows)
        assert_same_results(model.cv_results_, by_gcv.cv_results_, atol=0)
        assert not any(key.startswith("split") for key in model.cv_results_)


def test_its_sums_have_the_folds_of_the_smaller_layer():
    model = chosen(Y, cv=None, n_neurons=[10]).fit(X, Y)
    plain = ELMRegressor(groups(10), standardize=False).fit(X, Y).normal_equations_
    sums = model.normal_equations_
    assert len(sums.folds) == len(plain.folds) == 5
    for a, b in zip(sums.folds, plain.folds, strict=True):
        assert (a.fingerprint, a.n_samples) == (b.fingerprint, b.n_samples)
        np.testing.assert_allclose(a.HH, b.HH, atol=1e-10)
    solved = ELMRegressor(groups(10), standardize=False).initialize(X).solve(sums)
    assert solved.alpha_ == pytest.approx(ELMRegressor(groups(10), standardize=False).fit(X, Y).alpha_, rel=1e-9)
