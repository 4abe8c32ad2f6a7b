"""docs/job_arrays.md and docs/slurm.md on a real Slurm, as they are written, with jobs killed in their middle."""

import functools
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from daskelm import ELMRegressor, NormalEquations, from_hdf5, load, make_hdf5
from daskelm.exceptions import FileMissingError

from .slurm import ENDED, running_slurm

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("job_arrays", "slurm")}
N = 180_000
RNG = np.random.default_rng(0)
X = RNG.uniform(-2, 2, (N, 10))
T = np.stack([np.sin(X[:, 0]) * X[:, 1], X[:, 2] ** 2, X[:, 3]], axis=1)
SAMPLE = slice(0, 2000)
# Of the job arrays, and of fit.py: enough work that a worker can be lost in its middle.
FEW, MANY = 100, 800

# The command of this environment and this code, whether it is installed or not, and its Python. Each commit is followed
# by a second of rest, so that a job can be killed when it has done a part and no more.
PROGRAM = """\
#!/bin/sh
exec "{python}" -c '
import runpy, sys, time
from daskelm import cli
from daskelm.passes import resume as resumption

resumption._COMMIT_SHARE = resumption._COMMIT_SECONDS = 0
add_to_file = resumption.add_to_file

def add_and_rest(*args):
    seen = add_to_file(*args)
    time.sleep(1)
    return seen

resumption.add_to_file = add_and_rest
{call}
' "$@"
"""
CALLS = {"daskelm": "cli.main()", "python": 'runpy.run_path(sys.argv[1], run_name="__main__")'}


def code(page, language, containing):
    """The one block of a page in that language that contains these words."""
    [found] = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGES[page], re.S) if containing in text]
    return found


def console(page, containing):
    """The same of what is typed, without the prompt."""
    return "".join(line.removeprefix("$ ") for line in code(page, "console", containing).splitlines(keepends=True))


@pytest.fixture(scope="module")
def slurm():
    with running_slurm() as slurm:
        yield slurm


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with data."""
    folder = tmp_path_factory.mktemp("data")
    make_hdf5(X, folder / "dataX.h5")
    make_hdf5(T, folder / "dataT.h5")
    return folder


@functools.cache
def undisturbed(n_neurons):
    """What a fit that nobody disturbs predicts."""
    return ELMRegressor(n_neurons, random_state=0).fit(X, T).predict(X[SAMPLE])


def assert_undisturbed(predicted, n_neurons):
    np.testing.assert_allclose(predicted, undisturbed(n_neurons), rtol=0, atol=1e-8)


@pytest.fixture
def shell(slurm, data, tmp_path, monkeypatch):
    """Runs commands as written, in a folder with that data, and gives what they print."""
    for name in ("dataX.h5", "dataT.h5"):
        (tmp_path / name).symlink_to(data / name)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, call in CALLS.items():
        (programs / name).write_text(PROGRAM.format(python=sys.executable, call=call))
        (programs / name).chmod(0o755)
    environment = os.environ | slurm.environment
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
    # Of dask-jobqueue: the one interface that any machine has, and a dashboard where nobody else has one.
    environment["DASK_CONFIG"] = str(tmp_path / "config")
    environment["DASK_JOBQUEUE__SLURM__INTERFACE"] = "lo"
    environment["DASK_JOBQUEUE__SLURM__SCHEDULER_OPTIONS"] = "{'dashboard_address': '127.0.0.1:0'}"
    monkeypatch.chdir(tmp_path)

    def run(commands):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
        return done.stdout

    yield run
    slurm.cancel_all()


def until(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {logs()}"
        time.sleep(0.05)


def logs():
    return "\n".join(f"{path}:\n{path.read_text()}" for path in sorted(Path().glob("*.log")))


def counted(path, start, stop):
    """How many of these rows a sums file counts."""
    try:
        sources = NormalEquations.load(path).ledger.sources.values()
    except FileMissingError:
        return 0
    return sum(max(min(b, stop) - max(a, start), 0) for source in sources for a, b in source.ranges)


@pytest.fixture
def model(shell):
    """A model that has seen no rows, in that folder."""
    ELMRegressor(FEW, random_state=0).initialize("dataX.h5").save("model.h5")


def assert_continued(log, path, n_rows, done):
    """The second attempt counted what the first had committed: rows before it was ended, and those it finished then."""
    assert "SIGTERM received: no more tasks begin" in log, log
    [added, counted] = map(int, re.search(rf"{path}: (\d+) rows added, (\d+) were counted already", log).groups())
    assert added + counted == n_rows, log
    assert counted >= done, log


def test_job_array_with_a_task_killed_and_requeued(slurm, shell, model):
    Path("accumulate.sbatch").write_text(code("job_arrays", "bash", "$stop --into sums.h5\n"))
    Path("solve.sbatch").write_text(code("job_arrays", "bash", "#SBATCH --job-name=solve\n"))
    array, solve = shell(console("job_arrays", "sbatch --parsable") + "echo $array $solve").split()

    rows = N // 3, 2 * N // 3
    until(lambda: counted("sums.h5", *rows))
    slurm.run("scancel", "--full", "--signal=KILL", f"{array}_1")
    until(lambda: slurm.states(f"{array}_1") == {"CANCELLED"})
    done = counted("sums.h5", *rows)
    assert 0 < done < N // 3
    shell(f"array={array}\n" + console("job_arrays", "scontrol requeue"))
    slurm.wait(array)
    slurm.wait(solve)

    # One attempt after the other, and the second left out what the first had done.
    log = Path(f"accumulate-{array}-1.log").read_text()
    assert "CANCELLED" in log, log
    assert "(100 %)" in log, log
    assert_continued(log, "sums.h5", N // 3, done)
    sums = NormalEquations.load("sums.h5")
    assert sums.n_samples == N
    [source] = sums.ledger.sources.values()
    assert source.ranges == ((0, N),)
    assert_undisturbed(load("model.h5").predict(X[SAMPLE]), FEW)
    assert_undisturbed(from_hdf5("predictedY.h5")[SAMPLE].compute(), FEW)


def test_job_array_without_locks_with_a_task_requeued_while_it_runs(slurm, shell, model):
    Path("accumulate.sbatch").write_text(code("job_arrays", "bash", "--no-lock"))
    array = shell("sbatch --parsable accumulate.sbatch").strip()

    rows = N // 2, N
    until(lambda: counted("sums-1.h5", *rows))
    shell(f"array={array}\n" + console("job_arrays", "scontrol requeue"))
    until(lambda: slurm.states(f"{array}_1") == {"PENDING"})
    done = counted("sums-1.h5", *rows)
    assert 0 < done < N // 2
    slurm.wait(array)

    log = Path(f"accumulate-{array}-1.log").read_text()
    assert "DUE TO JOB REQUEUE" in log
    assert_continued(log, "sums-1.h5", N // 2, done)
    shell(code("job_arrays", "bash", "--out without_locks.h5"))
    assert_undisturbed(load("without_locks.h5").predict(X[SAMPLE]), FEW)


def test_job_array_with_a_task_for_each_file(slurm, shell, model):
    """Two tasks for five files; one of them is requeued, and leaves out what it had added."""
    for i, part in enumerate(np.array_split(np.arange(N), 5)):
        with h5py.File(f"run_{i}.h5", "w") as file:
            file["X"], file["T"] = X[part], T[part]
    Path("files.sbatch").write_text(code("job_arrays", "bash", "#SBATCH --job-name=files\n"))
    array = shell("sbatch --parsable files.sbatch").strip()
    until(lambda: counted("sums_of_run_1.h5", 0, N // 5))
    slurm.run("scancel", "--full", "--signal=KILL", f"{array}_1")
    until(lambda: slurm.states(f"{array}_1") == {"CANCELLED"})
    shell(f"array={array}\n" + console("job_arrays", "scontrol requeue"))
    slurm.wait(array)

    assert sorted(map(str, Path().glob("sums_of_*.h5"))) == [f"sums_of_run_{i}.h5" for i in range(5)]
    shell("daskelm solve model.h5 sums_of_run_*.h5 --out by_files.h5")
    assert sum(NormalEquations.load(path).n_samples for path in Path().glob("sums_of_*.h5")) == N
    assert_undisturbed(load("by_files.h5").predict(X[SAMPLE]), FEW)


@pytest.fixture
def fit(slurm, shell):
    """The job of fit.py, at work with two workers, and the jobs of these."""
    Path("config").mkdir()
    Path("config/jobqueue.yaml").write_text(code("slurm", "yaml", "jobqueue:"))
    Path("fit.py").write_text(code("slurm", "python", "SLURMCluster"))
    fit = shell(console("slurm", "fit.py") + "echo $fit").strip()
    until(lambda: "gram: " in log_of(fit))
    workers = set(slurm.run("squeue", "--noheader", "--states=R", "--format=%A").split()) - {fit}
    assert len(workers) == 2
    return fit, sorted(workers)


def log_of(fit):
    log = Path(f"fit-{fit}.log")
    return log.read_text() if log.exists() else ""


def assert_fitted():
    assert NormalEquations.load("sums.h5").n_samples == N
    assert_undisturbed(load("model.h5").predict(X[SAMPLE]), MANY)
    assert_undisturbed(from_hdf5("predictedY.h5")[SAMPLE].compute(), MANY)


def test_dask_cluster_of_jobs_that_loses_one(slurm, fit):
    fit, (lost, _) = fit
    slurm.run("scancel", lost)
    slurm.wait(lost, {"CANCELLED"})
    assert "(100 %)" not in log_of(fit)
    slurm.wait(fit)
    assert_fitted()


def test_dask_cluster_whose_script_is_requeued(slurm, shell, fit):
    fit, workers = fit
    until(lambda: counted("sums.h5", 0, N))
    shell(f"fit={fit}\n" + console("slurm", "scontrol requeue"))
    until(lambda: slurm.states(fit) == {"PENDING"})
    done = counted("sums.h5", 0, N)
    assert 0 < done < N
    for worker in workers:
        until(lambda worker=worker: slurm.states(worker) <= ENDED, seconds=60)
    slurm.wait(fit)
    # What runs at SIGTERM is finished and committed too.
    whole = re.findall(r"gram: .* of ([\d,]+) rows \(100 %\)", log_of(fit))
    assert "SIGTERM received: no more tasks begin" in log_of(fit), log_of(fit)
    assert int(whole[-1].replace(",", "")) <= N - done, log_of(fit)
    assert_fitted()
