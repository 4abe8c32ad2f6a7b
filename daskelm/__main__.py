"""`python -m daskelm` is the command `daskelm`."""

from .cli.commands import main

__all__ = []

if __name__ == "__main__":
    main()
