"""The command info: what files of data, models and sums hold."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from command import WEIGHTS, D, N, T, X, run

from daskelm import ELMRegressor, HiddenLayer, load
from daskelm.exceptions import IllConditionedWarning


def test_info_of_data(folder):
    with h5py.File("two.h5", "w") as file:
        file["a"], file["b"] = np.zeros((4, 2), "f4"), np.arange(3)
    [two, one] = json.loads(run("info --json two.h5 two.h5::b"))
    assert (two["kind"], [d["name"] for d in two["datasets"]]) == ("data", ["a", "b"])
    assert two["bytes"] == Path("two.h5").stat().st_size
    assert one["datasets"] == [{"name": "b", "shape": [3], "dtype": "int64", "chunks": None, "filters": []}]
    assert "  a  (4, 2) float32, not chunked\n" in run("info two.h5")
    Path("three.h5").write_bytes(Path("two.h5").read_bytes())
    globbed = json.loads(run("info --json t[hw]*.h5::b"))
    assert [Path(facts["file"]).name for facts in globbed] == ["three.h5", "two.h5"]
    assert [facts["datasets"] for facts in globbed] == [one["datasets"]] * 2


def test_info_says_how_a_dataset_is_taken(folder):
    with h5py.File("side.mat", "w") as file:
        file["X"], file["plain"] = np.zeros((3, 40)), np.zeros((3, 40))
        file["X"].attrs["MATLAB_class"] = np.bytes_("double")
        file["octave/value"] = np.zeros((3, 3))
        file["octave"].attrs["OCTAVE_NEW_FORMAT"] = np.uint8(1)
        file["link"] = h5py.SoftLink("/X")
    text = run("info side.mat")
    assert "  X  (3, 40) float64, not chunked, written on its side by MATLAB: FILE::X.T\n" in text
    assert "octave/value  (3, 3) float64, not chunked, written on its side by Octave: FILE::octave/value.T\n" in text
    assert "  plain  (3, 40) float64, not chunked\n" in text
    assert run("info side.mat::X.T").endswith("taken as 40 rows of 3 columns\n")
    assert run("info side.mat::link.T[0,2]").endswith("taken as 40 rows of 2 columns\n")
    assert "taken" not in run("info side.mat::X")
    [facts] = json.loads(run("info --json side.mat::plain[0,2]"))
    assert facts["taken"] == {"rows": 3, "columns": 2}


def test_info_of_models(folder, model):
    fresh = json.loads(run(f"info --json {model}"))[0]
    layer = load(model).hidden_layer_
    assert (fresh["class"], fresh["inputs"], fresh["neurons"], fresh["solved"]) == ("ELMRegressor", D, 21, False)
    assert fresh["kinds"] == {"lin": 3, "tanh": 5, "sigm": 9, "numpy.sin": 4}
    assert (fresh["fingerprint"], fresh["alpha"], fresh["random_state"]) == (layer.fingerprint, "auto", 0)
    run("accumulate model.h5 X.h5 T.h5 --into sums.h5")
    run("solve model.h5 sums.h5")
    solved = json.loads(run(f"info --json {model}"))[0]
    assert (solved["solved"], solved["alpha_used"], solved["rank"]) == (True, load(model).alpha_.tolist(), 21)
    run("init X.h5 classes.h5 --classes 0,1.5,2")
    assert json.loads(run("info --json classes.h5"))[0]["classes"] == [0, 1.5, 2]
    ELMRegressor(5).initialize(X).accumulate(X, T).save("inside.h5")
    assert json.loads(run("info --json inside.h5"))[0]["rows_inside"] == N
    HiddenLayer(5).fit(X).save("layer.h5")
    assert "HiddenLayer" in run("info layer.h5")


def test_info_of_models_without_any_row_kept_is_still_json(folder, model):
    with pytest.warns(IllConditionedWarning):
        load(model).set_params(alpha=0).accumulate(X[:1] * 0, T[:1]).solve().save("bad.h5")
    assert json.loads(run("info --json bad.h5"))[0]["condition_number"] is None


def test_info_of_sums(folder, model):
    for rows in ("0:10", "20:30", "590:"):
        run(f"accumulate model.h5 X.h5 T.h5 --weights weights.h5 --rows {rows} --into sums.h5")
    load(model).accumulate(X[:7], T[:7], into="sums.h5")
    found = json.loads(run("info --json sums.h5"))[0]
    [source] = found["sources"]
    assert source == {
        "paths": [f"{folder / 'X.h5'}:/data"],
        "rows": 30,
        "ranges": [[0, 10], [20, 30], [590, 600]],
        "targets": [f"{folder / 'T.h5'}:/data"],
    }
    assert (found["rows"], found["rows_from_memory"], found["neurons"], found["targets"]) == (37, 7, 21, 2)
    chosen = np.r_[0:10, 20:30, 590:600]
    assert found["sum_of_weights"] == pytest.approx(WEIGHTS[chosen].sum() + 7)
    assert found["fingerprint"] == load(model).hidden_layer_.fingerprint
    assert f"30 rows of {folder / 'X.h5'}:/data\n    0:10 20:30 590:600\n" in run("info sums.h5")
