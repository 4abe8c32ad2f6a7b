"""Plot of predicted against actual values, or of residuals, for any number of rows."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from ..data.frames import is_frame
from ..data.inputs import check_lengths, open_input
from ..data.source import Source, n_columns, source_of
from ..exceptions import DataError, InputTypeError, ParameterError
from .axes import INK, OTHER, axes_for, colours_between, light_grid, need_matplotlib, plain_numbers
from .counts import PredictionCounts, count_predictions

__all__ = ["PredictionDisplay"]

KINDS = ("actual_vs_predicted", "residual_vs_predicted")
# The frame spans these quantiles along each axis; a note gives the fraction of the rows that lie outside of it.
_LEAST, _MOST = 0.0005, 0.9995
# Up to this many rows are drawn as points, more as cells.
_POINTS = 1000


class PredictionDisplay:
    """Predicted against actual values, or residuals, as a 2-D histogram of all rows.

    Rows are counted chunk by chunk and merged: one pass over lazy inputs in bounded memory, and the same counts for
    any chunks. A thousand rows or fewer are drawn as points. R2 is that of all rows.

    Parameters
    ----------
    counts : PredictionCounts
        Counts of all rows.
    name : str, default=""
        What was predicted, with its unit, for the axis labels.

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
    >>> from daskelm import ELMRegressor, PredictionDisplay
    >>> X = np.random.default_rng(0).uniform(-3, 3, (5000, 1))
    >>> y = np.sin(X[:, 0])
    >>> model = ELMRegressor(50, random_state=0).fit(X, y)
    >>> PredictionDisplay.from_estimator(model, X, y, name="sine").ax_.get_xlabel()
    'predicted sine'
    """

    __module__ = "daskelm"

    ax_: Any
    figure_: Any

    def __init__(self, counts: PredictionCounts, name: str = ""):
        self.counts = counts
        self.name = name

    @classmethod
    def from_estimator(
        cls, model, X, y, *, kind="actual_vs_predicted", target=None, name=None, ax=None, **kwargs
    ) -> Self:
        """Predict, count and draw.

        Parameters
        ----------
        model : estimator
            A fitted regressor.
        X : array-like, dask array or dataframe, h5py.Dataset, or HDF5 path(s), of shape (n_samples, n_features)
            Inputs.
        y : the same, of shape (n_samples,) or (n_samples, n_targets)
            Actual values.
        kind : {"actual_vs_predicted", "residual_vs_predicted"}, default="actual_vs_predicted"
            What is drawn over the predicted values; residuals are actual less predicted.
        target : int, optional
            Which of several targets.
        name : str, optional
            What is predicted, with its unit; that of a pandas Series if not given.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        **kwargs : dict
            Passed to matplotlib's `pcolormesh`, or `scatter` for points.

        Returns
        -------
        PredictionDisplay
            With `ax_` and `figure_`.

        Raises
        ------
        MissingExtraError
            matplotlib is not installed.
        """
        _check_kind(kind)
        need_matplotlib(cls.__name__)
        return cls.from_predictions(y, model.predict(X), kind=kind, target=target, name=name, ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls, y, y_pred, *, kind="actual_vs_predicted", target=None, name=None, ax=None, **kwargs
    ) -> Self:
        """Count and draw.

        Parameters
        ----------
        y : array-like, dask array or dataframe, h5py.Dataset, or HDF5 path(s), of shape (n_samples,) or \
(n_samples, n_targets)
            Actual values.
        y_pred : the same
            Predicted values.
        kind : {"actual_vs_predicted", "residual_vs_predicted"}, default="actual_vs_predicted"
            What is drawn over the predicted values; residuals are actual less predicted.
        target : int, optional
            Which of several targets.
        name : str, optional
            What is predicted, with its unit; that of a pandas Series if not given.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        **kwargs : dict
            Passed to matplotlib's `pcolormesh`, or `scatter` for points.

        Returns
        -------
        PredictionDisplay
            With `ax_` and `figure_`.

        Raises
        ------
        DataError
            Lengths differ, there are several targets and no `target`, or values are NaN or infinite.
        InputTypeError
            The values are not numbers.
        """
        _check_kind(kind)
        need_matplotlib(cls.__name__)
        if name is None and is_frame(y) and isinstance(found := getattr(y, "name", None), str):
            name = found
        actual, predicted = _one_target(y, "y", target), _one_target(y_pred, "y_pred", target)
        check_lengths(y=actual, y_pred=predicted)
        return cls(count_predictions(actual, predicted), "" if name is None else str(name)).plot(
            ax, kind=kind, **kwargs
        )

    def plot(self, ax=None, *, kind="actual_vs_predicted", **kwargs) -> Self:
        """Draw the counts.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        kind : {"actual_vs_predicted", "residual_vs_predicted"}, default="actual_vs_predicted"
            What is drawn over the predicted values; residuals are actual less predicted.
        **kwargs : dict
            Passed to matplotlib's `pcolormesh`, or `scatter` for points.

        Returns
        -------
        PredictionDisplay
            Itself, with `ax_` and `figure_`.
        """
        _check_kind(kind)
        self.figure_, ax = axes_for(ax, type(self).__name__)
        self.ax_, counts = ax, getattr(self.counts, kind.partition("_")[0])
        if self.counts.n_samples <= _POINTS:
            style = {"s": 18, "color": OTHER, "alpha": 0.6, "linewidths": 0}
            ax.scatter(*counts.centres.T, **(style | kwargs))
            light_grid(ax)
        else:
            self._draw_cells(ax, counts, kwargs)
        slope = 1 if kind == "actual_vs_predicted" else 0
        limits = {"xlim": ax.get_xlim(), "ylim": ax.get_ylim()}
        ax.axline((0, 0), slope=slope, color=INK, linestyle="--", linewidth=1.3, label="actual = predicted")
        over = "actual" if slope else "residual of" if self.name else "residual: actual \N{MINUS SIGN} predicted"
        ax.set(xlabel=f"predicted {self.name}".rstrip(), ylabel=f"{over} {self.name}".rstrip(), **limits)
        ax.set_title(f"{self.counts.n_samples:,} rows, R² = {self.counts.r2:.4g}")
        for axis in (ax.xaxis, ax.yaxis):
            plain_numbers(axis)
        ax.legend(loc="upper left", framealpha=0.9, edgecolor="none")
        return self

    def _draw_cells(self, ax, counts, kwargs):
        from matplotlib.colors import ListedColormap, LogNorm

        n = self.counts.n_samples
        x, y, table = counts.table(int(np.clip(3 * n ** (1 / 3), 30, 90)), counts.between(_LEAST, _MOST))
        # On white a cell of one row would vanish, and on the darkest blue the diagonal.
        style = {
            "cmap": ListedColormap(colours_between(0.15, 0.9)),
            "norm": LogNorm(1, max(table.max(), 2)),
            "rasterized": True,
        }
        cells = ax.pcolormesh(x, y, np.ma.masked_equal(table.T, 0), **(style | kwargs))
        light_grid(ax)
        bar = self.figure_.colorbar(cells, ax=ax, label="rows per cell", pad=0.02)
        plain_numbers(bar.ax.yaxis, log=True)
        ax.set(xlim=x[[0, -1]], ylim=y[[0, -1]])
        outside = 1 - table.sum() / n
        if outside > 0:
            note = f"{outside:.2%} of the rows lie outside the frame"
            style = {"ha": "right", "va": "bottom", "color": "0.3", "fontsize": "small"}
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
            ax.text(0.99, 0.01, note, transform=ax.transAxes, bbox=box, **style)


def _check_kind(kind):
    if kind not in KINDS:
        raise ParameterError(f"kind must be one of {', '.join(map(repr, KINDS))}; got {kind!r}.")


def _one_target(values, name, target) -> Source:
    """One column of numbers (n_samples,), opened from any supported type."""
    source = open_input(values, name)
    if source.dtype.kind not in "fiub":
        raise InputTypeError(
            f"{name} must hold numbers; got {source.dtype}. For labels there is sklearn.metrics.ConfusionMatrixDisplay."
        )
    if source.ndim not in (1, 2):
        raise DataError(f"{name} must be 1-D or 2-D; got shape {source.shape}.")
    n = n_columns(source)
    if n > 1 and target is None:
        raise DataError(f"{name} must be one target; got {n} columns. Say which: target=0 to target={n - 1}.")
    if not 0 <= (target or 0) < n:
        raise ParameterError(f"target must be from 0 to {n - 1}, one of the columns of {name}; got {target!r}.")
    source = source_of(source).as_array(name)
    return source if source.ndim == 1 else source[:, target or 0]
