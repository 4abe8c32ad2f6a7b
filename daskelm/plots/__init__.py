"""Pictures, as Display classes in scikit-learn's style."""

__all__: list[str] = []
