"""Share of held-out rows within 1.645 standard deviations of their prediction: 90 % for normal noise.

Each table is split at random several times, with a quarter of the rows held out. daskelm runs with its defaults and
`predict(X, return_std=True)`. Prints a Markdown table, with the standard deviation over the splits. The exit status is
1 if on any table less than 85 % or more than 95 % of the held-out rows of all splits are covered.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from sklearn.model_selection import train_test_split
from small_tables import TABLES as SMALL

from daskelm import ELMRegressor

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from flights_data import build

# A normal variable lies within 1.645 standard deviations of its mean with a probability of 90 %.
WIDTH, LEAST, MOST = 1.645, 0.85, 0.95
QUICK = ("diabetes", "friedman1")
HEAD = ("table", "rows", "within 1.645 std", "spread over splits", "std, mean", "RMSE")


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--splits", type=int, default=10, help="random splits of each table (default: %(default)s)")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), help="tables (default: all)")
    parser.add_argument("--quick", action="store_true", help="two splits of two tables")
    options = parser.parse_args(argv)
    if options.quick:
        options.splits, options.tables = 2, QUICK
    print(f"| {' | '.join(HEAD)} |", "|---|" + "---:|" * (len(HEAD) - 1), sep="\n")
    parts = {}
    for name in options.tables:
        X, y = TABLES[name]()
        found = np.array([held_out(X, y, split) for split in range(options.splits)])
        covered, std, square = found.mean(axis=0)
        parts[name] = covered
        print(
            f"| {name} | {len(X):,} | {covered:.1%} | {found[:, 0].std():.1%} | {std:.4g} | {np.sqrt(square):.4g} |",
            flush=True,
        )
    return 0 if verdict(parts) else 1


def held_out(X, y, split):
    """Covered share of the held-out quarter, its mean standard deviation and its mean squared error."""
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=split)
    mean, std = ELMRegressor(random_state=split).fit(X, y).predict(X_test, return_std=True)
    return np.mean(np.abs(y_test - mean) <= WIDTH * std), std.mean(), np.mean(np.square(y_test - mean))


def verdict(parts) -> bool:
    """True if the coverage of each table is within the limits; prints the tables where it is not."""
    missed = [f"{name}: {part:.1%}" for name, part in parts.items() if not LEAST <= part <= MOST]
    print("\n" + ("missed: " + "; ".join(missed) if missed else f"all between {LEAST:.0%} and {MOST:.0%}"))
    return not missed


def flights():
    """Arrival delay in minutes from what is known before departure."""
    with tempfile.TemporaryDirectory() as folder:
        files = build(folder)
        with h5py.File(files.X) as X, h5py.File(files.y) as y:
            return X["data"][:], y["data"][:, 0]


TABLES = {name: lambda name=name: SMALL[name]()[:2] for name in ("diabetes", "diamonds", "friedman1")}
TABLES["flights"] = flights

if __name__ == "__main__":
    raise SystemExit(main())
