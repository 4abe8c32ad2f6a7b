"""Groups of neurons: the table of kinds, their activation functions, and the scales of their random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.special

from ..exceptions import ParameterError
from ..sparse import SparseRows
from .drawing import exp, log, ndtr, ndtri

__all__ = ["KINDS", "Neurons", "Projection", "kind_from_name", "kind_name", "projection_of"]


def _project(X, W, b, out):
    if isinstance(X, SparseRows):
        X.product(W, out)
    else:
        np.matmul(X, W, out=out)
    out += b


def _squared_l2(X, W, b, out):
    # |x|^2 - 2 x'w + |w|^2 is one matrix product, but cancels where inputs share a large offset: subtract that first.
    offset = W.mean(axis=1)
    X = X - offset
    W = W - offset[:, None]
    np.matmul(X, W, out=out)
    out *= -2
    out += np.einsum("ij,ij->i", X, X)[:, None]
    out += np.einsum("ij,ij->j", W, W)
    np.maximum(out, 0, out=out)
    out *= -b


def _squared_metric(metric):
    def combine(X, W, b, out):
        # Only these two kinds need it, and its import takes a tenth of a second.
        from scipy.spatial.distance import cdist

        np.square(cdist(X, W.T, metric), out=out, casting="same_kind")
        out *= -b

    return combine


def _relu(Z, out):
    np.maximum(Z, 0, out=out)


def _identity(Z, out):
    pass


# Medians over x, w ~ N(0, I) of the squared distance |x - w|^2, one per norm: the natural unit of an rbf's width.
def _median_l1(d):
    return 4 * d * d / np.pi


def _median_l2(d):
    return 2.0 * d


def _median_linf(d):
    z = ndtri((1 + exp(np.float64(-log(2.0) / d))) / 2)
    return 2 * (z * z)


@dataclass(frozen=True)
class Kind:
    """One row of the table of kinds.

    combine : callable, `combine(X, W, b, out)` fills out (rows, n) from X (rows, d), W (d, n) and b (n,)
    activate : callable, `activate(out, out=out)` applies the activation function in place
    weights : callable, `weights(Z, d)` makes W and b of standard normal numbers, one row (d weights, a bias, a scale)
        per neuron
    """

    combine: Callable
    activate: Callable
    weights: Callable


def _log_uniform(z, low, high):
    # The libraries' powers and distribution functions differ in the last bit between processors.
    return low * exp(log(high / low) * ndtr(z))


@dataclass(frozen=True)
class Projection:
    """Random weights of neurons f(XW + b): directions from N(0, 1/d) times a factor, biases from N(0, bias^2).

    low, high : float, limits of the factor, which is log-uniform and each neuron's own
    bias : float, standard deviation of the biases
    """

    low: float
    high: float
    bias: float

    def factors(self, z: np.ndarray) -> np.ndarray:
        """Log-uniform factors for standard normal numbers z."""
        return _log_uniform(z, self.low, self.high)

    def __call__(self, Z: np.ndarray, d: int) -> tuple[np.ndarray, np.ndarray]:
        """W (d, n) and b (n,) of standard normal numbers Z (n, d + 2)."""
        scale = self.factors(Z[:, d + 1]) / np.sqrt(d)
        return (Z[:, :d] * scale[:, None]).T, self.bias * Z[:, d]


def _centre_weights(median, low, high):
    """Centres from N(0, I); b = g / (median squared distance), with a log-uniform g of each neuron's own."""

    def weights(Z, d):
        return Z[:, :d].T, _log_uniform(Z[:, d + 1], low, high) / median(d)

    return weights


_UFUNC_WEIGHTS = Projection(0.5, 2.0, 1.0)

# A new kind is one row here. The scales were measured: docs/measurements.md, "Defaults".
KINDS: dict[str, Kind] = {
    "lin": Kind(_project, _identity, lambda Z, d: (np.eye(d)[:, : len(Z)], np.zeros(len(Z)))),
    "sigm": Kind(_project, scipy.special.expit, Projection(1.0, 4.0, 2.0)),
    "tanh": Kind(_project, np.tanh, Projection(0.25, 1.0, 0.7)),
    "relu": Kind(_project, _relu, Projection(0.5, 0.5, 0.5)),
    "rbf_l1": Kind(_squared_metric("cityblock"), np.exp, _centre_weights(_median_l1, 0.5, 5.0)),
    "rbf_l2": Kind(_squared_l2, np.exp, _centre_weights(_median_l2, 0.5, 5.0)),
    "rbf_linf": Kind(_squared_metric("chebyshev"), np.exp, _centre_weights(_median_linf, 0.5, 5.0)),
}


def projection_of(kind: str | np.ufunc) -> Projection | None:
    """Scales of the random weights of a kind f(XW + b); None for `lin` and for kinds that have centres."""
    weights = KINDS[kind].weights if isinstance(kind, str) else _UFUNC_WEIGHTS
    return weights if isinstance(weights, Projection) else None


_UFUNC_HOMES = {"numpy": np, "scipy.special": scipy.special}


def kind_name(kind: str | np.ufunc) -> str:
    """Name of a kind in files: a key of the table, or "numpy.<name>" / "scipy.special.<name>" of a ufunc."""
    if isinstance(kind, str):
        if kind in KINDS:
            return kind
    elif isinstance(kind, np.ufunc):
        for home, module in _UFUNC_HOMES.items():
            if getattr(module, kind.__name__, None) is kind:
                if (kind.nin, kind.nout) != (1, 1) or not _maps_floats(kind):
                    raise ParameterError(
                        f"neurons: a ufunc must take one number and give one of the same float type; got {home}."
                        f"{kind.__name__} with {kind.nin} inputs and {kind.nout} outputs. Use one such as numpy.sin or "
                        "scipy.special.erf."
                    )
                return f"{home}.{kind.__name__}"
    raise ParameterError(
        f"neurons: a kind must be one of {', '.join(map(repr, KINDS))}, or a ufunc of NumPy or scipy.special "
        f"(numpy.sin, scipy.special.erf); got {kind!r}."
    )


def _maps_floats(ufunc):
    try:
        return ufunc(np.full(1, 0.5, "f4")).dtype == np.float32 and ufunc(np.full(1, 0.5)).dtype == np.float64
    except TypeError:
        return False


def kind_from_name(name: str) -> str | np.ufunc:
    """The kind with this name; the inverse of `kind_name`."""
    if name in KINDS:
        return name
    home, _, attribute = name.rpartition(".")
    kind = getattr(_UFUNC_HOMES.get(home), attribute, name)
    kind_name(kind)
    return kind


@dataclass(frozen=True, eq=False)
class Neurons:
    """A group of neurons of one kind with given weights; they act on the inputs as they are, without scaling.

    Parameters
    ----------
    kind : str or numpy.ufunc
        ``"lin"`` gives XW + b, ``"sigm"`` 1 / (1 + exp(-(XW + b))), ``"tanh"`` tanh(XW + b), ``"relu"``
        max(XW + b, 0); ``"rbf_l1"``, ``"rbf_l2"``, ``"rbf_linf"`` give ``exp(-b |x - w|^2)`` in the 1-, 2- or
        maximum norm, w being a column of W; a ufunc of NumPy or scipy.special gives ufunc(XW + b).
    W : array-like of shape (n_features, n)
        Weights, or centres for the rbf kinds; kept as float64.
    b : array-like of shape (n,)
        Biases, or for the rbf kinds inverse squared widths, which are positive; kept as float64.

    Raises
    ------
    ParameterError
        For an unknown kind, shapes that do not fit, or numbers that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from daskelm import Neurons
    >>> neurons = Neurons("relu", W=[[1.0, -1.0]], b=[0.0, 0.5])
    >>> neurons(np.array([[2.0], [-2.0]]))
    array([[2. , 0. ],
           [0. , 2.5]])
    """

    __module__ = "daskelm"

    kind: str | np.ufunc
    W: np.ndarray
    b: np.ndarray

    def __post_init__(self):
        name = kind_name(self.kind)
        W, b = np.array(self.W, dtype=np.float64, order="C"), np.array(self.b, dtype=np.float64)
        if W.ndim != 2 or b.shape != W.shape[1:] or W.shape[0] < 1:
            raise ParameterError(
                "neurons: W must have shape (n_features, n) and b shape (n,), a column of W and an entry of b per "
                f"neuron; got W of shape {W.shape} and b of shape {b.shape}."
            )
        if not (np.isfinite(W).all() and np.isfinite(b).all()):
            raise ParameterError(f"neurons: W and b must be finite; got NaN or infinity in the {name!r} neurons.")
        if name.startswith("rbf") and not (b > 0).all():
            raise ParameterError(
                f"neurons: b of {name!r} neurons is an inverse squared width and must be positive; got {b.min()}."
            )
        W.setflags(write=False)
        b.setflags(write=False)
        object.__setattr__(self, "W", W)
        object.__setattr__(self, "b", b)

    def __len__(self):
        return len(self.b)

    @cached_property
    def _passed_inputs(self) -> slice | np.ndarray | None:
        """Indices of the inputs that these neurons copy, as drawn `lin` neurons do; None if they compute something."""
        if self.kind != "lin" or self.b.any() or not len(self):
            return None
        inputs = np.argmax(self.W, axis=0)
        # No identity matrix is made: there may be 100,000 inputs.
        if np.count_nonzero(self.W) != len(self) or (self.W[inputs, np.arange(len(self))] != 1).any():
            return None
        first, last = int(inputs[0]), int(inputs[-1])
        # A slice copies adjacent columns at once, a list of indices one number at a time.
        return slice(first, last + 1) if np.array_equal(inputs, np.arange(first, last + 1)) else inputs

    @property
    def passes_inputs(self) -> bool:
        """Whether the outputs are copies of inputs, so that nothing is computed."""
        return self._passed_inputs is not None

    @property
    def takes_sparse(self) -> bool:
        """Whether sparse rows are multiplied by the weights as they are; distances need all numbers."""
        return not isinstance(self.kind, str) or KINDS[self.kind].combine is _project

    @cached_property
    def _single(self) -> tuple[np.ndarray, np.ndarray]:
        """W and b in float32. Weights of many inputs take longer to convert than to multiply by a block."""
        return self.W.astype(np.float32), self.b.astype(np.float32)

    def __repr__(self):
        return f"Neurons({kind_name(self.kind)!r}, W of shape {self.W.shape}, b of shape {self.b.shape})"

    def __reduce__(self):
        return Neurons, (self.kind, self.W, self.b)

    def __call__(self, X: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Outputs of the neurons.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Inputs, float32 or float64; all computation is in this dtype.
        out : ndarray of shape (n_samples, n), optional
            Array to write to.

        Returns
        -------
        ndarray of shape (n_samples, n)
            Outputs, in the dtype of X.
        """
        if out is None:
            out = np.empty((len(X), len(self)), X.dtype)
        if (inputs := self._passed_inputs) is not None:
            out[:] = X[:, inputs].toarray() if isinstance(X, SparseRows) else X[:, inputs]
            return out
        W, b = self._single if X.dtype == np.float32 else (self.W, self.b)
        if isinstance(self.kind, str):
            KINDS[self.kind].combine(X, W, b, out)
            KINDS[self.kind].activate(out, out=out)
        else:
            _project(X, W, b, out)
            self.kind(out, out=out)
        return out
