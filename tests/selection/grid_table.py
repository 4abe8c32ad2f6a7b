"""A table for grids of penalties and numbers of neurons: numbers, labels, label sets and weights."""

import numpy as np
from sklearn.model_selection import GridSearchCV
from unlinked import UnlinkedClassifier

from daskelm import ELMClassifierCV, ELMRegressor, ELMRegressorCV, Neurons
from daskelm.layer.sublayer import sublayer

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
    plain = ELMRegressor(standardize=False, clip=False) if numbers else UnlinkedClassifier(standardize=False)
    grid = {"alpha": ALPHAS, "neurons": [groups(size) for size in SIZES]}
    return GridSearchCV(plain, grid, cv=cv, scoring=scoring).fit(X, targets)


def assert_same_results(results, expected, atol=1e-8):
    keys = [key for key in expected if key.endswith("_test_score")]
    assert [key for key in results if key.endswith("_test_score")] == keys
    for key in keys:
        np.testing.assert_allclose(results[key], expected[key], rtol=0, atol=atol)
