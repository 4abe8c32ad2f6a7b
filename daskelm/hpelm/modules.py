"""HP-ELM's functions for data files, as `daskelm.hpelm.modules`."""

from __future__ import annotations

import os
from numbers import Integral

import dask
import h5py
import numpy as np

from ..data.finite import check_finite
from ..data.from_hdf5 import from_hdf5
from ..data.make_hdf5 import convert
from ..data.text_form import TextOptions
from ..exceptions import DataError, ParameterError
from ..hdf5.file_rows import FileRows
from ..hdf5.rows import open_rows
from ..hdf5.target import changing_hdf5
from ..passes.memory import block_rows

__all__ = ["make_hdf5", "normalize_hdf5"]

# HP-ELM's attributes `mean` and `std` show that they were computed, and this attribute that they were applied.
_APPLIED = "daskelm_normalized"


def make_hdf5(
    data,
    h5file,
    dtype=np.float64,
    delimiter: str = " ",
    skiprows: int = 0,
    comp_level: int = 0,
    overwrite: bool = False,
) -> str:
    """Write data to an HDF5 file with one 2-D dataset, ``data``; all of it or nothing.

    Parameters
    ----------
    data : array-like, dask array, path, or tuple of int
        Numbers of shape (rows, columns), or (rows,) for one column; a file named ``.npy``, ``.csv`` or ``.txt``, the
        text ones also as ``.gz`` or ``.bz2``; or a shape, for zeros.
    h5file : str or path-like
        File to write; one that this function wrote is replaced when the new one is complete.
    dtype : dtype, default=float64
        Type of the numbers in the dataset.
    delimiter : str, default=" "
        Separator of the fields of text files. A blank means that it is found from the first lines: comma, semicolon,
        tab, bar, else white space.
    skiprows : int, default=0
        Lines to leave out at the beginning of text files, such as a header.
    comp_level : int, default=0
        0 does not compress, 1 to 9 do, with gzip.
    overwrite : bool, default=False
        Whether to replace any regular file, such as one with other contents; never an input.

    Returns
    -------
    str
        The path; HP-ELM returned None.

    Raises
    ------
    DataError
        More than two dimensions, or lines of different length.
    InputTypeError
        Text among the numbers, such as a header that was not skipped.
    ParameterError
        `comp_level` or `skiprows` out of range; a file that the data is read from.
    FileWriteError
        The file exists and this function did not write it, without `overwrite`; or the disk is full.

    Examples
    --------
    >>> import numpy as np
    >>> from daskelm.hpelm import modules
    >>> modules.make_hdf5(np.eye(3), "eye.hdf5")
    'eye.hdf5'
    """
    if not isinstance(comp_level, Integral) or not 0 <= comp_level <= 9:
        raise ParameterError(f"comp_level must be an int from 0 (no compression) to 9; got {comp_level!r}.")
    compression = {"compression": "gzip", "compression_opts": int(comp_level), "shuffle": True} if comp_level else None
    found = None if delimiter == " " else delimiter
    if isinstance(data, str | os.PathLike) and not os.fspath(data).lower().endswith(".npy"):
        options = TextOptions(found, header=False, skiprows=skiprows, numbers_only=True)
    else:
        options = TextOptions(found, skiprows=skiprows)
    return convert(data, h5file, "data", options, dtype=dtype, compression=compression, overwrite=overwrite)


def normalize_hdf5(h5file, mean=None, std=None, batch: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Subtract the mean of each column of a data file and divide by its standard deviation, once.

    A normalised copy takes the place of the file when it is complete, so that either all rows are normalised or none.
    The file records the numbers that were applied, and a second call changes nothing. (In HP-ELM, a first call without
    `mean` and `std` computed them but did not change the data, each call with them applied them again, and a call that
    was killed left some of the rows normalised.)

    Parameters
    ----------
    h5file : str or path-like
        File with one 2-D dataset of floats, of any name; changed.
    mean, std : array-like of shape (n_columns,), optional
        Both or neither; computed from this file if not given. Give those of the training data to normalise test data.
    batch : int, optional
        Rows to read at once; chosen from the number of columns if not given.

    Returns
    -------
    mean, std : ndarray of shape (n_columns,)
        The numbers that were applied; standard deviations of zero count as one.

    Raises
    ------
    DataError
        The file is normalised with other numbers, or it is unknown whether HP-ELM normalised it; it holds integers, NaN
        or no rows; the vectors have another length.
    ParameterError
        Only one of `mean` and `std` was given.

    Examples
    --------
    >>> import numpy as np
    >>> from daskelm.hpelm import modules
    >>> path = modules.make_hdf5(np.random.default_rng(0).random((100, 3)), "train.hdf5")
    >>> mean, std = modules.normalize_hdf5(path)
    >>> mean.shape, std.shape
    ((3,), (3,))
    """
    if (mean is None) != (std is None):
        raise ParameterError("mean and std must be given both, or none to take them from the file; got one.")
    if batch is not None and (not isinstance(batch, Integral) or isinstance(batch, bool) or batch < 1):
        raise ParameterError(f"batch must be an int >= 1, or None to have it chosen; got {batch!r}.")
    rows = open_rows(os.fspath(h5file))
    if len(rows.parts) != 1:
        raise ParameterError(f"h5file must be one file; got {len(rows.parts)}. Normalise each with one mean and std.")
    if rows.dtype.kind != "f" or not rows.n_rows:
        raise DataError(
            f"{h5file} must hold rows of floats to be normalised in place; got {rows.n_rows} rows of {rows.dtype}. "
            "Write it as float64, with make_hdf5."
        )
    if rows.is_sparse or rows.parts[0].sources or not rows.parts[0].choice.is_whole:
        raise DataError(
            f"{h5file} must hold its rows itself to be normalised in place; got a file whose rows are in other files, "
            "or are sparse or records. Write it to a file of its own: to_hdf5(from_hdf5(path), new_path)."
        )
    rows.check_written()
    if mean is not None:
        mean, std = (_vector(name, v, rows.n_columns) for name, v in (("mean", mean), ("std", std)))
        std = np.where(std == 0, 1.0, std)
    path, name = rows.parts[0].path, rows.parts[0].dataset
    applied = _applied(path, name)
    if applied is not None:
        if mean is not None and not (np.array_equal(mean, applied[0]) and np.array_equal(std, applied[1])):
            raise DataError(
                f"{path} is normalised already, with another mean and std. Write the data anew, with make_hdf5, and "
                "normalise that."
            )
        return applied
    if mean is None:
        mean, std = _moments(rows, batch)
    _apply(rows, path, name, mean, std, batch or block_rows(0, rows.n_columns))
    return mean, std


def _vector(name, values, n_columns):
    vector = np.array(values, np.float64)
    if vector.shape != (n_columns,) or not np.isfinite(vector).all() or (name == "std" and (vector < 0).any()):
        raise DataError(
            f"{name} must hold a finite number for each of the {n_columns} columns{' (>= 0)' * (name == 'std')}; got "
            f"shape {vector.shape}."
        )
    return vector


def _applied(path, name):
    """Mean and std that the file is normalised with; None if it is not."""
    with h5py.File(path, "r") as file:
        attributes = file[name].attrs
        if _APPLIED in attributes:
            return attributes["mean"][()], attributes["std"][()]
        # A new file of HP-ELM has a pickled None, as bytes, for both.
        if any(key in attributes and np.any(attributes[key] != np.bytes_(b"N.")) for key in ("mean", "std")):
            raise DataError(
                f"{path} has a mean and a std from HP-ELM, which stored them with or without applying them, so it is "
                "unknown whether its rows are normalised. Write the data anew, with make_hdf5, and normalise that."
            )
    return None


def _moments(rows, batch):
    # The first row is subtracted, as in the scale of a layer, so that columns such as epoch seconds keep their digits.
    first = rows.read(0, 1)[0].astype(np.float64)
    X = from_hdf5(rows, chunks=batch or "auto") - first
    mean, std = dask.compute(X.mean(axis=0), X.std(axis=0))
    constant = std <= 10 * np.finfo(np.float64).eps * (np.abs(first) + np.abs(mean))
    return first + mean, np.where(constant, 1.0, std)


def _apply(rows: FileRows, path, name, mean, std, step):
    with changing_hdf5(path) as (file, check):
        dataset = file[name]
        for start in range(0, rows.n_rows, step):
            block = dataset[start : start + step]
            check_finite(block, os.fspath(path), start)
            dataset[start : start + step] = (block.astype(np.float64) - mean) / std
            check()
        dataset.attrs["mean"], dataset.attrs["std"], dataset.attrs[_APPLIED] = mean, std, True
