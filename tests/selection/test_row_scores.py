"""Scores that add over rows are those of scikit-learn."""

import itertools
import warnings

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, get_scorer, log_loss

from daskelm.data.probabilities import probabilities
from daskelm.data.targets import ClassTargets, IndicatorTargets
from daskelm.selection.scores import row_score

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
