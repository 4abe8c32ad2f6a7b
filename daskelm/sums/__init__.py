"""The sums as a value with + and -, which rows they hold, and their file."""

__all__: list[str] = []
