"""Random programs of all that is done with sums files, against dense NumPy: no row lost, none twice, none refused."""

import contextlib
import itertools
import os
import shutil

import numpy as np
import pytest

from daskelm import ELMRegressor, NormalEquations, load, make_hdf5, merge
from daskelm.exceptions import DataError, IncompatibleSumsError, RowsCountedError

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::daskelm.exceptions.AlikeTablesWarning"),
    pytest.mark.filterwarnings("ignore::daskelm.exceptions.CancellationWarning"),
]

FULL = os.environ.get("DASKELM_CAMPAIGN") == "full"
N_PROGRAMS, N_STEPS = (25, 40) if FULL else (3, 20)
D = 3
LONGEST = 400


class Table:
    """Rows of one table, of which files hold the first ones; the same for all copies and whatever is appended."""

    numbers = itertools.count()

    def __init__(self, X, y, weights=None):
        self.X, self.y, self.weights = X, y, weights
        self.number = next(self.numbers)
        # Whether no other table may be this one in single precision.
        self.plain = True


class Program:
    """Files of tables and of sums, and the rows that these should hold: (number of the table, number of the row)."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.log = []
        self.files = {}
        self.sums = {}
        self.names = itertools.count()
        self.rows = {}
        X = self.rng.standard_normal((200, D))
        self.model = ELMRegressor([(D, "lin"), (6, "tanh")], random_state=0).initialize(X)
        self.model.save("model.h5")

    def pick(self, things):
        things = list(things)
        return things[self.rng.integers(len(things))]

    def number(self, low, high):
        return int(self.rng.integers(low, high))

    # Tables and their files

    def random_rows(self):
        return self.rng.standard_normal((LONGEST, D)), self.rng.standard_normal(LONGEST)

    def make_table(self):
        X, y = self.random_rows()
        kind = self.pick(["new", "new", "prefix", "row", "anchor", "zeros", "zero X", "same X", "single"])
        weights = self.rng.uniform(0.5, 2, LONGEST) if self.number(0, 4) == 0 else None
        other = self.pick(self.files.values())[0] if self.files else None
        plain = True
        if kind == "zeros":
            k = self.number(1, 30)
            X[:k], y[:k], weights, plain = 0, 0, None, False
        elif kind == "zero X":
            X[:], plain = 0, False
        elif other is not None and kind != "new":
            rows = {
                "prefix": slice(0, self.number(1, 30)),
                "row": slice(0, 1),
                "anchor": slice(8, 9),
                "same X": slice(0, LONGEST),
                "single": slice(0, LONGEST),
            }[kind]
            X[rows] = other.X[rows]
            plain = other.plain
            if kind == "single":
                if not plain:
                    return
                X = X.astype(np.float32).astype(float)
                y, plain = other.y, False
                other.plain = False
            if kind != "same X":
                y[rows] = other.y[rows]
                weights = other.weights
        table = Table(X, y, weights)
        table.plain = plain
        self.write(table, f"t{next(self.names)}.h5", self.number(60, LONGEST - 60), kind)

    def write(self, table, path, n_rows, what):
        make_hdf5(table.X[:n_rows], path)
        make_hdf5(table.y[:n_rows], f"y-{path}")
        if table.weights is not None:
            make_hdf5(table.weights[:n_rows], f"w-{path}")
        self.files[path] = table, n_rows
        self.log.append(f"{what} {path} {n_rows} of table {table.number}")

    def copy(self):
        path = self.pick(self.files)
        self.write(*self.files[path][:1], f"c{next(self.names)}.h5", self.files[path][1], f"copy {path}")

    def shorter_copy(self):
        path = self.pick(self.files)
        table, n_rows = self.files[path]
        self.write(table, f"c{next(self.names)}.h5", self.number(50, n_rows + 1), f"begin of {path}")

    def rename(self):
        path, new = self.pick(self.files), f"r{next(self.names)}.h5"
        table, n_rows = self.files.pop(path)
        for kind in ("", "y-", "w-"):
            if os.path.exists(kind + path):
                shutil.move(kind + path, kind + new)
        self.files[new] = table, n_rows
        self.log.append(f"rename {path} {new}")

    def append(self):
        path = self.pick(self.files)
        table, n_rows = self.files[path]
        self.write(table, path, self.number(n_rows, LONGEST + 1), "append to")

    def replace_by_another(self):
        path = self.pick(self.files)
        X, y = self.random_rows()
        with contextlib.suppress(FileNotFoundError):
            os.remove(f"w-{path}")
        self.write(Table(X, y), path, self.number(60, LONGEST), "replace")

    # Sums

    def keys(self, path, start, stop):
        table = self.files[path][0]
        keys = [(table.number, row) for row in range(start, stop)]
        for key in keys:
            weight = 1.0 if table.weights is None else table.weights[key[1]]
            self.rows[key] = table.X[key[1]], table.y[key[1]], weight
        return keys

    def some_rows(self, path):
        n_rows = self.files[path][1]
        if self.number(0, 4) == 0:
            return 0, n_rows
        start = self.number(0, n_rows)
        return start, min(n_rows, start + self.pick([1, 3, 10, 40, LONGEST]))

    def options(self, path):
        return {} if self.files[path][0].weights is None else {"sample_weight": f"w-{path}"}

    def accumulate(self):
        path, into = self.pick(self.files), self.pick([*self.sums, f"s{next(self.names)}.h5"])
        start, stop = self.some_rows(path)
        self.log.append(f"accumulate {path} {start}:{stop} into {into}")
        rows = slice(start, stop)
        load("model.h5").accumulate(path, f"y-{path}", rows=rows, into=into, **self.options(path))
        self.check(into, self.sums.get(into, set()) | set(self.keys(path, start, stop)))

    def accumulate_several(self):
        paths = [self.pick(self.files) for _ in range(2)]
        into = self.pick([*self.sums, f"s{next(self.names)}.h5"])
        if any(self.files[path][0].weights is not None for path in paths):
            return
        self.log.append(f"accumulate {paths} into {into}")
        targets = [f"y-{path}" for path in paths]
        keys = [set(self.keys(path, 0, self.files[path][1])) for path in paths]
        if keys[0] & keys[1]:
            with pytest.raises(DataError, match="hold the same rows"):
                load("model.h5").accumulate(paths, targets, into=into)
            self.unchanged(into)
        else:
            load("model.h5").accumulate(paths, targets, into=into)
            self.check(into, self.sums.get(into, set()) | keys[0] | keys[1])

    def accumulate_from_memory(self):
        into = self.pick([*self.sums, f"s{next(self.names)}.h5"])
        X, y = self.random_rows()
        number = next(Table.numbers)
        keys = {(f"memory {number}", row) for row in range(self.number(1, 40))}
        for key in keys:
            self.rows[key] = X[key[1]], y[key[1]], 1.0
        self.log.append(f"accumulate {len(keys)} from memory into {into}")
        load("model.h5").accumulate(X[: len(keys)], y[: len(keys)], into=into)
        self.check(into, self.sums.get(into, set()) | keys)

    def remove(self):
        if not self.sums:
            return
        path, name = self.pick(self.files), self.pick(self.sums)
        start, stop = self.some_rows(path)
        keys, rows = set(self.keys(path, start, stop)), slice(start, stop)
        self.log.append(f"remove {path} {start}:{stop} from {name}")
        model = load("model.h5")
        if keys <= self.sums[name]:
            model.remove(path, f"y-{path}", rows=rows, sums=name, **self.options(path))
            self.check(name, self.sums[name] - keys)
        else:
            with pytest.raises(IncompatibleSumsError, match="only rows that are counted can be taken out"):
                model.remove(path, f"y-{path}", rows=rows, sums=name, **self.options(path))
            self.unchanged(name)

    def merge(self):
        if len(self.sums) < 2:
            return
        names = sorted({self.pick(self.sums) for _ in range(2)})
        into = f"s{next(self.names)}.h5"
        self.log.append(f"merge {names} into {into}")
        known = [{key for key in self.sums[name] if isinstance(key[0], int)} for name in names]
        memory = [self.sums[name] - rows for name, rows in zip(names, known, strict=True)]
        if len(names) == 2 and memory[0] & memory[1]:
            return
        if len(names) == 2 and known[0] & known[1]:
            with pytest.raises(RowsCountedError, match="are counted in both"):
                merge(names, into=into)
            assert not os.path.exists(into)
            with pytest.raises(RowsCountedError, match="are counted in both"):
                NormalEquations.load(names[0]) + NormalEquations.load(names[1])
        else:
            merge(names, into=into)
            self.check(into, set().union(*(self.sums[name] for name in names)))

    def subtract(self):
        if not self.sums:
            return
        a, b = self.pick(self.sums), self.pick(self.sums)
        self.subtract_these(a, b)

    def subtract_part(self):
        """What is contained, or shares rows with it, by a file of its own."""
        if not self.sums:
            return
        name, path = self.pick(self.sums), self.pick(self.files)
        start, stop = self.some_rows(path)
        self.log.append(f"accumulate {path} {start}:{stop} alone")
        model = load("model.h5").accumulate(
            path, f"y-{path}", rows=slice(start, stop), into=f"s{next(self.names)}.h5", **self.options(path)
        )
        part = f"s{next(self.names)}.h5"
        model.accumulate(path, f"y-{path}", rows=slice(start, stop), **self.options(path))
        model.normal_equations_.save(part)
        self.check(part, set(self.keys(path, start, stop)))
        self.subtract_these(name, part)

    def subtract_these(self, a, b):
        self.log.append(f"subtract {a} - {b}")
        gone = self.sums[b]
        if not gone <= self.sums[a]:
            if any(not isinstance(key[0], int) for key in gone - self.sums[a]):
                # Of rows from memory nobody can know, unless the numbers prove it.
                return
            with pytest.raises(IncompatibleSumsError, match="cannot subtract"):
                NormalEquations.load(a) - NormalEquations.load(b)
            return
        left = NormalEquations.load(a) - NormalEquations.load(b)
        name = f"s{next(self.names)}.h5"
        left.save(name)
        self.check(name, self.sums[a] - gone, of=self.sums[a])

    def change_rows(self):
        """Rows of a file read otherwise for a moment: an error if any of them is counted from there, else as before."""
        if not self.sums:
            return
        name, path = self.pick(self.sums), self.pick(self.files)
        table, n_rows = self.files[path]
        counted = [row for number, row in self.sums[name] if number == table.number and row < n_rows]
        place = f"{os.path.abspath(path)}:/data"
        sources = [s for s in NormalEquations.load(name).ledger.sources.values() if place in s.paths]
        counted = [row for row in counted if any(a <= row < b for source in sources for a, b in source.ranges)]
        if not counted:
            return
        row = self.pick(counted)
        changed, column = self.pick([(f"y-{path}", table.y), (path, table.X)]), slice(row, row + 3)
        values = changed[1][:n_rows].copy()
        values[column] += 1.0
        make_hdf5(values, changed[0])
        self.log.append(f"change row {row} of {changed[0]}, then accumulate into {name}")
        with pytest.raises(DataError, match="has changed since its rows were added"):
            load("model.h5").accumulate(path, f"y-{path}", into=name, **self.options(path))
        with pytest.raises(DataError, match="has changed since its rows were added"):
            load("model.h5").remove(path, f"y-{path}", rows=slice(row, row + 1), sums=name, **self.options(path))
        make_hdf5(changed[1][:n_rows], changed[0])
        self.unchanged(name)

    # What must hold

    def unchanged(self, name):
        if name in self.sums:
            self.check(name, self.sums[name])
        else:
            assert not os.path.exists(name)

    def check(self, name, keys, of=None):
        self.sums[name] = keys
        sums = NormalEquations.load(name)
        assert sums.n_samples == len(keys) == sums.ledger.n_rows
        self.peak = getattr(self, "peak", {})
        HH, HT, TT = self.dense(keys)
        known = self.peak.get(name, np.zeros(len(HH) + 1))
        if of is not None:
            whole = self.dense(of)
            known = np.maximum(known, np.sqrt(np.append(np.diag(whole[0]), whole[2])))
        scale = self.peak[name] = np.maximum(known, np.sqrt(np.append(np.diag(HH), TT)))
        h, t = scale[:-1], scale[-1]
        assert (np.abs(sums.HH - HH) <= 1e-12 * np.outer(h, h)).all()
        assert (np.abs(sums.HT[:, 0] - HT) <= 1e-12 * h * t).all()
        assert abs(sums.moments(centred=False).TT[0] - TT) <= 1e-12 * t * t

    def dense(self, keys):
        rows = [self.rows[key] for key in sorted(keys, key=str)]
        X, y, w = (
            (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.zeros((0, D)), *[np.zeros(0)] * 2)
        )
        H = self.model.transform(X) if len(X) else np.zeros((0, D + 6))
        return H.T @ (w[:, None] * H), H.T @ (w * y), w @ np.square(y)

    def step(self):
        self.pick(
            [
                self.make_table,
                self.make_table,
                self.copy,
                self.shorter_copy,
                self.rename,
                self.append,
                self.replace_by_another,
                *[self.accumulate] * 6,
                self.accumulate_several,
                self.accumulate_from_memory,
                *[self.remove] * 3,
                *[self.merge] * 3,
                *[self.subtract] * 2,
                *[self.subtract_part] * 3,
                *[self.change_rows] * 2,
            ]
        )()


@pytest.mark.parametrize("seed", range(N_PROGRAMS))
def test_a_random_program(tmp_path, monkeypatch, no_client, seed):
    monkeypatch.chdir(tmp_path)
    # Cells of all rows, of 64, or of 16: 3 inputs, a target, a weight.
    if seed % 3:
        monkeypatch.setattr("daskelm.sums.provenance._CELL_BYTES", 8 * 5 * (64, 16)[seed % 3 - 1])
    program = Program(seed)
    program.make_table()
    program.make_table()
    for _ in range(N_STEPS):
        try:
            program.step()
        except BaseException as error:
            error.add_note("\n".join(program.log))
            raise
