"""The command select: that of Python, with its table and its progress."""

import re
from pathlib import Path

import numpy as np
import pytest
from command import facts, invoke, refused, run

from daskelm import load
from daskelm.progress import RowProgress


def summed_in_parts():
    for i in range(4):
        run(f"accumulate model.h5 X.h5 T.h5 --rows {i * 150}:{i * 150 + 150} --into sums-{i}.h5 --quiet")


def table_of(text):
    """The lines of the table of the best, as numbers."""
    lines = [line.split() for line in text.partition("\n\n")[2].splitlines()]
    return lines[0], [[float(word) for word in line] for line in lines[1:]]


@pytest.mark.parametrize(
    ("how", "ask", "told"),
    [
        ("'sums-[0-2].h5' --validation sums-3.h5", {"validation": "sums-3.h5"}, "on --validation"),
        ("sums-0.h5 sums-1.h5 sums-2.h5 --folds", {"cv": "files"}, "mean over folds"),
        ("'sums-[0-2].h5'", {}, "mean over folds"),
        ("'sums-[0-2].h5' --gcv", {"cv": "gcv"}, "by GCV"),
    ],
)
def test_select_is_that_of_python(folder, model, how, ask, told):
    summed_in_parts()
    before = Path(model).read_bytes()
    text = run(f"select model.h5 {how} --neurons 3,10,21 --alphas 0.01,1,100 --out best.h5 --table all.csv")
    assert Path(model).read_bytes() == before
    expected = load(model).select("sums-[0-2].h5", n_neurons=[3, 10, 21], alphas=[0.01, 1, 100], **ask)
    best = load("best.h5")
    np.testing.assert_allclose(best.coef_, expected.coef_, rtol=1e-12)
    assert (best.alpha_, best.n_neurons_, best.best_score_) == pytest.approx(
        (expected.alpha_, expected.n_neurons_, expected.best_score_)
    )
    assert text.startswith("best.h5: solved with the best of 9 candidates\n")
    assert facts(text.partition("\n\n")[0]) == pytest.approx(
        {
            "rows": 450,
            "neurons": expected.n_neurons_,
            "alpha": expected.alpha_,
            "r2": expected.best_score_,
            "rank": expected.rank_,
            "condition number": expected.condition_number_,
        },
        rel=1e-2,
    )
    assert f"neurons                     {expected.n_neurons_} (of 21)\n" in text
    assert f"({told})\n" in text
    head, lines = table_of(text)
    assert head == ["rank", "neurons", "alpha", "r2"]
    assert [line[0] for line in lines] == [1, 2, 3, 4, 5]
    assert lines[0] == pytest.approx([1, expected.n_neurons_, expected.alpha_, expected.best_score_], rel=1e-5)
    table = np.genfromtxt("all.csv", delimiter=",", names=True)
    order = np.argsort(expected.cv_results_["rank_test_score"], kind="stable")
    names = ["param_alpha", "param_n_neurons", *(name for name in expected.cv_results_ if name.endswith("score"))]
    assert list(table.dtype.names) == [name.removeprefix("param_") for name in names]
    for name in names:
        np.testing.assert_array_equal(table[name.removeprefix("param_")], expected.cv_results_[name][order])


def test_select_writes_the_model_and_can_be_run_again(folder, model):
    summed_in_parts()
    line = "select model.h5 'sums-?.h5' --scoring neg_mean_squared_error --alphas 0.1,10"
    text = run(line)
    assert "  neg_mean_squared_error      -" in text
    assert (load(model).alpha, load(model).alpha_) == ("auto", 0.1)
    once = Path(model).read_bytes()
    assert run(line) == text
    assert Path(model).read_bytes() == once
    run("predict model.h5 X.h5 --out Y.h5")
    # Sums of the full layer are those of MODEL, and not of what has fewer neurons.
    run("select model.h5 'sums-?.h5' --neurons 9 --out small.h5")
    assert "has the 9 neurons that select chose" in refused("solve small.h5 'sums-?.h5'")
    run("solve model.h5 'sums-?.h5'")


def test_select_by_a_ranking(folder, model):
    summed_in_parts()
    run("select model.h5 'sums-?.h5' --neurons 9 --ranking omp --out small.h5")
    expected = load(model).select("sums-?.h5", n_neurons=9, ranking="omp")
    chosen = load("small.h5")
    np.testing.assert_array_equal(chosen.ranking_, expected.ranking_)
    assert chosen.hidden_layer_.fingerprint == expected.hidden_layer_.fingerprint
    assert chosen.hidden_layer_.fingerprint != load(model).select("sums-?.h5", n_neurons=9).hidden_layer_.fingerprint


def test_select_tells_of_what_was_refused(folder):
    run("init X.h5 model.h5 --neurons 30")
    run("accumulate model.h5 X.h5 T.h5 --rows 0:25 --into few.h5 --quiet")
    text = run("select model.h5 few.h5 --gcv --alphas 1e-9,1 --table all.csv")
    assert re.search(r"^  2 +30 +1e-09  refused$", text, re.M)
    assert Path("all.csv").read_text().splitlines()[2] == "1e-09,30,,2"


def test_progress_of_a_selection_is_told_and_not_saved(folder, model, monkeypatch):
    # Which is shown when it takes longer than a second.
    monkeypatch.setattr(RowProgress, "patience", property(lambda self: 0.0, lambda self, value: None), raising=False)
    for part in ("0:300", "300:600"):
        run(f"accumulate model.h5 X.h5 T.h5 --rows {part} --into {part[0]}.h5 --quiet")
    line = "select model.h5 0.h5 3.h5 --folds --alphas 0.1,1 --out best.h5"
    assert "select: 4 of 4 models (100 %)" in invoke(line).stderr
    assert invoke(f"{line} --quiet").stderr == ""
    assert load("best.h5").verbose == 0
