"""Gram matrices summed in single precision: what is exact still, what rounding costs, and that the answer says so."""

import pickle
import re

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from layers import accumulator_of

from daskelm import ELMClassifier, ELMRegressor, NormalEquations, load, make_hdf5
from daskelm.cli import cli
from daskelm.exceptions import IllConditionedWarning, ParameterError
from daskelm.passes.gram import _SINGLE_RUN, DoubleGram, SingleGram
from daskelm.ridge.packed import add_triangle, crop_packed, unpack
from daskelm.sums.ledger import Ledger

RNG = np.random.default_rng(0)
X = RNG.uniform(-2, 2, (3000, 3)).astype(np.float32)
Y = np.sin(X.sum(axis=1))
SINGLE = {"dtype": "float32", "gram_dtype": "float32", "random_state": 0}


@given(rows=st.lists(st.integers(1, 40), max_size=4), width=st.integers(1, 12), seed=st.integers(0, 99))
def test_both_precisions_sum_small_integers_exactly(rows, width, seed):
    rng = np.random.default_rng(seed)
    blocks = [rng.integers(-9, 9, (n, width)).astype(np.float32) for n in rows]
    expected = sum((np.einsum("ij,ik->jk", b, b, dtype=np.float64) for b in blocks), np.zeros((width, width)))
    for gram in (DoubleGram(width), SingleGram(width)):
        for block in blocks:
            gram.add(block.astype(gram.dtype))
        n = int(rng.integers(0, width + 1))
        for start in range(width):
            columns = gram.columns(start, width)
            np.testing.assert_array_equal(np.triu(columns, -start), np.triu(expected[:, start:], -start))
        np.testing.assert_array_equal(unpack(gram.packed(n), n), expected[:n, :n])


def test_runs_are_added_in_double():
    # One block and many, longer than a run: 1 + 2^-26 of many rows is lost in single precision, not between runs.
    block = np.full((3 * _SINGLE_RUN + 5, 1), 1 + 2.0**-12, np.float32)
    whole, parts = SingleGram(1), SingleGram(1)
    whole.add(block)
    for start in range(0, len(block), 1000):
        parts.add(block[start : start + 1000])
    exact = len(block) * (1 + 2.0**-12) ** 2
    for gram in (whole, parts):
        assert abs(gram.packed(1)[0] - exact) < 1e-6 * exact
    # In single precision alone the sum stands still at 2^24.
    gram, ones = SingleGram(1), np.ones((2**20, 1), np.float32)
    for _ in range(18):
        gram.add(ones)
    assert gram.packed(1)[0] == 18 * 2**20
    assert SingleGram(3).square.nbytes + SingleGram(3).triangle.nbytes <= DoubleGram(3).both.nbytes


def test_triangles_are_added_and_cropped():
    S = np.arange(25.0).reshape(5, 5)
    S += S.T
    packed = np.zeros(15)
    add_triangle(S, packed)
    add_triangle(S, packed)
    np.testing.assert_array_equal(unpack(packed, 5), 2 * S)
    np.testing.assert_array_equal(unpack(crop_packed(packed, 5, 3), 3), 2 * S[:3, :3])


@pytest.mark.parametrize("n_targets", [1, 3, 40])
@pytest.mark.parametrize("weighted", [False, True])
def test_sums_are_those_of_double_precision_but_for_rounding(n_targets, weighted):
    T = 1e6 + Y[:, None] * np.arange(1, n_targets + 1)
    weights = RNG.integers(0, 4, len(X)) / 2 if weighted else None
    a, b = (
        ELMRegressor([(3, "lin"), (60, "tanh")], dtype="float32", gram_dtype=g, random_state=0).fit(X, T, weights)
        for g in ("float64", "float32")
    )
    assert a.hidden_layer_.fingerprint == b.hidden_layer_.fingerprint
    x, y = a.normal_equations_.moments(), b.normal_equations_.moments()
    h, t = np.sqrt(np.diag(x.HH)), np.sqrt(x.TT)
    assert (np.abs(x.HH - y.HH) <= 1e-6 * np.outer(h, h)).all()
    assert (np.abs(x.HT - y.HT) <= 1e-6 * np.outer(h, t)).all()
    np.testing.assert_allclose(y.TT, x.TT, rtol=1e-9)
    np.testing.assert_allclose(y.mean_T, x.mean_T, rtol=1e-12)
    assert not (x.HH == y.HH).all()
    a.set_params(alpha=1.0).solve()
    b.set_params(alpha=1.0).solve()
    assert np.abs(a.predict(X) - b.predict(X)).max() < 1e-3 * np.abs(T - T.mean(axis=0)).max()
    assert b.score(X, T) > 0.97


def test_files_on_workers_of_all_kinds(tmp_path):
    make_hdf5(X, tmp_path / "X.h5")
    make_hdf5(Y, tmp_path / "Y.h5")
    from_memory = ELMRegressor(30, **SINGLE).fit(X, Y).normal_equations_
    from_file = ELMRegressor(30, **SINGLE).fit(tmp_path / "X.h5", tmp_path / "Y.h5").normal_equations_
    np.testing.assert_allclose(from_file.HH, from_memory.HH, rtol=1e-6)
    assert from_file.precision == from_memory.precision == "float32"
    again = pickle.loads(pickle.dumps(ELMRegressor(30, **SINGLE).fit(X, Y)))
    assert again.normal_equations_.precision == again.hidden_layer_.gram_dtype == "float32"


def test_penalty_has_a_floor_and_the_answer_says_so():
    model = ELMRegressor(300, **SINGLE).fit(X, Y)
    least = model.normal_equations_.least_alpha
    assert 0 < least <= model.alpha_
    # Without it the factorisation meets rounding: HH of 300 smooth functions of three inputs has eigenvalues below it.
    assert np.linalg.eigvalsh(model.normal_equations_.moments().HH)[0] > -least
    expected = re.escape(f"alpha = 0 is less than the rounding of sums in float32 needs, {least:.3g}, which was used")
    with pytest.warns(IllConditionedWarning, match=expected):
        model.set_params(alpha=0.0).solve()
    assert model.alpha_ == least
    assert model.score(X, Y) > 0.999
    model.set_params(alpha=2 * least).solve()
    assert model.alpha_ == 2 * least
    double = ELMRegressor(300, dtype="float32", alpha=least / 100, random_state=0).fit(X, Y)
    assert double.normal_equations_.least_alpha == 0
    assert double.alpha_ == least / 100


def test_floor_does_not_depend_on_the_order_of_rows():
    model = ELMRegressor(20, **SINGLE).initialize(X)
    parts = [model.partial_fit(X[a : a + 1000], Y[a : a + 1000]).normal_equations_ for a in (0, 1000, 2000)]
    first = parts[0]
    rest = parts[2] - first
    np.testing.assert_allclose((rest + first).least_alpha, parts[2].least_alpha, rtol=1e-6)
    assert NormalEquations.zero(first.fingerprint, 20, 1).least_alpha == 0


def test_precision_is_kept_with_the_sums(tmp_path):
    single = ELMRegressor(10, **SINGLE).fit(X, Y)
    double = ELMRegressor(10, dtype="float32", random_state=0).fit(X, Y)
    both = single.normal_equations_ + double.normal_equations_
    assert both.precision == "float32"
    assert (double.normal_equations_ + double.normal_equations_).precision == "float64"
    assert "in float32" in repr(both)
    assert "float32" not in repr(double.normal_equations_)
    both.save(tmp_path / "sums.h5")
    assert NormalEquations.load(tmp_path / "sums.h5").precision == "float32"
    single.save(tmp_path / "model.h5")
    with pytest.raises(ParameterError, match="^gram_dtype: partial_fit needs the value that the hidden layer and its"):
        single.set_params(gram_dtype="float64").partial_fit(X, Y)
    again = load(tmp_path / "model.h5")
    assert again.gram_dtype == again.hidden_layer_.gram_dtype == "float32"
    again.accumulate(X, Y, into=tmp_path / "more.h5")
    assert NormalEquations.load(tmp_path / "more.h5").precision == "float32"
    assert "summed in" in CliRunner().invoke(cli, ["info", str(tmp_path / "more.h5")]).output


def test_sums_of_older_files_are_in_double_precision():
    state = ELMRegressor(5, random_state=0).fit(X, Y).normal_equations_.state()
    del state["precision"]
    assert NormalEquations.from_state(state).precision == "float64"


def test_command_takes_it(tmp_path):
    make_hdf5(X, tmp_path / "X.h5")
    arguments = [str(tmp_path / "X.h5"), str(tmp_path / "m.h5"), "--gram-dtype", "float32"]
    assert CliRunner().invoke(cli, ["init", *arguments]).exit_code == 0
    assert load(tmp_path / "m.h5").hidden_layer_.gram_dtype == np.float32


@pytest.mark.parametrize("estimator", [ELMRegressor, ELMClassifier])
def test_errors(estimator):
    labels = (Y > 0).astype(int)
    with pytest.raises(ParameterError, match="gram_dtype must be float64 or float32; got 'half'"):
        estimator(5, gram_dtype="half").fit(X, labels)
    with pytest.raises(ParameterError, match=r"float32 need a hidden layer in float32; got one in float64.*dtype='flo"):
        estimator(5, gram_dtype="float32").fit(X.astype(float), labels)
    assert estimator(5, gram_dtype=np.float32).fit(X, labels).normal_equations_.precision == "float32"


def test_rows_of_weight_zero_may_hold_anything():
    sums = accumulator_of(2, 1, dtype=np.float32)
    H = np.array([[1, 2], [3, 4], [1e30, 1e30]], np.float32)
    sums.add(H, np.array([[1.0], [2.0], [1e300]]), np.array([1.0, 1.0, 0.0]))
    result = sums.result(Ledger())
    np.testing.assert_array_equal(result.HH, [[10, 14], [14, 20]])
    np.testing.assert_array_equal(result.HT, [[7], [10]])
