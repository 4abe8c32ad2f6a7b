"""Arrival delays of the flights from New York City in 2013: from tables to HDF5, to a model, to predictions in HDF5.

Run it with ``python examples/flights.py``, with the extra ``examples`` installed. It starts a local Dask cluster, fits
an Extreme Learning Machine to the rows of January to October in the file, and writes predictions for November and
December to another file. It compares them with linear ridge regression, gradient boosting and the mean. Delays are
noisy, and depend on thresholds and on single days: trees are better here. The example itself needs no network.
"""

from __future__ import annotations

import argparse
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from dask.distributed import Client, LocalCluster
from flights_data import FlightFiles, build, linear_ridge
from sklearn.ensemble import HistGradientBoostingRegressor

from daskelm import ELMRegressor, from_hdf5

FIRST_TEST_MONTH = 11


@dataclass(frozen=True)
class Result:
    """One line of the report: predictions for the test rows, and the seconds they took."""

    name: str
    predicted: np.ndarray
    fit_seconds: float
    predict_seconds: float


def main(argv=None) -> int:
    options = parse(argv)
    folder = Path(options.output)
    print(f"Writing the flights to {folder}/ ...", flush=True)
    files, seconds = timed(build, folder, options.rows)
    n_train = int(np.searchsorted(files.month, FIRST_TEST_MONTH))
    with start_cluster() as cluster, Client(cluster) as client:
        print(f"Dask dashboard: {client.dashboard_link}", flush=True)
        elm = extreme_learning_machine(files, n_train, options.neurons, folder)
    actual = read(files.y, slice(n_train, None))
    results = [elm, *competitors(files, n_train)]
    print(report(files, n_train, seconds, actual, results))
    figure = draw(actual, elm.predicted, folder / "flights.png")
    print(f"\nPredictions: {folder / 'predicted.h5'}\nModel:       {folder / 'model.h5'}\nFigure:      {figure}")
    return 0


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", default="demo-output", help="folder for all files (default: %(default)s)")
    parser.add_argument("--neurons", type=int, help="tanh neurons beside the linear ones (default: daskelm's)")
    parser.add_argument("--rows", type=int, help="about this many flights, evenly over the year (default: all)")
    return parser.parse_args(argv)


def timed(function, *args):
    """Result of a call, and its seconds."""
    begin = time.perf_counter()
    return function(*args), time.perf_counter() - begin


def start_cluster():
    """Two worker processes that only this machine can reach; the library itself never starts a cluster."""
    return LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        # On a busy machine processes may need more than four seconds to end, which is a warning of no use here.
        silence_logs=logging.ERROR,
    )


def extreme_learning_machine(files: FlightFiles, n_train: int, n_tanh: int | None, folder: Path) -> Result:
    """Fit from the files and predict to a file. The workers read the rows; this process never holds them."""
    neurons = None if n_tanh is None else [(len(files.columns), "lin"), (n_tanh, "tanh")]
    train, test = slice(0, n_train), slice(n_train, files.n_rows)
    model = ELMRegressor(neurons, random_state=0, verbose=1)
    _, fit_seconds = timed(model.fit, from_hdf5(files.X, rows=train), from_hdf5(files.y, rows=train))
    out = folder / "predicted.h5"
    _, predict_seconds = timed(model.predict, from_hdf5(files.X, rows=test), out)
    model.save(folder / "model.h5")
    return Result(f"daskelm, {model.coef_.shape[1]} neurons", read(out), fit_seconds, predict_seconds)


def competitors(files: FlightFiles, n_train: int) -> list[Result]:
    """Results of models that need the same rows in memory."""
    X, y, X_test = (
        read(files.X, slice(0, n_train)),
        read(files.y, slice(0, n_train)),
        read(files.X, slice(n_train, None)),
    )
    results = []
    models = {"linear ridge": linear_ridge(), "gradient boosting": HistGradientBoostingRegressor(random_state=0)}
    for name, model in models.items():
        _, fit_seconds = timed(model.fit, X, y)
        predicted, predict_seconds = timed(model.predict, X_test)
        results.append(Result(name, predicted, fit_seconds, predict_seconds))
    return [*results, Result("mean", np.full(len(X_test), y.mean()), 0.0, 0.0)]


def read(path, rows=slice(None)) -> np.ndarray:
    """Rows of a file; one column is read as a vector."""
    with h5py.File(path) as file:
        data = file["data"][rows]
    return data[:, 0] if data.shape[1] == 1 else data


def r2(actual, predicted) -> float:
    """Coefficient of determination."""
    return 1 - np.square(actual - predicted).sum() / np.square(actual - actual.mean()).sum()


def report(files: FlightFiles, n_train: int, seconds: float, actual, results) -> str:
    """Rows, seconds, and errors, as text."""
    n_test = len(actual)
    lines = [
        "",
        f"{files.n_flights:>9,} flights read and written in {seconds:.1f} s",
        f"{files.n_without_delay:>9,} of them cancelled or diverted, without arrival delay: left out",
        f"{n_train:>9,} rows of January to October to learn from, {len(files.columns)} predictors each",
        f"{n_test:>9,} rows of November and December to predict",
        "",
        f"{'':<22}{'fit, s':>10}{'predict, s':>12}{'R2':>10}{'MAE, min':>12}",
    ]
    for result in results:
        mae = np.abs(actual - result.predicted).mean()
        lines.append(
            f"{result.name:<22}{result.fit_seconds:>10.2f}{result.predict_seconds:>12.2f}"
            f"{r2(actual, result.predicted):>10.4f}{mae:>12.2f}"
        )
    return "\n".join(lines)


def draw(actual, predicted, path: Path) -> Path:
    """Draw the number of flights by predicted and actual delay, and the mean actual delay."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.colors import LinearSegmentedColormap

    x_limits, y_limits = np.quantile(predicted, [0.0005, 0.9995]), (-70.0, 180.0)
    outside = ~(_within(predicted, x_limits) & _within(actual, y_limits))
    figure, axes = plt.subplots(figsize=(8.5, 6.5), layout="constrained")
    # No colour is so light that one flight would vanish, or so dark that the lines would.
    blues = LinearSegmentedColormap.from_list("blues", plt.get_cmap("Blues")(np.linspace(0.13, 0.8, 256)))
    hexagons = axes.hexbin(
        predicted, actual, gridsize=(60, 44), extent=(*x_limits, *y_limits), bins="log", mincnt=1, cmap=blues
    )
    figure.colorbar(hexagons, ax=axes, label="flights per hexagon", pad=0.02, format="{x:.0f}")
    axes.plot(x_limits, x_limits, "--", color="0.15", linewidth=1.5, label="predicted = actual")
    centre, quartiles, mean = calibration(predicted, actual)
    for line, label in zip(quartiles, ("quartiles of actual delay", None), strict=True):
        axes.plot(centre, line, color="tab:red", linewidth=1.5, label=label)
    axes.plot(centre, mean, "o-", color="tab:red", markeredgecolor="white", markersize=8, label="mean actual delay")
    axes.set(
        xlim=x_limits,
        ylim=y_limits,
        xlabel="predicted arrival delay (minutes)",
        ylabel="actual arrival delay (minutes)",
        title=f"Flights from New York City, November and December 2013\n"
        f"{len(actual):,} flights, R² = {r2(actual, predicted):.3f}",
    )
    note = f"{outside.mean():.1%} of the flights lie outside the frame"
    axes.text(0.99, 0.012, note, transform=axes.transAxes, ha="right", va="bottom", color="0.3", fontsize=9)
    axes.legend(loc="upper left", framealpha=1)
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return path


def _within(values, limits):
    return (values >= limits[0]) & (values <= limits[1])


def calibration(predicted, actual, n_bins: int = 20):
    """Mean predicted delay, quartiles of the actual delays (2, n_bins) and their mean, by group of flights.

    The groups have equally many flights, from the least to the most delayed by prediction.
    """
    groups = np.array_split(np.argsort(predicted), n_bins)
    quartiles = np.array([np.quantile(actual[rows], [0.25, 0.75]) for rows in groups]).T
    return [predicted[rows].mean() for rows in groups], quartiles, [actual[rows].mean() for rows in groups]


# Worker processes import this file: without the guard each would start the demo again.
if __name__ == "__main__":
    raise SystemExit(main())
