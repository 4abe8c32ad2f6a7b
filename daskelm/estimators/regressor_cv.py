"""`ELMRegressorCV`: regression with penalty and number of neurons chosen from the same pass."""

from __future__ import annotations

from .base import BaseELM
from .cross_validation import CrossValidationMethods
from .regression import RegressionMethods
from .results import ResultMethods

__all__ = ["ELMRegressorCV"]


class ELMRegressorCV(RegressionMethods, CrossValidationMethods, ResultMethods, BaseELM):
    """Extreme Learning Machine for regression that chooses its penalty and number of neurons, from one pass.

    The sums of each fold are all that cross-validation needs: those of a training part are the sums of all rows
    without a fold, and squared errors on a fold follow from its own. So a grid of any size costs one pass over the
    data, and gives what refitting would: with given `Neurons` and ``standardize=False``, the scores are those of
    scikit-learn's `GridSearchCV` over `ELMRegressor` with ``clip=False``.

    Parameters
    ----------
    neurons : int, list, "auto", (int, "auto") or None, default=None
        The full layer, as for `ELMRegressor`.
    n_neurons : array-like of int of shape (n_sizes,), or None, default=None
        Numbers of neurons to try: the first ones of the full layer, all ``"lin"`` before the others and these in
        proportion, or the best ones by `ranking`. None is the full layer alone; with a ranking, about ten numbers in
        geometric steps, from a hundredth of it up.
    ranking : {None, "omp", "lars", "mrsr"}, default=None
        Which neurons are kept when there are fewer than all: those that enter first into a sparse model of the targets,
        by orthogonal matching pursuit, least angle regression (one target), or multiresponse sparse regression, which
        is that for several. From HH and HT alone. With folds each training part ranks anew, and the final model with
        all rows; else all rows rank once, so that scores of few neurons are somewhat optimistic.
    alphas : array-like of shape (n_alphas,), or None, default=None
        Penalties to try, in the units of HH, which is a sum over rows. None is a grid from 1e-12 to 1e6 times
        trace(HH) / L of all rows and neurons, four to a decade, as far as that is above rounding, and with ``cv=None``
        as far as Cholesky is safe.
    cv : None, "gcv", "loo", int, splitter, or iterable of (train, test), default=None
        None is two to five folds that rows belong to by a hash of their content, as with ``alpha="auto"``: in any order
        of the rows, the same row and its copies are in the same fold. R2 of a fold is relative to the variance of all
        rows, and of equal scores the largest penalty is taken. With up to 400 neurons and fewer than three distinct
        rows for each, all 30 sets of the five folds are left out. Layers of more than 10,000 neurons have no folds, and
        are scored by ``"gcv"``: generalised cross-validation, from sums alone, which is cheaper, and fails where few
        rows lie far from all others. ``"loo"`` leaves out one row at a time, exactly, by a
        second pass for the whole grid; the layer, its scale and the ranking are those of all rows. An int is so many
        folds of consecutive rows. A splitter of scikit-learn, or splits: each row is in one test part at most, and in
        all training parts but that. `LeaveOneOut` is ``"loo"``. Other splitters are not kept in files: in a loaded
        model it is None. It must be None where `fit` is given validation rows, X_val.
    scoring : str or None, default=None
        ``"r2"`` (None), ``"neg_mean_squared_error"`` and ``"neg_root_mean_squared_error"`` come from the sums alone,
        but for "loo"; ``"neg_mean_absolute_error"`` and ``"neg_mean_absolute_percentage_error"`` take one further pass
        for the whole grid, and a `cv` that is neither None nor "gcv", or validation rows. Scores of "loo" are of all
        rows together. Sample weights are weights in the scores too.
    store_cv_results : bool, default=True
        Whether `cv_results_` is kept.
    standardize : bool, default=True
        Whether inputs are centred, scaled to unit variance and clipped before drawn neurons. A column that never varied
        enters no drawn neuron. The scale is that of all rows, in each fold too.
    missing : {"error", "indicator"}, default="error"
        What NaN in X is, and a null of a frame: an error, or a gap. A gap counts as the mean of its column, and columns
        with gaps in the sample of the input scale have one more input, which is 1 at a gap and 0 elsewhere.
    fit_intercept : bool, default=True
        Whether there is an intercept, which is not penalised.
    clip : bool, default=True
        Whether predictions are kept within the range of the training targets, a tenth of it wider at each end. False
        is for trends that go on beyond. Scores from sums alone (`cv_results_`, learning curves) are without it.
    dtype : {None, "float32", "float64"}, default=None
        dtype of the hidden layer; that of X if None. Sums and solution are always float64.
    random_state : int, RandomState or None, default=None
        Seed of the neurons.
    verbose : int, default=0
        1 shows rows, rows per second and the time left.

    Attributes
    ----------
    alpha_ : float
        The penalty chosen.
    n_neurons_ : int
        The number of neurons chosen.
    best_score_ : float
        Their score: the mean over folds, that on the validation rows or of all rows left out, or what generalised
        cross-validation estimates.
    cv_results_ : dict
        All scores, one entry per pair of alpha and n_neurons, as scikit-learn's; ``pandas.DataFrame(cv_results_)`` is a
        table. Scores are NaN where generalised cross-validation refuses, or "loo" because a model determines
        more than half of the rows by more than 99.9 %; fewer such rows are scored by the mean of the others.
    ranking_ : ndarray of shape (n_neurons of the full layer,), int
        With a ranking: the columns of the full layer, best first, by all rows.
    coef_ : ndarray of shape (n_targets, n_neurons)
        Output weights, float64.
    intercept_ : ndarray of shape (n_targets,)
        Intercept.
    rank_ : int
        Rank kept by the solver.
    condition_number_ : float
        Condition number of HH + alpha I: LAPACK's estimate in the 1-norm after Cholesky; where that was not safe, in
        the 2-norm, of the rank kept. In the 1-norm it is 1 to n_neurons_ times that in the 2-norm.
    hidden_layer_ : Layer
        The layer of the neurons chosen, which stand as in the full one.
    neurons_ : list
        Groups of neurons as they were drawn, in the form of `neurons`.
    draw_errors_ : dict of str to float
        Where the draw was chosen: errors of the draws on held-out rows of the sample, over the variance.
    normal_equations_ : NormalEquations
        Their sums over all rows.
    n_features_in_ : int
        Number of inputs.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the inputs, if they had any.

    References
    ----------
    Stone (1974) for folds; Engstrom, Jensen (2025) for folds by subtraction; Golub, Heath, Wahba (1979) for generalised
    cross-validation; Allen (1974) for leaving out one row; Pati, Rezaiifar, Krishnaprasad (1993), Efron, Hastie,
    Johnstone, Tibshirani (2004) and Similä, Tikka (2005) for the rankings; Miche et al. (2010) for pruning by them.

    Examples
    --------
    >>> import numpy as np
    >>> from daskelm import ELMRegressorCV
    >>> X = np.random.default_rng(0).uniform(-3, 3, (1000, 1))
    >>> model = ELMRegressorCV(50, n_neurons=[2, 10, 50], alphas=np.logspace(-6, 2, 5), cv=5, random_state=0)
    >>> model.fit(X, np.sin(X[:, 0])).n_neurons_
    50
    >>> len(model.cv_results_["params"]), bool(model.best_score_ > 0.999)
    (15, True)
    """

    __module__ = "daskelm"

    def __init__(
        self,
        neurons=None,
        *,
        n_neurons=None,
        ranking=None,
        alphas=None,
        cv=None,
        scoring=None,
        store_cv_results=True,
        standardize=True,
        missing="error",
        fit_intercept=True,
        clip=True,
        dtype=None,
        random_state=None,
        verbose=0,
    ):
        self.neurons = neurons
        self.n_neurons = n_neurons
        self.ranking = ranking
        self.alphas = alphas
        self.cv = cv
        self.scoring = scoring
        self.store_cv_results = store_cv_results
        self.standardize = standardize
        self.missing = missing
        self.fit_intercept = fit_intercept
        self.clip = clip
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose
