"""Folds: the test part of each row, as runs of rows, from a number of folds, a splitter or splits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from ..exceptions import DataError, ParameterError

__all__ = ["Folds", "make_folds"]

_REMEDY = (
    "Each row must be in one test part at most, and in all training parts but that: use an int, KFold, "
    "StratifiedKFold, GroupKFold or PredefinedSplit, or GridSearchCV over the plain estimator."
)


@dataclass(frozen=True, eq=False)
class Folds:
    """Test parts 0 to n_folds - 1 as runs of rows; rows of part n_folds are always in training.

    Parameters
    ----------
    n_folds : int
        Number of test parts.
    edges : ndarray of shape (n_runs + 1,), int
        First row of each run, and the number of rows.
    parts : ndarray of shape (n_runs,), int
        Test part of each run.
    """

    n_folds: int
    edges: np.ndarray
    parts: np.ndarray

    @classmethod
    def of_rows(cls, n_folds: int, parts: np.ndarray) -> Folds:
        """Folds from the test part (n_samples,) of each row."""
        starts = np.concatenate([[0], np.flatnonzero(np.diff(parts)) + 1])
        return cls(n_folds, np.append(starts, len(parts)), parts[starts])

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return int(self.edges[-1])

    @property
    def n_parts(self) -> int:
        """Number of parts: the test parts, and one more if some rows are always in training."""
        return self.n_folds + bool((self.parts == self.n_folds).any())

    def runs(self) -> list[tuple[int, int, int]]:
        """(first row, last + 1, part) of each run."""
        return list(zip(self.edges[:-1].tolist(), self.edges[1:].tolist(), self.parts.tolist(), strict=True))

    def between(self, start: int, stop: int) -> int | np.ndarray:
        """Part of the rows start to stop - 1: one number if they share it, else an array (stop - start,)."""
        first = int(np.searchsorted(self.edges, start, "right")) - 1
        last = int(np.searchsorted(self.edges, stop, "left"))
        if last - first == 1:
            return int(self.parts[first])
        lengths = np.diff(np.clip(self.edges[first : last + 1], start, stop))
        return np.repeat(self.parts[first:last].astype(np.min_scalar_type(self.n_folds)), lengths)

    def in_long_runs(self, n_rows: int) -> bool:
        """Whether tasks may end where runs end: runs are few, or have at least `n_rows` rows on average."""
        return len(self.parts) <= 2 * self.n_parts or self.n_samples >= n_rows * len(self.parts)


def make_folds(cv, n_samples: int, X, y, *, stratified: bool) -> Folds:
    """Folds from the parameter `cv`.

    Parameters
    ----------
    cv : int, splitter, or iterable of (train, test)
        An int is a number of folds of consecutive rows, stratified by label or not, as in scikit-learn. Shuffle where
        rows are sorted (KFold(5, shuffle=True)); consecutive folds take less memory.
    n_samples : int
        Number of rows.
    X : ndarray of shape (n_samples, n_features), or None
        Passed to the splitter; None where X is not in memory.
    y : callable
        Returns the targets or labels in memory, for splitters.
    stratified : bool
        Whether there is one label per row.

    Raises
    ------
    ParameterError
        `cv` is not one of these, its test parts overlap, or a training part is not the complement of its test part.
    """
    # Fold sums are made in workers, where an import of scikit-learn at the top would be repeated.
    from sklearn.model_selection import KFold, StratifiedKFold

    if isinstance(cv, Integral) and not isinstance(cv, bool):
        if cv < 2:
            raise ParameterError(
                f"cv must be at least 2 folds, None for folds by the content of the rows, 'gcv' or 'loo'; got {cv}."
            )
        cv = StratifiedKFold(int(cv)) if stratified else KFold(int(cv))
    if type(cv) is KFold and not cv.shuffle:
        # Runs instead of a number per row, since there may be more rows than memory holds.
        if cv.n_splits > n_samples:
            raise DataError(f"cv: there must be a row for each of {cv.n_splits} folds; got {n_samples} samples.")
        sizes = np.full(cv.n_splits, n_samples // cv.n_splits)
        sizes[: n_samples % cv.n_splits] += 1
        return Folds(cv.n_splits, np.concatenate([[0], np.cumsum(sizes)]), np.arange(cv.n_splits))
    if hasattr(cv, "split") and not isinstance(cv, str | bytes):
        placeholder = np.broadcast_to(np.zeros(1), (n_samples, 1))
        return _from_splits(_splits(cv, placeholder if X is None else X, y()), n_samples)
    if isinstance(cv, Iterable) and not isinstance(cv, str | bytes):
        return _from_splits(cv, n_samples)
    raise ParameterError(
        "cv must be None, 'gcv', 'loo', an int, a splitter of scikit-learn, or an iterable of (train, test) row "
        f"numbers; got {cv!r}."
    )


def _splits(cv, X, y):
    try:
        yield from cv.split(X, y)
    except (ValueError, TypeError) as error:
        raise ParameterError(
            f"cv: {type(cv).__name__} cannot split these rows: {error} Where it needs more than X and y, give the "
            "splits themselves: cv=list(splitter.split(X, y, groups))."
        ) from error


def _from_splits(splits, n_samples):
    # One split at a time: all at once would take two numbers per row and fold.
    parts, n_folds = np.full(n_samples, -1, np.int32), 0
    for i, split in enumerate(splits):
        try:
            train, test = (_rows(numbers, n_samples) for numbers in split)
        except (TypeError, ValueError) as error:
            raise ParameterError(
                f"cv: each split must be (train, test), two arrays of row numbers; got {str(split)[:80]!r} ({error})."
            ) from error
        if (taken := parts[test] >= 0).any() or len(np.unique(test)) < len(test):
            twice = int(test[np.argmax(taken)]) if taken.any() else int(test[np.argmax(np.bincount(test)[test] > 1)])
            raise ParameterError(f"cv: test parts must be disjoint; got row {twice} in two of them. {_REMEDY}")
        if not len(test) or not len(train):
            raise ParameterError(f"cv: training and test part must each have a row; got an empty one in split {i}.")
        inside = np.zeros(n_samples, bool)
        inside[train] = True
        if inside[test].any() or len(train) != np.count_nonzero(inside) or len(train) + len(test) != n_samples:
            raise ParameterError(
                f"cv: a training part must be all rows that are not in its test part; got {len(train)} and {len(test)} "
                f"of {n_samples} rows in split {i}. {_REMEDY}"
            )
        parts[test] = i
        n_folds = i + 1
    if not n_folds:
        raise ParameterError("cv: at least one split is needed; got none.")
    parts[parts < 0] = n_folds
    return Folds.of_rows(n_folds, parts)


def _rows(numbers, n_samples):
    numbers = np.asarray(numbers)
    if numbers.dtype == bool:
        if numbers.shape != (n_samples,):
            raise ValueError(f"a mask of shape {numbers.shape} for {n_samples} rows")
        return np.flatnonzero(numbers)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise ValueError(f"{numbers.dtype} of shape {numbers.shape}")
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < n_samples:
        raise ValueError(f"rows {numbers.min()} to {numbers.max()} of {n_samples}")
    return numbers.astype(np.intp)
