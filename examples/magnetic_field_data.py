"""The Earth's magnetic field at random places, heights and times, as HDF5 files: inputs, and the field as measured.

The field is that of the International Geomagnetic Reference Field, of degree 13, as the PyPI package `ppigrf` computes
it from the published coefficients (Alken et al., 2021). It is a standard model, sampled at random places: no
measurements, but 50 nT of noise is added, as if a magnetometer and the ionosphere had been there. What is true without
the noise is known, so that errors are without it.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path

import dask
import dask.array as da
import numpy as np

from daskelm import from_hdf5, to_hdf5

__all__ = ["HEIGHTS", "NOISE", "YEARS", "FieldFiles", "build", "coasts", "field_at", "inputs_at"]

# Kilometres above the ellipsoid, years, and standard deviation of the noise in nT.
HEIGHTS, YEARS, NOISE = (300.0, 1500.0), (1990.0, 2025.0), 50.0
# Coefficients are given every five years, and are linear in time between.
_EPOCHS = np.arange(YEARS[0], YEARS[1] + 1, 5)
_BLOCK = 20_000
# Every so many-th point of the land mask is kept, which has 120 points per degree.
_MASK_STEP = 60


@dataclass(frozen=True)
class FieldFiles:
    """Files that `build` wrote: inputs (n_rows, 5), measured and true intensity of the field in nT (n_rows, 1)."""

    X: str
    y: str
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


def build(folder, n_rows: int) -> FieldFiles:
    """Write the three files; the blocks are made where Dask says, so by the workers of a cluster if there is one."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [min(_BLOCK, n_rows - start) for start in range(0, n_rows, _BLOCK)]
    X = _blocks(_random_places, chunks, 5)
    paths = FieldFiles(*(str(folder / f"field_{name}.h5") for name in ("X", "y", "truth")))
    to_hdf5(X, paths.X)
    rows = from_hdf5(paths.X, chunks=_BLOCK)
    to_hdf5(rows.map_blocks(field_at, chunks=(rows.chunks[0], (1,)), dtype=float), paths.truth)
    noise = _blocks(_noise, chunks, 1)
    to_hdf5(from_hdf5(paths.truth, chunks=_BLOCK) + noise, paths.y)
    return paths


def _blocks(function, chunks, n_columns):
    """A dask array whose i-th block is `function(i, rows of it)`."""
    blocks = [
        da.from_delayed(dask.delayed(function)(i, n_rows), (n_rows, n_columns), float)
        for i, n_rows in enumerate(chunks)
    ]
    return da.concatenate(blocks)


def _random_places(block, n_rows):
    stream = np.random.default_rng([0, block])
    # Uniform on the sphere.
    latitude = np.degrees(np.arcsin(stream.uniform(-1, 1, n_rows)))
    longitude = stream.uniform(-180, 180, n_rows)
    return inputs_at(latitude, longitude, stream.uniform(*HEIGHTS, n_rows), stream.uniform(*YEARS, n_rows))


def _noise(block, n_rows):
    return NOISE * np.random.default_rng([1, block]).standard_normal((n_rows, 1))


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
