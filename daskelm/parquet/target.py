"""New Parquet files, which take their place when they are complete, and only that of a file that daskelm wrote."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..exceptions import DaskelmError, InputTypeError
from ..hdf5.atomic import check_replaceable, replacing, writing_to
from .files import format_of, need_pyarrow, opened

__all__ = ["check_parquet_replaceable", "is_parquet_name", "new_parquet"]

_ENDINGS = (".parquet", ".parq", ".pq")
# The key of the schema's metadata that holds the names of the columns, so that one that a user added shows.
_MARK = b"daskelm"
# A row group has at most so many rows or bytes. It is held in memory until it is written.
_GROUP_ROWS, _GROUP_BYTES = 2**20, 32 * 2**20


def is_parquet_name(path: str | os.PathLike) -> bool:
    """Whether the name of a file to write says that it is Parquet."""
    return os.fspath(path).lower().endswith(_ENDINGS)


def check_parquet_replaceable(path: str | os.PathLike, overwrite: bool = False) -> None:
    """Refuse to replace a file that daskelm did not write as Parquet; rules and errors of `check_replaceable`."""
    check_replaceable(path, "Parquet", overwrite, foreign=_foreign)


def _foreign(path):
    """The contents of a file that daskelm did not write as Parquet, in words; None if it did."""
    path = os.fspath(path)
    if format_of(path) != "Parquet":
        return "is no Parquet file, and not written by daskelm"
    try:
        with opened(path) as file:
            names, mark = file.schema.names, (file.schema.metadata or {}).get(_MARK)
    except DaskelmError as error:
        return f"cannot be read ({error})"
    if mark is not None and mark.decode() == _marked(names):
        return None
    listed = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if names[6:] else "")
    return f"holds the columns {listed}, not written by daskelm"


def _marked(names):
    return json.dumps(list(names))


@contextlib.contextmanager
def new_parquet(
    path: str | os.PathLike, names: Sequence[str], dtype: np.dtype, *, overwrite: bool = False
) -> Iterator[Callable[[np.ndarray], None]]:
    """A new Parquet file of these columns, as a function that takes blocks of rows (n, n_columns) of this dtype.

    The file takes the place of `path` when the `with` block ends without error. Blocks are gathered to row groups of at
    most 32 MiB or a million rows, beyond which one block alone may go.

    Raises
    ------
    InputTypeError
        A dtype that Parquet has no type for.
    """
    pyarrow = need_pyarrow(os.fspath(path))
    from pyarrow import parquet

    kind = _arrow_type(pyarrow, dtype)
    schema = pyarrow.schema([(name, kind) for name in names], metadata={_MARK: _marked(names)})
    with replacing(path, "Parquet", overwrite=overwrite, foreign=_foreign) as beside:
        # A file of Python's has errors with a number, from which `replacing` knows that a disk is full.
        sink = open(beside, "wb")  # noqa: SIM115  (Closing it may fail, and is part of the work.)
        writer = parquet.ParquetWriter(sink, schema)
        waiting: list[np.ndarray] = []

        def flush():
            if waiting:
                rows = np.concatenate(waiting)
                waiting.clear()
                columns = [pyarrow.array(rows[:, j], kind) for j in range(len(names))]
                writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema), max(len(rows), 1))

        def write(block):
            block = block.reshape(len(block), len(names))
            held = sum(map(len, waiting)) + len(block)
            with writing_to(beside):
                if held > _GROUP_ROWS or held * block[:1].nbytes > _GROUP_BYTES:
                    flush()
            waiting.append(block)

        try:
            yield write
            with writing_to(beside):
                flush()
                writer.close()
                sink.close()
        except BaseException:
            # Otherwise it would be closed later, when the file is gone.
            writer.is_open = False
            with contextlib.suppress(OSError):
                sink.close()
            raise


def _arrow_type(pyarrow, dtype):
    if dtype.kind in "UO":
        return pyarrow.string()
    try:
        return pyarrow.from_numpy_dtype(dtype)
    except (pyarrow.ArrowException, NotImplementedError):
        raise InputTypeError(
            f"out: Parquet files must hold numbers, times or texts; got labels of type {dtype}. Code the labels as "
            "numbers or texts before fit."
        ) from None
