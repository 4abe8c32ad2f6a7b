"""Neurons: each kind is its formula, drawing is nested and stable, bad specifications are named."""

import math
import pickle

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from daskelm import Neurons
from daskelm.exceptions import ParameterError
from daskelm.layer import weights
from daskelm.layer.neurons import KINDS, kind_from_name, kind_name
from daskelm.layer.specification import Group, parse_neurons


def draw_neurons(groups, *args):
    """Neurons drawn for (number, kind) pairs and given Neurons."""
    return weights.draw_neurons([g if isinstance(g, Neurons) else Group(*g) for g in groups], *args)


RNG = np.random.default_rng(0)
X, W, B = RNG.standard_normal((50, 3)), RNG.standard_normal((3, 4)), RNG.uniform(0.1, 1, 4)

DISTANCES = {
    "rbf_l1": lambda x, w: sum(abs(a - c) for a, c in zip(x, w, strict=True)),
    "rbf_l2": lambda x, w: math.dist(x, w),
    "rbf_linf": lambda x, w: max(abs(a - c) for a, c in zip(x, w, strict=True)),
}
FORMULAS = {
    "lin": lambda z: z,
    "sigm": lambda z: 1 / (1 + math.exp(-z)),
    "tanh": math.tanh,
    "relu": lambda z: max(z, 0.0),
    np.sin: math.sin,
    scipy.special.erf: math.erf,
}


@pytest.mark.parametrize("kind", FORMULAS, ids=str)
def test_projections_are_their_formula(kind):
    expected = [[FORMULAS[kind](sum(x * W[:, j]) + B[j]) for j in range(4)] for x in X]
    np.testing.assert_allclose(Neurons(kind, W, B)(X), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", DISTANCES)
def test_rbfs_are_their_formula(kind):
    expected = [[math.exp(-B[j] * DISTANCES[kind](x, W[:, j]) ** 2) for j in range(4)] for x in X]
    np.testing.assert_allclose(Neurons(kind, W, B)(X), expected, rtol=1e-11)


def test_rbf_l2_keeps_its_digits_far_from_zero():
    # |x|^2 - 2 x'w + |w|^2 as it stands would lose all of them here.
    np.testing.assert_allclose(Neurons("rbf_l2", W + 1e8, B)(X + 1e8), Neurons("rbf_l2", W, B)(X), rtol=1e-6)


@pytest.mark.parametrize("kind", [*KINDS, np.sin], ids=str)
def test_works_in_the_type_of_its_input_and_in_place(kind):
    neurons = Neurons(kind, W, B)
    single = neurons(X.astype("f4"))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, neurons(X), rtol=2e-4, atol=2e-5)
    out = np.empty((50, 9))
    neurons(X, out=out[:, 2:6])
    np.testing.assert_array_equal(out[:, 2:6], neurons(X))
    assert neurons(X[:0]).shape == (0, 4)


def test_large_arguments_neither_overflow_nor_warn():
    far = X * 1e6
    for kind in ("sigm", "tanh", *DISTANCES):
        assert np.isfinite(Neurons(kind, W, B)(far)).all()


@given(
    first=st.integers(1, 20),
    more=st.integers(0, 20),
    d=st.integers(1, 6),
    kind=st.sampled_from([*(kind for kind in KINDS if kind != "lin"), np.sin]),
    seed=st.integers(0, 2**32),
)
def test_a_layer_is_the_beginning_of_a_larger_one(first, more, d, kind, seed):
    (small,) = draw_neurons([(first, kind)], d, seed)
    (large,) = draw_neurons([(first + more, kind)], d, seed)
    np.testing.assert_array_equal(small.W, large.W[:, :first])
    np.testing.assert_array_equal(small.b, large.b[:first])
    # Another kind before it, or a cut in two, changes nothing.
    other = "sigm" if kind != "sigm" else "tanh"
    parts = draw_neurons([(1, other), (first, kind), *([(more, kind)] if more else [])], d, seed)[1:]
    np.testing.assert_array_equal(np.concatenate([part.W for part in parts], axis=1), large.W)


def test_kinds_and_seeds_have_streams_of_their_own():
    groups = [(5, kind) for kind in KINDS if kind != "lin"]
    weights = [neurons.W for seed in (0, 1) for neurons in draw_neurons(groups, 3, seed) if neurons.kind != "x"]
    scaled = [w / w[0, 0] for w in weights]
    assert all(not np.allclose(a, b) for i, a in enumerate(scaled) for b in scaled[:i])


def test_lin_passes_the_inputs_through():
    (a, b) = draw_neurons([(2, "lin"), (1, "lin")], 3, 0)
    np.testing.assert_array_equal(np.concatenate([a(X), b(X)], axis=1), X)


@pytest.mark.parametrize("d", [1, 10, 784])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "lin"])
def test_drawn_neurons_neither_saturate_nor_degenerate(kind, d):
    Z = np.random.default_rng(1).standard_normal((2000, d))
    (neurons,) = draw_neurons([(200, kind)], d, 0)
    H = neurons(Z)
    # Distances concentrate in many dimensions, so that rbf outputs there vary by a hundredth only.
    assert np.median(H.std(axis=0)) > 0.005
    assert np.linalg.matrix_rank(H) >= 10
    if kind in ("tanh", "sigm"):
        assert (np.minimum(abs(H), abs(1 - abs(H))) > 1e-3).mean() > 0.9


def test_default_is_all_inputs_and_tanh():
    assert parse_neurons(None, 7)[0] == (7, "lin", "random")
    assert parse_neurons(None, 7)[1][1] == "tanh"
    assert parse_neurons(12, 7) == [(12, "tanh", "random")]
    assert parse_neurons(np.int64(12), 7) == [(12, "tanh", "random")]


def test_names_of_kinds_come_back():
    for kind in (*KINDS, np.sin, scipy.special.erf):
        assert kind_from_name(kind_name(kind)) is kind or kind_from_name(kind_name(kind)) == kind


def test_neurons_pickle_and_are_read_only():
    neurons = pickle.loads(pickle.dumps(Neurons(np.sin, W, B)))
    np.testing.assert_array_equal(neurons(X), Neurons(np.sin, W, B)(X))
    with pytest.raises(ValueError, match="read-only"):
        neurons.W[0, 0] = 1


def test_neurons_are_shown_without_their_numbers():
    assert repr(Neurons("tanh", W, B)) == "Neurons('tanh', W of shape (3, 4), b of shape (4,))"
    assert repr([Neurons(np.sin, W, B)]) == "[Neurons('numpy.sin', W of shape (3, 4), b of shape (4,))]"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ([(5, "tan")], "a kind must be one of 'lin', 'sigm'.*got 'tan'"),
        ([(5, np.add)], "must take one number and give one.*got numpy.add with 2 inputs"),
        ([(5, np.isnan)], "one of the same float type"),
        ([(5, lambda x: x)], "a kind must be one of"),
        ([(4, "lin")], r"at most as many as inputs \(3\); got 4"),
        ([(2, "lin"), (2, "lin")], r"at most as many as inputs \(3\); got 4"),
        ([(0, "tanh")], "must be an int >= 1; got 0"),
        ([(2.5, "tanh")], r"must be an int >= 1; got 2\.5"),
        ([], "got an empty list"),
        (0, "must be an int >= 1; got 0"),
        (True, r"must be an int, 'auto'.* or a list of \(number, kind\)"),
        ("tanh", r"must be an int, 'auto'.* or a list of \(number, kind\)"),
        ([5], r"must be an int, 'auto'.* or a list of \(number, kind\)"),
        (
            [("tanh", 5)],
            r"\(number, kind\) pairs, .*got \('tanh', 5\)\. The number comes first: \(5, 'tanh'\)\.",
        ),
        ([(2, "lin"), [np.sin, 5]], r"The number comes first: \(5, <ufunc 'sin'>\)"),
        ((5, "tanh"), r"got \(5, 'tanh'\)\. Write a list of pairs, also of one: \[\(5, 'tanh'\)\]\."),
        (["tanh", 5], r"Write a list of pairs, also of one: \[\(5, 'tanh'\)\]\."),
        ([Neurons("tanh", W[:2], B)], "got 2 rows, and X has 3 columns"),
    ],
)
def test_bad_specifications(spec, message):
    with pytest.raises(ParameterError, match=message):
        parse_neurons(spec, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tanh", W, B[:3]), r"W must have shape \(n_features, n\).*got W of shape \(3, 4\) and b of shape \(3,\)"),
        (("tanh", W[:, 0], B), "W must have shape"),
        (("tanh", W * np.nan, B), "W and b must be finite"),
        (("rbf_l2", W, -B), "must be positive"),
        (("cos", W, B), "a kind must be one of"),
    ],
)
def test_bad_neurons(arguments, message):
    with pytest.raises(ParameterError, match=message):
        Neurons(*arguments)
