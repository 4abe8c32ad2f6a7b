"""A fit while workers come and go: added, retired and removed by name, and by Dask's adaptive scaling."""

import threading
import time

import numpy as np
import pytest
from distributed import Client, LocalCluster

from daskelm import ELMRegressor, make_hdf5
from daskelm.passes import accumulate as accumulation
from daskelm.progress import RowProgress

# Workers need seconds to start and to end.
pytestmark = pytest.mark.full

N, STEP = 20_000, 200
X = np.random.default_rng(0).standard_normal((N, 5))
T = X[:, :2] ** 2


@pytest.fixture
def paths(tmp_path, monkeypatch):
    """Files, and many tasks."""
    for name in ("rows_per_task", "block_rows"):
        monkeypatch.setattr(accumulation, name, lambda *sizes: STEP)
    return make_hdf5(X, tmp_path / "X.h5"), make_hdf5(T, tmp_path / "T.h5")


def assert_undisturbed(sums):
    expected = ELMRegressor(30, alpha=1.0, random_state=0).fit(X, T).normal_equations_
    assert sums.n_samples == sums.ledger.n_rows == N
    h = np.sqrt(np.diag(expected.HH))
    assert (np.abs(sums.HH - expected.HH) <= 1e-12 * np.outer(h, h)).all()


def test_a_cluster_that_is_scaled_up_and_down_during_a_fit(paths, monkeypatch, tmp_path):
    """Three workers, then one, then two: sums that lie on a worker that is retired are moved, or made anew."""
    advance, wanted = RowProgress.advance, [3, 1, 2]
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1") as cluster,
        Client(cluster) as client,
    ):

        def scale(self, n_rows):
            advance(self, n_rows)
            if wanted and self.label == "gram" and self.n > N * (4 - len(wanted)) / 5:
                # A scaled cluster may take a while, and the fit goes on meanwhile.
                n = wanted.pop(0)
                cluster.scale(n)
                end = time.monotonic() + 60
                while len(client.scheduler_info(n_workers=-1)["workers"]) != n and time.monotonic() < end:
                    time.sleep(0.05)

        monkeypatch.setattr(RowProgress, "advance", scale)
        model = ELMRegressor(30, alpha=1.0, random_state=0).fit(*paths, checkpoint=tmp_path / "sums.h5")
    assert wanted == []
    assert_undisturbed(model.normal_equations_)


def test_an_adaptive_cluster(paths):
    """It begins without workers, gets some while there is work, and gives them back."""
    with (
        LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1") as cluster,
        Client(cluster),
    ):
        cluster.adapt(minimum=0, maximum=2, interval="100ms", wait_count=3)
        seen, over = set(), threading.Event()

        def watch():
            while not over.wait(0.05):
                seen.add(len(cluster.scheduler_info["workers"]))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            first = ELMRegressor(30, alpha=1.0, random_state=0).fit(*paths).normal_equations_
            end = time.monotonic() + 100
            while cluster.scheduler_info["workers"] and time.monotonic() < end:
                time.sleep(0.1)
            assert not cluster.scheduler_info["workers"]
            second = ELMRegressor(30, alpha=1.0, random_state=0).fit(*paths).normal_equations_
        finally:
            over.set()
            watcher.join()
    assert max(seen) >= 1
    for sums in (first, second):
        assert_undisturbed(sums)
