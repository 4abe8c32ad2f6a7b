"""Values that are no numbers, and missing ones: refused, named by column and row."""

import dask.array as da
import h5py
import numpy as np
import pytest

from daskelm import ELMClassifier, ELMRegressor, HiddenLayer, make_hdf5
from daskelm.exceptions import DataError, InputTypeError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 4))
Y = np.sin(X[:, 0]) + X[:, 1]


def regressor(**options):
    return ELMRegressor(20, random_state=0, **options)


def classifier(**options):
    return ELMClassifier(20, random_state=0, **options)


def test_columns_that_are_no_numbers_are_named(tmp_path):
    pandas = pytest.importorskip("pandas")
    frames = pytest.importorskip("dask.dataframe")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    odd = frame.assign(
        city=["x", "y"] * 150,
        grade=pandas.Categorical([1, 2] * 150),
        when=pandas.Timestamp("2020"),
        span=pandas.Timedelta(1),
    )
    message = (
        r" must hold numbers; got column\(s\) 'when' \(datetime64\[\w+\]\), 'span' \(timedelta64\[\w+\]\)\. Drop "
        "them, or code them as numbers first: dates as seconds"
    )
    model, drawn = regressor().fit(frame, Y), classifier().initialize(frame, classes=[False, True])
    for given in (odd, frames.from_pandas(odd, npartitions=2)):
        for method in (regressor().fit, classifier().fit):
            with pytest.raises(InputTypeError, match="X" + message):
                method(given, Y > 0)
        for method in (HiddenLayer(5).fit, regressor().initialize):
            with pytest.raises(InputTypeError, match="X" + message):
                method(given)
        # A model of numbers takes no categories.
        for method in (drawn.accumulate, model.score):
            with pytest.raises(
                InputTypeError, match=r"X must hold numbers; got column\(s\) 'city' \(str(ing)?\), 'grade'"
            ):
                method(given, Y > 0)
        for method in (model.predict, model.transform):
            with pytest.raises(
                InputTypeError, match=r"X must hold numbers; got column\(s\) 'city' \(str(ing)?\), 'grade'"
            ):
                method(given)
        # Files hold texts and categories as codes, so that these are taken.
        with pytest.raises(InputTypeError, match=r"data must hold numbers, .* column\(s\) 'when' .*, 'span' "):
            make_hdf5(given, tmp_path / "f.h5")
    with pytest.raises(InputTypeError, match=r"got column\(s\) 'mixed' \(str\)\."):
        model.predict(frame.assign(mixed=np.array([1, "x"] * 150, object)).drop(columns="a"))
    times = pandas.DataFrame([[pandas.Timestamp("2020")] * 8])
    with pytest.raises(
        InputTypeError, match=r"got column\(s\) 0 \(datetime.*\), .* 5 \(datetime.*\) and 2 more\. Drop"
    ):
        regressor().fit(times, [1.0])


def test_a_missing_number_is_named_by_column():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "height", "d"])
    model = regressor().fit(frame, Y)
    frame.loc[7, "height"] = np.nan
    for given in (frame, frame.astype(object), frame.convert_dtypes()):
        for method, arguments in ((regressor().fit, (given, Y)), (model.predict, (given,))):
            with pytest.raises(DataError, match=r"X must be finite; got NaN first in row 7, column 2 \('height'\)\."):
                method(*arguments)


def test_text_is_for_the_classifier():
    pandas = pytest.importorskip("pandas")
    words = ["x", "y"] * 150
    for y in (
        np.array(words),
        np.array(words, object),
        pandas.Series(words),
        pandas.Series(words, dtype="category"),
        pandas.DataFrame({"y": words}),
        [*Y[:299], "x"],
        np.array(["2020-01-01", "2020-01-02"] * 150, "M8[D]"),
    ):
        with pytest.raises(InputTypeError, match=r"y must hold numbers; got .*\. Use ELMClassifier for labels"):
            regressor().fit(X, y)
    assert regressor().fit(X, Y.astype(object)).predict(X).shape == (300,)


@pytest.mark.parametrize("missing", [None, np.nan, "pandas.NA"])
def test_a_missing_label_is_named_by_row(missing):
    pandas = pytest.importorskip("pandas")
    missing = pandas.NA if missing == "pandas.NA" else missing
    words = ["x", "y"] * 150
    words[123] = missing
    kinds = [words, np.array(words, object), pandas.Series(words), pandas.Series(words).astype("category")]
    kinds += [da.from_array(np.array(words, object), chunks=100)]
    known = classifier().initialize(X, classes=["x", "y"])
    for y in kinds:
        for call in (classifier().fit, known.partial_fit, known.accumulate):
            with pytest.raises(
                DataError, match=r"y must not be missing; got (None|NaN|<NA>) first in row 123\. Fill or"
            ):
                call(X if not isinstance(y, da.Array) else da.from_array(X, chunks=100), y)
    days = np.array(["2020-01-01", "NaT"] * 150, "M8[D]")
    with pytest.raises(DataError, match="y must not be missing; got NaT first in row 1"):
        classifier().fit(X, days)


def test_what_would_be_misread_is_refused(tmp_path):
    masked = np.ma.masked_array(X, mask=X > 1)
    for call in (
        lambda: regressor().fit(masked, Y),
        lambda: regressor().fit(da.from_array(masked, chunks=50), Y),
        lambda: make_hdf5(masked, tmp_path / "m.h5"),
    ):
        with pytest.raises(InputTypeError, match=r"masked arrays are not supported.*filled"):
            call()
    path = make_hdf5(X, tmp_path / "x.h5")
    with (
        h5py.File(path) as file,
        pytest.raises(InputTypeError, match=r"holds datasets by name.*Give one: file\[name\]"),
    ):
        regressor().fit(file, Y)


@pytest.mark.parametrize("kind", [list, np.array])
def test_text_in_a_table_without_names(kind):
    X = kind([["1", "a"], ["2", "b"], ["3", "c"]])
    with pytest.raises(DataError, match=r"X must hold numbers; got text, (np.str_\()?'a'\)? first\..*get_dummies"):
        ELMRegressor().fit(X, [1.0, 2.0, 3.0])
