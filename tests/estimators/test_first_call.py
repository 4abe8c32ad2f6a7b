"""Each public call as the first one of a fresh process, then a client and a second call: Dask stays as it was."""

import subprocess
import sys

import numpy as np
import pytest

from daskelm import ELMRegressor, make_hdf5

CALLS = {
    "predict to a file": 'load("model.h5").predict("X.h5", out="p.h5")',
    "predict lazily": 'load("model.h5").predict("X.h5").compute()',
    "score": 'load("model.h5").score("X.h5", "y.h5")',
    "fit files": 'ELMRegressor(5).fit("X.h5", "y.h5")',
    "fit arrays": "ELMRegressor(5).fit(X, y)",
    "fit lazy arrays": 'ELMRegressor(5).fit(from_hdf5("X.h5") + 0, from_hdf5("y.h5") + 0)',
    "fit with a curve": 'ELMRegressor(5, tol=0.1).fit("X.h5", "y.h5")',
    "fit with a checkpoint": 'ELMRegressor(5, random_state=0).fit("X.h5", "y.h5", checkpoint="checkpoint.h5")',
    "fit classes": 'ELMClassifier(5).fit("X.h5", "labels.h5")',
    "choose by folds": 'ELMRegressorCV(5, cv=2).fit("X.h5", "y.h5")',
    "choose by leaving one out": 'ELMClassifierCV(5, cv="loo").fit("X.h5", "labels.h5")',
    "accumulate": 'load("model.h5").accumulate("X.h5", "y.h5", rows=slice(0, 50), into="more.h5")',
    "remove": 'load("model.h5").remove("X.h5", "y.h5", sums="sums.h5").accumulate("X.h5", "y.h5", into="sums.h5")',
    "solve": 'load("model.h5").solve("sums.h5").save("solved.h5")',
    "select": 'load("model.h5").select("sums.h5")',
    "transform": 'HiddenLayer(5).fit("X.h5").transform("X.h5").compute()',
    "make_hdf5": 'make_hdf5(X, "made.h5")',
    "to_hdf5": 'to_hdf5(from_hdf5("X.h5") * 2, "twice.h5")',
    "read sums": 'NormalEquations.load("sums.h5") - NormalEquations.load("sums.h5")',
    "HP-ELM's interface": 'HPELM(2, 1).add_neurons(5, "tanh")',
    "picture": 'PredictionDisplay.from_estimator(load("model.h5"), "X.h5", "y.h5")',
}
SCRIPT = """
import json, logging
import numpy as np
import daskelm
from daskelm import *
from daskelm.hpelm import HPELM

rng = np.random.default_rng(0)
X, y = rng.random((100, 2)), rng.random(100)

{call}

import dask, distributed
config = json.dumps(dask.config.config, default=str, sort_keys=True)

with distributed.Client(n_workers=1, processes=False, dashboard_address=":0", silence_logs=logging.ERROR):
    load("model.h5").score("X.h5", "y.h5")
    ELMRegressor(5).fit(from_hdf5("X.h5") + 0, from_hdf5("y.h5") + 0)
{call}

print(config)
assert json.dumps(dask.config.config, default=str, sort_keys=True) == config, "the second calls left another one"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first")
    rng = np.random.default_rng(0)
    X, y = rng.random((100, 2)), rng.random(100)
    for name, values in {"X": X, "y": y, "labels": (y > 0.5).astype(int)}.items():
        make_hdf5(values, folder / f"{name}.h5")
    model = ELMRegressor(5, random_state=0).fit(X, y)
    model.save(folder / "model.h5", sums=True)
    model.accumulate(folder / "X.h5", folder / "y.h5", into=folder / "sums.h5")
    return folder


def run(script, folder):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def untouched():
    """Dask's configuration where daskelm was never imported."""
    script = "import json, dask, distributed; print(json.dumps(dask.config.config, default=str, sort_keys=True))"
    return run(script, None)


# The calls that run in each run of the tests; each of the others is two seconds of imports.
ALWAYS = ("predict to a file", "fit classes", "accumulate")


@pytest.mark.parametrize(
    "call", [call if call in ALWAYS else pytest.param(call, marks=pytest.mark.full) for call in CALLS]
)
def test_any_call_may_be_the_first_one(call, folder, untouched, tmp_path):
    for name in ("X.h5", "y.h5", "labels.h5", "model.h5", "sums.h5"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    script = SCRIPT.format(call=CALLS[call])
    assert run(script, tmp_path) == untouched
