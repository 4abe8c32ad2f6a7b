"""Sparse tables as users have them, matrices of SciPy and files of libsvm, to HDF5."""

from __future__ import annotations

import os
from typing import Any

from ..progress import RowProgress
from ..sparse import as_block, is_sparse
from .blocks import row_blocks
from .libsvm import is_libsvm, libsvm_blocks
from .sparse_file import write_sparse
from .text import is_text_path

__all__ = ["is_sparse_table", "write_sparse_table"]


def is_sparse_table(data: Any) -> bool:
    """Whether data is a sparse matrix or array of SciPy, or a file of libsvm."""
    if not isinstance(data, str | os.PathLike):
        return is_sparse(data)
    # A table of text may have times: 5 12:30 is a line of libsvm too.
    return not is_text_path(data) and os.path.isfile(data) and is_libsvm(data)


def write_sparse_table(data: Any, path, dataset: str, verbose: int | bool, **written) -> str:
    """The path of a new HDF5 file with the table, and with its labels as `dataset`.target where it has some.

    `written` are options of `write_sparse`.
    """
    progress = RowProgress(None, verbose, "make_hdf5")
    if is_sparse(data):
        write_sparse(row_blocks(as_block(data)), path, dataset, progress, **written)
    else:
        targets: list = []
        blocks = libsvm_blocks(data, targets)
        write_sparse(blocks, path, dataset, progress, n_columns=0, targets=targets, **written)
    return os.fspath(path)
