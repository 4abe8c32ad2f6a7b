"""Parameters: checked, as they were when something was made with them, and which of them are others now."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..exceptions import ParameterError
from ..layer.neurons import Neurons

__all__ = ["changed", "check_bool", "snapshot"]


def check_bool(value, name: str) -> bool:
    """A parameter that is True or False, checked: a word such as "no" would count as True."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise ParameterError(f"{name} must be True or False; got {value!r}.")


def snapshot(params: Mapping) -> dict:
    """The parameters as they are now: lists and dicts that are altered in place later leave it as it is."""
    return {name: _copy(value) for name, value in params.items()}


def changed(before: Mapping, now: Mapping) -> str | None:
    """Name of the first parameter in `before` that has another value now; None if none has."""
    return next((name for name, value in before.items() if not _same(value, now[name])), None)


def _copy(value):
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def _same(a, b) -> bool:
    if a is b:
        return True
    if isinstance(a, Neurons) and isinstance(b, Neurons):
        return a.kind == b.kind and np.array_equal(a.W, b.W) and np.array_equal(a.b, b.b)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    try:
        return bool(a == b)
    except (TypeError, ValueError):
        return False
