"""Rules of the house that no linter knows: floors, sizes, public names, what is imported, what no file may hold."""

import ast
import importlib
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest
from test_docs import FENCE, PAGES

import daskelm

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "daskelm"
MAX_LINES = 400
# Lines of the design: a folder's page is one screen; docs/design.md holds only what no folder's page does.
MAX_SCREEN, MAX_DESIGN = 60, 200

# The order of the folders, of which each imports only from those of lines above its own, in functions too; modules that
# stand at the top are folders of one.
FLOORS = (
    {"urls"},
    {"exceptions", "progress", "lazy", "blas", "sparse"},
    {"hdf5", "cluster"},
    {"parquet"},
    {"data", "layer", "ridge"},
    {"sums", "draws"},
    {"passes"},
    {"selection"},
    {"estimators"},
    {"plots", "onnx", "hpelm", "preflight"},
    {"cli"},
    {"__init__", "__main__"},
)
HEIGHT = {folder: height for height, floor in enumerate(FLOORS) for folder in floor}

HEAVY = {"IPython", "bokeh", "dask.dataframe", "distributed", "hdf5plugin", "matplotlib", "pandas", "pytest"}

# Words that comments, docstrings and pages must not use, beside better ones. Code and messages may.
DIALECT = (
    (r"\b[Tt](?:ell(?:s|ing)?|old)\b", "say, report, show, pass, distinguish"),
    (r"\b[Ll]ook(?:s|ed|ing)?\sat\b", "check, read, inspect, compare"),
    (r"\bof\s(?:which|whom)\b", "whose, or a sentence of its own"),
    (r"\b[Ww]ho\s(?:listens|looks|asks|adds|reads|writes|knows|waits)\b", "the caller, the listener, another process"),
    (r"\b(?:[Nn]obody|[Ss]omebody|[Ww]hoever)\b", "another process, no other program, the user, unknown"),
    (r"\b[Nn]one\sof\s(?:these|them|those)\b", "neither, another, not one of"),
    (r"\bin\sturn\b", "one by one"),
    (r"\b[Ww]hat\sthere\s(?:is|was)\b", "the noun itself: the rows, the content"),
    (r"\b(?:know|known|knows)\sagain\b", "recognise"),
    (r"\bis\s(?:no\smore|nothing)\sthan\b", "is only"),
    (r"(?:^[-* ]*|(?<=[.:;]\s))(?:Of|Who|Whose|Nor|Else|By(?! hand| default))\s[a-z]", "a subject first"),
    (r"\A(?:By|That|What|Which) [a-z]", "what the thing is, or a sentence with a subject"),
)
# Written so that they do not match themselves.
MACHINE_PATH = re.compile(rb"(?<![\w.~)}\]-])/(?:home|root|work|opt|Users)/")
PACKAGE_INDEX = re.compile(rb"--(?:extra-)?index-ur[l]|--find-link[s]|--trusted-hos[t]|PIP_[A-Z_]*(?:URL|HOS[T])")


def module_name(path):
    """Name below the package: "exceptions", "hpelm.modules", "hpelm" of its face, "__init__" of the package's own."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imports_of(module):
    """(module, name) of each import from daskelm anywhere in a module; name is None where all of a module is taken."""
    folder = MODULES[module].parent.relative_to(ROOT)
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), ".".join(folder.parts)).rstrip(".")
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


def folder_of(module):
    return module.partition(".")[0]


def test_every_folder_has_its_place():
    folders = {folder_of(module) for module in MODULES}
    assert folders == set(HEIGHT)


def test_folders_import_from_those_before_them():
    assert [
        f"{module} imports {source}"
        for module in MODULES
        for source, _ in imports_of(module)
        if folder_of(source) != folder_of(module) and HEIGHT[folder_of(source)] >= HEIGHT[folder_of(module)]
    ] == []


def test_inside_a_folder_no_modules_import_each_other_in_a_circle():
    inside = {
        module: {source for source, _ in imports_of(module) if folder_of(source) == folder_of(module)}
        for module in MODULES
    }
    list(TopologicalSorter(inside).static_order())


def test_no_module_is_long():
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in MODULES.items()}
    assert {module: n for module, n in lengths.items() if n > MAX_LINES} == {}


def test_every_folder_has_a_design_page_of_one_screen():
    folders = sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))
    assert folders
    assert [folder.name for folder in folders if not (folder / "DESIGN.md").is_file()] == []
    pages = {folder.name: (folder / "DESIGN.md").read_text(encoding="utf-8").splitlines() for folder in folders}
    assert {name: len(lines) for name, lines in pages.items() if len(lines) > MAX_SCREEN} == {}
    # What is not wrapped is longer than it looks.
    assert [name for name, lines in pages.items() if max(map(len, lines)) > 120] == []
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    assert len(design.splitlines()) <= MAX_DESIGN
    assert [name for name in pages if f"(../daskelm/{name}/DESIGN.md)" not in design] == []


def test_modules_take_only_names_from_each_other_that_are_listed():
    """What `__all__` lists is there, in the order CONSTANTS, Classes, functions; imports of other names are refused."""
    wrong = []
    for module, tree in TREES.items():
        [names] = [
            ast.literal_eval(getattr(node, "value", None))
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            and "__all__" in [getattr(t, "id", None) for t in getattr(node, "targets", [getattr(node, "target", None)])]
        ]
        if names != sorted(set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name)):
            wrong.append(f"{module}.__all__ is not in order")
        wrong += [f"{module}.__all__ lists {name}" for name in names if not hasattr(imported(module), name)]
        wrong += [
            f"{module} imports {source}.{name}"
            for source, name in imports_of(module)
            if name is not None and name not in imported(source).__all__
        ]
    assert wrong == []


def prose_of(path):
    """(line, text) of a page, or of every comment, adjacent lines joined, and every docstring; without code."""

    def without_code(text):
        for code in (FENCE, re.compile("`[^`]*`")):
            text = code.sub(lambda match: "``" + "\n" * match[0].count("\n"), text)
        return text

    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield 1, without_code(text)
        return
    lines = io.StringIO(text).readline
    comments: list[tuple[int, int, str]] = []
    for token in tokenize.generate_tokens(lines):
        if token.type == tokenize.COMMENT:
            comment, number = token.string.lstrip("#: "), token.start[0]
            if comments and comments[-1][1] == number - 1:
                first, _, before = comments.pop()
                comments.append((first, number, f"{before} {comment}"))
            else:
                comments.append((number, number, comment))
    yield from ((first, without_code(comment)) for first, _, comment in comments)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield getattr(node, "lineno", 1), without_code(ast.get_docstring(node) or "")


def test_comments_docstrings_and_pages_use_plain_words():
    scripts = [path for folder in ("benchmarks", "examples", "docs") for path in sorted((ROOT / folder).glob("*.py"))]
    assert [
        f"{path.relative_to(ROOT)}, line {line + text.count(chr(10), 0, match.start())}: {match[0]!r}; say {better}"
        for path in (*MODULES.values(), *scripts, ROOT / "tests/conftest.py", ROOT / "tests/reference.py", *PAGES)
        for line, text in prose_of(path)
        for words, better in DIALECT
        for match in re.finditer(words, text, re.M)
    ] == []


def test_no_print_assert_or_bare_except():
    assert [
        f"{module}, line {node.lineno}: {type(node).__name__}"
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
        or (isinstance(node, ast.ExceptHandler) and node.type is None)
        or (isinstance(node, ast.Name) and node.id == "print")
    ] == []


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
