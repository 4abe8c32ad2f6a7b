"""Every question to a cluster has an end: workers that do not answer are named, and the work goes on where it can."""

import asyncio
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
from click.testing import CliRunner
from distributed import Client, LocalCluster

from daskelm import ELMRegressor, from_hdf5, make_hdf5
from daskelm.cli import cli
from daskelm.cluster import questions
from daskelm.cluster.client import current_client, n_threads_of, workers_of
from daskelm.cluster.questions import ask_scheduler, ask_workers, check_answering
from daskelm.exceptions import ClusterError, ClusterWarning, MissingOnWorkerError

N = 2000
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 4))
T = X[:, :2] ** 2


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_hdf5(X, "X.h5")
    make_hdf5(T, "T.h5")
    monkeypatch.setattr(questions, "_ANSWER_SECONDS", 2.0)
    monkeypatch.setattr(questions, "_AGAIN_SECONDS", 2.0)


@contextlib.contextmanager
def cluster_of(n_workers, **settings):
    with (
        dask.config.set({f"distributed.scheduler.{name.replace('_', '-')}": value for name, value in settings.items()}),
        LocalCluster(
            n_workers=n_workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1"
        ) as cluster,
    ):
        yield cluster


@contextlib.contextmanager
def stopped(client, n=1):
    """Addresses of the first workers, whose processes do nothing meanwhile."""
    pids = dict(list(client.run(os.getpid).items())[:n])
    for pid in pids.values():
        os.kill(pid, signal.SIGSTOP)
    try:
        yield list(pids)
    finally:
        for pid in pids.values():
            # It may have been ended by its nanny, and started again.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_answers_of_all(client):
    answers = ask_workers(client, os.getpid)
    assert len(set(answers.values.values())) == 2
    assert answers.silent == []
    answers.check()
    check_answering(client)
    assert ask_scheduler(client, os.getpid) == os.getpid()


@pytest.mark.parametrize("what", ["fit", "fit of chunks", "predict", "score"])
def test_a_worker_that_is_stopped_before(here, what):
    """It is named in seconds, and the work is done by the other one when Dask has removed it."""
    model = ELMRegressor(10, random_state=0).fit(X, T)
    with cluster_of(2, worker_ttl="6s") as cluster, Client(cluster) as client, stopped(client) as [address]:
        begin, named = time.monotonic(), []

        def note(message, category, *where, **more):
            if category is ClusterWarning:
                named.append((time.monotonic() - begin, str(message)))

        with warnings.catch_warnings():
            warnings.showwarning = note
            warnings.simplefilter("always", ClusterWarning)
            if what == "fit":
                found = ELMRegressor(10, random_state=0).fit("X.h5", "T.h5").coef_
                expected = model.coef_
            elif what == "fit of chunks":
                data = da.from_array(X, chunks=(500, 4)), da.from_array(T, chunks=(500, 2))
                found = ELMRegressor(10, random_state=0).initialize(X).partial_fit(*data).solve().coef_
                expected = ELMRegressor(10, random_state=0).initialize(X).partial_fit(X, T).solve().coef_
            elif what == "predict":
                found, expected = from_hdf5(model.predict("X.h5", out="P.h5")), model.predict(X)
                found = found.compute(scheduler="sync")
            else:
                found, expected = model.score("X.h5", "T.h5"), model.score(X, T)
    assert named
    _, text = named[0]
    assert f"Workers must answer; got no answer within 2 s from {address}." in text
    assert "distributed.scheduler.worker-ttl" in text
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


def test_no_worker_that_answers(here):
    with cluster_of(2) as cluster, Client(cluster) as client, stopped(client, 2) as addresses:
        for call in (
            lambda: ELMRegressor(10, random_state=0).fit("X.h5", "T.h5"),
            lambda: check_answering(client),
        ):
            with pytest.raises(ClusterError, match="must have a worker that answers; got no answer within 2 s") as told:
                call()
            assert all(address in str(told.value) for address in addresses)


def test_check_names_a_worker_that_is_stopped(here):
    with cluster_of(2) as cluster, Client(cluster, set_as_default=False) as client, stopped(client) as [address]:
        line = f"check X.h5 T.h5 --scheduler {cluster.scheduler_address}"
        ended = CliRunner().invoke(cli, line.split(), prog_name="daskelm")
    assert ended.exit_code == 4, repr(ended.exception)
    first, *others = ended.stdout.splitlines()
    assert first.startswith(f"FAILED   workers   Worker {address} must answer; got no answer.")
    # What the other one says is checked all the same.
    assert "read the same on 1 worker(s)" in ended.stdout
    assert not any(line.startswith("FAILED") for line in others if "threads" not in line)


@pytest.mark.parametrize("what", ["fit", "fit of chunks", "predict", "score", "check"])
def test_a_scheduler_that_is_gone(here, what):
    model = ELMRegressor(10, random_state=0).fit(X, T)
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        cluster_of(1) as cluster,
        Client(cluster.scheduler_address, timeout="10s") as client,
    ):
        cluster.close()
        chunks = da.from_array(X, chunks=(500, 4)), da.from_array(T, chunks=(500, 2))
        calls = {
            "fit": lambda: ELMRegressor(10, random_state=0).fit("X.h5", "T.h5"),
            "fit of chunks": lambda: ELMRegressor(10, random_state=0).initialize(X).partial_fit(*chunks),
            "predict": lambda: model.predict("X.h5", out="P.h5"),
            "score": lambda: model.score("X.h5", "T.h5"),
            "check": lambda: (workers_of(client), n_threads_of(client), ask_workers(client, int)),
        }
        with pytest.raises(ClusterError, match=r"The scheduler must (run, and keep its tasks|answer; got no answer)"):
            calls[what]()


@pytest.fixture
def scheduler(here):
    """The process of a scheduler of its own, and its address."""
    module = ["-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([sys.executable, *module, "--scheduler-file", "scheduler.json"], **quiet)
    try:
        end, address = time.monotonic() + 100, None
        while address is None and time.monotonic() < end:
            time.sleep(0.1)
            with contextlib.suppress(OSError, ValueError):
                address = json.loads(Path("scheduler.json").read_text())["address"]
        yield server, address
    finally:
        server.kill()
        server.wait()


def test_a_command_whose_scheduler_ends(scheduler):
    """Exit code 3, in one line."""
    code = (
        "import contextlib, os, signal, sys\n"
        "from daskelm.cli import main\n"
        "from daskelm.cli import scheduler\n"
        "connection, pid = scheduler.connection, int(sys.argv.pop())\n"
        "@contextlib.contextmanager\n"
        "def lost(given):\n"
        "    with connection(given) as client:\n"
        "        os.kill(pid, signal.SIGKILL)\n"
        "        yield client\n"
        "scheduler.connection = lost\n"
        "main()\n"
    )
    ELMRegressor(10, random_state=0).fit(X, T).save("model.h5")
    server, address = scheduler
    line = ["predict", "model.h5", "X.h5", "--out", "P.h5", "--scheduler", address, str(server.pid)]
    environment = os.environ | {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "2s"}
    command = [sys.executable, "-c", code, *line]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 3, ended.stderr
    assert "Traceback" not in ended.stderr
    # Dask logs what it lost before.
    assert ended.stderr.splitlines()[-1].startswith("daskelm: error: The scheduler must ")


def test_a_scheduler_that_is_stopped(scheduler):
    server, address = scheduler
    model = ELMRegressor(10, random_state=0).fit(X, T)
    with dask.config.set({"distributed.comm.timeouts.connect": "2s"}), Client(address) as client:
        server.send_signal(signal.SIGSTOP)
        for call in (
            lambda: ELMRegressor(10, random_state=0).fit("X.h5", "T.h5"),
            lambda: model.predict("X.h5", out="P.h5"),
            lambda: model.score("X.h5", "T.h5"),
            lambda: check_answering(client),
        ):
            with pytest.raises(ClusterError, match=r"must answer; got no answer within 2 s from tcp://.* be stopped"):
                call()
        server.kill()


def without_daskelm():
    sys.modules["daskelm.cluster.questions"] = None


def with_daskelm():
    del sys.modules["daskelm.cluster.questions"]


@pytest.mark.parametrize("what", ["fit", "fit of chunks", "predict", "score"])
def test_a_worker_without_daskelm(here, client, cluster, what):
    model = ELMRegressor(10, random_state=0).fit(X, T)
    model.save("model.h5")
    chunks = da.from_array(X, chunks=(500, 4)), da.from_array(T, chunks=(500, 2))
    calls = {
        "fit": lambda: ELMRegressor(10, random_state=0).fit("X.h5", "T.h5"),
        "fit of chunks": lambda: ELMRegressor(10, random_state=0).initialize(X).partial_fit(*chunks),
        "predict": lambda: model.predict("X.h5", out="P.h5"),
        "score": lambda: model.score("X.h5", "T.h5"),
    }
    [address, _] = client.scheduler_info(n_workers=-1)["workers"]
    client.run(without_daskelm, workers=[address])
    try:
        with pytest.raises(
            MissingOnWorkerError, match=f"Worker {address} must be able to run daskelm .*; got ModuleNotFoundError"
        ):
            calls[what]()
        if what == "predict":
            line = f"predict model.h5 X.h5 --out P.h5 --scheduler {cluster.scheduler_address}"
            ended = CliRunner().invoke(cli, line.split(), prog_name="daskelm")
            assert ended.exit_code == 2, repr(ended.exception)
            assert ended.stderr.startswith(f"daskelm: error: Worker {address} must be able to run daskelm")
            assert ended.stderr.count("\n") == 1
    finally:
        client.run(with_daskelm, workers=[address])


def test_check_counts_a_worker_without_daskelm(here, client, cluster):
    [address, _] = client.scheduler_info(n_workers=-1)["workers"]
    client.run(without_daskelm, workers=[address])
    try:
        line = f"check X.h5 T.h5 --scheduler {cluster.scheduler_address}"
        ended = CliRunner().invoke(cli, line.split(), prog_name="daskelm")
    finally:
        client.run(with_daskelm, workers=[address])
    assert ended.exit_code == 4
    first, second, *_ = ended.stdout.splitlines()
    assert first == (
        "ok       workers   2, of which 1 cannot run daskelm; the others: 1 with 1 thread(s), on 1 machine(s)."
    )
    assert second.startswith(f"FAILED   versions  Worker {address} must be able to run daskelm")


def test_a_fork_of_a_process_with_a_client(here, client):
    """One error that says what to do, in place of a wait without end."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        text = "no error"
        try:
            ELMRegressor(10, random_state=0).fit("X.h5", "T.h5")
        except BaseException as error:  # noqa: BLE001  the child must never go on with the tests
            text = f"{type(error).__name__}: {error}"
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], 60)
        assert ready
        text = os.read(reader, 10_000).decode()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
    assert text.startswith("ClusterError: A client must be used in the process that made it; got <Client:")
    assert "Make a Client of its own here" in text
    # In the process that made it, it is the client.
    assert current_client() is client


def test_an_asynchronous_client(here, cluster):
    async def fit(*data):
        async with Client(cluster.scheduler_address, asynchronous=True):
            ELMRegressor(10, random_state=0).fit(*data)

    chunks = da.from_array(X, chunks=(500, 4)), da.from_array(T, chunks=(500, 2))
    for data in (("X.h5", "T.h5"), chunks):
        with pytest.raises(ClusterError, match="must be synchronous where the work is waited for; .*asyncio.to_thread"):
            asyncio.run(fit(*data))
