"""`ELMRegressor`: the scikit-learn face of layer, sums and solution for numbers."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_array

from .exceptions import DataError, IncompatibleSumsError, InputTypeError
from .inputs import check_distinct, is_lazy, n_columns, open_input
from .scoring import r2
from .sums_estimator import SumsEstimator
from .targets import RegressionTargets

__all__ = ["ELMRegressor"]


class ELMRegressor(RegressorMixin, SumsEstimator):
    """Extreme Learning Machine for regression: random neurons and a ridge regression, exact from one pass.

    Parameters
    ----------
    neurons : int, list, or None, default=None
        An int is that many ``"tanh"`` neurons; a list holds pairs (number, kind), kind one of ``"lin"``, ``"sigm"``,
        ``"tanh"``, ``"relu"``, ``"rbf_l1"``, ``"rbf_l2"``, ``"rbf_linf"`` or a ufunc of NumPy or scipy.special, and
        ready `Neurons`. A pair (n, ``"lin"``) passes the first n inputs through, at most n_features of them. None is
        all inputs passed through and 200 ``"tanh"``.
    alpha : float or "gcv", default="gcv"
        Penalty on the squared output weights, in the units of HH, which is a sum over rows: the same number weighs
        less the more rows there are. ``"gcv"`` chooses it by generalised cross-validation from the sums alone.
    standardize : bool, default=True
        Whether inputs are centred, scaled to unit variance and clipped before drawn neurons.
    fit_intercept : bool, default=True
        Whether there is an intercept, which is not penalised.
    dtype : {None, "float32", "float64"}, default=None
        Of the hidden layer; that of X if None. Sums and solution are always float64.
    random_state : int, RandomState or None, default=None
        Seed of the neurons.
    verbose : int, default=0
        1 shows rows, rows per second and the time left.

    Attributes
    ----------
    coef_ : ndarray of shape (n_targets, n_neurons)
        Output weights, float64.
    intercept_ : ndarray of shape (n_targets,)
        Intercept.
    alpha_ : float
        The penalty used.
    rank_ : int
        Rank kept by the solver.
    condition_number_ : float
        Of HH + alpha I.
    hidden_layer_ : Layer
        The drawn layer: a function of blocks of X.
    normal_equations_ : NormalEquations
        The sums over all rows.
    n_features_in_ : int
        Number of inputs.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the inputs, if they had any.

    References
    ----------
    Schmidt, Kraaijveld, Duin (1992); Pao, Park, Sobajic (1994); Huang, Zhu, Siew (2004); Akusok, Bjork, Miche,
    Lendasse (2015). Penalty: Golub, Heath, Wahba (1979).

    Examples
    --------
    >>> import numpy as np
    >>> from daskelm import ELMRegressor
    >>> X = np.random.default_rng(0).uniform(-3, 3, (1000, 1))
    >>> model = ELMRegressor(50, random_state=0).fit(X, np.sin(X[:, 0]))
    >>> bool(abs(model.predict([[1.0]])[0] - np.sin(1)) < 1e-3)
    True
    """

    def __init__(
        self,
        neurons=None,
        *,
        alpha="gcv",
        standardize=True,
        fit_intercept=True,
        dtype=None,
        random_state=None,
        verbose=0,
    ):
        self.neurons = neurons
        self.alpha = alpha
        self.standardize = standardize
        self.fit_intercept = fit_intercept
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose

    def _read_y(self, y, X):
        if not is_lazy(y):
            _refuse_labels(y)
            return check_array(y, ensure_2d=False, dtype="numeric", ensure_all_finite=False, input_name="y")
        source = open_input(y, "y")
        if source.ndim > 2:
            raise DataError(f"y must be 1-D or 2-D; got shape {source.shape}.")
        if source.dtype.kind not in "fiub":
            raise _no_numbers(source.dtype)
        return source

    def _make_targets(self, y, weights, *, whole, classes=None):
        return RegressionTargets(n_columns(y), y.dtype.name)

    def _check_sums(self, sums):
        if sums.targets != RegressionTargets.meaning:
            raise IncompatibleSumsError(f"sums: they must be of numbers; got {sums.targets}. Use ELMClassifier.")

    def initialize(self, X, y=None, sample_weight=None) -> Self:
        """Draw the neurons and take the scale of the inputs; trains nothing.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or HDF5 path(s), of shape (n_samples, n_features)
            Inputs; of many rows, up to 100,000 are looked at.
        y : the same, of shape (n_samples,) or (n_samples, n_targets), optional
            Targets: only whether they are one vector is looked at.
        sample_weight : the same, of shape (n_samples,), optional
            Weights of the rows in the scale.

        Returns
        -------
        self
            The estimator, not yet fitted.
        """
        with self._unchanged_on_error():
            source, targets = self._open_X(X, reset=True), None if y is None else self._read_y(y, X)
            weights = self._open_weights(sample_weight, source)
            check_distinct(X=(X, source), y=(y, targets), sample_weight=(sample_weight, weights))
            self._start(self._draw(source, weights), None, targets)
        return self

    def partial_fit(self, X, y, sample_weight=None) -> Self:
        """Add rows to the sums; the layer is drawn from the first ones and kept. Solved at the first use.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or HDF5 path(s), of shape (n_samples, n_features)
            Inputs.
        y : the same, of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        sample_weight : the same, of shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        self
            The estimator.
        """
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X, out=None):
        """Predicted targets.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or HDF5 path(s), of shape (n_samples, n_features)
            Inputs.
        out : str or path-like, optional
            HDF5 file to stream the predictions to, as one 2-D dataset, in bounded memory.

        Returns
        -------
        ndarray or dask array of shape (n_samples,) or (n_samples, n_targets), or str
            In kind: lazy for dask arrays and files. With `out`, its path.

        Raises
        ------
        NotSolvedError
            Before anything was fitted.
        """
        return self._apply(self._prediction("predict"), X, "predict", out)

    def _prediction(self, what):
        coef = self._solved(what).coef
        vector = getattr(self, "_vector_target", len(coef) == 1)
        tail = () if vector else (len(coef),)
        return self._outputs(what, partial(_numbers, vector=vector), tail, self._output_dtype())

    def score(self, X, y, sample_weight=None) -> float:
        """Coefficient of determination R2 of the predictions.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or HDF5 path(s), of shape (n_samples, n_features)
            Inputs.
        y : the same, of shape (n_samples,) or (n_samples, n_targets)
            True targets.
        sample_weight : the same, of shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        float
            The mean over targets; 1 is best. Lazy inputs are worked off chunk by chunk.
        """
        if not any(map(is_lazy, (X, y, sample_weight))):
            self._solved("score")
            return super().score(X, y, sample_weight)
        return r2(*self._score_inputs(X, y, sample_weight))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _refuse_labels(y):
    # Rows of different lengths are told by scikit-learn.
    with contextlib.suppress(ValueError):
        values = np.asarray(y)
        if values.dtype.kind in "USmM":
            raise _no_numbers(values.dtype)
        if values.dtype.kind == "O" and (words := [value for value in values.flat if isinstance(value, str | bytes)]):
            raise _no_numbers(f"text such as {words[0]!r}")


def _no_numbers(got):
    return InputTypeError(f"y must hold numbers; got {got}. Use ELMClassifier for labels.")


def _numbers(outputs, vector):
    return outputs[:, 0] if vector else outputs
