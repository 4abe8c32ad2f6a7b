"""Bad input: the class is also the builtin a caller would catch, and the message has rule, finding and remedy."""

import dask.array as da
import numpy as np
import pytest
import scipy.sparse
from sklearn.exceptions import NotFittedError
from small_table import LABELS, X, Y

from daskelm import ELMClassifier, ELMRegressor, HiddenLayer, from_hdf5, load, make_hdf5
from daskelm.exceptions import DataError, NotSolvedError, ParameterError


def regressor(**options):
    return ELMRegressor(20, random_state=0, **options)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (
            lambda p: ELMRegressor(5).fit(X, scipy.sparse.csr_array(X)),
            TypeError,
            r"y must be dense.*Use y\.toarray\(\)",
        ),
        (
            lambda p: ELMRegressor(5).fit(X, Y[:9]),
            ValueError,
            "^X and y must have the same number of rows; X has 400, y has 9",
        ),
        (lambda p: ELMRegressor(5).fit(da.from_array(X), da.from_array(Y[:9])), ValueError, "X has 400, y has 9"),
        (lambda p: ELMRegressor([(5, "tahn")]).fit(X, Y), ValueError, "must be one of 'lin'.*got 'tahn'"),
        (lambda p: ELMRegressor([(5, "lin")]).fit(X, Y), ValueError, r"at most as many as inputs \(4\); got 5. Give"),
        (lambda p: ELMRegressor(5, alpha=-1).fit(X, Y), ValueError, "alpha must be a finite number >= 0.*got -1"),
        (lambda p: ELMRegressor(5, dtype="int8").fit(X, Y), ValueError, "dtype must be None.*got 'int8'"),
        (lambda p: ELMRegressor(5).fit(X[:0], Y[:0]), ValueError, "Found array with 0 sample"),
        (
            lambda p: ELMRegressor(5).fit(da.from_array(X)[:0], da.from_array(Y)[:0]),
            ValueError,
            r"got shape \(0, 4\)\.",
        ),
        (lambda p: ELMRegressor(5).fit(p / "x.h5", p / "y.h5").predict(X[:, :3]), ValueError, "X has 3 features, but"),
        (lambda p: ELMRegressor(5).fit(X, Y).predict(da.from_array(X[:, :3])), ValueError, "X has 3 features, but"),
        (lambda p: ELMRegressor(5).predict(X), NotFittedError, "is not fitted yet"),
        (lambda p: ELMRegressor(5).initialize(X).predict(X), NotFittedError, "nothing was added since"),
        (lambda p: ELMRegressor(5).accumulate(X, Y), NotFittedError, "accumulate needs the hidden layer. Call init"),
        (lambda p: ELMRegressor(5).coef_, AttributeError, "is not fitted yet"),
        (lambda p: ELMRegressor(5).fit(X, None), ValueError, "requires y to be passed"),
        (lambda p: ELMRegressor(5).fit(X, LABELS), TypeError, "y must hold numbers; got <U1. Use ELMClassifier"),
        (lambda p: ELMRegressor(5).fit(X, da.from_array(LABELS)), TypeError, "y must hold numbers.*ELMClassifier"),
        (lambda p: ELMRegressor(5).fit(da.from_array(LABELS[:, None]), Y), TypeError, "X must hold numbers; got <U1"),
        (lambda p: ELMRegressor(5).fit(X[:, 0], Y), ValueError, "Expected 2D array, got 1D array"),
        (lambda p: ELMRegressor(5).fit(da.from_array(X[:, 0]), Y), ValueError, "X must be 2-D.*Use X.reshape"),
        (lambda p: ELMRegressor(5).fit(X, Y, -np.ones(400)), ValueError, "must not be negative; got -1.*row 0"),
        (lambda p: ELMRegressor(5).fit(X, Y, np.zeros(400)), ValueError, "at least one (non-zero|row must)"),
        (lambda p: ELMRegressor(5).fit(X, Y, np.ones(9)), ValueError, "sample_weight.shape == "),
        (
            lambda p: ELMRegressor(5).fit(p / "x.h5", Y, np.ones(9)),
            ValueError,
            "^X and sample_weight must .* X has 400, sample_weight has 9",
        ),
        (lambda p: ELMRegressor(5).fit(p / "none.h5", Y), FileNotFoundError, r"none\.h5: no such file"),
        (lambda p: ELMRegressor(5).fit(p / "3d.h5", Y), KeyError, "exactly one 2-D numeric.*got data"),
        (lambda p: ELMRegressor(5).fit(from_hdf5(p / "3d.h5", "data"), Y), ValueError, r"got shape \(2, 3, 4\)"),
        (lambda p: ELMRegressor(5).fit(p / "cut.h5", Y), OSError, "is truncated"),
        (lambda p: ELMRegressor([(5, np.log)], random_state=0).fit(X, Y), ValueError, "gives NaN .*neuron 'log0'"),
        (
            lambda p: ELMRegressor(5, random_state=-3).fit(X, Y),
            ValueError,
            "random_state must be None.*got -3",
        ),
        (lambda p: ELMClassifier(5).fit(X, Y), ValueError, "Unknown label type"),
        (
            lambda p: ELMClassifier(5).fit(X, da.from_array(Y)),
            ValueError,
            r"must be classes; got continuous numbers such as [-\d.]+\. Use",
        ),
        (lambda p: ELMClassifier(5).fit(X, np.ones(400)), ValueError, "at least two classes; got 1 class"),
        (
            lambda p: ELMClassifier(5, random_state=0).initialize(X).solve(p / "sums.h5"),
            NotFittedError,
            "classes are not known",
        ),
        (lambda p: ELMClassifier(5).classes_, NotFittedError, "its classes are not known"),
        (lambda p: ELMRegressor(5).initialize(X).solve(p / "sums.h5"), ValueError, "of another hidden layer"),
        (lambda p: ELMRegressor(5).initialize(X).solve(p / "none*.h5"), FileNotFoundError, "no sums file matches"),
        (lambda p: ELMRegressor(5).initialize(X).solve([]), ValueError, "sums must be NormalEquations, a file"),
        (lambda p: ELMRegressor(5).initialize(X).accumulate(X, Y, slice(0, 401)), ValueError, "within the 400 rows"),
        (lambda p: load(p / "x.h5"), OSError, "not a daskelm model file, but an HDF5 file of another kind"),
        (lambda p: HiddenLayer(5).transform(X), NotFittedError, "transform needs the hidden layer"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in log")
def test_bad_input(tmp_path, build, error, message):
    make_hdf5(X, tmp_path / "x.h5")
    make_hdf5(Y, tmp_path / "y.h5")
    import h5py

    with h5py.File(tmp_path / "3d.h5", "w") as file:
        file["data"] = np.ones((2, 3, 4))
    make_hdf5(np.ones((20_000, 10)), tmp_path / "cut.h5")
    with open(tmp_path / "cut.h5", "r+b") as file:
        file.truncate(900_000)
    ELMRegressor(5, random_state=0).initialize(X).accumulate(X, Y, into=tmp_path / "sums.h5")
    with pytest.raises(error, match=message):
        build(tmp_path)


@pytest.mark.parametrize("build", [ELMRegressor, ELMClassifier])
def test_what_comes_too_early_is_called_by_its_name(build):
    blank, y = build(5, random_state=0), (Y > 0).astype(int)
    drawn = build(5, random_state=0).initialize(X, **({"classes": [0, 1]} if build is ELMClassifier else {}))
    methods = {"predict": (X,), "transform": (X,), "score": (X, y), "accumulate": (X, y), "remove": (X, y), "solve": ()}
    if build is ELMClassifier:
        methods |= {"predict_proba": (X,), "decision_function": (X,)}
    for name, arguments in methods.items():
        for lazily in (False, True):
            given = [da.from_array(a) for a in arguments] if lazily else arguments
            with pytest.raises(
                NotSolvedError, match=f"is not fitted yet: {name} needs the hidden layer. Call .*fit first"
            ):
                getattr(blank, name)(*given)
            if name in ("predict", "score", "solve", "predict_proba", "decision_function"):
                with pytest.raises(
                    NotSolvedError,
                    match=f"nothing was added since its layer was drawn, and {name} needs sums .*partial_fit or accum",
                ):
                    getattr(drawn, name)(*given)
    for name in ("coef_", "intercept_", "alpha_", "rank_", "condition_number_"):
        assert not hasattr(blank, name)
        with pytest.raises(NotSolvedError, match=f"{name} needs the hidden layer"):
            getattr(blank, name)
        with pytest.raises(NotSolvedError, match=f"nothing was added .* and {name} needs sums"):
            getattr(drawn, name)


@pytest.mark.parametrize("random_state", [np.random.default_rng(0), "0", 2**32, -1])
def test_seeds_are_what_scikit_learn_takes(random_state):
    for model in (ELMRegressor(5, random_state=random_state), HiddenLayer(5, random_state=random_state)):
        with pytest.raises(ParameterError, match=r"^random_state must be .*take an int: int\(rng\.integers"):
            model.fit(X, Y)


def test_an_error_leaves_the_model_as_it_was():
    model = ELMRegressor(10, random_state=0).fit(X, Y)
    before = model.predict(X)
    bad = X.copy()
    bad[3, 3] = np.nan
    for call in (model.fit, model.partial_fit):
        with pytest.raises(DataError, match="row 3"):
            call(bad, Y)
        np.testing.assert_array_equal(model.predict(X), before)


def test_a_failed_fit_leaves_the_model_as_it_was():
    model = regressor().fit(X, Y)
    expected = model.predict(X)
    for call in (model.fit, model.initialize):
        with pytest.raises(ValueError, match="must be finite"):
            call(np.full((400, 3), np.nan), Y)
        assert model.n_features_in_ == 4
        np.testing.assert_array_equal(model.predict(X), expected)


def test_types_of_the_layer():
    for dtype in ("f4", "foo", float, np.int8):
        with pytest.raises(ParameterError, match="dtype must be None"):
            regressor(dtype=dtype).fit(X, Y)
    for dtype in (np.float32, np.dtype("f4"), "float32"):
        assert regressor(dtype=dtype).fit(X, Y).hidden_layer_.dtype == np.float32
