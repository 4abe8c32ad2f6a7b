"""Names and levels of columns, as files keep them."""

import h5py
import numpy as np
import pytest

from daskelm.exceptions import FileFormatError
from daskelm.hdf5.atomic import check_replaceable
from daskelm.hdf5.columns import Column, columns_of, write_columns
from daskelm.hdf5.target import new_hdf5

COLUMNS = (Column("age"), Column("größe, cm"), Column("colour", ("red", "", "1")), Column("grade", (3, 1.5, True)))


def written(path, columns=COLUMNS, n_columns=4):
    with new_hdf5(path) as (file, _):
        write_columns(file.create_dataset("data", data=np.zeros((5, n_columns))), columns)


def read(path):
    with h5py.File(path) as file:
        return columns_of(file["data"], str(path))


def test_names_and_levels_come_back_with_their_types(tmp_path):
    written(tmp_path / "t.h5")
    assert (found := read(tmp_path / "t.h5")) == COLUMNS
    assert [type(level) for level in found[3].levels] == [int, float, bool]


def test_names_of_many_columns_have_no_limit(tmp_path):
    many = tuple(Column(f"a rather long name of column {i}") for i in range(20_000))
    written(tmp_path / "t.h5", many, len(many))
    assert read(tmp_path / "t.h5") == many


def test_a_table_without_names_has_none(tmp_path):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["data"] = np.zeros((2, 2))
    assert read(tmp_path / "t.h5") is None


@pytest.mark.parametrize("lines", [["{"] * 4, ['{"name": "a"}'], ['{"levels": 3, "name": "a"}'] * 4, ["[]"] * 4])
def test_other_descriptions_are_refused(tmp_path, lines):
    written(tmp_path / "t.h5")
    with h5py.File(tmp_path / "t.h5", "r+") as file:
        del file["data.columns"]
        file["data.columns"] = lines
    with pytest.raises(FileFormatError, match=r"data\.columns must describe the 4 columns .* Write the table again"):
        read(tmp_path / "t.h5")


def test_a_table_with_names_may_be_replaced_by_another_table(tmp_path):
    written(tmp_path / "t.h5")
    check_replaceable(tmp_path / "t.h5", "data", False, "data")
