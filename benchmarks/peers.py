"""Error against time of a fit, beside the non-linear models of scikit-learn, on tables of three sizes.

The tables are some of `real_tables.py`, diamonds, a made table of 50,000 rows (friedman1, where five inputs do
nothing), and the digits (1,797 pictures of 64 pixels). The error is the squared error on a held-out quarter of the
rows, or for classes the fraction of wrong labels, divided by that of linear ridge. Seconds are those of `fit` from
arrays in memory. Inputs are standardised for the models that do not do so themselves.

daskelm has 200 to 2,000 neurons, random ones, and chosen ones (``neurons=(n, "auto")``). RBFSampler and Nystroem have
200 to 1,000 components, with a width of 1 / number of inputs (as RBFSampler's "scale" for standardised inputs), before
ridge with a penalty of 1e-3. scikit-learn's network has early stopping beyond 10,000 rows. The network, extremely
randomised trees and histogram gradient boosting have their defaults in all else. The models take turns, each turn with
another split and seed; the table has medians. Prints a Markdown table; --json writes all figures, and --plot a picture.
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

from real_tables import load
from sklearn.datasets import load_digits, make_friedman1
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
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
from daskelm.exceptions import PenaltyWarning, ScaleWarning

SIZES, FEWER = (200, 500, 1000, 2000), (200, 500, 1000)
# Tables in the picture.
SHOWN = ("concrete", "hotel rates", "incomes", "diamonds", "Friedman 1", "digits")
# The palette of Okabe and Ito (2008).
COLOURS = ("#0072B2", "#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#000000")


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rows, to check that the script runs")
    parser.add_argument("--turns", type=int, default=3, help="splits and seeds (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    parser.add_argument("--plot", metavar="FILE", help="draw the figures")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), help="tables (default: all)")
    options = parser.parse_args(argv)
    n_rows, sizes, turns = (600, ((20, 40), (20,)), 1) if options.quick else (None, (SIZES, FEWER), options.turns)
    tables = ("concrete", "Friedman 1", "digits") if options.quick else options.tables
    facts = machine()
    print(f"{facts['cpu']}, {facts['cores']} cores, " + ", ".join(f"{k} {v}" for k, v in facts["versions"].items()))
    print(f"{turns} turn(s)\n")
    print("| table | model | size | error / ridge's | fit, s |\n|---|---|---:|---:|---:|")
    figures: dict = {}
    for name in tables:
        table, family = TABLES[name]
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
    """Classes of models for one sort of target, and the function that gives their error."""

    elm: type
    ridge: type
    network: type
    trees: type
    boosting: type
    error: Callable


NUMBERS = Family(
    ELMRegressor, Ridge, MLPRegressor, ExtraTreesRegressor, HistGradientBoostingRegressor, mean_squared_error
)
LABELS = Family(
    ELMClassifier, RidgeClassifier, MLPClassifier, ExtraTreesClassifier, HistGradientBoostingClassifier, zero_one_loss
)
REAL = (
    "boston",
    "concrete",
    "ames",
    "cells",
    "chicago",
    "hotel rates",
    "storms",
    "weather",
    "wages 1988",
    "incomes",
    "movies",
)
TABLES = {name: (lambda name=name: load(name)[:2], LABELS if name == "cells" else NUMBERS) for name in REAL}
TABLES |= {
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
            # Networks need standardised targets; this changes no ratio of errors.
            y_train, y_test = ((part - y_train.mean()) / y_train.std() for part in (y_train, y_test))
        ridge = make_pipeline(StandardScaler(), family.ridge(1.0)).fit(X_train, y_train)
        beside = family.error(y_test, ridge.predict(X_test))
        for key, model in models(family, sizes, X_train.shape, turn).items():
            begin = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                # Columns that are constant in the training rows, and fewer rows than neurons.
                warnings.simplefilter("ignore", ScaleWarning)
                warnings.simplefilter("ignore", PenaltyWarning)
                model.fit(X_train, y_train)
            seconds = time.perf_counter() - begin
            error = family.error(y_test, model.predict(X_test)) / beside
            found.setdefault(key, []).append((float(error), seconds))
    return found


def models(family, sizes, shape, seed) -> dict:
    """Models by (name, size)."""

    def ridge(features):
        return make_pipeline(StandardScaler(), features, family.ridge(1e-3))

    n_rows, n_features = shape
    gamma = 1 / n_features
    many, fewer = sizes
    out: dict = {("daskelm, auto", L): family.elm((L, "auto"), random_state=seed) for L in many}
    lin = (n_features, "lin")
    out |= {("daskelm, random", L): family.elm([lin, (L, "tanh")], random_state=seed) for L in many}
    out |= {("RBFSampler", L): ridge(RBFSampler(gamma=gamma, n_components=L, random_state=seed)) for L in fewer}
    # Nystroem takes rows for components, so it cannot have more components than rows.
    few = [L for L in fewer if n_rows >= L]
    out |= {("Nystroem", L): ridge(Nystroem(gamma=gamma, n_components=L, random_state=seed)) for L in few}
    network = family.network(early_stopping=n_rows > 10_000, random_state=seed)
    out["network", 0] = make_pipeline(StandardScaler(), network)
    out["randomised trees", 0] = family.trees(n_jobs=2, random_state=seed)
    out["gradient boosting", 0] = family.boosting(random_state=seed)
    return out


def plot(figures, path) -> None:
    """Draw error against time, with a panel for each table."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import NullFormatter

    shown = {table: figures[table] for table in SHOWN if table in figures}
    fig, axes = plt.subplots(2, 3, figsize=(10, 7), layout="constrained")
    for ax in axes.ravel()[len(shown) :]:
        ax.set_axis_off()
    for ax, (table, found) in zip(axes.ravel(), shown.items(), strict=False):
        lines: dict = {}
        for (model, size), values in found.items():
            error, seconds = (statistics.median(column) for column in zip(*values, strict=True))
            lines.setdefault(model, []).append((seconds, error, size))
        for (model, points), marker, colour in zip(lines.items(), "osv^DPX", COLOURS, strict=True):
            seconds, errors, _ = zip(*points, strict=True)
            line = "-" if len(points) > 1 else ""
            ax.plot(seconds, errors, marker=marker, color=colour, label=model, linestyle=line)
            if model == "daskelm, auto":
                for second, error, size in points:
                    ax.annotate(f"{size:,}", (second, error), (0, -12), textcoords="offset points", ha="center", size=8)
        ax.axhline(1, color="0.5", linewidth=0.8, linestyle=":", label="linear ridge")
        ax.set(xscale="log", xlabel="seconds of fit", title=table)
        ax.set_ylim(bottom=0)
        # Matplotlib would label the minor ticks of a short axis, one over the other.
        low, high = ax.get_xlim()
        ax.set_xticks([t for t in (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30) if low <= t <= high])
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.3)
    for ax in axes[:, 0]:
        ax.set_ylabel("error / that of linear ridge")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    fig.savefig(path, dpi=120)


if __name__ == "__main__":
    raise SystemExit(main())
