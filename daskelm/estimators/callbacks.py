"""Callbacks of scikit-learn's, from its version 1.9 on: they are told of each pass, percent by percent."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ..progress import listening

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:
    # Before 1.9: there is no `set_callbacks`, and nobody to tell.
    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing."""

    def with_callbacks(method):
        """The method as it is."""
        return method


__all__ = ["FitCallbacks", "with_callbacks"]

_STEPS = 100


class FitCallbacks(CallbackSupportMixin):
    """An estimator that callbacks can be set on; its `fit` is decorated with `with_callbacks`."""

    @contextlib.contextmanager
    def _told(self, X, y, sample_weight, n_passes: int | None = None) -> Iterator[None]:
        """Tell callbacks of all in here, which is a fit; `n_passes` if that is known."""
        if not getattr(self, "_skl_callbacks", None):
            # Nor those of another estimator, of which this is a part.
            with listening(None):
                yield
            return
        rows: dict = {
            "estimator": self,
            "X": X,
            "y": y,
            "metadata": None if sample_weight is None else {"sample_weight": sample_weight},
        }
        context = self._init_callback_context(max_subtasks=n_passes)
        context.call_on_fit_task_begin(**rows)
        passes = _Passes(self, context, n_passes)
        with listening(passes):
            yield
        passes.end()
        # What it answers, and what the parts of it answer, stops nothing: a pass is ended by `callback=` and `tol`.
        context.call_on_fit_task_end(**rows, reconstruction_attributes={})


class _Passes:
    """Makes a subtask of each pass, and of each percent of it one of that."""

    def __init__(self, estimator, context, most: int | None):
        self.estimator, self.context, self.most, self.n = estimator, context, most, 0
        self.open: Any = None

    def __call__(self, label: str, total: int | None, unit: str) -> Callable[[int], None]:
        self.end()
        if self.n == self.most:
            # Of what somebody does with another model meanwhile.
            return lambda n_done: None
        self.n += 1
        n_steps = min(total or 0, _STEPS)
        name = label if total is None else f"{label}, {total:,} {unit}"
        this = self.open = self.context.subcontext(task_name=name, max_subtasks=n_steps)
        this.call_on_fit_task_begin(estimator=self.estimator)
        n_told = 0

        def tell(n_done):
            nonlocal n_told
            while total and n_told < n_steps * n_done // total:
                step = this.subcontext(task_name=unit).call_on_fit_task_begin(estimator=self.estimator)
                step.call_on_fit_task_end(estimator=self.estimator)
                n_told += 1

        return tell

    def end(self) -> None:
        """The pass that is open is over."""
        if self.open is not None:
            self.open.call_on_fit_task_end(estimator=self.estimator)
            self.open = None
