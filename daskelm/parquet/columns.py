"""Columns of Arrow tables as numbers: which NumPy type holds them, and their values, with gaps as NaN."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..exceptions import DataError, InputTypeError

__all__ = [
    "ToLabels",
    "ToNumbers",
    "add_levels",
    "is_coded",
    "is_nested",
    "is_whole",
    "need_nulls",
    "need_number_types",
    "refuse_columns",
]

# float64 holds decimal numbers of so many digits.
_DIGITS = 15
_TIMES = ("timestamp", "date", "time", "duration")
_MOST_LEVELS = 1_000_000


def number_type(kind: Any, n_missing: int | None) -> np.dtype | None:
    """The NumPy type that holds the numbers of a column; None if it does not hold numbers.

    Parameters
    ----------
    kind : pyarrow.DataType
        Type of the column.
    n_missing : int or None
        Number of its nulls; None where that is unknown. Integers and booleans with nulls become float64.
    """
    from pyarrow import types

    if types.is_boolean(kind):
        return np.dtype(np.bool_ if n_missing == 0 else np.float64)
    if types.is_integer(kind):
        return np.dtype(f"{_kind(kind)}{kind.bit_width // 8}") if n_missing == 0 else np.dtype(np.float64)
    if types.is_floating(kind):
        return np.dtype(f"f{kind.bit_width // 8}")
    # Identifiers of many digits would lose some of them silently.
    whole = types.is_decimal(kind) and kind.scale <= 0 and kind.precision - kind.scale > _DIGITS
    if (types.is_decimal(kind) and not whole) or types.is_null(kind):
        return np.dtype(np.float64)
    return None


def is_whole(field: Any) -> bool:
    """Whether a column holds integers or booleans."""
    return _is_whole(field.type)


def is_coded(field: Any) -> bool:
    """Whether a column holds categories: text, or a dictionary of texts or numbers."""
    from pyarrow import types

    kind = field.type
    if types.is_dictionary(kind):
        kind = kind.value_type
        return _is_text(kind) or _is_whole(kind) or types.is_floating(kind)
    return _is_text(kind)


def _is_text(kind):
    from pyarrow import types

    return types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view"


def _is_whole(kind):
    from pyarrow import types

    return types.is_boolean(kind) or types.is_integer(kind)


def _is_date(kind):
    from pyarrow import types

    return types.is_timestamp(kind) or types.is_date(kind)


def is_nested(field: Any) -> bool:
    """Whether the values of a column are lists or records."""
    return field.type.num_fields > 0


def need_nulls(field: Any) -> bool:
    """Whether the type of a column depends on its number of nulls: integers and booleans that may have some."""
    return field.nullable and is_whole(field)


def need_number_types(
    schema: Any, missing: dict[str, int | None], path: str, seconds: Sequence[str] = ()
) -> list[np.dtype]:
    """The NumPy types of the columns of a schema, float64 for codes; `missing` counts nulls, where needed.

    Columns `seconds` must be dates and times, and become seconds.
    """
    if odd := next((field for field in schema if field.name in seconds and not _is_date(field.type)), None):
        raise InputTypeError(
            f"{path}: dates: column {odd.name!r} must hold dates or times; got {odd.type}. Leave it out of dates=, or "
            "write the file with times in it."
        )
    found = [
        np.dtype(np.float64)
        if is_coded(field) or field.name in seconds
        else number_type(field.type, missing.get(field.name))
        for field in schema
    ]
    # A dtype equals None if it is float64.
    if any(dtype is None for dtype in found):
        refuse_columns([field for field, dtype in zip(schema, found, strict=True) if dtype is None], path)
    return found  # type: ignore[return-value]


def refuse_columns(fields: Sequence[Any], path: str) -> None:
    """Refuse columns that hold no numbers, by their names and types, with a remedy for what they hold."""
    listed = ", ".join(f"{field.name!r} ({field.type})" for field in fields[:6])
    more = f" and {len(fields) - 6} more" if fields[6:] else ""
    first, name = re.split("[^a-z_]", str(fields[0].type))[0], fields[0].name
    frame = "frame = dask.dataframe.read_parquet(path)"
    if first in _TIMES:
        remedy = f"A part of it is a number: {frame}, then frame[{name!r}].dt.hour, and give columns of the frame"
        if _is_date(fields[0].type):
            remedy = f"Write times as seconds: make_hdf5(path, 'table.h5', dates=[{name!r}]). {remedy}"
    elif first == "decimal":
        remedy = f"It has more digits than float64 holds: {frame}, then frame[{name!r}].astype('int64')"
    else:
        remedy = "Make columns of numbers of it"
    raise InputTypeError(
        f"{path}: columns must hold numbers; got {listed}{more}. {remedy}; or choose other columns: "
        "from_parquet(path, columns=[...])."
    )


@dataclass(frozen=True)
class ToNumbers:
    """Function of a `pyarrow.Table` that gives its columns as one array of numbers, with nulls as NaN.

    dtype : dtype of the array
    ndim : 2, or 1 for a table of one column
    exact : whether integers that the dtype does not hold are an error; they are rounded where other columns are floats
    levels : levels of each column of categories by its name, whose codes are given; other levels have the next code
    seconds : names of columns of dates and times, whose seconds since 1970 in UTC are given
    """

    dtype: np.dtype
    ndim: int
    exact: bool
    levels: tuple[tuple[str, tuple], ...] = ()
    seconds: tuple[str, ...] = ()

    def __call__(self, table: Any) -> np.ndarray:
        """Array (rows, n_columns), or (rows,).

        Raises
        ------
        DataError
            Integers that float64 does not hold; or a null in a column that has none by its file's statistics.
        """
        levels = dict(self.levels)
        columns = [
            _codes(table.column(name), levels[name])
            if name in levels
            else self._values(name, table.column(name).combine_chunks())
            for name in table.column_names
        ]
        if self.ndim == 1:
            return columns[0].astype(self.dtype, copy=False)
        # A batch of rows is written at once, which is four times as fast as column by column.
        return np.stack(columns, axis=1, dtype=self.dtype, casting="same_kind")

    def _values(self, name, column):
        import pyarrow

        if hasattr(column, "chunks"):
            # Older versions of pyarrow keep the one chunk as such.
            column = column.chunk(0) if column.num_chunks else pyarrow.nulls(0, column.type)
        if name in self.seconds:
            return _seconds(column)
        if is_coded(column):
            raise InputTypeError(
                f"column {name!r} must hold numbers; got categories, which X of an estimator may have, but no array "
                "of numbers. Choose other columns: from_parquet(path, columns=[...])."
            )
        kind, n_missing = column.type, column.null_count
        if n_missing and self.dtype.kind != "f":
            raise DataError(
                f"column {name!r} holds nulls, though the statistics in the file say that it has none. Write the file "
                "again."
            )
        if pyarrow.types.is_null(kind):
            return np.full(len(column), np.nan, self.dtype)
        gaps = _numbers(column.is_null().cast(pyarrow.uint8())).view(bool) if n_missing else None
        if pyarrow.types.is_decimal(kind) or (_is_whole(kind) and self.dtype.kind == "f" and self.exact):
            column = self._as_floats(name, column)
        elif pyarrow.types.is_boolean(kind):
            column = column.cast(pyarrow.uint8())
        values = _numbers(column).view(bool) if self.dtype.kind == "b" else _numbers(column)
        return values if gaps is None else np.where(gaps, self.dtype.type(np.nan), values.astype(self.dtype))

    def _as_floats(self, name, column):
        import pyarrow

        if pyarrow.types.is_boolean(column.type):
            column = column.cast(pyarrow.uint8())
        try:
            return column.cast(pyarrow.float64())
        except pyarrow.ArrowInvalid:
            raise DataError(
                f"column {name!r} holds integers beyond 2**53, which float64 does not hold, and its nulls, or a file "
                "without statistics, make it float64. Fill the nulls, and write the file with statistics."
            ) from None


@dataclass(frozen=True)
class ToLabels:
    """Function of a `pyarrow.Table` of one column that gives its values as labels, an array of objects."""

    ndim: int

    def __call__(self, table: Any) -> np.ndarray:
        """Array (rows,) or (rows, 1) of objects; None for nulls."""
        out = np.empty(table.num_rows, object)
        out[:] = table.column(0).to_pylist()
        return out if self.ndim == 1 else out[:, None]


def _codes(column, levels) -> np.ndarray:
    """Codes (rows,) of a column of categories, float64; NaN for nulls."""
    import pyarrow

    of_level = {level: float(i) for i, level in enumerate(levels)}
    encoded = _as_dictionary(column)
    values = encoded.dictionary.to_pylist()
    codes = np.array([np.nan if one is None else of_level.get(one, float(len(levels))) for one in values] + [np.nan])
    return codes[_numbers(encoded.indices.fill_null(len(values)).cast(pyarrow.int64()))]


def _as_dictionary(column):
    """A chunked column as one array of indices into its different values."""
    import pyarrow

    if column.num_chunks == 0:
        return pyarrow.nulls(0, column.type).dictionary_encode()
    if not pyarrow.types.is_dictionary(column.type):
        # Large texts and views of them have kernels of their own, or none.
        return column.cast(pyarrow.string()).combine_chunks().dictionary_encode()
    encoded = column.unify_dictionaries().combine_chunks()
    encoded = encoded.chunk(0) if hasattr(encoded, "chunks") else encoded
    return pyarrow.DictionaryArray.from_arrays(encoded.indices.cast(pyarrow.int64()), encoded.dictionary)


def add_levels(found: dict, table: Any, path: str) -> None:
    """Add the different values of the columns of a table to those found so far, by name: dicts with levels as keys.

    Raises
    ------
    DataError
        A column has more than a million levels.
    """
    for name in table.column_names:
        own = found.setdefault(name, {})
        own.update(
            dict.fromkeys(one for one in _as_dictionary(table.column(name)).dictionary.to_pylist() if one is not None)
        )
        if len(own) > _MOST_LEVELS:
            raise DataError(
                f"{path}: a column of categories must have at most {_MOST_LEVELS:,} levels; got more in {name!r}. If "
                "it names the rows, leave it out: from_parquet(path, columns=[...])."
            )


def _seconds(column) -> np.ndarray:
    """Seconds since 1970 of an Arrow array of dates or times, which Arrow keeps in UTC; NaN for nulls."""
    import pyarrow

    unit = column.type.unit if pyarrow.types.is_timestamp(column.type) else "ms"
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    gaps = _numbers(column.is_null().cast(pyarrow.uint8())).view(bool)
    if pyarrow.types.is_date(column.type):
        column = column.cast(pyarrow.date64())
    return np.where(gaps, np.nan, _numbers(column.cast(pyarrow.int64())) / per_second)


def _numbers(column):
    """Values of an Arrow array of numbers, where they lie; any number stands for a null.

    Arrow's own `to_numpy` imports pandas, which no worker needs.
    """
    width = column.type.bit_width // 8
    dtype = np.dtype(f"{_kind(column.type)}{width}")
    values = column.buffers()[1]
    if values is None:
        return np.zeros(len(column), dtype)
    return np.frombuffer(values, dtype, len(column), column.offset * width)


def _kind(kind):
    from pyarrow import types

    return "f" if types.is_floating(kind) else "i" if types.is_signed_integer(kind) else "u"
