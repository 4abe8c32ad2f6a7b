"""`load`: a saved estimator, from its file."""

from __future__ import annotations

from ..exceptions import FileFormatError
from ..hdf5.sealed import content_of
from .classifier import ELMClassifier
from .classifier_cv import ELMClassifierCV
from .hidden_layer import HiddenLayer
from .regressor import ELMRegressor
from .regressor_cv import ELMRegressorCV
from .state import read_model

__all__ = ["load"]

_CLASSES = {cls.__name__: cls for cls in (ELMClassifier, ELMClassifierCV, ELMRegressor, ELMRegressorCV, HiddenLayer)}


def load(path) -> ELMClassifier | ELMClassifierCV | ELMRegressor | ELMRegressorCV | HiddenLayer:
    """Load an estimator, solved or not, that `save` wrote; runs no code from the file.

    Parameters
    ----------
    path : str or path-like
        File to read, or its URL.

    Returns
    -------
    ELMRegressor, ELMClassifier, ELMRegressorCV, ELMClassifierCV or HiddenLayer
        It predicts bit for bit what the saved one did.

    Raises
    ------
    FileMissingError
        There is no such file.
    FileFormatError
        It is not a model file, or truncated, altered, or of another version of the format; or says what no model can
        be.

    Examples
    --------
    >>> import numpy as np
    >>> from daskelm import ELMRegressor, load
    >>> X, y = np.random.default_rng(0).random((100, 3)), np.arange(100.0)
    >>> model = ELMRegressor(20, random_state=0).fit(X, y)
    >>> model.save("model.h5")
    >>> bool((load("model.h5").predict(X) == model.predict(X)).all())
    True
    """
    saved = read_model(path)
    if saved.class_name not in _CLASSES:
        raise FileFormatError(
            f"{path} holds a model of class {saved.class_name!r}, which this daskelm does not have; it has "
            f"{', '.join(_CLASSES)}. Upgrade daskelm (pip install -U daskelm)."
        )
    with content_of(path):
        return _CLASSES[saved.class_name]._of(saved.params, saved.fitted)
