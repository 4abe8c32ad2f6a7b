"""Classifiers: labels of any type, classes from parts, class weights, label sets, probabilities."""

import dask.array as da
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, make_multilabel_classification
from sklearn.metrics import brier_score_loss
from small_table import LABELS, X, Y

from daskelm import ELMClassifier, Neurons, load, make_hdf5
from daskelm.exceptions import DataError, InputTypeError, ParameterError


def classifier(**options):
    return ELMClassifier(20, random_state=0, **options)


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


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf, "a"])
def test_class_weights_are_numbers(weight):
    with pytest.raises(
        ParameterError, match="class_weight must hold numbers that are 0, or between 1e-50 and .*; got .* for"
    ):
        classifier(class_weight={False: weight}).fit(X, Y > 0)
