"""Rules of the house that no linter knows: floors, sizes, public names, what is imported, what no file may hold."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from importlib.util import resolve_name
from pathlib import Path

import pytest

import daskelm

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "daskelm"
MAX_LINES = 400

# A module imports only from lines above its own, in functions too.
FLOORS = (
    # Floor 0: what a table, a file, a neuron is.
    {"block_order", "drawing", "exceptions", "row_cells", "unlocked"},
    {"hdf5_layout", "hdf5_links", "netcdf", "row_source", "urls"},
    {"hdf5_sources", "paths", "remote_files", "source_readings"},
    {"remote_rows"},
    {"hdf5_contents", "hdf5_part"},
    {"blas", "cluster_loss", "files", "frames", "hdf5_reader", "lapack", "ledger", "moments", "notebook", "refusals"},
    {
        "hdf5",
        "hdf5_target",
        "neurons",
        "other_arrays",
        "progress",
        "reference_rows",
        "row_digests",
        "text",
        "triangles",
    },
    {"cluster_facts", "gram", "subtraction"},
    # Floor 1: values, and arrays on Dask.
    {"client", "hdf5_arrays", "layer", "normal_equations", "outputs", "parameters"},
    {"tree"},
    {"in_view", "segmented_tree", "solver"},
    # Floor 2: all kinds of data in, solutions out.
    {"cholesky_solver", "eigen_solver"},
    {"accumulator", "copies", "folds", "inputs", "memory", "nesting", "solvers"},
    {"row_chunks", "targets"},
    {"column_ranges", "hdf5_writing", "learning_curve", "pass_tasks", "ridge_path", "sources", "uncertainty"},
    {"loo_factors", "ranking", "row_notes"},
    # Floor 3: one pass over the rows.
    {"accumulation", "labels", "model_file", "prediction", "row_scores", "scoring", "sums_file"},
    {"validation"},
    {"criterion", "fold_sums", "joint_counts", "resumption", "scattered", "sums_place"},
    {"cluster_checks", "curve_sums", "fold_errors", "gcv_criterion"},
    {"fold_scores", "loo_scores", "plain_state"},
    {"fold_criterion", "loo_criterion", "validation_criterion"},
    {"selection"},
    {"sums_selection"},
    # Floor 4: faces for scikit-learn.
    {"fit_callbacks", "html_repr"},
    {"layer_estimator"},
    {"solved_estimator"},
    {"table_estimator"},
    {"chosen_estimator"},
    {"labels_estimator", "numbers_estimator", "selecting_estimator", "solving_estimator"},
    {"sums_estimator"},
    {"classifier", "classifier_cv", "hidden_layer", "regressor", "regressor_cv"},
    # Floor 5: what is made of estimators.
    {"cli_errors", "display", "grid_scores", "learning_curve_plot", "onnx_graph", "persistence"},
    {"learning_display", "onnx_neurons", "prediction_display", "selection_display"},
    {"onnx_converters"},
    {"onnx"},
    # HP-ELM's interface: its parts, and itself.
    {"hpelm_classes", "hpelm_modules", "hpelm_network", "hpelm_rows"},
    {"hpelm_pickle", "hpelm_sums"},
    {"hpelm_model"},
    # The command: its parts, and itself.
    {"cli_arguments", "cli_scheduler"},
    {"cli_check", "cli_info", "cli_select", "cli_sums"},
    {"cli", "hpelm"},
    {"__init__", "__main__"},
)
HEIGHT = {module: height for height, floor in enumerate(FLOORS) for module in floor}

HEAVY = {"IPython", "bokeh", "dask.dataframe", "distributed", "hdf5plugin", "matplotlib", "pandas", "pytest"}

# Written so that they do not match themselves.
MACHINE_PATH = re.compile(rb"(?<![\w.~)}\]-])/(?:home|root|work|opt|Users)/")
PACKAGE_INDEX = re.compile(rb"--(?:extra-)?index-ur[l]|--find-link[s]|--trusted-hos[t]|PIP_[A-Z_]*(?:URL|HOS[T])")


def module_name(path):
    """Name below the package: "layer", "hpelm", "hpelm.modules", and "__init__" for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}

every_module = pytest.mark.parametrize("module", MODULES)


def imports_of(module):
    """(module, name) of each import from daskelm anywhere in a module; name is None where all of a module is taken."""
    folder = MODULES[module].parent.relative_to(ROOT)
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), ".".join(folder.parts))
            found = [(source, alias.name) for alias in node.names]
        else:
            continue
        for source, name in found:
            if f"{source}.{name}".removeprefix("daskelm.") in MODULES:
                source, name = f"{source}.{name}", None
            if source == "daskelm":
                yield "__init__", name
            elif source.startswith("daskelm."):
                yield source.removeprefix("daskelm."), name


def imported(module):
    return importlib.import_module("daskelm" if module == "__init__" else f"daskelm.{module}")


@every_module
def test_every_module_has_a_floor(module):
    assert module in HEIGHT, f"{MODULES[module].name} stands on no floor: add it to FLOORS"


@every_module
def test_imports_come_from_lower_floors(module):
    height = HEIGHT.get(module, len(FLOORS))
    wrong = {source for source, _ in imports_of(module) if HEIGHT.get(source, len(FLOORS)) >= height}
    assert not wrong, f"{module} imports {sorted(wrong)}, which are not on a lower floor"


@every_module
def test_no_module_is_long(module):
    n_lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())
    assert n_lines <= MAX_LINES, f"{module} has {n_lines} lines"


@every_module
def test_public_names_are_listed_in_order_and_exist(module):
    [names] = [
        ast.literal_eval(node.value)
        for node in TREES[module].body
        if isinstance(node, ast.Assign) and [getattr(target, "id", None) for target in node.targets] == ["__all__"]
    ]
    # CONSTANTS, then Classes, then functions.
    assert names == sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert len(set(names)) == len(names)
    missing = [name for name in names if not hasattr(imported(module), name)]
    assert not missing, f"{module}.__all__ lists {missing}, which it does not have"


@every_module
def test_modules_take_only_public_names_from_each_other(module):
    private = [
        f"{source}.{name}"
        for source, name in imports_of(module)
        if name is not None and name not in imported(source).__all__
    ]
    assert not private, f"{module} imports {private}: list them in __all__ there, or do not import them"


@every_module
def test_no_print_assert_or_bare_except(module):
    wrong = [
        f"line {node.lineno}: {type(node).__name__}"
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Assert)
        or (isinstance(node, ast.ExceptHandler) and node.type is None)
        or (isinstance(node, ast.Name) and node.id == "print")
    ]
    assert not wrong


def test_importing_daskelm_imports_nothing_heavy():
    # What scikit-learn, Dask and h5py bring along by themselves (scikit-learn: pandas, if it is there) is not ours.
    code = (
        "import sys, dask.array, h5py, scipy.linalg, sklearn.base, sklearn.utils.validation\n"
        "before = set(sys.modules)\n"
        "from daskelm import *\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(run.stdout.split())


def test_names_of_the_package_are_imported_from_where_tools_see_them():
    homes = {name: source for source, name in imports_of("__init__")}
    assert homes == daskelm._HOMES
    assert sorted(homes) == sorted(daskelm.__all__)
    assert set(daskelm.__all__) <= set(dir(daskelm))
    with pytest.raises(AttributeError, match="module 'daskelm' has no attribute 'fit'"):
        daskelm.fit  # noqa: B018


def test_errors_are_there_without_an_import_of_their_own():
    code = "import daskelm; print(daskelm.exceptions.DataError.__name__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "DataError\n"


def files_of_the_project():
    """Files that git tracks, or would if asked to."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the list of files that git keeps")
@pytest.mark.parametrize("pattern", [MACHINE_PATH, PACKAGE_INDEX], ids=["machine path", "package index"])
def test_no_file_names_a_machine(pattern):
    found = [
        f"{path.relative_to(ROOT)}: {match[0].decode()}"
        for path in files_of_the_project()
        if (match := pattern.search(path.read_bytes()))
    ]
    assert not found


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the list of files that git keeps")
def test_nothing_lies_about_at_the_top():
    """What a test or a trial left there would be committed with the rest."""
    folders = {"benchmarks", "daskelm", "docker", "docs", "examples", "notebooks", "tests", ".ci"}
    files = {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "conftest.py", "constraints.txt"}
    files |= {"pyproject.toml", ".gitignore"}
    assert {path.relative_to(ROOT).parts[0] for path in files_of_the_project()} <= folders | files


def test_constraints_are_pins_and_nothing_else():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []


def test_package_is_typed_and_its_version_is_told_once():
    assert (PACKAGE / "py.typed").is_file()
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert told["project"]["dynamic"] == ["version"]
    assert ROOT / told["tool"]["hatch"]["version"]["path"] == MODULES["__init__"]
    assert f"[{daskelm.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
