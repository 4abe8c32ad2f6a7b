"""The command that chooses the penalty and the number of neurons from sums files, and prints their scores."""

from __future__ import annotations

import csv

import click

from .arguments import NUMBERS, SIZES, Written, force_option, load_estimator, model_argument, quiet_option
from .errors import Command

__all__ = ["select"]

# Number of the best candidates that are printed.
_SHOWN = 5


@click.command(cls=Command)
@model_argument
@click.argument("sums", metavar="SUMS...", nargs=-1, required=True)
@click.option(
    "--out", metavar="MODEL2", type=Written("model"), help="Model file to write; MODEL is replaced if not given."
)
@click.option(
    "--validation",
    metavar="SUMS",
    multiple=True,
    help="Sums file of other rows to score the models on, or a glob of such files; may be given several times.",
)
@click.option("--folds", is_flag=True, help="Take each file of SUMS as a fold, scored by models of all the others.")
@click.option("--gcv", is_flag=True, help="Score by generalised cross-validation, even where SUMS hold folds.")
@click.option(
    "--neurons",
    metavar="N,N,...",
    type=SIZES,
    help="Numbers of neurons to try: so many of the first neurons of MODEL; all of them if not given. Needs --out.",
)
@click.option(
    "--ranking",
    type=click.Choice(["omp", "lars", "mrsr"]),
    help="Keep the most informative neurons, ranked by this method, instead of the first ones. Needs --out.",
)
@click.option("--alphas", metavar="A,A,...", type=NUMBERS, help="Penalties to try; a wide grid if not given.")
@click.option(
    "--scoring",
    type=click.Choice(["r2", "neg_mean_squared_error", "neg_root_mean_squared_error"]),
    default="r2",
    show_default=True,
    help="Score by which the best candidate is chosen.",
)
@click.option("--table", metavar="FILE.csv", type=Written("table"), help="CSV file to write all scores to.")
@force_option
@quiet_option
def select(model, sums, out, validation, folds, gcv, neurons, ranking, alphas, scoring, table, force, quiet):
    """Choose penalty and number of neurons from sums, and solve.

    MODEL  model file that the rows were added with
    SUMS   one or more sums files, or globs in quotes; they are not changed

    No data is read: all models of the grid, and their scores, follow from
    the sums. Scores are those on the rows of --validation, which the models
    do not learn from; or with --folds, the means over the files of SUMS; or
    else those on the folds of rows that SUMS hold, or where they hold none
    (MODEL's alpha is a number) and with --gcv, those that generalised
    cross-validation estimates. The condition number is LAPACK's estimate in
    the 1-norm; where that is not safe, it is the one in the 2-norm.

    A model of fewer neurons does not accept sums made with MODEL, so it needs
    a file of its own, --out. Keep MODEL for the rows that are still to come.

    Example:
      daskelm select model.h5 sums.h5
      daskelm select model.h5 sums.h5 --validation more.h5 --alphas 0.1,1,10
      daskelm select model.h5 sums.h5 more.h5 --folds --neurons 9,30 --out best.h5

    Next: daskelm predict, or daskelm score on rows that are in no sums.
    """
    if folds + bool(validation) + gcv > 1:
        raise click.UsageError("--folds, --validation and --gcv all say how models are scored; give one of them.")
    if (neurons is not None or ranking is not None) and out is None:
        given = "--ranking" if neurons is None else "--neurons"
        raise click.UsageError(
            f"{given} needs --out MODEL2, since a model of fewer neurons does not accept sums made with MODEL."
        )
    from ..hdf5.outputs import check_not_an_input
    from ..sums.file import files_of

    read = {"SUMS": files_of(list(sums)), "--validation": files_of(list(validation)) if validation else None}
    if out is not None:
        check_not_an_input(out, "--out", **read)
    if table is not None:
        check_not_an_input(table, "--table", **read, MODEL=model)
    estimator = load_estimator(model)
    verbose = estimator.verbose
    # Whether progress is shown must not be saved with the model.
    estimator.set_params(verbose=int(not quiet))
    full = estimator._check_is_drawn("select").layer.n_neurons
    estimator.select(
        list(sums),
        validation=list(validation) or None,
        n_neurons=neurons,
        ranking=ranking,
        alphas=alphas,
        cv="files" if folds else "gcv" if gcv else None,
        scoring=scoring,
    )
    estimator.set_params(verbose=verbose)
    results = estimator.cv_results_
    if table is not None:
        _write(table, results, force)
    estimator.save(out or model, overwrite=force)
    held, n = estimator.normal_equations_, len(results["params"])
    by_folds = "split0_test_score" in results
    how = "on --validation" if validation else "mean over folds" if by_folds else "by GCV"
    click.echo(f"{out or model}: solved with the best of {n} candidates")
    facts = {
        "rows": held.n_samples,
        "neurons": f"{held.n_neurons} (of {full})",
        "alpha": f"{estimator.alpha_:.6g}",
        scoring: f"{estimator.best_score_:.6g} ({how})",
        "rank": estimator.rank_,
        "condition number": f"{estimator.condition_number_:.3g}",
    }
    for name, value in facts.items():
        click.echo(f"  {name:<28}{value}")
    click.echo(f"\n  rank  neurons         alpha  {scoring}")
    for i in _order(results)[:_SHOWN]:
        rank, size, alpha = (results[name][i] for name in ("rank_test_score", "param_n_neurons", "param_alpha"))
        click.echo(f"  {rank:<4}  {size:>7}  {alpha:>12.6g}  {_score_text(results['mean_test_score'][i])}")


def _order(results):
    """Indices of the candidates, the best first."""
    ranks = results["rank_test_score"].tolist()
    return sorted(range(len(ranks)), key=ranks.__getitem__)


def _score_text(score):
    return f"{score:.6g}" if score == score else "refused"


def _write(path, results, force):
    """Write all scores as CSV, the best first; a field without a score is empty."""
    from ..hdf5.atomic import replacing, writing_to

    names = [name for name in results if name != "params"]
    with (
        replacing(path, "table", overwrite=force) as beside,
        writing_to(beside),
        open(beside, "w", newline="", encoding="utf-8") as file,
    ):
        lines = csv.writer(file)
        lines.writerow(name.removeprefix("param_") for name in names)
        for i in _order(results):
            values = [results[name][i].item() for name in names]
            lines.writerow("" if value != value else value for value in values)
