"""A target that does not vary, beside others, changes nothing of them: no penalty, no weights, no choice."""

import warnings
from dataclasses import replace

import dask.array as da
import numpy as np
import pytest

from daskelm import ELMRegressor, ELMRegressorCV
from daskelm.exceptions import DataError, IllConditionedWarning, ScaleWarning
from daskelm.passes.learning_curve import CurveMaker
from daskelm.ridge.moments import varies
from daskelm.ridge.solve import solve
from daskelm.selection.criterion import score_from_squares
from daskelm.selection.gcv import gcv_scores
from daskelm.selection.ranking import ranked

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3000, 3))
Y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + RNG.normal(size=3000)
WEIGHTS = RNG.uniform(0.1, 2, 3000)
CONSTANTS = [1e-3, 1 / 3, 730_000.1, 1e9 / 3, 1e12 / 7]


def beside(y, constant, first=False):
    columns = [np.full(len(y), constant), y]
    return np.stack(columns if first else columns[::-1], axis=1)


def fitted(model, n, y, weighted):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IllConditionedWarning)
        return model.fit(X[:n], y, WEIGHTS[:n] if weighted else None)


def assert_unchanged(make, n, constant, weighted, tolerance=1e-6):
    alone = fitted(make(), n, Y[:n], weighted)
    for first in (False, True):
        both = fitted(make(), n, beside(Y[:n], constant, first), weighted)
        assert both.alpha_ == pytest.approx(alone.alpha_, rel=1e-9)
        np.testing.assert_allclose(
            both.coef_[int(first)], alone.coef_[0], rtol=0, atol=tolerance * np.abs(alone.coef_).max() + 1e-300
        )
        assert not both.coef_[1 - int(first)].any()
        assert both.intercept_[1 - int(first)] == constant
    return alone, both


@pytest.mark.parametrize("n", [3, 17, 300, 999, 3000])
@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("weighted", [False, True])
def test_penalty_by_gcv(n, constant, weighted):
    assert_unchanged(lambda: ELMRegressor(40, alpha="gcv", random_state=0), n, constant, weighted)


@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("weighted", [False, True])
def test_two_rows(constant, weighted):
    weights = [1.5, 1.0] if weighted else None
    alone = ELMRegressor(5, alpha="gcv", random_state=0).fit(X[:2], Y[:2], weights)
    both = ELMRegressor(5, alpha="gcv", random_state=0).fit(X[:2], beside(Y[:2], constant), weights)
    assert both.alpha_ == pytest.approx(alone.alpha_, rel=1e-9)
    np.testing.assert_allclose(both.coef_[0], alone.coef_[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cv", ["gcv", 3, "loo"])
@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scoring", [None, "neg_mean_squared_error"])
def test_selection(cv, constant, weighted, scoring):
    alphas = np.logspace(-3, 3, 13)

    def make():
        return ELMRegressorCV(40, alphas=alphas, n_neurons=[10, 40], cv=cv, scoring=scoring, random_state=0)

    for n in (50, 400):
        alone, both = assert_unchanged(make, n, constant, weighted)
        assert alone.n_neurons_ == both.n_neurons_


@pytest.mark.parametrize("ranking", ["omp", "mrsr"])
@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("weighted", [False, True])
def test_ranking(ranking, constant, weighted):
    def make():
        return ELMRegressorCV(30, n_neurons=[5, 12], alphas=[0.1, 10.0], ranking=ranking, cv="gcv", random_state=0)

    alone, both = assert_unchanged(make, 400, constant, weighted)
    assert alone.hidden_layer_.fingerprint == both.hidden_layer_.fingerprint


@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("weighted", [False, True])
def test_learning_curve_stops_where_it_would(constant, weighted):
    rng = np.random.default_rng(1)
    many = rng.normal(size=(40_000, 3))
    y = np.sin(many[:, 0]) + rng.normal(size=len(many))
    weights = rng.uniform(0.1, 2, len(many)) if weighted else None
    for tol in (1e-2, 3e-3):
        alone = ELMRegressor(30, alpha="gcv", tol=tol, random_state=0).fit(many, y, weights)
        both = ELMRegressor(30, alpha="gcv", tol=tol, random_state=0).fit(many, beside(y, constant), weights)
        for name in ("n_samples", "alpha"):
            np.testing.assert_allclose(both.learning_curve_[name], alone.learning_curve_[name], rtol=1e-9)
        assert both.stopped_early_ == alone.stopped_early_
        np.testing.assert_allclose(both.coef_[0], alone.coef_[0], rtol=0, atol=1e-6 * np.abs(alone.coef_).max())
        # As scikit-learn counts it.
        np.testing.assert_allclose(both.learning_curve_["score"], (1 + alone.learning_curve_["score"]) / 2, rtol=1e-9)


def test_gain_of_a_learning_curve_is_that_of_the_targets_that_vary():
    gains = []
    for y in (Y, beside(Y, 730_000.1)):
        model = ELMRegressor(30, random_state=0).initialize(X)
        maker, before, steps = CurveMaker(1.0, True, False, lambda sums: sums), None, []
        for stop in (100, 200, 400, 800, 1600, 3000):
            start = 0 if before is None else before.n_samples
            now = model.partial_fit(X[start:stop], y[start:stop]).normal_equations_
            steps.append(maker(now if before is None else now - before))
            before = now
        gains.append([step.gain for step in steps if step.gain is not None])
    assert len(gains[0]) == 4
    np.testing.assert_allclose(*gains, rtol=1e-6)


@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("weighted", [False, True])
def test_score_of_lazy_rows(constant, weighted, no_client):
    both = ELMRegressor(20, alpha=1.0, random_state=0).fit(X, beside(Y, constant))
    alone = ELMRegressor(20, alpha=1.0, random_state=0).fit(X, Y)
    weights = WEIGHTS if weighted else None
    score = both.score(da.from_array(X, chunks=700), beside(Y, constant), weights)
    assert score == pytest.approx((1 + alone.score(X, Y, weights)) / 2, rel=1e-9)


@pytest.mark.parametrize("constant", CONSTANTS)
def test_merged_and_subtracted(constant):
    y = beside(Y, constant)
    model = ELMRegressor(20, alpha="gcv", random_state=0).initialize(X)
    parts = []
    for rows in (slice(0, 1000), slice(1000, 1700), slice(1700, 3000)):
        before = parts[-1][1] if parts else None
        now = model.partial_fit(X[rows], y[rows], WEIGHTS[rows]).normal_equations_
        parts.append((now if before is None else now - before, now))
    first, whole = parts[0][1], parts[-1][1]
    for sums in (whole, whole - first, (whole - first) + first, sum(part for part, _ in parts)):
        assert sums.moments().informative.tolist() == [True, False]
        assert sums.moments(centred=False).informative.all()


def test_sums_in_which_rounding_is_left_of_it():
    # As about a mean that is off by rounding, in sums that were not made here: 1e-15 of the mean in each row.
    c = 730_000.1
    model = ELMRegressor(30, alpha=1.0, random_state=0).fit(X, beside(Y, c), WEIGHTS)
    clean = model.normal_equations_
    TT, cross = clean.sum_TT.copy(), clean.cross.copy()
    TT[1] = clean.sum_weights * (1e-15 * c) ** 2
    cross[:, 1] = 0.5 * np.sqrt(TT[1] * np.diag(clean.moments().HH)) * np.random.default_rng(2).normal(size=30)
    left = replace(clean, sum_TT=TT, cross=cross)
    alone = ELMRegressor(30, alpha=1.0, random_state=0).fit(X, Y, WEIGHTS).normal_equations_
    assert left.moments().TT[1] > 0
    assert solve(left.moments(), "gcv").alpha == pytest.approx(solve(alone.moments(), "gcv").alpha, rel=1e-9)
    alphas, sizes = np.logspace(-3, 3, 13), [10, 30]
    scores = [gcv_scores(sums.moments(), alphas, sizes, "r2") for sums in (left, alone)]
    np.testing.assert_allclose(*scores, rtol=1e-9)
    squares = np.array([[0.4 * TT[0], TT[1]], [0.5 * TT[0], 0.0]])
    expected = (score_from_squares(squares[:, :1], alone, "r2") + 1) / 2
    np.testing.assert_allclose(score_from_squares(squares, left, "r2"), expected, rtol=1e-6)
    for ranking in ("omp", "mrsr"):
        orders = [ranked(sums, np.arange(30), ranking) for sums in (left, alone)]
        np.testing.assert_array_equal(*orders)


def test_all_constant_is_still_something_that_can_be_solved():
    model = ELMRegressor(20, alpha="gcv", random_state=0).fit(X, np.full((len(X), 2), [1e9 / 3, 7.0]), WEIGHTS)
    np.testing.assert_allclose(model.predict(X[:5]), np.tile([1e9 / 3, 7.0], (5, 1)), rtol=1e-15)


def test_threshold():
    assert varies([1e-28, 1e-29, 0, np.nan], 1.0, [0.99, 1, 1, 1]).tolist() == [True, False, False, True]
    assert varies([1e-300, 0], 5.0, [0, 0]).tolist() == [True, False]
    # Small variation about a large mean is none; what is a part of 1e-13 of it is.
    y = 1e6 + 1e-7 * Y
    model = ELMRegressor(20, alpha="gcv", random_state=0).fit(X, y)
    assert model.normal_equations_.moments().informative.all()
    with pytest.warns(ScaleWarning), pytest.raises(DataError, match="needs rows whose weights sum to at least 2"):
        ELMRegressor(20, alpha="gcv").fit(X[:1], beside(Y[:1], 3.0))
