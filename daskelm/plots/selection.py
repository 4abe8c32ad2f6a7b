"""Pictures of a selection: scores over penalties, and over numbers of neurons."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from .axes import ACCENT, INK, OTHER, axes_for, colours_between, light_grid, plain_numbers
from .grid_scores import GridScores

__all__ = ["NeuronsDisplay", "PenaltyDisplay"]

# More lines than this nobody tells apart.
_LINES = 5


class _SelectionDisplay:
    ax_: Any
    figure_: Any

    # Scores that are worse than the best by so many times what the median is may leave the frame.
    _far: float

    def __init__(self, scores: GridScores):
        self.scores = scores

    @classmethod
    def from_estimator(cls, model, *, scoring=None, ax=None, **kwargs) -> Self:
        """Draw what a fitted estimator found.

        Parameters
        ----------
        model : ELMRegressorCV or ELMClassifierCV
            Fitted, with `cv_results_`.
        scoring : str, optional
            Name of the scores in `cv_results_`, if not the model's own.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        **kwargs : dict
            Passed to matplotlib's `plot` for each line.

        Returns
        -------
        display
            With `ax_` and `figure_`.

        Raises
        ------
        ParameterError
            The model has no `cv_results_`.
        MissingExtraError
            matplotlib is not installed.
        """
        return cls(GridScores.of(model, scoring)).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        **kwargs : dict
            Passed to matplotlib's `plot` for each line.

        Returns
        -------
        display
            Itself, with `ax_` and `figure_`.
        """
        self.figure_, self.ax_ = axes_for(ax, type(self).__name__)
        self._draw(self.ax_, kwargs)
        light_grid(self.ax_)
        return self

    def _draw(self, ax, kwargs):
        raise NotImplementedError

    def _band(self, ax, x, mean, deviation, colour):
        label = "± 1 standard\ndeviation of folds"
        ax.fill_between(x, mean - deviation, mean + deviation, color=colour, alpha=0.18, linewidth=0, label=label)

    def _scale_scores(self, ax, scores):
        """Show where scores are good; the few that are far worse may leave the frame."""
        found = self.scores
        ax.set_ylabel(found.label)
        known = scores[np.isfinite(scores)]
        if found.lower_is_better and known.min() > 0 and known.max() > 3 * known.min():
            ax.set_yscale("log")
            ax.autoscale_view()
        else:
            best = known.min() if found.lower_is_better else known.max()
            far = best + self._far * (np.median(known) - best)
            low, high = ax.get_ylim()
            if far != best:
                ax.set_ylim((low, min(high, far)) if found.lower_is_better else (max(low, far), high))
        plain_numbers(ax.yaxis, log=ax.get_yscale() == "log")


class PenaltyDisplay(_SelectionDisplay):
    """Scores over the penalty, a line for each of a few numbers of neurons, and the pair that was chosen.

    The band around the chosen number of neurons is one standard deviation between folds.

    Parameters
    ----------
    scores : GridScores
        Of the whole grid.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from daskelm import ELMRegressorCV, PenaltyDisplay
    >>> X = np.random.default_rng(0).uniform(-3, 3, (300, 1))
    >>> model = ELMRegressorCV(20, n_neurons=[5, 20], cv=3, random_state=0).fit(X, np.sin(X[:, 0]))
    >>> PenaltyDisplay.from_estimator(model).ax_.get_xlabel()
    'penalty alpha'
    """

    __module__ = "daskelm"

    _far = 4.0

    def _draw(self, ax, kwargs):
        found, (a, s) = self.scores, self.scores.chosen
        shown = self._lines()
        others = [i for i in shown if i != s]
        colours = dict(zip(others, colours_between(0.35, 0.95, len(others)), strict=True))
        few = {"marker": "o", "markersize": 4} if len(found.alphas) <= 15 else {}
        for i in shown:
            style = {"color": ACCENT, "linewidth": 2.6, "zorder": 3} if i == s else {"color": colours[i]}
            label = f"{found.sizes[i]:,}" + (", chosen" if i == s else "")
            ax.plot(found.alphas, found.scores[:, i], **({"label": label} | style | few | kwargs))
        if found.deviations is not None:
            self._band(ax, found.alphas, found.scores[:, s], found.deviations[:, s], ACCENT)
        ax.axvline(found.alphas[a], color=INK, linestyle=":", linewidth=1)
        ax.plot(found.alphas[a], found.scores[a, s], "o", color=ACCENT, markeredgecolor=INK, markersize=9, zorder=4)
        ax.set_xlabel("penalty alpha")
        if found.alphas[0] > 0:
            ax.set_xscale("log")
        else:
            # Zero has no place on a logarithmic axis.
            ax.set_xscale("symlog", linthresh=found.alphas[1] if len(found.alphas) > 1 else 1.0)
        ax.set_title(f"chosen: alpha = {found.alphas[a]:.3g}, {found.sizes[s]:,} neurons")
        self._scale_scores(ax, found.scores[:, shown])
        # Lines go everywhere within.
        ax.legend(title="neurons", frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), alignment="left")

    def _lines(self):
        """Numbers of neurons that have a line: the least, the most, the chosen one, and some evenly between."""
        sizes, s = self.scores.sizes, self.scores.chosen[1]
        if len(sizes) <= _LINES:
            return list(range(len(sizes)))
        even = np.geomspace(sizes[0], sizes[-1], _LINES)
        near = [int(np.abs(np.log(sizes) - np.log(size)).argmin()) for size in even]
        # The chosen one in place of what is nearest to it, but for the ends.
        inner = sorted(near[1:-1], key=lambda i: abs(np.log(sizes[i] / sizes[s])))
        return sorted({near[0], near[-1], s, *(near[1:-1] if s in near else inner[1:])})


class NeuronsDisplay(_SelectionDisplay):
    """The best score over all penalties for each number of neurons, and the number that was chosen.

    The band is one standard deviation between folds.

    Parameters
    ----------
    scores : GridScores
        Of the whole grid.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from daskelm import ELMRegressorCV, NeuronsDisplay
    >>> X = np.random.default_rng(0).uniform(-3, 3, (300, 1))
    >>> model = ELMRegressorCV(20, n_neurons=[5, 10, 20], cv=3, random_state=0).fit(X, np.sin(X[:, 0]))
    >>> NeuronsDisplay.from_estimator(model).ax_.get_xlabel()
    'number of neurons'
    """

    __module__ = "daskelm"

    # Each is a size that somebody asked for.
    _far = 30.0

    def _draw(self, ax, kwargs):
        found, (_, s) = self.scores, self.scores.chosen
        rows = found.best_by_size
        there = np.flatnonzero(rows >= 0)
        x, best = found.sizes[there], found.scores[rows[there], there]
        ax.plot(x, best, **({"color": OTHER, "marker": "o", "markersize": 5} | kwargs))
        if found.deviations is not None:
            self._band(ax, x, best, found.deviations[rows[there], there], OTHER)
            ax.legend(frameon=False)
        ax.axvline(found.sizes[s], color=INK, linestyle=":", linewidth=1)
        chosen = found.scores[found.chosen]
        ax.plot(found.sizes[s], chosen, "o", color=ACCENT, markeredgecolor=INK, markersize=10, zorder=4)
        ax.set(xlabel="number of neurons")
        ax.set_title(f"chosen: {found.sizes[s]:,} neurons, {found.name} = {chosen:.4g}")
        if x[-1] > 10 * x[0]:
            ax.set_xscale("log")
        plain_numbers(ax.xaxis, log=x[-1] > 10 * x[0])
        self._scale_scores(ax, best)
