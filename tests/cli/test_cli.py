"""The command: the same five steps and numbers as in Python, in processes that end as shells expect."""

import inspect
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint, version
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from distributed import Client, LocalCluster

from daskelm import ELMClassifier, ELMRegressor, HiddenLayer, NormalEquations, from_hdf5, load, make_hdf5
from daskelm.cli import cli, main
from daskelm.cli.errors import tell
from daskelm.cli.scheduler import Scheduler, connected
from daskelm.cluster.client import current_client
from daskelm.exceptions import IllConditionedWarning
from daskelm.progress import RowProgress

ROOT = Path(__file__).parents[2]
N, D = 600, 5
RNG = np.random.default_rng(0)
X = RNG.uniform(-2, 2, (N, D))
T = np.stack([np.sin(X[:, 0]) * X[:, 1], X[:, 2] ** 2], axis=1)
LABELS = (X[:, 0] > 0).astype(int) + 2 * (X[:, 1] > 1)
WEIGHTS = RNG.uniform(0.5, 2, N)
SPEC = "3:lin,5:tanh,9:sigm,4:numpy.sin"
NEURONS = [(3, "lin"), (5, "tanh"), (9, "sigm"), (4, np.sin)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with the data as HDF5."""
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path)
    return tmp_path


def write_data(folder):
    for name, data in {"X": X, "T": T, "labels": LABELS, "weights": WEIGHTS}.items():
        make_hdf5(data, folder / f"{name}.h5")


@pytest.fixture
def model(folder):
    """Name of a model file in that folder, not solved."""
    run(f"init X.h5 model.h5 --neurons {SPEC}")
    return "model.h5"


def invoke(line):
    # Before click 8.2, standard error was mixed into standard output unless told otherwise.
    apart = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
    return CliRunner(**apart).invoke(cli, shlex.split(line), prog_name="daskelm")


def run(line):
    """Standard output of a command that ends well."""
    result = invoke(line)
    assert result.exit_code == 0, result.stderr or repr(result.exception)
    return result.stdout


def refused(line):
    """The one line that a command says when it is used in a wrong way, without its beginning."""
    result = invoke(line)
    assert result.exit_code == 2, repr(result.exception)
    return the_line(result)


def the_line(result, kind="error"):
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"daskelm: {kind}: ")
    return result.stderr.removeprefix(f"daskelm: {kind}: ")


def process(*arguments, code=None, **options):
    """A real process; of `code`, with the command's `main` in it."""
    what = ["-m", "daskelm"] if code is None else ["-c", f"{code}\nfrom daskelm.cli import main\nmain()"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *what, *arguments], env=environment, **pipes, **options)


def finished(process):
    """Exit status, standard output and standard error of a process."""
    stdout, stderr = process.communicate(timeout=120)
    return process.returncode, stdout, stderr


# The five steps


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
    # The error on the rows comes from the sums alone, without a look at any row.
    error = np.mean((expected.predict(X) - T) ** 2)
    assert facts(solved) == pytest.approx(
        {
            "rows": N,
            "neurons": 21,
            "alpha": expected.alpha_,
            "rank": 21,
            "condition number": expected.condition_number_,
            "mean squared error": error,
            "R2": score,
        },
        rel=1e-2,
    )
    assert facts(solved)["R2"] == pytest.approx(score, abs=1e-5)
    assert facts(solved)["mean squared error"] == pytest.approx(error, rel=1e-5)


def facts(text):
    """Names and numbers of the lines under the first."""
    found = [re.fullmatch(r"  (.+?)  +(\S+).*", line) for line in text.splitlines()[1:]]
    return {match[1]: float(match[2]) for match in found}


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
    assert (found["name"], found["shape"], found["dtype"]) == ("inner/d", [2, 2], "int16")
    assert bool(found["filters"]) == (compression is not None)
    assert np.asarray(from_hdf5("odd.h5")).tolist() == [[1, 2], [3, 4]]
    run("make-hdf5 odd.csv odd.h5 --delimiter '|' --force")
    assert "line 1: column '0' must hold numbers" in refused("make-hdf5 odd.csv odd.h5 --no-header --delimiter '|'")


# Rows that are counted


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
    assert (load("model.h5").alpha, load("stiff.h5").alpha, load("stiff.h5").alpha_) == ("gcv", 10.0, 10.0)
    assert float(run("score stiff.h5 X.h5 T.h5")) < float(run("score model.h5 X.h5 T.h5"))


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
    assert (load(model).alpha, load(model).alpha_) == ("gcv", 0.1)
    once = Path(model).read_bytes()
    assert run(line) == text
    assert Path(model).read_bytes() == once
    run("predict model.h5 X.h5 --out Y.h5")
    # Sums of the full layer are those of MODEL, and not of what has fewer neurons.
    run("select model.h5 'sums-?.h5' --neurons 9 --out small.h5")
    assert "has the 9 that select chose" in refused("solve small.h5 'sums-?.h5'")
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


def test_progress_of_a_selection_is_told_and_not_saved(folder, model, monkeypatch):
    # Which is shown when it takes longer than a second.
    monkeypatch.setattr(RowProgress, "patience", property(lambda self: 0.0, lambda self, value: None), raising=False)
    for part in ("0:300", "300:600"):
        run(f"accumulate model.h5 X.h5 T.h5 --rows {part} --into {part[0]}.h5 --quiet")
    line = "select model.h5 0.h5 3.h5 --folds --alphas 0.1,1 --out best.h5"
    assert "select: 4 of 4 models (100 %)" in invoke(line).stderr
    assert invoke(f"{line} --quiet").stderr == ""
    assert load("best.h5").verbose == 0


# What files hold


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


def test_info_of_models(folder, model):
    fresh = json.loads(run(f"info --json {model}"))[0]
    layer = load(model).hidden_layer_
    assert (fresh["class"], fresh["inputs"], fresh["neurons"], fresh["solved"]) == ("ELMRegressor", D, 21, False)
    assert fresh["kinds"] == {"lin": 3, "tanh": 5, "sigm": 9, "numpy.sin": 4}
    assert (fresh["fingerprint"], fresh["alpha"], fresh["random_state"]) == (layer.fingerprint, "gcv", 0)
    run("accumulate model.h5 X.h5 T.h5 --into sums.h5")
    run("solve model.h5 sums.h5")
    solved = json.loads(run(f"info --json {model}"))[0]
    assert (solved["solved"], solved["alpha_used"], solved["rank"]) == (True, load(model).alpha_, 21)
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
    assert source == {"paths": [f"{folder / 'X.h5'}:/data"], "rows": 30, "ranges": [[0, 10], [20, 30], [590, 600]]}
    assert (found["rows"], found["rows_from_memory"], found["neurons"], found["targets"]) == (37, 7, 21, 2)
    chosen = np.r_[0:10, 20:30, 590:600]
    assert found["sum_of_weights"] == pytest.approx(WEIGHTS[chosen].sum() + 7)
    assert found["fingerprint"] == load(model).hidden_layer_.fingerprint
    assert f"30 rows of {folder / 'X.h5'}:/data\n    0:10 20:30 590:600\n" in run("info sums.h5")


# Mistakes


MISTAKES = {
    "": "Missing command. See 'daskelm --help'.",
    "fit": "No such command 'fit'.",
    "accumulate": "Missing argument 'MODEL'. See 'daskelm accumulate --help'.",
    "accumulate model.h5 X.h5 T.h5": "Missing option '--into'",
    "solve model.h5 sums.h5 --alfa 1": "No such option",
    "accumulate model.h5 X.h5 T.h5 --into s.h5 --rows 5": "'--rows': must be START:STOP, such as 0:1000 .* got '5'",
    "accumulate model.h5 X.h5 T.h5 --into s.h5 --rows a:b": "'--rows': must be START:STOP, .* got 'a:b'",
    "accumulate model.h5 X.h5 T.h5 --into s.h5 --rows 0:999": "rows must lie within the 600 rows of .*X.h5",
    "accumulate model.h5 T.h5 X.h5 --into s.h5": "X has 2 features, but ELMRegressor is expecting 5 features",
    "accumulate model.h5 X.h5 T.h5 --into X.h5": "X.h5 is not a daskelm sums file",
    "accumulate X.h5 X.h5 T.h5 --into s.h5": "X.h5 is not a daskelm model file",
    "accumulate layer.h5 X.h5 T.h5 --into s.h5": "MODEL: layer.h5 must hold an ELMRegressor .* got HiddenLayer",
    "accumulate none.h5 X.h5 T.h5 --into s.h5": "none.h5: no such file",
    "accumulate model.h5 none.h5 T.h5 --into s.h5": "none.h5: no such file",
    "accumulate model.h5 'none*.h5' T.h5 --into s.h5": "no file matches this pattern",
    "accumulate model.h5 X.h5 T.h5 --into none/s.h5": "the folder of .*none/s.h5 does not exist",
    "accumulate model.h5 X.h5 T.h5 T.h5 --into s.h5": "unexpected extra argument",
    "solve model.h5 none.h5": "none.h5: no such file",
    "solve model.h5 model.h5": "model.h5 is a daskelm model file; expected a sums file",
    "remove model.h5 X.h5 T.h5 --from none.h5": "none.h5: no such file",
    "predict model.h5 X.h5 --out Y.h5": "nothing was added since",
    "predict model.h5 X.h5 --out Y.h5 --proba": "'--proba': model.h5 is a regressor",
    "predict model.h5 X.h5 --out X.h5": "--out: X.h5 is one of the files that X is read from, .* Give another name",
    "predict model.h5 X.h5 --out X.h5 --force": "--out: X.h5 is one of the files that X is read from",
    "predict model.h5 X.h5 --out model.h5": "'--out': model.h5 exists and is not replaced: it is a daskelm model file",
    "predict model.h5 X.h5 --out model.h5 --force": "--out: model.h5 is one of the files that MODEL is read from",
    "predict model.h5 X.h5 --out two.h5": "'--out': two.h5 exists .*: it holds a, b, not written by daskelm, .*--force",
    "make-hdf5 a.csv a.csv --force": "path: what is written is HDF5",
    "make-hdf5 a.csv b.csv": "'TARGET': b.csv exists and is not replaced: it is no HDF5 file, and not written by",
    "make-hdf5 a.csv X.h5 --dataset X": "'TARGET': X.h5 exists and is not replaced: it holds data, not 'X'",
    "make-hdf5 a.csv c.h5 --compression rot13": "'--compression': must be gzip, lzf, .* got 'rot13'",
    "make-hdf5 a.csv c.h5 --dtype text": "dtype must be one of numbers",
    "make-hdf5 none.csv c.h5": "none.csv: no such file",
    "init X.h5 T.h5": "'MODEL': T.h5 exists and is not replaced: it is an HDF5 file of data, and a model file is to be",
    "init X.h5 X.h5 --force": "MODEL: X.h5 is one of the files that X is read from",
    "init X.h5 T.h5 --force --labels T.h5": "MODEL: T.h5 is one of the files that labels is read from",
    "init X.h5 T.h5 --force --weights T.h5": "MODEL: T.h5 is one of the files that weights is read from",
    "init X.h5 .": r"'MODEL': \. is a folder; give the name of a file in it",
    "solve model.h5 sums.h5 --out sums.h5": "'--out': sums.h5 exists and is not replaced: it is a daskelm sums file",
    "solve model.h5 sums.h5 --out sums.h5 --force": "--out: sums.h5 is one of the files that SUMS is read from",
    "init a.csv c.h5": "a.csv cannot be read as HDF5",
    "init X.h5::none c.h5": "has no dataset 'none'; it holds data. On the command line that is X.h5::DATASET",
    "init two.h5 c.h5": "exactly one 2-D numeric .* On the command line that is two.h5::DATASET",
    "init X.h5:: c.h5": "'X': must be FILE, or FILE::DATASET .* got 'X.h5::'",
    "init X.h5 c.h5 --neurons tanh:9": "'--neurons': must be a number of tanh neurons, or NUMBER:KIND .* got 'tanh:9'",
    "init X.h5 c.h5 --neurons 9:cosh": "a kind must be one of .* got 'cosh'",
    "init X.h5 c.h5 --neurons 0": "must be an int >= 1; got 0",
    "init X.h5 c.h5 --alpha -1": "alpha must be a finite number >= 0, or 'gcv' .* got -1",
    "init X.h5 c.h5 --alpha best": "alpha must be a finite number >= 0, or 'gcv' .* got 'best'",
    "init X.h5 c.h5 --seed -1": "'--seed': -1 is not in the range",
    "init X.h5 c.h5 --dtype int8": "'--dtype': 'int8' is not one of 'float32', 'float64'",
    "init X.h5 c.h5 --classes a,b": "'--classes': must be labels that are numbers, .* got 'a,b'",
    "init X.h5 c.h5 --classes 1": "at least two classes",
    "init X.h5 c.h5 --classes 0,1 --class-weight 0:9": "'--class-weight': must be LABEL=WEIGHT .* got '0:9'",
    "init X.h5 c.h5 --classes 0,1 --class-weight 7=9": "class_weight: its keys must be labels",
    "init X.h5 c.h5 --classes 0,1 --labels labels.h5": "--classes and --labels both",
    "init X.h5 c.h5 --classifier": "a classifier needs --classes or --labels",
    "init X.h5 c.h5 --regressor --classes 0,1": "a regressor has no --classes",
    "init X.h5 c.h5 --class-weight 0=9": "a regressor has no --classes",
    "select model.h5 none.h5": "none.h5: no such file",
    "select model.h5 sums.h5 --neurons 5,9": "--neurons needs --out MODEL2, since a model of fewer neurons",
    "select model.h5 sums.h5 --ranking omp": "--ranking needs --out MODEL2, since a model of fewer neurons",
    "select model.h5 sums.h5 --ranking best --out c.h5": "'--ranking': 'best' is not one of 'omp', 'lars', 'mrsr'",
    "select model.h5 sums.h5 --neurons 5,x --out c.h5": "'--neurons': must be whole numbers with .* got '5,x'",
    "select model.h5 sums.h5 --neurons 99 --out c.h5": r"n_neurons must be ints from 1 to the 21 .* got \[99\]",
    "select model.h5 sums.h5 --alphas 1,x": "'--alphas': must be numbers with commas between, .* got '1,x'",
    "select model.h5 sums.h5 --alphas -1": "alpha must be a finite number >= 0.*got -1",
    "select model.h5 sums.h5 --scoring accuracy": "'--scoring': 'accuracy' is not one of 'r2', ",
    "select model.h5 sums.h5 --folds": "cv='files' needs at least two sums.*; got 1",
    "select model.h5 sums.h5 --folds --validation sums.h5": "--folds, --validation and --gcv all say",
    "select model.h5 sums.h5 --validation sums.h5": "validation: its files must be others .* got .*sums.h5 in both",
    "select model.h5 sums.h5 --validation 'none*.h5'": "no sums file matches this pattern",
    "select model.h5 sums.h5 --table b.txt": "'--table': must be a name that ends in .csv; got 'b.txt'",
    "select model.h5 sums.h5 --table X.csv": "'--table': X.csv exists and is not replaced: it is an HDF5 file of",
    "select model.h5 sums.h5 --table b.csv": "'--table': b.csv exists and is not replaced: it is no HDF5 file",
    "select model.h5 sums.h5 --table none/t.csv": "its folder .*none does not exist",
    "select model.h5 sums.h5 --out X.h5": "'--out': X.h5 exists and is not replaced: it is an HDF5 file of data",
    "select model.h5 sums.h5 --out sums.h5 --force": "--out: sums.h5 is one of the files that SUMS is read from",
    "select layer.h5 sums.h5": "MODEL: layer.h5 must hold an ELMRegressor",
    "merge sums.h5 --into model.h5": "model.h5 exists and is none of the files added up",
    "info none.h5": "none.h5: no such file",
    "info a.csv": "a.csv is neither a daskelm file nor HDF5",
    "info X.h5::none": "has no dataset 'none'",
    "info .": r"\. is a folder",
    "info cut.h5": "cut.h5 cannot be read as HDF5: it is truncated",
    "info cutmodel.h5": "cutmodel.h5 is truncated",
    "score model.h5 X.h5 T.h5 --scheduler nowhere": "'--scheduler': must be an address such as tcp://nowhere:8786",
}


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory):
    """A folder with all that mistakes are made with."""
    folder = tmp_path_factory.mktemp("mistakes")
    write_data(folder)
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("1,2\n3,4\n")
    with h5py.File(folder / "two.h5", "w") as file:
        file["a"], file["b"] = X, X
    HiddenLayer(5).fit(X).save(folder / "layer.h5")
    model = ELMRegressor(NEURONS, random_state=0).initialize(X)
    model.save(folder / "model.h5")
    model.accumulate(X, T, into=folder / "sums.h5")
    shutil.copy(folder / "X.h5", folder / "X.csv")
    for name, cut in (("X", "cut"), ("model", "cutmodel")):
        (folder / f"{cut}.h5").write_bytes((folder / f"{name}.h5").read_bytes()[:3000])
    return folder


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes_are_told_in_one_line_and_nothing_is_written(mistaken, monkeypatch, line):
    monkeypatch.chdir(mistaken)

    def contents():
        return {path: path.read_bytes() for path in Path().iterdir() if path.suffix != ".lock"}

    before = contents()
    assert re.search(MISTAKES[line], refused(line)), refused(line)
    assert contents() == before


def test_an_empty_file_may_be_replaced(folder):
    Path("new.h5").touch()
    run("init X.h5 new.h5")


def test_files_that_may_not_be_read_are_told(folder, model, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("daskelm.estimators.load.read_model", refuse)
    assert refused("solve model.h5 sums.h5") == "model.h5: Permission denied.\n"


@pytest.mark.parametrize("error", [ValueError, TypeError, EOFError, KeyError, OSError])
def test_bugs_are_not_taken_for_mistakes(folder, model, monkeypatch, error):
    def fail(path):
        raise error("on fire")

    monkeypatch.setattr("daskelm.estimators.load.read_model", fail)
    result = invoke("solve model.h5 sums.h5")
    assert (result.exit_code, type(result.exception)) == (1, error)


@pytest.mark.filterwarnings("default")
def test_warnings_are_told_in_one_line(folder):
    make_hdf5(np.repeat(X[:, :1], D, axis=1), "same.h5")
    run("init same.h5 model.h5 --neurons 5:lin --alpha 0")
    run("accumulate model.h5 same.h5 T.h5 --into sums.h5")
    result = invoke("solve model.h5 sums.h5")
    assert result.exit_code == 0
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("daskelm: warning: HH + alpha I is not safely positive definite")
    assert "rank" in result.stdout

    large = np.ones(N)
    large[1:] = 1e6
    make_hdf5(large, "large.h5")
    run("accumulate model.h5 same.h5 T.h5 --into large-sums.h5 --weights large.h5")
    result = invoke("remove model.h5 same.h5 T.h5 --rows 1: --from large-sums.h5 --weights large.h5 --quiet")
    assert result.exit_code == 0
    assert result.stderr.count("\n") == 1
    assert re.match("daskelm: warning: after the subtraction 1 of 600 rows are left", result.stderr)


# Help


COMMANDS = list(cli.commands)


def examples(command):
    return re.findall(r"^ {4}daskelm (.*)$", run(f"{command} --help"), re.M)


def test_help_lists_the_steps_in_order():
    text = run("--help")
    listed = re.findall(r"^  ([a-z][a-z0-9-]+)  +\S", text.partition("Commands:")[2], re.M)
    assert listed == COMMANDS
    assert "..." not in text.partition("Commands:")[2]
    assert run("-h") == text


def test_examples_in_the_help_run_one_after_the_other(folder):
    for name, data in (("X", X[:, :]), ("T", T)):
        np.savetxt(f"data{name}.csv", np.tile(data, (2, 2)), delimiter=",")
    make_hdf5(np.tile(T, (2, 2)), "dataT.h5")
    for command in COMMANDS:
        lines = examples(command)
        assert lines, f"{command} --help has no example"
        assert all(line.startswith(command) for line in lines)
        if command == "merge":
            load("model.h5").accumulate("dataX.h5", "dataT.h5", rows=slice(500, 600), into="more.h5")
        for line in lines:
            run(line)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_to_do_next_and_names_every_argument(command):
    text = run(f"{command} --help")
    assert command == "info" or "\n  Next: " in text
    for parameter in cli.commands[command].params:
        if parameter.param_type_name == "argument":
            assert re.search(rf"^  {parameter.metavar.removesuffix('...')} ", text, re.M), parameter.metavar
        else:
            assert parameter.help
    assert max(map(len, text.splitlines())) <= 80


def test_version():
    assert run("--version") == f"daskelm {version('daskelm')}\n"


def test_the_entry_point_is_the_command():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert {name: EntryPoint(name, script, "").load() for name, script in scripts.items()} == {"daskelm": main}


def test_on_a_terminal_a_message_takes_the_place_of_the_progress(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    tell("error: one\nline")
    assert capsys.readouterr().err == "\r\033[Kdaskelm: error: one line\n"


# Processes


def test_exit_codes_and_streams(folder, model):
    started = {
        "well": process("accumulate", model, "X.h5", "T.h5", "--into", "sums.h5"),
        "mistake": process("accumulate", model, "X.h5", "T.h5", "--into", "none/sums.h5"),
        "bug": process("info", model, code="import daskelm.cli.info\ndel daskelm.cli.info.read_model"),
    }
    found = {name: finished(process) for name, process in started.items()}
    status, out, err = found["well"]
    assert (status, out) == (0, "sums.h5: 600 rows added, 0 were counted already; 600 in all\n")
    assert re.fullmatch(r"gram: 600 of 600 rows \(100 %\), [\d,]+ rows/s, 0 s left\n", err)
    status, out, err = found["mistake"]
    assert (status, out) == (2, "")
    assert re.fullmatch(r"daskelm: error: the folder of .*none/sums.h5 does not exist. Create it first.\n", err)
    status, out, err = found["bug"]
    assert (status, out) == (1, "")
    assert err.startswith("Traceback")
    assert err.endswith("NameError: name 'read_model' is not defined\n")


def test_three_tasks_of_a_job_array_at_once(folder, model):
    rows = ["0:200", "200:400", "400:600"]
    tasks = [process("accumulate", model, "X.h5", "T.h5", "--rows", r, "--into", "sums.h5", "--quiet") for r in rows]
    for status, out, err in map(finished, tasks):
        assert (status, err) == (0, "")
        assert out.startswith("sums.h5: 200 rows added, 0 were counted already; ")
    sums = NormalEquations.load("sums.h5")
    assert sums.n_samples == N
    np.testing.assert_allclose(sums.HT, load(model).accumulate(X, T).normal_equations_.HT, rtol=1e-10)
    # The whole array again, as after a requeue.
    assert "0 rows added, 600 were counted already" in run("accumulate model.h5 X.h5 T.h5 --into sums.h5")


SLOW = """
import signal, sys, time
# Where the tests run in the background of a shell, it is ignored from the beginning.
signal.signal(signal.SIGINT, signal.default_int_handler)
from daskelm.layer.layer import Layer
quick = Layer.__call__
def slow(self, X, **options):
    sys.stderr.write("working\\n")
    # Far longer than the test waits for the process to end.
    time.sleep(600)
    return quick(self, X, **options)
Layer.__call__ = slow
"""


def test_an_interrupt_ends_the_process_at_once(folder, model):
    run("accumulate model.h5 X.h5 T.h5 --rows 0:100 --into sums.h5")
    before = Path("sums.h5").read_bytes()
    task = process("accumulate", model, "X.h5", "T.h5", "--into", "sums.h5", "--quiet", code=SLOW)
    assert task.stderr.readline() == "working\n"
    task.send_signal(signal.SIGINT)
    status, out, err = finished(task)
    assert (status, out) == (130, "")
    assert err.strip() == "daskelm: interrupted; the same command goes on from what is in the files."
    assert Path("sums.h5").read_bytes() == before
    assert "500 rows added, 100 were counted already" in run("accumulate model.h5 X.h5 T.h5 --into sums.h5")


def test_help_comes_at_once(tmp_path):
    code = "import sys\nfrom daskelm.cli import main\ntry: main()\nexcept SystemExit: print(*sys.modules)"
    options = {"capture_output": True, "text": True, "check": True, "cwd": tmp_path}
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for arguments in (["--help"], ["accumulate", "--help"], ["--version"]):
        shown = subprocess.run([sys.executable, "-c", code, *arguments], env=environment, **options).stdout
        assert {"numpy", "dask", "distributed", "h5py", "pandas", "sklearn"}.isdisjoint(shown.split())


# On a cluster


def work_done(cluster):
    """Number of steps that the scheduler has made so far."""
    with Client(cluster, set_as_default=False) as client:
        return client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_counter)


def test_rows_are_worked_on_where_the_scheduler_is(cluster, folder, no_client):
    at = f"--scheduler {cluster.scheduler_address}"
    run(f"init X.h5 model.h5 --neurons 20 --labels labels.h5 {at}")
    for line in (
        "accumulate model.h5 X.h5 labels.h5 --into sums.h5",
        "remove model.h5 X.h5 labels.h5 --rows 0:100 --from sums.h5",
        "predict model.h5 X.h5 --out Y.h5",
        "predict model.h5 X.h5 --out P.h5 --proba",
        "score model.h5 X.h5 labels.h5",
    ):
        before = work_done(cluster)
        run(f"{line} {at}")
        assert work_done(cluster) > before, line
        # The client was there for the duration, and only then.
        assert current_client() is None
        if "remove" in line:
            run("solve model.h5 sums.h5")
    expected = ELMClassifier(20, random_state=0).initialize(X, classes=[0, 1, 2, 3])
    expected.accumulate(X[100:], LABELS[100:]).solve()
    np.testing.assert_allclose(np.asarray(from_hdf5("P.h5")), expected.predict_proba(X), rtol=0, atol=1e-10)


def test_a_scheduler_from_a_process(cluster, folder, model):
    line = ["accumulate", model, "X.h5", "T.h5", "--into", "sums.h5", "--scheduler", cluster.scheduler_address]
    status, out, err = finished(process(*line))
    assert (status, out) == (0, "sums.h5: 600 rows added, 0 were counted already; 600 in all\n")
    assert re.fullmatch(r"(gram: .* rows/s, \d+ s left\n)+", err)


def test_a_scheduler_without_workers_is_told_of(capsys):
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as empty:
        with connected(Scheduler(empty.scheduler_address)):
            assert current_client().scheduler.address == empty.scheduler_address
        err = capsys.readouterr().err
    assert err == f"daskelm: the scheduler at {empty.scheduler_address} has no workers yet; waiting for them.\n"


def test_a_scheduler_that_is_not_there_leaves_no_client_behind(folder, model, no_client):
    refused("score model.h5 X.h5 T.h5 --scheduler nowhere")
    assert current_client() is None


def test_an_address_in_the_environment_alone_is_not_followed(cluster, folder, model, monkeypatch, no_client):
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)
    before = work_done(cluster)
    run("accumulate model.h5 X.h5 T.h5 --into sums.h5")
    assert work_done(cluster) == before
