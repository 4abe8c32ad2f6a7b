"""Checks of values that were read from a file: their type, shape and range are those that daskelm writes.

A digest says that a file is not damaged, and not who wrote it. So nothing that a file says is used before it is
checked: a number of inputs may ask for terabytes, a negative count or a NaN may pass for a result.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from ..exceptions import FileFormatError

__all__ = ["array_of", "check", "dtype_of_numbers", "list_of", "number_of", "text_of", "whole_of"]

# Counts in files are below this number: sums of them are integers of 64 bits.
_MOST = 2**62


def check(is_right: Any, rule: str) -> None:
    """Raise an error with the rule that a value in a file breaks, unless it is right."""
    if not is_right:
        raise FileFormatError(rule)


def whole_of(value, name: str, least: int = 0, most: int = _MOST) -> int:
    """A whole number between two."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    check(is_whole and least <= value <= most, f"{name} must be a whole number of at least {least}")
    return value


def number_of(value, name: str, least: float = 0.0, most: float = np.finfo(np.float64).max) -> float:
    """A number between two, never NaN; infinite only if `most` is."""
    check(isinstance(value, int | float) and not isinstance(value, bool), f"{name} must be a number")
    check(least <= value <= most, f"{name} must be a number from {least:g} to {most:g}")
    return float(value)


def text_of(value, name: str, among: Collection[str] | None = None) -> str:
    """A text, of a few if they are given."""
    check(isinstance(value, str) and (among is None or value in among), f"{name} must be one of the texts that it has")
    return value


def list_of(value, name: str, kind: type | tuple[type, ...], length: int | None = None) -> Sequence:
    """A list or tuple of values of a type; a truth value is no number."""
    check(isinstance(value, list | tuple), f"{name} must be a list")
    kinds = kind if isinstance(kind, tuple) else (kind,)
    check(set(map(type, value)).issubset(kinds), f"{name} must have items of one type")
    check(length is None or len(value) == length, f"{name} must have {length} items")
    return value


def array_of(
    value,
    name: str,
    shape: tuple[int | None, ...],
    kinds: str = "f",
    *,
    least: float | None = None,
    finite: bool = True,
) -> np.ndarray:
    """An array of a shape, in which None stands for any length, without NaN; also without infinity if `finite`."""
    check(isinstance(value, np.ndarray), f"{name} must be an array")
    check(value.dtype.kind in kinds, f"{name} must be an array of another type than {value.dtype}")
    fits = len(shape) == value.ndim and all(b in (None, a) for a, b in zip(value.shape, shape, strict=True))
    check(fits, f"{name} must have another shape than {value.shape}")
    if value.dtype.kind == "f":
        check(np.isfinite(value).all() if finite else not np.isnan(value).any(), f"{name} must be finite")
    check(least is None or (value >= least).all(), f"{name} must be at least {least}")
    return value


def dtype_of_numbers(value, name: str) -> np.dtype:
    """The dtype with this name, which must be one of numbers or truth values."""
    text = text_of(value, name)
    try:
        found = np.dtype(text) if len(text) <= 32 and "," not in text else None
    except TypeError:
        found = None
    check(found is not None and found.kind in "fiub" and found.subdtype is None, f"{name} must be a dtype of numbers")
    return found  # type: ignore[return-value]
