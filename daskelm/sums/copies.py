"""Files that are given twice in one call, or are copies of each other, also where one was appended to."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Container, Iterator, Sequence

from ..exceptions import DataError
from ..hdf5.rows import some
from .counted_table import CountedTable
from .ledger import Ledger
from .row_cells import cell_of

__all__ = ["Copies", "called", "name_of", "refuse_twice"]


class Copies:
    """Finds files that are given twice, or are copies of each other.

    Parameters
    ----------
    table : Table
        X with its targets and weights.

    Attributes
    ----------
    alike : list of (str, str)
        Paths of files that look like an earlier one, and of that one, whose rows read otherwise.
    """

    def __init__(self, table):
        self.table = table
        self.alike: list[tuple[str, str]] = []
        self._seen: dict[tuple, list[tuple]] = {}
        self._samples: dict[tuple, dict] = {}

    def find(self, part, origin, source: CountedTable, known: bool) -> str:
        """One name for all files that hold the same rows, or begin with them; `known` are those of an earlier call."""
        keys = list(_beginnings(source))
        # The shorter one of two is found among the beginnings of the longer one.
        earlier = [self._seen.get(key, []) for key in [(False, keys[-1]), *((True, key) for key in keys)]]
        name = name_of(source, ())
        for other_part, other, other_source, other_name in itertools.chain.from_iterable(earlier):
            if other_source.paths == source.paths or self._are_the_same(
                (part, origin, source), (other_part, other, other_source)
            ):
                name = other_name
                break
        else:
            if not known:
                self.alike += [(called(source), called(found[0][2])) for found in earlier if found][:1]
        for key in [(True, keys[-1]), *((False, key) for key in keys)]:
            self._seen.setdefault(key, []).append((part, origin, source, name))
        return name

    def _are_the_same(self, one, two) -> bool:
        a, b = self._sample(*one), self._sample(*two)
        # Most tables that look alike differ in the first cell, and there may be thousands.
        if any(rows in b and b[rows] != digests for rows, digests in a.items()) or a.keys().isdisjoint(b.keys()):
            return False
        return max(one[2].likeness(two[2].anchors), two[2].likeness(one[2].anchors)) == 1

    def _sample(self, part, origin, source) -> dict:
        """What the cells read that anchors are in, by their rows."""
        key = part.path, part.dataset, origin.first
        if key not in self._samples:
            first, last = origin.rows
            cells = {cell_of(row, source.cell_rows) for row in source.anchors}
            rows = sorted((max(a, first), min(b, last)) for a, b in cells if a < last and first < b)
            self._samples[key] = dict(zip(rows, self.table.digests(part, origin, rows), strict=True))
        return self._samples[key]


def _beginnings(source: CountedTable) -> Iterator[tuple]:
    """Keys of the table's first rows, up to each power of two: those of a table are also those of a longer one."""
    digests, anchors = [], sorted(source.anchors.items())
    for row, digest in anchors:
        # The others among the anchors are not the same for tables of different lengths.
        third = row // 3 if row < 64 and row % 3 == 0 else row
        if row & (row - 1) == 0 or third & (third - 1) == 0:
            digests.append(digest)
            yield source.n_columns, row, hash(tuple(digests))
    if not digests:
        # Of a file that is being filled, none of these rows may be there yet.
        yield source.n_columns, anchors[-1][0], hash(tuple(digest for _, digest in anchors))


def refuse_twice(X, origins: Sequence, names: Sequence[str]) -> None:
    """Refuse rows that are among the files several times; files that hold the same rows have one of the names."""
    rows: dict[str, list[tuple[int, int]]] = {}
    for origin, name in zip(origins, names, strict=True):
        rows.setdefault(name, []).append(origin.rows)
    twice = sum(origin.stop - origin.start for origin in origins) - Ledger(rows).n_rows
    if twice:
        raise DataError(
            f"X: every row must count once; got {twice} rows twice, since files among {some(X.paths)} hold the same "
            "rows. Name each file once."
        )


def called(source: CountedTable) -> str:
    """Where a table was read, for messages."""
    return ", ".join(sorted(source.paths)) or "a table whose path is not known"


def name_of(source: CountedTable, taken: Container[str]) -> str:
    """A name that is not taken: this source is none of those."""
    text = f"{source.n_columns} {sorted(source.anchors.items())} {sorted(source.paths)}"
    name = hashlib.sha256(text.encode()).hexdigest()[:32]
    while name in taken:
        name = hashlib.sha256(name.encode()).hexdigest()[:32]
    return name
