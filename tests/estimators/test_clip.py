"""Predictions stay within the range of the training targets, a tenth wider at each end."""

import dask.array as da
import numpy as np
import pytest

from daskelm import ELMRegressor, ELMRegressorCV, from_hdf5, load
from daskelm.exceptions import ParameterError

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (300, 1))
Y = np.column_stack([3 * X[:, 0] + 7, X[:, 0] ** 2])
FAR = np.array([[-4.0], [0.0], [4.0]])


@pytest.mark.parametrize("estimator", [ELMRegressor, ELMRegressorCV])
def test_predictions_stay_within_the_range(estimator, tmp_path):
    model = estimator([(1, "lin"), (5, "tanh")], random_state=0).fit(X, Y)
    low, high = Y.min(axis=0), Y.max(axis=0)
    margin = 0.1 * (high - low)
    found = model.predict(FAR)
    free = estimator([(1, "lin"), (5, "tanh")], random_state=0, clip=False).fit(X, Y).predict(FAR)
    np.testing.assert_allclose(found, np.clip(free, low - margin, high + margin))
    # A straight line does leave it.
    assert free[0, 0] < low[0] - 2
    assert found[0, 0] == low[0] - margin[0]
    # One row at a time, BLAS adds in another order.
    np.testing.assert_allclose(model.predict(da.from_array(FAR, chunks=1)).compute(), found, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(from_hdf5(model.predict(FAR, out=tmp_path / "p.h5")).compute(), found)
    np.testing.assert_array_equal(model.predict(FAR, return_std=True)[0], found)
    model.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(load(tmp_path / "model.h5").predict(FAR), found)
    # It is a parameter of predictions, not of the solution.
    np.testing.assert_allclose(model.set_params(clip=False).predict(FAR), free)


def test_the_range_is_that_of_all_rows_that_were_added():
    model = ELMRegressor(5, random_state=0).initialize(X)
    for start in range(0, 300, 100):
        model.partial_fit(X[start : start + 100], Y[start : start + 100])
    sums = model.normal_equations_
    np.testing.assert_array_equal([sums.least_T, sums.most_T], [Y.min(axis=0), Y.max(axis=0)])
    highest = int(np.argmax(Y[:, 0]))
    without = (
        sums
        - ELMRegressor(5, random_state=0)
        .initialize(X)
        .partial_fit(X[highest : highest + 1], Y[highest : highest + 1])
        .normal_equations_
    )
    # What is left after a subtraction may have any range within.
    np.testing.assert_array_equal(without.most_T, sums.most_T)


def test_rows_of_no_weight_have_no_part_in_it():
    weights = np.ones(300)
    weights[np.argmax(Y[:, 0])] = 0
    sums = ELMRegressor(5, random_state=0).fit(X, Y, weights).normal_equations_
    assert sums.most_T[0] == np.sort(Y[:, 0])[-2]


def test_it_is_a_bool():
    with pytest.raises(ParameterError, match="clip must be True or False"):
        ELMRegressor(5, clip="yes").fit(X, Y).predict(X)
