"""A real Slurm on this machine alone: munged, slurmctld and slurmd by hand, with files, ports and a key of their own.

Needs Debian's packages slurm-wlm and munge, or the same programs from elsewhere; neither root nor systemd nor cgroups.
A Slurm that the machine may be part of is left alone: commands find this one by SLURM_CONF.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "scontrol", "sinfo", "squeue")
PARTITION = "normal"
# More than there are: what jobs ask for is what recipes say, and they may share the cores.
N_CPUS, MEMORY_MIB = 16, 32_000
# Job arrays and their tasks end in one of these.
ENDED = {"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"}

CONFIGURATION = """\
ClusterName=daskelm
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A requeued job waits as long as the credentials of its last start are good: 120 s, or these; less than 5 is ignored.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
PlugStackConfig=/dev/null
MailProg=/bin/true
# No cgroups: containers often have none.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=1000
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=3
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={n_cpus} RealMemory={memory}
PartitionName={partition} Nodes=ALL Default=YES
"""


class Slurm:
    """A running Slurm: `environment` is what its commands need to find it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        self.daemons: dict[str, subprocess.Popen] = {}

    def run(self, *command: str, timeout: float = 60) -> str:
        """What a command prints; an error with all that it said if it fails."""
        done = subprocess.run(
            [program(command[0]), *command[1:]],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def states(self, job: str) -> set[str]:
        """States of a job, of all tasks of an array ("7"), or of one ("7_1")."""
        states = set(self.run("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T").split())
        return states or {"UNKNOWN"}

    def wait(self, job: str, states=frozenset({"COMPLETED"}), seconds: float = 120) -> None:
        """Until all tasks of a job are in one of these states; an error if they end in another."""
        end = time.monotonic() + seconds
        while not (now := self.states(job)) <= states:
            if time.monotonic() > end or now <= ENDED:
                raise RuntimeError(f"job {job} is {now}, not {set(states)}, after {seconds} s at most")
            time.sleep(0.2)

    def start(self, name: str, *arguments: str) -> None:
        with open(self.folder / f"{name}.log", "w") as log:
            # Slurm's own processes for jobs inherit this environment too.
            self.daemons[name] = subprocess.Popen(
                [program(name), *arguments], env=os.environ | self.environment, stdout=log, stderr=log
            )

    def wait_until_idle(self, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while True:
            for name, process in self.daemons.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended:\n{(self.folder / f'{name}.log').read_text()}")
            with contextlib.suppress(RuntimeError):
                if self.run("sinfo", "--noheader", "--format=%T").strip() == "idle":
                    return
            if time.monotonic() > end:
                raise RuntimeError(f"no node is ready after {seconds} s:\n{(self.folder / 'slurmd.log').read_text()}")
            time.sleep(0.2)

    def cancel_all(self, seconds: float = 30) -> None:
        """End all jobs, and wait until they have ended."""
        end = time.monotonic() + seconds
        while (jobs := self.run("squeue", "--noheader", "--format=%A").split()) and time.monotonic() < end:
            self.run("scancel", *set(jobs))
            time.sleep(0.5)

    def stop(self) -> None:
        try:
            if len(self.daemons) == 3:
                with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                    self.cancel_all()
        finally:
            for process in reversed(self.daemons.values()):
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            for process in self.left():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    def left(self) -> list[psutil.Process]:
        """Processes of this Slurm that outlived it: they alone know its configuration."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("SLURM_CONF") == self.environment["SLURM_CONF"]:
                    found.append(process)
        return found


def program(name: str) -> str:
    """Path of a program; daemons are often not on the PATH of users."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    if found is None:
        raise RuntimeError(f"{name} is not installed: apt-get install slurm-wlm munge, or what has {PROGRAMS}")
    return found


def free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def running_slurm():
    """A Slurm of one node, idle, that ends with all its jobs."""
    # Not below a folder of pytest's: names of sockets have 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="daskelm-slurm-"))
    slurm = Slurm(folder)
    try:
        # munged wants every user to reach its socket.
        folder.chmod(0o755)
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(128))
        controller_port, node_port = free_ports(2)
        (folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                host=socket.gethostname().partition(".")[0],
                user=pwd.getpwuid(os.geteuid()).pw_name,
                folder=folder,
                controller_port=controller_port,
                node_port=node_port,
                n_cpus=N_CPUS,
                memory=MEMORY_MIB,
                partition=PARTITION,
            )
        )
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed", "log-file": "own-log"}
        slurm.start("munged", "--foreground", *(f"--{name}={folder}/munge.{end}" for name, end in files.items()))
        slurm.start("slurmctld", "-D")
        slurm.start("slurmd", "-D")
        slurm.wait_until_idle()
        yield slurm
    finally:
        slurm.stop()
        shutil.rmtree(folder)
