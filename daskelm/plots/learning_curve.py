"""A picture of learning: the score on rows not seen yet, over the rows that were."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from ..exceptions import ParameterError
from .axes import OTHER, axes_for, light_grid, plain_numbers

__all__ = ["LearningCurveDisplay"]

# Scores that are worse than the best by so many times what the median is may leave the frame.
_FAR = 8.0


class LearningCurveDisplay:
    """The score on rows that were not seen yet, over the number of rows that were: whether more rows would help.

    Parameters
    ----------
    n_samples : ndarray of shape (n_points,)
        Rows that a model was solved from.
    score : ndarray of shape (n_points,)
        Its R2 on rows not among them.

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
    >>> from daskelm import LearningCurveDisplay
    >>> LearningCurveDisplay([100, 1000, 10000], [0.5, 0.8, 0.85]).plot().ax_.get_xlabel()
    'rows learned from'
    """

    __module__ = "daskelm"

    ax_: Any
    figure_: Any

    def __init__(self, n_samples, score):
        self.n_samples = np.asarray(n_samples)
        self.score = np.asarray(score, np.float64)

    @classmethod
    def from_estimator(cls, model, *, ax=None, **kwargs) -> Self:
        """Draw the curve that a fit left.

        Parameters
        ----------
        model : ELMRegressor or ELMClassifier
            Fitted with a callback, `tol` or ``verbose=2``, so that it has `learning_curve_`.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        **kwargs : dict
            Passed to matplotlib's `plot`.

        Returns
        -------
        LearningCurveDisplay
            With `ax_` and `figure_`.

        Raises
        ------
        ParameterError
            The model has no learning curve.
        """
        curve = getattr(model, "learning_curve_", None)
        if curve is None:
            raise ParameterError(
                f"model must have learning_curve_, the scores while it was fitted; got {type(model).__name__} without. "
                "Fit an ELMRegressor or ELMClassifier with callback=, tol or verbose=2, or give n_samples and score."
            )
        return cls(curve["n_samples"], curve["score"]).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        **kwargs : dict
            Passed to matplotlib's `plot`.

        Returns
        -------
        LearningCurveDisplay
            Itself, with `ax_` and `figure_`.
        """
        self.figure_, ax = axes_for(ax, type(self).__name__)
        self.ax_ = ax
        ax.plot(self.n_samples, self.score, **({"color": OTHER, "marker": "o", "markersize": 5} | kwargs))
        ax.set(xscale="log", xlabel="rows learned from", ylabel="R² on rows not seen yet")
        known = self.score[np.isfinite(self.score)]
        if len(known):
            # Of the first few rows it may be far below zero.
            best = known.max()
            low = max(known.min(), best - _FAR * (best - np.median(known)))
            margin = 0.05 * (best - low) or 0.05
            ax.set_ylim(low - margin, best + margin)
            ax.set_title(f"R² = {self.score[-1]:.4g} with {int(self.n_samples[-1]):,} rows")
        light_grid(ax)
        plain_numbers(ax.xaxis, log=True)
        plain_numbers(ax.yaxis)
        return self
