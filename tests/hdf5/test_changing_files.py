"""Files that change while they are in use are an error; copies that were there before are not."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import dask
import h5py
import numpy as np
import pytest
from layouts import D, N, X, raw, virtual, write, y

from daskelm import ELMRegressor, from_hdf5
from daskelm.exceptions import FileFormatError, FileMissingError
from daskelm.hdf5.dataset import OpenPart
from daskelm.hdf5.rows import open_rows

pytestmark = pytest.mark.usefixtures("empty_folder")


def rewritten(path, data=X + 1, **options):
    """Write a file anew, of the same layout and size, in the place of the old one."""
    before = os.path.getsize(path)
    write("new.h5", data, **options)
    assert os.path.getsize("new.h5") == before
    os.replace("new.h5", path)


def in_place(path):
    with open(path, "r+b") as file:
        file.seek(-8, os.SEEK_END)
        file.write(bytes(8))


def same_date(path):
    status = os.stat(path)
    rewritten(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGED = r"changed while it was in use: '/data' had 600 rows, got another version .*Start again"


@pytest.mark.parametrize("change", [rewritten, in_place, os.remove])
@pytest.mark.parametrize("make", [write, virtual, raw], ids=lambda make: make.__name__)
def test_a_file_that_changes_before_it_is_read_is_told(no_client, make, change):
    path = make("v.h5")
    lazy, rows = from_hdf5(path, chunks=100), open_rows(path)
    changed = {"write": "v.h5", "virtual": "b.h5", "raw": "b.h5"}[make.__name__]
    if change is os.remove:
        os.remove(changed)
    elif make is raw:
        Path("b.h5").write_bytes(bytes(X.nbytes // 2))
    elif make is virtual and change is in_place:
        with h5py.File("b.h5", "r+") as file:
            file["data"][:] = 0
    else:
        change(changed, *([X[:200] + 1] if make is virtual else []))
    text = CHANGED if change is not os.remove else r"v\.h5: no such file|b\.h5, (from which|the raw file)"
    with pytest.raises(OSError, match=text):
        lazy.compute()
    with pytest.raises(OSError, match=text):
        rows.read(0, N)
    if change is not os.remove:
        assert from_hdf5(path, chunks=100).name != lazy.name
        assert not np.array_equal(from_hdf5(path).compute(), X)


@pytest.mark.parametrize("change", [rewritten, in_place, same_date, os.remove])
def test_a_file_that_changes_while_it_is_read_is_told(no_client, change):
    rows = open_rows(write("v.h5"))
    gone = FileMissingError, r"v\.h5: there is no file any more"
    error, message = gone if change is os.remove else (FileFormatError, r"v\.h5 changed while it was in use")
    with pytest.raises(error, match=message):
        read_around(rows, (0, 10), lambda: change("v.h5"), (500, 510))
    # An error of the caller's own is not hidden by another one.
    rows = open_rows(write("w.h5"))
    with pytest.raises(RuntimeError, match="own"):
        read_around(rows, (0, 10), lambda: (os.remove("w.h5"), fail()), (500, 510))


def read_around(rows, before, change, after):
    with rows.open() as reader:
        reader.read(*before)
        change()
        reader.read(*after)


def fail():
    raise RuntimeError("own")


@pytest.mark.parametrize("make", [virtual, raw], ids=lambda make: make.__name__)
def test_a_source_that_changes_while_it_is_read_is_told(no_client, make):
    rows = open_rows(make("v.h5"))
    with pytest.raises(FileMissingError, match=r"b\.h5: there is no file any more"):
        read_around(rows, (200, 400), lambda: os.remove("b.h5"), (350, 400))


def test_a_file_that_changes_between_two_tasks_of_a_fit_is_told(no_client, monkeypatch):
    write("v.h5", np.resize(X, (20_000, D)))
    target, calls = np.resize(y, 20_000), []
    real = OpenPart.__init__

    def replace_once(self, part, *args, **kwargs):
        calls.append(part)
        if len(calls) == 3:
            rewritten("v.h5", np.resize(X + 1, (20_000, D)))
        real(self, part, *args, **kwargs)

    monkeypatch.setattr(OpenPart, "__init__", replace_once)
    with (
        dask.config.set(scheduler="synchronous"),
        pytest.raises(FileFormatError, match="got another version of the file"),
    ):
        ELMRegressor(5, random_state=0).fit("v.h5", target)


def test_the_same_table_has_the_same_name():
    path = write("v.h5")
    assert from_hdf5(path).name == from_hdf5(path).name
    assert open_rows(path) == open_rows(path)
    assert hash(open_rows(path)) == hash(open_rows(path))


def test_a_copy_that_was_there_before_is_no_change(no_client):
    rows = open_rows(write("v.h5"))
    shutil.copy("v.h5", "copy.h5")
    os.replace("copy.h5", "v.h5")
    with pytest.raises(FileFormatError, match="changed while it was in use"):
        rows.read(0, N)
    # As on another machine's disk: of another date, but written before the table was described here.
    [part] = rows.parts
    later = replace(part, described_at=time.time_ns() + 10**9)
    np.testing.assert_array_equal(rows.of_part(later).read(0, N), X)
