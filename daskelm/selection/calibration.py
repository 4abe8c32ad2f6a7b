"""Fit of the link from outputs to probabilities, by the log loss of rows whose classes are known."""

from __future__ import annotations

import numpy as np

from ..data.probabilities import LARGEST_DISTANCE, ProbabilityLink, as_classes
from .unseen import Unseen

__all__ = ["fit_link", "link_of"]

# Logarithms of temperature and power have normal priors, as of that many rows: a temperature near 6, and a power near
# 1, which few rows determine badly. Measured on digits, breast cancer, wine and made tables.
_CENTRE = np.array([np.log(6.0), 0.0])
_STRENGTH = np.array([1.0, 10.0])
# Beyond this exponent a probability is 0.
_LARGEST_EXPONENT = 60.0


def link_of(unseen: Unseen, *, multi: bool) -> ProbabilityLink | None:
    """The link by rows that the models were not fitted to; None without such rows."""
    return fit_link(*unseen, multi=multi) if len(unseen.outputs) else None


def fit_link(outputs: np.ndarray, T: np.ndarray, weights: np.ndarray | None, *, multi: bool) -> ProbabilityLink:
    """The link of least log loss, plus a penalty that keeps few rows from being followed too closely.

    Parameters
    ----------
    outputs : ndarray of shape (rows, n_targets)
        Outputs of models that were not fitted to these rows.
    T : ndarray of shape (rows, n_targets)
        Their true zeros and ones.
    weights : ndarray of shape (rows,), optional
        Positive weights of the rows.
    multi : bool
        Whether each label is fitted by itself.

    Returns
    -------
    ProbabilityLink
    """
    each, true = as_classes(outputs, multi), as_classes(T, multi)
    below = each.max(axis=2, keepdims=True) - each
    weights = np.ones(len(outputs)) if weights is None else weights
    shares = weights / weights.sum()
    # A weight of two is the row twice. Weights with a small sum, such as 1, say nothing about the number of rows.
    evidence = max(weights.sum(), 1 / np.square(shares).sum())
    found = np.array([_minimum(below[:, i], true[:, i].argmax(axis=1), shares, evidence) for i in range(each.shape[1])])
    return ProbabilityLink(*np.exp(found.T))


def _minimum(below, true, weights, evidence) -> np.ndarray:
    """Logarithms (2,) of temperature and power for distances (rows, n_classes) and true classes (rows,).

    `weights` (rows,) have the sum 1, and stand for `evidence` rows.
    """
    from scipy.optimize import minimize

    loss = _LogLoss(below, true, weights, evidence)
    options = {"gtol": 1e-10, "initial_trust_radius": 0.5, "max_trust_radius": 2.0, "maxiter": 100}
    return minimize(loss.value, _CENTRE, jac=loss.gradient, hess=loss.hessian, method="trust-exact", options=options).x


class _LogLoss:
    """Mean log loss and the penalty as a function of two logarithms, with its derivatives."""

    def __init__(self, below, true, weights, evidence):
        self.equal = below == 0
        self.logs = np.log(np.where(self.equal, 1.0, np.minimum(below, LARGEST_DISTANCE)))
        self.true, self.weights, self.evidence = true[:, None], weights, evidence
        self.at: np.ndarray | None = None

    def _move(self, at):
        """Compute value and derivatives at a point, once."""
        if self.at is not None and np.array_equal(at, self.at):
            return
        self.at = at.copy()
        slope = np.exp(at[1]) * self.logs
        e = np.exp(np.minimum(at[0] + slope, _LARGEST_EXPONENT))
        e[self.equal] = 0
        p = np.exp(-e)
        total = p.sum(axis=1)
        p /= total[:, None]
        # Derivatives of the logarithms of unscaled probabilities, -e, by the two numbers.
        first = -e, -e * slope
        second = first[0], first[1], first[1] * (1 + slope)
        means = [np.einsum("ij,ij->i", p, part) for part in first]
        off = (at - _CENTRE) * _STRENGTH / (self.evidence + 1)
        loss = np.log(total) + np.take_along_axis(e, self.true, 1)[:, 0]
        share = self.evidence / (self.evidence + 1)
        self._value = share * (self.weights @ loss) + (at - _CENTRE) @ off / 2
        self._gradient = share * np.array([self._mean(part, p) for part in first]) + off
        curved = [self._mean(part, p) for part in second]
        for k, (i, j) in enumerate(((0, 0), (0, 1), (1, 1))):
            products = np.einsum("ij,ij,ij->i", p, first[i], first[j]) - means[i] * means[j]
            curved[k] += self.weights @ products
        self._hessian = share * np.array([curved[:2], curved[1:]]) + np.diag(_STRENGTH) / (self.evidence + 1)

    def _mean(self, part, p):
        """Weighted mean over the rows of the expected value less the true class's."""
        return self.weights @ (np.einsum("ij,ij->i", p, part) - np.take_along_axis(part, self.true, 1)[:, 0])

    def value(self, at):
        self._move(at)
        return self._value

    def gradient(self, at):
        self._move(at)
        return self._gradient

    def hessian(self, at):
        self._move(at)
        return self._hessian
