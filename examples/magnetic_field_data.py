"""The Earth's magnetic field at random places, heights and times, as three satellites would write it to text files.

The field is that of the International Geomagnetic Reference Field, of degree 13, as the PyPI package `ppigrf` computes
it from the published coefficients (Alken et al., 2021). It is a standard model, sampled at random places: no
measurements, but each satellite's magnetometer has an offset, and 50 nT of noise is added, as the ionosphere adds it.
One row in a thousand has lost its time. What is true without the noise is known, so that errors are without it.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path

import dask
import numpy as np
import pandas as pd

from daskelm import make_hdf5

__all__ = [
    "HEIGHTS",
    "INPUTS",
    "NOISE",
    "TARGET",
    "YEARS",
    "Survey",
    "build",
    "coasts",
    "field_at",
    "inputs_at",
    "rows_at",
]

# Kilometres above the ellipsoid, years, and standard deviation of the noise in nT.
HEIGHTS, YEARS, NOISE = (300.0, 1500.0), (1990.0, 2025.0), 50.0
# Satellites, and the offset of the magnetometer of each in nT.
SATELLITES = {"alpha": 0.0, "bravo": 80.0, "charlie": -120.0}
# Columns of the survey: the place is a unit vector from the Earth's centre, since longitudes jump at 180 degrees.
INPUTS, TARGET = ("satellite", "time", "x", "y", "z", "height"), "field"
# One row in so many has no time.
_ROWS_PER_GAP = 1000
# Files of the survey; the last is to be predicted.
_N_FILES = 5
# Coefficients are given every five years, and are linear in time between.
_EPOCHS = np.arange(YEARS[0], YEARS[1] + 1, 5)
_BLOCK = 20_000
_SECONDS_PER_YEAR = 365.25 * 86400
# Every so many-th point of the land mask is kept, which has 120 points per degree.
_MASK_STEP = 60


@dataclass(frozen=True)
class Survey:
    """Files that `build` wrote: text tables, the last to be predicted, and HDF5 with the field that is true there."""

    tables: list[str]
    truth: str


def inputs_at(latitude, longitude, height, year) -> np.ndarray:
    """Inputs (n, 5) of places in degrees, heights in km and years: a unit vector, the height, and the time."""
    latitude, longitude = np.radians(latitude), np.radians(longitude)
    east = np.cos(latitude)
    parts = (east * np.cos(longitude), east * np.sin(longitude), np.sin(latitude), height, year)
    return np.stack(np.broadcast_arrays(*parts), axis=-1)


def field_at(X: np.ndarray) -> np.ndarray:
    """Intensity of the field (n, 1) in nT for inputs (n, 5)."""
    from ppigrf import igrf

    latitude, longitude = np.degrees(np.arcsin(X[:, 2])), np.degrees(np.arctan2(X[:, 1], X[:, 0]))
    epochs = [datetime(int(year), 1, 1) for year in _EPOCHS]
    parts = np.array(igrf(longitude, latitude, X[:, 3], epochs))
    place = (X[:, 4] - _EPOCHS[0]) / 5
    before = np.minimum(place.astype(int), len(_EPOCHS) - 2)
    later, rows = place - before, np.arange(len(X))
    vectors = (1 - later) * parts[:, before, rows] + later * parts[:, before + 1, rows]
    return np.linalg.norm(vectors, axis=0)[:, None]


def rows_at(X: np.ndarray, satellites: np.ndarray) -> pd.DataFrame:
    """Inputs (n, 5) and names of satellites as rows of the survey, in the digits that are written."""
    time = ((X[:, 4] - 1970) * _SECONDS_PER_YEAR).astype("datetime64[s]")
    place = dict(zip("xyz", X[:, :3].T.round(7), strict=True))
    first = {"satellite": satellites, "time": np.datetime_as_string(time, timezone="UTC")}
    return pd.DataFrame({**first, **place, "height": X[:, 3].round(3)})


def build(folder, n_rows: int) -> Survey:
    """Write the survey; its files are made where Dask says, so by the workers of a cluster if there is one."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tables = [str(folder / f"survey-{i + 1}.csv") for i in range(_N_FILES)]
    edges = [n_rows * i // _N_FILES for i in range(_N_FILES + 1)]
    written = [dask.delayed(_write)(path, *edges[i : i + 2]) for i, path in enumerate(tables)]
    *_, truth = dask.compute(*written)
    return Survey(tables, make_hdf5(truth, folder / "truth.h5"))


def _write(path, start, stop) -> np.ndarray:
    """Write rows start to stop - 1 of the survey as an instrument would; the field (stop - start,) without noise."""
    truth = []
    with open(path, "w") as file:
        for first in range(start, stop, _BLOCK):
            frame, field = _block(first, min(_BLOCK, stop - first))
            frame.to_csv(file, index=False, header=first == start)
            truth.append(field)
    return np.concatenate(truth)


def _block(first, n_rows):
    """Rows of the survey from `first` on, and the field that is measured there without noise."""
    stream = np.random.default_rng([0, first])
    # Uniform on the sphere.
    latitude = np.degrees(np.arcsin(stream.uniform(-1, 1, n_rows)))
    longitude = stream.uniform(-180, 180, n_rows)
    X = inputs_at(latitude, longitude, stream.uniform(*HEIGHTS, n_rows), stream.uniform(*YEARS, n_rows))
    satellites = stream.choice(list(SATELLITES), n_rows)
    field = field_at(X)[:, 0] + np.array([SATELLITES[one] for one in satellites])
    frame = rows_at(X, satellites)
    frame.loc[stream.integers(_ROWS_PER_GAP, size=n_rows) == 0, "time"] = ""
    return frame.assign(**{TARGET: (field + NOISE * stream.standard_normal(n_rows)).round(1)}), field


def coasts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Longitudes, latitudes, and whether there is sea, on a grid of half degrees (PyPI package `global-land-mask`)."""
    path = files("global_land_mask") / "globe_combined_mask_compressed.npz"
    with zipfile.ZipFile(str(path)) as archive, archive.open("mask.npy") as stream:
        np.lib.format.read_magic(stream)
        (n_rows, n_columns), _, _ = np.lib.format.read_array_header_1_0(stream)
        # The whole mask is 900 MB in memory.
        rows = []
        for i in range(n_rows):
            row = stream.read(n_columns)
            if i % _MASK_STEP == 0:
                rows.append(np.frombuffer(row, bool)[::_MASK_STEP])
    sea = np.stack(rows)
    latitudes = np.linspace(90, -90, len(sea), endpoint=False)
    return np.linspace(-180, 180, sea.shape[1], endpoint=False), latitudes, sea
