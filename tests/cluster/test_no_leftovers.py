"""Fits on one scheduler share no task, and leave none there, after a failure or an interrupt either."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import dask.array as da
import numpy as np
import pytest
from distributed import Client, wait

from daskelm import ELMRegressor, HiddenLayer, make_hdf5
from daskelm.data.inputs import open_input
from daskelm.data.targets import RegressionTargets
from daskelm.passes.accumulate import accumulate

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 4))
Y = np.sin(X[:, 0]) + X[:, 1]


def regressor(**options):
    return ELMRegressor(20, random_state=0, **options)


@pytest.fixture
def many_tasks(monkeypatch, tmp_path):
    """Files, cut into many gram tasks."""
    monkeypatch.setattr("daskelm.passes.accumulate.rows_per_task", lambda *sizes: 10)
    monkeypatch.setattr("daskelm.passes.accumulate.block_rows", lambda *sizes: 10)
    monkeypatch.setattr("daskelm.passes.accumulate.split_every", lambda n_neurons: 3)
    return make_hdf5(X, tmp_path / "x.h5"), make_hdf5(Y, tmp_path / "y.h5")


def keys_on(client):
    """Keys that the scheduler still has, once it had the time to forget."""
    names = ("gram-", "merge-", "layer-", "predict-", "weights-")

    def keys(dask_scheduler):
        return [key for key in map(str, dask_scheduler.tasks) if any(name in key for name in names)]

    end = time.monotonic() + 60
    while (left := client.run_on_scheduler(keys)) and time.monotonic() < end:
        wait([client.submit(int, 0, pure=False)])
    return left


def test_the_same_fit_several_times_at_once_on_one_scheduler(cluster, many_tasks, monkeypatch):
    # Which partials meet in a merge depends on timing, so a merge of one fit must not serve the other.
    own = threading.local()
    for module in ("passes.accumulate", "cluster.client"):
        monkeypatch.setattr(f"daskelm.{module}.current_client", lambda: own.client)

    def fit(_):
        with Client(cluster, set_as_default=False) as own.client:
            return regressor().fit(*many_tasks).normal_equations_

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(fit, range(4)))
    assert [sums.n_samples for sums in found] == [300] * 4
    expected = regressor().fit(X, Y).normal_equations_
    for sums in found:
        np.testing.assert_allclose(sums.HH, expected.HH, rtol=1e-12, atol=1e-9)


def test_nothing_is_left_on_the_scheduler(client, many_tasks, tmp_path):
    model = regressor().fit(*many_tasks)
    model.predict(many_tasks[0], out=tmp_path / "p.h5")
    assert keys_on(client) == []


def test_after_a_failure_nothing_is_left_and_the_next_try_is_a_new_one(client, many_tasks, tmp_path):
    flag = tmp_path / "mended"

    def fail_unless_mended(block):
        if not flag.exists():
            raise OSError("the disk is on fire")
        return block

    layer = HiddenLayer(20, random_state=0).fit(X).hidden_layer_
    data = da.from_array(X, chunks=(30, 4)).map_blocks(fail_unless_mended, dtype=float, meta=np.empty((0, 0)))
    arguments = layer, RegressionTargets(1, "float64"), open_input(data, "X"), open_input(da.from_array(Y), "y")
    with pytest.raises(OSError, match="on fire") as kept:
        accumulate(*arguments)
    assert keys_on(client) == []
    flag.touch()
    assert accumulate(*arguments).n_samples == 300
    assert kept.value is not None


def test_an_interrupt_stops_the_cluster_too(client, many_tasks, monkeypatch):
    def interrupt(self, n_rows):
        raise KeyboardInterrupt

    monkeypatch.setattr("daskelm.passes.accumulate.RowProgress.advance", interrupt)
    with pytest.raises(KeyboardInterrupt):
        regressor().fit(*many_tasks)
    assert keys_on(client) == []
