"""Draws by rows and targets: nested, exact, within bounds, and the same however the rows lie."""

import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskelm import HiddenLayer, Neurons
from daskelm.draws.relevance import relevance_of
from daskelm.draws.sample import sample_of
from daskelm.exceptions import DrawWarning, ParameterError
from daskelm.layer.specification import DRAWS, Group, needs_rows, needs_targets, parse_neurons
from daskelm.layer.weights import Sample, draw_neurons, on_grid

INFORMED = [draw for draw in DRAWS if draw != "random"]
RNG = np.random.default_rng(0)


def table(n=600, d=6, seed=0):
    """Inputs, and a target of the first two."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, d))
    return Z, np.sin(2 * Z[:, :1]) + Z[:, :1] * Z[:, 1:2]


def sample(n=600, d=6, seed=0):
    return sample_of(*table(n, d, seed), None, seed, relevance=True)


SAMPLE = sample()


@pytest.mark.parametrize("draw", INFORMED)
@given(first=st.integers(1, 12), more=st.integers(0, 12), seed=st.integers(0, 5))
@settings(max_examples=15)
def test_layers_are_nested_and_groups_continue(draw, first, more, seed):
    (small,) = draw_neurons([Group(first, "tanh", draw)], 6, seed, SAMPLE)
    (large,) = draw_neurons([Group(first + more, "tanh", draw)], 6, seed, SAMPLE)
    np.testing.assert_array_equal(large.W[:, :first], small.W)
    np.testing.assert_array_equal(large.b[:first], small.b)
    if more:
        groups = [Group(first, "tanh", draw), Group(3, "relu", draw), Group(more, "tanh", draw)]
        parts = draw_neurons(groups, 6, seed, SAMPLE)
        np.testing.assert_array_equal(np.hstack([parts[0].W, parts[2].W]), large.W)


@pytest.mark.parametrize("draw", INFORMED)
def test_draws_and_kinds_have_streams_of_their_own(draw):
    weights = [
        neurons.W
        for seed in (0, 1)
        for neurons in draw_neurons(
            [Group(5, "tanh", draw), Group(5, "sigm", draw), Group(5, np.sin, draw), Group(5, "tanh")], 6, seed, SAMPLE
        )
    ]
    for i, W in enumerate(weights):
        assert np.isfinite(W).all()
        assert not any(np.array_equal(W, other) for other in weights[:i])


@pytest.mark.parametrize("draw", INFORMED)
@pytest.mark.parametrize("d", [1, 2, 3, 40, 300])
def test_neurons_neither_saturate_nor_vanish(draw, d):
    Z = np.random.default_rng(d).standard_normal((400, d))
    here = sample_of(Z, np.sin(2 * Z[:, :1]) + Z[:, -1:], None, 0, relevance=True)
    (neurons,) = draw_neurons([Group(100, "tanh", draw)], d, 0, here)
    H = neurons(here.Z)
    assert np.median(H.std(axis=0)) > 0.05
    # Pairs of close rows make steps.
    assert np.mean(np.abs(H) > 0.999) < (0.5 if draw == "sparse pairs" else 0.3)


def test_sparse_neurons_see_one_to_three_inputs_that_vary():
    Z, T = table(300, 10)
    Z[:, 4] = 1.0
    here = sample_of(Z, T, None, 0, relevance=True)
    for draw in ("sparse", "sparse pairs"):
        (neurons,) = draw_neurons([Group(500, "relu", draw)], 10, 0, here)
        numbers = np.count_nonzero(neurons.W, axis=0)
        assert set(numbers.tolist()) <= {0, 1, 2, 3}, draw
        assert {1, 2, 3} <= set(numbers.tolist())
        assert not neurons.W[4].any()


def test_sparse_neurons_bend_at_a_row():
    (neurons,) = draw_neurons([Group(50, "relu", "sparse")], 6, 0, SAMPLE)
    distance = np.abs(SAMPLE.Z @ neurons.W + neurons.b).min(axis=0)
    assert distance.max() < 1e-12


def test_sparse_pairs_prefer_relevant_inputs():
    (neurons,) = draw_neurons([Group(1000, "tanh", "sparse pairs")], 6, 0, SAMPLE)
    used = np.count_nonzero(neurons.W, axis=1)
    assert used[:2].min() > 1.5 * used[2:].max()


def test_pairs_are_of_rows_whose_targets_differ():
    # The target is a step of the first input, so that most pairs lie along it.
    Z = RNG.standard_normal((500, 4))
    here = Sample(Z, np.sign(Z[:, :1]), np.full(500, 1 / 500))
    (neurons,) = draw_neurons([Group(300, "tanh", "pairs")], 4, 0, here)
    share = np.square(neurons.W[0]) / np.square(neurons.W).sum(axis=0)
    assert share.mean() > 0.35


@pytest.mark.parametrize("draw", INFORMED)
def test_equal_rows_do_no_harm(draw):
    Z = np.repeat(RNG.standard_normal((2, 3)), 40, axis=0)
    here = Sample(Z, np.zeros((80, 1)), np.full(80, 1 / 80))
    (neurons,) = draw_neurons([Group(30, "tanh", draw)], 3, 0, here)
    assert np.isfinite(neurons.W).all()
    same = Sample(np.ones((50, 3)), np.zeros((50, 1)), np.full(50, 1 / 50), np.eye(3))
    (neurons,) = draw_neurons([Group(30, "tanh", draw)], 3, 0, same)
    assert np.isfinite(neurons.W).all()


@pytest.mark.parametrize("draw", ["pairs", "sparse pairs"])
def test_hundreds_of_targets_take_no_memory(draw):
    here = Sample(RNG.standard_normal((1000, 5)), RNG.standard_normal((1000, 500)), np.full(1000, 1e-3))
    tracemalloc.start()
    try:
        draw_neurons([Group(1000, "tanh", draw)], 5, 0, here)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * 2**20


@pytest.mark.parametrize("draw", INFORMED)
def test_targets_that_do_not_vary_do_no_harm(draw):
    here = sample_of(table()[0], np.ones((600, 2)), None, 0, relevance=True)
    assert here.T.shape == (600, 0)
    assert here.metric is None
    (neurons,) = draw_neurons([Group(30, "tanh", draw)], 6, 0, here)
    assert np.isfinite(neurons.W).all()
    assert neurons.W.any(axis=0).all()


def test_relevance_finds_the_inputs_that_matter():
    lengths = np.sqrt(np.diag(SAMPLE.metric @ SAMPLE.metric))
    assert lengths[:2].min() > 2 * lengths[2:].max()


def test_relevance_is_that_of_the_definition():
    """The mean of J J' from sums is that of the gradients of every row."""
    from daskelm.draws.relevance import _outer_gradients
    from daskelm.ridge.eigen import EigenFactor

    rng = np.random.default_rng(1)
    Z, T, v = rng.standard_normal((300, 4)), rng.standard_normal((300, 2)), rng.uniform(0.1, 1, 300)
    v /= v.sum()
    W, b = rng.standard_normal((4, 20)), rng.standard_normal(20)
    seen = {}
    solve = EigenFactor.solve

    def spy(self, HT, alpha):
        seen["B"] = solve(self, HT, alpha)
        return seen["B"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EigenFactor, "solve", spy)
        found = _outer_gradients(Z, T, v, W, b)
    A, B = seen["B"][:4], seen["B"][4:]
    expected = np.zeros((4, 4))
    for z, weight in zip(Z, v, strict=True):
        J = A + W @ ((1 - np.tanh(z @ W + b) ** 2)[:, None] * B)
        expected += weight * (J @ J.T)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_relevance_from_many_blocks_is_that_of_one(monkeypatch):
    Z, T = table(900, 5)
    weights = np.random.default_rng(2).uniform(0.5, 2, 900)
    one = sample_of(Z, T, weights, 0, relevance=True).metric
    # Some seven rows in a block.
    monkeypatch.setattr("daskelm.draws.relevance._BYTES", 2**15)
    np.testing.assert_array_equal(sample_of(Z, T, weights, 0, relevance=True).metric, one)


def test_equal_columns_share_their_relevance():
    Z, T = table(1000, 3)
    twice = np.column_stack([Z, Z[:, 0]])
    metric = sample_of(twice, T, None, 0, relevance=True).metric
    assert np.abs(metric).max() < 10
    np.testing.assert_allclose(metric[0, 0], metric[3, 3], rtol=0.05)


def test_weights_of_zero_are_absence_and_whole_ones_are_copies():
    Z, T = table(400, 3)
    weights = np.tile([0.0, 1.0], 200)
    here = sample_of(Z, T, weights, 0, relevance=True)
    there = sample_of(Z[1::2], T[1::2], None, 0, relevance=True)
    np.testing.assert_array_equal(here.metric, there.metric)
    # Another scale of the weights changes nothing.
    scaled = sample_of(Z[1::2], T[1::2], np.full(200, 2.0**-40), 0, relevance=True)
    np.testing.assert_array_equal(scaled.metric, there.metric)


def test_many_rows_and_inputs_are_bounded():
    Z = np.broadcast_to(np.arange(40_000.0)[:, None], (40_000, 3))
    here = sample_of(Z, None, None, 0, relevance=False)
    assert len(here.Z) == 10_000
    np.testing.assert_array_equal(here.Z[[0, -1], 0], [0, 39_999])
    wide = sample_of(np.broadcast_to(1.0, (20_000, 3000)), None, None, 0, relevance=False)
    assert wide.Z.nbytes <= 64 * 2**20


@pytest.mark.parametrize(
    ("Z", "T"),
    [
        (RNG.standard_normal((49, 3)), RNG.standard_normal((49, 1))),
        (RNG.standard_normal((200, 3)), np.ones((200, 2))),
        (np.ones((200, 3)), RNG.standard_normal((200, 1))),
        (RNG.standard_normal((200, 3)), np.empty((200, 0))),
    ],
    ids=["few rows", "constant targets", "constant inputs", "no targets"],
)
def test_rows_that_say_nothing_have_no_relevance(Z, T):
    assert sample_of(Z, T, None, 0, relevance=True).metric is None


def test_targets_of_any_size_count_the_same():
    Z, T = table(500, 4)
    both = np.column_stack([T, RNG.standard_normal(500)])
    here = sample_of(Z, both * [1e90, 1e-90] + [0, 3e-90], None, 0, relevance=True)
    there = sample_of(Z, both, None, 0, relevance=True)
    np.testing.assert_allclose(here.metric, there.metric, atol=2e-3 * np.abs(there.metric).max())


@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3))
@settings(max_examples=30)
def test_the_grid_is_a_thousandth_and_rounding_stays_within_it(seed, scale):
    metric = scale * np.random.default_rng(seed).standard_normal((5, 5))
    rounded = on_grid(metric)
    assert np.abs(rounded - metric).max() <= np.abs(metric).max() / 1000
    np.testing.assert_array_equal(on_grid(rounded), rounded)


@pytest.mark.parametrize("d", [5, 100, 784])
def test_products_with_the_metric_do_not_depend_on_the_order(d):
    """Every order of the additions gives the same bits."""
    from daskelm.layer.weights import _in_metric

    rng = np.random.default_rng(d)
    metric, W = on_grid(rng.standard_normal((d, d))), 4 * rng.standard_normal((d, 7))
    order = rng.permutation(d)
    np.testing.assert_array_equal(
        _in_metric(metric, W), _in_metric(metric[:, order][order], W[order])[np.argsort(order)]
    )
    np.testing.assert_allclose(_in_metric(metric, W), metric @ W, rtol=1e-5, atol=1e-5)


def test_specifications():
    assert parse_neurons("auto", 3) == [(3, "lin", "random"), (200, "auto", "random")]
    for spec in ((50, "auto"), [50, "auto"], [(50, "auto")], [[50, "auto"]]):
        assert parse_neurons(spec, 3) == [(3, "lin", "random"), (50, "auto", "random")]
    groups = parse_neurons(
        [(3, "lin"), (4, "tanh", "pairs"), (5, "relu", "sparse"), Neurons("lin", np.eye(3), np.zeros(3))], 3
    )
    assert groups[1:3] == [(4, "tanh", "pairs"), (5, "relu", "sparse")]
    assert parse_neurons(groups, 3) == groups
    assert needs_targets(groups)
    assert needs_rows([Group(1, "relu", "sparse")])
    assert not needs_targets([Group(1, "relu", "sparse")])
    assert not needs_rows(parse_neurons(None, 3))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            [(5, "tanh", "clever")],
            "a draw must be one of 'random', 'relevance', 'pairs', 'sparse', 'sparse pairs'; got 'clev",
        ),
        ([(5, "rbf_l2", "pairs")], r"the draw 'pairs' is for kinds f\(XW \+ b\).*got 'rbf_l2'\. Leave the draw out"),
        ([(2, "lin", "sparse")], "got 'lin'"),
        ([(3, "lin"), (5, "auto")], "'auto' chooses all neurons that are drawn, and stands alone"),
        ((0, "auto"), "must be an int >= 1; got 0"),
        ((2.5, "auto"), r"must be an int >= 1; got 2\.5"),
        ([("tanh", 5, "pairs")], r"The number comes first: \(5, 'tanh', 'pairs'\)"),
        ([(5, "tanh", "pairs", 1)], "neurons must be an int, 'auto'"),
    ],
)
def test_bad_specifications(spec, message):
    with pytest.raises(ParameterError, match=message):
        parse_neurons(spec, 3)


def test_a_transformer_draws_by_targets_labels_and_rows_alone():
    Z, T = table()
    numbers = HiddenLayer([(20, "tanh", "pairs")], random_state=0).fit(Z, T[:, 0])
    words = HiddenLayer([(20, "tanh", "pairs")], random_state=0).fit(Z, np.where(T[:, 0] > 0, "yes", "no"))
    assert numbers.hidden_layer_.fingerprint != words.hidden_layer_.fingerprint
    assert HiddenLayer([(20, "relu", "sparse")], random_state=0).fit(Z).transform(Z).shape == (600, 20)
    with pytest.raises(
        ParameterError, match=r"y: neurons=\[\(20, 'tanh', 'pairs'\)\] are drawn by rows and their targets"
    ):
        HiddenLayer([(20, "tanh", "pairs")]).fit(Z)
    # Targets that no neuron is drawn by are not read.
    HiddenLayer(5).fit(Z, object())


def test_a_warning_where_the_rows_say_nothing():
    Z, T = table(40)
    with pytest.warns(DrawWarning, match=r"relevance of the inputs is not known from 40 row\(s\)"):
        HiddenLayer([(5, "tanh", "relevance")]).fit(Z, T)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HiddenLayer("auto").fit(Z, T)


def test_relevance_of_fewer_rows_than_a_turn_takes_all():
    Z, T = table(120)
    assert relevance_of(sample_of(Z, T, None, 0, relevance=False), 0).shape == (6, 6)
