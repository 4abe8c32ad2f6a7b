"""ONNX: graphs predict what estimators do, for every kind of neuron, precision and form of targets."""

import dataclasses
import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import StackingRegressor, VotingRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

import daskelm.layer.neurons
from daskelm import ELMClassifier, ELMClassifierCV, ELMRegressor, ELMRegressorCV, HiddenLayer, Neurons
from daskelm.exceptions import InputTypeError, MissingExtraError, NotSolvedError, ParameterError, ScaleWarning
from daskelm.layer.neurons import KINDS, kind_from_name, kind_name
from daskelm.onnx import register_converters, to_onnx
from daskelm.onnx.neurons import kinds

onnxruntime = pytest.importorskip("onnxruntime")
skl2onnx = pytest.importorskip("skl2onnx")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((150, 3))
Y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * RNG.standard_normal(150)
# Of which some rows are beyond the clip, and some where float32 has few digits left.
FAR = np.concatenate([X, 30 * X])
WORDS = np.array(["low", "middle", "high"])[np.digitize(Y, [-0.5, 0.5])]
KIND = {name: kind_from_name(name) for name in kinds()}
PRECISIONS = {"float32": np.float32, "float64": np.float64}

every_kind = pytest.mark.parametrize("name", KIND)
every_precision = pytest.mark.parametrize("dtype", PRECISIONS.values(), ids=PRECISIONS.keys())


def run(graph, X):
    """Results of a graph with one input."""
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    [only] = session.get_inputs()
    return session.run(None, {only.name: X})


def tolerance(model, X, *dtypes):
    """What the rounding of H, and of the result, can be in the predictions: a few units of the coarsest type."""
    eps = max(np.finfo(dtype).eps for dtype in (model.hidden_layer_.dtype, *dtypes))
    reach = np.maximum(np.abs(model.transform(X)).max(axis=0).astype(np.float64), 1)
    return 60 * eps * float((np.abs(model.coef_) @ reach).max() + np.abs(model.intercept_).max())


def check(model, X, **more):
    """A graph of a regressor predicts what the regressor does; of which dtype X may be."""
    [got] = run(to_onnx(model, X, **more), X)
    assert got.dtype == (X.dtype if X.dtype.kind == "f" else np.float32)
    expected = model.predict(X)
    np.testing.assert_allclose(got, expected.reshape(got.shape), rtol=0, atol=tolerance(model, X, got.dtype))


# Kinds


@every_precision
@every_kind
def test_every_kind(name, dtype):
    """Given neurons whose arguments are far from poles, on inputs as they are, beside drawn ones of other kinds."""
    rng = np.random.default_rng(2)
    given_ones = Neurons(KIND[name], rng.uniform(-0.05, 0.05, (3, 7)), rng.uniform(0.5, 1, 7))
    model = HiddenLayer([given_ones, (3, "lin"), (4, "tanh")], random_state=1, dtype=dtype).fit(X)
    rows = X.astype(dtype)
    [got] = run(to_onnx(model), rows)
    expected = model.transform(rows)
    assert (got.dtype, got.shape) == (expected.dtype, (150, 14))
    np.testing.assert_array_less(np.abs(got - expected), 20 * np.finfo(dtype).eps * np.maximum(np.abs(expected), 1))


@every_precision
@pytest.mark.parametrize("name", [name for name in KIND if name not in ("numpy.tan", "numpy.reciprocal")])
def test_every_kind_as_it_is_drawn(name, dtype):
    """Scaled, and clipped where rows are far outside; relative to the largest output of each neuron."""
    model = HiddenLayer([(3 if name == "lin" else 12, KIND[name])], random_state=1, dtype=dtype).fit(X)
    rows = FAR.astype(dtype)
    [got] = run(to_onnx(model), rows)
    expected = model.transform(rows)
    largest = np.broadcast_to(np.maximum(np.abs(expected).max(axis=0), 1), expected.shape)
    if name in ("numpy.ceil", "numpy.floor", "numpy.rint", "numpy.sign", "numpy.trunc"):
        # Where the argument is a step to rounding, it may fall on either side.
        assert (got == expected).mean() > 0.999
        return
    np.testing.assert_array_less(np.abs(got - expected), 100 * np.finfo(dtype).eps * largest)


def test_a_new_kind_has_the_operators_of_its_ufunc(monkeypatch):
    row = dataclasses.replace(KINDS["tanh"], activate=scipy.special.erf)
    monkeypatch.setitem(daskelm.layer.neurons.KINDS, "erf", row)
    check(ELMRegressor([(9, "erf")], random_state=0).fit(X, Y), X)


def test_names_of_kinds_are_those_of_files():
    assert [kind_name(kind) for kind in KIND.values()] == list(KIND)


def test_the_page_names_every_kind():
    page = (Path(__file__).parents[2] / "docs" / "guide" / "saving.md").read_text(encoding="utf-8")
    section = page.partition("### Which neurons have operators")[2].partition("Any other kind")[0]
    named = {
        home: re.findall(r"`(\w+)`", part)
        for home, part in zip(
            ("", "numpy.", "scipy.special."),
            re.split(r"From the ufuncs of NumPy:|From `scipy\.special`:", section),
            strict=True,
        )
    }
    assert sorted(home + name for home, names in named.items() for name in names) == sorted(kinds())


@pytest.mark.parametrize("name", ["numpy.arctan", "scipy.special.erf", "numpy.arcsinh", "numpy.cbrt"])
def test_what_onnxruntime_has_in_single_precision_only_is_exact_in_double(name):
    x = np.concatenate([[0.0], np.geomspace(1e-12, 1e6, 400), -np.geomspace(1e-12, 1e6, 400)])[:, None]
    model = HiddenLayer([Neurons(KIND[name], [[1.0]], [0.0])]).fit(x)
    expected = KIND[name](x)
    np.testing.assert_allclose(run(to_onnx(model), x)[0], expected, rtol=1e-12, atol=3e-15)


def test_inputs_with_a_large_offset_keep_their_digits():
    # Epoch seconds of one day beside a year: float32 would have steps of 128 s, and a scale folded into W as well.
    rows = np.stack([1.7e9 + 86400 * RNG.random(300), 2000 + 20 * RNG.random(300)], axis=1)
    y = np.sin(rows[:, 0] / 10000) + np.cos(rows[:, 1])
    for kind in ("tanh", "rbf_l2"):
        check(ELMRegressor([(40, kind)], random_state=0).fit(rows, y), rows)
    # Given ones on raw inputs: |x|^2 - 2 x'w + |w|^2 would cancel.
    centres = Neurons("rbf_l2", rows[:20].T, np.full(20, 1e-9))
    model = HiddenLayer([centres]).fit(rows)
    np.testing.assert_allclose(run(to_onnx(model), rows)[0], model.transform(rows), atol=1e-12)


def test_a_kind_without_operators_is_refused(monkeypatch):
    model = HiddenLayer([(3, "lin"), (5, scipy.special.j0)], random_state=0).fit(X)
    with pytest.raises(ParameterError, match=r"^neurons: a kind must have operators .* 'scipy\.special\.j0'.*\.save\("):
        to_onnx(model)
    row = dataclasses.replace(KINDS["tanh"], activate=lambda Z, out: np.sign(Z, out=out))
    monkeypatch.setitem(daskelm.layer.neurons.KINDS, "step", row)
    with pytest.raises(ParameterError, match=r"^neurons: a kind must have operators .*'step'\. .* lin, sigm, tanh"):
        to_onnx(ELMRegressor([(5, "step")], random_state=0).fit(X, Y))


# Estimators


# Steps and poles turn rounding into something else.
ROUGH = {"numpy.ceil", "numpy.floor", "numpy.reciprocal", "numpy.rint", "numpy.sign", "numpy.tan", "numpy.trunc"}
SMOOTH = [name for name in KIND if name not in ROUGH]


@st.composite
def mixtures(draw):
    mixture = []
    for name in draw(st.lists(st.sampled_from(SMOOTH), min_size=1, max_size=3)):
        # Three inputs, and so at most three `lin` neurons.
        number = 1 if name == "lin" else draw(st.integers(1, 6))
        weights = np.random.default_rng(number)
        ready = Neurons(KIND[name], weights.normal(size=(3, number)) / 3, weights.uniform(0.5, 1, number))
        mixture.append(draw(st.sampled_from([ready, (number, KIND[name])])))
    return mixture


@given(
    neurons=mixtures(),
    dtype=st.sampled_from([None, "float32", "float64"]),
    given_dtype=st.sampled_from(["float32", "float64"]),
    n_targets=st.integers(0, 3),
    fit_intercept=st.booleans(),
    standardize=st.booleans(),
    alpha=st.sampled_from(["gcv", 1.0]),
)
def test_any_mixture_predicts_the_same(neurons, dtype, given_dtype, n_targets, fit_intercept, standardize, alpha):
    y = Y if n_targets == 0 else np.stack([Y + i * X[:, 0] for i in range(n_targets)], axis=1)
    model = ELMRegressor(
        neurons, alpha=alpha, dtype=dtype, fit_intercept=fit_intercept, standardize=standardize, random_state=0
    )
    check(model.fit(X, y), X.astype(given_dtype))


@every_precision
@pytest.mark.parametrize(
    "model",
    [
        ELMRegressor(50, random_state=0),
        ELMRegressorCV(60, n_neurons=[10, 60], ranking="omp", cv=3, random_state=0),
        ELMRegressor(50, random_state=0, standardize=False),
        ELMRegressor([(3, "lin"), (20, "tanh", "relevance"), (20, "relu", "sparse")], random_state=0),
        ELMRegressor([(20, "sigm", "pairs"), (20, "tanh", "sparse pairs")], random_state=0),
    ],
    ids=["plain", "CV", "not scaled", "relevance and sparse", "pairs"],
)
def test_regressors(model, dtype):
    model = clone(model).fit(X.astype(dtype), Y)
    check(model, X.astype(dtype))
    check(model, FAR.astype(dtype))
    graph = to_onnx(model)
    assert [item.name for item in (*graph.graph.input, *graph.graph.output)] == ["X", "variable"]
    assert run(graph, X.astype(dtype))[0].shape == (150, 1)
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument, match="Unexpected input data type"):
        run(graph, X.astype("f8" if dtype == np.float32 else "f4"))


def test_a_model_that_is_not_solved_yet_is_solved():
    model = ELMRegressor(20, random_state=0).partial_fit(X[:70], Y[:70]).partial_fit(X[70:], Y[70:])
    check(model, X)


def test_whole_numbers_as_inputs():
    rows = np.random.default_rng(0).integers(-9, 9, (150, 3))
    check(ELMRegressor(20, random_state=0).fit(rows, Y), rows)


@pytest.mark.parametrize("opset", [13, 15, 17, 18, 21])
def test_opsets(opset):
    model = ELMRegressor(
        [(3, "lin"), *((4, kind) for name, kind in KIND.items() if name in SMOOTH[1:])], random_state=0
    )
    check(model.fit(X, Y), X, target_opset=opset)
    with pytest.raises(ParameterError, match=r"^target_opset must be at least 13; got 12\."):
        to_onnx(model, target_opset=12)


LABELS = {
    "words": WORDS,
    "objects": WORDS.astype(object),
    "two words": np.where(Y > 0, "up", "down"),
    "ints": np.digitize(Y, [-0.5, 0.5]) * 10 - 7,
    "small ints": np.digitize(Y, [-0.5, 0.5]).astype(np.uint8),
    "floats": np.digitize(Y, [-0.5, 0.5]).astype(np.float32),
    "bools": Y > 0,
    "many": np.digitize(Y, np.linspace(-2, 2, 9)),
    "sets": np.stack([Y > 0, X[:, 0] > 0, X[:, 1] > 1], axis=1).astype(int),
}


@every_precision
@pytest.mark.parametrize("name", LABELS)
def test_classifiers(name, dtype):
    rows, y = X.astype(dtype), LABELS[name]
    for model in (
        ELMClassifier(40, random_state=0, class_weight=None if name == "sets" else "balanced"),
        ELMClassifierCV(40, n_neurons=[5, 40], alphas=[0.1, 10.0], random_state=0),
    ):
        model.fit(rows, y)
        graph = to_onnx(model)
        assert [item.name for item in graph.graph.output] == ["label", "probabilities"]
        # Far outside too: there the nearest point of the simplex is often a corner.
        for given_rows in (rows, FAR.astype(dtype)):
            label, p = run(graph, given_rows)
            expected = model.predict_proba(given_rows)
            np.testing.assert_allclose(p, expected, rtol=0, atol=tolerance(model, given_rows, dtype))
            np.testing.assert_allclose(p.sum(axis=1), expected.sum(axis=1), atol=1e-5)
            clear = np.abs(np.diff(np.sort(expected, axis=1)[:, -2:])[:, 0]) > 1e-3
            same = label == model.predict(given_rows)
            assert same[clear].all() if name != "sets" else same.all()
            assert p.dtype == dtype
            assert label.dtype == (object if model.classes_.dtype.kind in "UO" else np.int64)


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_classifiers_solved_from_sums_have_no_link(name, dtype):
    rows = X.astype(dtype)
    model = ELMClassifier(20, random_state=0).fit(rows, LABELS[name]).solve()
    assert model.probability_link_ is None
    label, p = run(to_onnx(model), rows)
    np.testing.assert_allclose(p, model.predict_proba(rows), rtol=0, atol=tolerance(model, rows, dtype))
    # The label is that of the largest probability of the graph itself.
    expected = p > 0.5 if name == "sets" else model.classes_[p.argmax(axis=1)]
    np.testing.assert_array_equal(label, expected)
    assert 0 < p.min() < p.max() < 1


def test_the_label_is_the_first_of_equal_ones():
    # Outputs that are exactly equal: no neuron knows anything of the rows.
    flat = ELMClassifier([Neurons("tanh", np.zeros((3, 1)), [0.0])], alpha=1.0).fit(X[:6], [2, 1, 3, 2, 1, 3])
    label, p = run(to_onnx(flat), X)
    np.testing.assert_array_equal(label, flat.predict(X))
    # Outputs that differ by rounding have probabilities that differ by a millionth.
    np.testing.assert_allclose(p, 1 / 3, rtol=1e-6)


def test_labels_that_are_no_numbers_or_strings_are_refused():
    dates = np.array(["2013-01-01", "2014-01-01"], "M8[D]")[(Y > 0).astype(int)]
    with pytest.raises(InputTypeError, match=r"^classes: labels must be whole numbers or strings .*datetime64\[D\]"):
        to_onnx(ELMClassifier(5, random_state=0).fit(X, dates))
    halves = ELMClassifier(5, random_state=0).initialize(X, classes=[0.0, 0.5])
    with pytest.raises(InputTypeError, match="^classes: labels must be whole numbers or strings .*float64"):
        to_onnx(halves)


# The options of skl2onnx


def test_probabilities_as_dicts():
    register_converters()
    register_converters()
    rows = X.astype(np.float32)
    for name, keys in (
        ("words", ["high", "low", "middle"]),
        ("ints", [-7, 3, 13]),
        ("bools", [0, 1]),
        ("sets", [0, 1, 2]),
    ):
        model = ELMClassifier(20, random_state=0).fit(rows, LABELS[name])
        # As skl2onnx has it by default, if nobody asks for something else.
        label, p = run(skl2onnx.to_onnx(model, rows[:1]), rows)
        assert list(p[0]) == keys
        np.testing.assert_allclose([list(row.values()) for row in p], model.predict_proba(rows), atol=1e-5)
        np.testing.assert_array_equal(label, model.predict(rows))
    with pytest.raises(ParameterError, match="^options: a ZipMap, .* got inputs in double. Give options="):
        skl2onnx.to_onnx(model, X[:1])


def test_other_options():
    rows = X.astype(np.float32)
    model = ELMClassifier(20, random_state=0).fit(rows, WORDS)
    label, *columns = run(to_onnx(model, options={"zipmap": "columns"}), rows)
    np.testing.assert_allclose(np.stack(columns, axis=1), model.predict_proba(rows), atol=1e-5)
    number, _ = run(to_onnx(model, options={"zipmap": False, "nocl": True}), rows)
    np.testing.assert_array_equal(model.classes_[number], label)
    with pytest.raises(NameError, match="raw_scores"):
        to_onnx(model, options={id(model): {"raw_scores": True}})


# In the company of others


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), ELMRegressor(20, random_state=0)),
        make_pipeline(HiddenLayer(20, random_state=0), Ridge()),
        make_pipeline(StandardScaler(), make_pipeline(HiddenLayer(20, random_state=0), Ridge())),
        make_pipeline(
            make_column_transformer((HiddenLayer(20, random_state=0), [0, 1]), (StandardScaler(), [2])), Ridge()
        ),
        make_pipeline(FeatureUnion([("h", HiddenLayer(9, random_state=0)), ("s", StandardScaler())]), Ridge()),
        VotingRegressor([("elm", ELMRegressor(20, random_state=0)), ("ridge", Ridge())]),
        StackingRegressor([("elm", ELMRegressor(20, random_state=0)), ("ridge", Ridge())], final_estimator=Ridge()),
        GridSearchCV(ELMRegressor(20, random_state=0), {"alpha": [0.1, 1.0]}, cv=3),
    ],
    ids=lambda model: type(model).__name__,
)
def test_in_other_estimators(model):
    model = clone(model).fit(X, Y)
    [got] = run(to_onnx(model, X), X)
    np.testing.assert_allclose(got[:, 0], model.predict(X), rtol=0, atol=1e-9)


def test_classifiers_in_a_pipeline():
    model = make_pipeline(StandardScaler(), ELMClassifier(20, random_state=0)).fit(X, WORDS)
    label, p = run(to_onnx(model, X), X)
    np.testing.assert_allclose(p, model.predict_proba(X), atol=1e-10)
    np.testing.assert_array_equal(label, model.predict(X))
    rows = X.astype(np.float32)
    assert list(run(skl2onnx.to_onnx(model, rows), rows)[1][0]) == ["high", "low", "middle"]


@pytest.mark.parametrize(
    "wrong",
    [
        make_pipeline(ELMRegressor(5), Ridge()),
        make_pipeline(make_pipeline(StandardScaler(), ELMRegressor(5)), Ridge()),
        make_pipeline(FeatureUnion([("elmregressor", ELMRegressor(5))]), Ridge()),
        make_column_transformer((ELMRegressor(5), [0, 1])),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_model_in_the_place_of_a_transformer_is_refused(wrong):
    with pytest.raises(
        ParameterError, match="^model: what stands .* got 'elmregressor' of class ELMRegressor.*Use a Hid"
    ):
        to_onnx(clone(wrong).fit(X, Y), X)


def test_columns_of_a_data_frame_are_inputs():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": X[:, 0], "bmi": X[:, 1].astype("f4"), "visits": np.arange(150)})
    model = ELMRegressor(20, random_state=0).fit(frame, Y)
    graph = to_onnx(model, frame)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    assert [item.name for item in session.get_inputs()] == ["age", "bmi", "visits"]
    [got] = session.run(None, {name: frame[[name]].to_numpy() for name in frame})
    np.testing.assert_allclose(got[:, 0], model.predict(frame), atol=1e-10)


@pytest.mark.parametrize("model", [ELMRegressor(), ELMClassifier(), HiddenLayer(), ELMRegressorCV(), ELMClassifierCV()])
def test_models_that_are_not_fitted_are_refused(model):
    for arguments in ((), (X,)):
        with pytest.raises(NotSolvedError, match=f"This {type(model).__name__} instance is not fitted yet"):
            to_onnx(model, *arguments)
    with pytest.raises(NotSolvedError, match="to_onnx needs sums over rows"):
        to_onnx(ELMRegressor(5, random_state=0).initialize(X))


# Libraries


def test_importing_daskelm_imports_nothing_of_onnx():
    code = (
        "import sys; from daskelm import *; import daskelm.onnx\n"
        "print(*{'onnx', 'skl2onnx', 'onnxruntime', 'skops'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "\n"


@pytest.mark.parametrize("missing", ["skl2onnx", "onnx.helper"])
def test_a_missing_library_is_an_error_that_names_the_extra(monkeypatch, missing):
    def import_module(name, *rest):
        if name == missing:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *rest)

    real = importlib.import_module
    monkeypatch.setattr("daskelm.onnx.graph.import_module", import_module)
    with pytest.raises(MissingExtraError, match=rf"cannot be imported \(No module named '{missing}'.*daskelm\[onnx\]"):
        to_onnx(ELMRegressor(5, random_state=0).fit(X, Y))


@every_precision
@pytest.mark.parametrize("name", [*KINDS, "numpy.sin"])
def test_a_column_that_never_varied_enters_no_graph(name, dtype):
    rng = np.random.default_rng(3)
    rows = np.column_stack([X, np.full(150, -4.0)]).astype(dtype)
    with pytest.warns(ScaleWarning, match="3 of X never varied"):
        model = HiddenLayer([(4, name if name in KINDS else KIND[name])], random_state=1).fit(rows)
    graph = to_onnx(model)
    [expected] = run(graph, rows)
    # So large that a difference from a mean would overflow.
    rows[:, 3] = rng.choice([-1, 0, 1], 150) * np.finfo(dtype).max
    [got] = run(graph, rows)
    np.testing.assert_array_equal(got, expected)
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-14}
    np.testing.assert_allclose(got, model.transform(rows), **tolerance)
