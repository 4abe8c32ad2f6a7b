"""Examples in docstrings write files, so each docstring runs in an empty folder of its own."""

import pytest


@pytest.fixture(autouse=True)
def _empty_folder_for_examples(request):
    if isinstance(request.node, pytest.DoctestItem):
        request.getfixturevalue("monkeypatch").chdir(request.getfixturevalue("tmp_path"))
