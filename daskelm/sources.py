"""Tables in HDF5 files as sources of a ledger: recognised by their content, checked, and noted while they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xxhash

from .exceptions import DataError
from .hdf5 import Hdf5Rows, Part, some
from .inputs import Source as Data
from .inputs import take_runs
from .ledger import Ledger, Source, SourceIndex
from .targets import Targets

__all__ = ["Notes", "Origin", "Table", "origins_of"]

# A source is known by its first rows and by some sixteen rows at multiples of a power of two, which stay where they
# are when rows are appended.
_FIRST_ROWS, _SPREAD_ROWS = 8, 16
# Bytes of X (as float64) that one digest stands for.
_PIECE_BYTES = 4 * 2**20
# Bytes of X that are read again, in all, to see whether rows that are counted still read the same.
_CHECK_BYTES = 64 * 2**20


_NOTHING = Source(())


@dataclass(frozen=True)
class Origin:
    """Rows [start, stop) of X are the rows from `first` on of the source with this name, of which some are counted."""

    start: int
    stop: int
    first: int
    name: str
    source: Source
    counted: Source = _NOTHING

    @property
    def shift(self) -> int:
        """What to add to a row number in X."""
        return self.first - self.start

    def cut(self, start: int, stop: int) -> Origin:
        """The part of it in rows [start, stop) of X."""
        low = min(max(self.start, start), self.stop)
        return replace(self, start=low, stop=max(low, min(self.stop, stop)), first=low + self.shift)

    def missing(self) -> list[tuple[int, int]]:
        """Ranges of rows of X here that are not counted."""
        rows = self.counted.missing(self.first, self.stop + self.shift)
        return [(a - self.shift, b - self.shift) for a, b in rows]


@dataclass(frozen=True)
class Table:
    """X in files, with what belongs to its rows."""

    X: Hdf5Rows
    y: Data
    weights: Data | None
    targets: Targets

    def digests(
        self, part: Part, origin: Origin, pieces: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[int, int | None]]:
        """What pieces of a part of X read, and their targets and weights where those are here.

        `pieces` are ranges of rows of the part, sorted, which do not overlap; what is adjacent is read at once.
        """
        with self.X.of_part(part).open() as reader:
            for run in _runs(pieces, piece_rows(self.X.n_columns)):
                start, stop = run[0][0], run[-1][1]
                block = reader.read(start, stop)
                # Targets are known of the rows that are in X.
                low, high = max(start - origin.shift, origin.start), min(stop - origin.shift, origin.stop)
                content, given = self._targets(low, max(low, high))
                for a, b in run:
                    x, first = block[a - start : b - start], a - origin.shift
                    inside = low <= first and b - origin.shift <= high
                    rows = slice(first - low, b - origin.shift - low) if inside else slice(0)
                    piece = _Piece(origin, a)
                    piece.add(x, content[rows], None if given is None else given[rows])
                    of_x, of_t = piece.digests()
                    yield of_x, of_t if inside else None

    def _targets(self, first, last):
        (labels,) = take_runs(self.y, [(first, last)])
        given = None if self.weights is None else take_runs(self.weights, [(first, last)])[0].reshape(-1)
        return self.targets.content(labels), given


def _runs(pieces, most_rows) -> Iterator[list[tuple[int, int]]]:
    """Groups of adjacent pieces of no more than `most_rows` rows."""
    run: list[tuple[int, int]] = []
    for start, stop in pieces:
        if run and (start != run[-1][1] or stop - run[0][0] > most_rows):
            yield run
            run = []
        run.append((start, stop))
    if run:
        yield run


def origins_of(table: Table, ledger: Ledger | None = None) -> tuple[Origin, ...]:
    """Where the rows of X come from, by content; what the ledger knows has its name there.

    A table is the known one if most of a few rows read the same, and then all rows that are counted, of which at most
    64 MiB or one piece per file are read again. If those read otherwise, the path decides: at the same place the table
    was changed, elsewhere it is another one that looks alike.

    Raises
    ------
    DataError
        Rows that are counted read otherwise now, or rows occur twice among the files.
    """
    ledger = Ledger() if ledger is None else ledger
    index = SourceIndex(ledger)
    X = table.X
    places = X.ranges()
    share = _CHECK_BYTES // max(len(places), 1)
    out: list[Origin] = []
    copies = _Copies(table)
    start = 0
    for part, first, last in places:
        path = f"{part.path}:{part.dataset}"
        source = Source((), X.n_columns, _anchors(X.of_part(part), part.n_rows), paths=frozenset([path]))
        origin = Origin(start, start + last - first, first, "", source)
        known = [
            name for name in index.similar(source) if _reads_the_same(table, part, origin, ledger.sources[name], share)
        ]
        # One table that was counted by way of two mounts may be there under two names.
        counted = Source(tuple(rows for name in known for rows in ledger.sources[name].ranges))
        counted = Ledger({"": counted}).sources.get("", counted)
        if known:
            anchors = {**ledger.sources[known[0]].anchors, **source.anchors}
            origin = replace(origin, name=known[0], source=replace(source, anchors=anchors), counted=counted)
        else:
            origin = replace(origin, name=_name(source))
            if copied := copies.name_of(part, origin):
                origin = replace(origin, name=copied)
        out.append(origin)
        start += last - first
    _refuse_twice(X, out)
    return tuple(out)


def _reads_the_same(table, part, origin, known, share) -> bool:
    pieces = sorted(key for key in known.pieces if key[1] <= part.n_rows)
    if not pieces:
        # Those were forgotten when some of their rows were taken away.
        counted = known.counted_anchors()
        return (counted if counted.anchors else known).likeness(origin.source.anchors) == 1
    row_bytes = 8 * table.X.n_columns
    most = len(pieces)
    if (pieces[-1][1] - pieces[0][0]) * row_bytes > share:
        most = max(1, share // max((stop - start) * row_bytes for start, stop in pieces))
    chosen = [pieces[i] for i in sorted({round(i) for i in np.linspace(0, len(pieces) - 1, min(most, len(pieces)))})]
    for piece, (now_x, now_t) in zip(chosen, table.digests(part, origin, chosen), strict=True):
        x, t = known.pieces[piece]
        if now_x == x and now_t in (t, None):
            continue
        if not known.paths & origin.source.paths:
            return False
        what = "they" if now_x != x else "their targets or weights"
        raise DataError(
            f"X: rows {piece[0]} to {piece[1] - 1} of {part.path} are counted in the sums already, but {what} read "
            "otherwise now: the file was changed, or y or sample_weight are others. Take these rows away with the data "
            "that they were added from (remove, or a - b), or begin a new sums file."
        )
    return True


class _Copies:
    """Finds files that are given twice, or are copies of each other."""

    def __init__(self, table: Table):
        self.table = table
        self._seen: dict[tuple, list[tuple[Part, Origin]]] = {}
        self._digests: dict[tuple, tuple] = {}

    def name_of(self, part: Part, origin: Origin) -> str | None:
        """Name of an earlier file that holds the same rows; None if there is none."""
        seen = self._seen.setdefault((part.n_rows, *sorted(origin.source.anchors.items())), [])
        for other_part, other in seen:
            if other.source.paths == origin.source.paths or self._ends(part, origin) == self._ends(other_part, other):
                return other.name
        seen.append((part, origin))
        return None

    def _ends(self, part, origin):
        """Which rows there are, and what the first and the last of them read."""
        first, last = origin.first, origin.stop + origin.shift
        if (origin.name, first) not in self._digests:
            step = piece_rows(self.table.X.n_columns)
            ends = {(first, min((first // step + 1) * step, last)), (max((last - 1) // step * step, first), last)}
            self._digests[origin.name, first] = (first, last, *self.table.digests(part, origin, sorted(ends)))
        return self._digests[origin.name, first]


def _refuse_twice(X, origins):
    rows: dict[str, list[tuple[int, int]]] = {}
    for origin in origins:
        rows.setdefault(origin.name, []).append((origin.first, origin.first + origin.stop - origin.start))
    twice = sum(origin.stop - origin.start for origin in origins) - Ledger(rows).n_rows
    if twice:
        raise DataError(
            f"X: every row must count once; got {twice} rows twice, since files among {some(X.paths)} hold the same "
            "rows. Name each file once."
        )


def _name(source):
    text = f"{source.n_columns} {sorted(source.anchors.items())} {sorted(source.paths)}"
    return xxhash.xxh3_128_hexdigest(text.encode())


def _anchors(X, n_rows) -> dict[int, int]:
    step = 1
    while step * _SPREAD_ROWS < n_rows:
        step *= 2
    head = min(_FIRST_ROWS, n_rows)
    with X.open() as reader:
        anchors = dict(enumerate(map(_row_digest, reader.read(0, head))))
        for row in range(0, n_rows, step):
            if row >= head:
                anchors[row] = _row_digest(reader.read(row, row + 1)[0])
    return anchors


def _row_digest(row):
    # In single precision, so that a table is known again when it was written anew in another precision.
    with np.errstate(over="ignore"):
        return xxhash.xxh3_64_intdigest(_bytes(row, np.float32))


def _bytes(array, dtype=None) -> memoryview:
    return np.ascontiguousarray(array, dtype).reshape(-1).view(np.uint8).data


def piece_rows(n_columns: int) -> int:
    """Rows that one digest stands for, at most: a power of two, and pieces end at its multiples."""
    return 2 ** max(int(np.log2(_PIECE_BYTES / (8 * n_columns))), 0)


class Notes:
    """Notes what the rows read while they are counted.

    Parameters
    ----------
    origins : sequence of Origin
        Where rows of X come from; rows that come from nowhere among them are unknown.
    """

    def __init__(self, origins: Sequence[Origin]):
        self.origins = origins
        self.pieces: dict[str, dict[tuple[int, int], tuple[int, int]]] = {}
        self.n_unknown = 0
        self._open: _Piece | None = None

    def add(self, start: int, X: np.ndarray, content: np.ndarray, weights: np.ndarray | None) -> None:
        """Note rows start, start + 1, ... of X (rows, n_features), their targets (rows, ...) and weights (rows,)."""
        known = 0
        for origin in self.origins:
            here = origin.cut(start, start + len(X))
            row, stop = here.first, here.first + here.stop - here.start
            step = piece_rows(X.shape[1])
            while row < stop:
                end = min((row // step + 1) * step, stop)
                rows = slice(row - here.shift - start, end - here.shift - start)
                if self._open is None or (self._open.origin.name, self._open.stop) != (origin.name, row):
                    self._close()
                    self._open = _Piece(origin, row)
                self._open.add(X[rows], content[rows], None if weights is None else weights[rows])
                known += end - row
                row = end
                if row % step == 0:
                    self._close()
        self.n_unknown += len(X) - known

    def _close(self):
        if self._open is not None:
            self.pieces.setdefault(self._open.origin.name, {})[self._open.start, self._open.stop] = self._open.digests()
            self._open = None

    def ledger(self) -> Ledger:
        """All that was noted."""
        self._close()
        sources = {origin.name: origin.source for origin in self.origins}
        return Ledger(
            {
                name: replace(sources[name], ranges=tuple(sorted(pieces)), pieces=pieces)
                for name, pieces in self.pieces.items()
            },
            self.n_unknown,
        )


class _Piece:
    def __init__(self, origin, start):
        self.origin, self.start, self.stop = origin, start, start
        self._x, self._t, self._w = xxhash.xxh3_64(), xxhash.xxh3_64(), xxhash.xxh3_64()

    def add(self, X, content, weights):
        self._x.update(_bytes(X, np.float64))
        self._t.update(_bytes(content))
        if weights is not None:
            self._w.update(_bytes(weights, np.float64))
        self.stop += len(X)

    def digests(self):
        of_targets = xxhash.xxh3_64_intdigest(self._t.digest() + self._w.digest())
        return self._x.intdigest(), of_targets
