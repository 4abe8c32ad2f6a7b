"""Rows known by their content: the same fold and hash wherever they lie, and the number of distinct rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskelm import ELMRegressor
from daskelm.sums.content import MOST_HASHES, folds_of, n_folds, row_hashes, smallest
from daskelm.sums.folds import n_distinct

RNG = np.random.default_rng(0)
X, T = RNG.standard_normal((1000, 3)).astype(np.float32), RNG.standard_normal((1000, 2)).astype(np.float32)


def test_the_hash_of_a_row_is_that_of_its_values():
    hashes = row_hashes(X, T)
    assert hashes.dtype == np.uint64
    assert len(set(hashes.tolist())) == 1000
    for x, t in ((X.astype(float), T.astype(float)), (np.asfortranarray(X), T), (X, T.astype(float))):
        np.testing.assert_array_equal(row_hashes(x, t), hashes)
    order = RNG.permutation(1000)
    np.testing.assert_array_equal(row_hashes(X[order], T[order]), hashes[order])
    parts = [row_hashes(X[i : i + 7], T[i : i + 7]) for i in range(0, 1000, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), hashes)


def test_columns_have_their_places():
    hashes = row_hashes(X, T)
    assert (row_hashes(X[:, ::-1], T) != hashes).all()
    assert (row_hashes(X, T[:, ::-1]) != hashes).all()
    # One of several dummies is 1 in each row: a sum of the bits alone would be the same in all.
    dummies = np.eye(3)[RNG.integers(3, size=300)]
    assert len(set(row_hashes(dummies, np.zeros((300, 1))).tolist())) == 3


@pytest.mark.parametrize("n", [2, 3, 5])
def test_folds_are_even_and_hold_equal_rows_together(n):
    many = RNG.integers(0, 2**63, 100_000).astype(np.uint64)
    counts = np.bincount(folds_of(row_hashes(many[:, None].astype(float), many[:, None]), n).astype(int))
    assert len(counts) == n
    assert np.abs(counts - 1e5 / n).max() < 5 * np.sqrt(1e5 / n)
    twice = folds_of(row_hashes(np.r_[X, X], np.r_[T, T]), n)
    np.testing.assert_array_equal(twice[:1000], twice[1000:])


def test_folds_become_fewer_as_layers_grow():
    assert [n_folds(L) for L in (1, 400, 401, 2500, 2501, 10_000, 10_001)] == [5, 5, 3, 3, 2, 2, 1]


@given(st.lists(st.lists(st.integers(0, 2000), max_size=1500), max_size=5))
def test_the_smallest_are_those_of_all_in_any_parts(parts):
    kept = np.zeros(0, np.uint64)
    for part in parts:
        kept = smallest(kept, np.array(part, np.uint64))
    everything = np.array(sorted({number for part in parts for number in part}), np.uint64)
    np.testing.assert_array_equal(kept, everything[:MOST_HASHES])


@pytest.mark.parametrize(("number", "tolerance"), [(1, 0), (37, 0), (511, 0), (5000, 0.15)])
def test_distinct_rows_are_counted(number, tolerance):
    rows = RNG.standard_normal((number, 2))
    several = rows[np.r_[np.arange(number), RNG.integers(number, size=600)]]
    model = ELMRegressor(5, random_state=0).initialize(RNG.standard_normal((50, 2)))
    for start in range(0, len(several), 400):
        part = several[start : start + 400]
        model.partial_fit(part, part[:, 0])
    assert n_distinct(model.normal_equations_) == pytest.approx(number, rel=tolerance)
    # Where there are no folds, rows are not hashed.
    other = ELMRegressor(5, alpha=1.0, random_state=0).initialize(X).partial_fit(X, T[:, 0])
    assert n_distinct(other.normal_equations_) == 1000
