"""Standardisation of inputs: the scale of each column, and the limits of what neurons see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..exceptions import DataError
from ..sparse import SparseRows

__all__ = ["CLIP", "Scale"]

# Standardised inputs are clipped at this many standard deviations: linear neurons extrapolate, so that one row 20
# standard deviations out makes errors 4 to 10 times larger (docs/measurements.md, "Defaults").
CLIP = 5.0
# Number of inputs that are summed at a time, so that they stay in the processor's cache.
_CACHED_NUMBERS = 2**16
# Numbers of sparse rows that are summed at a time, so that they take little memory.
_PIECE_NUMBERS = 2**18
# A column whose standard deviation is below this fraction of its magnitude is constant.
_ROUNDING = 10 * float(np.finfo(np.float64).eps)
# Below this limit, x - mean overflows only for values that are clipped anyway: at 5 times any standard deviation.
_LARGEST_INPUT = 1e307


@dataclass(frozen=True, eq=False)
class Scale:
    """Standardisation of inputs: min(max((x - mean) / scale, -clip), clip), in float64.

    mean : ndarray of shape (n_features,), mean of each column; 0 where `scale` is infinite, and for sparse rows
    scale : ndarray of shape (n_features,), standard deviation of each column; infinite for a constant column, which
        becomes 0
    clip : float, default=5, largest magnitude of a scaled input, in standard deviations
    """

    mean: np.ndarray
    scale: np.ndarray
    clip: float = CLIP

    @classmethod
    def of(cls, X: np.ndarray, weights: np.ndarray | None = None, names: Sequence | None = None) -> Scale:
        """Weighted mean and standard deviation of the columns of X (n_samples, n_features); errors name `names`.

        A column that is constant to rounding gets an infinite scale. Rows of weight zero do not count, nor do gaps,
        which are NaN. Sparse rows are not centred.
        """
        if weights is not None and (weights == 0).any():
            X, weights = X[weights > 0], weights[weights > 0]
        if not len(X):
            raise DataError("sample_weight: at least one row must have a positive weight; got only zeros.")
        if isinstance(X, SparseRows):
            return cls._of_sparse(X, weights, names)
        if X.dtype.kind == "f" and (gaps := np.isnan(X)).any():
            return cls._with_gaps(X, gaps, weights, names)
        n = len(X) if weights is None else weights.sum()
        first = X[0].astype(np.float64)
        step = max(_CACHED_NUMBERS // X.shape[1], 1)

        low, high = (extreme(X, axis=0).astype(np.float64) for extreme in (np.min, np.max))
        _refuse_huge(np.maximum(-low, high), names)
        spread = np.maximum(high - first, first - low)
        # Squares stay within range in a unit near the largest deviation; a power of two rounds nothing.
        unit = np.where((spread > 1e-100) & (spread < 1e100), 1.0, np.ldexp(1.0, np.frexp(spread)[1]))

        def average(about, squared):
            total = np.zeros(X.shape[1])
            for start in range(0, len(X), step):
                rows = slice(start, start + step)
                # Always added in row order, whatever the memory layout, so that fingerprints depend on values alone.
                terms = np.subtract(X[rows], first, dtype=np.float64, order="C")
                if (unit != 1).any():
                    terms /= unit
                terms -= about
                if squared:
                    terms *= terms
                if weights is not None:
                    terms *= weights[rows, None]
                total += terms.sum(axis=0)
            return total / n

        # Two passes, the first about the first row: columns such as epoch seconds keep all their digits.
        shift = average(0.0, squared=False)
        scale, shift = np.sqrt(average(shift, squared=True)) * unit, shift * unit
        constant = scale <= _ROUNDING * (np.abs(first) + np.abs(shift))
        return cls(np.where(constant, 0.0, first + shift), np.where(constant, np.inf, scale))

    @classmethod
    def _with_gaps(cls, X, gaps, weights, names):
        """The scale of columns with gaps, each of the rows in which it has none."""
        _refuse_huge(np.fmax.reduce(np.abs(X), axis=0, initial=0).astype(np.float64), names)
        mean, scale = np.zeros(X.shape[1]), np.full(X.shape[1], np.inf)
        whole = ~gaps.any(axis=0)
        if whole.any():
            part = cls.of(X[:, whole], weights)
            mean[whole], scale[whole] = part.mean, part.scale
        for column in np.flatnonzero(~whole & ~gaps.all(axis=0)):
            there = ~gaps[:, column]
            part = cls.of(X[there][:, [column]], None if weights is None else weights[there])
            mean[column], scale[column] = part.mean[0], part.scale[0]
        return cls(mean, scale)

    @classmethod
    def _of_sparse(cls, X, weights, names):
        """The scale of sparse rows, about zero: each column in units of the root mean square of its non-zeros.

        One more factor for all of them makes the squares of a row add up to n_features on average, as those of
        standardised columns do; the limit of scaled inputs has it too.
        """
        n = X.shape[1]
        largest = np.zeros(n)
        for values, columns, _ in _pieces(X, None):
            np.maximum.at(largest, columns, np.abs(values))
        _refuse_huge(largest, names)
        v = None if weights is None else weights / weights.max()
        # Squares of numbers near the largest of their column stay within range.
        unit = np.where(largest > 0, largest, 1.0)
        sums, totals = np.zeros(n), np.zeros(n)
        # Numbers are added one by one, in their order, so that sums have the same bits on every processor.
        for values, columns, weight in _pieces(X, v):
            np.add.at(sums, columns, weight * np.square(values / unit[columns]))
            np.add.at(totals, columns, weight * (values != 0))
        scale = np.full(n, np.inf)
        np.divide(np.sqrt(sums), np.sqrt(totals), out=scale, where=sums > 0)
        scale *= unit
        total = np.zeros(1)
        for values, columns, weight in _pieces(X, v):
            squares = np.square(np.minimum(np.abs(values) / scale[columns], CLIP))
            total = np.cumsum(np.concatenate([total, weight * squares]))[-1:]
        mean_square = total[0] / (len(X) if v is None else np.cumsum(v)[-1])
        factor = np.sqrt(n / mean_square) if mean_square else 1.0
        return cls(np.zeros(n), scale / factor, CLIP * factor)

    @property
    def is_centred(self) -> bool:
        """Whether zero is not zero any more when it is scaled."""
        return bool(self.mean.any())

    def with_typical(self) -> Scale:
        """The scale with the median of all others for columns that were only zeros, where rows are not centred."""
        seen = np.isfinite(self.scale)
        if seen.all() or not seen.any():
            return self
        return Scale(self.mean, np.where(seen, self.scale, np.median(self.scale[seen])), self.clip)

    def with_ranges(self, columns: np.ndarray, at: np.ndarray, low: np.ndarray, high: np.ndarray) -> Scale:
        """The scale with columns that were constant, at values `at`, and that in fact range from `low` to `high`.

        `columns` are their indices; all four have shape (n_columns,). Such a column is centred at `at`, and its largest
        deviation becomes 1.
        """
        farthest = np.maximum(high - at, at - low)
        varies = farthest > _ROUNDING * np.abs(at)
        mean, scale = self.mean.copy(), self.scale.copy()
        # The factor that all columns share is 1, but for sparse rows.
        mean[columns[varies]], scale[columns[varies]] = at[varies], farthest[varies] / (self.clip / CLIP)
        return Scale(mean, scale, self.clip)

    @property
    def constant(self) -> np.ndarray:
        """Mask (n_features,) of the columns that never varied, and so enter no neuron."""
        return np.isinf(self.scale)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Scaled inputs (rows, n_features), float64, for X (rows, n_features).

        Sparse rows, which a scale that is not centred leaves sparse, must not be given to one that is.
        """
        if isinstance(X, SparseRows):
            values, columns = X.kept
            scaled = values / self.scale[columns]
            return X.with_values(np.clip(scaled, -self.clip, self.clip, out=scaled))
        # A difference that overflows is clipped.
        with np.errstate(over="ignore"):
            Z = np.subtract(X, self.mean, dtype=np.float64)
            Z /= self.scale
        np.clip(Z, -self.clip, self.clip, out=Z)
        if (constant := self.constant).any():
            # Division by infinity would leave zeros with a sign.
            Z[:, constant] = 0.0
        return Z


def _pieces(X: SparseRows, weights):
    """Numbers of a few of the rows at a time, in float64, their columns, and the weights of their rows."""
    step = max(_PIECE_NUMBERS * len(X) // max(X.n_kept, 1), 1)
    for start in range(0, len(X), step):
        rows = X[start : start + step]
        values, columns = rows.kept
        of_rows = 1.0 if weights is None else weights[start : start + step][rows.row_numbers()]
        yield values.astype(np.float64), columns, of_rows


def _refuse_huge(largest, names):
    if (largest < _LARGEST_INPUT).all():
        return
    column = int(np.argmin(largest < _LARGEST_INPUT))
    name = f"{column}" if names is None else f"{column} ({names[column]!r})"
    raise DataError(
        f"X: numbers must be smaller than {_LARGEST_INPUT:g} in magnitude to be standardized, so that differences are "
        f"numbers too; got {largest[column]:g} in column {name}. If it stands for a missing value, fill or drop such "
        "rows; else divide the column."
    )
