"""Docstrings of HP-ELM's interface are complete."""

import inspect

import pytest
from numpydoc.validate import validate

from daskelm.hpelm import HPELM

PUBLIC = ["HPELM", "convert_model", "make_hdf5", "normalize_hdf5"] + [
    f"HPELM.{name}" for name, member in inspect.getmembers(HPELM) if not name.startswith("_") and callable(member)
]


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings_are_complete(name):
    checks = {"GL08", "SS01", "SS03", "SS06", "PR01", "PR02", "PR03", "PR04", "PR07", "RT01", "YD01"}
    assert [error for error in validate(f"daskelm.hpelm.{name}")["errors"] if error[0] in checks] == []
