"""Differences that no rows can have are errors; rounding is none, whatever was taken away before."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from daskelm import ELMRegressor, NormalEquations, load
from daskelm.exceptions import CancellationWarning, IncompatibleSumsError
from daskelm.sums.some_neurons import take_neurons

RNG = np.random.default_rng(3)
A, B = RNG.standard_normal((2, 1000, 3))
YA, YB = RNG.standard_normal((2, 1000))


@pytest.fixture
def here(tmp_path, monkeypatch, no_client):
    monkeypatch.chdir(tmp_path)
    ELMRegressor([(3, "lin"), (10, "tanh")], random_state=0).initialize(A).save("model.h5")


def direct(X, y, weights=None):
    return load("model.h5").accumulate(X, y, sample_weight=weights).normal_equations_


def test_what_was_never_added_cannot_be_taken_away_from_memory(here):
    a = direct(A, YA)
    with pytest.raises(IncompatibleSumsError, match=r"cannot subtract: HH of neuron 0 about the mean would be -\d"):
        a - direct(3 * A[:500], YA[:500])
    with pytest.raises(IncompatibleSumsError, match=r"TT of target 0 about the mean would be -\d+.* for 900 rows, \d"):
        a - direct(A[:100], 50 * YA[:100])
    # As many rows, but others.
    with pytest.raises(IncompatibleSumsError, match=r"would be .* for 0 rows, .* which no rows can have"):
        a - direct(A, YB)
    with pytest.raises(IncompatibleSumsError, match="HH of neuron .* for 0 rows"):
        a - direct(A * 0.9, YA)
    weighted = direct(A, YA, np.full(1000, 0.5))
    with pytest.raises(IncompatibleSumsError, match="sum_weights would be 500 for 0 rows, 1000 less 500, which"):
        a - weighted
    with pytest.raises(IncompatibleSumsError, match="sum_weights would be -500 for 0 rows, 500 less 1000, which"):
        weighted - a
    fewer_counts = replace(a, sum_counts=10.0)
    with pytest.raises(IncompatibleSumsError, match="sum_counts would be -490 for 500 rows, 10 less 500, which"):
        fewer_counts - direct(A[:500], YA[:500])


@pytest.mark.parametrize("offset", [0.0, 1e9])
@pytest.mark.parametrize("kind", ["plain", "weights", "single"])
@pytest.mark.filterwarnings("ignore::daskelm.exceptions.CancellationWarning")
def test_what_was_added_can_be_taken_away_in_any_order(here, offset, kind):
    """No rounding is taken for a proof, not even of rows that are what is left of many larger ones."""
    X, y = A * np.geomspace(1, 1e-3, 1000)[:, None], YA * np.geomspace(1, 1e-3, 1000) + offset
    weights = np.geomspace(1e3, 1e-3, 1000) if kind == "weights" else None
    if kind == "single":
        ELMRegressor(20, dtype="float32", gram_dtype="float32", random_state=0).initialize(A).save("model.h5")
    edges = [0, 1, 20, 500, 990, 999, 1000]
    parts = [direct(X[a:b], y[a:b], None if weights is None else weights[a:b]) for a, b in itertools.pairwise(edges)]
    for order in ([0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 0, 5, 2, 4, 1]):
        left = sum(parts)
        for i in order:
            left = left - parts[i]
        assert left.n_samples == 0
        assert not left.packed.any()


def test_rows_of_no_weight_that_are_left(here):
    """Their weight is lost in the rounding of the sum of weights: they count as rows of weight zero, and say so."""
    weights = np.r_[np.full(950, 1e12), np.full(50, 1e-6)]
    a = direct(A, YA, weights)
    with pytest.warns(CancellationWarning, match="50 of 1000 rows are left, with 0 of the weight"):
        left = a - direct(A[:950], YA[:950], weights[:950])
    assert (left.n_samples, left.sum_weights, left.sum_counts) == (50, 0, 0)
    for centred in (False, True):
        moments = left.moments(centred=centred)
        assert not moments.HH.any()
        assert not moments.TT.any()
        assert moments.n == 0
    more = direct(B, YB)
    np.testing.assert_allclose((left + more).HH, more.HH, rtol=0, atol=1e-12 * 1000)
    assert ((left + more).n_samples, (left + more).sum_weights) == (1050, 1000)
    with pytest.raises(ValueError, match="nothing to solve: the sums hold 50 rows of weight 0"):
        load("model.h5").solve(left)
    none = NormalEquations.zero("f", 13, 1).moments()
    assert none.centred
    assert not none.HH.any()


def test_there_is_no_mean_without_weight(here):
    a = replace(direct(A, YA), sum_weights=0.0)
    with pytest.raises(
        IncompatibleSumsError, match="sums about the mean need a positive sum of weights; got 0 of 1000"
    ):
        a.moments(centred=True)
    assert a.moments(centred=False).HH.shape == (13, 13)


@pytest.mark.filterwarnings("ignore::daskelm.exceptions.CancellationWarning")
def test_the_rounding_of_what_was_taken_away_is_kept(here):
    """With the sums of some of the neurons too, and in the file."""
    whole, most = direct(A, YA), direct(A[:999], YA[:999])
    left = whole - most
    assert left.largest.shape == (13 + 1 + 2,)
    assert left.largest[-1] == 1000
    columns = np.array([0, 4, 9])
    fewer = take_neurons(left, columns, "g")
    np.testing.assert_array_equal(fewer.largest, left.largest[[0, 4, 9, 13, 14, 15]])
    assert not len(take_neurons(whole, columns, "g").largest)
    left.save("left.h5")
    np.testing.assert_array_equal(NormalEquations.load("left.h5").largest, left.largest)
    assert (left - direct(A[999:], YA[999:])).n_samples == 0
    np.testing.assert_array_equal((whole + left).largest, left.largest)
