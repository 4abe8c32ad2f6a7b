"""The hidden layer as a pure value: it scales, clips, and maps a block of X to a block of H."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..blas import subtract_row
from ..exceptions import DataError
from .coding import Coding
from .diagram import layer_html
from .neurons import Neurons, kind_from_name, kind_name
from .specification import parse_neurons
from .weights import Sample, draw_neurons

__all__ = ["Layer", "Scale"]

# Standardised inputs are clipped at this many standard deviations: linear neurons extrapolate, so that one row 20
# standard deviations out makes errors 4 to 10 times larger (docs/measurements.md, "Defaults").
CLIP = 5.0
# Bytes of outputs that stay in the processor's cache between the matrix product and the activation. With half as many,
# the product packs W twice as often: 3 % slower at 200 neurons.
_CACHED_BYTES = 2**20
# Number of inputs that are summed at a time, for the same reason.
_CACHED_NUMBERS = 2**16
# A column whose standard deviation is below this fraction of its magnitude is constant.
_ROUNDING = 10 * float(np.finfo(np.float64).eps)
# Below this limit, x - mean overflows only for values that are clipped anyway: at 5 times any standard deviation.
_LARGEST_INPUT = 1e307


@dataclass(frozen=True, eq=False)
class Scale:
    """Standardisation of inputs: min(max((x - mean) / scale, -clip), clip), in float64.

    mean : ndarray of shape (n_features,), mean of each column; 0 where `scale` is infinite
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
        which are NaN.
        """
        if weights is not None and (weights == 0).any():
            X, weights = X[weights > 0], weights[weights > 0]
        if not len(X):
            raise DataError("sample_weight: at least one row must have a positive weight; got only zeros.")
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

    def with_ranges(self, columns: np.ndarray, at: np.ndarray, low: np.ndarray, high: np.ndarray) -> Scale:
        """The scale with columns that were constant, at values `at`, and that in fact range from `low` to `high`.

        `columns` are their indices; all four have shape (n_columns,). Such a column is centred at `at`, and its largest
        deviation becomes 1.
        """
        farthest = np.maximum(high - at, at - low)
        varies = farthest > _ROUNDING * np.abs(at)
        mean, scale = self.mean.copy(), self.scale.copy()
        mean[columns[varies]], scale[columns[varies]] = at[varies], farthest[varies]
        return Scale(mean, scale, self.clip)

    @property
    def constant(self) -> np.ndarray:
        """Mask (n_features,) of the columns that never varied, and so enter no neuron."""
        return np.isinf(self.scale)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Scaled inputs (rows, n_features), float64, for X (rows, n_features)."""
        # A difference that overflows is clipped.
        with np.errstate(over="ignore"):
            Z = np.subtract(X, self.mean, dtype=np.float64)
            Z /= self.scale
        np.clip(Z, -self.clip, self.clip, out=Z)
        if (constant := self.constant).any():
            # Division by infinity would leave zeros with a sign.
            Z[:, constant] = 0.0
        return Z


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


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer of random neurons: H = layer(X). Pure, immutable, picklable; equal layers have equal fingerprints.

    groups : tuple of Neurons, groups of neurons, in the order of the columns of H
    raw : tuple of bool, whether a group acts on the inputs as they are (given Neurons) or on scaled inputs (drawn ones)
    n_features : int, number of inputs
    dtype : dtype, type of the computation and of H; only the scaling is always float64
    scale : Scale or None, standardisation of the inputs
    gram_dtype : dtype, default=float64, type that H'H is summed in; H does not depend on it
    coding : Coding or None, inputs in the place of columns with gaps and of categories
    n_neurons : int, number of columns of H
    """

    groups: tuple[Neurons, ...]
    raw: tuple[bool, ...]
    n_features: int
    dtype: np.dtype
    scale: Scale | None = None
    gram_dtype: np.dtype = field(default=np.dtype(np.float64))
    coding: Coding | None = None
    n_neurons: int = field(init=False)

    def __post_init__(self):
        for name in ("dtype", "gram_dtype"):
            object.__setattr__(self, name, np.dtype(getattr(self, name)))
        object.__setattr__(self, "n_neurons", sum(map(len, self.groups)))

    @classmethod
    def draw(
        cls,
        neurons,
        n_features: int,
        seed: int,
        dtype,
        scale: Scale | None,
        sample: Sample | None = None,
        coding: Coding | None = None,
    ) -> Layer:
        """Layer for the parameter `neurons` of an estimator; see `parse_neurons` and `draw_neurons`."""
        n_inputs, n_drawn, passed = n_features, n_features, np.arange(n_features)
        if coding is not None:
            n_inputs, n_drawn, passed = coding.n_inputs, coding.n_drawn, coding.passed
        groups = parse_neurons(neurons, n_features, len(passed))
        raw = tuple(isinstance(group, Neurons) for group in groups)
        drawn = draw_neurons(groups, n_inputs, seed, sample, n_drawn, passed)
        return cls(tuple(drawn), raw, n_features, dtype, None if all(raw) else scale, coding=coding)

    def __call__(
        self,
        X: np.ndarray,
        out: np.ndarray | None = None,
        minus: np.ndarray | None = None,
        order: np.ndarray | None = None,
    ) -> np.ndarray:
        """Outputs H (rows, n_neurons) of the layer's dtype for X (rows, n_features); `out` may have a wider dtype.

        `minus` (n_neurons,), of the dtype of the result, is subtracted from each row. `order` (rows,) has the numbers
        of rows of X, where not all are taken as they come.
        """
        n_rows = len(X) if order is None else len(order)
        H = np.empty((n_rows, self.n_neurons), self.dtype) if out is None else out
        # A few rows at a time, so that their outputs stay in the processor's cache from the product to the activation.
        step = max(_CACHED_BYTES // (self.dtype.itemsize * self.n_neurons), 64)
        for start in range(0, n_rows, step):
            rows, these = H[start : start + step], slice(start, start + step)
            self._fill(X[these] if order is None else X.take(order[these], axis=0), rows)
            if minus is not None:
                subtract_row(minus, rows)
        return H

    def _fill(self, X, H):
        as_is = X.astype(self.dtype, copy=False) if any(self.raw) or self.scale is None else X
        scaled = as_is if self.scale is None else self.scale(X).astype(self.dtype, copy=False)
        if self.coding is not None:
            scaled = self.coding(X, scaled)
        start = 0
        for group, raw in zip(self.groups, self.raw, strict=True):
            columns = H[:, start : start + len(group)]
            start += len(group)
            # Marks of levels come last, and are for `lin` neurons alone.
            inputs = as_is if raw else scaled[:, : len(group.W)]
            if group.passes_inputs or (columns.flags.c_contiguous and columns.dtype == self.dtype):
                group(inputs, out=columns)
            else:
                # NumPy's ufuncs take twice as long on rows that are not contiguous in memory.
                columns[:] = group(inputs)

    @property
    def nbytes(self) -> int:
        """Bytes of the weights."""
        tables = 0 if self.coding is None else sum(one.table.nbytes for one in self.coding.categories)
        return tables + sum(group.W.nbytes + group.b.nbytes for group in self.groups)

    @property
    def n_inputs(self) -> int:
        """Number of inputs of neurons: columns of X, and what `coding` has in the place of some of them."""
        return self.n_features if self.coding is None else self.coding.n_inputs

    @property
    def takes_gaps(self) -> bool:
        """Whether NaN in X is a gap; else it is refused before."""
        return self.coding is not None and self.coding.takes_gaps

    @cached_property
    def fingerprint(self) -> str:
        """Digest of everything that H depends on, equal on every machine."""
        digest = hashlib.sha256(b"daskelm layer 1")
        state = self.state()
        state.pop("gram_dtype", None)
        for name, value in sorted(state.items()):
            data = np.ascontiguousarray(value).tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
            digest.update(f"{name}:{len(data)}:".encode() + data)
        return digest.hexdigest()

    @cached_property
    def feature_names_out(self) -> list[str]:
        """Names of the columns of H: kind and number within the kind, such as "tanh0"."""
        counts: Counter = Counter()
        names = []
        for group in self.groups:
            kind = kind_name(group.kind).rpartition(".")[2]
            names += [f"{kind}{i}" for i in range(counts[kind], counts[kind] + len(group))]
            counts[kind] += len(group)
        return names

    def state(self) -> dict:
        """The layer as plain numbers, strings and arrays; `from_state` restores it bit for bit."""
        state: dict = {
            "kinds": [kind_name(g.kind) for g in self.groups],
            "raw": [bool(r) for r in self.raw],
            "n_features": int(self.n_features),
            "dtype": self.dtype.name,
        }
        for i, group in enumerate(self.groups):
            state[f"W{i}"], state[f"b{i}"] = group.W, group.b
        if self.scale is not None:
            state |= {"mean": self.scale.mean, "scale": self.scale.scale, "clip": float(self.scale.clip)}
        if self.gram_dtype != np.float64:
            state["gram_dtype"] = self.gram_dtype.name
        return state if self.coding is None else state | self.coding.state()

    @classmethod
    def from_state(cls, state: dict) -> Layer:
        """The layer with this `state`."""
        groups = tuple(
            Neurons(kind_from_name(kind), state[f"W{i}"], state[f"b{i}"]) for i, kind in enumerate(state["kinds"])
        )
        scale = Scale(state["mean"], state["scale"], state["clip"]) if "mean" in state else None
        gram_dtype, n_features = state.get("gram_dtype", "float64"), state["n_features"]
        coding = Coding.from_state(n_features, state) if "takes_gaps" in state else None
        return cls(groups, tuple(state["raw"]), n_features, state["dtype"], scale, gram_dtype, coding)

    def __repr__(self):
        numbers: Counter = Counter()
        for group in self.groups:
            numbers[kind_name(group.kind)] += len(group)
        neurons = " + ".join(f"{n} {kind}" for kind, n in numbers.items())
        scaled = "unscaled" if self.scale is None else "scaled"
        return (
            f"Layer({self.n_features} inputs, {neurons}, {self.dtype}, {scaled}, fingerprint={self.fingerprint[:12]})"
        )

    def _repr_html_(self) -> str:
        return layer_html(self)

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k in self.__dataclass_fields__}
