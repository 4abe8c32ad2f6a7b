"""Data frames to arrays: columns of numbers, booleans and nullable numbers become one table of numbers."""

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
    """Whether an object is None, NaN, or what pandas has for them."""
    if isinstance(value, float):
        return value != value
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def columns_of(value):
    """Columns of a data frame; None of anything else."""
    # A series of dask has columns too, and one dtype.
    return getattr(value, "columns", None) if is_frame(value) and value.ndim == 2 else None


def check_columns(frame, name: str) -> None:
    """Refuse columns of text, categories and times, by name; columns of objects that are all numbers are taken."""
    if columns_of(frame) is None:
        return
    pairs = zip(frame.columns, frame.dtypes, strict=True)
    odd = [f"{column!r} ({what})" for i, (column, dtype) in enumerate(pairs) if (what := _odd(frame, i, dtype))]
    if odd:
        more = f" and {len(odd) - 6} more" if len(odd) > 6 else ""
        raise InputTypeError(
            f"{name} must hold numbers; got column(s) {', '.join(odd[:6])}{more}. Drop them, or code them as numbers "
            "first: text and categories with pandas.get_dummies, times as seconds."
        )


def check_dask_columns(value, name: str) -> None:
    """The same of a dask frame alone, by its dtypes; nothing is computed."""
    if hasattr(value, "to_dask_array") and is_dask_collection(value) and not isinstance(value, Delayed):
        check_columns(value, name)


def _odd(frame, i, dtype):
    """What a column holds instead of numbers, or None. Dtypes of other libraries than pandas are not judged here."""
    kind = getattr(dtype, "kind", "f")
    if kind != "O" or str(dtype) == "category" or not hasattr(frame, "to_numpy"):
        return str(dtype) if kind in "mMO" else None
    strange = (value for value in frame.iloc[:, i] if not isinstance(value, Number) and not is_missing(value))
    return next((type(value).__name__ if str(dtype) == "object" else str(dtype) for value in strange), None)


def frame_to_numpy(frame) -> np.ndarray:
    """Values (n_samples, n_columns) or (n_samples,) of a pandas frame or series.

    Missing numbers are NaN. Nullable integers without any stay integers, since labels beyond 2^53 are no floats.
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
    """The same, lazily, of dask frames and series: arrays whose numbers of rows are not known yet.

    Frames of as many partitions are made from one graph, partition by partition: X and y of one table are columns of
    the same partitions, however the source reads them. Converted one by one, Parquet files could be read in other
    portions for each, and a source that gives other rows each time would pair rows that do not belong together.
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
    # The partitions of several frames, as one layer that all arrays stand on.
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
    """Whether frames that are given together have as many partitions still when Dask has optimised them.

    It reads small Parquet files several at once, and of two sources it may join more of one than of the other.
    """
    lowered = packed.optimize(fuse=False).expr
    return all(part.npartitions == lowered.npartitions for part in lowered.dependencies())


def _values(*parts, dtypes):
    # A part may be of a narrower type than all together. Wider ones are left as they are, to be refused by name.
    arrays = [frame_to_numpy(part) for part in parts]
    return [
        array.astype(dtype, copy=False) if dtype.kind == "O" or np.can_cast(array.dtype, dtype) else array
        for array, dtype in zip(arrays, dtypes, strict=True)
    ]


def _with_known_categories(frame):
    """A dask frame or series whose categories are known, which takes a look at the rows where they are not."""
    return frame.categorize(index=False) if frame.ndim == 2 else _known(frame)


def _known(series):
    return series.cat.as_known() if str(series.dtype) == "category" and not series.cat.known else series


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
    # A table with nullable columns is float64, as scikit-learn has it in memory; a series keeps its integers.
    return dtype if _is_plain(frame) or (frame.ndim == 1 and dtype.kind != "f") else np.dtype(np.float64)


def _numpy_dtype(frame, i, dtype):
    if str(dtype) == "category":
        return (frame if frame.ndim == 1 else frame.iloc[:, i]).cat.categories.dtype
    return dtype if isinstance(dtype, np.dtype) else getattr(dtype, "numpy_dtype", None)
