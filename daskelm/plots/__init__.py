"""Plots: Display classes in scikit-learn's style, and a learning curve that is drawn while `fit` runs."""

__all__: list[str] = []
