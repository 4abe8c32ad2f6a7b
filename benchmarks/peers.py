"""Error against time of a fit, beside scikit-learn's ways to a non-linear model: what each second buys.

Diamonds (53,940 rows) and a made table of 50,000 rows, friedman1 with five inputs that do nothing: squared error on a
quarter of the rows over that of ridge regression, and seconds of `fit`, all from arrays in memory, inputs standardised
for those that do not do it themselves. daskelm with 200 to 2,000 neurons; RBFSampler and Nystroem with as many
components (width: 1 / number of inputs, as RBFSampler's "scale" has it for standardised inputs) before
Ridge(1e-3); MLPRegressor with early stopping and HistGradientBoostingRegressor, else with their defaults.
They take turns, each turn with another split and seed; medians are quoted. Prints a Markdown table; with --json writes
all figures, with --plot a picture.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_tables import diamonds
from speed import machine

from daskelm import ELMRegressor

SIZES = (200, 500, 1000, 2000)


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
    for name, table in TABLES.items():
        X, y = (part[:n_rows] for part in table())
        figures[name] = measure(X, y, sizes, turns)
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


TABLES = {"diamonds": lambda: diamonds()[:2], "friedman1": big_friedman1}


def measure(X, y, sizes, n_turns) -> dict:
    """(error, seconds) of each turn, by (model, size)."""
    found: dict = {}
    for turn in range(n_turns):
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=turn)
        ridge = make_pipeline(StandardScaler(), Ridge(1.0)).fit(X_train, y_train)
        beside = np.mean(np.square(ridge.predict(X_test) - y_test))
        # Networks need targets of their own scale; their error is taken in that of the table.
        level, spread = y_train.mean(), y_train.std()
        for key, model in models(sizes, X.shape[1], turn).items():
            begin = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(X_train, (y_train - level) / spread)
            seconds = time.perf_counter() - begin
            error = np.mean(np.square(level + spread * model.predict(X_test) - y_test)) / beside
            found.setdefault(key, []).append((float(error), seconds))
    return found


def models(sizes, n_features, seed) -> dict:
    """What takes part, by (name, size)."""

    def ridge(features):
        return make_pipeline(StandardScaler(), features, Ridge(1e-3))

    gamma = 1 / n_features
    out: dict = {("daskelm", L): ELMRegressor(L, random_state=seed) for L in sizes}
    out |= {("RBFSampler", L): ridge(RBFSampler(gamma=gamma, n_components=L, random_state=seed)) for L in sizes}
    out |= {("Nystroem", L): ridge(Nystroem(gamma=gamma, n_components=L, random_state=seed)) for L in sizes}
    network = MLPRegressor(early_stopping=True, random_state=seed)
    out["MLPRegressor", 0] = make_pipeline(StandardScaler(), network)
    out["HistGradientBoosting", 0] = HistGradientBoostingRegressor(random_state=seed)
    return out


def plot(figures, path) -> None:
    """Error against time, a picture per table."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(1, len(figures), figsize=(11, 4.5), layout="constrained")
    for ax, (table, found) in zip(axes, figures.items(), strict=True):
        lines: dict = {}
        for (model, size), values in found.items():
            error, seconds = (statistics.median(column) for column in zip(*values, strict=True))
            lines.setdefault(model, []).append((seconds, error, size))
        for (model, points), marker in zip(lines.items(), "os^DP", strict=True):
            seconds, errors, sizes = zip(*points, strict=True)
            ax.plot(seconds, errors, marker=marker, label=model, linestyle="-" if len(points) > 1 else "")
            if model == "daskelm":
                for place in (0, -1):
                    ax.annotate(
                        f"{sizes[place]:,}", (seconds[place], errors[place]), (5, 5), textcoords="offset points"
                    )
        ax.set(xscale="log", xlabel="seconds of fit", ylabel="squared error / that of ridge", title=table)
        ax.set_ylim(bottom=0)
        ax.grid(alpha=0.3)
    axes[0].legend()
    fig.savefig(path, dpi=120)


if __name__ == "__main__":
    raise SystemExit(main())
