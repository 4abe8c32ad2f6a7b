"""Tables in HDF5 files as sources of a ledger: recognised by their content, checked, and noted while they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from .exceptions import DataError
from .hdf5 import Hdf5Rows, some
from .hdf5_part import Part
from .inputs import Source as Data
from .inputs import n_columns, take_runs
from .ledger import Ledger, Source, SourceIndex, cell_of, cells_between, cells_of, common_rows
from .row_digests import row_digests, sum_digests
from .targets import Targets
from .urls import place_of

__all__ = ["Notes", "Origin", "Provenance", "Table", "provenance_of"]

# A source is found by its rows 0, 1, 2, 3, 4, 6, 8, 12 to 64, 128, 256 and so on, and by some eight rows at multiples
# of a power of two, which all stay where they are when rows are appended.
_SPREAD_ROWS = 8
_FIRST_ROWS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
# Bytes of X, targets and weights in a cell, as 8-byte numbers.
_CELL_BYTES = 4 * 2**20
# Bytes that are read again, in all, to see whether rows that are counted still read the same.
_CHECK_BYTES = 64 * 2**20
_NOTHING = Source(())


@dataclass(frozen=True)
class Origin:
    """Rows [start, stop) of X are the rows from `first` on of the source with this name, of which some are counted."""

    start: int
    stop: int
    first: int
    name: str
    cell_rows: int
    counted: Source = _NOTHING

    @property
    def shift(self) -> int:
        """What to add to a row number in X."""
        return self.first - self.start

    @property
    def rows(self) -> tuple[int, int]:
        """The rows of the source that are here."""
        return self.first, self.stop + self.shift

    def cut(self, start: int, stop: int) -> Origin:
        """The part of it in rows [start, stop) of X."""
        low = min(max(self.start, start), self.stop)
        return replace(self, start=low, stop=max(low, min(self.stop, stop)), first=low + self.shift)

    def missing(self) -> list[tuple[int, int]]:
        """Ranges of rows of X here that are not counted."""
        return [(a - self.shift, b - self.shift) for a, b in self.counted.missing(*self.rows)]


@dataclass(frozen=True)
class Provenance:
    """Where all rows of X come from, and by what those sources are found again, by name."""

    origins: tuple[Origin, ...] = ()
    sources: Mapping[str, Source] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """X in files, with what belongs to its rows."""

    X: Hdf5Rows
    y: Data
    weights: Data | None
    targets: Targets

    @property
    def cell_rows(self) -> int:
        """Rows of a cell: a power of two."""
        numbers = self.X.n_columns + n_columns(self.y) + 1
        return 2 ** max(int(np.log2(_CELL_BYTES / (8 * numbers))), 0)

    def digests(
        self, part: Part, origin: Origin, ranges: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[int, int | None]]:
        """Sums of digests of ranges of rows of a part: of X, and of targets and weights where those are here."""
        with self.X.of_part(part).open() as reader:
            for run in _runs(ranges, self.cell_rows):
                start, stop = run[0][0], run[-1][1]
                block = reader.read(start, stop)
                # Targets are known of the rows that are in X.
                low, high = max(start, origin.rows[0]), min(stop, origin.rows[1])
                x = _digests_of_X(start, block)
                t = self._digests_of_T(origin, low, high) if low < high else None
                for a, b in run:
                    of_t = None
                    if t is not None and low <= a and b <= high:
                        of_t = sum_digests(t[a - low : b - low])
                    yield sum_digests(x[a - start : b - start]), of_t

    def _digests_of_T(self, origin, first, last):
        rows = [(first - origin.shift, last - origin.shift)]
        (labels,), *weights = take_runs(rows, y=self.y, sample_weight=self.weights)
        return _digests_of_T(first, self.targets.content(labels), weights[0][0].reshape(-1) if weights else None)


def _digests_of_X(first, X):
    return row_digests(first, np.asarray(X, np.float64))


def _digests_of_T(first, content, weights):
    content = content.reshape(len(content), -1)
    if weights is None:
        return row_digests(first, content)
    columns = [content.view(np.uint64), np.asarray(weights, np.float64)[:, None].view(np.uint64)]
    return row_digests(first, np.concatenate(columns, axis=1))


def _runs(ranges, most_rows) -> Iterator[list[tuple[int, int]]]:
    """Groups of adjacent ranges of no more than `most_rows` rows."""
    run: list[tuple[int, int]] = []
    for start, stop in ranges:
        if run and (start != run[-1][1] or stop - run[0][0] > most_rows):
            yield run
            run = []
        run.append((start, stop))
    if run:
        yield run


def provenance_of(table: Table, ledger: Ledger | None = None, edges: Sequence[int] = ()) -> Provenance:
    """Where the rows of X come from, by content; sources that the ledger knows have their names there.

    `edges` are row numbers of X, of which the cells are read again in any case.

    A table is a known one if at least half of a few rows read the same, and then all rows that are counted, of which
    64 MiB or one cell per file are read again. If those read otherwise, the path decides: at the same place the
    table was changed, elsewhere it is another one that looks alike.

    Raises
    ------
    DataError
        Rows that are counted read otherwise now, or rows occur twice among the files.
    """
    ledger = Ledger() if ledger is None else ledger
    index = SourceIndex(ledger)
    places = table.X.ranges()
    share = _CHECK_BYTES // max(len(places), 1)
    origins: list[Origin] = []
    sources: dict[str, Source] = {}
    copies = _Copies(table)
    start = 0
    for part, first, last in places:
        path = f"{place_of(part.path)}:{part.dataset}"
        anchors = _anchors(table.X.of_part(part), part.n_rows)
        source = Source((), table.X.n_columns, table.cell_rows, anchors, paths=frozenset([path]))
        origin = Origin(start, start + last - first, first, "", table.cell_rows)
        similar = index.similar(source)
        known = []
        for name in similar:
            cells = _cells_to_read(table, part, origin, ledger.sources[name], share, edges)
            if _reads_the_same(table, part, origin, source, ledger.sources[name], cells):
                known.append(name)
        if known:
            # One table that was counted by way of two mounts may be there under two names.
            rows = Ledger({"": [rows for name in known for rows in ledger.sources[name].ranges]})
            name, counted = known[0], rows.sources[""]
        else:
            name, counted = copies.name_of(part, origin, source) or _name(source, ledger), _NOTHING
        origins.append(replace(origin, name=name, counted=counted))
        sources[name] = replace(source, others=frozenset(similar).difference(known))
        start += last - first
    _refuse_twice(table.X, origins)
    return Provenance(tuple(origins), sources)


def _cells_to_read(table, part, origin, known, share, edges):
    """(cell, counted rows): all of the table's that are counted, or some of them where they are many."""
    cells = [(cell, rows) for cell in sorted(known.cells) if (rows := known.rows_in(cell))[-1][1] <= part.n_rows]
    row_bytes = 8 * (table.X.n_columns + n_columns(table.y) + 1)
    sizes = [row_bytes * sum(b - a for a, b in rows) for _, rows in cells]
    most = len(cells) if sum(sizes) <= share else max(1, int(share // max(sizes)))
    # The last are the largest; of few the first would show little.
    chosen = {round(i) for i in np.linspace(len(cells) - 1, 0, min(most, len(cells)))}
    at_edges = {cell_of(row + origin.shift, table.cell_rows)[0] for row in edges if origin.start <= row < origin.stop}
    return [item for i, item in enumerate(cells) if i in chosen or item[0] in at_edges]


def _reads_the_same(table, part, origin, source, known, chosen) -> bool:
    if known.cell_rows != table.cell_rows:
        return False
    same_place = bool(known.paths & source.paths)
    ranges = [(cell, a, b) for cell, rows in chosen for a, b in rows]
    found: dict[int, tuple[int, int | None]] = {}
    for (cell, _, _), (x, t) in zip(ranges, table.digests(part, origin, [r[1:] for r in ranges]), strict=True):
        before_x, before_t = found.get(cell, (0, 0))
        both = None if t is None or before_t is None else (before_t + t) % 2**64
        found[cell] = (before_x + x) % 2**64, both
    compared = False
    for cell, rows in chosen:
        x, t = found[cell]
        compared = compared or t is not None
        if x == known.cells[cell][0] and t in (None, known.cells[cell][1]):
            continue
        if not same_place:
            return False
        what = "they" if x != known.cells[cell][0] else "their targets or weights"
        raise DataError(
            f"X: among rows {rows[0][0]} to {rows[-1][1] - 1} of {part.path} some are counted in the sums already, but "
            f"{what} read otherwise now: the file was changed, or y or sample_weight are others. Take these rows away "
            "with the data that they were added from (remove, or a - b), or begin a new sums file."
        )
    if compared or same_place:
        return True
    if not common_rows(known.ranges, (origin.rows,)):
        return False
    raise DataError(
        f"X: {part.path} begins like {', '.join(sorted(known.paths))}, whose rows are counted in the sums already, but "
        "too few of the rows given here are counted there to tell whether it is the same table. Give the whole table, "
        "and the rows by `rows=`."
    )


class _Copies:
    """Finds files that are given twice, or are copies of each other."""

    def __init__(self, table: Table):
        self.table = table
        self._seen: dict[tuple, list[tuple[Part, Origin, Source, str]]] = {}
        self._digests: dict[tuple, list] = {}

    def name_of(self, part: Part, origin: Origin, source: Source) -> str | None:
        """Name of an earlier file that holds the same rows; None if there is none."""
        seen = self._seen.setdefault((part.n_rows, *sorted(source.anchors.items())), [])
        for other_part, other, other_source, name in seen:
            if other_source.paths == source.paths or self._sample(part, origin) == self._sample(other_part, other):
                return name
        seen.append((part, origin, source, _name(source, Ledger())))
        return None

    def _sample(self, part, origin):
        """What all cells read, or some of them where they are many, and which they are."""
        key = part.path, part.dataset, origin.first
        if key not in self._digests:
            first, last = origin.rows
            cells = [(a, b) for _, a, b in cells_between(first, last, self.table.cell_rows)]
            chosen = [cells[round(i)] for i in np.linspace(0, len(cells) - 1, min(len(cells), 24))]
            self._digests[key] = [*chosen, *self.table.digests(part, origin, chosen)]
        return self._digests[key]


def _refuse_twice(X, origins):
    rows: dict[str, list[tuple[int, int]]] = {}
    for origin in origins:
        rows.setdefault(origin.name, []).append(origin.rows)
    twice = sum(origin.stop - origin.start for origin in origins) - Ledger(rows).n_rows
    if twice:
        raise DataError(
            f"X: every row must count once; got {twice} rows twice, since files among {some(X.paths)} hold the same "
            "rows. Name each file once."
        )


def _name(source, ledger):
    """A name that no source of the ledger has: this one is none of them."""
    text = f"{source.n_columns} {sorted(source.anchors.items())} {sorted(source.paths)}"
    name = hashlib.sha256(text.encode()).hexdigest()[:32]
    while name in ledger.sources:
        name = hashlib.sha256(name.encode()).hexdigest()[:32]
    return name


def _anchors(X, n_rows) -> dict[int, int]:
    step = 2 ** max(int(np.ceil(np.log2(n_rows / _SPREAD_ROWS))), 0)
    powers = [1 << power for power in range(6, n_rows.bit_length())]
    numbers = sorted({row for row in (*_FIRST_ROWS, *powers, *range(0, n_rows, step)) if row < n_rows})
    # A file that is being filled is known by what is there already.
    holes = [run for part in X.parts for run in part.holes]
    ends = [stop for _, stop in holes if stop < n_rows]
    numbers = [row for row in numbers if not any(start <= row < stop for start, stop in holes)] or ends[:1] or [0]
    # The first ones at once.
    first = 0 if holes else min(_FIRST_ROWS[-1] + 1, n_rows)
    head, *others = X.read_runs([(0, first), *((row, row + 1) for row in numbers if row >= first)])
    rows = [head[row] for row in numbers if row < first] + [row for (row,) in others]
    # In single precision, so that a table is known again when it was written anew in another precision; and without the
    # row's number, so that rows that occur often are seen to.
    with np.errstate(over="ignore"):
        single = np.stack(rows).astype(np.float32).astype(np.float64)
    return {number: int(row_digests(0, row[None])[0]) for number, row in zip(numbers, single, strict=True)}


class Notes:
    """Notes what the rows read while they are counted.

    Parameters
    ----------
    origins : sequence of Origin
        Where rows of X come from; rows that come from nowhere among them are unknown.
    """

    def __init__(self, origins: Sequence[Origin]):
        self.origins = origins
        self.n_unknown = 0
        self._ranges: dict[str, list[tuple[int, int]]] = {}
        self._cells: dict[str, dict[int, list[int]]] = {}

    def add(self, start: int, X: np.ndarray, content: np.ndarray, weights: np.ndarray | None) -> None:
        """Note rows start, start + 1, ... of X (rows, n_features), their targets (rows, ...) and weights (rows,)."""
        self.n_unknown += len(X)
        for origin in self.origins:
            here = origin.cut(start, start + len(X))
            if here.start == here.stop:
                continue
            rows = slice(here.start - start, here.stop - start)
            x = _digests_of_X(here.first, X[rows])
            t = _digests_of_T(here.first, content[rows], None if weights is None else weights[rows])
            cells = self._cells.setdefault(origin.name, {})
            first, last = here.rows
            for cell, a, b in cells_between(first, last, origin.cell_rows):
                sums = cells.setdefault(cell, [0, 0])
                sums[0] = (sums[0] + sum_digests(x[a - here.first : b - here.first])) % 2**64
                sums[1] = (sums[1] + sum_digests(t[a - here.first : b - here.first])) % 2**64
            self._ranges.setdefault(origin.name, []).append(here.rows)
            self.n_unknown -= here.stop - here.start

    def add_scattered(
        self, runs: Sequence[tuple[int, int]], X: np.ndarray, content: np.ndarray, weights: np.ndarray | None
    ) -> None:
        """Note the rows of sorted runs [start, stop) of X, which are here together; the rest as for `add`."""
        numbers = np.concatenate([np.arange(*run) for run in runs])
        self.n_unknown += len(numbers)
        for origin in self.origins:
            low, high = np.searchsorted(numbers, (origin.start, origin.stop))
            if low == high:
                continue
            rows, mine = slice(low, high), numbers[low:high] + origin.shift
            x = _digests_of_X(mine, X[rows])
            t = _digests_of_T(mine, content[rows], None if weights is None else weights[rows])
            names = cells_of(mine, origin.cell_rows)
            firsts = np.flatnonzero(np.diff(names, prepend=-1))
            cells = self._cells.setdefault(origin.name, {})
            for cell, of_x, of_t in zip(
                names[firsts].tolist(),
                np.add.reduceat(x, firsts).tolist(),
                np.add.reduceat(t, firsts).tolist(),
                strict=True,
            ):
                sums = cells.setdefault(cell, [0, 0])
                sums[:] = (sums[0] + of_x) % 2**64, (sums[1] + of_t) % 2**64
            here = [origin.cut(start, stop) for start, stop in runs if start < origin.stop and origin.start < stop]
            self._ranges.setdefault(origin.name, []).extend(part.rows for part in here)
            self.n_unknown -= len(mine)

    def ledger(self, n_columns: int) -> Ledger:
        """All that was noted; the sources are known by name only."""
        cell_rows = {origin.name: origin.cell_rows for origin in self.origins}
        return Ledger(
            {
                name: Source(
                    tuple(sorted(ranges)),
                    n_columns,
                    cell_rows[name],
                    cells={cell: (x, t) for cell, (x, t) in self._cells[name].items()},
                )
                for name, ranges in self._ranges.items()
            },
            self.n_unknown,
        )
