"""Files of other formats: the error names what they are and the call that reads them, and that call works."""

import bz2
import gzip
import json
import lzma
import re
import sqlite3
import zipfile

import h5py
import numpy as np
import pytest

from daskelm import ELMRegressor, from_hdf5, from_parquet, make_hdf5
from daskelm.exceptions import DaskelmError, FileFormatError

TABLE = np.arange(12.0).reshape(4, 3)
CALL = re.compile(r"(?:Read it so|Convert it first): (.*?)\.(?: It holds .*)?$")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def frame():
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(TABLE, columns=["a", "b", "c"])


def parquet():
    pytest.importorskip("pyarrow")
    frame().to_parquet("t.parquet")
    return "t.parquet", "a Parquet file"


def feather():
    pytest.importorskip("pyarrow")
    frame().to_feather("t.feather")
    return "t.feather", "an Arrow (Feather) file"


def arrow_stream():
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.Table.from_pandas(frame())
    with pyarrow.OSFile("t.arrows", "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return "t.arrows", "an Arrow stream"


def excel():
    pytest.importorskip("openpyxl")
    frame().to_excel("t.xlsx", index=False)
    return "t.xlsx", "an Excel file (.xlsx)"


def archive():
    np.savez("t.npz", X=TABLE, y=TABLE[:, 0])
    return "t.npz", "an archive of NumPy"


def npy():
    np.save("t.npy", TABLE)
    return "t.npy", "an array of NumPy"


def matlab():
    pytest.importorskip("scipy.io").savemat("t.mat", {"X": TABLE})
    return "t.mat", "a MATLAB file of version 5"


def netcdf():
    pytest.importorskip("xarray")
    from scipy.io import netcdf_file

    with netcdf_file("t.nc", "w") as file:
        for name, size in zip("xy", TABLE.shape, strict=True):
            file.createDimension(name, size)
        file.createVariable("X", "d", ("x", "y"))[:] = TABLE
    return "t.nc", "a classic netCDF file"


def sqlite():
    pytest.importorskip("pandas")
    base = sqlite3.connect("t.db")
    frame().to_sql("measured at", base, index=False)
    base.close()
    return "t.db", "an SQLite database"


def stata():
    frame().to_stata("t.dta", write_index=False, version=118)
    return "t.dta", "a Stata file"


def arff():
    pytest.importorskip("scipy.io")
    lines = "\n".join(",".join(map(str, row)) for row in TABLE)
    with open("t.arff", "w") as file:
        file.write(
            "% made\n@RELATION r\n@ATTRIBUTE a REAL\n@ATTRIBUTE b REAL\n@ATTRIBUTE c REAL\n@DATA\n" + lines + "\n"
        )
    return "t.arff", "an ARFF file"


def libsvm():
    from sklearn.datasets import dump_svmlight_file

    dump_svmlight_file(TABLE, np.ones(4), "t.svm", zero_based=False)
    return "t.svm", "a file of libsvm (svmlight)"


def records():
    frame().to_json("t.json", orient="records")
    return "t.json", "JSON"


def lines_of_json():
    frame().to_json("t.jsonl", orient="records", lines=True)
    return "t.jsonl", "JSON"


def text():
    np.savetxt("t.csv", TABLE + 0.5, delimiter=",")
    return "t.csv", "a text table"


def packed_text():
    with gzip.open("t.csv.gz", "wt") as file:
        np.savetxt(file, TABLE + 0.5, delimiter=",")
    return "t.csv.gz", "a text table, compressed with gzip"


def zipped_text():
    with zipfile.ZipFile("t.csv.zip", "w") as file:
        file.writestr("t.csv", "0.5,1.5\n3.5,4.5\n")
    return "t.csv.zip", "a text table, compressed with zip"


def run_call(call):
    """Run a remedy as a user would, with what it uses imported."""
    import dask.dataframe
    import pandas
    import scipy.io
    import scipy.io.arff
    import sklearn.datasets

    names = {"dask": dask, "pandas": pandas, "scipy": scipy, "sklearn": sklearn, "numpy": np, "sqlite3": sqlite3}
    names |= {"make_hdf5": make_hdf5, "from_parquet": from_parquet, "NAME": "X"}
    for library in ("pyarrow", "xarray"):
        if library + "." in call:
            names[library] = pytest.importorskip(library)
    if "pyarrow" in call:
        import pyarrow.feather
        import pyarrow.ipc  # noqa: F401
    for one in call.split(", then "):
        exec(one.removeprefix("write one of its variables: "), names)


WRITERS = [parquet, feather, arrow_stream, excel, archive, npy, matlab, netcdf, sqlite, stata, arff, libsvm, records]
WRITERS += [lines_of_json, text, packed_text, zipped_text]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("writer", WRITERS)
def test_the_call_that_an_error_names_reads_the_file(writer):
    path, what = writer()
    messages = []
    uses = [from_hdf5, lambda path: ELMRegressor(3).fit(path, TABLE[:, 0])]
    # Estimators read Parquet and Arrow files by path, and so does make_hdf5.
    tables = writer in (parquet, feather)
    for use in uses[:1] if tables else uses:
        with pytest.raises(FileFormatError) as caught:
            use(path)
        messages.append(str(caught.value))
        assert f"{path} cannot be read as HDF5: it is {what}" in messages[-1]
    if not path.endswith(".npy") and "text" not in what and "libsvm" not in what and not tables:
        with pytest.raises(FileFormatError) as caught:
            make_hdf5(path, "t.h5")
        messages.append(str(caught.value))
        assert f"{path} is {what}" in messages[-1]
    for message in messages:
        call = CALL.search(message)
        assert call is not None, message
        assert "t.h5'" in call[1]
        run_call(call[1])
        rows = from_hdf5("t.h5").compute()
        rows = rows.toarray() if "libsvm" in what else rows
        expected = TABLE + 0.5 if "text" in what else TABLE
        np.testing.assert_allclose(rows, expected[: len(rows), : rows.shape[1]])
        assert rows.shape[1] >= 2
        with h5py.File("t.h5", "a") as file:
            del file["data"]
            for beside in {"data.columns", "data.target"} & set(file):
                del file[beside]


OTHERS = [
    ("t.hdf", b"\x0e\x03\x13\x01" + bytes(100), "is an HDF4 file. Read it so: convert it to HDF5 with h4toh5"),
    (
        "t.xls",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100),
        r"Excel file \(.xls\).*read_excel\('.*t.xls'\)",
    ),
    ("t.h5.gz", gzip.compress(b"abc", mtime=0), "is compressed with gzip. Decompress it first"),
    ("t.bz2", bz2.compress(b"abc"), "is compressed with bzip2. Decompress it first"),
    ("t.xz", lzma.compress(b"abc"), "is compressed with xz. Decompress it first"),
    ("t.h5.zst", b"\x28\xb5\x2f\xfd" + bytes(9), "is compressed with Zstandard. Decompress it first"),
    ("t.pkl", b"\x80\x04" + bytes(9), "is a pickle, which runs code"),
    ("t.rds", b"RDX3\nX\n" + bytes(9), r"is an R data file.*write.csv\(table, '.*t.csv'\)"),
    ("t.fits", b"SIMPLE  =                    T" + bytes(9), "is a FITS file.*astropy.table.Table.read"),
    ("t.orc", b"ORC" + bytes(9), r"is an ORC file.*pandas.read_orc\('.*t.orc'\)"),
    ("t.sav", b"$FL2" + bytes(9), "is an SPSS file.*pandas.read_spss"),
    ("t.xml", b"<?xml version='1.0'?><a/>", "is XML or HTML.*pandas.read_xml"),
    ("t.zip", b"PK\x03\x04", "is a zip archive of 0 files. Unpack it first"),
]


# Bytes as names would differ from process to process where a packer writes the time.
@pytest.mark.parametrize(("name", "begin", "message"), OTHERS, ids=[name for name, *_ in OTHERS])
def test_other_formats_are_named(name, begin, message):
    with open(name, "wb") as file:
        file.write(begin)
    for use in (from_hdf5, lambda path: make_hdf5(path, "t.h5")):
        with pytest.raises(FileFormatError, match=message):
            use(name)


def test_what_is_not_known_is_said_to_be_damaged():
    for content in (b"", b"\x01\x02\x03" * 50, b"\x89HDF\r\n\x1a\n" + bytes(20)):
        with open("t.h5", "wb") as file:
            file.write(content)
        with pytest.raises(FileFormatError, match="cannot be read as HDF5: it is truncated, open for"):
            from_hdf5("t.h5")


def test_broken_files_of_known_formats_are_no_crash():
    for name, content in {
        "a.mat": b"MATLAB 5.0 MAT-file" + bytes(300),
        "a.db": b"SQLite format 3\0" + bytes(200),
        "a.npz": b"PK\x03\x04" + bytes(50),
        "a.json": json.dumps([[1, 2], [3, 4]]).encode(),
    }.items():
        with open(name, "wb") as file:
            file.write(content)
        with pytest.raises(DaskelmError):
            from_hdf5(name)
