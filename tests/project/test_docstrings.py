"""Docstrings of all that is public: complete, in step with the signatures, with shapes and an example.

That the examples are true is tested by doctest, for which pytest collects `daskelm/` too. The public classes say that
they are from `daskelm`, where it does not look for them, so their examples run here.
"""

import doctest
import inspect
import re
from functools import cached_property

import pytest
from numpydoc.docscrape import ClassDoc, FunctionDoc
from numpydoc.validate import validate

import daskelm

# numpydoc's codes for: no docstring; no summary, none of one line, none with a full stop; a parameter undocumented,
# unknown, out of order, without type, without description; no Returns, no Yields.
CHECKS = {"GL08", "SS01", "SS03", "SS06", "PR01", "PR02", "PR03", "PR04", "PR07", "RT01", "YD01"}
ARRAY = re.compile(r"\barrays?\b|\bndarray\b")
SHAPE = re.compile(r"\bshape \(")


def public_members(cls):
    """(name, member) of all that a class has from daskelm rather than from scikit-learn."""
    for name in dir(cls):
        member = getattr(cls, name)
        where = getattr(member, "func", getattr(member, "fget", member))
        if not name.startswith("_") and getattr(where, "__module__", "").startswith("daskelm"):
            yield name, member


PUBLIC = [name for name in daskelm.__all__ if callable(getattr(daskelm, name))]
MEMBERS = [
    (f"{cls}.{name}", member)
    for cls in PUBLIC
    if inspect.isclass(getattr(daskelm, cls))
    for name, member in public_members(getattr(daskelm, cls))
]
CALLABLES = {name: getattr(daskelm, name) for name in PUBLIC} | {n: m for n, m in MEMBERS if callable(m)}
PROPERTIES = {name: member for name, member in MEMBERS if isinstance(member, property | cached_property)}


@pytest.mark.parametrize("name", CALLABLES)
def test_docstring_is_complete_and_matches_the_signature(name):
    errors = [f"{code}: {text}" for code, text in validate(f"daskelm.{name}")["errors"] if code in CHECKS]
    assert not errors


@pytest.mark.parametrize("name", CALLABLES)
def test_arrays_have_shapes(name):
    read = ClassDoc if inspect.isclass(CALLABLES[name]) else FunctionDoc
    doc = read(CALLABLES[name])
    without = [
        f"{section}: {item.name} : {item.type}"
        for section in ("Parameters", "Attributes", "Returns", "Yields")
        for item in doc.get(section, [])
        if ARRAY.search(item.type) and not SHAPE.search(" ".join([item.type, *item.desc]))
    ]
    assert not without


@pytest.mark.parametrize("name", PROPERTIES)
def test_properties_say_what_they_are(name):
    member = PROPERTIES[name]
    doc = inspect.getdoc(member) or ""
    assert doc
    getter = member.fget if isinstance(member, property) else member.func
    if "ndarray" in str(inspect.signature(getter).return_annotation):
        assert SHAPE.search(doc), f"an array of which shape? {doc}"


@pytest.mark.parametrize("name", PUBLIC)
def test_there_is_an_example(name):
    assert ">>>" in (inspect.getdoc(CALLABLES[name]) or "").partition("Examples\n--------\n")[2]


@pytest.mark.parametrize("name", [name for name in PUBLIC if inspect.isclass(getattr(daskelm, name))])
def test_examples_of_classes_are_true(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = doctest.DocTestFinder().find(getattr(daskelm, name), name, module=False, globs={})
    examples = [test for test in found if test.examples]
    assert name in [test.name for test in examples]
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert [test.name for test in examples if runner.run(test).failed] == []
