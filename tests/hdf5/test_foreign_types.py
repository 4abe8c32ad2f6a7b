"""Types that NumPy does not have, and links of another program: the rest of the file is read and listed."""

from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
from click.testing import CliRunner
from layouts import X, y

from daskelm import ELMRegressor, from_hdf5, make_hdf5, to_hdf5
from daskelm.cli import cli
from daskelm.exceptions import DaskelmError, DataError, DatasetNotFoundError, InputTypeError

pytestmark = pytest.mark.usefixtures("empty_folder")

N = 4


def run(*arguments):
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="daskelm")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def fit(data):
    ELMRegressor(5, random_state=0).fit(data, y)


def low_level(file, name, kind):
    h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple((N,)))


def floats(size, *fields, bias):
    kind = h5py.h5t.IEEE_F64LE.copy()
    if size < 8:
        kind.set_fields(*fields)
    kind.set_precision(8 * size)
    kind.set_size(size)
    kind.set_fields(*fields)
    kind.set_ebias(bias)
    return kind


# Each makes a dataset of a name, and has what is said of it; None where it is read as numbers.
KINDS = {
    "time": (lambda file, name: low_level(file, name, h5py.h5t.UNIX_D32LE), r"NumPy does not have \(HDF5 times\)"),
    "time64": (lambda file, name: low_level(file, name, h5py.h5t.UNIX_D64LE), r"NumPy does not have \(HDF5 times\)"),
    "quad": (
        lambda file, name: low_level(file, name, floats(16, 127, 112, 15, 0, 112, bias=16383)),
        r"NumPy does not have \(floats of 128 bits\). Convert it to floats of 64 bits",
    ),
    "bfloat16": (lambda file, name: low_level(file, name, floats(2, 15, 7, 8, 0, 7, bias=127)), None),
    "bits": (lambda file, name: low_level(file, name, h5py.h5t.STD_B8LE), None),
    "opaque": (
        lambda file, name: low_level(file, name, h5py.h5t.py_create(np.dtype("V5"))),
        "opaque bytes. Write the numbers that they stand for",
    ),
    "dates": (
        lambda file, name: file.create_dataset(name, data=np.zeros(N, "M8[s]").astype(h5py.opaque_dtype("M8[s]"))),
        r"dates or times \(datetime64\[s\]\). Write them as numbers",
    ),
    "refs": (
        lambda file, name: file.create_dataset(name, (N,), h5py.ref_dtype),
        "references to objects. Name the dataset that they lead to",
    ),
    "regions": (lambda file, name: file.create_dataset(name, (N,), h5py.regionref_dtype), "references to regions"),
    "vlen": (
        lambda file, name: file.create_dataset(name, (N,), h5py.vlen_dtype("f8")),
        "arrays of various lengths. Write rows of one length",
    ),
    "complex": (
        lambda file, name: file.create_dataset(name, data=np.zeros((N, 2), complex)),
        r"complex numbers \(complex128\). Write real and imaginary parts",
    ),
    "rows": (
        lambda file, name: low_level(file, name, h5py.h5t.array_create(h5py.h5t.NATIVE_DOUBLE, (3,))),
        r"arrays of shape \(3,\) as elements. Write them as rows",
    ),
    "null": (lambda file, name: file.create_dataset(name, data=h5py.Empty("f8")), "got shape None. Name a dataset"),
    "one": (lambda file, name: file.create_dataset(name, data=3.0), r"got shape \(\). Name a dataset that has rows"),
    "none": (lambda file, name: file.create_dataset(name, (0, 3), "f8"), None),
    "narrow": (lambda file, name: file.create_dataset(name, (N, 0), "f8"), None),
}


@pytest.mark.parametrize("name", KINDS)
def test_an_odd_dataset_is_an_error_alone_and_no_harm_beside_a_table(name, no_client):
    make, said = KINDS[name]
    make_hdf5(np.arange(float(N)), "T.h5")
    for path, beside in (("alone.h5", False), ("beside.h5", True)):
        with h5py.File(path, "w") as file:
            make(file, name)
            if beside:
                file["X"] = X
        listed = run("info", path)
        assert listed.exit_code == 0, listed.output
        assert f"  {name}  (" in listed.output
        run("info", f"{path}::{name}")
        if said is not None:
            with h5py.File(path) as file:
                for named in (lambda: from_hdf5(path, dataset=name), lambda: fit(file[name])):  # noqa: B023
                    with pytest.raises((InputTypeError, DataError), match=said):
                        named()
            assert run("check", f"{path}::{name}", "T.h5").exit_code == 2
        if beside and name in ("none", "narrow"):
            with pytest.raises(DatasetNotFoundError, match=rf"got X \(600, 3\) float64, {name} \("):
                fit(path)
        elif beside:
            np.testing.assert_array_equal(from_hdf5(path).compute(), X)
            assert run("init", path, "model.h5", "--neurons", "5", "--force").exit_code == 0
            fit(path)
        else:
            assert run("init", path, "model.h5").exit_code == 2
            assert run("check", path, "T.h5").exit_code in (2, 4)
            with pytest.raises(DaskelmError):
                ELMRegressor(5).fit(path, np.arange(float(N)))


def test_committed_types_are_types_as_others():
    with h5py.File("X.h5", "w") as file:
        file["kind"] = np.dtype("f4")
        file.create_dataset("X", data=X, dtype=file["kind"])
    np.testing.assert_array_equal(from_hdf5("X.h5").compute(), X.astype("f4"))


def test_an_undefined_fill_value_is_none():
    with h5py.File("X.h5", "w") as file:
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_layout(h5py.h5d.CONTIGUOUS)
        space = h5py.h5s.create_simple(X.shape)
        h5py.h5d.create(file.id, b"X", h5py.h5t.NATIVE_DOUBLE, space, made).write(h5py.h5s.ALL, h5py.h5s.ALL, X)
    # The message of the properties of a fill value has the state "undefined" in the file.
    content = bytearray(Path("X.h5").read_bytes())
    assert h5py.File("X.h5")["X"].id.get_create_plist().fill_value_defined() == h5py.h5d.FILL_VALUE_DEFAULT
    at = content.find(b"\x05\x00\x08\x00\x01\x00\x00\x00")
    assert at > 0
    message = at + 8
    # Version 2 of the message: space is allocated late, the fill is written if set, and it is not defined.
    content[message + 3] = 0
    Path("X.h5").write_bytes(content)
    with h5py.File("X.h5") as file:
        assert file["X"].id.get_create_plist().fill_value_defined() == h5py.h5d.FILL_VALUE_UNDEFINED
    np.testing.assert_array_equal(from_hdf5("X.h5").compute(), X)
    assert run("info", "X.h5").exit_code == 0


@pytest.mark.parametrize("group", ["", "forecast/model"])
@pytest.mark.parametrize("netcdf", [False, True])
def test_the_way_to_make_a_table_of_three_dimensions_works(group, netcdf):
    values = np.arange(24.0).reshape(4, 3, 2)
    if netcdf:
        with netCDF4.Dataset("t.nc", "w") as root:
            file = root.createGroup(group) if group else root
            for name, size in (("time", 4), ("lat", 3), ("lon", 2)):
                file.createDimension(name, size)
            file.createVariable("t", "f8", ("time", "lat", "lon"))[:] = values
    else:
        with h5py.File("t.nc", "w") as file:
            file[f"{group}/t".strip("/")] = values
    inside = f", group='{group}'" if group else ""
    said = rf"xarray.open_dataset\(.*t.nc', chunks={{}}{inside}\)\['t'\]" if netcdf else "from_array"
    with pytest.raises(DataError, match=rf"must be 2-D.*shape \(4, 3, 2\)\. .*{said}") as error:
        from_hdf5("t.nc", dataset=f"{group}/t")
    code = str(error.value).partition("dimension: ")[2].rstrip(".")
    import dask.array
    import xarray

    exec(code, {"dask": dask, "xarray": xarray, "h5py": h5py, "to_hdf5": to_hdf5})
    np.testing.assert_array_equal(from_hdf5("table.h5").compute(), values.reshape(4, 6))


def test_of_many_datasets_the_tables_of_numbers_are_listed_first():
    with h5py.File("many.h5", "w") as file:
        file["a/index"] = [b"x"] * 3
        for i in range(1000):
            file[f"b/{i:03}"] = np.zeros((2, 2))
        file["z/large"] = np.zeros((5, 9))
        file["z/next"] = np.zeros(40)
    with pytest.raises(DatasetNotFoundError, match=r"got z/large \(5, 9\) float64, z/next \(40,\) float64, b/000") as e:
        from_hdf5("many.h5")
    assert "and 995 more, which daskelm info " in str(e.value)
    assert len(str(e.value)) < 600
    assert "index" not in str(e.value)
    assert len(run("info", "many.h5").output.splitlines()) == 1004


def odd():
    """A file with a table beside a link of another program's own kind."""
    with h5py.File("odd.h5", "w") as file:
        file["X"] = X
        file["ours"] = h5py.ExternalLink("nothere.h5", "/d")
    content = bytearray(Path("odd.h5").read_bytes())
    # The kind of the link stands before its name.
    at = content.rfind(b"\x40", 0, content.find(b"nothere.h5"))
    content[at] = 70
    Path("odd.h5").write_bytes(content)


def test_links_of_another_program_do_not_end_the_file(no_client):
    odd()
    np.testing.assert_array_equal(from_hdf5("odd.h5").compute(), X)
    fit("odd.h5")
    done = run("info", "odd.h5")
    assert done.exit_code == 0, done.output
    assert "ours  link to what only the program that wrote it knows (user-defined, kind 70)" in done.output
    assert run("init", "odd.h5", "model.h5", "--neurons", "5").exit_code == 0
    with pytest.raises(DatasetNotFoundError, match="'ours' is a link to what only the program"):
        from_hdf5("odd.h5", dataset="ours")
    with h5py.File("odd.h5", "a") as file:
        del file["X"]
    with pytest.raises(DatasetNotFoundError, match=r"got ours \(link to what only the program"):
        from_hdf5("odd.h5")
