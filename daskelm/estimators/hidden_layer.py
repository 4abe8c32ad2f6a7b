"""`HiddenLayer`: the random layer alone, as a scikit-learn transformer."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np

from ..data.inputs import is_lazy, open_input, plain_values
from ..data.labels import count_classes, labels_in
from ..data.source import Source, n_columns
from ..data.targets import ClassTargets, RegressionTargets, Targets
from ..exceptions import DataError
from ..layer.specification import UNCOUNTED, needs_targets, parse_neurons
from .base import BaseELM
from .checking import apart, open_rows
from .state import write_model

__all__ = ["HiddenLayer"]


class HiddenLayer(BaseELM):
    """A layer of random neurons as a transformer, X to H; nothing in it is trained.

    ``make_pipeline(HiddenLayer(...), Ridge(alpha))`` predicts what `ELMRegressor` does with the same parameters.

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
    standardize : bool, default=True
        Whether inputs are centred, scaled to unit variance and clipped before drawn neurons; a column that never
        varied enters no drawn neuron. Given `Neurons` always act on the inputs as they are.
    missing : {"error", "indicator"}, default="error"
        What NaN in X is, and a null of a frame: an error, or a gap. A gap counts as the mean of its column, and columns
        with gaps in the sample of the input scale have one more input, which is 1 at a gap and 0 elsewhere.
    dtype : {None, "float32", "float64"}, default=None
        dtype of H; that of X if None.
    random_state : int, RandomState or None, default=None
        Seed of the neurons.

    Attributes
    ----------
    hidden_layer_ : Layer
        The drawn layer: a function of blocks of X.
    neurons_ : list
        Groups of neurons as they were drawn, in the form of `neurons`.
    draw_errors_ : dict of str to float
        Where the draw was chosen: errors of the draws on held-out rows of the sample, over the variance.
    n_features_in_ : int
        Number of inputs.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the inputs, if they had any.

    References
    ----------
    Schmidt, Kraaijveld, Duin (1992); Pao, Park, Sobajic (1994); Huang, Zhu, Siew (2004); Rahimi, Recht (2007).

    Examples
    --------
    >>> import numpy as np
    >>> from daskelm import HiddenLayer
    >>> X = np.random.default_rng(0).random((100, 3))
    >>> layer = HiddenLayer([(3, "lin"), (5, "tanh")], random_state=0).fit(X)
    >>> layer.transform(X).shape
    (100, 8)
    >>> layer.get_feature_names_out()[2:5].tolist()
    ['lin2', 'tanh0', 'tanh1']
    """

    __module__ = "daskelm"

    def __init__(self, neurons=None, *, standardize=True, missing="error", dtype=None, random_state=None):
        self.neurons = neurons
        self.standardize = standardize
        self.missing = missing
        self.dtype = dtype
        self.random_state = random_state

    def fit(self, X, y=None, sample_weight=None, target=None) -> Self:
        """Draw the neurons and take the scale of the inputs.

        Parameters
        ----------
        X : array-like, dask array or dataframe, h5py.Dataset, or path(s) of files, of shape (n_samples, n_features)
            Inputs; the scale is taken from up to 100,000 of many rows.
        y : the same, of shape (n_samples,) or (n_samples, n_targets), optional
            Targets or labels, for `neurons` that are drawn by them; others ignore it. Words and truth values are
            labels, and numbers are numbers.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows in the scale.
        target : str or list of str, optional
            Names of columns of X that are y, instead of y; they are left out of the inputs.

        Returns
        -------
        self
            The fitted transformer.

        Warns
        -----
        ScaleWarning
            Columns that never varied, which enter no drawn neuron.
        """
        owner = type(self).__name__
        gaps = self._takes_gaps()
        X, y, names = apart(X, y, target)
        rows = open_rows(X, None, sample_weight, owner, gaps=gaps)
        if needs_targets(parse_neurons(self.neurons, rows.columns.n_features, UNCOUNTED)):
            rows = open_rows(X, y, sample_weight, owner, read_y=_read_y, gaps=gaps)
        targets = None if rows.y is None else _targets_of(rows.y)
        self._fitted = self._draw(rows._replace(columns=replace(rows.columns, targets=names)), targets)
        return self

    def save(self, path, overwrite: bool = False) -> None:
        """Write the transformer to one HDF5 file that holds numbers and strings only; `daskelm.load` reads it.

        Parameters
        ----------
        path : str or path-like
            File to write; a model that is there is replaced at once.
        overwrite : bool, default=False
            Whether any regular file may be replaced; else only a model, or an empty file.

        Raises
        ------
        ParameterError
            A parameter that the layer was drawn with was changed since, or a file cannot hold it.
        FileWriteError
            The file is no model, without `overwrite`; or the disk is full.
        """
        fitted = None if self._fitted is None else self._check_same_parameters("save")
        write_model(path, type(self).__name__, self.get_params(deep=False), fitted, overwrite=overwrite)


def _read_y(y, X) -> Source:
    """Targets or labels, given with X, as a source."""
    source = labels_in(open_input(y, "y")) if is_lazy(y) else np.asarray(plain_values(y, "y"))
    if source.ndim not in (1, 2):
        raise DataError(f"y must be 1-D or 2-D; got shape {source.shape}.")
    return source


def _targets_of(y: Source) -> Targets:
    """Columns of numbers, or the classes of anything else."""
    if y.dtype.kind in "fiu":
        return RegressionTargets(n_columns(y), y.dtype.name)
    classes, _ = count_classes(y)
    return ClassTargets(classes)
