"""Text tables as other programs write them, and files that are not what their names say."""

import numpy as np
import pytest

from daskelm import from_hdf5, make_hdf5
from daskelm.exceptions import DataError, FileFormatError, InputTypeError


@pytest.mark.parametrize("first", ["1,NA,3", "1,,3", "1,?,3", "0x10,2,3", "1d5,2,3", "NA,NA,NA"])
def test_a_first_row_with_a_missing_value_is_no_header(tmp_path, first):
    (tmp_path / "a.csv").write_text(f"{first}\n4,5,6\n7,8,9\n")
    with pytest.raises((DataError, InputTypeError), match="line 1: column '.' (is empty|must hold numbers)"):
        make_hdf5(tmp_path / "a.csv", tmp_path / "a.h5")


def test_text_as_other_programs_write_it(tmp_path):
    def read(content):
        (tmp_path / "a.csv").write_bytes(content)
        return from_hdf5(make_hdf5(tmp_path / "a.csv", tmp_path / "a.h5")).compute().tolist()

    assert read(b"\xef\xbb\xbfa,b\r\n1,2\r\n3,4\r\n") == [[1, 2], [3, 4]]
    assert read(b'"first, second",b\n"1",2\n') == [[1, 2]]
    assert read(b"1e3,-2.5E-3\n") == [[1000, -0.0025]]
    assert read(b"x\n1\n2\n") == [[1], [2]]
    assert read(b"  1   2\n  3   4\n") == [[1, 2], [3, 4]]
    assert np.isnan(read(b"1,nan\n")[0][1])


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("a.csv", "höhe\n1\n".encode("latin-1"), FileFormatError, "must be text in UTF-8.*iconv"),
        ("a.csv.gz", b"1,2\n", FileFormatError, "not compressed as its name says"),
        ("a.npz", b"PK\x03\x04", FileFormatError, r"must be a \.npy file"),
        ("a.npy", b"", FileFormatError, r"must be a \.npy file"),
        ("a.csv", b"1_000,2\n", DataError, "cannot be read as numbers.*without thousands separators"),
    ],
)
def test_files_that_are_not_what_they_say(tmp_path, name, content, error, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        make_hdf5(tmp_path / name, tmp_path / "a.h5")
    assert [item.name for item in tmp_path.iterdir()] == [name]
