"""Diagrams in notebooks: that of the hidden layer, and scikit-learn's own of an estimator, which solves nothing."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import scipy.special
from sklearn import config_context
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from daskelm import ELMClassifierCV, ELMRegressor, ELMRegressorCV, HiddenLayer, Neurons, load
from daskelm.exceptions import ParameterError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 4))
Y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
SCALED = "4 inputs -> scale|mean 0, variance 1|cut at ±5 -> "


class _Tags(HTMLParser):
    """Refuses what is not closed in the order that it was opened in; keeps text and names of tags."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def diagram(model):
    """The text of the diagram of a model's hidden layer."""
    tags = _Tags()
    tags.feed(model.hidden_layer_._repr_html_())
    assert tags.open == []
    assert set(tags.seen) == {"div", "span", "b"}
    return re.sub(r"\s+", " ", "|".join(tags.text)).replace("|→|", " -> ")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            ELMRegressor(30, alpha=0.5, random_state=0).fit(X, Y),
            f"{SCALED}30 neurons|tanh|30|in float64 -> 30 outputs",
        ),
        (
            ELMRegressor([(4, "lin"), (1200, np.sin)], alpha=2.0, dtype="float32", random_state=0).initialize(X),
            f"{SCALED}1,204 neurons|lin|4|sin|1,200|in float32 -> 1,204 outputs",
        ),
        (
            ELMRegressor([(1, "lin")], standardize=False, random_state=0).initialize(X[:, :1]),
            "1 input -> scale|inputs as they are -> 1 neuron|lin|1|in float64 -> 1 output",
        ),
        (
            HiddenLayer([(3, "tanh"), Neurons("tanh", X[:2].T, [0, 0])], random_state=0).fit(X),
            f"{SCALED}5 neurons|tanh|3|tanh, given|2|in float64 -> 5 outputs",
        ),
        (
            HiddenLayer([(4, "lin"), (3, scipy.special.erf)], random_state=0).fit(X),
            f"{SCALED}7 neurons|lin|4|erf|3|in float64 -> 7 outputs",
        ),
    ],
    ids=["drawn", "single", "as they are", "given", "functions"],
)
def test_the_layer_shows_inputs_scale_and_neurons(model, expected):
    assert diagram(model) == expected


def test_many_functions_are_summed_up():
    kinds = ["lin", "sigm", "tanh", "relu", "rbf_l1", "rbf_l2", "rbf_linf", np.sin]
    model = HiddenLayer([(i + 1 if i else 3, kind) for i, kind in enumerate(kinds)], random_state=0).fit(X)
    assert "relu|4|rbf_l1|5|3 other kinds|21|in float64" in diagram(model)


def test_a_loaded_layer_is_shown_the_same(tmp_path):
    model = ELMRegressor(5, alpha=0.25, random_state=0).fit(X, Y)
    model.save(tmp_path / "m.h5")
    assert diagram(load(tmp_path / "m.h5")) == diagram(model)


def test_the_diagram_of_an_estimator_solves_nothing():
    model = ELMRegressor(10, random_state=0).partial_fit(X, Y).set_params(alpha="none")
    assert "Fitted attributes" not in model._repr_html_()
    assert model._fitted.solution is None
    with pytest.raises(ParameterError, match="^alpha must be"):
        model.solve()


def test_the_diagram_of_an_estimator_is_scikit_learns_own():
    plain = Ridge().fit(X, Y)._repr_html_()
    models = [
        ELMRegressor(5),
        ELMRegressor(5, random_state=0).initialize(X),
        ELMRegressor(5, random_state=0).fit(X, Y),
        ELMRegressorCV(5, random_state=0).fit(X, Y),
        ELMClassifierCV(5),
        HiddenLayer(5).fit(X),
        make_pipeline(HiddenLayer(5, random_state=0), Ridge()).fit(X, Y),
    ]
    for model in models:
        shown = model._repr_html_()
        assert type(model).__name__ in shown
        assert [shown.count(tag) for tag in ("<script", "<style")] == [
            plain.count(tag) for tag in ("<script", "<style")
        ]


def test_notebooks_get_text_and_html():
    model = ELMRegressor(5, random_state=0).fit(X, Y)
    bundle = model._repr_mimebundle_()
    assert bundle["text/plain"] == repr(model) == "ELMRegressor(neurons=5, random_state=0)"
    assert "ELMRegressor" in bundle["text/html"]
    with config_context(display="text"):
        assert set(model._repr_mimebundle_()) == {"text/plain"}
        assert not hasattr(model, "_repr_html_")
