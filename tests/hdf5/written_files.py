"""Models, and functions that write files: a table, sums, another program's file, a pipe."""

import os
from pathlib import Path

import h5py
import numpy as np
from click.testing import CliRunner

from daskelm import ELMClassifier, ELMRegressor, HiddenLayer, make_hdf5
from daskelm.cli import cli
from daskelm.hpelm import HPELM

N, D = 60, 3
TABLE = np.random.default_rng(0).standard_normal((N, D))
LABELS = (TABLE[:, 0] > 0).astype(int)
NEW = np.arange(6.0).reshape(3, 2)


def fitted(cls, y):
    return cls(neurons=[(2, "lin"), (3, "tanh")], alpha=1.0, random_state=0).fit(TABLE, y)


REGRESSOR, CLASSIFIER = fitted(ELMRegressor, TABLE[:, 1]), fitted(ELMClassifier, LABELS)
LAYER = HiddenLayer(4, random_state=0).fit(TABLE)


def hpelm():
    model = HPELM(D, 1, tprint=None)
    model.add_neurons(2, "lin")
    model.train(TABLE, TABLE[:, :1])
    return model


OLD_INTERFACE = hpelm()


def run(*arguments):
    """What a command prints; its errors are raised as they are."""
    done = CliRunner().invoke(cli, [*map(str, arguments)])
    if done.exit_code:
        raise RuntimeError(done.output + getattr(done, "stderr", ""))
    return done.output


def contents():
    """Bytes of all files below the current folder."""
    return {path: path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


def data(path, **more):
    make_hdf5(NEW, path, **more)


def foreign(path):
    with h5py.File(path, "w") as file:
        file["events/features"], file["events/energy"] = TABLE, TABLE[:, 0]
        for i in range(3):
            file[f"run/{i}"] = i
        file.attrs["seed"] = 1


def sums(path):
    REGRESSOR.normal_equations_.save(path)


def pipe(path):
    os.mkfifo(path)
