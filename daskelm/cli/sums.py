"""Commands on sums files: add rows, remove rows, merge, solve."""

from __future__ import annotations

import click

from .arguments import (
    ALPHA,
    Written,
    check_targets_given,
    columns_option,
    except_option,
    force_option,
    load_estimator,
    lock_option,
    model_argument,
    quiet_option,
    rows_option,
    t_argument,
    target_option,
    weights_option,
    x_argument,
)
from .errors import Command
from .scheduler import connected, scheduler_option

__all__ = ["accumulate", "merge", "remove", "solve"]


@click.command(cls=Command)
@model_argument
@x_argument
@t_argument
@click.option("--into", "sums", metavar="SUMS", required=True, help="Sums file to add to; a new one if there is none.")
@target_option
@columns_option
@except_option
@rows_option
@weights_option
@scheduler_option
@lock_option
@quiet_option
def accumulate(model, x, t, sums, target, columns, left_out, rows, weights, scheduler, lock, quiet):
    """Add the sums of rows to a file, from any number of processes.

    MODEL  model file, made by daskelm init
    X      inputs: FILE or FILE::DATASET, several files as a glob in quotes
    T      targets or labels, named in the same way; or --target

    Rows are recognised by their content: those that SUMS counts already are
    left out. Finished work is written to SUMS now and then. So a command that
    was killed, or is run twice, adds only what is missing.

    Example:
      daskelm accumulate model.h5 dataX.h5 dataT.h5 --rows 0:500 --into sums.h5
      daskelm accumulate delays.h5 table.h5 --target delay --into delay-sums.h5

    Next: the other rows, then daskelm solve.
    """
    check_targets_given(t, target)
    estimator = load_estimator(model, verbose=not quiet)
    with connected(scheduler):
        added = estimator._accumulate_into(sums, x, t, rows, weights, lock, target)
    already = x.rows(rows).n_rows - added
    click.echo(f"{sums}: {added} rows added, {already} were counted already; {_n_rows(sums)} in all")


def _n_rows(sums):
    from ..sums.normal_equations import NormalEquations

    return NormalEquations.load(sums).n_samples


@click.command(cls=Command)
@model_argument
@x_argument
@t_argument
@click.option("--from", "sums", metavar="SUMS", required=True, help="Sums file to remove the rows from.")
@target_option
@columns_option
@except_option
@rows_option
@weights_option
@scheduler_option
@lock_option
@quiet_option
def remove(model, x, t, sums, target, columns, left_out, rows, weights, scheduler, lock, quiet):
    """Remove rows from a sums file, exactly.

    MODEL  model file that the rows were added with
    X      inputs: the same data that the rows were added from
    T      targets or labels that they were added with; or --target

    Example:
      daskelm remove model.h5 dataX.h5 dataT.h5 --rows 0:100 --from sums.h5

    Next: daskelm solve, for the model without these rows.
    """
    check_targets_given(t, target)
    estimator = load_estimator(model, verbose=not quiet)
    with connected(scheduler):
        estimator.remove(x, t, rows=rows, sums=sums, sample_weight=weights, lock=lock, target=target)
    click.echo(f"{sums}: {x.rows(rows).n_rows} rows removed, {_n_rows(sums)} left")


@click.command(cls=Command)
@click.argument("sums", metavar="SUMS...", nargs=-1, required=True)
@click.option("--into", metavar="FILE", required=True, help="Sums file to write: a new one, or one of SUMS.")
@lock_option
def merge(sums, into, lock):
    """Add up sums files of several tasks, days or sites.

    SUMS  sums files of one model that have no rows in common; or globs in
          quotes

    Example:
      daskelm merge sums.h5 more.h5 --into all.h5

    Next: daskelm solve. It takes several files too, so merging is not
    required.
    """
    from ..sums.file import merge

    click.echo(f"{into}: {merge(list(sums), into, lock).n_samples} rows")


@click.command(cls=Command)
@model_argument
@click.argument("sums", metavar="SUMS...", nargs=-1, required=True)
@click.option(
    "--out", metavar="MODEL2", type=Written("model"), help="Model file to write; MODEL is replaced if not given."
)
@click.option("--alpha", metavar="auto|gcv|FLOAT", type=ALPHA, help="Penalty to use instead of the model's own.")
@force_option
def solve(model, sums, out, alpha, force):
    """Solve for the output weights, and save the model.

    MODEL  model file that the rows were added with
    SUMS   one or more sums files, or globs in quotes; they are not changed

    Prints the number of rows, the penalty alpha, the rank and the condition
    number of the equations (in the 2-norm with gcv; else LAPACK's estimate in
    the 1-norm, if that is safe), and the error on the rows in SUMS, before
    outputs are limited to the range of T. It is mostly smaller than that on
    new rows.

    Example:
      daskelm solve model.h5 sums.h5
      daskelm solve model.h5 sums.h5 --alpha 0.1 --out stiffer.h5

    Next: daskelm predict, or daskelm score on rows that are in no sums.
    """
    from sklearn.base import is_regressor

    from ..hdf5.outputs import check_not_an_input
    from ..sums.file import files_of

    if out is not None:
        check_not_an_input(out, "--out", SUMS=files_of(list(sums)))
    estimator = load_estimator(model)
    if alpha is not None:
        estimator.set_params(alpha=alpha)
    estimator.solve(list(sums))
    estimator.save(out or model, overwrite=force)
    held = estimator.normal_equations_
    errors = held.squared_error(estimator.coef_, estimator.intercept_)
    facts = {
        "rows": held.n_samples,
        "neurons": held.n_neurons,
        "alpha": _described(estimator.alpha_, estimator.alpha_chosen_by_),
        "rank": estimator.rank_,
        "condition number": f"{estimator.condition_number_:.3g}",
        "mean squared error": f"{errors.mean() / held.sum_weights:.6g}",
    }
    if is_regressor(estimator):
        moments = held.moments()
        # A constant target counts as predicted exactly.
        triples = zip(errors, moments.TT, moments.informative, strict=True)
        ratios = [error / total if varies else 0.0 for error, total, varies in triples]
        facts["R2"] = f"{1 - sum(ratios) / len(ratios):.6g}"
    click.echo(f"{out or model}: solved")
    for name, value in facts.items():
        click.echo(f"  {name:<20}{value}")


def _described(alpha, chosen_by):
    """The penalty, or the range of those of the targets, and how it was chosen."""
    import numpy as np

    low, high = np.min(alpha), np.max(alpha)
    number = f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}, one per target"
    how = {"folds": " (by folds)", "gcv": " (by GCV)", "evidence": " (by marginal likelihood)"}
    return number + how.get(chosen_by, "")
