"""Chosen columns of HDF5 data: of tables, fields of records, datasets side by side, and tables on their side."""

import itertools
import pickle

import h5py
import numpy as np
import pytest

from daskelm import ELMRegressor, from_hdf5, make_hdf5
from daskelm.exceptions import (
    DataError,
    DatasetNotFoundError,
    FileFormatError,
    InputTypeError,
    ParameterError,
)
from daskelm.hdf5.choice import split_choice
from daskelm.hdf5.columns import Column, write_columns
from daskelm.hdf5.rows import open_rows

pytestmark = pytest.mark.usefixtures("unsynced_folder")

N, D = 500, 7
X = np.random.default_rng(0).standard_normal((N, D))
NAMES = list("abcdefg")
RECORDS = np.zeros(N, [("a", "<f4"), ("n", "<i8"), ("text", "S3"), ("d", ">f8"), ("pair", "<f8", (2,))])
RECORDS["a"], RECORDS["n"], RECORDS["d"] = X[:, 0], np.arange(N), X[:, 3]
# Layouts of one table: chunks across rows and columns, packed or not, and none.
LAYOUTS = {
    "plain": {},
    "rows": {"chunks": (60, D)},
    "both": {"chunks": (60, 3)},
    "packed": {"chunks": (60, 3), "compression": "gzip"},
    "one column packed": {"chunks": (N, 1), "compression": "lzf"},
    "big endian": {"chunks": (64, 2), "dtype": ">f8", "shuffle": True},
}
CHOICES = ([0], [6, 0, 3], list(range(D)), [2, 3], list(range(D))[::-1], 4)


def written(path="t.h5", **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name.replace("__", "/")] = values
    return path


def named(path="named.h5", table=X, columns=NAMES, **how):
    with h5py.File(path, "w") as file:
        described = [one if isinstance(one, Column) else Column(one) for one in columns]
        write_columns(file.create_dataset("data", data=table, **how), described)
    return path


def same(array, expected):
    """Whether a lazy array, in any chunks, is this one, with its dtype."""
    values = array.compute(scheduler="sync")
    assert values.shape == expected.shape
    assert values.dtype == array.dtype == expected.dtype
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("columns", CHOICES, ids=str)
def test_chosen_columns_are_those_of_the_table(layout, columns):
    with h5py.File("t.h5", "w") as file:
        file.create_dataset("t", data=X, **LAYOUTS[layout])
        file.create_dataset("s", data=X.T, **LAYOUTS[layout] | ({"chunks": (3, 60)} if layout != "plain" else {}))
    for rows, chunks in itertools.product((None, slice(13, 477)), (50, -1)):
        expected = X[rows or slice(None), columns]
        same(from_hdf5("t.h5", "t", rows, chunks, columns=columns), expected)
        same(from_hdf5("t.h5", "s", rows, chunks, columns=columns, transpose=True), expected)
        same(from_hdf5(open_rows("t.h5", "t", rows).choose(columns), chunks=chunks), expected)


@pytest.mark.parametrize("how", [{}, {"chunks": (60,)}, {"chunks": (60,), "compression": "gzip"}])
def test_fields_of_records_are_columns(how):
    with h5py.File("t.h5", "w") as file:
        file.create_dataset("events", data=RECORDS, **how)
    expected = np.column_stack([RECORDS["d"], RECORDS["a"], RECORDS["n"]]).astype(float)
    same(from_hdf5("t.h5", "events", columns=["d", "a", "n"], chunks=70), expected)
    same(from_hdf5("t.h5", "events", columns=["a"]), RECORDS["a"][:, None])
    same(from_hdf5("t.h5", columns="n", chunks=70), RECORDS["n"])
    rows = open_rows("t.h5", columns=["d", "a", "n"])
    assert rows.columns == (Column("d"), Column("a"), Column("n"))
    same(from_hdf5(rows.choose(["n", "a"])), expected[:, [2, 1]])
    same(from_hdf5(rows.leave_out(["d", "n"])), RECORDS["a"][:, None])


def test_records_of_numbers_are_a_table():
    numbers = np.zeros(N, [("b", "<f8"), ("a", "<f4")])
    numbers["b"] = X[:, 0]
    path = written(events=numbers, axis=np.array(["x"], "S1"))
    rows = open_rows(path)
    assert (rows.shape, rows.names, rows.dtype) == ((N, 2), ("b", "a"), np.float64)
    same(from_hdf5(path), np.column_stack([numbers["b"], numbers["a"]]))


def test_datasets_of_one_dimension_stand_side_by_side():
    counts = np.arange(N)
    with h5py.File("t.h5", "w") as file:
        file["g/a"], file["g/n"] = X[:, 0], counts
        file.create_dataset("g/packed", data=X[:, 1].astype("f4"), chunks=(77,), compression="gzip")
        file["table"] = X
    expected = np.column_stack([X[:, 1].astype("f4"), X[:, 0], counts])
    for rows in (
        open_rows("t.h5", columns=["g/packed", "g/a", "g/n"]),
        open_rows("t.h5", "g", columns=["packed", "a", "n"]),
        open_rows(h5py.File("t.h5")["g/a"].file.filename, "/g/", columns=["packed", "a", "n"]),
    ):
        assert rows.names == ("packed", "a", "n")
        same(from_hdf5(rows, chunks=60), expected)
        same(from_hdf5(rows.choose(["n", "packed"]), rows=slice(100, 300), chunks=60), expected[100:300, [2, 0]])
        same(from_hdf5(rows.choose("n")), counts)
        assert rows.choose("packed").dtype == np.float32
    same(from_hdf5("t.h5", "g", columns="a"), X[:, 0])


def test_names_choose_in_any_order_in_several_files():
    first, second = named("p1.h5"), named("p2.h5", X[:, ::-1], NAMES[::-1])
    both = np.concatenate([X, X])
    same(from_hdf5([first, second], columns=["c", "a"], chunks=90), both[:, [2, 0]])
    same(from_hdf5("p?.h5", columns="f"), both[:, 5])
    with pytest.raises(DataError, match=r"the same names of columns, in the same order; got .*'a'.*p1\.h5 and .*'g'"):
        from_hdf5([first, second])
    plain = make_hdf5(X, "p3.h5")
    assert open_rows([first, plain]).names == tuple(NAMES)


def test_files_share_their_levels():
    codes = X.copy()
    codes[:, 0] = np.arange(len(X)) % 2
    codes[3, 0] = np.nan
    named("p1.h5", table=codes, columns=[Column("a", ("x", "y")), *NAMES[1:]])
    named("p2.h5", table=codes, columns=[Column("a", ("y", "new")), *NAMES[1:]])
    rows = open_rows(["p1.h5", "p2.h5"])
    assert rows.columns[0].levels == ("new", "x", "y")
    expected = np.concatenate([codes[:, 0] + 1, 2 - 2 * codes[:, 0]])
    np.testing.assert_array_equal(rows.read(0, rows.n_rows)[:, 0], expected)
    np.testing.assert_array_equal(from_hdf5(["p1.h5", "p2.h5"], columns=["b", "a"], chunks=7).compute()[:, 1], expected)
    np.testing.assert_array_equal(rows.choose(["a"]).read(0, rows.n_rows)[:, 0], expected)
    with pytest.raises(DataError, match=r"the same kinds of columns"):
        from_hdf5([named("p2.h5"), "p1.h5"])
    with pytest.raises(DataError, match=r"must have levels for columns that are codes; got none in .*p3\.h5"):
        from_hdf5(["p1.h5", make_hdf5(X, "p3.h5")])
    assert open_rows("p1.h5", columns=["b", "a"]).columns[1].levels == ("x", "y")


def test_positions_and_names_are_the_same_choice():
    named()
    for columns in (["c", "a"], [2, 0]):
        rows = open_rows("named.h5", columns=columns)
        assert rows.names == ("c", "a")
        same(from_hdf5(rows), X[:, [2, 0]])


def test_a_description_of_many_columns_is_small_and_is_pickled():
    """Tasks carry the choice and not the names."""
    wide = np.zeros((4, 5000))
    named(table=wide, columns=[f"a long name of a column {i}" for i in range(5000)])
    array = from_hdf5(open_rows("named.h5").leave_out(["a long name of a column 7"]), chunks=2)
    assert array.shape == (4, 4999)
    assert len(pickle.dumps(dict(array.dask))) < 20_000
    rows = pickle.loads(pickle.dumps(open_rows("named.h5", columns=[3, 1])))
    assert rows == open_rows("named.h5", columns=[3, 1])


def test_only_the_chunks_of_chosen_columns_are_needed():
    """A gap in a column that is not chosen is none, and memory is projected for the chosen ones."""
    with h5py.File("t.h5", "w") as file:
        table = file.create_dataset("t", (N, 4000), "f8", chunks=(100, 100), compression="gzip")
        table[:, :100] = 1.0
    same(from_hdf5("t.h5", columns=[3, 99]), np.ones((N, 2)))
    with pytest.raises(FileFormatError, match=r"rows 0 to 499 of '/t\[3,100\]' were never written"):
        from_hdf5("t.h5", columns=[3, 100]).compute(scheduler="sync")
    with pytest.raises(FileFormatError, match="were never written"):
        from_hdf5("t.h5").compute(scheduler="sync")
    with h5py.File("t.h5", "r+") as file:
        file["t"][:] = 1.0
    (few,), (all_of_them,) = open_rows("t.h5", columns=[3, 99]).parts, open_rows("t.h5").parts
    assert few.held_bytes < all_of_them.held_bytes
    assert open_rows("t.h5").choose([3, 99]).parts[0].cache_bytes == few.cache_bytes


def test_gaps_in_a_table_on_its_side_are_found():
    with h5py.File("t.h5", "w") as file:
        table = file.create_dataset("t", (3, N), "f8", chunks=(3, 100))
        table[:, :200] = 1.0
        table[:, 300:] = 1.0
    same(from_hdf5("t.h5", transpose=True, rows=slice(0, 200)), np.ones((200, 3)))
    with pytest.raises(FileFormatError, match="rows 200 to 299 of '/t.T' were never written"):
        from_hdf5("t.h5", transpose=True, rows=slice(150, 250), chunks=-1).compute(scheduler="sync")


def test_missing_values_of_each_dataset_are_marked():
    with h5py.File("t.nc", "w") as file:
        for name, fill in (("a", -1.0), ("b", -2.0)):
            file[name] = np.array([1.0, -1.0, -2.0])
            file[name].attrs["_FillValue"] = fill
    same(from_hdf5("t.nc", columns=["a", "b"]), np.array([[1, 1], [np.nan, -1], [-2, np.nan]]))


def test_a_file_that_changed_is_refused_for_each_choice():
    named()
    written("t.h5", a=X[:, 0], b=X[:, 1])
    lazy = [from_hdf5("named.h5", columns=["c"]), from_hdf5("t.h5", columns=["a", "b"])]
    named(table=X + 1)
    written("t.h5", a=X[:, 0], b=X[:, 2], c=X[:, 3])
    for array in lazy:
        with pytest.raises(FileFormatError, match="changed while it was in use"):
            array.compute(scheduler="sync")


def test_virtual_datasets_and_links_are_chosen_from():
    make_hdf5(X, "source.h5")
    layout = h5py.VirtualLayout((N, D), "f8")
    layout[:] = h5py.VirtualSource("source.h5", "data", (N, D))
    with h5py.File("t.h5", "w") as file:
        file.create_virtual_dataset("v", layout)
        file["link"] = h5py.ExternalLink("source.h5", "data")
    for name in ("v", "link"):
        same(from_hdf5("t.h5", name, columns=[5, 1], chunks=60), X[:, [5, 1]])
    same(from_hdf5("t.h5", "link", transpose=True, columns=[4, 2]), X.T[:, [4, 2]])
    with pytest.raises(DataError, match=r"transpose is for .* got '/v' whose numbers lie in other files\. Copy"):
        from_hdf5("t.h5", "v", transpose=True)


def test_the_memory_of_a_table_on_its_side_is_bounded(tmp_path):
    """A block of rows is read as [:, a:b], and not the whole table."""
    with h5py.File("t.h5", "w") as file:
        file.create_dataset("t", (40, 1_000_000), "f8", chunks=(40, 1000))
    (part,) = open_rows("t.h5", transpose=True).parts
    assert part.chunk_rows == 1000
    assert part.held_bytes < 8 * 2**20
    assert from_hdf5("t.h5", transpose=True, chunks=10_000).chunks[0][0] == 10_000


def test_h5py_reads_as_few_columns_as_are_chosen():
    with h5py.File("t.h5", "w") as file:
        file.create_dataset("t", data=np.zeros((1000, 600)), chunks=(100, 100), compression="gzip")
    rows = open_rows("t.h5", columns=[250])
    with rows.open() as reader:
        reader.read(0, 10)
        kept = reader._open._chunks._memory
    assert kept.shape == (100, 1)


ERRORS = {
    "unknown name": ({"dataset": "named"}, ["z"], DatasetNotFoundError, "columns must be among a, b, c.* got z"),
    "no names": (
        {"dataset": "plain"},
        ["a"],
        DatasetNotFoundError,
        r"only where they have names; got a .*columns=\[0, 3\]",
    ),
    "position": ({"dataset": "plain"}, [7], DatasetNotFoundError, "must lie within 0 to 6; got 7"),
    "negative": ({"dataset": "plain"}, [-1], DatasetNotFoundError, "must lie within 0 to 6; got -1"),
    "nothing": ({"dataset": "plain"}, [], ParameterError, r"in a list that is not empty.*; got \[\]"),
    "twice": ({"dataset": "plain"}, [1, 1], ParameterError, "name each column once; got 1 twice"),
    "true": ({"dataset": "plain"}, [True], ParameterError, r"must be names .* got \[True\]"),
    "mixed": ({"dataset": "named"}, ["a", 1], ParameterError, r"got \['a', 1\]"),
    "of a vector": ({"dataset": "g/a"}, [1], DataError, "must be 2-D for a choice of its columns"),
    "text": (
        {"dataset": "records"},
        ["a", "text"],
        InputTypeError,
        r"one number each; got text \(\|S3\)\. Choose others",
    ),
    "all records": (
        {"dataset": "records"},
        None,
        InputTypeError,
        r"got text \(\|S3\), pair .* Choose others: columns=\['a', 'n', 'd'\]; a field of several .* make_hdf5\(",
    ),
    "nowhere": ({}, ["z"], DatasetNotFoundError, "names of columns of one dataset.* got z. .*named has a, b, c"),
    "a group": ({"dataset": "g"}, None, DatasetNotFoundError, r"got a group, of a, short\. .*dataset='g', columns="),
    "lengths": ({"dataset": "g"}, ["a", "short"], DataError, r"the same length; got \(500,\) for 'g/a' and \(3,\)"),
    "a table first": (
        {},
        ["plain", "g/a"],
        DataError,
        r"one dimension and the same length; got \(500, 7\) for 'plain'\. Leave one out",
    ),
    "two places": ({}, ["a"], DatasetNotFoundError, "must be in one dataset, when none is named; got /named, /records"),
    "transposed vector": ({"dataset": "g/a", "transpose": True}, None, DataError, "transpose is for a 2-D dataset"),
    "transpose": ({"dataset": "plain", "transpose": "yes"}, None, ParameterError, "transpose must be True or False"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_choices_that_cannot_be_are_refused(case):
    given, columns, error, text = ERRORS[case]
    with h5py.File("t.h5", "w") as file:
        write_columns(file.create_dataset("named", data=X), [Column(name) for name in NAMES])
        file["plain"], file["records"], file["g/a"], file["g/short"] = X, RECORDS, X[:, 0], X[:3, 0]
    with pytest.raises(error, match=text):
        from_hdf5("t.h5", columns=columns, **given)


def test_files_of_one_column_in_two_forms_are_one_vector():
    for path, column in (("p1.h5", X[:, 0]), ("p2.h5", X[:, :1])):
        with h5py.File(path, "w") as file:
            file["y"] = column
    for paths in (["p1.h5", "p2.h5"], ["p2.h5", "p1.h5"]):
        with pytest.raises(DataError, match="columns and dimensions; .* columns=0 takes the one column of each"):
            from_hdf5(paths)
        same(from_hdf5(paths, columns=0), np.tile(X[:, 0], 2))


def test_the_remedy_for_a_field_of_several_numbers_works():
    """As in tables of pandas, whose numbers are in such fields."""
    written(df__table=RECORDS)
    with pytest.raises(InputTypeError) as caught:
        from_hdf5("t.h5", dataset="df/table")
    remedy = str(caught.value).partition("a table of its own, ")[2].rstrip(".")
    same(from_hdf5(eval(remedy, {"make_hdf5": make_hdf5, "h5py": h5py})), RECORDS["pair"])


@pytest.mark.parametrize(
    ("text", "path", "dataset", "columns", "transpose"),
    [
        ("t.h5", "t.h5", None, None, False),
        ("t.h5::X", "t.h5", "X", None, False),
        ("t.h5::X.T", "t.h5", "X", None, True),
        ("t.h5::.T", "t.h5", None, None, True),
        ("t.h5::X[a, b]", "t.h5", "X", ("a", "b"), False),
        ('t.h5::[a,"b, c"]', "t.h5", None, ("a", "b, c"), False),
        ("part[0-9].h5::X[a[0]]", "part[0-9].h5", "X", ("a[0]",), False),
        ("part[0-9].h5", "part[0-9].h5", None, None, False),
        ("t.h5::X.T[0,2]", "t.h5", "X", ("0", "2"), True),
        ("s3://bucket/t.h5::[a::b]", "s3://bucket/t.h5", None, ("a::b",), False),
    ],
)
def test_the_form_on_the_command_line(text, path, dataset, columns, transpose):
    found, asked = split_choice(text)
    assert (found, *asked[:3]) == (path, dataset, columns, transpose)


def test_the_error_about_rows_names_a_table_on_its_side():
    rng = np.random.default_rng(0)
    path = written(X=X.T, y=rng.standard_normal((1, N)))
    sides = [from_hdf5(path, dataset=name) for name in ("X", "y")]
    with pytest.raises(
        DataError, match=r"X has 7, y has 1\. X and y may be on its side, .*transpose=True\) for X, or FILE"
    ):
        ELMRegressor(5).fit(*sides)
    ELMRegressor(5).fit(*(from_hdf5(path, dataset=name, transpose=True) for name in ("X", "y")))
    with pytest.raises(DataError, match=r"X has 7, y has 500\. X may be on its side: give X\.T"):
        ELMRegressor(5).partial_fit(from_hdf5(path, dataset="X") * 1.0, np.zeros(N))
    with pytest.raises(DataError, match=r"X has 7, y has 3\.$"):
        ELMRegressor(5).fit(sides[0], np.zeros(3))
    with h5py.File(path, "r+") as file:
        file["X"].attrs["MATLAB_class"] = np.bytes_("double")
    with pytest.raises(DataError, match=r"X may be on its side, as MATLAB writes it"):
        ELMRegressor(5).fit(from_hdf5(path, dataset="X"), np.zeros(3))
