"""The commands accumulate, remove, merge and solve: rows count once, and progress is shown beside the results."""

import shutil

import numpy as np
import pytest
from command import T, X, refused, run

from daskelm import NormalEquations, load
from daskelm.cli import cli


def test_what_is_counted_already_is_not_added_and_told(folder, model):
    line = "accumulate model.h5 X.h5 T.h5 --into sums.h5 --rows"
    assert run(f"{line} 0:100") == "sums.h5: 100 rows added, 0 were counted already; 100 in all\n"
    assert run(f"{line} 50:200") == "sums.h5: 100 rows added, 50 were counted already; 200 in all\n"
    assert run(f"{line} 50:200") == "sums.h5: 0 rows added, 150 were counted already; 200 in all\n"
    assert run(f"{line} 0:0") == "sums.h5: 0 rows added, 0 were counted already; 200 in all\n"
    assert run(f"{line} -100:") == "sums.h5: 100 rows added, 0 were counted already; 300 in all\n"
    # Another path is another name for the same rows.
    shutil.copy("X.h5", "copy.h5")
    line = "accumulate model.h5 copy.h5 T.h5 --into sums.h5"
    assert run(f"{line} --rows :250") == "sums.h5: 50 rows added, 200 were counted already; 350 in all\n"
    assert run(line) == "sums.h5: 250 rows added, 350 were counted already; 600 in all\n"
    assert run(line) == "sums.h5: 0 rows added, 600 were counted already; 600 in all\n"


def test_rows_are_removed_exactly(folder, model):
    run("accumulate model.h5 X.h5 T.h5 --into sums.h5")
    assert run("remove model.h5 X.h5 T.h5 --rows 0:100 --from sums.h5") == "sums.h5: 100 rows removed, 500 left\n"
    expected = load(model).accumulate(X[100:], T[100:]).normal_equations_
    np.testing.assert_allclose(NormalEquations.load("sums.h5").HH, expected.HH, rtol=1e-9)
    assert "only rows that are counted" in refused("remove model.h5 X.h5 T.h5 --rows 0:1 --from sums.h5")


def test_sums_are_merged_or_solved_together(folder, model):
    for i in (1, 2, 10):
        run(f"accumulate model.h5 X.h5 T.h5 --rows {i * 50}:{i * 50 + 50} --into sums-{i}.h5")
    assert run("merge 'sums-*.h5' --into all.h5") == "all.h5: 150 rows\n"
    run("solve model.h5 all.h5 --out a.h5")
    run("solve model.h5 sums-1.h5 sums-2.h5 sums-10.h5 --out b.h5")
    assert "solved             True" not in run("info model.h5")
    np.testing.assert_allclose(load("a.h5").coef_, load("b.h5").coef_, rtol=0, atol=1e-10)


def test_another_alpha_for_another_file(folder, model):
    run("accumulate model.h5 X.h5 T.h5 --into sums.h5")
    run("solve model.h5 sums.h5")
    run("solve model.h5 sums.h5 --alpha 10 --out stiff.h5")
    assert (load("model.h5").alpha, load("stiff.h5").alpha, load("stiff.h5").alpha_) == ("auto", 10.0, 10.0)
    assert float(run("score stiff.h5 X.h5 T.h5")) < float(run("score model.h5 X.h5 T.h5"))


@pytest.mark.parametrize("quiet", ["", "--quiet"])
def test_progress_is_told_beside_the_results_and_not_saved(folder, model, capsys, quiet):
    np.save("X.npy", X)
    for line in (
        "make-hdf5 X.npy dataX.h5",
        "accumulate model.h5 X.h5 T.h5 --into sums.h5",
        "remove model.h5 X.h5 T.h5 --from sums.h5 --rows :9",
        "predict model.h5 X.h5 --out Y.h5",
        "score model.h5 X.h5 T.h5",
    ):
        with pytest.raises(SystemExit, match="^0$"):
            cli.main([*line.split(), *quiet.split()], prog_name="daskelm")
        out, err = capsys.readouterr()
        assert "rows/s" not in out
        assert (err == "") if quiet else ("rows (100 %)" in err)
        if "remove" in line:
            run("solve model.h5 sums.h5")
    assert load("model.h5").verbose == 0
