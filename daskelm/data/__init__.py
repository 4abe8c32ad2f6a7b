"""X, y and weights of any library as sources of rows, targets as columns, and `from_hdf5`, `make_hdf5`, `to_hdf5`."""

__all__: list[str] = []
