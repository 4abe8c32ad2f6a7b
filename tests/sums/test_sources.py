"""Tables that look alike, copies, parts, mended rows, other machines: what is one source, and what is another."""

import itertools
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskelm import ELMRegressor, NormalEquations, from_hdf5, load, make_hdf5, merge
from daskelm.exceptions import (
    DataError,
    IncompatibleSumsError,
    InsufficientMemoryError,
    RowsCountedError,
    ScaleWarning,
)
from daskelm.hdf5.atomic import replacing
from daskelm.sums.counted_table import CountedTable
from daskelm.sums.digests import row_digests, sum_digests
from daskelm.sums.ledger import Ledger
from daskelm.sums.row_cells import cell_of, cells_between

RNG = np.random.default_rng(1)
X = RNG.standard_normal((1000, 5))
T = RNG.standard_normal((1000, 2))


@pytest.fixture
def here(tmp_path, monkeypatch, no_client):
    monkeypatch.chdir(tmp_path)
    write("X.h5", X)
    write("T.h5", T)
    ELMRegressor([(3, "lin"), (8, "tanh")], random_state=0).initialize("X.h5").save("model.h5")


def write(path, table):
    return make_hdf5(np.array(table, dtype=float), path)


def add(x="X.h5", t="T.h5", rows=None, into="sums.h5", **options):
    load("model.h5").accumulate(x, t, rows=rows, into=into, **options)
    return NormalEquations.load(into).n_samples


def change(path, rows, by=1.0):
    table = from_hdf5(path).compute()
    table[rows] += by
    write(path, table)


# Digests of rows


@given(st.integers(0, 50), st.integers(1, 6), st.integers(0, 2**40), st.lists(st.integers(0, 50)))
def test_digests_of_any_cut_add_up(n_rows, n_columns, first, cuts):
    table = np.random.default_rng(n_rows).standard_normal((n_rows, n_columns))
    whole = sum_digests(row_digests(first, table))
    edges = [0, *sorted(min(cut, n_rows) for cut in cuts), n_rows]
    parts = [sum_digests(row_digests(first + a, table[a:b])) for a, b in itertools.pairwise(edges)]
    assert sum(parts) % 2**64 == whole


def test_digests_tell_small_changes():
    table = RNG.integers(0, 3, (2000, 4)).astype(float)
    before = row_digests(0, table)
    assert len(set(before.tolist())) == 2000
    for changed in (table[:, ::-1], -table + 0.0, table * 2, np.nextafter(table, 9), table + 1e-300):
        differs = (changed != table).any(axis=1)
        assert (row_digests(0, changed) != before)[differs].all()
    swapped = table.copy()
    swapped[[3, 1500]] = swapped[[1500, 3]]
    assert sum_digests(row_digests(0, swapped)) != sum_digests(before) or (table[3] == table[1500]).all()
    # Signs of two columns: the highest bits, which a plain product would lose.
    signs = np.array([[1.0, -1.0], [-1.0, 1.0]])
    assert len(set(row_digests(0, signs[:1]).tolist()) | set(row_digests(0, signs[1:]).tolist())) == 2


@given(st.integers(0, 10**6), st.integers(0, 12))
def test_cells_cover_all_rows_once(row, power):
    start, stop = cell_of(row, 2**power)
    assert start <= row < stop
    assert cell_of(start, 2**power) == cell_of(stop - 1, 2**power) == (start, stop)
    assert [(a, b) for _, a, b in cells_between(start, stop + 1, 2**power)] == [(start, stop), (stop, stop + 1)]


# Tables that look alike


@pytest.mark.filterwarnings("ignore::daskelm.exceptions.AlikeTablesWarning")
def test_months_of_a_calendar(here):
    """The same hours and days each month, other lengths, other targets: in any order, one by one or together."""

    def month(n_days):
        hours = np.arange(24.0 * n_days)
        return np.stack([hours % 24, hours // 24, 0 * hours, 0 * hours, 0 * hours], axis=1)

    names = {"jan": 31, "feb": 28, "mar": 31, "apr": 30}
    for name, n_days in names.items():
        write(f"x-{name}.h5", month(n_days))
        write(f"t-{name}.h5", RNG.standard_normal((24 * n_days, 2)))
    total = 24 * sum(names.values())
    for order in (list(names), list(names)[::-1], ["feb", "jan", "apr", "mar"]):
        into = f"{order[0]}.h5"
        for name in order:
            add(f"x-{name}.h5", f"t-{name}.h5", into=into)
        for name in names:
            n_samples = add(f"x-{name}.h5", f"t-{name}.h5", into=into)
        assert n_samples == total
    paths = [f"x-{name}.h5" for name in names], [f"t-{name}.h5" for name in names]
    assert add(*paths, into="all.h5") == total
    assert add(*paths, into="jan.h5") == total
    with pytest.warns(ScaleWarning, match="2, 3, 4 of X never varied in the 2880 row"):
        model = ELMRegressor(20, random_state=0).fit(*paths)
    assert model.normal_equations_.n_samples == total
    for name in names:
        add(f"x-{name}.h5", f"t-{name}.h5", into=f"only-{name}.h5")
    assert merge("only-*.h5").n_samples == total
    assert add("x-jan.h5", "t-jan.h5", rows=slice(0, 500), into="only-feb.h5") == 672 + 500


@pytest.mark.filterwarnings("ignore::daskelm.exceptions.AlikeTablesWarning")
def test_a_shorter_table_that_begins_alike(here):
    long, short = RNG.standard_normal((100_000, 5)), RNG.standard_normal((1000, 5))
    long[:8] = short[:8] = 0
    write("long.h5", long)
    write("t-long.h5", long[:, :2])
    write("short.h5", short)
    for order in (("long", "short"), ("short", "long")):
        targets = {"long": "t-long.h5", "short": "T.h5"}
        for name in order:
            n_samples = add(f"{name}.h5", targets[name], into=f"{order[0]}-first.h5")
        assert n_samples == 101_000


@pytest.mark.filterwarnings("ignore::daskelm.exceptions.AlikeTablesWarning")
def test_equal_inputs_with_other_targets(here):
    add()
    write("X2.h5", X)
    write("T2.h5", T + 1)
    assert add(from_hdf5("X2.h5", rows=slice(0, 500)), from_hdf5("T2.h5", rows=slice(0, 500))) == 1500
    assert add(from_hdf5("X2.h5", rows=slice(0, 500)), from_hdf5("T2.h5", rows=slice(0, 500))) == 1500
    assert add("X2.h5", "T2.h5") == 2000
    paths = [f"e{i}.h5" for i in range(4)]
    for i, path in enumerate(paths):
        write(path, X)
        write(f"f{i}.h5", T + i)
    targets = [f"f{i}.h5" for i in range(4)]
    assert ELMRegressor(20, random_state=0).fit(paths, targets).normal_equations_.n_samples == 4000


def test_too_few_rows_to_tell_are_an_error(here):
    add()
    write("X2.h5", X)
    with pytest.raises(DataError, match=r"X2\.h5 begins like .*X\.h5:/data.*too few of the rows given here"):
        add(from_hdf5("X2.h5", rows=slice(600, 700)), T[600:700])
    assert add("X2.h5", "T.h5", rows=slice(600, 700)) == 1000


@pytest.mark.filterwarnings("ignore::daskelm.exceptions.AlikeTablesWarning")
def test_tables_of_one_call_that_differ_in_the_middle(here):
    other = X.copy()
    other[400:600] = RNG.standard_normal((200, 5))
    write("X2.h5", other)
    assert add(["X.h5", "X2.h5"], ["T.h5", "T.h5"]) == 2000
    shutil.copy("X.h5", "X3.h5")
    with pytest.raises(DataError, match="got 1000 rows twice"):
        add(["X.h5", "X3.h5"], ["T.h5", "T.h5"], into="new.h5")


# Rows that change


@pytest.mark.parametrize("path", ["X.h5", "T.h5"])
def test_a_change_is_seen_after_rows_were_taken_away(here, path):
    add()
    load("model.h5").remove("X.h5", "T.h5", rows=slice(500, 501), sums="sums.h5")
    change(path, 0)
    with pytest.raises(DataError, match="read otherwise now"):
        add()
    write(path, X if path == "X.h5" else T)
    assert add() == 1000


def test_mended_rows_come_back(here):
    add(rows=slice(0, 100))
    for rows in (slice(0, 10), slice(60, 100)):
        load("model.h5").remove("X.h5", "T.h5", rows=rows, sums="sums.h5")
    change("X.h5", slice(0, 10))
    change("T.h5", slice(60, 100))
    assert add() == 1000


def test_only_rows_as_they_were_can_be_taken_away(here, monkeypatch):
    model = load("model.h5").accumulate("X.h5", "T.h5")
    write("T2.h5", T + 100)
    with pytest.raises((DataError, IncompatibleSumsError), match="not as they read now|read otherwise"):
        model.remove("X.h5", "T2.h5", rows=slice(0, 500))
    assert model.normal_equations_.n_samples == 1000
    monkeypatch.setattr("daskelm.sums.provenance._CELL_BYTES", 64 * 64)
    monkeypatch.setattr("daskelm.sums.provenance._CHECK_BYTES", 64 * 64)
    add()
    change("T.h5", slice(100, 110))
    for rows in (slice(64, 128), slice(70, 120)):
        with pytest.raises((DataError, IncompatibleSumsError), match="not as they read now|read otherwise"):
            load("model.h5").remove("X.h5", "T.h5", rows=rows, sums="sums.h5")


def test_provisional_rows_that_were_not_counted(here):
    filled = X.copy()
    filled[500:] = 0
    write("X.h5", filled)
    add(rows=slice(0, 500), into="a.h5")
    write("X.h5", X)
    add(into="b.h5")
    a, b = NormalEquations.load("a.h5"), NormalEquations.load("b.h5")
    for first, second in ((a, b), (b, a)):
        with pytest.raises(RowsCountedError, match="rows 0 to 499 of .* are counted in both"):
            first + second
    assert add(into="a.h5") == 1000


# Other paths, other machines


def test_three_parts_by_two_paths(here):
    shutil.copy("X.h5", "Xc.h5")
    add(rows=slice(0, 500), into="a.h5")
    add("Xc.h5", rows=slice(500, 1000), into="b.h5")
    add(rows=slice(500, 1000), into="c.h5")
    with pytest.raises(RowsCountedError, match="rows 500 to 999"):
        merge(["a.h5", "b.h5", "c.h5"])
    assert merge(["a.h5", "b.h5"], into="ab.h5").n_samples == 1000
    assert add(into="ab.h5") == 1000


def test_one_path_on_two_machines(here):
    add(into="a.h5")
    write("T.h5", T + 1)
    add(into="b.h5")
    assert merge(["a.h5", "b.h5"], into="ab.h5").n_samples == 2000
    assert len(NormalEquations.load("ab.h5").ledger.sources) == 2


def test_links_to_data_and_to_sums(here):
    os.makedirs("real")
    os.symlink("real/sums.h5", "link.h5")
    add(rows=slice(0, 200), into="link.h5")
    add(rows=slice(0, 100), into="real/sums.h5")
    assert add(rows=slice(200, 300), into="link.h5") == 300
    assert os.path.islink("link.h5")
    assert sorted(os.listdir("real")) == ["sums.h5", "sums.h5.lock"]
    add()
    os.symlink("X.h5", "L.h5")
    assert add("L.h5") == 1000
    change("X.h5", 300)
    with pytest.raises(DataError, match="read otherwise now"):
        add("L.h5")


def test_a_file_named_twice_is_not_summed_twice(here):
    add(X, T, into="mem.h5")
    with pytest.raises(RowsCountedError, match=r"every file must be named once; got .*mem\.h5 several times"):
        merge(["mem.h5", "m*.h5"])


def test_saving_over_a_sums_file_goes_on(here, monkeypatch):
    for start in range(0, 300, 100):
        add(rows=slice(start, start + 100))
    part = NormalEquations.load("sums.h5")
    os.remove("sums.h5")
    part.save("sums.h5")
    # Nothing waits for a newer version, as on a file system that shows an older one.
    monkeypatch.setattr("daskelm.sums.file.time.sleep", lambda seconds: pytest.fail("waits for a newer file"))
    assert add() == 1000


def test_a_writer_leaves_the_files_of_others_alone(here):
    with replacing("sums.h5", "sums") as beside:
        beside.write_bytes(b"new")
        add(into="sums")
        add(into="sums.h5.1")
    with open("sums.h5", "rb") as file:
        assert file.read() == b"new"


def test_permissions_stay(here):
    add(rows=slice(0, 10))
    os.chmod("sums.h5", 0o664)
    add()
    assert os.stat("sums.h5").st_mode & 0o777 == 0o664


def test_weights_of_zero_first_cost_no_digits(here):
    y = 1e9 + 1e-3 * np.sin(X[:, 0])
    weights = np.ones(1000)
    weights[:100] = 0
    model = load("model.h5")
    for rows in (slice(0, 100), slice(100, 1000)):
        model.accumulate(X, y, rows=rows, sample_weight=weights)
    whole = load("model.h5").accumulate(X, y, sample_weight=weights)
    assert pytest.approx(whole.normal_equations_.moments().TT, rel=1e-6) == model.normal_equations_.moments().TT


def test_nothing_of_too_large_a_layer_is_made(here):
    neurons = load("model.h5").hidden_layer_
    object.__setattr__(neurons, "n_neurons", 10**6)
    model = load("model.h5")
    model._fitted = replace(model._fitted, layer=neurons)
    with pytest.raises(InsufficientMemoryError, match="needs about"):
        model.accumulate("X.h5", "T.h5", rows=slice(0, 0), into="huge.h5")


# Many


def test_many_files_are_one_job(here, monkeypatch):
    n_tasks = []
    original = load("model.h5").accumulate.__globals__["add_rows"].__globals__["run_in_segments"]

    def counted(*args, **options):
        n_tasks.append(len(args[3]))
        return original(*args, **options)

    monkeypatch.setattr("daskelm.passes.resume.run_in_segments", counted)
    for i in range(40):
        write(f"x{i}.h5", X[25 * i : 25 * (i + 1)])
        write(f"t{i}.h5", T[25 * i : 25 * (i + 1)])
    assert add("x*.h5", "t*.h5") == 1000
    assert n_tasks == [1]


def test_tables_that_look_alike_are_not_all_compared(monkeypatch):
    """Those that begin otherwise, in their targets, are left out at once: else 300 tables would take 90,000 looks."""

    def ledger(first):
        cells = {i: {0: (7, first + i), 512: (7, i)} for i in range(300)}
        return Ledger({f"{first + i}": CountedTable(((0, 1000),), 5, 1024, {0: 1, 1: 2}, cells[i]) for i in range(300)})

    looks = []
    original = CountedTable.evidence
    monkeypatch.setattr(CountedTable, "evidence", lambda *args: looks.append(1) or original(*args))
    a, b = ledger(0), ledger(1000)
    assert (a | b).n_rows == 600_000
    assert ((a | b) - b) == a
    assert len(looks) <= 600
