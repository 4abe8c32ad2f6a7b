"""What estimators share that sum over rows: fitting, solving, adding rows, taking rows away."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, Self

import numpy as np
from sklearn.utils import metadata_routing

from ..data.inputs import Source, rows_between
from ..data.targets import Targets
from ..exceptions import NotSolvedError, ParameterError
from ..hdf5.rows import Hdf5Rows
from ..layer.layer import Layer
from ..passes.accumulate import accumulate
from ..passes.curve_pass import LearningCurve, accumulate_with_curve
from ..passes.learning_curve import check_callbacks, check_tol
from ..passes.resume import accumulate_with_checkpoint, add_rows, remove_rows
from ..ridge.solve import solve
from ..sums.normal_equations import NormalEquations
from ..sums.provenance import Table, provenance_of
from .callbacks import FitCallbacks, with_callbacks
from .solving import SolvingEstimator

__all__ = ["SumsEstimator"]


class SumsEstimator(FitCallbacks, SolvingEstimator):
    """An estimator that sums over rows."""

    # Where the work is kept, and who looks at it, is no metadata of the rows.
    __metadata_request__fit = {"checkpoint": metadata_routing.UNUSED, "callback": metadata_routing.UNUSED}

    _made_of = (*SolvingEstimator._made_of, "gram_dtype")

    gram_dtype: Any
    tol: Any

    def _draw(self, X: Source, weights: Source | None, whole: bool = True) -> Layer:
        if self.gram_dtype not in ("float64", "float32", np.float64, np.float32):
            raise ParameterError(f"gram_dtype must be float64 or float32; got {self.gram_dtype!r}.")
        layer, gram_dtype = super()._draw(X, weights, whole), np.dtype(self.gram_dtype)
        if gram_dtype == np.float32 and layer.dtype != np.float32:
            raise ParameterError(
                f"gram_dtype: sums in float32 need a hidden layer in float32; got one in {layer.dtype}. Give "
                "dtype='float32' too, or X in float32."
            )
        return replace(layer, gram_dtype=gram_dtype)

    @with_callbacks
    def fit(self, X, y, sample_weight=None, checkpoint=None, callback=None) -> Self:
        """Draw the hidden layer, sum over all rows in one pass, and solve.

        With a callback, with `tol`, or with `verbose=2`, the rows are taken in an order that is random and the same in
        each call, and a learning curve is made on the way, of which nothing is read twice: what a model of the rows
        so far is worth on the next ones. Of a dask array, whole chunks are put in that order: if there are few, and
        the rows are sorted, its first points say little. With checkpoints there is no curve.

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
        callback : callable, or list of callables, optional
            Each is called with every `LearningCurvePoint`, in this thread, while the work goes on. If one returns True,
            the pass ends there, as it does with `tol`. `LearningCurvePlot` is one.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ParameterError
            A parameter outside of its rule; a checkpoint together with a learning curve.
        DataError
            NaN or infinity, lengths that differ, no rows; X, y or weights that a path alone made the same dataset.
        InputTypeError
            Sparse or text inputs; columns of a data frame that hold no numbers.
        FileMissingError
            A file that is not here, or that some worker does not see.
        InsufficientMemoryError
            The sums do not fit into the memory of the workers.
        ClusterError
            The cluster lost its workers or its scheduler.

        Warns
        -----
        ScaleWarning
            Columns that never varied, which enter no neuron.
        """
        callbacks, tol = check_callbacks(callback), check_tol(self.tol)
        curved = callback is not None or tol is not None or (self.verbose or 0) >= 2
        if curved and checkpoint is not None:
            raise ParameterError(
                "checkpoint: a learning curve takes the rows in an order of its own, which a checkpoint cannot go on "
                f"with; got callback={callback!r}, tol={self.tol!r} and verbose={self.verbose!r} too. Leave out the "
                "checkpoint, or callback, tol and verbose=2."
            )
        # A file that holds some of the rows already may take none, or several.
        n_passes = 1 if checkpoint is None else None
        with self._told(X, y, sample_weight, n_passes), self._unchanged_on_error():
            X, y, weights = self._open(X, y, sample_weight, reset=True)
            layer = self._draw(X, weights)
            targets = self._make_targets(y, weights, whole=True)
            curve = None
            if curved:
                sums, curve = accumulate_with_curve(
                    layer,
                    targets,
                    X,
                    y,
                    weights,
                    alpha=self.alpha,
                    fit_intercept=self.fit_intercept,
                    callbacks=callbacks,
                    tol=tol,
                    verbose=self.verbose,
                )
            elif checkpoint is None:
                sums = accumulate(layer, targets, X, y, weights, verbose=self.verbose)
            else:
                if not isinstance(self.random_state, int | np.integer):
                    raise ParameterError(
                        "checkpoint: random_state must be an int, since the call that goes on must draw the same "
                        f"layer; got {self.random_state!r}."
                    )
                sums = accumulate_with_checkpoint(checkpoint, layer, targets, X, y, weights, verbose=self.verbose)
            solution = solve(sums.moments(centred=self.fit_intercept), self.alpha)
            self._start(layer, targets, y)
            self._keep(sums, solution)
            self._curve = curve
        return self

    @property
    def learning_curve_(self) -> dict:
        """The learning curve of `fit`, where it made one: ndarrays of shape (n_points,) by name, for a DataFrame.

        ``"n_samples"`` that a point was trained on, ``"score"``, R2 on rows that it has not seen, and its ``"alpha"``.
        """
        curve = self._need_curve("learning_curve_")
        return {name: np.array(getattr(curve, name)) for name in ("n_samples", "score", "alpha")}

    @property
    def stopped_early_(self) -> bool:
        """Whether `fit`, with a learning curve, ended before all rows were counted."""
        return self._need_curve("stopped_early_").stopped_early

    def _need_curve(self, what: str) -> LearningCurve:
        if (curve := getattr(self, "_curve", None)) is None:
            # What scikit-learn's `hasattr` looks for.
            raise AttributeError(
                f"{what}: this {type(self).__name__} has no learning curve. Call fit with callback=, with tol, or with "
                "verbose=2."
            )
        return curve

    def _state(self) -> dict:
        state = super()._state()
        if (curve := getattr(self, "_curve", None)) is not None:
            state["facts"]["learning_curve"] = asdict(curve)
        return state

    @classmethod
    def _from_state(cls, state: dict) -> Self:
        model = super()._from_state(state)
        if (curve := state["facts"].get("learning_curve")) is not None:
            model._curve = LearningCurve(**curve)
        return model

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
            layer = self._draw(X, weights, whole=False) if first else self.hidden_layer_
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
        ClusterError
            The cluster lost its workers or its scheduler; what is done is in the file, but for the last seconds.
        """
        if into is not None:
            self._accumulate_into(into, X, T, rows, sample_weight, lock)
            return self
        layer = self._need_layer("accumulate")
        self._need_same_parameters("accumulate")
        self._can_add()
        X, y, weights = self._open(X, T, sample_weight, reset=False)
        targets = self._make_targets(y, weights, whole=False)
        # All rows are named, since those around the ones that are summed tell the table from others.
        sums = accumulate(layer, targets, X, y, weights, ranges=[rows_between(X, rows)], verbose=self.verbose)
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
        start, stop = rows_between(X, rows)
        # What is counted has its name there, and is compared.
        own, edges = self.normal_equations_.ledger, (start - 1, start, stop - 1, stop)
        known = provenance_of(Table(X, y, weights, targets), own, edges) if isinstance(X, Hdf5Rows) else None
        args = layer, targets, X, y, weights
        gone = accumulate(*args, provenance=known, ranges=[(start, stop)], verbose=self.verbose)
        self.normal_equations_, self._solution = self.normal_equations_ - gone, None
        return self
