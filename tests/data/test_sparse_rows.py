"""Blocks of sparse rows: each method gives what it gives for the array of the same numbers."""

import pickle

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from daskelm.sparse import SparseRows, as_block, is_sparse, joined, row_width
from daskelm.sums.content import row_hashes
from daskelm.sums.digests import row_digests


@st.composite
def tables(draw):
    n_rows, n_columns = draw(st.integers(1, 12)), draw(st.integers(1, 9))
    numbers = st.sampled_from([0.0, 0.0, 0.0, -0.0, 1.0, -2.5, 1e300, 5e-324])
    rows = draw(st.lists(st.lists(numbers, min_size=n_columns, max_size=n_columns), min_size=n_rows, max_size=n_rows))
    return np.array(rows)


def with_zeros(table):
    """Sparse rows that keep some zeros too."""
    n_rows, n_columns = table.shape
    edges = np.arange(n_rows + 1) * n_columns
    return SparseRows(table.ravel(), np.tile(np.arange(n_columns), n_rows), edges, n_columns)


@given(tables(), st.data())
def test_rows_are_those_of_the_array(table, data):
    rows = SparseRows.of(scipy.sparse.csr_array(table))
    n = len(table)
    chosen = [
        slice(*sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))),
        slice(None, None, 2),
        np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n))),
        np.array(data.draw(st.lists(st.integers(0, n - 1), max_size=6)), dtype=int),
    ]
    for one in chosen:
        part = rows[one]
        np.testing.assert_array_equal(part.toarray(), table[one])
        assert (len(part), part.shape, part.ndim, part.dtype) == (len(table[one]), table[one].shape, 2, table.dtype)
    np.testing.assert_array_equal(rows.take(chosen[3]).toarray(), table[chosen[3]])
    np.testing.assert_array_equal(rows[chosen[0]][:, ::2].toarray(), table[chosen[0]][:, ::2])
    np.testing.assert_array_equal(rows[chosen[0]].row_numbers(), np.nonzero(table[chosen[0]])[0])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(rows[chosen[0]])).toarray(), table[chosen[0]])


@given(tables(), st.integers(0, 12), st.integers(0, 12))
def test_joined_parts_are_the_whole(table, a, b):
    a, b = sorted((min(a, len(table)), min(b, len(table))))
    rows = with_zeros(table)
    parts = [rows[:a], rows[a:b], rows[b:]]
    np.testing.assert_array_equal(joined(parts).toarray(), table)
    np.testing.assert_array_equal(joined([part.toarray() for part in parts]), table)


@given(tables(), st.integers(0, 2**40))
def test_digests_are_those_of_the_array(table, first_row):
    plain = table + 0.0
    for rows in (with_zeros(table), SparseRows.of(scipy.sparse.csr_array(table))):
        for part in (slice(None), slice(1, None)):
            np.testing.assert_array_equal(row_digests(first_row, rows[part]), row_digests(first_row, plain[part]))
            np.testing.assert_array_equal(row_hashes(rows[part]), row_hashes(plain[part]))
            np.testing.assert_array_equal(
                row_hashes(rows[part], plain[part, :1]), row_hashes(plain[part], plain[part, :1])
            )


def test_every_nan_has_one_digest():
    values = np.array([np.nan, -np.nan, np.frombuffer(np.uint64(0x7FF80000000007A2).tobytes())[0]])
    rows = SparseRows(values, np.zeros(3, int), np.arange(4), 1)
    assert len(set(row_hashes(rows).tolist())) == 1
    np.testing.assert_array_equal(row_hashes(rows), row_hashes(np.full((3, 1), np.nan)))


def test_numbers_at_one_place_are_added_and_the_matrix_stays():
    matrix = scipy.sparse.csr_array((np.array([1.0, 2.0, 4.0]), np.array([1, 0, 1]), np.array([0, 3])), shape=(1, 2))
    rows = SparseRows.of(matrix)
    np.testing.assert_array_equal(rows.toarray(), [[2.0, 5.0]])
    np.testing.assert_array_equal(matrix.data, [1.0, 2.0, 4.0])
    np.testing.assert_array_equal(rows.columns, [0, 1])


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"])
@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_every_form_of_scipy_is_sparse(form, kind):
    table = np.array([[0.0, 1.0], [2.0, 0.0]])
    matrix = getattr(scipy.sparse, f"{form}_{kind}")(table)
    assert is_sparse(matrix)
    np.testing.assert_array_equal(as_block(matrix).toarray(), table)


def test_arrays_are_not_sparse():
    table = np.eye(3)
    assert not is_sparse(table)
    assert not is_sparse([table])
    assert as_block(table) is table
    assert row_width(table) == 3
    assert row_width(table[:, 0]) == 1


def test_slices_share_memory():
    rows = SparseRows.of(scipy.sparse.random_array((100, 50), density=0.2, format="csr"))
    assert np.shares_memory(rows[10:20].kept[0], rows.values)
    # Two numbers in a place, 12 bytes, and an edge.
    assert row_width(rows) <= 1 + (rows.n_kept * 16 + 101 * 8) / 800 + 1


def test_sums_over_rows_wrap_around_and_empty_rows_have_zero():
    rows = SparseRows(np.ones(3), np.array([0, 1, 0]), np.array([0, 0, 2, 2, 3]), 2)
    terms = np.array([2**63, 2**63, 7], np.uint64)
    np.testing.assert_array_equal(rows.row_sums(terms), np.array([0, 0, 0, 7], np.uint64))
