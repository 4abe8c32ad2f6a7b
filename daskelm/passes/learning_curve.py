"""A learning curve from sums: R2, on the next rows, of a model of the rows so far, and when to stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from ..exceptions import ParameterError
from ..ridge.moments import varies
from ..ridge.solve import Solution, check_alpha
from ..sums.normal_equations import NormalEquations
from ..sums.solved import solve_sums

__all__ = ["CurveMaker", "EarlyStop", "LearningCurvePoint", "Step", "check_callbacks", "check_tol"]

# Number of points that must show no change, since one change may be small by chance.
_LEAST_CHANGES = 2
# Segments end with whole blocks, so that half of the rows is only nearly half.
_NEARLY = 1.05


@dataclass(frozen=True)
class LearningCurvePoint:
    """One point of a learning curve, as `fit` passes it to callbacks.

    Parameters
    ----------
    n_samples : int
        Rows that the model of this point was trained on.
    n_samples_total : int
        All rows.
    score : float
        R2 on other rows, which that model has not seen; the mean over targets, or over the columns of zeros and ones
        for classes.
    alpha : float
        Penalty of that model.
    seconds_left : float
        Estimate, at the rate so far, of the time to the end of all rows.

    Examples
    --------
    >>> import numpy as np
    >>> from daskelm import ELMRegressor
    >>> X = np.random.default_rng(0).uniform(-3, 3, (1000, 1))
    >>> points = []
    >>> model = ELMRegressor(20, random_state=0).fit(X, np.sin(X[:, 0]), callback=points.append)
    >>> points[0].n_samples < points[-1].n_samples < points[-1].n_samples_total
    True
    """

    __module__ = "daskelm"

    n_samples: int
    n_samples_total: int
    score: float
    alpha: float
    seconds_left: float


@dataclass(frozen=True, eq=False)
class Step:
    """State after one more segment: the sums of all segments so far, and the point of those before it, if there is one.

    The point's model was trained on `n_samples` rows and has the R2 `score` on this segment; `gain` is that R2 minus
    the R2, on this segment too, of an earlier model of at most half as many rows.
    """

    total: NormalEquations
    n_samples: int = 0
    score: float | None = None
    alpha: float = 0.0
    gain: float | None = None


class CurveMaker:
    """Takes the sums of one segment after the other, and makes a `Step` of each.

    Parameters
    ----------
    alpha : float or "gcv"
        Penalty, as of `solve`.
    fit_intercept : bool
        Whether there is an intercept.
    per_target : bool
        Whether a penalty that is chosen is chosen for each target.
    check : callable
        Called first with the sums of each segment; returns them, or raises an error.
    """

    def __init__(
        self, alpha, fit_intercept: bool, per_target: bool, check: Callable[[NormalEquations], NormalEquations]
    ):
        self.alpha, self.fit_intercept, self.per_target, self.check = (
            check_alpha(alpha),
            fit_intercept,
            per_target,
            check,
        )
        self.total: NormalEquations | None = None
        self.models: list[tuple[int, Solution]] = []

    def __call__(self, sums: NormalEquations) -> Step:
        """The step after the sums of one more segment."""
        sums, before = self.check(sums), self.total
        self.total = sums if before is None else before + sums
        # GCV needs two rows at least.
        if before is None or before.sum_weights <= 0 or before.sum_counts < 2 or sums.sum_weights <= 0:
            return Step(self.total)
        # A warning of an ill-conditioned point is left to the solution of all rows, which may be well conditioned.
        solution = solve_sums(
            before, self.alpha, fit_intercept=self.fit_intercept, per_target=self.per_target, warn=False
        )
        scores, gain = _r2_of_targets(sums, solution), None
        if earlier := [model for n, model in self.models if n <= before.n_samples / 2 * _NEARLY]:
            # The mean is over targets that vary here: one that cannot gain must not make the gain of others seem small.
            gains = (scores - _r2_of_targets(sums, earlier[-1]))[_vary(sums)[2]]
            gain = float(gains.mean()) if len(gains) else 0.0
        self.models.append((before.n_samples, solution))
        return Step(self.total, before.n_samples, float(scores.mean()), float(np.mean(solution.alpha)), gain)


def _r2_of_targets(sums: NormalEquations, solution: Solution) -> np.ndarray:
    """R2 (n_targets,) of a model on the rows of any sums of its layer; `score.r2` is the mean."""
    errors = sums.squared_error(solution.coef, solution.intercept)
    mean, squares, resolved = _vary(sums)
    ratio = varies(errors, sums.sum_weights, mean).astype(np.float64)
    return 1 - np.divide(errors, squares, where=resolved, out=ratio)


def _vary(sums):
    """The mean of each target, the sum of squares about it, and whether it varies."""
    mean = sums.reference_T + sums.sum_T / sums.sum_weights
    squares = np.maximum(sums.sum_TT - np.square(sums.sum_T) / sums.sum_weights, 0)
    return mean, squares, varies(squares, sums.sum_weights, mean)


class EarlyStop:
    """Decides when more rows no longer help: at all points of the last doubling, R2 changed by too little.

    The change is that from an earlier model of at most half as many rows, both scored on the same rows, which neither
    has seen, so that the much larger noise of the scores themselves cancels. Where the error falls as 1 / rows, all
    further rows together gain as much as the last doubling. A fall counts like a rise: a model that became worse by
    chance is not good enough.

    Parameters
    ----------
    tol : float or None
        A change below this is too little; None never stops.
    """

    def __init__(self, tol: float | None):
        self.tol = tol
        self._changes: list[tuple[int, float]] = []

    def __call__(self, step: Step) -> bool:
        """Whether to stop after this step."""
        if self.tol is None or step.gain is None:
            return False
        self._changes.append((step.n_samples, abs(step.gain)))
        n_last = sum(n * _NEARLY >= step.n_samples / 2 for n, _ in self._changes)
        last = self._changes[-max(n_last, _LEAST_CHANGES) :]
        return len(last) >= _LEAST_CHANGES and all(change < self.tol for _, change in last)


def check_tol(tol) -> float | None:
    """The parameter `tol`, checked: None, or a finite number >= 0."""
    if tol is None:
        return None
    if isinstance(tol, Real) and not isinstance(tol, bool) and 0 <= float(tol) < np.inf:
        return float(tol)
    raise ParameterError(
        f"tol must be None (all rows), or a finite number >= 0, such as 1e-3: the gain in R2 that twice the rows must "
        f"bring for the pass to go on; got {tol!r}."
    )


def check_callbacks(callback) -> Sequence[Callable[[LearningCurvePoint], object]]:
    """The argument `callback` as a sequence of callables."""
    if callback is None:
        return ()
    callbacks = callback if isinstance(callback, list | tuple) else [callback]
    for one in callbacks:
        if not callable(one):
            raise ParameterError(
                f"callback must be a callable, or a list of them, that takes a LearningCurvePoint; got {one!r}."
            )
    return tuple(callbacks)
