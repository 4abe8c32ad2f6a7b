"""One topology for most tests in this folder, which are marked and left out unless they are asked for."""

import pytest

from . import table
from .topology import Topology


@pytest.fixture(scope="session")
def topology(tmp_path_factory):
    """Scheduler, two workers of 700 MiB and a notebook, with the data in the volume."""
    folder = tmp_path_factory.mktemp("topology")
    environment = {
        "JUPYTER_TOKEN": "secret",
        "DASK_DISTRIBUTED__WORKER__PRELOAD": "/srv/data/slow_disk.py",
        # Three deaths of workers make an error, not four.
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "2",
    }
    topology = Topology(folder, variables={"DASKELM_WORKER_MEMORY": "700m"}, environment=environment)
    table.write(topology.data)
    with topology:
        yield topology
