"""The page "Running HP-ELM in parallel": its scripts run as they are, in any order, at once and killed."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hpelm_table import RNG, assert_close, check_files, environment, hidden, one_matrix, textbook

from daskelm import NormalEquations, from_hdf5, make_hdf5
from daskelm.hpelm import HPELM

IMPORTS = "import numpy as np\nfrom daskelm.hpelm import HPELM, modules\n"
SCRIPTS = [
    IMPORTS + textwrap.dedent(script)
    for script in (
        """
        X = np.random.rand(1000, 10)
        T = np.random.rand(1000, 3)
        hX = modules.make_hdf5(X, "dataX.hdf5")
        hT = modules.make_hdf5(T, "dataT.hdf5")
        """,
        """
        model0 = HPELM(10, 3)
        model0.add_neurons(10, 'lin')
        model0.add_neurons(5, 'tanh')
        model0.add_neurons(15, 'sigm')
        model0.save("model.pkl")
        """,
        """
        model1 = HPELM(10, 3)
        model1.load("model.pkl")
        model1.add_data("dataX.hdf5", "dataT.hdf5", istart=0, icount=100, fHH="HH.hdf5", fHT="HT.hdf5")
        """,
        """
        model2 = HPELM(10, 3)
        model2.load("model.pkl")
        model2.add_data("dataX.hdf5", "dataT.hdf5", istart=100, icount=100, fHH="HH.hdf5", fHT="HT.hdf5")
        """,
        """
        model3 = HPELM(10, 3)
        model3.load("model.pkl")
        model3.add_data("dataX.hdf5", "dataT.hdf5", istart=200, icount=800, fHH="HH.hdf5", fHT="HT.hdf5")
        """,
        """
        model4 = HPELM(10, 3)
        model4.load("model.pkl")
        model4.solve_corr("HH.hdf5", "HT.hdf5")
        model4.save("model.pkl")
        """,
        """
        model5 = HPELM(10, 3)
        model5.load("model.pkl")
        model5.predict("dataX.hdf5", "predictedY.hdf5")
        err_train = model5.error("dataT.hdf5", "predictedY.hdf5")
        print("Training error is", err_train)
        """,
    )
]
PAGE_FILES = {
    *("dataX.hdf5", "dataT.hdf5", "model.pkl", "HH.hdf5", "HT.hdf5"),
    *("HH.hdf5+HT.hdf5.sums.h5", "HH.hdf5+HT.hdf5.sums.h5.lock"),
}


def start(script, folder):
    path = folder / f"script{SCRIPTS.index(script)}.py"
    path.write_text(script)
    return subprocess.Popen(
        [sys.executable, "-W", "error", path.name], cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    )


def test_the_pages_scripts_run_as_they_are(tmp_path):
    first, second, *adding, fourth, fifth = SCRIPTS
    for together in ([first], [second], adding, [fourth], [fifth]):
        running = [start(script, tmp_path) for script in together]
        outputs = [process.communicate(timeout=120)[0] for process in running]
        assert [process.returncode for process in running] == [0] * len(running)
    X, T = from_hdf5(tmp_path / "dataX.hdf5").compute(), from_hdf5(tmp_path / "dataT.hdf5").compute()
    model = HPELM(10, 3)
    model.load(tmp_path / "model.pkl")
    check_files(model, tmp_path, X=X, T=T)
    B = textbook(model, X, T)[2]
    assert_close(model.nnet.get_B(), B)
    words = outputs[0].split()
    assert words[:-1] == ["Training", "error", "is"]
    assert float(words[-1]) == pytest.approx(np.mean((hidden(model, X) @ B - T) ** 2), rel=1e-10)
    assert_close(one_matrix(tmp_path / "predictedY.hdf5"), hidden(model, X) @ B)
    assert set(os.listdir(tmp_path)) == PAGE_FILES | {"predictedY.hdf5", *(f"script{i}.py" for i in range(7))}


# One process imports daskelm and forks for each script: what it takes is the scripts' own work.
HARNESS = """
import os, random, shutil, signal, sys, time
import distributed.system, portalocker
from daskelm.hpelm import HPELM, modules

scripts, rng = [open(f"script{i}.py").read() for i in (2, 3, 4)], random.Random(int(sys.argv[3]))

def start(folder, script):
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.chdir(folder)
        exec(compile(script, "script", "exec"), {"__name__": "__main__"})
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)

def run(folder, order, kill=None):
    children = [start(folder, script) for script in order]
    if kill is not None:
        time.sleep(rng.random() * kill)
        os.kill(children[0], signal.SIGKILL)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]

for trial in range(int(sys.argv[1])):
    folder = f"trial{trial}"
    os.mkdir(folder)
    for name in ("dataX.hdf5", "dataT.hdf5", "model.pkl"):
        shutil.copy(name, folder)
    order = rng.sample(scripts, 3)
    if sys.argv[2] == "kill":
        run(folder, order, kill=0.15)
    assert run(folder, order) == [0, 0, 0]
    if sys.argv[2] == "again":
        assert run(folder, rng.choices(scripts, k=2)) == [0, 0]
"""


@pytest.mark.campaign
@pytest.mark.parametrize("what", ["kill", *(pytest.param(each, marks=pytest.mark.full) for each in ("once", "again"))])
def test_scripts_at_once_in_any_order_count_every_row_once(tmp_path, what):
    trials = 50 if os.environ.get("DASKELM_CAMPAIGN") == "full" else 5
    X, T = RNG.random((1000, 10)), RNG.random((1000, 3))
    make_hdf5(X, tmp_path / "dataX.hdf5")
    make_hdf5(T, tmp_path / "dataT.hdf5")
    model = HPELM(10, 3, norm=0.5)
    for number, kind in ((10, "lin"), (5, "tanh"), (15, "sigm")):
        model.add_neurons(number, kind)
    model.save(tmp_path / "model.pkl")
    for i in (2, 3, 4):
        (tmp_path / f"script{i}.py").write_text(SCRIPTS[i])
    subprocess.run(
        [sys.executable, "-c", HARNESS, str(trials), what, str(RNG.integers(2**31))],
        cwd=tmp_path,
        # After a fork, threads that a library started are gone.
        env=environment(OPENBLAS_NUM_THREADS="1"),
        check=True,
        timeout=280,
    )
    for trial in range(trials):
        folder = tmp_path / f"trial{trial}"
        check_files(model, folder, X=X, T=T)
        sums = NormalEquations.load(folder / "HH.hdf5+HT.hdf5.sums.h5")
        assert (sums.n_samples, sums.ledger.n_rows, sums.ledger.n_unknown) == (1000, 1000, 0)
        assert set(os.listdir(folder)) == PAGE_FILES
