"""Tables in HDF5 files as sources of a ledger: recognised by their content, checked, and noted while they are read."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..data.inputs import Source as Data
from ..data.inputs import n_columns, take_runs
from ..data.targets import Targets
from ..exceptions import AlikeTablesWarning, DataError, FileMissingError
from ..hdf5.dataset import Part
from ..hdf5.paths import place_of
from ..hdf5.rows import Hdf5Rows
from ..lazy import da
from .copies import Copies, called, name_of, refuse_twice
from .digests import row_digests, sum_digests
from .ledger import Ledger, SourceIndex
from .readings import Reading, read_around, read_counted
from .row_cells import (
    cell_of,
    common_rows,
    piece_of,
    rows_within,
)
from .row_source import Source

__all__ = ["Origin", "Provenance", "Table", "digests_of_T", "digests_of_X", "provenance_of"]

# A source is found by its rows 0, 1, 2, 3, 4, 6, 8, 12 to 64, 128, 256 and so on, and by some eight rows at multiples
# of a power of two, which all stay where they are when rows are appended.
_SPREAD_ROWS = 8
_FIRST_ROWS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
# Bytes of X, targets and weights in a cell, as 8-byte numbers.
_CELL_BYTES = 4 * 2**20
# Bytes that are read again, in all, to see whether rows that are counted still read the same.
_CHECK_BYTES = 64 * 2**20
# Ranges of counted rows of a source, at whose ends whole pieces are read.
_MOST_RANGES = 32
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
        known = self._known_targets(origin)
        with self.X.of_part(part).open() as reader:
            for run in _runs(ranges, self.cell_rows):
                start, stop = run[0][0], run[-1][1]
                block = reader.read(start, stop)
                low, high = max(start, known[0]), min(stop, known[1])
                x = digests_of_X(start, block)
                t = self._digests_of_T(origin, low, high) if low < high else None
                for a, b in run:
                    of_t = None
                    if t is not None and low <= a and b <= high:
                        of_t = sum_digests(t[a - low : b - low])
                    yield sum_digests(x[a - start : b - start]), of_t

    def parallel(self) -> list[Hdf5Rows]:
        """X, targets and weights as whole files, where they are the same rows of one file each; else nothing."""
        data = [self.X, self.y] if self.weights is None else [self.X, self.y, self.weights]
        rows = [d for d in data if isinstance(d, Hdf5Rows) and len(d.parts) == 1 and d.start == self.X.start]
        return [d.of_part(d.parts[0]) for d in rows] if len(rows) == len(data) else []

    def _known_targets(self, origin) -> tuple[int, int]:
        """Rows of a part whose targets and weights are known: those in X, and the others where files have them."""
        whole = self.parallel()
        return (0, min(d.n_rows for d in whole)) if whole else origin.rows

    def _digests_of_T(self, origin, first, last):
        y, weights, rows = self.y, self.weights, (first - origin.shift, last - origin.shift)
        if whole := self.parallel():
            y, weights, rows = whole[1], whole[2] if whole[2:] else None, (first, last)
        (labels,), *given = take_runs([rows], y=y, sample_weight=weights)
        return digests_of_T(first, self.targets.content(labels), given[0][0].reshape(-1) if given else None)


def digests_of_X(first: int | np.ndarray, X: np.ndarray) -> np.ndarray:
    """Digests (rows,) of rows of X, of which `first` is the number of the first, or the numbers of all."""
    return row_digests(first, np.asarray(X, np.float64))


def digests_of_T(first: int | np.ndarray, content: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Digests (rows,) of what targets say, and of the weights, in the same way."""
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


@dataclass(frozen=True)
class Provenance:
    """Where all rows of X come from, and by what those sources are found again, by name.

    `table` and its `parts`, one for each of the origins, are read for what is known of rows that are not counted.
    """

    origins: tuple[Origin, ...] = ()
    sources: Mapping[str, Source] = field(default_factory=dict)
    table: Table | None = None
    parts: tuple[Part, ...] = ()

    def describe(self, ledger: Ledger) -> Ledger:
        """A ledger of some of these rows, with all that its sources are found by and compared by."""
        sources = dict(self.sources)
        for part, origin in zip(self.parts, self.origins, strict=True):
            if (counted := ledger.sources.get(origin.name)) is not None and self.table is not None:
                pieces = _pieces_around(self.table, part, origin, counted)
                known = sources[origin.name]
                sources[origin.name] = replace(known, pieces={**known.pieces, **pieces})
        return ledger.described(sources)


def _pieces_around(table: Table, part: Part, origin: Origin, counted: Source) -> dict[int, tuple[int, int]]:
    """Digests of whole pieces at both ends of each range of counted rows, and before it, if the data are at hand.

    By them, rows of a piece that is counted in part are compared with other rows of it; and where a file ends within
    a piece, and goes on there later, by the one before.
    """
    if isinstance(table.y, da.Array) or isinstance(table.weights, da.Array):
        # To read a few more rows of them could take as long as to compute them all.
        return {}
    # Rows that nobody wrote yet are not read.
    holes = [hole for data in _files_of(table, part) for hole in data.holes]
    found = set()
    for start, stop in counted.ranges[:_MOST_RANGES]:
        before = piece_of(start, table.cell_rows)[2] - 1
        for row in {max(before, 0), start, stop - 1}:
            _, _, low, high = piece_of(row, table.cell_rows)
            there = high <= part.n_rows and not any(first < high and low < last for first, last in holes)
            if there and rows_within(counted.ranges, low, high) != ((low, high),):
                found.add((low, high))
    pieces = sorted(found)
    try:
        digests = list(table.digests(part, origin, pieces))
    except (DataError, FileMissingError):
        # A label that is none, say, in rows that nobody asked for; or the file is gone by now, and what was summed
        # before must be kept all the same.
        return {}
    return {low: (x % 2**32, t % 2**32) for (low, _), (x, t) in zip(pieces, digests, strict=True) if t is not None}


def provenance_of(table: Table, ledger: Ledger | None = None, edges: Sequence[int] = ()) -> Provenance:
    """Where the rows of X come from, by content; sources that the ledger knows have their names there.

    `edges` are row numbers of X, of which the cells are read again in any case.

    A table is a known one if at least half of a few rows read the same, and then all rows that are counted, of which
    64 MiB or one cell per file are read again. If those read otherwise, the path decides: at the same place the
    table was changed, elsewhere it is another one that looks alike, and there is a warning. Elsewhere it is another
    one, too, if any of the few rows read otherwise, counted or not. At the same place it is the known one, too, if all
    rows that are counted read the same, though the few do not: of a file that is being filled they may be new.

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
    copies = Copies(table)
    alike: list[tuple[str, str]] = []
    groups: list[str] = []
    start = 0
    for part, first, last in places:
        path = f"{place_of(part.path)}:{part.dataset}"
        anchors = _anchors(table.X.of_part(part), part.n_rows)
        source = Source((), table.X.n_columns, table.cell_rows, anchors, paths=frozenset([path]))
        origin = Origin(start, start + last - first, first, "", table.cell_rows)
        similar = index.similar(source)
        known, unlike = [], []
        for name in similar:
            cells = _cells_to_read(table, part, origin, ledger.sources[name], share, edges)
            reading = read_counted(table, part, origin, ledger.sources[name], cells)
            verdict = _reads_the_same(table, part, origin, source, ledger.sources[name], reading)
            if verdict:
                known.append(name)
            elif verdict is False:
                unlike.append((name, reading.in_part))
        for name in (at_place := [name for name in index.at_place(source) if name not in similar]):
            here = share // len(index.at_place(source))
            reading = _read_in_place(table, part, origin, ledger.sources[name], here, edges)
            if reading.equal and not reading.differs:
                known.append(name)
            elif reading.differs:
                unlike.append((name, True))
        group = copies.find(part, origin, source, bool(known))
        if known:
            # One table that was counted by way of two mounts may be there under two names.
            rows = Ledger({"": [rows for name in known for rows in ledger.sources[name].ranges]})
            name, counted = known[0], rows.sources[""]
        elif group in groups:
            name, counted = origins[groups.index(group)].name, origins[groups.index(group)].counted
        else:
            name, counted = name_of(source, ledger.sources), _NOTHING
        # Of a table that is known this was told before, unless the other one counts rows that are to be added now.
        new = counted.missing(0, part.n_rows)
        told = [
            other
            for other, in_part in unlike
            if not known or (in_part and common_rows(ledger.sources[other].ranges, new))
        ]
        alike += [(path, called(ledger.sources[other])) for other in told[:1]]
        groups.append(group)
        origins.append(replace(origin, name=name, counted=counted))
        others = frozenset(similar + at_place).difference(known)
        sources[name] = replace(source, same=frozenset(known), others=others)
        start += last - first
    refuse_twice(table.X, origins, groups)
    _warn_of_alike(alike + copies.alike)
    return Provenance(tuple(origins), sources, table, tuple(part for part, _, _ in places))


def _where(path, other):
    if path == other:
        return f"{path} reads otherwise than when its rows were added"
    return f"{path} looks like {other}, but reads otherwise"


def _warn_of_alike(pairs):
    if pairs:
        path, other = pairs[0]
        more = f" So it is with {len(pairs) - 1} more." if pairs[1:] else ""
        warnings.warn(
            f"X: {_where(path, other)}, so its rows count as those of another table.{more} If "
            "the one is a copy of the other that was changed (written anew in another precision, say, or with other "
            "targets), their rows are in the sums twice now: take one of the two out again, with remove or a - b. If "
            "they are two tables that look alike, all is well.",
            AlikeTablesWarning,
            stacklevel=2,
        )


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


def _read_in_place(table, part, origin, known, share, edges) -> Reading:
    """Counted rows of a table at the same path, read again where its anchors read otherwise; nothing of another one."""
    # What was counted was written, and is a number or a label.
    if not any(common_rows(known.ranges, data.holes) for data in _files_of(table, part)):
        with contextlib.suppress(DataError):
            return read_counted(table, part, origin, known, _cells_to_read(table, part, origin, known, share, edges))
    return Reading((), (), (), compared=False)


def _files_of(table, part) -> list[Part]:
    """The parts that hold rows of a part of X, and their targets and weights where those are whole files."""
    return [part, *(data.parts[0] for data in table.parallel())]


def _reads_the_same(table, part, origin, source, known, reading: Reading) -> bool | None:
    """Whether a table is a known one; None where both count none of the same rows."""
    if known.cell_rows != table.cell_rows:
        return None
    same_place, compared = bool(known.paths & source.paths), reading.compared
    if reading.differs and same_place:
        raise DataError(_has_changed(part, reading))
    if reading.differs:
        return False
    if same_place:
        return True
    if max(known.likeness(source.anchors), source.likeness(known.anchors)) < 1:
        return False if compared or common_rows(known.ranges, (origin.rows,)) else None
    if not compared and (around := read_around(table, part, origin, known)) is not None:
        compared = True
        if not around:
            return False
    if compared:
        return True
    if not common_rows(known.ranges, (origin.rows,)):
        return None
    raise DataError(
        f"X: {part.path} begins like {called(known)}, whose rows are counted in the sums already, but too few of the "
        "rows given here are counted there to tell whether it is the same table. "
        + (
            "Take the rows of the other file out of the sums, and add them again with the whole table, and the rows "
            "by `rows=`."
            if origin.rows == (0, part.n_rows)
            else "Give the whole table, and the rows by `rows=`."
        )
    )


def _has_changed(part, reading):
    rows = reading.differs
    first = " and ".join(f"{a} to {b - 1}" for a, b in rows[:2]) + (" and others" if rows[2:] else "")
    return (
        f"X: {part.path} has changed since its rows were added: "
        f"{'they' if reading.x_differs else 'their targets or weights'} read otherwise now, somewhere among rows "
        f"{first}. Nothing was added. Take its rows out of the sums with the data that they were added from (remove, "
        "or a - b), or begin a new sums file. With a sums file for each data file, and merge, only that of this one "
        "would have to be made anew."
    )


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
    # In single precision, and without signs of zeros, so that a table is found when it was written anew in another
    # precision or way; and without the row's number, so that rows that occur often are seen to.
    with np.errstate(over="ignore"):
        single = np.stack(rows).astype(np.float32).astype(np.float64) + 0.0
    return {number: int(row_digests(0, row[None])[0]) for number, row in zip(numbers, single, strict=True)}
