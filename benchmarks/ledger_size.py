"""Time and memory of calls on a sums file that counts rows of many tables.

The ledger is made up: each table has 8,192 counted rows in 14 cells, 20 anchors, a path, and a target, with random
digests. Each number of tables is measured in a process of its own. Prints a Markdown table, in seconds of processor
time, without waiting for the disk.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402

from daskelm import ELMRegressor, NormalEquations, make_hdf5  # noqa: E402
from daskelm.sums.counted_table import CountedTable  # noqa: E402
from daskelm.sums.ledger import Ledger  # noqa: E402
from daskelm.sums.row_cells import cells_between, joined_pieces  # noqa: E402

N_ROWS, CELL_ROWS, N_COLUMNS, N_NEURONS = 8192, 4096, 10, 50
ANCHORS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256, 512, 1024, 2048, 4096, 6144)


def table(rng: np.random.Generator, number: int) -> CountedTable:
    """A table whose rows are all counted, with random digests."""
    cells = [low for low, _, _ in cells_between(0, N_ROWS, CELL_ROWS)]
    x, t = (list(joined_pieces(rng.integers(0, 2**32, (len(cells), 8), np.uint32))) for _ in "xt")
    return CountedTable(
        ((0, N_ROWS),),
        N_COLUMNS,
        CELL_ROWS,
        dict(zip(ANCHORS, rng.integers(0, 2**63, len(ANCHORS)).tolist(), strict=True)),
        dict(zip(cells, zip(x, t, strict=True), strict=True)),
        paths=frozenset([f"/data/X-{number:05d}.h5:/data"]),
        targets=frozenset([f"/data/y-{number:05d}.h5:/data"]),
    )


def seconds(call: Callable[[], object]) -> float:
    """Processor time of a call."""
    begin = time.process_time()
    call()
    return time.process_time() - begin


def measure(n_tables: int) -> list[float]:
    """Size of the file in MiB, times of four calls, and the peak of memory in MiB."""
    os.fsync = lambda handle: None
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, N_COLUMNS))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_hdf5(X, "X.h5")
        make_hdf5(X[:, 0], "y.h5")
        model = ELMRegressor(N_NEURONS, random_state=0).initialize(X)
        sums = ELMRegressor(N_NEURONS, random_state=0).initialize(X).partial_fit(X, X[:, 0]).normal_equations_
        ledger = Ledger({f"{i:032x}": table(rng, i) for i in range(n_tables)})
        replace(sums, ledger=ledger, n_samples=n_tables * N_ROWS, folds=()).save("sums.h5")
        del ledger
        # The first call imports what it needs.
        model.accumulate("X.h5", "y.h5", into="small.h5")
        size = os.path.getsize("sums.h5") / 2**20
        times = [
            seconds(lambda: NormalEquations.load("sums.h5")),
            seconds(lambda: model.accumulate("X.h5", "y.h5", into="sums.h5")),
            seconds(lambda: model.accumulate("X.h5", "y.h5", into="sums.h5")),
        ]
        os.chdir("/")
    return [size, *times, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]


def main() -> None:
    """Measure ledgers of several sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, nargs="+", default=[1000, 5000, 20_000])
    parser.add_argument("--repeats", type=int, default=5, help="the median of so many processes is printed")
    options = parser.parse_args()
    print("| tables | file, MiB | load | add 100 rows | add none | memory, MiB |")
    print("|---:|---:|---:|---:|---:|---:|")
    context = multiprocessing.get_context("spawn")
    for n_tables in options.tables:
        runs = []
        for _ in range(options.repeats):
            with context.Pool(1) as pool:
                runs.append(pool.apply(measure, (n_tables,)))
        size, load, add, none, memory = np.median(runs, axis=0)
        print(f"| {n_tables:,} | {size:.1f} | {load:.2f} | {add:.2f} | {none:.2f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
