"""Arguments and options that commands share, with errors that show the form an argument must have."""

from __future__ import annotations

import contextlib
import csv
import functools
from collections.abc import Callable
from functools import partial
from typing import Any

import click

__all__ = [
    "ALPHA",
    "CLASSES",
    "CLASS_WEIGHT",
    "DATA",
    "DATES",
    "INPUTS",
    "NAMES",
    "NEURONS",
    "NUMBERS",
    "OPTIONS_OF_TEXT",
    "ROWS",
    "SIZES",
    "WORDS",
    "Written",
    "check_targets_given",
    "columns_option",
    "except_option",
    "force_option",
    "kind_of",
    "load_estimator",
    "lock_option",
    "model_argument",
    "quiet_option",
    "rows_option",
    "t_argument",
    "target_option",
    "weights_option",
    "x_argument",
]


class Form(click.ParamType):
    """The form of an argument, with the function that reads its text."""

    def __init__(self, name: str, read: Callable[[str], Any]):
        self.name, self.read = name, read

    def convert(self, value, param, ctx):
        """The value of a text; a default, which is no text, as it is."""
        return self.read(value) if isinstance(value, str) else value


class Written(click.ParamType):
    """A file to write, of the kind "model", "data", or "table" (text, with a name that ends in .csv).

    An existing file must be of that kind or empty, unless --force is given: a glob that the shell expanded, or a
    mistyped number, must not overwrite a file of data.
    """

    name = "file"

    def __init__(self, kind: str):
        self.kind = kind

    def convert(self, value, param, ctx):
        """The path."""
        from ..exceptions import DaskelmError
        from ..hdf5.atomic import check_replaceable
        from ..parquet.target import check_parquet_replaceable, is_parquet_name

        if self.kind == "table" and not value.endswith(".csv"):
            raise click.BadParameter(f"must be a name that ends in .csv; got {value!r}.")
        # These two options are eager, so that Click has read them already.
        force, dataset = ctx.params.get("force", False), ctx.params.get("dataset", "data")
        try:
            if self.kind == "data" and is_parquet_name(value):
                check_parquet_replaceable(value, force)
            else:
                check_replaceable(value, self.kind, force, dataset)
        except DaskelmError as error:
            raise click.BadParameter(str(error)) from None
        return value


def kind_of(path) -> str | None:
    """The kind of a file: "model", "sums", "data" (any other HDF5), "Parquet", "Arrow", or None for anything else."""
    from ..hdf5.header import sealed_format
    from ..hdf5.opening import is_hdf5
    from ..parquet.files import format_of

    if (kind := format_of(path)) is not None:
        return kind
    return sealed_format(path) or ("data" if is_hdf5(path) else None)


class Inputs(click.ParamType):
    """The data of X, with the columns that the options --columns, --except and --target choose."""

    name = "data"

    def convert(self, value, param, ctx):
        """The rows, opened."""
        # These options are eager, so that Click has read them already; for one that is not given it may have a mark.
        given = (ctx.params.get(name) for name in ("columns", "left_out", "target"))
        columns, left_out, target = (one if isinstance(one, list) else None for one in given)
        if columns is None:
            rows = _data(value)
        else:
            rows = _data(value, [*columns, *(name for name in target or () if name not in columns)])
        if not left_out:
            return rows
        missing = [name for name in left_out if name not in (rows.names or ())]
        if missing:
            held = f"the columns {', '.join(rows.names[:8])}" if rows.names else "columns without names"
            raise click.BadParameter(
                f"must be names of columns of X; got {missing[0]!r}, and X has {held}. Give names of these, or "
                "positions of the columns to keep: --columns 0,2.",
                param_hint="'--except'",
            )
        return rows.leave_out([name for name in left_out if name not in (target or ())])


def _data(text, columns=None):
    from ..exceptions import DatasetNotFoundError, ParameterError
    from ..hdf5.choice import asked_for, split_choice
    from ..hdf5.rows import open_rows
    from ..parquet.rows import is_table_path

    try:
        path, asked = split_choice(text)
    except ParameterError as error:
        raise click.BadParameter(str(error)) from None
    if asked.dataset == "" or not path:
        raise click.BadParameter(
            f"must be FILE, or FILE::DATASET to name a dataset in it, or FILE::DATASET[a,b] for columns; got {text!r}."
        )
    if columns is not None:
        if asked.columns is not None:
            raise click.UsageError("--columns and FILE::DATASET[...] both choose columns of X; give one of them.")
        asked = asked_for(asked.dataset, columns, asked.transpose)
    if is_table_path(path):
        return _table(path, asked, text)
    try:
        return open_rows(path, asked.dataset, None, asked.columns, asked.transpose)
    except DatasetNotFoundError as error:
        if asked.transpose and asked.dataset is not None:
            # A dataset may have such a name.
            try:
                return open_rows(path, f"{asked.dataset}.T", None, asked.columns)
            except DatasetNotFoundError:
                pass
        raise click.BadParameter(
            f"{error} On the command line that is {path}::DATASET, and {path}::DATASET[a,b] for columns."
        ) from None


def _words(text, what="words", example="NA,-999"):
    # Quotes hold a comma within a name together.
    words = [word.strip() for word in next(csv.reader([text], skipinitialspace=True), [])]
    if not words or not all(words):
        raise click.BadParameter(f"must be {what} with commas between, such as {example}; got {text!r}.")
    return words


def _dates(text):
    """Names of columns of dates, and the format of each that has one."""
    pairs = [word.partition("=%") for word in _words(text, "names of columns", "day,time=%d.%m.%Y")]
    return {name: f"%{form}" if form else None for name, _, form in pairs}


def _table(path, asked, text):
    """Rows of Parquet or Arrow files: of all columns, or of those of FILE::[a,b]."""
    from ..parquet.rows import open_rows

    if asked.dataset is not None or asked.transpose:
        raise click.BadParameter(f"must be FILE, or FILE::[a,b] to name columns of a table; got {text!r}.")
    return open_rows(path, None if asked.columns is None else list(asked.columns))


def _rows(text):
    try:
        # The bounds are those of a Python slice. The colon is required, since a number alone could mean one row, or so
        # many rows.
        start, stop = (int(bound) if bound.strip() else None for bound in text.split(":"))
    except ValueError:
        raise click.BadParameter(
            f"must be START:STOP, such as 0:1000 for the first thousand rows, or 1000: for the rest; got {text!r}."
        ) from None
    return slice(start, stop)


def _neurons(text):
    from ..layer.neurons import kind_from_name
    from ..layer.specification import AUTO

    if text.isdecimal():
        return int(text)
    if text == AUTO:
        return text
    groups = [[part.strip() for part in group.split(":")] for group in text.split(",")]
    if not all(len(group) in (2, 3) and group[0].isdecimal() and all(group) for group in groups):
        raise click.BadParameter(
            "must be auto, a number of tanh neurons, or NUMBER:KIND or NUMBER:KIND:DRAW for each kind, such as "
            f"10:lin,200:tanh; got {text!r}."
        )
    return [(int(n), kind if kind == AUTO else kind_from_name(kind), *draw) for n, kind, *draw in groups]


def _alpha(text):
    from ..ridge.solve import check_alpha

    with contextlib.suppress(ValueError):
        text = float(text)
    return check_alpha(text)


def _number(text):
    with contextlib.suppress(ValueError):
        return int(text)
    return float(text)


def _labels(words):
    """Labels as numbers if all are numbers, else as text."""
    try:
        return [_number(word) for word in words]
    except ValueError:
        return words


def _classes(text):
    words = text.split(",")
    if not all(words):
        raise click.BadParameter(f"must be labels with commas between, such as 0,1,2 or red,blue; got {text!r}.")
    return _labels(words)


def _class_weight(text):
    pairs = [pair.rpartition("=") for pair in text.split(",")]
    try:
        weights = [float(weight) for _, _, weight in pairs]
    except ValueError:
        weights = []
    if not weights or not all(label for label, _, _ in pairs):
        raise click.BadParameter(
            f"must be LABEL=WEIGHT for some of the classes, such as 0=1,1=20 or red=2; got {text!r}."
        )
    return dict(zip(_labels([label for label, _, _ in pairs]), weights, strict=True))


def _numbers(text):
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"must be numbers with commas between, such as 0.1,1,10; got {text!r}.") from None


def _sizes(text):
    if not all(number.strip().isdecimal() for number in text.split(",")):
        raise click.BadParameter(f"must be whole numbers with commas between, such as 50,100,200; got {text!r}.")
    return [int(number) for number in text.split(",")]


# Arguments of make_hdf5 as its errors name them, and the options of the command.
OPTIONS_OF_TEXT = {
    "columns": "--columns",
    "exclude": "--except",
    "dates": "--dates",
    "missing_values": "--missing",
    "delimiter": "--delimiter",
    "header": "--header or --no-header",
    "skiprows": "--skiprows",
    "decimal": "--decimal",
    "thousands": "--thousands",
    "comment": "--comment",
    "encoding": "--encoding",
}

DATA = Form("data", _data)
DATES = Form("dates", _dates)
INPUTS = Inputs()
NAMES = Form("names", partial(_words, what="names of columns", example="a,b"))
ROWS = Form("rows", _rows)
NEURONS = Form("neurons", _neurons)
ALPHA = Form("alpha", _alpha)
CLASSES = Form("classes", _classes)
NUMBERS = Form("numbers", _numbers)
SIZES = Form("sizes", _sizes)
CLASS_WEIGHT = Form("weights", _class_weight)
WORDS = Form("words", _words)


force_option = click.option(
    "--force", is_flag=True, is_eager=True, help="Replace an existing file of any kind, but never an input."
)
_LOCK = (
    click.option(
        "--lock/--no-lock",
        default=True,
        show_default=True,
        help="Whether to lock the sums file while it is written. If the file system has no locks, give --no-lock, and "
        "each process a sums file of its own.",
    ),
    click.option(
        "--lock-timeout",
        metavar="SECONDS",
        type=click.FloatRange(0),
        help="Longest wait for the lock, if another process holds it; without end if not given.",
    ),
)


def lock_option(command):
    """Add the options for the lock of a sums file; the argument `lock` is whether to hold it, or a longest wait."""

    @functools.wraps(command)
    def with_lock(*args, lock, lock_timeout, **kwargs):
        if lock_timeout is not None and not lock:
            raise click.UsageError("--lock-timeout is a wait for the lock, and --no-lock takes none; give one of them.")
        return command(*args, lock=lock if lock_timeout is None else lock_timeout, **kwargs)

    for option in reversed(_LOCK):
        with_lock = option(with_lock)
    return with_lock


quiet_option = click.option("--quiet", is_flag=True, help="Show no progress.")
rows_option = click.option(
    "--rows", metavar="START:STOP", type=ROWS, help="Use rows START to STOP - 1 of X, T and weights only."
)
weights_option = click.option(
    "--weights", metavar="FILE", type=DATA, help="Data file with the weights of the rows, one column."
)
x_argument = click.argument("x", metavar="X", type=INPUTS)
t_argument = click.argument("t", metavar="[T]", type=DATA, required=False)
columns_option = click.option(
    "--columns", metavar="A,B,...", type=NAMES, is_eager=True, help="Take these columns of X only, by name or position."
)
except_option = click.option(
    "--except", "left_out", metavar="A,B,...", type=NAMES, is_eager=True, help="Leave out these columns of X."
)
target_option = click.option(
    "--target",
    metavar="NAME",
    type=NAMES,
    is_eager=True,
    help="Column of X that is the target, or several with commas between, in the place of T.",
)
model_argument = click.argument("model", metavar="MODEL")


def check_targets_given(t, target) -> None:
    """Refuse targets that are given twice or not at all."""
    if (t is None) == (target is None):
        what = "neither" if t is None else "both"
        raise click.UsageError(
            f"give the targets once: T, or --target with the name of the column of X that they are; got {what}."
        )


def load_estimator(path, verbose: bool | None = None):
    """The estimator in a model file, which must be solved from sums; `verbose` is for this process alone."""
    from ..estimators.fitting import FittingMethods
    from ..estimators.load import load
    from ..exceptions import ParameterError

    model = load(path)
    if not isinstance(model, FittingMethods):
        raise ParameterError(
            f"MODEL: {path} must hold an ELMRegressor or an ELMClassifier; got {type(model).__name__}, which is not "
            "solved from sums. Make a model with daskelm init."
        )
    return model if verbose is None else model.set_params(verbose=int(verbose))
