"""Error against time on a Dask cluster of two workers: daskelm beside LightGBM's Dask estimator.

A million rows of 20 inputs, uniform from -1 to 1; six of them matter: sin(2a) b + c^2 + tanh(3d) e + f, with normal
noise of 0.3. The rows are persisted on the workers, one thread each, before the clock starts. R2 is that of the
function without noise, on 100,000 other rows. The models take turns; the table has medians. Prints a Markdown table;
the exit status is 1 if 500 chosen neurons have R2 below 0.98, or take longer than 100 trees.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from pathlib import Path

import dask
import dask.array as da
import numpy as np
from dask.distributed import Client, LocalCluster, wait
from lightgbm import DaskLGBMRegressor
from speed import machine

from daskelm import ELMRegressor

D, CHUNK, NOISE = 20, 50_000, 0.3
SIZES, TREES = (200, 500, 1000), (100, 500)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10**6, help="number of rows (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="fits of each model (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    parser.add_argument("--quick", action="store_true", help="few rows, neurons and trees, no verdict")
    options = parser.parse_args(argv)
    sizes, trees = SIZES, TREES
    if options.quick:
        options.rows, options.turns, sizes, trees = 20_000, 1, (20,), (5,)
    X_test = inputs(100_000, np.random.default_rng(1))
    truth = function(X_test)
    found: dict = {}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        X, y = rows(options.rows)
        X, y = dask.persist(X, y)
        wait([X, y])
        for turn in range(options.turns):
            for (name, size), make in models(sizes, trees).items():
                model = make(turn)
                begin = time.perf_counter()
                with warnings.catch_warnings():
                    # LightGBM's Dask estimator warns of its own parameters.
                    warnings.simplefilter("ignore")
                    model.fit(X, y)
                seconds = time.perf_counter() - begin
                local = model.to_local() if name == "LightGBM" else model
                error = np.mean(np.square(local.predict(X_test) - truth))
                found.setdefault((name, size), []).append((1 - error / truth.var(), seconds))
        client.cancel([X, y])
    print("| model | neurons or trees | R2 | fit, s |\n|---|---:|---:|---:|")
    middle = {key: [statistics.median(part) for part in zip(*values, strict=True)] for key, values in found.items()}
    for (name, size), (r2, seconds) in middle.items():
        print(f"| {name} | {size:,} | {r2:.4f} | {seconds:.2f} |")
    if options.json:
        figures = [{"model": name, "size": size, "R2 and seconds": values} for (name, size), values in found.items()]
        Path(options.json).write_text(json.dumps(machine() | {"figures": figures}, indent=1), encoding="utf-8")
    if options.quick:
        return 0
    r2, seconds = middle["daskelm, auto", 500]
    passed = r2 >= 0.98 and seconds < middle["LightGBM", 100][1]
    print("\n" + ("as claimed" if passed else f"missed: R2 {r2:.4f} in {seconds:.2f} s"))
    return 0 if passed else 1


def models(sizes, trees) -> dict:
    """Functions that make a model for a seed, by (name, size)."""
    found: dict = {}
    for n in sizes:
        found["daskelm, auto", n] = lambda seed, n=n: ELMRegressor((n, "auto"), random_state=seed)
        found["daskelm, random", n] = lambda seed, n=n: ELMRegressor([(D, "lin"), (n, "tanh")], random_state=seed)
    for n in trees:
        found["LightGBM", n] = lambda seed, n=n: DaskLGBMRegressor(n_estimators=n, random_state=seed, verbose=-1)
    return found


def inputs(n_rows, stream):
    """Inputs (n_rows, 20), float32."""
    return stream.uniform(-1, 1, (n_rows, D)).astype(np.float32)


def function(X):
    """The true function (rows,) of inputs."""
    a, b, c, d, e, f = X[:, :6].T.astype(float)
    return np.sin(2 * a) * b + c**2 + np.tanh(3 * d) * e + f


def rows(n_rows):
    """X and y as dask arrays."""
    chunks = tuple(min(CHUNK, n_rows - start) for start in range(0, n_rows, CHUNK))
    blocks = [da.from_delayed(dask.delayed(_inputs_of)(i, n), (n, D), np.float32) for i, n in enumerate(chunks)]
    X = da.concatenate(blocks)
    return X, X.map_blocks(_measured, drop_axis=1, dtype=float)


def _inputs_of(number, n_rows):
    return inputs(n_rows, np.random.default_rng([0, number]))


def _measured(X):
    stream = np.random.default_rng(X[:1].view(np.uint32).ravel())
    return function(X) + NOISE * stream.standard_normal(len(X))


if __name__ == "__main__":
    raise SystemExit(main())
