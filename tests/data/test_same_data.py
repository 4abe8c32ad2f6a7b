"""X, y and weights must be different data, and each file counts once."""

import h5py
import numpy as np
import pytest

from daskelm import ELMClassifier, ELMRegressor, HiddenLayer, from_hdf5, make_hdf5
from daskelm.exceptions import AlikeTablesWarning, DataError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 4))
Y = np.sin(X[:, 0]) + X[:, 1]


def regressor(**options):
    return ELMRegressor(20, random_state=0, **options)


def classifier(**options):
    return ELMClassifier(20, random_state=0, **options)


@pytest.fixture
def both(tmp_path):
    """Glob of two files, each with inputs and targets side by side."""
    for i, rows in enumerate(np.split(np.arange(300), 2)):
        with h5py.File(tmp_path / f"part{i}.h5", "w") as file:
            file["X"], file["y"], file["w"] = X[rows], (Y[rows] > 0) * 1, np.full(150, 0.5)
    return tmp_path / "part*.h5"


@pytest.mark.parametrize("build", [regressor, classifier])
def test_inputs_are_not_fitted_on_themselves(both, build):
    folder = both.parent
    first, second = (str(folder / f"part{i}.h5") for i in range(2))
    (folder / "link.h5").symlink_to(first)
    x, y, w = (from_hdf5(both, dataset=name) for name in "Xyw")
    model, drawn, fitted = build(), build().initialize(x, y), build().fit(x, y)
    same = r"must be different data, but both are dataset '/X' of .*part0\.h5.*from_hdf5\(path, dataset=\.\.\.\) for "
    for call in (
        lambda: model.fit(both, both),
        lambda: model.fit([first, second], both),
        lambda: model.fit(x, both),
        lambda: model.fit(first, folder / "link.h5"),
        lambda: model.fit(first, from_hdf5(first)),
        lambda: model.initialize(both, both),
        lambda: model.partial_fit(first, first),
        lambda: drawn.accumulate(both, both),
        lambda: drawn.accumulate(both, both, into=folder / "s.h5"),
        lambda: fitted.remove(both, both),
        lambda: fitted.score(both, both),
    ):
        with pytest.raises(DataError, match=f"X and y {same}"):
            call()
    for call in (
        lambda: model.fit(both, y, both),
        lambda: model.initialize(both, y, sample_weight=both),
        lambda: fitted.score(both, y, both),
    ):
        with pytest.raises(DataError, match=r"sample_weight must be one number .*from_hdf5\(path, dataset="):
            call()
    assert model.fit(both, y, w).score(both, y) > 0.5


def test_weights_are_not_the_inputs_or_targets(tmp_path):
    x, y = make_hdf5(X[:, :1], tmp_path / "x.h5"), make_hdf5(Y**2, tmp_path / "y.h5")
    with pytest.raises(DataError, match="y and sample_weight must be different data"):
        regressor().fit(X, y, y)
    for method in (regressor().initialize, classifier().initialize, HiddenLayer(5).fit):
        with pytest.raises(DataError, match="X and sample_weight must be different data"):
            method(x, sample_weight=x)


def test_an_autoencoder_names_its_data(both):
    x = from_hdf5(both, dataset="X")
    expected = regressor().fit(X, X).predict(X)
    np.testing.assert_allclose(regressor().fit(x, x).predict(X), expected, atol=1e-9)
    with h5py.File(both.parent / "part0.h5") as file:
        assert regressor().fit(file["X"], file["X"]).predict(X).shape == (300, 4)


def test_a_file_named_twice_counts_once_or_not_at_all(tmp_path):
    x, y = make_hdf5(X, tmp_path / "x.h5"), make_hdf5(Y, tmp_path / "y.h5")
    with pytest.raises(DataError, match="every row must count once; got 300 rows twice.*Name each file once"):
        regressor().fit([x, x], [y, y])
    other = X.copy()
    other[77, 2] += 1e-9
    z = make_hdf5(other, tmp_path / "z.h5")
    with pytest.warns(AlikeTablesWarning, match=r"z\.h5:/data looks like .*x\.h5:/data, but reads otherwise"):
        assert regressor().fit([x, z], [y, y]).normal_equations_.n_samples == 600
