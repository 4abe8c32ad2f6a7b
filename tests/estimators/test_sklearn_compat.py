"""Private interfaces of scikit-learn are used in one file."""

import ast
import importlib
import pkgutil
from pathlib import Path

import sklearn.base

import daskelm

PACKAGE = Path(daskelm.__file__).parent
COMPAT = PACKAGE / "estimators" / "_sklearn_compat.py"
# scikit-learn's callbacks, where its version has them.
MODULES = [sklearn.base] + [
    importlib.import_module(f"sklearn.{module.name}")
    for module in pkgutil.iter_modules(sklearn.__path__)
    if module.name == "callback"
]
# Names that scikit-learn's base classes have too, but that are IPython's public protocol.
PUBLIC = {"_repr_html_", "_repr_mimebundle_"}


def private(name):
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


INHERITED = {
    name
    for module in MODULES
    for cls in vars(module).values()
    if isinstance(cls, type) and cls.__module__.startswith("sklearn")
    for name in dir(cls)
    if private(name)
} | {"_skl_callbacks", "_sk_visual_block_", "_sklearn_output_config"}


def private_uses(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sklearn") and not node.level:
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names if alias.name.startswith("sklearn") for part in alias.name.split(".")]
        elif isinstance(node, ast.Attribute | ast.FunctionDef):
            name = node.attr if isinstance(node, ast.Attribute) else node.name
            names = [name] if name in INHERITED else []
        elif isinstance(node, ast.Constant) and node.value in INHERITED:
            names = [node.value]
        yield from (f"{path.name}, line {node.lineno}: {name}" for name in names if private(name))


def test_no_other_module_uses_private_names_of_scikit_learn():
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if path != COMPAT]
    assert [use for path in paths for use in private_uses(path)] == []


def test_the_search_finds_them():
    found = "".join(private_uses(COMPAT))
    assert "_get_output_config" in found
    assert "_num_samples" in found
    assert "_skl_callbacks" in found
