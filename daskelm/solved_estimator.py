"""What estimators share whose output weights are solved from sums: solving, results, keeping in files."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils import metadata_routing

from .exceptions import IncompatibleSumsError, NotSolvedError
from .layer_estimator import LayerEstimator
from .model_file import write_model
from .normal_equations import NormalEquations
from .prediction import WeightedOutput
from .solvers import Solution, solve
from .sums_file import read_sums

__all__ = ["SolvedEstimator"]


class SolvedEstimator(LayerEstimator):
    """An estimator that has sums, or a solution, or both."""

    # Where a result goes is no metadata of the rows.
    __metadata_request__predict = {"out": metadata_routing.UNUSED}

    alpha: Any
    fit_intercept: bool

    def solve(self, sums=None) -> Self:
        """Solve for the output weights with the present `alpha` and `fit_intercept`; needs no data.

        Parameters
        ----------
        sums : NormalEquations, str, path-like, or list of these, optional
            Sums, a sums file, several, or a glob; the model's own sums if not given.

        Returns
        -------
        self
            The solved estimator.

        Raises
        ------
        NotSolvedError
            There is no layer, nothing was added yet, or the model was saved without its sums.
        IncompatibleSumsError
            The sums are of another layer or other targets.
        ParameterError
            Another parameter than `alpha`, `fit_intercept` and `verbose` was changed since the layer was drawn.
        """
        self._solve("solve", sums)
        return self

    def _solve(self, what: str, sums=None):
        layer = self._need_layer(what)
        self._need_same_parameters(what)
        sums = self._own_sums(what) if sums is None else read_sums(sums)
        if sums.fingerprint != layer.fingerprint:
            raise IncompatibleSumsError(
                f"sums: they are of another hidden layer (fingerprint {sums.fingerprint[:12]}) than this model's "
                f"({layer.fingerprint[:12]}). Use the one saved model everywhere: save it after initialize, load it in "
                "every script."
            )
        self._check_sums(sums)
        self._keep(sums, solve(sums, self.alpha, fit_intercept=self.fit_intercept))

    def _own_sums(self, what: str) -> NormalEquations:
        if hasattr(self, "normal_equations_"):
            return self.normal_equations_
        if getattr(self, "_solution", None) is not None:
            raise NotSolvedError(
                f"This {type(self).__name__} instance was saved without its sums, and {what} needs them. Save it with "
                "save(path, sums=True), or name a sums file: solve('sums.h5')."
            )
        raise NotSolvedError(
            f"This {type(self).__name__} instance is not fitted yet: nothing was added since its layer was drawn, and "
            f"{what} needs sums over rows. Call partial_fit or accumulate first, or name a sums file: "
            "solve('sums.h5')."
        )

    def _check_sums(self, sums):
        """Whether the sums' targets are those of this model."""

    def _keep(self, sums, solution):
        self.normal_equations_, self._solution, self._target_dtype = sums, solution, sums.target_dtype

    def _solved(self, what: str) -> Solution:
        if getattr(self, "_solution", None) is None:
            self._solve(what)
        return self._solution

    def __sklearn_is_fitted__(self) -> bool:
        return getattr(self, "_solution", None) is not None or hasattr(self, "normal_equations_")

    @property
    def coef_(self) -> np.ndarray:
        """Output weights B', float64, of shape (n_targets, n_neurons)."""
        return self._solved("coef_").coef

    @property
    def intercept_(self) -> np.ndarray:
        """Intercept, float64, of shape (n_targets,)."""
        return self._solved("intercept_").intercept

    @property
    def alpha_(self) -> float:
        """The penalty used."""
        return self._solved("alpha_").alpha

    @property
    def rank_(self) -> int:
        """Rank of HH + alpha I, as kept by the solver."""
        return self._solved("rank_").rank

    @property
    def condition_number_(self) -> float:
        """Condition number of HH + alpha I: an estimate in the 1-norm after Cholesky, else in the 2-norm."""
        return self._solved("condition_number_").condition_number

    def _outputs(self, what, finish, tail, dtype) -> WeightedOutput:
        solution = self._solved(what)
        return WeightedOutput(
            self.hidden_layer_, solution.coef, solution.intercept, finish, tuple(tail), np.dtype(dtype)
        )

    def _output_dtype(self) -> np.dtype:
        return np.result_type(self.hidden_layer_.dtype, self._target_dtype)

    def save(self, path, sums: bool = False) -> None:
        """Write the model to one HDF5 file that holds numbers and strings only; `daskelm.load` reads it.

        Parameters
        ----------
        path : str or path-like
            File to write, replaced at once.
        sums : bool, default=False
            Whether to keep the sums inside, for another penalty or more rows later. Sums that are not solved yet are
            always kept.

        Raises
        ------
        ParameterError
            A parameter that the layer was drawn with was changed since, or is nothing that a file can hold.
        FileMissingError
            There is no such folder.
        """
        state = self._state()
        write_model(path, state if sums or state["solution"] is None else state | {"sums": None})

    def _state(self) -> dict:
        state = super()._state()
        state["solution"], state["sums"] = getattr(self, "_solution", None), getattr(self, "normal_equations_", None)
        for name in ("vector_target", "target_dtype"):
            if hasattr(self, f"_{name}"):
                state["facts"][name] = getattr(self, f"_{name}")
        return state

    @classmethod
    def _from_state(cls, state: dict) -> Self:
        model = super()._from_state(state)
        if state["layer"] is not None:
            model._targets, model._solution = None, state["solution"]
            if state["sums"] is not None:
                model.normal_equations_ = state["sums"]
            for name in ("vector_target", "target_dtype"):
                if name in state["facts"]:
                    setattr(model, f"_{name}", state["facts"][name])
        return model
