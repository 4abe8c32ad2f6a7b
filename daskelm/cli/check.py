"""The command that looks at a cluster, the data and the disk before a long job."""

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
    help="As daskelm init takes it; all inputs and 200 tanh if not given.",
)
@click.option(
    "--targets", metavar="INT", type=click.IntRange(1), help="Columns of T if not given; of labels, number of classes."
)
@click.option("--into", "sums", metavar="SUMS", help="Sums file that is going to be written.")
@weights_option
@scheduler_option
@lock_option
@click.pass_context
def check(ctx, x, t, neurons, targets, sums, weights, scheduler, lock):
    """Look, before a long job, whether it can run.

    X  inputs: FILE or FILE::DATASET, several files as a glob in quotes
    T  targets or labels: the same

    Both may be left out; then what needs them is not checked. They must
    be here too. On all workers of --scheduler, or on this machine:

      workers   there are some
      versions  of daskelm and what it stands on are the same everywhere
      data      is there on every worker, and reads the same
      memory    is enough for these neurons, as a fit would project it
      threads   of tasks and of BLAS are no more than cores
      disk      has room for the sums, and locks

    A line for each, ok, FAILED with what to do about it, or skipped. The
    exit code is 0 if none failed, else 4. Nothing is left behind.

    Example:
      daskelm check dataX.h5 dataT.h5 --neurons 500 --into sums.h5

    Next: the same with --scheduler, where there is a cluster; then
    daskelm accumulate.
    """
    from ..data.inputs import check_lengths
    from ..data.source import n_columns
    from ..layer.neurons import Neurons, parse_neurons
    from ..preflight.checks import Job, check_job

    sources = [source for source in (x, t, weights) if source is not None]
    n_neurons = None
    if x is not None:
        check_lengths(X=x, T=t, weights=weights)
        groups = parse_neurons(neurons, x.n_columns)
        n_neurons = sum(len(group) if isinstance(group, Neurons) else group[0] for group in groups)
    if targets is None:
        targets = 1 if t is None else n_columns(t)
    job = Job(sources, n_neurons, targets, sums, lock)
    with contextlib.nullcontext() if scheduler is None else connection(scheduler) as client:
        findings = check_job(job, client)
    for finding in findings:
        word = {True: "ok", False: "FAILED", None: "skipped"}[finding.ok]
        click.echo(f"{word:<9}{finding.name:<10}{' '.join(finding.text.split())}")
    ctx.exit(FOUND if any(finding.ok is False for finding in findings) else 0)
