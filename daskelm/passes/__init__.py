"""One pass over all rows, in tasks: sum, resume, learning curve, predict, score."""

__all__: list[str] = []
