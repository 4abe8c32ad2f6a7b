"""Groups of neurons: the table of kinds, their activation functions, and how their weights are drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral

import numpy as np
import scipy.special

from ..exceptions import ParameterError
from .drawing import exp, log, ndtr, ndtri, standard_normal

__all__ = ["KINDS", "Neurons", "draw_neurons", "kind_from_name", "kind_name", "parse_neurons"]

# The default layer passes every input through and adds this many tanh neurons, chosen by measurement
# (docs/measurements.md, "Defaults").
DEFAULT_N_TANH = 200


def _project(X, W, b, out):
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


def _projection_weights(low, high, bias):
    """Directions from N(0, 1/d), each neuron scaled by its own log-uniform factor; biases from N(0, bias^2)."""

    def weights(Z, d):
        scale = _log_uniform(Z[:, d + 1], low, high) / np.sqrt(d)
        return (Z[:, :d] * scale[:, None]).T, bias * Z[:, d]

    return weights


def _centre_weights(median, low, high):
    """Centres from N(0, I); b = g / (median squared distance), with a log-uniform g of each neuron's own."""

    def weights(Z, d):
        return Z[:, :d].T, _log_uniform(Z[:, d + 1], low, high) / median(d)

    return weights


_UFUNC_WEIGHTS = _projection_weights(0.5, 2.0, 1.0)

# A new kind is one row here. The scales were measured: docs/measurements.md, "Defaults".
KINDS: dict[str, Kind] = {
    "lin": Kind(_project, _identity, lambda Z, d: (np.eye(d)[:, : len(Z)], np.zeros(len(Z)))),
    "sigm": Kind(_project, scipy.special.expit, _projection_weights(1.0, 4.0, 2.0)),
    "tanh": Kind(_project, np.tanh, _projection_weights(0.25, 1.0, 0.7)),
    "relu": Kind(_project, _relu, _projection_weights(0.5, 0.5, 0.5)),
    "rbf_l1": Kind(_squared_metric("cityblock"), np.exp, _centre_weights(_median_l1, 0.5, 5.0)),
    "rbf_l2": Kind(_squared_l2, np.exp, _centre_weights(_median_l2, 0.5, 5.0)),
    "rbf_linf": Kind(_squared_metric("chebyshev"), np.exp, _centre_weights(_median_linf, 0.5, 5.0)),
}

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
        if not np.array_equal(self.W, np.eye(len(self.W))[:, inputs]):
            return None
        first, last = int(inputs[0]), int(inputs[-1])
        # A slice copies adjacent columns at once, a list of indices one number at a time.
        return slice(first, last + 1) if np.array_equal(inputs, np.arange(first, last + 1)) else inputs

    @property
    def passes_inputs(self) -> bool:
        """Whether the outputs are copies of inputs, so that nothing is computed."""
        return self._passed_inputs is not None

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
            out[:] = X[:, inputs]
            return out
        W, b = self.W.astype(X.dtype, copy=False), self.b.astype(X.dtype, copy=False)
        if isinstance(self.kind, str):
            KINDS[self.kind].combine(X, W, b, out)
            KINDS[self.kind].activate(out, out=out)
        else:
            _project(X, W, b, out)
            self.kind(out, out=out)
        return out


def parse_neurons(neurons, n_features: int) -> list[tuple[int, str | np.ufunc] | Neurons]:
    """Groups of neurons from the parameter `neurons` of an estimator, checked.

    Parameters
    ----------
    neurons : None, int, or list of (int, kind) and Neurons
        None is the default: every input as a `lin` neuron, and 200 `tanh`. An int is a number of `tanh` neurons.
        (n, "lin") passes the first n inputs through, at most n_features.
    n_features : int
        Number of inputs.

    Returns
    -------
    list
        Groups in the given order.
    """
    if neurons is None:
        return [(n_features, "lin"), (DEFAULT_N_TANH, "tanh")]
    if (pair := _as_pair(neurons)) is not None:
        raise _wrong_spec(neurons, f" Write a list of pairs, also of one: [{pair!r}].")
    if isinstance(neurons, Neurons):
        neurons = [neurons]
    elif isinstance(neurons, Integral) and not isinstance(neurons, bool):
        neurons = [(neurons, "tanh")]
    elif not isinstance(neurons, Iterable) or isinstance(neurons, str):
        raise _wrong_spec(neurons)
    groups: list = []
    n_lin = 0
    for group in neurons:
        if isinstance(group, Neurons):
            if group.W.shape[0] != n_features:
                raise ParameterError(
                    f"neurons: W of given Neurons must have a row per input; got {group.W.shape[0]} rows, and X has "
                    f"{n_features} columns."
                )
            groups.append(group)
            continue
        if not isinstance(group, tuple | list) or len(group) != 2:
            raise _wrong_spec(group)
        number, kind = group
        if (pair := _as_pair(group)) is not None and pair[0] is not number:
            raise _wrong_spec(group, f" The number comes first: {pair!r}.")
        if not isinstance(number, Integral) or isinstance(number, bool) or number < 1:
            raise ParameterError(f"neurons: the number of neurons of a group must be an int >= 1; got {number!r}.")
        kind_name(kind)
        n_lin += int(number) if kind == "lin" else 0
        groups.append((int(number), kind))
    if n_lin > n_features:
        raise ParameterError(
            f"neurons: 'lin' neurons pass the inputs through, so there are at most as many as inputs ({n_features}); "
            f"got {n_lin}. Give fewer, or Neurons('lin', W, b) for other linear combinations."
        )
    if not groups:
        raise ParameterError("neurons: at least one group of neurons is needed; got an empty list.")
    return groups


def _as_pair(value):
    """(number, kind) from a pair in either order; None for anything else."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        return None
    for number, kind in (value, value[::-1]):
        if isinstance(number, Integral) and isinstance(kind, str | np.ufunc):
            return number, kind
    return None


def _wrong_spec(got, remedy=""):
    return ParameterError(
        "neurons must be an int, or a list of (number, kind) pairs and Neurons(kind, W, b), such as "
        f"[(10, 'lin'), (100, 'tanh')]; got {got!r}.{remedy}"
    )


def draw_neurons(groups: list, n_features: int, seed: int) -> list[Neurons]:
    """Draw the weights of each group; groups that are Neurons already stay as they are.

    Each kind has its own random stream and neurons are drawn one by one, so that a layer of 100 neurons is the first
    100 of a layer of 200, and adding a kind leaves the others unchanged. The numbers have the same bits on every
    processor.

    Parameters
    ----------
    groups : list
        Result of `parse_neurons`.
    n_features : int
        Number of inputs.
    seed : int
        Non-negative seed of all streams.

    Returns
    -------
    list of Neurons
        One per group.
    """
    streams: dict[str, np.random.Generator] = {}
    drawn: Counter = Counter()
    out = []
    for group in groups:
        if isinstance(group, Neurons):
            out.append(group)
            continue
        number, kind = group
        name = kind_name(kind)
        if name == "lin":
            W = np.eye(n_features)[:, drawn[name] : drawn[name] + number]
            b = np.zeros(number)
        else:
            if name not in streams:
                streams[name] = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(name.encode())))
            Z = standard_normal(streams[name], (number, n_features + 2))
            weights = KINDS[kind].weights if isinstance(kind, str) else _UFUNC_WEIGHTS
            W, b = weights(Z, n_features)
        drawn[name] += number
        out.append(Neurons(kind, W, b))
    return out
