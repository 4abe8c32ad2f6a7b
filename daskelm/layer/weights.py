"""Weights of drawn neurons: at random, in the metric of relevance, along pairs of rows, or on few inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .drawing import standard_normal
from .neurons import KINDS, Neurons, Projection, kind_name, projection_of
from .specification import Group

__all__ = ["Sample", "draw_neurons", "on_grid"]

# Each neuron chooses one of this many pairs of rows.
_N_PAIRS = 32
# Most inputs of a neuron that is drawn sparsely.
_FEW_INPUTS = 3
# Weights before the metric are smaller than 2^6: 10 standard deviations times 4.
_WEIGHT_BITS, _METRIC_BITS = 6, 10
# Pairs of rows closer than this are one row.
_SAME = 1e-6
# From one row of a pair to the other, XW + b changes by this much, but it is not steeper than this in scaled inputs.
_CHANGE, _STEEPEST = 2.0, 16.0
# The spread of outputs is measured on as many rows.
_SPREAD_ROWS = 1000
# Numbers that are held at once.
_BLOCK_NUMBERS = 2**20


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows that neurons are drawn by: their inputs as the neurons see them, and their targets.

    Z : ndarray of shape (n_samples, n_features), inputs, scaled as the layer scales them
    T : ndarray of shape (n_samples, n_targets), standardised targets that vary; None where there are none
    weights : ndarray of shape (n_samples,), positive, with sum 1
    metric : ndarray of shape (n_features, n_features), relevance of the inputs, made by `on_grid`; None for none
    """

    Z: np.ndarray
    T: np.ndarray | None
    weights: np.ndarray
    metric: np.ndarray | None = None


class _Streams:
    """Independent random streams by name, for one seed."""

    def __init__(self, seed: int):
        self.seed = seed
        self._streams: dict[str, np.random.Generator] = {}

    def __call__(self, name: str) -> np.random.Generator:
        if name not in self._streams:
            sequence = np.random.SeedSequence(self.seed, spawn_key=tuple(name.encode()))
            self._streams[name] = np.random.default_rng(sequence)
        return self._streams[name]


def draw_neurons(
    groups: Sequence[Group | Neurons],
    n_inputs: int,
    seed: int,
    sample: Sample | None = None,
    n_drawn: int | None = None,
    passed: np.ndarray | None = None,
) -> list[Neurons]:
    """Draw the weights of each group; groups that are Neurons already stay as they are.

    Each kind and draw has its own random streams and neurons are drawn one by one, so that a layer of 100 neurons is
    the first 100 of a layer of 200, and adding a group leaves the others unchanged. The numbers have the same bits on
    every processor, for the same sample.

    Parameters
    ----------
    groups : list of Group and Neurons
        Result of `parse_neurons`.
    n_inputs : int
        Number of inputs.
    seed : int
        Non-negative seed of all streams.
    sample : Sample, optional
        Rows, for draws other than "random".
    n_drawn : int, optional
        Number of the first inputs that all neurons see; the rest is for `lin` neurons. All inputs if not given.
    passed : ndarray of int, optional
        Numbers of the inputs that `lin` neurons pass, in their order. All inputs if not given.

    Returns
    -------
    list of Neurons
        One per group.
    """
    n_drawn = n_inputs if n_drawn is None else n_drawn
    passed = np.arange(n_inputs) if passed is None else passed
    streams = _Streams(seed)
    n_passed, out = 0, []
    for group in groups:
        if isinstance(group, Neurons):
            out.append(group)
        elif group.kind == "lin":
            W = np.zeros((n_inputs, group.number))
            W[passed[n_passed : n_passed + group.number], np.arange(group.number)] = 1
            out.append(Neurons("lin", W, np.zeros(group.number)))
            n_passed += group.number
        else:
            W, b = _DRAWS[group.draw](group, n_drawn, streams, sample)
            out.append(Neurons(group.kind, W, b))
    return out


def _random(group, d, streams, sample):
    weights = KINDS[group.kind].weights if isinstance(group.kind, str) else _scales(group)
    stream, step = streams(kind_name(group.kind)), max(_BLOCK_NUMBERS // (d + 2), 1)
    W, b = np.empty((d, group.number)), np.empty(group.number)
    # A few neurons at a time: those of 100,000 inputs take much memory.
    for start in range(0, group.number, step):
        here = slice(start, min(start + step, group.number))
        W[:, here], b[here] = weights(standard_normal(stream, (here.stop - start, d + 2)), d)
    return W, b


def _scales(group) -> Projection:
    # `parse_neurons` refuses draws of other kinds.
    return projection_of(group.kind)  # type: ignore[return-value]


def _relevance(group, d, streams, sample):
    """Random neurons of inputs that the metric has turned: the relevant directions have larger weights."""
    Z = standard_normal(streams(f"{kind_name(group.kind)} relevance"), (group.number, d + 2))
    W, b = _scales(group)(Z, d)
    return _in_metric(sample.metric, W), b


def _pairs(group, d, streams, sample):
    """Directions from one row to another, in the metric, where targets differ most over the distance.

    Each neuron chooses among pairs of rows, with a probability in proportion to the quotient (Bolager et al., 2023).
    """
    name = f"{kind_name(group.kind)} pairs"
    projection = _scales(group)
    Z = standard_normal(streams(name), (group.number, d + 2))
    rows = streams(f"{name} rows").integers(len(sample.Z), size=(group.number, _N_PAIRS, 2))
    chance = streams(f"{name} choice").random(group.number)
    step = max(_BLOCK_NUMBERS // (_N_PAIRS * d), 1)
    V = sample.Z if sample.metric is None else sample.Z @ sample.metric
    parts = [slice(start, start + step) for start in range(0, group.number, step)]
    chosen = np.concatenate([_chosen_pairs(V, sample.T, rows[part], chance[part]) for part in parts])
    first, second = sample.Z[chosen[:, 0]], sample.Z[chosen[:, 1]]
    directions = first - second
    largest = np.abs(directions).max(axis=1)
    # Where all pairs are of equal rows, the direction is random.
    same = largest == 0
    directions[same], largest[same] = Z[same, :d], np.abs(Z[same, :d]).max(axis=1)
    directions = _in_metric(sample.metric, _unit(_in_metric(sample.metric, (directions / largest[:, None]).T)))
    # Where few of many inputs are relevant, outputs along them vary far more than those of a random direction.
    spread = _rounded((sample.Z[:_SPREAD_ROWS] @ directions).std(axis=0))
    return directions * (projection.factors(Z[:, d + 1]) / spread), projection.bias * Z[:, d]


def _chosen_pairs(V, T, rows, chance):
    """Numbers of the two rows (n, 2) that each neuron chose among its pairs `rows` (n, n_pairs, 2)."""
    distance = np.sqrt(np.square(V[rows[..., 0]] - V[rows[..., 1]]).sum(axis=2))
    return rows[np.arange(len(rows)), _choice(distance, T, rows, chance)]


def _choice(distance, T, rows, chance):
    """The number (n,) of the pair that each neuron chose, by the change of targets over the distance (n, n_pairs)."""
    change = np.zeros_like(distance)
    # One target after the other, since there may be hundreds.
    for t in T.T:
        np.maximum(change, np.abs(t[rows[..., 0]] - t[rows[..., 1]]), out=change)
    apart = distance > _SAME
    weight = np.divide(change, distance, out=np.zeros_like(distance), where=apart)
    # Where no target differs, each pair of different rows is as good.
    weight = np.where(weight.any(axis=1, keepdims=True), weight, apart)
    cumulative = np.cumsum(weight, axis=1)
    at = (cumulative <= chance[:, None] * cumulative[:, -1:]).sum(axis=1)
    return np.minimum(at, rows.shape[1] - 1)


def _sparse(group, d, streams, sample):
    """Neurons of one to three inputs, any of those that vary, with XW + b = 0 at a row of the sample."""
    name = f"{kind_name(group.kind)} sparse"
    n, varying = group.number, np.ptp(sample.Z, axis=0) > 0
    inputs, used = _few_inputs(varying.astype(float), n, streams, name)
    Z = standard_normal(streams(name), (n, _FEW_INPUTS + 1))
    rows = streams(f"{name} rows").integers(len(sample.Z), size=n)
    factors = _scales(group).factors(Z[:, -1]) / np.sqrt(np.maximum(used.sum(axis=1), 1))
    weights = np.where(used, Z[:, :-1] * factors[:, None], 0.0)
    return _of_few_inputs(inputs, weights, sample.Z[rows[:, None], inputs], d)


def _sparse_pairs(group, d, streams, sample):
    """Neurons of one to three inputs, the relevant ones more often, that change from one row of a pair to the other.

    The pair is chosen as for "pairs", and XW + b = 0 at a point between its rows; the closer they are, the steeper is
    the neuron.
    """
    name = f"{kind_name(group.kind)} sparse pairs"
    n, varying = group.number, np.ptp(sample.Z, axis=0) > 0
    # The length of a column of the metric is the root mean square of a gradient, in exact sums.
    lengths = varying if sample.metric is None else varying * np.sqrt(np.diag(sample.metric @ sample.metric))
    inputs, used = _few_inputs(lengths, n, streams, name)
    rows = streams(f"{name} rows").integers(len(sample.Z), size=(n, _N_PAIRS, 2))
    chance, place = streams(f"{name} choice").random((n, 2)).T
    first, second = (np.where(used[:, None, :], sample.Z[rows[..., i, None], inputs[:, None, :]], 0.0) for i in (0, 1))
    distance = _lengths(np.moveaxis(second - first, 2, 0))
    chosen = np.arange(n), _choice(distance, sample.T, rows, chance)
    first, second, distance = first[chosen], second[chosen], distance[chosen]
    steepness = np.minimum(_CHANGE / np.maximum(distance, _SAME), _STEEPEST) / np.maximum(distance, _SAME)
    weights = (second - first) * steepness[:, None]
    return _of_few_inputs(inputs, weights, first + (second - first) * place[:, None], d)


def _few_inputs(chances, n, streams, name):
    """Numbers of three different inputs (n, 3), chosen in proportion to `chances` (d,), and which are used (n, 3)."""
    stream, chances = streams(f"{name} inputs"), chances if chances.any() else np.ones(len(chances))
    most = min(_FEW_INPUTS, int(np.count_nonzero(chances)))
    inputs, used = np.zeros((n, _FEW_INPUTS), np.int64), np.zeros((n, _FEW_INPUTS), bool)
    step = max(_BLOCK_NUMBERS // len(chances), 1)
    for start in range(0, n, step):
        here = slice(start, start + step)
        picks = stream.random((len(inputs[here]), len(chances) + 1))
        # The least of exponential times with these rates are a sample without replacement (Efraimidis, Spirakis, 2006).
        rates = np.where(chances > 0, chances / chances.max(), 1.0)
        times = np.where(chances > 0, -np.log1p(-picks[:, 1:]) / rates, np.inf)
        order = np.argsort(times, axis=1, kind="stable")[:, :_FEW_INPUTS]
        inputs[here, : order.shape[1]] = order
        used[here] = np.arange(_FEW_INPUTS) < 1 + (picks[:, :1] * most).astype(np.int64)
    return inputs, used


def _of_few_inputs(inputs, weights, points, d):
    """W (d, n) with the weights (n, 3) of the inputs (n, 3), and b (n,) by which XW + b is 0 at the points (n, 3)."""
    n = len(inputs)
    W, b = np.zeros((d, n)), np.zeros(n)
    for i in range(_FEW_INPUTS):
        W[inputs[:, i], np.arange(n)] += weights[:, i]
        b -= weights[:, i] * points[:, i]
    return W, b


_DRAWS: dict[str, Callable] = {
    "random": _random,
    "relevance": _relevance,
    "pairs": _pairs,
    "sparse": _sparse,
    "sparse pairs": _sparse_pairs,
}


def on_grid(metric: np.ndarray) -> np.ndarray:
    """A metric (n_features, n_features) rounded to a thousandth of its largest entry, a multiple of a power of two.

    What rounding of BLAS changes is cut off in all but rare cases, and products with weights on a grid are exact.
    """
    exponent = int(np.frexp(np.abs(metric).max())[1]) - _METRIC_BITS
    return np.ldexp(np.rint(np.ldexp(metric, -exponent)), exponent)


def _rounded(numbers):
    """Positive numbers, to eight bits, so that what rounding of BLAS changes is cut off; 1 for zeros."""
    mantissas, exponents = np.frexp(numbers)
    return np.where(numbers > 0, np.ldexp(np.rint(256 * mantissas), exponents - 8), 1.0)


def _in_metric(metric, W):
    """The product of a metric and W (n_features, n), with the same bits on every processor."""
    if metric is None:
        return W
    # Both are whole numbers times a power of two, and sums of their products stay below 2^53: any order is exact.
    bits = 53 - _METRIC_BITS - _WEIGHT_BITS - 1 - int(np.ceil(np.log2(len(metric))))
    return metric @ np.ldexp(np.rint(np.ldexp(W, bits)), -bits)


def _lengths(rows):
    """Root of the sum of squares over the first axis, added in one order, which NumPy leaves to the processor."""
    squares = np.zeros(np.shape(rows)[1:])
    for row in rows:
        squares += row * row
    return np.sqrt(squares)


def _unit(W):
    """The columns of W (n_features, n) divided by their lengths; columns of zeros stay."""
    lengths = _lengths(W)
    return W / np.where(lengths > 0, lengths, 1.0)
