"""The numerics of one ridge regression from HH and HT: factors, solutions, paths, leverages, standard deviations."""

__all__: list[str] = []
