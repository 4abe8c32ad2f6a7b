"""Tables in HDF5 files, here or at URLs: describe, read, and replace atomically. Knows neither Dask nor neurons."""

__all__: list[str] = []
