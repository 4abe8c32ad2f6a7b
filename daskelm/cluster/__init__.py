"""The only code that talks to Dask's schedulers: it chooses one, reduces, gathers, and explains lost clusters."""

__all__: list[str] = []
