"""The layer: scale and clip in float64, fingerprints, states."""

import pickle
from fractions import Fraction

import numpy as np
import pytest

from daskelm import Neurons
from daskelm.exceptions import DataError
from daskelm.layer.layer import Layer
from daskelm.layer.scale import CLIP, Scale

RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 3)) * [1, 100, 1e-3] + [5, -3, 1e6]
SPEC = [(2, "lin"), (4, "tanh"), (3, "rbf_l1"), Neurons("relu", np.eye(3), np.zeros(3)), (2, np.sin)]


def layer(dtype="f8", spec=SPEC):
    return Layer.draw(spec, 3, 7, dtype, Scale.of(X))


def test_scale_is_mean_and_deviation():
    scale = Scale.of(X)
    np.testing.assert_allclose(scale.mean, X.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(scale.scale, X.std(axis=0), rtol=1e-7)
    Z = scale(X)
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-6)


def test_weighted_scale_is_that_of_repeated_rows_and_zero_weights_do_not_count():
    weights = RNG.integers(0, 4, 200)
    a, b = Scale.of(X, weights.astype(float)), Scale.of(np.repeat(X, weights, axis=0))
    np.testing.assert_allclose(a.mean, b.mean, rtol=1e-14)
    np.testing.assert_allclose(a.scale, b.scale, rtol=1e-7)
    with pytest.raises(DataError, match="at least one row must have a positive weight"):
        Scale.of(X, np.zeros(200))


def test_epoch_seconds_keep_their_digits():
    seconds = 1_700_000_000 + np.arange(1000)[:, None] / 1000
    exact = [Fraction(round(s * 1000), 1000) for s in seconds[:, 0]]
    mean = sum(exact) / 1000
    variance = sum((e - mean) ** 2 for e in exact) / 1000
    scale = Scale.of(seconds)
    assert abs(scale.mean[0] - float(mean)) < 1e-6
    assert abs(scale.scale[0] / float(variance) ** 0.5 - 1) < 1e-6


def test_constant_columns_are_harmless():
    for value in (0.0, 0.1, 1e9, -1e-9):
        Z = Scale.of(np.full((100, 1), value))(np.full((100, 1), value))
        np.testing.assert_array_equal(Z, 0)


def test_outliers_are_clipped_for_drawn_neurons_only():
    far = X[:1] + 1e9
    H = layer(spec=[(3, "lin"), Neurons("lin", np.eye(3), np.zeros(3))])(far)
    np.testing.assert_array_equal(H[0, :3], CLIP)
    np.testing.assert_array_equal(H[0, 3:], far[0])


def test_given_neurons_see_inputs_as_they_are():
    H = layer()(X)
    np.testing.assert_array_equal(H[:, 9:12], np.maximum(X, 0))


def test_float32_scales_in_float64():
    seconds = 1_700_000_000 + np.arange(1000.0)[:, None]
    scale = Scale.of(seconds)
    single = Layer.draw([(1, "lin")], 1, 0, "f4", scale)(seconds)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, Layer.draw([(1, "lin")], 1, 0, "f8", scale)(seconds), atol=1e-6)


def test_fingerprint_tells_every_difference_and_nothing_else():
    same = layer()
    assert same.fingerprint == layer().fingerprint == pickle.loads(pickle.dumps(same)).fingerprint
    others = [
        layer("f4"),
        layer(spec=SPEC[:-1]),
        Layer.draw(SPEC, 3, 8, "f8", Scale.of(X)),
        Layer.draw(SPEC, 3, 7, "f8", Scale.of(X[1:])),
        Layer.draw(SPEC, 3, 7, "f8", None),
    ]
    assert len({same.fingerprint, *(other.fingerprint for other in others)}) == 6


def test_state_comes_back_bit_for_bit():
    same = Layer.from_state(layer().state())
    assert same.fingerprint == layer().fingerprint
    np.testing.assert_array_equal(same(X), layer()(X))


def test_any_blocks_give_the_same_rows():
    H = layer()(X)
    np.testing.assert_allclose(np.concatenate([layer()(X[i : i + 7]) for i in range(0, 200, 7)]), H, rtol=1e-12)
    assert layer()(X[:0]).shape == (0, layer().n_neurons)


def test_names_count_within_kinds():
    assert layer(spec=[(1, "lin"), (2, "tanh"), (1, np.sin), (1, "tanh")]).feature_names_out == [
        "lin0",
        "tanh0",
        "tanh1",
        "sin0",
        "tanh2",
    ]


def test_a_layer_is_shown_in_one_line():
    start = "Layer(3 inputs, 2 lin + 4 tanh + 3 rbf_l1 + 3 relu + 2 numpy.sin, float64, scaled, fingerprint="
    assert repr(layer()) == f"{start}{layer().fingerprint[:12]})"
    other = repr(Layer.draw([(1, "tanh"), (1, "lin"), (1, "tanh")], 3, 0, "f4", None))
    assert other.startswith("Layer(3 inputs, 2 tanh + 1 lin, float32, unscaled, fingerprint=")


def test_layers_of_one_input_work():
    assert Layer.draw(5, 1, 0, "f8", None)(X[:, :1]).shape == (200, 5)
