"""Right answers where it is easy to be wrong: large offsets, single precision, duplicated neurons."""

import numpy as np
import pytest
import reference
from small_table import RNG, X, Y

from daskelm import ELMRegressor, Neurons
from daskelm.exceptions import IllConditionedWarning


def test_a_target_around_1e9():
    shift = 1e9
    plain = ELMRegressor(50, alpha=1e-3, random_state=0).fit(X, Y)
    moved = ELMRegressor(50, alpha=1e-3, random_state=0).fit(X, Y + shift)
    # Y + 1e9 itself is rounded to 1e-7; the model adds nothing to that.
    np.testing.assert_allclose(moved.predict(X) - shift, plain.predict(X), atol=3e-7)
    np.testing.assert_allclose(moved.coef_, plain.coef_, atol=3e-5)


@pytest.mark.parametrize("alpha", [1e-3, 1.0, 100.0])
def test_a_fit_is_the_reference(alpha):
    W, b = reference.draw(X.shape[1], 30)
    H, T, weights = reference.hidden(X, W, b), Y[:, None], RNG.uniform(0.5, 2, len(X))
    B, intercept = reference.solve(*reference.sums(H, T, weights), alpha)
    model = ELMRegressor([Neurons("tanh", W, b)], alpha=alpha).fit(X, T, sample_weight=weights)
    np.testing.assert_allclose(model.coef_, B.T, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(model.predict(X), reference.predict(H, B, intercept), atol=1e-8)


def test_a_target_around_1e9_in_parts_that_differ():
    order = np.argsort(Y)
    steps = Y + 1e9 + 1e5 * (np.arange(400) > 200)
    model = ELMRegressor(50, alpha=1e-3, clip=False, random_state=0).initialize(X)
    for rows in np.array_split(order, 7):
        model.partial_fit(X[rows], steps[rows])
    H = model.transform(X).astype(np.longdouble)
    t = steps.astype(np.longdouble)
    h, t_mean = H - H.mean(axis=0), t.mean()
    A = (h.T @ h + np.longdouble(1e-3) * np.eye(50)).astype(np.longdouble)
    B = _solve_in_long_double(A, h.T @ (t - t_mean))
    expected = (h @ B + t_mean).astype(np.float64)
    np.testing.assert_allclose(model.predict(X), expected, atol=1e-3 * 1e5 * 1e-5)


def _solve_in_long_double(A, b):
    """Refined by residuals in long double, which NumPy's solver does not do."""
    x = np.zeros(len(b), np.longdouble)
    for _ in range(6):
        x = x + np.linalg.solve(A.astype(np.float64), (b - A @ x).astype(np.float64))
    return x


def test_a_column_of_epoch_seconds():
    seconds = 1_700_000_000 + 3600.0 * np.arange(400)
    hour = (seconds / 3600) % 24
    target = np.sin(hour / 24 * 2 * np.pi) + seconds * 1e-6
    around_zero = np.c_[X, (seconds - seconds.mean()) / seconds.std()]
    raw = np.c_[X, seconds]
    for dtype, tolerance in (("float64", 1e-6), ("float32", 2e-3)):
        a = ELMRegressor(60, alpha=1e-2, random_state=0, dtype=dtype).fit(around_zero, target).predict(around_zero)
        b = ELMRegressor(60, alpha=1e-2, random_state=0, dtype=dtype).fit(raw, target).predict(raw)
        np.testing.assert_allclose(b, a, atol=tolerance * np.ptp(target))


def test_float32_input_is_accumulated_in_float64():
    many = RNG.standard_normal((20_000, 4)).astype("f4")
    target = np.sin(2 * many[:, 0]) + 100
    single = ELMRegressor(50, alpha=1e-2, random_state=0).fit(many, target)
    double = ELMRegressor(50, alpha=1e-2, random_state=0).fit(many.astype("f8"), target)
    assert single.hidden_layer_.dtype == np.float32
    assert single.coef_.dtype == np.float64
    assert single.predict(many).dtype == np.float32
    assert double.predict(many).dtype == np.float64
    np.testing.assert_allclose(single.predict(many), double.predict(many), atol=2e-4)
    # Sums themselves are float64: the rounding of H alone does not grow with the number of rows.
    H = single.transform(many).astype(np.float64)
    np.testing.assert_allclose(single.normal_equations_.HH, H.T @ H, rtol=1e-12, atol=1e-9 * len(many))


def test_a_duplicated_neuron():
    W, b = RNG.standard_normal((4, 10)), RNG.standard_normal(10)
    twice = Neurons("tanh", np.c_[W, W[:, :1]], np.r_[b, b[:1]])
    with pytest.warns(IllConditionedWarning, match="rank 10 out of 11"):
        model = ELMRegressor(twice, alpha=0.0).fit(X, Y)
    assert model.rank_ == 10
    once = ELMRegressor(Neurons("tanh", W, b), alpha=0.0).fit(X, Y)
    np.testing.assert_allclose(model.predict(X), once.predict(X), atol=1e-9)
    assert once.rank_ == 10
    assert 1 < once.condition_number_ < 1e8
    # With a penalty nothing is singular; against float80 arithmetic.
    model = ELMRegressor(twice, alpha=1e-6).fit(X, Y)
    H = model.transform(X).astype(np.longdouble)
    h, t = H - H.mean(axis=0), Y - Y.mean()
    B = _solve_in_long_double(h.T @ h + np.longdouble(1e-6) * np.eye(11), h.T @ t)
    np.testing.assert_allclose(model.predict(X), (h @ B + Y.mean()).astype(float), atol=1e-8)


def test_condition_numbers_are_in_the_documented_norms():
    model = ELMRegressor(20, alpha="gcv", random_state=0).fit(X, Y)

    def exact(norm):
        A = model.normal_equations_.moments(centred=True).HH
        return np.linalg.cond(A + model.alpha_ * np.eye(len(A)), norm)

    assert model.condition_number_ == pytest.approx(exact(2), rel=1e-6)
    for call in (lambda: model.set_params(alpha=0.1).solve(), lambda: model.select(n_neurons=[5, 20])):
        call()
        # LAPACK's estimate is from below.
        assert exact(2) < model.condition_number_ <= 1.001 * exact(1)
        assert exact(2) < exact(1) < len(model.coef_[0]) * exact(2)
