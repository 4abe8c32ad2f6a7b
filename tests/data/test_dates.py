"""Columns of dates as seconds since 1970: of text tables, frames and Parquet files, with their errors."""

import datetime

import h5py
import numpy as np
import pandas as pd
import pytest

from daskelm import ELMRegressor, make_hdf5
from daskelm.exceptions import DataError, InputTypeError, ParameterError
from daskelm.hdf5.columns import columns_of

NAN = np.nan
# Texts, and the seconds by Python's own datetime.
TEXTS = {
    "2013-06-19T05:00:00Z": 1371618000,
    "2013-06-19 05:00": 1371618000,
    "2013-06-19T07:00:00.25+02:00": 1371618000.25,
    "2013-06-19 07:00:00 +0200": 1371618000,
    "2013-06-19": 1371600000,
    "20130619": 1371600000,
    "2013/06/19 05:00:01": 1371618001,
    "1969-12-31T23:59:59": -1,
}
NO_DATES = ["2013", "2013-06", "05:00", "2013-13-01", "19.06.2013", "06/19/2013", "June 19, 2013", "Oslo", "1371618000"]


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def table(content, **options):
    with open("t.csv", "w") as file:
        file.write(content)
    return written(make_hdf5("t.csv", "t.h5", overwrite=True, **options))


def written(path):
    with h5py.File(path) as file:
        return file["data"][:], [column.name for column in columns_of(file["data"], path)]


def test_texts_are_the_seconds_of_python():
    rows, names = table("day,x\n" + "".join(f"{text},1\n" for text in TEXTS), dates=["day"])
    assert names == ["day", "x"]
    np.testing.assert_array_equal(rows[:, 0], list(TEXTS.values()))
    for text, seconds in TEXTS.items():
        if "T" in text:
            stamp = datetime.datetime.fromisoformat(text)
            stamp = stamp if stamp.tzinfo else stamp.replace(tzinfo=datetime.timezone.utc)  # noqa: UP017
            assert stamp.timestamp() == seconds


@pytest.mark.parametrize("n_columns", [1, 150])
def test_gaps_among_dates_are_nan_and_the_other_columns_stay(n_columns, monkeypatch):
    monkeypatch.setattr("daskelm.data.text._BLOCK_BYTES", 100)
    monkeypatch.setattr("daskelm.data.text_lines._LEAST_READ", 50)
    more = ",".join(map(str, range(n_columns)))
    days = ["2013-06-19", "", "NA", "unknown", "2013-06-20"] * 5
    head = "town,day," + ",".join(f"c{i}" for i in range(n_columns)) + "\n"
    rows, _ = table(head + "".join(f"Oslo,{day},{more}\n" for day in days), dates="day", missing_values="unknown")
    np.testing.assert_array_equal(rows[:, 1], [1371600000, NAN, NAN, NAN, 1371686400] * 5)
    np.testing.assert_array_equal(rows[:, 2:], [np.arange(n_columns)] * 25)
    assert not rows[:, 0].any()


@pytest.mark.parametrize("text", NO_DATES)
def test_what_is_no_date_is_an_error_with_its_line(text):
    content = f"x,day\n1,2013-06-19\n2,\n3,{text!r}\n".replace("'", '"')
    with pytest.raises(DataError, match=rf"t\.csv, line 4: column 'day' must hold dates with the year.*{text}"):
        table(content, dates=["day"])


def test_a_format_reads_what_is_written_otherwise():
    content = "day,late\n19.06.2013 05:00,06/19/2013\n,06/20/2013\n"
    with pytest.raises(InputTypeError, match=r"'19\.06\.2013 05:00', which looks like a date\. .* dates="):
        table(content, columns=["day"])
    with pytest.raises(DataError, match=r"line 2: .* the year first.* Mend it, or say how dates are written: dates="):
        table(content, dates=["day", "late"])
    rows, _ = table(content, dates={"day": "%d.%m.%Y %H:%M", 1: "%m/%d/%Y"})
    np.testing.assert_array_equal(rows, [[1371618000, 1371600000], [NAN, 1371686400]])
    with pytest.raises(DataError, match=r"line 2: column 'late' must hold dates written as '%d/%m/%Y'"):
        table(content, dates={"late": "%d/%m/%Y"}, columns=["late"])


FRAME = pd.DataFrame(
    {
        "text": ["2013-06-19T07:00:00+02:00", None, "2013-06-20"],
        "naive": pd.to_datetime(["2013-06-19 05:00", None, "2013-06-20 00:00"]),
        "zone": pd.to_datetime(["2013-06-19 07:00", None, "2013-06-20 02:00"]).tz_localize("Europe/Oslo"),
        "x": [1.0, 2.0, NAN],
    }
)
FRAME["day"] = pd.Series([datetime.date(2013, 6, 19), None, datetime.datetime(2013, 6, 20)], dtype=object)
FRAME["category"] = FRAME["text"].astype("category")
WANTED = {
    **{name: [1371618000, NAN, 1371686400] for name in ("text", "naive", "zone", "category")},
    "day": [1371600000, NAN, 1371686400],
    "x": [1, 2, NAN],
}


def as_dask(frame):
    return pytest.importorskip("dask.dataframe").from_pandas(frame, npartitions=2)


def as_parquet(frame):
    days = frame["day"].map(lambda one: one and pd.Timestamp(one).date())
    frame[["naive", "zone", "x"]].assign(date=days).to_parquet("f.parquet")
    return "f.parquet"


def as_arrow(frame):
    return pytest.importorskip("pyarrow").Table.from_pandas(frame[["naive", "zone", "x"]])


def as_polars(frame):
    return pytest.importorskip("polars").from_pandas(frame[["naive", "zone", "x"]])


@pytest.mark.parametrize("form", [lambda frame: frame, as_dask, as_parquet, as_arrow, as_polars])
def test_frames_and_parquet(no_client, form):
    given = form(FRAME)
    names = list(pd.read_parquet(given)) if isinstance(given, str) else list(getattr(given, "column_names", given))
    names = list(given.columns) if hasattr(given, "columns") and not hasattr(given, "column_names") else names
    rows, found = written(make_hdf5(given, "f.h5", dates=[name for name in names if name != "x"]))
    assert found == names
    for i, name in enumerate(names):
        np.testing.assert_array_equal(rows[:, i], WANTED["day" if name == "date" else name], err_msg=name)


def test_columns_that_hold_no_dates():
    with pytest.raises(InputTypeError, match=r"dates: column 'x' must hold dates, times or texts; got float64\."):
        make_hdf5(FRAME, "f.h5", dates=["x"])
    with pytest.raises(DataError, match=r"dates: column 'text' must hold dates with the year first.*got 'Oslo'"):
        make_hdf5(FRAME.assign(text="Oslo"), "f.h5", dates=["text"])
    with pytest.raises(InputTypeError, match=r"dates: column 'text' must hold dates, times or texts; got tuple"):
        make_hdf5(FRAME.assign(text=pd.Series([(1,)] * 3)), "f.h5", dates=["text"])
    as_parquet(FRAME)
    with pytest.raises(InputTypeError, match=r"dates: column 'x' must hold dates or times; got double"):
        make_hdf5("f.parquet", "f.h5", dates=["x"])
    for data in (np.ones((3, 2)), (3, 2)):
        with pytest.raises(ParameterError, match="dates is an option for"):
            make_hdf5(data, "f.h5", dates=[0])
    for dates, message in ((["nowhere"], "dates must name columns"), ({"text": "when"}, "a format must be one of")):
        with pytest.raises(ParameterError, match=message):
            make_hdf5(FRAME, "f.h5", dates=dates)


def test_errors_about_times_name_the_call_that_makes_seconds(no_client):
    y = np.arange(3.0)
    with pytest.raises(InputTypeError, match=r"'naive' \(datetime64\[.*make_hdf5\(frame, 'table\.h5', dates=\[name\]"):
        ELMRegressor().fit(FRAME[["naive", "x"]], y)
    as_parquet(FRAME)
    with pytest.raises(InputTypeError, match=r"seconds: make_hdf5\(path, 'table\.h5', dates=\['naive'\]\)"):
        ELMRegressor().fit("f.parquet", y)
    for more in (["x"], ["x", "text"]):
        with pytest.raises(InputTypeError, match=r"seconds, which make_hdf5\(frame, 'table\.h5', dates=\[name\]\)"):
            make_hdf5(FRAME[["naive", *more]], "f.h5")


def test_columns_of_parquet_that_are_left_out_may_hold_times():
    as_parquet(FRAME)
    _, names = written(make_hdf5("f.parquet", "f.h5", exclude=["naive", "date"], dates=["zone"]))
    assert names == ["zone", "x"]


def test_whole_seconds_fit_integers_and_fractions_do_not():
    rows, _ = table("day\n2013-06-19T05:00:00Z\n", dates=["day"], dtype="int64")
    assert rows.dtype == np.int64
    assert rows.item() == 1371618000
    with pytest.raises(DataError, match="dtype: int64 must hold all values unchanged"):
        table("day\n2013-06-19T05:00:00.5Z\n", dates=["day"], dtype="int64")
