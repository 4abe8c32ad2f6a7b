"""Learning curves as pictures: of a finished fit, or redrawn while `fit` runs."""

from __future__ import annotations

import io
from typing import Any, Self

import numpy as np

from ..exceptions import ParameterError
from ..passes.learning_curve import LearningCurvePoint
from ..progress import in_notebook
from .axes import OTHER, axes_for, light_grid, plain_numbers

__all__ = ["LearningCurveDisplay", "LearningCurvePlot"]

# Scores further below the best than 8 times the median's distance may leave the frame.
_FRAME = 8.0


class LearningCurveDisplay:
    """Learning curve: R2 on unseen rows over the number of rows learned from, which shows whether more would help.

    Parameters
    ----------
    n_samples : ndarray of shape (n_points,)
        Numbers of rows that models were solved from.
    score : ndarray of shape (n_points,)
        R2 of these models on rows that are not among them.

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
        """Draw the learning curve that `fit` recorded.

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
        """Draw the curve.

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
            # A model of the first few rows may score far below zero, which would flatten the rest of the curve.
            best = known.max()
            low = max(known.min(), best - _FRAME * (best - np.median(known)))
            margin = 0.05 * (best - low) or 0.05
            ax.set_ylim(low - margin, best + margin)
            ax.set_title(f"R² = {self.score[-1]:.4g} with {int(self.n_samples[-1]):,} rows")
        light_grid(ax)
        plain_numbers(ax.xaxis, log=True)
        plain_numbers(ax.yaxis)
        return self


class LearningCurvePlot:
    """Callback for `fit` that draws the learning curve while it runs.

    In a notebook, one figure is shown and redrawn in place. Elsewhere, or with `ax`, the curve is drawn into your axes.
    Needs matplotlib (``pip install 'daskelm[plot]'``), which is imported at the first point. A further fit begins
    a new curve.

    Parameters
    ----------
    ax : matplotlib.axes.Axes, optional
        Where to draw. Required outside of a notebook.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        Figure of the curve, from the first point on.
    ax_ : matplotlib.axes.Axes
        Its axes.

    Raises
    ------
    ParameterError
        `ax` is None outside of a notebook.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from daskelm import ELMRegressor, LearningCurvePlot
    >>> X = np.random.default_rng(0).uniform(-3, 3, (1000, 1))
    >>> figure, ax = plt.subplots()
    >>> model = ELMRegressor(20, random_state=0).fit(X, np.sin(X[:, 0]), callback=LearningCurvePlot(ax))
    >>> bool((ax.lines[0].get_xdata() == model.learning_curve_["n_samples"]).all())
    True
    >>> plt.close(figure)
    """

    __module__ = "daskelm"

    def __init__(self, ax=None):
        if ax is None and not in_notebook():
            raise ParameterError(
                "ax: outside of a notebook there must be axes to draw into; got None. Make some: figure, ax = "
                "matplotlib.pyplot.subplots(); LearningCurvePlot(ax)."
            )
        self.ax = ax
        self._points: list[LearningCurvePoint] = []
        self._line: Any = None
        self._shown: Any = None

    def __call__(self, point: LearningCurvePoint) -> None:
        """Draw one more point.

        Parameters
        ----------
        point : LearningCurvePoint
            As `fit` gives it.
        """
        if self._points and point.n_samples <= self._points[-1].n_samples:
            self._points, self._line, self._shown = [], None, None
        self._points.append(point)
        if self._line is None:
            self._begin()
        self._line.set_data([p.n_samples for p in self._points], [p.score for p in self._points])
        self.ax_.relim()
        self.ax_.autoscale_view(scalex=False)
        self.ax_.set_xlim(self._points[0].n_samples / 1.2, point.n_samples_total)
        self.ax_.set_title(
            f"R² {point.score:.4f} after {point.n_samples:,} of {point.n_samples_total:,} rows", loc="left"
        )
        if self.ax is None:
            self._show()
        else:
            self.figure_.canvas.draw_idle()

    def _begin(self):
        if self.ax is None:
            # A figure of pyplot would be shown a second time at the end of the cell.
            from matplotlib.figure import Figure

            self.figure_ = Figure(figsize=(6, 3.5), layout="constrained")
            self.ax_ = self.figure_.add_subplot()
        else:
            self.figure_, self.ax_ = self.ax.get_figure(), self.ax
        (self._line,) = self.ax_.plot([], [], marker="o")
        self.ax_.set_xscale("log")
        self.ax_.set_xlabel("rows trained on")
        self.ax_.set_ylabel("R² on rows not seen")
        self.ax_.grid(True, alpha=0.3)

    def _show(self):
        from IPython.display import Image, display

        picture = io.BytesIO()
        self.figure_.savefig(picture, format="png", dpi=100)
        image = Image(data=picture.getvalue(), format="png")
        if self._shown is None:
            self._shown = display(image, display_id=True)
        else:
            self._shown.update(image)
