"""CONTRIBUTING.md tells the truth: what it adds takes one file and one row, and works everywhere then."""

import ast
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from daskelm import ELMRegressor, ELMRegressorCV
from daskelm.exceptions import ParameterError
from daskelm.layer.sublayer import sublayer
from daskelm.passes.accumulate import accumulate
from daskelm.ridge import solve as solvers
from daskelm.ridge.eigen import EigenFactor
from daskelm.ridge.moments import Moments, Weights
from daskelm.selection import select as selection
from daskelm.selection.criterion import Problem, Scored
from daskelm.sums.some_neurons import take_neurons

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

RNG = np.random.default_rng(0)
X = RNG.uniform(-2, 2, (400, 3))
Y = np.sin(X[:, 0]) * X[:, 1] + 0.1 * RNG.standard_normal(400)

USES_ALL_OF_IT = """
    import numpy as np
    from daskelm import ELMClassifier, ELMRegressor, ELMRegressorCV, HiddenLayer, load, make_hdf5

    X = np.random.default_rng(0).uniform(-2, 2, (300, 3))
    make_hdf5(X, "X.h5")
    make_hdf5(X[:, 0] * X[:, 1], "y.h5")
    neurons = [(2, "lin"), (40, "erf")]
    model = ELMRegressor(neurons, random_state=0).fit("X.h5", "y.h5")
    model.save("model.h5")
    np.testing.assert_array_equal(load("model.h5").predict(X), model.predict(X))
    assert model.score(X, X[:, 0] * X[:, 1]) > 0.9
    np.testing.assert_array_equal(HiddenLayer(neurons, random_state=0).fit_transform(X), model.transform(X))
    ELMClassifier(neurons, random_state=0).fit(X, X[:, 0] > 0)
    ELMRegressorCV(neurons, n_neurons=[10, 42], cv=3, random_state=0).fit(X, X[:, 0])
    try:
        ELMRegressor([(5, "erv")]).fit(X, X[:, 0])
    except ValueError as error:
        assert "'erf'" in str(error)
"""


def code_under(heading):
    """The block of a section."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.search(r"^```python\n(.*?)^```", section, re.M | re.S)[1]


def test_a_kind_of_neuron_is_one_row(tmp_path):
    package = shutil.copytree(ROOT / "daskelm", tmp_path / "daskelm", ignore=shutil.ignore_patterns("__pycache__"))
    module = package / "layer" / "neurons.py"
    text = module.read_text(encoding="utf-8")
    module.write_text(text.replace('    "relu": Kind(', code_under("A new kind of neuron") + '    "relu": Kind(', 1))
    (tmp_path / "uses.py").write_text(textwrap.dedent(USES_ALL_OF_IT))
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for command in (["uses.py"], ["-m", "pytest", "-v", "-p", "no:cacheprovider", "tests/layer/test_neurons.py"]):
        done = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    # Tests that go through all kinds have gone through it.
    assert re.search(r"\[erf\] PASSED", done.stdout)


def defined(code, **names):
    """The function of a block."""
    [function] = [node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]
    exec(code, names)
    return names[function]


def test_a_solver_is_a_function_and_a_row(monkeypatch):
    by_lu = defined(code_under("A new solver"), np=np, Moments=Moments, Weights=Weights)
    expected = ELMRegressor(20, alpha=10.0, random_state=0).fit(X, Y)
    monkeypatch.setattr(solvers, "SOLVERS", {"lu": by_lu, **solvers.SOLVERS})
    sums = expected.normal_equations_
    assert solvers.solve(sums.moments(), 10.0).method == "lu"
    assert solvers.solve(sums.moments(), 1e-9).method == "cholesky"
    solution = solvers.solve(sums.moments(), 10.0)
    by_hand = solution.intercept + expected.transform(X) @ solution.coef.ravel()
    np.testing.assert_allclose(expected.solve().predict(X), by_hand, rtol=1e-8)


def test_a_criterion_is_a_function_and_a_row(monkeypatch):
    names = {"EigenFactor": EigenFactor, "ParameterError": ParameterError}
    names |= {"accumulate": accumulate, "sublayer": sublayer, "take_neurons": take_neurons}
    by_bic = defined(
        code_under("A new criterion of selection"), np=np, Problem=Problem, Scored=Scored, solve=solvers.solve, **names
    )
    monkeypatch.setitem(selection.CRITERIA, "bic", by_bic)
    model = ELMRegressorCV(60, n_neurons=[5, 20, 60], cv="bic", random_state=0).fit(X, Y)
    assert model.cv_results_["mean_test_score"].argmax() == model.cv_results_["rank_test_score"].argmin()
    assert model.n_neurons_ in (20, 60)
    assert model.score(X, Y) > 0.9
    # Where rows are few, it must not take the least penalty that there is.
    few = ELMRegressorCV(60, cv="bic", random_state=0).fit(X[:80], Y[:80])
    assert few.score(X[80:], Y[80:]) > 0.85
    with pytest.raises(ParameterError, match="scoring must be None with cv='bic'"):
        ELMRegressorCV(60, cv="bic", scoring="r2", random_state=0).fit(X, Y)
    with pytest.raises(ParameterError, match="cv must be None, 'gcv', 'loo', 'bic', an int, .*; got 'bec'"):
        ELMRegressorCV(60, cv="bec", random_state=0).fit(X, Y)
