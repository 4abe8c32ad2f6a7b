"""The only code that talks to Dask's schedulers: which one, reduce, gather, and what to say when it is lost."""

__all__: list[str] = []
