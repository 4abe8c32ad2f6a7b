"""Arrival delays of each month predicted from the other eleven months, against linear ridge regression.

Both models see the same predictors (`examples/flights_data.py`). daskelm runs with its defaults, or with --auto that
many chosen neurons. It is fitted anew for each month, so that the layer, the scale of the inputs and the penalty come
from the eleven months alone. Prints a Markdown table; the exit status is 1 if the mean R2 of daskelm is not greater
than that of ridge.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from daskelm import ELMRegressor

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from flights_data import build, linear_ridge

QUICK_ROWS = 6_000


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS:,} flights, to check that the script runs")
    parser.add_argument("--seeds", type=int, default=1, help="draws to average R2 over (default: %(default)s)")
    parser.add_argument(
        "--auto", type=int, metavar="N", help="N neurons whose draw is chosen (default: 200 random ones)"
    )
    parser.add_argument("--destinations", action="store_true", help="add a column for each frequent destination")
    options = parser.parse_args(argv)
    X, y, month, columns = load(QUICK_ROWS if options.quick else None, options.destinations)
    print(f"{len(y):,} flights, {len(columns)} predictors known before departure, {options.seeds} draw(s) of neurons\n")
    neurons = None if options.auto is None else (options.auto, "auto")
    scores = by_month(X, y, month, range(options.seeds), neurons)
    return 0 if summarise(scores) else 1


def load(n_rows, destinations):
    """Predictors, delays in minutes and months, in memory; and the names of the predictors."""
    with tempfile.TemporaryDirectory() as folder:
        files = build(folder, n_rows, destinations)
        with h5py.File(files.X) as X, h5py.File(files.y) as y:
            return X["data"][:], y["data"][:, 0], files.month, files.columns


def by_month(X, y, month, seeds, neurons=None):
    """R2 of ridge and of daskelm, (12, 2); prints the row of each month when it is done."""
    print("| month | flights | R2 ridge | R2 daskelm | s ridge | s daskelm |")
    print("|---|---:|---:|---:|---:|---:|")
    scores = []
    for held_out in range(1, 13):
        test = month == held_out
        data = X[~test], y[~test], X[test], y[test]
        begin = time.perf_counter()
        ridge = linear_ridge().fit(*data[:2]).score(*data[2:])
        middle = time.perf_counter()
        elm = np.mean([ELMRegressor(neurons, random_state=seed).fit(*data[:2]).score(*data[2:]) for seed in seeds])
        end = time.perf_counter()
        times = f"{middle - begin:.1f} | {(end - middle) / len(seeds):.1f}"
        print(f"| {held_out} | {test.sum():,} | {ridge:.4f} | {elm:.4f} | {times} |", flush=True)
        scores.append((ridge, elm))
    return np.array(scores)


def summarise(scores) -> bool:
    """True if daskelm's mean is greater; prints the means."""
    ridge, elm = scores.mean(axis=0)
    better = np.count_nonzero(scores[:, 1] > scores[:, 0])
    print(f"| mean | | {ridge:.4f} | {elm:.4f} | | |")
    print(f"\ndaskelm is better in {better} of {len(scores)} months; difference of the means {elm - ridge:+.4f}")
    return bool(elm > ridge)


if __name__ == "__main__":
    raise SystemExit(main())
