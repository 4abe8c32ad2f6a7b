"""Scores that add over rows: counts of a block for many models at once, and the score of the summed counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..data.probabilities import probabilities
from ..data.targets import ClassTargets, IndicatorTargets, RegressionTargets, Targets
from ..exceptions import ParameterError

__all__ = ["FROM_SUMS", "RowScore", "row_score"]

# Scores that can be computed from squared errors, and so from the sums.
FROM_SUMS = ("r2", "neg_mean_squared_error", "neg_root_mean_squared_error")
_OVER_CLASSES = ("f1", "jaccard", "precision", "recall")
_AVERAGES = ("macro", "micro", "weighted")
_OF_LABELS = ("accuracy", *(f"{kind}_{average}" for kind in _OVER_CLASSES for average in _AVERAGES))
_OF_CLASSES = (*_OF_LABELS, "balanced_accuracy", "matthews_corrcoef", "neg_brier_score", "neg_log_loss")
_OF_TWO_CLASSES = (*_OF_CLASSES, *_OVER_CLASSES)
_OF_NUMBERS = ("neg_mean_absolute_error", "neg_mean_absolute_percentage_error")


class RowScore(Protocol):
    """A scikit-learn score as sums over rows; larger is better."""

    def counts(self, outputs: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Counts to be summed (n_models, n_counts), from outputs (rows, n_models, n_targets) and weights (rows,)."""

    def truth(self, y: np.ndarray) -> np.ndarray:
        """The true values, in the form that `counts` compares with."""

    def value(self, counts: np.ndarray) -> np.ndarray:
        """The score (...) from summed counts (..., n_counts)."""


def row_score(scoring, targets: Targets, dtype) -> RowScore:
    """The score with this name.

    Parameters
    ----------
    scoring : str
        Name of a scorer of scikit-learn.
    targets : Targets
        Targets that are predicted.
    dtype : dtype
        Type of predictions; probabilities are compared in this precision, as users get them.

    Raises
    ------
    ParameterError
        The score does not add over rows, or is not for these targets.
    """
    known: tuple[str, ...]
    if isinstance(targets, RegressionTargets):
        known, plain = _OF_NUMBERS, "ELMRegressor"
    elif isinstance(targets, IndicatorTargets):
        known, plain = _OF_LABELS, "ELMClassifier"
    else:
        known, plain = _OF_TWO_CLASSES if len(targets.classes) == 2 else _OF_CLASSES, "ELMClassifier"
    if not isinstance(scoring, str) or scoring not in known:
        raise ParameterError(
            "scoring must be the name of a score that is known from sums or adds over rows, here one of "
            f"{', '.join(map(repr, (*FROM_SUMS, *known)))}; got {scoring!r}. For others use GridSearchCV over {plain}, "
            "with neurons and alpha near those that are chosen here."
        )
    if isinstance(targets, RegressionTargets):
        return _AbsoluteError(targets, scoring == "neg_mean_absolute_percentage_error")
    if isinstance(targets, IndicatorTargets):
        return _OfLabels(targets, scoring, None)
    if scoring in ("neg_brier_score", "neg_log_loss"):
        return _OfProbabilities(targets, np.dtype(dtype), scoring == "neg_log_loss")
    positive = None
    if scoring in _OVER_CLASSES:
        found = [i for i, label in enumerate(targets.classes.tolist()) if label == 1]
        if not found:
            raise ParameterError(
                f"scoring: {scoring!r} is about the class 1, which must be among the classes; got "
                f"{targets.classes.tolist()}. Use {scoring + '_macro'!r}, or labels 0 and 1."
            )
        positive = found[0]
    return _OfLabels(targets, scoring, positive)


@dataclass(frozen=True)
class _AbsoluteError:
    targets: RegressionTargets
    relative: bool

    def truth(self, y):
        return self.targets.encode(y)

    def counts(self, outputs, truth, weights):
        errors = np.abs(outputs - truth[:, None, :])
        if self.relative:
            errors /= np.maximum(np.abs(truth), np.finfo(np.float64).eps)[:, None, :]
        sums = np.tensordot(weights, errors, 1)
        return np.concatenate([sums, np.full((len(sums), 1), weights.sum())], axis=1)

    def value(self, counts):
        return -np.mean(counts[..., :-1] / counts[..., -1:], axis=-1)


@dataclass(frozen=True, eq=False)
class _OfProbabilities:
    targets: ClassTargets
    dtype: np.dtype
    logarithm: bool

    def truth(self, y):
        return self.targets.indices(y)

    def counts(self, outputs, truth, weights):
        n, m, c = outputs.shape
        # Each model of the grid would have a link of its own, fitted to more rows; without one, the order of models by
        # these scores says little less.
        p = probabilities(outputs.reshape(-1, c), False).astype(self.dtype, copy=False).reshape(n, m, -1)
        of_truth = np.take_along_axis(p, truth[:, None, None], axis=2)[:, :, 0].astype(np.float64)
        if self.logarithm:
            eps = np.finfo(self.dtype).eps
            losses = -np.log(np.clip(of_truth, eps, 1 - eps))
        else:
            losses = np.square(p, dtype=np.float64).sum(axis=2) - 2 * of_truth + 1
            # scikit-learn counts the error of one class only where there are two.
            losses *= 0.5 if p.shape[2] == 2 else 1.0
        return np.stack([weights @ losses, np.full(m, weights.sum())], axis=1)

    def value(self, counts):
        return -counts[..., 0] / counts[..., 1]


@dataclass(frozen=True, eq=False)
class _OfLabels:
    """Scores from five weights: rows correct, predicted and true, per class; rows correct, and all rows."""

    targets: ClassTargets | IndicatorTargets
    name: str
    positive: int | None

    def truth(self, y):
        return self.targets.indices(y) if isinstance(self.targets, ClassTargets) else self.targets.encode(y) > 0.5

    def counts(self, outputs, truth, weights):
        m, total = outputs.shape[1], weights.sum()
        if isinstance(self.targets, IndicatorTargets):
            predicted = outputs > 0.5
            right = weights @ (predicted == truth[:, None, :]).all(axis=2)
            both = np.tensordot(weights, predicted & truth[:, None, :], 1)
            of_predicted, of_true = np.tensordot(weights, predicted, 1), np.tile(weights @ truth, (m, 1))
        else:
            n, predicted = len(self.targets.classes), self._predicted(outputs)
            hit = predicted == truth[:, None]
            right = weights @ hit
            if self.name == "accuracy":
                return np.stack([right, np.full(m, total)], axis=1)
            places = predicted + n * np.arange(m)
            each = np.broadcast_to(weights[:, None], places.shape)
            of_predicted = np.bincount(places.ravel(), each.ravel(), n * m).reshape(m, n)
            both = np.bincount(places[hit], each[hit], n * m).reshape(m, n)
            of_true = np.tile(np.bincount(truth, weights, n), (m, 1))
        return np.concatenate([both, of_predicted, of_true, right[:, None], np.full((m, 1), total)], axis=1)

    def _predicted(self, outputs):
        """Indices (rows, n_models) of the classes that `predict` returns."""
        return np.argmax(outputs, axis=2) if outputs.shape[2] > 1 else (outputs[:, :, 0] > 0.5).astype(np.intp)

    def value(self, counts):
        right, total = counts[..., -2], counts[..., -1]
        if self.name == "accuracy":
            return right / total
        both, predicted, true = np.split(counts[..., :-2], 3, axis=-1)
        if self.name == "balanced_accuracy":
            return _mean(_ratio(both, true), true > 0)
        if self.name == "matthews_corrcoef":
            covariance = right * total - (predicted * true).sum(axis=-1)
            spread = (total**2 - np.square(predicted).sum(axis=-1)) * (total**2 - np.square(true).sum(axis=-1))
            return _ratio(covariance, np.sqrt(np.maximum(spread, 0)))
        kind, _, average = self.name.partition("_")
        if average == "micro":
            both, predicted, true = (part.sum(axis=-1, keepdims=True) for part in (both, predicted, true))
        of_classes = {
            "f1": lambda: _ratio(2 * both, predicted + true),
            "jaccard": lambda: _ratio(both, predicted + true - both),
            "precision": lambda: _ratio(both, predicted),
            "recall": lambda: _ratio(both, true),
        }[kind]()
        if self.positive is not None:
            return of_classes[..., self.positive]
        if average == "weighted":
            return _ratio((of_classes * true).sum(axis=-1), true.sum(axis=-1))
        # As in scikit-learn, classes that neither occur nor are predicted are left out, except in multi-label targets.
        present = (predicted > 0) | (true > 0) | isinstance(self.targets, IndicatorTargets)
        return of_classes[..., 0] if average == "micro" else _mean(of_classes, present)


def _ratio(a, b):
    return np.divide(a, b, out=np.zeros(np.broadcast_shapes(np.shape(a), np.shape(b))), where=b != 0)


def _mean(values, counted):
    return _ratio(np.where(counted, values, 0.0).sum(axis=-1), counted.sum(axis=-1))
