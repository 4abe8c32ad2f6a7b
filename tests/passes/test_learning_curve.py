"""A learning curve from the same pass: each point is a fit on some rows scored on the next, and it may end early."""

import contextlib
import math
import pickle
import sys
import threading
import time

import dask
import dask.array as da
import h5py
import numpy as np
import pytest
import scipy.special
from dask.highlevelgraph import HighLevelGraph
from sklearn.metrics import r2_score

from daskelm import ELMClassifier, ELMRegressor, LearningCurvePlot, LearningCurvePoint, load, make_hdf5
from daskelm.cluster.client import current_client, local_get
from daskelm.cluster.local import reduce_here
from daskelm.cluster.merge_tree import _priorities, reduce_graph
from daskelm.cluster.receiver import Receiver
from daskelm.data.targets import RegressionTargets
from daskelm.exceptions import DataError, IllConditionedWarning, InsufficientMemoryError, ParameterError, ScaleWarning
from daskelm.hdf5.rows import open_rows
from daskelm.passes import accumulate as accumulation
from daskelm.passes import curve_pass as curve_sums
from daskelm.passes.learning_curve import EarlyStop, Step
from daskelm.passes.memory import PassSizes
from daskelm.passes.segments import curve_fractions, segments_of, spread_order, unit_rows
from daskelm.passes.tasks import GramTask, cut_runs
from daskelm.plots import learning_curve as learning_curve_plot
from daskelm.progress import RowProgress
from daskelm.sums.counted_table import CountedTable
from daskelm.sums.provenance import Origin
from daskelm.sums.row_cells import cell_of, cells_of

RNG = np.random.default_rng(0)
N, D, L = 2000, 4, 15
X = RNG.standard_normal((N, D))
Y = np.tanh(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.2 * RNG.standard_normal(N)
TWO = np.stack([Y, np.abs(X[:, 3])], axis=1)
LABELS = np.digitize(Y, [-0.5, 0.7])


def regressor(**parameters):
    return ELMRegressor(L, **{"random_state": 0, **parameters})


def curved(*data, **parameters):
    """A fitted model with a curve, and its points."""
    points = []
    kind = parameters.pop("kind", regressor)
    return kind(**parameters).fit(*data, callback=points.append), points


def same_sums(a, b):
    scale = np.sqrt(np.outer(np.diag(b.HH), np.diag(b.HH)))
    np.testing.assert_allclose(a.HH / scale, b.HH / scale, rtol=0, atol=1e-12)
    np.testing.assert_allclose(a.HT, b.HT, rtol=0, atol=1e-12 * np.abs(b.HT).max())
    np.testing.assert_allclose(a.moments().TT, b.moments().TT, rtol=1e-12)
    assert a.n_samples == b.n_samples
    assert a.ledger == b.ledger
    cells = [{name: source.cells for name, source in sums.ledger.sources.items()} for sums in (a, b)]
    assert cells[0] == cells[1]


def same_curve(a, b, atol=1e-9):
    np.testing.assert_array_equal(a["n_samples"], b["n_samples"])
    np.testing.assert_allclose(a["score"], b["score"], rtol=0, atol=atol)
    np.testing.assert_allclose(a["alpha"], b["alpha"], rtol=1e-6)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    many = ([], [])
    for i, (a, b) in enumerate([(0, 1), (1, 700), (700, 703), (703, N)]):
        for paths, data, name in zip(many, (X, TWO), "XY", strict=True):
            path = folder / f"part{name}{i}.h5"
            with h5py.File(path, "w") as file:
                file.create_dataset("data", data=data[a:b], chunks=(min(37, b - a), data.shape[1]))
            paths.append(str(path))
    return {"one": (make_hdf5(X, folder / "X.h5"), make_hdf5(TWO, folder / "Y.h5")), "many": many}


# The order


@pytest.mark.parametrize("n_blocks", [1, 2, 3, 5, 64, 100, 1023])
def test_every_beginning_of_the_order_is_spread_evenly(n_blocks):
    order = spread_order(n_blocks, np.random.RandomState(5))
    assert sorted(order) == list(range(n_blocks))
    np.testing.assert_array_equal(order, spread_order(n_blocks, np.random.RandomState(5)))
    size = 1 << (n_blocks - 1).bit_length()
    if size == n_blocks:
        for k in range(size.bit_length()):
            assert sorted(order[: 2**k] // (size // 2**k)) == list(range(2**k))
    if n_blocks > 60:
        assert (order != spread_order(n_blocks, np.random.RandomState(6))).any()
        assert np.abs(np.diff(order)).mean() > n_blocks / 6


@pytest.mark.parametrize("n_rows", [20, 150, 5000, 10**5, 10**7])
@pytest.mark.parametrize("n_neurons", [1, 50, 1000])
def test_segments_grow_and_have_many_blocks(n_rows, n_neurons):
    fractions = curve_fractions(n_rows, n_neurons, gcv=False)
    assert fractions[-1] == 1
    assert len(fractions) - 1 <= 12
    rows = unit_rows(n_rows, fractions, 10**6)
    sizes = np.full(-(-n_rows // rows), rows)
    sizes[-1] -= sizes.sum() - n_rows
    segments = segments_of(sizes, fractions, seed=n_rows)
    assert sorted(np.concatenate(segments)) == list(range(len(sizes)))
    n_blocks = [1 + np.count_nonzero(np.diff(segment) > 1) for segment in segments]
    assert all((np.diff(segment) > 0).all() for segment in segments)
    if rows > 1:
        assert 80 <= min(n_blocks) <= max(n_blocks) <= 410
        # From everywhere: in each tenth of the rows about a tenth of each segment.
        for segment in segments:
            parts = np.histogram(segment, 10, (0, len(sizes)))[0] / len(segment)
            assert 0.05 < parts.min() <= parts.max() < 0.15
    trained = np.cumsum([sizes[segment].sum() for segment in segments])[:-1]
    if n_rows >= 5000:
        assert sum(trained < n_rows / 3) >= 2
        np.testing.assert_allclose(trained / n_rows, fractions[:-1], rtol=0.05)


def test_points_are_few_where_solving_is_dear():
    # 8 L^3 operations for eigenvalues, against N L^2 of the fit.
    assert len(curve_fractions(10**5, 2000, gcv=True)) == 5
    assert len(curve_fractions(10**6, 2000, gcv=True)) == 7
    assert len(curve_fractions(10**7, 2000, gcv=True)) == 13
    assert len(curve_fractions(10**6, 2000, gcv=False)) == 13


# The curve


@pytest.mark.parametrize("alpha", ["gcv", 0.5])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_points_are_fits_scored_on_the_next_rows(monkeypatch, alpha, fit_intercept, weighted):
    cuts = []
    segments = curve_sums._CurvePass._in_segments

    def spy(self, units):
        found = segments(self, units)
        cuts[:] = [np.concatenate([np.arange(*unit) for unit in segment]) for segment in found]
        return found

    monkeypatch.setattr(curve_sums._CurvePass, "_in_segments", spy)
    weights = RNG.integers(0, 3, N).astype(float) if weighted else None
    model, points = curved(X, TWO, weights, alpha=alpha, fit_intercept=fit_intercept)
    assert len(points) == len(cuts) - 1 >= 10
    for j, point in enumerate(points):
        train, test = np.concatenate(cuts[: j + 1]), cuts[j + 1]
        # Scores of a curve are of outputs that are not limited to the range of the targets.
        plain = regressor(alpha=alpha, fit_intercept=fit_intercept, clip=False)
        plain.initialize(X, TWO, sample_weight=weights)
        w = (None, None) if weights is None else (weights[train], weights[test])
        plain.partial_fit(X[train], TWO[train], w[0])
        assert point.n_samples == len(train)
        assert point.n_samples_total == N
        assert point.score == pytest.approx(r2_score(TWO[test], plain.predict(X[test]), sample_weight=w[1]), abs=1e-8)
        assert point.score == pytest.approx(plain.score(X[test], TWO[test], w[1]), abs=1e-8)
        assert point.alpha == pytest.approx(np.mean(plain.alpha_), rel=1e-9)
        assert 0 <= point.seconds_left < math.inf
    for name in ("n_samples", "score", "alpha"):
        np.testing.assert_array_equal(model.learning_curve_[name], [getattr(point, name) for point in points])
    assert not model.stopped_early_


@pytest.mark.parametrize("form", ["numpy", "one", "many", "mixed", "dask", "dask of file"])
@pytest.mark.parametrize("where", ["threads", "one thread", "sync", "client"])
def test_the_sums_are_those_without_a_curve(request, files, form, where):
    data = {
        "numpy": (X, TWO),
        "mixed": (files["one"][0], TWO),
        "dask": (da.from_array(X, chunks=((0, 700, 0, *[50] * 26), 2)), da.from_array(TWO, chunks=(99, 2))),
        "dask of file": (files["one"][0], da.from_array(TWO, chunks=(99, 1))),
    } | files
    data = data[form]
    settings = {"one thread": {"scheduler": "threads", "num_workers": 1}}
    if where == "client":
        request.getfixturevalue("client")
        settings = {"client": {}}
    with dask.config.set(settings.get(where, {"scheduler": where})):
        plain = regressor().fit(*data)
        model, points = curved(*data)
    same_sums(model.normal_equations_, plain.normal_equations_)
    np.testing.assert_allclose(model.coef_, plain.coef_, atol=1e-8 * np.abs(plain.coef_).max())
    assert len(points) >= (10 if "dask" not in form else 0)


@pytest.mark.parametrize("form", ["numpy", "one", "many"])
@pytest.mark.parametrize("where", ["threads", "sync", "client"])
def test_all_tasks_of_a_segment_are_in_the_sums(request, monkeypatch, files, form, where):
    for module in (accumulation, curve_sums):
        monkeypatch.setattr(module, "rows_per_task", lambda *sizes: 40)
    tasks, of_rows = [], GramTask.of_rows
    monkeypatch.setattr(GramTask, "of_rows", lambda *parts: tasks.append(parts) or of_rows(*parts))
    settings = {"client": {}}
    if where == "client":
        request.getfixturevalue("client")
    data = (X, TWO) if form == "numpy" else files[form]
    with dask.config.set(settings.get(where, {"scheduler": where})):
        model, points = curved(*data)
    assert len(tasks) > 3 * (len(points) + 1)
    monkeypatch.undo()
    same_sums(model.normal_equations_, regressor().fit(*data).normal_equations_)


def test_the_local_scheduler_may_be_one_of_processes(files):
    plain = regressor().fit(files["one"][0], TWO)
    with dask.config.set(scheduler="processes", num_workers=2):
        model, points = curved(files["one"][0], TWO)
    same_sums(model.normal_equations_, plain.normal_equations_)
    assert len(points) >= 10


def test_the_curve_is_the_same_everywhere(client, tmp_path):
    # Of so few rows units are single rows, wherever chunks are low, or so high that they are cut.
    assert unit_rows(N, curve_fractions(N, L, gcv=True), N) == 1
    here, _ = curved(X, Y)
    for n_threads in (1, 2, 3):
        with dask.config.set(scheduler="threads", num_workers=n_threads):
            again, _ = curved(X, Y)
            np.testing.assert_array_equal(again.learning_curve_["n_samples"], here.learning_curve_["n_samples"])
            same_curve(again.learning_curve_, here.learning_curve_)
    y = make_hdf5(Y[:, None], tmp_path / "y.h5")
    for chunk in (1, 7, N):
        with h5py.File(tmp_path / f"{chunk}.h5", "w") as file:
            file.create_dataset("X", data=X, chunks=(chunk, D))
        for scheduler in ("threads", client):
            with dask.config.set(scheduler=scheduler):
                of_file, _ = curved(tmp_path / f"{chunk}.h5", y)
            same_curve(of_file.learning_curve_, here.learning_curve_)


def test_the_same_call_gives_the_same_bits(no_client):
    a, b = (curved(X, Y)[0] for _ in range(2))
    np.testing.assert_array_equal(a.learning_curve_["score"], b.learning_curve_["score"])
    np.testing.assert_array_equal(a.coef_, b.coef_)


def test_classes_are_scored_by_their_columns():
    model, points = curved(X, LABELS, kind=lambda: ELMClassifier(L, random_state=0))
    indicators = np.eye(3)[LABELS]
    other = regressor(alpha=points[-1].alpha).fit(X, indicators)
    assert points[-1].score == pytest.approx(other.score(X, indicators), abs=0.1)
    assert points[-1].score > 0.2
    assert model.score(X, LABELS) > 0.7
    _, points = curved(X, np.stack([Y > 0, X[:, 0] > 0], axis=1).astype(int), kind=lambda: ELMClassifier(L))
    assert 0.3 < points[-1].score < 1


def test_constant_targets_and_rows_of_weight_zero():
    _, points = curved(X, np.stack([Y, np.full(N, 1e9 / 3)], axis=1))
    _, alone = curved(X, Y)
    np.testing.assert_allclose([p.score for p in points], [(1 + p.score) / 2 for p in alone], atol=0.01)
    weights = np.zeros(N)
    weights[:3] = 1
    _, points = curved(X, Y, weights)
    assert len(points) < len(alone)


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_tables_of_few_rows(n):
    with pytest.warns(ScaleWarning, match="never varied in the 1 row") if n == 1 else contextlib.nullcontext():
        model, points = curved(X[:n], Y[:n], alpha=1.0)
    assert model.normal_equations_.n_samples == n
    assert len(points) < n
    assert set(model.learning_curve_) == {"n_samples", "score", "alpha"}


def test_warnings_of_points_are_not_shown_and_that_of_the_whole_is():
    twice = np.concatenate([X, X[:, :1]], axis=1)
    with pytest.warns(IllConditionedWarning, match="not safely positive definite") as shown:
        ELMRegressor([(5, "lin")], alpha=0.0, standardize=False, verbose=2).fit(twice, Y)
    assert len(shown) == 1


# When it is made, and where it is kept


def test_it_is_made_on_request_only_and_kept(tmp_path):
    model = regressor().fit(X, Y)
    for name in ("learning_curve_", "stopped_early_"):
        assert not hasattr(model, name)
        with pytest.raises(AttributeError, match=f"{name}: this ELMRegressor has no learning curve. Call fit with"):
            getattr(model, name)
    model.set_params(verbose=2).fit(X, Y)
    curve = model.learning_curve_
    for copy in (pickle.loads(pickle.dumps(model)), _by_file(model, tmp_path / "m.h5")):
        assert not copy.stopped_early_
        for name, values in curve.items():
            np.testing.assert_array_equal(copy.learning_curve_[name], values)
            assert copy.learning_curve_[name].dtype == values.dtype
    assert not hasattr(model.initialize(X), "learning_curve_")
    model.fit(X, Y)
    model.set_params(verbose=0).fit(X, Y)
    assert not hasattr(model, "learning_curve_")
    pandas = pytest.importorskip("pandas")
    assert list(pandas.DataFrame(curve)) == ["n_samples", "score", "alpha"]


def _by_file(model, path):
    model.save(path)
    return load(path)


def test_what_the_terminal_shows(capsys, monkeypatch):
    # Points are made in a thread while rows are summed; here they have time to come before the last line.
    advance = RowProgress.advance
    monkeypatch.setattr(RowProgress, "advance", lambda self, n_rows: time.sleep(0.1) or advance(self, n_rows))
    regressor(verbose=2).fit(X, Y)
    assert "R2 0." in capsys.readouterr().err
    regressor(verbose=1, tol=10.0).fit(X, Y)
    shown = capsys.readouterr().err
    assert "rows are enough, R2 0." in shown
    regressor(verbose=1).fit(X, Y)
    assert "R2" not in capsys.readouterr().err


def test_plain_verbose_changes_no_bit(no_client, capsys):
    np.testing.assert_array_equal(regressor(verbose=1).fit(X, Y).coef_, regressor().fit(X, Y).coef_)


def test_a_line_on_a_terminal_ends(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    progress = RowProgress(100, 1)
    assert progress.seconds_left() == math.inf
    progress.advance(10)
    progress.note = "R2 0.5"
    progress.stop(10)
    assert capsys.readouterr().err.endswith("gram: 10 of 100 rows are enough, R2 0.5\033[K\n")


# Ending early


def test_callbacks_see_every_point_in_this_thread_and_end_the_pass():
    seen = []

    def third(point):
        seen.append((point, threading.current_thread()))
        return np.bool_(len(seen) == 3)

    others = []
    model = regressor().fit(X, Y, callback=[others.append, third])
    assert [point for point, _ in seen] == others
    assert {thread for _, thread in seen} == {threading.current_thread()}
    assert len(others) == 3
    assert isinstance(others[0], LearningCurvePoint)
    assert model.stopped_early_
    assert others[-1].n_samples < model.normal_equations_.n_samples < N
    assert regressor().fit(X, Y, callback=lambda point: "on").normal_equations_.n_samples == N
    assert not hasattr(regressor().fit(X, Y), "learning_curve_")


def test_a_stopped_fit_is_exact_for_the_rows_it_used(files, request):
    models = []
    for where in ("one", "two", "client"):
        if where == "client":
            request.getfixturevalue("client")
        settings = {"one": {"num_workers": 1}, "two": {"num_workers": 2}}.get(where, {})
        with dask.config.set({"scheduler": "threads"} | settings if settings else {}):
            models.append(regressor(alpha=0.1).fit(*files["many"], callback=lambda point: point.n_samples > 300))
    sums = models[0].normal_equations_
    rows = np.zeros(N, bool)
    for source in sums.ledger.sources.values():
        first = {"X0": 0, "X1": 1, "X2": 700, "X3": 703}[next(iter(source.paths)).partition(".h5")[0][-2:]]
        for a, b in source.ranges:
            rows[first + a : first + b] = True
    assert rows.sum() == sums.n_samples < N
    plain = regressor(alpha=0.1)
    plain.initialize(X, TWO)
    plain.partial_fit(X[rows], TWO[rows])
    for model in models:
        assert model.normal_equations_.ledger == sums.ledger
        np.testing.assert_allclose(model.coef_, plain.coef_, atol=1e-9)
    assert sums.ledger.n_unknown == 0


TIMES = 10
_INPUTS = RNG.uniform(-2, 2, (20_000, 3))
_TARGET = np.tanh(2 * _INPUTS[:, 0]) + 0.5 * _INPUTS[:, 1] ** 2 + 0.1 * RNG.standard_normal(20_000)


def repeated(by_target):
    x, y = np.tile(_INPUTS, (TIMES, 1)), np.tile(_TARGET, TIMES)
    order = np.argsort(y, kind="stable") if by_target else slice(None)
    return x[order], y[order]


NEW = RNG.uniform(-2, 2, (20_000, 3))
NEW_TARGET = np.tanh(2 * NEW[:, 0]) + 0.5 * NEW[:, 1] ** 2 + 0.1 * RNG.standard_normal(20_000)


@pytest.mark.parametrize("by_target", [False, True], ids=["as it is", "sorted"])
@pytest.mark.parametrize("form", ["numpy", "file", "client", "dask"])
def test_a_table_repeated_ten_times_is_enough_of_it_before_a_third(request, tmp_path, form, by_target):
    x, y = repeated(by_target)
    if form in ("file", "client"):
        x, y = make_hdf5(x, tmp_path / "x.h5"), make_hdf5(y[:, None], tmp_path / "y.h5")
    if form == "client":
        request.getfixturevalue("client")
    if form == "dask":
        x, y = da.from_array(x, chunks=(100, 3)), da.from_array(y, chunks=(100,))
    full = ELMRegressor(40, random_state=0).fit(x, y).score(NEW, NEW_TARGET)
    model = ELMRegressor(40, random_state=0, tol=1e-3).fit(x, y)
    assert model.stopped_early_
    assert model.normal_equations_.n_samples < 10 * len(_INPUTS) / 3
    assert model.score(NEW, NEW_TARGET) > full * (1 - 0.005)


def test_a_rising_curve_goes_on():
    assert not regressor(tol=1e-4).fit(X, Y).stopped_early_
    assert regressor(tol=0.5).fit(X, Y).stopped_early_


def test_the_rule():
    def after(tol, *changes):
        stop = EarlyStop(tol)
        return [stop(Step(None, n, 0.5, 1.0, gain)) for n, gain in changes]

    assert after(None, (100, 0.0), (200, 0.0), (400, 0.0)) == [False] * 3
    assert after(1e-3, (100, None), (200, 1e-4), (400, 1e-4)) == [False, False, True]
    # A fall is no end; nor is one small change alone.
    assert after(1e-3, (100, -0.5), (200, -0.5)) == [False, False]
    assert after(1e-3, (100, 0.1), (200, 0.0), (400, 0.1), (800, 0.0)) == [False] * 4
    # All of the last doubling.
    assert after(1e-3, (100, 0.1), (141, 0.0), (200, 0.0), (283, 0.0)) == [False, False, False, True]
    assert after(0.0, (100, 0.0), (200, 0.0)) == [False, False]


# What is refused


@pytest.mark.parametrize("tol", [-1e-3, math.inf, math.nan, "1e-3", True])
def test_tol_that_is_none(tol):
    with pytest.raises(ParameterError, match="tol must be None .* such as 1e-3"):
        regressor(tol=tol).fit(X, Y)


@pytest.mark.parametrize("callback", [3, [print, 3], "plot"])
def test_callbacks_that_are_none(callback):
    with pytest.raises(ParameterError, match="callback must be a callable, or a list of them"):
        regressor().fit(X, Y, callback=callback)


@pytest.mark.parametrize("request_", [{"tol": 1e-3}, {"verbose": 2}, {"callback": print}])
def test_no_checkpoint_beside_a_curve(files, tmp_path, request_):
    callback = request_.pop("callback", None)
    with pytest.raises(ParameterError, match="checkpoint: a learning curve takes .* Leave out the checkpoint, or"):
        regressor(**request_).fit(*files["one"], checkpoint=tmp_path / "s.h5", callback=callback)


def test_alpha_is_checked_before_the_pass(monkeypatch):
    monkeypatch.setattr(curve_sums, "run_in_segments", lambda *args, **more: pytest.fail("rows were read"))
    with pytest.raises(ParameterError, match="alpha must be"):
        regressor(alpha=-1.0, tol=1e-3).fit(X, Y)


def test_what_does_not_fit_is_refused_before_the_pass(monkeypatch):
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 300 * 2**20)
    x = RNG.standard_normal((200, 2))
    with pytest.raises(InsufficientMemoryError, match="This process needs about .* GiB to solve 1000 neurons"):
        ELMRegressor(1000, tol=1e-3).fit(x, x[:, 0])


def test_memory_of_segments_that_wait_and_of_a_point():
    sizes = PassSizes(1000, 2, 1, 100, n_tasks=2, waiting=4)

    def need_of(n_segments, here):
        [need] = curve_sums._CurvePass(np.ones(n_segments), 1, here, 1).needs(sizes)
        return need

    waiting = sizes.need.total + 5 * sizes.partial
    need_of(5, here=False).check(waiting, "Worker")
    with pytest.raises(InsufficientMemoryError, match="Worker needs"):
        need_of(6, here=False).check(waiting, "Worker")
    with pytest.raises(InsufficientMemoryError, match="This process needs"):
        need_of(5, here=True).check(waiting + 40 * 1000**2, "This process")


@pytest.mark.parametrize("form", ["numpy", "file"])
@pytest.mark.parametrize("name", ["X", "y"])
def test_nan_names_the_row(tmp_path, form, name):
    x, y = X.copy(), Y[:, None].copy()
    (x if name == "X" else y)[1234, 0] = math.nan
    place = "row 1234"
    if form == "file":
        x, y = make_hdf5(x, tmp_path / "X.h5"), make_hdf5(y, tmp_path / "y.h5")
        place += f" of .*{name}.h5"
    with pytest.raises(DataError, match=f"{name} must be finite; got NaN first in {place}, column 0"):
        ELMRegressor(L, standardize=False, tol=1e-3).fit(x, y)


def test_negative_weights_name_the_row():
    weights = np.ones(N)
    weights[77] = -1
    with pytest.raises(DataError, match="not be negative; got -1, the first in row 77"):
        ELMRegressor(L, standardize=False, tol=1e-3).fit(X, Y, weights)


def test_a_layer_that_gives_nan_is_told_as_ever():
    with pytest.raises(DataError, match="hidden layer gives NaN"):
        ELMRegressor([(L, scipy.special.erfinv)], random_state=0, tol=1e-3).fit(X, Y)


# Tasks


def test_what_goes_to_workers_is_pure_and_pickles(files):
    x, y = map(open_rows, files["many"])
    bounds = [(0, 1), (3, 8), (650, 700), (700, 702), (1900, 2000)]
    task = GramTask.of_rows(RegressionTargets(2, "float64"), (x, y, None), bounds, 40)
    layer = regressor().initialize(X).hidden_layer_
    rows = np.concatenate([np.arange(*bound) for bound in bounds])
    expected = regressor()
    expected.initialize(X)
    expected.partial_fit(X[rows], TWO[rows])
    for sums in (task(layer), task(layer), pickle.loads(pickle.dumps(task))(pickle.loads(pickle.dumps(layer)))):
        same_sums(sums, expected.normal_equations_)
    assert len(pickle.dumps(task)) < 5000


def test_a_task_names_its_own_files_only(files):
    x = open_rows(files["many"][0])
    cut = cut_runs(x, [(702, 703), (703, 750)])
    assert [part.path[-5:] for part in cut.files.parts] == ["X2.h5", "X3.h5"]
    assert cut.runs == [[2, 3], [3, 50]]
    one = cut_runs(x, [(702, 750)])
    assert [part.path[-5:] for part in one.files.parts] == ["X2.h5", "X3.h5"]
    assert one.runs == [(0, 48)]
    inner = cut_runs(x.between(650, N), [(0, 10), (50, 60)])
    np.testing.assert_array_equal(
        np.concatenate(inner.files.read_runs(inner.runs)), X[[*range(650, 660), *range(700, 710)]]
    )
    origins = [Origin(a, b, 0, name, 1) for a, b, name in [(0, 700, "a"), (700, 703, "b"), (703, N, "c")]]
    assert [origin.name for origin in accumulation.origins_of(origins, [(702, 703), (703, 705)])] == ["b", "c"]
    assert accumulation.origins_of((), [(0, 1)]) == ()


def test_the_rows_of_a_cell_are_found_among_many_ranges():
    source = CountedTable(((0, 3), (60, 100), (150, 160), (170, 200)), cell_rows=64)
    cells = [source.rows_in(cell) for cell in (0, 2, 32, 64, 128, 192, 256)]
    assert cells == [((0, 1),), ((2, 3),), ((60, 64),), ((64, 100),), ((150, 160), (170, 192)), ((192, 200),), ()]
    rows = np.concatenate([np.arange(300), [2**40 - 1]])
    assert cells_of(rows, 64).tolist() == [cell_of(int(row), 64)[0] for row in rows]


def keys_on(client):
    return [key for key in client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks))]


@pytest.fixture
def settled(client):
    """Whether the scheduler forgets all tasks that were added since; other tests' may still be on their way out."""
    before = keys_on(client)

    def settled():
        end = time.monotonic() + 60
        while left := set(keys_on(client)).difference(before):
            if time.monotonic() > end:
                return left
            time.sleep(0.05)
        return True

    return settled


def test_an_end_an_error_and_an_interrupt_leave_no_tasks_behind(settled, files):
    def interrupt(point):
        raise KeyboardInterrupt

    assert regressor().fit(*files["many"], callback=lambda point: True).stopped_early_
    assert settled() is True
    with pytest.raises(KeyboardInterrupt):
        regressor().fit(*files["many"], callback=interrupt)
    assert settled() is True
    curved(*files["many"])
    assert settled() is True


@pytest.mark.parametrize("where", ["threads", "client"])
def test_errors_of_tasks_are_raised_as_they_are(request, where):
    def fail(block):
        if len(block) and block[0, 0] == X[1300, 0]:
            raise OSError("the disk is on fire")
        return block

    x = da.from_array(X, chunks=(100, D)).map_blocks(fail, dtype=float, meta=np.empty((0, 0)))
    settled = request.getfixturevalue("settled") if where == "client" else None
    with pytest.raises(OSError, match="on fire"):
        ELMRegressor(L, standardize=False, tol=1e-3).fit(x, da.from_array(Y, chunks=100))
    if settled:
        assert settled() is True


# The tree in segments


def in_segments(sizes, function=lambda i: [i]):
    graph, segments, i = {}, [], 0
    for size in sizes:
        segments.append({("leaf", j): 10 for j in range(i, i + size)})
        graph |= {("leaf", j): (function, j) for j in range(i, i + size)}
        i += size
    return HighLevelGraph.from_collections("leaf", graph), segments


def concatenate(parts):
    return [item for part in parts for item in part]


@pytest.mark.parametrize("sizes", [[1], [1, 1, 1], [3, 20, 1, 7], [17]])
@pytest.mark.parametrize("where", ["threads", "sync", "client"])
def test_every_segment_is_taken_in_order(request, sizes, where):
    taken, seen, progress = [], [], []
    if where == "client":
        request.getfixturevalue(where)
    with dask.config.set({} if where == "client" else {"scheduler": where}):
        receiver = Receiver(
            seen.append, prepare=lambda value: taken.append(sorted(value)) or len(taken), on_leaf_done=progress.append
        )
        reduce_graph(*in_segments(sizes), concatenate, receiver, client=current_client(), split_every=4)
    assert [len(value) for value in taken] == sizes
    assert concatenate(taken) == list(range(sum(sizes)))
    assert seen == list(range(1, len(sizes) + 1))
    assert sum(progress) == 10 * sum(sizes)


@pytest.mark.parametrize("where", ["threads", "client", "here"])
def test_what_is_not_needed_is_not_done(request, tmp_path, where):
    def leaf(i):
        (tmp_path / str(i)).touch()
        time.sleep(0.02)
        return [i]

    seen = []
    receiver = Receiver(lambda value: seen.append(value) or len(seen) == 2, prepare=sorted)
    if where == "client":
        client, settled = request.getfixturevalue(where), request.getfixturevalue("settled")
        reduce_graph(*in_segments([2, 2, 2000], leaf), concatenate, receiver, client=client)
        assert settled() is True
    elif where == "threads":
        with dask.config.set(scheduler="threads", num_workers=2):
            reduce_graph(*in_segments([2, 2, 2000], leaf), concatenate, receiver)
    else:
        with dask.config.set(scheduler="threads", num_workers=2):
            calls = [[(10, lambda i=i: leaf(i)) for i in part] for part in ([0, 1], [2, 3], range(4, 2000))]
            reduce_here(calls, concatenate, receiver)
    assert seen == [[0, 1], [2, 3]]
    time.sleep(0.1)
    # Leaves of 20 ms go on until the second value is taken; on a busy machine this may last ten seconds, not twenty.
    assert len(list(tmp_path.iterdir())) < 1000


def test_work_goes_on_while_a_value_is_taken(no_client):
    # The value of the first segment is held until the last leaf has run.
    last = threading.Event()

    def take(value):
        assert last.wait(20)
        return value

    calls = [[(1, lambda i=i: last.set() if i == 39 else None) for i in part] for part in ([0], range(1, 40))]
    seen = []
    with dask.config.set(scheduler="threads", num_workers=2):
        reduce_here(calls, lambda parts: None, Receiver(seen.append, prepare=take))
    assert len(seen) == 2


def test_an_error_in_take_is_raised(client):
    for where in (None, client):
        receiver = Receiver(lambda v: False, prepare=lambda v: 1 / 0)
        with dask.config.set(scheduler="threads" if where is None else where), pytest.raises(ZeroDivisionError):
            reduce_graph(*in_segments([2, 5]), concatenate, receiver, client=where)
    assert local_get() is not None


def test_what_segments_share_is_due_with_the_first():
    graph = {"shared": (int,), "a": (int, "shared"), "b": (int, "shared"), "own": (int,), "c": (int, "own")}
    graph = HighLevelGraph.from_collections("x", graph)
    priorities = _priorities(graph, {"a": 0, "b": 1, "c": 2})
    assert dict(priorities) == {"a": 0, "shared": 0, "b": -1, "c": -2, "own": -2}
    assert pickle.loads(pickle.dumps(priorities.__getitem__))("other") == 0


def test_a_cluster_begins_with_the_first_segments(client, tmp_path):
    def leaf(i):
        (tmp_path / f"{i:03}").write_text(str(time.monotonic_ns()))
        time.sleep(0.01)
        return [i]

    graph, segments = in_segments([10] * 6, leaf)
    # Named against the order of the work.
    segments = segments[::-1]
    reduce_graph(graph, segments, concatenate, Receiver(lambda value: False, prepare=sorted), client=client)
    begun = sorted((int(path.read_text()), int(path.name)) for path in tmp_path.iterdir())
    first = [number for _, number in begun[:20]]
    assert sum(number >= 30 for number in first) >= 15


# The picture


def points_of(scores, total=1000):
    return [LearningCurvePoint(100 * (i + 1), total, score, 1.0, 0.0) for i, score in enumerate(scores)]


def test_it_draws_into_axes():
    plt = pytest.importorskip("matplotlib.pyplot")
    figure, ax = plt.subplots()
    plot = LearningCurvePlot(ax)
    model = regressor().fit(X, Y, callback=plot)
    assert plot.ax_ is ax
    assert plot.figure_ is figure
    [line] = ax.lines
    np.testing.assert_array_equal(line.get_ydata(), model.learning_curve_["score"])
    assert ax.get_xlim()[1] == N
    assert "R²" in ax.get_ylabel()
    figure.canvas.draw()
    # Another fit is another curve.
    regressor(alpha=1.0).fit(X, Y, callback=plot)
    assert [len(line.get_xdata()) for line in ax.lines] == [12, 12]
    plt.close(figure)


def test_outside_of_a_notebook_it_needs_axes(monkeypatch):
    monkeypatch.setattr(learning_curve_plot, "in_notebook", lambda: False)
    with pytest.raises(ParameterError, match="ax: outside of a notebook there must be axes .*subplots"):
        LearningCurvePlot()


def test_without_ipython_there_is_no_notebook(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not learning_curve_plot.in_notebook()


def test_in_a_notebook_one_picture_is_redrawn(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    interactive = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell
    from IPython.utils.capture import capture_output

    assert not learning_curve_plot.in_notebook()
    interactive.instance(history_length=0)
    try:
        plot = LearningCurvePlot()
        with capture_output() as shown:
            for point in points_of([0.1, 0.5, 0.6]):
                assert plot(point) is None
        assert [output.update for output in shown.outputs] == [False, True, True]
        assert len({output.transient["display_id"] for output in shown.outputs}) == 1
        assert all(output.data["image/png"] for output in shown.outputs)
        with capture_output() as shown:
            plot(points_of([0.2])[0])
        assert [output.update for output in shown.outputs] == [False]
        assert len(plot.ax_.lines) == 1
    finally:
        interactive.clear_instance()
