"""Arrays in memory and dask arrays as blocks of rows, one after the other, to be written."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import Any

import dask
import numpy as np
from threadpoolctl import threadpool_limits

from ..cluster.client import current_client, n_local_threads, n_threads_of
from ..cluster.errors import cluster_errors
from ..cluster.questions import check_answering
from ..sparse import row_width
from .source import is_dask_array

__all__ = ["BLOCK_BYTES", "computed_blocks", "row_blocks"]

# Bytes of a block of an array in memory that is written at once.
BLOCK_BYTES = 32 * 2**20


def row_blocks(array: Any) -> Iterator:
    """An array or sparse rows in memory as blocks of rows that are written at once; an empty array is one block."""
    step = max(BLOCK_BYTES // (8 * row_width(array)), 1)
    for start in range(0, max(len(array), 1), step):
        yield array[start : start + step]


def computed_blocks(array: Any) -> Iterator:
    """The chunks of a dask array or series in order, computed; no more than twice as many as threads are in flight."""
    client = current_client()
    # Optimising the whole array once fuses the tasks of each chunk; the graph of one chunk is then cut out of it.
    # For a series, `dask.optimize` gives the keys of other tasks.
    array = dask.optimize(array)[0] if is_dask_array(array) else array.optimize()
    blocks = iter(np.ravel(array.to_delayed(optimize_graph=False)))
    if client is None:
        n_threads = n_local_threads()
        # Each task has one thread of BLAS, as on a worker.
        with threadpool_limits(1 if n_threads > 1 and array.npartitions > 1 else None, user_api="blas"):
            while window := list(itertools.islice(blocks, 2 * n_threads)):
                yield from dask.compute(*window)
        return
    check_answering(client)
    width = 2 * n_threads_of(client) + 2
    flying: deque = deque()
    try:
        for block in blocks:
            with cluster_errors(client):
                flying.append(client.compute(block))
            if len(flying) >= width:
                yield _result(flying[0])
                flying.popleft()
        while flying:
            yield _result(flying[0])
            flying.popleft()
    finally:
        if client.status != "closed":
            client.cancel(list(flying))


def _result(future):
    with cluster_errors(future.client):
        return future.result()
