"""`LearningCurvePlot`: a learning curve that is drawn while `fit` goes on, in a notebook or into given axes."""

from __future__ import annotations

import io
from typing import Any

from ..exceptions import ParameterError
from ..passes.learning_curve import LearningCurvePoint
from ..progress import in_notebook

__all__ = ["LearningCurvePlot"]


class LearningCurvePlot:
    """Draws a learning curve while `fit` goes on; to be given to it as `callback`.

    In a notebook one picture is shown and redrawn in place. Elsewhere, or with `ax`, it is drawn into axes of yours.
    Needs matplotlib (``pip install 'daskelm[plot]'``), which is imported with the first point. A further fit begins
    a new curve.

    Parameters
    ----------
    ax : matplotlib.axes.Axes, optional
        Where to draw. Needed outside of a notebook.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The picture, from the first point on.
    ax_ : matplotlib.axes.Axes
        Its axes.

    Raises
    ------
    ParameterError
        There are no axes, and this is no notebook.

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
            # Not by pyplot, which would show it once more at the end of the cell.
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
