"""Hypothesis profiles, and clusters that are started once for all tests."""

import contextlib
import logging
import os
import subprocess
import sys
from pathlib import Path

# This must come before an import of matplotlib: tests have no screen.
os.environ["MPLBACKEND"] = "Agg"

import dask
import pytest
from distributed import Client, LocalCluster
from hypothesis import settings

# "dev" tries the same examples in each run, so that a failure comes from a change of the code. "full" tries new ones.
settings.register_profile("dev", max_examples=25, deadline=None, derandomize=True)
settings.register_profile("full", max_examples=400, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("DASKELM_CAMPAIGN", "dev"))


# As modules with doctests they would all have the one name `conftest`.
collect_ignore_glob = ["*conftest.py"]


def pytest_collection_modifyitems(items):
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("campaign")


@contextlib.contextmanager
def _local_cluster(n_workers):
    """Worker processes of one thread each, reachable from this machine only, on ports that are free."""
    with LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        memory_limit="2GiB",
        silence_logs=logging.ERROR,
    ) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def cluster():
    with _local_cluster(2) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def cluster_of_one():
    with _local_cluster(1) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    """The current client, of two worker processes."""
    with Client(cluster, set_as_default=True) as client:
        yield client


@pytest.fixture
def one_worker(cluster_of_one):
    """The current client, of one worker process."""
    with Client(cluster_of_one, set_as_default=True) as client:
        yield client


@pytest.fixture
def no_client():
    """Dask without a client and without a configured scheduler."""
    with dask.config.set(scheduler=None):
        yield


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the site, built with warnings as errors, as `make docs` does it."""
    out = tmp_path_factory.mktemp("site") / "html"
    command = [sys.executable, "-m", "sphinx", "--quiet", "-W", "--keep-going", "-E", "-c", "docs", "-b", "html"]
    done = subprocess.run([*command, ".", out], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out
