"""The hidden layer as a picture in scikit-learn's diagram of an estimator: inputs, scale, neurons, ridge, targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from ..layer.layer import Layer
from ..layer.neurons import kind_name
from ..sums.normal_equations import NormalEquations

__all__ = ["LayerPicture"]

_MOST_NAMES = 3
_MOST_LETTERS = 20
_MOST_KINDS = 6
_BAR_EM = 6.0

# Styles stand in the elements, since notebooks drop sheets of untrusted ones. There is no colour but that of the text
# around, so that it can be read wherever that can.
_ROW = "display:flex;flex-wrap:wrap;align-items:center;gap:.4em;padding:.5em;font-family:sans-serif;font-size:.8em"
_BOX = "border:1px solid currentColor;border-radius:.4em;padding:.3em .6em;text-align:center"
_MUTED = "opacity:.7;font-size:.9em"
# No table: notebooks give those stripes, and some browsers a colour of their own.
_GRID = "display:grid;grid-template-columns:auto auto auto;gap:0 .5em;align-items:center;justify-content:start"
_BAR = "height:.7em;background:currentColor;opacity:.5"


class LayerPicture:
    """An estimator whose diagram shows the hidden layer, where there is one; nothing is solved for it."""

    hidden_layer_: Layer
    normal_equations_: NormalEquations
    _solution: Any

    def _get_params_html(self, *args, **kwargs) -> Any:
        """What scikit-learn (from 1.7 on) writes into the block of an estimator: the picture, then its own table."""
        table = super()._get_params_html(*args, **kwargs)  # type: ignore[misc]
        if hasattr(self, "hidden_layer_"):
            picture, write = self._picture(), table._html_repr
            table._html_repr = lambda: picture + write()
        return table

    def _get_fitted_attr_html(self, *args, **kwargs) -> Any:
        """The table of fitted attributes, of which most would solve what is not solved yet: then there is none."""
        if getattr(self, "_solution", None) is None and hasattr(self, "normal_equations_"):
            return {}
        return super()._get_fitted_attr_html(*args, **kwargs)  # type: ignore[misc]

    def _sk_visual_block_(self):
        # Where scikit-learn has no such class there, before 1.7, it makes a block by itself.
        from sklearn.utils._repr_html.estimator import _VisualBlock

        name = type(self).__name__
        caption = _numbers_of(self.hidden_layer_) if hasattr(self, "hidden_layer_") else None
        return _VisualBlock("single", self, names=name, name_details=str(self), name_caption=caption)

    def _picture(self) -> str:
        layer = self.hidden_layer_
        boxes = [
            _box(_count(layer.n_features, "input"), _some(getattr(self, "feature_names_in_", ()))),
            _box("scale", *_scale_lines(layer)),
            _box(_count(layer.n_neurons, "neuron"), f"in {layer.dtype}", body=_bars(layer)),
        ]
        if hasattr(type(self), "coef_"):
            boxes.append(_box("ridge", *self._ridge_lines()))
            if (targets := self._targets_shown()) is not None:
                boxes.append(_box(*targets))
        else:
            boxes.append(_box(_count(layer.n_neurons, "output")))
        arrow = '<span aria-hidden="true">&rarr;</span>'
        return f'<div class="daskelm-layer" style="{_ROW}">{arrow.join(boxes)}</div>'

    def _ridge_lines(self) -> list[str]:
        solution, sums = getattr(self, "_solution", None), getattr(self, "normal_equations_", None)
        lines = ["not solved yet" if solution is None else f"alpha = {solution.alpha:.3g}"]
        if sums is not None:
            lines.append(_count(sums.n_samples, "row"))
        elif solution is None:
            lines.append("no rows yet")
        return lines

    def _targets_shown(self) -> tuple[str, str] | None:
        """How many there are, and some of their names; None where it is not known yet."""
        solution, sums = getattr(self, "_solution", None), getattr(self, "normal_equations_", None)
        targets = getattr(self, "_targets", None)
        if (classes := getattr(targets, "classes", None)) is not None:
            return _count(len(classes), "class", "classes"), _some(classes.tolist())
        if targets is not None and targets.meaning == "labels":
            return _count(targets.n_targets, "label"), ""
        if solution is not None:
            return _count(len(solution.intercept), "target"), ""
        return None if sums is None else (_count(sums.n_targets, "target"), "")


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _some(names: Iterable) -> str:
    """The first names, each shortened; they are the user's, and are escaped where they are written."""
    names = [str(name) for name in names]
    shown = [name if len(name) <= _MOST_LETTERS else name[: _MOST_LETTERS - 1] + "…" for name in names[:_MOST_NAMES]]
    return ", ".join(shown + ["…"] * (len(names) > _MOST_NAMES))


def _scale_lines(layer: Layer) -> list[str]:
    if layer.scale is None:
        return ["inputs as they are"]
    return ["mean 0, variance 1", f"cut at ±{layer.scale.clip:g}"]


def _groups_of(layer: Layer) -> dict[str, int]:
    """Number of neurons by kind; given ones beside scaled inputs are others than those that were drawn."""
    numbers: dict[str, int] = {}
    for group, raw in zip(layer.groups, layer.raw, strict=True):
        name = kind_name(group.kind).rpartition(".")[2] + (", given" if raw else "")
        numbers[name] = numbers.get(name, 0) + len(group)
    return numbers


def _numbers_of(layer: Layer) -> str:
    groups = [f"{number:,} {name}" for name, number in _groups_of(layer).items()]
    return " + ".join(groups[:_MOST_KINDS] + ["…"] * (len(groups) > _MOST_KINDS))


def _bars(layer: Layer) -> str:
    groups = list(_groups_of(layer).items())
    if len(groups) > _MOST_KINDS:
        others = sum(number for _, number in groups[_MOST_KINDS - 1 :])
        groups = [*groups[: _MOST_KINDS - 1], (_count(len(groups) - _MOST_KINDS + 1, "other kind"), others)]
    most = max(number for _, number in groups)
    rows = [
        f'<span style="text-align:left">{escape(name)}</span><span style="text-align:right">{number:,}</span>'
        f'<span style="{_BAR};width:{max(_BAR_EM * number / most, 0.1):.2f}em"></span>'
        for name, number in groups
    ]
    return f'<div style="{_GRID}">{"".join(rows)}</div>'


def _box(title: str, *lines: str, body: str = "") -> str:
    below = "".join(f'<div style="{_MUTED}">{escape(line)}</div>' for line in _filled(lines))
    return f'<div style="{_BOX}"><div><b>{escape(title)}</b></div>{body}{below}</div>'


def _filled(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if line]
