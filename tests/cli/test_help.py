"""The help lists the steps in order, its examples run, and it comes at once."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint, version

import h5py
import numpy as np
import pytest
from command import ROOT, T, X, run

from daskelm import load, make_hdf5
from daskelm.cli import cli, main
from daskelm.hdf5.columns import Column, write_columns

COMMANDS = list(cli.commands)


def examples(command):
    return re.findall(r"^ {4}daskelm (.*)$", run(f"{command} --help"), re.M)


def test_help_lists_the_steps_in_order():
    text = run("--help")
    listed = re.findall(r"^  ([a-z][a-z0-9-]+)  +\S", text.partition("Commands:")[2], re.M)
    assert listed == COMMANDS
    assert "..." not in text.partition("Commands:")[2]
    assert run("-h") == text


def test_examples_in_the_help_run_one_after_the_other(folder):
    for name, data in (("X", X[:, :]), ("T", T)):
        np.savetxt(f"data{name}.csv", np.tile(data, (2, 2)), delimiter=",")
    make_hdf5(np.tile(T, (2, 2)), "dataT.h5")
    with h5py.File("table.h5", "w") as file:
        write_columns(file.create_dataset("data", data=X[:, :3]), [Column(name) for name in ("hour", "delay", "wind")])
    for command in COMMANDS:
        lines = examples(command)
        assert lines, f"{command} --help has no example"
        assert all(line.startswith(command) for line in lines)
        if command == "merge":
            load("model.h5").accumulate("dataX.h5", "dataT.h5", rows=slice(500, 600), into="more.h5")
        for line in lines:
            run(line)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_to_do_next_and_names_every_argument(command):
    text = run(f"{command} --help")
    assert command == "info" or "\n  Next: " in text
    for parameter in cli.commands[command].params:
        if parameter.param_type_name == "argument":
            assert re.search(rf"^  {parameter.metavar.removesuffix('...')} ", text, re.M), parameter.metavar
        else:
            assert parameter.help
    assert max(map(len, text.splitlines())) <= 80


def test_version():
    assert run("--version") == f"daskelm {version('daskelm')}\n"


def test_the_entry_point_is_the_command():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert {name: EntryPoint(name, script, "").load() for name, script in scripts.items()} == {"daskelm": main}


def test_help_comes_at_once(tmp_path):
    code = "import sys\nfrom daskelm.cli import main\ntry: main()\nexcept SystemExit: print(*sys.modules)"
    options = {"capture_output": True, "text": True, "check": True, "cwd": tmp_path}
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for arguments in (["--help"], ["accumulate", "--help"], ["--version"]):
        shown = subprocess.run([sys.executable, "-c", code, *arguments], env=environment, **options).stdout
        assert {"numpy", "dask", "distributed", "h5py", "pandas", "sklearn"}.isdisjoint(shown.split())
