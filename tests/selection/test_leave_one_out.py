"""Exact leave-one-out: what refitting without each row would give, from two passes over the rows."""

import itertools
import pickle
import warnings
from functools import cache

import dask.array as da
import numpy as np
import pytest
from sklearn import metrics
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import LeaveOneOut
from unlinked import UnlinkedClassifier

from daskelm import ELMClassifierCV, ELMRegressor, ELMRegressorCV, Neurons, load
from daskelm.blas import solve_triangular_rows
from daskelm.data.probabilities import probabilities
from daskelm.data.targets import RegressionTargets
from daskelm.exceptions import DataError, IllConditionedWarning, InsufficientMemoryError, ParameterError
from daskelm.layer.sublayer import nested_order, sublayer
from daskelm.ridge.leverage import CholeskyLeverage, EigenLeverage, factor_bytes, loo_factors
from daskelm.ridge.path import RidgePath, by_eigen, nested
from daskelm.selection.leave_one_out import LeftOut
from daskelm.selection.scores import row_score

N, D = 50, 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D))
Y = np.stack([np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 2, np.abs(X[:, 1])], axis=1) + 0.1 * RNG.standard_normal((N, 2))
LABELS = np.array(["a", "b", "c"])[np.digitize(Y[:, 0], [1.5, 2.5])]
MANY = (Y > [2.2, 0.8]).astype(int)
WEIGHTS = RNG.choice([0.0, 0.5, 1.0, 3.0], N)
ALPHAS, SIZES = [0.03, 1.0, 20.0], [2, 9, 5]
NEURONS = [
    Neurons("tanh", RNG.standard_normal((D, 5)), RNG.standard_normal(5)),
    Neurons("lin", np.eye(D)[:, :2], np.zeros(2)),
    Neurons("sigm", RNG.standard_normal((D, 2)), RNG.standard_normal(2)),
]
FULL = ELMRegressor(NEURONS, standardize=False).initialize(X).hidden_layer_
OF_CLASSES = {"a": 0.5, "b": 2.0, "c": 1.0}

both_ways = pytest.mark.parametrize("eigen", [False, True], ids=["cholesky", "eigen"])


def chosen(targets, **params):
    kind = ELMRegressorCV if np.asarray(targets).dtype == np.float64 else ELMClassifierCV
    return kind(NEURONS, **{"n_neurons": SIZES, "alphas": ALPHAS, "cv": "loo", "standardize": False} | params)


def left_out(targets, method, weights=None, alphas=ALPHAS, **params):
    """Outputs (n_alphas, n_sizes, N, ...) for each row of the plain estimator fitted without it."""
    kind = ELMRegressor if targets.dtype == np.float64 else UnlinkedClassifier
    # Scores are of outputs that are not limited to the range of the targets.
    params |= {"clip": False} if kind is ELMRegressor else {}
    found = []
    for alpha, size in itertools.product(alphas, SIZES):
        model = kind(list(sublayer(FULL, size)[0].groups), alpha=alpha, standardize=False, **params)
        for i in range(N):
            rest = np.arange(N) != i
            model.fit(X[rest], targets[rest], None if weights is None else weights[rest])
            found.append(getattr(model, method)(X[i : i + 1])[0])
    return np.array(found).reshape(len(alphas), len(SIZES), N, *np.shape(found[0]))


@cache
def of_numbers(weighted=False, fit_intercept=True):
    return left_out(Y, "predict", WEIGHTS if weighted else None, fit_intercept=fit_intercept)


def assert_same_scores(model, expected, atol=1e-8):
    np.testing.assert_allclose(model.cv_results_["mean_test_score"], np.ravel(expected), rtol=0, atol=atol)
    assert model.best_score_ == pytest.approx(np.max(expected), abs=atol)
    best = model.cv_results_["params"][int(np.argmax(expected))]
    assert (model.alpha_, model.n_neurons_) == (best["alpha"], best["n_neurons"])


# The scores are those of refitting


SCORES = {
    None: metrics.r2_score,
    "neg_mean_squared_error": lambda *of, **w: -metrics.mean_squared_error(*of, **w),
    "neg_root_mean_squared_error": lambda *of, **w: -metrics.root_mean_squared_error(*of, **w),
    "neg_mean_absolute_error": lambda *of, **w: -metrics.mean_absolute_error(*of, **w),
    "neg_mean_absolute_percentage_error": lambda *of, **w: -metrics.mean_absolute_percentage_error(*of, **w),
}


@both_ways
@pytest.mark.parametrize("scoring", SCORES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_regression_equals_refitting(monkeypatch, eigen, scoring, weighted, fit_intercept):
    monkeypatch.setattr("daskelm.selection.leave_one_out.by_eigen", lambda *sizes, **more: eigen)
    weights = WEIGHTS if weighted else None
    model = chosen(Y, scoring=scoring, fit_intercept=fit_intercept).fit(X, Y, weights)
    outputs = of_numbers(weighted, fit_intercept)
    expected = [[SCORES[scoring](Y, o, sample_weight=weights) for o in of_alpha] for of_alpha in outputs]
    assert_same_scores(model, expected, atol=1e-8 if "percentage" not in str(scoring) else 1e-6)
    assert not any(key.startswith("split") for key in model.cv_results_)


def test_one_target():
    expected = [[metrics.r2_score(Y[:, 0], o[:, 0]) for o in of_alpha] for of_alpha in of_numbers()]
    assert_same_scores(chosen(Y).fit(X, Y[:, 0]), expected)


@both_ways
@pytest.mark.parametrize("class_weight", [None, OF_CLASSES])
@pytest.mark.parametrize("weighted", [False, True])
def test_classification_equals_refitting(monkeypatch, eigen, class_weight, weighted):
    monkeypatch.setattr("daskelm.selection.leave_one_out.by_eigen", lambda *sizes, **more: eigen)
    weights = WEIGHTS if weighted else None
    p = left_out(LABELS, "predict_proba", weights, class_weight=class_weight)
    classes = np.unique(LABELS)
    counts = {"sample_weight": weights}
    of_probabilities = {
        "accuracy": lambda p: metrics.accuracy_score(LABELS, classes[p.argmax(axis=1)], **counts),
        "f1_macro": lambda p: metrics.f1_score(LABELS, classes[p.argmax(axis=1)], average="macro", **counts),
        "neg_log_loss": lambda p: -metrics.log_loss(LABELS, p, labels=classes, **counts),
        "neg_brier_score": lambda p: -metrics.brier_score_loss(LABELS, p, labels=classes, **counts),
    }
    for scoring, score in of_probabilities.items():
        model = chosen(LABELS, scoring=scoring, class_weight=class_weight).fit(X, LABELS, weights)
        assert_same_scores(model, [[score(q) for q in of_alpha] for of_alpha in p])


def test_squared_errors_of_classes_have_their_weights():
    of_rows = np.array([OF_CLASSES[label] for label in LABELS])
    T = (LABELS[:, None] == np.unique(LABELS)).astype(float)
    expected = [
        [-metrics.mean_squared_error(T, o, sample_weight=of_rows) for o in of_alpha]
        for of_alpha in left_out(T, "predict", of_rows)
    ]
    model = chosen(LABELS, scoring="neg_mean_squared_error", class_weight=OF_CLASSES).fit(X, LABELS)
    assert_same_scores(model, expected)


def test_a_class_of_no_weight_is_predicted_and_not_learned():
    nothing = OF_CLASSES | {"c": 0.0}
    p = left_out(LABELS, "predict_proba", class_weight=nothing)
    expected = [[np.mean(np.unique(LABELS)[q.argmax(axis=1)] == LABELS) for q in of_alpha] for of_alpha in p]
    model = chosen(LABELS, class_weight=nothing, scoring="accuracy").fit(X, LABELS)
    assert_same_scores(model, expected)


def test_multi_label_equals_refitting():
    predicted = left_out(MANY, "predict")
    expected = [[metrics.accuracy_score(MANY, p) for p in of_alpha] for of_alpha in predicted]
    assert_same_scores(chosen(MANY, scoring="accuracy").fit(X, MANY), expected)


def test_it_is_that_of_ridge_cv():
    for fit_intercept, targets in itertools.product((True, False), (Y, Y[:, 0])):
        H = FULL(X)
        ridge = RidgeCV(ALPHAS, store_cv_results=True, fit_intercept=fit_intercept).fit(H, targets)
        scoring = {"n_neurons": None, "fit_intercept": fit_intercept}
        mse = chosen(Y, scoring="neg_mean_squared_error", **scoring).fit(X, targets)
        expected = -ridge.cv_results_.reshape(N, -1, len(ALPHAS)).mean(axis=(0, 1))
        np.testing.assert_allclose(mse.cv_results_["mean_test_score"], expected, atol=1e-10)
        assert mse.alpha_ == ridge.alpha_
        ridge = RidgeCV(ALPHAS, scoring="r2", fit_intercept=fit_intercept).fit(H, targets)
        r2 = chosen(Y, **scoring).fit(X, targets)
        assert r2.best_score_ == pytest.approx(ridge.best_score_, abs=1e-10)
        np.testing.assert_allclose(r2.predict(X), ridge.predict(H), atol=1e-8)


@both_ways
def test_where_cholesky_is_not_safe_it_is_what_the_plain_solver_does(monkeypatch, eigen):
    monkeypatch.setattr("daskelm.selection.leave_one_out.by_eigen", lambda *sizes, **more: eigen)
    twice = [Neurons("tanh", NEURONS[0].W[:, [0, 1, 0, 2]], NEURONS[0].b[[0, 1, 0, 2]])]
    params = {"n_neurons": [2, 4], "alphas": [0.0, 1e-18, 0.1], "scoring": "neg_mean_squared_error"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IllConditionedWarning)
        model = chosen(Y, **params).set_params(neurons=twice).fit(X, Y)
    # Without the copy there is the same model, but of the copy in the penalty.
    once = [Neurons("tanh", NEURONS[0].W[:, :3], NEURONS[0].b[:3])]
    plain = chosen(Y, **params | {"n_neurons": [2, 3]}).set_params(neurons=once).fit(X, Y)
    a, b = (m.cv_results_["mean_test_score"].reshape(3, 2) for m in (model, plain))
    np.testing.assert_allclose(a[:2], b[:2], atol=1e-9)
    np.testing.assert_allclose(a[2, 0], b[2, 0], atol=1e-9)
    assert abs(a[2, 1] - b[2, 1]) > 1e-6


def test_a_target_around_1e9():
    moved, plain = chosen(Y).fit(X, Y + 1e9), chosen(Y).fit(X, Y)
    assert_same_scores(moved, plain.cv_results_["mean_test_score"], atol=1e-6)


def test_a_constant_target():
    constant = np.c_[np.full(N, 0.1), Y[:, 0]]
    of_one = chosen(Y).fit(X, Y[:, 0]).cv_results_["mean_test_score"]
    assert_same_scores(chosen(Y).fit(X, constant), (1 + of_one) / 2)


# Weights


def test_rows_of_no_weight_are_not_looked_at():
    strange, far = X.copy(), Y.copy()
    strange[WEIGHTS == 0], far[WEIGHTS == 0] = 1e200, -1e200
    like = chosen(Y).fit(X[WEIGHTS > 0], Y[WEIGHTS > 0], WEIGHTS[WEIGHTS > 0])
    assert_same_scores(chosen(Y).fit(strange, far, WEIGHTS), like.cv_results_["mean_test_score"], atol=1e-10)


def test_a_row_is_left_out_with_its_whole_weight():
    # A row of weight two is not the row twice, of which one copy would stay.
    one = chosen(Y).fit(X, Y, np.full(N, 2.0))
    two = chosen(Y).fit(np.repeat(X, 2, axis=0), np.repeat(Y, 2, axis=0))
    assert one.best_score_ < two.best_score_


# What says nothing


def without_row(i, alpha, neurons, X, Y):
    """Outputs for row i of models fitted without it, or of the mean where it has neurons of its own."""
    rest = np.arange(len(X)) != i
    h = ELMRegressor(neurons, standardize=False).initialize(X).hidden_layer_(X)
    h = h - h.mean(axis=0)
    leverage = h[i] @ np.linalg.solve(h.T @ h + alpha * np.eye(h.shape[1]), h[i]) + 1 / len(X)
    if leverage > 0.999:
        return Y[rest].mean(axis=0), True
    model = ELMRegressor(neurons, alpha=alpha, standardize=False, clip=False).fit(X[rest], Y[rest])
    return model.predict(X[i : i + 1]).reshape(Y[0].shape), False


def test_a_row_with_a_neuron_of_its_own_is_scored_by_the_mean_of_the_others(tmp_path):
    far = X.copy()
    # One neuron sees this row alone: without a penalty its leverage is 1, and with 1000 it is little.
    far[7] = 50
    spike = [Neurons("rbf_l2", np.c_[far[7], np.zeros(D)], [1e-2, 1e-1])]
    model = ELMRegressorCV(spike, alphas=[1e-9, 1000.0], cv="loo", standardize=False).fit(far, Y)
    expected, alone = [], []
    for alpha in (1e-9, 1000.0):
        outputs, own = zip(*(without_row(i, alpha, spike, far, Y) for i in range(N)), strict=True)
        expected.append(metrics.r2_score(Y, np.array(outputs)))
        alone.append(np.flatnonzero(own).tolist())
    assert alone == [[7], []]
    assert_same_scores(model, expected)
    model.save(tmp_path / "model.h5")
    again = load(tmp_path / "model.h5")
    np.testing.assert_array_equal(again.cv_results_["mean_test_score"], model.cv_results_["mean_test_score"])


@both_ways
def test_one_row_of_a_category_does_not_forbid_small_penalties(monkeypatch, eigen):
    monkeypatch.setattr("daskelm.selection.leave_one_out.by_eigen", lambda *sizes, **more: eigen)
    rng, n = np.random.default_rng(0), 1000
    inputs = rng.uniform(size=(2 * n, 2))
    y = np.sin(2 * inputs[:, 0]) * np.cos(inputs[:, 1])
    noisy, alphas = y[:n] + 1e-3 * rng.standard_normal(n), np.logspace(-8, 2, 11)
    errors = []
    for category in (np.zeros(2 * n), (np.arange(2 * n) == 7).astype(float)):
        table = np.c_[inputs, category] if category.any() else inputs
        model = ELMRegressorCV(100, alphas=alphas, cv="loo", random_state=0).fit(table[:n], noisy)
        assert np.isfinite(model.cv_results_["mean_test_score"]).all()
        errors.append(np.sqrt(np.mean(np.square(model.predict(table[n:]) - y[n:]))))
    assert errors[1] < 2 * errors[0]


@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss"])
def test_counts_of_a_row_with_a_neuron_of_its_own_are_those_of_the_mean(scoring):
    far = X.copy()
    far[7] = 50
    spike = [Neurons("rbf_l2", np.c_[far[7], np.zeros(D)], [1e-2, 1e-1])]
    classes, T = np.unique(LABELS), (LABELS[:, None] == np.unique(LABELS)).astype(float)
    outputs, alone = zip(*(without_row(i, 1e-9, spike, far, T) for i in range(N)), strict=True)
    assert np.flatnonzero(alone).tolist() == [7]
    p = probabilities(np.array(outputs), False)
    if scoring == "accuracy":
        expected = metrics.accuracy_score(LABELS, classes[p.argmax(axis=1)])
    else:
        expected = -metrics.log_loss(LABELS, p, labels=classes)
    model = ELMClassifierCV(spike, alphas=[1e-9], cv="loo", scoring=scoring, standardize=False).fit(far, LABELS)
    assert model.best_score_ == pytest.approx(expected, abs=1e-9)


def test_candidates_that_follow_more_than_half_of_the_rows_are_refused():
    # Five rows have a neuron each, and the others none.
    own = [Neurons("rbf_l2", X[:5].T, np.full(5, 1e4))]
    for n, refused in ((11, False), (9, True)):
        model = ELMRegressorCV(own, alphas=[1e-9, 100.0], cv="loo", standardize=False).fit(X[:n], Y[:n])
        assert np.isnan(model.cv_results_["mean_test_score"]).tolist() == [refused, False]
    assert model.alpha_ == 100
    with pytest.raises(
        DataError, match=r"follows it by more than 99.9%, .* follow more than half of 9 rows: .* larger alphas.*or cv=5"
    ):
        model.set_params(alphas=[1e-9]).fit(X[:9], Y[:9])
    # Rows without weight do not count.
    with pytest.raises(DataError, match="more than half of 9 rows"):
        model.fit(X, Y, (np.arange(N) < 9).astype(float))


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_as_many_neurons_as_rows_are_refused(fit_intercept):
    few = chosen(Y, alphas=[1e-9, 1.0], n_neurons=[2, 9], fit_intercept=fit_intercept).fit(X[:9], Y[:9])
    assert np.isnan(few.cv_results_["mean_test_score"]).tolist() == [False, True, False, False]


def test_one_row_is_not_enough():
    with pytest.raises(DataError, match="cv='loo' needs at least two rows of positive weight; got one sample"):
        chosen(Y).fit(X[:1], Y[:1])
    with pytest.raises(DataError, match="at least two rows of positive weight; got 5 samples of weight 0"):
        chosen(Y).fit(X[:5], Y[:5], da.zeros(5))
    with pytest.raises(DataError, match="at least two rows of positive weight; got one sample"):
        chosen(Y).fit(X[:5], Y[:5], np.eye(5)[2])


def test_scores_that_do_not_add_up_are_refused():
    with pytest.raises(ParameterError, match="scoring must be the name of a score .* got 'roc_auc'"):
        chosen(LABELS, scoring="roc_auc").fit(X, LABELS)


# The parameter


def test_the_splitter_is_the_word(tmp_path):
    model, like = chosen(Y, cv=LeaveOneOut()).fit(X, Y), chosen(Y).fit(X, Y)
    assert_same_scores(model, like.cv_results_["mean_test_score"], atol=0)
    assert isinstance(model.cv, LeaveOneOut)
    for i, saved in enumerate((model, like)):
        saved.save(tmp_path / f"{i}.h5")
        again = load(tmp_path / f"{i}.h5")
        assert again.cv == "loo"
        assert again.fit(X, Y).best_score_ == like.best_score_


def test_without_a_grid():
    model = ELMRegressorCV(20, cv="loo", random_state=0).fit(X, Y)
    assert len(model.cv_results_["params"]) > 30
    folds = ELMRegressorCV(20, cv=N, scoring="neg_mean_squared_error", random_state=0).fit(X, Y)
    model.set_params(scoring="neg_mean_squared_error").fit(X, Y)
    known = np.isfinite(model.cv_results_["mean_test_score"])
    np.testing.assert_allclose(
        model.cv_results_["mean_test_score"][known], folds.cv_results_["mean_test_score"][known], rtol=1e-5
    )


@pytest.mark.parametrize("chunk", [1, 7, 16, 50])
def test_blocks_do_not_matter(monkeypatch, chunk):
    cases = ((Y, None), (Y, "neg_mean_absolute_error"), (LABELS, "neg_log_loss"))
    expected = [
        chosen(targets, scoring=scoring).fit(X, targets, WEIGHTS).cv_results_["mean_test_score"]
        for targets, scoring in cases
    ]
    monkeypatch.setattr("daskelm.passes.accumulate.block_rows", lambda *sizes: chunk)
    monkeypatch.setattr("daskelm.selection.leave_one_out._OUTPUT_BYTES", 1)
    for (targets, scoring), scores in zip(cases, expected, strict=True):
        assert_same_scores(chosen(targets, scoring=scoring).fit(X, targets, WEIGHTS), scores, atol=1e-10)


# The algorithms


def test_rows_are_divided_by_a_triangle():
    U = np.asfortranarray(np.triu(RNG.random((6, 6))) + np.eye(6) + np.tril(np.full((6, 6), np.nan), -1))
    H = RNG.random((4, 6))
    V = H.copy()
    solve_triangular_rows(V, U)
    np.testing.assert_allclose(V @ np.triu(np.nan_to_num(U)), H, atol=1e-12)
    solve_triangular_rows(np.empty((0, 6)), U)
    with pytest.raises(TypeError, match="H must be a writable C-contiguous float64 array"):
        solve_triangular_rows(np.asfortranarray(H), U)
    with pytest.raises(TypeError, match=r"U must be a Fortran-contiguous float64 array of shape \(6, 6\)"):
        solve_triangular_rows(V, np.ascontiguousarray(U))


def path(alphas, eigen=False):
    sums = ELMRegressor(NEURONS, standardize=False, alpha=1.0).fit(X, Y).normal_equations_
    order = nested_order(FULL)
    moments = nested(sums.moments(), order)
    return moments, order, loo_factors(RidgePath(moments, SIZES, eigen=eigen), alphas)


@both_ways
def test_factors_serve_the_whole_grid(eigen):
    moments, order, factors = path(ALPHAS, eigen)
    assert {type(factor) for factor in factors} == {EigenLeverage if eigen else CholeskyLeverage}
    assert len(factors) == len(SIZES if eigen else ALPHAS)
    H = FULL(X)[:, order] - moments.mean_H
    seen = []
    for factor in factors:
        leverages, outputs = factor(H[:, : max(SIZES)])
        for i, place in enumerate(factor.candidates.tolist()):
            alpha, size = ALPHAS[place // len(SIZES)], SIZES[place % len(SIZES)]
            h = H[:, :size]
            hat = h @ np.linalg.solve(h.T @ h + alpha * np.eye(size), h.T)
            np.testing.assert_allclose(leverages[:, i], np.diag(hat), atol=1e-12)
            np.testing.assert_allclose(outputs[:, i], hat @ (Y - Y.mean(axis=0)), atol=1e-12)
            seen.append(place)
    assert sorted(seen) == list(range(len(ALPHAS) * len(SIZES)))
    assert sum(factor.nbytes for factor in factors) <= factor_bytes(SIZES, len(ALPHAS), 2, eigen=eigen)


def test_work_is_counted():
    # An eigen-decomposition is dear, and products with it are not.
    assert not by_eigen([1000], 15)
    assert by_eigen([1000], 15, n_rows=10**5)
    assert not by_eigen([1000], 2, n_rows=10**9)
    assert not by_eigen(range(100, 1001, 100), 7, n_rows=10**9)
    assert by_eigen(range(100, 1001, 100), 8, n_rows=10**9)


@both_ways
@pytest.mark.parametrize("score", [None, row_score("neg_mean_absolute_error", RegressionTargets(2, "f8"), "f8")])
def test_what_travels_can_be_pickled(eigen, score):
    moments, order, factors = path(ALPHAS, eigen)
    work = LeftOut(factors, moments, order, score)
    copy = pickle.loads(pickle.dumps(work))
    sums = []
    for each in (work, copy):
        collector = each.begin(FULL, RegressionTargets(2, "float64"), (), None)
        collector.add([(0, len(X))], X, Y, None)
        sums.append(collector.result())
    assert sums[0].shape == (9, (2 if score is None else 3) + 1)
    np.testing.assert_array_equal(*sums)
    assert each.begin(FULL, RegressionTargets(2, "float64"), (), None).result() == 0


def test_grids_that_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 2**19)
    alphas = np.logspace(-3, 3, 2000)
    with pytest.raises(
        InsufficientMemoryError, match=r"to leave out each row for 2000 penalties and 3 numbers of 9 neurons, and has"
    ):
        chosen(Y, alphas=alphas).fit(X, Y)
    monkeypatch.setattr("daskelm.selection.leave_one_out._check_memory", lambda *sizes: None)
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 300 * 2**20)
    with pytest.raises(InsufficientMemoryError, match="for 6000 pairs of a penalty and .* Use fewer alphas, fewer"):
        chosen(Y, alphas=alphas).fit(X, Y)
