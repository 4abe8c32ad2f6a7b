"""Sparse tables written to HDF5, block by block, in the form of AnnData's `csr_matrix`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..exceptions import DataError, InputTypeError
from ..hdf5.sparse_layout import SPARSE_ATTRIBUTES, TARGET
from ..hdf5.target import new_hdf5
from ..progress import RowProgress
from ..sparse import SparseRows
from .table_file import check_name, create_vector

__all__ = ["write_sparse"]


def write_sparse(
    blocks: Iterable[SparseRows],
    path,
    dataset: str,
    progress: RowProgress,
    *,
    dtype=None,
    compression=None,
    overwrite: bool = False,
    n_columns: int | None = None,
    targets: list | None = None,
) -> None:
    """Write blocks of sparse rows as one table, all of them or nothing.

    Parameters
    ----------
    blocks : iterable of SparseRows
        Rows in their order, each block with the same number of columns.
    path : str or path-like
        File to write.
    dataset : str
        Name of the group of the three vectors data, indices and indptr.
    progress : RowProgress
        Counts the rows.
    dtype, compression, overwrite : optional
        As of `make_hdf5`.
    n_columns : int, optional
        Number of columns, where the blocks have at most as many; that of the blocks if not given. 0 is one more than
        the largest column; where no number is in column 0 then, columns are counted from 1.
    targets : list, optional
        Targets (rows,) of each block, which the caller adds to before it gives the block; they become the vector
        `dataset`.target.
    """
    with new_hdf5(path, check_name(dataset), overwrite=overwrite) as (file, check):
        group = file.create_group(dataset)
        vectors: Any = None
        n_rows = n_kept = width = 0
        least, largest = np.iinfo(np.int64).max, -1
        for block in blocks:
            values, columns = block.kept
            if vectors is None:
                width, dtype = block.shape[1], np.dtype(dtype or values.dtype)
                kinds = {"data": dtype, "indices": np.int32 if width < 2**31 else np.int64, "indptr": np.int64}
                vectors = {name: create_vector(group, name, kind, compression) for name, kind in kinds.items()}
                _append(vectors["indptr"], np.zeros(1, np.int64))
            if len(columns):
                least, largest = min(least, int(columns.min())), max(largest, int(columns.max()))
            _append(vectors["data"], _cast(values, dtype, n_rows))
            _append(vectors["indices"], columns)
            _append(vectors["indptr"], n_kept + block.edges[1:] - block.edges[0])
            check()
            n_rows, n_kept = n_rows + len(block), n_kept + len(values)
            progress.advance(len(block))
        if vectors is None:
            raise DataError(f"data must have rows; got none to write to {path}.")
        if n_columns == 0:
            from_one = least >= 1 and largest >= 0
            if from_one:
                _subtract_one(vectors["indices"], check)
            width = largest + 1 - from_one
        elif n_columns is not None:
            width = n_columns
        for name, value in {**SPARSE_ATTRIBUTES, "shape": np.array([n_rows, width])}.items():
            group.attrs[name] = value
        if targets is not None:
            of_rows = np.concatenate(targets)
            _append(create_vector(file, dataset.strip("/") + TARGET, of_rows.dtype, compression), of_rows)
        check()


def _append(vector, numbers):
    start = len(vector)
    vector.resize(start + len(numbers), axis=0)
    vector[start:] = numbers


def _subtract_one(vector, check):
    step = 2**20
    for start in range(0, len(vector), step):
        vector[start : start + step] = vector[start : start + step] - 1
        check()


def _cast(values, dtype, first_row):
    if values.dtype.kind not in "fiub":
        raise InputTypeError(f"data must hold numbers; got a sparse table of {values.dtype}. Make numbers of them.")
    if dtype.kind == "f" or values.dtype == dtype:
        return values
    with np.errstate(invalid="ignore"):
        cast = values.astype(dtype)
    if (cast != values).any():
        value = values[int(np.argmax(cast != values))]
        raise DataError(
            f"dtype: {dtype} must hold all values unchanged; got {value} in the rows from {first_row} on. Use a wider "
            "dtype, or round and clip first."
        )
    return cast
