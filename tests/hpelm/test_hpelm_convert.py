"""HP-ELM's saved models become daskelm's, to the bit; and whatever a file holds, none of it is executed."""

import builtins
import copyreg
import functools
import io
import operator
import os
import pickle
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import daskelm
from daskelm.exceptions import FileFormatError, FileMissingError
from daskelm.hpelm import HPELM, convert_model
from daskelm.hpelm.pickled import read_pickle

DATA = Path(__file__).parent / "files"
EXPECTED = np.load(DATA / "expected.npz")
SAMPLES = ["reg_trained", "rbf_trained", "c_trained", "ml_trained", "wc_default", "wc_w124", "single_trained"]
SAME_MODEL = ["wc_default-numpy1", *(f"wc_default-numpy1-protocol{protocol}" for protocol in (2, 3, 4))]
MODEL = {
    "inputs": 2,
    "outputs": 1,
    "Classification": None,
    "Weights_WC": None,
    "neurons": [(3, "tanh", np.arange(6.0).reshape(2, 3), np.arange(3.0))],
    "norm": np.float64(1e-14),
    "Beta": np.ones((3, 1), order="F"),
}


def converted(path, folder, **options):
    convert_model(path, folder / "model.h5")
    model = HPELM(1, 1, tprint=None, **options)
    model.load(folder / "model.h5")
    return model


def written(content, folder):
    path = folder / "old.pkl"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    return path


def test_the_samples_are_of_many_protocols_and_both_numpys():
    content = {path.stem: path.read_bytes() for path in DATA.glob("*.pkl")}
    assert {data[1] for data in content.values()} == {2, 3, 4, 5}
    assert b"numpy._core.numeric" in content["wc_default"]
    assert b"numpy.core.numeric" in content["wc_default-numpy1"]
    assert b"numpy.core.multiarray" in content["wc_default-numpy1-protocol4"]
    assert b"_codecs" in content["wc_default-numpy1-protocol2"]


@pytest.mark.parametrize("name", SAMPLES + SAME_MODEL)
def test_predictions_are_hpelms(tmp_path, name):
    model = converted(DATA / f"{name}.pkl", tmp_path, precision="single" if "single" in name else "double")
    name = name.partition("-")[0]
    X, expected = EXPECTED["X"], EXPECTED[f"{name}_Y"]
    targets = EXPECTED["T" if model.classification is None else "C"]
    tolerance = 1e-5 if "single" in name else 1e-12
    scale = np.abs(expected).max()
    np.testing.assert_allclose(model.predict(X), expected, rtol=0, atol=tolerance * scale)
    assert model.error(targets, model.predict(X)) == pytest.approx(float(EXPECTED[f"{name}_error"]), rel=tolerance)
    if model.classification:
        np.testing.assert_array_equal(model.confusion(targets, model.predict(X)), EXPECTED[f"{name}_confusion"])
    # Trained again by daskelm, on the same rows.
    model.train(X, targets)
    np.testing.assert_allclose(model.predict(X), expected, rtol=0, atol=1e-8 * scale if tolerance < 1e-8 else 1e-4)


def test_all_that_hpelm_saved_is_taken_over(tmp_path):
    model = converted(written(MODEL, tmp_path), tmp_path)
    assert (model.nnet.inputs, model.nnet.outputs, model.nnet.norm) == (2, 1, 1e-14)
    [(number, kind, W, B)] = model.nnet.neurons
    assert (number, kind) == (3, "tanh")
    np.testing.assert_array_equal(W, MODEL["neurons"][0][2])
    np.testing.assert_array_equal(B, [0, 1, 2])
    np.testing.assert_array_equal(model.nnet.B, np.ones((3, 1)))
    model = converted(DATA / "wc_w124.pkl", tmp_path)
    assert (model.classification, model.wc.tolist(), model.nnet.norm) == ("wc", [1, 2, 4], 0.1)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "change",
    [
        {"Beta": None},
        {"norm": 0},
        {"norm": np.float32(1e-6)},
        {"Classification": "ML", "outputs": 2, "Beta": None},
        {"Weights_WC": np.array([3, 4]), "Classification": "wc", "outputs": 2, "Beta": None},
        {"neurons": [(0, "lin", np.ones((2, 0)), np.ones(0)), *MODEL["neurons"]]},
        {"neurons": [(3, "tanh", np.asfortranarray(MODEL["neurons"][0][2], ">f8"), np.ones(6, "f4")[::2])]},
    ],
    ids=lambda change: " ".join(change),
)
def test_every_form_that_hpelm_writes_is_read(tmp_path, protocol, change):
    expected = MODEL | change
    found = read_pickle(written(pickle.dumps(expected, protocol), tmp_path))
    assert found["norm"] == expected["norm"]
    assert (found["B"] is None) == (expected["Beta"] is None)
    groups = [group for group in expected["neurons"] if group[0]]
    for (kind, W, B), (_, old_kind, old_W, old_B) in zip(found["neurons"], groups, strict=True):
        assert kind == old_kind
        np.testing.assert_array_equal(W, old_W)
        np.testing.assert_array_equal(B, old_B)
        assert W.dtype.isnative


class Python2(pickle._Pickler):
    """Writes strings and bytes as Python 2 did, as strings of bytes."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, value):
        data = value if isinstance(value, bytes) else value.encode("latin-1")
        self.write(b"T" + struct.pack("<i", len(data)) + data)

    dispatch[str] = dispatch[bytes] = save_string


def test_files_of_python_2_are_read(tmp_path):
    file = io.BytesIO()
    Python2(file, 2).dump(MODEL)
    content = file.getvalue().replace(b"numpy._core", b"numpy.core")
    assert b"BINUNICODE" not in content
    found = read_pickle(written(content, tmp_path))
    np.testing.assert_array_equal(found["neurons"][0][1], MODEL["neurons"][0][2])
    assert found["norm"] == 1e-14


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "must be a dict with the keys"),
        ({"inputs": 2}, "must be a dict with the keys"),
        (MODEL | {"more": 1}, "must be a dict with the keys"),
        (MODEL | {"inputs": 2.0}, "sizes must be ints"),
        (MODEL | {"outputs": True}, "sizes must be ints"),
        (MODEL | {"inputs": 3}, "must have a column per neuron"),
        (MODEL | {"Classification": "x"}, "Classification must be"),
        (MODEL | {"norm": -1.0}, "norm must be"),
        (MODEL | {"norm": float("inf")}, "norm must be"),
        (MODEL | {"norm": "1"}, "norm must be"),
        (MODEL | {"neurons": ()}, "neurons must be a list"),
        (MODEL | {"neurons": [(3, "relu", *MODEL["neurons"][0][2:])]}, "kinds must be in"),
        (MODEL | {"neurons": [(3, "rbf_l1", *MODEL["neurons"][0][2:])]}, "widths of rbf neurons must be positive"),
        (MODEL | {"neurons": MODEL["neurons"] * 2}, "each kind must be there once"),
        (MODEL | {"neurons": [(3, "tanh", np.full((2, 3), np.nan), np.ones(3))]}, "must be finite"),
        (MODEL | {"neurons": [(3, "tanh", [[1.0]], np.ones(3))]}, "must be finite numbers"),
        (MODEL | {"neurons": [(3, "tanh", np.ones((2, 3), "f2"), np.ones(3))]}, "is damaged"),
        (MODEL | {"neurons": [(3, "tanh", np.ones((2, 3), "O"), np.ones(3))]}, "is damaged"),
        (MODEL | {"Weights_WC": np.ones(2)}, "a weight >= 0 per output"),
        (MODEL | {"Weights_WC": np.array([-1.0])}, "a weight >= 0 per output"),
        (MODEL | {"Weights_WC": np.array([0])}, "a weight >= 0 per output"),
        (MODEL | {"Classification": "c"}, "classes must have an output each"),
        (
            MODEL | {"neurons": [(1, "rbf_l1", np.ones((2, 1)), np.array([1e-310]))], "Beta": None},
            "widths of rbf neurons must be positive",
        ),
        (MODEL | {"Beta": np.ones((2, 1))}, "a row per neuron"),
        (b"", "does not begin as a pickle does"),
        (b"daskelm file\n", "does not begin as a pickle does"),
        (pickle.dumps(MODEL, 0), "does not begin as a pickle does"),
        (pickle.dumps(MODEL) + b"x", "bytes after its end"),
        (b"\x80\x02r\xff\xff\xff\x7f.", "is damaged"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path, content, message):
    with pytest.raises(FileFormatError, match=message):
        converted(written(content, tmp_path), tmp_path)
    assert os.listdir(tmp_path) == ["old.pkl"]


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(FileMissingError, match=r"none\.pkl: no such file"):
        convert_model(tmp_path / "none.pkl", tmp_path / "new.h5")
    with pytest.raises(FileFormatError, match="is a folder"):
        convert_model(tmp_path, tmp_path / "new.h5")


def test_a_pickle_is_not_loaded_but_sent_to_the_converter(tmp_path):
    for path in DATA.glob("*.pkl"):
        with pytest.raises(FileFormatError, match=r"python -m daskelm\.hpelm convert .*pkl NEW"):
            HPELM(10, 3).load(path)


# What pickles can do


class Calls:
    def __init__(self, function, *arguments):
        self.calls = function, arguments

    def __reduce__(self):
        return self.calls


def calling(name, flag):
    """A pickle that makes the file `flag` when it is loaded without care."""
    make = f"open({str(flag)!r}, 'w').close()"
    return {
        "os.system": Calls(os.system, f"touch {flag}"),
        "eval": Calls(builtins.eval, make),
        "exec": Calls(builtins.exec, make),
        "open": Calls(builtins.open, str(flag), "w"),
        "a program": Calls(subprocess.Popen, ["touch", str(flag)]),
        "getattr": Calls(getattr, Calls(__import__, "os"), "system"),
        "partial": Calls(functools.partial, builtins.open, str(flag), "w"),
        "methodcaller": Calls(operator.methodcaller, "tofile", str(flag)),
        "numpy.save": Calls(np.save, str(flag), 0),
        "numpy.memmap": Calls(np.memmap, str(flag), "u1", "w+", 0, 8),
        "numpy.fromfile": Calls(np.fromfile, "/dev/zero", "u1", 1),
        "runstring": Calls(np.testing.runstring, make, {}),
        "copyreg": Calls(copyreg._reconstructor, HPELM, object, None),
        "a pickle in it": Calls(pickle.loads, pickle.dumps(Calls(builtins.exec, make))),
    }[name]


CALLS = [
    *("os.system", "eval", "exec", "open", "a program", "getattr", "partial", "methodcaller", "numpy.save"),
    *("numpy.memmap", "numpy.fromfile", "runstring", "copyreg", "a pickle in it"),
]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", CALLS)
def test_nothing_in_a_file_is_executed(tmp_path, name, protocol):
    flag = tmp_path / "executed"
    bomb = calling(name, flag)
    for content in (bomb, MODEL | {"norm": bomb}, MODEL | {"neurons": [(3, "tanh", bomb, np.ones(3))]}):
        path = written(pickle.dumps(content, protocol), tmp_path)
        with pytest.raises(
            FileFormatError, match="it asks for .*, which is not part of a model.*No code from it was run"
        ):
            converted(path, tmp_path)
    assert os.listdir(tmp_path) == ["old.pkl"]
    # The same file, loaded without care, does do harm: where it is safe to show.
    if name in ("eval", "runstring", "numpy.save"):
        pickle.loads(pickle.dumps(bomb, protocol))
        assert len(os.listdir(tmp_path)) == 2


def globally(module, name):
    return f"c{module}\n{name}\n".encode()


STRANGE = {
    "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x10dtype.__module__\x93.",
    "ndarray called": b"\x80\x02" + globally("numpy", "ndarray") + b"K\x05\x85R.",
    "ndarray made": b"\x80\x02" + globally("numpy", "ndarray") + b"K\x05\x85\x81.",
    "dtype of objects": b"\x80\x02" + globally("numpy", "dtype") + b"U\x01O\x85R.",
    "dtype of records": b"\x80\x02" + globally("numpy", "dtype") + b"U\x05f8,f8\x85R.",
    "other encoding": b"\x80\x02" + globally("_codecs", "encode") + b"U\x01aU\x03zip\x86R.",
    "decode": b"\x80\x02" + globally("_codecs", "decode") + b"U\x01aU\x03zip\x86R.",
    "state of a name": b"\x80\x02" + globally("numpy", "dtype") + b"}U\x09_functionNsb.",
    "state of a list": b"\x80\x02]}U\x01aK\x01sb.",
    "slots of an array": b"\x80\x02" + globally("numpy.core.multiarray", "_reconstruct") + b"NNN\x87RN}\x86b.",
    "persistent id": b"\x80\x02Pid\n.",
    "binary persistent id": b"\x80\x02K\x01Q.",
    "extension": b"\x80\x02\x82\x01.",
    "instance": b"\x80\x02(ios\nsystem\n.",
    "object": b"\x80\x02(" + globally("os", "system") + b"o.",
    "object by keywords": b"\x80\x04" + globally("numpy", "dtype") + b")}\x92.",
    "out of band": b"\x80\x05\x97.",
    "huge bytes": b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b"abc.",
    "huge memo": b"\x80\x02Nr" + struct.pack("<I", 2**31) + b"0.",
    "huge array": b"\x80\x05"
    + globally("numpy.core.numeric", "_frombuffer")
    + b"C\x01a"
    + globally("numpy", "dtype")
    + b"\x8c\x02f8\x85R\x8a\x08"
    + struct.pack("<q", 2**62)
    + b"\x85\x8c\x01C(tR.",
    "nothing": b"\x80\x02.",
    "no end": b"\x80\x02N",
}


REASONS = {
    "a dotted name": "it asks for numpy.dtype.__module__",
    "ndarray called": "it calls a name that is no function",
    "ndarray made": "the instruction NEWOBJ is not part of a model",
    "dtype of objects": "'O'",
    "dtype of records": "'f8,f8'",
    "other encoding": "bytes in another encoding than latin1",
    "decode": "it asks for _codecs.decode",
    "state of a name": "it sets the state of a name",
    "persistent id": "the instruction PERSID",
    "extension": "the instruction EXT1",
    "huge memo": "a number is out of range",
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_instructions_are_refused(tmp_path, name):
    reason = re.escape(REASONS.get(name, ""))
    with pytest.raises(FileFormatError, match=f"is not a model that HP-ELM saved, or is damaged .*{reason}"):
        converted(written(STRANGE[name], tmp_path), tmp_path)


def test_names_were_not_changed_by_what_was_tried(tmp_path):
    for content in STRANGE.values():
        with pytest.raises(FileFormatError):
            read_pickle(written(content, tmp_path))
    assert read_pickle(DATA / "wc_default.pkl")["outputs"] == 3


@pytest.mark.parametrize("name", ["wc_default", "wc_default-numpy1-protocol2"])
def test_a_truncated_file_is_an_error_wherever_it_ends(tmp_path, name):
    content = (DATA / f"{name}.pkl").read_bytes()
    for end in range(0, len(content), 31):
        with pytest.raises(FileFormatError):
            read_pickle(written(content[:end], tmp_path))


@given(content=st.binary(max_size=200), protocol=st.integers(2, 5))
def test_random_bytes_are_an_error(tmp_path_factory, content, protocol):
    folder = tmp_path_factory.getbasetemp()
    with pytest.raises(FileFormatError):
        read_pickle(written(b"\x80" + bytes([protocol]) + content, folder))


@given(name=st.sampled_from(SAMPLES + SAME_MODEL), data=st.data())
def test_changed_bytes_give_a_model_or_an_error(tmp_path_factory, name, data):
    folder = tmp_path_factory.getbasetemp()
    content = bytearray((DATA / f"{name}.pkl").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(2, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        converted(written(bytes(content), folder), folder)
    except FileFormatError as error:
        assert "old.pkl is not a model that HP-ELM saved" in str(error)  # noqa: PT017


def test_the_command(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(daskelm.__file__).parents[1])}
    command = [sys.executable, "-W", "error", "-m", "daskelm.hpelm", "convert"]

    def run(*arguments):
        return subprocess.run(command + list(arguments), env=environment, cwd=tmp_path, capture_output=True, text=True)

    done = run(str(DATA / "reg_trained.pkl"), "new.h5")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    model = HPELM(1, 1)
    model.load(tmp_path / "new.h5")
    assert model.predict(EXPECTED["X"]).shape == (50, 3)
    failed = run("new.h5", "newer.h5")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == "new.h5 is not a model that HP-ELM saved: it does not begin as a pickle does.\n"
