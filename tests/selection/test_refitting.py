"""The scores of a grid are those of refitting each candidate; scikit-learn's checks and pipelines."""

import itertools

import numpy as np
import pytest
from grid_table import ALPHAS, LABELS, MANY, SIZES, WEIGHTS, N, X, Y, assert_same_results, chosen, groups, searched
from sklearn.metrics import get_scorer, r2_score
from sklearn.model_selection import GridSearchCV, KFold, PredefinedSplit, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from unlinked import UnlinkedClassifier

from daskelm import ELMClassifier, ELMClassifierCV, ELMRegressor, ELMRegressorCV
from daskelm.exceptions import ParameterError


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
    search = GridSearchCV(UnlinkedClassifier(standardize=False), grid, cv=3, scoring=scoring).fit(single, LABELS)
    assert_same_results(model.cv_results_, search.cv_results_, atol=1e-5)


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


def test_in_a_pipeline():
    model = make_pipeline(StandardScaler(), chosen(Y)).fit(X, Y)
    assert model.score(X, Y) == pytest.approx(r2_score(Y, model.predict(X)))
