"""Arguments of make_hdf5 and to_hdf5: types that hold every value; careless ones leave no file."""

import os
import socket
import subprocess
import sys

import dask.array as da
import numpy as np
import pytest

from daskelm import from_hdf5, make_hdf5, to_hdf5
from daskelm.exceptions import DataError, FileFormatError, ParameterError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 4))


def test_integers_hold_what_they_are_given(tmp_path):
    path = tmp_path / "i.h5"
    with pytest.raises(DataError, match=r"dtype: uint8 must hold all values unchanged; got \[300.0\] first in row 1"):
        make_hdf5([[1.0], [300.0]], path, dtype="uint8")
    for value in (np.nan, -1.0, 0.5):
        with pytest.raises(DataError, match="must hold all values unchanged"):
            make_hdf5([[value]], path, dtype="uint8")
    with pytest.raises(DataError, match="must hold all values unchanged"):
        to_hdf5(da.from_array(np.array([2**40])), path, dtype="int32")
    assert from_hdf5(make_hdf5([[1.0], [255.0]], path, dtype="uint8")).compute().tolist() == [[1], [255]]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((5,), {}, DataError, r"a tuple of int is a shape, \(n_samples, n_features\)"),
        ((-1, 3), {}, DataError, "both >= 0"),
        ([[1, 2], [3]], {}, DataError, "rows of equal length"),
        (X, {"dtype": "str"}, ParameterError, "dtype must be one of numbers"),
        (X, {"dtype": "no"}, ParameterError, "dtype must be one of numbers"),
        (X, {"compression": "zip"}, ParameterError, "compression must be None, 'gzip', 'lzf'"),
        (X, {"dataset": ""}, ParameterError, "dataset must be a name"),
        (X, {"dataset": None}, ParameterError, "dataset must be a name"),
        (".", {}, FileFormatError, r"is a folder; give the name of a file in it"),
    ],
)
def test_careless_arguments_of_make_hdf5(tmp_path, arguments, options, error, message):
    with pytest.raises(error, match=message):
        make_hdf5(arguments, tmp_path / "a.h5", **options)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_killed_writers_are_cleared(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = socket.gethostname()
    for name in (
        f".a.h5~{host}~{gone.pid}~x.tmp",
        f".a.h5~{host}~{os.getpid()}~x.tmp",
        f".a.h5~other~{gone.pid}~x.tmp",
    ):
        (tmp_path / name).touch()
    make_hdf5(X, tmp_path / "a.h5")
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted(
        ["a.h5", f".a.h5~{host}~{os.getpid()}~x.tmp", f".a.h5~other~{gone.pid}~x.tmp"]
    )
