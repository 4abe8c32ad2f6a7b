"""netCDF4 files are HDF5: variables are read as tables, and codes and fill values never pass for numbers."""

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from daskelm import ELMRegressor, from_hdf5, make_hdf5
from daskelm.cli import cli
from daskelm.exceptions import DataError, DatasetNotFoundError
from daskelm.hdf5.netcdf import mark_missing
from daskelm.hdf5.rows import open_rows

N, D = 500, 4
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D))
Y = np.sin(X[:, 0]) + X[:, 1]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(path, values=X, dtype="f8", name="t", attributes=(), unlimited=False, group="", **options):
    """A variable with its axes, as the netCDF library writes it; the values as they are, packed or not."""
    with netCDF4.Dataset(path, "w") as root:
        file = root.createGroup(group) if group else root
        dims = ("time", "sensor")[: values.ndim]
        for dim, size in zip(dims, values.shape, strict=True):
            file.createDimension(dim, None if unlimited and dim == "time" else size)
        time = file.createVariable("time", "f8", ("time",))
        time[:] = np.arange(len(values))
        time.units = "days since 2000-01-01"
        endian = "big" if np.dtype(dtype).byteorder == ">" else "native"
        variable = file.createVariable(name, dtype, dims, endian=endian, **options)
        variable.set_auto_maskandscale(False)
        variable[:] = values
        for key, value in dict(attributes).items():
            variable.setncattr(key, value)
    return path


@pytest.mark.parametrize(
    "options", [{}, {"unlimited": True}, {"zlib": True, "chunksizes": (50, 2)}, {"dtype": "f4"}, {"dtype": "i2"}]
)
def test_a_variable_beside_its_axes_is_a_table(options):
    values = np.round(100 * X) if options.get("dtype") == "i2" else X
    path = write("x.nc", values, **options)
    with netCDF4.Dataset(path) as file:
        expected = np.asarray(file["t"][:])
    for array in (from_hdf5(path), from_hdf5(path, dataset="t")):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array.compute(), expected)


def test_vectors_are_told_from_their_axes():
    path = write("y.nc", Y)
    np.testing.assert_array_equal(from_hdf5(path).compute(), Y)
    np.testing.assert_array_equal(from_hdf5(path, dataset="time").compute(), np.arange(N))
    # An axis that is all there is.
    with netCDF4.Dataset("time.nc", "w") as file:
        file.createDimension("time", N)
        file.createVariable("time", "f8", ("time",))[:] = Y
    np.testing.assert_array_equal(from_hdf5("time.nc").compute(), Y)
    with netCDF4.Dataset("y.nc", "a") as file:
        file.createVariable("other", "f8", ("time",))[:] = Y
    with pytest.raises(DatasetNotFoundError, match="Name one"):
        from_hdf5("y.nc")


def test_variables_in_groups_are_found_by_their_path():
    path = write("x.nc", group="forecast/model")
    np.testing.assert_array_equal(from_hdf5(path).compute(), X)
    np.testing.assert_array_equal(from_hdf5(path, dataset="forecast/model/t").compute(), X)


def test_models_of_netcdf_are_those_of_hdf5():
    make_hdf5(X, "x.h5")
    make_hdf5(Y, "y.h5")
    model = ELMRegressor(20, random_state=0).fit(write("x.nc"), write("y.nc", Y))
    same = ELMRegressor(20, random_state=0).fit("x.h5", "y.h5")
    np.testing.assert_allclose(model.coef_, same.coef_, rtol=1e-9, atol=1e-9)
    model.accumulate("x.h5", "y.h5", into="sums.h5")
    again = model.accumulate("x.nc", "y.nc", into="sums.h5").solve("sums.h5")
    assert again.normal_equations_.n_samples == N
    output = CliRunner().invoke(cli, ["info", "x.nc"]).output
    assert "x.nc: data" in output
    assert "t  (500, 4) float64" in output


def test_files_of_xarray_are_read():
    data = xr.Dataset(
        {"t": (("time", "sensor"), X)}, coords={"time": np.datetime64("2000-01-01") + np.arange(N), "sensor": range(D)}
    )
    data.to_netcdf("x.nc")
    np.testing.assert_array_equal(from_hdf5("x.nc").compute(), X)
    # It marks floats with NaN, which costs nothing and hides nothing.
    assert open_rows("x.nc").parts[0].missing == ()
    with_gap = data.where(data.time != data.time[7])
    with_gap.to_netcdf("gap.nc")
    with pytest.raises(DataError, match=r"X must be finite; got NaN first in row 7 of .*gap.nc, column 0"):
        ELMRegressor(5).fit("gap.nc", Y)
    with_gap.to_netcdf("filled.nc", encoding={"t": {"_FillValue": -9999.0}})
    with pytest.raises(DataError, match=r"X must be finite; got NaN first in row 7 of .*filled.nc, column 0"):
        ELMRegressor(5).fit("filled.nc", Y)
    np.testing.assert_array_equal(from_hdf5("filled.nc").compute(), with_gap.t.values)
    packed = {"t": {"dtype": "i2", "scale_factor": 0.01, "_FillValue": -9999}}
    with_gap.to_netcdf("packed.nc", encoding=packed)
    with xr.open_dataset("packed.nc") as unpacked:
        np.testing.assert_array_equal(from_hdf5("packed.nc").compute(), unpacked.t.values)
    with pytest.raises(DataError, match=r"X must be finite; got NaN first in row 7 of .*packed.nc, column 0"):
        ELMRegressor(5).fit("packed.nc", Y)


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f8"])
@pytest.mark.parametrize("name", ["_FillValue", "missing_value", "both", "default"])
def test_declared_values_are_read_as_nan(dtype, name):
    fill = 9.969209968386869e36 if name == "default" else -999.9
    values = X.astype(dtype)
    values[[3, 400], [1, 2]] = np.dtype(dtype).type(fill)
    attributes = {}
    if name in ("missing_value", "both"):
        attributes["missing_value"] = np.array([fill, -1e9] if name == "both" else fill, dtype)
    fill_value = fill if name == "_FillValue" else None
    path = write("x.nc", values, dtype, attributes=attributes, fill_value=fill_value)
    expected = values.astype(values.dtype.newbyteorder("="))
    expected[[3, 400], [1, 2]] = np.nan
    for rows in (None, slice(0, 4), slice(300, 500)):
        np.testing.assert_array_equal(from_hdf5(path, rows=rows, chunks=70).compute(), expected[rows or slice(None)])
    with pytest.raises(DataError, match=r"got NaN first in row 3 of .*x.nc, column 1"):
        ELMRegressor(5).fit(path, Y)
    # Rows without any are rows as any other.
    ELMRegressor(5, random_state=0).initialize(X).accumulate(path, Y, rows=slice(10, 300), into="sums.h5")
    # Beside a file of another precision.
    other = make_hdf5(X.astype("f4" if dtype != "f4" else "f8"), "other.h5")
    assert np.isnan(from_hdf5([other, path]).compute()).sum() == 2


@pytest.mark.parametrize("dtype", ["i2", "i4", "i8", "u2", "u8"])
@pytest.mark.parametrize("default", [False, True])
def test_declared_values_among_whole_numbers_are_an_error(dtype, default):
    values = np.abs(np.round(100 * X)).astype(dtype)
    fill = netCDF4.default_fillvals[dtype] if default else 7
    values[values == 7] = 8
    path = write("x.nc", values, dtype, fill_value=None if default else fill)
    np.testing.assert_array_equal(from_hdf5(path).compute(), values)
    values[300, 2] = fill
    path = write("x.nc", values, dtype, fill_value=None if default else fill)
    lazy = from_hdf5(path, chunks=60)
    with pytest.raises(DataError, match=f"x.nc: rows must not have missing values; got {fill}, .* first in row 300"):
        lazy.compute()
    np.testing.assert_array_equal(from_hdf5(path, rows=slice(301, N)).compute(), values[301:])


def test_variables_that_nobody_gave_values_are_missing():
    with netCDF4.Dataset("x.nc", "w") as file:
        file.createDimension("time", 10)
        file.createDimension("sensor", 2)
        file.createVariable("t", "f4", ("time", "sensor"))
    assert np.isnan(from_hdf5("x.nc").compute()).all()


def test_files_of_hdf5_alone_are_not_looked_at():
    with h5py.File("x.h5", "w") as file:
        file.create_dataset("t", data=X, fillvalue=-1.0)
        # What is no number marks nothing.
        file["t"].attrs["_FillValue"] = "none"
        file["t"].attrs["missing_value"] = [np.nan, np.inf, 1e400]
        file.create_dataset("whole", data=np.arange(10), fillvalue=3)
        file["whole"].attrs["missing_value"] = [2.5, 1e30]
    assert open_rows("x.h5", "t").parts[0].missing == ()
    assert open_rows("x.h5", "whole").parts[0].missing == ()


@pytest.mark.parametrize("shape", [(200_000,), (50_000, 3), (1, 5), (0, 3)])
def test_marking_goes_through_all_rows(shape):
    block = np.zeros(shape)
    block.reshape(-1)[::7] = -1
    expected = np.where(block == -1, np.nan, block)
    mark_missing(block, (-1.0, 5.0), "x.nc", 0)
    np.testing.assert_array_equal(block, expected)
