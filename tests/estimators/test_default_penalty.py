"""The default penalty: chosen from one pass, the same whatever the chunks, and never a disaster."""

import pickle

import dask.array as da
import numpy as np
import pytest
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor, BaggingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import train_test_split

from daskelm import ELMClassifier, ELMRegressor, NormalEquations, load, make_hdf5, merge
from daskelm.exceptions import PenaltyWarning
from daskelm.passes.accumulator import Accumulator
from daskelm.passes.memory import PassSizes
from daskelm.passes.tasks import Pass
from daskelm.sums.folds import n_distinct

RNG = np.random.default_rng(0)
N = 1000
X = RNG.standard_normal((N, 2))
WEIGHTS = RNG.choice([0.0, 1.0, 2.0, 3.0], N)


def truth(X):
    return np.sin(np.pi * X[:, 0] * X[:, 1]) + X[:, 0]


Y = truth(X) + RNG.normal(0, 0.3, N)


@pytest.fixture(scope="module")
def expected():
    return ELMRegressor(random_state=0).fit(X, Y)


def assert_same(model, expected):
    assert model.alpha_chosen_by_ == "folds"
    assert model.alpha_ == pytest.approx(expected.alpha_, rel=1e-9)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-6 * np.abs(expected.coef_).max())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [250, 1000])
def test_ordinary_rows_of_normal_inputs_are_no_disaster(n, seed):
    """Generalised cross-validation had R2 down to -300 here: a few rows in the tails are followed exactly."""
    random = np.random.default_rng(seed)
    rows, new = random.standard_normal((n, 2)), random.standard_normal((3000, 2))
    y = truth(rows) + random.normal(0, 0.3, n)
    ridge = RidgeCV(np.logspace(-3, 3, 13)).fit(rows, y).score(new, truth(new))
    assert ELMRegressor(random_state=seed).fit(rows, y).score(new, truth(new)) > ridge
    assert ELMRegressor(alpha="gcv", clip=False, random_state=seed).fit(rows, y).score(new, truth(new)) < 0


def test_it_is_the_same_in_any_chunks(expected, client):
    for chunks in (1000, (130, 1, 600, 269)):
        lazy = da.from_array(X, chunks=(chunks, 2)), da.from_array(Y, chunks=(chunks,))
        assert_same(ELMRegressor(random_state=0).fit(*lazy), expected)


def test_it_is_the_same_in_steps_and_files(expected, tmp_path, no_client):
    in_parts = ELMRegressor(random_state=0).initialize(X)
    for start in range(0, N, 300):
        in_parts.partial_fit(X[start : start + 300], Y[start : start + 300])
    assert_same(in_parts, expected)
    files = make_hdf5(X, tmp_path / "X.h5"), make_hdf5(Y, tmp_path / "Y.h5")
    jobs = ELMRegressor(random_state=0).initialize(X)
    for i, (start, stop) in enumerate([(0, 10), (10, 700), (700, N)]):
        jobs.accumulate(*files, rows=slice(start, stop), into=tmp_path / f"sums-{i}.h5")
    assert_same(jobs.solve(str(tmp_path / "sums-*.h5")), expected)
    total = merge(str(tmp_path / "sums-*.h5"), into=tmp_path / "total.h5")
    again = NormalEquations.load(tmp_path / "total.h5")
    for one, other in zip((total, *total.folds), (again, *again.folds), strict=True):
        for name in ("packed", "cross", "reference_H", "least_T", "most_T", "distinct"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert (one.n_samples, one.n_counted, one.sum_counts) == (other.n_samples, other.n_counted, other.sum_counts)
    assert_same(ELMRegressor(random_state=0).fit(*files, checkpoint=tmp_path / "work.h5"), expected)


def test_rows_that_are_removed_were_never_there(tmp_path, no_client):
    rest = ELMRegressor(random_state=0).initialize(X).partial_fit(X[100:], Y[100:])
    in_memory = ELMRegressor(random_state=0).initialize(X).partial_fit(X, Y).remove(X[:100], Y[:100])
    assert_same(in_memory, rest)
    files = make_hdf5(X, tmp_path / "X.h5"), make_hdf5(Y, tmp_path / "Y.h5")
    model = ELMRegressor(random_state=0).initialize(X).accumulate(*files, into=tmp_path / "sums.h5")
    model.remove(*files, rows=slice(0, 100), sums=tmp_path / "sums.h5")
    assert_same(model.solve(tmp_path / "sums.h5"), rest)
    # All rows are removed, and others come: there are folds still.
    in_memory.remove(X[100:], Y[100:]).partial_fit(X, Y)
    assert in_memory.alpha_chosen_by_ == "folds"


def test_it_is_kept_with_the_model(expected, tmp_path):
    expected.save(tmp_path / "model.h5", sums=True)
    for again in (load(tmp_path / "model.h5"), pickle.loads(pickle.dumps(expected))):
        assert_same(again, expected)
        assert_same(again.solve(), expected)


def test_the_scale_of_weights_does_not_matter(expected):
    for scale in (1e-6, 1.25, 1000.0):
        model = ELMRegressor(random_state=0).fit(X, Y, np.full(N, scale))
        assert model.alpha_ / scale == pytest.approx(expected.alpha_, rel=1e-9)
        np.testing.assert_allclose(model.predict(X), expected.predict(X), atol=1e-6)


def test_weights_are_repeated_rows_and_none_is_absence():
    layer = ELMRegressor(random_state=0).initialize(X)
    weighted = pickle.loads(pickle.dumps(layer)).partial_fit(X, Y, WEIGHTS)
    times = WEIGHTS.astype(int)
    repeated = pickle.loads(pickle.dumps(layer)).partial_fit(np.repeat(X, times, axis=0), np.repeat(Y, times))
    assert_same(weighted, repeated)
    assert weighted.normal_equations_.n_samples == N
    assert weighted.normal_equations_.n_counted == np.count_nonzero(times)
    assert n_distinct(weighted.normal_equations_) == n_distinct(repeated.normal_equations_)


def test_a_number_takes_one_sum_alone():
    for alpha in (1.0, "gcv"):
        model = ELMRegressor(alpha=alpha, random_state=0).fit(X, Y)
        assert model.normal_equations_.folds == ()
        assert model.alpha_chosen_by_ == ("given" if alpha == 1.0 else "gcv")
        # Without folds, the better one of what a single sum can say.
        assert model.set_params(alpha="auto").solve().alpha_chosen_by_ in ("gcv", "evidence")
        assert model.partial_fit(X, Y).normal_equations_.folds == ()


def test_sums_with_and_without_folds_add_up_to_sums_without():
    model = ELMRegressor(random_state=0).initialize(X).partial_fit(X[:500], Y[:500])
    with_folds = model.normal_equations_
    plain = ELMRegressor(alpha=1.0, random_state=0).initialize(X).partial_fit(X[500:], Y[500:]).normal_equations_
    for both in (with_folds + plain, plain + with_folds):
        assert both.folds == ()
        assert both.n_samples == N
        assert model.solve(both).alpha_chosen_by_ in ("gcv", "evidence")
    assert (with_folds - with_folds).n_samples == 0


def test_folds_are_left_out_where_they_do_not_fit(monkeypatch):
    sizes = PassSizes.of_pass(203, 2, 1, 1, 1)
    enough, too_little = sizes.need_of(5).total, sizes.need_of(1).total
    assert enough > too_little
    for memory, chosen_by in ((enough, {"folds"}), (enough - 1, {"gcv", "evidence"})):
        monkeypatch.setattr(
            "daskelm.passes.memory.this_process",
            lambda in_process, memory=memory: type("Process", (), {"n_threads": 1, "memory": memory, "name": "it"})(),
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("daskelm.passes.accumulate.n_local_threads", lambda in_process: 1)
            patch.setattr("daskelm.passes.accumulate.rows_per_task", lambda *sizes: N)
            # The solution, which takes more here, is projected apart.
            patch.setattr("daskelm.estimators.fitting.with_solution_that_fits", lambda job, alpha: job)
            model = ELMRegressor([(2, "lin"), (201, "tanh")], random_state=0).fit(X, Y)
        assert model.alpha_chosen_by_ in chosen_by


def test_a_signal_beside_noise_is_kept():
    """One penalty for all had R2 of 0.09."""
    random = np.random.default_rng(0)
    rows, new = random.standard_normal((1000, 5)), random.standard_normal((1000, 5))

    def signal(X):
        return np.sin(X[:, 0]) + X[:, 1] * X[:, 2]

    noise = random.standard_normal((1000, 100))
    targets = np.column_stack([signal(rows) + random.normal(0, 0.1, 1000), noise])
    model = ELMRegressor(random_state=0).fit(rows, targets)
    assert model.alpha_.shape == (101,)
    error = np.square(model.predict(new)[:, 0] - signal(new)).mean() / signal(new).var()
    assert error < 0.012


@pytest.mark.parametrize("data", [load_diabetes(return_X_y=True), make_friedman1(500, noise=1, random_state=0)])
@pytest.mark.parametrize("ensemble", [BaggingRegressor, pytest.param(AdaBoostRegressor, marks=pytest.mark.full)])
def test_ensembles_are_no_worse_than_one(ensemble, data):
    """Bootstrap samples repeat rows, which are in one fold; with another penalty, a bag of models had R2 of -64."""
    one, many = [], []
    for seed in range(2):
        rows, new, y, new_y = train_test_split(*data, test_size=0.3, random_state=seed)
        model = ELMRegressor(random_state=0).fit(rows, y)
        one.append(1 - model.score(new, new_y))
        many.append(1 - ensemble(model, n_estimators=8, random_state=0).fit(rows, y).score(new, new_y))
    assert np.mean(many) < 1.05 * np.mean(one)


# Later rounds weigh rows that no model of the inputs explains.
@pytest.mark.filterwarnings("ignore:alpha. no penalty makes:daskelm.exceptions.PenaltyWarning")
def test_boosted_classifiers_are_no_worse_than_one():
    rows, new = X[:600], X[600:]
    labels = truth(X) + RNG.normal(0, 0.2, N) > 0
    one = ELMClassifier(random_state=0).fit(rows, labels[:600]).score(new, labels[600:])
    boosted = AdaBoostClassifier(ELMClassifier(random_state=0), n_estimators=5, random_state=0).fit(rows, labels[:600])
    assert boosted.score(new, labels[600:]) > one - 0.05 * one


def test_what_travels_can_be_pickled():
    work = pickle.loads(pickle.dumps(Pass(5)))
    assert work.n_folds == 5
    assert work.without_folds().n_folds == 1
    model = ELMRegressor(10, random_state=0).fit(X, Y)
    sums = Accumulator(model.hidden_layer_, model._fitted.targets, 5)
    sums.add(X, Y, None)
    parts = sums.result(model.normal_equations_.ledger)
    again = pickle.loads(pickle.dumps(parts))
    for k in range(5):
        np.testing.assert_array_equal(again.parts[k].packed, model.normal_equations_.folds[k].packed)


@pytest.mark.parametrize("scale", [2.0, 1000.0])
def test_units_of_the_targets_and_other_targets_do_not_matter(expected, scale):
    scaled = ELMRegressor(random_state=0).fit(X, scale * Y)
    assert scaled.alpha_ == pytest.approx(expected.alpha_, rel=1e-9)
    beside = ELMRegressor(random_state=0).fit(X, np.column_stack([Y, scale * X[:, 0], np.full(N, 5.0)]))
    assert beside.alpha_[0] == pytest.approx(expected.alpha_, rel=1e-9)


@pytest.mark.parametrize("estimator", [ELMRegressor, ELMClassifier])
def test_tables_of_a_few_categories_have_no_folds(estimator):
    """A fold without all rows of a combination would ask for models of combinations that were never seen."""
    random = np.random.default_rng(0)
    rows = random.integers(0, 2, (2000, 3)).astype(float)
    y = (rows @ [1, 1, 1] + random.normal(0, 0.5, 2000) > 1.5).astype(int)
    with pytest.warns(PenaltyWarning, match="about 8 of 2000 rows are distinct"):
        model = estimator(random_state=0).fit(rows, y)
    assert model.alpha_chosen_by_ in ("gcv", "evidence")
    means = [y[(rows == row).all(axis=1)].mean() for row in rows[:20]]
    found = model.predict(rows[:20]) if estimator is ELMRegressor else model.decision_function(rows[:20]) / 2 + 0.5
    np.testing.assert_allclose(found, means, atol=0.05)
