"""Ledgers of many tables: arrays until a name is asked for, read once, and the same as if all were objects."""

import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskelm import ELMRegressor, NormalEquations, make_hdf5
from daskelm.exceptions import IncompatibleSumsError
from daskelm.hdf5 import sealed
from daskelm.sums.counted_table import CountedTable
from daskelm.sums.ledger import Ledger, SourceIndex
from daskelm.sums.row_cells import cells_between
from daskelm.sums.tables import Tables

RNG = np.random.default_rng(0)
ANCHORS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
MASK = sum(0xFFFFFFFF << 64 * i for i in range(8))


def table(i, rows=((0, 70),)):
    """A table of 70 rows, of which these are counted, with digests as random ones are."""
    rng = np.random.default_rng(i)
    anchors = dict(zip(ANCHORS, rng.integers(0, 2**63, len(ANCHORS)).tolist(), strict=True))
    digest = {low: tuple(int.from_bytes(rng.bytes(64), "little") & MASK for _ in "xt") for low in (0, 1, 2, 4, 8, 16)}
    digest |= {low: (low, low) for low in (32, 64)}
    cells = {low: digest[low] for start, stop in rows for low, _, _ in cells_between(start, stop, 32)}
    paths = frozenset([f"/data/{i}.h5:/data"])
    return CountedTable(rows, 5, 32, anchors, cells, paths=paths, targets=frozenset([f"/data/{i}.h5:/y"]))


def name(i):
    return f"{i * 7919 % 1000:032x}"


def from_file(ledger):
    return Ledger.from_state(ledger.state())


def assert_same(a, b):
    assert a == b
    assert (a.n_rows, list(a.sources), len(a.sources)) == (b.n_rows, list(b.sources), len(b.sources))
    first, second = a.state(), b.state()
    assert first["ledger"] == second["ledger"]
    for key in first.keys() - {"ledger"}:
        np.testing.assert_array_equal(first[key], second[key])
        assert first[key].dtype == second[key].dtype
    assert dict(a.sources) == dict(b.sources)


SETS = st.dictionaries(st.integers(0, 12), st.sampled_from([(0, 8), (8, 32), (32, 70), (0, 70)]), max_size=8)


@given(one=SETS, two=SETS, seed=st.integers(0, 3))
def test_tables_of_a_file_add_and_subtract_as_objects_do(one, two, seed):
    a, b = (Ledger({name(i): table(i, (rows,)) for i, rows in some.items()}, seed) for some in (one, two))
    for first in (a, from_file(a)):
        for second in (b, from_file(b)):
            try:
                expected = a | b
            except IncompatibleSumsError as error:
                with pytest.raises(type(error), match="cannot add"):
                    first | second
            else:
                both = first | second
                assert_same(both, expected)
                assert_same(from_file(both), expected)
                assert_same(pickle.loads(pickle.dumps(both)), expected)
                assert_same(from_file(both) - second, a)
                assert_same(both - first, b)


def test_a_table_that_has_no_rows_left_is_gone():
    ledger = from_file(Ledger({name(i): table(i) for i in range(5)}))
    left = ledger - Ledger({name(3): table(3)})
    assert name(3) not in left.sources
    assert len(left.sources) == 4
    assert_same(from_file(left), left)
    with pytest.raises(KeyError):
        left.sources[name(3)]
    assert_same(left | Ledger({name(3): table(3)}), ledger)


def test_the_index_finds_tables_of_files_and_new_ones():
    stored = from_file(Ledger({name(i): table(i) for i in range(50)}))
    ledger = stored | Ledger({name(60): table(60)})
    for i in (0, 17, 49, 60):
        for index in (SourceIndex(ledger), SourceIndex(from_file(ledger))):
            asked = replace(table(i), paths=frozenset(["elsewhere"]))
            assert index.similar(asked) == [name(i)]
            assert index.candidates(asked) == [name(i)]
            assert index.at_place(table(i)) == [name(i)]
            assert index.similar(replace(asked, n_columns=6)) == []
    assert SourceIndex(ledger).similar(table(70)) == []
    assert SourceIndex(Ledger()).candidates(table(1)) == []


@pytest.fixture
def many(tmp_path, monkeypatch):
    """A sums file that counts rows of 400 tables, and data that is in none of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    X = RNG.standard_normal((100, 5))
    make_hdf5(X, "X.h5")
    make_hdf5(X[:, 0], "y.h5")
    model = ELMRegressor(5, random_state=0).initialize(X)
    sums = model.partial_fit(X, X[:, 0]).normal_equations_
    ledger = Ledger({name(i): table(i) for i in range(400)})
    replace(sums, ledger=ledger, n_samples=ledger.n_rows, folds=()).save("sums.h5")
    return ELMRegressor(5, random_state=0).initialize(X)


def test_a_call_decodes_no_table_that_it_does_not_need_and_reads_the_file_once(many, monkeypatch):
    decoded, read = [], []
    table_of, read_sealed = Tables._table, sealed.read_sealed
    monkeypatch.setattr(Tables, "_table", lambda self, i: decoded.append(i) or table_of(self, i))
    monkeypatch.setattr("daskelm.sums.stored.read_sealed", lambda *args: read.append(args[0]) or read_sealed(*args))
    many.accumulate("X.h5", "y.h5", rows=slice(0, 50), into="sums.h5")
    assert (len(decoded), len(read)) == (0, 1)
    many.accumulate("X.h5", "y.h5", into="sums.h5")
    # The table of these rows is asked for, and no other; each call reads the file once.
    assert len(set(decoded)) == 1
    assert len(read) == 2
    many.accumulate("X.h5", "y.h5", into="sums.h5")
    assert len(read) == 3
    assert NormalEquations.load("sums.h5").ledger.n_rows == 400 * 70 + 100


def test_a_file_that_changed_before_the_commit_is_read_again(many, monkeypatch):
    from daskelm.passes import resume

    read, read_sealed, add_to_file = [], sealed.read_sealed, resume.add_to_file
    monkeypatch.setattr("daskelm.sums.stored.read_sealed", lambda *args: read.append(args[0]) or read_sealed(*args))

    def meanwhile(*args):
        monkeypatch.setattr(resume, "add_to_file", add_to_file)
        NormalEquations.load("other.h5").save("sums.h5")
        return add_to_file(*args)

    other = NormalEquations.load("sums.h5")
    more = replace(other, n_samples=other.n_samples + 7, ledger=other.ledger | Ledger(n_unknown=7))
    more.save("other.h5")
    read.clear()
    monkeypatch.setattr(resume, "add_to_file", meanwhile)
    many.accumulate("X.h5", "y.h5", into="sums.h5")
    assert len(read) == 3
    assert NormalEquations.load("sums.h5").n_samples == 400 * 70 + 7 + 100
