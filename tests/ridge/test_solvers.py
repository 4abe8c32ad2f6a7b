"""The solve: textbook solutions, honest fall-backs, GCV against its definition."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
from layers import accumulator_of
from sklearn.linear_model import Ridge, RidgeCV

from daskelm.blas import factorise
from daskelm.exceptions import DataError, IllConditionedWarning, ParameterError
from daskelm.ridge import solve as solvers
from daskelm.ridge.eigen import DOF_CHARGE, GCV_GRID, EigenFactor
from daskelm.ridge.moments import Weights
from daskelm.ridge.solve import SOLVERS, check_alpha
from daskelm.sums.normal_equations import NormalEquations

RNG = np.random.default_rng(0)
H = RNG.standard_normal((200, 8))
T = H @ RNG.standard_normal((8, 2)) + RNG.standard_normal((200, 2)) + 3


def sums(H=H, T=T, weights=None):
    accumulator = accumulator_of(H.shape[1], T.shape[1])
    accumulator.add(H.copy(), T.copy(), weights)
    return accumulator.result(None)


def solve(sums, alpha="gcv", *, fit_intercept=True):
    return solvers.solve(sums.moments(centred=fit_intercept), alpha)


@pytest.mark.parametrize("alpha", [0.0, 1e-3, 1.0, 1e4])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_is_ridge_regression(alpha, fit_intercept, weighted):
    weights = RNG.uniform(0, 3, 200) if weighted else None
    ours = solve(sums(weights=weights), alpha, fit_intercept=fit_intercept)
    theirs = Ridge(alpha, fit_intercept=fit_intercept).fit(H, T, weights)
    np.testing.assert_allclose(ours.coef, theirs.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.intercept, theirs.intercept_, rtol=1e-9, atol=1e-12)
    assert (ours.method, ours.rank, ours.alpha) == ("cholesky", 8, alpha)


def test_condition_number():
    ours = solve(sums(), 1.0)
    centred = H - H.mean(axis=0)
    exact = np.linalg.cond(centred.T @ centred + np.eye(8), 1)
    assert exact / 3 <= ours.condition_number <= 1.01 * exact


def test_a_duplicated_neuron_falls_back_and_says_so():
    double = np.concatenate([H, H[:, :1]], axis=1)
    with pytest.warns(IllConditionedWarning, match="not safely positive definite.*rank 8 out of 9"):
        solution = solve(sums(double), 0.0)
    assert (solution.method, solution.rank) == ("eigen", 8)
    # The solution of least norm shares the weight between the two, and predicts as the one did.
    np.testing.assert_allclose(solution.coef[:, 0], solution.coef[:, 8], rtol=1e-8)
    plain = solve(sums(), 0.0)
    np.testing.assert_allclose(
        double @ solution.coef.T + solution.intercept, H @ plain.coef.T + plain.intercept, rtol=1e-8
    )


def test_fewer_rows_than_neurons_gives_the_least_norm_solution():
    with pytest.warns(IllConditionedWarning, match="rank 4 out of 8"):
        solution = solve(sums(H[:5], T[:5]), 0.0)
    exact = np.linalg.pinv(H[:5] - H[:5].mean(axis=0)) @ (T[:5] - T[:5].mean(axis=0))
    np.testing.assert_allclose(solution.coef.T, exact, rtol=1e-7)


def test_constant_columns_only():
    with pytest.warns(IllConditionedWarning, match="rank 0 out of 3"):
        solution = solve(sums(np.ones((20, 3)), T[:20]), 0.0)
    np.testing.assert_array_equal(solution.coef, 0)
    np.testing.assert_allclose(solution.intercept, T[:20].mean(axis=0))
    assert solve(sums(np.ones((20, 3)), T[:20]), "gcv").alpha > 0


def test_well_conditioned_problems_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solve(sums(), 1e-6)
        solve(sums(), "gcv")


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_gcv_is_the_least_of_its_definition(fit_intercept, weighted):
    weights = RNG.integers(0, 3, 200).astype(float) if weighted else np.ones(200)
    alpha = solve(sums(weights=weights), "gcv", fit_intercept=fit_intercept).alpha
    h, t = (np.repeat(a, weights.astype(int), axis=0) for a in (H, T))
    # Rows that are repeated, or weigh more than 1, are no more rows.
    n = min(len(h), np.count_nonzero(weights))
    n_repeated = len(h)
    design = np.c_[h, np.ones(n_repeated)] if fit_intercept else h
    spread = h - h.mean(axis=0) if fit_intercept else h
    grid = GCV_GRID * np.trace(spread.T @ spread) / 8
    criterion = []
    for a in grid:
        penalty = np.diag([a] * 8 + [0.0] * fit_intercept)
        hat = design @ np.linalg.solve(design.T @ design + penalty, design.T)
        residual = np.square(t - hat @ t).sum(axis=0) / np.square(t - t.mean(axis=0) * fit_intercept).sum(axis=0)
        criterion.append(residual.sum() / n / (1 - DOF_CHARGE * np.trace(hat) / n) ** 2)
    assert np.isclose(alpha, grid[np.argmin(criterion)])


def test_gcv_agrees_with_ridgecv_for_one_target():
    spread = H - H.mean(axis=0)
    grid = GCV_GRID * np.trace(spread.T @ spread) / 8
    # RidgeCV's own criterion is leave-one-out, GCV its rotation-invariant form: at most a few steps of the grid apart.
    theirs = RidgeCV(grid).fit(H, T[:, 0]).alpha_
    ours = solve(sums(T=T[:, :1]), "gcv").alpha
    assert abs(np.log10(ours / theirs)) <= 0.51


def test_gcv_refuses_to_interpolate():
    wide = RNG.standard_normal((30, 100))
    target = RNG.standard_normal((30, 1))
    s = sums(wide, target)
    solution = solve(s, "gcv")
    values = EigenFactor(s.moments().HH).values
    assert DOF_CHARGE * (1 + (values / (values + solution.alpha)).sum()) <= 0.98 * 30


def test_penalty_does_not_depend_on_the_units_of_a_target():
    scaled = sums(T=T * [1e6, 1.0])
    assert solve(scaled).alpha == solve(sums()).alpha


def test_a_new_penalty_needs_no_data():
    s = sums()
    for alpha in (0.1, 10.0):
        np.testing.assert_allclose(solve(s, alpha).coef, Ridge(alpha).fit(H, T).coef_, rtol=1e-9)


def exact_solution(A, b):
    """Gaussian elimination in rational numbers."""
    rows = [[Fraction(float(v)) for v in row] + [Fraction(float(x))] for row, x in zip(A, b, strict=True)]
    for i, pivot in enumerate(rows):
        for j, row in enumerate(rows):
            if j != i:
                factor = row[i] / pivot[i]
                rows[j] = [a - factor * p for a, p in zip(row, pivot, strict=True)]
    return np.array([float(row[-1] / row[i]) for i, row in enumerate(rows)])


@pytest.mark.parametrize("spread", [1.0, 1e3])
def test_precision_is_that_of_the_condition_number(spread):
    s = sums(H * np.geomspace(1, spread, 8))
    A = s.HH + np.eye(8)
    exact = exact_solution(A, s.HT[:, 0])
    ours = solve(s, 1.0, fit_intercept=False).coef[0]
    assert np.linalg.norm(ours - exact) <= 100 * 2.2e-16 * np.linalg.cond(A) * np.linalg.norm(exact)


@pytest.mark.parametrize("alpha", [-1.0, np.nan, np.inf, "loo", None, True, [], [-1.0], [[1.0]]])
def test_bad_penalties(alpha):
    with pytest.raises(
        ParameterError, match="alpha must be a finite number >= 0, one such number per target, or 'auto'"
    ):
        check_alpha(alpha)


def test_nothing_to_solve():
    with pytest.raises(DataError, match="nothing to solve: the sums hold 0 rows"):
        solve(NormalEquations.zero("f", 3, 1))
    with pytest.raises(DataError, match="weights sum to at least 2; got 1"):
        solve(sums(H[:1], T[:1]), "gcv")
    with pytest.raises(DataError, match="nothing to solve"):
        solve(sums(weights=np.zeros(200)), 1.0)


def test_factorise_in_place():
    A = RNG.standard_normal((40, 30))
    A = A.T @ A
    expected = np.linalg.cholesky(A).T
    given = A.copy()
    U = factorise(given)
    assert np.shares_memory(U, given)
    np.testing.assert_allclose(np.triu(U), expected, atol=1e-12)
    assert factorise(A - 1e3 * np.eye(30)) is None
    for wrong in (A.astype("f4"), A[:, :5], A.T[::2, ::2]):
        with pytest.raises(TypeError, match="factorise takes a writable square C-contiguous float64 array"):
            factorise(wrong)


def test_a_solver_is_a_row_of_the_table(monkeypatch):
    """As CONTRIBUTING has it: a function of the sums and the penalty, tried in its turn."""
    asked = []

    def by_lu(moments, alpha):
        asked.append(alpha)
        if alpha < 1:
            return None
        B = np.linalg.solve(moments.HH + alpha * np.eye(len(moments.HH)), moments.HT)
        return Weights(B, len(B), 1.0)

    expected = {alpha: solve(sums(), alpha) for alpha in (0.5, 2.0)}
    monkeypatch.setattr("daskelm.ridge.solve.SOLVERS", {"lu": by_lu, **SOLVERS})
    for alpha, method in ((0.5, "cholesky"), (2.0, "lu")):
        solution = solve(sums(), alpha)
        assert solution.method == method
        np.testing.assert_allclose(solution.coef, expected[alpha].coef, rtol=1e-8)
    assert asked == [0.5, 2.0]

    monkeypatch.setattr("daskelm.ridge.solve.SOLVERS", {"lu": by_lu})
    with pytest.raises(LookupError, match="SOLVERS must end with a solver that never declines"):
        solve(sums(), 0.5)
