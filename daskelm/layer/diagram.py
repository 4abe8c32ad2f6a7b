"""The hidden layer as a diagram in HTML: inputs, scale, neurons by function, outputs."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import Any

from .neurons import kind_name

__all__ = ["layer_html"]

_MOST_GROUPS = 6
_BAR_EM = 6.0

# Styles stand in the elements, since notebooks drop the style sheets of untrusted ones. There is no colour but that of
# the text around, so that the diagram can be read wherever that can.
_ROW = "display:flex;flex-wrap:wrap;align-items:center;gap:.4em;padding:.5em;font-family:sans-serif;font-size:.8em"
_BOX = "border:1px solid currentColor;border-radius:.4em;padding:.3em .6em;text-align:center"
_MUTED = "opacity:.7;font-size:.9em"
# The bars are no table, since notebooks give tables stripes, and some browsers a colour of their own.
_GRID = "display:grid;grid-template-columns:auto auto auto;gap:0 .5em;align-items:center;justify-content:start"
_BAR = "height:.7em;background:currentColor;opacity:.5"


def layer_html(layer: Any) -> str:
    """A `Layer` as a row of boxes in HTML, without scripts and style sheets."""
    scale = ["inputs as they are"]
    if layer.scale is not None:
        scale = ["mean 0, variance 1", f"cut at ±{layer.scale.clip:g}"]
    if layer.coding is not None:
        scale += _coded(layer.coding)
    boxes = [
        _box(_count(layer.n_features, "input")),
        _box("scale", *scale),
        _box(_count(layer.n_neurons, "neuron"), f"in {layer.dtype}", body=_bars(_numbers_of(layer))),
        _box(_count(layer.n_neurons, "output")),
    ]
    arrow = '<span aria-hidden="true">&rarr;</span>'
    return f'<div class="daskelm-layer" style="{_ROW}">{arrow.join(boxes)}</div>'


def _coded(coding) -> list[str]:
    """Lines on categories and gaps."""
    n = len(coding.categories)
    lines = [f"{n} categor{'y' if n == 1 else 'ies'}, {sum(len(one.levels) for one in coding.categories):,} levels"]
    return lines[: 1 if n else 0] + [f"gaps marked in {_count(len(coding.gaps), 'column')}"] * coding.takes_gaps


def _count(number: int, one: str) -> str:
    return f"{number:,} {one if number == 1 else one + 's'}"


def _numbers_of(layer) -> dict[str, int]:
    """Number of neurons by function; given ones, which act on inputs that are not scaled, are counted apart."""
    numbers: Counter = Counter()
    for group, raw in zip(layer.groups, layer.raw, strict=True):
        numbers[kind_name(group.kind).rpartition(".")[2] + (", given" if raw else "")] += len(group)
    return numbers


def _bars(numbers: dict[str, int]) -> str:
    groups = list(numbers.items())
    if len(groups) > _MOST_GROUPS:
        others = sum(number for _, number in groups[_MOST_GROUPS - 1 :])
        groups = [*groups[: _MOST_GROUPS - 1], (_count(len(groups) - _MOST_GROUPS + 1, "other kind"), others)]
    most = max(number for _, number in groups)
    rows = [
        f'<span style="text-align:left">{escape(name)}</span><span style="text-align:right">{number:,}</span>'
        f'<span style="{_BAR};width:{max(_BAR_EM * number / most, 0.1):.2f}em"></span>'
        for name, number in groups
    ]
    return f'<div style="{_GRID}">{"".join(rows)}</div>'


def _box(title: str, *lines: str, body: str = "") -> str:
    below = "".join(f'<div style="{_MUTED}">{escape(line)}</div>' for line in lines)
    return f'<div style="{_BOX}"><div><b>{escape(title)}</b></div>{body}{below}</div>'
