"""Neurons that are drawn by rows and their targets, against random ones and gradient boosting, on real tables.

The tables are those of `real_tables.py` and `small_tables.py`. The error is the squared error on a held-out quarter of
the rows, or for classes the Brier score. ``auto`` is ``neurons=(n, "auto")``, ``tanh`` as many random tanh neurons,
both beside all inputs; boosting is HistGradientBoosting with its defaults. All see the same numbers. Prints a Markdown
table of ratios of mean errors over the splits, with geometric means over the tables and standard errors (of the
logarithms); --json writes the errors and seconds of every split. The exit status is 1 if `auto` misses what the
documentation claims: a mean of at most 0.88 of tanh at 500 neurons, at most 1.02 on any table at any size, and at most
1.0 of boosting at 1,000 neurons.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import real_tables
import small_tables
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.model_selection import train_test_split

from daskelm import ELMClassifier, ELMRegressor

SIZES = (200, 500, 1000)
SMALL = ("diabetes", "breast_cancer", "wine", "iris", "digits", "diamonds", "friedman1")
QUICK = ("boston", "wine")
WORST, AT_500, AT_1000 = 1.02, 0.88, 1.0


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--splits", type=int, default=10, help="random splits of each table (default: %(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="numbers of neurons")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), help="tables (default: all)")
    parser.add_argument("--rows", type=int, help="most rows of a table, drawn at random (default: all)")
    parser.add_argument("--json", type=Path, help="write the errors and seconds of every split")
    parser.add_argument("--quick", action="store_true", help="one split of two tables, 20 neurons, no verdict")
    parser.add_argument("--cost", action="store_true", help="only measure what a choice costs")
    options = parser.parse_args(argv)
    if options.cost:
        return cost(options.sizes)
    if options.quick:
        options.splits, options.tables, options.sizes = 1, QUICK, [20]
    sizes = options.sizes
    head = ["table", "rows", "inputs", *(f"auto / tanh, {n}" for n in sizes), *(f"auto / boosting, {n}" for n in sizes)]
    print(f"| {' | '.join(head)} |\n|---|" + "---:|" * (len(head) - 1))
    found: dict = {}
    for name in options.tables:
        X, y, classes = load(name, options.rows)
        found[name] = [measure(X, y, classes, sizes, split) for split in range(options.splits)]
        row = [ratio(found[name], ("auto", n), (other, n)) for other in ("tanh", "boosting") for n in sizes]
        print(
            f"| {name} | {len(X):,} | {X.shape[1]} | " + " | ".join(f"{value:.3f}" for value in row) + " |", flush=True
        )
        if options.json:
            options.json.write_text(json.dumps(plain(found)), encoding="utf-8")
    passed = summary(found, sizes)
    return 0 if options.quick or passed else 1


def cost(sizes, turns=7) -> int:
    """Print what sample and choice take, as a fraction of a default fit with as many neurons, in medians of turns."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (1_000_000, 20)).astype(np.float32)
    a, b, c, d, e, f = X[:, :6].T
    y = np.sin(2 * a) * b + c**2 + np.tanh(3 * d) * e + f + 0.3 * rng.standard_normal(len(X))
    print("| neurons | default fit, s | choice, s | of a fit |\n|---:|---:|---:|---:|")
    for n in sizes:
        found = []
        for seed in range(turns):
            fit = seconds_of(ELMRegressor(n, random_state=seed).fit, X, y)
            blind = seconds_of(ELMRegressor(n, random_state=seed).initialize, X, y)
            look = seconds_of(ELMRegressor((n, "auto"), random_state=seed).initialize, X, y) - blind
            found.append((fit, look, look / fit))
        print("| {:,} | {:.2f} | {:.2f} | {:.3f} |".format(n, *np.median(found, axis=0)), flush=True)
    return 0


def seconds_of(function, *args) -> float:
    """Seconds of a call."""
    begin = time.perf_counter()
    function(*args)
    return time.perf_counter() - begin


def load(name, most):
    """X, y and whether y is classes, of at most so many rows."""
    X, y, classes = TABLES[name]()
    if most is not None and len(X) > most:
        rows = np.sort(np.random.default_rng(0).permutation(len(X))[:most])
        X, y = X[rows], y[rows]
    return X, y, classes


TABLES = {name: (lambda name=name: real_tables.load(name)) for name in real_tables.TABLES}
TABLES |= {name: small_tables.TABLES[name] for name in SMALL}


def measure(X, y, classes, sizes, split) -> dict:
    """(error, seconds of fit) of each model, by (model, number of neurons)."""
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=split, stratify=y if classes else None)
    elm = ELMClassifier if classes else ELMRegressor
    boosting = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    models = {("boosting", 0): boosting(random_state=split)}
    for n in sizes:
        models["tanh", n] = elm([(X.shape[1], "lin"), (n, "tanh")], random_state=split)
        models["auto", n] = elm((n, "auto"), random_state=split)
    found = {}
    for key, model in models.items():
        begin = time.perf_counter()
        with warnings.catch_warnings():
            # Columns that are constant in the training rows, and tables with fewer rows than neurons.
            warnings.simplefilter("ignore")
            model.fit(X, y)
        seconds = time.perf_counter() - begin
        if classes:
            truth = (y_test[:, None] == model.classes_).astype(float)
            error = np.mean(np.square(model.predict_proba(X_test) - truth).sum(axis=1))
        else:
            error = np.mean(np.square(model.predict(X_test) - y_test))
        found[key] = (float(error), seconds)
    return found


def ratio(splits, key, other) -> float:
    """Ratio of the mean errors of two models; boosting has one size."""
    other = ("boosting", 0) if other[0] == "boosting" else other
    return float(np.mean([split[key][0] for split in splits]) / np.mean([split[other][0] for split in splits]))


def summary(found, sizes) -> bool:
    """Print the geometric means over the tables; whether nothing misses what is claimed."""
    missed = []
    print()
    for other in ("tanh", "boosting"):
        for n in sizes:
            ratios = {name: ratio(splits, ("auto", n), (other, n)) for name, splits in found.items()}
            logs = np.log(list(ratios.values()))
            mean, error = np.exp(logs.mean()), logs.std(ddof=1) / np.sqrt(len(logs)) if len(logs) > 1 else 0.0
            print(
                f"{n} neurons, auto / {other}: {mean:.3f} (from {mean * np.exp(-error):.3f} to "
                f"{mean * np.exp(error):.3f}), less on {np.mean(logs < 0):.0%} of {len(logs)} tables"
            )
            if other == "tanh":
                missed += [f"{name}, {n}: {value:.3f} > {WORST}" for name, value in ratios.items() if value > WORST]
            limit = {("tanh", 500): AT_500, ("boosting", 1000): AT_1000}.get((other, n), np.inf)
            missed += [f"auto / {other} at {n}: {mean:.3f} > {limit}"] * bool(mean > limit)
    print("\n" + ("missed: " + "; ".join(missed) if missed else "all within the limits"))
    return not missed


def plain(found) -> dict:
    """The figures with words for keys."""
    return {
        name: [{f"{model} {n}": values for (model, n), values in split.items()} for split in splits]
        for name, splits in found.items()
    }


if __name__ == "__main__":
    raise SystemExit(main())
