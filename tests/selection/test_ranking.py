"""Ranking and pruning of neurons: the orders that textbooks and scikit-learn give, from the sums alone."""

import itertools
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import lars_path_gram, orthogonal_mp_gram
from sklearn.model_selection import KFold

from daskelm import ELMClassifier, ELMClassifierCV, ELMRegressor, ELMRegressorCV, Neurons, load
from daskelm.exceptions import ParameterError
from daskelm.layer.sublayer import nested_order, sublayer
from daskelm.selection.criterion import Grid
from daskelm.selection.ranking import RANKINGS, check_ranking, ranked
from daskelm.sums.some_neurons import take_neurons

N, D, L = 400, 6, 40
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D))
Y = np.stack([np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2], 100 * np.abs(X[:, 3]), X[:, 4] - X[:, 5]], axis=1)
Y += [0.1, 10, 0.1] * RNG.standard_normal((N, 3))
LABELS = np.digitize(Y[:, 0], [-0.5, 0.5])
WEIGHTS = RNG.choice([0.0, 0.5, 1.0, 3.0], N)
NEURONS = [Neurons("tanh", 0.5 * RNG.standard_normal((D, L)), RNG.standard_normal(L))]
every_ranking = pytest.mark.parametrize("ranking", RANKINGS)


def sums_of(T, weights=None, neurons=NEURONS):
    # Which is not solved.
    return ELMRegressor(neurons, standardize=False).partial_fit(X, T, sample_weight=weights).normal_equations_


def order_of(T, ranking, weights=None, fit_intercept=True):
    return ranked(sums_of(T, weights), np.arange(L), ranking, fit_intercept=fit_intercept)


def standardised(T, weights=None, fit_intercept=True):
    """H and T by rows, in the units that correlations have."""
    w = np.ones(N) if weights is None else weights
    found = []
    for columns in (NEURONS[0](X), T.reshape(N, -1)):
        about = columns - (w @ columns / w.sum() if fit_intercept else 0)
        about = about * np.sqrt(w)[:, None]
        found.append(about / np.linalg.norm(about, axis=0))
    return found


def fitted(h, t, taken):
    return h[:, taken] @ np.linalg.lstsq(h[:, taken], t, rcond=None)[0]


def greedy(h, t):
    taken = []
    while len(taken) < L:
        residual = t - fitted(h, t, taken) if taken else t
        useful = np.square(h.T @ residual).sum(axis=1)
        useful[taken] = -1
        taken.append(int(useful.argmax()))
    return taken


def least_angle(h, t):
    """Similä, Tikka (2005) by the rows, and by all combinations of signs of the targets."""
    signs = np.array(list(itertools.product([-1, 1], repeat=t.shape[1])))
    taken, outputs = [int(np.abs(h.T @ t).sum(axis=1).argmax())], np.zeros_like(t)
    while len(taken) < L:
        towards = fitted(h, t, taken) - outputs
        a, b = h.T @ (t - outputs), h.T @ towards
        level = np.abs(a[taken]).sum(axis=1)
        assert np.ptp(level) < 1e-10
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = (level[0] + signs @ a.T) / (level[0] + signs @ b.T)
        steps[:, taken] = np.inf
        steps[steps <= 0] = np.inf
        outputs += steps.min() * towards
        taken.append(int(steps.min(axis=0).argmin()))
    return taken


# The orders


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("targets", [Y, Y[:, 0]], ids=["three targets", "one"])
def test_orders_are_those_of_the_rows(weights, fit_intercept, targets):
    h, t = standardised(targets, weights, fit_intercept)
    assert order_of(targets, "omp", weights, fit_intercept).tolist() == greedy(h, t)
    assert order_of(targets, "mrsr", weights, fit_intercept).tolist() == least_angle(h, t)


def test_matching_pursuit_is_that_of_scikit_learn():
    h, t = standardised(Y[:, 0])
    order = order_of(Y[:, 0], "omp")
    for n in range(1, L):
        coef = orthogonal_mp_gram(h.T @ h, h.T @ t[:, 0], n_nonzero_coefs=n)
        assert set(np.flatnonzero(coef)) == set(order[:n])


@pytest.mark.parametrize("target", range(3))
def test_least_angles_are_those_of_scikit_learn(target):
    h, t = standardised(Y[:, target])
    _, entered, coefs = lars_path_gram(h.T @ t[:, 0], h.T @ h, n_samples=N, method="lar")
    order = order_of(Y[:, target], "lars")
    # Until a coefficient passes zero, where scikit-learn turns a sign: from there on correlations rise again there.
    turned = [(coefs[:, k] * coefs[:, k + 1] < 0).any() for k in range(coefs.shape[1] - 1)]
    same = [*turned, True].index(True)
    assert same > 4
    assert order[:same].tolist() == entered[:same]
    assert order.tolist() == order_of(Y[:, target], "mrsr").tolist()


@every_ranking
def test_what_the_target_depends_on_comes_first(ranking):
    which = [3, 8, 17, 26, 39]
    inputs = RNG.standard_normal((N, L))
    layer = Neurons("tanh", np.diag(RNG.uniform(0.5, 2, L)), RNG.uniform(-1, 1, L))
    T = layer(inputs)[:, which] @ [2.0, -1.0, 1.5, 2.5, -2.0] + 0.01 * RNG.standard_normal(N)
    for cv in (None, "loo", 5):
        model = ELMRegressorCV(layer, n_neurons=[2, 5], alphas=1e-3, ranking=ranking, cv=cv, standardize=False)
        model.fit(inputs, T + 1e6)
        assert set(model.ranking_[:5]) == set(which)
        assert model.n_neurons_ == 5
        assert model.best_score_ > 0.999
        np.testing.assert_array_equal(model.transform(inputs), layer(inputs)[:, which])


@every_ranking
def test_without_noise_the_rest_is_in_nested_order(ranking):
    inputs = [Neurons("lin", np.eye(D), np.zeros(D))]
    order = ranked(sums_of(X[:, 4] - 3 * X[:, 2], neurons=inputs), np.arange(D), ranking)
    assert order.tolist() == [2, 4, 0, 1, 3, 5]


@every_ranking
def test_dependent_and_constant_neurons_stand_at_the_end(ranking):
    W, b = NEURONS[0].W[:, [0, 1, 0, 2, 1, 3, 4]].copy(), NEURONS[0].b[[0, 1, 0, 2, 1, 3, 4]].copy()
    # The sixth is 1 for all rows, but for rounding.
    W[:, 5], b[5] = 1e-14, 12.0
    neurons = [Neurons("tanh", W, b), Neurons("lin", 1e6 * np.c_[np.eye(D)[:, :1], np.ones(D)], [1e8, -1e8])]
    order = ranked(sums_of(Y[:, 0], neurons=neurons), np.arange(9), ranking)
    assert sorted(order[:6]) == [0, 1, 3, 6, 7, 8]
    assert order[6:].tolist() == [2, 4, 5]


@every_ranking
@pytest.mark.parametrize("target", [0.0, 1e9])
def test_targets_that_are_constant_tell_nothing(ranking, target):
    constant = np.full(N, target)
    assert order_of(constant, ranking).tolist() == list(range(L))
    if ranking != "lars":
        both = np.c_[constant, Y[:, 0]]
        assert order_of(both, ranking).tolist() == order_of(Y[:, 0], ranking).tolist()


@every_ranking
def test_units_do_not_matter(ranking):
    T = Y[:, 0] if ranking == "lars" else Y
    scaled = [Neurons("lin", np.diag(10.0 ** np.linspace(-3, 3, L)), np.full(L, 1e3))]
    model = ELMRegressor(scaled, standardize=False, alpha=1.0).fit(NEURONS[0](X), -1e3 * T)
    other = ranked(model.normal_equations_, np.arange(L), ranking)
    assert other.tolist() == order_of(T, ranking).tolist()


def test_no_ranking_is_the_order_given():
    order = np.arange(L)[::-1]
    assert ranked(sums_of(Y), order, None) is order


# In the selection


GRID = {"n_neurons": [3, 12, 25], "alphas": [0.1, 1.0], "standardize": False}
SOME = [
    Neurons("lin", np.eye(D), np.zeros(D)),
    Neurons("tanh", NEURONS[0].W[:, :25], NEURONS[0].b[:25]),
    Neurons("sigm", NEURONS[0].W[:, 25:], NEURONS[0].b[25:]),
]
FULL = ELMRegressor(SOME, standardize=False).initialize(X).hidden_layer_


def ranked_by(rows, T, ranking, weights=None):
    plain = ELMRegressor(SOME, standardize=False, alpha=1.0)
    sums = plain.fit(X[rows], T[rows], None if weights is None else weights[rows]).normal_equations_
    return ranked(sums, nested_order(FULL), ranking)


@pytest.mark.parametrize("scoring", ["neg_mean_squared_error", "neg_mean_absolute_error"])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("ranking", ["omp", "mrsr"])
def test_each_training_part_ranks_its_own_neurons(scoring, shuffle, ranking):
    cv = KFold(3, shuffle=shuffle, random_state=0 if shuffle else None)
    model = ELMRegressorCV(SOME, ranking=ranking, cv=cv, scoring=scoring, **GRID).fit(X, Y, WEIGHTS)
    error = np.square if scoring == "neg_mean_squared_error" else np.abs
    orders = []
    for i, (train, test) in enumerate(cv.split(X)):
        orders.append(ranked_by(train, Y, ranking, WEIGHTS))
        expected = []
        for alpha, size in itertools.product(GRID["alphas"], GRID["n_neurons"]):
            plain = ELMRegressor(list(sublayer(FULL, size, orders[-1])[0].groups), alpha=alpha, standardize=False)
            plain.set_params(clip=False)
            p = plain.fit(X[train], Y[train], WEIGHTS[train]).predict(X[test])
            expected.append(-np.average(error(p - Y[test]), axis=0, weights=WEIGHTS[test]).mean())
        np.testing.assert_allclose(model.cv_results_[f"split{i}_test_score"], expected, atol=1e-8)
    assert len({tuple(order) for order in orders}) == 3
    assert model.ranking_.tolist() == ranked_by(slice(None), Y, ranking, WEIGHTS).tolist()


@pytest.mark.parametrize("cv", [None, "gcv", "loo", 3])
@every_ranking
def test_the_chosen_model_has_the_best_neurons(tmp_path, cv, ranking):
    T = Y[:, 0] if ranking == "lars" else Y
    model = ELMRegressorCV(SOME, ranking=ranking, cv=cv, **GRID | {"n_neurons": [12]}).fit(X, T)
    assert model.ranking_.tolist() == ranked_by(slice(None), T, ranking).tolist()
    columns = np.sort(model.ranking_[:12])
    np.testing.assert_array_equal(model.transform(X), FULL(X)[:, columns])
    plain = ELMRegressor(list(model.hidden_layer_.groups), alpha=model.alpha_, standardize=False).fit(X, T)
    np.testing.assert_allclose(model.predict(X), plain.predict(X), atol=1e-9)
    np.testing.assert_allclose(model.normal_equations_.HH, plain.normal_equations_.HH, atol=1e-9)
    assert model.normal_equations_.fingerprint == plain.normal_equations_.fingerprint
    model.save(tmp_path / "model.h5", sums=True)
    again = load(tmp_path / "model.h5")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(again.ranking_, model.ranking_)
    assert again.ranking_.dtype == model.ranking_.dtype
    assert (again.ranking, again.n_neurons_, again.normal_equations_.n_neurons) == (ranking, 12, 12)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).ranking_, model.ranking_)
    again.save(tmp_path / "again.h5")
    assert load(tmp_path / "again.h5").ranking_.tolist() == model.ranking_.tolist()
    assert not hasattr(again.set_params(ranking=None).fit(X, T), "ranking_")


@pytest.mark.parametrize("cv", ["gcv", "loo"])
def test_all_rows_rank_once_without_folds(cv):
    model = ELMRegressorCV(SOME, ranking="mrsr", cv=cv, **GRID).fit(X, Y)
    order = ranked_by(slice(None), Y, "mrsr")
    for size in GRID["n_neurons"]:
        groups = list(sublayer(FULL, size, order)[0].groups)
        plain = ELMRegressorCV(groups, cv=cv, alphas=GRID["alphas"], standardize=False).fit(X, Y)
        of_size = model.cv_results_["param_n_neurons"] == size
        np.testing.assert_allclose(
            model.cv_results_["mean_test_score"][of_size], plain.cv_results_["mean_test_score"], atol=1e-10
        )


def test_classes():
    T = (LABELS[:, None] == np.unique(LABELS)).astype(float)
    for targets, like, ranking in ((LABELS, T, "mrsr"), (LABELS == 0, 1.0 * (LABELS == 0), "lars")):
        model = ELMClassifierCV(SOME, ranking=ranking, cv=3, **GRID).fit(X, targets)
        assert model.ranking_.tolist() == ranked_by(slice(None), like, ranking).tolist()
        plain = ELMClassifier(list(model.hidden_layer_.groups), alpha=model.alpha_, standardize=False)
        np.testing.assert_allclose(model.predict_proba(X), plain.fit(X, targets).predict_proba(X), atol=1e-5)


def test_drawn_neurons_are_pruned_with_their_scale(tmp_path):
    model = ELMRegressorCV([(4, "lin"), (30, "tanh"), (6, "relu")], ranking="omp", n_neurons=9, random_state=0)
    model.fit(10 * X + 3, Y)
    full = ELMRegressor(model.neurons, random_state=0).fit(10 * X + 3, Y)
    columns = np.sort(model.ranking_[:9])
    np.testing.assert_allclose(model.transform(10 * X + 3), full.transform(10 * X + 3)[:, columns], atol=1e-14)
    sums = take_neurons(full.normal_equations_, columns, model.hidden_layer_.fingerprint)
    np.testing.assert_array_equal(model.normal_equations_.HH, sums.HH)
    model.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(load(tmp_path / "model.h5").predict(X), model.predict(X))


def test_a_grid_of_its_own():
    model = ELMRegressorCV(200, ranking="mrsr", alphas=1.0, cv=2, random_state=0)
    sizes = clone(model).fit(X, Y).cv_results_["param_n_neurons"].tolist()
    assert sizes == [2, 3, 6, 9, 15, 26, 43, 72, 120, 200]
    assert Grid.of(None, None, FULL, ranking="omp").sizes == [1, 2, 4, 5, 8, 13, 20, 30, 46]
    assert Grid.of(None, None, FULL).sizes == [46]
    small = ELMRegressor(Neurons("tanh", np.ones((D, 1)), [0.0]), standardize=False).initialize(X).hidden_layer_
    assert Grid.of(None, None, small, ranking="omp").sizes == [1]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_some_of_the_inputs_pass_through_exactly(dtype):
    inputs = (1e8 * RNG.standard_normal((50, D))).astype(dtype)
    whole = Neurons("lin", np.eye(D), np.zeros(D))
    for kept in ([0, 1, 2], [2, 3], [5], [0, 2, 5], [4, 1]):
        some = Neurons("lin", whole.W[:, kept], whole.b[kept])
        np.testing.assert_array_equal(some(inputs), inputs[:, kept])
        assert some._passed_inputs is not None
    for other in (
        Neurons("lin", 2 * whole.W, whole.b),
        Neurons("lin", whole.W, whole.b + 1),
        Neurons("tanh", whole.W, whole.b),
    ):
        assert other._passed_inputs is None


# Parameters


@pytest.mark.parametrize(
    ("ranking", "message"),
    [
        ("best", "ranking must be None, for the nested order, or one of 'omp', 'lars', 'mrsr'; got 'best'"),
        (True, "ranking must be None, .* got True"),
        (["omp"], r"ranking must be None, .* got \['omp'\]"),
        ("lars", "ranking: 'lars' is for one target; got 3, where .* Use ranking='mrsr'"),
    ],
)
def test_rankings_that_cannot_be_used(ranking, message):
    with pytest.raises(ParameterError, match=message):
        ELMRegressorCV(20, ranking=ranking).fit(X, Y)
    with pytest.raises(ParameterError, match=message):
        ELMClassifierCV(20, ranking=ranking).fit(X, LABELS)


def test_rankings_are_checked():
    assert check_ranking(None, 3) is None
    assert check_ranking("lars", 1) == "lars"
