"""What pictures share: axes to draw on, colours, numbers on axes."""

from __future__ import annotations

import numpy as np

from ..exceptions import MissingExtraError

__all__ = ["ACCENT", "INK", "OTHER", "axes_for", "colours_between", "light_grid", "need_matplotlib", "plain_numbers"]

# Okabe, Ito (2008): told apart by all eyes; their lightness differs too, so that grey print does. INK is for marks.
ACCENT, OTHER, INK = "#D55E00", "#0072B2", "0.15"


def need_matplotlib(what: str):
    """matplotlib's pyplot, asked for before any work is done.

    Parameters
    ----------
    what : str
        Who asks, for the error.

    Returns
    -------
    module

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError:
        raise MissingExtraError(
            f"{what} draws with matplotlib, which is not installed: pip install 'daskelm[plot]'."
        ) from None
    return pyplot


def axes_for(ax, what: str):
    """(figure, axes) to draw on for `what`: those given, or new ones of matplotlib's default size."""
    pyplot = need_matplotlib(what)
    return pyplot.subplots(layout="constrained") if ax is None else (ax.figure, ax)


def light_grid(ax) -> None:
    """A grid behind all that is drawn, and no frame where no axis is."""
    ax.grid(color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def plain_numbers(axis, *, log: bool = False) -> None:
    """Numbers with thousands separators on an axis; on a logarithmic one that spans little, at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, ScalarFormatter

    low, high = axis.get_view_interval()
    if log:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 300 * low else (1.0,)))
        axis.set_minor_formatter(NullFormatter())
    elif max(abs(low), abs(high)) < 1000:
        # As many decimals for each, and none taken out into an offset.
        axis.set_major_formatter(ScalarFormatter(useOffset=False))
        return
    axis.set_major_formatter(FuncFormatter(_plain))


def _plain(value, _=None):
    """1,234,567 and 0.001, but 1e-09."""
    if value and not 1e-4 <= abs(value) < 1e9:
        return f"{value:.0e}"
    return f"{value:,.10f}".rstrip("0").rstrip(".").replace("-", "\N{MINUS SIGN}")


def colours_between(light: float, dark: float, n: int = 256):
    """So many blues of growing darkness, from 0, white, to 1."""
    from matplotlib import colormaps

    return colormaps["Blues"](np.linspace(light, dark, n))
