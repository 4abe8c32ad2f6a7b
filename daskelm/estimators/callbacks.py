"""Callbacks of scikit-learn, from its version 1.9 on: each pass is reported to them, percent by percent."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ..progress import listening
from ._sklearn_compat import CallbackSupportMixin, callback_context, has_callbacks

__all__ = ["FitCallbacks"]

_STEPS = 100


class FitCallbacks(CallbackSupportMixin):
    """Mixin: callbacks can be set on the estimator, whose `fit` is decorated with `with_callbacks`."""

    @contextlib.contextmanager
    def _reporting(self, X, y, sample_weight, n_passes: int | None = None) -> Iterator[None]:
        """Report the passes of a fit inside the block to callbacks; `n_passes` is their number, if known."""
        if not has_callbacks(self):
            # Callbacks of a meta-estimator around this one must not be called for its passes.
            with listening(None):
                yield
            return
        rows: dict = {
            "estimator": self,
            "X": X,
            "y": y,
            "metadata": None if sample_weight is None else {"sample_weight": sample_weight},
        }
        context = callback_context(self, n_passes)
        context.call_on_fit_task_begin(**rows)
        passes = _Passes(self, context, n_passes)
        with listening(passes):
            yield
        passes.end()
        # Return values of these calls, and of those for subtasks, are ignored: only `callback=` and `tol` end a pass.
        context.call_on_fit_task_end(**rows, reconstruction_attributes={})


class _Passes:
    """Reports each pass as a subtask, and each percent of a pass as a subtask of that."""

    def __init__(self, estimator, context, most: int | None):
        self.estimator, self.context, self.most, self.n = estimator, context, most, 0
        self.open: Any = None

    def __call__(self, label: str, total: int | None, unit: str) -> Callable[[int], None]:
        self.end()
        if self.n == self.most:
            # Passes beyond the number announced belong to another model that is used meanwhile.
            return lambda n_done: None
        self.n += 1
        n_steps = min(total or 0, _STEPS)
        name = label if total is None else f"{label}, {total:,} {unit}"
        this = self.open = self.context.subcontext(task_name=name, max_subtasks=n_steps)
        this.call_on_fit_task_begin(estimator=self.estimator)
        n_reported = 0

        def report(n_done):
            nonlocal n_reported
            while total and n_reported < n_steps * n_done // total:
                step = this.subcontext(task_name=unit).call_on_fit_task_begin(estimator=self.estimator)
                step.call_on_fit_task_end(estimator=self.estimator)
                n_reported += 1

        return report

    def end(self) -> None:
        """Report the end of the pass that is open."""
        if self.open is not None:
            self.open.call_on_fit_task_end(estimator=self.estimator)
            self.open = None
