"""The receiver of a reduction's values: prepares them in a thread, and delivers them in the caller's."""

from __future__ import annotations

import concurrent.futures
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

__all__ = ["Receiver"]


class Receiver:
    """Receives the values of a reduction: one of each segment, in order, and more where a part is asked for.

    Parameters
    ----------
    deliver : callable
        Called with each value, in the caller's thread; if it returns True, the work ends there, and running tasks are
        cancelled.
    prepare : callable, optional
        Turns a value into the one that `deliver` is called with, in one background thread, while the work goes on.
    on_leaf_done : callable
        Called with the size of each finished leaf, in the caller's thread.
    should_flush : callable, optional
        Called after leaves finished: whether their sum so far should be a value of its own, which later ones do not
        contain. On a cluster, the sum of the finished leaves becomes a value, too, when a leaf has failed.
    interrupted : callable
        Called now and then, in the caller's thread: whether no more leaves may begin. The sum of those that are
        finished, or run by then, is the last value.
    """

    def __init__(
        self,
        deliver: Callable[[Any], Any],
        *,
        prepare: Callable[[Any], Any] | None = None,
        on_leaf_done: Callable[[int], None] = lambda size: None,
        should_flush: Callable[[], bool] | None = None,
        interrupted: Callable[[], bool] = lambda: False,
    ):
        self.deliver, self.prepare, self.on_leaf_done = deliver, prepare, on_leaf_done
        self.should_flush, self.interrupted = should_flush, interrupted
        self.stopped = False
        # Called in the background thread when a value is prepared.
        self.wake: Callable[[], None] = lambda: None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._running: deque = deque()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        # After an interrupt, the caller does not wait for a value that is being prepared.
        self._pool.shutdown(wait=kind is None or issubclass(kind, Exception), cancel_futures=True)

    def wants_flush(self) -> bool:
        """Whether the sum so far should be a value now."""
        return self.should_flush is not None and self.should_flush()

    @property
    def idle(self) -> bool:
        """Whether all values that were submitted are delivered."""
        return not self._running

    def submit(self, fetch: Callable[[], Any]) -> None:
        """Receive one more value, which `fetch` returns; it runs in the background thread if there is a `prepare`."""
        if self.prepare is None:
            self.stopped = bool(self.deliver(fetch())) or self.stopped
            return
        prepare = self.prepare
        self._running.append(self._pool.submit(lambda: prepare(fetch())))
        self._running[-1].add_done_callback(lambda future: self.wake())

    def ready(self) -> bool:
        """Whether a prepared value waits to be delivered."""
        return bool(self._running) and self._running[0].done()

    def poll(self) -> bool:
        """Deliver the prepared values; True if the work is to end."""
        while not self.stopped and self.ready():
            self.stopped = bool(self.deliver(self._running.popleft().result()))
        return self.stopped

    def drain(self) -> None:
        """Wait for all values that were submitted, and deliver them."""
        while self._running and not self.poll():
            concurrent.futures.wait([*self._running][:1])
