"""Draws of neurons that depend on rows and their targets: the relevance of inputs, and the choice of a draw."""

__all__: list[str] = []
