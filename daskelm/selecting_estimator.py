"""What estimators share that choose the penalty and the number of neurons while they fit."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Self

import numpy as np

from .criterion import Grid, Problem
from .inputs import in_memory
from .ranking import check_ranking
from .selection import named, results_of, select
from .table_estimator import TableEstimator

__all__ = ["SelectingEstimator"]


class SelectingEstimator(TableEstimator):
    """An estimator that is fitted for a whole grid at once, and keeps the best."""

    n_neurons: Any
    ranking: Any
    alphas: Any
    cv: Any
    scoring: Any
    store_cv_results: bool

    def fit(self, X, y, sample_weight=None) -> Self:
        """Sum over all rows in one pass, choose penalty and number of neurons, and solve.

        Scores that are not known from the sums take one further pass, for the whole grid.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or HDF5 path(s), of shape (n_samples, n_features)
            Inputs.
        y : the same, of shape (n_samples,) or (n_samples, n_targets)
            Targets or labels.
        sample_weight : the same, of shape (n_samples,), optional
            Weights of the rows, not negative, in fitting and in scoring.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ParameterError
            A grid, `ranking`, `cv` or `scoring` that cannot be used; test parts that overlap.
        DataError
            NaN or infinity, lengths that differ, no rows; X, y or weights that a path alone made the same dataset.
        InputTypeError
            Sparse or text inputs; columns of a data frame that hold no numbers.
        InsufficientMemoryError
            The sums of so many folds, or the models of so large a grid, do not fit into the memory of the workers.
        """
        with self._unchanged_on_error():
            X, y, weights = self._open(X, y, sample_weight, reset=True)
            layer = self._draw(X, weights)
            targets = self._make_targets(y, weights, whole=True)
            ranking = check_ranking(self.ranking, targets.n_targets)
            problem = Problem(
                layer,
                targets,
                X,
                y,
                weights,
                Grid.of(self.alphas, self.n_neurons, layer, ranking=ranking),
                labels=lambda: _for_splitters(y),
                dtype=np.result_type(layer.dtype, targets.dtype),
                fit_intercept=self.fit_intercept,
                ranking=ranking,
                verbose=self.verbose,
            )
            selected = select(problem, cv=self.cv, scoring=self.scoring)
            self._start(selected.layer, targets, y)
            self._keep(selected.sums, selected.solution)
            scored = selected.scored
            self._note_scores(scored.grid.alphas, scored.grid.sizes, scored.scores, scored.folds)
            self.__dict__.pop("ranking_", None)
            if ranking is not None:
                self.ranking_ = scored.order
        return self

    def _note_scores(self, alphas, sizes, scores, folds):
        self.__dict__.pop("cv_results_", None)
        means = scores.mean(axis=0)
        self.best_score_ = float(np.nanmax(means))
        # What a file keeps of the choice, as JSON has it.
        self._choice: dict = {"best_score": self.best_score_}
        if self.store_cv_results:
            self.cv_results_ = results_of(alphas, sizes, scores, folds=folds)
            # JSON has no NaN.
            finite = [[[None if np.isnan(s) else float(s) for s in row] for row in split] for split in scores]
            self._choice |= {
                "alphas": np.asarray(alphas).tolist(),
                "n_neurons": sizes,
                "scores": finite,
                "folds": folds,
            }

    @property
    def n_neurons_(self) -> int:
        """The number of neurons chosen."""
        self._solved("n_neurons_")
        return self.hidden_layer_.n_neurons

    def _state(self) -> dict:
        state = super()._state()
        for name in ("alphas", "n_neurons"):
            value = state["params"][name]
            state["params"][name] = value if value is None else np.atleast_1d(value).tolist()
        state["params"]["cv"] = named(state["params"]["cv"])
        if not isinstance(state["params"]["cv"], Integral | str):
            # A splitter is code, and did its work.
            state["params"]["cv"] = None
        if hasattr(self, "ranking_"):
            state["facts"]["ranking"] = self.ranking_.tolist()
        if hasattr(self, "_choice"):
            state["facts"]["choice"] = self._choice
        return state

    @classmethod
    def _from_state(cls, state: dict) -> Self:
        model = super()._from_state(state)
        if (choice := state["facts"].get("choice")) is not None:
            if "scores" in choice:
                scores = np.array(choice["scores"], np.float64)
                model._note_scores(np.array(choice["alphas"]), choice["n_neurons"], scores, choice["folds"])
            model._choice, model.best_score_ = choice, choice["best_score"]
        if "ranking" in state["facts"]:
            model.ranking_ = np.array(state["facts"]["ranking"], int)
        return model


def _for_splitters(y):
    y = in_memory(y)
    return y.reshape(-1) if y.size == len(y) else y
