"""Faults in the middle of a fit: the model is the undisturbed one, or one clear error comes in time; never a hang."""

import json
import re
import time

import numpy as np
import pytest

from daskelm import ELMRegressor, NormalEquations

from .table import N, X, Y
from .topology import kill, wait_for

pytestmark = pytest.mark.cluster

# Reads of X and y by the workers in an undisturbed fit of tasks of 500 rows.
N_READS = 2 * N // 500

WORK = """
import json, time
from dask.distributed import Client
from daskelm import ELMRegressor, from_hdf5
from daskelm.passes import accumulate as accumulation
from daskelm.passes import resume as resumption

accumulation.rows_per_task = accumulation.block_rows = lambda *sizes: 500
resumption._COMMIT_SECONDS = {commit}


def hog(block):
    held = bytearray(600 * 2**20)
    held[::4096] = bytes(len(held[::4096])).replace(b"\\0", b"x")
    time.sleep(20)
    return block


begin = time.monotonic()
said = {{}}
with Client() as client:
    try:
        model = ELMRegressor({neurons}, alpha=1.0, random_state=0)
        {call}
        said["coef"] = model.coef_.tolist()
    except Exception as error:
        said |= {{"error": type(error).__name__, "text": str(error)}}
    said["seconds"] = time.monotonic() - begin
print(json.dumps(said))
"""
FIT = 'model.fit("X.h5", "Y.h5")'


def script(call=FIT, neurons='[(8, "lin"), (40, "tanh")]', commit=10.0):
    return WORK.format(call=call, neurons=neurons, commit=commit)


@pytest.fixture(scope="module")
def undisturbed():
    return ELMRegressor([(8, "lin"), (40, "tanh")], alpha=1.0, random_state=0).fit(X, Y).coef_


@pytest.fixture(autouse=True)
def all_well(topology):
    """Begin and end with a fast disk, and with both workers at the scheduler."""
    disk(topology, 0)
    yield
    disk(topology, 0)
    whole(topology)


def whole(topology):
    count = """
from dask.distributed import Client
with Client() as client:
    client.wait_for_workers(2, timeout=90)
    print(len(client.scheduler_info(n_workers=-1)["workers"]))
"""
    assert topology.python(count, timeout=120) == 2


def disk(topology, seconds):
    """Set how long a worker waits for its disk."""
    (topology.data / "seconds").write_text(str(seconds))


def n_reads(topology):
    return sum(path.stat().st_size for path in topology.data.glob("reads-*"))


def disturbed(topology, code, fault, when=None, seconds=150):
    """What a script says when `fault` happens in the middle of its work, when a good part is done."""
    before = n_reads(topology)
    disk(topology, 0.3)
    process = topology["notebook"].popen("python", "-c", code)
    try:
        wait_for(when or (lambda: n_reads(topology) - before >= N_READS // 4), 60)
        fault()
        output, errors = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


def assert_undisturbed(said, undisturbed):
    assert "error" not in said, said["text"]
    np.testing.assert_allclose(said["coef"], undisturbed, rtol=0, atol=1e-8 * np.abs(undisturbed).max())


def test_a_worker_is_without_network_for_a_minute(topology, undisturbed):
    lost = topology["worker-1"]
    [before] = lost.processes("dask worker")
    cut = []

    def cable():
        lost.cut()
        cut.append(time.monotonic())

    said = disturbed(topology, script(), cable)
    assert_undisturbed(said, undisturbed)
    time.sleep(max(cut[0] + 60 - time.monotonic(), 0))
    lost.mend()
    whole(topology)
    [after] = lost.processes("dask worker")
    # Its connection was given up on both sides: it has begun anew.
    assert after.pid != before.pid


def test_workers_are_killed(topology, undisturbed):
    def kills():
        # The worker alone, which its nanny starts again; and a container with all that is in it.
        kill(topology["worker-1"].processes("spawn_main")[0])
        topology["worker-2"].stop()
        topology["worker-2"].start()

    said = disturbed(topology, script(), kills)
    assert_undisturbed(said, undisturbed)


def test_the_scheduler_is_restarted(topology, undisturbed):
    sums = topology.data / "scheduler.h5"
    code = script('model.fit("X.h5", "Y.h5", checkpoint="scheduler.h5")', commit=0.5)

    def restart():
        kill(topology["scheduler"].processes("dask scheduler")[0])

    said = disturbed(topology, code, restart, when=sums.exists)
    assert said["error"] == "ClusterError"
    assert said["text"].startswith("The scheduler must run, and keep its tasks, until the work is done; got Future")
    assert "the same call goes on from there" in said["text"]
    assert said["seconds"] < 60
    kept = NormalEquations.load(sums).n_samples
    assert 0 < kept < N
    whole(topology)
    before = n_reads(topology)
    said = json.loads(topology["notebook"].exec("python", "-c", code, timeout=90).stdout)
    assert_undisturbed(said, undisturbed)
    assert n_reads(topology) - before == 2 * (N - kept) // 500


def test_a_worker_is_out_of_memory(topology):
    said = topology.python(script(neurons=8000))
    assert said["error"] == "InsufficientMemoryError"
    assert "for 8000 neurons" in said["text"]
    assert "has 0.55 GiB" in said["text"]
    data = 'model.initialize("X.h5").partial_fit(from_hdf5("X.h5", chunks=N).map_blocks(hog, dtype=float), "Y.h5")'
    said = topology.python(script(data.replace("N", str(N))), timeout=150)
    assert said["error"] == "ClusterError"
    assert "must not end the workers that it runs on; 3 died" in said["text"]
    assert "more memory" in said["text"]
    # The nanny did it, by the limit of the command; nothing else on this machine was touched.
    logs = topology["worker-1"].log() + topology["worker-2"].log()
    assert "95% memory budget" in logs


def test_the_data_folder_vanishes_on_one_worker(topology, undisturbed):
    sums, blind = topology.data / "folder.h5", topology["worker-1"]
    # So long that only the error can make it commit.
    code = script('model.fit("X.h5", "Y.h5", checkpoint="folder.h5")', commit=1000.0)
    said = disturbed(topology, code, lambda: blind.enter("umount", "--lazy", "/srv/data"))
    assert said["error"] == "FileMissingError"
    assert re.match(r"/srv/data/[XY]\.h5: no such file, looked for on worker-1\.", said["text"])
    assert said["seconds"] < 60
    kept = NormalEquations.load(sums).n_samples
    assert 0 < kept < N
    # The next call is refused before any work.
    disk(topology, 0)
    said = topology.python(code)
    assert said["error"] == "FileMissingError"
    assert f"worker(s) tcp://{blind.address}:" in said["text"]
    blind.enter("mount", "--bind", topology.data, "/srv/data")
    before = n_reads(topology)
    assert_undisturbed(topology.python(code), undisturbed)
    assert n_reads(topology) - before == 2 * (N - kept) // 500
