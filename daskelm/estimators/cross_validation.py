"""`CrossValidationMethods`: a fit that chooses the penalty and the number of neurons."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils import metadata_routing

from ..data.source import in_memory
from ..exceptions import ParameterError
from ..selection.criterion import Grid, Problem
from ..selection.ranking import check_ranking
from ..selection.select import select
from ..selection.validation_set import Validation, naming_validation
from ._sklearn_compat import with_callbacks
from .callbacks import FitCallbacks
from .checking import check_bool, is_vector
from .fitted import Choice, Fitted

__all__ = ["CrossValidationMethods"]


class CrossValidationMethods(FitCallbacks):
    """Methods of an estimator that is fitted for a whole grid at once, and keeps the best."""

    # Validation rows are not metadata of the rows of X.
    __metadata_request__fit = {
        name: metadata_routing.UNUSED for name in ("X_val", "y_val", "sample_weight_val", "target")
    }

    n_neurons: Any
    ranking: Any
    alphas: Any
    cv: Any
    scoring: Any
    store_cv_results: bool

    # These come from the other classes of an estimator.
    _fitted: Fitted | None
    fit_intercept: bool
    verbose: Any
    _draw: Any
    _make_targets: Any
    _open: Any
    _with_link: Any

    @with_callbacks
    def fit(self, X, y=None, sample_weight=None, X_val=None, y_val=None, sample_weight_val=None, target=None) -> Self:
        """Sum over all rows in one pass, choose penalty and number of neurons, and solve.

        Scores that are not known from the sums take one further pass, for the whole grid.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or path(s) of files, of shape (n_samples, n_features)
            Inputs.
        y : the same, of shape (n_samples,) or (n_samples, n_targets)
            Targets or labels.
        sample_weight : the same, of shape (n_samples,), optional
            Weights of the rows, not negative, in fitting and in scoring.
        X_val : the same, of shape (n_val_samples, n_features), optional
            Inputs of other rows, on which the grid is scored instead of on folds: one pass over X and one over X_val.
            Models are fitted to X alone, the chosen one too. `cv` must be None.
        y_val : the same, of shape (n_val_samples,) or (n_val_samples, n_targets), optional
            Their targets, or labels that y has too; some of those may be missing.
        sample_weight_val : the same, of shape (n_val_samples,), optional
            Their weights in the scores.
        target : str or list of str, optional
            Name of the column of X that is y, or names of several, instead of y; X is the other columns, and X_val
            likewise. For tables
            whose columns have names.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ParameterError
            A grid, `ranking`, `cv` or `scoring` that cannot be used; test parts that overlap; X_val without y_val, or
            with `cv`.
        DataError
            NaN or infinity, lengths that differ, no rows; X, y or weights that a path alone made the same dataset;
            labels in y_val that y does not have.
        RowsCountedError
            Rows of HDF5 files that are in X and in X_val.
        InputTypeError
            Sparse or text inputs; columns of a data frame that hold no numbers.
        InsufficientMemoryError
            The sums of so many folds, or the models of so large a grid, do not fit into the memory of the workers.

        Warns
        -----
        ScaleWarning
            Columns that never varied, which enter no neuron.
        """
        check_bool(self.store_cv_results, "store_cv_results")
        with self._reporting(X, y, sample_weight):
            # 1. The data: X, y and weights of the rows, and validation rows if there are any.
            rows = self._open(X, y, sample_weight, reset=True, target=target)
            validation = self._open_validation(X_val, y_val, sample_weight_val, rows.columns, target)
            # 2. The model: the columns of T, and random neurons.
            targets = self._make_targets(rows.y, rows.weights, whole=True)
            drawn = self._draw(rows, targets)
            # 3. and 4. The sums HH and HT of each part of the rows, and the output weights B of the whole grid.
            ranking = check_ranking(self.ranking, targets.n_targets)
            problem = Problem(
                drawn.layer,
                targets,
                rows.X,
                rows.y,
                rows.weights,
                Grid.of(self.alphas, self.n_neurons, drawn.layer, ranking=ranking),
                labels_for_splitter=lambda: _for_splitters(rows.y),
                dtype=np.result_type(drawn.layer.dtype, targets.dtype),
                fit_intercept=self.fit_intercept,
                ranking=ranking,
                verbose=self.verbose,
                validation=validation,
            )
            selected = select(problem, cv=self.cv, scoring=self.scoring)
            # 5. The best model is kept; assigned last, so that a fit that fails changes nothing.
            solved = drawn.solved(
                selected.sums,
                selected.solution,
                layer=selected.layer,
                targets=targets,
                choice=Choice.of(selected, ranked=ranking is not None, store=self.store_cv_results),
                vector_target=is_vector(rows.y),
            )
            self._fitted = self._with_link(solved, rows)
        return self

    def _open_validation(self, X_val, y_val, sample_weight_val, columns, target) -> Validation | None:
        given = {"X_val": X_val, "y_val": y_val, "sample_weight_val": sample_weight_val}
        there = [name for name, value in given.items() if value is not None]
        if not there:
            return None
        if X_val is None or (y_val is None and target is None):
            raise ParameterError(
                f"X_val and y_val must be given together, sample_weight_val with them only; got {', '.join(there)}."
            )
        with naming_validation(opening=True):
            rows = self._open(X_val, y_val, sample_weight_val, known=columns, target=target if y_val is None else None)
        return Validation(rows.X, rows.y, rows.weights)


def _for_splitters(y):
    (y,) = in_memory(y=y)
    return y.reshape(-1) if y.size == len(y) else y
