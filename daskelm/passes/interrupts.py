"""Interrupts of a pass (Ctrl-C, Jupyter's, SIGTERM): the first one lets running tasks end, so that work is kept."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

__all__ = ["Interrupts"]


class Interrupts:
    """Context in which the first SIGINT or SIGTERM is noted and reported, and the second has its usual effect at once.

    When the block ends, an interrupt that was noted has its usual effect too: KeyboardInterrupt after SIGINT, and the
    end of the process after SIGTERM, unless the program has handlers of its own. An error in the block is raised in
    its place. Outside of the main thread, which alone receives signals, the context does nothing. Signals that the
    program ignores stay ignored.

    Parameters
    ----------
    path : str or path-like
        File that finished work is committed to, for the message.
    """

    def __init__(self, path):
        self.path = path
        self._noted: signal.Signals | None = None
        # The handlers of the program, by signal.
        self._usual: dict[signal.Signals, Any] = {}

    def asked(self) -> bool:
        """Whether an interrupt was noted: no more work may begin."""
        return self._noted is not None

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                usual = signal.getsignal(number)
                if callable(usual) or (number == signal.SIGTERM and usual == signal.SIG_DFL):
                    self._usual[number] = usual
                    signal.signal(number, self._note)
        return self

    def __exit__(self, kind, error, traceback):
        self._restore()
        if self._noted is not None and error is None:
            self._take_effect(self._noted, None)

    def _note(self, number, frame):
        if self._noted is not None:
            self._restore()
            self._take_effect(number, frame)
            return
        self._noted = signal.Signals(number)
        _report(
            f"daskelm: {self._noted.name} received: no more tasks begin, those that run are being finished, and then "
            f"all finished work is committed to {self.path}. A second one ends at once, and drops what is not "
            "committed."
        )

    def _restore(self):
        for number, usual in self._usual.items():
            signal.signal(number, usual)

    def _take_effect(self, number, frame):
        usual = self._usual[signal.Signals(number)]
        if callable(usual):
            usual(int(number), frame)
        else:
            signal.raise_signal(number)


def _report(text):
    erase = "\r\033[K" if sys.stderr.isatty() else ""
    try:
        sys.stderr.write(f"{erase}{text}\n")
        sys.stderr.flush()
    except RuntimeError:
        # The signal came while this thread was writing to the same stream.
        os.write(2, f"{text}\n".encode())
