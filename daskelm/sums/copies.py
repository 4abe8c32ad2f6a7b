"""Duplicate files in one call: files given twice, or copies of each other, even where one was appended to."""

from __future__ import annotations

import hashlib
import itertools
import warnings
from collections.abc import Container, Iterator, Sequence

from ..exceptions import AlikeTablesWarning, DataError
from ..hdf5.file_rows import some
from .counted_table import CountedTable
from .ledger import Ledger
from .row_cells import cell_of

__all__ = ["Copies", "called", "name_of", "refuse_twice", "warn_of_look_alikes"]


class Copies:
    """Detects files that are given twice, or are copies of each other.

    Parameters
    ----------
    table : Table
        X with its targets and weights.

    Attributes
    ----------
    alike : list of (str, str)
        Path of a file that resembles an earlier one but has different rows, and path of that earlier one.
    """

    def __init__(self, table):
        self.table = table
        self.alike: list[tuple[str, str]] = []
        self._seen: dict[tuple, list[tuple]] = {}
        self._samples: dict[tuple, dict] = {}

    def find(self, part, origin, source: CountedTable, known: bool) -> str:
        """The name shared by all files with the same rows, or the same first rows; `known` if the ledger has them."""
        keys = list(_beginnings(source))
        # The shorter of two files is found among the beginnings of the longer one.
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
        # Comparing the cells read rules out most look-alikes cheaply; there may be thousands.
        if any(rows in b and b[rows] != digests for rows, digests in a.items()) or a.keys().isdisjoint(b.keys()):
            return False
        return max(one[2].likeness(two[2].anchors), two[2].likeness(one[2].anchors)) == 1

    def _sample(self, part, origin, source) -> dict:
        """Digests of the cells that contain anchors, by their rows."""
        key = part.path, part.dataset, origin.first
        if key not in self._samples:
            first, last = origin.rows
            cells = {cell_of(row, source.cell_rows) for row in source.anchors}
            rows = sorted((max(a, first), min(b, last)) for a, b in cells if a < last and first < b)
            self._samples[key] = dict(zip(rows, self.table.digests(part, origin, rows), strict=True))
        return self._samples[key]


def _beginnings(source: CountedTable) -> Iterator[tuple]:
    """Keys of the first rows of a table, up to each power of two; a longer table with the same rows has them too."""
    digests, anchors = [], sorted(source.anchors.items())
    for row, digest in anchors:
        # The other anchors differ between tables of different lengths.
        third = row // 3 if row < 64 and row % 3 == 0 else row
        if row & (row - 1) == 0 or third & (third - 1) == 0:
            digests.append(digest)
            yield source.n_columns, row, hash(tuple(digests))
    if not digests:
        # A file that is still being filled may have no such row yet.
        yield source.n_columns, anchors[-1][0], hash(tuple(digest for _, digest in anchors))


def refuse_twice(X, origins: Sequence, names: Sequence[str]) -> None:
    """Refuse rows that are in several of the files; files with the same rows share a name in `names`."""
    rows: dict[str, list[tuple[int, int]]] = {}
    for origin, name in zip(origins, names, strict=True):
        rows.setdefault(name, []).append(origin.rows)
    twice = sum(origin.stop - origin.start for origin in origins) - Ledger(rows).n_rows
    if twice:
        raise DataError(
            f"X: every row must count once; got {twice} rows twice, since files among {some(X.paths)} hold the same "
            "rows. Name each file once."
        )


def warn_of_look_alikes(pairs: Sequence[tuple[str, str]]) -> None:
    """Warn of tables with different rows that resemble each other: pairs of paths, equal ones for a changed file."""
    if not pairs:
        return
    path, other = pairs[0]
    more = f" The same holds for {len(pairs) - 1} more." if pairs[1:] else ""
    same = path == other
    differs = "has changed since its rows were added" if same else f"looks like {other}, but reads otherwise"
    warnings.warn(
        f"X: {path} {differs}, so its rows count as those of another table.{more} If "
        "the one is a copy of the other that was changed (written anew in another precision, say, or with other "
        "targets), their rows are in the sums twice now: take one of the two out again, with remove or a - b. If "
        "they are two tables that look alike, all is well.",
        AlikeTablesWarning,
        stacklevel=2,
    )


def called(source: CountedTable) -> str:
    """Paths of a table, for messages."""
    return ", ".join(sorted(source.paths)) or "a table whose path is not known"


def name_of(source: CountedTable, taken: Container[str]) -> str:
    """A new name for this table, not in `taken`."""
    text = f"{source.n_columns} {sorted(source.anchors.items())} {sorted(source.paths)}"
    name = hashlib.sha256(text.encode()).hexdigest()[:32]
    while name in taken:
        name = hashlib.sha256(name.encode()).hexdigest()[:32]
    return name
