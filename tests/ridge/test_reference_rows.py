"""Sums about a reference row: small variances keep their digits, in any task, any merging, and any number of rows."""

import itertools
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layers import accumulator_of
from scipy.linalg import solve_triangular

from daskelm import ELMRegressor, Neurons, NormalEquations
from daskelm.blas import add_outer, add_outer_packed, subtract_row
from daskelm.layer.layer import Layer
from daskelm.layer.neurons import KINDS
from daskelm.passes.accumulator import _FIRST_ROWS, _GROWTH
from daskelm.passes.gram import DoubleGram, LongSum, SingleGram
from daskelm.ridge.packed import move_transposed, pack_in_place, unpack
from daskelm.sums.ledger import Ledger

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2000, 2))
Y = np.sin(X[:, 0]) + 0.5 * X[:, 1] + 0.1 * RNG.normal(size=2000)
KIND = pytest.mark.parametrize("kind", [*KINDS, np.sin])


def centred(table, weights=None):
    """About its weighted means, first about its first row."""
    w = np.ones(len(table)) if weights is None else weights
    table = table - table[np.flatnonzero(w)[0]]
    return table - w @ table / w.sum()


def assert_centred_sums(sums, H, T, weights=None, tolerance=1e-12):
    """To a part of the sums of squares about the means, which is more than is promised."""
    w = (np.ones(len(H)) if weights is None else weights)[:, None]
    h, t = centred(H, w[:, 0]), centred(T, w[:, 0])
    moments = sums.moments()
    a, b = np.sqrt((w * h * h).sum(axis=0)), np.sqrt((w * t * t).sum(axis=0))
    assert (np.abs(moments.HH - h.T @ (w * h)) <= tolerance * np.outer(a, a)).all()
    assert (np.abs(moments.HT - h.T @ (w * t)) <= tolerance * np.outer(a, b)).all()
    assert (np.abs(moments.TT - b * b) <= tolerance * b * b).all()


def summed(H, T, weights=None, block=500, dtype=np.float64):
    accumulator = accumulator_of(H.shape[1], T.shape[1], dtype=dtype)
    for start in range(0, len(H), block):
        rows = slice(start, start + block)
        accumulator.add(H[rows], T[rows], None if weights is None else weights[rows])
    return accumulator.result(Ledger(n_unknown=len(H)))


# What varies little


@KIND
@pytest.mark.parametrize("size", [1e-2, 1e-3, 1e-4, 1e-5])
def test_inputs_of_a_small_range_keep_their_digits(kind, size):
    neurons = [(2 if kind == "lin" else 30, kind)]
    inputs = 0.3 + size * X
    model = ELMRegressor(neurons, standardize=False, alpha=1.0, random_state=0).fit(inputs, Y)
    assert_centred_sums(model.normal_equations_, model.transform(inputs), Y[:, None])


@pytest.mark.parametrize("kind", ["tanh", "sigm", "rbf_l1", "rbf_l2"])
@pytest.mark.parametrize(("size", "least"), [(1e-3, 0.94), (1e-4, 0.87)])
def test_what_can_be_told_from_them_is_told(kind, size, least):
    rng = np.random.default_rng(1)
    new = rng.normal(size=(2000, 2))
    model = ELMRegressor([(200, kind)], standardize=False, alpha="gcv", random_state=0).fit(size * X, Y)
    assert model.score(size * new, np.sin(new[:, 0]) + 0.5 * new[:, 1]) > least


@pytest.mark.parametrize(
    "neurons",
    [
        Neurons("rbf_l2", RNG.normal(size=(2, 20)), np.full(20, 1e-7)),
        Neurons("rbf_linf", RNG.normal(size=(2, 20)), np.full(20, 1e-7)),
        Neurons("sigm", RNG.normal(size=(2, 20)), np.full(20, 14.0)),
        Neurons("tanh", RNG.normal(size=(2, 20)), np.full(20, -9.0)),
    ],
    ids=["wide rbf_l2", "wide rbf_linf", "saturated sigm", "saturated tanh"],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_wide_and_saturated_neurons_keep_their_digits(neurons, weighted):
    weights = np.random.default_rng(2).uniform(0.1, 2, len(X)) if weighted else None
    model = ELMRegressor([neurons], alpha=1.0).fit(X, Y, weights)
    assert_centred_sums(model.normal_equations_, model.transform(X), Y[:, None], weights)


@pytest.mark.parametrize(("kind", "n", "d", "alpha"), [("tanh", 60, 2, 1e-4), ("sigm", 100, 3, 1e-6)])
def test_weights_of_an_ill_conditioned_layer_against_least_squares(kind, n, d, alpha):
    errors = []
    for seed in range(5):
        inputs = np.random.default_rng(seed).normal(size=(2000, d))
        y = np.sin(inputs.sum(axis=1))
        model = ELMRegressor([(n, kind)], alpha=alpha, random_state=0).fit(inputs, y)
        # By QR of the rows themselves, which sees the square root of the condition number.
        rows = np.concatenate([centred(model.transform(inputs)), np.sqrt(alpha) * np.eye(n)])
        Q, R = np.linalg.qr(rows)
        exact = solve_triangular(R, Q.T @ np.concatenate([centred(y[:, None])[:, 0], np.zeros(n)]))
        error = np.linalg.norm(model.coef_ - exact) / np.linalg.norm(exact)
        errors.append(error / (np.finfo(float).eps * model.condition_number_))
    # About zero it is 0.06 and 0.03.
    assert np.median(errors) < 0.015, errors


def test_of_inputs_that_do_not_vary_nothing_is_solved():
    inputs = np.tile([7.3, 1e6, 1e-6], (5000, 1))
    for dtype in ("float64", "float32"):
        neurons = [(60, "tanh"), (30, "rbf_l2"), (30, "sigm"), (3, "lin")]
        model = ELMRegressor(neurons, standardize=False, alpha=1e-30, dtype=dtype, random_state=0).initialize(inputs)
        for part in np.array_split(np.arange(5000.0), 7):
            model.partial_fit(inputs[: len(part)], part)
        assert not model.normal_equations_.moments().HH.any()
        assert not model.coef_.any()


def test_what_rounding_leaves_of_a_constant_column_is_zero():
    # As where a matrix product gives other last bits for the last rows of a block.
    H = np.full((4000, 3), 0.7)
    H[1999::2000, 0] = np.nextafter(0.7, 1)
    H[:, 2] += 1e-12 * RNG.normal(size=4000)
    moments = summed(H, np.tile(Y, 2)[:, None]).moments()
    assert not moments.HH[:2].any()
    assert not moments.HT[:2].any()
    assert moments.HH[2, 2] == pytest.approx(4000 * 1e-24, rel=0.1)


# Any task, any merging


@pytest.mark.parametrize("n_targets", [1, 40])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_the_reference_moves_with_the_rows(n_targets, weighted, dtype, tolerance):
    # Sorted: the first rows lie far from all others, and the reference is moved twice.
    n = 2 * _GROWTH * _FIRST_ROWS + 500
    rng = np.random.default_rng(0)
    H = (np.linspace(0, 1, n)[:, None] ** 3 * [1, 50, 1e-3, 0] + 1e-3 * rng.normal(size=(n, 4))).astype(np.float32)
    H = H.astype(np.float64)
    T = np.linspace(0, 1, n)[:, None] ** 2 + 0.1 * rng.normal(size=(n, n_targets))
    weights = rng.uniform(0, 2, n) if weighted else None
    assert_centred_sums(summed(H, T, weights, 5000, dtype), H, T, weights, tolerance)


@pytest.mark.parametrize("merged", [False, True])
def test_neurons_that_few_rows_excite(merged):
    # Of 2,000,000 rows the first 500 alone: about their mean, the others would add 4,000 times what is left.
    H, T = np.zeros((500, 2)), np.zeros((500, 1))
    H[:, 0] = RNG.uniform(0.3, 0.9, 500)
    exact = np.square(H[:, 0]).sum()
    rest, n_rest = np.zeros((20_000, 2)), 100
    if merged:
        parts = [summed(H, T), *itertools.repeat(summed(rest, np.zeros((len(rest), 1))), n_rest)]
        total = sum(parts)
    else:
        accumulator = accumulator_of(2, 1)
        accumulator.add(H, T, None)
        for _ in range(n_rest):
            accumulator.add(rest, np.zeros((len(rest), 1)), None)
        total = accumulator.result(Ledger())
    assert abs(total.HH[0, 0] / exact - 1) < 5e-13
    assert total.HH[1, 1] == 0


@pytest.mark.parametrize("together", [True, False])
def test_rows_of_little_weight_before_those_of_much(together):
    n = 300
    H, T = np.zeros((2 * n, 2)), np.zeros((2 * n, 1))
    H[:n, 0] = RNG.uniform(0.3, 0.9, n)
    weights = np.repeat([1e-12, 1.0], n)
    exact = (weights * H[:, 0] ** 2).sum()
    halves = [slice(0, n), slice(n, 2 * n)]
    sums = summed(H, T, weights, n) if together else sum(summed(H[r], T[r], weights[r]) for r in halves)
    assert abs(sums.HH[0, 0] / exact - 1) < 1e-12


@given(cuts=st.lists(st.integers(0, 2000), max_size=6), data=st.data())
def test_any_cut_and_order_of_merging_keeps_the_digits(cuts, data):
    H = np.stack([0.6 + 1e-6 * X[:, 0], 1e6 + X[:, 1], np.arange(2000) < 30, np.full(2000, 0.1)], axis=1)
    T = 1e9 + 1e-3 * Y[:, None]
    parts = [summed(H[a:b], T[a:b]) for a, b in itertools.pairwise(sorted({0, 2000, *cuts}))]
    while len(parts) > 1:
        a = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        j = data.draw(st.integers(0, len(parts) - 1))
        parts[j] = a + parts[j]
    assert_centred_sums(parts[0], H, T)
    whole = summed(H, T).moments()
    d = np.sqrt(np.diag(whole.HH))
    assert (np.abs(parts[0].moments().HH - whole.HH) <= 1e-12 * np.outer(d, d)).all()
    assert not whole.HH[3].any()
    assert not parts[0].moments().HH[3].any()


def test_subtraction_keeps_the_digits_and_files_the_reference(tmp_path):
    H, T = np.stack([0.6 + 1e-6 * X[:, 0], 1e6 + X[:, 1]], axis=1), Y[:, None]
    a, b = summed(H[:1500], T[:1500]), summed(H[1500:], T[1500:])
    assert_centred_sums((a + b) - b, H[:1500], T[:1500], tolerance=1e-11)
    (a + b).save(tmp_path / "s.h5")
    for again in (NormalEquations.load(tmp_path / "s.h5"), pickle.loads(pickle.dumps(a + b))):
        np.testing.assert_array_equal(again.reference_H, (a + b).reference_H)
        np.testing.assert_array_equal(again.moments().HH, (a + b).moments().HH)


def test_sums_of_older_files_have_a_reference_of_zero():
    H, T = 0.5 + X, Y[:, None]
    old = summed(H[:1000], T[:1000])._about(np.zeros(2), np.zeros(1))
    np.testing.assert_allclose(old.packed, (H[:1000].T @ H[:1000])[np.triu_indices(2)], rtol=1e-13)
    for both in (old + summed(H[1000:], T[1000:]), summed(H[1000:], T[1000:]) + old):
        assert_centred_sums(both, H, T)


def test_merging_copies_no_triangle():
    L = 600
    zero = NormalEquations.zero("f", L, 1)
    numbers = {"n_samples": 10, "sum_weights": 10.0, "sum_counts": 10.0, "ledger": Ledger(n_unknown=10)}
    state = zero.state() | numbers | {"packed": RNG.uniform(size=len(zero.packed)), "reference_T": np.ones(1)}
    parts = [
        NormalEquations(**{name: state[name] for name in state if name in NormalEquations.__dataclass_fields__} | more)
        for more in ({"reference_H": RNG.normal(size=L), "sum_H": RNG.normal(size=L)}, {"sum_H": RNG.normal(size=L)})
    ]
    for combine in (NormalEquations.__add__, lambda a, b: a._combine(b, -1, a.ledger, "float64")):
        combine(*parts)
        tracemalloc.start()
        combine(*parts)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1.2 * zero.packed.nbytes


# Any number of rows


@pytest.mark.full
def test_a_hundred_million_rows_of_one_task():
    # One block again and again, so that the sums are known. 7 columns, of which 3 are constant.
    n, times = 16_384, 6_104
    rng = np.random.default_rng(0)
    H = np.concatenate([np.tile([0.1, 0.7, 1 / 3], (n, 1)), rng.uniform(-1, 1, (n, 4))], axis=1)
    T = np.stack([np.full(n, 0.3), H[:, 3] + rng.normal(size=n)], axis=1)
    accumulator = accumulator_of(7, 2)
    for _ in range(times):
        accumulator.add(H, T, None)
    sums = accumulator.result(Ledger())
    h, t = H.astype(np.longdouble), T.astype(np.longdouble)
    HH, HT, TT = ((times * (a.T @ b)).astype(float) for a, b in ((h, h), (h, t), (t, t)))
    a, b = np.sqrt(np.diag(HH)), np.sqrt(np.diag(TT))
    assert sums.n_samples == sums.sum_weights == n * times > 1e8
    assert (np.abs(sums.HH - HH) <= 1e-13 * np.outer(a, a)).all()
    assert (np.abs(sums.HT - HT) <= 1e-13 * np.outer(a, b)).all()
    assert (np.abs(sums.moments(centred=False).TT - np.diag(TT)) <= 1e-13 * np.diag(TT)).all()


def test_runs_are_added_to_a_total_apart():
    # In one sum it would miss 1.4e-12.
    block = np.full((16, 1), 1 / 3)
    gram = DoubleGram(1)
    for _ in range(10**5):
        gram.add(block)
    assert abs(gram.packed(1)[0] / (16e5 * np.longdouble(1 / 3) ** 2) - 1) < 5e-13
    terms = LongSum(2)
    for _ in range(10**5):
        terms.add([0.1, 1.0])
    assert abs(terms.value[0] / 1e4 - 1) < 1e-13
    assert terms.value[1] == 1e5
    assert abs(np.add.accumulate(np.full(10**5, 0.1))[-1] / 1e4 - 1) > 1e-12


# Parts


@given(n=st.integers(1, 300), seed=st.integers(0, 99))
def test_triangles_in_one_square(n, seed):
    rng = np.random.default_rng(seed)
    both = rng.integers(-9, 9, (n + 1, n)).astype(float)
    lower, upper = both[1:].copy(), both[:-1].copy()
    move_transposed(both[1:], both[:-1])
    np.testing.assert_array_equal(np.triu(both[:-1]), np.triu(upper + lower.T))
    assert not np.tril(both[1:]).any()
    np.testing.assert_array_equal(unpack(pack_in_place(both, n), n)[0], (upper + lower.T)[0])


@pytest.mark.parametrize("gram", [DoubleGram, SingleGram])
def test_columns_and_products_of_vectors(gram):
    A = RNG.integers(-9, 9, (50, 6)).astype(float)
    gram = gram(6)
    gram.add(np.ascontiguousarray(A, dtype=gram.dtype))
    for k in range(6):
        np.testing.assert_array_equal(gram.column(k), (A.T @ A)[k])
    x, y = np.arange(6.0), np.arange(6.0)[::-1].copy()
    gram.add_outer(x, y)
    gram.add(np.ascontiguousarray(A, dtype=gram.dtype))
    np.testing.assert_array_equal(unpack(gram.packed(6), 6), 2 * A.T @ A + np.outer(x, y) + np.outer(y, x))


def test_products_of_vectors_refuse_what_they_would_misread():
    x, S = np.ones(3), np.zeros((3, 3))
    read_only = np.zeros(6)
    read_only.setflags(write=False)
    for call in (
        lambda: add_outer(x, x[:2], S),
        lambda: add_outer(x.astype("f4"), x, S),
        lambda: add_outer(np.ones(6)[::2], x, S),
        lambda: add_outer_packed(x, x, np.zeros((2, 6))[:, ::2]),
    ):
        with pytest.raises(TypeError, match="takes contiguous float64 arrays, x and y of one length"):
            call()
    for call in (lambda: add_outer(x, x, S[:2]), lambda: add_outer_packed(x, x, read_only)):
        with pytest.raises(TypeError, match="adds to a writable array of shape"):
            call()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_is_subtracted_where_rows_lie_apart(dtype):
    wide = RNG.normal(size=(40, 7)).astype(dtype)
    row, before = RNG.normal(size=5).astype(dtype), wide.copy()
    subtract_row(row, wide[:, :5])
    np.testing.assert_array_equal(wide[:, :5], before[:, :5] - row)
    np.testing.assert_array_equal(wide[:, 5:], before[:, 5:])
    subtract_row(row, wide[:0, :5])
    with pytest.raises(TypeError, match=r"takes a row of 5 as .*; got \(4,\)"):
        subtract_row(row[:4], wide[:, :5])
    with pytest.raises(TypeError, match="must be writable with contiguous rows"):
        subtract_row(row[:2], wide[:, 1:5:2])


@pytest.mark.parametrize(("dtype", "out"), [("float64", "float64"), ("float32", "float32"), ("float32", "float64")])
def test_a_layer_writes_its_outputs_about_a_row(dtype, out):
    for groups in ([(2, "lin"), (5, "tanh"), (4, "rbf_l2"), (3, np.sin)], [(5, "tanh")]):
        layer = Layer.draw(groups, 2, 0, dtype, None)
        H, row = layer(X[:100]), RNG.normal(size=layer.n_neurons).astype(out)
        room = np.zeros((100, layer.n_neurons + 3), out)
        layer(X[:100], out=room[:, : layer.n_neurons], minus=row)
        np.testing.assert_allclose(
            room[:, : layer.n_neurons], H.astype(out) - row, rtol=0, atol=4 * np.finfo(dtype).eps
        )
        assert not room[:, layer.n_neurons :].any()


@pytest.mark.parametrize(("value", "weight"), [(1e9, 1e-12), (1e14, 1e-20), (1e20, 1e-40)])
def test_a_first_row_of_next_to_no_weight_decides_no_digits(value, weight):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((400, 3)), rng.standard_normal(400)
    y[0], weights = value, np.ones(400)
    weights[0] = weight
    first, later = (np.arange(400), np.roll(np.arange(400), 9))
    model = ELMRegressor([(3, "lin"), (10, "tanh")], alpha=1.0, standardize=False, random_state=0)
    want = model.fit(X[later], y[later], weights[later]).coef_.copy()
    np.testing.assert_allclose(model.fit(X[first], y[first], weights[first]).coef_, want, rtol=1e-9, atol=1e-12)
