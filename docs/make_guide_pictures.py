"""Pictures of the user guide, and the figures beside them; the pages of `docs/guide/` show both.

Run it from the root of the repository: ``python docs/make_guide_pictures.py``. It takes some minutes, and prints the
figures as Markdown tables. With ``--quick`` it draws the same from few rows, as `tests/project/test_guide.py` does to
check that it runs.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from PIL import Image
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_friedman1
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from daskelm import (
    ELMClassifier,
    ELMRegressor,
    ELMRegressorCV,
    HiddenLayer,
    NeuronsDisplay,
    PenaltyDisplay,
    ReliabilityDisplay,
)
from daskelm.plots.axes import ACCENT, INK, OTHER, light_grid, plain_numbers

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from small_tables import diamonds  # noqa: E402

# Colours of Okabe and Ito (2008), in the order of their use.
COLOURS = (OTHER, ACCENT, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STRAIGHT = {"lin": "lin: x", "sigm": "sigm: 1 / (1 + exp(-z))", "tanh": "tanh: tanh(z)", "relu": "relu: max(z, 0)"}
ROUND = {"rbf_l1": "rbf_l1: 1-norm", "rbf_l2": "rbf_l2: 2-norm", "rbf_linf": "rbf_linf: maximum norm"}


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rows, to check that the script runs")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "guide", help="folder (default: docs/guide)")
    parser.add_argument("--only", nargs="+", choices=PICTURES, default=list(PICTURES), help="pictures to draw")
    options = parser.parse_args(argv)
    for name in options.only:
        print(f"\n{name}\n")
        figure = PICTURES[name](options.quick)
        save(figure, options.output / f"{name}.png")


def save(figure, path):
    """Write a PNG of few colours, which takes a third of the bytes."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=110, facecolor="white")
    plt.close(figure)
    Image.open(drawn).convert("RGB").quantize(128).save(path, optimize=True)


def table(*head):
    """Print the head of a Markdown table; the function returned prints a row."""
    print(f"| {' | '.join(head)} |\n|---|" + "---:|" * (len(head) - 1))
    return lambda *cells: print(f"| {' | '.join(map(str, cells))} |", flush=True)


def kinds(quick):
    """Each kind of neuron as a function of one input; the rbf kinds as functions of two, where their norms differ."""
    figure, axes = plt.subplots(2, 4, figsize=(10, 5.2), layout="constrained")
    x = np.linspace(-4, 4, 60 if quick else 400)
    known = np.random.default_rng(0).standard_normal((1000, 2))
    drawn = [*STRAIGHT.items(), (np.sin, "a ufunc: numpy.sin(z)")]
    for ax, (kind, title) in zip([*axes[0], axes[1, 3]], drawn, strict=True):
        n = 1 if kind == "lin" else 5
        layer = HiddenLayer([(n, kind)], standardize=False, random_state=1).fit(known[:, :1])
        for column, colour in zip(layer.transform(x[:, None]).T, COLOURS, strict=False):
            ax.plot(x, column, color=colour, linewidth=1.8)
        ax.set(title=title, xlabel="x")
        light_grid(ax)
    grid = np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2)
    for ax, (kind, title) in zip(axes[1], ROUND.items(), strict=False):
        H = HiddenLayer([(3, kind)], standardize=False, random_state=1).fit(known).transform(grid)
        for column, colour in zip(H.T, COLOURS, strict=False):
            # The lines are where a neuron gives half of its maximum, and a tenth.
            square = column.reshape(len(x), len(x))
            ax.contour(x, x, square, levels=[0.1, 0.5], colors=colour, linewidths=[0.9, 2])
        ax.set(title=title, xlabel="x₁", ylabel="x₂", aspect="equal")
        light_grid(ax)
    return figure


def number_of_neurons(quick):
    """Error on rows not seen, and processor time, against the number of neurons; diamonds and Friedman 1."""
    n_turns, sizes = (1, (5, 10, 20)) if quick else (3, (25, 50, 100, 200, 400, 800, 1600, 3200))
    tables = {"diamonds": diamonds()[:2], "Friedman 1": make_friedman1(50_000, noise=1.0, random_state=0)}
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.9), layout="constrained")
    row = table("table", "tanh", "RMSE", "alpha", "sums s", "solving s")
    for (name, (X, y)), colour in zip(tables.items(), COLOURS, strict=False):
        if quick:
            X, y = X[::500], y[::500]
        found = [np.median([_one_size(X, y, L, turn) for turn in range(n_turns)], axis=0) for L in sizes]
        for L, (error, alpha, sums, solving) in zip(sizes, found, strict=True):
            row(name, f"{L:,}", f"{error:.4g}", f"{alpha:.2g}", f"{sums:.2f}", f"{solving:.2f}")
        errors, _, sums, solving = np.transpose(found)
        left.plot(sizes, errors / errors.min(), "o-", color=colour, label=name)
        if name == "diamonds":
            right.plot(sizes, sums, "o-", color=OTHER, label="sums over 40,455 rows, grows as L²")
            right.plot(sizes, solving, "s-", color=ACCENT, label='solving, alpha="gcv", grows as L³')
    left.set(xscale="log", ylim=(0.9, None), xlabel="tanh neurons", ylabel="RMSE on new rows / smallest")
    right.set(xscale="log", yscale="log", xlabel="tanh neurons", ylabel="processor seconds, one thread")
    for ax in (left, right):
        light_grid(ax)
        plain_numbers(ax.xaxis, log=True)
        plain_numbers(ax.yaxis, log=ax is right)
        ax.legend(frameon=False)
    return figure


def _one_size(X, y, n_tanh, seed):
    """RMSE on a quarter of the rows, alpha_, and processor seconds of one thread for the sums and for solving."""
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=seed)
    model = ELMRegressor([(X.shape[1], "lin"), (n_tanh, "tanh")], random_state=seed)
    with threadpool_limits(1):
        times = [time.process_time()]
        model.initialize(X).partial_fit(X, y)
        times.append(time.process_time())
        model.solve()
        times.append(time.process_time())
    return np.sqrt(np.mean(np.square(model.predict(X_test) - y_test))), model.alpha_, *np.diff(times)


def penalty(quick):
    """What `PenaltyDisplay` and `NeuronsDisplay` show of a grid with five folds."""
    n_rows, sizes = (200, [10, 20, 40]) if quick else (2000, [10, 35, 60, 110, 210, 410, 810])
    X, y = make_friedman1(n_rows, noise=1.0, random_state=0)
    model = ELMRegressorCV([(10, "lin"), (sizes[-1] - 10, "tanh")], n_neurons=sizes, cv=5, random_state=0)
    model.set_params(scoring="neg_root_mean_squared_error", alphas=np.logspace(-4, 4, 33)).fit(X, y)
    row = table("n_neurons_", "alpha_", "best_score_")
    row(model.n_neurons_, f"{model.alpha_:.3g}", f"{model.best_score_:.4g}")
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for ax, display in zip(axes, (PenaltyDisplay, NeuronsDisplay), strict=True):
        display.from_estimator(model, ax=ax)
        ax.title.set_fontsize("medium")
    return figure


def probabilities(quick):
    """How often a class of predicted probability p is so, for daskelm with and without its link, and calibrated."""
    n_rows = 1000 if quick else None
    X, price, _ = diamonds()
    tables = {"diamonds above the median price": (X, (price > np.median(price)).astype(int)), "a made table": noisy()}
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
    row = table("table", "model", "accuracy", "Brier score", "log loss", "gap", "exactly 0 or 1")
    for ax, (name, (X, y)) in zip(axes, tables.items(), strict=True):
        order = np.random.default_rng(0).permutation(len(X))[:n_rows]
        X, X_test, y, y_test = train_test_split(X[order], y[order], test_size=0.25, random_state=0)
        model = ELMClassifier(random_state=0).fit(X, y)
        isotonic = CalibratedClassifierCV(ELMClassifier(random_state=0), method="isotonic", cv=5).fit(X, y)
        logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(X, y)
        of_models = {
            "ELMClassifier": model.predict_proba(X_test),
            "from sums alone": model.solve().predict_proba(X_test),
            "calibrated, isotonic": isotonic.predict_proba(X_test),
            "logistic regression": logistic.predict_proba(X_test),
        }
        for i, (label, p) in enumerate(of_models.items()):
            shown = {"color": (OTHER, ACCENT, COLOURS[2], COLOURS[3])[i], "marker": "o^sD"[i], "name": label}
            display = ReliabilityDisplay.from_predictions(y_test, p, ax=ax, **shown)
            scores = [np.mean((p[:, 1] > 0.5) == y_test), brier_score_loss(y_test, p[:, 1]), log_loss(y_test, p)]
            known = np.mean((p == 0) | (p == 1))
            row(name, label, *(f"{score:.3f}" for score in (*scores, display.counts.gap)), f"{known:.1%}")
        ax.set_title(name)
        ax.legend(frameon=False, loc="upper left", fontsize="small")
    return figure


def noisy():
    """20,000 rows whose class is drawn with a known probability, a curved function of five inputs."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_000, 5))
    return X, (rng.random(20_000) < 1 / (1 + np.exp(-4 * np.sin(1.5 * X[:, 0]) - 2 * X[:, 1] * X[:, 2]))).astype(int)


def window(quick):
    """R2 on the next day of a relation that drifts, by the sums of all days and by those of the last ten."""
    n_days, n_rows = (14, 100) if quick else (90, 1000)
    rng = np.random.default_rng(0)
    days = []
    for day in range(n_days):
        X = rng.uniform(-2, 2, (n_rows, 3))
        phase = np.pi * max(day - 30, 0) / 60
        days.append((X, np.sin(2 * X[:, 0] + phase) + X[:, 1] * X[:, 2] + rng.normal(0, 0.3, n_rows)))
    model = ELMRegressor(random_state=0)
    # All days have the layer of the first day, since sums of two layers do not add.
    sums = [model.initialize(days[0][0]).partial_fit(X, y).normal_equations_ for X, y in days]
    everything, recent, scores = sums[0], sums[0], []
    for day in range(1, n_days):
        scores.append([model.solve(sums_).score(*days[day]) for sums_ in (everything, recent)])
        everything, recent = everything + sums[day], recent + sums[day]
        if day >= 10:
            recent = recent - sums[day - 10]
    row = table("days", "all days", "last ten")
    for name, part in zip(("first third", "second", "last"), np.array_split(np.array(scores), 3), strict=True):
        row(name, *(f"{score:.3f}" for score in part.mean(axis=0)))
    figure, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
    for i, label in enumerate(("all days so far", "the last ten days")):
        ax.plot(range(1, n_days), np.array(scores)[:, i], color=COLOURS[i], linewidth=2, label=label)
    ax.axvline(30, color=INK, linestyle=":", linewidth=1)
    ax.set(xlabel="day; the relation begins to drift at the dotted line", ylabel="R² on the next day")
    ax.legend(frameon=False)
    light_grid(ax)
    return figure


def deviations(quick):
    """Standard deviations of `return_std` within the data, in a gap, and beyond."""
    rng = np.random.default_rng(0)
    n_rows = 50 if quick else 200
    x = np.sort(np.concatenate([rng.uniform(-3, -0.5, n_rows // 2), rng.uniform(1, 3, n_rows // 2)]))
    y = np.sin(2 * x) + rng.normal(0, 0.15, len(x))
    model = ELMRegressor(100, random_state=0).fit(x[:, None], y)
    row = table("x", "true", "prediction", "std")
    for at in (2.0, 0.25, 4.0, 5.0, 12.0, 15.0):
        row(at, *(f"{value:.3f}" for value in (np.sin(2 * at), *np.ravel(model.predict([[at]], return_std=True)))))
    new = np.linspace(-4.5, 4.5, 601)
    mean, std = model.predict(new[:, None], return_std=True)
    figure, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
    ax.fill_between(new, mean - 1.645 * std, mean + 1.645 * std, color=OTHER, alpha=0.2, linewidth=0, label="90 %")
    ax.plot(new, mean, color=OTHER, linewidth=2, label="prediction")
    ax.plot(new, np.sin(2 * new), color=INK, linestyle="--", linewidth=1, label="what the rows follow")
    ax.scatter(x, y, s=9, color=ACCENT, label="rows", zorder=3)
    ax.set(xlabel="x", ylabel="y")
    ax.legend(frameon=False, loc="upper left")
    light_grid(ax)
    return figure


PICTURES = {
    picture.__name__: picture for picture in (kinds, number_of_neurons, penalty, probabilities, window, deviations)
}

if __name__ == "__main__":
    main()
