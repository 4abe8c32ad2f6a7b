"""`FittingMethods`: fit, add rows, take rows away, and solve, for one penalty or for the best of a grid."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils import metadata_routing

from ..data.source import source_of
from ..exceptions import ParameterError
from ..passes.accumulate import accumulate
from ..passes.curve_pass import LearningCurve, accumulate_with_curve
from ..passes.learning_curve import check_callbacks, check_tol
from ..passes.resume import accumulate_with_checkpoint, add_rows, remove_rows
from ..passes.solution_memory import check_can_solve, with_solution_that_fits
from ..passes.tasks import Job
from ..ridge.solve import Solution
from ..sums.file import read_sums
from ..sums.normal_equations import NormalEquations
from ..sums.solved import solve_sums
from ._sklearn_compat import with_callbacks
from .callbacks import FitCallbacks
from .checking import check_bool, is_vector
from .curve_results import curve_of
from .fitted import Columns, Fitted
from .solving import check_can_add, check_sums_match, folds_for, own_sums, select_with, without_rows

__all__ = ["FittingMethods"]


class FittingMethods(FitCallbacks):
    """Methods of an estimator that is fitted for one penalty, and keeps sums that rows are added to."""

    # Files of work and callbacks are not metadata of the rows.
    __metadata_request__fit = {name: metadata_routing.UNUSED for name in ("checkpoint", "callback", "target")}
    __metadata_request__partial_fit = {"target": metadata_routing.UNUSED}

    alpha: Any
    gram_dtype: Any
    tol: Any
    random_state: Any

    # These come from the other classes of an estimator.
    _fitted: Fitted | None
    fit_intercept: bool
    verbose: Any
    _check_is_drawn: Any
    _check_same_parameters: Any
    _check_sums: Any
    _draw: Any
    _make_targets: Any
    _open: Any
    _with_link: Any

    @with_callbacks
    def fit(self, X, y=None, sample_weight=None, checkpoint=None, callback=None, target=None) -> Self:
        """Draw the hidden layer, sum over all rows in one pass, and solve.

        With a callback, with `tol`, or with `verbose=2`, the rows are taken in an order that is random and the same in
        each call, and a learning curve is made on the way, without reading a row twice: the score of a model of the
        rows so far on the next ones. The chunks of a dask array are put in that order as wholes: if there are few,
        and the rows are sorted, the first points say little. With checkpoints there is no curve.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or path(s) of files, of shape (n_samples, n_features)
            Inputs.
        y : the same, of shape (n_samples,) or (n_samples, n_targets)
            Targets or labels.
        sample_weight : the same, of shape (n_samples,), optional
            Weights of the rows, not negative.
        checkpoint : str or path-like, optional
            Sums file that the work is committed to as it goes on: when it is killed, the same call goes on from
            there. For X in files and a `random_state` that is an int.
        callback : callable, or list of callables, optional
            Each is called with every `LearningCurvePoint`, in this thread, while the work goes on. If one returns True,
            the pass ends there, as it does with `tol`. `LearningCurvePlot` is one.
        target : str or list of str, optional
            Name of the column of X that is y, or names of several, instead of y; X is the other columns.

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
        # A file that holds some of the rows already may take no pass, or several.
        n_passes = 1 if checkpoint is None else None
        with self._reporting(X, y, sample_weight, n_passes):
            # 1. The data: X, y and weights of the rows.
            rows = self._open(X, y, sample_weight, reset=True, target=target)
            # 2. The model: the columns of T, and random neurons.
            targets = self._make_targets(rows.y, rows.weights, whole=True)
            drawn = self._draw(rows, targets)
            # 3. The sums HH = H'H and HT = H'T over all rows.
            work = Job(drawn.layer, targets, rows.X, rows.y, rows.weights, folds_for(self.alpha, drawn.layer))
            sums, curve = self._sum(with_solution_that_fits(work, self.alpha), checkpoint, curved, callbacks, tol)
            # 4. The output weights B from HH and HT.
            solution = self._solution(sums)
            # 5. The result is kept; assigned last, so that a fit that fails changes nothing.
            more = {"targets": targets, "curve": curve, "vector_target": is_vector(rows.y)}
            self._fitted = self._with_link(drawn.solved(sums, solution, **more), rows)
        return self

    def _solution(self, sums: NormalEquations) -> Solution:
        centred = check_bool(self.fit_intercept, "fit_intercept")
        return solve_sums(sums, self.alpha, fit_intercept=centred, per_target=self._per_target())

    def _per_target(self) -> bool:
        """Whether each target gets a penalty of its own, where it is chosen."""
        return False

    def _sum(self, work, checkpoint, curved, callbacks, tol) -> tuple[NormalEquations, LearningCurve | None]:
        if curved:
            how = {"alpha": self.alpha, "fit_intercept": self.fit_intercept, "per_target": self._per_target()}
            return accumulate_with_curve(work, callbacks=callbacks, tol=tol, verbose=self.verbose, **how)
        if checkpoint is None:
            return accumulate(*work, verbose=self.verbose), None
        if not isinstance(self.random_state, int | np.integer):
            raise ParameterError(
                "checkpoint: random_state must be an int, since the call that goes on must draw the same "
                f"layer; got {self.random_state!r}."
            )
        return accumulate_with_checkpoint(checkpoint, work, verbose=self.verbose), None

    @property
    def learning_curve_(self) -> dict:
        """The learning curve of `fit`, where it made one: ndarrays of shape (n_points,) by name, for a DataFrame.

        ``"n_samples"`` that a point was trained on, ``"score"``, R2 on rows that it has not seen, and its ``"alpha"``.
        """
        curve = curve_of(self._fitted, type(self).__name__, "learning_curve_")
        return {name: np.array(getattr(curve, name)) for name in ("n_samples", "score", "alpha")}

    @property
    def stopped_early_(self) -> bool:
        """Whether `fit`, with a learning curve, ended before all rows were counted."""
        return curve_of(self._fitted, type(self).__name__, "stopped_early_").stopped_early

    def _partial_fit(self, X, y, sample_weight, classes=None, target=None):
        fitted = self._fitted
        if fitted is not None:
            check_can_add(self._check_same_parameters("partial_fit"), type(self).__name__)
        rows = self._open(X, y, sample_weight, reset=fitted is None, target=target)
        targets = self._make_targets(rows.y, rows.weights, whole=False, classes=classes)
        if fitted is None:
            fitted = self._draw(rows, targets, whole=False)
        folds = folds_for(self.alpha, fitted.layer, fitted.sums)
        sums = accumulate(fitted.layer, targets, rows.X, rows.y, rows.weights, folds, verbose=self.verbose)
        self._fitted = fitted.with_rows(sums, targets, is_vector(rows.y), rows.columns)
        return self

    def _work(
        self, X, T, sample_weight, what: str, *, adding: bool = False, target=None
    ) -> tuple[Fitted, Job, Columns]:
        """Result of fitting, rows that the method `what` sums with its layer, and their columns.

        `adding` means to its own sums.
        """
        fitted = self._check_same_parameters(what)
        if adding:
            check_can_add(fitted, type(self).__name__)
        rows = self._open(X, T, sample_weight, target=target)
        targets = self._make_targets(rows.y, rows.weights, whole=False)
        # Only rows that go to files may be in other folds than the model's own sums.
        folds = folds_for(self.alpha, fitted.layer, fitted.sums if adding or what == "remove" else None)
        return fitted, Job(fitted.layer, targets, rows.X, rows.y, rows.weights, folds), rows.columns

    def accumulate(
        self, X, T=None, rows: slice | None = None, into=None, sample_weight=None, lock: float = True, target=None
    ) -> Self:
        """Add the sums of rows to a file, or to the model's own sums; from as many processes as you like.

        Rows of files are recognised by their content: those that the file counts already are left out, so that a
        call that was killed, or made twice, adds what is missing. Finished work is committed now and then. Rows of
        arrays in memory and of other dask arrays are not recognised; they are added all at once.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or path(s) of files, of shape (n_samples, n_features)
            Inputs.
        T : the same, of shape (n_samples,) or (n_samples, n_targets)
            Targets or labels.
        rows : slice, optional
            Which rows of X, T and sample_weight; past the end is an error, an empty range is not.
        into : str or path-like, optional
            Sums file, made when missing; the model's own sums if not given.
        sample_weight : the same as X, of shape (n_samples,), optional
            Weights of the rows.
        lock : bool or float, default=True
            Whether to hold the lock of `into` while it is written; a number is the longest wait for it, in seconds.
            False is for file systems without locks, and a sums file for each process, which `solve` takes together.
        target : str or list of str, optional
            Name of the column of X that is T, or names of several, instead of T; X is the other columns.

        Returns
        -------
        self
            The estimator; with `into`, unchanged.

        Raises
        ------
        NotSolvedError
            `initialize` was not called: all processes need the same layer, from one saved model.
        ParameterError
            A parameter that the layer was drawn with was changed since.
        IncompatibleSumsError
            The file holds sums of another layer or other targets; or the model's own sums hold these rows already.
        DataError
            Rows that the file counts already have other values now.
        FileWriteError
            The file cannot be written, or not locked.
        ClusterError
            The cluster lost its workers or its scheduler; finished work is in the file, but for the last seconds.
        """
        if into is not None:
            self._accumulate_into(into, X, T, rows, sample_weight, lock, target)
            return self
        fitted, work, columns = self._work(X, T, sample_weight, "accumulate", adding=True, target=target)
        # All rows are given to the pass, since the rows around the range distinguish the table from others.
        sums = accumulate(*work, ranges=[source_of(work.X).row_range(rows)], verbose=self.verbose)
        self._fitted = fitted.with_rows(sums, work.targets, is_vector(work.y), columns)
        return self

    def _accumulate_into(self, into, X, T, rows, sample_weight, lock, target=None) -> int:
        """Add rows to a file; the number of those that were not counted there before."""
        _, work, _ = self._work(X, T, sample_weight, "accumulate", target=target)
        return add_rows(into, work, source_of(work.X).row_range(rows), lock=lock, verbose=self.verbose)

    def remove(
        self, X, T=None, rows: slice | None = None, sums=None, sample_weight=None, lock: float = True, target=None
    ) -> Self:
        """Take rows out of the sums again, exactly: a customer's rows, a bad day of a sensor.

        The layer and its scale of the inputs do not change.

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
        lock : bool or float, default=True
            Whether to hold the lock of the sums file while it is written; a number as for `accumulate`.
        target : str or list of str, optional
            Name of the column of X that is T, or names of several, instead of T; X is the other columns.

        Returns
        -------
        self
            The estimator; with `sums`, unchanged: call `solve` for the new weights.

        Raises
        ------
        IncompatibleSumsError
            Some of the rows are not counted.
        DataError
            The rows have other values than when they were added.
        """
        fitted, work, _ = self._work(X, T, sample_weight, "remove", target=target)
        start, stop = source_of(work.X).row_range(rows)
        if sums is not None:
            remove_rows(sums, work, (start, stop), lock=lock, verbose=self.verbose)
            return self
        self._fitted = without_rows(fitted, work, (start, stop), type(self).__name__, self.verbose)
        return self

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
            There is no layer, no rows were added yet, or the model was saved without its sums.
        IncompatibleSumsError
            The sums are of another layer or other targets.
        ParameterError
            Another parameter than `alpha`, `fit_intercept` and `verbose` was changed since the layer was drawn.
        """
        self._fitted = self._solve("solve", sums)
        return self

    def _solve(self, what: str, sums=None) -> Fitted:
        fitted = self._check_same_parameters(what)
        sums = own_sums(fitted, what, type(self).__name__) if sums is None else read_sums(sums)
        self._check_sums_match(sums)
        check_can_solve(sums.n_neurons, sums.n_targets, self.alpha, len(sums.folds))
        return fitted.solved(sums, self._solution(sums))

    def select(
        self, sums=None, *, validation=None, n_neurons=None, ranking=None, alphas=None, cv=None, scoring=None
    ) -> Self:
        """Choose the penalty and the neurons from sums alone, and solve; needs no data.

        Parameters of the estimator stay as they are: `alpha_` is the penalty chosen until `solve` is called, with
        `alpha`, or rows are added. Where fewer neurons are chosen, the model has the smaller layer and its sums from
        here on, and no longer takes sums of the full one: save it first, or to another file.

        Parameters
        ----------
        sums : NormalEquations, str, path-like, or list of these, optional
            Sums, a sums file, several, or a glob; the model's own sums if not given.
        validation : the same, optional
            Sums of other rows, made with the same model, that the grid is scored on; they are not solved with.
        n_neurons : array-like of int of shape (n_sizes,), optional
            Numbers of neurons to try: the first ones of the layer, all ``"lin"`` before the others and these in
            proportion, or the best by `ranking`. All neurons if not given; with a ranking, about ten numbers.
        ranking : {None, "omp", "lars", "mrsr"}, default=None
            Order in which neurons are taken, by how much they explain of the targets, as in `ELMRegressorCV`; with
            ``"files"``, each training part has its own.
        alphas : array-like of shape (n_alphas,), optional
            Penalties to try, in the units of HH; if not given, a grid as in `ELMRegressorCV`.
        cv : {None, "gcv", "files"}, default=None
            Without validation: None is the folds of rows in the sums, as ``alpha="auto"`` makes them, and where there
            are none ``"gcv"``, generalised cross-validation. ``"files"`` takes each of several sums as a fold.
        scoring : {"r2", "neg_mean_squared_error", "neg_root_mean_squared_error"}, optional
            The score to maximise: r2 if not given. For a classifier it is the score of its outputs as
            estimates of zeros and ones.

        Returns
        -------
        self
            The solved estimator, with `best_score_`, `cv_results_` and `n_neurons_`, and `ranking_` if asked for.

        Raises
        ------
        NotSolvedError
            There is no layer, no rows were added yet, or the model was saved without its sums.
        IncompatibleSumsError
            The sums are of another layer or other targets; rows are counted in sums and in validation.
        ParameterError
            A grid, `ranking`, `cv` or `scoring` that cannot be used; a parameter that was changed since the layer was
            drawn.
        DataError
            Sums of too few rows.
        InsufficientMemoryError
            The sums of so many folds, or so large a grid, do not fit in this process.
        """
        fitted = self._check_same_parameters("select")
        self._fitted = select_with(
            fitted,
            own_sums(fitted, "select", type(self).__name__) if sums is None else sums,
            check=self._check_sums_match,
            validation=validation,
            alphas=alphas,
            n_neurons=n_neurons,
            ranking=ranking,
            cv=cv,
            scoring=scoring,
            fit_intercept=self.fit_intercept,
            verbose=self.verbose,
        )
        return self

    def _check_sums_match(self, sums: NormalEquations, name: str = "sums") -> None:
        """Refuse sums of another layer or other targets; `name` is the argument's."""
        check_sums_match(self._check_is_drawn("solve"), sums, name)
        self._check_sums(sums, name)
