"""A disk that takes no more, a quota, a read-only file system: one error in every writer, and the old file whole."""

import errno
import os
import subprocess
import sys

import pytest

# A limit on the size of files acts as a quota does. Each writer runs at limits from one byte to nearly all of its file.
WRITERS = """
import contextlib, gc, io, os, resource, signal, sys
import numpy as np
from daskelm import ELMClassifier, ELMRegressor, NormalEquations, from_hdf5, load, make_hdf5, merge, to_hdf5
from daskelm.cli import cli
from daskelm.exceptions import FileWriteError
from daskelm.hpelm import HPELM

os.fsync = lambda handle: None
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
rng = np.random.default_rng(0)
X = rng.standard_normal((3000, 4))
y = X[:, 0] + np.sin(X[:, 1])
make_hdf5(X, "X.h5")
make_hdf5(y, "y.h5")
small = ELMRegressor(5, random_state=0).fit(X[:50], y[:50])
model = ELMRegressor(20, random_state=0).fit(X, y)
model.save("model.h5")
words = ELMClassifier(20, random_state=0).fit(X, np.where(y > 0, "up", "down"))
drawn = ELMRegressor(20, random_state=0).initialize(X)
drawn.accumulate("X.h5", "y.h5", rows=slice(0, 1000), into="a.h5")
drawn.accumulate("X.h5", "y.h5", rows=slice(1000, 2000), into="b.h5")
elm, tiny = HPELM(4, 1), HPELM(4, 1)
elm.add_neurons(50, "tanh")
tiny.add_neurons(1, "tanh")

def command(*arguments):
    text = io.StringIO()
    with contextlib.redirect_stderr(text):
        try:
            cli([str(a) for a in arguments], prog_name="daskelm")
        except SystemExit as end:
            if end.code:
                assert end.code == 2, (end.code, text.getvalue())
                [line] = [line for line in text.getvalue().splitlines() if line.startswith("daskelm: error:")]
                raise FileWriteError(line) from None

# (name, how the old file is made, how the new one is written, which file that is)
CALLS = [
    ("model.save", lambda: small.save("m.h5"), lambda: model.save("m.h5", sums=True), "m.h5"),
    ("sums.save", lambda: NormalEquations.load("a.h5").save("s.h5"),
     lambda: model.normal_equations_.save("s.h5"), "s.h5"),
    ("accumulate", lambda: NormalEquations.load("a.h5").save("s.h5"),
     lambda: drawn.accumulate("X.h5", "y.h5", into="s.h5"), "s.h5"),
    ("accumulate without locks", lambda: NormalEquations.load("a.h5").save("s.h5"),
     lambda: drawn.accumulate("X.h5", "y.h5", into="s.h5", lock=False), "s.h5"),
    ("checkpoint", lambda: None, lambda: ELMRegressor(20, random_state=0).fit("X.h5", "y.h5", checkpoint="c.h5"),
     "c.h5"),
    ("merge", lambda: NormalEquations.load("a.h5").save("s.h5"), lambda: merge(["s.h5", "b.h5"], into="s.h5"), "s.h5"),
    ("remove", lambda: merge(["a.h5", "b.h5"]).save("s.h5"),
     lambda: drawn.remove("X.h5", "y.h5", rows=slice(0, 500), sums="s.h5"), "s.h5"),
    ("make_hdf5", lambda: make_hdf5(X[:9], "t.h5"), lambda: make_hdf5(X, "t.h5"), "t.h5"),
    ("to_hdf5", lambda: make_hdf5(X[:9], "t.h5"),
     lambda: to_hdf5(from_hdf5("X.h5"), "t.h5", compression="gzip"), "t.h5"),
    ("predict to HDF5", lambda: small.predict(X[:9], out="p.h5"), lambda: model.predict("X.h5", out="p.h5"), "p.h5"),
    ("words to HDF5", lambda: words.predict(X[:9], out="w.h5"), lambda: words.predict("X.h5", out="w.h5"), "w.h5"),
    ("predict to Parquet", lambda: small.predict(X[:9], out="p.parquet"),
     lambda: model.predict("X.h5", out="p.parquet"), "p.parquet"),
    ("array to Parquet", lambda: small.predict(X[:9], out="p.parquet"),
     lambda: model.predict(X, out="p.parquet"), "p.parquet"),
    ("HPELM.save", lambda: tiny.save("e.h5"), lambda: elm.save("e.h5"), "e.h5"),
    ("HPELM.add_data", lambda: None, lambda: elm.add_data("X.h5", "y.h5", fHH="HH.h5", fHT="HT.h5"), "HH.h5"),
    ("command make-hdf5", lambda: make_hdf5(X[:9], "t.h5"), lambda: command("make-hdf5", "X.npy", "t.h5"), "t.h5"),
    ("command init", lambda: small.save("m.h5"), lambda: command("init", "X.h5", "m.h5", "--neurons", 20), "m.h5"),
    ("command accumulate", lambda: NormalEquations.load("a.h5").save("s.h5"),
     lambda: command("accumulate", "drawn.h5", "X.h5", "y.h5", "--into", "s.h5"), "s.h5"),
    ("command merge", lambda: NormalEquations.load("a.h5").save("s.h5"),
     lambda: command("merge", "s.h5", "b.h5", "--into", "s.h5"), "s.h5"),
    ("command solve", lambda: small.save("m.h5"),
     lambda: command("solve", "drawn.h5", "a.h5", "--out", "m.h5"), "m.h5"),
    ("command predict", lambda: small.predict(X[:9], out="p.h5"),
     lambda: command("predict", "model.h5", "X.h5", "--out", "p.h5"), "p.h5"),
    ("command select", lambda: open("scores.csv", "w").close(),
     lambda: command("select", "drawn.h5", "a.h5", "b.h5", "--folds", "--neurons", "1,2,3,5,8,10,12,15,18,20", "--out",
                     "m.h5", "--table", "scores.csv", "--force"), "scores.csv"),
]
np.save("X.npy", X)
drawn.save("drawn.h5")

def content():
    return {name: open(name, "rb").read() for name in sorted(os.listdir()) if not name.endswith(".lock")}

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

for name, before, write, file in CALLS:
    def start():
        for old in ("m.h5", "s.h5", "s.h5.lock", "c.h5", "t.h5", "p.h5", "p.parquet", "w.h5", "e.h5", "scores.csv",
                    "HH.h5", "HT.h5", "HH.h5.sums", "c.h5.lock", *(one for one in os.listdir() if "HH" in one)):
            with contextlib.suppress(FileNotFoundError):
                os.remove(old)
        before()
        return content()

    start()
    with contextlib.redirect_stdout(io.StringIO()):
        write()
    whole = os.path.getsize(file)
    failed = 0
    for size in [33, whole // 3, whole - 1]:
        held = start()
        limit(size)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                write()
        except FileWriteError as error:
            failed += 1
            assert "cannot be written: File too large" in str(error), error
            assert "as it was" in str(error) or "There is no file" in str(error), error
        finally:
            limit(resource.RLIM_INFINITY)
        gc.collect()
        now = content()
        # What was complete before the one that failed may be there.
        assert all(now.get(old) == data for old, data in held.items() if old != "m.h5" or file == "m.h5"), (name, size)
        assert not [one for one in now if one.endswith(".tmp")], now.keys()
    print(name.replace(" ", "_"), failed)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_disk_that_takes_no_more_is_one_error_in_every_writer(here):
    done = subprocess.run([sys.executable, "-c", WRITERS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    failed = dict(line.split() for line in done.stdout.splitlines())
    assert len(failed) == 22
    assert all(int(n) == 3 for n in failed.values()), failed


@pytest.mark.parametrize("code", [errno.EROFS, errno.EDQUOT, errno.EACCES, errno.ENOSPC])
def test_a_folder_in_which_no_file_can_be_made(here, monkeypatch, code):
    """As a read-only file system, a quota of files, no permission: the first step of every writer fails."""
    import numpy as np
    from click.testing import CliRunner

    from daskelm import ELMRegressor, NormalEquations, from_hdf5, make_hdf5, merge, to_hdf5
    from daskelm.cli import cli
    from daskelm.exceptions import FileWriteError
    from daskelm.hpelm import HPELM

    X = np.random.default_rng(0).standard_normal((100, 3))
    make_hdf5(X, "X.h5")
    make_hdf5(X[:, 0], "y.h5")
    model = ELMRegressor(5, random_state=0).fit(X, X[:, 0])
    model.save("m.h5")
    drawn = ELMRegressor(5, random_state=0).initialize(X)
    drawn.save("drawn.h5")
    drawn.accumulate("X.h5", "y.h5", into="s.h5")
    elm = HPELM(3, 1)
    elm.add_neurons(5, "tanh")
    for name in ("p.h5", "p.parquet"):
        model.predict(X[:5], out=name)
    before = {path.name: path.read_bytes() for path in here.iterdir()}

    def refuse(*args, **options):
        raise OSError(code, os.strerror(code), "somewhere")

    monkeypatch.setattr("daskelm.hdf5.atomic.tempfile.mkstemp", refuse)
    for write in (
        lambda: make_hdf5(X, "X2.h5"),
        lambda: to_hdf5(from_hdf5("X.h5"), "p.h5", overwrite=True),
        lambda: model.predict(X, out="p.h5"),
        lambda: model.predict("X.h5", out="p.parquet"),
        lambda: model.save("m.h5"),
        lambda: NormalEquations.load("s.h5").save("s2.h5"),
        lambda: merge("s.h5", into="s3.h5"),
        lambda: drawn.remove("X.h5", "y.h5", sums="s.h5"),
        lambda: elm.save("e.h5"),
    ):
        with pytest.raises(FileWriteError, match=rf"cannot be written: {os.strerror(code)}\. (The file|There is)"):
            write()
    for arguments in (
        ["predict", "m.h5", "X.h5", "--out", "p.h5"],
        ["solve", "drawn.h5", "s.h5", "--out", "m.h5"],
        ["select", "drawn.h5", "s.h5", "--gcv", "--neurons", "3,5", "--out", "m.h5", "--table", "t.csv"],
    ):
        done = CliRunner().invoke(cli, arguments)
        assert (done.exit_code, "cannot be written: " in done.output) == (2, True), done.output
    after = {path.name: path.read_bytes() for path in here.iterdir()}
    # Locks that were made for sums files that could not be written stay.
    assert {name: data for name, data in after.items() if not name.endswith(".lock")} == {
        name: data for name, data in before.items() if not name.endswith(".lock")
    }
