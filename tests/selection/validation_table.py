"""A table of training and validation rows: numbers, labels, label sets and weights; and sums of some rows."""

import itertools

import numpy as np
import pytest
from unlinked import UnlinkedClassifier

from daskelm import ELMClassifierCV, ELMRegressor, ELMRegressorCV, Neurons
from daskelm.layer.sublayer import sublayer

N, M, D = 300, 120, 4
RNG = np.random.default_rng(0)
ALL = RNG.standard_normal((N + M, D))
OUTPUTS = np.stack([np.sin(2 * ALL[:, 0]) + ALL[:, 1] * ALL[:, 2], np.abs(ALL[:, 3])], axis=1)
OUTPUTS += 0.1 * RNG.standard_normal(OUTPUTS.shape)
WORDS = np.array(["a", "b", "c"])[np.digitize(OUTPUTS[:, 0], [-0.5, 0.5])]
SETS = (OUTPUTS > [0.2, 0.8]).astype(int)
COUNTS = RNG.choice([0.0, 0.5, 1.0, 3.0], N + M)
X, X_VAL = ALL[:N], ALL[N:]
Y, Y_VAL = OUTPUTS[:N], OUTPUTS[N:]
LABELS, LABELS_VAL = WORDS[:N], WORDS[N:]
WEIGHTS, WEIGHTS_VAL = COUNTS[:N], COUNTS[N:]
ALPHAS, SIZES = np.logspace(-3, 2, 4), [3, 24, 10]
NEURONS = [
    Neurons("tanh", RNG.standard_normal((D, 14)), RNG.standard_normal(14)),
    Neurons("lin", np.eye(D)[:, :3], np.zeros(3)),
    Neurons("sigm", RNG.standard_normal((D, 7)), RNG.standard_normal(7)),
]
FULL = ELMRegressor(NEURONS, standardize=False).initialize(X).hidden_layer_
GRID = {"alphas": ALPHAS, "n_neurons": SIZES}


def chosen(targets, **params):
    kind = ELMRegressorCV if targets.dtype == np.float64 else ELMClassifierCV
    return kind(NEURONS, **GRID | {"standardize": False} | params)


def plain(targets, **params):
    kind = ELMRegressor if targets.dtype == np.float64 else UnlinkedClassifier
    return kind(NEURONS, **{"standardize": False, "alpha": 1.0} | params)


def refitted(targets, y, y_val, score, weights=None, weights_val=None, **params):
    """The score on the validation rows of each candidate, fitted by itself."""
    found = []
    # Scores from sums are of outputs that are not limited to the range of the targets.
    params |= {"clip": False} if targets.dtype == np.float64 else {}
    for alpha, size in itertools.product(ALPHAS, SIZES):
        model = plain(targets, alpha=alpha, **params).set_params(neurons=list(sublayer(FULL, size)[0].groups))
        found.append(score(model.fit(X, y, weights), X_VAL, y_val, sample_weight=weights_val))
    return found


def assert_same_choice(model, other, atol=1e-8):
    keys = [key for key in other.cv_results_ if key.endswith("_test_score")]
    assert [key for key in model.cv_results_ if key.endswith("_test_score")] == keys
    for key in keys:
        np.testing.assert_allclose(model.cv_results_[key], other.cv_results_[key], rtol=0, atol=atol)
    for key in ("param_alpha", "param_n_neurons"):
        np.testing.assert_allclose(model.cv_results_[key], other.cv_results_[key], rtol=1e-12)
    assert model.best_score_ == pytest.approx(other.best_score_, abs=atol)
    assert model.n_neurons_ == other.n_neurons_
    assert model.alpha_ == pytest.approx(other.alpha_, rel=1e-12)
    assert model.hidden_layer_.fingerprint == other.hidden_layer_.fingerprint
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=0, atol=1e-7)


def summed(targets, rows, weights=None, **params):
    """A model with the layer of all rows and the sums of some."""
    everything = {"classes": np.unique(targets)} if targets.dtype.kind == "U" else {}
    model = plain(targets, **params).initialize(ALL, **everything)
    return model.accumulate(ALL[rows], targets[rows], sample_weight=None if weights is None else weights[rows])


def sums_of(targets, rows, weights=None, **params):
    return summed(targets, rows, weights, **params).normal_equations_
