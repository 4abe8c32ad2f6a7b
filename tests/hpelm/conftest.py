"""Files of the rows of `hpelm_table`."""

import pytest
from hpelm_table import ONE_HOT, T, X

from daskelm import make_hdf5


@pytest.fixture
def files(tmp_path, monkeypatch):
    """X, T and classes in files with other names of datasets, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name, data in (("X", X), ("T", T), ("C", ONE_HOT)):
        make_hdf5(data, f"{name}.hdf5", dataset=f"any/{name}")
    return "X.hdf5", "T.hdf5"
