"""What estimators share that sum over rows: fitting, adding rows, taking rows away."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils import metadata_routing

from .accumulation import accumulate
from .exceptions import NotSolvedError, ParameterError
from .hdf5 import Hdf5Rows
from .inputs import Source, as_dask, check_distinct, check_lengths, in_memory, n_columns, rows_between, take_rows
from .normal_equations import NormalEquations
from .prediction import WeightedOutput, apply
from .resumption import add_rows, remove_rows, sums_by_way_of
from .solved_estimator import SolvedEstimator
from .solvers import solve
from .sources import Table, provenance_of
from .targets import Targets

__all__ = ["SumsEstimator"]


class SumsEstimator(SolvedEstimator):
    """An estimator that sums over rows."""

    # Where the work is kept is no metadata of the rows.
    __metadata_request__fit = {"checkpoint": metadata_routing.UNUSED}

    verbose: Any

    def _read_y(self, y, X) -> Source:
        """y, given beside X, in a form that the work is done on."""
        raise NotImplementedError

    def _make_targets(self, y: Source, weights: Source | None, *, whole: bool, classes=None) -> Targets:
        """Columns of T for these labels; `whole` when they are all there will be."""
        raise NotImplementedError

    def _open(self, X, y, sample_weight, reset):
        if y is None:
            raise ParameterError(
                f"y: This {type(self).__name__} estimator requires y to be passed, but the target y is None."
            )
        given = X, y
        X, y = self._open_X(X, reset), self._read_y(y, X)
        check_lengths(X=X, y=y)
        weights = self._open_weights(sample_weight, X)
        check_distinct(X=(given[0], X), y=(given[1], y), sample_weight=(sample_weight, weights))
        if isinstance(X, np.ndarray):
            # Files are 2-D for the most part: one column there is a vector.
            y = in_memory(y).reshape(-1) if _is_file_of_one_column(y) else in_memory(y)
        return X, y, weights

    def _note_shape(self, y: Source):
        self._vector_target = y.ndim == 1 or _is_file_of_one_column(y)

    def fit(self, X, y, sample_weight=None, checkpoint=None) -> Self:
        """Draw the hidden layer, sum over all rows in one pass, and solve.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or HDF5 path(s), of shape (n_samples, n_features)
            Inputs.
        y : the same, of shape (n_samples,) or (n_samples, n_targets)
            Targets or labels.
        sample_weight : the same, of shape (n_samples,), optional
            Weights of the rows, not negative.
        checkpoint : str or path-like, optional
            Sums file that the work is committed to as it goes on: when it is killed, the same call goes on from
            there. For X in HDF5 files and a `random_state` that is an int.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        DataError
            NaN or infinity, lengths that differ, no rows; X, y or weights that a path alone made the same dataset.
        InputTypeError
            Sparse or text inputs; columns of a data frame that hold no numbers.
        FileMissingError
            A file that is not here, or that some worker does not see.
        InsufficientMemoryError
            The sums do not fit into the memory of the workers.
        """
        with self._unchanged_on_error():
            X, y, weights = self._open(X, y, sample_weight, reset=True)
            layer = self._draw(X, weights)
            targets = self._make_targets(y, weights, whole=True)
            if checkpoint is None:
                sums = accumulate(layer, targets, X, y, weights, verbose=self.verbose)
            else:
                if not isinstance(self.random_state, int | np.integer):
                    raise ParameterError(
                        "checkpoint: random_state must be an int, since the call that goes on must draw the same "
                        f"layer; got {self.random_state!r}."
                    )
                sums = sums_by_way_of(checkpoint, layer, targets, X, y, weights, verbose=self.verbose)
            solution = solve(sums, self.alpha, fit_intercept=self.fit_intercept)
            self._start(layer, targets, y)
            self._keep(sums, solution)
        return self

    def _start(self, layer, targets, y):
        for name in ("normal_equations_", "_solution", "_vector_target"):
            self.__dict__.pop(name, None)
        self._keep_layer(layer)
        self._targets = targets
        if y is not None:
            self._note_shape(y)

    def _add(self, sums: NormalEquations, targets: Targets, y: Source):
        own = getattr(self, "normal_equations_", None)
        self.normal_equations_ = sums if own is None else own + sums
        self._targets, self._solution = targets, None
        if not hasattr(self, "_vector_target"):
            self._note_shape(y)

    def _partial_fit(self, X, y, sample_weight, classes=None):
        first = not hasattr(self, "hidden_layer_")
        if not first:
            self._need_same_parameters("partial_fit")
            self._can_add()
        with self._unchanged_on_error():
            X, y, weights = self._open(X, y, sample_weight, reset=first)
            layer = self._draw(X, weights) if first else self.hidden_layer_
            targets = self._make_targets(y, weights, whole=False, classes=classes)
            sums = accumulate(layer, targets, X, y, weights, verbose=self.verbose)
            if first:
                self._start(layer, targets, y)
            self._add(sums, targets, y)
        return self

    def _can_add(self):
        if getattr(self, "_solution", None) is not None and not hasattr(self, "normal_equations_"):
            raise NotSolvedError(
                f"This {type(self).__name__} instance was saved without its sums, so that rows cannot be added to it. "
                "Save it with save(path, sums=True), or begin anew with initialize or fit."
            )

    def accumulate(self, X, T, rows: slice | None = None, into=None, sample_weight=None, lock: bool = True) -> Self:
        """Add the sums of rows to a file, or to the model's own sums; from as many processes as you like.

        Rows of HDF5 files are known by their content: those that the file counts already are left out, so that a call
        that was killed, or made twice, adds what is missing. What is done is committed now and then. Rows of arrays
        in memory and of other dask arrays cannot be known again; they are added all at once.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or HDF5 path(s), of shape (n_samples, n_features)
            Inputs.
        T : the same, of shape (n_samples,) or (n_samples, n_targets)
            Targets or labels.
        rows : slice, optional
            Which rows of X, T and sample_weight; past the end is an error, an empty range is not.
        into : str or path-like, optional
            Sums file, made when missing; the model's own sums if not given.
        sample_weight : the same as X, of shape (n_samples,), optional
            Weights of the rows.
        lock : bool, default=True
            Whether to hold the lock of `into` while it is written. False is for file systems that have no locks, with a
            sums file for each process, which `solve` and `merge` take together.

        Returns
        -------
        self
            The estimator; with `into`, unchanged.

        Raises
        ------
        NotSolvedError
            Before `initialize`: all processes need the same layer, from one saved model.
        ParameterError
            A parameter that the layer was drawn with was changed since.
        IncompatibleSumsError
            The file holds sums of another layer or other targets; or the model's own sums hold these rows already.
        DataError
            Rows that the file counts already read otherwise now.
        FileWriteError
            The file cannot be written, or not locked.
        """
        if into is not None:
            self._accumulate_into(into, X, T, rows, sample_weight, lock)
            return self
        layer = self._need_layer("accumulate")
        self._need_same_parameters("accumulate")
        self._can_add()
        X, y, weights = self._open(X, T, sample_weight, reset=False)
        targets = self._make_targets(y, weights, whole=False)
        X, y = take_rows(X, rows), take_rows(y, rows)
        weights = None if weights is None else take_rows(weights, rows)
        sums = accumulate(layer, targets, X, y, weights, verbose=self.verbose)
        self._add(sums, targets, y)
        return self

    def _accumulate_into(self, into, X, T, rows, sample_weight, lock) -> int:
        """Add rows to a file; the number of those that were not counted there before."""
        layer = self._need_layer("accumulate")
        self._need_same_parameters("accumulate")
        X, y, weights = self._open(X, T, sample_weight, reset=False)
        targets = self._make_targets(y, weights, whole=False)
        return add_rows(into, layer, targets, X, y, weights, rows_between(X, rows), lock=lock, verbose=self.verbose)

    def remove(self, X, T, rows: slice | None = None, sums=None, sample_weight=None, lock: bool = True) -> Self:
        """Take rows out of the sums again, exactly: a customer's rows, a bad day of a sensor.

        The layer with its scale of the inputs stays what it is.

        Parameters
        ----------
        X, T : the same data that the rows were added from
            Inputs of shape (n_samples, n_features), and targets or labels.
        rows : slice, optional
            Which rows of X, T and sample_weight.
        sums : str or path-like, optional
            Sums file to take the rows out of; the model's own sums if not given.
        sample_weight : array-like of shape (n_samples,), optional
            The weights that the rows were added with.
        lock : bool, default=True
            Whether to hold the lock of the sums file while it is written.

        Returns
        -------
        self
            The estimator; with `sums`, unchanged: call `solve` for the new weights.

        Raises
        ------
        IncompatibleSumsError
            Some of the rows are not counted.
        DataError
            The rows read otherwise than when they were added.
        """
        layer = self._need_layer("remove")
        self._need_same_parameters("remove")
        X, y, weights = self._open(X, T, sample_weight, reset=False)
        targets = self._make_targets(y, weights, whole=False)
        if sums is not None:
            remove_rows(sums, layer, targets, X, y, weights, rows_between(X, rows), lock=lock, verbose=self.verbose)
            return self
        if not hasattr(self, "normal_equations_"):
            raise NotSolvedError(f"This {type(self).__name__} instance has no sums to take rows out of; name a file.")
        X, y = take_rows(X, rows), take_rows(y, rows)
        weights = None if weights is None else take_rows(weights, rows)
        # What is counted has its name there, and is compared.
        own = self.normal_equations_.ledger
        known = provenance_of(Table(X, y, weights, targets), own) if isinstance(X, Hdf5Rows) else None
        gone = accumulate(layer, targets, X, y, weights, provenance=known, verbose=self.verbose)
        self.normal_equations_, self._solution = self.normal_equations_ - gone, None
        return self

    def _score_inputs(self, X, y, sample_weight):
        """(y, lazy predictions, weights) where some of the inputs are lazy."""
        function = self._prediction("score")
        source, targets = self._open_X(X, reset=False), self._read_y(y, X)
        check_lengths(X=source, y=targets)
        weights = self._open_weights(sample_weight, source)
        check_distinct(X=(X, source), y=(y, targets), sample_weight=(sample_weight, weights))
        return targets, as_dask(apply(function, source, "predict")), weights

    def _prediction(self, what: str) -> WeightedOutput:
        """What `predict` does with a block of rows; `what` was called."""
        raise NotImplementedError


def _is_file_of_one_column(y):
    return isinstance(y, Hdf5Rows) and n_columns(y) == 1
