"""HP-ELM's interface: the same neurons, sums, weights and errors; its page's scripts; and nothing counted twice."""

import gzip
import inspect
import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import dask.array as da
import h5py
import numpy as np
import pytest
from numpydoc.validate import validate
from scipy.spatial.distance import cdist

import daskelm.hpelm
from daskelm import NormalEquations, from_hdf5, make_hdf5
from daskelm.exceptions import (
    DataError,
    FileFormatError,
    FileMissingError,
    IllConditionedWarning,
    IncompatibleSumsError,
    InputTypeError,
    NotSolvedError,
    ParameterError,
    RowsCountedError,
)
from daskelm.hpelm import HPELM, convert_model, modules, normalize_hdf5
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


@pytest.fixture
def files(tmp_path, monkeypatch):
    """X, T and classes in files with other names of datasets, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name, data in (("X", X), ("T", T), ("C", ONE_HOT)):
        make_hdf5(data, f"{name}.hdf5", dataset=f"any/{name}")
    return "X.hdf5", "T.hdf5"


def forms():
    return {
        "arrays": (X, T),
        "files": ("X.hdf5", "T.hdf5"),
        "dask": (da.from_array(X, chunks=70), da.from_array(T, chunks=(100, 1))),
        "mixed": ("X.hdf5", T),
        "datasets": (h5py.File("X.hdf5")["any/X"], Path("T.hdf5")),
    }


# Neurons and weights


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_each_kind_is_hpelms_function(kind):
    model = hpelm(kinds=[kind])
    assert_close(model.project(X), FORMULAS[kind](X, *GIVEN[kind]), 1e-13)


@pytest.mark.parametrize("form", ["arrays", "files", "dask", "mixed", "datasets"])
@pytest.mark.parametrize("kinds", [*([kind] for kind in FUNCTIONS), FUNCTIONS], ids="-".join)
def test_weights_are_the_textbooks_for_every_form_of_data(files, form, kinds):
    model = hpelm(kinds=kinds)
    model.train(*forms()[form])
    HH, HT, B = textbook(model, X, T)
    assert_close(model.nnet.get_B(), B)
    assert_close(model.nnet.HH, HH, 1e-12)
    assert_close(model.nnet.HT, HT, 1e-12)
    assert_close(model.predict(forms()[form][0]), hidden(model, X) @ B)


@pytest.mark.parametrize("classification", ["c", "wc", "ml", "mc"])
def test_class_weights_weigh_rows_and_the_rest_does_not(files, classification):
    options = {"w": W124} if classification == "wc" else {}
    weights = W124[LABELS] if classification == "wc" else 1.0
    for data in ((X, ONE_HOT), ("X.hdf5", "C.hdf5"), (da.from_array(X, chunks=50), "C.hdf5")):
        model = hpelm()
        model.train(*data, classification.upper(), **options)
        assert_close(model.nnet.B, textbook(model, X, ONE_HOT, weights)[2])
        assert model.classification == classification.replace("mc", "ml")


def test_default_class_weights_are_those_of_the_rows_of_train(files):
    for data in (ONE_HOT, "C.hdf5", da.from_array(ONE_HOT, chunks=90)):
        model = hpelm("wc")
        model.train(X, data, istart=50, icount=200)
        counts = ONE_HOT[50:250].sum(axis=0)
        np.testing.assert_array_equal(model.wc, 200 / counts)
        B = textbook(model, X[50:250], ONE_HOT[50:250], (200 / counts)[LABELS[50:250]])[2]
        assert_close(model.nnet.B, B)
        # Computed, not given: other rows give others. Those given to the model stay.
        model.train(X, data)
        np.testing.assert_array_equal(model.wc, N / ONE_HOT.sum(axis=0))
    model.wc = W124
    model.train(X, ONE_HOT)
    np.testing.assert_array_equal(model.wc, W124)


def test_a_seed_draws_the_neurons_that_it_drew_in_hpelm(tmp_path):
    np.random.seed(7)  # noqa: NPY002
    model = HPELM(10, 3)
    model.add_neurons(10, "lin")
    model.add_neurons(5, "tanh")
    model.add_neurons(15, "sigm")
    convert_model(DATA / "reg_untrained.pkl", tmp_path / "model.h5")
    theirs = HPELM(1, 1)
    theirs.load(tmp_path / "model.h5")
    for mine, other in zip(model.nnet.neurons, theirs.nnet.neurons, strict=True):
        assert mine[:2] == other[:2]
        np.testing.assert_array_equal(mine[2], other[2])
        np.testing.assert_array_equal(mine[3], other[3])


def test_drawn_rbf_neurons_follow_hpelms_distributions():
    np.random.seed(3)  # noqa: NPY002
    model = HPELM(D, 1)
    model.add_neurons(6, "rbf_l1")
    model.add_neurons(2, "lin", W=np.ones((D, 2)))
    np.random.seed(3)  # noqa: NPY002
    W, B = np.random.randn(D, 6), np.abs(np.random.randn(6)) * D  # noqa: NPY002
    [(_, _, found_W, found_B), (_, _, _, zeros)] = model.nnet.neurons
    np.testing.assert_array_equal(found_W, W)
    np.testing.assert_array_equal(found_B, B)
    np.testing.assert_array_equal(zeros, [0, 0])


def test_kinds_stand_together_where_the_first_was_added():
    model = HPELM(D, C)
    model.add_neurons(9, "lin")
    model.add_neurons(2, "tanh")
    model.add_neurons(0, "sigm")
    first = model.nnet.neurons[0][2]
    model.add_neurons(3, "lin", np.ones((D, 3)), np.arange(3.0))
    model.add_neurons(2, np.sin)
    assert [(n, kind) for n, kind, _, _ in model.nnet.neurons] == [(7, "lin"), (2, "tanh"), (2, np.sin)]
    np.testing.assert_array_equal(model.nnet.neurons[0][2], np.hstack([first, np.ones((D, 3))]))
    np.testing.assert_array_equal(first, np.eye(D))
    assert model.nnet.L == 11
    assert repr(model) == "HPELM(4, 3) with 7 lin, 2 tanh, 2 numpy.sin neurons"
    assert model.project(X).shape == (N, 11)


def test_neurons_cannot_be_changed_behind_the_models_back():
    model = hpelm()
    with pytest.raises(ValueError, match="read-only"):
        model.nnet.neurons[0][2][0, 0] = 1
    model.nnet.neurons.clear()
    assert len(model.nnet.get_neurons()) == len(FUNCTIONS)


def test_adding_neurons_drops_sums_and_weights():
    model = hpelm()
    model.train(X, T)
    model.add_neurons(1, "tanh")
    assert (model.nnet.B, model.nnet.HH, model.nnet.HT) == (None, None, None)
    with pytest.raises(NotSolvedError, match="has no output weights yet. Call train"):
        model.predict(X)


def test_single_precision_is_that_of_h_and_predictions(files):
    model = hpelm(precision=np.float32, norm=0.1)
    model.train("X.hdf5", "T.hdf5")
    assert model.precision is np.float32
    assert (model.project(X).dtype, model.predict(X).dtype, model.nnet.neurons[0][2].dtype) == ("f4",) * 3
    assert_close(model.predict(X), hidden(model, X) @ textbook(model, X, T)[2], 1e-4)
    model.add_data("X.hdf5", "T.hdf5", fHH="HH.hdf5", fHT="HT.hdf5")
    assert one_matrix("HH.hdf5").dtype == "f4"
    assert HPELM(D, C, precision="single").nnet.norm == 50 * np.finfo("f4").eps
    assert HPELM(D, C).nnet.norm == 50 * np.finfo("f8").eps


def test_rank_deficient_layers_warn_and_give_the_solution_of_least_norm(files):
    model = HPELM(D, C, tprint=None)
    W, B = GIVEN["tanh"]
    model.add_neurons(16, "tanh", np.hstack([W, W]), np.hstack([B, B]))
    with pytest.warns(IllConditionedWarning, match="of rank 8 out of 16.*Use a larger norm"):
        model.train(X, T)
    assert_close(model.nnet.B, np.linalg.pinv(hidden(model, X), rcond=1e-8) @ T)
    model.add_data("X.hdf5", "T.hdf5", fHH="HH.hdf5", fHT="HT.hdf5")
    with pytest.warns(IllConditionedWarning, match="of rank 8 out of 16"):
        model.solve_corr("HH.hdf5", "HT.hdf5")
    assert_close(model.nnet.B, np.linalg.pinv(hidden(model, X), rcond=1e-8) @ T)


def test_sums_in_memory_are_added_to_and_solved_again():
    model = hpelm()
    model.train(X, T, icount=100)
    before = model.nnet.get_B()
    model.add_data(X, T, istart=100)
    np.testing.assert_array_equal(model.nnet.B, before)
    model.nnet.solve()
    HH, _, B = textbook(model, X, T)
    assert_close(model.nnet.B, B)
    assert_close(model.nnet.get_corr()[0], HH, 1e-12)
    model.train(X, T, istart=10, icount=10**9)
    assert_close(model.nnet.B, textbook(model, X[10:], T[10:])[2])
    model.nnet.reset()
    model.nnet.set_B(np.ones((model.nnet.L, C)))
    assert_close(model.predict(X), hidden(model, X) @ np.ones((model.nnet.L, C)))
    with pytest.raises(NotSolvedError, match="no rows were added"):
        model.nnet.solve()


def test_async_names_do_the_same(files):
    model, other = hpelm(), hpelm()
    model.train_async("X.hdf5", "T.hdf5")
    other.add_data_async("X.hdf5", "T.hdf5")
    other.nnet.solve()
    other.predict_async("X.hdf5", "Y.hdf5")
    assert_close(one_matrix("Y.hdf5"), model.predict(X))


# Train's flags, and what is refused


def test_without_a_flag_the_classification_stays():
    model = hpelm("C")
    model.train(X, ONE_HOT)
    assert model.classification == "c"
    model.train(X, ONE_HOT, "r")
    assert model.classification is None
    model.train(X, ONE_HOT, "wc", w=[1, 2, 4], batch=10)
    assert (model.classification, model.wc.tolist(), model.batch) == ("wc", [1, 2, 4], 10)


def test_a_train_that_fails_leaves_the_model_as_it_was():
    model = hpelm("c")
    model.train(X, ONE_HOT)
    bad = ONE_HOT.copy()
    bad[3] = np.nan
    before = model.nnet.B, model.nnet.sums
    for arguments, options in (((X, bad, "wc"), {"w": W124}), ((X, bad, "ml"), {"batch": 7})):
        with pytest.raises(DataError):
            model.train(*arguments, **options)
    assert (model.classification, model.wc, model.batch) == ("c", None, 1000)
    assert (model.nnet.B, model.nnet.sums) == before


ONE_COLUMN = np.ones((N, 1))
REFUSED = {
    "GPU": (lambda: HPELM(D, C, accelerator="GPU"), ParameterError, "one implementation.*Leave it out"),
    "basic": (lambda: HPELM(D, C, accelerator="basic"), ParameterError, "accelerator must be None; got 'basic'"),
    "class": (lambda: HPELM(D, C, "classes"), ParameterError, "must be '' .*, 'c', 'wc' or 'ml'; got 'classes'"),
    "list": (lambda: HPELM(D, C, ["c"]), ParameterError, r"got \['c'\]"),
    "one class": (lambda: HPELM(D, 1, "c"), ParameterError, "needs an output per class"),
    "w": (lambda: HPELM(D, C, "wc", w=[1, 2]), ParameterError, "w must hold .* for each of the 3 classes"),
    "negative w": (lambda: HPELM(D, C, "wc", w=[1, 2, -1]), ParameterError, "weight >= 0"),
    "zero w": (lambda: HPELM(D, C, "wc", w=[0, 0, 0]), ParameterError, "not all of them 0"),
    "batch": (lambda: HPELM(D, C, batch=0), ParameterError, "batch must be an int >= 1; got 0"),
    "precision": (lambda: HPELM(D, C, precision="half"), ParameterError, "precision must be 'double' or 'single'"),
    "no precision": (lambda: HPELM(D, C, precision=None), ParameterError, "precision must be .*; got None"),
    "norm": (lambda: HPELM(D, C, norm=-1), ParameterError, "norm must be a finite number >= 0"),
    "tprint": (lambda: HPELM(D, C, tprint="5"), ParameterError, "tprint must be a number"),
    "inputs": (lambda: HPELM(0, C), ParameterError, "inputs must be an int >= 1; got 0"),
    "outputs": (lambda: HPELM(D, 2.0), ParameterError, "outputs must be an int >= 1; got 2.0"),
    "number": (lambda: hpelm().add_neurons(2.0, "tanh"), ParameterError, "number must be an int >= 1; got 2.0"),
    "kind": (lambda: hpelm().add_neurons(2, "relu"), ParameterError, "got 'relu'. ELMRegressor has more kinds"),
    "ufunc": (lambda: hpelm().add_neurons(2, np.add), ParameterError, "a ufunc must take one number"),
    "W": (lambda: hpelm().add_neurons(2, "tanh", np.ones((D, 3))), ParameterError, r"here \(4, 2\) and \(2,\)"),
    "B": (lambda: hpelm().add_neurons(2, "tanh", B=np.ones(3)), ParameterError, r"here \(4, 2\) and \(2,\)"),
    "width": (lambda: hpelm().add_neurons(1, "rbf_l2", B=np.zeros(1)), ParameterError, "must be positive; got 0"),
    "tiny width": (
        lambda: hpelm().add_neurons(1, "rbf_l2", B=np.full(1, 1e-310)),
        ParameterError,
        "must be positive; got 1e-310",
    ),
    "infinite W": (lambda: hpelm().add_neurons(1, "tanh", np.full((D, 1), np.inf)), ParameterError, "must be finite"),
    "no neurons": (lambda: HPELM(D, C).train(X, T), NotSolvedError, "has no neurons yet. Call add_neurons"),
    "untrained": (lambda: hpelm().predict(X), NotSolvedError, "Call train or solve_corr"),
    "no sums": (lambda: hpelm().nnet.solve(), NotSolvedError, "no rows were added. Call train"),
    "B of other shape": (lambda: hpelm().nnet.set_B(np.ones((2, 2))), ParameterError, "a row per neuron"),
    "columns of X": (lambda: hpelm().train(T, T), DataError, "fX must have 4 column.*got shape"),
    "columns of T": (lambda: hpelm().train(X, X), DataError, "fT must have 3 column.*got shape"),
    "rows": (lambda: hpelm().train(X, T[:9]), DataError, "same number of rows.*fX has 300, fT has 9"),
    "no rows": (lambda: hpelm().train(X[:0], T[:0]), DataError, "at least one row"),
    "text": (lambda: hpelm().train(X.astype(str), T), InputTypeError, "fX must hold numbers"),
    "complex": (lambda: hpelm().train(X * 1j, T), InputTypeError, "fX must hold numbers; got complex"),
    "NaN": (lambda: hpelm().train(X, T * np.nan), DataError, "must be finite; got NaN first in row 0"),
    "istart": (lambda: hpelm().train(X, T, istart=N), DataError, "one of the 300 rows of the data; got 300"),
    "negative istart": (lambda: hpelm().add_data(X, T, istart=-1), ParameterError, "istart must be an int >= 0"),
    "half a row": (lambda: hpelm().add_data(X, T, icount=0.5), ParameterError, "icount must be an int >= 0"),
    "nothing": (lambda: hpelm().train(X, T, icount=0), NotSolvedError, "no rows were added"),
    "V": (lambda: hpelm().train(X, T, "V", Xv=X, Tv=T), ParameterError, "got Tv, V, Xv. .* with validation_corr"),
    "CV": (lambda: hpelm().train(X, T, "cv"), ParameterError, "got CV. .* with validation_corr"),
    "LOO": (lambda: hpelm().train(X, T, "loo"), ParameterError, "got LOO"),
    "OP": (lambda: hpelm().train(X, T, "OP", kmax=3), ParameterError, "got OP, kmax"),
    "unknown flag": (lambda: hpelm().train(X, T, "x"), ParameterError, r"at most one of the flags .* got \['X'\]"),
    "two flags": (lambda: hpelm().train(X, ONE_HOT, "c", "ml"), ParameterError, "at most one of the flags"),
    "w for c": (lambda: hpelm().train(X, ONE_HOT, "c", w=W124), ParameterError, "w weights the classes of 'wc'"),
    "not one-hot": (lambda: hpelm().train(X, T, "wc", w=W124), DataError, "each row must hold exactly one 1"),
    "absent class": (
        lambda: hpelm().train(X, np.eye(C)[np.zeros(N, int)], "wc"),
        DataError,
        r"need rows of every class; got .*\[300.0, 0.0, 0.0\]. Give weights",
    ),
    "wc in parts": (lambda: hpelm("wc").add_data(X, ONE_HOT), ParameterError, r"HPELM\(..., 'wc', w=\[...\]\)"),
    "one file": (lambda: hpelm().add_data(X, T, fHH="HH.hdf5"), ParameterError, "must be given both"),
    "same file": (lambda: hpelm().add_data(X, T, fHH="a", fHT="a"), ParameterError, "must be two files"),
    "no confusion": (lambda: hpelm().confusion(T, T), ParameterError, "confusion needs classes"),
    "no weights": (lambda: hpelm("wc").error(ONE_HOT, ONE_HOT), ParameterError, r"has no weights yet; give them"),
    "an absent class": (
        lambda: hpelm("wc", w=W124).error(ONE_HOT[LABELS > 0], ONE_HOT[LABELS > 0]),
        DataError,
        "needs rows of every class; got none of class 0",
    ),
    "other rows": (lambda: hpelm().error(T, T[:9]), DataError, "must have the same rows; got 300 and 9"),
    "NaN in T": (lambda: hpelm().error(T * np.nan, T), DataError, "T must be finite; got NaN first in row 0"),
    "no rows of error": (lambda: hpelm().error(T, T, icount=0), DataError, "needs at least one row"),
    "1-D file": (
        lambda: HPELM(1, 1).add_data(h5py.File("v.h5")["v"], ONE_COLUMN),
        DataError,
        "fX must have 1 column",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with h5py.File("v.h5", "w") as file:
        file["v"] = np.ones(N)
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        call()
    assert os.listdir() == ["v.h5"]


def test_progress_is_shown_unless_tprint_says_never(capsys):
    for tprint, lines in ((5, 1), (0, 1), (None, 0), (math.inf, 0)):
        hpelm(tprint=tprint).train(X, T)
        assert capsys.readouterr().err.count("300 of 300 rows") == lines


# Sums in files


def check_files(model, folder, rows=slice(None), X=X, T=T):
    HH, HT, _ = textbook(model, X[rows], T[rows])
    size_h, size_t = np.sqrt(np.diag(HH)), np.sqrt((T[rows] ** 2).sum(axis=0))
    found_HH, found_HT = one_matrix(folder / "HH.hdf5"), one_matrix(folder / "HT.hdf5")
    assert (np.abs(found_HH - HH) <= 1e-12 * np.outer(size_h, size_h)).all()
    assert (np.abs(found_HT - HT) <= 1e-12 * np.outer(size_h, size_t)).all()
    np.testing.assert_array_equal(found_HH, found_HH.T)


def test_files_hold_the_sums_in_hpelms_layout_and_a_second_run_adds_nothing(files, tmp_path):
    model = hpelm(norm=0.5)
    model.train(X, T, icount=50)
    before = model.nnet.B
    pair = {"fHH": "HH.hdf5", "fHT": "HT.hdf5"}
    for istart, icount, counted in ((0, 100, 100), (100, 50, 150), (0, 100, 150), (50, 150, 200), (180, 800, N)):
        model.add_data(*files, istart=istart, icount=icount, **pair)
        check_files(model, tmp_path, slice(0, counted))
    names = {"X.hdf5", "T.hdf5", "C.hdf5", "HH.hdf5", "HT.hdf5", "HH.hdf5+HT.hdf5.sums.h5"}
    assert set(os.listdir()) == names | {"HH.hdf5+HT.hdf5.sums.h5.lock"}
    # The model's own sums and weights are another matter.
    assert model.nnet.B is before
    assert_close(model.nnet.HH, textbook(model, X[:50], T[:50])[0], 1e-12)
    content = {name: Path(name).read_bytes() for name in names}
    model.add_data(*files, **pair)
    assert content == {name: Path(name).read_bytes() for name in names}
    model.solve_corr(**pair)
    assert_close(model.nnet.B, textbook(model, X, T)[2])


def test_arrays_are_added_to_files_too_and_class_weights_are_in_them(files, tmp_path):
    model = hpelm("wc", w=W124)
    for rows in (slice(0, 100), slice(100, N)):
        model.add_data(X[rows], ONE_HOT[rows], fHH="HH.hdf5", fHT="HT.hdf5")
    model.solve_corr("HH.hdf5", "HT.hdf5")
    assert_close(model.nnet.B, textbook(model, X, ONE_HOT, W124[LABELS])[2])
    model.wc = [1, 1, 1]
    with pytest.raises(IncompatibleSumsError, match="targets numbers weighted"):
        model.add_data(X, ONE_HOT, fHH="HH.hdf5", fHT="HT.hdf5")


def test_rows_of_files_count_once_in_memory_too(files):
    model = hpelm()
    model.add_data(*files, icount=100)
    with pytest.raises(RowsCountedError, match=r"rows 50 to 99 of .*X\.hdf5.* are counted in both"):
        model.add_data(*files, istart=50)
    assert model.nnet.sums.n_samples == 100


def test_files_of_two_models_or_two_pairs_do_not_mix(files, tmp_path):
    model = hpelm()
    model.add_data(*files, fHH="HH.hdf5", fHT="HT.hdf5")
    other = hpelm(kinds=["tanh"])
    with pytest.raises(IncompatibleSumsError, match="two different layers never add"):
        other.add_data(*files, fHH="HH.hdf5", fHT="HT.hdf5")
    with pytest.raises(IncompatibleSumsError, match="sums of another model.*Load the one saved model"):
        other.solve_corr("HH.hdf5", "HT.hdf5")
    for pair in (("HH.hdf5", "HT2.hdf5"), ("HH2.hdf5", "HT.hdf5")):
        with pytest.raises(IncompatibleSumsError, match="belongs to another pair of files.*Name two new files"):
            model.add_data("X.hdf5", "C.hdf5", fHH=pair[0], fHT=pair[1])
    check_files(model, tmp_path)
    assert not Path("HT2.hdf5").exists()
    os.mkdir("sub")
    model.add_data("X.hdf5", "C.hdf5", fHH="HH2.hdf5", fHT="sub/HT.hdf5")
    assert Path("HH2.hdf5+sub%2FHT.hdf5.sums.h5").exists()


def hpelms_own(folder):
    for name in ("HH", "HT"):
        (folder / f"{name}.hdf5").write_bytes(gzip.decompress((DATA / f"{name}.hdf5.gz").read_bytes()))
    convert_model(DATA / "page.pkl", folder / "page.h5")
    model = HPELM(10, 3, tprint=None)
    model.load(folder / "page.h5")
    return model


def test_hpelms_own_files_are_solved_from_but_not_added_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = hpelms_own(tmp_path)
    theirs = model.nnet.B
    assert_close(one_matrix("HH.hdf5"), one_matrix("HH.hdf5").T, 1e-15)
    model.solve_corr("HH.hdf5", "HT.hdf5")
    assert model.nnet.B is not theirs
    assert_close(model.nnet.B, theirs)
    before = sorted(os.listdir())
    data = RNG.random((5, 10)), RNG.random((5, 3))
    with pytest.raises(IncompatibleSumsError, match=r"HP-ELM itself made it.*Name two new files"):
        model.add_data(*data, fHH="HH.hdf5", fHT="HT.hdf5")
    assert sorted(os.listdir()) == before


def test_hpelms_own_files_are_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = hpelms_own(tmp_path)
    HH, HT = one_matrix("HH.hdf5"), one_matrix("HT.hdf5")
    lopsided, negative, broken = HH.copy(), HH.copy(), HH.copy()
    lopsided[3, 7] *= 1.001
    negative[2, 2] *= -1
    broken[1, 1] = np.nan
    for bad, message in (
        (lopsided, "must be symmetric with a diagonal >= 0"),
        (negative, "must be symmetric with a diagonal >= 0"),
        (broken, "must be finite; got NaN first in row 1"),
        (HH[:29, :29], r"must hold floats of shape \(30, 30\).*got float64 of shape \(29, 29\)"),
        (HH.astype(int), "must hold floats.*got int64"),
    ):
        make_hdf5(bad, "HH.hdf5", overwrite=True)
        with pytest.raises(DataError, match=message):
            model.solve_corr("HH.hdf5", "HT.hdf5")
    make_hdf5(HH.astype("f4"), "HH.hdf5", overwrite=True)
    model.solve_corr("HH.hdf5", "HT.hdf5")
    make_hdf5(HT[:, :2], "HT.hdf5", overwrite=True)
    with pytest.raises(DataError, match=r"HT\.hdf5 must hold floats of shape \(30, 3\)"):
        model.solve_corr("HH.hdf5", "HT.hdf5")
    with pytest.raises(FileMissingError, match="no such file"):
        model.solve_corr("none.hdf5", "HT.hdf5")


def test_sums_that_are_gone_are_not_begun_anew(files, monkeypatch):
    monkeypatch.setattr("daskelm.sums.file._STALE_SECONDS", 0.01)
    model = hpelm()
    model.add_data(*files, fHH="HH.hdf5", fHT="HT.hdf5")
    os.remove("HH.hdf5+HT.hdf5.sums.h5")
    with pytest.raises(FileMissingError, match="is gone, though .*lock says that it was written"):
        model.add_data(*files, fHH="HH.hdf5", fHT="HT.hdf5")
    os.remove("HH.hdf5+HT.hdf5.sums.h5.lock")
    model.solve_corr("HH.hdf5", "HT.hdf5")
    assert_close(model.nnet.B, textbook(model, X, T)[2])


def test_sums_without_rows_are_not_solved(files):
    model = hpelm()
    model.add_data(*files, icount=0, fHH="HH.hdf5", fHT="HT.hdf5")
    assert_close(one_matrix("HH.hdf5"), 0.01 * np.eye(model.nnet.L))
    with pytest.raises(DataError, match="nothing to solve: .* holds no rows"):
        model.solve_corr("HH.hdf5", "HT.hdf5")


def test_on_a_cluster(client, files, tmp_path):
    model = hpelm("wc", w=W124)
    model.add_data("X.hdf5", "C.hdf5", icount=100, fHH="HH.hdf5", fHT="HT.hdf5")
    model.add_data(from_hdf5("X.hdf5") * 1, "C.hdf5", istart=100, fHH="HH.hdf5", fHT="HT.hdf5")
    model.solve_corr("HH.hdf5", "HT.hdf5")
    B = textbook(model, X, ONE_HOT, W124[LABELS])[2]
    assert_close(model.nnet.B, B)
    model.predict("X.hdf5", "Y.hdf5")
    assert_close(one_matrix("Y.hdf5"), hidden(model, X) @ B)
    assert model.error("C.hdf5", "Y.hdf5") == pytest.approx(direct_error(ONE_HOT, hidden(model, X) @ B, "wc"))


@pytest.mark.parametrize("classification", ["", "c", "wc", "ml"])
def test_validation_chooses_the_number_of_neurons_with_the_least_error(files, classification, tmp_path):
    targets = T if classification == "" else ONE_HOT
    train, test = slice(0, 200), slice(200, None)
    make_hdf5(X[test], "Xv.hdf5")
    make_hdf5(targets[test], "Tv.hdf5")
    for Xv, Tv in ((X[test], targets[test]), ("Xv.hdf5", "Tv.hdf5"), (da.from_array(X[test], chunks=30), "Tv.hdf5")):
        model = hpelm(classification, w=W124 if classification == "wc" else None)
        weights = W124[LABELS[train]] if classification == "wc" else 1.0
        HH, HT, _ = textbook(model, X[train], targets[train], weights)
        H, L = hidden(model, X[test]), model.nnet.L
        model.add_data(X[train], targets[train], fHH="HH.hdf5", fHT="HT.hdf5")
        Ls, errors, confusions = model.validation_corr("HH.hdf5", "HT.hdf5", Xv, Tv)
        for path in ("HH.hdf5", "HT.hdf5", *Path.cwd().glob("HH*sums*")):
            os.remove(path)
        assert (Ls[0], Ls[-1], len(Ls)) == (3, L, 10)
        outputs = [H[:, :n] @ np.linalg.solve(HH[:n, :n], HT[:n]) for n in Ls]
        expected = [direct_error(targets[test], Y, classification) for Y in outputs]
        assert_close(errors, expected, 1e-9)
        assert len(confusions) == (0 if classification == "" else len(Ls))
        for table, Y in zip(confusions, outputs, strict=False):
            np.testing.assert_array_equal(table, direct_confusion(targets[test], Y, classification))
        best = int(np.argmin(errors))
        assert model.nnet.L == Ls[best] == sum(n for n, *_ in model.nnet.neurons)
        assert_close(model.predict(X[test]), outputs[best])
        model.save("pruned.h5")
        again = HPELM(1, 1)
        again.load("pruned.h5")
        np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_validation_takes_numbers_of_neurons_and_never_more_than_there_are(files):
    def validate(model, steps=10):
        model.add_data(X, T, fHH="HH.hdf5", fHT="HT.hdf5")
        try:
            return model.validation_corr("HH.hdf5", "HT.hdf5", X, T, steps)[0].tolist()
        finally:
            for path in Path.cwd().glob("H[HT].hdf5*"):
                os.remove(path)

    assert validate(hpelm(), [30, 5, 5, 11]) == [5, 11, 30]
    assert validate(hpelm(), 1) == [3]
    for L in (1, 2, 3, 10):
        model = HPELM(D, C, norm=0.1, tprint=None)
        model.add_neurons(L, "tanh")
        assert validate(model)[-1] == L
    for steps in ([0, 5], [99], [2.5], []):
        with pytest.raises(ParameterError, match="numbers of neurons from 1 to 43"):
            validate(hpelm(), steps)


# Errors, predictions, models in files


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


@pytest.mark.parametrize("classification", ["", "c", "wc", "ml"])
def test_errors_and_confusion_matrices(files, classification):
    model = HPELM(D, C, classification, w=W124)
    T_here = T if classification == "" else ONE_HOT
    Y = T_here + RNG.standard_normal((N, C))
    make_hdf5(Y, "Y.hdf5")
    file = "T.hdf5" if classification == "" else "C.hdf5"
    for t, y in ((T_here, Y), (file, "Y.hdf5"), (T_here, "Y.hdf5"), (da.from_array(T_here, chunks=40), Y)):
        for rows, options in ((slice(None), {}), (slice(30, 130), {"istart": 30, "icount": 100})):
            found = model.error(t, y, **options)
            assert isinstance(found, float)
            assert found == pytest.approx(direct_error(T_here[rows], Y[rows], classification), rel=1e-12)
            if classification:
                table = model.confusion(t, y, **options)
                np.testing.assert_array_equal(table, direct_confusion(T_here[rows], Y[rows], classification))
    assert model.error(T_here, Y[:50], icount=50) == pytest.approx(
        direct_error(T_here[:50], Y[:50], classification), rel=1e-12
    )


def test_vectors_are_columns():
    model = HPELM(1, 1, norm=0.1, tprint=None)
    model.add_neurons(5, "tanh")
    model.train(X[:, 0], T[:, 0])
    Y = model.predict(da.from_array(X[:, 0], chunks=50))
    assert_close(Y, hidden(model, X[:, :1]) @ textbook(model, X[:, :1], T[:, :1])[2])
    assert model.error(T[:, 0], np.asarray(Y)[:, 0]) == pytest.approx(np.mean((T[:, :1] - np.asarray(Y)) ** 2))


def test_predictions_and_projections_go_where_they_are_wanted(files):
    model = hpelm()
    model.train(*files)
    for call, whole in (
        (model.predict, hidden(model, X) @ textbook(model, X, T)[2]),
        (model.project, hidden(model, X)),
    ):
        for data in (X, "X.hdf5", da.from_array(X, chunks=77)):
            assert_close(call(data, istart=50, icount=130), whole[50:180])
            assert call(data, icount=0).shape == (0, whole.shape[1])
            assert call(data, "out.hdf5", istart=50, icount=10**6) is None
            assert_close(one_matrix("out.hdf5"), whole[50:])
            filled = np.zeros((N + 2, whole.shape[1]))
            assert call(data, filled, istart=50) is None
            assert_close(filled[:250], whole[50:])
            assert not filled[250:].any()
            with pytest.raises(DataError, match="the array to fill must have shape"):
                call(data, np.zeros((9, whole.shape[1])))
        assert isinstance(call("X.hdf5"), np.ndarray)
        assert isinstance(call(from_hdf5("X.hdf5")), da.Array)
        with pytest.raises(ParameterError, match="f[YH]: .*X.hdf5 is one of the files that fX is read from"):
            call("X.hdf5", Path.cwd() / "X.hdf5")
    assert_close(model.predict("X.hdf5"), model.predict(X), 1e-13)


def test_a_saved_model_comes_back_exactly(tmp_path):
    path = tmp_path / "fmodel.anything"
    model = hpelm("wc", w=W124, norm=0.25)
    model.add_neurons(3, np.sin)
    for solved in (False, True):
        if solved:
            model.train(X, ONE_HOT)
        model.save(path)
        again = HPELM(1, 1, tprint=None)
        assert again.load(path) is None
        for mine, other in zip(model.nnet.neurons, again.nnet.neurons, strict=True):
            assert mine[:2] == other[:2]
            np.testing.assert_array_equal(mine[2], other[2])
            np.testing.assert_array_equal(mine[3], other[3])
        assert again.nnet.layer.fingerprint == model.nnet.layer.fingerprint
        assert (again.nnet.norm, again.classification, again.wc.tolist()) == (0.25, "wc", [1, 2, 4])
        assert again.nnet.sums is None
        if solved:
            np.testing.assert_array_equal(again.predict(X), model.predict(X))
        else:
            assert again.nnet.B is None
    single = HPELM(1, 1, precision="single")
    single.load(path)
    assert single.nnet.neurons[0][2].dtype == "f4"
    assert_close(single.predict(X), model.predict(X), 1e-4)


def test_files_that_are_no_models_are_refused(files, tmp_path):
    model = HPELM(D, C)
    with pytest.raises(FileMissingError, match="no such file"):
        model.load("none.h5")
    with pytest.raises(FileFormatError, match="is not a daskelm hpelm file, but an HDF5 file"):
        model.load("X.hdf5")
    with pytest.raises(FileFormatError, match="is a folder"):
        model.load(tmp_path)
    hpelm().save("model.h5")
    Path("model.h5").write_bytes(Path("model.h5").read_bytes()[:-1])
    with pytest.raises(FileFormatError, match="is truncated"):
        model.load("model.h5")


# The page "Running HP-ELM in parallel": its scripts, but for the import line, one name for the model's file, the true
# targets in `error`, and print as a function.

IMPORTS = "import numpy as np\nfrom daskelm.hpelm import HPELM, modules\n"
SCRIPTS = [
    IMPORTS + textwrap.dedent(script)
    for script in (
        """
        X = np.random.rand(1000, 10)
        T = np.random.rand(1000, 3)
        hX = modules.make_hdf5(X, "dataX.hdf5")
        hT = modules.make_hdf5(T, "dataT.hdf5")
        """,
        """
        model0 = HPELM(10, 3)
        model0.add_neurons(10, 'lin')
        model0.add_neurons(5, 'tanh')
        model0.add_neurons(15, 'sigm')
        model0.save("model.pkl")
        """,
        """
        model1 = HPELM(10, 3)
        model1.load("model.pkl")
        model1.add_data("dataX.hdf5", "dataT.hdf5", istart=0, icount=100, fHH="HH.hdf5", fHT="HT.hdf5")
        """,
        """
        model2 = HPELM(10, 3)
        model2.load("model.pkl")
        model2.add_data("dataX.hdf5", "dataT.hdf5", istart=100, icount=100, fHH="HH.hdf5", fHT="HT.hdf5")
        """,
        """
        model3 = HPELM(10, 3)
        model3.load("model.pkl")
        model3.add_data("dataX.hdf5", "dataT.hdf5", istart=200, icount=800, fHH="HH.hdf5", fHT="HT.hdf5")
        """,
        """
        model4 = HPELM(10, 3)
        model4.load("model.pkl")
        model4.solve_corr("HH.hdf5", "HT.hdf5")
        model4.save("model.pkl")
        """,
        """
        model5 = HPELM(10, 3)
        model5.load("model.pkl")
        model5.predict("dataX.hdf5", "predictedY.hdf5")
        err_train = model5.error("dataT.hdf5", "predictedY.hdf5")
        print("Training error is", err_train)
        """,
    )
]
PAGE_FILES = {
    *("dataX.hdf5", "dataT.hdf5", "model.pkl", "HH.hdf5", "HT.hdf5"),
    *("HH.hdf5+HT.hdf5.sums.h5", "HH.hdf5+HT.hdf5.sums.h5.lock"),
}


def environment(**more):
    paths = [str(Path(daskelm.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | more


def start(script, folder):
    path = folder / f"script{SCRIPTS.index(script)}.py"
    path.write_text(script)
    return subprocess.Popen(
        [sys.executable, "-W", "error", path.name], cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    )


def test_the_pages_scripts_run_as_they_are(tmp_path):
    first, second, *adding, fourth, fifth = SCRIPTS
    for together in ([first], [second], adding, [fourth], [fifth]):
        running = [start(script, tmp_path) for script in together]
        outputs = [process.communicate(timeout=120)[0] for process in running]
        assert [process.returncode for process in running] == [0] * len(running)
    X, T = from_hdf5(tmp_path / "dataX.hdf5").compute(), from_hdf5(tmp_path / "dataT.hdf5").compute()
    model = HPELM(10, 3)
    model.load(tmp_path / "model.pkl")
    check_files(model, tmp_path, X=X, T=T)
    B = textbook(model, X, T)[2]
    assert_close(model.nnet.get_B(), B)
    words = outputs[0].split()
    assert words[:-1] == ["Training", "error", "is"]
    assert float(words[-1]) == pytest.approx(np.mean((hidden(model, X) @ B - T) ** 2), rel=1e-10)
    assert_close(one_matrix(tmp_path / "predictedY.hdf5"), hidden(model, X) @ B)
    assert set(os.listdir(tmp_path)) == PAGE_FILES | {"predictedY.hdf5", *(f"script{i}.py" for i in range(7))}


# One process imports daskelm and forks for each script: what it takes is the scripts' own work.
HARNESS = """
import os, random, shutil, signal, sys, time
import distributed.system, portalocker
from daskelm.hpelm import HPELM, modules

scripts, rng = [open(f"script{i}.py").read() for i in (2, 3, 4)], random.Random(int(sys.argv[3]))

def start(folder, script):
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.chdir(folder)
        exec(compile(script, "script", "exec"), {"__name__": "__main__"})
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)

def run(folder, order, kill=None):
    children = [start(folder, script) for script in order]
    if kill is not None:
        time.sleep(rng.random() * kill)
        os.kill(children[0], signal.SIGKILL)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]

for trial in range(int(sys.argv[1])):
    folder = f"trial{trial}"
    os.mkdir(folder)
    for name in ("dataX.hdf5", "dataT.hdf5", "model.pkl"):
        shutil.copy(name, folder)
    order = rng.sample(scripts, 3)
    if sys.argv[2] == "kill":
        run(folder, order, kill=0.15)
    assert run(folder, order) == [0, 0, 0]
    if sys.argv[2] == "again":
        assert run(folder, rng.choices(scripts, k=2)) == [0, 0]
"""


@pytest.mark.campaign
@pytest.mark.parametrize("what", ["once", "again", "kill"])
def test_scripts_at_once_in_any_order_count_every_row_once(tmp_path, what):
    trials = 50 if os.environ.get("DASKELM_CAMPAIGN") == "full" else 5
    X, T = RNG.random((1000, 10)), RNG.random((1000, 3))
    make_hdf5(X, tmp_path / "dataX.hdf5")
    make_hdf5(T, tmp_path / "dataT.hdf5")
    model = HPELM(10, 3, norm=0.5)
    for number, kind in ((10, "lin"), (5, "tanh"), (15, "sigm")):
        model.add_neurons(number, kind)
    model.save(tmp_path / "model.pkl")
    for i in (2, 3, 4):
        (tmp_path / f"script{i}.py").write_text(SCRIPTS[i])
    subprocess.run(
        [sys.executable, "-c", HARNESS, str(trials), what, str(RNG.integers(2**31))],
        cwd=tmp_path,
        # After a fork, threads that a library started are gone.
        env=environment(OPENBLAS_NUM_THREADS="1"),
        check=True,
        timeout=280,
    )
    for trial in range(trials):
        folder = tmp_path / f"trial{trial}"
        check_files(model, folder, X=X, T=T)
        sums = NormalEquations.load(folder / "HH.hdf5+HT.hdf5.sums.h5")
        assert (sums.n_samples, sums.ledger.n_rows, sums.ledger.n_unknown) == (1000, 1000, 0)
        assert set(os.listdir(folder)) == PAGE_FILES


# Modules


def test_modules_are_found_in_all_ways():
    code = (
        "import daskelm.hpelm\n"
        "from daskelm.hpelm import modules, make_hdf5\n"
        "from daskelm.hpelm.modules import normalize_hdf5\n"
        "assert daskelm.hpelm.modules.make_hdf5 is make_hdf5 is modules.make_hdf5\n"
        "assert normalize_hdf5 is modules.normalize_hdf5\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment(), check=True)


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.txt.gz", "a.csv.bz2"])
def test_make_hdf5_takes_hpelms_arguments(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    delimiter = "," if "csv" in name else " "
    np.savetxt(name, X, fmt="%.17g", delimiter=delimiter, header="# one\ntwo words, and more", comments="")
    for given in (" ", delimiter):
        assert modules.make_hdf5(name, "a.hdf5", delimiter=given, skiprows=2) == "a.hdf5"
        np.testing.assert_array_equal(one_matrix("a.hdf5"), X)
    with pytest.raises((InputTypeError, DataError), match="line 1: "):
        modules.make_hdf5(name, "b.hdf5", delimiter=delimiter)
    assert not Path("b.hdf5").exists()


def test_make_hdf5_of_arrays_shapes_and_levels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", X)
    for data in (X, X.astype("f4"), da.from_array(X, chunks=100), "a.npy"):
        modules.make_hdf5(data, "a.hdf5")
        assert one_matrix("a.hdf5").dtype == "f8"
    np.testing.assert_array_equal(one_matrix("a.hdf5"), X)
    modules.make_hdf5(X[:, 0], "a.hdf5", np.float32, comp_level=9)
    with h5py.File("a.hdf5") as file:
        dataset = file["data"]
        assert (dataset.compression, dataset.compression_opts, dataset.shuffle) == ("gzip", 9, True)
        assert (dataset.shape, dataset.dtype) == ((N, 1), "f4")
    modules.make_hdf5((7, 3), "a.hdf5")
    np.testing.assert_array_equal(one_matrix("a.hdf5"), np.zeros((7, 3)))
    for options, message in (({"comp_level": 10}, "from 0 .* to 9; got 10"), ({"skiprows": -1}, "skiprows must be")):
        with pytest.raises(ParameterError, match=message):
            modules.make_hdf5(X, "a.hdf5", **options)


@pytest.mark.parametrize("batch", [None, 7, 1000])
def test_data_are_normalised_once(tmp_path, monkeypatch, batch):
    monkeypatch.chdir(tmp_path)
    Z = 3 * X + 1e6
    Z[:, 2] = 1e8 + 0.3
    for name in ("train.hdf5", "test.hdf5"):
        with h5py.File(name, "w") as file:
            file.create_dataset("here", data=Z, chunks=(64, D), compression="gzip")
            file["note"], file["here"].attrs["unit"] = np.arange(3), "m"
    mean, std = normalize_hdf5("train.hdf5", batch=batch)
    np.testing.assert_allclose(mean, Z.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(std, np.where(np.arange(D) == 2, 1, Z.std(axis=0)), rtol=1e-8)
    normalize_hdf5("test.hdf5", list(mean), list(std), batch)
    expected = (Z - mean) / std
    for name in ("train.hdf5", "test.hdf5"):
        # Again, in each of HP-ELM's ways: nothing happens.
        for given in ((), (mean, std)):
            again = normalize_hdf5(name, *given)
            np.testing.assert_array_equal(again, (mean, std))
        with h5py.File(name) as file:
            np.testing.assert_array_equal(file["here"][()], expected)
            assert (file["here"].compression, file["here"].attrs["unit"]) == ("gzip", "m")
            np.testing.assert_array_equal(file["here"].attrs["mean"], mean)
            assert file["note"].shape == (3,)
        with pytest.raises(DataError, match="is normalised already, with another mean and std"):
            normalize_hdf5(name, mean + 1, std)
    assert sorted(os.listdir()) == ["test.hdf5", "train.hdf5"]


def test_zero_deviations_count_as_one_and_are_not_written_to_the_caller(tmp_path):
    path = modules.make_hdf5(X, tmp_path / "x.hdf5")
    zeros = np.array([0.0, 1, 2, 3])
    _, std = normalize_hdf5(path, np.zeros(D), zeros)
    assert (std.tolist(), zeros.tolist()) == ([1, 1, 2, 3], [0, 1, 2, 3])
    np.testing.assert_array_equal(one_matrix(path), X / std)


def test_a_normalisation_that_fails_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad = X.copy()
    bad[200, 1] = np.nan
    modules.make_hdf5(bad, "x.hdf5")
    before = Path("x.hdf5").read_bytes()
    for given in ((), (np.zeros(D), np.ones(D))):
        with pytest.raises(DataError, match="must be finite; got NaN first in row 200"):
            normalize_hdf5("x.hdf5", *given, batch=64)
    for arguments, error, message in (
        ((np.zeros(D),), ParameterError, "given both, or none"),
        ((np.zeros(3), np.ones(D)), DataError, "mean must hold a finite number for each of the 4 columns"),
        ((np.zeros(D), -np.ones(D)), DataError, r"std must hold .* columns \(>= 0\)"),
        ((None, None, 0), ParameterError, "batch must be an int >= 1"),
    ):
        with pytest.raises(error, match=message):
            normalize_hdf5("x.hdf5", *arguments)
    assert Path("x.hdf5").read_bytes() == before
    modules.make_hdf5(X > 0, "flags.hdf5", dtype=bool)
    with pytest.raises(DataError, match="must hold rows of floats"):
        normalize_hdf5("flags.hdf5")
    with pytest.raises(ParameterError, match="h5file must be one file; got 2"):
        normalize_hdf5("*.hdf5")
    with pytest.raises(FileMissingError):
        normalize_hdf5("none.hdf5")
    assert sorted(os.listdir()) == ["flags.hdf5", "x.hdf5"]


def test_files_that_hpelm_may_have_normalised_are_refused(tmp_path):
    path = modules.make_hdf5(X, tmp_path / "x.hdf5")
    for value, refused in ((np.bytes_(b"N."), False), (X.mean(axis=0), True), (np.bytes_(b"(lp0"), True)):
        with h5py.File(path, "r+") as file:
            file["data"].attrs["mean"] = file["data"].attrs["std"] = value
        if refused:
            with pytest.raises(DataError, match="it is unknown whether its rows are normalised"):
                normalize_hdf5(path, np.zeros(D), np.ones(D))
        else:
            normalize_hdf5(path, np.zeros(D), np.ones(D))
            modules.make_hdf5(X, path)


# Documentation

PUBLIC = ["HPELM", "convert_model", "make_hdf5", "normalize_hdf5"] + [
    f"HPELM.{name}" for name, member in inspect.getmembers(HPELM) if not name.startswith("_") and callable(member)
]


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings_are_complete(name):
    checks = {"GL08", "SS01", "SS03", "SS06", "PR01", "PR02", "PR03", "PR04", "PR07", "RT01", "YD01"}
    assert [error for error in validate(f"daskelm.hpelm.{name}")["errors"] if error[0] in checks] == []
