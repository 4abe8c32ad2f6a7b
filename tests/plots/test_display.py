"""Pictures: what is drawn is what was found; counts of rows are the same for any chunks."""

import pickle
import subprocess
import sys
from types import SimpleNamespace

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import r2_score

import daskelm.plots.counts
from daskelm import (
    ELMClassifier,
    ELMClassifierCV,
    ELMRegressor,
    ELMRegressorCV,
    LearningCurveDisplay,
    NeuronsDisplay,
    PenaltyDisplay,
    PredictionDisplay,
    ReliabilityDisplay,
    load,
    make_hdf5,
)
from daskelm.exceptions import DataError, InputTypeError, MissingExtraError, ParameterError
from daskelm.plots.counts import JointCounts, PredictionCounts, count_predictions
from daskelm.plots.selection import GridScores

pyplot = pytest.importorskip("matplotlib.pyplot", reason="pictures need the extra 'plot'")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 3))
Y = np.sin(2 * X[:, 0]) + X[:, 1] + 0.3 * RNG.standard_normal(300)
ALPHAS, SIZES = np.logspace(-3, 3, 7), [2, 3, 5, 8, 12, 20, 30]
MODEL = ELMRegressorCV(30, n_neurons=SIZES, alphas=ALPHAS, cv=3, random_state=0).fit(X, Y)


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


def drawn(display):
    display.figure_.canvas.draw()
    return display


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# Choosing


def test_scores_over_the_penalty():
    display = drawn(PenaltyDisplay.from_estimator(MODEL))
    ax = display.ax_
    assert display.figure_ is ax.figure
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "penalty alpha")
    assert ax.get_ylabel() == "R², mean of 3 folds"
    results = MODEL.cv_results_
    lines = {line.get_label().partition(",")[0]: line for line in ax.get_lines() if line.get_label()[0] != "_"}
    assert 3 <= len(lines) <= 5
    assert {"2", "30", str(MODEL.n_neurons_)} <= set(lines)
    for size, line in lines.items():
        np.testing.assert_array_equal(line.get_xdata(), ALPHAS)
        np.testing.assert_array_equal(
            line.get_ydata(), results["mean_test_score"][results["param_n_neurons"] == int(size)]
        )
    assert [label for label in labels(ax) if "chosen" in label] == [f"{MODEL.n_neurons_}, chosen"]
    [band] = ax.collections
    low, high = band.get_paths()[0].vertices[:, 1].min(), band.get_paths()[0].vertices[:, 1].max()
    ours = results["param_n_neurons"] == MODEL.n_neurons_
    mean, std = results["mean_test_score"][ours], results["std_test_score"][ours]
    assert (low, high) == pytest.approx(((mean - std).min(), (mean + std).max()))
    marks = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.get_lines() if len(line.get_xdata()) == 1]
    assert (MODEL.alpha_, MODEL.best_score_) in [pytest.approx(mark) for mark in marks]
    assert f"{MODEL.alpha_:.3g}" in ax.get_title()


def test_scores_over_the_number_of_neurons():
    display = drawn(NeuronsDisplay.from_estimator(MODEL))
    line = display.ax_.get_lines()[0]
    np.testing.assert_array_equal(line.get_xdata(), SIZES)
    best = MODEL.cv_results_["mean_test_score"].reshape(len(ALPHAS), -1).max(axis=0)
    np.testing.assert_array_equal(line.get_ydata(), best)
    assert display.ax_.get_xscale() == "log"
    assert f"{MODEL.n_neurons_} neurons, R² = {MODEL.best_score_:.4g}" in display.ax_.get_title()
    assert all(low <= score <= high for low, high in [display.ax_.get_ylim()] for score in best)


@pytest.mark.parametrize("kind", [PenaltyDisplay, NeuronsDisplay])
def test_on_given_axes_and_with_given_style(kind):
    figure, ax = pyplot.subplots()
    display = kind.from_estimator(MODEL, ax=ax, linestyle="--", color="black")
    assert (display.ax_, display.figure_) == (ax, figure)
    assert display.ax_.get_lines()[0].get_linestyle() == "--"
    assert pyplot.get_fignums() == [figure.number]
    assert display.plot().figure_ is not figure


def test_errors_are_positive_and_the_least_is_best(tmp_path):
    model = ELMRegressorCV(30, n_neurons=SIZES, cv=3, scoring="neg_root_mean_squared_error", random_state=0).fit(X, Y)
    model.save(tmp_path / "m.h5")
    for one in (model, load(tmp_path / "m.h5")):
        display = drawn(NeuronsDisplay.from_estimator(one))
        assert display.ax_.get_ylabel() == "root mean squared error, mean of 3 folds"
        best = -one.cv_results_["mean_test_score"].reshape(-1, len(SIZES)).max(axis=0)
        np.testing.assert_allclose(display.ax_.get_lines()[0].get_ydata(), best)
    # The few penalties that are useless do not press all others together.
    display = drawn(PenaltyDisplay.from_estimator(model))
    assert display.ax_.get_ylim()[0] < best.min() < display.ax_.get_ylim()[1]


def test_names_of_scores():
    classes = (Y > 0).astype(int)
    for params, name in (
        ({"cv": 3}, "mean squared error"),
        ({"cv": None}, "mean squared error"),
        ({"cv": None, "scoring": "r2"}, "R²"),
        ({"cv": 3, "scoring": "neg_log_loss"}, "log loss"),
        ({"cv": 3, "scoring": "balanced_accuracy"}, "balanced accuracy"),
    ):
        assert GridScores.of(ELMClassifierCV(10, random_state=0, **params).fit(X, classes)).name == name
    assert GridScores.of(MODEL, scoring="neg_mean_absolute_error").lower_is_better


def test_refused_candidates_and_no_penalty_at_all():
    model = ELMRegressorCV(30, n_neurons=[5, 30], alphas=[0.0, 1e-3, 1.0], cv="gcv", random_state=0).fit(X[:30], Y[:30])
    assert np.isnan(model.cv_results_["mean_test_score"]).any()
    scores = GridScores.of(model)
    assert scores.deviations is None
    for kind in (PenaltyDisplay, NeuronsDisplay):
        drawn(kind(scores).plot())
    assert PenaltyDisplay(scores).plot().ax_.get_xscale() == "symlog"
    nothing = GridScores(np.ones(1), np.arange(1, 4), np.array([[np.nan, 0.5, 0.7]]), None, (0, 2), "R²", False, 0)
    assert nothing.best_by_size.tolist() == [-1, 0, 0]
    drawn(NeuronsDisplay(nothing).plot())
    drawn(PenaltyDisplay(nothing).plot())


@pytest.mark.parametrize("kind", [PenaltyDisplay, NeuronsDisplay])
def test_models_without_scores(kind):
    plain = ELMRegressor(5).fit(X, Y)
    unkept = ELMRegressorCV(5, store_cv_results=False).fit(X, Y)
    for model in (plain, unkept):
        with pytest.raises(ParameterError, match=rf"must have cv_results_.* got {type(model).__name__} without\. Fit"):
            kind.from_estimator(model)


# Learning


def test_learning_curve():
    model = ELMRegressor(5).fit(X, Y)
    with pytest.raises(ParameterError, match=r"model must have learning_curve_, .* got ELMRegressor without\. Fit"):
        LearningCurveDisplay.from_estimator(model)
    fitted = ELMRegressor(5, tol=1e-9).fit(X, Y)
    display = drawn(LearningCurveDisplay.from_estimator(fitted))
    np.testing.assert_array_equal(display.ax_.get_lines()[0].get_ydata(), fitted.learning_curve_["score"])
    model = SimpleNamespace(
        learning_curve_={"n_samples": np.array([10, 1000, 20000]), "score": np.array([np.nan, 0.5, 0.75])}
    )
    display = drawn(LearningCurveDisplay.from_estimator(model, linestyle=":"))
    line = display.ax_.get_lines()[0]
    np.testing.assert_array_equal(line.get_xdata(), [10, 1000, 20000])
    assert display.ax_.get_title() == "R² = 0.75 with 20,000 rows"
    assert "10,000" in [tick.get_text() for tick in display.ax_.get_xticklabels()]
    assert line.get_linestyle() == ":"


# Predictions


VALUES = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda value: value if abs(value) > 1e-30 else 0.0)


@given(st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=60), st.data())
def test_counts_are_the_same_for_any_cut(rows, data):
    x, y = np.array(rows).T
    cut = data.draw(st.integers(1, len(x) - 1))
    whole = JointCounts.of(x, y)
    parts = JointCounts.of(x[:cut], y[:cut]), JointCounts.of(x[cut:], y[cut:])
    for merged in (parts[0] + parts[1], parts[1] + parts[0]):
        assert merged.exponents == whole.exponents
        np.testing.assert_array_equal(merged.cells, whole.cells)
        np.testing.assert_array_equal(merged.counts, whole.counts)
    assert whole.counts.sum() == len(x)
    assert np.ptp(whole.cells, axis=0).max() < 1024
    # Each row is in its cell, and the cells are as narrow as so many can be.
    for values, exponent, column in zip((x, y), whole.exponents, whole.cells.T, strict=True):
        if not values.any():
            assert set(column) == {0}
            continue
        assert set(np.floor(values / 2.0**exponent)) == set(column)
        if np.ptp(values) > 1e-9 * np.abs(values).max():
            assert np.ptp(np.floor(values / 2.0 ** (exponent - 1))) >= 1024


def test_cells_are_as_narrow_as_so_many_can_be():
    for most, exponent in ((1023.0, 0), (1024.0, 1), (1.0, -9), (0.0, -2000)):
        assert JointCounts.of(np.array([0.0, most]), np.zeros(2)).exponents == (exponent, -2000)


def test_counts_are_those_of_numpy():
    x, y = RNG.normal(size=(2, 5000))
    counts = JointCounts.of(x, y)
    edges_x, edges_y, table = counts.table(40, counts.between(0.0, 1.0))
    np.testing.assert_array_equal(table, np.histogram2d(x, y, (edges_x, edges_y))[0])
    assert table.sum() == 5000
    bounds = counts.between(0.01, 0.99)
    edges_x, edges_y, table = counts.table(40, bounds)
    np.testing.assert_array_equal(table, np.histogram2d(x, y, (edges_x, edges_y))[0])
    assert 0.96 < table.sum() / 5000 < 1
    assert edges_x[0] <= np.quantile(x, 0.01) <= edges_x[2]


def test_one_pass_over_lazy_rows_in_bounded_memory(monkeypatch, tmp_path):
    predicted = Y + 0.1 * RNG.standard_normal(300)
    expected = PredictionCounts.of(Y, predicted)
    monkeypatch.setattr(daskelm.plots.counts, "_ROWS", 7)
    reads = []

    def read(block):
        reads.append(len(block))
        return block

    lazy = da.from_array(predicted, chunks=20).map_blocks(read, meta=np.empty(0))
    path = make_hdf5(Y, tmp_path / "y.h5")
    with dask.config.set(scheduler="sync"):
        found = [
            count_predictions(Y, lazy),
            count_predictions(da.from_array(Y, chunks=33), predicted),
            count_predictions(da.from_array(Y, chunks=33), lazy),
            PredictionDisplay.from_predictions(path, lazy).counts,
            PredictionDisplay.from_predictions(Y, predicted).counts,
        ]
    assert reads == [20] * 45
    for counts in found:
        for kind in ("actual", "residual"):
            one, other = getattr(counts, kind), getattr(expected, kind)
            assert one.exponents == other.exponents
            np.testing.assert_array_equal(one.cells, other.cells)
            np.testing.assert_array_equal(one.counts, other.counts)
        assert counts.n_samples == 300
        assert counts.r2 == pytest.approx(r2_score(Y, predicted), rel=1e-12)
    again = pickle.loads(pickle.dumps(expected))
    assert (again + again).n_samples == 600


def test_counts_on_workers(client, tmp_path):
    x, y = make_hdf5(X, tmp_path / "x.h5"), make_hdf5(Y, tmp_path / "y.h5")
    display = PredictionDisplay.from_estimator(MODEL, x, y)
    assert display.counts.r2 == pytest.approx(MODEL.score(X, Y))


@pytest.mark.parametrize("n", [300, 5000])
@pytest.mark.parametrize("kind", ["actual_vs_predicted", "residual_vs_predicted"])
def test_predictions(n, kind):
    truth = RNG.normal(1000, 300, n)
    predicted = truth + RNG.normal(0, 100, n)
    display = drawn(PredictionDisplay.from_predictions(truth, predicted, kind=kind, name="load (kW)"))
    ax = display.ax_
    assert ax.get_title() == f"{n:,} rows, R² = {r2_score(truth, predicted):.4g}"
    assert ax.get_xlabel() == "predicted load (kW)"
    assert ax.get_ylabel() == ("actual load (kW)" if kind == "actual_vs_predicted" else "residual of load (kW)")
    shown = ax.collections[0].get_array() if n > 1000 else ax.collections[0].get_offsets()
    over = truth if kind == "actual_vs_predicted" else truth - predicted
    if n > 1000:
        low, high = ax.get_ylim()
        inside = (over >= low) & (over < high) & (predicted >= ax.get_xlim()[0]) & (predicted < ax.get_xlim()[1])
        assert shown.sum() == inside.sum()
        assert any("lie outside the frame" in text.get_text() for text in ax.texts)
    else:
        assert len(shown) <= n
        for value in (shown[:, 1].min() - over.min(), shown[:, 1].max() - over.max()):
            assert abs(value) < np.ptp(over) / 500
    # The same counts serve both kinds.
    other = display.plot(kind="residual_vs_predicted", cmap="viridis") if n > 1000 else display.plot(marker="s")
    assert other.ax_ is not ax


def test_a_constant_prediction():
    for n in (50, 2000):
        drawn(PredictionDisplay.from_predictions(RNG.normal(size=n), np.full(n, 3.25)))
    drawn(PredictionDisplay.from_predictions(np.zeros(2000), np.zeros(2000)))


def test_one_of_several_targets_and_names():
    pandas = pytest.importorskip("pandas")
    two = np.c_[Y, -Y]
    model = ELMRegressor(20, random_state=0).fit(X, two)
    display = PredictionDisplay.from_estimator(model, da.from_array(X, chunks=100), two, target=1)
    assert display.counts.r2 == pytest.approx(r2_score(-Y, model.predict(X)[:, 1]))
    with pytest.raises(DataError, match=r"y must be one target; got 2 columns\. Say which: target=0 to target=1"):
        PredictionDisplay.from_estimator(model, X, two)
    with pytest.raises(ParameterError, match="target must be from 0 to 1, one of the columns of y; got 2"):
        PredictionDisplay.from_estimator(model, X, two, target=2)
    series = pandas.Series(Y, name="delay")
    assert PredictionDisplay.from_predictions(series, Y).ax_.get_xlabel() == "predicted delay"
    assert PredictionDisplay.from_predictions(series, Y, name="").ax_.get_xlabel() == "predicted"
    assert PredictionDisplay.from_predictions(da.from_array(Y), Y).ax_.get_xlabel() == "predicted"


def test_what_cannot_be_drawn():
    with pytest.raises(ParameterError, match="kind must be one of 'actual_vs_predicted', .*; got 'scatter'"):
        PredictionDisplay.from_predictions(Y, Y, kind="scatter")
    with pytest.raises(InputTypeError, match="y must hold numbers; got <U1.*ConfusionMatrixDisplay"):
        PredictionDisplay.from_predictions(np.full(300, "a"), Y)
    with pytest.raises(DataError, match="y, y_pred|y and y_pred must have the same number of rows"):
        PredictionDisplay.from_predictions(Y, Y[:-1])
    with pytest.raises(DataError, match="y and y_pred must have at least one row; got 0"):
        PredictionDisplay.from_predictions(Y[:0], Y[:0])
    with pytest.raises(DataError, match=r"y_pred must be 1-D or 2-D; got shape \(300, 1, 1\)"):
        PredictionDisplay.from_predictions(Y, Y[:, None, None])
    bad = Y.copy()
    bad[123] = np.nan
    for lazy in (bad, da.from_array(bad, chunks=50)):
        with pytest.raises(DataError, match="y_pred must be finite; got NaN first in row 123"):
            PredictionDisplay.from_predictions(Y, lazy)


# Without matplotlib


@pytest.mark.parametrize(
    "call",
    ["LearningCurveDisplay([1, 2], [0, 1]).plot()", "PredictionDisplay.from_predictions([1.0, 2.0], [1.0, 2.0])"],
)
def test_a_missing_matplotlib_is_named(call):
    code = f"""
import sys
sys.modules["matplotlib"] = None
from daskelm import *
from daskelm.exceptions import MissingExtraError
try:
    {call}
except MissingExtraError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("draws with matplotlib, which is not installed: pip install 'daskelm[plot]'.\n")
    assert issubclass(MissingExtraError, ImportError)


# Probabilities


CLASSES = np.digitize(Y, [-0.7, 0.7])
WORDS = np.array(["low", "mid", "top"])[CLASSES]
CLASSIFIER = ELMClassifier(20, random_state=0).fit(X, WORDS)


def reliability_by_hand(p, hit, n_bins=10):
    bins = np.minimum((n_bins * p).astype(int), n_bins - 1)
    held = [bins == i for i in range(n_bins) if (bins == i).any()]
    curve = [(p[rows].mean(), hit[rows].mean()) for rows in held]
    return np.array(curve), sum(abs(p[rows].sum() - hit[rows].sum()) for rows in held) / len(p)


def test_reliability_is_how_often_it_is_so():
    p = CLASSIFIER.predict_proba(X)
    for label, column in ((None, None), ("mid", 1)):
        display = drawn(ReliabilityDisplay.from_estimator(CLASSIFIER, X, WORDS, label=label, name="ELM"))
        rows = np.arange(len(X))
        of = p.argmax(axis=1) if column is None else np.full(len(X), column)
        curve, gap = reliability_by_hand(p[rows, of], of == CLASSES)
        np.testing.assert_allclose(display.ax_.get_lines()[0].get_xydata(), curve)
        assert display.counts.gap == pytest.approx(gap)
        assert display.ax_.get_title() == f"300 rows, gap = {gap:.3f}"
        assert labels(display.ax_) == ["ELM", "calibrated"]
        assert display.ax_.get_xlabel() == f"predicted probability of {label or 'the predicted class'}"
    # A second model on the same axes.
    again = ReliabilityDisplay.from_predictions(WORDS, p, ax=display.ax_, name="again", color="black", n_bins=5)
    assert again.figure_ is display.figure_
    assert labels(again.ax_) == ["ELM", "calibrated", "again"]
    assert len(again.counts.weight) == 5


def test_reliability_of_two_classes_and_of_labels():
    two = (CLASSES > 1).astype(int)
    p = ELMClassifier(20, random_state=0).fit(X, two).predict_proba(X)
    curve, _ = reliability_by_hand(p[:, 1], two)
    for y_prob in (p, p[:, 1], p[:, [1]], p[:, 1].tolist()):
        np.testing.assert_allclose(
            np.transpose(ReliabilityDisplay.from_predictions(two, y_prob).counts.curve()), curve, rtol=1e-6
        )
    many = np.stack([two, CLASSES < 1], axis=1).astype(int)
    model = ELMClassifier(20, random_state=0).fit(X, many)
    p = model.predict_proba(X)
    for label, of in ((None, slice(None)), (1, [1])):
        display = ReliabilityDisplay.from_estimator(model, X, many, label=label)
        curve, gap = reliability_by_hand(p[:, of].ravel(), many[:, of].ravel())
        np.testing.assert_allclose(np.transpose(display.counts.curve()), curve)
        assert display.counts.gap == pytest.approx(gap)


def test_reliability_of_lazy_rows_and_weights(tmp_path):
    weights = RNG.integers(0, 3, 300).astype(float)
    expected = ReliabilityDisplay.from_estimator(CLASSIFIER, X, WORDS, sample_weight=weights).counts
    twice = np.repeat(np.arange(300), weights.astype(int))
    copies = ReliabilityDisplay.from_estimator(CLASSIFIER, X[twice], WORDS[twice].tolist()).counts
    x, chunks = make_hdf5(X, tmp_path / "x.h5"), da.from_array(WORDS, chunks=70)
    lazy = ReliabilityDisplay.from_estimator(
        CLASSIFIER, da.from_array(X, chunks=(41, 3)), chunks, sample_weight=weights
    )
    files = ReliabilityDisplay.from_estimator(CLASSIFIER, x, chunks, sample_weight=da.from_array(weights, chunks=99))
    for counts in (copies, lazy.counts, files.counts):
        for name in ("weight", "probability", "hits"):
            np.testing.assert_allclose(getattr(counts, name), getattr(expected, name), rtol=1e-10, atol=1e-12)


def test_errors_of_reliability():
    p = CLASSIFIER.predict_proba(X)
    for error, message, arguments in (
        (ParameterError, r"^n_bins must be an int, 1 or more; got 0", {"n_bins": 0}),
        (ParameterError, r"^label must be one of \['low', 'mid', 'top'\]; got 'no'", {"label": "no"}),
        (DataError, r"^y_prob must be of the classes \['low', 'mid'\]", {"classes": ["low", "mid"]}),
        (DataError, "must have the same number of rows", {"y": WORDS[:9]}),
        (DataError, "^y_prob must be from 0 to 1; got ", {"y_prob": 2 * p}),
        (InputTypeError, "^y_prob must hold numbers; got <U3", {"y_prob": WORDS}),
    ):
        with pytest.raises(error, match=message):
            ReliabilityDisplay.from_predictions(**{"y": WORDS, "y_prob": p} | arguments)
