"""Parquet files on a cluster: what travels, what workers import, what they do not see, and what they hold."""

import os
import pickle
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from distributed import Client, LocalCluster
from parquet_tables import FRAME, NAMES, N, X, arrow, parquet, y

from daskelm import ELMRegressor, from_parquet
from daskelm.cli import cli
from daskelm.data.from_hdf5 import check_visible
from daskelm.exceptions import FileMissingError, InsufficientMemoryError
from daskelm.hdf5.dataset import sizes_of_parts
from daskelm.parquet.rows import open_rows
from daskelm.passes.memory import PassSizes, block_rows, held_bytes, split_every

pytestmark = pytest.mark.usefixtures("empty_folder")


def model():
    return ELMRegressor(8, alpha=1.0, random_state=0)


@pytest.mark.parametrize("make", [parquet, arrow])
def test_what_goes_to_workers_travels(make):
    rows = open_rows(make(), NAMES)
    again, function = pickle.loads(pickle.dumps((rows, sizes_of_parts)))
    assert again == rows
    np.testing.assert_array_equal(again.read(0, N), X)
    assert function(again.parts) == {rows.paths[0]: os.path.getsize(rows.paths[0])}
    assert len(pickle.dumps(rows)) < 1500
    # So it does where there are thousands of row groups.
    assert len(pickle.dumps(open_rows(make(group=1), NAMES))) < 1500


def test_files_that_a_worker_does_not_see_are_named_before_any_work(client, tmp_path):
    here = "/proc/self/cwd"
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
        parquet(folder / "table.parquet")
    os.chdir(folders[0])
    rows = open_rows(f"{here}/table.parquet", NAMES)
    workers = list(client.scheduler_info()["workers"])
    before = client.run(os.getcwd)
    try:
        for worker, folder in zip(workers, folders, strict=True):
            client.run(os.chdir, str(folder), workers=[worker])
        check_visible([rows], client)
        os.remove(folders[1] / "table.parquet")
        for data in (rows, from_parquet(f"{here}/table.parquet", NAMES)):
            with pytest.raises(FileMissingError, match=f"table.parquet must be visible on every worker.*{workers[1]}"):
                model().fit(data, y)
        found = CliRunner().invoke(
            cli, ["check", f"{here}/table.parquet::[a,b,c]", "--scheduler", client.scheduler.address]
        )
        assert found.exit_code == 4
        assert "table.parquet must be visible on every worker" in found.output
        assert "pyarrow" not in found.output
    finally:
        for worker, folder in before.items():
            client.run(os.chdir, folder, workers=[worker])


def test_workers_import_neither_pandas_nor_scikit_learn(tmp_path):
    path = str(tmp_path / parquet())
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        fitted = model().fit(from_parquet(path, NAMES), from_parquet(path, "y"))
        assert heavy_packages(client) == ["pyarrow"]
        assert fitted.predict(from_parquet(path, NAMES)).compute().shape == (N,)
        fitted.predict(from_parquet(path, NAMES), out="p.parquet")
        assert "sklearn" not in heavy_packages(client)


def heavy_packages(client):
    names = "('sklearn', 'pandas', 'dask.array', 'pyarrow')"
    (loaded,) = client.run(eval, f"[name for name in {names} if name in __import__('sys').modules]").values()
    return loaded


def peak_bytes():
    """Largest resident size of this process so far (Linux)."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()).group(1))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the peak")
@pytest.mark.parametrize("n_columns", [20, pytest.param(200, marks=pytest.mark.full)])
def test_memory_is_projected_and_does_not_grow_with_the_row_group(n_columns):
    """A row group of 320 MB, whose pages are unpacked one by one."""
    n_rows, n_neurons = 40_000_000 // n_columns, 300
    path = "large.parquet"
    names = [f"x{i}" for i in range(n_columns)]
    random = np.random.default_rng(0)
    pd.DataFrame(random.standard_normal((n_rows, n_columns)), columns=names).to_parquet(path, row_group_size=n_rows)
    x, t = from_parquet(path), from_parquet(path, names[:2])
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", memory_limit="2GiB"
        ) as cluster,
        Client(cluster) as client,
    ):
        client.run(import_module, "daskelm.estimators.regressor")
        client.run(import_module, "pyarrow.parquet")
        drawn = ELMRegressor(n_neurons, alpha=1.0, random_state=0).initialize(from_parquet(path, rows=slice(0, 1000)))
        drawn.accumulate(x, t)
        (measured,) = client.run(peak_bytes).values()
    step, every = block_rows(n_neurons, n_columns), split_every(n_neurons)
    need = PassSizes(
        n_neurons, n_columns, 2, step, 1, every, held_bytes(open_rows(path), open_rows(path, names[:2]))
    ).need
    assert measured <= need.total <= 1.3 * measured, (measured / 2**20, need.total / 2**20)


def test_pages_that_do_not_fit_are_refused_with_both_numbers():
    rows = 200_000
    frame = pd.DataFrame({f"x{i}": np.random.default_rng(i).standard_normal(rows) for i in range(60)})
    frame.to_parquet("wide.parquet", row_group_size=rows)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", memory_limit="300MiB"
        ) as cluster,
        Client(cluster),
        pytest.raises(InsufficientMemoryError, match=r"needs about 0.\d\d GiB .* and has 0.29 GiB"),
    ):
        model().fit(from_parquet("wide.parquet"), FRAME["y"].sample(rows, replace=True).to_numpy())
