"""The hidden layer: kinds of random neurons, how they are drawn, H = layer(X), and sublayers of fewer neurons."""

__all__: list[str] = []
