"""The sums: any split and order adds up to the same, what was added is taken away again, files are exact."""

import itertools
import pickle
from fractions import Fraction

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from layers import accumulator_of

from daskelm import NormalEquations
from daskelm.blas import add_gram
from daskelm.exceptions import FileFormatError, FileMissingError, IncompatibleSumsError
from daskelm.ridge.packed import pack_in_place, unpack
from daskelm.sums.ledger import Ledger

RNG = np.random.default_rng(0)
N, L, C = 120, 7, 2
H = RNG.standard_normal((N, L)) + np.where(np.arange(L) < 3, 1000.0, 0.0)
T = RNG.standard_normal((N, C)) + [1e6, 0]


def sums(rows=slice(None), weights=None, fingerprint="f", ledger=None, blocks=1, T=T):
    accumulator = accumulator_of(L, T.shape[1], fingerprint)
    h, t = H[rows], T[rows]
    w = None if weights is None else weights[rows]
    for part in np.array_split(np.arange(len(h)), blocks):
        accumulator.add(h[part].copy(), t[part].copy(), None if w is None else w[part])
    return accumulator.result(Ledger(n_unknown=len(h)) if ledger is None else ledger)


def assert_same(a, b, tolerance=1e-12):
    """As promised: to 1e-12 relative to sqrt(HH_ii HH_jj)."""
    assert a.n_samples == b.n_samples
    assert abs(a.sum_weights - b.sum_weights) <= 1e-12 * max(b.sum_weights, 1)
    for centred in (False, True):
        x, y = a.moments(centred=centred), b.moments(centred=centred)
        about_zero = b.moments(centred=False)
        h, t = np.sqrt(np.diag(about_zero.HH)), np.sqrt(about_zero.TT)
        assert (np.abs(x.HH - y.HH) <= tolerance * np.outer(h, h)).all()
        assert (np.abs(x.HT - y.HT) <= tolerance * np.outer(h, t)).all()
        assert (np.abs(x.TT - y.TT) <= tolerance * t * t).all()


@given(weights=st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=N, max_size=N), blocks=st.integers(1, 9))
def test_sums_are_those_of_the_reference(weights, blocks):
    w = np.array(weights)
    w[0] = 1.0
    HH, HT, mean_H, mean_T = reference.sums(H, T, w)
    moments = sums(weights=w, blocks=blocks).moments()
    h, t = np.sqrt(w @ np.square(H)), np.sqrt(w @ np.square(T))
    assert (np.abs(moments.HH - HH) <= 1e-12 * np.outer(h, h)).all()
    assert (np.abs(moments.HT - HT) <= 1e-12 * np.outer(h, t)).all()
    np.testing.assert_allclose(moments.mean_H, mean_H, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moments.mean_T, mean_T, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", ["C", "F"])
def test_pack_and_unpack(order):
    S = np.asarray(H.T @ H, order=order)
    np.testing.assert_array_equal(unpack(pack_in_place(S.copy(), L), L), S)


@given(rows=st.integers(0, 30), n=st.integers(1, 20), seed=st.integers(0, 99))
def test_add_gram_fills_the_upper_triangle_only(rows, n, seed):
    A = np.random.default_rng(seed).standard_normal((rows, n))
    HH = np.full((n, n), 3.0)
    add_gram(A, HH)
    np.testing.assert_allclose(np.triu(HH), np.triu(3 + A.T @ A), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(np.tril(HH, -1), np.tril(np.full((n, n), 3.0), -1))


def test_add_gram_refuses_what_it_would_misread():
    for A, HH in [(H.astype("f4"), np.zeros((L, L))), (H.T.copy().T, np.zeros((L, L))), (H, np.zeros((L, L + 1)))]:
        with pytest.raises(TypeError, match="add_gram"):
            add_gram(A, HH)
    read_only = np.zeros((L, L))
    read_only.setflags(write=False)
    with pytest.raises(TypeError, match="writable"):
        add_gram(H, read_only)


def test_sums_are_those_of_exact_arithmetic():
    h = [[Fraction(float(v)) for v in row] for row in H]
    t = [[Fraction(float(v)) for v in row] for row in T]
    HH = np.array([[float(sum(r[i] * r[j] for r in h)) for j in range(L)] for i in range(L)])
    HT = np.array([[float(sum(a[i] * b[j] for a, b in zip(h, t, strict=True))) for j in range(C)] for i in range(L)])
    d, e = np.sqrt(np.diag(HH)), np.sqrt([float(sum(b[j] ** 2 for b in t)) for j in range(C)])
    assert (np.abs(sums().HH - HH) <= 1e-14 * np.outer(d, d)).all()
    assert (np.abs(sums().HT - HT) <= 1e-14 * np.outer(d, e)).all()


@given(cuts=st.lists(st.integers(0, N), max_size=6), data=st.data())
def test_any_split_and_order_of_merging(cuts, data):
    edges = sorted({0, N, *cuts})
    parts = [sums(slice(a, b), blocks=1 + a % 3) for a, b in itertools.pairwise(edges)]
    parts.append(NormalEquations.zero("f", L, C))
    while len(parts) > 1:
        i = data.draw(st.integers(0, len(parts) - 1))
        a = parts.pop(i)
        j = data.draw(st.integers(0, len(parts) - 1))
        parts[j] = a + parts[j]
    assert_same(parts[0], sums())


def test_python_sums_them_up():
    parts = [sums(rows) for rows in (slice(0, 20), slice(20, 70), slice(70, N))]
    assert_same(sum(parts), sums())
    assert sum(parts[:1]) is parts[0]
    for other in (1, 0.5, None):
        with pytest.raises(TypeError, match="unsupported operand"):
            other + parts[0]


def test_addition_has_an_identity():
    zero = NormalEquations.zero("f", L, C)
    for total in (sums() + zero, zero + sums()):
        for name, value in sums().state().items():
            np.testing.assert_array_equal(total.state()[name], value)
    assert (zero + zero).n_samples == 0


@given(weights=st.lists(st.integers(0, 4), min_size=N, max_size=N))
def test_weights_repeat_rows_and_split(weights):
    w = np.array(weights, float)
    repeated = np.repeat(np.arange(N), weights)
    a, b = sums(weights=w), sums(repeated)
    np.testing.assert_allclose(a.HH, b.HH, rtol=1e-12, atol=1e-6)
    assert a.sum_weights == b.n_samples
    split = sums(weights=0.3 * w) + sums(weights=0.7 * w)
    np.testing.assert_allclose(split.HH, a.HH, rtol=1e-12, atol=1e-6)


@given(a=st.integers(0, N), b=st.integers(0, N))
def test_what_was_added_is_taken_away_again(a, b):
    a, b = sorted((a, b))
    whole, part = sums(), sums(slice(a, b))
    rest = whole - part
    assert_same(rest + part, whole)
    others = sums(np.r_[0:a, b:N])
    assert rest.n_samples == others.n_samples
    m, x, y = whole.moments(centred=False), rest.moments(centred=False), others.moments(centred=False)
    h = np.sqrt(np.diag(m.HH))
    assert (np.abs(x.HH - y.HH) <= 1e-12 * np.outer(h, h)).all()


def test_merging_about_different_references_keeps_small_residuals():
    # 1e9 apart, residuals of 1e-3: about zero, the squares would drown them by twelve orders.
    t = 1e9 + np.arange(N) * 1e-3
    h = np.stack([np.arange(N) + 1e7, np.sin(np.arange(N))], axis=1)
    parts = []
    for rows in (slice(0, 50), slice(50, N)):
        accumulator = accumulator_of(2, 1)
        accumulator.add(h[rows].copy(), t[rows, None].copy(), None)
        parts.append(accumulator.result(Ledger()))
    m = (parts[0] + parts[1]).moments(centred=True)
    exact_t = [Fraction(float(v)) for v in t]
    mean = sum(exact_t) / N
    assert abs(m.TT[0] / float(sum((v - mean) ** 2 for v in exact_t)) - 1) < 1e-9
    exact_h = [Fraction(float(v)) for v in h[:, 0]]
    mean_h = sum(exact_h) / N
    covariance = float(sum((a - mean_h) * (b - mean) for a, b in zip(exact_h, exact_t, strict=True)))
    assert abs(m.HT[0, 0] / covariance - 1) < 1e-9


def test_squared_error_of_any_model_from_the_sums_alone():
    coef, intercept = RNG.standard_normal((C, L)), RNG.standard_normal(C)
    w = RNG.uniform(0, 2, N)
    direct = w @ np.square(T - H @ coef.T - intercept)
    np.testing.assert_allclose(sums(weights=w).squared_error(coef, intercept), direct, rtol=1e-9)


def test_a_vanishing_error_is_never_negative():
    coef = RNG.standard_normal((C, L))
    s = sums(T=H @ coef.T + 5)
    error = s.squared_error(coef, np.full(C, 5.0))
    assert (error >= 0).all()
    assert (error <= 1e-9 * s.moments().TT).all()


def test_sums_that_do_not_belong_together():
    with pytest.raises(IncompatibleSumsError, match="cannot add: layer fingerprint f and g"):
        sums() + sums(fingerprint="g")
    with pytest.raises(ValueError, match="cannot add: n_targets 2 and 1"):
        sums() + sums(T=T[:, :1])
    with pytest.raises(IncompatibleSumsError, match="cannot subtract 120 rows of weight 120 from 50 rows"):
        sums(slice(50)) - sums()
    with pytest.raises(TypeError, match="unsupported operand"):
        sums() + 1


def test_rows_counted_in_both_are_refused():
    a, b = sums(slice(0, 60), ledger=Ledger({"x": [(0, 60)]})), sums(slice(50, 120), ledger=Ledger({"x": [(50, 120)]}))
    with pytest.raises(IncompatibleSumsError, match="rows 50 to 59 of source x are counted in both"):
        a + b
    with pytest.raises(IncompatibleSumsError, match="rows 100 to 119 of source x are not"):
        sums(ledger=Ledger({"x": [(0, 100)]})) - b
    rest = sums(ledger=Ledger({"x": [(0, 120)]})) - b
    assert rest.ledger == Ledger({"x": [(0, 50)]})
    assert (a - a).ledger == Ledger()
    assert (a + sums()).ledger == Ledger({"x": [(0, 60)]}, n_unknown=120)
    with pytest.raises(IncompatibleSumsError, match="60 rows came from memory and cannot be recognised"):
        sums(ledger=Ledger({"x": [(0, 120)]})) - sums(slice(60))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30), st.integers(0, 30)), max_size=8), st.data())
def test_a_ledger_is_a_set_of_rows(ranges, data):
    rows = {(source, row) for source, a, b in ranges for row in range(a, b)}

    def ledger(chosen):
        grouped = {}
        for source, row in chosen:
            grouped.setdefault(source, []).append((row, row + 1))
        return Ledger(grouped)

    whole = ledger(rows)
    assert whole.n_rows == len(rows)
    part = {row for row in sorted(rows) if data.draw(st.booleans())}
    assert whole - ledger(part) == ledger(rows - part)
    assert ledger(part) | ledger(rows - part) == whole
    if part:
        with pytest.raises(IncompatibleSumsError, match="cannot add"):
            whole | ledger(part)


def test_sums_are_immutable_and_pickle():
    s = sums(ledger=Ledger({"x": [(0, 120)]}))
    with pytest.raises(ValueError, match="read-only"):
        s.packed[0] = 1
    again = pickle.loads(pickle.dumps(s))
    np.testing.assert_array_equal(again.packed, s.packed)
    assert again.ledger == s.ledger
    assert "HH" not in pickle.loads(pickle.dumps(s)).__dict__


def test_sums_save_and_load_exactly(tmp_path):
    s = sums(ledger=Ledger({"x": [(0, 120)]}))
    s.save(tmp_path / "s.h5")
    again = NormalEquations.load(tmp_path / "s.h5")
    for name, value in again.state().items():
        np.testing.assert_array_equal(s.state()[name], value)
    with pytest.raises(FileMissingError, match=r"none\.h5: no such file"):
        NormalEquations.load(tmp_path / "none.h5")
    (tmp_path / "x.h5").write_bytes(b"hello")
    with pytest.raises(FileFormatError, match="is not a daskelm sums file"):
        NormalEquations.load(tmp_path / "x.h5")
