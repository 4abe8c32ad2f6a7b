"""Choice of columns: what a user asks for, which columns of one dataset that is, and its form on the command line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import NamedTuple

import numpy as np

from ..exceptions import ParameterError
from .paths import split_dataset

__all__ = ["Asked", "Choice", "asked_for", "runs_of", "split_choice"]

# In FILE::DATASET[a,b] the name of the dataset has no brackets; names of columns may.
_BRACKETS = re.compile(r"(.*::[^\[\]]*)\[(.*)\]", re.DOTALL)
# So many columns are named in a label; of more, the label has a number.
_MOST_NAMED = 8


class Asked(NamedTuple):
    """Request of a user: a dataset, some of its columns, and whether it lies on its side; all are optional.

    `columns` are names or positions; `single` says that one was given as such, for a vector.
    """

    dataset: str | None = None
    columns: tuple[str, ...] | tuple[int, ...] | None = None
    transpose: bool = False
    single: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The columns where they are given by name; else empty."""
        return tuple(one for one in self.columns or () if isinstance(one, str))


def asked_for(dataset: str | None = None, columns=None, transpose: bool = False) -> Asked:
    """Request of a call, checked: `columns` is a name, a position, or a sequence of either without repetition."""
    if not isinstance(transpose, bool | np.bool_):
        raise ParameterError(f"transpose must be True or False; got {transpose!r}.")
    if columns is None:
        return Asked(dataset, None, bool(transpose))
    single = isinstance(columns, str | Integral)
    given = [columns] if single else list(columns) if isinstance(columns, Iterable) else []
    positions = [one for one in given if isinstance(one, Integral) and not isinstance(one, bool | np.bool_)]
    names = [one for one in given if isinstance(one, str)]
    if not given or len(given) not in (len(positions), len(names)):
        raise ParameterError(
            "columns must be names of columns, or positions such as [0, 3], in a list that is not empty, or one of "
            f"these for a vector; got {columns!r}."
        )
    found = tuple(names) if names else tuple(int(one) for one in positions)
    if len(set(found)) < len(found):
        twice = next(one for one in found if found.count(one) > 1)
        raise ParameterError(f"columns must name each column once; got {twice!r} twice. Leave one out.")
    return Asked(dataset, found, bool(transpose), single)


def split_choice(text: str) -> tuple[str, Asked]:
    """File and what is asked for in it, of FILE, FILE::DATASET, FILE::DATASET[a,b], FILE::[a,b] or FILE::DATASET.T.

    A name that holds a comma stands in double quotes, as in a CSV file.
    """
    columns = None
    if found := _BRACKETS.fullmatch(text):
        text, inside = found.groups()
        columns = tuple(name.strip() for name in next(csv.reader([inside], skipinitialspace=True), []))
        if not columns or not all(columns):
            raise ParameterError(
                f"[...] must hold names of columns with commas between, such as [a,b]; got [{inside}]."
            )
    path, dataset = split_dataset(text)
    transpose = dataset is not None and dataset.endswith(".T")
    if dataset is not None and transpose:
        dataset = dataset.removesuffix(".T")
    if columns is None and dataset == "" and not transpose:
        return path, Asked("")
    asked = asked_for(dataset or None, columns, transpose)
    return path, asked


def runs_of(positions: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Positions, in their order, as runs (first, last + 1) of consecutive ones."""
    array = np.asarray(positions, np.int64)
    starts = np.flatnonzero(np.diff(array, prepend=-2) != 1)
    ends = [*starts[1:].tolist(), len(array)]
    return tuple((int(array[a]), int(array[b - 1]) + 1) for a, b in zip(starts.tolist(), ends, strict=True))


@dataclass(frozen=True)
class Choice:
    """Columns of one dataset that are read, and how they lie in it.

    Parameters
    ----------
    width : int
        Number of columns that the dataset has; 1 for a vector.
    runs : tuple of (int, int), optional
        The columns that are read, in order, as runs (first, last + 1) of positions; all if not given.
    fields : tuple of (str, str)
        Name and dtype of the fields that are read of a dataset of records, in order; empty for numbers.
    transposed : bool
        Whether columns lie along the first dimension of the dataset, and rows along the second.
    vector : bool
        Whether the dataset has one dimension, of numbers.
    single : bool
        Whether the rows are numbers and not arrays of one number, though the dataset has columns.
    """

    width: int = 1
    runs: tuple[tuple[int, int], ...] | None = None
    fields: tuple[tuple[str, str], ...] = ()
    transposed: bool = False
    vector: bool = False
    single: bool = False

    @property
    def n_columns(self) -> int:
        """Number of columns that are read."""
        if self.fields:
            return len(self.fields)
        return self.width if self.runs is None else sum(last - first for first, last in self.runs)

    @property
    def is_whole(self) -> bool:
        """Whether the dataset is read as it lies in the file."""
        return self.runs is None and not self.fields and not self.transposed and not self.single

    @property
    def sample_axis(self) -> int:
        """The dimension of the dataset that rows lie along."""
        return int(self.transposed)

    def positions(self) -> Iterator[int]:
        """Positions of the columns that are read, in order."""
        for first, last in [(0, self.width)] if self.runs is None else self.runs:
            yield from range(first, last)

    def take(self, positions: Sequence[int], single: bool) -> Choice:
        """Some of these columns, by their positions among these."""
        if self.fields:
            return replace(self, fields=tuple(self.fields[i] for i in positions), single=single)
        if self.vector:
            return self
        own = list(self.positions())
        runs = runs_of([own[i] for i in positions])
        return replace(self, runs=None if runs == ((0, self.width),) else runs, single=single)

    def chunk_columns(self, side: int) -> list[int]:
        """Numbers of the chunks, each `side` columns wide, that hold the columns."""
        if self.runs is None:
            return list(range(-(-self.width // side)))
        return sorted({i for first, last in self.runs for i in range(first // side, -(-last // side))})

    def shares(self, other: Choice) -> bool:
        """Whether a column is read by both, which are choices of one dataset."""
        if self.fields and other.fields:
            return not {name for name, _ in self.fields}.isdisjoint(name for name, _ in other.fields)
        if self.transposed != other.transposed:
            return True
        runs, others = ([(0, one.width)] if one.runs is None else one.runs for one in (self, other))
        return any(a < d and c < b for a, b in runs for c, d in others)

    @property
    def label(self) -> str:
        """Text that follows the name of the dataset where not all of it is read as it lies in the file."""
        text = ".T" if self.transposed else ""
        if self.fields:
            return f"{text}[{_some([name for name, _ in self.fields])}]"
        if self.runs is None:
            return text
        return f"{text}[{_some([str(a) if b == a + 1 else f'{a}:{b}' for a, b in self.runs])}]"


def _some(texts):
    return ",".join(texts[:_MOST_NAMED]) + (f" and {len(texts) - _MOST_NAMED} more" if len(texts) > _MOST_NAMED else "")
