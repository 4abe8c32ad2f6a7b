"""Tables in Parquet files, and in Arrow files (Feather version 2): described, read by path, and written."""

__all__: list[str] = []
