"""Sources and raw files of a dataset are looked for where HDF5 looks for them."""

import os
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest
from layouts import D, X, raw, virtual, write

from daskelm import from_hdf5
from daskelm.exceptions import FileFormatError, FileMissingError
from daskelm.hdf5.external import SourceFiles

pytestmark = pytest.mark.usefixtures("empty_folder")


def files_of(dataset):
    """All files that a dataset is read from, in order."""
    path = os.path.abspath(dataset.file.filename)
    with SourceFiles() as sources:
        return list(dict.fromkeys([path, *sources.survey(dataset, path, 0, len(dataset)).files]))


def kept_apart(monkeypatch, virtual_prefix=None, cwd=None):
    """A virtual dataset in a/, its sources in b/."""
    virtual(folder="a")
    os.mkdir("b")
    for name in ("a.h5", "b.h5", "c.h5"):
        os.rename(f"a/{name}", f"b/{name}")


@pytest.mark.parametrize("where", ["prefix", "list of prefixes", "origin", "folder of the process", "behind a link"])
def test_sources_are_looked_for_as_hdf5_does(monkeypatch, where):
    kept_apart(monkeypatch)
    path = os.path.abspath("a/v.h5")
    with pytest.raises(FileMissingError, match=r"a\.h5, from which rows 0 to 199 .* looked for .*/a/a\.h5, "):
        from_hdf5(path)
    if where == "prefix":
        monkeypatch.setenv("HDF5_VDS_PREFIX", os.path.abspath("b"))
    elif where == "list of prefixes":
        monkeypatch.setenv("HDF5_VDS_PREFIX", f"none:{os.path.abspath('b')}")
    elif where == "origin":
        # Read by HDF5 when it starts.
        code = "from daskelm import from_hdf5; print(from_hdf5('a/v.h5').compute().sum())"
        environment = os.environ | {"HDF5_VDS_PREFIX": "${ORIGIN}/../b"}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert float(done.stdout) == pytest.approx(X.sum())
        return
    elif where == "folder of the process":
        monkeypatch.chdir("b")
    else:
        os.rename("a/v.h5", "b/v.h5")
        os.symlink("../b/v.h5", "a/v.h5")
    np.testing.assert_array_equal(from_hdf5(path).compute(), X)


def test_an_absolute_name_that_is_gone_is_looked_for_beside_the_file():
    folder = os.path.abspath("first")
    names = [f"{folder}/{name}" for name in ("a.h5", "b.h5", "c.h5")]
    virtual("v.h5", folder, names)
    os.rename("first", "second")
    np.testing.assert_array_equal(from_hdf5("second/v.h5").compute(), X)
    assert files_of(h5py.File("second/v.h5")["data"])[1] == os.path.abspath("second/a.h5")


def test_the_first_place_is_taken(monkeypatch):
    virtual(folder="a")
    write("b/a.h5", X[:200] + 1)
    monkeypatch.setenv("HDF5_VDS_PREFIX", os.path.abspath("b"))
    source = from_hdf5("a/v.h5")
    np.testing.assert_array_equal(source[:200].compute(), X[:200] + 1)
    with h5py.File("a/v.h5") as file:
        found = files_of(file["data"])
    assert found == [os.path.abspath(name) for name in ("a/v.h5", "b/a.h5", "a/b.h5", "a/c.h5")]


def test_raw_files_are_looked_for_as_hdf5_does(monkeypatch):
    os.mkdir("a")
    monkeypatch.chdir("a")
    raw()
    np.testing.assert_array_equal(from_hdf5("v.h5").compute(), X)
    assert files_of(h5py.File("v.h5")["data"]) == [os.path.abspath(name) for name in ("v.h5", "a.bin", "b.h5")]
    monkeypatch.chdir("..")
    with pytest.raises(
        FileMissingError, match=r"/a\.bin, the raw file of rows 0 to 299 of '/data' in .*a/v\.h5, .*ORIGIN"
    ):
        from_hdf5("a/v.h5")
    code = "from daskelm import from_hdf5; print(from_hdf5('a/v.h5').compute().sum())"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | {"HDF5_EXTFILE_PREFIX": prefix},
            stdout=subprocess.PIPE,
            text=True,
        )
        for prefix in ("${ORIGIN}", "a", os.path.abspath("a"), "${ORIGIN}/../a")
    ]
    for shown in [process.communicate()[0] for process in started]:
        assert float(shown) == pytest.approx(X.sum())


def test_a_dataset_that_was_opened_with_a_prefix_is_refused(monkeypatch):
    kept_apart(monkeypatch)
    with h5py.File("a/v.h5") as file:
        access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
        access.set_virtual_prefix(os.path.abspath("b").encode())
        dataset = h5py.Dataset(h5py.h5d.open(file.id, b"data", access))
        np.testing.assert_array_equal(dataset[:], X)
        with pytest.raises(FileFormatError, match=r"opened with virtual_prefix=.*Set .*HDF5_VDS_PREFIX"):
            from_hdf5(dataset)


def test_a_virtual_dataset_that_is_its_own_source_is_an_error():
    layout = h5py.VirtualLayout(X.shape, "f8")
    layout[:] = h5py.VirtualSource(".", "data", X.shape)
    with h5py.File("v.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    with pytest.raises(FileFormatError, match="must come to an end; got sources of sources"):
        from_hdf5("v.h5")


def test_sources_in_the_same_file_and_behind_links():
    with h5py.File("v.h5", "w") as file:
        file["here"] = X[:300]
    write("far.h5", X[300:])
    with h5py.File("between.h5", "w") as file:
        file["there"] = h5py.ExternalLink("far.h5", "data")
    layout = h5py.VirtualLayout(X.shape, "f8")
    layout[:300] = h5py.VirtualSource("v.h5", "here", (300, D))
    layout[300:] = h5py.VirtualSource("between.h5", "there", (300, D))
    with h5py.File("v.h5", "a") as file:
        file.create_virtual_dataset("data", layout)
    source = from_hdf5("v.h5", dataset="data")
    np.testing.assert_array_equal(source.compute(), X)
    names = ("v.h5", "between.h5", "far.h5")
    assert files_of(h5py.File("v.h5")["data"]) == [os.path.abspath(name) for name in names]
    os.remove("far.h5")
    with pytest.raises(FileFormatError, match=r"far\.h5"):
        source.compute()


@pytest.mark.parametrize("what", ["columns", "gaps"])
def test_virtual_datasets_that_cannot_be_looked_through_are_refused(what):
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    endless, space = h5py.h5s.UNLIMITED, h5py.h5s.create_simple((4, 4), (h5py.h5s.UNLIMITED,) * 2)
    here = space.copy()
    there = h5py.h5s.create_simple((8, 4), (endless, endless))
    if what == "columns":
        here.select_hyperslab((0, 0), (1, endless), (4, 4), (4, 4))
        there = h5py.h5s.create_simple((4, 4))
    else:
        here.select_hyperslab((0, 0), (endless, 1), (2, 4), (2, 4))
        there.select_hyperslab((0, 0), (endless, 1), (4, 4), (2, 4))
    made.set_virtual(here, b"a%b.h5" if what == "columns" else b"a0.h5", b"data", there)
    write("a0.h5", np.ones((8, 4)), maxshape=(None, None))
    with h5py.File("v.h5", "w") as file:
        h5py.h5d.create(file.id, b"data", h5py.h5t.NATIVE_DOUBLE, space, made)
    with pytest.raises(FileFormatError, match=r"v\.h5: virtual dataset '/data' has .*cannot be checked"):
        from_hdf5("v.h5")


def test_many_sources_take_few_handles(no_client):
    """More of them than a process may have open."""
    many = np.arange(720.0).reshape(240, 3)
    virtual("v.h5", names=[f"s{i}.h5" for i in range(120)], data=many)
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))\n"
        "import numpy as np; from daskelm import from_hdf5; from daskelm.hdf5.rows import open_rows\n"
        "assert from_hdf5('v.h5', chunks=20).compute(scheduler='synchronous').sum() == np.arange(720.0).sum()\n"
        "with open_rows('v.h5').open() as reader:\n"
        "    assert sum(reader.read(i, i + 10).sum() for i in range(0, 240, 10)) == np.arange(720.0).sum()\n"
        "try:\n    open_rows('v.h5').read(0, 240)\nexcept OSError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.search(r"s\d+\.h5, from which rows .* cannot be opened .*Too many open files", done.stdout)
