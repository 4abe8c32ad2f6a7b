"""Lock files of sums: only a file that holds a number, or nothing, is taken as one."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from daskelm import ELMRegressor, NormalEquations
from daskelm.exceptions import FileFormatError, FileWriteError
from daskelm.hdf5.header import BLOCK, MAGIC, digest_of, read_generation

N = 60
TABLE = np.random.default_rng(0).standard_normal((N, 3))


@pytest.fixture(autouse=True)
def _unsynced_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def accumulate():
    ELMRegressor(3, random_state=0).initialize(TABLE).accumulate(TABLE, TABLE[:, 0], into="sums.h5")


def test_a_lock_file_that_is_a_link_is_not_followed():
    Path("precious").write_text("export PATH\n")
    for target in ("precious", "nowhere"):
        os.symlink(target, "sums.h5.lock")
        with pytest.raises(FileWriteError, match=r"sums\.h5\.lock must be a regular file .*; got a symbolic link"):
            accumulate()
        os.remove("sums.h5.lock")
    assert Path("precious").read_text() == "export PATH\n"
    assert os.listdir() == ["precious"]


@pytest.mark.parametrize("text", ["export PATH\n", "12 monkeys", "1" * 40, "9" * 30, "-5\n", "\n", "\0" * 21])
def test_a_lock_file_with_something_else_in_it_is_left_as_it_is(text):
    Path("precious").write_text(text)
    os.link("precious", "sums.h5.lock")
    with pytest.raises(FileWriteError, match=r"sums\.h5\.lock must be empty or hold the number .*; got something else"):
        accumulate()
    assert Path("precious").read_text() == text
    assert not os.path.exists("sums.h5")


def test_a_lock_file_that_is_a_pipe_is_an_error():
    os.mkfifo("sums.h5.lock")
    with pytest.raises(FileWriteError, match=r"sums\.h5\.lock must be a regular file .*; got a pipe or a device"):
        accumulate()
    # Nor does it hang where only its number is wanted.
    ELMRegressor(3, random_state=0).fit(TABLE, TABLE[:, 0]).normal_equations_.save("sums.h5")
    assert NormalEquations.load("sums.h5").n_samples == N


@pytest.mark.parametrize("text", ["9" * 400, "9" * 20, "7_7", f"{7:020d}\n"])
def test_save_takes_no_number_from_a_link(text):
    """A number of 400 digits made a header longer than its place, and a file that could not be read."""
    Path("elsewhere").write_text(text)
    os.symlink("elsewhere", "sums.h5.lock")
    ELMRegressor(3, random_state=0).fit(TABLE, TABLE[:, 0]).normal_equations_.save("sums.h5")
    assert read_generation("sums.h5", "sums") == 1
    assert NormalEquations.load("sums.h5").n_samples == N
    assert Path("elsewhere").read_text() == text


@pytest.mark.parametrize("generation", [-1, 10**20, 10**200, True, 1.5])
def test_a_number_that_no_lock_file_holds_is_a_damaged_header(generation):
    ELMRegressor(3, random_state=0).fit(TABLE, TABLE[:, 0]).normal_equations_.save("sums.h5")
    data = Path("sums.h5").read_bytes()
    header = json.loads(data[len(MAGIC) : BLOCK]) | {"generation": generation}
    header["sha256"] = digest_of(header, data[BLOCK:])
    Path("sums.h5").write_bytes((MAGIC + json.dumps(header).encode()).ljust(BLOCK - 1) + b"\n" + data[BLOCK:])
    for call in (accumulate, lambda: NormalEquations.load("sums.h5")):
        with pytest.raises(FileFormatError, match="the header of this daskelm file is damaged"):
            call()


def test_a_lock_file_of_ours_goes_on():
    accumulate()
    accumulate()
    assert Path("sums.h5.lock").read_text() == f"{2:020d}\n"
    assert NormalEquations.load("sums.h5").n_samples == 2 * N


def test_a_lock_file_that_takes_no_number_loses_nothing(monkeypatch):
    calls = []

    def broken_for_the_lock(handle):
        calls.append(handle)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken_for_the_lock)
    with pytest.raises(
        FileWriteError, match=r"sums\.h5 was written whole, but not its number to .*sums\.h5\.lock: No sp"
    ):
        accumulate()
    assert NormalEquations.load("sums.h5").n_samples == N
    accumulate()
    assert NormalEquations.load("sums.h5").n_samples == 2 * N
