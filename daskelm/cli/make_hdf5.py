"""The command `daskelm make-hdf5`: a text table or an array of NumPy as HDF5."""

from __future__ import annotations

import contextlib
import re

import click

from .arguments import DATES, NAMES, OPTIONS_OF_TEXT, WORDS, Written, force_option, quiet_option
from .errors import Command

__all__ = ["make_hdf5", "print_data"]


@click.command("make-hdf5", cls=Command)
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET", type=Written("data"))
@click.option("--dataset", default="data", show_default=True, is_eager=True, help="Name of the dataset.")
@click.option(
    "--columns", metavar="A,B,...", type=NAMES, help="Columns to write, by name, or by place counted from 0; else all."
)
@click.option("--except", "exclude", metavar="A,B,...", type=NAMES, help="Columns to leave out, by name or place.")
@click.option(
    "--dates",
    metavar="A,B=FORMAT,...",
    type=DATES,
    help="Columns of dates and times, written as seconds since 1970, UTC; texts have the year first, or a format of "
    "strptime: day=%d.%m.%Y.",
)
@click.option(
    "--missing",
    metavar="WORD,...",
    type=WORDS,
    help="Words and numbers that mean a gap, such as -999, beside empty fields, NA, null, nan, ? and the like.",
)
@click.option("--delimiter", help="Separator of the fields of a text file; found from its first lines if not given.")
@click.option(
    "--header/--no-header",
    default=None,
    help="Whether the first line of a text file names the columns; found from the file if not given.",
)
@click.option("--skiprows", metavar="N", type=int, default=0, help="Lines of a text file to leave out first.")
@click.option("--decimal", default=".", show_default=True, help="Mark of the decimals in a text file.")
@click.option("--thousands", help="Separator of thousands in a text file.")
@click.option("--comment", help="Character in a text file behind which the rest of a line is left out.")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of a text file.")
@click.option(
    "--dtype", help="Type of the numbers in TARGET, such as float32; that of SOURCE, or float64 for text, if not given."
)
@click.option(
    "--compression",
    metavar="FILTER",
    help="gzip, lzf, or a filter of the package hdf5plugin such as zstd; none if not given.",
)
@force_option
@quiet_option
def make_hdf5(source, target, dataset, columns, exclude, dates, missing, dtype, compression, force, quiet, **text):
    """Convert a table to HDF5, in bounded memory.

    SOURCE  text file (.csv, .txt, .tsv, .dat, .data, also compressed: .gz,
            .bz2, .xz, .zip, .zst), or array of NumPy (.npy)
    TARGET  HDF5 file to write; one that this command wrote before is
            replaced when the new one is complete

    Names of columns are kept. Columns of text become codes of their levels,
    true and false 1 and 0, gaps NaN. What was found of the form of a text
    file, and the gaps of each column, are said on standard error.

    Example:
      daskelm make-hdf5 dataX.csv dataX.h5
      daskelm make-hdf5 dataX.csv fewX.h5 --columns 0,1

    Next: the same for the targets T, then daskelm init.
    """
    from ..data.make_hdf5 import make_hdf5

    with _options_named():
        make_hdf5(
            source,
            target,
            dataset,
            columns=columns,
            exclude=exclude,
            dates=dates,
            missing_values=missing,
            dtype=dtype,
            compression=_filter(compression),
            overwrite=force,
            verbose=not quiet,
            **text,
        )
    print_data(target, dataset)


@contextlib.contextmanager
def _options_named():
    """Add the options of the command to an error that names those of `make_hdf5`."""
    from ..exceptions import DaskelmError

    try:
        yield
    except DaskelmError as error:
        found = dict.fromkeys(re.findall(rf"\b({'|'.join(OPTIONS_OF_TEXT)})(?==| is an option| must)", str(error)))
        if not found:
            raise
        named = ", ".join(OPTIONS_OF_TEXT[name] for name in found)
        raise click.ClickException(f"{error} On the command line: {named}.") from None


def _filter(name):
    """The compression filter of that name."""
    if name in (None, "gzip", "lzf"):
        return name
    try:
        import hdf5plugin

        return hdf5plugin.get_filters(name.lower())[0]()
    except ImportError:
        why = "hdf5plugin is not installed: pip install 'daskelm[hdf5plugin]'"
    except ValueError:
        why = f"hdf5plugin has {', '.join(hdf5plugin.FILTERS)}"
    raise click.BadParameter(
        f"must be gzip, lzf, or a filter of hdf5plugin; got {name!r}, and {why}.", param_hint="'--compression'"
    )


def print_data(path: str, dataset: str) -> None:
    """Print the name, shape and type of a table that was written."""
    from ..hdf5.rows import open_rows
    from ..parquet.target import is_parquet_name

    if is_parquet_name(path):
        from .info import describe, lines

        click.echo("\n".join(lines(describe(path))))
        return
    rows = open_rows(path, dataset)
    click.echo(f"{path}: {dataset} {rows.shape} {rows.dtype}")
