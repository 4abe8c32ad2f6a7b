"""Models whose draw is chosen: right on constructed tables, the same everywhere, kept and shown."""

import json
import os
import pickle
import subprocess
import sys
import tracemalloc

import dask.array as da
import numpy as np
import pytest
from click.testing import CliRunner

from daskelm import ELMClassifier, ELMRegressor, ELMRegressorCV, HiddenLayer, load, make_hdf5
from daskelm.cli import cli
from daskelm.draws import choice
from daskelm.draws.choice import CANDIDATES, choose_draw, groups_of
from daskelm.draws.sample import sample_of
from daskelm.exceptions import DataError, DrawWarning, ParameterError

N = 3000


def inputs(d=10, n=N):
    return np.random.default_rng(0).standard_normal((n, d))


X = inputs()
NOISE = np.random.default_rng(1).standard_normal(N)
# Targets by the draw that should win.
TARGETS = {
    "noise": NOISE,
    "a direction": np.sin(2 * X @ np.array([1.0, 1, *[0.0] * 8])) + 0.1 * NOISE,
    "steps": np.sign(X[:, 0]) * (X[:, 1] > 0.5) + 0.1 * NOISE,
}


def chosen(y, number=100, seed=0):
    return choose_draw(number, sample_of(X, y.reshape(N, -1), None, seed, relevance=True), seed)


def names(found):
    return {group.draw for group in found.groups}


def test_noise_is_not_followed():
    assert names(chosen(TARGETS["noise"])) == {"random"}


@pytest.mark.parametrize("what", ["a direction", "steps"])
def test_structure_is_found_and_pays(what):
    y = TARGETS[what]
    model = ELMRegressor((100, "auto"), random_state=0).fit(X[:2000], y[:2000])
    blind = ELMRegressor([(10, "lin"), (100, "tanh")], random_state=0).fit(X[:2000], y[:2000])
    assert any(len(group) == 3 for group in model.neurons_)
    assert 1 - model.score(X[2000:], y[2000:]) < 0.7 * (1 - blind.score(X[2000:], y[2000:]))


def test_classes_and_several_targets():
    classes = np.array(["no", "yes"])[(TARGETS["steps"] > 0.5).astype(int)]
    model = ELMClassifier((60, "auto"), random_state=0).fit(X, classes)
    assert set(model.draw_errors_) == set(CANDIDATES)
    both = np.column_stack([TARGETS["steps"], np.ones(N)])
    assert ELMRegressor((60, "auto"), random_state=0).fit(X, both).predict(X).shape == (N, 2)


def test_errors_are_those_of_held_out_rows():
    """A candidate's error by its definition, from the models themselves."""
    y = TARGETS["a direction"][:, None]
    sample = sample_of(X, y, None, 0, relevance=True)
    found = choose_draw(50, sample, 0).errors["random"]
    stream = np.random.default_rng(np.random.SeedSequence(0, spawn_key=tuple(b"held out")))
    order = stream.permutation(N)[: choice._ROWS]
    test, train = np.split(order, [choice._ROWS // 4])
    best = np.inf
    for alpha in choice._ALPHAS:
        layer = HiddenLayer([(10, "lin"), (50, "tanh")], standardize=False, random_state=0).fit(X)
        H = layer.transform(X)
        H = H - H[train].mean(axis=0)
        HH = H[train].T @ H[train]
        alpha *= np.trace(HH) / 60
        T = sample.T - sample.T[train].mean(axis=0)
        B = np.linalg.solve(HH + alpha * np.eye(60), H[train].T @ T[train])
        best = min(best, np.mean(np.square(np.clip(H[test] @ B, T[train].min(), T[train].max()) - T[test])))
    assert found == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("number", [1, 2, 3, 7, 200])
@pytest.mark.parametrize("name", CANDIDATES)
def test_groups_have_all_the_neurons(name, number):
    groups = groups_of(name, number)
    assert sum(group.number for group in groups) == number
    assert max(group.number for group in groups) - min(group.number for group in groups) <= 1


def test_few_rows_are_drawn_at_random():
    model = ELMRegressor("auto", random_state=0).fit(X[:299], TARGETS["steps"][:299])
    assert model.neurons_ == [(10, "lin"), (200, "tanh")]
    assert model.hidden_layer_.fingerprint == HiddenLayer(random_state=0).fit(X[:299]).hidden_layer_.fingerprint
    with pytest.raises(AttributeError, match="draw_errors_: the draw of this ELMRegressor's neurons was not chosen"):
        _ = model.draw_errors_


def test_few_first_rows_are_warned_of():
    y = TARGETS["steps"]
    for first in (lambda model: model.partial_fit(X[:200], y[:200]), lambda model: model.initialize(X[:200], y[:200])):
        with pytest.warns(
            DrawWarning, match=r"the first 200 row\(s\) say too little to choose a draw.* Call initialize"
        ):
            first(ELMRegressor((20, "auto"), random_state=0))


def test_rows_without_weight_are_no_sample():
    lazy = [da.from_array(rows, chunks=1000) for rows in (X, TARGETS["noise"], np.zeros(N))]
    with pytest.raises(DataError, match="at least one row must have a positive weight"):
        ELMRegressor([(5, "tanh", "pairs")], standardize=False).fit(*lazy)


def test_targets_are_needed():
    with pytest.raises(ParameterError, match="y: neurons='auto' are drawn by rows and their targets; got no y. Give y"):
        ELMRegressor("auto").initialize(X)
    with pytest.raises(ParameterError, match="to initialize too"):
        ELMClassifier("auto").initialize(X, classes=[0, 1])


def test_steps_one_by_one_draw_the_layer_of_fit():
    y = TARGETS["steps"]
    whole = ELMRegressor((40, "auto"), alpha=1.0, random_state=3).fit(X, y)
    steps = ELMRegressor((40, "auto"), alpha=1.0, random_state=3).initialize(X, y)
    assert steps.hidden_layer_.fingerprint == whole.hidden_layer_.fingerprint
    steps.accumulate(X, y, rows=slice(0, 1000)).accumulate(X, y, rows=slice(1000, None)).solve()
    np.testing.assert_allclose(steps.coef_, whole.coef_, rtol=1e-6, atol=1e-9)
    partly = ELMRegressor((40, "auto"), alpha=1.0, random_state=3).partial_fit(X, y)
    assert partly.hidden_layer_.fingerprint == whole.hidden_layer_.fingerprint


def test_written_out_it_is_the_same_layer():
    model = ELMRegressor((40, "auto"), random_state=0).fit(X, TARGETS["steps"])
    again = ELMRegressor(model.neurons_, random_state=0).fit(X, TARGETS["steps"])
    assert again.hidden_layer_.fingerprint == model.hidden_layer_.fingerprint


def test_selection_of_sizes_takes_the_first_neurons():
    y = TARGETS["steps"]
    model = ELMRegressorCV((60, "auto"), n_neurons=[20, 40, 70], random_state=0).fit(X, y)
    assert model.n_neurons_ in (20, 40, 70)
    full = ELMRegressor((60, "auto"), random_state=0).fit(X, y)
    smaller = full.select(n_neurons=[40])
    assert smaller.n_neurons_ == 40
    assert np.isfinite(smaller.predict(X)).all()


def test_a_model_is_kept_with_its_draw(tmp_path):
    model = ELMRegressor((40, "auto"), random_state=0).fit(X, TARGETS["steps"])
    model.save(tmp_path / "model.h5")
    for kept in (load(tmp_path / "model.h5"), pickle.loads(pickle.dumps(model))):
        assert kept.neurons_ == model.neurons_
        assert kept.draw_errors_ == model.draw_errors_
        np.testing.assert_array_equal(kept.predict(X), model.predict(X))


def test_it_is_shown(tmp_path):
    model = ELMRegressor((40, "auto"), random_state=0).fit(X, TARGETS["steps"])
    html = model._repr_html_()
    assert "neurons_" in html
    assert "draw_errors_" in html
    model.save(tmp_path / "model.h5")
    text = CliRunner().invoke(cli, ["info", str(tmp_path / "model.h5")]).output
    assert "draws" in text
    assert "sparse" in text
    facts = json.loads(CliRunner().invoke(cli, ["info", "--json", str(tmp_path / "model.h5")]).output)[0]
    assert facts["draw_errors"] == model.draw_errors_


def test_the_command_draws_the_same_layer(tmp_path):
    y = TARGETS["steps"]
    files = {name: make_hdf5(rows, tmp_path / f"{name}.h5") for name, rows in (("X", X), ("T", y))}
    out = str(tmp_path / "model.h5")
    command = ["init", files["X"], out, "--neurons", "40:auto", "--targets", files["T"]]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    expected = ELMRegressor((40, "auto"), random_state=0).initialize(X, y).hidden_layer_.fingerprint
    assert load(out).hidden_layer_.fingerprint == expected
    # Drawn by hand, and with the labels that classes are found in.
    labels = make_hdf5((y > 0.5).astype(int), tmp_path / "labels.h5")
    spec = "10:lin,5:tanh:pairs,5:relu:sparse,5:tanh:sparse pairs"
    done = CliRunner().invoke(cli, ["init", files["X"], out, "--force", "--neurons", spec, "--labels", labels])
    assert done.exit_code == 0, done.output
    assert len(load(out).neurons_) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--neurons", "auto"], "neurons='auto' are drawn by rows and their targets; got no y"),
        (["--neurons", "5:auto,3:lin"], "'auto' chooses all neurons"),
        (["--neurons", "5:tanh:clever"], "a draw must be one of"),
        (["--neurons", "5:tanh:pairs:more"], "NUMBER:KIND:DRAW"),
        (["--labels", "T.h5", "--targets", "T.h5"], "both name the labels"),
    ],
)
def test_mistakes_in_the_command(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    make_hdf5(X[:400], "X.h5")
    make_hdf5(np.ones(400), "T.h5")
    done = CliRunner().invoke(cli, ["init", "X.h5", "model.h5", *arguments])
    assert done.exit_code != 0
    assert message in " ".join((done.output + str(done.exception)).replace("│", " ").split())
    assert not (tmp_path / "model.h5").exists()


SCRIPT = """
import numpy as np
from daskelm import HiddenLayer
rng = np.random.default_rng(0)
X = rng.standard_normal((5000, 20))
y = np.sin(2 * X[:, 0]) * X[:, 1] + X[:, 2] ** 2
print(HiddenLayer((300, "auto"), random_state=0).fit(X, y).hidden_layer_.fingerprint)
"""


def test_threads_and_instructions_of_blas_change_nothing():
    """Kernels for other processors add in another order."""
    found = set()
    for settings in ({"OPENBLAS_NUM_THREADS": "1"}, {"OPENBLAS_NUM_THREADS": "2"}, {"OPENBLAS_CORETYPE": "Nehalem"}):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=os.environ | settings, capture_output=True, text=True, check=True
        )
        found.add(done.stdout.strip())
    assert len(found) == 1


def test_memory_is_bounded():
    rng = np.random.default_rng(0)
    Z, T = rng.standard_normal((100_000, 20)), rng.standard_normal((100_000, 1))
    tracemalloc.start()
    try:
        choose_draw(2000, sample_of(Z, T, None, 0, relevance=True), 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 80 * 2**20


def test_float32_rows_draw_the_layer_of_their_numbers():
    single = X.astype(np.float32)
    one = HiddenLayer((40, "auto"), random_state=0, dtype="float64").fit(single, TARGETS["steps"])
    two = HiddenLayer((40, "auto"), random_state=0).fit(single.astype(float), TARGETS["steps"])
    assert one.hidden_layer_.fingerprint == two.hidden_layer_.fingerprint
