"""The command `daskelm`."""

from .commands import cli, main

__all__ = ["cli", "main"]
