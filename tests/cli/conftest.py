"""A folder with data, and a model in it."""

import pytest
from command import SPEC, run, write_data


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with the data as HDF5."""
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path)
    return tmp_path


@pytest.fixture
def model(folder):
    """Name of a model file in that folder, not solved."""
    run(f"init X.h5 model.h5 --neurons {SPEC}")
    return "model.h5"
