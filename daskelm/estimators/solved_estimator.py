"""What estimators share that have output weights: results, keeping in files."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils import metadata_routing

from ..data.inputs import Source
from ..exceptions import NotSolvedError
from ..hdf5.outputs import check_not_an_input
from ..layer.layer import Layer
from ..passes.predict import WeightedOutput
from ..ridge.solve import Solution
from .layer_estimator import LayerEstimator
from .model_file import write_model
from .parameters import check_bool

__all__ = ["SolvedEstimator"]


class SolvedEstimator(LayerEstimator):
    """An estimator that has sums, or a solution, or both."""

    # Where a result goes is no metadata of the rows.
    __metadata_request__predict = {"out": metadata_routing.UNUSED, "overwrite": metadata_routing.UNUSED}

    fit_intercept: bool
    verbose: Any

    def _draw(self, X: Source, weights: Source | None, whole: bool = True) -> Layer:
        check_bool(self.fit_intercept, "fit_intercept")
        return super()._draw(X, weights, whole)

    def _keep(self, sums, solution):
        self.normal_equations_, self._solution, self._target_dtype = sums, solution, sums.target_dtype

    def _solve(self, what: str):
        """Solve with what is there; `what` was called."""
        raise NotSolvedError(f"This {type(self).__name__} instance is not fitted yet: {what} needs fit first.")

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
        """Condition number of HH + alpha I: an estimate in the 1-norm after Cholesky, else in the 2-norm.

        Cholesky is for penalties given as numbers and those chosen from a grid, `select` included; eigenvectors are for
        ``alpha="gcv"``, and where Cholesky is not safe. In the 1-norm it is 1 to n_neurons times that in the 2-norm.
        """
        return self._solved("condition_number_").condition_number

    def _outputs(self, what, finish, tail, dtype) -> WeightedOutput:
        solution = self._solved(what)
        return WeightedOutput(
            self.hidden_layer_, solution.coef, solution.intercept, finish, tuple(tail), np.dtype(dtype)
        )

    def _output_dtype(self) -> np.dtype:
        return np.result_type(self.hidden_layer_.dtype, self._target_dtype)

    def save(self, path, sums: bool = False, overwrite: bool = False) -> None:
        """Write the model to one HDF5 file that holds numbers and strings only; `daskelm.load` reads it.

        Parameters
        ----------
        path : str or path-like
            File to write; a model that is there is replaced at once.
        sums : bool, default=False
            Whether to keep the sums inside, for another penalty or more rows later. Sums that are not solved yet are
            always kept.
        overwrite : bool, default=False
            Whether any regular file may be replaced; else only a model, or an empty file.

        Raises
        ------
        ParameterError
            A parameter that the layer was drawn with was changed since, or is nothing that a file can hold; or `path`
            is a file that rows of X were added from.
        FileMissingError
            There is no such folder.
        FileWriteError
            There is no model but something else, and no `overwrite`; or the disk takes no more.
        """
        state = self._state()
        if overwrite and state["sums"] is not None:
            check_not_an_input(path, "path", normal_equations_=state["sums"].ledger.files())
        write_model(path, state if sums or state["solution"] is None else state | {"sums": None}, overwrite=overwrite)

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
