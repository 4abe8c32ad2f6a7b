"""Folds are those of scikit-learn; those that cannot be used, or do not fit, are refused."""

import numpy as np
import pytest
from grid_table import RNG, N, X, Y, chosen
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneOut,
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)

from daskelm import ELMRegressorCV, Neurons
from daskelm.exceptions import DataError, InsufficientMemoryError
from daskelm.selection.folds import Folds, make_folds


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
