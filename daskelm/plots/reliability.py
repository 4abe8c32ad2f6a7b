"""Reliability diagram: how often what was predicted with some probability is so, for any number of rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any, Self

import numpy as np

from ..data.finite import check_finite
from ..data.inputs import check_lengths, is_lazy, one_column, open_input, plain_values
from ..data.labels import count_classes, labels_in
from ..data.row_chunks import apply_to_rows
from ..data.source import Source, is_path, n_columns
from ..data.targets import ClassTargets, IndicatorTargets
from ..exceptions import DataError, InputTypeError, ParameterError
from .axes import INK, OTHER, axes_for, light_grid, need_matplotlib

__all__ = ["ReliabilityCounts", "ReliabilityDisplay"]


@dataclass(frozen=True, eq=False)
class ReliabilityCounts:
    """Sums over the rows, or over the labels of all rows, by bins of equal width of the probability.

    weight : ndarray of shape (n_bins,), sum of weights
    probability : ndarray of shape (n_bins,), weighted sum of probabilities
    hits : ndarray of shape (n_bins,), sum of weights of those that are so
    n_samples : int, number of rows
    """

    weight: np.ndarray
    probability: np.ndarray
    hits: np.ndarray
    n_samples: int

    @property
    def gap(self) -> float:
        """Expected calibration error: the mean distance from the diagonal, by weight. Naeini et al. (2015)."""
        return float(np.abs(self.probability - self.hits).sum() / self.weight.sum())

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean probability and part that is so, of each bin that holds something."""
        held = self.weight > 0
        return self.probability[held] / self.weight[held], self.hits[held] / self.weight[held]


class ReliabilityDisplay:
    """Reliability diagram: the part of the rows that are so, over the predicted probability.

    On the diagonal, what was predicted with a probability of 0.7 is so in 70 % of the rows. Rows are counted chunk by
    chunk: one pass over lazy inputs in bounded memory, and the same counts for any chunks. The gap in the title is the
    mean distance from the diagonal, the expected calibration error.

    Parameters
    ----------
    counts : ReliabilityCounts
        Sums over all rows.
    what : str, default=""
        The event whose probability it is, for the axis labels.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot.
    figure_ : matplotlib Figure
        Its figure.

    References
    ----------
    Murphy, Winkler (1977); Naeini, Cooper, Hauskrecht (2015) for the gap.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from sklearn.datasets import load_digits
    >>> from daskelm import ELMClassifier, ReliabilityDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X[:, X[1::2].std(axis=0) > 0]
    >>> model = ELMClassifier(random_state=0).fit(X[1::2], y[1::2])
    >>> display = ReliabilityDisplay.from_estimator(model, X[::2], y[::2])
    >>> display.counts.gap < 0.05
    True
    """

    __module__ = "daskelm"

    ax_: Any
    figure_: Any

    def __init__(self, counts: ReliabilityCounts, what: str = ""):
        self.counts = counts
        self.what = what

    @classmethod
    def from_estimator(
        cls, model, X, y, *, sample_weight=None, label=None, n_bins=10, name=None, ax=None, **kwargs
    ) -> Self:
        """Predict probabilities, count and draw.

        Parameters
        ----------
        model : estimator
            A fitted classifier.
        X : array-like, dask array or dataframe, h5py.Dataset, or HDF5 path(s), of shape (n_samples, n_features)
            Inputs that it was not fitted to.
        y : the same, of shape (n_samples,) or (n_samples, n_labels)
            True labels.
        sample_weight : the same, of shape (n_samples,), optional
            Weights of the rows.
        label : label, optional
            Class whose probability is shown, or number of the label of multi-label targets. If not given, it is the
            second of two classes; of more, the predicted one, whichever that is; of multi-label targets, all together.
        n_bins : int, default=10
            Number of bins from 0 to 1.
        name : str, optional
            Name of the model, for a legend.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        **kwargs : dict
            Passed to matplotlib's `plot`.

        Returns
        -------
        ReliabilityDisplay
            With `ax_` and `figure_`.

        Raises
        ------
        MissingExtraError
            matplotlib is not installed.
        """
        need_matplotlib(cls.__name__)
        given = y
        if isinstance(y, list | tuple):
            given = open_input(y, "y") if is_path(X) else np.asarray(y)
        options = {"sample_weight": sample_weight, "label": label, "n_bins": n_bins, "name": name, "ax": ax}
        return cls.from_predictions(given, model.predict_proba(X), classes=model.classes_, **options, **kwargs)

    @classmethod
    def from_predictions(
        cls, y, y_prob, *, classes=None, sample_weight=None, label=None, n_bins=10, name=None, ax=None, **kwargs
    ) -> Self:
        """Count and draw.

        Parameters
        ----------
        y : array-like, dask array or dataframe, h5py.Dataset, or HDF5 path(s), of shape (n_samples,) or \
(n_samples, n_labels)
            True labels.
        y_prob : the same, of shape (n_samples,) or (n_samples, n_classes)
            Predicted probabilities of the classes in their order, or of the second of two.
        classes : array-like of shape (n_classes,), optional
            Labels of the columns; those in y, sorted, if not given.
        sample_weight : the same as y, of shape (n_samples,), optional
            Weights of the rows.
        label : label, optional
            Class whose probability is shown, or number of the label of multi-label targets. If not given, it is the
            second of two classes; of more, the predicted one, whichever that is; of multi-label targets, all together.
        n_bins : int, default=10
            Number of bins from 0 to 1.
        name : str, optional
            Name of the model, for a legend.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        **kwargs : dict
            Passed to matplotlib's `plot`.

        Returns
        -------
        ReliabilityDisplay
            With `ax_` and `figure_`.

        Raises
        ------
        DataError
            Lengths differ, labels that are not among the classes, or values that are no probabilities.
        ParameterError
            A `label` that is not among the classes; `n_bins` that is no positive int.
        """
        need_matplotlib(cls.__name__)
        if not isinstance(n_bins, Integral) or isinstance(n_bins, bool) or n_bins < 1:
            raise ParameterError(f"n_bins must be an int, 1 or more; got {n_bins!r}.")
        p, truth = _opened(y_prob, "y_prob"), _opened(y, "y", beside=y_prob)
        weights = None if sample_weight is None else _opened(sample_weight, "sample_weight")
        check_lengths(y=truth, y_prob=p, sample_weight=weights)
        targets, column, what = _event(truth, n_columns(p), p.ndim, classes, label)
        count = partial(_counts, targets=targets, column=column, n_bins=int(n_bins))
        parts = apply_to_rows(count, {"y": truth, "y_prob": p, "sample_weight": weights}, 0, "count")
        weight, probability, hits = np.sum(parts, axis=0)
        counts = ReliabilityCounts(weight, probability, hits, n_samples=int(p.shape[0]))
        return cls(counts, what).plot(ax, name=name, **kwargs)

    def plot(self, ax=None, *, name=None, **kwargs) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        name : str, optional
            Name of the model, for a legend.
        **kwargs : dict
            Passed to matplotlib's `plot`.

        Returns
        -------
        ReliabilityDisplay
            Itself, with `ax_` and `figure_`.
        """
        self.figure_, ax = axes_for(ax, type(self).__name__)
        self.ax_ = ax
        style = {"color": OTHER, "marker": "o", "markersize": 5, "label": name}
        ax.plot(*self.counts.curve(), **(style | kwargs))
        if not any(line.get_label() == "calibrated" for line in ax.get_lines()):
            ax.axline((0, 0), slope=1, color=INK, linestyle="--", linewidth=1, label="calibrated")
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        ax.set(xlabel=f"predicted probability {self.what}".rstrip(), ylabel="part of the rows that are so")
        ax.set_title(f"{self.counts.n_samples:,} rows, gap = {self.counts.gap:.3f}")
        light_grid(ax)
        ax.legend(loc="upper left", framealpha=0.9, edgecolor="none")
        return self


def _opened(values, name, beside=None) -> Source:
    """Labels, probabilities or weights, opened from any supported type; a list of words is labels beside data."""
    if isinstance(values, list | tuple) and beside is not None and not is_path(beside):
        values = np.asarray(values)
    source = (
        labels_in(open_input(values, name)) if is_lazy(values) else np.asarray(one_column(plain_values(values, name)))
    )
    if source.ndim not in (1, 2):
        raise DataError(f"{name} must be 1-D or 2-D; got shape {source.shape}.")
    if name != "y" and source.dtype.kind not in "fiub":
        raise InputTypeError(f"{name} must hold numbers; got {source.dtype}. Give what predict_proba returns.")
    return source


def _event(y, n_probabilities, ndim, classes, label) -> tuple[ClassTargets | IndicatorTargets, int | None, str]:
    """Targets that y is of, the column of the event, None for all or the predicted one, and what the event is."""
    if n_columns(y) > 1:
        if n_columns(y) != n_probabilities:
            raise DataError(f"y must have a column for each of y_prob; got {n_columns(y)} and {n_probabilities}.")
        known = list(range(n_probabilities))
        targets: ClassTargets | IndicatorTargets = IndicatorTargets(n_probabilities)
        rest = "of each label"
    else:
        labels = count_classes(y)[0] if classes is None else np.asarray(classes)
        n_classes = 2 if ndim == 1 or n_probabilities == 1 else n_probabilities
        if len(labels) != n_classes:
            raise DataError(
                f"y_prob must be of the classes {labels.tolist()}, one column for each, or one for the second of two; "
                f"got {n_probabilities} column(s). Give classes=model.classes_ where some are not in y."
            )
        known, targets, rest = labels.tolist(), ClassTargets(labels), "of the predicted class"
        if label is None and n_classes == 2:
            label = known[1]
    if label is None:
        return targets, None, rest
    if label not in known:
        raise ParameterError(f"label must be one of {known[:10]}; got {label!r}.")
    return targets, known.index(label), f"of {label}"


def _counts(y, p, weights, first_row, targets, column, n_bins):
    """Sums (3, n_bins) of weights, probabilities and hits of a block of rows."""
    p = np.asarray(p, np.float64).reshape(len(p), -1)
    check_finite(p, "y_prob", first_row)
    if ((p < 0) | (p > 1)).any():
        raise DataError(f"y_prob must be from 0 to 1; got {p.min():g} to {p.max():g} in the rows from {first_row} on.")
    if isinstance(targets, IndicatorTargets):
        hits = targets.encode(np.asarray(y))
    else:
        p = np.concatenate([1 - p, p], axis=1) if p.shape[1] == 1 else p
        hits = (targets.indices(np.asarray(y))[:, None] == np.arange(p.shape[1])).astype(np.float64)
        if column is None:
            largest = np.argmax(p, axis=1)[:, None]
            p, hits = (np.take_along_axis(part, largest, axis=1) for part in (p, hits))
    if column is not None:
        p, hits = p[:, [column]], hits[:, [column]]
    of_rows = np.ones(len(p)) if weights is None else np.asarray(weights, np.float64).reshape(-1)
    each = np.broadcast_to(of_rows[:, None], p.shape).ravel()
    where = np.minimum((p.ravel() * n_bins).astype(np.intp), n_bins - 1)
    return np.array([np.bincount(where, each * part, n_bins) for part in (1.0, p.ravel(), hits.ravel())])
