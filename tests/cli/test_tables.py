"""Tables that hold their target, chosen columns and tables on their side, on the command line."""

import json

import h5py
import numpy as np
import pytest
from command import refused, run

from daskelm import ELMRegressor, load
from daskelm.hdf5.columns import Column, write_columns

NAMES = ["hour", "delay", "wind", "rain"]
RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((400, 4))
TABLE[:, 1] = TABLE[:, 0] * TABLE[:, 2]
MODEL = "--neurons 20:tanh --alpha 1"


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with h5py.File("table.h5", "w") as file:
        write_columns(file.create_dataset("data", data=TABLE, chunks=(90, 3)), [Column(name) for name in NAMES])
    with h5py.File("side.mat", "w") as file:
        file["X"], file["y"] = TABLE[:, [0, 2, 3]].T, TABLE[None, :, 1]


def fitted(columns):
    return ELMRegressor(20, random_state=0, alpha=1.0).fit(TABLE[:, columns], TABLE[:, 1])


# Ways to name inputs and target, and the positions of the inputs.
WAYS = {
    "target": ("table.h5", "--target delay", "", [0, 2, 3]),
    "columns": ("table.h5", "--target delay --columns rain,hour", "", [3, 0]),
    "except": ("table.h5", "--target delay --except hour", "", [2, 3]),
    "except the target": ("table.h5", "--target delay --except hour,delay", "", [2, 3]),
    "brackets": ("table.h5::data[rain,hour]", "", "table.h5::[delay]", [3, 0]),
    "positions": ("table.h5 --columns 3,0", "", "table.h5::[delay]", None),
    "side": ("side.mat::X.T", "", "side.mat::y.T", [0, 2, 3]),
    "side, columns": ("side.mat::X.T[2,0]", "", "side.mat::y.T", [3, 0]),
}


@pytest.mark.parametrize("way", [way for way in WAYS if way != "positions"])
def test_each_step_takes_the_columns_that_are_named(way):
    x, options, t, positions = WAYS[way]
    run(f"init {x} model.h5 {options} {MODEL}")
    for rows in ("0:150", "150:", "0:20"):
        run(f"accumulate model.h5 {x} {t} {options} --rows {rows} --into sums.h5 --quiet")
    run("solve model.h5 sums.h5")
    expected = fitted(positions)
    np.testing.assert_allclose(load("model.h5").coef_, expected.coef_, rtol=1e-6, atol=1e-8)
    score = float(run(f"score model.h5 {x} {t} {options} --quiet"))
    assert score == pytest.approx(expected.score(TABLE[:, positions], TABLE[:, 1]))
    chosen = " ".join(options.split()[2:])
    run(f"predict model.h5 {x} {chosen} --out p.h5 --quiet")
    with h5py.File("p.h5") as file:
        found = file["data"][:, 0]
    np.testing.assert_allclose(found, expected.predict(TABLE[:, positions]), rtol=1e-6, atol=1e-8)
    run(f"remove model.h5 {x} {t} {options} --rows 0:400 --from sums.h5 --quiet")
    assert "rows              0" in run("info sums.h5")


def test_predict_leaves_out_the_target_by_name():
    run(f"init table.h5 model.h5 --target delay {MODEL}")
    run("accumulate model.h5 table.h5 --target delay --into sums.h5 --quiet")
    run("solve model.h5 sums.h5")
    run("predict model.h5 table.h5 --out p.h5 --quiet")
    run("predict model.h5 table.h5 --except delay --out q.h5 --quiet")
    with h5py.File("p.h5") as one, h5py.File("q.h5") as other:
        np.testing.assert_array_equal(one["data"][:], other["data"][:])


def test_classes_are_found_in_the_column():
    with h5py.File("labels.h5", "w") as file:
        table = np.column_stack([TABLE, np.arange(400) % 3])
        write_columns(file.create_dataset("data", data=table), [Column(name) for name in [*NAMES, "label"]])
    run("init labels.h5 model.h5 --classifier --target label --neurons 9")
    assert load("model.h5").classes_.tolist() == [0, 1, 2]


def test_info_shows_names_levels_gaps_and_targets():
    table = TABLE.copy()
    table[:3, 2] = np.nan
    with h5py.File("gaps.h5", "w") as file:
        columns = [Column("a"), Column("b", ("x", "y")), Column("c"), Column("d")]
        write_columns(file.create_dataset("data", data=table), columns)
    text = run("info gaps.h5")
    assert "columns a, b (2 levels), c, d, gaps: 3 in c" in text
    assert "data.columns" not in text
    ((found,),) = ([fact["datasets"][0]] for fact in json.loads(run("info --json gaps.h5")))
    assert found["columns"][1] == {"name": "b", "levels": ["x", "y"]}
    assert found["gaps"] == {"c": 3}
    assert "columns a" in run("info 'gaps.h5::data[a]'")
    run(f"init table.h5 model.h5 --target delay {MODEL}")
    run("accumulate model.h5 table.h5 --target delay --into sums.h5 --quiet")
    assert "table.h5:/data[delay]" in run("info sums.h5").splitlines()[-1]
    assert "input names       hour, wind, rain\n  target names      delay" in run("info model.h5")


def test_another_target_is_an_error_that_names_both():
    run(f"init 'table.h5::[hour,wind]' model.h5 {MODEL}")
    run("accumulate model.h5 'table.h5::[hour,wind]' 'table.h5::[delay]' --rows 0:90 --into sums.h5 --quiet")
    text = refused("accumulate model.h5 'table.h5::[hour,wind]' 'table.h5::[rain]' --rows 90: --into sums.h5 --quiet")
    assert "/data[rain]" in text
    assert "/data[delay]" in text


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("accumulate model.h5 table.h5 --into s.h5", "give the targets once: T, or --target .* got neither"),
        ("accumulate model.h5 table.h5 table.h5 --target delay --into s.h5", "give the targets once.* got both"),
        ("score model.h5 table.h5", "give the targets once"),
        ("remove model.h5 table.h5 --from s.h5", "give the targets once"),
        (
            "init table.h5 m.h5 --except z",
            "'--except': must be names of columns of X; got 'z', and X has the columns hour",
        ),
        ("init side.mat::X m.h5 --except z", "and X has columns without names. .* --columns 0,2"),
        ("init table.h5 m.h5 --columns ,", "must be names of columns with commas between"),
        ("init table.h5 m.h5 --columns z", "must be names of columns of one dataset.* got z. /data has hour, delay"),
        ("init table.h5::[a] m.h5 --columns hour", "both choose columns of X; give one of them"),
        ("init table.h5::[] m.h5", r"must hold names of columns with commas between, such as \[a,b\]"),
        ("init table.h5:: m.h5", "FILE::DATASET to name a dataset in it, or"),
        ("init table.h5 m.h5 --target delay --targets table.h5", "both name the targets"),
        ("init table.h5 m.h5 --target late", r"target must name one column of X each; got 'late'"),
    ],
)
def test_mistakes_are_one_line(line, text):
    run(f"init table.h5 model.h5 --target delay {MODEL}")
    import re

    assert re.search(text, refused(line))


def test_dates_are_written_as_seconds():
    with open("days.csv", "w") as file:
        file.write("day,hour,x\n2013-06-19,19.06.2013 05h,1\n,,2\n")
    run("make-hdf5 days.csv days.h5 --dates 'day,hour=%d.%m.%Y %Hh' --quiet")
    with h5py.File("days.h5") as file:
        np.testing.assert_array_equal(file["data"][:], [[1371600000, 1371618000, 1], [np.nan, np.nan, 2]])
    assert "--dates" in refused("make-hdf5 days.csv other.h5 --dates hour --columns hour --quiet")
