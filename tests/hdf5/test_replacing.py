"""Files are replaced only where daskelm wrote them or `overwrite` is given, and nothing but a file ever is."""

import os
import socket
from pathlib import Path

import dask
import dask.array as da
import h5py
import numpy as np
import pytest
from written_files import (
    CLASSIFIER,
    LAYER,
    NEW,
    OLD_INTERFACE,
    REGRESSOR,
    TABLE,
    D,
    N,
    contents,
    data,
    foreign,
    pipe,
    run,
    sums,
)

from daskelm import NormalEquations, from_hdf5, load, make_hdf5, to_hdf5
from daskelm.exceptions import FileFormatError, FileWriteError, ParameterError
from daskelm.hdf5.contents import foreign_contents
from daskelm.hpelm import HPELM, modules

pytestmark = pytest.mark.usefixtures("unsynced_folder")


def plain(path):
    with h5py.File(path, "w") as file:
        file["data"] = TABLE


def changed(path, change):
    data(path)
    with h5py.File(path, "a") as file:
        change(file)


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
        with dask.config.set(scheduler="synchronous"):
            to_hdf5(X, "out.h5", overwrite=True)
        assert from_hdf5("out.h5").shape == (N, D)
        return
    # In one thread: two at once would both find no file yet, and both begin to write it.
    with (
        dask.config.set(scheduler="synchronous"),
        pytest.raises(FileWriteError, match=f"{NOT_REPLACED}holds events/energy"),
    ):
        to_hdf5(X, "out.h5")
    assert foreign_contents("out.h5", "data").startswith("holds events/energy")
    assert os.listdir() == ["out.h5"]


def test_nor_is_a_pipe_that_came_meanwhile_replaced():
    def meanwhile(block):
        if block.size and not os.path.exists("out.h5"):
            os.mkfifo("out.h5")
        return block

    X = da.from_array(TABLE, chunks=(20, D)).map_blocks(meanwhile, meta=np.empty((0, 0)))
    with dask.config.set(scheduler="synchronous"), pytest.raises(FileFormatError, match=r"out\.h5 is a named pipe"):
        to_hdf5(X, "out.h5", overwrite=True)
    assert Path("out.h5").is_fifo()


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
