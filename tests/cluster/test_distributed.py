"""The one promise: wherever and however the rows are cut, the fit is that of a dense solve on H in memory."""

import itertools
import os
import pickle
import signal
import time

import dask
import dask.array as da
import h5py
import numpy as np
import pytest
import reference
import scipy.special
from distributed import Client

from daskelm import ELMClassifier, ELMRegressor, HiddenLayer, from_hdf5, make_hdf5, to_hdf5
from daskelm.data.targets import RegressionTargets
from daskelm.exceptions import DataError, FileMissingError, InsufficientMemoryError
from daskelm.hdf5.rows import open_rows
from daskelm.layer.neurons import KINDS
from daskelm.passes import accumulate as accumulation
from daskelm.passes.accumulate import accumulate
from daskelm.passes.tasks import GramTask
from daskelm.progress import RowProgress

N, D, ALPHA = 1100, 6, 1.0
FEW = 100
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D))
Y = np.stack([np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2], np.abs(X[:, 3])], axis=1) + 0.1 * RNG.standard_normal((N, 2))
SPECS = {kind: [(6, "lin")] if kind == "lin" else [(20, kind)] for kind in KINDS} | {
    "ufunc": [(20, scipy.special.erf)],
    "mixed": [(3, "lin"), (10, "tanh"), (10, "rbf_l1"), (10, np.sin)],
}


def dense(spec, n_rows=N):
    """B and predictions by the textbook, on H in memory."""
    x, y = X[:n_rows], Y[:n_rows]
    H = HiddenLayer(spec, random_state=0).fit(x).transform(x)
    B, intercept = reference.solve(*reference.sums(H, y, np.ones(len(H))), ALPHA)
    return B, reference.predict(H, B, intercept)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    one = make_hdf5(X, folder / "X.h5"), make_hdf5(Y, folder / "Y.h5")
    edges = [0, 1, 400, 401, 800, N]
    many = ([], [])
    for i, (a, b) in enumerate(itertools.pairwise(edges)):
        for paths, data, name in zip(many, (X, Y), "XY", strict=True):
            path = folder / f"part{name}{i}.h5"
            with h5py.File(path, "w") as file:
                # Chunks that no block, no task and no other file agrees with.
                file.create_dataset("data", data=data[a:b], chunks=(min(37, b - a), data.shape[1]))
            paths.append(str(path))
    return {"one": one, "five": many, "glob": tuple(str(folder / f"part{name}*.h5") for name in "XY")}


def inputs(files, form):
    if form in files:
        return files[form]
    if form == "numpy":
        return X, Y
    if form == "dataset":
        return tuple(h5py.File(path, "r")["data"] for path in files["one"])
    if form == "mixed":
        return files["one"][0], Y
    if form == "dask of file":
        return from_hdf5(files["one"][0], chunks=200) * 1.0, from_hdf5(files["one"][1])
    if form == "chunks of 1":
        # So many tiny tasks take long; this many show as much.
        return da.from_array(X[:FEW], chunks=(1, D)), da.from_array(Y[:FEW], chunks=(1, 2))
    if form == "empty":
        return da.from_array(X, chunks=((0, 700, 0, 0, 400, 0), 4)), da.from_array(Y, chunks=((0, 1, 0, N - 1), 1))
    rows = {"chunks of 7": 7, "chunks of 1000": 1000, "one chunk": N}[form]
    return da.from_array(X, chunks=(rows, D)), da.from_array(Y, chunks=(rows, 1))


def check(spec, data):
    n_rows = FEW if hasattr(data[0], "chunks") and data[0].shape[0] == FEW else N
    B, predictions = dense(spec, n_rows)
    model = ELMRegressor(spec, alpha=ALPHA, random_state=0).fit(*data)
    scale = np.abs(predictions).max()
    np.testing.assert_allclose(np.asarray(model.predict(data[0])), predictions, rtol=0, atol=1e-8 * scale)
    np.testing.assert_allclose(model.coef_.T, B, rtol=0, atol=1e-8 * np.abs(B).max())
    assert model.normal_equations_.n_samples == n_rows


FORMS = ["one", "five", "glob", "numpy", "dataset", "mixed", "dask of file"]
CHUNKS = ["chunks of 1", "chunks of 7", "chunks of 1000", "one chunk", "empty"]


@pytest.mark.parametrize("spec", SPECS)
def test_every_kind_on_several_workers(client, files, spec):
    for form in ("five", "chunks of 1000"):
        check(SPECS[spec], inputs(files, form))


@pytest.mark.parametrize("spec", SPECS)
def test_every_kind_without_a_client(no_client, files, spec):
    for form in ("numpy", "one", "chunks of 7"):
        check(SPECS[spec], inputs(files, form))


@pytest.mark.parametrize("form", FORMS + CHUNKS)
@pytest.mark.parametrize("where", ["client", "one_worker", "threads", "sync"])
def test_every_form_of_input_everywhere(request, files, form, where):
    if where in ("client", "one_worker"):
        request.getfixturevalue(where)
        check(SPECS["mixed"], inputs(files, form))
    else:
        with dask.config.set(scheduler=where):
            check(SPECS["mixed"], inputs(files, form))


def test_a_remote_scheduler_by_its_address(cluster, files):
    with Client(cluster.scheduler_address):
        check(SPECS["mixed"], files["five"])


@pytest.mark.parametrize("n_tasks", [1, 2, 3, 9, 40])
def test_many_gram_tasks_and_any_tree(monkeypatch, request, files, n_tasks):
    monkeypatch.setattr("daskelm.passes.accumulate.rows_per_task", lambda *sizes: N // n_tasks)
    monkeypatch.setattr("daskelm.passes.accumulate.block_rows", lambda *sizes: 10)
    monkeypatch.setattr("daskelm.passes.accumulate.split_every", lambda n_neurons: 3)
    monkeypatch.setattr("daskelm.passes.tasks._CHUNK_BYTES", X.nbytes // n_tasks)
    for where in (None, "client"):
        if where:
            request.getfixturevalue(where)
        for form in ("five", "chunks of 7" if where is None else "chunks of 1000"):
            check(SPECS["mixed"], inputs(files, form))


def test_numpy_is_worked_on_in_this_process(client):
    def n_transitions(dask_scheduler):
        return dask_scheduler.transition_counter

    before = client.run_on_scheduler(n_transitions)
    ELMRegressor(10, random_state=0).fit(X, Y).predict(X)
    assert client.run_on_scheduler(n_transitions) == before


def test_inside_a_task_of_a_worker(client, files):
    _, expected = dense(SPECS["mixed"])

    def fit_and_predict(X, Y):
        model = ELMRegressor(SPECS["mixed"], alpha=ALPHA, random_state=0).fit(X, Y)
        return np.asarray(model.predict(X))

    for form in ("numpy", "one"):
        found = client.submit(fit_and_predict, *inputs(files, form), pure=False).result()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * np.abs(expected).max())


def test_tasks_say_what_they_do(client, files):
    names = []
    model = ELMRegressor(10, random_state=0).fit(*files["one"])
    to_predict = model.predict(files["one"][0])
    assert to_predict.name.startswith("predict-")
    assert model.transform(from_hdf5(files["one"][0]) + 0).name.startswith("transform-")
    for log in client.run(lambda dask_worker: [str(story[0]) for story in dask_worker.state.log]).values():
        names += log
    assert any("gram-" in name for name in names)
    assert any("merge-" in name for name in names) or model.normal_equations_.n_samples == N


def test_weights_on_every_path(client, files):
    weights = RNG.integers(0, 3, N).astype(float)
    repeated = np.repeat(np.arange(N), weights.astype(int))
    expected = ELMRegressor(30, alpha=ALPHA, random_state=0).fit(X[repeated], Y[repeated]).predict(X)
    for data in (inputs(files, "numpy"), inputs(files, "five"), inputs(files, "chunks of 1000")):
        for given in (weights, da.from_array(weights, chunks=300)):
            found = ELMRegressor(30, alpha=ALPHA, random_state=0).fit(*data, sample_weight=given).predict(X)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


def test_sums_equal_to_1e12_whatever_the_cut(client, files):
    spec = SPECS["mixed"]
    reference = ELMRegressor(spec, random_state=0).fit(X, Y).normal_equations_
    h, t = np.sqrt(np.diag(reference.HH)), np.sqrt(reference.moments(centred=False).TT)
    for form in ("one", "five", "empty", "chunks of 1000"):
        sums = ELMRegressor(spec, random_state=0).fit(*inputs(files, form)).normal_equations_
        assert (np.abs(sums.HH - reference.HH) <= 1e-12 * np.outer(h, h)).all()
        assert (np.abs(sums.HT - reference.HT) <= 1e-12 * np.outer(h, t)).all()


def test_a_worker_that_dies_costs_nothing_but_time(files, tmp_path):
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1") as cluster,
        Client(cluster) as client,
    ):
        # The first task to see this file missing makes it and ends its own worker process, and nothing else.
        flag = str(tmp_path / "died")

        def die_once(block):
            import os

            try:
                os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return block
            os._exit(1)

        data = from_hdf5(files["one"][0], chunks=100).map_blocks(die_once, meta=np.empty((0, 0)))
        # The probe for the scale reads every row as well, so the layer is drawn from the file first.
        model = ELMRegressor(SPECS["mixed"], alpha=ALPHA, random_state=0).initialize(files["one"][0])
        model.partial_fit(data, from_hdf5(files["one"][1]))
        assert (tmp_path / "died").exists()
        client.wait_for_workers(1)
    _, expected = dense(SPECS["mixed"])
    np.testing.assert_allclose(model.predict(X), expected, rtol=0, atol=1e-8 * np.abs(expected).max())
    assert model.normal_equations_.n_samples == N


def test_workers_killed_three_times_in_one_fit(monkeypatch, tmp_path):
    from distributed import LocalCluster

    data, spec = np.random.default_rng(3).standard_normal((60_000, 8)), [(8, "lin"), (60, "tanh")]
    paths = make_hdf5(data, tmp_path / "X.h5"), make_hdf5(data[:, :2] ** 2, tmp_path / "T.h5")
    expected = ELMRegressor(spec, random_state=0).fit(data, data[:, :2] ** 2).normal_equations_
    monkeypatch.setattr(accumulation, "rows_per_task", lambda *sizes: 500)
    monkeypatch.setattr(accumulation, "block_rows", lambda *sizes: 500)
    advance, killed = RowProgress.advance, []

    def kill_now_and_then(self, n_rows):
        advance(self, n_rows)
        if len(killed) < 3 and self.n > 12_000 * (len(killed) + 1):
            # Worker processes of the cluster below; their nannies start new ones, which may take a while.
            end, pids = time.monotonic() + 120, []
            while not pids and time.monotonic() < end:
                pids = [pid for pid in client.run(os.getpid, on_error="ignore").values() if pid not in killed]
            os.kill(pids[0], signal.SIGKILL)
            killed.append(pids[0])

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1") as cluster,
        Client(cluster) as client,
    ):
        monkeypatch.setattr(RowProgress, "advance", kill_now_and_then)
        sums = ELMRegressor(spec, random_state=0).fit(*paths).normal_equations_
    assert len(killed) == 3
    assert sums.n_samples == 60_000
    assert sums.ledger.n_rows == 60_000
    h = np.sqrt(np.diag(expected.HH))
    assert (np.abs(sums.HH - expected.HH) <= 1e-12 * np.outer(h, h)).all()


def test_a_partial_that_is_lost_before_it_is_noted_counts(monkeypatch, tmp_path):
    import distributed
    from distributed import LocalCluster

    data = np.random.default_rng(3).standard_normal((4000, 4))
    path = make_hdf5(data, tmp_path / "X.h5")
    model = ELMRegressor(10, random_state=0).initialize(path)
    monkeypatch.setattr(accumulation, "rows_per_task", lambda *sizes: 500)
    monkeypatch.setattr(accumulation, "block_rows", lambda *sizes: 500)
    next_batch, lost = distributed.as_completed.next_batch, []

    def lose_one(queue, block=True):
        batch = list(next_batch(queue, block))
        if batch and not lost:
            # Between its end and the look at its batch, the worker that holds it dies.
            [holder, *_] = client.who_has(batch[0])[batch[0].key]
            os.kill(client.run(os.getpid, workers=[holder])[holder], signal.SIGKILL)
            lost.append(batch[0].key)
            while batch[0].status == "finished":
                time.sleep(0.01)
        return batch

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1") as cluster,
        Client(cluster) as client,
    ):
        monkeypatch.setattr(distributed.as_completed, "next_batch", lose_one)
        sums = model.accumulate(path, data[:, :1], into=tmp_path / "sums.h5").solve(tmp_path / "sums.h5")
    assert len(lost) == 1
    assert sums.normal_equations_.n_samples == 4000


def test_each_worker_moves_one_partial_and_gets_the_layer_once(monkeypatch, tmp_path):
    """By Dask's own records: with many gram tasks per worker, one packed triangle crosses per worker but one."""
    from distributed import LocalCluster

    n_workers, L = 3, 700
    data = np.random.default_rng(4).standard_normal((45_000, 300))
    paths = make_hdf5(data, tmp_path / "X.h5"), make_hdf5(data[:, :1], tmp_path / "T.h5")
    monkeypatch.setattr(accumulation, "rows_per_task", lambda *sizes: 1500)
    monkeypatch.setattr(accumulation, "block_rows", lambda *sizes: 1500)

    def received(dask_worker):
        return [(key, n) for entry in dask_worker.transfer_incoming_log for key, n in entry["keys"].items()]

    with (
        LocalCluster(
            n_workers=n_workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1"
        ) as cluster,
        Client(cluster) as client,
    ):
        # 1.6 MB of weights: more than fits into a message, and less than Dask warns of.
        ELMRegressor([(L, "tanh")], alpha=ALPHA, random_state=0).initialize(paths[0]).partial_fit(*paths)
        moved = [item for items in client.run(received).values() for item in items]
    partials = sum(n for key, n in moved if "gram" in str(key) or "merge" in str(key))
    assert partials <= 1.1 * (n_workers - 1) * 4 * L * (L + 1)
    # 30 tasks. A worker that has none left forgets the layer, and is sent it again with tasks taken over from others.
    assert sum("layer" in str(key) for key, _ in moved) <= 2 * (n_workers - 1)


def test_large_weights_trigger_no_warning(client, tmp_path):
    # 13 MB: Dask warns of graphs from 10 MB on, and warnings are errors here.
    data = np.random.default_rng(4).standard_normal((2000, 1300))
    paths = make_hdf5(data, tmp_path / "X.h5"), make_hdf5(data[:, :1], tmp_path / "T.h5")
    model = ELMRegressor([(1300, "tanh")], alpha=ALPHA, random_state=0).fit(*paths)
    assert model.hidden_layer_.nbytes > 13e6
    found = from_hdf5(model.predict(paths[0], out=tmp_path / "Y.h5")).compute()
    np.testing.assert_allclose(found[:, 0], model.predict(data), atol=1e-9)


def test_what_goes_to_workers_is_pure_and_pickles(files):
    layer = HiddenLayer(10, random_state=0).fit(X).hidden_layer_
    rows, targets = open_rows(files["one"][0]), open_rows(files["one"][1])
    task = GramTask.of_rows(RegressionTargets(2, "float64"), (rows, targets, None), [(0, N)], step=700)
    first, second = task(layer), pickle.loads(pickle.dumps(task))(pickle.loads(pickle.dumps(layer)))
    np.testing.assert_array_equal(first.packed, second.packed)
    assert len(pickle.dumps(task)) < 5000


def test_nothing_with_a_client_in_it_is_pickled(client, files):
    model = ELMRegressor(10, random_state=0).fit(*files["one"])
    assert b"Client" not in pickle.dumps(model)


def test_missing_files_are_refused_before_any_work(client, files, tmp_path):
    path = make_hdf5(X, tmp_path / "X.h5")
    rows = open_rows(path)
    (tmp_path / "X.h5").unlink()
    layer = HiddenLayer(10, random_state=0).fit(X).hidden_layer_
    with pytest.raises(FileMissingError, match=r"X\.h5"):
        accumulate(layer, RegressionTargets(2, "float64"), rows, open_rows(files["one"][1]))


def test_jobs_that_cannot_fit_are_refused_with_both_numbers(client, files):
    with pytest.raises(InsufficientMemoryError, match=r"needs about [2-9]\.\d+ GiB for 16000 neurons.* has 2\.00 GiB"):
        ELMRegressor(16_000, random_state=0).fit(*files["one"])
    with pytest.raises(MemoryError, match=r"This process needs about \d+\.\d+ GiB to solve 400000 neurons"):
        ELMRegressor([(400_000, "tanh")], random_state=0).fit(X, Y)


def test_progress_is_shown_on_every_path(client, files, capsys):
    for data in (inputs(files, "numpy"), inputs(files, "one"), inputs(files, "chunks of 1000")):
        ELMRegressor(10, random_state=0, verbose=1).fit(*data)
        assert "1,100 of 1,100 rows (100 %)" in capsys.readouterr().err
    with dask.config.set(scheduler="threads"):
        ELMRegressor(10, random_state=0, verbose=1).fit(*files["one"])
    assert "1,100 of 1,100 rows (100 %)" in capsys.readouterr().err
    ELMRegressor(10, random_state=0).fit(*files["one"])
    assert capsys.readouterr().err == ""


def test_nan_names_file_and_first_row(client, tmp_path):
    bad = X.copy()
    bad[1034, 2] = np.nan
    bad[1090, 1] = np.inf
    paths = [make_hdf5(bad[:1000], tmp_path / "a.h5"), make_hdf5(bad[1000:], tmp_path / "b.h5")]
    y = make_hdf5(Y, tmp_path / "y.h5")
    with pytest.raises(DataError, match=r"X must be finite; got NaN first in row 34 of .*b\.h5, column 2"):
        ELMRegressor(10).fit(paths, y)
    model = ELMRegressor(10, random_state=0).fit(X, Y)
    for call in (model.partial_fit, model.score):
        with pytest.raises(DataError, match=r"got NaN first in row 34 of .*b\.h5, column 2"):
            call(paths, y)
    with pytest.raises(DataError, match=r"got NaN first in row 34 of .*b\.h5, column 2"):
        model.predict(paths, out=tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()
    for form in (bad, da.from_array(bad, chunks=(100, 6))):
        with pytest.raises(ValueError, match=r"X must be finite; got NaN first in row 1034, column 2"):
            ELMRegressor(10).fit(form, Y)
        with pytest.raises(ValueError, match=r"X must be finite; got NaN first in row 1034, column 2"):
            np.asarray(model.predict(form))
    infinite = Y.copy()
    infinite[77, 1] = np.inf
    with pytest.raises(DataError, match=r"y must be finite; got inf first in row 77 of .*c\.h5, column 1"):
        ELMRegressor(10).fit(make_hdf5(X, tmp_path / "x.h5"), make_hdf5(infinite, tmp_path / "c.h5"))


def test_predictions_stream_to_a_file(client, files, tmp_path):
    model = ELMRegressor(30, random_state=0).fit(*files["one"])
    # Not bit for bit: a block of one row goes through another BLAS routine.
    for given in (files["five"][0], X):
        out = model.predict(given, out=tmp_path / "p.h5")
        np.testing.assert_allclose(from_hdf5(out).compute(), model.predict(X), atol=1e-12)
    H = to_hdf5(model.transform(files["five"][0]), tmp_path / "H.h5")
    np.testing.assert_allclose(from_hdf5(H).compute(), model.transform(X), atol=1e-12)


def test_classifier_on_every_path(client, files, tmp_path):
    labels = np.array(["low", "mid", "high"])[np.digitize(Y[:, 0], [-0.5, 0.5])]
    codes = np.digitize(Y[:, 0], [-0.5, 0.5])
    reference = ELMClassifier(30, random_state=0).fit(X, labels)
    path = make_hdf5(codes, tmp_path / "y.h5")
    for data in (
        (da.from_array(X, chunks=(100, 3)), da.from_array(labels, chunks=70)),
        (files["five"][0], labels),
        (files["one"][0], da.from_array(labels.astype(object), chunks=400)),
    ):
        model = ELMClassifier(30, random_state=0).fit(*data)
        assert model.classes_.tolist() == ["high", "low", "mid"]
        np.testing.assert_allclose(np.asarray(model.predict_proba(data[0])), reference.predict_proba(X), atol=1e-8)
        assert np.mean(np.asarray(model.predict(data[0])) == reference.predict(X)) == 1
        assert model.score(*data) == pytest.approx(reference.score(X, labels))
    model = ELMClassifier(30, random_state=0, class_weight="balanced").fit(files["five"][0], path)
    balanced = ELMClassifier(30, random_state=0, class_weight="balanced").fit(X, codes)
    np.testing.assert_allclose(model.predict_proba(X), balanced.predict_proba(X), atol=1e-8)
    predicted = model.predict(files["one"][0], out=tmp_path / "p.h5")
    np.testing.assert_array_equal(from_hdf5(predicted).compute()[:, 0], balanced.predict(X))
    assert model.decision_function(files["one"][0]).compute().shape == (N, 3)
    assert model.score(files["one"][0], path) == pytest.approx(balanced.score(X, codes))
