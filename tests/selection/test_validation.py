"""Choosing on rows of their own, and from sums alone: the scores of fitting each candidate and scoring it there."""

import copy
import itertools
import pickle

import dask
import dask.array as da
import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.metrics import get_scorer
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from daskelm import (
    ELMClassifier,
    ELMClassifierCV,
    ELMRegressor,
    ELMRegressorCV,
    Neurons,
    NormalEquations,
    from_hdf5,
    load,
    make_hdf5,
    merge,
)
from daskelm.data.targets import RegressionTargets
from daskelm.exceptions import (
    DataError,
    FileMissingError,
    IncompatibleSumsError,
    InputTypeError,
    InsufficientMemoryError,
    NotSolvedError,
    ParameterError,
    RowsCountedError,
)
from daskelm.hdf5.rows import Hdf5Reader
from daskelm.layer.sublayer import nested_order, sublayer
from daskelm.passes.memory import Need
from daskelm.selection.criterion import Grid
from daskelm.selection.fold_models import solve_grid
from daskelm.selection.folds import Folds
from daskelm.selection.scores import row_score
from daskelm.selection.scoring_pass import _ScorePass

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
    kind = ELMRegressor if targets.dtype == np.float64 else ELMClassifier
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


# Validation rows


@pytest.mark.parametrize(
    "scoring", [None, "neg_mean_squared_error", "neg_root_mean_squared_error", "neg_mean_absolute_error"]
)
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_scores_of_numbers_are_those_of_each_candidate(scoring, weighted, fit_intercept):
    weights = (WEIGHTS, WEIGHTS_VAL) if weighted else (None, None)
    model = chosen(Y, scoring=scoring, fit_intercept=fit_intercept)
    model.fit(X, Y, weights[0], X_val=X_VAL, y_val=Y_VAL, sample_weight_val=weights[1])
    expected = refitted(Y, Y, Y_VAL, get_scorer(scoring or "r2"), *weights, fit_intercept=fit_intercept)
    results = model.cv_results_
    np.testing.assert_allclose(results["mean_test_score"], expected, rtol=0, atol=1e-8)
    assert sorted(key for key in results if "test_score" in key) == ["mean_test_score", "rank_test_score"]
    best = int(np.argmax(expected))
    assert results["rank_test_score"][best] == 1
    assert (model.alpha_, model.n_neurons_) == (ALPHAS[best // 3], SIZES[best % 3])
    # The model is fitted to X alone.
    again = plain(Y, alpha=model.alpha_, fit_intercept=fit_intercept)
    again.set_params(neurons=list(sublayer(FULL, model.n_neurons_)[0].groups)).fit(X, Y, weights[0])
    np.testing.assert_allclose(model.coef_, again.coef_, rtol=0, atol=1e-8)
    assert model.normal_equations_.n_samples == N


@pytest.mark.parametrize("scoring", ["accuracy", "f1_macro", "neg_log_loss", "balanced_accuracy"])
def test_scores_of_labels_are_those_of_each_candidate(scoring):
    model = chosen(LABELS, scoring=scoring)
    model.fit(X, LABELS, WEIGHTS, X_val=X_VAL, y_val=LABELS_VAL, sample_weight_val=WEIGHTS_VAL)
    expected = refitted(LABELS, LABELS, LABELS_VAL, get_scorer(scoring), WEIGHTS, WEIGHTS_VAL)
    np.testing.assert_allclose(model.cv_results_["mean_test_score"], expected, rtol=0, atol=1e-8)


def test_squared_errors_of_labels_are_those_of_the_outputs():
    T, T_val = ((labels[:, None] == np.unique(WORDS)).astype(float) for labels in (LABELS, LABELS_VAL))
    of_labels = chosen(LABELS, scoring="r2").fit(X, LABELS, X_val=X_VAL, y_val=LABELS_VAL)
    assert_same_choice(of_labels, chosen(T).fit(X, T, X_val=X_VAL, y_val=T_val))


def test_label_sets():
    model = chosen(SETS, scoring="f1_macro").fit(X, SETS[:N], X_val=X_VAL, y_val=SETS[N:])
    expected = refitted(SETS, SETS[:N], SETS[N:], get_scorer("f1_macro"))
    np.testing.assert_allclose(model.cv_results_["mean_test_score"], expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss", "neg_mean_squared_error"])
def test_labels_may_be_missing_among_validation_rows(scoring):
    few = LABELS_VAL != "b"
    model = chosen(LABELS, scoring=scoring).fit(X, LABELS, X_val=X_VAL[few], y_val=LABELS_VAL[few])
    weighted = chosen(LABELS, scoring=scoring)
    weighted.fit(X, LABELS, X_val=X_VAL, y_val=LABELS_VAL, sample_weight_val=few.astype(float))
    assert_same_choice(model, weighted)
    assert model.classes_.tolist() == ["a", "b", "c"]


def test_a_grid_of_its_own_and_drawn_neurons():
    params = {"n_neurons": [5, 20], "random_state": 0}
    model = ELMRegressorCV([(2, "lin"), (18, "tanh")], **params).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    # The scale of the inputs, and so the layer, is that of X alone.
    other = ELMRegressorCV([(2, "lin"), (18, "tanh")], cv="gcv", **params).fit(X, Y)
    np.testing.assert_array_equal(model.cv_results_["param_alpha"], other.cv_results_["param_alpha"])
    best = plain(Y, alpha=model.alpha_, standardize=True, random_state=0)
    best.set_params(neurons=[(2, "lin"), (model.n_neurons_ - 2, "tanh")], clip=False).fit(X, Y)
    assert model.best_score_ == pytest.approx(best.score(X_VAL, Y_VAL), abs=1e-8)


# From anything, in as many passes as it says


@pytest.fixture
def files(tmp_path):
    """Paths of the training and the validation rows, and of all of them in one file."""
    for name, rows in {"": slice(0, N), "_val": slice(N, None), "_all": slice(None)}.items():
        make_hdf5(ALL[rows], tmp_path / f"X{name}.h5")
        make_hdf5(OUTPUTS[rows], tmp_path / f"Y{name}.h5")
        make_hdf5(COUNTS[rows], tmp_path / f"W{name}.h5")
    return tmp_path


def of_kind(kind, folder, name, data):
    if kind == "numpy":
        return data
    if kind == "dask":
        return da.from_array(data, chunks=(37,) + data.shape[1:])
    if kind == "frame":
        pandas = pytest.importorskip("pandas")
        return pandas.DataFrame(data, columns=list("abcd")[: data.shape[1]]) if data.ndim == 2 else data
    return str(folder / f"{name}.h5")


@pytest.mark.parametrize("scoring", ["r2", "neg_mean_absolute_error"])
@pytest.mark.parametrize("where", ["client", "sync"])
@pytest.mark.parametrize(
    ("train", "test"), [("dask", "dask"), ("hdf5", "hdf5"), ("numpy", "hdf5"), ("hdf5", "numpy"), ("frame", "frame")]
)
def test_scores_do_not_depend_on_where_rows_are(request, files, scoring, where, train, test):
    expected = chosen(Y, scoring=scoring).fit(X, Y, WEIGHTS, X_VAL, Y_VAL, WEIGHTS_VAL)
    if where == "client":
        request.getfixturevalue("client")
    inputs = [of_kind(train, files, name, data) for name, data in (("X", X), ("Y", Y), ("W", WEIGHTS))]
    others = [
        of_kind(test, files, name, data) for name, data in (("X_val", X_VAL), ("Y_val", Y_VAL), ("W_val", WEIGHTS_VAL))
    ]
    with dask.config.set({} if where == "client" else {"scheduler": "sync"}):
        assert_same_choice(chosen(Y, scoring=scoring).fit(*inputs, *others), expected)


class Counted:
    """An array that counts how often each of its rows is read."""

    def __init__(self, data):
        self.data, self.shape, self.dtype, self.ndim = data, data.shape, data.dtype, data.ndim
        self.times = np.zeros(len(data), int)

    def __getitem__(self, rows):
        self.times[rows[0]] += 1
        return self.data[rows]


SCORINGS = [(Y, Y_VAL, "r2"), (Y, Y_VAL, "neg_mean_absolute_error"), (LABELS, LABELS_VAL, "accuracy")]


@pytest.mark.parametrize(("y", "y_val", "scoring"), SCORINGS)
def test_one_pass_over_each(no_client, y, y_val, scoring):
    sources = [Counted(X), Counted(X_VAL)]
    inputs = [da.from_array(source, chunks=(70, D)) for source in sources]
    chosen(y, scoring=scoring).fit(inputs[0], y, X_val=inputs[1], y_val=y_val)
    assert [set(source.times) for source in sources] == [{1}, {1}]


@pytest.mark.parametrize(("y", "y_val", "scoring"), SCORINGS)
def test_one_pass_over_each_file(no_client, files, monkeypatch, y, y_val, scoring):
    times = {}
    read = Hdf5Reader.read

    def counting(reader, start, stop):
        # By tasks, and not for the ledger, which knows the rows by a few of them.
        if stop - start > 60:
            [name] = {part.path for part, _, _ in reader._ranges}
            first = reader._ranges[0][1]
            times.setdefault(name, np.zeros(N, int))[start + first : stop + first] += 1
        return read(reader, start, stop)

    monkeypatch.setattr(Hdf5Reader, "read", counting)
    paths = str(files / "X.h5"), str(files / "X_val.h5")
    with dask.config.set(scheduler="sync"):
        chosen(y, scoring=scoring).fit(paths[0], y, X_val=paths[1], y_val=y_val)
    assert {name: set(counts[:M]) for name, counts in times.items()} == {path: {1} for path in paths}


@pytest.mark.parametrize("scoring", ["r2", "neg_mean_absolute_error"])
def test_parts_of_one_file(files, scoring):
    def part(name, rows):
        return from_hdf5(str(files / f"{name}_all.h5"), rows=rows)

    def fit(rows, rows_val):
        model = chosen(Y, scoring=scoring)
        val = {"X_val": part("X", rows_val), "y_val": part("Y", rows_val)}
        return model.fit(part("X", rows), part("Y", rows), **val)

    assert_same_choice(fit(slice(0, N), slice(N, None)), chosen(Y, scoring=scoring).fit(X, Y, X_val=X_VAL, y_val=Y_VAL))
    with pytest.raises(RowsCountedError, match="rows 290 to 299 of .*X_all.h5 are in X and in X_val.*give other ones"):
        fit(slice(0, N), slice(290, None))
    # Another path is another name for the same rows.
    make_hdf5(ALL, files / "copy.h5")
    with pytest.raises(RowsCountedError, match="rows 0 to 299 of .*copy.h5.* are in X and in X_val"):
        chosen(Y, scoring=scoring).fit(
            part("X", slice(0, N)), part("Y", slice(0, N)), X_val=str(files / "copy.h5"), y_val=str(files / "Y_all.h5")
        )


def test_what_travels_can_be_pickled():
    model = plain(Y).fit(X, Y)
    test = plain(Y).fit(X_VAL, Y_VAL).normal_equations_
    args, how = (nested_order(FULL), Grid(ALPHAS, SIZES)), {"test_inside": False, "keep": True}
    models = solve_grid(model.normal_equations_, {0: test}, *args, **how)
    again = pickle.loads(pickle.dumps(models))
    np.testing.assert_array_equal(again[0].squares, models[0].squares)
    score = row_score("neg_mean_absolute_error", RegressionTargets(2, "float64"), np.float64)
    folds = Folds(1, np.array([0, M]), np.zeros(1, int))
    work = _ScorePass(folds, models, Grid(ALPHAS, SIZES), score)
    shipped, part = pickle.loads(pickle.dumps(work)), work.part([(0, M)])
    results = []
    for each in (work, shipped):
        collector = each.begin(FULL, None, (), part)
        collector.add([(0, M)], X_VAL, Y_VAL, None)
        results.append(collector.result())
    np.testing.assert_array_equal(*results)
    # Without test rows there are models, and no errors.
    [only] = solve_grid(model.normal_equations_, {0: None}, *args, **how)[:1]
    assert only.squares is None
    np.testing.assert_array_equal(only.coef, models[0].coef)


# Validation rows that cannot be used


# What is in memory, scikit-learn sees to.
NO_WEIGHTS = da.zeros(M)


def fit(val, targets=Y, **params):
    return chosen(targets, **params).fit(
        X, targets, **dict(zip(("X_val", "y_val", "sample_weight_val"), val, strict=False))
    )


@pytest.mark.parametrize(
    ("val", "params", "error", "message"),
    [
        ((X_VAL,), {}, ParameterError, "X_val and y_val must be given together.*; got X_val"),
        ((None, Y_VAL), {}, ParameterError, "X_val and y_val must be given together.*; got y_val"),
        ((None, None, WEIGHTS_VAL), {}, ParameterError, "with them only; got sample_weight_val"),
        ((X_VAL, Y_VAL), {"cv": 3}, ParameterError, "cv must be None where X_val is given.*; got 3. Leave one"),
        ((X_VAL, Y_VAL), {"scoring": "neg_median_absolute_error"}, ParameterError, "scoring must be the name"),
        ((X_VAL[:, :3], Y_VAL), {}, DataError, r"^validation rows \(X_val, .*X has 3 features, but ELMRegressorCV is"),
        ((X_VAL[:, 0], Y_VAL), {}, DataError, r"^validation rows \(X_val, .*2D array, got 1D"),
        ((X_VAL[:5], Y_VAL), {}, DataError, r"^validation rows \(.*X and y must have the same number of rows; X has 5"),
        ((X_VAL, Y_VAL[:, 0]), {}, DataError, "y_val must have as many columns as y, 2; got 1"),
        ((X_VAL, Y_VAL, WEIGHTS_VAL[:5]), {}, DataError, r"^validation rows \(X_val, .*sample_weight"),
        ((X_VAL, Y_VAL, -WEIGHTS_VAL), {}, DataError, "^validation rows .*sample_weight must not be negative"),
        ((X_VAL, Y_VAL, NO_WEIGHTS), {}, DataError, "^validation rows .*rows of positive weight; got 120 rows"),
        (
            (X_VAL, Y_VAL, NO_WEIGHTS),
            {"scoring": "neg_mean_absolute_error"},
            DataError,
            "^validation rows .*at least one row must have a positive weight",
        ),
        ((X_VAL[:1], Y_VAL[:1]), {}, DataError, "^validation rows .*r2 needs at least two rows; got 1"),
        ((np.where(X_VAL > 2, np.nan, X_VAL), Y_VAL), {}, DataError, "^validation rows .*X must be finite; got NaN"),
        ((X_VAL, np.where(Y_VAL > 2, np.inf, Y_VAL)), {}, DataError, "^validation rows .*y must be finite; got inf"),
        ((X_VAL, LABELS_VAL), {}, InputTypeError, "^validation rows .*y must hold numbers"),
        ((da.zeros((0, D)), da.zeros((0, 2))), {}, DataError, "X_val must have at least one row; got none"),
    ],
)
def test_validation_rows_that_cannot_be_used(val, params, error, message):
    with pytest.raises(error, match=message):
        fit(val, **params)


def test_labels_that_were_not_fitted(monkeypatch):
    strange = np.where(LABELS_VAL == "b", "z", LABELS_VAL)
    # Before there is any work.
    monkeypatch.setattr("daskelm.selection.holdout.accumulate", None)
    with pytest.raises(DataError, match=r"y_val: every label must be one of those in y, \['a', 'b', 'c'\]; got 'z'"):
        fit((X_VAL, strange), LABELS)
    with pytest.raises(DataError, match="y_val: every label must be one of those in y, .*; got 0"):
        fit((X_VAL, SETS[N:, 0] * 0), LABELS)
    with pytest.raises(DataError, match="y_val must have as many columns as y, 1; got 2"):
        fit((X_VAL, SETS[N:]), LABELS)


def test_files_are_told_apart_before_there_is_any_work(files, monkeypatch):
    monkeypatch.setattr("daskelm.selection.holdout.accumulate", None)
    paths = str(files / "X.h5"), str(files / "Y.h5")
    with pytest.raises(RowsCountedError, match="rows 0 to 299 of .*X.h5 are in X and in X_val"):
        chosen(Y).fit(*paths, X_val=paths[0], y_val=paths[1])
    with pytest.raises(DataError, match="^validation rows .*X and y must be different data, but both are dataset"):
        chosen(Y).fit(*paths, X_val=str(files / "X_val.h5"), y_val=str(files / "X_val.h5"))
    with pytest.raises(FileMissingError, match="none.h5"):
        chosen(Y).fit(*paths, X_val=str(files / "none.h5"), y_val=paths[1])


def test_rows_without_weight_cannot_be_fitted():
    for scoring in ("r2", "neg_mean_absolute_error"):
        with pytest.raises(DataError, match="X must hold rows of positive weight; got 300 rows of weight 0"):
            chosen(Y, scoring=scoring).fit(X, Y, da.zeros(N), X_VAL, Y_VAL)


def test_a_failed_fit_leaves_the_model_as_it_was():
    model = chosen(Y).fit(X, Y)
    before = model.predict(X)
    with pytest.raises(DataError, match="y_val must have"):
        model.fit(X, Y, X_val=X_VAL, y_val=Y_VAL[:, 0])
    np.testing.assert_array_equal(model.predict(X), before)


def test_grids_that_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 2**20)
    with pytest.raises(InsufficientMemoryError, match="2000 penalties and 3 numbers of 24 neurons, and has"):
        fit((X_VAL, LABELS_VAL), LABELS, alphas=np.logspace(-3, 3, 2000), scoring="accuracy")
    monkeypatch.setattr("daskelm.selection.holdout.check_grid", lambda *sizes, **more: None)
    monkeypatch.setattr("daskelm.passes.memory.PassSizes.need_of", lambda sizes, n_folds: Need("", {}, ""))
    with pytest.raises(InsufficientMemoryError, match="to score 2000 penalties and 3 numbers of neurons, whose"):
        fit((X_VAL, LABELS_VAL), LABELS, alphas=np.logspace(-3, 3, 2000), scoring="accuracy")


def test_validation_rows_are_no_metadata_that_is_routed():
    with config_context(enable_metadata_routing=True):
        for kind in (ELMRegressorCV, ELMClassifierCV):
            requests = kind().get_metadata_routing().fit.requests
            assert set(requests) == {"sample_weight"}
        scaler = StandardScaler().set_fit_request(sample_weight=True)
        model = make_pipeline(scaler, chosen(Y).set_fit_request(sample_weight=True))
        model.fit(X, Y, sample_weight=WEIGHTS)
    model = make_pipeline(StandardScaler(), chosen(Y))
    model.fit(X, Y, elmregressorcv__X_val=X_VAL, elmregressorcv__y_val=Y_VAL)
    assert "split0_test_score" not in model[-1].cv_results_


def test_saved_and_loaded(tmp_path):
    model = fit((X_VAL, Y_VAL))
    model.save(tmp_path / "model.h5")
    again = load(tmp_path / "model.h5")
    assert_same_choice(again, model, atol=0)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


# From sums


def summed(targets, rows, weights=None, **params):
    """A model with the layer of all rows and the sums of some."""
    everything = {"classes": np.unique(targets)} if targets.dtype.kind == "U" else {}
    model = plain(targets, **params).initialize(ALL, **everything)
    return model.accumulate(ALL[rows], targets[rows], sample_weight=None if weights is None else weights[rows])


def sums_of(targets, rows, weights=None, **params):
    return summed(targets, rows, weights, **params).normal_equations_


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


def test_rows_are_added_to_a_model_that_was_chosen_by_folds():
    model = plain(Y, alpha="auto").fit(X, Y).select(n_neurons=[10])
    like = plain(Y, alpha="auto").set_params(neurons=list(sublayer(FULL, 10)[0].groups)).fit(ALL, OUTPUTS)
    model.partial_fit(X_VAL, Y_VAL)
    np.testing.assert_allclose(model.alpha_, like.alpha_, rtol=1e-9)
    np.testing.assert_allclose(model.coef_, like.coef_, atol=1e-8)


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


# The model that was chosen


@pytest.fixture
def smaller():
    """A model of 10 neurons of 24, and the sums of the full layer."""
    model = plain(Y, alpha=7.0).fit(X, Y)
    full = model.normal_equations_
    model.select(n_neurons=[3, 10], alphas=[0.01])
    assert model.n_neurons_ == 10
    return model, full


def test_it_is_the_smaller_layer_with_its_sums(smaller):
    model, full = smaller
    expected = plain(Y, alpha=0.01).set_params(neurons=list(sublayer(FULL, 10)[0].groups)).fit(X, Y)
    assert model.hidden_layer_.fingerprint == expected.hidden_layer_.fingerprint
    np.testing.assert_allclose(model.normal_equations_.HH, expected.normal_equations_.HH, rtol=1e-12)
    np.testing.assert_allclose(model.predict(X_VAL), expected.predict(X_VAL), atol=1e-10)
    assert model.transform(X_VAL).shape == (M, 10)
    assert model.get_params()["neurons"] is NEURONS
    assert full.n_neurons == 24


def test_alpha_is_the_chosen_one_until_it_is_solved_again(smaller):
    model, _ = smaller
    assert (model.alpha, model.alpha_) == (7.0, 0.01)
    assert model.set_params(alpha=3.0).alpha_ == 0.01
    assert model.solve().alpha_ == 3.0
    expected = plain(Y, alpha=3.0).set_params(neurons=list(sublayer(FULL, 10)[0].groups)).fit(X, Y)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-9)
    assert model.set_params(alpha="gcv").solve().n_neurons_ == 10


def test_rows_are_added_to_the_smaller_layer(smaller, tmp_path):
    model, _ = smaller
    expected = plain(Y, alpha=7.0).set_params(neurons=list(sublayer(FULL, 10)[0].groups)).fit(ALL, OUTPUTS)
    other = copy.deepcopy(model)
    # Solved with the parameters as they are, at the first use.
    for added in (model.partial_fit(X_VAL, Y_VAL), other.accumulate(X_VAL, Y_VAL)):
        np.testing.assert_allclose(added.coef_, expected.coef_, atol=1e-9)
        assert added.alpha_ == 7.0
    model.remove(X_VAL, Y_VAL)
    assert model.normal_equations_.n_samples == N
    model.accumulate(X_VAL, Y_VAL, into=tmp_path / "new.h5").solve(tmp_path / "new.h5")
    assert model.normal_equations_.n_samples == M


@pytest.mark.parametrize("again", [False, True])
def test_sums_of_the_full_layer_are_refused_with_what_to_do(smaller, tmp_path, again):
    model, full = smaller
    if again:
        model.save(tmp_path / "model.h5", sums=True)
        model = load(tmp_path / "model.h5")
    full.save(tmp_path / "sums.h5")
    message = "of the full layer of 24 neurons .* of which this model has the 10 that select chose .* saved before"
    for ask in (
        lambda: model.solve(tmp_path / "sums.h5"),
        lambda: model.select(full),
        lambda: model.select(validation=full),
        lambda: model.select([full], cv="files"),
    ):
        with pytest.raises(IncompatibleSumsError, match=message):
            ask()
    with pytest.raises(IncompatibleSumsError, match="layer fingerprint .* use the layer of one saved model everywhere"):
        model.accumulate(X_VAL, Y_VAL, into=tmp_path / "sums.h5")
    # From 10 neurons to 3: both earlier layers are known.
    middle = model.normal_equations_
    model.select(n_neurons=3)
    with pytest.raises(IncompatibleSumsError, match="full layer of 10 neurons .* has the 3 that select"):
        model.solve(middle)
    with pytest.raises(IncompatibleSumsError, match=message.replace("the 10 that", "the 3 that")):
        model.solve(full)
    with pytest.raises(IncompatibleSumsError, match="validation: they are of another hidden layer"):
        model.select(validation=ELMRegressor(5, alpha=1.0).fit(X, Y).normal_equations_)


def test_the_choice_is_saved_and_loaded(smaller, tmp_path):
    model, _ = smaller
    for sums in (True, False):
        model.save(tmp_path / "model.h5", sums=sums)
        again = load(tmp_path / "model.h5")
        assert_same_choice(again, model, atol=0)
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        assert again.alpha == 7.0
        assert hasattr(again, "normal_equations_") == sums
    with pytest.raises(NotSolvedError, match="saved without its sums, and select needs them"):
        again.select()


def test_a_fit_begins_anew(smaller):
    model, _ = smaller
    model.fit(X, Y)
    assert model.hidden_layer_.n_neurons == 24
    assert not any(hasattr(model, name) for name in ("n_neurons_", "best_score_", "cv_results_"))
    assert model._fitted.choice is None
    clone(model).fit(X, Y)


def test_what_gcv_refused_is_saved(tmp_path):
    model = plain(Y).fit(X[:20], Y[:20]).select(n_neurons=[5, 24], alphas=[1e-10, 1.0], cv="gcv")
    assert np.isnan(model.cv_results_["mean_test_score"]).tolist() == [False, True, False, False]
    model.save(tmp_path / "model.h5")
    again = load(tmp_path / "model.h5")
    np.testing.assert_array_equal(again.cv_results_["mean_test_score"], model.cv_results_["mean_test_score"])


def test_a_failed_select_leaves_the_model_as_it_was(smaller):
    model, full = smaller
    before = dict(model.__dict__)
    with pytest.raises(IncompatibleSumsError):
        model.select(full)
    with pytest.raises(ParameterError):
        model.select(n_neurons=[11])
    assert model.__dict__ == before


def test_sums_in_single_precision():
    params = {"dtype": "float32", "gram_dtype": "float32", "random_state": 0}
    model = ELMRegressor(60, **params).fit(X, Y)
    least = model.normal_equations_.least_alpha
    alphas = [least / 100, least * 1.01, 1.0]
    model.select(n_neurons=[20, 60], alphas=alphas)
    refused = np.isnan(model.cv_results_["mean_test_score"])
    assert refused.tolist() == [True, True, False, False, False, False]
    model.select(n_neurons=20, alphas=1.0)
    assert model.hidden_layer_.gram_dtype == np.float32
    assert model.partial_fit(X_VAL, Y_VAL).normal_equations_.precision == "float32"
    with pytest.raises(ParameterError, match="alphas: for sums in float32 one must be at least .* Give larger ones"):
        model.select(alphas=[1e-12])


# Sums that cannot be selected from


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
    with pytest.raises(IncompatibleSumsError, match="validation: they must be of numbers; got classes"):
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


@pytest.mark.parametrize("ranking", ["omp", "mrsr"])
def test_a_ranking_takes_the_best_neurons(files, ranking):
    asked = GRID | {"ranking": ranking}
    by_rows = chosen(Y, **asked).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    sums, held = (plain(Y).fit(*rows).normal_equations_ for rows in ((X, Y), (X_VAL, Y_VAL)))
    model = plain(Y).initialize(X).select(sums, validation=held, **asked)
    np.testing.assert_array_equal(model.ranking_, by_rows.ranking_)
    np.testing.assert_allclose(
        model.cv_results_["mean_test_score"], by_rows.cv_results_["mean_test_score"], rtol=0, atol=1e-10
    )
    assert model.hidden_layer_.fingerprint == by_rows.hidden_layer_.fingerprint
    # Each training part has its own, as where rows are split.
    parts = [plain(Y).fit(X[part], Y[part]).normal_equations_ for part in np.array_split(np.arange(N), 3)]
    by_folds = chosen(Y, **asked, cv=3).fit(X, Y)
    from_parts = plain(Y).initialize(X).select(parts, cv="files", **asked)
    for name in ("split0_test_score", "split2_test_score"):
        np.testing.assert_allclose(from_parts.cv_results_[name], by_folds.cv_results_[name], rtol=0, atol=1e-10)
    np.testing.assert_array_equal(from_parts.ranking_, by_folds.ranking_)


def test_the_ranking_is_kept_with_the_choice(tmp_path):
    model = plain(Y).fit(X, Y).select(n_neurons=10, ranking="omp")
    assert model.n_neurons_ == 10
    assert sorted(model.ranking_) == list(range(24))
    kept, _ = sublayer(FULL, 10, model.ranking_)
    assert model.hidden_layer_.fingerprint == kept.fingerprint
    model.save(tmp_path / "m.h5", sums=True)
    again = load(tmp_path / "m.h5")
    np.testing.assert_array_equal(again.ranking_, model.ranking_)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    # Another choice without one forgets it.
    assert not hasattr(again.select(n_neurons=5), "ranking_")


def test_a_ranking_that_does_not_fit_the_targets():
    with pytest.raises(ParameterError, match="'lars' is for one target; got 2"):
        plain(Y).fit(X, Y).select(ranking="lars")
