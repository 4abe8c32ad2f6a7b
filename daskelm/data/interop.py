"""Arrays and tables of xarray, zarr, Arrow and polars as those of NumPy, pandas or Dask; nothing lazy is loaded."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import dask
import h5py

from ..exceptions import FileMissingError, InputTypeError, MissingExtraError
from ..lazy import da
from .refusals import refuse_unusable
from .source import is_path

__all__ = ["header_named", "header_of", "is_lazy_array", "to_supported"]

# An array of any library that has one of these attributes has its numbers in memory.
_SHOWS_MEMORY = ("__array_interface__", "__array_struct__", "__cuda_array_interface__", "__dlpack__", "to_numpy")
_SPARSE = ("toarray", "todense")


def is_lazy_array(value) -> bool:
    """Whether a value is an array of xarray or zarr that is not in memory."""
    return _is(value, "zarr", "Array") or (_is(value, "xarray", "DataArray", "Variable") and not value._in_memory)


def header_of(value) -> Any:
    """An empty pandas frame with the names of a DataArray's columns, the texts along its second dimension; or None."""
    names = _names(value) if _is(value, "xarray", "DataArray") else None
    if names is None:
        return None
    # xarray needs pandas, so it is installed.
    import pandas

    return pandas.DataFrame(columns=names)


def header_named(names: Sequence[str]) -> Any:
    """An empty table with these names of columns, for scikit-learn's check of names."""
    # Files whose columns have names are read by pyarrow; pandas may not be installed.
    import pyarrow

    return pyarrow.table([pyarrow.nulls(0)] * len(names), names=list(names))


def to_supported(value, name: str) -> Any:
    """The value as an array or a frame of NumPy, pandas or Dask; paths as they are.

    Parameters
    ----------
    value : object
        Anything; what is no array or table of another library comes back as it is.
    name : str
        Name of the argument, for errors.

    Returns
    -------
    object
        Data in memory stay there, other data become a dask array; a DataArray in memory whose columns have names
        becomes a pandas DataFrame.

    Raises
    ------
    InputTypeError
        Sparse and masked arrays, promises of data, a Dataset, a group, a frame that is not computed yet; or what looks
        like an array that is not in memory, of a library that is not known here.
    """
    if is_path(value):
        return value
    refuse_unusable(value, name)
    if _is(value, "xarray", "DataArray", "Variable"):
        return _of_xarray(value)
    if _is(value, "zarr", "Array"):
        # The name is random: the content may change, and an equal name would stand for the numbers read before.
        key, chunks = f"from-zarr-{uuid4().hex}", ("auto", *[-1] * (value.ndim - 1))
        return da.from_array(_ZarrRows(value), chunks=chunks[: value.ndim], name=key, fancy=False)
    if _is(value, "pyarrow", "Table", "RecordBatch", "Array", "ChunkedArray"):
        _need_pandas(value, name)
        return value.to_pandas()
    if _is(value, "polars", "DataFrame"):
        return _need_pandas(value, name).DataFrame({column.name: column.to_numpy() for column in value.get_columns()})
    if _is(value, "polars", "Series"):
        return value.to_numpy()
    _refuse(value, name)
    return value


def _is(value, library, *kinds):
    """Whether a value is of one of these classes of a library; False where the library is not imported."""
    module = sys.modules.get(library)
    return module is not None and isinstance(value, tuple(getattr(module, kind, ()) for kind in kinds))


def _names(array):
    if array.ndim != 2 or array.dims[1] not in array.coords:
        return None
    names = array.coords[array.dims[1]].values.tolist()
    return names if all(isinstance(name, str) for name in names) else None


def _of_xarray(value):
    if not value._in_memory and not dask.is_dask_collection(value):
        # It comes from a file that was opened without chunks.
        value = value.chunk({dim: -1 if i else "auto" for i, dim in enumerate(value.dims)})
    if dask.is_dask_collection(value):
        return value.data
    header = header_of(value)
    return value.values if header is None else type(header)(value.values, columns=header.columns, copy=False)


class _ZarrRows:
    """A zarr array that each worker opens anew, since chunks that are not there would silently read as fill values."""

    def __init__(self, array):
        self.array = array
        self.shape, self.ndim, self.dtype, self.chunks = array.shape, array.ndim, array.dtype, array.chunks
        self.store, self.path = array.store, array.path

    def __getstate__(self):
        state = self.__dict__ | {"array": None}
        if _is(self.store, "zarr.storage", "LocalStore"):
            # The path is absolute, since each worker has its own current folder.
            state["store"] = type(self.store)(Path(self.store.root).absolute(), read_only=True)
        return state

    def __getitem__(self, index):
        if self.array is None:
            self.array = self._opened()
        return self.array[index]

    def _opened(self):
        import zarr

        try:
            return zarr.open_array(self.store, path=self.path, mode="r")
        except FileNotFoundError:
            raise FileMissingError(
                f"{self.store} must be visible on every worker at this path; got a worker that does not see the zarr "
                "array there. Put it in a folder that all machines share, or in object storage."
            ) from None


def _need_pandas(value, name):
    try:
        import pandas
    except ImportError:
        raise MissingExtraError(
            f"{name}: a {type(value).__name__} is taken by way of pandas, which is not installed. Use pip install "
            "pandas, or give an array of its numbers."
        ) from None
    return pandas


def _refuse(value, name):
    got = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
    if _is(value, "xarray", "Dataset"):
        rule, remedy = (
            "one table is needed, and a Dataset holds variables by name",
            "Give one, dataset[name], or all as columns, dataset.to_dataarray('feature').transpose(..., 'feature'), "
            "after dataset.stack(sample=[...]) where they have several dimensions",
        )
    elif _is(value, "zarr", "Group"):
        rule, remedy = "one array is needed, and a group holds arrays by name", "Give one: group[name]"
    elif _is(value, "polars", "LazyFrame"):
        rule, remedy = (
            "a LazyFrame is no table yet",
            "Give value.collect(), or, if it does not fit into memory, dask.dataframe.read_parquet(path)",
        )
    elif _may_be_lazy(value):
        rule, remedy = (
            "an array of this kind may not be in memory, and is not loaded without being asked",
            "Give value[:] to load it, or dask.array.from_array(value) to have it read chunk by chunk",
        )
    else:
        return
    raise InputTypeError(f"{name}: {rule}; got {got}. {remedy}.")


def _may_be_lazy(value):
    """Whether a value looks like an array, of netCDF4 or PyTables for example, but not like one in memory."""
    return (
        all(hasattr(value, name) for name in ("shape", "dtype", "__getitem__"))
        and not any(hasattr(value, name) for name in _SHOWS_MEMORY + _SPARSE)
        and not isinstance(value, h5py.Dataset)
        and not dask.is_dask_collection(value)
    )
