"""Data frames as arrays: columns of numbers, booleans and nullable numbers become one table of numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from numbers import Number
from operator import getitem

import numpy as np
from dask.base import is_dask_collection, tokenize
from dask.core import flatten
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from ..exceptions import InputTypeError
from ..lazy import da

__all__ = [
    "check_columns",
    "check_dask_columns",
    "columns_of",
    "frame_to_numpy",
    "frames_to_dask",
    "is_frame",
    "is_missing",
]


def is_frame(value) -> bool:
    """Whether a value is a data frame or a series, of pandas or of dask."""
    return hasattr(value, "dtypes") and (hasattr(value, "to_numpy") or hasattr(value, "to_dask_array"))


def is_missing(value) -> bool:
    """Whether an object is None, NaN, or pandas' NA or NaT."""
    if isinstance(value, float):
        return value != value
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def columns_of(value):
    """The names of the columns of a data frame; None for any other value."""
    # A dask series has `columns` too, though only one dtype.
    return getattr(value, "columns", None) if is_frame(value) and value.ndim == 2 else None


def check_columns(frame, name: str) -> None:
    """Refuse columns of text, categories and times, by name; columns of objects are taken if all are numbers."""
    if columns_of(frame) is None:
        return
    pairs = zip(frame.columns, frame.dtypes, strict=True)
    odd = [f"{column!r} ({what})" for i, (column, dtype) in enumerate(pairs) if (what := _odd(frame, i, dtype))]
    if odd:
        more = f" and {len(odd) - 6} more" if len(odd) > 6 else ""
        raise InputTypeError(
            f"{name} must hold numbers; got column(s) {', '.join(odd[:6])}{more}. Drop them, or code them as numbers "
            "first: dates as seconds, which make_hdf5(frame, 'table.h5', dates=[name]) writes, and texts with "
            "pandas.get_dummies where a model was fitted to numbers."
        )


def check_dask_columns(value, name: str) -> None:
    """Refuse columns of a dask frame that hold no numbers, by their dtypes and without computing; other values pass."""
    if hasattr(value, "to_dask_array") and is_dask_collection(value) and not isinstance(value, Delayed):
        check_columns(value, name)


def _odd(frame, i, dtype):
    """The type that a column has instead of numbers, or None; dtypes of libraries other than pandas are not checked."""
    kind = getattr(dtype, "kind", "f")
    if kind != "O" or str(dtype) == "category" or not hasattr(frame, "to_numpy"):
        return str(dtype) if kind in "mMO" else None
    strange = (value for value in frame.iloc[:, i] if not isinstance(value, Number) and not is_missing(value))
    return next((type(value).__name__ if str(dtype) == "object" else str(dtype) for value in strange), None)


def frame_to_numpy(frame) -> np.ndarray:
    """Values (n_samples, n_columns) or (n_samples,) of a pandas frame or series.

    Missing numbers are NaN. Nullable integers without missing ones stay integers, as labels above 2^53 need.
    """
    dtype = _number_dtype(frame)
    if dtype is None:
        return np.asarray(frame)
    if _is_plain(frame):
        return np.asarray(frame, dtype)
    if dtype.kind != "f" and np.asarray(frame.isna()).any():
        dtype = np.dtype(np.float64)
    return frame.to_numpy(dtype=dtype, **({"na_value": np.nan} if dtype.kind == "f" else {}))


def frames_to_dask(frames: Sequence) -> list[da.Array]:
    """Dask arrays of the values of dask frames and series; their numbers of rows are not known yet.

    Frames with equally many partitions are converted in one graph, partition by partition, so that X and y of one table
    stay columns of the same partitions. If they were converted one by one, Parquet files could be read in different
    portions for each, and a source that is not deterministic would pair rows that do not belong together.
    """
    frames = [_with_known_categories(frame) for frame in frames]
    alike = defaultdict(list)
    for i, frame in enumerate(frames):
        alike[frame.npartitions].append(i)
    arrays: dict[int, da.Array] = {}
    for numbers in alike.values():
        arrays.update(zip(numbers, _of_one_graph([frames[i] for i in numbers]), strict=True))
    return [arrays[i] for i in range(len(frames))]


def _of_one_graph(frames):
    import pandas

    metas = [np.empty((0, *frame._meta.shape[1:]), _number_dtype(frame._meta) or object) for frame in frames]
    first, *others = frames
    values = partial(_values, dtypes=[meta.dtype for meta in metas])
    packed = first.map_partitions(
        values, *others, meta=pandas.Series([], dtype=object), align_dataframes=False, enforce_metadata=False
    )
    if others and not _stay_alike(packed):
        return [array for frame in frames for array in _of_one_graph([frame])]
    together = packed.optimize()
    keys = list(flatten(together.__dask_keys__()))
    # One layer has the partitions of all frames, and the layer of each array depends on it.
    base = together._name
    shared: dict = {base: dict(together.__dask_graph__())}
    arrays = []
    for i, meta in enumerate(metas):
        name = f"values-{tokenize(base, i)}"
        layer: dict = {(name, k) + (0,) * (meta.ndim - 1): (getitem, key, i) for k, key in enumerate(keys)}
        graph = HighLevelGraph({**shared, name: layer}, {base: set(), name: {base}})
        chunks = ((np.nan,) * len(keys), *((n,) for n in meta.shape[1:]))
        arrays.append(da.Array(graph, name, chunks, meta=meta))
    return arrays


def _stay_alike(packed):
    """Whether frames still have equally many partitions once Dask has optimised them.

    Dask reads several small Parquet files at once, and may join more of them for one source than for another.
    """
    lowered = packed.optimize(fuse=False).expr
    return all(part.npartitions == lowered.npartitions for part in lowered.dependencies())


def _values(*parts, dtypes):
    # A partition may have a narrower type than the whole frame; a wider one is left as it is, to be refused by name.
    arrays = [frame_to_numpy(part) for part in parts]
    return [
        array.astype(dtype, copy=False) if dtype.kind == "O" or np.can_cast(array.dtype, dtype) else array
        for array, dtype in zip(arrays, dtypes, strict=True)
    ]


def _with_known_categories(frame):
    """A dask frame or series whose categories are known; the rows are read where they are not."""
    if frame.ndim == 2:
        return frame.categorize(index=False)
    return frame.cat.as_known() if str(frame.dtype) == "category" and not frame.cat.known else frame


def _dtypes(frame):
    dtypes = frame.dtypes
    return list(dtypes) if np.iterable(dtypes) else [dtypes]


def _is_plain(frame):
    return all(isinstance(dtype, np.dtype) for dtype in _dtypes(frame))


def _number_dtype(frame):
    """The NumPy type that holds all columns of a pandas frame or series; None where they are not all numbers."""
    found = [_numpy_dtype(frame, i, dtype) for i, dtype in enumerate(_dtypes(frame))]
    if not found or any(dtype is None or dtype.kind not in "fiub" for dtype in found):
        return None
    dtype = np.result_type(*found)
    # A table with nullable columns becomes float64, as in scikit-learn; a series keeps its integers.
    return dtype if _is_plain(frame) or (frame.ndim == 1 and dtype.kind != "f") else np.dtype(np.float64)


def _numpy_dtype(frame, i, dtype):
    if str(dtype) == "category":
        return (frame if frame.ndim == 1 else frame.iloc[:, i]).cat.categories.dtype
    return dtype if isinstance(dtype, np.dtype) else getattr(dtype, "numpy_dtype", None)
