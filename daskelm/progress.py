"""Progress of a pass (rows done, rows per second, seconds left) in a terminal, a notebook or a log file."""

from __future__ import annotations

import contextlib
import html
import importlib.util
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

__all__ = ["Listener", "RowProgress", "in_notebook", "listening"]

# Called when work begins, with its label, total and unit; returns a function to call with the amount that is done.
Listener = Callable[[str, int | None, str], Callable[[int], None]]

# Seconds to wait for the progress bar to register with the scheduler, which takes 0.1 s if that is not busy.
_REGISTERED_SECONDS = 5

# The listener of this thread and context; as an argument it would have to pass through every function on the way.
_LISTENER: ContextVar[Listener | None] = ContextVar("daskelm_listener", default=None)


@contextlib.contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Report all work in the `with` block to a listener, or to none."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


class RowProgress:
    """Counts rows, or units of another name; reports them to the listener, and shows them if `verbose`.

    In a terminal, one line on standard error is rewritten in place, at most four times a second; in a notebook, one
    below the cell; in a log file, a line is added at each tenth. If the `total` is unknown (None), a line is added
    every five seconds. Work that takes less than `patience` seconds is not shown.
    """

    def __init__(
        self,
        total: int | None,
        verbose: int | bool = 0,
        label: str = "gram",
        *,
        unit: str = "rows",
        patience: float = 0.0,
    ):
        self.total, self.verbose, self.label, self.unit, self.patience = total, bool(verbose), label, unit, patience
        self.n, self._begin, self._shown_at, self._shown_tenth = 0, time.monotonic(), 0.0, 0
        # Further text of the line, such as the R2 so far.
        self.note = ""
        self._notebook = _NotebookLine() if self.verbose and in_notebook() else None
        listener = _LISTENER.get()
        self._report: Callable[[int], None] = (lambda n: None) if listener is None else listener(label, total, unit)

    def started(self, futures: list) -> None:
        """Show the bar of Dask for the tasks on a cluster that do the work, in a notebook."""
        if self._notebook is not None:
            _show_tasks(futures)

    def advance(self, n_rows: int) -> None:
        """Count `n_rows` more."""
        self.n += n_rows
        self._report(self.n)
        now = time.monotonic()
        if not self.verbose or not n_rows or now - self._begin < self.patience:
            return
        last = self.n == self.total
        if self._notebook is not None or sys.stderr.isatty():
            if last or now - self._shown_at > 0.25:
                self._shown_at = now
                self._rewrite(self.line(now), last)
        elif self._due(now) or last:
            self._shown_at = now
            sys.stderr.write(self.line(now) + "\n")

    def stop(self, n_rows: int) -> None:
        """Show that this many rows were enough."""
        if not self.verbose:
            return
        note = f", {self.note}" if self.note else ""
        text = f"{self.label}: {n_rows:,} of {self.total or 0:,} {self.unit} are enough{note}"
        if self._notebook is not None:
            self._notebook.show(text, n_rows, self.total)
        else:
            begin, end = ("\r", "\033[K\n") if sys.stderr.isatty() else ("", "\n")
            sys.stderr.write(f"{begin}{text}{end}")

    def _rewrite(self, text, last):
        if self._notebook is not None:
            self._notebook.show(text, self.n, self.total)
            return
        bar = "" if self.total is None else f"[{'#' * (30 * self.n // self.total):<30}] "
        sys.stderr.write(f"\r{bar}{text}\033[K" + ("\n" if last else ""))
        sys.stderr.flush()

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
        seconds, unit = max(now - self._begin, 1e-9), self.unit
        note = f", {self.note}" if self.note else ""
        rate = self.n / seconds
        if self.total is None:
            return f"{self.label}: {self.n:,} {unit}{note}, {rate:,.0f} {unit}/s"
        percent = 100 * self.n // max(self.total, 1)
        left = (self.total - self.n) / max(rate, 1e-9)
        done = f"{self.n:,} of {self.total:,} {unit} ({percent} %)"
        return f"{self.label}: {done}{note}, {rate:,.0f} {unit}/s, {left:.0f} s left"


def in_notebook() -> bool:
    """Whether this process belongs to a notebook: IPython runs, and not in a terminal."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and type(shell).__name__ != "TerminalInteractiveShell"


class _NotebookLine:
    """A bar with a line of text, below the cell that runs."""

    def __init__(self):
        self._shown: Any = None

    def show(self, text: str, done: int, total: int | None) -> None:
        """Replace bar and text; there is no bar if the `total` is unknown."""
        from IPython.display import display

        bar = "" if total is None else f'<progress value="{done}" max="{max(total, 1)}"></progress> '
        data = {"text/plain": text, "text/html": f"{bar}<code>{html.escape(text)}</code>"}
        if self._shown is None:
            self._shown = display(data, raw=True, display_id=True)
        else:
            self._shown.update(data, raw=True)


def _show_tasks(futures: list) -> Any:
    """Show Dask's own bar of tasks on a cluster, and return it; None where ipywidgets is not installed."""
    if not futures or importlib.util.find_spec("ipywidgets") is None:
        return None
    from distributed import progress
    from IPython.display import display

    # There is one bar for all tasks. Bars by name (`multi`) take a task that was merged and forgotten for a failed one.
    bar = progress(futures, notebook=True, multi=False)
    # The bar is kept with its widget, since it writes to the terminal when it is deleted.
    bar.widget.bar = bar
    display(bar.widget)
    # The client's loop updates the bar, since the notebook's loop is busy with the cell.
    futures[0].client.loop.add_callback(bar.listen)
    # The scheduler would wait for ever for tasks that are forgotten before the bar has registered.
    end = time.monotonic() + _REGISTERED_SECONDS
    while not hasattr(bar, "status") and time.monotonic() < end:
        time.sleep(0.01)
    return bar
