"""The command in this process and in one of its own, and a table to work on."""

import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from daskelm import make_hdf5
from daskelm.cli import cli

ROOT = Path(__file__).parents[2]
N, D = 600, 5
RNG = np.random.default_rng(0)
X = RNG.uniform(-2, 2, (N, D))
T = np.stack([np.sin(X[:, 0]) * X[:, 1], X[:, 2] ** 2], axis=1)
LABELS = (X[:, 0] > 0).astype(int) + 2 * (X[:, 1] > 1)
WEIGHTS = RNG.uniform(0.5, 2, N)
SPEC = "3:lin,5:tanh,9:sigm,4:numpy.sin"
NEURONS = [(3, "lin"), (5, "tanh"), (9, "sigm"), (4, np.sin)]


def write_data(folder):
    for name, data in {"X": X, "T": T, "labels": LABELS, "weights": WEIGHTS}.items():
        make_hdf5(data, folder / f"{name}.h5")


def invoke(line):
    # Before click 8.2, standard error was mixed into standard output unless told otherwise.
    apart = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
    return CliRunner(**apart).invoke(cli, shlex.split(line), prog_name="daskelm")


def run(line):
    """Standard output of a command that ends well."""
    result = invoke(line)
    assert result.exit_code == 0, result.stderr or repr(result.exception)
    return result.stdout


def refused(line):
    """The one line that a command says when it is used in a wrong way, without its beginning."""
    result = invoke(line)
    assert result.exit_code == 2, repr(result.exception)
    return the_line(result)


def the_line(result, kind="error"):
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"daskelm: {kind}: ")
    return result.stderr.removeprefix(f"daskelm: {kind}: ")


def process(*arguments, code=None, **options):
    """A real process; of `code`, with the command's `main` in it."""
    what = ["-m", "daskelm"] if code is None else ["-c", f"{code}\nfrom daskelm.cli import main\nmain()"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *what, *arguments], env=environment, **pipes, **options)


def finished(process):
    """Exit status, standard output and standard error of a process."""
    stdout, stderr = process.communicate(timeout=120)
    return process.returncode, stdout, stderr


def facts(text):
    """Names and numbers of the lines under the first."""
    found = [re.fullmatch(r"  (.+?)  +(\S+).*", line) for line in text.splitlines()[1:]]
    return {match[1]: float(match[2]) for match in found}
