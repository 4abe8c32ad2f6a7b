"""Kinds of HDF5 datasets in words, with the remedy for those that are no tables of numbers."""

from __future__ import annotations

import math

import h5py

__all__ = ["described", "dtype_of", "is_numeric", "kind_in_words", "table_of", "to_numbers"]


def dtype_of(dataset: h5py.Dataset):
    """NumPy's dtype of a dataset; None for types that NumPy does not have, such as times or quad precision."""
    try:
        return dataset.dtype
    except (TypeError, ValueError):
        return None


def is_numeric(dataset: h5py.Dataset) -> bool:
    """Whether a dataset holds integers, floats or booleans."""
    return (dtype := dtype_of(dataset)) is not None and dtype.kind in "fiub"


def kind_in_words(dataset: h5py.Dataset) -> str:
    """The kind of the elements of a dataset: the dtype of numbers, words for all others."""
    return _kind(dataset)[0]


def to_numbers(dataset: h5py.Dataset) -> str:
    """The sentence that says what to do with a dataset that holds no numbers."""
    return _kind(dataset)[1]


def _kind(dataset):
    dtype = dtype_of(dataset)
    if dtype is None:
        of = dataset.id.get_type()
        what = "HDF5 times" if of.get_class() == h5py.h5t.TIME else f"floats of {8 * of.get_size()} bits"
        return f"a type that NumPy does not have ({what})", "Convert it to floats of 64 bits first."
    if h5py.check_string_dtype(dtype) is not None:
        return "text", "Only y of a classifier may be text; code columns of text as numbers first."
    if h5py.check_vlen_dtype(dtype) is not None:
        return "arrays of various lengths", "Write rows of one length, as a 2-D dataset."
    if (ref := h5py.check_ref_dtype(dtype)) is not None:
        what = "objects" if ref is h5py.Reference else "regions"
        return f"references to {what}", "Name the dataset that they lead to."
    if dtype.kind == "c":
        return f"complex numbers ({dtype})", "Write real and imaginary parts as columns of their own."
    if dtype.names is not None:
        return f"records of {', '.join(dtype.names)}", "Write the fields that are numbers as one table first."
    if dtype.subdtype is not None:
        return f"arrays of shape {dtype.shape} as elements", "Write them as rows of a 2-D dataset."
    if dtype.kind in "mM":
        return f"dates or times ({dtype})", "Write them as numbers, such as days since a date."
    if dtype.kind == "V":
        return "opaque bytes", "Write the numbers that they stand for."
    return str(dtype), "Write it as numbers."


def described(dataset: h5py.Dataset) -> str:
    """Shape and kind of a dataset, for messages and lists."""
    shape = "without elements" if dataset.shape is None else dataset.shape
    return f"{shape} {kind_in_words(dataset)}" if is_numeric(dataset) else f"{shape} of {kind_in_words(dataset)}"


def table_of(dataset: h5py.Dataset, path: str, is_url: bool = False) -> str:
    """The sentence that says how a dataset of no or more than two dimensions becomes a table.

    Its code has one row for each entry of the first dimension, and runs as it is.
    """
    shape, name = dataset.shape, dataset.name.strip("/")
    if not shape:
        return "Name a dataset that has rows."
    if is_url:
        return "Write one row for each sample first, where the file lies."
    values = f"dask.array.from_array(h5py.File({path!r})[{name!r}])"
    if "DIMENSION_LIST" in dataset.attrs or "_NCProperties" in dataset.file.attrs:
        group, _, variable = name.rpartition("/")
        inside = f", group={group!r}" if group else ""
        values = f"xarray.open_dataset({path!r}, chunks={{}}{inside})[{variable!r}].data"
    return (
        f"With one row for each of the {shape[0]} along the first dimension: "
        f"to_hdf5({values}.reshape({shape[0]}, {math.prod(shape[1:])}), 'table.h5')."
    )
