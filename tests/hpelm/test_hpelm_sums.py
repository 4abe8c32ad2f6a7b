"""HP-ELM's files of sums: in its layout, each row counted once, and those that HP-ELM made."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from hpelm_table import (
    DATA,
    LABELS,
    ONE_HOT,
    RNG,
    W124,
    N,
    T,
    X,
    assert_close,
    check_files,
    direct_error,
    hidden,
    hpelm,
    one_matrix,
    textbook,
)

from daskelm import from_hdf5, make_hdf5
from daskelm.exceptions import DataError, FileMissingError, IncompatibleSumsError, RowsCountedError
from daskelm.hpelm import HPELM, convert_model


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
    monkeypatch.setattr("daskelm.sums.file._STALE_SECONDS", 0)
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
