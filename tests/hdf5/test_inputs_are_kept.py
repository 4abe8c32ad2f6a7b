"""No input is ever overwritten, by whatever name it is read or written."""

import os
import shutil
from pathlib import Path

import dask
import dask.array as da
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from written_files import CLASSIFIER, LABELS, LAYER, NEW, OLD_INTERFACE, REGRESSOR, TABLE, D, N, contents, run

from daskelm import ELMRegressor, from_hdf5, make_hdf5, to_hdf5
from daskelm.cli import cli
from daskelm.exceptions import ParameterError
from daskelm.hdf5.contents import files_read
from daskelm.hdf5.outputs import check_not_an_input
from daskelm.hdf5.paths import identities
from daskelm.hpelm import convert_model, modules

pytestmark = pytest.mark.usefixtures("unsynced_folder")


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
