"""Rate of predictions from HDF5 to HDF5, beside the bare projection tanh(XW + b) B of NumPy in memory.

There are 200,000 rows of 100 float64, 1000 tanh neurons and three targets. NumPy works in blocks of 2,000 rows, with
all cores in each product. daskelm reads one file and writes another, on two worker processes of one thread that were
started beforehand, and in threads of this process. They take turns; the table has medians of the ratios of rates. The
goal is 60 % of NumPy's rate; with --strict the exit status is 1 if it is missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import dask
import h5py
import numpy as np
from dask.distributed import Client, LocalCluster

from daskelm import ELMRegressor, Neurons

GOAL = 0.6


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rows, to check that the script runs")
    parser.add_argument("--strict", action="store_true", help="fail if the goal is missed")
    options = parser.parse_args(argv)
    n_samples, n_features, n_neurons, n_turns = (2_000, 10, 50, 1) if options.quick else (200_000, 100, 1000, 5)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_samples, n_features))
    W, b = rng.standard_normal((n_features, n_neurons)) / np.sqrt(n_features), rng.standard_normal(n_neurons)
    model = ELMRegressor([Neurons("tanh", W, b)], alpha=1e-3, standardize=False)
    T = np.tanh(X[:2_000, :3])
    model.fit(X[:2_000], T)
    # Predictions keep to the range of the targets, and a tenth of it beyond.
    margin = 0.1 * (T.max(axis=0) - T.min(axis=0))
    least, most = T.min(axis=0) - margin, T.max(axis=0) + margin
    B, intercept = model.coef_.T, model.intercept_
    turns: dict[str, list[float]] = {"NumPy": [], "two workers": [], "no client": []}
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "X.h5", Path(folder) / "Y.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("data", data=X, chunks=(1_000, n_features))

        def timed(name, function):
            begin = time.perf_counter()
            found = function()
            turns[name].append(time.perf_counter() - begin)
            return found

        with (
            LocalCluster(
                n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
            ) as cluster,
            Client(cluster),
        ):
            for turn in range(n_turns + 1):
                Y = timed("NumPy", lambda: in_numpy(X, W, b, B) + intercept)
                timed("two workers", lambda: model.predict(path, out=out))
                check(out, np.clip(Y, least, most))
                with dask.config.set(scheduler="threads"):
                    timed("no client", lambda: model.predict(path, out=out))
                check(out, np.clip(Y, least, most))
                if not turn:
                    # The first turn loads files, workers and libraries, and is not counted.
                    for seconds in turns.values():
                        seconds.clear()
    print(f"{n_samples:,} x {n_features}, {n_neurons} neurons, {len(os.sched_getaffinity(0))} cores\n")
    print("| | seconds | of NumPy's rate |")
    print("|---|---:|---:|")
    missed = False
    for name, seconds in turns.items():
        rate = statistics.median(a / b for a, b in zip(turns["NumPy"], seconds, strict=True))
        missed |= rate < GOAL
        print(f"| {name} | {statistics.median(seconds):.2f} | {rate:.2f} |")
    return 1 if missed and options.strict else 0


def in_numpy(X, W, b, B):
    """The bare projection, without the intercept."""
    Y = np.empty((len(X), B.shape[1]))
    for start in range(0, len(X), 2_000):
        H = X[start : start + 2_000] @ W
        H += b
        Y[start : start + 2_000] = np.tanh(H, out=H) @ B
    return Y


def check(path, Y) -> None:
    """Raise an error if the file holds other predictions than Y."""
    with h5py.File(path) as file:
        if np.abs(file["data"][:] - Y).max() > 1e-8 * np.abs(Y).max():
            raise RuntimeError("the predictions differ")


if __name__ == "__main__":
    raise SystemExit(main())
