"""Time to choose the penalty and the number of neurons by cross-validation, relative to one plain fit.

`ELMRegressorCV` tries 20 penalties and 10 numbers of neurons on 5 folds. It takes turns with one fit of `ELMRegressor`
with a given penalty; the table has the median of the ratios within a turn. Both read 200,000 rows of 100 float64 from
HDF5, with one worker process of one thread per core. scikit-learn's `GridSearchCV` would fit and score each of the
1,000 models. The script makes a few of these fits, compares the scores, and estimates the time for all. The exit status
is 1 if scores differ by more than 1e-8; with --strict also if the ratio is larger than 1.5.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dask.distributed import Client, LocalCluster
from sklearn.model_selection import GridSearchCV

from daskelm import ELMRegressor, ELMRegressorCV, Neurons, make_hdf5

MAX_RATIO, MAX_DIFFERENCE = 1.5, 1e-8


@dataclass(frozen=True)
class Size:
    """Rows, inputs, neurons, the grid, folds, and turns."""

    n_samples: int
    n_features: int
    n_neurons: int
    n_alphas: int
    n_sizes: int
    n_folds: int
    n_turns: int


FULL = Size(200_000, 100, 1000, 20, 10, 5, 3)
QUICK = Size(2_000, 10, 40, 4, 3, 3, 1)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rows, to check that the script runs")
    parser.add_argument("--strict", action="store_true", help="fail if the goal is missed")
    options = parser.parse_args(argv)
    size = QUICK if options.quick else FULL
    rng = np.random.default_rng(0)
    X = rng.standard_normal((size.n_samples, size.n_features))
    y = np.tanh(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * rng.standard_normal(size.n_samples)
    W, b = rng.standard_normal((size.n_features, size.n_neurons)) / np.sqrt(size.n_features), np.zeros(size.n_neurons)
    sizes = np.linspace(size.n_neurons / size.n_sizes, size.n_neurons, size.n_sizes).astype(int)
    alphas = np.logspace(-3, 3, size.n_alphas)
    with tempfile.TemporaryDirectory() as folder:
        paths = make_hdf5(X, Path(folder) / "X.h5"), make_hdf5(y, Path(folder) / "y.h5")
        turns = take_turns(paths, size, Neurons("tanh", W, b), alphas, sizes)
    ratio = statistics.median(turn["cv"] / turn["fit"] for turn in turns)
    fit, cv = (statistics.median(turn[name] for turn in turns) for name in ("fit", "cv"))
    seconds, difference = grid_search(X, y, size, W, b, alphas, sizes, turns[-1]["model"])
    n_models = size.n_alphas * size.n_sizes * size.n_folds
    print(f"| L | models | one fit, s | ELMRegressorCV, s | ratio | GridSearchCV, s (of {len(seconds)} models) |")
    print("|---:|---:|---:|---:|---:|---:|")
    estimated = n_models * sum(seconds) / len(seconds)
    print(f"| {size.n_neurons} | {n_models:,} | {fit:.2f} | {cv:.2f} | {ratio:.2f} | {estimated:,.0f} |")
    print(f"\nScores differ from GridSearchCV's by {difference:.1e} (at most {MAX_DIFFERENCE:.0e} wanted)")
    print(f"Choosing takes {ratio:.2f} times one fit (at most {MAX_RATIO} wanted)")
    return int(difference > MAX_DIFFERENCE or (options.strict and ratio > MAX_RATIO))


def take_turns(paths, size: Size, neurons: Neurons, alphas, sizes) -> list[dict]:
    """Seconds of both fits, and the model chosen, by turn."""
    plain = ELMRegressor(neurons, alpha=1.0, standardize=False)
    chosen = ELMRegressorCV(neurons, alphas=alphas, n_neurons=sizes, cv=size.n_folds, standardize=False)
    turns = []
    with (
        LocalCluster(
            n_workers=len(os.sched_getaffinity(0)), threads_per_worker=1, host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster),
    ):  # fmt: skip
        for turn in range(size.n_turns + 1):
            seconds: dict = {"model": chosen}
            for name, model in (("fit", plain), ("cv", chosen)):
                begin = time.perf_counter()
                model.fit(*paths)
                seconds[name] = time.perf_counter() - begin
            # The first turn loads files, workers and libraries, and is not counted.
            if turn:
                turns.append(seconds)
    return turns


def grid_search(X, y, size: Size, W, b, alphas, sizes, chosen: ELMRegressorCV) -> tuple[list[float], float]:
    """Seconds of a few of scikit-learn's models, and the largest difference of their scores from ours."""
    seconds, differences = [], []
    results = chosen.cv_results_
    for i, n in enumerate(sizes):
        # Where there are many sizes, the first, the middle and the last one stand for all.
        if len(sizes) > 4 and i not in (0, len(sizes) // 2, len(sizes) - 1):
            continue
        alpha = alphas[(7 * i) % len(alphas)]
        search = GridSearchCV(
            ELMRegressor(standardize=False),
            {"neurons": [[Neurons("tanh", W[:, :n], b[:n])]], "alpha": [alpha]},
            cv=size.n_folds,
            refit=False,
        )
        begin = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            search.fit(X, y)
        seconds += [(time.perf_counter() - begin) / size.n_folds] * size.n_folds
        place = [p == {"alpha": float(alpha), "n_neurons": int(n)} for p in results["params"]].index(True)
        for fold in range(size.n_folds):
            key = f"split{fold}_test_score"
            differences.append(abs(search.cv_results_[key][0] - results[key][place]))
    return seconds, max(differences)


if __name__ == "__main__":
    raise SystemExit(main())
