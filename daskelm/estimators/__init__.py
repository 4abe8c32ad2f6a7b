"""scikit-learn's face: store, check and call; no algorithm."""

__all__: list[str] = []
