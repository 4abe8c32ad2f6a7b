"""Cost of many processes that add to one sums file: lock, read, add, write, sync and rename.

Eight processes at once add their ranges of rows, first each to a file of its own, and then all to one file. Both runs
do the same work with the same number of processes. The difference is the cost of waiting for the lock and of reading
what other processes added. Prints a Markdown table; the exit status is 1 if the median cost is above 20 %.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import dataclass

# This comes before NumPy is imported. Each process has one thread, since a fork does not copy other threads.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import dask  # noqa: E402
import numpy as np  # noqa: E402

from daskelm import ELMRegressor, NormalEquations, load, make_hdf5  # noqa: E402

MAX_COST = 0.20
N_PROCESSES = 8


@dataclass(frozen=True)
class Size:
    """Rows of a range, ranges of a process, neurons, and number of repeats."""

    n_rows: int
    n_ranges: int
    n_neurons: int
    n_repeats: int


FULL = Size(20_000, 3, 500, 5)
QUICK = Size(200, 2, 20, 1)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rows, to check that the script runs")
    quick = parser.parse_args(argv).quick
    size = QUICK if quick else FULL
    print(f"{N_PROCESSES} processes, {size.n_ranges} ranges of {size.n_rows:,} rows each, {size.n_neurons} neurons\n")
    print("| run | a file each, s | one file, s | cost |")
    print("|---:|---:|---:|---:|")
    costs = []
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            make_files(size)
            for run in range(size.n_repeats):
                own = timed([(i, f"own-{run}-{i}.h5") for i in range(N_PROCESSES)], size)
                one = timed([(i, f"one-{run}.h5") for i in range(N_PROCESSES)], size)
                counted = NormalEquations.load(f"one-{run}.h5").n_samples
                if counted != N_PROCESSES * size.n_ranges * size.n_rows:
                    raise RuntimeError(f"{counted} rows are counted")
                costs.append(one / own - 1)
                print(f"| {run + 1} | {own:.2f} | {one:.2f} | {costs[-1]:+.1%} |")
        finally:
            os.chdir(before)
    cost = statistics.median(costs)
    print(f"\nmedian cost {cost:+.1%} (at most {MAX_COST:.0%} wanted)")
    return 0 if quick or cost <= MAX_COST else 1


def make_files(size: Size) -> None:
    """Write predictors, targets, and a model with neurons."""
    n_rows = N_PROCESSES * size.n_ranges * size.n_rows
    X = np.random.default_rng(0).standard_normal((n_rows, 10))
    make_hdf5(X, "X.h5")
    make_hdf5(np.sin(X[:, :2]), "T.h5")
    ELMRegressor(size.n_neurons, random_state=0).initialize("X.h5").save("model.h5")


def timed(shares, size: Size) -> float:
    """Seconds until processes for these (number, sums file) are all done."""
    begin = time.perf_counter()
    pids = [start(i, into, size) for i, into in shares]
    statuses = [os.waitpid(pid, 0)[1] for pid in pids]
    if any(statuses):
        raise RuntimeError(f"a process failed: {statuses}")
    return time.perf_counter() - begin


def start(i: int, into: str, size: Size) -> int:
    """Start a process that adds its ranges, and return its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        dask.config.set(scheduler="sync")
        model = load("model.h5")
        for k in range(size.n_ranges):
            first = (i * size.n_ranges + k) * size.n_rows
            model.accumulate("X.h5", "T.h5", rows=slice(first, first + size.n_rows), into=into)
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    raise SystemExit(main())
