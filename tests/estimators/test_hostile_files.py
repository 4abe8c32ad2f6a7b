"""Model and sums files whose digest fits, and that no daskelm wrote: one error, and nothing is read or allocated."""

import contextlib
import copy
import io
import json
import os
import tracemalloc
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskelm import ELMClassifier, ELMRegressor, ELMRegressorCV, NormalEquations, load, make_hdf5, merge
from daskelm.cli.info import describe
from daskelm.exceptions import DaskelmError, FileFormatError, InsufficientMemoryError
from daskelm.hdf5.header import BLOCK, MAGIC, digest_of
from daskelm.hpelm import HPELM
from daskelm.sums.file import read_current

FULL = os.environ.get("DASKELM_CAMPAIGN") == "full"
RNG = np.random.default_rng(0)
N = 60
X = RNG.standard_normal((N, 3))
Y = np.sin(X[:, 0]) + X[:, 1]
WORDS = np.array(["low", "middle", "high"])[np.digitize(Y, [-0.5, 0.5])]
SECRET = b"TOP-SECRET-0123456789012345678901234567890123456789012345678901234567890"


def write_all(folder):
    make_hdf5(X, folder / "X.h5")
    model = ELMRegressor([(3, "lin"), (6, "tanh")], random_state=0).initialize(X)
    model.accumulate(folder / "X.h5", Y, rows=slice(0, 40), into=folder / "sums.h5")
    model.accumulate(folder / "X.h5", Y, rows=slice(45, 58), into=folder / "sums.h5")
    ELMRegressor([(3, "lin"), (6, "tanh")], random_state=0).fit(X, Y).save(folder / "regressor.h5", sums=True)
    ELMClassifier(9, class_weight={"low": 2.0}, random_state=0).fit(X, WORDS).save(folder / "classifier.h5")
    cv = ELMRegressorCV(9, n_neurons=[4, 9], cv=3, ranking="omp", random_state=0)
    cv.fit(X, np.stack([Y, X[:, 0]], axis=1)).save(folder / "cv.h5")
    import pandas as pd

    frame = pd.DataFrame({"a": X[:, 0], "b": pd.Categorical(WORDS), "c": np.where(X[:, 1] > 1, np.nan, X[:, 1])})
    ELMRegressor([(9, "rbf_l2")], missing="indicator", random_state=0).fit(frame, Y).save(folder / "coded.h5")
    elm = HPELM(3, 1)
    elm.add_neurons(5, "tanh")
    elm.train(X, Y[:, None])
    elm.save(folder / "hpelm.h5")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    write_all(folder)
    found = {path.stem: path.read_bytes() for path in folder.glob("*.h5") if path.stem != "X"}
    # In a function, since hypothesis shows the arguments of a failing test, and these are long.
    return lambda: (folder, found)


@pytest.fixture
def folder(tmp_path, monkeypatch, written):
    """The written files, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name, data in written()[1].items():
        Path(f"{name}.h5").write_bytes(data)
    Path("secret.txt").write_bytes(SECRET)
    return tmp_path


def header_of(data):
    return json.loads(data[len(MAGIC) : BLOCK])


def signed(header, body):
    """A file with this body, whose digest fits."""
    header = header | {"length": BLOCK + len(body)}
    header["sha256"] = digest_of(header, body)
    return (MAGIC + json.dumps(header).encode()).ljust(BLOCK - 1) + b"\n" + bytes(body)


def altered(data, change):
    """A file whose HDF5 was changed by a function, with a digest that fits."""
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        change(file)
    return signed(header_of(data), buffer.getvalue()[BLOCK:])


def values_of(file):
    return json.loads(file["state"][()].tobytes())


def set_text(file, text):
    del file["state"]
    file.create_dataset("state", data=np.frombuffer(text, np.uint8))


def set_values(file, values):
    set_text(file, json.dumps(values).encode())


def replaced(file, name, value, **options):
    del file[name]
    file.create_dataset(name, data=value, **options)


READERS = {
    "sums": NormalEquations.load,
    "hpelm": lambda path: HPELM(3, 1).load(path),
    **dict.fromkeys(["regressor", "classifier", "cv", "coded"], load),
}
RULE = "has a digest that fits, but its content is not what daskelm writes"


def check_refused(kind, change, match=""):
    data = altered(Path(f"{kind}.h5").read_bytes(), change)
    Path("hostile.h5").write_bytes(data)
    readers = [READERS[kind]] + ([] if kind == "hpelm" else [describe])
    if kind == "sums":
        model = ELMRegressor([(3, "lin"), (6, "tanh")], random_state=0).initialize(X)
        readers += [read_current, lambda path: merge([path]), model.solve]
        readers.append(lambda path: model.accumulate(X, Y, into=path))
    for read in readers:
        with pytest.raises(FileFormatError, match=rf"hostile\.h5 {RULE} \(.*{match}"):
            read("hostile.h5")
    assert Path("hostile.h5").read_bytes() == data


def without(file, name):
    shape, dtype = file[name].shape, file[name].dtype
    del file[name]
    return shape, dtype


def external(file, name, where="secret.txt"):
    shape, dtype = without(file, name)
    file.create_dataset(name, shape, dtype, external=[(os.path.abspath(where), 0, h5py.h5f.UNLIMITED)])


def virtual(file, name):
    shape, dtype = without(file, name)
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource("X.h5", "data", shape)
    file.create_virtual_dataset(name, layout)


def external_link(file, name):
    without(file, name)
    file[name] = h5py.ExternalLink("X.h5", "/data")


def soft_link(file, name):
    file["other"] = file[name]
    without(file, name)
    file[name] = h5py.SoftLink("/other")


def group(file, name):
    without(file, name)
    file.create_group(name)


def committed(file, name):
    without(file, name)
    file[name] = np.dtype("f8")


def compressed(file, name):
    value = file[name][()]
    replaced(file, name, value, compression="gzip")


def chunked(file, name):
    value = file[name][()]
    replaced(file, name, value, chunks=value.shape)


def huge(file, name):
    without(file, name)
    # The space is never allocated, so that the file has a few bytes more.
    file.create_dataset(name, (10**12,), "f8")


def retyped(dtype):
    def change(file, name):
        replaced(file, name, np.zeros(3, dtype))

    return change


def texts(file, name):
    replaced(file, name, ["a", "b"])


def nothing(file, name):
    without(file, name)
    file.create_dataset(name, data=h5py.Empty("f8"))


LAYOUTS = {
    "external": external,
    "external pipe": lambda file, name: external(file, name, "pipe"),
    "external zeros": lambda file, name: external(file, name, "/dev/zero"),
    "virtual": virtual,
    "external link": external_link,
    "soft link": soft_link,
    "group": group,
    "committed type": committed,
    "gzip": compressed,
    "chunks": chunked,
    "huge": huge,
    "records": retyped([("a", "f8"), ("b", "i4")]),
    "subarrays": retyped([("a", "f8", 3)]),
    "complex": retyped("c16"),
    "opaque": retyped("V5"),
    "text": texts,
    "no space": nothing,
    "another name": lambda file, name: file.move(name, "another"),
    "one more": lambda file, name: file.create_dataset("another", data=[1.0]),
    "missing": without,
}
ARRAYS = {
    "sums": "packed",
    "regressor": "fitted.solution.coef",
    "classifier": "fitted.layer.W0",
    "cv": "fitted.choice.scores",
    "coded": "fitted.layer.table0",
    "hpelm": "W0",
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ARRAYS)
def test_only_plain_arrays_in_the_file_itself_are_read(folder, kind, layout):
    os.mkfifo("pipe")
    make_hdf5(X, "X.h5")
    for name in (ARRAYS[kind], "state"):
        if (name, layout) != ("state", "one more"):
            check_refused(kind, lambda file, name=name: LAYOUTS[layout](file, name))


def test_arrays_have_no_more_bytes_than_the_file(folder):
    def linked(file):
        for name in [name for name in file if name.startswith("folds_")]:
            del file[name]
        replaced(file, "distinct", np.zeros(20_000, np.uint64))
        for name in ("packed", "cross", "sum_H", "sum_T", "sum_TT", "reference_H", "reference_T", "least_T"):
            del file[name]
            file[name] = file["distinct"]

    check_refused("sums", linked, "the arrays have more bytes than the file")


def test_a_large_file_of_another_kind_is_not_read(folder):
    data = Path("sums.h5").read_bytes()
    with open("large.h5", "wb") as file:
        file.write(data[:BLOCK].replace(b'"sums"', b'"sunk"'))
        file.truncate(10**12)
    with pytest.raises(FileFormatError, match="is a daskelm sunk file; expected a sums file"):
        NormalEquations.load("large.h5")


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"5",
        b"{",
        b"\xff\xfe{}",
        b'{"n_samples": NaN}',
        b'{"n_samples": Infinity}',
        b'{"n_samples": ' + b"1" * 100_000 + b"}",
        b'{"class": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"{}",
    ],
    ids=lambda text: text[:16].decode("latin-1"),
)
def test_values_that_are_no_state(folder, kind, text):
    check_refused(kind, lambda file: set_text(file, text))


def changing(**values):
    """A change of values in JSON, by their place: dots stand as two underscores."""

    def change(file):
        state = values_of(file)
        for place, value in values.items():
            *above, name = place.split("__")
            inner = state
            for key in above:
                inner = inner[key]
            assert name in inner
            inner[name] = value
        set_values(file, state)

    return change


def setting(**arrays):
    """A change of arrays: each function gets the array, and gives another."""

    def change(file):
        for place, new in arrays.items():
            name = place.replace("__", ".")
            value = new(file[name][()]) if callable(new) else new
            replaced(file, name, value)

    return change


def with_cell(row):
    def change(file):
        replaced(file, "ledger_cells", np.concatenate([file["ledger_cells"][()], [[0, row]]]).astype(np.uint64))
        replaced(file, "ledger_digests", np.concatenate([file["ledger_digests"][()], np.zeros((1, 2, 8), np.uint32)]))

    return change


def ledger(**values):
    def change(file):
        state = values_of(file)
        state["ledger"] |= values
        set_values(file, state)

    return change


SUMS = {
    "n_samples": [changing(n_samples=value) for value in (-5, 53.5, "53", 999, True, None, 10**30)],
    "n_counted": [changing(n_counted=value) for value in (-5, 54, 1.5)],
    "sum_weights": [changing(sum_weights=value) for value in (-60.0, "60", None, 1e400)],
    "sum_counts": [changing(sum_counts="1")],
    "fingerprint": [changing(fingerprint=5)],
    "targets": [changing(targets=None)],
    "target_dtype": [changing(target_dtype=value) for value in ("O", "complex128", "f8,f8", "no", 5, "M8[s]")],
    "precision": [changing(precision="float16")],
    "packed": [
        setting(packed=lambda a: np.append(a, 1.0)),
        setting(packed=lambda a: a * np.nan),
        setting(packed=lambda a: a.astype("i8")),
        setting(packed=lambda a: a.astype("f4")),
    ],
    "cross": [
        setting(cross=lambda a: a.astype(">f8")),
        setting(cross=lambda a: a[:-1]),
        setting(cross=lambda a: a / 0),
    ],
    "sum_T": [setting(sum_T=np.zeros(0)), setting(sum_T=np.zeros((1, 1)))],
    "sum_H": [setting(sum_H=np.zeros(8))],
    "least_T": [setting(least_T=lambda a: a[:0]), setting(least_T=np.zeros(7)), setting(least_T=[np.nan])],
    "distinct": [
        setting(distinct=lambda a: a[::-1].copy()),
        setting(distinct=np.arange(600, dtype=np.uint64)),
        setting(distinct=np.arange(6.0)),
    ],
    "largest": [setting(largest=np.zeros(3)), setting(largest=-np.ones(12))],
    "fold": [
        setting(folds_packed=lambda a: a[:-1]),
        setting(folds_n_samples=lambda a: -a),
        setting(folds_sum_weights=lambda a: -a),
        setting(folds_n_counted=lambda a: a + 9),
        lambda file: [replaced(file, name, np.repeat(file[name][()], 6, 0)) for name in file if "folds_" in name],
        lambda file: without(file, "folds_cross"),
    ],
    "names": [ledger(names=["a", "b"]), ledger(names=[5]), ledger(names="a")],
    "columns": [ledger(n_columns=[-1]), ledger(n_columns=[]), ledger(n_columns=["3"])],
    "cells must be powers of two": [ledger(cell_rows=[3]), ledger(cell_rows=[0]), ledger(cell_rows=[2**70])],
    "paths": [ledger(paths=["a"]), ledger(paths=[[1]]), ledger(paths=[])],
    "n_unknown": [ledger(n_unknown=-1), ledger(n_unknown=1.5)],
    "tables and rows": [
        setting(ledger_ranges=lambda a: a + np.array([1, 0, 0], np.uint64)),
        setting(ledger_anchors=lambda a: a + np.array([1, 0, 0], np.uint64)),
        setting(ledger_ranges=np.array([[0, 2**63, 2**63 + 53]], np.uint64)),
    ],
    "ledger_ranges": [setting(ledger_ranges=lambda a: a.astype(float)), setting(ledger_ranges=lambda a: a[:, :2])],
    "ranges of rows": [
        setting(ledger_ranges=lambda a: a[:, [0, 2, 1]]),
        setting(ledger_ranges=lambda a: a[::-1].copy()),
    ],
    "cells must begin": [with_cell(3)],
    "each cell must be there once": [with_cell(0)],
    "counted rows": [with_cell(2**40)],
    "digests": [setting(ledger_digests=lambda a: a[:-1])],
    "table must have rows": [ledger(names=["a", "b"], n_columns=[3] * 2, cell_rows=[8] * 2, paths=[[]] * 2)],
}


@pytest.mark.parametrize("rule", SUMS)
def test_sums_that_no_rows_have(folder, rule):
    for change in SUMS[rule]:
        with np.errstate(all="ignore"):
            check_refused("sums", change)


def test_rows_without_cells_are_few(folder):
    def change(file):
        replaced(file, "ledger_ranges", np.array([[0, 0, 2**61]], np.uint64))
        set_values(file, values_of(file) | {"n_samples": 2**61})

    check_refused("sums", change, "more rows than cells")


LAYER, FITTED = "fitted__state__layer__state", "fitted__state"
MODELS = {
    ("regressor", "class"): [changing(**{"class": value}) for value in (5, None, [])],
    ("regressor", "params"): [changing(params=value) for value in (5, [])],
    ("regressor", "fitted"): [changing(fitted=value) for value in (5, "x", [], {"daskelm": "layer"}, {"daskelm": []})],
    ("regressor", "layer"): [
        changing(**{f"{LAYER}__n_features": value}) for value in (0, -3, 3.0, 10**12, "3", None, True)
    ],
    ("regressor", "kinds"): [changing(**{f"{LAYER}__kinds": value}) for value in (["lin"], [], ["numpy.add"] * 2, "x")],
    ("regressor", "raw"): [changing(**{f"{LAYER}__raw": value}) for value in ([0, 0], [True], None)],
    ("regressor", "dtype"): [changing(**{f"{LAYER}__dtype": value}) for value in ("float16", "O", 8, "int64")],
    ("regressor", "clip"): [
        changing(**{f"{LAYER}__clip": value}) for value in (0.0, -1.0, None, {"daskelm": "float", "state": "nan"})
    ],
    ("regressor", "scale"): [
        setting(fitted__layer__scale=new)
        for new in (lambda a: 0 * a, lambda a: -a, lambda a: a * np.nan, lambda a: a[:-1], lambda a: a.astype(int))
    ],
    ("regressor", "mean"): [setting(fitted__layer__mean=lambda a: a * np.inf)],
    ("regressor", "W"): [
        setting(fitted__layer__W1=new)
        for new in (lambda a: a * np.nan, lambda a: a[:-1], lambda a: a[:, :-1], lambda a: a[0], lambda a: a > 0)
    ],
    ("regressor", "coef"): [
        setting(fitted__solution__coef=new)
        for new in (lambda a: np.ones((9, 9)), lambda a: a * np.nan, lambda a: a[:, 1:], lambda a: a > 0)
    ],
    ("regressor", "alpha"): [
        changing(**{f"{FITTED}__solution__state__alpha": value})
        for value in (-1.0, "1", None, {"daskelm": "float", "state": "nan"})
    ],
    ("regressor", "rank"): [changing(**{f"{FITTED}__solution__state__rank": value}) for value in (-1, 10, 1.5)],
    ("regressor", "condition"): [changing(**{f"{FITTED}__solution__state__condition_number": -1.0})],
    ("regressor", "targets"): [
        changing(**{f"{FITTED}__targets__state__n_targets": value}) for value in (0, 2, "1", 10**9)
    ],
    ("regressor", "target_dtype"): [changing(**{f"{FITTED}__target_dtype": value}) for value in ("O", "no", 5)],
    ("regressor", "columns"): [
        changing(**{f"{FITTED}__columns__state__{name}": value})
        for name, value in (("n_features", 4), ("names", 5), ("targets", "x"), ("levels", [1]))
    ],
    ("regressor", "sums"): [
        changing(**{f"{FITTED}__sums__state__n_samples": 999}),
        setting(fitted__sums__packed=lambda a: a * np.nan),
        changing(**{f"{FITTED}__sums__state__ledger": {}}),
    ],
    ("classifier", "classes"): [
        changing(**{f"{FITTED}__targets__state__classes__state": value})
        for value in (
            {"values": ["low"], "dtype": "<U1000000000"},
            {"values": ["low", "low", "high"], "dtype": "<U6"},
            {"values": ["low", "middle", "high"], "dtype": "<U6"},
            {"values": [["low"]], "dtype": "<U6"},
            {"values": ["high", "low"], "dtype": "V100"},
            {"values": [], "dtype": "<U6"},
            {"values": ["1", "2", "3"], "dtype": "f8"},
            5,
        )
    ],
    ("classifier", "weights"): [setting(fitted__targets__weights=new) for new in (lambda a: -a, lambda a: a[:-1])],
    ("classifier", "temperature"): [
        setting(fitted__link__temperature=new)
        for new in (lambda a: -a, lambda a: a * np.nan, lambda a: np.ones(10), lambda a: a > 0)
    ],
    ("cv", "scores"): [
        setting(fitted__choice__scores=new) for new in (lambda a: a[:, 1:], lambda a: a[0], np.zeros(3))
    ],
    ("cv", "ranking"): [
        setting(fitted__choice__ranking=new) for new in (lambda a: -a, lambda a: 0 * a, lambda a: a.astype(float))
    ],
    ("cv", "sizes"): [changing(**{f"{FITTED}__choice__state__sizes": value}) for value in ([4], "ab", [4, 9.0])],
    ("coded", "table"): [setting(fitted__layer__table0=new) for new in (lambda a: a[1:], lambda a: a * np.nan)],
    ("coded", "category_columns"): [changing(**{f"{LAYER}__category_columns": value}) for value in ([-1], [3], [], 1)],
    ("coded", "category_levels"): [changing(**{f"{LAYER}__category_levels": value}) for value in ([["a"]], [5], [])],
    ("coded", "n_features"): [changing(**{f"{LAYER}__n_features": 10**12})],
    ("coded", "gaps"): [setting(fitted__layer__gaps=new) for new in (lambda a: a - 9, lambda a: a + 9, np.zeros(1))],
    ("coded", "b0"): [setting(fitted__layer__b0=lambda a: -a)],
    ("hpelm", "inputs"): [changing(inputs=value) for value in (0, 4, "3", 10**12)],
    ("hpelm", "norm"): [changing(norm=value) for value in (-1.0, "1", None)],
    ("hpelm", "kinds"): [changing(kinds=value) for value in (["no"], 5, ["tanh"] * 2, ["numpy.add"])],
    ("hpelm", "classification"): [changing(classification=value) for value in ("x", 5)],
    ("hpelm", "B"): [setting(B=new) for new in (lambda a: a[1:], lambda a: a * np.nan)],
}


@pytest.mark.parametrize("rule", MODELS, ids=" ".join)
def test_models_that_no_fit_makes(folder, rule):
    tracemalloc.start()
    try:
        for change in MODELS[rule]:
            with np.errstate(all="ignore"):
                check_refused(rule[0], change)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


def test_parameters_that_no_estimator_has(folder):
    data = altered(Path("regressor.h5").read_bytes(), changing(params={"nonsense": 1}))
    Path("hostile.h5").write_bytes(data)
    with pytest.raises(FileFormatError, match=rf"hostile\.h5 {RULE} \(TypeError: .*nonsense"):
        load("hostile.h5")


@pytest.mark.parametrize("kind", ARRAYS)
def test_files_that_are_signed_anew_are_read_as_before(folder, kind):
    Path("again.h5").write_bytes(altered(Path(f"{kind}.h5").read_bytes(), lambda file: None))
    READERS[kind]("again.h5")


def use(kind, path):
    """All that one does with a file; what it holds may be any numbers."""
    if kind == "sums":
        sums = read_current(path)
        model = ELMRegressor([(3, "lin"), (6, "tanh")], random_state=0).initialize(X)
        calls = [lambda: sums - sums, lambda: sums + sums, lambda: model.solve(path).predict(X)]
    elif kind == "hpelm":
        model = HPELM(3, 1)
        model.load(path)
        calls = [lambda: model.predict(X)]
    else:
        model = load(path)
        calls = [lambda: model.predict(X[:, : model.n_features_in_]), lambda: repr(model)]
    calls += [lambda: describe(str(path))] * (kind != "hpelm")
    for call in calls:
        with contextlib.suppress(DaskelmError, np.linalg.LinAlgError):
            call()


def check_mutation(written, kind, data):
    """A mutated file is one error that names it, or it is read, and what is done with it ends in errors of ours."""
    path = written()[0] / f"mutated-{kind}.h5"
    path.write_bytes(data)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            READERS[kind](path)
        except InsufficientMemoryError:
            return
        except FileFormatError as error:
            found = str(error)
        else:
            found = str(path)
            use(kind, path)
    assert str(path) in found


@pytest.mark.parametrize("kind", ARRAYS)
@settings(max_examples=600 if FULL else 25)
@given(places=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 255)), min_size=1, max_size=4))
def test_bytes_that_are_changed_and_signed_anew(written, kind, places):
    data = written()[1][kind]
    body = bytearray(data[BLOCK:])
    for place, byte in places:
        body[place % len(body)] = byte
    check_mutation(written, kind, signed(header_of(data), body))


ODD = st.sampled_from(
    [None, True, False, 0, -1, 1, 2, 3, 7, 10**6, 10**12, 2**63, 10**40, 0.0, -0.5, 1e300, "", "x", "float32", "O"]
    + [[], {}, [1, 2], ["a"], [[]], {"daskelm": "float", "state": "nan"}, {"daskelm": "array", "state": "packed"}]
    + [{"daskelm": "tuple", "state": [1]}, {"daskelm": "kind", "state": "numpy.log"}]
    + [{"daskelm": "dtype", "state": "O"}]
    + [{"daskelm": "strings", "state": {"values": ["a"], "dtype": "<U9"}}, {"daskelm": "mapping", "state": [[1, 2]]}]
)


def places_in(value, place=()):
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places_in(item, (*place, key))


@pytest.mark.parametrize("kind", ARRAYS)
@settings(max_examples=400 if FULL else 25)
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), ODD | st.none(), st.booleans()), min_size=1, max_size=3))
def test_values_that_are_changed_and_signed_anew(written, kind, changes):
    def change(file):
        state = values_of(file)
        for number, value, is_removed in changes:
            places = [place for place in places_in(state) if place]
            if not places:
                break
            *above, key = places[number % len(places)]
            inner = state
            for name in above:
                inner = inner[name]
            if is_removed:
                del inner[key]
            else:
                inner[key] = copy.deepcopy(value)
        set_values(file, state)

    check_mutation(written, kind, altered(written()[1][kind], change))


ARRAY_CHANGES = {
    "nan": lambda a: a.astype(float) * np.nan,
    "zero": lambda a: 0 * a,
    "negative": lambda a: -a.astype(float),
    "large": lambda a: a.astype(float) * 1e300,
    "wrong sign": lambda a: np.negative(a.astype("i8")),
    "most": lambda a: np.full(a.shape, 2**64 - 1, np.uint64),
    "shorter": lambda a: a[1:],
    "empty": lambda a: a[:0],
    "flat": np.ravel,
    "deeper": lambda a: a[None],
    "scalar": lambda a: np.float64(1),
    "turned": lambda a: a.T,
    "reversed": lambda a: a[::-1],
    "doubled": lambda a: np.concatenate([a, a]),
    "single": lambda a: a.astype("f4"),
    "whole": lambda a: a.astype("i2"),
    "truth": lambda a: a > 0,
    "other end": lambda a: a.astype(a.dtype.newbyteorder(">")),
}


@pytest.mark.parametrize("kind", ARRAYS)
@settings(max_examples=300 if FULL else 25)
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from([*ARRAY_CHANGES])), min_size=1, max_size=3))
def test_arrays_that_are_changed_and_signed_anew(written, kind, changes):
    def change(file):
        for number, what in changes:
            names = sorted(set(file) - {"state"})
            name = names[number % len(names)]
            value = file[name][()]
            if np.ndim(value):
                replaced(file, name, np.ascontiguousarray(ARRAY_CHANGES[what](value)))

    with np.errstate(all="ignore"):
        data = altered(written()[1][kind], change)
    check_mutation(written, kind, data)
