"""The hidden layer as a pure value: it scales, clips, and maps a block of X to a block of H."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..blas import subtract_row
from ..sparse import SparseRows
from .coding import Coding
from .diagram import layer_html
from .neurons import Neurons, kind_from_name, kind_name
from .scale import Scale
from .specification import parse_neurons
from .stored import check_layer
from .weights import Sample, draw_neurons

__all__ = ["Layer"]

# Bytes of outputs that stay in the processor's cache between the matrix product and the activation. With half as many,
# the product packs W twice as often: 3 % slower at 200 neurons.
_CACHED_BYTES = 2**20
# Bytes of sparse rows that become an array at once.
_DENSE_BYTES = 8 * 2**20


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
        if dense := isinstance(X, SparseRows) and not self._takes_sparse:
            step = max(min(step, _DENSE_BYTES // (8 * self.n_features)), 1)
        for start in range(0, n_rows, step):
            rows, these = H[start : start + step], slice(start, start + step)
            block = X[these] if order is None else X.take(order[these], axis=0)
            self._fill(block.toarray() if dense else block, rows)
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
            inputs = as_is if raw else scaled if self.coding is None else scaled[:, : len(group.W)]
            if group.passes_inputs or (columns.flags.c_contiguous and columns.dtype == self.dtype):
                group(inputs, out=columns)
            else:
                # NumPy's ufuncs take twice as long on rows that are not contiguous in memory.
                columns[:] = group(inputs)

    @cached_property
    def _takes_sparse(self) -> bool:
        """Whether H of sparse rows is a sparse product; else a few rows at a time become an array."""
        centred = self.scale is not None and self.scale.is_centred
        return not centred and self.coding is None and all(group.takes_sparse for group in self.groups)

    @property
    def nbytes(self) -> int:
        """Bytes of the weights."""
        tables = 0 if self.coding is None else sum(one.table.nbytes for one in self.coding.categories)
        return tables + sum(group.W.nbytes + group.b.nbytes for group in self.groups)

    @property
    def held_bytes(self) -> int:
        """Bytes of the weights in a process that computes with them: in single precision they have a copy."""
        return self.nbytes * 3 // 2 if self.dtype == np.float32 else self.nbytes

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
            is_array = isinstance(value, np.ndarray)
            data = np.ascontiguousarray(value).reshape(-1).view(np.uint8).data if is_array else repr(value).encode()
            digest.update(f"{name}:{len(data)}:".encode())
            digest.update(data)
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
        """The layer with this `state`, possibly read from a file.

        Raises
        ------
        FileFormatError
            The state is that of no layer.
        """
        check_layer(state)
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
