"""Plots of a grid search: its scores over penalties, and over numbers of neurons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..exceptions import ParameterError
from .axes import ACCENT, INK, OTHER, axes_for, colours_between, light_grid, plain_numbers

__all__ = ["GridScores", "NeuronsDisplay", "PenaltyDisplay"]

# Readers cannot distinguish more lines than this by colour.
_LINES = 5


@dataclass(frozen=True, eq=False)
class GridScores:
    """Scores of a grid of penalties and numbers of neurons, and its chosen candidate.

    Parameters
    ----------
    alphas : ndarray of shape (n_alphas,)
        Penalties, ascending.
    sizes : ndarray of shape (n_sizes,)
        Numbers of neurons, ascending.
    scores : ndarray of shape (n_alphas, n_sizes)
        Mean scores; NaN for refused candidates. Errors, which scikit-learn negates, are positive here.
    deviations : ndarray of shape (n_alphas, n_sizes) or None
        Standard deviations between folds; None without folds.
    chosen : tuple of two ints
        Indices of the chosen penalty and number of neurons.
    name : str
        Name of the score, for the axes.
    lower_is_better : bool
        True for errors.
    n_folds : int
        Number of folds; 0 without folds.
    """

    alphas: np.ndarray
    sizes: np.ndarray
    scores: np.ndarray
    deviations: np.ndarray | None
    chosen: tuple[int, int]
    name: str
    lower_is_better: bool
    n_folds: int

    @classmethod
    def of(cls, model, scoring: str | None = None) -> GridScores:
        """Scores in the fitted attribute `cv_results_`, named after `scoring`, or after the model's own scoring."""
        results = getattr(model, "cv_results_", None)
        if results is None or "param_alpha" not in results or "param_n_neurons" not in results:
            raise ParameterError(
                "model must have cv_results_, the scores of penalties and numbers of neurons; got "
                f"{type(model).__name__} without. Fit ELMRegressorCV or ELMClassifierCV with store_cv_results=True."
            )
        alphas, rows = np.unique(np.asarray(results["param_alpha"], np.float64), return_inverse=True)
        sizes, columns = np.unique(np.asarray(results["param_n_neurons"], np.int64), return_inverse=True)

        n_folds = sum(column.startswith("split") for column in results)

        def table(column):
            values = np.full((len(alphas), len(sizes)), np.nan)
            values[rows, columns] = results[column]
            return values

        scoring = scoring or getattr(model, "scoring", None)
        if scoring is None:
            # Only the CV estimators have a parameter scoring; `select` of the others takes r2 if none is given.
            of_classes = hasattr(model, "classes_") and hasattr(model, "scoring")
            scoring = "neg_mean_squared_error" if of_classes else "r2"
        negated = scoring.startswith("neg_")
        name = "R²" if scoring == "r2" else scoring.removeprefix("neg_").replace("_", " ")
        # Among equal scores the model may have taken another one than the first.
        tied = np.flatnonzero(results["rank_test_score"] == 1).tolist()
        own = getattr(model, "alpha_", None), getattr(model, "n_neurons_", None)
        # A penalty per target is not of this grid.
        tied = [i for i in tied if isinstance(own[0], float) and (alphas[rows[i]], sizes[columns[i]]) == own] or tied
        best = tied[0]
        scores = table("mean_test_score")
        return cls(
            alphas,
            sizes,
            -scores if negated else scores,
            table("std_test_score") if "std_test_score" in results else None,
            (int(rows[best]), int(columns[best])),
            name,
            negated,
            n_folds,
        )

    @property
    def best_by_size(self) -> np.ndarray:
        """Index of the best penalty for each number of neurons (n_sizes,); -1 if all were refused."""
        worst = np.inf if self.lower_is_better else -np.inf
        known = np.isfinite(self.scores)
        filled = np.where(known, self.scores, worst)
        best = filled.argmin(axis=0) if self.lower_is_better else filled.argmax(axis=0)
        return np.where(known.any(axis=0), best, -1)

    @property
    def label(self) -> str:
        """Axis label: the score's name, and the number of folds that it is the mean of."""
        return f"{self.name}, mean of {self.n_folds} folds" if self.n_folds else self.name


class _SelectionDisplay:
    """Base of both displays: the constructors, the band of deviations and the axis of scores."""

    ax_: Any
    figure_: Any

    # Scores further from the best than this many times the median's distance may leave the frame.
    _frame: float

    def __init__(self, scores: GridScores):
        self.scores = scores

    @classmethod
    def from_estimator(cls, model, *, scoring=None, ax=None, **kwargs) -> Self:
        """Draw the scores of a fitted estimator.

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
        """Draw the scores.

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
        """Set the axis to the range of good scores; a few that are far worse may leave the frame."""
        found = self.scores
        ax.set_ylabel(found.label)
        known = scores[np.isfinite(scores)]
        if found.lower_is_better and known.min() > 0 and known.max() > 3 * known.min():
            ax.set_yscale("log")
            ax.autoscale_view()
        else:
            best = known.min() if found.lower_is_better else known.max()
            far = best + self._frame * (np.median(known) - best)
            low, high = ax.get_ylim()
            if far != best:
                ax.set_ylim((low, min(high, far)) if found.lower_is_better else (max(low, far), high))
        plain_numbers(ax.yaxis, log=ax.get_yscale() == "log")


class PenaltyDisplay(_SelectionDisplay):
    """Scores over the penalty, one line for each of up to five numbers of neurons, and the chosen pair.

    The band around the chosen number of neurons is one standard deviation between folds.

    Parameters
    ----------
    scores : GridScores
        Scores of the whole grid.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot.
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

    _frame = 4.0

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
            # A logarithmic axis cannot show the penalty zero.
            ax.set_xscale("symlog", linthresh=found.alphas[1] if len(found.alphas) > 1 else 1.0)
        ax.set_title(f"chosen: alpha = {found.alphas[a]:.3g}, {found.sizes[s]:,} neurons")
        self._scale_scores(ax, found.scores[:, shown])
        # The lines fill the axes, so the legend stands beside them.
        ax.legend(title="neurons", frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), alignment="left")

    def _lines(self):
        """Indices of the numbers of neurons that get a line: smallest, largest, chosen, and some evenly between."""
        sizes, s = self.scores.sizes, self.scores.chosen[1]
        if len(sizes) <= _LINES:
            return list(range(len(sizes)))
        even = np.geomspace(sizes[0], sizes[-1], _LINES)
        near = [int(np.abs(np.log(sizes) - np.log(size)).argmin()) for size in even]
        # The chosen number replaces the nearest inner one; both ends stay.
        inner = sorted(near[1:-1], key=lambda i: abs(np.log(sizes[i] / sizes[s])))
        return sorted({near[0], near[-1], s, *(near[1:-1] if s in near else inner[1:])})


class NeuronsDisplay(_SelectionDisplay):
    """Best score over all penalties for each number of neurons, and the chosen number.

    The band is one standard deviation between folds.

    Parameters
    ----------
    scores : GridScores
        Scores of the whole grid.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot.
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

    # Every point is a number of neurons that the user asked for, so nearly all of them stay in the frame.
    _frame = 30.0

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
