"""`ELMClassifier`: a scikit-learn classifier made of layer, sums and solution."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

from ..data.labels import count_classes
from ..data.source import n_columns
from .base import BaseELM
from .classification import ClassificationMethods
from .fitting import FittingMethods
from .results import ResultMethods

__all__ = ["ELMClassifier"]


class ELMClassifier(ClassificationMethods, FittingMethods, ResultMethods, BaseELM):
    """Extreme Learning Machine for classification: ridge regression on 0/1 targets, one per class.

    Class probabilities are a softmax of the outputs with two numbers, which `fit` finds by log loss on up to some
    20,000 rows, with outputs of models that had not seen the row. `predict` is the class of the largest output, and so
    of the largest probability. Labels may be of any type that sorts; a 0/1 matrix of labels is multi-label.

    Parameters
    ----------
    neurons : int, list, "auto", (int, "auto") or None, default=None
        An int is that many ``"tanh"`` neurons. A list holds ready `Neurons` and pairs (number, function), where the
        function is ``"lin"``, ``"sigm"``, ``"tanh"``, ``"relu"``, ``"rbf_l1"``, ``"rbf_l2"``, ``"rbf_linf"`` or a ufunc
        of NumPy or scipy.special. A pair (n, ``"lin"``) passes the first n inputs through, at most n_features of them.
        None is all inputs passed through and 200 ``"tanh"``.
        ``"auto"``, or ``(500, "auto")``, is all inputs passed through and 200 neurons, or the number given, whose
        functions and draws are chosen by a sample of rows and their targets. A triple (number, function, draw) says how
        neurons are drawn: ``"random"``; ``"relevance"``, in directions that the targets vary along; ``"pairs"``, from
        row to row where targets differ; ``"sparse"``, on one to three inputs; or ``"sparse pairs"``, both.
    alpha : float, "auto" or "gcv", default="auto"
        Penalty on the squared output weights, in the units of HH, which is a sum over rows: the same number weighs
        less the more rows there are. ``"auto"`` chooses it in the same pass by rows that the solution has not seen:
        rows are divided into five folds by their content (three from 401 neurons, two from 2,501, none from 10,001),
        equal rows into the same. Without folds it is the larger one of generalised cross-validation and marginal
        likelihood; `alpha_chosen_by_` says which. ``"gcv"`` is generalised cross-validation from one sum.
    standardize : bool, default=True
        Whether inputs are centred, scaled to unit variance and clipped before drawn neurons. A column
        that never varied enters no drawn neuron.
    missing : {"error", "indicator"}, default="error"
        What NaN in X is, and a null of a frame: an error, or a gap. A gap counts as the mean of its column, and columns
        with gaps in the sample of the input scale have one more input, which is 1 at a gap and 0 elsewhere.
    fit_intercept : bool, default=True
        Whether there is an intercept, which is not penalised.
    class_weight : None, "balanced" or dict, default=None
        Weights of the classes, {label: weight}; "balanced" makes their sums of weights equal.
    dtype : {None, "float32", "float64"}, default=None
        dtype of the hidden layer; that of X if None. The solution is always float64.
    gram_dtype : {"float64", "float32"}, default="float64"
        dtype in which HH and HT are summed; "float32" needs a hidden layer in float32. Large fits are 1.6 times as
        fast, but numbers below 1e-7 of HH are rounded off: penalties too small for that are raised, with a warning
        (`alpha_`), and smooth relations of few inputs lose accuracy.
    tol : float or None, default=None
        If given, `fit` ends when more rows no longer help: when at all points of the learning curve since the rows
        last doubled, and at two at least, twice the rows changed R2 on rows not seen by less than `tol`. 1e-3 is a
        good value. The model is exact for the rows used, and the same whatever the workers do; `normal_equations_`
        says how many and which. None uses all rows.
    random_state : int, RandomState or None, default=None
        Seed of the neurons.
    verbose : int, default=0
        1 shows rows, rows per second and the time left; 2 makes `fit` show the R2 so far, too.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted labels; of multi-label targets, the numbers of the columns.
    coef_ : ndarray of shape (n_targets, n_neurons)
        Output weights, float64; one target for two classes.
    intercept_ : ndarray of shape (n_targets,)
        Intercept.
    alpha_ : float
        The penalty used.
    alpha_chosen_by_ : str
        ``"folds"``, ``"gcv"`` or ``"evidence"`` (marginal likelihood); ``"given"`` for numbers, and after `select`.
    rank_ : int
        Rank kept by the solver.
    condition_number_ : float
        Condition number of HH + alpha I: in the 2-norm, of the rank kept, after eigenvectors (``alpha="gcv"``, or where
        Cholesky was not safe); LAPACK's estimate in the 1-norm after Cholesky (`alpha` a number, and `select`). In the
        1-norm it is 1 to n_neurons times that in the 2-norm.
    probability_link_ : ProbabilityLink or None
        The two numbers, ``temperature`` and ``power``, or two per label, that make outputs probabilities. None for
        models solved from sums alone until `calibrate` is called: probabilities are the nearest point of the simplex.
    hidden_layer_ : Layer
        The drawn layer: a function of blocks of X.
    neurons_ : list
        Groups of neurons as they were drawn, in the form of `neurons`.
    draw_errors_ : dict of str to float
        Where the draw was chosen: errors of the draws on held-out rows of the sample, over the variance.
    normal_equations_ : NormalEquations
        The sums over all rows.
    best_score_ : float
        After `select`: the score of its choice.
    cv_results_ : dict
        After `select`: all scores, as those of `ELMRegressorCV` and `ELMClassifierCV`.
    n_neurons_ : int
        After `select`: the number of neurons chosen.
    ranking_ : ndarray of shape (n_neurons of the full layer,), int
        After `select` with a ranking: the columns of the layer before, best first.
    learning_curve_ : dict of ndarray of shape (n_points,)
        Of `fit` with a callback, with `tol` or with `verbose=2`: ``"n_samples"``, ``"score"`` and ``"alpha"``.
    stopped_early_ : bool
        Whether that `fit` ended before all rows were counted.
    n_features_in_ : int
        Number of inputs.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the inputs, if they had any.
    target_names_in_ : ndarray of shape (n_targets,)
        Names of the targets, if they were columns with names.

    References
    ----------
    Huang, Zhou, Ding, Zhang (2012). Probabilities: Platt (1999), Guo, Pleiss, Sun, Weinberger (2017); without rows
    Held, Wolfe, Crowder (1974). Penalty: Golub, Heath, Wahba (1979).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from daskelm import ELMClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = ELMClassifier(50, random_state=0).fit(X, y)
    >>> model.predict_proba(X[:2]).shape
    (2, 3)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    __module__ = "daskelm"

    def __init__(
        self,
        neurons=None,
        *,
        alpha="auto",
        standardize=True,
        missing="error",
        fit_intercept=True,
        class_weight=None,
        dtype=None,
        gram_dtype="float64",
        tol=None,
        random_state=None,
        verbose=0,
    ):
        self.neurons = neurons
        self.alpha = alpha
        self.standardize = standardize
        self.missing = missing
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.dtype = dtype
        self.gram_dtype = gram_dtype
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose

    def initialize(self, X, y=None, classes=None, sample_weight=None, target=None) -> Self:
        """Draw the neurons, take the scale of the inputs and fix the classes; trains nothing.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or path(s) of files, of shape (n_samples, n_features)
            Inputs; the scale is taken from up to 100,000 of many rows.
        y : the same, of shape (n_samples,) or (n_samples, n_labels), optional
            Labels, which are all read to find the classes; with `classes`, only `neurons` that are drawn by labels need
            them.
        classes : array-like of shape (n_classes,), optional
            All labels that will come.
        sample_weight : the same as X, of shape (n_samples,), optional
            Weights of the rows in the scale.
        target : str or list of str, optional
            Name of the column of X that is y, or names of several, instead of y; X is the other columns. For tables
            whose columns have names.

        Returns
        -------
        self
            The estimator, not yet fitted.

        Raises
        ------
        DataError
            First rows that are all the same.

        Warns
        -----
        ScaleWarning
            Columns that never varied, which enter no neuron; fewer than 30 rows that the scale of
            the inputs is taken from.
        DrawWarning
            Rows that say too little for `neurons` that are drawn by them.
        """
        rows = self._open_rows(X, y, sample_weight, reset=True, target=target)
        labels = rows.y
        targets = None
        if classes is not None or labels is not None:
            if classes is None and labels is not None and not (labels.ndim == 2 and n_columns(labels) > 1):
                classes, _ = count_classes(labels, verbose=self.verbose)
            # Rows come in parts from here on, so that weights cannot be "balanced".
            targets = self._make_targets(labels, None, whole=True, classes=classes)
        self._fitted = replace(self._draw(rows, targets, whole=False), targets=targets)
        return self

    def partial_fit(self, X, y=None, classes=None, sample_weight=None, target=None) -> Self:
        """Add rows to the sums; the layer is drawn from the first ones and kept. Solved at the first use.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or path(s) of files, of shape (n_samples, n_features)
            Inputs.
        y : the same, of shape (n_samples,) or (n_samples, n_labels)
            Labels.
        classes : array-like of shape (n_classes,), optional
            All labels that will come; needed in the first call.
        sample_weight : the same as X, of shape (n_samples,), optional
            Weights of the rows.
        target : str or list of str, optional
            Name of the column of X that is y, or names of several, instead of y; X is the other columns. For tables
            whose columns have names.

        Returns
        -------
        self
            The estimator.

        Raises
        ------
        DataError
            First rows that are all the same.

        Warns
        -----
        ScaleWarning
            Columns that never varied, which enter no neuron; fewer than 30 rows that the scale of
            the inputs is taken from.
        DrawWarning
            Rows that say too little for `neurons` that are drawn by them.
        """
        return self._partial_fit(X, y, sample_weight, classes, target)
