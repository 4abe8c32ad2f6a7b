"""Choosing on rows of their own: the scores of fitting each candidate and scoring it there."""

import pickle

import dask
import dask.array as da
import numpy as np
import pytest
from sklearn import config_context
from sklearn.metrics import get_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from validation_table import (
    ALL,
    ALPHAS,
    FULL,
    LABELS,
    LABELS_VAL,
    SETS,
    SIZES,
    WEIGHTS,
    WEIGHTS_VAL,
    WORDS,
    X_VAL,
    Y_VAL,
    D,
    M,
    N,
    X,
    Y,
    assert_same_choice,
    chosen,
    plain,
    refitted,
)

from daskelm import ELMClassifierCV, ELMRegressorCV, from_hdf5, load, make_hdf5
from daskelm.data.targets import RegressionTargets
from daskelm.exceptions import (
    DataError,
    FileMissingError,
    InputTypeError,
    InsufficientMemoryError,
    ParameterError,
    RowsCountedError,
)
from daskelm.hdf5.reader import Hdf5Reader
from daskelm.layer.sublayer import nested_order, sublayer
from daskelm.passes.memory import Need
from daskelm.selection.criterion import Grid
from daskelm.selection.fold_models import solve_grid
from daskelm.selection.folds import Folds
from daskelm.selection.scores import row_score
from daskelm.selection.scoring_pass import _ScorePass


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


# How often a row of X is read: classes have a sample, here of all rows, for the link to probabilities too.
READS = {False: 1, True: 2}
SCORINGS = [(Y, Y_VAL, "r2"), (Y, Y_VAL, "neg_mean_absolute_error"), (LABELS, LABELS_VAL, "accuracy")]


@pytest.mark.parametrize(("y", "y_val", "scoring"), SCORINGS)
def test_one_pass_over_each(no_client, y, y_val, scoring):
    sources = [Counted(X), Counted(X_VAL)]
    inputs = [da.from_array(source, chunks=(70, D)) for source in sources]
    chosen(y, scoring=scoring).fit(inputs[0], y, X_val=inputs[1], y_val=y_val)
    assert [set(source.times) for source in sources] == [{READS[y is LABELS]}, {1}]


@pytest.mark.parametrize(("y", "y_val", "scoring"), SCORINGS)
def test_one_pass_over_each_file(no_client, files, monkeypatch, y, y_val, scoring):
    times = {}
    read = Hdf5Reader.read

    def counting(reader, start, stop):
        # By tasks, and not for the ledger, which knows the rows by a few of them.
        if stop - start > 60:
            [name] = {part.path for part, _, _ in reader.source.ranges()}
            first = reader.source.ranges()[0][1]
            times.setdefault(name, np.zeros(N, int))[start + first : stop + first] += 1
        return read(reader, start, stop)

    monkeypatch.setattr(Hdf5Reader, "read", counting)
    paths = str(files / "X.h5"), str(files / "X_val.h5")
    with dask.config.set(scheduler="sync"):
        chosen(y, scoring=scoring).fit(paths[0], y, X_val=paths[1], y_val=y_val)
    expected = {paths[0]: {READS[y is LABELS]}, paths[1]: {1}}
    assert {name: set(counts[:M]) for name, counts in times.items()} == expected


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
