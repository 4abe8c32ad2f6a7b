"""One pass or two, and the same results wherever and however the rows are cut."""

import pickle

import dask
import dask.array as da
import h5py
import numpy as np
import pytest
from grid_table import ALPHAS, FULL, LABELS, SIZES, D, N, X, Y, assert_same_results, chosen, groups
from sklearn.base import clone
from sklearn.model_selection import KFold, LeaveOneOut, PredefinedSplit

from daskelm import ELMRegressor, ELMRegressorCV, from_hdf5, make_hdf5
from daskelm.data.targets import RegressionTargets
from daskelm.hdf5.reader import Hdf5Reader
from daskelm.layer.sublayer import nested_order
from daskelm.selection.folds import make_folds
from daskelm.selection.scores import row_score


class Counted:
    """An array that counts how often each of its rows is read."""

    def __init__(self, data):
        self.data, self.shape, self.dtype, self.ndim = data, data.shape, data.dtype, data.ndim
        self.times = np.zeros(len(data), int)

    def __getitem__(self, rows):
        self.times[rows[0]] += 1
        return self.data[rows]


# The last number is how often each row is read: for the sums, for scores of rows, and where there are classes for the
# link to probabilities, which reads a sample, here of all rows.
CASES = {
    "regression, folds by content": (Y, {"cv": None}, 1),
    "regression, gcv": (Y, {"cv": "gcv"}, 1),
    "regression, r2": (Y, {"cv": 3}, 1),
    "regression, shuffled": (Y, {"cv": KFold(3, shuffle=True, random_state=0)}, 1),
    "regression, absolute error": (Y, {"cv": 3, "scoring": "neg_mean_absolute_error"}, 2),
    "regression, one by one": (Y, {"cv": "loo"}, 2),
    "regression, ranked": (Y, {"cv": 3, "ranking": "omp"}, 1),
    "classification, folds by content": (LABELS, {"cv": None}, 2),
    "classification, gcv": (LABELS, {"cv": "gcv"}, 2),
    "classification, squared error": (LABELS, {"cv": 3}, 2),
    "classification, accuracy": (LABELS, {"cv": 3, "scoring": "accuracy"}, 3),
    "classification, one by one": (LABELS, {"cv": LeaveOneOut(), "ranking": "mrsr"}, 3),
}


@pytest.mark.parametrize("case", CASES)
def test_number_of_passes(no_client, case):
    targets, params, passes = CASES[case]
    source = Counted(X)
    model = chosen(targets, **params).fit(da.from_array(source, chunks=(70, D)), targets)
    assert set(source.times) == {passes}
    assert len(model.cv_results_["params"]) == 12


@pytest.mark.parametrize("case", CASES)
def test_number_of_passes_over_files(no_client, case, tmp_path, monkeypatch):
    targets, params, passes = CASES[case]
    path = make_hdf5(X, tmp_path / "X.h5")
    times = np.zeros(N, int)
    read = Hdf5Reader.read

    def counting(reader, start, stop):
        # By tasks, and not for the ledger, which knows the rows by a few of them.
        if stop - start > 60:
            first = reader.source.ranges()[0][1]
            times[start + first : stop + first] += 1
        return read(reader, start, stop)

    monkeypatch.setattr(Hdf5Reader, "read", counting)
    with dask.config.set(scheduler="sync"):
        chosen(targets, **params).fit(path, targets)
    assert set(times) == {passes}


FOLDS = {
    "by content": {"cv": None},
    "gcv": {"cv": "gcv"},
    "consecutive": {"cv": 3},
    "scattered": {"cv": KFold(3, shuffle=True, random_state=1)},
    "some": {"cv": PredefinedSplit(np.r_[np.full(100, -1), np.arange(200) % 2])},
    "ranked": {"cv": 3, "ranking": "mrsr"},
    "one by one": {"cv": "loo", "ranking": "omp"},
}


@pytest.fixture(scope="module")
def expected():
    return {
        (fold, kind): chosen(targets, **params).fit(X, targets)
        for fold, params in FOLDS.items()
        for kind, targets in (("numbers", Y), ("labels", LABELS))
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for i, (a, b) in enumerate([(0, 1), (1, 130), (130, N)]):
        with h5py.File(folder / f"X{i}.h5", "w") as file:
            file.create_dataset("data", data=X[a:b], chunks=(min(37, b - a), D))
        make_hdf5(Y[a:b], folder / f"Y{i}.h5")
    return folder


@pytest.mark.parametrize("where", ["client", "one_worker", "threads", "sync"])
@pytest.mark.parametrize("fold", FOLDS)
def test_results_do_not_depend_on_chunks_or_workers(request, files, expected, fold, where, monkeypatch):
    if where in ("client", "one_worker"):
        request.getfixturevalue(where)
    else:
        monkeypatch.setattr("daskelm.passes.accumulate.rows_per_task", lambda *sizes: 40)
        monkeypatch.setattr("daskelm.passes.tasks._CHUNK_BYTES", 50 * 8 * (D + 2))
        for module in ("passes.accumulate", "selection.fold_sums"):
            monkeypatch.setattr(f"daskelm.{module}.block_rows", lambda *sizes: 17)
        monkeypatch.setattr("daskelm.selection.fold_sums._LEAST_ROWS", 5)
        monkeypatch.setattr("daskelm.selection.leave_one_out._OUTPUT_BYTES", 17 * 24 * 8)
    forms = [
        (str(files / "X*.h5"), str(files / "Y*.h5"), "numbers"),
        (da.from_array(X, chunks=(23, D)), da.from_array(LABELS, chunks=100), "labels"),
    ]
    with dask.config.set({} if where in ("client", "one_worker") else {"scheduler": where}):
        for inputs, outputs, kind in forms:
            like = expected[fold, kind]
            model = clone(like).fit(inputs, outputs)
            assert_same_results(model.cv_results_, like.cv_results_, atol=1e-9)
            assert (model.alpha_, model.n_neurons_) == (like.alpha_, like.n_neurons_)
            np.testing.assert_allclose(np.asarray(model.coef_), like.coef_, atol=1e-8)
            assert model.normal_equations_.n_samples == N


def test_the_sums_know_the_rows_of_files(files):
    model = chosen(Y, cv=KFold(3, shuffle=True, random_state=1)).fit(str(files / "X*.h5"), str(files / "Y*.h5"))
    plain = ELMRegressor(groups(model.n_neurons_), standardize=False, alpha=1.0)
    plain.fit(str(files / "X*.h5"), str(files / "Y*.h5"))
    assert model.normal_equations_.ledger == plain.normal_equations_.ledger
    left = plain.normal_equations_ - model.normal_equations_
    assert left.n_samples == left.ledger.n_rows == 0


def test_drawn_layers_of_any_form(files):
    model = ELMRegressorCV([(3, "lin"), (30, "tanh")], n_neurons=[5, 20], alphas=[0.1, 1], cv=3, random_state=0)
    a = clone(model).fit(X, Y)
    b = clone(model).fit(from_hdf5(str(files / "X*.h5")), from_hdf5(str(files / "Y*.h5")))
    assert_same_results(a.cv_results_, b.cv_results_, atol=1e-10)
    assert [len(group) for group in a.hidden_layer_.groups] == [3, 17]


def test_what_travels_can_be_pickled():
    from daskelm.passes.tasks import Job
    from daskelm.selection.criterion import Grid
    from daskelm.selection.fold_models import solve_grid
    from daskelm.selection.fold_sums import _FoldPass, accumulate_folds
    from daskelm.selection.scoring_pass import _ScorePass

    targets, folds = RegressionTargets(2, "float64"), make_folds(3, N, X, lambda: Y, stratified=False)
    sums = accumulate_folds(Job(FULL, targets, X, Y), folds)
    again = pickle.loads(pickle.dumps(sums))
    np.testing.assert_array_equal(again.total.packed, sums.total.packed)
    grid = Grid(ALPHAS, SIZES)
    models = solve_grid(sums.all, sums.parts, nested_order(FULL), grid, test_inside=True, keep=True)
    score = row_score("neg_mean_absolute_error", targets, np.float64)
    for work in (_FoldPass(folds, True), _ScorePass(folds, models, grid, score)):
        copy = pickle.loads(pickle.dumps(work))
        # The folds of all rows would travel to every worker.
        assert copy.folds is None
        part = work.part([(0, 50)])
        a, b = work.begin(FULL, targets, (), part), copy.begin(FULL, targets, (), part)
        for collector in (a, b):
            collector.add([(0, 50)], X[:50], Y[:50], None)
        a, b = a.result(), b.result()
        if work.name == "gram":
            a, b = a.total.packed, b.total.packed
        np.testing.assert_array_equal(a, b)
