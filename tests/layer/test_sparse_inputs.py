"""Hidden layers of sparse rows: the same outputs as of the array, without ever making it; a scale about zero."""

import numpy as np
import pytest
import scipy.sparse

from daskelm.layer.layer import Layer
from daskelm.layer.neurons import KINDS, Neurons
from daskelm.layer.scale import CLIP, Scale
from daskelm.sparse import SparseRows

N, D = 400, 60
RNG = np.random.default_rng(5)
TABLE = scipy.sparse.random_array((N, D), density=0.1, rng=RNG, format="csr")
TABLE.data = RNG.normal(size=TABLE.nnz)
ROWS = SparseRows.of(TABLE)
DENSE = TABLE.toarray()
PROJECTIONS = ["lin", "sigm", "tanh", "relu", np.sin]


def layer_of(kinds, scale, dtype="float64"):
    return Layer.draw([(7, kind) for kind in kinds], D, 3, np.dtype(dtype), scale)


@pytest.mark.parametrize("kind", [*KINDS, np.sin])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("scale", [None, Scale.of(ROWS), Scale.of(DENSE)], ids=["none", "about zero", "centred"])
def test_outputs_are_those_of_the_array(kind, dtype, scale):
    layer = layer_of([kind], scale, dtype)
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(layer(ROWS), layer(DENSE), rtol=tolerance, atol=tolerance)
    order = RNG.permutation(N)[:50]
    minus = np.full(7, 0.25, dtype)
    np.testing.assert_allclose(
        layer(ROWS, order=order, minus=minus), layer(DENSE[order]) - minus, rtol=tolerance, atol=tolerance
    )


def test_given_neurons_see_sparse_inputs_as_they_are():
    neurons = Neurons("tanh", RNG.normal(size=(D, 4)), RNG.normal(size=4))
    layer = Layer.draw([neurons, (5, "tanh")], D, 0, np.dtype("float64"), Scale.of(ROWS))
    np.testing.assert_allclose(layer(ROWS)[:, :4], neurons(DENSE), rtol=1e-12)
    np.testing.assert_allclose(layer(ROWS), layer(DENSE), rtol=1e-12)


def test_no_array_is_made_where_a_product_suffices(monkeypatch):
    def refuse(self):
        raise AssertionError("an array was made")

    layer = layer_of(PROJECTIONS[1:], Scale.of(ROWS))
    monkeypatch.setattr(SparseRows, "toarray", refuse)
    assert layer(ROWS).shape == (N, 28)
    # The test can fail: distances need all numbers.
    with pytest.raises(AssertionError, match="an array was made"):
        layer_of(["rbf_l2"], Scale.of(ROWS))(ROWS)


def test_few_rows_become_an_array_at_once(monkeypatch):
    most = []
    whole = SparseRows.toarray
    monkeypatch.setattr(SparseRows, "toarray", lambda self: most.append(len(self)) or whole(self))
    monkeypatch.setattr("daskelm.layer.layer._DENSE_BYTES", 8 * D * 10)
    layer = layer_of(["rbf_l1"], None)
    np.testing.assert_allclose(layer(ROWS), layer(DENSE), rtol=1e-12)
    assert max(most) == 10
    assert sum(most) == N


def test_zero_stays_zero_and_squares_of_a_row_add_up_to_the_number_of_columns():
    scale = Scale.of(ROWS)
    assert not scale.is_centred
    assert not scale.mean.any()
    Z = scale(ROWS).toarray()
    assert (Z[DENSE == 0] == 0).all()
    assert np.square(Z).sum(axis=1).mean() == pytest.approx(D)
    np.testing.assert_allclose(scale(DENSE), Z, rtol=1e-14)


def test_units_of_columns_do_not_matter():
    units = 10.0 ** RNG.integers(-250, 250, D)
    scaled = SparseRows.of(scipy.sparse.csr_array(DENSE * units))
    np.testing.assert_allclose(Scale.of(scaled)(scaled).toarray(), Scale.of(ROWS)(ROWS).toarray(), rtol=1e-9)


def test_marks_of_words_are_alike_however_rare():
    words = scipy.sparse.csr_array((RNG.random((N, D)) < np.linspace(0.01, 0.5, D)).astype(float))
    scale = Scale.of(SparseRows.of(words))
    seen = np.isfinite(scale.scale)
    assert len(set(scale.scale[seen].tolist())) == 1


def test_weights_are_repeated_rows_and_their_scale_does_not_matter():
    weights = RNG.integers(0, 4, N)
    repeated = SparseRows.of(TABLE[np.repeat(np.arange(N), weights)])
    expected = Scale.of(repeated).scale
    for factor in (1.0, 1e-40, 7.5e30):
        np.testing.assert_allclose(Scale.of(ROWS, weights * factor).scale, expected, rtol=1e-12)


def test_outliers_are_clipped():
    far = DENSE.copy()
    far[0, 0] = 1e6
    rows = SparseRows.of(scipy.sparse.csr_array(far))
    scale = Scale.of(rows)
    usual = np.abs(scale(rows).toarray()[1:]).max()
    factor = scale.clip / CLIP
    assert scale(rows).toarray()[0, 0] <= CLIP * factor
    assert usual <= CLIP * factor


def test_columns_of_zeros_enter_no_neuron_or_have_the_typical_scale():
    table = DENSE.copy()
    table[:, 3] = 0
    scale = Scale.of(SparseRows.of(scipy.sparse.csr_array(table)))
    assert np.isinf(scale.scale[3])
    later = SparseRows.of(scipy.sparse.csr_array(DENSE))
    assert not scale(later).toarray()[:, 3].any()
    typical = scale.with_typical()
    assert typical.scale[3] == np.median(np.delete(scale.scale, 3))
    np.testing.assert_array_equal(np.delete(typical.scale, 3), np.delete(scale.scale, 3))


def test_nothing_but_zeros_has_a_scale():
    scale = Scale.of(SparseRows.of(scipy.sparse.csr_array((5, 3))))
    assert np.isinf(scale.scale).all()
    assert scale.clip == CLIP


def test_lin_neurons_of_many_inputs_make_no_square():
    # A unit matrix of 200,000 columns has 320 GB.
    layer = Layer.draw([(3, "lin"), (2, "tanh")], 200_000, 0, np.dtype("float64"), None)
    rows = SparseRows(np.array([1.5, -2.0]), np.array([1, 199_999]), np.array([0, 2]), 200_000)
    np.testing.assert_array_equal(layer(rows)[0, :3], [0.0, 1.5, 0.0])
