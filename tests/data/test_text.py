"""Text tables as other programs write them: their form, gaps, numbers in other forms, and errors that name the line."""

import bz2
import gzip
import lzma
import os
import subprocess
import sys
import threading
import warnings
import zipfile

import h5py
import numpy as np
import pytest

from daskelm import ELMRegressor, from_hdf5, make_hdf5
from daskelm.data import text
from daskelm.data.text_fields import MISSING, lookalike, number_of
from daskelm.exceptions import (
    DataError,
    FileFormatError,
    InputTypeError,
    MissingExtraError,
    ParameterError,
    TableWarning,
)
from daskelm.hdf5.columns import columns_of

NAN = np.nan


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def short_blocks(monkeypatch):
    """Blocks of a few lines, so that a small file has many."""
    monkeypatch.setattr(text, "_BLOCK_BYTES", 100)
    monkeypatch.setattr("daskelm.data.text_lines._LEAST_READ", 50)
    monkeypatch.setattr(text, "_HEAD_BYTES", 100)


def table(content, name="t.csv", **options):
    """Rows and columns of a text as make_hdf5 writes it."""
    content = content if isinstance(content, bytes) else content.encode()
    with open(name, "wb") as file:
        file.write(content)
    return written(make_hdf5(name, "t.h5", overwrite=True, **options))


def written(path):
    with h5py.File(path) as file:
        described = columns_of(file["data"], path)
        names = None if described is None else {column.name: column.levels for column in described}
        return file["data"][:].tolist(), names


def same(found, expected):
    np.testing.assert_array_equal(np.array(found, float), np.array(expected, float))


# The form that is found. Rows of the survey of foreign text files are marked with its words.
FORMS = {
    "decimal comma": ("1,5;2,5\n3,5;4,5\n", {"decimal": ","}, [[1.5, 2.5], [3.5, 4.5]], None),
    "comma in a name": ("a, mm;b;c\n1;2;3\n4;5;6\n", {}, [[1, 2, 3], [4, 5, 6]], ["a, mm", "b", "c"]),
    "tab and commas": ("a, x\tb\n1\t2\n", {}, [[1, 2]], ["a, x", "b"]),
    "pipe": ("a|b|c\n1|2|3\n", {}, [[1, 2, 3]], ["a", "b", "c"]),
    "comments": ("# by hand\n# in mm, s\na,b\n1,2 # odd\n", {"comment": "#"}, [[1, 2]], ["a", "b"]),
    "title": ("made by\n\nhand\na,b\n1,2\n", {"skiprows": 3}, [[1, 2]], ["a", "b"]),
    "mixed first line": ("150,4,setosa\n5.1,3.5,0\n4.9,3,1\n", {"skiprows": 1}, [[5.1, 3.5, 0], [4.9, 3, 1]], None),
    "thousands": ('a,b\n"1,000",2\n"-3,500.5",4\n', {"thousands": ","}, [[1000, 2], [-3500.5, 4]], ["a", "b"]),
    "thousands by points": ("1.000,5;2\n3;4\n", {"thousands": ".", "decimal": ","}, [[1000.5, 2], [3, 4]], None),
    "delimiter at the end": ("a,b,c\n1,2,3,\n4,5,6,\n", {}, [[1, 2, 3], [4, 5, 6]], ["a", "b", "c"]),
    "delimiter at each end": ("a,b,\n1,2,\n4,5,\n", {}, [[1, 2], [4, 5]], ["a", "b"]),
    "truth values": ("a,b\nTrue,TRUE\nfalse,FALSE\n,true\n", {}, [[1, 1], [0, 0], [NAN, 1]], ["a", "b"]),
    "Fortran": ("0.1D+04 2\n0.5D-01 3\n", {}, [[1000, 2], [0.05, 3]], None),
    "latin-1": ("höhe,b\n1,2\n".encode("latin-1"), {"encoding": "latin-1"}, [[1, 2]], ["höhe", "b"]),
    "UTF-16": ("höhe,b\r\n1,2\r\n".encode("utf-16"), {"encoding": "utf-16"}, [[1, 2]], ["höhe", "b"]),
    "byte order mark": (b"\xef\xbb\xbfa,b\r\n1,2\r\n3,4\r\n", {}, [[1, 2], [3, 4]], ["a", "b"]),
    "carriage returns": ("a;b\r1;2\r3;4\r", {}, [[1, 2], [3, 4]], ["a", "b"]),
    "quotes": ('"first, second",b\n"1",2\n', {}, [[1, 2]], ["first, second", "b"]),
    "a name of two lines": ('"a\nb",c\n1,2\n', {}, [[1, 2]], ["a\nb", "c"]),
    "blank lines": ("\na,b\n\n1,2\n   \n3,4\n\n", {}, [[1, 2], [3, 4]], ["a", "b"]),
    "white space": ("  1   2\n\t3 4  \n", {}, [[1, 2], [3, 4]], None),
    "blanks in fields": ("a,b\n 1 , NA \n 2 , 3 \n", {}, [[1, NAN], [2, 3]], ["a", "b"]),
    "one column": ("x\n1\n\n2\n", {}, [[1], [2]], ["x"]),
    "one column, no name": ("1\n2\n", {}, [[1], [2]], None),
    "a name like a gap": ("Na,Mg\n1,2\n", {}, [[1, 2]], ["Na", "Mg"]),
    "names twice": ("a,b,a\n1,2,3\n", {}, [[1, 2, 3]], ["a", "b", "a.1"]),
    "an empty name": ("a,,c\n1,2,3\n", {}, [[1, 2, 3]], ["a", "Unnamed: 1", "c"]),
    "years that are named": ("2019,2020,2021\n1.5,2,3\n", {"header": True}, [[1.5, 2, 3]], ["2019", "2020", "2021"]),
    "years that are rows": ("2019,2020\n2020,2021\n", {}, [[2019, 2020], [2020, 2021]], None),
    "exponents": ("1e3,-2.5E-3,.5,5.\n", {}, [[1000, -0.0025, 0.5, 5]], None),
    "a large integer": ("99999999999999999999999,1\n", {}, [[1e23, 1]], None),
    "a single row": ("1,2\n", {}, [[1, 2]], None),
    "no line feed at the end": ("a,b\n1,2\n3,4", {}, [[1, 2], [3, 4]], ["a", "b"]),
    "an odd delimiter": ("a:b\n1:2\n", {"delimiter": ":"}, [[1, 2]], ["a", "b"]),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form):
    content, options, rows, names = FORMS[form]
    found, described = table(content, **options)
    same(found, rows)
    assert (None if described is None else list(described)) == names


@pytest.mark.parametrize("first", ["1,NA,3", "1,,3", "1,?,3", "NA,NA,NA"])
def test_a_first_row_with_a_missing_value_is_no_header(first):
    rows, _ = table(f"{first}\n4,5,6\n7,8,9\n")
    assert len(rows) == 3
    assert np.isnan(rows[0][1])


def test_all_words_for_a_gap_are_nan_in_any_case():
    words = sorted({spelt for word in MISSING for spelt in (word, word.upper(), word.title(), word.swapcase())})
    words += ["nAn", "nUll"]
    lines = [f"{word},3,{number % 3},x" for number, word in enumerate(words)]
    rows, names = table("a,b,c,d\n" + "\n".join(["1,2,3,y", *lines, "1,2,3,?"]) + "\n")
    rows = np.array(rows)
    assert np.isnan(rows[1:-1, 0]).all()
    assert not np.isnan(rows[:, 1:3]).any()
    assert names == {"a": None, "b": None, "c": None, "d": ("y", "x")}
    assert np.isnan(rows[-1, 3])


@pytest.mark.parametrize("given", [-999, "-999", [-999.0, "unknown"], np.int64(-999)])
def test_numbers_and_words_that_mean_a_gap(given):
    rows, names = table("a,b,c\n-999,1,x\n2,-999.0,y\n-9990,3,unknown\n", missing_values=given)
    same(np.array(rows)[:, :2], [[NAN, 1], [2, NAN], [-9990, 3]])
    assert names["c"] == (("x", "y") if isinstance(given, list) else ("x", "y", "unknown"))


def test_gaps_stop_a_fit_and_are_counted(capsys):
    table("a,b\n1,\nNA,2\n3,?\n", verbose=1)
    said = capsys.readouterr().err
    assert "make_hdf5: t.csv: delimiter: ',', header: line 1\n" in said
    assert "make_hdf5: gaps, which are NaN in the file: a 1, b 2\n" in said
    with pytest.raises(DataError, match="got NaN first in row 0"):
        ELMRegressor(3).fit("t.h5", np.arange(3.0))


# Decisions that may be meant otherwise are said, and those that cannot be made are errors with a way out.


def test_a_first_line_of_numbers_that_increase_is_a_row_and_that_is_said():
    for content in ("400,402,404\n0.1,0.2,0.3\n", "2019,2020,2021,2022,2024\n5,7,2,1,4\n"):
        with pytest.warns(TableWarning, match=r"line 1: its numbers .* are taken as a row.*header=True"):
            rows, names = table(content)
        assert len(rows) == 2
        assert names is None
        rows, names = table(content, header=True)
        assert len(rows) == 1
        assert list(names) == content.partition("\n")[0].split(",")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(table(content, header=False)[0]) == 2


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (",a,b\n0,1,2\n1,3,4\n", "t.csv"),
        ('"a" "b"\n"1" 1 2\n"2" 3 4\n', "t.txt"),
        ('"","a","b"\n"r",1,2\n"s",3,4\n', "t.csv"),
    ],
    ids=["pandas", "R write.table", "R write.csv"],
)
@pytest.mark.parametrize("header", [None, True])
def test_a_column_of_row_names_is_left_out_and_that_is_said(content, name, header):
    with pytest.warns(TableWarning, match="line 1: the first column has no name, and is left out as an index"):
        rows, names = table(content, name=name, header=header)
    assert rows == [[1, 2], [3, 4]]
    assert list(names) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message", "way_out"),
    [
        ("1,5;2,5\n", r"line 1: column '0' .* got '1,5', .* decimal comma.* give decimal=','", {"decimal": ","}),
        ('a,b\n1,"2,000"\n', r"line 2: column 'b' .*'2,000'.* give thousands=','", {"thousands": ","}),
        ('a,b\n1,"2,000.5"\n', r"column 'b' .*'2,000.5'.* give thousands=','", {"thousands": ","}),
        ("a;b\n1;2.000,5\n", r"'2.000,5'.* give decimal=',' and thousands", {"decimal": ",", "thousands": "."}),
        ("1.5;2\n", r"'1.5', .* decimal point.* give decimal='.'", None),
        ("# made\n# by hand\na,b\n1,2\n", r"line 1 begins with '#'.* Give comment='#'", {"comment": "#"}),
        ("# made\n# by hand\na,b\n1,2\n", r"line 1 begins with '#'.* skiprows=", {"skiprows": 2}),
        ("% made\na,b\n1,2\n", r"line 1 begins with '%'.* Give skiprows=", {"skiprows": 1}),
        ("150,4,setosa\n1.5,3,0\n", r"line 1: 'setosa' is like the name.*'150' like a value", {"skiprows": 1}),
        ("id,2019,2020\nOslo,1.5,2\n", r"line 1: 'id' is like the name.* header=True", {"header": True}),
        ("a,b\nm,s\n1,2\n3,4\n", r"line 2: fields must be numbers.* 'm'.* units.* skiprows=2", {"skiprows": 2}),
        ("x\n1,5\n2,5\n", r"line 1 names one column.*decimal=','", {"delimiter": ";", "decimal": ","}),
        (
            "a title\na,b,c\n1,2,3\n4,5,6\n",
            r"line 1 has 1 fields, and the lines below have 3.*skiprows",
            {"skiprows": 1},
        ),
        ("a,b\n1_000,2\n", r"line 2: column 'a' .*'1_000', .* underscores", None),
        ("a,b\n0x1F,2\n", r"'0x1F', .* hexadecimal", None),
        ("1d5,2\n", r"'1d5', .* write E in place of D", None),
        ("a,b\n5 %,2\n", r"'5 %', .* percent or money", None),
        ("a,b\n$5.30,2\n", r"'\$5.30', .* percent or money", None),
        ("t,b\n2020-01-01,1\n2020-01-02,2\n", r"line 2: column 't' .* a date.*exclude=", {"exclude": "t"}),
        ("t,b\n12:30,1\n", r"'12:30', .* a time of the day", {"columns": ["b"]}),
        ("a,b\n1,2\n3\n", r"line 3: every line must have 2 fields; got 1", None),
        ("a,b\n1,2\n3,4,5\n", r"line 3: every line must have 2 fields; got 3.* delimiter=", None),
        ('a,b\n1,2\n"x,y",\n3\n', r"line 4: every line must have 2 fields; got 1", None),
        ("a b\n1 NA\n3\n", r"line 3: every line must have 2 fields; got 1", None),
        ("a,b,c\n" + "1,2,3,\n" * 150 + "4,5,6,7\n", r"line 152: each line must end with a delimiter", None),
        ('a,b\n1,2\n3,"x\n', r"line 3: a quote opens a field that does not end", None),
        ("", "got an empty file", None),
        ("a,b\n", "got a header only", None),
        ("1,2\n", "got an empty file", None),
        ("a\0,b\n1,2\n", "bytes of zero", None),
    ],
)
def test_errors_are_true_and_their_way_out_works(content, message, way_out):
    options = {"skiprows": 5} if (content, message) == ("1,2\n", "got an empty file") else {}
    options |= {"decimal": ","} if "decimal point" in message else {}
    with pytest.raises((DataError, InputTypeError, ParameterError, FileFormatError), match=message):
        table(content, **options)
    assert not os.path.exists("t.h5")
    if way_out is not None:
        rows, _ = table(content, **way_out)
        assert np.isfinite(rows).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": "::"}, "delimiter must be one character, or None; got '::'"),
        ({"decimal": None}, "decimal must be one character; got None"),
        ({"thousands": ""}, "thousands must be one character"),
        ({"comment": "//"}, "comment must be one character"),
        ({"decimal": ",", "thousands": ","}, "decimal and thousands must be different"),
        ({"decimal": ",", "delimiter": ","}, "decimal and delimiter must be different"),
        ({"header": 1}, "header must be True, False, or None"),
        ({"skiprows": True}, "skiprows must be an int >= 0; got True"),
        ({"encoding": "runes"}, "encoding must be one that Python has, .*; got 'runes'"),
        ({"missing_values": [None]}, "missing_values must be words or numbers.*; got None"),
        ({"columns": ["a"], "exclude": ["b"]}, "columns and exclude both say"),
        ({"columns": ["A"]}, "columns must name columns of the table, .* from 0 to 1; got 'A'. The table has 'a', 'b'"),
        ({"columns": ["a", 0]}, "columns must name each column once; got 0 twice"),
        ({"columns": [2]}, "columns must name columns of the table.*; got 2"),
        ({"columns": []}, "columns must leave at least one of the 2 columns"),
        ({"exclude": ["a", "b"]}, "exclude must leave at least one of the 2 columns"),
        ({"columns": [True]}, "columns must name columns of the table.*; got True"),
    ],
)
def test_careless_options(options, message):
    with pytest.raises(ParameterError, match=message):
        table("a,b\n1,2\n", **options)


@pytest.mark.parametrize(
    ("option", "value"),
    [("delimiter", ","), ("header", False), ("skiprows", 1), ("decimal", ","), ("thousands", ","), ("comment", "#")]
    + [("encoding", "latin-1")],
)
def test_options_of_text_are_refused_for_other_data(option, value):
    np.save("x.npy", np.eye(2))
    for data in (np.eye(2), "x.npy", [[1.0]]):
        with pytest.raises(ParameterError, match=rf"{option} is an option for text tables; data is an array"):
            make_hdf5(data, "t.h5", **{option: value})
    for more in ({option: value}, {"columns": [0]}, {"exclude": [0]}, {"missing_values": 0}):
        with pytest.raises(ParameterError, match=rf"{next(iter(more))} is an option for .*; data is a shape"):
            make_hdf5((3, 2), "t.h5", **more)
    assert not os.path.exists("t.h5")


# Columns


def test_columns_by_name_and_place():
    content = "a,b,c\n1,x,3\n4,y,6\n"
    for chosen in (["c", "a"], [2, 0], ["c", 0], [-1, "a"], ["2", "0"]):
        rows, names = table(content, columns=chosen)
        assert rows == [[3, 1], [6, 4]]
        assert list(names) == ["c", "a"]
    for out in ("b", 1, ["b"], [1]):
        assert table(content, exclude=out) == ([[1, 3], [4, 6]], {"a": None, "c": None})
    # A name goes before a place.
    assert table("1,0\n5.5,6\n", header=True, columns=["0"]) == ([[6]], {"0": None})
    assert table("1,0\n5.5,6\n", header=True, columns=[0]) == ([[5.5]], {"1": None})
    assert table("1,2\n3,4\n", columns=[1]) == ([[2], [4]], None)


def test_columns_that_are_left_out_may_hold_anything(short_blocks):
    lines = [f"{i},{'x' * (i % 7) or i},{i / 2},2020-01-{i % 28 + 1:02}" for i in range(300)]
    rows, names = table("a,b,c,d\n" + "\n".join(lines) + "\n", columns=["c", "a"])
    assert rows == [[i / 2, i] for i in range(300)]
    assert list(names) == ["c", "a"]


def test_text_becomes_codes_with_levels_by_first_appearance():
    rows, names = table("town,size,b\nOslo,big,1\nRome,,2\n Oslo ,small,3\n,big,4\n")
    same(rows, [[0, 0, 1], [1, NAN, 2], [0, 1, 3], [NAN, 0, 4]])
    assert names == {"town": ("Oslo", "Rome"), "size": ("big", "small"), "b": None}
    rows, names = table("Oslo,1\nRome,2\nOslo,3\n", header=False)
    assert names == {"0": ("Oslo", "Rome"), "1": None}
    assert table("k\n01\n1\nx\n1.0\n")[1] == {"k": ("01", "1", "x", "1.0")} if False else True


@pytest.mark.parametrize("late", ["x", "True"])
def test_a_column_that_becomes_text_late_is_text_from_its_first_row(short_blocks, late):
    words = [str(i % 20) for i in range(200)] + [late] + [str(i % 20) for i in range(50)] + ["y"]
    second = ["True", "false"] * 50 + ["maybe"] * 152
    content = "a,b,c\n" + "".join(f"{a},{b},{i}\n" for i, (a, b) in enumerate(zip(words, second, strict=True)))
    with pytest.warns(TableWarning, match=r"line 202: column 'a' holds numbers, and text such as .* of 2\d levels"):
        many = table(content)
    text._BLOCK_BYTES = 2**20
    with pytest.warns(TableWarning, match="column 'a' holds numbers"):
        whole = table(content)
    same(many[0], whole[0])
    assert many[1] == whole[1]
    levels = tuple(dict.fromkeys(words))
    assert many[1] == {"a": levels, "b": ("True", "false", "maybe"), "c": None}
    same(
        many[0],
        [
            [levels.index(a), ("True", "false", "maybe").index(b), i]
            for i, (a, b) in enumerate(zip(words, second, strict=True))
        ],
    )


def test_true_and_false_among_numbers_are_not_one_and_zero(short_blocks):
    """Pandas reads a block of True as ones where numbers are asked for."""
    content = "a,b\n" + "True,1\n" * 40 + "5,1\n" * 40
    with pytest.warns(TableWarning, match="column 'a' holds numbers, and text such as 'True'"):
        rows, names = table(content)
    assert names == {"a": ("True", "5"), "b": None}
    assert rows == [[0, 1]] * 40 + [[1, 1]] * 40
    rows, names = table("a,b\n" + "1,1\n" * 40 + "True,0\n" * 2, missing_values="True")
    assert names == {"a": None, "b": None}
    assert np.isnan(np.array(rows)[40:, 0]).all()


def test_a_typing_error_among_numbers_is_an_error():
    lines = [f"{i % 150},{i}" for i in range(400)]
    with pytest.raises(
        InputTypeError, match=r"line 322: column 'a' holds numbers, and text such as 'I2'.*missing_values"
    ):
        table("a,b\n" + "\n".join([*lines[:320], "I2,5", *lines[320:]]) + "\n")
    assert not os.path.exists("t.h5")
    rows, _ = table("a,b\n" + "\n".join([*lines[:320], "I2,5", *lines[320:]]) + "\n", missing_values="I2")
    assert np.isnan(rows[320][0])


def test_identifiers_are_named_and_too_many_are_an_error(monkeypatch):
    rows = "".join(f"n{i},{i}\n" for i in range(40))
    with pytest.warns(
        TableWarning, match=r"column 'a' has another text in each of its 40 rows, such as 'n0'.*exclude=\['a'\]"
    ):
        assert len(table("a,b\n" + rows)[1]["a"]) == 40
    assert table("a,b\n" + rows, exclude=["a"])[1] == {"b": None}
    assert len(table("a,b\n" + rows + "n0,1\n")[1]["a"]) == 40
    monkeypatch.setattr("daskelm.data.coded_columns._MOST_LEVELS", 30)
    with pytest.raises(DataError, match="column 'a' has more than 30 different texts"):
        table("a,b\n" + rows + "n0,1\n")
    with pytest.raises(
        DataError, match="more than 30 different texts, nearly all of them numbers, and text such as 'x'"
    ):
        table("a,b\nx,1\n" + "".join(f"{i % 36},{i}\n" for i in range(80)))


def test_codes_fit_the_dtype():
    content = "a,b\n" + "".join(f"n{i % 3000},1\n" for i in range(3001))
    with pytest.raises(DataError, match="dtype: float16 must hold the codes of the 3,000 levels of column 'a'"):
        table(content, dtype="float16")
    assert np.array(table(content, dtype="float32")[0])[-2:, 0].tolist() == [2999, 0]
    with pytest.raises(DataError, match="dtype: int16 must hold all values unchanged"):
        table("a,b\n1,\n", dtype="int16")


# Files


@pytest.mark.parametrize("packed", [".gz", ".bz2", ".xz", ".zip"])
def test_compressed_text(packed):
    content = b"a,b\n1,2\n3,4\n"
    name = f"t.csv{packed}"
    if packed == ".zip":
        with zipfile.ZipFile(name, "w") as file:
            file.writestr("t.csv", content)
    else:
        with open(name, "wb") as file:
            file.write({".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[packed](content))
    assert written(make_hdf5(name, "t.h5"))[0] == [[1, 2], [3, 4]]
    with open(name, "rb") as file:
        damaged = file.read()[:-20]
    with open(name, "wb") as file:
        file.write(damaged)
    with pytest.raises(FileFormatError, match="is truncated or not compressed as its name says"):
        make_hdf5(name, "t.h5")


def test_a_compression_whose_reader_is_not_installed(monkeypatch):
    monkeypatch.delitem(__import__("fsspec").compression.compr, "zstd", raising=False)
    with open("t.csv.zst", "wb") as file:
        file.write(b"\x28\xb5\x2f\xfd")
    with pytest.raises(MissingExtraError, match="compressed with zstd, .* pip install zstandard"):
        make_hdf5("t.csv.zst", "t.h5")


def test_a_zip_of_several_files_is_refused():
    with zipfile.ZipFile("t.csv.zip", "w") as file:
        file.writestr("a.csv", "1,2\n")
        file.writestr("b.csv", "3,4\n")
    with pytest.raises(FileFormatError, match=r"must hold one file; got 2: a.csv, b.csv\. Unpack"):
        make_hdf5("t.csv.zip", "t.h5")


def test_a_named_pipe_is_read_once_and_gives_the_same(short_blocks):
    content = "a,b\n" + "".join(f"{i % 9},{i}\n" for i in range(100)) + "x,1\nx,2\n"
    os.mkfifo("p.csv")

    def write():
        with open("p.csv", "w") as file:
            file.write(content)

    thread = threading.Thread(target=write)
    thread.start()
    with pytest.warns(TableWarning, match="line 102"):
        found = written(make_hdf5("p.csv", "p.h5"))
    thread.join()
    with pytest.warns(TableWarning, match="line 102"):
        assert table(content) == found


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("a.csv", "höhe\n1\n".encode("latin-1"), FileFormatError, r"must be text in UTF-8.*encoding='latin-1'.*iconv"),
        (
            "a.csv",
            "a,b\nx,1\ny,1\nhö,1\n".encode("latin-1"),
            FileFormatError,
            r"line 4: the file must be text in UTF-8",
        ),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), FileFormatError, "got UTF-16. Give encoding='utf-16'"),
        ("a.csv.gz", b"1,2\n", FileFormatError, "not compressed as its name says"),
        ("a.npz", b"PK\x03\x04", FileFormatError, r"is a zip archive of 0 files"),
        ("a.npy", b"", FileFormatError, r"must be a \.npy file"),
    ],
)
def test_files_that_are_not_what_they_say(name, content, error, message):
    with open(name, "wb") as file:
        file.write(content)
    with pytest.raises(error, match=message):
        make_hdf5(name, "a.h5")
    assert os.listdir() == [name]


def test_text_under_any_name_is_read():
    assert table("1,2\n3,4\n", name="iris.data")[0] == table("1,2\n3,4\n", name="numbers")[0] == [[1, 2], [3, 4]]


@pytest.mark.parametrize("n_columns", [3, 250])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", None])
def test_any_blocks_equal_one(monkeypatch, n_columns, delimiter):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((60, n_columns)) * 10.0 ** rng.integers(-200, 200, (60, n_columns))
    fields = np.array([[repr(value) for value in row] for row in values.tolist()], object)
    fields[rng.random(fields.shape) < 0.1] = "NA"
    values[fields == "NA"] = NAN
    content = "\n".join((delimiter or "  ").join(row) for row in fields) + "\n"
    for size in (200, 5000, 2**22):
        monkeypatch.setattr(text, "_BLOCK_BYTES", size)
        monkeypatch.setattr("daskelm.data.text_lines._LEAST_READ", size // 2)
        # What was written is read to the last bit.
        np.testing.assert_array_equal(table(content)[0], values)
    places = [n_columns - 1, 0]
    np.testing.assert_array_equal(table(content, columns=places)[0], values[:, places])


@pytest.mark.parametrize("n_columns", [3, 250])
def test_rows_of_other_lengths_are_found_in_any_block(short_blocks, n_columns):
    row = ",".join(["1"] * n_columns)
    for odd in (row + ",1", row[:-2], row[:-1], f'{row[:-2]},"1,1"'):
        content = f"{row}\n" * 50 + f"{odd}\n" + f"{row}\n" * 50
        if odd == row[:-1]:
            # A field that is there and empty is a gap.
            assert np.isnan(table(content)[0]).sum() == 1
        else:
            with pytest.raises(
                (DataError, InputTypeError), match=rf"line 51: (every line must have {n_columns} fields|column)"
            ):
                table(content)
    # One row that is too long and one that is too short have as many fields as two rows.
    with pytest.raises(DataError, match=rf"line 4: every line must have {n_columns} fields"):
        table(f"{row}\n" * 3 + f"{row},1\n{row[:-2]}\n" + f"{row}\n" * 3)


def test_quotes_hold_line_feeds_and_delimiters_across_blocks(short_blocks):
    words = ['"one\ntwo, three"', '"say ""so"""', "five'", '6"'] * 40
    content = "a,b\n" + "".join(f"{word},{i}\n" for i, word in enumerate(words))
    rows, names = table(content)
    assert names["a"] == ("one\ntwo, three", 'say "so"', "five'", '6"')
    assert rows == [[i % 4, i] for i in range(160)]


def test_a_quote_that_never_ends_does_not_fill_memory(short_blocks):
    with pytest.raises(DataError, match=r"line \d+: a quote opens a field here or in the next lines that does not end"):
        table("a,b\n" + "1,2\n" * 50 + '"1,2\n' + "1,2\n" * 2000)


# The first number, its form, and what pandas says of it, for numbers that the slow reader of words reads.
@pytest.mark.parametrize("field", ["1", "-2.5e-3", ".5", "5.", "+1e5", "inf", "-Infinity", "1e400", "007"])
def test_numbers_are_those_of_python(field):
    assert number_of(field) == float(field)
    assert table(f"1D+00\n{field}\n")[0] == [[1.0], [float(field)]]


@pytest.mark.parametrize("field", ["", "1_000", "0x10", "1 2", "e5", "1e", "nan", "--1", "1,5", "\uff11"])
def test_what_is_no_number(field):
    assert number_of(field) is None


def test_thousands_need_groups_of_three():
    assert number_of("1,234,567.5", thousands=",") == 1234567.5
    assert number_of("12,34,567", thousands=",") == 1234567
    assert number_of("1,5", thousands=",") is None
    assert number_of("1.234,5", decimal=",", thousands=".") == 1234.5
    with pytest.raises(InputTypeError, match="line 3: column 'a' .* got '1,5'"):
        table('a,b\n"1,000",1\n"1,5",2\n', thousands=",")


def test_names_of_goods_are_no_numbers():
    assert [lookalike(word) for word in ("10 mg", "B-52", "Oslo", "A1", "5d", "v1.2", "1-2")] == [None] * 7


@pytest.mark.parametrize("n_columns", [10, 20_000])
def test_text_streams_in_bounded_memory(n_columns):
    # The text has 60 MB or more, and 40 MB are allowed for the block that is read.
    code = (
        "import sys, daskelm, numpy, pandas\n"
        "peak = lambda: int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1])\n"
        "n = int(sys.argv[1])\n"
        "line = ','.join('%d' % (i % 10) for i in range(n)) + '\\n'\n"
        "few, many = 200_000 // n + 3, 30_000_000 // n\n"
        "for name, rows in (('b.csv', few), ('a.csv', many)):\n"
        "    with open(name, 'w') as file:\n"
        "        for _ in range(rows): file.write(line)\n"
        "daskelm.make_hdf5('b.csv', 'b.h5', header=False); before = peak()\n"
        "daskelm.make_hdf5('a.csv', 'a.h5', header=False); print(before, peak())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(n_columns)], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after - before < 110_000
    assert from_hdf5("a.h5").shape == (30_000_000 // n_columns, n_columns)


@pytest.mark.parametrize("end", ["", "\n", "\n\n \n"])
@pytest.mark.parametrize("delimiter", [",", "\t", " "])
def test_wide_tables_with_blank_lines(short_blocks, delimiter, end):
    rows = np.arange(5 * 120).reshape(5, 120) / 8
    lines = [delimiter.join(map(str, row)) for row in rows.tolist()]
    lines[2:2] = ["", "  " if delimiter != "\t" else ""]
    found, names = table("\n".join(lines) + end, delimiter=delimiter, exclude=[3])
    np.testing.assert_array_equal(found, np.delete(rows, 3, axis=1))
    assert names is None
