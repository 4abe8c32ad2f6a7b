"""The learning curve of a fit, as attributes of an estimator read it."""

from __future__ import annotations

from ..passes.curve_pass import LearningCurve
from .fitted import Fitted

__all__ = ["curve_of"]


def curve_of(fitted: Fitted | None, owner: str, what: str) -> LearningCurve:
    """The learning curve, for the attribute `what` of an estimator of the class named `owner`."""
    if fitted is None or fitted.curve is None:
        # scikit-learn's `hasattr` expects this error.
        raise AttributeError(
            f"{what}: this {owner} has no learning curve. Call fit with callback=, with tol, or with verbose=2."
        )
    return fitted.curve
