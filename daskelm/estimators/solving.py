"""Solving from sums: functions that take what was fitted and return it solved, and their checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..data.source import source_of
from ..exceptions import IncompatibleSumsError, NotSolvedError
from ..layer.layer import Layer
from ..passes.accumulate import accumulate
from ..passes.tasks import Job
from ..ridge.solve import is_auto
from ..selection.from_sums import select_from_sums
from ..sums.content import n_folds
from ..sums.normal_equations import NormalEquations
from ..sums.provenance import Table, provenance_of
from .checking import check_bool
from .fitted import Choice, Fitted

__all__ = ["check_can_add", "check_sums_match", "folds_for", "own_sums", "select_with", "without_rows"]


def folds_for(alpha, layer: Layer, sums: NormalEquations | None = None) -> int:
    """Number of folds that rows are divided into, for sums of their own or to be added to `sums`; 1 for none."""
    if sums is not None and sums.n_samples:
        return max(len(sums.folds), 1)
    return n_folds(layer.n_neurons) if is_auto(alpha) else 1


def select_with(fitted: Fitted, sums, *, check: Callable, ranking, fit_intercept, **more) -> Fitted:
    """The layer of the best number of neurons, solved with the best penalty; parameters as for `select_from_sums`."""
    centred = check_bool(fit_intercept, "fit_intercept")
    selected = select_from_sums(fitted.layer, sums, check=check, ranking=ranking, fit_intercept=centred, **more)
    full_layers = () if fitted.choice is None else fitted.choice.full_layers
    if selected.layer is not fitted.layer:
        full_layers = (*full_layers, fitted.layer.fingerprint)
    choice = Choice.of(selected, ranked=ranking is not None, full_layers=full_layers)
    return fitted.solved(selected.sums, selected.solution, layer=selected.layer, choice=choice)


def check_sums_match(fitted: Fitted, sums: NormalEquations, name: str = "sums") -> None:
    """Refuse sums of another layer."""
    layer = fitted.layer
    if fitted.choice is not None and sums.fingerprint in fitted.choice.full_layers:
        raise IncompatibleSumsError(
            f"{name}: they are of the full layer of {sums.n_neurons} neurons (fingerprint {sums.fingerprint[:12]}),"
            f" and this model has the {layer.n_neurons} neurons that select chose ({layer.fingerprint[:12]}). Use the "
            "model as it was saved before select, or sum over the rows with this one, into a new file."
        )
    if sums.fingerprint != layer.fingerprint:
        raise IncompatibleSumsError(
            f"{name}: they are of another hidden layer (fingerprint {sums.fingerprint[:12]}) than this model's "
            f"({layer.fingerprint[:12]}). Use the one saved model everywhere: save it after initialize, load it in "
            "every script."
        )


def check_can_add(fitted: Fitted, owner: str) -> None:
    """Refuse rows for a model that is solved but has no sums."""
    if fitted.solution is not None and fitted.sums is None:
        raise NotSolvedError(
            f"This {owner} instance was saved without its sums, so that rows cannot be added to it. "
            "Save it with save(path, sums=True), or begin anew with initialize or fit."
        )


def own_sums(fitted: Fitted, what: str, owner: str) -> NormalEquations:
    """The sums of the model, which `what` needs."""
    if fitted.sums is not None:
        return fitted.sums
    if fitted.solution is not None:
        raise NotSolvedError(
            f"This {owner} instance was saved without its sums, and {what} needs them. Save it with "
            "save(path, sums=True), or name a sums file: solve('sums.h5')."
        )
    raise NotSolvedError(
        f"This {owner} instance is not fitted yet: nothing was added since its layer was drawn, and "
        f"{what} needs sums over rows. Call partial_fit or accumulate first, or name a sums file: "
        "solve('sums.h5')."
    )


def without_rows(fitted: Fitted, work: Job, rows: tuple[int, int], owner: str, verbose: int | bool) -> Fitted:
    """The result of fitting with rows [start, stop) of a job taken out of its sums, not solved yet."""
    if fitted.sums is None:
        raise NotSolvedError(f"This {owner} instance has no sums to take rows out of; name a file.")
    # Rows that are counted are known by name in the ledger, and are compared.
    own, edges = fitted.sums.ledger, (rows[0] - 1, rows[0], rows[1] - 1, rows[1])
    in_files = source_of(work.X).files is not None
    table = Table(work.X, work.y, work.weights, work.targets)
    known = provenance_of(table, own, edges) if in_files else None
    gone = accumulate(*work, provenance=known, ranges=[rows], verbose=verbose)
    return replace(fitted, sums=fitted.sums - gone, solution=None, link=None)
