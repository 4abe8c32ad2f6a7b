"""Codes of categories that are found block by block: levels in the order of their first appearance."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..exceptions import DataError, TableWarning
from ..hdf5.columns import Column
from .text_fields import number_of

__all__ = ["CodedBlock", "CodedColumns"]

# A level takes a name in memory on every worker, and an input of its own in a model.
_MOST_LEVELS = 100_000
# From so many rows on, a column in which no text occurs twice is taken for names of the rows.
_LEAST_ROWS = 30


class CodedBlock(NamedTuple):
    """Rows of a table as numbers (n, n_columns); in the columns of `levels`, they are codes of the levels of the block.

    Codes are NaN for no level. Columns are named by their place.
    """

    numbers: np.ndarray
    levels: Mapping[int, Sequence[str | int | float | bool]]


class CodedColumns:
    """The levels of the columns of a table, collected from its blocks in the order of rows.

    Parameters
    ----------
    names : sequence of str, or None
        Names of the columns; their places, if they have no names and some have levels.
    declared : mapping, default={}
        All levels of some columns, in their order, where they are known; others are an error then.
    remedy : str
        How a column is left out, for errors, with {name!r} for its name.
    """

    def __init__(self, names, declared=None, remedy="leave it out with exclude=[{name!r}]"):
        self.names, self.remedy = None if names is None else list(names), remedy
        self._codes: dict[int, dict] = {
            place: {level: code for code, level in enumerate(levels)} for place, levels in (declared or {}).items()
        }
        self._declared = set(self._codes)
        # Rows that had levels, for columns that are codes in some blocks only.
        self._filled: dict[int, int] = {}
        self.gaps = np.zeros(0 if names is None else len(names), int)
        # Columns that had numbers in some block.
        self._numbers = np.zeros(len(self.gaps), bool)

    def forget(self) -> None:
        """Begin again with the first block; levels that were declared stay."""
        self._codes = {place: codes for place, codes in self._codes.items() if place in self._declared}
        self._filled, self.gaps, self._numbers = {}, np.zeros_like(self.gaps), np.zeros_like(self._numbers)

    def coded(self, block: CodedBlock | np.ndarray) -> np.ndarray:
        """The numbers of the next block, with the codes of the whole table.

        Raises
        ------
        DataError
            A column with too many levels, one that is text in some blocks and numbers in others, or a level that was
            not declared.
        """
        numbers, levels = block if isinstance(block, CodedBlock) else (block, {})
        numbers = numbers[:, None] if numbers.ndim == 1 else numbers
        if len(self.gaps) != numbers.shape[1]:
            self.gaps, self._numbers = np.zeros(numbers.shape[1], int), np.zeros(numbers.shape[1], bool)
        missing = np.isnan(numbers) if numbers.dtype.kind == "f" else None
        if missing is not None:
            self.gaps += missing.sum(axis=0)
        for place in {*self._codes, *levels}:
            filled = len(numbers) if missing is None else int(len(numbers) - missing[:, place].sum())
            if not filled:
                continue
            if place not in levels or self._numbers[place]:
                raise DataError(
                    f"data: column {self._name(place)!r} is text in some rows and numbers in others. Make it one of "
                    "both first, for example with astype."
                )
            self._filled[place] = self._filled.get(place, 0) + filled
            of_table = self._global_codes(place, levels[place])
            has = slice(None) if missing is None else ~missing[:, place]
            numbers[has, place] = of_table[numbers[has, place].astype(np.intp)]
        plain = ~self._numbers
        plain[list(levels)] = False
        if plain.any():
            self._numbers[plain] = True if missing is None else ~missing[:, plain].all(axis=0)
        return numbers

    def _global_codes(self, place, levels):
        codes = self._codes.setdefault(place, {})
        for level in levels:
            if level not in codes:
                if place in self._declared:
                    raise DataError(
                        f"data: column {self._name(place)!r} must have the levels that it declares, "
                        f"{list(codes)[:6]}; got {level!r} in a later part. Declare the same categories in all parts."
                    )
                codes[level] = len(codes)
        if len(codes) > _MOST_LEVELS and place not in self._declared:
            raise self._too_many(place, f"more than {_MOST_LEVELS:,} different texts")
        return np.fromiter((codes[level] for level in levels), float, len(levels))

    def _too_many(self, place, what):
        name = self._name(place)
        if self._is_mostly_numbers(place):
            return DataError(
                f"data: column {name!r} has {what}, nearly all of them numbers, and text such as "
                f"{self._texts(place)[0]!r}. If such "
                f"words are gaps, name them in missing_values=; else mend them, or {self.remedy.format(name=name)}."
            )
        return DataError(
            f"data: column {name!r} has {what}, such as {next(iter(self._codes[place]))!r}, and looks like an "
            f"identifier of the rows; {self.remedy.format(name=name)}, or code it as numbers first."
        )

    def _texts(self, place):
        """The levels of a column that are no numbers."""
        return [level for level in self._codes[place] if not isinstance(level, str) or number_of(level) is None]

    def _is_mostly_numbers(self, place):
        return 0 < len(self._texts(place)) < len(self._codes[place]) / 2

    def _name(self, place):
        return str(place) if self.names is None else self.names[place]

    def columns(self) -> list[Column] | None:
        """The columns once all blocks were given; None if nothing is known about them.

        Raises
        ------
        DataError
            A column of numbers in which a few texts make it one of texts.

        Warns
        -----
        TableWarning
            A column in which each text occurs once, which says nothing of other rows.
        """
        for place, codes in self._codes.items():
            if place not in self._declared and len(codes) == self._filled.get(place, 0) >= _LEAST_ROWS:
                error = self._too_many(place, f"another text in each of its {len(codes):,} rows")
                if self._is_mostly_numbers(place):
                    raise error
                warnings.warn(str(error), TableWarning, stacklevel=2)
        if self.names is None and not self._codes:
            return None
        levels = {place: tuple(codes) for place, codes in self._codes.items()}
        return [Column(self._name(place), levels.get(place)) for place in range(len(self.gaps))]
