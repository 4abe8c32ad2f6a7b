"""Provenance of rows: which table of a ledger a file is, by its content, and which of its rows are counted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..data.source import Source, files_of, n_columns, source_of, take_runs
from ..data.targets import Targets
from ..exceptions import DataError, FileMissingError
from ..hdf5.dataset import Part
from ..hdf5.file_rows import FileRows
from ..sparse import SparseRows, joined
from .copies import Copies, called, name_of, refuse_twice, warn_of_look_alikes
from .counted_table import CountedTable
from .digests import row_digests, sum_digests
from .ledger import Ledger
from .readings import Reading, read_around, read_counted
from .row_cells import cell_of, common_rows, piece_of, rows_within
from .target_places import name_in_place, other_target, refused_target, warn_of_other_targets

__all__ = ["Origin", "Provenance", "Table", "digests_of_T", "digests_of_X", "provenance_of"]

# Anchors, the rows that a table is recognised by: 0, 1, 2, 3, 4, 6, 8, 12 to 64, 128, 256 and so on, and about eight at
# multiples of a power of two. Their numbers stay the same when rows are appended.
_SPREAD_ROWS = 8
_FIRST_ROWS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
# Bytes of X, targets and weights in a cell, at 8 bytes a number.
_CELL_BYTES = 4 * 2**20
# Most columns that a row of a sparse table counts for there.
_SPARSE_COLUMNS = 512
# Bytes that are read again in total, to check that counted rows have not changed.
_CHECK_BYTES = 64 * 2**20
# Largest number of ranges of counted rows at whose ends whole pieces are read.
_MOST_RANGES = 32
_NO_ROWS = CountedTable(())


@dataclass(frozen=True)
class Origin:
    """Where a range of rows of X comes from: a table of the ledger.

    start, stop : int, rows [start, stop) of X
    first : int, row of the table that `start` is
    name : str, name of the table in the ledger
    cell_rows : int, rows per cell of the table
    counted : CountedTable, rows of the table that the ledger counts already
    """

    start: int
    stop: int
    first: int
    name: str
    cell_rows: int
    counted: CountedTable = _NO_ROWS

    @property
    def shift(self) -> int:
        """Row number in the table minus row number in X."""
        return self.first - self.start

    @property
    def rows(self) -> tuple[int, int]:
        """The range of rows of the table."""
        return self.first, self.stop + self.shift

    def cut(self, start: int, stop: int) -> Origin:
        """The part of the origin in rows [start, stop) of X."""
        low = min(max(self.start, start), self.stop)
        return replace(self, start=low, stop=max(low, min(self.stop, stop)), first=low + self.shift)

    def missing(self) -> list[tuple[int, int]]:
        """Ranges of rows of X that are not counted yet."""
        return [(a - self.shift, b - self.shift) for a, b in self.counted.missing(*self.rows)]


@dataclass(frozen=True)
class Table:
    """X, rows of files, with what belongs to them; where X is in no file, nothing is known of its rows."""

    X: Any
    y: Source
    weights: Source | None
    targets: Targets

    @property
    def cell_rows(self) -> int:
        """Rows per cell, a power of two."""
        # Rows of a sparse table have other lengths when it grows, and cells must stay.
        columns = min(self.X.n_columns, _SPARSE_COLUMNS) if self.X.is_sparse else self.X.n_columns
        numbers = columns + n_columns(self.y) + 1
        return 2 ** max(int(np.log2(_CELL_BYTES / (8 * numbers))), 0)

    def target_places(self, start: int, stop: int) -> frozenset[str]:
        """Paths, datasets and columns that the targets of rows [start, stop) of X are read from; none in memory."""
        if (files := source_of(self.y).files) is None:
            return frozenset()
        return frozenset(files.called(part) for part, _, _ in files.between(start, stop).ranges())

    def digests(
        self, part: Part, origin: Origin, ranges: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[int, int | None]]:
        """Summed digests of ranges of rows of a part: of X, and of targets and weights (None where not available)."""
        known = self._known_targets(origin)
        with self.X.of_part(part).open() as reader:
            for run in _joined_reads(ranges, self.cell_rows):
                start, stop = run[0][0], run[-1][1]
                block = reader.read(start, stop)
                low, high = max(start, known[0]), min(stop, known[1])
                x = digests_of_X(start, block)
                t = self._digests_of_T(origin, low, high) if low < high else None
                for a, b in run:
                    of_t = sum_digests(t[a - low : b - low]) if t is not None and low <= a and b <= high else None
                    yield sum_digests(x[a - start : b - start]), of_t

    def parallel(self) -> list[FileRows]:
        """X, targets and weights as whole files, if each is the same rows of one file; else an empty list."""
        data = [self.X, self.y] if self.weights is None else [self.X, self.y, self.weights]
        rows = [d for d in files_of(*data) if len(d.parts) == 1 and d.start == self.X.start]
        return [d.of_part(d.parts[0]) for d in rows] if len(rows) == len(data) else []

    def _known_targets(self, origin) -> tuple[int, int]:
        """Range of rows of a part that have targets and weights: those in X, and all others if files have them."""
        whole = self.parallel()
        return (0, min(d.n_rows for d in whole)) if whole else origin.rows

    def _digests_of_T(self, origin, first, last):
        y, weights, rows = self.y, self.weights, (first - origin.shift, last - origin.shift)
        if whole := self.parallel():
            y, weights, rows = whole[1], whole[2] if whole[2:] else None, (first, last)
        (labels,), *given = take_runs([rows], y=y, sample_weight=weights)
        return digests_of_T(first, self.targets.content(labels), given[0][0].reshape(-1) if given else None)


def digests_of_X(first: int | np.ndarray, X: np.ndarray) -> np.ndarray:
    """Digests (rows,) of rows of X; `first` is the number of the first row, or an array of all numbers."""
    return row_digests(first, X if isinstance(X, SparseRows) else np.asarray(X, np.float64))


def digests_of_T(first: int | np.ndarray, content: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Digests (rows,) of the content of targets, and of weights; `first` as for X."""
    content = content.reshape(len(content), -1)
    if weights is None:
        return row_digests(first, content)
    columns = [content.view(np.uint64), np.asarray(weights, np.float64)[:, None].view(np.uint64)]
    return row_digests(first, np.concatenate(columns, axis=1))


def _joined_reads(ranges, most_rows) -> Iterator[list[tuple[int, int]]]:
    """Groups of adjacent ranges, of at most `most_rows` rows each, that are read together."""
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
    """Where all rows of X come from.

    origins : tuple of Origin, origin of each range of rows, in order
    sources : dict of str to CountedTable, anchors and paths of the tables, by name, without counted rows
    table : Table, optional, data to read the digests of further rows from
    parts : tuple of Part, file of each origin
    """

    origins: tuple[Origin, ...] = ()
    sources: Mapping[str, CountedTable] = field(default_factory=dict)
    table: Table | None = None
    parts: tuple[Part, ...] = ()

    def describe(self, ledger: Ledger) -> Ledger:
        """The ledger of some of these rows, completed by what its tables are recognised and compared by."""
        sources = dict(self.sources)
        for part, origin in zip(self.parts, self.origins, strict=True):
            if (counted := ledger.sources.get(origin.name)) is not None and self.table is not None:
                pieces = _pieces_around(self.table, part, origin, counted)
                known = sources[origin.name]
                sources[origin.name] = replace(known, pieces={**known.pieces, **pieces})
        return ledger.described(sources)


def _pieces_around(table: Table, part: Part, origin: Origin, counted: CountedTable) -> dict[int, tuple[int, int]]:
    """Digests of whole pieces at both ends of each range of counted rows and before it, if they can be read cheaply.

    They allow comparing a piece that is counted in part with other rows of it. Where a file ends within a piece and
    grows later, the piece before is compared.
    """
    if not all(source_of(data).random_access for data in (table.y, table.weights)):
        # Reading a few more rows of a dask array could take as long as computing all of it.
        return {}
    # Rows that were never written are not read.
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
        # These rows were not asked for, so that an invalid label among them is no error; and if the file is gone, the
        # sums made of it must be kept all the same.
        return {}
    return {low: (x % 2**32, t % 2**32) for (low, _), (x, t) in zip(pieces, digests, strict=True) if t is not None}


def provenance_of(table: Table, ledger: Ledger | None = None, edges: Sequence[int] = ()) -> Provenance:
    """Provenance of the rows of X, by content; tables that the ledger knows keep their names.

    Cells that contain the row numbers `edges` of X are always read again. Rows in no file have an empty provenance.

    A table is recognised if at least half of its anchors agree, and so do all counted rows that are read again (64 MiB
    in total, or one cell per file). If counted rows differ, the path decides: at the same path, the table has changed;
    at another path, it is another table that looks alike, with a warning. At another path, one anchor that differs,
    counted or not, is enough to make it another table. At the same path, a table whose anchors differ is recognised
    if all counted rows agree: anchors of a file that is still being filled may be new.

    Raises
    ------
    DataError
        Counted rows have changed, or rows occur twice among the files.
    """
    if not files_of(table.X):
        return Provenance()
    ledger = Ledger() if ledger is None else ledger
    index = ledger.index
    places = table.X.ranges()
    share = _CHECK_BYTES // max(len(places), 1)
    origins: list[Origin] = []
    sources: dict[str, CountedTable] = {}
    copies = Copies(table)
    alike: list[tuple[str, str]] = []
    # One place for each name is enough to compare with.
    all_targets = frozenset({name_in_place(place): place for place in ledger.sources.places("targets")}.values())
    unsure: list[tuple[str, frozenset[str], frozenset[str]]] = []
    groups: list[str] = []
    start = 0
    for part, first, last in places:
        path = table.X.called(part)
        anchors = _anchors(table.X.of_part(part), part.n_rows)
        targets = table.target_places(start, start + last - first)
        source = CountedTable((), table.X.n_columns, table.cell_rows, anchors, paths=frozenset([path]), targets=targets)
        origin = Origin(start, start + last - first, first, "", table.cell_rows)
        similar = index.similar(source)
        known, unlike = [], []
        # The names of the targets are compared before their numbers, since these differ then.
        for name in similar:
            if path in ledger.sources[name].paths and other_target(ledger.sources[name].targets, targets):
                raise DataError(refused_target("y", path, ledger.sources[name].targets, targets))
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
        own = frozenset(place for name in known for place in ledger.sources[name].targets)
        if other_target(own, targets):
            raise DataError(refused_target("y", path, own, targets))
        moved = not any(path in ledger.sources[name].paths for name in known)
        if (not moved and own and targets and own.isdisjoint(targets)) or (
            not known and other_target(all_targets, targets)
        ):
            unsure.append((path, own or all_targets, targets))
        if known:
            # A table that was counted through two mounts may have two names.
            rows = Ledger({"": [rows for name in known for rows in ledger.sources[name].ranges]})
            name, counted = known[0], rows.sources[""]
        elif group in groups:
            name, counted = origins[groups.index(group)].name, origins[groups.index(group)].counted
        else:
            name, counted = name_of(source, ledger.sources), _NO_ROWS
        # For a known table this warning was given before, unless the look-alike counts rows that are added now.
        new = counted.missing(0, part.n_rows)
        look_alikes = [
            other
            for other, in_part in unlike
            if not known or (in_part and common_rows(ledger.sources[other].ranges, new))
        ]
        alike += [(path, called(ledger.sources[other])) for other in look_alikes[:1]]
        groups.append(group)
        origins.append(replace(origin, name=name, counted=counted))
        others = frozenset(similar + at_place).difference(known)
        sources[name] = replace(source, same=frozenset(known), others=others)
        start += last - first
    refuse_twice(table.X, origins, groups)
    warn_of_look_alikes(alike + copies.alike)
    warn_of_other_targets(unsure)
    return Provenance(tuple(origins), sources, table, tuple(part for part, _, _ in places))


def _cells_to_read(table, part, origin, known, share, edges):
    """(cell, counted rows) of cells to read again: all with counted rows, or some if they exceed `share` bytes."""
    cells = [(cell, rows) for cell in sorted(known.cells) if (rows := known.rows_in(cell))[-1][1] <= part.n_rows]
    row_bytes = 8 * (table.X.n_columns + n_columns(table.y) + 1)
    sizes = [row_bytes * sum(b - a for a, b in rows) for _, rows in cells]
    most = len(cells) if sum(sizes) <= share else max(1, int(share // max(sizes)))
    # The last cells are the largest; where few are read, the first ones would cover few rows.
    chosen = {round(i) for i in np.linspace(len(cells) - 1, 0, min(most, len(cells)))}
    at_edges = {cell_of(row + origin.shift, table.cell_rows)[0] for row in edges if origin.start <= row < origin.stop}
    return [item for i, item in enumerate(cells) if i in chosen or item[0] in at_edges]


def _read_in_place(table, part, origin, known, share, edges) -> Reading:
    """Counted rows of a table at the same path, read again because its anchors differ; empty if it is another table."""
    # Counted rows were written and valid: holes or invalid labels there mean another table.
    if not any(common_rows(known.ranges, data.holes) for data in _files_of(table, part)):
        with contextlib.suppress(DataError):
            return read_counted(table, part, origin, known, _cells_to_read(table, part, origin, known, share, edges))
    return Reading((), (), (), compared=False)


def _files_of(table, part) -> list[Part]:
    """The files of a part of X, and of its targets and weights where those are whole files."""
    return [part, *(data.parts[0] for data in table.parallel())]


def _reads_the_same(table, part, origin, source, known, reading: Reading) -> bool | None:
    """Whether a table is a known one; None if no rows can be compared."""
    if known.cell_rows != table.cell_rows:
        return None
    same_place, compared = bool(known.paths & source.paths), reading.compared
    if reading.differs and same_place:
        first = " and ".join(f"{a} to {b - 1}" for a, b in reading.differs[:2])
        more = " and others" if reading.differs[2:] else ""
        [(start, stop), *others] = reading.differs
        where = f"somewhere among rows {first}{more}" if others or stop - start > 1 else f"in row {start}"
        raise DataError(
            f"X: {part.path} has changed since its rows were added: "
            f"{'they' if reading.x_differs else 'their targets or weights'} read otherwise now, {where}. "
            "Nothing was added. Take its rows out of the sums with the data that they were added from "
            "(remove, or a - b), or begin a new sums file. With a sums file for each data file, and merge, only that "
            "of this one would have to be made anew."
        )
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


def _anchors(X, n_rows) -> dict[int, int]:
    step = 2 ** max(int(np.ceil(np.log2(n_rows / _SPREAD_ROWS))), 0)
    powers = [1 << power for power in range(6, n_rows.bit_length())]
    numbers = sorted({row for row in (*_FIRST_ROWS, *powers, *range(0, n_rows, step)) if row < n_rows})
    # A file that is being filled is recognised by the rows written so far.
    holes = [run for part in X.parts for run in part.holes]
    ends = [stop for _, stop in holes if stop < n_rows]
    numbers = [row for row in numbers if not any(start <= row < stop for start, stop in holes)] or ends[:1] or [0]
    # The first anchors are close together: read them at once.
    first = 0 if holes else min(_FIRST_ROWS[-1] + 1, n_rows)
    head, *others = X.read_runs([(0, first), *((row, row + 1) for row in numbers if row >= first)])
    rows = joined([head[[row for row in numbers if row < first]], *others])
    # Digests in single precision, without signs of zeros, recognise a table that was rewritten in another precision.
    # They leave out the row number, so that rows that occur often are detected.
    with np.errstate(over="ignore"):
        single = rows.astype(np.float32).astype(np.float64)
    single = single if isinstance(single, SparseRows) else single + 0.0
    return dict(zip(numbers, row_digests(np.zeros(len(numbers), np.int64), single).tolist(), strict=True))
