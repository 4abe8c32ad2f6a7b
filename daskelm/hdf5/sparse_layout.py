"""Sparse tables in HDF5 files, as AnnData, 10x and MATLAB write them: how they lie in a group of three datasets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import h5py
import numpy as np

from ..exceptions import FileFormatError

__all__ = ["SPARSE_ATTRIBUTES", "TARGET", "SparseLayout", "inside", "layout_of", "readable_layouts", "sparse_groups"]

# Attributes of a group by which AnnData marks a table that is stored row by row, and all that it writes there.
SPARSE_ATTRIBUTES = {"encoding-type": "csr_matrix", "encoding-version": "0.1.0"}
# Targets of a sparse table lie beside its group, under its name with this ending.
TARGET = ".target"
# Groups are looked for to this depth: X, layers/counts, raw/X, matrix.
_DEPTH = 2


class SparseLayout(NamedTuple):
    """Names of the datasets of the numbers, of their columns and of the edges of rows, and the shape of the table."""

    values: str
    columns: str
    edges: str
    shape: tuple[int, int]


def sparse_groups(file: h5py.File) -> list[str]:
    """Names of the groups of an open file that hold sparse tables, near its root."""
    return list(_groups_in(file, "", _DEPTH))


def readable_layouts(file: h5py.File, path: str) -> dict[str, SparseLayout]:
    """How the sparse tables of an open file lie, by the names of their groups, but for those that cannot be read."""
    found = {}
    for name in sparse_groups(file):
        with contextlib.suppress(FileFormatError):
            if (layout := layout_of(file[name], path)) is not None:
                found[name] = layout
    return found


def inside(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """The object of a name that lies in the file itself; None where a link of another kind is on the way.

    Such links may lead to pipes, which HDF5 would wait for.
    """
    item: Any = group
    for step in [step for step in name.split("/") if step]:
        try:
            link = item.get(step, getlink=True) if isinstance(item, h5py.Group) else None
        except TypeError:
            # A link that another program defined.
            return None
        if not isinstance(link, h5py.HardLink):
            return None
        item = item.get(step)
    return item


def _groups_in(group, path, depth) -> Iterator[str]:
    for name in group:
        item = inside(group, name)
        if not isinstance(item, h5py.Group):
            continue
        if _kind(item) is not None:
            yield f"{path}{name}"
        elif depth > 1:
            yield from _groups_in(item, f"{path}{name}/", depth - 1)


def _kind(group) -> str | None:
    """The form of a sparse table in a group, by its attributes and names; None for any other group."""
    encoding = group.attrs.get("encoding-type", group.attrs.get("h5sparse_format"))
    if isinstance(encoding, bytes):
        encoding = encoding.decode()
    if encoding in ("csr_matrix", "csr"):
        return "csr"
    if encoding in ("csc_matrix", "csc"):
        return "csc"
    if "MATLAB_sparse" in group.attrs:
        return "MATLAB"
    names = {"data", "indices", "indptr", "shape"}
    return "10x" if names <= set(group) and "encoding-type" not in group.attrs else None


def layout_of(group: h5py.Group, path: str) -> SparseLayout | None:
    """How a sparse table lies in a group; None for a group of another kind.

    Raises
    ------
    FileFormatError
        It is stored column by column, its datasets are not there or do not fit, or are stored elsewhere.
    """
    kind, where = _kind(group), f"{path}:{group.name}"
    if kind is None:
        return None
    names = ("data", "ir", "jc") if kind == "MATLAB" else ("data", "indices", "indptr")
    found = [group.get(name) for name in names]
    if not all(isinstance(item, h5py.Dataset) and item.ndim == 1 for item in found):
        raise FileFormatError(
            f"{where} must hold the vectors {', '.join(names)} of a sparse table; got {sorted(group)[:6]}."
        )
    values, columns, edges = found
    if kind == "csc":
        raise FileFormatError(
            f"{where} is stored column by column, and rows are read one after the other; got a csc_matrix. Write it by "
            "rows: make_hdf5(anndata.read_h5ad(path).X.tocsr(), new_path), or scipy.sparse.csc_array of its vectors."
        )
    shape = _shape(group, kind, edges)
    if any(item.is_virtual or item.external or item.file != group.file for item in found):
        raise FileFormatError(f"{where} must lie in its own file; got virtual or external datasets. Copy it into one.")
    wrong = values.dtype.kind not in "fiub" or any(item.dtype.kind not in "iu" for item in (columns, edges))
    if wrong or len(values) != len(columns) or shape is None or len(edges) != shape[0] + 1:
        got = f"{len(values)} numbers of {values.dtype}, {len(columns)} columns, {len(edges)} edges, shape {shape}"
        raise FileFormatError(f"{where} must have a column for each number, and an edge more than rows; got {got}.")
    return SparseLayout(values.name, columns.name, edges.name, shape)


def _shape(group, kind, edges) -> tuple[int, int] | None:
    """(n_rows, n_columns): what MATLAB and 10x store column by column is read on its side, as all of their tables."""
    if kind == "MATLAB":
        return len(edges) - 1, int(group.attrs["MATLAB_sparse"])
    given = group.attrs.get("shape", group.attrs.get("h5sparse_shape"))
    if kind == "10x":
        given = group["shape"][()][::-1]
    if given is None or np.shape(given) != (2,):
        return None
    return int(given[0]), int(given[1])
