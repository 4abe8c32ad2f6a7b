"""The real commands of the services, in namespaces of their own: fit, predict, lose a worker, with and without TLS."""

import json
import re
import subprocess

import numpy as np
import pytest

from daskelm import ELMRegressor, from_hdf5

from . import image, table
from .table import N, X, Y
from .topology import DOCKER, USER, VENV, Topology, run, wait_for

pytestmark = pytest.mark.cluster

FIT = """
import json
from dask.distributed import Client
from daskelm import ELMRegressor

with Client() as client:
    client.wait_for_workers({n_workers}, timeout=60)
    versions = client.get_versions(check=True)
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    model = ELMRegressor([(8, "lin"), (40, "tanh")], alpha=1.0, random_state=0).fit("X.h5", "Y.h5")
    model.predict("X.h5", out="{out}")
    print(json.dumps({{
        "address": client.scheduler.address,
        "hosts": sorted(worker["host"] for worker in workers),
        "limits": [worker["memory_limit"] for worker in workers],
        "threads": [worker["nthreads"] for worker in workers],
        "pythons": [host["host"]["python"] for host in [versions["scheduler"], *versions["workers"].values()]],
        "n_samples": model.normal_equations_.n_samples,
        "score": model.score("X.h5", "Y.h5"),
    }}))
"""


@pytest.fixture(scope="module")
def expected():
    return ELMRegressor([(8, "lin"), (40, "tanh")], alpha=1.0, random_state=0).fit(X, Y)


def check_predictions(path, expected):
    found, wanted = from_hdf5(path).compute(), expected.predict(X)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-8 * np.abs(wanted).max())


def test_the_steps_of_the_image_gave_what_is_pinned():
    packages = {}
    for line in image.state(VENV)["packages"]:
        name, _, version = line.partition("==")
        packages[name.lower().replace("_", "-")] = version
    pins = dict(line.split("==") for line in (image.ROOT / "constraints.txt").read_text().splitlines())
    pinned = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    loose = {name for name, version in packages.items() if version and pinned.get(name) != version}
    # Those that come with every environment.
    assert loose <= {"pip", "setuptools"}
    assert {"jupyterlab", "bokeh", "matplotlib", "hdf5plugin", "pandas"} <= packages.keys()
    run(VENV / "bin" / "python", "-m", "pip", "check", timeout=60)
    # Not the working tree, but what was copied.
    where = run(VENV / "bin" / "python", "-I", "-c", "import daskelm; print(daskelm.__file__)").stdout
    assert where.startswith(str(VENV))


def test_fit_and_predict(topology, expected):
    found = topology.python(FIT.format(n_workers=2, out="Y1.h5"))
    assert found["address"] == "tcp://scheduler:8786"
    assert found["hosts"] == [container.address for container in topology.of("worker")]
    assert found["n_samples"] == N
    assert found["score"] == pytest.approx(expected.score(X, Y), abs=1e-9)
    assert len(set(found["pythons"])) == 1
    # The part of the container's memory that its command says.
    assert found["limits"] == [int(0.8 * 700 * 2**20)] * 2
    assert found["threads"] == [1, 1]
    check_predictions(topology.data / "Y1.h5", expected)


def test_no_service_is_root_or_may_become_it(topology):
    for name, container in topology.containers.items():
        for process in container.processes():
            assert set(process.uids()) == {USER}, name
        status = container.exec("cat", "/proc/self/status").stdout
        assert "NoNewPrivs:\t1" in status
        [rights] = re.findall(r"CapBnd:\t(\w+)", status)
        assert int(rights, 16) == 1 << 2
        assert container.exec("hostname").stdout.strip() == name
        assert container.exec("id", "-u").stdout.strip() == str(USER)
        assert container.exec("touch", "/srv/data/written").returncode == 0
        assert container.exec("touch", "/srv/written", "/etc/written").returncode != 0


def test_containers_are_apart_and_the_machine_sees_what_is_published(topology):
    for container in topology.containers.values():
        route = container.exec("ip", "route").stdout.splitlines()
        assert len(route) == 1
        devices = json.loads(container.exec("ip", "-json", "link").stdout)
        assert sorted(device["ifname"] for device in devices) == ["eth0", "lo"]
    fetch = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=10).status)"
    for name, path in (("scheduler", "status"), ("notebook", "api")):
        [published] = topology[name].service["ports"]
        url = f"http://{topology[name].address}:{published.rpartition(':')[2]}/{path}"
        assert topology.host(VENV / "bin" / "python", "-c", fetch, url).stdout == "200\n"


KERNEL = """
import sys
import uuid

import requests
from websocket import create_connection

base, code = sys.argv[1], sys.stdin.read()
assert requests.get(f"http://{base}/api/kernels", timeout=10).status_code == 403
token = {"Authorization": "token secret"}
assert requests.get(f"http://{base}/lab", headers=token, timeout=30).status_code == 200
kernel = requests.post(f"http://{base}/api/kernels", headers=token, timeout=60).json()["id"]
socket = create_connection(f"ws://{base}/api/kernels/{kernel}/channels", header=token, timeout=90)
header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "", "session": "s", "version": "5.3"}
content = {"code": code, "silent": False}
import json

socket.send(json.dumps({"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}))
while True:
    message = json.loads(socket.recv())
    if message["parent_header"].get("msg_id") != header["msg_id"]:
        continue
    if message["msg_type"] == "stream":
        print(message["content"]["text"], end="")
    elif message["msg_type"] == "execute_reply":
        assert message["content"]["status"] == "ok", message["content"]
        break
socket.close()
assert requests.delete(f"http://{base}/api/kernels/{kernel}", headers=token, timeout=30).status_code == 204
"""


def test_a_notebook_kernel_fits_on_the_workers(topology, expected):
    base = f"{topology['notebook'].address}:8888"
    command = ["ip", "netns", "exec", topology.hub, VENV / "bin" / "python", "-c", KERNEL, base]
    done = subprocess.run(
        command, input=FIT.format(n_workers=2, out="Y2.h5"), capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr + topology["notebook"].log()
    last = [line for line in done.stdout.splitlines() if line.startswith("{")][-1]
    assert json.loads(last)["n_samples"] == N
    check_predictions(topology.data / "Y2.h5", expected)


def test_a_container_that_is_gone_is_replaced_or_not_missed(topology, expected):
    gone = topology["worker-2"]
    assert gone.healthy()
    gone.stop()
    found = topology.python(FIT.format(n_workers=1, out="Y3.h5"))
    assert found["n_samples"] == N
    check_predictions(topology.data / "Y3.h5", expected)
    gone.start()
    gone.wait_healthy()
    wait_for(lambda: topology.python(N_WORKERS) == 2, 60)


N_WORKERS = """
from dask.distributed import Client
with Client() as client:
    print(len(client.scheduler_info(n_workers=-1)["workers"]))
"""

REFUSED = """
import json
from dask.distributed import Client

try:
    Client("tcp://scheduler:8786", timeout=5)
except Exception as error:
    print(json.dumps(f"{type(error).__name__}: {error}"))
"""

NO_WORKERS = """
import json, time
from daskelm import ELMRegressor
from daskelm.exceptions import ClusterError
from dask.distributed import Client

with Client() as client:
    begin = time.monotonic()
    try:
        ELMRegressor(10, random_state=0).fit("X.h5", "Y.h5")
    except ClusterError as error:
        print(json.dumps([str(error), time.monotonic() - begin]))
"""


def test_tls_and_a_cluster_without_workers(tmp_path, expected):
    said = run(DOCKER / "certificates.sh", tmp_path / "certificates").stdout
    assert "certificate.pem" in said
    assert sorted(path.name for path in (tmp_path / "certificates").iterdir()) == [
        "ca.pem",
        "certificate.pem",
        "key.pem",
    ]
    assert (tmp_path / "certificates").stat().st_mode & 0o777 == 0o700
    topology = Topology(
        tmp_path,
        ("compose.yaml", "compose.tls.yaml"),
        variables={"DASKELM_NO_WORKERS_TIMEOUT": "5s"},
        environment={"JUPYTER_TOKEN": "secret"},
        scale={"worker": 1},
    )
    table.write(topology.data)
    with topology:
        found = topology.python(FIT.format(n_workers=1, out="Y4.h5"))
        assert found["address"] == "tls://scheduler:8786"
        check_predictions(topology.data / "Y4.h5", expected)
        assert "tls://" in topology["worker"].log()
        assert re.match("RuntimeError: encryption required|OSError: ", topology.python(REFUSED))
        topology["worker"].stop()
        text, seconds = topology.python(NO_WORKERS)
        assert text.startswith("The cluster must have workers; for 5 s it had none")
        assert seconds < 60
    assert topology.namespaces() == []
