"""Pipes in the place of files are an error: no reader waits for a writer."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from written_files import TABLE, D, pipe, run

from daskelm import ELMRegressor, NormalEquations, from_hdf5, load, make_hdf5, merge
from daskelm.cli import cli
from daskelm.exceptions import FileFormatError
from daskelm.hdf5.paths import open_regular
from daskelm.hpelm import HPELM, convert_model

pytestmark = pytest.mark.usefixtures("unsynced_folder")
READERS = {
    "load": load,
    "NormalEquations.load": NormalEquations.load,
    "from_hdf5": from_hdf5,
    "fit": lambda path: ELMRegressor(3).fit(path, TABLE[:, 0]),
    "solve": lambda path: ELMRegressor(3).initialize(TABLE).solve(path),
    "merge": merge,
    "accumulate into": lambda path: ELMRegressor(3).initialize(TABLE).accumulate(TABLE, TABLE[:, 0], into=path),
    "make_hdf5": lambda path: make_hdf5(path, "new.h5"),
    "hpelm.load": lambda path: HPELM(D, 1).load(path),
    "convert_model": lambda path: convert_model(path, "new.h5"),
    "daskelm info": lambda path: run("info", path),
    "daskelm predict": lambda path: run("predict", path, path, "--out", "new.h5"),
}


@pytest.mark.parametrize("reader", READERS)
def test_reading_a_pipe_does_not_wait_for_a_writer(reader):
    pipe("pipe.h5")
    with pytest.raises((FileFormatError, RuntimeError), match=r"pipe\.h5 is a named pipe"):
        READERS[reader]("pipe.h5")
    assert Path("pipe.h5").is_fifo()
    assert not os.path.exists("new.h5")


def test_a_pipe_is_no_place_for_sums():
    pipe("pipe.h5")
    make_hdf5(TABLE, "x.h5")
    done = CliRunner().invoke(cli, ["check", "x.h5", "--into", "pipe.h5"])
    assert "pipe.h5 must be a sums file, or not exist yet; got something else" in done.output


def test_open_regular_reads_files_as_open_does():
    Path("file").write_bytes(b"abc")
    with open_regular("file") as file:
        assert file.read() == b"abc"
    with pytest.raises(FileNotFoundError):
        open_regular("none")
