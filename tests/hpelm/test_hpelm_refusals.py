"""What HP-ELM's interface refuses, and that a train that fails leaves the model as it was."""

import math
import os

import h5py
import numpy as np
import pytest
from hpelm_table import LABELS, ONE_HOT, W124, C, D, N, T, X, hpelm

from daskelm import make_hdf5
from daskelm.exceptions import DataError, InputTypeError, NotSolvedError, ParameterError
from daskelm.hpelm import HPELM, normalize_hdf5


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


def test_sparse_rows_are_refused(tmp_path):
    sparse = pytest.importorskip("scipy.sparse").csr_array(X)
    path = str(tmp_path / "X.h5")
    make_hdf5(sparse, path)
    elm = HPELM(D, 1)
    elm.add_neurons(5, "tanh")
    for rows in (sparse, path):
        with pytest.raises(InputTypeError, match="fX must be dense, since only X may be sparse"):
            elm.train(rows, X[:, :1])
    with pytest.raises(DataError, match="must hold its rows itself to be normalised in place; got .* sparse"):
        normalize_hdf5(path)
