"""What runs on workers imports neither scikit-learn nor, to sum rows of HDF5 files, dask.array and pandas."""

import ast
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import numpy as np
import pytest
from distributed import Client, LocalCluster
from scipy.linalg import LinAlgWarning
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import KFold
from test_architecture import HEIGHT, TREES, folder_of

import daskelm.exceptions
from daskelm import ELMClassifier, ELMClassifierCV, ELMRegressor, ELMRegressorCV, make_hdf5
from daskelm.exceptions import DaskelmError, IllConditionedWarning, NotSolvedError

BELOW = [module for module in TREES if HEIGHT[folder_of(module)] < HEIGHT["selection"]]


def imports_of_sklearn(module):
    """(line, name of the function or None at the top) of each import of scikit-learn in a module."""
    functions = [node for node in ast.walk(TREES[module]) if isinstance(node, ast.FunctionDef)]
    typing_only = [
        node for node in TREES[module].body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found = [node.module or ""] if not node.level else []
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            found = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        else:
            continue
        of_sklearn = any(str(name).partition(".")[0] == "sklearn" for name in found)
        if of_sklearn and not any(node in ast.walk(block) for block in typing_only):
            yield node.lineno, next((f.name for f in functions if node in ast.walk(f)), None)


def test_nothing_below_selection_imports_scikit_learn():
    """Except for a class that is a NotFittedError too, and files of libsvm, which no worker reads."""
    found = [(module, function) for module in BELOW for _, function in imports_of_sklearn(module)]
    assert found == [("data.libsvm", "_parsed"), ("exceptions", "__getattr__")]


def test_selection_imports_scikit_learn_only_in_functions():
    """Its functions run on workers: fold sums, the scoring pass, leave one out."""
    selection = [module for module in TREES if folder_of(module) == "selection"]
    found = {module: function for module in selection for _, function in imports_of_sklearn(module)}
    assert found == {"selection.folds": "make_folds", "selection.select": "named"}


def in_new_process(code, *args):
    """What code prints that runs in a Python of its own; `loaded()` there lists heavy packages that are imported."""
    begin = (
        "import sys\n"
        "def loaded():\n"
        "    return [name for name in ('sklearn', 'pandas', 'dask.array', 'distributed') if name in sys.modules]\n"
    )
    run = subprocess.run([sys.executable, "-c", begin + code, *map(str, args)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.split("\n")[:-1]


def test_modules_below_estimators_load_without_scikit_learn():
    modules = [f"daskelm.{module}" for module in TREES if HEIGHT[folder_of(module)] <= HEIGHT["selection"]]
    code = "from importlib import import_module\nfor name in sys.argv[1:]: import_module(name)\nprint(loaded())"
    assert in_new_process(code, *modules) == ["[]"]


TASKS = """
import pickle
from functools import partial
import numpy as np
from daskelm.hdf5.rows import open_rows
from daskelm.passes.accumulate import accumulate
from daskelm.data.targets import RegressionTargets
from daskelm.passes.predict import WeightedOutput, apply, numbers_of
from daskelm.passes.score import r2
from daskelm.ridge.solve import solve

with open(sys.argv[1], "rb") as file:
    layer = pickle.load(file)
X, y = open_rows(sys.argv[2]), open_rows(sys.argv[3])
targets = RegressionTargets(1, "float64")
parts = [accumulate(layer, targets, X.rows(rows), y.rows(rows)) for rows in (slice(0, 300), slice(300, None))]
sums = pickle.loads(pickle.dumps(parts[0])) + parts[1]
print(sums.n_samples, 'sklearn' in sys.modules)
solution = solve(sums.moments(centred=True), 1.0)
finish = partial(numbers_of, vector=True)
output = WeightedOutput(layer, (), np.dtype("float64"), solution.coef, solution.intercept, finish)
predicted = apply(pickle.loads(pickle.dumps(output)), X, "predict")
print(predicted.compute().shape, r2(y, predicted) > 0.9, "sklearn" in sys.modules)
"""


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Paths of inputs, numbers and labels."""
    folder = tmp_path_factory.mktemp("tables")
    X = np.random.default_rng(0).standard_normal((800, 4))
    y = X @ [1.0, -2.0, 0.5, 0.0]
    for name, data in (("X", X), ("y", y), ("labels", (y > 0).astype(int))):
        make_hdf5(data, folder / f"{name}.h5")
    return folder / "X.h5", folder / "y.h5", folder / "labels.h5"


def test_tasks_run_without_scikit_learn(tables, tmp_path):
    X, y, _ = tables
    layer = ELMRegressor(10, random_state=0).fit(X, y).hidden_layer_
    (tmp_path / "layer").write_bytes(pickle.dumps(layer))
    assert in_new_process(TASKS, tmp_path / "layer", X, y) == ["800 False", "(800,) True False"]


def heavy_packages(client):
    """Lists of the packages that the workers have imported; no function of this file is sent, which imports them."""
    names = "('sklearn', 'pandas', 'dask.array')"
    return list(client.run(eval, f"[name for name in {names} if name in __import__('sys').modules]").values())


def test_workers_of_a_cluster_stay_without_scikit_learn(tables):
    """In this process, the client's, it is loaded."""
    X, y, labels = tables
    cv = {"alphas": [0.1, 1.0], "random_state": 0}
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        model = ELMRegressor(10, random_state=0).fit(X, y)
        assert heavy_packages(client) == [[], []]
        assert model.predict(X).compute().shape == (800,)
        assert model.score(X, y) > 0.9
        classifier = ELMClassifier(10, random_state=0).fit(X, labels)
        for method in (classifier.predict, classifier.predict_proba, classifier.decision_function):
            assert len(method(X).compute()) == 800
        assert classifier.score(X, labels) > 0.9
        ELMRegressorCV(10, cv=KFold(3), **cv).fit(X, y)
        ELMRegressorCV(10, cv="loo", **cv).fit(X, y)
        ELMClassifierCV(10, cv=3, scoring="accuracy", **cv).fit(X, labels)
        assert all("sklearn" not in loaded for loaded in heavy_packages(client))
    assert "sklearn" in sys.modules


def test_errors_of_other_libraries_classes_are_made_once():
    code = (
        "import daskelm.exceptions as e\n"
        "print(loaded(), 'scipy' in sys.modules)\n"
        "from daskelm.exceptions import *\n"
        "print(NotSolvedError is e.NotSolvedError, IllConditionedWarning is e.IllConditionedWarning)"
    )
    assert in_new_process(code) == ["[] False", "True True"]
    with ThreadPoolExecutor(8) as pool:
        vars(daskelm.exceptions).pop("NotSolvedError")
        made = set(pool.map(lambda _: daskelm.exceptions.NotSolvedError, range(64)))
        vars(daskelm.exceptions)["NotSolvedError"] = NotSolvedError
    assert len(made) == 1
    assert {"NotSolvedError", "IllConditionedWarning"} <= set(dir(daskelm.exceptions))


def test_errors_of_other_libraries_classes_are_what_they_were():
    assert issubclass(NotSolvedError, DaskelmError)
    assert issubclass(NotSolvedError, NotFittedError)
    assert issubclass(IllConditionedWarning, LinAlgWarning)
    error = pickle.loads(pickle.dumps(NotSolvedError("Call fit first.")))
    assert type(error) is NotSolvedError
    assert str(error) == "Call fit first."
    assert NotSolvedError.__doc__.startswith("A method was called")
    assert NotSolvedError.__module__ == "daskelm.exceptions"
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        ELMRegressor(5).predict(np.zeros((3, 2)))
    with pytest.raises(AttributeError, match="module 'daskelm.exceptions' has no attribute 'NoError'"):
        daskelm.exceptions.NoError  # noqa: B018


def test_a_module_that_is_imported_late_is_the_module():
    lazy = import_module("daskelm.lazy").da
    import dask.array

    assert lazy.Array is dask.array.Array
    with pytest.raises(AttributeError, match="nothing_such"):
        lazy.nothing_such  # noqa: B018


@pytest.mark.parametrize(
    ("arguments", "unused"),
    [
        (["--help"], ("numpy", "h5py", "scipy", "dask", "distributed", "sklearn", "pandas")),
        (["info", "X.h5"], ("distributed", "sklearn", "pandas", "dask.array")),
        (["info", "--json", "X.h5"], ("distributed", "sklearn", "pandas", "dask.array")),
        (["info", "model.h5"], ("distributed", "sklearn", "pandas", "dask.array")),
        (["merge", "sums.h5", "--into", "all.h5", "--no-lock"], ("distributed", "sklearn", "pandas", "dask.array")),
        (["make-hdf5", "table.npy", "table.h5", "--quiet"], ("sklearn",)),
    ],
    ids=lambda value: value[0],
)
def test_commands_load_only_what_they_need(tables, tmp_path, monkeypatch, arguments, unused):
    monkeypatch.chdir(tmp_path)
    X, y, _ = tables
    (tmp_path / "X.h5").write_bytes(X.read_bytes())
    np.save("table.npy", np.zeros((3, 2)))
    model = ELMRegressor(5, random_state=0).initialize(X)
    model.save("model.h5")
    model.accumulate(X, y, into="sums.h5")
    code = (
        "from daskelm.cli import main\n"
        "sys.argv[0] = 'daskelm'\n"
        "try:\n    main()\nexcept SystemExit as end:\n    print(end.code, [n for n in sys.modules])"
    )
    *printed, last = in_new_process(code, *arguments)
    status, _, loaded = last.partition(" ")
    assert printed
    assert status == "0"
    assert set(unused).isdisjoint(ast.literal_eval(loaded))
