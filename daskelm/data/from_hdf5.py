"""Rows of HDF5 files as lazy dask arrays that keep their files' names, and the check that all workers see the files."""

from __future__ import annotations

from collections.abc import Sequence

import dask
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.utils import parse_bytes

from ..cluster.questions import ask_workers, check_answering
from ..exceptions import FileMissingError, InputTypeError, ParameterError
from ..hdf5.columns import have_levels
from ..hdf5.dataset import sizes_of_parts
from ..hdf5.file_rows import FileRows, some
from ..hdf5.paths import is_url
from ..hdf5.rows import open_rows
from ..lazy import da

__all__ = ["check_uncoded", "check_visible", "from_hdf5", "lazy_rows", "rows_behind"]


# A word in the names of arrays in which some columns are codes of categories.
_CODES = "codes"


class _FileLayer(MaterializedLayer):
    """Graph layer of an array from `lazy_rows`, with the rows of files that it reads."""

    def __init__(self, mapping, source):
        super().__init__(mapping)
        self.source = source


def from_hdf5(
    path,
    dataset: str | None = None,
    rows: slice | None = None,
    chunks: int | str = "auto",
    columns=None,
    transpose: bool = False,
) -> da.Array:
    """Open HDF5 data as a lazy dask array of row chunks, which are read by path inside the tasks.

    Parameters
    ----------
    path : str, path-like, list of these, or h5py.Dataset
        One file, several in the order of their rows, a glob (in the natural order of names: part2 before part10), or
        an open dataset, which is opened again by its file and name. Workers must see the files at the same path. URLs
        of fsspec, such as ``"s3://bucket/part*.h5"``, are read in byte ranges.
    dataset : str, optional
        Name of the dataset: 2-D, 1-D, or records whose fields are numbers; with names of columns also that of a group
        whose 1-D datasets are the columns. Not needed where each file holds exactly one 2-D numeric dataset, or a 1-D
        one that is its only numeric dataset, or where names of columns are found in one dataset only.
    rows : slice, optional
        Consecutive rows of the concatenation of the files.
    chunks : int or "auto", default="auto"
        Rows per chunk, rounded to whole chunks of the file; -1 for all rows of a file; "auto" for about the bytes of
        Dask's setting ``array.chunk-size``.
    columns : list of str or int, or one of these, optional
        Which columns, in this order; only these are read. Names are those that `make_hdf5` wrote, of fields of records,
        or of 1-D datasets of the same length, such as ``["events/energy", "events/time"]``. Positions count from 0.
        One alone, not in a list, gives a vector.
    transpose : bool, default=False
        Whether the dataset is (n_features, n_samples), as programs that store columns first write it: MATLAB, R,
        Octave, Julia, Fortran. It is turned in the tasks, in bounded memory.

    Returns
    -------
    dask array of shape (n_samples, n_features) or (n_samples,)
        The rows, with the dtype of the file. No chunk crosses two files. Variables of
        netCDF are unpacked, with the dtype that xarray gives, and their missing values are NaN.

    Raises
    ------
    FileMissingError
        No such file here, or no source of a virtual dataset, or no external raw file.
    FileAccessError
        The server of a URL cannot be reached, or gives no permission.
    MissingExtraError
        A URL needs a package that is not installed, such as s3fs.
    FileFormatError
        It is not HDF5, is truncated, or needs a filter that is not installed; a source of a virtual dataset or an
        external raw file is not whole. When rows are read: they were never written, or a file changed since.
    DatasetNotFoundError
        No dataset or column of that name; none of numbers, or several to choose from.
    DataError
        Rows past the end, more than two dimensions, or files with different columns.
    InputTypeError
        The dataset or a chosen column holds something else than numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from daskelm import from_hdf5, make_hdf5
    >>> path = make_hdf5(np.arange(12.0).reshape(6, 2), "numbers.h5")
    >>> X = from_hdf5(path, rows=slice(2, 6), chunks=2)
    >>> X.shape, float(X.sum().compute())
    ((4, 2), 60.0)
    >>> from_hdf5(path, columns=1).compute()
    array([ 1.,  3.,  5.,  7.,  9., 11.])
    """
    return lazy_rows(open_rows(path, dataset, rows, columns, transpose), "from-hdf5", chunks)


def lazy_rows(source: FileRows, label: str, chunks: int | str = "auto") -> da.Array:
    """Rows of files as a dask array that keeps them; `label` begins the names of its tasks."""
    row_bytes = source.row_bytes
    if chunks == "auto":
        step = max(parse_bytes(dask.config.get("array.chunk-size")) // max(row_bytes, 1), 1)
    elif isinstance(chunks, int | np.integer) and not isinstance(chunks, bool) and (chunks > 0 or chunks == -1):
        step = int(chunks) if chunks > 0 else max(source.n_rows, 1)
    else:
        raise ParameterError(f"chunks must be 'auto', a number of rows, or -1; got {chunks!r}.")
    tallest = max((part.chunk_rows for part, _, _ in source.ranges()), default=1)
    bounds = source.block_bounds(max(step, tallest)) or [(0, 0)]
    # A persisted array keeps its name alone, by which codes are still known.
    label = f"{label}-{_CODES}" if have_levels(source.columns) else label
    name = f"{label}-{tokenize(source, bounds)}"
    tail, numbers = (0,) * (source.ndim - 1), source.without_names()
    read = _read_sparse if source.is_sparse else FileRows.read
    graph = {(name, i, *tail): (read, numbers.between(a, b), 0, b - a) for i, (a, b) in enumerate(bounds)}
    row_chunks = tuple(b - a for a, b in bounds)
    sizes = (row_chunks, (source.n_columns,)) if source.ndim == 2 else (row_chunks,)
    layers = HighLevelGraph({name: _FileLayer(graph, source)}, {name: set()})
    if source.is_sparse:
        from scipy.sparse import csr_array

        return da.Array(layers, name, chunks=sizes, meta=csr_array((0, 0), dtype=source.dtype))
    return da.Array(layers, name, chunks=sizes, dtype=source.dtype)


def _read_sparse(source, start, stop):
    return source.read(start, stop).matrix


def rows_behind(array: da.Array) -> FileRows | None:
    """The rows of files behind an array that `lazy_rows` made and nothing changed; None for any other array."""
    layers = getattr(array.dask, "layers", {})
    return getattr(layers.get(array.name), "source", None)


def check_uncoded(array: da.Array, name: str) -> None:
    """Refuse an array that is made of rows of files, but is not these, if some columns are codes of categories."""
    if any(
        (isinstance(layer, _FileLayer) and have_levels(layer.source.columns)) or f"-{_CODES}-" in key
        for key, layer in getattr(array.dask, "layers", {}).items()
    ):
        raise InputTypeError(
            f"{name}: rows of a file with columns of categories hold codes, whose levels an array that was made of "
            "them does not have. Choose rows and columns of the file: from_hdf5(path, rows=slice(0, 1000), "
            "columns=[...])."
        )


def check_visible(sources: Sequence[FileRows], client, ranges: Sequence[tuple[int, int]] | None = None) -> None:
    """Refuse, before any work, rows that were never written, and files that some worker does not see as they are here.

    Sources of virtual datasets and external raw files are checked too.

    Parameters
    ----------
    sources : sequence of FileRows
        The rows of files that tasks will read.
    client : distributed.Client or None
        The cluster; None where files are read in this process, which has opened them already.
    ranges : sequence of (start, stop), optional
        Rows that are read of each source; all rows if not given.

    Raises
    ------
    FileFormatError
        Rows that were never written.
    FileMissingError
        A worker does not see a file, or sees another one; the message names both.
    ClusterError
        No worker answers.
    MissingOnWorkerError
        A worker has no daskelm.

    Warns
    -----
    ClusterWarning
        Some workers do not answer.
    """
    for source in sources:
        source.check_written(ranges)
    parts = list(dict.fromkeys(part for source in sources for part, _, _ in source.ranges()))
    if client is None:
        return
    if not parts:
        check_answering(client)
        return
    sizes = sizes_of_parts([one for part in parts for one in part.each() if one.sources]) | {
        one.path: one.size for part in parts for one in part.each()
    }
    blind: dict[str, list[str]] = {}
    found: dict[str, str] = {}
    answers = ask_workers(client, sizes_of_parts, parts)
    answers.check()
    for worker, seen in answers.values.items():
        for path, size in sizes.items():
            got = seen.get(path, "no file")
            if got != size:
                blind.setdefault(worker, []).append(path)
                found.setdefault(path, got if isinstance(got, str) else f"{got:,} bytes.")
    if not blind:
        return
    files, workers = sorted(found), some(sorted(blind))
    if urls := [path for path in files if is_url(path)]:
        raise FileMissingError(
            f"{some(urls)} must be visible on every worker at this URL, with the same size; got this on worker(s) "
            f"{workers}: {found[urls[0]]} Give all workers the same packages, credentials and settings of fsspec."
        )
    raise FileMissingError(
        f"{some(files)} must be visible on every worker at this path, with the same size; got a missing or different "
        f"file on worker(s) {workers}. Put the data in a folder that all machines share."
    )
