"""HP-ELM's formulas, one table with targets and classes, and files that hold it."""

import os
from pathlib import Path

import dask.array as da
import h5py
import numpy as np
from scipy.spatial.distance import cdist

import daskelm.hpelm
from daskelm.hpelm import HPELM
from daskelm.hpelm.network import FUNCTIONS

DATA = Path(__file__).parent / "files"
RNG = np.random.default_rng(0)
N, D, C = 300, 4, 3
X = RNG.standard_normal((N, D))
T = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2], np.abs(X[:, 3])], axis=1) + 0.1 * RNG.standard_normal((N, C))
LABELS = np.argmax(X[:, :C] + RNG.standard_normal((N, C)), axis=1)
ONE_HOT = np.eye(C)[LABELS]
W124 = np.array([1.0, 2.0, 4.0])
GIVEN = {
    "lin": (RNG.standard_normal((D, 3)), RNG.standard_normal(3)),
    "sigm": (RNG.standard_normal((D, 8)), RNG.standard_normal(8)),
    "tanh": (RNG.standard_normal((D, 8)), RNG.standard_normal(8)),
    **{kind: (RNG.standard_normal((D, 8)), RNG.uniform(4, 20, 8)) for kind in ("rbf_l1", "rbf_l2", "rbf_linf")},
}
FORMULAS = {
    "lin": lambda X, W, B: X @ W + B,
    "sigm": lambda X, W, B: 1 / (1 + np.exp(X @ W + B)),
    "tanh": lambda X, W, B: np.tanh(X @ W + B),
    "rbf_l1": lambda X, W, B: np.exp(-(cdist(X, W.T, "cityblock") ** 2) / B),
    "rbf_l2": lambda X, W, B: np.exp(-(cdist(X, W.T, "euclidean") ** 2) / B),
    "rbf_linf": lambda X, W, B: np.exp(-(cdist(X, W.T, "chebyshev") ** 2) / B),
}


def hidden(model, X):
    """H by HP-ELM's formulas."""
    return np.hstack([FORMULAS[kind](X, W, B) for _, kind, W, B in model.nnet.neurons])


def textbook(model, X, T, weights=1.0):
    """HH, HT and B by the formula (H'DH + norm I)^-1 H'DT."""
    H = hidden(model, X)
    HH = (H.T * weights) @ H + model.nnet.norm * np.eye(H.shape[1])
    HT = (H.T * weights) @ T
    return HH, HT, np.linalg.solve(HH, HT)


def hpelm(classification="", kinds=FUNCTIONS, **options):
    model = HPELM(D, C, classification, **({"norm": 0.01, "tprint": None} | options))
    for kind in kinds:
        model.add_neurons(GIVEN[kind][0].shape[1], kind, *GIVEN[kind])
    return model


def assert_close(found, expected, tolerance=1e-8):
    expected = np.asarray(expected)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=tolerance * np.abs(expected).max())


def one_matrix(path):
    """The array of a file of HP-ELM's layout, as HP-ELM's users read it."""
    with h5py.File(path) as file:
        assert list(file) == ["data"]
        return file["data"][()]


def forms():
    return {
        "arrays": (X, T),
        "files": ("X.hdf5", "T.hdf5"),
        "dask": (da.from_array(X, chunks=70), da.from_array(T, chunks=(100, 1))),
        "mixed": ("X.hdf5", T),
        "datasets": (h5py.File("X.hdf5")["any/X"], Path("T.hdf5")),
    }


def check_files(model, folder, rows=slice(None), X=X, T=T):
    HH, HT, _ = textbook(model, X[rows], T[rows])
    size_h, size_t = np.sqrt(np.diag(HH)), np.sqrt((T[rows] ** 2).sum(axis=0))
    found_HH, found_HT = one_matrix(folder / "HH.hdf5"), one_matrix(folder / "HT.hdf5")
    assert (np.abs(found_HH - HH) <= 1e-12 * np.outer(size_h, size_h)).all()
    assert (np.abs(found_HT - HT) <= 1e-12 * np.outer(size_h, size_t)).all()
    np.testing.assert_array_equal(found_HH, found_HH.T)


def direct_error(T, Y, classification):
    if classification in ("", None):
        return np.mean((T - Y) ** 2)
    if classification == "ml":
        return np.mean((T > 0.5) != (Y > 0.5))
    wrong = T.argmax(axis=1) != Y.argmax(axis=1)
    if classification == "c":
        return np.mean(wrong)
    return sum(w * wrong[T[:, i] == 1].mean() for i, w in enumerate(W124)) / W124.sum()


def direct_confusion(T, Y, classification):
    if classification == "ml":
        return np.array([[np.sum((T[:, i] > 0.5) & (Y[:, j] > 0.5)) for j in range(C)] for i in range(C)])
    true, found = T.argmax(axis=1), Y.argmax(axis=1)
    return np.array([[np.sum((true == i) & (found == j)) for j in range(C)] for i in range(C)])


def environment(**more):
    paths = [str(Path(daskelm.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | more
