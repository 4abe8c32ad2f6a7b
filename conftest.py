"""Examples in docstrings write files, so each runs in an empty folder of its own; long notebooks are marked."""

import pytest

# These take half a minute and more.
LONG_NOTEBOOKS = ("coming_from.ipynb", "model_selection.ipynb", "watching_a_cluster.ipynb")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.name in LONG_NOTEBOOKS:
            item.add_marker("full")


@pytest.fixture(autouse=True)
def _empty_folder_for_examples(request):
    if isinstance(request.node, pytest.DoctestItem):
        request.getfixturevalue("monkeypatch").chdir(request.getfixturevalue("tmp_path"))
