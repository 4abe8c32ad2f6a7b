"""HP-ELM's functions on files: make_hdf5 and normalize_hdf5."""

import os
import subprocess
import sys
from pathlib import Path

import dask.array as da
import h5py
import numpy as np
import pytest
from hpelm_table import D, N, X, environment, one_matrix

from daskelm.exceptions import DataError, FileMissingError, InputTypeError, ParameterError
from daskelm.hpelm import modules, normalize_hdf5


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
