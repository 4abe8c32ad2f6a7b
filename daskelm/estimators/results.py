"""`ResultMethods`: output weights, sums and scores of an estimator that learns from X and y, and its file."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import metadata_routing

from ..data.source import Source, source_of
from ..exceptions import NotSolvedError, ParameterError
from ..hdf5.outputs import check_not_an_input
from ..passes.predict import WeightedOutput, apply
from ..ridge.solve import Solution
from ..sums.normal_equations import NormalEquations
from ._sklearn_compat import num_samples
from .checking import Rows, apart, open_rows, open_table, open_weights
from .fitted import Choice, Columns, Fitted
from .state import write_model

__all__ = ["ResultMethods"]


class ResultMethods:
    """Methods of four of the estimators: results of fitting as attributes, rows with targets, and `save`."""

    # Names of output files are not metadata of the rows.
    __metadata_request__predict = {"out": metadata_routing.UNUSED, "overwrite": metadata_routing.UNUSED}
    # Names of columns are not either.
    __metadata_request__score = {"target": metadata_routing.UNUSED}

    # These come from the other classes of an estimator.
    _fitted: Fitted | None
    _check_is_drawn: Any
    _check_same_parameters: Any
    _known_columns: Any
    _takes_gaps: Any
    _read_y: Any
    _prediction: Any
    get_params: Any

    def _open(self, X, y, sample_weight, *, reset: bool = False, known: Columns | None = None, target=None) -> Rows:
        """Rows to learn from, with y; X must have the columns `known`, or unless `reset` those of the last fit."""
        known = None if reset else known or self._known_columns()
        return open_table(
            X, y, sample_weight, type(self).__name__, known, self._read_y, target, gaps=self._takes_gaps()
        )

    def _open_rows(self, X, y, sample_weight, *, reset: bool = False, target=None) -> Rows:
        """Rows whose y may be None."""
        known = None if reset else self._known_columns()
        return open_rows(X, y, sample_weight, type(self).__name__, known, self._read_y, target, gaps=self._takes_gaps())

    def _apart(self, X, y, target) -> tuple[Any, Any]:
        """X without its targets, and y, which `target` may name; one of the two must be given."""
        if y is None and target is None:
            raise ParameterError("y must be given, or target with the name of a column of X; got neither.")
        return apart(X, y, target, self._known_columns())[:2]

    @property
    def target_names_in_(self) -> np.ndarray:
        """Names of the targets, of shape (n_targets,), if they were columns with names."""
        if not (names := self._check_is_drawn("target_names_in_").columns.targets):
            raise AttributeError(
                f"target_names_in_: the targets of this {type(self).__name__} had no names. Take them from a table: "
                "fit(table, target=name)."
            )
        return np.array(names, dtype=object)

    def _score_inputs(self, X, y, sample_weight):
        """(y, lazy predictions, weights) where some of the inputs are lazy."""
        function = self._prediction("score")
        rows = self._open_rows(X, y, sample_weight)
        return rows.y, source_of(apply(function, rows.X, "predict")).as_dask(""), rows.weights

    def _weights_of_score(self, sample_weight, X) -> Source | None:
        """Weights of rows in memory, as `fit` takes them."""
        return None if sample_weight is None else open_weights(sample_weight, np.empty((num_samples(X), 0)))

    def _solve(self, what: str) -> Fitted:
        """Solve the sums that are there, for the method or attribute `what`."""
        raise NotSolvedError(f"This {type(self).__name__} instance is not fitted yet: {what} needs fit first.")

    def _solved(self, what: str) -> Solution:
        if self._fitted is None or self._fitted.solution is None:
            self._fitted = self._solve(what)
        return self._fitted.solution  # type: ignore[return-value]

    def __sklearn_is_fitted__(self) -> bool:
        fitted = self._fitted
        return fitted is not None and (fitted.solution is not None or fitted.sums is not None)

    @property
    def normal_equations_(self) -> NormalEquations:
        """The sums over rows."""
        if self._fitted is None or self._fitted.sums is None:
            raise NotSolvedError(
                f"This {type(self).__name__} instance has no sums, normal_equations_: no rows were added since its "
                "layer was drawn, or it was saved without them. Add rows, or save it with save(path, sums=True)."
            )
        return self._fitted.sums

    @property
    def coef_(self) -> np.ndarray:
        """Output weights B', float64, of shape (n_targets, n_neurons)."""
        return self._solved("coef_").coef

    @property
    def intercept_(self) -> np.ndarray:
        """Intercept, float64, of shape (n_targets,)."""
        return self._solved("intercept_").intercept

    @property
    def alpha_(self) -> float | np.ndarray:
        """The penalty used, float64; of shape (n_targets,) where each target has its own."""
        return self._solved("alpha_").alpha

    @property
    def alpha_chosen_by_(self) -> str:
        """Origin of the penalty: "given", "folds", "gcv" or "evidence"."""
        return self._solved("alpha_chosen_by_").chosen_by

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

    @property
    def n_neurons_(self) -> int:
        """The number of neurons chosen."""
        self._check_has_choice("n_neurons_")
        return self._check_is_drawn("n_neurons_").layer.n_neurons

    @property
    def best_score_(self) -> float:
        """The score of the penalty and the number of neurons chosen."""
        return self._check_has_choice("best_score_").best_score

    @property
    def cv_results_(self) -> dict:
        """All scores, one entry per pair of alpha and n_neurons, as scikit-learn's."""
        results = self._check_has_choice("cv_results_").results
        if results is None:
            raise NotSolvedError(
                f"cv_results_: this {type(self).__name__} has not kept its scores. Fit with store_cv_results=True."
            )
        return results

    @property
    def ranking_(self) -> np.ndarray:
        """Columns of the full layer, best first, of shape (n_neurons of the full layer,); with a ranking."""
        ranking = self._check_has_choice("ranking_").ranking
        if ranking is None:
            raise NotSolvedError(
                f"ranking_: the neurons of this {type(self).__name__} were not ranked. Choose with ranking='omp', "
                "'lars' or 'mrsr'."
            )
        return ranking

    def _check_has_choice(self, what: str) -> Choice:
        if self._fitted is None or self._fitted.choice is None:
            raise NotSolvedError(
                f"{what}: this {type(self).__name__} instance is not fitted yet, or was not chosen by scores. Call fit "
                "of ELMRegressorCV or ELMClassifierCV, or select of the others."
            )
        return self._fitted.choice

    def _outputs(self, what, finish, tail, dtype) -> WeightedOutput:
        solution, layer = self._solved(what), self._check_is_drawn(what).layer
        return WeightedOutput(layer, tuple(tail), np.dtype(dtype), solution.coef, solution.intercept, finish)

    def _output_dtype(self) -> np.dtype:
        fitted = self._check_is_drawn("predict")
        return np.result_type(fitted.layer.dtype, fitted.target_dtype)

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
            A parameter that the layer was drawn with was changed since, or a file cannot hold it; or `path`
            is a file that rows of X were added from.
        FileMissingError
            There is no such folder.
        FileWriteError
            The file is no model, without `overwrite`; or the disk is full.
        """
        fitted = None if self._fitted is None else self._check_same_parameters("save")
        if overwrite and fitted is not None and fitted.sums is not None:
            check_not_an_input(path, "path", normal_equations_=fitted.sums.ledger.files())
        params = self.get_params(deep=False)
        write_model(path, type(self).__name__, params, fitted, sums=sums, overwrite=overwrite)
