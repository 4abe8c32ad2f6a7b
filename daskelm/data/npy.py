"""Files of NumPy's `.npy` format, mapped into memory."""

from __future__ import annotations

import numpy as np

from ..exceptions import FileFormatError, FileMissingError
from ..hdf5.paths import check_regular
from .table_file import check_kind

__all__ = ["load_npy"]


def load_npy(path) -> np.ndarray:
    """The array of a `.npy` file, mapped into memory."""
    check_regular(path)
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise FileMissingError(f"{path}: no such file.") from None
    except (ValueError, IsADirectoryError):
        raise FileFormatError(
            f"{path} must be a .npy file of numbers; got another kind of file, or a damaged one. Load it yourself and "
            "give the array."
        ) from None
    check_kind(array.dtype, array.ndim, array.shape)
    return array
