"""Progress in the form that the place expects: terminals, log files, notebooks, callbacks of scikit-learn's."""

import subprocess
import sys
import time
import types
from pathlib import Path

import dask
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold

from daskelm import ELMClassifier, ELMRegressor, ELMRegressorCV, from_hdf5, load, make_hdf5
from daskelm import progress as progress_module
from daskelm.cluster.futures import map_with_progress
from daskelm.exceptions import DataError
from daskelm.progress import RowProgress, listening

N = 2000
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 4))
Y = np.sin(X[:, 0]) + 0.1 * RNG.standard_normal(N)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return make_hdf5(X, folder / "X.h5"), make_hdf5(Y, folder / "y.h5"), make_hdf5(1 * (Y > 0), folder / "c.h5")


@pytest.fixture(params=["client", "threads", "sync"])
def where(request):
    if request.param == "client":
        yield request.getfixturevalue("client")
    else:
        with dask.config.set(scheduler=request.param):
            yield None


class Heard:
    """A listener: (label, total, unit, all that was told) of each piece of work."""

    def __init__(self):
        self.work = []

    def __call__(self, label, total, unit):
        told = []
        self.work.append((label, total, unit, told))
        return told.append


def test_who_listens_is_told_of_every_row(where, files):
    heard = Heard()
    with listening(heard):
        model = ELMRegressor(10, random_state=0).partial_fit(*files[:2])
        model.score(*files[:2])
    assert [work[:3] for work in heard.work] == [("gram", N, "rows"), ("score", N, "rows")]
    assert all(told == sorted(told) and told[-1] == N for *_, told in heard.work)


def test_nobody_listens_outside_or_where_another_does():
    heard, inner = Heard(), Heard()
    with listening(heard):
        with listening(inner):
            RowProgress(1).advance(1)
        with listening(None):
            RowProgress(1).advance(1)
    RowProgress(1).advance(1)
    assert heard.work == []
    assert inner.work == [("gram", 1, "rows", [1])]


def test_a_listener_does_not_outlive_an_error():
    heard = Heard()
    with pytest.raises(KeyError), listening(heard):
        raise KeyError
    RowProgress(1)
    assert heard.work == []


@pytest.mark.parametrize(
    "cv",
    [{"cv": None}, {"cv": "gcv"}, {"cv": "loo"}, {"cv": 3}, {"cv": KFold(3), "scoring": "neg_mean_absolute_error"}],
)
def test_solving_a_grid_counts_models(where, files, cv):
    heard = Heard()
    sizes, alphas = [4, 10], [0.1, 1.0, 10.0]
    model = ELMRegressorCV(10, n_neurons=sizes, alphas=alphas, random_state=0, **cv)
    # Of a fit only callbacks are told, which versions of scikit-learn before 1.9 do not have.
    model._reporting = lambda *rows: listening(heard)
    model.fit(*files[:2])
    n_folds = 5 if cv["cv"] is None else 1 if isinstance(cv["cv"], str) else 3
    n_models = n_folds * len(sizes) * len(alphas)
    labels = [("gram", N, "rows"), ("select", n_models, "models")]
    labels += [("score", N, "rows")] if "scoring" in cv or cv["cv"] == "loo" else []
    assert [work[:3] for work in heard.work] == labels
    assert all(told[-1] == total for _, total, _, told in heard.work)


def test_scores_and_labels_show_progress(where, files, capsys, monkeypatch):
    model = ELMRegressor(10, random_state=0, verbose=1).fit(*files[:2])
    assert capsys.readouterr().err.startswith("gram: ")
    R2 = model.score(*files[:2])
    assert f"score: {N:,} of {N:,} rows (100 %)" in capsys.readouterr().err
    assert pytest.approx(model.set_params(verbose=0).score(X, Y), abs=1e-12) == R2
    monkeypatch.setattr(RowProgress, "patience", property(lambda self: 0.0, lambda self, value: None), raising=False)
    classifier = ELMClassifier(10, random_state=0, verbose=1).fit(files[0], files[2])
    said = capsys.readouterr().err
    assert f"classes: {N:,} of {N:,} rows (100 %)" in said
    classifier.score(files[0], files[2])
    assert "score: " in capsys.readouterr().err


def test_arrays_in_memory_show_what_takes_long(capsys, monkeypatch):
    model = ELMRegressor(10, random_state=0).fit(X, Y).set_params(verbose=1)
    model.predict(X)
    assert capsys.readouterr().err == ""
    clock = iter(range(100))
    monkeypatch.setattr(progress_module, "time", types.SimpleNamespace(monotonic=lambda: 10.0 * next(clock)))
    model.predict(X)
    assert capsys.readouterr().err == "predict: 2,000 of 2,000 rows (100 %), 200 rows/s, 0 s left\n"


def test_patience_and_units():
    progress = RowProgress(10, 1, "select", unit="models", patience=5.0)
    assert "select: 0 of 10 models (0 %), 0 models/s" in progress.line(time.monotonic() + 1)


def test_on_a_terminal_one_line_is_rewritten(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = RowProgress(10, 1)
    for _ in range(10):
        progress.advance(1)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.count("\r") == 2
    assert "[##############################] gram: 10 of 10 rows" in said


def test_the_first_error_ends_tasks_in_view(where):
    def half(x):
        if x == 1:
            raise DataError("x is one.")
        return x / 2

    progress = RowProgress(3)
    assert map_with_progress(half, [(0,), (2,), (4,)], [1, 1, 1], progress) == [0, 1, 2]
    assert progress.n == 3
    with pytest.raises(DataError, match=r"x is one\."):
        map_with_progress(half, [(0,), (1,)], [1, 1], RowProgress(2))


def test_names_of_tasks_say_what_they_do(client, files, monkeypatch):
    # Tasks of few rows, so that there is something to merge.
    monkeypatch.setattr("daskelm.passes.accumulate.rows_per_task", lambda *sizes: N // 10)
    monkeypatch.setattr("daskelm.passes.accumulate.block_rows", lambda *sizes: N // 10)

    def prefixes(dask_scheduler):
        return {name: sum(prefix.all_durations.values()) for name, prefix in dask_scheduler.task_prefixes.items()}

    before = client.run_on_scheduler(prefixes)
    ELMClassifier(10, random_state=0).fit(files[0], files[2]).score(files[0], files[2])
    lazy = ELMClassifier(10, random_state=0).fit(from_hdf5(files[0], chunks=500), Y > 0)
    lazy.predict_proba(from_hdf5(files[0], chunks=500) * 1).compute()
    lazy.predict_proba(files[0], out=Path(files[0]).with_name("predicted.h5"))
    after = client.run_on_scheduler(prefixes)
    # The same cluster worked for other tests before: what took time since is of this one.
    found = {name for name in after if after[name] > before.get(name, 0)}
    assert found >= {"classes", "gram", "layer", "merge", "predict", "score"}
    assert not found & {"count", "hits", "squares_of", "_count", "_hits"}


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """A shell of IPython's that is no terminal."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    interactive = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell
    yield interactive.instance(history_length=0)
    interactive.clear_instance()


def test_in_a_notebook_a_line_is_rewritten(shell, capsys, no_client):
    from IPython.utils.capture import capture_output

    with capture_output(stderr=False) as shown:
        ELMRegressor(10, random_state=0, verbose=1).fit(X, Y)
    assert capsys.readouterr().err == ""
    [*_, last] = shown.outputs
    assert "gram: 2,000 of 2,000 rows (100 %)" in last.data["text/plain"]
    assert last.data["text/html"].startswith('<progress value="2000" max="2000"></progress> <code>gram: ')
    with capture_output() as shown:
        progress = RowProgress(None, 1, "make <hdf5>")
        progress.advance(10)
        progress.stop(10)
    assert [output.update for output in shown.outputs] == [False, True]
    assert len({output.transient["display_id"] for output in shown.outputs}) == 1
    assert shown.outputs[0].data["text/html"].startswith("<code>make &lt;hdf5&gt;: 10 rows")
    with capture_output() as shown:
        ELMRegressor(10, random_state=0).fit(X, Y)
    assert shown.outputs == []


def test_without_ipywidgets_there_is_the_line_alone(shell, client, files, monkeypatch):
    from IPython.utils.capture import capture_output

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with capture_output() as shown:
        ELMRegressor(10, random_state=0, verbose=1).fit(*files[:2])
    assert all("gram: " in output.data["text/plain"] for output in shown.outputs)
    assert len({output.transient["display_id"] for output in shown.outputs}) == 1


@pytest.mark.parametrize("options", [{}, {"callback": lambda point: point.n_samples > 1000}])
def test_in_a_notebook_dasks_own_bar_counts_tasks(shell, client, files, options, monkeypatch):
    pytest.importorskip("ipywidgets")
    bars, show_tasks = [], progress_module._show_tasks
    monkeypatch.setattr(progress_module, "_show_tasks", lambda futures: bars.append(show_tasks(futures)))
    from IPython.utils.capture import capture_output

    with capture_output() as shown:
        ELMRegressor(10, random_state=0, verbose=1).fit(*files[:2], **options)
    assert any("application/vnd.jupyter.widget-view+json" in output.data for output in shown.outputs)
    [bar] = bars
    end = time.monotonic() + 60
    while bar.status is None and time.monotonic() < end:
        time.sleep(0.05)
    if options:
        # What `callback` had no use for was cancelled, if it was not done already.
        assert bar.status in ("finished", "error")
    else:
        assert bar.status == "finished"
        assert bar.bar.value == 1


callback = pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9 has no callbacks")


class Recorder:
    """Notes what it is told, as (what, path of names of tasks)."""

    def __init__(self):
        self.events, self.rows = [], None

    def setup(self, estimator, context):
        self.events.append(("setup", context.task_name))

    def teardown(self, estimator, context):
        self.events.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self.events.append(("begin", context.task_name))
        if context.parent is None:
            self.rows = X, y, metadata

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.events.append(("end", context.task_name))
        if fitted_estimator is not None:
            self.fitted = fitted_estimator

    def of(self, what):
        return [name for event, name in self.events if event == what]


class Propagated(Recorder):
    max_propagation_depth = None


def test_callbacks_are_told_of_each_percent(where, files):
    heard = Recorder()
    weights = np.ones(N)
    model = ELMRegressor(10, random_state=0).set_callbacks(heard).fit(*files[:2], weights)
    assert heard.events[:3] == [("setup", "fit"), ("begin", "fit"), ("begin", "gram, 2,000 rows")]
    assert heard.events[-3:] == [("end", "gram, 2,000 rows"), ("end", "fit"), ("teardown", "fit")]
    assert heard.of("begin").count("rows") == heard.of("end").count("rows") == 100
    assert heard.rows == (*files[:2], {"sample_weight": weights})
    np.testing.assert_array_equal(heard.fitted.coef_, model.coef_)
    plain = ELMRegressor(10, random_state=0).fit(*files[:2], weights)
    np.testing.assert_allclose(plain.predict(X), model.predict(X), rtol=0, atol=1e-8)


def test_callbacks_are_told_of_each_pass(no_client, files):
    heard = Recorder()
    scoring = "neg_mean_absolute_error"
    model = ELMRegressorCV(10, n_neurons=[4, 10], alphas=[1.0], cv=2, scoring=scoring, random_state=0)
    model.set_callbacks(heard).fit(X[:50], Y[:50])
    passes = [name for name in heard.of("end") if name not in ("rows", "models")]
    assert passes == ["gram, 50 rows", "select, 4 models", "score, 50 rows", "fit"]
    # Fewer than a hundred are told one by one.
    assert heard.of("end").count("rows") == 100
    assert heard.of("end").count("models") == 4


def test_labels_are_no_pass_and_a_curve_is_one(no_client, files):
    heard = Recorder()
    ELMClassifier(10, random_state=0).set_callbacks(heard).fit(files[0], files[2], callback=lambda point: True)
    assert [name for name in heard.of("end") if name != "rows"] == ["gram, 2,000 rows", "fit"]
    assert 0 < heard.of("end").count("rows") < 100


def test_with_a_checkpoint_nothing_may_be_left_to_do(no_client, files, tmp_path):
    heard = Recorder()
    model = ELMRegressor(10, random_state=0).set_callbacks(heard)
    model.fit(*files[:2], checkpoint=tmp_path / "sums.h5")
    assert heard.of("end").count("rows") == 100
    heard.events.clear()
    model.fit(*files[:2], checkpoint=tmp_path / "sums.h5")
    assert heard.of("begin") == heard.of("end") == ["fit"]


def test_what_a_callback_of_fit_does_is_not_told(no_client):
    heard, other = Recorder(), ELMRegressor(5, random_state=0).fit(X, Y)

    def score(point):
        other.score(from_array, Y)
        ELMRegressor(5, random_state=0).fit(X, Y)

    from_array = dask.array.from_array(X, chunks=500)
    ELMRegressor(10, random_state=0).set_callbacks(heard).fit(X, Y, callback=score)
    assert [name for name in heard.of("begin") if name != "rows"] == ["fit", "gram, 2,000 rows"]


def test_after_an_error_callbacks_are_torn_down(no_client):
    heard = Recorder()
    model = ELMRegressor(10, random_state=0).set_callbacks(heard)
    with pytest.raises(DataError, match="NaN"):
        model.fit(np.where(X > 3, np.nan, X), Y)
    assert heard.of("end") == []
    assert heard.events[-1] == ("teardown", "fit")
    assert set(vars(model)) == set(vars(ELMRegressor())) | {"_skl_callbacks"}
    model.fit(X, Y)
    assert heard.of("end")[-1] == "fit"
    assert model.set_callbacks() is model
    heard.events.clear()
    model.fit(X, Y)
    assert heard.events == []


def test_a_search_hands_its_callbacks_on(no_client):
    heard = Propagated()
    search = GridSearchCV(ELMRegressor(5, random_state=0), {"alpha": [0.1, 1.0]}, cv=2)
    search.set_callbacks(heard).fit(X, Y)
    # Four fits of half the rows, and the last one of all.
    assert heard.of("end").count("gram, 1,000 rows") == 4
    assert heard.of("end").count("gram, 2,000 rows") == 1
    assert len(heard.of("setup")) == len(heard.of("teardown")) == 1


def test_scikit_learns_own_scores_are_those_of_the_fit(no_client, tmp_path):
    monitor = callback.ScoringMonitor(scoring="r2")
    model = ELMRegressor(10, random_state=0).set_callbacks(monitor).fit(X, Y)
    [entry] = monitor.get_logs().data
    assert entry["r2"] == pytest.approx(model.score(X, Y), abs=1e-12)
    assert clone(model)._skl_callbacks == [monitor]
    model.save(tmp_path / "model.h5")
    assert not hasattr(load(tmp_path / "model.h5"), "_skl_callbacks")


def test_scikit_learns_own_bar_shows_the_rows(no_client, capsys, files):
    pytest.importorskip("rich")
    ELMRegressor(10, random_state=0).set_callbacks(callback.ProgressBar()).fit(*files[:2])
    lines = capsys.readouterr().out.splitlines()
    assert any("ELMRegressor - gram, 2,000 rows" in line and "100%" in line for line in lines)


def test_without_callbacks_in_scikit_learn_fits_are_the_same():
    code = (
        "import sys, sklearn.pipeline, sklearn.linear_model, sklearn.model_selection\n"
        "sys.modules['sklearn.callback'] = None\n"
        "import numpy as np\n"
        "from daskelm import ELMRegressor\n"
        "model = ELMRegressor(5, random_state=0).fit(np.eye(50), np.arange(50.0))\n"
        "print(hasattr(model, 'set_callbacks'), model.coef_.shape)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False (1, 5)\n"
