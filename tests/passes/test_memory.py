"""What a worker is said to need is what it needs: measured <= projected <= 1.3 measured, in fresh processes."""

import contextlib
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
from distributed import Client, LocalCluster
from sklearn.model_selection import KFold

from daskelm import ELMRegressor, ELMRegressorCV, make_hdf5
from daskelm.cluster.client import Process
from daskelm.data.targets import RegressionTargets
from daskelm.exceptions import InsufficientMemoryError
from daskelm.hdf5 import file_rows as hdf5
from daskelm.hdf5.rows import open_rows
from daskelm.passes.memory import BASE_BYTES, PassSizes, block_rows, held_bytes, split_every
from daskelm.passes.solution_memory import solution_need, with_solution_that_fits
from daskelm.passes.tasks import Job
from daskelm.selection.fold_sums import fold_need

D, C = 20, 2


def peak_bytes():
    """Largest resident size of this process so far (Linux)."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()).group(1))


@contextlib.contextmanager
def one_worker():
    """Client of a worker that has loaded what a user's script imports, scikit-learn and pandas, as its workers do."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", memory_limit="2GiB"
        ) as cluster,
        Client(cluster) as client,
    ):
        client.run(import_module, "daskelm.estimators.regressor")
        yield client


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the peak")
@pytest.mark.parametrize(
    ("n_neurons", "n_samples"),
    [(300, 100_000), *(pytest.param(3000, n, marks=pytest.mark.full) for n in (36_000, 60_000))],
)
def test_measured_and_projected_memory(tmp_path, n_neurons, n_samples):
    X = np.random.default_rng(0).standard_normal((n_samples, D))
    x, t = make_hdf5(X, tmp_path / "x.h5"), make_hdf5(X[:, :C], tmp_path / "t.h5")
    with one_worker() as client:
        ELMRegressor([(n_neurons, "tanh")], alpha=1.0, random_state=0).initialize(x).accumulate(x, t)
        (measured,) = client.run(peak_bytes).values()
    need = PassSizes(n_neurons, D, C, block_rows(n_neurons, D), 1, split_every(n_neurons)).need
    assert measured <= need.total <= 1.3 * measured, (measured / 2**20, need.total / 2**20)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the peak")
@pytest.mark.full
@pytest.mark.parametrize("shuffled", [False, True])
def test_measured_and_projected_memory_of_tall_packed_chunks(tmp_path, monkeypatch, shuffled):
    rows, n_neurons = 250_000, 100
    X = np.random.default_rng(0).standard_normal((rows, D))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset(
            "data", (3 * rows, D), "f8", chunks=(rows, D), compression="gzip", compression_opts=1, shuffle=shuffled
        )
        for i in range(3):
            data[i * rows : (i + 1) * rows] = X
    x, t = str(tmp_path / "x.h5"), make_hdf5(np.resize(X[:, :C], (3 * rows, C)), tmp_path / "t.h5")
    # As a larger chunk is, these are read by one task each.
    monkeypatch.setattr(hdf5, "_SHARED_BYTES", 0)
    with one_worker() as client:
        ELMRegressor([(n_neurons, "tanh")], alpha=1.0, random_state=0).initialize(X[:1000]).accumulate(x, t)
        (measured,) = client.run(peak_bytes).values()
    held = held_bytes(open_rows(x), open_rows(t))
    assert held == 3 * X.nbytes
    need = PassSizes(n_neurons, D, C, block_rows(n_neurons, D), 1, split_every(n_neurons), held).need
    assert measured <= need.total <= 1.3 * measured, (measured / 2**20, need.total / 2**20)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the peak")
@pytest.mark.full
@pytest.mark.parametrize("shuffle", [True, False])
def test_measured_and_projected_memory_of_folds(tmp_path, shuffle):
    n_neurons, n_folds, n_samples = 1500, 5, 60_000
    X = np.random.default_rng(0).standard_normal((n_samples, D))
    x, t = make_hdf5(X, tmp_path / "x.h5"), make_hdf5(X[:, :C], tmp_path / "t.h5")
    cv = KFold(n_folds, shuffle=True, random_state=0) if shuffle else n_folds
    with one_worker() as client:
        ELMRegressorCV([(n_neurons, "tanh")], alphas=[1.0, 10.0], cv=cv, random_state=0).fit(x, t)
        (measured,) = client.run(peak_bytes).values()
    sizes = PassSizes(n_neurons, D, C, block_rows(n_neurons, D), 1, split_every(n_neurons))
    projected = fold_need(sizes, n_folds, in_runs=not shuffle).total
    # Here not all of what may wait to be merged does at once.
    assert measured <= projected <= 1.6 * measured, (measured / 2**20, projected / 2**20)


# Prints the most memory of the process, and the most that it was projected to need.
MEASURED = """
import os, re, sys, warnings
from pathlib import Path
import numpy as np
from daskelm import ELMRegressor
from daskelm.passes.memory import Need

where, alpha, then, L = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
needs, check = [], Need.check

def noted(self, available, name):
    if name == "This process":
        needs.append(self.total)
    check(self, available, name)

Need.check = noted
warnings.simplefilter("ignore")

def work():
    model = ELMRegressor([(L, "tanh")], alpha=alpha if alpha in ("gcv", "auto") else float(alpha), random_state=0)
    model.fit("X.h5", "T.h5")
    if then == "deviations":
        model.predict(np.zeros((10, 20)), return_std=True)
    if then == "predict":
        model.predict("X.h5", out="P.h5")

def main():
    if where == "cluster":
        from distributed import Client, LocalCluster
        with LocalCluster(
            n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster, Client(cluster):
            work()
    else:
        work()
    peak = 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1))
    print(peak, max(needs))

if __name__ == "__main__":
    main()
"""

CASES = [
    (where, alpha, "", n_neurons)
    for where in ("here", "cluster")
    for alpha in ("1.0", "gcv", "auto", "0.0")
    for n_neurons in (2000, 4000)
] + [("here", "1.0", "deviations", 2000), ("here", "1.0", "predict", 2000), ("here", "1.0", "deviations", 4000)]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the peak")
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id="-".join(map(str, case)), marks=[] if case in (CASES[0], CASES[2]) else pytest.mark.full)
        for case in CASES
    ],
)
def test_measured_and_projected_memory_of_a_fit_and_its_solution(tmp_path, case):
    """In the process that calls: at the pass, at the solution, and at what comes after it."""
    X = np.random.default_rng(0).standard_normal((20_000, D))
    make_hdf5(X, tmp_path / "X.h5")
    make_hdf5(X[:, :C] ** 2, tmp_path / "T.h5")
    (tmp_path / "measured.py").write_text(MEASURED)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "DASK_NUM_WORKERS": "2"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    command = [sys.executable, "measured.py", *map(str, case)]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stderr
    measured, projected = map(int, ended.stdout.split())
    # In a pass with folds, not all of what may wait to be merged does at once.
    most = 1.6 if case[:2] == ("here", "auto") else 1.3
    assert measured <= projected <= most * measured, (measured / 2**20, projected / 2**20)


PREDICTS = """
import re
from pathlib import Path
import numpy as np
from daskelm import ELMRegressor

X = np.random.default_rng(0).standard_normal((5000, 10))
model = ELMRegressor(100, alpha=1.0, random_state=0).fit(X, X[:, 0] ** 2)
model.predict("X.h5", out="P.h5")
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the peak")
@pytest.mark.full
def test_predictions_of_ten_million_rows_take_less_than_a_gibibyte(tmp_path):
    n, block = 10**7, np.random.default_rng(0).standard_normal((10**5, 10)).astype("f4")
    with h5py.File(tmp_path / "X.h5", "w") as file:
        data = file.create_dataset("data", (n, 10), "f4", chunks=(10**5, 10))
        for start in range(0, n, len(block)):
            data[start : start + len(block)] = block
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", PREDICTS]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stderr
    assert 1024 * int(ended.stdout) < 2**30
    with h5py.File(tmp_path / "P.h5") as file:
        assert file["data"].shape == (n, 1)


@pytest.fixture
def limited(monkeypatch):
    """Sets the bytes that this process may use, as far as the solution of sums is concerned."""

    def limit(n_bytes):
        for module in ("passes.solution_memory", "estimators.regression"):
            monkeypatch.setattr(
                f"daskelm.{module}.this_process", lambda in_process=False: Process("This process", 1, n_bytes)
            )

    return limit


def test_a_solution_that_cannot_fit_is_refused_before_the_pass(tmp_path, limited, monkeypatch):
    X = np.random.default_rng(0).standard_normal((100, D))
    x, t = make_hdf5(X, tmp_path / "x.h5"), make_hdf5(X[:, :C], tmp_path / "t.h5")
    limited(2**30)

    def no_pass(*given, **more):
        raise AssertionError("rows were read")

    monkeypatch.setattr("daskelm.estimators.fitting.accumulate", no_pass)
    for alpha in ("gcv", "auto", 1.0):
        model = ELMRegressor([(20_000, "tanh")], alpha=alpha, random_state=0)
        how = f"alpha='{alpha}'" if isinstance(alpha, str) else "a given penalty"
        with pytest.raises(
            InsufficientMemoryError,
            match=rf"This process needs about \d+\.\d+ GiB to solve 20000 neurons with {how}, and has 1\.00 GiB\. Use "
            "fewer neurons, a number as alpha",
        ):
            model.fit(x, t)


def test_what_is_solved_or_predicted_from_sums_is_refused_before_it_begins(limited):
    X = np.random.default_rng(0).standard_normal((500, D))
    model = ELMRegressor(30, alpha=1.0, random_state=0).fit(X, X[:, 0])
    limited(2**20)
    with pytest.raises(InsufficientMemoryError, match="to solve 30 neurons, and has 0.00 GiB"):
        model.solve()
    with pytest.raises(InsufficientMemoryError, match="for standard deviations with 30 neurons"):
        model.predict(X, return_std=True)


def test_folds_are_left_out_where_their_solution_does_not_fit(limited):
    X = np.random.default_rng(0).standard_normal((2000, D))
    layer = ELMRegressor([(1000, "tanh")], alpha=1.0, random_state=0).initialize(X).hidden_layer_
    job = Job(layer, RegressionTargets(1, "float64"), X, X[:, 0], None, 3)
    limited(2**40)
    assert with_solution_that_fits(job, "auto").n_folds == 3
    now = psutil.Process().memory_info().rss
    sizes = PassSizes(1000, D, 1, block_rows(1000, D), 1, 0)
    needs = [solution_need(sizes, "auto", n_folds, max(now, BASE_BYTES)).total for n_folds in (1, 3)]
    limited(sum(needs) // 2)
    assert with_solution_that_fits(job, "auto").n_folds == 1
