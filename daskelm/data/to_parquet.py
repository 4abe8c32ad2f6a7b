"""Results of daskelm as Parquet files, in bounded memory, atomically."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..parquet.target import new_parquet
from ..progress import RowProgress
from .blocks import computed_blocks, row_blocks
from .source import is_dask_array

__all__ = ["stream_parquet"]


def stream_parquet(
    array, path, names: Sequence[str], *, overwrite: bool = False, verbose: int | bool = 0, label: str = "to_parquet"
) -> str:
    """Write an array, or stream a dask array, of shape (n_samples,) or (n_samples, n_columns) to one Parquet file.

    Parameters
    ----------
    array : ndarray or dask array
        Numbers or texts that daskelm made, so that the chunks of a dask array are not checked.
    path : str or path-like
        File to write. An existing file is replaced once the new one is complete: without `overwrite` only an empty
        file, or one that this function wrote.
    names : sequence of str
        Names of the columns.
    overwrite : bool, default=False
        Whether to replace any regular file.
    verbose : int or bool, default=0
        Whether to show progress.
    label : str, default="to_parquet"
        Name of the work in the progress.

    Returns
    -------
    str
        The path.
    """
    blocks = computed_blocks(array) if is_dask_array(array) else row_blocks(array)
    progress = RowProgress(len(array), verbose, label)
    with new_parquet(path, names, array.dtype, overwrite=overwrite) as write:
        for block in blocks:
            write(block)
            progress.advance(len(block))
    return os.fspath(path)
