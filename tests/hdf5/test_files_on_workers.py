"""Files that a worker does not see, and rows that were never written, are reported before any work."""

import os
import pickle
import time

import numpy as np
import pytest
from click.testing import CliRunner
from layouts import N, X, every_layout, raw, unwritten, virtual, y

from daskelm import ELMRegressor, from_hdf5
from daskelm.cli import cli
from daskelm.data.from_hdf5 import check_visible
from daskelm.exceptions import FileFormatError, FileMissingError
from daskelm.hdf5.dataset import _CLOCK_NS, sizes_of_parts
from daskelm.hdf5.rows import open_rows

pytestmark = pytest.mark.usefixtures("empty_folder")


def run(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="daskelm")


def fit(data):
    ELMRegressor(5, random_state=0).fit(data, y)


def test_workers_that_lack_a_source_are_told_before_any_work(client, tmp_path):
    """Each worker has a folder of its own at one path, of which one lacks a file."""
    here = "/proc/self/cwd"
    folders = [tmp_path / name for name in ("ours", "first", "second")]
    for folder in folders:
        folder.mkdir()
        os.chdir(folder)
        virtual()
        raw("r.h5", ("x.bin", "y.bin"))
    os.chdir(folders[0])
    # Copies lay there before: by more than the clocks of files are coarse.
    newest = max(path.stat().st_ctime_ns for path in tmp_path.rglob("*"))
    while time.time_ns() <= newest + 2 * _CLOCK_NS:
        time.sleep(0.01)
    workers = list(client.scheduler_info()["workers"])
    before = client.run(os.getcwd)
    try:
        for worker, folder in zip(workers, folders[1:], strict=True):
            client.run(os.chdir, str(folder), workers=[worker])
        for name in ("v.h5", "r.h5"):
            rows = open_rows(f"{here}/{name}")
            check_visible([rows], client)
            # Copies of other dates are no change, where they lay there before.
            model = ELMRegressor(5, alpha=1.0, random_state=0).fit(rows, y)
            np.testing.assert_allclose(
                model.coef_, ELMRegressor(5, alpha=1.0, random_state=0).fit(X, y).coef_, rtol=1e-8
            )
            assert "ok" in run("check", f"{here}/{name}", "--scheduler", client.scheduler.address).output
            gone = {"v.h5": "b.h5", "r.h5": "y.bin"}[name]
            os.remove(folders[2] / gone)
            with pytest.raises(FileMissingError, match=rf"{gone} .* must be visible on every worker .*{workers[1]}"):
                fit(rows)
            found = run("check", f"{here}/{name}", "--scheduler", client.scheduler.address)
            assert found.exit_code == 4, found.output
            assert f"{gone} (of {here}/{name}) must be visible on every worker" in found.output
            with pytest.raises(FileMissingError, match=gone):
                client.submit(rows.read, 0, N, workers=[workers[1]]).result()
            with pytest.raises(FileMissingError, match=gone):
                client.submit(from_hdf5, f"{here}/{name}", workers=[workers[1]]).result()
    finally:
        for worker, folder in before.items():
            client.run(os.chdir, folder, workers=[worker])


def test_unwritten_rows_are_told_before_any_work(client):
    unwritten()
    rows = open_rows("v.h5")
    with pytest.raises(FileFormatError, match="rows 400 to 599 of '/data' were never written"):
        check_visible([rows], client)
    check_visible([rows.rows(slice(0, 400))], client)
    check_visible([rows], client, [(0, 100), (200, 400)])
    found = run("check", "v.h5", "--scheduler", client.scheduler.address)
    assert found.exit_code == 4, found.output
    assert "v.h5: rows 400 to 599 of '/data' were never written" in found.output


@every_layout
def test_what_goes_to_workers_travels(make):
    rows = open_rows(make())
    again, function = pickle.loads(pickle.dumps((rows, sizes_of_parts)))
    np.testing.assert_array_equal(again.read(0, N), X)
    sizes = function(again.parts)
    assert pickle.loads(pickle.dumps(sizes)) == sizes
    assert sizes.pop(os.path.abspath("v.h5")) == os.path.getsize("v.h5")
    assert sizes
    assert all(isinstance(size, int) for size in sizes.values())
    assert len(pickle.dumps(rows)) < 2000
