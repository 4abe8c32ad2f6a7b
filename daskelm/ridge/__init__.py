"""Ridge regression from HH and HT: factors, solutions, paths, leverages and standard deviations."""

__all__: list[str] = []
