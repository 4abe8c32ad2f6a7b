"""Error against time of a fit, beside scikit-learn's ways to a non-linear model: what each second buys.

Diamonds (53,940 rows), a made table of 50,000 rows (friedman1 with five inputs that do nothing), and the digits (1,797
pictures of 64 pixels): squared error, of digits the part that is taken for another one, on a quarter of the rows over
that of linear ridge, and seconds of `fit`, all from arrays in memory, inputs standardised for those that do not do it
themselves. daskelm with 200 to 2,000 neurons; RBFSampler and Nystroem with as many components (width: 1 / number of
inputs, as RBFSampler's "scale" has it for standardised inputs) before ridge with a penalty of 1e-3; scikit-learn's
network, beyond 10,000 rows with early stopping, and its histogram gradient boosting, else with their defaults.
They take turns, each turn with another split and seed; medians are quoted. Prints a Markdown table; with --json writes
all figures, with --plot a picture.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sklearn.datasets import load_digits, make_friedman1
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.metrics import mean_squared_error, zero_one_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_tables import diamonds
from speed import machine

from daskelm import ELMClassifier, ELMRegressor

SIZES = (200, 500, 1000, 2000)
# Okabe and Ito (2008).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00")


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rows: shows that it runs, proves nothing")
    parser.add_argument("--turns", type=int, default=3, help="splits and seeds (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    parser.add_argument("--plot", metavar="FILE", help="draw them")
    options = parser.parse_args(argv)
    n_rows, sizes, turns = (600, (20, 40), 1) if options.quick else (None, SIZES, options.turns)
    facts = machine()
    print(f"{facts['cpu']}, {facts['cores']} cores, " + ", ".join(f"{k} {v}" for k, v in facts["versions"].items()))
    print(f"{turns} turn(s)\n")
    print("| table | model | size | error / ridge's | fit, s |\n|---|---|---:|---:|---:|")
    figures: dict = {}
    for name, (table, family) in TABLES.items():
        X, y = (part[:n_rows] for part in table())
        figures[name] = measure(X, y, family, sizes, turns)
        for (model, size), found in figures[name].items():
            error, seconds = (statistics.median(values) for values in zip(*found, strict=True))
            print(f"| {name} | {model} | {size or ''} | {error:.3f} | {seconds:.2f} |", flush=True)
    if options.json:
        rows = [
            {"table": table, "model": model, "size": size, "errors and seconds": values}
            for table, found in figures.items()
            for (model, size), values in found.items()
        ]
        Path(options.json).write_text(json.dumps(facts | {"figures": rows}, indent=1), encoding="utf-8")
    if options.plot:
        plot(figures, options.plot)
    return 0


def big_friedman1():
    """50,000 rows of friedman1, noise of unit variance."""
    return make_friedman1(50_000, noise=1.0, random_state=0)


class Family(NamedTuple):
    """What takes part, and how far predictions are off."""

    elm: type
    ridge: type
    network: type
    boosting: type
    error: Callable


NUMBERS = Family(ELMRegressor, Ridge, MLPRegressor, HistGradientBoostingRegressor, mean_squared_error)
LABELS = Family(ELMClassifier, RidgeClassifier, MLPClassifier, HistGradientBoostingClassifier, zero_one_loss)
TABLES = {
    "diamonds": (lambda: diamonds()[:2], NUMBERS),
    "Friedman 1": (big_friedman1, NUMBERS),
    "digits": (lambda: load_digits(return_X_y=True), LABELS),
}


def measure(X, y, family, sizes, n_turns) -> dict:
    """(error, seconds) of each turn, by (model, size)."""
    found: dict = {}
    for turn in range(n_turns):
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=turn)
        if family is NUMBERS:
            # Networks need targets of their own scale; ratios of errors stay what they are.
            y_train, y_test = ((part - y_train.mean()) / y_train.std() for part in (y_train, y_test))
        ridge = make_pipeline(StandardScaler(), family.ridge(1.0)).fit(X_train, y_train)
        beside = family.error(y_test, ridge.predict(X_test))
        for key, model in models(family, sizes, X_train.shape, turn).items():
            begin = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(X_train, y_train)
            seconds = time.perf_counter() - begin
            error = family.error(y_test, model.predict(X_test)) / beside
            found.setdefault(key, []).append((float(error), seconds))
    return found


def models(family, sizes, shape, seed) -> dict:
    """What takes part, by (name, size)."""

    def ridge(features):
        return make_pipeline(StandardScaler(), features, family.ridge(1e-3))

    n_rows, n_features = shape
    gamma = 1 / n_features
    out: dict = {("daskelm", L): family.elm(L, random_state=seed) for L in sizes}
    out |= {("RBFSampler", L): ridge(RBFSampler(gamma=gamma, n_components=L, random_state=seed)) for L in sizes}
    # Its components are rows: there are no more.
    few = [L for L in sizes if n_rows >= L]
    out |= {("Nystroem", L): ridge(Nystroem(gamma=gamma, n_components=L, random_state=seed)) for L in few}
    network = family.network(early_stopping=n_rows > 10_000, random_state=seed)
    out["network", 0] = make_pipeline(StandardScaler(), network)
    out["gradient boosting", 0] = family.boosting(random_state=seed)
    return out


def plot(figures, path) -> None:
    """Error against time, a picture per table."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(1, len(figures), figsize=(10, 3.6), layout="constrained", sharey=True)
    for ax, (table, found) in zip(axes, figures.items(), strict=True):
        lines: dict = {}
        for (model, size), values in found.items():
            error, seconds = (statistics.median(column) for column in zip(*values, strict=True))
            lines.setdefault(model, []).append((seconds, error, size))
        for (model, points), marker, colour in zip(lines.items(), "os^DP", COLOURS, strict=True):
            seconds, errors, _ = zip(*points, strict=True)
            line = "-" if len(points) > 1 else ""
            ax.plot(seconds, errors, marker=marker, color=colour, label=model, linestyle=line)
            if model == "daskelm":
                for second, error, size in points:
                    ax.annotate(f"{size:,}", (second, error), (0, 6), textcoords="offset points", ha="center", size=8)
        ax.axhline(1, color="0.5", linewidth=0.8, linestyle=":", label="linear ridge")
        ax.set(xscale="log", xlabel="seconds of fit", title=table)
        ax.set_ylim(bottom=0)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("error / that of linear ridge")
    axes[len(axes) // 2].legend(frameon=False)
    fig.savefig(path, dpi=120)


if __name__ == "__main__":
    raise SystemExit(main())
