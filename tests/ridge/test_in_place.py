"""Factors that take the place of HH: the same numbers, fewer squares, and HH is put back."""

import numpy as np
import pytest

from daskelm.blas import eigenvectors
from daskelm.ridge.cholesky import CholeskyFactor, one_norm
from daskelm.ridge.eigen import EigenFactor

RNG = np.random.default_rng(0)


def gram(n, rank=None):
    H = RNG.standard_normal((3 * n, n))
    if rank is not None:
        H = H[:, :rank] @ RNG.standard_normal((rank, n))
    return H.T @ H


@pytest.mark.parametrize("n", [1, 2, 7, 130])
@pytest.mark.parametrize("room", [None, 0])
def test_eigenvectors_are_those_of_numpy_with_and_without_room(n, room):
    A = gram(n)
    values, vectors = eigenvectors(found := A.copy(), room=room)
    assert np.shares_memory(vectors, found)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(A), rtol=1e-12, atol=1e-12 * values[-1])
    np.testing.assert_allclose(vectors * values @ vectors.T, A, rtol=0, atol=1e-13 * n * values[-1])
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(n), rtol=0, atol=1e-13 * n)


def test_eigenvectors_refuse_what_they_cannot_overwrite():
    for A in (np.zeros((2, 3)), np.zeros((2, 2), np.float32), np.asfortranarray(gram(3))):
        with pytest.raises(TypeError, match="writable square C-contiguous float64"):
            eigenvectors(A)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("rank", [None, 5])
def test_an_eigenfactor_keeps_hh_unless_it_may_not(overwrite, rank):
    HH, HT = gram(20, rank), RNG.standard_normal((20, 2))
    before = HH.copy()
    factor = EigenFactor(HH, overwrite=overwrite)
    assert np.shares_memory(factor.vectors, HH) == overwrite
    assert (before == HH).all() != overwrite
    values, vectors = np.linalg.eigh(before)
    kept = values > 20 * np.finfo(float).eps * values[-1]
    assert kept.sum() == (rank or 20)
    expected = vectors[:, kept] @ (vectors[:, kept].T @ HT / values[kept, None])
    np.testing.assert_allclose(factor.solve(HT, 0.0), expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("n", [1, 2, 40, 300])
def test_a_cholesky_factor_puts_hh_back(n):
    HH, HT = gram(n), RNG.standard_normal((n, 3))
    before, plain = HH.copy(), CholeskyFactor(HH, 0.5)
    np.testing.assert_array_equal(HH, before)
    factor = CholeskyFactor(HH, 0.5, overwrite=True)
    assert np.shares_memory(factor.U, HH)
    assert (factor.safe, factor.rcond) == (plain.safe, plain.rcond)
    np.testing.assert_array_equal(factor.solve(HT), plain.solve(HT))
    factor.restore()
    np.testing.assert_array_equal(HH, before)
    # One that is not positive definite is put back as well.
    HH[0, 0] = -1
    before = HH.copy()
    factor = CholeskyFactor(HH, 0.0, overwrite=True)
    assert not factor.exists
    factor.restore()
    np.testing.assert_array_equal(HH, before)
    assert one_norm(HH) == pytest.approx(np.abs(before).sum(axis=0).max(), rel=1e-14)
