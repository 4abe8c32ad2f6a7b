"""Where the time of a fit goes: parts of a gram task in one thread, relative to the time that its operations need.

An HDF5 file has 100,000 rows of 100 float64 (fewer rows for more neurons) and three targets; the neurons are tanh. Each
part is timed by itself, in processor time, as the best of several turns. It is divided by T* = N (L (L + 1) + 2 d L + 2
L c) / R, where R is the rate of a large matrix product in the same thread. "not named" is the task less its parts: the
columns of the targets, and the time lost because the parts displace each other's data from the cache. Dask and the
solver are not included; speed.py times whole fits.

A second table has two other ways to compute H'H, relative to the time of the one that is used. One is a triangle in
rectangular full packed form, which takes half the memory (LAPACK's dsfrk; Gustavson, Wasniewski, Dongarra, Langou
2010), the other single precision.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
from scipy.linalg import cython_lapack
from threadpoolctl import threadpool_limits

from daskelm import ELMRegressor, Neurons
from daskelm.blas import _without_gil, add_gram
from daskelm.data.finite import check_finite
from daskelm.data.targets import RegressionTargets
from daskelm.hdf5.rows import open_rows
from daskelm.passes.memory import block_rows
from daskelm.passes.tasks import GramTask
from daskelm.sums.digests import row_digests
from daskelm.sums.provenance import Table, provenance_of

PARTS = ("reading", "check of NaN", "digests", "XW", "bias", "tanh", "H'H", "not named", "task")


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rows, to check that the script runs")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    options = parser.parse_args(argv)
    neurons, work, n_gemm = ((20, 50), 2e7, 200) if options.quick else ((200, 1000, 4000), 4e10, 3000)
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1, user_api="blas"):
        rate = gemm_rate(n_gemm)
        print(f"a matrix product runs at {rate / 1e9:.1f} GF/s in one thread\n")
        figures = {L: profile(Path(folder), L, rate, work) for L in neurons}
        others = {L: products(L, work) for L in neurons}
    print("| L | rows of a block | " + " | ".join(PARTS) + " |")
    print("|---:" * (len(PARTS) + 2) + "|")
    for L, found in figures.items():
        cells = [L, found["block"], *(f"{found[name]:.2f}" for name in PARTS)]
        print("| " + " | ".join(map(str, cells)) + " |")
    print("\n| L | " + " | ".join(next(iter(others.values()))) + " |")
    print("|---:" * 3 + "|")
    for L, ratios in others.items():
        print(f"| {L} | " + " | ".join(f"{ratio:.2f}" for ratio in ratios.values()) + " |")
    if options.json:
        Path(options.json).write_text(
            json.dumps({"rate": rate, "parts": figures, "products": others}, indent=1), encoding="utf-8"
        )
    return 0


def best(function, n_turns=5) -> float:
    """Least processor time of this thread over some turns."""
    seconds = []
    for _ in range(n_turns):
        begin = time.thread_time()
        function()
        seconds.append(time.thread_time() - begin)
    return min(seconds)


def gemm_rate(n: int) -> float:
    """Floating-point operations per second of a matrix product in this thread."""
    A = np.random.default_rng(0).random((n, n))
    return 2 * n**3 / best(lambda: A @ A)


def profile(folder: Path, L: int, rate: float, work: float, d: int = 100, c: int = 3) -> dict:
    """Time of each part divided by T*, and the number of rows of a block."""
    rng = np.random.default_rng(L)
    N = int(min(100_000, work / L**2))
    table, targets = rng.standard_normal((N, d)), rng.standard_normal((N, c))
    paths = []
    for name, array in (("X", table), ("T", targets)):
        paths.append(folder / f"{name}{L}.h5")
        with h5py.File(paths[-1], "w") as file:
            file.create_dataset("data", data=array, chunks=(min(1000, N), array.shape[1]))
    X, T = open_rows(paths[0]), open_rows(paths[1])
    W, b = rng.standard_normal((d, L)) / np.sqrt(d), rng.standard_normal(L)
    layer = ELMRegressor([Neurons("tanh", W, b)], standardize=False).initialize(table[:10]).hidden_layer_
    meaning = RegressionTargets(c, "float64")
    origins = provenance_of(Table(X, T, None, meaning)).origins
    step = block_rows(L, d)
    blocks = X.block_bounds(step)
    H, HH = rng.random((blocks[0][1], L + 1 + c)), np.zeros((L + 1 + c,) * 2)
    # As in the layer, blocks are so small that outputs stay in the cache between product and activation.
    small = max(2**20 // (8 * L), 64)
    cached = [(a, min(a + small, N)) for a in range(0, N, small)]
    Z = rng.random((small, L + 1 + c))[:, :L]

    def read():
        with X.open(reuse=True) as rows, T.open() as labels:
            for start, stop in blocks:
                rows.read(start, stop)
                labels.read(start, stop)

    found = {
        "task": best(lambda: GramTask.of_rows(meaning, (X, T, None), [(0, N)], step, origins)(layer)),
        "reading": best(read),
        "check of NaN": best(lambda: [check_finite(table[start:stop], "X") for start, stop in blocks]),
        "digests": best(lambda: [row_digests(start, table[start:stop]) for start, stop in blocks]),
        "XW": best(lambda: [np.matmul(table[a:z], W, out=Z[: z - a]) for a, z in cached]),
        "bias": best(lambda: [np.add(Z, b, out=Z) for _ in cached]),
        "tanh": best(lambda: [np.tanh(Z, out=Z) for _ in cached]),
        "H'H": best(lambda: [add_gram(H[: stop - start], HH) for start, stop in blocks]),
    }
    found["not named"] = found["task"] - sum(seconds for name, seconds in found.items() if name != "task")
    limit = N * (L * (L + 1) + 2 * d * L + 2 * L * c) / rate
    return {name: seconds / limit for name, seconds in found.items()} | {"block": blocks[0][1]}


def products(L: int, work: float) -> dict:
    """Time of other ways to compute H'H of one block, divided by that of a square in double precision."""
    rows = block_rows(L, 100)
    turns = range(max(int(work / (4 * rows * L**2)), 1))
    H = np.random.default_rng(0).random((rows, L))
    single, packed = H.astype(np.float32), np.zeros(L * (L + 1) // 2)
    n, k, one = ctypes.c_int(L), ctypes.c_int(rows), ctypes.c_double(1.0)
    number, letter, array = ctypes.POINTER(ctypes.c_int), ctypes.c_char_p, ctypes.c_void_p
    factor = ctypes.POINTER(ctypes.c_double)
    dsfrk = _without_gil(
        cython_lapack, "dsfrk", letter, letter, letter, number, number, factor, array, number, factor, array
    )

    def timed(gram, block):
        return best(lambda: [add_gram(block, gram) for _ in turns])

    def full_packed():
        for _ in turns:
            dsfrk(b"N", b"L", b"N", n, k, one, H.ctypes.data, n, one, packed.ctypes.data)

    square = timed(np.zeros((L, L)), H)
    return {
        "full packed": best(full_packed) / square,
        "single precision": timed(np.zeros((L, L), np.float32), single) / square,
    }


if __name__ == "__main__":
    raise SystemExit(main())
