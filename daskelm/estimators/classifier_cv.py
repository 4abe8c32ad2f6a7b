"""`ELMClassifierCV`: classification with penalty and number of neurons chosen from the same pass."""

from __future__ import annotations

from .base import BaseELM
from .classification import ClassificationMethods
from .cross_validation import CrossValidationMethods
from .results import ResultMethods

__all__ = ["ELMClassifierCV"]


class ELMClassifierCV(ClassificationMethods, CrossValidationMethods, ResultMethods, BaseELM):
    """Extreme Learning Machine for classification that chooses its penalty and number of neurons.

    One pass over the data makes the sums of each fold, and with them all models of the grid and the squared errors of
    their outputs, by which it chooses by default. Other scores, such as accuracy, take a second pass.

    Parameters
    ----------
    neurons : int, list, "auto", (int, "auto") or None, default=None
        The full layer, as for `ELMClassifier`.
    n_neurons : array-like of int of shape (n_sizes,), or None, default=None
        Numbers of neurons to try: the first ones of the full layer, all ``"lin"`` before the others and these in
        proportion, or the best ones by `ranking`. None is the full layer alone; with a ranking, about ten numbers in
        geometric steps, from a hundredth of it up.
    ranking : {None, "omp", "lars", "mrsr"}, default=None
        Which neurons are kept when there are fewer than all: those that enter first into a sparse model of the targets,
        by orthogonal matching pursuit, least angle regression (two classes), or multiresponse sparse regression, which
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
        second pass for the whole grid; the layer, its scale, weights of classes and the ranking are those of all rows.
        An int is so many folds, stratified by label in the order of the rows, as scikit-learn's; of multi-label
        targets, folds of consecutive rows. A splitter of scikit-learn, or splits: each row is in one test part at most,
        and in all training parts but that. `LeaveOneOut` is ``"loo"``. Other splitters are not kept in files: in a
        loaded model it is None. It must be None where `fit` is given validation rows, X_val.
    scoring : str or None, default=None
        ``"neg_mean_squared_error"`` (None), ``"neg_root_mean_squared_error"`` and ``"r2"`` are those of the outputs,
        before they become probabilities, as estimates of columns of zeros and ones: from the sums alone, but for "loo".
        ``"accuracy"``, ``"balanced_accuracy"``, ``"matthews_corrcoef"``, ``"neg_log_loss"``, ``"neg_brier_score"``, and
        ``"f1"``, ``"precision"``, ``"recall"`` and ``"jaccard"`` with their averages take one further pass for the
        whole grid, and a `cv` that is neither None nor "gcv", or validation rows. Accuracy counts labels alone, and
        chooses worse probabilities. Scores of "loo" are of all rows together. Sample weights are weights in the scores
        too. `score` is accuracy.
        Probabilities of the grid are the nearest point of the simplex, before the chosen model is calibrated.
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
    class_weight : None, "balanced" or dict, default=None
        Weights of the classes, {label: weight}; "balanced" makes their sums of weights equal, of all rows together. No
        weights in scores other than squared errors.
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
    classes_ : ndarray of shape (n_classes,)
        Sorted labels; of multi-label targets, the numbers of the columns.
    ranking_ : ndarray of shape (n_neurons of the full layer,), int
        With a ranking: the columns of the full layer, best first, by all rows.
    coef_ : ndarray of shape (n_targets, n_neurons)
        Output weights, float64; one target for two classes.
    intercept_ : ndarray of shape (n_targets,)
        Intercept.
    rank_ : int
        Rank kept by the solver.
    condition_number_ : float
        Condition number of HH + alpha I: LAPACK's estimate in the 1-norm after Cholesky; where that was not safe, in
        the 2-norm, of the rank kept. In the 1-norm it is 1 to n_neurons_ times that in the 2-norm.
    probability_link_ : ProbabilityLink or None
        The two numbers, ``temperature`` and ``power``, or two per label, that make outputs probabilities: fitted by log
        loss on up to some 20,000 rows, each left out.
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
    >>> from sklearn.datasets import load_iris
    >>> from daskelm import ELMClassifierCV
    >>> X, y = load_iris(return_X_y=True)
    >>> model = ELMClassifierCV(n_neurons=[20, 50, 100], cv=5, random_state=0).fit(X, y)
    >>> model.n_neurons_ in (20, 50, 100), bool(model.best_score_ > -0.05), bool(model.score(X, y) > 0.95)
    (True, True, True)
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
        class_weight=None,
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
        self.class_weight = class_weight
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose
