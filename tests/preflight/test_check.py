"""`daskelm check`: what would stop a long job is found before it, with what to do; most failures here are real."""

import contextlib
import os
import pickle
import re
import shlex
import shutil
import sys
from pathlib import Path

import dask
import h5py
import hdf5plugin
import numpy as np
import portalocker
import pytest
from click.testing import CliRunner
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster

import daskelm
from daskelm import ELMRegressor, NormalEquations, make_hdf5
from daskelm.cli import cli
from daskelm.cluster.client import current_client
from daskelm.hdf5.rows import open_rows
from daskelm.passes.memory import Need
from daskelm.preflight import checks as cluster_checks
from daskelm.preflight import facts as cluster_facts
from daskelm.preflight.checks import Job, check_job
from daskelm.preflight.facts import facts_here, samples_of

N, D = 600, 5
RNG = np.random.default_rng(0)
X, T = RNG.standard_normal((N, D)), RNG.standard_normal((N, 2))
CHECKS = ["workers", "versions", "data", "memory", "threads", "disk"]
# A path that means another file in each process, as one does on machines that share nothing.
HERE = "/proc/self/cwd"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_hdf5(X, "X.h5")
    make_hdf5(T, "T.h5")
    return tmp_path


@pytest.fixture
def at(cluster):
    return f"--scheduler {cluster.scheduler_address}"


@contextlib.contextmanager
def on_workers(cluster, change, undo, workers=None):
    """Workers as `change` makes them; all, or the number of the first ones."""
    with Client(cluster, set_as_default=False) as client:
        chosen = list(client.scheduler_info(n_workers=-1)["workers"])[:workers]
        client.run(change, workers=chosen)
        try:
            yield chosen
        finally:
            client.run(undo, workers=chosen)


def check(line=""):
    """Exit code, and (word, text) of each line by the name of its check."""
    result = CliRunner().invoke(cli, ["check", *shlex.split(line)], prog_name="daskelm")
    found = {}
    for told in result.stdout.splitlines():
        word, name, text = told.split(maxsplit=2)
        found.setdefault(name, []).append((word, text))
    return result.exit_code, found


def failures(line):
    """Texts of all that failed, by check; the exit code says that there are some."""
    status, found = check(line)
    assert list(found) == CHECKS
    failed = {name: [text for word, text in lines if word == "FAILED"] for name, lines in found.items()}
    failed = {name: texts for name, texts in failed.items() if texts}
    assert status == (4 if failed else 0)
    return failed


def one_failure(line, name):
    """The one text of the one check that fails."""
    failed = failures(line)
    assert list(failed) == [name]
    [text] = failed[name]
    return text


# What can run


def test_all_is_well_on_a_cluster_and_nothing_is_left_behind(cluster, folder, at, no_client):
    before = os.listdir()
    status, found = check(f"X.h5 T.h5 --into sums.h5 --neurons 3:lin,20:tanh {at}")
    assert (status, list(found)) == (0, CHECKS)
    assert {word for lines in found.values() for word, _ in lines} == {"ok"}
    assert found["workers"] == [("ok", "2 with 2 thread(s), on 1 machine(s).")]
    assert "everywhere" in found["versions"][0][1]
    assert re.fullmatch(r"2 file\(s\), .* sampled in 2 of them read the same on 2 worker\(s\)\.", found["data"][0][1])
    assert "for 23 neurons; the smallest memory limit is 2.00 GiB" in found["memory"][0][1]
    assert os.listdir() == before
    assert current_client() is None


def test_all_is_well_on_this_machine(folder, no_client):
    status, found = check("X.h5 T.h5 --into sums.h5")
    assert (status, list(found)) == (0, CHECKS)
    assert found["workers"] == [("ok", f"1 with {CPU_COUNT} thread(s), on 1 machine(s).")]
    assert "can be read" in found["data"][0][1]
    # All inputs and 200 tanh.
    assert "for 205 neurons" in found["memory"][0][1]


def test_what_is_not_known_is_not_checked(at, folder):
    status, found = check(at)
    assert status == 0
    assert {name for name, [(word, _)] in found.items() if word == "skipped"} == {"data", "memory", "disk"}
    assert found["memory"] == [("skipped", "not checked: no X was given.")]
    status, found = check(f"--into sums.h5 {at}")
    assert status == 0
    assert "the size of the sums is not known without X" in found["disk"][0][1]


@pytest.mark.parametrize(
    ("line", "text"),
    {
        "X.h5 few.h5": "must have the same number of rows; X has 600, T has 10",
        "none.h5": "none.h5: no such file",
        "X.h5 T.h5 --neurons 9:lin": "there are at most as many as inputs",
        "X.h5 T.h5 --targets 0": "'--targets': 0 is not in the range",
        "--scheduler nowhere": "'--scheduler': must be an address such as tcp://nowhere:8786",
    }.items(),
)
def test_mistakes_are_no_findings(folder, line, text):
    make_hdf5(T[:10], "few.h5")
    result = CliRunner().invoke(cli, ["check", *line.split()], prog_name="daskelm")
    assert result.exit_code == 2
    assert text in result.stderr
    assert result.stdout == ""


# Workers and versions


def test_a_cluster_without_workers(folder):
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as empty:
        status, found = check(f"X.h5 T.h5 --scheduler {empty.scheduler_address}")
    assert status == 4
    assert found["workers"][0] == ("FAILED", found["workers"][0][1])
    assert "got none. Start some with dask worker ADDRESS" in found["workers"][0][1]
    assert found["memory"] == found["threads"] == [("skipped", "not checked: there is no worker to ask.")]


def test_another_version_of_anything(cluster, folder, at, monkeypatch):
    mine = cluster_facts._versions()
    monkeypatch.setattr(cluster_facts, "_versions", lambda: mine | {"numpy": "0.1", "code of daskelm": "another"})
    # The scheduler is in this process.
    texts = failures(at)["versions"]
    assert [text.split(" must be the same everywhere")[0] for text in texts] == ["numpy", "code of daskelm"]
    pattern = rf"got 0\.1 here, and {re.escape(mine['numpy'])} on Worker tcp://.*, Worker tcp://.*\. Install the same"
    assert re.search(pattern, texts[0])
    assert "The scheduler" not in texts[0]


def test_a_worker_without_daskelm(cluster, folder, at):
    def remove():
        sys.modules["daskelm.preflight.facts"] = None

    def put_back():
        del sys.modules["daskelm.preflight.facts"]

    with on_workers(cluster, remove, put_back, workers=1) as [address]:
        text = one_failure(f"X.h5 T.h5 {at}", "versions")
    assert text.startswith(f"Worker {address} must be able to run daskelm")
    assert "ModuleNotFoundError" in text
    assert "Install it there, in the environment that the process runs in" in text


def test_a_scheduler_without_daskelm(client, monkeypatch):
    run_there = client.run_on_scheduler

    def run(function, *arguments):
        if function.__module__.partition(".")[0] != "daskelm":
            return run_there(function, *arguments)
        raise ModuleNotFoundError("No module named 'daskelm'")

    monkeypatch.setattr(client, "run_on_scheduler", run)
    [finding] = [finding for finding in check_job(Job([], None), client) if finding.ok is False]
    assert finding.name == "versions"
    assert finding.text.startswith("The scheduler must be able to run daskelm")


# Data


@pytest.fixture
def elsewhere(cluster, folder, tmp_path_factory):
    """A folder that the first worker has in the place of this one."""
    other = str(tmp_path_factory.mktemp("other"))
    with Client(cluster, set_as_default=False) as client:
        before = set(client.run(os.getcwd).values()).pop()
    with (
        on_workers(cluster, lambda: os.chdir(folder), lambda: os.chdir(before)),
        on_workers(cluster, lambda: os.chdir(other), lambda: os.chdir(folder), workers=1) as [address],
    ):
        yield other, address


@pytest.mark.parametrize("what", ["none", "shorter", "same", "others", "garbage"])
def test_data_that_one_worker_sees_otherwise(elsewhere, at, what):
    other, address = elsewhere
    name = f"{other}/X.h5"
    if what == "shorter":
        make_hdf5(X[:-1], name)
    elif what == "garbage":
        with open(name, "wb") as file:
            file.write(bytes(os.path.getsize("X.h5")))
    elif what != "none":
        data = X.copy()
        data[N - 1] += what == "others"
        make_hdf5(data, name)
        assert os.path.getsize(name) == os.path.getsize("X.h5")
    line = f"{HERE}/X.h5 T.h5 {at}"
    if what == "same":
        assert failures(line) == {}
        return
    text = one_failure(line, "data")
    expected = {
        "none": r"must be visible on every worker with [\d,]+ bytes; got no file ",
        "shorter": rf"must be visible .* bytes; got {os.path.getsize(name) if os.path.exists(name) else 0:,} bytes ",
        "others": "must hold the same numbers everywhere; got others in '/data' ",
        "garbage": "must be readable everywhere; got this error ",
    }[what]
    assert re.match(rf"{HERE}/X\.h5 {expected}\(on Worker {address}\)\. ", text)
    assert re.search("cannot be read as HDF5" if what == "garbage" else "folder that all machines share", text)


def test_a_filter_that_a_worker_lacks(cluster, folder, at):
    with h5py.File("packed.h5", "w") as file:
        file.create_dataset("data", data=X, **hdf5plugin.Zstd())

    def remove():
        sys.modules["kept"], sys.modules["hdf5plugin"] = sys.modules.get("hdf5plugin"), None
        h5py.h5z.kept, h5py.h5z.filter_avail = h5py.h5z.filter_avail, lambda code: code < 1000

    def put_back():
        sys.modules.pop("hdf5plugin")
        if (kept := sys.modules.pop("kept")) is not None:
            sys.modules["hdf5plugin"] = kept
        h5py.h5z.filter_avail = h5py.h5z.kept

    assert failures(f"packed.h5 T.h5 {at}") == {}
    with on_workers(cluster, remove, put_back, workers=1) as [address]:
        text = one_failure(f"packed.h5 T.h5 {at}", "data")
    assert f"(on Worker {address})" in text
    assert "HDF5 filter 32015, which is not installed" in text
    assert "pip install 'daskelm[hdf5plugin]'" in text


def test_a_damaged_file_is_found_here_too(folder):
    with h5py.File("torn.h5", "w") as file:
        file.create_dataset("data", data=X, chunks=(100, D), compression="gzip")
        chunk = file["data"].id.get_chunk_info(5)
    with open("torn.h5", "r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(bytes(chunk.size))
    text = one_failure("torn.h5 T.h5", "data")
    assert re.search(r"\(on this process\)\. .*rows \d+ to 5\d\d of '/data' cannot be read; .* damaged", text)


def test_of_many_files_some_are_sampled_the_first_and_the_last_among_them(folder):
    for i in range(150):
        make_hdf5(X[:2], f"part{i}.h5")
    rows = open_rows("part*.h5")
    names = [sample.paths[0] for sample in samples_of([rows, open_rows("T.h5")])]
    assert len(names) == len(set(names)) == 65
    assert [os.path.basename(names[i]) for i in (0, 63, 64)] == ["part0.h5", "part149.h5", "T.h5"]
    assert "150 file(s), " in check("'part*.h5'")[1]["data"][0][1]
    # But the size of all is looked at.
    assert len(facts_here(rows.parts, [])["sizes"]) == 150


# Memory


def test_a_fit_that_does_not_fit(folder, at):
    text = one_failure(f"X.h5 T.h5 --neurons 16000 {at}", "memory")
    assert re.match(
        r"Worker tcp://\S+ \(and 1 more like it\) needs about [2-9]\.\d+ GiB for 16000 neurons .* has 2\.00",
        text,
    )


@pytest.mark.parametrize("n_neurons", [20, 300])
@pytest.mark.parametrize("n_rows", [N, 60_000])
@pytest.mark.parametrize("where", ["client", "no_client"])
def test_memory_is_projected_as_a_fit_does(request, folder, monkeypatch, n_neurons, n_rows, where):
    request.getfixturevalue(where)
    make_hdf5(np.resize(X, (n_rows, D)), "many.h5")
    make_hdf5(np.resize(T, (n_rows, 2)), "targets.h5")
    calls = []
    monkeypatch.setattr(Need, "check", lambda need, memory, where: calls.append((need.work, need.parts, memory)))
    # Folds are left out where they do not fit, so that only one sum is asked for.
    ELMRegressor(n_neurons, alpha=1.0, random_state=0).fit("many.h5", "targets.h5")
    of_fit = [call for call in calls if "gram task" in call[0]]
    calls.clear()
    check_job(Job([open_rows("many.h5"), open_rows("targets.h5")], n_neurons, 2), current_client())
    of_check = calls
    # A fit asks for each worker, and here these are alike.
    assert of_check == of_fit[:1]
    assert all(call == of_check[0] for call in of_fit)
    assert (len(of_fit), len(of_check)) == (2 if where == "client" else 1, 1)


# Threads


def test_blas_threads_beyond_the_cores(cluster, folder, at):
    def many():
        from threadpoolctl import threadpool_limits

        threadpool_limits(16, user_api="blas")

    def one():
        from threadpoolctl import threadpool_limits

        threadpool_limits(1, user_api="blas")

    with on_workers(cluster, many, one, workers=1):
        text = one_failure(f"X.h5 T.h5 {at}", "threads")
    assert re.search(rf"got 17 for {CPU_COUNT} core\(s\), 2 task\(s\) at once\. Set OMP_NUM_THREADS=1", text)


def test_more_workers_than_cores(cluster, folder, at):
    def set_cores(n):
        from daskelm.preflight import facts as cluster_facts

        cluster_facts.CPU_COUNT = n

    with on_workers(cluster, lambda: set_cores(1), lambda: set_cores(CPU_COUNT)):
        text = one_failure(f"X.h5 T.h5 {at}", "threads")
    assert re.search(r"must have a core for each thread of its workers; got 2 threads for 1 core\(s\)\. Start", text)


def test_the_code_that_is_compared_is_that_of_all_folders(tmp_path):
    package = Path(daskelm.__file__).parent
    copy = shutil.copytree(package, tmp_path / "daskelm", ignore=shutil.ignore_patterns("__pycache__"))
    same = cluster_facts.code_digest(package)
    assert cluster_facts.facts_here([], [])["versions"]["code of daskelm"] == same == cluster_facts.code_digest(copy)
    for folder in {path.parent for path in copy.rglob("*.py")}:
        changed = min(folder.glob("*.py"))
        content = changed.read_bytes()
        changed.write_bytes(content + b"#")
        assert cluster_facts.code_digest(copy) != same, folder
        changed.write_bytes(content)
    changed.rename(changed.with_name("renamed.py"))
    assert cluster_facts.code_digest(copy) != same


def test_more_threads_than_cores_here(folder, no_client):
    with dask.config.set(num_workers=CPU_COUNT + 1):
        assert "DASK_NUM_WORKERS" in one_failure("X.h5 T.h5", "threads")


# Disk


def test_a_disk_without_room(folder):
    failed = failures("X.h5 T.h5 --neurons 5000000 --into sums.h5")
    assert list(failed) == ["memory", "disk"]
    assert re.search(r"must have room for a sums file of 90\.\d\d TiB; got .*\. Make room there", failed["disk"][0])


def test_a_folder_that_cannot_be_written_to(folder):
    text = one_failure("X.h5 T.h5 --into none/sums.h5", "disk")
    assert re.search(r"none must be a folder that can be written to; got: No such file or directory\. Create it", text)


@pytest.mark.parametrize("name", ["X.h5", "."])
def test_sums_in_the_place_of_something_else(folder, name):
    text = one_failure(f"X.h5 T.h5 --into {name}", "disk")
    assert "must be a sums file, or not exist yet; got something else" in text


def test_a_disk_without_locks(folder, monkeypatch):
    def no_locks(*arguments):
        raise portalocker.exceptions.LockException("[Errno 38] Function not implemented")

    monkeypatch.setattr(portalocker, "lock", no_locks)
    text = one_failure("X.h5 T.h5 --into sums.h5", "disk")
    assert re.search(r"must have file locks, .*; got none \(\[Errno 38\].*a sums file of its own, with --no-lock", text)
    assert failures("X.h5 T.h5 --into sums.h5 --no-lock") == {}
    assert sorted(os.listdir()) == ["T.h5", "X.h5"]


def test_sums_take_what_was_said_and_little_less(folder, monkeypatch):
    # Twelve columns of numbers make cells of 2^15 rows: 23 of them, and 15 small ones at the beginning.
    n = 750_000
    make_hdf5(np.resize(X.astype(np.float32), (n, D)), "many.h5")
    make_hdf5(np.resize(T.astype(np.float32), (n, 2)), "targets.h5")
    model = ELMRegressor(150, random_state=0).initialize("many.h5")
    model.accumulate("many.h5", "targets.h5", into="sums.h5")
    asked = []
    real = cluster_checks._sums_file_bytes
    monkeypatch.setattr(cluster_checks, "_sums_file_bytes", lambda *sizes: asked.append(real(*sizes)) or 0)
    check_job(Job([open_rows("many.h5"), open_rows("targets.h5")], 150, 2, "sums.h5"))
    assert 0.5 * asked[0] < os.path.getsize("sums.h5") <= asked[0]
    # A file of sums that is there already is none in the way.
    assert NormalEquations.load("sums.h5").n_samples == n
    assert failures("many.h5 targets.h5 --into sums.h5") == {}


def test_what_goes_to_workers_travels(folder):
    rows = open_rows("X.h5")
    function, samples = pickle.loads(pickle.dumps((facts_here, samples_of([rows]))))
    assert function is facts_here
    facts = function(rows.parts, samples)
    assert pickle.loads(pickle.dumps(facts)) == facts
    assert facts["sizes"] == {rows.paths[0]: os.path.getsize("X.h5")}
