"""HP-ELM's neurons, sums and weights are those of its formulas, for every form of data and every flag of train."""

import os
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from hpelm_table import (
    DATA,
    FORMULAS,
    GIVEN,
    LABELS,
    ONE_HOT,
    W124,
    C,
    D,
    N,
    T,
    X,
    assert_close,
    direct_confusion,
    direct_error,
    forms,
    hidden,
    hpelm,
    one_matrix,
    textbook,
)

from daskelm import make_hdf5
from daskelm.exceptions import IllConditionedWarning, NotSolvedError, ParameterError
from daskelm.hpelm import HPELM, convert_model
from daskelm.hpelm.network import FUNCTIONS


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


def test_without_a_flag_the_classification_stays():
    model = hpelm("C")
    model.train(X, ONE_HOT)
    assert model.classification == "c"
    model.train(X, ONE_HOT, "r")
    assert model.classification is None
    model.train(X, ONE_HOT, "wc", w=[1, 2, 4], batch=10)
    assert (model.classification, model.wc.tolist(), model.batch) == ("wc", [1, 2, 4], 10)


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
