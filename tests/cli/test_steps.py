"""The command's five steps give the numbers of Python, with every option."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from command import LABELS, NEURONS, SPEC, WEIGHTS, N, T, X, facts, refused, run

from daskelm import ELMClassifier, ELMRegressor, NormalEquations, from_hdf5, load, make_hdf5


def test_five_steps_give_the_numbers_of_python(folder):
    for name, data in (("X", X), ("T", T)):
        np.savetxt(f"{name}.csv", data, delimiter=",", fmt="%.17g")
        assert run(f"make-hdf5 {name}.csv data{name}.h5") == f"data{name}.h5: data {data.shape} float64\n"
    assert "21 (3 lin, 5 tanh, 9 sigm, 4 numpy.sin)" in run(f"init dataX.h5 model.h5 --neurons {SPEC} --seed 7")
    for rows in ("0:100", "100:200", "200:"):
        run(f"accumulate model.h5 dataX.h5 dataT.h5 --rows {rows} --into sums.h5")
    solved = run("solve model.h5 sums.h5")
    run("predict model.h5 dataX.h5 --out Y.h5")

    expected = ELMRegressor(NEURONS, random_state=7).initialize("dataX.h5")
    for rows in (slice(0, 100), slice(100, 200), slice(200, N)):
        expected.accumulate("dataX.h5", "dataT.h5", rows=rows)
    expected.solve()
    np.testing.assert_allclose(np.asarray(from_hdf5("Y.h5")), expected.predict(X), rtol=0, atol=1e-10)
    score = float(run("score model.h5 dataX.h5 dataT.h5"))
    assert score == pytest.approx(expected.score(X, T), abs=1e-10)
    # The error on the rows comes from the sums alone, without a look at any row, so its outputs are not limited.
    expected.set_params(clip=False)
    unlimited = expected.score(X, T)
    assert unlimited <= score
    error = np.mean((expected.predict(X) - T) ** 2)
    assert facts(solved) == pytest.approx(
        {
            "rows": N,
            "neurons": 21,
            # From the smallest of the targets to the largest.
            "alpha": expected.alpha_.min(),
            "rank": 21,
            "condition number": expected.condition_number_,
            "mean squared error": error,
            "R2": unlimited,
        },
        rel=1e-2,
    )
    assert facts(solved)["R2"] == pytest.approx(unlimited, abs=1e-5)
    assert facts(solved)["mean squared error"] == pytest.approx(error, rel=1e-5)


def test_classes_weights_and_probabilities(folder):
    run("init X.h5 model.h5 --neurons 30 --labels labels.h5 --class-weight 0=2,3=0.5 --weights weights.h5 --alpha 0.1")
    run("accumulate model.h5 X.h5 labels.h5 --weights weights.h5 --into sums.h5")
    assert "R2" not in run("solve model.h5 sums.h5")
    run("predict model.h5 X.h5 --out Y.h5")
    run("predict model.h5 X.h5 --out P.h5 --proba")

    expected = ELMClassifier(30, alpha=0.1, class_weight={0: 2, 3: 0.5}, random_state=0)
    expected.initialize(X, classes=[0, 1, 2, 3], sample_weight=WEIGHTS)
    expected.accumulate(X, LABELS, sample_weight=WEIGHTS).solve()
    np.testing.assert_allclose(np.asarray(from_hdf5("P.h5")), expected.predict_proba(X), rtol=0, atol=1e-10)
    assert (np.asarray(from_hdf5("Y.h5"))[:, 0] == expected.predict(X)).all()
    score = float(run("score model.h5 X.h5 labels.h5 --weights weights.h5"))
    assert score == pytest.approx(expected.score(X, LABELS, WEIGHTS), abs=1e-12)


def test_classes_by_name_are_those_of_the_labels(folder):
    run("init X.h5 a.h5 --neurons 5 --labels labels.h5")
    run("init X.h5 b.h5 --neurons 5 --classes 3,0,1,2 --classifier")
    assert load("a.h5").classes_.tolist() == load("b.h5").classes_.tolist() == [0, 1, 2, 3]


def test_several_labels_per_row(folder):
    make_hdf5(np.stack([X[:, 0] > 0, X[:, 1] > 0], axis=1), "many.h5")
    run("init X.h5 model.h5 --labels many.h5 --neurons 30")
    run("accumulate model.h5 X.h5 many.h5 --into sums.h5")
    run("solve model.h5 sums.h5")
    assert float(run("score model.h5 X.h5 many.h5")) > 0.9


def test_options_of_init_are_the_parameters(folder):
    run("init X.h5 model.h5 --neurons 9 --alpha 0.5 --no-standardize --no-intercept --dtype float32 --seed 3")
    expected = ELMRegressor(
        9, alpha=0.5, standardize=False, fit_intercept=False, dtype="float32", random_state=3
    ).initialize(X)
    saved = load("model.h5")
    assert saved.get_params() == expected.get_params()
    assert saved.hidden_layer_.fingerprint == expected.hidden_layer_.fingerprint


def test_without_options_the_defaults_and_a_seed_that_stays(folder):
    run("init X.h5 model.h5")
    first = Path("model.h5").read_bytes()
    run("init X.h5 model.h5")
    assert Path("model.h5").read_bytes() == first
    assert load("model.h5").get_params() == ELMRegressor(random_state=0).get_params()


def test_datasets_and_files_of_one_table(folder):
    for i, rows in enumerate((slice(0, 10), slice(10, 11), slice(11, N)), 9):
        # In the natural order of names, part9 comes before part10.
        with h5py.File(f"part{i}.h5", "w") as file:
            file["group/X"], file["T"], file["w"] = X[rows], T[rows], WEIGHTS[rows]
    run("init 'part*.h5::group/X' many.h5 --neurons 20 --weights 'part*.h5::w'")
    run("init X.h5 whole.h5 --neurons 20 --weights weights.h5")
    expected = ELMRegressor(20, random_state=0).initialize(X, sample_weight=WEIGHTS).hidden_layer_.fingerprint
    assert load("many.h5").hidden_layer_.fingerprint == load("whole.h5").hidden_layer_.fingerprint == expected
    added = "600 rows added, 0 were counted already; 600 in all"
    assert added in run("accumulate many.h5 'part*.h5::group/X' 'part*.h5::T' --weights 'part*.h5::w' --into p.h5")
    assert added in run("accumulate whole.h5 X.h5::data T.h5 --weights weights.h5 --into w.h5")
    np.testing.assert_allclose(NormalEquations.load("p.h5").HT, NormalEquations.load("w.h5").HT, rtol=1e-10)


@pytest.mark.parametrize("compression", [None, "gzip", "lzf", "zstd"])
def test_options_of_make_hdf5(folder, compression):
    if compression == "zstd":
        pytest.importorskip("hdf5plugin")
    Path("odd.csv").write_text("a|b\n1|2\n3|4\n")
    chosen = f"--compression {compression}" if compression else ""
    run(f"make-hdf5 odd.csv odd.h5 --dataset inner/d --delimiter '|' --header --dtype int16 {chosen}")
    [found] = json.loads(run("info --json odd.h5"))[0]["datasets"]
    assert [one["name"] for one in found["columns"]] == ["a", "b"]
    assert (found["name"], found["shape"], found["dtype"]) == ("inner/d", [2, 2], "int16")
    assert bool(found["filters"]) == (compression is not None)
    assert np.asarray(from_hdf5("odd.h5")).tolist() == [[1, 2], [3, 4]]
    run("make-hdf5 odd.csv odd.h5 --delimiter '|' --force")
    assert "line 1: column '0' must hold numbers" in refused("make-hdf5 odd.csv odd.h5 --no-header --delimiter '|'")
