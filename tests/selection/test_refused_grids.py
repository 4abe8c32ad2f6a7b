"""Grids and scores that cannot be used are refused."""

import numpy as np
import pytest
from grid_table import LABELS, MANY, X, Y, chosen
from sklearn.metrics import mean_squared_error

from daskelm.exceptions import InsufficientMemoryError, ParameterError


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
