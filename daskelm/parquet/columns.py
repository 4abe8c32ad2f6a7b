"""Columns of Arrow tables as numbers: which NumPy type holds them, and their values, with gaps as NaN."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..exceptions import DataError, InputTypeError

__all__ = ["ToNumbers", "is_nested", "is_whole", "need_nulls", "need_number_types", "refuse_columns"]

# float64 holds decimal numbers of so many digits.
_DIGITS = 15
_TIMES = ("timestamp", "date", "time", "duration")
_TEXTS = ("string", "large_string", "string_view", "dictionary")


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

    kind = _without_dictionary(kind)
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
    return _is_whole(_without_dictionary(field.type))


def _without_dictionary(kind):
    """The type of the values; categories of numbers stand for their numbers, as in a frame."""
    from pyarrow import types

    return kind.value_type if types.is_dictionary(kind) else kind


def _is_whole(kind):
    from pyarrow import types

    return types.is_boolean(kind) or types.is_integer(kind)


def is_nested(field: Any) -> bool:
    """Whether the values of a column are lists or records."""
    return field.type.num_fields > 0


def need_nulls(field: Any) -> bool:
    """Whether the type of a column depends on its number of nulls: integers and booleans that may have some."""
    return field.nullable and is_whole(field)


def need_number_types(schema: Any, missing: dict[str, int | None], path: str) -> list[np.dtype]:
    """The NumPy types of all columns of a schema, which must hold numbers; `missing` counts nulls, where needed."""
    found = [number_type(field.type, missing.get(field.name)) for field in schema]
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
    elif first in _TEXTS:
        remedy = f"Code categories as numbers: {frame}, then dask.dataframe.get_dummies(frame.categorize([{name!r}]))"
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
    """

    dtype: np.dtype
    ndim: int
    exact: bool

    def __call__(self, table: Any) -> np.ndarray:
        """Array (rows, n_columns), or (rows,).

        Raises
        ------
        DataError
            Integers that float64 does not hold; or a null in a column that has none by its file's statistics.
        """
        columns = [self._values(name, table.column(name).combine_chunks()) for name in table.column_names]
        if self.ndim == 1:
            return columns[0].astype(self.dtype, copy=False)
        # A batch of rows is written at once, which is four times as fast as column by column.
        return np.stack(columns, axis=1, dtype=self.dtype, casting="same_kind")

    def _values(self, name, column):
        import pyarrow

        if hasattr(column, "chunks"):
            # Older versions of pyarrow keep the one chunk as such.
            column = column.chunk(0) if column.num_chunks else pyarrow.nulls(0, column.type)
        if pyarrow.types.is_dictionary(column.type):
            column = column.dictionary_decode()
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
