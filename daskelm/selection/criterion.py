"""What a criterion of selection is: it sums over the rows, and scores a grid of penalties and numbers of neurons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, Protocol

import numpy as np

from ..data.source import Source
from ..data.targets import Targets
from ..exceptions import ParameterError
from ..layer.layer import Layer
from ..layer.nesting import nested_order
from ..ridge.moments import varies
from ..ridge.path import default_alphas
from ..ridge.solve import check_alpha
from ..sums.normal_equations import NormalEquations
from .ranking import ranked
from .scores import RowScore, row_score
from .validation_set import Validation

__all__ = ["FROM_SUMS", "Criterion", "Grid", "Problem", "Scored", "default_score", "score_from_squares", "score_of"]

# Scores that follow from squared errors, which the sums know.
FROM_SUMS = ("r2", "neg_mean_squared_error", "neg_root_mean_squared_error")


@dataclass(frozen=True)
class Grid:
    """What is tried: penalties `alphas` (n_alphas,), or None for the default ones, and leading `sizes` of the layer."""

    alphas: Any
    sizes: list[int]

    @classmethod
    def of(cls, alphas, n_neurons, layer: Layer, *, ranking: str | None = None) -> Grid:
        """From the parameters of an estimator, checked; with a ranking, `n_neurons` None is a grid of its own."""
        if alphas is not None:
            given = np.atleast_1d(np.asarray(alphas, object)).ravel().tolist()
            if not given or any(isinstance(check_alpha(alpha), str) for alpha in given):
                raise ParameterError(
                    f"alphas must be finite numbers >= 0, at least one, or None for a grid of its own; got {alphas!r}."
                )
            alphas = np.array(given, np.float64)
        if n_neurons is None:
            return cls(alphas, [layer.n_neurons] if ranking is None else _default_sizes(layer.n_neurons))
        sizes = np.atleast_1d(np.asarray(n_neurons, object)).ravel().tolist()
        whole = all(isinstance(size, Integral) and not isinstance(size, bool) for size in sizes)
        if not sizes or not whole or not all(1 <= size <= layer.n_neurons for size in sizes):
            raise ParameterError(
                f"n_neurons must be ints from 1 to the {layer.n_neurons} neurons of the full layer, or None for all "
                f"of them; got {n_neurons!r}. The full layer is the parameter neurons."
            )
        return cls(alphas, [int(size) for size in sizes])

    def with_alphas(self, HH: np.ndarray) -> Grid:
        """The same with the default penalties for this HH, centred and of all rows, if none were given."""
        return replace(self, alphas=default_alphas(HH)) if self.alphas is None else self


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows, what is summed over them, and what is tried on the sums.

    Parameters
    ----------
    layer : Layer
        The full one.
    targets, X, y, weights, verbose
        As for `accumulate`.
    grid : Grid
        What is tried.
    labels : callable
        Gives y in memory, for splitters.
    dtype : dtype
        Of predictions.
    fit_intercept : bool
        Whether there is an intercept.
    validation : Validation, optional
        Other rows, for a criterion that scores on them.
    ranking : str or None
        How neurons are ordered by what they tell of the targets; None is not at all.
    """

    layer: Layer
    targets: Targets
    X: Source
    y: Source
    weights: Source | None
    grid: Grid
    labels: Callable[[], np.ndarray]
    dtype: Any
    fit_intercept: bool = True
    ranking: str | None = None
    verbose: int | bool = 0
    validation: Validation | None = None

    @property
    def nested(self) -> np.ndarray:
        """Nested order of the neurons, of which the grid takes leading ones if there is no ranking."""
        return nested_order(self.layer)

    def order(self, sums: NormalEquations) -> np.ndarray:
        """Order of which the grid takes leading ones, by the sums that decide on it."""
        return ranked(sums, self.nested, self.ranking, fit_intercept=self.fit_intercept)


@dataclass(frozen=True, eq=False)
class Scored:
    """Sums over all rows, and the scores of the grid, which has penalties now; of `folds`, or of one split only.

    `scores` has shape (n_splits, n_alphas, n_sizes), larger is better, NaN where a candidate was refused; `order` is
    that of the neurons by the sums over all rows.
    """

    total: NormalEquations
    order: np.ndarray
    grid: Grid
    scores: np.ndarray
    folds: bool


class Criterion(Protocol):
    """One way to score the grid."""

    def __call__(self, problem: Problem, scoring: str | None, cv: Any) -> Scored:
        """Sum over the rows, and score; `scoring` and `cv` are the parameters of an estimator."""


def default_score(targets: Targets) -> str:
    """What a grid is scored by where there are rows to score it on, and nothing else is asked for."""
    return "r2" if targets.meaning == "numbers" else "accuracy"


def _default_sizes(n_neurons):
    """About ten numbers, from a hundredth of all neurons to all."""
    return np.unique(np.geomspace(max(n_neurons / 100, 1), n_neurons, 10).round().astype(int)).tolist()


def score_of(scoring, problem: Problem) -> str | RowScore:
    """Name of a score that follows from squared errors, or a score that adds over rows."""
    if isinstance(scoring, str) and scoring in FROM_SUMS:
        return scoring
    return row_score(scoring, problem.targets, problem.dtype, FROM_SUMS)


def score_from_squares(squares: np.ndarray, test: NormalEquations, name: str) -> np.ndarray:
    """Score `name` of FROM_SUMS on the rows of `test`, (...), for sums of squared errors (..., n_targets)."""
    if name != "r2":
        errors = squares / test.sum_weights
        return -(np.sqrt(errors) if "root" in name else errors).mean(axis=-1)
    moments = test.moments()
    # As scikit-learn: a target that is constant on the rows scores 1 if it is met, else 0; here, to rounding.
    ratio = varies(squares, test.sum_weights, moments.mean_T).astype(float)
    np.divide(squares, moments.TT, out=ratio, where=moments.informative)
    return (1 - ratio).mean(axis=-1)
