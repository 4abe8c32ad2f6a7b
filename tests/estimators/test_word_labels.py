"""Labels that are words, from files: text of any kind, and codes with names, through every entry point."""

import os

import fsspec
import h5py
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from matplotlib import pyplot

from daskelm import (
    ELMClassifier,
    ELMClassifierCV,
    ELMRegressor,
    ELMRegressorCV,
    HiddenLayer,
    NormalEquations,
    from_hdf5,
    load,
    make_hdf5,
    to_hdf5,
)
from daskelm.cli import cli
from daskelm.exceptions import DataError, InputTypeError
from daskelm.hdf5.columns import Column, write_columns
from daskelm.plots.reliability import ReliabilityDisplay

N = 300
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 3))
NAMES = np.array(["blau", "grün", "rot"])
CODES = np.digitize(X[:, 0] + 0.1 * RNG.standard_normal(N), [-0.5, 0.5])
LABELS = NAMES[CODES]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_hdf5(X, "X.h5")


def write(values, path="y.h5", name="species", **options):
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=values, **options)
    return path


def of_levels(codes=CODES, levels=("blau", "grün", "rot"), path="y.h5"):
    make_hdf5(codes, path, overwrite=True)
    with h5py.File(path, "a") as file:
        write_columns(file["data"], [Column("species", tuple(levels))])
    return path


def of_anndata(codes=CODES, old=False):
    """Categories as AnnData writes them, since version 0.8 and before."""
    with h5py.File("y.h5ad", "w") as file:
        if old:
            file["obs/__categories/species"] = NAMES.astype(object)
            file["obs/species"] = codes.astype("i1")
            file["obs/species"].attrs["categories"] = file["obs/__categories/species"].ref
        else:
            file["obs/species/codes"], file["obs/species/categories"] = codes.astype("i1"), NAMES.astype(object)
            file["obs/species"].attrs["encoding-type"] = "categorical"
    return from_hdf5("y.h5ad", dataset="obs/species" if old else "obs/species/codes")


def in_parts():
    for i, part in enumerate(np.array_split(LABELS.astype(object), 3)):
        write(part, f"y{i}.h5", dtype=h5py.string_dtype())
    return "y?.h5"


def at_url():
    fsspec.filesystem("memory").put(write(LABELS.astype(object), chunks=(70,), compression="gzip"), "/y.h5")
    return "memory://y.h5"


FIXED = np.char.encode(LABELS, "utf-8")
SOURCES = {
    "fixed length": lambda: write(FIXED),
    "fixed length, UTF-8": lambda: write(FIXED.astype(h5py.string_dtype("utf-8", 10))),
    "any length": lambda: write(LABELS.astype(object), dtype=h5py.string_dtype()),
    "a column": lambda: write(LABELS.astype(object)[:, None], dtype=h5py.string_dtype()),
    "chunks": lambda: write(LABELS.astype(object), dtype=h5py.string_dtype(), chunks=(70,)),
    "packed chunks": lambda: write(FIXED, chunks=(70,), compression="gzip"),
    "packed chunks, any length": lambda: write(LABELS.astype(object), chunks=(70,), compression="gzip"),
    "names of codes": lambda: write(CODES, dtype=h5py.enum_dtype({"rot": 2, "blau": 0, "grün": 1}, "i1")),
    "levels": of_levels,
    "AnnData": of_anndata,
    "AnnData 0.7": lambda: of_anndata(old=True),
    "levels in another order": lambda: of_levels(2 - CODES, ("rot", "grün", "blau")),
    "a dataset": lambda: h5py.File(write(FIXED))["species"],
    "from_hdf5": lambda: from_hdf5(write(FIXED), dataset="species", chunks=70),
    "from_hdf5 of levels": lambda: from_hdf5(of_levels(), chunks=70),
    "computed": lambda: from_hdf5(write(FIXED), chunks=70)[:],
    "a glob": in_parts,
    "a list": lambda: [in_parts() and f"y{i}.h5" for i in range(3)],
    "a URL": at_url,
}


def classifier(kind=ELMClassifier, **parameters):
    return kind([(3, "lin"), (12, "tanh")], random_state=0, **parameters)


def fit(y):
    return classifier(alpha=1.0).fit("X.h5", y).coef_


def fit_in_memory(y):
    return classifier().fit(X, y).coef_


def partial_fit(y):
    return classifier(alpha=1.0).partial_fit("X.h5", y, classes=NAMES).coef_


def weighted(y):
    return classifier(alpha=1.0, class_weight={"grün": 3.0}).fit("X.h5", y).coef_


def balanced(y):
    return classifier(alpha=1.0, class_weight="balanced").fit("X.h5", y).coef_


def accumulate(y):
    """In two parts, the second a resumed one that has all rows."""
    for old in ("sums.h5", "sums.h5.lock"):
        if os.path.exists(old):
            os.remove(old)
    model = classifier(alpha=1.0).initialize("X.h5", y)
    model.accumulate("X.h5", y, rows=slice(40, 200), into="sums.h5")
    model.accumulate("X.h5", y, into="sums.h5")
    assert NormalEquations.load("sums.h5").n_samples == N
    return model.solve("sums.h5").coef_


def remove(y):
    return classifier(alpha=1.0).fit("X.h5", y).remove("X.h5", y, rows=slice(10, 90)).coef_


def cross_validation(y):
    return classifier(ELMClassifierCV, cv=3, scoring="accuracy").fit("X.h5", y).cv_results_["mean_test_score"]


def validation(y):
    model = classifier(ELMClassifierCV, alphas=[0.1, 1.0]).fit(X[:200], LABELS[:200], X_val="X.h5", y_val=y)
    return model.cv_results_["mean_test_score"]


def score(y):
    return classifier(alpha=1.0).fit(X, LABELS).score("X.h5", y)


def calibrate(y):
    return classifier(alpha=1.0).fit(X, LABELS).calibrate("X.h5", y).predict_proba(X)


def drawn_by_labels(y):
    return classifier(alpha=1.0).set_params(neurons=[(20, "tanh", "relevance")]).fit("X.h5", y).coef_


def layer(y):
    return HiddenLayer([(20, "tanh", "relevance")], random_state=0).fit("X.h5", y).transform(X)


def reliability(y):
    model = classifier(alpha=1.0).fit(X, LABELS)
    display = ReliabilityDisplay.from_estimator(model, "X.h5", y)
    pyplot.close(display.figure_)
    return display.counts.gap


ENTRIES = [
    fit,
    fit_in_memory,
    partial_fit,
    weighted,
    balanced,
    accumulate,
    remove,
    cross_validation,
    validation,
    score,
    calibrate,
    drawn_by_labels,
    layer,
    reliability,
]
EXPECTED: dict = {}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("source", SOURCES)
def test_words_in_files_are_the_labels_in_memory(entry, source, no_client):
    if entry not in EXPECTED:
        # Rows of a sums file count once only where they lie in files, so that words in memory have one call.
        EXPECTED[entry] = entry(write(LABELS.astype(object))) if entry is accumulate else entry(LABELS)
    if entry is accumulate:
        np.testing.assert_allclose(EXPECTED[entry], fit(LABELS), atol=1e-9)
        if source == "computed":
            pytest.skip("rows of dask arrays are not recognised")
    if entry is fit_in_memory and source == "a list":
        pytest.skip("beside data in memory, a list of words is labels")
    np.testing.assert_allclose(entry(SOURCES[source]()), EXPECTED[entry], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("source", ["fixed length", "any length", "names of codes", "levels", "a glob"])
def test_workers_read_words_by_path(client, source):
    np.testing.assert_allclose(fit(SOURCES[source]()), fit(LABELS), rtol=1e-8, atol=1e-9)
    model = classifier(alpha=1.0).fit("X.h5", SOURCES[source]())
    model.predict("X.h5", out="p.h5")
    np.testing.assert_array_equal(from_hdf5("p.h5").compute()[:, 0], model.predict(X))


@pytest.mark.parametrize("source", SOURCES)
def test_predictions_are_words_that_can_be_read_as_y(source, no_client):
    model = classifier().fit("X.h5", SOURCES[source]())
    assert model.classes_.tolist() == NAMES.tolist()
    expected = model.predict(X)
    for given in (X, "X.h5", from_hdf5("X.h5", chunks=70) + 0):
        # The same file again: it is known as one of daskelm's.
        model.predict(given, out="p.h5")
        with h5py.File("p.h5") as file:
            kind = h5py.check_string_dtype(file["data"].dtype)
            assert (kind.encoding, kind.length) == ("utf-8", None)
        np.testing.assert_array_equal(from_hdf5("p.h5").compute()[:, 0], expected)
    assert model.score("X.h5", "p.h5") == 1
    np.testing.assert_allclose(fit("p.h5"), fit(expected), rtol=1e-8, atol=1e-9)
    model.save("model.h5")
    again = load("model.h5")
    assert again.classes_.tolist() == NAMES.tolist()
    np.testing.assert_array_equal(again.predict(X), expected)


def test_labels_of_pandas_are_written_as_words_too():
    model = classifier().fit(X, pd.Series(LABELS))
    model.predict("X.h5", out="p.h5")
    np.testing.assert_array_equal(from_hdf5("p.h5").compute()[:, 0], model.predict(X))


def test_levels_may_be_numbers_or_booleans():
    for levels in ((10, 20, 30), (0.5, 1.5, 2.5)):
        labels = np.array(levels)[CODES]
        if levels[0] == 10:
            model = classifier(alpha=1.0).fit("X.h5", of_levels(levels=levels))
            assert model.classes_.tolist() == list(levels)
            assert model.classes_.dtype.kind == "i"
            np.testing.assert_allclose(model.coef_, fit(labels), rtol=1e-8, atol=1e-9)
            model.predict("X.h5", out="p.h5")
            np.testing.assert_array_equal(from_hdf5("p.h5").compute()[:, 0], model.predict(X))
    make_hdf5(X, "X.h5", overwrite=True)
    model = classifier(alpha=1.0).fit("X.h5", of_levels(CODES.clip(max=1), (False, True)))
    assert model.classes_.tolist() == [False, True]


def test_a_file_of_numbers_and_text_stands_for_its_numbers():
    with h5py.File("both.h5", "w") as file:
        file["X"], file["species"] = X, FIXED
    np.testing.assert_array_equal(from_hdf5("both.h5").compute(), X)
    labels = from_hdf5("both.h5", dataset="species")
    np.testing.assert_array_equal(labels.compute(), LABELS.astype(object))
    np.testing.assert_allclose(classifier(alpha=1.0).fit("both.h5", labels).coef_, fit(LABELS), rtol=1e-8, atol=1e-9)


def test_a_table_of_codes_is_numbers_where_it_is_no_label():
    np.testing.assert_array_equal(from_hdf5(of_levels()).compute()[:, 0], CODES)


@pytest.mark.parametrize("source", ["fixed length", "names of codes", "levels", "a dataset", "from_hdf5", "a glob"])
@pytest.mark.parametrize("kind", [ELMRegressor, ELMRegressorCV])
def test_regressors_refuse_words(source, kind):
    said = "y must hold numbers; got (text|codes of 'blau', 'grün', 'rot') in .*y.*h5.* Use ELMClassifier for labels"
    said = said.replace("codes of 'blau', 'grün', 'rot'", "codes of .*")
    for X_ in (X, "X.h5"):
        with pytest.raises(InputTypeError, match=said):
            kind(10).fit(X_, SOURCES[source]())
    with pytest.raises(InputTypeError, match=said):
        ELMRegressor(10).initialize(X).accumulate("X.h5", SOURCES[source](), into="sums.h5")


def test_text_is_refused_where_numbers_are_needed():
    write(np.array([b"a", b"b"] * 150), "words.h5")
    with pytest.raises(DataError, match="X must be 2-D"):
        classifier().fit("words.h5", LABELS)
    write(np.array([b"a", b"b"] * 150)[:, None], "words.h5")
    with pytest.raises(InputTypeError, match="X must hold numbers; got text. Code text columns"):
        classifier().fit("words.h5", LABELS)
    with pytest.raises(InputTypeError, match="sample_weight must hold numbers; got text"):
        classifier().fit(X, LABELS, "words.h5")
    with pytest.raises(InputTypeError, match="must hold numbers; got object"):
        to_hdf5(from_hdf5("words.h5"), "table.h5")
    write(np.array([[b"a", b"b"]] * 150), "wide.h5")
    with pytest.raises(InputTypeError, match="must hold numbers; got text. Only y of a classifier may be text"):
        from_hdf5("wide.h5", dataset="species")


MISSING = {
    "fixed length": lambda: write(np.where(np.arange(N) == 250, b"", FIXED)),
    "any length": lambda: write(np.where(np.arange(N) == 250, "", LABELS).astype(object), dtype=h5py.string_dtype()),
    "levels": lambda: of_levels(np.where(np.arange(N) == 250, np.nan, CODES)),
}


@pytest.mark.parametrize("source", MISSING)
@pytest.mark.parametrize("lazy", [False, True])
def test_a_missing_label_is_an_error_with_its_row(source, lazy):
    got, given = "None" if source == "levels" else "an empty text", MISSING[source]()
    data = "X.h5" if lazy else X
    said = f"y must not be missing; got {got} first in row 250"
    with pytest.raises(DataError, match=said):
        classifier().fit(data, given)
    with pytest.raises(DataError, match=said):
        classifier().partial_fit(data, given, classes=NAMES)
    model = classifier().fit(X, LABELS)
    with pytest.raises(DataError, match=said):
        model.score(data, given)
    with pytest.raises(DataError, match=said + " of .*y.h5"):
        model.initialize("X.h5", classes=NAMES).accumulate("X.h5", given, into="sums.h5")
    # Rows before it are rows as any other.
    model.accumulate("X.h5", given, rows=slice(0, 250), into="sums.h5")


@pytest.mark.parametrize(
    "given", [np.where(np.arange(N) == 7, "", LABELS), list(np.where(np.arange(N) == 7, "", LABELS))]
)
def test_a_missing_label_in_memory_is_one_too(given):
    with pytest.raises(DataError, match="y must not be missing; got an empty text first in row 7"):
        classifier().fit(X, given)
    with pytest.raises(DataError, match="y must not be missing; got an empty text first in row 7"):
        classifier().fit(X, pd.Series(given))


def test_labels_that_cannot_be_read_are_named():
    path = write(np.where(np.arange(N) == 5, "grün".encode("latin-1"), FIXED))
    with pytest.raises(DataError, match=r"must be text in UTF-8; got b'gr\\xfcn' first in row 5"):
        classifier().fit("X.h5", path)
    with pytest.raises(DataError, match="codes must have levels, 'blau', 'grün'; got 2.0 first in row"):
        classifier().fit("X.h5", of_levels(CODES.astype(float), ("blau", "grün")))
    write(FIXED[:100], "y0.h5")
    write(CODES[100:], "y1.h5")
    with pytest.raises(DataError, match="all files must hold labels as words, or all as numbers; got text.*y1.h5"):
        classifier().fit("X.h5", ["y0.h5", "y1.h5"])
    with pytest.raises(DataError, match="every label must be one of the classes .*got \\['rot'\\]"):
        classifier().initialize(X, classes=NAMES[:2]).accumulate("X.h5", write(FIXED), into="sums.h5")
    with pytest.raises(InputTypeError, match="of the type of the classes, such as 0; got '(blau|grün|rot)'"):
        classifier().initialize(X, classes=[0, 1, 2]).accumulate("X.h5", write(FIXED), into="sums.h5")


def run(*arguments, code=0):
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="daskelm")
    assert done.exit_code == code, done.output
    return done.output


@pytest.mark.parametrize("source", ["fixed length", "any length", "levels", "names of codes"])
@pytest.mark.parametrize("named", ["labels", "classes"])
def test_the_command_takes_and_writes_words(source, named, no_client):
    y = SOURCES[source]()
    y = f"{y}::{'data' if source == 'levels' else 'species'}"
    known = ("--labels", y) if named == "labels" else ("--classes", "blau,grün,rot")
    run("check", "X.h5", y, "--neurons", "10", "--targets", "3")
    run(
        "init",
        "X.h5",
        "model.h5",
        "--neurons",
        "3:lin,12:tanh",
        "--seed",
        "0",
        *known,
        "--class-weight",
        "rot=2",
    )
    run("accumulate", "model.h5", "X.h5", y, "--rows", "0:200", "--into", "sums.h5")
    run("accumulate", "model.h5", "X.h5", y, "--into", "sums.h5")
    run("solve", "model.h5", "sums.h5")
    model = load("model.h5")
    expected = classifier(class_weight={"rot": 2}).fit(X, LABELS)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-6, atol=1e-9)
    run("predict", "model.h5", "X.h5", "--out", "p.h5")
    np.testing.assert_array_equal(from_hdf5("p.h5").compute()[:, 0], model.predict(X))
    accuracy = np.mean(model.predict(X) == LABELS)
    assert f"{accuracy:.6g}"[:5] in run("score", "model.h5", "X.h5", y)
    assert "blau" in run("info", "model.h5")
    run("info", y)


def test_classes_on_the_command_line_are_words_or_numbers():
    out = run("init", "X.h5", "m.h5", "--classes", "a,,b", code=2)
    assert "must be labels with commas between, such as 0,1,2 or red,blue; got 'a,,b'" in out
    out = run("init", "X.h5", "m.h5", "--classes", "a,b", "--class-weight", "a", code=2)
    assert "must be LABEL=WEIGHT" in out
    run("init", "X.h5", "m.h5", "--classes", "1,b")
    assert load("m.h5").classes_.tolist() == ["1", "b"]
    run("init", "X.h5", "m.h5", "--classes", "2,1")
    assert load("m.h5").classes_.tolist() == [1, 2]


@pytest.mark.parametrize("old", [False, True])
def test_a_gap_of_anndata_is_no_class(no_client, old):
    codes = CODES.copy()
    codes[7] = -1
    with pytest.raises(DataError, match=r"y must .*7"):
        ELMClassifier(5, random_state=0).fit("X.h5", of_anndata(codes, old))
