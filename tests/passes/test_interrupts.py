"""The first Ctrl-C or SIGTERM of a pass that commits keeps what is done; the second ends at once."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
import dask.array as da
import h5py
import numpy as np
import pytest

from daskelm import ELMRegressor, NormalEquations, make_hdf5
from daskelm.passes import accumulate as accumulation
from daskelm.passes import resume as resumption
from daskelm.passes.interrupts import Interrupts
from daskelm.progress import RowProgress

N, STEP = 6000, 100
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 4))
T = X[:, :2] ** 2
SIGNALS = [signal.SIGINT, signal.SIGTERM]


class Ended(BaseException):
    """What the SIGTERM handler of the program under test raises."""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Files, many tasks, no commit before the end, and a handler of SIGTERM that does not end the tests."""
    monkeypatch.chdir(tmp_path)
    with h5py.File("X.h5", "w") as file:
        file.create_dataset("data", data=X, chunks=(STEP, 4))
    make_hdf5(T, "T.h5")
    for name in ("rows_per_task", "block_rows"):
        monkeypatch.setattr(accumulation, name, lambda *sizes: STEP)
    monkeypatch.setattr(resumption, "_COMMIT_SECONDS", 1000.0)

    def end(number, frame):
        raise Ended

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGTERM: signal.signal(signal.SIGTERM, end),
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send_after(monkeypatch, numbers, n_rows=10 * STEP):
    """Send signals to this process, one at each report of finished rows, from this number of rows on."""
    left, advance = list(numbers), RowProgress.advance

    def report_and_send(self, n):
        advance(self, n)
        if self.n >= n_rows and left:
            signal.raise_signal(left.pop(0))

    monkeypatch.setattr(RowProgress, "advance", report_and_send)


def accumulated(model):
    """Number of rows that the file holds, which must be sums of these rows."""
    sums = NormalEquations.load("sums.h5")
    assert sums.ledger.n_rows == sums.n_samples
    again = ELMRegressor(20, random_state=0).initialize("X.h5")
    again.accumulate("X.h5", "T.h5", into="sums.h5")
    found, expected = NormalEquations.load("sums.h5"), model.accumulate(X, T).normal_equations_
    assert found.n_samples == N
    d = np.sqrt(np.diag(expected.HH))
    assert (np.abs(found.HH - expected.HH) <= 1e-12 * np.outer(d, d)).all()
    return sums.n_samples


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("where", ["threads", "one thread", "cluster", "chunks", "chunks on a cluster"])
def test_the_first_interrupt_commits_what_is_done(here, monkeypatch, request, capsys, where, number):
    request.getfixturevalue("client" if "cluster" in where else "no_client")
    if where == "one thread":
        monkeypatch.setattr("daskelm.cluster.local.n_local_threads", lambda in_process: 1)
    y = da.from_array(T, chunks=(STEP, 2)) if "chunks" in where else "T.h5"
    if "chunks" in where:
        monkeypatch.setattr("daskelm.passes.tasks._CHUNK_BYTES", 1)
    model = ELMRegressor(20, random_state=0).initialize("X.h5")
    with monkeypatch.context() as patch, dask.config.set({"array.chunk-size": 4 * 8 * STEP}):
        send_after(patch, [number])
        with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else Ended):
            model.accumulate("X.h5", y, into="sums.h5")
    err = capsys.readouterr().err
    assert err.startswith(f"daskelm: {number.name} received: no more tasks begin, those that run are being finished")
    assert "committed to sums.h5. A second one ends at once" in err
    # The handlers are those of the program again.
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    kept = accumulated(model)
    assert 10 * STEP <= kept < N
    assert kept % STEP == 0


def test_a_fit_with_a_checkpoint_keeps_it_too(here, monkeypatch, no_client):
    with monkeypatch.context() as patch:
        send_after(patch, [signal.SIGINT])
        with pytest.raises(KeyboardInterrupt):
            ELMRegressor(20, random_state=0).fit("X.h5", "T.h5", checkpoint="sums.h5")
    assert 10 * STEP <= NormalEquations.load("sums.h5").n_samples < N
    model = ELMRegressor(20, random_state=0).fit("X.h5", "T.h5", checkpoint="sums.h5")
    assert model.normal_equations_.n_samples == N


@pytest.mark.parametrize("where", ["threads", "cluster"])
def test_the_second_interrupt_drops_it(here, monkeypatch, request, where):
    request.getfixturevalue("client" if where == "cluster" else "no_client")
    send_after(monkeypatch, [signal.SIGINT, signal.SIGINT])
    with pytest.raises(KeyboardInterrupt):
        ELMRegressor(20, random_state=0).initialize("X.h5").accumulate("X.h5", "T.h5", into="sums.h5")
    assert not Path("sums.h5").exists()


def test_rows_of_memory_and_passes_without_a_file_end_at_once(here, monkeypatch, no_client, capsys):
    # What memory holds could not be recognised later, so a part of it is not kept.
    model = ELMRegressor(20, random_state=0).initialize("X.h5")
    send_after(monkeypatch, [signal.SIGINT] * 2)
    with pytest.raises(KeyboardInterrupt):
        model.accumulate(X, T, into="sums.h5")
    with pytest.raises(KeyboardInterrupt):
        ELMRegressor(20, random_state=0).fit("X.h5", "T.h5")
    assert capsys.readouterr().err == ""


def test_an_error_comes_before_an_interrupt(here):
    def fail():
        with Interrupts("sums.h5") as interrupts:
            signal.raise_signal(signal.SIGINT)
            assert interrupts.asked()
            raise OSError(28, "no space")

    with pytest.raises(OSError, match="no space"):
        fail()


def test_ignored_signals_and_other_threads(here):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Interrupts("sums.h5") as interrupts:
        signal.raise_signal(signal.SIGINT)
        assert not interrupts.asked()

    def handlers():
        with Interrupts("sums.h5"):
            found.append(signal.getsignal(signal.SIGTERM))

    before, found = signal.getsignal(signal.SIGTERM), []
    thread = threading.Thread(target=handlers)
    thread.start()
    thread.join()
    assert found == [before]


def test_a_program_without_a_handler_ends_by_sigterm(tmp_path):
    code = "import os, signal\nfrom daskelm.passes.interrupts import Interrupts\nwith Interrupts('sums.h5'):\n"
    code += "    os.kill(os.getpid(), signal.SIGTERM)\n    print('done', flush=True)\nprint('not reached')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (-signal.SIGTERM, "done\n")
    assert ended.stderr.startswith("daskelm: SIGTERM received")


CELL = """
import os
from daskelm import ELMRegressor
from daskelm.passes import accumulate, resume
accumulate.rows_per_task = accumulate.block_rows = lambda *sizes: 100
resume._COMMIT_SECONDS = 1000.0
from daskelm.layer.layer import Layer
quick = Layer.__call__
def slow(self, X, **options):
    import time
    time.sleep(0.05)
    return quick(self, X, **options)
Layer.__call__ = slow
model = ELMRegressor(20, random_state=0, verbose=1).initialize("X.h5")
print("begun", flush=True)
model.accumulate("X.h5", "T.h5", into="sums.h5")
"""


def test_the_interrupt_button_of_jupyter(here):
    jupyter_client = pytest.importorskip("jupyter_client")
    manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3", cwd=os.getcwd())
    try:
        client.execute(CELL)
        texts, end = [], time.monotonic() + 100
        errors = None
        while errors is None and time.monotonic() < end:
            message = client.get_iopub_msg(timeout=100)
            content = message["content"]
            if message["msg_type"] == "stream":
                texts.append(content["text"])
                if "begun" in content["text"]:
                    time.sleep(1)
                    manager.interrupt_kernel()
            elif message["msg_type"] == "error":
                errors = content["ename"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert errors == "KeyboardInterrupt"
    assert "daskelm: SIGINT received: no more tasks begin" in "".join(texts)
    assert 0 < NormalEquations.load("sums.h5").n_samples < N
