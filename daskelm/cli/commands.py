"""The command `daskelm`: five steps for shell scripts and job arrays, done by the methods of the estimators."""

from __future__ import annotations

import os
import sys

import click

# Commands import the modules that bring NumPy, scikit-learn or Dask when they need them, so that --help is fast.
from .arguments import (
    ALPHA,
    CLASS_WEIGHT,
    CLASSES,
    DATA,
    NEURONS,
    Written,
    check_targets_given,
    columns_option,
    except_option,
    force_option,
    load_estimator,
    model_argument,
    quiet_option,
    t_argument,
    target_option,
    weights_option,
    x_argument,
)
from .check import check
from .errors import INTERRUPTED, TERMINATED, Command, Group
from .make_hdf5 import make_hdf5, print_data
from .scheduler import connected, scheduler_option
from .select import select
from .sums import accumulate, merge, remove, solve

__all__ = ["cli", "main"]


@click.group(cls=Group, no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="daskelm", message="%(prog)s %(version)s")
def cli():
    """Extreme Learning Machines for tables larger than memory, in five steps.

    X holds the inputs and T the targets or labels, with the same rows.

    1  daskelm make-hdf5 X.csv X.h5           write the inputs as HDF5; then T
    2  daskelm init X.h5 model.h5             make a model of random neurons
    3  daskelm accumulate model.h5 X.h5 T.h5 --rows 0:1000 --into sums.h5
                                              add rows, in any number of such
                                              commands, on any machines
    4  daskelm solve model.h5 sums.h5         compute the output weights
    5  daskelm predict model.h5 X.h5 --out Y.h5, or score model.h5 X.h5 T.h5

    A data file is named as FILE, or as FILE::DATASET if it holds several
    datasets. FILE::DATASET[a,b] is some of its columns, FILE::DATASET.T a
    table that was written column by column, as MATLAB and R do. Parquet and
    Arrow files are named as FILE, or FILE::[a,b] for some of the columns.
    Several files of one table are named by a glob in quotes, such as
    'part*.h5::X' (part2 comes before part10). Data may also be at a URL, such
    as s3://bucket/part.h5.

    Results go to standard output, progress and errors to standard error.
    Exit codes: 0 for success; 1 for a bug in daskelm; 2 for any other error,
    such as a wrong argument or a full disk, reported in one line; 3 if a
    cluster lost its workers or its scheduler; 4 if daskelm check found a
    problem; 130 after Ctrl-C, 143 after SIGTERM, with which schedulers of jobs
    end them. The first of these signals lets daskelm accumulate finish and
    keep the work that it is at; the second ends it at once. A file is replaced
    as a whole or not at all, so any command can be killed and run again.
    """


def main():
    """Run the command, as a process of its own."""
    try:
        cli(prog_name="daskelm")
    except SystemExit as end:
        if end.code in (INTERRUPTED, TERMINATED):
            # Threads of Dask may go on working for a minute, and Python would wait for them.
            sys.stdout.flush()
            os._exit(end.code)
        raise


@click.command(cls=Command)
@x_argument
@click.argument("model", metavar="MODEL", type=Written("model"))
@click.option(
    "--neurons",
    metavar="SPEC",
    type=NEURONS,
    help="NUMBER:KIND with commas between, such as 10:lin,5:tanh,15:sigm, or a number of tanh neurons. Kinds: lin, "
    "sigm, tanh, relu, rbf_l1, rbf_l2, rbf_linf, functions such as numpy.sin. NUMBER:KIND:DRAW says how to draw them: "
    "random, relevance, pairs, sparse, sparse pairs. auto, or NUMBER:auto, chooses both by a sample of X and T. If not "
    "given, a lin neuron for each input and 200 tanh neurons.",
)
@click.option(
    "--targets",
    metavar="T",
    type=DATA,
    help="Data file of the targets or labels, for neurons that are drawn by them; a sample is read.",
)
@click.option(
    "--alpha",
    metavar="auto|gcv|FLOAT",
    type=ALPHA,
    default="auto",
    show_default=True,
    help="Penalty on the output weights; auto chooses it by rows that are held out in the same pass, gcv by "
    "generalised cross-validation.",
)
@click.option(
    "--classifier/--regressor",
    default=None,
    help="Which model to make; if not given, a classifier with --classes or --labels, else a regressor.",
)
@click.option("--classes", metavar="A,B,...", type=CLASSES, help="All labels that occur in T.")
@click.option("--labels", metavar="T", type=DATA, help="Data file to find the classes in, instead of --classes.")
@click.option(
    "--class-weight", metavar="LABEL=WEIGHT,...", type=CLASS_WEIGHT, help="Weights of classes; 1 for the others."
)
@click.option("--standardize/--no-standardize", default=True, help="Centre and scale the inputs.  [default: yes]")
@click.option(
    "--missing",
    type=click.Choice(["error", "indicator"]),
    default="error",
    show_default=True,
    help="What NaN in X is: an error, or a gap that counts as the mean of its column and is marked by an input.",
)
@click.option("--intercept/--no-intercept", default=True, help="Add a constant that is not penalised.  [default: yes]")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    help="Type of the numbers in the hidden layer; that of X if not given.",
)
@click.option(
    "--gram-dtype",
    type=click.Choice(["float32", "float64"]),
    default="float64",
    show_default=True,
    help="Type that the sums are computed in. float32 is faster, but rounds small penalties off, and needs a hidden "
    "layer in float32.",
)
@click.option(
    "--seed",
    metavar="INT",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Seed of the random neurons. The same command gives the same model.",
)
@target_option
@columns_option
@except_option
@weights_option
@scheduler_option
@force_option
def init(
    x,
    model,
    neurons,
    targets,
    alpha,
    classifier,
    classes,
    labels,
    class_weight,
    standardize,
    missing,
    intercept,
    dtype,
    gram_dtype,
    seed,
    target,
    columns,
    left_out,
    weights,
    scheduler,
    force,
):
    """Draw random neurons, find the inputs' scale, save the model.

    X      inputs: FILE or FILE::DATASET, several files as a glob in quotes;
           of more than 100,000 rows, a sample is read
    MODEL  model file to write; an existing model is replaced

    Example:
      daskelm init dataX.h5 model.h5 --neurons 10:lin,5:tanh,15:sigm
      daskelm init dataX.h5 digits.h5 --classes 0,1,2,3,4,5,6,7,8,9
      daskelm init dataX.h5 model.h5 --neurons 500:auto --targets dataT.h5
      daskelm init table.h5 delays.h5 --target delay

    Next: daskelm accumulate, with this model file in every command. Sums
    made with different models cannot be added, so keep it.
    """
    params = {
        "neurons": neurons,
        "alpha": alpha,
        "standardize": standardize,
        "missing": missing,
        "fit_intercept": intercept,
        "dtype": dtype,
        "gram_dtype": gram_dtype,
        "random_state": seed,
    }
    if classes is not None and labels is not None:
        raise click.UsageError("--classes and --labels both say which classes there are; give one of them.")
    if labels is not None and targets is not None:
        raise click.UsageError("--labels and --targets both name the labels; --labels is enough.")
    if target is not None and (labels is not None or targets is not None):
        raise click.UsageError("--target and --targets or --labels both name the targets; give one of them.")
    known = classes is not None or labels is not None
    if classifier is None:
        classifier = known
    known = known or (target is not None and classifier)
    if classifier and not known:
        raise click.UsageError("a classifier needs --classes or --labels, since some of the rows may miss a class.")
    if not classifier and (known or class_weight is not None):
        raise click.UsageError(
            "a regressor has no --classes, --labels or --class-weight; leave them out, or name the classes without "
            "--regressor."
        )
    from ..hdf5.outputs import check_not_an_input

    check_not_an_input(model, "MODEL", X=x, targets=targets, labels=labels, weights=weights)
    with connected(scheduler):
        if classifier:
            from ..estimators.classifier import ELMClassifier

            estimator = ELMClassifier(class_weight=class_weight, **params)
            y = labels if targets is None else targets
            estimator.initialize(x, y=y, classes=classes, sample_weight=weights, target=target)
        else:
            from ..estimators.regressor import ELMRegressor

            estimator = ELMRegressor(**params).initialize(x, targets, sample_weight=weights, target=target)
    estimator.save(model, overwrite=force)
    _print_info(model)


@click.command(cls=Command)
@model_argument
@x_argument
@click.option(
    "--out",
    metavar="FILE",
    type=Written("data"),
    required=True,
    help="File to write: HDF5, or NAME.parquet.",
)
@click.option("--proba", is_flag=True, help="Write probabilities of the classes instead of labels.")
@columns_option
@except_option
@scheduler_option
@force_option
@quiet_option
def predict(model, x, out, proba, columns, left_out, scheduler, force, quiet):
    """Predict from files to a file, in bounded memory.

    MODEL  model file that was solved
    X      inputs: FILE or FILE::DATASET, several files as a glob in quotes; a
           column that was the target is left out, by its name

    Example:
      daskelm predict model.h5 dataX.h5 --out predictedY.h5

    Next: daskelm info predictedY.h5; in Python from_hdf5("predictedY.h5").
    """
    from ..hdf5.outputs import check_not_an_input

    check_not_an_input(out, "--out", MODEL=model, X=x)
    estimator = load_estimator(model, verbose=not quiet)
    if proba and not hasattr(estimator, "predict_proba"):
        raise click.BadParameter(f"{model} is a regressor, which has no classes.", param_hint="'--proba'")
    with connected(scheduler):
        (estimator.predict_proba if proba else estimator.predict)(x, out=out, overwrite=force)
    print_data(out, "data")


@click.command(cls=Command)
@model_argument
@x_argument
@t_argument
@target_option
@columns_option
@except_option
@weights_option
@scheduler_option
@quiet_option
def score(model, x, t, target, columns, left_out, weights, scheduler, quiet):
    """Print R2, or a classifier's accuracy.

    MODEL  model file that was solved
    X      inputs: FILE or FILE::DATASET, several files as a glob in quotes
    T      true targets or labels, named in the same way; or --target

    Example:
      daskelm score model.h5 dataX.h5 dataT.h5

    Next: the score on rows that are in no sums, which is the expected score
    on new rows.
    """
    check_targets_given(t, target)
    estimator = load_estimator(model, verbose=not quiet)
    with connected(scheduler):
        click.echo(repr(float(estimator.score(x, t, weights, target))))


@click.command(cls=Command)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list with one object per file.")
def info(files, as_json):
    """Describe the contents of files: data, models, or sums.

    FILE  file, or a glob; FILE::DATASET for one dataset

    For sums, the files whose rows they count are listed, with these rows.

    Example:
      daskelm info dataX.h5 model.h5 sums.h5
      daskelm info --json dataX.h5
    """
    from .info import describe, lines, named

    facts = [describe(file) for name in files for file in named(name)]
    if as_json:
        import json

        click.echo(json.dumps(facts, indent=2, allow_nan=False))
    else:
        for item in facts:
            click.echo("\n".join(lines(item)))


def _print_info(path):
    from .info import describe, lines

    click.echo("\n".join(lines(describe(path))))


for _command in (make_hdf5, init, accumulate, remove, merge, solve, select, predict, score, info, check):
    cli.add_command(_command)
