"""Standard deviations of predictions: the formula, scikit-learn where it is the same model, every kind of input."""

import pickle

import dask
import dask.array as da
import numpy as np
import pytest
import sklearn
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, WhiteKernel
from sklearn.linear_model import BayesianRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from daskelm import ELMRegressor, ELMRegressorCV, Neurons, from_hdf5, load, make_hdf5, to_hdf5
from daskelm.exceptions import DataError, IllConditionedWarning, NotSolvedError, ParameterError
from daskelm.layer.layer import Layer
from daskelm.passes.predict import UncertainOutput
from daskelm.ridge.solve import solve
from daskelm.ridge.uncertainty import Uncertainty

RNG = np.random.default_rng(0)
X = RNG.standard_normal((150, 3))
Y = np.stack([np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 50, np.abs(X[:, 2])], axis=1) + RNG.normal(0, 0.2, (150, 2))
NEW = RNG.standard_normal((40, 3))
WEIGHTS = RNG.choice([0.0, 0.5, 1.0, 3.0], 150)


def dense(model, weights=None):
    """The formula, with all of H at once."""
    if np.ndim(model.alpha_):
        # Each target is a model of its own.
        each = [ELMRegressor(**model.get_params()).set_params(alpha=a) for a in model.alpha_]
        return np.column_stack([dense(one.fit(X, Y, weights), weights)[:, i] for i, one in enumerate(each)])
    H, h = model.transform(X).astype(float), model.transform(NEW).astype(float)
    w = np.ones(len(X)) if weights is None else weights
    n, centred = w.sum(), model.fit_intercept
    mean = w @ H / n if centred else np.zeros(H.shape[1])
    HH = (H - mean).T @ (w[:, None] * (H - mean))
    inverse = np.linalg.inv(HH + model.alpha_ * np.eye(len(HH)))
    dof = np.trace(HH @ inverse) + centred
    residuals = Y - (H @ model.coef_.T + model.intercept_)
    s2 = w @ np.square(residuals) / (n - dof)
    leverage = np.einsum("ij,jk,ik->i", h - mean, inverse, h - mean)
    return np.sqrt(np.outer(1 + centred / n + leverage, s2))


@pytest.mark.parametrize("alpha", [1e-3, 1.0, "gcv"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weights"])
def test_is_the_formula(alpha, fit_intercept, standardize, weights):
    model = ELMRegressor(
        [(3, "lin"), (12, "tanh"), (5, "relu")],
        alpha=alpha,
        fit_intercept=fit_intercept,
        standardize=standardize,
        random_state=0,
    ).fit(X, Y, weights)
    mean, std = model.predict(NEW, return_std=True)
    np.testing.assert_array_equal(mean, model.predict(NEW))
    np.testing.assert_allclose(std, dense(model, weights), rtol=1e-8)
    second = np.broadcast_to(model.alpha_, 2)[1]
    one = ELMRegressor(**model.get_params()).set_params(alpha=second).fit(X, Y[:, 1], weights)
    np.testing.assert_allclose(one.predict(NEW, return_std=True)[1], std[:, 1], rtol=1e-8)


def test_the_noise_is_found():
    many = RNG.uniform(-2, 2, (20_000, 1))
    target = np.sin(many[:, 0]) + RNG.normal(0, 0.3, 20_000)
    std = ELMRegressor(30, random_state=0).fit(many, target).predict(many, return_std=True)[1]
    np.testing.assert_allclose(std, 0.3, rtol=0.02)


def test_is_a_gaussian_process_with_a_linear_kernel():
    model = ELMRegressor(15, alpha=0.5, fit_intercept=False, random_state=0).fit(X, Y[:, 1])
    mean, std = model.predict(NEW, return_std=True)
    s2 = model._uncertainty().noise[0] ** 2
    kernel = ConstantKernel(s2 / 0.5, "fixed") * DotProduct(0.0, "fixed") + WhiteKernel(s2, "fixed")
    process = GaussianProcessRegressor(kernel, alpha=0, optimizer=None).fit(model.transform(X), Y[:, 1])
    expected = process.predict(model.transform(NEW), return_std=True)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(std, expected[1], rtol=1e-8)


def test_is_bayesian_ridge_at_its_fixed_point():
    H = ELMRegressor(15, fit_intercept=False, random_state=0).initialize(X)
    flat = {"alpha_1": 0, "alpha_2": 0, "lambda_1": 0, "lambda_2": 0}
    theirs = BayesianRidge(max_iter=10_000, tol=1e-13, fit_intercept=False, **flat).fit(H.transform(X), Y[:, 1])
    # There its noise is ours: MacKay's RSS / (n - dof).
    ours = ELMRegressor(15, alpha=theirs.lambda_ / theirs.alpha_, fit_intercept=False, random_state=0).fit(X, Y[:, 1])
    expected = theirs.predict(H.transform(NEW), return_std=True)
    for found, wanted in zip(ours.predict(NEW, return_std=True), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-9)


def test_in_kind_and_the_same_for_any_chunks(tmp_path):
    for y, shape in ((Y, (40, 2)), (Y[:, 0], (40,))):
        model = ELMRegressor(20, random_state=0).fit(X, y)
        expected = model.predict(NEW, return_std=True)
        assert all(isinstance(part, np.ndarray) and part.flags.c_contiguous for part in expected)
        path = make_hdf5(NEW, tmp_path / "new.h5")
        for lazy in (da.from_array(NEW, chunks=(7, 2)), da.from_array(NEW, chunks=40), path, from_hdf5(path, chunks=9)):
            found = model.predict(lazy, return_std=True)
            for part, wanted in zip(found, expected, strict=True):
                assert isinstance(part, da.Array)
                assert part.shape == wanted.shape == shape
                assert part.dtype == wanted.dtype == part.compute().dtype
                np.testing.assert_allclose(part.compute(), wanted, rtol=1e-12)
    to_hdf5(found[1], tmp_path / "std.h5")
    np.testing.assert_allclose(from_hdf5(tmp_path / "std.h5")[:, 0].compute(), expected[1], rtol=1e-12)


def test_follows_the_dtype_of_predictions():
    # Rounded rows are other rows, which may be in other folds.
    model = ELMRegressor(20, alpha=0.1, random_state=0).fit(X.astype("f4"), Y.astype("f4"))
    mean, std = model.predict(NEW.astype("f4"), return_std=True)
    assert mean.dtype == std.dtype == model.predict(NEW.astype("f4")).dtype == np.float32
    np.testing.assert_array_equal(mean, model.predict(NEW.astype("f4")))
    double = ELMRegressor(20, alpha=0.1, random_state=0).fit(X, Y)
    np.testing.assert_allclose(std, double.predict(NEW, return_std=True)[1], rtol=1e-3)


def test_one_hidden_layer_for_both(monkeypatch):
    rows = []
    outputs = Layer.__call__

    def counting(self, X, out=None):
        rows.append(len(X))
        return outputs(self, X, out)

    model = ELMRegressor(20, random_state=0).fit(X, Y)
    both = model.predict(da.from_array(NEW, chunks=10), return_std=True)
    monkeypatch.setattr(Layer, "__call__", counting)
    dask.compute(*both, scheduler="sync")
    assert rows == [10] * 4


def test_on_workers(client, tmp_path):
    model = ELMRegressor(20, random_state=0).fit(X, Y)
    both = model.predict(make_hdf5(NEW, tmp_path / "new.h5"), return_std=True)
    for found, expected in zip(dask.compute(*both), model.predict(NEW, return_std=True), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_where_the_solver_takes_eigenvectors_so_does_the_spread():
    W, b = RNG.standard_normal((3, 10)), RNG.standard_normal(10)
    with pytest.warns(IllConditionedWarning, match="rank 10 out of 11"):
        twice = ELMRegressor(Neurons("tanh", np.c_[W, W[:, :1]], np.r_[b, b[:1]]), alpha=0.0).fit(X, Y)
    once = ELMRegressor(Neurons("tanh", W, b), alpha=0.0).fit(X, Y)
    np.testing.assert_allclose(twice.predict(NEW, return_std=True)[1], once.predict(NEW, return_std=True)[1], rtol=1e-8)


def test_a_target_that_is_met_has_no_noise():
    model = ELMRegressor(5, alpha=1.0, random_state=0).fit(X, np.ones(150))
    np.testing.assert_array_equal(model.predict(NEW, return_std=True)[1], 0)


def test_after_choosing_penalty_and_size():
    chosen = ELMRegressorCV(40, n_neurons=[10, 40], cv=3, random_state=0).fit(X, Y)
    np.testing.assert_allclose(chosen.predict(NEW, return_std=True)[1], dense(chosen), rtol=1e-8)


def test_levels_off_where_inputs_are_clipped():
    model = ELMRegressor(20, random_state=0).fit(X, Y)
    far, farther = (model.predict([[10.0**k, 0, 0]], return_std=True)[1] for k in (3, 6))
    np.testing.assert_array_equal(far, farther)


def test_belongs_to_the_solution_at_hand():
    model = ELMRegressor(20, alpha=1e-3, random_state=0).fit(X, Y)
    before = model.predict(NEW, return_std=True)[1]
    assert model._uncertainty() is model._uncertainty()
    # Not solved with it yet.
    model.set_params(fit_intercept=False, alpha=10.0)
    np.testing.assert_array_equal(model.predict(NEW, return_std=True)[1], before)
    for change in (ELMRegressor.solve, lambda model: model.partial_fit(X, Y)):
        change(model)
        again = ELMRegressor(20, alpha=10.0, fit_intercept=False, random_state=0).initialize(X)
        again.solve(model.normal_equations_)
        np.testing.assert_array_equal(model.predict(NEW, return_std=True)[1], again.predict(NEW, return_std=True)[1])


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_kept_with_the_sums_and_made_anew(tmp_path, fit_intercept):
    model = ELMRegressor(20, fit_intercept=fit_intercept, random_state=0).fit(X, Y)
    size = len(pickle.dumps(model))
    mean, std = model.predict(NEW, return_std=True)
    assert "_uncertain" in vars(model)
    assert len(pickle.dumps(model)) == size
    # What files say of the solution is how it was made, whatever the parameters are now.
    model.set_params(fit_intercept=not fit_intercept).save(tmp_path / "m.h5", sums=True)
    for again in (pickle.loads(pickle.dumps(model)), load(tmp_path / "m.h5")):
        assert "_uncertain" not in vars(again)
        for found, expected in zip(again.predict(NEW, return_std=True), (mean, std), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_what_goes_to_workers_is_pickled():
    model = ELMRegressor(20, random_state=0).fit(X, Y)
    output = model._prediction("predict")
    weights = output.coef, output.intercept, model._uncertainty(), output.finish
    function = UncertainOutput(output.layer, (4,), output.dtype, *weights)
    again = pickle.loads(pickle.dumps(function))
    np.testing.assert_array_equal(again(NEW), function(NEW))
    assert (again.tail, again.dtype, again.width) == ((4,), np.float64, 22)


def test_in_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), ELMRegressor(20, random_state=0)).fit(X, Y)
    mean, std = pipeline.predict(NEW, return_std=True)
    assert mean.shape == std.shape
    with sklearn.config_context(enable_metadata_routing=True):
        model = ELMRegressor(20, random_state=0).set_predict_request(return_std=True)
        routed = make_pipeline(StandardScaler(), model).fit(X, Y).predict(NEW, return_std=True)
    np.testing.assert_array_equal(routed[1], std)


def test_errors(tmp_path):
    model = ELMRegressor(20, random_state=0)
    with pytest.raises(NotSolvedError, match="is not fitted yet"):
        model.predict(NEW, return_std=True)
    model.fit(X, Y)
    with pytest.raises(ParameterError, match=r"out: it takes one result, .* got .*p\.h5.*to_hdf5\(std, path\)"):
        model.predict(NEW, out=tmp_path / "p.h5", return_std=True)
    model.save(tmp_path / "m.h5")
    without = load(tmp_path / "m.h5")
    np.testing.assert_array_equal(without.predict(NEW), model.predict(NEW))
    with pytest.raises(NotSolvedError, match=r"was saved without its sums, .*save\(path, sums=True\)"):
        without.predict(NEW, return_std=True)


@pytest.mark.parametrize("n_rows", [10, 21])
@pytest.mark.filterwarnings("ignore::daskelm.exceptions.IllConditionedWarning")
def test_rows_must_tell_the_noise(n_rows):
    model = ELMRegressor(20, alpha=0.0, random_state=0).fit(X[:n_rows], Y[:n_rows])
    with pytest.raises(DataError, match=rf"sum to {n_rows} and {n_rows} degrees of freedom\. Use a larger alpha"):
        model.predict(NEW, return_std=True)
    model.set_params(alpha=1.0).solve().predict(NEW, return_std=True)
    weak = ELMRegressor(20, alpha=1e-3, random_state=0).fit(X, Y, np.full(150, 1e-2))
    moments = weak.normal_equations_.moments()
    with pytest.raises(DataError, match=r"weights sum to 1\.5 and"):
        Uncertainty.of(moments, solve(moments, 1e-3), np.zeros(1))
