"""Facts that a process reports before a long job: its versions, its threads, and the data as it reads them.

Workers import this module by name, so that they report the daskelm installed there, not the one installed here.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import socket
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import h5py
import numpy as np
from dask.system import CPU_COUNT
from threadpoolctl import threadpool_info

from .. import blas  # noqa: F401  (Loads SciPy's BLAS, whose threads are counted here.)
from ..exceptions import DaskelmError
from ..hdf5.dataset import Part, sizes_of_parts
from ..hdf5.file_rows import FileRows
from ..hdf5.layout import intersection
from ..sparse import SparseRows

__all__ = ["code_digest", "facts_here", "samples_of"]

_PACKAGES = ("daskelm", "dask", "distributed", "numpy", "scipy", "scikit-learn", "h5py")
# If a table has more files than this, only so many of them are read.
_SAMPLED_FILES = 64
# Runs of rows that are read from each file, the first and the last among them: their number, and the rows and bytes of
# each at most.
_RUNS, _RUN_ROWS, _RUN_BYTES = 8, 32, 2**16
# A time of description that no file is newer than, so that a copy of any date passes.
_LATEST = 2**63
_PACKAGE = Path(__file__).parents[1]


def code_digest(package: Path) -> str:
    """Digest of the names and contents of all modules of a package, in all of its folders."""
    code = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        code.update(f"{path.relative_to(package).as_posix()}\0".encode() + path.read_bytes())
    return code.hexdigest()[:12]


def facts_here(parts: Sequence[Part], samples: Sequence[FileRows]) -> dict:
    """Plain facts about this process.

    Parameters
    ----------
    parts : sequence of Part
        Parts whose files' sizes are reported.
    samples : sequence of FileRows
        Whole tables, to read a few rows from.

    Returns
    -------
    dict
        "host"; "cores", the number that this process may use; "blas_threads"; "versions" by name; "sizes", the size of
        each file by name, or the reason why it cannot be seen; "samples", for each table the digest of the rows read,
        or the error of reading them.
    """
    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {
        "host": socket.gethostname(),
        "cores": CPU_COUNT,
        "blas_threads": max(pools, default=1),
        "versions": _versions(),
        "sizes": sizes_of_parts(parts),
        "samples": [_digest(rows) for rows in samples],
    }


def samples_of(sources: Sequence[FileRows]) -> list[FileRows]:
    """Tables to read a few rows from: each file of each source, or 64 of its files if it has more."""
    samples = []
    for source in sources:
        parts = [part for part, _, _ in source.ranges()]
        n = min(len(parts), _SAMPLED_FILES)
        chosen = [i * (len(parts) - 1) // max(n - 1, 1) for i in range(n)]
        samples += [source.of_part(parts[i]) for i in chosen]
    return samples


@cache
def _versions():
    found = {"Python": ".".join(map(str, sys.version_info[:2]))}
    found |= {name: importlib.metadata.version(name) for name in _PACKAGES}
    # Two checkouts may have the same version number.
    return found | {"HDF5": h5py.version.hdf5_version, "code of daskelm": code_digest(_PACKAGE)}


def _digest(rows):
    """Digest of some rows, read as tasks will read them: by path, through the filters of the file."""
    n = max(1, min(_RUN_ROWS, _RUN_BYTES // max(rows.row_bytes, 1), rows.n_rows))
    starts = sorted({i * (rows.n_rows - n) // (_RUNS - 1) for i in range(_RUNS)})
    # Rows that were never written are left out. A copy may have any date, since its rows are compared.
    (part,) = rows.parts
    starts = [start for start in starts if not intersection(part.holes, start, start + n)]
    rows = rows.of_part(part.described(_LATEST))
    content = hashlib.sha256()
    try:
        for block in rows.read_runs([(start, start + n) for start in starts]):
            parts = [*block.kept, np.diff(block.edges)] if isinstance(block, SparseRows) else [block]
            for part in parts:
                content.update(repr(part.tolist()).encode() if part.dtype == object else part.tobytes())
    except (OSError, DaskelmError) as error:
        return {"error": str(error)}
    return {"digest": content.hexdigest()}
