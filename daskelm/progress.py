"""One line on the terminal that says how many rows are done, how fast, and how long it will take."""

from __future__ import annotations

import math
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
        # What else the line says, such as the R2 so far.
        self.note = ""

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

    def stop(self, n_rows: int) -> None:
        """Show that this many rows were enough."""
        if self.verbose:
            begin, end = ("\r", "\033[K\n") if sys.stderr.isatty() else ("", "\n")
            note = f", {self.note}" if self.note else ""
            sys.stderr.write(f"{begin}{self.label}: {n_rows:,} of {self.total or 0:,} rows are enough{note}{end}")

    def seconds_left(self) -> float:
        """Seconds to the end of all rows, at the rate so far; infinity before the first."""
        if not self.n:
            return math.inf
        return ((self.total or self.n) - self.n) * (time.monotonic() - self._begin) / self.n

    def _due(self, now):
        if self.total is None:
            return now - max(self._shown_at, self._begin) > 5
        tenth = 10 * self.n // self.total
        due, self._shown_tenth = tenth > self._shown_tenth, tenth
        return due

    def line(self, now: float) -> str:
        """The text: rows done, rows per second, seconds left."""
        seconds = max(now - self._begin, 1e-9)
        note = f", {self.note}" if self.note else ""
        rate = self.n / seconds
        if self.total is None:
            return f"{self.label}: {self.n:,} rows{note}, {rate:,.0f} rows/s"
        percent = 100 * self.n // max(self.total, 1)
        left = (self.total - self.n) / max(rate, 1e-9)
        rows = f"{self.n:,} of {self.total:,} rows ({percent} %)"
        return f"{self.label}: {rows}{note}, {rate:,.0f} rows/s, {left:.0f} s left"
