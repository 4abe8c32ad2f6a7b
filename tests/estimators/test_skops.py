"""skops: every estimator as a file that needs trust in no class but its own, the same to the last bit."""

import copy
import pickle

import joblib
import numpy as np
import pytest
import scipy.special
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from daskelm import (
    ELMClassifier,
    ELMClassifierCV,
    ELMRegressor,
    ELMRegressorCV,
    HiddenLayer,
    Neurons,
    NormalEquations,
    make_hdf5,
)
from daskelm.estimators.state import from_plain, to_plain
from daskelm.exceptions import FileFormatError, ParameterError

sio = pytest.importorskip("skops.io")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 4))
Y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
WORDS = np.array(["low", "middle", "high"])[np.digitize(Y, [-0.5, 0.5])]
GIVEN = Neurons("rbf_l1", X[:3].T, np.ones(3))
MIXTURE = [(2, "lin"), (5, "tanh"), (3, np.sin), (3, scipy.special.erf), GIVEN]

LABELS = {
    "words": WORDS,
    "objects": WORDS.astype(object),
    "ints": np.digitize(Y, [-0.5, 0.5]) * 10 - 7,
    "small ints": np.digitize(Y, [-0.5, 0.5]).astype(np.uint8),
    "floats": np.digitize(Y, [-0.5, 0.5]).astype(np.float32),
    "bools": Y > 0,
    "dates": np.array(["2013-01-01", "2013-02-01", "2013-03-01"], "M8[D]")[np.digitize(Y, [-0.5, 0.5])],
    "sets": np.stack([Y > 0, X[:, 0] > 0], axis=1).astype(int),
}

MODELS = {
    "unfitted": lambda: ELMRegressor(MIXTURE, dtype=np.float32),
    "initialized": lambda: ELMRegressor(MIXTURE, random_state=0).initialize(X),
    "classes only": lambda: ELMClassifier(20, class_weight={"low": 2.0}, random_state=0).initialize(X, WORDS),
    "unsolved": lambda: ELMRegressor(MIXTURE, random_state=0).partial_fit(X, Y),
    "fitted": lambda: ELMRegressor(MIXTURE, random_state=0).fit(X, Y),
    "several targets": lambda: ELMRegressor(20, alpha=0, random_state=0).fit(X, np.stack([Y, X[:, 0]], axis=1)),
    "single precision": lambda: ELMRegressor(20, dtype=np.dtype("float32"), gram_dtype=np.float32).fit(X, Y),
    "a stream": lambda: ELMRegressor(20, random_state=np.random.RandomState(3)).fit(X, Y),
    "a NumPy number": lambda: ELMRegressor(20, alpha=np.float64(0.5), random_state=np.int64(0)).fit(X, Y),
    "a curve": lambda: ELMRegressor(10, random_state=0).fit(X, Y, callback=lambda point: None),
    "selected": lambda: ELMRegressor(40, random_state=0).fit(X, Y).select(n_neurons=[10, 20], ranking="omp"),
    "weights of classes": lambda: ELMClassifier(20, class_weight="balanced", random_state=0).fit(X, WORDS),
    "weights by label": lambda: ELMClassifier(20, class_weight={False: 3.0, True: 1.0}, random_state=0).fit(X, Y > 0),
    "regression CV": lambda: ELMRegressorCV(MIXTURE, n_neurons=[4, 8], cv=3, random_state=0).fit(X, Y),
    "classification CV": lambda: ELMClassifierCV(20, n_neurons=[5, 20], ranking="mrsr", random_state=0).fit(X, WORDS),
    "a chosen draw": lambda: ELMRegressor((30, "auto"), random_state=0).fit(np.tile(X, (5, 1)), np.tile(Y, 5)),
    "draws by hand": lambda: ELMRegressor([(9, np.sin, "pairs"), (9, "relu", "sparse")], random_state=0).fit(X, Y),
    "a layer": lambda: HiddenLayer(MIXTURE, standardize=False, random_state=0).fit(X),
    **{f"labels: {name}": lambda y=y: ELMClassifier(20, random_state=0).fit(X, y) for name, y in LABELS.items()},
}

WAYS = {
    "skops": lambda model: sio.loads(sio.dumps(model), trusted=untrusted(model)),
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


def untrusted(model):
    return sio.get_untrusted_types(data=sio.dumps(model))


def results(model):
    """All that a model answers."""
    answers = {}
    for name in ("predict", "predict_proba", "decision_function", "transform"):
        try:
            answers[name] = getattr(model, name)(X)
        except (AttributeError, ValueError) as error:
            answers[name] = np.array(str(error))
    return answers


def check_same(again, model):
    assert type(again) is type(model)
    assert again.__dict__.keys() == model.__dict__.keys()
    for name, expected in results(model).items():
        got = results(again)[name]
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", MODELS)
def test_nothing_but_the_estimator_needs_trust(name):
    model = MODELS[name]()
    assert untrusted(model) == [f"{type(model).__module__}.{type(model).__name__}"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_the_same_to_the_last_bit(name, way):
    model = MODELS[name]()
    before = dict(model.__dict__)
    check_same(WAYS[way](model), model)
    assert all(model.__dict__[name] is value for name, value in before.items() if name != "_fitted")


def test_no_plain_state_holds_a_class_of_ours():
    def walk(value):
        yield type(value)
        for item in value if isinstance(value, list | tuple) else value.values() if isinstance(value, dict) else ():
            yield from walk(item)

    for make in MODELS.values():
        found = {kind for kind in walk(make().__getstate__()) if kind.__module__.startswith("daskelm")}
        assert not found


@pytest.mark.parametrize("way", WAYS)
def test_it_goes_on_where_it_was(way, tmp_path):
    make_hdf5(X, tmp_path / "X.h5")
    make_hdf5(Y, tmp_path / "y.h5")
    model = ELMRegressor(MIXTURE, random_state=0).initialize(X).partial_fit(tmp_path / "X.h5", tmp_path / "y.h5")
    again = WAYS[way](model)
    sums, copied = model.normal_equations_, again.normal_equations_
    assert isinstance(copied, NormalEquations)
    for name, value in sums.state().items():
        np.testing.assert_array_equal(copied.state()[name], value)
    assert not copied.packed.flags.writeable
    assert not again.hidden_layer_.groups[0].W.flags.writeable
    # The same layer, the same rows: they are known again, and can be taken out.
    assert (copied - sums).n_samples == 0
    both = again.partial_fit(X + 1, Y).predict(X)
    np.testing.assert_array_equal(both, model.partial_fit(X + 1, Y).predict(X))
    again.set_params(neurons=7)
    with pytest.raises(ParameterError, match="^neurons: solve needs the value"):
        again.solve()


@pytest.mark.parametrize("way", WAYS)
def test_what_was_chosen_is_kept(way):
    model = MODELS["regression CV"]()
    again = WAYS[way](model)
    assert (again.best_score_, again.alpha_, again.n_neurons_) == (model.best_score_, model.alpha_, model.n_neurons_)
    assert again.cv_results_["params"] == model.cv_results_["params"]
    for name, column in model.cv_results_.items():
        np.testing.assert_array_equal(again.cv_results_[name], column)
    curve = WAYS[way](MODELS["a curve"]()).learning_curve_
    assert curve["score"].tolist() == MODELS["a curve"]().learning_curve_["score"].tolist()


@pytest.mark.parametrize("way", WAYS)
def test_what_other_libraries_put_on_an_estimator_is_kept(way):
    model = ELMRegressor(5, random_state=0).fit(X, Y).set_output(transform="default")
    assert WAYS[way](model)._sklearn_output_config == {"transform": "default"}
    if way == "skops":
        # Requests hold themselves, also of scikit-learn's own estimators, and skops follows them for good.
        return
    with config_context(enable_metadata_routing=True):
        again = WAYS[way](model.set_fit_request(sample_weight=True))
        assert again.get_metadata_routing().fit.requests["sample_weight"] is True


def test_uncertainty_is_made_anew():
    model = ELMRegressor(10, random_state=0).fit(X, Y)
    expected = model.predict(X, return_std=True)[1]
    for way in WAYS.values():
        again = way(model)
        assert not hasattr(again, "_uncertain")
        np.testing.assert_array_equal(again.predict(X, return_std=True)[1], expected)


def test_in_a_pipeline_of_scikit_learn(tmp_path):
    model = make_pipeline(StandardScaler(), HiddenLayer(20, random_state=0), Ridge()).fit(X, Y)
    sio.dump(model, tmp_path / "model.skops")
    assert sio.get_untrusted_types(file=tmp_path / "model.skops") == ["daskelm.HiddenLayer"]
    again = sio.load(tmp_path / "model.skops", trusted=["daskelm.HiddenLayer"])
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    with pytest.raises(sio.exceptions.UntrustedTypesFoundException, match=r"daskelm\.HiddenLayer"):
        sio.load(tmp_path / "model.skops")


def test_a_splitter_of_the_user_is_named_as_what_it_is():
    model = ELMRegressorCV(10, cv=KFold(3), random_state=0).fit(X, Y)
    assert untrusted(model) == ["daskelm.ELMRegressorCV", "sklearn.model_selection._split.KFold"]
    assert WAYS["skops"](model).cv.n_splits == 3


def test_a_clone_of_what_was_loaded_fits_the_same(tmp_path):
    model = ELMRegressor(MIXTURE, random_state=0).fit(X, Y)
    joblib.dump(model, tmp_path / "model.joblib")
    for again in (joblib.load(tmp_path / "model.joblib"), *(way(model) for way in WAYS.values())):
        np.testing.assert_array_equal(clone(again).fit(X, Y).predict(X), model.predict(X))


def test_parameters_that_fit_will_refuse_are_kept():
    for neurons in ([(5, np.add)], {"tanh": 5}, [(5, "step")]):
        again = pickle.loads(pickle.dumps(ELMRegressor(neurons)))
        assert again.neurons == neurons
        with pytest.raises(ParameterError, match="^neurons"):
            again.fit(X, Y)


def test_keys_of_dicts_keep_their_type():
    value = {1: "a", "1": "b", False: None, (2, None): {b"x": [{}, ()]}, np.float32: np.dtype("f4")}
    assert from_plain(to_plain(value)) == value
    assert from_plain({"daskelm": "mapping", "state": to_plain(value)["state"]}) == value


@pytest.mark.parametrize("state", [{"daskelm": "orchestra", "state": {}}, {"a": 1}])
def test_a_state_that_is_not_known_is_refused(state):
    with pytest.raises(FileFormatError, match="must hold values that this daskelm knows; got one called .* Upgrade"):
        ELMRegressor().__setstate__({"neurons": state})


@pytest.mark.parametrize("name", ["os.system", "numpy.load", "numpy.add", "scipy.special.no_such"])
def test_a_state_names_no_function_but_kinds_of_neurons(name):
    with pytest.raises(ParameterError, match="^neurons: a"):
        from_plain({"daskelm": "kind", "state": name})
