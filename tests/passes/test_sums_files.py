"""Sums on disk: every row counts once, whatever is run twice, overlaps, grows, changes, is killed or goes stale."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import dask
import dask.array as da
import h5py
import numpy as np
import portalocker
import pytest

from daskelm import ELMClassifier, ELMRegressor, NormalEquations, from_hdf5, load, make_hdf5, merge
from daskelm.exceptions import (
    AlikeTablesWarning,
    CancellationWarning,
    DataError,
    FileFormatError,
    FileMissingError,
    FileWriteError,
    IncompatibleSumsError,
    LockWaitWarning,
    ParameterError,
    RowsCountedError,
)
from daskelm.hdf5.header import read_generation
from daskelm.passes import resume as resumption_module
from daskelm.sums import file as sums_file_module
from daskelm.sums import lock as lock_module
from daskelm.sums.file import add_to_file, locked
from daskelm.sums.provenance import Table
from daskelm.sums.row_cells import cell_of

RNG = np.random.default_rng(0)
N = 1000
X = RNG.standard_normal((N, 5))
T = np.stack([np.sin(X[:, 0]) * X[:, 1], X[:, 2]], axis=1)
W = RNG.uniform(0.5, 2, N)
SPEC = [(3, "lin"), (8, "tanh"), (6, "rbf_l2")]


@pytest.fixture
def here(tmp_path, monkeypatch, no_client):
    """A folder with the data and an initialised model, and Dask with no client."""
    monkeypatch.chdir(tmp_path)
    make_hdf5(X, "X.h5")
    make_hdf5(T, "T.h5")
    ELMRegressor(SPEC, random_state=0).initialize("X.h5").save("model.h5")
    return tmp_path


def add(x="X.h5", t="T.h5", rows=None, into="sums.h5", **options):
    load("model.h5").accumulate(x, t, rows=rows, into=into, **options)
    return NormalEquations.load(into)


def direct(X, T, weights=None):
    """The sums of these rows in one go."""
    return load("model.h5").accumulate(X, T, sample_weight=weights).normal_equations_


def assert_same(sums, expected, of=None):
    """Equal to 1e-12 of sqrt(HH_ii HH_jj), those of the minuend `of` after a subtraction."""
    d = np.sqrt(np.diag((of or expected).HH))
    t = np.sqrt((of or expected).moments(centred=False).TT)
    assert np.abs(sums.HH - expected.HH).max(initial=0, where=np.outer(d, d) > 0) <= 1e-12 * np.outer(d, d).max()
    assert (np.abs(sums.HH - expected.HH) <= 1e-12 * np.outer(d, d)).all()
    assert (np.abs(sums.HT - expected.HT) <= 1e-12 * np.outer(d, t)).all()
    assert sums.n_samples == expected.n_samples
    assert sums.sum_weights == pytest.approx(expected.sum_weights, rel=1e-12)


def grow(path, rows):
    with h5py.File(path, "r+") as file:
        data = file["data"]
        data.resize(len(data) + len(rows), axis=0)
        data[-len(rows) :] = rows


def change(path, row, value=1e-3):
    with h5py.File(path, "r+") as file:
        file["data"][row] += value


# The ledger


def test_a_call_made_again_adds_nothing(here):
    first = add()
    before = (here / "sums.h5").read_bytes()
    add()
    add(rows=slice(100, 300))
    assert (here / "sums.h5").read_bytes() == before
    assert_same(first, direct(X, T))


def test_overlaps_count_once(here):
    for rows in (slice(0, 300), slice(700, None), slice(200, 800), slice(0, 1000)):
        sums = add(rows=rows)
    assert_same(sums, direct(X, T))
    assert sums.ledger.n_rows == N
    assert sums.ledger.n_unknown == 0


def test_a_missing_middle_is_all_that_is_computed(here, monkeypatch):
    add(rows=slice(0, 100))
    add(rows=slice(150, 1000))
    counted = []
    monkeypatch.setattr(
        resumption_module,
        "add_to_file",
        lambda path, sums, *more: counted.append(sums.n_samples) or add_to_file(path, sums, *more),
    )
    assert_same(add(), direct(X, T))
    assert counted == [50]


def test_an_appended_file_goes_on(here):
    add()
    more_X, more_T = RNG.standard_normal((2500, 5)), RNG.standard_normal((2500, 2))
    grow("X.h5", more_X)
    grow("T.h5", more_T)
    sums = add()
    assert_same(sums, direct(np.concatenate([X, more_X]), np.concatenate([T, more_T])))
    assert len(sums.ledger.sources) == 1
    assert add().n_samples == 3500


def test_a_shorter_file_is_still_the_same_one(here):
    add()
    make_hdf5(X[:400], "X.h5")
    make_hdf5(T[:400], "T.h5")
    assert add().n_samples == N


def test_a_copy_or_another_mount_is_the_same_source(here):
    add(rows=slice(0, 600))
    os.makedirs("elsewhere")
    shutil.copy("X.h5", "elsewhere/other.h5")
    os.link("T.h5", "elsewhere/T.h5")
    assert_same(add("elsewhere/other.h5", "elsewhere/T.h5"), direct(X, T))
    # In another chunking, compression, and container.
    with h5py.File("again.h5", "w") as file:
        file.create_dataset("group/x", data=X, chunks=(77, 2), compression="gzip")
    assert add(from_hdf5("again.h5", chunks=130), T).n_samples == N


def test_other_content_at_the_same_path_is_another_source(here):
    add()
    other = RNG.standard_normal((N, 5))
    make_hdf5(other, "X.h5")
    with pytest.warns(AlikeTablesWarning, match="X.h5:/data has changed since its rows were added"):
        sums = add()
    assert_same(sums, direct(np.concatenate([X, other]), np.concatenate([T, T])))
    assert len(sums.ledger.sources) == 2


@pytest.mark.parametrize("path", ["X.h5", "T.h5"])
@pytest.mark.parametrize("row", [0, 499, 999])
def test_counted_rows_that_read_otherwise_are_an_error(here, path, row):
    add()
    before = (here / "sums.h5").read_bytes()
    change(path, row)
    what = "they" if path == "X.h5" else "their targets or weights"
    # In pieces of cells: row 499 in 480 to 511, row 999 in 960 to 1023, of which the table has 40.
    among = {0: "in row 0", 499: ".* among rows 480 to 511", 999: ".* among rows 960 to 999"}[row]
    with pytest.raises(
        DataError,
        match=rf"X\.h5 has changed since its rows were added: {what} read otherwise now, {among}\. Noth",
    ):
        add()
    assert (here / "sums.h5").read_bytes() == before


def test_a_table_written_anew_in_single_precision_is_not_added_again(here):
    add()
    make_hdf5(X.astype("f4"), "X.h5")
    with pytest.raises(DataError, match="read otherwise now"):
        add()
    make_hdf5(X, "X.h5")
    make_hdf5(T.astype("f4"), "T.h5")
    with pytest.raises(DataError, match="their targets or weights read otherwise now"):
        add()


def test_other_weights_are_an_error(here):
    make_hdf5(W[:, None], "W.h5")
    sums = add(sample_weight="W.h5")
    assert_same(sums, direct(X, T, W))
    assert add(sample_weight="W.h5").n_samples == N
    with pytest.raises(DataError, match="their targets or weights read otherwise"):
        add()


def test_rows_that_are_not_counted_may_change(here):
    add(rows=slice(0, 500))
    change("X.h5", slice(500, 1000), value=1.0)
    changed = X.copy()
    changed[500:] += 1
    assert_same(add(), direct(changed, T))


@pytest.mark.filterwarnings("ignore::daskelm.exceptions.AlikeTablesWarning")
def test_tables_that_look_alike_are_told_apart_by_what_they_hold(here):
    # Hours of a day: the same X each day, other targets.
    hours = np.tile(np.arange(24.0), 5)[:, None] * np.ones(5)
    total = None
    for day in range(4):
        make_hdf5(hours, f"X{day}.h5")
        make_hdf5(RNG.standard_normal((120, 2)), f"T{day}.h5")
        sums = add(f"X{day}.h5", f"T{day}.h5")
        expected = direct(hours, from_hdf5(f"T{day}.h5").compute())
        total = expected if total is None else total + expected
    assert_same(sums, total)
    assert add("X2.h5", "T2.h5").n_samples == 480
    days = range(4)
    together = load("model.h5").accumulate([f"X{d}.h5" for d in days], [f"T{d}.h5" for d in days], into="all.h5")
    assert together.solve("all.h5").normal_equations_.n_samples == 480
    # A copy of one of them is not another day.
    shutil.copy("X1.h5", "X9.h5")
    assert add("X9.h5", "T1.h5").n_samples == 480


def test_a_file_of_many_cells_is_checked_on_a_sample(here, monkeypatch):
    # Cells of up to 64 rows: 5 inputs, 2 targets, a weight.
    monkeypatch.setattr("daskelm.sums.provenance._CELL_BYTES", 64 * 64)
    monkeypatch.setattr("daskelm.sums.provenance._CHECK_BYTES", 4 * 64 * 64)
    sums = add(rows=slice(10, 900))
    (source,) = sums.ledger.sources.values()
    assert sorted(source.cells) == [8, 16, 32, *range(64, 900, 64)]
    read = []
    original = Table.digests
    monkeypatch.setattr(
        Table, "digests", lambda self, part, origin, ranges: read.extend(ranges) or original(self, part, origin, ranges)
    )
    assert_same(add(), direct(X, T))
    # Of each cell some pieces of eight rows: the one rows begin in, and four others.
    assert 1 < len({cell_of(a, 64) for a, _ in read}) <= 5
    assert read[0] == (10, 11)
    assert (896, 900) in read


def test_an_empty_range_is_no_error_and_past_the_end_is(here):
    assert add(rows=slice(400, 400)).n_samples == 0
    with pytest.raises(DataError, match=r"rows must lie within the 1000 rows of .*X\.h5; got slice\(900, 1001\)"):
        add(rows=slice(900, 1001))
    assert add(rows=slice(0, 10)).n_samples == 10
    assert add(rows=slice(10, 10)).n_samples == 10


def test_an_empty_range_of_memory_keeps_the_ledger(here):
    add(rows=slice(0, 100))
    add(X, T, rows=slice(0, 0))
    assert add(rows=slice(0, 100)).n_samples == 100


def test_sums_of_another_model_are_never_added(here):
    add()
    before = (here / "sums.h5").read_bytes()
    for options in ({"neurons": SPEC, "random_state": 1}, {"neurons": SPEC, "random_state": 0, "dtype": "float32"}):
        ELMRegressor(**options).initialize("X.h5").save("model.h5")
        with pytest.raises(IncompatibleSumsError, match="layer fingerprint"):
            add()
    ELMRegressor(SPEC, random_state=0).initialize("X.h5").save("model.h5")
    with pytest.raises(IncompatibleSumsError, match="n_targets 2 and 1"):
        add(t=T[:, :1])
    assert (here / "sums.h5").read_bytes() == before


def test_the_ledger_travels(here):
    a, b = add(rows=slice(0, 300), into="a.h5"), add(rows=slice(300, 1000), into="b.h5")
    total = a + b
    total.save("sums.h5")
    assert add().n_samples == N
    with pytest.raises(RowsCountedError, match=r"rows 0 to 299 of .*X\.h5:/data are counted in both"):
        NormalEquations.load("sums.h5") + a
    (total - a).save("sums.h5")
    assert_same(add(), direct(X, T), of=total)


def test_many_forms_of_data(here):
    add(rows=slice(0, 200))
    add(X, T, rows=slice(200, 400))
    add(da.from_array(X, chunks=(90, 5)), da.from_array(T, chunks=(70, 2)), rows=slice(400, 600))
    add("X.h5", T, rows=slice(600, 700))
    sums = add("X.h5", da.from_array(T, chunks=(100, 1)), rows=slice(650, 1000))
    assert_same(sums, direct(X, T))
    assert sums.ledger.n_unknown == 400
    # What is known still counts once.
    assert add(rows=slice(0, 200)).n_samples == N


def test_several_files_and_a_missing_one_later(here):
    for i in range(4):
        make_hdf5(X[250 * i : 250 * (i + 1)], f"x{i}.h5")
        make_hdf5(T[250 * i : 250 * (i + 1)], f"t{i}.h5")
    add("x1.h5", "t1.h5")
    sums = add("x*.h5", "t*.h5")
    assert_same(sums, direct(X, T))
    assert len(sums.ledger.sources) == 4
    assert add(["x3.h5", "x0.h5"], ["t3.h5", "t0.h5"]).n_samples == N


# Commit and resume


@pytest.fixture
def commit_always(monkeypatch):
    """A commit after every gram task, and many gram tasks."""
    monkeypatch.setattr(resumption_module, "_COMMIT_SECONDS", 0)
    monkeypatch.setattr(resumption_module, "_COMMIT_SHARE", 0)
    monkeypatch.setattr("daskelm.passes.accumulate.rows_per_task", lambda *sizes: 60)
    monkeypatch.setattr("daskelm.passes.accumulate.block_rows", lambda *sizes: 30)


@pytest.mark.parametrize("where", ["here", "client"])
def test_what_was_done_before_an_error_is_kept(here, commit_always, monkeypatch, request, where):
    if where == "client":
        request.getfixturevalue("client")
    n_commits = 0

    def fails_at_the_fourth(*args):
        nonlocal n_commits
        n_commits += 1
        if n_commits == (2 if where == "client" else 4):
            raise KeyboardInterrupt
        return add_to_file(*args)

    with monkeypatch.context() as patch:
        patch.setattr(resumption_module, "add_to_file", fails_at_the_fourth)
        with pytest.raises(KeyboardInterrupt):
            add()
    kept = NormalEquations.load("sums.h5").n_samples
    # The last task has 40 rows, and may be the first to end.
    assert 40 <= kept < N
    assert_same(add(), direct(X, T))
    assert sorted(os.listdir()) == ["T.h5", "X.h5", "model.h5", "sums.h5", "sums.h5.lock"]


def test_an_error_in_the_data_keeps_what_was_done(here, commit_always):
    with h5py.File("X.h5", "r+") as file:
        file["data"][900, 2] = np.nan
    # In the order of the rows, so that some were done.
    with dask.config.set(scheduler="sync"), pytest.raises(DataError, match=r"got NaN first in row 900 of .*X\.h5"):
        add()
    kept = NormalEquations.load("sums.h5")
    assert 0 < kept.n_samples <= 960
    make_hdf5(X, "X.h5")
    assert_same(add(), direct(X, T))


def test_a_second_job_on_the_same_rows_meanwhile(here, commit_always, monkeypatch):
    """Another process adds the rows while this one computes them: they are not added twice, nor lost."""
    inside = []

    def meanwhile(*args):
        if not inside:
            inside.append(True)
            add(rows=slice(0, 500))
        return add_to_file(*args)

    monkeypatch.setattr(resumption_module, "add_to_file", meanwhile)
    assert_same(add(), direct(X, T))


def test_fit_with_a_checkpoint(here, commit_always, monkeypatch):
    whole = ELMRegressor(SPEC, random_state=0).fit("X.h5", "T.h5")
    n_commits = 0

    def fails_once(*args):
        nonlocal n_commits
        n_commits += 1
        if n_commits == 3:
            raise RuntimeError("out of luck")
        return add_to_file(*args)

    monkeypatch.setattr(resumption_module, "add_to_file", fails_once)
    model = ELMRegressor(SPEC, random_state=0)
    with pytest.raises(RuntimeError, match="out of luck"):
        model.fit("X.h5", "T.h5", checkpoint="c.h5")
    done = NormalEquations.load("c.h5").n_samples
    assert 60 <= done < N
    model.fit("X.h5", "T.h5", checkpoint="c.h5")
    np.testing.assert_allclose(model.predict(X), whole.predict(X), atol=1e-9)
    assert_same(model.normal_equations_, whole.normal_equations_)
    model.fit("X.h5", "T.h5", checkpoint="c.h5")
    other = RNG.standard_normal((500, 5))
    same_layer = ELMRegressor(SPEC, random_state=0).initialize("X.h5")
    same_layer.accumulate(make_hdf5(other, "other.h5"), other[:, :2], into="c.h5")
    with pytest.raises(IncompatibleSumsError, match=r"checkpoint: c\.h5 holds 500 rows that are not in X"):
        model.fit("X.h5", "T.h5", checkpoint="c.h5")
    with pytest.raises(ParameterError, match="checkpoint: random_state must be an int"):
        ELMRegressor(SPEC).fit("X.h5", "T.h5", checkpoint="d.h5")
    with pytest.raises(ParameterError, match="checkpoint: only rows of files are known again"):
        ELMRegressor(SPEC, random_state=0).fit(X, T, checkpoint="d.h5")
    with pytest.raises(IncompatibleSumsError, match="layer fingerprint"):
        ELMRegressor(SPEC, random_state=1).fit("X.h5", "T.h5", checkpoint="c.h5")
    assert not os.path.exists("d.h5")


# Merge and take away


def test_merge_sites(here):
    parts = [slice(0, 100), slice(100, 450), slice(450, 1000)]
    for i, rows in enumerate(parts):
        add(rows=rows, into=f"site-{i}.h5")
    total = merge("site-*.h5", into="all.h5")
    assert_same(total, direct(X, T))
    assert_same(merge(["site-2.h5", NormalEquations.load("site-0.h5"), "site-1.h5"]), direct(X, T))
    assert_same(NormalEquations.load("all.h5"), total)
    with pytest.raises(FileWriteError, match=r"into: all\.h5 exists and is none of the files added up"):
        merge("site-*.h5", into="all.h5")
    with pytest.raises(RowsCountedError, match="rows 0 to 99 of .* are counted in both"):
        merge(["all.h5", "site-0.h5"], into="all.h5")
    make_hdf5(X + 10, "more.h5")
    add("more.h5", into="site-9.h5")
    assert merge(["all.h5", "site-9.h5"], into="all.h5").n_samples == 2 * N
    assert add(into="all.h5").n_samples == 2 * N
    with pytest.raises(FileMissingError, match="no sums file matches"):
        merge("nowhere-*.h5")


def test_rows_are_taken_away_exactly(here):
    whole = add()
    model = load("model.h5")
    for rows in (slice(100, 250), slice(900, 1000), slice(0, 20)):
        model.remove("X.h5", "T.h5", rows=rows, sums="sums.h5")
    left = np.r_[20:100, 250:900]
    sums = NormalEquations.load("sums.h5")
    assert_same(sums, direct(X[left], T[left]), of=whole)
    assert sums.ledger.n_rows == len(left)
    with pytest.raises(IncompatibleSumsError, match=r"got rows 100 to 249, which sums\.h5 does not count"):
        model.remove("X.h5", "T.h5", rows=slice(90, 300), sums="sums.h5")
    # Mended rows come back.
    change("X.h5", slice(100, 250), value=0.5)
    mended = X.copy()
    mended[100:250] += 0.5
    assert_same(add(), direct(mended, T), of=whole)


def test_rows_are_taken_away_from_the_model_itself(here):
    model = load("model.h5").accumulate("X.h5", "T.h5")
    whole = model.normal_equations_
    model.remove("X.h5", "T.h5", rows=slice(300, 1000))
    assert_same(model.normal_equations_, direct(X[:300], T[:300]), of=whole)
    np.testing.assert_allclose(
        model.predict(X), load("model.h5").accumulate(X[:300], T[:300]).solve().predict(X), atol=1e-6
    )


def test_what_was_not_added_cannot_be_taken_away(here):
    add(rows=slice(0, 500))
    model = load("model.h5")
    with pytest.raises(IncompatibleSumsError, match="10 rows came from memory and cannot be recognised"):
        model.remove(X[:10], T[:10], sums="sums.h5")
    change("T.h5", 3)
    with pytest.raises(DataError, match="their targets or weights read otherwise now"):
        model.remove("X.h5", "T.h5", rows=slice(0, 10), sums="sums.h5")
    with pytest.raises(FileMissingError, match=r"none\.h5: no such file"):
        model.remove("X.h5", "T.h5", sums="none.h5")
    assert NormalEquations.load("sums.h5").n_samples == 500


def test_a_warning_when_almost_nothing_is_left(here):
    make_hdf5(np.tile(X, (3, 1)), "X.h5")
    make_hdf5(np.tile(T, (3, 1)), "T.h5")
    add()
    with pytest.warns(CancellationWarning, match="1 of 3000 rows are left, with 0.0003 of the weight"):
        load("model.h5").remove("X.h5", "T.h5", rows=slice(1, 3000), sums="sums.h5")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load("model.h5").remove("X.h5", "T.h5", rows=slice(0, 1), sums="sums.h5")
    assert NormalEquations.load("sums.h5").n_samples == 0


# Classes


def test_classification_from_scripts(here):
    labels = np.where(X[:, 0] > 0.5, 2, np.where(X[:, 1] > 0, 1, 0))
    labels[:100] = 0
    make_hdf5(labels[:, None], "y.h5")
    options = {"neurons": SPEC, "random_state": 0, "class_weight": {2: 3.0}}
    whole = ELMClassifier(**options).fit("X.h5", "y.h5")
    for fixed in ({"y": "y.h5"}, {"classes": [0, 1, 2]}):
        ELMClassifier(**options).initialize("X.h5", **fixed).save("model.h5")
        for rows in (slice(0, 100), slice(100, 1000)):
            add(t="y.h5", rows=rows, into=f"{next(iter(fixed))}-sums.h5")
        model = load("model.h5").solve(f"{next(iter(fixed))}-sums.h5")
        np.testing.assert_allclose(model.decision_function(X), whole.decision_function(X), atol=1e-8)
        np.testing.assert_array_equal(model.predict(X), whole.predict(X))
    change("y.h5", 500, value=9)
    with pytest.raises(DataError, match=r"y: every label must be one of the classes \[0, 1, 2\]; got"):
        add(t="y.h5", into="new.h5")
    ELMClassifier(SPEC, random_state=0).initialize("X.h5", classes=[0, 1, 2]).save("model.h5")
    with pytest.raises(IncompatibleSumsError, match="targets classes .*weighted"):
        add(t="y.h5", rows=slice(0, 10), into="classes-sums.h5")
    balanced = ELMClassifier(SPEC, class_weight="balanced", random_state=0)
    with pytest.raises(ParameterError, match=r"class_weight='balanced' needs all rows.*Give a dict"):
        balanced.initialize("X.h5", classes=[0, 1, 2])


# Locks and generations


def test_generations_count_the_writes(here):
    for i, start in enumerate(range(0, 500, 100)):
        add(rows=slice(start, start + 100))
        assert read_generation("sums.h5", "sums") == i + 1
        assert int((here / "sums.h5.lock").read_text()) == i + 1


def test_a_stale_read_under_the_lock_loses_nothing(here, monkeypatch):
    monkeypatch.setattr(sums_file_module, "_STALE_SECONDS", 60)
    add(rows=slice(0, 300))
    old = (here / "sums.h5").read_bytes()
    add(rows=slice(300, 600))
    new = (here / "sums.h5").read_bytes()
    read = sums_file_module.read_state
    n_reads = 0

    def stale_at_first(path):
        nonlocal n_reads
        n_reads += 1
        (here / "sums.h5").write_bytes(old if n_reads < 3 else new)
        return read(path)

    monkeypatch.setattr(sums_file_module, "read_state", stale_at_first)
    assert_same(add(), direct(X, T))
    assert n_reads >= 3


@pytest.mark.parametrize("kind", ["older", "gone"])
def test_a_read_that_stays_stale_is_an_error(here, monkeypatch, kind):
    monkeypatch.setattr(sums_file_module, "_STALE_SECONDS", 0.2)
    add(rows=slice(0, 300))
    old = (here / "sums.h5").read_bytes()
    add(rows=slice(300, 600))
    if kind == "older":
        (here / "sums.h5").write_bytes(old)
        with pytest.raises(FileFormatError, match=r"older version than .*\.lock records \(number 1, not 2\)"):
            add()
        assert (here / "sums.h5").read_bytes() == old
    else:
        os.remove("sums.h5")
        with pytest.raises(FileMissingError, match=r"is gone, though .*\.lock says that it was written 2 times"):
            add()
    os.remove("sums.h5.lock")
    assert_same(add(), direct(X, T))


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_an_older_file_where_nothing_can_be_changed_is_told_as_elsewhere(here, monkeypatch, code):
    """A snapshot, mounted to be read only, of which the lock file is newer than the sums."""
    monkeypatch.setattr(sums_file_module, "_STALE_SECONDS", 0.1)
    add(rows=slice(0, 300))
    old = (here / "sums.h5").read_bytes()
    add(rows=slice(300, 600))
    (here / "sums.h5").write_bytes(old)
    asked = []

    def utime(path, *args):
        asked.append(path)
        raise OSError(code, os.strerror(code), path)

    monkeypatch.setattr(os, "utime", utime)
    with pytest.raises(FileFormatError, match=r"older version than .*\.lock records \(number 1, not 2\)"):
        merge("sums.h5")
    assert asked


def test_an_older_file_than_its_lock_tells_is_refused_by_whoever_reads_it(here, monkeypatch):
    monkeypatch.setattr(sums_file_module, "_STALE_SECONDS", 0.1)
    add(rows=slice(0, 300), into="a.h5")
    shutil.copy("a.h5", "backup.h5")
    add(rows=slice(300, 600), into="a.h5")
    add(rows=slice(600, 700), into="b.h5")
    shutil.copy("backup.h5", "a.h5")
    model = load("model.h5")
    for use in (
        lambda: model.solve("a.h5"),
        lambda: model.solve("[ab].h5"),
        lambda: merge(["a.h5", "b.h5"], into="both.h5"),
        lambda: model.remove("X.h5", "T.h5", sums="a.h5"),
        lambda: add(into="a.h5", lock=False),
        lambda: model.remove("X.h5", "T.h5", sums="a.h5", lock=False),
        lambda: add(into="a.h5"),
    ):
        with pytest.raises(
            FileFormatError, match=r"a\.h5 is an older version than .*a\.h5\.lock records \(number 1, not"
        ):
            use()
    assert not os.path.exists("both.h5")
    assert (here / "a.h5").read_bytes() == (here / "backup.h5").read_bytes()
    # Where the lock is not, a copy is a file like any other.
    assert model.solve("backup.h5").normal_equations_.n_samples == 300
    os.remove("a.h5.lock")
    assert model.solve("a.h5").normal_equations_.n_samples == 300
    assert add(into="a.h5", lock=False).n_samples == 1000
    assert model.solve("a.h5").normal_equations_.n_samples == 1000


def test_a_crash_between_file_and_lock_is_no_harm(here):
    add(rows=slice(0, 300))
    text = (here / "sums.h5.lock").read_text()
    add(rows=slice(300, 600))
    for content in (text, "", "0000"):
        (here / "sums.h5.lock").write_text(content)
        assert add(rows=slice(0, 600)).n_samples == 600
    assert_same(add(), direct(X, T))
    assert int((here / "sums.h5.lock").read_text()) == 3


def test_a_change_without_the_lock_is_noticed(here):
    add(rows=slice(0, 300))
    with locked("sums.h5") as file:
        sums = file.read()
        direct(X[:10], T[:10]).save("sums.h5")
        with pytest.raises(FileWriteError, match="changed by another program without its lock"):
            file.write(sums)
    # What was saved over it counts, and goes on.
    assert NormalEquations.load("sums.h5").n_samples == 10
    assert add("X.h5", "T.h5").n_samples == N + 10


def has_open(pid, name):
    # Of files that it closes meanwhile the links are gone.
    with contextlib.suppress(FileNotFoundError):
        return any(os.readlink(link).endswith(name) for link in Path(f"/proc/{pid}/fd").iterdir())
    return False


def test_a_removed_lock_file_does_not_let_two_in(here):
    """A process that waits for a lock file which is removed meanwhile locks the new one."""
    code = """
from daskelm.sums.file import locked
print("begins", flush=True)
with locked("sums.h5"):
    print("in", flush=True)
"""
    with locked("sums.h5"):
        waiting = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert waiting.stdout.readline() == "begins\n"
        # It has opened the lock file when it waits for the lock.
        end = time.monotonic() + 60
        while not has_open(waiting.pid, "sums.h5.lock"):
            assert time.monotonic() < end
            time.sleep(0.01)
        assert waiting.poll() is None
        os.remove("sums.h5.lock")
        (here / "sums.h5.lock").touch()
        with open("sums.h5.lock", "r+b") as new:
            portalocker.lock(new, portalocker.LockFlags.EXCLUSIVE)
            held = new
            with contextlib.suppress(subprocess.TimeoutExpired):
                waiting.wait(timeout=0.5)
            assert waiting.poll() is None
            portalocker.unlock(held)
    assert waiting.communicate(timeout=60)[0] == "in\n"


def test_a_file_system_without_locks_is_an_error_with_a_remedy(here, monkeypatch):
    def no_locks(file, flags):
        raise portalocker.exceptions.LockException("[Errno 38] Function not implemented")

    monkeypatch.setattr(portalocker, "lock", no_locks)
    with pytest.raises(FileWriteError, match=r"cannot be locked.*a sums file of its own and lock=False"):
        add()
    for i, rows in enumerate((slice(0, 700), slice(700, 1000))):
        add(rows=rows, into=f"own-{i}.h5", lock=False)
    load("model.h5").remove("X.h5", "T.h5", rows=slice(0, 700), sums="own-0.h5", lock=False)
    assert_same(merge("own-*.h5", into="all.h5", lock=False), direct(X[700:], T[700:]), of=direct(X, T))
    assert [name for name in os.listdir() if "lock" in name] == ["sums.h5.lock"]


def test_a_wait_for_a_lock_is_reported_and_may_have_an_end(here, monkeypatch):
    monkeypatch.setattr(lock_module, "_REPORTED_SECONDS", 0.3)
    with open("sums.h5.lock", "w+b") as held:
        portalocker.lock(held, portalocker.LockFlags.EXCLUSIVE)
        timer = threading.Timer(1.0, portalocker.unlock, [held])
        timer.start()
        text = (
            rf"process {os.getpid()} on .* has waited 0.3 s for .*sums\.h5\.lock, which .*process.* holds, and goes on"
        )
        with pytest.warns(LockWaitWarning, match=text):
            assert add().n_samples == 1000
        timer.join()
        portalocker.lock(held, portalocker.LockFlags.EXCLUSIVE)
        who = f"process {os.getpid()} on this machine holds it" if Path("/proc/locks").exists() else "holds it"
        for call in (
            lambda: add(lock=0.1),
            lambda: load("model.h5").remove("X.h5", "T.h5", sums="sums.h5", lock=0),
            lambda: merge("sums.h5", into="sums.h5", lock=0.1),
        ):
            with pytest.raises(FileWriteError, match=rf"sums\.h5\.lock must be free within 0(\.1)? s; .* {who}"):
                call()
    for lock in (-1, "yes", None):
        with pytest.raises(ParameterError, match="lock must be True, False, or seconds to wait"):
            add(lock=lock)
    assert add(lock=0.1).n_samples == 1000


def test_a_lock_file_that_cannot_be_made_is_an_error(here, monkeypatch):
    def refuse(path, flags, *mode):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(sums_file_module.os, "open", refuse)
    with pytest.raises(FileWriteError, match=r"sums\.h5\.lock cannot be written: No such file"):
        add_to_file("sums.h5", None)


def test_leftovers_of_killed_writers_are_removed(here):
    add(rows=slice(0, 10))
    for name in (".sums.h5~other-machine~77~abc.tmp", f".sums.h5~this~{2**22 + 1}~x.tmp"):
        (here / name).write_bytes(b"half")
    add(rows=slice(10, 20))
    assert sorted(os.listdir()) == ["T.h5", "X.h5", "model.h5", "sums.h5", "sums.h5.lock"]


def test_a_folder_that_is_not_there(here):
    with pytest.raises(FileMissingError, match="the folder of .* does not exist"):
        add(into="nowhere/sums.h5")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 KiB; needs the right to mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", folder]).returncode:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_and_a_read_only_folder_keep_the_file(here, small_disk):
    into = small_disk / "sums.h5"
    first = add(rows=slice(0, 500), into=into)
    before = into.read_bytes()
    with contextlib.suppress(OSError), open(small_disk / "filler", "wb", buffering=0) as file:
        while True:
            file.write(b"0" * 4096)
    with pytest.raises(FileWriteError, match=r"sums\.h5 cannot be written: No space left on device\. .*as it was"):
        add(into=into)
    assert into.read_bytes() == before
    os.remove(small_disk / "filler")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(FileWriteError, match=r"sums\.h5\.lock cannot be written: Read-only file system"):
        add(into=into)
    assert into.read_bytes() == before
    # To read it takes no right to write.
    assert load("model.h5").solve(into).normal_equations_.n_samples == first.n_samples
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert_same(add(into=into), direct(X, T))
    assert sorted(os.listdir(small_disk)) == ["sums.h5", "sums.h5.lock"]


def test_a_limit_on_the_size_of_files_keeps_the_file(here):
    """As a full disk, where nobody may mount one."""
    add(rows=slice(0, 500))
    before = (here / "sums.h5").read_bytes()
    code = """
import resource, signal
from daskelm import load
model = load("model.h5")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
model.accumulate("X.h5", "T.h5", into="sums.h5")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "FileWriteError: [Errno 27]" in done.stderr
    assert "sums.h5 cannot be written: File too large" in done.stderr
    assert (here / "sums.h5").read_bytes() == before
    assert_same(add(), direct(X, T))


def test_one_commit_writes_one_packed_triangle(here):
    neurons = [(5, "lin"), (495, "tanh")]
    ELMRegressor(neurons, alpha=1.0, random_state=0).initialize("X.h5").save("model.h5")
    add()
    assert os.path.getsize("sums.h5") < 8 * (500 * 501 / 2) + 8 * 500 * 6 + 30_000
