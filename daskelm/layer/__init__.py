"""Random neurons: their kinds, how they are drawn, H = layer(X), and smaller layers."""

__all__: list[str] = []
