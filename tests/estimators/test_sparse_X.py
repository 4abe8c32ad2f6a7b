"""Sparse X in every container and method: one layer, one model, exact sums; and what is refused by name."""

import pickle
import warnings

import dask.array as da
import h5py
import numpy as np
import pytest
import scipy.sparse
from click.testing import CliRunner
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline

from daskelm import (
    ELMClassifier,
    ELMClassifierCV,
    ELMRegressor,
    ELMRegressorCV,
    HiddenLayer,
    NormalEquations,
    from_hdf5,
    load,
    make_hdf5,
)
from daskelm.cli.commands import cli
from daskelm.exceptions import (
    DataError,
    InputTypeError,
    InsufficientMemoryError,
    ParameterError,
    RowsCountedError,
    ScaleWarning,
)

N, D = 900, 120
RNG = np.random.default_rng(4)
TABLE = scipy.sparse.random_array((N, D), density=0.08, rng=RNG, format="csr")
TABLE.data = RNG.normal(size=TABLE.nnz)
TABLE.data[TABLE.indices == 7] *= 1e6
TABLE.data[TABLE.indices == 8] = 0
TABLE.eliminate_zeros()
TABLE.sum_duplicates()
Y = np.tanh(TABLE[:, :4].sum(axis=1)) + TABLE[:, 10:15].sum(axis=1) + 0.1 * RNG.normal(size=N)
LABELS = np.digitize(Y, [-0.5, 0.5])
WEIGHTS = RNG.integers(0, 3, N).astype(float)
NEURONS = [(5, "lin"), (40, "tanh"), (6, "relu")]


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def two_files():
    make_hdf5(TABLE[:350], "part0.h5")
    make_hdf5(TABLE[350:], "part1.h5", compression="gzip")
    return ["part0.h5", "part1.h5"]


def one_file():
    return make_hdf5(TABLE, "X.h5")


def slices(X):
    return da.concatenate([X[:5], X[5:]])


CONTAINERS = {
    "csr_array": lambda: TABLE,
    "csr_matrix": lambda: scipy.sparse.csr_matrix(TABLE),
    "csc": lambda: TABLE.tocsc(),
    "coo": lambda: TABLE.tocoo(),
    "lil": lambda: TABLE.tolil(),
    "file": one_file,
    "two files": two_files,
    "lazy file": lambda: from_hdf5(one_file(), chunks=111),
    "slices of a lazy file": lambda: slices(from_hdf5(one_file())),
    "dask": lambda: da.from_array(TABLE, chunks=(N, -1)),
    "dask, small chunks": lambda: da.from_array(TABLE, chunks=(97, -1)),
    "dask, columns in chunks": lambda: da.from_array(TABLE, chunks=(300, 50)),
    "dask of csr_matrix": lambda: da.from_array(scipy.sparse.csr_matrix(TABLE), chunks=(200, -1)),
    "persisted": lambda: da.from_array(TABLE, chunks=(200, -1)).persist(),
}


@pytest.fixture(params=CONTAINERS, ids=lambda name: name.replace(" ", "_"))
def container(request):
    return CONTAINERS[request.param]()


def regressor(**options):
    return ELMRegressor(**{"neurons": NEURONS, "random_state": 0, **options})


def test_the_model_is_one(container):
    plain, model = regressor().fit(TABLE, Y), regressor().fit(container, Y)
    assert model.hidden_layer_.fingerprint == plain.hidden_layer_.fingerprint
    np.testing.assert_allclose(model.coef_, plain.coef_, rtol=1e-8, atol=1e-10)
    assert model.alpha_ == pytest.approx(plain.alpha_)
    np.testing.assert_allclose(np.asarray(model.predict(container)), plain.predict(TABLE), rtol=1e-9, atol=1e-10)
    assert model.score(container, Y) == pytest.approx(plain.score(TABLE, Y))


def test_weights_classes_and_probabilities(container):
    plain = ELMClassifier(NEURONS, random_state=0).fit(TABLE, LABELS, sample_weight=WEIGHTS)
    model = ELMClassifier(NEURONS, random_state=0).fit(container, LABELS, sample_weight=WEIGHTS)
    np.testing.assert_allclose(
        np.asarray(model.predict_proba(container)), plain.predict_proba(TABLE), rtol=1e-6, atol=1e-8
    )
    assert model.score(container, LABELS) == plain.score(TABLE, LABELS)


@pytest.mark.parametrize("cv", [None, "gcv", "loo", 3, KFold(3, shuffle=True, random_state=0)], ids=str)
def test_selection(container, cv):
    plain = ELMRegressorCV(NEURONS, cv=cv, random_state=0).fit(TABLE, Y)
    model = ELMRegressorCV(NEURONS, cv=cv, random_state=0).fit(container, Y)
    assert model.alpha_ == pytest.approx(plain.alpha_)
    np.testing.assert_allclose(model.coef_, plain.coef_, rtol=1e-7, atol=1e-9)


def test_scores_of_rows_choose_the_model(container):
    options = {"cv": 3, "scoring": "neg_log_loss", "n_neurons": [10, 51], "alphas": [0.1, 10.0], "random_state": 0}
    plain = ELMClassifierCV(NEURONS, **options).fit(TABLE, LABELS)
    model = ELMClassifierCV(NEURONS, **options).fit(container, LABELS)
    np.testing.assert_allclose(model.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"], rtol=1e-9)


def test_hidden_outputs(container):
    plain = HiddenLayer(NEURONS, random_state=0).fit(TABLE)
    model = HiddenLayer(NEURONS, random_state=0).fit(container)
    np.testing.assert_allclose(np.asarray(model.transform(container)), plain.transform(TABLE), rtol=1e-12)


def test_dense_rows_and_sparse_rows_have_the_same_sums_in_one_layer():
    drawn = regressor().initialize(TABLE)
    sparse, dense = pickle.loads(pickle.dumps(drawn)), pickle.loads(pickle.dumps(drawn))
    sparse.partial_fit(TABLE, Y)
    dense.partial_fit(TABLE.toarray(), Y)
    np.testing.assert_allclose(sparse.normal_equations_.packed, dense.normal_equations_.packed, rtol=1e-10, atol=1e-12)
    # Folds are by content, and content is the same.
    for a, b in zip(sparse.normal_equations_.folds, dense.normal_equations_.folds, strict=True):
        assert a.n_samples == b.n_samples
        np.testing.assert_array_equal(a.distinct, b.distinct)
    assert sparse.alpha_ == pytest.approx(dense.alpha_)


def test_a_model_of_dense_rows_takes_sparse_ones(container):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScaleWarning)
        model = regressor().fit(TABLE.toarray(), Y)
    np.testing.assert_allclose(np.asarray(model.predict(container)), model.predict(TABLE.toarray()), rtol=1e-9)


def test_any_cut_has_the_same_sums():
    whole = regressor().fit(TABLE, Y)
    parts = [regressor().initialize(TABLE).partial_fit(TABLE[a:b], Y[a:b]) for a, b in [(0, 1), (1, 500), (500, N)]]
    first = parts[0].hidden_layer_.fingerprint
    assert all(part.hidden_layer_.fingerprint == first for part in parts)
    total = sum((part.normal_equations_ for part in parts[1:]), parts[0].normal_equations_)
    again = regressor().initialize(TABLE).partial_fit(TABLE, Y).normal_equations_
    np.testing.assert_allclose(total.packed, again.packed, rtol=1e-10, atol=1e-12)
    assert whole.normal_equations_.n_samples == total.n_samples == N


def test_rows_of_files_are_counted_once_and_taken_away_again():
    make_hdf5(Y, "y.h5")
    files = two_files()
    model = regressor().initialize(TABLE)
    model.partial_fit(files, "y.h5")
    with pytest.raises(RowsCountedError, match=r"rows 0 to 349 of .*part0.h5:/data are counted in both"):
        model.partial_fit(files[0], from_hdf5("y.h5", rows=slice(0, 350)))
    rest = regressor().initialize(TABLE).partial_fit(files[0], from_hdf5("y.h5", rows=slice(0, 350)))
    left = model.normal_equations_ - rest.normal_equations_
    other = regressor().initialize(TABLE).partial_fit(files[1], from_hdf5("y.h5", rows=slice(350, N)))
    a, b = (sums.moments(centred=True) for sums in (left, other.normal_equations_))
    np.testing.assert_allclose(a.HH, b.HH, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(a.HT, b.HT, rtol=1e-9, atol=1e-9)


def test_a_pass_resumes_from_its_file():
    make_hdf5(Y, "y.h5")
    X = one_file()
    model = regressor().initialize(TABLE)
    model.save("model.h5")
    model.accumulate(from_hdf5(X, rows=slice(0, 300)), from_hdf5("y.h5", rows=slice(0, 300)), into="sums.h5")
    model.accumulate(X, "y.h5", into="sums.h5")
    sums = NormalEquations.load("sums.h5")
    assert sums.n_samples == N
    whole = regressor().initialize(TABLE).partial_fit(TABLE, Y).normal_equations_
    np.testing.assert_allclose(sums.packed, whole.packed, rtol=1e-9, atol=1e-12)


def test_workers_read_the_files_and_give_the_same_model(client):
    plain = regressor().fit(TABLE, Y)
    for X in (two_files(), da.from_array(TABLE, chunks=(200, -1))):
        model = regressor().fit(X, Y)
        np.testing.assert_allclose(model.coef_, plain.coef_, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(model.predict(X).compute(), plain.predict(TABLE), rtol=1e-9, atol=1e-10)


def test_saved_and_loaded():
    model = regressor().fit(TABLE, Y)
    model.save("model.h5")
    np.testing.assert_array_equal(load("model.h5").predict(TABLE), model.predict(TABLE))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(TABLE), model.predict(TABLE))


def test_the_graph_of_onnx_takes_dense_rows():
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("skl2onnx")
    from daskelm.onnx import to_onnx

    model = regressor().fit(TABLE, Y)
    session = runtime.InferenceSession(to_onnx(model).SerializeToString())
    [name] = [one.name for one in session.get_inputs()]
    [outputs] = session.run(None, {name: TABLE.toarray()})
    np.testing.assert_allclose(outputs.ravel(), model.predict(TABLE), rtol=1e-9, atol=1e-9)


def test_predictions_are_written():
    model = regressor().fit(TABLE, Y)
    model.predict(two_files(), out="p.h5")
    np.testing.assert_allclose(from_hdf5("p.h5").compute().ravel(), model.predict(TABLE), rtol=1e-12)


def test_the_curve_ends_in_the_model(container):
    model = regressor(tol=1e-9).fit(container, Y)
    np.testing.assert_allclose(model.coef_, regressor().fit(TABLE, Y).coef_, rtol=1e-6, atol=1e-8)


def test_the_check_before_the_work_reads_sparse_files():
    make_hdf5(Y, "y.h5")
    done = CliRunner().invoke(cli, ["check", one_file(), "y.h5", "--neurons", "20:tanh"])
    assert done.exit_code == 0, done.output
    # A file that cannot be read is reported.
    with h5py.File("X.h5", "a") as file:
        file["data/indices"][3] = 10**6
    done = CliRunner().invoke(cli, ["check", "X.h5", "y.h5", "--neurons", "20:tanh"])
    assert done.exit_code == 4
    assert "columns beyond 119" in done.output


def test_error_bars_and_calibration():
    model = regressor().fit(TABLE, Y)
    for part, whole in zip(
        model.predict(one_file(), return_std=True), model.predict(TABLE, return_std=True), strict=True
    ):
        np.testing.assert_allclose(part.compute(), whole, rtol=1e-9)
    plain, again = (ELMClassifier(NEURONS, alpha=1.0, random_state=0).fit(TABLE, LABELS) for _ in range(2))
    plain.calibrate(TABLE, LABELS)
    again.calibrate("X.h5", LABELS)
    np.testing.assert_allclose(again.predict_proba(TABLE), plain.predict_proba(TABLE), rtol=1e-9)


def test_frames_with_sparse_columns_are_sparse():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame.sparse.from_spmatrix(TABLE, columns=[f"word{i}" for i in range(D)])
    model = regressor().fit(frame, Y)
    assert model.hidden_layer_.fingerprint == regressor().fit(TABLE, Y).hidden_layer_.fingerprint
    assert model.feature_names_in_[3] == "word3"
    np.testing.assert_allclose(model.predict(frame), regressor().fit(TABLE, Y).predict(TABLE), rtol=1e-9)


def test_words_of_texts():
    texts = [f"{'good' if i % 2 else 'bad'} film number {i}" for i in range(400)]
    model = make_pipeline(HashingVectorizer(n_features=2**17), ELMClassifier(random_state=0))
    model.fit(texts, np.arange(400) % 2)
    # Inputs are not passed through, of 131,072 columns.
    assert model[-1].hidden_layer_.n_neurons == 1000
    assert model.score(texts, np.arange(400) % 2) == 1.0


def test_few_columns_are_passed_through_as_in_dense_rows():
    assert ELMRegressor(random_state=0).fit(TABLE, Y).hidden_layer_.n_neurons == D + 200


def test_many_columns_fit_in_little_memory():
    # As an array, these rows would have 1.6 TB.
    wide = scipy.sparse.csr_array((np.ones(2000), (np.arange(2000), np.arange(2000) * 50_000)), shape=(2000, 10**8))
    with pytest.raises(
        InsufficientMemoryError, match=r"needs about \d+.* GiB for the weights of 1000000 neurons of 100"
    ):
        ELMRegressor([(10**6, "tanh")]).fit(wide, np.zeros(2000))
    narrow = wide[:, ::500]
    assert narrow.shape[1] == 200_000
    assert ELMRegressor([(4, "tanh")], random_state=0).fit(narrow, np.arange(2000.0)).coef_.shape == (1, 4)


def test_first_rows_without_some_columns_scale_them_as_the_others():
    first = TABLE[:200].tolil()
    first[:, 0] = 0
    model = regressor().initialize(first.tocsr())
    scale = model.hidden_layer_.scale.scale
    assert scale[0] == np.median(np.delete(scale, [0, 8]))
    # A fit to all rows has seen all columns.
    assert np.isinf(regressor().fit(first.tocsr(), Y[:200]).hidden_layer_.scale.scale[[0, 8]]).all()


def test_columns_that_the_sample_misses_are_found_in_all_rows():
    n = 150_000
    rare = scipy.sparse.random_array((n, 5), density=0.4, rng=RNG, format="lil")
    rare[:, 4] = 0
    # Between two runs of the sample.
    rare[1000, 4] = 3.0
    model = ELMRegressor([(5, "tanh")], random_state=0).fit(rare.tocsr(), rare.tocsr()[:, 0].toarray().ravel())
    assert np.isfinite(model.hidden_layer_.scale.scale).all()


NAN = TABLE.copy()
NAN.data[500] = np.nan
ROW = int(np.searchsorted(NAN.indptr, 500, "right")) - 1


@pytest.mark.parametrize(
    ("X", "options", "error", "message"),
    [
        (NAN, {}, DataError, f"X must be finite; got NaN first in row {ROW}, column {NAN.indices[500]}"),
        (da.from_array(NAN, chunks=(100, -1)), {}, DataError, f"X must be finite; got NaN first in row {ROW}, column"),
        (TABLE, {"neurons": "auto"}, ParameterError, "draws by rows need dense X; got sparse rows"),
        (TABLE, {"neurons": [(5, "tanh", "pairs")]}, ParameterError, "draws by rows need dense X; got sparse rows"),
        (TABLE, {"missing": "indicator"}, ParameterError, "missing='indicator' is for dense X"),
        (TABLE * 1j, {}, ValueError, "omplex"),
        (
            TABLE.sign() * 5e307,
            {},
            DataError,
            r"X: numbers must be smaller than 1e\+307 in magnitude to be standardized",
        ),
        (
            da.from_array(TABLE, chunks=(100, -1)).map_blocks(lambda block: block.toarray(), meta=TABLE[:0]),
            {},
            InputTypeError,
            "X: chunks must be sparse, of SciPy, of float64, as the dask array declares; got ndarray",
        ),
        (
            da.from_array(TABLE.toarray(), chunks=(100, -1)).map_blocks(scipy.sparse.csr_array, meta=np.zeros((0, 0))),
            {},
            InputTypeError,
            r"X: chunks must be NumPy arrays .* got csr_array .* declare meta=scipy.sparse.csr_array\(\(0, 0\)",
        ),
    ],
)
def test_refusals(X, options, error, message):
    with pytest.raises(error, match=message):
        ELMRegressor(**{"neurons": 5, **options}).fit(X, Y)


def test_only_X_may_be_sparse():
    with pytest.raises(
        InputTypeError, match=r"y must be dense, since only X may be sparse; got csr_array. Use y.toarray"
    ):
        ELMRegressor(5).fit(TABLE, TABLE[:, :2])
    with pytest.raises(InputTypeError, match="sample_weight must be dense"):
        ELMRegressor(5).fit(TABLE, Y, sample_weight=TABLE[:, :1])
    with pytest.raises(
        InputTypeError, match="y must be dense, since only X may be sparse; got a sparse table in .*X.h5"
    ):
        ELMRegressor(5).fit(np.eye(N), one_file())
    with pytest.raises(InputTypeError, match=r"sample_weight .its chunks. must be dense.*Use sample_weight.map_blocks"):
        ELMRegressor(5).fit(TABLE, Y, sample_weight=from_hdf5("X.h5"))
    with pytest.raises(DataError, match="X must have rows and columns; got a sparse array of shape"):
        ELMRegressor(5).fit(scipy.sparse.coo_array(np.arange(3.0)), Y[:3])


def test_sparse_rows_of_another_width_are_refused():
    model = regressor().fit(TABLE, Y)
    with pytest.raises(ValueError, match="X has 7 features, but ELMRegressor is expecting 120 features"):
        model.predict(TABLE[:, :7])
