"""Pictures of the model in scaling_model.py, and of what was measured."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import numpy as np
import scipy.ndimage
from matplotlib import pyplot as plt
from matplotlib.colors import ListedColormap
from scaling_model import Constants, limiting

COLOURS = {"compute": "#4c8cc4", "reading": "#56b08c", "storage": "#a6cf6a", "scheduler": "#f0b63f",
           "reduction": "#c78bb5", "solve": "#dd6e52"}  # fmt: skip


def plot(figures, path) -> None:
    """Draw terms against workers, measured against predicted times, and two maps of the largest term."""
    constants, d = Constants(**figures["constants"]), figures["n_features"]
    fig, axes = plt.subplots(2, 2, figsize=(11, 8.6), layout="constrained")
    draw_terms(axes[0, 0], constants, 10**10, 1000, d)
    draw_check(axes[0, 1], figures)
    for ax, power in zip(axes[1], (10, 7), strict=True):
        draw_map(ax, constants, 10**power, d)
        ax.set_title(f"10$^{{{power}}}$ rows: what takes the most time")
    fig.savefig(path, dpi=120)


def draw_check(ax, figures) -> None:
    """Draw measured against predicted times of fits with few workers and simulations with many."""
    for p, marker in ((1, "o"), (2, "s"), (4, "^")):
        runs = [run for run in figures["runs"] if run["p"] == p]
        measured = [min(run["seconds"]) for run in runs]
        if runs:
            label = f"fit, {p} worker" + "s" * (p > 1)
            ax.plot(
                [run["predicted"] for run in runs], measured, marker, color="#2f6ea5", label=label, alpha=0.85, ms=7
            )
    constants = Constants(**figures["constants"])
    points = [
        (constants.terms(run["p"], run["N"], run["L"], figures["n_features"])["scheduler"], run["seconds"])
        for run in figures["simulations"]
    ]
    ax.plot(*zip(*points, strict=True), "D", color="#d99a1c", ms=7, label="10, 100, 1,000 dummy workers")
    everything = [run["predicted"] for run in figures["runs"]] + [x for point in points for x in point]
    ends = [min(everything) / 2, max(everything) * 2]
    ax.plot(ends, ends, color="0.4", lw=1)
    ax.fill_between(
        ends, [end / 2 for end in ends], [end * 2 for end in ends], color="0.92", label="within a factor of 2"
    )
    ax.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="predicted, s", ylabel="measured, s")
    ax.set_title(f"The model and what was measured, on {figures['machine']['cores']} cores")
    ax.legend(loc="upper left", frameon=False)


def draw_terms(ax, constants, N, L, d) -> None:
    """Draw each term against the number of workers."""
    workers = np.unique(np.geomspace(1, 1000, 91).round().astype(int))
    terms = [constants.terms(int(p), N, L, d) for p in workers]
    last = {}
    for name, colour in COLOURS.items():
        seconds = [t[name] for t in terms]
        ax.plot(workers, seconds, color=colour, lw=2.4)
        last[name] = seconds[-1]
    # Names stand beside the ends of their lines, moved apart where they would overlap.
    height = 0.0
    for name in sorted(last, key=last.__getitem__):
        height = max(last[name], 2.0 * height)
        ax.text(1080, height, name, color=COLOURS[name], va="center", weight="bold")
    ax.plot(workers, [constants.seconds(int(p), N, L, d) for p in workers], "k", lw=1.6, label="all of it")
    ax.plot(workers, [constants.seconds(1, N, L, d) / p for p in workers], "k:", lw=1, label="one worker's / p")
    ax.set(xscale="log", yscale="log", xlim=(1, 1000), xlabel="workers", ylabel="seconds")
    ax.set_title(f"10$^{{10}}$ rows of {d} inputs, 1,000 neurons: the terms")
    ax.legend(loc="upper right", frameon=False)
    ax.grid(alpha=0.3)


def draw_map(ax, constants, N, d) -> None:
    """Draw the term that takes the most time, by colour, and lines of equal time."""
    workers = np.unique(np.geomspace(1, 1000, 181).round().astype(int))
    neurons = np.geomspace(100, 30_000, 160).astype(int)
    names = list(COLOURS)
    which = np.array([[names.index(limiting(constants, int(p), N, int(L), d)) for p in workers] for L in neurons])
    seconds = np.array([[constants.seconds(int(p), N, int(L), d) for p in workers] for L in neurons])
    colours = ListedColormap(list(COLOURS.values()))
    ax.pcolormesh(workers, neurons, which, cmap=colours, vmin=-0.5, vmax=len(names) - 0.5, alpha=0.8, rasterized=True)
    marks = {1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h", 36_000: "10 h", 360_000: "4 days",
             3_600_000: "6 weeks"}  # fmt: skip
    lines = ax.contour(workers, neurons, seconds, levels=list(marks), colors="0.15", linewidths=0.9)
    ax.clabel(lines, fmt=marks, fontsize=8.5)
    ax.set(xscale="log", yscale="log", xlim=(1, 1000), ylim=(100, 30_000), xlabel="workers", ylabel="neurons")
    x, y = np.meshgrid(np.log(workers), np.log(neurons))
    for i, name in enumerate(names):
        here = which == i
        if here.mean() > 0.03:
            # The name stands at the point that is farthest from the border of its region.
            depth = scipy.ndimage.distance_transform_edt(np.pad(here, 1))[1:-1, 1:-1]
            row, column = np.unravel_index(np.argmax(depth), depth.shape)
            words = {
                "storage": f"storage\n({constants.storage / 1e9:.0f} GB/s)",
                "scheduler": "scheduler\nand start",
            }.get(name, name)
            place = {
                "ha": "right" if workers[column] > 600 else "center",
                "va": "center",
                "bbox": {"fc": "white", "ec": "none", "alpha": 0.75, "pad": 2},
            }
            ax.text(np.exp(x[row, column]), np.exp(y[row, column]), words, weight="bold", fontsize=9, **place)
