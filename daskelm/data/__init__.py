"""Every kind of X, y and weights in, as blocks of rows; targets as columns; `from_hdf5`, `make_hdf5` and `to_hdf5`."""

__all__: list[str] = []
