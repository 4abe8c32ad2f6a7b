"""The scores of a selection as a table of penalties and numbers of neurons, with a name that people read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..exceptions import ParameterError

__all__ = ["GridScores"]


@dataclass(frozen=True, eq=False)
class GridScores:
    """Scores (n_alphas, n_sizes) of a grid, its axes in ascending order, and the place of the candidate chosen.

    NaN where a candidate was refused. Errors, which scikit-learn negates, are positive here, and `lower_is_better`.
    `deviations`, between folds, is None where there were none; `n_folds` is 0 then.
    """

    alphas: np.ndarray
    sizes: np.ndarray
    scores: np.ndarray
    deviations: np.ndarray | None
    chosen: tuple[int, int]
    name: str
    lower_is_better: bool
    n_folds: int

    @classmethod
    def of(cls, model, scoring: str | None = None) -> GridScores:
        """From the fitted attribute `cv_results_`, which holds the scores `scoring`; the model's if not given."""
        results = getattr(model, "cv_results_", None)
        if results is None or "param_alpha" not in results or "param_n_neurons" not in results:
            raise ParameterError(
                "model must have cv_results_, the scores of penalties and numbers of neurons; got "
                f"{type(model).__name__} without. Fit ELMRegressorCV or ELMClassifierCV with store_cv_results=True."
            )
        alphas, rows = np.unique(np.asarray(results["param_alpha"], np.float64), return_inverse=True)
        sizes, columns = np.unique(np.asarray(results["param_n_neurons"], np.int64), return_inverse=True)

        n_folds = sum(column.startswith("split") for column in results)

        def table(column):
            values = np.full((len(alphas), len(sizes)), np.nan)
            values[rows, columns] = results[column]
            return values

        scoring = scoring or getattr(model, "scoring", None)
        if scoring is None:
            folds = n_folds or getattr(model, "cv", None) is not None
            scoring = "accuracy" if hasattr(model, "classes_") and folds else "r2"
        negated = scoring.startswith("neg_")
        name = "R²" if scoring == "r2" else scoring.removeprefix("neg_").replace("_", " ")
        best, scores = int(np.argmin(results["rank_test_score"])), table("mean_test_score")
        return cls(
            alphas,
            sizes,
            -scores if negated else scores,
            table("std_test_score") if "std_test_score" in results else None,
            (int(rows[best]), int(columns[best])),
            name,
            negated,
            n_folds,
        )

    @property
    def best_by_size(self) -> np.ndarray:
        """Row of the best penalty for each size (n_sizes,); -1 where all were refused."""
        worst = np.inf if self.lower_is_better else -np.inf
        known = np.isfinite(self.scores)
        filled = np.where(known, self.scores, worst)
        rows = filled.argmin(axis=0) if self.lower_is_better else filled.argmax(axis=0)
        return np.where(known.any(axis=0), rows, -1)

    @property
    def label(self) -> str:
        """The score's name, and of how many folds it is the mean."""
        return f"{self.name}, mean of {self.n_folds} folds" if self.n_folds else self.name
