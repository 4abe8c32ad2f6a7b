"""Estimators of scikit-learn's kind: they store parameters, check arguments and call other folders; no algorithm."""

__all__: list[str] = []
