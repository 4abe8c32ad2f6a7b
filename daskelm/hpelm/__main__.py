"""The command `python -m daskelm.hpelm convert`, which converts models that HP-ELM saved."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..exceptions import DaskelmError
from .model import convert_model

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``python -m daskelm.hpelm convert OLD NEW``; `arguments` are those of the command line if not given."""
    parser = argparse.ArgumentParser(prog="python -m daskelm.hpelm", description="Tools for models of HP-ELM.")
    commands = parser.add_subparsers(dest="command", required=True)
    convert = commands.add_parser("convert", help="make a model that HP-ELM saved one that daskelm loads")
    convert.add_argument("old", metavar="OLD", help="file that HP-ELM's save wrote")
    convert.add_argument("new", metavar="NEW", help="file to write; a model of HPELM that is there is replaced")
    convert.add_argument("--force", action="store_true", help="replace any file but OLD")
    options = parser.parse_args(arguments)
    try:
        convert_model(options.old, options.new, overwrite=options.force)
    except DaskelmError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
