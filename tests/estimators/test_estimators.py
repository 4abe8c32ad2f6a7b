"""The estimators by themselves: scikit-learn's contract, precision, bad input, what each method promises."""

import copy
import pickle

import dask.array as da
import joblib
import numpy as np
import pytest
import reference
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, make_multilabel_classification
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.metrics import brier_score_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from daskelm import ELMClassifier, ELMRegressor, HiddenLayer, Neurons, NormalEquations, from_hdf5, load, make_hdf5
from daskelm.exceptions import (
    DataError,
    IllConditionedWarning,
    IncompatibleSumsError,
    InputTypeError,
    NotSolvedError,
    ParameterError,
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((400, 4))
Y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * RNG.standard_normal(400)
LABELS = np.array(["a", "b", "c"])[np.digitize(Y, [-0.5, 0.5])]


@parametrize_with_checks(
    [
        ELMRegressor(20),
        ELMRegressor(),
        ELMRegressor([(1, "lin"), (10, "rbf_l2")], alpha=1e-3),
        ELMClassifier(20),
        ELMClassifier(),
        HiddenLayer(20),
        HiddenLayer(),
    ]
)
# Some checks begin with a few rows, and go on with others.
@pytest.mark.filterwarnings("ignore:.*rests on these first:daskelm.exceptions.ScaleWarning")
def test_scikit_learn(monkeypatch, estimator, check):
    if "array_api" in str(check):
        monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    check(estimator)


# Right answers where it is easy to be wrong


def test_a_target_around_1e9():
    shift = 1e9
    plain = ELMRegressor(50, alpha=1e-3, random_state=0).fit(X, Y)
    moved = ELMRegressor(50, alpha=1e-3, random_state=0).fit(X, Y + shift)
    # Y + 1e9 itself is rounded to 1e-7; the model adds nothing to that.
    np.testing.assert_allclose(moved.predict(X) - shift, plain.predict(X), atol=3e-7)
    np.testing.assert_allclose(moved.coef_, plain.coef_, atol=3e-5)


@pytest.mark.parametrize("alpha", [1e-3, 1.0, 100.0])
def test_a_fit_is_the_reference(alpha):
    W, b = reference.draw(X.shape[1], 30)
    H, T, weights = reference.hidden(X, W, b), Y[:, None], RNG.uniform(0.5, 2, len(X))
    B, intercept = reference.solve(*reference.sums(H, T, weights), alpha)
    model = ELMRegressor([Neurons("tanh", W, b)], alpha=alpha).fit(X, T, sample_weight=weights)
    np.testing.assert_allclose(model.coef_, B.T, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(model.predict(X), reference.predict(H, B, intercept), atol=1e-8)


def test_a_target_around_1e9_in_parts_that_differ():
    order = np.argsort(Y)
    steps = Y + 1e9 + 1e5 * (np.arange(400) > 200)
    model = ELMRegressor(50, alpha=1e-3, random_state=0).initialize(X)
    for rows in np.array_split(order, 7):
        model.partial_fit(X[rows], steps[rows])
    H = model.transform(X).astype(np.longdouble)
    t = steps.astype(np.longdouble)
    h, t_mean = H - H.mean(axis=0), t.mean()
    A = (h.T @ h + np.longdouble(1e-3) * np.eye(50)).astype(np.longdouble)
    B = _solve_in_long_double(A, h.T @ (t - t_mean))
    expected = (h @ B + t_mean).astype(np.float64)
    np.testing.assert_allclose(model.predict(X), expected, atol=1e-3 * 1e5 * 1e-5)


def _solve_in_long_double(A, b):
    """Refined by residuals in long double, which NumPy's solver does not do."""
    x = np.zeros(len(b), np.longdouble)
    for _ in range(6):
        x = x + np.linalg.solve(A.astype(np.float64), (b - A @ x).astype(np.float64))
    return x


def test_a_column_of_epoch_seconds():
    seconds = 1_700_000_000 + 3600.0 * np.arange(400)
    hour = (seconds / 3600) % 24
    target = np.sin(hour / 24 * 2 * np.pi) + seconds * 1e-6
    around_zero = np.c_[X, (seconds - seconds.mean()) / seconds.std()]
    raw = np.c_[X, seconds]
    for dtype, tolerance in (("float64", 1e-6), ("float32", 2e-3)):
        a = ELMRegressor(60, alpha=1e-2, random_state=0, dtype=dtype).fit(around_zero, target).predict(around_zero)
        b = ELMRegressor(60, alpha=1e-2, random_state=0, dtype=dtype).fit(raw, target).predict(raw)
        np.testing.assert_allclose(b, a, atol=tolerance * np.ptp(target))


def test_float32_input_is_accumulated_in_float64():
    many = RNG.standard_normal((20_000, 4)).astype("f4")
    target = np.sin(2 * many[:, 0]) + 100
    single = ELMRegressor(50, alpha=1e-2, random_state=0).fit(many, target)
    double = ELMRegressor(50, alpha=1e-2, random_state=0).fit(many.astype("f8"), target)
    assert single.hidden_layer_.dtype == np.float32
    assert single.coef_.dtype == np.float64
    assert single.predict(many).dtype == np.float32
    assert double.predict(many).dtype == np.float64
    np.testing.assert_allclose(single.predict(many), double.predict(many), atol=2e-4)
    # Sums themselves are float64: the rounding of H alone does not grow with the number of rows.
    H = single.transform(many).astype(np.float64)
    np.testing.assert_allclose(single.normal_equations_.HH, H.T @ H, rtol=1e-12, atol=1e-9 * len(many))


def test_a_duplicated_neuron():
    W, b = RNG.standard_normal((4, 10)), RNG.standard_normal(10)
    twice = Neurons("tanh", np.c_[W, W[:, :1]], np.r_[b, b[:1]])
    with pytest.warns(IllConditionedWarning, match="rank 10 out of 11"):
        model = ELMRegressor(twice, alpha=0.0).fit(X, Y)
    assert model.rank_ == 10
    once = ELMRegressor(Neurons("tanh", W, b), alpha=0.0).fit(X, Y)
    np.testing.assert_allclose(model.predict(X), once.predict(X), atol=1e-9)
    assert once.rank_ == 10
    assert 1 < once.condition_number_ < 1e8
    # With a penalty nothing is singular; against float80 arithmetic.
    model = ELMRegressor(twice, alpha=1e-6).fit(X, Y)
    H = model.transform(X).astype(np.longdouble)
    h, t = H - H.mean(axis=0), Y - Y.mean()
    B = _solve_in_long_double(h.T @ h + np.longdouble(1e-6) * np.eye(11), h.T @ t)
    np.testing.assert_allclose(model.predict(X), (h @ B + Y.mean()).astype(float), atol=1e-8)


# What the methods promise


@pytest.mark.parametrize("spec", [30, None, [(4, "lin"), (10, "relu")], [Neurons("sigm", X[:5].T, np.zeros(5))]])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_equals_hidden_layer_and_ridge(spec, fit_intercept):
    pipeline = make_pipeline(HiddenLayer(spec, random_state=0), Ridge(1.0, fit_intercept=fit_intercept)).fit(X, Y)
    model = ELMRegressor(spec, alpha=1.0, fit_intercept=fit_intercept, random_state=0).fit(X, Y)
    np.testing.assert_allclose(model.predict(X), pipeline.predict(X), atol=1e-9)


def test_condition_numbers_are_of_the_norms_that_are_told():
    model = ELMRegressor(20, random_state=0).fit(X, Y)

    def exact(norm):
        A = model.normal_equations_.moments(centred=True).HH
        return np.linalg.cond(A + model.alpha_ * np.eye(len(A)), norm)

    assert model.condition_number_ == pytest.approx(exact(2), rel=1e-6)
    for call in (lambda: model.set_params(alpha=0.1).solve(), lambda: model.select(n_neurons=[5, 20])):
        call()
        # LAPACK's estimate is from below.
        assert exact(2) < model.condition_number_ <= 1.001 * exact(1)
        assert exact(2) < exact(1) < len(model.coef_[0]) * exact(2)


def test_predictions_from_a_file_are_cut_by_their_work(tmp_path):
    few = make_hdf5((200_000, 2), tmp_path / "few.h5")
    many = ELMRegressor(1000, alpha=1.0, random_state=0).fit(np.eye(3, 2), np.arange(3.0)).predict(few)
    little = ELMRegressor(10, alpha=1.0, random_state=0).fit(np.eye(3, 2), np.arange(3.0)).predict(few)
    # At most 10^10 operations, 2 d + 2 c + 64 = 70 for each neuron and row, in whole chunks of the file.
    assert 142_857 // 2 < max(many.chunks[0]) <= 142_857
    assert little.chunks[0] == (200_000,)


def test_another_penalty_without_data():
    model = ELMRegressor(30, alpha=1.0, random_state=0).fit(X, Y)
    for alpha in (10.0, "gcv", 0.1):
        again = model.set_params(alpha=alpha).solve()
        assert again is model
        fresh = ELMRegressor(30, alpha=alpha, random_state=0).fit(X, Y)
        np.testing.assert_array_equal(model.coef_, fresh.coef_)
        assert model.alpha_ == fresh.alpha_


def test_parts_are_the_whole_and_are_solved_when_used():
    whole = ELMRegressor(30, random_state=0).fit(X, Y)
    model = ELMRegressor(30, random_state=0).initialize(X)
    for rows in np.array_split(np.arange(400), 9):
        assert model.partial_fit(X[rows], Y[rows]) is model
        assert model._fitted.solution is None
    np.testing.assert_allclose(model.predict(X), whole.predict(X), atol=1e-8)
    assert model.normal_equations_.n_samples == 400


def test_fit_draws_anew_and_partial_fit_keeps_the_layer():
    model = ELMRegressor(10).fit(X, Y)
    first = model.hidden_layer_
    assert model.partial_fit(X, Y).hidden_layer_ is first
    assert model.normal_equations_.n_samples == 800
    assert model.fit(X, Y).hidden_layer_.fingerprint != first.fingerprint
    assert model.normal_equations_.n_samples == 400
    given = ELMRegressor(Neurons("tanh", X[:5].T, np.zeros(5)))
    assert given.fit(X, Y).hidden_layer_.fingerprint == given.fit(X[:50], Y[:50]).hidden_layer_.fingerprint


def test_sums_of_two_sites_and_of_one_less():
    model = ELMRegressor(30, alpha=1.0, random_state=0).initialize(X)
    north = clone(model).initialize(X).partial_fit(X[:150], Y[:150]).normal_equations_
    south = clone(model).initialize(X).partial_fit(X[150:], Y[150:]).normal_equations_
    both = model.solve(north + south).predict(X)
    np.testing.assert_allclose(both, ELMRegressor(30, alpha=1.0, random_state=0).fit(X, Y).predict(X), atol=1e-9)
    alone = model.solve((north + south) - south).predict(X)
    np.testing.assert_allclose(alone, model.solve(north).predict(X), atol=1e-8)


def test_training_error_comes_from_the_sums_alone():
    model = ELMRegressor(30, random_state=0).fit(X, Y)
    error = model.normal_equations_.squared_error(model.coef_, model.intercept_)
    np.testing.assert_allclose(error, np.sum((Y - model.predict(X)) ** 2), rtol=1e-9)


def test_seven_shapes_of_y():
    for y, shape in [(Y, (400,)), (Y[:, None], (400, 1)), (np.c_[Y, -Y], (400, 2)), (Y.tolist(), (400,))]:
        model = ELMRegressor(10, random_state=0).fit(X, y)
        assert model.predict(X).shape == shape
        assert model.coef_.shape == (shape[1] if len(shape) > 1 else 1, 10)
        assert model.intercept_.shape == (shape[1] if len(shape) > 1 else 1,)
        lazy = ELMRegressor(10, random_state=0).fit(da.from_array(X, chunks=99), da.from_array(np.array(y), chunks=50))
        assert lazy.predict(da.from_array(X, chunks=99)).shape == shape


def test_outputs_of_several_targets_are_those_of_each():
    model = ELMRegressor(20, alpha=1.0, random_state=0).fit(X, np.c_[Y, Y**2])
    np.testing.assert_allclose(
        model.predict(X)[:, 1], ELMRegressor(20, alpha=1.0, random_state=0).fit(X, Y**2).predict(X), atol=1e-10
    )


def test_results_in_kind(tmp_path):
    pandas = pytest.importorskip("pandas")
    frames = pytest.importorskip("dask.dataframe")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = ELMRegressor(10, random_state=0).fit(frame, Y)
    assert model.feature_names_in_.tolist() == list("abcd")
    expected = model.predict(frame)
    assert isinstance(expected, np.ndarray)
    lazy_frame = frames.from_pandas(frame, npartitions=3)
    lazy = model.predict(lazy_frame)
    assert isinstance(lazy, da.Array)
    np.testing.assert_allclose(lazy.compute(), expected)
    from_frame = ELMRegressor(10, random_state=0).fit(lazy_frame, frames.from_pandas(pandas.Series(Y), npartitions=3))
    assert from_frame.feature_names_in_.tolist() == list("abcd")
    np.testing.assert_allclose(from_frame.predict(frame), expected, atol=1e-9)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(lazy_frame.rename(columns={"a": "z"}))
    # What cannot have names is not warned of; what could have some is.
    lazy = model.predict(da.from_array(X)), model.predict(make_hdf5(X, tmp_path / "x.h5"))
    for found in lazy:
        np.testing.assert_allclose(found.compute(), expected, atol=1e-12)
    assert model.score(tmp_path / "x.h5", Y) == pytest.approx(model.score(frame, Y))
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.predict(X)
    with pytest.raises(ValueError, match="X has 3 features, but ELMRegressor is expecting 4"):
        model.predict(da.from_array(X[:, :3]))


def test_dask_arrays_of_unknown_lengths():
    x, y = da.from_array(X, chunks=60), da.from_array(Y, chunks=60)
    keep = x[:, 0] > 0
    model = ELMRegressor(10, random_state=0).fit(x[keep], y[keep])
    expected = ELMRegressor(10, random_state=0).fit(X[X[:, 0] > 0], Y[X[:, 0] > 0])
    np.testing.assert_allclose(model.predict(X), expected.predict(X), atol=1e-9)
    assert model.score(x[keep], y[keep]) == pytest.approx(expected.score(X[X[:, 0] > 0], Y[X[:, 0] > 0]))


def test_scores_of_lazy_inputs_are_scikit_learns():
    two = np.c_[Y, Y**2]
    weights = RNG.uniform(0, 1, 400)
    model = ELMRegressor(10, random_state=0).fit(X, two)
    for x, y, w in [
        (da.from_array(X, chunks=33), two, None),
        (da.from_array(X, chunks=33), da.from_array(two, chunks=(150, 1)), da.from_array(weights, chunks=400)),
        (X, da.from_array(two, chunks=50), weights),
    ]:
        assert model.score(x, y, w) == pytest.approx(model.score(X, two, None if w is None else weights), rel=1e-12)
    constant = ELMRegressor(5, random_state=0).fit(X, np.ones(400))
    assert constant.score(da.from_array(X, chunks=33), np.ones(400)) == constant.score(X, np.ones(400)) == 1


def test_works_in_scikit_learns_tools():
    search = GridSearchCV(ELMRegressor(random_state=0), {"neurons": [5, 40], "alpha": [1e-2, "gcv"]}, cv=3).fit(X, Y)
    assert search.best_params_["neurons"] == 40
    assert cross_val_score(ELMClassifier(30, random_state=0), X, LABELS).mean() > 0.6
    H = HiddenLayer([(2, "lin"), (3, "tanh")], random_state=0).set_output(transform="pandas").fit_transform(X)
    assert H.columns.tolist() == ["lin0", "lin1", "tanh0", "tanh1", "tanh2"]


def test_methods_where_results_go_ask_for_no_metadata():
    import sklearn

    with sklearn.config_context(enable_metadata_routing=True):
        routing = ELMClassifier().get_metadata_routing()
    for method in ("predict", "predict_proba", "decision_function"):
        assert "out" not in getattr(routing, method).requests


# Classes


def test_probabilities_never_disagree_with_predictions():
    for labels in (LABELS, LABELS == "a"):
        for dtype in ("f4", "f8"):
            model = ELMClassifier(30, random_state=0).fit(X.astype(dtype), labels)
            p = model.predict_proba(X.astype(dtype))
            assert p.dtype == dtype
            assert (p >= 0).all()
            np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
            np.testing.assert_array_equal(model.classes_[p.argmax(axis=1)], model.predict(X.astype(dtype)))
            decision = model.decision_function(X.astype(dtype))
            by_decision = decision.argmax(axis=1) if decision.ndim == 2 else (decision > 0).astype(int)
            np.testing.assert_array_equal(model.classes_[by_decision], model.predict(X.astype(dtype)))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_all_that_is_predicted_goes_to_files(tmp_path, capsys, n_classes):
    x, labels = make_hdf5(X, tmp_path / "x.h5"), np.arange(400) % n_classes
    model = ELMClassifier(20, random_state=0, verbose=1).fit(X, labels)
    for name in ("predict", "predict_proba", "decision_function"):
        method = getattr(model, name)
        expected = method(X).reshape(400, -1)
        for given in (x, da.from_array(X, chunks=150), X):
            capsys.readouterr()
            assert method(given, out=tmp_path / "o.h5") == str(tmp_path / "o.h5")
            np.testing.assert_allclose(from_hdf5(tmp_path / "o.h5").compute(), expected, atol=1e-12)
            assert given is X or f"{name}: 400 of 400 rows" in capsys.readouterr().err
        with pytest.raises(ParameterError, match="out: .* is one of the files that X is read from"):
            method(x, out=x)


def test_probabilities_are_no_worse_than_the_outputs():
    model = ELMClassifier(200, alpha=1e-6, random_state=0).fit(X[:300], LABELS[:300])
    truth = np.eye(3)[np.searchsorted(model.classes_, LABELS[300:])]
    raw = np.square(model.decision_function(X[300:]) - truth).sum()
    assert np.square(model.predict_proba(X[300:]) - truth).sum() < raw


@pytest.mark.parametrize(
    "labels",
    [LABELS, LABELS.astype(object), LABELS == "a", (LABELS == "a") - 5.0, np.searchsorted(["a", "b"], LABELS) - 1],
    ids=["str", "object", "bool", "float", "int"],
)
def test_labels_of_any_type(labels, tmp_path):
    model = ELMClassifier(30, random_state=0).fit(X, labels)
    predicted = model.predict(X)
    assert predicted.dtype == np.asarray(labels).dtype
    assert (predicted == labels).mean() > 0.7
    model.save(tmp_path / "m.h5")
    again = load(tmp_path / "m.h5")
    np.testing.assert_array_equal(again.predict(X), predicted)
    assert again.predict(X).dtype == predicted.dtype


def test_classes_from_parts():
    whole = ELMClassifier(20, random_state=0).fit(X, LABELS)
    for model in (
        ELMClassifier(20, random_state=0).initialize(X, LABELS),
        ELMClassifier(20, random_state=0).initialize(X, classes=["c", "a", "b"]),
    ):
        order = np.argsort(LABELS)
        for rows in np.array_split(order, 6):
            # Sorted by label: most parts miss a class.
            model.partial_fit(X[rows], LABELS[rows])
        np.testing.assert_allclose(model.decision_function(X), whole.decision_function(X), atol=1e-8)
    model = ELMClassifier(20, random_state=0)
    with pytest.raises(ParameterError, match="classes must be passed on the first call to partial_fit"):
        model.partial_fit(X, LABELS)
    model.partial_fit(X, LABELS, classes=["a", "b", "c"])
    with pytest.raises(DataError, match=r"every label must be one of the classes \['a', 'b', 'c'\]; got \['d'\]"):
        model.partial_fit(X[:2], ["d", "a"])
    with pytest.raises(DataError, match=r"one of the classes .*got \[1, 2\]"):
        model.partial_fit(X[:2], [1, 2])
    words = ELMClassifier(20, random_state=0).initialize(X, LABELS.astype(object))
    with pytest.raises(InputTypeError, match="labels must be of the type of the classes"):
        words.partial_fit(X[:2], [1, 2])
    with pytest.raises(ParameterError, match="classes must stay the same"):
        model.partial_fit(X, LABELS, classes=["a", "b"])


def test_class_weights():
    weights = {"a": 3.0, "b": 0.5}
    # But for the scale of the inputs and GCV's number of rows, which take row weights only, they are the same.
    given = Neurons("tanh", X[:10].T, np.zeros(10))
    by_class = ELMClassifier(given, alpha=1.0, class_weight=weights).fit(X, LABELS)
    by_row = ELMClassifier(given, alpha=1.0).fit(X, LABELS, [weights.get(label, 1.0) for label in LABELS])
    np.testing.assert_allclose(by_class.predict_proba(X), by_row.predict_proba(X), atol=1e-9)
    balanced = ELMClassifier(given, class_weight="balanced").fit(X, LABELS)
    counts = {label: 400 / 3 / (label == LABELS).sum() for label in "abc"}
    np.testing.assert_allclose(
        balanced.coef_, ELMClassifier(given, class_weight=counts).fit(X, LABELS).coef_, rtol=1e-7
    )
    for class_weight, message in [
        ({"z": 1.0}, r"its keys must be labels among .*got 'z'"),
        ("even", "must be None, 'balanced' or a dict; got 'even'"),
    ]:
        with pytest.raises(ParameterError, match=message):
            ELMClassifier(5, class_weight=class_weight).fit(X, LABELS)
    with pytest.raises(ParameterError, match=r"'balanced' needs all rows at once.*Give a dict"):
        ELMClassifier(5, class_weight="balanced").initialize(X, LABELS)


def test_multi_label(tmp_path):
    x, labels = make_multilabel_classification(300, n_classes=4, random_state=0)
    model = ELMClassifier(50, random_state=0).fit(x, labels)
    p = model.predict_proba(x)
    assert p.shape == (300, 4)
    np.testing.assert_array_equal(model.predict(x), p > 0.5)
    np.testing.assert_array_equal(model.predict(x), model.decision_function(x) > 0)
    assert model.score(x, labels) == model.score(da.from_array(x, chunks=77), labels) > 0.3
    lazy = ELMClassifier(50, random_state=0).fit(make_hdf5(x, tmp_path / "x.h5"), make_hdf5(labels, tmp_path / "y.h5"))
    np.testing.assert_allclose(lazy.predict_proba(x), p, atol=1e-9)
    lazy.save(tmp_path / "m.h5")
    np.testing.assert_array_equal(load(tmp_path / "m.h5").predict(x), lazy.predict(x))
    with pytest.raises(ParameterError, match="class_weight does not apply to multi-label"):
        ELMClassifier(5, class_weight="balanced").fit(x, labels)
    with pytest.raises(DataError, match="zeros and ones only"):
        ELMClassifier(5, random_state=0).fit(da.from_array(x), da.from_array(labels * 3))


def test_brier_score_of_a_real_table():
    x, y = load_breast_cancer(return_X_y=True)
    model = ELMClassifier(random_state=0).fit(x[::2], y[::2])
    assert brier_score_loss(y[1::2], model.predict_proba(x[1::2])[:, 1]) < 0.06


# Bad input: the class is also the builtin a caller would catch, and the message has rule, finding and remedy.


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda p: ELMRegressor(5).fit(scipy.sparse.csr_array(X), Y), TypeError, r"X: sparse .*Use X\.toarray\(\)"),
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


# Keeping


@pytest.mark.parametrize(
    "model",
    [
        ELMRegressor(10, random_state=0).fit(X, Y),
        ELMRegressor(10, dtype="float32", alpha=3).fit(X, np.c_[Y, Y]),
        ELMRegressor([(2, "lin"), (3, np.sin), Neurons("rbf_l1", X[:3].T, np.ones(3))], random_state=0).fit(X, Y),
        ELMClassifier(10, class_weight={"a": 2.0}, random_state=0).fit(X, LABELS),
        ELMClassifier(10, random_state=np.random.RandomState(3)).fit(X, LABELS == "a"),
        ELMRegressor(10, random_state=np.int64(0), standardize=False).fit(X, Y),
    ],
    ids=lambda model: type(model).__name__,
)
def test_every_way_of_keeping_a_model(model, tmp_path):
    model.save(tmp_path / "m.h5")
    joblib.dump(model, tmp_path / "m.joblib")
    for again in (load(tmp_path / "m.h5"), pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "m.joblib")):
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        np.testing.assert_array_equal(again.transform(X), model.transform(X))
        np.testing.assert_array_equal(again.coef_, model.coef_)
        assert again.predict(X).dtype == model.predict(X).dtype
        assert (again.alpha_, again.rank_, again.condition_number_) == (
            model.alpha_,
            model.rank_,
            model.condition_number_,
        )
        assert repr(again.get_params()["neurons"])[:20] == repr(model.get_params()["neurons"])[:20]
        # More rows for a loaded model give what they give the original.
        if again.__class__ is ELMRegressor and hasattr(again, "normal_equations_"):
            assert again.normal_equations_.n_samples == 400
    assert not hasattr(load(tmp_path / "m.h5"), "normal_equations_")
    for again in (load(tmp_path / "m.h5"), load(tmp_path / "m.h5").set_params(alpha=1.0)):
        with pytest.raises(
            NotSolvedError,
            match=r"was saved without its sums, and solve needs them\. .*sums=True\), or .*solve\('sums\.h5'\)",
        ):
            again.solve()
    model.save(tmp_path / "m.h5", sums=True)
    again = load(tmp_path / "m.h5").set_params(alpha=5.0).solve()
    np.testing.assert_array_equal(again.coef_, clone_and_solve(model, 5.0).coef_)


def clone_and_solve(model, alpha):
    again = pickle.loads(pickle.dumps(model)).set_params(alpha=alpha)
    return again.solve()


def test_unsolved_models_are_kept_too(tmp_path):
    path = tmp_path / "m.h5"
    ELMRegressor([(3, "lin")], alpha=2.0).save(path)
    assert load(path).get_params()["neurons"] == [(3, "lin")]
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        load(path).predict(X)
    ELMRegressor(10, random_state=0).initialize(X).save(path)
    model = load(path).partial_fit(X, Y)
    np.testing.assert_allclose(model.predict(X), ELMRegressor(10, random_state=0).fit(X, Y).predict(X), atol=1e-9)
    model = ELMRegressor(10, random_state=0).initialize(X).partial_fit(X[:200], Y[:200])
    model.save(path, sums=True)
    assert load(path).partial_fit(X[200:], Y[200:]).normal_equations_.n_samples == 400
    ELMClassifier(10, random_state=0).initialize(X, LABELS).save(path)
    assert load(path).partial_fit(X[:5], LABELS[:5]).classes_.tolist() == ["a", "b", "c"]
    layer = HiddenLayer(10, random_state=0).fit(X)
    layer.save(path)
    np.testing.assert_array_equal(load(path).transform(X), layer.transform(X))
    names = pytest.importorskip("pandas").DataFrame(X, columns=list("abcd"))
    ELMRegressor(10).fit(names, Y).save(path)
    assert load(path).feature_names_in_.tolist() == list("abcd")


def test_what_cannot_be_kept_is_named(tmp_path):
    with pytest.raises(ParameterError, match="random_state: a model with this parameter cannot be saved"):
        ELMRegressor(random_state=np.random.RandomState(0)).save(tmp_path / "m.h5")
    days = np.array(["2020-01-01", "2020-01-02"], "M8[D]")[(LABELS == "a").astype(int)]
    with pytest.raises(ParameterError, match="classes of type date cannot be saved"):
        ELMClassifier(5).fit(X, days).save(tmp_path / "m.h5")
    assert list(tmp_path.iterdir()) == []


def test_five_steps_of_many_scripts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_hdf5(X, "dataX.hdf5")
    make_hdf5(Y, "dataT.hdf5")
    spec = [(4, "lin"), (5, "tanh"), (15, "sigm")]
    ELMRegressor(spec, random_state=0).initialize("dataX.hdf5").save("model.h5")
    for start in range(0, 400, 100):
        model = load("model.h5")
        assert model.accumulate("dataX.hdf5", "dataT.hdf5", rows=slice(start, start + 100), into="sums.h5") is model
        assert not hasattr(model, "normal_equations_")
    model = load("model.h5").solve("sums.h5")
    model.save("model.h5")
    assert model.predict("dataX.hdf5", out="predictedY.hdf5") == "predictedY.hdf5"
    whole = ELMRegressor(spec, random_state=0).fit("dataX.hdf5", "dataT.hdf5")
    np.testing.assert_allclose(from_hdf5("predictedY.hdf5").compute()[:, 0], whole.predict(X), atol=1e-9)
    assert load("model.h5").score("dataX.hdf5", "dataT.hdf5") == pytest.approx(whole.score(X, Y))
    assert NormalEquations.load("sums.h5").ledger == whole.normal_equations_.ledger
    load("model.h5").accumulate("dataX.hdf5", "dataT.hdf5", rows=slice(100, 200), into="sums.h5")
    assert NormalEquations.load("sums.h5").n_samples == 400
    load("model.h5").accumulate("dataX.hdf5", "dataT.hdf5", rows=slice(400, 400), into="sums.h5")
    # One file per script where there are no locks.
    for start in (0, 200):
        load("model.h5").accumulate(X, Y, rows=slice(start, start + 200), into=f"part-{start}.h5")
    for given in ("part-*.h5", ["part-0.h5", "part-200.h5"]):
        np.testing.assert_allclose(load("model.h5").solve(given).predict(X), whole.predict(X), atol=1e-9)
    with pytest.raises(IncompatibleSumsError, match="cannot add: layer fingerprint"):
        ELMRegressor(spec, random_state=1).initialize(X).accumulate(X, Y, into="sums.h5")


# Parameters that were changed after the layer was drawn

OTHERS = {
    "neurons": [12, [(2, "lin"), (3, "relu")], Neurons("tanh", X[:5].T, np.ones(5))],
    "standardize": [False],
    "dtype": ["float32"],
    "random_state": [1, None, np.random.RandomState(0)],
}
NEURONS = Neurons("tanh", X[:5].T, np.zeros(5))


def made(how, **params):
    """A model with sums, by one of the ways to make one."""
    model = ELMRegressor(**({"neurons": [(4, "lin"), (6, "tanh"), NEURONS], "random_state": 0} | params))
    if how == "fit":
        return model.fit(X, Y)
    if how == "partial_fit":
        return model.partial_fit(X, Y)
    return model.initialize(X).accumulate(X, Y)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("how", ["fit", "partial_fit", "initialize"])
def test_parameters_of_the_layer_cannot_be_changed(tmp_path, how, name):
    path = tmp_path / "m.h5"
    for value in OTHERS[name]:
        model = made(how)
        before, expected = model.get_params()[name], made(how).predict(X)
        model.save(path, sums=True)
        for again in (model, pickle.loads(pickle.dumps(model)), copy.deepcopy(model), load(path)):
            again.set_params(**{name: value})
            message = rf"^{name}: {{}} needs the value that the hidden layer and its sums were made with, .*Set it back"
            for method, arguments in [
                ("solve", ()),
                ("partial_fit", (X, Y)),
                ("accumulate", (X, Y)),
                ("accumulate", (X, Y, None, tmp_path / "sums.h5")),
                ("remove", (X, Y)),
                ("save", (tmp_path / "other.h5",)),
            ]:
                with pytest.raises(ParameterError, match=message.format(method)):
                    getattr(again, method)(*arguments)
            assert again.normal_equations_.n_samples == 400
            again.set_params(**{name: before}).solve()
            np.testing.assert_array_equal(again.predict(X), expected)
    assert [item.name for item in tmp_path.iterdir()] == ["m.h5"]


@pytest.mark.parametrize("name", OTHERS)
def test_a_new_layer_has_the_new_parameters(name):
    for value in OTHERS[name]:
        expected = made("fit", **{name: value})
        for model in (
            made("fit").set_params(**{name: value}).fit(X, Y),
            made("fit").set_params(**{name: value}).initialize(X).partial_fit(X, Y),
            clone(made("fit").set_params(**{name: value})).partial_fit(X, Y),
        ):
            if isinstance(value, int | list | str | Neurons):
                np.testing.assert_allclose(model.predict(X), expected.predict(X), atol=1e-6)
            model.set_params(alpha=1.0, fit_intercept=False, verbose=0).solve()
            assert model.alpha_ == 1.0
            np.testing.assert_array_equal(model.intercept_, 0)


def test_a_model_is_not_solved_behind_its_back_with_other_parameters():
    model = made("partial_fit").set_params(neurons=12)
    with pytest.raises(ParameterError, match="^neurons: predict needs the value"):
        model.predict(X)
    solved = made("fit").set_params(neurons=12)
    np.testing.assert_array_equal(solved.predict(X), made("fit").predict(X))


def test_class_weights_are_in_the_sums():
    weights = {"a": 3.0}
    model = ELMClassifier(10, class_weight=weights, random_state=0).fit(X, LABELS)
    weights["a"] = 5.0
    with pytest.raises(ParameterError, match=r"^class_weight: solve needs .*made with, {'a': 3\.0}; got {'a': 5\.0}"):
        model.solve()
    model.set_params(class_weight={"a": 3}).set_params(alpha=1.0).solve()
    for class_weight in (None, "balanced", {"a": 3.0, "b": 1.0}):
        model.set_params(class_weight=class_weight)
        with pytest.raises(ParameterError, match="^class_weight: partial_fit needs"):
            model.partial_fit(X, LABELS)
    model = ELMClassifier(10, class_weight="balanced", random_state=0).fit(X, LABELS)
    with pytest.raises(ParameterError, match="^class_weight: solve needs .*'balanced'; got None"):
        model.set_params(class_weight=None).solve()


def test_equal_values_are_no_change(tmp_path):
    given = [(4, "lin"), (3, np.sin), NEURONS]
    same = ((np.int64(4), "lin"), [3, np.sin], Neurons("tanh", NEURONS.W.copy(), NEURONS.b))
    model = ELMRegressor(given, random_state=0, dtype="float64").fit(X, Y)
    model.set_params(neurons=same, random_state=np.int64(0), dtype=np.dtype("f8")).solve().save(tmp_path / "m.h5")
    given[0] = (2, "lin")
    with pytest.raises(ParameterError, match="^neurons: solve needs"):
        model.set_params(neurons=given).solve()
    load(tmp_path / "m.h5").set_params(neurons=same).save(tmp_path / "m.h5")
    other = Neurons("tanh", NEURONS.W, NEURONS.b + 1)
    with pytest.raises(ParameterError, match="^neurons: save needs"):
        load(tmp_path / "m.h5").set_params(neurons=[*same[:2], other]).save(tmp_path / "m.h5")
    # A stream of random numbers is known as itself only.
    model = pickle.loads(pickle.dumps(ELMRegressor(5, random_state=np.random.RandomState(0)).fit(X, Y))).solve()
    with pytest.raises(ParameterError, match="^random_state: solve needs"):
        model.set_params(random_state=np.random.RandomState(0)).solve()


def test_a_hidden_layer_is_saved_as_what_it_is(tmp_path):
    layer = HiddenLayer(5, random_state=0).fit(X).set_params(neurons=9)
    assert layer.transform(X).shape == (400, 5)
    with pytest.raises(ParameterError, match=r"^neurons: save needs .*made with, 5; got 9\. Set it back"):
        layer.save(tmp_path / "m.h5")
    layer.fit(X).save(tmp_path / "m.h5")
    assert load(tmp_path / "m.h5").transform(X).shape == (400, 9)
