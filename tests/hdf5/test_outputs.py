"""Files that are written: never an input, whatever it is called; never anything but a file; nothing of another kind."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import dask
import dask.array as da
import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from daskelm import (
    ELMClassifier,
    ELMRegressor,
    HiddenLayer,
    NormalEquations,
    from_hdf5,
    load,
    make_hdf5,
    merge,
    to_hdf5,
)
from daskelm.cli import cli
from daskelm.exceptions import FileFormatError, FileWriteError, ParameterError
from daskelm.hdf5.contents import files_read, foreign_contents
from daskelm.hdf5.outputs import check_not_an_input
from daskelm.hdf5.paths import identities, open_regular
from daskelm.hpelm import HPELM, convert_model, modules

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


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder, on a disk that is not waited for: a thousand tests would wait for it three times each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    return tmp_path


# No input is overwritten


def linked_folder():
    os.mkdir("data")
    os.rename("x.h5", "data/x.h5")
    os.symlink("data", "linked")


def symlink():
    os.symlink("x.h5", "alias.h5")


def hard_link():
    os.link("x.h5", "alias.h5")


def dataset():
    return h5py.File("x.h5", "r")["data"]


def virtual(source, name="data"):
    layout = h5py.VirtualLayout((N, D), "f8")
    layout[:] = h5py.VirtualSource(source, name, (N, D))
    with h5py.File(f"virtual-{os.path.basename(source)}", "w") as file:
        file.create_virtual_dataset("data", layout)
    return f"virtual-{os.path.basename(source)}"


def blocks_without_end():
    os.rename("x.h5", "x-0.h5")
    layout = h5py.h5s.create_simple((N, D), (h5py.h5s.UNLIMITED, D))
    layout.select_hyperslab((0, 0), (h5py.h5s.UNLIMITED, 1), (N, D), (N, D))
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_virtual(layout, b"x-%b.h5", b"data", h5py.h5s.create_simple((N, D)))
    with h5py.File("virtual.h5", "w") as file:
        h5py.h5d.create(file.id, b"data", h5py.h5t.IEEE_F64LE, layout, made)
    return "virtual.h5"


def external_link(target="x.h5", name="linking.h5"):
    with h5py.File(name, "w") as file:
        file["data"] = h5py.ExternalLink(target, "/data")
    return name


def external_group():
    os.rename("x.h5", "x-old.h5")
    make_hdf5(TABLE, "x.h5", "inner/data")
    with h5py.File("linking.h5", "w") as file:
        file["group"] = h5py.ExternalLink("x.h5", "/inner")
        file["data"] = h5py.SoftLink("/group/data")
    return da.from_array(h5py.File("linking.h5", "r")["data"], chunks=(9, D))


def external_storage():
    os.rename("x.h5", "x-old.h5")
    TABLE.tofile("x.h5")
    with h5py.File("outside.h5", "w") as file:
        file.create_dataset("data", (N, D), "f8", external=[("x.h5", 0, TABLE.nbytes)])
    return "outside.h5"


def read(path):
    with h5py.File(path, "r") as file:
        return file["data"][:]


def from_closure():
    path = Path("x.h5")
    return da.map_blocks(lambda: read(path), dtype=float, chunks=((N,), (D,)))


class Reader:
    """An array of somebody else's library."""

    shape, dtype, ndim = (N, D), np.dtype(float), 2

    def __init__(self, path):
        self._inner = {"file": [path]}

    def __getitem__(self, index):
        return read(self._inner["file"][0])[index]


class SlottedReader(Reader):
    __slots__ = ("_inner",)


def mapped():
    rows = np.memmap("x.h5", float, "r", offset=os.path.getsize("x.h5") % 8, shape=(N, D))
    return rows[5:][:, :]


# How X names x.h5, and how `out` does; what has to be made first is made in the first, which is called in the folder.
ALIASES = {
    "same path": (lambda: "x.h5", "x.h5"),
    "other spelling": (lambda: "x.h5", "./nowhere/../x.h5"),
    "absolute path": (lambda: os.path.abspath("x.h5"), "x.h5"),
    "URL of a local file": (lambda: f"file://{os.path.abspath('x.h5')}", "x.h5"),
    "out is a link": (lambda: symlink() or "x.h5", "alias.h5"),
    "X is a link": (lambda: symlink() or "alias.h5", "x.h5"),
    "out is a hard link": (lambda: hard_link() or "x.h5", "alias.h5"),
    "X is a hard link": (lambda: hard_link() or "alias.h5", "x.h5"),
    "out in a linked folder": (lambda: linked_folder() or "data/x.h5", "linked/x.h5"),
    "X in a linked folder": (lambda: linked_folder() or "linked/x.h5", "data/x.h5"),
    "one of a list": (lambda: ["other.h5", "x.h5"], "x.h5"),
    "one of a glob": (lambda: "*.h5", "x.h5"),
    "from_hdf5": (lambda: from_hdf5("x.h5"), "x.h5"),
    "slice": (lambda: from_hdf5("x.h5")[:20], "x.h5"),
    "slice by way of a link": (lambda: symlink() or from_hdf5("alias.h5", chunks=7)[5:20], "x.h5"),
    "expression": (lambda: from_hdf5("x.h5") * 1.0, "x.h5"),
    "expression, optimised": (lambda: dask.optimize(from_hdf5("x.h5") * 1.0 + 1)[0], "x.h5"),
    "two tables": (lambda: da.concatenate([from_hdf5("other.h5"), from_hdf5("x.h5") + 0]), "x.h5"),
    "frame": (lambda: from_hdf5("x.h5").to_dask_dataframe(), "x.h5"),
    "h5py.Dataset": (dataset, "x.h5"),
    "array of an h5py.Dataset": (lambda: da.from_array(dataset(), chunks=(9, D)), "x.h5"),
    "slice of such an array": (lambda: da.from_array(dataset(), chunks=(9, D), inline_array=True)[4:30] * 2, "x.h5"),
    "source of a virtual dataset": (lambda: virtual("x.h5"), "x.h5"),
    "slice of a virtual dataset": (lambda: from_hdf5(virtual("x.h5"))[:9], "x.h5"),
    "virtual dataset of a virtual dataset": (lambda: virtual(virtual("x.h5")), "x.h5"),
    "h5py.Dataset that is virtual": (lambda: da.from_array(h5py.File(virtual("x.h5"))["data"]) + 1, "x.h5"),
    "virtual dataset of files with numbers": (blocks_without_end, "x-0.h5"),
    "virtual dataset in a linked file": (lambda: symlink() or virtual("alias.h5"), "x.h5"),
    "target of an external link": (lambda: from_hdf5(external_link(), "data"), "x.h5"),
    "end of two external links": (lambda: from_hdf5(external_link(external_link(), "first.h5"), "data"), "x.h5"),
    "linked group of another file": (external_group, "x.h5"),
    "external storage": (external_storage, "x.h5"),
    "delayed with a path": (lambda: da.from_delayed(dask.delayed(read)("x.h5"), (N, D), float), "x.h5"),
    "function that knows a path": (from_closure, "x.h5"),
    "reader of its own": (lambda: da.from_array(Reader("x.h5"), chunks=(20, D)) + 1, "x.h5"),
    "reader with slots": (lambda: da.from_array(SlottedReader("x.h5"), chunks=(20, D)) + 1, "x.h5"),
    "memory map": (mapped, "x.h5"),
}


def lazy(X):
    """The same as something that `to_hdf5` takes, for writers that do."""
    return X if dask.is_dask_collection(X) else REGRESSOR.predict(X)


WRITERS = {
    "regressor.predict": lambda X, out: REGRESSOR.predict(X, out=out, overwrite=True),
    "classifier.predict": lambda X, out: CLASSIFIER.predict(X, out=out, overwrite=True),
    "predict_proba": lambda X, out: CLASSIFIER.predict_proba(X, out=out, overwrite=True),
    "decision_function": lambda X, out: CLASSIFIER.decision_function(X, out=out, overwrite=True),
    "to_hdf5": lambda X, out: to_hdf5(lazy(X), out, overwrite=True),
    "to_hdf5 of predictions": lambda X, out: to_hdf5(REGRESSOR.predict(X), out, overwrite=True),
    "to_hdf5 of the layer": lambda X, out: to_hdf5(LAYER.transform(X) + 1, out, overwrite=True),
    "make_hdf5": lambda X, out: make_hdf5(X if isinstance(X, h5py.Dataset) else lazy(X), out, overwrite=True),
    "hpelm.predict": lambda X, out: OLD_INTERFACE.predict(X, out, overwrite=True),
    "hpelm.project": lambda X, out: OLD_INTERFACE.project(X, out, overwrite=True),
    "hpelm.make_hdf5": lambda X, out: modules.make_hdf5(lazy(X), out, overwrite=True),
}
# Dask copies a memory map, so that what these write comes from memory.
OF_LAZY = {"to_hdf5", "to_hdf5 of predictions", "to_hdf5 of the layer", "make_hdf5", "hpelm.make_hdf5"}


def contents():
    """Bytes of all files below the current folder."""
    return {path: path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


@pytest.mark.parametrize("alias", ALIASES)
def test_no_input_is_overwritten(alias):
    make_hdf5(TABLE, "x.h5")
    make_hdf5(TABLE, "other.h5")
    os.mkdir("nowhere")
    make, out = ALIASES[alias]
    X = make()
    before = contents()
    message = f"{out} is one of the files that f?.* is read from.*Give another name"
    for writer, write in WRITERS.items():
        if alias == "memory map" and writer in OF_LAZY:
            continue
        with pytest.raises(ParameterError, match=message):
            write(X, out)
        assert contents() == before, writer
    assert np.asarray(from_hdf5("other.h5")).tobytes() == TABLE.tobytes()


def test_the_error_names_both_paths():
    make_hdf5(TABLE, "x.h5")
    symlink()
    with pytest.raises(ParameterError, match=r"^out: alias\.h5 is one of the files that X is read from \(.*/x\.h5\), "):
        REGRESSOR.predict("x.h5", out="alias.h5")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_beside_the_inputs_is_written(overwrite):
    """What is no input is none because it stands beside one, or because it is linked from the same folder."""
    make_hdf5(TABLE, "x.h5")
    make_hdf5(NEW, "y.h5")
    symlink()
    os.symlink("y.h5", "out.h5")
    for X in (
        "x.h5",
        "alias.h5",
        from_hdf5("alias.h5")[:50],
        dataset(),
        virtual("x.h5"),
        from_hdf5(external_link(), "data"),
    ):
        REGRESSOR.predict(X, out="out.h5", overwrite=overwrite)
    assert os.path.islink("out.h5")
    np.testing.assert_array_equal(np.asarray(from_hdf5("y.h5"))[:, 0], REGRESSOR.predict(TABLE))


def test_links_to_other_datasets_are_no_inputs():
    """A file that gathers runs by links may link the predictions too."""
    make_hdf5(TABLE, "x.h5")
    make_hdf5(NEW, "y.h5")
    with h5py.File("all.h5", "w") as file:
        file["X"], file["Y"] = h5py.ExternalLink("x.h5", "/data"), h5py.ExternalLink("y.h5", "/data")
    assert files_read("all.h5", "X") == [os.path.abspath("all.h5"), os.path.abspath("x.h5")]
    REGRESSOR.predict(h5py.File("all.h5", "r")["X"], out="y.h5")
    assert from_hdf5("y.h5").shape == (N, 1)


def test_a_source_that_is_still_to_come_is_an_input():
    make_hdf5(TABLE, "x.h5")
    virtual("x.h5")
    os.remove("x.h5")
    with pytest.raises(ParameterError, match=r"x\.h5 is one of the files that X is read from"):
        check_not_an_input("x.h5", X=da.from_array(h5py.File("virtual-x.h5")["data"]))
    assert not os.path.exists("x.h5")


def test_a_network_file_system_that_is_mounted_twice_is_two_devices(monkeypatch):
    make_hdf5(TABLE, "x.h5")
    shutil.copytree(".", "second-mount")
    stat = os.stat

    def mounted_twice(path, *args, **options):
        found = stat(path.replace("second-mount/", "") if isinstance(path, str) else path, *args, **options)
        if not str(path).startswith("second-mount"):
            return found
        values = list(found)
        values[2] += 1
        times = {name: getattr(found, name) for name in ("st_mtime_ns", "st_ctime_ns", "st_atime_ns")}
        return os.stat_result(values, times)

    monkeypatch.setattr("daskelm.hdf5.paths.os.stat", mounted_twice)
    assert os.stat("x.h5").st_dev != os.stat("second-mount/x.h5").st_dev
    with pytest.raises(ParameterError, match=r"second-mount/x\.h5 is one of the files that X is read from \(.*x\.h5\)"):
        check_not_an_input("second-mount/x.h5", X="x.h5")


def test_copies_are_other_files():
    make_hdf5(TABLE, "x.h5")
    shutil.copy2("x.h5", "copy.h5")
    assert identities("x.h5").isdisjoint(identities("copy.h5"))
    check_not_an_input("copy.h5", X="x.h5")


def test_targets_are_inputs_of_the_hpelm_files_too():
    make_hdf5(TABLE, "x.h5")
    make_hdf5(TABLE[:, :1], "T.h5")
    before = contents()
    for HH, HT in (("x.h5", "HT.h5"), ("HH.h5", "T.h5"), ("T.h5", "HT.h5")):
        with pytest.raises(ParameterError, match="fH[HT]: .* is one of the files that f[XT] is read from"):
            OLD_INTERFACE.add_data("x.h5", "T.h5", fHH=HH, fHT=HT)
    assert contents() == before


def test_a_memory_map_is_an_input():
    make_hdf5(TABLE, "x.h5")
    before = contents()
    for write in (make_hdf5, modules.make_hdf5):
        with pytest.raises(ParameterError, match=r"path: x\.h5 is one of the files that data is read from"):
            write(mapped(), "x.h5", overwrite=True)
    assert contents() == before


def test_files_that_a_name_leads_to():
    make_hdf5(TABLE, "x.h5")
    external_group()
    assert files_read("linking.h5", "data") == [os.path.abspath(name) for name in ("linking.h5", "x.h5")]
    assert files_read("linking.h5", "none") == [os.path.abspath("linking.h5")]
    Path("text").write_text("no HDF5")
    assert files_read("text", "data") == [os.path.abspath("text")]


def test_text_and_pickles_are_inputs_too():
    Path("table.dat").write_text("1 2\n3 4\n")
    os.symlink("table.dat", "alias.dat")
    before = contents()
    for source, target in (("table.dat", "table.dat"), ("table.dat", "alias.dat"), ("alias.dat", "table.dat")):
        with pytest.raises(ParameterError, match=rf"path: {target} is one of the files that data is read from"):
            make_hdf5(source, target, overwrite=True)
        with pytest.raises(RuntimeError, match=rf"path: {target} is one of the files that data is read from"):
            run("make-hdf5", source, target, "--force")
        with pytest.raises(ParameterError, match=rf"target: {target} is one of the files that source is read from"):
            convert_model(source, target, overwrite=True)
    assert contents() == before


COMMANDS = {
    "predict m.h5 x.h5 --out alias.h5": "--out: alias.h5 is one of the files that X is read from",
    "predict m.h5 alias.h5 --out x.h5": "--out: x.h5 is one of the files that X is read from",
    "predict m.h5 virtual-x.h5 --out x.h5": "--out: x.h5 is one of the files that X is read from",
    "predict m.h5 linking.h5::data --out alias.h5": "--out: alias.h5 is one of the files that X is read from",
    "predict m.h5 x.h5 --out m.h5": "--out: m.h5 is one of the files that MODEL is read from",
    "predict m.h5 x.h5 --out other-m.h5": "--out: other-m.h5 is one of the files that MODEL is read from",
    "init x.h5 alias.h5": "MODEL: alias.h5 is one of the files that X is read from",
    "init x.h5 y.h5 --labels y.h5": "MODEL: y.h5 is one of the files that labels is read from",
    "init x.h5 y.h5 --weights y.h5": "MODEL: y.h5 is one of the files that weights is read from",
    "solve m.h5 s.h5 --out s.h5": "--out: s.h5 is one of the files that SUMS is read from",
    "solve m.h5 s*.h5 --out other-s.h5": "--out: other-s.h5 is one of the files that SUMS is read from",
    "select m.h5 s.h5 --out other-s.h5": "--out: other-s.h5 is one of the files that SUMS is read from",
    "select m.h5 s.h5 --validation v.h5 --out v.h5": "--out: v.h5 is one of the files that --validation is read from",
    "select m.h5 s.h5 --table m.csv": "--table: m.csv is one of the files that MODEL is read from",
    "select m.h5 s.h5 --table s.csv": "--table: s.csv is one of the files that SUMS is read from",
}


@pytest.mark.parametrize("line", COMMANDS)
def test_no_input_of_a_command_is_overwritten(line):
    make_hdf5(TABLE, "x.h5")
    make_hdf5(LABELS, "y.h5")
    symlink()
    virtual("x.h5")
    external_link()
    model = ELMRegressor(5, random_state=0).initialize(TABLE)
    model.save("m.h5")
    for rows, name in ((slice(0, 30), "s.h5"), (slice(30, 60), "v.h5")):
        model.accumulate("x.h5", TABLE[:, 0], rows=rows, into=name)
    for name in ("s", "m"):
        os.symlink(f"{name}.h5", f"other-{name}.h5")
        os.symlink(f"{name}.h5", f"{name}.csv")
    before = contents()
    with pytest.raises(RuntimeError, match=COMMANDS[line]):
        run(*line.split(), "--force")
    assert contents() == before


# What may be replaced


def data(path, **more):
    make_hdf5(NEW, path, **more)


def foreign(path):
    with h5py.File(path, "w") as file:
        file["events/features"], file["events/energy"] = TABLE, TABLE[:, 0]
        for i in range(3):
            file[f"run/{i}"] = i
        file.attrs["seed"] = 1


def plain(path):
    with h5py.File(path, "w") as file:
        file["data"] = TABLE


def changed(path, change):
    data(path)
    with h5py.File(path, "a") as file:
        change(file)


def sums(path):
    REGRESSOR.normal_equations_.save(path)


def pipe(path):
    os.mkfifo(path)


def bound_socket(path):
    with socket.socket(socket.AF_UNIX) as own:
        own.bind(path)


def scores(path):
    Path(path).write_text("alpha,n_neurons,mean_test_score,rank_test_score\n1.0,5,0.5,1\n")


NOT_REPLACED = "exists and is not replaced: it "
# What is there, how it is made, the kind that it is of, and what the error says of it.
THERE = {
    "nothing": (lambda path: None, "any", None),
    "an empty file": (lambda path: Path(path).touch(), "any", None),
    "a link to nothing": (lambda path: os.symlink("target.h5", path), "any", None),
    "data": (data, "data", "is an HDF5 file of data"),
    "no rows": (lambda path: make_hdf5(np.empty((0, 2)), path), "data", "is an HDF5 file of data"),
    "a shape": (lambda path: make_hdf5((3, 2), path), "filled by hand", "holds data, not written by daskelm"),
    "normalised data": (lambda path: data(path) or modules.normalize_hdf5(path), "data", "is an HDF5 file of data"),
    "a link to data": (lambda path: data("target.h5") or os.symlink("target.h5", path), "data", "is an HDF5 file of"),
    "predictions": (lambda path: REGRESSOR.predict(TABLE, out=path), "data", "is an HDF5 file of data"),
    "lazy predictions": (lambda path: to_hdf5(da.ones((9, 2)), path), "data", "is an HDF5 file of data"),
    "a model": (REGRESSOR.save, "model", "is a daskelm model file"),
    "another model": (LAYER.save, "model", "is a daskelm model file"),
    "sums": (sums, "sums", "is a daskelm sums file"),
    "a model of hpelm": (OLD_INTERFACE.save, "hpelm", "is a daskelm hpelm file"),
    "scores": (scores, "table", "is no HDF5 file, and not written by daskelm"),
    "data of another name": (lambda path: data(path, dataset="in/X"), None, "holds in/X, not 'data'"),
    "a simulation": (foreign, None, "holds events/energy, events/features and 3 more, not written by daskelm"),
    "data of h5py": (plain, None, "holds data, not written by daskelm"),
    "more in it": (
        lambda path: changed(path, lambda file: file.create_dataset("notes", data=1)),
        None,
        "holds data, notes, not as daskelm wrote it",
    ),
    "a group in it": (
        lambda path: changed(path, lambda file: file.create_group("notes")),
        None,
        "holds data, notes, not as daskelm wrote it",
    ),
    "an inner link": (
        lambda path: changed(path, lambda file: file.__setitem__("notes", h5py.SoftLink("/nowhere"))),
        None,
        "holds data, notes, not as daskelm wrote it",
    ),
    "units": (
        lambda path: changed(path, lambda file: file["data"].attrs.update(units="m")),
        None,
        "holds data, not as daskelm wrote it",
    ),
    "a note": (
        lambda path: changed(path, lambda file: file.attrs.update(note="keep")),
        None,
        "holds data, not as daskelm wrote it",
    ),
    "text": (lambda path: Path(path).write_text("a,b\n1,2\n"), None, "is no HDF5 file, and not written by daskelm"),
    "an array": (lambda path: np.save("a.npy", NEW) or os.rename("a.npy", path), None, "is no HDF5 file"),
    "a link to text": (lambda path: Path("t").write_text("x") and os.symlink("t", path), None, "is no HDF5 file"),
    "damaged HDF5": (lambda path: foreign(path) or os.truncate(path, 900), None, "is an HDF5 file that cannot be read"),
    "a damaged model": (
        lambda path: Path(path).write_bytes(b"daskelm file\n{".ljust(600)),
        None,
        "cannot be read .*the header of this daskelm file is damaged",
    ),
}
# What each writes, its kind, and what it must have written.
TARGETS = {
    "make_hdf5": (lambda path, **more: make_hdf5(NEW, path, **more), "data"),
    "make_hdf5 of text": (
        lambda path, **more: Path("n.dat").write_text("0 1\n2 3\n") and make_hdf5("n.dat", path, **more),
        "data",
    ),
    "to_hdf5": (lambda path, **more: to_hdf5(da.from_array(NEW), path, **more), "data"),
    "predict": (lambda path, **more: REGRESSOR.predict(TABLE, out=path, **more), "data"),
    "lazy predict": (lambda path, **more: REGRESSOR.predict(da.from_array(TABLE), out=path, **more), "data"),
    "labels": (lambda path, **more: CLASSIFIER.predict(TABLE, out=path, **more), "data"),
    "predict_proba": (lambda path, **more: CLASSIFIER.predict_proba(TABLE, out=path, **more), "data"),
    "decision_function": (lambda path, **more: CLASSIFIER.decision_function(TABLE, out=path, **more), "data"),
    "hpelm.predict": (lambda path, **more: OLD_INTERFACE.predict(TABLE, path, **more), "data"),
    "hpelm.project": (lambda path, **more: OLD_INTERFACE.project(TABLE, path, **more), "data"),
    "hpelm.make_hdf5": (lambda path, **more: modules.make_hdf5(NEW, path, **more), "data"),
    "regressor.save": (REGRESSOR.save, "model"),
    "classifier.save": (CLASSIFIER.save, "model"),
    "layer.save": (LAYER.save, "model"),
    "sums.save": (REGRESSOR.normal_equations_.save, "sums"),
    "hpelm.save": (OLD_INTERFACE.save, "hpelm"),
    "daskelm make-hdf5": (lambda path, **more: command("make-hdf5 n.dat", path, **more), "data"),
    "daskelm predict": (lambda path, **more: command("predict ready.h5 ready-x.h5 --out", path, **more), "data"),
    "daskelm init": (lambda path, **more: command("init ready-x.h5", path, **more), "model"),
    "daskelm solve": (lambda path, **more: command("solve ready.h5 ready-s.h5 --out", path, **more), "model"),
    "daskelm select": (lambda path, **more: command("select ready.h5 ready-s.h5 --out", path, **more), "model"),
    "daskelm select --table": (
        lambda path, **more: command("select ready.h5 ready-s.h5 --out chosen.h5 --table", path, **more),
        "table",
    ),
}


def command(line, path, overwrite=False):
    if not os.path.exists("n.dat"):
        Path("n.dat").write_text("0 1\n2 3\n")
        REGRESSOR.save("ready.h5")
        sums("ready-s.h5")
        make_hdf5(TABLE, "ready-x.h5")
    run(*line.split(), path, *["--force"] * overwrite)


def suffix(writer):
    return "out.csv" if writer.endswith("--table") else "out.h5"


def lies_at(path, kind):
    """Whether there is a whole file of the kind."""
    if kind == "data":
        return foreign_contents(path, "data") is None and bool(from_hdf5(path).shape)
    if kind == "table":
        return Path(path).read_text().startswith("alpha,n_neurons,")
    if kind == "hpelm":
        return HPELM(D, 1, tprint=None).load(path) is None
    return (load if kind == "model" else NormalEquations.load)(path) is not None


@pytest.mark.parametrize("there", THERE)
@pytest.mark.parametrize("writer", TARGETS)
def test_only_what_daskelm_wrote_there_is_replaced(writer, there):
    path = suffix(writer)
    (make, kind, told), (write, needed) = THERE[there], TARGETS[writer]
    # What is made as HDF5 may not be called otherwise.
    make("made.h5")
    if os.path.lexists("made.h5"):
        os.rename("made.h5", path)
    before = contents()
    if kind not in ("any", needed):
        with pytest.raises((FileWriteError, RuntimeError), match=f"{path} {NOT_REPLACED}({told}).*--force"):
            write(path)
        assert before.items() <= contents().items()
        assert not [name for name in os.listdir() if name.endswith(".tmp")]
        write(path, overwrite=True)
    else:
        write(path)
    assert lies_at(path, needed)
    # A second time, over its own.
    write(path)
    assert os.path.islink(path) == there.startswith("a link")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (os.mkdir, "is a folder; give the name of a file in it"),
        (pipe, "is a named pipe"),
        (bound_socket, "is a socket"),
    ],
)
@pytest.mark.parametrize("writer", TARGETS)
def test_nothing_but_a_file_is_ever_replaced(writer, make, told, linked, overwrite):
    path = suffix(writer)
    make("special" if linked else path)
    if linked:
        os.symlink("special", path)
    mode = os.stat(path).st_mode
    with pytest.raises((FileFormatError, RuntimeError), match=f"{path} {told}"):
        TARGETS[writer][0](path, overwrite=overwrite)
    assert os.stat(path).st_mode == mode
    assert os.path.islink(path) == linked


def test_links_in_a_circle_are_an_error():
    os.symlink("b.h5", "a.h5")
    os.symlink("a.h5", "b.h5")
    with pytest.raises(FileFormatError, match=r"a\.h5 must be a regular file, .* links that lead in a circle"):
        make_hdf5(NEW, "a.h5", overwrite=True)
    assert os.path.islink("a.h5")


def test_hpelm_files_of_sums_are_told_apart_from_others():
    make_hdf5(TABLE, "x.h5")
    OLD_INTERFACE.add_data("x.h5", TABLE[:, :1], fHH="HH.h5", fHT="HT.h5")
    OLD_INTERFACE.add_data("x.h5", TABLE[:, :1], fHH="HH.h5", fHT="HT.h5")
    os.remove("HT.h5")
    foreign("HT.h5")
    before = contents()
    with pytest.raises(FileWriteError, match=r"HT\.h5 exists and is not replaced: it holds events/energy, "):
        OLD_INTERFACE.add_data(TABLE, TABLE[:, :1], fHH="HH.h5", fHT="HT.h5")
    assert contents() == before
    os.remove("HT.h5")
    os.mkfifo("HT.h5")
    with pytest.raises(FileFormatError, match=r"HT\.h5 is a named pipe"):
        OLD_INTERFACE.add_data(TABLE, TABLE[:, :1], fHH="HH.h5", fHT="HT.h5")


def test_normalising_changes_a_file_of_any_contents_in_place():
    foreign("x.h5")
    with h5py.File("x.h5", "a") as file:
        del file["events/energy"]
    modules.normalize_hdf5("x.h5")
    with h5py.File("x.h5") as file:
        np.testing.assert_allclose(file["events/features"][:].std(axis=0), 1)
        assert file.attrs["seed"] == 1


# When it is looked at


class Counting:
    """A table that counts how often it is read."""

    shape, dtype, ndim = (N, D), np.dtype(float), 2
    reads = 0

    def __getitem__(self, index):
        Counting.reads += 1
        return TABLE[index]


def test_it_is_looked_at_before_the_work():
    foreign("out.h5")
    Counting.reads = 0
    X = da.from_array(Counting(), chunks=(20, D), meta=np.empty((0, 0)))
    for write in (
        lambda: REGRESSOR.predict(X, out="out.h5"),
        lambda: to_hdf5(X, "out.h5"),
        lambda: make_hdf5(X, "out.h5"),
        lambda: OLD_INTERFACE.predict(X, "out.h5"),
    ):
        with pytest.raises(FileWriteError, match="holds events/energy"):
            write()
    assert Counting.reads == 0


@pytest.mark.parametrize("X", [TABLE, "x.h5"], ids=["in memory", "file"])
def test_in_memory_nothing_is_computed_either(X, monkeypatch):
    make_hdf5(TABLE, "x.h5")
    foreign("out.h5")
    monkeypatch.setattr("daskelm.passes.predict._in_blocks", lambda *args: pytest.fail("rows were worked on"))
    with pytest.raises(FileWriteError, match="holds events/energy"):
        REGRESSOR.predict(X, out="out.h5")
    with pytest.raises(FileWriteError, match="holds events/energy"):
        OLD_INTERFACE.predict(X, "out.h5")


@pytest.mark.parametrize("overwrite", [False, True])
def test_it_is_looked_at_again_before_the_rename(overwrite):
    """Hours later, somebody else's file may be there."""

    def meanwhile(block):
        if block.size and not os.path.exists("out.h5"):
            foreign("out.h5")
        return block

    X = da.from_array(TABLE, chunks=(20, D)).map_blocks(meanwhile, meta=np.empty((0, 0)))
    if overwrite:
        to_hdf5(X, "out.h5", overwrite=True)
        assert from_hdf5("out.h5").shape == (N, D)
        return
    with pytest.raises(FileWriteError, match=f"{NOT_REPLACED}holds events/energy"):
        to_hdf5(X, "out.h5")
    assert foreign_contents("out.h5", "data").startswith("holds events/energy")
    assert os.listdir() == ["out.h5"]


def test_nor_is_a_pipe_that_came_meanwhile_replaced():
    def meanwhile(block):
        if block.size and not os.path.exists("out.h5"):
            os.mkfifo("out.h5")
        return block

    X = da.from_array(TABLE, chunks=(20, D)).map_blocks(meanwhile, meta=np.empty((0, 0)))
    with pytest.raises(FileFormatError, match=r"out\.h5 is a named pipe"):
        to_hdf5(X, "out.h5", overwrite=True)
    assert Path("out.h5").is_fifo()


# The parameter itself


@pytest.mark.parametrize("value", ["no", None, 1, 0.0])
def test_overwrite_is_true_or_false(value):
    data("out.h5")
    before = contents()
    for write, _ in list(TARGETS.values())[:16]:
        if write is not TARGETS["make_hdf5 of text"][0]:
            with pytest.raises(ParameterError, match="overwrite must be True or False; got "):
                write("out.h5", overwrite=value)
    assert contents() == before


def test_overwrite_without_a_file_is_an_error():
    for call in (REGRESSOR.predict, CLASSIFIER.predict, CLASSIFIER.predict_proba, CLASSIFIER.decision_function):
        with pytest.raises(ParameterError, match="overwrite: it goes with out=, a file to write; got True without one"):
            call(TABLE, overwrite=True)
    with pytest.raises(ParameterError, match="overwrite: it goes with out="):
        REGRESSOR.predict(TABLE, return_std=True, overwrite=True)
    for call in (OLD_INTERFACE.predict, OLD_INTERFACE.project):
        with pytest.raises(ParameterError, match="overwrite: it goes with a file to write"):
            call(TABLE, overwrite=True)


@pytest.mark.parametrize("model", [REGRESSOR, CLASSIFIER])
def test_overwrite_is_no_metadata(model):
    requests = model.get_metadata_routing()
    for method in ("predict", "predict_proba", "decision_function"):
        if hasattr(model, method):
            assert not {"out", "overwrite"} & getattr(requests, method).requests.keys()


# Reading what is no file


READERS = {
    "load": load,
    "NormalEquations.load": NormalEquations.load,
    "from_hdf5": from_hdf5,
    "fit": lambda path: ELMRegressor(3).fit(path, TABLE[:, 0]),
    "solve": lambda path: ELMRegressor(3).initialize(TABLE).solve(path),
    "merge": merge,
    "accumulate into": lambda path: ELMRegressor(3).initialize(TABLE).accumulate(TABLE, TABLE[:, 0], into=path),
    "make_hdf5": lambda path: make_hdf5(path, "new.h5"),
    "hpelm.load": lambda path: HPELM(D, 1).load(path),
    "convert_model": lambda path: convert_model(path, "new.h5"),
    "daskelm info": lambda path: run("info", path),
    "daskelm predict": lambda path: run("predict", path, path, "--out", "new.h5"),
}


@pytest.mark.parametrize("reader", READERS)
def test_reading_a_pipe_does_not_wait_for_a_writer(reader):
    pipe("pipe.h5")
    with pytest.raises((FileFormatError, RuntimeError), match=r"pipe\.h5 is a named pipe"):
        READERS[reader]("pipe.h5")
    assert Path("pipe.h5").is_fifo()
    assert not os.path.exists("new.h5")


def test_a_pipe_is_no_place_for_sums():
    pipe("pipe.h5")
    make_hdf5(TABLE, "x.h5")
    done = CliRunner().invoke(cli, ["check", "x.h5", "--into", "pipe.h5"])
    assert "pipe.h5 must be a new file, or one of sums; got something else" in done.output


def test_open_regular_reads_files_as_open_does():
    Path("file").write_bytes(b"abc")
    with open_regular("file") as file:
        assert file.read() == b"abc"
    with pytest.raises(FileNotFoundError):
        open_regular("none")


# Lock files


def accumulate():
    ELMRegressor(3, random_state=0).initialize(TABLE).accumulate(TABLE, TABLE[:, 0], into="sums.h5")


def test_a_lock_file_that_is_a_link_is_not_followed():
    Path("precious").write_text("export PATH\n")
    for target in ("precious", "nowhere"):
        os.symlink(target, "sums.h5.lock")
        with pytest.raises(FileWriteError, match=r"sums\.h5\.lock must be a regular file .*; got a symbolic link"):
            accumulate()
        os.remove("sums.h5.lock")
    assert Path("precious").read_text() == "export PATH\n"
    assert os.listdir() == ["precious"]


@pytest.mark.parametrize("text", ["export PATH\n", "12 monkeys", "1" * 40, "-5\n", "\n", "\0" * 21])
def test_a_lock_file_with_something_else_in_it_is_left_as_it_is(text):
    Path("precious").write_text(text)
    os.link("precious", "sums.h5.lock")
    with pytest.raises(FileWriteError, match=r"sums\.h5\.lock must be empty or hold the number .*; got something else"):
        accumulate()
    assert Path("precious").read_text() == text
    assert not os.path.exists("sums.h5")


def test_a_lock_file_that_is_a_pipe_is_an_error():
    pipe("sums.h5.lock")
    with pytest.raises(FileWriteError, match=r"sums\.h5\.lock must be a regular file .*; got a pipe or a device"):
        accumulate()
    # Nor does it hang where only its number is wanted.
    sums("sums.h5")
    assert NormalEquations.load("sums.h5").n_samples == N


def test_a_lock_file_of_ours_goes_on():
    accumulate()
    accumulate()
    assert Path("sums.h5.lock").read_text() == f"{2:020d}\n"
    assert NormalEquations.load("sums.h5").n_samples == 2 * N


def test_a_lock_file_that_takes_no_number_loses_nothing(monkeypatch):
    calls = []

    def broken_for_the_lock(handle):
        calls.append(handle)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken_for_the_lock)
    with pytest.raises(
        FileWriteError, match=r"sums\.h5 was written whole, but not its number to .*sums\.h5\.lock: No sp"
    ):
        accumulate()
    assert NormalEquations.load("sums.h5").n_samples == N
    accumulate()
    assert NormalEquations.load("sums.h5").n_samples == 2 * N


# A disk that is full


FULL_DISK = """
import gc, os, resource, signal
import dask.array as da, numpy as np
from daskelm import make_hdf5, to_hdf5
from daskelm.exceptions import FileWriteError
from daskelm.hpelm import modules

os.fsync = lambda handle: None
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
table = np.random.default_rng(0).random((2000, 20))
old = make_hdf5(table[:10], "old.h5")
make_hdf5(table, "own.h5")
before, own = (open(name, "rb").read() for name in ("old.h5", "own.h5"))
whole = len(own)
calls = {
    "make_hdf5": lambda: make_hdf5(table, "old.h5"),
    "chunks": lambda: to_hdf5(da.from_array(table, chunks=(100, 20)), "old.h5"),
    "zeros": lambda: make_hdf5((2000, 20), "old.h5", compression="gzip"),
    "normalize_hdf5": lambda: modules.normalize_hdf5("own.h5"),
}
for name in calls:
    failed = 0
    for limit in [1, 600, 2100, 4000, *range(9000, whole, whole // 6), whole - 1]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            calls[name]()
        except FileWriteError as error:
            failed += 1
            assert "cannot be written: File too large. The file that is there is as it was" in str(error), error
            assert open("old.h5", "rb").read() == before
            assert open("own.h5", "rb").read() == own
        else:
            assert name == "zeros", limit
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        gc.collect()
        assert not [name for name in os.listdir() if name.endswith(".tmp")]
        make_hdf5(table[:10], "old.h5", overwrite=True)
    print(name, failed)
"""


def test_a_disk_that_takes_no_more_is_one_error_and_keeps_the_file():
    """At every size: HDF5 fails in its writes or at closing, and must not end the process either."""
    done = subprocess.run([sys.executable, "-c", FULL_DISK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    failed = dict(line.split() for line in done.stdout.splitlines())
    assert list(failed) == ["make_hdf5", "chunks", "zeros", "normalize_hdf5"]
    # Chunks that were never written take no space.
    assert all(int(n) >= (1 if name == "zeros" else 3) for name, n in failed.items()), failed


def test_a_disk_that_fails_at_the_sync_is_told_by_the_name_of_the_file(monkeypatch):
    data("out.h5")
    before = contents()

    def broken(handle):
        raise OSError(5, "Input/output error")

    for write in (lambda: data("out.h5"), lambda: REGRESSOR.save("m.h5"), lambda: sums("s.h5")):
        with monkeypatch.context() as patch:
            patch.setattr("daskelm.hdf5.atomic.os.fsync", broken)
            with pytest.raises(FileWriteError, match=r"\.h5 cannot be written: Input/output error"):
                write()
    assert contents() == before


def test_a_folder_that_cannot_be_synced_is_told_after_the_rename(monkeypatch):
    calls = []

    def broken_the_second_time(handle):
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("daskelm.hdf5.atomic.os.fsync", broken_the_second_time)
    with pytest.raises(FileWriteError, match=r"out\.h5 was written whole, but its folder cannot be synced: No space"):
        data("out.h5")
    assert np.asarray(from_hdf5("out.h5")).tolist() == NEW.tolist()


def test_an_error_of_the_source_is_not_told_as_one_of_the_target():
    def broken(block):
        if block.size:
            raise OSError(5, "Input/output error", "somewhere-else.h5")
        return block

    X = da.from_array(TABLE, chunks=(20, D)).map_blocks(broken, meta=np.empty((0, 0)))
    with pytest.raises(OSError, match=r"somewhere-else\.h5") as caught:
        to_hdf5(X, "out.h5")
    assert not isinstance(caught.value, FileWriteError)
    assert os.listdir() == []


def test_what_is_written_reads_the_same_with_every_layout():
    """The file under HDF5 is our own: read back, resized, compressed, in groups."""
    table = np.random.default_rng(1).random((5000, 40))
    for compression in (None, "gzip", "lzf"):
        to_hdf5(da.from_array(table, chunks=(777, 13)), "out.h5", "in/side", compression=compression, overwrite=True)
        assert np.asarray(from_hdf5("out.h5")).tobytes() == table.tobytes()
        with h5py.File("out.h5") as file:
            assert file.attrs["daskelm"] == "data"


def test_a_table_of_a_shape_is_the_users_own_once_it_is_made():
    make_hdf5(TABLE, "x.h5")
    # Over daskelm's own table, as any table.
    make_hdf5((3, 2), "x.h5")
    with h5py.File("x.h5", "r+") as file:
        file["data"][:] = 7.0
    before = contents()
    for write in (lambda: make_hdf5((3, 2), "x.h5"), lambda: REGRESSOR.predict(TABLE, out="x.h5")):
        with pytest.raises(FileWriteError, match=r"x\.h5 exists and is not replaced: it holds data, not written by"):
            write()
        assert contents() == before
    make_hdf5((3, 2), "x.h5", overwrite=True)


def test_the_file_of_a_link_that_is_given_as_input_is_one():
    make_hdf5(TABLE, "x.h5")
    external_link()
    with pytest.raises(ParameterError, match=r"^out: linking\.h5 is one of the files that X is read from"):
        REGRESSOR.predict("linking.h5", out="linking.h5", overwrite=True)
    assert from_hdf5("linking.h5").shape == (N, D)


def test_sources_that_hdf5_finds_elsewhere_than_they_are_named_are_inputs():
    """Absolute names of a folder that was moved are looked for beside the file, by their last part."""
    os.mkdir("first")
    make_hdf5(TABLE, "first/x.h5")
    layout = h5py.VirtualLayout((N, D), "f8")
    layout[:] = h5py.VirtualSource(os.path.abspath("first/x.h5"), "data", (N, D))
    with h5py.File("first/v.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
        file["linked"] = h5py.ExternalLink(os.path.abspath("first/x.h5"), "data")
    os.rename("first", "second")
    for dataset in ("data", "linked"):
        rows = from_hdf5("second/v.h5", dataset=dataset)
        before = Path("second/x.h5").read_bytes()
        np.testing.assert_array_equal(rows.compute(), TABLE)
        with pytest.raises(ParameterError, match=r"path: second/x\.h5 is one of the files that array is read from"):
            to_hdf5(rows + 1.0, "second/x.h5")
        assert Path("second/x.h5").read_bytes() == before


@pytest.mark.parametrize("by", ["save", "link", "solve", "select"])
def test_a_model_never_replaces_the_rows_that_its_sums_were_added_from(by):
    rng = np.random.default_rng(0)
    make_hdf5(rng.random((200, 3)), "x.h5")
    make_hdf5(rng.random((200, 1)), "T.h5")
    model = ELMRegressor(5, random_state=0).initialize("x.h5")
    model.save("layer.h5")
    model.accumulate("x.h5", "T.h5", into="added.h5")
    os.symlink("x.h5", "link.h5")
    before = Path("x.h5").read_bytes()
    says = r"is one of the files that normal_equations_ is read from.*never overwritten"
    if by in ("save", "link"):
        model.solve("added.h5")
        with pytest.raises(ParameterError, match=says):
            model.save("x.h5" if by == "save" else "link.h5", overwrite=True)
    else:
        more = ["--alphas", "0.1,1"] if by == "select" else []
        done = CliRunner().invoke(cli, [by, "layer.h5", "added.h5", *more, "--out", "x.h5", "--force"])
        assert done.exit_code == 2, done.output
        assert "is one of the files that normal_equations_ is read from" in " ".join(done.output.split())
    assert Path("x.h5").read_bytes() == before
    model.solve("added.h5").save("T2.h5", overwrite=True)
