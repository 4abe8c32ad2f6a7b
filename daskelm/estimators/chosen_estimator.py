"""What estimators share of which penalty and number of neurons were chosen by scores: the scores, in files too."""

from __future__ import annotations

from typing import Self

import numpy as np

from ..selection.select import Selected, results_of
from .table_estimator import TableEstimator

__all__ = ["ChosenEstimator"]


class ChosenEstimator(TableEstimator):
    """An estimator that may have been chosen from a grid."""

    def _note_choice(self, selected: Selected, *, ranked: bool, store: bool = True, **more):
        """Keep the scores, and the order of the neurons if it is a ranking; `more` is what a file keeps too."""
        scored = selected.scored
        self._note_scores(scored.grid.alphas, scored.grid.sizes, scored.scores, scored.folds, store)
        self._choice |= more
        if ranked:
            self._note_ranking(scored.order)

    def _note_ranking(self, order):
        self.ranking_ = np.asarray(order, int)
        self._choice["ranking"] = self.ranking_.tolist()

    def _note_scores(self, alphas, sizes, scores, folds, store):
        for name in ("cv_results_", "ranking_"):
            self.__dict__.pop(name, None)
        means = scores.mean(axis=0)
        self.best_score_ = float(np.nanmax(means))
        # What a file keeps of the choice, as JSON has it.
        self._choice: dict = {"best_score": self.best_score_}
        if store:
            self.cv_results_ = results_of(alphas, sizes, scores, folds=folds)
            # JSON has no NaN.
            finite = [[[None if np.isnan(s) else float(s) for s in row] for row in split] for split in scores]
            self._choice |= {
                "alphas": np.asarray(alphas).tolist(),
                "n_neurons": sizes,
                "scores": finite,
                "folds": folds,
            }

    def _start(self, layer, targets, y):
        for name in ("best_score_", "cv_results_", "n_neurons_", "ranking_", "_choice"):
            self.__dict__.pop(name, None)
        super()._start(layer, targets, y)

    def _state(self) -> dict:
        state = super()._state()
        if hasattr(self, "_choice"):
            state["facts"]["choice"] = self._choice
        return state

    @classmethod
    def _from_state(cls, state: dict) -> Self:
        model = super()._from_state(state)
        if (choice := state["facts"].get("choice")) is not None:
            if "scores" in choice:
                scores = np.array(choice["scores"], np.float64)
                model._note_scores(np.array(choice["alphas"]), choice["n_neurons"], scores, choice["folds"], True)
            model._choice, model.best_score_ = choice, choice["best_score"]
            if "ranking" in choice:
                model._note_ranking(choice["ranking"])
        return model
