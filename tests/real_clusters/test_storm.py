"""Many processes on one sums file, killed at any instant: each row counts once, and the file is whole at all times."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from daskelm import ELMRegressor, NormalEquations, load, make_hdf5

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(600)]

FULL = os.environ.get("DASKELM_CAMPAIGN") == "full"
N = 20_000
RNG = np.random.default_rng(5)
X = RNG.standard_normal((N, 6))
T = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], axis=1)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_hdf5(X, "X.h5")
    make_hdf5(T, "T.h5")
    ELMRegressor([(6, "lin"), (40, "tanh")], random_state=0).initialize("X.h5").save("model.h5")


def run(**options):
    script = Path(__file__).with_name("kill_storm.py")
    words = [f"--{name}={value}" for name, value in options.items()]
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    statuses = json.loads(done.stdout)["statuses"]
    assert not any(statuses), (statuses, done.stderr)


def assert_all_rows_once(path="sums.h5"):
    sums = NormalEquations.load(path)
    expected = load("model.h5").accumulate(X, T).normal_equations_
    d, t = np.sqrt(np.diag(expected.HH)), np.sqrt(expected.moments(centred=False).TT)
    assert (np.abs(sums.HH - expected.HH) <= 1e-12 * np.outer(d, d)).all()
    assert (np.abs(sums.HT - expected.HT) <= 1e-12 * np.outer(d, t)).all()
    assert sums.n_samples == N
    (source,) = sums.ledger.sources.values()
    assert source.ranges == ((0, N),)


@pytest.mark.full
def test_a_storm_of_kills(here):
    run(processes=8, ranges=200, rows=N, kills=100 if FULL else 8, rounds=1, seed=1)
    assert_all_rows_once()
    assert int(Path("n_reads").read_text()) > 0
    assert sorted(os.listdir()) == ["T.h5", "X.h5", "model.h5", "n_reads", "stop", "sums.h5", "sums.h5.lock"]


def test_three_scripts_at_once_in_any_order(here):
    rounds = 50 if FULL else 6
    run(processes=3, ranges=3, rows=N, kills=0, rounds=rounds, seed=2)
    assert_all_rows_once()
    for i in range(1, rounds):
        assert_all_rows_once(f"sums.h5.{i}")
