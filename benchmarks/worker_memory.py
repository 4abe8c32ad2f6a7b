"""Peak memory of Dask workers while an estimator is fitted from an HDF5 file that is larger than their memory.

The script fits N rows and then 4 N rows, each on a fresh cluster of two worker processes. It reads the peak resident
size that the system recorded for each worker (VmHWM, Linux). It does the same with 4,000 neurons on one worker. There
it subtracts what the worker held before and one block of H and X, and counts the rest in packed triangles of HH. Prints
Markdown tables; the exit status is 1 if four times the rows need more than 1.15 times the memory, or a worker needs
more than 4.5 triangles and a block.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import dask.array as da
import numpy as np
from dask.distributed import Client, LocalCluster

from daskelm import ELMRegressor, Neurons, from_hdf5, to_hdf5
from daskelm.passes.memory import block_rows

MAX_RATIO = 1.15
MAX_TRIANGLES = 4.5
N_FEATURES = 40
MIB = 2**20


@dataclass(frozen=True)
class Size:
    """Rows of the smaller run, memory limit of a worker in bytes, rows and neurons of the run with a wide layer."""

    n_rows: int
    limit: int
    n_wide_rows: int
    n_neurons: int


# 4 N rows are 1.5 GiB, twice what one worker may use.
FULL = Size(3 * 2**29 // (8 * N_FEATURES) // 4, 768 * MIB, 64_000, 4000)
QUICK = Size(50_000, 768 * MIB, 2_000, 300)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small file, to check that the script runs")
    size = QUICK if parser.parse_args(argv).quick else FULL
    print("| rows | MiB read | limit per worker, MiB | MiB before | peak per worker, MiB | fit, s |")
    print("|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        X, y = make_files(Path(folder), 4 * size.n_rows)
        peaks = [peak_memory(X, y, n_rows, size.limit) for n_rows in (size.n_rows, 4 * size.n_rows)]
    ratio = peaks[1] / peaks[0]
    print(f"\nFour times the rows: {ratio:.3f} times the peak memory (at most {MAX_RATIO} wanted)")
    print("\n| neurons | rows | MiB of a triangle | beyond before and a block, triangles | fit, s |")
    print("|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        X, y = make_files(Path(folder), 4 * size.n_wide_rows)
        wide = [wide_memory(X, y, n_rows, size.n_neurons) for n_rows in (size.n_wide_rows, 4 * size.n_wide_rows)]
    print(f"\nAt most {max(wide):.2f} triangles (at most {MAX_TRIANGLES} wanted)")
    return 0 if ratio <= MAX_RATIO and (size is QUICK or max(wide) <= MAX_TRIANGLES) else 1


def make_files(folder: Path, n_rows: int) -> tuple[str, str]:
    """Random predictors and a smooth function of them with noise, streamed to two files."""
    X = da.random.default_rng(0).standard_normal((n_rows, N_FEATURES), chunks=(50_000, N_FEATURES))
    paths = str(folder / "X.h5"), str(folder / "y.h5")
    to_hdf5(X, paths[0])
    to_hdf5(np.sin(from_hdf5(paths[0])[:, :5]).sum(axis=1), paths[1])
    return paths


def peak_memory(X: str, y: str, n_rows: int, limit: int) -> int:
    """Largest peak of any worker in bytes, for a fit on the first rows; prints a row of the table."""
    rows = slice(0, n_rows)
    with start_cluster(limit) as cluster, Client(cluster) as client:
        client.wait_for_workers(2)
        before, processes = max(client.run(peak_resident).values()), client.run(os.getpid)
        begin = time.perf_counter()
        ELMRegressor(random_state=0).fit(from_hdf5(X, rows=rows), from_hdf5(y, rows=rows))
        seconds = time.perf_counter() - begin
        peak = max(client.run(peak_resident).values())
        # A worker that was killed for its memory is replaced by a new process, which has not reached its peak.
        if client.run(os.getpid) != processes:
            raise RuntimeError("A worker died and was restarted: its peak is lost.")
    numbers = 8 * n_rows * (N_FEATURES + 1) / MIB, limit / MIB, before / MIB, peak / MIB
    print(f"| {n_rows:,} | " + " | ".join(f"{number:,.0f}" for number in numbers) + f" | {seconds:.1f} |", flush=True)
    return peak


def wide_memory(X: str, y: str, n_rows: int, n_neurons: int) -> float:
    """Packed triangles that one worker needs beside one block; prints a row of the table."""
    rng = np.random.default_rng(0)
    given = Neurons("tanh", rng.standard_normal((N_FEATURES, n_neurons)) / N_FEATURES**0.5, rng.random(n_neurons))
    model = ELMRegressor([given], alpha=1.0, standardize=False)
    rows = slice(0, n_rows)
    with start_cluster(0, 1) as cluster, Client(cluster) as client:
        client.wait_for_workers(1)
        # A small fit loads what any fit needs: modules and buffers of BLAS.
        ELMRegressor(10, alpha=1.0, standardize=False).fit(from_hdf5(X, rows=rows), from_hdf5(y, rows=rows))
        before = max(client.run(peak_resident).values())
        begin = time.perf_counter()
        model.fit(from_hdf5(X, rows=rows), from_hdf5(y, rows=rows))
        seconds = time.perf_counter() - begin
        peak = max(client.run(peak_resident).values())
    triangle = 4 * n_neurons * (n_neurons + 1)
    block = 8 * block_rows(n_neurons, N_FEATURES) * (n_neurons + N_FEATURES)
    triangles = (peak - before - block) / triangle
    print(f"| {n_neurons:,} | {n_rows:,} | {triangle / MIB:.0f} | {triangles:.2f} | {seconds:.1f} |", flush=True)
    return triangles


def start_cluster(limit: int, n_workers: int = 2):
    """Worker processes of one thread, reachable from this machine only."""
    return LocalCluster(
        n_workers=n_workers, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0",
        memory_limit=limit,
    )  # fmt: skip


def peak_resident() -> int:
    """Peak resident size of this process in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status).group(1))


# Worker processes import this file, and must not start a run.
if __name__ == "__main__":
    raise SystemExit(main())
