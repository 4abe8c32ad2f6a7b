"""The Earth's magnetic field at a million places, heights and times: from HDF5 to a model, to a map of its errors.

Run it with ``python examples/magnetic_field.py``, or with ``make demo``, which also installs what it needs. It starts a
local Dask cluster whose workers write the rows to HDF5, fits an Extreme Learning Machine to four fifths of them, and
writes predictions for the others to another file. Beside it stand linear ridge regression, gradient boosting and a
neural network of scikit-learn, fitted to the same rows in memory. The demo itself needs no network.

A smooth function of few inputs is what random neurons are best at, and a fast stand-in for a costly model of physics is
what they are often used for. `examples/flights.py` has noisy measurements, where trees are better.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dask.distributed import Client, LocalCluster
from magnetic_field_data import NOISE, FieldFiles, build, coasts, field_at, inputs_at
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from daskelm import ELMRegressor, from_hdf5

# Passes of the network over the rows: with more the demo would take minutes.
N_PASSES = 10
MAP_HEIGHT, MAP_YEAR = 400.0, 2020.0


@dataclass(frozen=True)
class Result:
    """One line of the report: a model, its predictions for the test rows, and the seconds they took."""

    name: str
    model: Any
    predicted: np.ndarray
    fit_seconds: float
    predict_seconds: float


def main(argv=None) -> int:
    options = parse(argv)
    folder = Path(options.output)
    n_train = options.rows * 4 // 5
    with start_cluster() as cluster, Client(cluster) as client:
        print(f"Dask dashboard: {client.dashboard_link}", flush=True)
        print(f"Writing {options.rows:,} rows to {folder}/ ...", flush=True)
        files, seconds = timed(build, folder, options.rows)
        elm = extreme_learning_machine(files, n_train, options.neurons, folder)
    print("Fitting the other models ...", flush=True)
    results = [*competitors(files, n_train), elm]
    truth = from_hdf5(files.truth, rows=slice(n_train, None)).compute()[:, 0]
    print(report(options.rows, n_train, seconds, truth, results))
    figure = draw(results, truth, folder / "magnetic_field.png")
    print(f"\nPredictions: {folder / 'predicted.h5'}\nModel:       {folder / 'model.h5'}\nFigure:      {figure}")
    return 0


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", default="demo-output", help="folder for all files (default: %(default)s)")
    parser.add_argument("--neurons", type=int, default=1000, help="sigm neurons (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="number of rows (default: %(default)s)")
    return parser.parse_args(argv)


def timed(function, *args):
    """Result of a call, and its seconds."""
    begin = time.perf_counter()
    return function(*args), time.perf_counter() - begin


def start_cluster():
    """Two worker processes that only this machine can reach; the library itself never starts a cluster."""
    return LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    )


def extreme_learning_machine(files: FieldFiles, n_train: int, n_neurons: int, folder: Path) -> Result:
    """Fit from the files and predict to a file. The workers read the rows; this process never holds them."""
    train, test = slice(0, n_train), slice(n_train, None)
    model = ELMRegressor([(5, "lin"), (n_neurons, "sigm")], random_state=0, verbose=1)
    _, fit_seconds = timed(model.fit, from_hdf5(files.X, rows=train), from_hdf5(files.y, rows=train))
    out = folder / "predicted.h5"
    _, predict_seconds = timed(model.predict, from_hdf5(files.X, rows=test), out)
    model.save(folder / "model.h5")
    predicted = from_hdf5(out).compute()[:, 0]
    return Result(f"daskelm, {model.coef_.shape[1]:,} neurons", model, predicted, fit_seconds, predict_seconds)


def competitors(files: FieldFiles, n_train: int) -> list[Result]:
    """Results of models that need the same rows in memory."""
    X, y = from_hdf5(files.X).compute(), from_hdf5(files.y).compute()[:, 0]
    network = MLPRegressor(max_iter=N_PASSES, random_state=0)
    models = {
        "linear ridge": make_pipeline(StandardScaler(), RidgeCV()),
        "gradient boosting": HistGradientBoostingRegressor(random_state=0),
        "neural network": make_pipeline(
            StandardScaler(), TransformedTargetRegressor(network, transformer=StandardScaler())
        ),
    }
    results = []
    for name, model in models.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            _, fit_seconds = timed(model.fit, X[:n_train], y[:n_train])
        predicted, predict_seconds = timed(model.predict, X[n_train:])
        results.append(Result(name, model, predicted, fit_seconds, predict_seconds))
    return results


def report(n_rows: int, n_train: int, seconds: float, truth, results) -> str:
    """Rows, seconds, and errors, as text."""
    lines = [
        "",
        f"{n_rows:>11,} rows made and written in {seconds:.0f} s, with {NOISE:g} nT of noise",
        f"{n_train:>11,} of them to learn from, {n_rows - n_train:,} to predict; the field there varies by "
        f"{truth.std():,.0f} nT",
        "",
        "Error of the field without noise, root mean square:",
        "",
        f"{'':<24}{'fit, s':>10}{'predict, s':>12}{'error, nT':>12}",
    ]
    for result in results:
        error = np.sqrt(np.mean(np.square(result.predicted - truth)))
        lines.append(f"{result.name:<24}{result.fit_seconds:>10.1f}{result.predict_seconds:>12.1f}{error:>12,.0f}")
    return "\n".join(lines)


def draw(results, truth, path: Path) -> Path:
    """Draw a map of the field, and maps of the error of each model, all on one scale."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.colors import LogNorm

    longitude, latitude = np.linspace(-180, 180, 181), np.linspace(-89, 89, 90)
    east, north = np.meshgrid(longitude, latitude)
    X = inputs_at(north.ravel(), east.ravel(), MAP_HEIGHT, MAP_YEAR)
    field = field_at(X)[:, 0].reshape(north.shape)
    sea = coasts()
    figure, axes = plt.subplots(3, 2, figsize=(10, 9), layout="constrained", sharex=True, sharey=True)
    axes = axes.ravel()
    lines = axes[0].contour(longitude, latitude, field / 1000, levels=range(15, 60, 5), cmap="viridis")
    axes[0].clabel(lines, fontsize=8)
    axes[0].set_title(f"the field in µT, {MAP_HEIGHT:.0f} km high, {MAP_YEAR:.0f}", loc="left", fontsize=10)
    axes[1].set_axis_off()
    shown = None
    for ax, result in zip(axes[2:], results, strict=True):
        error = np.abs(result.model.predict(X).reshape(north.shape) - field)
        shown = ax.pcolormesh(longitude, latitude, error, norm=LogNorm(1, 20_000), cmap="magma_r", shading="nearest")
        rms = np.sqrt(np.mean(np.square(result.predicted - truth)))
        ax.set_title(f"{result.name}: {rms:,.0f} nT in {result.fit_seconds:.0f} s", loc="left", fontsize=10)
    for ax in (axes[0], *axes[2:]):
        ax.contour(*sea, levels=[0.5], colors="0.35", linewidths=0.5)
        ax.set(xticks=range(-180, 181, 60), yticks=range(-90, 91, 30), aspect="equal")
    figure.colorbar(shown, ax=axes[1], label="error in nT", location="bottom", fraction=0.08, pad=0.02)
    axes[1].text(
        0.5, 0.6, "Below: how far each model\nis from the field, on one scale", ha="center", va="center", fontsize=11
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


if __name__ == "__main__":
    raise SystemExit(main())
