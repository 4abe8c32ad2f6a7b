"""Words and numbers that mean a gap, in arrays and frames, and how many gaps the columns of a table have."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from numbers import Real

import numpy as np

from ..exceptions import DataError, ParameterError
from .coded_columns import CodedBlock, CodedColumns
from .text_fields import number_of

__all__ = ["Gaps", "say_gaps", "words_of"]


def words_of(values) -> tuple[str | int | float, ...]:
    """The checked words and numbers that a user gave as `missing_values`."""
    if values is None:
        return ()
    values = values if np.iterable(values) and not isinstance(values, str) else (values,)
    for value in values:
        if not isinstance(value, str | Real) or isinstance(value, bool):
            raise ParameterError(f"missing_values must be words or numbers, such as -999 or 'unknown'; got {value!r}.")
    return tuple(value.item() if isinstance(value, np.generic) else value for value in values)


class Gaps:
    """Marks words and numbers that mean a gap as NaN, block by block."""

    def __init__(self, values):
        self.words = {str(value) for value in values}
        self.numbers = [number for word in self.words if (number := number_of(word)) is not None]

    def marked(self, blocks: Iterable) -> Iterator:
        """The blocks with NaN in the place of these values."""
        for block in blocks:
            yield self._marked(block) if self.words else block

    def _marked(self, block):
        numbers, levels = block if isinstance(block, CodedBlock) else (block, None)
        table = numbers[:, None] if numbers.ndim == 1 else numbers
        floats = table if table.dtype.kind == "f" else table.astype(float)
        if table.dtype.kind in "iu" and (floats.astype(table.dtype) != table).any():
            raise DataError(
                "missing_values: gaps become NaN, which makes floats of integers; got integers beyond 2^53, which "
                "would lose digits. Mark the gaps in a column of their own first."
            )
        floats = floats.copy() if floats is table else floats
        for place in range(floats.shape[1]):
            if levels is not None and place in levels:
                odd = [code for code, level in enumerate(levels[place]) if str(level) in self.words]
            else:
                odd = [floats.dtype.type(number) for number in self.numbers]
            floats[np.isin(floats[:, place], odd), place] = np.nan
        return floats if levels is None else CodedBlock(floats, levels)


def say_gaps(coded: CodedColumns) -> None:
    """Say on standard error how many gaps the columns have."""
    found = [(place, count) for place, count in enumerate(coded.gaps.tolist()) if count]
    if found:
        names = range(len(coded.gaps)) if coded.names is None else coded.names
        listed = ", ".join(f"{names[place]} {count:,}" for place, count in found[:8])
        more = f", and {len(found) - 8} more columns" if len(found) > 8 else ""
        sys.stderr.write(f"make_hdf5: gaps, which are NaN in the file: {listed}{more}\n")
