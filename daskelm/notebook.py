"""What a notebook shows while work goes on: a line that is rewritten in place, and Dask's own progress of its tasks."""

from __future__ import annotations

import html
import importlib.util
import sys
import time
from typing import Any

__all__ = ["NotebookLine", "in_notebook", "show_tasks"]

# That the scheduler has noted which tasks are watched; a tenth of a second if it is not busy.
_NOTED_SECONDS = 5


def in_notebook() -> bool:
    """Whether there is something that shows pictures: a shell of IPython's that is not a terminal."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and type(shell).__name__ != "TerminalInteractiveShell"


class NotebookLine:
    """A bar with a line of text, below the cell that runs."""

    def __init__(self):
        self._shown: Any = None

    def show(self, text: str, done: int, total: int | None) -> None:
        """Write it anew; without a bar where nobody knows the `total`."""
        from IPython.display import display

        bar = "" if total is None else f'<progress value="{done}" max="{max(total, 1)}"></progress> '
        data = {"text/plain": text, "text/html": f"{bar}<code>{html.escape(text)}</code>"}
        if self._shown is None:
            self._shown = display(data, raw=True, display_id=True)
        else:
            self._shown.update(data, raw=True)


def show_tasks(futures: list) -> Any:
    """Show Dask's own bar of tasks that are on a cluster, and give it; None where ipywidgets is not installed."""
    if not futures or importlib.util.find_spec("ipywidgets") is None:
        return None
    from distributed import progress
    from IPython.display import display

    # One bar for all of them: those by name (`multi`) take a task that was merged and forgotten for one that failed.
    bar = progress(futures, notebook=True, multi=False)
    # It writes to the terminal when it is deleted.
    bar.widget.bar = bar
    display(bar.widget)
    # The loop of the notebook, where it would listen when it is shown itself, is busy with the cell.
    futures[0].client.loop.add_callback(bar.listen)
    # Tasks that are forgotten before they were noted would be waited for on the scheduler, for good.
    end = time.monotonic() + _NOTED_SECONDS
    while not hasattr(bar, "status") and time.monotonic() < end:
        time.sleep(0.01)
    return bar
