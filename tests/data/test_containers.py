"""Every container of rows, through every entry point, with and without a client: the numbers of dense algebra on H.

Two tables. `CONTAINERS`: ways to hand rows over; a row is a function that makes X, y, weights and labels of a table.
`ENTRY_POINTS`: calls that take rows; a row is a function that gives what the call answers, and one that gives the same
by plain NumPy. A new container or entry point is one row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import dask
import dask.array as da
import dask.dataframe as dd
import h5py
import numpy as np
import pandas as pd
import pytest
import reference
from sklearn.model_selection import KFold

from daskelm import (
    ELMClassifier,
    ELMClassifierCV,
    ELMRegressor,
    ELMRegressorCV,
    HiddenLayer,
    NormalEquations,
    from_hdf5,
    from_parquet,
    make_hdf5,
    to_hdf5,
)
from daskelm.hdf5.columns import Column, write_columns
from daskelm.ridge.eigen import GCV_GRID
from daskelm.sums.content import folds_of, row_hashes

N, D, ALPHA, ALPHAS = 300, 4, 1.0, [0.1, 1.0, 10.0]
SPEC = [(D, "lin"), (12, "tanh")]
NAMES = [f"x{i}" for i in range(D)]
# Chunks that agree with nothing else.
CUTS = (130, 1, 99, 70)


@dataclass(frozen=True)
class Rows:
    """Rows of one table; arrays here, anything in what a container gives."""

    OTHERS: ClassVar = ("y", "weights", "labels")

    X: Any
    y: Any
    weights: Any
    labels: Any

    @property
    def columns(self):
        return {"y": self.y, "weights": self.weights, "labels": self.labels}

    def frame(self):
        return pd.DataFrame(self.X, columns=NAMES).assign(**self.columns)


def table(n_rows, seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, D)) + [0, 0, 100, 0]
    y = np.sin(X[:, 0]) + X[:, 1] * (X[:, 2] - 100) + 0.1 * rng.standard_normal(n_rows)
    return Rows(X, y, rng.uniform(0.5, 2, n_rows), np.digitize(y, [-0.5, 0.5]) + 7)


TRAIN, TEST = table(N, 0), table(90, 1)


# Containers: each takes the rows and a folder for files.


def of_numpy(rows, folder):
    return rows


def of_pandas(rows, folder):
    frame = rows.frame()
    return Rows(frame[NAMES], frame["y"], frame["weights"], frame["labels"])


def of_nullable_pandas(rows, folder):
    frame = rows.frame().convert_dtypes()
    return Rows(frame[NAMES], frame["y"], frame["weights"], frame["labels"])


def _chunks(n_rows):
    cuts = [size for size in CUTS if size <= n_rows]
    return (*cuts, n_rows - sum(cuts)) if n_rows > sum(cuts) else (n_rows // 2, n_rows - n_rows // 2)


def of_dask_array(rows, folder):
    """Columns of one dask array, chunked along both axes."""
    whole = np.column_stack([rows.X, rows.y, rows.weights, rows.labels])
    array = da.from_array(whole, chunks=(_chunks(len(whole)), (2, D - 2, 3)))
    return Rows(array[:, :D], array[:, D], array[:, D + 1], array[:, D + 2].astype(np.int64))


def of_dask_arrays_cut_apart(rows, folder):
    """Each array cut in its own way."""
    n_rows = len(rows.X)
    others = [
        da.from_array(column, chunks=size) for size, column in zip((41, 300, 17), rows.columns.values(), strict=True)
    ]
    return Rows(da.from_array(rows.X, chunks=(_chunks(n_rows), D)), *others)


def of_persisted_dask_array(rows, folder):
    lazy = of_dask_array(rows, folder)
    return Rows(*dask.persist(lazy.X, lazy.y, lazy.weights, lazy.labels))


def of_persisted_X(rows, folder):
    lazy = of_dask_arrays_cut_apart(rows, folder)
    return Rows(lazy.X.persist(), lazy.y, rows.weights, lazy.labels)


def of_unknown_chunks(rows, folder):
    array = of_dask_array(rows, folder)
    kept = array.X[:, 0] < np.inf
    return Rows(array.X.rechunk({1: -1})[kept], array.y[kept], array.weights[kept], array.labels[kept])


def of_shuffling_source(rows, folder):
    """A source that gives its rows in another order each time: they must stay paired, sums do not mind the order."""
    whole = np.column_stack([rows.X, rows.y, rows.weights, rows.labels])
    array = da.from_array(whole, chunks=(_chunks(len(whole)), -1)).map_blocks(_shuffled, dtype=np.float64)
    return Rows(array[:, :D], array[:, D], array[:, D + 1], array[:, D + 2].astype(np.int64))


def _shuffled(block):
    return np.random.default_rng().permutation(block)


def of_dask_frame(rows, folder):
    frame = dd.from_pandas(rows.frame(), npartitions=3)
    return Rows(frame[NAMES], frame["y"], frame["weights"], frame["labels"])


def of_arrow_frame(rows, folder):
    frame = dd.from_pandas(rows.frame().convert_dtypes(dtype_backend="pyarrow"), npartitions=3)
    return Rows(frame[NAMES], frame["y"], frame["weights"], frame["labels"])


def of_persisted_frame(rows, folder):
    frame = dd.from_pandas(rows.frame(), npartitions=3).persist()
    return Rows(frame[NAMES], frame["y"], frame["weights"], frame["labels"])


def of_parquet(rows, folder):
    """Some columns of a folder of Parquet files, which Dask reads several at once where the columns are few."""
    frame = rows.frame().assign(**{f"unused{i}": 0.0 for i in range(20)})
    for i, part in enumerate(np.array_split(np.arange(len(frame)), 5)):
        frame.iloc[part].to_parquet(folder / f"part{i}.parquet")
    lazy = dd.read_parquet(folder)
    return Rows(lazy[NAMES], lazy["y"], lazy["weights"], lazy["labels"])


def _files(rows, folder):
    return Rows(*(make_hdf5(values, folder / f"{name}.h5") for name, values in (("X", rows.X), *rows.columns.items())))


def of_paths(rows, folder):
    return _files(rows, folder)


def of_from_hdf5(rows, folder):
    files = _files(rows, folder)
    return Rows(*(from_hdf5(path) for path in (files.X, files.y, files.weights, files.labels)))


def of_computed_from_hdf5(rows, folder):
    """No longer the file itself, but what is computed of it."""
    lazy = of_from_hdf5(rows, folder)
    return Rows(lazy.X + 0.0, lazy.y[:, 0] + 0.0, lazy.weights[:, 0] * 1.0, lazy.labels[:, 0] + 0)


def of_persisted_from_hdf5(rows, folder):
    lazy = of_from_hdf5(rows, folder)
    return Rows(lazy.X.persist(), lazy.y.persist(), lazy.weights, lazy.labels.persist())


def of_chosen_columns(rows, folder):
    """Columns of one table in a file, by name and in another order than there."""
    frame = rows.frame()[["y", *NAMES[::-1], "labels", "weights"]]
    with h5py.File(folder / "table.h5", "w") as file:
        table = file.create_dataset("data", data=frame.to_numpy(), chunks=(70, 3), compression="gzip")
        write_columns(table, [Column(name) for name in frame.columns])
    return Rows(*(from_hdf5(folder / "table.h5", columns=one) for one in (NAMES, "y", ["weights"], "labels")))


def of_records(rows, folder):
    """Fields of records, as PyTables and h5py write tables; labels stay integers."""
    with h5py.File(folder / "table.h5", "w") as file:
        file.create_dataset("events", data=rows.frame().to_records(index=False), chunks=(70,), compression="gzip")
    return Rows(*(from_hdf5(folder / "table.h5", columns=one) for one in (NAMES, ["y"], "weights", "labels")))


def of_datasets_side_by_side(rows, folder):
    """A dataset of one dimension for each column."""
    with h5py.File(folder / "table.h5", "w") as file:
        for name, values in rows.frame().items():
            file[f"events/{name}"] = values.to_numpy()
    columns = [f"events/{name}" for name in NAMES]
    others = [f"events/{name}" for name in rows.columns]
    return Rows(
        from_hdf5(folder / "table.h5", columns=columns), *(from_hdf5(folder / "table.h5", one) for one in others)
    )


def of_tables_on_their_side(rows, folder):
    """Tables that were written column by column, as MATLAB and R do."""
    with h5py.File(folder / "table.mat", "w") as file:
        file.create_dataset("X", data=rows.X.T, chunks=(3, 70), compression="gzip")
        for name, values in rows.columns.items():
            file[name] = values[None]
    names = ("X", *rows.columns)
    return Rows(*(from_hdf5(folder / "table.mat", dataset=name, transpose=True) for name in names))


def of_datasets(rows, folder):
    files = _files(rows, folder)
    return Rows(*(h5py.File(path)["data"] for path in (files.X, files.y, files.weights, files.labels)))


def of_words(rows, folder):
    """Labels that are text, in the same order."""
    files = _files(rows, folder)
    with h5py.File(folder / "words.h5", "w") as file:
        file["species"] = np.array(["a", "é", "ö"])[rows.labels - 7].astype(object)
    return Rows(files.X, files.y, files.weights, folder / "words.h5")


def of_levels(rows, folder):
    """Labels that are codes with levels, in a table that has the names of its columns."""
    files = _files(rows, folder)
    path = make_hdf5((rows.labels - 7).astype(float), folder / "codes.h5")
    with h5py.File(path, "a") as file:
        write_columns(file["data"], [Column("species", ("red", "white", "yellow"))])
    return Rows(files.X, files.y, files.weights, path)


def of_packed_netcdf(rows, folder):
    """X as codes; its numbers are computed from them without a rounding error."""
    files = _files(rows, folder)
    with h5py.File(folder / "X.nc", "w") as file:
        file["t"] = 8 * rows.X
        file["t"].attrs["scale_factor"], file["t"].attrs["add_offset"] = 0.125, 0.0
    return Rows(folder / "X.nc", files.y, files.weights, files.labels)


def _parts(rows, folder):
    for i, part in enumerate(np.array_split(np.arange(len(rows.X)), 3)):
        inner = folder / f"part{i}"
        inner.mkdir()
        yield _files(Rows(rows.X[part], rows.y[part], rows.weights[part], rows.labels[part]), inner)


def of_lists(rows, folder):
    parts = list(_parts(rows, folder))
    return Rows(*([getattr(part, name) for part in parts] for name in ("X", "y", "weights", "labels")))


def of_globs(rows, folder):
    list(_parts(rows, folder))
    return Rows(*(str(folder / "part*" / f"{name}.h5") for name in ("X", "y", "weights", "labels")))


def of_from_parquet(rows, folder):
    """Columns of one Parquet file, in row groups that agree with nothing else."""
    rows.frame().assign(text="not read").to_parquet(folder / "table.parquet", row_group_size=47)
    return _named_columns(folder / "table.parquet")


def _named_columns(path):
    return Rows(from_parquet(path, columns=NAMES), *(from_parquet(path, columns=name) for name in Rows.OTHERS))


def of_parquet_paths(rows, folder):
    """A glob for X, a folder for y, a list for the weights, and one file for the labels."""
    parts = np.array_split(np.arange(len(rows.X)), 3)
    (folder / "y").mkdir()
    for i, part in enumerate(parts):
        frame = rows.frame().iloc[part]
        frame[NAMES].to_parquet(folder / f"X{i}.parquet", row_group_size=[1, 33, 1000][i])
        frame[["y"]].to_parquet(folder / "y" / f"part-{i}.parquet")
        frame[["weights"]].reset_index(drop=True).to_feather(folder / f"weights{i}.feather")
    rows.frame()[["labels"]].to_parquet(folder / "labels.parquet", row_group_size=100)
    weights = [str(folder / f"weights{i}.feather") for i in range(len(parts))]
    return Rows(str(folder / "X*.parquet"), str(folder / "y"), weights, folder / "labels.parquet")


def of_arrow_file(rows, folder):
    """Columns of one Arrow file of several record batches."""
    rows.frame().to_feather(folder / "table.feather", chunksize=61)
    return _named_columns(folder / "table.feather")


def of_computed_from_parquet(rows, folder):
    lazy = of_from_parquet(rows, folder)
    return Rows(lazy.X + 0.0, lazy.y * 1.0, lazy.weights + 0.0, lazy.labels + 0)


def of_parquet_beside_hdf5(rows, folder):
    """Rows of X in Parquet, of the others in HDF5."""
    files = _files(rows, folder)
    return Rows(of_from_parquet(rows, folder).X, files.y, files.weights, files.labels)


def of_path_beside_dask(rows, folder):
    lazy = of_dask_arrays_cut_apart(rows, folder)
    return Rows(_files(rows, folder).X, lazy.y, rows.weights, lazy.labels)


def of_numpy_beside_dask(rows, folder):
    frame = of_dask_frame(rows, folder)
    return Rows(rows.X, frame.y, frame.weights, frame.labels)


CONTAINERS: dict[str, Callable] = {
    "numpy": of_numpy,
    "pandas": of_pandas,
    "pandas, nullable": of_nullable_pandas,
    "dask array": of_dask_array,
    "dask arrays cut apart": of_dask_arrays_cut_apart,
    "persisted dask array": of_persisted_dask_array,
    "persisted X": of_persisted_X,
    "dask array, unknown chunks": of_unknown_chunks,
    "shuffling source": of_shuffling_source,
    "dask frame": of_dask_frame,
    "dask frame, Arrow": of_arrow_frame,
    "persisted dask frame": of_persisted_frame,
    "Parquet columns": of_parquet,
    "path": of_paths,
    "from_hdf5": of_from_hdf5,
    "computed from_hdf5": of_computed_from_hdf5,
    "persisted from_hdf5": of_persisted_from_hdf5,
    "h5py.Dataset": of_datasets,
    "chosen columns": of_chosen_columns,
    "records": of_records,
    "datasets side by side": of_datasets_side_by_side,
    "tables on their side": of_tables_on_their_side,
    "path, labels of text": of_words,
    "path, labels of levels": of_levels,
    "path, packed": of_packed_netcdf,
    "list": of_lists,
    "glob": of_globs,
    "from_parquet": of_from_parquet,
    "Parquet and Arrow paths": of_parquet_paths,
    "Arrow file": of_arrow_file,
    "computed from_parquet": of_computed_from_parquet,
    "Parquet beside HDF5": of_parquet_beside_hdf5,
    "path beside dask": of_path_beside_dask,
    "numpy beside dask": of_numpy_beside_dask,
}
# Rows of another order in each pass: what depends on which row has which number cannot be compared.
SHUFFLING = {"shuffling source"}


# The same by plain NumPy.


def _layer():
    return HiddenLayer(SPEC, random_state=0).fit(TRAIN.X, sample_weight=TRAIN.weights)


def _ridge(H, T, weights, alpha=ALPHA):
    """B and intercept of the centred, weighted ridge, from its definition."""
    return reference.solve(*reference.sums(H, T, weights), alpha)


def _predicted(train, X, alpha=ALPHA):
    layer = _layer()
    B, intercept = _ridge(layer.transform(train.X), train.y, train.weights, alpha)
    return layer.transform(X) @ B + intercept


def _some(rows, which):
    return Rows(rows.X[which], rows.y[which], rows.weights[which], rows.labels[which])


def _r2(y, predicted, weights):
    return 1 - weights @ (y - predicted) ** 2 / (weights @ (y - np.average(y, weights=weights)) ** 2)


def _codes(labels):
    return (labels[:, None] == np.unique(labels)).astype(float)


def dense_coef(which=slice(None)):
    rows = _some(TRAIN, which)
    return _ridge(_layer().transform(rows.X), rows.y, rows.weights)[0]


def dense_default_coef():
    """The penalty by folds of rows: five regressions for each candidate, scored on the rows that each was without."""
    H = _layer().transform(TRAIN.X).astype(float)
    folds = folds_of(row_hashes(TRAIN.X), 5)
    centred = H - np.average(H, axis=0, weights=TRAIN.weights)
    grid = GCV_GRID * (TRAIN.weights @ np.square(centred)).sum() / H.shape[1]
    errors = np.zeros(len(grid))
    for test in (folds == fold for fold in np.unique(folds)):
        for i, alpha in enumerate(grid):
            B, intercept = _ridge(H[~test], TRAIN.y[~test], TRAIN.weights[~test], alpha)
            errors[i] += TRAIN.weights[test] @ np.square(TRAIN.y[test] - H[test] @ B - intercept)
    return _ridge(H, TRAIN.y, TRAIN.weights, grid[np.argmin(errors)])[0]


def dense_class_coef():
    return _ridge(_layer().transform(TRAIN.X), _codes(TRAIN.labels), TRAIN.weights)[0].T


def dense_class_hits():
    B, intercept = _ridge(_layer().transform(TRAIN.X), _codes(TRAIN.labels), TRAIN.weights)
    found = np.unique(TRAIN.labels)[np.argmax(_layer().transform(TEST.X) @ B + intercept, axis=1)]
    return np.average(found == TEST.labels, weights=TEST.weights)


def dense_fold_scores(splitter, score=_r2):
    found = []
    for alpha in ALPHAS:
        parts = [(_some(TRAIN, fitted), _some(TRAIN, left)) for fitted, left in splitter.split(TRAIN.X)]
        found.append([score(left.y, _predicted(fitted, left.X, alpha), left.weights) for fitted, left in parts])
    return np.mean(found, axis=1)


def _negative_mean_absolute_error(y, predicted, weights):
    return -np.average(np.abs(y - predicted), weights=weights)


def dense_class_fold_scores():
    found, codes, H = [], _codes(TRAIN.labels), _layer().transform(TRAIN.X)
    for alpha in ALPHAS:
        parts = []
        for fitted, left in KFold(3).split(H):
            B, intercept = _ridge(H[fitted], codes[fitted], TRAIN.weights[fitted], alpha)
            hits = np.argmax(H[left] @ B + intercept, axis=1) == np.argmax(codes[left], axis=1)
            parts.append(np.average(hits, weights=TRAIN.weights[left]))
        found.append(parts)
    return np.mean(found, axis=1)


def dense_loo_scores():
    found = []
    for alpha in ALPHAS:
        left_out = [_predicted(_some(TRAIN, np.arange(N) != i), TRAIN.X[i : i + 1], alpha)[0] for i in range(N)]
        found.append(_r2(TRAIN.y, np.array(left_out), TRAIN.weights))
    return found


def dense_validation_scores():
    return [_r2(TEST.y, _predicted(TRAIN, TEST.X, alpha), TEST.weights) for alpha in ALPHAS]


def dense_HH(which):
    rows = _some(TRAIN, which)
    H = _layer().transform(rows.X)
    return (H.T * rows.weights) @ H


def dense_scale():
    mean = np.average(TRAIN.X, 0, TRAIN.weights)
    return np.stack([mean, np.sqrt(np.average((TRAIN.X - mean) ** 2, 0, TRAIN.weights))])


# Entry points: each is given training rows, test rows and a folder.


def _regressor(**parameters):
    return ELMRegressor(SPEC, alpha=ALPHA, random_state=0, **parameters)


def _cv(kind=ELMRegressorCV, **parameters):
    return kind(SPEC, alphas=ALPHAS, random_state=0, **parameters)


def fit(train, test, folder):
    return _regressor().fit(train.X, train.y, train.weights).coef_


def fit_by_default(train, test, folder):
    return ELMRegressor(SPEC, random_state=0).fit(train.X, train.y, train.weights).coef_


def partial_fit(train, test, folder):
    return _regressor().partial_fit(train.X, train.y, train.weights).coef_


def fit_with_callback(train, test, folder):
    return _regressor().fit(train.X, train.y, train.weights, callback=lambda point: None).coef_


def fit_with_tol(train, test, folder):
    """So small a gain that all rows are taken."""
    return _regressor(tol=1e-12).fit(train.X, train.y, train.weights).coef_


def accumulate(train, test, folder):
    model = _regressor().initialize(train.X, train.y, sample_weight=train.weights)
    for rows in (slice(200, N), slice(0, 77), slice(77, 200)):
        model.accumulate(train.X, train.y, rows=rows, sample_weight=train.weights)
    return model.solve().coef_


def accumulate_into(train, test, folder):
    model = _regressor().initialize(train.X, sample_weight=train.weights)
    for rows in (slice(100, N), slice(0, 100)):
        model.accumulate(train.X, train.y, rows=rows, into=folder / "sums.h5", sample_weight=train.weights)
    return NormalEquations.load(folder / "sums.h5").moments(centred=False).HH


def remove(train, test, folder):
    model = _regressor().fit(train.X, train.y, train.weights)
    return model.remove(train.X, train.y, rows=slice(50, 120), sample_weight=train.weights).coef_


def folds(train, test, folder):
    return _cv(cv=3).fit(train.X, train.y, train.weights).cv_results_["mean_test_score"]


def folds_in_two_passes(train, test, folder):
    model = _cv(cv=3, scoring="neg_mean_absolute_error").fit(train.X, train.y, train.weights)
    return model.cv_results_["mean_test_score"]


def scattered_folds(train, test, folder):
    model = _cv(cv=KFold(3, shuffle=True, random_state=0)).fit(train.X, train.y, train.weights)
    return model.cv_results_["mean_test_score"]


def leave_one_out(train, test, folder):
    return _cv(cv="loo").fit(train.X, train.y, train.weights).cv_results_["mean_test_score"]


def validation_rows(train, test, folder):
    given = {"X_val": test.X, "y_val": test.y, "sample_weight_val": test.weights}
    return _cv().fit(train.X, train.y, train.weights, **given).cv_results_["mean_test_score"]


def predict(train, test, folder):
    return np.asarray(_regressor().fit(train.X, train.y, train.weights).predict(test.X))


def predict_into_file(train, test, folder):
    model = _regressor().fit(train.X, train.y, train.weights)
    return from_hdf5(model.predict(test.X, out=folder / "predicted.h5")).compute()[:, 0]


def predict_to_hdf5(train, test, folder):
    predicted = _regressor().fit(train.X, train.y, train.weights).predict(test.X)
    write = to_hdf5 if dask.is_dask_collection(predicted) else make_hdf5
    return from_hdf5(write(predicted, folder / "predicted.h5")).compute()[:, 0]


def score(train, test, folder):
    return _regressor().fit(train.X, train.y, train.weights).score(test.X, test.y, test.weights)


def scale(train, test, folder):
    scale = HiddenLayer(SPEC, random_state=0).fit(train.X, sample_weight=train.weights).hidden_layer_.scale
    return np.stack([scale.mean, scale.scale])


def classify(train, test, folder):
    return ELMClassifier(SPEC, alpha=ALPHA, random_state=0).fit(train.X, train.labels, train.weights).coef_


def classifier_score(train, test, folder):
    model = ELMClassifier(SPEC, alpha=ALPHA, random_state=0).fit(train.X, train.labels, train.weights)
    return model.score(test.X, test.labels, test.weights)


def classifier_folds(train, test, folder):
    model = _cv(ELMClassifierCV, cv=KFold(3), scoring="accuracy").fit(train.X, train.labels, train.weights)
    return model.cv_results_["mean_test_score"]


def draw_by_targets(train, test, folder):
    model = ELMRegressor((30, "auto"), alpha=ALPHA, random_state=0).fit(train.X, train.y, train.weights)
    return np.concatenate([_weights(model), list(model.draw_errors_.values())])


def draw_by_labels(train, test, folder):
    model = ELMClassifier([(9, "tanh", "pairs"), (9, "relu", "sparse"), (9, "tanh", "sparse pairs")], random_state=0)
    return _weights(model.initialize(train.X, train.labels, sample_weight=train.weights))


def _weights(model):
    return np.concatenate([group.W.ravel() for group in model.hidden_layer_.groups])


REST = np.r_[0:50, 120:N]
# With what NumPy gives for each.
ENTRY_POINTS: dict[Callable, Callable] = {
    fit: dense_coef,
    fit_by_default: dense_default_coef,
    partial_fit: dense_coef,
    fit_with_callback: dense_coef,
    fit_with_tol: dense_coef,
    accumulate: dense_coef,
    accumulate_into: lambda: dense_HH(slice(None)),
    remove: lambda: dense_coef(REST),
    folds: lambda: dense_fold_scores(KFold(3)),
    folds_in_two_passes: lambda: dense_fold_scores(KFold(3), _negative_mean_absolute_error),
    scattered_folds: lambda: dense_fold_scores(KFold(3, shuffle=True, random_state=0)),
    leave_one_out: dense_loo_scores,
    validation_rows: dense_validation_scores,
    predict: lambda: _predicted(TRAIN, TEST.X),
    predict_into_file: lambda: _predicted(TRAIN, TEST.X),
    predict_to_hdf5: lambda: _predicted(TRAIN, TEST.X),
    score: lambda: _r2(TEST.y, _predicted(TRAIN, TEST.X), TEST.weights),
    scale: dense_scale,
    classify: dense_class_coef,
    classifier_score: dense_class_hits,
    classifier_folds: dense_class_fold_scores,
    # Neurons drawn by rows in memory.
    draw_by_targets: lambda: draw_by_targets(TRAIN, TEST, None),
    draw_by_labels: lambda: draw_by_labels(TRAIN, TEST, None),
}
# Of rows in another order each time, only what no row number enters.
WITHOUT_ROW_NUMBERS = {
    fit,
    fit_by_default,
    partial_fit,
    fit_with_callback,
    fit_with_tol,
    validation_rows,
    leave_one_out,
    score,
    scale,
    classify,
    classifier_score,
}


@pytest.fixture(scope="module")
def dense():
    """What NumPy gives, once for all."""
    return {entry: np.asarray(by_numpy()) for entry, by_numpy in ENTRY_POINTS.items()}


def _cases():
    """Every container with every entry point: once in any run, with and without a client by turns, and both if full."""
    for i, container in enumerate(CONTAINERS):
        for j, entry in enumerate(ENTRY_POINTS):
            for k, where in enumerate(("no_client", "client")):
                marks = [] if (i + j) % 2 == k else [pytest.mark.full]
                yield pytest.param(container, entry, where, id=f"{container}-{entry.__name__}-{where}", marks=marks)


@pytest.mark.parametrize(("container", "entry", "where"), list(_cases()))
def test_every_container_gives_the_dense_answer_at_every_entry_point(request, container, entry, where, dense, tmp_path):
    request.getfixturevalue(where)
    if container in SHUFFLING and entry not in WITHOUT_ROW_NUMBERS:
        # It does give other rows each time, or the comparisons below would show nothing.
        with pytest.raises(AssertionError):
            _compare(container, entry, dense, tmp_path)
    else:
        _compare(container, entry, dense, tmp_path)


def _compare(container, entry, dense, folder):
    given = []
    for name, rows in (("train", TRAIN), ("test", TEST)):
        inner = folder / name
        inner.mkdir()
        given.append(CONTAINERS[container](rows, inner))
    found = np.asarray(entry(*given, folder))
    np.testing.assert_allclose(found.ravel(), dense[entry].ravel(), rtol=1e-8, atol=1e-10)
