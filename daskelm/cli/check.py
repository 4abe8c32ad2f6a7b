"""The command that checks a cluster, the data and the disk before a long job."""

from __future__ import annotations

import contextlib

import click

from .arguments import DATA, NEURONS, lock_option, weights_option
from .errors import FOUND, Command
from .scheduler import connection, scheduler_option

__all__ = ["check"]


@click.command(cls=Command)
@click.argument("x", metavar="X", type=DATA, required=False)
@click.argument("t", metavar="T", type=DATA, required=False)
@click.option(
    "--neurons",
    metavar="SPEC",
    type=NEURONS,
    help="Neurons of the model, as for daskelm init.",
)
@click.option(
    "--targets",
    metavar="INT",
    type=click.IntRange(1),
    help="Number of targets; for labels, the number of classes. The columns of T if not given.",
)
@click.option("--into", "sums", metavar="SUMS", help="Sums file that the job will write.")
@weights_option
@scheduler_option
@lock_option
@click.pass_context
def check(ctx, x, t, neurons, targets, sums, weights, scheduler, lock):
    """Check before a long job that it can run.

    X  inputs: FILE or FILE::DATASET, several files as a glob in quotes
    T  targets or labels, named in the same way

    X and T may be left out; then the checks that need them are skipped.
    Otherwise they must be files that this machine can read too. Checked
    on all workers of --scheduler, or on this machine:

      workers   there is at least one
      versions  daskelm and its dependencies are the same everywhere
      data      every worker can read the files, and reads the same numbers
      memory    each worker has enough for this number of neurons
      threads   no machine runs more threads, with those of BLAS, than cores
      disk      there is room for the sums file, and it can be locked

    Each check prints a line: ok; FAILED, with the reason and what to do; or
    skipped. The exit code is 4 if a check failed, else 0. No file is left
    behind.

    Example:
      daskelm check dataX.h5 dataT.h5 --neurons 500 --into sums.h5

    Next: the same with --scheduler if there is a cluster; then daskelm
    accumulate.
    """
    from ..data.inputs import check_lengths
    from ..data.source import n_columns
    from ..exceptions import DataError
    from ..layer.neurons import Neurons
    from ..layer.specification import parse_neurons
    from ..preflight.checks import Job, check_job
    from ..urls import without_secrets

    sources = [source for source in (x, t, weights) if source is not None]
    n_neurons = None
    if x is not None:
        check_lengths(X=x, T=t, weights=weights)
        if not (x.n_rows and x.n_columns):
            raise DataError(f"X must have at least one row and one column; got shape {x.shape}.")
        groups = parse_neurons(neurons, x.n_columns)
        n_neurons = sum(len(group) if isinstance(group, Neurons) else group[0] for group in groups)
    if targets is None:
        targets = 1 if t is None else n_columns(t)
    job = Job(sources, n_neurons, targets, sums, lock is not False)
    with contextlib.nullcontext() if scheduler is None else connection(scheduler) as client:
        findings = check_job(job, client)
    for finding in findings:
        word = {True: "ok", False: "FAILED", None: "skipped"}[finding.ok]
        click.echo(f"{word:<9}{finding.name:<10}{' '.join(without_secrets(finding.text).split())}")
    ctx.exit(FOUND if any(finding.ok is False for finding in findings) else 0)
