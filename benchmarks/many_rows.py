"""A fit of 10^8 rows of 20 inputs, generated, written to HDF5 as float32, and streamed by two workers of 1 GiB each.

Needs 8 GB of disk for X and 0.4 GB for y. The time is compared with the processor's limit: the operations of the
products, 2 rows L (L + 1) / 2 and more for X W and HT, at the rate at which NumPy multiplies matrices here, with one
thread in each of two processes at once. Prints where the time goes in a fit of the first million rows in one thread.
The files are removed unless --keep is given.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import dask
import dask.array as da
import numpy as np
from dask.distributed import Client, LocalCluster
from speed import machine
from threadpoolctl import threadpool_limits
from worker_memory import peak_resident

from daskelm import ELMRegressor, from_hdf5, to_hdf5

D, CHUNK, NOISE = 20, 200_000, 0.3
LIMIT = "1GiB"


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10**8, help="number of rows (default: %(default)s)")
    parser.add_argument("--neurons", type=int, default=200, help="tanh neurons (default: %(default)s)")
    parser.add_argument("--folder", type=Path, required=True, help="folder for the files, with 8.5 GB of space")
    parser.add_argument("--keep", action="store_true", help="keep the files")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    parser.add_argument("--quick", action="store_true", help="200,000 rows, 50 neurons")
    options = parser.parse_args(argv)
    if options.quick:
        options.rows, options.neurons = 200_000, 50
    X, y = (str(options.folder / f"many_{name}.h5") for name in ("X", "y"))
    rate = matrix_rate()
    try:
        with (
            LocalCluster(
                n_workers=2, threads_per_worker=1, memory_limit=LIMIT, host="127.0.0.1", dashboard_address=None
            ) as cluster,
            Client(cluster) as client,
        ):
            write(options.rows, X, y)
            begin = time.perf_counter()
            model = ELMRegressor(options.neurons, random_state=0).fit(X, y)
            seconds = time.perf_counter() - begin
            memory = max(client.run(peak_resident).values())
        r2 = model.score(*(from_hdf5(path, rows=slice(0, 100_000)).compute() for path in (X, y)))
        parts = profile(options.neurons, X, y)
    finally:
        if not options.keep:
            for path in (X, y):
                Path(path).unlink(missing_ok=True)
    limit = options.rows * operations(options.neurons) / (2 * rate)
    print(f"{options.rows:,} rows of {D} inputs, {options.neurons} neurons: {seconds:.1f} s, R2 {r2:.4f}")
    print(f"{options.rows / seconds:,.0f} rows/s; {seconds / limit:.2f} times the limit of {limit:.1f} s")
    print(f"a worker's memory: at most {memory / 2**20:.0f} MiB\n")
    print("| in one thread, microseconds per row | |\n|---|---:|")
    for name, value in parts.items():
        print(f"| {name} | {1e6 * value:.3f} |")
    if options.json:
        figures = {"rows": options.rows, "neurons": options.neurons, "seconds": seconds, "limit": limit, "r2": r2}
        Path(options.json).write_text(json.dumps(machine() | figures | {"memory": memory, "parts": parts}, indent=1))
    return 0


def write(n_rows, X_path, y_path):
    """Write X and y, made by the workers."""
    chunks = tuple(min(CHUNK, n_rows - start) for start in range(0, n_rows, CHUNK))
    numbers = da.from_array(np.arange(len(chunks)), chunks=1)
    X = numbers.map_blocks(inputs, chunks=(chunks, (D,)), new_axis=1, dtype=np.float32, rows=chunks)
    to_hdf5(X, X_path)
    rows = from_hdf5(X_path, chunks=CHUNK)
    to_hdf5(rows.map_blocks(targets, chunks=(rows.chunks[0], (1,)), dtype=np.float32), y_path)


def inputs(number, rows):
    """Inputs (rows, 20) float32 of one chunk, uniform from -1 to 1."""
    stream = np.random.default_rng([0, int(number[0])])
    return 2 * stream.random((rows[int(number[0])], D), dtype=np.float32) - 1


def targets(X):
    """Targets (rows, 1) float32 of inputs, with noise that follows from their bits."""
    a, b, c, d, e, f = X[:, :6].T
    noise = np.random.default_rng(X[:1].view(np.uint32).ravel()).standard_normal(len(X), np.float32)
    return (np.sin(2 * a) * b + c**2 + np.tanh(3 * d) * e + f + NOISE * noise)[:, None].astype(np.float32)


def operations(L) -> float:
    """Floating-point operations of a row: half of H'H, H'T, and X W."""
    return L * (L + 1) + 2 * L + 2 * D * L


def matrix_rate() -> float:
    """Operations per second of one thread in matrix products, while another process does the same."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        return min(pool.map(_rate, range(2)))


def _rate(_):
    A = np.random.default_rng(0).standard_normal((4000, 200))
    with threadpool_limits(1, user_api="blas"):
        times = []
        for _ in range(50):
            begin = time.perf_counter()
            A[:, :100].T @ A
            times.append(time.perf_counter() - begin)
    return 2 * 4000 * 200 * 100 / statistics.median(times)


# Parts of a fit: the function whose time counts, without that of functions it calls, or with them.
PARTS = {
    "reading from HDF5": ("dataset.py", "read_direct", True),
    "scaling and clipping": ("layer.py", "__call__", False),
    "XW": ("neurons.py", "_project", False),
    "tanh": ("neurons.py", "__call__", False),
    "widening H to double": ("layer.py", "_fill", False),
    "H less the reference row": ("blas.py", "subtract_row", False),
    "H'H and H'T": ("blas.py", "add_gram", False),
    "folds by content": ("accumulator.py", "_divide", True),
    "digests of rows": ("row_notes.py", "add", True),
}


def profile(n_neurons, X_path, y_path) -> dict:
    """Seconds per row of the parts of a fit to a million rows in one thread, measured within the fit."""
    n_rows = min(from_hdf5(X_path).shape[0], 1_000_000)
    X, y = (from_hdf5(path, rows=slice(0, n_rows)) for path in (X_path, y_path))
    profiler = cProfile.Profile()
    with dask.config.set(scheduler="synchronous", num_workers=1), threadpool_limits(1, user_api="blas"):
        ELMRegressor(n_neurons, random_state=0).fit(X, y)
        profiler.enable()
        ELMRegressor(n_neurons, random_state=0).fit(X, y)
        profiler.disable()
    stats = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    found = {
        name: sum(
            (cumulative if whole else own) / n_rows
            for (path, _, called), (_, _, own, cumulative, _) in stats.items()
            if called == function and Path(path).name == file
        )
        for name, (file, function, whole) in PARTS.items()
    }
    total = sum(own for _, _, own, _, _ in stats.values()) / n_rows
    return found | {"all else": total - sum(found.values()), "all": total}


if __name__ == "__main__":
    raise SystemExit(main())
