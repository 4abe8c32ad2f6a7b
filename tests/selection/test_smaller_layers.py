"""Penalties and sizes from one factorisation, and the smaller layers and sums that they are of."""

import warnings

import numpy as np
import pytest
from grid_table import FULL, NEURONS, SIZES, WEIGHTS, D, N, X, Y

from daskelm import ELMRegressor, ELMRegressorCV, Neurons
from daskelm.exceptions import IllConditionedWarning
from daskelm.layer.sublayer import nested_order, sublayer
from daskelm.ridge.path import RidgePath, by_eigen
from daskelm.ridge.solve import solve
from daskelm.sums.some_neurons import take_neurons


def problem(H, T=Y):
    h, t = H - H.mean(axis=0), T - T.mean(axis=0)
    sums = ELMRegressor(Neurons("lin", np.eye(H.shape[1]), np.zeros(H.shape[1])), standardize=False, alpha=1.0)
    return sums.fit(H, T).normal_equations_, h.T @ h, h.T @ t


@pytest.mark.parametrize("eigen", [False, True])
def test_one_factorisation_serves_all_sizes(eigen):
    sums, HH, HT = problem(FULL(X))
    path = RidgePath(sums.moments(), SIZES, eigen=eigen)
    for alpha in (1e-4, 1.0):
        B = path.coefficients(alpha)
        for i, size in enumerate(SIZES):
            expected = np.linalg.solve(HH[:size, :size] + alpha * np.eye(size), HT[:size])
            np.testing.assert_allclose(B[:size, i], expected, atol=1e-9 * np.abs(expected).max())
            assert not B[size:, i].any()


def test_where_cholesky_is_not_safe_it_is_the_plain_solution():
    H = FULL(X)[:, :12]
    # The eighth column is the first again: 7 neurons are regular, 8 and 12 are not unless there is a penalty.
    H[:, 7] = H[:, 0]
    sums, _, _ = problem(H)
    path = RidgePath(sums.moments(), [12, 7, 8], eigen=False)
    for alpha in (0.0, 1e-18, 1e-3):
        B = path.coefficients(alpha)
        for i, size in enumerate((12, 7, 8)):
            smaller = take_neurons(sums, np.arange(size), "of fewer")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", IllConditionedWarning)
                expected = solve(smaller.moments(), alpha)
            assert (expected.method == "eigen") == (alpha < 1e-3 and size > 7)
            np.testing.assert_allclose(B[:size, i].T, expected.coef, atol=1e-9)
    # Which was found with as little work as there is to do.
    assert set(path._factors) == {12, 8}


def test_chosen_models_that_are_ill_conditioned_say_so():
    twice = [Neurons("tanh", NEURONS[0].W[:, [0, 1, 0]], NEURONS[0].b[[0, 1, 0]])]
    with pytest.warns(IllConditionedWarning, match="rank 2 out of 3"):
        model = ELMRegressorCV(twice, alphas=[0.0], cv=3, standardize=False).fit(X, Y)
    assert model.rank_ == 2
    once = ELMRegressorCV([Neurons("tanh", NEURONS[0].W[:, :2], NEURONS[0].b[:2])], alphas=[0.0], cv=3)
    assert model.best_score_ == pytest.approx(once.set_params(standardize=False).fit(X, Y).best_score_, abs=1e-9)


def test_work_is_counted():
    assert by_eigen([1000], 73)
    assert not by_eigen(range(100, 1001, 100), 20)
    assert not by_eigen([1000], 20)
    assert by_eigen([1000], 11, inverse=True)


def test_the_order_is_nested_and_in_proportion():
    kinds = np.repeat(["tanh", "lin", "sigm"], [14, 3, 7])
    order = nested_order(FULL)
    assert sorted(order) == list(range(24))
    assert set(kinds[order[:3]]) == {"lin"}
    for n in range(3, 25):
        of_kind = [np.sort(order[:n][kinds[order[:n]] == kind]) for kind in ("tanh", "sigm")]
        assert len(of_kind[0]) == pytest.approx(14 * (n - 3) / 21, abs=1)
        # The first ones of each kind.
        assert all((columns == np.arange(len(columns)) + columns[:1].sum()).all() for columns in of_kind)
    assert sublayer(FULL, 24)[0] is FULL


def test_a_smaller_layer_has_the_sums_of_a_smaller_layer():
    full = ELMRegressor([(2, "lin"), (20, "tanh"), (10, "rbf_l2")], random_state=0, alpha=1.0).fit(X, Y, WEIGHTS)
    smaller, columns = sublayer(full.hidden_layer_, 17)
    assert [len(group) for group in smaller.groups] == [2, 10, 5]
    np.testing.assert_allclose(smaller(X), full.hidden_layer_(X)[:, columns], atol=1e-14)
    sums = take_neurons(full.normal_equations_, columns, smaller.fingerprint)
    plain = ELMRegressor([(2, "lin"), (10, "tanh"), (5, "rbf_l2")], random_state=0, alpha=1.0).fit(X, Y, WEIGHTS)
    assert smaller.fingerprint == plain.hidden_layer_.fingerprint == sums.fingerprint
    np.testing.assert_allclose(sums.HH, plain.normal_equations_.HH, atol=1e-10)
    np.testing.assert_allclose(sums.HT, plain.normal_equations_.HT, atol=1e-10)
    assert sums.n_samples == N
    # Given neurons alone need no scale of the inputs.
    mixed = ELMRegressor([Neurons("lin", np.eye(D), np.zeros(D)), (5, "tanh")], random_state=0).initialize(X)
    assert sublayer(mixed.hidden_layer_, 3)[0].scale is None
