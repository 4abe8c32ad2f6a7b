"""One line on the terminal that says how many rows are done, how fast, and how long it will take."""

from __future__ import annotations

import sys
import time

__all__ = ["RowProgress"]


class RowProgress:
    """Counts rows; writes to standard error when `verbose`, at most four times a second and once at the end.

    On a terminal the line is rewritten in place; elsewhere (a log file) a line is added at each tenth of the rows.
    """

    def __init__(self, total: int, verbose: int | bool = 0, label: str = "gram"):
        self.total, self.verbose, self.label = total, bool(verbose), label
        self.n, self._begin, self._shown_at, self._shown_tenth = 0, time.monotonic(), 0.0, 0

    def advance(self, n_rows: int) -> None:
        """Count `n_rows` more."""
        self.n += n_rows
        if not self.verbose or not n_rows:
            return
        now, last = time.monotonic(), self.n >= self.total
        if sys.stderr.isatty():
            if last or now - self._shown_at > 0.25:
                self._shown_at = now
                filled = "#" * (30 * self.n // max(self.total, 1))
                sys.stderr.write(f"\r[{filled:<30}] {self.line(now)}" + ("\n" if last else ""))
                sys.stderr.flush()
        elif last or 10 * self.n // max(self.total, 1) > self._shown_tenth:
            self._shown_tenth = 10 * self.n // max(self.total, 1)
            sys.stderr.write(self.line(now) + "\n")

    def line(self, now: float) -> str:
        """The text: rows done, rows per second, seconds left."""
        rate = self.n / max(now - self._begin, 1e-9)
        left = (self.total - self.n) / max(rate, 1e-9)
        percent = 100 * self.n // max(self.total, 1)
        return f"{self.label}: {self.n:,} of {self.total:,} rows ({percent} %), {rate:,.0f} rows/s, {left:.0f} s left"
