"""Frames with text, categories and gaps as tables of numbers: names, codes and levels, the same for every library."""

import pickle

import dask
import dask.array as da
import h5py
import numpy as np
import pytest

from daskelm import from_hdf5, make_hdf5, to_hdf5
from daskelm.data.categories import columns_of_frame
from daskelm.data.coded_columns import CodedBlock, CodedColumns
from daskelm.data.coded_frames import coded_frame
from daskelm.exceptions import DataError, InputTypeError, ParameterError, TableWarning
from daskelm.hdf5.columns import columns_of

pandas = pytest.importorskip("pandas")
N = 60
TOWNS = ["Oslo", "Rome", None, "Rome", "Turku"] * (N // 5)
FRAME = pandas.DataFrame(
    {
        "town": TOWNS,
        "extent": pandas.Categorical(["big", "small", None] * (N // 3), categories=["small", "middle", "big"]),
        "grade": pandas.Categorical([2, 1, 2] * (N // 3)),
        "flag": [True, False] * (N // 2),
        "maybe": pandas.array([True, None, False] * (N // 3), dtype="boolean"),
        "x": np.where(np.arange(N) % 7 == 0, np.nan, np.arange(N) / 4),
        "n": np.arange(N),
    }
)
LEVELS = {"town": ("Oslo", "Rome", "Turku"), "extent": ("small", "middle", "big"), "grade": (1, 2)}
EXPECTED = np.column_stack(
    [
        [np.nan if town is None else LEVELS["town"].index(town) for town in TOWNS],
        [2, 0, np.nan] * (N // 3),
        [1, 0, 1] * (N // 3),
        FRAME["flag"],
        [1, np.nan, 0] * (N // 3),
        FRAME["x"],
        FRAME["n"],
    ]
)


def written(data, path="t.h5", write=make_hdf5, **options):
    write(data, path, overwrite=True, **options)
    with h5py.File(path) as file:
        described = columns_of(file["data"], path)
        names = None if described is None else {column.name: column.levels for column in described}
        return file["data"][:], names


def polars_of(frame):
    polars = pytest.importorskip("polars")
    return polars.DataFrame({name: list(map(_plain, frame[name])) for name in frame})


def _plain(value):
    return None if value is pandas.NA or value is None or value != value else value


def arrow_of(frame):
    return pytest.importorskip("pyarrow").Table.from_pandas(frame)


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


ALL = {name: LEVELS.get(name) for name in FRAME}


@pytest.mark.parametrize("form", ["pandas", "objects", "arrow", "arrow types"])
def test_frames_in_memory(form):
    frame = FRAME
    if form == "objects":
        frame = FRAME.assign(town=FRAME["town"].astype(object), maybe=FRAME["maybe"].astype(object))
    elif form == "arrow":
        frame = arrow_of(FRAME)
    elif form == "arrow types":
        pytest.importorskip("pyarrow")
        frame = FRAME.assign(town=FRAME["town"].astype("string[pyarrow]"), n=FRAME["n"].astype("int64[pyarrow]"))
    rows, names = written(frame)
    np.testing.assert_array_equal(rows, EXPECTED)
    assert names == ALL


def test_polars():
    rows, names = written(polars_of(FRAME[["town", "flag", "maybe", "x", "n"]]))
    np.testing.assert_array_equal(rows, EXPECTED[:, [0, 3, 4, 5, 6]])
    assert names == {name: LEVELS.get(name) for name in ("town", "flag", "maybe", "x", "n")}


@pytest.mark.parametrize("npartitions", [1, 4, 13])
@pytest.mark.parametrize("write", [make_hdf5, to_hdf5])
def test_dask_frames_in_any_partitions(npartitions, write):
    frames = pytest.importorskip("dask.dataframe")
    for scheduler in ("threads", "sync"):
        with dask.config.set(scheduler=scheduler):
            lazy = frames.from_pandas(FRAME, npartitions=npartitions)
            rows, names = written(lazy, write=write)
            np.testing.assert_array_equal(rows, EXPECTED)
            assert names == ALL
            # Levels that are not known are those that appear, in the order of the rows.
            unknown = lazy.assign(extent=lazy["extent"].cat.as_unknown())
            rows, names = written(unknown, write=write)
            assert names == {**ALL, "extent": ("big", "small")}
            np.testing.assert_array_equal(rows[:, 1], [0, 1, np.nan] * (N // 3))


def test_frames_of_numbers_keep_their_type_and_names():
    frames = pytest.importorskip("dask.dataframe")
    numbers = FRAME[["n"]].assign(m=2**60 + FRAME["n"])
    for data in (numbers, frames.from_pandas(numbers, npartitions=3)):
        rows, names = written(data)
        assert rows.dtype == np.int64
        np.testing.assert_array_equal(rows, numbers.to_numpy())
        assert names == {"n": None, "m": None}
    # Names that are no texts are no names.
    assert written(pandas.DataFrame(np.eye(3)))[1] is None
    assert written(np.eye(3))[1] is None
    assert written(pandas.Series([1.0, 2.0], name="y"))[1] == {"y": None}


def test_vectors_of_labels():
    frames = pytest.importorskip("dask.dataframe")
    words = FRAME["town"].dropna()
    numbers = pandas.Series([5, 7, 5], dtype="category", name="y")
    for data in (words, frames.from_pandas(words, npartitions=3), words.astype(object)):
        rows, names = written(data)
        assert names == {"town": LEVELS["town"]}
        assert [LEVELS["town"][int(code)] for code in rows[:, 0]] == words.tolist()
    for data in (numbers, frames.from_pandas(numbers, npartitions=2)):
        assert written(data)[0].ravel().tolist() == [5, 7, 5]


def test_categories_are_levels_as_in_fit():
    frames = pytest.importorskip("dask.dataframe")
    spans = pandas.cut(FRAME["n"], [-1, 9, 39, 99])
    frame = pandas.DataFrame({"span": spans, "raw": [b"caf\xc3\xa9", b"tea", None] * (N // 3), "n": FRAME["n"]})
    with dask.config.set({"dataframe.convert-string": False}):
        lazy = frames.from_pandas(frame, npartitions=7)
    # A partition whose levels come in another order than those of the table has its codes changed.
    for data in (frame, lazy, frame[::-1], frames.from_pandas(frame[::-1], npartitions=4, sort=False)):
        rows, names = written(data)
        assert names["span"] == ("(-1, 9]", "(9, 39]", "(39, 99]")
        assert set(names["raw"]) == {"café", "tea"}
        order, raw = np.argsort(rows[:, 2]), names["raw"]
        np.testing.assert_array_equal(rows[order, 0], spans.cat.codes)
        np.testing.assert_array_equal(rows[order, 1], [raw.index("café"), raw.index("tea"), np.nan] * (N // 3))
    # Levels of `fit` are the same ones, sorted.
    fitted = columns_of_frame(frame[["span"]])
    assert sorted(names["span"]) == list(fitted[0].levels)


def test_columns_and_gaps_of_frames_and_arrays():
    frames = pytest.importorskip("dask.dataframe")
    lazy = frames.from_pandas(FRAME, npartitions=4)
    for data in (FRAME, lazy):
        rows, names = written(data, columns=["n", "town"], missing_values=["Rome", 3])
        assert names == {"n": None, "town": LEVELS["town"]}
        expected = EXPECTED[:, [6, 0]].copy()
        expected[3, 0] = np.nan
        expected[expected[:, 1] == 1, 1] = np.nan
        np.testing.assert_array_equal(rows, expected)
        assert list(written(data, exclude=[0, "x"])[1]) == ["extent", "grade", "flag", "maybe", "n"]
        with pytest.raises(ParameterError, match="columns must name columns of the table.*got 'N'"):
            make_hdf5(data, "u.h5", columns=["N"])
    table = np.arange(12).reshape(4, 3)
    np.save("x.npy", table)
    with h5py.File("x.h5", "w") as file:
        file["x"] = table
        for data in (table, table.tolist(), "x.npy", da.from_array(table, chunks=2), file["x"]):
            rows, names = written(data, columns=[2, 0], missing_values=3)
            np.testing.assert_array_equal(rows, [[2, 0], [5, np.nan], [8, 6], [11, 9]])
            assert names is None
    with pytest.raises(DataError, match="integers beyond 2\\^53"):
        make_hdf5(table + 2**60 + 1, "u.h5", missing_values=1)
    with pytest.raises(ParameterError, match="columns is an option for tables of two dimensions"):
        make_hdf5(table[:, 0], "u.h5", columns=[0])


def test_names_of_xarray():
    xarray = pytest.importorskip("xarray")
    array = xarray.DataArray(np.eye(4), dims=("row", "name"), coords={"name": list("abcd")})
    for data in (array, array.chunk({"row": 2})):
        assert list(written(data)[1]) == list("abcd")
        rows, names = written(data, columns=["c", "a"])
        np.testing.assert_array_equal(rows, np.eye(4)[:, [2, 0]])
        assert list(names) == ["c", "a"]


def test_columns_that_cannot_be_coded():
    frames = pytest.importorskip("dask.dataframe")
    mixed = FRAME.assign(mixed=pandas.Series([1, "x"] * (N // 2), dtype=object))
    for frame, message in [
        (mixed, r"got column\(s\) 'mixed' \(str\)"),
        (FRAME.assign(lists=pandas.Series([[1]] * N)), r"got column\(s\) 'lists' \(list\)"),
        (FRAME.assign(when=pandas.Timestamp("2020")), r"got column\(s\) 'when' \(datetime64"),
    ]:
        with pytest.raises(InputTypeError, match=message):
            make_hdf5(frame, "u.h5")
    late = pandas.DataFrame({"a": pandas.Series([1.0] * 30 + ["x"] * 30, dtype=object), "b": 1.0})
    with dask.config.set({"dataframe.convert-string": False}):
        lazy = frames.from_pandas(late, npartitions=2)
        with pytest.raises(DataError, match="column 'a' is text in some rows and numbers in others"):
            make_hdf5(lazy, "u.h5")
    identifiers = FRAME.assign(town=[f"n{i}" for i in range(N)])
    for data in (identifiers, frames.from_pandas(identifiers, npartitions=3)):
        with pytest.warns(TableWarning, match=r"'town' has another text in each of its 60 rows.*exclude=\['town'\]"):
            make_hdf5(data, "u.h5", overwrite=True)


def test_blocks_are_pickled_and_coded_in_order():
    block = pickle.loads(pickle.dumps(coded_frame(FRAME)))
    assert isinstance(block, CodedBlock)
    columns = CodedColumns(["a"], {0: ["x", "y"]})
    assert columns.coded(CodedBlock(np.array([[0.0], [np.nan]]), {0: ["y"]})).ravel().tolist()[0] == 1
    with pytest.raises(DataError, match=r"column 'a' must have the levels that it declares, \['x', 'y'\]; got 'z'"):
        columns.coded(CodedBlock(np.zeros((1, 1)), {0: ["z"]}))


def test_a_table_with_names_is_data_and_is_replaced():
    make_hdf5(FRAME, "t.h5")
    make_hdf5(FRAME[["town", "x"]], "t.h5")
    np.testing.assert_array_equal(from_hdf5("t.h5").compute(), EXPECTED[:, [0, 5]])
