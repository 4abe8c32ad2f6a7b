"""Commands in processes of their own: exit codes, streams, several at once, interrupts."""

import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from command import N, T, X, finished, process, refused, run

from daskelm import NormalEquations, load
from daskelm.sums.file import locked


def test_exit_codes_and_streams(folder, model):
    started = {
        "well": process("accumulate", model, "X.h5", "T.h5", "--into", "sums.h5"),
        "mistake": process("accumulate", model, "X.h5", "T.h5", "--into", "none/sums.h5"),
        "bug": process("info", model, code="import daskelm.cli.info\ndel daskelm.cli.info.read_model"),
    }
    found = {name: finished(process) for name, process in started.items()}
    status, out, err = found["well"]
    assert (status, out) == (0, "sums.h5: 600 rows added, 0 were counted already; 600 in all\n")
    assert re.fullmatch(r"gram: 600 of 600 rows \(100 %\), [\d,]+ rows/s, 0 s left\n", err)
    status, out, err = found["mistake"]
    assert (status, out) == (2, "")
    assert re.fullmatch(r"daskelm: error: the folder of .*none/sums.h5 does not exist. Create it first.\n", err)
    status, out, err = found["bug"]
    assert (status, out) == (1, "")
    assert err.startswith("Traceback")
    assert err.endswith("NameError: name 'read_model' is not defined\n")


def test_three_tasks_of_a_job_array_at_once(folder, model):
    rows = ["0:200", "200:400", "400:600"]
    tasks = [process("accumulate", model, "X.h5", "T.h5", "--rows", r, "--into", "sums.h5", "--quiet") for r in rows]
    for status, out, err in map(finished, tasks):
        assert (status, err) == (0, "")
        assert out.startswith("sums.h5: 200 rows added, 0 were counted already; ")
    sums = NormalEquations.load("sums.h5")
    assert sums.n_samples == N
    np.testing.assert_allclose(sums.HT, load(model).accumulate(X, T).normal_equations_.HT, rtol=1e-10)
    # The whole array again, as after a requeue.
    assert "0 rows added, 600 were counted already" in run("accumulate model.h5 X.h5 T.h5 --into sums.h5")


SLOW = """
import signal, sys, time
# Where the tests run in the background of a shell, it is ignored from the beginning.
signal.signal(signal.SIGINT, signal.default_int_handler)
from daskelm.layer.layer import Layer
quick = Layer.__call__
def slow(self, X, **options):
    sys.stderr.write("working\\n")
    # Far longer than the test waits for the process to end.
    time.sleep(600)
    return quick(self, X, **options)
Layer.__call__ = slow
"""


ENDS = {signal.SIGINT: 130, signal.SIGTERM: 143}
LAST = "daskelm: interrupted; the same command continues from what is in the files."


@pytest.mark.parametrize("number", ENDS)
def test_the_second_interrupt_ends_the_process_at_once(folder, model, number):
    run("accumulate model.h5 X.h5 T.h5 --rows 0:100 --into sums.h5")
    before = Path("sums.h5").read_bytes()
    task = process("accumulate", model, "X.h5", "T.h5", "--into", "sums.h5", "--quiet", code=SLOW)
    assert task.stderr.readline() == "working\n"
    task.send_signal(number)
    # The first one is answered at once, though the task takes ten minutes.
    assert task.stderr.readline().startswith(f"daskelm: {number.name} received: no more tasks begin, those that run")
    task.send_signal(number)
    status, out, err = finished(task)
    assert (status, out) == (ENDS[number], "")
    assert err.strip() == LAST
    assert Path("sums.h5").read_bytes() == before
    assert "500 rows added, 100 were counted already" in run("accumulate model.h5 X.h5 T.h5 --into sums.h5")


STEPS = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from daskelm.layer.layer import Layer
from daskelm.passes import accumulate, resume
accumulate.rows_per_task = accumulate.block_rows = lambda *sizes: 50
resume._COMMIT_SECONDS = 1000.0
quick = Layer.__call__
def slow(self, X, **options):
    time.sleep(1)
    return quick(self, X, **options)
Layer.__call__ = slow
"""


@pytest.mark.parametrize("number", ENDS)
def test_the_first_interrupt_keeps_what_is_reported(folder, model, number):
    task = process("accumulate", model, "X.h5", "T.h5", "--into", "sums.h5", code=STEPS)
    reported = int(re.match(r"gram: (\d+) of 600 rows", task.stderr.readline())[1])
    task.send_signal(number)
    status, out, err = finished(task)
    assert (status, out) == (ENDS[number], "")
    assert f"daskelm: {number.name} received: no more tasks begin" in err
    assert err.endswith(LAST + "\n")
    kept = NormalEquations.load("sums.h5").n_samples
    assert reported <= kept < N
    assert f"{N - kept} rows added, {kept} were counted already" in run("accumulate model.h5 X.h5 T.h5 --into sums.h5")


def test_a_lock_that_is_held_is_an_error_after_the_seconds_given(folder, model):
    with locked("sums.h5"):
        text = refused("accumulate model.h5 X.h5 T.h5 --into sums.h5 --lock-timeout 0.1 --quiet")
    assert re.match(rf".*sums\.h5\.lock must be free within 0\.1 s; process {os.getpid()} on .* has waited", text)


def test_sigterm_ends_other_commands_with_a_line_and_removes_what_is_half_written(folder, model):
    run("accumulate model.h5 X.h5 T.h5 --into sums.h5")
    run("solve model.h5 sums.h5")
    before = sorted(Path().iterdir())
    task = process("predict", model, "X.h5", "--out", "Y.h5", "--quiet", code=SLOW)
    assert task.stderr.readline() == "working\n"
    task.send_signal(signal.SIGTERM)
    status, out, err = finished(task)
    assert (status, out, err.strip()) == (143, "", LAST)
    assert sorted(Path().iterdir()) == before
