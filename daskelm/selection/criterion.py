"""Criteria of model selection: their interface, the problem they get, the grid they score, the scores they return."""

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
from ..layer.sublayer import nested_order
from ..passes.tasks import Job
from ..ridge.eigen import GCV_GRID
from ..ridge.moments import varies
from ..ridge.path import default_alphas
from ..ridge.solve import check_alpha
from ..sums.normal_equations import NormalEquations
from .ranking import ranked
from .scores import FROM_SUMS, RowScore, row_score
from .validation_set import Validation

__all__ = [
    "Criterion",
    "Grid",
    "Problem",
    "Scored",
    "default_score",
    "score_from_squares",
    "score_known_from_sums",
    "score_of",
]


@dataclass(frozen=True)
class Grid:
    """Grid of penalties and numbers of neurons.

    alphas : ndarray of shape (n_alphas,), or None, penalties; None for the default ones, which depend on the sums
    sizes : list of int, numbers of leading neurons
    """

    alphas: Any
    sizes: list[int]

    @classmethod
    def of(cls, alphas, n_neurons, layer: Layer, *, ranking: str | None = None) -> Grid:
        """The grid of an estimator's parameters, checked; with a ranking, `n_neurons` None gives about ten sizes."""
        if alphas is not None:
            given = np.atleast_1d(np.asarray(alphas, object)).ravel().tolist()
            if not given or any(isinstance(check_alpha(alpha), str) for alpha in given):
                raise ParameterError(
                    f"alphas must be finite numbers >= 0, at least one, or None for the default grid; got {alphas!r}."
                )
            alphas = np.array(given, np.float64)
        if n_neurons is None:
            L = layer.n_neurons
            # With a ranking, about ten sizes in geometric steps, from a hundredth of the neurons to all.
            steps = [L] if ranking is None else np.geomspace(max(L / 100, 1), L, 10).round()
            return cls(alphas, np.unique(steps).astype(int).tolist())
        sizes = np.atleast_1d(np.asarray(n_neurons, object)).ravel().tolist()
        whole = all(isinstance(size, Integral) and not isinstance(size, bool) for size in sizes)
        if not sizes or not whole or not all(1 <= size <= layer.n_neurons for size in sizes):
            raise ParameterError(
                f"n_neurons must be ints from 1 to the {layer.n_neurons} neurons of the full layer, or None for all "
                f"of them; got {n_neurons!r}. The full layer is the parameter neurons."
            )
        return cls(alphas, [int(size) for size in sizes])

    @property
    def shape(self) -> tuple[int, int]:
        """(n_alphas, n_sizes); the most that it can be as long as the penalties depend on the sums."""
        return len(GCV_GRID if self.alphas is None else self.alphas), len(self.sizes)

    def with_alphas(self, HH: np.ndarray) -> Grid:
        """The grid with default penalties for this HH (centred, over all rows), if none were given."""
        return replace(self, alphas=default_alphas(HH)) if self.alphas is None else self


@dataclass(frozen=True, eq=False)
class Problem:
    """Input of a criterion: the training rows, the layer, and the grid to score.

    Parameters
    ----------
    layer : Layer
        The full layer.
    targets, X, y, weights, verbose
        As for `accumulate`.
    grid : Grid
        Candidates.
    labels_for_splitter : callable
        Returns y in memory, for splitters.
    dtype : dtype
        Type of predictions.
    fit_intercept : bool
        Whether there is an intercept.
    validation : Validation, optional
        Rows that the grid is scored on, if they are given.
    ranking : str or None
        Method that orders neurons by usefulness; None keeps the nested order.
    """

    layer: Layer
    targets: Targets
    X: Source
    y: Source
    weights: Source | None
    grid: Grid
    labels_for_splitter: Callable[[], np.ndarray]
    dtype: Any
    fit_intercept: bool = True
    ranking: str | None = None
    verbose: int | bool = 0
    validation: Validation | None = None

    @property
    def job(self) -> Job:
        """Arguments of a pass over the training rows."""
        return Job(self.layer, self.targets, self.X, self.y, self.weights)

    @property
    def nested(self) -> np.ndarray:
        """Nested order of the neurons, whose leading ones form smaller layers if there is no ranking."""
        return nested_order(self.layer)

    def order(self, sums: NormalEquations) -> np.ndarray:
        """Order of the neurons whose leading ones form smaller layers: ranked by these sums, or nested."""
        return ranked(sums, self.nested, self.ranking, fit_intercept=self.fit_intercept)


@dataclass(frozen=True, eq=False)
class Scored:
    """Result of a criterion: the scores of a grid.

    total : NormalEquations, sums over all training rows
    order : ndarray of shape (n_neurons,), order of the neurons by these sums
    grid : Grid, candidates, with penalties
    scores : ndarray of shape (n_splits, n_alphas, n_sizes), scores, larger is better; NaN where a candidate was refused
    folds : bool, whether the splits are folds, or one split only
    prefer_large_alphas : bool, whether of equal scores the largest penalty is taken, and not the first in the grid
    """

    total: NormalEquations
    order: np.ndarray
    grid: Grid
    scores: np.ndarray
    folds: bool
    prefer_large_alphas: bool = False


class Criterion(Protocol):
    """A method to score the grid."""

    def __call__(self, problem: Problem, scoring: str | None, cv: Any) -> Scored:
        """Sum over the rows and score the grid; `scoring` and `cv` are the parameters of an estimator."""


def default_score(targets: Targets) -> str:
    """Default of `scoring`: r2, or for classes the squared error of the outputs, which is known from the sums.

    Penalties that are chosen by it have better probabilities than those chosen by accuracy, which counts labels alone.
    """
    return "r2" if targets.meaning == "numbers" else "neg_mean_squared_error"


def score_of(scoring, problem: Problem) -> str | RowScore:
    """A name from FROM_SUMS, or a score that adds over rows."""
    if isinstance(scoring, str) and scoring in FROM_SUMS:
        return scoring
    return row_score(scoring, problem.targets, problem.dtype)


def score_known_from_sums(scoring, problem: Problem) -> str:
    """A name from FROM_SUMS, for criteria that have no second pass."""
    score = score_of(scoring or default_score(problem.targets), problem)
    if not isinstance(score, str):
        raise ParameterError(
            f"scoring: {scoring!r} needs the rows once more; with cv=None or 'gcv', which know their sums alone, it "
            f"must be None or one of {', '.join(map(repr, FROM_SUMS))}. Set cv=5 or cv='loo'."
        )
    return score


def score_from_squares(squares: np.ndarray, test: NormalEquations, name: str) -> np.ndarray:
    """Scores (...) on the rows of `test` from sums of squared errors (..., n_targets); `name` is in FROM_SUMS."""
    if name != "r2":
        errors = squares / test.sum_weights
        return -(np.sqrt(errors) if "root" in name else errors).mean(axis=-1)
    moments = test.moments()
    # As in scikit-learn, a target that is constant on the rows scores 1 if predicted exactly, else 0; here to rounding.
    ratio = varies(squares, test.sum_weights, moments.mean_T).astype(float)
    np.divide(squares, moments.TT, out=ratio, where=moments.informative)
    return (1 - ratio).mean(axis=-1)
