"""Open files of datasets that stand side by side as the columns of one table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np

from .dataset import OpenPart, Part

__all__ = ["OpenColumns", "open_part"]

# Columns are read to memory of their own in pieces of about so many bytes.
_PIECE_BYTES = 4 * 2**20


def open_part(part: Part, cached: bool = True) -> OpenPart | OpenColumns:
    """The open file of a part, or the open files of those that stand side by side; `cached` as for `OpenPart`."""
    return OpenColumns(part, cached) if part.beside else OpenPart(part, cached)


class OpenColumns:
    """Open files of several parts, whose columns are read into one block; the methods are those of `OpenPart`."""

    def __init__(self, part: Part, cached: bool = True):
        self.part = part
        self._parts: list[OpenPart] = []
        with contextlib.ExitStack() as opened:
            for one in part.each():
                self._parts.append(OpenPart(one, cached))
                opened.callback(self._parts[-1].close, False)
            opened.pop_all()

    def is_past(self, first: int, last: int) -> bool:
        """Whether some of the rows lie in other sources than the open ones."""
        return any(one.is_past(first, last) for one in self._parts)

    def close(self, check: bool) -> None:
        """Close all files; with `check`, refuse what was read if one changed meanwhile."""
        with contextlib.ExitStack() as closing:
            for one in self._parts:
                closing.callback(one.close, check)

    def read(self, first: int, last: int, out: np.ndarray, coming: Callable) -> None:
        """Read rows first to last - 1 into `out`; `coming` as for `OpenPart.read`."""
        column = 0
        for one in self._parts:
            n = one.part.choice.n_columns
            step = max(_PIECE_BYTES // (8 * n), 1)
            for a in range(first, last, step):
                b = min(a + step, last)
                block = one.room(b - a)
                one.read(a, b, block, coming)
                out[a - first : b - first, column : column + n] = block.reshape(b - a, n)
            column += n
