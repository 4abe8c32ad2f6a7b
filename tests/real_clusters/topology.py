"""The services of docker/compose.yaml on one machine without an engine: each in namespaces of its own.

A container here has a network, mounts, process ids and a host name of its own; the environment, command, user, volumes,
secrets and restart policy that the files say; and no capability but that of reading Python's own files, which may lie
where only root may look. The rest of its root file system is this machine's. Its memory limit is shown to it as an
engine would show it, and not enforced.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import yaml

from . import image

DOCKER = image.ROOT / "docker"
VENV = image.ROOT / ".venv-docker"
# Addresses in a network that nothing else is in.
NETWORK, GATEWAY = "10.77.0.{}", "10.77.0.1"
# The user of the image by number, since the name is known there alone.
USER = int(re.search(r"useradd --uid (\d+) ", "\n".join(image.values("RUN")))[1])
CAPABILITIES = "-all,+dac_read_search"


def read_compose(names=("compose.yaml",), variables=None):
    """Compose files as one, the later over the earlier, with their variables filled in as `docker compose` does."""
    variables = variables or {}

    def fill(match):
        if match["name"] is None:
            return "$"
        return variables.get(match["name"]) or match["default"] or ""

    whole = {}
    for name in names:
        text = re.sub(r"\$(?:\$|\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\})", fill, (DOCKER / name).read_text())
        _merge(whole, yaml.safe_load(text))
    return whole


def _merge(into, new):
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            # Aliases of one anchor are one object.
            into[key] = dict(into[key])
            _merge(into[key], value)
        elif isinstance(value, list) and isinstance(into.get(key), list) and key not in ("command", "test"):
            into[key] = [*into[key], *value]
        else:
            into[key] = value


def run(*words, timeout=30, check=True, **options):
    return subprocess.run(
        [str(word) for word in words], timeout=timeout, check=check, text=True, capture_output=True, **options
    )


class Container:
    """One replica of a service; `start` it when all have their addresses."""

    def __init__(self, topology, name, service, number, environment):
        self.topology, self.name, self.service = topology, name, service
        self.address = NETWORK.format(number)
        self.namespace, self.port = f"{topology.prefix}-{name}", f"v{number}"
        self.log_path = topology.folder / f"{name}.log"
        self.process = None
        said = {key: value for key, value in (service.get("environment") or {}).items() if value is not None}
        venv = {"PATH": f"{VENV}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "TMPDIR": "/srv/tmp"}
        self.environment = venv | image.environment() | said | environment

    def plug(self):
        ip, hub = ("ip", "-n", self.namespace), self.topology.hub
        run("ip", "netns", "add", self.namespace)
        peer = ("type", "veth", "peer", "name", "eth0", "netns", self.namespace)
        run("ip", "link", "add", self.port, "netns", hub, *peer)
        run("ip", "-n", hub, "link", "set", self.port, "master", "bridge", "up")
        run(*ip, "addr", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            run(*ip, "link", "set", device, "up")

    def start(self):
        script = "\n".join(["set -eu", *self._mounts(), *self._service()])
        with self.log_path.open("ab") as log:
            # The shell is process 1 of the container: all others end with it.
            self.process = subprocess.Popen(
                # If this process is killed, so is the container.
                ["setpriv", "--pdeathsig=KILL", "ip", "netns", "exec", self.namespace]
                + ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _mounts(self):
        """Shell that gives the container its name and files; mounts are seen by nobody else."""
        yield f"hostname {self.name}"
        for top in ("/srv", "/run"):
            yield f"mount -t tmpfs -o mode=755 tmpfs {top}"
        yield f"install -d -o {USER} {image.environment()['HOME']}"
        yield "install -d -m 1777 /srv/tmp"
        for source, target in self._shared():
            place = shlex.quote(target)
            yield f"mkdir -p {place}" if os.path.isdir(source) else f"install -D /dev/null {place}"
            yield f"mount --bind {shlex.quote(str(source))} {place}"
        yield f"mount --bind {shlex.quote(str(self.topology.hosts))} /etc/hosts"
        limits = self.service.get("deploy", {}).get("resources", {}).get("limits", {})
        if "memory" in limits:
            number, unit = re.fullmatch(r"(\d+)([mg])", limits["memory"]).groups()
            size = int(number) * {"m": 2**20, "g": 2**30}[unit]
            yield f"mount -t tmpfs tmpfs /sys/fs/cgroup && echo {size} > /sys/fs/cgroup/memory.max"

    def _shared(self):
        """(path here, path in the container) of volumes and secrets."""
        for volume in self.service.get("volumes", []):
            source, target = volume.split(":")
            yield self.topology.volumes[source], target
        for secret in self.service.get("secrets", []):
            file = self.topology.compose["secrets"][secret]["file"]
            yield self.topology.secrets / Path(file).name, f"/run/secrets/{secret}"

    def _as_user(self, command):
        user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs"]
        capabilities = [f"--{kind}={CAPABILITIES}" for kind in ("bounding-set", "inh-caps", "ambient-caps")]
        pairs = [f"{key}={value}" for key, value in self.environment.items()]
        return [*user, *capabilities, "env", "-i", *pairs, *command]

    def _service(self):
        yield f"cd {image.values('WORKDIR')[-1]}"
        command = shlex.join(self._as_user(self.service["command"]))
        if self.service.get("restart") == "unless-stopped":
            yield f"while true; do {command} || true; echo '--- ended; started again'; sleep 0.5; done"
        else:
            yield command

    @property
    def pid(self):
        """Id of process 1 of the container, as seen from outside."""
        [child] = wait_for(psutil.Process(self.process.pid).children, 10)
        return child.pid

    def processes(self, word=""):
        """Processes of the service whose command line holds a word, parents first."""
        found = psutil.Process(self.pid).children(recursive=True)
        with contextlib.suppress(psutil.NoSuchProcess):
            return [process for process in found if word in " ".join(process.cmdline())]
        return self.processes(word)

    def enter(self, *command):
        """Run a command in the container as root of this machine."""
        return run("nsenter", "-t", self.pid, "-m", "-u", "-n", "-p", "--", *command)

    def popen(self, *command):
        """`docker compose exec`: a command in the container as its user, in its environment."""
        inside = f"cd {image.values('WORKDIR')[-1]} && exec {shlex.join(self._as_user(command))}"
        entering = ["nsenter", "-t", str(self.pid), "-m", "-u", "-n", "-p", "--", "sh", "-c", inside]
        return subprocess.Popen(entering, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def exec(self, *command, timeout=60):
        """The same to its end."""
        process = self.popen(*command)
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def healthy(self):
        kind, *command = self.service["healthcheck"]["test"]
        if kind != "CMD":
            raise ValueError(f"a health check must be CMD, got {kind}")
        return self.exec(*command).returncode == 0

    def wait_healthy(self, seconds=90):
        wait_for(self.healthy, seconds, lambda: f"{self.name} is not healthy:\n{self.log()}")

    def cut(self):
        """Take the container's cable out: nobody is told that its connections are dead."""
        run("ip", "-n", self.topology.hub, "link", "set", self.port, "down")

    def mend(self):
        run("ip", "-n", self.topology.hub, "link", "set", self.port, "up")

    def stop(self):
        """End all processes of the container, at once."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)

    def log(self):
        return self.log_path.read_text() if self.log_path.exists() else ""


class Topology:
    """The containers of compose files; a context in which they run.

    Parameters
    ----------
    folder : Path
        For the shared volume, logs and whatever else is needed.
    names : tuple of str
        Compose files.
    variables : dict
        Variables of these, as they would be set in the shell.
    environment : dict
        Variables for all containers, beside those of the files.
    scale : dict
        Replicas of services, where it is not what the files say.
    """

    def __init__(self, folder, names=("compose.yaml",), variables=None, environment=None, scale=None):
        self.folder, self.compose = folder, read_compose(names, variables)
        self.prefix = f"daskelm-{os.getpid()}-{folder.name}"
        self.hub = f"{self.prefix}-hub"
        self.secrets = folder / "certificates"
        self.data = folder / "data"
        self.volumes = {"data": self.data}
        self.hosts = folder / "hosts"
        # As a new volume it takes over the owner that its folder has in the image.
        self.data.mkdir()
        os.chown(self.data, USER, USER)
        self.containers = {}
        for service_name, service in self.compose["services"].items():
            replicas = (scale or {}).get(service_name, service.get("deploy", {}).get("replicas", 1))
            for i in range(replicas):
                name = service_name if replicas == 1 else f"{service_name}-{i + 1}"
                number = len(self.containers) + 2
                self.containers[name] = Container(self, name, service, number, environment or {})

    def __getitem__(self, name):
        return self.containers[name]

    def of(self, service):
        return [c for c in self.containers.values() if c.service is self.compose["services"][service]]

    def __enter__(self):
        try:
            self._prepare()
            for container in sorted(self.containers.values(), key=lambda c: len(c.service.get("depends_on", {}))):
                self._wait_for_those_before(container.service)
                container.start()
            for container in self.containers.values():
                container.wait_healthy()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _prepare(self):
        if shutil.which("ip") is None or os.geteuid() != 0:
            raise RuntimeError("network namespaces need root and the command ip: as root, .ci/packages")
        if image.state(VENV).get("digest") != image.digest():
            raise RuntimeError("what the Dockerfile installs is missing, or old: make .venv-docker/.done")
        lines = ["127.0.0.1 localhost"]
        lines += [f"{c.address} {name}" for name, c in self.containers.items()]
        self.hosts.write_text("\n".join(lines) + "\n")
        run("ip", "netns", "add", self.hub)
        run("ip", "-n", self.hub, "link", "add", "bridge", "type", "bridge")
        run("ip", "-n", self.hub, "addr", "add", f"{GATEWAY}/24", "dev", "bridge")
        for device in ("lo", "bridge"):
            run("ip", "-n", self.hub, "link", "set", device, "up")
        for container in self.containers.values():
            container.plug()

    def _wait_for_those_before(self, service):
        for name, rule in service.get("depends_on", {}).items():
            if rule != {"condition": "service_healthy"}:
                raise ValueError(f"unknown condition {rule}")
            for container in self.of(name):
                container.wait_healthy()

    def __exit__(self, *error):
        for container in self.containers.values():
            container.stop()
        for namespace in self.namespaces():
            run("ip", "netns", "del", namespace)

    def namespaces(self):
        """Those that there are of this topology."""
        names = [line.split()[0] for line in run("ip", "netns", "list").stdout.splitlines()]
        return [name for name in names if name.startswith(f"{self.prefix}-")]

    def host(self, *command, timeout=60):
        """Run a command on the machine that the containers are on, as far as the network goes."""
        return run("ip", "netns", "exec", self.hub, *command, timeout=timeout)

    def python(self, code, name="notebook", timeout=90):
        """What a script says as JSON in its last line, run in a container."""
        done = self[name].exec("python", "-c", code, timeout=timeout)
        if done.returncode:
            raise RuntimeError(f"{done.stdout}\n{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])


def wait_for(happened, seconds, message=lambda: ""):
    """Wait until a function gives something true, and give that; `message` says what is wrong if it does not."""
    end = time.monotonic() + seconds
    while True:
        if value := happened():
            return value
        if time.monotonic() > end:
            raise TimeoutError(message())
        time.sleep(0.2)


def kill(process):
    """Kill one process that a container started."""
    os.kill(process.pid, signal.SIGKILL)
