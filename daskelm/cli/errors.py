"""How the command ends: exit codes, errors and warnings of one line each, and help that is printed as written."""

from __future__ import annotations

import contextlib
import inspect
import signal
import sys
import textwrap
import threading
import warnings
from collections.abc import Iterator

import click

from ..exceptions import DaskelmError
from ..urls import without_secrets

__all__ = ["FOUND", "INTERRUPTED", "LOST", "MISTAKE", "TERMINATED", "Command", "Group", "print_message"]

# Exit codes for a user's mistake, a lost cluster, and Ctrl-C and SIGTERM as shells number them. A bug ends as in
# Python: with a traceback and 1.
MISTAKE, LOST, INTERRUPTED, TERMINATED = 2, 3, 130, 143
# Exit code of `daskelm check` when a check failed.
FOUND = 4


def print_message(text: str) -> None:
    """Print one line to standard error, in place of an unfinished line of progress."""
    erase = "\r\033[K" if sys.stderr.isatty() else ""
    click.echo(f"{erase}daskelm: {' '.join(without_secrets(text).split())}", err=True)


class _Terminated(KeyboardInterrupt):
    """Raised by SIGTERM, which ends the command as Ctrl-C does: files that are half written are removed."""


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    usual = signal.getsignal(signal.SIGTERM)
    if usual != signal.SIG_DFL or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number, frame):
        raise _Terminated

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)


class Command(click.Command):
    """A command whose help is its docstring, line by line."""

    def format_help_text(self, ctx, formatter):
        """Write the docstring without wrapping its lines again."""
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
            with _warnings_in_one_line(), _sigterm_raises():
                status = super().main(*args, **kwargs)
        except click.Abort as abort:
            # Click also aborts after an EOFError. No command asks for input, so that such an error is a bug.
            if isinstance(abort.__context__, EOFError):
                raise abort.__context__ from None
            print_message("interrupted; the same command continues from what is in the files.")
            status = TERMINATED if isinstance(abort.__context__, _Terminated) else INTERRUPTED
        except Exception as error:
            text = _mistake(error)
            if text is None:
                raise
            print_message(f"error: {text}")
            status = LOST if type(error).__name__ == "ClusterError" else MISTAKE
        sys.exit(status or 0)


def _mistake(error: Exception) -> str | None:
    """The message for a mistake of the user; None for a bug, whose traceback is needed."""
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
    """The text of an error; that of a system error without its number."""
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
        warnings.showwarning = lambda message, *where, **more: print_message(f"warning: {message}")
        yield
