"""What a cluster loses is told in one error of this library, and what is done is not lost with it."""

import contextlib
import pickle

import dask
import dask.array as da
import numpy as np
import pytest
from click.testing import CliRunner
from distributed import Client, LocalCluster

from daskelm import ELMRegressor, NormalEquations, from_hdf5, make_hdf5, to_hdf5
from daskelm.cli import cli
from daskelm.cluster import merge_tree
from daskelm.cluster.errors import cluster_errors, compute
from daskelm.exceptions import ClusterError, DataError, FileMissingError, FileWriteError
from daskelm.passes import accumulate as accumulation
from daskelm.passes import resume as resumption
from daskelm.passes import tasks as pass_tasks

N = 4000
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 4))
T = X[:, :2] ** 2
GONE = "The scheduler must run, and keep its tasks, until the work is done; got"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_hdf5(X, "X.h5")
    make_hdf5(T, "T.h5")
    # Many tasks, so that some are done when one fails.
    for name in ("rows_per_task", "block_rows"):
        monkeypatch.setattr(accumulation, name, lambda *sizes: 100)


@contextlib.contextmanager
def cluster_of(n_workers, **settings):
    with (
        dask.config.set({f"distributed.scheduler.{name.replace('_', '-')}": value for name, value in settings.items()}),
        LocalCluster(
            n_workers=n_workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1"
        ) as cluster,
    ):
        yield cluster


def die(block):
    import os

    # Ends the worker process that it runs in, and nothing else.
    os._exit(1)


def test_workers_that_die_at_a_task(here):
    with cluster_of(1, allowed_failures=0) as cluster, Client(cluster):
        data = from_hdf5("X.h5", chunks=N).map_blocks(die, meta=np.empty((0, 0)))
        model = ELMRegressor(10, random_state=0).initialize("X.h5")
        with pytest.raises(
            ClusterError, match=r"must not end the workers .* 1 died, the last at .* more memory"
        ) as told:
            model.partial_fit(data, "T.h5")
        assert type(told.value.__cause__).__name__ == "KilledWorker"
        assert not hasattr(model, "normal_equations_")
        with pytest.raises(ClusterError, match="1 died"):
            to_hdf5(data, "out.h5")
        with pytest.raises(RuntimeError, match="1 died"):
            ELMRegressor(10, random_state=0).fit(data, "T.h5")


def die_of(name):
    """On a worker: reading a file of this name ends its process, as HDF5 does at some damaged files."""
    import os

    from daskelm.hdf5.dataset import OpenPart

    read = OpenPart.read

    def read_or_die(self, *args):
        if os.path.basename(self.part.path) == name:
            os._exit(1)
        return read(self, *args)

    OpenPart.read = read_or_die


def test_the_file_that_a_worker_died_of_is_named(here):
    make_hdf5(X - 1, "bad.h5")
    make_hdf5(T + 1, "T2.h5")
    with cluster_of(1, allowed_failures=0) as cluster, Client(cluster) as client:
        model = ELMRegressor(10, random_state=0).initialize("X.h5")
        client.run(die_of, "bad.h5")
        with pytest.raises(ClusterError, match=r"1 died, .* It read \S*bad\.h5, \S*T2\.h5: HDF5 may die of"):
            model.partial_fit(["X.h5", "bad.h5"], from_hdf5(["T.h5", "T2.h5"]))


def test_a_cluster_without_workers_is_no_place_to_wait_for_ever(here):
    with cluster_of(0, no_workers_timeout="500ms") as cluster:
        with Client(cluster), pytest.raises(ClusterError, match=r"must have workers; for 0 s .* could run 'layer-"):
            ELMRegressor(10, random_state=0).fit("X.h5", "T.h5")
        ELMRegressor(10, random_state=0).initialize("X.h5").save("model.h5")
        line = f"accumulate model.h5 X.h5 T.h5 --into sums.h5 --scheduler {cluster.scheduler_address}"
        ended = CliRunner().invoke(cli, line.split(), prog_name="daskelm")
    assert ended.exit_code == 3, repr(ended.exception)
    assert "daskelm: error: The cluster must have workers;" in ended.stderr


def test_a_scheduler_that_ends(here):
    with cluster_of(1) as cluster, Client(cluster.scheduler_address, timeout="10s") as client:
        future = client.submit(pow, 2, 3)
        assert future.result() == 8
        cluster.close()
        with pytest.raises(ClusterError, match=GONE) as told, cluster_errors(client):
            future.result()
        assert len(str(told.value)) < 600
        # Whatever comes next: the client has no scheduler any more.
        with dask.config.set({"distributed.comm.timeouts.connect": "1s"}), pytest.raises(ClusterError, match=GONE):
            ELMRegressor(10, random_state=0).fit("X.h5", "T.h5")


def test_tasks_that_somebody_cancels(client):
    future = client.submit(pow, 3, 3)
    client.cancel(future)
    with pytest.raises(ClusterError, match=f"{GONE} FutureCancelledError"), cluster_errors(client):
        future.result()


@pytest.mark.parametrize("error", [ValueError("a"), OSError(28, "no space"), FileMissingError("X.h5"), KeyError("b")])
def test_all_other_errors_are_raised_as_they_are(client, error):
    with pytest.raises(type(error)) as raised, cluster_errors(client):
        raise error
    assert raised.value is error

    def fail():
        raise error

    with pytest.raises(type(error)):
        compute(dask.delayed(fail)())
    assert compute(dask.delayed(pow)(2, 4)) == (16,)


def test_the_error_pickles():
    assert str(pickle.loads(pickle.dumps(ClusterError("lost")))) == "lost"


def spoil(row, value=np.nan):
    """Change a number of X, in place."""
    import h5py

    with h5py.File("X.h5", "r+") as file:
        file["data"][row, 1] = value


def fail_later(monkeypatch):
    """Let no task fail before another has ended, however busy the machine is."""
    on_batch = merge_tree._OnCluster._on_batch

    def later(self, batch):
        failed = [future for future in batch if future.status == "error"]
        if len(self.sizes) < N // 100:
            return on_batch(self, batch)
        return on_batch(self, [future for future in batch if future not in failed]) + failed

    monkeypatch.setattr(merge_tree._OnCluster, "_on_batch", later)


def test_what_is_done_is_kept_when_a_task_fails(here, client, monkeypatch):
    monkeypatch.setattr(resumption, "_COMMIT_SECONDS", 1000.0)
    fail_later(monkeypatch)
    model = ELMRegressor(10, random_state=0).initialize("X.h5")
    spoil(N - 1)
    with pytest.raises(DataError, match=f"row {N - 1}"):
        model.accumulate("X.h5", "T.h5", into="sums.h5")
    kept = NormalEquations.load("sums.h5").n_samples
    assert 0 < kept < N
    assert kept % 100 == 0
    spoil(N - 1, X[N - 1, 1])
    model.accumulate("X.h5", "T.h5", into="sums.h5")
    sums, expected = NormalEquations.load("sums.h5"), model.accumulate(X, T).normal_equations_
    assert sums.n_samples == N
    d = np.sqrt(np.diag(expected.HH))
    assert (np.abs(sums.HH - expected.HH) <= 1e-12 * np.outer(d, d)).all()


def test_rows_of_arrays_are_kept_all_or_none(here, client, monkeypatch):
    monkeypatch.setattr(pass_tasks, "_CHUNK_BYTES", 1)
    model = ELMRegressor(10, random_state=0).initialize("X.h5")
    spoiled = X.copy()
    spoiled[N - 1] = np.nan
    with pytest.raises(DataError, match=f"row {N - 1}"):
        model.accumulate(da.from_array(spoiled, chunks=(200, 4)), "T.h5", into="sums.h5")
    with pytest.raises(FileMissingError, match="sums.h5"):
        NormalEquations.load("sums.h5")


def test_the_first_error_is_told_where_nothing_can_be_kept(here, client, monkeypatch):
    def full(self, sums):
        raise FileWriteError(28, "no space")

    monkeypatch.setattr(resumption._Commits, "flush", full)
    fail_later(monkeypatch)
    model = ELMRegressor(10, random_state=0).initialize("X.h5")
    spoil(N - 1)
    with pytest.raises(DataError, match=f"row {N - 1}") as told:
        model.accumulate("X.h5", "T.h5", into="sums.h5")
    assert told.value.__notes__ == ["What was done could not be kept: [Errno 28] no space"]


def test_keeping_takes_no_longer_than_it_may(here, client, monkeypatch):
    fail_later(monkeypatch)
    monkeypatch.setattr(merge_tree, "_HAND_OVER_SECONDS", 1e-9)
    model = ELMRegressor(10, random_state=0).initialize("X.h5")
    spoil(N - 1)
    with pytest.raises(DataError, match=f"row {N - 1}") as told:
        model.accumulate("X.h5", "T.h5", into="sums.h5")
    assert "could not be kept" in told.value.__notes__[0]
