"""Speed of a fit for other numbers of inputs and neurons, precisions and layouts of files than in speed.py.

The layers have L = 100 to 4000 neurons. The files have 10, 100 or 784 inputs in float64 and chunks of 1,000 rows. For
100 inputs there are three more forms: float32, one contiguous piece, and compressed by gzip (with numbers in steps of
1/1024, which gzip makes smaller). The number of rows is that for which the limit T* of speed.py is about a second; it
is at least 2 L, and the file at most 400 MB.

daskelm and plain dask arrays have a worker process of one thread per core. HP-ELM uses the threads that it starts by
itself, and runs with up to 2,000 neurons. The competitors take turns; the table has medians of the ratios within a
turn. Prints a Markdown table; --json writes all figures, and --plot a picture.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
from dask.distributed import Client, LocalCluster
from speed import ALPHA, Size, gemm_rate, machine, n_cores, one_turn

NAMES = ("limit", "daskelm", "dask.array", "HP-ELM")
MOST_HPELM = 2000


@dataclass(frozen=True)
class Cell:
    """A form of the files and a size of the layer."""

    d: int
    L: int
    dtype: str = "f8"
    layout: str = "chunked"


@dataclass(frozen=True)
class Grid:
    """Cells, the wanted seconds of T*, turns, and the size of the matrix product whose rate T* uses."""

    cells: tuple[Cell, ...]
    seconds: float
    n_turns: int
    n_gemm: int


NEURONS = (100, 500, 1000, 2000, 4000)
FULL = Grid(
    tuple(Cell(d, L) for d in (10, 100, 784) for L in NEURONS)
    + tuple(Cell(100, L, "f4") for L in NEURONS)
    + tuple(Cell(100, L, layout=layout) for layout in ("contiguous", "gzip") for L in NEURONS),
    1.0,
    3,
    4096,
)
QUICK = Grid((Cell(10, 50), Cell(20, 100, "f4", "contiguous"), Cell(20, 100, layout="gzip")), 0.001, 1, 256)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rows, to check that the script runs")
    parser.add_argument("--hpelm", metavar="PYTHON", help="interpreter of an environment that has HP-ELM")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    parser.add_argument("--plot", metavar="FILE", help="draw the figures")
    options = parser.parse_args(argv)
    grid = QUICK if options.quick else FULL
    facts = machine()
    print(f"{facts['cpu']}, {facts['cores']} cores, " + ", ".join(f"{k} {v}" for k, v in facts["versions"].items()))
    print(f"3 targets, {grid.n_turns} turn(s)\n")
    print("| inputs | L | numbers | file | rows | daskelm, s | of T* | dask.array takes | HP-ELM takes |")
    print("|---:|---:|---|---|---:|---:|---:|---:|---:|")
    rate = max(gemm_rate(grid.n_gemm) for _ in range(3))
    figures = []
    with (
        LocalCluster(
            n_workers=n_cores(), threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster),
    ):
        for cell in grid.cells:
            size = Size(n_rows(cell, grid.seconds * rate), cell.d, 3, (cell.L,), grid.n_turns, grid.n_gemm)
            with tempfile.TemporaryDirectory() as folder:
                turns = measure(Path(folder), cell, size, options.hpelm)
            figures.append({"cell": vars(cell), "n_samples": size.n_samples, "seconds": turns})
            print(row(cell, size, turns), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(facts | {"cells": figures}, indent=1), encoding="utf-8")
    if options.plot:
        plot(figures, options.plot)
    return 0


def n_rows(cell: Cell, work: float) -> int:
    """Number of rows, to two digits, whose fit takes `work` operations."""
    n = work / (cell.L * (cell.L + 1) + 2 * cell.d * cell.L + 6 * cell.L)
    return int(float(f"{max(min(n, 4e8 / (8 * cell.d)), 2 * cell.L):.1e}"))


def measure(folder: Path, cell: Cell, size: Size, hpelm: str | None) -> dict:
    """Seconds of each turn, by name of the competitor."""
    paths = make_files(folder, cell, size)
    rng = np.random.default_rng(cell.L)
    W, b = rng.standard_normal((cell.d, cell.L)) / np.sqrt(cell.d), rng.standard_normal(cell.L)
    np.savez(folder / "given.npz", W=W, b=b, c=size.n_targets, alpha=ALPHA)
    turns: dict = {}
    # With inputs in float32 plain dask arrays also sum in float32, so their weights may differ.
    only = replace(size, names=NAMES, tolerance=1e-8 if cell.dtype == "f8" else np.inf)
    for turn in range(size.n_turns + 1):
        seconds = one_turn(folder, {"f8": paths}, only, W, b, hpelm if cell.L <= MOST_HPELM else None)
        # The first turn loads files, workers and libraries, and is not counted.
        if turn:
            for name, value in seconds.items():
                turns.setdefault(name, []).append(value)
    return turns


def make_files(folder: Path, cell: Cell, size: Size) -> tuple[str, str]:
    """Write inputs and targets to two files, and return their paths."""
    rng = np.random.default_rng(0)
    X = np.round(rng.standard_normal((size.n_samples, size.n_features)) * 1024) / 1024
    T = np.tanh(X[:, : size.n_targets]) + 0.1 * rng.standard_normal((size.n_samples, size.n_targets))
    paths = []
    for name, table in (("X", X), ("T", T)):
        how: dict = {} if cell.layout == "contiguous" else {"chunks": (min(1000, len(table)), table.shape[1])}
        if cell.layout == "gzip":
            how["compression"] = "gzip"
        paths.append(str(folder / f"{name}.h5"))
        with h5py.File(paths[-1], "w") as file:
            file.create_dataset("data", data=table.astype(cell.dtype), **how)
    return paths[0], paths[1]


def row(cell: Cell, size: Size, turns: dict) -> str:
    """One row of the table."""

    def ratio(above, below):
        return statistics.median(a / b for a, b in zip(turns[above], turns[below], strict=True))

    cells = [cell.d, f"{cell.L:,}", {"f8": "float64", "f4": "float32"}[cell.dtype], cell.layout]
    cells += [f"{size.n_samples:,}", f"{statistics.median(turns['daskelm']):.2f}", f"{ratio('daskelm', 'limit'):.2f}"]
    cells += [f"{ratio(name, 'daskelm'):.2f} x" if name in turns else "" for name in ("dask.array", "HP-ELM")]
    return "| " + " | ".join(map(str, cells)) + " |"


def plot(figures, path) -> None:
    """Draw the ratio of a fit's time to the limit against the number of neurons."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    fig, ax = plt.subplots(figsize=(7, 5), layout="constrained")
    lines: dict = {}
    for figure in figures:
        cell, turns = figure["cell"], figure["seconds"]
        ratio = statistics.median(a / b for a, b in zip(turns["daskelm"], turns["limit"], strict=True))
        what = {"f8": "float64", "f4": "float32"}[cell["dtype"]]
        lines.setdefault(f"{cell['d']} inputs, {what}, {cell['layout']}", []).append((cell["L"], ratio))
    for (name, points), marker in zip(lines.items(), "os^Dv*P", strict=False):
        ax.plot(*zip(*points, strict=True), marker=marker, label=name)
    ax.axhline(1, color="black", linestyle="--", linewidth=1)
    ax.set(xscale="log", xlabel="neurons", ylabel="time of a fit / T*", title="Fits from HDF5 beside the limit")
    ax.set_ylim(bottom=0)
    neurons = sorted({figure["cell"]["L"] for figure in figures})
    ax.set_xticks(neurons, [f"{L:,}" for L in neurons])
    ax.tick_params(axis="x", which="minor", labelbottom=False)
    ax.legend()
    ax.grid(alpha=0.3)
    fig.savefig(path, dpi=120)


if __name__ == "__main__":
    raise SystemExit(main())
