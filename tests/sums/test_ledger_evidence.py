"""The ledger needs proof: rows are taken away where something proves that they are there, and refused likewise."""

import itertools
import os
import pickle
import shutil
import warnings
from dataclasses import replace

import h5py
import numpy as np
import pytest

from daskelm import ELMRegressor, NormalEquations, exceptions, from_hdf5, load, make_hdf5, merge
from daskelm.exceptions import (
    DataError,
    IncompatibleSumsError,
    RowsCountedError,
)

RNG = np.random.default_rng(3)
A, B = RNG.standard_normal((2, 1000, 3))
YA, YB = RNG.standard_normal((2, 1000))


def ignoring(name):
    return pytest.mark.filterwarnings(f"ignore::daskelm.exceptions.{name}")


alike = ignoring("AlikeTablesWarning")


@pytest.fixture
def here(tmp_path, monkeypatch, no_client):
    monkeypatch.chdir(tmp_path)
    write("A", A, YA)
    ELMRegressor([(3, "lin"), (10, "tanh")], random_state=0).initialize(A).save("model.h5")
    return tmp_path


def write(name, X, y):
    make_hdf5(np.array(X, float), f"{name}.h5")
    make_hdf5(np.array(y, float), f"y{name}.h5")


def add(name, into, *rows, **options):
    """Add rows of a table to a sums file; the sums that are there now."""
    model = load("model.h5")
    model.accumulate(f"{name}.h5", f"y{name}.h5", rows=slice(*rows) if rows else None, into=into, **options)
    return NormalEquations.load(into)


def direct(X, y, weights=None):
    return load("model.h5").accumulate(X, y, sample_weight=weights).normal_equations_


def assert_same(sums, expected, of=None):
    d = np.sqrt(np.diag((of or expected).HH))
    t = np.sqrt((of or expected).moments(centred=False).TT)
    assert (np.abs(sums.HH - expected.HH) <= 1e-12 * np.outer(d, d)).all()
    assert (np.abs(sums.HT - expected.HT) <= 1e-12 * np.outer(d, t)).all()
    assert sums.n_samples == expected.n_samples


# Two tables that share something


@alike
@pytest.mark.parametrize("shared", ["first row", "an anchor", "a prefix", "zeros", "inputs", "half of the anchors"])
def test_tables_that_share_something_are_two(here, shared):
    """Partial ranges, in which nothing is comparable by cells of which both count the same rows."""
    X, y, first, first_y = B.copy(), YB.copy(), A.copy(), YA.copy()
    rows = {
        "first row": slice(0, 1),
        "an anchor": slice(128, 129),
        "a prefix": slice(0, 115),
        "zeros": slice(0, 115),
        "inputs": slice(0, 1000),
        "half of the anchors": slice(0, 65),
    }[shared]
    if shared == "zeros":
        first[rows], first_y[rows] = 0, 0
        write("A", first, first_y)
    X[rows] = first[rows]
    if shared not in ("inputs", "half of the anchors"):
        y[rows] = first_y[rows]
    write("B", X, y)
    a, b = add("A", "a.h5", 100, 120), add("B", "b.h5", 100, 110)
    for one, two in ((a, b), (b, a)):
        with pytest.raises(IncompatibleSumsError, match="cannot subtract"):
            one - two
        assert_same(one + two, direct(np.r_[first[100:120], X[100:110]], np.r_[first_y[100:120], y[100:110]]))
    assert merge(["a.h5", "b.h5"]).n_samples == 30
    total = add("B", "a.h5", 100, 110)
    assert_same(total, direct(np.r_[first[100:120], X[100:110]], np.r_[first_y[100:120], y[100:110]]))
    assert len(total.ledger.sources) == 2
    assert add("B", "a.h5", 100, 110).n_samples == 30
    assert (total - b).ledger == a.ledger
    assert (total - a).ledger.n_rows == 10
    load("model.h5").remove("B.h5", "yB.h5", rows=slice(100, 110), sums="a.h5")
    assert NormalEquations.load("a.h5").ledger == a.ledger


@pytest.mark.parametrize("rows", [(100, 110), (103, 109), (119, 120), (90, 100), (64, 128), (0, 65), (40, 990)])
@pytest.mark.parametrize("whole", [(0, 1000), (64, 121), (30, 995)])
@pytest.mark.parametrize("by", ["path", "copy", "own sums", "slices"])
def test_ranges_that_overlap_are_known_by_the_rows_around(here, rows, whole, by):
    """Also where the two count no cell as a whole, under other names, and of sums that were never in a file."""
    a = add("A", "a.h5", *whole)
    if by == "copy":
        shutil.copy("A.h5", "C.h5")
        shutil.copy("yA.h5", "yC.h5")
    if by == "own sums":
        b = load("model.h5").accumulate("A.h5", "yA.h5", rows=slice(*rows)).normal_equations_
    elif by == "slices":
        X, y = (from_hdf5(path, rows=slice(*rows)) for path in ("A.h5", "yA.h5"))
        b = load("model.h5").accumulate(X, y).normal_equations_
    else:
        b = add("C" if by == "copy" else "A", "b.h5", *rows)
    inside = sorted(set(range(*whole)) & set(range(*rows)))
    if len(inside) == len(range(*rows)):
        left = a - b
        assert left.ledger.n_rows == a.n_samples - b.n_samples
        if left.n_samples:
            rest = np.setdiff1d(np.arange(*whole), np.arange(*rows))
            assert_same(left, direct(A[rest], YA[rest]), of=a)
        assert_same(left + b, a)
    else:
        with pytest.raises(IncompatibleSumsError, match=r"are not \(all\) counted in the sums to|must be contained"):
            a - b
    if inside:
        for one, two in ((a, b), (b, a)):
            with pytest.raises(RowsCountedError, match="are counted in both sums"):
                one + two
    else:
        assert (a + b).n_samples == a.n_samples + b.n_samples


def test_pieces_of_large_cells(here):
    """Cells of 65,536 rows here, and pieces of 4,096 and 8,192: a task's rows lie within one."""
    X, y = RNG.standard_normal((150_000, 3)), RNG.standard_normal(150_000)
    write("L", X, y)
    other = X.copy()
    other[40_000:] += 1
    write("M", other, y)
    a, b = add("L", "a.h5", 90_000, 90_020), add("L", "b.h5", 90_005, 90_010)
    c, d = add("M", "c.h5", 90_005, 90_010), add("L", "d.h5", 0, 150_000)
    assert (a - b).ledger.n_rows == 15
    assert (d - b).ledger.n_rows == 149_995
    for minuend in (a, d):
        with pytest.raises(IncompatibleSumsError, match="rows 90005 to 90009 of .*M.h5:/data are not"):
            minuend - c
        with pytest.raises(RowsCountedError, match="rows 90005 to 90009 of .*L.h5:/data are counted in both"):
            minuend + b
        assert (minuend + c).n_samples == minuend.n_samples + 5


@pytest.mark.parametrize("n_more", [3, 100, 1500])
def test_a_file_that_ended_within_a_piece_and_goes_on(here, n_more):
    """What was counted last of the shorter file cannot be compared itself; the rows before it can."""
    old = add("A", "old.h5", 990, 1000)
    X, y = np.r_[A, RNG.standard_normal((n_more, 3))], np.r_[YA, RNG.standard_normal(n_more)]
    write("A", X, y)
    new = add("A", "new.h5", 970, 1000 + n_more)
    assert (new - old).ledger.n_rows == 20 + n_more
    with pytest.raises(RowsCountedError, match="rows 990 to 999"):
        old + new
    shutil.move("A.h5", "Z.h5")
    shutil.move("yA.h5", "yZ.h5")
    assert add("Z", "old.h5").n_samples == 1000 + n_more
    moved = add("Z", "z.h5", 970, 1000 + n_more)
    old = NormalEquations.load("new.h5")
    with pytest.raises(RowsCountedError, match="rows 970 to .* of .*Z.h5:/data .in the other one as .*A.h5:/data"):
        old + moved


def test_rows_that_are_not_counted_may_change_around_those_that_are(here):
    """In the same piece of a cell: what was read anew and is the same counts more than what was known before."""
    add("A", "a.h5", 0, 1000)
    model = load("model.h5")
    model.remove("A.h5", "yA.h5", rows=slice(900, 910), sums="a.h5")
    changed = A.copy()
    changed[900:910] += 1
    write("A", changed, YA)
    model.remove("A.h5", "yA.h5", rows=slice(910, 915), sums="a.h5")
    sums = add("A", "a.h5", 900, 912)
    rows = np.r_[0:912, 915:1000]
    assert_same(sums, direct(changed[rows], YA[rows]), of=direct(A, YA))


@alike
def test_a_shorter_table_that_begins_alike_is_no_dead_end(here):
    add("A", "a.h5", 100, 120)
    X, y = A[:110].copy(), YA[:110].copy()
    X[66:] = B[66:110]
    write("B", X, y)
    total = add("B", "a.h5")
    assert_same(total, direct(np.r_[A[100:120], X], np.r_[YA[100:120], y]))
    # The same rows, fewer of them.
    write("C", A[:110], YA[:110])
    assert add("C", "a.h5").n_samples == 130 + 100
    assert add("A", "a.h5", 0, 120).n_samples == 230


def test_one_table_by_two_names_is_taken_away_whole(here):
    shutil.copy("A.h5", "C.h5")
    shutil.copy("yA.h5", "yC.h5")
    both = add("A", "a.h5", 0, 105) + add("C", "c.h5", 105, 300)
    assert len(both.ledger.sources) == 2
    both.save("both.h5")
    part = add("A", "b.h5", 100, 110)
    left = both - part
    assert left.ledger.n_rows == 290
    left.save("left.h5")
    # Cells in which both had rows are still what they read.
    assert add("A", "left.h5", 0, 300).n_samples == 300
    assert add("C", "both.h5", 0, 300).n_samples == 300


def test_a_copy_that_was_appended_to_is_found_in_the_same_call(here):
    write("L", np.r_[A, B], np.r_[YA, YB])
    for names in itertools.permutations(["A", "L"]):
        paths = [f"{name}.h5" for name in names], [f"y{name}.h5" for name in names]
        with pytest.raises(DataError, match="got 1000 rows twice, since files among .* hold the same rows"):
            ELMRegressor(20, random_state=0).fit(*paths)
    add("L", "l.h5", 1500, 1600)
    for names in itertools.permutations(["A", "L"]):
        with pytest.raises(DataError, match="got 1000 rows twice"):
            load("model.h5").accumulate([f"{n}.h5" for n in names], [f"y{n}.h5" for n in names], into="l.h5")


def test_evidence_travels(here):
    a = add("A", "a.h5", 100, 120)
    (source,) = a.ledger.sources.values()
    assert source.pieces
    for again in (NormalEquations.load("a.h5"), pickle.loads(pickle.dumps(a))):
        (found,) = again.ledger.sources.values()
        assert found == replace(source, same=found.same, others=found.others)
    left = add("A", "whole.h5") - a
    (source,) = left.ledger.sources.values()
    # Pieces that were whole before are known still.
    assert source.pieces.keys() == {96, 104, 112}
    assert left.ledger.n_rows == 980


def test_labels_that_are_none_around_the_rows_asked_for(here):
    labels = (YA > 0).astype(int)
    labels[112:] = 7
    make_hdf5(labels, "labels.h5")
    from daskelm import ELMClassifier

    model = ELMClassifier([(3, "lin")], random_state=0).initialize("A.h5", classes=[0, 1])
    model.accumulate("A.h5", "labels.h5", rows=slice(100, 109), into="c.h5")
    assert NormalEquations.load("c.h5").n_samples == 9


# What "the same row" means, and who is told


def copies():
    """What count as other tables, of those that people take for copies."""
    minus = A.copy()
    minus[:, 2] = np.where(np.arange(1000) % 2, 0.0, minus[:, 2])
    return {
        "precision": (A, YA, A.astype("f4"), YA, True),
        "sign of zero": (minus, YA, np.where(minus == 0, -0.0, minus), YA, True),
        "other y": (A, YA, A, YB, True),
        "one row": (A, YA, np.r_[A[:500], A[500:501] + 1, A[501:]], YA, True),
        "dropped row": (A, YA, A[1:], YA[1:], False),
        "other order": (np.r_[A, B], np.r_[YA, YB], np.r_[B, A], np.r_[YB, YA], False),
    }


@pytest.mark.parametrize("kind", copies())
def test_a_copy_that_reads_otherwise_counts_anew_and_is_told(here, kind):
    X, y, X2, y2, told = copies()[kind]
    write("A", X, y)
    write("C", X2, y2)
    n = len(X) + len(X2)
    match = r"X: .*C\.h5:/data looks like .*A\.h5:/data, but reads otherwise, so its rows count as those of another"

    def check(call):
        if told:
            with pytest.warns(exceptions.AlikeTablesWarning, match=match) as caught:
                assert call() == n
            assert len(caught) == 1
        else:
            assert call() == n

    add("A", "a.h5")
    check(lambda: add("C", "a.h5").n_samples)
    # In one call, and in what was fitted; and not when they are there again.
    paths = ["A.h5", "C.h5"], ["yA.h5", "yC.h5"]
    if kind != "one row":
        check(lambda: ELMRegressor(20, random_state=0).fit(*paths).normal_equations_.n_samples)
    assert load("model.h5").accumulate(*paths, into="a.h5") is not None
    assert add("C", "a.h5").n_samples == add("A", "a.h5").n_samples == n


def test_many_that_look_alike_are_one_warning(here):
    hours = np.arange(240.0)[:, None] * np.ones(3)
    for day in range(5):
        write(f"D{day}", hours, RNG.standard_normal(240))
    paths = [f"D{day}.h5" for day in range(5)], [f"yD{day}.h5" for day in range(5)]
    with pytest.warns(exceptions.AlikeTablesWarning, match=r"D1\.h5.*D0\.h5.* The same holds for 3 more\.") as caught:
        load("model.h5").accumulate(*paths, into="d.h5")
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load("model.h5").accumulate(*paths, into="d.h5")
    assert NormalEquations.load("d.h5").n_samples == 1200


def test_a_file_that_changed_at_its_place_is_named_with_the_rows(here):
    add("A", "a.h5", 0, 800)
    before = (here / "a.h5").read_bytes()
    changed = A.copy()
    changed[100:200] += 1
    write("A", changed, YA)
    match = (
        r"X: .*A\.h5 has changed since its rows were added: they read otherwise now, somewhere among rows 96 to 207\. "
        r"Nothing was added\. .*\(remove, or a - b\).*With a sums file for each data file, and merge"
    )
    for rows in ((), (0, 10), (900, 1000)):
        with pytest.raises(DataError, match=match):
            add("A", "a.h5", *rows)
    with pytest.raises(DataError, match="has changed since its rows were added"):
        load("model.h5").remove("A.h5", "yA.h5", rows=slice(0, 10), sums="a.h5")
    assert (here / "a.h5").read_bytes() == before
    # One sums file for each data file, and merge: only that of the changed file is made anew.
    write("B", B, YB)
    add("B", "b.h5")
    os.remove("a.h5")
    os.remove("a.h5.lock")
    add("A", "a.h5")
    assert_same(merge(["a.h5", "b.h5"]), direct(np.r_[changed, B], np.r_[YA, YB]))


def test_adding_a_changed_file_twice_is_refused_by_its_name(here):
    """Sums of the same path from before and after a change of some rows: the other rows would count twice."""
    a = add("A", "a.h5")
    changed = A.copy()
    changed[100:200] += 1
    write("A", changed, YA)
    b = add("A", "b.h5")
    with pytest.raises(RowsCountedError, match=r"A\.h5:/data has changed since rows of it were added: rows 0 to 999"):
        a + b
    with pytest.raises(IncompatibleSumsError, match="not as they read now"):
        a - b


def test_a_constant_table_that_changed_at_its_place(here):
    write("Z", np.zeros((200, 3)), YA[:200])
    add("Z", "z.h5")
    with h5py.File("Z.h5", "r+") as file:
        file["data"][2] = 1
    with pytest.raises(DataError, match=r"Z\.h5 has changed since its rows were added: .* in row 2"):
        add("Z", "z.h5")
