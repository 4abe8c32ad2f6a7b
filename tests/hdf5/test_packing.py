"""Packed variables of netCDF: the values and dtypes are those that xarray gives, however they are read."""

import pickle
import warnings

import fsspec
import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given
from hypothesis import strategies as st

from daskelm import ELMRegressor, from_hdf5, make_hdf5
from daskelm.exceptions import DataError, FileFormatError
from daskelm.hdf5.netcdf import missing_values
from daskelm.hdf5.rows import open_rows

pytestmark = pytest.mark.usefixtures("empty_folder")

N, D = 500, 4
RNG = np.random.default_rng(0)
CODES = RNG.integers(-100, 100, (N, D))
Y = RNG.standard_normal(N)
FLOATS = st.sampled_from([0.01, 0.1, 1.0, -2.5, 1e-30, 273.15])


def write(path, codes, attributes, group="", **options):
    """A variable of codes as they are, beside its axes, as the netCDF library writes it."""
    with netCDF4.Dataset(path, "w") as root:
        file = root.createGroup(group) if group else root
        for name, size in zip(("time", "sensor"), codes.shape, strict=True):
            file.createDimension(name, size)
        endian = "big" if codes.dtype.byteorder == ">" else "native"
        variable = file.createVariable("t", codes.dtype, ("time", "sensor"), endian=endian, **options)
        variable.set_auto_maskandscale(False)
        for key, value in attributes.items():
            variable.setncattr(key, value)
        variable[:] = codes
    return str(path)


def of_xarray(path, group=None):
    with warnings.catch_warnings():
        # It warns of several fill values, and of signs of floats.
        warnings.simplefilter("ignore")
        with xr.open_dataset(path, mask_and_scale=True, group=group) as data:
            return data["t"].values


@st.composite
def variables(draw):
    dtype = np.dtype(draw(st.sampled_from(["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"])))
    kind = draw(st.sampled_from(["f4", "f8"]))
    attributes = {}
    names = draw(st.sampled_from([["scale_factor"], ["add_offset"], ["scale_factor", "add_offset"], []]))
    for name in names:
        # One of the two may have another type.
        attributes[name] = np.dtype(draw(st.sampled_from([kind, kind, "f4", "f8"]))).type(draw(FLOATS))
    signs = draw(st.sampled_from([None, "true", "false"]))
    if signs is not None:
        attributes["_Unsigned"] = signs
    other_signs = (dtype.kind, signs) in (("i", "true"), ("u", "false"))
    assume(names or other_signs)
    low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype.kind in "iu" else (-(2**20), 2**20)
    numbers = st.integers(low, high)
    options = {}
    pool = draw(st.lists(numbers, min_size=1, max_size=6))
    if draw(st.booleans()):
        options["fill_value"] = pool[0] if dtype.kind in "iu" or draw(st.booleans()) else np.nan
    if draw(st.booleans()):
        attributes["missing_value"] = np.array(pool[: draw(st.integers(1, 2))][-1], dtype)
    codes = np.array(draw(st.lists(st.sampled_from(pool), min_size=6, max_size=6)), dtype).reshape(3, 2)
    if draw(st.booleans()):
        codes = codes.astype(dtype.newbyteorder(">"))
    return codes, attributes, options


@given(variables())
def test_values_and_dtypes_are_those_of_xarray(tmp_path_factory, variable):
    codes, attributes, options = variable
    # xarray does not find a fill value of two or more bytes in the other order whose sign it changes.
    assume(codes.dtype.byteorder != ">" or "_Unsigned" not in attributes or "fill_value" not in options)
    path = write(tmp_path_factory.mktemp("packed") / "t.nc", codes, attributes, **options)
    with h5py.File(path) as file:
        # netCDF's own fill is a missing value here, as for variables that are not packed; xarray takes it for a number.
        own = [n for n in missing_values(file["t"]) if n == netCDF4.default_fillvals.get(codes.dtype.str[1:])]
    assume(not np.isin(codes, own).any())
    expected = of_xarray(path)
    if expected.dtype.kind == "f" and codes.dtype.kind in "iu":
        # xarray compares fills with numbers that are rounded already, and finds some that are none, or not all.
        declared = [options.get("fill_value", 0), attributes.get("missing_value", 0)]
        values = np.concatenate([codes.ravel(), *np.array(declared, codes.dtype)[:, None]])
        signs = "u" if attributes.get("_Unsigned") == "true" else codes.dtype.kind
        values = values.astype(codes.dtype.newbyteorder("=")).view(f"{signs}{codes.dtype.itemsize}")
        assume((np.abs(values.astype(float)) < 2.0 ** (np.finfo(expected.dtype).nmant + 1)).all())
    array = from_hdf5(path)
    assert array.dtype == expected.dtype
    found = array.compute()
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_a_fill_value_that_float32_does_not_hold_is_found(tmp_path):
    codes = np.array([[-1, -2], [-100_000, 5]], "i4")
    attributes = {"scale_factor": np.float32(1), "_Unsigned": "true"}
    found = from_hdf5(write(tmp_path / "t.nc", codes, attributes, fill_value=-1)).compute()
    assert np.isnan(found).tolist() == [[True, False], [False, False]]


@pytest.mark.parametrize("order", ["<", ">"])
def test_fill_values_are_found_in_any_order_of_bytes(tmp_path, order):
    codes = np.array([[1, 2], [3, -1]], f"{order}i2")
    attributes = {"scale_factor": np.float32(0.5), "_Unsigned": "true"}
    for fill in (1, -1):
        path = write(tmp_path / "t.nc", codes, attributes, fill_value=fill)
        expected = np.where(codes == fill, np.nan, codes.astype("u2") * np.float32(0.5))
        np.testing.assert_array_equal(from_hdf5(path).compute(), expected)


PACKED = {"scale_factor": np.float32(0.01), "add_offset": np.float64(10.0)}
STORAGE = {
    "contiguous": {"contiguous": True},
    "chunks": {"chunksizes": (70, D)},
    "columns of chunks": {"chunksizes": (70, 3)},
    "packed chunks": {"chunksizes": (70, 3), "zlib": True, "shuffle": True},
    "one packed chunk": {"chunksizes": (N, D), "zlib": True},
}


@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("where", ["path", "url"])
def test_any_blocks_from_anywhere_are_the_same_values(storage, where, monkeypatch):
    codes = CODES.astype("i2")
    codes[[3, 400], [1, 2]] = -999
    path = write("t.nc", codes, PACKED, fill_value=-999, **STORAGE[storage])
    expected = of_xarray(path)
    if where == "url":
        fsspec.filesystem("memory").put("t.nc", "/t.nc")
        path = "memory://t.nc"
    for piece in (2**20, 200):
        monkeypatch.setattr("daskelm.hdf5.packing._CODE_BYTES", piece)
        for chunks in (1, 64, 200, -1):
            np.testing.assert_array_equal(from_hdf5(path, chunks=chunks).compute(), expected)
        source = open_rows(path, rows=slice(2, 450))
        for reuse in (False, True):
            with pickle.loads(pickle.dumps(source)).open(reuse=reuse) as reader:
                for a, b in ((0, 3), (3, 3), (2, 99), (99, 448)):
                    np.testing.assert_array_equal(reader.read(a, b), expected[2 + a : 2 + b])


def test_sums_are_those_of_the_values_by_whichever_file_and_resumed(no_client):
    codes = CODES.astype("i2")
    write("t.nc", codes, PACKED, zlib=True, chunksizes=(70, 3))
    make_hdf5(of_xarray("t.nc"), "X.h5")
    model = ELMRegressor(20, random_state=0).fit("t.nc", Y)
    np.testing.assert_allclose(model.coef_, ELMRegressor(20, random_state=0).fit("X.h5", Y).coef_, rtol=1e-9)
    make_hdf5(Y, "y.h5")
    for X, rows in (("t.nc", slice(0, 200)), ("X.h5", slice(0, 300)), ("t.nc", None)):
        model.accumulate(X, "y.h5", rows=rows, into="sums.h5")
    assert model.solve("sums.h5").normal_equations_.n_samples == N
    with h5py.File("t.nc") as file:
        np.testing.assert_array_equal(model.predict(file["t"]).compute(), model.predict("X.h5").compute())


def test_packed_parts_beside_others_have_a_dtype_for_all():
    write("a.nc", CODES.astype("i2"), {"scale_factor": np.float32(0.01)})
    make_hdf5(CODES.astype("f8"), "b.h5")
    assert from_hdf5("a.nc").dtype == np.float32
    both = from_hdf5(["a.nc", "b.h5"])
    assert both.dtype == np.float64
    np.testing.assert_array_equal(both.compute(), np.concatenate([of_xarray("a.nc"), CODES]))


def test_variables_in_groups_are_unpacked():
    path = write("t.nc", CODES.astype("i1"), {"_Unsigned": "true", "scale_factor": 0.5}, group="forecast/model")
    np.testing.assert_array_equal(from_hdf5(path).compute(), of_xarray(path, "forecast/model"))


def test_netcdfs_own_fill_is_missing_among_codes():
    codes = CODES.astype("i2")
    codes[7, 1] = netCDF4.default_fillvals["i2"]
    path = write("t.nc", codes, {"scale_factor": 0.5})
    expected = np.where(codes == netCDF4.default_fillvals["i2"], np.nan, 0.5 * codes)
    np.testing.assert_array_equal(from_hdf5(path).compute(), expected)
    # Whole numbers have no NaN.
    path = write("u.nc", codes, {"_Unsigned": "true"})
    with pytest.raises(DataError, match="u.nc: rows must not have missing values; .* first in row 7"):
        from_hdf5(path).compute()
    np.testing.assert_array_equal(from_hdf5(path, rows=slice(8, None)).compute(), codes[8:].astype("u2"))


def test_rows_never_written_are_missing_where_their_code_is():
    for fill in (-999, None):
        with netCDF4.Dataset("t.nc", "w") as file:
            file.createDimension("time", None)
            file.createDimension("sensor", 2)
            options = {"fill_value": fill, "chunksizes": (10, 2)}
            variable = file.createVariable("t", "i2", ("time", "sensor"), **options)
            variable.scale_factor = 0.5
            variable[30:40] = np.ones((10, 2))
        found = from_hdf5("t.nc").compute()
        assert np.isnan(found[:30]).all()
        np.testing.assert_array_equal(found[30:], np.ones((10, 2)))
    with h5py.File("u.h5", "w") as file:
        file.create_dataset("t", (40, 2), "i2", chunks=(10, 2))[30:] = 1
        file["t"].attrs["scale_factor"] = 0.5
    with pytest.raises(FileFormatError, match="rows 0 to 29 of '/t' were never written"):
        from_hdf5("u.h5").compute()


def test_a_whole_factor_keeps_fractions_and_never_overflows_unseen():
    with h5py.File("t.h5", "w") as file:
        file["f"] = [[0.5, 1.5]]
        file["i"] = np.array([[100, 3]], "u2")
        file["j"] = np.array([[40_000, 3]], "u2")
        for name in "fij":
            file[name].attrs["scale_factor"] = np.int16(2)
    np.testing.assert_array_equal(from_hdf5("t.h5", dataset="f").compute(), [[1, 3]])
    np.testing.assert_array_equal(from_hdf5("t.h5", dataset="i").compute(), [[200, 6]])
    with pytest.raises(DataError, match=r"must fit into int16.*got 3 to 80000.*scale_factor as a float64"):
        from_hdf5("t.h5", dataset="j").compute()
    with h5py.File("t.h5", "a") as file:
        file["j"].attrs["scale_factor"] = np.float64(2)
    np.testing.assert_array_equal(from_hdf5("t.h5", dataset="j").compute(), [[80_000, 6]])


@pytest.mark.parametrize("value", ["0.01", [0.1, 0.2], b"x", 1j])
def test_a_factor_that_is_no_number_is_an_error(value):
    with h5py.File("t.h5", "w") as file:
        file["t"] = CODES
        file["t"].attrs["scale_factor"] = value
    with pytest.raises(FileFormatError, match="attribute scale_factor of '/t' must be one number.*Correct it"):
        from_hdf5("t.h5")
    with h5py.File("t.h5", "a") as file:
        file["/t"].attrs["scale_factor"] = np.float64(0.5)
    np.testing.assert_array_equal(from_hdf5("t.h5").compute(), 0.5 * CODES)


def test_the_memory_of_widening_is_projected():
    """No more is held than was projected, besides the block itself."""
    import tracemalloc

    codes = RNG.integers(-100, 100, (60_000, 50)).astype("i1")
    path = write("t.nc", codes, {"scale_factor": 0.5}, fill_value=-128, contiguous=True)
    source = open_rows(path)
    projected = source.parts[0].held_bytes
    assert 0 < projected < codes.nbytes * 8
    with source.open() as reader:
        reader.read(0, 10)
        tracemalloc.start()
        block = reader.read(0, len(codes))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak - block.nbytes <= projected
    # The projection is no guess from far above.
    assert peak - block.nbytes > projected / 3
