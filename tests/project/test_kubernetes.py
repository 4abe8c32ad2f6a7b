"""The manifests for Kubernetes, as far as they can be checked without one (docs/kubernetes.md says so)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from dask.utils import parse_bytes
from distributed.cli import dask_scheduler, dask_worker

from daskelm import load, make_hdf5
from daskelm.passes.memory import PassSizes

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "kubernetes.md"
FOLDER = ROOT / "docs" / "kubernetes"
DATA = "/srv/data"
MANIFESTS = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.yaml"))}
CLUSTER, GROUP, JOB, CLAIM, POLICY = (
    MANIFESTS[name] for name in ("cluster", "large-workers", "job", "data", "network-policy")
)
PODS = {
    "worker": CLUSTER["spec"]["worker"]["spec"],
    "scheduler": CLUSTER["spec"]["scheduler"]["spec"],
    "large worker": GROUP["spec"]["worker"]["spec"],
    "client": JOB["spec"]["template"]["spec"],
}
CONTAINERS = {name: container for name, pod in PODS.items() for container in pod["containers"]}
WORKERS = ["worker", "large worker"]

# What the definitions of the Dask operator (2025.4.3) and of Kubernetes require, and the types of what is used here.
REQUIRED = {
    ("kubernetes.dask.org/v1", "DaskCluster"): {
        "spec.worker.spec.containers": list,
        "spec.worker.replicas": int,
        "spec.scheduler.spec.containers": list,
        "spec.scheduler.service.ports": list,
        "spec.scheduler.service.selector": dict,
    },
    ("kubernetes.dask.org/v1", "DaskWorkerGroup"): {
        "spec.cluster": str,
        "spec.worker.spec.containers": list,
        "spec.worker.replicas": int,
    },
    ("v1", "PersistentVolumeClaim"): {"spec.accessModes": list, "spec.resources.requests.storage": str},
    ("batch/v1", "Job"): {"spec.template.spec.containers": list, "spec.template.spec.restartPolicy": str},
    ("networking.k8s.io/v1", "NetworkPolicy"): {"spec.podSelector": dict, "spec.ingress": list},
}
# Labels that the operator sets on pods.
LABELS = {"dask.org/cluster-name": "daskelm", "dask.org/component": "scheduler"}

every_container = pytest.mark.parametrize("name", CONTAINERS)


def at(value, path):
    for key in path.split("."):
        value = value[key]
    return value


@pytest.mark.parametrize("name", MANIFESTS)
def test_required_fields_are_there(name):
    manifest = MANIFESTS[name]
    for path, kind in REQUIRED[manifest["apiVersion"], manifest["kind"]].items():
        assert isinstance(at(manifest, path), kind), path
        assert at(manifest, path) or kind is int, path
    # What the operator and the names of services take, "-scheduler" added.
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", manifest["metadata"]["name"])
    assert len(manifest["metadata"]["name"]) <= 53


def test_the_page_names_every_manifest_and_says_that_nothing_was_run():
    text = PAGE.read_text(encoding="utf-8")
    for path in FOLDER.iterdir():
        assert f"(kubernetes/{path.name})" in text
    assert "**Not run**" in text
    for block in re.findall(r"```console\n(.*?)```", text, re.S):
        for command in block.replace("\\\n", "").splitlines():
            assert command.endswith("# not run")
            files = re.findall(r"-f (\S+)", command)
            assert all((ROOT / file).is_file() for file in files if file.endswith(".yaml"))


@every_container
def test_all_are_one_image_user_and_folder(name):
    container, worker = CONTAINERS[name], CONTAINERS["worker"]
    assert container["image"] == worker["image"]
    assert PODS[name]["securityContext"] == PODS["worker"]["securityContext"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container.get("volumeMounts", [])}
    claimed = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in PODS[name].get("volumes", [])
        if "persistentVolumeClaim" in volume
    }
    assert set(mounted) == {volume["name"] for volume in PODS[name].get("volumes", [])}
    if name == "scheduler":
        assert mounted == {}
        return
    assert container["workingDir"] == mounted["data"] == DATA
    assert claimed == {"data": CLAIM["metadata"]["name"]}
    assert CLAIM["spec"]["accessModes"] == ["ReadWriteMany"]


def test_names_agree():
    name = CLUSTER["metadata"]["name"]
    service = CLUSTER["spec"]["scheduler"]["service"]
    assert service["selector"] == LABELS
    assert name == LABELS["dask.org/cluster-name"] == GROUP["spec"]["cluster"]
    ports = {port["name"]: port["containerPort"] for port in CONTAINERS["scheduler"]["ports"]}
    assert ports == {"tcp-comm": 8786, "http-dashboard": 8787}
    assert {port["targetPort"]: port["port"] for port in service["ports"]} == ports
    for probe in ("readinessProbe", "livenessProbe"):
        assert CONTAINERS["scheduler"][probe]["httpGet"]["port"] in ports
    # The operator names the service so.
    [address] = [item["value"] for item in CONTAINERS["client"]["env"] if item["name"] == "SCHEDULER"]
    assert address == f"tcp://{name}-scheduler:{ports['tcp-comm']}"
    assert address in PAGE.read_text(encoding="utf-8")


def test_the_policy_lets_in_who_should_come_in():
    selected = POLICY["spec"]["podSelector"]["matchLabels"]
    assert selected.items() <= LABELS.items()
    [rule] = POLICY["spec"]["ingress"]
    pods = [peer["podSelector"]["matchLabels"] for peer in rule["from"] if "podSelector" in peer]
    assert pods == [selected, JOB["spec"]["template"]["metadata"]["labels"]]
    [namespace] = [peer["namespaceSelector"]["matchLabels"] for peer in rule["from"] if "namespaceSelector" in peer]
    assert f"--namespace {namespace['kubernetes.io/metadata.name']} " in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["scheduler", *WORKERS])
def test_dask_takes_the_arguments(name):
    program, *arguments = CONTAINERS[name]["args"]
    assert program == "dask"
    command = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}[arguments.pop(0)]
    options = command.make_context("dask", arguments).params
    if name == "scheduler":
        assert (options["port"], options["dashboard_address"]) == ("8786", ":8787")
        return
    assert options["name"] == "$(DASK_WORKER_NAME)"
    mounts = {mount["mountPath"] for mount in CONTAINERS[name]["volumeMounts"]}
    assert options["local_directory"] in mounts - {DATA}
    limits = CONTAINERS[name]["resources"]["limits"]
    assert limits == CONTAINERS[name]["resources"]["requests"]
    assert options["nthreads"] == int(limits["cpu"])


def capacity(name, n_neurons, n_features=100, n_targets=1):
    """Checks that a worker holds so many neurons, a task in each thread."""
    container = CONTAINERS[name]
    options = dask_worker.main.make_context("dask", container["args"][2:]).params
    memory = parse_bytes(container["resources"]["limits"]["memory"] + "B") * float(options["memory_limit"])
    sizes = PassSizes.of_pass(n_neurons, n_features, n_targets, 1000, options["nthreads"])
    sizes.need.check(int(memory), name)


def test_the_job_fits_into_the_workers_and_more_into_the_large_ones():
    asked = set(re.findall(r"--neurons (\d+)", CONTAINERS["client"]["args"][0]))
    assert len(asked) == 1
    capacity("worker", int(asked.pop()))
    with pytest.raises(MemoryError):
        capacity("worker", 20_000)
    capacity("large worker", 20_000)


@pytest.mark.full
def test_the_script_of_the_job_runs_as_it_is_written(cluster, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3000, 5))
    make_hdf5(X, tmp_path / "dataX.h5")
    make_hdf5(np.sin(X[:, :1]), tmp_path / "dataT.h5")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "daskelm").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m daskelm "$@"\n')
    (programs / "daskelm").chmod(0o755)
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SCHEDULER": cluster.scheduler_address,
    }
    client = CONTAINERS["client"]
    run = subprocess.run(
        [*client["command"], *client["args"]],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "3000 rows added" in run.stdout
    assert load(tmp_path / "solved.h5").score(X, np.sin(X[:, :1])) > 0.99
