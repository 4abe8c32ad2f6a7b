"""Axes, colours and number formats that all plots share."""

from __future__ import annotations

import numpy as np

from ..exceptions import MissingExtraError

__all__ = ["ACCENT", "INK", "OTHER", "axes_for", "colours_between", "light_grid", "need_matplotlib", "plain_numbers"]

# Okabe and Ito (2008) chose these colours for colour-blind readers; their lightness differs too, which keeps them
# distinct in grey print. INK is the colour of marks.
ACCENT, OTHER, INK = "#D55E00", "#0072B2", "0.15"


def need_matplotlib(what: str):
    """Matplotlib's pyplot; plots call this before any computation, so that a missing package costs no time.

    Parameters
    ----------
    what : str
        Name of the plot, for the error.

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
    """(figure, axes) of the plot `what`: those of `ax`, or new ones of matplotlib's default size."""
    pyplot = need_matplotlib(what)
    return pyplot.subplots(layout="constrained") if ax is None else (ax.figure, ax)


def light_grid(ax) -> None:
    """Draw a grid behind the data, and hide the frame's top and right sides, which carry no axis."""
    ax.grid(color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def plain_numbers(axis, *, log: bool = False) -> None:
    """Format an axis with thousands separators; below a factor of 300, a logarithmic axis has ticks at 1, 2, 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, ScalarFormatter

    low, high = axis.get_view_interval()
    if log:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 300 * low else (1.0,)))
        axis.set_minor_formatter(NullFormatter())
    elif max(abs(low), abs(high)) < 1000:
        # The ticks share one number of decimals, and no offset is factored out of them.
        axis.set_major_formatter(ScalarFormatter(useOffset=False))
        return
    axis.set_major_formatter(FuncFormatter(_plain))


def _plain(value, _=None):
    """Tick label: 1,234,567 and 0.001, but 1e-09."""
    if value and not 1e-4 <= abs(value) < 1e9:
        return f"{value:.0e}"
    return f"{value:,.10f}".rstrip("0").rstrip(".").replace("-", "\N{MINUS SIGN}")


def colours_between(light: float, dark: float, n: int = 256):
    """`n` blues (n, 4), from the darkness `light` to `dark`; 0 is white."""
    from matplotlib import colormaps

    return colormaps["Blues"](np.linspace(light, dark, n))
