"""`Fitted`: what fitting an estimator makes, as one immutable value that the estimator's attributes are read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..data.probabilities import ProbabilityLink
from ..data.targets import Targets
from ..exceptions import ParameterError
from ..layer.layer import Layer
from ..layer.neurons import Neurons
from ..passes.curve_pass import LearningCurve
from ..ridge.solve import Solution
from ..selection.select import Selected, results_of
from ..sums.normal_equations import NormalEquations

__all__ = ["Choice", "Columns", "Draws", "Fitted", "made_with"]

# Parameters that the layer and its sums depend on: after a change of one of them, both must be made anew.
_MADE_WITH = ("neurons", "standardize", "missing", "dtype", "random_state", "class_weight", "gram_dtype")


@dataclass(frozen=True)
class Columns:
    """Number of the columns of X, their names, names of the columns that were the targets, and levels of categories."""

    n_features: int
    names: tuple[str, ...] | None = None
    targets: tuple[str, ...] = ()
    levels: tuple[tuple | None, ...] | None = None


@dataclass(frozen=True)
class Draws:
    """Groups of neurons as they were drawn, and the errors of the draws that were chosen from, by name."""

    neurons: tuple = ()
    errors: Mapping | None = None


@dataclass(frozen=True, eq=False)
class Choice:
    """Scores of a grid of penalties and numbers of neurons, and the order of the neurons."""

    # The best mean score over the splits.
    best_score: float
    # Whether splits are folds, which have columns of their own in `cv_results_`.
    folds: bool
    # Penalties (n_alphas,), numbers of neurons, and scores (n_splits, n_alphas, n_sizes); None where they are not kept.
    alphas: np.ndarray | None = None
    sizes: list[int] | None = None
    scores: np.ndarray | None = None
    # Columns of the full layer, best first, where neurons were ranked.
    ranking: np.ndarray | None = None
    # Fingerprints of the full layers that `select` took the neurons from.
    full_layers: tuple[str, ...] = ()

    @classmethod
    def of(cls, selected: Selected, *, ranked: bool, store: bool = True, full_layers: tuple[str, ...] = ()) -> Choice:
        """The scores of a selection; `store` keeps all of them and not the best alone."""
        scored = selected.scored
        best = float(np.nanmax(scored.scores.mean(axis=0)))
        ranking = np.asarray(scored.order, int) if ranked else None
        choice = cls(best, scored.folds, ranking=ranking, full_layers=full_layers)
        if not store:
            return choice
        grid = scored.grid
        return replace(choice, alphas=np.asarray(grid.alphas), sizes=list(grid.sizes), scores=scored.scores)

    @cached_property
    def results(self) -> dict | None:
        """`cv_results_`; None where the scores are not kept."""
        if self.scores is None:
            return None
        return results_of(self.alphas, self.sizes, self.scores, folds=self.folds)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Fitted:
    """Result of fitting; an estimator is given a new one last of all, so that a fit that fails changes nothing."""

    layer: Layer
    # Number and names of the columns of X.
    columns: Columns
    # Parameters that layer and sums depend on, as they were.
    made_with: Mapping
    targets: Targets | None = None
    sums: NormalEquations | None = None
    # None until the sums are solved.
    solution: Solution | None = None
    # How the neurons were drawn.
    draws: Draws = Draws()
    choice: Choice | None = None
    curve: LearningCurve | None = None
    # Whether y is a vector, so that predictions are one too; None until y is known.
    vector_target: bool | None = None
    # dtype of the targets, which predictions depend on.
    target_dtype: str | None = None
    # How outputs of this very solution become probabilities; None for the nearest point of the simplex.
    link: ProbabilityLink | None = None

    def solved(self, sums: NormalEquations, solution: Solution, **more) -> Fitted:
        """The same with sums and their solution; `more` are other fields."""
        # A link is that of the outputs it was fitted to.
        return replace(self, sums=sums, solution=solution, target_dtype=sums.target_dtype, **({"link": None} | more))

    def with_rows(self, sums: NormalEquations, targets: Targets, vector_target: bool, columns: Columns) -> Fitted:
        """The same with sums of more rows, not solved yet; `columns` are those of the rows."""
        vector = vector_target if self.vector_target is None else self.vector_target
        total = sums if self.sums is None else self.sums + sums
        own = replace(self.columns, targets=columns.targets)
        return replace(self, sums=total, targets=targets, solution=None, vector_target=vector, link=None, columns=own)

    def check_parameters(self, params: Mapping, what: str) -> None:
        """Refuse `what` where a parameter that layer and sums depend on has another value now."""
        before = self.made_with
        name = next((name for name, value in before.items() if not _same(value, params[name])), None)
        if name is not None:
            raise ParameterError(
                f"{name}: {what} needs the value that the hidden layer and its sums were made with, {before[name]!r}; "
                f"got {params[name]!r}. Set it back, or begin anew with fit or initialize."
            )


def made_with(params: Mapping) -> dict:
    """Parameters that layer and sums depend on, copied: lists and dicts that are altered in place later stay here."""
    return {name: _copy(params[name]) for name in _MADE_WITH if name in params}


def _copy(value):
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def _same(a, b) -> bool:
    if a is b:
        return True
    if isinstance(a, Neurons) and isinstance(b, Neurons):
        return a.kind == b.kind and np.array_equal(a.W, b.W) and np.array_equal(a.b, b.b)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    try:
        return bool(a == b)
    except (TypeError, ValueError):
        return False
