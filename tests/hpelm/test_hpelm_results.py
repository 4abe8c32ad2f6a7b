"""HP-ELM's errors, confusion matrices, predictions and saved models."""

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from hpelm_table import (
    ONE_HOT,
    RNG,
    W124,
    C,
    D,
    N,
    T,
    X,
    assert_close,
    direct_confusion,
    direct_error,
    hidden,
    hpelm,
    one_matrix,
    textbook,
)

from daskelm import from_hdf5, make_hdf5
from daskelm.exceptions import DataError, FileFormatError, FileMissingError, ParameterError
from daskelm.hpelm import HPELM


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
