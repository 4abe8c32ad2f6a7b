"""Probabilities: calibrated on rows that the solution has not seen, in the order of the outputs, never 0 or 1."""

import pickle

import dask.array as da
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_classification
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from daskelm import ELMClassifier, ELMClassifierCV, NormalEquations, load, make_hdf5
from daskelm.data.probabilities import ProbabilityLink, as_classes, probabilities, project_to_simplex
from daskelm.exceptions import DataError, IllConditionedWarning, NotSolvedError
from daskelm.selection.calibration import _CENTRE, _LogLoss, fit_link
from daskelm.selection.unseen import sample_rows, unseen_outputs

RNG = np.random.default_rng(0)
X, Y = make_classification(600, 6, n_informative=4, n_classes=3, flip_y=0.1, random_state=0)
WORDS = np.array(["low", "mid", "top"])[Y]
MANY = np.stack([X[:, 0] + RNG.standard_normal(600) > 0, X[:, 1] * X[:, 2] > 0.3], axis=1).astype(int)
LABELS = {"three": WORDS, "two": Y > 0, "sets": MANY}


def fitted(y, **params):
    return ELMClassifier(20, random_state=0, **params).fit(X, y)


def numbers(model):
    return np.array([model.probability_link_.temperature, model.probability_link_.power])


def three_classes():
    return make_classification(
        8000, 20, n_informative=8, n_classes=3, n_clusters_per_class=2, flip_y=0.05, random_state=0
    )


def rare():
    return make_classification(20_000, 15, n_informative=6, weights=[0.997], flip_y=0.001, random_state=1)


def digits():
    x, y = load_digits(return_X_y=True)
    return x[:, x[:600].std(axis=0) > 0.3], y


def gap(p, y):
    """Expected calibration error of the class of the largest probability, in ten bins."""
    surest, hit = p.max(axis=1), p.argmax(axis=1) == y
    bins = np.minimum((10 * surest).astype(int), 9)
    return np.abs(np.bincount(bins, surest - hit, 10)).sum() / len(p)


# What they are worth


@pytest.mark.parametrize(
    ("table", "brier", "loss"),
    [
        (digits, 0.05, 0.12),
        (lambda: load_breast_cancer(return_X_y=True), 0.072, 0.16),
        (lambda: load_wine(return_X_y=True), 0.05, 0.11),
        (three_classes, None, 0.66),
        (rare, None, 0.03),
    ],
    ids=["digits", "cancer", "wine", "three", "rare"],
)
def test_scores_on_rows_that_were_not_fitted(table, brier, loss):
    x, y = table()
    found = []
    for seed in range(10 if len(x) < 1000 else 2):
        x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=seed, stratify=y)
        model = ELMClassifier(random_state=0).fit(x_train, y_train)
        p = model.predict_proba(x_test)
        right = np.eye(p.shape[1])[y_test]
        without = log_loss(y_test, model.solve().predict_proba(x_test))
        found.append([np.square(p - right).sum(axis=1).mean(), log_loss(y_test, p), gap(p, y_test), without])
    means = np.mean(found, axis=0)
    assert brier is None or means[0] < brier
    assert means[1] < loss
    assert means[2] < 0.05
    assert means[1] < means[3]


# What they keep to


@pytest.mark.parametrize("linked", [True, False])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", LABELS)
def test_predictions_are_those_of_the_outputs_and_of_the_largest_probability(name, dtype, linked, tmp_path):
    x, y = X.astype(dtype), LABELS[name]
    model = ELMClassifier(20, random_state=0).fit(x, y)
    labels = model.predict(x)
    if not linked:
        model.solve()
        assert model.probability_link_ is None
    decisions = model.decision_function(x)
    for rows in (x, da.from_array(x, chunks=101), make_hdf5(x, tmp_path / "x.h5")):
        p = np.asarray(model.predict_proba(rows))
        np.testing.assert_array_equal(np.asarray(model.predict(rows)), labels)
        assert p.min() > 0
        assert p.max() < 1
        if name == "sets":
            np.testing.assert_array_equal(labels, p > 0.5)
            np.testing.assert_array_equal(labels, decisions > 0)
            continue
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
        np.testing.assert_array_equal(labels, model.classes_[p.argmax(axis=1)])
        largest = decisions > 0 if decisions.ndim == 1 else decisions.argmax(axis=1)
        np.testing.assert_array_equal(labels, model.classes_[largest.astype(int)])


@pytest.mark.parametrize("link", [None, ProbabilityLink(np.array([1e4]), np.array([3.0]))], ids=["simplex", "steep"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_order_of_the_outputs_survives_any_rounding(dtype, link):
    # Outputs that differ by rounding alone, and outputs far outside of 0 and 1.
    for spread in (1e-15, 1e-9, 1e-4, 1.0, 1e3):
        outputs = 0.4 + spread * RNG.standard_normal((2000, 5))
        p = probabilities(outputs, False, link).astype(dtype)
        np.testing.assert_array_equal(p.argmax(axis=1), outputs.argmax(axis=1))
        two = 0.5 + spread * RNG.standard_normal((2000, 1))
        p_two, p_many = (probabilities(two, multi, link).astype(dtype) for multi in (False, True))
        np.testing.assert_array_equal(p_two.argmax(axis=1), two[:, 0] > 0.5)
        np.testing.assert_array_equal(p_many > 0.5, two > 0.5)
        for each in (p, p_two, p_many):
            assert each.min() > 0
            assert each.max() < 1
    equal = np.full((3, 1), 0.5)
    np.testing.assert_allclose(probabilities(equal, False, link), 0.5, rtol=1e-15)
    assert not (probabilities(equal, True, link) > 0.5).any()


def test_without_a_link_they_are_the_nearest_point_of_the_simplex():
    outputs = RNG.standard_normal((100, 4))
    np.testing.assert_allclose(probabilities(outputs, False), project_to_simplex(outputs), atol=3e-6)
    np.testing.assert_allclose(probabilities(outputs, True), np.clip(outputs, 0, 1), atol=3e-6)
    np.testing.assert_allclose(probabilities(outputs[:, :1], False)[:, 1], np.clip(outputs[:, 0], 0, 1), atol=3e-6)


# How the link is found


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_outputs_are_those_of_models_without_the_row(name, fit_intercept):
    # A row has the model without its fold; where there are no folds, the model without the row alone.
    y = LABELS[name]
    weights = RNG.choice([0.0, 1.0, 2.5], 600)
    model = ELMClassifier(20, random_state=0, fit_intercept=fit_intercept).fit(X, y, weights)
    layer, sums, targets = model.hidden_layer_, model.normal_equations_, model._known_targets()
    rows = sample_rows(layer, targets, X, y, weights)
    assert len(rows.X) == np.count_nonzero(weights)
    from daskelm.sums.content import folds_of, row_hashes

    folds = folds_of(row_hashes(X), len(sums.folds))
    of_folds = unseen_outputs(layer, sums, model._fitted.solution, rows).outputs
    H, T = layer(X), targets.encode(y)

    def by_hand(train, test):
        w = weights * train
        mean_H, mean_T = (w @ H / w.sum(), w @ T / w.sum()) if fit_intercept else (0 * H[0], 0 * T[0])
        A = ((H - mean_H) * w[:, None]).T @ (H - mean_H) + model.alpha_ * np.eye(H.shape[1])
        return (H[test] - mean_H) @ np.linalg.solve(A, ((H - mean_H) * w[:, None]).T @ (T - mean_T)) + mean_T

    expected = np.empty_like(T)
    for fold in range(len(sums.folds)):
        expected[folds == fold] = by_hand(folds != fold, folds == fold)
    np.testing.assert_allclose(of_folds, expected[weights > 0], atol=1e-8)
    model.set_params(alpha=model.alpha_).fit(X, y, weights)
    assert not model.normal_equations_.folds
    left_out = unseen_outputs(layer, model.normal_equations_, model._fitted.solution, rows).outputs
    for i, row in enumerate(np.flatnonzero(weights)[:20]):
        np.testing.assert_allclose(left_out[i], by_hand(np.arange(600) != row, [row])[0], atol=1e-8)


def test_derivatives_of_the_loss():
    below = np.abs(RNG.standard_normal((50, 3)))
    below[np.arange(50), RNG.integers(3, size=50)] = 0
    loss = _LogLoss(below, RNG.integers(3, size=50), np.full(50, 0.02), 50.0)
    for at in (_CENTRE, np.array([0.3, -0.4]), np.array([3.0, 0.5])):
        steps = 1e-5 * np.eye(2)
        slopes = [(loss.value(at + step) - loss.value(at - step)) / 2e-5 for step in steps]
        np.testing.assert_allclose(loss.gradient(at), slopes, rtol=1e-6, atol=1e-8)
        curved = [(loss.gradient(at + step) - loss.gradient(at - step)) / 2e-5 for step in steps]
        np.testing.assert_allclose(loss.hessian(at), curved, rtol=1e-6, atol=1e-8)


def test_the_link_that_outputs_were_made_by_is_found():
    link = ProbabilityLink(np.array([4.0, 9.0]), np.array([0.7, 1.4]))
    outputs = RNG.uniform(-0.3, 1.3, (100_000, 2))
    T = (RNG.random(outputs.shape) < probabilities(outputs, True, link)).astype(float)
    found = fit_link(outputs, T, None, multi=True)
    np.testing.assert_allclose(found.temperature, link.temperature, rtol=0.04)
    np.testing.assert_allclose(found.power, link.power, rtol=0.04)
    # Labels are fitted one by one, and a label is a table of two classes.
    alone = fit_link(outputs[:, :1], T[:, :1], None, multi=False)
    assert (alone.temperature[0], alone.power[0]) == pytest.approx((found.temperature[0], found.power[0]), rel=1e-9)
    assert as_classes(outputs, True).shape == (100_000, 2, 2)


@pytest.mark.parametrize("name", LABELS)
def test_a_weight_of_two_is_the_row_twice(name):
    y, twice = LABELS[name], np.repeat(np.arange(600), 2)
    weighted = ELMClassifier(20, random_state=0).fit(X, y, np.full(600, 2.0))
    np.testing.assert_allclose(numbers(weighted), numbers(fitted(y).fit(X[twice], y[twice])), rtol=1e-6)
    # The scale of small weights says nothing.
    tiny = ELMClassifier(20, random_state=0).fit(X, y, np.full(600, 1e-9))
    np.testing.assert_allclose(numbers(tiny), numbers(fitted(y)), rtol=1e-6)


@pytest.mark.parametrize("name", LABELS)
def test_chunks_and_containers_do_not_change_it(name, tmp_path, monkeypatch):
    monkeypatch.setattr("daskelm.selection.unseen._MOST_ROWS", 300)
    monkeypatch.setattr("daskelm.selection.unseen._LEAST_ROWS", 100)
    y = np.unique(WORDS, return_inverse=True)[1] if name == "three" else LABELS[name]
    expected = numbers(fitted(y))
    paths = make_hdf5(X, tmp_path / "x.h5"), make_hdf5(np.asarray(y, int), tmp_path / "y.h5")
    arrays = [[da.from_array(part, chunks=(n, -1)[: part.ndim]) for part in (X, y)] for n in (1, 97, 600)]
    for rows in (paths, *arrays):
        np.testing.assert_allclose(numbers(fitted(y).solve().calibrate(*rows)), expected, rtol=1e-8)


@pytest.mark.filterwarnings("ignore::daskelm.exceptions.PenaltyWarning")
@pytest.mark.parametrize("alpha", ["auto", 1.0, "gcv"])
def test_degenerate_tables(alpha):
    model = ELMClassifier(20, alpha=alpha, random_state=0)
    separable = np.r_[X[:60] - 5, X[:60] + 5]
    one_row_of_a_class = np.r_[np.zeros(59), 1]
    for x, y in (
        (separable, np.repeat([0, 1], 60)),
        (X[:60], one_row_of_a_class),
        (X[:4], [0, 1, 2, 0]),
        (X[:2], ["a", "b"]),
        (np.repeat(X[:2], 20, axis=0), np.tile([0, 1], 20)),
    ):
        with np.errstate(all="raise"):
            p = model.fit(x, y).predict_proba(x)
        assert np.isfinite(p).all()
        assert 0 < p.min() <= p.max() < 1
        np.testing.assert_array_equal(model.classes_[p.argmax(axis=1)], model.predict(x))


def test_rows_that_a_model_follows_wholly_say_nothing():
    with pytest.warns(IllConditionedWarning):
        model = ELMClassifier(100, alpha=0.0, random_state=0).fit(X[:50], Y[:50] > 0)
    assert model.probability_link_ is None


# Where it is kept


@pytest.mark.parametrize("name", LABELS)
def test_it_is_kept_in_files_and_pickles(name, tmp_path):
    model = fitted(LABELS[name])
    expected = model.predict_proba(X)
    model.save(tmp_path / "m.h5")
    for again in (load(tmp_path / "m.h5"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.predict_proba(X), expected)
        np.testing.assert_array_equal(numbers(again), numbers(model))


def test_other_sums_have_no_link_until_it_is_fitted():
    model = fitted(WORDS)
    expected, given = numbers(model), model.predict_proba(X)
    assert model.set_params(alpha=1.0).solve().probability_link_ is None
    assert model.set_params(alpha="auto").solve().probability_link_ is None
    assert np.abs(model.predict_proba(X) - given).max() > 0.01
    # The folds of the sums make rows that were fitted as good as others.
    np.testing.assert_allclose(numbers(model.calibrate(X, WORDS)), expected, rtol=1e-8)
    assert model.partial_fit(X[:9], WORDS[:9]).probability_link_ is None
    assert fitted(WORDS).remove(X[:9], WORDS[:9]).probability_link_ is None
    assert fitted(WORDS).select().probability_link_ is None


def test_a_model_without_sums_is_calibrated_by_its_own_outputs(tmp_path):
    model = ELMClassifier(20, random_state=0).fit(X[:300], WORDS[:300])
    model.save(tmp_path / "m.h5")
    again = load(tmp_path / "m.h5").calibrate(X[300:], WORDS[300:], np.full(300, 3.0))
    outputs = X[300:] @ np.zeros((6, 3)) + again.decision_function(X[300:])
    expected = fit_link(outputs, np.eye(3)[Y[300:]], np.full(300, 3.0), multi=False)
    np.testing.assert_allclose(numbers(again)[:, 0], [expected.temperature[0], expected.power[0]], rtol=1e-9)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_a_grid_is_calibrated_too():
    model = ELMClassifierCV(60, n_neurons=[20, 60], cv=3, random_state=0).fit(X, WORDS)
    plain = ELMClassifier(60, alpha=model.alpha_, random_state=0)
    if model.n_neurons_ == 60:
        np.testing.assert_allclose(numbers(model), numbers(plain.fit(X, WORDS)), rtol=1e-6)
    assert log_loss(WORDS, model.predict_proba(X)) < 0.8


def test_errors_of_calibrate():
    with pytest.raises(NotSolvedError, match="not fitted"):
        ELMClassifier().calibrate(X, Y)
    model = fitted(WORDS)
    with pytest.raises(DataError, match=r"^y must have one label per row, as in fit; got shape \(600, 2\)"):
        model.calibrate(X, MANY)
    with pytest.raises(DataError, match=r"^y must have 2 columns of labels, as in fit; got shape \(600,\)"):
        fitted(MANY).calibrate(X, Y)
    with pytest.raises(DataError, match=r"^y: every label must be one of the classes .*got \['other'\]"):
        model.calibrate(X[:2], ["low", "other"])
    with pytest.raises(DataError, match="^X must hold rows of positive weight; got 600 rows without"):
        model.calibrate(X, WORDS, da.zeros(600))
    assert isinstance(model.normal_equations_, NormalEquations)
    np.testing.assert_array_equal(numbers(model), numbers(fitted(WORDS)))
