"""Sums of other targets never add, in files or in memory, and are not solved by a model of others."""

import numpy as np
import pytest

from daskelm import ELMClassifier, ELMRegressor
from daskelm.exceptions import IncompatibleSumsError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 4))
Y = np.sin(X[:, 0]) + X[:, 1]


def regressor(**options):
    return ELMRegressor(20, random_state=0, **options)


def classifier(**options):
    return ELMClassifier(20, random_state=0, **options)


def test_sums_of_different_targets_never_add(tmp_path):
    sums = tmp_path / "s.h5"
    three = RNG.integers(0, 3, 300)
    model = classifier().initialize(X, classes=[0, 1, 2]).accumulate(X, three, into=sums)
    assert model.solve(sums).classes_.tolist() == [0, 1, 2]
    with pytest.raises(IncompatibleSumsError, match=r"targets classes \[0, 1, 2\] and classes \[1, 2, 3\]"):
        classifier().initialize(X, classes=[1, 2, 3]).accumulate(X, three + 1, into=sums)
    with pytest.raises(IncompatibleSumsError, match=r"targets classes \[0, 1, 2\] and numbers"):
        regressor().initialize(X).accumulate(X, np.eye(3)[three], into=sums)
    with pytest.raises(IncompatibleSumsError, match="their targets must be numbers; got classes"):
        regressor().initialize(X).solve(sums)
    with pytest.raises(IncompatibleSumsError, match="must be of this model's targets"):
        classifier().initialize(X, classes=[1, 2, 3]).solve(sums)
    model = classifier().partial_fit(X, three, classes=[0, 1, 2])
    with pytest.raises(IncompatibleSumsError, match="targets classes"):
        model.partial_fit(X, np.eye(3, dtype=int)[three])
    assert model.predict(X).shape == (300,)
