"""How the command ends: exit codes, one line per error and warning, help that is written as it stands."""

from __future__ import annotations

import contextlib
import inspect
import sys
import textwrap
import warnings
from collections.abc import Iterator

import click

from ..exceptions import DaskelmError

__all__ = ["FOUND", "INTERRUPTED", "LOST", "MISTAKE", "Command", "Group", "tell"]

# A user's mistake, a cluster that went away, and a shell's number for Ctrl-C. A bug has Python's: a traceback and 1.
MISTAKE, LOST, INTERRUPTED = 2, 3, 130
# What a check looks for is there.
FOUND = 4


def tell(text: str) -> None:
    """Write one line to standard error, over a progress line that is not finished."""
    erase = "\r\033[K" if sys.stderr.isatty() else ""
    click.echo(f"{erase}daskelm: {' '.join(text.split())}", err=True)


class Command(click.Command):
    """A command whose help is its docstring, line by line."""

    def format_help_text(self, ctx, formatter):
        """Write the docstring without filling its lines anew."""
        formatter.write(f"\n{textwrap.indent(inspect.cleandoc(self.help or ''), '  ')}\n")


class Group(Command, click.Group):
    """The command with its subcommands; always ends the process with one of the exit codes."""

    def list_commands(self, ctx):
        """Names of the commands, in the order of the steps."""
        return list(self.commands)

    def main(self, *args, **kwargs):
        """Run, and exit."""
        kwargs["standalone_mode"] = False
        try:
            with _warnings_in_one_line():
                status = super().main(*args, **kwargs)
        except click.Abort as abort:
            # Click aborts at the end of an input too, of which there is none here.
            if isinstance(abort.__context__, EOFError):
                raise abort.__context__ from None
            tell("interrupted; the same command goes on from what is in the files.")
            status = INTERRUPTED
        except Exception as error:
            text = _mistake(error)
            if text is None:
                raise
            tell(f"error: {text}")
            status = LOST if type(error).__name__ == "ClusterError" else MISTAKE
        sys.exit(status or 0)


def _mistake(error: Exception) -> str | None:
    """What to say about a mistake of the user; None for a bug, whose traceback is needed."""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{error.format_message()} See '{error.ctx.command_path} --help'."
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, DaskelmError):
        return _without_number(error)
    if isinstance(error, OSError) and error.errno is not None:
        return _without_number(error)
    if isinstance(error, ValueError | TypeError) and _home(error) == "sklearn":
        return str(error)
    return None


def _without_number(error):
    """The text of an error; of one of the system without its number."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}."


def _home(error) -> str:
    """The package whose code raised the error."""
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_globals.get("__name__", "").partition(".")[0]


@contextlib.contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *where, **more: tell(f"warning: {message}")
        yield
