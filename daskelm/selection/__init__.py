"""Model selection: the penalty, the number and the order of neurons, chosen by scores."""

__all__: list[str] = []
