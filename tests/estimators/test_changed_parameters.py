"""Parameters that were changed after the layer was drawn: refused where sums depend on them."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from small_table import LABELS, X, Y

from daskelm import ELMClassifier, ELMRegressor, HiddenLayer, Neurons, load
from daskelm.exceptions import ParameterError

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
