"""Choosing the penalty and the number of neurons: what refitting would give, from one pass over the rows or two."""

import itertools
import pickle
import warnings

import dask
import dask.array as da
import h5py
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import brier_score_loss, get_scorer, log_loss, mean_squared_error, r2_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneOut,
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from daskelm import (
    ELMClassifier,
    ELMClassifierCV,
    ELMRegressor,
    ELMRegressorCV,
    Neurons,
    from_hdf5,
    load,
    make_hdf5,
)
from daskelm.data.targets import ClassTargets, IndicatorTargets, RegressionTargets, probabilities
from daskelm.exceptions import (
    DataError,
    IllConditionedWarning,
    InsufficientMemoryError,
    NotSolvedError,
    ParameterError,
)
from daskelm.hdf5.reader import Hdf5Reader
from daskelm.layer.sublayer import nested_order, sublayer
from daskelm.plots.selection import GridScores
from daskelm.ridge.path import RidgePath, by_eigen, default_alphas
from daskelm.ridge.solve import solve
from daskelm.selection.folds import Folds, make_folds
from daskelm.selection.scores import row_score
from daskelm.sums.content import folds_of, row_hashes
from daskelm.sums.some_neurons import take_neurons

N, D = 300, 4
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D))
Y = np.stack([np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2], np.abs(X[:, 3])], axis=1) + 0.1 * RNG.standard_normal((N, 2))
LABELS = np.array(["a", "b", "c"])[np.digitize(Y[:, 0], [-0.5, 0.5])]
MANY = (Y > [0.2, 0.8]).astype(int)
WEIGHTS = RNG.choice([0.0, 0.5, 1.0, 3.0], N)
ALPHAS, SIZES = np.logspace(-3, 2, 4), [3, 24, 10]
NEURONS = [
    Neurons("tanh", RNG.standard_normal((D, 14)), RNG.standard_normal(14)),
    Neurons("lin", np.eye(D)[:, :3], np.zeros(3)),
    Neurons("sigm", RNG.standard_normal((D, 7)), RNG.standard_normal(7)),
]
FULL = ELMRegressor(NEURONS, standardize=False).initialize(X).hidden_layer_


def groups(size):
    """The `neurons` of a plain estimator with the first so many."""
    return list(sublayer(FULL, size)[0].groups)


def chosen(targets, **params):
    kind = ELMRegressorCV if np.asarray(targets).dtype == np.float64 else ELMClassifierCV
    return kind(NEURONS, **{"n_neurons": SIZES, "alphas": ALPHAS, "cv": 3, "standardize": False} | params)


def searched(targets, cv, scoring):
    # Scores from sums are of outputs that are not limited to the range of the targets.
    numbers = targets.dtype == np.float64
    plain = ELMRegressor(standardize=False, clip=False) if numbers else ELMClassifier(standardize=False)
    grid = {"alpha": ALPHAS, "neurons": [groups(size) for size in SIZES]}
    return GridSearchCV(plain, grid, cv=cv, scoring=scoring).fit(X, targets)


def assert_same_results(results, expected, atol=1e-8):
    keys = [key for key in expected if key.endswith("_test_score")]
    assert [key for key in results if key.endswith("_test_score")] == keys
    for key in keys:
        np.testing.assert_allclose(results[key], expected[key], rtol=0, atol=atol)


@parametrize_with_checks(
    [
        ELMRegressorCV(20),
        ELMRegressorCV(20, n_neurons=[5, 20], alphas=[0.1, 1.0], cv=2, scoring="neg_mean_absolute_error"),
        ELMClassifierCV(20),
        ELMClassifierCV(20, n_neurons=[5, 20], alphas=[0.1, 1.0], cv=KFold(2)),
        ELMRegressorCV(20, alphas=[0.1, 1.0], cv="loo", ranking="mrsr"),
        ELMClassifierCV(20, alphas=[0.1, 1.0], cv="loo", ranking="omp"),
    ]
)
def test_scikit_learn(monkeypatch, estimator, check):
    if "array_api" in str(check):
        monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    check(estimator)


# The scores are those of refitting


@pytest.mark.parametrize("targets", [Y, Y[:, 0]], ids=["two targets", "one"])
@pytest.mark.parametrize("scoring", [None, "neg_mean_squared_error", "neg_mean_absolute_error"])
@pytest.mark.parametrize("cv", [4, KFold(3, shuffle=True, random_state=0)], ids=["consecutive", "scattered"])
def test_regression_equals_grid_search(targets, scoring, cv):
    model, search = chosen(targets, cv=cv, scoring=scoring, clip=False).fit(X, targets), searched(targets, cv, scoring)
    assert_same_results(model.cv_results_, search.cv_results_)
    assert (model.cv_results_["rank_test_score"] == search.cv_results_["rank_test_score"]).all()
    assert model.best_score_ == pytest.approx(search.best_score_, abs=1e-8)
    assert model.alpha_ == search.best_params_["alpha"]
    assert model.n_neurons_ == sum(map(len, search.best_params_["neurons"]))
    np.testing.assert_allclose(model.predict(X), search.predict(X), atol=1e-8)
    np.testing.assert_allclose(model.coef_, search.best_estimator_.coef_, atol=1e-7)


@pytest.mark.parametrize("scoring", ["neg_root_mean_squared_error", "neg_mean_absolute_percentage_error"])
def test_more_scores_of_numbers(scoring):
    assert_same_results(
        chosen(Y, scoring=scoring).fit(X, Y).cv_results_, searched(Y, 3, scoring).cv_results_, atol=1e-7
    )


@pytest.mark.parametrize("scoring", ["accuracy", "f1_macro", "neg_log_loss", "neg_brier_score"])
@pytest.mark.parametrize("cv", [3, StratifiedKFold(3, shuffle=True, random_state=0)], ids=["int", "shuffled"])
def test_classification_equals_grid_search(scoring, cv):
    model, search = chosen(LABELS, cv=cv, scoring=scoring).fit(X, LABELS), searched(LABELS, cv, scoring)
    assert_same_results(model.cv_results_, search.cv_results_)
    assert (model.predict(X) == search.predict(X)).all()
    assert (model.classes_ == search.classes_).all()


def test_multi_label_equals_grid_search():
    for scoring in ("accuracy", "f1_macro"):
        model = chosen(MANY, scoring=scoring).fit(X, MANY)
        assert_same_results(model.cv_results_, searched(MANY, 3, scoring).cv_results_)


@pytest.mark.parametrize("scoring", ["r2", "neg_mean_absolute_error"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_weights_count_in_fit_and_score(scoring, fit_intercept):
    params = {"standardize": False, "fit_intercept": fit_intercept}
    model = chosen(Y, scoring=scoring, **params).fit(X, Y, WEIGHTS)
    score = get_scorer(scoring)
    for i, (train, test) in enumerate(KFold(3).split(X)):
        expected = [
            score(
                ELMRegressor(groups(size), alpha=alpha, clip=False, **params).fit(X[train], Y[train], WEIGHTS[train]),
                X[test],
                Y[test],
                sample_weight=WEIGHTS[test],
            )
            for alpha, size in itertools.product(ALPHAS, SIZES)
        ]
        np.testing.assert_allclose(model.cv_results_[f"split{i}_test_score"], expected, atol=1e-8)


def test_a_weight_of_two_is_the_row_twice():
    # In a fold of its own each row and its copy are together.
    twice = np.repeat(np.arange(N), 2)
    folds = np.arange(N) % 3
    one = chosen(Y, cv=PredefinedSplit(folds)).fit(X, Y, np.full(N, 2.0))
    two = chosen(Y, cv=PredefinedSplit(folds[twice])).fit(X[twice], Y[twice])
    assert_same_results(one.cv_results_, two.cv_results_)


def test_squared_errors_of_classes_are_those_of_the_outputs():
    model = chosen(LABELS, scoring="neg_mean_squared_error", cv=KFold(3)).fit(X, LABELS)
    T = (LABELS[:, None] == np.unique(LABELS)).astype(float)
    plain = chosen(T, scoring="neg_mean_squared_error").fit(X, T)
    assert_same_results(model.cv_results_, plain.cv_results_)


@pytest.mark.parametrize("targets", [LABELS, LABELS == "a", MANY], ids=["labels", "two classes", "label sets"])
@pytest.mark.parametrize("cv", [None, "gcv", "loo", 3, "validation"])
def test_classes_are_chosen_by_squared_errors_of_the_outputs(targets, cv):
    rows, params = (X, targets), {"cv": cv}
    if cv == "validation":
        rows, params = (X[:200], targets[:200], None, X[200:], targets[200:]), {"cv": None}
    by_default = chosen(targets, **params).fit(*rows)
    named = chosen(targets, scoring="neg_mean_squared_error", **params).fit(*rows)
    assert_same_results(by_default.cv_results_, named.cv_results_, atol=0)
    assert by_default.best_score_ < 0
    assert by_default.alpha_ == named.alpha_
    # The score of the estimator is that of its predictions.
    assert by_default.score(X, targets) == np.mean((by_default.predict(X) == targets).reshape(N, -1).all(axis=1))


def test_rows_of_no_test_part_are_in_all_training_parts():
    test_fold = np.full(N, -1)
    test_fold[40:90], test_fold[200:260:2] = 0, 1
    for scoring in ("r2", "neg_mean_absolute_error"):
        cv = PredefinedSplit(test_fold)
        assert_same_results(
            chosen(Y, cv=cv, scoring=scoring).fit(X, Y).cv_results_, searched(Y, cv, scoring).cv_results_
        )


def test_a_target_around_1e9():
    moved = chosen(Y).fit(X, Y + 1e9)
    assert_same_results(moved.cv_results_, chosen(Y).fit(X, Y).cv_results_, atol=1e-5)


def test_a_constant_target_and_a_fold_of_one_value():
    constant = np.c_[np.full(N, 0.1), Y[:, 0]]
    assert_same_results(
        chosen(constant).fit(X, constant).cv_results_,
        searched(constant, 3, None).cv_results_,
    )


@pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy"])
def test_float32_input(scoring):
    single = X.astype("f4")
    model = chosen(LABELS, scoring=scoring).fit(single, LABELS)
    assert model.hidden_layer_.dtype == np.float32
    grid = {"alpha": ALPHAS, "neurons": [groups(size) for size in SIZES]}
    # Probabilities are cut at the resolution of their type, which costs 16 here where double precision costs 36.
    search = GridSearchCV(ELMClassifier(standardize=False), grid, cv=3, scoring=scoring).fit(single, LABELS)
    assert_same_results(model.cv_results_, search.cv_results_, atol=1e-5)


# Folds by the content of the rows


def content_folds(T, n):
    hashes = row_hashes(X, T.astype(float))
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
        assert abs(np.log10(a.alpha_ / b.alpha_)) < 0.26 if kind is ELMRegressorCV else 1.1
        assert a.hidden_layer_.fingerprint == b.hidden_layer_.fingerprint
        assert a.score(X, targets) == pytest.approx(b.score(X, targets), abs=0.02)


def test_without_a_grid_large_layers_agree_to_the_steps_of_the_search():
    rng = np.random.default_rng(3)
    inputs = rng.standard_normal((3000, 3))
    y = np.sin(inputs[:, 0] * inputs[:, 1]) + inputs[:, 2] + 0.3 * rng.standard_normal(3000)
    a, b = (kind(300, random_state=0).fit(inputs, y) for kind in (ELMRegressorCV, ELMRegressor))
    # The plain estimator searches in half decades beyond 256 neurons.
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


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_few_rows_have_few_folds(n):
    folds = np.unique(content_folds(Y, 5)[:n])
    assert len(folds) > 1
    model = chosen(Y, cv=None).fit(X[:n], Y[:n])
    assert sum(key.startswith("split") for key in model.cv_results_) == len(folds)
    assert np.isfinite(model.cv_results_["mean_test_score"]).all()


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


# Generalised cross-validation


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


# The algorithms


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


# Scores that add over rows


PROBABILITIES = ("neg_log_loss", "neg_brier_score")
COUNTS = ("accuracy", "balanced_accuracy", "matthews_corrcoef") + tuple(
    f"{kind}_{average}"
    for kind in ("f1", "jaccard", "precision", "recall")
    for average in ("macro", "micro", "weighted")
)
OF_TWO = ("f1", "jaccard", "precision", "recall")


@pytest.mark.parametrize(
    ("scoring", "classes"),
    [
        *itertools.product((*COUNTS, *PROBABILITIES, *OF_TWO), ([0, 1], [1, 2])),
        *itertools.product((*COUNTS, *PROBABILITIES), ([3, 5, 8, 9],)),
    ],
)
def test_row_scores_are_those_of_scikit_learn(scoring, classes):
    rng, classes = np.random.default_rng(len(classes)), np.array(classes)
    n, models = 60, 3
    # Of four classes the last occurs nowhere and is not predicted.
    y = classes[rng.integers(min(len(classes), 3), size=n)]
    outputs = rng.standard_normal((n, models, 1 if len(classes) == 2 else len(classes))) * 0.4 + 0.4
    if len(classes) > 2:
        outputs[:, :, -1] = -5
    weights = rng.choice([0.5, 1.0, 2.0], n)
    score = row_score(scoring, ClassTargets(classes), np.float64)
    parts = [slice(0, 7), slice(7, n)]
    counts = sum(score.counts(outputs[rows], score.truth(y[rows]), weights[rows]) for rows in parts)
    for m in range(models):
        p = probabilities(outputs[:, m], False)
        with warnings.catch_warnings():
            # scikit-learn says that it takes 0 for 0 / 0.
            warnings.simplefilter("ignore")
            if scoring == "neg_log_loss":
                expected = -log_loss(y, p, sample_weight=weights, labels=classes)
            elif scoring == "neg_brier_score":
                two = len(classes) == 2
                of_two = {"y_proba": p[:, 1], "pos_label": classes[1]}
                expected = -brier_score_loss(
                    y, sample_weight=weights, **of_two if two else {"y_proba": p, "labels": classes}
                )
            else:
                scorer = get_scorer(scoring)
                expected = scorer._score_func(y, classes[np.argmax(p, axis=1)], sample_weight=weights, **scorer._kwargs)
        assert score.value(counts)[m] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", [name for name in COUNTS if name not in ("balanced_accuracy", "matthews_corrcoef")])
def test_row_scores_of_label_sets(name):
    rng = np.random.default_rng(0)
    y, outputs, weights = rng.integers(2, size=(50, 3)), rng.random((50, 2, 3)), rng.choice([1.0, 2.0], 50)
    score = row_score(name, IndicatorTargets(3), np.float64)
    counts = score.counts(outputs, score.truth(y), weights)
    scorer = get_scorer(name)
    for m in range(2):
        predicted = (outputs[:, m] > 0.5).astype(int)
        expected = scorer._score_func(y, predicted, sample_weight=weights, **scorer._kwargs)
        assert score.value(counts)[m] == pytest.approx(expected, abs=1e-12)


# One pass, or two


class Counted:
    """An array that counts how often each of its rows is read."""

    def __init__(self, data):
        self.data, self.shape, self.dtype, self.ndim = data, data.shape, data.dtype, data.ndim
        self.times = np.zeros(len(data), int)

    def __getitem__(self, rows):
        self.times[rows[0]] += 1
        return self.data[rows]


CASES = {
    "regression, folds by content": (Y, {"cv": None}, 1),
    "regression, gcv": (Y, {"cv": "gcv"}, 1),
    "regression, r2": (Y, {"cv": 3}, 1),
    "regression, shuffled": (Y, {"cv": KFold(3, shuffle=True, random_state=0)}, 1),
    "regression, absolute error": (Y, {"cv": 3, "scoring": "neg_mean_absolute_error"}, 2),
    "regression, one by one": (Y, {"cv": "loo"}, 2),
    "regression, ranked": (Y, {"cv": 3, "ranking": "omp"}, 1),
    "classification, folds by content": (LABELS, {"cv": None}, 1),
    "classification, gcv": (LABELS, {"cv": "gcv"}, 1),
    "classification, squared error": (LABELS, {"cv": 3}, 1),
    "classification, accuracy": (LABELS, {"cv": 3, "scoring": "accuracy"}, 2),
    "classification, one by one": (LABELS, {"cv": LeaveOneOut(), "ranking": "mrsr"}, 2),
}


@pytest.mark.parametrize("case", CASES)
def test_number_of_passes(no_client, case):
    targets, params, passes = CASES[case]
    source = Counted(X)
    model = chosen(targets, **params).fit(da.from_array(source, chunks=(70, D)), targets)
    assert set(source.times) == {passes}
    assert len(model.cv_results_["params"]) == 12


@pytest.mark.parametrize("case", CASES)
def test_number_of_passes_over_files(no_client, case, tmp_path, monkeypatch):
    targets, params, passes = CASES[case]
    path = make_hdf5(X, tmp_path / "X.h5")
    times = np.zeros(N, int)
    read = Hdf5Reader.read

    def counting(reader, start, stop):
        # By tasks, and not for the ledger, which knows the rows by a few of them.
        if stop - start > 60:
            first = reader._ranges[0][1]
            times[start + first : stop + first] += 1
        return read(reader, start, stop)

    monkeypatch.setattr(Hdf5Reader, "read", counting)
    with dask.config.set(scheduler="sync"):
        chosen(targets, **params).fit(path, targets)
    assert set(times) == {passes}


# Wherever and however the rows are cut


FOLDS = {
    "by content": {"cv": None},
    "gcv": {"cv": "gcv"},
    "consecutive": {"cv": 3},
    "scattered": {"cv": KFold(3, shuffle=True, random_state=1)},
    "some": {"cv": PredefinedSplit(np.r_[np.full(100, -1), np.arange(200) % 2])},
    "ranked": {"cv": 3, "ranking": "mrsr"},
    "one by one": {"cv": "loo", "ranking": "omp"},
}


@pytest.fixture(scope="module")
def expected():
    return {
        (fold, kind): chosen(targets, **params).fit(X, targets)
        for fold, params in FOLDS.items()
        for kind, targets in (("numbers", Y), ("labels", LABELS))
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for i, (a, b) in enumerate([(0, 1), (1, 130), (130, N)]):
        with h5py.File(folder / f"X{i}.h5", "w") as file:
            file.create_dataset("data", data=X[a:b], chunks=(min(37, b - a), D))
        make_hdf5(Y[a:b], folder / f"Y{i}.h5")
    return folder


@pytest.mark.parametrize("where", ["client", "one_worker", "threads", "sync"])
@pytest.mark.parametrize("fold", FOLDS)
def test_results_do_not_depend_on_chunks_or_workers(request, files, expected, fold, where, monkeypatch):
    if where in ("client", "one_worker"):
        request.getfixturevalue(where)
    else:
        monkeypatch.setattr("daskelm.passes.accumulate.rows_per_task", lambda *sizes: 40)
        monkeypatch.setattr("daskelm.passes.tasks._CHUNK_BYTES", 50 * 8 * (D + 2))
        for module in ("passes.accumulate", "selection.fold_sums"):
            monkeypatch.setattr(f"daskelm.{module}.block_rows", lambda *sizes: 17)
        monkeypatch.setattr("daskelm.selection.fold_sums._LEAST_ROWS", 5)
        monkeypatch.setattr("daskelm.selection.leave_one_out._OUTPUT_BYTES", 17 * 24 * 8)
    forms = [
        (str(files / "X*.h5"), str(files / "Y*.h5"), "numbers"),
        (da.from_array(X, chunks=(23, D)), da.from_array(LABELS, chunks=100), "labels"),
    ]
    with dask.config.set({} if where in ("client", "one_worker") else {"scheduler": where}):
        for inputs, outputs, kind in forms:
            like = expected[fold, kind]
            model = clone(like).fit(inputs, outputs)
            assert_same_results(model.cv_results_, like.cv_results_, atol=1e-9)
            assert (model.alpha_, model.n_neurons_) == (like.alpha_, like.n_neurons_)
            np.testing.assert_allclose(np.asarray(model.coef_), like.coef_, atol=1e-8)
            assert model.normal_equations_.n_samples == N


def test_the_sums_know_the_rows_of_files(files):
    model = chosen(Y, cv=KFold(3, shuffle=True, random_state=1)).fit(str(files / "X*.h5"), str(files / "Y*.h5"))
    plain = ELMRegressor(groups(model.n_neurons_), standardize=False, alpha=1.0)
    plain.fit(str(files / "X*.h5"), str(files / "Y*.h5"))
    assert model.normal_equations_.ledger == plain.normal_equations_.ledger
    left = plain.normal_equations_ - model.normal_equations_
    assert left.n_samples == left.ledger.n_rows == 0


def test_drawn_layers_of_any_form(files):
    model = ELMRegressorCV([(3, "lin"), (30, "tanh")], n_neurons=[5, 20], alphas=[0.1, 1], cv=3, random_state=0)
    a = clone(model).fit(X, Y)
    b = clone(model).fit(from_hdf5(str(files / "X*.h5")), from_hdf5(str(files / "Y*.h5")))
    assert_same_results(a.cv_results_, b.cv_results_, atol=1e-10)
    assert [len(group) for group in a.hidden_layer_.groups] == [3, 17]


def test_what_travels_can_be_pickled():
    from daskelm.passes.tasks import Job
    from daskelm.selection.criterion import Grid
    from daskelm.selection.fold_models import solve_grid
    from daskelm.selection.fold_sums import _FoldPass, accumulate_folds
    from daskelm.selection.scoring_pass import _ScorePass

    targets, folds = RegressionTargets(2, "float64"), make_folds(3, N, X, lambda: Y, stratified=False)
    sums = accumulate_folds(Job(FULL, targets, X, Y), folds)
    again = pickle.loads(pickle.dumps(sums))
    np.testing.assert_array_equal(again.total.packed, sums.total.packed)
    grid = Grid(ALPHAS, SIZES)
    models = solve_grid(sums.all, sums.parts, nested_order(FULL), grid, test_inside=True, keep=True)
    score = row_score("neg_mean_absolute_error", targets, np.float64)
    for work in (_FoldPass(folds, True), _ScorePass(folds, models, grid, score)):
        copy = pickle.loads(pickle.dumps(work))
        # The folds of all rows would travel to every worker.
        assert copy.folds is None
        part = work.part([(0, 50)])
        a, b = work.begin(FULL, targets, (), part), copy.begin(FULL, targets, (), part)
        for collector in (a, b):
            collector.add([(0, 50)], X[:50], Y[:50], None)
        a, b = a.result(), b.result()
        if work.name == "gram":
            a, b = a.total.packed, b.total.packed
        np.testing.assert_array_equal(a, b)


# Folds


@pytest.mark.parametrize(
    "cv",
    [
        2,
        5,
        KFold(7),
        KFold(3, shuffle=True, random_state=0),
        StratifiedKFold(4),
        ShuffleSplit(1, test_size=0.3, random_state=0),
        PredefinedSplit(np.arange(23) % 3 - 1),
        LeaveOneOut(),
        list(GroupKFold(3).split(X[:23], groups=np.arange(23) // 5)),
        [(np.arange(23) >= 5, np.arange(23) < 5)],
    ],
    ids=lambda cv: type(cv).__name__,
)
@pytest.mark.parametrize("stratified", [True, False])
def test_folds_are_those_of_scikit_learn(cv, stratified):
    labels = np.array([0, 1] * 11 + [1])
    expected = np.full(23, -1)
    splits = cv
    if isinstance(cv, int):
        splits = (StratifiedKFold if stratified else KFold)(cv)
    if hasattr(splits, "split"):
        splits = list(splits.split(np.zeros((23, 1)), labels))
    splits = list(splits)
    for i, (_, test) in enumerate(splits):
        expected[test] = i
    expected[expected < 0] = len(splits)
    # Splitters and ints as they are, splits as what can be gone through once.
    given = cv if isinstance(cv, int) or hasattr(cv, "split") else iter(splits)
    folds = make_folds(given, 23, None, lambda: labels, stratified=stratified)
    assert folds.n_folds == len(splits)
    assert folds.n_samples == 23
    for a, b in [(0, 23), (3, 4), (2, 19)]:
        assert (np.broadcast_to(folds.between(a, b), (b - a,)) == expected[a:b]).all()
    assert [part for a, b, part in folds.runs() for _ in range(a, b)] == expected.tolist()


def test_few_numbers_for_many_rows():
    folds = make_folds(4, 10**12, None, None, stratified=False)
    assert len(folds.parts) == 4
    assert folds.between(0, 10**11) == 0
    assert folds.in_long_runs(10**9)
    assert not Folds.of_rows(2, np.arange(100) % 2).in_long_runs(10)
    assert Folds.of_rows(2, np.arange(100) // 10 % 2).in_long_runs(10)


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (1, "must be at least 2 folds, None for folds by the content of the rows, 'gcv' or 'loo'; got 1"),
        (True, "must be None, 'gcv', 'loo', an int, a splitter of scikit-learn, or an iterable .* got True"),
        ("five", "must be None, 'gcv', 'loo', an int, a splitter .* got 'five'"),
        (KFold(N + 1), f"there must be a row for each of {N + 1} folds; got {N} samples"),
        (RepeatedKFold(n_splits=3, n_repeats=2, random_state=0), "test parts must be disjoint; got row .* in two"),
        ([(range(10, N), [0, 1, 1])], "test parts must be disjoint; got row 1 in two"),
        (TimeSeriesSplit(3), "a training part must be all rows that are not in its test part; got 75 and 75 of 300"),
        ([(np.arange(10, N), np.arange(5))], "a training part must be all rows .* use an int, KFold"),
        ([(np.arange(4, N), np.arange(5))], "a training part must be all rows"),
        (GroupKFold(3), r"GroupKFold cannot split these rows: .*give the splits themselves: cv=list\(splitter"),
        ([], "at least one split is needed; got none"),
        ([([], range(N))], "training and test part must each have a row; got an empty one in split 0"),
        ([(range(N), [])], "training and test part must each have a row"),
        ([(range(5, N), range(5), 3)], r"each split must be \(train, test\), two arrays of row numbers"),
        ([(range(5, N), [N])], rf"two arrays of row numbers; .*rows {N} to {N} of {N}"),
        ([(range(5, N), [0.5])], "two arrays of row numbers; .*float64"),
        ([(np.ones(3, bool), [0])], r"two arrays of row numbers; .*a mask of shape \(3,\) for 300 rows"),
    ],
)
def test_folds_that_cannot_be_used(cv, message):
    with pytest.raises(ValueError, match=f"^cv:? .*{message}"):
        chosen(Y, cv=cv).fit(X, Y)


def test_folds_that_say_nothing():
    with pytest.raises(DataError, match="r2 needs at least two rows in each test part; got 1 in split 0"):
        chosen(Y, cv=30).fit(X[:30], Y[:30])
    every = chosen(Y, cv=30, scoring="neg_mean_squared_error", n_neurons=[5]).fit(X[:30], Y[:30])
    assert every.cv_results_["split29_test_score"].shape == (4,)
    with pytest.raises(DataError, match="rows of positive weight; got none in the test part of split 0"):
        chosen(Y).fit(X, Y, (np.arange(N) >= 100).astype(float))
    with pytest.raises(DataError, match="rows of positive weight; got none in the training part of split 0"):
        chosen(Y).fit(X, Y, (np.arange(N) < 100).astype(float))


# Parameters


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"alphas": []}, "alphas must be finite numbers >= 0, at least one"),
        ({"alphas": [1.0, -1.0]}, "alpha must be a finite number >= 0.*got -1.0"),
        ({"alphas": ["gcv"]}, "alphas must be finite numbers"),
        ({"n_neurons": []}, "n_neurons must be ints from 1 to the 24 neurons"),
        ({"n_neurons": [5, 25]}, r"n_neurons must be ints from 1 to the 24 neurons.*got \[5, 25\]"),
        ({"n_neurons": [0]}, "n_neurons must be ints from 1"),
        ({"n_neurons": [2.5]}, "n_neurons must be ints from 1"),
        (
            {"scoring": "neg_median_absolute_error"},
            "scoring must be .* adds over rows, here one of 'r2', .* use GridSearchCV",
        ),
        ({"scoring": "accuracy"}, "scoring must be the name of a score"),
        ({"scoring": mean_squared_error}, "scoring must be the name of a score"),
        ({"scoring": "neg_mean_absolute_error", "cv": None}, "'neg_mean_absolute_error' needs the rows.* Set cv=5"),
        ({"scoring": "neg_mean_absolute_error", "cv": "gcv"}, "'neg_mean_absolute_error' needs the rows.* Set cv=5"),
    ],
)
def test_parameters_that_cannot_be_used(params, message):
    with pytest.raises(ParameterError, match=message):
        chosen(Y, **params).fit(X, Y)


@pytest.mark.parametrize(
    ("targets", "scoring", "message"),
    [
        (LABELS, "roc_auc", "'accuracy', 'f1_macro'.*got 'roc_auc'.*GridSearchCV over ELMClassifier"),
        (LABELS, "f1", "got 'f1'"),
        (LABELS == "a", "average_precision", "'f1', 'jaccard', 'precision', 'recall'; got"),
        (np.array(["no", "yes"])[(Y[:, 0] > 0).astype(int)], "f1", "class 1, which must be among .* Use 'f1_macro'"),
        (MANY, "neg_log_loss", "got 'neg_log_loss'"),
    ],
)
def test_scores_of_classes_that_cannot_be_used(targets, scoring, message):
    with pytest.raises(ParameterError, match=message):
        chosen(targets, scoring=scoring).fit(X, targets)


def test_one_number_is_a_grid():
    model = chosen(Y, alphas=1.0, n_neurons=10).fit(X, Y)
    assert (model.alpha_, model.n_neurons_) == (1.0, 10)
    assert model.cv_results_["params"] == [{"alpha": 1.0, "n_neurons": 10}]


def test_a_failed_fit_leaves_the_model_as_it_was():
    model = chosen(Y).fit(X, Y)
    before = model.predict(X)
    with pytest.raises(ParameterError, match="cv must be"):
        model.set_params(cv=1).fit(X, Y)
    np.testing.assert_array_equal(model.predict(X), before)


def test_class_weights_are_those_of_all_rows():
    model = chosen(LABELS, class_weight="balanced", scoring="accuracy").fit(X, LABELS)
    classes, counts = np.unique(LABELS, return_counts=True)
    weights = dict(zip(classes.tolist(), (N / 3 / counts).tolist(), strict=True))
    grid = {"alpha": ALPHAS, "neurons": [groups(size) for size in SIZES]}
    search = GridSearchCV(ELMClassifier(standardize=False, class_weight=weights), grid, cv=3).fit(X, LABELS)
    assert_same_results(model.cv_results_, search.cv_results_)


# The fitted model


@pytest.mark.parametrize("targets", [Y, LABELS, MANY], ids=["numbers", "labels", "label sets"])
@pytest.mark.parametrize("sums", [True, False])
def test_saved_and_loaded(tmp_path, targets, sums):
    model = chosen(targets, cv=KFold(3), n_neurons=np.array([4, 10])).fit(X, targets)
    model.save(tmp_path / "model.h5", sums=sums)
    again = load(tmp_path / "model.h5")
    assert type(again) is type(model)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert (again.alpha_, again.n_neurons_, again.best_score_) == (model.alpha_, model.n_neurons_, model.best_score_)
    assert again.hidden_layer_.n_neurons == model.n_neurons_ < FULL.n_neurons
    assert_same_results(again.cv_results_, model.cv_results_, atol=0)
    assert hasattr(again, "normal_equations_") == sums
    # A splitter is code.
    assert again.cv is None
    assert np.array_equal(again.n_neurons, [4, 10])
    again.save(tmp_path / "again.h5")
    assert load(tmp_path / "again.h5").best_score_ == model.best_score_


def test_saved_with_what_gcv_refused(tmp_path):
    few = chosen(Y, cv="gcv", alphas=[1e-10, 1.0], n_neurons=[5, 24], store_cv_results=True).fit(X[:20], Y[:20])
    few.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(
        load(tmp_path / "model.h5").cv_results_["mean_test_score"], few.cv_results_["mean_test_score"]
    )


def test_without_results(tmp_path):
    model = chosen(Y).fit(X, Y)
    assert hasattr(model, "cv_results_")
    model.set_params(store_cv_results=False).fit(X, Y)
    assert not hasattr(model, "cv_results_")
    model.save(tmp_path / "model.h5")
    again = load(tmp_path / "model.h5")
    assert again.best_score_ == model.best_score_
    assert not hasattr(again, "cv_results_")


def test_not_fitted_yet():
    for ask in (lambda m: m.predict(X), lambda m: m.coef_, lambda m: m.n_neurons_, lambda m: m.score(X, Y)):
        with pytest.raises(NotSolvedError, match="ELMRegressorCV instance is not fitted yet"):
            ask(chosen(Y))


def test_a_table_of_results():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = chosen(Y).fit(frame, Y)
    assert model.feature_names_in_.tolist() == list("abcd")
    table = pandas.DataFrame(model.cv_results_)
    best = table.sort_values("rank_test_score").iloc[0]
    assert (best["param_alpha"], best["param_n_neurons"]) == (model.alpha_, model.n_neurons_)
    assert best["mean_test_score"] == model.best_score_
    pickle.loads(pickle.dumps(model)).predict(frame)


def test_in_a_pipeline():
    model = make_pipeline(StandardScaler(), chosen(Y)).fit(X, Y)
    assert model.score(X, Y) == pytest.approx(r2_score(Y, model.predict(X)))


# Memory


def test_folds_that_do_not_fit_are_refused_with_how_many_would(monkeypatch):
    X_many = np.zeros((60, 2))
    W = Neurons("tanh", RNG.standard_normal((2, 400)), np.zeros(400))
    model = ELMRegressorCV(W, alphas=[1.0], cv=KFold(20, shuffle=True, random_state=0), standardize=False)
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 290 * 2**20)
    with pytest.raises(
        InsufficientMemoryError, match=r"20 folds and 1 gram task.* has 0.28 GiB. Use at most (\d+) folds"
    ) as error:
        model.fit(X_many, X_many[:, 0])
    fits = int(str(error.value).partition("at most ")[2].split()[0])
    assert 2 < fits < 20
    model.set_params(cv=KFold(fits, shuffle=True, random_state=0), scoring="neg_mean_squared_error")
    model.fit(X_many + RNG.standard_normal((60, 2)), X_many[:, 0])


def test_grids_that_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 300 * 2**20)
    alphas = np.logspace(-3, 3, 20_000)
    with pytest.raises(InsufficientMemoryError, match="20000 penalties and 3 numbers of 24 neurons on 3 folds"):
        chosen(LABELS, alphas=alphas, scoring="accuracy").fit(X, LABELS)
    monkeypatch.setattr("daskelm.selection.kfold.check_grid", lambda *sizes, **more: None)
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 310 * 2**20)
    with pytest.raises(
        InsufficientMemoryError, match="to score 2000 penalties .* Use a smaller grid, fewer neurons or"
    ):
        chosen(LABELS, alphas=alphas[:2000], scoring="accuracy").fit(X, LABELS)
