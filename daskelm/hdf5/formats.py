"""Files of other formats, known by their first bytes, and the call that reads each."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import zipfile
from pathlib import Path

from ..exceptions import FileFormatError

__all__ = ["PARQUET", "describe_format", "refuse_format"]

# The call that reads Parquet files, without its argument.
PARQUET = "from_parquet"
_HEAD_BYTES = 4096
# First bytes of formats that one call reads as a table; {path!r} is the file.
_TABLES = (
    (b"PAR1", "a Parquet file", PARQUET + "({path!r})"),
    (b"ARROW1", "an Arrow (Feather) file", PARQUET + "({path!r})"),
    (b"FEA1", "a Feather file", "pyarrow.feather.read_table({path!r})"),
    (b"\xff\xff\xff\xff", "an Arrow stream", "pyarrow.ipc.open_stream(pyarrow.memory_map({path!r})).read_all()"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel file (.xls)", "pandas.read_excel({path!r})"),
    (b"\x93NUMPY", "an array of NumPy", "{path!r}"),
    (b"<stata_dta>", "a Stata file", "pandas.read_stata({path!r})"),
    (b"ORC", "an ORC file", "pandas.read_orc({path!r})"),
    (b"$FL", "an SPSS file", "pandas.read_spss({path!r})"),
)
# Formats that are read otherwise, and the remedy in words; NAME stands for a name that the user chooses.
_OTHERS = (
    (
        re.compile(rb"CDF[\x01\x02\x05]"),
        "a classic netCDF file",
        "write one of its variables: make_hdf5(xarray.open_dataset({path!r})[NAME], {out!r})",
    ),
    (re.compile(rb"\x0e\x03\x13\x01"), "an HDF4 file", "convert it to HDF5 with h4toh5 of the HDF Group"),
    (re.compile(rb"RD[XA]\d\n|X\n\0"), "an R data file", "write it in R with write.csv(table, {text!r}), and use that"),
    (
        re.compile(rb"SIMPLE  ="),
        "a FITS file",
        "make_hdf5(astropy.table.Table.read({path!r}).to_pandas(), {out!r})",
    ),
    (
        re.compile(rb"\x80[\x02-\x05]"),
        "a pickle, which runs code when it is loaded",
        "write its table from the program",
    ),
)
_PACKED = (
    (b"\x1f\x8b", "gzip", ".gz"),
    (b"BZh", "bzip2", ".bz2"),
    (b"\xfd7zXZ\0", "xz", ".xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard", ".zst"),
)
_TEXT_ENDINGS = (".csv", ".tsv", ".txt", ".dat", ".data", ".tab", ".psv", ".asc", ".prn")
_LIBSVM = re.compile(rb"[+-]?[\d.eE+-]+( +\d+:[+-]?[\d.eE+-]+)+ *(#[^\n]*)?\r?\n")


def describe_format(path: str, out: str | None = None) -> str | None:
    """The format of a local file, if it is known here and is not HDF5, and the call that reads it.

    Parameters
    ----------
    path : str
        The file.
    out : str, optional
        The HDF5 file to write, for the call; named after the file if not given.

    Returns
    -------
    str or None
        Two sentences; None where the first bytes say nothing.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return None
    stem = os.path.splitext(path)[0]
    out = out or f"{stem}.h5"
    names = {"path": path, "out": out, "text": f"{stem}.csv"}
    for first, what, call in _TABLES:
        if head.startswith(first):
            return _sentences(what, f"make_hdf5({call.format(**names)}, {out!r})")
    for form, what, remedy in _OTHERS:
        if form.match(head):
            return _sentences(what, remedy.format(**names))
    if head.startswith(b"PK\x03\x04"):
        return _in_zip(path, out)
    if head.startswith(b"MATLAB 5.0 MAT-file"):
        return _sentences(
            "a MATLAB file of version 5", f"make_hdf5(scipy.io.loadmat({path!r})[{_matrix(path)}], {out!r})"
        )
    if head.startswith(b"SQLite format 3\0"):
        query = f"SELECT * FROM {_sql_table(path)}"
        return _sentences(
            "an SQLite database", f"make_hdf5(pandas.read_sql_query({query!r}, sqlite3.connect({path!r})), {out!r})"
        )
    for first, what, ending in _PACKED:
        if head.startswith(first):
            return _packed(path, what, ending)
    return _in_text(path, head, out)


def refuse_format(path: str, out: str | None = None) -> None:
    """Refuse a file of a format that is not read, with the call that reads it; text tables pass.

    Raises
    ------
    FileFormatError
        Names the format and the call.
    """
    found = describe_format(path, out)
    if found is not None and "is a text table" not in found:
        raise FileFormatError(f"{path} {found}")


def _sentences(what, remedy):
    return f"is {what}. Read it so: {remedy}."


def _in_zip(path, out):
    names: list[str] = []
    with contextlib.suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(path) as file:
        names = file.namelist()
    if any(name.startswith("xl/") for name in names):
        return _sentences("an Excel file (.xlsx)", f"make_hdf5(pandas.read_excel({path!r}), {out!r})")
    arrays = [name.removesuffix(".npy") for name in names if name.endswith(".npy")]
    if arrays and len(arrays) == len(names):
        more = f" It holds {', '.join(arrays[:8])}." if len(arrays) > 1 else ""
        return _sentences("an archive of NumPy", f"make_hdf5(numpy.load({path!r})[{arrays[0]!r}], {out!r})") + more
    if len(names) == 1 and names[0].lower().endswith(_TEXT_ENDINGS):
        return _packed(path, "zip", ".zip")
    return f"is a zip archive of {len(names)} files. Unpack it first."


def _packed(path, what, ending):
    stem = path.removesuffix(ending)
    if path != stem and stem.lower().endswith(_TEXT_ENDINGS):
        return f"is a text table, compressed with {what}. Convert it first: {_conversion(path)}."
    return (
        f"is compressed with {what}. Decompress it first; a text table is read as it is, if its name says what it is, "
        f"such as {os.path.splitext(stem)[0]}.csv{ending}."
    )


def _conversion(path):
    stem, ending = os.path.splitext(path)
    return f"make_hdf5({path!r}, {(stem if ending in _TEXT_ENDINGS else os.path.splitext(stem)[0]) + '.h5'!r})"


def _matrix(path):
    """The name, in quotes, of the first matrix of a MATLAB file."""
    from scipy.io import whosmat

    with contextlib.suppress(OSError, ValueError, TypeError, NotImplementedError):
        return next((repr(name) for name, shape, _ in whosmat(path) if len(shape) == 2), "NAME")
    return "NAME"


def _sql_table(path):
    with contextlib.suppress(sqlite3.Error, ValueError):
        base = sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)
        with contextlib.closing(base):
            [name] = base.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchone()
            return f'"{name}"'
    return "NAME"


def _in_text(path, head, out):
    if b"\0" in head or not head.strip():
        return None
    start = head.lstrip()
    arff = re.sub(rb"(?m)^\s*%[^\n]*\n", b"", start).lstrip().lower()
    if arff.startswith(b"@relation"):
        return _sentences("an ARFF file", f"make_hdf5(pandas.DataFrame(scipy.io.arff.loadarff({path!r})[0]), {out!r})")
    if _LIBSVM.match(start):
        return _sentences("a file of libsvm (svmlight)", f"make_hdf5({path!r}, {out!r})")
    if start[:1] == b"{" or re.match(rb"\[\s*[\[{]", start):
        lines = ", lines=True" if start[:1] == b"{" and re.search(rb"\}\s*\n\s*\{", head) else ""
        return _sentences("JSON", f"make_hdf5(pandas.read_json({path!r}{lines}), {out!r})")
    if start[:1] == b"<":
        return _sentences("XML or HTML", f"make_hdf5(pandas.read_xml({path!r}), {out!r})")
    if path.lower().endswith(_TEXT_ENDINGS):
        return f"is a text table. Convert it first: make_hdf5({path!r}, {out!r})."
    return None
