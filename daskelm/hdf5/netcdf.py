"""Conventions of netCDF4, which is HDF5 with attributes: packed numbers, missing values, axes."""

from __future__ import annotations

import math

import h5py
import numpy as np

from ..exceptions import DataError
from .packing import Packing, packing_of

__all__ = ["conventions_of", "fill_is_missing", "is_scale", "mark_missing", "missing_values"]

# The fill values of the netCDF library for variables without one of their own, by dtype.
_FILLS = {
    "f4": 9.969209968386869e36,
    "f8": 9.969209968386869e36,
    "i2": -32767,
    "i4": -2147483647,
    "i8": -9223372036854775806,
    "u2": 65535,
    "u4": 4294967295,
    "u8": 18446744073709551614,
}
# So many numbers are compared at once that the mask stays in the processor's cache.
_MARKED_AT_ONCE = 2**16


def is_scale(dataset: h5py.Dataset) -> bool:
    """Whether a dataset is an axis of others, such as their times: one of netCDF's coordinates or dimensions."""
    return h5py.h5ds.is_scale(dataset.id)


def conventions_of(dataset: h5py.Dataset, path: str) -> tuple[Packing | None, tuple[float | int, ...]]:
    """How a packed variable is unpacked, None for others, and the numbers in the file that are missing values.

    These are for a packed variable only the fill value of rows that were never written, if it is one of them.
    """
    packing = packing_of(dataset, path, _own_fill(dataset))
    if packing is None:
        return None, missing_values(dataset)
    fill = _fill(dataset)
    return packing, () if fill is None or not packing.is_missing(fill) else (fill.item(),)


def missing_values(dataset: h5py.Dataset) -> tuple[float | int, ...]:
    """Numbers that stand for a missing value in a variable: those it declares, and netCDF's own fill."""
    declared = [dataset.attrs[name] for name in ("_FillValue", "missing_value") if name in dataset.attrs]
    values = [value for group in declared for value in np.ravel(group)]
    if (own := _own_fill(dataset)) is not None:
        values.append(own)
    stored = (_as_stored(value, dataset.dtype) for value in values)
    return tuple(dict.fromkeys(value for value in stored if value is not None))


def _own_fill(dataset):
    """netCDF's own fill for the dtype, where it is the fill value of the dataset; None elsewhere."""
    own = _FILLS.get(dataset.dtype.str[1:])
    filled = own is not None and (fill := _fill(dataset)) is not None and fill == dataset.dtype.type(own)
    return own if filled else None


def _fill(dataset):
    """HDF5's fill value of a dataset; None where it is undefined."""
    # Old files may have no fill value at all, for which h5py has an error.
    defined = dataset.id.get_create_plist().fill_value_defined() != h5py.h5d.FILL_VALUE_UNDEFINED
    return dataset.fillvalue if defined else None


def fill_is_missing(dataset: h5py.Dataset, missing: tuple[float | int, ...] = ()) -> bool:
    """Whether rows that were never written read as missing values: NaN, or a number that stands for it."""
    fill = _fill(dataset)
    # Records and text have no fill value that is a missing one.
    return fill is not None and np.asarray(fill).dtype.kind in "fiu" and bool(np.isnan(fill) or fill in missing)


def _as_stored(value, dtype):
    """The value as a number of the dataset's type; None if that type does not have it."""
    if np.asarray(value).dtype.kind not in "fiu" or not np.isfinite(value):
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            number = float(dtype.type(value))
        return number if math.isfinite(number) else None
    number = int(value)
    if dtype.kind not in "iu" or number != value or not np.iinfo(dtype).min <= number <= np.iinfo(dtype).max:
        return None
    return number


def mark_missing(block: np.ndarray, missing: tuple[float | int, ...], path: str, first_row: int) -> None:
    """Replace missing values by NaN in a block of rows, in place; integers have no NaN, so there they are an error."""
    step = max(_MARKED_AT_ONCE // max(block[:1].size, 1), 1)
    for start in range(0, len(block), step):
        piece = block[start : start + step]
        for value in missing:
            found = piece == value
            if not found.any():
                continue
            if piece.dtype.kind != "f":
                row = first_row + start + int(np.argmax(found.reshape(len(piece), -1).any(axis=1)))
                raise DataError(
                    f"{path}: rows must not have missing values; got {value}, which the file declares as missing, "
                    f"first in row {row}. Fill or drop such rows."
                )
            piece[found] = np.nan
