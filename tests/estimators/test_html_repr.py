"""The picture of the hidden layer in scikit-learn's diagram: what it says, what is escaped, that it solves nothing."""

import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
import scipy.special
from sklearn import config_context
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from daskelm import ELMClassifier, ELMClassifierCV, ELMRegressor, ELMRegressorCV, HiddenLayer, Neurons, load
from daskelm.exceptions import ParameterError

pytest.importorskip("sklearn.utils._repr_html", reason="before 1.7, scikit-learn's blocks have no room for a picture")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 4))
Y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
WORDS = np.array(["low", "middle", "high"])[np.digitize(Y, [-0.5, 0.5])]
EVIL = "<script>alert('x')</script>"


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


def pictures(model):
    """The text of each picture in the diagram of a model."""
    found = []
    for part in model._repr_html_().split('<div class="daskelm-layer"')[1:]:
        # scikit-learn's own table comes next.
        picture = '<div class="daskelm-layer"' + part.partition('<div class="estimator-table"')[0]
        tags = _Tags()
        tags.feed(picture.rstrip())
        assert tags.open == []
        assert set(tags.seen) == {"div", "span", "b"}
        found.append(re.sub(r"\s+", " ", "|".join(tags.text)).replace("|→|", " -> "))
    return found


def picture(model):
    [only] = pictures(model)
    return only


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            ELMRegressor(30, alpha=0.5, random_state=0).fit(X, Y),
            "4 inputs -> scale|mean 0, variance 1|cut at ±5 -> 30 neurons|tanh|30|in float64 -> "
            "ridge|alpha = 0.5|120 rows -> 1 target",
        ),
        (
            ELMRegressor([(4, "lin"), (1200, np.sin)], alpha=2.0, dtype="float32", random_state=0).fit(X, np.c_[Y, Y]),
            "4 inputs -> scale|mean 0, variance 1|cut at ±5 -> 1,204 neurons|lin|4|sin|1,200|in float32 -> "
            "ridge|alpha = 2|120 rows -> 2 targets",
        ),
        (
            ELMRegressor([(1, "lin")], standardize=False, random_state=0).initialize(X[:, :1]),
            "1 input -> scale|inputs as they are -> 1 neuron|lin|1|in float64 -> ridge|not solved yet|no rows yet",
        ),
        (
            ELMRegressor(5, random_state=0).partial_fit(X[:40], Y[:40]),
            "4 inputs -> scale|mean 0, variance 1|cut at ±5 -> 5 neurons|tanh|5|in float64 -> "
            "ridge|not solved yet|40 rows -> 1 target",
        ),
        (
            ELMClassifier([(3, "tanh"), Neurons("tanh", X[:2].T, [0, 0])], alpha=1.0, random_state=0).fit(X, WORDS),
            "4 inputs -> scale|mean 0, variance 1|cut at ±5 -> 5 neurons|tanh|3|tanh, given|2|in float64 -> "
            "ridge|alpha = 1|120 rows -> 3 classes|high, low, middle",
        ),
        (
            ELMClassifier(5, random_state=0).initialize(X, classes=range(1000)),
            "4 inputs -> scale|mean 0, variance 1|cut at ±5 -> 5 neurons|tanh|5|in float64 -> "
            "ridge|not solved yet|no rows yet -> 1,000 classes|0, 1, 2, …",
        ),
        (
            ELMClassifierCV(20, n_neurons=[7], alphas=[3.0], random_state=0).fit(X, np.c_[Y > 0, X[:, 0] > 0] * 1),
            "4 inputs -> scale|mean 0, variance 1|cut at ±5 -> 7 neurons|tanh|7|in float64 -> "
            "ridge|alpha = 3|120 rows -> 2 labels",
        ),
        (
            HiddenLayer([(4, "lin"), (3, scipy.special.erf)], random_state=0).fit(X),
            "4 inputs -> scale|mean 0, variance 1|cut at ±5 -> 7 neurons|lin|4|erf|3|in float64 -> 7 outputs",
        ),
    ],
    ids=["solved", "single", "initialized", "unsolved", "classes", "many classes", "labels", "layer"],
)
def test_what_it_says(model, expected):
    assert picture(model) == expected


def test_many_kinds_are_summed_up():
    kinds = ["lin", "sigm", "tanh", "relu", "rbf_l1", "rbf_l2", "rbf_linf", np.sin]
    model = HiddenLayer([(i + 1 if i else 3, kind) for i, kind in enumerate(kinds)], random_state=0).fit(X)
    assert "relu|4|rbf_l1|5|3 other kinds|21|in float64" in picture(model)
    assert "3 lin + 2 sigm + 3 tanh + 4 relu + 5 rbf_l1 + 6 rbf_l2 + …" in model._repr_html_()


def test_names_of_columns_are_shown_and_escaped():
    pandas = pytest.importorskip("pandas")
    names = ["age", EVIL, "a name that is longer than twenty letters", "d"]
    model = ELMRegressor(5, random_state=0).fit(pandas.DataFrame(X, columns=names), Y)
    assert "4 inputs|age, <script>alert('x')<…, a name that is long…, …" in picture(model)
    shown = model._repr_html_().partition('<div class="daskelm-layer"')[2].partition('<div class="estimator-table"')[0]
    assert "<script" not in shown
    assert "&lt;script&gt;alert(&#x27;x&#x27;)" in shown


@pytest.mark.parametrize("labels", [np.where(Y > 0, "<b>up", "</div>down"), np.where(Y > 0, "a&b", "c").astype(object)])
def test_labels_are_escaped(labels):
    shown = picture(ELMClassifier(5, random_state=0).fit(X, labels))
    assert shown.endswith(f"2 classes|{', '.join(np.unique(labels))}")


def test_nothing_is_solved_to_be_shown():
    model = ELMRegressor(10, random_state=0).partial_fit(X, Y).set_params(alpha="none")
    assert "not solved yet|120 rows" in picture(model)
    assert "Fitted attributes" not in model._repr_html_()
    assert model._solution is None
    with pytest.raises(ParameterError, match="^alpha must be"):
        model.solve()
    assert "Fitted attributes" in model.set_params(alpha=1.0).solve()._repr_html_()


def test_nothing_is_shown_of_what_was_not_drawn():
    for model in (ELMRegressor(5), ELMClassifierCV(5), HiddenLayer(5)):
        assert pictures(model) == []
        assert "Parameters" in model._repr_html_()


def test_scikit_learns_own_table_follows():
    shown = ELMRegressor(30, alpha=0.5, random_state=0).fit(X, Y)._repr_html_()
    rest = shown.partition('<div class="daskelm-layer"')[2]
    assert "Parameters" in rest
    assert "random_state" in rest
    # The one script and the one sheet of styles are scikit-learn's.
    plain = Ridge().fit(X, Y)._repr_html_()
    assert [shown.count(tag) for tag in ("<script", "<style")] == [plain.count(tag) for tag in ("<script", "<style")]


def test_in_a_pipeline():
    model = make_pipeline(StandardScaler(), HiddenLayer([(4, "lin"), (20, "tanh")], random_state=0), Ridge())
    assert pictures(model) == []
    assert "24 neurons|lin|4|tanh|20" in picture(model.fit(X, Y))
    # The caption is read without opening the block.
    assert '<div class="caption">4 lin + 20 tanh</div>' in model._repr_html_()
    both = make_pipeline(ELMRegressor(3, random_state=0), ELMRegressorCV(5, random_state=0)).fit(X, Y)
    assert ["3 neurons" in text or "5 neurons" in text for text in pictures(both)] == [True, True]


def test_as_notebooks_ask_for_it():
    model = ELMRegressor(5, random_state=0).fit(X, Y)
    bundle = model._repr_mimebundle_()
    assert bundle["text/plain"] == repr(model) == "ELMRegressor(neurons=5, random_state=0)"
    assert '<div class="daskelm-layer"' in bundle["text/html"]
    with config_context(display="text"):
        assert set(model._repr_mimebundle_()) == {"text/plain"}
        assert not hasattr(model, "_repr_html_")


def test_a_model_without_its_sums_says_what_it_knows(tmp_path):
    model = ELMRegressor(5, alpha=0.25, random_state=0).fit(X, Y)
    model.save(tmp_path / "m.h5")
    assert picture(load(tmp_path / "m.h5")).endswith("ridge|alpha = 0.25 -> 1 target")
    assert picture(model).endswith("ridge|alpha = 0.25|120 rows -> 1 target")
    assert unescape(model._repr_html_()).count("→") == 4
