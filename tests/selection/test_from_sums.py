"""Choosing from sums alone: by sums of other rows, of folds, or by GCV; what sums cannot answer is refused."""

import copy

import pytest
from sklearn.metrics import get_scorer
from sklearn.model_selection import KFold
from validation_table import (
    ALL,
    COUNTS,
    FULL,
    GRID,
    LABELS,
    LABELS_VAL,
    NEURONS,
    OUTPUTS,
    WEIGHTS,
    WEIGHTS_VAL,
    WORDS,
    X_VAL,
    Y_VAL,
    N,
    X,
    Y,
    assert_same_choice,
    chosen,
    plain,
    summed,
    sums_of,
)

from daskelm import ELMClassifier, ELMRegressor, NormalEquations, merge
from daskelm.exceptions import (
    DataError,
    FileMissingError,
    IncompatibleSumsError,
    InsufficientMemoryError,
    NotSolvedError,
    ParameterError,
    RowsCountedError,
)


def test_with_validation_it_is_that_of_the_rows():
    for weights in (None, COUNTS):
        for scoring in (None, "neg_mean_squared_error", "neg_root_mean_squared_error"):
            args = (X, Y, X_VAL, Y_VAL) if weights is None else (X, Y, WEIGHTS, X_VAL, Y_VAL, WEIGHTS_VAL)
            expected = chosen(Y, scoring=scoring)
            expected.fit(*args) if weights is not None else expected.fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
            model = summed(OUTPUTS, slice(0, N), weights)
            model.select(validation=sums_of(OUTPUTS, slice(N, None), weights), scoring=scoring, **GRID)
            assert_same_choice(model, expected)


def test_labels_with_validation_and_by_gcv():
    expected = chosen(LABELS, scoring="r2").fit(X, LABELS, X_val=X_VAL, y_val=LABELS_VAL)
    model = summed(WORDS, slice(0, N)).select(validation=sums_of(WORDS, slice(N, None)), **GRID)
    assert_same_choice(model, expected)
    assert (model.predict(X_VAL) == expected.predict(X_VAL)).all()
    by_gcv = summed(WORDS, slice(0, N)).select(cv="gcv", **GRID)
    assert_same_choice(by_gcv, chosen(LABELS, cv="gcv", scoring="r2").fit(X, LABELS))


@pytest.mark.parametrize("scoring", [None, "neg_mean_squared_error"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weights", [None, COUNTS], ids=["plain", "weighted"])
def test_files_as_folds_are_folds_of_rows(scoring, fit_intercept, weights):
    folds = [test for _, test in KFold(3).split(X)]
    parts = [sums_of(OUTPUTS, rows, weights) for rows in folds]
    model = plain(Y, fit_intercept=fit_intercept).initialize(ALL).select(parts, cv="files", scoring=scoring, **GRID)
    expected = chosen(Y, cv=3, scoring=scoring, fit_intercept=fit_intercept)
    assert_same_choice(model, expected.fit(X, Y, None if weights is None else WEIGHTS))
    assert list(model.cv_results_)[3:] == [
        "split0_test_score", "split1_test_score", "split2_test_score", "mean_test_score", "std_test_score",
        "rank_test_score",
    ]  # fmt: skip


@pytest.mark.parametrize("grid", [GRID, {}, {"n_neurons": 10}, {"alphas": 0.5}], ids=["both", "none", "size", "alpha"])
def test_without_either_it_is_the_folds_in_the_sums(grid):
    expected = chosen(Y, **{"alphas": None, "n_neurons": None} | grid).fit(X, Y)
    model = plain(Y, alpha="auto").fit(X, Y).select(**grid)
    assert_same_choice(model, expected)
    assert sum(key.startswith("split") for key in model.cv_results_) == 5
    assert len(model.normal_equations_.folds) == 5


@pytest.mark.parametrize("grid", [GRID, {}, {"n_neurons": 10}, {"alphas": 0.5}], ids=["both", "none", "size", "alpha"])
def test_sums_without_folds_are_scored_by_gcv(grid):
    expected = chosen(Y, cv="gcv", **{"alphas": None, "n_neurons": None} | grid).fit(X, Y)
    assert_same_choice(plain(Y, alpha="gcv").fit(X, Y).select(**grid), expected)
    assert_same_choice(plain(Y, alpha="auto").fit(X, Y).select(cv="gcv", **grid), expected)


def test_ranked_by_the_folds_in_the_sums():
    expected = chosen(Y, ranking="omp").fit(X, Y)
    assert_same_choice(plain(Y, alpha="auto").fit(X, Y).select(ranking="omp", **GRID), expected)


def test_without_a_grid_it_is_what_gcv_takes():
    model, expected = plain(Y).fit(X, Y).select(cv="gcv"), plain(Y, alpha="gcv", alpha_per_target=False).fit(X, Y)
    assert model.alpha_ == pytest.approx(expected.alpha_, rel=1e-12)


@pytest.mark.parametrize("how", ["list", "iterator", "glob", "merged"])
def test_sums_on_disk(files, how):
    model = plain(Y).initialize(str(files / "X_all.h5"))
    data = str(files / "X_all.h5"), str(files / "Y_all.h5")
    for i, (_, rows) in enumerate(KFold(4).split(ALL)):
        model.accumulate(*data, rows=slice(int(rows[0]), int(rows[-1]) + 1), into=files / f"sums-{i}.h5")
    names = [str(files / f"sums-{i}.h5") for i in range(4)]
    sums = {"list": names[:3], "iterator": names[:3], "glob": str(files / "sums-[012].h5")}.get(how)
    if how == "merged":
        merge(names[:3], into=files / "merged.h5")
        sums = files / "merged.h5"
    expected = chosen(Y).fit(ALL[:315], OUTPUTS[:315], X_val=ALL[315:], y_val=OUTPUTS[315:])
    given = iter(names[:3]) if how == "iterator" else sums
    assert_same_choice(copy.deepcopy(model).select(given, validation=iter(names[3:]), **GRID), expected)
    if how != "merged":
        folds = chosen(Y, cv=KFold(3)).fit(ALL[:315], OUTPUTS[:315])
        chosen_from = copy.deepcopy(model).select(sums, cv="files", **GRID)
        assert_same_choice(chosen_from, folds)
        # The sums that the model has know the rows.
        assert chosen_from.normal_equations_.ledger.n_rows == 315
        assert chosen_from.normal_equations_.ledger.n_unknown == 0


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        ({"cv": 3}, ParameterError, "cv must be None, 'gcv' .*, or 'files' .*; got 3. Other folds need the rows"),
        ({"cv": "file"}, ParameterError, "cv must be None, 'gcv' .*, or 'files' .*; got 'file'"),
        ({"cv": "files"}, ParameterError, "cv='files' needs at least two sums.*; got 1. Name several files"),
        ({"cv": "files", "validation": "none.h5"}, ParameterError, "cv must be None where validation is given"),
        ({"scoring": "accuracy"}, ParameterError, "scoring must be one of 'r2', .*; got 'accuracy'. Others need"),
        ({"scoring": get_scorer("r2")}, ParameterError, "scoring must be one of 'r2', "),
        ({"alphas": []}, ParameterError, "alphas must be finite numbers >= 0"),
        ({"n_neurons": [25]}, ParameterError, r"n_neurons must be ints from 1 to the 24 neurons .*; got \[25\]"),
        ({"sums": "none.h5"}, FileMissingError, "none.h5: no such file"),
        ({"sums": 3}, ParameterError, "sums must be NormalEquations, a file"),
        ({"sums": []}, ParameterError, "sums must be NormalEquations, a file"),
        ({"validation": []}, ParameterError, "sums must be NormalEquations, a file"),
    ],
)
def test_questions_that_sums_do_not_answer(ask, error, message):
    model = plain(Y).fit(X, Y)
    with pytest.raises(error, match=message):
        model.select(**ask)


def test_sums_that_do_not_fit_together(files):
    model = plain(Y).fit(X, Y)
    of_one = sums_of(OUTPUTS[:, 0], slice(N, None))
    nothing = NormalEquations.zero(FULL.fingerprint, 24, 2)
    with pytest.raises(IncompatibleSumsError, match="validation: its n_targets must be those of sums, 2; got 1"):
        model.select(validation=of_one)
    with pytest.raises(IncompatibleSumsError, match="validation: their targets must be numbers; got classes"):
        model.select(validation=sums_of(WORDS, slice(N, None)))
    with pytest.raises(IncompatibleSumsError, match="cannot add: n_targets"):
        model.select([model.normal_equations_, of_one], cv="files")
    with pytest.raises(DataError, match="validation: there must be rows of positive weight; got 0 rows"):
        model.select(validation=nothing)
    with pytest.raises(DataError, match="validation: r2 needs at least two rows; got 1"):
        model.select(validation=sums_of(OUTPUTS, slice(N, N + 1)))
    model.select(validation=sums_of(OUTPUTS, slice(N, N + 1)), scoring="neg_mean_squared_error")
    with pytest.raises(DataError, match="sums: they must hold rows of positive weight; got 0 rows"):
        model.select(nothing)
    for few, n in ((nothing, 0), (sums_of(OUTPUTS, slice(0, 1)), 1)):
        few.save(files / "few.h5")
        with pytest.raises(
            DataError, match=f"cv='files': each fold must hold .* at least 2 for r2; got {n} of .*few.h5"
        ):
            model.select([model.normal_equations_, files / "few.h5"], cv="files")
    weighted = ELMClassifier(NEURONS, standardize=False, class_weight={"a": 2.0}, alpha=1.0).fit(X_VAL, LABELS_VAL)
    with pytest.raises(IncompatibleSumsError, match="validation: its targets must be those of sums, classes"):
        plain(LABELS).fit(X, LABELS).select(validation=weighted.normal_equations_)


def test_rows_that_are_counted_twice(files):
    model = plain(Y).initialize(str(files / "X_all.h5"))
    data = str(files / "X_all.h5"), str(files / "Y_all.h5")
    for name, rows in {"a": slice(0, 200), "b": slice(190, 300), "c": slice(300, 420)}.items():
        model.accumulate(*data, rows=rows, into=files / f"{name}.h5")
    a, b, c = (files / f"{name}.h5" for name in "abc")
    with pytest.raises(RowsCountedError, match="validation: its rows must be others .* rows 190 to 199 of .*X_all.h5"):
        model.select(a, validation=b)
    with pytest.raises(RowsCountedError, match="rows 190 to 199"):
        model.select([a, b], cv="files")
    with pytest.raises(RowsCountedError, match="sums: every file must be named once"):
        model.select([a, a], cv="files")
    # Rows from memory cannot be known again, but files can.
    model.accumulate(X, Y, into=files / "memory.h5")
    with pytest.raises(RowsCountedError, match="validation: its files must be others than those of sums; got .*memory"):
        model.select(files / "memory.h5", validation=[c, str(files / "memory.h5")])


def test_not_yet():
    with pytest.raises(NotSolvedError, match="ELMRegressor instance is not fitted yet: select needs the hidden layer"):
        ELMRegressor().select()
    with pytest.raises(NotSolvedError, match="nothing was added since its layer was drawn, and select needs sums"):
        plain(Y).initialize(X).select()
    with pytest.raises(NotSolvedError, match="the classes are not known"):
        plain(LABELS).initialize(X).select(sums_of(WORDS, slice(0, N)))
    with pytest.raises(ParameterError, match="neurons: select needs the value that the hidden layer"):
        plain(Y).fit(X, Y).set_params(neurons=5).select()


def test_folds_that_do_not_fit_are_refused(monkeypatch):
    parts = [sums_of(OUTPUTS, rows) for rows in (slice(0, 100), slice(100, 300))]
    model = plain(Y).initialize(X)
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 2**14)
    with pytest.raises(InsufficientMemoryError, match="4 penalties and 3 numbers of 24 neurons on 2 folds"):
        model.select(parts, cv="files", **GRID)
    with pytest.raises(InsufficientMemoryError, match="4 penalties and 3 numbers of 24 neurons, and has"):
        model.select(parts[0], validation=parts[1], **GRID)
