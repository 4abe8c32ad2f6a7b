"""`daskelm check`: facts from every worker, and what they must be before a long job."""

__all__: list[str] = []
