"""The Earth's magnetic field at a million places, heights and times: from text files to a model and maps of its errors.

Run it with ``python examples/magnetic_field.py``, or with ``make demo``, which also installs what it needs. It starts a
local Dask cluster whose workers write a survey of three satellites to five CSV files, as instruments would: with names
of the satellites, times, gaps, and the field among the columns. From there on all is daskelm: it makes HDF5 of the
text, fits an Extreme Learning Machine to four of the files, and writes predictions for the fifth. In a shell that is

    daskelm make-hdf5 survey-1.csv survey-1.h5 --dates time  # and so for each file
    daskelm init 'survey-[1-4].h5' model.h5 --target field --neurons 1000:auto --missing indicator
    daskelm accumulate model.h5 'survey-[1-4].h5' --target field --into sums.h5
    daskelm solve model.h5 sums.h5
    daskelm predict model.h5 survey-5.h5 --out predicted.h5

Beside it stand linear ridge regression, gradient boosting and a neural network of scikit-learn, fitted to the same rows
in memory. The demo itself needs no network.

A smooth function of few inputs is what random neurons are best at, and a fast stand-in for a costly model of physics is
what they are often used for. `examples/flights.py` has noisy measurements, where trees are better.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dask.distributed import Client, LocalCluster
from magnetic_field_data import INPUTS, NOISE, TARGET, build, coasts, field_at, inputs_at, rows_at
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from daskelm import ELMRegressor, from_hdf5, make_hdf5

# Passes of the network over the rows: with more the demo would take minutes.
N_PASSES = 10
MAP_HEIGHT, MAP_YEAR = 400.0, 2020.0


@dataclass(frozen=True)
class Result:
    """One line of the report: a model, its predictions for the test rows and the map, and the seconds they took."""

    name: str
    predicted: np.ndarray
    on_map: np.ndarray
    fit_seconds: float
    predict_seconds: float


def main(argv=None) -> int:
    options = parse(argv)
    folder = Path(options.output)
    with start_cluster() as cluster, Client(cluster) as client:
        print(f"Dask dashboard: {client.dashboard_link}", flush=True)
        print(f"Writing {options.rows:,} rows to {folder}/ ...", flush=True)
        survey, written = timed(build, folder, options.rows)
        with open(survey.tables[0]) as file:
            print("", *(file.readline().strip() for _ in range(3)), "", sep="\n", flush=True)
        files, converted = timed(to_hdf5, survey.tables)
        places = map_places(folder)
        elm = extreme_learning_machine(files, places, options.neurons, folder)
    print("Fitting the other models ...", flush=True)
    results = [*competitors(files, places), elm]
    truth = from_hdf5(survey.truth).compute()[:, 0]
    print(report(options.rows, written, converted, truth, results))
    figure = draw(results, truth, folder / "magnetic_field.png")
    print(f"\nPredictions: {folder / 'predicted.h5'}\nModel:       {folder / 'model.h5'}\nFigure:      {figure}")
    return 0


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", default="demo-output", help="folder for all files (default: %(default)s)")
    parser.add_argument("--neurons", type=int, default=1000, help="number of neurons (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="number of rows (default: %(default)s)")
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


def to_hdf5(tables: list[str]) -> list[str]:
    """HDF5 files of text tables: satellites become categories, times seconds, and what is empty a gap."""
    return [make_hdf5(path, Path(path).with_suffix(".h5"), dates=["time"]) for path in tables]


def extreme_learning_machine(files: list[str], places: str, n_neurons: int, folder: Path) -> Result:
    """Fit from the files and predict to a file. The workers read the rows; this process never holds them."""
    model = ELMRegressor((n_neurons, "auto"), missing="indicator", random_state=0, verbose=1)
    _, fit_seconds = timed(lambda: model.fit(files[:-1], target=TARGET))
    out = folder / "predicted.h5"
    _, predict_seconds = timed(model.predict, files[-1], out)
    model.save(folder / "model.h5")
    predicted, on_map = (
        from_hdf5(path).compute()[:, 0] for path in (out, model.predict(places, folder / "map_elm.h5"))
    )
    return Result(f"daskelm, {model.coef_.shape[1]:,} neurons", predicted, on_map, fit_seconds, predict_seconds)


def competitors(files: list[str], places: str) -> list[Result]:
    """Results of models that need the same rows in memory, as arrays: codes of satellites, and numbers."""
    # As one table, so that the codes of the satellites are the same in all files.
    inputs = from_hdf5([*files, places], columns=list(INPUTS)).compute()
    y = from_hdf5(files[:-1], columns=TARGET).compute()
    X, X_test, X_map = np.split(inputs, [len(y), len(y) + len(from_hdf5(files[-1]))])
    network = MLPRegressor(max_iter=N_PASSES, random_state=0)
    numbers = list(range(1, len(INPUTS)))
    prepared = make_column_transformer(
        (OneHotEncoder(), [0]),
        (MissingIndicator(features="all"), [1]),
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
    )
    models = {
        "linear ridge": make_pipeline(prepared, RidgeCV()),
        "gradient boosting": HistGradientBoostingRegressor(categorical_features=[0], random_state=0),
        "neural network": make_pipeline(prepared, TransformedTargetRegressor(network, transformer=StandardScaler())),
    }
    results = []
    for name, model in models.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            _, fit_seconds = timed(model.fit, X, y)
        predicted, predict_seconds = timed(model.predict, X_test)
        results.append(Result(name, predicted, model.predict(X_map), fit_seconds, predict_seconds))
    return results


def map_grid():
    """Longitudes and latitudes of the maps, and the inputs (n, 5) there."""
    longitude, latitude = np.linspace(-180, 180, 181), np.linspace(-89, 89, 90)
    east, north = np.meshgrid(longitude, latitude)
    return longitude, latitude, inputs_at(north.ravel(), east.ravel(), MAP_HEIGHT, MAP_YEAR)


def map_places(folder: Path) -> str:
    """An HDF5 file of rows on a grid, which the first of the satellites might have passed."""
    X = map_grid()[2]
    rows_at(X, np.full(len(X), "alpha")).to_csv(folder / "map.csv", index=False)
    return make_hdf5(folder / "map.csv", folder / "map.h5", dates=["time"])


def report(n_rows: int, written: float, converted: float, truth, results) -> str:
    """Rows, seconds, and errors, as text."""
    n_test = len(truth)
    lines = [
        "",
        f"{n_rows:>11,} rows made and written in {written:.0f} s, with {NOISE:g} nT of noise; to HDF5 in "
        f"{converted:.0f} s",
        f"{n_rows - n_test:>11,} of them to learn from, {n_test:,} to predict; the field there varies by "
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

    longitude, latitude, X = map_grid()
    field = field_at(X)[:, 0].reshape(len(latitude), len(longitude))
    sea = coasts()
    figure, axes = plt.subplots(3, 2, figsize=(10, 9), layout="constrained", sharex=True, sharey=True)
    axes = axes.ravel()
    lines = axes[0].contour(longitude, latitude, field / 1000, levels=range(15, 60, 5), cmap="viridis")
    axes[0].clabel(lines, fontsize=8)
    axes[0].set_title(f"the field in µT, {MAP_HEIGHT:.0f} km high, {MAP_YEAR:.0f}", loc="left", fontsize=10)
    axes[1].set_axis_off()
    shown = None
    for ax, result in zip(axes[2:], results, strict=True):
        error = np.abs(result.on_map.reshape(field.shape) - field)
        shown = ax.pcolormesh(longitude, latitude, error, norm=LogNorm(1, 20_000), cmap="magma_r", shading="nearest")
        rms = np.sqrt(np.mean(np.square(result.predicted - truth)))
        ax.set_title(f"{result.name}: {rms:,.0f} nT", loc="left", fontsize=10)
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
