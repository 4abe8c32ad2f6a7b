"""One line on the terminal that says how many rows are done, how fast, and how long it will take."""

from __future__ import annotations

import sys
import time

__all__ = ["RowProgress"]


class RowProgress:
    """Counts rows; writes to standard error when `verbose`.

    On a terminal one line is rewritten in place, at most four times a second; elsewhere (a log file) a line is added
    at each tenth of the rows. `total` is None where nobody knows it: then every five seconds.
    """

    def __init__(self, total: int | None, verbose: int | bool = 0, label: str = "gram"):
        self.total, self.verbose, self.label = total, bool(verbose), label
        self.n, self._begin, self._shown_at, self._shown_tenth = 0, time.monotonic(), 0.0, 0

    def advance(self, n_rows: int) -> None:
        """Count `n_rows` more."""
        self.n += n_rows
        if not self.verbose or not n_rows:
            return
        now = time.monotonic()
        last = self.n == self.total
        if sys.stderr.isatty():
            if last or now - self._shown_at > 0.25:
                self._shown_at = now
                bar = "" if self.total is None else f"[{'#' * (30 * self.n // self.total):<30}] "
                sys.stderr.write(f"\r{bar}{self.line(now)}\033[K" + ("\n" if last else ""))
                sys.stderr.flush()
        elif self._due(now) or last:
            self._shown_at = now
            sys.stderr.write(self.line(now) + "\n")

    def _due(self, now):
        if self.total is None:
            return now - max(self._shown_at, self._begin) > 5
        tenth = 10 * self.n // self.total
        due, self._shown_tenth = tenth > self._shown_tenth, tenth
        return due

    def line(self, now: float) -> str:
        """The text: rows done, rows per second, seconds left."""
        seconds = max(now - self._begin, 1e-9)
        rate = self.n / seconds
        if self.total is None:
            return f"{self.label}: {self.n:,} rows, {rate:,.0f} rows/s"
        percent = 100 * self.n // max(self.total, 1)
        left = (self.total - self.n) / max(rate, 1e-9)
        return f"{self.label}: {self.n:,} of {self.total:,} rows ({percent} %), {rate:,.0f} rows/s, {left:.0f} s left"
