"""Mistakes and warnings are one line each, nothing is written, and bugs are not taken for mistakes."""

import re
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from command import NEURONS, D, N, T, X, invoke, refused, run, write_data

from daskelm import ELMRegressor, HiddenLayer, make_hdf5
from daskelm.cli.errors import print_message

MISTAKES = {
    "": "Missing command. See 'daskelm --help'.",
    "fit": "No such command 'fit'.",
    "accumulate": "Missing argument 'MODEL'. See 'daskelm accumulate --help'.",
    "accumulate model.h5 X.h5 T.h5": "Missing option '--into'",
    "solve model.h5 sums.h5 --alfa 1": "No such option",
    "accumulate model.h5 X.h5 T.h5 --into s.h5 --rows 5": "'--rows': must be START:STOP, such as 0:1000 .* got '5'",
    "accumulate model.h5 X.h5 T.h5 --into s.h5 --no-lock --lock-timeout 3": "--lock-timeout is a wait for the lock",
    "accumulate model.h5 X.h5 T.h5 --into s.h5 --lock-timeout -1": "'--lock-timeout': -1.0 is not in the range",
    "accumulate model.h5 X.h5 T.h5 --into s.h5 --rows a:b": "'--rows': must be START:STOP, .* got 'a:b'",
    "accumulate model.h5 X.h5 T.h5 --into s.h5 --rows 0:999": "rows must lie within the 600 rows of .*X.h5",
    "accumulate model.h5 T.h5 X.h5 --into s.h5": "X has 2 features, but ELMRegressor is expecting 5 features",
    "accumulate model.h5 X.h5 T.h5 --into X.h5": "X.h5 is not a daskelm sums file",
    "accumulate X.h5 X.h5 T.h5 --into s.h5": "X.h5 is not a daskelm model file",
    "accumulate layer.h5 X.h5 T.h5 --into s.h5": "MODEL: layer.h5 must hold an ELMRegressor .* got HiddenLayer",
    "accumulate none.h5 X.h5 T.h5 --into s.h5": "none.h5: no such file",
    "accumulate model.h5 none.h5 T.h5 --into s.h5": "none.h5: no such file",
    "accumulate model.h5 'none*.h5' T.h5 --into s.h5": "no file matches this pattern",
    "accumulate model.h5 X.h5 T.h5 --into none/s.h5": "the folder of .*none/s.h5 does not exist",
    "accumulate model.h5 X.h5 T.h5 T.h5 --into s.h5": "unexpected extra argument",
    "solve model.h5 none.h5": "none.h5: no such file",
    "solve model.h5 model.h5": "model.h5 is a daskelm model file; expected a sums file",
    "remove model.h5 X.h5 T.h5 --from none.h5": "none.h5: no such file",
    "predict model.h5 X.h5 --out Y.h5": "nothing was added since",
    "predict model.h5 X.h5 --out Y.h5 --proba": "'--proba': model.h5 is a regressor",
    "predict model.h5 X.h5 --out X.h5": "--out: X.h5 is one of the files that X is read from, .* Give another name",
    "predict model.h5 X.h5 --out X.h5 --force": "--out: X.h5 is one of the files that X is read from",
    "predict model.h5 X.h5 --out model.h5": "'--out': model.h5 exists and is not replaced: it is a daskelm model file",
    "predict model.h5 X.h5 --out model.h5 --force": "--out: model.h5 is one of the files that MODEL is read from",
    "predict model.h5 X.h5 --out two.h5": "'--out': two.h5 exists .*: it holds a, b, not written by daskelm, .*--force",
    "make-hdf5 a.csv a.csv --force": "path: what is written is HDF5",
    "make-hdf5 a.csv b.csv": "'TARGET': b.csv exists and is not replaced: it is no HDF5 file, and not written by",
    "make-hdf5 a.csv X.h5 --dataset X": "'TARGET': X.h5 exists and is not replaced: it holds data, not 'X'",
    "make-hdf5 a.csv c.h5 --compression rot13": "'--compression': must be gzip, lzf, .* got 'rot13'",
    "make-hdf5 a.csv c.h5 --dtype text": "dtype must be one of numbers",
    "make-hdf5 none.csv c.h5": "none.csv: no such file",
    "init X.h5 T.h5": "'MODEL': T.h5 exists and is not replaced: it is an HDF5 file of data, and a model file is to be",
    "init X.h5 X.h5 --force": "MODEL: X.h5 is one of the files that X is read from",
    "init X.h5 T.h5 --force --labels T.h5": "MODEL: T.h5 is one of the files that labels is read from",
    "init X.h5 T.h5 --force --weights T.h5": "MODEL: T.h5 is one of the files that weights is read from",
    "init X.h5 .": r"'MODEL': \. is a folder; give the name of a file in it",
    "solve model.h5 sums.h5 --out sums.h5": "'--out': sums.h5 exists and is not replaced: it is a daskelm sums file",
    "solve model.h5 sums.h5 --out sums.h5 --force": "--out: sums.h5 is one of the files that SUMS is read from",
    "init a.csv c.h5": "a.csv cannot be read as HDF5",
    "init X.h5::none c.h5": "has no dataset 'none'; it holds data. On the command line that is X.h5::DATASET",
    "init two.h5 c.h5": "exactly one 2-D numeric .* On the command line that is two.h5::DATASET",
    "init X.h5:: c.h5": "'X': must be FILE, or FILE::DATASET .* got 'X.h5::'",
    "init X.h5 c.h5 --neurons tanh:9": "'--neurons': must be auto, a number of tanh .* NUMBER:KIND .* got 'tanh:9'",
    "init X.h5 c.h5 --neurons 9:cosh": "a kind must be one of .* got 'cosh'",
    "init X.h5 c.h5 --neurons 0": "must be an int >= 1; got 0",
    "init X.h5 c.h5 --alpha -1": "alpha must be a finite number >= 0, .* 'auto' or 'gcv' .* got -1",
    "init X.h5 c.h5 --alpha best": "alpha must be a finite number >= 0, .* 'auto' or 'gcv' .* got 'best'",
    "init X.h5 c.h5 --seed -1": "'--seed': -1 is not in the range",
    "init X.h5 c.h5 --dtype int8": "'--dtype': 'int8' is not one of 'float32', 'float64'",
    "init X.h5 c.h5 --classes a,,b": "'--classes': must be labels with commas between, .* got 'a,,b'",
    "init X.h5 c.h5 --classes 1": "at least two classes",
    "init X.h5 c.h5 --classes 0,1 --class-weight 0:9": "'--class-weight': must be LABEL=WEIGHT .* got '0:9'",
    "init X.h5 c.h5 --classes 0,1 --class-weight 7=9": "class_weight: its keys must be labels",
    "init X.h5 c.h5 --classes 0,1 --labels labels.h5": "--classes and --labels both",
    "init X.h5 c.h5 --classifier": "a classifier needs --classes or --labels",
    "init X.h5 c.h5 --regressor --classes 0,1": "a regressor has no --classes",
    "init X.h5 c.h5 --class-weight 0=9": "a regressor has no --classes",
    "select model.h5 none.h5": "none.h5: no such file",
    "select model.h5 sums.h5 --neurons 5,9": "--neurons needs --out MODEL2, since a model of fewer neurons",
    "select model.h5 sums.h5 --ranking omp": "--ranking needs --out MODEL2, since a model of fewer neurons",
    "select model.h5 sums.h5 --ranking best --out c.h5": "'--ranking': 'best' is not one of 'omp', 'lars', 'mrsr'",
    "select model.h5 sums.h5 --neurons 5,x --out c.h5": "'--neurons': must be whole numbers with .* got '5,x'",
    "select model.h5 sums.h5 --neurons 99 --out c.h5": r"n_neurons must be ints from 1 to the 21 .* got \[99\]",
    "select model.h5 sums.h5 --alphas 1,x": "'--alphas': must be numbers with commas between, .* got '1,x'",
    "select model.h5 sums.h5 --alphas -1": "alpha must be a finite number >= 0.*got -1",
    "select model.h5 sums.h5 --scoring accuracy": "'--scoring': 'accuracy' is not one of 'r2', ",
    "select model.h5 sums.h5 --folds": "cv='files' needs at least two sums.*; got 1",
    "select model.h5 sums.h5 --folds --validation sums.h5": "--folds, --validation and --gcv all say",
    "select model.h5 sums.h5 --validation sums.h5": "validation: its files must be others .* got .*sums.h5 in both",
    "select model.h5 sums.h5 --validation 'none*.h5'": "no sums file matches this pattern",
    "select model.h5 sums.h5 --table b.txt": "'--table': must be a name that ends in .csv; got 'b.txt'",
    "select model.h5 sums.h5 --table X.csv": "'--table': X.csv exists and is not replaced: it is an HDF5 file of",
    "select model.h5 sums.h5 --table b.csv": "'--table': b.csv exists and is not replaced: it is no HDF5 file",
    "select model.h5 sums.h5 --table none/t.csv": "its folder .*none does not exist",
    "select model.h5 sums.h5 --out X.h5": "'--out': X.h5 exists and is not replaced: it is an HDF5 file of data",
    "select model.h5 sums.h5 --out sums.h5 --force": "--out: sums.h5 is one of the files that SUMS is read from",
    "select layer.h5 sums.h5": "MODEL: layer.h5 must hold an ELMRegressor",
    "merge sums.h5 --into model.h5": "model.h5 exists and is none of the files added up",
    "info none.h5": "none.h5: no such file",
    "info a.csv": "a.csv is neither a daskelm file nor HDF5",
    "info X.h5::none": "has no dataset 'none'",
    "info .": r" is a folder without Parquet or Arrow files",
    "info cut.h5": "cut.h5 cannot be read as HDF5: it is truncated",
    "info cutmodel.h5": "cutmodel.h5 is truncated",
    "score model.h5 X.h5 T.h5 --scheduler nowhere": "'--scheduler': must be an address such as tcp://nowhere:8786",
}


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory):
    """A folder with all that mistakes are made with."""
    folder = tmp_path_factory.mktemp("mistakes")
    write_data(folder)
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("1,2\n3,4\n")
    with h5py.File(folder / "two.h5", "w") as file:
        file["a"], file["b"] = X, X
    HiddenLayer(5).fit(X).save(folder / "layer.h5")
    model = ELMRegressor(NEURONS, random_state=0).initialize(X)
    model.save(folder / "model.h5")
    model.accumulate(X, T, into=folder / "sums.h5")
    shutil.copy(folder / "X.h5", folder / "X.csv")
    for name, cut in (("X", "cut"), ("model", "cutmodel")):
        (folder / f"{cut}.h5").write_bytes((folder / f"{name}.h5").read_bytes()[:3000])
    return folder


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes_are_told_in_one_line_and_nothing_is_written(mistaken, monkeypatch, line):
    monkeypatch.chdir(mistaken)

    def contents():
        return {path: path.read_bytes() for path in Path().iterdir() if path.suffix != ".lock"}

    before = contents()
    assert re.search(MISTAKES[line], refused(line)), refused(line)
    assert contents() == before


def test_an_empty_file_may_be_replaced(folder):
    Path("new.h5").touch()
    run("init X.h5 new.h5")


def test_files_that_may_not_be_read_are_told(folder, model, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("daskelm.estimators.load.read_model", refuse)
    assert refused("solve model.h5 sums.h5") == "model.h5: Permission denied.\n"


@pytest.mark.parametrize("error", [ValueError, TypeError, EOFError, KeyError, OSError])
def test_bugs_are_not_taken_for_mistakes(folder, model, monkeypatch, error):
    def fail(path):
        raise error("on fire")

    monkeypatch.setattr("daskelm.estimators.load.read_model", fail)
    result = invoke("solve model.h5 sums.h5")
    assert (result.exit_code, type(result.exception)) == (1, error)


@pytest.mark.filterwarnings("default")
def test_warnings_are_told_in_one_line(folder):
    make_hdf5(np.repeat(X[:, :1], D, axis=1), "same.h5")
    run("init same.h5 model.h5 --neurons 5:lin --alpha 0")
    run("accumulate model.h5 same.h5 T.h5 --into sums.h5")
    result = invoke("solve model.h5 sums.h5")
    assert result.exit_code == 0
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("daskelm: warning: HH + alpha I is not safely positive definite")
    assert "rank" in result.stdout

    large = np.ones(N)
    large[1:] = 1e6
    make_hdf5(large, "large.h5")
    run("accumulate model.h5 same.h5 T.h5 --into large-sums.h5 --weights large.h5")
    result = invoke("remove model.h5 same.h5 T.h5 --rows 1: --from large-sums.h5 --weights large.h5 --quiet")
    assert result.exit_code == 0
    assert result.stderr.count("\n") == 1
    assert re.match("daskelm: warning: after the subtraction 1 of 600 rows are left", result.stderr)


def test_on_a_terminal_a_message_takes_the_place_of_the_progress(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    print_message("error: one\nline")
    assert capsys.readouterr().err == "\r\033[Kdaskelm: error: one line\n"
