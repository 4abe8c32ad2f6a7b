"""Inputs of neurons in the place of columns that are no plain numbers: marks of gaps, numbers for levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Category", "Coding", "codes_of"]


@dataclass(frozen=True, eq=False)
class Category:
    """A column of categories: its levels, and the numbers that stand for each of them in neurons.

    column : int, number of the column of X, which holds the code i for the level i, len(levels) for any other level,
        and NaN for a gap
    levels : tuple, the levels
    table : ndarray of shape (len(levels) + 2, n), numbers for each level, for all other levels, and for a gap
    marked : bool, whether each level, and a gap, also is an input of its own that is 0 or 1, for `lin` neurons
    passed : bool, whether `lin` neurons pass the numbers of the table too
    """

    column: int
    levels: tuple
    table: np.ndarray
    marked: bool = False
    passed: bool = True

    def __post_init__(self):
        table = np.array(self.table, np.float64)
        table.setflags(write=False)
        object.__setattr__(self, "table", table)

    @property
    def n_marks(self) -> int:
        """Number of inputs that mark one level each."""
        return len(self.table) if self.marked else 0


def codes_of(codes: np.ndarray, n_levels: int | np.ndarray) -> np.ndarray:
    """Rows of the tables of categories for their codes, of the same shape: one more for other levels, two for gaps.

    The numbers of levels are those of each column, where the codes are of several.
    """
    # A comparison with NaN is false.
    known = (codes >= 0) & (codes < n_levels)
    rows = np.where(known, codes, n_levels).astype(np.intp)
    return rows if known.all() else rows + np.isnan(codes)


@dataclass(frozen=True, eq=False)
class Coding:
    """Makes the inputs of neurons from columns of numbers with gaps, and of categories.

    Neurons that are drawn see the numbers, marks of gaps, and the numbers of each category; `lin` neurons see these and
    then the marks of levels.

    n_features : int, number of columns of X
    categories : tuple of Category, in the order of their columns
    takes_gaps : bool, whether NaN in X is a gap; else it is refused before
    gaps : ndarray of int, numbers of the columns whose gaps have a mark, 0 or 1
    fill : ndarray of shape (n_features,), numbers in the place of gaps, where columns are not scaled; None where they
        are, and a gap is the mean
    """

    n_features: int
    categories: tuple[Category, ...] = ()
    takes_gaps: bool = False
    gaps: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    fill: np.ndarray | None = None
    numbers: np.ndarray = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "gaps", np.asarray(self.gaps, np.int64))
        coded = [category.column for category in self.categories]
        object.__setattr__(self, "numbers", np.setdiff1d(np.arange(self.n_features), coded))

    @property
    def n_drawn(self) -> int:
        """Number of inputs of neurons that are drawn."""
        return len(self.numbers) + len(self.gaps) + sum(one.table.shape[1] for one in self.categories)

    @property
    def n_inputs(self) -> int:
        """Number of all inputs."""
        return self.n_drawn + sum(one.n_marks for one in self.categories)

    @property
    def passed(self) -> np.ndarray:
        """Numbers (n_passed,) of the inputs that `lin` neurons pass, in their order."""
        here = len(self.numbers) + len(self.gaps)
        parts = [np.arange(here)]
        for one in self.categories:
            parts += [np.arange(here, here + one.table.shape[1])] * one.passed
            here += one.table.shape[1]
        return np.concatenate([*parts, np.arange(here, self.n_inputs)])

    def __call__(self, X: np.ndarray, Z: np.ndarray) -> np.ndarray:
        """Inputs (rows, n_inputs) of the dtype of Z, for X and its columns scaled, Z (rows, n_features)."""
        out = np.empty((len(X), self.n_inputs), Z.dtype)
        here = len(self.numbers)
        out[:, :here] = Z if here == self.n_features else Z[:, self.numbers]
        if self.takes_gaps:
            self._fill_gaps(out[:, :here])
            out[:, here : here + len(self.gaps)] = np.isnan(X[:, self.gaps])
            here += len(self.gaps)
        marks = self.n_drawn
        out[:, marks:] = 0
        if not self.categories:
            return out
        columns = [one.column for one in self.categories]
        places = codes_of(X[:, columns], np.array([len(one.levels) for one in self.categories]))
        for one, rows in zip(self.categories, places.T, strict=True):
            n = one.table.shape[1]
            out[:, here : here + n] = one.table.take(rows, axis=0)
            here += n
            if one.marked:
                out[np.arange(len(X)), marks + rows] = 1
                marks += one.n_marks
        return out

    def _fill_gaps(self, Z):
        gaps = np.isnan(Z)
        if gaps.any():
            fill = np.zeros(Z.shape[1]) if self.fill is None else self.fill[self.numbers]
            np.copyto(Z, np.broadcast_to(fill, Z.shape), where=gaps, casting="same_kind")

    def names(self, of_columns: Sequence[str]) -> list[str]:
        """Names of the inputs, for names of the columns of X."""
        out = [of_columns[i] for i in self.numbers] + [f"{of_columns[i]} missing" for i in self.gaps]
        for one in self.categories:
            out += [f"{of_columns[one.column]} {i}" for i in range(one.table.shape[1])]
        for one in self.categories:
            if one.marked:
                out += [f"{of_columns[one.column]}={level}" for level in (*one.levels, "other", "missing")]
        return out

    def state(self) -> dict:
        """The coding as plain numbers, lists and arrays; `from_state` restores it bit for bit."""
        state: dict = {
            "category_columns": [one.column for one in self.categories],
            "category_levels": [list(one.levels) for one in self.categories],
            "category_marked": [one.marked for one in self.categories],
            "category_passed": [one.passed for one in self.categories],
            "takes_gaps": self.takes_gaps,
            "gaps": self.gaps,
        }
        for i, one in enumerate(self.categories):
            state[f"table{i}"] = one.table
        return state if self.fill is None else state | {"fill": self.fill}

    @classmethod
    def from_state(cls, n_features: int, state: dict) -> Coding:
        """The coding with this `state`, among other values."""
        names = ("category_columns", "category_levels", "category_marked", "category_passed")
        categories = tuple(
            Category(int(column), tuple(levels), state[f"table{i}"], bool(marked), bool(passed))
            for i, (column, levels, marked, passed) in enumerate(zip(*(state[name] for name in names), strict=True))
        )
        return cls(n_features, categories, bool(state["takes_gaps"]), state["gaps"], state.get("fill"))
