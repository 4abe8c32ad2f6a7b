"""The choice of a penalty: by folds as by refitting, by the marginal likelihood as by its density, per target."""

from functools import reduce
from itertools import combinations
from operator import add

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from daskelm import ELMRegressor
from daskelm.exceptions import PenaltyWarning
from daskelm.ridge import penalty as module
from daskelm.ridge.eigen import GCV_GRID, EigenFactor
from daskelm.ridge.penalty import HeldOut, evidence, penalty_by_folds, penalty_by_sums
from daskelm.ridge.solve import solve
from daskelm.sums.content import folds_of, row_hashes
from daskelm.sums.folds import held_out

RNG = np.random.default_rng(0)
N = 400
X = RNG.standard_normal((N, 3))
Y = np.stack([np.sin(2 * X[:, 0]) * X[:, 1], X[:, 2], RNG.standard_normal(N)], axis=1) + RNG.normal(0, 0.2, (N, 3))


def summed(n_neurons=30, Y=Y, weights=None):
    return ELMRegressor(n_neurons, random_state=0).fit(X, Y, weights)


def refitted(model, Y, weights=None, fit_intercept=True, n_out=1):
    """Squared errors (n_alphas, n_targets) of all sets of folds, by a regression on H for each set and penalty."""
    weights = np.ones(N) if weights is None else weights
    total = model.normal_equations_.moments(centred=fit_intercept)
    grid = GCV_GRID * np.trace(total.HH) / len(total.HH)
    H = model.transform(X).astype(float)
    folds = folds_of(row_hashes(X), len(model.normal_equations_.folds))
    errors = np.zeros((len(grid), Y.shape[1]))
    for chosen in combinations(np.unique(folds), n_out):
        test = np.isin(folds, chosen)
        train = ~test
        w = weights[train][:, None]
        mean_h = (w * H[train]).sum(axis=0) / w.sum() * fit_intercept
        mean_t = (w * Y[train]).sum(axis=0) / w.sum() * fit_intercept
        h, t = H[train] - mean_h, Y[train] - mean_t
        for i, alpha in enumerate(grid):
            B = np.linalg.solve(h.T @ (w * h) + alpha * np.eye(h.shape[1]), h.T @ (w * t))
            residual = Y[test] - mean_t - (H[test] - mean_h) @ B
            errors[i] += (weights[test][:, None] * np.square(residual)).sum(axis=0)
    return grid, errors / total.TT


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weights", [None, RNG.uniform(0.2, 3, N)], ids=["plain", "weighted"])
def test_by_folds_is_the_best_of_refitting(fit_intercept, weights):
    model = ELMRegressor(30, fit_intercept=fit_intercept, random_state=0).fit(X, Y, weights)
    grid, errors = refitted(model, Y, weights, fit_intercept)
    np.testing.assert_allclose(model.alpha_, grid[np.argmin(errors, axis=0)])
    assert model.alpha_chosen_by_ == "folds"
    model.set_params(alpha_per_target=False).solve()
    assert model.alpha_ == pytest.approx(grid[np.argmin(errors.sum(axis=1))])


@pytest.mark.parametrize("copies", [1, 3])
def test_few_rows_are_held_out_in_all_combinations_of_folds(copies):
    n_neurons = N // 3 + 1
    model = ELMRegressor(n_neurons, random_state=0).fit(np.repeat(X, copies, axis=0), np.repeat(Y, copies, axis=0))
    by_size = [refitted(model, Y, np.full(N, copies), n_out=n_out) for n_out in range(1, 5)]
    # The errors of each size are sums over rows, of which each is in 1, 4, 6 and 4 sets.
    errors = sum(
        n_sets * errors / times
        for n_sets, times, (_, errors) in zip((5, 10, 10, 5), (1, 4, 6, 4), by_size, strict=True)
    )
    np.testing.assert_allclose(model.alpha_, by_size[0][0][np.argmin(errors, axis=0)])
    # They matter here, and one neuron fewer is enough to hold out single folds.
    assert (np.argmin(errors, axis=0) != np.argmin(by_size[0][1], axis=0)).any()
    sizes = [fold.n_folds for fold in held_out(model.normal_equations_)]
    assert sorted(sizes) == [1] * 5 + [2] * 10 + [3] * 10 + [4] * 5
    fewer = ELMRegressor(n_neurons - 1, random_state=0).fit(X, Y)
    assert [fold.n_folds for fold in held_out(fewer.normal_equations_)] == [1] * 5


def test_a_penalty_per_target_is_that_of_the_target_alone():
    sums = summed().normal_equations_
    total, folds = sums.moments(), held_out(sums)
    together = penalty_by_folds(total, folds, per_target=True).alpha
    for i in range(3):
        of = np.array([i])
        one = [HeldOut(fold.train.of_targets(of), fold.test.of_targets(of)) for fold in folds]
        assert penalty_by_folds(total.of_targets(of), one, per_target=True).alpha == together[i]
    solution = solve(total, "auto", folds=folds, per_target=True)
    for i, alpha in enumerate(together):
        np.testing.assert_allclose(solution.coef[i], solve(total, float(alpha)).coef[i], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("target", range(2))
def test_the_search_of_a_large_layer_finds_what_all_candidates_have(monkeypatch, target):
    sums = summed(60, Y[:, target]).normal_equations_
    total, folds = sums.moments(), held_out(sums)
    grid = GCV_GRID * np.trace(total.HH) / 60
    errors = module._scores(total, folds, grid, False, module._errors_by_eigen)[:, 0]
    everything = penalty_by_folds(total, folds, per_target=False)
    monkeypatch.setattr(module, "ALL_CANDIDATES", 20)
    calls = []
    factor = module.CholeskyFactor
    monkeypatch.setattr(
        module, "CholeskyFactor", lambda HH, alpha, **how: calls.append(alpha) or factor(HH, alpha, **how)
    )
    searched = penalty_by_folds(total, folds, per_target=False)
    found, best = (int(np.argmin(np.abs(grid - choice.alpha))) for choice in (searched, everything))
    assert errors[found] <= 1.01 * errors[best]
    # Few factors are made: one per fold and candidate, and some to see which are safe.
    assert len(calls) <= 15 * len(folds)


def test_folds_of_large_layers_are_made_in_turn(monkeypatch):
    sums = summed().normal_equations_
    at_once = held_out(sums)
    monkeypatch.setattr("daskelm.sums.folds.ALL_AT_ONCE", 29)
    in_turn = held_out(sums)
    assert len(in_turn) == len(at_once) == 5
    for _ in range(2):
        for a, b in zip(at_once, in_turn, strict=True):
            np.testing.assert_array_equal(a.train.HH, b.train.HH)
            np.testing.assert_array_equal(a.test.HT, b.test.HT)
    assert in_turn[0] is not in_turn[0]
    alphas = [penalty_by_folds(sums.moments(), folds, per_target=True).alpha for folds in (at_once, in_turn)]
    np.testing.assert_array_equal(*alphas)


def test_constant_targets_have_no_vote():
    constant = np.column_stack([Y, np.full(N, 730_000.0)])
    expected = summed().alpha_
    alphas = ELMRegressor(30, random_state=0).fit(X, constant).set_params(alpha_per_target=True).alpha_
    # Other targets make other folds: the choice is that of the same folds.
    folds = ELMRegressor(30, random_state=0).fit(X, constant).normal_equations_
    shared = solve(folds.moments(), "auto", folds=held_out(folds)).alpha
    without = [HeldOut(f.train.of_targets(np.arange(3)), f.test.of_targets(np.arange(3))) for f in held_out(folds)]
    assert shared == penalty_by_folds(folds.moments().of_targets(np.arange(3)), without, per_target=False).alpha
    assert len(alphas) == len(expected) + 1
    assert alphas[3] == alphas[:3].max()


def test_nothing_varies():
    model = ELMRegressor(30, random_state=0).fit(X, np.full(N, 3.0))
    np.testing.assert_allclose(model.predict(X), 3.0)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_marginal_likelihood_is_the_density_of_the_targets(fit_intercept):
    model = ELMRegressor(20, alpha=1.0, fit_intercept=fit_intercept, random_state=0).fit(X[:60], Y[:60, 0])
    total = model.normal_equations_.moments(centred=fit_intercept)
    found = evidence(total, EigenFactor(total.HH))
    grid = GCV_GRID * np.trace(total.HH) / 20
    H, t = model.transform(X[:60]).astype(float), Y[:60, 0]
    if fit_intercept:
        # With a flat prior of the intercept, what is left is in the 59 contrasts.
        contrasts = np.linalg.svd(np.eye(60) - 1 / 60)[0][:, :59].T
        H, t = contrasts @ H, contrasts @ t
    densities = []
    for alpha in grid:
        covariance = np.eye(len(t)) + H @ H.T / alpha
        noise = t @ np.linalg.solve(covariance, t) / len(t)
        densities.append(multivariate_normal(np.zeros(len(t)), noise * covariance, allow_singular=True).logpdf(t))
    assert abs(int(np.argmin(np.abs(grid - found))) - int(np.nanargmax(densities))) <= 1


def test_without_folds_it_is_the_larger_one_of_both():
    total = summed().normal_equations_.moments().of_targets(np.array([0]))
    factor = EigenFactor(total.HH)
    choice = penalty_by_sums(total, factor, gcv=False, per_target=False)
    assert choice.alpha == max(factor.gcv(total), evidence(total, factor))
    assert choice.method == ("gcv" if choice.alpha == factor.gcv(total) else "evidence")
    assert penalty_by_sums(total, factor, gcv=True, per_target=False).alpha == factor.gcv(total)


def test_a_chosen_penalty_may_be_given_back():
    # As many neurons as rows, so that small penalties are ill-conditioned; warnings are errors.
    model = ELMRegressor(250, random_state=0).fit(X, np.sin(X[:, 0]))
    again = ELMRegressor(250, alpha=model.alpha_, random_state=0).fit(X, np.sin(X[:, 0]))
    np.testing.assert_allclose(again.predict(X), model.predict(X), atol=1e-6)
    assert again.alpha_chosen_by_ == "given"


def test_a_penalty_of_each_target_is_given():
    alphas = [0.1, 1.0, 10.0]
    model = ELMRegressor(30, alpha=alphas, random_state=0).fit(X, Y)
    for i, alpha in enumerate(alphas):
        one = ELMRegressor(30, alpha=alpha, random_state=0).fit(X, Y)
        np.testing.assert_allclose(model.coef_[i], one.coef_[i], rtol=1e-12)
        for mean_or_std, expected in zip(
            model.predict(X, return_std=True), one.predict(X, return_std=True), strict=True
        ):
            np.testing.assert_allclose(mean_or_std[:, i], expected[:, i], rtol=1e-8)


def test_folds_add_up():
    sums = summed().normal_equations_
    both = reduce(add, sums.folds)
    np.testing.assert_allclose(both.HH, sums.HH, rtol=0, atol=1e-12 * np.abs(sums.HH).max())
    assert both.n_samples == sums.n_samples == N


def test_it_warns_where_the_choice_is_at_the_edge():
    rows, noise = np.random.default_rng(1).standard_normal((2, 10_000))
    with pytest.warns(PenaltyWarning, match="no penalty makes a model .* better than their mean.*belong to"):
        assert ELMRegressor(30, random_state=0).fit(rows[:, None], noise).alpha_chosen_by_ == "folds"


def test_it_warns_of_fewer_distinct_rows_than_neurons():
    copies = np.repeat(np.arange(20), 60)
    with pytest.warns(PenaltyWarning, match="about 20 of 1200 rows are distinct, fewer than the 50 neurons"):
        ELMRegressor(50, random_state=0).fit(X[copies], np.sin(X[copies, 0]))
