"""Targets as columns T of numbers: numbers stay as they are, classes and label sets become zeros and ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

import numpy as np

from ..exceptions import DataError, InputTypeError, ParameterError
from .finite import LARGEST_WEIGHT, check_finite, first_bad
from .source import Source

__all__ = [
    "ClassTargets",
    "IndicatorTargets",
    "RegressionTargets",
    "Targets",
    "check_targets",
]

# The squares of such numbers, times the largest weights, stay finite when they are summed over 10^10 rows.
_LARGEST_TARGET = 1e100
# Units in the last place of float64: rounding hides the differences of integers that span fewer of them.
_RESOLVED = 100


@dataclass(frozen=True)
class RegressionTargets:
    """Targets of a regression: one column of numbers or several."""

    n_targets: int
    dtype: str
    meaning: ClassVar[str] = "numbers"

    def check(self, y: np.ndarray, weights: np.ndarray | None, first_row: int, source: Source | None = None) -> None:
        """Refuse numbers that float64 sums cannot hold: see `check_targets`."""
        check_targets(y, weights, first_row, source)

    def encode(self, y: np.ndarray) -> np.ndarray:
        """T (rows, n_targets) float64 for y (rows,) or (rows, n_targets)."""
        return y.reshape(len(y), self.n_targets).astype(np.float64, copy=False)

    def content(self, y: np.ndarray) -> np.ndarray:
        """The meaning of y, whatever its dtype, for digests: float64 of the shape of T."""
        return self.encode(y)

    def row_weights(self, y: np.ndarray, given: np.ndarray | None) -> np.ndarray | None:
        """Weights (rows,) of the rows: the given ones, since numbers have no classes."""
        return given


@dataclass(frozen=True, eq=False)
class ClassTargets:
    """Targets of a classification with one label per row: a column for each class, or one for the second of two.

    `weights` (n_classes,) multiply the weights of the rows, unless they are None.
    """

    classes: np.ndarray
    weights: np.ndarray | None = None
    dtype: str = "float32"

    @property
    def n_targets(self) -> int:
        """Number of columns."""
        return 1 if len(self.classes) <= 2 else len(self.classes)

    @property
    def meaning(self) -> str:
        """Text that names the classes and their weights, or a digest of these where they are many."""
        weighted = "" if self.weights is None else f" weighted {self.weights.tolist()}"
        return self.classes_meaning + _short(weighted)

    @property
    def classes_meaning(self) -> str:
        """The part of `meaning` that names the classes alone."""
        return _short(f"classes {self.classes.tolist()}")

    def indices(self, y: np.ndarray) -> np.ndarray:
        """Index (rows,) of each label in `classes`; a label that is not one of these is an error."""
        y = y.reshape(-1)
        try:
            found = np.searchsorted(self.classes, y)
            found[found == len(self.classes)] = 0
            unseen = self.classes[found] != y
        except TypeError:
            check_finite(y, "y")
            raise InputTypeError(
                f"y: labels must be of the type of the classes, such as {self.classes.tolist()[0]!r}; got "
                f"{y.tolist()[0]!r}. Give labels and classes in one way: as text, or as numbers."
            ) from None
        if np.any(unseen):
            raise DataError(
                f"y: every label must be one of the classes {_some(self.classes)}; got {_some(np.unique(y[unseen]))}. "
                "Fix all classes first, with initialize(X, classes=...) or partial_fit(..., classes=...)."
            )
        return found

    def check(self, y: np.ndarray, weights: np.ndarray | None, first_row: int, source: Source | None = None) -> None:
        """Refuse missing words; `encode` refuses other values that are no label."""
        if y.dtype.kind in "UO":
            check_finite(y, "y", first_row, source)

    def encode(self, y: np.ndarray) -> np.ndarray:
        """T (rows, n_targets) float64 for labels y (rows,)."""
        found = self.indices(y)
        if self.n_targets == 1:
            return found[:, None].astype(np.float64)
        return np.eye(len(self.classes))[found]

    def content(self, y: np.ndarray) -> np.ndarray:
        """The meaning of y, whatever its dtype, for digests: numbers (rows,) of the classes."""
        return self.indices(y).astype(np.int64, copy=False)

    def row_weights(self, y: np.ndarray, given: np.ndarray | None) -> np.ndarray | None:
        """Weights (rows,) of the rows: the given weight times the weight of the row's class."""
        if self.weights is None:
            return given
        of_class = self.weights[self.indices(y)]
        return of_class if given is None else of_class * given

    def with_weights(self, class_weight, counts: np.ndarray | None) -> ClassTargets:
        """These targets with the weights that `class_weight` asks for; `counts` (n_classes,) sum the row weights."""
        if class_weight is None:
            return self
        if isinstance(class_weight, str) and class_weight == "balanced":
            return ClassTargets(self.classes, _balanced(counts))
        if not isinstance(class_weight, Mapping):
            raise ParameterError(f"class_weight must be None, 'balanced' or a dict; got {class_weight!r}.")
        self._check_class_weight(class_weight)
        return ClassTargets(self.classes, np.array([class_weight.get(k, 1.0) for k in self.classes.tolist()], float))

    def _check_class_weight(self, class_weight):
        known = set(self.classes.tolist())
        strange = [label for label in class_weight if label not in known]
        if strange:
            raise ParameterError(
                f"class_weight: its keys must be labels among {_some(self.classes)}; got {strange[0]!r}."
            )
        for label, weight in class_weight.items():
            if not isinstance(weight, Real) or not (
                weight == 0 or 1 / LARGEST_WEIGHT <= float(weight) <= LARGEST_WEIGHT
            ):
                raise ParameterError(
                    f"class_weight must hold numbers that are 0, or between {1 / LARGEST_WEIGHT:g} and "
                    f"{LARGEST_WEIGHT:g}; got {weight!r} for {label!r}."
                )


@dataclass(frozen=True)
class IndicatorTargets:
    """Targets of a multi-label classification: an indicator matrix of zeros and ones, as it is."""

    n_targets: int
    dtype: str = "float32"
    meaning: ClassVar[str] = "labels"

    def check(self, y: np.ndarray, weights: np.ndarray | None, first_row: int, source: Source | None = None) -> None:
        """Check nothing, since `encode` refuses values that are neither zero nor one."""

    def encode(self, y: np.ndarray) -> np.ndarray:
        """T (rows, n_targets) float64 for y (rows, n_targets) of zeros and ones."""
        if not np.isin(y, (0, 1)).all():
            raise DataError("y: a matrix of labels must hold zeros and ones only; got other values.")
        return y.astype(np.float64)

    def content(self, y: np.ndarray) -> np.ndarray:
        """The meaning of y, whatever its dtype, for digests: float64 of the shape of T."""
        return self.encode(y)

    def row_weights(self, y: np.ndarray, given: np.ndarray | None) -> np.ndarray | None:
        """Weights (rows,) of the rows: the given ones, since a set of labels belongs to no single class."""
        return given


Targets = RegressionTargets | ClassTargets | IndicatorTargets


def check_targets(
    y: np.ndarray, weights: np.ndarray | None = None, first_row: int = 0, source: Source | None = None, name: str = "y"
) -> None:
    """Refuse numbers whose squares overflow float64, or whose differences float64 rounds away.

    Parameters
    ----------
    y : ndarray of shape (rows,) or (rows, n_targets)
        A block of finite targets, as the user gave them.
    weights : ndarray of shape (rows,), optional
        Row weights; rows of weight zero may hold any number.
    first_row : int
        Number of the first row of the block in `source`, or in the whole input.
    source : source, optional
        The data that the block was read from.
    name : str
        Name of the argument, for errors.
    """
    if y.dtype.kind not in "fiu" or y.dtype.itemsize < 8 or not len(y):
        return
    counts = np.ones(len(y), bool) if weights is None else weights > 0
    if y.dtype.kind == "f":
        huge = np.abs(y) >= _LARGEST_TARGET
        huge[~counts] = False
        if huge.any():
            value, place = first_bad(huge, y, first_row, source)
            raise DataError(
                f"{name} must be smaller than {_LARGEST_TARGET:g} in magnitude, since squares are summed; got {value} "
                f"first in {place}. Divide {name} by a number near its scale, and multiply predictions by it."
            )
    if y.dtype != np.float64 and counts.any():
        for column in y[counts].reshape(np.count_nonzero(counts), -1).T:
            _refuse_merged(column, first_row, name)


def _refuse_merged(y, first_row, name):
    """Refuse integers (rows,) so close together, and so far from zero, that float64 cannot distinguish them."""
    low, high = y.min(), y.max()
    if y.dtype.kind == "f":
        # These are long doubles.
        unit, spread = float(np.spacing(np.float64(max(abs(low), abs(high))))), float(high - low)
        is_rounded = (y.astype(np.float64) != y).any()
    else:
        unit = 2 ** max(max(abs(int(low)), abs(int(high))).bit_length() - 53, 0)
        spread, is_rounded = int(high) - int(low), unit > 1 and (y % unit).any()
    # Equal rows are taken: they may be a constant, or a part of rows that differ by more.
    if is_rounded and 0 < spread < _RESOLVED * unit:
        raise DataError(
            f"{name} must keep its differences in float64, which holds multiples of {unit:g} only around {low}; got "
            f"{y.dtype} from {low} to {high} in the rows from {first_row} on. Subtract an offset first: {name} - "
            f"{name}.min(), in {y.dtype}."
        )


def _balanced(counts):
    """Weights (n_classes,) by which each class with rows counts the same; 1 for classes without rows."""
    if counts is None:
        raise ParameterError(
            "class_weight='balanced' needs all rows at once to count the classes; here they come in parts. Give a dict "
            "{label: weight} instead."
        )
    seen = np.count_nonzero(counts)
    return np.divide(counts.sum(), seen * counts, out=np.ones(len(counts)), where=counts > 0)


def _short(text):
    """The text, or its first word and a digest where it has more than 200 characters."""
    word = text[: text.find(" ", 1) + 1]
    return text if len(text) <= 200 else word + hashlib.sha256(text.encode()).hexdigest()


def _some(values):
    values = values.tolist()
    return f"{values[:6]}" + (f" and {len(values) - 6} more" if len(values) > 6 else "")
