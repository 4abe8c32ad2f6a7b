"""Sealed files: exact, whole at every instant, and any damage is one clear error before HDF5 looks at a byte."""

import contextlib
import json
import os
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskelm import ELMRegressor, NormalEquations, load, make_hdf5
from daskelm.exceptions import FileFormatError, FileMissingError
from daskelm.hdf5.atomic import replacing
from daskelm.hdf5.header import VERSIONS, sealed_format
from daskelm.hdf5.sealed import read_sealed, write_sealed

# More than 10,000 in all.
FULL = os.environ.get("DASKELM_CAMPAIGN") == "full"
STATE = {
    "matrix": np.random.default_rng(0).standard_normal((30, 4)),
    "empty": np.empty((0, 3)),
    "single": np.arange(5, dtype="f4"),
    "flags": np.array([True, False]),
    "text": "häuser",
    "number": 0.1,
    "none": None,
    "nested": {"a": [1, [2, "x"]]},
}


def names(plain):
    """Names of the arrays of STATE."""
    return [name for name, value in STATE.items() if isinstance(value, np.ndarray)]


@pytest.fixture
def path(tmp_path):
    write_sealed(tmp_path / "s.h5", "model", STATE)
    return tmp_path / "s.h5"


def test_a_state_comes_back_exactly(path):
    state = read_sealed(path, "model", names)
    assert state.keys() == {*STATE, "generation", "digest"}
    for name, value in STATE.items():
        if isinstance(value, np.ndarray):
            assert state[name].dtype == value.dtype
            np.testing.assert_array_equal(state[name], value)
        else:
            assert state[name] == value


def test_other_tools_can_read_it(path):
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["matrix"], STATE["matrix"])
        assert (file.attrs["format"], file.attrs["version"]) == ("model", VERSIONS["model"])


def every_kind_of_file(folder):
    """(path, function that reads it, what it must give) of a bare state, of sums and of a model."""
    X = np.random.default_rng(1).standard_normal((50, 3))
    model = ELMRegressor([(2, "lin"), (9, "rbf_l2")], random_state=0).fit(X, X[:, 0])
    write_sealed(folder / "state.h5", "model", STATE)
    make_hdf5(X, folder / "X.h5")
    model.initialize(X).accumulate(folder / "X.h5", X[:, 0], into=folder / "sums.h5")
    model.solve(folder / "sums.h5").save(folder / "model.h5", sums=True)
    return {
        "state": (folder / "state.h5", lambda path: read_sealed(path, "model", names)["matrix"].tobytes()),
        "sums": (
            folder / "sums.h5",
            lambda path: repr(NormalEquations.load(path).state()),
        ),
        "model": (folder / "model.h5", lambda path: load(path).predict(X).tobytes()),
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    kinds = every_kind_of_file(folder)
    kept = {name: (path.read_bytes(), read, read(path)) for name, (path, read) in kinds.items()}
    # In a function, since hypothesis shows the arguments of a failing test, and these are long.
    return lambda kind: (folder, *kept[kind])


@pytest.mark.parametrize("kind", ["state", "sums", "model"])
@settings(max_examples=2500 if FULL else 50)
@given(place=st.integers(0, 511) | st.integers(0, 10**9), bit=st.integers(0, 7))
def test_any_flipped_bit_is_an_error(files, kind, place, bit):
    folder, whole, read, value = files(kind)
    content, i = bytearray(whole), place % len(whole)
    content[i] ^= 1 << bit
    path = folder / "flipped.h5"
    path.write_bytes(content)
    if whole.index(b"}", 13) < i < 512:
        # Behind the header is padding: white space for white space changes nothing.
        with contextlib.suppress(FileFormatError):
            assert read(path) == value
        return
    with pytest.raises(FileFormatError, match=re.escape(str(path))):
        read(path)


@pytest.mark.parametrize("kind", ["state", "sums", "model"])
@settings(max_examples=1000 if FULL else 25)
@given(length=st.integers(0, 600) | st.integers(0, 10**9))
def test_any_truncation_is_an_error(files, kind, length):
    folder, content, read, _ = files(kind)
    path = folder / "cut.h5"
    path.write_bytes(content[: length % len(content)])
    with pytest.raises(FileFormatError, match=r"is truncated|damaged|is not a daskelm (model|sums) file"):
        read(path)


def test_added_bytes_are_an_error(path):
    with open(path, "ab") as file:
        file.write(b"x")
    with pytest.raises(FileFormatError, match="is truncated or was added to: it must be .* bytes long"):
        read_sealed(path, "model", names)


def test_the_format_is_told_from_the_header_alone(path, tmp_path):
    path.write_bytes(path.read_bytes()[:512])
    assert sealed_format(path) == "model"
    (tmp_path / "other").write_bytes(b"daskelm")
    assert sealed_format(tmp_path / "other") is None
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(FileFormatError, match="the header of this daskelm file is damaged"):
        sealed_format(path)
    with pytest.raises(FileFormatError, match="is a folder"):
        sealed_format(tmp_path)
    with pytest.raises(FileMissingError, match="none: no such file"):
        sealed_format(tmp_path / "none")


def test_a_newer_version_says_what_to_do(path):
    content = path.read_bytes()
    header = json.loads(content[13:512])
    header["version"] = VERSIONS["model"] + 1
    path.write_bytes((b"daskelm file\n" + json.dumps(header).encode()).ljust(511) + b"\n" + content[512:])
    with pytest.raises(
        FileFormatError, match=rf"version {VERSIONS['model'] + 1} of the format; this daskelm reads up to.*Upgrade"
    ):
        read_sealed(path, "model", names)


def test_an_older_version_says_what_to_do(path):
    content = path.read_bytes()
    header = json.loads(content[13:512])
    header["version"] = VERSIONS["model"] - 1
    path.write_bytes((b"daskelm file\n" + json.dumps(header).encode()).ljust(511) + b"\n" + content[512:])
    with pytest.raises(
        FileFormatError, match=r"version 1 .* no longer reads; it reads version 2\. Fit the model again"
    ):
        read_sealed(path, "model", names)


def test_one_kind_is_not_the_other(tmp_path):
    model = ELMRegressor(3, random_state=0).fit(np.eye(4), np.arange(4.0))
    model.save(tmp_path / "m.h5")
    model.normal_equations_.save(tmp_path / "s.h5")
    with pytest.raises(FileFormatError, match="is a daskelm sums file; expected a model file"):
        load(tmp_path / "s.h5")
    with pytest.raises(FileFormatError, match="is a daskelm model file; expected a sums file"):
        NormalEquations.load(tmp_path / "m.h5")
    state = {"class": "Oracle", "params": {}, "fitted": None}
    write_sealed(tmp_path / "o.h5", "model", state)
    with pytest.raises(FileFormatError, match="class 'Oracle', which this daskelm does not have"):
        load(tmp_path / "o.h5")
    with pytest.raises(FileMissingError, match=r"none\.h5: no such file"):
        load(tmp_path / "none.h5")
    with pytest.raises(FileFormatError, match="is a folder"):
        load(tmp_path)
    (tmp_path / "e.h5").touch()
    with pytest.raises(FileFormatError, match="is not a daskelm model file, but something else"):
        load(tmp_path / "e.h5")


def test_loading_runs_no_code(path):
    # No pickle anywhere in the file: neither its opcodes' module names nor h5py's opaque objects.
    content = path.read_bytes()
    assert b"pickle" not in content
    with h5py.File(path) as file:
        assert all(dataset.dtype.kind in "fiub" for dataset in file.values())


def test_an_error_keeps_what_was_there(path):
    before = path.read_bytes()

    def stop():
        with replacing(path, "model") as beside:
            beside.write_bytes(b"half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop()
    with pytest.raises(ValueError, match="Out of range float values"):
        write_sealed(path, "model", {"x": float("nan")})
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["s.h5"]


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="asks Linux which file is synced")
def test_the_file_is_on_disk_before_it_takes_the_name_and_the_folder_after(tmp_path, monkeypatch):
    events, fsync, replace = [], os.fsync, os.replace

    def synced(handle):
        events.append(("sync", os.path.basename(os.readlink(f"/proc/self/fd/{handle}"))))
        fsync(handle)

    def replaced(source, target):
        events.append(("replace", os.path.basename(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    X = np.random.default_rng(0).standard_normal((40, 2))
    make_hdf5(X, tmp_path / "X.h5")
    model = ELMRegressor(5, random_state=0).initialize(X)
    events.clear()
    model.accumulate(tmp_path / "X.h5", X[:, 0], into=tmp_path / "sums.h5")
    (first, hidden), *rest = events
    assert (first, hidden.startswith(".sums.h5~")) == ("sync", True)
    # The lock's number last: a crash before it leaves a file that is newer than it tells.
    assert rest == [("replace", "sums.h5"), ("sync", tmp_path.name), ("sync", "sums.h5.lock")]


def test_a_killed_write_keeps_what_was_there(path):
    before = path.read_bytes()
    code = (
        "import os, signal, sys; from daskelm.hdf5.atomic import replacing\n"
        "with replacing(sys.argv[1], 'model') as beside:\n"
        "    beside.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    assert path.read_bytes() == before
    assert [name for name in os.listdir(path.parent) if not name.startswith(".")] == ["s.h5"]


def test_permissions_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        write_sealed(tmp_path / "s.h5", "model", STATE)
    finally:
        os.umask(old)
    assert (tmp_path / "s.h5").stat().st_mode & 0o777 == 0o640
