"""The scale of the inputs, and numbers at the ends of what float64 holds: right, or refused by name."""

import pickle
import warnings
from collections import defaultdict

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from daskelm import (
    ELMClassifier,
    ELMClassifierCV,
    ELMRegressor,
    ELMRegressorCV,
    HiddenLayer,
    Neurons,
    from_hdf5,
    load,
    make_hdf5,
)
from daskelm.exceptions import DataError, ParameterError, ScaleWarning
from daskelm.layer.layer import Layer
from daskelm.layer.neurons import KINDS
from daskelm.layer.scale import Scale

RNG = np.random.default_rng(0)
X = RNG.standard_normal((600, 3))
Y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * RNG.standard_normal(600)
LABELS = np.digitize(Y, [-0.5, 0.5])
# The second column never varies, and the last one is a dummy that is never on.
CONSTANT = np.column_stack([X[:, 0], np.full(600, 5.0), X[:, 1:], np.zeros(600)])
SHIFTS = (1e-9, 0.1, -5.0, 1e6, -1e300, 1.7e308)
NEVER_VARIED = r"Column\(s\) 1, 4 of X never varied in the 600 row\(s\)"


def moved(shift):
    """Other values in the columns that never varied."""
    rows = CONSTANT.copy()
    rows[:, 1], rows[::2, 4] = shift, 1 - shift
    return rows


def in_file(array, folder, name):
    path = folder / f"{name}.h5"
    make_hdf5(array, path)
    return path


CONTAINERS = {
    "array": lambda array, folder, name: array,
    "by columns": lambda array, folder, name: np.asfortranarray(array),
    "frame": lambda array, folder, name: pd.DataFrame(array) if array.ndim == 2 else pd.Series(array),
    "dask array": lambda array, folder, name: da.from_array(array, chunks=(170, -1)[: array.ndim]),
    "dask frame": lambda array, folder, name: dd.from_pandas(pd.DataFrame(array.reshape(len(array), -1)), 3),
    "path": in_file,
    "from_hdf5": lambda array, folder, name: from_hdf5(in_file(array, folder, name)),
}


# Columns that never varied


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", [*KINDS, np.sin], ids=str)
def test_a_column_that_never_varied_enters_no_neuron(kind, dtype, tmp_path):
    with pytest.warns(ScaleWarning, match=NEVER_VARIED):
        layer = HiddenLayer([(5, kind)], random_state=0, dtype=dtype).fit(CONSTANT)
    H = layer.transform(CONSTANT)
    layer.save(tmp_path / "layer.h5")
    again = load(tmp_path / "layer.h5")
    assert again.hidden_layer_.fingerprint == layer.hidden_layer_.fingerprint
    for shift in SHIFTS:
        for copy in (layer, again, pickle.loads(pickle.dumps(layer))):
            assert copy.transform(moved(shift)).tobytes() == H.tobytes()
    # Those of other columns stay where they are.
    assert (H.std(axis=0) > 0).sum() >= 3


ESTIMATORS = {
    "regressor": (ELMRegressor(50, random_state=0), Y),
    "regressor float32": (ELMRegressor(50, random_state=0, dtype="float32"), Y),
    "classifier": (ELMClassifier(50, random_state=0), LABELS),
    "regressor CV": (ELMRegressorCV(50, random_state=0, cv=3), Y),
    "leave one out": (ELMRegressorCV(50, random_state=0, cv="loo"), Y),
    "classifier CV": (ELMClassifierCV(50, random_state=0), LABELS),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_predictions_do_not_depend_on_it_bit_for_bit(name, container, tmp_path):
    model, y = ESTIMATORS[name]
    put = CONTAINERS[container]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(put(CONSTANT, tmp_path, "X"), put(y, tmp_path, "y"))
    assert [w.category for w in caught] == [ScaleWarning]
    assert caught[0].filename == __file__
    # Unchanged, and of the same bits as of a NumPy array: the layer is that of the numbers alone.
    assert model.hidden_layer_.scale.constant.tolist() == [False, True, False, False, True]
    expected = model.predict(CONSTANT)
    for shift in SHIFTS:
        assert model.predict(moved(shift)).tobytes() == expected.tobytes()


def add_in_parts(model, X, y, folder):
    return model.partial_fit(X[:300], y[:300]).partial_fit(X[300:], y[300:])


def accumulate(model, X, y, folder):
    model.initialize(X)
    return model.accumulate(X[:200], y[:200]).accumulate(X[200:], y[200:])


def accumulate_into_file(model, X, y, folder):
    model.initialize(X)
    model.accumulate(X, y, into=folder / "sums.h5")
    return model.solve(folder / "sums.h5")


def fit_with_curve(model, X, y, folder):
    return model.fit(X, y, callback=lambda point: None)


@pytest.mark.parametrize("learn", [add_in_parts, accumulate, accumulate_into_file, fit_with_curve])
def test_nor_does_any_way_of_learning(learn, tmp_path):
    with pytest.warns(ScaleWarning, match=r"Column\(s\) 1, 4 of X never varied"):
        model = learn(ELMRegressor(50, random_state=0), CONSTANT, Y, tmp_path)
    for shift in SHIFTS:
        assert model.predict(moved(shift)).tobytes() == model.predict(CONSTANT).tobytes()


def test_rows_in_which_it_varies_later_decide_nothing_by_it():
    with pytest.warns(
        ScaleWarning, match=r"Column\(s\) 1, 4 .* Call initialize with a larger sample of the rows first"
    ):
        model = ELMRegressor(50, random_state=0).partial_fit(CONSTANT[:300], Y[:300])
    other = pickle.loads(pickle.dumps(model))
    model.partial_fit(CONSTANT[300:], Y[300:])
    other.partial_fit(moved(7.0)[300:], Y[300:])
    assert other.coef_.tobytes() == model.coef_.tobytes()


def test_scores_at_any_shift_are_those_without():
    def table(n):
        x = RNG.standard_normal((n, 4))
        return x, np.sin(x[:, 0]) + x[:, 1] * x[:, 2]

    (train, y), (test, y_test) = table(2000), table(500)
    for noise in (0, 0.1, 1.0):
        with pytest.warns(ScaleWarning, match=r"Column\(s\) 4 of X never varied"):
            model = ELMRegressor(random_state=0).fit(
                np.column_stack([train, np.full(2000, 5.0)]), y + noise * RNG.standard_normal(2000)
            )
        scores = {model.score(np.column_stack([test, np.full(500, 5.0 + shift)]), y_test) for shift in (0, 0.1, 1, 5)}
        assert len(scores) == 1
        assert scores.pop() > 0.95


def test_the_warning_names_columns_by_their_names_and_counts_the_rest():
    frame = pd.DataFrame(np.column_stack([X, np.ones((600, 9))]), columns=[f"c{i}" for i in range(12)])
    names = ", ".join(f"'c{i}'" for i in range(3, 9))
    with pytest.warns(
        ScaleWarning, match=rf"^Column\(s\) {names} and 3 more of X never varied .* Drop such columns\.$"
    ):
        ELMRegressor(10, random_state=0).fit(frame, Y)
    with pytest.warns(ScaleWarning, match=r"^Column\(s\) 3, 4, 5, 6, 7, 8 and 3 more of X"):
        ELMRegressor(10, random_state=0).fit(frame.to_numpy(), Y)


def test_rows_of_weight_zero_do_not_make_a_column_vary():
    rows, weights = CONSTANT.copy(), np.ones(600)
    rows[:10, 1], weights[:10] = 1e305, 0
    with pytest.warns(ScaleWarning, match=r"Column\(s\) 1, 4 of X never varied in the 590 row\(s\)"):
        model = ELMRegressor(20, random_state=0).fit(rows, Y, sample_weight=weights)
    assert model.predict(rows).tobytes() == model.predict(CONSTANT).tobytes()


def test_given_neurons_act_on_inputs_as_they_are():
    neurons = Neurons("tanh", RNG.standard_normal((5, 20)), np.zeros(20))
    model = ELMRegressor(neurons).fit(CONSTANT, Y)
    assert abs(model.predict(moved(0.1)) - model.predict(CONSTANT)).max() > 1e-3


def test_a_layer_is_the_beginning_of_a_larger_one_beside_columns_that_never_varied():
    scale = Scale.of(CONSTANT)
    small, large = (Layer.draw([(n, "tanh")], 5, 0, "f8", scale) for n in (10, 20))
    np.testing.assert_array_equal(large(moved(3.0))[:, :10], small(CONSTANT))
    assert Layer.from_state(small.state()).fingerprint == small.fingerprint


# A scale that rests on few rows


@pytest.mark.parametrize("start", ["partial_fit", "initialize"])
def test_few_first_rows_are_a_warning(start):
    def begin(n):
        model = ELMRegressor(20, random_state=0)
        return model.partial_fit(X[:n], Y[:n]) if start == "partial_fit" else model.initialize(X[:n])

    message = "The scale of the inputs rests on these first 29 rows.*Call initialize with a larger sample"
    with pytest.warns(ScaleWarning, match=message):
        begin(29)
    begin(30).partial_fit(X[:5], Y[:5])
    # All that there will be is no first part.
    ELMRegressor(20, random_state=0).fit(X[:5], Y[:5])


def test_both_warnings_are_one():
    both = (
        r"Column\(s\) 1, 4 .* never varied in the 20 row\(s\).*; the scale of the inputs rests on these first 20 rows"
    )
    with pytest.warns(ScaleWarning, match=both) as caught:
        ELMClassifier(20, random_state=0).partial_fit(CONSTANT[:20], LABELS[:20], classes=[0, 1, 2])
    assert len(caught) == 1


@pytest.mark.parametrize("n", [1, 40])
def test_first_rows_that_are_all_the_same_are_refused(n):
    rows = np.repeat(X[:1], n, axis=0)
    message = rf"X: the first rows must differ.*got {n} row\(s\) that are all the same. Give more rows, or a sample"
    with pytest.raises(DataError, match=message):
        ELMRegressor(20).partial_fit(rows, Y[:n])
    with pytest.raises(DataError, match=message):
        ELMRegressor(20).initialize(rows)
    with pytest.raises(DataError, match=message):
        ELMClassifier(20).initialize(rows, classes=[0, 1])
    with pytest.warns(ScaleWarning, match=r"Column\(s\) 0, 1, 2 of X never varied"):
        fitted = ELMRegressor(20, alpha=1.0).fit(rows, Y[:n])
    np.testing.assert_allclose(fitted.predict(X[:3]), Y[:n].mean())


# Inputs at the ends of what float64 holds


@pytest.mark.parametrize("power", [-1000, -565, -100, 100, 515, 1000])
@pytest.mark.parametrize("weights", [None, RNG.uniform(0.5, 2, 600)], ids=["plain", "weighted"])
def test_a_power_of_two_in_the_inputs_is_one_in_the_scale(power, weights):
    # Each column alone.
    factors = np.array([1.0, 2.0**power, 2.0 ** (-power)])
    plain, scaled = Scale.of(X, weights), Scale.of(X * factors, weights)
    np.testing.assert_array_equal(scaled.mean, plain.mean * factors)
    np.testing.assert_array_equal(scaled.scale, plain.scale * factors)
    np.testing.assert_array_equal(scaled(X * factors), plain(X))


def test_the_model_of_huge_and_tiny_inputs_is_that_of_plain_ones():
    factors = 2.0 ** np.array([1000, -1000, 0])
    # Rows of other values are in other folds, so that the penalty is given.
    plain, scaled = (ELMRegressor(50, alpha=0.1, random_state=0).fit(x, Y) for x in (X, X * factors))
    assert scaled.predict(X * factors).tobytes() == plain.predict(X).tobytes()
    # Far beyond the clip, differences overflow.
    far = np.where(X > 0, 1.797e308, -1.797e308)
    for mean in (-4e306, 4e306):
        np.testing.assert_array_equal(Scale.of(X * 2.0**1017 + mean)(far), np.where(X > 0, 5.0, -5.0))


@pytest.mark.parametrize("container", CONTAINERS)
def test_inputs_whose_differences_overflow_are_refused(container, tmp_path):
    rows = X.copy()
    rows[7, 1] = -1.7e308
    x, y = CONTAINERS[container](rows, tmp_path, "X"), CONTAINERS[container](Y, tmp_path, "y")
    message = r"X: numbers must be smaller than 1e\+307 in magnitude.*got 1.7e\+308 in column 1.*fill or drop such rows"
    for learn in (ELMRegressor(20).fit, ELMRegressor(20).partial_fit, ELMRegressorCV(20, cv=3).fit):
        with pytest.raises(DataError, match=message):
            learn(x, y)
    for learn in (ELMRegressor(20).initialize, HiddenLayer(20).fit):
        with pytest.raises(DataError, match=message):
            learn(x)


def test_epoch_nanoseconds_as_inputs():
    time = 1_700_000_000_000_000_000 + np.arange(600) * 1_000_000_000
    y = np.sin(np.arange(600) / 100)
    score = ELMRegressor(50, random_state=0).fit(time[:, None], y).score(time[:, None], y)
    assert score == pytest.approx(1.0, abs=1e-6)


# Targets and weights


def learners(folder):
    """Each way to give y, by name."""

    def started():
        return ELMRegressor(20, random_state=0).initialize(X)

    return {
        "fit": ELMRegressor(20).fit,
        "curve": lambda x, y, **w: ELMRegressor(20, tol=1e-3).fit(x, y, **w),
        "partial_fit": ELMRegressor(20).partial_fit,
        "accumulate": lambda x, y, **w: started().accumulate(x, y, **w),
        "into": lambda x, y, **w: started().accumulate(x, y, into=folder / "sums.h5", **w),
        "folds by content": ELMRegressorCV(20).fit,
        "gcv": ELMRegressorCV(20, cv="gcv").fit,
        "folds": ELMRegressorCV(20, cv=3).fit,
        "loo": ELMRegressorCV(20, cv="loo").fit,
        "validation": lambda x, y, **w: ELMRegressorCV(20).fit(
            X, Y, X_val=x, y_val=y, **({"sample_weight_val": w["sample_weight"]} if w else {})
        ),
        "score": ELMRegressor(20, random_state=0).fit(X, Y).score,
    }


# What errors begin with.
PREFIX = defaultdict(str, validation=r"validation rows \(X_val, y_val, sample_weight_val\): ")


@pytest.mark.parametrize("container", CONTAINERS)
def test_targets_whose_squares_overflow_are_refused(container, tmp_path):
    y = Y.copy()
    y[321] = -1e154
    put = CONTAINERS[container]
    x, y = put(X, tmp_path, "X"), put(y, tmp_path, "y")
    for name, learn in learners(tmp_path).items():
        place = "" if name == "score" else ".*row 321" if not container.startswith("dask") else ".*row"
        with pytest.raises(
            DataError, match=rf"^{PREFIX[name]}y must be smaller than 1e\+100 in magnitude.*got -1e\+154{place}"
        ):
            learn(x, y)
    assert not (tmp_path / "sums.h5").exists()


def test_of_rows_of_weight_zero_targets_may_be_anything():
    y, weights = Y.copy(), np.ones(600)
    y[::7], weights[::7] = 1e200, 0
    model = ELMRegressor(20, random_state=0).fit(X, y, sample_weight=weights)
    assert model.score(X, y, sample_weight=weights) == model.score(X[weights > 0], Y[weights > 0])


@pytest.mark.parametrize("size", [1e-170, 1e-200, 1e-310])
def test_targets_whose_squares_vanish_are_refused(size, tmp_path):
    for name, learn in learners(tmp_path).items():
        if name in ("score", "validation"):
            continue
        with pytest.raises(
            DataError, match="y must vary by more than about 1e-140, or not at all.*Divide y by a number"
        ):
            learn(X, Y * size)
    for constant in (0.0, size, 1e-3, 1e9, 1e99):
        model = ELMRegressor(20, random_state=0).fit(X, np.full(600, constant))
        np.testing.assert_allclose(model.predict(X), constant, rtol=1e-12)


def test_a_power_of_two_in_the_targets_is_one_in_the_predictions():
    plain = ELMRegressor(50, random_state=0).fit(X, Y)
    for factor in (2.0**-400, 2.0**300):
        model = ELMRegressor(50, random_state=0).fit(X, Y * factor)
        assert model.alpha_ == plain.alpha_
        np.testing.assert_array_equal(model.predict(X), plain.predict(X) * factor)
        assert model.score(X, Y * factor) == plain.score(X, Y)


@pytest.mark.parametrize("container", ["array", "dask array", "path"])
@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_integers_that_float64_merges_are_refused(dtype, container, tmp_path):
    put = CONTAINERS[container]
    near = (np.arange(600) % 100 + (2**63 - 200)).astype(dtype)
    x = put(X, tmp_path, "X")
    around = str(2**63)[:-4]
    message = (
        rf"y must keep its differences in float64, which holds multiples of 1024 only around {around}.*got u?int64"
    )
    for name, learn in learners(tmp_path).items():
        with pytest.raises(DataError, match=rf"^{PREFIX[name]}{message}"):
            learn(x, put(near, tmp_path, "near"))
    # A constant has no differences to keep: as a target, in some batch, or beside other targets.
    constant = np.full(600, 2**63 - 200, dtype)
    ELMRegressor(20, random_state=0).fit(x, put(constant, tmp_path, "one"))
    # Nothing is lost of what float64 holds, nor where rounding is small beside the range.
    step = (np.arange(600) % 100 * 2**20 + 2**62).astype(dtype)
    far = (np.arange(600) * 10**15 + 2**62 + 1).astype(dtype)
    for fine in (step, far, (near - dtype(2**63 - 200)).astype(dtype)):
        ELMRegressor(20, random_state=0).fit(x, put(fine, tmp_path, f"fine{fine[1]}"))


def test_epoch_nanoseconds_as_targets_in_blocks_of_any_size():
    time = 1_700_000_000_000_000_001 + np.arange(600) * 1_000_000
    model = ELMRegressor([(1, "lin")], alpha=0.0).initialize(np.arange(600.0)[:, None])
    for rows in (slice(0, 1), slice(1, 3), slice(3, 600)):
        model.partial_fit(np.arange(600.0)[rows, None], time[rows])
    np.testing.assert_allclose(model.predict(np.arange(600.0)[:, None]) - 1.7e18, time - 1.7e18, atol=1000)


def test_long_doubles_are_taken_as_integers_are():
    y = np.longdouble(2) ** 60 + np.arange(600) % 7
    if y[1] == y[0]:
        y = y.astype(np.float64)
        ELMRegressor(20).fit(X, y)
    else:
        with pytest.raises(DataError, match="y must keep its differences in float64"):
            ELMRegressor(20).fit(X, y)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_weights_beyond_all_bounds_are_refused(size, container, tmp_path):
    put = CONTAINERS[container]
    x, y = put(X, tmp_path, "X"), put(Y, tmp_path, "y")
    weights = put(RNG.uniform(1, 2, 600) * size, tmp_path, "w")
    if container == "frame":
        weights = weights.to_numpy()
    for learn in learners(tmp_path).values():
        with pytest.raises(
            DataError, match=r"must be 0, or between 1e-50 and 1e\+50.*Divide the weights by their mean"
        ):
            learn(x, y, sample_weight=weights)
    for label in (size, np.inf, -1.0):
        with pytest.raises(
            ParameterError, match=r"class_weight must hold numbers that are 0, or between 1e-50 and 1e\+50"
        ):
            ELMClassifier(20, class_weight={1: label}).fit(X, LABELS)


def test_the_unit_of_the_weights_changes_nothing_within_the_bounds():
    weights = RNG.uniform(1, 2, 600)
    plain = ELMRegressorCV(20, random_state=0, cv=3).fit(X, Y, sample_weight=weights)
    for factor in (2.0**-160, 2.0**160):
        model = ELMRegressorCV(20, random_state=0, cv=3).fit(X, Y, sample_weight=weights * factor)
        assert model.best_score_ == pytest.approx(plain.best_score_, rel=1e-9)


# Switches


@pytest.mark.parametrize("value", ["no", 0, 1, None, "False"])
def test_switches_must_be_true_or_false(value):
    for name in ("standardize", "fit_intercept"):
        message = rf"{name} must be True or False; got {value!r}"
        for model, y in (
            (ELMRegressor(5), Y),
            (ELMClassifier(5), LABELS),
            (ELMRegressorCV(5), Y),
            (ELMClassifierCV(5), LABELS),
        ):
            with pytest.raises(ParameterError, match=message):
                model.set_params(**{name: value}).fit(X, y)
        with pytest.raises(ParameterError, match=message):
            ELMRegressor(5, **{name: value}).partial_fit(X, Y)
        with pytest.raises(ParameterError, match=message):
            ELMRegressor(5, **{name: value}).initialize(X)
    with pytest.raises(ParameterError, match=rf"standardize must be True or False; got {value!r}"):
        HiddenLayer(5, standardize=value).fit(X)
    with pytest.raises(ParameterError, match=rf"store_cv_results must be True or False; got {value!r}"):
        ELMRegressorCV(5, store_cv_results=value).fit(X, Y)
    later = ELMRegressor(5, random_state=0).fit(X, Y).set_params(fit_intercept=value)
    for again in (later.solve, later.select):
        with pytest.raises(ParameterError, match=rf"fit_intercept must be True or False; got {value!r}"):
            again()
    ELMRegressor(5, standardize=np.True_, fit_intercept=np.False_).fit(X, Y)
