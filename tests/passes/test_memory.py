"""What a worker is said to need is what it needs: measured <= projected <= 1.3 measured, in fresh processes."""

import contextlib
import re
from importlib import import_module
from pathlib import Path

import h5py
import numpy as np
import pytest
from distributed import Client, LocalCluster
from sklearn.model_selection import KFold

from daskelm import ELMRegressor, ELMRegressorCV, make_hdf5
from daskelm.hdf5 import file_rows as hdf5
from daskelm.hdf5.rows import open_rows
from daskelm.passes.memory import PassSizes, block_rows, held_bytes, split_every
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
