"""Packed variables of netCDF: values that are computed from codes in the file, with the dtypes that xarray gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from ..exceptions import DataError, FileFormatError

__all__ = ["Packing", "packing_of"]

# So many bytes of codes are unpacked at once, that they stay in the processor's cache.
_CODE_BYTES = 2**20


@dataclass(frozen=True)
class Packing:
    """How values are computed from codes: value = code * scale + offset, in the order and the dtypes of xarray.

    Parameters
    ----------
    stored : str
        Dtype of the codes in the file, in native byte order.
    signs : str
        Dtype that the codes are taken as: another one where `_Unsigned` says so.
    dtype : str
        Dtype of the values.
    row_size : int
        Numbers of a row.
    scale, offset : NumPy scalar or None
        Factor and summand, with the dtype that they have in the file; None for one that is not there.
    missing : tuple of NumPy scalars
        Numbers that stand for missing values among the codes, after these were cast to `dtype`.
    own : int, float or None
        netCDF's own fill, which stands for a missing value among the codes as they are in the file.
    """

    stored: str
    signs: str
    dtype: str
    row_size: int = 1
    scale: Any = None
    offset: Any = None
    missing: tuple[Any, ...] = ()
    own: int | float | None = None

    def unpack(self, codes: np.ndarray, path: str, first_row: int = 0) -> np.ndarray:
        """The values of a block of codes, which begins at a row of the file at a path.

        Raises
        ------
        DataError
            A missing value, or a number that is too large, where the values are whole numbers.
        """
        dtype = np.dtype(self.dtype)
        lost = np.zeros(codes.shape, bool) if self.own is None else codes == self.own
        codes = codes.astype(self.signs, copy=False)
        if dtype.kind != "f":
            self._check_range(codes[~lost], dtype, path, first_row)
        # Numbers too large for float32 become infinite, as in xarray, and no fit takes them.
        with np.errstate(over="ignore", invalid="ignore"):
            values = codes.astype(dtype)
            # Codes are compared, since float32 does not hold all whole numbers of 32 bits.
            for number in self.missing:
                lost = lost | (codes == number)
            if lost.any() and dtype.kind != "f":
                row = first_row + int(np.argmax(lost.reshape(len(lost), -1).any(axis=1)))
                raise DataError(
                    f"{path}: rows must not have missing values; got one, as the file declares them, first in row "
                    f"{row}. Fill or drop such rows."
                )
            values[lost] = np.nan if dtype.kind == "f" else 0
            if self.scale is not None:
                values *= self.scale
            if self.offset is not None:
                values += self.offset
        return values

    def _check_range(self, codes, dtype, path, first_row):
        """Refuse codes whose products with a whole number do not fit into the dtype of the values."""
        if not codes.size:
            return
        scale = 1 if self.scale is None else int(self.scale)
        ends = [int(bound) * factor for bound in (codes.min(), codes.max()) for factor in (1, scale)]
        if min(ends) < np.iinfo(dtype).min or max(ends) > np.iinfo(dtype).max:
            raise DataError(
                f"{path}: unpacked values must fit into {dtype}, the type of scale_factor; got {min(ends)} to "
                f"{max(ends)} in rows {first_row} and on. Write scale_factor as a float64, such as "
                f"numpy.float64({scale})."
            )

    def is_missing(self, code) -> bool:
        """Whether a code stands for a missing value, and is read as NaN."""
        if np.dtype(self.dtype).kind != "f":
            return False
        return bool(np.isnan(self.unpack(np.array([code], self.stored), "")[0]))

    def read(
        self, read: Callable[[int, int, np.ndarray], None], first: int, last: int, out: np.ndarray, path: str, step: int
    ) -> None:
        """Read codes of rows first to last - 1 with a function, and write their values to `out`.

        Pieces of about 1 MiB are read, which begin and end with multiples of `step` rows.
        """
        height = self._height(step)
        codes = np.empty((min(height, last - first), *out.shape[1:]), self.stored)
        a = first
        while a < last:
            b = min(a // height * height + height, last)
            read(a, b, codes[: b - a])
            out[a - first : b - first] = self.unpack(codes[: b - a], path, a)
            a = b

    def _height(self, step):
        """Rows of a piece: a multiple of `step`."""
        return max(_CODE_BYTES // max(self.row_size * np.dtype(self.stored).itemsize, 1) // step, 1) * step

    def held_bytes(self, step: int) -> int:
        """Most bytes that `read` holds besides its result: the codes of a piece, their values, and masks of them."""
        codes, values = np.dtype(self.stored).itemsize, np.dtype(self.dtype).itemsize
        return self._height(step) * self.row_size * (2 * codes + values + 3)


def packing_of(dataset: h5py.Dataset, path: str, own: int | float | None = None) -> Packing | None:
    """How the codes of a variable are unpacked; None for a dataset of the numbers themselves.

    Parameters
    ----------
    dataset : h5py.Dataset
        The variable, of numbers.
    path : str
        Its file, for errors.
    own : int or float, optional
        netCDF's own fill, if codes of this value stand for missing ones.

    Raises
    ------
    FileFormatError
        A scale or an offset that is no single number.
    """
    scale, offset = (_number(dataset, name, path) for name in ("scale_factor", "add_offset"))
    stored = dataset.dtype.newbyteorder("=")
    signs = _signs(dataset, stored)
    is_scaled = scale is not None or offset is not None
    if stored.kind not in "fiu" or not (is_scaled or signs != stored):
        return None
    declared = {
        name: found
        for name in ("missing_value", "_FillValue")
        if (found := np.ravel(dataset.attrs.get(name, ""))).dtype.kind in "fiu"
        # Whole numbers have no NaN, so that one that is declared for them says nothing.
        and (stored.kind == "f" or not np.isnan(found).all())
    }
    missing = dict.fromkeys(number for found in declared.values() for number in found if not np.isnan(number))
    if signs != stored:
        # The fill is declared in the type of the file.
        for fill in declared.get("_FillValue", ()):
            missing.pop(fill, None)
            missing[np.asarray(fill).astype(stored).view(signs)[()]] = None
    if is_scaled and (missing or not declared):
        dtype = _float_for(signs, scale, offset)
    elif missing:
        dtype = _float_with_nan(signs)
    else:
        dtype = signs
    row_size = int(np.prod(dataset.shape[1:]))
    return Packing(stored.str, signs.str, dtype.str, row_size, scale, offset, tuple(missing), own)


def _number(dataset, name, path):
    """An attribute of one number, with its dtype; None if there is none."""
    if name not in dataset.attrs:
        return None
    found = np.ravel(dataset.attrs[name])
    if found.shape != (1,) or found.dtype.kind not in "fiu":
        raise FileFormatError(
            f"{path}: the attribute {name} of {dataset.name!r} must be one number, to unpack its values; got "
            f"{dataset.attrs[name]!r}. Correct it with h5py: file[{dataset.name!r}].attrs[{name!r}] = "
            "numpy.float64(...)."
        )
    return found[0]


def _signs(dataset, stored):
    """The dtype that codes are taken as, by the attribute `_Unsigned`."""
    found = np.ravel(dataset.attrs.get("_Unsigned", "")).tolist() or [""]
    says = found[0].decode() if isinstance(found[0], bytes) else str(found[0])
    other = {("i", "true"): "u", ("u", "false"): "i"}.get((stored.kind, says))
    return stored if other is None else np.dtype(f"{other}{stored.itemsize}")


def _float_for(signs, scale, offset):
    """The dtype of scaled codes, by the conventions and xarray."""
    if offset is None:
        # A factor loses nothing, in whatever type it has; but a whole number must not cut the fractions of floats.
        return signs if signs.kind == "f" and scale.dtype.kind != "f" else scale.dtype
    if scale is not None and scale.dtype == offset.dtype and scale.dtype in (np.float32, np.float64):
        # float32 does not have all int32.
        return np.dtype(np.float64) if signs.kind in "iu" and signs.itemsize == 4 else scale.dtype
    # An offset may be far larger than the codes, whose digits float32 would lose.
    return np.dtype(np.float64)


def _float_with_nan(signs):
    """The dtype of codes among which NaN may be."""
    if signs.kind == "f":
        return signs
    return np.dtype(np.float32 if signs.itemsize <= 2 else np.float64)
