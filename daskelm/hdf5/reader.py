"""Reader of blocks of rows from files, which it opens by path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["Hdf5Reader"]


class Hdf5Reader:
    """Reads blocks of `FileRows`, and keeps the file of the last block open, with its cache of chunks.

    With `reuse`, each read overwrites the block that the previous one returned. `runs` are the only ranges of rows that
    will be read, in order, each in one call, if that is known.
    """

    def __init__(self, source: Any, reuse: bool = False, runs: Sequence[tuple[int, int]] = ()):
        self.source, self._row_shape, self._dtype = source, source.shape[1:], source.dtype
        # The system zeroes new memory page by page, and Dask's workers give it back as soon as it is freed. Reading
        # into the same memory again takes 17 % off a gram task of 200 neurons there.
        self._memory = np.empty((0, *self._row_shape), self._dtype) if reuse else None
        self._open: Any = None
        self._runs = runs
        self._next = 0

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self._close(check=error is None)

    def _close(self, check=True):
        was, self._open = self._open, None
        if was is not None:
            was.close(check)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows start to stop - 1, counted from the first row of the source; native byte order."""
        # A read that continues the previous one is taken as sequential: prefetch to the end.
        runs = self._runs or [(start, self.source.shape[0] if start == self._next else stop)]
        self._next = stop
        pieces, here = self.source.between(start, min(stop, self.source.n_rows)).ranges(), 0
        out = self._room(sum(last - first for _, first, last in pieces))
        for part, first, last in pieces:
            self._read(part, first, last, out[here : here + last - first], runs)
            here += last - first
        return out

    def _room(self, n_rows):
        if self._memory is None or len(self._memory) < n_rows:
            room = np.empty((n_rows, *self._row_shape), self._dtype)
            if self._memory is None:
                return room
            self._memory = room
        return self._memory[:n_rows]

    def _read(self, part, first, last, out, runs):
        if self._open is None or part is not self._open.part or self._open.is_past(first, last):
            self._close()
            # Where all rows are read in one call, no part of a chunk is needed again, and no cache.
            self._open = self.source.open_part(part, cached=len(self._runs) != 1)

        def coming():
            pieces = (piece for run in runs for piece in self.source.between(*run).ranges())
            return [(a, b) for there, a, b in pieces if there is part]

        self._open.read(first, last, out, coming)
        if part.recode is not None and out.dtype.kind == "f":
            out[:] = part.recode(out)
