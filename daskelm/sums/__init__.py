"""The sums HH and HT as a value with + and -, the ledger of the rows that they count, and their file."""

__all__: list[str] = []
