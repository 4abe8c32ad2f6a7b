"""What fitting made is one immutable value: failures leave it as it was, files and copies keep it whole."""

import copy
import dataclasses
import pickle
from collections import OrderedDict

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from daskelm import ELMClassifier, ELMClassifierCV, ELMRegressor, ELMRegressorCV, HiddenLayer, Neurons, load
from daskelm.estimators.callbacks import FitCallbacks
from daskelm.estimators.fitted import Fitted
from daskelm.exceptions import DataError, ParameterError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 4))
Y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
WORDS = np.array(["low", "middle", "high"])[np.digitize(Y, [-0.5, 0.5])]
CLASSES = (ELMRegressor, ELMClassifier, ELMRegressorCV, ELMClassifierCV, HiddenLayer)

MODELS = {
    "ELMRegressor": lambda: ELMRegressor(10, random_state=0).fit(X, Y),
    "ELMClassifier": lambda: ELMClassifier(10, class_weight="balanced", random_state=0).fit(X, WORDS),
    "ELMRegressorCV": lambda: ELMRegressorCV(10, n_neurons=[4, 10], ranking="omp", cv=3, random_state=0).fit(X, Y),
    "ELMClassifierCV": lambda: ELMClassifierCV(10, n_neurons=[4, 10], cv=3, random_state=0).fit(X, WORDS),
    "HiddenLayer": lambda: HiddenLayer(10, random_state=0).fit(X),
    "initialized": lambda: ELMRegressor(10, random_state=0).initialize(X, Y),
    "unsolved": lambda: ELMRegressor(10, random_state=0).partial_fit(X, Y),
    "unsolved labels": lambda: ELMClassifier(10, random_state=0).partial_fit(X, WORDS, classes=WORDS),
    "a curve": lambda: ELMRegressor(10, random_state=0).fit(X, Y, callback=lambda point: None),
    "selected": lambda: ELMRegressor(10, random_state=0).fit(X, Y).select(n_neurons=[4]),
    "not fitted": lambda: ELMRegressor([(2, "lin"), (3, np.sin)]),
}
COPIES = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


def by_joblib(model, folder):
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib")


def by_skops(model):
    sio = pytest.importorskip("skops.io")
    data = sio.dumps(model)
    return sio.loads(data, trusted=sio.get_untrusted_types(data=data))


def by_file(model, folder, **options):
    model.save(folder / "model.h5", **options)
    return load(folder / "model.h5")


def assert_same(a, b):
    """Two values of a state that are the same in all their parts, arrays to the last bit."""
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)
        return
    assert type(a) is type(b)
    if hasattr(a, "state"):
        assert_same(a.state(), b.state())
    elif dataclasses.is_dataclass(a):
        for field in dataclasses.fields(a):
            assert_same(getattr(a, field.name), getattr(b, field.name))
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for name, value in a.items():
            assert_same(value, b[name])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    else:
        assert a == b or (a != a and b != b)


@pytest.mark.parametrize("cls", CLASSES)
def test_at_most_five_classes_of_ours_stand_behind_an_estimator(cls):
    own = [base for base in cls.__mro__ if base.__module__.startswith("daskelm")]
    mixins = [base for base in own if base is FitCallbacks or base.__module__.endswith("_sklearn_compat")]
    assert len(own) - len(mixins) <= 5
    # Method sets do not inherit from one another.
    for base in own[1:]:
        assert [parent for parent in base.__mro__[1:] if parent in own and parent not in mixins] == []


@pytest.mark.parametrize("name", MODELS)
def test_what_was_fitted_is_one_immutable_value(name):
    model = MODELS[name]()
    made = set(vars(model)) - set(model.get_params())
    assert made == (set() if name == "not fitted" else {"_fitted"})
    for field in dataclasses.fields(Fitted) if made else ():
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(model._fitted, field.name, None)
    for attribute in ("hidden_layer_", "n_features_in_", "feature_names_in_"):
        with pytest.raises(AttributeError):
            setattr(model, attribute, None)


@pytest.mark.parametrize("cls", CLASSES)
def test_before_fit_there_is_no_attribute(cls):
    model = cls(10)
    names = ["hidden_layer_", "n_features_in_", "feature_names_in_", "coef_", "alpha_", "normal_equations_", "classes_"]
    names += ["best_score_", "cv_results_", "ranking_", "n_neurons_", "learning_curve_"]
    assert [name for name in names if hasattr(model, name)] == []
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    with pytest.raises(NotFittedError, match="needs the hidden layer"):
        model.hidden_layer_  # noqa: B018


@pytest.mark.parametrize("name", [name for name in MODELS if name != "not fitted"])
def test_a_clone_is_not_fitted(name):
    model = MODELS[name]()
    assert "_fitted" not in vars(clone(model))
    # Rows or a layer, as before: a layer alone is no fit of a model that predicts.
    if name == "initialized":
        with pytest.raises(NotFittedError):
            check_is_fitted(model)
    else:
        check_is_fitted(model)


BAD = X.copy()
BAD[100, 2] = np.nan


@pytest.mark.parametrize("cls", CLASSES[:4])
@pytest.mark.parametrize("columns", [4, 3])
def test_a_fit_of_bad_rows_leaves_the_model_as_it_was(cls, columns):
    pandas = pytest.importorskip("pandas")
    names = [f"x{i}" for i in range(columns)]
    y = Y if "Regressor" in cls.__name__ else WORDS
    for model in (cls(10, random_state=0), cls(10, random_state=0).fit(X, y)):
        before = dict(vars(model))
        for bad in (BAD[:, :columns], pandas.DataFrame(BAD[:, :columns], columns=names)):
            # The column with NaN is within the first three.
            with pytest.raises(DataError, match="NaN"):
                model.fit(bad, y)
            assert vars(model) == before


def test_what_fails_later_leaves_the_model_as_it_was():
    model = ELMRegressor(10, random_state=0).partial_fit(X, Y)
    before = dict(vars(model))
    for method, args in [
        (model.partial_fit, (BAD, Y)),
        (model.accumulate, (BAD, Y)),
        (model.remove, (BAD, Y)),
        (model.initialize, (X[:0],)),
        (model.select, ("none.h5",)),
        (model.solve, ("none.h5",)),
        (model.predict, (X[:, :2],)),
    ]:
        with pytest.raises((ValueError, OSError)):
            method(*args)
        # `predict` solves before it looks at X.
        assert {**vars(model), "_fitted": None} == {**before, "_fitted": None}
        assert model._fitted.sums is before["_fitted"].sums


@pytest.mark.parametrize("cls", CLASSES)
def test_an_interrupt_leaves_the_model_as_it_was(cls, monkeypatch):
    y = WORDS if "Classifier" in cls.__name__ else Y
    model = cls(10, random_state=0).fit(X, y)
    before = dict(vars(model))

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    # In the middle: after X was opened, at the first of the neurons.
    monkeypatch.setattr("daskelm.layer.layer.Layer.draw", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X[:, :3], y)
    assert vars(model) == before
    monkeypatch.undo()
    if cls is not HiddenLayer:
        # And at the last step, when all sums are there.
        where = "selection.select" if cls.__name__.endswith("CV") else "estimators.fitting"
        monkeypatch.setattr(f"daskelm.{where}.solve_sums", interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.fit(X[:, :3], y)
        assert vars(model) == before
    assert model.n_features_in_ == 4


@pytest.mark.parametrize("name", MODELS)
def test_copies_have_the_same_state(name, tmp_path):
    model = MODELS[name]()
    again = [way(model) for way in COPIES.values()] + [by_joblib(model, tmp_path), by_skops(model)]
    for other in again:
        assert_same(other._fitted, model._fitted)
        assert_same(other.get_params(), model.get_params())


@pytest.mark.parametrize("sums", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_files_have_the_same_state(name, sums, tmp_path):
    model = MODELS[name]()
    again = by_file(model, tmp_path, **({} if name == "HiddenLayer" else {"sums": sums}))
    expected = model._fitted
    if expected is not None and expected.solution is not None and not sums:
        expected = dataclasses.replace(expected, sums=None)
    assert_same(again._fitted, expected)
    params = {name: value for name, value in model.get_params().items() if name != "n_neurons"}
    assert_same({name: again.get_params()[name] for name in params}, params)
    # A file of what was loaded is the same file.
    assert_same(by_file(again, tmp_path, **({} if name == "HiddenLayer" else {"sums": sums}))._fitted, expected)


def test_an_infinite_number_comes_back_from_a_file(tmp_path):
    model = ELMRegressor(10, random_state=0).fit(X, Y)
    solution = dataclasses.replace(model._fitted.solution, condition_number=np.inf)
    model._fitted = dataclasses.replace(model._fitted, solution=solution)
    assert by_file(model, tmp_path).condition_number_ == np.inf


def test_subclasses_of_dicts_and_lists_come_back_from_a_file(tmp_path):
    class Groups(list):
        pass

    given = Neurons("rbf_l1", X[:3].T, np.ones(3))
    weights = OrderedDict([("low", 2.0), ("middle", 1.0), ("high", np.float32(0.5))])
    model = ELMClassifier(Groups([(2, "tanh"), given]), class_weight=weights, random_state=0).fit(X, WORDS)
    again = by_file(model, tmp_path, sums=True)
    assert again.class_weight == weights
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    # With the parameters of the file it can go on.
    assert again.partial_fit(X, WORDS).normal_equations_.n_samples == 240


@pytest.mark.parametrize(
    ("name", "value"), [("random_state", np.random.RandomState(0)), ("class_weight", {"low": object()})]
)
def test_a_parameter_that_a_file_cannot_hold_is_refused(name, value, tmp_path):
    model = ELMClassifier(10, **{name: value})
    with pytest.raises(ParameterError, match=f"^{name}: a model with this parameter cannot be saved.*pickle the model"):
        model.save(tmp_path / "model.h5")
    assert list(tmp_path.iterdir()) == []
